//! The error of the decoder: the rule that a response violates, and the position in the stream.

use core::fmt;

use crate::{Failure, FailureKind};

/// A response that is malformed, ambiguous or exceeds a limit. The error names the rule and the position,
/// never the value there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireError {
    kind: WireErrorKind,
    offset: u64,
}

/// The rule that a response violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// The stream ended before the response did. At offset 0 nothing was received: a server may
    /// close an idle connection.
    Truncated,
    /// The response does not begin with `HTTP/1.` (RFC 9112 §4).
    NotHttp,
    /// The status line is malformed: a version other than 1.0 and 1.1, a status outside 100–999,
    /// control characters (RFC 9112 §4).
    StatusLine,
    /// A CR or an LF that is not part of a CR LF (RFC 9112 §2.2).
    LineEnd,
    /// A field's name is empty or not a token, or there is space before its colon (RFC 9112 §5.1).
    FieldName,
    /// A field's value has a control character (RFC 9110 §5.5).
    FieldValue,
    /// The status is 101, although no other protocol was requested (RFC 9110 §7.8).
    Upgrade,
    /// `Content-Length` is not a number, or has different values (RFC 9112 §6.3).
    ContentLength,
    /// `Transfer-Encoding` is not exactly `chunked` (RFC 9112 §6.1).
    TransferEncoding,
    /// An HTTP/1.0 response has `Transfer-Encoding` (RFC 9112 §6.1).
    TransferEncodingVersion,
    /// There are both `Content-Length` and `Transfer-Encoding` (RFC 9112 §6.3).
    TwoLengths,
    /// A chunk's size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk's extension has a control character (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A chunk's data is not followed by CR LF (RFC 9112 §7.1).
    ChunkEnd,
    /// There are more bytes of head than [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLong,
    /// There are more header fields than [`Limits::headers`](crate::Limits::headers).
    TooManyFields,
    /// There are more interim responses than [`MAX_INTERIM`](super::MAX_INTERIM).
    TooManyInterim,
    /// The chunk extensions have more bytes than [`CHUNK_EXTENSION_BYTES`](super::CHUNK_EXTENSION_BYTES).
    ExtensionsTooLong,
    /// The body of a response with status 200 has more bytes, announced or received, than
    /// [`Limits::body_bytes`](crate::Limits::body_bytes).
    BodyTooLong,
}

impl WireError {
    pub(super) fn new(kind: WireErrorKind, offset: u64) -> Self {
        Self { kind, offset }
    }

    /// Returns the rule that the response violates.
    #[must_use]
    pub fn kind(&self) -> WireErrorKind {
        self.kind
    }

    /// Returns the position of the error: the number of bytes before it, counted from the first byte that the
    /// decoder was given.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns whether the response exceeds a limit.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(
            self.kind,
            WireErrorKind::HeadTooLong
                | WireErrorKind::TooManyFields
                | WireErrorKind::TooManyInterim
                | WireErrorKind::ExtensionsTooLong
                | WireErrorKind::BodyTooLong
        )
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, offset } = self;
        if *kind == WireErrorKind::Truncated {
            return match offset {
                0 => f.write_str("the stream ended before a response began"),
                n => write!(f, "the stream ended inside the response, after {n} bytes"),
            };
        }
        let what = match kind {
            WireErrorKind::Truncated => "the stream ended",
            WireErrorKind::NotHttp => "it does not begin with HTTP/1. (RFC 9112 §4)",
            WireErrorKind::StatusLine => "the status line is malformed (RFC 9112 §4)",
            WireErrorKind::LineEnd => "a line does not end in CR LF (RFC 9112 §2.2)",
            WireErrorKind::FieldName => {
                "a field name is not a token directly followed by a colon (RFC 9112 §5.1)"
            }
            WireErrorKind::FieldValue => "a field value has a control character (RFC 9110 §5.5)",
            WireErrorKind::Upgrade => {
                "its status is 101, but no other protocol was requested (RFC 9110 §7.8)"
            }
            WireErrorKind::ContentLength => "Content-Length is not one number (RFC 9112 §6.3)",
            WireErrorKind::TransferEncoding => {
                "Transfer-Encoding is not exactly chunked (RFC 9112 §6.1)"
            }
            WireErrorKind::TransferEncodingVersion => {
                "it is HTTP/1.0, but has Transfer-Encoding (RFC 9112 §6.1)"
            }
            WireErrorKind::TwoLengths => {
                "it has both Content-Length and Transfer-Encoding (RFC 9112 §6.3)"
            }
            WireErrorKind::ChunkSize => {
                "a chunk size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1)"
            }
            WireErrorKind::ChunkExtension => {
                "a chunk extension has a control character (RFC 9112 §7.1.1)"
            }
            WireErrorKind::ChunkEnd => "there is no CR LF after a chunk's data (RFC 9112 §7.1)",
            WireErrorKind::HeadTooLong => "it has more bytes of head than Limits::head_bytes",
            WireErrorKind::TooManyFields => "it has more header fields than Limits::headers",
            WireErrorKind::TooManyInterim => "there are more interim responses than MAX_INTERIM",
            WireErrorKind::ExtensionsTooLong => {
                "its chunk extensions have more bytes than CHUNK_EXTENSION_BYTES"
            }
            WireErrorKind::BodyTooLong => "it has more bytes of body than Limits::body_bytes",
        };
        write!(f, "the response is refused at byte {offset}: {what}")
    }
}

impl core::error::Error for WireError {}

/// Converts the error into a [`Permanent`](FailureKind::Permanent) failure if the response exceeds a limit, because the
/// next response would exceed it, too. Any other error becomes a [`Lost`](FailureKind::Lost) failure.
impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let kind = if error.is_limit() {
            FailureKind::Permanent
        } else {
            FailureKind::Lost
        };
        Self::new(kind, error)
    }
}
