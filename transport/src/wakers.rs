//! A list of wakers that are woken together.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The wakers of the tasks and threads that wait for the same event.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    next_id: u64,
    waiting: Vec<(u64, Waker)>,
}

impl Wakers {
    /// Adds a waker, or replaces the one that was added with this id.
    pub(crate) fn register(&mut self, id: &mut Option<u64>, waker: &Waker) {
        let known = id.and_then(|id| self.waiting.iter_mut().find(|(known, _)| *known == id));
        match known {
            Some((_, known)) => known.clone_from(waker),
            None => {
                self.next_id += 1;
                self.waiting.push((self.next_id, waker.clone()));
                *id = Some(self.next_id);
            }
        }
    }

    /// Removes a waker, if it was not woken yet.
    pub(crate) fn remove(&mut self, id: u64) {
        self.waiting.retain(|(known, _)| *known != id);
    }

    /// Takes all wakers out of the list. Wake them without holding a lock.
    #[must_use]
    pub(crate) fn take(&mut self) -> Vec<(u64, Waker)> {
        std::mem::take(&mut self.waiting)
    }
}

/// Locks a mutex. A panic of another thread does not matter where every critical section leaves the data consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes all wakers of a list.
pub(crate) fn wake(wakers: Vec<(u64, Waker)>) {
    for (_, waker) in wakers {
        waker.wake();
    }
}
