//! Makes connections: by TCP, through a proxy and with TLS, or with the caller's connector.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use atlas_model_keys_core::{Error, Limits, Proxy};
use atlas_model_keys_transport::{ClientSettings, Connections, ProxyFailure};
use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::byte_counter::{ByteCounter, PART};
use crate::failure::{BoxError, ConnectFailure, NoProgress};
use crate::socket::TcpConnector;
use crate::tunnel::TunnelConnector;

/// A connector, boxed so that a client needs no type parameter.
#[derive(Clone)]
pub(crate) struct Connector {
    connect: Arc<dyn Fn(Uri) -> Connecting<BoxError> + Send + Sync>,
    timeout: Duration,
    /// The proxy that an error names.
    proxy: Option<Proxy>,
    http1_only: bool,
}

type Connecting<E> = Pin<Box<dyn Future<Output = Result<Stream, E>> + Send>>;

impl Connector {
    /// Wraps a connector.
    pub(crate) fn new<C>(connector: C, timeout: Duration, limits: &Limits) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + Read + Write + Send + Unpin + 'static,
        C::Future: Send,
        C::Error: Into<BoxError>,
    {
        let head_bytes = limits.head_bytes;
        let connect = move |uri| -> Connecting<BoxError> {
            let mut connector = connector.clone();
            Box::pin(async move {
                poll_fn(|cx| connector.poll_ready(cx))
                    .await
                    .map_err(Into::into)?;
                let stream = connector.call(uri).await.map_err(Into::into)?;
                Ok(Stream::new(stream, head_bytes))
            })
        };
        Self {
            connect: Arc::new(connect),
            timeout,
            proxy: None,
            http1_only: false,
        }
    }

    /// Makes two connectors over TCP, through the proxy if there is one, and with TLS for `https`. The first agrees with the
    /// server on HTTP/2 or HTTP/1.1, the second speaks HTTP/1.1 only.
    pub(crate) fn by_tcp(
        settings: &ClientSettings,
        connections: &Connections,
    ) -> Result<[Self; 2], Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // hyper-util divides this time among the addresses of a host.
        tcp.set_connect_timeout(Some(connections.connect_timeout));
        let tcp = TcpConnector(tcp);

        let http_1 = tls(settings, connections)?;
        let mut http_1_or_2 = http_1.clone();
        http_1_or_2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let http_1 = Arc::new(http_1);
        Ok(
            [Arc::new(http_1_or_2), Arc::clone(&http_1)].map(|to_server| {
                let (timeout, limits) = (connections.connect_timeout, &connections.limits);
                let Some(proxy) = &connections.proxy else {
                    let connector = HttpsConnector::from((tcp.clone(), to_server));
                    return Self::new(connector, timeout, limits);
                };
                let tunnel = TunnelConnector {
                    // CONNECT to a proxy is HTTP/1.1, also over TLS.
                    to_proxy: HttpsConnector::from((tcp.clone(), Arc::clone(&http_1))),
                    proxy: proxy.clone(),
                    limits: limits.clone(),
                };
                Self {
                    proxy: Some(proxy.clone()),
                    ..Self::new(HttpsConnector::from((tunnel, to_server)), timeout, limits)
                }
            }),
        )
    }

    /// Makes a connector that refuses connections for HTTP/2.
    pub(crate) fn http1_only(self) -> Self {
        Self {
            http1_only: true,
            ..self
        }
    }
}

/// Makes a configuration of rustls with *ring*, passed explicitly, and the root certificates that were found.
fn tls(settings: &ClientSettings, connections: &Connections) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(connections.roots.iter().cloned());
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| settings.permanent_error(error))?
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
        let http1_only = self.http1_only;
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(stream)) if stream.connected().is_proxied() => Err(ConnectFailure::refused(
                    "the connector leads to a proxy, which would see the credentials: it is to \
                     ask for a tunnel (CONNECT)",
                )),
                Ok(Ok(stream)) if http1_only && stream.connected().is_negotiated_h2() => {
                    Err(ConnectFailure::refused(
                        "the connector has agreed on HTTP/2 with the server, but the client is set \
                         up for HTTP/1.1 only: the connector is to agree on that",
                    ))
                }
                Ok(connected) => connected.map_err(ConnectFailure::new),
                Err(_) => {
                    let silence = NoProgress("connection", timeout);
                    Err(ConnectFailure::new(match proxy {
                        Some(proxy) => ProxyFailure::new(&proxy, false, silence).into(),
                        None => silence.into(),
                    }))
                }
            }
        })
    }
}

/// A connection of any kind that counts the bytes that arrive.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    /// The buffer for reads. Only an own buffer shows how many bytes were read.
    buffer: Box<[u8]>,
    /// The number of bytes of the buffer that may hold old data, such as a token.
    used: usize,
    counter: ByteCounter,
}

impl Stream {
    fn new(io: impl Io + 'static, head_bytes: usize) -> Self {
        let is_http_2 = io.connected().is_negotiated_h2();
        Self {
            io: Box::new(io),
            buffer: vec![0; PART].into(),
            used: 0,
            counter: ByteCounter::new(is_http_2, head_bytes),
        }
    }
}

trait Io: Connection + Read + Write + Send + Unpin {}

impl<T: Connection + Read + Write + Send + Unpin> Io for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().extra(self.counter.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            io,
            buffer: bytes,
            used,
            counter,
        } = &mut *self;
        if counter.is_burst() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let length = buffer.remaining().min(bytes.len());
        let (part, _) = bytes.split_at_mut(length);
        let mut read = ReadBuf::new(part);
        let polled = Pin::new(io).poll_read(cx, read.unfilled())?;
        if polled.is_ready() {
            counter.received(read.filled()).map_err(io::Error::other)?;
            buffer.put_slice(read.filled());
        } else {
            counter.idle();
        }
        match read.filled().len() {
            // Nothing was read: the old data is overwritten.
            0 => {
                bytes.split_at_mut(*used).0.fill(0);
                *used = 0;
            }
            length => *used = length.max(*used),
        }
        polled.map(Ok)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.counter.sent();
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
        self.counter.sent();
        Pin::new(&mut *self.io).poll_write_vectored(cx, slices)
    }
}
