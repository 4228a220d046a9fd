//! How long is waited: for a page in all, and for each part of it.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atlas_model_keys_core::{Failure, FailureKind};
use tokio::task::unconstrained;
use tokio::time::{self, Instant, Sleep, timeout_at};

use crate::failure::NoProgress;

/// When a page must be there. `None`: farther away than the clock can count.
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

    /// What `exchange` comes to, unless the deadline comes first.
    pub(crate) async fn end<T>(
        self,
        exchange: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match self.0 {
            Some(end) => timeout_at(end, exchange)
                .await
                .unwrap_or_else(|_| Err(over())),
            None => exchange.await,
        }
    }

    /// The failure, unless the deadline is over: what failed then may have failed because of it.
    pub(crate) fn judge(self, failure: Failure) -> Failure {
        match failure.kind() {
            FailureKind::NotSent | FailureKind::Lost if self.left().is_zero() => over(),
            _ => failure,
        }
    }
}

/// Waits for the parts of a body: for each as long as the read timeout, and until the deadline for all of them.
///
/// Parts may be small and many, so that little is done for each: there is one alarm for all of them, which looks
/// again when it goes off, and is told who waits for it only once.
pub(crate) struct BodyTimeout {
    deadline: Deadline,
    read_timeout: Duration,
    /// Since when there is nothing but to wait; `None` from a part on until that is so again.
    silent_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
    /// Who is woken by the alarm.
    woken: Option<Waker>,
}

impl BodyTimeout {
    pub(crate) fn new(deadline: Deadline, read_timeout: Duration) -> Self {
        let now = Instant::now();
        Self {
            deadline,
            read_timeout,
            silent_since: Some(now),
            alarm: Box::pin(sleep_until(end(deadline, now, read_timeout))),
            woken: None,
        }
    }

    /// A part came.
    pub(crate) fn heard(&mut self) {
        self.silent_since = None;
    }

    /// Ready when it is at an end. To be asked where there is nothing but to wait.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        // Once for all the parts that came together.
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        let is_same = |woken: &Waker| woken.will_wake(cx.waker());
        if !self.alarm.is_elapsed() && self.woken.as_ref().is_some_and(is_same) {
            return Poll::Pending;
        }
        // At the end of a task's budget an alarm does not even note who is to be woken. This one is not asked again
        // before it goes off, so it has to.
        while pin!(unconstrained(self.alarm.as_mut())).poll(cx).is_ready() {
            if self.deadline.left().is_zero() {
                return Poll::Ready(over());
            }
            if since.elapsed() >= self.read_timeout {
                let silence = NoProgress("part of the body", self.read_timeout);
                return Poll::Ready(Failure::new(FailureKind::Lost, silence));
            }
            let end = end(self.deadline, since, self.read_timeout);
            self.alarm.set(sleep_until(end));
        }
        self.woken = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// When it is time to look again.
fn end(deadline: Deadline, since: Instant, read_timeout: Duration) -> Option<Instant> {
    let silence = since.checked_add(read_timeout);
    [deadline.0, silence].into_iter().flatten().min()
}

/// Sleeps for as good as ever where the clock cannot count that far.
pub(crate) fn sleep_until(end: Option<Instant>) -> Sleep {
    end.map_or_else(|| time::sleep(Duration::MAX), time::sleep_until)
}

fn over() -> Failure {
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

    /// Nobody reads as long as this without a part.
    const READ: Duration = Duration::from_secs(30);

    /// What it ends with, after how many seconds, where a part comes after each of `parts` seconds.
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
            body_timeout.heard();
        }
        let failure = poll_fn(|cx| body_timeout.poll_end(cx)).await;
        (begun.elapsed().as_secs(), failure.kind())
    }

    #[tokio::test(start_paused = true)]
    async fn each_part_puts_the_end_off_but_not_the_deadline() {
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
    async fn it_ends_where_the_tasks_budget_was_spent_when_it_began() {
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
    async fn whoever_asked_last_is_woken() {
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
