//! The emulator's server reads requests from bytes, in any pieces, and refuses what two parsers could understand differently.
//!
//! **Input**: one byte for the size of the pieces in which the stream arrives (0 means one piece), one for padding, and the
//! stream. A padding of 1 to 127 adds a field that makes the first head as long as the limit allows, plus the number minus
//! 64. A padding from 128 on adds as many fields as allowed, plus the number minus 192.
//!
//! **Properties**
//!
//! - A stream in pieces gives the same requests, and the same refusal at its end, as the whole stream.
//! - An accepted head has the method, target, version and fields that a second parser reads from the same bytes, and an accepted
//!   body is the one that its framing says.
//! - A head as in the grammar is accepted exactly if it is within the limits and its framing has one meaning: with two lengths, a
//!   length beside chunks, a length that is no number, or chunks in HTTP/1.0, the request is refused, and its status is that
//!   of the second parser.
//! - Another request may follow exactly as RFC 9112 §9.3 says.
//! - What is kept for an incomplete request is bounded.
//! - A written response is decoded by the core, with the same status, body and persistence.

use std::time::Duration;

use atlas_model_keys_core::Limits;
use atlas_model_keys_core::wire::{Decoder, Progress};
use http::{Method, Response, StatusCode};

use crate::oracles::http_request::{Chunks, Head, MAX_FIELDS, MAX_HEAD};

// The server's parser knows neither sockets nor the emulator.
#[expect(dead_code, reason = "faults use the rest")]
#[path = "../../../../emulator/src/server/http1.rs"]
mod http1;

use http1::{Framing, SendOptions};

/// The most requests that are read from a stream.
const MAX_REQUESTS: usize = 8;

/// A request, or the refusal that ends the connection.
#[derive(Debug, PartialEq)]
enum Read {
    Request {
        method: Method,
        target: String,
        body: Vec<u8>,
        keep_alive: bool,
    },
    Refused(StatusCode),
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let [piece, padding, stream @ ..] = bytes else {
        return;
    };
    let stream = padded(stream, *padding);
    let whole = read(&stream, usize::MAX, true);
    if *piece > 0 {
        // Small pieces of a long stream would take long.
        let piece = usize::from(*piece).max(stream.len() / 64);
        assert_eq!(read(&stream, piece, false), whole);
    }
    for (number, read) in whole.iter().enumerate() {
        check_response(read, number);
    }
}

/// Adds fields after the first line, up to a limit, or a little less or more.
fn padded(stream: &[u8], padding: u8) -> Vec<u8> {
    let line = stream
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .map(|end| end + 2);
    let head = stream
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map(|end| end + 4);
    let (Some(line), Some(head)) = (line, head) else {
        return stream.to_vec();
    };
    let fields = match padding {
        0 => Vec::new(),
        1..128 => {
            let length =
                (MAX_HEAD + usize::from(padding)).saturating_sub(64 + head + b"p:\r\n".len());
            [b"p:".to_vec(), vec![b'a'; length], b"\r\n".to_vec()].concat()
        }
        _ => {
            let lines = stream[..head]
                .windows(2)
                .filter(|pair| *pair == b"\r\n")
                .count()
                - 2;
            let count = (MAX_FIELDS + usize::from(padding)).saturating_sub(192 + lines);
            b"p:\r\n".repeat(count)
        }
    };
    [&stream[..line], &fields, &stream[line..]].concat()
}

