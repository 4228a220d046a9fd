//! The limits of scopes: pauses after a 429, and the requests that `RateLimit-Remaining` allows in flight.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MINUTE, Period};

/// The longest pause after a 429.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A `RateLimit-Remaining` from this number on does not begin to limit a scope.
const AMPLE: u64 = 128;

#[derive(Debug, Default)]
pub(super) struct RateLimits {
    scopes: BTreeMap<u8, Scope>,
    windows: u64,
    longest_pause: Option<Period>,
}

#[derive(Debug, Default)]
struct Scope {
    pause: Option<Period>,
    window: Option<Window>,
}

/// A time in which no more requests may be in flight than remain. Each window of the session has a number.
#[derive(Clone, Copy, Debug)]
struct Window {
    number: u64,
    period: Period,
    remaining: u64,
}

impl RateLimits {
    pub(super) fn longest_pause(&self, now: Duration) -> Option<Duration> {
        self.longest_pause?.left(now)
    }

    pub(super) fn pause_left(&self, scope: u8, now: Duration) -> Option<Duration> {
        self.scopes.get(&scope)?.pause?.left(now)
    }

    /// Pauses a scope. A longer pause stays.
    pub(super) fn pause(&mut self, scope: u8, now: Duration, length: Duration) {
        let new = Period::new(now, length.min(LONGEST_PAUSE));
        let pause = &mut self.scopes.entry(scope).or_default().pause;
        for known in [pause, &mut self.longest_pause] {
            if known.is_none_or(|known| known.left(now).is_none() || known.until < new.until) {
                *known = Some(new);
            }
        }
    }

    /// Returns the number of the current window, and how many requests may be in flight: one always may.
    pub(super) fn window(&self, scope: u8, now: Duration) -> Option<(u64, u64)> {
        let window = self.scopes.get(&scope)?.window?;
        window.period.left(now)?;
        Some((window.number, window.remaining.max(1)))
    }

    /// Continues the current window, or begins another one, in which no request in flight counts yet: those that take longer
    /// than a window may never end.
    pub(super) fn set_remaining(&mut self, scope: u8, remaining: u64, now: Duration) {
        if remaining >= AMPLE && !self.scopes.contains_key(&scope) {
            return;
        }
        let number = match self.window(scope, now) {
            Some((number, _)) => number,
            None => {
                self.windows += 1;
                self.windows
            }
        };
        let period = Period::new(now, MINUTE);
        self.scopes.entry(scope).or_default().window = Some(Window {
            number,
            period,
            remaining,
        });
    }
}
