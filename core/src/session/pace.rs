//! How fast a group may be asked. Atlas's rate limit has the scope of a group, so what one exchange
//! is told of it slows every exchange of the group down.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use crate::limits::{AMPLE, NARROW, PACED_GROUPS};
use crate::{ApiError, GroupId};

#[derive(Default)]
pub(super) struct Pace(BTreeMap<GroupId, Group>);

#[derive(Default)]
struct Group {
    hold: Option<Hold>,
    narrow: Option<Narrow>,
}

/// A 429 said to leave the group alone.
struct Hold {
    period: Period,
    answer: Box<ApiError>,
}

/// `RateLimit-Remaining` said how many requests are left: no more are to be on their way at a time, so that
/// they do not run into a 429 together. One always may, to see whether the number has risen.
struct Narrow {
    period: Period,
    remaining: u64,
    /// Each request on its way has a clone.
    slot: Arc<()>,
}

/// A time that a clock that was set back ends too: nobody is kept for longer than was planned.
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

    pub(super) fn holds(&self, now: Duration) -> bool {
        self.since <= now && now < self.until
    }
}

/// Whether a request may go out.
pub(super) enum Entry {
    /// It may.
    Free,
    /// It may, and is on its way until this is dropped.
    Slot(Arc<()>),
    /// As many as may are on their way.
    Busy,
}

impl Pace {
    /// A 429: the group is left alone for this long.
    pub(super) fn hold(
        &mut self,
        group: GroupId,
        now: Duration,
        delay: Duration,
        answer: &ApiError,
    ) {
        let period = Period::new(now, delay);
        let group = self.group(group, now);
        let longer = |hold: &Hold| hold.period.holds(now) && hold.period.until >= period.until;
        if !group.hold.as_ref().is_some_and(longer) {
            let answer = Box::new(answer.clone());
            group.hold = Some(Hold { period, answer });
        }
    }

    /// How long the group is still to be left alone, and the answer that said so.
    pub(super) fn left(&self, group: GroupId, now: Duration) -> Option<(Duration, &ApiError)> {
        let hold = self.0.get(&group)?.hold.as_ref()?;
        hold.period
            .holds(now)
            .then(|| (hold.period.until.saturating_sub(now), &*hold.answer))
    }

    /// An answer told what remains of the limit.
    pub(super) fn remaining(&mut self, group: GroupId, now: Duration, remaining: u64) {
        if remaining >= AMPLE && !self.0.contains_key(&group) {
            return;
        }
        let period = Period::new(now, NARROW);
        let narrow = &mut self.group(group, now).narrow;
        // A request that took longer than that does not count any more: its ticket may be kept for ever.
        let known = narrow.take().filter(|narrow| narrow.period.holds(now));
        let slot = known.map(|narrow| narrow.slot);
        *narrow = Some(Narrow {
            period,
            remaining,
            slot: slot.unwrap_or_default(),
        });
    }

    pub(super) fn enter(&self, group: GroupId, now: Duration) -> Entry {
        let group = self.0.get(&group);
        match group.and_then(|group| group.narrow.as_ref()) {
            Some(narrow) if narrow.period.holds(now) => {
                let on_their_way = Arc::strong_count(&narrow.slot).saturating_sub(1);
                let wide = u64::try_from(on_their_way).is_ok_and(|n| n < narrow.remaining.max(1));
                if wide {
                    Entry::Slot(Arc::clone(&narrow.slot))
                } else {
                    Entry::Busy
                }
            }
            _ => Entry::Free,
        }
    }

    /// The group's entry. What is over makes room; if that does not help, the group with the
    /// smallest id is forgotten, and will be told again.
    fn group(&mut self, group: GroupId, now: Duration) -> &mut Group {
        if self.0.len() >= PACED_GROUPS && !self.0.contains_key(&group) {
            self.0.retain(|_, group| group.says_anything(now));
            if self.0.len() >= PACED_GROUPS {
                self.0.pop_first();
            }
        }
        self.0.entry(group).or_default()
    }
}

