//! The public types of a session's dialogue: the steps, their tickets, and what a driver passes in.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::Request;

use super::ticket::{RetryCause, Ticket, wait_timed_out};
use crate::{ApiError, Body, Error, FailureKind, ForeignError, Reply};

/// The next thing that the driver must do.
#[must_use]
#[allow(clippy::exhaustive_enums)] // A driver must handle exactly these three.
pub enum Step<B> {
    /// Send the request; then call [`Session::respond`](crate::Session::respond) or
    /// [`Session::fail`](crate::Session::fail).
    Send(Exchange),
    /// Wait; then call [`Session::resume`](crate::Session::resume).
    Wait(Wait),
    /// The exchange is complete.
    Done(Reply<B>),
}

impl<B> Step<B> {
    /// Converts the body of the reply, if the step has one.
    pub fn map_body<C>(self, change: impl FnOnce(B) -> C) -> Step<C> {
        match self {
            Self::Send(exchange) => Step::Send(exchange),
            Self::Wait(wait) => Step::Wait(wait),
            Self::Done(reply) => Step::Done(reply.map_body(change)),
        }
    }
}

/// A request to send, and the ticket for reporting its outcome.
#[must_use]
#[derive(Debug)]
#[allow(clippy::exhaustive_structs)] // A driver destructures it.
pub struct Exchange {
    /// The request, with an absolute URI. An empty body is sent as no body.
    pub request: Request<Body>,
    /// The ticket to pass back with the response or the failure. Dropping it cancels the exchange.
    pub pending: Pending,
}

/// The ticket of a request in flight.
///
/// It is not `Clone`, and the call that reports the outcome consumes it: reporting twice does not compile.
/// Other exchanges may wait while it exists; wake them when it is gone. If a ticket is kept without reporting
/// an outcome, the others wait for its token request for at most 90 seconds (then another exchange fetches a
/// token), and for its place under the rate limit for 60 seconds after the last response.
#[must_use]
pub struct Pending(pub(super) Box<Ticket>);

impl Pending {
    /// Returns the number of this attempt, counted from 1, for logs and progress messages. Token requests are
    /// counted separately. A request that answers a challenge belongs to the attempt before it.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempts().saturating_add(1)
    }

    /// Returns whether the response may hold an access token. A driver must overwrite the body of such a
    /// response after use, for example by passing a body to [`respond`](crate::Session::respond) that is
    /// overwritten when it is dropped.
    #[must_use]
    pub fn is_for_token(&self) -> bool {
        self.0.is_fetching_token()
    }
}

/// The ticket of an exchange that waits.
#[must_use]
pub struct Wait {
    pub(super) ticket: Box<Ticket>,
    pub(super) delay: Duration,
    pub(super) on_change: bool,
    pub(super) since: Duration,
}

impl Wait {
    /// Returns the delay.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns whether the wait may end early, when another exchange of this session changes.
    ///
    /// A change is a response, a failure, the end of an exchange, or a dropped ticket. The delay of such a wait is
    /// 30 s; after it the exchange checks again by itself.
    ///
    /// The rule for drivers with several threads or tasks: read
    /// [`Session::change_count`](crate::Session::change_count) under the lock of the session, in the same critical
    /// section as the call that returned this wait. Before sleeping, compare it under the lock; if it has changed,
    /// call [`resume`](crate::Session::resume) at once. Wake all such waits after every request, whatever its outcome,
    /// from a drop guard, so that a cancelled exchange wakes them too.
    #[must_use]
    pub fn on_change(&self) -> bool {
        self.on_change
    }

    /// Returns the response that caused this wait, if one did.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.ticket.retry_cause {
            Some(RetryCause::Response(response)) if !self.on_change => Some(response),
            _ => None,
        }
    }

    /// Returns the transport failure that caused this wait, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<(FailureKind, &ForeignError)> {
        match &self.ticket.retry_cause {
            Some(RetryCause::Failure { kind, source }) if !self.on_change => Some((*kind, source)),
            _ => None,
        }
    }

    /// Ends the exchange, and returns the error that caused the last retry, or a timeout if there was none. Call it when
    /// the caller's deadline comes before the end of the wait. Other exchanges may be waiting for this one; see
    /// [`Wait::on_change`].
    #[must_use]
    pub fn give_up(self) -> Error {
        let Self {
            mut ticket, delay, ..
        } = self;
        match ticket.retry_cause.take() {
            Some(cause) => cause.into_error(ticket.attempts(), delay),
            None => wait_timed_out(FailureKind::TimedOut),
        }
    }
}

/// The failure of a transport to deliver a request or its response.
#[non_exhaustive]
pub struct Failure {
    pub(super) kind: FailureKind,
    pub(super) source: Arc<dyn core::error::Error + Send + Sync>,
}

impl Failure {
    /// Creates a failure from the kind and the transport's own error. The session turns the error into a
    /// [`ForeignError`], whose text shows none of the session's secrets.
    pub fn new(
        kind: FailureKind,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Arc::from(source.into()),
        }
    }

    /// Creates a failure of the kind [`FailureKind::NotSent`]: the server has certainly not received the request.
    pub fn not_sent(source: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self::new(FailureKind::NotSent, source)
    }

    /// Creates a failure of the kind [`FailureKind::Lost`]: the server may have received the request.
    pub fn lost(source: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        Self::new(FailureKind::Lost, source)
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Replaces the kind. A driver does this when the deadline has passed meanwhile, which may be the cause.
    #[must_use]
    pub fn with_kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }
}

/// Shows the kind only, because the texts of the source may hold secrets.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("call", &self.0.call)
            .field("failures", &self.0.history.failures)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("delay", &self.delay)
            .field("on_change", &self.on_change)
            .finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Step<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(exchange) => f.debug_tuple("Send").field(exchange).finish(),
            Self::Wait(wait) => f.debug_tuple("Wait").field(wait).finish(),
            Self::Done(reply) => f.debug_tuple("Done").field(reply).finish(),
        }
    }
}
