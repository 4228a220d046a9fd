//! A simple parser for RFC 9112 that splits the complete stream. It is as strict as the core documents, and limits
//! only the number of interim responses and the length of an error's body.

use atlas_model_keys_core::Limits;
use http::Method;

/// A response, without its fields.
#[derive(Debug)]
pub(crate) struct GrammarResponse {
    pub(crate) status: u16,
    /// The length of the response in the stream.
    pub(crate) end: usize,
    pub(crate) body: Vec<u8>,
    /// Whether the end of the stream ends the body.
    pub(crate) ends_with_stream: bool,
    /// Whether the body was truncated at the limit for errors.
    pub(crate) is_truncated: bool,
}

/// Returns the first response of a stream, or `None` if it is invalid or incomplete.
pub(crate) fn read(method: &Method, limits: &Limits, stream: &[u8]) -> Option<GrammarResponse> {
    let (minor, status, fields, end) = last_head(stream)?;
    let most = match status {
        200 => usize::MAX,
        _ => limits.body_bytes.min(limits.error_body_bytes + 1),
    };
    message(method, stream, minor, status, &fields, end, most)
}

/// Returns the status of the first response of a stream.
pub(crate) fn status(stream: &[u8]) -> Option<u16> {
    last_head(stream).map(|(_, status, ..)| status)
}

/// Returns the first head that is not that of an interim response.
fn last_head(stream: &[u8]) -> Option<(u8, u16, Fields, usize)> {
    let mut at = 0;
    for _ in 0..=16 {
        let head = head(stream, at)?;
        match head.1 {
            101 => return None,
            100..200 => at = head.3,
            _ => return Some(head),
        }
    }
    None
}

type Fields = Vec<(String, Vec<u8>)>;

/// Parses the head that begins at an index. Returns version, status, fields, and the index of its end.
fn head(stream: &[u8], at: usize) -> Option<(u8, u16, Fields, usize)> {
    let rest = &stream[at..];
    let length = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = lines(&rest[..length])?.into_iter();
    let (minor, status) = status_line(lines.next()?)?;
    let mut fields: Fields = Vec::new();
    for line in lines {
        if let [b' ' | b'\t', ..] = line {
            // A folded line continues a value (§5.2).
            let (_, value) = fields.last_mut()?;
            let more = line.trim_ascii();
            if !value.is_empty() && !more.is_empty() {
                value.push(b' ');
            }
            value.extend(more);
        } else {
            fields.push(field(line)?);
        }
    }
    Some((minor, status, fields, at + length + 4))
}

/// Splits a section at CR LF. Returns `None` if it contains a control character other than HTAB.
fn lines(section: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = section;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    (!lines.iter().any(|line| line.iter().any(is_control))).then_some(lines)
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
        rest @ ..,
    ] = rest
    else {
        return None;
    };
    let digits = [*a, *b, *c];
    let is_status = digits.iter().all(u8::is_ascii_digit) && matches!(rest, [] | [b' ', ..]);
    let status = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    is_status.then_some((minor - b'0', status))
}

/// Parses a field: a token, directly followed by a colon, and a value (§5).
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) {
        return None;
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    Some((name, value[1..].trim_ascii().to_vec()))
}

/// Determines the body by the rules of §6.3.
fn message(
    method: &Method,
    stream: &[u8],
    minor: u8,
    status: u16,
    fields: &Fields,
    end: usize,
    most: usize,
) -> Option<GrammarResponse> {
    let response = |end: usize, body: &[u8], is_truncated: bool| {
        Some(GrammarResponse {
            status,
            end,
            body: body.to_vec(),
            ends_with_stream: false,
            is_truncated,
        })
    };
    let whole = |end: usize, body: &[u8]| response(end, body, false);
    // A longer body is truncated at the limit, if that many bytes have arrived.
    let truncated = || response(end + most, stream.get(end..)?.get(..most)?, true);
    let tunnels = method == Method::CONNECT && (200..300).contains(&status);
    if tunnels || method == Method::HEAD || matches!(status, 204 | 304) {
        return whole(end, b"");
    }
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_slice()).collect()
    };
    let lengths: Vec<&[u8]> = values("content-length")
        .into_iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    match (
        values("transfer-encoding").as_slice(),
        lengths.split_first(),
    ) {
        ([], None) if stream.len() - end >= most => truncated(),
        ([], None) => Some(GrammarResponse {
            status,
            end: stream.len(),
            body: stream[end..].to_vec(),
            ends_with_stream: true,
            is_truncated: false,
        }),
        ([], Some((length, others))) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            if !is_number || others.iter().any(|other| other != length) {
                return None;
            }
            let length: u64 = std::str::from_utf8(length).ok()?.parse().ok()?;
            if length > most as u64 {
                return truncated();
            }
            let last = end.checked_add(usize::try_from(length).ok()?)?;
            whole(last, stream.get(end..last)?)
        }
        ([coding], None) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            let (last, body, is_truncated) = chunks(stream, end, most)?;
            response(last, &body, is_truncated)
        }
        _ => None,
    }
}

/// Parses the chunks that begin at an index (§7.1). Returns the index of their end, the data, and whether it was
/// truncated.
fn chunks(stream: &[u8], at: usize, most: usize) -> Option<(usize, Vec<u8>, bool)> {
    let (mut at, mut body) = (at, Vec::new());
    loop {
        if body.len() == most {
            return Some((at, body, true));
        }
        let rest = &stream[at..];
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let (line, _) = rest.split_at(end);
        at += end + 2;
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (digits, extensions) = line.split_at(digits);
        let is_extension = |text: &[u8]| {
            let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            text.first() == Some(&b';') && !text.iter().any(is_control)
        };
        // Only spaces and tabs may precede an extension (§7.1.1); `trim` would accept other characters.
        let space = extensions
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let is_valid = (1..=16).contains(&digits.len())
            && (extensions.is_empty() || is_extension(&extensions[space..]));
        if !is_valid {
            return None;
        }
        let size = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let left = most - body.len();
        if size >= left as u64 {
            body.extend(stream.get(at..)?.get(..left)?);
            return Some((at + left, body, true));
        }
        let last = at.checked_add(usize::try_from(size).ok()?)?;
        body.extend(stream.get(at..last)?);
        at = last + 2;
        if stream.get(last..at)? != b"\r\n" {
            return None;
        }
    }
    // Trailers end with an empty line (§7.1.2).
    loop {
        let rest = &stream[at..];
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        at += end + 2;
        if end == 0 {
            return Some((at, body, false));
        }
        let [line] = lines(&rest[..end])?[..] else {
            return None;
        };
        field(line)?;
    }
}
