use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::decode::numbers;
use crate::error::is_server_error;
use crate::limits::BodyLimits;
use crate::secret::KnownSecrets;
use crate::{retry, text};

/// What Atlas answered instead of a page: the status, and the documented fields of its error
/// object as far as they were there.
///
/// Every field is optional: production's 401 has no code, and what stands between here and Atlas
/// (a proxy, a balancer) answers with HTML, plain text or nothing. The texts are bounded, have
/// their control characters escaped and every secret of the session replaced; nothing else of
/// the body is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The status of the answer; of its envelope, where one was asked for.
    pub status: StatusCode,
    /// Which request was answered so.
    pub endpoint: Endpoint,
    /// `errorCode`, such as `GROUP_NOT_FOUND`; else the header `X-Error-Code`; else the `error` of an
    /// OAuth answer, such as `invalid_client`.
    pub error_code: Option<String>,
    /// `reason`, the status in words.
    pub reason: Option<String>,
    /// `detail`, or the `error_description` of an OAuth answer.
    pub detail: Option<String>,
    /// `parameters`: what the detail was made with, numbers as text. At most 16.
    pub parameters: Vec<String>,
    /// `badRequestDetail.fields`: what was wrong with which parameter. At most 16.
    pub fields: Vec<FieldViolation>,
    /// How long Atlas asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// One of `badRequestDetail.fields`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The parameter's name.
    pub field: Option<String>,
    /// What is wrong with it.
    pub description: Option<String>,
}

/// A request that a session sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET …/groups/{groupId}/aiModelApiKeys`.
    ModelKeys,
    /// `POST …/oauth/token`.
    Token,
    /// `POST …/oauth/revoke`.
    Revocation,
}

/// Entries of a list in an error object that are kept.
const ENTRIES: usize = 16;

/// How texts from an error's body are made fit to be shown.
pub(crate) struct Redaction<'a> {
    pub(crate) secrets: &'a KnownSecrets,
    pub(crate) limits: BodyLimits,
}

impl Redaction<'_> {
    pub(crate) fn clean(&self, raw: &str) -> String {
        // Before escaping and cutting, either of which could hide a secret from the search.
        let raw = self.secrets.redact(raw);
        text::escaped(&raw, self.limits.detail_bytes)
    }
}

impl ApiError {
    /// Reads what there is to read; never fails.
    pub(crate) fn read(
        status: StatusCode,
        endpoint: Endpoint,
        headers: &HeaderMap,
        body: &[u8],
        now: Option<Duration>,
        redaction: &Redaction<'_>,
    ) -> Self {
        let clean = |raw: &str| redaction.clean(raw);
        let mut error = Self {
            status,
            endpoint,
            error_code: None,
            reason: None,
            detail: None,
            parameters: Vec::new(),
            fields: Vec::new(),
            retry_after: retry::retry_after(headers, now),
        };
        if let Some(object) = error_object(body, redaction.limits.error_body_bytes) {
            // `error` is a number in Atlas's answers and the code in OAuth's.
            error.error_code = text_of(&object, "errorCode")
                .or_else(|| text_of(&object, "error"))
                .map(clean);
            error.reason = text_of(&object, "reason").map(clean);
            error.detail = text_of(&object, "detail")
                .or_else(|| text_of(&object, "error_description"))
                .map(clean);
            error.parameters = array_of(object.get("parameters"))
                .filter_map(|value| match value {
                    Value::String(text) => Some(clean(text)),
                    Value::Number(number) => Some(clean(&number.to_string())),
                    _ => None,
                })
                .collect();
            let fields = object
                .get("badRequestDetail")
                .and_then(|detail| detail.get("fields"));
            error.fields = array_of(fields)
                .filter_map(Value::as_object)
                .map(|field| FieldViolation {
                    field: text_of(field, "field").map(clean),
                    description: text_of(field, "description").map(clean),
                })
                .collect();
        }
        if error.error_code.is_none() {
            error.error_code = headers
                .get("x-error-code")
                .and_then(|value| value.to_str().ok())
                .map(clean);
        }
        error
    }

    /// Whether the code says that who asks is known and not allowed: a newer token would not
    /// change it.
    pub(crate) fn is_not_allowed(&self) -> bool {
        matches!(
            self.error_code.as_deref(),
            Some(
                "USER_UNAUTHORIZED"
                    | "NOT_ORG_GROUP_CREATOR"
                    | "IP_ADDRESS_NOT_ON_ACCESS_LIST"
                    | "ORG_REQUIRES_ACCESS_LIST"
            )
        )
    }
}

/// The error object of a body: at the top, or under an envelope's `content`.
fn error_object(body: &[u8], limit: usize) -> Option<Map<String, Value>> {
    if body.len() > limit {
        return None;
    }
    let Ok(Value::Object(mut object)) = numbers::parse(body) else {
        return None;
    };
    match object.remove("content") {
        Some(Value::Object(mut content)) => {
            // The envelope's status rules.
            if let Some(status) = object.remove("status") {
                content.insert("status".into(), status);
            }
            Some(content)
        }
        _ => Some(object),
    }
}

/// The status that a body says, where it is an error object and no page: its envelope's `status`, its
/// `error`, or 500 for an `errorCode` without either.
pub(crate) fn status_in(body: &[u8], limits: BodyLimits) -> Option<StatusCode> {
    let object = error_object(body, limits.error_body_bytes)?;
    if object.get("results").is_some_and(Value::is_array) {
        return None;
    }
    let number = |name| match object.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let unsaid = object.contains_key("errorCode").then_some(500);
    [number("status"), number("error"), unsaid]
        .into_iter()
        .flatten()
        .find_map(failed_status)
}

