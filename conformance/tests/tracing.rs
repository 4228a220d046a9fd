//! The feature `tracing` of both clients: each exchange is a span, and no span contains a secret.

mod log;

use atlas_model_keys_conformance::fixtures::client_for;
use atlas_model_keys_conformance::loopback::listener;
use atlas_model_keys_conformance::{
    CredentialKind, EmulatedAtlas, HyperClient, Setup, TestClient, UreqClient,
};
use atlas_model_keys_emulator::{Config, Route};
use http::{HeaderMap, StatusCode};
use log::Log;
use tracing_subscriber::fmt::format::FmtSpan;

fn each_exchange_is_a_span<C: TestClient>(log: &Log) {
    let config = Config::default()
        .with_keys_per_group(1)
        .with_include_secrets(true);
    let atlas = EmulatedAtlas::start(config, Default::default());
    let path = format!("/api/atlas/v2/groups/{}/aiModelApiKeys", atlas.group);
    for kind in CredentialKind::ALL {
        let client: C = atlas.client(kind, Setup::with_fast_retries());
        atlas.server.with(|emulator| {
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            emulator.fail_next(1, Route::ListGroupKeys, busy, &HeaderMap::new());
        });
        client.list(&atlas.request()).unwrap();
        let text = log.take();
        // The spans of the clients. The checks below for secrets also cover the events of hyper and rustls.
        let spans: Vec<_> = text
            .lines()
            .filter(|line| line.contains("atlas_model_keys: close"))
            .collect();
        let span = |method, path: &str, attempt, status| {
            let expected = format!("method=\"{method}\" path=\"{path}\" attempt={attempt}");
            let has = |line: &&&str| line.contains(&expected) && line.contains(status);
            let found = spans.iter().filter(has).count();
            assert_eq!(found, 1, "{expected} {status} in {text}");
        };
        span("GET", &path, 1, "status=503");
        span("GET", &path, 2, "status=200");
        if matches!(kind, CredentialKind::ServiceAccount) {
            span("POST", "/api/oauth/token", 1, "status=200");
        }
        assert!(spans.iter().all(|line| line.contains("duration_ms=")));
        let secrets = atlas.server.with(|emulator| {
            let mut secrets = vec![
                emulator.access_token().to_owned(),
                emulator.service_account().client_secret.clone(),
                emulator.api_key().private_key.clone(),
            ];
            let keys = emulator.keys(atlas.group).iter();
            secrets.extend(keys.filter_map(|key| key.secret.clone()));
            secrets
        });
        assert!(secrets.len() > 3);
        for secret in secrets {
            assert!(!text.contains(&secret), "{text}");
        }
        let lower = text.to_lowercase();
        for word in ["bearer", "basic", "nonce", "maskedsecret"] {
            assert!(!lower.contains(word), "{word} in {text}");
        }
    }

    // The span of a failed exchange names the kind of failure.
    let (closed, base) = listener();
    drop(closed);
    let client: C = client_for(&base, Setup::without_retries());
    client.list(&atlas.request()).unwrap_err();
    let text = log.take();
    assert!(text.contains("failure=NotSent"), "{text}");
}

#[test]
fn each_exchange_is_a_span_without_secrets() {
    let log = Log::default();
    // A global subscriber also covers the threads of the runtime. A process can have only one, so this file has one test.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    each_exchange_is_a_span::<UreqClient>(&log);
    each_exchange_is_a_span::<HyperClient>(&log);
}
