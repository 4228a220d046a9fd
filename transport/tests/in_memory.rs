//! The clients over the emulator in memory: no sockets, no runtime, no real waits.

use std::fs;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use atlas_model_keys_core::{
    BaseUrl, Credentials, Error, FailureKind, ItemsPerPage, Limits, ListRequest, OwnedModelKey,
    RetryPolicy,
};
use atlas_model_keys_transport::emulator::{
    Area, Config, CredentialKind, Emulator, Fault, Injection, Names, Route, TokenBucket,
};
use atlas_model_keys_transport::{
    ClientSettings, Clock as _, InMemoryAtlas, asynchronous, blocking,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

const KINDS: [CredentialKind; 3] = [
    CredentialKind::ApiKey,
    CredentialKind::ServiceAccount,
    CredentialKind::AccessToken,
];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Awaits all futures, which take turns.
async fn join<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (future, output) in &mut pending {
            if output.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        match pending.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Polls a future once and returns whether it is ready.
fn is_ready_at_once(future: Pin<&mut impl Future>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

fn with_keys(keys: usize) -> InMemoryAtlas {
    InMemoryAtlas::new(
        Config::default()
            .with_keys_per_group(keys)
            .with_names(Names::Hostile),
    )
}

fn fail_next(atlas: &InMemoryAtlas, times: usize, status: StatusCode, retry_after: &'static str) {
    let value = HeaderValue::from_static(retry_after);
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value)]);
    atlas.with(|emulator| emulator.fail_next(times, Route::ListGroupKeys, status, &headers));
}

fn inject(atlas: &InMemoryAtlas, fault: impl Into<Injection>) {
    atlas.with(|emulator| emulator.inject(fault));
}

fn names(keys: &[OwnedModelKey]) -> Vec<Option<&str>> {
    keys.iter().map(|key| key.as_key().name()).collect()
}

fn failure_kind(error: &Error) -> Option<FailureKind> {
    match error {
        Error::Transport { kind, .. } => Some(*kind),
        _ => None,
    }
}

#[test]
fn each_kind_of_credentials_lists_1234_keys_in_order() {
    let atlas = with_keys(1234);
    let list = atlas.list_request();
    let expected: Vec<_> = atlas.with(|emulator| {
        let keys = emulator.keys(emulator.first_group());
        keys.iter().map(|key| key.name.clone()).collect()
    });
    let expected: Vec<_> = expected.iter().map(Option::as_deref).collect();
    for kind in KINDS {
        let client = atlas.blocking_client(kind).unwrap();
        assert_eq!(
            names(&client.list_all(&list).unwrap()),
            expected,
            "{kind:?}"
        );
        let ahead: Result<Vec<_>, _> = client.keys(&list).read_ahead(4).collect();
        assert_eq!(names(&ahead.unwrap()), expected, "{kind:?}");

        let client = atlas.async_client(kind).unwrap();
        let all = block_on(client.list_all(&list)).unwrap();
        assert_eq!(names(&all), expected, "{kind:?}");
        let ahead = block_on(async {
            let mut keys = client.keys(&list).read_ahead(4);
            let mut all = Vec::new();
            while let Some(key) = keys.next().await {
                all.push(key.unwrap());
            }
            all
        });
        assert_eq!(names(&ahead), expected, "{kind:?}");
    }
}

#[test]
fn listing_has_the_expected_pages() {
    let atlas = with_keys(250);
    let list = atlas.list_request();
    let sizes = |pages: blocking::Pages| -> Vec<usize> {
        pages.map(|page| page.unwrap().keys().count()).collect()
    };
    let client = atlas.blocking_client(CredentialKind::AccessToken).unwrap();
    assert_eq!(sizes(client.pages(&list)), [100, 100, 50]);
    assert_eq!(sizes(client.pages(&list).read_ahead(9)), [100, 100, 50]);
    let items = ItemsPerPage::new(200).unwrap();
    assert_eq!(
        sizes(client.pages(&list.with_items_per_page(items))),
        [200, 50]
    );
}

#[test]
fn one_token_request_serves_all_threads() {
    let atlas = with_keys(5);
    let client = atlas
        .blocking_client(CredentialKind::ServiceAccount)
        .unwrap();
    let (list, barrier) = (atlas.list_request(), Barrier::new(16));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(client.list_all(&list).unwrap().len(), 5);
            });
        }
    });
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 1);
    assert_eq!(atlas.clock().elapsed(), Duration::ZERO);
}

