//! TLS with generated certificates: which servers the clients trust, how a connection must end, and HTTP/2.

use std::convert::Infallible;
use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::scripted::{self, Action, Authority, ScriptedServer, error_chain, names, page};
use atlas_model_keys_conformance::fixtures::{client_for, failure, request};
use atlas_model_keys_conformance::{
    CredentialKind, HyperClient, LoopbackServer, ReqwestClient, Setup, TestClient, UreqClient,
};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, GroupId, ListRequest};
use atlas_model_keys_emulator::{Config, Emulator, Names};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// An emulator behind TLS.
struct TlsAtlas {
    address: SocketAddr,
    group: GroupId,
    credentials: [Credentials; 3],
    /// The number of requests over HTTP/1.1 and over HTTP/2.
    requests: Arc<[AtomicUsize; 2]>,
    // Dropping it ends the server.
    _runtime: Runtime,
}

fn start(authority: &Authority, name: &str, expired: bool, protocols: &[&[u8]]) -> TlsAtlas {
    let mut config = authority.config(name, expired);
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();

    let emulator = Emulator::new(
        Config::default()
            .with_keys_per_group(250)
            .with_names(Names::Hostile),
    );
    let group = emulator.first_group();
    let (account, api_key) = (emulator.service_account(), emulator.api_key());
    let credentials = [
        Credentials::bearer(emulator.access_token()),
        Credentials::service_account(&*account.client_id, &*account.client_secret),
        Credentials::api_key(&*api_key.public_key, &*api_key.private_key),
    ];
    let credentials = credentials.map(Result::unwrap);
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let served = Served {
        emulator: Arc::new(Mutex::new(emulator)),
        requests: Arc::clone(&requests),
    };
    runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), served));
    TlsAtlas {
        address,
        group,
        credentials,
        requests,
        _runtime: runtime,
    }
}

