//! Counts the bytes that arrive on a connection, to stop a server that floods it with other data than bodies.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The counts of a connection. Its `Connected` has a clone, so that the reader of a response can report the bytes that it
/// took.
#[derive(Clone, Debug)]
pub(crate) struct ByteCounter(Arc<Mutex<Counts>>);

/// The number of bytes that may be read, while no response takes any, before other tasks get a turn. It is one part,
/// because h2 closes a connection on which many small parts of a body wait to be taken.
const BURST: usize = PART;

/// The largest number of bytes of a body that hyper holds beside the head: two parts in a channel and one in its buffer. A
/// part is at most as large as one read of the connection.
const IN_HYPER: usize = 4 * PART;

/// The number of bytes that are read from a connection at a time: the largest record of TLS or frame of HTTP/2.
pub(crate) const PART: usize = 16 << 10;

/// The overhead that a connection of HTTP/2 may have, in heads of the largest size. Streams share a connection, so the
/// heads of many responses may arrive before the first is taken.
const HEADS_OF_HTTP_2: usize = 16;

#[derive(Debug)]
struct Counts {
    /// The time of the last arrival.
    last: Instant,
    /// The bytes that arrived, without those that were taken as heads and bodies.
    overhead: usize,
    most: usize,
    head_bytes: usize,
    /// The bytes that arrived since some were taken, or since there was nothing to read.
    burst: usize,
    /// Whether a request was sent and nothing has arrived since; HTTP/1.1 only.
    waits: bool,
    /// The position within the frames; HTTP/2 only.
    frames: Option<Frames>,
    excess: Option<Excess>,
}

/// The kind of data that exceeded the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Interim responses or trailers.
    Fields,
    /// Frames of HTTP/2 that belong to no response.
    Frames,
}

impl ByteCounter {
    pub(crate) fn new(is_http_2: bool, head_bytes: usize) -> Self {
        let most = if is_http_2 {
            head_bytes.saturating_mul(HEADS_OF_HTTP_2)
        } else {
            // Interim responses and the head.
            head_bytes.saturating_mul(2)
        };
        Self(Arc::new(Mutex::new(Counts {
            last: Instant::now(),
            overhead: 0,
            most: most.saturating_add(IN_HYPER),
            head_bytes,
            burst: 0,
            waits: false,
            frames: is_http_2.then(Frames::default),
            excess: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time of the last arrival.
    pub(crate) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Tells whether other tasks should get a turn before the next read. Call it once for each turn.
    pub(crate) fn is_burst(&self) -> bool {
        let mut counts = self.lock();
        let is_burst = counts.burst >= BURST;
        if is_burst {
            counts.burst = 0;
        }
        is_burst
    }

    /// Notes that there is nothing to read.
    pub(crate) fn idle(&self) {
        self.lock().burst = 0;
    }

    /// Counts bytes that arrived, or the end of the connection.
    pub(crate) fn received(&self, bytes: &[u8]) -> Result<(), Excess> {
        let mut counts = self.lock();
        let counts = &mut *counts;
        counts.last = Instant::now();
        counts.waits = false;
        counts.burst += bytes.len();
        let (overhead, excess) = match &mut counts.frames {
            Some(frames) => (frames.overhead(bytes), frames.excess()),
            None => (bytes.len(), Excess::Fields),
        };
        counts.overhead = counts.overhead.saturating_add(overhead);
        if counts.overhead > counts.most {
            counts.excess = Some(excess);
            return Err(excess);
        }
        Ok(())
    }

    /// Notes that something was sent. In HTTP/1.1 it is the next request, so a new count begins.
    pub(crate) fn sent(&self) {
        let mut counts = self.lock();
        if counts.frames.is_none() && !counts.waits {
            counts.waits = true;
            counts.overhead = 0;
            counts.burst = 0;
        }
    }

    /// Subtracts a head that was taken.
    pub(crate) fn head_taken(&self) {
        let mut counts = self.lock();
        let head = counts.head_bytes.saturating_mul(2);
        counts.overhead = counts.overhead.saturating_sub(head);
        counts.burst = 0;
    }

    /// Subtracts a part of a body that was taken.
    pub(crate) fn part_taken(&self, length: usize) {
        if length == 0 {
            return;
        }
        let mut counts = self.lock();
        let part = length.saturating_add(Frames::HEAD);
        counts.overhead = counts.overhead.saturating_sub(part);
        counts.burst = 0;
    }

    /// Returns the kind of data that exceeded the limit, if this has ended the connection.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.lock().excess
    }

    /// Tells whether more bytes arrived than a head may have.
    pub(crate) fn is_beyond_a_head(&self) -> bool {
        let counts = self.lock();
        counts.overhead > counts.head_bytes
    }
}

/// A scanner of HTTP/2 frames (RFC 9113 §4.1) that tells bodies from other data.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; Self::HEAD],
    /// The number of bytes of `head` that have arrived.
    filled: usize,
    /// The number of bytes of the payload that are missing.
    left: usize,
    kind: u8,
}

impl Frames {
    /// The length of a frame header: three bytes of length, type, flags and stream.
    const HEAD: usize = 9;
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;

    /// Returns how many of these bytes are not part of a body.
    fn overhead(&mut self, mut bytes: &[u8]) -> usize {
        let mut overhead = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if let Some((payload, rest)) = bytes.split_at_checked(self.left)
                && self.left > 0
            {
                overhead += self.of_payload(payload.len());
                bytes = rest;
            } else if self.left > 0 {
                return overhead + self.of_payload(bytes.len());
            } else {
                bytes = rest;
                overhead += 1;
                if let Some(byte) = self.head.get_mut(self.filled) {
                    *byte = *first;
                }
                self.filled += 1;
                if self.filled == Self::HEAD {
                    let [a, b, c, kind, ..] = self.head;
                    let [a, b, c] = [a, b, c].map(usize::from);
                    self.left = a << 16 | b << 8 | c;
                    self.kind = kind;
                    self.filled = 0;
                }
            }
        }
        overhead
    }

    fn of_payload(&mut self, length: usize) -> usize {
        self.left -= length;
        match self.kind {
            Self::DATA => 0,
            _ => length,
        }
    }

    /// Returns the kind of the last frame, if it exceeds the limit.
    fn excess(&self) -> Excess {
        match self.kind {
            Self::HEADERS | Self::CONTINUATION => Excess::Fields,
            _ => Excess::Frames,
        }
    }
}

/// Says why the connection was closed.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields => "interim responses or trailers without end",
            Self::Frames => {
                "the server sends HTTP/2 frames without end that belong to no response \
                 (such as SETTINGS, PING or WINDOW_UPDATE)"
            }
        })
    }
}

