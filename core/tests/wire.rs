//! Tests the wire layer: which responses are accepted and which are refused, with the rule, and that the size of the
//! pieces of a stream never matters.

use std::error::Error as _;

use atlas_model_keys_core::wire::{
    CHUNK_EXTENSION_BYTES, Decoder, MAX_INTERIM, Message, Progress, WireError, WireErrorKind,
    encode,
};
use atlas_model_keys_core::{
    BaseUrl, Credentials, Error, Exchange, Failure, FailureKind, GroupId, Limits, ListRequest,
    Moment, Session, Step,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use proptest::prelude::*;
use proptest::sample::Index;

/// A parsed response, and the rest of the stream.
#[derive(Clone, Debug, PartialEq)]
struct Parsed {
    status: u16,
    version: Version,
    headers: HeaderMap,
    body: Vec<u8>,
    keep_alive: bool,
    consumed: u64,
    /// Whether the end of the stream ended the response.
    closed: bool,
    /// The bytes that were not consumed: the leftover and the pieces that were not pushed.
    rest: Vec<u8>,
}

fn parsed(message: Message, closed: bool, rest: Vec<u8>) -> Parsed {
    let (head, body) = message.response.into_parts();
    Parsed {
        status: head.status.as_u16(),
        version: head.version,
        headers: head.headers,
        body,
        keep_alive: message.keep_alive,
        consumed: message.consumed,
        closed,
        rest,
    }
}

/// Reads a stream that consists of these pieces.
fn read_pieces<'a>(
    method: &Method,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Parsed, WireError> {
    let mut decoder = Decoder::new(method, limits);
    let mut pieces = pieces.into_iter();
    while let Some(piece) = pieces.next() {
        decoder = match decoder.push(piece)? {
            Progress::More(decoder) => decoder,
            Progress::Done { message, leftover } => {
                assert!(piece.ends_with(leftover));
                let mut rest = leftover.to_vec();
                pieces.for_each(|piece| rest.extend(piece));
                return Ok(parsed(message, false, rest));
            }
        };
    }
    Ok(parsed(decoder.close()?, true, Vec::new()))
}

/// Reads a stream at once and byte by byte, and checks that the results are equal.
fn read_with(method: &Method, limits: &Limits, stream: &[u8]) -> Result<Parsed, WireError> {
    let whole = read_pieces(method, limits, [stream]);
    assert_eq!(whole, read_pieces(method, limits, stream.chunks(1)));
    match &whole {
        Ok(response) => assert_eq!(
            response.consumed + response.rest.len() as u64,
            stream.len() as u64
        ),
        Err(error) => assert!(error.offset() <= stream.len() as u64, "{error}"),
    }
    whole
}

fn read(stream: impl AsRef<[u8]>) -> Result<Parsed, WireError> {
    read_with(&Method::GET, &Limits::default(), stream.as_ref())
}

fn refused(stream: impl AsRef<[u8]>) -> (WireErrorKind, u64) {
    let error = read(stream.as_ref()).expect_err(&String::from_utf8_lossy(stream.as_ref()));
    (error.kind(), error.offset())
}

/// Returns a head with these fields, which end in CR LF each.
fn head(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
}

fn chunked(rest: &str) -> String {
    format!("{}{rest}", head("Transfer-Encoding: chunked\r\n"))
}

// Accepted responses

#[test]
fn bodies_of_all_framings_are_read() {
    for (stream, body, keep_alive, closed) in [
        // RFC 9112 §6.2.
        (
            head("Content-Length: 5\r\n") + "hello",
            "hello",
            true,
            false,
        ),
        (head("content-length:5\r\n") + "hello", "hello", true, false),
        (
            head("Content-Length: \t005 \r\n") + "hello",
            "hello",
            true,
            false,
        ),
        (head("Content-Length: 0\r\n"), "", true, false),
        (
            head("Content-Length: 5\r\nConnection: close\r\n") + "hello",
            "hello",
            false,
            false,
        ),
        // RFC 9112 §6.3, item 5: the same value again.
        (
            head("Content-Length: 5, 5\r\n") + "hello",
            "hello",
            true,
            false,
        ),
        (
            head("Content-Length: 5\r\nContent-Length: 5\r\n") + "hello",
            "hello",
            true,
            false,
        ),
        // RFC 9112 §7.1.
        (chunked("5\r\nhello\r\n0\r\n\r\n"), "hello", true, false),
        (chunked("0\r\n\r\n"), "", true, false),
        (
            chunked("2\r\nhe\r\n03\r\nllo\r\n000\r\n\r\n"),
            "hello",
            true,
            false,
        ),
        (
            chunked("a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n"),
            "0123456789abcdefghij",
            true,
            false,
        ),
        (
            chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"),
            "hello",
            true,
            false,
        ),
        (
            head("transfer-encoding:\tCHUNKED \r\n") + "5\r\nhello\r\n0\r\n\r\n",
            "hello",
            true,
            false,
        ),
        // RFC 9112 §7.1.1: extensions, and white space before them.
        (
            chunked("5;a=b;c=\"d;\\\" e\"\r\nhello\r\n0 \t;\u{e9}\r\n\r\n"),
            "hello",
            true,
            false,
        ),
        // RFC 9112 §7.1.2.
        (
            chunked("5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 7\r\nTrailer:\r\n\r\n"),
            "hello",
            true,
            false,
        ),
        // RFC 9112 §6.3, item 8.
        (head("") + "hello", "hello", false, true),
        (head("Connection: keep-alive\r\n"), "", false, true),
        // RFC 9112 §9.3.
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
            "hello",
            false,
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello".into(),
            "hello",
            true,
            false,
        ),
        // The reason and the space before it are optional.
        (
            "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n".into(),
            "",
            true,
            false,
        ),
        (
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n".into(),
            "",
            true,
            false,
        ),
        (
            "HTTP/1.1 200 \u{e9}\tl\r\nContent-Length: 0\r\n\r\n".into(),
            "",
            true,
            false,
        ),
    ] {
        let response = read(&stream).unwrap_or_else(|error| panic!("{stream:?}: {error}"));
        assert_eq!(response.body, body.as_bytes(), "{stream:?}");
        assert_eq!(response.keep_alive, keep_alive, "{stream:?}");
        assert_eq!(response.closed, closed, "{stream:?}");
        assert!(response.rest.is_empty(), "{stream:?}");
    }
}

