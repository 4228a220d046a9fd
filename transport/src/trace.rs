//! A span for each exchange, where the feature `tracing` is on. Never a header, never a body.

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
    /// Before the request is sent. What is known by then: method, path and attempt.
    #[must_use]
    pub fn of(request: &Request<Body>, attempt: u32) -> Self {
        Self::begin(request.method().as_str(), request.uri().path(), attempt)
    }

    /// Sends it, within the span.
    ///
    /// # Errors
    /// Those of sending.
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

    /// The same, where sending is a future.
    ///
    /// # Errors
    /// Those of sending.
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

    /// The outcome is known: a status or what kind of failure, and how long it took.
    fn end<B>(self, outcome: &Result<Response<B>, Failure>) {
        self.finish(match outcome {
            Ok(response) => Ok(response.status().as_u16()),
            Err(failure) => Err(failure.kind()),
        });
    }
}

/// The future, within the span that whoever calls this is in: a task has none of its own.
pub fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::in_current_span(future);
    future
}

/// The same for what a thread does.
pub fn within_current_span<R, F: FnOnce() -> R>(call: F) -> impl FnOnce() -> R + use<R, F> {
    #[cfg(feature = "tracing")]
    let call = {
        let span = tracing::Span::current();
        move || span.in_scope(call)
    };
    call
}
