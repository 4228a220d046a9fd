//! Bytes of a stream, cut anywhere, are the same response or the same error as uncut.
//!
//! **Input**: one byte for the method that was asked with, one for the limits, two that the cuts are drawn
//! from; the rest is the stream. At its end the stream is closed.
//!
//! **Properties**
//!
//! - Uncut, byte by byte and cut at random (empty pieces included): the same head, body, persistence and
//!   count, or the same error at the same place.
//! - What was consumed and what is left over are the stream. The consumed part alone is the same
//!   response; without its last byte it is none, unless the end of the stream is its end.
//! - It is a response exactly where a plain reading by the grammar of RFC 9112 (as strict as
//!   [`wire`](atlas_model_keys_core::wire) says that it is) finds one, with the same end, status and body; unless it is
//!   beyond a limit. Only a 200 is refused for the length of its body: of another body so many bytes are taken
//!   as [`Limits::error_body_bytes`] and one, or [`Limits::body_bytes`] if that is less; it ends there, and the
//!   connection is not used again.
//! - A response is within the [`Limits`]; memory follows what has arrived, never what is promised.
//! - What is accepted, a second implementation (`ureq-proto`, the protocol of the `ureq` client) reads as
//!   the same response of the same length, and what it would not keep the connection for, neither
//!   does the core. Of a body that was cut, it reads that much and more.
//!
//! **Known disagreements** with `ureq-proto`, which is more lenient or knows less:
//!
//! | where | the core | `ureq-proto` |
//! |---|---|---|
//! | folded fields (RFC 9112 §5.2) | one space | refuses |
//! | 100 with fields (RFC 9110 §15.2.1) | skips it | refuses |
//! | a chunk's size and extensions of more than 20 bytes (RFC 9112 §7.1.1: to be ignored) | 16 KiB of extensions in all | refuses |
//! | a bare CR inside an extension or a trailer (RFC 9112 §2.2) | an error | waits for more |
//! | `Content-Length` that is none, beside a status or method that has no body (RFC 9112 §6.3, item 1) | ignores it, ends the connection's use | refuses |
//! | a bare LF (RFC 9112 §2.2: "MAY"), empty lines before a status line | refuses | accepts |
//! | `Content-Length: 5, 05` (RFC 9112 §6.3, item 5) | refuses: not the same text | accepts: the same number |
//! | `Transfer-Encoding` beside `Content-Length` (RFC 9112 §6.3, item 3: "ought to be handled as an error") | refuses | chunked |
//! | `Transfer-Encoding` in HTTP/1.0 (RFC 9112 §6.1: "as if the framing is faulty") | refuses | ignores it |
//! | codings beside `chunked`, or others (RFC 9112 §6.1) | refuses | `chunked` anywhere in the list counts, others are ignored |
//! | space around a chunk's size (RFC 9112 §7.1), a sign before it, more than 16 digits | refuses | accepts |
//! | control characters in extensions and trailers, names that are no tokens (RFC 9112 §7.1.1, RFC 9110 §5.6.2) | refuses | not looked at |
//! | 101 (RFC 9110 §7.8: only after an `Upgrade`) | refuses | the response |
//! | more than 16 interim responses; what is beyond a limit | refuses | no such bound |
//!
//! The opposite direction (`ureq-proto` reads a response that the core refuses) is allowed for exactly the
//! kinds of error in `is_stricter`.

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::wire::{
    CHUNK_EXTENSION_BYTES, Decoder, MAX_INTERIM, Message, Progress, WireError, WireErrorKind,
};
use atlas_model_keys_core::{Failure, FailureKind, Limits};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use ureq_proto::client::{Call, RecvBodyResult, RecvResponseResult, SendRequestResult};

use crate::input;

mod grammar;

use grammar::Plain;

/// What was asked with.
pub const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::CONNECT, Method::DELETE];

/// A stream, and how it arrives.
#[derive(Debug)]
struct Input<'a> {
    method: Method,
    limits: Limits,
    cuts: u16,
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
            cuts: u.arbitrary()?,
            stream: input::rest(u)?,
        })
    }
}

/// What came of a stream.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Whole {
        response: Whole,
        keep_alive: bool,
        consumed: u64,
        /// Whether the end of the stream was its end.
        closed: bool,
    },
    Refused(WireError),
}

