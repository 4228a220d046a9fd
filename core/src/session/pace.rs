//! How fast a group may be asked. Atlas's rate limit has the scope of a group, so what one exchange
//! is told of it slows every exchange of the group down.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::time::Duration;

use crate::limits::{PACED_GROUPS, SINGLE_FILE};
use crate::{ApiError, GroupId};

#[derive(Default)]
pub(super) struct Pace(BTreeMap<GroupId, Group>);

#[derive(Default)]
struct Group {
    hold: Option<Hold>,
    single: Option<SingleFile>,
}

/// A 429 said to leave the group alone.
struct Hold {
    period: Period,
    answer: Box<ApiError>,
}

/// `RateLimit-Remaining: 0` said that the next request may be one too many.
struct SingleFile {
    period: Period,
    /// The one on its way.
    on_its_way: Weak<()>,
}

/// A time that a clock that was set back ends too: nobody is kept for longer than was planned.
struct Period {
    since: Duration,
    until: Duration,
}

impl Period {
    fn new(now: Duration, length: Duration) -> Self {
        Self {
            since: now,
            until: now.saturating_add(length),
        }
    }

    fn holds(&self, now: Duration) -> bool {
        self.since <= now && now < self.until
    }
}

/// Whether a request may go out.
pub(super) enum Entry {
    /// It may.
    Free,
    /// It may, and no other until this is dropped.
    Slot(Arc<()>),
    /// Another one is on its way.
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
        if remaining > 0 {
            if let Some(group) = self.0.get_mut(&group) {
                group.single = None;
            }
            return;
        }
        let period = Period::new(now, SINGLE_FILE);
        let group = self.group(group, now);
        match &mut group.single {
            Some(single) => single.period = period,
            none => {
                *none = Some(SingleFile {
                    period,
                    on_its_way: Weak::new(),
                });
            }
        }
    }

    pub(super) fn enter(&mut self, group: GroupId, now: Duration) -> Entry {
        let single = self
            .0
            .get_mut(&group)
            .and_then(|group| group.single.as_mut());
        match single {
            Some(single) if single.period.holds(now) => {
                if single.on_its_way.strong_count() > 0 {
                    return Entry::Busy;
                }
                let slot = Arc::new(());
                single.on_its_way = Arc::downgrade(&slot);
                Entry::Slot(slot)
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
        let single = self
            .single
            .as_ref()
            .is_some_and(|single| single.period.holds(now));
        held || single
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_error::Redaction;
    use crate::secret::KnownSecrets;
    use crate::{Endpoint, Limits};
    use alloc::format;
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
