//! The timestamps of Atlas's JSON, the dates of HTTP, and the calendar arithmetic for both and for
//! [`ApiVersion`](crate::ApiVersion). There is no clock.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::InvalidValue;

/// A timestamp of Atlas's JSON. It keeps the text as received, and parses it on demand.
///
/// Two timestamps are equal if their texts are. Compare instants with [`parse`](Timestamp::parse).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp<'a>(&'a str);

impl<'a> Timestamp<'a> {
    /// Wraps a text without checking it.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text as received.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns the instant that the text names.
    ///
    /// Atlas writes `2026-01-15T16:47:49Z` in most places, and `2026-01-15T16:47:49.855000+00:00` in the
    /// documentation of the AI model API keys. Any date-time of RFC 3339 (section 5.6) is accepted.
    ///
    /// # Errors
    /// Returns [`InvalidValue`] if the text is not a date-time of RFC 3339.
    pub fn parse(self) -> Result<UnixTime, InvalidValue> {
        parse_rfc3339(self.0.as_bytes()).ok_or_else(|| {
            InvalidValue::new(
                "timestamp",
                self.0,
                "an RFC 3339 date-time such as 2026-01-15T16:47:49Z was expected",
            )
        })
    }

    /// Returns the time from the timestamp to `now`, or zero if it is in the future.
    ///
    /// # Errors
    /// Returns [`InvalidValue`] if the text is not a date-time of RFC 3339.
    pub fn age(self, now: UnixTime) -> Result<Duration, InvalidValue> {
        Ok(now.saturating_since(self.parse()?))
    }
}

impl fmt::Display for Timestamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl TryFrom<Timestamp<'_>> for UnixTime {
    type Error = InvalidValue;
    fn try_from(timestamp: Timestamp<'_>) -> Result<Self, InvalidValue> {
        timestamp.parse()
    }
}

/// An instant, counted from 1970-01-01T00:00:00Z without leap seconds (POSIX time).
///
/// `Display` writes RFC 3339 in UTC, with the fraction without trailing zeros.
///
/// ```
/// use atlas_model_keys_core::UnixTime;
///
/// let time: UnixTime = "2026-01-15T17:47:49.855+01:00".parse()?;
/// assert_eq!(time.seconds(), 1_768_495_669);
/// assert_eq!(time.to_string(), "2026-01-15T16:47:49.855Z");
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime {
    seconds: i64,
    /// The nanoseconds after `seconds`; always less than 1,000,000,000.
    nanoseconds: u32,
}

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

impl UnixTime {
    /// Creates an instant from whole seconds since the epoch (negative before 1970) and the nanoseconds after them.
    ///
    /// # Errors
    /// Returns [`InvalidValue`] if the nanoseconds are a second or more.
    pub fn new(seconds: i64, nanoseconds: u32) -> Result<Self, InvalidValue> {
        if nanoseconds >= NANOSECONDS_PER_SECOND {
            return Err(InvalidValue::without_value(
                "nanoseconds",
                "they must be less than 1,000,000,000",
            ));
        }
        Ok(Self {
            seconds,
            nanoseconds,
        })
    }

    /// Creates an instant from whole seconds since the epoch (negative before 1970).
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }

    /// Creates an instant from the time since the epoch, such as that of a [`Moment`](crate::Moment). A duration of more
    /// than `i64::MAX` seconds gives `i64::MAX` seconds.
    #[must_use]
    pub fn from_duration(since_epoch: Duration) -> Self {
        Self {
            seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since_epoch.subsec_nanos(),
        }
    }

    /// Returns the time since the epoch, or `None` if the instant is before it.
    #[must_use]
    pub fn to_duration(self) -> Option<Duration> {
        let seconds = u64::try_from(self.seconds).ok()?;
        Some(Duration::new(seconds, self.nanoseconds))
    }

    /// Returns the whole seconds since the epoch; negative before 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Returns the nanoseconds after [`seconds`](UnixTime::seconds), less than 1,000,000,000.
    #[must_use]
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// Returns the time from `earlier` to this instant, or zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        if self <= earlier {
            return Duration::ZERO;
        }
        // It cannot overflow: the difference of two `i64` is at most 2^64 - 1.
        let seconds = self.seconds.abs_diff(earlier.seconds);
        let since = Duration::new(seconds, self.nanoseconds);
        since.saturating_sub(Duration::from_nanos(earlier.nanoseconds.into()))
    }
}

