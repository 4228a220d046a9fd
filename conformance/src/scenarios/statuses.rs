//! Responses with a status other than 200.

use atlas_model_keys_core::{ApiVersion, Credentials, Endpoint, Error, Refused};
use atlas_model_keys_emulator::error_response;
use http::{Response, StatusCode};

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::request;
use crate::loopback::listener;

scenarios!(statuses, {
    fn each_status_has_its_error<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::without_retries());
        let error = client.list(&request()).unwrap_err();
        let api_error = error.api_error().unwrap();
        assert_eq!(api_error.status, StatusCode::NOT_FOUND);
        assert_eq!(api_error.error_code.as_deref(), Some("GROUP_NOT_FOUND"));
        assert_eq!(api_error.endpoint, Endpoint::ModelKeys);

        for status in [400, 402, 403, 404, 405, 407, 409, 451, 500, 502, 503, 599] {
            let code = StatusCode::from_u16(status).unwrap();
            for response in [
                error_response(code),
                Response::builder().status(code).body(Vec::new()).unwrap(),
            ] {
                atlas.respond_to_next_list(response);
                let error = client.list(&atlas.request()).unwrap_err();
                assert_eq!(error.status(), Some(code), "{error}");
                let gave_up = matches!(error, Error::GaveUp { attempts: 1, .. });
                assert_eq!(gave_up, status >= 500, "{error:?}");
            }
        }
        atlas.respond_to_next_list(error_response(StatusCode::TOO_MANY_REQUESTS));
        let error = client.list(&atlas.request()).unwrap_err();
        assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");

        // A status of 200 does not make a page.
        for body in ["", "<html>", "{}", "[]"] {
            let client: C = atlas.client(CredentialKind::Bearer, Setup::without_retries());
            atlas.respond_to_next_list(Response::new(body.as_bytes().to_vec()));
            let error = client.list(&atlas.request()).unwrap_err();
            assert!(matches!(error, Error::InvalidResponse(_)), "{error:?}");
        }

        // Wrong credentials of each kind.
        let wrong = [
            (Credentials::bearer("wrong"), Refused::Token),
            (
                Credentials::service_account("mdb_sa_id_wrong", "mdb_sa_sk_wrong"),
                Refused::ServiceAccount,
            ),
            (Credentials::api_key("wrong", "wrong"), Refused::ApiKey),
        ];
        for (credentials, expected) in wrong {
            let client = C::new(atlas.base(), credentials.unwrap(), Setup::default()).unwrap();
            let error = client.list(&atlas.request()).unwrap_err();
            match error {
                Error::Authentication { refused, .. } => assert_eq!(refused, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    fn error_status_counts_if_its_body_cannot_be_decompressed<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::without_retries());
        for body in ["", "no gzip"] {
            let response = Response::builder()
                .status(403)
                .header("content-encoding", "gzip")
                .body(body.as_bytes().to_vec());
            atlas.respond_to_next_list(response.unwrap());
            let error = client.list(&atlas.request()).unwrap_err();
            assert_eq!(error.status().map(|s| s.as_u16()), Some(403), "{error:?}");
        }
        assert_eq!(client.list(&atlas.request()).unwrap().len(), 1);
    }

    fn redirect_is_an_error_and_not_followed<C: TestClient>() {
        let (elsewhere, base) = listener();
        elsewhere.set_nonblocking(true).unwrap();
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::default());
        for target in [base, atlas.server.base_url(), "/".to_owned()] {
            for status in [301, 302, 303, 307, 308] {
                let response = Response::builder()
                    .status(status)
                    .header("location", &target);
                atlas.respond_to_next_list(response.body(Vec::new()).unwrap());
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

    fn version_withdrawn_during_a_listing_is_replaced_unless_pinned<C: TestClient>() {
        for ahead in [1, 4] {
            let atlas = EmulatedAtlas::with_keys(1_050);
            let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
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

            // A pinned version is not replaced.
            let pinned = Setup {
                version: Some(ApiVersion::PREVIEW),
                ..Setup::default()
            };
            let client: C = atlas.client(CredentialKind::Bearer, pinned);
            let error = client.list(&atlas.request()).unwrap_err();
            assert!(matches!(
                error.status().map(|s| s.as_u16()),
                Some(406 | 410)
            ));
        }
    }
});
