//! The feature `tracing` of both clients: what a span says, and what it never says.

mod log;

use atlas_model_keys_conformance::{Atlas, Blocking, Front, Kind, NonBlocking, Setup, atlas};
use atlas_model_keys_emulator::{Config, Route};
use http::{HeaderMap, StatusCode};
use log::Log;
use tracing_subscriber::fmt::format::FmtSpan;

fn each_exchange_is_a_span<C: Front>(log: &Log) {
    let config = Config {
        keys_per_group: 1,
        include_secrets: true,
        ..Config::default()
    };
    let atlas = Atlas::start(config, Default::default());
    let path = format!("/api/atlas/v2/groups/{}/aiModelApiKeys", atlas.group);
    for kind in Kind::ALL {
        let setup = Setup {
            limits: Some(atlas::soon()),
            ..Setup::default()
        };
        let client: C = atlas.client(kind, setup);
        atlas.server.with(|emulator| {
            let busy = StatusCode::SERVICE_UNAVAILABLE;
            emulator.fail_next(1, Route::ListGroupKeys, busy, &HeaderMap::new());
        });
        client.list(&atlas.request()).unwrap();
        let text = log.take();
        // Of this crate's own; hyper and rustls have theirs, and must not say more either.
        let spans: Vec<_> = text
            .lines()
            .filter(|line| line.contains("atlas_model_keys: close"))
            .collect();
        let span = |method, path: &str, attempt, status| {
            let wanted = format!("method=\"{method}\" path=\"{path}\" attempt={attempt}");
            let has = |line: &&&str| line.contains(&wanted) && line.contains(status);
            let found = spans.iter().filter(has).count();
            assert_eq!(found, 1, "{wanted} {status} in {text}");
        };
        span("GET", &path, 1, "status=503");
        span("GET", &path, 2, "status=200");
        if matches!(kind, Kind::ServiceAccount) {
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

    // One that fails says so.
    let (nobody, base) = atlas::listener();
    drop(nobody);
    let setup = Setup {
        limits: Some(atlas::once()),
        ..Setup::default()
    };
    let base = atlas_model_keys_core::BaseUrl::new(&base).unwrap();
    let client = C::new(base, atlas.credentials(Kind::Bearer), setup).unwrap();
    client.list(&atlas.request()).unwrap_err();
    let text = log.take();
    assert!(text.contains("failure=NotSent"), "{text}");
}

#[test]
fn each_exchange_is_a_span_without_secrets() {
    let log = Log::default();
    // For all threads, since those of a runtime are among them: so there is one test only.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    each_exchange_is_a_span::<Blocking>(&log);
    each_exchange_is_a_span::<NonBlocking>(&log);
}
