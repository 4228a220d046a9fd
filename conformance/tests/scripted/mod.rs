//! A server that does as it is told, byte by byte, with TLS or without: for what an honest one would not do.
#![allow(dead_code)] // No test needs all of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::{Front, Setup, atlas};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, GroupId, ListRequest};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Tests of a client, in a module of its name.
macro_rules! test_with {
    ($($client:ident in $module:ident { $($scenario:ident,)* })*) => { $(
        mod $module { $(
            #[test]
            fn $scenario() {
                super::$scenario::<super::$client>();
            }
        )* }
    )* };
}

/// Tests of both clients.
#[allow(unused_macros)] // Not every test file has only such.
macro_rules! test_with_both {
    ($($scenario:ident,)*) => {
        test_with! {
            Blocking in with_ureq { $($scenario,)* }
            NonBlocking in with_hyper { $($scenario,)* }
        }
    };
}

/// An authority that nobody knows, unless told.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// For a server of this name.
    pub(crate) fn config(&self, name: &str, expired: bool) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap()
    }
}

/// What a server does after a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// In one write.
    Send(Vec<u8>),
    /// In one write; over TLS each in a record of its own.
    Together([Vec<u8>; 2]),
    /// Again and again, until the client leaves or ten seconds have passed.
    Endlessly(Vec<u8>),
    /// Byte by byte, with this long in between.
    Drip(Vec<u8>, Duration),
    /// Nothing, until the client leaves or ten seconds have passed.
    Hold,
    /// The connection ends in order: with `close_notify` over TLS, and FIN.
    Close,
    /// It ends otherwise: over TLS with FIN alone, else with RST.
    Break,
}

/// A request, and where it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Counted from 0.
    pub(crate) connection: usize,
    /// On this connection, counted from 0.
    pub(crate) request: usize,
    pub(crate) head: &'a str,
}

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

const LONGEST: Duration = Duration::from_secs(10);

impl Scripted {
    /// Without TLS.
    pub(crate) fn plain(script: impl Fn(Asked<'_>) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// Ends with the process.
    pub(crate) fn start(
        tls: Option<ServerConfig>,
        script: impl Fn(Asked<'_>) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scripted = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heads: Arc::default(),
        };
        let (connections, heads) = (
            Arc::clone(&scripted.connections),
            Arc::clone(&scripted.heads),
        );
        let (tls, script) = (tls.map(Arc::new), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = connections.fetch_add(1, Ordering::SeqCst);
                let (tls, script, heads) = (tls.clone(), Arc::clone(&script), Arc::clone(&heads));
                thread::spawn(move || {
                    let wire = Wire::new(stream, tls)?;
                    serve(wire, connection, &*script, &heads)
                });
            }
        });
        scripted
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// A client for a server without TLS.
    pub(crate) fn client<C: Front>(&self, setup: Setup) -> C {
        let base = BaseUrl::new(&format!("http://{}", self.address)).unwrap();
        C::new(base, token(), setup).unwrap()
    }
}

fn serve(
    mut wire: Wire,
    connection: usize,
    script: &dyn Fn(Asked<'_>) -> Vec<Step>,
    heads: &Mutex<Vec<String>>,
) -> io::Result<()> {
    for request in 0.. {
        let head = wire.head()?;
        heads.lock().unwrap().push(head.clone());
        let asked = Asked {
            connection,
            request,
            head: &head,
        };
        let until = Instant::now() + LONGEST;
        for step in script(asked) {
            match step {
                Step::Send(bytes) => wire.write_all(&bytes)?,
                Step::Together(parts) => wire.write_together(&parts)?,
                Step::Endlessly(bytes) => {
                    while Instant::now() < until {
                        wire.write_all(&bytes)?;
                    }
                }
                Step::Drip(bytes, pause) => {
                    for byte in bytes {
                        wire.write_all(&[byte])?;
                        thread::sleep(pause);
                    }
                }
                Step::Hold => wire.hold(),
                Step::Close => return wire.close(),
                Step::Break => {
                    wire.abort();
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// With TLS or without.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(match tls {
            None => Self::Plain(stream),
            Some(tls) => {
                let mut connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                connection.set_buffer_limit(None);
                Self::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        })
    }

    /// None of the requests has a body that matters.
    fn head(&mut self) -> io::Result<String> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.read_exact(&mut byte)?;
            head.extend(byte);
        }
        String::from_utf8(head).map_err(io::Error::other)
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    fn write_together(&mut self, parts: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(&parts.concat()),
            Self::Tls(stream) => {
                for part in parts {
                    stream.conn.writer().write_all(part)?;
                }
                stream.flush()
            }
        }
    }

    fn hold(&mut self) {
        let _ = self.tcp().set_read_timeout(Some(LONGEST));
        let _ = self.tcp().read(&mut [0]);
    }

    fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.tcp().shutdown(std::net::Shutdown::Write)?;
        // So that what was sent is not lost to a reset.
        self.hold();
        Ok(())
    }

    fn abort(mut self) {
        match &self {
            Self::Plain(stream) => {
                let socket = socket2::SockRef::from(stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
            Self::Tls(stream) => {
                let _ = stream.sock.shutdown(std::net::Shutdown::Write);
                self.hold();
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// An answer with its length.
pub(crate) fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A page with one key of this name, and no more pages.
pub(crate) fn page(name: &str) -> String {
    format!(r#"{{"links":[],"results":[{{"name":"{name}"}}],"totalCount":1}}"#)
}

pub(crate) fn token() -> Credentials {
    Credentials::bearer("token").unwrap()
}

pub(crate) fn request() -> ListRequest {
    ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap())
}

/// Nothing is repeated.
pub(crate) fn once() -> Setup {
    Setup {
        limits: Some(atlas::once()),
        ..Setup::default()
    }
}

/// Repeated soon.
pub(crate) fn soon() -> Setup {
    Setup {
        limits: Some(atlas::soon()),
        ..Setup::default()
    }
}

/// The kind of failure, and after how many attempts.
pub(crate) fn failed(error: &Error) -> (FailureKind, u32) {
    match error {
        Error::Transport { kind, attempts, .. } => (*kind, *attempts),
        other => panic!("not a transport's error: {other:?}"),
    }
}

/// An error and its causes.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// The names of the keys of a page.
pub(crate) fn names<C: Front>(client: &C) -> Result<Vec<String>, Error> {
    let page = client.list(&request())?;
    let names = page
        .keys()
        .map(|key| key.name().unwrap_or_default().to_owned());
    Ok(names.collect())
}
