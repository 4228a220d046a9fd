use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use http::{Method, Response, StatusCode, Version};
use memchr::memchr2;

use super::head::{self, Fault, Length};
use super::{WireError, WireErrorKind as Kind};
use crate::Limits;

/// Interim (1xx) responses that are skipped before the final one. 16: a server has use for one or
/// two (100, 103); one that sends more and more of them keeps a client waiting for ever.
pub const MAX_INTERIM: u32 = 16;

/// Bytes of all chunk extensions of one body, from behind each size to its CR. 16 KiB: nobody sends
/// any, and without a bound a body of one-byte chunks could cost a thousand times its size.
pub const CHUNK_EXTENSION_BYTES: usize = 16 << 10;

/// Reads one response from the bytes of a stream, however they are cut.
///
/// Not `Clone`, and consumed by each call: what it gives back is the only way to go on, so there is
/// no decoder that has failed or is done. See [`wire`](crate::wire) for a picture and an example.
#[must_use]
pub struct Decoder(Box<Machine>);

/// What came of pushing bytes.
#[must_use]
#[allow(clippy::exhaustive_enums)] // There is no third.
pub enum Progress<'a> {
    /// They are taken, and the response is not at its end.
    More(Decoder),
    /// The response is whole.
    Done {
        /// It.
        message: Message,
        /// The end of what was pushed, behind the response: the start of the next one, where
        /// requests are pipelined; else a reason not to use the connection again.
        leftover: &'a [u8],
    },
}

/// A whole response.
///
/// `Debug` shows the length of the body, not the body.
#[non_exhaustive]
pub struct Message {
    /// Its head as sent, with folded values joined, and its body without chunks. Header values share the bytes
    /// of the head: whoever keeps one keeps all of them.
    pub response: Response<Vec<u8>>,
    /// Whether the connection can be used again (RFC 9112 §9.3): the end of the response is beyond
    /// doubt, and the server does not want to close. A client that sent `Connection: close` itself
    /// must not.
    pub keep_alive: bool,
    /// How many bytes of the stream it took, interim responses and trailers included.
    pub consumed: u64,
}

impl Decoder {
    /// A decoder for the response to a request of this method (RFC 9112 §6.3: one to HEAD has no
    /// body, whatever its head says).
    pub fn new(method: &Method, limits: &Limits) -> Self {
        Self(Box::new(Machine {
            asked: match *method {
                Method::HEAD => Asked::Head,
                Method::CONNECT => Asked::Connect,
                _ => Asked::Other,
            },
            body_bytes: limits.body_bytes,
            error_body_bytes: limits.error_body_bytes,
            is_cut: false,
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
            phase: Phase::Head(Line::Begin(0)),
            #[cfg(test)]
            work: 0,
        }))
    }

    /// Takes the bytes that have arrived next. None at all change nothing; that the stream
    /// has ended is said by [`close`](Decoder::close).
    ///
    /// # Errors
    /// What arrived is not a response, or is beyond a limit: the connection is of no more use.
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

    /// Takes the end of the stream. Only a response that is neither chunked nor has a length ends so.
    ///
    /// Over TLS, call it only where the peer said that it ends (`close_notify`): else anybody
    /// on the way could cut such a response short (RFC 9112 §9.8).
    ///
    /// # Errors
    /// [`Truncated`](super::WireErrorKind::Truncated) where the response is not at its end.
    pub fn close(self) -> Result<Message, WireError> {
        match self.0.phase {
            Phase::UntilClose => Ok(self.0.into_message()),
            _ => Err(self.0.error(Kind::Truncated)),
        }
    }
}

struct Machine {
    asked: Asked,
    /// Of a body: what it may take, or what is taken of it.
    body_bytes: usize,
    error_body_bytes: usize,
    /// Whether a longer body is cut instead of refused.
    is_cut: bool,
    /// What heads and trailers may still take.
    bytes_left: usize,
    fields_left: usize,
    extensions_left: usize,
    interim: u32,
    /// Bytes of the stream that are taken.
    offset: u64,
    /// The head or the trailer section that is being collected: only a whole one is parsed.
    section: Vec<u8>,
    section_start: u64,
    fields: usize,
    /// Whether any of them is folded.
    folds: bool,
    response: Response<Vec<u8>>,
    keep_alive: bool,
    phase: Phase,
    /// Steps and bytes looked at.
    #[cfg(test)]
    work: u64,
}

