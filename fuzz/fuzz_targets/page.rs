//! Any body becomes a page or an error, and never both meanings: whatever the core accepts, a plain
//! derived struct over the same documented shape accepts too, with the same values; borrowed
//! and owned keys are equal.

#![no_main]

use atlas_model_keys_core::{ModelKey, Reply, Timestamp};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainPage {
    results: Vec<PlainKey>,
    links: Option<Vec<PlainLink>>,
    total_count: Option<Value>,
    status: Option<Value>,
}

#[derive(Deserialize)]
struct PlainLink {
    rel: Option<String>,
    href: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
struct PlainKey {
    api_key_id: Option<String>,
    cloud: Option<String>,
    created_at: Option<String>,
    created_by: Option<String>,
    endpoint: Option<String>,
    geography: Option<String>,
    group_id: Option<String>,
    last_used_at: Option<String>,
    masked_secret: Option<String>,
    name: Option<String>,
    secret: Option<String>,
    status: Option<String>,
}

fn borrowed(key: ModelKey<'_>) -> PlainKey {
    let text = |value: Option<&str>| value.map(str::to_owned);
    PlainKey {
        api_key_id: text(key.api_key_id()),
        cloud: text(key.cloud()),
        created_at: text(key.created_at().map(Timestamp::as_str)),
        created_by: text(key.created_by()),
        endpoint: text(key.endpoint()),
        geography: text(key.geography()),
        group_id: text(key.group_id()),
        last_used_at: text(key.last_used_at().map(Timestamp::as_str)),
        masked_secret: text(key.masked_secret()),
        name: text(key.name()),
        secret: text(key.secret().map(|secret| secret.expose())),
        status: text(key.status()),
    }
}

fn owned(key: ModelKey<'_>) -> PlainKey {
    let key = key.to_owned();
    PlainKey {
        api_key_id: key.api_key_id,
        cloud: key.cloud,
        created_at: key.created_at,
        created_by: key.created_by,
        endpoint: key.endpoint,
        geography: key.geography,
        group_id: key.group_id,
        last_used_at: key.last_used_at,
        masked_secret: key.masked_secret,
        name: key.name,
        secret: key.secret.map(|secret| secret.expose().to_owned()),
        status: key.status,
    }
}

fuzz_target!(|body: &[u8]| {
    let reply = Reply::from_response(http::Response::new(body)).expect("the status is 200");
    let page = match reply.into_page() {
        Ok(page) => page,
        Err(error) => {
            // One line, whatever the body holds.
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    let plain: PlainPage = serde_json::from_slice(body).expect("the core accepted it");

    assert_eq!(page.keys().map(borrowed).collect::<Vec<_>>(), plain.results);
    assert_eq!(page.keys().map(owned).collect::<Vec<_>>(), plain.results);
    let links = plain.links.unwrap_or_default();
    assert!(
        page.links()
            .map(|link| link.rel)
            .eq(links.iter().map(|link| link.rel.as_deref()))
    );
    assert!(
        page.links()
            .map(|link| link.href)
            .eq(links.iter().map(|link| link.href.as_deref()))
    );
    // Nothing depends on these two, so that anything but a sensible number is as good as absent.
    let sensible = |value: Option<Value>| u64::try_from(value?.as_i64()?).ok();
    assert_eq!(page.total_count(), sensible(plain.total_count));
    let status = sensible(plain.status).and_then(|status| u16::try_from(status).ok());
    assert_eq!(page.envelope_status(), status);
    // A failed status is never a page.
    assert!(!status.is_some_and(|status| (400..600).contains(&status)));
});
