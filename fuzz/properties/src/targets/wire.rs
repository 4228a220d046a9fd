//! A stream that is split anywhere is decoded to the same response, or the same error, as the whole stream.
//!
//! **Input**: one byte for the method of the request, one for the limits, two that seed the random splits;
//! the rest is the stream, which is closed at its end.
//!
//! **Properties**
//!
//! - Whole, byte by byte and split at random (also into empty pieces), a stream gives the same head, body, persistence
//!   and count, or the same error at the same offset.
//! - The consumed bytes and the leftover make up the stream. The consumed part alone gives the same response; without
//!   its last byte it gives none, unless the end of the stream ends the response.
//! - Within the limits, a stream is a response exactly if a simple parser for the grammar of RFC 9112 (as strict as
//!   [`wire`](atlas_model_keys_core::wire) documents) finds one, with the same end, status and body. Only a 200 is
//!   rejected for the length of its body. Any other body is truncated after one byte more than
//!   [`Limits::error_body_bytes`], or after [`Limits::body_bytes`] if that is less, and the connection is not reused.
//! - A response is within the [`Limits`]; memory is bounded by the bytes that arrived, never by an announced length.
//! - A second implementation (`ureq-proto`, the protocol of the `ureq` client) decodes an accepted stream to the same
//!   response of the same length, and the core reuses no connection that `ureq-proto` closes. `ureq-proto` decodes at
//!   least as much of a truncated body.
//!
//! **Known differences** from `ureq-proto`, which is more lenient or supports less:
//!
//! | case | the core | `ureq-proto` |
//! |---|---|---|
//! | folded fields (RFC 9112 §5.2) | one space | rejects |
//! | 100 with fields (RFC 9110 §15.2.1) | skips it | rejects |
//! | a chunk's size and extensions of more than 20 bytes (RFC 9112 §7.1.1: to be ignored) | 16 KiB of extensions in all | rejects |
//! | a bare CR inside an extension or a trailer (RFC 9112 §2.2) | an error | waits for more |
//! | an invalid `Content-Length` with a status or method that has no body (RFC 9112 §6.3, item 1) | ignores it, does not reuse the connection | rejects |
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

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::wire::{
    CHUNK_EXTENSION_BYTES, Decoder, MAX_INTERIM, Message, Progress, WireError, WireErrorKind,
};
use atlas_model_keys_core::{Failure, FailureKind, Limits};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult};

use crate::generators::bytes as input;

use crate::oracles::http_grammar::{self as grammar, GrammarResponse};

/// The methods of the request.
pub const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::CONNECT, Method::DELETE];

/// A stream, its limits and its splits.
#[derive(Debug)]
struct Input<'a> {
    method: Method,
    limits: Limits,
    split_seed: u16,
    stream: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
        let mut limits = Limits::default();
        let (head, body) = match input::byte(u)? % 5 {
            0 => ((limits.head_bytes, limits.headers), (64 << 10, 64 << 10)),
            1 => ((200, 6), (64, 30)),
            2 => ((40, 1), (5, 5)),
            3 => ((200, 6), (20, 0)),
            _ => ((200, 6), (0, 9)),
        };
        (limits.head_bytes, limits.headers) = head;
        (limits.body_bytes, limits.error_body_bytes) = body;
        Ok(Self {
            method,
            limits,
            split_seed: u.arbitrary()?,
            stream: input::rest(u)?,
        })
    }
}

/// The result of decoding a stream.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Response {
        response: DecodedResponse,
        keep_alive: bool,
        consumed: u64,
        /// Whether the end of the stream ended the response.
        ends_with_stream: bool,
    },
    Rejected(WireError),
}

#[derive(Clone, Debug, PartialEq)]
struct DecodedResponse {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl DecodedResponse {
    fn new(response: Response<Vec<u8>>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body,
        }
    }
}

fn whole(message: Message, ends_with_stream: bool) -> Outcome {
    // `Debug` shows sizes only.
    let shown = format!("{message:?}");
    assert!(shown.starts_with("Message { status: "), "{shown}");
    Outcome::Response {
        response: DecodedResponse::new(message.response),
        keep_alive: message.keep_alive,
        consumed: message.consumed,
        ends_with_stream,
    }
}

