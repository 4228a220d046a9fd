//! Classifies the errors of ureq: whether the request was sent, and whether another attempt could help.

use std::fmt;

use atlas_model_keys_core::{FailureKind, Proxy};
use atlas_model_keys_transport::{
    NotTls, ProxyFailure, TunnelError, io_failure_kind, tls_failure_kind,
};
use http::StatusCode;
use ureq::{Error, Timeout};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Returns the failure kind of an error. In doubt, the request was sent.
pub(crate) fn kind_of(error: &Error) -> FailureKind {
    use Error as E;
    use FailureKind::{Lost, NotSent, Permanent, TimedOut};

    match error {
        E::HostNotFound | E::ConnectionFailed | E::Timeout(Timeout::Resolve | Timeout::Connect) => {
            NotSent
        }
        E::Io(error) => io_failure_kind(error),
        E::Other(error) => match error.downcast_ref::<ConnectFailure>() {
            Some(failure) => failure.kind(),
            None => Lost,
        },
        E::Rustls(tls) => tls_failure_kind(tls),
        E::Timeout(Timeout::Global) => TimedOut,
        // From a caller's agent; our own connector asks proxies itself.
        E::ConnectProxyFailed(text) => TunnelError::Status(status_in(text)).kind(),
        // The configuration is wrong.
        E::Http(_)
        | E::BadUri(_)
        | E::InvalidProxyUrl
        | E::RequireHttpsOnly(_)
        | E::Tls(_)
        | E::TlsRequired
        | E::Pem(_)
        | E::LargeResponseHeader(..) => Permanent,
        _ => Lost,
    }
}

/// Returns the status of a proxy's response, which ureq reports in the text only.
fn status_in(text: &str) -> StatusCode {
    let status = text
        .split_once("responded ")
        .and_then(|(_, after)| StatusCode::from_bytes(after.as_bytes().get(..3)?).ok());
    status.unwrap_or_default()
}

/// A connection was not made, so nothing was sent.
#[derive(Debug)]
pub(crate) struct ConnectFailure {
    kind: FailureKind,
    /// The proxy of the connection. If the proxy itself failed, the source says so.
    through: Option<String>,
    source: BoxError,
}

impl ConnectFailure {
    pub(crate) fn new(error: Error, through: Option<&Proxy>) -> Self {
        Self {
            kind: kind_before(&error),
            through: through.map(Proxy::to_string),
            source: NotTls::or(unwrapped(error)),
        }
    }

    /// Makes the failure of a step before the tunnel was open.
    pub(crate) fn of_proxy(proxy: &Proxy, error: Error) -> Self {
        let failure = Self::new(error, None);
        Self {
            source: ProxyFailure::new(proxy, false, failure.source).into(),
            ..failure
        }
    }

    /// Makes the failure of a tunnel that the proxy refused.
    pub(crate) fn refused(proxy: &Proxy, error: TunnelError) -> Self {
        Self {
            kind: error.kind(),
            through: None,
            source: ProxyFailure::new(proxy, error.wants_login(), error).into(),
        }
    }

    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }
}

/// Returns the failure kind of an error before the request was sent.
fn kind_before(error: &Error) -> FailureKind {
    match kind_of(error) {
        FailureKind::Lost => FailureKind::NotSent,
        kind => kind,
    }
}

/// Removes the error type of ureq around an error.
fn unwrapped(error: Error) -> BoxError {
    match error {
        Error::Io(error) => error.into(),
        Error::Rustls(error) => error.into(),
        error => error.into(),
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.through {
            Some(proxy) => write!(f, "no connection through the proxy {proxy}"),
            None => f.write_str("no connection"),
        }
    }
}

impl std::error::Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn errors_have_the_right_failure_kind() {
        let io = |kind: io::ErrorKind| Error::Io(kind.into());
        for (error, kind) in [
            (Error::HostNotFound, FailureKind::NotSent),
            (Error::Timeout(Timeout::Connect), FailureKind::NotSent),
            (io(io::ErrorKind::ConnectionRefused), FailureKind::NotSent),
            (io(io::ErrorKind::UnexpectedEof), FailureKind::Lost),
            (Error::Timeout(Timeout::PerRead), FailureKind::Lost),
            (Error::Timeout(Timeout::Global), FailureKind::TimedOut),
            (
                Error::ConnectProxyFailed("proxy server responded 407/407".into()),
                FailureKind::Permanent,
            ),
            (
                Error::ConnectProxyFailed("proxy server responded 502/502".into()),
                FailureKind::NotSent,
            ),
            (
                Error::ConnectProxyFailed("proxy server did not respond".into()),
                FailureKind::Permanent,
            ),
        ] {
            assert_eq!(kind_of(&error), kind, "{error}");
        }
    }
}
