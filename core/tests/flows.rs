//! The flows of a session, as transcripts: sent, received, waited.

mod dialogue;

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, Endpoint, Error, FailureKind, Limits, Refused, Reply, RetryPolicy,
    Session, Step,
};
use atlas_model_keys_emulator::{Config, Credential, Emulator, Operation, error_answer};
use dialogue::{BASE, KINDS, Kind, World, sent, waits};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

fn world(kind: Kind) -> World {
    World::new(Config::default(), kind)
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Response<Vec<u8>> {
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
fn a_token_is_fetched_first_and_then_reused() {
    let mut world = world(Kind::ServiceAccount);
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
fn the_token_request_is_as_documented() {
    let mut world = world(Kind::ServiceAccount);
    let exchange = sent(world.start(&world.request()));
    let request = &exchange.request;
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), &*format!("{BASE}/api/oauth/token"));
    assert_eq!(request.headers()["accept"], "application/json");
    assert_eq!(
        request.headers()["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(request.body().as_bytes(), b"grant_type=client_credentials");
    // The pair as it is: no percent-encoding of its underscores.
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_2").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let exchange = sent(world.start(&world.request()));
    assert_eq!(
        exchange.request.headers()["authorization"],
        "Basic bWRiX3NhX2lkXzE6bWRiX3NhX3NrXzI="
    );
}

#[test]
fn a_hundred_callers_fetch_one_token() {
    let mut world = world(Kind::ServiceAccount);
    let leader = sent(world.start(&world.request()));
    let mut followers: Vec<_> = (0..99)
        .map(|_| waits(world.start(&world.request())))
        .collect();
    assert!(followers.iter().all(atlas_model_keys_core::Wait::on_change));
    // Woken for nothing, they wait on.
    let first = waits(world.wake(followers.remove(0)));
    followers.push(first);

    let next = world.exchange(leader);
    world.finish(next.unwrap()).unwrap();
    for wait in followers {
        let step = world.wake(wait).unwrap();
        world.finish(step).unwrap();
    }
    assert_eq!(world.emulator.token_requests(), 1);
    assert_eq!(world.emulator.requests(), 101);
}

#[test]
fn a_leader_that_is_dropped_frees_the_flight() {
    let mut world = world(Kind::ServiceAccount);
    let leader = sent(world.start(&world.request()));
    let follower = waits(world.start(&world.request()));
    drop(leader);
    let step = world.wake(follower).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // While it waits for its own retry, the flight is not free.
    let mut world = World::new(Config::default(), Kind::ServiceAccount);
    let leader = sent(world.start(&world.request()));
    let leader = waits(world.fail(leader.pending, FailureKind::NotSent));
    let follower = waits(world.start(&world.request()));
    let follower = waits(world.wake(follower));
    drop(leader);
    assert_eq!(sent(world.wake(follower)).request.method(), "POST");
}

#[test]
fn a_token_request_that_is_kept_without_an_answer_holds_others_up_for_90_seconds() {
    let mut world = world(Kind::ServiceAccount);
    let begun = world.now;
    let kept = sent(world.start(&world.request()));
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
    // What the first one ends with after all is no verdict about the second one's fetch.
    let follower = waits(world.start(&world.request()));
    assert!(world.fail(kept.pending, FailureKind::Permanent).is_err());
    let follower = waits(world.wake(follower));
    let first = sent(world.exchange(next));
    assert!(matches!(world.exchange(first), Ok(Step::Done(_))));
    let step = world.wake(follower).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);
}

#[test]
fn one_that_comes_back_late_to_fetch_a_token_uses_that_of_the_one_that_took_over() {
    let minutes = Duration::from_secs(120);
    for is_answered in [false, true] {
        let mut world = world(Kind::ServiceAccount);
        let late = sent(world.start(&world.request()));
        let late = waits(world.fail(late.pending, FailureKind::NotSent));
        world.now += minutes;
        let next = sent(world.start(&world.request()));
        assert_eq!(next.request.method(), "POST");
        let step = if is_answered {
            let first = sent(world.exchange(next));
            assert!(matches!(world.exchange(first), Ok(Step::Done(_))));
            world.resume(late)
        } else {
            // It waits for the other one, as anybody does.
            let late = waits(world.resume(late));
            assert!(late.on_change());
            let _first = sent(world.exchange(next));
            world.wake(late)
        };
        assert_eq!(sent(step).request.method(), "GET");
        assert_eq!(world.emulator.token_requests(), 1);
    }
}

#[test]
fn an_exchange_that_goes_on_fetching_a_token_keeps_the_others_waiting() {
    let mut world = world(Kind::ServiceAccount);
    let mut leader = sent(world.start(&world.request()));
    let mut follower = waits(world.start(&world.request()));
    // Three waits of 50 s each, with a request after each.
    for _ in 0..3 {
        let wait = answer(503, &[("retry-after", "50")], "");
        let wait = waits(world.respond(leader.pending, wait));
        follower = waits(world.wake(follower));
        leader = sent(world.resume(wait));
        follower = waits(world.wake(follower));
    }
    let leader = sent(world.exchange(leader));
    assert!(matches!(world.exchange(leader), Ok(Step::Done(_))));
    let step = world.wake(follower).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);
}

#[test]
fn the_change_count_moves_with_every_response_failure_and_dropped_exchange() {
    let mut world = world(Kind::ServiceAccount);
    let mut last = world.session.change_count();
    let mut moved =
        |world: &World| std::mem::replace(&mut last, world.session.change_count()) != last;
    let leader = sent(world.start(&world.request()));
    let follower = waits(world.start(&world.request()));
    assert!(!moved(&world));
    // The token is there, and the exchange goes on.
    let leader = sent(world.exchange(leader));
    assert!(moved(&world));
    let follower = sent(world.wake(follower));
    let wait = waits(world.fail(follower.pending, FailureKind::Lost));
    assert!(moved(&world));
    drop(wait);
    assert!(moved(&world));
    drop(leader);
    assert!(moved(&world));
    assert!(!moved(&world));
}

#[test]
fn a_wait_says_what_made_it_necessary() {
    let mut world = world(Kind::Bearer);
    let exchange = sent(world.start(&world.request()));
    let wait = waits(world.fail(exchange.pending, FailureKind::Lost));
    let (kind, failure) = wait.failure().unwrap();
    assert_eq!(
        (kind, failure.to_string()),
        (FailureKind::Lost, "cable pulled".to_owned())
    );
    assert!(wait.api_error().is_none());
    let exchange = sent(world.resume(wait));
    let wait = waits(world.respond(exchange.pending, answer(503, &[], "")));
    assert!(wait.failure().is_none());
    assert_eq!(
        wait.api_error().unwrap().status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[test]
fn those_who_wait_for_a_token_get_the_error_of_the_one_who_fetched_it() {
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::service_account("mdb_sa_id_x", "mdb_sa_sk_wrong").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let leader = sent(world.start(&world.request()));
    let followers: Vec<_> = (0..9)
        .map(|_| waits(world.start(&world.request())))
        .collect();
    let mut errors = vec![world.exchange(leader).unwrap_err()];
    errors.extend(followers.into_iter().map(|f| world.wake(f).unwrap_err()));
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
    // Somebody who comes later tries for himself.
    assert_eq!(sent(world.start(&world.request())).request.method(), "POST");
}

#[test]
fn a_401_renews_the_token_once_an_exchange_and_once_a_minute() {
    let mut world = world(Kind::ServiceAccount);
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

    // Again, within the minute.
    world.emulator.revoke_tokens();
    world.now += Duration::from_secs(59);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.emulator.token_requests(), 2);

    world.now += Duration::from_secs(1);
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);

    // A fresh token that is refused too is final.
    world.now += Duration::from_secs(60);
    let unauthorized = error_answer(StatusCode::UNAUTHORIZED);
    world
        .emulator
        .answer_next(Operation::ListGroupKeys, unauthorized.clone());
    world
        .emulator
        .answer_next(Operation::ListGroupKeys, unauthorized);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.emulator.token_requests(), 4);
}

