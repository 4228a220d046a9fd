//! A response with status 200 before its body is parsed, and how a response becomes a reply or an error.

use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::String;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::api_error::{Redaction, status_in};
use crate::date_header::{date, response_date};
use crate::decode::{self, Decoded, Entry, Form, GroupSpans, KeySpans};
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::limits::BodyLimits;
use crate::redaction::KnownSecrets;
use crate::skim::{self, Skimmed};
use crate::status::failed_status;
use crate::{
    ApiError, ApiVersion, Drift, Endpoint, Error, Groups, Limits, OwnedModelKey, Page, UnixTime,
};

/// A response with status 200 whose body has not been parsed yet.
///
/// [`into_page`](Reply::into_page) parses the body; [`into_body`](Reply::into_body) returns it as
/// received. `Debug` shows the length of the body, not the body.
pub struct Reply<B> {
    status: StatusCode,
    headers: HeaderMap,
    body: B,
    endpoint: Endpoint,
    /// The page in the body, if it was decoded for the status in its envelope.
    decoded: Option<Box<Decoded>>,
    version: Option<ApiVersion>,
    attempts: u32,
    limits: BodyLimits,
    secrets: KnownSecrets,
}

/// The state of Atlas's rate limit (a token bucket per group or organization), as a response reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// `RateLimit-Limit`: the number of requests in a full bucket.
    pub limit: Option<u64>,
    /// `RateLimit-Remaining`: the number of requests left in the bucket. It is often missing.
    pub remaining: Option<u64>,
}

