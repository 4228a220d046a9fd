//! HTTP/1.x without I/O: parses requests from bytes and writes responses to bytes.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use crate::calendar::http_date;

/// The maximum size of a head. It is eight times the limit of common servers.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The maximum size of a body. The emulator reads only forms of a few hundred bytes.
const MAX_BODY: usize = 1024 * 1024;

const MAX_HEADERS: usize = 100;

/// The maximum length of the line with a chunk's size and extensions.
const MAX_CHUNK_LINE: usize = 4096;

/// The status of the response to a malformed request. The connection is closed after it.
pub(super) type Malformed = StatusCode;

/// The head of a request, and how to read its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) body: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// Parses the head at the start of `bytes`. Returns it and its length, or `None` if more bytes are
/// needed.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        Err(httparse::Error::Version) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    build_head(&parsed)
        .unwrap_or(Err(StatusCode::BAD_REQUEST))
        .map(|head| Some((head, length)))
}

/// Returns the head, or `None` for the usual status 400.
fn build_head(parsed: &httparse::Request<'_, '_>) -> Option<Result<Head, Malformed>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(parsed.path?).ok()?;
    let is_1_1 = parsed.version? == 1;
    *request.version_mut() = if is_1_1 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    for parsed in parsed.headers.iter() {
        let name = HeaderName::from_bytes(parsed.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(parsed.value).ok()?;
        request.headers_mut().append(name, value);
    }
    let headers = request.headers();
    // RFC 9112 §3.2.
    let hosts = headers.get_all(header::HOST).iter().count();
    (hosts == 1 || hosts == 0 && !is_1_1).then_some(())?;

    let body = match framing(headers, is_1_1)? {
        Ok(body) => body,
        Err(malformed) => return Some(Err(malformed)),
    };
    let expects_continue = match headers.get(header::EXPECT) {
        // RFC 9110 §10.1.1: ignored in HTTP/1.0.
        Some(expected) if is_1_1 => {
            if !expected.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                return Some(Err(StatusCode::EXPECTATION_FAILED));
            }
            true
        }
        _ => false,
    };
    let keep_alive = if is_1_1 {
        !has_connection_option(headers, "close")
    } else {
        has_connection_option(headers, "keep-alive")
    };
    Some(Ok(Head {
        request,
        body,
        keep_alive,
        expects_continue,
    }))
}

/// Returns the framing of the body (RFC 9112 §6). Framing that two parsers could interpret
/// differently is refused. `None` means status 400.
fn framing(headers: &HeaderMap, is_1_1: bool) -> Option<Result<Framing, Malformed>> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    lengths.next().is_none().then_some(())?;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match codings.next() {
        Some(coding) => {
            (is_1_1 && length.is_none() && codings.next().is_none()).then_some(())?;
            Some(if coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(StatusCode::NOT_IMPLEMENTED)
            })
        }
        None => {
            let Some(length) = length else {
                return Some(Ok(Framing::Length(0)));
            };
            let digits = length.to_str().ok()?;
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            is_number.then_some(())?;
            Some(match digits.parse() {
                Ok(length) if length <= MAX_BODY => Ok(Framing::Length(length)),
                _ => Err(StatusCode::PAYLOAD_TOO_LARGE),
            })
        }
    }
}

/// Returns whether the header `Connection` contains this option.
fn has_connection_option(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|said| said.trim().eq_ignore_ascii_case(option))
}

/// Parses the body at the start of `bytes`. Returns it and the number of bytes that it occupied, or
/// `None` if more bytes are needed.
pub(super) fn parse_body(
    bytes: &[u8],
    framing: Framing,
) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    match framing {
        Framing::Length(length) => Ok(bytes.get(..length).map(|body| (body.to_vec(), length))),
        Framing::Chunked => parse_chunked(bytes),
    }
}

/// Parses a chunked body. It starts again from the first byte each time, which is fast enough for
/// such small bodies.
fn parse_chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    // Without this limit, tiny chunks with long extensions could need any number of bytes for a
    // small body.
    match parse_chunks(bytes)? {
        None if bytes.len() > 2 * MAX_BODY => Err(StatusCode::PAYLOAD_TOO_LARGE),
        parsed => Ok(parsed),
    }
}

