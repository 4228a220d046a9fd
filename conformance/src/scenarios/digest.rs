//! Digest authentication: nonces in sequential and in parallel requests.

use std::thread;

use atlas_model_keys_emulator::Emulator;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};

scenarios!(digest, {
    fn expired_nonces_cost_one_round_trip_each<C: TestClient>() {
        for ahead in [1, 4] {
            let atlas = EmulatedAtlas::with_keys(1_050);
            let client: C = atlas.client(CredentialKind::ApiKey, Setup::default());
            let mut keys = client.keys(&atlas.request(), ahead);
            let mut seen: Vec<_> = keys.by_ref().take(150).collect();
            atlas.server.with(Emulator::expire_nonces);
            seen.extend(keys);
            let seen = seen
                .into_iter()
                .map(|key| key.unwrap().api_key_id().unwrap().to_owned());
            assert_eq!(seen.collect::<Vec<_>>(), atlas.ids());
            // Eleven pages, and a challenge for each nonce that was in use before and after.
            let most = 11 + 2 * u64::try_from(ahead).unwrap() + 1;
            let (lists, _) = atlas.requests();
            assert!((13..=most).contains(&lists), "{lists}");
        }
    }

    fn parallel_callers_never_share_a_nonce<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(7);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::default());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        assert_eq!(client.list(&atlas.request()).unwrap().len(), 7);
                    }
                });
            }
        });
        // At most one challenge for each caller.
        let (lists, _) = atlas.requests();
        assert!((161..=168).contains(&lists), "{lists}");
    }
});
