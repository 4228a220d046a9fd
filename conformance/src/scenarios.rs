//! The scenarios. Each takes a client's kind, sets up an emulator of its own, and panics where the client
//! does not do what it must.
// Panics are what they are for, and their names say it all.
#![allow(clippy::missing_panics_doc, missing_docs)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Endpoint, Error, FailureKind, GroupId, ItemsPerPage,
    ListRequest, PageNum, Refused,
};
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, Emulator, Route, TokenBucket, TotalCount, error_answer};
use atlas_model_keys_transport::TooLarge;
use http::{HeaderMap, Response, StatusCode};

use crate::atlas::{Atlas, Kind, Scripted, listener, once, page_of, read_head, soon};
use crate::front::{Front, Setup};

/// Makes a test of each scenario, for this client.
#[macro_export]
macro_rules! test_each {
    ($client:ty: $($scenario:ident,)*) => {
        $(#[test]
        fn $scenario() {
            $crate::scenarios::$scenario::<$client>();
        })*
    };
    ($client:ty) => {
        $crate::test_each! { $client:
            every_key_arrives_once_and_in_order,
            reading_ahead_keeps_order_and_asks_for_nothing_that_is_known_not_to_be,
            reading_ahead_ends_by_links_and_not_by_the_count,
            a_page_that_is_asked_for_once_more_is_not_mixed_up_with_those_behind_it,
            a_key_on_two_pages_comes_once,
            what_fails_beyond_the_end_is_dropped,
            an_error_within_ends_the_listing,
            a_listing_may_begin_anywhere,
            bodies_come_undecoded,
            each_status_is_its_error,
            what_passes_is_repeated,
            a_token_that_ends_while_listing_is_renewed,
            nonces_that_end_while_listing_cost_a_round_trip,
            a_version_that_is_withdrawn_while_listing_is_left,
            a_rate_limit_is_waited_out_by_all,
            a_429_slows_all_down,
            somebody_is_told_of_a_wait_and_its_reason,
            a_hundred_callers_fetch_one_token,
            those_who_wait_for_a_token_go_on_when_its_leader_gives_up,
            tokens_are_handed_on_and_revoked,
            callers_with_an_api_key_never_race_on_a_nonce,
            bodies_come_compressed_and_their_bound_holds_afterwards,
            a_redirect_is_an_error_and_nothing_is_sent_there,
            nobody_there_is_not_sent,
            silence_ends_with_the_read_timeout_and_everything_with_the_deadline,
            a_wait_beyond_the_deadline_ends_at_once_with_its_reason,
            any_timeout_may_be_as_long_as_time,
            a_truncated_body_is_lost_and_repeated,
            what_is_on_the_wire,
            wrong_settings_are_refused,
            connections_are_used_again,
            an_error_counts_even_if_its_body_cannot_be_unpacked,
            a_deadline_that_cuts_a_retry_tells_what_made_it_try_again,
            what_fails_while_connecting_was_not_sent,
            limits_may_be_as_large_as_numbers,
            an_unrequested_second_response_is_never_a_page,
            an_unrequested_response_that_came_late_is_never_a_page,
            a_head_beyond_the_limits_is_permanent_and_named,
            zeros_after_a_gzip_body_are_ignored,
            a_deadline_that_passes_while_connecting_is_timed_out,
            a_deadline_that_passes_in_a_proxy_is_timed_out,
            a_deadline_that_passes_within_a_body_is_timed_out,
        }
    };
}

fn setup() -> Setup {
    Setup::default()
}

fn with_limits(limits: atlas_model_keys_core::Limits) -> Setup {
    Setup {
        limits: Some(limits),
        ..setup()
    }
}

fn ids<C: Front>(client: &C, request: &ListRequest, ahead: usize) -> Vec<String> {
    let keys = client.keys(request, ahead);
    keys.map(|key| key.unwrap().api_key_id().unwrap().to_owned())
        .collect()
}

fn kind_of(error: &Error) -> FailureKind {
    match error {
        Error::Transport { kind, .. } => *kind,
        other => panic!("not a transport's error: {other:?}"),
    }
}

fn empty(status: u16) -> Response<Vec<u8>> {
    Response::builder().status(status).body(Vec::new()).unwrap()
}

pub fn every_key_arrives_once_and_in_order<C: Front>() {
    for kind in Kind::ALL {
        for keys in [0, 1, 100, 101, 12_345] {
            let atlas = Atlas::with_keys(keys);
            let client: C = atlas.client(kind, setup());
            let expected = atlas.ids();
            assert_eq!(expected.len(), keys);
            let large = atlas.request().with_items_per_page(ItemsPerPage::MAX);
            assert_eq!(ids(&client, &large, 1), expected, "{kind:?}");
            assert_eq!(ids(&client, &atlas.request(), 4), expected, "{kind:?}");
            let all = client.list_all(&large).unwrap();
            let all: Vec<_> = all
                .into_iter()
                .map(|key| key.api_key_id().unwrap().to_owned())
                .collect();
            assert_eq!(all, expected, "{kind:?}");
            for ahead in [1, 4] {
                let pages = client.pages(&large, ahead);
                let sizes: Vec<_> = pages.map(|page| page.unwrap().len()).collect();
                let full = keys / 500;
                assert!(sizes.iter().take(full).all(|size| *size == 500));
                assert_eq!(sizes.iter().sum::<usize>(), keys, "{kind:?}");
                assert_eq!(sizes.len(), keys.div_ceil(500).max(1), "{kind:?}");
            }
        }
    }
}

