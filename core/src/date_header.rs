//! Dates in the headers of a response.

use http::HeaderMap;

use crate::UnixTime;
use crate::timestamp::parse_http_date;

/// Returns the time of the header `Date` (RFC 9110 §6.6.1).
pub(crate) fn response_date(headers: &HeaderMap) -> Option<UnixTime> {
    date(headers, "date")
}

/// Returns the date in a header: an HTTP date as Atlas writes it, or a Unix time after `@` (RFC 9745 §2.1).
pub(crate) fn date(headers: &HeaderMap, name: &str) -> Option<UnixTime> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    let seconds = match text.strip_prefix('@') {
        Some(seconds) => seconds.parse().ok()?,
        None => parse_http_date(text)?,
    };
    Some(UnixTime::from_seconds(seconds))
}
