//! The threads that fetch the pages of a listing, with a transport that responds from a script.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Failure, ListRequest, ModelKey, Page,
};
use atlas_model_keys_transport::{
    AsyncTransport, ClientSettings, SendContext, Transport, asynchronous, blocking,
};
use http::{Request, Response, StatusCode};

const PAGES: u32 = 20;

/// Responds to the request for a page, and records the thread that asks.
#[derive(Clone)]
struct Scripted {
    respond: fn(u32) -> Response<Vec<u8>>,
    seen: Arc<Mutex<Vec<(u32, ThreadId)>>>,
}

impl Scripted {
    fn new(respond: fn(u32) -> Response<Vec<u8>>) -> Self {
        Self {
            respond,
            seen: Arc::default(),
        }
    }

    fn exchange(&self, request: &Request<Body>) -> Response<Vec<u8>> {
        let mut parameters = request.uri().query().unwrap_or_default().split('&');
        let page = parameters.find_map(|parameter| parameter.strip_prefix("pageNum="));
        let page = page.map_or(1, |page| page.parse().unwrap());
        let by = thread::current().id();
        self.seen.lock().unwrap().push((page, by));
        (self.respond)(page)
    }

    fn blocking_pages(&self) -> blocking::Pages {
        let client = blocking::Client::new(settings(), self.clone()).unwrap();
        client.pages(&list())
    }

    fn threads(&self) -> HashSet<ThreadId> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .map(|(_, by)| *by)
            .collect()
    }

    /// Returns the requested pages in ascending order.
    fn requested(&self) -> Vec<u32> {
        let mut pages: Vec<_> = self.seen.lock().unwrap().iter().map(|(p, _)| *p).collect();
        pages.sort_unstable();
        pages
    }
}

impl Transport for Scripted {
    fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        Ok(self.exchange(&request))
    }
}

impl AsyncTransport for Scripted {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        Ok(self.exchange(&request))
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending::<()>().await;
    }
}

fn settings() -> ClientSettings {
    let base = BaseUrl::new("http://127.0.0.1:9").unwrap();
    ClientSettings::new(base, Credentials::bearer("token").unwrap())
}

fn list() -> ListRequest {
    ListRequest::new("0123456789abcdef01234567".parse().unwrap())
}

fn page_of(number: u32, last: u32) -> Response<Vec<u8>> {
    let rel = if number < last { "next" } else { "self" };
    let body = format!(r#"{{"links":[{{"rel":"{rel}"}}],"results":[{{"name":"{number}"}}]}}"#);
    Response::new(body.into_bytes())
}

fn name(page: Result<Page<Vec<u8>>, Error>) -> String {
    let page = page.unwrap();
    page.keys()
        .next()
        .and_then(ModelKey::name)
        .unwrap_or_default()
        .to_owned()
}

fn in_order() -> Vec<String> {
    (1..=PAGES).map(|number| number.to_string()).collect()
}

fn is_callers(thread: &ThreadId) -> bool {
    *thread == thread::current().id()
}

#[test]
fn threads_serve_later_pages() {
    // A thread that is not free in time must not be replaced by a new one.
    for _ in 0..50 {
        let scripted = Scripted::new(|page| page_of(page, PAGES));
        let pages: Vec<_> = scripted.blocking_pages().read_ahead(4).map(name).collect();
        assert_eq!(pages, in_order());
        let threads = scripted.threads();
        // The caller's thread fetches the first page.
        assert!(threads.iter().any(is_callers));
        assert!(threads.len() <= 5, "{threads:?}");
    }
}

#[test]
fn as_many_threads_as_pages_are_read_ahead_fetch_at_the_same_time() {
    static IN_FLIGHT: Barrier = Barrier::new(4);
    // Each response waits for three other requests.
    let scripted = Scripted::new(|page| {
        if page > 1 {
            IN_FLIGHT.wait();
        }
        page_of(page, PAGES + 1)
    });
    let pages = scripted.blocking_pages().read_ahead(4).map(name).count();
    assert_eq!(pages, 21);
    assert_eq!(scripted.threads().len(), 5);
}

#[test]
fn caller_fetches_one_page_at_a_time_without_threads() {
    let scripted = Scripted::new(|page| page_of(page, PAGES));
    let pages: Vec<_> = scripted.blocking_pages().map(name).collect();
    assert_eq!(pages, in_order());
    assert_eq!(scripted.threads().len(), 1);
    assert!(scripted.threads().iter().all(is_callers));
}

#[test]
fn caller_fetches_all_pages_if_no_task_can_be_spawned() {
    let scripted = Scripted::new(|page| page_of(page, PAGES));
    let client = asynchronous::Client::new(settings(), scripted.clone()).unwrap();
    let mut stream = client.pages(&list()).read_ahead(4);
    let mut pages = Vec::new();
    smol::block_on(async {
        while let Some(page) = stream.next().await {
            pages.push(name(page));
        }
    });
    assert_eq!(pages, in_order());
    assert_eq!(scripted.threads().len(), 1);
    assert!(scripted.threads().iter().all(is_callers));
}

#[test]
fn panic_reaches_the_caller_and_ends_the_listing() {
    for ahead in [1, 4] {
        let scripted = Scripted::new(|page| match page {
            5 => panic!("page 5"),
            _ => page_of(page, PAGES),
        });
        let mut pages = scripted.blocking_pages().read_ahead(ahead);
        for _ in 1..5 {
            assert!(pages.next().is_some());
        }
        let panic = catch_unwind(AssertUnwindSafe(|| pages.next())).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"page 5"));
        assert!(pages.next().is_none());
    }
}

