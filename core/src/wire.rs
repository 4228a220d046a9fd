//! Reads and writes HTTP/1.1, for callers that have only a byte stream: [`encode()`] makes the bytes of a
//! request, and a [`Decoder`] makes a response from bytes, in pieces of any size.
//!
//! Like the rest of the crate it does no I/O and is bounded by [`Limits`](crate::Limits). Each call
//! consumes the decoder, and returns it as long as more bytes are needed:
//!
//! ```text
//!   Decoder::new ──► Decoder ◄───────────── Progress::More
//!                    │     │                      ▲
//!                  push  close (end of stream)    │
//!                    │     │                      │
//!                    │     ├─► Message            │
//!                    │     └─► WireError          │
//!                    ├────────────────────────────┘
//!                    ├─► Progress::Done { message, leftover }
//!                    └─► WireError
//!
//!   The phases of a decoder:
//!
//!    ┌─ 1xx ─┐
//!    ▼       │      no body (HEAD, 204, 304, Content-Length: 0)
//!   head ────┴──┬──────────────────────────────────────────────► done
//!               ├─► Content-Length ──── all bytes ─────────────►
//!               ├─► chunk size ──► data ──► CR LF ─┐
//!               │      ▲ └─ 0 ──► trailers ────────┼───────────►
//!               │      └───────────────────────────┘
//!               └─► until the end of the stream ──── close ────►
//! ```
//!
//! # One exchange
//!
//! ```
//! use atlas_model_keys_core::wire::{Decoder, Message, Progress, encode};
//! use atlas_model_keys_core::{Body, Failure, FailureKind, Limits};
//! use std::io::{Error, Read, Write};
//!
//! /// Sends a request over any stream and reads its response.
//! fn exchange(
//!     stream: &mut (impl Read + Write),
//!     request: &http::Request<Body>,
//!     limits: &Limits,
//! ) -> Result<Message, Failure> {
//!     let lost = |error: Error| Failure::new(FailureKind::Lost, error);
//!     stream.write_all(encode(request)?.as_bytes()).map_err(lost)?;
//!
//!     let mut decoder = Decoder::new(request.method(), limits);
//!     let mut buffer = [0; 16 * 1024];
//!     loop {
//!         let n = stream.read(&mut buffer).map_err(lost)?;
//!         if n == 0 {
//!             return Ok(decoder.close()?);
//!         }
//!         decoder = match decoder.push(&buffer[..n])? {
//!             Progress::More(decoder) => decoder,
//!             Progress::Done { mut message, leftover } => {
//!                 // Only one response was requested: with bytes after it, the connection is unreliable.
//!                 message.keep_alive &= leftover.is_empty();
//!                 return Ok(message);
//!             }
//!         };
//!     }
//! }
//!
//! # use atlas_model_keys_core::{BaseUrl, Credentials, Exchange, ListRequest, GroupId, Moment, Secret, Session, Step};
//! # /// Responds in pieces of seven bytes.
//! # struct Fake { sent: Vec<u8>, answer: &'static [u8] }
//! # impl Read for Fake {
//! #     fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
//! #         let n = buffer.len().min(7);
//! #         self.answer.read(&mut buffer[..n])
//! #     }
//! # }
//! # impl Write for Fake {
//! #     fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> { self.sent.write(bytes) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # let mut stream = Fake { sent: Vec::new(), answer: b"HTTP/1.1 200 OK\r\n\
//! #     Content-Type: application/vnd.atlas.preview+json\r\nTransfer-Encoding: chunked\r\n\r\n\
//! #     e\r\n{\"results\":[]}\r\n0\r\n\r\n" };
//! # let now = || Moment::new(std::time::Duration::from_secs(1_790_000_000), [7; 16]);
//! # let credentials = Credentials::bearer("a.token")?;
//! # let mut session = Session::new(BaseUrl::default(), credentials);
//! # let list = ListRequest::new(GroupId::new("0123456789abcdef01234567")?);
//! // A session takes a response by `respond`, and a failure by `fail`.
//! let Step::Send(Exchange { request, pending }) = session.start::<Vec<u8>>(&list, now())? else {
//!     return Ok(());
//! };
//! let step = match exchange(&mut stream, &request, session.limits()) {
//!     Ok(message) => session.respond(pending, message.response, now())?,
//!     Err(failure) => session.fail(pending, failure, now())?,
//! };
//! # let Step::Done(reply) = step else { panic!("{step:?}") };
//! # assert!(reply.into_page()?.is_empty());
//! # assert!(stream.sent.starts_with(b"GET /api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys HTTP/1.1\r\nHost: cloud.mongodb.com\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An [`EncodeError`] and a [`WireError`] become a [`Failure`](crate::Failure) with `?`: `Permanent`
//! for a request that cannot be encoded and a response that exceeds a limit, `Lost` for all other errors.
//!
//! # Where it is strict
//!
//! If two readers of one stream disagree on the end of a message, an attacker can make one of them take the
//! body of a message for another message. Therefore everything that is known to be read in two ways is refused
//! (each has its [`WireErrorKind`], with the position in the stream):
//!
//! - **lines** end in CR LF, everywhere: a bare LF (which RFC 9112 §2.2 lets a recipient accept
//!   in a head) and a bare CR are refused, as is anything before `HTTP/1.`, even an empty line;
//! - **fields** have no space before the colon and no control characters but HTAB; the lines of a folded
//!   value are joined by one space (§5.2), but in a trailer folding is refused;
//! - **`Content-Length`** has digits only; several values are accepted only if they are the same text
//!   (§6.3), and none together with `Transfer-Encoding`;
//! - **`Transfer-Encoding`** is one field, exactly `chunked`, in HTTP/1.1 only, because no request asks for
//!   another coding;
//! - **chunks** have a size of 1 to 16 hexadecimal digits, then extensions or CR LF, and CR LF after the
//!   data; the stream must not end before the last line, nor before `Content-Length` is reached;
//! - **interim responses** are skipped, at most [`MAX_INTERIM`]; 101 is an error, because no request asks for
//!   another protocol.
//!
//! It is lenient where no attack is possible: the reason may be missing with its
//! space, and a status may be any number from 100 to 999. If a response has no body, its framing fields are
//! ignored, but after contradictory ones the connection is not used again ([`Message::keep_alive`]).
//!
//! # What is bounded
//!
//! | what | by |
//! |---|---|
//! | bytes of interim heads, head and trailers together, as sent | [`Limits::head_bytes`](crate::Limits::head_bytes) |
//! | fields of these together | [`Limits::headers`](crate::Limits::headers) |
//! | bytes of the body of a 200, announced or received | [`Limits::body_bytes`](crate::Limits::body_bytes) |
//! | bytes that are read of any other body | [`Limits::error_body_bytes`](crate::Limits::error_body_bytes) + 1; after more, the connection is not used again |
//! | interim responses | [`MAX_INTERIM`] |
//! | bytes of all chunk extensions | [`CHUNK_EXTENSION_BYTES`] |
//!
//! Memory grows with the received bytes, not with an announced size. Each byte is examined a fixed
//! number of times. The sizes of the pieces affect neither that number nor the result.
//!
//! # What it does not do
//!
//! - **Content codings**: a body is returned as sent. Do not ask for `gzip`: [`encode()`] adds no
//!   `Accept-Encoding`, and the session's requests have none.
//! - **Trailers** are read, checked and dropped (RFC 9110 §6.5.1 forbids merging them without knowing them).
//! - **Tunnels**: [`encode()`] refuses CONNECT. A decoder for CONNECT ends after the head of a 2xx; the
//!   leftover bytes belong to the tunnel.
//! - **Erasing responses**: a body is a plain `Vec<u8>`. If it holds secrets, the caller must erase it;
//!   copies remain in buffers that it outgrew.

mod decode;
mod encode;
mod error;
mod head;

pub use decode::{CHUNK_EXTENSION_BYTES, Decoder, MAX_INTERIM, Message, Progress};
pub use encode::{EncodeError, Encoded, encode};
pub use error::{WireError, WireErrorKind};
