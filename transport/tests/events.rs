//! The events of a client, in their order.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use atlas_model_keys_core::ListRequest;
use atlas_model_keys_transport::emulator::{Config, CredentialKind, Fault, Route};
use atlas_model_keys_transport::{
    ClientSettings, Clock as _, Event, InMemoryAtlas, SentRequest, WaitReason, asynchronous,
    blocking,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The events of a client, as short texts. `Debug` of each event is checked, too.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Vec<String>>>);

impl Recorded {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Makes these settings record the events.
    fn record(&self, atlas: &InMemoryAtlas, settings: ClientSettings) -> ClientSettings {
        let (recorded, atlas) = (self.clone(), atlas.clone());
        settings.on_event(move |event| {
            assert_nothing_secret(&format!("{event:?}"), &atlas);
            recorded.0.lock().unwrap().push(text(event));
        })
    }
}

fn text(event: &Event<'_>) -> String {
    let request = |request: &SentRequest<'_>| {
        let what = match request.path {
            "/api/oauth/token" => "token",
            path if path.ends_with("/aiModelApiKeys") => "keys",
            path => path,
        };
        format!("{} {what} {}", request.method, request.attempt)
    };
    match event {
        Event::Sent(sent) => format!("sent {}", request(sent)),
        Event::Answered {
            request: sent,
            status,
            ..
        } => format!("{} to {}", status.as_u16(), request(sent)),
        Event::Failed {
            request: sent,
            kind,
            ..
        } => format!("{kind:?} for {}", request(sent)),
        Event::Waiting { delay, reason, .. } => {
            assert!(*delay > Duration::ZERO);
            match reason {
                WaitReason::Response(error) => format!("wait after {}", error.status.as_u16()),
                WaitReason::Failure { kind, source, .. } => {
                    format!("wait after {kind:?}: {source}")
                }
                WaitReason::OtherExchange => "wait for another".to_owned(),
                other => format!("{other:?}"),
            }
        }
        Event::TokenFetched => "token fetched".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Checks that the text has no credential, no header and no part of a body.
fn assert_nothing_secret(shown: &str, atlas: &InMemoryAtlas) {
    let (account, key, token) = atlas.with(|emulator| {
        let (account, key) = (emulator.service_account(), emulator.api_key());
        (
            account.clone(),
            key.clone(),
            emulator.access_token().to_owned(),
        )
    });
    for secret in [
        account.client_secret.as_str(),
        &account.client_id,
        &key.private_key,
        &token,
        // Headers and bodies of requests and responses.
        "authorization",
        "Bearer",
        "Basic",
        "user-agent",
        "grant_type",
        "access_token",
        "retry-after",
        "results",
        "maskedSecret",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

fn new(kind: CredentialKind) -> (InMemoryAtlas, ListRequest, Recorded, ClientSettings) {
    let atlas = InMemoryAtlas::new(Config::default());
    let recorded = Recorded::default();
    let settings = recorded.record(&atlas, atlas.settings(kind).unwrap());
    (atlas.clone(), atlas.list_request(), recorded, settings)
}

fn fail_next(atlas: &InMemoryAtlas, status: StatusCode) {
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("2"))]);
    atlas.with(|emulator| emulator.fail_next(1, Route::ListGroupKeys, status, &headers));
}

#[test]
fn service_account_with_one_503_has_the_expected_events() {
    const EXPECTED: &[&str] = &[
        "sent POST token 1",
        "200 to POST token 1",
        "token fetched",
        "sent GET keys 1",
        "503 to GET keys 1",
        "wait after 503",
        "sent GET keys 2",
        "200 to GET keys 2",
    ];
    let (atlas, list, recorded, settings) = new(CredentialKind::ServiceAccount);
    let client = blocking::Client::new(settings, atlas.clone()).unwrap();
    fail_next(&atlas, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.reply(&list).unwrap().attempts(), 2);
    assert_eq!(recorded.take(), EXPECTED);

    let (atlas, list, recorded, settings) = new(CredentialKind::ServiceAccount);
    let client = asynchronous::Client::new(settings, atlas.clone()).unwrap();
    fail_next(&atlas, StatusCode::SERVICE_UNAVAILABLE);
    let reply = smol::block_on(client.reply(&list)).unwrap();
    assert_eq!(reply.attempts(), 2);
    assert_eq!(recorded.take(), EXPECTED);
    // The token stays, also for a clone with another deadline.
    let clone = client.with_deadline(Duration::from_secs(9));
    assert!(smol::block_on(clone.reply(&list)).is_ok());
    assert_eq!(recorded.take(), ["sent GET keys 1", "200 to GET keys 1"]);
}

#[test]
fn connection_that_is_refused_or_reset_is_reported_with_its_kind() {
    let (atlas, list, recorded, settings) = new(CredentialKind::AccessToken);
    let client = blocking::Client::new(settings, atlas.clone()).unwrap();
    atlas.refuse_connections(1);
    assert_eq!(client.reply(&list).unwrap().attempts(), 2);
    assert_eq!(
        recorded.take(),
        [
            "sent GET keys 1",
            "NotSent for GET keys 1",
            "wait after NotSent: connection refused",
            "sent GET keys 2",
            "200 to GET keys 2",
        ]
    );
    atlas.with(|emulator| emulator.inject(Fault::RESET_IN_BODY.times(1)));
    assert_eq!(client.reply(&list).unwrap().attempts(), 2);
    assert_eq!(
        recorded.take(),
        [
            "sent GET keys 1",
            "Lost for GET keys 1",
            "wait after Lost: connection reset",
            "sent GET keys 2",
            "200 to GET keys 2",
        ]
    );
}

