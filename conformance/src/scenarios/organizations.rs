//! Organizations: the keys of all groups of an organization.

use std::collections::BTreeSet;

use atlas_model_keys_core::{Endpoint, ItemsPerPage, OrgId, OrgListRequest};
use atlas_model_keys_emulator::Config;
use atlas_model_keys_emulator::server::Options;

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};

scenarios!(organizations, {
    fn keys_of_an_organization_are_those_of_its_groups<C: TestClient>() {
        let config = Config::default().with_groups(2).with_keys_per_group(250);
        let atlas = EmulatedAtlas::start(config, Options::default());
        let (org, expected): (OrgId, Vec<String>) = atlas.server.with(|emulator| {
            let groups = [atlas.group, emulator.forbidden_group().unwrap()];
            let keys = groups.iter().flat_map(|group| emulator.keys(*group));
            let ids = keys.map(|key| key.api_key_id.clone().unwrap());
            (emulator.first_org(), ids.collect())
        });
        assert!(expected.len() > 250);
        for kind in CredentialKind::ALL {
            let client: C = atlas.client(kind, Setup::default());
            let request = OrgListRequest::new(org).with_items_per_page(ItemsPerPage::MAX);
            let keys = client.list_all(&request).unwrap();
            let ids: Vec<&str> = keys.iter().map(|key| key.api_key_id().unwrap()).collect();
            assert_eq!(ids, expected, "{kind:?}");
            let groups: BTreeSet<_> = keys.iter().map(|key| key.group_id()).collect();
            assert_eq!(groups.len(), 2, "{kind:?}");
            let ahead = client.keys(&OrgListRequest::new(org), 4);
            let ahead: Vec<_> = ahead.map(Result::unwrap).collect();
            assert!(ahead == keys, "{kind:?}");
        }
    }

    fn error_of_an_organization_names_its_endpoint<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(1);
        let client: C = atlas.client(CredentialKind::ServiceAccount, Setup::default());
        let other: OrgId = "0123456789abcdef01234567".parse().unwrap();
        let error = client.list_all(&OrgListRequest::new(other)).unwrap_err();
        let api_error = error.api_error().unwrap();
        assert_eq!(api_error.status, 404);
        assert_eq!(api_error.endpoint, Endpoint::OrgModelKeys);
    }
});
