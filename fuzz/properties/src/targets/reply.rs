//! A response is a page, Atlas's error, or neither, but never both.
//!
//! **Input**: two bytes for the status; one for the number of headers, and for each a byte for its name (from
//! [`NAMES`]) and a short value; the rest is the body.
//!
//! **Properties**
//!
//! - A status other than 200, also another success, is an error with that status and any body. A 200 is a page if
//!   and only if the derived struct ([`page`]) accepts it and it contains no error. An error object, at
//!   the top or enveloped, with texts or numbers, is that error. Every other body is an error that names a
//!   position. A 200 that announces more than [`Limits::body_bytes`] is rejected.
//! - The fields of an error are those of the JSON, otherwise those of the header or of the OAuth form; each is
//!   bounded and escaped, and an error shows nothing else of the body.
//! - A body that is not JSON is reported as not decompressed exactly if `Content-Encoding` names a coding.
//! - The accessors of headers agree with a second implementation.
//! - `Debug` of a reply does not show its body.
//! - The body of a 200 is one key, or a page of groups, exactly if a second implementation reads it as such (see
//!   `reply/operations.rs`); otherwise it is the error that it holds, or an error that names a position. A session agrees
//!   if an envelope was requested.
//! - The [drift](atlas_model_keys_core::Operation::drift) of every operation, in versions with and without dated fields,
//!   equals a second count (`drift.rs`).

mod operations;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{
    ApiError, ApiVersion, Endpoint, Error, InvalidResponseKind, Limits, Reply, is_unsafe_to_show,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::generators::bytes as input;
use crate::oracles::derived::{DerivedKey, DerivedPage};
use crate::oracles::{json, shown};
use crate::targets::dates;
use crate::targets::page;

/// Names of headers that the core reads, and some that it ignores.
pub const NAMES: [&str; 13] = [
    "retry-after",
    "date",
    "ratelimit-limit",
    "ratelimit-remaining",
    "deprecation",
    "sunset",
    "content-type",
    "x-error-code",
    "x-mongodb-service-version",
    "www-authenticate",
    "location",
    "content-encoding",
    "content-length",
];

/// A response.
#[derive(Debug)]
struct Input<'a> {
    status: StatusCode,
    headers: HeaderMap,
    body: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let status = u.arbitrary::<u16>()?;
        let count = input::byte(u)? % 8;
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_static(input::pick(u, &NAMES)?);
            if let Ok(value) = HeaderValue::from_bytes(input::short(u)?) {
                headers.append(name, value);
            }
        }
        Ok(Self {
            // A valid status is used unchanged, so that seeds are readable.
            status: StatusCode::from_u16(status)
                .or_else(|_| StatusCode::from_u16(100 + status % 900))
                .expect("a status from 100 to 999"),
            headers,
            body: input::rest(u)?,
        })
    }
}

/// The expected result of a 200.
#[derive(Debug, PartialEq)]
enum ExpectedResult {
    Page,
    Failed(u16),
    Neither,
}

/// Determines the expected result of a 200 without the core.
fn expected_result(body: &[u8]) -> ExpectedResult {
    let derived = DerivedPage::<DerivedKey>::read(body);
    if let Some((page, _)) = &derived {
        if let Some(status) = page.failed_status() {
            return ExpectedResult::Failed(status);
        }
        if page.results.is_some() {
            return ExpectedResult::Page;
        }
    }
    error_in(body).map_or(ExpectedResult::Neither, ExpectedResult::Failed)
}

