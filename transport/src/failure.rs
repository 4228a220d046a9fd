//! Classifies errors: whether the request was sent, and whether another attempt could help.

use std::io;

use atlas_model_keys_core::{Error, Failure, FailureKind, Session};

use crate::gzip::GzipError;
#[cfg(feature = "rustls")]
use crate::proxy::{ProxyFailure, TunnelError};
use crate::reading::TooLarge;
#[cfg(feature = "rustls")]
use crate::tls::tls_failure_kind;

/// Returns the error for a problem of this machine that was found before a request and that no retry can solve.
pub(crate) fn permanent(
    session: &Session,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    session.transport_error(Failure::new(FailureKind::Permanent, source), 0)
}

/// Returns the failure kind of an error of a socket, or of a layer above it (TLS, gzip). Returns [`FailureKind::Lost`] if it is
/// not known whether the request was sent, and never [`FailureKind::TimedOut`].
#[must_use]
pub fn io_failure_kind(error: &io::Error) -> FailureKind {
    let inner = error.get_ref();
    #[cfg(feature = "rustls")]
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

/// Returns the failure kind of the first cause of an error that has one: an error of a socket, of TLS, of gzip, of a limit, or of
/// a proxy. Returns [`FailureKind::Lost`] if it is not known whether the request was sent, and never
/// [`FailureKind::TimedOut`].
///
/// Certificates are recognised with the feature `rustls`, if the library uses rustls.
#[must_use]
pub fn failure_kind(error: &(dyn std::error::Error + 'static)) -> FailureKind {
    first_failure_kind(error).unwrap_or(FailureKind::Lost)
}

fn first_failure_kind(error: &(dyn std::error::Error + 'static)) -> Option<FailureKind> {
    if let Some(io) = error.downcast_ref::<io::Error>() {
        // An `io::Error` does not show the error that it holds among its sources.
        let held = io.get_ref().and_then(|held| first_failure_kind(held));
        return held.or_else(|| Some(io_failure_kind(io)));
    }
    if let Some(gzip) = error.downcast_ref::<GzipError>() {
        return Some(gzip.failure_kind());
    }
    if error.is::<TooLarge>() {
        return Some(FailureKind::Permanent);
    }
    #[cfg(feature = "rustls")]
    if let Some(tls) = error.downcast_ref() {
        return Some(tls_failure_kind(tls));
    }
    #[cfg(feature = "rustls")]
    if let Some(refusal) = error.downcast_ref::<TunnelError>() {
        return Some(refusal.kind());
    }
    let kind = error.source().and_then(first_failure_kind);
    // The proxy refused, unless a cause has another kind.
    #[cfg(feature = "rustls")]
    let kind = kind.or(error.is::<ProxyFailure>().then_some(FailureKind::Permanent));
    kind
}

/// Tells whether a host name was not found. The standard library says so in the text only.
fn is_unknown_host(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.to_string().starts_with("failed to lookup address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_cause_that_has_a_failure_kind_decides() {
        #[derive(Debug)]
        struct Outer(Box<dyn std::error::Error + Send + Sync>);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("outer")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&*self.0)
            }
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for (cause, kind) in [
            (refused.into(), FailureKind::NotSent),
            (TooLarge::Trailers.into(), FailureKind::Permanent),
            (GzipError::TooLong.into(), FailureKind::Permanent),
            (GzipError::Truncated.into(), FailureKind::Lost),
            ("unknown".into(), FailureKind::Lost),
        ] {
            let error = Outer(Box::new(Outer(cause)));
            assert_eq!(failure_kind(&error), kind, "{error:?}");
        }
    }

    #[test]
    fn socket_errors_have_the_right_failure_kind() {
        let unknown = "failed to lookup address information: Name or service not known";
        for (error, kind) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused),
                FailureKind::NotSent,
            ),
            (io::Error::other(unknown), FailureKind::NotSent),
            (io::ErrorKind::ConnectionReset.into(), FailureKind::Lost),
            (io::ErrorKind::UnexpectedEof.into(), FailureKind::Lost),
        ] {
            assert_eq!(io_failure_kind(&error), kind, "{error}");
        }
    }
}
