use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::StatusCode;

use crate::api_error::Redaction;
use crate::{ApiError, Endpoint, InvalidValue};

/// Why a listing did not come about, split by who is to blame.
///
/// `Display` is one line and does not repeat the [`source`](core::error::Error::source). No
/// variant holds a secret or a body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The caller's: a value that the protocol does not have.
    Invalid(InvalidValue),
    /// The credential was not accepted, or what it stands for is not allowed to list.
    Authentication {
        /// What exactly was refused.
        refused: Refused,
        /// Atlas's answer.
        answer: Box<ApiError>,
    },
    /// Atlas refused the request. From a session it is final; [`Reply::from_response`](crate::Reply::from_response), which
    /// knows no retries, also returns it for a status that is worth a retry (see
    /// [`is_retryable`](Error::is_retryable)).
    Api(Box<ApiError>),
    /// Atlas said 429, and either no attempt is left or the wait it asks for is longer than the
    /// caller's limits.
    RateLimited {
        /// Atlas's answer.
        answer: Box<ApiError>,
        /// Attempts of this exchange, this one included; 0 where another exchange of the same
        /// group was answered so, and this one was held back.
        attempts: u32,
        /// How long it would have to wait before the next attempt.
        wait: Duration,
    },
    /// Atlas said 5xx, and either no attempt is left or the wait is longer than the caller's limits.
    GaveUp {
        /// Atlas's last answer.
        answer: Box<ApiError>,
        /// Attempts of this exchange, this one included.
        attempts: u32,
        /// How long it would have to wait before the next attempt.
        wait: Duration,
    },
    /// The transport could not deliver.
    Transport {
        /// What became of the request.
        kind: FailureKind,
        /// Attempts of this exchange, this one included; 0 where it did not come to one.
        attempts: u32,
        /// What the transport said of it, without secrets.
        source: ForeignError,
    },
    /// The response is not one of Atlas's.
    InvalidResponse(InvalidResponse),
    /// What arrived is larger, or the listing longer, than [`Limits`](crate::Limits) allow.
    Limit {
        /// Which bound.
        what: &'static str,
        /// Its value.
        limit: u64,
    },
}

/// What was refused, in an [`Error::Authentication`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The service account: the token endpoint did not accept its id and secret.
    ServiceAccount,
    /// The access token: handed in by the caller, or fresh from the token endpoint.
    Token,
    /// The API key: the digest answer was refused.
    ApiKey,
    /// Nothing: Atlas asked for authentication in a way that cannot be answered safely (no
    /// Digest challenge with `qop=auth` and a known algorithm).
    Challenge,
    /// Every nonce: the server called each of them stale, however fresh, so its answers tell nothing
    /// about the API key.
    Nonce,
    /// The credential is valid, but its owner lacks a role. (An address that is not on an access list is
    /// a 403, an [`Error::Api`].)
    NotAllowed,
}

/// What became of a request that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_enums)] // A transport must say one of exactly these.
pub enum FailureKind {
    /// Nothing of it was sent: name resolution, connection or TLS handshake failed in a way
    /// that may pass.
    NotSent,
    /// It was sent, at least in part, and no whole answer came back.
    Lost,
    /// The caller's deadline passed before the answer was complete.
    TimedOut,
    /// It would fail again: an untrusted certificate, a proxy's refusal.
    Permanent,
}

/// An error of another library (an HTTP client, a TLS library, the operating system), as text that is
/// safe to show.
///
/// Such an error may repeat what a server sent, and a server may repeat a credential: HTTP/2, for
/// example, lets it attach any text to the end of a connection. So `Display` and `Debug` show the text
/// of the error and of all its sources with every secret of the session replaced, control characters
/// escaped, and cut at [`Limits::detail_bytes`](crate::Limits::detail_bytes), in that order. There is
/// no [`source`](core::error::Error::source): programs that print whole chains print nothing more.
#[derive(Clone)]
pub struct ForeignError {
    text: Arc<str>,
    raw: Arc<dyn core::error::Error + Send + Sync>,
}

impl ForeignError {
    pub(crate) fn new(
        raw: Arc<dyn core::error::Error + Send + Sync>,
        redaction: &Redaction<'_>,
    ) -> Self {
        let text = redaction.clean(&chain(&*raw)).into();
        Self { text, raw }
    }

    /// An error of this crate, which holds nothing from outside.
    pub(crate) fn own(text: &'static str) -> Self {
        let raw: Box<dyn core::error::Error + Send + Sync> = text.into();
        Self {
            text: text.into(),
            raw: raw.into(),
        }
    }

