//! HTTP dates, `Retry-After`, timestamps, and version dates are parsed as other libraries parse them.
//!
//! **Input**: eight bytes for a time (and for how it is formatted); the rest is a text that is parsed as each
//! type of date.
//!
//! **Properties**
//!
//! - A time that `chrono` formats in any form of RFC 9110 §5.6.7 (also with the unpadded day that Atlas writes)
//!   or of RFC 3339 is parsed as that time.
//! - The core parses a text as the same HTTP date as `httpdate`, and each parses what the other does, except for the
//!   known differences. This also holds for RFC 3339 and `chrono`.
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

use std::time::{Duration, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{ApiVersion, Reply, Timestamp, UnixTime};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use http::{HeaderValue, Response};

use crate::generators::bytes as input;

#[derive(Debug)]
struct Input<'a> {
    time: u64,
    text: &'a [u8],
}

impl<'a> Arbitrary<'a> for Input<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            time: u.arbitrary()?,
            text: input::rest(u)?,
        })
    }
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    formatted_time_is_parsed(input.time);
    if let Ok(text) = std::str::from_utf8(input.text) {
        compare_timestamp(text);
        compare_version(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(input.text) {
        compare_header(&value, input.time);
    }
}

/// Returns a reply with these headers.
fn reply(headers: &[(&'static str, &HeaderValue)]) -> Reply<&'static [u8]> {
    let mut response = Response::new(b"".as_slice());
    for (name, value) in headers {
        response.headers_mut().append(*name, (*value).clone());
    }
    Reply::from_response(response).expect("the status is 200")
}

/// Parses a date in a header with the core.
fn parse_with_core(text: &str) -> Option<i64> {
    let value = HeaderValue::from_str(text).ok()?;
    let reply = reply(&[("sunset", &value), ("deprecation", &value)]);
    assert_eq!(reply.sunset(), reply.deprecation());
    reply.sunset().map(|time| {
        assert_eq!(time.nanoseconds(), 0);
        time.seconds()
    })
}

/// The first second after the years of four digits.
const YEAR_10000: i64 = 253_402_300_800;

/// The date formats of RFC 9110 §5.6.7.
const FORMATS: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

/// Asserts that a time is parsed from every format of it.
fn formatted_time_is_parsed(time: u64) {
    let seconds = i64::try_from(time >> 1).expect("a number of 63 bits") % YEAR_10000;
    let nanoseconds = u32::try_from(time >> 34).expect("a number of 30 bits") % 1_000_000_000;
    let date =
        DateTime::<Utc>::from_timestamp(seconds, nanoseconds).expect("chrono supports the date");
    let unpadded = "%a, %-d %b %Y %H:%M:%S GMT";
    for form in FORMATS.into_iter().chain([unpadded]) {
        // A year of two digits is one before 2070.
        if !form.contains("%y") || seconds < 3_155_760_000 {
            let text = date.format(form).to_string();
            assert_eq!(parse_with_core(&text), Some(seconds), "{text}");
        }
    }
    assert_eq!(parse_with_core(&format!("@{seconds}")), Some(seconds));
    let expected = UnixTime::new(seconds, nanoseconds).expect("less than a second");
    assert_eq!(expected.to_string().parse(), Ok(expected));
    for zulu in [false, true] {
        let text = date.to_rfc3339_opts(SecondsFormat::Nanos, zulu);
        assert_eq!(Timestamp::new(&text).parse(), Ok(expected), "{text}");
        // With another offset, the instant has another text.
        let offset = i32::try_from(time >> 40 & 0x7ff).expect("a number of 11 bits") - 0x3ff;
        let there = chrono::FixedOffset::east_opt(offset * 60).expect("less than a day");
        let there = date.with_timezone(&there);
        if chrono::Datelike::year(&there) < 10_000 && chrono::Datelike::year(&there) >= 0 {
            let text = there.to_rfc3339_opts(SecondsFormat::Nanos, zulu);
            assert_eq!(Timestamp::new(&text).parse(), Ok(expected), "{text}");
        }
    }
}

/// Compares a timestamp (RFC 3339) with `chrono`.
fn compare_timestamp(text: &str) {
    let timestamp = Timestamp::new(text);
    assert_eq!(timestamp.as_str(), text);
    assert_eq!(timestamp.to_string(), text);
    let ours = timestamp.parse();
    if let Err(error) = &ours {
        assert_eq!(error.parameter(), "timestamp");
        crate::oracles::shown::assert_safe(error);
    }
    let theirs = DateTime::parse_from_rfc3339(text).ok();
    // `chrono` represents a leap second as more than a second of nanoseconds.
    let theirs = theirs.map(|time| {
        let nanoseconds = time.timestamp_subsec_nanos();
        let seconds = time.timestamp() + i64::from(nanoseconds / 1_000_000_000);
        UnixTime::new(seconds, nanoseconds % 1_000_000_000).expect("less than a second")
    });
    match (&ours, theirs) {
        (Ok(ours), Some(theirs)) => assert_eq!(*ours, theirs, "{text}"),
        (Err(_), None) => {}
        (Ok(_), None) => panic!("only the core accepts {text:?}"),
        (Err(_), Some(_)) => assert!(text.contains('\u{2212}'), "only chrono accepts {text:?}"),
    }
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
            crate::oracles::shown::assert_safe(&error);
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
    let ours = text.and_then(parse_with_core);
    let theirs = text.and_then(|text| {
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date
            .duration_since(UNIX_EPOCH)
            .expect("httpdate rejects dates before 1970");
        Some(i64::try_from(since.as_secs()).expect("httpdate rejects years after 9999"))
    });
    if let (Some(theirs), Some(text)) = (theirs, text) {
        let date = DateTime::<Utc>::from_timestamp(theirs, 0).expect("chrono supports the date");
        let is_strict = FORMATS
            .iter()
            .any(|form| text.trim() == date.format(form).to_string());
        assert!(
            ours == Some(theirs) || (ours.is_none() && !is_strict),
            "{text}"
        );
    }
    // If only the core accepts a date, the strict form of its result is parsed as the same time.
    if let (Some(ours), None, Some(text)) = (ours, theirs, text)
        && !text.trim().starts_with('@')
        // The leap second at the end of year 9999 is in year 10000.
        && ours < YEAR_10000
    {
        let date =
            DateTime::<Utc>::from_timestamp(ours, 0).expect("chrono supports years of four digits");
        let strict = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert_eq!(parse_with_core(&strict), Some(ours));
        if ours >= 0 {
            let again = httpdate::parse_http_date(&strict).expect("the date is in the strict form");
            assert_eq!(again, UNIX_EPOCH + Duration::from_secs(ours.unsigned_abs()));
        }
        // The result has the numbers of the text after the name of the day, in any order.
        let leap = text.contains(":60");
        let text = text
            .trim()
            .split_once([' ', '\t'])
            .map_or("", |(_, rest)| rest);
        let numbers = |text: &str| {
            let split = |c: char| !c.is_ascii_digit();
            let mut numbers: Vec<u32> = text
                .split(split)
                .filter_map(|n| n.parse().ok())
                .map(|n: u32| n % 100)
                .collect();
            numbers.sort_unstable();
            numbers
        };
        assert!(
            leap || numbers(text).iter().all(|n| numbers(&strict).contains(n)),
            "{text} was parsed as {strict}"
        );
    }

    let without_date = reply(&[("retry-after", value)]).retry_after();
    let seconds = text.map(str::trim).and_then(parse_seconds);
    match seconds {
        Some(seconds) => assert_eq!(without_date, Some(Duration::from_secs(seconds))),
        // Without `Date`, a date gives no delay, because the core has no clock.
        None => assert_eq!(without_date, None),
    }
    let sent = i64::try_from(time % 4_000_000_000).expect("a number below 4,000,000,000");
    let date = DateTime::<Utc>::from_timestamp(sent, 0).expect("chrono supports the date");
    let date = HeaderValue::try_from(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let with_date = reply(&[
        ("retry-after", value),
        ("date", &date.expect("a formatted date is ASCII")),
    ])
    .retry_after();
    if text.is_some_and(|text| text.trim().starts_with('@')) {
        // Only `Deprecation` and `Sunset` may be `@` and seconds since 1970; here `@…` may be the name of a day.
        return;
    }
    match (seconds, ours) {
        (Some(_), _) => assert_eq!(with_date, without_date),
        (None, Some(until)) => {
            let wait = u64::try_from(until.max(0) - sent).unwrap_or(0);
            assert_eq!(with_date, Some(Duration::from_secs(wait)));
        }
        (None, None) => assert_eq!(with_date, None),
    }
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