#[test]
fn framing_fields_of_a_response_without_body_are_ignored() {
    // RFC 9112 §6.3, items 1 and 2.
    let head = |status: u16, fields: &str| format!("HTTP/1.1 {status} X\r\n{fields}\r\nnext");
    for (method, status, fields, keep_alive) in [
        (Method::HEAD, 200, "Content-Length: 5\r\n", true),
        (
            Method::HEAD,
            200,
            "Content-Length: 99999999999999999\r\n",
            true,
        ),
        (Method::HEAD, 200, "Transfer-Encoding: chunked\r\n", true),
        (Method::HEAD, 200, "", true),
        (Method::HEAD, 404, "Connection: close\r\n", false),
        (Method::HEAD, 200, "Content-Length: 5, 6\r\n", false),
        (Method::GET, 304, "Content-Length: 5\r\n", true),
        (Method::GET, 304, "Content-Length: x\r\n", false),
        (Method::GET, 204, "", true),
        (Method::GET, 204, "Content-Length: 0\r\n", true),
        // These are forbidden, so the server may send a body all the same.
        (Method::GET, 204, "Content-Length: 4\r\n", false),
        (Method::GET, 204, "Transfer-Encoding: chunked\r\n", false),
        (Method::CONNECT, 200, "Content-Length: 5\r\n", false),
        (Method::CONNECT, 204, "", false),
    ] {
        let stream = head(status, fields);
        let response = read_with(&method, &Limits::default(), stream.as_bytes()).unwrap();
        assert_eq!(response.status, status);
        assert_eq!(response.body, b"", "{method} {stream:?}");
        assert_eq!(response.rest, b"next", "{method} {stream:?}");
        assert_eq!(response.keep_alive, keep_alive, "{method} {stream:?}");
    }
    // The response of a proxy that refuses CONNECT has a body.
    let stream = "HTTP/1.1 407 X\r\nContent-Length: 2\r\n\r\nno";
    let response = read_with(&Method::CONNECT, &Limits::default(), stream.as_bytes());
    assert_eq!(response.unwrap().body, b"no");
}

#[test]
fn head_is_returned_as_sent() {
    let stream = "HTTP/1.0 599 Whatever\r\nA: 1\r\nB:\r\na:\t2 \t3 \r\nFolded: one\r\n  two \r\n\tthree\r\nC: \u{e9}\r\n\r\n";
    let response = read(stream).unwrap();
    assert_eq!(response.status, 599);
    assert_eq!(response.version, Version::HTTP_10);
    let all: Vec<_> = response.headers.get_all("a").iter().collect();
    assert_eq!(all, ["1", "2 \t3"]);
    assert_eq!(response.headers["b"], "");
    assert_eq!(response.headers["folded"], "one two three");
    assert_eq!(response.headers["c"].as_bytes(), "\u{e9}".as_bytes());
    for status in [100, 199, 200, 600, 999] {
        let stream = format!("HTTP/1.1 {status}\r\n\r\n");
        match read(&stream) {
            Ok(response) => assert_eq!(response.status, status),
            Err(error) => assert_eq!(
                (error.kind(), status < 200),
                (WireErrorKind::Truncated, true),
                "{stream:?}"
            ),
        }
    }
}

#[test]
fn trailers_are_not_merged() {
    let response = read(chunked("0\r\nA: b\r\n\r\n")).unwrap();
    assert_eq!(response.headers.len(), 1);
    assert!(response.headers.contains_key("transfer-encoding"));
}

#[test]
fn interim_responses_are_skipped() {
    // RFC 9110 §15.2; their framing fields are ignored.
    let stream = "HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nConnection: close\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let response = read(stream).unwrap();
    assert_eq!((response.status, &*response.body), (200, b"ok".as_slice()));
    assert!(response.keep_alive);
    assert_eq!(response.headers.len(), 1);
}

#[test]
fn responses_to_pipelined_requests_follow_each_other() {
    let stream = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\nA: b\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n\
        HTTP/1.1 200 OK\r\n\r\nthe rest";
    let mut rest = stream.as_bytes().to_vec();
    let mut bodies = Vec::new();
    while !rest.is_empty() {
        let response = read(&rest).unwrap();
        bodies.push(String::from_utf8(response.body).unwrap());
        rest = response.rest;
    }
    assert_eq!(bodies, ["one", "two", "", "the rest"]);
}

// Refused responses

