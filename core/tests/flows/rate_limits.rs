//! Rate limits slow down all exchanges of a group.

use std::time::Duration;

use atlas_model_keys_core::{Error, Exchange, FailureKind, Limits, ListRequest, Step};

use super::{response, world};
use crate::dialogue::{CREDENTIAL_KINDS, CredentialKind, World, expect_send, expect_wait};

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
    let other = ListRequest::new(groups[1]);
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
fn endless_retry_after_is_an_error_and_pauses_the_group_for_five_minutes() {
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
}

#[test]
fn retry_after_of_exactly_the_limit_is_waited_for_with_and_without_jitter() {
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
        let other = ListRequest::new(world.emulator.groups().nth(1).unwrap());
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
fn clock_that_is_set_back_ends_the_pause() {
    let mut world = world(CredentialKind::Bearer);
    let exchange = expect_send(world.start(&world.request()));
    let response = response(429, &[("retry-after", "30")], "");
    let wait = expect_wait(world.respond(exchange.pending, response));
    world.now -= Duration::from_secs(1_000_000);
    let _ = expect_send(world.resume(wait));
    let _ = expect_send(world.start(&world.request()));
}

#[test]
fn policy_that_waits_out_rate_limits_counts_only_other_failures() {
    let mut limits = Limits::default();
    limits.retry.waits_out_rate_limits = true;
    limits.retry.attempts = 2;
    limits.retry.total_wait = Duration::from_secs(3600);
    let mut world = world(CredentialKind::Bearer);
    world.session = world.session.with_limits(limits);
    let mut exchange = expect_send(world.start(&world.request()));
    let mut answer = |exchange: Exchange, status| {
        let response = response(status, &[("retry-after", "1")], "");
        match world.respond(exchange.pending, response)? {
            Step::Wait(wait) => Ok(expect_send(world.resume(wait))),
            step => panic!("{step:?}"),
        }
    };
    for _ in 0..20 {
        exchange = answer(exchange, 429).unwrap();
    }
    exchange = answer(exchange, 503).unwrap();
    exchange = answer(exchange, 429).unwrap();
    let error = answer(exchange, 503).unwrap_err();
    assert!(
        matches!(error, Error::GaveUp { attempts: 23, .. }),
        "{error:?}"
    );
}

#[test]
fn rate_limits_that_are_waited_out_are_counted_apart_for_the_token_request() {
    let answer = |world: &mut World, exchange: Exchange, status, times| {
        (0..times).try_fold(exchange, |exchange, _| {
            let response = response(status, &[("retry-after", "1")], "");
            match world.respond(exchange.pending, response)? {
                Step::Wait(wait) => Ok(expect_send(world.resume(wait))),
                step => Ok(expect_send(Ok(step))),
            }
        })
    };
    // The list is rate limited three times, and then needs another token.
    let renewing = || {
        let mut limits = Limits::default();
        limits.retry.waits_out_rate_limits = true;
        limits.retry.attempts = 2;
        limits.retry.total_wait = Duration::from_secs(3600);
        let mut world = world(CredentialKind::ServiceAccount);
        world.session = world.session.with_limits(limits);
        let token = expect_send(world.start(&world.request()));
        let list = expect_send(world.send(token));
        let list = answer(&mut world, list, 429, 3).unwrap();
        let token = answer(&mut world, list, 401, 1).unwrap();
        assert!(token.pending.is_for_token());
        (world, token)
    };
    let (mut world, token) = renewing();
    let error = answer(&mut world, token, 503, 2).unwrap_err();
    assert!(
        matches!(error, Error::GaveUp { attempts: 2, .. }),
        "{error:?}"
    );

    let (mut world, token) = renewing();
    let list = expect_send(world.send(token));
    let list = answer(&mut world, list, 429, 3).unwrap();
    assert_eq!(list.pending.attempt(), 7);
}

#[test]
fn longest_pause_covers_all_groups() {
    let mut world = world(CredentialKind::Bearer);
    let at = world.moment();
    assert_eq!(world.session.longest_pause(at), None);
    let exchange = expect_send(world.start(&world.request()));
    let response = response(429, &[("retry-after", "30")], "");
    let step = world.respond(exchange.pending, response).unwrap();
    let Step::Wait(wait) = step else {
        panic!("{step:?}")
    };
    let at = world.moment();
    assert_eq!(world.session.longest_pause(at), Some(wait.delay()));
    world.now += wait.delay();
    let at = world.moment();
    assert_eq!(world.session.longest_pause(at), None);
}
