//! How much room to make for a body before it comes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Nobody is believed to send more than this before any of it has come: twice a usual page of 500 keys.
const MOST: usize = 256 << 10;

/// Tells how long a body will be: as long as promised, else about as long as the last one. Memory that grows
/// with what comes is copied, cleared and given back to the system again and again.
#[derive(Debug, Default)]
pub struct Room {
    /// How long the last body was.
    last: AtomicUsize,
}

impl Room {
    /// For a body with this `Content-Length`; `None` where it has none, or one that does not tell what comes
    /// out of its decompression.
    pub fn expected(&self, promised: Option<u64>) -> usize {
        let expected = match promised {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => {
                let last = self.last.load(Ordering::Relaxed);
                last.saturating_add(last / 16)
            }
        };
        expected.min(MOST)
    }

    /// A body was as long as this.
    pub fn learn(&self, length: usize) {
        self.last.store(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_believed_within_bounds_and_the_last_body_where_there_is_none() {
        let room = Room::default();
        assert_eq!(room.expected(None), 0);
        assert_eq!(room.expected(Some(1000)), 1000);
        assert_eq!(room.expected(Some(u64::MAX)), MOST);
        room.learn(1600);
        assert_eq!(room.expected(None), 1700);
        assert_eq!(room.expected(Some(0)), 0);
        room.learn(usize::MAX);
        assert_eq!(room.expected(None), MOST);
    }
}
