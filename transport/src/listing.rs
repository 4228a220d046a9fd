//! Fetches the pages of a listing, several at a time if requested.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use atlas_model_keys_core::{Error, Groups, ListPage, Listing, OwnedPageKeys, Page, Paged, Reply};

use crate::driver::Handle;
use crate::io::Io;
use crate::job::Job;

/// The largest number of pages that are read ahead. Each takes a connection, and a thread in a blocking client, and
/// Atlas allows about a thousand requests a minute.
pub const MAX_READ_AHEAD: usize = 64;

type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// The fetch of one page: the client, the request, a buffer, and a flag that says that the page is no longer needed.
type Fetch<I, R, T> = fn(Handle<I>, R, Vec<u8>, Arc<AtomicBool>) -> Fetching<T>;

/// Fetches the pages of a listing and returns them in order.
pub(crate) struct Fetcher<I: Io, R: Paged, T> {
    handle: Handle<I>,
    /// `None` at the end, and after an error.
    listing: Option<Listing<R>>,
    fetch: Fetch<I, R, T>,
    /// Moves the listing on to its next page.
    advance: fn(&mut Listing<R>, &T),
    /// The largest number of pages that are requested or wait to be taken.
    size: usize,
    /// The requested pages, in order.
    in_flight: VecDeque<(R, Job<Result<T, Error>>)>,
    /// Whether no more pages may be requested now.
    is_full: bool,
    spawner: I::Spawner,
    /// Tells the requested pages that they are no longer needed.
    abandoned: Arc<AtomicBool>,
    /// Buffers for reuse.
    buffers: Vec<Vec<u8>>,
    /// The number of pages in sequence that were ready at once.
    ready_in_sequence: u32,
}

/// The number of pages in sequence that a stream may return at once. Then it is pending once, so that the other parts of its
/// task can run, such as a timeout.
const READY_IN_SEQUENCE: u32 = 32;

impl<I: Io, R: Paged, T: Send + 'static> Fetcher<I, R, T> {
    fn new(
        handle: Handle<I>,
        first: R,
        fetch: Fetch<I, R, T>,
        advance: fn(&mut Listing<R>, &T),
    ) -> Self {
        let listing = Listing::new(first, &handle.driver.limits);
        Self {
            handle,
            listing: Some(listing),
            fetch,
            advance,
            size: 1,
            in_flight: VecDeque::new(),
            is_full: false,
            spawner: I::Spawner::default(),
            abandoned: Arc::default(),
            buffers: Vec::new(),
            ready_in_sequence: 0,
        }
    }

    pub(crate) fn read_ahead(&mut self, pages: usize) {
        self.size = pages.min(MAX_READ_AHEAD);
        self.is_full = false;
    }

    /// Polls for the next page, and returns the result of `advance`. After an error, and at the end, it returns `None`, and
    /// drops the pages that were requested ahead.
    fn poll_advance<A>(
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
            self.end();
        }
        Poll::Ready(result)
    }

    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Error>> {
        if I::SPAWNS_SINGLE && self.ready_in_sequence >= READY_IN_SEQUENCE {
            self.ready_in_sequence = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !self.is_full {
            self.fill()?;
        }
        // The field is taken, so that the listing has ended if the job panics and the panic is caught.
        let mut in_flight = std::mem::take(&mut self.in_flight);
        let Some((_, job)) = in_flight.front_mut() else {
            return Poll::Ready(Ok(None));
        };
        let polled = Pin::new(job).poll(cx);
        if polled.is_ready() {
            in_flight.pop_front();
            self.is_full = false;
            self.ready_in_sequence += 1;
        } else {
            self.ready_in_sequence = 0;
        }
        self.in_flight = in_flight;
        polled.map(|fetched| match fetched {
            Ok(fetched) => fetched.map(Some),
            Err(failure) => {
                let session = &self.handle.driver.session;
                Err(session.transport_error(failure, 0))
            }
        })
    }

    /// Requests the pages that may be in flight now.
    fn fill(&mut self) -> Result<(), Error> {
        let Some(listing) = &self.listing else {
            return Ok(());
        };
        let next = listing.request()?;
        let window = listing.window(self.size);
        let is_single = listing.window(self.size).nth(1).is_none();
        let first = self.in_flight.front().map(|(request, _)| *request);
        if first.is_some() && first != next {
            // These pages are beyond the end, or after a page that must be requested again.
            self.forget();
        }
        let in_place = is_single && self.in_flight.is_empty() && !I::SPAWNS_SINGLE;
        for request in window.skip(self.in_flight.len()) {
            let buffer = self.buffers.pop().unwrap_or_default();
            let abandoned = Arc::clone(&self.abandoned);
            let fetching = (self.fetch)(self.handle.clone(), request, buffer, abandoned);
            let job = if in_place {
                Job::InPlace(Mutex::new(fetching))
            } else {
                let (io, spawner) = (&self.handle.driver.io, &mut self.spawner);
                let running = self.in_flight.len();
                Job::spawn(fetching, |task| io.spawn(spawner, running, task))
            };
            self.in_flight.push_back((request, job));
        }
        self.is_full = true;
        Ok(())
    }

    fn end(&mut self) {
        self.listing = None;
        self.forget();
    }

    fn forget(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.in_flight.clear();
        // The forgotten requests may continue until their timeout, each in its thread.
        self.spawner = I::Spawner::default();
        self.abandoned = Arc::default();
    }
}