#[test]
fn a_late_401_does_not_evict_a_newer_token() {
    let mut world = world(Kind::ServiceAccount);
    world.list(&world.request()).unwrap();
    // Two requests are on their way with the old token.
    let early = sent(world.start(&world.request()));
    let late = sent(world.start(&world.request()));
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
fn no_token_is_renewed_for_those_who_are_not_allowed() {
    for kind in KINDS {
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
fn a_lost_token_request_is_repeated_once_and_an_unsent_one_as_often_as_any() {
    let mut world = world(Kind::ServiceAccount);
    let exchange = sent(world.start(&world.request()));
    let wait = waits(world.fail(exchange.pending, FailureKind::Lost));
    let exchange = sent(world.resume(wait));
    let error = world.fail(exchange.pending, FailureKind::Lost).unwrap_err();
    let Error::Transport { kind, attempts, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*kind, *attempts), (FailureKind::Lost, 2));

    let mut step = world.start(&world.request());
    for attempt in 1..5 {
        let exchange = sent(step);
        let wait = waits(world.fail(exchange.pending, FailureKind::NotSent));
        assert!(wait.delay() <= Duration::from_secs(1 << (attempt - 1)));
        step = world.resume(wait);
    }
    let exchange = sent(step);
    assert_eq!(exchange.request.method(), "POST");
    assert!(world.fail(exchange.pending, FailureKind::NotSent).is_err());
}

#[test]
fn one_exchanges_troubles_are_not_anothers() {
    // Four failures of the listing do not count as failures of the token endpoint.
    let mut world = world(Kind::ServiceAccount);
    world.list(&world.request()).unwrap();
    let mut step = world.start(&world.request());
    for _ in 0..4 {
        let exchange = sent(step);
        let wait = waits(world.respond(exchange.pending, answer(500, &[], "")));
        step = world.resume(wait);
    }
    let exchange = sent(step);
    let leader = sent(world.respond(exchange.pending, answer(401, &[], "")));
    assert_eq!(leader.request.method(), "POST");
    let follower = waits(world.start(&world.request()));
    let leader = waits(world.respond(leader.pending, answer(503, &[], "")));
    // One who gives up, because his time is over, leaves the flight to the next.
    let error = leader.give_up();
    assert!(
        matches!(error, Error::GaveUp { attempts: 1, .. }),
        "{error:?}"
    );
    assert_eq!(sent(world.wake(follower)).request.method(), "POST");
}

#[test]
fn an_exchange_gets_the_error_of_the_flight_that_it_waited_for_and_of_no_other() {
    let mut world = world(Kind::ServiceAccount);
    let leader = sent(world.start(&world.request()));
    let follower = waits(world.start(&world.request()));
    let first = sent(world.exchange(leader));
    let second = sent(world.wake(follower));
    let second = waits(world.respond(second.pending, answer(503, &[("retry-after", "60")], "")));
    // Meanwhile the first one's token is refused, and the next fetch fails.
    let next = sent(world.respond(first.pending, answer(401, &[], "")));
    assert!(world.fail(next.pending, FailureKind::Permanent).is_err());
    assert_eq!(sent(world.resume(second)).request.method(), "POST");
}

#[test]
fn after_a_401_and_a_failed_fetch_nobody_fetches_again_within_the_minute() {
    let mut world = world(Kind::ServiceAccount);
    world.list(&world.request()).unwrap();
    let exchanges: Vec<_> = (0..11)
        .map(|_| sent(world.start(&world.request())))
        .collect();
    world.emulator.revoke_tokens();
    world
        .emulator
        .answer_next(Operation::Token, answer(400, &[], ""));
    for exchange in exchanges {
        let step = world.exchange(exchange);
        assert!(step.and_then(|step| world.finish(step)).is_err());
    }
    assert_eq!(world.emulator.token_requests(), 2);
}

#[test]
fn a_token_that_has_run_out_is_renewed_within_the_minute() {
    let config = Config {
        token_ttl: Duration::from_secs(40),
        ..Config::default()
    };
    let mut world = World::new(config, Kind::ServiceAccount);
    world.list(&world.request()).unwrap();
    world.emulator.revoke_tokens();
    world.list(&world.request()).unwrap();
    world.now += Duration::from_secs(29);
    let late = sent(world.start(&world.request()));
    world.now += Duration::from_secs(12);
    let step = world.exchange(late).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);
}

#[test]
fn a_token_that_lives_for_no_time_is_used_once_and_not_fetched_for_ever() {
    let mut world = world(Kind::ServiceAccount);
    world.now = Duration::MAX;
    let token = sent(world.start(&world.request()));
    let grant = r#"{"access_token":"t","expires_in":1}"#;
    let list = sent(world.respond(token.pending, answer(200, &[], grant)));
    assert_eq!(list.request.method(), "GET");

    // The same where it has to wait for its turn.
    let mut world = World::new(Config::default(), Kind::ServiceAccount);
    let token = sent(world.start(&world.request()));
    let none = [("ratelimit-remaining", "0")];
    let list = sent(world.respond(token.pending, answer(200, &[], grant)));
    assert!(matches!(
        world.respond(list.pending, answer(200, &none, r#"{"results":[]}"#)),
        Ok(Step::Done(_))
    ));
    let slow = sent(world.start(&world.request()));
    world.now += Duration::from_secs(2);
    let token = sent(world.start(&world.request()));
    assert_eq!(token.request.method(), "POST");
    let mut wait = waits(world.respond(token.pending, answer(200, &[], grant)));
    for _ in 0..20 {
        world.now += Duration::from_secs(2);
        wait = waits(world.wake(wait));
    }
    drop(slow);
    assert_eq!(sent(world.wake(wait)).request.method(), "GET");
}

#[test]
fn one_who_waits_for_a_token_is_done_when_it_is_there_however_long_it_took() {
    let mut world = world(Kind::ServiceAccount);
    let mut limits = Limits::default();
    limits.retry.total_wait = Duration::ZERO;
    world.session = world.session.with_limits(limits);
    let leader = sent(world.start(&world.request()));
    let lucky = waits(world.start(&world.request()));
    let unlucky = waits(world.start(&world.request()));
    world.now += Duration::from_millis(1);
    let error = world.wake(unlucky).unwrap_err();
    assert!(
        std::error::Error::source(&error)
            .unwrap()
            .to_string()
            .contains("in vain")
    );
    let _ = sent(world.exchange(leader));
    let _ = sent(world.wake(lucky));

    // A clock that stands still does not make it wait for ever.
    let mut world = World::new(Config::default(), Kind::ServiceAccount);
    let _leader = sent(world.start(&world.request()));
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
fn a_ticket_is_taken_by_the_session_that_issued_it_and_by_no_other() {
    let mut world = world(Kind::ApiKey);
    let exchange = sent(world.start(&world.request()));
    let base = BaseUrl::new("https://elsewhere.example").unwrap();
    world.session = Session::new(base, Credentials::api_key("a", "b").unwrap());
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n", qop="auth""#,
    )];
    let error = world
        .respond(exchange.pending, answer(401, &challenge, ""))
        .unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

#[test]
fn token_answers_of_other_kinds() {
    let mut world = world(Kind::ServiceAccount);
    let token = Operation::Token;
    let busy = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]);
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        world.emulator.fail_next(1, token, status, &busy);
    }
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 3);

    // Another error of the server is repeated once: a token may have been issued.
    for (status, sent) in [(500, 2), (502, 2), (600, 2), (503, 5)] {
        let mut world = World::new(Config::default(), Kind::ServiceAccount);
        for _ in 0..5 {
            world.emulator.answer_next(token, answer(status, &[], ""));
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

    // No other status is repeated, and each is an error of its own.
    for (answer, shown) in [
        (
            answer(
                403,
                &[],
                r#"{"error":"access_denied","error_description":"100 tokens"}"#,
            ),
            "the request for an access token was answered with 403 Forbidden (access_denied): 100 tokens",
        ),
        (
            answer(302, &[("location", "https://evil.example/")], ""),
            "the server answered with a redirect, which is never followed: 302 Found",
        ),
        (
            answer(200, &[], "<html>"),
            "the response is not an access token: it is not valid JSON",
        ),
    ] {
        let mut world = World::new(Config::default(), Kind::ServiceAccount);
        world.emulator.answer_next(token, answer);
        let error = world.list(&world.request()).unwrap_err();
        assert_eq!(error.to_string(), shown);
        assert_eq!(world.emulator.requests(), 1);
    }
}

#[test]
fn an_exported_token_serves_another_session_of_the_same_account() {
    let mut world = world(Kind::ServiceAccount);
    let at = world.moment();
    assert!(world.session.export_token(at).is_none());
    world.list(&world.request()).unwrap();
    let exported = world.session.export_token(at).unwrap();
    assert_eq!(format!("{exported:?}"), "[redacted]");

    let credentials = || Kind::ServiceAccount.of(&Emulator::new(Config::default()));
    let mut next = Session::new(BaseUrl::new(BASE).unwrap(), credentials());
    next.restore_token(&exported, at).unwrap();
    world.session = next;
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // A fetch that was under way and fails does not take it away again.
    world.session = Session::new(BaseUrl::new(BASE).unwrap(), credentials());
    let fetch = sent(world.start(&world.request()));
    world.session.restore_token(&exported, at).unwrap();
    assert!(world.fail(fetch.pending, FailureKind::Permanent).is_err());
    world.list(&world.request()).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);

    // It is refused for another place and another account, when it has expired, and by anything
    // that has no service account; the error does not repeat it.
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
            "has exported",
        ),
        (
            Session::new(here(), credentials()),
            token,
            at,
            "has exported",
        ),
        (Session::new(here(), credentials()), "", at, "has exported"),
        (
            Session::new(here(), Kind::ApiKey.of(&world.emulator)),
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
fn a_revoked_token_is_forgotten() {
    let mut world = world(Kind::ServiceAccount);
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
    let response = world.deliver(&request);
    let at = world.moment();
    world.session.revoked(&response, at).unwrap();
    world.take_log();
    world.list(&world.request()).unwrap();
    assert_eq!(world.take_log()[0], "POST token with Basic -> 200");

    let error = world
        .session
        .revoked(&answer(500, &[], ""), at)
        .unwrap_err();
    assert_eq!(error.api_error().unwrap().endpoint, Endpoint::Revocation);
}

// Bearer token

#[test]
fn a_bearer_token_is_used_as_it_is_and_its_401_is_final() {
    let mut world = world(Kind::Bearer);
    world.emulator.revoke_tokens();
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Token, Some(401)));
    assert_eq!(world.take_log(), ["GET aiModelApiKeys with Bearer -> 401"]);
}