/// Returns the failed status of an error object. It may have any other fields, but not a list of results.
fn error_in(body: &[u8]) -> Option<u16> {
    error_object(body)
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
fn error_object(body: &[u8]) -> Option<Map<String, Value>> {
    if body.len() > Limits::default().error_body_bytes {
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
    let Input {
        status,
        headers,
        body,
    } = input;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers.clone();

    let reply = match Reply::from_response(response) {
        Ok(reply) => reply,
        Err(error) => {
            shown::assert_one_line(&error);
            match &error {
                Error::Api(api_error) => {
                    assert_ne!(status, 200, "{error}");
                    assert_fields(api_error, status, &headers, body);
                    let retryable = status == 429 || status.as_u16() >= 500;
                    assert_eq!(error.is_retryable(), retryable);
                }
                Error::Limit { what, limit } => {
                    assert_eq!((status.as_u16(), *what), (200, "bytes of body"));
                    assert!(content_length(&headers).is_some_and(|length| length > *limit));
                }
                _ => panic!("{error:?}"),
            }
            return;
        }
    };
    assert!(status == 200 && reply.status() == status);
    let most = Limits::default().body_bytes as u64;
    assert!(content_length(&headers).is_none_or(|length| length <= most));
    assert_eq!(reply.headers(), &headers);
    assert_eq!(*reply.body(), body);
    let shown = format!("{reply:?}");
    assert!(
        shown.contains(&format!("body_bytes: {}", body.len())) && shown.len() < 120,
        "{shown}"
    );
    assert_accessors(&reply, &headers);
    operations::check(body, error_in(body));

    let result = reply.into_page();
    match (expected_result(body), result) {
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
            assert_fields(&api_error, status, &headers, body);
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
fn assert_fields(api_error: &ApiError, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    assert_eq!(api_error.status, status);
    assert_eq!(api_error.endpoint, Endpoint::ModelKeys);
    if let Some(seconds) = retry_after_seconds(headers) {
        let wait = api_error.retry_after.map(|wait| wait.as_secs());
        assert_eq!(wait, Some(seconds));
    }
    let object = error_object(body).unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let header = headers
        .get("x-error-code")
        .and_then(|value| value.to_str().ok());
    assert_optional_text(
        &api_error.error_code,
        text("errorCode").or(text("error")).or(header),
    );
    assert_optional_text(&api_error.reason, text("reason"));
    assert_optional_text(
        &api_error.detail,
        text("detail").or(text("error_description")),
    );

    let parameters: Vec<String> = array(object.get("parameters"))
        .filter_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(api_error.parameters.len(), parameters.len());
    for (shown, raw) in api_error.parameters.iter().zip(&parameters) {
        assert_text(shown, raw);
    }
    let detail = object.get("badRequestDetail");
    let fields: Vec<_> = array(detail.and_then(|detail| detail.get("fields")))
        .filter_map(Value::as_object)
        .collect();
    assert_eq!(api_error.fields.len(), fields.len());
    for (shown, raw) in api_error.fields.iter().zip(fields) {
        assert_optional_text(&shown.field, raw.get("field").and_then(Value::as_str));
        assert_optional_text(
            &shown.description,
            raw.get("description").and_then(Value::as_str),
        );
    }
}

/// Returns the first sixteen entries of a list: the core keeps no more.
fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(16)
}

fn assert_optional_text(shown: &Option<String>, raw: Option<&str>) {
    assert_eq!(shown.is_some(), raw.is_some(), "{shown:?} for {raw:?}");
    if let (Some(shown), Some(raw)) = (shown, raw) {
        assert_text(shown, raw);
    }
}

/// Asserts that a text is shown unchanged up to the first unsafe character or the limit, and bounded.
fn assert_text(shown: &str, raw: &str) {
    let limit = Limits::default().detail_bytes;
    // An escape that crosses the limit is completed, and an ellipsis follows.
    assert!(shown.len() <= limit + 10 + '…'.len_utf8());
    assert!(!shown.chars().any(is_unsafe_to_show), "{shown:?}");
    let harmless = raw.find(is_unsafe_to_show).unwrap_or(raw.len());
    let end = raw.floor_char_boundary(harmless.min(limit));
    let (harmless, rest) = raw.split_at(end);
    assert!(shown.starts_with(harmless), "{shown:?} for {raw:?}");
    if rest.is_empty() {
        assert_eq!(shown, raw);
    }
}
