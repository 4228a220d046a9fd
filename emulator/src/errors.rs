//! Errors in Atlas's format: their statuses, codes and texts.

use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::render::{self, View};

const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// Returns an error response in Atlas's format, for
/// [`Emulator::respond_next`](crate::Emulator::respond_next). The caller can add headers such as
/// `Retry-After`.
///
/// ```
/// use atlas_model_keys_emulator::error_response;
/// let response = error_response(http::StatusCode::TOO_MANY_REQUESTS);
/// assert_eq!(response.headers()["x-error-code"], "RATE_LIMITED");
/// ```
#[must_use]
pub fn error_response(status: StatusCode) -> Response<Vec<u8>> {
    let code = match status.as_u16() {
        401 => return AtlasError::unauthenticated().into_response(View::default()),
        403 => "IP_ADDRESS_NOT_ON_ACCESS_LIST",
        404 => "RESOURCE_NOT_FOUND",
        406 => "INVALID_VERSION_DATE",
        410 => "VERSION_GONE",
        429 => "RATE_LIMITED",
        _ => "UNEXPECTED_ERROR",
    };
    AtlasError::new(status, code, "(This is a scripted response.)").into_response(View::default())
}

/// An error response before it is rendered.
#[derive(Debug)]
pub(crate) struct AtlasError {
    status: StatusCode,
    code: Option<&'static str>,
    detail: String,
    parameters: Vec<Value>,
    fields: Vec<BadField>,
    headers: Vec<(HeaderName, HeaderValue)>,
    enveloped: bool,
}

/// The body of an error. Its fields are in alphabetical order, as in all of Atlas's objects.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bad_request_detail: Option<BadRequestDetail<'a>>,
    detail: &'a str,
    error: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a [Value]>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Serialize)]
struct BadRequestDetail<'a> {
    fields: &'a [BadField],
}

#[derive(Debug, Serialize)]
struct BadField {
    description: String,
    field: &'static str,
}

