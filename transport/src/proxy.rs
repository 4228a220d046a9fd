//! Opens a tunnel through a proxy (RFC 9110 §9.3.6), without I/O, and names the failures of proxies.

use std::fmt;

use atlas_model_keys_core::wire::{Decoder, Progress, WireError, WireErrorKind};
use atlas_model_keys_core::{FailureKind, Limits, Proxy};
use http::{Method, StatusCode, Uri};
use zeroize::Zeroizing;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks a proxy for a tunnel to the host of a URL.
#[derive(Debug)]
pub struct TunnelOpening(Option<Decoder>);

impl TunnelOpening {
    /// Returns the request to send to the proxy, with the proxy's login, and the state for reading the response.
    ///
    /// The request names the port; the default is that of the URL's scheme.
    #[must_use]
    pub fn new(
        target: &Uri,
        proxy: &Proxy,
        user_agent: &str,
        limits: &Limits,
    ) -> (Zeroizing<Vec<u8>>, Self) {
        let host = target.host().unwrap_or_default();
        let port = target.port_u16().unwrap_or(match target.scheme_str() {
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
        let start = format!(
            "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {user_agent}"
        );
        let request = [start.as_bytes(), name, login, b"\r\n\r\n"].concat();
        // Only the head is read, as after HEAD, because the body of a refusal is not needed.
        let decoder = Decoder::new(&Method::HEAD, limits);
        (Zeroizing::new(request), Self(Some(decoder)))
    }

    /// Takes bytes of the response, none at the end of the connection. Returns whether the tunnel is open.
    ///
    /// # Errors
    /// The reason why the proxy did not open the tunnel.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, TunnelError> {
        let Some(decoder) = self.0.take().filter(|_| !bytes.is_empty()) else {
            return Err(TunnelError::Closed);
        };
        match decoder.push(bytes).map_err(refused)? {
            Progress::More(decoder) => {
                self.0 = Some(decoder);
                Ok(false)
            }
            Progress::Done { message, leftover } => match message.response.status() {
                status if !status.is_success() => Err(TunnelError::Status(status)),
                // These bytes are not from the server, which speaks only after the client.
                _ if !leftover.is_empty() => Err(TunnelError::Early),
                _ => Ok(true),
            },
        }
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

/// Why a proxy did not open a tunnel, by its response to `CONNECT`. Nothing was sent to the server in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// It responded with this status.
    Status(StatusCode),
    /// It responded with something that is not HTTP.
    NotHttp,
    /// The head of its response is larger than the limits.
    TooLarge,
    /// It sent more than its response. What follows is the server's, which has not been asked for anything.
    Early,
    /// It closed the connection instead of responding.
    Closed,
}

impl TunnelError {
    /// Returns whether another attempt could help: 502, 503 and 504 say that the proxy could not reach the server
    /// for now, and a proxy that closes the connection may have been restarted.
    #[must_use]
    pub fn kind(self) -> FailureKind {
        match self {
            Self::Closed
            | Self::Status(
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            ) => FailureKind::NotSent,
            _ => FailureKind::Permanent,
        }
    }

    /// Returns whether the proxy wants a login (407).
    #[must_use]
    pub fn wants_login(self) -> bool {
        self == Self::Status(StatusCode::PROXY_AUTHENTICATION_REQUIRED)
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answered CONNECT with {status}"),
            Self::NotHttp => f.write_str("it does not answer as an HTTP proxy does: is it one?"),
            Self::TooLarge => f.write_str("the head of its answer to CONNECT is too large"),
            Self::Early => f.write_str("it sent more than the answer to CONNECT"),
            Self::Closed => f.write_str("it closed the connection instead of answering CONNECT"),
        }
    }
}

impl std::error::Error for TunnelError {}

/// A proxy that did not open the tunnel. Names the proxy, without its login.
#[derive(Debug)]
pub struct ProxyFailure {
    proxy: Proxy,
    wants_login: bool,
    source: BoxError,
}

impl ProxyFailure {
    /// Wraps the error of the proxy or of the connection to it. `wants_login` is true if the proxy responded with 407.
    pub fn new(proxy: &Proxy, wants_login: bool, source: impl Into<BoxError>) -> Self {
        Self {
            proxy: proxy.clone(),
            wants_login,
            source: source.into(),
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.proxy;
        match (self.wants_login, proxy.login()) {
            (false, _) => write!(f, "the proxy {proxy} opened no tunnel"),
            (true, Some(_)) => write!(f, "the proxy {proxy} refused its login (407)"),
            (true, None) => write!(
                f,
                "the proxy {proxy} wants a login (407): it must have the form http://user:password@host"
            ),
        }
    }
}

impl std::error::Error for ProxyFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn opening(proxy: &str, target: &str) -> (Zeroizing<Vec<u8>>, TunnelOpening) {
        let (proxy, target) = (Proxy::new(proxy).unwrap(), target.parse().unwrap());
        TunnelOpening::new(&target, &proxy, "test/1", &Limits::default())
    }