    /// Returns the error as the other library made it. Its texts, and those of its sources, may hold
    /// secrets and control characters: use it to look for a type or a code, and do not print it.
    #[must_use]
    pub fn expose(&self) -> &(dyn core::error::Error + Send + Sync + 'static) {
        &*self.raw
    }
}

impl fmt::Display for ForeignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ForeignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignError({self})")
    }
}

impl core::error::Error for ForeignError {}

/// The texts of an error and its sources, joined by colons. Many libraries repeat the text of the source
/// in their own: a text that is already there is not added again.
fn chain(error: &(dyn core::error::Error + 'static)) -> String {
    let mut all = error.to_string();
    // A chain that never ends is bounded, too.
    for source in core::iter::successors(error.source(), |error| error.source()).take(SOURCES) {
        let text = source.to_string();
        if !all.contains(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
    }
    all
}

/// Sources of an error whose texts are kept. Those of hyper over TLS through a proxy are five.
const SOURCES: usize = 16;

/// Whether a status is a server's error. Those from 600 on, which nobody has defined, are taken for such
/// (RFC 9110 §15).
pub(crate) fn is_server_error(status: StatusCode) -> bool {
    status.as_u16() >= 500
}

/// An answer that is not one of Atlas's. Tells where, never what stood there.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidResponse {
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: InvalidResponseKind,
    /// Line, column (from 1) and path of the field.
    pub(crate) place: Option<(usize, usize)>,
    pub(crate) path: String,
    pub(crate) problem: &'static str,
}

/// In which way an answer is not one of Atlas's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidResponseKind {
    /// The body is not UTF-8.
    Utf8,
    /// The body is not JSON, or ends too early.
    Json,
    /// The body is JSON, but not the documented object.
    Shape,
    /// The body is not JSON, and by its `Content-Encoding` it could not be: it was not decompressed.
    Encoding,
    /// The body is a page, but a listing with it would never end.
    Paging,
}

impl InvalidResponse {
    /// In which way.
    #[must_use]
    pub fn kind(&self) -> InvalidResponseKind {
        self.kind
    }

    /// Line and column in the body, counted from 1 (columns in bytes), where they are known.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        self.place
    }

    /// The path to the field, such as `results[3].name`, or the page of a listing; empty at the top.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.endpoint {
            Endpoint::ModelKeys => "a page of keys",
            Endpoint::Token => "an access token",
            Endpoint::Revocation => "that of a revocation",
        };
        if self.kind == InvalidResponseKind::Paging {
            write!(f, "the listing would never end: {}", self.problem)?;
        } else {
            write!(f, "the answer is not {expected}: {}", self.problem)?;
        }
        if !self.path.is_empty() {
            write!(f, ", at {}", self.path)?;
        }
        if let Some((line, column)) = self.place {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidResponse({:?}: {self})", self.kind)
    }
}

impl core::error::Error for InvalidResponse {}
impl core::error::Error for ApiError {}

