//! Work that may be done by another task or thread, and ends when nobody waits for it any more.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use atlas_model_keys_core::{Failure, FailureKind};

use crate::event::in_current_span;
use crate::transport::Task;
use crate::watched::{get_mut, lock};

/// The mutex is never locked. It makes the handle `Sync`, although the future in it is not.
type Work<T> = Mutex<Pin<Box<dyn Future<Output = T> + Send>>>;

/// The handle of some work, which cancels it when dropped.
///
/// Other calls may wait for an exchange: for its token request, or for its place under the rate limit. A future that is
/// polled once and then left alone, as in `select!` or with a timeout, would block them. Work in a task of its own
/// continues.
pub(crate) enum Job<T> {
    /// Polled by the one who waits for it.
    InPlace(Work<T>),
    Spawned {
        result: Arc<Mutex<Shared<T>>>,
        /// The task, if it could not be spawned. It is polled in place.
        task: Option<Mutex<Task>>,
    },
}

/// The state that a task and its handle share.
pub(crate) struct Shared<T> {
    outcome: Option<Outcome<T>>,
    /// Whether the handle was dropped.
    is_abandoned: bool,
    /// Wakes the one who waits for the result.
    waiting: Option<Waker>,
    /// Wakes the task.
    task: Option<Waker>,
}

enum Outcome<T> {
    Done(T),
    Panicked(Box<dyn Any + Send>),
    /// The runtime dropped the task.
    Dropped,
}

impl<T: Send + 'static> Job<T> {
    /// Starts a task within the current span.
    pub(crate) fn spawn(
        work: impl Future<Output = T> + Send + 'static,
        spawn: impl FnOnce(Task) -> Result<(), Task>,
    ) -> Self {
        let result = Arc::new(Mutex::new(Shared {
            outcome: None,
            is_abandoned: false,
            waiting: None,
            task: None,
        }));
        let task = Running {
            work: Some(Box::pin(in_current_span(work))),
            result: Arc::clone(&result),
        };
        let task = spawn(Box::pin(task)).err().map(Mutex::new);
        Self::Spawned { result, task }
    }
}

/// The future that runs as a task.
struct Running<T, F> {
    /// `None` at the end.
    work: Option<Pin<Box<F>>>,
    result: Arc<Mutex<Shared<T>>>,
}

impl<T, F> Running<T, F> {
    fn finish(&mut self, outcome: Outcome<T>) {
        // Dropped before the result is seen, so that the work holds nothing any more.
        self.work = None;
        let mut shared = lock(&self.result);
        shared.outcome = Some(outcome);
        let waiting = shared.waiting.take();
        drop(shared);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<T, F: Future<Output = T>> Future for Running<T, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(&self.result);
        if !shared.is_abandoned {
            match &mut shared.task {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let is_abandoned = shared.is_abandoned;
        drop(shared);
        let Some(work) = self.work.as_mut().filter(|_| !is_abandoned) else {
            self.work = None;
            return Poll::Ready(());
        };
        let outcome = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Outcome::Done(result),
            Err(panic) => Outcome::Panicked(panic),
        };
        self.finish(outcome);
        Poll::Ready(())
    }
}

impl<T, F> Drop for Running<T, F> {
    fn drop(&mut self) {
        if self.work.is_some() {
            self.finish(Outcome::Dropped);
        }
    }
}

impl<T> Future for Job<T> {
    /// The result, or the failure if the runtime dropped the task. A panic of the task is resumed.
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, task) = match &mut *self {
            Self::InPlace(work) => return get_mut(work).as_mut().poll(cx).map(Ok),
            Self::Spawned { result, task } => (result, task),
        };
        if let Some(task) = task {
            // Its outcome is stored in the same way as that of a spawned task.
            let _ = get_mut(task).as_mut().poll(cx);
        }
        let mut shared = lock(result);
        let outcome = shared.outcome.take();
        if outcome.is_none() {
            shared.waiting = Some(cx.waker().clone());
        }
        drop(shared);
        match outcome {
            None => Poll::Pending,
            Some(Outcome::Done(result)) => Poll::Ready(Ok(result)),
            Some(Outcome::Panicked(panic)) => resume_unwind(panic),
            Some(Outcome::Dropped) => Poll::Ready(Err(Failure::new(
                FailureKind::Permanent,
                "the runtime ended the task: it was shut down",
            ))),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Self::Spawned { result, .. } = self {
            let mut shared = lock(result);
            shared.is_abandoned = true;
            let task = shared.task.take();
            drop(shared);
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}
