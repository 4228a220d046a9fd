//! The flows of a session against the emulator: token requests, digest, retries, rate limits, secrets.

mod dialogue;

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, Endpoint, Error, FailureKind, Limits, Refused, Reply, RetryPolicy,
    Session, Step,
};
use atlas_model_keys_emulator::{Config, Credential, Emulator, Route, error_answer};
use dialogue::{BASE, CREDENTIAL_KINDS, CredentialKind, World, expect_send, expect_wait};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

fn world(kind: CredentialKind) -> World {
    World::new(Config::default(), kind)
}

fn response(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &str,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response
            .headers_mut()
            .append(*name, HeaderValue::from_static(value));
    }
    response
}

fn refused(result: Result<Reply<Vec<u8>>, Error>) -> (Refused, Option<u16>) {
    match result {
        Err(Error::Authentication { refused, answer }) => (refused, Some(answer.status.as_u16())),
        other => panic!("expected an authentication error, got {other:?}"),
    }
}

// Service account

#[test]
fn token_is_fetched_once_and_reused() {
    let mut world = world(CredentialKind::ServiceAccount);
    for _ in 0..3 {
        world.list(&world.request()).unwrap();
    }
    assert_eq!(
        world.take_log(),
        [
            "POST token with Basic -> 200",
            "GET aiModelApiKeys with Bearer -> 200",
            "GET aiModelApiKeys with Bearer -> 200",
            "GET aiModelApiKeys with Bearer -> 200",
        ]
    );
}

#[test]
fn token_request_is_as_documented() {
    let mut world = world(CredentialKind::ServiceAccount);
    let exchange = expect_send(world.start(&world.request()));
    let request = &exchange.request;
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), &*format!("{BASE}/api/oauth/token"));
    assert_eq!(request.headers()["accept"], "application/json");
    assert_eq!(
        request.headers()["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(request.body().as_bytes(), b"grant_type=client_credentials");
    // The underscores of the pair are not percent-encoded.
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_2").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let exchange = expect_send(world.start(&world.request()));
    assert_eq!(
        exchange.request.headers()["authorization"],
        "Basic bWRiX3NhX2lkXzE6bWRiX3NhX3NrXzI="
    );
}

#[test]
fn a_hundred_exchanges_fetch_one_token() {
    let mut world = world(CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let mut waiters: Vec<_> = (0..99)
        .map(|_| expect_wait(world.start(&world.request())))
        .collect();
    assert!(waiters.iter().all(atlas_model_keys_core::Wait::on_change));
    // An exchange that is woken too early waits again.
    let first = expect_wait(world.wake(waiters.remove(0)));
    waiters.push(first);

    let next = world.exchange(fetcher);
    world.finish(next.unwrap()).unwrap();
    for wait in waiters {
        let step = world.wake(wait).unwrap();
        world.finish(step).unwrap();
    }
    assert_eq!(world.emulator.token_requests(), 1);
    assert_eq!(world.emulator.requests(), 101);
}

#[test]
fn dropped_token_request_lets_another_exchange_fetch() {
    let mut world = world(CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let waiter = expect_wait(world.start(&world.request()));
    drop(fetcher);
    let step = world.wake(waiter).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // While the token request waits for its retry, no other exchange fetches.
    let mut world = World::new(Config::default(), CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let fetcher = expect_wait(world.fail(fetcher.pending, FailureKind::NotSent));
    let waiter = expect_wait(world.start(&world.request()));
    let waiter = expect_wait(world.wake(waiter));
    drop(fetcher);
    assert_eq!(expect_send(world.wake(waiter)).request.method(), "POST");
}

#[test]
fn abandoned_token_request_delays_others_for_at_most_90_seconds() {
    let mut world = world(CredentialKind::ServiceAccount);
    let begun = world.now;
    let kept = expect_send(world.start(&world.request()));
    let mut step = world.start(&world.request());
    let next = loop {
        match step.unwrap() {
            Step::Wait(wait) => step = world.resume(wait),
            Step::Send(exchange) => break exchange,
            Step::Done(reply) => panic!("{reply:?}"),
        }
    };
    assert_eq!(next.request.method(), "POST");
    assert!(world.now - begun <= Duration::from_secs(90));
    // A late failure of the first token request does not fail those who wait for the second.
    let waiter = expect_wait(world.start(&world.request()));
    assert!(world.fail(kept.pending, FailureKind::Permanent).is_err());
    let waiter = expect_wait(world.wake(waiter));
    let first = expect_send(world.exchange(next));
    assert!(matches!(world.exchange(first), Ok(Step::Done(_))));
    let step = world.wake(waiter).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);
}

#[test]
fn late_token_retry_uses_the_token_of_another_exchange() {
    let two_minutes = Duration::from_secs(120);
    for is_answered in [false, true] {
        let mut world = world(CredentialKind::ServiceAccount);
        let late = expect_send(world.start(&world.request()));
        let late = expect_wait(world.fail(late.pending, FailureKind::NotSent));
        world.now += two_minutes;
        let next = expect_send(world.start(&world.request()));
        assert_eq!(next.request.method(), "POST");
        let step = if is_answered {
            let first = expect_send(world.exchange(next));
            assert!(matches!(world.exchange(first), Ok(Step::Done(_))));
            world.resume(late)
        } else {
            // It waits for the other token request.
            let late = expect_wait(world.resume(late));
            assert!(late.on_change());
            let _first = expect_send(world.exchange(next));
            world.wake(late)
        };
        assert_eq!(expect_send(step).request.method(), "GET");
        assert_eq!(world.emulator.token_requests(), 1);
    }
}

#[test]
fn token_request_that_is_still_retried_keeps_others_waiting() {
    let mut world = world(CredentialKind::ServiceAccount);
    let mut fetcher = expect_send(world.start(&world.request()));
    let mut waiter = expect_wait(world.start(&world.request()));
    // Three waits of 50 s each, with a request after each.
    for _ in 0..3 {
        let wait = response(503, &[("retry-after", "50")], "");
        let wait = expect_wait(world.respond(fetcher.pending, wait));
        waiter = expect_wait(world.wake(waiter));
        fetcher = expect_send(world.resume(wait));
        waiter = expect_wait(world.wake(waiter));
    }
    let fetcher = expect_send(world.exchange(fetcher));
    assert!(matches!(world.exchange(fetcher), Ok(Step::Done(_))));
    let step = world.wake(waiter).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);
}

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
    let fetcher = expect_send(world.exchange(fetcher));
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
fn failed_token_request_fails_the_exchanges_that_wait_for_it() {
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::service_account("mdb_sa_id_x", "mdb_sa_sk_wrong").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let fetcher = expect_send(world.start(&world.request()));
    let waiters: Vec<_> = (0..9)
        .map(|_| expect_wait(world.start(&world.request())))
        .collect();
    let mut errors = vec![world.exchange(fetcher).unwrap_err()];
    errors.extend(waiters.into_iter().map(|f| world.wake(f).unwrap_err()));
    assert_eq!(world.emulator.requests(), 1);
    for error in errors {
        assert_eq!(error.error_code(), Some("invalid_client"));
        assert_eq!(error.api_error().unwrap().endpoint, Endpoint::Token);
        assert_eq!(
            error.to_string(),
            "Atlas refused the service account: 401 Unauthorized (invalid_client): \
             Invalid credentials provided."
        );
    }
    // A later exchange tries again.
    assert_eq!(
        expect_send(world.start(&world.request())).request.method(),
        "POST"
    );
}

#[test]
fn token_is_renewed_after_a_401_once_per_exchange_and_minute() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    world.emulator.revoke_tokens();
    world.take_log();
    world.list(&world.request()).unwrap();
    assert_eq!(
        world.take_log(),
        [
            "GET aiModelApiKeys with Bearer -> 401",
            "POST token with Basic -> 200",
            "GET aiModelApiKeys with Bearer -> 200",
        ]
    );

    // A second 401 within the minute is final.
    world.emulator.revoke_tokens();
    world.now += Duration::from_secs(59);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.emulator.token_requests(), 2);

    world.now += Duration::from_secs(1);
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);

    // A 401 for the renewed token is final.
    world.now += Duration::from_secs(60);
    let unauthorized = error_answer(StatusCode::UNAUTHORIZED);
    world
        .emulator
        .answer_next(Route::ListGroupKeys, unauthorized.clone());
    world
        .emulator
        .answer_next(Route::ListGroupKeys, unauthorized);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.emulator.token_requests(), 4);
}

