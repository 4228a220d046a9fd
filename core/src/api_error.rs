//! Atlas's error object, and the status in bodies that are errors.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::json::Json;
use crate::limits::BodyLimits;
use crate::numbers;
use crate::redaction::KnownSecrets;
use crate::retry;
use crate::status::failed_status;

/// An error response: its status, and the documented fields of Atlas's error object, if they were present.
///
/// Every field is optional: production's 401 has no code, and a proxy or load balancer in front of Atlas
/// responds with HTML, plain text or nothing. The texts are bounded; their control characters are escaped, and every
/// secret of the session is replaced. Nothing else of the body is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiError {
    /// The status of the response, or of its envelope if one was requested.
    pub status: StatusCode,
    /// The request that got this response.
    pub endpoint: Endpoint,
    /// `errorCode`, such as `GROUP_NOT_FOUND`; or else the `error` of an OAuth response, such as
    /// `invalid_client`; or else the header `X-Error-Code`.
    pub error_code: Option<String>,
    /// `reason`: the status in words.
    pub reason: Option<String>,
    /// `detail`, or the `error_description` of an OAuth response.
    pub detail: Option<String>,
    /// `parameters`: the values in the detail, with numbers as text. At most 16 are kept.
    pub parameters: Vec<String>,
    /// `badRequestDetail.fields`: the invalid parameters. At most 16 are kept.
    pub fields: Vec<FieldViolation>,
    /// The time that Atlas asks to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// An invalid parameter of a request: an entry of `badRequestDetail.fields`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// The parameter's name.
    pub field: Option<String>,
    /// The reason why it is invalid.
    pub description: Option<String>,
}

/// The kinds of requests that a session sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET …/groups/{groupId}/aiModelApiKeys`.
    ModelKeys,
    /// `GET …/orgs/{orgId}/aiModelApiKeys`.
    OrgModelKeys,
    /// `GET …/groups/{groupId}/aiModelApiKeys/{apiKeyId}`.
    ModelKey,
    /// `GET …/orgs/{orgId}/aiModelApiKeys/{apiKeyId}`.
    OrgModelKey,
    /// `GET …/groups`.
    Groups,
    /// `POST …/oauth/token`.
    Token,
    /// `POST …/oauth/revoke`.
    Revocation,
}

impl Endpoint {
    /// Returns whether it belongs to OAuth, and not to the Admin API.
    pub(crate) fn is_oauth(self) -> bool {
        match self {
            Self::Token | Self::Revocation => true,
            Self::ModelKeys
            | Self::OrgModelKeys
            | Self::ModelKey
            | Self::OrgModelKey
            | Self::Groups => false,
        }
    }
}

/// The largest number of entries that are kept of a list in an error object.
const MAX_ENTRIES: usize = 16;

/// Makes texts from outside safe to show: it replaces secrets, escapes control characters and cuts.
pub(crate) struct Redaction<'a> {
    pub(crate) secrets: &'a KnownSecrets,
    pub(crate) limits: BodyLimits,
}

impl Redaction<'_> {
    pub(crate) fn clean(&self, raw: &str) -> String {
        self.secrets.clean(raw, self.limits.detail_bytes)
    }
}

impl ApiError {
    /// Reads all fields that are present. It never fails.
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
            // `error` is a number in Atlas's error objects, and the code in OAuth's.
            error.error_code = text_of(&object, "errorCode")
                .or_else(|| text_of(&object, "error"))
                .map(clean);
            error.reason = text_of(&object, "reason").map(clean);
            error.detail = text_of(&object, "detail")
                .or_else(|| text_of(&object, "error_description"))
                .map(clean);
            error.parameters = array_of(object.get("parameters"))
                .filter_map(|value| match value {
                    Json::Text(text) | Json::Number(text) => Some(clean(text)),
                    _ => None,
                })
                .collect();
            let fields = object
                .get("badRequestDetail")
                .and_then(|detail| detail.get("fields"));
            error.fields = array_of(fields)
                .filter(|field| matches!(field, Json::Object(_)))
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

    /// Returns whether the code means that the owner of the credential is known, but not allowed to list. A newer token
    /// would not help.
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

/// Returns the error object of a body, which is at the top or under an envelope's `content`.
fn error_object(body: &[u8], limit: usize) -> Option<Json> {
    if body.len() > limit {
        return None;
    }
    let Ok(Json::Object(mut members)) = numbers::parse(body) else {
        return None;
    };
    let mut take_last = |name| {
        let at = members.iter().rposition(|(known, _)| known == name)?;
        // The order stays: of equal names, the last counts.
        Some(members.remove(at).1)
    };
    match take_last("content") {
        Some(Json::Object(mut content)) => {
            // The envelope's status takes precedence.
            content.extend(take_last("status").map(|status| ("status".into(), status)));
            Some(Json::Object(content))
        }
        _ => Some(Json::Object(members)),
    }
}

/// Returns the status in a body that is an error object and not a page: the envelope's `status`, the
/// `error`, or 500 for an `errorCode` without either.
pub(crate) fn status_in(body: &[u8], limits: BodyLimits) -> Option<StatusCode> {
    let object = error_object(body, limits.error_body_bytes)?;
    if object
        .get("results")
        .is_some_and(|results| results.as_array().is_some())
    {
        return None;
    }
    let number = |name| match object.get(name)? {
        Json::Number(text) | Json::Text(text) => text.parse::<u64>().ok(),
        _ => None,
    };
    let default = object.get("errorCode").map(|_| 500);
    [number("status"), number("error"), default]
        .into_iter()
        .flatten()
        .find_map(failed_status)
}

fn text_of<'a>(object: &'a Json, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Json::as_text)
}

fn array_of(value: Option<&Json>) -> impl Iterator<Item = &Json> {
    value
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .take(MAX_ENTRIES)
}

/// Writes one line: `404 Not Found (GROUP_NOT_FOUND): No group with ID … exists.`
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
    use alloc::string::ToString;

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
    fn all_fields_of_an_error_object_are_read() {
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
    fn absent_and_mistyped_fields_are_ignored() {
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
    fn oauth_code_and_description_are_read() {
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
    fn code_is_read_from_an_envelope_and_from_a_header() {
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
    fn last_of_equal_names_counts_also_beside_an_envelope() {
        let error = read(500, r#"{"content":1,"detail":"A","detail":"B"}"#);
        assert_eq!(error.to_string(), "500 Internal Server Error: B");
        let body = br#"{"content":{"status":400},"status":500,"status":404}"#;
        let status = status_in(body, Limits::default().of_body());
        assert_eq!(status, Some(StatusCode::NOT_FOUND));
    }

    #[test]
    fn detail_is_read_despite_a_number_that_is_too_large() {
        let error = read(
            500,
            r#"{"detail":"Why.","parameters":[1e400,7,1E2,{"$serde_json::private::Number":"x"}],"x":-1e999}"#,
        );
        assert_eq!(error.to_string(), "500 Internal Server Error: Why.");
        assert_eq!(error.parameters, ["7", "100.0"]);
    }

    #[test]
    fn body_over_the_limit_is_not_decoded() {
        let body = alloc::format!(r#"{{"detail":"d","x":"{}"}}"#, "x".repeat(70_000));
        assert_eq!(read(500, &body).detail, None);
    }
}