/// Decodes a stream in pieces, and closes it. Returns the outcome and the length of the leftover.
fn read<'s>(
    input: &Input<'_>,
    pieces: impl IntoIterator<Item = &'s [u8]>,
    length: usize,
) -> (Outcome, usize) {
    let mut decoder = Decoder::new(&input.method, &input.limits);
    let mut pushed = 0;
    for piece in pieces {
        pushed += piece.len();
        decoder = match decoder.push(piece) {
            Ok(Progress::More(decoder)) => {
                if piece.len() == length {
                    assert_debug_hides_bytes(&decoder, piece);
                }
                decoder
            }
            Ok(Progress::Done { message, leftover }) => {
                assert!(piece.ends_with(leftover));
                return (whole(message, false), length - pushed + leftover.len());
            }
            Err(error) => return (Outcome::Rejected(error), 0),
        };
    }
    assert_eq!(pushed, length);
    let outcome = match decoder.close() {
        Ok(message) => whole(message, true),
        Err(error) => Outcome::Rejected(error),
    };
    (outcome, 0)
}

/// Asserts that `Debug` of a decoder shows its progress and none of the bytes.
fn assert_debug_hides_bytes(decoder: &Decoder, taken: &[u8]) {
    let shown = format!("{decoder:?}");
    let end = format!(", consumed: {}, .. }}", taken.len());
    assert!(
        shown.starts_with("Decoder { phase: ") && shown.ends_with(&end),
        "{shown}"
    );
    assert!(shown.len() < 90, "{shown}");
}

/// Splits a stream into pieces of up to twenty bytes, some of them empty.
fn pieces(stream: &[u8], seed: u16) -> Vec<&[u8]> {
    let mut state = u32::from(seed) | 1 << 16;
    let mut rest = stream;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (state >> 24) as usize % 21;
        let (piece, left) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = left;
    }
    pieces
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let stream = input.stream;
    let mut first = None;
    let memory = allocation_counter::measure(|| {
        first = Some(read(&input, [stream], stream.len()));
    });
    let (outcome, leftover) = first.expect("the closure ran");
    // The bound covers the decoder, slots for parsing fields, a map of them, and the bytes that arrived: at most twice
    // (while a buffer grows) in the head and once more in the values, or in the body. `whole` formats the message.
    let head = 4 * stream.len().min(input.limits.head_bytes);
    let body = 3 * stream.len().min(input.limits.body_bytes);
    let fields = 300 * (input.limits.headers.min(stream.len() / 3) + 1);
    let most = 4096 + head + body + fields;
    assert!(
        memory.bytes_max <= most as u64,
        "{} bytes for a stream of {}",
        memory.bytes_max,
        stream.len()
    );

    for pieces in [stream.chunks(1).collect(), pieces(stream, input.split_seed)] {
        assert_eq!(
            read(&input, pieces, stream.len()),
            (outcome.clone(), leftover)
        );
    }

    let grammar = grammar::read(&input.method, &input.limits, stream);
    let grammar = grammar.as_ref();
    compare_with_grammar(&input, &outcome, grammar);
    let other = decode_with_ureq(&input.method, stream);
    match &outcome {
        Outcome::Rejected(error) => check_error(&input, *error, other.as_ref()),
        Outcome::Response {
            response,
            keep_alive,
            consumed,
            ends_with_stream,
        } => {
            let consumed = usize::try_from(*consumed).expect("no more than the stream");
            assert_eq!(consumed + leftover, stream.len());
            assert_within(&input.limits, response);
            assert!(!(*keep_alive && *ends_with_stream));
            if *ends_with_stream {
                assert_eq!(leftover, 0);
            } else {
                let (taken, _) = stream.split_at(consumed);
                let (again, left) = read(&input, [taken], consumed);
                assert!(again == outcome && left == 0);
                match read(&input, [&taken[..consumed - 1]], consumed - 1).0 {
                    Outcome::Rejected(error) => {
                        assert_eq!(error.kind(), WireErrorKind::Truncated);
                        assert_eq!(error.offset(), consumed as u64 - 1);
                    }
                    // A truncated body that the end of the stream would end is one byte shorter.
                    Outcome::Response {
                        response: shorter,
                        ends_with_stream,
                        ..
                    } => {
                        assert!(
                            grammar.is_some_and(|grammar| grammar.is_truncated) && ends_with_stream
                        );
                        let (_, body) = response
                            .body
                            .split_last()
                            .expect("a truncated body is not empty");
                        assert_eq!(shorter.body, body);
                    }
                }
            }
            if grammar.is_some_and(|grammar| grammar.is_truncated) {
                // The stream may be invalid after the truncated body.
                assert!(
                    !*keep_alive,
                    "the connection is reused, although the body was truncated"
                );
                if let Ok(other) = other {
                    assert_eq!(other.response.status, response.status);
                    assert_eq!(other.response.headers, response.headers);
                    assert!(other.response.body.starts_with(&response.body));
                    assert!(other.consumed >= consumed);
                }
                return;
            }
            match other {
                Ok(other) => {
                    assert_eq!(other.response, *response);
                    assert_eq!(other.consumed, consumed);
                    assert!(
                        !*keep_alive || other.keep_alive,
                        "only the core reuses the connection"
                    );
                }
                Err(why) => assert!(
                    is_more_lenient(&input, response),
                    "only the core accepts the stream: {why}"
                ),
            }
        }
    }
}