#[test]
fn late_401_does_not_remove_a_newer_token() {
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    // Two requests are in flight with the old token.
    let early = expect_send(world.start(&world.request()));
    let late = expect_send(world.start(&world.request()));
    world.emulator.revoke_tokens();
    let refused_early = world.deliver(&early.request);
    let refused_late = world.deliver(&late.request);
    let step = world.respond(early.pending, refused_early).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 2);
    let step = world.respond(late.pending, refused_late).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 2);
}

#[test]
fn missing_role_does_not_renew_the_token() {
    for kind in CREDENTIAL_KINDS {
        let mut world = world(kind);
        let group = world.emulator.first_group();
        for credential in [
            Credential::ApiKey,
            Credential::ServiceAccount,
            Credential::AccessToken,
        ] {
            world.emulator.set_role(credential, group, false);
        }
        let result = world.list(&world.request());
        assert_eq!(
            refused(result),
            (Refused::NotAllowed, Some(401)),
            "{kind:?}"
        );
        assert!(world.emulator.token_requests() <= 1, "{kind:?}");
    }
}

#[test]
fn lost_token_request_is_retried_once_and_unsent_one_up_to_the_limit() {
    let mut world = world(CredentialKind::ServiceAccount);
    let exchange = expect_send(world.start(&world.request()));
    let wait = expect_wait(world.fail(exchange.pending, FailureKind::Lost));
    let exchange = expect_send(world.resume(wait));
    let error = world.fail(exchange.pending, FailureKind::Lost).unwrap_err();
    let Error::Transport { kind, attempts, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*kind, *attempts), (FailureKind::Lost, 2));

    let mut step = world.start(&world.request());
    for attempt in 1..5 {
        let exchange = expect_send(step);
        let wait = expect_wait(world.fail(exchange.pending, FailureKind::NotSent));
        assert!(wait.delay() <= Duration::from_secs(1 << (attempt - 1)));
        step = world.resume(wait);
    }
    let exchange = expect_send(step);
    assert_eq!(exchange.request.method(), "POST");
    assert!(world.fail(exchange.pending, FailureKind::NotSent).is_err());
}

