//! Reads a response from a stream: finds the end of its head and body, and enforces the limits.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use http::{Method, Response, StatusCode, Version};
use memchr::memchr2;

use super::head::{self, Length, SectionError};
use super::{WireError, WireErrorKind};
use crate::Limits;

/// The largest number of interim (1xx) responses that are skipped before the final one.
///
/// A server needs one or two (100, 103). Without a bound, a server could keep a client waiting without end.
pub const MAX_INTERIM: u32 = 16;

/// The largest number of bytes of all chunk extensions of one body. Each extension is counted from the byte after the
/// chunk's size up to the CR, which is not counted.
///
/// It is 16 KiB, although servers send none in practice. Without a bound, a body of one-byte chunks could make the client
/// read many times its size.
pub const CHUNK_EXTENSION_BYTES: usize = 16 << 10;

/// Reads one response from the bytes of a stream, in pieces of any size.
///
/// It is not `Clone`, and each call consumes it: only a decoder that needs more bytes is returned, so a decoder that
/// failed or finished cannot be used. See [`wire`](crate::wire) for a diagram and an example.
#[must_use]
pub struct Decoder(Box<State>);

/// The result of pushing bytes into a [`Decoder`].
#[must_use]
#[allow(clippy::exhaustive_enums)] // There cannot be a third result.
pub enum Progress<'a> {
    /// All bytes were consumed, and the response needs more.
    More(Decoder),
    /// The response is complete, or its body was truncated; see [`Message`].
    Done {
        /// The response.
        message: Message,
        /// The pushed bytes after the response. They are the start of the next response if
        /// requests are pipelined; otherwise do not use the connection again.
        leftover: &'a [u8],
    },
}

/// A response that has been read to its end, or as far as the limits allow.
///
/// With status 200 its body is complete. Any other body is truncated after
/// [`Limits::error_body_bytes`](crate::Limits::error_body_bytes) + 1 bytes: then the connection cannot be used again.
///
/// `Debug` shows the length of the body, not the body.
#[non_exhaustive]
pub struct Message {
    /// The response: its head as sent, with folded values joined, and its body without chunk framing. All header values
    /// share the bytes of the head, so keeping one value keeps the whole head in memory.
    pub response: Response<Vec<u8>>,
    /// Whether the connection can be used again (RFC 9112 §9.3): the end of the response is
    /// certain, and the server does not want to close the connection. A client that sent `Connection: close` must not use
    /// it again.
    pub keep_alive: bool,
    /// The number of bytes of the stream that the response took, including interim responses and trailers.
    pub consumed: u64,
}

impl Decoder {
    /// Creates a decoder for the response to a request with this method. The method matters: a response to HEAD has no
    /// body, whatever its head says (RFC 9112 §6.3).
    pub fn new(method: &Method, limits: &Limits) -> Self {
        Self(Box::new(State {
            method: RequestKind::of(method),
            body_bytes: limits.body_bytes,
            error_body_bytes: limits.error_body_bytes,
            may_truncate: false,
            bytes_left: limits.head_bytes,
            fields_left: limits.headers,
            extensions_left: CHUNK_EXTENSION_BYTES,
            interim: 0,
            offset: 0,
            section: Vec::new(),
            section_start: 0,
            fields: 0,
            folds: false,
            response: Response::default(),
            keep_alive: false,
            phase: Phase::Head(LinePosition::Protocol(0)),
            #[cfg(test)]
            work: 0,
        }))
    }