impl std::error::Error for Excess {}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [.., a, b, c] = length.to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 1];
        frame.resize(Frames::HEAD + length, 7);
        frame
    }

    #[test]
    fn all_but_the_payload_of_data_frames_is_overhead() {
        let frames = [
            frame(4, 0),
            frame(Frames::HEADERS, 70_000),
            frame(Frames::DATA, 300),
            frame(Frames::DATA, 0),
            frame(6, 8),
        ]
        .concat();
        let expected = 5 * Frames::HEAD + 70_000 + 8;
        for size in [1, 8, 9, 10, 301, 16_384, usize::MAX] {
            let mut scanned = Frames::default();
            let parts = frames.chunks(size);
            let overhead: usize = parts.map(|part| scanned.overhead(part)).sum();
            assert_eq!(overhead, expected, "{size}");
            assert_eq!(scanned.excess(), Excess::Frames);
        }
    }

    #[test]
    fn taken_responses_never_exceed_the_limit() {
        for is_http_2 in [false, true] {
            let counter = ByteCounter::new(is_http_2, 100);
            for _ in 0..10_000 {
                counter.sent();
                counter.received(&frame(Frames::HEADERS, 90)).unwrap();
                counter.head_taken();
                for _ in 0..10 {
                    counter.received(&frame(Frames::DATA, 1)).unwrap();
                    counter.part_taken(1);
                }
            }
        }
    }

    #[test]
    fn data_that_is_not_taken_exceeds_the_limit() {
        for (is_http_2, kind, excess) in [
            (false, 0, Excess::Fields),
            (true, Frames::HEADERS, Excess::Fields),
            (true, Frames::CONTINUATION, Excess::Fields),
            (true, 4, Excess::Frames),
            (true, 6, Excess::Frames),
            (true, 200, Excess::Frames),
        ] {
            let counter = ByteCounter::new(is_http_2, 100);
            counter.sent();
            let part = frame(kind, 50);
            let came = (0..10_000).find_map(|_| counter.received(&part).err());
            assert_eq!(came, Some(excess), "{is_http_2} {kind}");
            assert_eq!(counter.excess(), Some(excess));
        }
        // Empty parts of a body do not reduce the overhead.
        let counter = ByteCounter::new(true, 100);
        let came = (0..100_000).find_map(|_| {
            counter.part_taken(0);
            counter.received(&frame(Frames::DATA, 0)).err()
        });
        assert_eq!(came, Some(Excess::Frames));
    }

    #[test]
    fn burst_that_is_not_taken_yields_to_other_tasks() {
        let counter = ByteCounter::new(true, usize::MAX);
        let turns = |counter: &ByteCounter| {
            (0..10)
                .filter(|_| {
                    counter.received(&[0; PART]).unwrap();
                    counter.is_burst()
                })
                .count()
        };
        assert_eq!(turns(&counter), 10);
        for pause in [
            ByteCounter::idle,
            ByteCounter::head_taken,
            |h: &ByteCounter| h.part_taken(1),
        ] {
            let bursts = (0..10).filter(|_| {
                counter.received(&[0; PART]).unwrap();
                pause(&counter);
                counter.is_burst()
            });
            assert_eq!(bursts.count(), 0);
        }
    }
}
