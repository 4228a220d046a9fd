//! HTTP dates, `Retry-After`, timestamps, and version dates are parsed as other libraries parse them.
//!
//! **Input**: eight bytes for a time (and for how it is formatted); the rest is a text that is parsed as each
//! type of date.
//!
//! **Properties**
//!
//! - A time that `chrono` formats in a form of RFC 9110 §5.6.7 (also with the unpadded day that Atlas writes)
//!   or of RFC 3339 is parsed as that time.
//! - The core parses a text as the same HTTP date as `httpdate`, and each parses what the other does, except for the
//!   known differences. This also holds for RFC 3339 and `chrono`.
//! - The time between two instants, and the age of a timestamp, are exact, and zero if the second instant is the earlier one. An
//!   instant is shown as `chrono` shows it, also before year 0 and after year 9999, and survives a round trip through the time
//!   since the epoch.
//! - The date of a response is its `Date`.
//! - `Retry-After` is its number of seconds, rounded up, or the time from `Date` to its date. It is never longer than
//!   requested, and absent if the value is not valid.
//! - A version is `preview` or a date that `chrono` accepts, and is formatted as it was parsed.
//!
//! **Known differences** from `httpdate`, which is stricter except in the last row:
//!
//! | case | the core | `httpdate` |
//! |---|---|---|
//! | the day without a leading zero (Atlas; not in RFC 9110 §5.6.7) | accepts it | rejects |
//! | the name of the day (RFC 9110 §5.6.7: "SHOULD" be lenient) | any text that ends in a comma, or none in asctime's form | must match the date |
//! | white space | any amount between the parts | exactly one space |
//! | a leap second, `:60` (RFC 9110 §5.6.7 uses the grammar of RFC 5322, which has it) | the next second | rejects |
//! | years before 1970 | negative | rejects |
//! | the separator of date and time in the second form | white space | any byte |
//!
//! **Known differences** from `chrono` on RFC 3339:
//!
//! | case | the core | `chrono` |
//! |---|---|---|
//! | a leap second (RFC 3339 §5.6) | the next second | more than a second of nanoseconds |
//! | U+2212 for a minus (RFC 3339 §5.6 has `-` only) | rejects | accepts it |

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use atlas_model_keys_core::{ApiVersion, InvalidValue, Reply, Timestamp, UnixTime};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use http::header::{DATE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response};

use crate::generators::bytes as input;
use crate::generators::dates::Input;
use crate::oracles::{shown, timestamp, unicode};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    formatted_time_is_parsed(input.time);
    check_instant(input.time);
    if let Ok(text) = std::str::from_utf8(*input.text) {
        compare_timestamp(text, input.time);
        compare_version(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(*input.text) {
        compare_header(&value, input.time);
    }
}

/// Returns a reply with these headers.
fn reply(headers: &[(HeaderName, &HeaderValue)]) -> Reply<&'static [u8]> {
    let mut response = Response::new(b"".as_slice());
    for (name, value) in headers {
        response.headers_mut().insert(name, (*value).clone());
    }
    Reply::from_response(response).expect("the status is 200")
}

const SUNSET: HeaderName = HeaderName::from_static("sunset");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");

/// Parses a date in a header with the core.
fn parse_with_core(text: &str) -> Option<i64> {
    let value = HeaderValue::from_str(text).ok()?;
    Some(reply(&[(SUNSET, &value)]).sunset()?.seconds())
}

/// The first second after the years of four digits.
const YEAR_10000: i64 = 253_402_300_800;

/// A date format of `chrono`, parsed once.
type Format = Vec<Item<'static>>;

/// The date formats of RFC 9110 §5.6.7, and the first of them with the unpadded day that Atlas writes.
static FORMATS: LazyLock<[Format; 4]> = LazyLock::new(|| {
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
        "%a, %-d %b %Y %H:%M:%S GMT",
    ]
    .map(|form| StrftimeItems::new(form).collect())
});

