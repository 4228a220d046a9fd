//! The errors of a listing, and their texts.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::StatusCode;

use crate::api_error::Redaction;
use crate::status::is_server_error;
use crate::{ApiError, Endpoint, InvalidValue};

/// The reason why a listing failed. Each variant stands for a different cause and remedy.
///
/// `Display` writes one line and does not repeat the [`source`](core::error::Error::source). No
/// variant holds a secret or a body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The caller gave a value that the protocol does not allow.
    Invalid(InvalidValue),
    /// Atlas did not accept the credential, or its owner is not allowed to list.
    Authentication {
        /// What was refused.
        refused: Refused,
        /// Atlas's response.
        response: Box<ApiError>,
    },
    /// Atlas refused the request. A session returns it only if a retry would not help;
    /// [`Reply::from_response`](crate::Reply::from_response), which does not retry, returns it for every error status
    /// (see [`is_retryable`](Error::is_retryable)).
    Api(Box<ApiError>),
    /// Atlas responded with 429, and the session does not try again: no attempt is left, the wait is longer than the
    /// caller's limits, or the retry policy excludes the status.
    RateLimited {
        /// Atlas's response.
        response: Box<ApiError>,
        /// The number of attempts of this exchange; 0 if it was not sent because another exchange with the
        /// same rate limit got this response.
        attempts: u32,
        /// The time to wait before the next attempt.
        wait: Duration,
    },
    /// Atlas responded with a status from 500 to 999 or one that the retry policy adds, and the session does not try again:
    /// no attempt is left, the wait is longer than the caller's limits, or the policy excludes the status.
    GaveUp {
        /// Atlas's last response.
        response: Box<ApiError>,
        /// The number of attempts of this exchange.
        attempts: u32,
        /// The time to wait before the next attempt.
        wait: Duration,
    },
    /// The transport failed: there was no complete response.
    Transport {
        /// How the request failed.
        kind: FailureKind,
        /// The number of attempts of this exchange; 0 if it failed before the first attempt.
        attempts: u32,
        /// The transport's error, without secrets.
        source: ForeignError,
    },
    /// The response does not have the documented form.
    InvalidResponse(InvalidResponse),
    /// A response is larger, or a listing longer, than the [`Limits`](crate::Limits) allow.
    Limit {
        /// What is limited, such as `bytes of body` or `pages`.
        what: &'static str,
        /// The value of the limit.
        limit: u64,
    },
}

/// What Atlas refused, in an [`Error::Authentication`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The service account: the token endpoint did not accept its id and secret.
    ServiceAccount,
    /// The access token, which came from the caller or was just issued by the token endpoint.
    Token,
    /// The API key: its Digest authentication was refused.
    ApiKey,
    /// No credential was sent: Atlas sent no Digest challenge with `qop=auth` and a known algorithm, and other
    /// challenges are not safe.
    Challenge,
    /// Every nonce: the server reported even fresh ones as stale, so it is unknown whether it accepts the
    /// API key.
    Nonce,
    /// The owner of a valid credential lacks a role. (An address that is not on an access list gives
    /// a 403, an [`Error::Api`].)
    NotAllowed,
}

/// How a request failed that got no complete response. It decides whether the request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[allow(clippy::exhaustive_enums)] // A transport must say one of exactly these.
pub enum FailureKind {
    /// Nothing was sent: the name resolution, connection or TLS handshake failed, perhaps
    /// temporarily.
    NotSent,
    /// At least a part was sent, and no complete response came back.
    Lost,
    /// The caller's deadline passed before the response was complete. It is for
    /// [`Session::give_up`](crate::Session::give_up).
    TimedOut,
    /// The request would fail again, for example because of an untrusted certificate or a proxy's refusal.
    Permanent,
}

/// An error of another library (an HTTP client, a TLS library, the operating system), with a text that is
/// safe to show.
///
/// Such an error may repeat what a server sent, and a server may repeat a credential: HTTP/2, for
/// example, lets it attach any text to the end of a connection. Therefore `Display` and `Debug` show a safe copy of the
/// texts of the error and all its sources: every secret of the session is replaced, then control characters are
/// escaped, then the text is cut at [`Limits::detail_bytes`](crate::Limits::detail_bytes). There is
/// no [`source`](core::error::Error::source), so programs that print the whole chain print nothing unsafe.
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

    /// Makes an error of this crate, whose text holds nothing from outside.
    pub(crate) fn own(text: &'static str) -> Self {
        let raw: Box<dyn core::error::Error + Send + Sync> = text.into();
        Self {
            text: text.into(),
            raw: raw.into(),
        }
    }

    /// Returns the original error. Its texts, and those of its sources, may hold secrets and control
    /// characters: use it to find a type or a code, and do not print it.
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

