//! What the model is told, and what it says.

use std::ops::RangeInclusive;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Credential {
    Bearer,
    ServiceAccount,
    ApiKey,
}

/// The limits of the session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) attempts: u32,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
    pub(crate) wait: Duration,
    pub(crate) total_wait: Duration,
    pub(crate) statuses: Vec<RangeInclusive<u16>>,
    pub(crate) waits_out_rate_limits: bool,
    pub(crate) headers: usize,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) error_body_bytes: usize,
    pub(crate) token_bytes: usize,
    pub(crate) challenges: usize,
    pub(crate) challenge_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(40),
            wait: Duration::from_secs(90),
            total_wait: Duration::from_secs(180),
            statuses: vec![429..=429, 500..=999],
            waits_out_rate_limits: false,
            headers: 128,
            head_bytes: 64 << 10,
            body_bytes: 16 << 20,
            error_body_bytes: 64 << 10,
            token_bytes: 8 << 10,
            challenges: 16,
            challenge_bytes: 8 << 10,
        }
    }
}

/// The time, and a random number that stands for a part of a duration: of all of it, times `random` / 2³².
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) now: Duration,
    pub(crate) random: u32,
}

/// What an exchange asks for. Requests with an equal `scope` share a rate limit. Versions are numbered from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) operation: usize,
    pub(crate) scope: u8,
    pub(crate) versions: usize,
}

/// The facts about a response. `status` is that of the envelope if one was requested.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) http_status: u16,
    pub(crate) status: u16,
    pub(crate) headers: usize,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) remaining: Option<u64>,
    /// The code says that the credential is known but not allowed.
    pub(crate) is_not_allowed: bool,
    /// The code is `invalid_client`.
    pub(crate) is_invalid_client: bool,
    /// The nonce of the strongest challenge, and whether it replaces a stale one.
    pub(crate) challenge: Option<(Vec<u8>, bool)>,
    /// The token and its life, if the body is a valid token response, however long the token.
    pub(crate) token: Option<(String, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    NotSent,
    Lost,
    TimedOut,
    Permanent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refused {
    ServiceAccount,
    Token,
    ApiKey,
    Challenge,
    Nonce,
    NotAllowed,
}

/// Why an exchange waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Status(u16),
    Failure(Kind),
}

#[rustfmt::skip]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    Api { status: u16, is_token: bool },
    Authentication { refused: Refused, status: u16 },
    RateLimited { attempts: u32, wait: Duration },
    GaveUp { status: u16, attempts: u32, wait: Duration },
    Transport { kind: Kind, attempts: u32 },
    InvalidResponse,
    Limit(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Authorization {
    Unsigned,
    Caller,
    Token(String),
    Digest { nonce: Vec<u8>, count: u32 },
}

#[rustfmt::skip]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    FetchToken { attempt: u32 },
    Send { version: usize, authorization: Authorization, attempt: u32 },
    /// Waits for another exchange.
    Follow { delay: Duration },
    Wait { delay: Duration, cause: Cause },
    Done { attempts: u32 },
    Fail(Failure),
}