fn parse_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let mut body = Vec::new();
    let mut rest = bytes;
    loop {
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(line)) => line,
            Ok(httparse::Status::Partial) if rest.len() <= MAX_CHUNK_LINE => return Ok(None),
            _ => return Err(StatusCode::BAD_REQUEST),
        };
        let (line, after) = rest.split_at_checked(line).unwrap_or_default();
        if !is_chunk_line(line) {
            return Err(StatusCode::BAD_REQUEST);
        }
        rest = after;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size)
            .ok()
            .filter(|size| size.saturating_add(body.len()) <= MAX_BODY)
            .ok_or(StatusCode::PAYLOAD_TOO_LARGE)?;
        let Some((chunk, after)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        rest = match after {
            [b'\r', b'\n', after @ ..] => after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(StatusCode::BAD_REQUEST),
        };
    }
    // Trailers are parsed and ignored.
    let mut trailers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(rest, &mut trailers) {
        Ok(httparse::Status::Complete((length, _))) => {
            let left = rest.len().saturating_sub(length);
            Ok(Some((body, bytes.len().saturating_sub(left))))
        }
        Ok(httparse::Status::Partial) if rest.len() <= MAX_HEAD => Ok(None),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// Returns whether the line of a chunk's size has a size, and no control character before its end. `httparse` takes a missing
/// size for 0 and ignores a line feed in an extension, where another parser may see the end of the line.
fn is_chunk_line(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    text.first().is_some_and(u8::is_ascii_hexdigit)
        && text
            .iter()
            .all(|byte| *byte == b'\t' || !byte.is_ascii_control())
}

/// Values that a response on the wire depends on, in addition to the response itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendOptions {
    pub(super) now: Duration,
    pub(super) to_head: bool,
    pub(super) keep_alive: bool,
}

/// Returns whether the connection can stay open after this response. A response that has its own
/// framing headers comes from a fault, and a client could not parse what follows it.
pub(super) fn can_keep_alive(response: &Response<Vec<u8>>) -> bool {
    !has_framing(response.headers()) && !has_connection_option(response.headers(), "close")
}

/// The form of a head: its version, and how it tells the end of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadStyle {
    Usual,
    /// The usual form, but each challenge is folded over two lines.
    Folded,
    WithoutLength,
    /// HTTP/1.0, also without a length.
    Http10,
}

/// Returns head and body in one buffer, so that they are sent with one write.
pub(super) fn write_response(response: &Response<Vec<u8>>, send_options: SendOptions) -> Vec<u8> {
    let mut bytes = write_head(response, send_options, HeadStyle::Usual);
    bytes.extend_from_slice(body(response, send_options));
    bytes
}

