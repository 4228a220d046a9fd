//! The client against the emulator over real HTTP, on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Operation, RateLimit, error_answer};
use atlas_model_keys_ureq::core::{ApiError, Endpoint, FailureKind};
use atlas_model_keys_ureq::{
    ApiVersion, BaseUrl, Client, ClientBuilder, Credentials, Error, GroupId, ItemsPerPage, Limits,
    ListRequest, RetryPolicy,
};
use http::{Response, StatusCode};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bearer,
    ServiceAccount,
    ApiKey,
}

const KINDS: [Kind; 3] = [Kind::Bearer, Kind::ServiceAccount, Kind::ApiKey];

/// An emulator that serves, and what a client needs for it.
struct Atlas {
    server: Server,
    group: GroupId,
}

impl Atlas {
    fn start(config: Config, options: Options) -> Self {
        let emulator = Emulator::new(config);
        let group = emulator.first_group();
        let server = Server::start(emulator, options).unwrap();
        Self { server, group }
    }

    fn with_keys(keys_per_group: usize) -> Self {
        let config = Config {
            keys_per_group,
            ..Config::default()
        };
        Self::start(config, Options::default())
    }

    fn base(&self) -> BaseUrl {
        BaseUrl::new(&self.server.base_url()).unwrap()
    }

    fn credentials(&self, kind: Kind) -> Credentials {
        self.server.with(|emulator| {
            let account = emulator.service_account().clone();
            let key = emulator.api_key().clone();
            match kind {
                Kind::Bearer => Credentials::bearer(emulator.access_token()),
                Kind::ServiceAccount => {
                    Credentials::service_account(account.client_id, account.client_secret)
                }
                Kind::ApiKey => Credentials::api_key(key.public_key, key.private_key),
            }
            .unwrap()
        })
    }

    fn builder(&self, kind: Kind) -> ClientBuilder {
        Client::builder(self.base(), self.credentials(kind))
    }

    fn client(&self, kind: Kind) -> Client {
        self.builder(kind).build().unwrap()
    }

    fn request(&self) -> ListRequest {
        ListRequest::new(self.group)
    }

    fn ids(&self) -> Vec<String> {
        self.server.with(|emulator| {
            let keys = emulator.keys(self.group).iter();
            keys.map(|key| key.api_key_id.clone().unwrap()).collect()
        })
    }

    fn answer_next(&self, answer: Response<Vec<u8>>) {
        self.server
            .with(|emulator| emulator.answer_next(Operation::ListGroupKeys, answer));
    }
}

/// Nothing is repeated, so that failures show at once.
fn once() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

fn transport(error: Error) -> (FailureKind, String) {
    match error {
        Error::Transport { kind, source, .. } => (kind, source.to_string()),
        other => panic!("not a transport's error: {other:?}"),
    }
}

#[test]
fn every_key_arrives_once_and_in_order_with_each_kind_of_credential() {
    for kind in KINDS {
        let atlas = Atlas::with_keys(1234);
        let client = atlas.client(kind);
        let expected = atlas.ids();

        let keys = client.keys(&atlas.request());
        let ids: Vec<_> = keys.map(|key| key.unwrap().api_key_id.unwrap()).collect();
        assert_eq!(ids, expected, "{kind:?}");

        let all = client.list_all(&atlas.request()).unwrap();
        let ids: Vec<_> = all.into_iter().map(|key| key.api_key_id.unwrap()).collect();
        assert_eq!(ids, expected, "{kind:?}");

        let pages = client.pages(&atlas.request().items_per_page(ItemsPerPage::MAX));
        let sizes: Vec<_> = pages.map(|page| page.unwrap().len()).collect();
        assert_eq!(sizes, [500, 500, 234], "{kind:?}");
    }
}

#[test]
fn a_hundred_threads_on_a_cold_client_make_one_token_request() {
    let config = Config::default();
    // With latency, the token is still on its way when the last thread starts.
    let options = Options {
        latency: Duration::from_millis(50),
        ..Options::default()
    };
    let atlas = Atlas::start(config, options);
    let client = atlas.client(Kind::ServiceAccount);
    let barrier = Barrier::new(100);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(client.list(&atlas.request()).unwrap().len(), 42);
            });
        }
    });
    let counts = atlas.server.with(|e| (e.token_requests(), e.requests()));
    assert_eq!(counts, (1, 101));
}