/// Compares an outcome with that of the simple parser.
fn compare_with_grammar(input: &Input<'_>, outcome: &Outcome, grammar: Option<&GrammarResponse>) {
    match (outcome, grammar) {
        (Outcome::Rejected(error), _) if error.kind() == WireErrorKind::BodyTooLong => {
            // Only a 200 is rejected for the length of its body.
            assert_eq!(grammar::status(input.stream), Some(200));
        }
        (Outcome::Rejected(error), _) if error.is_limit() => {}
        (Outcome::Rejected(_), None) => {}
        (
            Outcome::Response {
                response,
                consumed,
                ends_with_stream,
                ..
            },
            Some(grammar),
        ) => {
            assert_eq!(response.status.as_u16(), grammar.status);
            assert_eq!(*consumed, grammar.end as u64);
            assert_eq!(response.body, grammar.body);
            assert_eq!(*ends_with_stream, grammar.ends_with_stream);
        }
        (outcome, grammar) => panic!("{outcome:?}, but the simple parser found {grammar:?}"),
    }
}

/// Asserts that a response is within the limits.
fn assert_within(limits: &Limits, response: &DecodedResponse) {
    let body = match response.status.as_u16() {
        200 => limits.body_bytes,
        _ => limits.body_bytes.min(limits.error_body_bytes + 1),
    };
    let head: usize = response
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    assert!(head <= limits.head_bytes);
    assert!(response.headers.len() <= limits.headers);
    assert!(response.body.len() <= body);
    assert!(!response.status.is_informational());
}

/// Asserts that an error has an offset in the stream, shows none of its bytes, and becomes the right `Failure`.
fn check_error(input: &Input<'_>, error: WireError, other: Result<&UreqResponse, &String>) {
    let length = input.stream.len() as u64;
    assert!(error.offset() <= length, "{error}");
    match error.kind() {
        WireErrorKind::Truncated => assert_eq!(error.offset(), length),
        // The offset may be that of an announced length beyond the stream.
        WireErrorKind::BodyTooLong | WireErrorKind::HeadTooLong => {}
        _ => assert!(error.offset() < length, "{error}"),
    }
    let shown = error.to_string();
    assert!(
        !shown.contains(char::is_control) && shown.len() < 130,
        "{shown}"
    );
    let failure = Failure::from(error);
    let kind = match error.is_limit() {
        true => FailureKind::Permanent,
        false => FailureKind::Lost,
    };
    assert_eq!(failure.kind(), kind);
    if let Ok(other) = other {
        assert!(
            is_stricter(input, error, other),
            "only ureq-proto accepts the stream: {error}, {other:?}"
        );
    }
}

/// Returns whether the core is known to reject what `ureq-proto` accepts; see the table above.
fn is_stricter(input: &Input<'_>, error: WireError, other: &UreqResponse) -> bool {
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
fn is_more_lenient(input: &Input<'_>, response: &DecodedResponse) -> bool {
    let lines = || input.stream.split(|byte| *byte == b'\n');
    let folds = lines().any(|line| matches!(line, [b' ' | b'\t', ..]));
    let interim =
        lines().any(|line| line.starts_with(b"HTTP/1.") && line.get(9..12) == Some(b"100"));
    let long_size =
        response.headers.contains_key("transfer-encoding") && lines().any(|line| line.len() > 20);
    let no_body = matches!(input.method, Method::HEAD | Method::CONNECT)
        || matches!(response.status.as_u16(), 204 | 304);
    folds || interim || long_size || no_body
}

/// A response as `ureq-proto` decodes it.
#[derive(Debug)]
struct UreqResponse {
    response: DecodedResponse,
    consumed: usize,
    keep_alive: bool,
    chunked: bool,
}

/// Decodes a stream with `ureq-proto`. An error says at which step it failed.
fn decode_with_ureq(method: &Method, stream: &[u8]) -> Result<UreqResponse, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let input = Input {
                method: Method::GET,
                limits: Limits::default(),
                split_seed: 0,
                stream: stream.as_bytes(),
            };
            let (outcome, _) = read(&input, [input.stream], stream.len());
            assert_eq!(
                matches!(outcome, Outcome::Response { .. }),
                ours,
                "{stream:?}: {outcome:?}"
            );
            let other = decode_with_ureq(&Method::GET, input.stream);
            assert_eq!(other.is_ok(), theirs, "{stream:?}: {other:?}");
        }
    }
}
