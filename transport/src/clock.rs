//! The clock of a client.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use atlas_model_keys_core::UnixTime;

use crate::time::SystemTimeExt as _;
use crate::watched::Watched;

/// Tells a client the time.
///
/// The default is [`SystemClock`], and in the client over hyper a clock that follows tokio's paused time. A test can
/// replace it, for example by a [`JumpingClock`], so that waits take no time and tokens expire when the test says so: see
/// [`ClientSettings::clock`](crate::ClientSettings::clock).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of day, which decides when tokens and nonces expire. It is called while the client's session is
    /// locked, so it must not call the client.
    fn unix_time(&self) -> UnixTime;

    /// Returns the time since a fixed moment, for example since the clock was made. It never goes back. Deadlines are
    /// measured with it.
    fn elapsed(&self) -> Duration;

    /// Jumps forward by the delay of a retry and returns true, or returns false if the client has to wait. A clock that
    /// jumps must add the delay to both of its times. Default: false.
    ///
    /// Only waits before a retry are offered. A client that waits for its own other exchanges always waits in real time,
    /// because those exchanges are making progress.
    fn jump(&self, delay: Duration) -> bool {
        let _ = delay;
        false
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn unix_time(&self) -> UnixTime {
        SystemTime::now().to_unix_time()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock for tests. It stands still, and moves only when a client waits before a retry or when the test says so.
///
/// Clones share the time. Nothing takes real time: a retry wait moves the clock by its delay at once. So the waits of several
/// calls do not overlap but add up, and each of them uses up the deadlines of all calls.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_transport::{Clock as _, JumpingClock};
///
/// let clock = JumpingClock::default();
/// let clone = clock.clone();
/// clone.advance(Duration::from_secs(3600));
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// assert_eq!(clock.unix_time().to_string(), "2026-09-21T15:13:20Z");
/// ```
#[derive(Clone)]
pub struct JumpingClock {
    start: UnixTime,
    elapsed: Arc<Watched<Duration>>,
}

impl JumpingClock {
    /// Makes a clock that starts at this time. A time before 1970 counts as 1970.
    #[must_use]
    pub fn new(start: UnixTime) -> Self {
        Self {
            start,
            elapsed: Arc::default(),
        }
    }

    /// Moves the clock forward, and wakes those who [sleep](JumpingClock::sleep).
    pub fn advance(&self, duration: Duration) {
        let mut elapsed = self.elapsed.lock();
        *elapsed = elapsed.saturating_add(duration);
        drop(elapsed);
        self.elapsed.wake_all();
    }

    /// Waits until the clock has moved by this time, counted from this call. It needs no runtime.
    pub fn sleep(&self, delay: Duration) -> impl Future<Output = ()> + Send + use<> {
        let elapsed = Arc::clone(&self.elapsed);
        let end = self.elapsed().saturating_add(delay);
        async move { elapsed.until(|elapsed| *elapsed >= end).await }
    }
}

/// Starts on 21 September 2026.
impl Default for JumpingClock {
    fn default() -> Self {
        Self::new(UnixTime::from_seconds(1_790_000_000))
    }
}

impl Clock for JumpingClock {
    fn unix_time(&self) -> UnixTime {
        let start = self.start.to_duration().unwrap_or_default();
        UnixTime::from_duration(start.saturating_add(self.elapsed()))
    }

    fn elapsed(&self) -> Duration {
        *self.elapsed.lock()
    }

    fn jump(&self, delay: Duration) -> bool {
        self.advance(delay);
        true
    }
}

impl fmt::Debug for JumpingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JumpingClock")
            .field("start", &self.start)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn sleep_ends_when_the_clock_has_moved_by_its_delay() {
        let clock = JumpingClock::default();
        clock.advance(Duration::from_secs(1));
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut sleep = pin!(clock.sleep(Duration::from_secs(5)));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        assert!(clock.jump(Duration::from_secs(4)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        clock.clone().advance(Duration::from_secs(1));
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert!(sleep.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn dropped_sleep_is_not_woken() {
        let clock = JumpingClock::default();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(5)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(sleep);
        clock.advance(Duration::MAX);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        assert_eq!(clock.elapsed(), Duration::MAX);
        // The largest duration does not overflow the time of day.
        assert!(clock.unix_time() > UnixTime::from_seconds(1_790_000_000));
    }

    #[test]
    fn start_before_1970_counts_as_1970() {
        let clock = JumpingClock::new(UnixTime::from_seconds(-5));
        assert_eq!(clock.unix_time(), UnixTime::from_seconds(0));
    }
}
