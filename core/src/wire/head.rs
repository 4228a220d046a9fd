//! Parses a complete head: its fields, and how they frame the body.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};

use super::WireErrorKind;

/// The rule that a section (a head, or the trailers) violates, and the position of the error in the section.
pub(super) type SectionError = (WireErrorKind, usize);

/// A parsed head.
pub(super) struct Head {
    /// The digit after `HTTP/1.`.
    pub(super) minor: u8,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The framing of the body. An error matters only if the response can have a body.
    pub(super) length: Result<Length, SectionError>,
    /// Whether version and fields let the connection persist (RFC 9112 §9.3).
    pub(super) persists: bool,
}

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Neither `Content-Length` nor `Transfer-Encoding` is given.
    Unknown,
    /// The value of `Content-Length`, and its position in the section.
    Bytes(u64, usize),
    Chunked,
}

/// Parses a complete head of `fields` fields, from its status line to its empty line. `folds` says whether a field is
/// folded. The values of the fields share the bytes of the section.
pub(super) fn parse(shared: &Bytes, fields: usize, folds: bool) -> Result<Head, SectionError> {
    let section: &[u8] = shared;
    let mut slots = Box::new_uninit_slice(fields);
    let mut response = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default()
        // RFC 9112 §5.2: a user agent must unfold them.
        .allow_obsolete_multiline_headers_in_responses(true)
        .parse_response_with_uninit_headers(&mut response, section, &mut slots);
    match parsed {
        Ok(Status::Complete(n)) if n == section.len() => {}
        _ => return Err(find_error(section, true).unwrap_or((WireErrorKind::StatusLine, 0))),
    }
    let status = response.code.and_then(|n| StatusCode::from_u16(n).ok());
    let (Some(minor), Some(status)) = (response.version, status) else {
        return Err((WireErrorKind::StatusLine, STATUS));
    };
    let fields = &*response.headers;
    Ok(Head {
        minor,
        status,
        headers: headers(shared, fields, folds)?,
        length: length(section, minor, fields),
        persists: persists(minor, fields),
    })
}

/// The position of the status in a status line.
pub(super) const STATUS: usize = "HTTP/1.1 ".len();

/// Checks a complete trailer section of `fields` fields. The fields are not used (RFC 9110 §6.5.1), but
/// a malformed section means that the framing before it is wrong.
///
/// Folded fields are refused, because nothing needs them.
pub(super) fn check_trailers(section: &[u8], fields: usize) -> Result<(), SectionError> {
    let mut slots = vec![EMPTY_HEADER; fields];
    match httparse::parse_headers(section, &mut slots) {
        Ok(Status::Complete((n, _))) if n == section.len() => Ok(()),
        _ => Err(find_error(section, false).unwrap_or((WireErrorKind::FieldName, 0))),
    }
}

/// Returns the position of a part of the section.
fn offset(section: &[u8], part: &[u8]) -> usize {
    let offset = part.as_ptr().addr().wrapping_sub(section.as_ptr().addr());
    offset.min(section.len())
}

fn headers(section: &Bytes, fields: &[Header<'_>], folds: bool) -> Result<HeaderMap, SectionError> {
    let mut map = HeaderMap::try_with_capacity(fields.len())
        .map_err(|_| (WireErrorKind::TooManyFields, section.len()))?;
    for field in fields {
        let at = offset(section, field.name.as_bytes());
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| (WireErrorKind::FieldName, at))?;
        let value = match unfolded(field.value, folds) {
            Cow::Borrowed(value) => section.slice_ref(value),
            Cow::Owned(value) => value.into(),
        };
        let value =
            HeaderValue::from_maybe_shared(value).map_err(|_| (WireErrorKind::FieldValue, at))?;
        // `http` has its own limit, too.
        map.try_append(name, value)
            .map_err(|_| (WireErrorKind::TooManyFields, at))?;
    }
    Ok(map)
}

/// Replaces each fold by a space (RFC 9112 §5.2).
fn unfolded(value: &[u8], folds: bool) -> Cow<'_, [u8]> {
    if !folds || !value.contains(&b'\n') {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&[u8]> = value
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .collect();
    Cow::Owned(lines.join(&b' '))
}

fn values<'a>(
    fields: &'a [Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// Returns the elements of a list (RFC 9110 §5.6.1). Folds are white space, so they are trimmed, too.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Returns the framing of the body (RFC 9112 §6.3, items 3 to 8).