impl FromStr for UnixTime {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Timestamp::new(text).parse()
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.seconds.div_euclid(86_400);
        let second = self.seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(day);
        // RFC 3339 has years from 0 to 9999; ISO 8601 writes other years with a sign.
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+05}")?,
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds > 0 {
            let (mut fraction, mut digits) = (self.nanoseconds, 9);
            while fraction % 10 == 0 {
                (fraction, digits) = (fraction / 10, digits - 1);
            }
            write!(f, ".{fraction:0digits$}")?;
        }
        f.write_str("Z")
    }
}

/// Parses a date-time of RFC 3339 (section 5.6), also with a space instead of the `T`.
fn parse_rfc3339(text: &[u8]) -> Option<UnixTime> {
    let mut input = FixedWidthReader(text);
    let year = input.number(4)?;
    input.eat(b'-')?;
    let month = input.number(2)?;
    input.eat(b'-')?;
    let day = input.number(2)?;
    input.one_of(b"Tt ")?;
    let hour = input.number(2)?;
    input.eat(b':')?;
    let minute = input.number(2)?;
    input.eat(b':')?;
    let second = input.number(2)?;
    let mut nanoseconds = 0;
    if input.eat(b'.').is_some() {
        let mut unit = 100_000_000;
        let mut any = false;
        while let Some(digit) = input.digit() {
            // Digits after the ninth are ignored.
            nanoseconds += digit * unit;
            unit /= 10;
            any = true;
        }
        any.then_some(())?;
    }
    let offset = match input.one_of(b"Zz+-")? {
        b'Z' | b'z' => 0,
        sign => {
            let hours = input.number(2)?;
            input.eat(b':')?;
            let minutes = input.number(2)?;
            (hours < 24 && minutes < 60).then_some(())?;
            let seconds = i64::from(hours * 3600 + minutes * 60);
            if sign == b'-' { -seconds } else { seconds }
        }
    };
    input.0.is_empty().then_some(())?;
    let seconds = unix_seconds(year, month, day, hour, minute, second)?;
    Some(UnixTime {
        seconds: seconds - offset,
        nanoseconds,
    })
}

/// Parses an HTTP date (RFC 9110 §5.6.7) as seconds since the epoch. It accepts IMF-fixdate, also without the leading
/// zero of the day as Atlas writes it (`Mon, 5 Aug 2024 00:00:00 GMT`), and the two obsolete forms, which recipients must
/// accept. The name of the day is not checked.
pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    let mut parts = text.split_ascii_whitespace();
    let weekday = parts.next()?;
    let first = parts.next()?;
    let (day, month, year, clock) = if weekday.ends_with(',') && first.contains('-') {
        // Sunday, 06-Nov-94 08:49:37 GMT
        let mut date = first.split('-');
        let (day, month, year) = (date.next()?, date.next()?, date.next()?);
        let clock = parts.next()?;
        (parts.next() == Some("GMT") && date.next().is_none()).then_some(())?;
        let year = number(year).filter(|_| year.len() == 2)?;
        // The years 70 to 99 mean 1970 to 1999, because Unix time begins in 1970.
        (
            day,
            month,
            if year < 70 { 2000 + year } else { 1900 + year },
            clock,
        )
    } else if weekday.ends_with(',') {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let (month, year, clock) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next() == Some("GMT")).then_some(())?;
        (
            first,
            month,
            number(year).filter(|_| year.len() == 4)?,
            clock,
        )
    } else {
        // Sun Nov  6 08:49:37 1994
        let (day, clock, year) = (parts.next()?, parts.next()?, parts.next()?);
        (day, first, number(year).filter(|_| year.len() == 4)?, clock)
    };
    parts.next().is_none().then_some(())?;
    let day = number(day).filter(|_| day.len() <= 2)?;
    let month = match month {
        "Jan" => 1,
        "Feb" => 2,
        "Mar" => 3,
        "Apr" => 4,
        "May" => 5,
        "Jun" => 6,
        "Jul" => 7,
        "Aug" => 8,
        "Sep" => 9,
        "Oct" => 10,
        "Nov" => 11,
        "Dec" => 12,
        _ => return None,
    };
    let mut clock = FixedWidthReader(clock.as_bytes());
    let hour = clock.number(2)?;
    clock.eat(b':')?;
    let minute = clock.number(2)?;
    clock.eat(b':')?;
    let second = clock.number(2)?;
    clock.0.is_empty().then_some(())?;
    unix_seconds(year, month, day, hour, minute, second)
}

