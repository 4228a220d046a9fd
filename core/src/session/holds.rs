//! Groups that Atlas has asked to leave alone for a while.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::limits::HELD_GROUPS;
use crate::{ApiError, GroupId};

/// Atlas's rate limit has the scope of a group; one 429 slows every exchange of the group down.
#[derive(Default)]
pub(super) struct Holds(BTreeMap<GroupId, Hold>);

struct Hold {
    since: Duration,
    until: Duration,
    answer: Box<ApiError>,
}

impl Holds {
    pub(super) fn hold(
        &mut self,
        group: GroupId,
        now: Duration,
        delay: Duration,
        answer: &ApiError,
    ) {
        let until = now.saturating_add(delay);
        if self
            .current(group, now)
            .is_some_and(|hold| hold.until >= until)
        {
            return;
        }
        if self.0.len() >= HELD_GROUPS {
            self.0.retain(|_, hold| hold.is_on(now));
        }
        if self.0.len() >= HELD_GROUPS {
            let first = self.0.iter().min_by_key(|(_, hold)| hold.until);
            let first = first.map(|(group, _)| *group);
            first.and_then(|group| self.0.remove(&group));
        }
        self.0.insert(
            group,
            Hold {
                since: now,
                until,
                answer: Box::new(answer.clone()),
            },
        );
    }

    /// How long the group is still to be left alone, and the answer that said so.
    pub(super) fn left(&mut self, group: GroupId, now: Duration) -> Option<(Duration, &ApiError)> {
        if self.0.get(&group).is_some_and(|hold| !hold.is_on(now)) {
            self.0.remove(&group);
        }
        let hold = self.current(group, now)?;
        Some((hold.until.saturating_sub(now), &hold.answer))
    }

    fn current(&self, group: GroupId, now: Duration) -> Option<&Hold> {
        self.0.get(&group).filter(|hold| hold.is_on(now))
    }
}

impl Hold {
    /// A clock that was set back ends it: nobody is held for longer than was planned.
    fn is_on(&self, now: Duration) -> bool {
        self.since <= now && now < self.until
    }
}