#[test]
fn ambiguous_content_length_is_refused() {
    let at = "HTTP/1.1 200 OK\r\nContent-Length: ".len() as u64;
    for (value, offset) in [
        // RFC 9110 §8.6: 1*DIGIT.
        ("+5", 0),
        ("-0", 0),
        ("-5", 0),
        ("0x5", 0),
        ("5e0", 0),
        ("5.0", 0),
        ("5 5", 0),
        ("5\r\n 5", 0),
        ("\"5\"", 0),
        ("five", 0),
        ("\u{665}", 0),
        ("5;", 0),
        ("5,", 2),
        (",5", 0),
        ("5,,5", 2),
        ("18446744073709551616", 0),
        ("99999999999999999999999999999999", 0),
        // RFC 9112 §6.3, item 5: several values must be valid and equal.
        ("5, 6", 3),
        ("5, 5, 6", 6),
        ("5, 05", 3),
        ("5, +5", 3),
    ] {
        let stream = head(&format!("Content-Length: {value}\r\n")) + "hello!";
        assert_eq!(
            refused(&stream),
            (WireErrorKind::ContentLength, at + offset),
            "{value}"
        );
    }
    let stream = head("Content-Length: \r\n");
    assert_eq!(refused(&stream).0, WireErrorKind::ContentLength);
    let stream = head("Content-Length: 5\r\nA: b\r\nContent-Length: 6\r\n") + "hello!";
    assert_eq!(refused(&stream).0, WireErrorKind::ContentLength);
}

#[test]
fn transfer_coding_other_than_chunked_is_refused() {
    let at = "HTTP/1.1 200 OK\r\nTransfer-Encoding: ".len() as u64;
    // RFC 9112 §6.1, §6.3 and §7.
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "chunked, identity",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked,",
        ", chunked",
        "\"chunked\"",
        "chun\r\n ked",
        "\u{b}chunked",
    ] {
        let stream = head(&format!("Transfer-Encoding: {value}\r\n")) + "0\r\n\r\n";
        let expected = match value.starts_with('\u{b}') {
            true => WireErrorKind::FieldValue,
            false => WireErrorKind::TransferEncoding,
        };
        assert_eq!(refused(&stream), (expected, at), "{value}");
    }
    let twice = head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n";
    assert_eq!(refused(&twice).0, WireErrorKind::TransferEncoding);
    let empty = head("Transfer-Encoding:\r\nContent-Length: 0\r\n");
    assert_eq!(refused(&empty).0, WireErrorKind::TwoLengths);
    // §6.3, item 3, in both orders.
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(
            refused(head(fields) + "0\r\n\r\n").0,
            WireErrorKind::TwoLengths
        );
    }
    // §6.1.
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(old), (WireErrorKind::TransferEncodingVersion, at));
}

#[test]
fn malformed_chunks_are_refused() {
    let at = chunked("").len() as u64;
    // RFC 9112 §7.1.
    for (rest, kind, offset) in [
        ("+5\r\nhello\r\n", WireErrorKind::ChunkSize, 0),
        ("-0\r\n\r\n", WireErrorKind::ChunkSize, 0),
        ("0x5\r\nhello\r\n", WireErrorKind::ChunkSize, 1),
        ("5h\r\nhello\r\n", WireErrorKind::ChunkSize, 1),
        ("\r\nhello\r\n", WireErrorKind::ChunkSize, 0),
        (" 5\r\nhello\r\n", WireErrorKind::ChunkSize, 0),
        (";a\r\n\r\n", WireErrorKind::ChunkSize, 0),
        ("5 \r\nhello\r\n", WireErrorKind::ChunkSize, 2),
        ("5\t5\r\nhello\r\n", WireErrorKind::ChunkSize, 2),
        ("5_0\r\nhello\r\n", WireErrorKind::ChunkSize, 1),
        (
            "00000000000000005\r\nhello\r\n",
            WireErrorKind::ChunkSize,
            16,
        ),
        ("ffffffffffffffff0\r\n", WireErrorKind::ChunkSize, 16),
        ("ffffffffffffffff\r\n", WireErrorKind::BodyTooLong, 16),
        ("8000000000000000;\r\n", WireErrorKind::BodyTooLong, 16),
        // A bare CR or LF ends the line for some readers and not for others.
        ("5\nhello\r\n0\r\n\r\n", WireErrorKind::ChunkSize, 1),
        ("5\rhello\r\n0\r\n\r\n", WireErrorKind::LineEnd, 2),
        ("5\r\rhello\r\n0\r\n\r\n", WireErrorKind::LineEnd, 2),
        ("5;a\nhello\r\n0\r\n\r\n", WireErrorKind::ChunkExtension, 3),
        ("5;a\0\r\nhello\r\n", WireErrorKind::ChunkExtension, 3),
        ("5;a\x7f\r\nhello\r\n", WireErrorKind::ChunkExtension, 3),
        ("5;a\rb\r\nhello\r\n", WireErrorKind::LineEnd, 4),
        ("5\r\nhello0\r\n\r\n", WireErrorKind::ChunkEnd, 8),
        ("5\r\nhello!\r\n0\r\n\r\n", WireErrorKind::ChunkEnd, 8),
        ("5\r\nhello\n0\r\n\r\n", WireErrorKind::ChunkEnd, 8),
        ("5\r\nhello\r0\r\n\r\n", WireErrorKind::ChunkEnd, 9),
        ("6\r\nhello\r\n0\r\n\r\n", WireErrorKind::ChunkEnd, 9),
        // §7.1.2: trailers are fields, each on a line.
        ("0\r\n\n", WireErrorKind::LineEnd, 3),
        ("0\r\n\rX", WireErrorKind::LineEnd, 3),
        ("0\r\nA: b\n\r\n", WireErrorKind::LineEnd, 7),
        ("0\r\n0\r\n\r\n", WireErrorKind::FieldName, 4),
        ("0\r\nA : b\r\n\r\n", WireErrorKind::FieldName, 4),
        ("0\r\n A: b\r\n\r\n", WireErrorKind::FieldName, 3),
        ("0\r\nA: b\r\n c\r\n\r\n", WireErrorKind::FieldName, 9),
        ("0\r\nA: b\0\r\n\r\n", WireErrorKind::FieldValue, 7),
        ("0\r\nHTTP/1.1 200 OK\r\n\r\n", WireErrorKind::FieldName, 7),
    ] {
        assert_eq!(refused(chunked(rest)), (kind, at + offset), "{rest:?}");
    }
}