/// Returns the texts of an error and its sources, joined by colons. Many libraries repeat the text of the source
/// in their own, so a text that is already there is not added again.
fn chain(error: &(dyn core::error::Error + 'static)) -> String {
    let mut all = error.to_string();
    // The bound also stops a chain without an end.
    for source in core::iter::successors(error.source(), |error| error.source()).take(MAX_SOURCES) {
        let text = source.to_string();
        if !all.contains(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
    }
    all
}

/// The largest number of sources whose texts are kept. An error of hyper over TLS through a proxy has five.
const MAX_SOURCES: usize = 16;

/// A response that does not have the documented form. It names the position of the problem, never the value there.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidResponse {
    pub(crate) endpoint: Endpoint,
    pub(crate) kind: InvalidResponseKind,
    /// The line and column, counted from 1.
    pub(crate) place: Option<(usize, usize)>,
    /// The path to the field.
    pub(crate) path: String,
    pub(crate) problem: &'static str,
}

/// How a response differs from the documented form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidResponseKind {
    /// The body is not UTF-8.
    Utf8,
    /// The body is not JSON, or ends too early.
    Json,
    /// The body is JSON, but not the documented object.
    Shape,
    /// The body was not decompressed: it is not JSON, and it has a `Content-Encoding`.
    Encoding,
    /// The body is a page, but a listing with it would never end.
    Paging,
}

impl InvalidResponse {
    /// Returns how the response differs from the documented form.
    #[must_use]
    pub fn kind(&self) -> InvalidResponseKind {
        self.kind
    }

    /// Returns line and column in the body, counted from 1 (columns in bytes), if they are known.
    #[must_use]
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        self.place
    }

    /// Returns the path to the field, such as `results[3].name`, or the page of a listing; empty for the whole body.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.endpoint {
            Endpoint::ModelKeys | Endpoint::OrgModelKeys => "a page of keys",
            Endpoint::ModelKey | Endpoint::OrgModelKey => "a key",
            Endpoint::Groups => "a page of groups",
            Endpoint::Token => "an access token",
            Endpoint::Revocation => "a confirmation of the revocation",
        };
        if self.kind == InvalidResponseKind::Paging {
            write!(f, "the listing would never end: {}", self.problem)?;
        } else {
            write!(f, "the response is not {expected}: {}", self.problem)?;
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
            Self::Authentication { response, .. }
            | Self::Api(response)
            | Self::RateLimited { response, .. }
            | Self::GaveUp { response, .. } => Some(response),
            _ => None,
        }
    }

    /// Returns the status of the response, if it was an error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.api_error().map(|response| response.status)
    }

    /// Returns Atlas's error code, such as `GROUP_NOT_FOUND`.
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        self.api_error()?.error_code.as_deref()
    }

    /// Returns whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::GaveUp { .. } => true,
            Self::Transport { kind, .. } => *kind != FailureKind::Permanent,
            Self::Api(response) => {
                response.status == StatusCode::TOO_MANY_REQUESTS || is_server_error(response.status)
            }
            _ => false,
        }
    }

    /// Returns how long to wait before the next attempt, at least as long as Atlas asked for.
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
            Self::Authentication { refused, response } => {
                f.write_str(match refused {
                    Refused::ServiceAccount => "Atlas refused the service account",
                    Refused::Token => "Atlas refused the access token",
                    Refused::ApiKey => "Atlas refused the API key",
                    Refused::Challenge => {
                        "the server asks for an authentication that cannot be answered safely \
                         (Digest with qop=auth is needed)"
                    }
                    Refused::Nonce => {
                        "the server reported every digest nonce as stale, even fresh ones"
                    }
                    Refused::NotAllowed => match response.endpoint {
                        Endpoint::ModelKey | Endpoint::OrgModelKey => {
                            "the credential is not allowed to read this key"
                        }
                        Endpoint::Groups => "the credential is not allowed to list groups",
                        _ => "the credential is not allowed to list these keys",
                    },
                })?;
                write!(f, ": {response}")
            }
            Self::Api(response)
                if response.status.is_redirection()
                    && response.status != StatusCode::NOT_MODIFIED =>
            {
                write!(
                    f,
                    "the server answered with a redirect, which is never followed: {response}"
                )
            }
            Self::Api(response) if response.status.is_success() => {
                write!(
                    f,
                    "the server answered {response}, but only status 200 is accepted"
                )
            }
            Self::Api(response) if !response.endpoint.is_oauth() => {
                write!(f, "Atlas answered {response}")
            }
            Self::Api(response) => WithEndpoint(response).fmt(f),
            Self::RateLimited {
                response,
                attempts,
                wait,
            } => {
                let (attempts, response) = (Attempts(*attempts), WithEndpoint(response));
                write!(f, "rate limited {attempts}: {response}")?;
                write!(
                    f,
                    "; the next attempt would have to wait {}",
                    Seconds(*wait)
                )
            }
            Self::GaveUp {
                response, attempts, ..
            } => write!(
                f,
                "gave up {}: {}",
                Attempts(*attempts),
                WithEndpoint(response)
            ),
            Self::Transport { kind, attempts, .. } => {
                f.write_str(match kind {
                    FailureKind::NotSent => "the request could not be sent",
                    FailureKind::Lost => "the request was sent, but no complete response came back",
                    FailureKind::TimedOut => "the deadline passed before the response was complete",
                    FailureKind::Permanent => "the request failed permanently",
                })?;
                match attempts {
                    0 => Ok(()),
                    attempts => write!(f, " ({})", Attempts(*attempts)),
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

/// Shows a response, after the name of the request if that belongs to OAuth.
struct WithEndpoint<'a>(&'a ApiError);

impl fmt::Display for WithEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.endpoint {
            Endpoint::ModelKeys
            | Endpoint::OrgModelKeys
            | Endpoint::ModelKey
            | Endpoint::OrgModelKey
            | Endpoint::Groups => "",
            Endpoint::Token => "the request for an access token was answered with ",
            Endpoint::Revocation => "the revocation of the access token was answered with ",
        })?;
        self.0.fmt(f)
    }
}

