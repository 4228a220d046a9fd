use core::fmt;

use crate::{Failure, FailureKind};

/// What arrived is not a response that can be relied on. Tells what and where, never what stood
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireError {
    kind: WireErrorKind,
    offset: u64,
}

/// In which way it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// The stream ended before the response did. At offset 0 nothing had arrived: a server may
    /// close a connection that rests.
    Truncated,
    /// It does not begin with `HTTP/1.` (RFC 9112 §4).
    NotHttp,
    /// The status line is malformed: a version other than 1.0 and 1.1, a status outside 100–999,
    /// control characters (RFC 9112 §4).
    StatusLine,
    /// A CR or an LF that is not part of a CR LF (RFC 9112 §2.2).
    LineEnd,
    /// A field's name is empty or no token, or there is space before its colon (RFC 9112 §5.1).
    FieldName,
    /// A control character in a field's value (RFC 9110 §5.5).
    FieldValue,
    /// 101 without having been asked for another protocol (RFC 9110 §7.8).
    Upgrade,
    /// `Content-Length` is not a number, or several (RFC 9112 §6.3).
    ContentLength,
    /// `Transfer-Encoding` is not exactly `chunked` (RFC 9112 §6.1).
    TransferEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 response (RFC 9112 §6.1).
    TransferEncodingVersion,
    /// `Content-Length` next to `Transfer-Encoding` (RFC 9112 §6.3).
    TwoLengths,
    /// A chunk's size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1).
    ChunkSize,
    /// A control character in a chunk's extension (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A chunk's data is not followed by CR LF (RFC 9112 §7.1).
    ChunkEnd,
    /// More bytes of head than [`Limits::head_bytes`](crate::Limits::head_bytes).
    HeadTooLong,
    /// More header fields than [`Limits::headers`](crate::Limits::headers).
    TooManyFields,
    /// More interim responses than [`MAX_INTERIM`](super::MAX_INTERIM).
    TooManyInterim,
    /// More chunk extensions than [`CHUNK_EXTENSION_BYTES`](super::CHUNK_EXTENSION_BYTES).
    ExtensionsTooLong,
    /// More bytes of body, promised or arrived, than
    /// [`Limits::body_bytes`](crate::Limits::body_bytes), in a response with status 200.
    BodyTooLong,
}

impl WireError {
    pub(super) fn new(kind: WireErrorKind, offset: u64) -> Self {
        Self { kind, offset }
    }

    /// In which way.
    #[must_use]
    pub fn kind(&self) -> WireErrorKind {
        self.kind
    }

    /// Where: bytes of the stream before the one that is wrong, counted from the first that the
    /// decoder was given.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether nothing is wrong with the response but its size.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        use WireErrorKind as Kind;
        matches!(
            self.kind,
            Kind::HeadTooLong
                | Kind::TooManyFields
                | Kind::TooManyInterim
                | Kind::ExtensionsTooLong
                | Kind::BodyTooLong
        )
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use WireErrorKind as Kind;
        let Self { kind, offset } = self;
        if *kind == Kind::Truncated {
            return match offset {
                0 => f.write_str("the stream ended before a response"),
                n => write!(f, "the stream ended inside the response, after {n} bytes"),
            };
        }
        let what = match kind {
            Kind::Truncated => "the stream ended",
            Kind::NotHttp => "it does not begin as HTTP/1 does (RFC 9112 §4)",
            Kind::StatusLine => "malformed status line (RFC 9112 §4)",
            Kind::LineEnd => "a line does not end in CR LF (RFC 9112 §2.2)",
            Kind::FieldName => {
                "a field name is not a token with a colon right behind (RFC 9112 §5.1)"
            }
            Kind::FieldValue => "a control character in a field value (RFC 9110 §5.5)",
            Kind::Upgrade => "a switch of protocols that nobody asked for (RFC 9110 §7.8)",
            Kind::ContentLength => "Content-Length is not one number (RFC 9112 §6.3)",
            Kind::TransferEncoding => "Transfer-Encoding is not exactly chunked (RFC 9112 §6.1)",
            Kind::TransferEncodingVersion => "Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)",
            Kind::TwoLengths => "both Content-Length and Transfer-Encoding (RFC 9112 §6.3)",
            Kind::ChunkSize => "a chunk size is not 1 to 16 hexadecimal digits (RFC 9112 §7.1)",
            Kind::ChunkExtension => "a control character in a chunk extension (RFC 9112 §7.1.1)",
            Kind::ChunkEnd => "no CR LF after a chunk's data (RFC 9112 §7.1)",
            Kind::HeadTooLong => "more bytes of head than Limits::head_bytes",
            Kind::TooManyFields => "more header fields than Limits::headers",
            Kind::TooManyInterim => "more interim responses than MAX_INTERIM",
            Kind::ExtensionsTooLong => "more chunk extensions than CHUNK_EXTENSION_BYTES",
            Kind::BodyTooLong => "more bytes of body than Limits::body_bytes",
        };
        write!(f, "the response is refused at byte {offset}: {what}")
    }
}

impl core::error::Error for WireError {}

/// [`Permanent`](FailureKind::Permanent) for a response beyond a limit, which would be so again;
/// [`Lost`](FailureKind::Lost) for everything else.
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
