//! Retries: which failures are retried, and what a caller learns about them.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use atlas_model_keys_core::{Error, FailureKind};
use atlas_model_keys_emulator::{Route, error_response};
use atlas_model_keys_transport::{Event, WaitReason};
use http::{HeaderMap, Response, StatusCode};

use crate::client::{Setup, TestClient, fast_retries};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::{client_for, failure, ids, request};
use crate::loopback::listener;

scenarios!(retries, {
    fn temporary_errors_are_retried<C: TestClient>() {
        for kind in CredentialKind::ALL {
            let atlas = EmulatedAtlas::with_keys(250);
            let client: C = atlas.client(kind, Setup::with_fast_retries());
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

    fn wait_is_reported_with_its_delay_and_reason<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        atlas.respond_to_next_list(error_response(StatusCode::TOO_MANY_REQUESTS));
        let (sender, waits) = mpsc::channel();
        let setup = Setup {
            on_event: Some(Box::new(move |event| {
                if let Event::Waiting { delay, reason, .. } = event {
                    let status = match reason {
                        WaitReason::Response(error) => Some(error.status.as_u16()),
                        _ => None,
                    };
                    let is_short = *delay <= Duration::from_millis(1);
                    sender.send((is_short, status)).unwrap();
                }
            })),
            ..Setup::with_fast_retries()
        };
        let client: C = atlas.client(CredentialKind::Bearer, setup);
        client.list(&atlas.request()).unwrap();
        assert_eq!(waits.try_iter().collect::<Vec<_>>(), [(true, Some(429))]);
    }

    fn truncated_body_is_lost_and_retried<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(5);
        let truncated = || {
            Response::builder()
                .header("content-length", "1000")
                .body(b"{\"results\":[]}".to_vec())
                .unwrap()
        };
        atlas.respond_to_next_list(truncated());
        let client: C = atlas.client(CredentialKind::Bearer, Setup::without_retries());
        let error = client.list(&atlas.request()).unwrap_err();
        assert_eq!(failure(&error).0, FailureKind::Lost);

        atlas.respond_to_next_list(truncated());
        let client: C = atlas.client(CredentialKind::Bearer, Setup::with_fast_retries());
        assert_eq!(client.list(&atlas.request()).unwrap().len(), 5);
    }

    fn unreachable_server_is_reported_as_not_sent<C: TestClient>() {
        let (closed, base) = listener();
        drop(closed);
        let mut limits = fast_retries();
        limits.retry.attempts = 3;
        for base in [base.as_str(), "https://does-not-exist.invalid"] {
            // Independent of the proxies that the environment names.
            let setup = Setup {
                limits: Some(limits.clone()),
                proxy: Some(String::new()),
                ..Setup::default()
            };
            let client: C = client_for(base, setup);
            let error = client.list(&request()).unwrap_err();
            assert!(
                matches!(error, Error::Transport { attempts: 3, .. }),
                "{error:?}"
            );
            assert_eq!(failure(&error).0, FailureKind::NotSent, "{error:?}");
        }
    }

    fn failed_tls_handshake_is_reported_as_not_sent<C: TestClient>() {
        let (listener, base) = listener();
        // Closes each connection before the TLS handshake.
        thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(drop));
        let client: C = client_for(&base.replace("http:", "https:"), Setup::without_retries());
        let error = client.list(&request()).unwrap_err();
        assert_eq!(failure(&error).0, FailureKind::NotSent, "{error:?}");
    }
});
