//! Guards a connection that ureq uses. It does what ureq does not do:
//!
//! - A broken connection is an error, and not the end of a body.
//! - A connection on which bytes arrived before a request is not used again.
//! - Bytes that are no part of a response are limited: interim responses, trailers, padding.
//! - A field that is folded over several lines is joined (RFC 9112 §5.2); httparse would refuse the head.
//! - `BodyReader` decompresses the bodies. ureq's own decompression refuses padding after the last member, and reports
//!   errors of the connection as errors of the compression.
//! - Buffers are overwritten before they are freed, and those of a token response as soon as it is complete.

use std::cell::Cell;
use std::io;

use memchr::memchr;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

thread_local! {
    /// The state of the response that this thread reads. ureq reads a response in the thread that sent the request.
    static READING: Cell<Reading> = const {
        Cell::new(Reading { is_head: false, holds_token: false, content: 0 })
    };
}

#[derive(Clone, Copy)]
struct Reading {
    is_head: bool,
    holds_token: bool,
    /// Changes with each useful part of a response.
    content: u32,
}

/// Notes that a request is about to be sent, and whether its response may hold a token.
pub(crate) fn request_begins(holds_token: bool) {
    progress(|reading| {
        reading.is_head = true;
        reading.holds_token = holds_token;
    });
}

/// Notes that the head of the response is complete.
pub(crate) fn head_received() {
    progress(|reading| reading.is_head = false);
}

/// Notes that a part of the decompressed body has arrived.
pub(crate) fn content_received() {
    progress(|_| {});
}

fn progress(change: impl FnOnce(&mut Reading)) {
    let mut reading = READING.get();
    change(&mut reading);
    reading.content = reading.content.wrapping_add(1);
    READING.set(reading);
}

/// The outermost connection, which ureq writes requests to and reads responses from.
#[derive(Debug)]
pub(crate) struct GuardedTransport {
    inner: Box<dyn Transport>,
    /// The largest number of consecutive bytes that are no useful part of a response.
    max_overhead: usize,
    /// The number of bytes that arrived since the last request.
    arrived: usize,
    /// The number of bytes that ureq had taken at the last useful part of the response, and the count of that part.
    useful: usize,
    content: u32,
    /// Whether the last bytes filled the buffer, so that the TLS below may hold more.
    may_hold_more: bool,
}

impl GuardedTransport {
    pub(crate) fn new(inner: Box<dyn Transport>, max_overhead: usize) -> Self {
        Self {
            inner,
            max_overhead: max_overhead.max(MIN_OVERHEAD),
            arrived: 0,
            useful: 0,
            content: 0,
            may_hold_more: false,
        }
    }

    /// Returns the number of bytes of the response that ureq has taken.
    fn taken(&mut self) -> usize {
        let left = self.inner.buffers().input().len();
        self.arrived.saturating_sub(left)
    }
}

/// The smallest limit in bytes, which leaves room for the framing of small parts of a body.
const MIN_OVERHEAD: usize = 4 << 10;

impl Transport for GuardedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.arrived = self.inner.buffers().input().len();
        self.useful = 0;
        self.content = READING.get().content;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let reading = READING.get();
        let taken = self.taken();
        if reading.content != self.content {
            self.content = reading.content;
            self.useful = taken;
        }
        let buffers = self.inner.buffers();
        let before = buffers.input().len();
        let space = buffers.input_append_buf().len();
        // ureq never takes a line that does not fit into the buffer.
        if space == 0 || taken.saturating_sub(self.useful) > self.max_overhead {
            return Err(Error::Other(Box::new(OverheadExceeded)));
        }
        let is_open = match self.inner.await_input(timeout) {
            // ureq takes these errors for the end of a body without a length. But the peer ends such a body with a FIN,
            // and over TLS with a close_notify before it (RFC 9112 §9.8).
            Err(Error::Io(error)) if is_break(&error) => {
                return Err(Error::Other(Box::new(error)));
            }
            outcome => outcome?,
        };
        let buffers = self.inner.buffers();
        let arrived = buffers.input().len().saturating_sub(before);
        self.arrived = self.arrived.saturating_add(arrived);
        self.may_hold_more = arrived == space;
        if reading.is_head {
            tidy(buffers);
        }
        Ok(is_open)
    }

    /// ureq calls this at the end of a response, and before the next request.
    fn is_open(&mut self) -> bool {
        let is_open =
            self.inner.buffers().input().is_empty() && !self.may_hold_more && self.inner.is_open();
        if is_open && READING.get().holds_token {
            self.inner.buffers().input_append_buf().fill(0);
        }
        is_open
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl Drop for GuardedTransport {
    fn drop(&mut self) {
        let buffers = self.inner.buffers();
        buffers.input_consume(buffers.input().len());
        buffers.input_append_buf().fill(0);
        buffers.output().fill(0);
    }
}

fn is_break(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// A connection below TLS.
#[derive(Debug)]
pub(crate) struct BelowTls(pub(crate) Box<dyn Transport>);

impl Transport for BelowTls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.0.await_input(timeout)
    }

    /// Returns false if there are bytes that TLS has not read.
    fn is_open(&mut self) -> bool {
        self.0.buffers().input().is_empty() && self.0.is_open()
    }

    /// Returns false, because TLS with a proxy is not TLS with the server.
    fn is_tls(&self) -> bool {
        false
    }
}

