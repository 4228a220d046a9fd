//! The facts about responses that the model needs, determined without the core.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::generators::session::PAGE_BODY;
use crate::oracles::json::{Json, with_small_numbers};
use crate::oracles::{digest, redaction, session_model as model};
use crate::targets::dates;

/// Codes of an error that say that the credential is known but not allowed.
const NOT_ALLOWED: [&str; 4] = [
    "USER_UNAUTHORIZED",
    "NOT_ORG_GROUP_CREATOR",
    "IP_ADDRESS_NOT_ON_ACCESS_LIST",
    "ORG_REQUIRES_ACCESS_LIST",
];

/// The code of a refused service account (RFC 6749 §5.2).
const INVALID_CLIENT: &str = "invalid_client";

/// The life of a token whose response has no valid lifetime.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// How a response is read.
pub(super) struct Reading<'a> {
    pub(super) is_token: bool,
    pub(super) is_enveloped: bool,
    pub(super) limits: &'a model::Settings,
    pub(super) now: Duration,
    /// The tokens that may have a part of a code: those that the input chooses.
    pub(super) odd_tokens: &'a [String],
}

impl Reading<'_> {
    /// Returns the facts about a response. What they do not cover (a lenient date, an unusual body in an envelope) is replaced
    /// first: other targets check how it is read.
    pub(super) fn facts(&self, response: &mut Response<Vec<u8>>) -> model::Response {
        if !response
            .headers()
            .iter()
            .all(|(name, value)| is_understood(name, value))
        {
            let headers = std::mem::take(response.headers_mut());
            for (name, value) in &headers {
                if is_understood(name, value) {
                    response.headers_mut().append(name, value.clone());
                }
            }
        }
        let http_status = response.status().as_u16();
        let mut status = http_status;
        if http_status == 200 && self.is_enveloped && !self.is_token {
            status = enveloped_status(response.body(), self.limits).unwrap_or_else(|| {
                *response.body_mut() = br#"{"results":[]}"#.to_vec();
                200
            });
        }
        let code = match status == 401 || self.is_token && (300..500).contains(&status) {
            true => self.code(response),
            false => None,
        };
        let headers = response.headers();
        let text = |name: &str| headers.get(name)?.to_str().ok();
        model::Response {
            http_status,
            status,
            headers: headers.len(),
            head_bytes: headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum(),
            body_bytes: response.body().len(),
            retry_after: retry_after(headers, self.now),
            remaining: text("ratelimit-remaining").and_then(|text| text.trim().parse().ok()),
            is_not_allowed: code
                .as_deref()
                .is_some_and(|code| NOT_ALLOWED.contains(&code)),
            is_invalid_client: code.as_deref() == Some(INVALID_CLIENT),
            challenge: match status {
                401 => strongest(headers, self.limits),
                _ => None,
            },
            token: match self.is_token && status == 200 {
                true => issued_token(response.body()),
                false => None,
            },
        }
    }

    /// Returns the error code of a response.
    fn code(&self, response: &mut Response<Vec<u8>>) -> Option<String> {
        let body = response.body();
        let object = match body.len() <= self.limits.error_body_bytes {
            true => object(body),
            false => None,
        };
        let object = object.map(|mut object| match object.remove("content") {
            Some(Value::Object(content)) => content,
            _ => object,
        });
        let text = |name| Some(object.as_ref()?.get(name)?.as_str()?.to_owned());
        let header =
            |headers: &HeaderMap| Some(headers.get("x-error-code")?.to_str().ok()?.to_owned());
        let code = text("errorCode")
            .or_else(|| text("error"))
            .or_else(|| header(response.headers()));
        let means_something = |code: &str| NOT_ALLOWED.contains(&code) || code == INVALID_CLIENT;
        let code = code.filter(|code| means_something(code))?;
        if redaction::may_have_run(&code, self.odd_tokens) {
            // The code is part of a token, so the session does not see it.
            response.body_mut().clear();
            response.headers_mut().remove("x-error-code");
            return None;
        }
        Some(code)
    }
}

fn is_understood(name: &HeaderName, value: &HeaderValue) -> bool {
    let text = value.to_str().ok();
    match *name {
        RETRY_AFTER => text.is_some_and(|text| {
            dates::parse_seconds(text.trim()).is_some() || date(text).is_some() || text == "-1"
        }),
        DATE => text.is_some_and(|text| date(text).is_some() || text == "never"),
        _ => true,
    }
}

