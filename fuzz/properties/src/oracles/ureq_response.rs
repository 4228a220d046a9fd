//! Decodes a response with `ureq-proto`, the protocol of the `ureq` client.
//!
//! **Known differences** from `ureq-proto`, which is more lenient or supports less:
//!
//! | case | the core | `ureq-proto` |
//! |---|---|---|
//! | folded fields (RFC 9112 §5.2) | one space | rejects |
//! | 100 with fields (RFC 9110 §15.2.1) | skips it | rejects |
//! | a chunk's size and extensions of more than 20 bytes (RFC 9112 §7.1.1: to be ignored) | 16 KiB of extensions in all | rejects |
//! | a bare CR inside an extension or a trailer (RFC 9112 §2.2) | an error | waits for more |
//! | an invalid `Content-Length` (or several different ones) of an interim response, or with a status or method that has no body (RFC 9112 §6.3, item 1) | ignores it, does not reuse the connection | rejects |
//! | an option that is no text beside others in `Connection` (RFC 9110 §7.6.1) | reads the others | ignores the field |
//! | a bare LF (RFC 9112 §2.2: "MAY"), empty lines before a status line | rejects | accepts |
//! | `Content-Length: 5, 05` (RFC 9112 §6.3, item 5) | rejects: different texts | accepts: equal numbers |
//! | `Transfer-Encoding` together with `Content-Length` (RFC 9112 §6.3, item 3: "ought to be handled as an error") | rejects | chunked |
//! | `Transfer-Encoding` in HTTP/1.0 (RFC 9112 §6.1: "as if the framing is faulty") | rejects | ignores it |
//! | codings other than a single `chunked` (RFC 9112 §6.1) | rejects | `chunked` anywhere in the list counts, others are ignored |
//! | space around a chunk's size (RFC 9112 §7.1), a sign before it, more than 16 digits | rejects | accepts |
//! | control characters in extensions and trailers, names that are not tokens (RFC 9112 §7.1.1, RFC 9110 §5.6.2) | rejects | does not check |
//! | 101 (RFC 9110 §7.8: only after an `Upgrade`) | rejects | the response |
//! | more than 16 interim responses; anything beyond a limit | rejects | has no such limit |
//!
//! If `ureq-proto` accepts a stream that the core rejects, the error must be one of those in `is_stricter`.

use atlas_model_keys_core::wire::{CHUNK_EXTENSION_BYTES, MAX_INTERIM, WireError, WireErrorKind};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult};

use crate::generators::wire::Input;

/// A response with its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecodedResponse {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl DecodedResponse {
    pub(crate) fn new(response: Response<Vec<u8>>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body,
        }
    }
}

/// A response as `ureq-proto` decodes it.
#[derive(Debug)]
pub(crate) struct UreqResponse {
    pub(crate) response: DecodedResponse,
    pub(crate) consumed: usize,
    pub(crate) keep_alive: bool,
    pub(crate) chunked: bool,
}

