//! Instants by `chrono`, and the time between two instants.

use std::time::Duration;

use atlas_model_keys_core::UnixTime;
use chrono::DateTime;

/// Parses a date-time of RFC 3339. `chrono` accepts U+2212 for a minus, which the RFC does not have, and represents a leap
/// second as more than a second of nanoseconds.
pub(crate) fn instant(text: &str) -> Option<UnixTime> {
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.filter(|_| !text.contains('\u{2212}'))?;
    let nanoseconds = time.timestamp_subsec_nanos();
    let seconds = time.timestamp() + i64::from(nanoseconds / 1_000_000_000);
    let time = UnixTime::new(seconds, nanoseconds % 1_000_000_000);
    Some(time.expect("less than a second"))
}

/// Returns the time between two instants, or zero if the second is earlier.
pub(crate) fn between(earlier: UnixTime, later: UnixTime) -> Duration {
    let nanoseconds = |time: UnixTime| {
        i128::from(time.seconds()) * 1_000_000_000 + i128::from(time.nanoseconds())
    };
    let between = u128::try_from(nanoseconds(later) - nanoseconds(earlier)).unwrap_or(0);
    let seconds = u64::try_from(between / 1_000_000_000).expect("at most 2^64 - 1");
    let rest = u32::try_from(between % 1_000_000_000).expect("less than a second");
    Duration::new(seconds, rest)
}