#[test]
fn malformed_heads_are_refused() {
    for (stream, kind, offset) in [
        // RFC 9112 §4.
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", WireErrorKind::NotHttp, 0),
        (" HTTP/1.1 200 OK\r\n\r\n", WireErrorKind::NotHttp, 0),
        ("http/1.1 200 OK\r\n\r\n", WireErrorKind::NotHttp, 0),
        ("HTTP/2.0 200 OK\r\n\r\n", WireErrorKind::NotHttp, 5),
        ("ICY 200 OK\r\n\r\n", WireErrorKind::NotHttp, 0),
        ("SSH-2.0-OpenSSH\r\n", WireErrorKind::NotHttp, 0),
        ("\x15\x03\x01\x00\x02\x02\x28", WireErrorKind::NotHttp, 0),
        ("HTTP/1.2 200 OK\r\n\r\n", WireErrorKind::StatusLine, 7),
        ("HTTP/1.\r\n\r\n", WireErrorKind::StatusLine, 7),
        ("HTTP/1.10 200 OK\r\n\r\n", WireErrorKind::StatusLine, 8),
        ("HTTP/1.1  200 OK\r\n\r\n", WireErrorKind::StatusLine, 9),
        ("HTTP/1.1\t200 OK\r\n\r\n", WireErrorKind::StatusLine, 8),
        ("HTTP/1.1 20 OK\r\n\r\n", WireErrorKind::StatusLine, 11),
        ("HTTP/1.1 2000 OK\r\n\r\n", WireErrorKind::StatusLine, 12),
        ("HTTP/1.1 +20 OK\r\n\r\n", WireErrorKind::StatusLine, 9),
        ("HTTP/1.1 000 OK\r\n\r\n", WireErrorKind::StatusLine, 9),
        ("HTTP/1.1 099 OK\r\n\r\n", WireErrorKind::StatusLine, 9),
        ("HTTP/1.1 200\tOK\r\n\r\n", WireErrorKind::StatusLine, 12),
        ("HTTP/1.1 200 O\0K\r\n\r\n", WireErrorKind::StatusLine, 14),
        ("HTTP/1.1\r\n\r\n", WireErrorKind::StatusLine, 8),
        // RFC 9112 §2.2.
        ("HTTP/1.1 200 OK\n\r\n", WireErrorKind::LineEnd, 15),
        ("HTTP/1.1 200 OK\r\n\n", WireErrorKind::LineEnd, 17),
        ("HTTP/1.1 200 OK\r\nA: b\n\r\n", WireErrorKind::LineEnd, 21),
        (
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            WireErrorKind::LineEnd,
            21,
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
            WireErrorKind::LineEnd,
            21,
        ),
        ("HTTP/1.1 200 OK\r\n\rX", WireErrorKind::LineEnd, 17),
        ("HTTP/1.1 200 OK\rX: y\r\n\r\n", WireErrorKind::LineEnd, 15),
        // RFC 9112 §5.1.
        (
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            WireErrorKind::FieldName,
            18,
        ),
        (
            "HTTP/1.1 200 OK\r\nA\t: b\r\n\r\n",
            WireErrorKind::FieldName,
            18,
        ),
        (
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            WireErrorKind::FieldName,
            17,
        ),
        ("HTTP/1.1 200 OK\r\nA\r\n\r\n", WireErrorKind::FieldName, 18),
        (
            "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            WireErrorKind::FieldName,
            18,
        ),
        (
            "HTTP/1.1 200 OK\r\nA\0: c\r\n\r\n",
            WireErrorKind::FieldName,
            18,
        ),
        (
            "HTTP/1.1 200 OK\r\n\u{e9}: c\r\n\r\n",
            WireErrorKind::FieldName,
            17,
        ),
        // RFC 9112 §2.2: white space before the first field.
        (
            "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            WireErrorKind::FieldName,
            17,
        ),
        // RFC 9110 §5.5.
        (
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            WireErrorKind::FieldValue,
            21,
        ),
        (
            "HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n",
            WireErrorKind::FieldValue,
            20,
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b\r\n \x1b\r\n\r\n",
            WireErrorKind::FieldValue,
            24,
        ),
        // RFC 9110 §7.8.
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            WireErrorKind::Upgrade,
            9,
        ),
    ] {
        assert_eq!(refused(stream), (kind, offset), "{stream:?}");
    }
    // Offsets include interim responses.
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let stream = format!("{interim}HTTP/1.1 200 OK\r\nA : b\r\n\r\n");
    let offset = interim.len() as u64;
    assert_eq!(refused(stream), (WireErrorKind::FieldName, offset + 18));
    assert_eq!(
        refused(format!("{interim}\r\n")),
        (WireErrorKind::NotHttp, offset)
    );
}

#[test]
fn other_protocol_is_refused_at_its_first_byte() {
    let decoder = Decoder::new(&Method::GET, &Limits::default());
    let error = decoder.push(b"SSH").unwrap_err();
    assert_eq!((error.kind(), error.offset()), (WireErrorKind::NotHttp, 0));
}

