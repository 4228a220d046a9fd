//! Access tokens of a service account: renewal, export and revocation.

use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Credentials, Endpoint, FailureKind, Secret, Session, Step};
use atlas_model_keys_emulator::{Config, Emulator, Route};

use super::{response, world};
use crate::dialogue::{BASE, CredentialKind, World, expect_send, expect_wait};

#[test]
fn late_401_does_not_remove_a_newer_token() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    // Two requests are in flight with the old token.
    let early = expect_send(world.start(&world.request()));
    let late = expect_send(world.start(&world.request()));
    world.emulator.revoke_tokens();
    let refused_early = world.response_to(&early.request);
    let refused_late = world.response_to(&late.request);
    let step = world.respond(early.pending, refused_early).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 2);
    let step = world.respond(late.pending, refused_late).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 2);
}

#[test]
fn failed_renewal_is_not_retried_within_a_minute() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    let exchanges: Vec<_> = (0..11)
        .map(|_| expect_send(world.start(&world.request())))
        .collect();
    world.emulator.revoke_tokens();
    world
        .emulator
        .respond_next(Route::Token, response(400, &[], ""));
    for exchange in exchanges {
        let step = world.send(exchange);
        assert!(step.and_then(|step| world.finish(step)).is_err());
    }
    assert_eq!(world.emulator.token_requests(), 2);
}

