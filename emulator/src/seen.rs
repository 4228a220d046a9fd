//! The record of the requests that the emulator received, for assertions in tests.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use atlas_model_keys_core::ApiVersion;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::{Serialize, Serializer};

use crate::calendar;
use crate::credentials::{CredentialId, CredentialKind};
use crate::fault::Fault;
use crate::incoming::Incoming;
use crate::query;
use crate::redaction::{REDACTED, Secrets, is_secret_header};
use crate::route::Route;
use crate::version;

/// The maximum length of a path, of a query and of the value of a header, in bytes.
const MAX_TEXT: usize = 1024;

/// The maximum length of a header's name; longer ones are replaced. `content-security-policy-report-only` has 35
/// bytes.
const MAX_NAME: usize = 40;

/// The maximum length of all headers together.
const MAX_HEADERS: usize = 4096;

/// The maximum number of headers, which is also that of the server. Each needs memory, even if it is short.
const MAX_HEADER_COUNT: usize = 100;

/// The record of a request and its response, for assertions in tests.
/// [`Emulator::seen`](crate::Emulator::seen) returns these.
///
/// It contains no body and no credential: in path, query and headers, each secret of the emulator, and
/// each text that looks like a credential, is replaced by `[redacted]`. `Authorization` keeps its scheme and
/// some parameters of digest authentication: user name, realm, URI, algorithm, `qop` and `nc`.
///
/// ```
/// # use std::time::Duration;
/// # use atlas_model_keys_emulator::{Config, CredentialKind, Emulator, Route};
/// let mut emulator = Emulator::new(Config::default());
/// let request = http::Request::get("/api/atlas/v2/groups?pageNum=2")
///     .header("Accept", "application/vnd.atlas.2023-01-01+json")
///     .header("Authorization", format!("Bearer {}", emulator.access_token()))
///     .body("")?;
/// emulator.handle(&request, Duration::from_secs(1_790_000_000));
///
/// let [seen] = emulator.seen() else { panic!("{:?}", emulator.seen()) };
/// assert_eq!(seen.route, Some(Route::ListGroups));
/// assert_eq!(seen.credential, Some(CredentialKind::AccessToken));
/// assert_eq!(seen.query_value("pageNum").as_deref(), Some("2"));
/// assert_eq!(seen.headers["authorization"], "Bearer [redacted]");
/// assert_eq!(seen.to_string(), "1 GET /api/atlas/v2/groups?pageNum=2 200 accessToken");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Seen {
    /// The number of the request, from 1. The count continues after
    /// [`Emulator::forget_seen`](crate::Emulator::forget_seen) and [`Emulator::reset`](crate::Emulator::reset).
    pub order: u64,
    /// The time of the emulator, since the Unix epoch. In JSON, a text such as
    /// `2026-11-27T12:00:00.000000Z`.
    #[serde(serialize_with = "date")]
    pub time: Duration,
    /// The method.
    pub method: String,
    /// The path, as it was sent, without the query.
    pub path: String,
    /// The query, as it was sent, without `?`.
    pub query: Option<String>,
    /// The headers. In JSON, an object; several values of one name are joined by `, `.
    #[serde(serialize_with = "headers")]
    pub headers: HeaderMap,
    /// The route, or `None` if the path is unknown, or if the server refused the request because of its host.
    pub route: Option<Route>,
    /// The credential that was accepted, or `None` if there was none or it was refused.
    pub credential: Option<CredentialKind>,
    /// The public key or client id of the accepted credential. An access token that exists from the start has none.
    pub principal: Option<String>,
    /// The API version of the regular response. Errors have none.
    #[serde(serialize_with = "version_name")]
    pub version: Option<ApiVersion>,
    /// The `grant_type` of a request for a token, or `other` if RFC 6749 does not define it.
    pub grant_type: Option<String>,
    /// The status of the response.
    #[serde(serialize_with = "number")]
    pub status: StatusCode,
    /// Whether the response was queued by a test
    /// ([`Emulator::respond_next`](crate::Emulator::respond_next) and similar methods).
    pub is_scripted: bool,
    /// The faults that changed the response. In JSON, their texts, such as `slow-body=10ms`.
    pub faults: Vec<Fault>,
    /// Whether the path, the query or the headers were too long and are not complete. Of each path, query and
    /// header, 1024 bytes are kept, and of all headers together 4096 bytes and
    /// 100 fields.
    pub is_cut: bool,
}

impl Seen {
    /// Returns the decoded value of the first parameter with this name in the query.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        query::value(self.query.as_deref()?, name)
    }

    /// Returns one JSON object in one line, without a line break at the end. Its names are those of the fields in
    /// `camelCase`: `order`, `time`, `method`, `path`, `query`, `headers`, `route`, `credential`, `principal`,
    /// `version`, `grantType`, `status`, `isScripted`, `faults`, `isCut`. None is ever missing; `None` is `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serializing texts and numbers cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn new(
        order: u64,
        time: Duration,
        request: Incoming<'_>,
        outcome: Outcome,
        principal: Option<&str>,
        status: StatusCode,
        secrets: &Secrets,
    ) -> Self {
        let mut recorder = Recorder::new(request, secrets);
        let grant_type = (outcome.route == Some(Route::Token))
            .then(|| query::value(&String::from_utf8_lossy(request.body), "grant_type"))
            .flatten()
            // Any other text may be a secret in the wrong place.
            .map(|grant_type| match grant_type.as_str() {
                "client_credentials" | "authorization_code" | "refresh_token" | "password" => {
                    grant_type
                }
                _ => "other".to_owned(),
            });
        Self {
            order,
            time,
            method: recorder.text(request.method.as_str()),
            path: recorder.text(request.uri.path()),
            query: request.uri.query().map(|query| {
                let redacted = secrets.redact_query(query);
                recorder.cut(redacted)
            }),
            headers: recorder.headers(request.headers),
            route: outcome.route,
            credential: outcome.credential.map(CredentialId::kind),
            principal: principal.map(|principal| recorder.cut(secrets.redact(principal))),
            version: outcome.version,
            grant_type,
            status,
            is_scripted: outcome.is_scripted,
            faults: outcome.faults,
            is_cut: recorder.is_cut,
        }
    }
}

