//! Reading ahead: the order, the end, and what lies beyond it.

use std::time::Duration;

use atlas_model_keys_core::ItemsPerPage;
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, Fault, TotalCount};

use crate::client::{Setup, TestClient};
use crate::emulated_atlas::{CredentialKind, EmulatedAtlas};
use crate::fixtures::{client_for, ids, request};
use crate::loopback::LoopbackServer;

scenarios!(read_ahead, {
    fn read_ahead_keeps_order_and_requests_no_page_beyond_the_count<C: TestClient>() {
        let atlas = EmulatedAtlas::with_latency(1_050, Duration::from_millis(3));
        let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
        assert_eq!(ids(&client, &atlas.request(), 5), atlas.ids());
        // `totalCount` is right here.
        assert_eq!(atlas.requests(), (11, 0));
        // More than there are pages, and more than a client allows in flight.
        assert_eq!(ids(&client, &atlas.request(), usize::MAX), atlas.ids());
        assert_eq!(atlas.requests(), (22, 0));
    }

    fn read_ahead_follows_links_if_the_count_is_wrong<C: TestClient>() {
        for total_count in [TotalCount::Zero, TotalCount::Absent] {
            let config = Config::default()
                .with_keys_per_group(1_050)
                .with_rate_limit(None)
                .with_total_count(total_count);
            let atlas = EmulatedAtlas::start(config, Options::default());
            let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
            assert_eq!(ids(&client, &atlas.request(), 4), atlas.ids());
            // At most the requests that were in flight when the last page arrived are too many.
            let (lists, _) = atlas.requests();
            assert!((11..=14).contains(&lists), "{lists}");
        }
    }

    fn repeated_page_keeps_its_place_among_later_pages<C: TestClient>() {
        for ahead in [1, 2, 8] {
            let atlas = EmulatedAtlas::with_keys(7);
            let fault = Fault::PAGE_EMPTY_ONCE.with_number(2).unwrap();
            atlas.server.with(|emulator| emulator.inject(fault));
            let client: C = atlas.client(CredentialKind::Bearer, Setup::default());
            let request = atlas.request().with_items_per_page(ItemsPerPage::MIN);
            assert_eq!(ids(&client, &request, ahead), atlas.ids(), "{ahead}");
        }
    }

    fn errors_beyond_the_last_page_are_dropped<C: TestClient>() {
        let page = |keys: &str, links: &str| format!(r#"{{"links":[{links}],"results":[{keys}]}}"#);
        let next = r#"{"rel":"next"}"#;
        let server = LoopbackServer::with_pages(move |n| match n {
            1 => (200, page(r#"{"apiKeyId":"a"}"#, next)),
            2 => (200, page(r#"{"apiKeyId":"b"}"#, "")),
            3 => (200, "not a page".to_owned()),
            _ => (500, String::new()),
        });
        let client: C = client_for(&server.base(), Setup::without_retries());
        for _ in 0..3 {
            assert_eq!(ids(&client, &request(), 6), ["a", "b"]);
        }
    }
});
