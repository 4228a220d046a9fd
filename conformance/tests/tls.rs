//! TLS, with certificates made here: whom the clients trust, and that HTTP/2 is spoken where it is offered.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

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
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// An authority that nobody knows, unless told.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }
}

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
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
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
