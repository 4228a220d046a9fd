//! An answer is a page, Atlas's error, or none of both, and never two of them.
//!
//! **Input**: two bytes for the status; one for the number of headers, and for each a byte for its name (of
//! [`NAMES`]) and a short value; the rest is the body.
//!
//! **Properties**
//!
//! - A status other than 200 is an error with that status, another success too, whatever its body; a 200 is a page if
//!   and only if the plain reading ([`page`](crate::page)) says so and it holds no error; an error object, at the
//!   top or enveloped, in words or numbers, is that error and no page; everything else is an error that tells
//!   where. A 200 that promises more than [`Limits::body_bytes`] is refused for that.
//! - The fields of an error are those that the JSON has, and else what the header or the OAuth form says; each is
//!   bounded and escaped, and they are all that is shown.
//! - A body that is not JSON is called not decompressed exactly if its `Content-Encoding` says that it is coded.
//! - What the headers say is what a second reading of them says.
//! - `Debug` of a reply does not show its body.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{
    ApiError, ApiVersion, Endpoint, Error, InvalidResponseKind, Limits, Reply, is_unsafe_to_show,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value};

use crate::page::{self, PlainPage};
use crate::{dates, input, json, shown};

/// The headers that mean something, and some that do not.
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
            // So that a status can be read in a seed.
            status: StatusCode::from_u16(status)
                .or_else(|_| StatusCode::from_u16(100 + status % 900))
                .expect("it is one of 900"),
            headers,
            body: input::rest(u)?,
        })
    }
}

/// What a success means, told without the core.
#[derive(Debug, PartialEq)]
enum Meaning {
    Page,
    Failed(u16),
    Neither,
}

fn meaning(body: &[u8]) -> Meaning {
    let plain = PlainPage::read(body);
    if let Some((page, _)) = &plain {
        if let Some(status) = page.failed_status() {
            return Meaning::Failed(status);
        }
        if page.results.is_some() {
            return Meaning::Page;
        }
    }
    // An error object may have any shape, but a page with its results is none.
    error_object(body)
        .filter(|object| !object.get("results").is_some_and(Value::is_array))
        .and_then(|object| {
            let number = |name| match object.get(name)? {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.parse().ok(),
                _ => None,
            };
            let unsaid = object.contains_key("errorCode").then_some(500);
            let mut said = [number("status"), number("error"), unsaid]
                .into_iter()
                .flatten();
            said.find(|status| (400..1000).contains(status))
        })
        .map_or(Meaning::Neither, |status| {
            Meaning::Failed(u16::try_from(status).expect("it has three digits"))
        })
}

/// The error object of a body: at the top, or under the `content` of an envelope, whose status then rules.
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
                Error::Api(answer) => {
                    assert_ne!(status, 200, "{error}");
                    same(answer, status, &headers, body);
                    let retryable = status == 429 || status.as_u16() >= 500;
                    assert_eq!(error.is_retryable(), retryable);
                }
                Error::Limit { what, limit } => {
                    assert_eq!((status.as_u16(), *what), (200, "bytes of body"));
                    assert!(promised(&headers).is_some_and(|length| length > *limit));
                }
                _ => panic!("{error:?}"),
            }
            return;
        }
    };
    assert!(status == 200 && reply.status() == status);
    let most = Limits::default().body_bytes as u64;
    assert!(promised(&headers).is_none_or(|length| length <= most));
    assert_eq!(reply.headers(), &headers);
    assert_eq!(*reply.body(), body);
    let shown = format!("{reply:?}");
    assert!(
        shown.contains(&format!("body_bytes: {}", body.len())) && shown.len() < 120,
        "{shown}"
    );
    says(&reply, &headers);

    let result = reply.into_page();
    match (meaning(body), result) {
        (Meaning::Page, Ok(page)) => {
            let (plain, json) = PlainPage::read(body).expect("it is a page");
            page::same(&page, &plain, &json);
        }
        (Meaning::Failed(status), Err(error)) => {
            shown::assert_one_line(&error);
            let Error::Api(answer) = error else {
                panic!("{error:?}");
            };
            let status = StatusCode::from_u16(status).expect("it is one");
            same(&answer, status, &headers, body);
        }
        (Meaning::Neither, Err(Error::InvalidResponse(error))) => {
            page::answer(&error, body);
            // What was not decompressed is called so, and not invalid.
            let mut codings = headers.get_all("content-encoding").iter();
            let is_coded =
                codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
            match error.kind() {
                InvalidResponseKind::Encoding => assert!(is_coded),
                InvalidResponseKind::Json | InvalidResponseKind::Utf8 => assert!(!is_coded),
                _ => {}
            }
        }
        (meaning, result) => panic!("{meaning:?}, but {result:?}"),
    }
}