/// Decodes a stream with `ureq-proto`. An error says at which step it failed.
pub(crate) fn decode(method: &Method, stream: &[u8]) -> Result<UreqResponse, String> {
    let text = |error: ureq_proto::Error| error.to_string();
    let uri = match *method {
        Method::CONNECT => "a.example:443",
        _ => "http://a.example/",
    };
    let request = Request::builder()
        .method(method.clone())
        .uri(uri)
        .body(())
        .expect("a valid request");
    let mut send = Call::new(request).map_err(text)?.proceed();
    let mut sink = [0; 256];
    while !send.can_proceed() {
        send.write(&mut sink).map_err(text)?;
    }
    let Ok(Some(SendRequestResult::RecvResponse(mut call))) = send.proceed() else {
        return Err("the request has a body".into());
    };
    let mut rest = stream;
    let head = loop {
        let (used, head) = call.try_response(rest, false).map_err(text)?;
        rest = &rest[used..];
        match head {
            Some(head) => break head,
            None if used == 0 => return Err("the head is incomplete".into()),
            None => {}
        }
    };
    let mut body = Vec::new();
    let mut chunked = false;
    let cleanup = match call.proceed() {
        None => return Err("there is no next state".into()),
        Some(RecvResponseResult::Cleanup(cleanup)) => cleanup,
        Some(RecvResponseResult::Redirect(redirect)) => redirect.proceed(),
        Some(RecvResponseResult::RecvBody(mut call)) => {
            let mode = call.body_mode();
            chunked = mode == ureq_proto::BodyMode::Chunked;
            let mut out = [0; 4096];
            loop {
                let (used, got) = call.read(rest, &mut out).map_err(text)?;
                rest = &rest[used..];
                body.extend(&out[..got]);
                if used == 0 && got == 0 {
                    break;
                }
            }
            match call.proceed() {
                None => return Err("the body is incomplete".into()),
                Some(RecvBodyResult::Cleanup(cleanup)) => cleanup,
                Some(RecvBodyResult::Redirect(redirect)) => redirect.proceed(),
            }
        }
    };
    let (head, ()) = head.into_parts();
    Ok(UreqResponse {
        response: DecodedResponse {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body,
        },
        consumed: stream.len() - rest.len(),
        keep_alive: !cleanup.must_close_connection(),
        chunked,
    })
}

/// Returns whether the core is known to reject what `ureq-proto` accepts; see the table above.
pub(crate) fn is_stricter(input: &Input<'_>, error: WireError, other: &UreqResponse) -> bool {
    match error.kind() {
        // RFC 9112 §2.2.
        WireErrorKind::LineEnd | WireErrorKind::NotHttp => true,
        // §6.1 and §6.3.
        WireErrorKind::ContentLength
        | WireErrorKind::TransferEncoding
        | WireErrorKind::TransferEncodingVersion
        | WireErrorKind::TwoLengths => true,
        // §7.1 and §7.1.1.
        WireErrorKind::ChunkSize | WireErrorKind::ChunkExtension => true,
        // `ureq-proto` does not check trailers.
        WireErrorKind::FieldName | WireErrorKind::FieldValue => other.chunked,
        // RFC 9110 §7.8.
        WireErrorKind::Upgrade => other.response.status == StatusCode::SWITCHING_PROTOCOLS,
        // Limits that `ureq-proto` does not have.
        WireErrorKind::TooManyInterim => input.stream.len() > 16 * MAX_INTERIM as usize,
        WireErrorKind::ExtensionsTooLong => input.stream.len() > CHUNK_EXTENSION_BYTES,
        WireErrorKind::HeadTooLong => input.stream.len() > input.limits.head_bytes,
        WireErrorKind::TooManyFields | WireErrorKind::BodyTooLong => true,
        _ => false,
    }
}

/// Returns whether `ureq-proto` is known to reject what the core accepts; see the table above.
pub(crate) fn is_more_lenient(input: &Input<'_>, response: &DecodedResponse) -> bool {
    let lines = || input.stream.split(|byte| *byte == b'\n');
    let folds = lines().any(|line| matches!(line, [b' ' | b'\t', ..]));
    let interim =
        lines().any(|line| line.starts_with(b"HTTP/1.") && line.get(9..12) == Some(b"100"));
    let long_size =
        response.headers.contains_key("transfer-encoding") && lines().any(|line| line.len() > 20);
    let no_body = matches!(input.method, Method::HEAD | Method::CONNECT)
        || matches!(response.status.as_u16(), 204 | 304);
    folds || interim || long_size || no_body || has_invalid_interim_length(&input.stream)
}

/// Returns whether `ureq-proto` may have ignored a `keep-alive` that the core reads; see the table above. Only in HTTP/1.0 does
/// the connection end without it.
pub(crate) fn may_ignore_keep_alive(response: &DecodedResponse) -> bool {
    let mut fields = response.headers.get_all(header::CONNECTION).iter();
    response.version == Version::HTTP_10 && fields.any(|value| value.to_str().is_err())
}