fn length(section: &[u8], minor: u8, fields: &[Header<'_>]) -> Result<Length, SectionError> {
    let mut codings = values(fields, "transfer-encoding");
    let mut lengths = values(fields, "content-length");
    let Some(coding) = codings.next() else {
        return content_length(section, lengths);
    };
    let at = offset(section, coding);
    // §6.1: an HTTP/1.0 message with it is to be treated "as if the framing is faulty": an intermediary
    // may have forwarded it without understanding it.
    if minor == 0 {
        return Err((WireErrorKind::TransferEncodingVersion, at));
    }
    // §6.3, item 3: it may be an attempt at request smuggling or response splitting, "and ought to be handled
    // as an error".
    if let Some(length) = lengths.next() {
        return Err((WireErrorKind::TwoLengths, offset(section, length)));
    }
    // §6.1 and §7: no other coding was requested (there is no TE), `identity` no longer exists, and `chunked`
    // is not applied twice and has no parameters. Empty list elements, which RFC 9110 §5.6.1
    // allows, are refused: an attacker can hide a coding from one of two readers with them.
    if !coding.eq_ignore_ascii_case(b"chunked") {
        return Err((WireErrorKind::TransferEncoding, at));
    }
    match codings.next() {
        Some(second) => Err((WireErrorKind::TransferEncoding, offset(section, second))),
        None => Ok(Length::Chunked),
    }
}

/// Returns the framing by `Content-Length` (RFC 9112 §6.3, item 5). Several values are accepted if they are equal as text,
/// not only as numbers.
fn content_length<'a>(
    section: &[u8],
    lengths: impl Iterator<Item = &'a [u8]>,
) -> Result<Length, SectionError> {
    let mut known: Option<(&[u8], u64)> = None;
    let mut first = 0;
    for text in lengths.flat_map(elements) {
        let error = (WireErrorKind::ContentLength, offset(section, text));
        match known {
            Some((same, _)) if same == text => {}
            Some(_) => return Err(error),
            None => {
                first = error.1;
                known = Some((text, decimal(text).ok_or(error)?));
            }
        }
    }
    Ok(known.map_or(Length::Unknown, |(_, n)| Length::Bytes(n, first)))
}

/// Parses `1*DIGIT` (RFC 9110 §8.6), without the sign that `parse` would accept. Returns `None` if it overflows.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |n, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