#[test]
fn failures_are_counted_per_request_and_exchange() {
    // Four failures of the listing do not count as failures of the token endpoint.
    let mut world = world(CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    let mut step = world.start(&world.request());
    for _ in 0..4 {
        let exchange = expect_send(step);
        let wait = expect_wait(world.respond(exchange.pending, response(500, &[], "")));
        step = world.resume(wait);
    }
    let exchange = expect_send(step);
    let fetcher = expect_send(world.respond(exchange.pending, response(401, &[], "")));
    assert_eq!(fetcher.request.method(), "POST");
    let waiter = expect_wait(world.start(&world.request()));
    let fetcher = expect_wait(world.respond(fetcher.pending, response(503, &[], "")));
    // When an exchange gives up because of its own deadline, the next one fetches.
    let error = fetcher.give_up();
    assert!(
        matches!(error, Error::GaveUp { attempts: 1, .. }),
        "{error:?}"
    );
    assert_eq!(expect_send(world.wake(waiter)).request.method(), "POST");
}

#[test]
fn exchange_fails_only_with_the_token_request_that_it_waited_for() {
    let mut world = world(CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let waiter = expect_wait(world.start(&world.request()));
    let first = expect_send(world.exchange(fetcher));
    let second = expect_send(world.wake(waiter));
    let second =
        expect_wait(world.respond(second.pending, response(503, &[("retry-after", "60")], "")));
    // In the meantime, the first exchange's token is refused, and the next token request fails.
    let next = expect_send(world.respond(first.pending, response(401, &[], "")));
    assert!(world.fail(next.pending, FailureKind::Permanent).is_err());
    assert_eq!(expect_send(world.resume(second)).request.method(), "POST");
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
        .answer_next(Route::Token, response(400, &[], ""));
    for exchange in exchanges {
        let step = world.exchange(exchange);
        assert!(step.and_then(|step| world.finish(step)).is_err());
    }
    assert_eq!(world.emulator.token_requests(), 2);
}

#[test]
fn expired_token_is_renewed_even_within_a_minute() {
    let config = Config {
        token_ttl: Duration::from_secs(40),
        ..Config::default()
    };
    let mut world = World::new(config, CredentialKind::ServiceAccount);
    world.list(&world.request()).unwrap();
    world.emulator.revoke_tokens();
    world.list(&world.request()).unwrap();
    world.now += Duration::from_secs(29);
    let late = expect_send(world.start(&world.request()));
    world.now += Duration::from_secs(12);
    let step = world.exchange(late).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);
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

#[test]
fn wait_for_a_token_times_out_only_while_the_token_is_missing() {
    let mut world = world(CredentialKind::ServiceAccount);
    let mut limits = Limits::default();
    limits.retry.total_wait = Duration::ZERO;
    world.session = world.session.with_limits(limits);
    let fetcher = expect_send(world.start(&world.request()));
    let early = expect_wait(world.start(&world.request()));
    let late = expect_wait(world.start(&world.request()));
    world.now += Duration::from_millis(1);
    let error = world.wake(late).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("timed out waiting for another request")
    );
    let _ = expect_send(world.exchange(fetcher));
    let _ = expect_send(world.wake(early));

    // The wait also times out if the clock stands still.
    let mut world = World::new(Config::default(), CredentialKind::ServiceAccount);
    let _fetcher = expect_send(world.start(&world.request()));
    let mut step = world.start(&world.request());
    let mut woken = 0;
    while let Ok(Step::Wait(wait)) = step {
        woken += 1;
        assert!(woken < 1_000_000);
        step = world.wake(wait);
    }
    assert!(step.is_err());
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
fn token_endpoint_errors_are_retried_or_final_by_status() {
    let mut world = world(CredentialKind::ServiceAccount);
    let token = Route::Token;
    let busy = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]);
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        world.emulator.fail_next(1, token, status, &busy);
    }
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);

    // Another server error is retried once: a token may have been issued.
    for (status, sent) in [(500, 2), (502, 2), (600, 2), (503, 5)] {
        let mut world = World::new(Config::default(), CredentialKind::ServiceAccount);
        for _ in 0..5 {
            world.emulator.answer_next(token, response(status, &[], ""));
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

    // No other response is retried, and each has its own error.
    for (response, shown) in [
        (
            response(
                403,
                &[],
                r#"{"error":"access_denied","error_description":"100 tokens"}"#,
            ),
            "the request for an access token was answered with 403 Forbidden (access_denied): 100 tokens",
        ),
        (
            response(302, &[("location", "https://evil.example/")], ""),
            "the server answered with a redirect, which is never followed: 302 Found",
        ),
        (
            response(200, &[], "<html>"),
            "the response is not an access token: it is not valid JSON",
        ),
    ] {
        let mut world = World::new(Config::default(), CredentialKind::ServiceAccount);
        world.emulator.answer_next(token, response);
        let error = world.list(&world.request()).unwrap_err();
        assert_eq!(error.to_string(), shown);
        assert_eq!(world.emulator.requests(), 1);
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
    let revoked = world.deliver(&request);
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

// Bearer token

#[test]
fn bearer_token_is_never_renewed() {
    let mut world = world(CredentialKind::Bearer);
    world.emulator.revoke_tokens();
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.take_log(), ["GET aiModelApiKeys with Bearer -> 401"]);
}

// Digest

#[test]
fn nonce_is_reused_for_later_exchanges() {
    let mut world = world(CredentialKind::ApiKey);
    for _ in 0..3 {
        world.list(&world.request()).unwrap();
    }
    assert_eq!(
        world.take_log(),
        [
            "GET aiModelApiKeys with nothing -> 401",
            "GET aiModelApiKeys with Digest -> 200",
            "GET aiModelApiKeys with Digest -> 200",
            "GET aiModelApiKeys with Digest -> 200",
        ]
    );
}

#[test]
fn parallel_exchanges_never_share_a_nonce() {
    let mut world = world(CredentialKind::ApiKey);
    let mut exchanges: Vec<_> = (0..5)
        .map(|_| expect_send(world.start(&world.request())))
        .collect();
    for _ in 0..2 {
        // The responses arrive in another order than the requests were sent.
        exchanges.reverse();
        let mut next = Vec::new();
        for exchange in exchanges {
            match world.exchange(exchange).unwrap() {
                Step::Send(exchange) => next.push(exchange),
                Step::Done(_) => next.push(expect_send(world.start(&world.request()))),
                Step::Wait(wait) => panic!("{wait:?}"),
            }
        }
        exchanges = next;
    }
    // There were five challenges; from now on every request is signed and accepted.
    for exchange in exchanges {
        assert!(matches!(world.exchange(exchange), Ok(Step::Done(_))));
    }
    let log = world.take_log();
    assert_eq!(
        log.iter().filter(|l| l.ends_with("401")).count(),
        5,
        "{log:#?}"
    );
    assert_eq!(log.len(), 15);
}

#[test]
fn expired_nonce_costs_one_round_trip() {
    let mut world = world(CredentialKind::ApiKey);
    world.list(&world.request()).unwrap();
    world.emulator.expire_nonces();
    world.take_log();
    world.list(&world.request()).unwrap();
    assert_eq!(
        world.take_log(),
        [
            "GET aiModelApiKeys with Digest -> 401",
            "GET aiModelApiKeys with Digest -> 200",
        ]
    );
}

#[test]
fn refused_api_key_is_final() {
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::api_key("abcdefgh", "wrong").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::ApiKey, Some(401)));
    assert_eq!(world.emulator.requests(), 2);
}

