//! Client-side rate limiting per group.
//!
//! Atlas's rate limit has the scope of a group, so what one exchange learns about it slows down every
//! exchange of that group.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use crate::limits::{AMPLE_REMAINING, RATE_LIMIT_WINDOW, TRACKED_GROUPS};
use crate::{ApiError, GroupId};

/// The limits of all groups that have one.
#[derive(Default)]
pub(super) struct RateLimiter(BTreeMap<GroupId, Group>);

#[derive(Default)]
struct Group {
    pause: Option<Pause>,
    concurrency: Option<ConcurrencyLimit>,
}

/// A group's pause after a 429 response. No request is sent until it ends.
struct Pause {
    period: Period,
    response: Box<ApiError>,
}

/// The limit on a group's requests in flight that a `RateLimit-Remaining` header sets: more of them could get a 429
/// together. One is always allowed, to learn whether the number has risen.
struct ConcurrencyLimit {
    period: Period,
    remaining: u64,
    /// Each request in flight holds a clone.
    slot: Arc<()>,
}

/// A span of time that also ends when the clock is set back, so that no wait becomes longer than planned.
pub(super) struct Period {
    since: Duration,
    until: Duration,
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

/// Whether a request may be sent.
pub(super) enum Admission {
    /// The request may be sent, because the group has no concurrency limit.
    Unlimited,
    /// The request may be sent, and counts as in flight until this value is dropped.
    Slot(Arc<()>),
    /// The request may not be sent, because as many as allowed are in flight.
    Full,
}

impl RateLimiter {
    /// Pauses the group for `delay`, because of a 429 response. A longer pause stays in force.
    pub(super) fn pause(
        &mut self,
        group: GroupId,
        now: Duration,
        delay: Duration,
        response: &ApiError,
    ) {
        let period = Period::new(now, delay);
        let group = self.group(group, now);
        let is_longer =
            |pause: &Pause| pause.period.contains(now) && pause.period.until >= period.until;
        if !group.pause.as_ref().is_some_and(is_longer) {
            let response = Box::new(response.clone());
            group.pause = Some(Pause { period, response });
        }
    }

    /// Returns the rest of the group's pause, and the response that caused it.
    pub(super) fn pause_left(
        &self,
        group: GroupId,
        now: Duration,
    ) -> Option<(Duration, &ApiError)> {
        let pause = self.0.get(&group)?.pause.as_ref()?;
        pause
            .period
            .contains(now)
            .then(|| (pause.period.until.saturating_sub(now), &*pause.response))
    }

    /// Records the `RateLimit-Remaining` of a response.
    pub(super) fn set_remaining(&mut self, group: GroupId, now: Duration, remaining: u64) {
        if remaining >= AMPLE_REMAINING && !self.0.contains_key(&group) {
            return;
        }
        let period = Period::new(now, RATE_LIMIT_WINDOW);
        let concurrency = &mut self.group(group, now).concurrency;
        // A request that takes longer than the window no longer counts: its ticket may be kept for ever.
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

    pub(super) fn admit(&self, group: GroupId, now: Duration) -> Admission {
        let group = self.0.get(&group);
        match group.and_then(|group| group.concurrency.as_ref()) {
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

    /// Returns the group's entry, and adds it if it is missing. When the map is full, entries without a current limit
    /// are removed. If there are none, the group with the smallest id is removed: its next response limits it again.
    fn group(&mut self, group: GroupId, now: Duration) -> &mut Group {
        if self.0.len() >= TRACKED_GROUPS && !self.0.contains_key(&group) {
            self.0.retain(|_, group| group.is_limited(now));
            if self.0.len() >= TRACKED_GROUPS {
                self.0.pop_first();
            }
        }
        self.0.entry(group).or_default()
    }
}

impl Group {
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
    use crate::secret::KnownSecrets;
    use crate::{Endpoint, Limits};
    use alloc::format;
    use alloc::vec::Vec;
    use http::{HeaderMap, StatusCode};

    fn group(n: usize) -> GroupId {
        GroupId::new(&format!("{n:024x}")).unwrap()
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
        assert!(limiter.0.is_empty());
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
    fn tracked_groups_are_bounded() {
        let mut limiter = RateLimiter::default();
        for n in 0..TRACKED_GROUPS {
            limiter.pause(group(n), SECOND, 10 * SECOND, &response());
        }
        // No pause is over: one group is removed.
        limiter.set_remaining(group(TRACKED_GROUPS), 2 * SECOND, 0);
        assert_eq!(limiter.0.len(), TRACKED_GROUPS);
        assert!(limiter.pause_left(group(0), 2 * SECOND).is_none());
        assert!(limiter.pause_left(group(1), 2 * SECOND).is_some());
        // All limits but the last are over: those groups are removed.
        limiter.pause(group(TRACKED_GROUPS + 1), 20 * SECOND, SECOND, &response());
        assert_eq!(limiter.0.len(), 2);
        assert!(matches!(
            limiter.admit(group(TRACKED_GROUPS), 20 * SECOND),
            Admission::Slot(_)
        ));
    }
}