impl<B: AsRef<[u8]>> Reply<B> {
    /// Turns a response into a reply or an error, with the default [`Limits`]. It is for callers
    /// with their own authentication, without a [`Session`](crate::Session). Its errors name the endpoint
    /// [`Endpoint::ModelKeys`].
    ///
    /// # Errors
    /// [`Error::Api`] for every status other than 200: also for 401 and 429, which only a session handles, and for
    /// another success such as 206, whose body is not the requested page. [`Error::Limit`] if the
    /// response is too large.
    ///
    /// ```
    /// use atlas_model_keys_core::Reply;
    ///
    /// let response = http::Response::builder().status(404).body(
    ///     br#"{"error":404,"errorCode":"GROUP_NOT_FOUND","reason":"Not Found"}"#.as_slice());
    /// let error = Reply::from_response(response?).unwrap_err();
    /// assert_eq!(error.error_code(), Some("GROUP_NOT_FOUND"));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn from_response(response: Response<B>) -> Result<Self, Error> {
        Self::from_response_with(response, &Limits::default())
    }

    /// Turns a response into a reply or an error, with these [`Limits`]; see
    /// [`from_response`](Reply::from_response).
    ///
    /// # Errors
    /// The errors of [`from_response`](Reply::from_response).
    pub fn from_response_with(response: Response<B>, limits: &Limits) -> Result<Self, Error> {
        check_size(&response, limits)?;
        let secrets = KnownSecrets::default();
        let reply = Self::new(
            response,
            Endpoint::ModelKeys,
            None,
            limits.of_body(),
            secrets,
        );
        if reply.status != StatusCode::OK {
            return Err(Error::Api(Box::new(reply.api_error(reply.status))));
        }
        Ok(reply)
    }

    /// Parses the body into a page.
    ///
    /// The `Content-Type` does not matter: a body that parses is a page.
    ///
    /// # Errors
    /// [`Error::InvalidResponse`] if the body is not a page: it names the position, never the value.
    /// [`Error::Api`] if the body is Atlas's error object in spite of the status 200.
    pub fn into_page(mut self) -> Result<Page<B>, Error> {
        let decoded = match self.decoded.take() {
            Some(decoded) => *decoded,
            None => self.decode()?,
        };
        Ok(Page::new(self.body, decoded, self.version, self.headers))
    }

    /// Parses the body into a key, as a reply of this endpoint.
    pub(crate) fn into_key(mut self, endpoint: Endpoint) -> Result<OwnedModelKey, Error> {
        self.endpoint = endpoint;
        let body = self.body.as_ref();
        let decoded = self.check(
            decode::read_key(body, self.limits),
            ("", "there is no field of a key"),
        )?;
        let keys = decoded.entries.as_deref().unwrap_or_default();
        let key = keys.first().unwrap_or(&KeySpans::ABSENT);
        Ok(OwnedModelKey::copy(body, &decoded.arena, key))
    }

    /// Parses the body into a page of groups, as a reply of this endpoint.
    pub(crate) fn into_groups(mut self, endpoint: Endpoint) -> Result<Groups, Error> {
        self.endpoint = endpoint;
        let decoded = self.decode::<GroupSpans>()?;
        Ok(Groups::new(self.body.as_ref(), &decoded, self.version))
    }

    /// Compares the body with the documentation of this form.
    pub(crate) fn drift(&self, form: Form) -> Drift {
        let text = core::str::from_utf8(self.body.as_ref());
        Drift::read(text.unwrap_or_default(), form, self.version)
    }

    /// Passes the decoded page to `read`, and decodes the body if that was not done yet.
    pub(crate) fn with_page<E: Entry, T>(
        &self,
        read: impl FnOnce(&Decoded<E>) -> T,
    ) -> Result<T, Error> {
        Ok(match self.decoded.as_deref().and_then(E::from_keys) {
            Some(decoded) => read(decoded),
            None => read(&self.decode()?),
        })
    }

    /// Decodes the body as a page.
    fn decode<E: Entry>(&self) -> Result<Decoded<E>, Error> {
        self.check(
            decode::read(self.body.as_ref(), self.limits),
            ("results", "there is no array of results"),
        )
    }

    /// Checks that the decoded body has entries and is no error object. `missing` is the path and the problem of a body without
    /// entries.
    #[inline]
    fn check<E: Entry>(
        &self,
        decoded: Result<Decoded<E>, Error>,
        missing: (&str, &'static str),
    ) -> Result<Decoded<E>, Error> {
        if let Some(status) = failed_in(&decoded, self.body.as_ref(), self.limits) {
            return Err(Error::Api(Box::new(self.api_error(status))));
        }
        let decoded = decoded.map_err(|error| self.explain(error))?;
        if decoded.entries.is_none() {
            return Err(Error::InvalidResponse(InvalidResponse {
                endpoint: self.endpoint,
                kind: InvalidResponseKind::Shape,
                place: None,
                path: String::from(missing.0),
                problem: missing.1,
            }));
        }
        Ok(decoded)
    }

    /// Returns whether a link announces a next page (its `rel` is `next`), for callers that do not parse the
    /// body. Others use [`Page::has_next`].
    ///
    /// Reads no more of the body than needed, which is only its beginning with Atlas's order of fields. Returns
    /// `false` if the body is not a page.
    #[must_use]
    pub fn has_next(&self) -> bool {
        skim::says_next(self.body.as_ref())
    }

    /// Reads what a listing needs to know, and no more of the body than necessary.
    pub(crate) fn skim(&self) -> Option<Skimmed> {
        skim::skim(self.body.as_ref())
    }

    /// Completes an error of the decoder, which knows neither the endpoint nor the headers: an error about text or JSON
    /// becomes one that names the reason, if the body was not decompressed.
    fn explain(&self, error: Error) -> Error {
        let Error::InvalidResponse(invalid) = error else {
            return error;
        };
        let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        let mut encodings = self.headers.get_all(CONTENT_ENCODING).iter();
        let is_unreadable = matches!(
            invalid.kind,
            InvalidResponseKind::Utf8 | InvalidResponseKind::Json
        );
        Error::InvalidResponse(if is_unreadable && !encodings.all(identity) {
            InvalidResponse {
                endpoint: self.endpoint,
                kind: InvalidResponseKind::Encoding,
                place: None,
                path: String::new(),
                problem: "it was not decompressed (see its Content-Encoding)",
            }
        } else {
            InvalidResponse {
                endpoint: self.endpoint,
                ..invalid
            }
        })
    }

    fn api_error(&self, status: StatusCode) -> ApiError {
        ApiError::read(
            status,
            self.endpoint,
            &self.headers,
            self.body.as_ref(),
            None,
            &Redaction {
                secrets: &self.secrets,
                limits: self.limits,
            },
        )
    }
}

