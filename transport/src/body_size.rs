//! Estimates the size of a body before it arrives.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest estimate in bytes, whatever the server announces: twice a usual page of 500 keys.
const MOST: usize = 256 << 10;

/// Estimates the length of the next body: its `Content-Length`, or else a little more than the length of the last one.
/// A buffer that starts small is copied and reallocated again and again.
///
/// Memory that was reserved for nothing is given back, because a page keeps the buffer of its body.
#[derive(Debug, Default)]
pub(crate) struct BodySizeEstimate {
    /// The length of the last body.
    last: AtomicUsize,
}

impl BodySizeEstimate {
    /// Returns the capacity in bytes for the next body, or 0 if nothing is known. Pass `None` if the response has no
    /// `Content-Length` or a content coding, whose decoded length is unknown.
    pub(crate) fn capacity(&self, content_length: Option<u64>) -> usize {
        let capacity = match content_length {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => {
                let last = self.last.load(Ordering::Relaxed);
                last.saturating_add(last / 16)
            }
        };
        capacity.min(MOST)
    }

    /// Notes the length of a complete body, and gives back memory that it does not need.
    pub(crate) fn record(&self, body: &mut Vec<u8>) {
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
    fn capacity_follows_content_length_or_the_last_body_within_bounds() {
        let estimate = BodySizeEstimate::default();
        assert_eq!(estimate.capacity(None), 0);
        assert_eq!(estimate.capacity(Some(1000)), 1000);
        assert_eq!(estimate.capacity(Some(u64::MAX)), MOST);
        estimate.record(&mut vec![0; 1600]);
        assert_eq!(estimate.capacity(None), 1700);
        assert_eq!(estimate.capacity(Some(0)), 0);
        estimate.record(&mut vec![0; 2 * MOST]);
        assert_eq!(estimate.capacity(None), MOST);
    }

    #[test]
    fn no_body_keeps_more_than_twice_its_length() {
        let estimate = BodySizeEstimate::default();
        for (length, capacity, kept) in [(26, MOST, 26), (49, 100, 49), (50, 100, 100), (0, 1, 1)] {
            let mut body = Vec::with_capacity(capacity);
            body.resize(length, 0);
            estimate.record(&mut body);
            assert_eq!((body.len(), body.capacity()), (length, kept));
        }
    }
}
