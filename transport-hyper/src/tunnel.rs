//! Opens a tunnel through a proxy (RFC 9110 §9.3.6). Errors name the proxy.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas_model_keys_core::wire::{Decoder, Progress, WireError, WireErrorKind};
use atlas_model_keys_core::{Limits, Proxy};
use atlas_model_keys_transport::{NotTls, ProxyFailure, TunnelError};
use http::{Method, StatusCode, Uri};
use hyper::rt::{Read, ReadBuf, Write};
use tower_service::Service;
use zeroize::Zeroizing;

use crate::failure::BoxError;

/// Makes connections through a proxy, with a connector `C` for the connections to the proxy.
#[derive(Clone)]
pub(crate) struct TunnelConnector<C> {
    pub(crate) to_proxy: C,
    pub(crate) proxy: Proxy,
    pub(crate) limits: Limits,
}

impl<C> Service<Uri> for TunnelConnector<C>
where
    C: Service<Uri>,
    C::Response: Read + Write + Send + Unpin,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = ProxyFailure;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, ProxyFailure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyFailure>> {
        let proxy = &self.proxy;
        self.to_proxy
            .poll_ready(cx)
            .map_err(|error| ProxyFailure::new(proxy, false, error))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (proxy, limits) = (self.proxy.clone(), self.limits.clone());
        let connecting = self.to_proxy.call(proxy.uri().clone());
        Box::pin(async move {
            let mut stream = connecting
                .await
                .map_err(|error| ProxyFailure::new(&proxy, false, NotTls::or(error.into())))?;
            match open(&mut stream, &request(&uri, &proxy), &limits).await {
                Ok(()) => Ok(stream),
                Err(error) => {
                    let refusal = error.downcast_ref::<TunnelError>();
                    let wants_login = refusal.is_some_and(|refusal| refusal.wants_login());
                    Err(ProxyFailure::new(&proxy, wants_login, error))
                }
            }
        })
    }
}

/// Returns the request for a tunnel. It names the port; the default is that of the scheme.
fn request(uri: &Uri, proxy: &Proxy) -> Zeroizing<Vec<u8>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    let authorization = proxy.authorization();
    let login: &[u8] = authorization.as_ref().map_or(b"", |value| value.as_bytes());
    let name: &[u8] = if login.is_empty() {
        b""
    } else {
        b"\r\nProxy-Authorization: "
    };
    let start = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}");
    Zeroizing::new([start.as_bytes(), name, login, b"\r\n\r\n"].concat())
}

/// Sends the request, and reads the head of the response.
async fn open(
    stream: &mut (impl Read + Write + Unpin),
    request: &[u8],
    limits: &Limits,
) -> Result<(), BoxError> {
    let mut left = request;
    while !left.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, left)).await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        left = left.get(written..).unwrap_or_default();
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;

    // Only the head is read, as after HEAD, because the body of a refusal is not needed.
    let mut decoder = Decoder::new(&Method::HEAD, limits);
    let mut bytes = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
        if buffer.filled().is_empty() {
            return Err(TunnelError::Closed.into());
        }
        decoder = match decoder.push(buffer.filled()).map_err(refused)? {
            Progress::More(decoder) => decoder,
            Progress::Done { message, leftover } => {
                return match message.response.status() {
                    status if !status.is_success() => Err(TunnelError::Status(status).into()),
                    // These bytes are not from the server, which speaks only after the client.
                    _ if !leftover.is_empty() => Err(TunnelError::Early.into()),
                    _ => Ok(()),
                };
            }
        };
    }
}

/// Converts the error of an invalid head.
fn refused(error: WireError) -> TunnelError {
    match error.kind() {
        WireErrorKind::Upgrade => TunnelError::Status(StatusCode::SWITCHING_PROTOCOLS),
        _ if error.is_limit() => TunnelError::TooLarge,
        _ => TunnelError::NotHttp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// Returns the outcome of a proxy's response, which must be the same wherever it is cut.
    async fn outcome(response: &str) -> Result<(), String> {
        let mut outcomes = Vec::new();
        for size in [1, 7, usize::MAX] {
            let (client, mut proxy) = duplex(64);
            let response = response.to_owned();
            let proxy = tokio::spawn(async move {
                let mut request = vec![0; 7];
                proxy.read_exact(&mut request).await.unwrap();
                for part in response.as_bytes().chunks(size) {
                    // The client closes the connection when it has seen enough.
                    if proxy.write_all(part).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            });
            let mut client = TokioIo::new(client);
            let opened = open(&mut client, b"request", &Limits::default()).await;
            outcomes.push(opened.map_err(|error| error.to_string()));
            drop(client);
            proxy.await.unwrap();
        }
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.is_ok() == outcomes[0].is_ok())
        );
        outcomes.swap_remove(2)
    }

    #[tokio::test]
    async fn any_2xx_opens_a_tunnel() {
        for response in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\nVia: x\r\n\r\n",
            "HTTP/1.1 201 Created\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(outcome(response).await, Ok(()), "{response}");
        }
    }

    #[tokio::test]
    async fn any_other_response_has_its_own_error() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
        let status = |status| TunnelError::Status(StatusCode::from_u16(status).unwrap());
        for (response, error) in [
            ("", TunnelError::Closed),
            ("HTTP/1.1 200 O", TunnelError::Closed),
            ("SSH-2.0-OpenSSH_9.9\r\n", TunnelError::NotHttp),
            ("HTTP/1.1 2000 OK\r\n\r\n", TunnelError::NotHttp),
            ("HTTP/1.1 101 -\r\n\r\n", status(101)),
            (&long, TunnelError::TooLarge),
            (
                "HTTP/1.1 407 -\r\nContent-Length: 5\r\n\r\nlogin",
                status(407),
            ),
            (
                "HTTP/1.1 502 -\r\nTransfer-Encoding: chunked\r\n\r\n",
                status(502),
            ),
        ] {
            assert_eq!(outcome(response).await, Err(error.to_string()));
        }
    }

    #[tokio::test]
    async fn bytes_after_the_head_are_an_error() {
        let (client, mut proxy) = duplex(64);
        let response = b"HTTP/1.1 200 OK\r\n\r\nhello";
        proxy.write_all(response).await.unwrap();
        let mut client = TokioIo::new(client);
        let opened = open(&mut client, b"request", &Limits::default()).await;
        let error = opened.unwrap_err().to_string();
        assert!(error == TunnelError::Early.to_string(), "{error}");
    }

    #[test]
    fn request_names_the_port_and_has_the_login() {
        let proxy = Proxy::new("http://me:p@proxy.example:3128").unwrap();
        for (uri, proxy, expected) in [
            (
                "https://atlas.example/a?b",
                Proxy::new("proxy.example").unwrap(),
                "CONNECT atlas.example:443 HTTP/1.1\r\nHost: atlas.example:443\r\n\r\n",
            ),
            (
                "http://[2001:db8::1]/",
                Proxy::new("proxy.example").unwrap(),
                "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n",
            ),
            (
                "http://atlas.example:8080",
                proxy,
                "CONNECT atlas.example:8080 HTTP/1.1\r\nHost: atlas.example:8080\r\n\
                 Proxy-Authorization: Basic bWU6cA==\r\n\r\n",
            ),
        ] {
            let request = request(&uri.parse().unwrap(), &proxy);
            assert_eq!(std::str::from_utf8(&request).unwrap(), expected);
        }
    }
}
