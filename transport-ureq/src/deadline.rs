//! The deadline of a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time by which a call must end.
pub(crate) struct Deadline {
    end: Option<Instant>,
    /// Ends the call early when it is set, because the caller no longer needs the result.
    abandoned: Option<Arc<AtomicBool>>,
}

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self {
            end: Instant::now().checked_add(duration),
            abandoned: None,
        }
    }

    pub(crate) fn or_if(mut self, abandoned: &Arc<AtomicBool>) -> Self {
        self.abandoned = Some(Arc::clone(abandoned));
        self
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
            .as_ref()
            .is_some_and(|abandoned| abandoned.load(Ordering::Relaxed))
    }

    pub(crate) fn left(&self) -> Duration {
        match self.end {
            _ if self.is_abandoned() => Duration::ZERO,
            Some(end) => end.saturating_duration_since(Instant::now()),
            // The deadline is beyond the range of the clock.
            None => Duration::MAX,
        }
    }
}