/// Writes a short description for the message of an assertion: order, method, path, query, status, and
/// the credential.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.order, self.method, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        write!(f, " {}", self.status.as_u16())?;
        match self.credential {
            Some(credential) => write!(f, " {}", credential.as_str()),
            None => Ok(()),
        }
    }
}

fn date<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&calendar::utc(*time))
}

fn headers<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let values = joined.entry(name.as_str()).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(&value);
    }
    joined.serialize(serializer)
}

fn version_name<S: Serializer>(
    version: &Option<ApiVersion>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    version
        .map(|version| version.to_string())
        .serialize(serializer)
}

fn number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Facts about a request, collected while it is handled.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) route: Option<Route>,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) version: Option<ApiVersion>,
    pub(crate) is_scripted: bool,
    pub(crate) faults: Vec<Fault>,
}

impl Outcome {
    /// Records the version of the regular response.
    pub(crate) fn note(&mut self, response: &Response<Vec<u8>>) {
        self.version = version::of_content_type(response.headers());
    }
}

/// Copies parts of a request without credentials.
struct Recorder<'s> {
    secrets: &'s Secrets,
    /// Whether any part of the request may contain a secret. Most requests have none outside
    /// `Authorization`, and one search in all parts together is faster than many.
    is_suspicious: bool,
    is_cut: bool,
}

impl<'s> Recorder<'s> {
    fn new(request: Incoming<'_>, secrets: &'s Secrets) -> Self {
        let mut all = Vec::with_capacity(512);
        all.extend_from_slice(request.method.as_str().as_bytes());
        all.push(b' ');
        all.extend_from_slice(request.uri.path().as_bytes());
        for (name, value) in request.headers {
            if name != header::AUTHORIZATION {
                for part in [b"\n", name.as_str().as_bytes(), b" ", value.as_bytes()] {
                    all.extend_from_slice(part);
                }
            }
        }
        Self {
            secrets,
            is_suspicious: secrets.are_in(&String::from_utf8_lossy(&all)),
            is_cut: false,
        }
    }

    fn text(&mut self, text: &str) -> String {
        match self.is_suspicious {
            true => self.cut(self.secrets.redact(text)),
            false => self.cut(text.to_owned()),
        }
    }

    /// Shortens a text that has been redacted. In the other order, the beginning of a secret could stay.
    fn cut(&mut self, mut text: String) -> String {
        if text.len() > MAX_TEXT {
            self.is_cut = true;
            let end = (0..=MAX_TEXT).rfind(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.shrink_to_fit();
        }
        text
    }

    fn headers(&mut self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::with_capacity(headers.keys_len());
        let mut length = 0;
        for (name, value) in headers {
            let (name, value) = self.header(name, value);
            length += name.as_str().len() + value.len();
            if length > MAX_HEADERS || kept.len() == MAX_HEADER_COUNT {
                self.is_cut = true;
                break;
            }
            kept.append(name, value);
        }
        kept
    }

    fn header(&mut self, name: &HeaderName, value: &HeaderValue) -> (HeaderName, HeaderValue) {
        const REDACTED_VALUE: HeaderValue = HeaderValue::from_static(REDACTED);
        let text = String::from_utf8_lossy(value.as_bytes());
        let value = if [header::AUTHORIZATION, header::PROXY_AUTHORIZATION].contains(name) {
            Cow::Owned(self.cut(self.secrets.redact_authorization(&text)))
        } else if is_secret_header(name) {
            Cow::Borrowed(REDACTED)
        } else if text.contains('?') {
            // Such as `Referer`.
            Cow::Owned(self.cut(self.secrets.redact_url(&text)))
        } else {
            Cow::Owned(self.text(&text))
        };
        // Names are in lower case, in which a token looks different.
        let is_odd = name.as_str().len() > MAX_NAME || name.as_str().starts_with("eyj");
        let name = match is_odd || self.is_suspicious && self.secrets.are_in(name.as_str()) {
            true => HeaderName::from_static("redacted"),
            false => name.clone(),
        };
        // A redacted text has the characters of the old one, so it is valid too.
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap_or(REDACTED_VALUE);
        (name, value)
    }
}

/// The last requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The number of requests so far.
    count: u64,
    limit: usize,
    /// Up to a quarter more than the limit, so that the oldest ones need not be removed one by one.
    entries: Vec<Seen>,
    dropped: u64,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Counts a request, and returns its number.
    pub(crate) fn count(&mut self) -> u64 {
        self.count += 1;
        if !self.is_kept() {
            self.dropped += 1;
        }
        self.count
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn push(&mut self, seen: Seen) {
        if !self.is_kept() {
            return;
        }
        self.entries.push(seen);
        if self.entries.len() > self.limit {
            self.dropped += 1;
        }
        if self.entries.len() > self.limit.saturating_add(self.limit / 4) {
            let surplus = self.entries.len() - self.limit;
            self.entries.drain(..surplus);
        }
    }

    pub(crate) fn as_slice(&self) -> &[Seen] {
        let surplus = self.entries.len().saturating_sub(self.limit);
        self.entries.get(surplus..).unwrap_or_default()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn forget(&mut self) {
        self.entries = Vec::new();
        self.dropped = 0;
    }
}
