//! Iterators over the pages and keys of a listing.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use atlas_model_keys_core::{
    Error, ListRequest, Listing, OwnedModelKey, OwnedPageKeys, Page, Paged, Reply,
};
use atlas_model_keys_transport::{MOST_READ_AHEAD, within_current_span};

use crate::deadline::Deadline;
use crate::driver::Driver;

/// Fetches the pages of a listing, several at a time if requested, and returns them in order.
struct Fetcher<R: Paged, T> {
    driver: Arc<Driver>,
    /// `None` after an error.
    listing: Option<Listing<R>>,
    fetch: fn(&Driver, &R, Vec<u8>, &Deadline) -> Result<T, Error>,
    /// The largest number of pages that are requested or wait to be taken.
    size: usize,
    /// The requested pages, in order.
    in_flight: VecDeque<(R, Worker<T>)>,
    /// The workers without a job.
    idle: Vec<Worker<T>>,
    /// Starts a worker.
    spawn: fn() -> io::Result<Worker<T>>,
    /// Tells the workers that their pages are no longer needed.
    abandoned: Arc<AtomicBool>,
    /// Buffers for reuse.
    buffers: Vec<Vec<u8>>,
}

impl<R: Paged, T: Send + 'static> Fetcher<R, T> {
    fn new(
        driver: Arc<Driver>,
        listing: Listing<R>,
        fetch: fn(&Driver, &R, Vec<u8>, &Deadline) -> Result<T, Error>,
    ) -> Self {
        Self {
            driver,
            listing: Some(listing),
            fetch,
            size: 1,
            in_flight: VecDeque::new(),
            idle: Vec::new(),
            spawn: Worker::spawn,
            abandoned: Arc::default(),
            buffers: Vec::new(),
        }
    }

    fn read_ahead(&mut self, pages: usize) {
        self.size = pages.min(MOST_READ_AHEAD);
    }

    /// Fetches the next page and returns the result of `advance`. After an error, and at the end, it returns `None`, and
    /// drops the pages that were requested beyond.
    fn next<A>(
        &mut self,
        advance: impl FnOnce(&mut Listing<R>, T) -> A,
    ) -> Option<Result<A, Error>> {
        let fetched = self.fetch().transpose();
        let result = match (fetched, &mut self.listing) {
            (Some(Ok(fetched)), Some(listing)) => Some(Ok(advance(listing, fetched))),
            (Some(Err(error)), _) => Some(Err(error)),
            _ => None,
        };
        if !matches!(result, Some(Ok(_))) {
            self.end();
        }
        result
    }

    fn fetch(&mut self) -> Result<Option<T>, Error> {
        let Some(listing) = &self.listing else {
            return Ok(None);
        };
        let Some(request) = listing.request()? else {
            return Ok(None);
        };
        let is_next = |(requested, _): &(R, _)| *requested == request;
        if !self.in_flight.front().is_none_or(is_next) {
            // A page must be requested again, so the pages after it came too early.
            self.forget();
        }
        self.request_ahead();
        let Some((_, mut worker)) = self.in_flight.pop_front() else {
            let buffer = self.buffers.pop().unwrap_or_default();
            return (self.fetch)(&self.driver, &request, buffer, &self.driver.deadline()).map(Some);
        };
        match worker.result() {
            Ok(fetched) => {
                self.idle.push(worker);
                fetched.map(Some)
            }
            Err(panic) => {
                // If the panic is caught, the listing has ended.
                self.end();
                resume_unwind(panic)
            }
        }
    }

    /// Requests as many pages as may be in flight, if more than one may.
    fn request_ahead(&mut self) {
        let Some(listing) = &self.listing else {
            return;
        };
        if self.in_flight.is_empty() && listing.window(self.size).nth(1).is_none() {
            return;
        }
        for request in listing.window(self.size).skip(self.in_flight.len()) {
            // Without another thread, fewer pages are fetched at the same time.
            let Some(worker) = self.idle.pop().or_else(|| (self.spawn)().ok()) else {
                break;
            };
            let (driver, fetch) = (Arc::clone(&self.driver), self.fetch);
            let buffer = self.buffers.pop().unwrap_or_default();
            let deadline = driver.deadline().or_if(&self.abandoned);
            worker.begin(move || fetch(&driver, &request, buffer, &deadline));
            self.in_flight.push_back((request, worker));
        }
    }

    fn end(&mut self) {
        self.listing = None;
        self.forget();
        self.idle.clear();
    }

    /// Drops the requested pages.
    fn forget(&mut self) {
        self.abandon();
        self.in_flight.clear();
        self.abandoned = Arc::default();
    }
}