#[test]
fn those_who_wait_for_a_token_go_on_when_the_one_who_fetches_it_gives_up() {
    let atlas = Atlas::with_keys(3);
    // The first to ask is told to wait for longer than it has time; the others have more.
    let busy = Response::builder().status(429).header("retry-after", "5");
    let busy = busy.body(Vec::new()).unwrap();
    atlas
        .server
        .with(|emulator| emulator.answer_next(Operation::Token, busy));
    let client = atlas.builder(Kind::ServiceAccount);
    let client = client.deadline(Duration::from_secs(4)).build().unwrap();
    let begin = Instant::now();
    let barrier = Barrier::new(20);
    let failed: usize = thread::scope(|scope| {
        let calls: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    usize::from(client.list(&atlas.request()).is_err())
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert_eq!(failed, 1);
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_deadline_that_is_over_is_no_verdict_for_others() {
    let options = Options {
        latency: Duration::from_secs(60),
        ..Options::default()
    };
    let atlas = Atlas::start(Config::default(), options);
    let limit = Duration::from_millis(800);
    let client = atlas.builder(Kind::ServiceAccount);
    let client = client.deadline(limit).build().unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| client.list(&atlas.request()).unwrap_err());
        // Most likely the first one's request is on its way by then; if not, the two change places.
        thread::sleep(limit / 4);
        let begin = Instant::now();
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(begin.elapsed() >= limit, "{:?}", begin.elapsed());
        assert_eq!(transport(error).0, FailureKind::Permanent);
        assert_eq!(transport(leader.join().unwrap()).0, FailureKind::Permanent);
    });
}

#[test]
fn tokens_are_handed_on_and_revoked() {
    let atlas = Atlas::with_keys(3);
    let first = atlas.client(Kind::ServiceAccount);
    assert!(first.export_token().is_none());
    first.revoke_token().unwrap();
    first.list(&atlas.request()).unwrap();
    let token = first.export_token().unwrap();
    let second = atlas.client(Kind::ServiceAccount);
    second.restore_token(&token).unwrap();
    second.list(&atlas.request()).unwrap();
    assert_eq!(atlas.server.with(|emulator| emulator.token_requests()), 1);

    second.revoke_token().unwrap();
    second.list(&atlas.request()).unwrap();
    assert_eq!(atlas.server.with(|emulator| emulator.token_requests()), 2);
    let refused = atlas.client(Kind::ApiKey).restore_token(&token);
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

#[test]
fn any_timeout_may_be_as_long_as_time() {
    let atlas = Atlas::with_keys(3);
    let client = atlas.builder(Kind::Bearer).deadline(Duration::MAX);
    let client = client
        .connect_timeout(Duration::MAX)
        .read_timeout(Duration::MAX);
    assert_eq!(
        client
            .build()
            .unwrap()
            .list(&atlas.request())
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn threads_with_an_api_key_never_race_on_a_nonce() {
    let atlas = Atlas::with_keys(7);
    let client = atlas.client(Kind::ApiKey);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(client.list(&atlas.request()).unwrap().len(), 7);
                }
            });
        }
    });
    // A challenge for each thread at most.
    let requests = atlas.server.with(|emulator| emulator.requests());
    assert!((161..=168).contains(&requests), "{requests}");
}

#[test]
fn the_version_that_answered_is_told() {
    let atlas = Atlas::with_keys(1);
    let client = atlas.client(Kind::Bearer);
    assert_eq!(client.version(), ApiVersion::PREVIEW);
    atlas
        .server
        .with(|emulator| emulator.withdraw(ApiVersion::PREVIEW));
    let page = client.list(&atlas.request()).unwrap();
    assert_eq!(page.version(), Some(ApiVersion::V2025_03_12));
    assert_eq!(client.version(), ApiVersion::V2025_03_12);
}

#[test]
fn a_rate_limit_is_waited_out() {
    let config = Config {
        keys_per_group: 3,
        rate_limit: Some(RateLimit {
            capacity: 1,
            refill: 1,
            per: Duration::from_secs(1),
        }),
        ..Config::default()
    };
    let atlas = Atlas::start(config, Options::default());
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    let client = atlas.builder(Kind::Bearer).limits(limits).build().unwrap();
    let request = atlas
        .request()
        .items_per_page(ItemsPerPage::new(2).unwrap());
    assert_eq!(client.list_all(&request).unwrap().len(), 3);
}

