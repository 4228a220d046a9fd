use core::time::Duration;

use crate::RetryPolicy;

/// Everything that a server could make large, with its bound.
///
/// The core enforces each of them, whatever the transport did. The defaults leave a page of 500
/// keys with the longest names more than ten times the room it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a response's head, names and values added up. 64 KiB: four times what common
    /// servers send at most.
    pub head_bytes: usize,
    /// Header fields of a response. 128: Atlas sends about 20.
    pub headers: usize,
    /// Bytes of a page's body, after decompression. 16 MiB: a usual page of 500 keys is 137 KB,
    /// and one of the longest names with every character escaped stays under 2 MiB.
    ///
    /// Transports read one byte more than this, and the core refuses.
    pub body_bytes: usize,
    /// Bytes of an error's or a token's body that are decoded. 64 KiB: more is no error object,
    /// and its status still counts.
    pub error_body_bytes: usize,
    /// Arrays and objects within each other. 32: the documented page needs 3. Values above 100
    /// count as 100, below the bound of the JSON parser.
    pub nesting: u8,
    /// Keys of a page, and links. 10,000: Atlas sends 500 at most. Without it, a body of nothing but
    /// `{}` would take up thirty times its size.
    pub elements: usize,
    /// Bytes of all `WWW-Authenticate` headers of a response. 8 KiB: one challenge is about 150.
    pub challenge_bytes: usize,
    /// Challenges of a response that are looked at. 16: RFC 7616 knows six algorithms.
    pub challenges: usize,
    /// Bytes of an access token. 8 KiB: most servers take no longer header line.
    pub token_bytes: usize,
    /// Bytes of each text that an error takes over from an answer. 1 KiB: fits a log line.
    pub detail_bytes: usize,
    /// Pages of one listing. 10,000: five million keys. Reaching it is an error.
    pub pages: u32,
    /// Bytes of memory that all keys of a listing may take where they are [collected](crate::Collected)
    /// before any of them is used. 512 MiB: about a million keys with usual names. What takes keys one at
    /// a time is not bounded by it.
    pub collected_bytes: usize,
    /// Attempts and waits.
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

/// A setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident $type:ty),*) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub fn $setter(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            }
        )*
    };
}

pub(crate) use setters;

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

/// The bounds that go with a body.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimits {
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

/// Nonces that rest between exchanges; more exchanges than that in parallel get their own.
pub(crate) const IDLE_NONCES: usize = 64;

/// Groups whose pace is remembered. Beyond it some are forgotten, and will be told again.
pub(crate) const PACED_GROUPS: usize = 4096;

/// A group is left alone for this long at most, however long a 429 asks for.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// The least that a wait for others, or for the end of a hold, counts: the clock may not move
/// between steps.
pub(crate) const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Nonces whose count is remembered, so that a server that issues one twice sees it rise.
pub(crate) const COUNTED_NONCES: usize = 2 * IDLE_NONCES;

/// Tokens that are looked for in errors: the last one, and those before it that late answers may
/// repeat.
pub(crate) const RECENT_TOKENS: usize = 4;

/// For this long after a `RateLimit-Remaining` no more requests go out at a time than it said: Atlas's
/// usual buckets refill every 60 s, and the header is often missing.
pub(crate) const NARROW: Duration = Duration::from_secs(60);

/// So many requests left are not worth remembering: nobody has more on their way for one group.
pub(crate) const AMPLE: u64 = 128;

/// A token is renewed this long before it ends (a quarter of its life, if that is less), so that
/// it does not run out between our clock and Atlas's.
pub(crate) const TOKEN_MARGIN: Duration = Duration::from_secs(30);

/// An exchange that fetches a token and does nothing for this long is taken for abandoned, and another one
/// fetches a token: longer than a connection and an answer take with the timeouts that the clients have by
/// default (10 s and 30 s).
pub(crate) const TOKEN_LEAD: Duration = Duration::from_secs(60);

/// What a token is taken to live where its answer does not say so sensibly. Short: a wrong guess
/// costs one more request, a long one could outlive the token.
pub(crate) const TOKEN_LIFE_UNKNOWN: Duration = Duration::from_secs(60);

/// No token is believed to live longer than a day.
pub(crate) const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A 401 renews the token at most this often: a service account may hold only 100 live tokens.
pub(crate) const TOKEN_RENEWAL_PAUSE: Duration = Duration::from_secs(60);

/// How long an exchange waits for another one before it looks again by itself.
pub(crate) const FOLLOW: Duration = Duration::from_secs(30);

/// Challenges that one attempt answers: the first, and again where the server calls the nonce
/// stale, as one with a short nonce lifetime may.
pub(crate) const CHALLENGES_ANSWERED: u32 = 3;
