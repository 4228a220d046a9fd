//! Client-side rate limiting per scope, such as a group.
//!
//! The responses to one exchange slow down every exchange of the same scope. `RateLimit-Remaining` limits the number of
//! requests in flight, and a 429 pauses the scope.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use super::period::Period;
use crate::ApiError;
use crate::call::RateScope;
use crate::limits::{AMPLE_REMAINING, RATE_LIMIT_WINDOW, TRACKED_SCOPES};

/// The limits of all scopes that have one.
#[derive(Default)]
pub(super) struct RateLimiter {
    scopes: BTreeMap<RateScope, Entry>,
    /// The pause that ends last.
    longest_pause: Option<Period>,
}

#[derive(Default)]
struct Entry {
    pause: Option<Pause>,
    concurrency: Option<ConcurrencyLimit>,
}

/// A pause after a 429 response. No exchange sends a new request of the scope until it ends. The answer to a challenge
/// and a repeated token request are still sent.
struct Pause {
    period: Period,
    response: Box<ApiError>,
}

/// The largest number of requests in flight, from a `RateLimit-Remaining` header. More could exceed the limit together.
/// One is always allowed, to learn whether the number has risen.
struct ConcurrencyLimit {
    period: Period,
    remaining: u64,
    /// Each request in flight holds a clone.
    slot: Arc<()>,
}

/// The decision whether a request may be sent.
pub(super) enum Admission {
    /// The request may be sent, because the scope has no concurrency limit.
    Unlimited,
    /// The request may be sent, and counts as in flight until this value is dropped.
    Slot(Arc<()>),
    /// The request may not be sent, because as many as allowed are in flight.
    Full,
}

impl RateLimiter {
    /// Pauses the scope for `delay`, because of a 429 response. A longer pause stays in force.
    pub(super) fn pause(
        &mut self,
        scope: RateScope,
        now: Duration,
        delay: Duration,
        response: &ApiError,
    ) {
        let period = Period::new(now, delay);
        let is_longest = |longest: &Period| !longest.contains(now) || longest.until < period.until;
        if self.longest_pause.as_ref().is_none_or(is_longest) {
            self.longest_pause = Some(Period::new(now, delay));
        }
        let entry = self.entry(scope, now);
        let is_longer =
            |pause: &Pause| pause.period.contains(now) && pause.period.until >= period.until;
        if !entry.pause.as_ref().is_some_and(is_longer) {
            let response = Box::new(response.clone());
            entry.pause = Some(Pause { period, response });
        }
    }

    /// Returns the rest of the scope's pause, and the response that caused it.
    pub(super) fn pause_left(
        &self,
        scope: RateScope,
        now: Duration,
    ) -> Option<(Duration, &ApiError)> {
        let pause = self.scopes.get(&scope)?.pause.as_ref()?;
        pause
            .period
            .contains(now)
            .then(|| (pause.period.until.saturating_sub(now), &*pause.response))
    }

    /// Returns the rest of the longest pause of any scope.
    pub(super) fn longest_pause_left(&self, now: Duration) -> Option<Duration> {
        let pause = self.longest_pause.as_ref()?;
        pause.contains(now).then(|| pause.until.saturating_sub(now))
    }

    /// Records the `RateLimit-Remaining` of a response.
    pub(super) fn set_remaining(&mut self, scope: RateScope, now: Duration, remaining: u64) {
        if remaining >= AMPLE_REMAINING && !self.scopes.contains_key(&scope) {
            return;
        }
        let period = Period::new(now, RATE_LIMIT_WINDOW);
        let concurrency = &mut self.entry(scope, now).concurrency;
        // A request that takes longer than the window no longer counts: its caller may never return the slot.
        let current = concurrency
            .take()
            .filter(|limit| limit.period.contains(now));
        let slot = current.map(|limit| limit.slot);
        *concurrency = Some(ConcurrencyLimit {
            period,
            remaining,
            slot: slot.unwrap_or_default(),
        });
    }

    /// Returns whether a request may be sent now, and reserves a slot if the scope has a limit. It does not check the
    /// pause.
    pub(super) fn admit(&self, scope: RateScope, now: Duration) -> Admission {
        let entry = self.scopes.get(&scope);
        match entry.and_then(|entry| entry.concurrency.as_ref()) {
            Some(limit) if limit.period.contains(now) => {
                let in_flight = Arc::strong_count(&limit.slot).saturating_sub(1);
                let has_room = u64::try_from(in_flight).is_ok_and(|n| n < limit.remaining.max(1));
                if has_room {
                    Admission::Slot(Arc::clone(&limit.slot))
                } else {
                    Admission::Full
                }
            }
            _ => Admission::Unlimited,
        }
    }

    /// Returns the scope's entry, and adds it if it is missing. When the map is full, entries without a current limit
    /// are removed. If there are none, the first entry is removed: the next response of its scope sets its limits again.
    fn entry(&mut self, scope: RateScope, now: Duration) -> &mut Entry {
        if self.scopes.len() >= TRACKED_SCOPES && !self.scopes.contains_key(&scope) {
            self.scopes.retain(|_, entry| entry.is_limited(now));
            if self.scopes.len() >= TRACKED_SCOPES {
                self.scopes.pop_first();
            }
        }
        self.scopes.entry(scope).or_default()
    }
}