async fn list_in_16_futures(atlas: &InMemoryAtlas) {
    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    let list = atlas.list_request();
    let lengths = join((0..16).map(|_| async { client.list_all(&list).await.unwrap().len() }));
    assert_eq!(lengths.await, [5; 16]);
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 1);
    assert_eq!(atlas.clock().elapsed(), Duration::ZERO);
}

#[test]
fn one_token_request_serves_all_futures_in_each_executor() {
    block_on(list_in_16_futures(&with_keys(5)));
    smol::block_on(list_in_16_futures(&with_keys(5)));
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(list_in_16_futures(&with_keys(5)));
}

#[test]
fn retry_after_of_a_minute_takes_no_real_time() {
    let begun = Instant::now();
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas.blocking_client(CredentialKind::ApiKey).unwrap();
    fail_next(&atlas, 1, StatusCode::TOO_MANY_REQUESTS, "60");
    assert_eq!(client.list_all(&list).unwrap().len(), 5);
    let elapsed = atlas.clock().elapsed();
    assert!((seconds(60)..seconds(62)).contains(&elapsed), "{elapsed:?}");

    let client = atlas.async_client(CredentialKind::ApiKey).unwrap();
    fail_next(&atlas, 1, StatusCode::TOO_MANY_REQUESTS, "60");
    assert_eq!(block_on(client.list_all(&list)).unwrap().len(), 5);
    let elapsed = atlas.clock().elapsed() - elapsed;
    assert!((seconds(60)..seconds(62)).contains(&elapsed), "{elapsed:?}");
    assert!(begun.elapsed() < seconds(10));
}

#[test]
fn rate_limit_of_the_emulator_is_waited_out() {
    let atlas = with_keys(50);
    let bucket = TokenBucket::new(5, 1, seconds(1));
    atlas.with(|emulator| emulator.set_rate_limit(Some(bucket)));
    let list = atlas.list_request();
    let list = list.with_items_per_page(ItemsPerPage::new(1).unwrap());
    let client = atlas.blocking_client(CredentialKind::AccessToken).unwrap();
    assert_eq!(client.list_all(&list).unwrap().len(), 50);
    // 50 pages at one per second, after a burst of five.
    assert!(atlas.clock().elapsed() >= seconds(44));
}

#[test]
fn deadline_does_not_include_rate_limits_that_are_waited_out() {
    for (waits_out, kind) in [false, true]
        .into_iter()
        .flat_map(|waits_out| KINDS.map(|kind| (waits_out, kind)))
    {
        let atlas = with_keys(5);
        let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("80"))]);
        // Seven minutes, and the deadline is four.
        atlas.with(|emulator| {
            emulator.fail_next(
                5,
                Route::ListGroupKeys,
                StatusCode::TOO_MANY_REQUESTS,
                &wait,
            );
        });
        let policy = RetryPolicy::default()
            .with_waits_out_rate_limits(waits_out)
            .with_total_wait(seconds(3600));
        let settings = atlas
            .settings(kind)
            .unwrap()
            .limits(Limits::default().with_retry(policy));
        let list = atlas.list_request();
        let client = blocking::Client::new(settings, atlas.clone()).unwrap();
        match client.list(&list) {
            Ok(page) => assert!(waits_out && page.len() == 5),
            Err(error) => {
                assert!(!waits_out, "{error}");
                assert!(matches!(error, Error::RateLimited { .. }), "{error}");
            }
        }
    }
}

#[test]
fn access_token_is_fetched_once_by_all_who_want_it_and_can_be_revoked() {
    let atlas = with_keys(5);
    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    let tokens = block_on(join((0..4).map(|_| client.access_token())));
    let tokens: Vec<_> = tokens.into_iter().map(Result::unwrap).collect();
    assert!(
        tokens
            .iter()
            .all(|token| token.expose() == tokens[0].expose())
    );
    let requests = || atlas.with(|emulator| (emulator.requests(), emulator.token_requests()));
    assert_eq!(requests(), (1, 1));

    // Another program uses it until it is revoked.
    let other = Credentials::bearer(tokens[0].expose()).unwrap();
    let settings = ClientSettings::new(BaseUrl::default(), other).clock(atlas.clock().clone());
    let other = blocking::Client::new(settings, atlas.clone()).unwrap();
    other.list(&atlas.list_request()).unwrap();
    block_on(client.revoke(&tokens[0])).unwrap();
    let error = other.list(&atlas.list_request()).unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
    block_on(client.list(&atlas.list_request())).unwrap();
    assert_eq!(requests().1, 2);
}

