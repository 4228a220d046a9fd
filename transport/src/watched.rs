//! State that tasks and threads can wait for, without a runtime.

use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// State behind a lock, and the wakers of those who wait until it meets a condition.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    state: Mutex<T>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next_id: u64,
    wakers: Vec<(u64, Waker)>,
}

impl<T> Watched<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            waiting: Mutex::default(),
        }
    }

    /// Locks the state. Call [`wake_all`](Watched::wake_all) after a change that others may wait for.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.state)
    }

    /// Wakes all who wait. Each of them checks its condition again.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut lock(&self.waiting).wakers);
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Waits until the state meets a condition.
    pub(crate) fn until<F: Fn(&T) -> bool>(&self, is_met: F) -> Until<'_, T, F> {
        Until {
            watched: self,
            is_met,
            id: None,
        }
    }
}

/// The future of [`Watched::until`].
pub(crate) struct Until<'w, T, F> {
    watched: &'w Watched<T>,
    is_met: F,
    id: Option<u64>,
}

impl<T, F: Fn(&T) -> bool + Unpin> Future for Until<'_, T, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            watched,
            is_met,
            id,
        } = &mut *self;
        if is_met(&watched.lock()) {
            return Poll::Ready(());
        }
        // A waker is dropped without a lock, because that may run any code.
        let _replaced = lock(&watched.waiting).register(id, cx.waker());
        // A change after the first check may have come before the registration.
        match is_met(&watched.lock()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl<T, F> Drop for Until<'_, T, F> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _removed = lock(&self.watched.waiting).remove(id);
        }
    }
}

impl Waiting {
    /// Adds a waker, or replaces the one that was added with this id.
    fn register(&mut self, id: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let known = id.and_then(|id| self.wakers.iter_mut().find(|(known, _)| *known == id));
        match known {
            Some((_, known)) if known.will_wake(waker) => None,
            Some((_, known)) => Some(std::mem::replace(known, waker.clone())),
            None => {
                self.next_id += 1;
                self.wakers.push((self.next_id, waker.clone()));
                *id = Some(self.next_id);
                None
            }
        }
    }

    /// Removes a waker, if it was not woken yet.
    fn remove(&mut self, id: u64) -> Option<Waker> {
        let position = self.wakers.iter().position(|(known, _)| *known == id)?;
        Some(self.wakers.swap_remove(position).1)
    }
}

/// Locks a mutex. A panic of another thread does not matter where every critical section leaves the data consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the content of a mutex that nobody else can lock.
pub(crate) fn get_mut<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}