pub fn reading_ahead_keeps_order_and_asks_for_nothing_that_is_known_not_to_be<C: Front>() {
    let atlas = Atlas::with_latency(1_050, Duration::from_millis(3));
    let client: C = atlas.client(Kind::Bearer, setup());
    assert_eq!(ids(&client, &atlas.request(), 5), atlas.ids());
    // The count is right here.
    assert_eq!(atlas.requests(), (11, 0));
    // More than are there, and more than anybody may have on the way.
    assert_eq!(ids(&client, &atlas.request(), usize::MAX), atlas.ids());
    assert_eq!(atlas.requests(), (22, 0));
}

pub fn reading_ahead_ends_by_links_and_not_by_the_count<C: Front>() {
    for total_count in [TotalCount::Zero, TotalCount::Absent] {
        let config = Config {
            keys_per_group: 1_050,
            rate_limit: None,
            total_count,
            ..Config::default()
        };
        let atlas = Atlas::start(config, Options::default());
        let client: C = atlas.client(Kind::Bearer, setup());
        assert_eq!(ids(&client, &atlas.request(), 4), atlas.ids());
        // No more than what was on the way when the end was seen.
        let (lists, _) = atlas.requests();
        assert!((11..=14).contains(&lists), "{lists}");
    }
}

pub fn a_page_that_is_asked_for_once_more_is_not_mixed_up_with_those_behind_it<C: Front>() {
    for ahead in [1, 2, 8] {
        let atlas = Atlas::with_keys(7);
        let fault = "page-empty-once=2".parse().unwrap();
        atlas.server.with(|emulator| emulator.inject(fault, None));
        let client: C = atlas.client(Kind::Bearer, setup());
        let request = atlas.request().with_items_per_page(ItemsPerPage::MIN);
        assert_eq!(ids(&client, &request, ahead), atlas.ids(), "{ahead}");
    }
}

pub fn a_key_on_two_pages_comes_once<C: Front>() {
    for ahead in [1, 4] {
        let atlas = Atlas::with_keys(250);
        let client: C = atlas.client(Kind::Bearer, setup());
        let expected = atlas.ids();
        let mut keys = client.keys(&atlas.request(), ahead);
        let first: Vec<_> = keys.by_ref().take(100).collect();
        assert!(first.iter().all(Result::is_ok));
        // A new key at the front shifts the last of the first page onto the second.
        atlas.server.with(|emulator| {
            let keys = emulator.keys_mut(atlas.group).unwrap();
            let mut new = keys.first().unwrap().clone();
            new.api_key_id = Some("new".to_owned());
            keys.insert(0, new);
        });
        let rest = keys.map(|key| key.unwrap().api_key_id().unwrap().to_owned());
        let rest: Vec<_> = rest.collect();
        assert_eq!(rest, expected.get(100..).unwrap(), "{ahead}");
    }
}

