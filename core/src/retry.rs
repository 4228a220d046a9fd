//! The retry policy: which statuses are retried, how often, and after which wait. Which failures of the network are
//! retried is decided in [`Session::fail`](crate::Session::fail).

use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};

use crate::Moment;
use crate::setters::setters;
use crate::timestamp::parse_http_date;

/// The rules for retrying the requests of an [exchange](crate::Exchange) after an error response or a network failure.
///
/// An exchange has a request for a page, and may have one for an access token. The attempts of each are counted
/// separately.
///
/// The wait before attempt *n* + 1 is the response's `Retry-After` (if there is one) plus a random duration from zero to
/// min(`cap`, `base · 2ⁿ⁻¹`): exponential backoff with full jitter, so that clients that failed together do not retry
/// together. The random duration is shortened if the wait would exceed `wait` or `total_wait`.
///
/// A 429 response pauses all requests that have the same rate limit, such as those for a group (Atlas's word for a project).
/// Until the pause ends, no exchange sends a new request of this kind. (The answer to a challenge is still sent.) An exchange
/// that finds a pause waits for the rest of it plus a random duration from zero to `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The number of attempts of a request, including the first. Default: 5. With 1 there are no retries.
    pub attempts: u32,
    /// The upper limit of the first backoff. Default: 1 s.
    pub base: Duration,
    /// The upper limit of every backoff. Default: 40 s, the last step of MongoDB's advice (10, 20, 40 s).
    pub cap: Duration,
    /// The longest single wait. Default: 90 s, since Atlas's usual rate-limit buckets refill every 60 s. If the
    /// server asks for a longer wait, the exchange fails at once with an error that has that time.
    pub wait: Duration,
    /// The longest sum of all waits of one exchange. Default: 180 s. A wait for another exchange of the session counts
    /// with the time that it took. It checks the sum only every 30 s, so it may exceed it by up to 30 s.
    pub total_wait: Duration,
    /// The statuses that are retried. Default: 429, and 500 to 999. A request for a page changes nothing on the server,
    /// so a retry is safe. Undefined statuses from 600 on are treated as server errors (RFC 9110 §15).
    ///
    /// A token request follows these rules for 429 and 503. After another server error it is retried only once,
    /// since a token may have been issued.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Whether rate limits are waited out: a 429 response does not count towards `attempts`, so that only `wait` and
    /// `total_wait` limit how often its request is repeated. The clients of `atlas-model-keys-transport` also leave such a
    /// wait, and a wait for another exchange, out of the deadline of the call. Default: `false`.
    pub waits_out_rate_limits: bool,
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
            waits_out_rate_limits: false,
        }
    }
}

impl RetryPolicy {
    /// Returns a policy without retries.
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
        with_statuses statuses Vec<RangeInclusive<u16>>,
        with_waits_out_rate_limits waits_out_rate_limits bool
    );

    /// Returns whether a response with this status is retried.
    pub(crate) fn retries(&self, status: StatusCode) -> bool {
        self.statuses
            .iter()
            .any(|range| range.contains(&status.as_u16()))
    }

    /// Returns the random duration that is added, after failure number `failures`, to the wait that the server asked for.
    pub(crate) fn jitter(&self, failures: u32, at: &Moment) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        at.fraction_of(self.base.saturating_mul(1 << doublings).min(self.cap))
    }
}

/// Parses `Retry-After` (RFC 9110 §10.2.3): seconds, also with a fraction, or a date.
///
/// A date is compared with the response's own `Date`, since the clocks may differ, or else with `now`. A date in the
/// past gives zero. A number too large for a `u64` gives the largest one. An invalid value gives `None`.
pub(crate) fn retry_after(headers: &HeaderMap, now: Option<Duration>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_digits(whole) && is_digits(fraction) {
        // RFC 9110 has no fractions. They are rounded up.
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
    fn retry_after_is_parsed_as_seconds_or_date_and_invalid_is_ignored() {
        let parsed = |text| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, Some(Duration::from_secs(1_722_816_000)))
        };
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(parsed("0"), seconds(0));
        assert_eq!(parsed(" 17 "), seconds(17));
        assert_eq!(parsed("99999999999999999999999"), seconds(u64::MAX));
        assert_eq!(parsed("Mon, 5 Aug 2024 00:00:09 GMT"), seconds(9));
        assert_eq!(parsed("Mon, 05 Aug 2024 00:01:00 GMT"), seconds(60));
        assert_eq!(parsed("Mon, 5 Aug 2019 00:00:00 GMT"), seconds(0));
        assert_eq!(parsed("2.5"), seconds(3));
        assert_eq!(parsed("2.000"), seconds(2));
        assert_eq!(parsed("0.0001"), seconds(1));
        assert_eq!(parsed("99999999999999999999999.5"), seconds(u64::MAX));
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
            assert_eq!(parsed(nonsense), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), None), None);

        // A date is compared with the server's clock if the response has a `Date`.
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
    fn backoff_doubles_up_to_the_cap_with_full_jitter() {
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
