use core::fmt;
use core::time::Duration;

use alloc::boxed::Box;
use alloc::string::String;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::api_error::{Redaction, failed_status, status_in};
use crate::decode::Decoded;
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::limits::BodyLimits;
use crate::secret::KnownSecrets;
use crate::skim::{self, Skimmed};
use crate::timestamp::parse_http_date;
use crate::{ApiError, ApiVersion, Endpoint, Error, Limits, Page, UnixTime};

/// An answer with status 200, its body not yet looked at.
///
/// [`into_page`](Reply::into_page) parses it; [`into_body`](Reply::into_body) hands it out as it
/// came. `Debug` shows the length of the body, not the body.
pub struct Reply<B> {
    status: StatusCode,
    headers: HeaderMap,
    body: B,
    version: Option<ApiVersion>,
    limits: BodyLimits,
    secrets: KnownSecrets,
}

/// What an answer says about Atlas's rate limit (a token bucket per group).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// `RateLimit-Limit`: what the bucket holds when it is full.
    pub limit: Option<u64>,
    /// `RateLimit-Remaining`: what is left in it. Often missing.
    pub remaining: Option<u64>,
}

impl<B: AsRef<[u8]>> Reply<B> {
    /// Sorts a response into a reply or an error, with the default [`Limits`]: pure, for callers
    /// with their own authentication.
    ///
    /// # Errors
    /// [`Error::Api`] for every status but 200 (a 401 and a 429 too: here they have no flow), and
    /// [`Error::Limit`] for an answer that is too large. Another success, such as 206, is none: its body is
    /// not the page that was asked for.
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

    /// Sorts a response into a reply or an error, with these [`Limits`]; see
    /// [`from_response`](Reply::from_response).
    ///
    /// # Errors
    /// Those of [`from_response`](Reply::from_response).
    pub fn from_response_with(response: Response<B>, limits: &Limits) -> Result<Self, Error> {
        check_size(&response, limits)?;
        let reply = Self::new(response, None, limits.of_body(), KnownSecrets::default());
        if reply.status != StatusCode::OK {
            return Err(Error::Api(Box::new(reply.api_error(reply.status))));
        }
        Ok(reply)
    }

    /// Parses the body: one time, for good.
    ///
    /// The `Content-Type` is not trusted: a body that parses is a page.
    ///
    /// # Errors
    /// [`Error::InvalidResponse`] where the body is not a page, with the place but never the value;
    /// [`Error::Api`] where it is Atlas's error object in spite of the status.
    pub fn into_page(self) -> Result<Page<B>, Error> {
        let decoded = self.decode()?;
        Ok(Page::new(self.body, decoded, self.version))
    }

    /// The body as a page, or why it is none.
    pub(crate) fn decode(&self) -> Result<Decoded, Error> {
        let decoded = Decoded::read(self.body.as_ref(), self.limits);
        if let Some(status) = failed_in(&decoded, self.body.as_ref(), self.limits) {
            return Err(Error::Api(Box::new(self.api_error(status))));
        }
        let decoded = decoded.map_err(|error| self.explain(error))?;
        if decoded.keys.is_none() {
            return Err(Error::InvalidResponse(InvalidResponse {
                endpoint: Endpoint::ModelKeys,
                kind: InvalidResponseKind::Shape,
                place: None,
                path: String::from("results"),
                problem: "a page has an array of results",
            }));
        }
        Ok(decoded)
    }

    /// Whether a link says that there is a page after this one (`rel` is `next`). For those who leave the
    /// body undecoded; [`Page::has_next`] is the one for those who do not.
    ///
    /// Reads no more of the body than it takes to tell, which with Atlas's order of fields is its
    /// beginning. In a body that is not a page, no link says so.
    #[must_use]
    pub fn has_next(&self) -> bool {
        skim::says_next(self.body.as_ref())
    }

    /// What a listing needs to know; reads no more of the body than necessary.
    pub(crate) fn skim(&self) -> Option<Skimmed> {
        skim::skim(self.body.as_ref())
    }

    /// What is compressed in a way that nobody asked for is no JSON, which is not the whole truth.
    fn explain(&self, error: Error) -> Error {
        let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        let mut encodings = self.headers.get_all(CONTENT_ENCODING).iter();
        match error {
            Error::InvalidResponse(InvalidResponse {
                endpoint,
                kind: InvalidResponseKind::Utf8 | InvalidResponseKind::Json,
                ..
            }) if !encodings.all(identity) => Error::InvalidResponse(InvalidResponse {
                endpoint,
                kind: InvalidResponseKind::Encoding,
                place: None,
                path: String::new(),
                problem: "it was not decompressed (see its Content-Encoding)",
            }),
            error => error,
        }
    }