/// Returns whether an interim response has a `Content-Length` that is not a number, or several different ones.
fn has_invalid_interim_length(stream: &[u8]) -> bool {
    let lines = stream.split(|byte| *byte == b'\n');
    let lines: Vec<&[u8]> = lines
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    lines.split(|line| line.is_empty()).any(|head| {
        let is_interim = head
            .first()
            .is_some_and(|line| line.starts_with(b"HTTP/1.") && line.get(9) == Some(&b'1'));
        let lengths = head.iter().filter_map(|line| content_length(line));
        let lengths: Vec<&[u8]> = lengths.collect();
        let is_invalid = |length: &&[u8]| {
            length.is_empty() || !length.iter().all(u8::is_ascii_digit) || *length != lengths[0]
        };
        is_interim && lengths.iter().any(is_invalid)
    })
}

/// Returns the value of a line that is a `Content-Length`.
fn content_length(line: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME)
        .then_some(value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::Limits;
    use atlas_model_keys_core::wire::{Decoder, Progress};

    use super::*;

    /// Returns whether the core accepts a stream.
    fn is_accepted(stream: &[u8]) -> bool {
        match Decoder::new(&Method::GET, &Limits::default()).push(stream) {
            Ok(Progress::Done { .. }) => true,
            Ok(Progress::More(decoder)) => decoder.close().is_ok(),
            Err(_) => false,
        }
    }

    /// The core and `ureq-proto` behave as the table at the top says.
    #[test]
    fn known_differences_match_the_table() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let long = format!("{chunked}1;a={}\r\nx\r\n0\r\n\r\n", "b".repeat(20));
        let interim = "HTTP/1.1 103 X\r\n\r\n".repeat(17) + "HTTP/1.1 204 X\r\n\r\n";
        let chunk = |text: &str| format!("{chunked}{text}");
        let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let rows = [
            (head("A: b\r\n c\r\nContent-Length: 0\r\n"), true, false),
            (
                "HTTP/1.1 100 X\r\nA: b\r\n\r\nHTTP/1.1 204 X\r\n\r\n".into(),
                true,
                false,
            ),
            (long, true, false),
            (
                "HTTP/1.1 204 X\r\nContent-Length: x\r\n\r\n".into(),
                true,
                false,
            ),
            (
                "HTTP/1.1 103 X\r\nContent-Length: x\r\n\r\n".to_owned()
                    + &head("Content-Length: 0\r\n"),
                true,
                false,
            ),
            (
                "HTTP/1.1 103 X\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\n".to_owned()
                    + &head("Content-Length: 0\r\n"),
                true,
                false,
            ),
            (chunk("0\r\nA: b\rc\r\n\r\n"), false, false),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n".into(), false, true),
            ("\r\nHTTP/1.1 204 X\r\n\r\n".into(), false, true),
            (head("Content-Length: 0, 00\r\n"), false, true),
            (
                head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
                false,
                true,
            ),
            (
                "HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
                false,
                true,
            ),
            (
                head("Transfer-Encoding: gzip, chunked\r\n") + "0\r\n\r\n",
                false,
                true,
            ),
            (head("Transfer-Encoding: gzip\r\n"), false, true),
            (chunk(" 0\r\n\r\n"), false, true),
            (chunk("+0\r\n\r\n"), false, true),
            (chunk("00000000000000000\r\n\r\n"), false, true),
            (chunk("0;\x07\r\n\r\n"), false, true),
            (chunk("0\r\nA b: c\r\n\r\n"), false, true),
            ("HTTP/1.1 101 X\r\n\r\n".into(), false, true),
            (interim, false, true),
        ];
        for (stream, ours, theirs) in rows {
            assert_eq!(is_accepted(stream.as_bytes()), ours, "{stream:?}");
            let other = decode(&Method::GET, stream.as_bytes());
            assert_eq!(other.is_ok(), theirs, "{stream:?}: {other:?}");
        }
    }
}
