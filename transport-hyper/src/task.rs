//! Tasks that run without being polled by their caller, and end when their handle is dropped.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use atlas_model_keys_core::{Failure, FailureKind};
use atlas_model_keys_transport::in_current_span;
use tokio::task::{JoinError, JoinHandle};

/// The handle of a task, which aborts it when dropped.
///
/// Other exchanges may wait for an exchange: for its token request, or for its slot in the rate limiter. A future that is
/// polled once and then left alone, as in `select!` or with a timeout, would block them for ever. A task continues.
pub(crate) struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts a task within the current span.
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

/// Resumes the panic of a task. Without a panic, the runtime was shut down, which is a failure.
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
