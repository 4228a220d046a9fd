//! Times: HTTP dates, `Retry-After`, timestamps, and the dates that name versions.
//!
//! **Input**: eight bytes that are taken for a time (and for how it is written); the rest is a text that
//! is taken for each kind of date.
//!
//! **Properties**
//!
//! - A time, written in each form of RFC 9110 §5.6.7 (and with the day that Atlas does not pad) or RFC 3339, is
//!   read as that time. The calendar here is `chrono`'s.
//! - A text that `httpdate` reads as a date, the core reads as the same date, and the other way round but for
//!   the known disagreements; the same for `chrono` and RFC 3339.
//! - `Retry-After` is its seconds, rounded up, or how long it is from `Date` to the date; never more than was asked
//!   for, and nothing where there is nothing sensible.
//! - A version is `preview` or a date that `chrono` knows, and is written as it was read.
//!
//! **Known disagreements** with `httpdate`, which is stricter but for one place:
//!
//! | where | the core | `httpdate` |
//! |---|---|---|
//! | the day without a leading zero (Atlas; not in RFC 9110 §5.6.7) | reads it | refuses |
//! | the name of the day (RFC 9110 §5.6.7: "SHOULD" be lenient) | any text that ends in a comma, or none in asctime's form | must be the day's |
//! | white space | any between the parts | exactly one |
//! | a leap second, `:60` (RFC 9110 §5.6.7 takes RFC 5322's, which has it) | the second after | refuses |
//! | years before 1970 | negative | refuses |
//! | what stands between date and time in the second form | white space | any byte |
//!
//! Known disagreements with `chrono` on RFC 3339:
//!
//! | where | the core | `chrono` |
//! |---|---|---|
//! | a leap second (RFC 3339 §5.6) | the second after | more than a second of nanoseconds |
//! | U+2212 for a minus (RFC 3339 §5.6 has `-` only) | refuses | reads it |

use std::time::{Duration, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{ApiVersion, Reply, Timestamp, UnixTime};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use http::{HeaderValue, Response};

use crate::input;

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
    forms(input.time);
    if let Ok(text) = std::str::from_utf8(input.text) {
        timestamp(text);
        version(text);
    }
    if let Ok(value) = HeaderValue::from_bytes(input.text) {
        header(&value, input.time);
    }
}