#[test]
fn expired_token_is_fetched_again() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas
        .blocking_client(CredentialKind::ServiceAccount)
        .unwrap();
    let tokens = || {
        client.list(&list).unwrap();
        atlas.with(|emulator| emulator.token_requests())
    };
    assert_eq!([tokens(), tokens()], [1, 1]);
    // The token is valid for an hour.
    atlas.clock().advance(seconds(3600));
    assert_eq!([tokens(), tokens()], [2, 2]);

    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    block_on(client.list(&list)).unwrap();
    atlas.clock().advance(seconds(3600));
    block_on(client.list(&list)).unwrap();
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 4);
}

#[test]
fn clone_with_another_deadline_shares_the_session() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas
        .blocking_client(CredentialKind::ServiceAccount)
        .unwrap();
    client.list(&list).unwrap();
    let clone = client.with_deadline(seconds(10));
    clone.list(&list).unwrap();
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 1);
    // Only the clone has the shorter deadline.
    inject(&atlas, Fault::STALL_BEFORE_HEAD.times(1));
    let error = clone.list(&list).unwrap_err();
    assert_eq!(failure_kind(&error), Some(FailureKind::TimedOut));
    assert_eq!(atlas.clock().elapsed(), seconds(10));
    inject(&atlas, Fault::STALL_BEFORE_HEAD.times(1));
    assert!(client.list(&list).is_ok());
    assert!(atlas.clock().elapsed() >= seconds(40));

    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    block_on(async {
        client.list(&list).await.unwrap();
        let clone = client.with_deadline(seconds(10));
        inject(&atlas, Fault::STALL_IN_BODY.times(1));
        let error = clone.list(&list).await.unwrap_err();
        assert_eq!(failure_kind(&error), Some(FailureKind::TimedOut));
        assert!(clone.list(&list).await.is_ok());
    });
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 2);
}

#[test]
fn retries_end_at_the_deadline() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let settings = atlas.settings(CredentialKind::AccessToken).unwrap();
    let mut limits = Limits::default();
    limits.retry.attempts = 100;
    let client =
        blocking::Client::new(settings.limits(limits).deadline(seconds(45)), atlas.clone())
            .unwrap();
    fail_next(&atlas, 100, StatusCode::SERVICE_UNAVAILABLE, "10");
    let error = client.list(&list).unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    // Each wait takes ten seconds and more. The one that would end too late is not begun.
    let elapsed = atlas.clock().elapsed();
    assert!((seconds(20)..seconds(45)).contains(&elapsed), "{elapsed:?}");
}

#[test]
fn pause_of_the_server_moves_the_clock() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas
        .blocking_client(CredentialKind::ServiceAccount)
        .unwrap();
    let slow = Fault::TOKEN_SLOW.with_delay(seconds(2)).unwrap();
    inject(&atlas, slow.times(1));
    assert_eq!(client.list_all(&list).unwrap().len(), 5);
    assert_eq!(atlas.clock().elapsed(), seconds(2));
    // Beyond half a minute the server closes the connection.
    let slow = Fault::SLOW_BODY.with_delay(seconds(10)).unwrap();
    inject(&atlas, slow.times(1));
    assert_eq!(client.list_all(&list).unwrap().len(), 5);
    let elapsed = atlas.clock().elapsed();
    assert!((seconds(32)..seconds(34)).contains(&elapsed), "{elapsed:?}");
}

#[test]
fn refused_connection_is_retried_and_not_seen_by_the_emulator() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas.blocking_client(CredentialKind::AccessToken).unwrap();
    atlas.refuse_connections(2);
    assert_eq!(client.reply(&list).unwrap().attempts(), 3);
    assert_eq!(atlas.with(|emulator| emulator.requests()), 1);
    atlas.refuse_connections(u32::MAX);
    let error = client.reply(&list).unwrap_err();
    assert_eq!(failure_kind(&error), Some(FailureKind::NotSent));
    atlas.refuse_connections(0);
    assert!(client.reply(&list).is_ok());
}

#[test]
fn dropped_future_is_not_sent_and_lets_others_continue() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    let mut leader = Box::pin(client.list(&list));
    assert!(!is_ready_at_once(leader.as_mut()));
    let mut waiter = Box::pin(client.list(&list));
    // It waits for the token of the other call.
    assert!(!is_ready_at_once(waiter.as_mut()));
    assert!(!is_ready_at_once(waiter.as_mut()));
    drop(leader);
    assert_eq!(atlas.with(|emulator| emulator.requests()), 0);
    assert!(block_on(waiter).is_ok());
    assert_eq!(atlas.with(|emulator| emulator.token_requests()), 1);
}