#[test]
fn duration_of_a_request_is_measured_by_the_clock_of_the_client() {
    let atlas = InMemoryAtlas::new(Config::default());
    let durations = Arc::new(Mutex::new(Vec::new()));
    let measured = Arc::clone(&durations);
    let settings = atlas.settings(CredentialKind::ServiceAccount).unwrap();
    let settings = settings.on_event(move |event| {
        if let Event::Answered { duration, .. } | Event::Failed { duration, .. } = event {
            measured.lock().unwrap().push(duration.as_secs());
        }
    });
    let client = blocking::Client::new(settings, atlas.clone()).unwrap();
    let slow = Fault::TOKEN_SLOW.with_delay(Duration::from_secs(2));
    atlas.with(|emulator| {
        emulator.inject(slow.unwrap());
        emulator.inject(Fault::STALL_BEFORE_HEAD.times(1));
    });
    client.reply(&atlas.list_request()).unwrap();
    // The request for the token, the stalled request, and its repetition.
    assert_eq!(*durations.lock().unwrap(), [2, 30, 0]);
}

#[test]
fn challenge_belongs_to_the_attempt_before_it() {
    let (atlas, list, recorded, settings) = new(CredentialKind::ApiKey);
    let client = blocking::Client::new(settings, atlas).unwrap();
    assert_eq!(client.reply(&list).unwrap().attempts(), 1);
    assert_eq!(
        recorded.take(),
        [
            "sent GET keys 1",
            "401 to GET keys 1",
            "sent GET keys 1",
            "200 to GET keys 1",
        ]
    );
}

#[test]
fn revocation_of_a_token_is_reported() {
    let (atlas, list, recorded, settings) = new(CredentialKind::ServiceAccount);
    let client = blocking::Client::new(settings, atlas).unwrap();
    client.reply(&list).unwrap();
    recorded.take();
    client.revoke_token().unwrap();
    assert_eq!(
        recorded.take(),
        [
            "sent POST /api/oauth/revoke 1",
            "200 to POST /api/oauth/revoke 1",
        ]
    );
}

#[test]
fn access_token_is_fetched_without_another_request_and_once() {
    let (atlas, list, recorded, settings) = new(CredentialKind::ServiceAccount);
    let client = blocking::Client::new(settings, atlas).unwrap();
    let token = client.access_token().unwrap();
    assert_eq!(
        recorded.take(),
        ["sent POST token 1", "200 to POST token 1", "token fetched",]
    );
    assert_eq!(client.access_token().unwrap().expose(), token.expose());
    client.reply(&list).unwrap();
    assert_eq!(recorded.take(), ["sent GET keys 1", "200 to GET keys 1"]);

    client.revoke(&token).unwrap();
    assert_ne!(client.access_token().unwrap().expose(), token.expose());

    for kind in [CredentialKind::ApiKey, CredentialKind::AccessToken] {
        let (atlas, _, recorded, settings) = new(kind);
        let client = blocking::Client::new(settings, atlas).unwrap();
        let error = client.access_token().unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("service account"), "{error}");
        assert!(client.revoke(&token).is_err());
        assert!(recorded.take().is_empty());
    }
}

/// Polls two futures in turns until both are ready.
async fn both<T>(one: impl Future<Output = T>, two: impl Future<Output = T>) -> (T, T) {
    let (mut one, mut two) = (Box::pin(one), Box::pin(two));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = two.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (one, two) => {
                (first, second) = (one, two);
                Poll::Pending
            }
        }
    })
    .await
}

#[test]
fn call_that_waits_for_the_token_of_another_says_so() {
    let (atlas, list, recorded, settings) = new(CredentialKind::ServiceAccount);
    let client = asynchronous::Client::new(settings, atlas).unwrap();
    let (one, two) = smol::block_on(both(client.reply(&list), client.reply(&list)));
    assert!(one.is_ok() && two.is_ok());
    let events = recorded.take();
    assert_eq!(
        events[..5],
        [
            "sent POST token 1",
            "wait for another",
            "200 to POST token 1",
            "token fetched",
            "sent GET keys 1",
        ]
    );
    let count = |text: &str| events.iter().filter(|event| *event == text).count();
    assert_eq!(count("sent POST token 1"), 1);
    assert_eq!(count("200 to GET keys 1"), 2);
}

#[test]
fn call_that_begins_during_the_wait_of_another_after_a_429_waits_for_the_same_reason() {
    let (atlas, list, recorded, settings) = new(CredentialKind::AccessToken);
    let client = blocking::Client::new(settings, atlas.clone()).unwrap();
    fail_next(&atlas, StatusCode::TOO_MANY_REQUESTS);
    // The wait of two seconds would end after the deadline of this call.
    let hasty = client.with_deadline(Duration::from_secs(1));
    let error = hasty.reply(&list).unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(recorded.take(), ["sent GET keys 1", "429 to GET keys 1"]);
    assert_eq!(client.reply(&list).unwrap().attempts(), 1);
    assert_eq!(
        recorded.take(),
        ["wait after 429", "sent GET keys 1", "200 to GET keys 1",]
    );
    assert!(atlas.clock().elapsed() >= Duration::from_secs(2));
}
