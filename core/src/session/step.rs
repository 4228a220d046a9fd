//! The steps of the dialogue, and the tickets that answer them.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::Request;

use super::ticket::{Ticket, Trouble, in_vain};
use crate::{ApiError, Body, Error, FailureKind, ForeignError, Reply};

/// Everything that a step takes from around it, as a value: the time and fresh randomness.
///
/// The same inputs give the same outputs, so a test, a simulation or a fuzzer supplies its own.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Moment {
    pub(super) now: Duration,
    pub(super) entropy: [u8; 16],
}

impl Moment {
    /// `now` is the time since the Unix epoch; it may jump in both directions. `entropy` is 16
    /// bytes from a cryptographic source, fresh for each moment: it makes the client's nonces
    /// and the jitter.
    #[must_use]
    pub fn new(now: Duration, entropy: [u8; 16]) -> Self {
        Self { now, entropy }
    }

    /// Returns the time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the random bytes, for a recording of the dialogue.
    #[must_use]
    pub fn entropy(&self) -> [u8; 16] {
        self.entropy
    }

    /// An evenly random part of `whole`, from 0 to all of it. Uses the half of the entropy that
    /// a client nonce shows last, so never both of it in one step.
    pub(crate) fn fraction_of(&self, whole: Duration) -> Duration {
        let random = self
            .entropy
            .iter()
            .rev()
            .take(4)
            .fold(0u32, |n, byte| (n << 8) | u32::from(*byte));
        let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// What is to be done next. There is exactly one answer to each.
#[must_use]
#[allow(clippy::exhaustive_enums)] // A driver must handle exactly these three.
pub enum Step<B> {
    /// Send the request; give what came of it to [`Session::respond`](crate::Session::respond) or [`Session::fail`](crate::Session::fail).
    Send(Exchange),
    /// Wait; then call [`Session::resume`](crate::Session::resume).
    Wait(Wait),
    /// Here is the answer.
    Done(Reply<B>),
}

impl<B> Step<B> {
    /// Changes the type of the reply's body; of a step without a reply, there is none to change.
    pub fn map_body<C>(self, change: impl FnOnce(B) -> C) -> Step<C> {
        match self {
            Self::Send(exchange) => Step::Send(exchange),
            Self::Wait(wait) => Step::Wait(wait),
            Self::Done(reply) => Step::Done(reply.map_body(change)),
        }
    }
}

/// A request that is to be sent, and the ticket that its outcome is answered with.
#[must_use]
#[derive(Debug)]
#[allow(clippy::exhaustive_structs)] // A driver takes it apart.
pub struct Exchange {
    /// Its URI is absolute. An empty body is to be sent as no body.
    pub request: Request<Body>,
    /// To be handed back with the response or the failure. Dropping it is cancelling.
    pub pending: Pending,
}

/// The ticket of a request on its way.
///
/// Not `Clone`, and consumed by the call that answers it: answering twice does not compile.
/// While it lives, other exchanges may wait for its outcome; wake them when it has gone. One that fetches
/// a token and is kept without an answer holds them up for a minute and a half at most: then another
/// one fetches a token. One that holds a place in a narrow rate limit gives it up after a minute.
#[must_use]
pub struct Pending(pub(super) Box<Ticket>);

impl Pending {
    /// How many times the exchange has tried what this request is for, this one included: for telling
    /// a person, or a log. A request that answers a challenge belongs to the attempt before it.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempts().saturating_add(1)
    }

    /// Whether the response may hold an access token. A driver overwrites the body of such a response when
    /// it has been answered, for example by giving [`respond`](crate::Session::respond) a body that is
    /// overwritten when it is dropped.
    #[must_use]
    pub fn is_for_token(&self) -> bool {
        self.0.fetches_token()
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
    /// How long.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns whether the wait may end early: when another exchange of this session has received a response or a
    /// failure, has ended, or was dropped. The delay is then 30 s, after which the exchange checks again by itself.
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

    /// Atlas's answer that made it wait, where one did: for telling a person why.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiError> {
        match &self.ticket.trouble {
            Some(Trouble::Answer(answer)) if !self.on_change => Some(answer),
            _ => None,
        }
    }

    /// The transport's failure that made it wait, where one did: for telling a person why.
    #[must_use]
    pub fn failure(&self) -> Option<(FailureKind, &ForeignError)> {
        match &self.ticket.trouble {
            Some(Trouble::Failure { kind, source }) if !self.on_change => Some((*kind, source)),
            _ => None,
        }
    }

    /// Ends the exchange instead, with the error that made it wait: for a caller whose deadline
    /// comes before the wait is over. Others may have waited for it; see [`Wait::on_change`].
    #[must_use]
    pub fn give_up(self) -> Error {
        let Self {
            mut ticket, delay, ..
        } = self;
        match ticket.trouble.take() {
            Some(trouble) => trouble.into_error(ticket.attempts(), delay),
            None => in_vain(FailureKind::TimedOut),
        }
    }
}

/// Why a transport could not deliver a request.
#[non_exhaustive]
pub struct Failure {
    pub(super) kind: FailureKind,
    pub(super) source: Arc<dyn core::error::Error + Send + Sync>,
}

impl Failure {
    /// What became of the request, and the transport's own error. That one is shown to nobody as it is:
    /// it becomes a [`ForeignError`](crate::ForeignError), without the session's secrets.
    pub fn new(
        kind: FailureKind,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Arc::from(source.into()),
        }
    }

    /// What became of the request.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }
}

/// Without the source: its texts may hold secrets.
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
            .field("list", &self.0.list)
            .field("failures", &self.0.failures)
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