#[derive(Clone, Debug, PartialEq)]
struct Whole {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Whole {
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

fn whole(message: Message, closed: bool) -> Outcome {
    // `Debug` tells how much, and nothing of it.
    let shown = format!("{message:?}");
    assert!(shown.starts_with("Message { status: "), "{shown}");
    Outcome::Whole {
        response: Whole::new(message.response),
        keep_alive: message.keep_alive,
        consumed: message.consumed,
        closed,
    }
}

/// Reads a stream in pieces, and closes it. What came of it, and how much was left over.
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
                    shows_nothing(&decoder, piece);
                }
                decoder
            }
            Ok(Progress::Done { message, leftover }) => {
                assert!(piece.ends_with(leftover));
                return (whole(message, false), length - pushed + leftover.len());
            }
            Err(error) => return (Outcome::Refused(error), 0),
        };
    }
    assert_eq!(pushed, length);
    let outcome = match decoder.close() {
        Ok(message) => whole(message, true),
        Err(error) => Outcome::Refused(error),
    };
    (outcome, 0)
}

/// `Debug` of a decoder tells how far it is, and nothing of what it has read.
fn shows_nothing(decoder: &Decoder, taken: &[u8]) {
    let shown = format!("{decoder:?}");
    let end = format!(", consumed: {}, .. }}", taken.len());
    assert!(
        shown.starts_with("Decoder { phase: ") && shown.ends_with(&end),
        "{shown}"
    );
    assert!(shown.len() < 90, "{shown}");
}

/// Pieces of up to twenty bytes, some of them empty.
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
    let (outcome, leftover) = first.expect("it ran");
    // The machine, slots for fields to parse, a map of them; and what arrived, at most twice (a buffer
    // that grows) in the section and again in the values, or in the body. `whole` shows the message.
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

    for cut in [stream.chunks(1).collect(), pieces(stream, input.cuts)] {
        assert_eq!(read(&input, cut, stream.len()), (outcome.clone(), leftover));
    }

    let plain = grammar::read(&input.method, &input.limits, stream);
    let plain = plain.as_ref();
    by_the_grammar(&input, &outcome, plain);
    let other = second_reading(&input.method, stream);
    match &outcome {
        Outcome::Refused(error) => refused(&input, *error, other.as_ref()),
        Outcome::Whole {
            response,
            keep_alive,
            consumed,
            closed,
        } => {
            let consumed = usize::try_from(*consumed).expect("it fits");
            assert_eq!(consumed + leftover, stream.len());
            within(&input.limits, response);
            assert!(!(*keep_alive && *closed));
            if *closed {
                assert_eq!(leftover, 0);
            } else {
                let (taken, _) = stream.split_at(consumed);
                let (again, left) = read(&input, [taken], consumed);
                assert!(again == outcome && left == 0);
                match read(&input, [&taken[..consumed - 1]], consumed - 1).0 {
                    Outcome::Refused(error) => {
                        assert_eq!(error.kind(), WireErrorKind::Truncated);
                        assert_eq!(error.offset(), consumed as u64 - 1);
                    }
                    // It was cut, and would have gone on until the end of the stream.
                    Outcome::Whole {
                        response: shorter,
                        closed,
                        ..
                    } => {
                        assert!(plain.is_some_and(|plain| plain.is_cut) && closed);
                        let (_, body) = response.body.split_last().expect("it was cut in it");
                        assert_eq!(shorter.body, body);
                    }
                }
            }
            if plain.is_some_and(|plain| plain.is_cut) {
                // What is behind the place may be anything.
                assert!(!*keep_alive, "kept, and its rest is not read");
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
                        "kept, but not by the other"
                    );
                }
                Err(why) => assert!(is_known(&input, response), "only the core reads it: {why}"),
            }
        }
    }
}

/// The core's outcome is that of a plain reading.
fn by_the_grammar(input: &Input<'_>, outcome: &Outcome, plain: Option<&Plain>) {
    match (outcome, plain) {
        (Outcome::Refused(error), _) if error.kind() == WireErrorKind::BodyTooLong => {
            // The status of another answer counts.
            assert_eq!(grammar::status(input.stream), Some(200));
        }
        (Outcome::Refused(error), _) if error.is_limit() => {}
        (Outcome::Refused(_), None) => {}
        (
            Outcome::Whole {
                response,
                consumed,
                closed,
                ..
            },
            Some(plain),
        ) => {
            assert_eq!(response.status.as_u16(), plain.status);
            assert_eq!(*consumed, plain.end as u64);
            assert_eq!(response.body, plain.body);
            assert_eq!(*closed, plain.is_closed);
        }
        (outcome, plain) => panic!("{outcome:?}, but by the grammar {plain:?}"),
    }
}