/// Returns the status of an error that has the form of a page or key: from its envelope, or else from its `error`. An
/// `errorCode` alone does not make a page an error, because Atlas may add such a field.
fn error_status<E>(decoded: &Decoded<E>) -> Option<StatusCode> {
    [decoded.status, decoded.error]
        .into_iter()
        .flatten()
        .find_map(|number| failed_status(u64::try_from(number).ok()?))
}

/// Returns the status of the error that a body holds, or `None` if it holds no error. The error may have the form of a
/// page or key, or of an error object, which may be under `content`.
fn failed_in<E>(
    decoded: &Result<Decoded<E>, Error>,
    body: &[u8],
    limits: BodyLimits,
) -> Option<StatusCode> {
    let status = decoded.as_ref().ok().and_then(error_status);
    let is_page = decoded
        .as_ref()
        .is_ok_and(|decoded| decoded.entries.is_some());
    if status.is_some() || is_page {
        return status;
    }
    status_in(body, limits)
}

/// Decodes an enveloped body. Returns the page of keys if it is one, so that it need not be decoded again.
///
/// # Errors
/// Returns the status of the error that the body holds.
pub(crate) fn read_envelope(
    body: &[u8],
    form: Form,
    limits: BodyLimits,
) -> Result<Option<Box<Decoded>>, StatusCode> {
    let failed = match form {
        Form::Keys => {
            let decoded = decode::read::<KeySpans>(body, limits);
            return match failed_in(&decoded, body, limits) {
                Some(status) => Err(status),
                None => Ok(decoded
                    .ok()
                    .filter(|decoded| decoded.entries.is_some())
                    .map(Box::new)),
            };
        }
        Form::Key => failed_in(&decode::read_key(body, limits), body, limits),
        Form::Groups => failed_in(&decode::read::<GroupSpans>(body, limits), body, limits),
    };
    failed.map_or(Ok(None), Err)
}

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
static RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// Returns the value of `RateLimit-Remaining`.
pub(crate) fn remaining_requests(headers: &HeaderMap) -> Option<u64> {
    number_in(headers, &RATE_LIMIT_REMAINING)
}