#[test]
fn server_that_calls_every_nonce_stale_is_an_error() {
    let mut world = world(CredentialKind::ApiKey);
    let stale = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n", qop="auth", stale=true"#,
    )];
    for _ in 0..20 {
        let response = response(401, &stale, "");
        world.emulator.answer_next(Route::ListGroupKeys, response);
    }
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Nonce, Some(401)));
    assert_eq!(world.emulator.requests(), 4);
}

#[test]
fn unauthorized_without_a_usable_challenge_is_an_error() {
    for challenge in [
        "Basic realm=\"x\"",
        "Digest realm=\"r\", nonce=\"n\"",
        "Bearer",
    ] {
        let mut world = world(CredentialKind::ApiKey);
        let mut response = response(401, &[], "");
        response
            .headers_mut()
            .insert("www-authenticate", challenge.parse().unwrap());
        world.emulator.answer_next(Route::ListGroupKeys, response);
        let result = world.list(&world.request());
        assert_eq!(refused(result), (Refused::Challenge, Some(401)));
        assert_eq!(world.emulator.requests(), 1);
    }
}

#[test]
fn nonce_is_kept_after_a_retry_and_an_error_response() {
    let mut world = world(CredentialKind::ApiKey);
    world.list(&world.request()).unwrap();
    let busy = error_answer(StatusCode::SERVICE_UNAVAILABLE);
    let missing = error_answer(StatusCode::NOT_FOUND);
    let route = Route::ListGroupKeys;
    world.emulator.answer_next_authenticated(route, busy);
    world.emulator.answer_next_authenticated(route, missing);
    assert!(world.list(&world.request()).is_err());
    world.list(&world.request()).unwrap();
    let log = world.take_log();
    assert_eq!(
        log.iter().filter(|l| l.ends_with("401")).count(),
        1,
        "{log:#?}"
    );
}

