//! A connection as ureq uses it, and what ureq leaves to be looked after:
//!
//! - a connection that breaks is not the end of a body;
//! - a connection that something came on before it was asked for is not used again;
//! - what comes and is no part of an answer is bounded in bytes: interim responses, trailers, padding;
//! - a field that is folded over several lines is one (RFC 9112 §5.2), where httparse would refuse the head;
//! - a body in gzip is left to [`gzip`](crate::gzip);
//! - no body is left behind in a buffer that is freed, and none with a token in one that rests.

use std::cell::Cell;
use std::io;

use memchr::memchr;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

thread_local! {
    /// What this thread reads now: ureq reads an answer in the thread that asked for it, whichever connection it
    /// takes.
    static READING: Cell<Reading> = const {
        Cell::new(Reading { is_head: false, holds_token: false, content: 0 })
    };
}

#[derive(Clone, Copy)]
struct Reading {
    is_head: bool,
    holds_token: bool,
    /// Changes with each part of an answer that is of use.
    content: u32,
}

/// A request is about to be sent. Its answer may hold a token.
pub(crate) fn request_begins(holds_token: bool) {
    progress(|reading| {
        reading.is_head = true;
        reading.holds_token = holds_token;
    });
}

/// The head of the answer is there.
pub(crate) fn head_received() {
    progress(|reading| reading.is_head = false);
}

/// Some of the body is there, after its decompression.
pub(crate) fn content_received() {
    progress(|_| {});
}

fn progress(change: impl FnOnce(&mut Reading)) {
    let mut reading = READING.get();
    change(&mut reading);
    reading.content = reading.content.wrapping_add(1);
    READING.set(reading);
}

/// The connection that ureq writes requests to and reads answers from: the outermost one.
#[derive(Debug)]
pub(crate) struct GuardedTransport {
    inner: Box<dyn Transport>,
    /// Bytes that may come in a row and are of no use.
    most: usize,
    /// Bytes that came since the last request.
    came: usize,
    /// How many of them had been taken when some of the answer was of use, and when that was.
    of_use: usize,
    content: u32,
    /// The last bytes that came filled the buffer: the TLS below may hold more of them.
    may_hold_more: bool,
}

impl GuardedTransport {
    pub(crate) fn new(inner: Box<dyn Transport>, most: usize) -> Self {
        Self {
            inner,
            most: most.max(LEAST),
            came: 0,
            of_use: 0,
            content: 0,
            may_hold_more: false,
        }
    }

    /// Bytes of the answer that ureq has taken.
    fn taken(&mut self) -> usize {
        let left = self.inner.buffers().input().len();
        self.came.saturating_sub(left)
    }
}

/// The framing of a small part of a body, whatever the limit.
const LEAST: usize = 4 << 10;

impl Transport for GuardedTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.came = self.inner.buffers().input().len();
        self.of_use = 0;
        self.content = READING.get().content;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let reading = READING.get();
        let taken = self.taken();
        if reading.content != self.content {
            self.content = reading.content;
            self.of_use = taken;
        }
        let buffers = self.inner.buffers();
        let before = buffers.input().len();
        let space = buffers.input_append_buf().len();
        // A line that does not fit into the buffer is never taken from it.
        if space == 0 || taken.saturating_sub(self.of_use) > self.most {
            return Err(Error::Other(Box::new(OverheadExceeded)));
        }
        let is_open = match self.inner.await_input(timeout) {
            // ureq takes these for the end of a body without a length. They are not: the other side ends it by a
            // FIN, and over TLS by a close_notify before that (RFC 9112 §9.8).
            Err(Error::Io(error)) if is_break(&error) => {
                return Err(Error::Other(Box::new(error)));
            }
            outcome => outcome?,
        };
        let buffers = self.inner.buffers();
        let came = buffers.input().len().saturating_sub(before);
        self.came = self.came.saturating_add(came);
        self.may_hold_more = came == space;
        if reading.is_head {
            tidy(buffers);
        }
        Ok(is_open)
    }

    /// ureq asks when an answer is at its end, and before the next request.
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

    /// Not where bytes came that TLS has not looked at.
    fn is_open(&mut self) -> bool {
        self.0.buffers().input().is_empty() && self.0.is_open()
    }

    /// It may be TLS with a proxy. That is not the TLS that is to come.
    fn is_tls(&self) -> bool {
        false
    }
}

/// More came than the limits allow, and none of it is of use.
#[derive(Debug)]
pub(crate) struct OverheadExceeded;

impl std::fmt::Display for OverheadExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("what comes is no part of an answer")
    }
}

impl std::error::Error for OverheadExceeded {}

/// Puts the head that the buffer begins with into a form that ureq understands.
fn tidy(buffers: &mut dyn Buffers) {
    let Some(tidied) = tidied(buffers.input()) else {
        return;
    };
    // There is no way to change what is in the buffer.
    buffers.input_consume(tidied.len());
    if let Some(place) = buffers.input_append_buf().get_mut(..tidied.len()) {
        place.copy_from_slice(&tidied);
        buffers.input_appended(tidied.len());
    }
}

/// The bytes with other ones in their place, of the same meaning and number; `None` where nothing is to be changed.
/// The body behind a head is left alone.
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
            // Behind an interim response comes another one.
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

/// Where in the line the coding is that ureq would decompress.
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
    fn folds_become_spaces_in_the_head_and_nowhere_else() {
        for (input, output) in [
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n g\r\n h",
                "HTTP/1.1 200 OK\r\nA: b   c  \td\r\nE: f\r\n\r\n g\r\n h",
            ),
            (
                "HTTP/1.1 200 OK\nA: b\n c\n\n d\n e",
                "HTTP/1.1 200 OK\nA: b  c\n\n d\n e",
            ),
            // What is behind the end of what came is not known.
            ("HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"),
            // No field is continued here.
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
    fn gzip_is_written_in_capitals_where_ureq_would_decompress() {
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
