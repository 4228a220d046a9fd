//! What is particular to the async client: runtimes, dropped futures, streams. What both clients do is
//! in the workspace's conformance tests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Operation};
use atlas_model_keys_hyper::{
    BaseUrl, Client, ClientBuilder, Credentials, GroupId, Keys, ListRequest, Pages, Replies,
};
use http::{HeaderMap, StatusCode};
use tokio::task::JoinSet;

struct Atlas {
    server: Server,
    group: GroupId,
}

impl Atlas {
    fn start(keys_per_group: usize, latency: Duration) -> Self {
        let emulator = Emulator::new(Config {
            keys_per_group,
            ..Config::default()
        });
        let group = emulator.first_group();
        let options = Options {
            latency,
            ..Options::default()
        };
        let server = Server::start(emulator, options).unwrap();
        Self { server, group }
    }

    fn client(&self, credentials: Credentials) -> Client {
        let base = BaseUrl::new(&self.server.base_url()).unwrap();
        Client::new(base, credentials).unwrap()
    }

    fn service_account(&self) -> Credentials {
        let account = self.server.with(|e| e.service_account().clone());
        Credentials::service_account(account.client_id, account.client_secret).unwrap()
    }

    fn api_key(&self) -> Credentials {
        let key = self.server.with(|e| e.api_key().clone());
        Credentials::api_key(key.public_key, key.private_key).unwrap()
    }

    fn request(&self) -> ListRequest {
        ListRequest::new(self.group)
    }
}

#[test]
fn clients_are_shared_and_everything_may_move_to_another_thread() {
    fn is<T: Send + Sync + 'static>() {}
    fn may_move<T: Send + 'static>(_: T) {}
    is::<Client>();
    is::<ClientBuilder>();
    may_move(|client: Client, request: ListRequest| {
        may_move(async move { client.list(&request).await });
    });
    fn of_the_futures(client: &'static Client, request: &'static ListRequest) {
        may_move(client.list(request));
        may_move(client.reply(request));
        may_move(client.list_all(request));
        may_move(client.revoke_token());
        may_move::<(Pages, Keys, Replies)>((
            client.pages(request),
            client.keys(request),
            client.replies(request),
        ));
    }
    let _ = of_the_futures;
}

#[test]
fn it_runs_on_both_kinds_of_runtime() {
    let atlas = Atlas::start(250, Duration::ZERO);
    let request = atlas.request();
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let multi = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for runtime in [&current, &multi] {
        let client = atlas.client(atlas.service_account());
        let keys = runtime.block_on(client.list_all(&request)).unwrap();
        assert_eq!(keys.len(), 250);
    }
}

/// Polls the future so often and drops it then. Whether it was done by then.
async fn poll_and_drop(future: impl Future, polls: usize) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn a_listing_that_is_dropped_at_any_await_leaves_the_client_usable() {
    let atlas = Atlas::start(250, Duration::ZERO);
    for credentials in [Atlas::service_account, Atlas::api_key] {
        for read_ahead in [1, 4] {
            let mut polls = 1;
            let mut dropped = 0;
            loop {
                // Cold each time, so that the token, the challenge and the connections are dropped, too.
                let client = atlas.client(credentials(&atlas));
                let list_all = async {
                    let mut keys = client.keys(&atlas.request()).read_ahead(read_ahead);
                    while let Some(key) = keys.next().await {
                        key.unwrap();
                    }
                };
                let done = poll_and_drop(list_all, polls).await;
                let again = client.list_all(&atlas.request()).await;
                assert_eq!(again.unwrap().len(), 250, "after {polls} polls");
                if done {
                    break;
                }
                dropped += 1;
                polls += 1;
            }
            // A token or a challenge, and three pages: at least a head and a body of each.
            assert!(dropped >= 6, "{dropped}");
        }
    }
}

#[tokio::test]
async fn a_leader_that_is_dropped_lets_another_one_fetch_the_token() {
    let atlas = Atlas::start(1, Duration::from_millis(20));
    let client = atlas.client(atlas.service_account());
    let request = atlas.request();
    let mut tasks = JoinSet::new();
    let leader = {
        let client = client.clone();
        tasks.spawn(async move { client.list(&request).await.map(|page| page.len()) })
    };
    // Until its token request is under way, and others wait for it.
    while atlas.server.with(|e| e.token_requests()) == 0 && !leader.is_finished() {
        for _ in 0..10 {
            let client = client.clone();
            tasks.spawn(async move { client.list(&request).await.map(|page| page.len()) });
        }
        tokio::task::yield_now().await;
        if tasks.len() > 50 {
            break;
        }
    }
    leader.abort();
    while let Some(outcome) = tasks.join_next().await {
        match outcome {
            Ok(listed) => assert_eq!(listed.unwrap(), 1),
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert!(atlas.server.with(|e| e.token_requests()) <= 2);
}

#[tokio::test]
async fn a_stream_that_is_dropped_ends_what_it_had_asked_for() {
    let atlas = Atlas::start(10_000, Duration::from_millis(5));
    let client = atlas.client(atlas.api_key());
    let mut keys = client.keys(&atlas.request()).read_ahead(8);
    for _ in 0..101 {
        keys.next().await.unwrap().unwrap();
    }
    drop(keys);
    let after = atlas.server.with(|e| e.requests());
    assert_eq!(client.list(&atlas.request()).await.unwrap().len(), 100);
    // What was under way may have arrived; nothing was asked for anew.
    let new = atlas.server.with(|e| e.requests()) - after;
    assert!(new <= 16, "{new}");
}

#[tokio::test]
async fn a_panic_while_reading_ahead_is_the_readers() {
    let atlas = Atlas::start(300, Duration::ZERO);
    let base = BaseUrl::new(&atlas.server.base_url()).unwrap();
    let client = Client::builder(base, atlas.api_key())
        .on_wait(|_| panic!("on_wait"))
        .build()
        .unwrap();
    let mut keys = client.keys(&atlas.request()).read_ahead(2);
    for _ in 0..100 {
        keys.next().await.unwrap().unwrap();
    }
    atlas.server.with(|e| {
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        e.fail_next(2, Operation::ListGroupKeys, busy, &HeaderMap::new());
    });
    let panicked = tokio::spawn(async move { keys.next().await.map(|key| key.is_ok()) }).await;
    assert!(panicked.unwrap_err().is_panic());
    // And nothing is locked.
    assert_eq!(client.version(), client.clone().version());
    assert_eq!(client.list_all(&atlas.request()).await.unwrap().len(), 300);
}