/// Parses a date in its strict form, and one of the generator's in a lenient form.
fn date(text: &str) -> Option<Duration> {
    if text == "Mon, 5 Aug 2024 00:00:30 GMT" {
        return Some(Duration::from_secs(1_722_816_030));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    (httpdate::fmt_http_date(date) == text).then_some(())?;
    date.duration_since(UNIX_EPOCH).ok()
}

fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    if let Some(seconds) = dates::parse_seconds(text.trim()) {
        return Some(Duration::from_secs(seconds));
    }
    let sent = headers.get(DATE).and_then(|sent| date(sent.to_str().ok()?));
    Some(date(text)?.saturating_sub(sent.unwrap_or(now)))
}

/// Returns the nonce of the first of the strongest challenges within the limits, and whether it replaces a stale one.
fn strongest(headers: &HeaderMap, limits: &model::Settings) -> Option<(Vec<u8>, bool)> {
    let headers: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().cloned().collect();
    let mut challenges = digest::parse(digest::within(&headers, limits.challenge_bytes));
    challenges.truncate(limits.challenges);
    digest::strongest(&challenges).map(|values| (values.nonce, values.stale))
}

/// Returns the token and its life in the body of a token response, if it is valid.
fn issued_token(body: &[u8]) -> Option<(String, Duration)> {
    #[derive(Deserialize)]
    struct TokenResponse {
        access_token: String,
        token_type: Option<String>,
        expires_in: Option<Value>,
    }
    // A derived struct also reads an array.
    body.trim_ascii_start().starts_with(b"{").then_some(())?;
    let read: TokenResponse = serde_json::from_slice(&with_small_numbers(body)).ok()?;
    let is_bearer = |kind: String| kind.eq_ignore_ascii_case("bearer");
    read.token_type.is_none_or(is_bearer).then_some(())?;
    let seconds = |value: Value| match value.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok(),
    };
    let life = read
        .expires_in
        .and_then(seconds)
        .filter(|life| !life.is_zero());
    Some((read.access_token, life.unwrap_or(DEFAULT_LIFE)))
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(&with_small_numbers(body)).ok()
}

/// Returns the status in a requested envelope, 200 if it holds no error, or `None` if the body is unusual.
fn enveloped_status(body: &[u8], limits: &model::Settings) -> Option<u16> {
    if body == PAGE_BODY {
        return Some(200);
    }
    let usual = [
        "status",
        "error",
        "errorCode",
        "reason",
        "detail",
        "parameters",
        "badRequestDetail",
        "results",
        "name",
        "access_token",
        "expires_in",
        "token_type",
        "content",
    ];
    let json = Json::read(body)?;
    let object = object(body)?;
    let is_usual = |(name, _): &(String, Json)| usual.contains(&name.as_str());
    let is_unique = json.entries().len() == object.len();
    (json.entries().iter().all(is_usual) && is_unique && json.depth() <= 4).then_some(())?;
    let failed = |status: &u64| (400..1000).contains(status);
    let number = |name: &str| object.get(name).and_then(Value::as_u64).filter(failed);
    let status = match object.get("results") {
        None => {
            let text = |name: &str| object.get(name)?.as_str()?.parse().ok().filter(failed);
            // The error object of a long body is not read.
            let is_read = body.len() <= limits.error_body_bytes;
            let in_object = |name| number(name).or_else(|| text(name));
            let default = || object.contains_key("errorCode").then_some(500);
            let in_object = || {
                in_object("status")
                    .or_else(|| in_object("error"))
                    .or_else(default)
            };
            let numbers = number("status").or_else(|| number("error"));
            numbers.or_else(|| in_object().filter(|_| is_read))
        }
        Some(results) => {
            let is_empty = |key: &Value| key.as_object().is_some_and(Map::is_empty);
            results.as_array()?.iter().all(is_empty).then_some(())?;
            number("status").or_else(|| number("error"))
        }
    };
    // What is under `content` matters only if the status above it is no error.
    if object.contains_key("content") && number("status").is_none() {
        return None;
    }
    u16::try_from(status.unwrap_or(200)).ok()
}
