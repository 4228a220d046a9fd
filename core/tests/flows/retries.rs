//! Tests of the statuses and failures that are retried.

use std::time::Duration;

use atlas_model_keys_core::{Error, Limits, RetryPolicy, Step};
use atlas_model_keys_emulator::Route;
use http::{HeaderMap, StatusCode};

use super::{response, world};
use crate::dialogue::{CREDENTIAL_KINDS, CredentialKind, expect_send};

#[test]
fn temporary_errors_are_retried_and_others_are_final() {
    for status in [429, 500, 502, 503, 504, 599] {
        let mut world = world(CredentialKind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let operation = Route::ListGroupKeys;
        world
            .emulator
            .fail_next(2, operation, code, &HeaderMap::new());
        world.list(&world.request()).unwrap();
        assert_eq!(world.emulator.requests(), 3, "{status}");
    }
    for status in [301, 302, 304, 307, 400, 403, 404, 405, 407, 408, 451] {
        let mut world = world(CredentialKind::Bearer);
        let code = StatusCode::from_u16(status).unwrap();
        let operation = Route::ListGroupKeys;
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
fn waited_out_rate_limits_do_not_count_as_attempts() {
    for route in [Route::ListGroupKeys, Route::Token] {
        for (waits_out, status) in [(true, None), (false, Some(429)), (true, Some(503))] {
            let mut world = world(CredentialKind::ServiceAccount);
            let policy = RetryPolicy::default()
                .with_waits_out_rate_limits(waits_out)
                .with_total_wait(Duration::from_secs(3600));
            world.session = world
                .session
                .with_limits(Limits::default().with_retry(policy));
            let mut fail = |times, status| {
                let none = HeaderMap::new();
                world.emulator.fail_next(times, route, status, &none);
            };
            fail(20, StatusCode::TOO_MANY_REQUESTS);
            if status == Some(503) {
                fail(5, StatusCode::SERVICE_UNAVAILABLE);
            }
            let outcome = world.list(&world.request());
            match status {
                None => assert!(outcome.is_ok(), "{route:?}: {outcome:?}"),
                Some(status) => {
                    let error = outcome.unwrap_err();
                    assert_eq!(
                        error.status().unwrap().as_u16(),
                        status,
                        "{route:?}: {error}"
                    );
                }
            }
        }
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