pub fn what_fails_beyond_the_end_is_dropped<C: Front>() {
    let page = |keys: &str, links: &str| format!(r#"{{"links":[{links}],"results":[{keys}]}}"#);
    let next = r#"{"rel":"next"}"#;
    let atlas = Scripted::start(move |n| match n {
        1 => (200, page(r#"{"apiKeyId":"a"}"#, next)),
        2 => (200, page(r#"{"apiKeyId":"b"}"#, "")),
        3 => (200, "not a page".to_owned()),
        _ => (500, String::new()),
    });
    let client: C = nowhere(&atlas.base, with_limits(once()));
    for _ in 0..3 {
        assert_eq!(ids(&client, &some_request(), 6), ["a", "b"]);
    }
}

pub fn an_error_within_ends_the_listing<C: Front>() {
    for ahead in [1, 4] {
        let atlas = Atlas::with_keys(250);
        let client: C = atlas.client(Kind::Bearer, with_limits(once()));
        let mut keys = client.keys(&atlas.request(), ahead);
        assert_eq!(keys.by_ref().take(100).filter(Result::is_ok).count(), 100);
        for _ in 0..2 {
            atlas.answer_next(empty(403)); // Whichever is asked for first.
        }
        assert_eq!(keys.next().unwrap().unwrap_err().status().unwrap(), 403);
        assert!(keys.next().is_none());
        assert!(keys.next().is_none());
    }
}

pub fn a_listing_may_begin_anywhere<C: Front>() {
    let atlas = Atlas::with_keys(250);
    let client: C = atlas.client(Kind::Bearer, setup());
    let second = atlas.request().with_page_num(PageNum::new(2).unwrap());
    assert_eq!(ids(&client, &second, 3), atlas.ids().split_off(100));
    let beyond = atlas.request().with_page_num(PageNum::new(77).unwrap());
    assert!(ids(&client, &beyond, 3).is_empty());
}

pub fn bodies_come_undecoded<C: Front>() {
    let atlas = Atlas::with_keys(250);
    let client: C = atlas.client(Kind::Bearer, setup());
    for ahead in [1, 4] {
        let mut keys = 0;
        for (n, reply) in client.replies(&atlas.request(), ahead).enumerate() {
            let reply = reply.unwrap();
            assert_eq!(reply.status(), StatusCode::OK);
            assert_eq!(reply.has_next(), n < 2);
            keys += reply.into_page().unwrap().len();
        }
        assert_eq!(keys, 250);
    }
    assert!(client.reply(&atlas.request()).unwrap().body().len() > 10_000);
}

pub fn each_status_is_its_error<C: Front>() {
    let atlas = Atlas::with_keys(1);
    let client: C = atlas.client(Kind::ApiKey, with_limits(once()));
    let unknown = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
    let error = client.list(&unknown).unwrap_err();
    let answer = error.api_error().unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.error_code.as_deref(), Some("GROUP_NOT_FOUND"));
    assert_eq!(answer.endpoint, Endpoint::ModelKeys);

    for status in [400, 402, 403, 404, 405, 407, 409, 451, 500, 502, 503, 599] {
        let code = StatusCode::from_u16(status).unwrap();
        for answer in [error_answer(code), empty(status)] {
            atlas.answer_next(answer);
            let error = client.list(&atlas.request()).unwrap_err();
            assert_eq!(error.status(), Some(code), "{error}");
            let gave_up = matches!(error, Error::GaveUp { attempts: 1, .. });
            assert_eq!(gave_up, status >= 500, "{error:?}");
        }
    }
    atlas.answer_next(error_answer(StatusCode::TOO_MANY_REQUESTS));
    let error = client.list(&atlas.request()).unwrap_err();
    assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");

    // What is no page is no success.
    for body in ["", "<html>", "{}", "[]"] {
        let client: C = atlas.client(Kind::Bearer, with_limits(once()));
        atlas.answer_next(Response::new(body.as_bytes().to_vec()));
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(matches!(error, Error::InvalidResponse(_)), "{error:?}");
    }

    // A wrong credential of each kind.
    let wrong = [
        (Credentials::bearer("wrong"), Refused::Token),
        (
            Credentials::service_account("mdb_sa_id_wrong", "mdb_sa_sk_wrong"),
            Refused::ServiceAccount,
        ),
        (Credentials::api_key("wrong", "wrong"), Refused::ApiKey),
    ];
    for (credentials, expected) in wrong {
        let client = C::new(atlas.base(), credentials.unwrap(), setup()).unwrap();
        let error = client.list(&atlas.request()).unwrap_err();
        match error {
            Error::Authentication { refused, .. } => assert_eq!(refused, expected),
            other => panic!("{other:?}"),
        }
    }
}

pub fn what_passes_is_repeated<C: Front>() {
    for kind in Kind::ALL {
        let atlas = Atlas::with_keys(250);
        let client: C = atlas.client(kind, with_limits(soon()));
        atlas.server.with(|emulator| {
            for status in [429, 500, 503, 502] {
                let status = StatusCode::from_u16(status).unwrap();
                emulator.fail_next(1, Route::ListGroupKeys, status, &HeaderMap::new());
            }
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            emulator.fail_next(1, Route::Token, busy, &HeaderMap::new());
        });
        assert_eq!(ids(&client, &atlas.request(), 1), atlas.ids(), "{kind:?}");
    }
}

pub fn a_token_that_ends_while_listing_is_renewed<C: Front>() {
    for ahead in [1, 4] {
        let atlas = Atlas::with_keys(1_050);
        let client: C = atlas.client(Kind::ServiceAccount, setup());
        let mut keys = client.keys(&atlas.request(), ahead);
        let mut seen: Vec<_> = keys.by_ref().take(150).collect();
        atlas.server.with(Emulator::revoke_tokens);
        seen.extend(keys);
        let seen = seen
            .into_iter()
            .map(|key| key.unwrap().api_key_id().unwrap().to_owned());
        assert_eq!(seen.collect::<Vec<_>>(), atlas.ids());
        assert_eq!(atlas.requests().1, 2);
    }
}

pub fn nonces_that_end_while_listing_cost_a_round_trip<C: Front>() {
    for ahead in [1, 4] {
        let atlas = Atlas::with_keys(1_050);
        let client: C = atlas.client(Kind::ApiKey, setup());
        let mut keys = client.keys(&atlas.request(), ahead);
        let mut seen: Vec<_> = keys.by_ref().take(150).collect();
        atlas.server.with(Emulator::expire_nonces);
        seen.extend(keys);
        let seen = seen
            .into_iter()
            .map(|key| key.unwrap().api_key_id().unwrap().to_owned());
        assert_eq!(seen.collect::<Vec<_>>(), atlas.ids());
        // Eleven pages, and a challenge for each nonce in use before and after.
        let most = 11 + 2 * u64::try_from(ahead).unwrap() + 1;
        let (lists, _) = atlas.requests();
        assert!((13..=most).contains(&lists), "{lists}");
    }
}

pub fn a_version_that_is_withdrawn_while_listing_is_left<C: Front>() {
    for ahead in [1, 4] {
        let atlas = Atlas::with_keys(1_050);
        let client: C = atlas.client(Kind::Bearer, setup());
        assert_eq!(client.version(), ApiVersion::PREVIEW);
        let mut pages = client.pages(&atlas.request(), ahead);
        let first = pages.next().unwrap().unwrap();
        assert_eq!(first.version(), Some(ApiVersion::PREVIEW));
        atlas
            .server
            .with(|emulator| emulator.withdraw(ApiVersion::PREVIEW));
        let rest: Vec<_> = pages.map(Result::unwrap).collect();
        assert_eq!(rest.len(), 10);
        let last = rest.last().unwrap();
        assert_eq!(last.version(), Some(ApiVersion::V2025_03_12));
        assert_eq!(client.version(), ApiVersion::V2025_03_12);

        // Who insists on it gets an error.
        let pinned = Setup {
            version: Some(ApiVersion::PREVIEW),
            ..setup()
        };
        let client: C = atlas.client(Kind::Bearer, pinned);
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(matches!(
            error.status().map(|s| s.as_u16()),
            Some(406 | 410)
        ));
    }
}

fn limited(capacity: u32, refill: u32) -> Config {
    Config {
        keys_per_group: 700,
        rate_limit: Some(TokenBucket {
            capacity,
            refill,
            per: Duration::from_secs(1),
        }),
        ..Config::default()
    }
}

pub fn a_rate_limit_is_waited_out_by_all<C: Front>() {
    // `RateLimit-Remaining: 0` comes with the second answer.
    let atlas = Atlas::start(limited(2, 5), Options::default());
    let client: C = atlas.client(Kind::Bearer, with_limits(soon()));
    assert_eq!(ids(&client, &atlas.request(), 7), atlas.ids());
    // They went in single file, and those who came too early waited together: far from one refusal for
    // each page and each try.
    let (lists, _) = atlas.requests();
    assert!(lists <= 7 + 6, "{lists}");
}

pub fn a_429_slows_all_down<C: Front>() {
    let atlas = Atlas::with_keys(1);
    let client: C = atlas.client(Kind::Bearer, with_limits(soon()));
    let busy = Response::builder().status(429).header("retry-after", "1");
    atlas.answer_next(busy.body(Vec::new()).unwrap());
    let begun = Instant::now();
    thread::scope(|scope| {
        let (refused, was_refused) = mpsc::channel();
        let first = client.clone();
        let request = atlas.request();
        scope.spawn(move || {
            refused.send(()).unwrap();
            first.list(&request).unwrap();
        });
        was_refused.recv().unwrap();
        while atlas.requests().0 == 0 {
            thread::yield_now();
        }
        for _ in 0..10 {
            scope.spawn(|| client.list(&atlas.request()).unwrap());
        }
    });
    // Whoever came after the 429 waited as long as it said.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(atlas.requests().0, 12);
}

pub fn somebody_is_told_of_a_wait_and_its_reason<C: Front>() {
    let atlas = Atlas::with_keys(1);
    atlas.answer_next(error_answer(StatusCode::TOO_MANY_REQUESTS));
    let (tell, told) = mpsc::channel();
    let setup = Setup {
        limits: Some(soon()),
        on_wait: Some(Box::new(move |wait| {
            let answer = wait.api_error().map(|answer| answer.status.as_u16());
            tell.send((wait.delay() <= Duration::from_millis(1), answer))
                .unwrap();
        })),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, setup);
    client.list(&atlas.request()).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(true, Some(429))]);
}

pub fn a_hundred_callers_fetch_one_token<C: Front>() {
    // With latency, the token is still on its way when the last of them starts.
    let atlas = Atlas::with_latency(42, Duration::from_millis(50));
    let client: C = atlas.client(Kind::ServiceAccount, setup());
    let barrier = Barrier::new(100);
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(client.list(&atlas.request()).unwrap().len(), 42);
            });
        }
    });
    assert_eq!(atlas.requests(), (100, 1));
}