/// The status, if it is one of a client's or a server's error. One that no response can have is none.
pub(crate) fn failed_status(number: u64) -> Option<StatusCode> {
    let status = StatusCode::from_u16(u16::try_from(number).ok()?).ok()?;
    (status.is_client_error() || is_server_error(status)).then_some(status)
}

fn text_of<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn array_of(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .take(ENTRIES)
}

/// One line: `404 Not Found (GROUP_NOT_FOUND): No group with ID … exists.`
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(reason) = self
            .reason
            .as_deref()
            .or_else(|| self.status.canonical_reason())
        {
            write!(f, " {reason}")?;
        }
        if let Some(code) = &self.error_code {
            write!(f, " ({code})")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        for (n, violation) in self.fields.iter().enumerate() {
            f.write_str(if n == 0 { "; " } else { ", " })?;
            match (&violation.field, &violation.description) {
                (Some(field), Some(description)) => write!(f, "{field}: {description}")?,
                (Some(only), None) | (None, Some(only)) => f.write_str(only)?,
                (None, None) => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Secret};

    fn read(status: u16, body: &str) -> ApiError {
        read_with(status, &HeaderMap::new(), body.as_bytes(), &[])
    }

    fn read_with(status: u16, headers: &HeaderMap, body: &[u8], secrets: &[&str]) -> ApiError {
        ApiError::read(
            StatusCode::from_u16(status).unwrap(),
            Endpoint::ModelKeys,
            headers,
            body,
            None,
            &Redaction {
                secrets: &KnownSecrets::new(secrets.iter().copied().map(Secret::new)),
                limits: Limits::default().of_body(),
            },
        )
    }

    #[test]
    fn atlas_error_objects_are_read_field_by_field() {
        let error = read(
            400,
            r#"{"error":400,"errorCode":"VALIDATION_ERROR","reason":"Bad Request","detail":"Validation failed.",
                "parameters":["a",7,null,{"b":1}],
                "badRequestDetail":{"fields":[{"field":"itemsPerPage","description":"must be at most 500"},{"field":null}]}}"#,
        );
        assert_eq!(error.parameters, ["a", "7"]);
        assert_eq!(
            error.to_string(),
            "400 Bad Request (VALIDATION_ERROR): Validation failed.; itemsPerPage: must be at most 500, ?"
        );
    }

    #[test]
    fn every_field_is_optional_and_of_any_type() {
        for body in [
            "",
            "null",
            "[]",
            "42",
            "<html>502</html>",
            "{",
            "{}",
            "\u{feff}{}",
            r#"{"error":null,"errorCode":5,"detail":{},"reason":[],"parameters":{},"badRequestDetail":[]}"#,
        ] {
            let error = read(502, body);
            assert_eq!(error.to_string(), "502 Bad Gateway", "{body}");
        }
        assert_eq!(read(599, "").to_string(), "599");
    }

    #[test]
    fn oauth_errors_have_their_code_in_error() {
        let error = read(
            401,
            r#"{"error":"invalid_client","error_description":"Invalid credentials provided."}"#,
        );
        assert_eq!(error.error_code.as_deref(), Some("invalid_client"));
        assert_eq!(
            error.detail.as_deref(),
            Some("Invalid credentials provided.")
        );
    }

    #[test]
    fn the_object_may_be_enveloped_and_the_code_in_a_header() {
        let error = read(
            404,
            r#"{"status":404,"content":{"errorCode":"GROUP_NOT_FOUND"}}"#,
        );
        assert_eq!(error.error_code.as_deref(), Some("GROUP_NOT_FOUND"));
        let mut headers = HeaderMap::new();
        headers.insert("x-error-code", "RATE_LIMITED".parse().unwrap());
        let error = read_with(429, &headers, b"", &[]);
        assert_eq!(error.error_code.as_deref(), Some("RATE_LIMITED"));
    }

    #[test]
    fn texts_are_bounded_escaped_and_free_of_secrets() {
        let body = serde_json::json!({
            "detail": alloc::format!("token hunter2 is\n\u{1b}[31mbad {}", "x".repeat(5000)),
            "errorCode": "hunter2", "reason": "hunter2", "parameters": ["ahunter2b"],
            "badRequestDetail": {"fields": [{"field": "hunter2", "description": "hunter2"}]},
        });
        let error = read_with(
            400,
            &HeaderMap::new(),
            body.to_string().as_bytes(),
            &["hunter2", ""],
        );
        let shown = alloc::format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(error.detail.as_ref().unwrap().len() < 1100);
        assert!(
            error
                .detail
                .unwrap()
                .starts_with("token [redacted] is\\u{a}\\u{1b}[31mbad xxx")
        );
    }

    #[test]
    fn a_number_that_nothing_holds_hides_no_detail() {
        let error = read(
            500,
            r#"{"detail":"Why.","parameters":[1e400,7],"x":-1e999}"#,
        );
        assert_eq!(error.to_string(), "500 Internal Server Error: Why.");
        assert_eq!(error.parameters, ["7"]);
    }

    #[test]
    fn a_large_body_is_not_decoded() {
        let body = alloc::format!(r#"{{"detail":"d","x":"{}"}}"#, "x".repeat(70_000));
        assert_eq!(read(500, &body).detail, None);
    }
}
