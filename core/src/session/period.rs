//! Spans of time that a changed clock cannot prolong.

use core::time::Duration;

/// A span of time that also ends when the clock is set back, so that no wait becomes longer than planned.
pub(super) struct Period {
    since: Duration,
    pub(super) until: Duration,
}

impl Period {
    pub(super) fn new(now: Duration, length: Duration) -> Self {
        Self {
            since: now,
            until: now.saturating_add(length),
        }
    }

    pub(super) fn contains(&self, now: Duration) -> bool {
        self.since <= now && now < self.until
    }
}
