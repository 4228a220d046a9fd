//! The responses and requests of a session as plain values, so that callers can record the exchanges of a session and
//! replay them. The crate itself records nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::InvalidValue;

/// A response that can be stored: status, headers and body.
///
/// With the feature `serde` it can be serialized and deserialized, like [`Moment`](crate::Moment) and
/// [`FailureKind`](crate::FailureKind). Given the same calls in the same order with the same values, a
/// [`Session`](crate::Session) returns the same steps. A recording therefore also needs the other arguments of each call,
/// such as the [`ListRequest`](crate::ListRequest).
///
/// **A recording contains live credentials**: responses of the token endpoint hold access tokens, and pages may hold
/// secrets. Protect it as you would protect a client secret. `Debug` shows the status and sizes only.
///
/// ```
/// use atlas_model_keys_core::RecordedResponse;
///
/// let response = http::Response::builder().header("date", "x").body(b"{}".to_vec())?;
/// let recorded = RecordedResponse::from(&response);
/// let replayed: http::Response<Vec<u8>> = recorded.try_into()?;
/// assert_eq!(replayed.headers(), response.headers());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RecordedResponse {
    /// The status code.
    pub status: u16,
    /// The names and values of the headers, in the order of the response.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl<B: AsRef<[u8]>> From<&Response<B>> for RecordedResponse {
    fn from(response: &Response<B>) -> Self {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (String::from(name.as_str()), value.as_bytes().to_vec())
        };
        Self {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(header).collect(),
            body: response.body().as_ref().to_vec(),
        }
    }
}

impl TryFrom<RecordedResponse> for Response<Vec<u8>> {
    type Error = InvalidValue;
    /// Fails if HTTP does not allow the status or a header.
    fn try_from(recorded: RecordedResponse) -> Result<Self, InvalidValue> {
        let invalid = |rule| InvalidValue::without_value("recorded response", rule);
        let mut response = Response::new(recorded.body);
        *response.status_mut() = StatusCode::from_u16(recorded.status)
            .map_err(|_| invalid("a status is a number from 100 to 999"))?;
        for (name, value) in recorded.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid("a header name is a token (RFC 9110 section 5.1)"))?;
            let value = HeaderValue::from_bytes(&value).map_err(|_| {
                invalid("a header value has no control characters (RFC 9110 section 5.5)")
            })?;
            response
                .headers_mut()
                .try_append(name, value)
                .map_err(|_| invalid("it has more headers than the http crate can store"))?;
        }
        Ok(response)
    }
}

impl fmt::Debug for RecordedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedResponse")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The parts of a request that a replay compares: method, URI and the names of the headers.
///
/// It is only for comparison: the request cannot be made from it. The values of the headers and the body are left out,
/// because they hold credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestOutline {
    /// The method.
    pub method: Method,
    /// The URI.
    pub uri: Uri,
    /// The names of the headers, in order.
    pub header_names: Vec<HeaderName>,
}

impl<B> From<&Request<B>> for RequestOutline {
    fn from(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            header_names: request.headers().keys().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn recorded_response_is_replayed_unchanged() {
        let response = Response::builder()
            .status(401)
            .header("www-authenticate", "Digest a")
            .header(
                "www-authenticate",
                HeaderValue::from_bytes(b"\xc1rea").unwrap(),
            )
            .body(b"hunter2".to_vec())
            .unwrap();
        let recorded = RecordedResponse::from(&response);
        assert!(!format!("{recorded:?}").contains("hunter2"));
        let replayed: Response<Vec<u8>> = recorded.try_into().unwrap();
        assert_eq!(replayed.status(), response.status());
        assert_eq!(replayed.headers(), response.headers());
        assert_eq!(replayed.body(), response.body());
    }

    #[test]
    fn invalid_status_or_header_is_refused() {
        let recorded = |status, name: &str, value: &[u8]| RecordedResponse {
            status,
            headers: Vec::from([(name.into(), value.to_vec())]),
            body: Vec::new(),
        };
        for recorded in [
            recorded(99, "a", b"b"),
            recorded(200, "a b", b"c"),
            recorded(200, "a", b"\n"),
        ] {
            assert!(Response::try_from(recorded).is_err());
        }
    }
}