impl Group {
    fn says_anything(&self, now: Duration) -> bool {
        let held = self
            .hold
            .as_ref()
            .is_some_and(|hold| hold.period.holds(now));
        let narrow = self
            .narrow
            .as_ref()
            .is_some_and(|narrow| narrow.period.holds(now));
        held || narrow
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

    fn answer() -> ApiError {
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
    fn the_longer_hold_counts_and_a_clock_that_is_set_back_ends_it() {
        let mut pace = Pace::default();
        let now = 100 * SECOND;
        pace.hold(group(1), now, 30 * SECOND, &answer());
        pace.hold(group(1), now + SECOND, 9 * SECOND, &answer());
        assert_eq!(
            pace.left(group(1), now + 10 * SECOND).unwrap().0,
            20 * SECOND
        );
        assert!(pace.left(group(1), now + 30 * SECOND).is_none());
        assert!(pace.left(group(1), now - SECOND).is_none());
        assert!(pace.left(group(2), now).is_none());
    }

    #[test]
    fn as_many_are_on_their_way_as_are_left_and_one_at_the_least() {
        let mut pace = Pace::default();
        let enter = |pace: &Pace| match pace.enter(group(1), SECOND) {
            Entry::Slot(slot) => Some(slot),
            Entry::Busy => None,
            Entry::Free => panic!("nothing was said"),
        };
        assert!(matches!(pace.enter(group(1), SECOND), Entry::Free));
        pace.remaining(group(1), SECOND, AMPLE);
        assert!(pace.0.is_empty());
        pace.remaining(group(1), SECOND, 2);
        let first = enter(&pace).unwrap();
        let second = enter(&pace).unwrap();
        assert!(enter(&pace).is_none());
        // One of them came back and said that no more is left: the other one is still on its way.
        pace.remaining(group(1), SECOND, 0);
        drop(first);
        assert!(enter(&pace).is_none());
        drop(second);
        let third = enter(&pace).unwrap();
        assert!(enter(&pace).is_none());
        // The number has risen.
        pace.remaining(group(1), SECOND, AMPLE);
        let all: Vec<_> = (1..AMPLE).map(|_| enter(&pace).unwrap()).collect();
        assert!(enter(&pace).is_none());
        drop((third, all));
        assert!(matches!(pace.enter(group(1), SECOND + NARROW), Entry::Free));
    }

    #[test]
    fn a_request_that_never_comes_back_gives_its_place_up() {
        let mut pace = Pace::default();
        pace.remaining(group(1), SECOND, 0);
        let Entry::Slot(kept) = pace.enter(group(1), SECOND) else {
            panic!("the first one may go")
        };
        assert!(matches!(pace.enter(group(1), NARROW), Entry::Busy));
        let later = SECOND + NARROW;
        assert!(matches!(pace.enter(group(1), later), Entry::Free));
        // The one that went then is told that nothing is left: still one may go.
        pace.remaining(group(1), later, 0);
        assert!(matches!(pace.enter(group(1), later), Entry::Slot(_)));
        drop(kept);
    }

    #[test]
    fn no_more_groups_are_remembered_than_the_bound() {
        let mut pace = Pace::default();
        for n in 0..PACED_GROUPS {
            pace.hold(group(n), SECOND, 10 * SECOND, &answer());
        }
        // None of them is over: one is forgotten.
        pace.remaining(group(PACED_GROUPS), 2 * SECOND, 0);
        assert_eq!(pace.0.len(), PACED_GROUPS);
        assert!(pace.left(group(0), 2 * SECOND).is_none());
        assert!(pace.left(group(1), 2 * SECOND).is_some());
        // All but the last are over: they make room.
        pace.hold(group(PACED_GROUPS + 1), 20 * SECOND, SECOND, &answer());
        assert_eq!(pace.0.len(), 2);
        assert!(matches!(
            pace.enter(group(PACED_GROUPS), 20 * SECOND),
            Entry::Slot(_)
        ));
    }
}