#[test]
fn somebody_is_told_of_a_wait_and_its_reason() {
    let atlas = Atlas::with_keys(1);
    atlas.answer_next(error_answer(StatusCode::TOO_MANY_REQUESTS));
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    let (tell, told) = std::sync::mpsc::channel();
    let client = atlas.builder(Kind::Bearer).limits(limits);
    let client = client.on_wait(move |wait| {
        let answer = wait.answer().map(|answer| answer.status.as_u16());
        tell.send((wait.delay() <= Duration::from_millis(1), answer))
            .unwrap();
    });
    client.build().unwrap().list(&atlas.request()).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(true, Some(429))]);
}

#[test]
fn bodies_come_compressed_and_their_bound_holds_after_decompression() {
    let atlas = Atlas::with_keys(500);
    let request = atlas.request().items_per_page(ItemsPerPage::MAX);
    let size = atlas.client(Kind::Bearer).reply(&request).unwrap();
    let size = size.body().len();
    for (limit, fits) in [(size, true), (size - 1, false)] {
        let mut limits = once();
        limits.body_bytes = limit;
        let client = atlas.builder(Kind::Bearer).limits(limits).build().unwrap();
        match client.list(&request) {
            Ok(page) => assert!(fits && page.len() == 500),
            Err(error) => {
                assert!(!fits);
                assert!(matches!(error, Error::Limit { .. }), "{error}");
            }
        }
        // The client is still usable.
        let small = atlas.request().items_per_page(ItemsPerPage::MIN);
        assert_eq!(client.list(&small).unwrap().len(), 1);
    }
}

#[test]
fn statuses_are_the_cores_errors_and_not_ureqs() {
    let atlas = Atlas::with_keys(1);
    let client = atlas.client(Kind::ApiKey);
    let unknown = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
    let error = client.list(&unknown).unwrap_err();
    let answer: &ApiError = error.answer().unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.error_code.as_deref(), Some("GROUP_NOT_FOUND"));
    assert_eq!(answer.endpoint, Endpoint::ModelKeys);
}

/// What is sent to this address, without an answer.
fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (listener, base)
}

