//! What comes on a connection, counted: a server that sends without end what is no body is stopped.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The connection's counts; goes with its `Connected`, so that those who read its responses can tell what
/// they took.
#[derive(Clone, Debug)]
pub(crate) struct ByteCounter(Arc<Mutex<Counts>>);

/// Bytes that may come one after the other before others get their turn, while nobody takes any of them. One
/// part: h2 gives up a connection on which many small parts of a body came that nobody could take yet.
const BURST: usize = PART;

/// Bytes of a body that are on their way within hyper, beside the head: two parts in a channel, one in
/// its buffer, and no part is larger than what is read from the connection at a time.
const ON_THEIR_WAY: usize = 4 * PART;

/// Bytes that are read from a connection at a time: as many as a record of TLS or a frame of HTTP/2 has.
pub(crate) const PART: usize = 16 << 10;

/// How much of HTTP/2's frames may be no body, in heads of the largest size: streams share a
/// connection, and the heads of many responses may come before any of them is looked at.
const HEADS_OF_HTTP_2: usize = 16;

#[derive(Debug)]
struct Counts {
    /// When something came last.
    last: Instant,
    /// Bytes that came, less what was taken as heads and bodies.
    overhead: usize,
    most: usize,
    head_bytes: usize,
    /// Bytes that came since somebody took some, or since there was nothing to read.
    burst: usize,
    /// Of HTTP/1.1: whether a request was sent, and nothing has come since.
    waits: bool,
    /// Of HTTP/2: where in its frames the connection is.
    frames: Option<Frames>,
    excess: Option<Excess>,
}

/// What there was too much of.
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
            // Interim responses, and the head.
            head_bytes.saturating_mul(2)
        };
        Self(Arc::new(Mutex::new(Counts {
            last: Instant::now(),
            overhead: 0,
            most: most.saturating_add(ON_THEIR_WAY),
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

    /// When something came last.
    pub(crate) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Whether others should get their turn before more is read. Asked once for each turn.
    pub(crate) fn is_burst(&self) -> bool {
        let mut traffic = self.lock();
        let is_burst = traffic.burst >= BURST;
        if is_burst {
            traffic.burst = 0;
        }
        is_burst
    }

    /// There is nothing to read.
    pub(crate) fn quiet(&self) {
        self.lock().burst = 0;
    }

    /// These bytes came, or the end of the connection.
    pub(crate) fn came(&self, bytes: &[u8]) -> Result<(), Excess> {
        let mut traffic = self.lock();
        let traffic = &mut *traffic;
        traffic.last = Instant::now();
        traffic.waits = false;
        traffic.burst += bytes.len();
        let (overhead, excess) = match &mut traffic.frames {
            Some(frames) => (frames.overhead(bytes), frames.excess()),
            None => (bytes.len(), Excess::Fields),
        };
        traffic.overhead = traffic.overhead.saturating_add(overhead);
        if traffic.overhead > traffic.most {
            traffic.excess = Some(excess);
            return Err(excess);
        }
        Ok(())
    }

    /// Something was sent. In HTTP/1.1 that is the next request: what came before belongs to the last one.
    pub(crate) fn sent(&self) {
        let mut traffic = self.lock();
        if traffic.frames.is_none() && !traffic.waits {
            traffic.waits = true;
            traffic.overhead = 0;
            traffic.burst = 0;
        }
    }

    /// A head was taken.
    pub(crate) fn took_head(&self) {
        let mut traffic = self.lock();
        let head = traffic.head_bytes.saturating_mul(2);
        traffic.overhead = traffic.overhead.saturating_sub(head);
        traffic.burst = 0;
    }

    /// A part of a body was taken.
    pub(crate) fn took_part(&self, length: usize) {
        if length == 0 {
            return;
        }
        let mut traffic = self.lock();
        let part = length.saturating_add(Frames::HEAD);
        traffic.overhead = traffic.overhead.saturating_sub(part);
        traffic.burst = 0;
    }

    /// What there was too much of, if that is why the connection has ended.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.lock().excess
    }

    /// Whether more came than a head may have.
    pub(crate) fn is_beyond_a_head(&self) -> bool {
        let traffic = self.lock();
        traffic.overhead > traffic.head_bytes
    }
}

/// The frames of HTTP/2 (RFC 9113 §4.1), as far as it takes to tell bodies from the rest.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; Self::HEAD],
    /// Bytes of `head` that are there.
    filled: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    kind: u8,
}

impl Frames {
    /// Bytes before a payload: its length in three, its type, flags and a stream.
    const HEAD: usize = 9;
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;

    /// How many of these bytes are no body.
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

    /// What there is too much of, if the last frame is one too many.
    fn excess(&self) -> Excess {
        match self.kind {
            Self::HEADERS | Self::CONTINUATION => Excess::Fields,
            _ => Excess::Frames,
        }
    }
}

/// Why a connection that would not stop was ended.
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
    fn of_frames_all_but_the_payload_of_data_is_overhead_wherever_they_are_cut() {
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
    fn a_response_that_is_taken_is_never_too_much() {
        for is_http_2 in [false, true] {
            let heard = ByteCounter::new(is_http_2, 100);
            for _ in 0..10_000 {
                heard.sent();
                heard.came(&frame(Frames::HEADERS, 90)).unwrap();
                heard.took_head();
                for _ in 0..10 {
                    heard.came(&frame(Frames::DATA, 1)).unwrap();
                    heard.took_part(1);
                }
            }
        }
    }

    #[test]
    fn what_nobody_takes_is_too_much_some_day() {
        for (is_http_2, kind, excess) in [
            (false, 0, Excess::Fields),
            (true, Frames::HEADERS, Excess::Fields),
            (true, Frames::CONTINUATION, Excess::Fields),
            (true, 4, Excess::Frames),
            (true, 6, Excess::Frames),
            (true, 200, Excess::Frames),
        ] {
            let heard = ByteCounter::new(is_http_2, 100);
            heard.sent();
            let part = frame(kind, 50);
            let came = (0..10_000).find_map(|_| heard.came(&part).err());
            assert_eq!(came, Some(excess), "{is_http_2} {kind}");
            assert_eq!(heard.excess(), Some(excess));
        }
        // Empty parts of a body pay for nothing.
        let heard = ByteCounter::new(true, 100);
        let came = (0..100_000).find_map(|_| {
            heard.took_part(0);
            heard.came(&frame(Frames::DATA, 0)).err()
        });
        assert_eq!(came, Some(Excess::Frames));
    }

    #[test]
    fn others_get_their_turn_after_a_burst_that_nobody_takes() {
        let heard = ByteCounter::new(true, usize::MAX);
        let turns = |heard: &ByteCounter| {
            (0..10)
                .filter(|_| {
                    heard.came(&[0; PART]).unwrap();
                    heard.is_burst()
                })
                .count()
        };
        assert_eq!(turns(&heard), 10);
        for pause in [
            ByteCounter::quiet,
            ByteCounter::took_head,
            |h: &ByteCounter| h.took_part(1),
        ] {
            let bursts = (0..10).filter(|_| {
                heard.came(&[0; PART]).unwrap();
                pause(&heard);
                heard.is_burst()
            });
            assert_eq!(bursts.count(), 0);
        }
    }
}
