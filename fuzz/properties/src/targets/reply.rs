//! A response is a page, Atlas's error, or neither, but never both.
//!
//! **Input**: two bytes for the status; one for the number of headers and (bits 3 and 4) the limit of shown texts; for each
//! header a byte for its name (from [`NAMES`]) and a short value; the rest is the body.
//!
//! **Properties**
//!
//! - A status other than 200, also another success, is an error with that status and any body. A 200 is a page if
//!   and only if the derived struct ([`page`]) accepts it and it contains no error. An error object, at
//!   the top or enveloped, with texts or numbers, is that error. Every other body is an error that names a
//!   position.
//! - A response beyond a limit is rejected for the first one that it exceeds; each limit is also set to exactly what the
//!   response needs, and to one less.
//! - The fields of an error are those of the JSON, otherwise those of the header or of the OAuth form; each is
//!   escaped and cut exactly at the limit, and an error shows nothing else of the body.
//! - A body that is not JSON is reported as not decompressed exactly if `Content-Encoding` names a coding.
//! - The accessors of headers agree with a second implementation.
//! - `Debug` of a reply does not show its body. With another body of the same bytes, a reply is the same page or error.
//! - A recorded response can be stored as JSON and is replayed unchanged. A recording becomes a response exactly if HTTP allows
//!   its status and headers.
//! - The body of a 200 is one key, or a page of groups, exactly if a second implementation reads it as such (see
//!   `reply/operations.rs`); otherwise it is the error that it holds, or an error that names a position. A session agrees
//!   if an envelope was requested.
//! - The [drift](atlas_model_keys_core::Operation::drift) of every operation, in versions with and without dated fields,
//!   equals a second count (`drift.rs`).

mod operations;
mod record;

use atlas_model_keys_core::{
    ApiError, ApiVersion, Endpoint, Error, InvalidResponseKind, Limits, Reply,
};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};

pub use crate::generators::reply::NAMES;

use crate::generators::bytes as input;
use crate::generators::reply::Input;
use crate::oracles::derived::{DerivedKey, DerivedPage};
use crate::oracles::redaction::escaped;
use crate::oracles::{json, shown};
use crate::targets::dates;
use crate::targets::page;

/// The expected result of a 200.
#[derive(Debug, PartialEq)]
enum ExpectedResult {
    Page,
    Failed(u16),
    Neither,
}

/// Determines the expected result of a 200 without the core.
fn expected_result(body: &[u8], limits: &Limits) -> ExpectedResult {
    let derived = DerivedPage::<DerivedKey>::read(body);
    if let Some((page, _)) = &derived {
        if let Some(status) = page.failed_status() {
            return ExpectedResult::Failed(status);
        }
        if page.results.is_some() {
            return ExpectedResult::Page;
        }
    }
    error_in(body, limits).map_or(ExpectedResult::Neither, ExpectedResult::Failed)
}

/// Returns the failed status of an error object. It may have any other fields, but not a list of results.
fn error_in(body: &[u8], limits: &Limits) -> Option<u16> {
    error_object(body, limits)
        .filter(|object| !object.get("results").is_some_and(Value::is_array))
        .and_then(|object| {
            let number = |name| match object.get(name)? {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.parse().ok(),
                _ => None,
            };
            let default = object.contains_key("errorCode").then_some(500);
            let mut statuses = [number("status"), number("error"), default]
                .into_iter()
                .flatten();
            statuses.find(|status| (400..1000).contains(status))
        })
        .map(|status| u16::try_from(status).expect("a status below 1,000"))
}

/// Returns the error object of a body: the top, or the `content` of an envelope with the envelope's status.
fn error_object(body: &[u8], limits: &Limits) -> Option<Map<String, Value>> {
    if body.len() > limits.error_body_bytes {
        return None;
    }
    let body = json::with_small_numbers(body);
    let mut top: Map<String, Value> = serde_json::from_slice(&body).ok()?;
    let Some(Value::Object(content)) = top.get_mut("content") else {
        return Some(top);
    };
    let mut content = std::mem::take(content);
    if let Some(status) = top.remove("status") {
        content.insert("status".into(), status);
    }
    Some(content)
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let Input { headers, body, .. } = &input;
    check_with(&input, &input.limits);
    record::check(&input);
    check_other_bodies(&input);
    if input.status == 200 && limit_error(&input, &input.limits).is_none() {
        operations::check(body, error_in(body, &input.limits));
    }

    // Limits that are exactly what the response needs change nothing; one less of each is too little.
    let mut exact = input.limits.clone();
    let announced = content_length(headers).and_then(|length| usize::try_from(length).ok());
    exact.headers = headers.len();
    exact.head_bytes = head_bytes(headers);
    exact.body_bytes = body.len().max(announced.unwrap_or(0));
    exact.error_body_bytes = body.len();
    check_with(&input, &exact);
    let changes: [fn(&mut Limits); 4] = [
        |limits| limits.headers = limits.headers.saturating_sub(1),
        |limits| limits.head_bytes = limits.head_bytes.saturating_sub(1),
        |limits| limits.body_bytes = limits.body_bytes.saturating_sub(1),
        |limits| limits.error_body_bytes = limits.error_body_bytes.saturating_sub(1),
    ];
    for change in changes {
        let mut limits = exact.clone();
        change(&mut limits);
        check_with(&input, &limits);
    }
}

