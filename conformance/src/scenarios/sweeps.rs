//! The list of groups, and the keys of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use atlas_model_keys_core::{Error, GroupId, GroupsRequest, ItemsPerPage, Limits, ListRequest};
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, TokenBucket};

use crate::client::{Setup, TestClient, fast_retries};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};

fn config() -> Config {
    Config::default().with_groups(40).with_keys_per_group(250)
}

scenarios!(sweeps, {
    fn all_groups_are_listed_and_then_their_keys<C: TestClient>() {
        let atlas = EmulatedAtlas::start(config(), Options::default());
        let forbidden = atlas.server.with(|e| e.forbidden_group().unwrap());
        for kind in CredentialKind::ALL {
            let client: C = atlas.client(kind, Setup::default());
            for ahead in [1, 3] {
                let request = GroupsRequest::new();
                let request = request.with_items_per_page(ItemsPerPage::new(7).unwrap());
                let listed = client.groups(&request, ahead);
                let listed: Vec<_> = listed.map(Result::unwrap).collect();
                let groups: Vec<GroupId> = listed
                    .iter()
                    .map(|group| group.id().unwrap().parse().unwrap())
                    .collect();
                assert!(atlas.server.with(|e| e.groups().eq(groups.iter().copied())));
                assert!(listed.iter().all(|group| group.name().is_some()));

                let requests = groups.iter().map(|group| ListRequest::new(*group));
                let mut keys: BTreeMap<GroupId, usize> = BTreeMap::new();
                let mut ended = Vec::new();
                for item in client.sweep(requests.collect(), 8 * ahead) {
                    match item.page {
                        Ok(page) => *keys.entry(item.group).or_default() += page.len(),
                        Err(error) => {
                            assert!(matches!(error, Error::Authentication { .. }), "{error}");
                            assert_eq!(item.group, forbidden);
                            assert!(item.is_last);
                        }
                    }
                    if item.is_last {
                        ended.push(item.group);
                    }
                }
                // The items came in the order of the groups, and no group is missing.
                assert_eq!(ended, groups, "{kind:?}");
                for (group, keys) in keys {
                    assert_eq!(keys, atlas.server.with(|e| e.keys(group).len()), "{kind:?}");
                }
            }
        }
        assert_eq!(atlas.server.with(|emulator| emulator.token_requests()), 1);
    }

    fn rate_limit_that_all_groups_share_is_waited_out<C: TestClient>() {
        let config = config()
            // `Retry-After` is in whole seconds.
            .with_rate_limit(TokenBucket::new(15, 20, Duration::from_secs(1)))
            .with_shared_rate_limit(true)
            .with_keys_per_group(3);
        let atlas = EmulatedAtlas::start(config, Options::default());
        let mut limits: Limits = fast_retries();
        limits.retry.waits_out_rate_limits = true;
        let client: C = atlas.client(CredentialKind::ServiceAccount, Setup::with_limits(limits));
        let groups: Vec<_> = atlas.server.with(|emulator| {
            let list = |group| ListRequest::new(group).with_items_per_page(ItemsPerPage::MAX);
            emulator.groups().map(list).collect()
        });
        let count = groups.len();
        let mut refused = 0;
        for item in client.sweep(groups, 8) {
            match item.page {
                Ok(_) => {}
                Err(Error::Authentication { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 1);
        let requests = atlas.server.with(|emulator| emulator.requests());
        // Some requests got 429, so the limit was reached.
        assert!(requests > u64::try_from(count).unwrap() + 1, "{requests}");
    }

    fn sweep_that_is_dropped_leaves_the_client_usable<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(3);
        let client: C = atlas.client(CredentialKind::ApiKey, Setup::default());
        let groups = vec![atlas.request(); 50];
        let mut sweep = client.sweep(groups, 8);
        assert_eq!(sweep.next().unwrap().page.unwrap().len(), 3);
        drop(sweep);
        assert_eq!(client.list(&atlas.request()).unwrap().len(), 3);
        assert_eq!(client.sweep(Vec::new(), 8).count(), 0);
    }
});
