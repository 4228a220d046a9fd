//! A simple parser for RFC 9112 that reads the complete stream, as strict as the core documents and with its limits.

use atlas_model_keys_core::Limits;
use atlas_model_keys_core::wire::{CHUNK_EXTENSION_BYTES, MAX_INTERIM, WireErrorKind as Kind};
use http::Method;

/// The first response of a stream.
#[derive(Debug)]
pub(crate) struct GrammarResponse {
    /// The digit after `HTTP/1.`.
    pub(crate) minor: u8,
    pub(crate) status: u16,
    /// The fields of the head, in order: lower-case names and unfolded values.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// The length of the response in the stream.
    pub(crate) end: usize,
    /// Whether the connection can be used again.
    pub(crate) keep_alive: bool,
    /// Whether the end of the stream ends the body.
    pub(crate) ends_with_stream: bool,
    /// Whether the body was truncated at the limit for errors.
    pub(crate) is_truncated: bool,
    /// The bytes of all heads and trailers, and their fields.
    pub(crate) head_bytes: usize,
    pub(crate) head_fields: usize,
}

/// The rule that a stream violates, and where, if the position follows from the rule.
pub(crate) type Violation = (Kind, Option<usize>);

/// Returns the first response of a stream, or the rule that it violates.
pub(crate) fn read(
    method: &Method,
    limits: &Limits,
    stream: &[u8],
) -> Result<GrammarResponse, Violation> {
    let mut reader = Reader {
        stream,
        bytes_left: limits.head_bytes,
        fields_left: limits.headers,
        at: 0,
    };
    let mut interim = 0;
    let head = loop {
        let begin = reader.at;
        let head = reader.head()?;
        let status_at = Some(begin + "HTTP/1.1 ".len());
        match head.status {
            101 => return Err((Kind::Upgrade, status_at)),
            100..200 if interim == MAX_INTERIM => return Err((Kind::TooManyInterim, status_at)),
            100..200 => interim += 1,
            _ => break head,
        }
    };
    // Only a 200 must be complete.
    let (most, may_truncate) = match head.status {
        200 => (limits.body_bytes, false),
        _ => (
            limits
                .body_bytes
                .min(limits.error_body_bytes.saturating_add(1)),
            true,
        ),
    };
    let body = reader.body(method, &head, most, may_truncate)?;
    Ok(GrammarResponse {
        minor: head.minor,
        status: head.status,
        body: body.bytes,
        end: reader.at,
        keep_alive: body.has_certain_end && !body.is_truncated && head.persists(),
        ends_with_stream: body.ends_with_stream,
        is_truncated: body.is_truncated,
        head_bytes: limits.head_bytes - reader.bytes_left,
        head_fields: limits.headers - reader.fields_left,
        fields: head.fields.into_iter().map(|f| (f.name, f.value)).collect(),
    })
}

struct Field {
    name: String,
    value: Vec<u8>,
    /// The position of the value in the stream.
    at: usize,
}

struct Head {
    minor: u8,
    status: u16,
    fields: Vec<Field>,
}

impl Head {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|field| field.name == name);
        named.map(|field| field.value.as_slice()).collect()
    }

    /// Returns the elements of all fields with a name, which are lists (RFC 9110 §5.6.1).
    fn elements(&self, name: &str) -> Vec<&[u8]> {
        let values = self.values(name).into_iter();
        let elements = values.flat_map(|value| value.split(|byte| *byte == b','));
        elements.map(<[u8]>::trim_ascii).collect()
    }

    /// Returns whether version and fields let the connection persist (RFC 9112 §9.3).
    fn persists(&self) -> bool {
        let elements = self.elements("connection");
        let has = |option: &[u8]| elements.iter().any(|e| e.eq_ignore_ascii_case(option));
        !has(b"close") && (self.minor == 1 || has(b"keep-alive"))
    }

    /// Returns the framing of the body by RFC 9112 §6.3, items 3 to 8.
    fn framing(&self) -> Result<Framing, Violation> {
        let codings = self.values("transfer-encoding");
        let lengths = self.elements("content-length");
        if !codings.is_empty() {
            return match codings[..] {
                _ if self.minor == 0 => Err((Kind::TransferEncodingVersion, None)),
                _ if !lengths.is_empty() => Err((Kind::TwoLengths, None)),
                [coding] if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
                _ => Err((Kind::TransferEncoding, None)),
            };
        }
        let Some((length, others)) = lengths.split_first() else {
            return Ok(Framing::UntilClose);
        };
        let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        let number = str::from_utf8(length)
            .ok()
            .and_then(|text| text.parse().ok());
        match number {
            Some(number) if is_number && others.iter().all(|other| other == length) => {
                Ok(Framing::Length(number))
            }
            _ => Err((Kind::ContentLength, None)),
        }
    }
}

enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The bytes of a body, and how it ended.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    is_truncated: bool,
    ends_with_stream: bool,
    /// Whether it is certain that the response ends here.
    has_certain_end: bool,
}

