//! Ages for people, such as "3 months ago", and times for spreadsheets.

use std::borrow::Cow;

use atlas_model_keys_core::{Timestamp, UnixTime};

use super::text;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The mean length of a month in the Gregorian calendar.
const MONTH: u64 = 2_629_746;
const YEAR: u64 = 12 * MONTH;

/// The width of the longest age without "ago": `59 minutes`.
pub(super) const WIDTH: usize = 10;

/// Returns the time from `then` to `now` in the largest fitting unit, rounded down. Up to 99 days are days, because
/// people look for 30, 60 and 90 days, and up to two years are months.
pub(super) fn age(then: UnixTime, now: UnixTime) -> String {
    let in_future = then > now;
    let seconds = if in_future {
        then.saturating_since(now)
    } else {
        now.saturating_since(then)
    }
    .as_secs();
    let (number, unit) = match seconds {
        0..MINUTE => return "just now".to_owned(),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ if seconds < 2 * DAY && !in_future => return "yesterday".to_owned(),
        _ if seconds < 100 * DAY => (seconds / DAY, "day"),
        _ if seconds < 2 * YEAR => (seconds / MONTH, "month"),
        _ => (seconds / YEAR, "year"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if in_future {
        format!("in {number} {unit}{plural}")
    } else {
        format!("{number} {unit}{plural}{AGO}")
    }
}

const AGO: &str = " ago";
pub(super) const UNKNOWN: &str = "unknown";

/// Returns an age for a column that is too narrow for the word "ago", or for a text that is no time.
pub(super) fn shortened(age: &str) -> &str {
    match age.strip_suffix(AGO) {
        Some(short) => short,
        None if age.starts_with(UNKNOWN) => UNKNOWN,
        None => age,
    }
}

/// Returns a timestamp as `2026-01-15 16:47:49` in UTC. Spreadsheets recognise this form as a time, unlike the form with
/// `T` and `Z`. A text that is no time is returned unchanged.
pub(super) fn for_spreadsheet(timestamp: &str) -> Cow<'_, str> {
    match Timestamp::new(timestamp).parse() {
        Ok(time) => {
            let whole = UnixTime::from_seconds(time.seconds()).to_string();
            Cow::Owned(whole.replace('T', " ").replace('Z', ""))
        }
        Err(_) => Cow::Borrowed(timestamp),
    }
}

/// Returns the age of a timestamp. A text that is no time is repeated after the word "unknown", with unsafe characters
/// escaped.
pub(super) fn of_timestamp(timestamp: &str, now: UnixTime) -> String {
    match Timestamp::new(timestamp).parse() {
        Ok(then) => age(then, now),
        Err(_) if timestamp.is_empty() => UNKNOWN.to_owned(),
        Err(_) => format!("{UNKNOWN} ({})", text::visible(timestamp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_the_largest_fitting_unit() {
        let now = UnixTime::from_seconds(1_800_000_000);
        let ago = |seconds: u64| {
            let then = now.seconds() - i64::try_from(seconds).unwrap();
            age(UnixTime::from_seconds(then), now)
        };
        for (seconds, expected) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (HOUR - 1, "59 minutes ago"),
            (HOUR, "1 hour ago"),
            (DAY - 1, "23 hours ago"),
            (DAY, "yesterday"),
            (2 * DAY - 1, "yesterday"),
            (2 * DAY, "2 days ago"),
            (90 * DAY, "90 days ago"),
            (100 * DAY - 1, "99 days ago"),
            (100 * DAY, "3 months ago"),
            (365 * DAY, "11 months ago"),
            (366 * DAY, "12 months ago"),
            (2 * YEAR - 1, "23 months ago"),
            (2 * YEAR, "2 years ago"),
            (57 * YEAR, "57 years ago"),
        ] {
            assert_eq!(ago(seconds), expected, "{seconds}");
            assert!(shortened(expected).len() <= WIDTH, "{expected}");
        }
    }

    #[test]
    fn times_in_the_future_say_so() {
        let now = UnixTime::from_seconds(0);
        for (seconds, expected) in [
            (1, "just now"),
            (60, "in 1 minute"),
            (86_400, "in 1 day"),
            (i64::MAX, "in 292277024626 years"),
        ] {
            assert_eq!(age(UnixTime::from_seconds(seconds), now), expected);
        }
        let first = UnixTime::from_seconds(i64::MIN);
        assert!(age(first, UnixTime::from_seconds(i64::MAX)).ends_with(" years ago"));
    }

    #[test]
    fn text_that_is_no_time_is_unknown_and_escaped() {
        let now = UnixTime::from_seconds(0);
        assert_eq!(of_timestamp("soon\u{1b}", now), "unknown (soon\\u{1b})");
        assert_eq!(of_timestamp("", now), "unknown");
    }

    #[test]
    fn spreadsheet_times_are_in_utc_without_letters() {
        for (timestamp, expected) in [
            ("2026-01-15T17:47:49.855+01:00", "2026-01-15 16:47:49"),
            ("2026-01-15T16:47:49Z", "2026-01-15 16:47:49"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31 23:59:59"),
            ("9999-12-31T23:59:60Z", "+10000-01-01 00:00:00"),
            ("yesterday", "yesterday"),
            ("", ""),
        ] {
            assert_eq!(for_spreadsheet(timestamp), expected);
        }
    }
}