pub fn those_who_wait_for_a_token_go_on_when_its_leader_gives_up<C: Front>() {
    let atlas = Atlas::with_keys(3);
    // The first to ask is told to wait for longer than it has time; the others have more.
    let busy = Response::builder().status(429).header("retry-after", "5");
    let busy = busy.body(Vec::new()).unwrap();
    atlas
        .server
        .with(|emulator| emulator.answer_next(Route::Token, busy));
    let setup = Setup {
        deadline: Some(Duration::from_secs(4)),
        ..setup()
    };
    let client: C = atlas.client(Kind::ServiceAccount, setup);
    let begun = Instant::now();
    let barrier = Barrier::new(20);
    let failed: usize = thread::scope(|scope| {
        let call = || {
            barrier.wait();
            usize::from(client.list(&atlas.request()).is_err())
        };
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert_eq!(failed, 1);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

pub fn tokens_are_handed_on_and_revoked<C: Front>() {
    let atlas = Atlas::with_keys(3);
    let first: C = atlas.client(Kind::ServiceAccount, setup());
    assert!(first.export_token().is_none());
    first.revoke_token().unwrap();
    first.list(&atlas.request()).unwrap();
    let token = first.export_token().unwrap();
    let second: C = atlas.client(Kind::ServiceAccount, setup());
    second.restore_token(&token).unwrap();
    second.list(&atlas.request()).unwrap();
    assert_eq!(atlas.requests().1, 1);

    second.revoke_token().unwrap();
    second.list(&atlas.request()).unwrap();
    assert_eq!(atlas.requests().1, 2);
    let other: C = atlas.client(Kind::ApiKey, setup());
    assert!(matches!(
        other.restore_token(&token),
        Err(Error::Invalid(_))
    ));
}

pub fn callers_with_an_api_key_never_race_on_a_nonce<C: Front>() {
    let atlas = Atlas::with_keys(7);
    let client: C = atlas.client(Kind::ApiKey, setup());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(client.list(&atlas.request()).unwrap().len(), 7);
                }
            });
        }
    });
    // A challenge for each caller at most.
    let (lists, _) = atlas.requests();
    assert!((161..=168).contains(&lists), "{lists}");
}