#[test]
fn stream_that_ends_too_early_is_an_error_at_every_byte() {
    for stream in [
        head("Content-Length: 5\r\n") + "hello",
        chunked("2;a\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"),
        String::from("HTTP/1.1 204 No Content\r\n\r\n"),
        format!(
            "HTTP/1.1 100 Continue\r\n\r\n{}",
            head("Content-Length: 1\r\n") + "x"
        ),
    ] {
        assert!(read(&stream).is_ok(), "{stream:?}");
        for end in 0..stream.len() {
            let cut = &stream[..end];
            assert_eq!(
                refused(cut),
                (WireErrorKind::Truncated, end as u64),
                "{cut:?}"
            );
        }
    }
    // RFC 9112 §8: without a length, only the head can end too early.
    let stream = head("") + "hello";
    for end in 0..stream.len() {
        let whole = end >= stream.len() - 5;
        assert_eq!(read(&stream[..end]).is_ok(), whole);
    }
}

// Limits

/// Checks that the stream is accepted with this limit, and refused with a limit that is one less.
fn check_limit(stream: &str, kind: WireErrorKind, set: impl Fn(&mut Limits, usize), limit: usize) {
    for (limit, fine) in [(limit, true), (limit + 1, true), (limit - 1, false)] {
        let mut limits = Limits::default();
        set(&mut limits, limit);
        match read_with(&Method::GET, &limits, stream.as_bytes()) {
            Ok(_) => assert!(fine, "{limit}: {stream:?}"),
            Err(error) => {
                assert!(!fine, "{limit}: {stream:?}: {error}");
                assert_eq!(error.kind(), kind, "{stream:?}");
                assert!(error.is_limit());
            }
        }
    }
}

#[test]
fn bytes_of_head_are_bounded() {
    let set = |limits: &mut Limits, limit| limits.head_bytes = limit;
    let plain = head("A: b\r\nContent-Length: 0\r\n");
    check_limit(&plain, WireErrorKind::HeadTooLong, set, plain.len());
    let interim = "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n";
    let both = format!("{interim}{plain}");
    check_limit(&both, WireErrorKind::HeadTooLong, set, both.len());
    let start = chunked("");
    let trailers = "A: b\r\n\r\n";
    let with_body = format!("{start}5\r\nhello\r\n0\r\n{trailers}");
    check_limit(
        &with_body,
        WireErrorKind::HeadTooLong,
        set,
        start.len() + trailers.len(),
    );

    // The error is at the first byte over the limit.
    let mut limits = Limits::default();
    limits.head_bytes = 100;
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(1000));
    let error = read_with(&Method::GET, &limits, endless.as_bytes()).unwrap_err();
    assert_eq!(
        (error.kind(), error.offset()),
        (WireErrorKind::HeadTooLong, 100)
    );
}

#[test]
fn fields_are_bounded() {
    let set = |limits: &mut Limits, limit| limits.headers = limit;
    // A fold is not a field; a field with an empty value is one.
    let plain = head("A: b\r\n c\r\nB:\r\nContent-Length: 0\r\n");
    check_limit(&plain, WireErrorKind::TooManyFields, set, 3);
    let both = format!("HTTP/1.1 103 X\r\nA: b\r\n\r\n{plain}");
    check_limit(&both, WireErrorKind::TooManyFields, set, 4);
    let trailers = chunked("0\r\nA: b\r\nB: c\r\n\r\n");
    check_limit(&trailers, WireErrorKind::TooManyFields, set, 3);
}

#[test]
fn more_fields_than_http_can_hold_are_refused() {
    let mut limits = Limits::default();
    limits.headers = usize::MAX;
    limits.head_bytes = usize::MAX;
    let stream = head(&"A:\r\n".repeat(40_000));
    let error = read_pieces(&Method::GET, &limits, [stream.as_bytes()]).unwrap_err();
    assert_eq!(error.kind(), WireErrorKind::TooManyFields);
}

#[test]
fn bodies_are_bounded() {
    let set = |limits: &mut Limits, limit| limits.body_bytes = limit;
    let length = head("Content-Length: 5\r\n") + "hello";
    check_limit(&length, WireErrorKind::BodyTooLong, set, 5);
    check_limit(
        &chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        WireErrorKind::BodyTooLong,
        set,
        5,
    );
    check_limit(&(head("") + "hello"), WireErrorKind::BodyTooLong, set, 5);

    let mut none = Limits::default();
    none.body_bytes = 0;
    for stream in [
        head(""),
        head("Content-Length: 0\r\n"),
        chunked("0\r\n\r\n"),
    ] {
        assert!(read_with(&Method::GET, &none, stream.as_bytes()).is_ok());
    }
}

#[test]
fn announced_size_over_the_limit_is_refused_at_once() {
    let limit = Limits::default().body_bytes;
    for (stream, offset) in [
        (head(&format!("Content-Length: {}\r\n", limit + 1)), 33),
        (head("Content-Length: 18446744073709551615\r\n"), 33),
        (
            chunked(&format!("{:x}\r", limit + 1)),
            chunked("1000001").len(),
        ),
    ] {
        let decoder = Decoder::new(&Method::GET, &Limits::default());
        let error = decoder.push(stream.as_bytes()).unwrap_err();
        let expected = (WireErrorKind::BodyTooLong, offset as u64);
        assert_eq!((error.kind(), error.offset()), expected, "{stream:?}");
    }
    // An announced size within the limit is accepted.
    let stream = head(&format!("Content-Length: {limit}\r\n")) + "a";
    let decoder = Decoder::new(&Method::GET, &Limits::default());
    assert!(matches!(
        decoder.push(stream.as_bytes()),
        Ok(Progress::More(_))
    ));
}