impl Error {
    /// Returns Atlas's error object, if Atlas or an intermediary responded with an error.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiError> {
        match self {
            Self::Authentication { answer, .. }
            | Self::Api(answer)
            | Self::RateLimited { answer, .. }
            | Self::GaveUp { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// The status of the answer, where the answer was an error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.api_error().map(|answer| answer.status)
    }

    /// Atlas's code, such as `GROUP_NOT_FOUND`.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.api_error()?.error_code.as_deref()
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::GaveUp { .. } => true,
            Self::Transport { kind, .. } => *kind != FailureKind::Permanent,
            Self::Api(answer) => {
                answer.status == StatusCode::TOO_MANY_REQUESTS || is_server_error(answer.status)
            }
            _ => false,
        }
    }

    /// How long to wait before the same call may succeed: at least what Atlas asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { wait, .. } | Self::GaveUp { wait, .. } => Some(*wait),
            other => other.api_error()?.retry_after,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Authentication { refused, answer } => {
                f.write_str(match refused {
                    Refused::ServiceAccount => "Atlas refused the service account",
                    Refused::Token => "Atlas refused the access token",
                    Refused::ApiKey => "Atlas refused the API key",
                    Refused::Challenge => {
                        "the server asks for an authentication that cannot be answered safely \
                         (Digest with qop=auth is needed)"
                    }
                    Refused::Nonce => "the server called every digest nonce stale, however fresh",
                    Refused::NotAllowed => "the credential is not allowed to list these keys",
                })?;
                write!(f, ": {answer}")
            }
            Self::Api(answer)
                if answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED =>
            {
                write!(
                    f,
                    "the server answered with a redirect, which is never followed: {answer}"
                )
            }
            Self::Api(answer) if answer.status.is_success() => {
                write!(
                    f,
                    "the server answered {answer}, where only 200 has an answer"
                )
            }
            Self::Api(answer) if answer.endpoint == Endpoint::ModelKeys => {
                write!(f, "Atlas answered {answer}")
            }
            Self::Api(answer) => Asked(answer).fmt(f),
            Self::RateLimited {
                answer,
                attempts,
                wait,
            } => {
                write!(f, "rate limited {}: {}", Tries(*attempts), Asked(answer))?;
                write!(
                    f,
                    "; the next attempt would have to wait {}",
                    Seconds(*wait)
                )
            }
            Self::GaveUp {
                answer, attempts, ..
            } => write!(f, "gave up {}: {}", Tries(*attempts), Asked(answer)),
            Self::Transport { kind, attempts, .. } => {
                f.write_str(match kind {
                    FailureKind::NotSent => "the request could not be sent",
                    FailureKind::Lost => "the request was sent, but no complete response came back",
                    FailureKind::TimedOut => "the deadline passed before the response was complete",
                    FailureKind::Permanent => "the request failed permanently",
                })?;
                match attempts {
                    0 => Ok(()),
                    attempts => write!(f, " ({})", Tries(*attempts)),
                }
            }
            Self::InvalidResponse(error) => error.fmt(f),
            Self::Limit { what, limit } => {
                write!(f, "beyond the limit of {limit} {what}")
            }
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Transport { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<InvalidValue> for Error {
    fn from(invalid: InvalidValue) -> Self {
        Self::Invalid(invalid)
    }
}

/// An answer, and what was asked where that is not the listing.
struct Asked<'a>(&'a ApiError);

impl fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.endpoint {
            Endpoint::ModelKeys => "",
            Endpoint::Token => "the request for an access token was answered ",
            Endpoint::Revocation => "the revocation of the access token was answered ",
        })?;
        self.0.fmt(f)
    }
}

struct Tries(u32);

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("with other requests"),
            1 => f.write_str("after 1 attempt"),
            n => write!(f, "after {n} attempts"),
        }
    }
}

/// Rounded up: "0 s" would be no advice. A wait that a server made absurdly long is not spelled out.
struct Seconds(Duration);