#[test]
fn a_redirect_is_an_error_and_nothing_is_sent_there() {
    let (elsewhere, base) = listener();
    elsewhere.set_nonblocking(true).unwrap();
    let atlas = Atlas::with_keys(1);
    // The caller's own agent, set up to do what must not be done.
    let careless = ureq::Agent::config_builder()
        .max_redirects(5)
        .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
        .http_status_as_error(true)
        .timeout_recv_response(Some(Duration::from_nanos(1)))
        .build()
        .new_agent();
    for client in [
        atlas.client(Kind::Bearer),
        atlas.builder(Kind::Bearer).agent(careless).build().unwrap(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let answer = Response::builder().status(status).header("location", &base);
            atlas.answer_next(answer.body(Vec::new()).unwrap());
            let error = client.list(&atlas.request()).unwrap_err();
            assert_eq!(error.status().unwrap(), status);
            assert!(error.to_string().contains("never followed"), "{error}");
        }
    }
    let reached = elsewhere.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(reached, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn loopback_never_goes_through_a_proxy() {
    let (nobody, proxy) = listener();
    drop(nobody);
    let agent = ureq::Agent::config_builder()
        .proxy(Some(ureq::Proxy::new(&proxy).unwrap()))
        .build()
        .new_agent();
    let atlas = Atlas::with_keys(1);
    let client = atlas.builder(Kind::Bearer).agent(agent).build().unwrap();
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 1);
}

#[test]
fn nobody_there_is_not_sent_and_repeated_as_often_as_the_policy_says() {
    let (nobody, base) = listener();
    drop(nobody);
    let mut limits = Limits::default();
    limits.retry.attempts = 3;
    limits.retry.base = Duration::from_millis(1);
    let client = Client::builder(
        BaseUrl::new(&base).unwrap(),
        Credentials::bearer("token").unwrap(),
    );
    let client = client.limits(limits).build().unwrap();
    let group = GroupId::new("0123456789abcdef01234567").unwrap();
    let error = client.list(&ListRequest::new(group)).unwrap_err();
    assert!(
        matches!(error, Error::Transport { attempts: 3, .. }),
        "{error:?}"
    );
    assert_eq!(transport(error).0, FailureKind::NotSent);
}

#[test]
fn silence_ends_with_the_read_timeout_and_everything_with_the_deadline() {
    let options = Options {
        latency: Duration::from_secs(60),
        ..Options::default()
    };
    let atlas = Atlas::start(Config::default(), options);
    let begin = Instant::now();
    let silent = atlas.builder(Kind::Bearer).limits(once());
    let silent = silent.read_timeout(Duration::from_millis(50)).build();
    let error = silent.unwrap().list(&atlas.request()).unwrap_err();
    assert_eq!(transport(error).0, FailureKind::Lost);

    let late = atlas.builder(Kind::Bearer);
    let late = late.deadline(Duration::from_millis(50)).build();
    let error = late.unwrap().list(&atlas.request()).unwrap_err();
    assert_eq!(transport(error).0, FailureKind::Permanent);
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_wait_beyond_the_deadline_ends_at_once_with_its_reason() {
    let atlas = Atlas::with_keys(1);
    let answer = Response::builder().status(429).header("retry-after", "60");
    atlas.answer_next(answer.body(Vec::new()).unwrap());
    let client = atlas
        .builder(Kind::Bearer)
        .deadline(Duration::from_secs(30));
    let begin = Instant::now();
    let error = client.build().unwrap().list(&atlas.request()).unwrap_err();
    assert!(
        matches!(error, Error::RateLimited { attempts: 1, .. }),
        "{error:?}"
    );
    assert!(error.retry_after().unwrap() >= Duration::from_secs(60));
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_truncated_body_is_lost_and_repeated() {
    let atlas = Atlas::with_keys(5);
    let truncated = || {
        Response::builder()
            .header("content-length", "1000")
            .body(b"{\"results\":[]}".to_vec())
            .unwrap()
    };
    atlas.answer_next(truncated());
    let client = atlas.builder(Kind::Bearer).limits(once()).build().unwrap();
    let error = client.list(&atlas.request()).unwrap_err();
    assert_eq!(transport(error).0, FailureKind::Lost);

    atlas.answer_next(truncated());
    assert_eq!(
        atlas
            .client(Kind::Bearer)
            .list(&atlas.request())
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn what_is_on_the_wire() {
    let (listener, base) = listener();
    let client = Client::builder(
        BaseUrl::new(&format!("{base}/prefix")).unwrap(),
        Credentials::bearer("token").unwrap(),
    );
    let client = client
        .user_agent("my-service/1.0")
        .limits(once())
        .build()
        .unwrap();
    let group = GroupId::new("0123456789abcdef01234567").unwrap();
    let head = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let body = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}";
            stream.write_all(body).unwrap();
            String::from_utf8(head).unwrap()
        });
        assert!(client.list(&ListRequest::new(group)).unwrap().is_empty());
        server.join().unwrap()
    });
    let lower = head.to_lowercase();
    assert!(head.starts_with(
        "GET /prefix/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys HTTP/1.1\r\n"
    ));
    assert!(
        lower.contains("\r\naccept: application/vnd.atlas.preview+json\r\n"),
        "{head}"
    );
    assert!(lower.contains("\r\naccept-encoding: gzip\r\n"), "{head}");
    assert!(
        lower.contains("\r\nauthorization: bearer token\r\n"),
        "{head}"
    );
    assert!(
        lower.contains("\r\nuser-agent: my-service/1.0 atlas-model-keys-ureq/"),
        "{head}"
    );
    // A request without a body says nothing of one.
    assert!(
        !lower.contains("content-length") && !lower.contains("transfer-encoding"),
        "{head}"
    );
}

#[test]
fn after_an_error_an_iterator_has_nothing_more() {
    let atlas = Atlas::with_keys(250);
    let client = atlas.client(Kind::Bearer);
    let mut keys = client.keys(&atlas.request());
    assert_eq!(keys.by_ref().take(100).filter(Result::is_ok).count(), 100);
    atlas.answer_next(Response::builder().status(403).body(Vec::new()).unwrap());
    assert!(keys.next().unwrap().is_err());
    assert!(keys.next().is_none());
    assert!(keys.next().is_none());
}

#[test]
fn a_user_agent_that_is_none_is_refused() {
    let credentials = Credentials::bearer("token").unwrap();
    let base = BaseUrl::new("http://127.0.0.1:1").unwrap();
    let builder = Client::builder(base, credentials).user_agent("a\r\nX-Evil: 1");
    assert!(matches!(builder.build(), Err(Error::Invalid(_))));
}