struct Reader<'s> {
    stream: &'s [u8],
    /// The number of bytes that heads and trailers may still take.
    bytes_left: usize,
    /// The number of fields that they may still have.
    fields_left: usize,
    at: usize,
}

impl<'s> Reader<'s> {
    fn truncated<T>(&self) -> Result<T, Violation> {
        Err((Kind::Truncated, Some(self.stream.len())))
    }

    /// Takes this many bytes.
    fn take(&mut self, length: usize) -> Result<&'s [u8], Violation> {
        match self.stream[self.at..].get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => self.truncated(),
        }
    }

    /// Takes a head or trailers, byte by byte, and returns the lines with their positions.
    fn section(&mut self, has_status_line: bool) -> Result<Vec<(usize, &'s [u8])>, Violation> {
        const PROTOCOL: &[u8] = b"HTTP/1.";
        let begin = self.at;
        let (mut lines, mut line) = (Vec::new(), begin);
        loop {
            let at = self.at;
            let Some(byte) = self.stream.get(at).copied() else {
                return self.truncated();
            };
            if at - begin == self.bytes_left {
                return Err((Kind::HeadTooLong, Some(at)));
            }
            if has_status_line && at - begin < PROTOCOL.len() {
                if byte != PROTOCOL[at - begin] {
                    return Err((Kind::NotHttp, Some(at)));
                }
            } else {
                let is_after_cr = at > line && self.stream[at - 1] == b'\r';
                match byte {
                    b'\n' if is_after_cr && at == line + 1 => {
                        self.at += 1;
                        self.bytes_left -= self.at - begin;
                        return Ok(lines);
                    }
                    b'\n' if is_after_cr => {
                        lines.push((line, &self.stream[line..at - 1]));
                        line = at + 1;
                    }
                    b'\n' => return Err((Kind::LineEnd, Some(at))),
                    _ if is_after_cr => return Err((Kind::LineEnd, Some(at - 1))),
                    b' ' | b'\t' | b'\r' => {}
                    // A line that begins otherwise is a field.
                    _ if at == line => match self.fields_left.checked_sub(1) {
                        Some(left) => self.fields_left = left,
                        None => return Err((Kind::TooManyFields, Some(at))),
                    },
                    _ => {}
                }
            }
            self.at += 1;
        }
    }

    fn head(&mut self) -> Result<Head, Violation> {
        let mut lines = self.section(true)?.into_iter();
        let status_line = lines.next().and_then(|(_, line)| status_line(line));
        let (minor, status) = status_line.ok_or((Kind::StatusLine, None))?;
        let mut fields: Vec<Field> = Vec::new();
        for (at, line) in lines {
            match (line, fields.last_mut()) {
                // A folded line continues a value (§5.2).
                ([b' ' | b'\t', ..], Some(folded)) => {
                    // Also those that ASCII counts as white space, and that are trimmed below.
                    if line.iter().any(is_control) {
                        return Err((Kind::FieldValue, None));
                    }
                    let more = line.trim_ascii();
                    if !folded.value.is_empty() && !more.is_empty() {
                        folded.value.push(b' ');
                    }
                    if folded.value.is_empty() {
                        let spaces = line.len() - line.trim_ascii_start().len();
                        folded.at = at + spaces;
                    }
                    folded.value.extend(more);
                }
                _ => fields.push(field(at, line)?),
            }
        }
        Ok(Head {
            minor,
            status,
            fields,
        })
    }

    /// Takes the body by the rules of §6.3.
    fn body(
        &mut self,
        method: &Method,
        head: &Head,
        most: usize,
        may_truncate: bool,
    ) -> Result<Body, Violation> {
        let whole = |bytes: &[u8], has_certain_end: bool| Body {
            bytes: bytes.to_vec(),
            has_certain_end,
            ..Body::default()
        };
        let truncated = |bytes: &[u8]| Body {
            is_truncated: true,
            ..whole(bytes, false)
        };
        if method == Method::CONNECT && (200..300).contains(&head.status) {
            return Ok(whole(b"", false));
        }
        let framing = head.framing();
        if method == Method::HEAD || matches!(head.status, 204 | 304) {
            // A 204 that announces a body may be followed by one.
            let is_clear = match framing {
                Ok(Framing::UntilClose | Framing::Length(0)) => true,
                Ok(_) => head.status != 204,
                Err(_) => false,
            };
            return Ok(whole(b"", is_clear));
        }
        let framing = framing?;
        if may_truncate && most == 0 && !matches!(framing, Framing::Length(0)) {
            return Ok(truncated(b""));
        }
        match framing {
            Framing::Length(length) if length <= most as u64 => {
                Ok(whole(self.take(length as usize)?, true))
            }
            Framing::Length(_) if may_truncate => Ok(truncated(self.take(most)?)),
            Framing::Length(_) => {
                let mut lengths = head.fields.iter().filter(|f| f.name == "content-length");
                Err((Kind::BodyTooLong, lengths.next().map(|field| field.at)))
            }
            Framing::Chunked => self.chunks(most, may_truncate),
            Framing::UntilClose => match self.stream.len() - self.at {
                left if left >= most && may_truncate => Ok(truncated(self.take(most)?)),
                left if left > most => Err((Kind::BodyTooLong, Some(self.at + most))),
                left => Ok(Body {
                    ends_with_stream: true,
                    ..whole(self.take(left)?, false)
                }),
            },
        }
    }

    /// Takes chunks, with their extensions and trailers (§7.1).
    fn chunks(&mut self, most: usize, may_truncate: bool) -> Result<Body, Violation> {
        let mut body = Body::default();
        let mut extensions_left = CHUNK_EXTENSION_BYTES;
        loop {
            let size = self.chunk_size()?;
            let room = most - body.bytes.len();
            if size > room as u64 && !may_truncate {
                return Err((Kind::BodyTooLong, Some(self.at)));
            }
            self.extensions(&mut extensions_left)?;
            if size == 0 {
                break;
            }
            body.bytes
                .extend(self.take(room.min(usize::try_from(size).unwrap_or(room)))?);
            if may_truncate && body.bytes.len() == most {
                body.is_truncated = true;
                return Ok(body);
            }
            for expected in *b"\r\n" {
                if self.take(1)? != [expected] {
                    return Err((Kind::ChunkEnd, Some(self.at - 1)));
                }
            }
        }
        // Trailers end with an empty line (§7.1.2), and have no folded lines.
        for (at, line) in self.section(false)? {
            field(at, line)?;
        }
        body.has_certain_end = true;
        Ok(body)
    }

    /// Takes the digits of a chunk's size. A CR, a semicolon or white space follows.
    fn chunk_size(&mut self) -> Result<u64, Violation> {
        let mut digits = String::new();
        loop {
            match self.take(1)? {
                [digit] if digit.is_ascii_hexdigit() && digits.len() < 16 => {
                    digits.push(char::from(*digit));
                }
                [b'\r' | b';' | b' ' | b'\t'] if !digits.is_empty() => {
                    self.at -= 1;
                    return Ok(u64::from_str_radix(&digits, 16).expect("1 to 16 digits"));
                }
                _ => return Err((Kind::ChunkSize, Some(self.at - 1))),
            }
        }
    }

    /// Takes the extensions after a chunk's size, and the line end. White space may precede a semicolon (§7.1.1).
    fn extensions(&mut self, left: &mut usize) -> Result<(), Violation> {
        let mut is_inside = false;
        loop {
            let byte = self.take(1)?[0];
            let at = Some(self.at - 1);
            let is_after_space = !is_inside && matches!(self.stream[self.at - 2], b' ' | b'\t');
            match byte {
                b'\r' if !is_after_space => break,
                b';' => is_inside = true,
                b' ' | b'\t' => {}
                _ if !is_inside => return Err((Kind::ChunkSize, at)),
                _ if is_control(&byte) => return Err((Kind::ChunkExtension, at)),
                _ => {}
            }
            *left = left.checked_sub(1).ok_or((Kind::ExtensionsTooLong, at))?;
        }
        match self.take(1)? {
            b"\n" => Ok(()),
            _ => Err((Kind::LineEnd, Some(self.at - 1))),
        }
    }
}