/// Returns whether version and fields let the connection persist (RFC 9112 §9.3).
fn persists(minor: u8, fields: &[Header<'_>]) -> bool {
    let has = |option: &str| {
        values(fields, "connection")
            .flat_map(elements)
            .any(|element| element.eq_ignore_ascii_case(option.as_bytes()))
    };
    !has("close") && (minor > 0 || has("keep-alive"))
}

/// Returns the error of a section with its position, which `httparse` does not tell, or `None` if the section is valid.
/// All lines end in CR LF, because the decoder has checked that before.
#[cold]
fn find_error(section: &[u8], has_status_line: bool) -> Option<SectionError> {
    let mut lines = section.split_inclusive(|byte| *byte == b'\n');
    if has_status_line {
        let line = lines.next()?;
        if let Some(at) = status_line_error(line) {
            return Some((WireErrorKind::StatusLine, at));
        }
    }
    let mut may_fold = false;
    for line in lines {
        let start = offset(section, line);
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let value = match line {
            [] => return None,
            [b' ' | b'\t', ..] if may_fold => 0,
            _ => {
                let end = line.iter().position(|byte| !is_token(*byte));
                match end.and_then(|end| Some((end, line.get(end)?))) {
                    Some((end @ 1.., b':')) => end + 1,
                    other => {
                        let end = other.map_or(line.len(), |(end, _)| end);
                        return Some((WireErrorKind::FieldName, start + end));
                    }
                }
            }
        };
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if let Some(at) = line.iter().skip(value).position(is_control) {
            return Some((WireErrorKind::FieldValue, start + value + at));
        }
        may_fold = has_status_line;
    }
    None
}

/// Returns the position of the error in a status line (RFC 9112 §4). The reason and the space before it are optional.
fn status_line_error(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    // `d` is a digit, `v` the minor version.
    for (at, expected) in b"HTTP/1.v ddd".iter().enumerate() {
        let fits = line.get(at).is_some_and(|byte| match expected {
            b'd' => byte.is_ascii_digit(),
            b'v' => matches!(byte, b'0' | b'1'),
            _ => byte == expected,
        });
        if !fits {
            return Some(at);
        }
    }
    let code = STATUS + 3;
    if line.get(STATUS) == Some(&b'0') {
        return Some(STATUS);
    }
    let is_wrong = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    match line.get(code) {
        None | Some(b' ') => Some(code + line.iter().skip(code).position(is_wrong)?),
        Some(_) => Some(code),
    }
}

/// Returns whether a byte may be in a token (RFC 9110 §5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    /// Counts the fields, as the decoder does. It guarantees that CR and LF come in pairs, and that there is one empty line,
    /// at the end.
    fn fields_of(section: &[u8]) -> usize {
        let lines = section.split_inclusive(|byte| *byte == b'\n').skip(1);
        let fields = lines.filter(|line| !matches!(line, [b' ' | b'\t' | b'\r', ..]));
        fields.count()
    }

    fn parse_all(section: &[u8], fields: usize) -> Result<Head, SectionError> {
        parse(&Bytes::copy_from_slice(section), fields, true)
    }

    fn read(fields: &str) -> Head {
        let section = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        parse_all(section.as_bytes(), fields_of(section.as_bytes())).unwrap()
    }

    #[test]
    fn folds_become_one_space() {
        for (field, value) in [
            ("A: b\r\n c\r\n", "b c"),
            ("A: b \t\r\n \t c\r\n\td\r\n", "b c d"),
            ("A:\r\n b\r\n", "b"),
            ("A: b\r\n \r\n\t\r\n c\r\n \r\n", "b c"),
            ("A: \r\n \r\n", ""),
            ("A:\r\n", ""),
            ("A: b  \t c \t\r\n", "b  \t c"),
        ] {
            assert_eq!(read(field).headers["a"], value, "{field:?}");
        }
    }

    #[test]
    fn control_character_is_refused_at_every_position() {
        // httparse examines 1, 8, 16 or 32 bytes at a time.
        for byte in 0..=u8::MAX {
            for len in [1, 2, 7, 8, 15, 16, 17, 31, 33, 70] {
                for at in [0, len / 2, len - 1] {
                    let mut value = vec![b'v'; len];
                    value[at] = byte;
                    let mut section = Vec::from(b"HTTP/1.1 200\r\nA:b\r\nName:".as_slice());
                    let start = section.len();
                    section.extend(&value);
                    section.extend(b"\r\n\r\n");
                    let fine = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
                    match (byte, parse_all(&section, 2).err()) {
                        (b'\r' | b'\n', _) => {} // The decoder handles these.
                        (_, None) => assert!(fine, "{byte:#x} at {at} of {len}"),
                        (_, Some(error)) => {
                            assert!(!fine, "{byte:#x} at {at} of {len}");
                            assert_eq!(error, (WireErrorKind::FieldValue, start + at));
                        }
                    }
                    let mut section = Vec::from(b"HTTP/1.1 200\r\n".as_slice());
                    let start = section.len();
                    section.extend(&value);
                    section.extend(b":v\r\n\r\n");
                    match (byte, parse_all(&section, 1).err()) {
                        (b'\r' | b'\n', _) => {}
                        (b':', _) if at > 0 => {}
                        (_, None) => assert!(is_token(byte), "{byte:#x} at {at} of {len}"),
                        (_, Some(error)) => {
                            assert!(!is_token(byte), "{byte:#x} at {at} of {len}");
                            assert_eq!(error, (WireErrorKind::FieldName, start + at));
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// `httparse` and [`find_error`] agree on whether a section is valid.
        #[test]
        fn httparse_and_find_error_agree(
            lines in prop::collection::vec(
                "([a-zA-Z-]{1,3}:?[ \t]?|[ \t]|)([ -~]|\t|\u{1}|\u{7f}|é){0,4}", 0..5),
            start in "HTTP/1\\.[0-2] ?[0-3][0-9a]{1,3} ?[a-z\u{0}é]{0,3}|HTTP/1.1 200 OK",
        ) {
            let fields: String = lines
                .iter()
                .filter(|line| !line.is_empty())
                .map(|line| format!("{line}\r\n"))
                .collect();
            let section = format!("{start}\r\n{fields}\r\n");
            let section = section.as_bytes();
            let parsed = parse_all(section, fields_of(section));
            prop_assert_eq!(parsed.err(), find_error(section, true));

            let section = format!("{fields}\r\n");
            let section = section.as_bytes();
            let checked = check_trailers(section, lines.len());
            prop_assert_eq!(checked.err(), find_error(section, false));
        }
    }

    #[test]
    fn connection_persists_by_version_and_connection_field() {
        for (minor, fields, expected) in [
            (1, "", true),
            (1, "Connection: close\r\n", false),
            (1, "Connection: a, CLOSE ,b\r\n", false),
            (1, "Connection: a\r\nConnection: close\r\n", false),
            (1, "Connection: a,\r\n close\r\n", false),
            (1, "Connection: keep-alive, close\r\n", false),
            (1, "Connection: closed, not-close\r\n", true),
            (1, "Connection: keep-alive\r\n", true),
            (0, "", false),
            (0, "Connection: Keep-Alive\r\n", true),
            (0, "Connection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            let section = format!("HTTP/1.{minor} 200 OK\r\n{fields}\r\n");
            let head = parse_all(section.as_bytes(), fields_of(section.as_bytes()));
            assert_eq!(head.unwrap().persists, expected, "{section:?}");
        }
    }
}
