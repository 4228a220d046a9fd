//! A server that sends scripted bytes, with or without TLS, for responses that a correct server does not send.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::fixtures::{client_for, request};
use atlas_model_keys_conformance::loopback::{self, read_head};
use atlas_model_keys_conformance::{LoopbackServer, Setup, TestClient};
use atlas_model_keys_core::Error;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Makes a test of each function for each client, in one module for each client.
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

/// Makes a test of each function for both clients.
#[allow(unused_macros)] // Not every test file needs it.
macro_rules! test_with_both {
    ($($scenario:ident,)*) => {
        test_with! {
            UreqClient in with_ureq { $($scenario,)* }
            HyperClient in with_hyper { $($scenario,)* }
        }
    };
}

/// A certificate authority that a client trusts only if its root is added.
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

    /// Returns the settings of a server whose certificate has this name.
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
pub(crate) enum Action {
    /// Sends the bytes in one write.
    Send(Vec<u8>),
    /// Sends both parts in one write, over TLS each in its own record.
    SendTogether([Vec<u8>; 2]),
    /// Repeats the bytes until the client closes the connection or ten seconds have passed.
    SendEndlessly(Vec<u8>),
    /// Sends the bytes one by one, with this pause after each.
    SendSlowly(Vec<u8>, Duration),
    /// Sends nothing until the client closes the connection or ten seconds have passed.
    Stall,
    /// Closes the connection correctly: with `close_notify` over TLS, and with FIN.
    Close,
    /// Closes the connection incorrectly: over TLS with FIN alone, otherwise with RST.
    Abort,
}

/// A request, and the connection that it came on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedRequest<'a> {
    /// The connection's number, counted from 0.
    pub(crate) connection: usize,
    /// The request's number on this connection, counted from 0.
    pub(crate) number: usize,
    pub(crate) head: &'a str,
}

/// A server that runs a script after each request. It ends with the process.
pub(crate) struct ScriptedServer {
    server: LoopbackServer,
    heads: Arc<Mutex<Vec<String>>>,
}

/// The longest time that a server spends on one action.
const LONGEST: Duration = Duration::from_secs(10);

impl ScriptedServer {
    /// Starts a server without TLS.
    pub(crate) fn plain(
        script: impl Fn(ReceivedRequest<'_>) -> Vec<Action> + Send + Sync + 'static,
    ) -> Self {
        Self::start(None, script)
    }

    /// Starts a server, with TLS if there are settings for it.
    pub(crate) fn start(
        tls: Option<ServerConfig>,
        script: impl Fn(ReceivedRequest<'_>) -> Vec<Action> + Send + Sync + 'static,
    ) -> Self {
        let tls = tls.map(Arc::new);
        let heads = Arc::default();
        let received = Arc::clone(&heads);
        let server = LoopbackServer::start(move |number, stream| {
            let connection = Connection::new(stream, tls.clone())?;
            serve(connection, number, &script, &received)
        });
        Self { server, heads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Returns the heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Returns a client for a server without TLS.
    pub(crate) fn client<C: TestClient>(&self, setup: Setup) -> C {
        client_for(&self.server.base(), setup)
    }
}

fn serve(
    mut stream: Connection,
    connection: usize,
    script: &dyn Fn(ReceivedRequest<'_>) -> Vec<Action>,
    heads: &Mutex<Vec<String>>,
) -> io::Result<()> {
    for number in 0.. {
        // No test sends a request with a body.
        let Some(head) = read_head(&mut stream)? else {
            break;
        };
        heads.lock().unwrap().push(head.clone());
        let request = ReceivedRequest {
            connection,
            number,
            head: &head,
        };
        let until = Instant::now() + LONGEST;
        for action in script(request) {
            match action {
                Action::Send(bytes) => stream.write_all(&bytes)?,
                Action::SendTogether(parts) => stream.write_together(&parts)?,
                Action::SendEndlessly(bytes) => {
                    while Instant::now() < until {
                        stream.write_all(&bytes)?;
                    }
                }
                Action::SendSlowly(bytes, pause) => {
                    for byte in bytes {
                        stream.write_all(&[byte])?;
                        thread::sleep(pause);
                    }
                }
                Action::Stall => stream.stall(),
                Action::Close => return stream.close(),
                Action::Abort => {
                    stream.abort();
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// A connection with or without TLS.
enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Connection {
    fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        Ok(match tls {
            None => Self::Plain(stream),
            Some(tls) => {
                let mut connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                connection.set_buffer_limit(None);
                Self::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        })
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

    fn stall(&mut self) {
        let _ = self.tcp().set_read_timeout(Some(LONGEST));
        let _ = self.tcp().read(&mut [0]);
    }

    fn close(mut self) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.tcp().shutdown(std::net::Shutdown::Write)?;
        // Unread bytes of the client would cause a reset, which can lose sent bytes.
        self.stall();
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
                self.stall();
            }
        }
    }
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Connection {
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

/// Returns a response with a `Content-Length`.
pub(crate) fn response(status: u16, body: &str) -> Vec<u8> {
    loopback::response(status, body).into_bytes()
}

/// Returns a page with one key of this name, and no further pages.
pub(crate) fn page(name: &str) -> String {
    format!(r#"{{"links":[],"results":[{{"name":"{name}"}}],"totalCount":1}}"#)
}

/// Returns the text of an error and its causes.
pub(crate) fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Returns the names of the keys of a page.
pub(crate) fn names<C: TestClient>(client: &C) -> Result<Vec<String>, Error> {
    let page = client.list(&request())?;
    let names = page
        .keys()
        .map(|key| key.name().unwrap_or_default().to_owned());
    Ok(names.collect())
}
