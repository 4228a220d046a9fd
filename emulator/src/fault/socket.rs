//! The bytes of an answer: cut, slow, framed in every way that RFC 9112 knows and some that it does
//! not.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::argument::Argument;
use super::delivery::Step;
use super::struck::Struck;
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    fault(
        "reset-before-head",
        "resets the connection (RST) instead of answering",
        |s| s.deliver([Step::Reset]),
    ),
    fault(
        "reset-in-head",
        "resets the connection (RST) in the middle of the head",
        |s| s.deliver([Step::HalfHead, Step::Reset]),
    ),
    fault(
        "reset-in-body",
        "resets the connection (RST) in the middle of the body",
        |s| s.deliver([Step::Head, Step::HalfBody, Step::Reset]),
    ),
    fault(
        "close-before-head",
        "closes the connection instead of answering",
        |s| s.deliver([Step::Close]),
    ),
    fault(
        "close-in-head",
        "closes the connection in the middle of the head",
        |s| s.deliver([Step::HalfHead, Step::Close]),
    ),
    fault(
        "close-in-body",
        "closes the connection in the middle of the body",
        |s| s.deliver([Step::Head, Step::HalfBody, Step::Close]),
    ),
    fault(
        "stall-before-head",
        "says nothing for 30 seconds, then closes the connection",
        |s| s.deliver([Step::Stall]),
    ),
    fault(
        "stall-in-head",
        "stops in the middle of the head for 30 seconds, then closes the connection",
        |s| s.deliver([Step::HalfHead, Step::Stall]),
    ),
    fault(
        "stall-in-body",
        "stops in the middle of the body for 30 seconds, then closes the connection",
        |s| s.deliver([Step::Head, Step::HalfBody, Step::Stall]),
    ),
    harmless(
        "slow-head",
        "sends the head 8 bytes at a time, with this long in between",
        |s| {
            let pace = Step::Pace(8, s.delay());
            s.deliver([pace, Step::Head, AT_ONCE, Step::Body]);
        },
    )
    .with(Argument::Delay { default: 10 }),
    harmless(
        "slow-body",
        "sends the body 64 bytes at a time, with this long in between",
        |s| {
            let pace = Step::Pace(64, s.delay());
            s.deliver([Step::Head, pace, Step::Body]);
        },
    )
    .with(Argument::Delay { default: 10 }),
    harmless(
        "byte-by-byte",
        "sends every byte in a segment of its own, without delay",
        |s| s.deliver([Step::Pace(1, Duration::ZERO), Step::Head, Step::Body]),
    ),
    fault(
        "length-too-small",
        "Content-Length is this many bytes too small: they follow after what it counts",
        |s| {
            let length = s.response.body().len().saturating_sub(s.size());
            s.set(header::CONTENT_LENGTH, length.to_string());
        },
    )
    .with(Argument::number(10, 1, 1_000_000)),
    fault(
        "length-too-large",
        "Content-Length is this many bytes too large: the connection is closed before they came",
        |s| {
            let length = s.response.body().len().saturating_add(s.size());
            s.set(header::CONTENT_LENGTH, length.to_string());
        },
    )
    .with(Argument::number(10, 1, u64::MAX / 2)),
    fault(
        "length-conflicting",
        "two Content-Lengths, of which the first is right",
        |s| {
            let length = s.response.body().len();
            s.set(header::CONTENT_LENGTH, length.to_string());
            s.add(header::CONTENT_LENGTH, (length / 2).to_string());
        },
    ),
    fault("length-text", "Content-Length is a word", |s| {
        s.set(header::CONTENT_LENGTH, "many");
    }),
    fault("length-negative", "Content-Length is -1", |s| {
        s.set(header::CONTENT_LENGTH, "-1");
    }),
    fault(
        "length-huge",
        "Content-Length is this; after the page nothing comes for 30 seconds",
        |s| {
            let length = s.value.to_string();
            s.set(header::CONTENT_LENGTH, length);
            s.set(header::CONNECTION, "keep-alive");
            s.deliver([Step::Head, Step::Body, Step::Stall]);
        },
    )
    .with(Argument::number(1 << 40, 1, u64::MAX)),
    fault(
        "length-max",
        "Content-Length is 2^64 - 1, the connection closed after the body",
        |s| s.set(header::CONTENT_LENGTH, u64::MAX.to_string()),
    ),
    fault(
        "length-overflow",
        "Content-Length is 2^64, the connection closed after the body",
        |s| s.set(header::CONTENT_LENGTH, "18446744073709551616"),
    ),
    fault(
        "length-and-chunked",
        "both Content-Length and Transfer-Encoding, as when a response is smuggled",
        |s| {
            let length = s.response.body().len();
            chunk(s, "");
            // All is there, so that only the two lengths are wrong.
            s.body(|body| [body, LAST_CHUNK.to_vec()].concat());
            s.set(header::CONTENT_LENGTH, length.to_string());
        },
    ),
    harmless("chunked", "the body comes in chunks", |s| {
        chunk(s, "");
        s.body(|body| [body, LAST_CHUNK.to_vec()].concat());
    }),
    harmless(
        "chunked-extensions",
        "the body comes in chunks with short extensions",
        |s| {
            chunk(s, ";a=\"b;c\"");
            s.body(|body| [&body, b"0;d".as_slice(), b"\r\n\r\n"].concat());
        },
    ),
    fault(
        "chunked-extensions-long",
        "the body comes in chunks, each with an extension whose name has this many bytes",
        |s| {
            chunk(s, &format!(";{}", "a".repeat(s.size())));
            s.body(|body| [&body, LAST_CHUNK].concat());
        },
    )
    .with(Argument::number(4096, 1, 1 << 20)),
    harmless(
        "chunked-trailers",
        "the body comes in chunks, with fields after the last",
        |s| {
            chunk(s, "");
            let trailers = b"0\r\nx-checksum: none\r\ncontent-length: 5\r\n\r\n";
            s.body(|body| [body, trailers.to_vec()].concat());
        },
    ),
    fault(
        "trailer-long",
        "after the last chunk comes a field whose value has this many bytes",
        |s| {
            chunk(s, "");
            let value = vec![b'a'; s.size()];
            s.body(|body| [&body, b"0\r\nx-long: ".as_slice(), &value, b"\r\n\r\n"].concat());
        },
    )
    .with(Argument::number(1 << 20, 1, 64 << 20)),
    fault(
        "trailers-endless",
        "after the last chunk comes one field after another, for 30 seconds or 4 GiB",
        |s| {
            chunk(s, "");
            s.body(|body| [&body, b"0\r\n".as_slice()].concat());
            let trailers = Step::Endlessly(b"x-endless: 1\r\n".to_vec());
            s.deliver([Step::Head, Step::Body, trailers]);
        },
    ),
    fault("chunk-size-bad", "a chunk's size is not a number", |s| {
        chunk(s, "");
        s.body(|body| [&body, b"five\r\nhello\r\n".as_slice(), LAST_CHUNK].concat());
    }),
    fault(
        "chunk-size-huge",
        "a chunk claims to have 2^64 - 1 bytes, and has five",
        |s| {
            chunk(s, "");
            s.body(|body| {
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
        "chunk-size-overflow",
        "a chunk claims to have 2^64 + 5 bytes, and has five",
        |s| {
            chunk(s, "");
            s.body(|body| {
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
        "chunks-truncated",
        "the body comes in chunks, but for the last: the connection is closed before",
        |s| chunk(s, ""),
    ),
    fault(
        "chunks-endless",
        "one chunk of spaces after another, for 30 seconds or 4 GiB",
        |s| {
            s.set(header::TRANSFER_ENCODING, "chunked");
            s.remove(header::CONTENT_ENCODING);
            let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
            s.deliver([Step::Head, Step::Endlessly(chunk)]);
        },
    ),
    harmless(
        "body-until-close",
        "no Content-Length: the body ends with the connection",
        |s| s.deliver([Step::HeadWithoutLength, Step::Body, Step::Close]),
    ),
    fault(
        "body-endless",
        "no Content-Length, and instead of the body spaces, for 30 seconds or 4 GiB",
        |s| {
            s.remove(header::CONTENT_ENCODING);
            let spaces = Step::Endlessly(vec![b' '; 0x1000]);
            s.deliver([Step::HeadWithoutLength, spaces]);
        },
    ),
    harmless(
        "http-1-0",
        "an HTTP/1.0 answer without a length, closed at its end",
        |s| s.deliver([Step::OldHead, Step::Body, Step::Close]),
    ),
    fault(
        "header-long",
        "a header field whose value has this many bytes",
        |s| {
            let value = vec![b'a'; s.size()];
            s.set(HeaderName::from_static("x-long"), value);
        },
    )
    .with(Argument::number(1 << 20, 1, 64 << 20)),
    fault("headers-many", "this many header fields", |s| {
        for number in 0..s.size() {
            if let Ok(name) = HeaderName::try_from(format!("x-many-{number}")) {
                s.set(name, "1");
            }
        }
    })
    .with(Argument::number(10_000, 1, 20_000)),
    fault(
        "headers-endless",
        "one header field after another, for 30 seconds or 4 GiB",
        |s| {
            let start = Step::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec());
            s.deliver([start, Step::Endlessly(b"x-endless: 1\r\n".to_vec())]);
        },
    ),
    fault(
        "status-line-bad",
        "the status is not a number, the rest is in order",
        |s| {
            s.deliver(bytes_and_close(
                "HTTP/1.1 2OO OK\r\ncontent-length: 2\r\n\r\n{}",
            ));
        },
    ),
    fault("garbage", "bytes that are no HTTP at all", |s| {
        let start = Step::Bytes(b"\x00\xff\r\n\r\n\xfe220 ready\r\n".to_vec());
        let rest = (0..=u8::MAX).rev().cycle().take(4096).collect();
        s.deliver([start, Step::Bytes(rest), Step::Close]);
    }),
    fault(
        "tls-record",
        "a TLS alert, as from a port that speaks TLS",
        |s| {
            // RFC 8446 §5.1 and §6: alert, TLS 1.2, two bytes: fatal, protocol_version.
            let alert = Step::Bytes(vec![21, 3, 3, 0, 2, 2, 70]);
            s.deliver([alert, Step::Close]);
        },
    ),
    harmless(
        "interim",
        "the answers 100, 102 and 103 before the one that counts",
        |s| {
            let interim = "HTTP/1.1 100 Continue\r\n\r\n\
                           HTTP/1.1 102 Processing\r\n\r\n\
                           HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
            let interim = Step::Bytes(interim.as_bytes().to_vec());
            s.deliver([interim, Step::Head, Step::Body]);
        },
    ),
    fault(
        "interim-endless",
        "one answer 103 after another, for 30 seconds or 4 GiB",
        |s| {
            s.deliver([Step::Endlessly(
                b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(),
            )]);
        },
    ),
    fault(
        "switching-protocols",
        "101: the connection goes on in a protocol that nobody asked for",
        |s| {
            *s.response = Response::new(Vec::new());
            *s.response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            s.set(header::CONNECTION, "upgrade");
            s.set(header::UPGRADE, "h2c");
            let settings = Step::Bytes(b"\0\0\0\x04\0\0\0\0\0".to_vec());
            s.deliver([Step::Head, settings, Step::Close]);
        },
    ),
    harmless(
        "connection-close",
        "every answer closes its connection, and says so",
        |s| s.set(header::CONNECTION, "close"),
    ),
    harmless(
        "connection-lost",
        "every answer closes its connection, and does not say so",
        |s| s.deliver([Step::Head, Step::Body, Step::Close]),
    ),
    harmless(
        "extra-bytes",
        "after the answer come bytes that nobody asked for",
        |s| {
            let extra = Step::Bytes(b"\r\n\r\nand by the way".to_vec());
            s.deliver([Step::Head, Step::Body, extra]);
        },
    ),
    harmless(
        "second-answer",
        "after the answer comes another one, with a key that does not exist",
        |s| {
            let page = r#"{"links":[],"results":[{"apiKeyId":"unsolicited"}],"totalCount":1}"#;
            let mut second = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            second.push_str(page);
            s.deliver([Step::Head, Step::Body, Step::Bytes(second.into_bytes())]);
        },
    ),
];

/// As usual again.
const AT_ONCE: Step = Step::Pace(usize::MAX, Duration::ZERO);

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Turns the body into chunks of sizes from a byte to a kilobyte, without the last chunk, which is
/// the end.
fn chunk(s: &mut Struck<'_>, extensions: &str) {
    s.response.headers_mut().insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
    s.body(|body| {
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

fn bytes_and_close(text: &str) -> [Step; 2] {
    [Step::Bytes(text.as_bytes().to_vec()), Step::Close]
}
