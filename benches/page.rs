//! A page's body into keys: the core's borrowed page, the core's owned keys, and the owned
//! structs that people write by hand with serde. Compare within one run.

#![allow(missing_docs)] // Of criterion's macros.

use std::hint::black_box;
use std::time::Duration;

use atlas_model_keys_core::{ModelKey, OwnedModelKey, Reply};
use atlas_model_keys_emulator::{Config, Emulator};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use serde::Deserialize;

/// What somebody without this project would write.
#[derive(Deserialize)]
struct PlainPage {
    results: Vec<PlainKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // Reading the fields is what is measured.
struct PlainKey {
    api_key_id: Option<String>,
    created_at: Option<String>,
    created_by: Option<String>,
    group_id: Option<String>,
    last_used_at: Option<String>,
    masked_secret: Option<String>,
    name: Option<String>,
    secret: Option<String>,
    status: Option<String>,
}

/// A page as the emulator sends it.
fn body(keys: usize) -> Vec<u8> {
    let mut emulator = Emulator::new(Config {
        keys_per_group: keys,
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
    .unwrap();
    emulator.handle(&request, Duration::ZERO).into_body()
}

fn visit(key: ModelKey<'_>) {
    black_box((key.api_key_id(), key.name(), key.status(), key.created_at()));
    black_box((key.created_by(), key.last_used_at(), key.group_id()));
    black_box((key.masked_secret(), key.secret()));
}

fn page(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page");
    for keys in [1, 100, 500] {
        let body = body(keys);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("borrowed", keys), |bencher| {
            bencher.iter(|| {
                let reply = Reply::from_response(Response::new(&body)).unwrap();
                let page = reply.into_page().unwrap();
                page.keys().for_each(visit);
                page.len()
            });
        });
        group.bench_function(BenchmarkId::new("owned", keys), |bencher| {
            bencher.iter(|| {
                let reply = Reply::from_response(Response::new(&body)).unwrap();
                let page = reply.into_page().unwrap();
                let keys: Vec<OwnedModelKey> = page.keys().map(ModelKey::to_owned).collect();
                keys
            });
        });
        group.bench_function(BenchmarkId::new("serde_json owned", keys), |bencher| {
            bencher.iter(|| serde_json::from_slice::<PlainPage>(&body).unwrap().results);
        });
        group.bench_function(BenchmarkId::new("serde_json Value", keys), |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(&body).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, page);
criterion_main!(benches);
