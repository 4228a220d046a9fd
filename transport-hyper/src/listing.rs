//! Streams of the pages and keys of a listing.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use atlas_model_keys_core::{
    Error, ListRequest, Listing, OwnedModelKey, OwnedPageKeys, Page, Paged, Reply,
};
use atlas_model_keys_transport::MOST_READ_AHEAD;
use futures_core::{FusedStream, Stream};

use crate::driver::Driver;
use crate::task::{self, Task};

type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Fetches the pages of a listing, several at a time if requested, and returns them in order.
struct Fetcher<R: Paged, T> {
    driver: Arc<Driver>,
    /// `None` at the end, and after an error.
    listing: Option<Listing<R>>,
    fetch: fn(Arc<Driver>, R, Vec<u8>) -> Fetching<T>,
    /// The largest number of pages that are requested or wait to be taken.
    size: usize,
    /// The requested pages, in order.
    in_flight: VecDeque<(R, Task<Result<T, Error>>)>,
    /// Whether no more pages may be requested now.
    is_full: bool,
    /// Buffers for reuse.
    buffers: Vec<Vec<u8>>,
}

impl<R: Paged, T: Send + 'static> Fetcher<R, T> {
    fn new(
        driver: Arc<Driver>,
        listing: Listing<R>,
        fetch: fn(Arc<Driver>, R, Vec<u8>) -> Fetching<T>,
    ) -> Self {
        Self {
            driver,
            listing: Some(listing),
            fetch,
            size: 1,
            in_flight: VecDeque::new(),
            is_full: false,
            buffers: Vec::new(),
        }
    }

    fn read_ahead(&mut self, pages: usize) {
        self.size = pages.min(MOST_READ_AHEAD);
        self.is_full = false;
    }

    /// Fetches the next page and returns the result of `advance`. After an error, and at the end, it returns `None`, and
    /// drops the pages that were requested beyond.
    fn poll_next<A>(
        &mut self,
        cx: &mut Context<'_>,
        advance: impl FnOnce(&mut Listing<R>, T) -> A,
    ) -> Poll<Option<Result<A, Error>>> {
        let fetched = ready!(self.poll_fetch(cx)).transpose();
        let result = match (fetched, &mut self.listing) {
            (Some(Ok(fetched)), Some(listing)) => Some(Ok(advance(listing, fetched))),
            (Some(Err(error)), _) => Some(Err(error)),
            _ => None,
        };
        if !matches!(result, Some(Ok(_))) {
            self.listing = None;
            self.in_flight.clear();
        }
        Poll::Ready(result)
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        if !self.is_full {
            self.fill()?;
        }
        let Some((_, task)) = self.in_flight.front_mut() else {
            return Poll::Ready(Ok(None));
        };
        match ready!(Pin::new(task).poll(cx)) {
            Ok(fetched) => {
                self.in_flight.pop_front();
                self.is_full = false;
                Poll::Ready(fetched.map(Some))
            }
            Err(error) => {
                // If the panic is caught, the listing has ended.
                self.listing = None;
                self.in_flight.clear();
                Poll::Ready(Err(self.driver.transport_error(task::resume(error))))
            }
        }
    }

    /// Requests the pages that may be in flight now.
    fn fill(&mut self) -> Result<(), Error> {
        let Some(listing) = &self.listing else {
            return Ok(());
        };
        let next = listing.request()?;
        let first = self.in_flight.front().map(|(request, _)| *request);
        if first.is_some() && first != next {
            // These pages are beyond the end, or after a page that must be requested again.
            self.in_flight.clear();
        }
        let wanted = listing.window(self.size).skip(self.in_flight.len());
        for request in wanted {
            let buffer = self.buffers.pop().unwrap_or_default();
            let fetching = (self.fetch)(Arc::clone(&self.driver), request, buffer);
            self.in_flight.push_back((request, Task::spawn(fetching)));
        }
        self.is_full = true;
        Ok(())
    }
}

impl<R: Paged, T> fmt::Debug for Fetcher<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("listing", &self.listing)
            .field("size", &self.size)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

