//! The state of one exchange between its steps.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use http::StatusCode;

use crate::call::Call;
use crate::digest::Answerer;
use crate::{ApiError, ApiVersion, Error, FailureKind, ForeignError};

/// Counts the events that exchanges of a session may wait for; see [`Wait::on_change`](super::Wait::on_change).
#[derive(Debug, Default)]
pub(super) struct ChangeCounter(AtomicUsize);

impl ChangeCounter {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The state of one exchange between its steps.
pub(super) struct Ticket {
    /// The session that issued the ticket; no other session accepts it.
    pub(super) session: Arc<ChangeCounter>,
    /// The request that the exchange is for.
    pub(super) call: Call,
    pub(super) version: ApiVersion,
    pub(super) stage: Stage,
    pub(super) auth: RequestAuth,
    pub(super) history: History,
    /// The sum of all waits: the planned time of a retry, the time spent on another exchange.
    pub(super) waited: Duration,
    /// The cause of the last retry wait.
    pub(super) retry_cause: Option<RetryCause>,
    /// Held while the request counts towards the concurrency limit of its scope.
    pub(super) slot: Option<Arc<()>>,
}

/// How far an exchange is with the session's token.
pub(super) enum Stage {
    /// Its own request comes next, once it has a token (if it needs one). `fetched` is the generation of the token that
    /// it fetched, if it fetched one: it uses that token even if it has expired, because otherwise tokens that expire at
    /// once would be fetched for ever.
    Requesting { fetched: Option<u64> },
    /// It has the session's token request in flight, for as long as it holds `fetch`.
    FetchingToken { fetch: Arc<()> },
    /// It waits for the token request with this number, which another exchange has in flight.
    FollowingFetch { number: u64 },
}

/// What has happened to an exchange so far. It outlives a change of the stage: a token request that took too long and is
/// sent again gets no new attempts.
#[derive(Default)]
pub(super) struct History {
    /// Failed attempts of the exchange's own request.
    pub(super) failures: Failures,
    /// Failed attempts of the token request.
    pub(super) token_failures: Failures,
    /// Whether a token request was lost, so that an unknown token may have been issued.
    pub(super) token_lost: bool,
    /// Whether a 401 has made the exchange replace its token.
    pub(super) token_renewed: bool,
}

/// The numbers of failed attempts of a request.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) all: u32,
    /// Those that do not count towards the policy's number of attempts.
    pub(super) uncounted: u32,
}

impl Stage {
    /// The stage of an exchange that has not fetched a token.
    pub(super) const START: Self = Self::Requesting { fetched: None };
}

impl Ticket {
    pub(super) fn new(session: &Arc<ChangeCounter>, call: Call, version: ApiVersion) -> Box<Self> {
        Box::new(Self {
            session: Arc::clone(session),
            call,
            version,
            stage: Stage::START,
            auth: RequestAuth::Unset,
            history: History::default(),
            waited: Duration::ZERO,
            retry_cause: None,
            slot: None,
        })
    }

    /// Returns whether the current request is a token request.
    pub(super) fn is_fetching_token(&self) -> bool {
        matches!(self.stage, Stage::FetchingToken { .. })
    }

    /// Returns the number of failed attempts of the current request.
    pub(super) fn attempts(&self) -> u32 {
        match self.stage {
            Stage::FetchingToken { .. } => self.history.token_failures.all,
            Stage::Requesting { .. } | Stage::FollowingFetch { .. } => self.history.failures.all,
        }
    }

    /// Counts a failed attempt of the current request, and returns the numbers for it.
    pub(super) fn count_failure(&mut self) -> &mut Failures {
        let failures = match self.stage {
            Stage::FetchingToken { .. } => &mut self.history.token_failures,
            Stage::Requesting { .. } | Stage::FollowingFetch { .. } => &mut self.history.failures,
        };
        failures.all = failures.all.saturating_add(1);
        failures
    }
}

/// Counts the end of the exchange as a change, however it ended.
impl Drop for Ticket {
    fn drop(&mut self) {
        // Released first, so that the exchanges that see the change can take the token request and the slot.
        self.stage = Stage::START;
        self.slot = None;
        self.session.increment();
    }
}

/// How the exchange's own request was last authenticated.
pub(super) enum RequestAuth {
    /// Nothing was sent yet, or the credential that was sent must not be used again.
    Unset,
    /// With the caller's own token.
    Bearer,
    /// With the service account's token of this generation.
    Token(u64),
    /// Without a credential, so that the server sends a challenge.
    Unsigned,
    /// With a digest. `answered` is the number of challenges that this exchange has answered.
    Digest {
        answerer: Box<Answerer>,
        answered: u32,
    },
}

impl RequestAuth {
    /// Resets the number of answered challenges. Called when the server has accepted the nonce, or when the
    /// nonce may have expired before the next attempt: a 401 then says nothing about the API key.
    pub(super) fn reset_challenges(&mut self) {
        if let Self::Digest { answered, .. } = self {
            *answered = 0;
        }
    }
}

/// The failure that an exchange retries after.
pub(super) enum RetryCause {
    Response(Box<ApiError>),
    Failure {
        kind: FailureKind,
        source: ForeignError,
    },
}

impl RetryCause {
    /// Returns the wait that the server asks for, or zero.
    pub(super) fn requested_wait(&self) -> Duration {
        match self {
            Self::Response(response) => response.retry_after.unwrap_or_default(),
            Self::Failure { .. } => Duration::ZERO,
        }
    }

    pub(super) fn into_error(self, attempts: u32, wait: Duration) -> Error {
        match self {
            Self::Response(response) if response.status == StatusCode::TOO_MANY_REQUESTS => {
                Error::RateLimited {
                    response,
                    attempts,
                    wait,
                }
            }
            Self::Response(response) => Error::GaveUp {
                response,
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

/// Returns the error of an exchange that waited too long for another exchange.
pub(super) fn wait_timed_out(kind: FailureKind) -> Error {
    Error::Transport {
        kind,
        attempts: 0,
        source: ForeignError::own("timed out waiting for another request of this session"),
    }
}