#[test]
fn body_of_an_error_is_read_up_to_its_limit_only() {
    let most = Limits::default().error_body_bytes + 1;
    let head = |fields: &str| format!("HTTP/1.1 500 No\r\n{fields}\r\n");
    let chunked = |size: u64| head("Transfer-Encoding: chunked\r\n") + &format!("{size:x}\r\n");
    for stream in [
        head("Content-Length: 18446744073709551615\r\n"),
        head(""),
        chunked(u64::MAX),
        chunked(17 << 20),
    ] {
        let decoder = Decoder::new(&Method::GET, &Limits::default());
        let Ok(Progress::More(decoder)) = decoder.push(stream.as_bytes()) else {
            panic!("there is more to come")
        };
        let body = "x".repeat(most + 9);
        let Ok(Progress::Done { message, leftover }) = decoder.push(body.as_bytes()) else {
            panic!("the body is long enough")
        };
        assert_eq!(message.response.status(), 500);
        assert_eq!(message.response.body().len(), most);
        assert!(!message.keep_alive);
        assert_eq!(leftover.len(), 9);
    }
    // With a limit of 0, the response ends with its head.
    let mut limits = Limits::default();
    limits.body_bytes = 0;
    for stream in [
        head("Content-Length: 5\r\n"),
        head(""),
        head("Transfer-Encoding: chunked\r\n"),
    ] {
        let decoder = Decoder::new(&Method::GET, &limits);
        let Ok(Progress::Done { message, .. }) = decoder.push(stream.as_bytes()) else {
            panic!("the body is long enough")
        };
        assert!(message.response.body().is_empty() && !message.keep_alive);
    }
    // A body within the limit is read to its end.
    let body = "x".repeat(most - 1);
    let whole = head(&format!("Content-Length: {}\r\n", most - 1)) + &body;
    let decoder = Decoder::new(&Method::GET, &Limits::default());
    let Ok(Progress::Done { message, .. }) = decoder.push(whole.as_bytes()) else {
        panic!("it is complete")
    };
    assert!(message.keep_alive);
}

#[test]
fn interim_responses_are_bounded() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let last = head("Content-Length: 0\r\n");
    let most = usize::try_from(MAX_INTERIM).unwrap();
    assert!(read(interim.repeat(most) + &last).is_ok());
    let stream = interim.repeat(most + 1) + &last;
    let offset = interim.len() * most + "HTTP/1.1 ".len();
    assert_eq!(
        refused(stream),
        (WireErrorKind::TooManyInterim, offset as u64)
    );
}

#[test]
fn chunk_extensions_are_bounded() {
    // The extensions of all chunks count, from after the size to the CR.
    let stream = |n: usize| chunked(&format!("5 ;a\r\nhello\r\n0;{};\r\n\r\n", "b".repeat(n)));
    let fits = CHUNK_EXTENSION_BYTES - " ;a;;".len();
    assert!(read(stream(fits)).is_ok());
    let offset = chunked("5 ;a\r\nhello\r\n0;").len() + fits + 1;
    let expected = (WireErrorKind::ExtensionsTooLong, offset as u64);
    assert_eq!(refused(stream(fits + 1)), expected);
    assert_eq!(
        refused(chunked(&format!(
            "0{}",
            " ".repeat(CHUNK_EXTENSION_BYTES + 1)
        )))
        .0,
        WireErrorKind::ExtensionsTooLong
    );
}

// Errors

#[test]
fn error_is_one_line_and_shows_nothing_of_the_response() {
    for stream in [
        "".into(),
        "hunter2".into(),
        "HTTP/1.1 hunter2\r\n\r\n".into(),
        head("hunter2\r\n"),
        head("A: hunter2\0\r\n"),
        head("Content-Length: hunter2\r\n"),
        head("Transfer-Encoding: hunter2\r\n"),
        chunked("hunter2"),
        chunked("5\r\nhunter2\r\n"),
        chunked("5;hunter2\0\r\n"),
        head("Content-Length: 500\r\n") + "hunter2",
    ] {
        let error = read(&stream).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains('\n'),
            "{shown}"
        );
        assert!(error.to_string().contains(&error.offset().to_string()) || error.offset() == 0);
        assert!(error.source().is_none());
        assert_eq!(error, error.clone());
    }
    let error = read("HTTP/1.1 200 OK\r\nA : b\r\n\r\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the response is refused at byte 18: \
         a field name is not a token directly followed by a colon (RFC 9112 §5.1)"
    );
    let error = read("HTTP/1.1 200 OK\r\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stream ended inside the response, after 17 bytes"
    );
}