/// How many bytes the first `Content-Length` promises.
fn promised(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("content-length")?.to_str().ok()?;
    text.trim().parse().ok()
}

/// For how many seconds `Retry-After` asks. Dates only say something beside a date; see `dates`.
fn asked(headers: &HeaderMap) -> Option<u64> {
    dates::parse_seconds(headers.get("retry-after")?.to_str().ok()?.trim())
}

/// What the headers say, read a second time.
fn says(reply: &Reply<&[u8]>, headers: &HeaderMap) {
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
    for said in [reply.deprecation(), reply.sunset()].into_iter().flatten() {
        assert_eq!(said.nanoseconds(), 0);
    }
    if let Some(seconds) = asked(headers) {
        let wait = reply.retry_after().map(|wait| wait.as_secs());
        assert_eq!(wait, Some(seconds));
    }
}

/// The error's fields are those that the answer has.
fn same(answer: &ApiError, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    assert_eq!(answer.status, status);
    assert_eq!(answer.endpoint, Endpoint::ModelKeys);
    if let Some(seconds) = asked(headers) {
        let wait = answer.retry_after.map(|wait| wait.as_secs());
        assert_eq!(wait, Some(seconds));
    }
    let object = error_object(body).unwrap_or_default();
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let header = headers
        .get("x-error-code")
        .and_then(|value| value.to_str().ok());
    shows(
        &answer.error_code,
        text("errorCode").or(text("error")).or(header),
    );
    shows(&answer.reason, text("reason"));
    shows(&answer.detail, text("detail").or(text("error_description")));

    let parameters: Vec<String> = array(object.get("parameters"))
        .filter_map(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(answer.parameters.len(), parameters.len());
    for (shown, raw) in answer.parameters.iter().zip(&parameters) {
        is_of(shown, raw);
    }
    let detail = object.get("badRequestDetail");
    let fields: Vec<_> = array(detail.and_then(|detail| detail.get("fields")))
        .filter_map(Value::as_object)
        .collect();
    assert_eq!(answer.fields.len(), fields.len());
    for (shown, raw) in answer.fields.iter().zip(fields) {
        shows(&shown.field, raw.get("field").and_then(Value::as_str));
        shows(
            &shown.description,
            raw.get("description").and_then(Value::as_str),
        );
    }
}

/// At most sixteen entries of a list are kept.
fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(16)
}

fn shows(shown: &Option<String>, raw: Option<&str>) {
    assert_eq!(shown.is_some(), raw.is_some(), "{shown:?} of {raw:?}");
    if let (Some(shown), Some(raw)) = (shown, raw) {
        is_of(shown, raw);
    }
}

/// A text as it is shown: as far as it is harmless and short, itself.
fn is_of(shown: &str, raw: &str) {
    let limit = Limits::default().detail_bytes;
    // What crosses the limit is written to its end, and an ellipsis after it.
    assert!(shown.len() <= limit + 10 + '…'.len_utf8());
    assert!(!shown.chars().any(is_unsafe_to_show), "{shown:?}");
    let harmless = raw.find(is_unsafe_to_show).unwrap_or(raw.len());
    let end = raw.floor_char_boundary(harmless.min(limit));
    let (harmless, rest) = raw.split_at(end);
    assert!(shown.starts_with(harmless), "{shown:?} of {raw:?}");
    if rest.is_empty() {
        assert_eq!(shown, raw);
    }
}