impl Entry {
    fn is_limited(&self, now: Duration) -> bool {
        let is_paused = self
            .pause
            .as_ref()
            .is_some_and(|pause| pause.period.contains(now));
        let has_concurrency_limit = self
            .concurrency
            .as_ref()
            .is_some_and(|limit| limit.period.contains(now));
        is_paused || has_concurrency_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_error::Redaction;
    use crate::redaction::KnownSecrets;
    use crate::{Endpoint, GroupId, Limits};
    use alloc::format;
    use alloc::vec::Vec;
    use http::{HeaderMap, StatusCode};

    fn group(n: usize) -> RateScope {
        RateScope::Group(GroupId::new(&format!("{n:024x}")).unwrap().0)
    }

    fn response() -> ApiError {
        let redaction = Redaction {
            secrets: &KnownSecrets::default(),
            limits: Limits::default().of_body(),
        };
        let status = StatusCode::TOO_MANY_REQUESTS;
        ApiError::read(
            status,
            Endpoint::ModelKeys,
            &HeaderMap::new(),
            b"",
            None,
            &redaction,
        )
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn longer_pause_wins_and_ends_when_clock_is_set_back() {
        let mut limiter = RateLimiter::default();
        let now = 100 * SECOND;
        limiter.pause(group(1), now, 30 * SECOND, &response());
        limiter.pause(group(1), now + SECOND, 9 * SECOND, &response());
        assert_eq!(
            limiter.pause_left(group(1), now + 10 * SECOND).unwrap().0,
            20 * SECOND
        );
        assert!(limiter.pause_left(group(1), now + 30 * SECOND).is_none());
        assert!(limiter.pause_left(group(1), now - SECOND).is_none());
        assert!(limiter.pause_left(group(2), now).is_none());
    }

    #[test]
    fn longest_pause_of_all_scopes_is_known() {
        let mut limiter = RateLimiter::default();
        let now = 100 * SECOND;
        assert!(limiter.longest_pause_left(now).is_none());
        limiter.pause(group(1), now, 9 * SECOND, &response());
        limiter.pause(group(2), now, 30 * SECOND, &response());
        limiter.pause(group(3), now + SECOND, 2 * SECOND, &response());
        let left = limiter.longest_pause_left(now + 10 * SECOND);
        assert_eq!(left, Some(20 * SECOND));
        // The clock was set back: that pause has ended, and a shorter one counts.
        limiter.pause(group(3), now - SECOND, SECOND, &response());
        assert_eq!(limiter.longest_pause_left(now - SECOND), Some(SECOND));
        assert!(limiter.longest_pause_left(now).is_none());
    }

    #[test]
    fn remaining_requests_limit_those_in_flight_but_one_is_always_allowed() {
        let mut limiter = RateLimiter::default();
        let admit = |limiter: &RateLimiter| match limiter.admit(group(1), SECOND) {
            Admission::Slot(slot) => Some(slot),
            Admission::Full => None,
            Admission::Unlimited => panic!("there is no limit"),
        };
        assert!(matches!(
            limiter.admit(group(1), SECOND),
            Admission::Unlimited
        ));
        limiter.set_remaining(group(1), SECOND, AMPLE_REMAINING);
        assert!(limiter.scopes.is_empty());
        limiter.set_remaining(group(1), SECOND, 2);
        let first = admit(&limiter).unwrap();
        let second = admit(&limiter).unwrap();
        assert!(admit(&limiter).is_none());
        // A response says that none is left while the other request is still in flight.
        limiter.set_remaining(group(1), SECOND, 0);
        drop(first);
        assert!(admit(&limiter).is_none());
        drop(second);
        let third = admit(&limiter).unwrap();
        assert!(admit(&limiter).is_none());
        // The number has risen.
        limiter.set_remaining(group(1), SECOND, AMPLE_REMAINING);
        let all: Vec<_> = (1..AMPLE_REMAINING)
            .map(|_| admit(&limiter).unwrap())
            .collect();
        assert!(admit(&limiter).is_none());
        drop((third, all));
        assert!(matches!(
            limiter.admit(group(1), SECOND + RATE_LIMIT_WINDOW),
            Admission::Unlimited
        ));
    }

    #[test]
    fn slot_that_is_never_returned_expires_with_the_window() {
        let mut limiter = RateLimiter::default();
        limiter.set_remaining(group(1), SECOND, 0);
        let Admission::Slot(kept) = limiter.admit(group(1), SECOND) else {
            panic!("the first request is allowed")
        };
        assert!(matches!(
            limiter.admit(group(1), RATE_LIMIT_WINDOW),
            Admission::Full
        ));
        let later = SECOND + RATE_LIMIT_WINDOW;
        assert!(matches!(
            limiter.admit(group(1), later),
            Admission::Unlimited
        ));
        // The response to that request says that none is left: one is still allowed.
        limiter.set_remaining(group(1), later, 0);
        assert!(matches!(limiter.admit(group(1), later), Admission::Slot(_)));
        drop(kept);
    }

    #[test]
    fn tracked_scopes_are_bounded() {
        let mut limiter = RateLimiter::default();
        for n in 0..TRACKED_SCOPES {
            limiter.pause(group(n), SECOND, 10 * SECOND, &response());
        }
        // No pause is over: one group is removed.
        limiter.set_remaining(group(TRACKED_SCOPES), 2 * SECOND, 0);
        assert_eq!(limiter.scopes.len(), TRACKED_SCOPES);
        assert!(limiter.pause_left(group(0), 2 * SECOND).is_none());
        assert!(limiter.pause_left(group(1), 2 * SECOND).is_some());
        // All limits but the last are over: those groups are removed.
        limiter.pause(group(TRACKED_SCOPES + 1), 20 * SECOND, SECOND, &response());
        assert_eq!(limiter.scopes.len(), 2);
        assert!(matches!(
            limiter.admit(group(TRACKED_SCOPES), 20 * SECOND),
            Admission::Slot(_)
        ));
    }
}