pub(super) fn write_head(
    response: &Response<Vec<u8>>,
    send_options: SendOptions,
    style: HeadStyle,
) -> Vec<u8> {
    let status = response.status();
    let headers = response.headers();
    let has_length = matches!(style, HeadStyle::Usual | HeadStyle::Folded);
    let mut head = format!(
        "HTTP/1.{} {} {}\r\n",
        u8::from(style != HeadStyle::Http10),
        status.as_str(),
        status.canonical_reason().unwrap_or_default()
    );
    // Writing to a String cannot fail.
    if !headers.contains_key(header::DATE) {
        let _ = write!(head, "date: {}\r\n", http_date(send_options.now.as_secs()));
    }
    if has_length && !is_bodiless(status) && !has_framing(headers) {
        let _ = write!(head, "content-length: {}\r\n", response.body().len());
    }
    if !headers.contains_key(header::CONNECTION) {
        let connection = if send_options.keep_alive {
            "keep-alive"
        } else {
            "close"
        };
        let _ = write!(head, "connection: {connection}\r\n");
    }
    let mut bytes = head.into_bytes();
    for (name, value) in headers {
        if !has_length && is_framing(name) {
            continue;
        }
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        let mut value = value.as_bytes();
        let comma = value.iter().position(|byte| *byte == b',');
        if style == HeadStyle::Folded
            && name == header::WWW_AUTHENTICATE
            && let Some((line, rest)) = comma.and_then(|at| value.split_at_checked(at + 1))
        {
            bytes.extend_from_slice(line);
            // The space that follows the comma belongs to the second line.
            bytes.extend_from_slice(b"\r\n");
            value = rest;
        }
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Returns the part of the body that is sent: all or nothing.
pub(super) fn body(response: &Response<Vec<u8>>, send_options: SendOptions) -> &[u8] {
    let status = response.status();
    if is_bodiless(status) || send_options.to_head {
        &[]
    } else {
        response.body()
    }
}

/// Returns whether a response with this status has neither a body nor a length (RFC 9110 §8.6). The
/// length in a 304 would be that of the unmodified content.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

fn is_framing(name: &HeaderName) -> bool {
    name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING
}

fn has_framing(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &str) -> Result<Option<(Head, usize)>, Malformed> {
        parse_head(bytes.as_bytes())
    }

    #[test]
    fn heads_are_parsed_as_in_rfc_9112() {
        let (head, length) = parsed("GET /a?b HTTP/1.1\r\nHost: h\r\n\r\nGET")
            .unwrap()
            .unwrap();
        assert_eq!(length, 30);
        assert_eq!(head.request.uri(), "/a?b");
        assert_eq!(head.body, Framing::Length(0));
        assert!(head.keep_alive && !head.expects_continue);

        let post = "POST / HTTP/1.1\r\nHost: h\r\n";
        let (head, _) = parsed(&format!(
            "{post}Content-Length: 5\r\nExpect: 100-Continue\r\nConnection: x, Close\r\n\r\n"
        ))
        .unwrap()
        .unwrap();
        assert_eq!(head.body, Framing::Length(5));
        assert!(!head.keep_alive && head.expects_continue);

        let keeps = |text: &str| parsed(text).unwrap().unwrap().0.keep_alive;
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }

    #[test]
    fn malformed_heads_are_refused() {
        let post = "POST / HTTP/1.1\r\nHost: h\r\n";
        for (bytes, status) in [
            ("\0\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
                400,
            ),
            ("GET / HTTP/3.0\r\n\r\n".to_owned(), 505),
            (format!("{post}Content-Length: +5\r\n\r\n"), 400),
            (format!("{post}Content-Length: \r\n\r\n"), 400),
            (
                format!("{post}Content-Length: 1\r\nContent-Length: 1\r\n\r\n"),
                400,
            ),
            (format!("{post}Content-Length: 1048577\r\n\r\n"), 413),
            (
                format!("{post}Content-Length: 99999999999999999999\r\n\r\n"),
                413,
            ),
            (
                format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
                400,
            ),
            (
                format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n"),
                501,
            ),
            (
                "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
                400,
            ),
            (format!("{post}Expect: tea\r\n\r\n"), 417),
            (format!("{post}A: {}\r\n\r\n", "a".repeat(MAX_HEAD)), 431),
            (format!("{post}A: {}", "a".repeat(MAX_HEAD)), 431),
            (format!("{post}{}\r\n", "A: a\r\n".repeat(MAX_HEADERS)), 431),
        ] {
            let shown = bytes.get(..60).unwrap_or(&bytes);
            assert_eq!(parsed(&bytes).unwrap_err(), status, "{shown:?}");
        }
    }

    #[test]
    fn every_prefix_of_a_request_needs_more_bytes() {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for end in 0..head.len() {
            assert!(parsed(&head[..end]).unwrap().is_none(), "{end}");
        }
        let body = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: t\r\n\r\n";
        for end in 0..body.len() {
            assert_eq!(
                parse_body(&body[..end], Framing::Chunked),
                Ok(None),
                "{end}"
            );
        }
        let more = [body.as_slice(), b"GET".as_slice()].concat();
        let parsed = parse_body(&more, Framing::Chunked);
        assert_eq!(parsed, Ok(Some((b"abcd".to_vec(), body.len()))));
    }

    #[test]
    fn malformed_or_too_large_chunks_are_refused() {
        let megabyte = format!("100000\r\n{}\r\n1\r\n", "a".repeat(MAX_BODY));
        for (bytes, status) in [
            ("x\r\n", 400),
            ("1\r\nabc", 400),
            // Another parser may find no size, or another end of the line.
            ("\r\n\r\n", 400),
            (";x\r\n\r\n", 400),
            ("1;\nx\r\na\r\n", 400),
            ("1;\rx\r\na\r\n", 400),
            ("100001\r\n", 413),
            ("ffffffffffffffff\r\n", 413),
            ("fffffffffffffffff\r\n", 400),
            (megabyte.as_str(), 413),
        ] {
            let parsed = parse_body(bytes.as_bytes(), Framing::Chunked).unwrap_err();
            assert_eq!(parsed, status, "{:?}", &bytes[..3]);
        }
        let padded = format!("1;{}\r\na\r\n", "x".repeat(4000)).repeat(600);
        let parsed = parse_body(padded.as_bytes(), Framing::Chunked);
        assert_eq!(parsed.unwrap_err(), 413);
        let endless = format!("1;{}", "a".repeat(MAX_CHUNK_LINE));
        assert!(parse_body(endless.as_bytes(), Framing::Chunked).is_err());
    }

    #[test]
    fn responses_have_exactly_one_framing() {
        let written = |response: &Response<Vec<u8>>, to_head| {
            let send_options = SendOptions {
                now: Duration::from_secs(784_111_777),
                to_head,
                keep_alive: true,
            };
            String::from_utf8(write_response(response, send_options)).unwrap()
        };
        let mut response = Response::new(b"body".to_vec());
        let head = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                    content-length: 4\r\nconnection: keep-alive\r\n\r\n";
        assert_eq!(written(&response, false), format!("{head}body"));
        assert_eq!(written(&response, true), head);
        assert!(can_keep_alive(&response));

        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            *response.status_mut() = status;
            assert!(!written(&response, false).contains("content-length"));
            assert!(!written(&response, false).ends_with("body"));
        }

        let mut lying = Response::new(b"body".to_vec());
        lying
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(9));
        assert_eq!(written(&lying, false).matches("content-length").count(), 1);
        assert!(!can_keep_alive(&lying));
    }
}
