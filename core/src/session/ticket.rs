//! The state of one exchange between its steps.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use http::StatusCode;

use crate::digest::Answerer;
use crate::{ApiError, ApiVersion, Error, FailureKind, ForeignError, ListRequest};

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

/// Counts the end of the exchange as a change, however it ended.
impl Drop for Ticket {
    fn drop(&mut self) {
        // Released first, so that the exchanges that see the change can take them.
        self.fetch = None;
        self.slot = None;
        self.session.increment();
    }
}

pub(super) struct Ticket {
    /// The session that issued the ticket; no other session accepts it.
    pub(super) session: Arc<ChangeCounter>,
    pub(super) list: ListRequest,
    pub(super) version: ApiVersion,
    pub(super) auth: RequestAuth,
    /// Failed attempts of the list request.
    pub(super) failures: u32,
    /// Failed attempts of the token request.
    pub(super) token_failures: u32,
    /// The sum of all waits: the planned time of a retry, the time spent on another exchange.
    pub(super) waited: Duration,
    /// The cause of the last retry wait.
    pub(super) retry_cause: Option<RetryCause>,
    /// Held while this exchange has the session's token request in flight.
    pub(super) fetch: Option<Arc<()>>,
    /// The number of another exchange's token request that this exchange waits for.
    pub(super) awaited_fetch: Option<u64>,
    /// The generation of the token that this exchange fetched. It is used once, even if it has expired.
    pub(super) fetched_generation: Option<u64>,
    /// Held while the request counts towards the group's concurrency limit.
    pub(super) slot: Option<Arc<()>>,
    /// Whether a token request of this exchange was lost, so that an unknown token may have been issued.
    pub(super) token_lost: bool,
    /// Whether a 401 has made this exchange replace its token.
    pub(super) renewed: bool,
}

impl Ticket {
    pub(super) fn new(
        session: &Arc<ChangeCounter>,
        list: &ListRequest,
        version: ApiVersion,
    ) -> Box<Self> {
        Box::new(Self {
            session: Arc::clone(session),
            list: *list,
            version,
            auth: RequestAuth::Unset,
            failures: 0,
            token_failures: 0,
            waited: Duration::ZERO,
            retry_cause: None,
            fetch: None,
            awaited_fetch: None,
            fetched_generation: None,
            slot: None,
            token_lost: false,
            renewed: false,
        })
    }

    /// Returns whether the current request is a token request.
    pub(super) fn is_fetching_token(&self) -> bool {
        self.fetch.is_some()
    }

    /// Returns the number of failed attempts of the current request.
    pub(super) fn attempts(&self) -> u32 {
        if self.is_fetching_token() {
            self.token_failures
        } else {
            self.failures
        }
    }

    pub(super) fn count_failure(&mut self) {
        let failures = if self.is_fetching_token() {
            &mut self.token_failures
        } else {
            &mut self.failures
        };
        *failures = failures.saturating_add(1);
    }
}

/// How the last list request was authenticated.
pub(super) enum RequestAuth {
    /// Nothing was sent yet, or the credential that was sent must not be used again.
    Unset,
    /// With the caller's own token.
    Bearer,
    /// With the token of this generation.
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
            Self::Response(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                Error::RateLimited {
                    answer,
                    attempts,
                    wait,
                }
            }
            Self::Response(answer) => Error::GaveUp {
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

/// Returns the error of an exchange that waited too long for another exchange.
pub(super) fn wait_timed_out(kind: FailureKind) -> Error {
    Error::Transport {
        kind,
        attempts: 0,
        source: ForeignError::own("timed out waiting for another request of this session"),
    }
}
