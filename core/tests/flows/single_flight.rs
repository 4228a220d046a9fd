//! One token request serves all exchanges of a service account that need a token.

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, Endpoint, Error, FailureKind, Limits, Session, Step, Wait,
};
use atlas_model_keys_emulator::{Config, Emulator};

use super::{response, world};
use crate::dialogue::{BASE, CredentialKind, World, expect_send, expect_wait};

#[test]
fn a_hundred_exchanges_fetch_one_token() {
    let mut world = world(CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let mut waiters: Vec<_> = (0..99)
        .map(|_| expect_wait(world.start(&world.request())))
        .collect();
    assert!(waiters.iter().all(Wait::on_change));
    // An exchange that is woken too early waits again.
    let first = expect_wait(world.wake(waiters.remove(0)));
    waiters.push(first);

    let next = world.send(fetcher);
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
    let first = expect_send(world.send(next));
    assert!(matches!(world.send(first), Ok(Step::Done(_))));
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
            let first = expect_send(world.send(next));
            assert!(matches!(world.send(first), Ok(Step::Done(_))));
            world.resume(late)
        } else {
            // It waits for the other token request.
            let late = expect_wait(world.resume(late));
            assert!(late.on_change());
            let _first = expect_send(world.send(next));
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
    let fetcher = expect_send(world.send(fetcher));
    assert!(matches!(world.send(fetcher), Ok(Step::Done(_))));
    let step = world.wake(waiter).unwrap();
    world.finish(step).unwrap();
    assert_eq!(world.emulator.token_requests(), 1);
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
    let mut errors = vec![world.send(fetcher).unwrap_err()];
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
fn exchange_fails_only_with_the_token_request_that_it_waited_for() {
    let mut world = world(CredentialKind::ServiceAccount);
    let fetcher = expect_send(world.start(&world.request()));
    let waiter = expect_wait(world.start(&world.request()));
    let first = expect_send(world.send(fetcher));
    let second = expect_send(world.wake(waiter));
    let second =
        expect_wait(world.respond(second.pending, response(503, &[("retry-after", "60")], "")));
    // In the meantime, the first exchange's token is refused, and the next token request fails.
    let next = expect_send(world.respond(first.pending, response(401, &[], "")));
    assert!(world.fail(next.pending, FailureKind::Permanent).is_err());
    assert_eq!(expect_send(world.resume(second)).request.method(), "POST");
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
    let _ = expect_send(world.send(fetcher));
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
