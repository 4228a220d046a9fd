//! Runs a future on the current thread, which sleeps while the future waits.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

thread_local! {
    /// The earliest time at which the future that this thread polls wants to be polled again.
    static WAKE_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Wakes a thread.
struct ThreadWaker {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl ThreadWaker {
    /// Sleeps until the thread is woken, or until this time.
    fn park(&self, end: Option<Instant>) {
        while !self.is_woken.swap(false, Ordering::Acquire) {
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return,
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

/// Runs a future to its end. Calls may be nested.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Most futures of a listing are ready at once: they need no waker.
    if let (Poll::Ready(output), _) = poll(future.as_mut(), Waker::noop()) {
        return output;
    }
    let parker = Arc::new(ThreadWaker {
        thread: thread::current(),
        is_woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&parker));
    loop {
        match poll(future.as_mut(), &waker) {
            (Poll::Ready(output), _) => return output,
            (Poll::Pending, end) => parker.park(end),
        }
    }
}

/// Polls a future, and returns the time at which it wants to be polled again.
fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> (Poll<F::Output>, Option<Instant>) {
    let outer = WAKE_AT.replace(None);
    let polled = future.poll(&mut Context::from_waker(waker));
    (polled, WAKE_AT.replace(outer))
}

/// A future that waits for this time. Only [`block_on`] can run it.
pub(super) struct Sleep {
    /// `None` is beyond the range of the clock.
    end: Option<Instant>,
}

impl Sleep {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            end: Instant::now().checked_add(delay),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let Some(end) = self.end else {
            return Poll::Pending;
        };
        if Instant::now() >= end {
            return Poll::Ready(());
        }
        let earliest = WAKE_AT.get().map_or(end, |other| other.min(end));
        WAKE_AT.set(Some(earliest));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn earliest_sleep_ends_the_pause_also_in_a_nested_call() {
        let begun = Instant::now();
        let mut long = pin!(Sleep::new(Duration::from_secs(3600)));
        // Long enough that the first two polls end before it on a busy machine, too.
        let mut short = pin!(Sleep::new(Duration::from_millis(200)));
        let mut nested = 0;
        block_on(poll_fn(|cx| {
            assert!(long.as_mut().poll(cx).is_pending());
            let ended = short.as_mut().poll(cx);
            block_on(Sleep::new(Duration::from_millis(1)));
            nested += 1;
            ended
        }));
        let elapsed = begun.elapsed();
        assert!(elapsed >= Duration::from_millis(200), "{elapsed:?}");
        assert_eq!(nested, 3);
    }

    #[test]
    fn wake_from_another_thread_is_not_missed() {
        for _ in 0..1000 {
            let mut polls = 0;
            block_on(poll_fn(|cx| {
                polls += 1;
                // The first poll has no waker.
                if polls > 2 {
                    return Poll::Ready(());
                }
                let waker = cx.waker().clone();
                thread::spawn(move || waker.wake());
                Poll::Pending
            }));
        }
    }
}