impl<R: Paged, T> Fetcher<R, T> {
    /// Tells the workers to end, without waiting for them: each ends before its next step, or at its deadline.
    fn abandon(&self) {
        if !self.in_flight.is_empty() {
            self.driver.abandon(&self.abandoned);
        }
    }
}

impl<R: Paged, T> Drop for Fetcher<R, T> {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Leaves out the buffers, because they contain bodies.
impl<R: Paged, T> fmt::Debug for Fetcher<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("listing", &self.listing)
            .field("size", &self.size)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

type Job<T> = Box<dyn FnOnce() -> Result<T, Error> + Send>;

/// A thread that fetches one page after another. It ends when this handle is dropped.
struct Worker<T> {
    jobs: SyncSender<Job<T>>,
    results: Receiver<Result<T, Error>>,
    /// `None` after a panic.
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    fn spawn() -> io::Result<Self> {
        // There is one job at a time, so sending never blocks.
        let (jobs, to_do) = mpsc::sync_channel::<Job<T>>(1);
        let (done, results) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("atlas-model-keys".to_owned())
            .spawn(move || {
                for job in to_do {
                    if done.send(job()).is_err() {
                        // The handle was dropped.
                        break;
                    }
                }
            })?;
        Ok(Self {
            jobs,
            results,
            thread: Some(thread),
        })
    }

    fn begin(&self, job: impl FnOnce() -> Result<T, Error> + Send + 'static) {
        // An error means that the thread has panicked, which `result` reports.
        let _ = self.jobs.send(Box::new(within_current_span(job)));
    }

    /// Waits for the result of the job, or the panic of its thread.
    fn result(&mut self) -> thread::Result<Result<T, Error>> {
        self.results.recv().map_err(|gone| {
            let thread = self.thread.take().map(JoinHandle::join);
            // A thread that ends without a result has panicked.
            thread
                .and_then(Result::err)
                .unwrap_or_else(|| Box::new(gone))
        })
    }
}

/// Iterates over the responses of a listing with undecoded bodies; made by [`Client::replies`](crate::Client::replies).
#[derive(Debug)]
#[must_use]
pub struct Replies<R: Paged = ListRequest>(Fetcher<R, Reply<Vec<u8>>>);

impl<R: Paged> Replies<R> {
    pub(crate) fn new(driver: Arc<Driver>, listing: Listing<R>) -> Self {
        Self(Fetcher::new(driver, listing, Driver::drive))
    }

    /// Fetches up to this many pages at the same time, each by its own thread, and keeps their order. 0 counts as 1, and more
    /// than 64 counts as 64. The threads serve later pages, too, and end with the listing or when it is dropped.
    ///
    /// Reading ahead begins when a link has announced a next page. Pages that were requested beyond the end are dropped.
    pub fn read_ahead(mut self, pages: usize) -> Self {
        self.0.read_ahead(pages);
        self
    }
}

impl<R: Paged> Iterator for Replies<R> {
    type Item = Result<Reply<Vec<u8>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|listing, reply| {
            listing.advance_undecoded(&reply);
            reply
        })
    }
}

impl<R: Paged> FusedIterator for Replies<R> {}

/// Iterates over the pages of a listing; made by [`Client::pages`](crate::Client::pages).
#[derive(Debug)]
#[must_use]
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
}

impl<R: Paged> Iterator for Pages<R> {
    type Item = Result<Page<Vec<u8>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|listing, page| {
            listing.advance(&page);
            page
        })
    }
}

impl<R: Paged> FusedIterator for Pages<R> {}

/// Iterates over the keys of a listing; made by [`Client::keys`](crate::Client::keys).
#[derive(Debug)]
#[must_use]
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
}

