//! The limits for reading a response.

use std::fmt;

use atlas_model_keys_core::{Failure, FailureKind, Limits};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

/// Returns the number of bytes to read of a body, after decompression.
///
/// `promised` is the `Content-Length` of the response. A page is read up to one byte beyond [`Limits::body_bytes`], so
/// that the core can tell that it is too large. A response with any other status is read up to one byte beyond
/// [`Limits::error_body_bytes`], because its status matters more than its body. A page whose `Content-Length` is
/// beyond the limit is not read at all: the core refuses it by its header.
pub(crate) fn body_limit(status: StatusCode, promised: Option<u64>, limits: &Limits) -> usize {
    let limit = if status == StatusCode::OK {
        limits.body_bytes
    } else {
        limits.error_body_bytes.min(limits.body_bytes)
    };
    let is_beyond =
        promised.is_some_and(|length| usize::try_from(length).map_or(true, |n| n > limit));
    if is_beyond && status == StatusCode::OK {
        return 0;
    }
    limit.saturating_add(1)
}

/// Tells whether to decompress a body: only if gzip is its single content coding. The clients ask for no other one.
pub(crate) fn is_gzip(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let (Some(coding), None) = (codings.next(), codings.next()) else {
        return false;
    };
    let coding = coding.as_bytes().trim_ascii();
    // RFC 9110 §8.4.1.3.
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

/// A response with both `Content-Length` and `Transfer-Encoding`.
///
/// Two readers can take its end for different places, which is how a response is smuggled into a connection: "this
/// ought to be handled as an error" (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TwoLengths;

impl TwoLengths {
    /// Refuses a response with both fields. Its connection must not be used again.
    ///
    /// # Errors
    /// [`FailureKind::Lost`], because another attempt may take another way through the network.
    pub fn refuse(headers: &HeaderMap) -> Result<(), Failure> {
        if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
            return Err(Failure::new(FailureKind::Lost, Self));
        }
        Ok(())
    }
}

impl fmt::Display for TwoLengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response has both Content-Length and Transfer-Encoding (RFC 9112 §6.3)")
    }
}

impl std::error::Error for TwoLengths {}

/// A response whose head, interim responses or trailers are larger than the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TooLarge {
    /// The head has more bytes than [`Limits::head_bytes`].
    HeadBytes(usize),
    /// The head has more fields than [`Limits::headers`].
    HeaderFields(usize),
    /// The interim responses (1xx) before the response.
    InterimResponses,
    /// The trailer fields after the body, or other bytes around it: extensions of chunks, padding of a compression.
    Trailers,
}

impl From<TooLarge> for Failure {
    /// Returns a permanent failure, because the next response would be as large.
    fn from(error: TooLarge) -> Self {
        Self::new(FailureKind::Permanent, error)
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadBytes(limit) => write!(
                f,
                "the head of the response is larger than the limit of {limit} bytes (Limits::head_bytes)"
            ),
            Self::HeaderFields(limit) => write!(
                f,
                "the response has more header fields than the limit of {limit} (Limits::headers)"
            ),
            Self::InterimResponses => f.write_str(
                "the interim responses (1xx) before the response are larger than the limits of a head",
            ),
            Self::Trailers => f.write_str(
                "what comes with the body and is no part of it (trailers, extensions of chunks, padding of the \
                 compression) is larger than the limits of a head",
            ),
        }
    }
}

impl std::error::Error for TooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_decompressed_only_as_the_single_coding() {
        for (codings, is_decompressed) in [
            (&["gzip"][..], true),
            (&[" X-GZip"], true),
            (&[], false),
            (&["br"], false),
            (&["gzip, gzip"], false),
            (&["gzip", "gzip"], false),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(CONTENT_ENCODING, coding.parse().unwrap());
            }
            assert_eq!(is_gzip(&headers), is_decompressed, "{codings:?}");
        }
    }

    #[test]
    fn two_lengths_are_refused_and_one_is_not() {
        let mut headers = HeaderMap::new();
        assert!(TwoLengths::refuse(&headers).is_ok());
        headers.insert(CONTENT_LENGTH, "5".parse().unwrap());
        assert!(TwoLengths::refuse(&headers).is_ok());
        headers.insert(TRANSFER_ENCODING, "chunked".parse().unwrap());
        let failure = TwoLengths::refuse(&headers).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Lost);
        headers.remove(CONTENT_LENGTH);
        assert!(TwoLengths::refuse(&headers).is_ok());
    }

    #[test]
    fn errors_have_their_own_limit_and_oversized_pages_are_not_read() {
        let limits = Limits::default();
        let (page, error) = (limits.body_bytes, limits.error_body_bytes);
        let promised = |length: usize| Some(u64::try_from(length).unwrap());
        for (status, length, most) in [
            (200, None, page + 1),
            (200, promised(page), page + 1),
            (200, promised(page + 1), 0),
            (500, None, error + 1),
            (500, Some(u64::MAX), error + 1),
            (206, promised(page + 1), error + 1),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                body_limit(status, length, &limits),
                most,
                "{status} {length:?}"
            );
        }
    }
}
