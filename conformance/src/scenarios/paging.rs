//! Paging: every key arrives once, in order, and errors end a listing.

use atlas_model_keys_core::{ItemsPerPage, PageNum};
use http::{Response, StatusCode};

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::ids;

scenarios!(paging, {
    fn every_key_arrives_once_and_in_order<C: TestClient>() {
        for kind in CredentialKind::ALL {
            for keys in [0, 1, 100, 101, 2_345] {
                let atlas = EmulatedAtlas::with_keys(keys);
                let client: C = atlas.client(kind, Setup::default());
                let expected = atlas.ids();
                assert_eq!(expected.len(), keys);
                let large = atlas.request().with_items_per_page(ItemsPerPage::MAX);
                assert_eq!(ids(&client, &large, 1), expected, "{kind:?}");
                assert_eq!(ids(&client, &atlas.request(), 4), expected, "{kind:?}");
                let all = client.list_all(&large).unwrap();
                let all: Vec<_> = all
                    .into_iter()
                    .map(|key| key.api_key_id().unwrap().to_owned())
                    .collect();
                assert_eq!(all, expected, "{kind:?}");
                for ahead in [1, 4] {
                    let pages = client.pages(&large, ahead);
                    let sizes: Vec<_> = pages.map(|page| page.unwrap().len()).collect();
                    let full = keys / 500;
                    assert!(sizes.iter().take(full).all(|size| *size == 500));
                    assert_eq!(sizes.iter().sum::<usize>(), keys, "{kind:?}");
                    assert_eq!(sizes.len(), keys.div_ceil(500).max(1), "{kind:?}");
                }
            }
        }
    }

    fn key_on_two_pages_arrives_once<C: TestClient>() {
        for ahead in [1, 4] {
            let atlas = EmulatedAtlas::with_keys(250);
            let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
            let expected = atlas.ids();
            let mut keys = client.keys(&atlas.request(), ahead);
            let first: Vec<_> = keys.by_ref().take(100).collect();
            assert!(first.iter().all(Result::is_ok));
            // A new key at the front moves the last key of the first page to the second page.
            atlas.server.with(|emulator| {
                let keys = emulator.keys_mut(atlas.group).unwrap();
                let mut new = keys.first().unwrap().clone();
                new.api_key_id = Some("new".to_owned());
                keys.insert(0, new);
            });
            let rest = keys.map(|key| key.unwrap().api_key_id().unwrap().to_owned());
            let rest: Vec<_> = rest.collect();
            assert_eq!(rest, expected.get(100..).unwrap(), "{ahead}");
        }
    }

    fn error_on_a_later_page_ends_the_listing<C: TestClient>() {
        for ahead in [1, 4] {
            let atlas = EmulatedAtlas::with_keys(250);
            let client: C = atlas.client(CredentialKind::Bearer, Setup::without_retries());
            let mut keys = client.keys(&atlas.request(), ahead);
            assert_eq!(keys.by_ref().take(100).filter(Result::is_ok).count(), 100);
            for _ in 0..2 {
                // For whichever page is requested first.
                let forbidden = Response::builder().status(403).body(Vec::new());
                atlas.respond_to_next_list(forbidden.unwrap());
            }
            assert_eq!(keys.next().unwrap().unwrap_err().status().unwrap(), 403);
            assert!(keys.next().is_none());
            assert!(keys.next().is_none());
        }
    }

    fn listing_can_start_at_any_page<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(250);
        let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
        let second = atlas.request().with_page_num(PageNum::new(2).unwrap());
        assert_eq!(ids(&client, &second, 3), atlas.ids().split_off(100));
        let beyond = atlas.request().with_page_num(PageNum::new(77).unwrap());
        assert!(ids(&client, &beyond, 3).is_empty());
    }

    fn replies_are_undecoded_and_know_if_a_page_follows<C: TestClient>() {
        let atlas = EmulatedAtlas::with_keys(250);
        let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
        for ahead in [1, 4] {
            let mut keys = 0;
            for (n, reply) in client.replies(&atlas.request(), ahead).enumerate() {
                let reply = reply.unwrap();
                assert_eq!(reply.status(), StatusCode::OK);
                assert_eq!(reply.has_next(), n < 2);
                keys += reply.into_page().unwrap().len();
            }
            assert_eq!(keys, 250);
        }
        assert!(client.reply(&atlas.request()).unwrap().body().len() > 10_000);
    }
});
