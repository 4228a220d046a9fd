//! Why no connection was made, and what that says about the request.

use std::error::Error;
use std::time::Duration;
use std::{fmt, iter};

use atlas_model_keys_core::FailureKind;
use atlas_model_keys_transport::{NotTls, failure_kind};

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
        let first: &(dyn Error + 'static) = &*source;
        let mut causes = iter::successors(Some(first), |&cause| cause.source());
        let kind = match failure_kind(&*source) {
            FailureKind::Permanent if !causes.any(<dyn Error>::is::<NoProgress>) => {
                FailureKind::Permanent
            }
            _ => FailureKind::NotSent,
        };
        let source = NotTls::or(source);
        Self { kind, source }
    }
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