fn format(date: DateTime<Utc>, form: &Format) -> String {
    date.format_with_items(form.iter()).to_string()
}

/// Returns the strict form of a time from 1970 on.
fn strict_form(seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Asserts that a time is parsed from a format of it. The time selects the format, because formatting costs more than
/// anything else.
fn formatted_time_is_parsed(time: u64) {
    let seconds = i64::try_from(time >> 1).expect("a number of 63 bits") % YEAR_10000;
    let nanoseconds = u32::try_from(time >> 34).expect("a number of 30 bits") % 1_000_000_000;
    let date =
        DateTime::<Utc>::from_timestamp(seconds, nanoseconds).expect("chrono supports the date");
    let expected = UnixTime::new(seconds, nanoseconds).expect("less than a second");
    match usize::try_from(time % 8).expect("a number below 8") {
        // A year of two digits is one before 2070.
        1 if seconds >= 3_155_760_000 => {}
        form @ ..4 => {
            let text = format(date, &FORMATS[form]);
            assert_eq!(parse_with_core(&text), Some(seconds), "{text}");
        }
        4 => assert_eq!(parse_with_core(&format!("@{seconds}")), Some(seconds)),
        5 => assert_eq!(expected.to_string().parse(), Ok(expected)),
        form => {
            // With another offset, the instant has another text.
            let offset = i32::try_from(time >> 40 & 0x7ff).expect("a number of 11 bits") - 0x3ff;
            let offset = if offset % 4 == 0 { 0 } else { offset };
            let there = chrono::FixedOffset::east_opt(offset * 60).expect("less than a day");
            let there = date.with_timezone(&there);
            if (0..10_000).contains(&chrono::Datelike::year(&there)) {
                let text = there.to_rfc3339_opts(SecondsFormat::Nanos, form == 6);
                assert_eq!(Timestamp::new(&text).parse(), Ok(expected), "{text}");
            }
        }
    }
}

/// Asserts that an error is safe to show. It repeats the text, so a safe text needs no look at the error.
fn assert_safe(error: &InvalidValue, text: &str) {
    if unicode::has_unsafe(text) {
        shown::assert_safe(error);
    }
}

/// Compares a timestamp (RFC 3339) with `chrono`.
fn compare_timestamp(text: &str, now: u64) {
    let timestamp = Timestamp::new(text);
    assert_eq!(timestamp.as_str(), text);
    assert_eq!(timestamp.to_string(), text);
    let ours = timestamp.parse();
    if let Err(error) = &ours {
        assert_eq!(error.parameter(), "timestamp");
        assert_safe(error, text);
    }
    let theirs = timestamp::instant(text);
    assert_eq!(ours.clone().ok(), theirs, "{text:?}");
    let now = UnixTime::from_seconds(now.cast_signed());
    let age = theirs.map(|then| timestamp::between(then, now));
    assert_eq!(Timestamp::new(text).age(now).ok(), age);
    assert_eq!(UnixTime::try_from(Timestamp::new(text)), ours);
}

/// Checks an instant in seconds, and one of any nanoseconds.
fn check_instant(time: u64) {
    let (high, low) = (
        u32::try_from(time >> 32).expect("a number of 32 bits"),
        u32::try_from(time & 0xffff_ffff).expect("a number of 32 bits"),
    );
    let seconds = time.cast_signed();
    let Ok(instant) = UnixTime::new(seconds, high) else {
        return assert!(high >= 1_000_000_000);
    };
    assert!(high < 1_000_000_000);
    assert_eq!((instant.seconds(), instant.nanoseconds()), (seconds, high));
    let since_epoch = u64::try_from(seconds).ok();
    let since_epoch = since_epoch.map(|seconds| Duration::new(seconds, high));
    assert_eq!(instant.to_duration(), since_epoch);
    if let Some(since_epoch) = since_epoch {
        assert_eq!(UnixTime::from_duration(since_epoch), instant);
    }
    let other = UnixTime::from_seconds(i64::from(low));
    for (earlier, later) in [(instant, other), (other, instant), (instant, instant)] {
        let expected = timestamp::between(earlier, later);
        assert_eq!(later.saturating_since(earlier), expected);
    }

    // Zeros at the end of a fraction are not shown. The years are those that `chrono` has.
    let fraction = high / 10_u32.pow(low % 10) * 10_u32.pow(low % 10);
    let seconds = seconds % 8_000_000_000_000;
    let date = DateTime::<Utc>::from_timestamp(seconds, fraction).expect("chrono has the year");
    let shown = date.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let shown = shown.trim_end_matches(['0', 'Z']).trim_end_matches('.');
    let instant = UnixTime::new(seconds, fraction).expect("less than a second");
    assert_eq!(instant.to_string(), format!("{shown}Z"));
}

/// Compares a version (`YYYY-MM-DD`) with `chrono`.
fn compare_version(text: &str) {
    let shape = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let is_date = shape
        && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok_and(|date| date.to_string() == text);
    match ApiVersion::new(text) {
        Ok(version) => {
            assert!(is_date || text == "preview");
            assert_eq!(version.to_string(), text);
            assert_eq!(text.parse(), Ok(version));
            assert_eq!(
                version.accept(),
                format!("application/vnd.atlas.{text}+json")
            );
            assert_eq!(format!("{version:?}"), format!("ApiVersion({text})"));
        }
        Err(error) => {
            assert!(!is_date && text != "preview");
            assert_eq!(error.parameter(), "version");
            assert_safe(&error, text);
        }
    }
}

/// Parses a number of seconds, rounded up, independently of the core.
///
/// A fraction is accepted, although RFC 9110 §10.2.3 has none. A number that is too large becomes `u64::MAX`.
pub(crate) fn parse_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.find('.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, "0"),
    };
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    (is_number(whole) && is_number(fraction)).then_some(())?;
    let digits = whole.trim_start_matches('0');
    let seconds = match digits.len() {
        0 => 0,
        1..=20 => u64::try_from(digits.parse::<u128>().ok()?).unwrap_or(u64::MAX),
        _ => u64::MAX,
    };
    let is_whole = fraction.trim_end_matches('0').is_empty();
    Some(seconds.saturating_add(if is_whole { 0 } else { 1 }))
}