impl AtlasError {
    fn new(
        status: StatusCode,
        code: impl Into<Option<&'static str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            parameters: Vec::new(),
            fields: Vec::new(),
            headers: Vec::new(),
            enveloped: true,
        }
    }

    fn with_parameter(mut self, parameter: impl Into<Value>) -> Self {
        self.parameters.push(parameter.into());
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Returns the 401 for a missing or wrong credential.
    ///
    /// As in production, it has neither a code nor parameters. It comes from a gateway in front of the
    /// API, so it has no envelope: in an envelope a client could not see the challenge.
    pub(crate) fn unauthenticated() -> Self {
        Self {
            enveloped: false,
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                None,
                "You are not authorized for this resource.",
            )
        }
    }

    /// Returns the 401 for a right credential without the required role.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "USER_UNAUTHORIZED",
            "Current user is not authorized to perform this action.",
        )
    }

    pub(crate) fn group_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "GROUP_NOT_FOUND",
            format!("No group with ID {id} exists."),
        )
        .with_parameter(id)
    }

    pub(crate) fn resource_not_found(what: &str) -> Self {
        // Long paths are cut, so that the response stays short.
        let what: String = what.chars().take(200).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "RESOURCE_NOT_FOUND",
            format!("Cannot find resource {what}."),
        )
        .with_parameter(what)
    }

    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "The method is not allowed for this resource.",
        )
        .with_header(http::header::ALLOW, allowed)
    }

    pub(crate) fn invalid_version() -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "INVALID_VERSION_DATE",
            "Invalid accept header or version date.",
        )
    }

    pub(crate) fn version_gone(version: &str) -> Self {
        Self::new(
            StatusCode::GONE,
            "VERSION_GONE",
            format!("The version {version} of this resource is no longer available."),
        )
        .with_parameter(version)
    }

    /// Returns the 400 for a query parameter that breaks its rule.
    pub(crate) fn invalid_parameter(field: &'static str, rule: &str) -> Self {
        Self {
            fields: vec![BadField {
                description: rule.to_owned(),
                field,
            }],
            ..Self::new(
                StatusCode::BAD_REQUEST,
                "VALIDATION_ERROR",
                format!("Invalid query parameter {field}: {rule}."),
            )
            .with_parameter(field)
        }
    }

    /// Returns the 400 for plain HTTP on a port that serves HTTPS.
    pub(crate) fn https_only() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "HTTPS_ONLY",
            "This emulator serves HTTPS, and the request is plain HTTP. Use https:// in the base URL.",
        )
    }

    /// Returns the 421 for a host that the server does not allow. A 403 would look like Atlas's own.
    pub(crate) fn misdirected(host: &str) -> Self {
        let host: String = host.chars().take(200).collect();
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "HOST_NOT_ALLOWED",
            format!(
                "This emulator does not serve the host {host:?}. Allow its name with `emulate --allow-host NAME`, \
                 or in Rust with Options::with_allowed_host."
            ),
        )
        .with_parameter(host)
    }

    pub(crate) fn rate_limited(retry_after_seconds: Option<u64>) -> Self {
        let error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            "Too many requests: the rate limit of this resource is exceeded.",
        );
        match retry_after_seconds {
            Some(seconds) => error
                .with_header(RETRY_AFTER, &seconds.to_string())
                // Atlas's `parameters` can contain numbers as well as strings.
                .with_parameter(seconds),
            None => error,
        }
    }

    pub(crate) fn into_response(self, view: View) -> Response<Vec<u8>> {
        let body = ErrorBody {
            bad_request_detail: (!self.fields.is_empty()).then_some(BadRequestDetail {
                fields: &self.fields,
            }),
            detail: &self.detail,
            error: self.status.as_u16(),
            error_code: self.code,
            parameters: self.code.is_some().then_some(&self.parameters),
            reason: self.status.canonical_reason().unwrap_or("Unknown"),
            // Atlas does not document errors in an envelope, and no success without the documented
            // fields. So the HTTP status stays, and clients that cannot see it read it in the body.
            status: (view.envelope && self.enveloped).then_some(self.status.as_u16()),
        };
        let mut response = Response::new(render::json(&body, view.pretty));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // Appended, because there may be several challenges.
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(code) = self.code {
            headers.insert(ERROR_CODE, HeaderValue::from_static(code));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(error: AtlasError, view: View) -> String {
        String::from_utf8(error.into_response(view).into_body()).unwrap()
    }

    #[test]
    fn error_fields_are_alphabetical_and_omitted_as_in_production() {
        assert_eq!(
            body(AtlasError::unauthenticated(), View::default()),
            r#"{"detail":"You are not authorized for this resource.","error":401,"reason":"Unauthorized"}"#
        );
        assert_eq!(
            body(AtlasError::group_not_found("x"), View::default()),
            r#"{"detail":"No group with ID x exists.","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["x"],"reason":"Not Found"}"#
        );
        assert_eq!(
            body(
                AtlasError::invalid_parameter("pageNum", "must be at least 1"),
                View::default()
            ),
            concat!(
                r#"{"badRequestDetail":{"fields":[{"description":"must be at least 1","field":"pageNum"}]},"#,
                r#""detail":"Invalid query parameter pageNum: must be at least 1.","error":400,"#,
                r#""errorCode":"VALIDATION_ERROR","parameters":["pageNum"],"reason":"Bad Request"}"#
            )
        );
    }

    #[test]
    fn envelope_adds_the_status_except_that_of_a_challenge() {
        let view = View {
            envelope: true,
            pretty: false,
        };
        let response = AtlasError::unauthorized().into_response(view);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["x-error-code"], "USER_UNAUTHORIZED");
        assert!(body(AtlasError::unauthorized(), view).ends_with(r#","status":401}"#));
        let challenge = AtlasError::unauthenticated().into_response(view);
        assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
        assert!(
            body(AtlasError::unauthenticated(), view).ends_with(r#","reason":"Unauthorized"}"#)
        );
    }
}