/// Parses a text that must consist of digits, without sign or space.
fn number(text: &str) -> Option<u32> {
    FixedWidthReader(text.as_bytes()).number(text.len())
}

/// Reads fixed-width fields from a text; holds the unread rest.
struct FixedWidthReader<'a>(&'a [u8]);

impl FixedWidthReader<'_> {
    fn digit(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first()?;
        first.is_ascii_digit().then(|| {
            self.0 = rest;
            u32::from(first - b'0')
        })
    }

    /// Reads a number of exactly `width` digits.
    fn number(&mut self, width: usize) -> Option<u32> {
        (0..width).try_fold(0u32, |n, _| n.checked_mul(10)?.checked_add(self.digit()?))
    }

    /// Reads a byte that is in the set.
    fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        set.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn eat(&mut self, byte: u8) -> Option<u8> {
        self.one_of(&[byte])
    }
}

/// Returns the seconds since the epoch, or `None` if there is no such date or time of day.
fn unix_seconds(
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
) -> Option<i64> {
    let year = i64::from(year);
    let month = u8::try_from(month).ok().filter(|m| (1..=12).contains(m))?;
    let day = u8::try_from(day)
        .ok()
        .filter(|d| *d >= 1 && *d <= days_in_month(year, month))?;
    // 60 is a leap second; POSIX time counts it as the next second.
    (hour < 24 && minute < 60 && second <= 60).then_some(())?;
    let days = days_from_civil(year, month, day);
    Some(days * 86_400 + i64::from(hour * 3600 + minute * 60 + second))
}

/// Returns year, month and day from the number of days since 1970-01-01; the inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // Calculates in eras of 400 years, which begin in March.
    let days = i128::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
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
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    // The days come from seconds in an `i64`, so the year fits, too.
    let fits = |n: i128| i64::try_from(n).unwrap_or_default();
    (fits(year), fits(month), fits(day))
}

/// Returns the number of days since 1970-01-01 in the proleptic Gregorian calendar, for years from 0. Years are counted
/// from March, so that the leap day comes last.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let march_based = (i64::from(month) + 9) % 12;
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * march_based + 2) / 5 + i64::from(day) - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

