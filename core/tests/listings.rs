//! Complete listings of a session against the emulator in memory, under a virtual clock.

use std::time::Duration;

use crate::dialogue::{CREDENTIAL_KINDS, CredentialKind, World};
use atlas_model_keys_core::{ApiVersion, Error, ItemsPerPage, ListRequest, OwnedModelKey, PageNum};
use atlas_model_keys_emulator::{Config, Deprecated, DigestAlgorithm, Key, TotalCount};

fn ids(keys: &[OwnedModelKey]) -> Vec<&str> {
    keys.iter().map(|key| key.api_key_id().unwrap()).collect()
}

fn config() -> Config {
    Config::default().with_keys_per_group(1234)
}

fn expected(world: &World) -> Vec<String> {
    let keys = world.emulator.keys(world.emulator.first_group());
    keys.iter()
        .map(|key| key.api_key_id.clone().unwrap())
        .collect()
}

#[test]
fn every_key_arrives_once_and_in_order_for_each_credential() {
    for kind in CREDENTIAL_KINDS {
        let mut world = World::new(config(), kind);
        let expected = expected(&world);
        let keys = world.list_all(&world.request()).unwrap();
        assert_eq!(ids(&keys), expected, "{kind:?}");

        // 13 pages, and one token request or challenge.
        let authentication = u64::from(kind != CredentialKind::Bearer);
        assert_eq!(world.emulator.requests(), 13 + authentication, "{kind:?}");
        assert!(!world.take_log().iter().any(|line| line.starts_with("wait")));
    }
}

#[test]
fn every_field_of_every_key_arrives_unchanged() {
    let config = config().with_include_secrets(true);
    let mut world = World::new(config, CredentialKind::Bearer);
    world.session = world.session.with_version(ApiVersion::V2025_03_12);
    let request = world.request().with_items_per_page(ItemsPerPage::MAX);
    let listed = world.list_all(&request).unwrap();
    let kept = world.emulator.keys(world.emulator.first_group());
    assert_eq!(listed.len(), kept.len());
    for (listed, kept) in listed.iter().zip(kept) {
        let mut same = Key::default();
        same.api_key_id = listed.api_key_id().map(str::to_owned);
        same.cloud = listed.cloud().map(str::to_owned);
        same.created_at = listed.created_at().map(|t| t.as_str().to_owned());
        same.created_by = listed.created_by().map(str::to_owned);
        same.endpoint = listed.endpoint().map(str::to_owned);
        same.geography = listed.geography().map(str::to_owned);
        same.group_id = listed.group_id().map(str::to_owned);
        same.last_used_at = listed.last_used_at().map(|t| t.as_str().to_owned());
        same.masked_secret = listed.masked_secret().map(str::to_owned);
        same.name = listed.name().map(str::to_owned);
        same.secret = listed.secret().map(|s| s.expose().to_owned());
        same.status = listed.status().map(str::to_owned);
        assert_eq!(same, *kept);
    }
}

#[test]
fn key_counts_around_a_full_page_need_the_minimum_of_requests() {
    for count in [0, 1, 99, 100, 101, 200] {
        let config = Config::default().with_keys_per_group(count);
        let mut world = World::new(config, CredentialKind::Bearer);
        assert_eq!(world.list_all(&world.request()).unwrap().len(), count);
        let pages = count.div_ceil(100).max(1);
        assert_eq!(world.emulator.requests(), pages as u64, "{count}");
    }
}

#[test]
fn listing_can_begin_at_a_later_page() {
    let mut world = World::new(config(), CredentialKind::Bearer);
    let request = world
        .request()
        .with_items_per_page(ItemsPerPage::new(500).unwrap())
        .with_page_num(PageNum::new(3).unwrap());
    let keys = world.list_all(&request).unwrap();
    assert_eq!(ids(&keys), expected(&world).split_off(1000));
}

#[test]
fn wrong_total_count_does_not_end_a_listing() {
    for total_count in [TotalCount::Zero, TotalCount::Absent] {
        let config = config().with_total_count(total_count);
        let mut world = World::new(config, CredentialKind::Bearer);
        assert_eq!(world.list_all(&world.request()).unwrap().len(), 1234);
    }
}

#[test]
fn envelope_and_pretty_do_not_change_the_keys() {
    let mut world = World::new(config(), CredentialKind::ServiceAccount);
    let request = world.request().with_envelope(true).with_pretty(true);
    let page = world.list(&request).unwrap().into_page().unwrap();
    assert_eq!(page.envelope_status(), Some(200));
    assert_eq!(world.list_all(&request).unwrap().len(), 1234);
}

#[test]
fn each_digest_algorithm_is_answered_and_the_strongest_is_used() {
    use DigestAlgorithm as D;
    for digest in [
        vec![D::Md5],
        vec![D::Md5Sess],
        vec![D::Sha256],
        vec![D::Sha256Sess],
        vec![D::Sha512_256],
        vec![D::Sha512_256Sess],
        vec![D::Md5, D::Sha512_256, D::Sha256],
    ] {
        let config = config().with_digest(digest.clone());
        let mut world = World::new(config, CredentialKind::ApiKey);
        let keys = world.list_all(&world.request()).unwrap();
        assert_eq!(keys.len(), 1234, "{digest:?}");
        assert_eq!(world.emulator.requests(), 14, "{digest:?}");
    }
}