// Digest

#[test]
fn a_nonce_is_fetched_once_and_serves_the_pages_after() {
    let mut world = world(Kind::ApiKey);
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
fn exchanges_in_parallel_never_share_a_nonce() {
    let mut world = world(Kind::ApiKey);
    let mut exchanges: Vec<_> = (0..5)
        .map(|_| sent(world.start(&world.request())))
        .collect();
    for _ in 0..2 {
        // The answers come in another order than the requests were sent in.
        exchanges.reverse();
        let mut next = Vec::new();
        for exchange in exchanges {
            match world.exchange(exchange).unwrap() {
                Step::Send(exchange) => next.push(exchange),
                Step::Done(_) => next.push(sent(world.start(&world.request()))),
                Step::Wait(wait) => panic!("{wait:?}"),
            }
        }
        exchanges = next;
    }
    // Five challenges in all; from then on every request is signed and accepted.
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
fn an_expired_nonce_costs_a_round_trip_and_is_no_error() {
    let mut world = world(Kind::ApiKey);
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
fn a_refused_key_is_final_after_one_answer() {
    let base = BaseUrl::new(BASE).unwrap();
    let credentials = Credentials::api_key("abcdefgh", "wrong").unwrap();
    let session = Session::new(base, credentials);
    let mut world = World::with_session(Emulator::new(Config::default()), session);
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::ApiKey, Some(401)));
    assert_eq!(world.emulator.requests(), 2);
}

#[test]
fn a_server_that_calls_every_nonce_stale_is_given_up() {
    let mut world = world(Kind::ApiKey);
    let stale = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n", qop="auth", stale=true"#,
    )];
    for _ in 0..20 {
        let answer = answer(401, &stale, "");
        world.emulator.answer_next(Operation::ListGroupKeys, answer);
    }
    let result = world.list(&world.request());
    assert_eq!(refused(result), (Refused::Nonce, Some(401)));
    assert_eq!(world.emulator.requests(), 4);
}