#[test]
fn accepted_nonce_may_be_refused_for_the_next_request() {
    // The server accepts each nonce once, and has no preview version.
    let mut world = world(CredentialKind::ApiKey);
    let route = Route::ListGroupKeys;
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n2", qop="auth""#,
    )];
    let first = expect_send(world.start(&world.request()));
    let signed = expect_send(world.exchange(first));
    let moved = expect_send(world.respond(signed.pending, response(406, &[], "")));
    assert_eq!(
        world.session.version(),
        atlas_model_keys_core::ApiVersion::V2025_03_12
    );
    let again = expect_send(world.respond(moved.pending, response(401, &challenge, "")));
    assert!(
        again.request.headers()["authorization"]
            .to_str()
            .unwrap()
            .contains("nonce=\"n2\"")
    );
    drop(again);
    // A nonce may also be refused after a retry.
    world
        .emulator
        .answer_next_authenticated(route, error_answer(StatusCode::BAD_GATEWAY));
    let first = expect_send(world.start(&world.request()));
    let signed = expect_send(world.exchange(first));
    let wait = expect_wait(world.exchange(signed));
    let retried = expect_send(world.resume(wait));
    let _ = expect_send(world.respond(retried.pending, response(401, &challenge, "")));
}

#[test]
fn token_is_renewed_after_a_day_at_the_latest() {
    let mut world = world(CredentialKind::ServiceAccount);
    let token = expect_send(world.start(&world.request()));
    let token_body = r#"{"access_token":"t","expires_in":18446744073709551615}"#;
    drop(expect_send(
        world.respond(token.pending, response(200, &[], token_body)),
    ));
    for (hours, method) in [(23, "GET"), (1, "POST")] {
        world.now += Duration::from_secs(hours * 60 * 60);
        let next = expect_send(world.start(&world.request()));
        assert_eq!(next.request.method(), method);
    }
}

#[test]
fn count_of_a_nonce_that_is_issued_again_continues() {
    let mut world = world(CredentialKind::ApiKey);
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="same", qop="auth""#,
    )];
    let exchanges: Vec<_> = (0..3)
        .map(|_| expect_send(world.start(&world.request())))
        .collect();
    let mut counts: Vec<String> = Vec::new();
    for exchange in exchanges {
        let signed = expect_send(world.respond(exchange.pending, response(401, &challenge, "")));
        let header = signed.request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        counts.extend(
            header
                .split(", ")
                .filter(|p| p.starts_with("nc="))
                .map(str::to_owned),
        );
    }
    assert_eq!(counts, ["nc=00000001", "nc=00000002", "nc=00000003"]);
}

// Retries