/// Shows a number of attempts. None means that other requests of the group caused the error.
struct Attempts(u32);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("because of other requests"),
            1 => f.write_str("after 1 attempt"),
            n => write!(f, "after {n} attempts"),
        }
    }
}

/// Shows a wait in seconds, rounded up: "0 s" would be no advice. A wait of more than a year is not shown exactly.
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

    fn response(status: u16) -> Box<ApiError> {
        let body = r#"{"errorCode":"CODE","detail":"Why."}"#;
        let response = http::Response::builder()
            .status(status)
            .header("retry-after", "3")
            .body(body);
        match Reply::from_response(response.unwrap()) {
            Err(Error::Api(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wait_is_shown_rounded_up_and_at_most_as_a_year() {
        for (wait, text) in [
            (Duration::ZERO, "0 s"),
            (Duration::from_millis(1), "1 s"),
            (Seconds::YEAR, "31536000 s"),
            (Duration::MAX, "more than a year"),
        ] {
            assert_eq!(Seconds(wait).to_string(), text);
        }
    }

    /// Checks the text, the status, whether it is retryable and the wait of each variant.
    #[test]
    fn each_variant_has_its_text_status_and_retry_advice() {
        let seconds = |n| Some(Duration::from_secs(n));
        let refused = |refused| Error::Authentication {
            refused,
            response: response(401),
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
                    "the server reported every digest nonce as stale, even fresh ones: {code}"
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
                Error::Api(response(404)),
                "Atlas answered 404 Not Found (CODE): Why.",
                Some(404),
                false,
                seconds(3),
            ),
            (
                Error::Api(response(503)),
                "Atlas answered 503 Service Unavailable (CODE): Why.",
                Some(503),
                true,
                seconds(3),
            ),
            (
                Error::Api(response(302)),
                "the server answered with a redirect, which is never followed: 302 Found (CODE): Why.",
                Some(302),
                false,
                seconds(3),
            ),
            (
                Error::Api(response(304)),
                "Atlas answered 304 Not Modified (CODE): Why.",
                Some(304),
                false,
                seconds(3),
            ),
            (
                Error::RateLimited {
                    response: response(429),
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
                    response: response(429),
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
                    response: response(500),
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
                    "there is no array of results",
                ),
                "the response is not a page of keys: there is no array of results, at results",
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
                // The line does not repeat the text of the source.
                Some(source) => assert!(!line.contains(&source.to_string())),
                None => assert!(!matches!(error, Error::Transport { .. })),
            }
            let copy = alloc::format!("{:?}", error.clone());
            assert!(copy == alloc::format!("{error:?}") && !copy.contains('\n'));
        }
    }
}