    /// Takes the next bytes of the stream. An empty slice changes nothing; call
    /// [`close`](Decoder::close) at the end of the stream.
    ///
    /// # Errors
    /// Returns [`WireError`] if the bytes are not a valid response or exceed a limit. Do not use the connection again.
    pub fn push(mut self, bytes: &[u8]) -> Result<Progress<'_>, WireError> {
        let mut rest = bytes;
        if self.0.advance(&mut rest)? {
            return Ok(Progress::Done {
                message: self.0.into_message(),
                leftover: rest,
            });
        }
        Ok(Progress::More(self))
    }

    /// Takes the end of the stream, which completes a response that is not chunked and has no `Content-Length`.
    ///
    /// Over TLS, call it only after the peer announced the end (`close_notify`): otherwise an attacker on
    /// the network could truncate such a response (RFC 9112 §9.8).
    ///
    /// # Errors
    /// Returns [`WireError`] of the kind [`Truncated`](super::WireErrorKind::Truncated) if the response is not complete.
    pub fn close(self) -> Result<Message, WireError> {
        match self.0.phase {
            Phase::UntilClose => Ok(self.0.into_message()),
            _ => Err(self.0.error(WireErrorKind::Truncated)),
        }
    }
}

/// The state of a decoder between two pieces.
struct State {
    method: RequestKind,
    /// The largest number of bytes of the body.
    body_bytes: usize,
    /// [`Limits::error_body_bytes`].
    error_body_bytes: usize,
    /// Whether a body over `body_bytes` is truncated instead of refused: the status is not 200.
    may_truncate: bool,
    /// The number of bytes that heads and trailers may still take.
    bytes_left: usize,
    /// The number of fields that heads and trailers may still have.
    fields_left: usize,
    /// The number of bytes that chunk extensions may still take.
    extensions_left: usize,
    /// The number of interim responses so far.
    interim: u32,
    /// The number of bytes of the stream that were consumed.
    offset: u64,
    /// The bytes of the current section: a head, or the trailers. It is parsed when it is complete.
    section: Vec<u8>,
    /// The position of the section in the stream.
    section_start: u64,
    /// The number of fields in the section.
    fields: usize,
    /// Whether a field in the section is folded.
    folds: bool,
    response: Response<Vec<u8>>,
    keep_alive: bool,
    phase: Phase,
    /// The number of steps and examined bytes.
    #[cfg(test)]
    work: u64,
}

/// The requests that RFC 9112 §6.3 tells apart: the response to the first two may have no body, whatever its head says.
#[derive(Clone, Copy)]
enum RequestKind {
    Head,
    Connect,
    Other,
}

impl RequestKind {
    fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// The part of a response that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head(LinePosition),
    /// In a body of known length, with the number of bytes to come.
    Length(usize),
    /// In a body that ends with the stream.
    UntilClose,
    /// In a chunk's size, with its value and its number of digits so far.
    Size(u64, u8),
    /// In the white space after a size, which an extension must follow (RFC 9112 §7.1.1).
    Space(usize),
    /// In the extensions of a chunk of this size.
    Extension(usize),
    /// After the CR that ends the line of a chunk of this size.
    SizeLf(usize),
    /// In a chunk's data, with the number of bytes to come.
    Data(usize),
    /// After a chunk's data, before the CR.
    DataCr,
    /// After the CR that follows a chunk's data.
    DataLf,
    Trailers(LinePosition),
    Done,
}

/// The position in the lines of a section (a head, or the trailers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinePosition {
    /// In [`PROTOCOL`], after this many of its bytes.
    Protocol(usize),
    /// At the start of a line, except the status line.
    Start,
    /// In a line.
    Inside,
    /// After the CR of a line.
    Cr,
    /// After the CR of the empty line that ends the section.
    EmptyCr,
    /// At the end of the section.
    End,
}

/// The first bytes of each response. They are checked byte by byte, because a peer of another protocol may send a few
/// bytes and then wait.
const PROTOCOL: &[u8] = b"HTTP/1.";

/// The largest number of digits of a chunk's size. RFC 9112 §7.1 does not limit leading zeros.
const SIZE_DIGITS: u8 = 16;