fn within(limits: &Limits, response: &Whole) {
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

/// An error is at a place of the stream, shows nothing of it, and is what a transport makes of it.
fn refused(input: &Input<'_>, error: WireError, other: Result<&Other, &String>) {
    let length = input.stream.len() as u64;
    assert!(error.offset() <= length, "{error}");
    match error.kind() {
        WireErrorKind::Truncated => assert_eq!(error.offset(), length),
        // What is promised may be too long.
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
            "only the other reads it: {error}, {other:?}"
        );
    }
}

/// Whether the core is known to refuse what others read; see the table above.
fn is_stricter(input: &Input<'_>, error: WireError, other: &Other) -> bool {
    use WireErrorKind as Kind;
    match error.kind() {
        // RFC 9112 §2.2.
        Kind::LineEnd | Kind::NotHttp => true,
        // §6.1 and §6.3.
        Kind::ContentLength
        | Kind::TransferEncoding
        | Kind::TransferEncodingVersion
        | Kind::TwoLengths => true,
        // §7.1 and §7.1.1.
        Kind::ChunkSize | Kind::ChunkExtension => true,
        // In a trailer: not looked at by others. In a head both look.
        Kind::FieldName | Kind::FieldValue => other.chunked,
        // RFC 9110 §7.8.
        Kind::Upgrade => other.response.status == StatusCode::SWITCHING_PROTOCOLS,
        // Bounds of ours.
        Kind::TooManyInterim => input.stream.len() > 16 * MAX_INTERIM as usize,
        Kind::ExtensionsTooLong => input.stream.len() > CHUNK_EXTENSION_BYTES,
        Kind::HeadTooLong => input.stream.len() > input.limits.head_bytes,
        Kind::TooManyFields | Kind::BodyTooLong => true,
        _ => false,
    }
}

/// Whether others are known to refuse what the core reads; see the table above.
fn is_known(input: &Input<'_>, response: &Whole) -> bool {
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

/// A response as the other implementation reads it.
#[derive(Debug)]
struct Other {
    response: Whole,
    consumed: usize,
    keep_alive: bool,
    chunked: bool,
}

/// The stream as `ureq-proto` reads it; an error says where it gave up.
fn second_reading(method: &Method, stream: &[u8]) -> Result<Other, String> {
    let say = |error: ureq_proto::Error| error.to_string();
    let uri = match *method {
        Method::CONNECT => "a.example:443",
        _ => "http://a.example/",
    };
    let request = Request::builder()
        .method(method.clone())
        .uri(uri)
        .body(())
        .expect("it is a request");
    let mut send = Call::new(request).map_err(say)?.proceed();
    let mut sink = [0; 256];
    while !send.can_proceed() {
        send.write(&mut sink).map_err(say)?;
    }
    let Ok(Some(SendRequestResult::RecvResponse(mut call))) = send.proceed() else {
        return Err("it has a body to send".into());
    };
    let mut rest = stream;
    let head = loop {
        let (used, head) = call.try_response(rest, false).map_err(say)?;
        rest = &rest[used..];
        match head {
            Some(head) => break head,
            None if used == 0 => return Err("the head has no end".into()),
            None => {}
        }
    };
    let mut body = Vec::new();
    let mut chunked = false;
    let cleanup = match call.proceed() {
        None => return Err("no way on".into()),
        Some(RecvResponseResult::Cleanup(cleanup)) => cleanup,
        Some(RecvResponseResult::Redirect(redirect)) => redirect.proceed(),
        Some(RecvResponseResult::RecvBody(mut call)) => {
            let mode = call.body_mode();
            chunked = mode == ureq_proto::BodyMode::Chunked;
            let mut out = [0; 4096];
            loop {
                let (used, got) = call.read(rest, &mut out).map_err(say)?;
                rest = &rest[used..];
                body.extend(&out[..got]);
                if used == 0 && got == 0 {
                    break;
                }
            }
            match call.proceed() {
                None => return Err("the body has no end".into()),
                Some(RecvBodyResult::Cleanup(cleanup)) => cleanup,
                Some(RecvBodyResult::Redirect(redirect)) => redirect.proceed(),
            }
        }
    };
    let (head, ()) = head.into_parts();
    Ok(Other {
        response: Whole {
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

    /// Who reads a response in each row of the table at the top: the core, and `ureq-proto`.
    #[test]
    fn the_known_disagreements_are_as_they_say() {
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
                cuts: 0,
                stream: stream.as_bytes(),
            };
            let (outcome, _) = read(&input, [input.stream], stream.len());
            assert_eq!(
                matches!(outcome, Outcome::Whole { .. }),
                ours,
                "{stream:?}: {outcome:?}"
            );
            let other = second_reading(&Method::GET, input.stream);
            assert_eq!(other.is_ok(), theirs, "{stream:?}: {other:?}");
        }
    }
}
