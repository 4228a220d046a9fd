//! How much of a response is read.

use std::fmt;

use atlas_model_keys_core::{Failure, FailureKind, Limits};
use http::StatusCode;

/// Returns how many bytes of a body are worth reading, after decompression.
///
/// `promised` is the response's `Content-Length`. Of a page, one byte more than
/// [`Limits::body_bytes`] is read, so that the core can tell that it is too large; of an error or any other
/// status, one byte more than [`Limits::error_body_bytes`]: its status counts, whatever its body holds. Of a page
/// whose promised length is beyond the limit nothing is read: the core refuses it by its header.
#[must_use]
pub fn body_limit(status: StatusCode, promised: Option<u64>, limits: &Limits) -> usize {
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
    /// The trailer fields after the body.
    Trailers,
}

impl From<TooLarge> for Failure {
    /// It would be so again.
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
            Self::Trailers => {
                f.write_str("the trailers after the body are larger than the limits of a head")
            }
        }
    }
}

impl std::error::Error for TooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_up_to_its_own_limit_and_an_impossible_page_not_at_all() {
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
