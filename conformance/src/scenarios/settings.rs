//! Settings of a client: those that it sends, those that it refuses, and extreme ones.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Error, FailureKind};

use crate::client::{Setup, TestClient, no_retries};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::{client_for, failure, ids, request, token};
use crate::loopback::{listener, read_head};

scenarios!(settings, {
    fn request_has_the_expected_target_and_fields<C: TestClient>() {
        let (listener, base) = listener();
        let setup = Setup {
            user_agent: Some("my-service/1.0".to_owned()),
            ..Setup::without_retries()
        };
        let client: C = client_for(&format!("{base}/prefix"), setup);
        let head = thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let head = read_head(&mut stream).unwrap().unwrap();
                let response = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[]}";
                stream.write_all(response).unwrap();
                head
            });
            assert!(client.list(&request()).unwrap().is_empty());
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
        // No other fields, and none that belong to a body.
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

    fn invalid_settings_are_refused<C: TestClient>() {
        let build = |setup| {
            let base = BaseUrl::new("http://127.0.0.1:1").unwrap();
            let built = C::new(base, token(), setup);
            built.map(|_| ()).unwrap_err()
        };
        let error = build(Setup {
            user_agent: Some("a\r\nX-Evil: 1".to_owned()),
            ..Setup::default()
        });
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        let error = build(Setup {
            proxy: Some("socks5://me:hunter2@127.0.0.1:1".to_owned()),
            ..Setup::default()
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
                ..Setup::default()
            });
            assert_eq!(failure(&error).0, FailureKind::Permanent);
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("BEGIN CERTIFICATE"), "{source}");
        }
    }

    fn timeouts_can_have_the_largest_duration<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(3);
        let setup = Setup {
            deadline: Some(Duration::MAX),
            connect_timeout: Some(Duration::MAX),
            read_timeout: Some(Duration::MAX),
            idle: Some((usize::MAX, Duration::MAX)),
            ..Setup::default()
        };
        let client: C = atlas.client(CredentialKind::Bearer, setup);
        for _ in 0..2 {
            assert_eq!(client.list(&atlas.request()).unwrap().len(), 3);
        }
    }

    fn limits_can_have_the_largest_numbers<C: TestClient>() {
        let mut limits = no_retries();
        limits.headers = usize::MAX;
        limits.head_bytes = usize::MAX;
        limits.body_bytes = usize::MAX;
        limits.elements = usize::MAX;
        limits.pages = u32::MAX;
        let atlas = EmulatedAtlas::with_keys(250);
        let client: C = atlas.client(CredentialKind::ServiceAccount, Setup::with_limits(limits));
        assert_eq!(ids(&client, &atlas.request(), 4).len(), 250);
    }
});
