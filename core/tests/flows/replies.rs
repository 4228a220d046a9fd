//! Replies: their headers, their errors without a session, and the decoding of their bodies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use atlas_model_keys_core::{ModelKey, Reply, Step, UnixTime};

use super::{response, world};
use crate::dialogue::{CredentialKind, expect_send};

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

/// A body that counts how often it is read.
struct CountedBody {
    bytes: Vec<u8>,
    reads: Rc<Cell<u32>>,
}

impl AsRef<[u8]> for CountedBody {
    fn as_ref(&self) -> &[u8] {
        self.reads.set(self.reads.get() + 1);
        &self.bytes
    }
}

#[test]
fn enveloped_body_is_decoded_once() {
    let mut world = world(CredentialKind::Bearer);
    let request = world.request().with_envelope(true);
    let exchange = expect_send(world.start(&request));
    let reads = Rc::new(Cell::new(0));
    let response = world
        .response_to(&exchange.request)
        .map(|bytes| CountedBody {
            bytes,
            reads: Rc::clone(&reads),
        });
    let at = world.moment();
    let Ok(Step::Done(reply)) = world.session.respond(exchange.pending, response, at) else {
        panic!("expected a reply");
    };
    let before = reads.get();
    let page = reply.into_page().unwrap();
    assert_eq!(reads.get(), before);
    assert_eq!(page.envelope_status(), Some(200));
    assert!(page.keys().all(|key| key.api_key_id().is_some()) && !page.is_empty());
}

#[test]
fn replaced_body_of_an_enveloped_reply_is_decoded() {
    let mut world = world(CredentialKind::Bearer);
    let request = world.request().with_envelope(true);
    let reply = world.list(&request).unwrap();
    let reply = reply.map_body(|_| br#"{"results":[{"name":"another"}]}"#);
    let page = reply.into_page().unwrap();
    let names: Vec<_> = page.keys().map(ModelKey::name).collect();
    assert_eq!(names, [Some("another")]);
}

#[test]
fn date_of_a_response_is_the_time_of_the_server() {
    for (value, seconds) in [
        ("Mon, 05 Aug 2024 00:00:00 GMT", Some(1_722_816_000)),
        ("Mon, 5 Aug 2024 00:00:00 GMT", Some(1_722_816_000)),
        ("yesterday", None),
    ] {
        let response = response(200, &[("date", value)], r#"{"results":[]}"#);
        let reply = Reply::from_response(response).unwrap();
        let time = |date: Option<UnixTime>| date.map(UnixTime::seconds);
        assert_eq!(time(reply.date()), seconds, "{value}");
        assert_eq!(time(reply.into_page().unwrap().date()), seconds, "{value}");
    }
    let reply = Reply::from_response(response(200, &[], r#"{"results":[]}"#)).unwrap();
    assert_eq!(reply.date(), None);
}
