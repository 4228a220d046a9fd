//! Events for logs and metrics, and the spans of `tracing`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{ApiError, Body, Failure, FailureKind, ForeignError, Wait};
use http::{Method, Request, Response, StatusCode};

use crate::clock::Clock;

/// Something that happened during a call of a client; see [`ClientSettings::on_event`](crate::ClientSettings::on_event).
///
/// No event contains a credential, a header or a whole body. A wait after an error response has the [`ApiError`] of Atlas, whose
/// texts are redacted. A request whose call is dropped is reported as sent, and perhaps never as
/// answered or failed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A request is about to be sent.
    Sent(SentRequest<'e>),
    /// A response arrived, with its whole body.
    #[non_exhaustive]
    Answered {
        /// The request.
        request: SentRequest<'e>,
        /// The status of the response.
        status: StatusCode,
        /// The time since the request was sent, until its response was read.
        duration: Duration,
    },
    /// A request, or its response, could not be delivered.
    #[non_exhaustive]
    Failed {
        /// The request.
        request: SentRequest<'e>,
        /// The kind of the failure.
        kind: FailureKind,
        /// The time since the request was sent.
        duration: Duration,
    },
    /// A call waits before its next request.
    #[non_exhaustive]
    Waiting {
        /// The longest time of the wait. A wait for another exchange ends earlier, when that exchange ends.
        delay: Duration,
        /// The reason.
        reason: WaitReason<'e>,
    },
    /// The client has a new access token for its service account.
    TokenFetched,
}

/// The request of an [`Event`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SentRequest<'e> {
    /// The method.
    pub method: &'e Method,
    /// The path, which contains the id of the group or the organization, without the query.
    pub path: &'e str,
    /// The query, such as `pageNum=2`. It holds no secret.
    pub query: Option<&'e str>,
    /// The number of the attempt, from 1. Token requests are counted separately, and a request that answers a challenge
    /// belongs to the attempt before it.
    pub attempt: u32,
}

/// The reason of a wait.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum WaitReason<'e> {
    /// Atlas sent this error, and the request is tried again. If it is a 429, it may have been sent to another call for
    /// the same group or organization.
    Response(&'e ApiError),
    /// The request or its response was not delivered, and the request is tried again.
    #[non_exhaustive]
    Failure {
        /// The kind of the failure.
        kind: FailureKind,
        /// The error of the transport. Its text shows no secret of the client.
        source: &'e ForeignError,
    },
    /// Another call fetches the token, or holds the only place under the rate limit.
    OtherExchange,
}

impl<'e> WaitReason<'e> {
    fn of(wait: &'e Wait) -> Self {
        match (wait.api_error(), wait.failure()) {
            (Some(response), _) => Self::Response(response),
            (_, Some((kind, source))) => Self::Failure { kind, source },
            _ => Self::OtherExchange,
        }
    }
}

/// A function that is called with each event.
pub(crate) type OnEvent = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Reports the events of a client.
#[derive(Clone, Default)]
pub(crate) struct Events(Option<OnEvent>);

impl Events {
    pub(crate) fn new(on_event: Option<OnEvent>) -> Self {
        Self(on_event)
    }

    fn report(&self, event: &Event<'_>) {
        if let Some(on_event) = &self.0 {
            on_event(event);
        }
    }

    pub(crate) fn waiting(&self, wait: &Wait) {
        let (delay, reason) = (wait.delay(), WaitReason::of(wait));
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "atlas_model_keys", ?delay, ?reason, "waiting");
        self.report(&Event::Waiting { delay, reason });
    }

    pub(crate) fn token_fetched(&self) {
        #[cfg(feature = "tracing")]
        tracing::debug!(target: "atlas_model_keys", "token fetched");
        self.report(&Event::TokenFetched);
    }

    /// Awaits the outcome of a request, and reports its start and its end. With the feature `tracing`, both are within a
    /// span, which records the end, too.
    pub(crate) async fn observe<B>(
        &self,
        request: Request<Body>,
        attempt: u32,
        clock: &dyn Clock,
        send: impl AsyncFnOnce(Request<Body>) -> Result<Response<B>, Failure>,
    ) -> Result<Response<B>, Failure> {
        if self.0.is_none() && !cfg!(feature = "tracing") {
            return send(request).await;
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let sent = SentRequest {
            method: &method,
            path: uri.path(),
            query: uri.query(),
            attempt,
        };
        #[cfg(feature = "tracing")]
        let span = spans::exchange(&sent);
        let observed = async {
            self.report(&Event::Sent(sent));
            let begun = clock.elapsed();
            let outcome = send(request).await;
            let duration = clock.elapsed().saturating_sub(begun);
            let event = match &outcome {
                Ok(response) => Event::Answered {
                    request: sent,
                    status: response.status(),
                    duration,
                },
                Err(failure) => Event::Failed {
                    request: sent,
                    kind: failure.kind(),
                    duration,
                },
            };
            #[cfg(feature = "tracing")]
            spans::record(&span, &event);
            self.report(&event);
            outcome
        };
        #[cfg(feature = "tracing")]
        let observed = tracing::Instrument::instrument(observed, span.clone());
        observed.await
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.is_some()).finish()
    }
}

/// A span for each request. It has no header and no body.
#[cfg(feature = "tracing")]
mod spans {
    use super::{Event, SentRequest};
    use tracing::Span;
    use tracing::field::{Empty, debug};

    pub(super) fn exchange(request: &SentRequest<'_>) -> Span {
        tracing::debug_span!(
            target: "atlas_model_keys",
            "exchange",
            method = request.method.as_str(),
            path = request.path,
            attempt = request.attempt,
            status = Empty,
            failure = Empty,
            duration_ms = Empty,
        )
    }

    /// Records the end of a request in its span.
    pub(super) fn record(span: &Span, event: &Event<'_>) {
        let duration = match event {
            Event::Answered {
                status, duration, ..
            } => {
                span.record("status", status.as_u16());
                duration
            }
            Event::Failed { kind, duration, .. } => {
                span.record("failure", debug(kind));
                duration
            }
            _ => return,
        };
        span.record("duration_ms", duration.as_secs_f64() * 1e3);
    }
}

/// Wraps a future in the current span of the caller, because a new task or thread has no span.
pub(crate) fn in_current_span<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::in_current_span(future);
    future
}
