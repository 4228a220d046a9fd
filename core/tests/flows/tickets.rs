//! The tickets of a session, and its change count.

use atlas_model_keys_core::{BaseUrl, Credentials, Error, FailureKind, Reply, Session, Step};
use http::StatusCode;

use super::{response, world};
use crate::dialogue::{CredentialKind, World, expect_send, expect_wait};

#[test]
fn change_count_rises_with_responses_failures_and_dropped_exchanges() {
    let mut world = world(CredentialKind::ServiceAccount);
    let mut last = world.session.change_count();
    let mut has_changed =
        |world: &World| std::mem::replace(&mut last, world.session.change_count()) != last;
    let fetcher = expect_send(world.start(&world.request()));
    let waiter = expect_wait(world.start(&world.request()));
    assert!(!has_changed(&world));
    // The token has arrived, and the exchange continues.
    let fetcher = expect_send(world.send(fetcher));
    assert!(has_changed(&world));
    let waiter = expect_send(world.wake(waiter));
    let wait = expect_wait(world.fail(waiter.pending, FailureKind::Lost));
    assert!(has_changed(&world));
    drop(wait);
    assert!(has_changed(&world));
    drop(fetcher);
    assert!(has_changed(&world));
    assert!(!has_changed(&world));
}

#[test]
fn wait_tells_its_cause() {
    let mut world = world(CredentialKind::Bearer);
    let exchange = expect_send(world.start(&world.request()));
    let wait = expect_wait(world.fail(exchange.pending, FailureKind::Lost));
    let (kind, failure) = wait.failure().unwrap();
    assert_eq!(
        (kind, failure.to_string()),
        (FailureKind::Lost, "cable pulled".to_owned())
    );
    assert!(wait.api_error().is_none());
    let exchange = expect_send(world.resume(wait));
    let wait = expect_wait(world.respond(exchange.pending, response(503, &[], "")));
    assert!(wait.failure().is_none());
    assert_eq!(
        wait.api_error().unwrap().status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[test]
fn ticket_of_another_session_is_refused() {
    let mut world = world(CredentialKind::ApiKey);
    let exchange = expect_send(world.start(&world.request()));
    let base = BaseUrl::new("https://elsewhere.example").unwrap();
    world.session = Session::new(base, Credentials::api_key("a", "b").unwrap());
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n", qop="auth""#,
    )];
    let error = world
        .respond(exchange.pending, response(401, &challenge, ""))
        .unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

#[test]
fn public_types_are_small_send_and_sync() {
    use atlas_model_keys_core::{Exchange, Failure, Listing, ModelKey, Page, Pending, Wait};
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Session>();
    is_send_and_sync::<Pending>();
    is_send_and_sync::<Wait>();
    is_send_and_sync::<Exchange>();
    is_send_and_sync::<Step<Vec<u8>>>();
    is_send_and_sync::<Reply<Vec<u8>>>();
    is_send_and_sync::<Page<Vec<u8>>>();
    is_send_and_sync::<ModelKey<'_>>();
    is_send_and_sync::<Listing>();
    is_send_and_sync::<Error>();
    is_send_and_sync::<Failure>();
    assert_eq!(size_of::<Pending>(), size_of::<usize>());
    assert!(size_of::<Wait>() <= 48);
    assert!(size_of::<Error>() <= 72, "{}", size_of::<Error>());
    assert!(size_of::<ModelKey<'_>>() <= 40);
}
