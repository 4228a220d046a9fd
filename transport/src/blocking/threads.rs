//! Threads that run tasks, and serve one task after the other.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::park::block_on;
use crate::transport::Task;
use crate::watched::lock;

/// Runs tasks in threads, each for one task at a time. The threads end when this is dropped.
pub(crate) struct Threads {
    queue: Arc<Queue>,
    start: fn(Arc<Queue>) -> io::Result<()>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    /// The number of threads.
    threads: usize,
    is_closed: bool,
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            queue: Arc::default(),
            start,
        }
    }
}

impl Threads {
    /// Gives the task to a free thread or a new one, or returns it if no thread can be started. Of the earlier tasks, no
    /// more than `running` may be incomplete.
    ///
    /// A thread is free a moment after the result of its task is seen. So the threads cannot tell that no new one is needed,
    /// but the number of incomplete tasks can.
    pub(crate) fn spawn(&mut self, running: usize, task: Task) -> Result<(), Task> {
        let mut state = lock(&self.queue.state);
        if state.threads <= running {
            if (self.start)(Arc::clone(&self.queue)).is_err() {
                return Err(task);
            }
            state.threads += 1;
        }
        state.tasks.push_back(task);
        drop(state);
        self.queue.changed.notify_one();
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut state = lock(&self.queue.state);
        state.is_closed = true;
        drop(state);
        self.queue.changed.notify_all();
    }
}

/// Starts a thread that runs the tasks of the queue until it is closed and empty.
fn start(queue: Arc<Queue>) -> io::Result<()> {
    let run = move || {
        while let Some(task) = queue.next() {
            block_on(task);
        }
    };
    let thread = thread::Builder::new().name("atlas-model-keys".to_owned());
    thread.spawn(run).map(drop)
}

impl Queue {
    /// Waits for a task.
    fn next(&self) -> Option<Task> {
        let state = lock(&self.state);
        let mut state = self
            .changed
            .wait_while(state, |state| state.tasks.is_empty() && !state.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.tasks.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    #[test]
    fn idle_thread_serves_the_next_task() {
        let mut threads = Threads::default();
        let mut seen: HashSet<ThreadId> = HashSet::new();
        for _ in 0..20 {
            let (done, result) = mpsc::channel();
            let task = Box::pin(async move { done.send(thread::current().id()).unwrap() });
            assert!(threads.spawn(0, task).is_ok());
            seen.insert(result.recv().unwrap());
        }
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn task_is_returned_if_no_thread_can_be_started() {
        let mut threads = Threads {
            queue: Arc::default(),
            start: |_| Err(io::Error::from(io::ErrorKind::WouldBlock)),
        };
        assert!(threads.spawn(0, Box::pin(async {})).is_err());
        assert_eq!(lock(&threads.queue.state).threads, 0);
    }

    #[test]
    fn threads_end_with_their_owner_after_the_last_task() {
        let mut threads = Threads::default();
        let (done, result) = mpsc::channel();
        let task = Box::pin(async move { done.send(()).unwrap() });
        assert!(threads.spawn(0, task).is_ok());
        let queue = Arc::downgrade(&threads.queue);
        drop(threads);
        result.recv().unwrap();
        while queue.upgrade().is_some() {
            thread::yield_now();
        }
    }
}
