//! Classifies the failures of proxies.

use std::fmt;

use atlas_model_keys_core::{FailureKind, Proxy};
use http::StatusCode;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a proxy did not open a tunnel, by its response to `CONNECT`. Nothing was sent to the server in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // Between the crates of this workspace.
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
