//! Replies and errors without a session.

use std::time::Duration;

use atlas_model_keys_core::Reply;

use crate::response;

#[test]
fn reply_parses_its_headers_and_ignores_invalid_ones() {
    let reply = |headers: &[(&'static str, &'static str)]| {
        Reply::from_response(response(200, headers, r#"{"results":[]}"#)).unwrap()
    };
    let full = reply(&[
        ("ratelimit-limit", "1200"),
        ("ratelimit-remaining", "17"),
        ("deprecation", "Mon, 5 Aug 2024 00:00:00 GMT"),
        ("sunset", "@1722816001"),
        ("x-mongodb-service-version", "gitHash=1; versionString=v2"),
        ("retry-after", "3"),
    ]);
    assert_eq!(full.rate_limit().limit, Some(1200));
    assert_eq!(full.rate_limit().remaining, Some(17));
    assert_eq!(full.deprecation().unwrap().seconds(), 1_722_816_000);
    assert_eq!(full.sunset().unwrap().seconds(), 1_722_816_001);
    assert_eq!(full.service_version(), Some("gitHash=1; versionString=v2"));
    assert_eq!(full.retry_after(), Some(Duration::from_secs(3)));
    for nonsense in ["", "-1", "soon", "@", "@x", "99999999999999999999999"] {
        let empty = reply(&[
            ("ratelimit-limit", nonsense),
            ("ratelimit-remaining", nonsense),
            ("deprecation", nonsense),
            ("sunset", nonsense),
        ]);
        assert_eq!(empty.rate_limit(), Default::default());
        assert_eq!((empty.deprecation(), empty.sunset()), (None, None));
    }
}

#[test]
fn error_without_a_session_tells_whether_and_when_to_retry() {
    for (status, retryable) in [(429, true), (503, true), (404, false)] {
        let error =
            Reply::from_response(response(status, &[("retry-after", "5")], "")).unwrap_err();
        assert_eq!(error.is_retryable(), retryable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    }
}
