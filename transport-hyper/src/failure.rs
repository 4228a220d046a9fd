//! Why no connection was made, and what that says about the request.

use std::fmt;
use std::time::Duration;

use atlas_model_keys_core::FailureKind;
use atlas_model_keys_transport::{
    NotTls, ProxyFailure, TunnelError, io_failure_kind, tls_failure_kind,
};

/// Any error of a connector.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connection was not made, so nothing was sent.
#[derive(Debug)]
pub(crate) struct ConnectFailure {
    pub(crate) kind: FailureKind,
    source: BoxError,
}

impl ConnectFailure {
    /// Makes the failure of a connection that the caller's connector made and that must not be used.
    pub(crate) fn refused(problem: &str) -> Self {
        Self {
            kind: FailureKind::Permanent,
            source: problem.into(),
        }
    }

    pub(crate) fn new(source: BoxError) -> Self {
        // In any case, the request was not sent.
        let kind = match kind_of(&*source) {
            FailureKind::Permanent => FailureKind::Permanent,
            _ => FailureKind::NotSent,
        };
        let source = NotTls::or(source);
        Self { kind, source }
    }
}

/// Returns the failure kind of the first cause that has one.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> FailureKind {
    let mut kind = FailureKind::NotSent;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return tls_failure_kind(tls);
        }
        if let Some(io) = error.downcast_ref() {
            return io_failure_kind(io);
        }
        if error.is::<NoProgress>() {
            return FailureKind::NotSent;
        }
        if let Some(refusal) = error.downcast_ref::<TunnelError>() {
            return refusal.kind();
        }
        if error.is::<ProxyFailure>() {
            // The proxy refused, unless a cause has another kind.
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

/// Nothing arrived within this time.
#[derive(Debug)]
pub(crate) struct NoProgress(pub(crate) &'static str, pub(crate) Duration);

impl fmt::Display for NoProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} within {:?}", self.0, self.1)
    }
}

impl std::error::Error for NoProgress {}
