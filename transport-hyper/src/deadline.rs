//! The deadline of a page, and the read timeout for the parts of its body.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atlas_model_keys_core::{Failure, FailureKind};
use tokio::task::unconstrained;
use tokio::time::{self, Instant, Sleep, timeout_at};

use crate::failure::NoProgress;

/// The time by which a page must be complete; `None` if it is beyond the range of the clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    pub(crate) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |end| {
            end.saturating_duration_since(Instant::now())
        })
    }

    /// Awaits `exchange`, or fails at the deadline.
    pub(crate) async fn end<T>(
        self,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.0 {
            Some(end) => timeout_at(end, exchange)
                .await
                .unwrap_or_else(|_| Err(timed_out())),
            None => exchange.await,
        }
    }

    /// Returns the failure, or a timeout if the deadline is over, which may be its cause.
    pub(crate) fn judge(self, failure: Failure) -> Failure {
        match failure.kind() {
            FailureKind::NotSent | FailureKind::Lost if self.left().is_zero() => timed_out(),
            _ => failure,
        }
    }
}

/// Limits the time for a body: the read timeout for each part, and the deadline for all of them.
///
/// There may be many small parts, so little is done for each of them: one timer serves all parts, is checked again when it
/// fires, and registers a waker only once.
pub(crate) struct BodyTimeout {
    deadline: Deadline,
    read_timeout: Duration,
    /// The time since when no part is available; `None` while parts are available.
    silent_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The waker that the timer has registered.
    waker: Option<Waker>,
}

impl BodyTimeout {
    pub(crate) fn new(deadline: Deadline, read_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            deadline,
            read_timeout,
            silent_since: Some(now),
            timer: Box::pin(sleep_until(end(deadline, now, read_timeout))),
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
            if self.deadline.left().is_zero() {
                return Poll::Ready(timed_out());
            }
            if since.elapsed() >= self.read_timeout {
                let silence = NoProgress("part of the body", self.read_timeout);
                return Poll::Ready(Failure::new(FailureKind::Lost, silence));
            }
            let end = end(self.deadline, since, self.read_timeout);
            self.timer.set(sleep_until(end));
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Returns the time of the next check.
fn end(deadline: Deadline, since: Instant, read_timeout: Duration) -> Option<Instant> {
    let silence = since.checked_add(read_timeout);
    [deadline.0, silence].into_iter().flatten().min()
}

/// Sleeps until `end`; `None` is beyond the range of the clock.
pub(crate) fn sleep_until(end: Option<Instant>) -> Sleep {
    end.map_or_else(|| time::sleep(Duration::MAX), time::sleep_until)
}

fn timed_out() -> Failure {
    Failure::new(FailureKind::TimedOut, "the deadline is over")
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
    async fn ends(deadline: u64, parts: &[u64]) -> (u64, FailureKind) {
        let begun = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(deadline));
        let mut body_timeout = BodyTimeout::new(deadline, READ);
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
    async fn each_part_restarts_the_read_timeout_but_not_the_deadline() {
        for (deadline, parts, seconds, kind) in [
            (240, &[][..], 30, FailureKind::Lost),
            (240, &[29], 59, FailureKind::Lost),
            (240, &[29, 1, 0, 29], 89, FailureKind::Lost),
            (20, &[], 20, FailureKind::TimedOut),
            (50, &[29], 50, FailureKind::TimedOut),
            (50, &[10, 10, 29], 50, FailureKind::TimedOut),
            (u64::MAX, &[29], 59, FailureKind::Lost),
        ] {
            let ended = ends(deadline, parts).await;
            assert_eq!(ended, (seconds, kind), "{deadline} {parts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_fires_even_if_the_budget_of_the_task_was_spent() {
        let mut body_timeout = BodyTimeout::new(Deadline::after(2 * READ), READ);
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
        let mut body_timeout = BodyTimeout::new(Deadline::after(READ), READ);
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
