//! How much room to make for a body before it comes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Nobody is believed to send more than this before any of it has come: twice a usual page of 500 keys.
const MOST: usize = 256 << 10;

/// Tells how long a body will be: as long as promised, else about as long as the last one. Memory that grows
/// with what comes is copied, cleared and given back to the system again and again.
///
/// Where it was wrong by far, what is too much is given back: who keeps a page keeps its body.
#[derive(Debug, Default)]
pub struct BodySizeEstimate {
    /// How long the last body was.
    last: AtomicUsize,
}

impl BodySizeEstimate {
    /// For a body with this `Content-Length`; `None` where it has none, or one that does not tell what comes
    /// out of its decompression. 0 where nothing is known.
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

    /// A body is there.
    pub fn came(&self, body: &mut Vec<u8>) {
        self.last.store(body.len(), Ordering::Relaxed);
        if body.capacity() / 2 > body.len() {
            body.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_believed_within_bounds_and_the_last_body_where_there_is_none() {
        let room = BodySizeEstimate::default();
        assert_eq!(room.expected(None), 0);
        assert_eq!(room.expected(Some(1000)), 1000);
        assert_eq!(room.expected(Some(u64::MAX)), MOST);
        room.came(&mut vec![0; 1600]);
        assert_eq!(room.expected(None), 1700);
        assert_eq!(room.expected(Some(0)), 0);
        room.came(&mut vec![0; 2 * MOST]);
        assert_eq!(room.expected(None), MOST);
    }

    #[test]
    fn no_body_keeps_more_than_twice_its_length() {
        let room = BodySizeEstimate::default();
        for (length, capacity, kept) in [(26, MOST, 26), (49, 100, 49), (50, 100, 100), (0, 1, 1)] {
            let mut body = Vec::with_capacity(capacity);
            body.resize(length, 0);
            room.came(&mut body);
            assert_eq!((body.len(), body.capacity()), (length, kept));
        }
    }
}