#[derive(Clone, Copy)]
enum Asked {
    Head,
    Connect,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head(Line),
    /// So many bytes of body to come.
    Length(usize),
    UntilClose,
    /// Within a chunk's size: its value and its number of digits so far.
    Size(u64, u8),
    /// In the white space behind a size, which an extension must follow (RFC 9112 §7.1.1).
    Space(usize),
    /// Within the extensions of a chunk of this size.
    Extension(usize),
    /// Behind the CR that ends the line of a chunk of this size.
    SizeLf(usize),
    Data(usize),
    DataCr,
    DataLf,
    Trailers(Line),
    Done,
}

/// A place in the lines of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes into [`START`].
    Begin(usize),
    Start,
    Inside,
    /// Behind the CR of a line, of the empty one that ends the section.
    Cr,
    EmptyCr,
    /// The section is at its end.
    End,
}

/// How each response begins. Checked at once: who speaks something else may wait for us.
const START: &[u8] = b"HTTP/1.";

/// RFC 9112 §7.1 sets no end to leading zeros.
const SIZE_DIGITS: u8 = 16;

impl Machine {
    /// Takes bytes until the response is whole (true) or there are no more.
    ///
    /// The result depends on the bytes alone: each phase stops at the same byte with the same
    /// verdict, whether it comes alone or with others.
    fn advance(&mut self, rest: &mut &[u8]) -> Result<bool, WireError> {
        while let Some(&byte) = rest.first() {
            self.count(1);
            self.phase = match self.phase {
                Phase::Head(line) => match self.take_lines(line, rest)? {
                    Line::End => self.on_head()?,
                    line => Phase::Head(line),
                },
                Phase::Trailers(line) => match self.take_lines(line, rest)? {
                    Line::End => {
                        head::check_trailers(&self.section, self.fields)
                            .map_err(|fault| self.fault(fault))?;
                        Phase::Done
                    }
                    line => Phase::Trailers(line),
                },
                Phase::Length(left) => match self.take_body(left, rest) {
                    0 => Phase::Done,
                    left => Phase::Length(left),
                },
                Phase::Data(left) => match self.take_body(left, rest) {
                    _ if self.is_cut && self.room() == 0 => self.cut(),
                    0 => Phase::DataCr,
                    left => Phase::Data(left),
                },
                Phase::UntilClose => {
                    if self.room() == 0 {
                        return Err(self.error(Kind::BodyTooLong));
                    }
                    self.take_body(self.room(), rest);
                    match self.room() {
                        0 if self.is_cut => self.cut(),
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

    /// One byte of what stands around the data of chunks.
    fn chunk_framing(&mut self, phase: Phase, byte: u8) -> Result<Phase, WireError> {
        let next = match (phase, byte) {
            (Phase::Size(value, digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // RFC 9112 §7.1: "recipients MUST anticipate potentially large hexadecimal numerals".
                if digits == SIZE_DIGITS {
                    return Err(self.error(Kind::ChunkSize));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Phase::Size((value << 4) | u64::from(digit), digits + 1)
            }
            (Phase::Size(value, 1..), b'\r') => Phase::SizeLf(self.check_size(value)?),
            (Phase::Size(value, 1..), b';' | b' ' | b'\t') => {
                let size = self.check_size(value)?;
                return self.extension(size, byte);
            }
            // §7.1.1: `*( BWS ";" …)`: space is fine in front of a semicolon and nowhere else.
            (Phase::Space(size), b';' | b' ' | b'\t') => return self.extension(size, byte),
            (Phase::Size(..) | Phase::Space(_), _) => return Err(self.error(Kind::ChunkSize)),
            (Phase::Extension(size), b'\r') => Phase::SizeLf(size),
            // What may stand in a token or a quoted string. A bare LF here is taken for the
            // end of the line by some.
            (Phase::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => {
                return self.extension(size, byte);
            }
            (Phase::Extension(_), _) => return Err(self.error(Kind::ChunkExtension)),
            (Phase::SizeLf(0), b'\n') => {
                self.begin_section();
                Phase::Trailers(Line::Start)
            }
            (Phase::SizeLf(size), b'\n') => Phase::Data(size),
            (Phase::SizeLf(_), _) => return Err(self.error(Kind::LineEnd)),
            (Phase::DataCr, b'\r') => Phase::DataLf,
            (Phase::DataLf, b'\n') => Phase::Size(0, 0),
            // `DataCr` and `DataLf`; the other phases do not come here.
            _ => return Err(self.error(Kind::ChunkEnd)),
        };
        Ok(next)
    }

    /// One byte behind a chunk's size and before its CR.
    fn extension(&mut self, size: usize, byte: u8) -> Result<Phase, WireError> {
        let Some(left) = self.extensions_left.checked_sub(1) else {
            return Err(self.error(Kind::ExtensionsTooLong));
        };
        self.extensions_left = left;
        Ok(match (self.phase, byte) {
            (Phase::Size(..) | Phase::Space(_), b' ' | b'\t') => Phase::Space(size),
            _ => Phase::Extension(size),
        })
    }

    /// A chunk that would go beyond the limit is refused before any of it arrives.
    fn check_size(&self, size: u64) -> Result<usize, WireError> {
        let room = self.room();
        match usize::try_from(size) {
            Ok(size) if size <= room => Ok(size),
            _ if self.is_cut => Ok(room),
            _ => Err(self.error(Kind::BodyTooLong)),
        }
    }

    /// How many bytes of body may still come.
    fn room(&self) -> usize {
        self.body_bytes.saturating_sub(self.response.body().len())
    }

    /// Enough of the body is there. What follows is no response.
    fn cut(&mut self) -> Phase {
        self.keep_alive = false;
        Phase::Done
    }

    fn begin_section(&mut self) {
        self.section.clear();
        self.fields = 0;
        self.folds = false;
    }

    /// Takes lines of a head or of trailers, up to and with the empty one.
    fn take_lines(&mut self, line: Line, rest: &mut &[u8]) -> Result<Line, WireError> {
        let mut line = line;
        if self.section.is_empty() {
            self.section_start = self.offset;
        }
        // What fits into the limit; behind it, there is an error.
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
                (Line::Begin(at), _) => {
                    // RFC 9112 §2.2 lets servers, not clients, skip empty lines here.
                    if START.get(at) != Some(&byte) {
                        return error(Kind::NotHttp, 0);
                    }
                    match at + 1 {
                        at if at == START.len() => Line::Inside,
                        at => Line::Begin(at),
                    }
                }
                (Line::Start, b'\r') => Line::EmptyCr,
                (Line::Inside, b'\r') => Line::Cr,
                (Line::Cr, b'\n') => Line::Start,
                (Line::EmptyCr, b'\n') => Line::End,
                // RFC 9112 §2.2: a bare CR is invalid, a bare LF "MAY" be recognized: not here.
                (_, b'\n') => return error(Kind::LineEnd, 0),
                (Line::Cr | Line::EmptyCr, _) => return error(Kind::LineEnd, 1),
                (line @ (Line::Start | Line::Inside | Line::End), byte) => {
                    if line == Line::Start && !self.begin_line(byte) {
                        return error(Kind::TooManyFields, 0);
                    }
                    // The rest of the line, with its end if that is there.
                    let inside = memchr2(b'\r', b'\n', after).unwrap_or(after.len());
                    self.count(inside);
                    left = after.get(inside..).unwrap_or_default();
                    match left.strip_prefix(b"\r\n") {
                        Some(after) => {
                            left = after;
                            Line::Start
                        }
                        None => Line::Inside,
                    }
                }
            };
            if line == Line::End {
                break;
            }
        }
        let taken = self.take(room.len() - left.len(), rest);
        self.bytes_left = self.bytes_left.saturating_sub(taken.len());
        self.section.extend_from_slice(taken);
        if line != Line::End && !rest.is_empty() {
            return Err(self.error(Kind::HeadTooLong));
        }
        Ok(line)
    }

    /// Counts a line, which begins with this byte, as a field or a fold. False where it is one field too many.
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

    /// The head is whole: what comes next?
    fn on_head(&mut self) -> Result<Phase, WireError> {
        self.count(self.section.len());
        let section = core::mem::take(&mut self.section);
        let head = head::parse(&section.into(), self.fields, self.folds)
            .map_err(|fault| self.fault(fault))?;
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.fault((Kind::Upgrade, head::STATUS)));
        }
        if status.is_informational() {
            if self.interim == MAX_INTERIM {
                return Err(self.fault((Kind::TooManyInterim, head::STATUS)));
            }
            self.interim += 1;
            self.begin_section();
            return Ok(Phase::Head(Line::Begin(0)));
        }
        if status != StatusCode::OK {
            // Its status counts, whatever its body: of that, only so much is worth reading.
            let most = self.error_body_bytes.saturating_add(1);
            self.body_bytes = self.body_bytes.min(most);
            self.is_cut = true;
        }
        // RFC 9112 §6.3, in its order.
        let tunnels = matches!(self.asked, Asked::Connect) && status.is_success();
        let (phase, keep_alive) = match status {
            // Item 2.
            _ if tunnels => (Phase::Done, false),
            // Item 1: "regardless of the header fields present". Where these say that there is a body
            // (RFC 9110 §8.6 and RFC 9112 §6.1 forbid it) one may well follow, so that it would be
            // taken for the next response.
            StatusCode::NO_CONTENT => {
                let clear = matches!(head.length, Ok(Length::Unsaid | Length::Bytes(0, _)));
                (Phase::Done, clear)
            }
            _ if matches!(self.asked, Asked::Head) || status == StatusCode::NOT_MODIFIED => {
                (Phase::Done, head.length.is_ok())
            }
            _ => match head.length.map_err(|fault| self.fault(fault))? {
                Length::Bytes(0, _) => (Phase::Done, true),
                // Of its body, nothing is worth reading.
                _ if self.is_cut && self.body_bytes == 0 => (Phase::Done, false),
                Length::Bytes(n, at) => match usize::try_from(n) {
                    Ok(n) if n <= self.body_bytes => (Phase::Length(n), true),
                    _ if self.is_cut => (Phase::Length(self.body_bytes), false),
                    _ => return Err(self.fault((Kind::BodyTooLong, at))),
                },
                Length::Chunked => (Phase::Size(0, 0), true),
                Length::Unsaid => (Phase::UntilClose, false),
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

    /// Takes up to `left` bytes of body; how many of these are still to come.
    fn take_body(&mut self, left: usize, rest: &mut &[u8]) -> usize {
        let taken = self.take(left, rest);
        self.response.body_mut().extend_from_slice(taken);
        left - taken.len()
    }

    /// Takes up to `n` bytes.
    fn take<'a>(&mut self, n: usize, rest: &mut &'a [u8]) -> &'a [u8] {
        let (taken, left) = rest.split_at_checked(n).unwrap_or((rest, &[]));
        *rest = left;
        self.offset += taken.len() as u64;
        taken
    }

    /// For the test that work is linear.
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

    /// At the byte that is next.
    fn error(&self, kind: Kind) -> WireError {
        WireError::new(kind, self.offset)
    }

    /// At a byte of the section.
    fn fault(&self, (kind, at): Fault) -> WireError {
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

    /// What it costs to read a stream byte by byte: steps and bytes looked at.
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
    fn memory_follows_what_arrived_not_what_is_promised() {
        for head in [
            "Content-Length: 16777216\r\n\r\n",
            "Transfer-Encoding: chunked\r\n\r\n1000000\r\n",
        ] {
            let stream = format!("HTTP/1.1 200 OK\r\n{head}{}", "x".repeat(1000));
            let decoder = Decoder::new(&Method::GET, &Limits::default());
            let Ok(Progress::More(decoder)) = decoder.push(stream.as_bytes()) else {
                panic!("there is more to come");
            };
            let machine = &*decoder.0;
            assert!(machine.response.body().capacity() <= 2048);
            assert!(machine.section.capacity() <= 1024);
        }
    }
}
