//! The limits that a caller can set, and the fixed ones of a session.

use core::time::Duration;

use crate::RetryPolicy;
use crate::setters::setters;

/// The limits on everything that a server could make large.
///
/// The core enforces them, whatever the transport does: `pages` in a [`Listing`](crate::Listing), `collected_bytes` in
/// [`Collected`](crate::Collected), the others in each exchange. The defaults allow eight times the size of a page of 500
/// keys with the longest names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size of a response's head, in bytes: the sum of all names and values. Default: 64 KiB, four times the maximum of
    /// common servers.
    pub head_bytes: usize,
    /// The maximum number of header fields of a response. Default: 128. Atlas sends about 20.
    pub headers: usize,
    /// The maximum size of a page's body in bytes, after decompression. Default: 16 MiB. A usual page of 500 keys has 137 KB,
    /// and one with the longest names and every character escaped stays under 2 MiB.
    ///
    /// Transports read one byte more than this, so that the core returns the error.
    pub body_bytes: usize,
    /// The maximum size of an error's body that is decoded, in bytes. Default: 64 KiB. The status of a response with a
    /// longer body still counts. A longer response to a token request is an error.
    pub error_body_bytes: usize,
    /// The maximum nesting depth of arrays and objects. Default: 32. The documented page needs 3. Values above 100
    /// count as 100, which is below the limit of the JSON parser.
    pub nesting: u8,
    /// The maximum number of keys of a page, and of its links. Default: 10,000. Atlas sends at most 500 keys. Without this limit, a body
    /// of nothing but `{}` would take thirty times its size in memory.
    pub elements: usize,
    /// The maximum size in bytes of all `WWW-Authenticate` headers of a response. Default: 8 KiB. One challenge has about 150 bytes.
    pub challenge_bytes: usize,
    /// The maximum number of challenges of a response that are read. Default: 16. RFC 7616 defines six algorithms.
    pub challenges: usize,
    /// The maximum size of an access token, in bytes. Default: 8 KiB. Most servers do not accept longer header lines.
    pub token_bytes: usize,
    /// The maximum size in bytes of each text that an error copies from a response. Default: 1 KiB, which fits a log line.
    pub detail_bytes: usize,
    /// The maximum number of pages of one listing. Default: 10,000, which is up to five million keys. More pages are an error.
    pub pages: u32,
    /// The maximum memory in bytes that all keys of a listing may take if they are [collected](crate::Collected)
    /// before any of them is used. Default: 512 MiB, about a million keys with usual names. It does not limit
    /// callers who take keys one at a time.
    pub collected_bytes: usize,
    /// The attempts and waits of an exchange.
    pub retry: RetryPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            headers: 128,
            body_bytes: 16 << 20,
            error_body_bytes: 64 << 10,
            nesting: 32,
            elements: 10_000,
            challenge_bytes: 8 << 10,
            challenges: 16,
            token_bytes: 8 << 10,
            detail_bytes: 1 << 10,
            pages: 10_000,
            collected_bytes: 512 << 20,
            retry: RetryPolicy::default(),
        }
    }
}

impl Limits {
    setters!(
        with_head_bytes head_bytes usize,
        with_headers headers usize,
        with_body_bytes body_bytes usize,
        with_error_body_bytes error_body_bytes usize,
        with_nesting nesting u8,
        with_elements elements usize,
        with_challenge_bytes challenge_bytes usize,
        with_challenges challenges usize,
        with_token_bytes token_bytes usize,
        with_detail_bytes detail_bytes usize,
        with_pages pages u32,
        with_collected_bytes collected_bytes usize,
        with_retry retry RetryPolicy
    );
}

/// The limits that apply to a body.
#[derive(Clone, Copy)]
pub struct BodyLimits {
    pub(crate) nesting: u8,
    pub(crate) elements: usize,
    pub(crate) error_body_bytes: usize,
    pub(crate) detail_bytes: usize,
}

impl Limits {
    pub(crate) fn of_body(&self) -> BodyLimits {
        BodyLimits {
            nesting: self.nesting,
            elements: self.elements,
            error_body_bytes: self.error_body_bytes,
            detail_bytes: self.detail_bytes,
        }
    }
}

/// The idle nonces that a session keeps. If more exchanges run in parallel, the others get their own.
pub(crate) const IDLE_NONCES: usize = 64;

/// The scopes, such as groups, that the rate limiter tracks. Beyond this number some are forgotten until their next response.
pub(crate) const TRACKED_SCOPES: usize = 4096;

/// The longest pause after a 429, however long it asks for.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The least that a wait for another exchange, or for the end of a pause, counts. The clock may stand still between
/// steps, and such waits must still reach their limit.
pub(crate) const MIN_WAIT: Duration = Duration::from_millis(1);

/// The nonces whose count is remembered, so that the count rises if a server issues a nonce twice.
pub(crate) const COUNTED_NONCES: usize = 2 * IDLE_NONCES;

/// The replaced tokens that are kept for their revocation: as many as a service account may have.
pub(crate) const REPLACED_TOKENS: usize = 100;

/// The tokens that are redacted in errors: the last one, and those before it that late responses may
/// repeat.
pub(crate) const RECENT_TOKENS: usize = 4;

/// How long a `RateLimit-Remaining` limits the requests in flight. Atlas's usual buckets refill every 60 s, and
/// many responses lack the header.
pub(crate) const RATE_LIMIT_WINDOW: Duration = Duration::from_secs(60);

/// A `RateLimit-Remaining` from this number on is not tracked: no caller has as many requests in flight at the same time.
pub(crate) const AMPLE_REMAINING: u64 = 128;

/// How long before its end a token is renewed (a quarter of its life, if that is less), so that a
/// difference between the clocks does no harm.
pub(crate) const TOKEN_MARGIN: Duration = Duration::from_secs(30);

/// How long a token request may make no progress before another exchange fetches a token. It is longer than the
/// clients' default timeouts for a connection and a response together (10 s and 30 s).
pub(crate) const TOKEN_FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// The assumed life of a token whose response has no valid `expires_in`. A life that is too short costs a token
/// request; one that is too long gets a 401.
pub(crate) const DEFAULT_TOKEN_LIFE: Duration = Duration::from_secs(60);

/// The longest life of a token, whatever `expires_in` says.
pub(crate) const MAX_TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest time between two token renewals after a 401: a service account may hold only 100 live tokens.
pub(crate) const TOKEN_RENEWAL_INTERVAL: Duration = Duration::from_secs(60);

/// The interval in which an exchange that waits for another one checks by itself.
pub(crate) const FOLLOWER_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The challenges that one attempt answers. After the first, the nonce must be called stale, which happens if the
/// server's nonces expire early.
pub(crate) const MAX_CHALLENGES_ANSWERED: u32 = 3;