pub fn bodies_come_compressed_and_their_bound_holds_afterwards<C: Front>() {
    let atlas = Atlas::with_keys(500);
    let request = atlas.request().with_items_per_page(ItemsPerPage::MAX);
    let client: C = atlas.client(Kind::Bearer, setup());
    let reply = client.reply(&request).unwrap();
    // It came compressed: what is left of the head no longer says so.
    assert!(reply.headers().get("content-encoding").is_none());
    assert!(reply.headers().get("content-length").is_none());
    let size = reply.body().len();
    for (limit, fits) in [(size, true), (size - 1, false)] {
        let mut limits = once();
        limits.body_bytes = limit;
        let client: C = atlas.client(Kind::Bearer, with_limits(limits));
        match client.list(&request) {
            Ok(page) => assert!(fits && page.len() == 500),
            Err(error) => {
                assert!(!fits);
                assert!(matches!(error, Error::Limit { .. }), "{error}");
            }
        }
        // The client is still usable.
        let small = atlas.request().with_items_per_page(ItemsPerPage::MIN);
        assert_eq!(client.list(&small).unwrap().len(), 1);
    }
}

pub fn a_redirect_is_an_error_and_nothing_is_sent_there<C: Front>() {
    let (elsewhere, base) = listener();
    elsewhere.set_nonblocking(true).unwrap();
    let atlas = Atlas::with_keys(1);
    let client: C = atlas.client(Kind::ApiKey, setup());
    for target in [base, atlas.server.base_url(), "/".to_owned()] {
        for status in [301, 302, 303, 307, 308] {
            let answer = Response::builder()
                .status(status)
                .header("location", &target);
            atlas.answer_next(answer.body(Vec::new()).unwrap());
            let before = atlas.requests().0;
            let error = client.list(&atlas.request()).unwrap_err();
            assert_eq!(error.status().unwrap(), status);
            assert!(error.to_string().contains("never followed"), "{error}");
            assert_eq!(atlas.requests().0, before + 1);
        }
    }
    let reached = elsewhere.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(reached, Err(std::io::ErrorKind::WouldBlock));
}

fn nowhere<C: Front>(base: &str, setup: Setup) -> C {
    let token = Credentials::bearer("token").unwrap();
    C::new(BaseUrl::new(base).unwrap(), token, setup).unwrap()
}

fn some_request() -> ListRequest {
    ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap())
}

pub fn nobody_there_is_not_sent<C: Front>() {
    let (nobody, base) = listener();
    drop(nobody);
    let mut limits = soon();
    limits.retry.attempts = 3;
    for base in [base.as_str(), "https://does-not-exist.invalid"] {
        // What stands in the environment does not matter here.
        let setup = Setup {
            limits: Some(limits.clone()),
            proxy: Some(String::new()),
            ..setup()
        };
        let client: C = nowhere(base, setup);
        let error = client.list(&some_request()).unwrap_err();
        assert!(
            matches!(error, Error::Transport { attempts: 3, .. }),
            "{error:?}"
        );
        assert_eq!(kind_of(&error), FailureKind::NotSent, "{error:?}");
    }
}

pub fn silence_ends_with_the_read_timeout_and_everything_with_the_deadline<C: Front>() {
    let atlas = Atlas::with_latency(1, Duration::from_secs(60));
    let begun = Instant::now();
    let silent = Setup {
        limits: Some(once()),
        read_timeout: Some(Duration::from_millis(50)),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, silent);
    let error = client.list(&atlas.request()).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Lost);

    let late = Setup {
        deadline: Some(Duration::from_millis(50)),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, late);
    for ahead in [1, 4] {
        let error = client.pages(&atlas.request(), ahead).next().unwrap();
        assert_eq!(kind_of(&error.unwrap_err()), FailureKind::TimedOut);
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}

