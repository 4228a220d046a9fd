//! The read timeout for the parts of a body.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atlas_model_keys_core::{Failure, FailureKind};
use tokio::task::unconstrained;
use tokio::time::{self, Instant, Sleep};

use crate::failure::NoProgress;

/// Limits the time without a part of a body.
///
/// There may be many small parts, so little is done for each of them: one timer serves all parts, is checked again when it
/// fires, and registers a waker only once.
pub(crate) struct BodyTimeout {
    read_timeout: Duration,
    /// The time since when no part is available; `None` while parts are available.
    silent_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The waker that the timer has registered.
    waker: Option<Waker>,
}

impl BodyTimeout {
    pub(crate) fn new(read_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            read_timeout,
            silent_since: Some(now),
            timer: Box::pin(sleep_until(now.checked_add(read_timeout))),
            waker: None,
        }
    }

    /// Notes that a part arrived.
    pub(crate) fn part_arrived(&mut self) {
        self.silent_since = None;
    }

    /// Returns the failure at the end of the time. Call it when no part is available.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        // The clock is read once for all parts that arrived together.
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let is_same = |woken: &Waker| woken.will_wake(cx.waker());
        if !self.timer.is_elapsed() && self.waker.as_ref().is_some_and(is_same) {
            return Poll::Pending;
        }
        // When the budget of a task is spent, a timer of tokio does not register the waker. This timer is not polled again
        // before it fires, so it must register it.
        while pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready() {
            if since.elapsed() >= self.read_timeout {
                let silence = NoProgress("part of the body", self.read_timeout);
                return Poll::Ready(Failure::new(FailureKind::Lost, silence));
            }
            let end = since.checked_add(self.read_timeout);
            self.timer.set(sleep_until(end));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Sleeps until `end`; `None` is beyond the range of the clock.
pub(crate) fn sleep_until(end: Option<Instant>) -> Sleep {
    end.map_or_else(|| time::sleep(Duration::MAX), time::sleep_until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use tokio::task::coop::poll_proceed;
    use tokio::time::timeout;

    /// The read timeout.
    const READ: Duration = Duration::from_secs(30);

    /// Returns the seconds until the end, and its failure kind, if a part arrives after each of `parts` seconds.
    async fn ends(parts: &[u64]) -> (u64, FailureKind) {
        let begun = Instant::now();
        let mut body_timeout = BodyTimeout::new(READ);
        for seconds in parts {
            let mut part = pin!(time::sleep(Duration::from_secs(*seconds)));
            poll_fn(|cx| {
                assert!(body_timeout.poll_end(cx).is_pending());
                part.as_mut().poll(cx)
            })
            .await;
            body_timeout.part_arrived();
        }
        let failure = poll_fn(|cx| body_timeout.poll_end(cx)).await;
        (begun.elapsed().as_secs(), failure.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_restarts_the_read_timeout() {
        for (parts, seconds) in [
            (&[][..], 30),
            (&[29], 59),
            (&[29, 1, 0, 29], 89),
            (&[10, 10, 29], 79),
        ] {
            let ended = ends(parts).await;
            assert_eq!(ended, (seconds, FailureKind::Lost), "{parts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_fires_even_if_the_budget_of_the_task_was_spent() {
        let mut body_timeout = BodyTimeout::new(READ);
        let begun = Instant::now();
        let mut is_spent = false;
        let end = poll_fn(|cx| {
            while !is_spent {
                match poll_proceed(cx) {
                    Poll::Ready(unit) => unit.made_progress(),
                    Poll::Pending => is_spent = true,
                }
            }
            body_timeout.poll_end(cx)
        });
        let failure = timeout(100 * READ, end).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), READ.as_secs(), "{failure:?}");
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn last_waker_is_woken() {
        let both = [false; 2].map(|woken| Arc::new(Woken(woken.into())));
        let [first, last] = both.each_ref().map(|woken| Waker::from(Arc::clone(woken)));
        let mut body_timeout = BodyTimeout::new(READ);
        for waker in [&first, &first, &last, &last] {
            let poll = body_timeout.poll_end(&mut Context::from_waker(waker));
            assert!(poll.is_pending());
        }
        time::advance(READ).await;
        tokio::task::yield_now().await;
        assert_eq!(
            both.map(|woken| woken.0.load(Ordering::Relaxed)),
            [false, true]
        );
        let poll = body_timeout.poll_end(&mut Context::from_waker(&first));
        assert!(poll.is_ready());
    }
}
