//! Classifies errors: whether the request was sent, and whether another attempt could help.

use std::fmt;
use std::io;

use atlas_model_keys_core::{Error, Failure, FailureKind, Proxy, Session};
use http::StatusCode;
use rustls::InvalidMessage;

use crate::gzip::GzipError;

/// Returns the error for a problem of this machine that was found before a request and that no retry can solve.
pub fn permanent(
    session: &Session,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    session.transport_error(Failure::new(FailureKind::Permanent, source), 0)
}

/// Returns the failure kind of a TLS error. A retry cannot help if one side does not trust or understand the other.
#[must_use]
pub fn tls_failure_kind(error: &rustls::Error) -> FailureKind {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(_)
        | E::NoCertificatesPresented
        | E::UnsupportedNameType
        | E::InvalidMessage(_)
        | E::PeerIncompatible(_)
        | E::NoApplicationProtocol
        | E::AlertReceived(_) => FailureKind::Permanent,
        _ => FailureKind::Lost,
    }
}

/// Returns the failure kind of an error of a socket, or of a layer above it (TLS, gzip). In doubt, the request was sent.
#[must_use]
pub fn io_failure_kind(error: &io::Error) -> FailureKind {
    let inner = error.get_ref();
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref()) {
        return tls_failure_kind(tls);
    }
    if let Some(gzip) = inner.and_then(|inner| inner.downcast_ref::<GzipError>()) {
        return gzip.failure_kind();
    }
    match inner.and_then(|inner| inner.downcast_ref::<io::Error>()) {
        Some(inner) => io_failure_kind(inner),
        None => match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => FailureKind::NotSent,
            _ if is_unknown_host(error) => FailureKind::NotSent,
            _ => FailureKind::Lost,
        },
    }
}

/// Tells whether a host name was not found. The standard library says so in the text only.
fn is_unknown_host(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.to_string().starts_with("failed to lookup address")
}

/// Any error, in the form that HTTP clients use.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The peer does not speak TLS: its first bytes are something else, such as a plain HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotTls;

impl NotTls {
    /// Replaces the error that a TLS library reports in this case ("corrupt message"). Other errors of a handshake are
    /// returned unchanged.
    #[must_use]
    pub fn or(error: BoxError) -> BoxError {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
        while let Some(error) = cause {
            // An `io::Error` does not show the error that it holds among its sources.
            let held = error
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref());
            let tls = held.map_or(error.downcast_ref(), |held| held.downcast_ref());
            // A record begins with its type and a version (RFC 8446 §5.1).
            if let Some(rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) = tls
            {
                return Self.into();
            }
            cause = match held {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        error
    }
}

impl fmt::Display for NotTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "what answers on this port does not speak TLS: check the scheme (https:// or http://) and the port",
        )
    }
}

impl std::error::Error for NotTls {}

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
    use rustls::CertificateError;
    use std::error::Error as _;

    #[test]
    fn socket_errors_have_the_right_failure_kind() {
        let untrusted = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let unknown = "failed to lookup address information: Name or service not known";
        for (error, kind) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused),
                FailureKind::NotSent,
            ),
            (io::Error::other(unknown), FailureKind::NotSent),
            (io::ErrorKind::ConnectionReset.into(), FailureKind::Lost),
            (io::ErrorKind::UnexpectedEof.into(), FailureKind::Lost),
            (
                io::Error::other(io::Error::other(untrusted)),
                FailureKind::Permanent,
            ),
            (
                io::Error::other(rustls::Error::DecryptError),
                FailureKind::Lost,
            ),
        ] {
            assert_eq!(io_failure_kind(&error), kind, "{error}");
        }
    }

    #[test]
    fn bytes_that_are_not_tls_are_not_reported_as_a_failed_handshake() {
        let plain = || rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        for (error, is_plain) in [
            (BoxError::from(plain()), true),
            (io::Error::other(plain()).into(), true),
            (io::Error::other(io::Error::other(plain())).into(), true),
            (
                rustls::Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion).into(),
                true,
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer).into(),
                false,
            ),
            (io::Error::from(io::ErrorKind::UnexpectedEof).into(), false),
        ] {
            let text = error.to_string();
            let explained = NotTls::or(error);
            assert_eq!(explained.is::<NotTls>(), is_plain, "{text}");
            assert_eq!(explained.to_string().contains("check the scheme"), is_plain);
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
