//! A tunnel through a proxy (RFC 9110 §9.3.6), with errors that name it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas_model_keys_core::wire::{Decoder, Progress};
use atlas_model_keys_core::{FailureKind, Limits, Proxy};
use atlas_model_keys_transport::ProxyFailure;
use http::{Method, StatusCode, Uri};
use hyper::rt::{Read, ReadBuf, Write};
use tower_service::Service;
use zeroize::Zeroizing;

use crate::connect::BoxError;

/// Makes connections through a proxy, which is reached by a `C`.
#[derive(Clone)]
pub(crate) struct Through<C> {
    pub(crate) to_proxy: C,
    pub(crate) proxy: Proxy,
    pub(crate) limits: Limits,
}

impl<C> Service<Uri> for Through<C>
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
                .map_err(|error| ProxyFailure::new(&proxy, false, error))?;
            match open(&mut stream, &request(&uri, &proxy), &limits).await {
                Ok(status) if status.is_success() => Ok(stream),
                Ok(status) => {
                    let wants_login = status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
                    Err(ProxyFailure::new(&proxy, wants_login, Refusal(status)))
                }
                Err(error) => Err(ProxyFailure::new(&proxy, false, error)),
            }
        })
    }
}

/// The request for a tunnel. A tunnel leads to a port, so the scheme's is named where the URI has none.
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

/// Sends the request, and reads the head of the answer.
async fn open(
    stream: &mut (impl Read + Write + Unpin),
    request: &[u8],
    limits: &Limits,
) -> Result<StatusCode, BoxError> {
    let mut left = request;
    while !left.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, left)).await?;
        if written == 0 {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        left = left.get(written..).unwrap_or_default();
    }
    poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await?;

    // The body of a refusal is nobody's business: as after HEAD, only the head is read.
    let mut decoder = Decoder::new(&Method::HEAD, limits);
    let mut bytes = [0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
        if buffer.filled().is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        decoder = match decoder.push(buffer.filled())? {
            Progress::More(decoder) => decoder,
            Progress::Done { message, leftover } => {
                let status = message.response.status();
                // Whoever is at the other end waits to be spoken to.
                return match status.is_success() && !leftover.is_empty() {
                    true => Err("it sent more than the head of its answer".into()),
                    false => Ok(status),
                };
            }
        };
    }
}

/// What a proxy answered instead of opening a tunnel.
#[derive(Debug)]
pub(crate) struct Refusal(StatusCode);

impl Refusal {
    /// A proxy that is busy, or that does not reach the server now, may do so later.
    pub(crate) fn kind(&self) -> FailureKind {
        match self.0 {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => FailureKind::NotSent,
            _ => FailureKind::Permanent,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answered {}", self.0)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// What comes of a proxy's answer, however it is cut.
    async fn answered(answer: &str) -> Result<StatusCode, String> {
        let mut outcomes = Vec::new();
        for size in [1, 7, usize::MAX] {
            let (client, mut proxy) = duplex(64);
            let answer = answer.to_owned();
            let proxy = tokio::spawn(async move {
                let mut request = vec![0; 7];
                proxy.read_exact(&mut request).await.unwrap();
                for part in answer.as_bytes().chunks(size) {
                    // Who has seen enough goes away.
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
    async fn the_status_of_a_proxys_answer_counts_and_nothing_after_it() {
        for (answer, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", 200),
            ("HTTP/1.0 200\r\nVia: x\r\n\r\n", 200),
            ("HTTP/1.1 201 Created\r\n\r\n", 201),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
            ("HTTP/1.1 407 -\r\nContent-Length: 5\r\n\r\nlogin", 407),
            ("HTTP/1.1 502 -\r\nTransfer-Encoding: chunked\r\n\r\n", 502),
        ] {
            let outcome = answered(answer).await.map(|status| status.as_u16());
            assert_eq!(outcome, Ok(status), "{answer}");
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
        for (answer, words) in [
            ("", "end of file"),
            ("HTTP/1.1 200 O", "end of file"),
            ("SSH-2.0-OpenSSH_9.9\r\n", "begin as HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "status line"),
            ("HTTP/1.1 101 -\r\n\r\n", "switch of protocols"),
            (&long, "Limits::head_bytes"),
        ] {
            let error = answered(answer).await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn a_tunnel_that_speaks_first_is_none() {
        let (client, mut proxy) = duplex(64);
        let answer = b"HTTP/1.1 200 OK\r\n\r\nhello";
        proxy.write_all(answer).await.unwrap();
        let mut client = TokioIo::new(client);
        let opened = open(&mut client, b"request", &Limits::default()).await;
        let error = opened.unwrap_err().to_string();
        assert!(error.contains("more than the head"), "{error}");
    }

    #[test]
    fn a_tunnel_leads_to_a_port_and_carries_the_login() {
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