#[test]
fn tokens_and_nonces_that_expire_during_a_listing_are_renewed() {
    let config = config()
        .with_token_ttl(Duration::from_secs(100))
        .with_nonce_ttl(Duration::from_secs(100));
    for kind in [CredentialKind::ServiceAccount, CredentialKind::ApiKey] {
        let mut world = World::new(config.clone(), kind);
        let mut listing =
            atlas_model_keys_core::Listing::new(world.request(), world.session.limits());
        let mut keys = 0;
        while let Some(request) = listing.request().unwrap() {
            let page = world.list(&request).unwrap().into_page().unwrap();
            keys += listing.accept(&page).count();
            world.now += Duration::from_secs(30);
        }
        assert_eq!(keys, 1234);
        let log = world.take_log();
        assert!(!log.iter().any(|line| line.starts_with("wait")));
        if kind == CredentialKind::ServiceAccount {
            // Each token is renewed at three quarters of its life, so that no request is refused.
            assert!(world.emulator.token_requests() >= 4);
            assert!(log.iter().all(|line| line.ends_with("200")), "{log:#?}");
        } else {
            assert!(log.iter().filter(|line| line.ends_with("401")).count() >= 3);
        }
    }
}

#[test]
fn rate_limit_is_waited_out() {
    let config = config().with_rate_limit(atlas_model_keys_emulator::TokenBucket::new(
        5,
        5,
        Duration::from_secs(60),
    ));
    let mut world = World::new(config, CredentialKind::Bearer);
    let keys = world.list_all(&world.request()).unwrap();
    assert_eq!(ids(&keys), expected(&world));
    let log = world.take_log();
    assert!(log.iter().any(|line| line.ends_with("429")));
}

#[test]
fn list_that_grows_while_it_is_read_shows_no_key_twice() {
    let mut world = World::new(config(), CredentialKind::Bearer);
    let expected = expected(&world);
    let group = world.emulator.first_group();
    let mut listing = atlas_model_keys_core::Listing::new(world.request(), world.session.limits());
    let mut seen = Vec::new();
    while let Some(request) = listing.request().unwrap() {
        let page = world.list(&request).unwrap().into_page().unwrap();
        let fresh = listing.accept(&page);
        seen.extend(fresh.map(|key| key.api_key_id().unwrap().to_owned()));
        // A new key comes first, and moves another one to the next page.
        let new = Key::default().with_api_key_id(format!("new{}", seen.len()));
        world.emulator.keys_mut(group).unwrap().insert(0, new);
    }
    assert_eq!(seen, expected);
}

#[test]
fn deprecation_and_sunset_are_on_the_reply() {
    let config = config().with_deprecated(vec![Deprecated::new(
        ApiVersion::PREVIEW,
        Duration::from_secs(1_722_816_000),
        Duration::from_secs(1_798_761_600),
    )]);
    let mut world = World::new(config, CredentialKind::Bearer);
    let reply = world.list(&world.request()).unwrap();
    assert_eq!(
        reply.headers()["deprecation"],
        "Mon, 5 Aug 2024 00:00:00 GMT"
    );
    assert_eq!(reply.deprecation().unwrap().seconds(), 1_722_816_000);
    assert_eq!(reply.sunset().unwrap().seconds(), 1_798_761_600);
    assert!(
        reply
            .service_version()
            .unwrap()
            .contains("versionString=emulator-")
    );
    assert_eq!(reply.rate_limit().limit, Some(1200));
    let page = reply.into_page().unwrap();
    assert!(page.drift().missing.contains_key("results[].secret"));

    world.session = world.session.with_version(ApiVersion::V2025_03_12);
    let reply = world.list(&world.request()).unwrap();
    assert_eq!((reply.deprecation(), reply.sunset()), (None, None));
    assert!(reply.into_page().unwrap().drift().is_empty());
}

#[test]
fn withdrawn_preview_is_replaced_once_but_a_pinned_version_is_not() {
    let config = config().with_withdrawn(vec![ApiVersion::PREVIEW]);
    for kind in CREDENTIAL_KINDS {
        let mut world = World::new(config.clone(), kind);
        let reply = world.list(&world.request()).unwrap();
        assert_eq!(reply.version(), Some(ApiVersion::V2025_03_12));
        assert_eq!(
            world.session.version::<ListRequest>(),
            ApiVersion::V2025_03_12
        );
        assert_eq!(world.list_all(&world.request()).unwrap().len(), 1234);
        let gone = world
            .take_log()
            .iter()
            .filter(|l| l.ends_with("410"))
            .count();
        assert_eq!(gone, 1, "{kind:?}");
    }

    let mut world = World::new(config.clone(), CredentialKind::Bearer);
    world.session = world.session.with_version(ApiVersion::PREVIEW);
    let error = world.list(&world.request()).unwrap_err();
    assert_eq!(error.error_code(), Some("VERSION_GONE"));
    assert_eq!(world.emulator.requests(), 1);

    let none = config.with_versions(vec![]);
    let mut world = World::new(none, CredentialKind::Bearer);
    let error = world.list(&world.request()).unwrap_err();
    assert!(matches!(error, Error::Api(_)), "{error}");
    assert_eq!(world.emulator.requests(), 2);
}