#[derive(Clone)]
struct Served {
    emulator: Arc<Mutex<Emulator>>,
    requests: Arc<[AtomicUsize; 2]>,
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, served: Served) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, served) = (tls.clone(), served.clone());
        tokio::spawn(async move {
            // A client that does not trust this server ends the handshake.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| respond(served.clone(), request));
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    served: Served,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_2 = usize::from(request.version() == Version::HTTP_2);
    served.requests[is_2].fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let request = Request::from_parts(head, body);
    let response = served.emulator.lock().unwrap().handle(&request, now);
    Ok(response.map(|body| Full::new(Bytes::from(body))))
}

impl TlsAtlas {
    /// Returns a client that uses this host name.
    fn client<C: TestClient>(
        &self,
        kind: CredentialKind,
        name: &str,
        roots: Option<&Authority>,
    ) -> C {
        let base = format!("https://{name}:{}", self.address.port());
        let setup = Setup {
            root_certificates: roots.map(|authority| authority.pem.clone()),
            ..Setup::default()
        };
        let credentials = self.credentials[kind as usize].clone();
        C::new(BaseUrl::new(&base).unwrap(), credentials, setup).unwrap()
    }

    fn requests(&self) -> [usize; 2] {
        [0, 1].map(|n| self.requests[n].load(Ordering::SeqCst))
    }
}

fn added_root_is_trusted<C: TestClient>() {
    let authority = Authority::new();
    let atlas = start(&authority, "localhost", false, &[]);
    for kind in CredentialKind::ALL {
        let client: C = atlas.client(kind, "localhost", Some(&authority));
        let keys = client.list_all(&ListRequest::new(atlas.group)).unwrap();
        assert_eq!(keys.len(), 250);
    }
}

fn untrusted_certificate_is_refused<C: TestClient>() {
    let authority = Authority::new();
    for (why, name, called, expired, known) in [
        ("unknown root", "localhost", "localhost", false, false),
        ("wrong name", "localhost", "127.0.0.1", false, true),
        ("wrong name", "atlas.example", "localhost", false, true),
        ("expired", "localhost", "localhost", true, true),
    ] {
        let atlas = start(&authority, name, expired, &[]);
        let roots = known.then_some(&authority);
        let client: C = atlas.client(CredentialKind::Bearer, called, roots);
        let error = client.list(&ListRequest::new(atlas.group)).unwrap_err();
        // Permanent, without a retry: a second attempt would fail as well.
        let Error::Transport {
            kind: FailureKind::Permanent,
            attempts: 1,
            source,
        } = &error
        else {
            panic!("{why}: {error:?}");
        };
        let mut causes = vec![source.to_string()];
        let mut cause = source.source();
        while let Some(inner) = cause {
            causes.push(inner.to_string());
            cause = inner.source();
        }
        let causes = causes.join(": ").to_lowercase();
        let word = match why {
            "unknown root" => "unknownissuer",
            "wrong name" => "not valid for name",
            _ => "expired",
        };
        assert!(causes.contains(word), "{why}: {causes}");
        // The client sent no request.
        assert_eq!(atlas.requests(), [0, 0], "{why}");
    }
}

/// Returns a client for a scripted server with a certificate for `localhost`.
fn client_of<C: TestClient>(server: &ScriptedServer, authority: &Authority, setup: Setup) -> C {
    let base = format!("https://localhost:{}", server.address().port());
    let setup = Setup {
        root_certificates: Some(authority.pem.clone()),
        ..setup
    };
    client_for(&base, setup)
}

/// RFC 9112 §9.8: without `close_notify`, an attacker on the network may have cut the body.
fn body_without_close_notify_is_lost<C: TestClient>() {
    let authority = Authority::new();
    let body = page("whole");
    for (body, is_whole) in [(body.as_str(), true), (&body[..body.len() / 2], false)] {
        let sent = format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes();
        let tls = authority.config("localhost", false);
        let server = ScriptedServer::start(Some(tls), move |received| {
            let end = match received.connection {
                // The second client's retry gets a correct end.
                2 if is_whole => Action::Close,
                _ => Action::Abort,
            };
            vec![Action::Send(sent.clone()), end]
        });
        // It is also an error for a caller that does not decode the body.
        let client: C = client_of(&server, &authority, Setup::without_retries());
        let error = client.reply(&request()).unwrap_err();
        assert_eq!(
            failure(&error),
            (FailureKind::Lost, 1),
            "{}",
            error_chain(&error)
        );
        let client: C = client_of(&server, &authority, Setup::with_fast_retries());
        match names(&client) {
            Ok(names) => assert!(is_whole && names == ["whole"] && server.connections() == 3),
            Err(error) => {
                assert!(!is_whole);
                assert_eq!(
                    failure(&error),
                    (FailureKind::Lost, 5),
                    "{}",
                    error_chain(&error)
                );
            }
        }
    }
}

fn second_response_over_tls_is_never_the_next_page<C: TestClient>() {
    let authority = Authority::new();
    // The second response is a record of its own. The sizes put its start at many places of the client's read buffer.
    let sizes = (3_500..4_200).step_by(25).chain([0, 20_000, 200_000]);
    for size in sizes {
        let tls = authority.config("localhost", false);
        let server = ScriptedServer::start(Some(tls), move |received| {
            let name = format!("{}-{}", received.connection, "x".repeat(size));
            let right = scripted::response(200, &page(&name));
            let wrong = scripted::response(200, &page("unrequested"));
            vec![Action::SendTogether([right, wrong])]
        });
        let client: C = client_of(&server, &authority, Setup::without_retries());
        for number in 0..3 {
            let names = names(&client).unwrap();
            assert!(
                names[0].starts_with(&format!("{number}-")),
                "{size}: {}",
                names[0].len()
            );
        }
        assert_eq!(server.connections(), 3, "{size}");
    }
}

fn tls_connections_are_reused<C: TestClient>() {
    let authority = Authority::new();
    for size in [0, 20_000, 200_000] {
        let tls = authority.config("localhost", false);
        let server = ScriptedServer::start(Some(tls), move |_| {
            vec![Action::Send(scripted::response(
                200,
                &page(&"x".repeat(size)),
            ))]
        });
        let client: C = client_of(&server, &authority, Setup::without_retries());
        for _ in 0..20 {
            assert_eq!(names(&client).unwrap()[0].len(), size);
        }
        assert_eq!(server.connections(), 1, "{size}");
    }
}

fn port_without_tls_is_named_as_the_cause<C: TestClient>() {
    for (what, first) in [
        (
            "http",
            &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        ),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("smtp", b"220 mail.example ESMTP\r\n"),
    ] {
        let server = LoopbackServer::start(|_, mut stream| {
            let _ = stream.read(&mut [0; 16])?;
            stream.write_all(first)?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let base = format!("https://localhost:{}", server.address.port());
        let client: C = client_for(&base, Setup::with_fast_retries());
        let error = client.list(&request()).unwrap_err();
        assert_eq!(failure(&error), (FailureKind::Permanent, 1), "{what}");
        let text = error_chain(&error);
        assert!(text.contains("does not speak TLS"), "{what}: {text}");
        assert!(text.contains("check the scheme"), "{what}: {text}");
        assert!(!text.contains("corrupt"), "{what}: {text}");
    }
}

fn slow_tls_handshake_ends_at_its_timeout<C: TestClient>() {
    // The start of a handshake record of TLS 1.2 with 16,384 bytes, which never becomes complete.
    let server = LoopbackServer::start(|_, mut stream| {
        stream.write_all(&[22, 3, 3, 0x40, 0])?;
        loop {
            stream.write_all(&[2])?;
            thread::sleep(Duration::from_millis(20));
        }
    });
    let base = format!("https://localhost:{}", server.address.port());
    let short = Some(Duration::from_millis(300));
    for (setup, kind) in [
        (
            Setup {
                connect_timeout: short,
                ..Setup::without_retries()
            },
            FailureKind::NotSent,
        ),
        (
            Setup {
                deadline: short,
                ..Setup::with_fast_retries()
            },
            FailureKind::TimedOut,
        ),
    ] {
        let client: C = client_for(&base, setup);
        let begun = Instant::now();
        let error = client.list(&request()).unwrap_err();
        assert_eq!(failure(&error), (kind, 1), "{}", error_chain(&error));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn hyper_client_uses_http_2_if_it_is_offered() {
    let authority = Authority::new();
    for (protocols, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], 1),
        (&[b"http/1.1"], 0),
        (&[], 0),
    ] {
        let atlas = start(&authority, "localhost", false, protocols);
        for kind in CredentialKind::ALL {
            let client: HyperClient = atlas.client(kind, "localhost", Some(&authority));
            for ahead in [1, 4] {
                let keys = client.keys(&ListRequest::new(atlas.group), ahead);
                assert_eq!(keys.map(Result::unwrap).count(), 250);
            }
        }
        let requests = atlas.requests();
        assert!(requests[version] > 0 && requests[1 - version] == 0);
    }
}

test_with! {
    UreqClient in with_ureq {
        added_root_is_trusted,
        untrusted_certificate_is_refused,
        body_without_close_notify_is_lost,
        second_response_over_tls_is_never_the_next_page,
        tls_connections_are_reused,
        port_without_tls_is_named_as_the_cause,
        slow_tls_handshake_ends_at_its_timeout,
    }
    HyperClient in with_hyper {
        added_root_is_trusted,
        untrusted_certificate_is_refused,
        body_without_close_notify_is_lost,
        second_response_over_tls_is_never_the_next_page,
        port_without_tls_is_named_as_the_cause,
        slow_tls_handshake_ends_at_its_timeout,
    }
    ReqwestClient in with_reqwest {
        added_root_is_trusted,
        untrusted_certificate_is_refused,
        body_without_close_notify_is_lost,
        second_response_over_tls_is_never_the_next_page,
        slow_tls_handshake_ends_at_its_timeout,
    }
}