impl Seconds {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > Self::YEAR {
            return f.write_str("more than a year");
        }
        let up = u64::from(self.0.subsec_nanos() > 0);
        write!(f, "{} s", self.0.as_secs().saturating_add(up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;
    use alloc::string::ToString;
    use core::error::Error as _;

    fn answer(status: u16) -> Box<ApiError> {
        let body = r#"{"errorCode":"CODE","detail":"Why."}"#;
        let response = http::Response::builder()
            .status(status)
            .header("retry-after", "3")
            .body(body);
        match Reply::from_response(response.unwrap()) {
            Err(Error::Api(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wait_is_rounded_up_and_an_absurd_one_is_not_spelled_out() {
        for (wait, text) in [
            (Duration::ZERO, "0 s"),
            (Duration::from_millis(1), "1 s"),
            (Seconds::YEAR, "31536000 s"),
            (Duration::MAX, "more than a year"),
        ] {
            assert_eq!(Seconds(wait).to_string(), text);
        }
    }

    /// Each variant: its line, its status, whether to try again, and after how long.
    #[test]
    fn each_variant_says_what_it_is() {
        let seconds = |n| Some(Duration::from_secs(n));
        let refused = |refused| Error::Authentication {
            refused,
            answer: answer(401),
        };
        let transport = |kind, attempts| Error::Transport {
            kind,
            attempts,
            source: ForeignError::own("the cable is pulled"),
        };
        let place = |kind, place, path: &str, problem| {
            Error::InvalidResponse(InvalidResponse {
                endpoint: Endpoint::ModelKeys,
                kind,
                place,
                path: path.into(),
                problem,
            })
        };
        let code = "401 Unauthorized (CODE): Why.";
        let cases = [
            (
                Error::from(InvalidValue::new("pageNum", "0", "it is 1 or more")),
                "pageNum \"0\" is not valid: it is 1 or more",
                None,
                false,
                None,
            ),
            (
                refused(Refused::ServiceAccount),
                &*alloc::format!("Atlas refused the service account: {code}"),
                Some(401),
                false,
                seconds(3),
            ),
            (
                refused(Refused::Token),
                &*alloc::format!("Atlas refused the access token: {code}"),
                Some(401),
                false,
                seconds(3),
            ),
            (
                refused(Refused::ApiKey),
                &*alloc::format!("Atlas refused the API key: {code}"),
                Some(401),
                false,
                seconds(3),
            ),
            (
                refused(Refused::Challenge),
                &*alloc::format!(
                    "the server asks for an authentication that cannot be answered safely (Digest with qop=auth is needed): {code}"
                ),
                Some(401),
                false,
                seconds(3),
            ),
            (
                refused(Refused::Nonce),
                &*alloc::format!(
                    "the server called every digest nonce stale, however fresh: {code}"
                ),
                Some(401),
                false,
                seconds(3),
            ),
            (
                refused(Refused::NotAllowed),
                &*alloc::format!("the credential is not allowed to list these keys: {code}"),
                Some(401),
                false,
                seconds(3),
            ),
            (
                Error::Api(answer(404)),
                "Atlas answered 404 Not Found (CODE): Why.",
                Some(404),
                false,
                seconds(3),
            ),
            (
                Error::Api(answer(503)),
                "Atlas answered 503 Service Unavailable (CODE): Why.",
                Some(503),
                true,
                seconds(3),
            ),
            (
                Error::Api(answer(302)),
                "the server answered with a redirect, which is never followed: 302 Found (CODE): Why.",
                Some(302),
                false,
                seconds(3),
            ),
            (
                Error::Api(answer(304)),
                "Atlas answered 304 Not Modified (CODE): Why.",
                Some(304),
                false,
                seconds(3),
            ),
            (
                Error::RateLimited {
                    answer: answer(429),
                    attempts: 2,
                    wait: Duration::from_millis(1500),
                },
                "rate limited after 2 attempts: 429 Too Many Requests (CODE): Why.; the next attempt would have to wait 2 s",
                Some(429),
                true,
                Some(Duration::from_millis(1500)),
            ),
            (
                Error::RateLimited {
                    answer: answer(429),
                    attempts: 0,
                    wait: Duration::MAX,
                },
                "rate limited because of other requests: 429 Too Many Requests (CODE): Why.; the next attempt would have to wait more than a year",
                Some(429),
                true,
                Some(Duration::MAX),
            ),
            (
                Error::GaveUp {
                    answer: answer(500),
                    attempts: 5,
                    wait: Duration::ZERO,
                },
                "gave up after 5 attempts: 500 Internal Server Error (CODE): Why.",
                Some(500),
                true,
                seconds(0),
            ),
            (
                transport(FailureKind::NotSent, 1),
                "the request could not be sent (after 1 attempt)",
                None,
                true,
                None,
            ),
            (
                transport(FailureKind::Lost, 2),
                "the request was sent, but no complete response came back (after 2 attempts)",
                None,
                true,
                None,
            ),
            (
                transport(FailureKind::Permanent, 0),
                "the request failed permanently",
                None,
                false,
                None,
            ),
            (
                place(
                    InvalidResponseKind::Utf8,
                    Some((1, 2)),
                    "",
                    "it is not UTF-8",
                ),
                "the response is not a page of keys: it is not UTF-8 (line 1, column 2)",
                None,
                false,
                None,
            ),
            (
                place(
                    InvalidResponseKind::Json,
                    Some((3, 4)),
                    "results[0].name",
                    "it is not valid JSON",
                ),
                "the response is not a page of keys: it is not valid JSON, at results[0].name (line 3, column 4)",
                None,
                false,
                None,
            ),
            (
                place(
                    InvalidResponseKind::Shape,
                    None,
                    "results",
                    "a page has an array of results",
                ),
                "the response is not a page of keys: a page has an array of results, at results",
                None,
                false,
                None,
            ),
            (
                Error::Limit {
                    what: "pages",
                    limit: 10_000,
                },
                "beyond the limit of 10000 pages",
                None,
                false,
                None,
            ),
        ];
        for (error, line, status, retryable, retry_after) in cases {
            assert_eq!(error.to_string(), line);
            assert_eq!(
                error.status().map(|status| status.as_u16()),
                status,
                "{line}"
            );
            assert_eq!(error.error_code(), status.map(|_| "CODE"), "{line}");
            assert_eq!(error.is_retryable(), retryable, "{line}");
            assert_eq!(error.retry_after(), retry_after, "{line}");
            match error.source() {
                // Its text is not in the line.
                Some(source) => assert!(!line.contains(&source.to_string())),
                None => assert!(!matches!(error, Error::Transport { .. })),
            }
            let copy = alloc::format!("{:?}", error.clone());
            assert!(copy == alloc::format!("{error:?}") && !copy.contains('\n'));
        }
    }
}