pub fn a_wait_beyond_the_deadline_ends_at_once_with_its_reason<C: Front>() {
    let atlas = Atlas::with_keys(1);
    let answer = Response::builder().status(429).header("retry-after", "60");
    atlas.answer_next(answer.body(Vec::new()).unwrap());
    let setup = Setup {
        deadline: Some(Duration::from_secs(30)),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, setup);
    let begun = Instant::now();
    let error = client.list(&atlas.request()).unwrap_err();
    assert!(
        matches!(error, Error::RateLimited { attempts: 1, .. }),
        "{error:?}"
    );
    assert!(error.retry_after().unwrap() >= Duration::from_secs(60));
    assert!(begun.elapsed() < Duration::from_secs(20));
}

pub fn any_timeout_may_be_as_long_as_time<C: Front>() {
    let atlas = Atlas::with_keys(3);
    let setup = Setup {
        deadline: Some(Duration::MAX),
        connect_timeout: Some(Duration::MAX),
        read_timeout: Some(Duration::MAX),
        idle: Some((usize::MAX, Duration::MAX)),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, setup);
    for _ in 0..2 {
        assert_eq!(client.list(&atlas.request()).unwrap().len(), 3);
    }
}

pub fn a_truncated_body_is_lost_and_repeated<C: Front>() {
    let atlas = Atlas::with_keys(5);
    let truncated = || {
        Response::builder()
            .header("content-length", "1000")
            .body(b"{\"results\":[]}".to_vec())
            .unwrap()
    };
    atlas.answer_next(truncated());
    let client: C = atlas.client(Kind::Bearer, with_limits(once()));
    let error = client.list(&atlas.request()).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::Lost);

    atlas.answer_next(truncated());
    let client: C = atlas.client(Kind::Bearer, with_limits(soon()));
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 5);
}

pub fn what_is_on_the_wire<C: Front>() {
    let (listener, base) = listener();
    let setup = Setup {
        limits: Some(once()),
        user_agent: Some("my-service/1.0".to_owned()),
        ..setup()
    };
    let client: C = nowhere(&format!("{base}/prefix"), setup);
    let head = thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}";
            stream.write_all(answer).unwrap();
            String::from_utf8(head).unwrap()
        });
        assert!(client.list(&some_request()).unwrap().is_empty());
        server.join().unwrap()
    });
    assert!(head.starts_with(
        "GET /prefix/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys HTTP/1.1\r\n"
    ));
    let fields: BTreeSet<String> = head
        .lines()
        .skip(1)
        .filter_map(|line| Some(line.split_once(':')?.0.to_lowercase()))
        .collect();
    // Nothing more, and of a body nothing at all.
    let expected = [
        "accept",
        "accept-encoding",
        "authorization",
        "host",
        "user-agent",
    ];
    assert!(fields.iter().eq(expected), "{head}");
    let lower = head.to_lowercase();
    for line in [
        "accept: application/vnd.atlas.preview+json",
        "accept-encoding: gzip",
        "authorization: bearer token",
        &format!("user-agent: my-service/1.0 {}", C::PRODUCT),
    ] {
        assert!(lower.contains(&format!("\r\n{line}")), "{head}");
    }
}

pub fn wrong_settings_are_refused<C: Front>() {
    let build = |setup| {
        let base = BaseUrl::new("http://127.0.0.1:1").unwrap();
        let built = C::new(base, Credentials::bearer("token").unwrap(), setup);
        built.map(|_| ()).unwrap_err()
    };
    let error = build(Setup {
        user_agent: Some("a\r\nX-Evil: 1".to_owned()),
        ..setup()
    });
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    let error = build(Setup {
        proxy: Some("socks5://me:hunter2@127.0.0.1:1".to_owned()),
        ..setup()
    });
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = build(Setup {
            root_certificates: Some(pem.to_owned()),
            ..setup()
        });
        assert_eq!(kind_of(&error), FailureKind::Permanent);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("BEGIN CERTIFICATE"), "{source}");
    }
}

