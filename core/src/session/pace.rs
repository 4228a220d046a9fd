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