impl State {
    /// Consumes bytes until the response is complete or truncated (`true`), or there are no more bytes (`false`).
    ///
    /// The result does not depend on the size of the pieces: each phase stops at the same byte with the same
    /// result.
    fn advance(&mut self, rest: &mut &[u8]) -> Result<bool, WireError> {
        while let Some(&byte) = rest.first() {
            self.count(1);
            self.phase = match self.phase {
                Phase::Head(line) => match self.take_lines(line, rest)? {
                    LinePosition::End => self.on_head()?,
                    line => Phase::Head(line),
                },
                Phase::Trailers(line) => match self.take_lines(line, rest)? {
                    LinePosition::End => {
                        head::check_trailers(&self.section, self.fields)
                            .map_err(|error| self.section_error(error))?;
                        Phase::Done
                    }
                    line => Phase::Trailers(line),
                },
                Phase::Length(left) => match self.take_body(left, rest) {
                    0 => Phase::Done,
                    left => Phase::Length(left),
                },
                Phase::Data(left) => match self.take_body(left, rest) {
                    _ if self.may_truncate && self.room() == 0 => self.truncate(),
                    0 => Phase::DataCr,
                    left => Phase::Data(left),
                },
                Phase::UntilClose => {
                    if self.room() == 0 {
                        return Err(self.error(WireErrorKind::BodyTooLong));
                    }
                    self.take_body(self.room(), rest);
                    match self.room() {
                        0 if self.may_truncate => self.truncate(),
                        _ => Phase::UntilClose,
                    }
                }
                phase => {
                    let phase = self.chunk_framing(phase, byte)?;
                    self.take(1, rest);
                    phase
                }
            };
            if self.phase == Phase::Done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the next phase after a byte of chunk framing: all bytes of chunks that are not data.
    // Not inlined, like `on_head`: that keeps the loop over the bytes of a body small.
    #[inline(never)]
    fn chunk_framing(&mut self, phase: Phase, byte: u8) -> Result<Phase, WireError> {
        let next = match (phase, byte) {
            (Phase::Size(value, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // RFC 9112 §7.1: "recipients MUST anticipate potentially large hexadecimal numerals".
                if digits == SIZE_DIGITS {
                    return Err(self.error(WireErrorKind::ChunkSize));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Phase::Size((value << 4) | u64::from(digit), digits + 1)
            }
            (Phase::Size(value, 1..), b'\r') => Phase::SizeLf(self.accepted_size(value)?),
            (Phase::Size(value, 1..), b';' | b' ' | b'\t') => {
                let size = self.accepted_size(value)?;
                return self.extension(size, byte);
            }
            // §7.1.1: `*( BWS ";" …)`: space is allowed only before a semicolon.
            (Phase::Space(size), b';' | b' ' | b'\t') => return self.extension(size, byte),
            (Phase::Size(..) | Phase::Space(_), _) => {
                return Err(self.error(WireErrorKind::ChunkSize));
            }
            (Phase::Extension(size), b'\r') => Phase::SizeLf(size),
            // These bytes may be in a token or a quoted string. A bare LF must not: some readers take it for the
            // end of the line.
            (Phase::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                return self.extension(size, byte);
            }
            (Phase::Extension(_), _) => return Err(self.error(WireErrorKind::ChunkExtension)),
            (Phase::SizeLf(0), b'\n') => {
                self.begin_section();
                Phase::Trailers(LinePosition::Start)
            }
            (Phase::SizeLf(size), b'\n') => Phase::Data(size),
            (Phase::SizeLf(_), _) => return Err(self.error(WireErrorKind::LineEnd)),
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => Phase::Size(0, 0),
            // `DataCr` and `DataLf` with another byte. The caller handles the other phases.
            _ => return Err(self.error(WireErrorKind::ChunkEnd)),
        };
        Ok(next)
    }

    /// Counts a byte between a chunk's size and its CR, and returns the next phase.
    fn extension(&mut self, size: usize, byte: u8) -> Result<Phase, WireError> {
        let Some(left) = self.extensions_left.checked_sub(1) else {
            return Err(self.error(WireErrorKind::ExtensionsTooLong));
        };
        self.extensions_left = left;
        Ok(match (self.phase, byte) {
            (Phase::Size(..) | Phase::Space(_), b' ' | b'\t') => Phase::Space(size),
            _ => Phase::Extension(size),
        })
    }

    /// Returns the number of bytes to read of a chunk with this size: all, or as many as fit if the body may be truncated.
    ///
    /// Returns an error if the chunk would exceed the limit. The error is returned at once, before the data arrives.
    fn accepted_size(&self, size: u64) -> Result<usize, WireError> {
        let room = self.room();
        match usize::try_from(size) {
            Ok(size) if size <= room => Ok(size),
            _ if self.may_truncate => Ok(room),
            _ => Err(self.error(WireErrorKind::BodyTooLong)),
        }
    }

    /// Returns the number of bytes that the body may still take.
    fn room(&self) -> usize {
        self.body_bytes.saturating_sub(self.response.body().len())
    }

    /// Truncates the body. The following bytes are not a response, so the connection is not used again.
    fn truncate(&mut self) -> Phase {
        self.keep_alive = false;
        Phase::Done
    }

    fn begin_section(&mut self) {
        self.section.clear();
        self.fields = 0;
        self.folds = false;
    }

    /// Consumes lines of a head or of trailers, up to and including the empty line.
    fn take_lines(
        &mut self,
        line: LinePosition,
        rest: &mut &[u8],
    ) -> Result<LinePosition, WireError> {
        let mut line = line;
        if self.section.is_empty() {
            self.section_start = self.offset;
        }
        // The bytes within the limit. If the section does not end in them, that is an error.
        let (room, _) = rest
            .split_at_checked(self.bytes_left)
            .unwrap_or((rest, &[]));
        let (offset, mut left) = (self.offset, room);
        while let Some((&byte, after)) = left.split_first() {
            self.count(1);
            let error = |kind, before: u64| {
                let taken = (room.len() - left.len()) as u64;
                Err(WireError::new(
                    kind,
                    (offset + taken).saturating_sub(before),
                ))
            };
            left = after;
            line = match (line, byte) {
                (LinePosition::Protocol(at), _) => {
                    // RFC 9112 §2.2 lets servers, not clients, skip empty lines here.
                    if PROTOCOL.get(at) != Some(&byte) {
                        return error(WireErrorKind::NotHttp, 0);
                    }
                    match at + 1 {
                        at if at == PROTOCOL.len() => LinePosition::Inside,
                        at => LinePosition::Protocol(at),
                    }
                }
                (LinePosition::Start, b'\r') => LinePosition::EmptyCr,
                (LinePosition::Inside, b'\r') => LinePosition::Cr,
                (LinePosition::Cr, b'\n') => LinePosition::Start,
                (LinePosition::EmptyCr, b'\n') => LinePosition::End,
                // RFC 9112 §2.2: a bare CR is invalid. A bare LF "MAY" be recognized; this decoder refuses it.
                (_, b'\n') => return error(WireErrorKind::LineEnd, 0),
                (LinePosition::Cr | LinePosition::EmptyCr, _) => {
                    return error(WireErrorKind::LineEnd, 1);
                }
                (line @ (LinePosition::Start | LinePosition::Inside | LinePosition::End), byte) => {
                    if line == LinePosition::Start && !self.begin_line(byte) {
                        return error(WireErrorKind::TooManyFields, 0);
                    }
                    // Skips the rest of the line, and its CR LF if that has arrived.
                    let inside = memchr2(b'\r', b'\n', after).unwrap_or(after.len());
                    self.count(inside);
                    left = after.get(inside..).unwrap_or_default();
                    match left.strip_prefix(b"\r\n") {
                        Some(after) => {
                            left = after;
                            LinePosition::Start
                        }
                        None => LinePosition::Inside,
                    }
                }
            };
            if line == LinePosition::End {
                break;
            }
        }
        let taken = self.take(room.len() - left.len(), rest);
        self.bytes_left = self.bytes_left.saturating_sub(taken.len());
        self.section.extend_from_slice(taken);
        if line != LinePosition::End && !rest.is_empty() {
            return Err(self.error(WireErrorKind::HeadTooLong));
        }
        Ok(line)
    }

    /// Counts a line that begins with this byte as a field or a fold. Returns `false` if there are too many fields.
    fn begin_line(&mut self, byte: u8) -> bool {
        if matches!(byte, b' ' | b'\t') {
            self.folds = true;
            return true;
        }
        let Some(left) = self.fields_left.checked_sub(1) else {
            return false;
        };
        self.fields_left = left;
        self.fields += 1;
        true
    }

    /// Parses the complete head, and returns the next phase.
    #[inline(never)]
    fn on_head(&mut self) -> Result<Phase, WireError> {
        self.count(self.section.len());
        let section = core::mem::take(&mut self.section);
        let head = head::parse(&section.into(), self.fields, self.folds)
            .map_err(|error| self.section_error(error))?;
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.section_error((WireErrorKind::Upgrade, head::STATUS)));
        }
        if status.is_informational() {
            if self.interim == MAX_INTERIM {
                return Err(self.section_error((WireErrorKind::TooManyInterim, head::STATUS)));
            }
            self.interim += 1;
            self.begin_section();
            return Ok(Phase::Head(LinePosition::Protocol(0)));
        }
        if status != StatusCode::OK {
            // The status decides, whatever the size of the body. An error's body is decoded if it has at most
            // `error_body_bytes`. One byte more shows that it is longer, and the rest is not read.
            let most = self.error_body_bytes.saturating_add(1);
            self.body_bytes = self.body_bytes.min(most);
            self.may_truncate = true;
        }
        // The rules of RFC 9112 §6.3. Item 2 comes first, because a 204 to CONNECT opens a tunnel, too.
        let tunnels = matches!(self.method, RequestKind::Connect) && status.is_success();
        let (phase, keep_alive) = match status {
            // Item 2.
            _ if tunnels => (Phase::Done, false),
            // Item 1: "regardless of the header fields present". If they announce a body, which
            // RFC 9110 §8.6 and RFC 9112 §6.1 forbid, a body may follow and would be taken for the next
            // response. Then the connection is not used again.
            StatusCode::NO_CONTENT => {
                let clear = matches!(head.length, Ok(Length::Unknown | Length::Bytes(0, _)));
                (Phase::Done, clear)
            }
            _ if matches!(self.method, RequestKind::Head) || status == StatusCode::NOT_MODIFIED => {
                (Phase::Done, head.length.is_ok())
            }
            // Items 3 to 8.
            _ => match head.length.map_err(|error| self.section_error(error))? {
                Length::Bytes(0, _) => (Phase::Done, true),
                // Nothing of this body is read.
                _ if self.may_truncate && self.body_bytes == 0 => (Phase::Done, false),
                Length::Bytes(n, at) => match usize::try_from(n) {
                    Ok(n) if n <= self.body_bytes => (Phase::Length(n), true),
                    _ if self.may_truncate => (Phase::Length(self.body_bytes), false),
                    _ => return Err(self.section_error((WireErrorKind::BodyTooLong, at))),
                },
                Length::Chunked => (Phase::Size(0, 0), true),
                Length::Unknown => (Phase::UntilClose, false),
            },
        };
        self.keep_alive = keep_alive && head.persists;
        *self.response.status_mut() = status;
        *self.response.headers_mut() = head.headers;
        *self.response.version_mut() = match head.minor {
            0 => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        Ok(phase)
    }

    /// Consumes up to `left` bytes of body, and returns the number of them that are still to come.
    fn take_body(&mut self, left: usize, rest: &mut &[u8]) -> usize {
        let taken = self.take(left, rest);
        self.response.body_mut().extend_from_slice(taken);
        left - taken.len()
    }

    /// Consumes up to `n` bytes, and returns them.
    fn take<'a>(&mut self, n: usize, rest: &mut &'a [u8]) -> &'a [u8] {
        let (taken, left) = rest.split_at_checked(n).unwrap_or((rest, &[]));
        *rest = left;
        self.offset += taken.len() as u64;
        taken
    }

    /// Counts steps for the test that the work is linear. It does nothing in other builds.
    fn count(&mut self, steps: usize) {
        #[cfg(test)]
        {
            self.work += steps as u64;
        }
        #[cfg(not(test))]
        let _ = steps;
    }

    fn into_message(self) -> Message {
        Message {
            response: self.response,
            keep_alive: self.keep_alive,
            consumed: self.offset,
        }
    }

    /// Returns an error at the next byte.
    fn error(&self, kind: WireErrorKind) -> WireError {
        WireError::new(kind, self.offset)
    }

    /// Returns an error at a byte of the section.
    fn section_error(&self, (kind, at): SectionError) -> WireError {
        WireError::new(kind, self.section_start.saturating_add(at as u64))
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("phase", &self.0.phase)
            .field("consumed", &self.0.offset)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::More(decoder) => f.debug_tuple("More").field(decoder).finish(),
            Self::Done { message, leftover } => f
                .debug_struct("Done")
                .field("message", message)
                .field("leftover_bytes", &leftover.len())
                .finish(),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("status", &self.response.status())
            .field("body_bytes", &self.response.body().len())
            .field("keep_alive", &self.keep_alive)
            .field("consumed", &self.consumed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// Returns the number of steps and examined bytes if a stream is read byte by byte.
    fn work(stream: &[u8]) -> u64 {
        let mut decoder = Decoder::new(&Method::GET, &Limits::default());
        for piece in stream.chunks(1) {
            match decoder.push(piece).unwrap() {
                Progress::More(more) => decoder = more,
                Progress::Done { .. } => panic!("the stream has no end"),
            }
        }
        decoder.0.work
    }

    #[test]
    fn work_is_linear_when_every_byte_comes_alone() {
        let heads: [(&str, &str); 2] = [("Content-Length: 9999999\r\n", "x"), ("", "x")];
        let chunked = ("Transfer-Encoding: chunked\r\n", "1;a\r\nx\r\n");
        for (fields, part) in heads.into_iter().chain([chunked]) {
            for (lines, parts) in [(1, 1_000), (1, 100_000), (120, 1_000)] {
                let parts = parts.min(CHUNK_EXTENSION_BYTES / 2);
                let filler = "X-Filler: some value that is not short\r\n".repeat(lines);
                let stream = format!(
                    "HTTP/1.1 200 OK\r\n{filler}{fields}\r\n{}",
                    part.repeat(parts)
                );
                let bytes = stream.len() as u64;
                let work = work(stream.as_bytes());
                assert!(work <= 5 * bytes, "{work} for {bytes}");
            }
        }
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(16);
        assert!(work(interim.as_bytes()) <= 5 * interim.len() as u64);
    }

    #[test]
    fn memory_grows_with_received_not_with_announced_bytes() {
        for head in [
            "Content-Length: 16777216\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n1000000\r\n",
        ] {
            let stream = format!("HTTP/1.1 200 OK\r\n{head}{}", "x".repeat(1000));
            let decoder = Decoder::new(&Method::GET, &Limits::default());
            let Ok(Progress::More(decoder)) = decoder.push(stream.as_bytes()) else {
                panic!("there is more to come");
            };
            let state = &*decoder.0;
            assert!(state.response.body().capacity() <= 2048);
            assert!(state.section.capacity() <= 1024);
        }
    }
}