#[test]
fn debug_shows_no_content() {
    let decoder = Decoder::new(&Method::GET, &Limits::default());
    let stream = head("A: hunter2\r\nContent-Length: 14\r\n") + "hunter2";
    let Ok(Progress::More(decoder)) = decoder.push(stream.as_bytes()) else {
        panic!("there is more to come");
    };
    let shown = format!("{decoder:?}");
    let done = decoder.push(b"hunter2hunter2").unwrap();
    let shown = format!("{shown} {done:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("body_bytes: 14"), "{shown}");
    assert!(shown.contains("leftover_bytes: 7"), "{shown}");
}

#[test]
fn failure_tells_the_session_whether_to_try_again() {
    fn end(failure: impl Into<Failure>) -> (bool, Option<Error>) {
        let credentials = Credentials::bearer("a.token").unwrap();
        let mut session = Session::new(BaseUrl::default(), credentials);
        let list = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
        let now = Moment::new(std::time::Duration::from_secs(1_790_000_000), [7; 16]);
        let Ok(Step::<Vec<u8>>::Send(Exchange { pending, .. })) = session.start(&list, now) else {
            panic!("a bearer token is sent at once");
        };
        match session.fail::<Vec<u8>>(pending, failure.into(), now) {
            Ok(step) => (matches!(step, Step::Wait(_)), None),
            Err(error) => (false, Some(error)),
        }
    }
    // A lost request is tried again.
    assert!(end(read("").unwrap_err()).0);
    assert!(end(read(chunked("5\r\nhello!")).unwrap_err()).0);
    // A permanent failure is returned at once, with its source.
    for stream in [
        head("Content-Length: 99999999999\r\n"),
        head(&"A: b\r\n".repeat(129)),
    ] {
        let expected = read(&stream).unwrap_err();
        let (_, Some(error)) = end(expected) else {
            panic!("it would be too long again");
        };
        assert!(matches!(
            error,
            Error::Transport {
                kind: FailureKind::Permanent,
                ..
            }
        ));
        assert_eq!(error.source().unwrap().to_string(), expected.to_string());
    }
    let error = encode(&Request::new("")).unwrap_err();
    assert!(end(error).1.is_some());
}

// Many bytes

#[test]
fn megabyte_is_read_byte_by_byte() {
    let body = "0123456789abcdef".repeat(1 << 16);
    for stream in [
        head(&format!("Content-Length: {}\r\n", body.len())) + &body,
        chunked(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())),
        head("") + &body,
    ] {
        let response = read_pieces(
            &Method::GET,
            &Limits::default(),
            stream.as_bytes().chunks(1),
        );
        assert!(response.unwrap().body == body.as_bytes());
    }
}

// Properties

/// A valid response, and the expected result.
#[derive(Clone, Debug)]
struct Valid {
    method: Method,
    stream: Vec<u8>,
    status: u16,
    body: Vec<u8>,
    until_close: bool,
}

#[derive(Clone, Debug)]
enum Framing {
    Length,
    Chunked {
        sizes: Vec<usize>,
        extension: String,
        trailers: Vec<(String, String)>,
    },
    UntilClose,
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = "X-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,8}";
    let value = "([!-~\u{e9}]([ -~\t\u{e9}]{0,12}[!-~])?)?";
    prop::collection::vec((name, value), 0..4)
}

fn lines(fields: &[(String, String)], fold: bool) -> String {
    let line = |(name, value): &(String, String)| match fold {
        true => format!("{name}:\t{}\r\n", value.replace(' ', " \r\n\t")),
        false => format!("{name}: {value}\r\n"),
    };
    fields.iter().map(line).collect()
}

fn valid() -> impl Strategy<Value = Valid> {
    let framing = prop_oneof![
        Just(Framing::Length),
        Just(Framing::UntilClose),
        (
            prop::collection::vec(1usize..40, 0..6),
            "(|;[a-z]{0,5}(=\"[ -!#-~]{0,5}\")?)",
            fields()
        )
            .prop_map(|(sizes, extension, trailers)| Framing::Chunked {
                sizes,
                extension,
                trailers
            }),
    ];
    let method = prop_oneof![4 => Just(Method::GET), 1 => Just(Method::HEAD)];
    let status = prop_oneof![4 => Just(200u16), 1 => Just(204), 1 => Just(304), 2 => 200u16..=999];
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let about = (
        method,
        status,
        "(| [ -~\u{e9}]{0,9})",
        fields(),
        any::<bool>(),
    );
    (about, framing, body, 0usize..3).prop_map(
        |((method, status, reason, fields, fold), framing, body, interim)| {
            let mut stream = "HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n".repeat(interim);
            stream += &format!("HTTP/1.1 {status}{reason}\r\n{}", lines(&fields, fold));
            match &framing {
                Framing::Length => stream += &format!("Content-Length: {}\r\n", body.len()),
                Framing::Chunked { .. } => stream += "Transfer-Encoding: chunked\r\n",
                Framing::UntilClose => {}
            }
            stream += "\r\n";
            let mut stream = stream.into_bytes();
            let none = method == Method::HEAD || matches!(status, 204 | 304);
            let until_close = matches!(framing, Framing::UntilClose) && !none;
            if none {
                return Valid {
                    method,
                    stream,
                    status,
                    body: Vec::new(),
                    until_close,
                };
            }
            match framing {
                Framing::Length | Framing::UntilClose => stream.extend(&body),
                Framing::Chunked {
                    sizes,
                    extension,
                    trailers,
                } => {
                    let mut rest = body.as_slice();
                    for size in sizes.into_iter().chain([usize::MAX]) {
                        let (chunk, after) = rest.split_at(size.min(rest.len()));
                        rest = after;
                        if !chunk.is_empty() {
                            let size = format!("{:x}{extension}\r\n", chunk.len());
                            stream.extend([size.as_bytes(), chunk, b"\r\n"].concat());
                        }
                    }
                    let trailers = lines(&trailers, false);
                    stream.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
                }
            }
            Valid {
                method,
                stream,
                status,
                body,
                until_close,
            }
        },
    )
}

/// Cuts a stream at these positions.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &stream[pair[0]..pair[1]])
        .collect()
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Repeat(Index, Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![
        prop::sample::select(b"\r\n\0 \t:;,05fF+-x".to_vec()),
        any::<u8>()
    ];
    prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<(Index, Index)>().prop_map(|(at, to)| Mutation::Repeat(at, to)),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(stream: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        let len = stream.len() + 1;
        match mutation {
            Mutation::Set(at, byte) => {
                if let Some(place) = stream.get_mut(at.index(len)) {
                    *place = *byte;
                }
            }
            Mutation::Insert(at, byte) => stream.insert(at.index(len), *byte),
            Mutation::Remove(at) => drop(stream.drain(at.index(len)..).next()),
            Mutation::Repeat(at, to) => {
                let (at, to) = (at.index(len), to.index(len));
                stream.extend_from_within(at.min(to)..at.max(to));
            }
            Mutation::Truncate(at) => stream.truncate(at.index(len)),
        }
    }
}