/// The reply to a request, with these headers.
fn reply(headers: &[(&'static str, &HeaderValue)]) -> Reply<&'static [u8]> {
    let mut response = Response::new(b"".as_slice());
    for (name, value) in headers {
        response.headers_mut().append(*name, (*value).clone());
    }
    Reply::from_response(response).expect("the status is 200")
}

/// A date in a header, as the core reads it.
fn read(text: &str) -> Option<i64> {
    let value = HeaderValue::from_str(text).ok()?;
    let reply = reply(&[("sunset", &value), ("deprecation", &value)]);
    assert_eq!(reply.sunset(), reply.deprecation());
    reply.sunset().map(|time| {
        assert_eq!(time.nanoseconds(), 0);
        time.seconds()
    })
}

/// The end of the years of four digits.
const YEAR_10000: i64 = 253_402_300_800;

/// The forms of RFC 9110 §5.6.7.
const FORMS: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

/// A time in every form is that time.
fn forms(time: u64) {
    let seconds = i64::try_from(time >> 1).expect("63 bits") % YEAR_10000;
    let nanoseconds = u32::try_from(time >> 34).expect("30 bits") % 1_000_000_000;
    let date = DateTime::<Utc>::from_timestamp(seconds, nanoseconds).expect("chrono knows it");
    let unpadded = "%a, %-d %b %Y %H:%M:%S GMT";
    for form in FORMS.into_iter().chain([unpadded]) {
        // Years of two digits are those until 2069.
        if !form.contains("%y") || seconds < 3_155_760_000 {
            let text = date.format(form).to_string();
            assert_eq!(read(&text), Some(seconds), "{text}");
        }
    }
    assert_eq!(read(&format!("@{seconds}")), Some(seconds));
    let expected = UnixTime::new(seconds, nanoseconds).expect("less than a second");
    assert_eq!(expected.to_string().parse(), Ok(expected));
    for zulu in [false, true] {
        let text = date.to_rfc3339_opts(SecondsFormat::Nanos, zulu);
        assert_eq!(Timestamp::new(&text).parse(), Ok(expected), "{text}");
        // Elsewhere, the same instant has another text.
        let offset = i32::try_from(time >> 40 & 0x7ff).expect("11 bits") - 0x3ff;
        let there = chrono::FixedOffset::east_opt(offset * 60).expect("less than a day");
        let there = date.with_timezone(&there);
        if chrono::Datelike::year(&there) < 10_000 && chrono::Datelike::year(&there) >= 0 {
            let text = there.to_rfc3339_opts(SecondsFormat::Nanos, zulu);
            assert_eq!(Timestamp::new(&text).parse(), Ok(expected), "{text}");
        }
    }
}

/// RFC 3339, by `chrono`.
fn timestamp(text: &str) {
    let timestamp = Timestamp::new(text);
    assert_eq!(timestamp.as_str(), text);
    assert_eq!(timestamp.to_string(), text);
    let ours = timestamp.parse();
    if let Err(error) = &ours {
        assert_eq!(error.parameter(), "timestamp");
        crate::shown::is_safe(error);
    }
    let theirs = DateTime::parse_from_rfc3339(text).ok();
    // A leap second is kept there as nanoseconds beyond the second.
    let theirs = theirs.map(|time| {
        let nanoseconds = time.timestamp_subsec_nanos();
        let seconds = time.timestamp() + i64::from(nanoseconds / 1_000_000_000);
        UnixTime::new(seconds, nanoseconds % 1_000_000_000).expect("less than a second")
    });
    match (&ours, theirs) {
        (Ok(ours), Some(theirs)) => assert_eq!(*ours, theirs, "{text}"),
        (Err(_), None) => {}
        (Ok(_), None) => panic!("only the core reads {text:?}"),
        (Err(_), Some(_)) => assert!(text.contains('\u{2212}'), "only chrono reads {text:?}"),
    }
}

/// `YYYY-MM-DD`, by `chrono`.
fn version(text: &str) {
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
            crate::shown::is_safe(&error);
        }
    }
}

/// Seconds, with a fraction or without (which RFC 9110 §10.2.3 does not have, and is rounded up); of a number that is
/// too large, the largest.
pub(crate) fn seconds(text: &str) -> Option<u64> {
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

/// A header's value as a date, and as how long to wait.
fn header(value: &HeaderValue, time: u64) {
    let text = value.to_str().ok();
    let ours = text.and_then(read);
    let theirs = text.and_then(|text| {
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(UNIX_EPOCH).expect("from 1970 on");
        Some(i64::try_from(since.as_secs()).expect("until 9999"))
    });
    if let (Some(theirs), Some(text)) = (theirs, text) {
        let date = DateTime::<Utc>::from_timestamp(theirs, 0).expect("chrono knows it");
        let is_strict = FORMS
            .iter()
            .any(|form| text.trim() == date.format(form).to_string());
        assert!(
            ours == Some(theirs) || (ours.is_none() && !is_strict),
            "{text}"
        );
    }
    // What only the core reads is as it would be written in the strict form, with the day's name.
    if let (Some(ours), None, Some(text)) = (ours, theirs, text)
        && !text.trim().starts_with('@')
        // The leap second of the last year that has four digits.
        && ours < YEAR_10000
    {
        let date = DateTime::<Utc>::from_timestamp(ours, 0).expect("within ten thousand years");
        let strict = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert_eq!(read(&strict), Some(ours));
        if ours >= 0 {
            let again = httpdate::parse_http_date(&strict).expect("it is strict");
            assert_eq!(again, UNIX_EPOCH + Duration::from_secs(ours.unsigned_abs()));
        }
        // And has the numbers that were there behind the name of the day, in whichever order.
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
            "{text} is {strict}"
        );
    }

    let alone = reply(&[("retry-after", value)]).retry_after();
    let seconds = text.map(str::trim).and_then(seconds);
    match seconds {
        Some(seconds) => assert_eq!(alone, Some(Duration::from_secs(seconds))),
        // Without a clock and without `Date`, a date says nothing.
        None => assert_eq!(alone, None),
    }
    let sent = i64::try_from(time % 4_000_000_000).expect("it is less");
    let date = DateTime::<Utc>::from_timestamp(sent, 0).expect("chrono knows it");
    let date = HeaderValue::try_from(date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let beside = reply(&[
        ("retry-after", value),
        ("date", &date.expect("it is ASCII")),
    ])
    .retry_after();
    if text.is_some_and(|text| text.trim().starts_with('@')) {
        // A count of seconds since 1970 is `Sunset`'s only; here it may be the name of a day.
        return;
    }
    match (seconds, ours) {
        (Some(_), _) => assert_eq!(beside, alone),
        (None, Some(until)) => {
            let wait = u64::try_from(until.max(0) - sent).unwrap_or(0);
            assert_eq!(beside, Some(Duration::from_secs(wait)));
        }
        (None, None) => assert_eq!(beside, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the core and `httpdate` read in each row of the first table at the top.
    #[test]
    fn the_known_disagreements_on_http_dates_are_as_they_say() {
        for (text, ours, theirs) in [
            ("Mon, 5 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("x, 05 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Tue, 05 Aug 2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Mon,  05 Aug  2024 00:00:00 GMT", Some(1_722_816_000), None),
            ("Mon, 05 Aug 2024 00:00:60 GMT", Some(1_722_816_060), None),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1), None),
            ("Sunday, 06-Nov-94!08:49:37 GMT", None, Some(784_111_777)),
        ] {
            assert_eq!(read(text), ours, "{text}");
            let date = httpdate::parse_http_date(text).ok();
            let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
            assert_eq!(date.map(|date| date.as_secs()), theirs, "{text}");
        }
    }

    /// What the core and `chrono` read in each row of the second one.
    #[test]
    fn the_known_disagreements_on_timestamps_are_as_they_say() {
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