#[test]
fn temporary_errors_are_retried_and_others_are_final() {
    for status in [429, 500, 502, 503, 504, 599] {
        let mut world = world(CredentialKind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let route = Route::ListGroupKeys;
        world.emulator.fail_next(2, route, code, &HeaderMap::new());
        world.list(&world.request()).unwrap();
        assert_eq!(world.emulator.requests(), 3, "{status}");
    }
    for status in [301, 302, 304, 307, 400, 403, 404, 405, 407, 408, 451] {
        let mut world = world(CredentialKind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let route = Route::ListGroupKeys;
        world.emulator.fail_next(1, route, code, &HeaderMap::new());
        let error = world.list(&world.request()).unwrap_err();
        assert!(matches!(error, Error::Api(_)), "{status}: {error}");
        assert_eq!(error.status(), Some(code));
        assert!(!error.is_retryable() && error.retry_after().is_none());
        assert_eq!(world.emulator.requests(), 1, "{status}");
    }
}

#[test]
fn error_after_the_last_attempt_tells_their_number() {
    for (status, expected) in [
        (429, "rate limited after 5 attempts: 429 Too Many Requests"),
        (500, "gave up after 5 attempts: 500 Internal Server Error"),
    ] {
        let mut world = world(CredentialKind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let route = Route::ListGroupKeys;
        world.emulator.fail_next(9, route, code, &HeaderMap::new());
        let error = world.list(&world.request()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(error.is_retryable() && error.retry_after().is_some());
        assert_eq!(world.emulator.requests(), 5);
        let waits = world
            .take_log()
            .iter()
            .filter(|l| l.starts_with("wait"))
            .count();
        assert!(waits >= 4);
    }
    let mut world = world(CredentialKind::Bearer);
    let mut step = world.start(&world.request());
    for _ in 0..4 {
        let exchange = expect_send(step);
        let wait = expect_wait(world.fail(exchange.pending, FailureKind::Lost));
        step = world.resume(wait);
    }
    let exchange = expect_send(step);
    let error = world.fail(exchange.pending, FailureKind::Lost).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request was sent, but no complete response came back (after 5 attempts)"
    );
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "cable pulled"
    );
    assert!(error.is_retryable());
}

#[test]
fn permanent_failure_is_not_retried() {
    let mut world = world(CredentialKind::Bearer);
    let exchange = expect_send(world.start(&world.request()));
    let error = world
        .fail(exchange.pending, FailureKind::Permanent)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request failed permanently (after 1 attempt)"
    );
    assert!(!error.is_retryable());
}

#[test]
fn wait_is_at_least_the_retry_after() {
    let mut world = world(CredentialKind::Bearer);
    let date = world.now + Duration::from_secs(20);
    assert_eq!(date.as_secs(), 1_790_000_020);
    for (value, least) in [("0", 0), ("17", 17), ("Mon, 21 Sep 2026 14:13:40 GMT", 20)] {
        let exchange = expect_send(world.start(&world.request()));
        let response = response(503, &[("retry-after", value)], "");
        let wait = expect_wait(world.respond(exchange.pending, response));
        let least = Duration::from_secs(least);
        assert!(wait.delay() >= least, "{value}: {wait:?}");
        assert!(
            wait.delay() <= least + Duration::from_secs(1),
            "{value}: {wait:?}"
        );
    }
}

#[test]
fn retry_after_beyond_the_limit_is_an_error_with_that_time() {
    for status in [429, 503] {
        let mut world = world(CredentialKind::Bearer);
        let exchange = expect_send(world.start(&world.request()));
        let response = response(status, &[("retry-after", "91")], "");
        let error = world.respond(exchange.pending, response).unwrap_err();
        let wanted = error.retry_after().unwrap();
        assert!((91..=92).contains(&wanted.as_secs()), "{error}");
        assert!(error.is_retryable());
    }
    // There is no overflow, and the pause ends after five minutes.
    for value in [
        "99999999999999999999",
        "18446744073709551615",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        for kind in [CredentialKind::Bearer, CredentialKind::ServiceAccount] {
            let mut world = world(kind);
            let exchange = expect_send(world.start(&world.request()));
            let response = response(429, &[("retry-after", value)], "");
            let error = world.respond(exchange.pending, response).unwrap_err();
            assert!(matches!(error, Error::RateLimited { .. }), "{error}");
            world.now += Duration::from_secs(300);
            let _ = expect_send(world.start(&world.request()));
        }
    }
    // A wait of exactly the limit is allowed, with or without jitter, for the refused exchange and for others.
    for asked in ["90", "89"] {
        let mut world = world(CredentialKind::Bearer);
        let exchange = expect_send(world.start(&world.request()));
        let response = response(429, &[("retry-after", asked)], "");
        let refused = expect_wait(world.respond(exchange.pending, response));
        let paused = expect_wait(world.start(&world.request()));
        for wait in [refused, paused] {
            assert!(wait.delay() >= Duration::from_secs(89), "{wait:?}");
            assert!(wait.delay() <= Duration::from_secs(90), "{wait:?}");
        }
    }
}

#[test]
fn sum_of_all_waits_is_bounded() {
    let mut limits = Limits::default();
    limits.retry.attempts = u32::MAX;
    let mut world = world(CredentialKind::Bearer);
    world.session = world.session.with_limits(limits);
    let start = world.now;
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("50"))]);
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    world
        .emulator
        .fail_next(100, Route::ListGroupKeys, busy, &wait);
    let error = world.list(&world.request()).unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert!(world.now - start <= Duration::from_secs(180));
    assert!(world.emulator.requests() >= 3);
}

#[test]
fn rate_limit_pauses_every_exchange_of_the_group_and_no_other() {
    let mut world = world(CredentialKind::Bearer);
    let groups: Vec<_> = world.emulator.groups().collect();
    let first = expect_send(world.start(&world.request()));
    let response = response(
        429,
        &[("retry-after", "30")],
        r#"{"errorCode":"RATE_LIMITED"}"#,
    );
    let refused = expect_wait(world.respond(first.pending, response));

    let paused = expect_wait(world.start(&world.request()));
    assert!(paused.delay() >= refused.delay(), "{paused:?}");
    for wait in [&refused, &paused] {
        assert_eq!(
            wait.api_error().unwrap().error_code.as_deref(),
            Some("RATE_LIMITED")
        );
    }
    let other = atlas_model_keys_core::ListRequest::new(groups[1]);
    let _ = expect_send(world.start(&other));

    // A paused exchange that gives up fails with the response that caused the pause.
    let hasty = expect_wait(world.start(&world.request()));
    let error = hasty.give_up();
    assert_eq!(error.error_code(), Some("RATE_LIMITED"));
    assert!(
        error
            .to_string()
            .starts_with("rate limited because of other requests: 429"),
        "{error}"
    );

    let step = world.resume(refused);
    let _ = expect_send(step);
    let step = world.resume(paused);
    let _ = expect_send(step);
}