    /// Returns the outcome of a proxy's response, which must be the same wherever it is cut.
    fn outcome(response: &str) -> Result<(), TunnelError> {
        let outcomes = [1, 7, usize::MAX].map(|size| {
            let (_, mut opening) = opening("proxy.example", "https://atlas.example");
            for part in response.as_bytes().chunks(size) {
                if opening.push(part)? {
                    return Ok(());
                }
            }
            opening.push(b"").map(drop)
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]));
        outcomes[0]
    }

    #[test]
    fn any_2xx_opens_a_tunnel() {
        for response in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\nVia: x\r\n\r\n",
            "HTTP/1.1 201 Created\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        ] {
            assert_eq!(outcome(response), Ok(()), "{response}");
        }
    }

    #[test]
    fn any_other_response_has_its_own_error() {
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
            assert_eq!(outcome(response), Err(error));
        }
    }

    #[test]
    fn bytes_after_the_head_are_an_error() {
        let (_, mut opening) = opening("proxy.example", "https://atlas.example");
        let opened = opening.push(b"HTTP/1.1 200 OK\r\n\r\nhello");
        assert_eq!(opened, Err(TunnelError::Early));
    }

    #[test]
    fn another_protocol_is_recognised_by_its_first_bytes() {
        // The peer may wait for more from the client.
        for greeting in ["SSH-2.0-", "220 mail.example", "*"] {
            let (_, mut opening) = opening("proxy.example", "https://atlas.example");
            assert_eq!(opening.push(greeting.as_bytes()), Err(TunnelError::NotHttp));
        }
    }

    #[test]
    fn request_names_the_port_and_has_the_login() {
        for (uri, proxy, expected) in [
            (
                "https://atlas.example/a?b",
                "proxy.example",
                "CONNECT atlas.example:443 HTTP/1.1\r\nHost: atlas.example:443\r\nUser-Agent: test/1\r\n\r\n",
            ),
            (
                "http://[2001:db8::1]/",
                "proxy.example",
                "CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nUser-Agent: test/1\r\n\r\n",
            ),
            (
                "http://atlas.example:8080",
                "http://me:p@proxy.example:3128",
                "CONNECT atlas.example:8080 HTTP/1.1\r\nHost: atlas.example:8080\r\nUser-Agent: test/1\r\n\
                 Proxy-Authorization: Basic bWU6cA==\r\n\r\n",
            ),
        ] {
            let (request, _) = opening(proxy, uri);
            assert_eq!(String::from_utf8(request.to_vec()).unwrap(), expected);
        }
    }

    #[test]
    fn only_502_503_and_504_of_a_proxy_are_retried() {
        for (status, kind) in [
            (502, FailureKind::NotSent),
            (503, FailureKind::NotSent),
            (504, FailureKind::NotSent),
            (500, FailureKind::Permanent),
            (403, FailureKind::Permanent),
            (407, FailureKind::Permanent),
            (302, FailureKind::Permanent),
        ] {
            assert_eq!(
                TunnelError::Status(StatusCode::from_u16(status).unwrap()).kind(),
                kind
            );
        }
    }

    #[test]
    fn proxy_is_named_without_its_login() {
        for (proxy, wants_login, text) in [
            (
                "proxy.example:3128",
                false,
                "the proxy http://proxy.example:3128 opened no tunnel",
            ),
            (
                "http://me:hunter2@proxy.example",
                true,
                "the proxy http://proxy.example refused its login (407)",
            ),
            (
                "https://proxy.example",
                true,
                "the proxy https://proxy.example wants a login (407): \
                 it must have the form http://user:password@host",
            ),
        ] {
            let proxy = Proxy::new(proxy).unwrap();
            let failure = ProxyFailure::new(&proxy, wants_login, "why");
            assert_eq!(failure.to_string(), text);
            assert_eq!(failure.source().unwrap().to_string(), "why");
            assert!(!format!("{failure:?}").contains("hunter2"));
        }
    }
}