/// Compares a header value, as a date and as `Retry-After`, with `httpdate`.
fn compare_header(value: &HeaderValue, time: u64) {
    let text = value.to_str().ok();
    let reply_to = reply(&[(SUNSET, value), (DEPRECATION, value), (RETRY_AFTER, value)]);
    assert_eq!(reply_to.sunset(), reply_to.deprecation());
    let ours = reply_to.sunset().map(|time| {
        assert_eq!(time.nanoseconds(), 0);
        time.seconds()
    });
    if let Some(text) = text {
        compare_date(text, ours);
    }
    if !text.is_some_and(|text| text.trim().starts_with('@')) {
        let date = reply(&[(DATE, value)]).date();
        assert_eq!(date.map(UnixTime::seconds), ours);
    }

    let without_date = reply_to.retry_after();
    let seconds = text.map(str::trim).and_then(parse_seconds);
    // Without `Date`, a date gives no delay, because the core has no clock.
    assert_eq!(without_date, seconds.map(Duration::from_secs));
    let sent = time % 4_000_000_000;
    let date = HeaderValue::try_from(strict_form(sent)).expect("a formatted date is ASCII");
    let with_date = reply(&[(RETRY_AFTER, value), (DATE, &date)]).retry_after();
    if text.is_some_and(|text| text.trim().starts_with('@')) {
        // Only `Deprecation` and `Sunset` may be `@` and seconds since 1970; here `@…` may be the name of a day.
        return;
    }
    match (seconds, ours) {
        (Some(_), _) => assert_eq!(with_date, without_date),
        (None, Some(until)) => {
            let wait = until.max(0).unsigned_abs().saturating_sub(sent);
            assert_eq!(with_date, Some(Duration::from_secs(wait)));
        }
        (None, None) => assert_eq!(with_date, None),
    }
}

