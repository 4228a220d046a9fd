//! Faults of a response's bytes: cut or slow responses, all framings of RFC 9112, and invalid ones.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::context::FaultContext;
use super::delivery::DeliveryStep::{
    self, Body, Bytes, Close, HalfBody, HalfHead, Head, HeadWithoutLength, Http10Head, RepeatBytes,
    Reset, Stall, Throttle,
};
use super::row::faults;

faults![
    FAULTS,
    Socket,
    fault(
        RESET_BEFORE_HEAD,
        "reset-before-head",
        "resets the connection (RST) instead of sending a response",
        |cx| cx.set_delivery([Reset]),
    ),
    fault(
        RESET_IN_HEAD,
        "reset-in-head",
        "resets the connection (RST) in the middle of the head",
        |cx| cx.set_delivery([HalfHead, Reset]),
    ),
    fault(
        RESET_IN_BODY,
        "reset-in-body",
        "resets the connection (RST) in the middle of the body",
        |cx| cx.set_delivery([Head, HalfBody, Reset]),
    ),
    fault(
        CLOSE_BEFORE_HEAD,
        "close-before-head",
        "closes the connection instead of sending a response",
        |cx| cx.set_delivery([Close]),
    ),
    fault(
        CLOSE_IN_HEAD,
        "close-in-head",
        "closes the connection in the middle of the head",
        |cx| cx.set_delivery([HalfHead, Close]),
    ),
    fault(
        CLOSE_IN_BODY,
        "close-in-body",
        "closes the connection in the middle of the body",
        |cx| cx.set_delivery([Head, HalfBody, Close]),
    ),
    fault(
        STALL_BEFORE_HEAD,
        "stall-before-head",
        "sends nothing for 30 seconds, then closes the connection",
        |cx| cx.set_delivery([Stall]),
    ),
    fault(
        STALL_IN_HEAD,
        "stall-in-head",
        "stops in the middle of the head for 30 seconds, then closes the connection",
        |cx| cx.set_delivery([HalfHead, Stall]),
    ),
    fault(
        STALL_IN_BODY,
        "stall-in-body",
        "stops in the middle of the body for 30 seconds, then closes the connection",
        |cx| cx.set_delivery([Head, HalfBody, Stall]),
    ),
    harmless(
        SLOW_HEAD,
        "slow-head",
        "sends the head in pieces of 8 bytes, with this pause between two pieces",
        |cx| {
            let throttle = Throttle(8, cx.delay());
            cx.set_delivery([throttle, Head, UNTHROTTLED, Body]);
        },
    )
    .with(delay(10, 0, 60_000)),
    harmless(
        SLOW_BODY,
        "slow-body",
        "sends the body in pieces of 64 bytes, with this pause between two pieces",
        |cx| {
            let throttle = Throttle(64, cx.delay());
            cx.set_delivery([Head, throttle, Body]);
        },
    )
    .with(delay(10, 0, 60_000)),
    harmless(
        BYTE_BY_BYTE,
        "byte-by-byte",
        "sends every byte in its own segment, without delay",
        |cx| cx.set_delivery([Throttle(1, Duration::ZERO), Head, Body]),
    ),
    fault(
        LENGTH_TOO_SMALL,
        "length-too-small",
        "Content-Length is this many bytes too small, but the whole body is sent",
        |cx| {
            let length = cx.response.body().len().saturating_sub(cx.size());
            cx.set_header(header::CONTENT_LENGTH, length.to_string());
        },
    )
    .with(number(10, 1, 1_000_000)),
    fault(
        LENGTH_TOO_LARGE,
        "length-too-large",
        "Content-Length is this many bytes too large; the connection is closed after the body",
        |cx| {
            let length = cx.response.body().len().saturating_add(cx.size());
            cx.set_header(header::CONTENT_LENGTH, length.to_string());
        },
    )
    .with(number(10, 1, u64::MAX / 2)),
    fault(
        LENGTH_CONFLICTING,
        "length-conflicting",
        "two Content-Length fields with different values; the first is right",
        |cx| {
            let length = cx.response.body().len();
            cx.set_header(header::CONTENT_LENGTH, length.to_string());
            cx.add_header(header::CONTENT_LENGTH, (length / 2).to_string());
        },
    ),
    fault(
        LENGTH_TEXT,
        "length-text",
        "Content-Length is a word",
        |cx| {
            cx.set_header(header::CONTENT_LENGTH, "many");
        }
    ),
    fault(
        LENGTH_NEGATIVE,
        "length-negative",
        "Content-Length is -1",
        |cx| {
            cx.set_header(header::CONTENT_LENGTH, "-1");
        }
    ),
    fault(
        LENGTH_HUGE,
        "length-huge",
        "Content-Length has this value; nothing follows the page for 30 seconds",
        |cx| {
            let length = cx.value.to_string();
            cx.set_header(header::CONTENT_LENGTH, length);
            cx.set_header(header::CONNECTION, "keep-alive");
            cx.set_delivery([Head, Body, Stall]);
        },
    )
    .with(number(1 << 40, 1, u64::MAX)),
    fault(
        LENGTH_MAX,
        "length-max",
        "Content-Length is 2^64 - 1; the connection is closed after the body",
        |cx| cx.set_header(header::CONTENT_LENGTH, u64::MAX.to_string()),
    ),
    fault(
        LENGTH_OVERFLOW,
        "length-overflow",
        "Content-Length is 2^64; the connection is closed after the body",
        |cx| cx.set_header(header::CONTENT_LENGTH, "18446744073709551616"),
    ),
    fault(
        LENGTH_AND_CHUNKED,
        "length-and-chunked",
        "both Content-Length and Transfer-Encoding, as in response smuggling",
        |cx| {
            let length = cx.response.body().len();
            chunk(cx, "");
            // The last chunk is present, so that only the two framings together are wrong.
            cx.edit_body(|body| [body, LAST_CHUNK.to_vec()].concat());
            cx.set_header(header::CONTENT_LENGTH, length.to_string());
        },
    ),
    harmless(CHUNKED, "chunked", "the body is sent in chunks", |cx| {
        chunk(cx, "");
        cx.edit_body(|body| [body, LAST_CHUNK.to_vec()].concat());
    }),
    harmless(
        CHUNKED_EXTENSIONS,
        "chunked-extensions",
        "the body is sent in chunks with short extensions",
        |cx| {
            chunk(cx, ";a=\"b;c\"");
            cx.edit_body(|body| [&body, b"0;d".as_slice(), b"\r\n\r\n"].concat());
        },
    ),
    fault(
        CHUNKED_EXTENSIONS_LONG,
        "chunked-extensions-long",
        "the body is sent in chunks, each with an extension whose name has this many bytes",
        |cx| {
            chunk(cx, &format!(";{}", "a".repeat(cx.size())));
            cx.edit_body(|body| [&body, LAST_CHUNK].concat());
        },
    )
    .with(number(4096, 1, 1 << 20)),
    harmless(
        CHUNKED_TRAILERS,
        "chunked-trailers",
        "the body is sent in chunks, with trailer fields after the last one",
        |cx| {
            chunk(cx, "");
            let trailers = b"0\r\nx-checksum: none\r\ncontent-length: 5\r\n\r\n";
            cx.edit_body(|body| [body, trailers.to_vec()].concat());
        },
    ),
    fault(
        TRAILER_LONG,
        "trailer-long",
        "a trailer field whose value has this many bytes follows the last chunk",
        |cx| {
            chunk(cx, "");
            let value = vec![b'a'; cx.size()];
            cx.edit_body(|body| [&body, b"0\r\nx-long: ".as_slice(), &value, b"\r\n\r\n"].concat());
        },
    )
    .with(number(1 << 20, 1, 64 << 20)),
    fault(
        TRAILERS_ENDLESS,
        "trailers-endless",
        "after the last chunk, one trailer field after another for 30 seconds or 4 GiB",
        |cx| {
            chunk(cx, "");
            cx.edit_body(|body| [&body, b"0\r\n".as_slice()].concat());
            let trailers = RepeatBytes(b"x-endless: 1\r\n".to_vec());
            cx.set_delivery([Head, Body, trailers]);
        },
    ),
    fault(
        CHUNK_SIZE_BAD,
        "chunk-size-bad",
        "a chunk's size is not a number",
        |cx| {
            chunk(cx, "");
            cx.edit_body(|body| [&body, b"five\r\nhello\r\n".as_slice(), LAST_CHUNK].concat());
        }
    ),
    fault(
        CHUNK_SIZE_HUGE,
        "chunk-size-huge",
        "the size of a chunk is 2^64 - 1, but it has five bytes",
        |cx| {
            chunk(cx, "");
            cx.edit_body(|body| {
                [
                    &body,
                    b"ffffffffffffffff\r\nhello\r\n".as_slice(),
                    LAST_CHUNK,
                ]
                .concat()
            });
        },
    ),
    fault(
        CHUNK_SIZE_OVERFLOW,
        "chunk-size-overflow",
        "the size of a chunk is 2^64 + 5, but it has five bytes",
        |cx| {
            chunk(cx, "");
            cx.edit_body(|body| {
                [
                    &body,
                    b"10000000000000005\r\nhello\r\n".as_slice(),
                    LAST_CHUNK,
                ]
                .concat()
            });
        },
    ),
    fault(
        CHUNKS_TRUNCATED,
        "chunks-truncated",
        "the body is sent in chunks, but the connection is closed before the last chunk",
        |cx| chunk(cx, ""),
    ),
    fault(
        CHUNKS_ENDLESS,
        "chunks-endless",
        "one chunk of spaces after another, for 30 seconds or 4 GiB",
        |cx| {
            cx.set_header(header::TRANSFER_ENCODING, "chunked");
            cx.remove_header(header::CONTENT_ENCODING);
            let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
            cx.set_delivery([Head, RepeatBytes(chunk)]);
        },
    ),
    harmless(
        BODY_UNTIL_CLOSE,
        "body-until-close",
        "no Content-Length; the body ends with the connection",
        |cx| cx.set_delivery([HeadWithoutLength, Body, Close]),
    ),
    fault(
        BODY_ENDLESS,
        "body-endless",
        "no Content-Length, and spaces instead of the body for 30 seconds or 4 GiB",
        |cx| {
            cx.remove_header(header::CONTENT_ENCODING);
            let spaces = RepeatBytes(vec![b' '; 0x1000]);
            cx.set_delivery([HeadWithoutLength, spaces]);
        },
    ),
    harmless(
        HTTP_1_0,
        "http-1-0",
        "an HTTP/1.0 response without a length; the connection is closed after it",
        |cx| cx.set_delivery([Http10Head, Body, Close]),
    ),
    fault(
        HEADER_LONG,
        "header-long",
        "a header field whose value has this many bytes",
        |cx| {
            let value = vec![b'a'; cx.size()];
            cx.set_header(HeaderName::from_static("x-long"), value);
        },
    )
    .with(number(1 << 20, 1, 64 << 20)),
    fault(
        HEADERS_MANY,
        "headers-many",
        "this many additional header fields",
        |cx| {
            for number in 0..cx.size() {
                if let Ok(name) = HeaderName::try_from(format!("x-many-{number}")) {
                    cx.set_header(name, "1");
                }
            }
        }
    )
    .with(number(10_000, 1, 20_000)),
    fault(
        HEADERS_ENDLESS,
        "headers-endless",
        "one header field after another, for 30 seconds or 4 GiB",
        |cx| {
            let start = Bytes(b"HTTP/1.1 200 OK\r\n".to_vec());
            cx.set_delivery([start, RepeatBytes(b"x-endless: 1\r\n".to_vec())]);
        },
    ),
    fault(
        STATUS_LINE_BAD,
        "status-line-bad",
        "the status is not a number; the rest of the response is correct",
        |cx| {
            cx.set_delivery(bytes_and_close(
                "HTTP/1.1 2OO OK\r\ncontent-length: 2\r\n\r\n{}",
            ));
        },
    ),
    fault(GARBAGE, "garbage", "bytes that are not HTTP", |cx| {
        let start = Bytes(b"\x00\xff\r\n\r\n\xfe220 ready\r\n".to_vec());
        let rest = (0..=u8::MAX).rev().cycle().take(4096).collect();
        cx.set_delivery([start, Bytes(rest), Close]);
    }),
    fault(
        TLS_RECORD,
        "tls-record",
        "a TLS alert, as from a port that expects TLS",
        |cx| {
            // RFC 8446 §5.1 and §6: alert, TLS 1.2, two bytes: fatal, protocol_version.
            let alert = Bytes(vec![21, 3, 3, 0, 2, 2, 70]);
            cx.set_delivery([alert, Close]);
        },
    ),
    harmless(
        INTERIM,
        "interim",
        "the interim responses 100, 102 and 103 before the final response",
        |cx| {
            let interim = "HTTP/1.1 100 Continue\r\n\r\n\
                           HTTP/1.1 102 Processing\r\n\r\n\
                           HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
            let interim = Bytes(interim.as_bytes().to_vec());
            cx.set_delivery([interim, Head, Body]);
        },
    ),
    fault(
        INTERIM_ENDLESS,
        "interim-endless",
        "one interim response 103 after another, for 30 seconds or 4 GiB",
        |cx| {
            cx.set_delivery([RepeatBytes(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec())]);
        },
    ),
    fault(
        SWITCHING_PROTOCOLS,
        "switching-protocols",
        "101, although the request asked for no other protocol",
        |cx| {
            *cx.response = Response::new(Vec::new());
            *cx.response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            cx.set_header(header::CONNECTION, "upgrade");
            cx.set_header(header::UPGRADE, "h2c");
            let settings = Bytes(b"\0\0\0\x04\0\0\0\0\0".to_vec());
            cx.set_delivery([Head, settings, Close]);
        },
    ),
    harmless(
        CONNECTION_CLOSE,
        "connection-close",
        "the connection is closed after every response, with Connection: close",
        |cx| cx.set_header(header::CONNECTION, "close"),
    ),
    harmless(
        CONNECTION_LOST,
        "connection-lost",
        "the connection is closed after every response, without Connection: close",
        |cx| cx.set_delivery([Head, Body, Close]),
    ),
    harmless(
        EXTRA_BYTES,
        "extra-bytes",
        "unrequested bytes follow the response",
        |cx| {
            let extra = Bytes(b"\r\n\r\nand by the way".to_vec());
            cx.set_delivery([Head, Body, extra]);
        },
    ),
    harmless(
        SECOND_RESPONSE,
        "second-response",
        "an unrequested second response with an unknown key follows the response",
        |cx| {
            let page = r#"{"links":[],"results":[{"apiKeyId":"unsolicited"}],"totalCount":1}"#;
            let mut second = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            second.push_str(page);
            cx.set_delivery([Head, Body, Bytes(second.into_bytes())]);
        },
    ),
];

/// Ends the throttling.
const UNTHROTTLED: DeliveryStep = Throttle(usize::MAX, Duration::ZERO);

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Encodes the body in chunks of 1 to 1024 bytes, without the last chunk of size 0.
fn chunk(cx: &mut FaultContext<'_>, extensions: &str) {
    cx.response.headers_mut().insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
    cx.edit_body(|body| {
        let mut out = Vec::new();
        let mut rest = body.as_slice();
        for size in [1, 2, 15, 16, 17, 1024].into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            out.extend_from_slice(format!("{:x}{extensions}\r\n", chunk.len()).as_bytes());
            out.extend_from_slice(chunk);
            out.extend_from_slice(b"\r\n");
            rest = after;
        }
        out
    });
}

fn bytes_and_close(text: &str) -> [DeliveryStep; 2] {
    [Bytes(text.as_bytes().to_vec()), Close]
}