impl<I: Io, R: Paged> Fetcher<I, R, Reply<Vec<u8>>> {
    /// Fetches the responses with undecoded bodies.
    pub(crate) fn replies(handle: Handle<I>, first: R) -> Self {
        let fetch: Fetch<I, R, _> = |handle, request, buffer, flag| {
            Box::pin(async move { handle.reply(&request, buffer, Some(flag)).await })
        };
        Self::new(handle, first, fetch, Listing::advance_undecoded)
    }
}

impl<I: Io, R: Paged> Fetcher<I, R, R::Answer<Vec<u8>>> {
    /// Fetches the pages.
    pub(crate) fn pages(handle: Handle<I>, first: R) -> Self {
        let fetch: Fetch<I, R, _> = |handle, request, buffer, flag| {
            Box::pin(async move { R::read(handle.reply(&request, buffer, Some(flag)).await?) })
        };
        Self::new(handle, first, fetch, Listing::advance)
    }
}

/// A page whose entries are returned one at a time.
pub(crate) trait Entries:
    ListPage<IntoIter: ExactSizeIterator + fmt::Debug + Send + Unpin> + Send + 'static
{
    /// Returns the buffer of the page, if the next page can use it.
    fn into_buffer(entries: Self::IntoIter) -> Option<Vec<u8>>;
}

impl Entries for Page<Vec<u8>> {
    fn into_buffer(keys: OwnedPageKeys) -> Option<Vec<u8>> {
        Some(keys.into_body())
    }
}

impl Entries for Groups {
    fn into_buffer(_: Self::IntoIter) -> Option<Vec<u8>> {
        None
    }
}

impl<I: Io, R: Paged, T: Send + 'static> Fetcher<I, R, T> {
    /// Polls for the next page; `None` at the end, and after an error.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        let advance = self.advance;
        self.poll_advance(cx, |listing, fetched| {
            advance(listing, &fetched);
            fetched
        })
    }
}

impl<I: Io, R: Paged, T> Fetcher<I, R, T> {
    pub(crate) fn has_ended(&self) -> bool {
        self.listing.is_none()
    }
}

/// Tells the requests in flight to end, without waiting for them.
impl<I: Io, R: Paged, T> Drop for Fetcher<I, R, T> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

/// Leaves out the buffers, because they contain bodies.
impl<I: Io, R: Paged, T> fmt::Debug for Fetcher<I, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("listing", &self.listing)
            .field("size", &self.size)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

/// The entries of a listing: keys or groups.
pub(crate) struct EntryFetcher<I: Io, R: Paged, P: Entries> {
    pages: Fetcher<I, R, P>,
    page: Option<P::IntoIter>,
}

impl<I: Io, P: Entries, R: Paged<Answer<Vec<u8>> = P>> EntryFetcher<I, R, P> {
    pub(crate) fn new(handle: Handle<I>, first: R) -> Self {
        Self {
            pages: Fetcher::pages(handle, first),
            page: None,
        }
    }
}

impl<I: Io, R: Paged, P: Entries> EntryFetcher<I, R, P> {
    pub(crate) fn read_ahead(&mut self, pages: usize) {
        self.pages.read_ahead(pages);
    }

    /// Polls for the next entry; `None` at the end, and after an error.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<P::Item, Error>>> {
        loop {
            if let Some(entry) = self.page.as_mut().and_then(Iterator::next) {
                return Poll::Ready(Some(Ok(entry)));
            }
            let buffer = self.page.take().and_then(P::into_buffer);
            self.pages.buffers.extend(buffer);
            match ready!(self.pages.poll_advance(cx, Listing::accept_owned)) {
                Some(Ok(entries)) => self.page = Some(entries),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        let is_empty = |entries: &P::IntoIter| entries.len() == 0;
        self.pages.has_ended() && self.page.as_ref().is_none_or(is_empty)
    }
}

impl<I: Io, R: Paged, P: Entries> fmt::Debug for EntryFetcher<I, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryFetcher")
            .field("pages", &self.pages)
            .field("page", &self.page)
            .finish()
    }
}