/// Returns whether a byte is a control character other than HTAB.
fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

/// Parses a status line (§4). The reason and the space before it are optional.
fn status_line(line: &[u8]) -> Option<(u8, u16)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [
        minor @ (b'0' | b'1'),
        b' ',
        a @ b'1'..=b'9',
        b,
        c,
        reason @ ..,
    ] = rest
    else {
        return None;
    };
    let digits = [*a, *b, *c];
    let is_valid = digits.iter().all(u8::is_ascii_digit)
        && matches!(reason, [] | [b' ', ..])
        && !reason.iter().any(is_control);
    let status = str::from_utf8(&digits).ok()?.parse().ok()?;
    is_valid.then_some((minor - b'0', status))
}

/// Parses a field: a token, directly followed by a colon, and a value (§5).
fn field(at: usize, line: &[u8]) -> Result<Field, Violation> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = line.iter().position(|byte| !is_token(byte));
    let end = end.filter(|end| *end > 0 && line[*end] == b':');
    let end = end.ok_or((Kind::FieldName, None))?;
    let (name, value) = (&line[..end], &line[end + 1..]);
    if value.iter().any(is_control) {
        return Err((Kind::FieldValue, None));
    }
    Ok(Field {
        name: String::from_utf8(name.to_ascii_lowercase()).expect("a token is ASCII"),
        value: value.trim_ascii().to_vec(),
        at: at + line.len() - value.trim_ascii_start().len(),
    })
}
