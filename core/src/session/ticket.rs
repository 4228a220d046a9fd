//! What an exchange remembers between its steps.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use http::StatusCode;

use crate::digest::Answerer;
use crate::{ApiError, ApiVersion, Error, FailureKind, ForeignError, ListRequest};

/// Counts what those who wait for another exchange of a session may wait for.
#[derive(Debug, Default)]
pub(super) struct Changes(AtomicUsize);

impl Changes {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// An exchange has ended, in whatever way.
impl Drop for Ticket {
    fn drop(&mut self) {
        // Before those who wait look.
        self.lead = None;
        self.slot = None;
        self.session.note();
    }
}

pub(super) struct Ticket {
    /// The session that issued it; no other takes it.
    pub(super) session: Arc<Changes>,
    pub(super) list: ListRequest,
    pub(super) version: ApiVersion,
    pub(super) sent: Sent,
    /// How often Atlas or the network did not let the listing through, and the token request.
    pub(super) failures: u32,
    pub(super) token_failures: u32,
    /// Waits so far, planned or (for others) spent.
    pub(super) waited: Duration,
    /// What made it wait last.
    pub(super) trouble: Option<Trouble>,
    /// The flight that fetches a token: led by this ticket, or followed.
    pub(super) lead: Option<Arc<()>>,
    pub(super) following: Option<u64>,
    /// The generation of the token that it fetched itself, and uses once however old it is by then.
    pub(super) fetched: Option<u64>,
    /// Held while its request is one of the few of the group that may be on their way.
    pub(super) slot: Option<Arc<()>>,
    /// Whether a token request of it was lost once.
    pub(super) token_lost: bool,
    /// Whether a 401 made it take a newer token.
    pub(super) renewed: bool,
}

impl Ticket {
    pub(super) fn new(
        session: &Arc<Changes>,
        list: &ListRequest,
        version: ApiVersion,
    ) -> Box<Self> {
        Box::new(Self {
            session: Arc::clone(session),
            list: *list,
            version,
            sent: Sent::Nothing,
            failures: 0,
            token_failures: 0,
            waited: Duration::ZERO,
            trouble: None,
            lead: None,
            following: None,
            fetched: None,
            slot: None,
            token_lost: false,
            renewed: false,
        })
    }

    /// Whether it is at fetching a token.
    pub(super) fn fetches_token(&self) -> bool {
        self.lead.is_some()
    }

    /// How often what it is at has failed.
    pub(super) fn attempts(&self) -> u32 {
        if self.fetches_token() {
            self.token_failures
        } else {
            self.failures
        }
    }

    pub(super) fn count_failure(&mut self) {
        let failures = if self.fetches_token() {
            &mut self.token_failures
        } else {
            &mut self.failures
        };
        *failures = failures.saturating_add(1);
    }
}

/// With what the ticket's listing was sent.
pub(super) enum Sent {
    /// It was not sent yet, or what it was sent with is of no more use.
    Nothing,
    /// The caller's own token.
    Bearer,
    /// A token of this generation.
    Token(u64),
    /// No credential: the server is to send a challenge.
    Unsigned,
    /// A digest, and how many challenges of this exchange were answered.
    Digest {
        answerer: Box<Answerer>,
        answered: u32,
    },
}

impl Sent {
    /// Its nonce was accepted, or may well have expired by the time of the next attempt: whatever the
    /// server says of it then is not about the credential.
    pub(super) fn begin_again(&mut self) {
        if let Self::Digest { answered, .. } = self {
            *answered = 0;
        }
    }
}

/// What keeps an exchange from being done.
pub(super) enum Trouble {
    Answer(Box<ApiError>),
    Failure {
        kind: FailureKind,
        source: ForeignError,
    },
}

impl Trouble {
    /// How long the server asks to wait.
    pub(super) fn asked(&self) -> Duration {
        match self {
            Self::Answer(answer) => answer.retry_after.unwrap_or_default(),
            Self::Failure { .. } => Duration::ZERO,
        }
    }

    pub(super) fn into_error(self, attempts: u32, wait: Duration) -> Error {
        match self {
            Self::Answer(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                Error::RateLimited {
                    answer,
                    attempts,
                    wait,
                }
            }
            Self::Answer(answer) => Error::GaveUp {
                answer,
                attempts,
                wait,
            },
            Self::Failure { kind, source } => Error::Transport {
                kind,
                attempts,
                source,
            },
        }
    }
}

/// The error of an exchange that waited too long for another one.
pub(super) fn in_vain(kind: FailureKind) -> Error {
    Error::Transport {
        kind,
        attempts: 0,
        source: ForeignError::own("it waited in vain for another request of this session to end"),
    }
}
