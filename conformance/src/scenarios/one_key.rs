//! One key of a group or an organization.

use atlas_model_keys_core::{ApiVersion, Endpoint, KeyRequest, OrgKeyRequest, OrgListRequest};
use atlas_model_keys_emulator::Config;
use atlas_model_keys_emulator::server::Options;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};

scenarios!(one_key, {
    fn one_key_equals_the_key_in_the_list<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(12);
        let org = atlas.server.with(|e| e.first_org());
        for kind in CredentialKind::ALL {
            let client: C = atlas.client(kind, Setup::default());
            let keys = client.list_all(&atlas.request()).unwrap();
            let id = |key: &str| key.parse().unwrap();
            for key in &keys {
                let request = KeyRequest::new(atlas.group, id(key.api_key_id().unwrap()));
                assert_eq!(client.get(&request).unwrap(), *key, "{kind:?}");
                let enveloped = request.with_envelope(true).with_pretty(true);
                assert_eq!(client.get(&enveloped).unwrap(), *key, "{kind:?}");
            }
            let keys = client.list_all(&OrgListRequest::new(org)).unwrap();
            let request = OrgKeyRequest::new(org, id(keys[5].api_key_id().unwrap()));
            assert_eq!(client.get(&request).unwrap(), keys[5], "{kind:?}");
        }
    }

    fn unknown_key_is_an_error_that_names_its_endpoint<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::default());
        let request = KeyRequest::new(atlas.group, "unknown".parse().unwrap());
        let error = client.get(&request).unwrap_err();
        let api_error = error.api_error().unwrap();
        assert_eq!(api_error.status, 404);
        assert_eq!(api_error.endpoint, Endpoint::ModelKey);
    }

    fn withdrawn_preview_is_replaced_for_one_key_too<C: TestClient>() {
        let config = Config::default().with_withdrawn(vec![ApiVersion::PREVIEW]);
        let atlas = EmulatedAtlas::start(config, Options::default());
        let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
        let id = atlas.server.with(|emulator| {
            let key = emulator.keys(atlas.group).first().unwrap();
            key.api_key_id.clone().unwrap()
        });
        let request = KeyRequest::new(atlas.group, id.parse().unwrap());
        for _ in 0..2 {
            let key = client.get(&request).unwrap();
            // The dated version has more fields.
            assert_eq!(key.cloud(), Some("ANY"));
        }
        assert_eq!(atlas.server.with(|emulator| emulator.requests()), 3);
    }
});
