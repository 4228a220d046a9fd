//! Decoding the body of a page into keys.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use atlas_model_keys_core::{ModelKey, OwnedModelKey, Page, Reply};
use atlas_model_keys_emulator::{Config, Emulator, Names};
use http::{Request, Response};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Case;
use crate::naive;

/// Returns a page as the emulator sends it, with a link to a next page. Nearly all of its characters are ASCII.
pub(super) fn body(keys: usize) -> Vec<u8> {
    body_with(keys, Names::Plausible)
}

fn body_with(keys: usize, names: Names) -> Vec<u8> {
    let config = Config::default().with_keys_per_group(keys + 1);
    let mut emulator = Emulator::new(config.with_names(names));
    let request = Request::get(format!(
        "/api/atlas/v2/groups/{}/aiModelApiKeys?itemsPerPage={keys}",
        emulator.first_group()
    ))
    .header("accept", "application/vnd.atlas.preview+json")
    .header(
        "authorization",
        format!("Bearer {}", emulator.access_token()),
    )
    .body("")
    .expect("a request");
    emulator.handle(&request, Duration::ZERO).into_body()
}

fn page(body: &[u8]) -> Page<&[u8]> {
    let reply = Reply::from_response(Response::new(body)).expect("a reply");
    reply.into_page().expect("a page")
}

fn visit(key: ModelKey<'_>) {
    black_box((key.api_key_id(), key.name(), key.status(), key.created_at()));
    black_box((key.created_by(), key.last_used_at(), key.group_id()));
    black_box((key.masked_secret(), key.secret()));
}

/// Adds three fields to each key, as a later version of the resource might have.
fn with_new_fields(body: &[u8]) -> Vec<u8> {
    let mut page: Value = serde_json::from_slice(body).expect("JSON");
    for key in page["results"].as_array_mut().expect("keys") {
        key["expiresAt"] = Value::Null;
        key["scopes"] = json!(["EMBEDDING", "RERANKING"]);
        key["usage"] = json!({"lastMonth": 1_200_000, "unit": "TOKENS"});
    }
    page.to_string().into_bytes()
}

/// Indents a page, as with `pretty=true`.
fn indented(body: &[u8]) -> Vec<u8> {
    let page: Value = serde_json::from_slice(body).expect("JSON");
    serde_json::to_vec_pretty(&page).expect("JSON")
}

/// Returns the bodies that are decoded, with one, 100 and 500 keys in Atlas's usual layout, and 500 keys with names outside
/// ASCII, with new fields, and indented.
pub(super) fn samples() -> Vec<Sample> {
    let usual = [1, 100, 500].map(|keys| Sample::new("page", keys, body(keys)));
    let body = body(500);
    let others = [
        Sample::new("page-non-ascii", 500, body_with(500, Names::Hostile)),
        Sample::new("page-new-fields", 500, with_new_fields(&body)),
        Sample::new("page-indented", 500, indented(&body)),
    ];
    usual.into_iter().chain(others).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for sample in samples() {
        cases.extend([sample.owned_by_serde_json(), sample.borrowed()]);
        if ["page", "page-non-ascii"].contains(&sample.group) {
            cases.extend(sample.further());
        }
    }
    cases
}

/// The input of the cases of a group.
pub(super) struct Sample {
    group: &'static str,
    keys: usize,
    bytes: Rc<[u8]>,
}

impl Sample {
    fn new(group: &'static str, keys: usize, bytes: Vec<u8>) -> Self {
        let bytes = bytes.into();
        Self { group, keys, bytes }
    }

    pub(super) fn case(&self, name: &'static str, mut run: impl FnMut(&[u8]) + 'static) -> Case {
        let (body, len) = (Rc::clone(&self.bytes), self.bytes.len());
        Case::new(self.group, name, move || run(&body)).with_size(self.keys, len)
    }

    fn owned_by_serde_json(&self) -> Case {
        self.case("serde_json, owned structs", |body| {
            black_box(serde_json::from_slice::<naive::PageBody>(body).expect("a page"));
        })
    }

    fn borrowed(&self) -> Case {
        self.case("ours, borrowed", |body| {
            let page = page(body);
            page.keys().for_each(visit);
            black_box(page.has_next());
        })
    }

    fn further(&self) -> [Case; 3] {
        [
            self.case("ours, owned", |body| {
                let page = page(body);
                let has_next = page.has_next();
                let keys: Vec<OwnedModelKey> = page.into_iter().collect();
                black_box((has_next, keys));
            }),
            self.case("serde_json, Value", |body| {
                black_box(serde_json::from_slice::<Value>(body).expect("JSON"));
            }),
            self.case("serde_json, syntax only", |body| {
                black_box(serde_json::from_slice::<IgnoredAny>(body).expect("JSON"));
            }),
        ]
    }
}