#[test]
fn errors_of_pages_beyond_the_end_are_dropped() {
    let respond = |page| match page {
        1..=5 => page_of(page, 5),
        _ => {
            let mut response = Response::new(Vec::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    let scripted = Scripted::new(respond);
    let pages: Vec<_> = scripted.blocking_pages().read_ahead(4).map(name).collect();
    assert_eq!(pages, ["1", "2", "3", "4", "5"]);
    // No page was requested twice.
    let requested = scripted.requested();
    assert!(requested.starts_with(&[1, 2, 3, 4, 5]), "{requested:?}");

    let scripted = Scripted::new(respond);
    let client = asynchronous::Client::new(settings(), scripted.clone()).unwrap();
    let mut stream = client.pages(&list()).read_ahead(4);
    smol::block_on(async {
        for number in ["1", "2", "3", "4", "5"] {
            assert_eq!(name(stream.next().await.unwrap()), number);
        }
        assert!(stream.next().await.is_none());
    });
    // Pages that nobody polled were not requested.
    assert_eq!(scripted.requested(), [1, 2, 3, 4, 5]);
}

#[test]
fn error_ends_the_listing_and_drops_the_pages_after_it() {
    for ahead in [1, 4] {
        let scripted = Scripted::new(|page| {
            let mut response = page_of(page, PAGES);
            if page == 3 {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            response
        });
        let mut pages = scripted.blocking_pages().read_ahead(ahead);
        assert_eq!(name(pages.next().unwrap()), "1");
        assert_eq!(name(pages.next().unwrap()), "2");
        let error = pages.next().unwrap().unwrap_err();
        assert_eq!(error.status(), Some(StatusCode::FORBIDDEN));
        assert!(pages.next().is_none());
    }
}

#[test]
fn debug_shows_no_body() {
    let scripted = Scripted::new(|_| {
        let body = br#"{"links":[],"results":[{"name":"hunter2"}]}"#;
        Response::new(body.to_vec())
    });
    let client = blocking::Client::new(settings(), scripted).unwrap();
    let mut keys = client.keys(&list());
    assert!(keys.next().is_some());
    // At the end, the body of the last page is kept for reuse.
    assert!(keys.next().is_none());
    let shown = format!("{keys:?}");
    assert!(shown.contains("in_flight: 0"), "{shown}");
    assert!(
        !shown.contains("104") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn clients_and_their_listings_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<blocking::Client>();
    check::<blocking::Keys>();
    check::<blocking::Pages>();
    check::<blocking::Replies>();
    check::<asynchronous::Client>();
    check::<asynchronous::Keys>();
    check::<asynchronous::Pages>();
    check::<asynchronous::Replies>();
}

#[test]
fn stream_whose_pages_are_ready_lets_other_work_have_a_turn() {
    let scripted = Scripted::new(|page| page_of(page, 1000));
    let client = asynchronous::Client::new(settings(), scripted).unwrap();
    let mut keys = client.pages(&list());
    let mut turns = 0;
    let mut pages = 0;
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while pages < 1000 {
        let mut next = std::pin::pin!(keys.next());
        match next.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(page) => {
                page.unwrap().unwrap();
                pages += 1;
            }
            std::task::Poll::Pending => turns += 1,
        }
    }
    assert!((20..=1000).contains(&turns), "{turns}");
}