/// A stream of the responses of a listing with undecoded bodies; made by [`Client::replies`](crate::Client::replies).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Replies<R: Paged = ListRequest>(Fetcher<R, Reply<Vec<u8>>>);

impl<R: Paged> Replies<R> {
    pub(crate) fn new(driver: Arc<Driver>, listing: Listing<R>) -> Self {
        Self(Fetcher::new(driver, listing, |driver, request, buffer| {
            Box::pin(async move { driver.drive(&request, buffer).await })
        }))
    }

    /// Fetches up to this many pages at the same time, each by its own task, and keeps their order. 0 counts as 1, and more
    /// than 64 counts as 64.
    ///
    /// Reading ahead begins when a link has announced a next page. Pages that were requested beyond the end are dropped.
    pub fn read_ahead(mut self, pages: usize) -> Self {
        self.0.read_ahead(pages);
        self
    }

    /// Returns the next item, or `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<Reply<Vec<u8>>, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<R: Paged> Stream for Replies<R> {
    type Item = Result<Reply<Vec<u8>>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx, |listing, reply| {
            listing.advance_undecoded(&reply);
            reply
        })
    }
}

impl<R: Paged> FusedStream for Replies<R> {
    fn is_terminated(&self) -> bool {
        self.0.listing.is_none()
    }
}

/// A stream of the pages of a listing; made by [`Client::pages`](crate::Client::pages).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Pages<R: Paged = ListRequest>(Fetcher<R, Page<Vec<u8>>>);

impl<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>> Pages<R> {
    pub(crate) fn new(driver: Arc<Driver>, listing: Listing<R>) -> Self {
        Self(Fetcher::new(driver, listing, page))
    }

    /// Fetches up to this many pages at the same time; see [`Replies::read_ahead`].
    pub fn read_ahead(mut self, pages: usize) -> Self {
        self.0.read_ahead(pages);
        self
    }

    /// Returns the next item, or `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<Page<Vec<u8>>, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<R: Paged> Stream for Pages<R> {
    type Item = Result<Page<Vec<u8>>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next(cx, |listing, page| {
            listing.advance(&page);
            page
        })
    }
}

impl<R: Paged> FusedStream for Pages<R> {
    fn is_terminated(&self) -> bool {
        self.0.listing.is_none()
    }
}

/// A stream of the keys of a listing; made by [`Client::keys`](crate::Client::keys).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Keys<R: Paged = ListRequest> {
    pages: Fetcher<R, Page<Vec<u8>>>,
    page: Option<OwnedPageKeys>,
}

impl<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>> Keys<R> {
    pub(crate) fn new(driver: Arc<Driver>, listing: Listing<R>) -> Self {
        Self {
            pages: Fetcher::new(driver, listing, page),
            page: None,
        }
    }

    /// Fetches up to this many pages at the same time; see [`Replies::read_ahead`].
    pub fn read_ahead(mut self, pages: usize) -> Self {
        self.pages.read_ahead(pages);
        self
    }

    /// Returns the next item, or `None` at the end and after an error.
    pub async fn next(&mut self) -> Option<Result<OwnedModelKey, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<R: Paged> Stream for Keys<R> {
    type Item = Result<OwnedModelKey, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(key) = self.page.as_mut().and_then(OwnedPageKeys::next) {
                return Poll::Ready(Some(Ok(key)));
            }
            let buffer = self.page.take().map(OwnedPageKeys::into_body);
            self.pages.buffers.extend(buffer);
            match ready!(self.pages.poll_next(cx, Listing::accept_owned)) {
                Some(Ok(keys)) => self.page = Some(keys),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<R: Paged> FusedStream for Keys<R> {
    fn is_terminated(&self) -> bool {
        let is_empty = |keys: &OwnedPageKeys| keys.len() == 0;
        self.pages.listing.is_none() && self.page.as_ref().is_none_or(is_empty)
    }
}

fn page<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
    driver: Arc<Driver>,
    request: R,
    buffer: Vec<u8>,
) -> Fetching<Page<Vec<u8>>> {
    Box::pin(async move { R::read(driver.drive(&request, buffer).await?) })
}
