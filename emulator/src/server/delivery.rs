//! Answers that do not simply go out: the steps of a [`Delivery`](crate::Delivery), obeyed.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http::Response;

use crate::fault::Step;

use super::Shared;
use super::connection::Next;
use super::http1::{self, HeadStyle, Sending};

/// No delivery lasts longer: a client that is forgotten holds no thread for ever.
const LONGEST: Duration = Duration::from_secs(30);

/// Nor is more sent by one that would never end.
const MOST: u64 = 4 << 30;

/// What endless bytes are multiplied to, so that a fast client keeps no core busy with small writes.
const BLOCK: usize = 64 << 10;

pub(super) struct Delivering<'a> {
    stream: &'a TcpStream,
    shared: &'a Shared,
    deadline: Instant,
    /// In pieces of how many bytes, how far apart.
    pace: (usize, Duration),
    /// What goes out together with what follows, as it would from an honest server: whether the end of
    /// an answer and what comes after it arrive together is not left to chance.
    unsent: Vec<u8>,
}

/// Whether there is time left to go on.
type InTime = bool;

impl<'a> Delivering<'a> {
    pub(super) fn new(stream: &'a TcpStream, shared: &'a Shared) -> Self {
        Self {
            stream,
            shared,
            deadline: Instant::now() + LONGEST,
            pace: (usize::MAX, Duration::ZERO),
            unsent: Vec::new(),
        }
    }

    /// One step after the other. Where the time is up, or the server stops, the connection is closed
    /// wherever the delivery is.
    pub(super) fn deliver(
        mut self,
        steps: &[Step],
        response: &Response<Vec<u8>>,
        sending: Sending,
    ) -> io::Result<Next> {
        let body = http1::body(response, sending);
        let closing = Sending {
            keep_alive: false,
            ..sending
        };
        let head = |style, sending| http1::write_head(response, sending, style);
        let mut next = if sending.keep_alive {
            Next::Request
        } else {
            Next::Close
        };
        for step in steps {
            if !matches!(
                step,
                Step::Head
                    | Step::FoldedHead
                    | Step::HalfHead
                    | Step::Body
                    | Step::HalfBody
                    | Step::Bytes(_)
            ) {
                self.flush()?;
            }
            let in_time = match step {
                Step::Head => self.send(&head(HeadStyle::Usual, sending))?,
                Step::FoldedHead => self.send(&head(HeadStyle::Folded, sending))?,
                Step::HalfHead => self.send(half(&head(HeadStyle::Usual, sending)))?,
                Step::HeadWithoutLength => {
                    next = Next::Close;
                    self.send(&head(HeadStyle::WithoutLength, closing))?
                }
                Step::OldHead => {
                    next = Next::Close;
                    self.send(&head(HeadStyle::Old, closing))?
                }
                Step::Body => self.send(body)?,
                Step::HalfBody => self.send(half(body))?,
                Step::Bytes(bytes) => self.send(bytes)?,
                Step::Endlessly(bytes) => {
                    self.send_endlessly(bytes)?;
                    return Ok(Next::Close);
                }
                Step::Pace(size, gap) => {
                    self.pace = ((*size).max(1), *gap);
                    true
                }
                Step::Pause(time) => self.pause(*time),
                Step::Stall => {
                    self.stall();
                    return Ok(Next::Close);
                }
                Step::Close => return Ok(Next::Close),
                Step::Reset => return Ok(Next::Reset),
            };
            if !in_time {
                return Ok(Next::Close);
            }
        }
        self.flush()?;
        Ok(next)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.unsent))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<InTime> {
        let (size, gap) = self.pace;
        if size == usize::MAX {
            self.unsent.extend_from_slice(bytes);
            return Ok(self.is_in_time());
        }
        for (index, piece) in bytes.chunks(size).enumerate() {
            if index > 0 && !self.pause(gap) {
                return Ok(false);
            }
            self.stream.write_all(piece)?;
        }
        Ok(self.is_in_time())
    }

    fn send_endlessly(&mut self, bytes: &[u8]) -> io::Result<()> {
        let block = bytes.repeat((BLOCK / bytes.len().max(1)).max(1));
        let mut left = MOST;
        while left > 0 && self.is_in_time() {
            self.stream.write_all(&block)?;
            left = left.saturating_sub(u64::try_from(block.len()).unwrap_or(left).max(1));
        }
        Ok(())
    }

    fn pause(&self, time: Duration) -> InTime {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.shared.pause(time.min(left));
        self.is_in_time()
    }

    fn is_in_time(&self) -> InTime {
        Instant::now() < self.deadline && !self.shared.is_stopping()
    }

    /// Reading shows when the client leaves, and a shutdown ends it too. What the client still sends
    /// is of no interest.
    fn stall(&self) {
        let mut ignored = [0; 4096];
        while self.is_in_time() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            // Zero would mean: no timeout at all.
            let left = left.max(Duration::from_millis(1));
            if self.stream.set_read_timeout(Some(left)).is_err() {
                return;
            }
            let mut stream = self.stream;
            match stream.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The client left, or the time is up.
                Ok(0) | Err(_) => return,
            }
        }
    }
}

/// The first half of what there is, and not all of it.
fn half(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() / 2).unwrap_or_default()
}