#[test]
fn remaining_0_allows_one_request_at_a_time_until_it_rises() {
    for kind in CREDENTIAL_KINDS {
        let mut world = world(kind);
        world.list(&world.request()).unwrap();
        let left = |n| response(200, &[("ratelimit-remaining", n)], r#"{"results":[]}"#);
        let exchange = expect_send(world.start(&world.request()));
        assert!(matches!(
            world.respond(exchange.pending, left("0")),
            Ok(Step::Done(_))
        ));

        let first = expect_send(world.start(&world.request()));
        let second = expect_wait(world.start(&world.request()));
        assert!(second.on_change());
        let other =
            atlas_model_keys_core::ListRequest::new(world.emulator.groups().nth(1).unwrap());
        let _ = expect_send(world.start(&other));
        // A response without the header changes nothing.
        let silent = response(200, &[], r#"{"results":[]}"#);
        assert!(matches!(
            world.respond(first.pending, silent),
            Ok(Step::Done(_))
        ));
        let second = expect_send(world.wake(second));
        let third = expect_wait(world.start(&world.request()));
        // A dropped exchange and one that waits for its retry let the next one send.
        drop(second);
        let third = expect_send(world.wake(third));
        let retry = expect_wait(world.fail(third.pending, FailureKind::NotSent));
        let fourth = expect_send(world.start(&world.request()));
        let retry = expect_wait(world.resume(retry));

        assert!(matches!(
            world.respond(fourth.pending, left("7")),
            Ok(Step::Done(_))
        ));
        let _ = expect_send(world.wake(retry));
        let _ = expect_send(world.start(&world.request()));
        let _ = expect_send(world.start(&world.request()));
    }

    // The limit ends after a minute, even if no number follows.
    let mut world = world(CredentialKind::Bearer);
    let exchange = expect_send(world.start(&world.request()));
    let none = response(404, &[("ratelimit-remaining", "0")], "");
    assert!(world.respond(exchange.pending, none).is_err());
    let first = expect_send(world.start(&world.request()));
    let second = expect_wait(world.start(&world.request()));
    world.now += Duration::from_secs(60);
    let _ = expect_send(world.wake(second));
    drop(first);
}

#[test]
fn first_failure_is_final_with_the_policy_never() {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    for kind in CREDENTIAL_KINDS {
        let mut world = world(kind);
        world.session = world.session.with_limits(limits.clone());
        let exchange = expect_send(world.start(&world.request()));
        let error = world
            .respond(exchange.pending, response(503, &[], ""))
            .unwrap_err();
        assert!(
            matches!(error, Error::GaveUp { attempts: 1, .. }),
            "{error:?}"
        );
    }
}

#[test]
fn policy_decides_which_statuses_are_retried() {
    for (status, retried) in [(429, false), (500, false), (502, true), (404, false)] {
        let mut limits = Limits::default();
        limits.retry.statuses = vec![502..=502];
        let mut world = world(CredentialKind::Bearer);
        world.session = world.session.with_limits(limits);
        let exchange = expect_send(world.start(&world.request()));
        match world.respond(
            exchange.pending,
            response(status, &[("retry-after", "3")], ""),
        ) {
            Ok(Step::Wait(_)) => assert!(retried, "{status}"),
            Err(error) => {
                assert!(!retried, "{status}: {error}");
                assert_eq!(error.is_retryable(), status != 404, "{error:?}");
            }
            Ok(step) => panic!("{step:?}"),
        }
    }
}

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
fn clock_that_is_set_back_ends_the_pause() {
    let mut world = world(CredentialKind::Bearer);
    let exchange = expect_send(world.start(&world.request()));
    let response = response(429, &[("retry-after", "30")], "");
    let wait = expect_wait(world.respond(exchange.pending, response));
    world.now -= Duration::from_secs(1_000_000);
    let _ = expect_send(world.resume(wait));
    let _ = expect_send(world.start(&world.request()));
}

// Envelopes, limits, secrets

#[test]
fn requested_envelope_overrides_the_status() {
    for (body, log) in [
        (r#"{"status":429,"errorCode":"RATE_LIMITED"}"#, "wait"),
        (r#"{"status":401,"content":{"error":401}}"#, "POST token"),
    ] {
        let mut world = world(CredentialKind::ServiceAccount);
        world.list(&world.request()).unwrap();
        world.take_log();
        let route = Route::ListGroupKeys;
        world.emulator.answer_next(route, response(200, &[], body));
        world.list(&world.request().with_envelope(true)).unwrap();
        let second = world.take_log().swap_remove(1);
        assert!(second.starts_with(log), "{body}: {second}");
    }

    // An envelope that was not requested counts only when the body is parsed.
    let mut world = world(CredentialKind::Bearer);
    let body = r#"{"status":404,"errorCode":"GROUP_NOT_FOUND"}"#;
    let route = Route::ListGroupKeys;
    world.emulator.answer_next(route, response(200, &[], body));
    world.emulator.answer_next(route, response(200, &[], body));
    let reply = world.list(&world.request()).unwrap();
    assert_eq!(reply.into_page().unwrap_err().status().unwrap(), 404);
    let error = world
        .list(&world.request().with_envelope(true))
        .unwrap_err();
    assert_eq!(error.error_code(), Some("GROUP_NOT_FOUND"));
}

#[test]
fn response_beyond_a_limit_is_an_error() {
    let limits = || {
        let mut limits = Limits::default();
        limits.body_bytes = 100;
        limits.head_bytes = 50;
        limits.headers = 2;
        limits
    };
    let long: &'static str = "x".repeat(50).leak();
    let cases = [
        (response(200, &[], &" ".repeat(101)), "bytes of body"),
        (
            response(200, &[("content-length", "101")], ""),
            "bytes of body",
        ),
        (
            response(200, &[("a", "1"), ("b", "2"), ("b", "3")], ""),
            "header fields",
        ),
        (response(200, &[("a", long)], ""), "bytes of head"),
    ];
    for (response, expected) in cases {
        for kind in [CredentialKind::Bearer, CredentialKind::ServiceAccount] {
            let mut world = world(kind);
            world.session = world.session.with_limits(limits());
            let exchange = expect_send(world.start(&world.request()));
            let error = world
                .respond(exchange.pending, response.clone())
                .unwrap_err();
            assert!(
                matches!(error, Error::Limit { what, .. } if what == expected),
                "{error}"
            );
            assert!(error.to_string().contains(expected));
            // Another exchange can fetch a token.
            assert!(matches!(world.start(&world.request()), Ok(Step::Send(_))));
        }
    }
}

#[test]
fn no_debug_or_error_text_shows_a_secret() {
    for kind in CREDENTIAL_KINDS {
        let mut world = world(kind);
        let secrets = [
            world.emulator.access_token().to_owned(),
            world.emulator.service_account().client_secret.clone(),
            world.emulator.api_key().private_key.clone(),
        ];
        let mut shown = format!("{:?}", kind.credentials(&world.emulator));
        let mut step = world.start(&world.request()).unwrap();
        let mut tokens = Vec::new();
        let reply = loop {
            shown += &format!("{step:?} {:?}", world.session);
            step = match step {
                Step::Done(reply) => break reply,
                Step::Wait(wait) => panic!("{wait:?}"),
                Step::Send(exchange) => {
                    if let Some(value) = exchange.request.headers().get("authorization") {
                        tokens.push(value.to_str().unwrap().to_owned());
                    }
                    world.exchange(exchange).unwrap()
                }
            };
        };
        shown += &format!("{reply:?}");
        shown += &format!("{:?}", reply.into_page().unwrap());

        // The response repeats every secret.
        let echo = format!(
            r#"{{"errorCode":"{0}","detail":"{0} {1} {2}","reason":"{3}","parameters":["{0}"]}}"#,
            secrets[0],
            secrets[1],
            secrets[2],
            tokens
                .last()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .replace('"', ""),
        );
        let route = Route::ListGroupKeys;
        world
            .emulator
            .answer_next_authenticated(route, response(400, &[], &echo));
        let error = world.list(&world.request()).unwrap_err();
        let of_kind = match kind {
            CredentialKind::Bearer => &secrets[0],
            CredentialKind::ServiceAccount => &secrets[1],
            CredentialKind::ApiKey => &secrets[2],
        };
        let error = format!("{error} {error:?}");
        assert!(
            error.contains("[redacted]") && !error.contains(of_kind.as_str()),
            "{error}"
        );
        for secret in &secrets {
            assert!(!shown.contains(secret.as_str()), "{kind:?}: {shown}");
        }
        for token in tokens.iter().filter(|token| !token.starts_with("Digest")) {
            let bare = token.split(' ').nth(1).unwrap();
            assert!(!shown.contains(bare), "{kind:?}: {shown}");
            assert!(!error.contains(bare), "{kind:?}: {error}");
        }
    }
}

#[test]
fn late_errors_of_a_reply_show_no_secret() {
    for kind in [CredentialKind::Bearer, CredentialKind::ServiceAccount] {
        let mut world = world(kind);
        let exchange = expect_send(world.start(&world.request()));
        let (exchange, token) = match kind {
            CredentialKind::ServiceAccount => {
                let token_body = r#"{"access_token":"tok1-hunter2","expires_in":3600}"#;
                (
                    expect_send(world.respond(exchange.pending, response(200, &[], token_body))),
                    "tok1-hunter2".to_owned(),
                )
            }
            _ => (exchange, world.emulator.access_token().to_owned()),
        };
        let echo = format!(r#"{{"errorCode":"X","detail":"bad token {token}"}}"#);
        let late = expect_send(world.start(&world.request()));
        let Ok(Step::Done(reply)) = world.respond(exchange.pending, response(200, &[], &echo))
        else {
            panic!("not done");
        };
        let error = reply.into_page().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(&token) && shown.contains("bad token [redacted]"),
            "{shown}"
        );

        // A response that arrives after the token was replaced does not show it, either.
        if kind == CredentialKind::ServiceAccount {
            let other = expect_send(world.start(&world.request()));
            let fetch = expect_send(world.respond(other.pending, response(401, &[], "")));
            let token_body = r#"{"access_token":"tok2","expires_in":3600}"#;
            let _ = expect_send(world.respond(fetch.pending, response(200, &[], token_body)));
            let error = world
                .respond(late.pending, response(404, &[], &echo))
                .unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
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
