//! TLS, with certificates made here: whom the clients trust, and that HTTP/2 is spoken where it is offered.

#[macro_use]
mod scripted;

use std::convert::Infallible;
use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_model_keys_conformance::{Blocking, Front, Kind, NonBlocking, Setup};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, GroupId, ListRequest};
use atlas_model_keys_emulator::{Config, Emulator};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use scripted::{Authority, Scripted, Step, failed, names, once, page, request, soon, told};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// The emulator behind TLS.
struct Atlas {
    address: SocketAddr,
    group: GroupId,
    credentials: [Credentials; 3],
    /// How many requests came by HTTP/1.1, and by HTTP/2.
    requests: Arc<[AtomicUsize; 2]>,
    // Ends the server.
    _runtime: Runtime,
}

fn start(authority: &Authority, name: &str, expired: bool, protocols: &[&[u8]]) -> Atlas {
    let mut config = authority.config(name, expired);
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();

    let emulator = Emulator::new(Config {
        keys_per_group: 250,
        ..Config::default()
    });
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
    Atlas {
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
            // A client that does not trust this server leaves here.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| answer(served.clone(), request));
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
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

impl Atlas {
    /// A client that calls it by this name.
    fn client<C: Front>(&self, kind: Kind, name: &str, roots: Option<&Authority>) -> C {
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

fn a_root_that_is_known_is_trusted<C: Front>() {
    let authority = Authority::new();
    let atlas = start(&authority, "localhost", false, &[]);
    for kind in Kind::ALL {
        let client: C = atlas.client(kind, "localhost", Some(&authority));
        let keys = client.list_all(&ListRequest::new(atlas.group)).unwrap();
        assert_eq!(keys.len(), 250);
    }
}

fn nobody_else_is_trusted<C: Front>() {
    let authority = Authority::new();
    for (why, name, called, expired, known) in [
        ("unknown root", "localhost", "localhost", false, false),
        ("wrong name", "localhost", "127.0.0.1", false, true),
        ("wrong name", "atlas.example", "localhost", false, true),
        ("expired", "localhost", "localhost", true, true),
    ] {
        let atlas = start(&authority, name, expired, &[]);
        let roots = known.then_some(&authority);
        let client: C = atlas.client(Kind::Bearer, called, roots);
        let error = client.list(&ListRequest::new(atlas.group)).unwrap_err();
        // For good: trying again would not help, and is not done.
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
        // Nothing was sent.
        assert_eq!(atlas.requests(), [0, 0], "{why}");
    }
}

/// A client for a scripted server whose certificate is for this name.
fn client_of<C: Front>(server: &Scripted, authority: &Authority, setup: Setup) -> C {
    let base = format!("https://localhost:{}", server.address.port());
    let setup = Setup {
        root_certificates: Some(authority.pem.clone()),
        ..setup
    };
    C::new(base.parse().unwrap(), scripted::token(), setup).unwrap()
}

/// RFC 9112 §9.8: without a `close_notify` anybody on the way could have ended it.
fn a_body_that_ends_without_a_close_notify_is_lost<C: Front>() {
    let authority = Authority::new();
    let body = page("whole");
    for (body, is_whole) in [(body.as_str(), true), (&body[..body.len() / 2], false)] {
        let answered = format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes();
        let tls = authority.config("localhost", false);
        let server = Scripted::start(Some(tls), move |asked| {
            let end = match asked.connection {
                // Repeated, and then in order.
                2 if is_whole => Step::Close,
                _ => Step::Break,
            };
            vec![Step::Send(answered.clone()), end]
        });
        // Where nobody looks into the body, either.
        let client: C = client_of(&server, &authority, once());
        let error = client.reply(&request()).unwrap_err();
        assert_eq!(failed(&error), (FailureKind::Lost, 1), "{}", told(&error));
        let client: C = client_of(&server, &authority, soon());
        match names(&client) {
            Ok(names) => assert!(is_whole && names == ["whole"] && server.connections() == 3),
            Err(error) => {
                assert!(!is_whole);
                assert_eq!(failed(&error), (FailureKind::Lost, 5), "{}", told(&error));
            }
        }
    }
}

fn a_second_answer_over_tls_is_never_the_next_page<C: Front>() {
    let authority = Authority::new();
    // The second one in a record of its own, at all places of the pieces that TLS reads.
    let sizes = (3_500..4_200).step_by(25).chain([0, 20_000, 200_000]);
    for size in sizes {
        let tls = authority.config("localhost", false);
        let server = Scripted::start(Some(tls), move |asked| {
            let name = format!("{}-{}", asked.connection, "x".repeat(size));
            let right = scripted::answer(200, &page(&name));
            let wrong = scripted::answer(200, &page("unrequested"));
            vec![Step::Together([right, wrong])]
        });
        let client: C = client_of(&server, &authority, once());
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

fn connections_over_tls_are_used_again<C: Front>() {
    let authority = Authority::new();
    for size in [0, 20_000, 200_000] {
        let tls = authority.config("localhost", false);
        let server = Scripted::start(Some(tls), move |_| {
            vec![Step::Send(scripted::answer(200, &page(&"x".repeat(size))))]
        });
        let client: C = client_of(&server, &authority, once());
        for _ in 0..20 {
            assert_eq!(names(&client).unwrap()[0].len(), size);
        }
        assert_eq!(server.connections(), 1, "{size}");
    }
}

fn a_port_that_does_not_speak_tls_is_told_as_that<C: Front>() {
    for (what, first) in [
        (
            "http",
            &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        ),
        ("ssh", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
        ("smtp", b"220 mail.example ESMTP\r\n"),
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.read(&mut [0; 16]);
                let _ = stream.write_all(first);
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let base = format!("https://localhost:{port}");
        let client = C::new(base.parse().unwrap(), scripted::token(), soon()).unwrap();
        let error = client.list(&request()).unwrap_err();
        assert_eq!(failed(&error), (FailureKind::Permanent, 1), "{what}");
        let text = told(&error);
        assert!(text.contains("does not speak TLS"), "{what}: {text}");
        assert!(text.contains("check the scheme"), "{what}: {text}");
        assert!(!text.contains("corrupt"), "{what}: {text}");
    }
}

fn a_handshake_that_drips_ends_in_time<C: Front>() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // A record that never ends: handshake, TLS 1.2, 16,384 bytes.
            thread::spawn(move || {
                let _ = stream.write_all(&[22, 3, 3, 0x40, 0]);
                while stream.write_all(&[2]).is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let base = format!("https://localhost:{port}");
    let short = Some(Duration::from_millis(300));
    for (setup, kind) in [
        (
            Setup {
                connect_timeout: short,
                ..once()
            },
            FailureKind::NotSent,
        ),
        (
            Setup {
                deadline: short,
                ..soon()
            },
            FailureKind::TimedOut,
        ),
    ] {
        let client = C::new(base.parse().unwrap(), scripted::token(), setup).unwrap();
        let begun = Instant::now();
        let error = client.list(&request()).unwrap_err();
        assert_eq!(failed(&error), (kind, 1), "{}", told(&error));
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn the_blocking_client_trusts_a_root_that_it_knows() {
    a_root_that_is_known_is_trusted::<Blocking>();
}

#[test]
fn the_blocking_client_trusts_nobody_else() {
    nobody_else_is_trusted::<Blocking>();
}

#[test]
fn the_async_client_trusts_a_root_that_it_knows() {
    a_root_that_is_known_is_trusted::<NonBlocking>();
}

#[test]
fn the_async_client_trusts_nobody_else() {
    nobody_else_is_trusted::<NonBlocking>();
}

#[test]
fn the_async_client_speaks_http_2_where_it_is_offered() {
    let authority = Authority::new();
    for (protocols, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], 1),
        (&[b"http/1.1"], 0),
        (&[], 0),
    ] {
        let atlas = start(&authority, "localhost", false, protocols);
        for kind in Kind::ALL {
            let client: NonBlocking = atlas.client(kind, "localhost", Some(&authority));
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
    Blocking in with_ureq {
        a_body_that_ends_without_a_close_notify_is_lost,
        a_second_answer_over_tls_is_never_the_next_page,
        connections_over_tls_are_used_again,
        a_port_that_does_not_speak_tls_is_told_as_that,
        a_handshake_that_drips_ends_in_time,
    }
    NonBlocking in with_hyper {
        a_body_that_ends_without_a_close_notify_is_lost,
        a_second_answer_over_tls_is_never_the_next_page,
        a_port_that_does_not_speak_tls_is_told_as_that,
        a_handshake_that_drips_ends_in_time,
    }
}
