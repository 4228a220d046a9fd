//! Makes a `tracing` span for each exchange, if the feature `tracing` is on. A span has no headers and no body.

use atlas_model_keys_core::{Body, Failure};
use http::{Request, Response};

#[cfg(feature = "tracing")]
mod on {
    use std::time::Instant;

    use atlas_model_keys_core::FailureKind;

    /// The span of one request, from before it is sent until its outcome is known.
    #[derive(Debug)]
    pub struct Trace {
        span: tracing::Span,
        begun: Instant,
    }

    impl Trace {
        pub(super) fn begin(method: &str, path: &str, attempt: u32) -> Self {
            let span = tracing::debug_span!(
                target: "atlas_model_keys",
                "exchange",
                method,
                path,
                attempt,
                status = tracing::field::Empty,
                failure = tracing::field::Empty,
                duration_ms = tracing::field::Empty,
            );
            let begun = Instant::now();
            Self { span, begun }
        }

        pub(super) fn finish(self, outcome: Result<u16, FailureKind>) {
            let milliseconds = self.begun.elapsed().as_secs_f64() * 1e3;
            self.span.record("duration_ms", milliseconds);
            match outcome {
                Ok(status) => self.span.record("status", status),
                Err(failure) => self.span.record("failure", tracing::field::debug(failure)),
            };
        }

        pub(super) fn span(&self) -> &tracing::Span {
            &self.span
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod on {
    use atlas_model_keys_core::FailureKind;

    /// The span of one request; nothing, since the feature `tracing` is off.
    #[derive(Debug)]
    pub struct Trace;

    impl Trace {
        pub(super) fn begin(_: &str, _: &str, _: u32) -> Self {
            Self
        }

        pub(super) fn finish(self, _: Result<u16, FailureKind>) {}
    }
}

pub use on::Trace;

impl Trace {
    /// Opens the span of a request before it is sent, with method, path and attempt.
    #[must_use]
    pub fn of(request: &Request<Body>, attempt: u32) -> Self {
        Self::begin(request.method().as_str(), request.uri().path(), attempt)
    }

    /// Calls `send` within the span, and records the outcome.
    ///
    /// # Errors
    /// The failure of `send`.
    pub fn in_scope<B>(
        self,
        send: impl FnOnce() -> Result<Response<B>, Failure>,
    ) -> Result<Response<B>, Failure> {
        #[cfg(feature = "tracing")]
        let outcome = self.span().in_scope(send);
        #[cfg(not(feature = "tracing"))]
        let outcome = send();
        self.end(&outcome);
        outcome
    }

    /// Awaits `send` within the span, and records the outcome.
    ///
    /// # Errors
    /// The failure of `send`.
    pub async fn instrument<B>(
        self,
        send: impl Future<Output = Result<Response<B>, Failure>>,
    ) -> Result<Response<B>, Failure> {
        #[cfg(feature = "tracing")]
        let send = tracing::Instrument::instrument(send, self.span().clone());
        let outcome = send.await;
        self.end(&outcome);
        outcome
    }

    /// Records the status or the failure kind, and the duration.
    fn end<B>(self, outcome: &Result<Response<B>, Failure>) {
        self.finish(match outcome {
            Ok(response) => Ok(response.status().as_u16()),
            Err(failure) => Err(failure.kind()),
        });
    }
}

/// Wraps a future in the current span of the caller, because a new task has no span.
pub fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::in_current_span(future);
    future
}

/// Wraps a function in the current span of the caller, because a new thread has no span.
pub fn within_current_span<R, F: FnOnce() -> R>(call: F) -> impl FnOnce() -> R + use<R, F> {
    #[cfg(feature = "tracing")]
    let call = {
        let span = tracing::Span::current();
        move || span.in_scope(call)
    };
    call
}
