//! Deadlines and timeouts.

use std::time::{Duration, Instant};

use atlas_model_keys_core::{Error, FailureKind};
use atlas_model_keys_emulator::Fault;
use http::Response;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::{client_for, failure, request};
use crate::loopback::{self, LoopbackServer, listener};

/// Checks that a request ends at its deadline with `TimedOut`.
fn times_out<C: TestClient>(base: &str, setup: Setup) {
    let deadline = Duration::from_millis(300);
    let setup = Setup {
        deadline: Some(deadline),
        ..setup
    };
    let client: C = client_for(base, setup);
    let begun = Instant::now();
    let error = client.list(&request()).unwrap_err();
    assert_eq!(failure(&error).0, FailureKind::TimedOut, "{error:?}");
    assert!(begun.elapsed() >= deadline);
    assert!(begun.elapsed() < Duration::from_secs(20));
}

scenarios!(deadlines, {
    fn silent_server_ends_at_the_read_timeout_or_the_deadline<C: TestClient>() {
        let atlas = EmulatedAtlas::with_latency(1, Duration::from_secs(60));
        let begun = Instant::now();
        let silent = Setup {
            read_timeout: Some(Duration::from_millis(50)),
            ..Setup::without_retries()
        };
        let client: C = atlas.client(CredentialKind::Bearer, silent);
        let error = client.list(&atlas.request()).unwrap_err();
        assert_eq!(failure(&error).0, FailureKind::Lost);

        let late = Setup {
            deadline: Some(Duration::from_millis(50)),
            ..Setup::default()
        };
        let client: C = atlas.client(CredentialKind::Bearer, late);
        for ahead in [1, 4] {
            let error = client.pages(&atlas.request(), ahead).next().unwrap();
            assert_eq!(failure(&error.unwrap_err()).0, FailureKind::TimedOut);
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    fn wait_beyond_the_deadline_fails_at_once_with_its_reason<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let response = Response::builder().status(429).header("retry-after", "60");
        atlas.respond_to_next_list(response.body(Vec::new()).unwrap());
        let setup = Setup {
            deadline: Some(Duration::from_secs(30)),
            ..Setup::default()
        };
        let client: C = atlas.client(CredentialKind::Bearer, setup);
        let begun = Instant::now();
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(
            matches!(error, Error::RateLimited { attempts: 1, .. }),
            "{error:?}"
        );
        assert!(error.retry_after().unwrap() >= Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    fn deadline_during_a_retry_reports_the_cause_of_the_retry<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let setup = Setup {
            deadline: Some(Duration::from_millis(500)),
            ..Setup::with_fast_retries()
        };
        let client: C = atlas.client(CredentialKind::Bearer, setup);
        let unavailable = Response::builder().status(503).body(Vec::new());
        atlas.respond_to_next_list(unavailable.unwrap());
        atlas
            .server
            .with(|emulator| emulator.inject(Fault::STALL_BEFORE_HEAD));
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(
            matches!(error, Error::GaveUp { attempts: 2, .. }),
            "{error:?}"
        );
        assert!(error.is_retryable());
    }

    fn deadline_during_connect_is_timed_out<C: TestClient>() {
        // A server that never answers the TLS handshake.
        let (_silent, base) = listener();
        let base = base.replace("http:", "https:");
        times_out::<C>(&base, Setup::default());
        // The deadline counts if both times pass at once.
        let as_long = Setup {
            connect_timeout: Some(Duration::from_millis(300)),
            ..Setup::default()
        };
        times_out::<C>(&base, as_long);
    }

    fn deadline_during_a_proxy_handshake_is_timed_out<C: TestClient>() {
        let (_silent, proxy) = listener();
        for base in ["http://atlas.example", "https://atlas.example"] {
            let through = Setup {
                proxy: Some(proxy.clone()),
                ..Setup::default()
            };
            times_out::<C>(base, through);
        }
    }

    fn deadline_during_a_response_is_timed_out<C: TestClient>() {
        for start in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-",
            &loopback::response(200, "{\"results\":[]}")[..50],
        ] {
            let server = LoopbackServer::with_bytes(start);
            times_out::<C>(&server.base(), Setup::default());
        }
    }
});