pub fn connections_are_used_again<C: Front>() {
    let atlas = Scripted::start(|_| (200, r#"{"results":[]}"#.to_owned()));
    let count = || atlas.connections.load(Ordering::SeqCst);
    let client: C = nowhere(&atlas.base, setup());
    for _ in 0..5 {
        client.list(&some_request()).unwrap();
    }
    // The pool of an async client may make one more, where a request is faster than the way back of the
    // connection before.
    assert!((1..=2).contains(&count()), "{}", count());
    let before = count();
    // Unless none is to be kept.
    let none = Setup {
        idle: Some((0, Duration::ZERO)),
        ..setup()
    };
    let client: C = nowhere(&atlas.base, none);
    for _ in 0..5 {
        client.list(&some_request()).unwrap();
    }
    assert_eq!(count(), before + 5);
}

pub fn an_error_counts_even_if_its_body_cannot_be_unpacked<C: Front>() {
    let atlas = Atlas::with_keys(1);
    let client: C = atlas.client(Kind::ApiKey, with_limits(once()));
    for body in ["", "no gzip"] {
        let answer = Response::builder()
            .status(403)
            .header("content-encoding", "gzip")
            .body(body.as_bytes().to_vec());
        atlas.answer_next(answer.unwrap());
        let error = client.list(&atlas.request()).unwrap_err();
        assert_eq!(error.status().map(|s| s.as_u16()), Some(403), "{error:?}");
    }
    assert_eq!(client.list(&atlas.request()).unwrap().len(), 1);
}

pub fn a_deadline_that_cuts_a_retry_tells_what_made_it_try_again<C: Front>() {
    let atlas = Atlas::with_keys(1);
    let setup = Setup {
        limits: Some(soon()),
        deadline: Some(Duration::from_millis(500)),
        ..setup()
    };
    let client: C = atlas.client(Kind::Bearer, setup);
    atlas.answer_next(empty(503));
    atlas.server.with(|emulator| {
        emulator.inject("stall-before-head".parse().unwrap(), None);
    });
    let error = client.list(&atlas.request()).unwrap_err();
    assert!(
        matches!(error, Error::GaveUp { attempts: 2, .. }),
        "{error:?}"
    );
    assert!(error.is_retryable());
}

pub fn what_fails_while_connecting_was_not_sent<C: Front>() {
    let (listener, base) = listener();
    // Ends the TLS handshake before it began.
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(drop));
    let client: C = nowhere(&base.replace("http:", "https:"), with_limits(once()));
    let error = client.list(&some_request()).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::NotSent, "{error:?}");
}

pub fn limits_may_be_as_large_as_numbers<C: Front>() {
    let mut limits = once();
    limits.headers = usize::MAX;
    limits.head_bytes = usize::MAX;
    limits.body_bytes = usize::MAX;
    limits.elements = usize::MAX;
    limits.pages = u32::MAX;
    let atlas = Atlas::with_keys(250);
    let client: C = atlas.client(Kind::ServiceAccount, with_limits(limits));
    assert_eq!(ids(&client, &atlas.request(), 4).len(), 250);
}

/// A page that is whole, with its length.
fn whole(page: &str) -> String {
    let length = page.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{page}")
}

/// Answers each request with these bytes.
fn answering(bytes: impl Into<Vec<u8>>) -> Scripted {
    let bytes = bytes.into();
    Scripted::with(move |stream| {
        while read_head(stream)?.is_some() {
            stream.write_all(&bytes)?;
        }
        Ok(())
    })
}

/// Answers each request with `start` and then with `part` again and again, until nobody reads it.
fn flooding(start: &'static str, part: &str) -> Scripted {
    let parts = part.repeat((64 << 10) / part.len() + 1);
    Scripted::with(move |stream| {
        read_head(stream)?;
        stream.write_all(start.as_bytes())?;
        loop {
            stream.write_all(parts.as_bytes())?;
        }
    })
}

/// The limit of a head that made the transport refuse a response.
fn too_large(error: &Error) -> Option<TooLarge> {
    let Error::Transport { source, .. } = error else {
        return None;
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.expose());
    while let Some(error) = cause {
        if let Some(too_large) = error.downcast_ref() {
            return Some(*too_large);
        }
        cause = error.source();
    }
    None
}

/// The one attempt at a page ended for good, because of a limit, and not by the deadline.
fn ends_at_a_limit<C: Front>(atlas: &Scripted) -> TooLarge {
    let deadline = Duration::from_secs(10);
    let setup = Setup {
        deadline: Some(deadline),
        ..setup()
    };
    let client: C = nowhere(&atlas.base, setup);
    let begun = Instant::now();
    let error = client.list(&some_request()).unwrap_err();
    assert!(begun.elapsed() < deadline, "{:?}", begun.elapsed());
    assert_eq!(kind_of(&error), FailureKind::Permanent, "{error:?}");
    assert_eq!(atlas.connections.load(Ordering::SeqCst), 1);
    too_large(&error).unwrap_or_else(|| panic!("{error:?}"))
}