/// Checks that a reply keeps everything but the body if this is replaced, and is the same page then.
fn check_other_bodies(input: &Input<'_>) {
    let reply = || {
        let mut response = Response::new(*input.body);
        *response.status_mut() = input.status;
        *response.headers_mut() = input.headers.clone();
        Reply::from_response_with(response, &input.limits).ok()
    };
    let (Some(reply), Some(other), another) = (reply(), reply(), reply()) else {
        return;
    };
    let (shown, rest) = (format!("{reply:?}"), (reply.version(), reply.attempts()));
    let copied = reply.map_body(<[u8]>::to_vec);
    assert_eq!(format!("{copied:?}"), shown);
    assert_eq!((copied.version(), copied.attempts()), rest);
    assert_eq!(
        (copied.status(), copied.headers()),
        (input.status, &input.headers)
    );
    assert_eq!(copied.body(), *input.body);
    let date = copied.date();
    if let Some(reply) = another {
        assert_eq!(reply.into_body(), *input.body);
    }
    match (copied.into_page(), other.into_page()) {
        (Ok(page), Ok(other)) => {
            assert!(page.keys().eq(other.keys()) && page.links().eq(other.links()));
            assert_eq!((page.version(), page.date()), (rest.0, date));
            assert_eq!(page.into_body(), other.into_body());
        }
        (Err(error), Err(other)) => assert_eq!(error.to_string(), other.to_string()),
        (result, other) => panic!("{result:?}, but {other:?}"),
    }
}

fn head_bytes(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// Returns the first limit that a response exceeds. Only a 200 is rejected for the length of its body.
fn limit_error(input: &Input<'_>, limits: &Limits) -> Option<(&'static str, u64)> {
    let Input {
        status,
        headers,
        body,
        ..
    } = input;
    let body = content_length(headers).unwrap_or(0).max(body.len() as u64);
    let body = if *status == 200 { body } else { 0 };
    [
        ("header fields", headers.len() as u64, limits.headers),
        (
            "bytes of head",
            head_bytes(headers) as u64,
            limits.head_bytes,
        ),
        ("bytes of body", body, limits.body_bytes),
    ]
    .into_iter()
    .find(|(_, size, limit)| *size > *limit as u64)
    .map(|(what, _, limit)| (what, limit as u64))
}

/// Checks a response with these limits.
fn check_with(input: &Input<'_>, limits: &Limits) {
    let Input {
        status,
        headers,
        body,
        ..
    } = input;
    let (status, body) = (*status, body.0);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers.clone();
    let limit_error = limit_error(input, limits);

    let reply = match Reply::from_response_with(response, limits) {
        Ok(reply) => reply,
        Err(error) => {
            shown::assert_one_line(&error);
            match &error {
                Error::Api(api_error) => {
                    assert_ne!(status, 200, "{error}");
                    assert_eq!(limit_error, None);
                    assert_fields(api_error, status, input, limits);
                    let retryable = status == 429 || status.as_u16() >= 500;
                    assert_eq!(error.is_retryable(), retryable);
                }
                Error::Limit { what, limit } => assert_eq!(limit_error, Some((*what, *limit))),
                _ => panic!("{error:?}"),
            }
            return;
        }
    };
    assert!(status == 200 && reply.status() == status);
    assert_eq!(limit_error, None);
    assert_eq!(reply.headers(), headers);
    assert_eq!(*reply.body(), body);
    let shown = format!("{reply:?}");
    assert!(
        shown.contains(&format!("body_bytes: {}", body.len())) && shown.len() < 120,
        "{shown}"
    );
    assert_accessors(&reply, headers);

    let result = reply.into_page();
    match (expected_result(body, limits), result) {
        (ExpectedResult::Page, Ok(page)) => {
            let (derived, json) = DerivedPage::read(body).expect("the body is a page");
            page::assert_same_page(&page, &derived, &json);
        }
        (ExpectedResult::Failed(status), Err(error)) => {
            shown::assert_one_line(&error);
            let Error::Api(api_error) = error else {
                panic!("{error:?}");
            };
            let status = StatusCode::from_u16(status).expect("a status from 400 to 999");
            assert_fields(&api_error, status, input, limits);
        }
        (ExpectedResult::Neither, Err(Error::InvalidResponse(error))) => {
            page::assert_invalid_response(&error, body);
            // A body that was not decompressed is reported as such, and not as invalid JSON.
            let mut codings = headers.get_all("content-encoding").iter();
            let is_coded =
                codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
            match error.kind() {
                InvalidResponseKind::Encoding => assert!(is_coded),
                InvalidResponseKind::Json | InvalidResponseKind::Utf8 => assert!(!is_coded),
                _ => {}
            }
        }
        (expected, result) => panic!("expected {expected:?}, got {result:?}"),
    }
}

/// Returns the first `Content-Length`.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("content-length")?.to_str().ok()?;
    text.trim().parse().ok()
}