    fn api_error(&self, status: StatusCode) -> ApiError {
        ApiError::read(
            status,
            Endpoint::ModelKeys,
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

/// The status of an error that came as a page: what its envelope says, else its `error`. (A page
/// may grow an `errorCode`; that alone says nothing beside results.)
fn error_status(decoded: &Decoded) -> Option<StatusCode> {
    [decoded.status, decoded.error]
        .into_iter()
        .flatten()
        .find_map(|number| failed_status(u64::try_from(number).ok()?))
}

/// The status of the error that a body is, in whichever shape: a page's, or an error object's, which
/// may have any shape at all, or be under `content`.
fn failed_in(
    decoded: &Result<Decoded, Error>,
    body: &[u8],
    limits: BodyLimits,
) -> Option<StatusCode> {
    let said = decoded.as_ref().ok().and_then(error_status);
    let is_page = decoded.as_ref().is_ok_and(|decoded| decoded.keys.is_some());
    if said.is_some() || is_page {
        return said;
    }
    status_in(body, limits)
}

/// The status that an enveloped body says, where it is an error's.
pub(crate) fn enveloped_status(body: &[u8], limits: BodyLimits) -> Option<StatusCode> {
    failed_in(&Decoded::read(body, limits), body, limits)
}

pub(crate) fn rate_limit(headers: &HeaderMap) -> RateLimit {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    RateLimit {
        limit: number("ratelimit-limit"),
        remaining: number("ratelimit-remaining"),
    }
}

/// An HTTP date as Atlas writes it, or a Unix time after `@` (RFC 9745 §2.1).
fn date(headers: &HeaderMap, name: &str) -> Option<UnixTime> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let seconds = match text.strip_prefix('@') {
        Some(seconds) => seconds.parse().ok()?,
        None => parse_http_date(text)?,
    };
    Some(UnixTime::from_seconds(seconds))
}

/// Bounds on a response that hold whatever the transport did.
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
        // Its status counts, whatever its body; of that, no more is decoded than `error_body_bytes`.
        return Ok(());
    }
    // What is promised counts, too: a transport need not read what will be refused.
    let promised = headers.get(CONTENT_LENGTH).and_then(|length| {
        let length: u64 = length.to_str().ok()?.trim().parse().ok()?;
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    });
    let length = response.body().as_ref().len();
    let length = length.max(promised.unwrap_or(0));
    bound("bytes of body", length, limits.body_bytes)
}

impl<B> Reply<B> {
    pub(crate) fn new(
        response: Response<B>,
        asked: Option<ApiVersion>,
        limits: BodyLimits,
        secrets: KnownSecrets,
    ) -> Self {
        let (head, body) = response.into_parts();
        let version = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(ApiVersion::from_content_type)
            .or(asked);
        Self {
            status: head.status,
            headers: head.headers,
            body,
            version,
            limits,
            secrets,
        }
    }

    /// The status, 200.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers, as received.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The version of the resource that answered: what the `Content-Type` says, else what was
    /// asked for, where that is known.
    #[must_use]
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }

    /// What the headers say about the rate limit.
    #[must_use]
    pub fn rate_limit(&self) -> RateLimit {
        rate_limit(&self.headers)
    }

    /// Since when, or from when on, the version that answered is deprecated (`Deprecation`).
    #[must_use]
    pub fn deprecation(&self) -> Option<UnixTime> {
        date(&self.headers, "deprecation")
    }

    /// When the version that answered ends (`Sunset`, RFC 8594).
    #[must_use]
    pub fn sunset(&self) -> Option<UnixTime> {
        date(&self.headers, "sunset")
    }

    /// What of Atlas answered (`X-MongoDB-Service-Version`).
    #[must_use]
    pub fn service_version(&self) -> Option<&str> {
        self.headers.get("x-mongodb-service-version")?.to_str().ok()
    }

    /// How long Atlas asks to wait before the next request, where it says so in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        crate::retry::retry_after(&self.headers, None)
    }

    /// Changes the body's type.
    #[must_use]
    pub fn map_body<C>(self, change: impl FnOnce(B) -> C) -> Reply<C> {
        Reply {
            status: self.status,
            headers: self.headers,
            body: change(self.body),
            version: self.version,
            limits: self.limits,
            secrets: self.secrets,
        }
    }

    /// The body, as received.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The body, as received.
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

    fn sorted(status: u16, length: Option<&str>, body: usize) -> Result<(), Error> {
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header(CONTENT_LENGTH, length);
        }
        let body: Vec<u8> = vec![b' '; body];
        Reply::from_response(response.body(body).unwrap()).map(|_| ())
    }

    #[test]
    fn a_page_beyond_the_limit_is_refused_by_its_length_or_its_promise() {
        let limit = Limits::default().body_bytes;
        for (length, body) in [
            (None, limit + 1),
            (Some(limit + 1), 0),
            (Some(usize::MAX), 0),
        ] {
            let length = length.map(|n| n.to_string());
            let refused = sorted(200, length.as_deref(), body);
            let Err(Error::Limit { what, limit: of }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((what, of), ("bytes of body", 16 << 20));
        }
        for length in [None, Some("16777216"), Some("-1"), Some("many")] {
            assert!(sorted(200, length, 3).is_ok(), "{length:?}");
        }
        assert!(sorted(200, None, limit).is_ok());
    }

    #[test]
    fn the_status_of_an_error_counts_whatever_its_body() {
        let limit = Limits::default().body_bytes;
        for (length, body) in [(None, limit + 1), (Some("18446744073709551615"), 0)] {
            for status in [500, 404, 206] {
                let error = sorted(status, length, body).unwrap_err();
                assert_eq!(error.status().unwrap().as_u16(), status);
            }
        }
    }

    #[test]
    fn a_success_other_than_200_is_an_error() {
        for status in [201, 202, 203, 204, 206, 226, 299] {
            let error = sorted(status, None, 0).unwrap_err();
            assert!(matches!(error, Error::Api(_)), "{error:?}");
            assert!(!error.is_retryable());
            let shown = error.to_string();
            assert!(shown.contains("only 200 has an answer"), "{shown}");
        }
    }
}
