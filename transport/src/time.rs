//! Conversions between the time of the standard library and the time of the core, which has no clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atlas_model_keys_core::UnixTime;

/// Converts a [`SystemTime`] to the core's [`UnixTime`].
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use atlas_model_keys_core::{ModelKey, UnixTime};
/// use atlas_model_keys_transport::{SystemTimeExt as _, UnixTimeExt as _};
///
/// fn is_unused(key: ModelKey<'_>) -> bool {
///     let ninety_days = Duration::from_secs(90 * 24 * 60 * 60);
///     key.is_unused_for(ninety_days, SystemTime::now().to_unix_time()) == Some(true)
/// }
///
/// let time: UnixTime = "1969-12-31T23:59:59.5Z".parse()?;
/// assert_eq!(time.to_system_time(), SystemTime::UNIX_EPOCH.checked_sub(Duration::from_millis(500)));
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
pub trait SystemTimeExt {
    /// Returns the same instant, also before 1970. An instant outside the range of [`UnixTime`] gives the nearest one
    /// that is within.
    #[must_use]
    fn to_unix_time(self) -> UnixTime;
}

impl SystemTimeExt for SystemTime {
    fn to_unix_time(self) -> UnixTime {
        let before = match self.duration_since(UNIX_EPOCH) {
            Ok(after) => return UnixTime::from_duration(after),
            Err(error) => error.duration(),
        };
        // The nanoseconds of a `UnixTime` count forwards from the whole second before it.
        let nanoseconds = (1_000_000_000 - before.subsec_nanos()) % 1_000_000_000;
        let seconds = before.as_secs().checked_add(u64::from(nanoseconds > 0));
        seconds
            .and_then(|seconds| 0_i64.checked_sub_unsigned(seconds))
            .and_then(|seconds| UnixTime::new(seconds, nanoseconds).ok())
            .unwrap_or(UnixTime::from_seconds(i64::MIN))
    }
}

/// Converts the core's [`UnixTime`] to a [`SystemTime`]; see [`SystemTimeExt`] for an example.
pub trait UnixTimeExt {
    /// Returns the same instant, also before 1970, or `None` if it is outside the range of [`SystemTime`], which depends
    /// on the platform. Windows rounds down to 100 nanoseconds.
    #[must_use]
    fn to_system_time(self) -> Option<SystemTime>;
}

impl UnixTimeExt for UnixTime {
    fn to_system_time(self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.seconds().unsigned_abs());
        let whole = if self.seconds() < 0 {
            UNIX_EPOCH.checked_sub(seconds)
        } else {
            UNIX_EPOCH.checked_add(seconds)
        };
        whole?.checked_add(Duration::from_nanos(self.nanoseconds().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Platforms differ beyond the year 10,000 and below 100 nanoseconds.
        #[test]
        fn conversion_and_back_gives_the_same_time(
            seconds in -11_000_000_000_i64..253_402_300_800,
            hundreds in 0_u32..10_000_000,
        ) {
            let time = UnixTime::new(seconds, hundreds * 100).unwrap();
            let system_time = time.to_system_time().unwrap();
            prop_assert_eq!(system_time.to_unix_time(), time);
        }

        #[test]
        fn order_is_kept(a in any::<i64>(), b in any::<i64>()) {
            let [x, y] = [a, b].map(UnixTime::from_seconds);
            if let (Some(x), Some(y)) = (x.to_system_time(), y.to_system_time()) {
                prop_assert_eq!(x.cmp(&y), a.cmp(&b));
                prop_assert_eq!(x.to_unix_time().cmp(&y.to_unix_time()), a.cmp(&b));
            }
        }
    }

    #[test]
    fn times_around_the_epoch_are_exact() {
        let milliseconds = Duration::from_millis;
        for (time, text) in [
            (Some(UNIX_EPOCH), "1970-01-01T00:00:00Z"),
            (
                UNIX_EPOCH.checked_add(milliseconds(1500)),
                "1970-01-01T00:00:01.5Z",
            ),
            (
                UNIX_EPOCH.checked_sub(milliseconds(1)),
                "1969-12-31T23:59:59.999Z",
            ),
            (
                UNIX_EPOCH.checked_sub(milliseconds(1000)),
                "1969-12-31T23:59:59Z",
            ),
            (
                UNIX_EPOCH.checked_sub(milliseconds(1001)),
                "1969-12-31T23:59:58.999Z",
            ),
        ] {
            let time = time.unwrap();
            assert_eq!(time.to_unix_time().to_string(), text);
            let parsed: UnixTime = text.parse().unwrap();
            assert_eq!(parsed.to_system_time(), Some(time), "{text}");
        }
    }

    /// Here a `SystemTime` has the range of a `UnixTime`.
    #[cfg(target_os = "linux")]
    #[test]
    fn first_and_last_time_are_exact() {
        for (seconds, nanoseconds) in [(i64::MIN, 0), (i64::MIN, 1), (i64::MAX, 999_999_999)] {
            let time = UnixTime::new(seconds, nanoseconds).unwrap();
            assert_eq!(time.to_system_time().unwrap().to_unix_time(), time);
        }
    }
}
