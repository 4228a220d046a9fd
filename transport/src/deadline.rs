//! The time by which a call must end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cancel::CancelHandle;
use crate::clock::Clock;

/// The time by which a call must end. It ends earlier if it is cancelled, or if nobody needs its result any more.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    end: Duration,
    pub(crate) cancel: Option<CancelHandle>,
    abandoned: Option<Arc<AtomicBool>>,
    /// Whether waits for a rate limit do not count: each of them moves the end.
    pub(crate) leaves_out_rate_limits: bool,
}

impl Deadline {
    /// Returns the deadline of a call that begins now.
    pub(crate) fn after(
        duration: Duration,
        clock: &Arc<dyn Clock>,
        cancel: Option<CancelHandle>,
        abandoned: Option<Arc<AtomicBool>>,
    ) -> Self {
        Self {
            end: clock.elapsed().saturating_add(duration),
            clock: Arc::clone(clock),
            cancel,
            abandoned,
            leaves_out_rate_limits: false,
        }
    }

    /// Sets whether waits for a rate limit do not count.
    pub(crate) fn leaving_out_rate_limits(self, leaves_out_rate_limits: bool) -> Self {
        Self {
            leaves_out_rate_limits,
            ..self
        }
    }

    /// Moves the end by this time.
    pub(crate) fn extend(&mut self, duration: Duration) {
        self.end = self.end.saturating_add(duration);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        let is_abandoned = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        self.cancel.as_ref().is_some_and(CancelHandle::is_cancelled)
            || self.abandoned.as_ref().is_some_and(is_abandoned)
    }

    /// Returns the time until the end; zero after it, and after a cancellation.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_cancelled() {
            return Duration::ZERO;
        }
        self.end.saturating_sub(self.clock.elapsed())
    }
}
