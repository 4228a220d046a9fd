//! Tests of the async client only: runtimes, dropped futures, streams. The conformance tests cover both clients.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, pin::Pin};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Names, Route};
use atlas_model_keys_hyper::protocol::FailureKind;
use atlas_model_keys_hyper::{
    BaseUrl, BoxError, Client, ClientBuilder, Credentials, Error, Event, GroupId, Keys,
    ListRequest, Pages, Replies, WaitReason,
};
use http::{HeaderMap, StatusCode, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tower_service::Service;

/// A caller's connector that counts its uses. Its streams may say that they lead to a proxy.
#[derive(Clone)]
struct Own {
    tcp: HttpConnector,
    used: Arc<AtomicUsize>,
    is_proxied: bool,
}

impl Service<Uri> for Own {
    type Response = OwnStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<OwnStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.used.fetch_add(1, Ordering::SeqCst);
        let (connecting, is_proxied) = (self.tcp.call(uri), self.is_proxied);
        Box::pin(async move { Ok(OwnStream(connecting.await?, is_proxied)) })
    }
}

struct OwnStream(TokioIo<TcpStream>, bool);

impl Connection for OwnStream {
    fn connected(&self) -> Connected {
        self.0.connected().proxy(self.1)
    }
}

impl Read for OwnStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for OwnStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn own_connector_is_used_unless_it_would_show_the_credentials() {
    let atlas = Atlas::start(250, Duration::ZERO);
    for is_proxied in [false, true] {
        let used = Arc::new(AtomicUsize::new(0));
        let base = BaseUrl::new(&atlas.server.base_url()).unwrap();
        let connector = Own {
            tcp: HttpConnector::new(),
            used: Arc::clone(&used),
            is_proxied,
        };
        let before = atlas.server.with(|e| e.requests());
        let builder = Client::builder(base, atlas.api_key()).connector(connector);
        let client = builder.build().unwrap();
        let listed = client.list_all(&atlas.request()).await;
        assert!(used.load(Ordering::SeqCst) > 0);
        if is_proxied {
            assert!(matches!(
                listed,
                Err(Error::Transport {
                    kind: FailureKind::Permanent,
                    ..
                })
            ));
            assert_eq!(atlas.server.with(|e| e.requests()), before);
        } else {
            assert_eq!(listed.unwrap().len(), 250);
        }
    }
    // Settings that the connector would ignore are refused.
    let base = BaseUrl::new(&atlas.server.base_url()).unwrap();
    let connector = Own {
        tcp: HttpConnector::new(),
        used: Arc::default(),
        is_proxied: false,
    };
    let builder = Client::builder(base, atlas.api_key()).connector(connector);
    assert!(builder.no_proxy().build().is_err());
}

struct Atlas {
    server: Server,
    group: GroupId,
}

impl Atlas {
    fn start(keys_per_group: usize, latency: Duration) -> Self {
        let emulator = Emulator::new(
            Config::default()
                .with_keys_per_group(keys_per_group)
                .with_names(Names::Hostile),
        );
        let group = emulator.first_group();
        let options = Options::default().with_latency(latency);
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
fn clients_are_sync_and_all_futures_are_send() {
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
fn client_runs_on_both_kinds_of_runtime() {
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

/// Gives all tasks this many turns, and then drops the future. Returns whether it was ready by then.
async fn poll_and_drop(future: impl Future, turns: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..turns {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn listing_dropped_at_any_moment_leaves_the_client_usable() {
    for credentials in [Atlas::service_account, Atlas::api_key] {
        for read_ahead in [1, 4] {
            let atlas = Atlas::start(250, Duration::ZERO);
            let mut turns = 1;
            let mut dropped = 0;
            loop {
                // A new client each time, so that requests for a token or a challenge and connections are dropped, too.
                let client = atlas.client(credentials(&atlas));
                let list_all = async {
                    let mut keys = client.keys(&atlas.request()).read_ahead(read_ahead);
                    while let Some(key) = keys.next().await {
                        key.unwrap();
                    }
                };
                let done = poll_and_drop(list_all, turns).await;
                let again = client.list_all(&atlas.request()).await;
                assert_eq!(again.unwrap().len(), 250, "after {turns} turns");
                if done {
                    break;
                }
                dropped += 1;
                // Most happens in the first turns; later ones wait for the server. A service account may have only a
                // hundred tokens.
                turns += turns.div_ceil(3);
                if dropped % 30 == 0 {
                    atlas.server.with(Emulator::revoke_tokens);
                }
            }
            // A token or a challenge, and three pages, each with a head and a body.
            assert!(dropped >= 6, "{dropped}");
        }
    }
}

#[tokio::test]
async fn another_task_fetches_the_token_if_the_first_is_dropped() {
    let atlas = Atlas::start(1, Duration::from_millis(20));
    let client = atlas.client(atlas.service_account());
    let request = atlas.request();
    let mut tasks = JoinSet::new();
    let leader = {
        let client = client.clone();
        tasks.spawn(async move { client.list(&request).await.map(|page| page.len()) })
    };
    // Until its token request is in flight and other tasks wait for it.
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
async fn dropped_stream_ends_its_requests() {
    let atlas = Atlas::start(10_000, Duration::from_millis(5));
    let client = atlas.client(atlas.api_key());
    let mut keys = client.keys(&atlas.request()).read_ahead(8);
    for _ in 0..101 {
        keys.next().await.unwrap().unwrap();
    }
    drop(keys);
    let after = atlas.server.with(|e| e.requests());
    assert_eq!(client.list(&atlas.request()).await.unwrap().len(), 100);
    // Requests in flight may have arrived, but no new ones were sent.
    let new = atlas.server.with(|e| e.requests()) - after;
    assert!(new <= 16, "{new}");
}

#[tokio::test]
async fn panic_while_reading_ahead_reaches_the_reader() {
    let atlas = Atlas::start(300, Duration::ZERO);
    let base = BaseUrl::new(&atlas.server.base_url()).unwrap();
    let client = Client::builder(base, atlas.api_key())
        .on_event(panic_before_a_retry)
        .build()
        .unwrap();
    let request = atlas.request().with_items_per_page(50.try_into().unwrap());
    let mut keys = client.keys(&request).read_ahead(2);
    keys.next().await.unwrap().unwrap();
    // The next two pages may be here already, but not the one after them.
    atlas.server.with(|e| {
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        e.fail_next(1, Route::ListGroupKeys, busy, &HeaderMap::new());
    });
    let panicked = poll_fn(|cx| {
        loop {
            match catch_unwind(AssertUnwindSafe(|| pin!(keys.next()).poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(key))) => drop(key.unwrap()),
                Ok(Poll::Ready(None)) => return Poll::Ready(false),
                Err(_) => return Poll::Ready(true),
            }
        }
    });
    assert!(panicked.await);
    // The listing does not continue without the page.
    assert!(keys.next().await.is_none());
    // No lock is held.
    assert_eq!(client.version(), client.clone().version());
    assert_eq!(client.list_all(&atlas.request()).await.unwrap().len(), 300);
}

fn panic_before_a_retry(event: &Event<'_>) {
    if let Event::Waiting {
        reason: WaitReason::Response(_),
        ..
    } = event
    {
        panic!("before a retry");
    }
}
