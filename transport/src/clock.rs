//! The clock of a client.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use atlas_model_keys_core::UnixTime;

use crate::time::SystemTimeExt as _;

/// Tells a client the time.
///
/// Clients use [`SystemClock`]. A test can replace it, so that waits take no time and tokens expire when the test says so:
/// see [`ClientSettings::clock`](crate::ClientSettings::clock).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time of day, which decides when tokens and nonces expire.
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