#[test]
fn token_that_expires_at_once_is_used_once() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.now = Duration::MAX;
    let token = expect_send(world.start(&world.request()));
    let token_body = r#"{"access_token":"t","expires_in":1}"#;
    let list = expect_send(world.respond(token.pending, response(200, &[], token_body)));
    assert_eq!(list.request.method(), "GET");

    // This also holds if the exchange has to wait for the rate limit.
    let mut world = World::new(Config::default(), CredentialKind::ServiceAccount);
    let token = expect_send(world.start(&world.request()));
    let none = [("ratelimit-remaining", "0")];
    let list = expect_send(world.respond(token.pending, response(200, &[], token_body)));
    assert!(matches!(
        world.respond(list.pending, response(200, &none, r#"{"results":[]}"#)),
        Ok(Step::Done(_))
    ));
    let slow = expect_send(world.start(&world.request()));
    world.now += Duration::from_secs(2);
    let token = expect_send(world.start(&world.request()));
    assert_eq!(token.request.method(), "POST");
    let mut wait = expect_wait(world.respond(token.pending, response(200, &[], token_body)));
    for _ in 0..20 {
        world.now += Duration::from_secs(2);
        wait = expect_wait(world.wake(wait));
    }
    drop(slow);
    assert_eq!(expect_send(world.wake(wait)).request.method(), "GET");
}

/// A server error other than 503 is retried only once, because a token may have been issued.
#[test]
fn server_error_of_the_token_endpoint_is_retried_once_and_503_up_to_the_limit() {
    for (status, sent) in [(500, 2), (502, 2), (600, 2), (503, 5)] {
        let mut world = world(CredentialKind::ServiceAccount);
        for _ in 0..5 {
            world
                .emulator
                .respond_next(Route::Token, response(status, &[], ""));
        }
        let error = world.list(&world.request()).unwrap_err();
        assert!(error.is_retryable());
        let shown = error.to_string();
        let gave_up = format!(
            "gave up after {sent} attempts: the request for an access token was answered with {status}"
        );
        assert!(shown.starts_with(&gave_up), "{shown}");
        assert_eq!(world.emulator.requests(), sent);
    }
}

#[test]
fn exported_token_works_only_in_a_session_of_the_same_account() {
    let mut world = world(CredentialKind::ServiceAccount);
    let at = world.moment();
    assert!(world.session.export_token(at).is_none());
    world.list(&world.request()).unwrap();
    let exported = world.session.export_token(at).unwrap();
    assert_eq!(format!("{exported:?}"), "[redacted]");

    let credentials =
        || CredentialKind::ServiceAccount.credentials(&Emulator::new(Config::default()));
    let mut next = Session::new(BaseUrl::new(BASE).unwrap(), credentials());
    next.restore_token(&exported, at).unwrap();
    world.session = next;
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // A token request that was in flight and fails does not remove the restored token.
    world.session = Session::new(BaseUrl::new(BASE).unwrap(), credentials());
    let fetch = expect_send(world.start(&world.request()));
    world.session.restore_token(&exported, at).unwrap();
    assert!(world.fail(fetch.pending, FailureKind::Permanent).is_err());
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // It is refused for another base URL or account, after its end, and by a session without a service
    // account. The error does not repeat it.
    let elsewhere = BaseUrl::new("https://elsewhere.example").unwrap();
    let other = Credentials::service_account("mdb_sa_id_other", "x").unwrap();
    let here = || BaseUrl::new(BASE).unwrap();
    let token = exported.expose().lines().nth(4).unwrap();
    world.now += Duration::from_secs(3600);
    let late = world.moment();
    let garbled = exported.expose().replace(token, "a b");
    for (mut session, text, at, rule) in [
        (
            Session::new(elsewhere, credentials()),
            exported.expose(),
            at,
            "another base URL",
        ),
        (
            Session::new(here(), other),
            exported.expose(),
            at,
            "another service account",
        ),
        (
            Session::new(here(), credentials()),
            exported.expose(),
            late,
            "expired",
        ),
        (
            Session::new(here(), credentials()),
            &*garbled,
            at,
            "export_token returned",
        ),
        (
            Session::new(here(), credentials()),
            token,
            at,
            "export_token returned",
        ),
        (
            Session::new(here(), credentials()),
            "",
            at,
            "export_token returned",
        ),
        (
            Session::new(here(), CredentialKind::ApiKey.credentials(&world.emulator)),
            exported.expose(),
            at,
            "service account",
        ),
    ] {
        let error = session
            .restore_token(&text.into(), at)
            .unwrap_err()
            .to_string();
        assert!(error.contains(rule) && !error.contains(token), "{error}");
    }
    assert!(world.session.export_token(late).is_none());
}

#[test]
fn token_of_another_session_can_be_revoked_and_is_redacted() {
    let mut world = world(CredentialKind::ServiceAccount);
    assert!(world.session.access_token().is_none());
    world.list(&world.request()).unwrap();
    let token = world.session.access_token().unwrap();
    let request = world.session.revoke(&token).unwrap();
    assert!(world.session.access_token().is_none());
    let revoked = world.response_to(&request);
    let at = world.moment();
    world.session.revoked(&revoked, at).unwrap();

    let other = atlas_model_keys_core::Secret::new("eyJhunter2.hunter2");
    world.session.revoke(&other).unwrap();
    let detail = format!(r#"{{"detail":"{}"}}"#, other.expose());
    let error = world
        .session
        .revoked(&response(500, &[], &detail), at)
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");

    for kind in [CredentialKind::ApiKey, CredentialKind::Bearer] {
        let mut other = super::world(kind);
        assert!(other.session.access_token().is_none());
        let error = other.session.revoke(&token).unwrap_err().to_string();
        assert!(
            error.contains("service account") && !error.contains(token.expose()),
            "{error}"
        );
    }
}

#[test]
fn revoked_token_is_percent_encoded() {
    let mut world = world(CredentialKind::ServiceAccount);
    // In a form, a plus sign would be a space.
    let token = Secret::new("a+b/c==&d%20");
    let request = world.session.revoke(&token).unwrap();
    assert_eq!(
        request.body().as_bytes(),
        b"token=a%2Bb%2Fc%3D%3D%26d%2520&token_type_hint=access_token"
    );
}

#[test]
fn revoked_token_is_removed() {
    let mut world = world(CredentialKind::ServiceAccount);
    assert!(world.session.revoke_token().is_none());
    world.list(&world.request()).unwrap();
    let request = world.session.revoke_token().unwrap();
    assert!(!format!("{request:?}").contains("token="));
    assert!(
        request
            .body()
            .as_bytes()
            .ends_with(b"&token_type_hint=access_token")
    );
    let revoked = world.response_to(&request);
    let at = world.moment();
    world.session.revoked(&revoked, at).unwrap();
    world.take_log();
    world.list(&world.request()).unwrap();
    assert_eq!(world.take_log()[0], "POST token with Basic -> 200");

    let error = world
        .session
        .revoked(&response(500, &[], ""), at)
        .unwrap_err();
    assert_eq!(error.api_error().unwrap().endpoint, Endpoint::Revocation);
}

#[test]
fn token_that_was_replaced_after_a_401_is_revoked_too() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    let first = world.session.access_token().unwrap();
    // Atlas refuses the token for a project of another organization, without a code.
    let exchange = expect_send(world.start(&world.request()));
    let token_request = expect_send(world.respond(exchange.pending, response(401, &[], "")));
    assert!(token_request.pending.is_for_token());
    let again = expect_send(world.send(token_request));
    assert!(matches!(world.send(again), Ok(Step::Done(_))));
    let second = world.session.access_token().unwrap();
    assert_ne!(first.expose(), second.expose());
    let revoked: Vec<_> = std::iter::from_fn(|| world.session.revoke_token())
        .map(|request| String::from_utf8(request.body().as_bytes().to_vec()).unwrap())
        .collect();
    assert_eq!(revoked.len(), 2);
    for (body, token) in revoked.iter().zip([second, first]) {
        assert!(body.starts_with(&format!("token={}&", token.expose())));
    }

    // A token that comes from another session is not this session's to revoke.
    world.list(&world.request()).unwrap();
    let at = world.moment();
    let exported = world.session.export_token(at).unwrap();
    let mut other = super::world(CredentialKind::ServiceAccount);
    other.now = world.now;
    let at = other.moment();
    other.session.restore_token(&exported, at).unwrap();
    let exchange = expect_send(other.start(&other.request()));
    let token_request = expect_send(other.respond(exchange.pending, response(401, &[], "")));
    let again = expect_send(other.send(token_request));
    assert!(matches!(other.send(again), Ok(Step::Done(_))));
    let tokens = std::iter::from_fn(|| other.session.revoke_token());
    assert_eq!(tokens.count(), 1);
}
