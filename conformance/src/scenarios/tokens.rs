//! Access tokens: one request for all callers (single flight), renewal, export and revocation.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::Error;
use atlas_model_keys_emulator::{Emulator, Route};
use http::Response;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};

scenarios!(tokens, {
    fn hundred_callers_fetch_one_token<C: TestClient>() {
        // With latency, the token request is still in flight when the last caller starts.
        let atlas = EmulatedAtlas::with_latency(42, Duration::from_millis(50));
        let client: C = atlas.client(CredentialKind::ServiceAccount, Setup::default());
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

    fn followers_fetch_the_token_if_the_leader_gives_up<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(3);
        // `Retry-After` exceeds the deadline of the caller that fetches the token, so that this caller fails.
        let busy = Response::builder().status(429).header("retry-after", "60");
        let busy = busy.body(Vec::new()).unwrap();
        atlas
            .server
            .with(|emulator| emulator.respond_next(Route::Token, busy));
        let setup = Setup {
            deadline: Some(Duration::from_secs(40)),
            ..Setup::default()
        };
        let client: C = atlas.client(CredentialKind::ServiceAccount, setup);
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
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }

    fn token_revoked_during_a_listing_is_renewed<C: TestClient>() {
        for ahead in [1, 4] {
            let atlas = EmulatedAtlas::with_keys(1_050);
            let client: C = atlas.client(CredentialKind::ServiceAccount, Setup::default());
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

    fn exported_token_is_used_until_it_is_revoked<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(3);
        let first: C = atlas.client(CredentialKind::ServiceAccount, Setup::default());
        assert!(first.export_token().is_none());
        first.revoke_token().unwrap();
        first.list(&atlas.request()).unwrap();
        let token = first.export_token().unwrap();
        let second: C = atlas.client(CredentialKind::ServiceAccount, Setup::default());
        second.restore_token(&token).unwrap();
        second.list(&atlas.request()).unwrap();
        assert_eq!(atlas.requests().1, 1);

        second.revoke_token().unwrap();
        second.list(&atlas.request()).unwrap();
        assert_eq!(atlas.requests().1, 2);
        let other: C = atlas.client(CredentialKind::ApiKey, Setup::default());
        assert!(matches!(
            other.restore_token(&token),
            Err(Error::Invalid(_))
        ));
    }
});