#[test]
fn a_401_without_a_challenge_that_can_be_answered_says_so() {
    for challenge in [
        "Basic realm=\"x\"",
        "Digest realm=\"r\", nonce=\"n\"",
        "Bearer",
    ] {
        let mut world = world(Kind::ApiKey);
        let mut answer = answer(401, &[], "");
        answer
            .headers_mut()
            .insert("www-authenticate", challenge.parse().unwrap());
        world.emulator.answer_next(Operation::ListGroupKeys, answer);
        let result = world.list(&world.request());
        assert_eq!(refused(result), (Refused::Challenge, Some(401)));
        assert_eq!(world.emulator.requests(), 1);
    }
}

#[test]
fn a_nonce_survives_a_retry_and_an_answer_that_is_an_error() {
    let mut world = world(Kind::ApiKey);
    world.list(&world.request()).unwrap();
    let busy = error_answer(StatusCode::SERVICE_UNAVAILABLE);
    let missing = error_answer(StatusCode::NOT_FOUND);
    let operation = Operation::ListGroupKeys;
    world.emulator.answer_next_authenticated(operation, busy);
    world.emulator.answer_next_authenticated(operation, missing);
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
fn a_nonce_that_was_accepted_may_be_refused_for_the_next_request() {
    // A server whose nonces serve once, and that has no preview version.
    let mut world = world(Kind::ApiKey);
    let operation = Operation::ListGroupKeys;
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="n2", qop="auth""#,
    )];
    let first = sent(world.start(&world.request()));
    let signed = sent(world.exchange(first));
    let moved = sent(world.respond(signed.pending, answer(406, &[], "")));
    assert_eq!(
        world.session.version(),
        atlas_model_keys_core::ApiVersion::V2025_03_12
    );
    let again = sent(world.respond(moved.pending, answer(401, &challenge, "")));
    assert!(
        again.request.headers()["authorization"]
            .to_str()
            .unwrap()
            .contains("nonce=\"n2\"")
    );
    drop(again);
    // The same after a retry.
    world
        .emulator
        .answer_next_authenticated(operation, error_answer(StatusCode::BAD_GATEWAY));
    let first = sent(world.start(&world.request()));
    let signed = sent(world.exchange(first));
    let wait = waits(world.exchange(signed));
    let retried = sent(world.resume(wait));
    let _ = sent(world.respond(retried.pending, answer(401, &challenge, "")));
}

