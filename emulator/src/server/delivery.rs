//! Executes the steps of a [`Delivery`](crate::Delivery), which a fault attached to a response.

use std::io;
use std::time::{Duration, Instant};

use http::Response;

use crate::fault::DeliveryStep;

use super::http1::{self, HeadStyle, SendOptions};
use super::shared::Shared;
use super::stream::Stream;

/// The maximum time of a delivery, so that an abandoned client does not occupy a thread for ever.
const MAX_DURATION: Duration = Duration::from_secs(30);

/// The maximum number of bytes of a delivery without an end.
const MAX_BYTES: u64 = 4 << 30;

/// The size to which repeated bytes are combined, so that a fast client does not keep a core busy
/// with small writes.
const BLOCK_SIZE: usize = 64 << 10;

/// The next step of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another request may follow.
    Request,
    Close,
    /// The connection is closed although the response is not complete: over TLS without `close_notify`.
    Cut,
    Reset,
}

pub(super) struct DeliveryRun<'a> {
    stream: &'a mut Stream,
    shared: &'a Shared,
    deadline: Instant,
    /// The size of pieces in bytes, and the pause between two pieces.
    throttle: (usize, Duration),
    /// Bytes that are sent together with the next ones, as by a regular server. So it does not depend on
    /// chance whether the end of a response and the bytes after it arrive together.
    unsent: Vec<u8>,
}

/// Whether there is time for the next step.
type TimeLeft = bool;

impl<'a> DeliveryRun<'a> {
    pub(super) fn new(stream: &'a mut Stream, shared: &'a Shared) -> Self {
        Self {
            stream,
            shared,
            deadline: Instant::now() + MAX_DURATION,
            throttle: (usize::MAX, Duration::ZERO),
            unsent: Vec::new(),
        }
    }

    /// Executes the steps one after the other. If the time is up or the server stops, it ends between
    /// any two pieces and the connection is closed.
    pub(super) fn deliver(
        mut self,
        steps: &[DeliveryStep],
        response: &Response<Vec<u8>>,
        send_options: SendOptions,
    ) -> io::Result<Next> {
        let body = http1::body(response, send_options);
        let closing = SendOptions {
            keep_alive: false,
            ..send_options
        };
        let head = |style, send_options| http1::write_head(response, send_options, style);
        // The end of the connection is the end of the body only if no length says otherwise.
        let mut closed = Next::Cut;
        let mut next = if send_options.keep_alive {
            Next::Request
        } else {
            Next::Close
        };
        for step in steps {
            if !matches!(
                step,
                DeliveryStep::Head
                    | DeliveryStep::FoldedHead
                    | DeliveryStep::HalfHead
                    | DeliveryStep::Body
                    | DeliveryStep::HalfBody
                    | DeliveryStep::Bytes(_)
            ) {
                self.flush()?;
            }
            let time_left = match step {
                DeliveryStep::Head => self.send(&head(HeadStyle::Usual, send_options))?,
                DeliveryStep::FoldedHead => self.send(&head(HeadStyle::Folded, send_options))?,
                DeliveryStep::HalfHead => self.send(half(&head(HeadStyle::Usual, send_options)))?,
                DeliveryStep::HeadWithoutLength => {
                    (next, closed) = (Next::Close, Next::Close);
                    self.send(&head(HeadStyle::WithoutLength, closing))?
                }
                DeliveryStep::Http10Head => {
                    (next, closed) = (Next::Close, Next::Close);
                    self.send(&head(HeadStyle::Http10, closing))?
                }
                DeliveryStep::Body => self.send(body)?,
                DeliveryStep::HalfBody => self.send(half(body))?,
                DeliveryStep::Bytes(bytes) => self.send(bytes)?,
                DeliveryStep::RepeatBytes(bytes) => {
                    self.send_endlessly(bytes)?;
                    return Ok(Next::Close);
                }
                DeliveryStep::Throttle(size, gap) => {
                    self.throttle = ((*size).max(1), *gap);
                    true
                }
                DeliveryStep::Pause(time) => self.pause(*time),
                DeliveryStep::Stall => {
                    self.stall();
                    return Ok(closed);
                }
                DeliveryStep::Close => return Ok(closed),
                DeliveryStep::Reset => return Ok(Next::Reset),
            };
            if !time_left {
                return Ok(Next::Cut);
            }
        }
        self.flush()?;
        Ok(next)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.send(&std::mem::take(&mut self.unsent))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<TimeLeft> {
        let (size, gap) = self.throttle;
        if size == usize::MAX {
            self.unsent.extend_from_slice(bytes);
            return Ok(self.has_time_left());
        }
        for (index, piece) in bytes.chunks(size).enumerate() {
            if index > 0 && !self.pause(gap) {
                return Ok(false);
            }
            self.stream.send(piece)?;
        }
        Ok(self.has_time_left())
    }

    fn send_endlessly(&mut self, bytes: &[u8]) -> io::Result<()> {
        let block = bytes.repeat((BLOCK_SIZE / bytes.len().max(1)).max(1));
        let mut left = MAX_BYTES;
        while left > 0 && self.has_time_left() {
            self.stream.send(&block)?;
            left = left.saturating_sub(u64::try_from(block.len()).unwrap_or(left).max(1));
        }
        Ok(())
    }

    fn pause(&self, time: Duration) -> TimeLeft {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.shared.pause(time.min(left));
        self.has_time_left()
    }

    fn has_time_left(&self) -> TimeLeft {
        Instant::now() < self.deadline && !self.shared.is_stopping()
    }

    /// Sends nothing until the client closes the connection, the time is up or the server stops.
    /// Reading detects the first and the last of these; the bytes read are ignored.
    fn stall(&mut self) {
        let mut ignored = [0; 4096];
        while self.has_time_left() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            // The client closed the connection, or the time is up.
            if !matches!(self.stream.receive(&mut ignored, left), Ok(1..)) {
                return;
            }
        }
    }
}

/// Returns the first half of the bytes, rounded down.
fn half(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len() / 2).unwrap_or_default()
}
