//! What is particular to the blocking client: an agent of the caller's own, and threads. What both clients
//! do is in the workspace's conformance tests.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Operation};
use atlas_model_keys_ureq::core::FailureKind;
use atlas_model_keys_ureq::{
    BaseUrl, Client, ClientBuilder, Credentials, Error, GroupId, ListRequest,
};
use http::Response;

struct Atlas {
    server: Server,
    group: GroupId,
}

impl Atlas {
    fn start(options: Options) -> Self {
        let emulator = Emulator::new(Config {
            keys_per_group: 250,
            ..Config::default()
        });
        let group = emulator.first_group();
        let server = Server::start(emulator, options).unwrap();
        Self { server, group }
    }

    fn builder(&self) -> ClientBuilder {
        let base = BaseUrl::new(&self.server.base_url()).unwrap();
        let account = self.server.with(|e| e.service_account().clone());
        let account = Credentials::service_account(account.client_id, account.client_secret);
        Client::builder(base, account.unwrap())
    }

    fn request(&self) -> ListRequest {
        ListRequest::new(self.group)
    }
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

fn kind_of(error: &Error) -> FailureKind {
    match error {
        Error::Transport { kind, .. } => *kind,
        other => panic!("not a transport's error: {other:?}"),
    }
}

#[test]
fn an_agent_that_follows_redirects_does_not() {
    let (elsewhere, base) = listener();
    elsewhere.set_nonblocking(true).unwrap();
    let atlas = Atlas::start(Options::default());
    // Set up to do what must not be done.
    let careless = ureq::Agent::config_builder()
        .max_redirects(5)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .http_status_as_error(true)
        .timeout_recv_response(Some(Duration::from_nanos(1)))
        .build()
        .new_agent();
    let client = atlas.builder().agent(careless).build().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let answer = Response::builder().status(status).header("location", &base);
        let answer = answer.body(Vec::new()).unwrap();
        atlas
            .server
            .with(|emulator| emulator.answer_next(Operation::ListGroupKeys, answer));
        let error = client.list(&atlas.request()).unwrap_err();
        assert_eq!(error.status().unwrap(), status);
        assert!(error.to_string().contains("never followed"), "{error}");
    }
    let reached = elsewhere.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(reached, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn an_agents_proxy_is_not_used_for_loopback() {
    let (nobody, proxy) = listener();
    drop(nobody);
    let agent = ureq::Agent::config_builder()
        .proxy(Some(ureq::Proxy::new(&proxy).unwrap()))
        .build()
        .new_agent();
    let atlas = Atlas::start(Options::default());
    let client = atlas.builder().agent(agent).build().unwrap();
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 100);
}

#[test]
fn an_agent_and_what_it_would_not_heed_are_refused_together() {
    let atlas = Atlas::start(Options::default());
    for builder in [
        atlas.builder().proxy("http://127.0.0.1:1"),
        atlas.builder().no_proxy(),
        atlas.builder().root_certificates("none"),
    ] {
        let error = builder.agent(ureq::Agent::new_with_defaults()).build();
        assert_eq!(kind_of(&error.unwrap_err()), FailureKind::Permanent);
    }
}

#[test]
fn a_deadline_that_is_over_is_no_verdict_for_others() {
    let options = Options {
        latency: Duration::from_secs(60),
        ..Options::default()
    };
    let atlas = Atlas::start(options);
    let limit = Duration::from_millis(800);
    let client = atlas.builder().deadline(limit).build().unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| client.list(&atlas.request()).unwrap_err());
        // Most likely the first one's request is on its way by then; if not, the two change places.
        thread::sleep(limit / 4);
        let begin = Instant::now();
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(begin.elapsed() >= limit, "{:?}", begin.elapsed());
        assert_eq!(kind_of(&error), FailureKind::TimedOut);
        assert_eq!(kind_of(&leader.join().unwrap()), FailureKind::TimedOut);
    });
}

#[test]
fn an_iterator_that_is_dropped_ends_what_it_had_asked_for() {
    let atlas = Atlas::start(Options {
        latency: Duration::from_millis(5),
        ..Options::default()
    });
    let client = atlas.builder().build().unwrap();
    let one = atlas_model_keys_ureq::ItemsPerPage::MIN;
    let mut keys = client
        .keys(&atlas.request().items_per_page(one))
        .read_ahead(8);
    assert!(keys.by_ref().take(3).all(|key| key.is_ok()));
    drop(keys);
    let after = atlas.server.with(|e| e.requests());
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 100);
    // What was under way may have arrived; nothing was asked for anew.
    let new = atlas.server.with(|e| e.requests()) - after;
    assert!(new <= 9, "{new}");
}

#[test]
fn a_panic_while_reading_ahead_is_the_readers() {
    let atlas = Atlas::start(Options::default());
    let client = atlas
        .builder()
        .on_wait(|_| panic!("on_wait"))
        .build()
        .unwrap();
    let mut keys = client.keys(&atlas.request()).read_ahead(2);
    assert!(keys.by_ref().take(100).all(|key| key.is_ok()));
    atlas.server.with(|e| {
        let busy = http::StatusCode::SERVICE_UNAVAILABLE;
        e.fail_next(2, Operation::ListGroupKeys, busy, &http::HeaderMap::new());
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| keys.next().map(|key| key.is_ok())));
    assert!(panicked.is_err());
    // It does not go on with a page missing.
    assert!(keys.next().is_none());
    // And nothing is locked.
    assert_eq!(client.list_all(&atlas.request()).unwrap().len(), 250);
}

#[test]
fn a_credential_that_does_not_fit_is_refused_at_once() {
    let (listener, base) = listener();
    let client = |length| {
        let token = Credentials::bearer("t".repeat(length)).unwrap();
        Client::new(BaseUrl::new(&base).unwrap(), token).unwrap()
    };
    let request = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
    let error = client(100_000).list(&request).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent);
    // It would not fit the next time either.
    assert!(
        matches!(error, Error::Transport { attempts: 1, .. }),
        "{error:?}"
    );
    let shown = format!("{:?}", std::error::Error::source(&error));
    assert!(shown.contains("too long"), "{shown}");
    assert!(!format!("{error} {error:?}").contains("ttt"));

    // One that fits is sent.
    let server = thread::spawn(move || {
        drop(listener.accept().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut part = [0; 4096];
            let n = stream.read(&mut part).unwrap();
            head.extend_from_slice(&part[..n]);
        }
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        head.len()
    });
    let error = client(30_000).list(&request).unwrap_err();
    assert_eq!(error.status().unwrap(), 403);
    assert!(server.join().unwrap() > 30_000);
}
