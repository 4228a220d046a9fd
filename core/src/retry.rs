//! When to try again, and after how long.

use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::limits::setters;
use crate::session::Moment;
use crate::timestamp::parse_http_date;

/// How an exchange is repeated that Atlas or the network did not let through.
///
/// The wait before attempt *n* + 1 is what the answer's `Retry-After` asks for, and on top of
/// it a random part of `base · 2ⁿ⁻¹` (at most `cap`): exponential backoff with full jitter, so
/// that many clients that were refused together do not come back together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, the first one included. 5. With 1 nothing is repeated.
    pub attempts: u32,
    /// The most that the first backoff takes. 1 s.
    pub base: Duration,
    /// The most that any backoff takes. 40 s: where MongoDB's advice (10, 20, 40 s) ends.
    pub cap: Duration,
    /// The longest single wait. 90 s: Atlas's usual buckets refill every 60 s. Asked to wait
    /// longer, the exchange ends at once with an error that tells the wanted time.
    pub wait: Duration,
    /// All planned waits of one exchange together. 180 s.
    pub total_wait: Duration,
    /// The statuses that are repeated. 429, and 500 to 999: listing changes nothing, so repeating it
    /// is safe, and those from 600 on, which nobody has defined, are taken for a server's error (RFC 9110 §15).
    /// A token request is repeated by these for 429 and 503, and once for another error of the server, since it
    /// may have issued a token.
    pub statuses: Vec<RangeInclusive<u16>>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(40),
            wait: Duration::from_secs(90),
            total_wait: Duration::from_secs(180),
            statuses: Vec::from([429..=429, 500..=999]),
        }
    }
}

impl RetryPolicy {
    /// No repetition: the first failure is the answer.
    #[must_use]
    pub fn never() -> Self {
        Self {
            attempts: 1,
            ..Self::default()
        }
    }

    setters!(
        with_attempts attempts u32,
        with_base base Duration,
        with_cap cap Duration,
        with_wait wait Duration,
        with_total_wait total_wait Duration,
        with_statuses statuses Vec<RangeInclusive<u16>>
    );

    pub(crate) fn repeats(&self, status: StatusCode) -> bool {
        self.statuses
            .iter()
            .any(|range| range.contains(&status.as_u16()))
    }

    /// What the wait after the `failures`th failure has on top of what the server asked for.
    pub(crate) fn jitter(&self, failures: u32, at: &Moment) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        at.fraction_of(self.base.saturating_mul(1 << doublings).min(self.cap))
    }
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, with a fraction too, or a date. A date is compared with the response's own
/// `Date`, since the clocks may differ, else with `now`; one in the past is no wait. A number too large
/// for a `u64` is the largest; anything else is as good as absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: Option<Duration>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_digits(whole) && is_digits(fraction) {
        // A part of a second, which RFC 9110 does not know, is rounded up.
        let up = u64::from(fraction.bytes().any(|digit| digit != b'0'));
        let seconds: u64 = whole.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.saturating_add(up)));
    }
    let since_epoch = |date: i64| Duration::from_secs(u64::try_from(date).unwrap_or(0));
    let until = since_epoch(parse_http_date(text)?);
    let sent = headers
        .get(DATE)
        .and_then(|date| parse_http_date(date.to_str().ok()?))
        .map(since_epoch);
    Some(until.saturating_sub(sent.or(now)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let of = |text| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, Some(Duration::from_secs(1_722_816_000)))
        };
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(of("0"), seconds(0));
        assert_eq!(of(" 17 "), seconds(17));
        assert_eq!(of("99999999999999999999999"), seconds(u64::MAX));
        assert_eq!(of("Mon, 5 Aug 2024 00:00:09 GMT"), seconds(9));
        assert_eq!(of("Mon, 05 Aug 2024 00:01:00 GMT"), seconds(60));
        assert_eq!(of("Mon, 5 Aug 2019 00:00:00 GMT"), seconds(0));
        assert_eq!(of("2.5"), seconds(3));
        assert_eq!(of("2.000"), seconds(2));
        assert_eq!(of("0.0001"), seconds(1));
        assert_eq!(of("99999999999999999999999.5"), seconds(u64::MAX));
        for nonsense in [
            "",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.5.5",
            "1,5",
            "-1.5",
            "soon",
            "0x10",
            "Mon, 5 Aug 2024",
        ] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), None), None);

        // By the server's clock, where it tells the time.
        let mut headers = HeaderMap::new();
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from_static("Mon, 5 Aug 2024 00:00:09 GMT"),
        );
        assert_eq!(retry_after(&headers, None), None);
        headers.insert(
            DATE,
            HeaderValue::from_static("Mon, 05 Aug 2024 00:00:05 GMT"),
        );
        assert_eq!(retry_after(&headers, None), seconds(4));
        assert_eq!(retry_after(&headers, Some(Duration::ZERO)), seconds(4));
    }

    #[test]
    fn backoff_doubles_up_to_the_cap_and_jitters_in_full() {
        let policy = RetryPolicy::default();
        let jitter = |failures, fill| {
            let at = Moment::new(Duration::ZERO, [fill; 16]);
            policy.jitter(failures, &at)
        };
        let near = |d: Duration, seconds: f64| (d.as_secs_f64() - seconds).abs() < 1e-3;
        for (failures, most) in [(1, 1.0), (2, 2.0), (4, 8.0), (7, 40.0), (u32::MAX, 40.0)] {
            assert_eq!(jitter(failures, 0), Duration::ZERO);
            assert!(near(jitter(failures, 0xff), most), "{failures}");
            assert!(near(jitter(failures, 0x80), most * 0.501_961), "{failures}");
        }
    }
}