/// Returns the seconds of `Retry-After`. Dates are checked in `dates`.
fn retry_after_seconds(headers: &HeaderMap) -> Option<u64> {
    dates::parse_seconds(headers.get("retry-after")?.to_str().ok()?.trim())
}

/// Compares the accessors of headers with a second implementation.
fn assert_accessors(reply: &Reply<&[u8]>, headers: &HeaderMap) {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let number = |name| text(name)?.trim().parse::<u64>().ok();
    let limit = reply.rate_limit();
    assert_eq!(limit.limit, number("ratelimit-limit"));
    assert_eq!(limit.remaining, number("ratelimit-remaining"));
    assert_eq!(reply.service_version(), text("x-mongodb-service-version"));
    let version = text("content-type").and_then(|value| {
        let media = value.split(';').next()?.trim();
        let name = media
            .strip_prefix("application/vnd.atlas.")?
            .strip_suffix("+json")?;
        ApiVersion::new(name).ok()
    });
    assert_eq!(reply.version(), version);
    for date in [reply.deprecation(), reply.sunset()].into_iter().flatten() {
        assert_eq!(date.nanoseconds(), 0);
    }
    if let Some(seconds) = retry_after_seconds(headers) {
        let wait = reply.retry_after().map(|wait| wait.as_secs());
        assert_eq!(wait, Some(seconds));
    }
}

/// Asserts that an error has the fields of the response.
fn assert_fields(api_error: &ApiError, status: StatusCode, input: &Input<'_>, limits: &Limits) {
    let headers = &input.headers;
    assert_eq!(api_error.status, status);
    assert_eq!(api_error.endpoint, Endpoint::ModelKeys);
    if let Some(seconds) = retry_after_seconds(headers) {
        let wait = api_error.retry_after.map(|wait| wait.as_secs());
        assert_eq!(wait, Some(seconds));
    }
    let object = error_object(*input.body, limits).unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let shown = |raw: Option<&str>| raw.map(|raw| escaped(raw, limits.detail_bytes));
    let header = headers
        .get("x-error-code")
        .and_then(|value| value.to_str().ok());
    assert_eq!(
        api_error.error_code,
        shown(text("errorCode").or(text("error")).or(header))
    );
    assert_eq!(api_error.reason, shown(text("reason")));
    let detail = text("detail").or(text("error_description"));
    assert_eq!(api_error.detail, shown(detail));

    let parameters = array(object.get("parameters")).filter_map(|value| match value {
        Value::String(text) => shown(Some(text)),
        Value::Number(number) => shown(Some(&number.to_string())),
        _ => None,
    });
    assert!(parameters.eq(api_error.parameters.iter().cloned()));
    let detail = object.get("badRequestDetail");
    let fields = array(detail.and_then(|detail| detail.get("fields")));
    let fields = fields.filter_map(Value::as_object).map(|object| {
        let text = |name: &str| shown(object.get(name).and_then(Value::as_str));
        (text("field"), text("description"))
    });
    let found = api_error.fields.iter();
    assert!(fields.eq(found.map(|field| (field.field.clone(), field.description.clone()))));
}

/// Returns the first sixteen entries of a list: the core keeps no more.
fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(16)
}
