//! Rate limits, which all callers of a client share.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, TokenBucket};
use http::Response;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::ids;

scenarios!(rate_limits, {
    fn rate_limit_is_waited_out_by_all_requests<C: TestClient>() {
        // The second response has `RateLimit-Remaining: 0`.
        let config = Config::default()
            .with_keys_per_group(700)
            .with_rate_limit(TokenBucket::new(2, 5, Duration::from_secs(1)));
        let atlas = EmulatedAtlas::start(config, Options::default());
        let client: C = atlas.client(CredentialKind::Bearer, Setup::with_fast_retries());
        assert_eq!(ids(&client, &atlas.request(), 7), atlas.ids());
        // The requests went one by one, and the early ones waited together: there are far fewer 429s than one for each
        // page and each attempt.
        let (lists, _) = atlas.requests();
        assert!(lists <= 7 + 6, "{lists}");
    }

    fn one_429_delays_all_callers<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::Bearer, Setup::with_fast_retries());
        let busy = Response::builder().status(429).header("retry-after", "1");
        atlas.respond_to_next_list(busy.body(Vec::new()).unwrap());
        let begun = Instant::now();
        thread::scope(|scope| {
            let (sender, started) = mpsc::channel();
            let first = client.clone();
            let request = atlas.request();
            scope.spawn(move || {
                sender.send(()).unwrap();
                first.list(&request).unwrap();
            });
            started.recv().unwrap();
            while atlas.requests().0 == 0 {
                thread::yield_now();
            }
            for _ in 0..10 {
                scope.spawn(|| client.list(&atlas.request()).unwrap());
            }
        });
        // The callers after the 429 waited for its `Retry-After`.
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(atlas.requests().0, 12);
    }
});
