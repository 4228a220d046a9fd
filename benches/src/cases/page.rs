//! A page's body into keys.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use atlas_model_keys_core::{ModelKey, OwnedModelKey, Page, Reply};
use atlas_model_keys_emulator::{Config, Emulator};
use http::{Request, Response};
use serde::de::IgnoredAny;

use super::Case;
use crate::naive;

/// A page as the emulator sends it: one of several, with a link to the next one.
pub(super) fn body(keys: usize) -> Vec<u8> {
    let mut emulator = Emulator::new(Config {
        keys_per_group: keys + 1,
        ..Config::default()
    });
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

pub(super) fn cases() -> Vec<Case> {
    [1, 100, 500].into_iter().flat_map(of_size).collect()
}

fn of_size(keys: usize) -> [Case; 5] {
    let body: Rc<[u8]> = body(keys).into();
    let case = |name, run: fn(&[u8])| {
        let (body, len) = (Rc::clone(&body), body.len());
        Case::new("page", name, move || run(&body)).of_size(keys, len)
    };
    [
        case("serde_json, owned structs", |body| {
            black_box(serde_json::from_slice::<naive::Page>(body).expect("a page"));
        }),
        case("ours, borrowed", |body| {
            let page = page(body);
            page.keys().for_each(visit);
            black_box(page.has_next());
        }),
        case("ours, owned", |body| {
            let page = page(body);
            let keys: Vec<OwnedModelKey> = page.keys().map(ModelKey::to_owned).collect();
            black_box((page.has_next(), keys));
        }),
        case("serde_json, Value", |body| {
            black_box(serde_json::from_slice::<serde_json::Value>(body).expect("JSON"));
        }),
        case("serde_json, syntax only", |body| {
            black_box(serde_json::from_slice::<IgnoredAny>(body).expect("JSON"));
        }),
    ]
}