fn number_in(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Checks the size of a response against the limits, even if the transport did so before.
pub(crate) fn check_size<B: AsRef<[u8]>>(
    response: &Response<B>,
    limits: &Limits,
) -> Result<(), Error> {
    let bound = |what, size: usize, limit: usize| {
        if size > limit {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            return Err(Error::Limit { what, limit });
        }
        Ok(())
    };
    let headers = response.headers();
    let head_bytes = headers.iter().fold(0usize, |sum, (name, value)| {
        sum.saturating_add(name.as_str().len())
            .saturating_add(value.len())
    });
    bound("header fields", headers.len(), limits.headers)?;
    bound("bytes of head", head_bytes, limits.head_bytes)?;
    if response.status() != StatusCode::OK {
        // The status decides, whatever the size of the body. At most `error_body_bytes` of it are decoded.
        return Ok(());
    }
    // The announced length counts too: then a transport need not read a body that will be refused.
    let announced = number_in(headers, &CONTENT_LENGTH)
        .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    let length = response.body().as_ref().len();
    let length = length.max(announced.unwrap_or(0));
    bound("bytes of body", length, limits.body_bytes)
}

impl<B> Reply<B> {
    pub(crate) fn new(
        response: Response<B>,
        endpoint: Endpoint,
        requested: Option<ApiVersion>,
        limits: BodyLimits,
        secrets: KnownSecrets,
    ) -> Self {
        let (head, body) = response.into_parts();
        let version = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(ApiVersion::from_content_type)
            .or(requested);
        Self {
            status: head.status,
            headers: head.headers,
            body,
            endpoint,
            decoded: None,
            version,
            attempts: 1,
            limits,
            secrets,
        }
    }

    /// Keeps the page that was already decoded from the body.
    pub(crate) fn with_decoded(mut self, decoded: Option<Box<Decoded>>) -> Self {
        self.decoded = decoded;
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// Returns the status, which is 200.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns all headers, as received.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the version of the resource that responded: from the `Content-Type`, or else the
    /// requested version, if it is known.
    #[must_use]
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// Returns the number of attempts until this response, at least 1. Each failed attempt was followed by a wait. Token
    /// requests are not counted, and a request that answers a challenge belongs to the attempt before it.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the server's time when it sent the response (`Date`, RFC 9110 §6.6.1), to whole seconds, or `None` if there is
    /// no valid one.
    #[must_use]
    pub fn date(&self) -> Option<UnixTime> {
        response_date(&self.headers)
    }

    /// Returns the state of the rate limit from the headers.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        RateLimit {
            limit: number_in(&self.headers, &RATE_LIMIT),
            remaining: remaining_requests(&self.headers),
        }
    }

    /// Returns the time from which the version that responded is deprecated (`Deprecation`, RFC 9745). It may be past.
    #[must_use]
    pub fn deprecation(&self) -> Option<UnixTime> {
        date(&self.headers, "deprecation")
    }

    /// Returns when the version that responded will be removed (`Sunset`, RFC 8594).
    #[must_use]
    pub fn sunset(&self) -> Option<UnixTime> {
        date(&self.headers, "sunset")
    }

    /// Returns the version of the Atlas service that responded (`X-MongoDB-Service-Version`).
    #[must_use]
    pub fn service_version(&self) -> Option<&str> {
        self.headers.get("x-mongodb-service-version")?.to_str().ok()
    }

    /// Returns how long to wait before the next request (`Retry-After`), if it is given in seconds, or as a date in a
    /// response with a `Date`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        crate::retry::retry_after(&self.headers, None)
    }

    /// Replaces the body by what `change` makes of it.
    #[must_use]
    pub fn map_body<C>(self, change: impl FnOnce(B) -> C) -> Reply<C> {
        Reply {
            status: self.status,
            headers: self.headers,
            body: change(self.body),
            endpoint: self.endpoint,
            // What was decoded does not belong to another body.
            decoded: None,
            version: self.version,
            attempts: self.attempts,
            limits: self.limits,
            secrets: self.secrets,
        }
    }

    /// Returns the body, as received.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }

    /// Returns the body, as received.
    #[must_use]
    pub fn into_body(self) -> B {
        self.body
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Reply<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("body_bytes", &self.body.as_ref().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use alloc::vec;
    use alloc::vec::Vec;

    fn result(status: u16, length: Option<&str>, body: usize) -> Result<(), Error> {
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header(CONTENT_LENGTH, length);
        }
        let body: Vec<u8> = vec![b' '; body];
        Reply::from_response(response.body(body).unwrap()).map(|_| ())
    }

    #[test]
    fn page_over_the_limit_is_refused_by_its_actual_or_announced_length() {
        let limit = Limits::default().body_bytes;
        for (length, body) in [
            (None, limit + 1),
            (Some(limit + 1), 0),
            (Some(usize::MAX), 0),
        ] {
            let length = length.map(|n| n.to_string());
            let refused = result(200, length.as_deref(), body);
            let Err(Error::Limit { what, limit: of }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((what, of), ("bytes of body", 16 << 20));
        }
        for length in [None, Some("16777216"), Some("-1"), Some("many")] {
            assert!(result(200, length, 3).is_ok(), "{length:?}");
        }
        assert!(result(200, None, limit).is_ok());
    }

    #[test]
    fn error_status_is_kept_whatever_the_size_of_the_body() {
        let limit = Limits::default().body_bytes;
        for (length, body) in [(None, limit + 1), (Some("18446744073709551615"), 0)] {
            for status in [500, 404, 206] {
                let error = result(status, length, body).unwrap_err();
                assert_eq!(error.status().unwrap().as_u16(), status);
            }
        }
    }

    #[test]
    fn success_status_other_than_200_is_an_error() {
        for status in [201, 202, 203, 204, 206, 226, 299] {
            let error = result(status, None, 0).unwrap_err();
            assert!(matches!(error, Error::Api(_)), "{error:?}");
            assert!(!error.is_retryable());
            let shown = error.to_string();
            assert!(shown.contains("but only status 200 is accepted"), "{shown}");
        }
    }
}