impl<R: Paged> Iterator for Keys<R> {
    type Item = Result<OwnedModelKey, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.as_mut().and_then(OwnedPageKeys::next) {
                return Some(Ok(key));
            }
            let buffer = self.page.take().map(OwnedPageKeys::into_body);
            self.pages.buffers.extend(buffer);
            match self.pages.next(Listing::accept_owned)? {
                Ok(keys) => self.page = Some(keys),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<R: Paged> FusedIterator for Keys<R> {}

fn page<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
    driver: &Driver,
    request: &R,
    buffer: Vec<u8>,
    deadline: &Deadline,
) -> Result<Page<Vec<u8>>, Error> {
    R::read(driver.drive(request, buffer, deadline)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::ThreadId;

    use atlas_model_keys_core::{BaseUrl, Credentials, Limits, ModelKey};
    use atlas_model_keys_transport::Settings;
    use http::Response;

    use crate::http::Http;

    /// A page, and the thread that fetched it.
    type Fetched = (ThreadId, Page<Vec<u8>>);

    const PAGES: u32 = 20;

    fn fetch(
        _: &Driver,
        request: &ListRequest,
        _: Vec<u8>,
        _: &Deadline,
    ) -> Result<Fetched, Error> {
        let number = request.page_num().get();
        let rel = if number < PAGES { "next" } else { "self" };
        let body = format!(r#"{{"links":[{{"rel":"{rel}"}}],"results":[{{"name":"{number}"}}]}}"#);
        let page = Reply::from_response(Response::new(body.into_bytes()))?.into_page()?;
        Ok((thread::current().id(), page))
    }

    fn fetcher() -> Fetcher<ListRequest, Fetched> {
        let credentials = Credentials::bearer("token").unwrap();
        let base = BaseUrl::new("http://127.0.0.1:9").unwrap();
        let resolved = Settings::new(base, credentials, "test")
            .resolve(false)
            .unwrap();
        let http = Http::new(&resolved, None);
        let driver = Arc::new(Driver::new(resolved, http));
        let group = "0123456789abcdef01234567".parse().unwrap();
        let listing = Listing::new(ListRequest::new(group), &Limits::default());
        let mut fetcher = Fetcher::new(driver, listing, fetch);
        fetcher.read_ahead(4);
        fetcher
    }

    fn next(fetcher: &mut Fetcher<ListRequest, Fetched>) -> Option<(ThreadId, String)> {
        let next = fetcher.next(|listing, (by, page)| {
            listing.advance(&page);
            let name = page.keys().next().and_then(ModelKey::name);
            (by, name.unwrap_or_default().to_owned())
        });
        next.map(Result::unwrap)
    }

    fn all(fetcher: &mut Fetcher<ListRequest, Fetched>) -> (BTreeSet<String>, Vec<String>) {
        let fetched: Vec<_> = std::iter::from_fn(|| next(fetcher)).collect();
        let by = fetched.iter().map(|(by, _)| format!("{by:?}"));
        (
            by.collect(),
            fetched.iter().map(|(_, name)| name.clone()).collect(),
        )
    }

    fn in_order() -> Vec<String> {
        (1..=PAGES).map(|number| number.to_string()).collect()
    }

    #[test]
    fn workers_serve_later_pages() {
        let (by, pages) = all(&mut fetcher());
        assert_eq!(pages, in_order());
        // The caller's thread fetches the first page.
        assert_eq!(by.len(), 5, "{by:?}");
    }

    #[test]
    fn without_threads_the_caller_fetches() {
        let mut fetcher = fetcher();
        fetcher.spawn = || Err(io::ErrorKind::WouldBlock.into());
        let (by, pages) = all(&mut fetcher);
        assert_eq!(pages, in_order());
        assert_eq!(by.len(), 1);
        assert!(by.contains(&format!("{:?}", thread::current().id())));
    }

    #[test]
    fn panic_reaches_the_caller_and_ends_the_listing() {
        let mut fetcher = fetcher();
        fetcher.fetch = |driver, request, buffer, deadline| match request.page_num().get() {
            5 => panic!("page 5"),
            _ => fetch(driver, request, buffer, deadline),
        };
        for _ in 1..5 {
            assert!(next(&mut fetcher).is_some());
        }
        let panic = catch_unwind(AssertUnwindSafe(|| next(&mut fetcher))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"page 5"));
        assert!(next(&mut fetcher).is_none());
    }

    #[test]
    fn debug_shows_no_body() {
        let mut fetcher = fetcher();
        fetcher.buffers.push(b"hunter2".to_vec());
        let shown = format!("{fetcher:?}");
        assert!(shown.contains("in_flight: 0"), "{shown}");
        assert!(
            !shown.contains("104") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn dropped_worker_ends() {
        let worker = Worker::<u32>::spawn().unwrap();
        worker.begin(|| Ok(7));
        let Worker {
            jobs,
            results,
            thread,
        } = worker;
        assert_eq!(results.recv().unwrap().unwrap(), 7);
        drop((jobs, results));
        thread.unwrap().join().unwrap();
    }
}