/// The server sent more bytes outside of a response than the limits allow.
#[derive(Debug)]
pub(crate) struct OverheadExceeded;

impl std::fmt::Display for OverheadExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what comes is no part of an answer")
    }
}

impl std::error::Error for OverheadExceeded {}

/// Rewrites the head at the start of the buffer to a form that ureq understands.
fn tidy(buffers: &mut dyn Buffers) {
    let Some(tidied) = tidied(buffers.input()) else {
        return;
    };
    // Bytes in the buffer cannot be changed in place.
    buffers.input_consume(tidied.len());
    if let Some(place) = buffers.input_append_buf().get_mut(..tidied.len()) {
        place.copy_from_slice(&tidied);
        buffers.input_appended(tidied.len());
    }
}

/// Returns the bytes with folds and codings rewritten to the same length and meaning, or `None` if nothing changes. The
/// body after the head stays the same.
fn tidied(input: &[u8]) -> Option<Vec<u8>> {
    let mut tidied: Option<Vec<u8>> = None;
    let (mut head, mut start) = (0, 0);
    while let Some(rest) = input.get(start..)
        && let Some(length) = memchr(b'\n', rest)
    {
        let line = rest.get(..length).unwrap_or_default();
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        let end = start + length + 1;
        if content.is_empty() {
            // Another head follows an interim response.
            if input.get(head..).and_then(|head| head.get(9)) != Some(&b'1') {
                break;
            }
            head = end;
        } else if start > head && matches!(input.get(end), Some(b' ' | b'\t')) {
            // RFC 9112 §5.2: "replace each received obs-fold with one or more SP".
            let tidied = tidied.get_or_insert_with(|| input.to_vec());
            if let Some(fold) = tidied.get_mut(start + content.len()..end) {
                fold.fill(b' ');
            }
        } else if let Some(coding) = gzip(content) {
            // Codings are case-insensitive (RFC 9110 §8.4.1), but not for ureq.
            let tidied = tidied.get_or_insert_with(|| input.to_vec());
            if let Some(coding) = tidied.get_mut(start + coding..start + coding + GZIP.len()) {
                coding.make_ascii_uppercase();
            }
        }
        start = end;
    }
    tidied
}

const GZIP: &[u8] = b"gzip";

/// Returns the position of the coding in a line, if ureq would decompress it.
fn gzip(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-encoding:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    let is_it = name.eq_ignore_ascii_case(NAME) && value.trim_ascii() == GZIP;
    let spaces = value.len() - value.trim_ascii_start().len();
    is_it.then_some(NAME.len() + spaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        let tidied = tidied(input.as_bytes());
        tidied.map_or_else(|| input.to_owned(), |text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn folds_become_spaces_in_the_head_only() {
        for (input, output) in [
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n g\r\n h",
                "HTTP/1.1 200 OK\r\nA: b   c  \td\r\nE: f\r\n\r\n g\r\n h",
            ),
            (
                "HTTP/1.1 200 OK\nA: b\n c\n\n d\n e",
                "HTTP/1.1 200 OK\nA: b  c\n\n d\n e",
            ),
            // The next line may be a fold, but has not arrived.
            ("HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"),
            // There is no field before the fold.
            (
                "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
                "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            ),
            (
                "HTTP/1.1 103 -\r\nA: b\r\n c\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                "HTTP/1.1 103 -\r\nA: b   c\r\n\r\nHTTP/1.1 200 OK\r\nA: b   c\r\n\r\n",
            ),
            ("", ""),
            ("\r\n", "\r\n"),
        ] {
            assert_eq!(text(input), output);
            assert_eq!(text(output), output);
        }
    }

    #[test]
    fn single_gzip_coding_is_written_in_capitals() {
        for (field, tidied) in [
            ("Content-Encoding: gzip", "Content-Encoding: GZIP"),
            ("content-encoding:gzip \t", "content-encoding:GZIP \t"),
            (
                "content-encoding: gzip, gzip",
                "content-encoding: gzip, gzip",
            ),
            ("content-encoding: x-gzip", "content-encoding: x-gzip"),
            ("x-content-encoding: gzip", "x-content-encoding: gzip"),
            ("content-encoding:", "content-encoding:"),
        ] {
            let head =
                |field| format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\nContent-Encoding: gzip\r\n");
            assert_eq!(text(&head(field)), head(tidied));
        }
    }
}
