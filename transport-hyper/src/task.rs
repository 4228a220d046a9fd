//! Work that goes on whether or not anybody asks for it, and ends when nobody wants it any more.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas_model_keys_core::{Failure, FailureKind};
use atlas_model_keys_transport::in_current_span;
use tokio::task::{JoinError, JoinHandle};

/// A task of its own.
///
/// An exchange may hold what others wait for: the one request for a token, or the one place that is left of a
/// rate limit. A future that is polled once and then left alone, as in `select!` or with a timeout, would
/// hold it for ever. A task goes on.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Begins at once, within the current span.
    pub(crate) fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(in_current_span(work)))
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Resumes a task's panic where its result was wanted. Without one, the runtime has ended.
pub(crate) fn resume(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Failure::new(FailureKind::Permanent, error),
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
