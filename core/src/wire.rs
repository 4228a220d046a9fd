//! HTTP/1.1 for callers that hold nothing but a byte stream: [`encode`] makes the bytes of a
//! request, a [`Decoder`] makes a response of bytes, however they arrive.
//!
//! Like the rest of the crate it does no I/O, keeps no state that can be poisoned, and is bounded
//! by [`Limits`](crate::Limits). A decoder is consumed by what it is given, and is handed back as
//! long as there is more to come:
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
//!   what it is at, inside:
//!
//!    ┌─ 1xx ─┐
//!    ▼       │      no body (HEAD, 204, 304, Content-Length: 0)
//!   head ────┴──┬──────────────────────────────────────────────► done
//!               ├─► Content-Length ──── all of it ─────────────►
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
//!                 // Nothing more was asked for: whatever that is, it is no basis to go on.
//!                 message.keep_alive &= leftover.is_empty();
//!                 return Ok(message);
//!             }
//!         };
//!     }
//! }
//!
//! # use atlas_model_keys_core::{BaseUrl, Credentials, Exchange, ListRequest, GroupId, Moment, Secret, Session, Step};
//! # /// Answers in pieces of seven bytes.
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
//! // With a session, a failure goes to `failed`, a message's response to `respond`.
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
//! An [`EncodeError`] and a [`WireError`] become a [`Failure`](crate::Failure) by `?`: *permanent*
//! for what cannot be encoded and for a response beyond a limit, *lost* for everything else.
//!
//! # Where it is strict
//!
//! Two readers of one stream who disagree on where a message ends can be made to take one
//! message's body for another message. So everything that is known to be read in two ways is refused
//! (a [`WireErrorKind`] each, with the place in the stream):
//!
//! - **lines** end in CR LF, everywhere: a bare LF (which RFC 9112 §2.2 would let a recipient accept
//!   in a head) and a bare CR are refused; so is an empty line, or anything else, before `HTTP/1.`;
//! - **fields**: no space before the colon, no control characters but HTAB; a value that is
//!   folded over several lines is joined by one space (§5.2), but in a trailer it is refused;
//! - **`Content-Length`**: digits only; given more than once only if every value is the same text
//!   (§6.3); never with `Transfer-Encoding`;
//! - **`Transfer-Encoding`**: one field, exactly `chunked`, in HTTP/1.1 only. No request asks for
//!   another coding, so none may come;
//! - **chunks**: 1 to 16 hexadecimal digits, then extensions or CR LF; CR LF after the data; the end of
//!   the stream before the last line is an error, as it is before `Content-Length` is reached;
//! - **interim responses** are skipped, [`MAX_INTERIM`] of them; 101 is an error: nobody
//!   asked for another protocol.
//!
//! Lenient it is where nothing is at stake: the reason may be missing along with its
//! space, a status may be any from 100 to 999, and fields of framing are not framing where there
//! is no body (a contradiction there ends the connection's use instead: [`Message::keep_alive`]).
//!
//! # What is bounded
//!
//! | what | by |
//! |---|---|
//! | bytes of interim heads, head and trailers together, as sent | [`Limits::head_bytes`](crate::Limits::head_bytes) |
//! | fields of these together | [`Limits::headers`](crate::Limits::headers) |
//! | bytes of the body of a 200, promised or arrived | [`Limits::body_bytes`](crate::Limits::body_bytes) |
//! | bytes that are read of any other body | [`Limits::error_body_bytes`](crate::Limits::error_body_bytes) + 1; the connection is not used again |
//! | interim responses | [`MAX_INTERIM`] |
//! | bytes of all chunk extensions | [`CHUNK_EXTENSION_BYTES`] |
//!
//! Memory grows with the bytes that have arrived, never with a size that is only promised, and
//! each byte is looked at a fixed number of times, however the stream is cut. How it is cut never
//! changes the outcome.
//!
//! # What it does not do
//!
//! - **Content codings**: a body is handed out as sent. Do not ask for `gzip`: [`encode`] adds no
//!   `Accept-Encoding`, and the session's requests have none.
//! - **Trailers** are read, checked and dropped (RFC 9110 §6.5.1 forbids merging them unseen).
//! - **Tunnels**: [`encode`] refuses CONNECT. A decoder for one ends at the head of a 2xx; what is
//!   left over is the tunnel's.
//! - **Erasing responses**: a body is a plain `Vec<u8>`; where it holds secrets, erasing it is
//!   the caller's, and copies stay behind where it grew.

mod decode;
mod encode;
mod error;
mod head;

pub use decode::{CHUNK_EXTENSION_BYTES, Decoder, MAX_INTERIM, Message, Progress};
pub use encode::{EncodeError, Encoded, encode};
pub use error::{WireError, WireErrorKind};
