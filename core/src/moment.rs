//! The time and randomness that a driver passes to a session, as a value.

use core::fmt;
use core::time::Duration;

/// The current time and fresh randomness.
///
/// Equal inputs give equal outputs, so a test, a simulation or a fuzzer can pass its own values.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Moment {
    pub(crate) now: Duration,
    pub(crate) entropy: [u8; 16],
}

impl Moment {
    /// Creates a moment.
    ///
    /// `now` is the time since the Unix epoch; it may jump in both directions. `entropy` is 16
    /// bytes from a cryptographic source, fresh for each moment: client nonces and jitter are
    /// made from it.
    #[must_use]
    pub fn new(now: Duration, entropy: [u8; 16]) -> Self {
        Self { now, entropy }
    }

    /// Returns the time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the random bytes, for recording the dialogue.
    #[must_use]
    pub fn entropy(&self) -> [u8; 16] {
        self.entropy
    }

    /// Returns a uniformly random part of `whole`, from zero to all of it. It uses the last four bytes
    /// of the entropy; no step uses them for a client nonce, too.
    pub(crate) fn fraction_of(&self, whole: Duration) -> Duration {
        let random = self
            .entropy
            .iter()
            .rev()
            .take(4)
            .fold(0u32, |n, byte| (n << 8) | u32::from(*byte));
        let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
