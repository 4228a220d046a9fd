//! Loops that list all keys with the async client, or with hyper's pool and a loop by hand.

use std::error::Error;
use std::hint::black_box;
use std::io::Read as _;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use atlas_model_keys_hyper::{BaseUrl, Client, Credentials, ItemsPerPage, ListRequest};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Builder;

type Pool = legacy::Client<HttpConnector, Empty<Bytes>>;

pub(crate) const LOOPS: &[Loop] = &[
    ("replies", |task| block_on(replies(task))),
    ("pages", |task| block_on(pages(task))),
    ("keys", |task| block_on(keys(task))),
    ("bare", |task| block_on(bare(task))),
    ("owned", |task| block_on(owned(task))),
];

/// Runs a loop on one thread, so that all async loops have equal conditions.
fn block_on(outcome: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(outcome)
}

fn client(task: &Task) -> Result<(Client, ListRequest), Box<dyn Error>> {
    let client = Client::new(
        BaseUrl::new(&task.base)?,
        Credentials::bearer(task.token.as_str())?,
    )?;
    let request = ListRequest::new(task.group.parse()?).with_items_per_page(ItemsPerPage::MAX);
    Ok((client, request))
}

async fn replies(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut replies = client.replies(&request).read_ahead(task.ahead);
    let mut count = 0;
    while let Some(reply) = replies.next().await {
        black_box(reply?);
        count += 1;
    }
    Ok(count)
}

async fn pages(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut pages = client.pages(&request).read_ahead(task.ahead);
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += black_box(page?).len();
    }
    Ok(count)
}

async fn keys(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut keys = client.keys(&request).read_ahead(task.ahead);
    let mut count = 0;
    while let Some(key) = keys.next().await {
        black_box(key?);
        count += 1;
    }
    Ok(count)
}

/// Reads only the bytes of the bodies: the minimum for a program that uses hyper.
async fn bare(task: &Task) -> Outcome {
    let pool = legacy::Client::builder(TokioExecutor::new()).build_http();
    for page in 1..=task.pages {
        black_box(get(&pool, task, &task.url(page)).await?);
    }
    Ok(task.pages)
}

/// Decodes every page, and follows the links to the next page.
async fn owned(task: &Task) -> Outcome {
    let pool = legacy::Client::builder(TokioExecutor::new()).build_http();
    let mut count = 0;
    let mut next = Some(task.url(1));
    while let Some(url) = next {
        let body = get(&pool, task, &url).await?;
        let page: PageBody = black_box(serde_json::from_slice(&body)?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}

async fn get(pool: &Pool, task: &Task, url: &str) -> Result<Bytes, Box<dyn Error>> {
    let request = http::Request::get(url)
        .header("accept", Task::ACCEPT)
        .header("accept-encoding", "gzip")
        .header("authorization", task.authorization())
        .body(Empty::new())?;
    let response = pool.request(request).await?;
    let is_compressed = response.headers().contains_key("content-encoding");
    let body = response.into_body().collect().await?.to_bytes();
    if !is_compressed {
        return Ok(body);
    }
    let mut decompressed = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut decompressed)?;
    Ok(decompressed.into())
}
