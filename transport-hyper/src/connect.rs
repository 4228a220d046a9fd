//! Connections: name resolution, proxy, TLS, and a caller's own way.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atlas_model_keys_core::{Error, FailureKind, Proxy};
use atlas_model_keys_transport::{ProxyFailure, Resolved, of_io, of_tls, permanent};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use tower_service::Service;

/// An error of whatever kind, as connectors have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections; boxed, so that a client needs no type parameter.
#[derive(Clone)]
pub(crate) struct Connector {
    connect: Arc<dyn Fn(Uri) -> Connecting<BoxError> + Send + Sync>,
    timeout: Duration,
    /// To be named where nothing comes of it.
    proxy: Option<Proxy>,
}

type Connecting<E> = Pin<Box<dyn Future<Output = Result<Stream, E>> + Send>>;

impl Connector {
    /// The caller's own way.
    pub(crate) fn new<C>(connector: C, timeout: Duration) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + Read + Write + Send + Unpin + 'static,
        C::Future: Send,
        C::Error: Into<BoxError>,
    {
        let connect = move |uri| -> Connecting<BoxError> {
            let mut connector = connector.clone();
            Box::pin(async move {
                poll_fn(|cx| connector.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                let stream = connector.call(uri).await.map_err(Into::into)?;
                Ok(Stream::new(stream))
            })
        };
        Self {
            connect: Arc::new(connect),
            timeout,
            proxy: None,
        }
    }

    /// By TCP, through the proxy if there is one, and with TLS for `https`.
    pub(crate) fn by_tcp(resolved: &Resolved) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Divided among the addresses of a host.
        tcp.set_connect_timeout(Some(resolved.timeouts.connect));

        let timeout = resolved.timeouts.connect;
        let http_1 = tls(resolved)?;
        let mut http_1_or_2 = http_1.clone();
        http_1_or_2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let Some(proxy) = &resolved.proxy else {
            return Ok(Self::new(HttpsConnector::from((tcp, http_1_or_2)), timeout));
        };
        // TLS with the proxy itself is for the CONNECT, which is HTTP/1.1.
        let to_proxy = HttpsConnector::from((tcp, http_1));
        let mut tunnel = Tunnel::new(proxy.uri().clone(), to_proxy);
        if let Some(authorization) = proxy.authorization() {
            tunnel = tunnel.with_auth(authorization);
        }
        let tunnel = Through {
            tunnel,
            proxy: proxy.clone(),
        };
        Ok(Self {
            proxy: Some(proxy.clone()),
            ..Self::new(HttpsConnector::from((tunnel, http_1_or_2)), timeout)
        })
    }
}

/// rustls with *ring*, passed explicitly, and the roots that were found.
fn tls(resolved: &Resolved) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(resolved.roots.iter().cloned());
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| permanent(&resolved.session, error))?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = Connecting<ConnectFailure>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = (self.connect)(uri);
        let (timeout, proxy) = (self.timeout, self.proxy.clone());
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(stream)) if stream.connected().is_proxied() => Err(ConnectFailure {
                    kind: FailureKind::Permanent,
                    source:
                        "the connector leads to a proxy, which would see the credentials: it is to \
                             ask for a tunnel (CONNECT)"
                            .into(),
                }),
                Ok(connected) => connected.map_err(ConnectFailure::new),
                Err(_) => {
                    let silence = Silence("connection", timeout);
                    Err(ConnectFailure::new(match proxy {
                        Some(proxy) => ProxyFailure::new(&proxy, false, silence).into(),
                        None => silence.into(),
                    }))
                }
            }
        })
    }
}

/// A tunnel through a proxy, with errors that name it.
#[derive(Clone)]
struct Through<C> {
    tunnel: Tunnel<C>,
    proxy: Proxy,
}

impl<C> Service<Uri> for Through<C>
where
    Tunnel<C>: Service<Uri>,
    <Tunnel<C> as Service<Uri>>::Error: std::error::Error + Send + Sync + 'static,
    <Tunnel<C> as Service<Uri>>::Future: Send + 'static,
{
    type Response = <Tunnel<C> as Service<Uri>>::Response;
    type Error = ProxyFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ProxyFailure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyFailure>> {
        let proxy = &self.proxy;
        self.tunnel
            .poll_ready(cx)
            .map_err(|error| ProxyFailure::new(proxy, false, error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let proxy = self.proxy.clone();
        let tunnelling = self.tunnel.call(with_port(uri));
        Box::pin(async move {
            tunnelling.await.map_err(|error| {
                // Told by its text alone.
                let wants_login = error.to_string().contains("authorization required");
                ProxyFailure::new(&proxy, wants_login, error)
            })
        })
    }
}

/// A tunnel leads to port 443 where none is given, to a plain `http` host as well.
fn with_port(uri: Uri) -> Uri {
    if uri.port().is_some() || uri.scheme_str() != Some("http") {
        return uri;
    }
    let mut parts = uri.clone().into_parts();
    let authority = format!("{}:80", uri.host().unwrap_or_default());
    parts.authority = authority.parse().ok();
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct ConnectFailure {
    pub(crate) kind: FailureKind,
    source: BoxError,
}

impl ConnectFailure {
    fn new(source: BoxError) -> Self {
        // Whatever it was, the request was not sent.
        let kind = match kind_of(&*source) {
            FailureKind::Permanent => FailureKind::Permanent,
            _ => FailureKind::NotSent,
        };
        Self { kind, source }
    }
}

/// What an error's causes say: the first one that says anything.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> FailureKind {
    let mut kind = FailureKind::NotSent;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return of_tls(tls);
        }
        if let Some(io) = error.downcast_ref() {
            return of_io(io);
        }
        if error.is::<Silence>() {
            return FailureKind::NotSent;
        }
        if error.is::<ProxyFailure>() {
            // It answered, with a refusal, unless the causes say something else.
            kind = FailureKind::Permanent;
        }
        cause = error.source();
    }
    kind
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Nothing came for so long.
#[derive(Debug)]
pub(crate) struct Silence(pub(crate) &'static str, pub(crate) Duration);

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} within {:?}", self.0, self.1)
    }
}

impl std::error::Error for Silence {}

/// A connection of whatever kind, and when it was last heard of.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    heard: Heard,
}

/// When a connection was last heard of; goes with its [`Connected`].
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    pub(crate) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Stream {
    fn new(io: impl Io + 'static) -> Self {
        Self {
            io: Box::new(io),
            heard: Heard(Arc::new(Mutex::new(Instant::now()))),
        }
    }
}

trait Io: Connection + Read + Write + Send + Unpin {}

impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.heard.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut *self.io).poll_read(cx, buffer);
        if read.is_ready() {
            self.heard.now();
        }
        read
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, slices)
    }
}