/// Reads requests as a connection does. It gets the stream in pieces of this size.
fn read(stream: &[u8], piece: usize, is_checked: bool) -> Vec<Read> {
    let mut pieces = stream.chunks(piece.min(stream.len().max(1)));
    let mut received = Vec::new();
    let mut reads = Vec::new();
    while reads.len() < MAX_REQUESTS {
        let (head, length) = loop {
            match http1::parse_head(&received) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) => {
                    assert!(received.len() <= MAX_HEAD, "an endless head is kept");
                    assert!(
                        !is_checked || Head::parse(&received).is_none_or(|head| !head.is_strict),
                        "a complete head is not seen: {}",
                        received.escape_ascii()
                    );
                }
                Err(status) => {
                    if is_checked {
                        check_refusal(&received, status);
                    }
                    reads.push(Read::Refused(status));
                    return reads;
                }
            }
            let Some(piece) = pieces.next() else {
                return reads;
            };
            received.extend_from_slice(piece);
        };
        if is_checked {
            check_head(&received, &head, length);
        }
        received.drain(..length);
        let body = loop {
            match http1::parse_body(&received, head.body) {
                Ok(Some((body, length))) => {
                    if is_checked {
                        check_body(&received, head.body, &body, length);
                    }
                    received.drain(..length);
                    break body;
                }
                Ok(None) => {
                    let is_whole = matches!(head.body, Framing::Chunked)
                        && Chunks::parse(&received).is_some_and(|chunks| chunks.is_plain);
                    assert!(!is_checked || !is_whole, "a complete body is not seen");
                }
                Err(status) => {
                    let is_valid = Chunks::parse(&received).is_some_and(|chunks| chunks.is_plain);
                    assert!(
                        !is_checked || !is_valid,
                        "a valid body is refused with {status}"
                    );
                    reads.push(Read::Refused(status));
                    return reads;
                }
            }
            let Some(piece) = pieces.next() else {
                return reads;
            };
            received.extend_from_slice(piece);
        };
        reads.push(Read::Request {
            method: head.request.method().clone(),
            target: head.request.uri().to_string(),
            body,
            keep_alive: head.keep_alive,
        });
        if !head.keep_alive {
            break;
        }
    }
    reads
}

fn check_head(received: &[u8], head: &http1::Head, length: usize) {
    let shown = || received[..length].escape_ascii().to_string();
    let own = Head::parse(received).unwrap_or_else(|| panic!("accepted: {}", shown()));
    assert_eq!(own.length, length);
    assert!(length <= MAX_HEAD && own.headers.len() <= MAX_FIELDS);
    assert_eq!(own.method, head.request.method());
    assert_eq!(own.target, *head.request.uri());
    assert_eq!(own.headers, *head.request.headers());
    assert_eq!(own.is_1_1, head.request.version() == http::Version::HTTP_11);
    let framing = match head.body {
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    assert_eq!(own.framing(), Ok(framing), "{}", shown());
    assert_eq!(own.keeps_alive(), head.keep_alive, "{}", shown());
    assert_eq!(own.expects_continue(), head.expects_continue);
}

fn check_refusal(received: &[u8], status: StatusCode) {
    assert!(status.is_client_error() || status.is_server_error());
    let Some(own) = Head::parse(received).filter(|head| head.is_strict) else {
        return;
    };
    let is_within_limits = own.length <= MAX_HEAD && own.headers.len() <= MAX_FIELDS;
    let due = match own.framing() {
        _ if !is_within_limits => Some(431),
        Ok(_) => None,
        Err(status) => Some(status),
    };
    assert_eq!(Some(status.as_u16()), due, "{}", received.escape_ascii());
}

fn check_body(received: &[u8], framing: Framing, body: &[u8], length: usize) {
    match framing {
        Framing::Length(due) => {
            assert_eq!(length, due);
            assert_eq!(body, &received[..due]);
        }
        Framing::Chunked => {
            let chunks = Chunks::parse(received)
                .unwrap_or_else(|| panic!("accepted: {}", received.escape_ascii()));
            assert_eq!((chunks.body.as_slice(), chunks.length), (body, length));
        }
    }
}

/// Writes a response to what was read, and decodes it.
fn check_response(read: &Read, number: usize) {
    let (status, method, keep_alive) = match read {
        Read::Request {
            method, keep_alive, ..
        } => (StatusCode::OK, method, *keep_alive),
        Read::Refused(status) => (*status, &Method::GET, false),
    };
    // A response to CONNECT is no response for the core's decoder.
    if *method == Method::CONNECT {
        return;
    }
    let mut response = Response::new(b"body".repeat(number));
    *response.status_mut() = status;
    assert!(http1::can_keep_alive(&response));
    let options = SendOptions {
        now: Duration::from_secs(1_790_000_000),
        to_head: *method == Method::HEAD,
        keep_alive,
    };
    let written = http1::write_response(&response, options);
    match Decoder::new(method, &Limits::default()).push(&written) {
        Ok(Progress::Done { message, leftover }) => {
            assert!(leftover.is_empty());
            assert_eq!(message.response.status(), status);
            assert_eq!(message.keep_alive, keep_alive);
            let body: &[u8] = if options.to_head {
                &[]
            } else {
                response.body()
            };
            assert_eq!(message.response.body(), body);
        }
        other => panic!("{other:?} for {}", written.escape_ascii()),
    }
}