pub fn an_unrequested_second_response_is_never_a_page<C: Front>() {
    let page = |id: &str, next: &str| {
        whole(&format!(
            r#"{{"links":[{next}],"results":[{{"apiKeyId":"{id}"}}]}}"#
        ))
    };
    let (first, second) = (page("a", r#"{"rel":"next"}"#), page("b", ""));
    let foreign = page("foreign", "");
    let atlas = Scripted::with(move |stream| {
        while let Some(head) = read_head(stream)? {
            let page = if page_of(&head) == 1 { &first } else { &second };
            stream.write_all((page.clone() + &foreign).as_bytes())?;
        }
        Ok(())
    });
    for _ in 0..60 {
        let client: C = nowhere(&atlas.base, with_limits(once()));
        assert_eq!(ids(&client, &some_request(), 1), ["a", "b"]);
    }
}

pub fn an_unrequested_response_that_came_late_is_never_a_page<C: Front>() {
    let page = |id: &str, next: &str| {
        whole(&format!(
            r#"{{"links":[{next}],"results":[{{"apiKeyId":"{id}"}}]}}"#
        ))
    };
    let (first, second) = (page("a", r#"{"rel":"next"}"#), page("b", ""));
    let foreign = page("foreign", "");
    let (tell, sent) = mpsc::channel();
    let atlas = Scripted::with(move |stream| {
        while let Some(head) = read_head(stream)? {
            let page = if page_of(&head) == 1 { &first } else { &second };
            stream.write_all(page.as_bytes())?;
            thread::sleep(Duration::from_millis(1));
            stream.write_all(foreign.as_bytes())?;
            let _ = tell.send(());
        }
        Ok(())
    });
    for _ in 0..60 {
        let client: C = nowhere(&atlas.base, with_limits(once()));
        let mut keys = client.keys(&some_request(), 1);
        assert_eq!(
            keys.next()
                .unwrap()
                .unwrap()
                .api_key_id()
                .unwrap()
                .to_owned(),
            "a"
        );
        sent.recv().unwrap();
        assert_eq!(
            keys.next()
                .unwrap()
                .unwrap()
                .api_key_id()
                .unwrap()
                .to_owned(),
            "b"
        );
        assert!(keys.next().is_none());
        sent.recv().unwrap();
    }
}

pub fn a_head_beyond_the_limits_is_permanent_and_named<C: Front>() {
    let limits = atlas_model_keys_core::Limits::default();
    let (bytes, fields) = (limits.head_bytes, limits.headers);
    let status = "HTTP/1.1 200 OK\r\n";
    let end = "content-length: 14\r\n\r\n{\"results\":[]}";
    let long = format!("{status}x: {}\r\n{end}", "y".repeat(1 << 20));
    let many = format!("{status}{}{end}", "x: y\r\n".repeat(fields + 72));
    for (atlas, expected) in [
        (answering(long), TooLarge::HeadBytes(bytes)),
        (answering(many), TooLarge::HeaderFields(fields)),
    ] {
        assert_eq!(ends_at_a_limit::<C>(&atlas), expected);
    }
    // Beyond both of them.
    let many = format!("{status}{}{end}", "x: yyyyyyyy\r\n".repeat(10_000));
    for atlas in [answering(many), flooding(status, "x: yyyyyyyy\r\n")] {
        let limit = ends_at_a_limit::<C>(&atlas);
        assert!(
            [TooLarge::HeadBytes(bytes), TooLarge::HeaderFields(fields)].contains(&limit),
            "{limit:?}"
        );
    }
}

/// An empty page in gzip.
const GZIP: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 74, 45, 46, 205, 41, 41, 86, 178, 138, 142, 173,
    5, 0, 10, 39, 124, 158, 14, 0, 0, 0,
];

pub fn zeros_after_a_gzip_body_are_ignored<C: Front>() {
    for zeros in [0, 1, 7, 512, 100_000] {
        let body = [GZIP, &vec![0; zeros]].concat();
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n"
        );
        let atlas = answering([head.as_bytes(), &body].concat());
        let client: C = nowhere(&atlas.base, with_limits(once()));
        assert!(client.list(&some_request()).unwrap().is_empty(), "{zeros}");
    }
}

/// The first page is not there within the deadline.
fn times_out<C: Front>(base: &str, setup: Setup) {
    let deadline = Duration::from_millis(300);
    let setup = Setup {
        deadline: Some(deadline),
        ..setup
    };
    let base = BaseUrl::allowing_plain_http(base).unwrap();
    let client = C::new(base, Credentials::bearer("token").unwrap(), setup).unwrap();
    let begun = Instant::now();
    let error = client.list(&some_request()).unwrap_err();
    assert_eq!(kind_of(&error), FailureKind::TimedOut, "{error:?}");
    assert!(begun.elapsed() >= deadline);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

pub fn a_deadline_that_passes_while_connecting_is_timed_out<C: Front>() {
    // Nobody speaks TLS there.
    let (_silent, base) = listener();
    let base = base.replace("http:", "https:");
    times_out::<C>(&base, setup());
    // Both end at the same time.
    let as_long = Setup {
        connect_timeout: Some(Duration::from_millis(300)),
        ..setup()
    };
    times_out::<C>(&base, as_long);
}

pub fn a_deadline_that_passes_in_a_proxy_is_timed_out<C: Front>() {
    let (_silent, proxy) = listener();
    for base in ["http://atlas.example", "https://atlas.example"] {
        let through = Setup {
            proxy: Some(proxy.clone()),
            ..setup()
        };
        times_out::<C>(base, through);
    }
}

pub fn a_deadline_that_passes_within_a_body_is_timed_out<C: Front>() {
    for start in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-",
        &whole("{\"results\":[]}")[..50],
    ] {
        let atlas = answering(start);
        times_out::<C>(&atlas.base, setup());
    }
}
