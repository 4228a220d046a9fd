//! Tests of the blocking client only: a caller's agent, and threads. The conformance tests cover both clients.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Names, Route};
use atlas_model_keys_ureq::protocol::FailureKind;
use atlas_model_keys_ureq::{
    BaseUrl, Client, ClientBuilder, Credentials, Error, Event, GroupId, Limits, ListRequest,
    RetryPolicy, WaitReason,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use ureq::ProxyProtocol;
use ureq::tls::{
    Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsConfigBuilder, TlsProvider,
};

struct Atlas {
    server: Server,
    group: GroupId,
}

impl Atlas {
    fn start(options: Options) -> Self {
        let emulator = Emulator::new(
            Config::default()
                .with_keys_per_group(250)
                .with_names(Names::Hostile),
        );
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
fn redirects_are_not_followed_with_an_agent_that_would() {
    let (elsewhere, base) = listener();
    elsewhere.set_nonblocking(true).unwrap();
    let atlas = Atlas::start(Options::default());
    // This configuration would follow redirects.
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
            .with(|emulator| emulator.respond_next(Route::ListGroupKeys, answer));
        let error = client.list(&atlas.request()).unwrap_err();
        assert_eq!(error.status().unwrap(), status);
        assert!(error.to_string().contains("never followed"), "{error}");
    }
    let reached = elsewhere.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(reached, Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn proxy_of_an_agent_is_not_used_for_loopback() {
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
fn settings_that_an_agent_would_ignore_are_refused() {
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
fn agent_that_would_make_ureq_panic_is_refused() {
    let tls = || TlsConfig::builder().provider(TlsProvider::Rustls);
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let roots = || RootCerts::Specific(Arc::default());
    let whole = || {
        tls()
            .unversioned_rustls_crypto_provider(provider())
            .root_certs(roots())
    };
    let wrong = PrivateKey::from_pem(
        rcgen::KeyPair::generate()
            .unwrap()
            .serialize_pem()
            .as_bytes(),
    );
    let certificate = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let certificate = Certificate::from_der(certificate.cert.der()).to_owned();
    let mismatched = ClientCert::new_with_certs(&[certificate], wrong.unwrap());
    let agent = |tls: TlsConfigBuilder| {
        let config = ureq::Agent::config_builder().proxy(None);
        config.tls_config(tls.build()).build().new_agent()
    };
    let through = |proxy: ProxyProtocol| {
        let proxy = ureq::Proxy::builder(proxy).host("127.0.0.1").port(1);
        let config = ureq::Agent::config_builder().proxy(proxy.build().ok());
        config.build().new_agent()
    };
    for (agent, problem) in [
        (agent(tls()), "crypto provider"),
        (agent(tls().root_certs(roots())), "crypto provider"),
        (
            agent(tls().unversioned_rustls_crypto_provider(provider())),
            "root certificates",
        ),
        (
            agent(whole().root_certs(RootCerts::PlatformVerifier)),
            "root certificates",
        ),
        (agent(whole().provider(TlsProvider::NativeTls)), "rustls"),
        (
            agent(whole().client_cert(Some(mismatched))),
            "client certificate",
        ),
        (through(ProxyProtocol::Socks5), "SOCKS"),
        (through(ProxyProtocol::Https), "crypto provider"),
    ] {
        let builder = || {
            let token = Credentials::bearer("token").unwrap();
            let base = BaseUrl::new("https://atlas.example").unwrap();
            Client::builder(base, token)
        };
        let error = builder().agent(agent).build().unwrap_err();
        assert_eq!(kind_of(&error), FailureKind::Permanent);
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains(problem), "{text}");
    }
    // A complete configuration is accepted, and any configuration that needs no TLS.
    let build = |base: &str, agent| {
        let base = BaseUrl::allowing_plain_http(base).unwrap();
        let client = Client::builder(base, Credentials::bearer("token").unwrap());
        client.agent(agent).limits(never()).build().unwrap()
    };
    build("http://atlas.example", agent(tls()));
    build("http://127.0.0.1:1", through(ProxyProtocol::Socks5));
    let (nobody, base) = listener();
    drop(nobody);
    let client = build(&base.replace("http:", "https:"), agent(whole()));
    let request = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
    let error = client.list(&request).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::NotSent);
}

#[test]
fn zeros_after_a_gzip_body_are_padding_and_other_bytes_are_an_error() {
    let atlas = Atlas::start(Options::default());
    let client = atlas.builder().limits(never()).build().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(br#"{"results":[]}"#).unwrap();
    let packed = encoder.finish().unwrap();
    for (behind, is_padding) in [
        (vec![0; 1], true),
        (vec![0; 512], true),
        (vec![0; 9], true),
        (b"and by the way".to_vec(), false),
    ] {
        let answer = Response::builder().header("content-encoding", "gzip");
        let answer = answer.body([packed.clone(), behind].concat()).unwrap();
        atlas
            .server
            .with(|e| e.respond_next_authenticated(Route::ListGroupKeys, answer));
        match client.list(&atlas.request()) {
            Ok(page) => assert!(is_padding && page.is_empty()),
            Err(error) => assert!(!is_padding && kind_of(&error) == FailureKind::Lost),
        }
    }
    // Endless padding is an error.
    let answer = Response::builder().header("content-encoding", "gzip");
    let answer = answer.body([packed, vec![0; 1 << 20]].concat()).unwrap();
    atlas
        .server
        .with(|e| e.respond_next_authenticated(Route::ListGroupKeys, answer));
    let error = client.list(&atlas.request()).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent);
}

fn never() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

#[test]
fn paused_iterator_does_not_block_other_calls() {
    let atlas = Atlas::start(Options::default().with_latency(Duration::from_millis(20)));
    let client = atlas
        .builder()
        .deadline(Duration::from_secs(8))
        .build()
        .unwrap();
    let one = atlas_model_keys_ureq::ItemsPerPage::MIN;
    for ahead in [1, 8] {
        let mut kept = client
            .keys(&atlas.request().with_items_per_page(one))
            .read_ahead(ahead);
        assert!(kept.by_ref().take(2).all(|key| key.is_ok()));
        // The requests in flight, and the next call, need another token.
        atlas.server.with(Emulator::revoke_tokens);
        let begun = Instant::now();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (client, request) = (client.clone(), atlas.request());
                thread::spawn(move || client.list(&request).map(|page| page.len()))
            })
            .collect();
        for other in others {
            // A token is renewed at most once a minute.
            let outcome = other.join().unwrap();
            assert!(ahead == 8 || outcome.is_ok(), "{outcome:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{ahead}");
        drop(kept);
    }
}

#[test]
fn timeout_of_one_call_does_not_fail_others() {
    let options = Options::default().with_latency(Duration::from_secs(60));
    let atlas = Atlas::start(options);
    let limit = Duration::from_millis(800);
    let client = atlas.builder().deadline(limit).build().unwrap();
    thread::scope(|scope| {
        let leader = scope.spawn(|| client.list(&atlas.request()).unwrap_err());
        // Usually the first request is in flight by now; otherwise the two calls change roles.
        thread::sleep(limit / 4);
        let begin = Instant::now();
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(begin.elapsed() >= limit, "{:?}", begin.elapsed());
        assert_eq!(kind_of(&error), FailureKind::TimedOut);
        assert_eq!(kind_of(&leader.join().unwrap()), FailureKind::TimedOut);
    });
}

#[test]
fn dropped_iterator_ends_its_requests() {
    let atlas = Atlas::start(Options::default().with_latency(Duration::from_millis(5)));
    let client = atlas.builder().build().unwrap();
    let one = atlas_model_keys_ureq::ItemsPerPage::MIN;
    let mut keys = client
        .keys(&atlas.request().with_items_per_page(one))
        .read_ahead(8);
    assert!(keys.by_ref().take(3).all(|key| key.is_ok()));
    drop(keys);
    let after = atlas.server.with(|e| e.requests());
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 100);
    // Requests in flight may have arrived, but no new ones were sent.
    let new = atlas.server.with(|e| e.requests()) - after;
    assert!(new <= 9, "{new}");
}

#[test]
fn panic_while_reading_ahead_reaches_the_reader() {
    let atlas = Atlas::start(Options::default());
    let client = atlas
        .builder()
        .on_event(panic_before_a_retry)
        .build()
        .unwrap();
    let request = atlas.request().with_items_per_page(50.try_into().unwrap());
    let mut keys = client.keys(&request).read_ahead(2);
    keys.next().unwrap().unwrap();
    // The next two pages may be here already, but not the one after them.
    atlas.server.with(|e| {
        let busy = http::StatusCode::SERVICE_UNAVAILABLE;
        e.fail_next(1, Route::ListGroupKeys, busy, &http::HeaderMap::new());
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| keys.by_ref().all(|key| key.is_ok())));
    assert!(panicked.is_err());
    // The listing does not continue without the page.
    assert!(keys.next().is_none());
    // No lock is held.
    assert_eq!(client.list_all(&atlas.request()).unwrap().len(), 250);
}

#[test]
fn credential_that_is_too_long_to_send_is_refused_at_once() {
    let (listener, base) = listener();
    let client = |length| {
        let token = Credentials::bearer("t".repeat(length)).unwrap();
        Client::new(BaseUrl::new(&base).unwrap(), token).unwrap()
    };
    let request = ListRequest::new("0123456789abcdef01234567".parse().unwrap());
    let error = client(100_000).list(&request).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Permanent);
    // A retry could not succeed.
    assert!(
        matches!(error, Error::Transport { attempts: 1, .. }),
        "{error:?}"
    );
    let shown = format!("{:?}", std::error::Error::source(&error));
    assert!(shown.contains("too long"), "{shown}");
    assert!(!format!("{error} {error:?}").contains("ttt"));

    // A shorter one is sent.
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

fn panic_before_a_retry(event: &Event<'_>) {
    if let Event::Waiting {
        reason: WaitReason::Response(_),
        ..
    } = event
    {
        panic!("before a retry");
    }
}