#[test]
fn call_that_waits_for_an_idle_future_continues_when_the_clock_moves() {
    let atlas = with_keys(5);
    let list = atlas.list_request();
    let client = atlas.async_client(CredentialKind::ServiceAccount).unwrap();
    let mut idle = pin!(client.list(&list));
    assert!(!is_ready_at_once(idle.as_mut()));
    let mut waiter = pin!(client.list(&list));
    for _ in 0..3 {
        assert!(!is_ready_at_once(waiter.as_mut()));
    }
    atlas.clock().advance(seconds(90));
    assert!(block_on(waiter).is_ok());
    assert!(block_on(idle).is_ok());
}

#[test]
fn debug_of_the_transport_shows_no_secret() {
    let atlas = with_keys(5);
    let shown = format!(
        "{atlas:?} {:?}",
        atlas.settings(CredentialKind::ApiKey).unwrap()
    );
    let secret = atlas.with(|emulator| emulator.api_key().private_key.clone());
    assert!(!shown.contains(&secret), "{shown}");
}

/// Lists five keys in pages of two, and returns the outcome as in `docs/faults.md`.
fn outcome(client: &blocking::Client, list: &ListRequest) -> String {
    let mut ids = Vec::new();
    for key in client.keys(list).take(100_000) {
        match key {
            Ok(key) => ids.push(key.as_key().api_key_id().map(str::to_owned)),
            Err(error) if ids.is_empty() => return error.to_string(),
            Err(error) => return format!("{} keys, then: {error}", ids.len()),
        }
    }
    ids.sort();
    ids.dedup();
    match ids.len() {
        5 => "all keys".to_owned(),
        n => format!("{n} keys"),
    }
}

/// Leaves out places, which depend on the length of the base URL, and waits, which depend on the time of day.
fn without_places(text: &str) -> &str {
    [" (line ", ", at results", "would have to wait "]
        .iter()
        .filter_map(|end| text.find(end))
        .min()
        .and_then(|end| text.get(..end))
        .unwrap_or(text)
}

/// The faults with another outcome than over a socket.
const OTHER_OUTCOMES: &[&str] = &[
    // Over a socket, the body is compressed, and its end is missing.
    "length-too-small",
    // These have an outcome for each client.
    "length-max",
    "digest-realm-utf8",
    "digest-realm-latin1",
    // The transport has its own limits, or none: the core checks the head.
    "chunked-extensions-long",
    "chunk-size-huge",
    "header-long",
    "headers-many",
    "switching-protocols",
    // Nothing is decompressed.
    "gzip",
    "gzip-two-members",
    "gzip-bomb",
    "gzip-corrupt",
    "gzip-bad-checksum",
    "gzip-truncated",
    "gzip-trailing-garbage",
    "gzip-trailing-zeros",
    "gzip-label-only",
];

#[test]
fn faults_have_the_same_outcome_as_over_a_socket() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
    let table = fs::read_to_string(path).unwrap();
    let mut others = Vec::new();
    for fault in Fault::all() {
        let start = format!("| `{fault}` | {} | ", fault.description());
        let row = table.lines().find_map(|row| row.strip_prefix(&start));
        let expected = row.unwrap().trim_end_matches(" |").replace("\\|", "|");
        let kind = match fault.area() {
            Area::Token => CredentialKind::ServiceAccount,
            Area::Digest => CredentialKind::ApiKey,
            _ => CredentialKind::AccessToken,
        };
        let atlas = InMemoryAtlas::new(
            Config::default()
                .with_keys_per_group(5)
                .with_names(Names::Hostile)
                .with_rate_limit(None),
        );
        let mut limits = Limits::default();
        limits.retry.base = Duration::from_millis(1);
        limits.retry.attempts = 2;
        // As in the test that writes the table.
        limits.pages = 100;
        let settings = atlas.settings(kind).unwrap().limits(limits);
        let client = blocking::Client::new(settings, atlas.clone()).unwrap();
        let items = ItemsPerPage::new(2).unwrap();
        let list = atlas.list_request().with_items_per_page(items);
        atlas.with(|emulator| emulator.inject(fault));
        let outcome = outcome(&client, &list);
        if without_places(&outcome) != without_places(&expected) {
            eprintln!("{fault}\n  socket: {expected}\n  memory: {outcome}");
            others.push(fault.name());
        }
        atlas.with(Emulator::heal);
    }
    others.sort_unstable();
    let mut expected = OTHER_OUTCOMES.to_vec();
    expected.sort_unstable();
    assert_eq!(others, expected);
}

#[test]
fn async_calls_are_send() {
    fn is_send<T: Send>(_: T) {}
    let atlas = with_keys(5);
    let client: asynchronous::Client = atlas.async_client(CredentialKind::ApiKey).unwrap();
    is_send(client.list_all(&atlas.list_request()));
}