/// Returns the number of days of a month (from 1 to 12) in the Gregorian calendar.
pub(crate) fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn both_forms_that_atlas_writes_parse() {
        let parse = |text| {
            Timestamp::new(text)
                .parse()
                .map(|t| (t.seconds, t.nanoseconds))
        };
        // Values from `date -u -d … +%s`.
        assert_eq!(parse("2026-01-15T16:47:49Z"), Ok((1_768_495_669, 0)));
        assert_eq!(
            parse("2026-01-15T16:47:49.855000+00:00"),
            Ok((1_768_495_669, 855_000_000))
        );
        assert_eq!(
            parse("2026-01-15T17:47:49.855+01:00"),
            Ok((1_768_495_669, 855_000_000))
        );
        assert_eq!(parse("1969-12-31T23:59:59Z"), Ok((-1, 0)));
        assert_eq!(parse("2000-02-29T00:00:00Z"), Ok((951_782_400, 0)));
        assert_eq!(parse("0000-01-01T00:00:00Z"), Ok((-62_167_219_200, 0)));
        assert_eq!(
            parse("9999-12-31T23:59:60.1234567899-00:01"),
            Ok((253_402_300_860, 123_456_789))
        );
    }

    #[test]
    fn display_is_rfc_3339_in_utc() {
        for (text, shown) in [
            ("2026-01-15T16:47:49Z", "2026-01-15T16:47:49Z"),
            (
                "2026-01-15T16:47:49.855000+00:00",
                "2026-01-15T16:47:49.855Z",
            ),
            (
                "2026-01-15T00:30:00.000000001+01:00",
                "2026-01-14T23:30:00.000000001Z",
            ),
            ("2000-02-29T23:59:60Z", "2000-03-01T00:00:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("9999-12-31T23:59:60.1-00:01", "+10000-01-01T00:01:00.1Z"),
        ] {
            let time: UnixTime = text.parse().unwrap();
            assert_eq!(time.to_string(), shown);
            assert!(
                shown.starts_with('+') || shown.parse() == Ok(time),
                "{shown}"
            );
        }
        for seconds in [i64::MIN, i64::MAX] {
            assert!(UnixTime::from_seconds(seconds).to_string().len() > 20);
        }
    }

    #[test]
    fn ages_are_never_negative_and_never_overflow() {
        let time = |seconds, nanoseconds| UnixTime::new(seconds, nanoseconds).unwrap();
        let now = time(100, 500_000_000);
        assert_eq!(
            now.saturating_since(time(98, 750_000_000)),
            Duration::from_millis(1750)
        );
        assert_eq!(now.saturating_since(time(101, 0)), Duration::ZERO);
        assert_eq!(now.saturating_since(now), Duration::ZERO);
        let all = time(i64::MAX, 0).saturating_since(time(i64::MIN, 1));
        assert_eq!(all, Duration::new(u64::MAX, 0) - Duration::from_nanos(1));
        let timestamp = Timestamp::new("1970-01-01T00:01:00Z");
        assert_eq!(timestamp.age(now).unwrap(), Duration::from_millis(40_500));
        assert!(Timestamp::new("soon").age(now).is_err());
        assert!(UnixTime::new(0, 1_000_000_000).is_err());
    }

    #[test]
    fn duration_since_the_epoch_survives_a_round_trip() {
        let since_epoch = Duration::new(7, 8);
        assert_eq!(
            UnixTime::from_duration(since_epoch).to_duration(),
            Some(since_epoch)
        );
        assert_eq!(UnixTime::from_seconds(-1).to_duration(), None);
        assert_eq!(UnixTime::from_duration(Duration::MAX).seconds(), i64::MAX);
    }

    #[test]
    fn text_that_is_not_rfc_3339_is_refused() {
        for wrong in [
            "",
            "now",
            "2026-01-15",
            "2026-01-15T16:47:49",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-15T24:00:00Z",
            "2026-01-15T16:60:00Z",
            "2026-01-15T16:47:49.Z",
            "2026-01-15T16:47:49Zx",
            "2026-01-15T16:47:49+24:00",
            "+026-01-15T16:47:49Z",
            "2026-01-15T16:47:49+0000",
        ] {
            assert!(Timestamp::new(wrong).parse().is_err(), "{wrong}");
        }
    }

    #[test]
    fn http_dates_parse_in_all_forms_and_with_an_unpadded_day() {
        assert_eq!(
            parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(
            parse_http_date("Mon, 5 Aug 2024 00:00:00 GMT"),
            Some(1_722_816_000)
        );
        for same in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun,  6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse_http_date(same), Some(784_111_777), "{same}");
        }
        for wrong in [
            "",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06-Nov-94-1 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994 GMT",
            "5 Aug 2024 00:00:00 GMT",
            "Mon, 5 Aug 2024 00:00:00",
            "Mon, 5 Aug 2024 00:00:00 CET",
            "Mon, 32 Aug 2024 00:00:00 GMT",
            "Mon, 5 aug 2024 00:00:00 GMT",
            "Mon, 5 Aug 24 00:00:00 GMT",
            "Mon, +5 Aug 2024 00:00:00 GMT",
            "Mon, 5 Aug 2024 0:00:00 GMT",
            "Mon, 005 Aug 2024 00:00:00 GMT",
        ] {
            assert_eq!(parse_http_date(wrong), None, "{wrong}");
        }
    }
}
