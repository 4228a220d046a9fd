//! RFC 9112, read plainly: all of the stream at once, by splitting. As strict as the core says that it is, and bounded by
//! nothing but the number of interim responses, and by what is worth reading of an error's body.

use atlas_model_keys_core::Limits;
use http::Method;

/// A response, as far as its framing goes.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) status: u16,
    /// How many bytes of the stream it takes.
    pub(super) end: usize,
    pub(super) body: Vec<u8>,
    /// Whether it ends with the stream.
    pub(super) is_closed: bool,
    /// Whether there may be more of the body, which is not worth reading.
    pub(super) is_cut: bool,
}

/// The first response of a stream; `None` where there is none, or not all of it.
pub(super) fn read(method: &Method, limits: &Limits, stream: &[u8]) -> Option<Plain> {
    let (minor, status, fields, end) = last_head(stream)?;
    let most = match status {
        200 => usize::MAX,
        _ => limits.body_bytes.min(limits.error_body_bytes + 1),
    };
    message(method, stream, minor, status, &fields, end, most)
}

/// The status of the first response of a stream.
pub(super) fn status(stream: &[u8]) -> Option<u16> {
    last_head(stream).map(|(_, status, ..)| status)
}

/// The first head that is not an interim response's.
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

/// A head that begins at a place: version, status, fields, and where it ends.
fn head(stream: &[u8], at: usize) -> Option<(u8, u16, Fields, usize)> {
    let rest = &stream[at..];
    let length = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut lines = lines(&rest[..length])?.into_iter();
    let (minor, status) = status_line(lines.next()?)?;
    let mut fields: Fields = Vec::new();
    for line in lines {
        if let [b' ' | b'\t', ..] = line {
            // §5.2: a fold continues a value.
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

/// Lines that end in CR LF, without another control character than HTAB.
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

/// §4, with the reason and the space before it optional.
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

/// §5: a token, a colon right behind it, and a value.
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

/// §6.3.
fn message(
    method: &Method,
    stream: &[u8],
    minor: u8,
    status: u16,
    fields: &Fields,
    end: usize,
    most: usize,
) -> Option<Plain> {
    let plain = |end: usize, body: &[u8], is_cut: bool| {
        Some(Plain {
            status,
            end,
            body: body.to_vec(),
            is_closed: false,
            is_cut,
        })
    };
    let whole = |end: usize, body: &[u8]| plain(end, body, false);
    // Of a longer body, as much as is worth reading, if that has arrived.
    let cut = || plain(end + most, stream.get(end..)?.get(..most)?, true);
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
        ([], None) if stream.len() - end >= most => cut(),
        ([], None) => Some(Plain {
            status,
            end: stream.len(),
            body: stream[end..].to_vec(),
            is_closed: true,
            is_cut: false,
        }),
        ([], Some((length, others))) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            if !is_number || others.iter().any(|other| other != length) {
                return None;
            }
            let length: u64 = std::str::from_utf8(length).ok()?.parse().ok()?;
            if length > most as u64 {
                return cut();
            }
            let last = end.checked_add(usize::try_from(length).ok()?)?;
            whole(last, stream.get(end..last)?)
        }
        ([coding], None) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            let (last, body, is_cut) = chunks(stream, end, most)?;
            plain(last, &body, is_cut)
        }
        _ => None,
    }
}

/// §7.1: where the chunks that begin at a place end, their data, and whether that is cut.
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
        // §7.1.1: space in front of an extension, and nothing else that `trim` would take.
        let space = extensions
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let fits = (1..=16).contains(&digits.len())
            && (extensions.is_empty() || is_extension(&extensions[space..]));
        if !fits {
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
    // §7.1.2: trailers, and an empty line.
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