/// Generates limits, many of them so small that the streams reach them.
fn limits() -> impl Strategy<Value = Limits> {
    prop_oneof![
        Just((64 << 10, 128, 16 << 20)),
        (0usize..200, 0usize..8, 0usize..200)
    ]
    .prop_map(|(head_bytes, headers, body_bytes)| {
        let mut limits = Limits::default();
        limits.head_bytes = head_bytes;
        limits.headers = headers;
        limits.body_bytes = body_bytes;
        limits
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn valid_response_is_read_in_pieces_of_any_size(
        valid in valid(),
        next in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let Valid { method, mut stream, status, mut body, until_close } = valid;
        stream.extend(&next);
        let response = read_pieces(&method, &Limits::default(), pieces(&stream, &cuts)).unwrap();
        prop_assert_eq!(response.status, status);
        prop_assert_eq!(response.closed, until_close);
        prop_assert_eq!(response.consumed + response.rest.len() as u64, stream.len() as u64);
        if until_close {
            body.extend(&next);
        } else {
            prop_assert_eq!(&response.rest, &next);
        }
        prop_assert_eq!(&response.body, &body);
        let folded = |value: &HeaderValue| value.as_bytes().contains(&b'\n');
        prop_assert!(!response.headers.values().any(folded));
        let whole = read_with(&method, &Limits::default(), &stream);
        prop_assert_eq!(whole, Ok(response));
    }

    #[test]
    fn size_of_the_pieces_does_not_change_the_result(
        valid in valid(),
        mutations in prop::collection::vec(mutation(), 0..4),
        limits in limits(),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let Valid { method, mut stream, .. } = valid;
        mutate(&mut stream, &mutations);
        let whole = read_with(&method, &limits, &stream);
        prop_assert_eq!(&whole, &read_pieces(&method, &limits, pieces(&stream, &cuts)));
        match whole {
            Ok(response) => {
                prop_assert!(response.body.len() <= limits.body_bytes);
                prop_assert!(response.headers.len() <= limits.headers);
                prop_assert!(!(response.closed && response.keep_alive));
                // The consumed bytes alone give the same response.
                let taken = &stream[..stream.len() - response.rest.len()];
                let again = read_with(&method, &limits, taken).unwrap();
                prop_assert_eq!(again, Parsed { rest: Vec::new(), ..response });
            }
            Err(error) if error.kind() != WireErrorKind::Truncated => {
                // Bytes after the error do not change it.
                let mut longer = stream.clone();
                longer.extend(b"\r\n\r\n0");
                prop_assert_eq!(read_with(&method, &limits, &longer), Err(error));
            }
            Err(error) => prop_assert_eq!(error.offset(), stream.len() as u64),
        }
    }

    #[test]
    fn random_bytes_have_the_same_result_in_pieces_of_any_size(
        noise in prop::collection::vec(any::<u8>(), 0..100),
        start in prop::sample::select(vec![
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA:", "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        ]),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let stream = [start.as_bytes(), &noise].concat();
        let whole = read_with(&Method::GET, &Limits::default(), &stream);
        let cut = read_pieces(&Method::GET, &Limits::default(), pieces(&stream, &cuts));
        prop_assert_eq!(whole, cut);
    }

    /// Another parser reads an encoded request as it was.
    #[test]
    fn encoded_request_is_read_by_another_parser(
        method in prop::sample::select(vec!["GET", "POST", "DELETE", "PURGE"]),
        host in "[a-z]{1,8}\\.example(:[0-9]{1,4})?",
        user in "([a-z]{1,5}(:[a-z]{0,5})?@)?",
        target in "(/[a-zA-Z0-9%/.~-]{0,12}(\\?[a-z0-9=&%/?]{0,12})?)?",
        fields in fields(),
        body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("https://{user}{host}{target}"));
        for (name, value) in &fields {
            builder = builder.header(name, value);
        }
        let Ok(request) = builder.body(&body) else { return Ok(()) }; // "%" with no digits.
        let bytes = encode(&request).unwrap();
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut slots);
        let httparse::Status::Complete(head) = parsed.parse(bytes.as_bytes()).unwrap() else {
            panic!("the head is complete");
        };
        prop_assert_eq!(parsed.method, Some(method));
        prop_assert_eq!(parsed.path, Some(if target.is_empty() { "/" } else { &target }));
        prop_assert_eq!(parsed.version, Some(1));
        prop_assert_eq!(&bytes.as_bytes()[head..], &body);
        let mut read: Vec<(String, Vec<u8>)> = parsed.headers.iter()
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
            .collect();
        prop_assert_eq!(read.remove(0), (String::from("host"), host.into_bytes()));
        if !body.is_empty() {
            let length = (String::from("content-length"), body.len().to_string().into_bytes());
            prop_assert_eq!(read.pop(), Some(length));
        }
        let sent: Vec<_> = request.headers().iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        prop_assert_eq!(read, sent);
    }
}

#[test]
fn response_has_the_type_that_a_session_takes() {
    fn takes(_: Response<Vec<u8>>) {}
    let decoder = Decoder::new(&Method::GET, &Limits::default());
    let Ok(Progress::Done { message, leftover }) = decoder.push(b"HTTP/1.1 204 X\r\n\r\n") else {
        panic!("it is complete");
    };
    assert_eq!(message.response.status(), StatusCode::NO_CONTENT);
    assert!(leftover.is_empty());
    takes(message.response);
}