/// Compares the date that the core found in a text with that of `httpdate`.
fn compare_date(text: &str, ours: Option<i64>) {
    let theirs = httpdate::parse_http_date(text).ok().map(|date| {
        let since = date
            .duration_since(UNIX_EPOCH)
            .expect("httpdate rejects dates before 1970");
        i64::try_from(since.as_secs()).expect("httpdate rejects years after 9999")
    });
    match (ours, theirs) {
        (None, None) => {}
        (Some(ours), Some(theirs)) => assert_eq!(ours, theirs, "{text}"),
        (None, Some(theirs)) => {
            let date = DateTime::from_timestamp(theirs, 0).expect("chrono supports the date");
            let mut strict = FORMATS[..3].iter().map(|form| format(date, form));
            assert!(strict.all(|strict| strict != text.trim()), "{text}");
        }
        // The leap second at the end of year 9999 is in year 10000.
        (Some(ours), None) if !text.trim().starts_with('@') && ours < YEAR_10000 => {
            check_lenient_date(text, ours);
        }
        (Some(_), None) => {}
    }
}

/// Checks a date that only the core accepts: the strict form of its result is parsed as the same time.
fn check_lenient_date(text: &str, ours: i64) {
    let date = DateTime::from_timestamp(ours, 0).expect("chrono supports years of four digits");
    let strict = format(date, &FORMATS[0]);
    assert_eq!(parse_with_core(&strict), Some(ours));
    if ours >= 0 {
        let again = httpdate::parse_http_date(&strict).expect("the date is in the strict form");
        assert_eq!(again, UNIX_EPOCH + Duration::from_secs(ours.unsigned_abs()));
    }
    // The result has the numbers of the text after the name of the day, in any order.
    let leap = text.contains(":60");
    let after_day = text.trim().split_once([' ', '\t']);
    let after_day = after_day.map_or("", |(_, rest)| rest);
    let numbers = |text: &str| -> Vec<u32> {
        let numbers = text.split(|c: char| !c.is_ascii_digit());
        let numbers = numbers.filter_map(|n| n.parse().ok());
        numbers.map(|n: u32| n % 100).collect()
    };
    let found = numbers(&strict);
    assert!(
        leap || numbers(after_day).iter().all(|n| found.contains(n)),
        "{text} was parsed as {strict}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The core and `httpdate` behave as the first table at the top says.
    #[test]
    fn known_differences_of_http_dates_match_the_table() {
        for (text, ours, theirs) in [
            ("Mon, 5 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("x, 05 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Tue, 05 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Mon,  05 Aug  2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Mon, 05 Aug 2024 00:00:60 GMT", Some(1_722_816_060), None),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1), None),
            ("Sunday, 06-Nov-94!08:49:37 GMT", None, Some(784_111_777)),
        ] {
            assert_eq!(parse_with_core(text), ours, "{text}");
            let date = httpdate::parse_http_date(text).ok();
            let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
            assert_eq!(date.map(|date| date.as_secs()), theirs, "{text}");
        }
    }

    /// The core and `chrono` behave as the second table at the top says.
    #[test]
    fn known_differences_of_timestamps_match_the_table() {
        for (text, ours, theirs) in [
            (
                "2016-12-31T23:59:60Z",
                Some((1_483_228_800, 0)),
                Some((1_483_228_799, 1_000_000_000)),
            ),
            (
                "2016-12-31T23:59:59\u{2212}01:00",
                None,
                Some((1_483_232_399, 0)),
            ),
        ] {
            let parsed = Timestamp::new(text).parse().ok();
            assert_eq!(
                parsed.map(|time| (time.seconds(), time.nanoseconds())),
                ours,
                "{text}"
            );
            let parsed = DateTime::parse_from_rfc3339(text).ok();
            let parsed = parsed.map(|time| (time.timestamp(), time.timestamp_subsec_nanos()));
            assert_eq!(parsed, theirs, "{text}");
        }
    }
}
