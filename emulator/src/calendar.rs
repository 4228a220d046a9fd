//! Formats times: the timestamps of this resource and the dates of HTTP.

use std::time::Duration;

/// The latest time that the emulator has: the end of the year 9999, because RFC 3339 and HTTP's dates have no later one.
pub(crate) const LATEST: Duration = Duration::from_secs(253_402_300_799);

const DAY: u64 = 86_400;

/// Formats a time like the timestamps of this resource: `2026-01-15T16:47:49.855000+00:00`.
pub(crate) fn timestamp(unix_seconds: u64, microseconds: u32) -> String {
    let (year, month, day) = calendar_date(unix_seconds / DAY);
    let (hour, minute, second) = time_of_day(unix_seconds);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{microseconds:06}+00:00"
    )
}

/// Formats a time like most of Atlas's timestamps: `2026-01-15T16:47:49Z`.
pub(crate) fn short_timestamp(unix_seconds: u64) -> String {
    timestamp(unix_seconds, 0).replace(".000000+00:00", "Z")
}

/// Formats a time since the Unix epoch in RFC 3339: `2026-01-15T16:47:49.855000Z`.
pub(crate) fn utc(time: Duration) -> String {
    timestamp(time.as_secs(), time.subsec_micros()).replace("+00:00", "Z")
}

/// Formats a time as RFC 9110 §5.6.7 requires for `Date`: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(unix_seconds: u64) -> String {
    format_date(unix_seconds, 2)
}

/// Formats a time like Atlas's `Deprecation` and `Sunset`, without padding the day:
/// `Sun, 6 Nov 1994 08:49:37 GMT`.
pub(crate) fn unpadded_date(unix_seconds: u64) -> String {
    format_date(unix_seconds, 1)
}

fn format_date(unix_seconds: u64, day_width: usize) -> String {
    // 1970-01-01 was a Thursday.
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = unix_seconds / DAY;
    let (year, month, day) = calendar_date(days);
    let (hour, minute, second) = time_of_day(unix_seconds);
    let name = |names: &[&'static str], index: u64| {
        let index = usize::try_from(index).unwrap_or_default();
        names.get(index).copied().unwrap_or_default()
    };
    let weekday = name(&WEEKDAYS, days % 7);
    let month = name(&MONTHS, month - 1);
    format!("{weekday}, {day:0day_width$} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn time_of_day(unix_seconds: u64) -> (u64, u64, u64) {
    let second = unix_seconds % DAY;
    (second / 3600, second / 60 % 60, second % 60)
}

/// Returns year, month and day of the day that is `days` after 1970-01-01.
///
/// Inside the computation a year begins in March, so that the leap day is its last day.
fn calendar_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 {
        march_based + 3
    } else {
        march_based - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_documented() {
        // The seconds are from `date -u -d … +%s`.
        assert_eq!(
            timestamp(1_768_495_669, 855_000),
            "2026-01-15T16:47:49.855000+00:00"
        );
        assert_eq!(
            timestamp(951_782_400, 1),
            "2000-02-29T00:00:00.000001+00:00"
        );
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_722_816_000), "Mon, 05 Aug 2024 00:00:00 GMT");
    }

    #[test]
    fn largest_time_does_not_overflow() {
        assert!(http_date(u64::MAX).ends_with(" GMT"));
        assert!(timestamp(u64::MAX, 0).ends_with("+00:00"));
    }
}
