//! The token bucket behind 429.

use std::time::Duration;

/// A token bucket: a burst of `capacity` requests, and `refill` more in every `per`, flowing in
/// evenly.
///
/// The default is the usual one of Atlas's documentation: 1200, and 500 per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests a full bucket admits at once.
    pub capacity: u32,
    /// How many requests flow back in every `per`.
    pub refill: u32,
    /// The time in which `refill` requests flow back. Zero: the bucket is always full.
    pub per: Duration,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            capacity: 1200,
            refill: 500,
            per: Duration::from_secs(60),
        }
    }
}

/// One bucket's level.
///
/// Counted in parts so small that no division is needed to refill: a request costs `per`
/// nanoseconds' worth, and every nanosecond brings `refill` parts. All of it fits: a `u32` times
/// the 94 bits of a `Duration`'s nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket {
    level: Option<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    parts: u128,
    at: Duration,
}

/// What a bucket said to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted {
        remaining: u64,
    },
    /// `None`: never again.
    Refused {
        retry_after_seconds: Option<u64>,
    },
}

impl Bucket {
    pub(crate) fn take(&mut self, limit: &RateLimit, now: Duration) -> Verdict {
        let cost = limit.per.as_nanos();
        let refill = u128::from(limit.refill);
        let full = u128::from(limit.capacity) * cost;
        let level = self.level.get_or_insert(Level {
            parts: full,
            at: now,
        });
        // A clock that goes backwards brings nothing, and takes nothing away.
        let elapsed = now.saturating_sub(level.at).as_nanos();
        level.parts = level.parts.saturating_add(elapsed * refill).min(full);
        level.at = level.at.max(now);

        if cost == 0 {
            let remaining = u64::from(limit.capacity);
            return Verdict::Admitted { remaining };
        }
        if let Some(rest) = level.parts.checked_sub(cost) {
            level.parts = rest;
            let remaining = u64::try_from(rest / cost).unwrap_or(u64::MAX);
            return Verdict::Admitted { remaining };
        }
        let missing = cost - level.parts;
        let retry_after_seconds = (refill > 0 && limit.capacity > 0).then(|| {
            let seconds = missing.div_ceil(refill).div_ceil(1_000_000_000);
            u64::try_from(seconds).unwrap_or(u64::MAX)
        });
        Verdict::Refused {
            retry_after_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_bucket_empties_and_refills() {
        let limit = RateLimit {
            capacity: 2,
            refill: 1,
            per: seconds(10),
        };
        let mut bucket = Bucket::default();
        let mut take = |at| bucket.take(&limit, at);
        let refused = |retry| Verdict::Refused {
            retry_after_seconds: Some(retry),
        };
        assert_eq!(take(seconds(100)), Verdict::Admitted { remaining: 1 });
        assert_eq!(take(seconds(100)), Verdict::Admitted { remaining: 0 });
        assert_eq!(take(seconds(100)), refused(10));
        assert_eq!(take(seconds(107)), refused(3));
        assert_eq!(take(Duration::from_millis(109_999)), refused(1));
        assert_eq!(take(seconds(110)), Verdict::Admitted { remaining: 0 });
        // Never above its capacity.
        assert_eq!(take(seconds(9999)), Verdict::Admitted { remaining: 1 });
        // Backwards.
        assert_eq!(take(seconds(1)), Verdict::Admitted { remaining: 0 });
        assert_eq!(take(seconds(1)), refused(10));
    }

    #[test]
    fn extremes_neither_overflow_nor_divide_by_zero() {
        for capacity in [0, 1, u32::MAX] {
            for refill in [0, 1, u32::MAX] {
                for per in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                    let limit = RateLimit {
                        capacity,
                        refill,
                        per,
                    };
                    let mut bucket = Bucket::default();
                    for now in [Duration::ZERO, Duration::MAX, Duration::ZERO] {
                        let _ = bucket.take(&limit, now);
                        let _ = bucket.take(&limit, now);
                    }
                }
            }
        }
        let never = RateLimit {
            capacity: 0,
            refill: 1,
            per: seconds(1),
        };
        let verdict = Bucket::default().take(&never, seconds(5));
        assert_eq!(
            verdict,
            Verdict::Refused {
                retry_after_seconds: None
            }
        );
    }
}