#[test]
fn no_token_is_believed_to_live_for_longer_than_a_day() {
    let mut world = world(Kind::ServiceAccount);
    let token = sent(world.start(&world.request()));
    let grant = r#"{"access_token":"t","expires_in":18446744073709551615}"#;
    drop(sent(world.respond(token.pending, answer(200, &[], grant))));
    for (hours, method) in [(23, "GET"), (1, "POST")] {
        world.now += Duration::from_secs(hours * 60 * 60);
        let next = sent(world.start(&world.request()));
        assert_eq!(next.request.method(), method);
    }
}

#[test]
fn the_count_of_a_nonce_that_is_issued_twice_goes_on() {
    let mut world = world(Kind::ApiKey);
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="same", qop="auth""#,
    )];
    let exchanges: Vec<_> = (0..3)
        .map(|_| sent(world.start(&world.request())))
        .collect();
    let mut counts: Vec<String> = Vec::new();
    for exchange in exchanges {
        let signed = sent(world.respond(exchange.pending, answer(401, &challenge, "")));
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
fn what_may_pass_is_repeated_and_what_will_not_is_not() {
    for status in [429, 500, 502, 503, 504, 599] {
        let mut world = world(Kind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let operation = Operation::ListGroupKeys;
        world
            .emulator
            .fail_next(2, operation, code, &HeaderMap::new());
        world.list(&world.request()).unwrap();
        assert_eq!(world.emulator.requests(), 3, "{status}");
    }
    for status in [301, 302, 304, 307, 400, 403, 404, 405, 407, 408, 451] {
        let mut world = world(Kind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let operation = Operation::ListGroupKeys;
        world
            .emulator
            .fail_next(1, operation, code, &HeaderMap::new());
        let error = world.list(&world.request()).unwrap_err();
        assert!(matches!(error, Error::Api(_)), "{status}: {error}");
        assert_eq!(error.status(), Some(code));
        assert!(!error.is_retryable() && error.retry_after().is_none());
        assert_eq!(world.emulator.requests(), 1, "{status}");
    }
}

#[test]
fn attempts_end_and_the_error_says_how_many_there_were() {
    for (status, expected) in [
        (429, "rate limited after 5 attempts: 429 Too Many Requests"),
        (500, "gave up after 5 attempts: 500 Internal Server Error"),
    ] {
        let mut world = world(Kind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let operation = Operation::ListGroupKeys;
        world
            .emulator
            .fail_next(9, operation, code, &HeaderMap::new());
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
    let mut world = world(Kind::Bearer);
    let mut step = world.start(&world.request());
    for _ in 0..4 {
        let exchange = sent(step);
        let wait = waits(world.fail(exchange.pending, FailureKind::Lost));
        step = world.resume(wait);
    }
    let exchange = sent(step);
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
fn a_permanent_failure_is_not_repeated() {
    let mut world = world(Kind::Bearer);
    let exchange = sent(world.start(&world.request()));
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
fn a_wait_lasts_at_least_as_long_as_atlas_asks_for() {
    let mut world = world(Kind::Bearer);
    let date = world.now + Duration::from_secs(20);
    assert_eq!(date.as_secs(), 1_790_000_020);
    for (value, least) in [("0", 0), ("17", 17), ("Mon, 21 Sep 2026 14:13:40 GMT", 20)] {
        let exchange = sent(world.start(&world.request()));
        let answer = answer(503, &[("retry-after", value)], "");
        let wait = waits(world.respond(exchange.pending, answer));
        let least = Duration::from_secs(least);
        assert!(wait.delay() >= least, "{value}: {wait:?}");
        assert!(
            wait.delay() <= least + Duration::from_secs(1),
            "{value}: {wait:?}"
        );
    }
}

#[test]
fn a_wait_beyond_the_limit_is_an_error_at_once_that_tells_the_wanted_time() {
    for status in [429, 503] {
        let mut world = world(Kind::Bearer);
        let exchange = sent(world.start(&world.request()));
        let answer = answer(status, &[("retry-after", "91")], "");
        let error = world.respond(exchange.pending, answer).unwrap_err();
        let wanted = error.retry_after().unwrap();
        assert!((91..=92).contains(&wanted.as_secs()), "{error}");
        assert!(error.is_retryable());
    }
    // Never for years, and no overflow; and later somebody asks again.
    for value in [
        "99999999999999999999",
        "18446744073709551615",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ] {
        for kind in [Kind::Bearer, Kind::ServiceAccount] {
            let mut world = world(kind);
            let exchange = sent(world.start(&world.request()));
            let answer = answer(429, &[("retry-after", value)], "");
            let error = world.respond(exchange.pending, answer).unwrap_err();
            assert!(matches!(error, Error::RateLimited { .. }), "{error}");
            world.now += Duration::from_secs(300);
            let _ = sent(world.start(&world.request()));
        }
    }
    // Exactly the limit is within it, jitter or not, for who was told and who is held.
    for asked in ["90", "89"] {
        let mut world = world(Kind::Bearer);
        let exchange = sent(world.start(&world.request()));
        let answer = answer(429, &[("retry-after", asked)], "");
        let told = waits(world.respond(exchange.pending, answer));
        let held = waits(world.start(&world.request()));
        for wait in [told, held] {
            assert!(wait.delay() >= Duration::from_secs(89), "{wait:?}");
            assert!(wait.delay() <= Duration::from_secs(90), "{wait:?}");
        }
    }
}

#[test]
fn all_waits_together_are_bounded() {
    let mut limits = Limits::default();
    limits.retry.attempts = u32::MAX;
    let mut world = world(Kind::Bearer);
    world.session = world.session.with_limits(limits);
    let start = world.now;
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("50"))]);
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    world
        .emulator
        .fail_next(100, Operation::ListGroupKeys, busy, &wait);
    let error = world.list(&world.request()).unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert!(world.now - start <= Duration::from_secs(180));
    assert!(world.emulator.requests() >= 3);
}

#[test]
fn a_429_holds_back_every_exchange_of_the_group_and_no_other() {
    let mut world = world(Kind::Bearer);
    let groups: Vec<_> = world.emulator.groups().collect();
    let first = sent(world.start(&world.request()));
    let answer = answer(
        429,
        &[("retry-after", "30")],
        r#"{"errorCode":"RATE_LIMITED"}"#,
    );
    let told = waits(world.respond(first.pending, answer));

    let held = waits(world.start(&world.request()));
    assert!(held.delay() >= told.delay(), "{held:?}");
    for wait in [&told, &held] {
        assert_eq!(
            wait.api_error().unwrap().error_code.as_deref(),
            Some("RATE_LIMITED")
        );
    }
    let other = atlas_model_keys_core::ListRequest::new(groups[1]);
    let _ = sent(world.start(&other));

    // One whose deadline is nearer gives up with the answer that held it.
    let hasty = waits(world.start(&world.request()));
    let error = hasty.give_up();
    assert_eq!(error.error_code(), Some("RATE_LIMITED"));
    assert!(
        error
            .to_string()
            .starts_with("rate limited because of other requests: 429"),
        "{error}"
    );

    let step = world.resume(told);
    let _ = sent(step);
    let step = world.resume(held);
    let _ = sent(step);
}

#[test]
fn with_nothing_remaining_one_request_at_a_time_goes_out_until_the_number_rises() {
    for kind in KINDS {
        let mut world = world(kind);
        world.list(&world.request()).unwrap();
        let left = |n| answer(200, &[("ratelimit-remaining", n)], r#"{"results":[]}"#);
        let exchange = sent(world.start(&world.request()));
        assert!(matches!(
            world.respond(exchange.pending, left("0")),
            Ok(Step::Done(_))
        ));

        let first = sent(world.start(&world.request()));
        let second = waits(world.start(&world.request()));
        assert!(second.on_change());
        let other =
            atlas_model_keys_core::ListRequest::new(world.emulator.groups().nth(1).unwrap());
        let _ = sent(world.start(&other));
        // The header is often missing: that says nothing.
        let silent = answer(200, &[], r#"{"results":[]}"#);
        assert!(matches!(
            world.respond(first.pending, silent),
            Ok(Step::Done(_))
        ));
        let second = sent(world.wake(second));
        let third = waits(world.start(&world.request()));
        // One that is dropped, and one that waits for its retry, let the next one go.
        drop(second);
        let third = sent(world.wake(third));
        let retry = waits(world.fail(third.pending, FailureKind::NotSent));
        let fourth = sent(world.start(&world.request()));
        let retry = waits(world.resume(retry));

        assert!(matches!(
            world.respond(fourth.pending, left("7")),
            Ok(Step::Done(_))
        ));
        let _ = sent(world.wake(retry));
        let _ = sent(world.start(&world.request()));
        let _ = sent(world.start(&world.request()));
    }

    // Nobody waits for a number that never comes.
    let mut world = world(Kind::Bearer);
    let exchange = sent(world.start(&world.request()));
    let none = answer(404, &[("ratelimit-remaining", "0")], "");
    assert!(world.respond(exchange.pending, none).is_err());
    let first = sent(world.start(&world.request()));
    let second = waits(world.start(&world.request()));
    world.now += Duration::from_secs(60);
    let _ = sent(world.wake(second));
    drop(first);
}

#[test]
fn with_the_policy_never_the_first_failure_is_the_answer() {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    for kind in KINDS {
        let mut world = world(kind);
        world.session = world.session.with_limits(limits.clone());
        let exchange = sent(world.start(&world.request()));
        let error = world
            .respond(exchange.pending, answer(503, &[], ""))
            .unwrap_err();
        assert!(
            matches!(error, Error::GaveUp { attempts: 1, .. }),
            "{error:?}"
        );
    }
}

#[test]
fn the_policy_says_which_statuses_are_repeated() {
    for (status, repeated) in [(429, false), (500, false), (502, true), (404, false)] {
        let mut limits = Limits::default();
        limits.retry.statuses = vec![502..=502];
        let mut world = world(Kind::Bearer);
        world.session = world.session.with_limits(limits);
        let exchange = sent(world.start(&world.request()));
        match world.respond(
            exchange.pending,
            answer(status, &[("retry-after", "3")], ""),
        ) {
            Ok(Step::Wait(_)) => assert!(repeated, "{status}"),
            Err(error) => {
                assert!(!repeated, "{status}: {error}");
                assert_eq!(error.is_retryable(), status != 404, "{error:?}");
            }
            Ok(step) => panic!("{step:?}"),
        }
    }
}

#[test]
fn what_the_headers_say_is_typed_on_the_reply() {
    let reply = |headers: &[(&'static str, &'static str)]| {
        Reply::from_response(answer(200, headers, r#"{"results":[]}"#)).unwrap()
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
fn a_clock_that_is_set_back_holds_nobody_for_longer() {
    let mut world = world(Kind::Bearer);
    let exchange = sent(world.start(&world.request()));
    let answer = answer(429, &[("retry-after", "30")], "");
    let wait = waits(world.respond(exchange.pending, answer));
    world.now -= Duration::from_secs(1_000_000);
    let _ = sent(world.resume(wait));
    let _ = sent(world.start(&world.request()));
}

// Envelopes, limits, secrets

#[test]
fn an_asked_for_envelope_rules_over_the_status() {
    for (body, log) in [
        (r#"{"status":429,"errorCode":"RATE_LIMITED"}"#, "wait"),
        (r#"{"status":401,"content":{"error":401}}"#, "POST token"),
    ] {
        let mut world = world(Kind::ServiceAccount);
        world.list(&world.request()).unwrap();
        world.take_log();
        let operation = Operation::ListGroupKeys;
        world
            .emulator
            .answer_next(operation, answer(200, &[], body));
        world.list(&world.request().with_envelope(true)).unwrap();
        let second = world.take_log().swap_remove(1);
        assert!(second.starts_with(log), "{body}: {second}");
    }

    // Unasked, the body is not looked into; parsing it tells.
    let mut world = world(Kind::Bearer);
    let body = r#"{"status":404,"errorCode":"GROUP_NOT_FOUND"}"#;
    let operation = Operation::ListGroupKeys;
    world
        .emulator
        .answer_next(operation, answer(200, &[], body));
    world
        .emulator
        .answer_next(operation, answer(200, &[], body));
    let reply = world.list(&world.request()).unwrap();
    assert_eq!(reply.into_page().unwrap_err().status().unwrap(), 404);
    let error = world
        .list(&world.request().with_envelope(true))
        .unwrap_err();
    assert_eq!(error.error_code(), Some("GROUP_NOT_FOUND"));
}

#[test]
fn what_is_too_large_is_refused_whatever_the_transport_did() {
    let limits = || {
        let mut limits = Limits::default();
        limits.body_bytes = 100;
        limits.head_bytes = 50;
        limits.headers = 2;
        limits
    };
    let long: &'static str = "x".repeat(50).leak();
    let cases = [
        (answer(200, &[], &" ".repeat(101)), "bytes of body"),
        (
            answer(200, &[("content-length", "101")], ""),
            "bytes of body",
        ),
        (
            answer(200, &[("a", "1"), ("b", "2"), ("b", "3")], ""),
            "header fields",
        ),
        (answer(200, &[("a", long)], ""), "bytes of head"),
    ];
    for (answer, expected) in cases {
        for kind in [Kind::Bearer, Kind::ServiceAccount] {
            let mut world = world(kind);
            world.session = world.session.with_limits(limits());
            let exchange = sent(world.start(&world.request()));
            let error = world.respond(exchange.pending, answer.clone()).unwrap_err();
            assert!(
                matches!(error, Error::Limit { what, .. } if what == expected),
                "{error}"
            );
            assert!(error.to_string().contains(expected));
            // The flight of a token request is over.
            assert!(matches!(world.start(&world.request()), Ok(Step::Send(_))));
        }
    }
}

#[test]
fn nothing_that_is_shown_shows_a_secret() {
    for kind in KINDS {
        let mut world = world(kind);
        let secrets = [
            world.emulator.access_token().to_owned(),
            world.emulator.service_account().client_secret.clone(),
            world.emulator.api_key().private_key.clone(),
        ];
        let mut shown = format!("{:?}", kind.of(&world.emulator));
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

        // An answer that repeats everything it was told.
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
        let operation = Operation::ListGroupKeys;
        world
            .emulator
            .answer_next_authenticated(operation, answer(400, &[], &echo));
        let error = world.list(&world.request()).unwrap_err();
        let of_kind = match kind {
            Kind::Bearer => &secrets[0],
            Kind::ServiceAccount => &secrets[1],
            Kind::ApiKey => &secrets[2],
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
fn what_a_reply_says_of_itself_later_shows_no_secret_either() {
    for kind in [Kind::Bearer, Kind::ServiceAccount] {
        let mut world = world(kind);
        let exchange = sent(world.start(&world.request()));
        let (exchange, token) = match kind {
            Kind::ServiceAccount => {
                let grant = r#"{"access_token":"tok1-hunter2","expires_in":3600}"#;
                (
                    sent(world.respond(exchange.pending, answer(200, &[], grant))),
                    "tok1-hunter2".to_owned(),
                )
            }
            _ => (exchange, world.emulator.access_token().to_owned()),
        };
        let echo = format!(r#"{{"errorCode":"X","detail":"bad token {token}"}}"#);
        let late = sent(world.start(&world.request()));
        let Ok(Step::Done(reply)) = world.respond(exchange.pending, answer(200, &[], &echo)) else {
            panic!("not done");
        };
        let error = reply.into_page().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(&token) && shown.contains("bad token [redacted]"),
            "{shown}"
        );

        // Nor an answer that comes when the token was replaced.
        if kind == Kind::ServiceAccount {
            let other = sent(world.start(&world.request()));
            let fetch = sent(world.respond(other.pending, answer(401, &[], "")));
            let grant = r#"{"access_token":"tok2","expires_in":3600}"#;
            let _ = sent(world.respond(fetch.pending, answer(200, &[], grant)));
            let error = world
                .respond(late.pending, answer(404, &[], &echo))
                .unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn a_plain_reply_says_whether_to_come_again() {
    for (status, retryable) in [(429, true), (503, true), (404, false)] {
        let error = Reply::from_response(answer(status, &[("retry-after", "5")], "")).unwrap_err();
        assert_eq!(error.is_retryable(), retryable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    }
}

#[test]
fn tickets_are_small_and_everything_can_be_sent_between_threads() {
    use atlas_model_keys_core::{Exchange, Failure, Listing, ModelKey, Page, Pending, Wait};
    fn both<T: Send + Sync>() {}
    both::<Session>();
    both::<Pending>();
    both::<Wait>();
    both::<Exchange>();
    both::<Step<Vec<u8>>>();
    both::<Reply<Vec<u8>>>();
    both::<Page<Vec<u8>>>();
    both::<ModelKey<'_>>();
    both::<Listing>();
    both::<Error>();
    both::<Failure>();
    assert_eq!(size_of::<Pending>(), size_of::<usize>());
    assert!(size_of::<Wait>() <= 48);
    assert!(size_of::<Error>() <= 72, "{}", size_of::<Error>());
    assert!(size_of::<ModelKey<'_>>() <= 40);
}
