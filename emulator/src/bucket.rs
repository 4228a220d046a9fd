//! The token bucket that decides when a request gets 429.

use std::time::Duration;

/// A rate limit, as a token bucket: it admits a burst of `capacity` requests, and refills evenly with `refill`
/// requests per `per`.
///
/// The default is the usual rate limit of Atlas's documentation: 1200, and 500 per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenBucket {
    /// The number of requests that a full bucket admits at once.
    pub capacity: u32,
    /// The number of requests that are refilled per `per`.
    pub refill: u32,
    /// The time in which `refill` requests are refilled. With zero the bucket is always full.
    pub per: Duration,
}

impl TokenBucket {
    /// Returns a rate limit with these values.
    #[must_use]
    pub const fn new(capacity: u32, refill: u32, per: Duration) -> Self {
        Self {
            capacity,
            refill,
            per,
        }
    }
}

impl Default for TokenBucket {
    fn default() -> Self {
        Self {
            capacity: 1200,
            refill: 500,
            per: Duration::from_secs(60),
        }
    }
}

/// The current level of one bucket.
///
/// The level is counted in small parts, so that refilling needs no division: a request costs as
/// many parts as `per` has nanoseconds, and every nanosecond refills `refill` parts. A `u128` holds
/// the largest level: a `u32` times the 94 bits of a `Duration`'s nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketState {
    level: Option<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    parts: u128,
    at: Duration,
}

/// The decision of a bucket about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Admitted {
        remaining: u64,
    },
    /// `None` means that no later request will be admitted either.
    Refused {
        retry_after_seconds: Option<u64>,
    },
}

impl BucketState {
    pub(crate) fn take(&mut self, limit: &TokenBucket, now: Duration) -> Decision {
        let cost = limit.per.as_nanos();
        let refill = u128::from(limit.refill);
        let full = u128::from(limit.capacity) * cost;
        let level = self.level.get_or_insert(Level {
            parts: full,
            at: now,
        });
        // If the clock goes backwards, the level stays the same, and is refilled from then on.
        let elapsed = now.saturating_sub(level.at).as_nanos();
        level.parts = level.parts.saturating_add(elapsed * refill).min(full);
        level.at = now;

        if cost == 0 {
            let remaining = u64::from(limit.capacity);
            return Decision::Admitted { remaining };
        }
        if let Some(rest) = level.parts.checked_sub(cost) {
            level.parts = rest;
            let remaining = u64::try_from(rest / cost).unwrap_or(u64::MAX);
            return Decision::Admitted { remaining };
        }
        let missing = cost - level.parts;
        let retry_after_seconds = (refill > 0 && limit.capacity > 0).then(|| {
            let seconds = missing.div_ceil(refill).div_ceil(1_000_000_000);
            u64::try_from(seconds).unwrap_or(u64::MAX)
        });
        Decision::Refused {
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
    fn bucket_empties_and_refills() {
        let limit = TokenBucket {
            capacity: 2,
            refill: 1,
            per: seconds(10),
        };
        let mut bucket = BucketState::default();
        let mut take = |at| bucket.take(&limit, at);
        let refused = |retry| Decision::Refused {
            retry_after_seconds: Some(retry),
        };
        assert_eq!(take(seconds(100)), Decision::Admitted { remaining: 1 });
        assert_eq!(take(seconds(100)), Decision::Admitted { remaining: 0 });
        assert_eq!(take(seconds(100)), refused(10));
        assert_eq!(take(seconds(107)), refused(3));
        assert_eq!(take(Duration::from_millis(109_999)), refused(1));
        assert_eq!(take(seconds(110)), Decision::Admitted { remaining: 0 });
        // It never holds more than its capacity.
        assert_eq!(take(seconds(9999)), Decision::Admitted { remaining: 1 });
        // The clock goes backwards.
        assert_eq!(take(seconds(1)), Decision::Admitted { remaining: 0 });
        assert_eq!(take(seconds(1)), refused(10));
        assert_eq!(take(seconds(11)), Decision::Admitted { remaining: 0 });
    }

    #[test]
    fn extreme_limits_neither_overflow_nor_divide_by_zero() {
        for capacity in [0, 1, u32::MAX] {
            for refill in [0, 1, u32::MAX] {
                for per in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                    let limit = TokenBucket {
                        capacity,
                        refill,
                        per,
                    };
                    let mut bucket = BucketState::default();
                    for now in [Duration::ZERO, Duration::MAX, Duration::ZERO] {
                        let _ = bucket.take(&limit, now);
                        let _ = bucket.take(&limit, now);
                    }
                }
            }
        }
        let never = TokenBucket {
            capacity: 0,
            refill: 1,
            per: seconds(1),
        };
        let decision = BucketState::default().take(&never, seconds(5));
        assert_eq!(
            decision,
            Decision::Refused {
                retry_after_seconds: None
            }
        );
    }
}
