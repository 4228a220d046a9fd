//! Loops that list all keys with the async client, or with hyper's pool and a loop by hand.

use std::error::Error;
use std::hint::black_box;
use std::io::Read as _;

use atlas_model_keys_benches::drain::{Loop, Outcome, Task};
use atlas_model_keys_benches::naive::PageBody;
use atlas_model_keys_hyper::{BaseUrl, Client, Credentials, ListRequest};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;

use crate::concurrent::{all_pages, block_on, block_on_all_cores};
use crate::tls;

type Pool<C = HttpConnector> = legacy::Client<C, Empty<Bytes>>;

pub(crate) const LOOPS: &[Loop] = &[
    ("replies", |task| block_on(replies(task))),
    ("pages", |task| block_on(pages(task))),
    ("keys", |task| block_on(keys(task))),
    ("keys on all cores", |task| block_on_all_cores(keys(task))),
    ("sweep", |task| block_on(sweep(task))),
    ("callers", |task| block_on(callers(task))),
    ("bare", |task| block_on(bare(task))),
    ("owned", |task| {
        block_on(async { owned(&pool(), task, task.url(1)).await })
    }),
    ("owned on all cores", |task| {
        block_on_all_cores(async { owned(&pool(), task, task.url(1)).await })
    }),
    ("owned over TLS", |task| {
        block_on(async { owned(&secure_pool(task)?, task, task.url(1)).await })
    }),
    ("owned, concurrently, over TLS", |task| {
        block_on(async { owned_concurrently(&secure_pool(task)?, task).await })
    }),
    ("owned groups", |task| block_on(owned_groups(task))),
];

fn client(task: &Task) -> Result<(Client, ListRequest), Box<dyn Error>> {
    let client = Client::new(
        BaseUrl::new(&task.base)?,
        Credentials::bearer(task.token.as_str())?,
    )?;
    let request = task.request(task.group())?;
    Ok((client, request))
}

async fn replies(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut replies = client.replies(&request).read_ahead(task.in_flight);
    let mut count = 0;
    while let Some(reply) = replies.next().await {
        black_box(reply?);
        count += 1;
    }
    Ok(count)
}

async fn pages(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut pages = client.pages(&request).read_ahead(task.in_flight);
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += black_box(page?).len();
    }
    Ok(count)
}

async fn keys(task: &Task) -> Outcome {
    let (client, request) = client(task)?;
    let mut keys = client.keys(&request).read_ahead(task.in_flight);
    let mut count = 0;
    while let Some(key) = keys.next().await {
        black_box(key?);
        count += 1;
    }
    Ok(count)
}

/// Lists all groups with a sweep.
async fn sweep(task: &Task) -> Outcome {
    let (client, _) = client(task)?;
    let requests: Result<Vec<_>, _> = task.listings().map(|group| task.request(group)).collect();
    let mut sweep = client.sweep(requests?).concurrency(task.in_flight);
    let mut count = 0;
    while let Some(item) = sweep.next().await {
        count += black_box(item.page?).len();
    }
    Ok(count)
}

/// Lists all groups with several callers that share a client, each with its part of the groups.
async fn callers(task: &Task) -> Outcome {
    let (client, _) = client(task)?;
    let mut callers = Vec::new();
    for caller in 0..task.in_flight {
        let requests: Result<Vec<_>, _> = task
            .listings()
            .skip(caller)
            .step_by(task.in_flight)
            .map(|group| task.request(group))
            .collect();
        let (client, requests) = (client.clone(), requests?);
        callers.push(tokio::spawn(async move {
            let mut count = 0;
            for request in requests {
                let mut pages = client.pages(&request);
                while let Some(page) = pages.next().await {
                    count += black_box(page?).len();
                }
            }
            Ok::<_, atlas_model_keys_hyper::Error>(count)
        }));
    }
    let mut count = 0;
    for caller in callers {
        count += caller.await??;
    }
    Ok(count)
}

fn pool() -> Pool {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

/// Makes a pool that agrees with the server on HTTP/2 or HTTP/1.1.
fn secure_pool(task: &Task) -> Result<Pool<HttpsConnector<HttpConnector>>, Box<dyn Error>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let connector = HttpsConnector::from((tcp, tls::client_config(task)?));
    Ok(legacy::Client::builder(TokioExecutor::new()).build(connector))
}

/// Reads only the bytes of the bodies: the minimum for a program that uses hyper.
async fn bare(task: &Task) -> Outcome {
    let pool = pool();
    for page in 1..=task.pages {
        black_box(get(&pool, task, &task.url(page)).await?);
    }
    Ok(task.pages)
}

/// Decodes every page, and follows the links to the next page.
async fn owned<C>(pool: &Pool<C>, task: &Task, first: String) -> Outcome
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let mut count = 0;
    let mut next = Some(first);
    while let Some(url) = next {
        let body = get(pool, task, &url).await?;
        let page: PageBody = black_box(serde_json::from_slice(&body)?);
        count += page.results.len();
        next = page.next_url();
    }
    Ok(count)
}

/// Decodes the first page, and then the others with several requests in flight.
async fn owned_concurrently<C>(pool: &Pool<C>, task: &Task) -> Outcome
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let page = async |page| -> Outcome {
        let body = get(pool, task, &task.url(page)).await?;
        let page: PageBody = black_box(serde_json::from_slice(&body)?);
        Ok(page.results.len())
    };
    all_pages(task, page).await
}

/// Lists all groups, several at the same time.
async fn owned_groups(task: &Task) -> Outcome {
    let pool = pool();
    let listings = stream::iter(task.listings())
        .map(|group| owned(&pool, task, task.url_of(group, 1)))
        .buffer_unordered(task.in_flight);
    listings
        .try_fold(0, async |sum, count| Ok(sum + count))
        .await
}

async fn get<C>(pool: &Pool<C>, task: &Task, url: &str) -> Result<Bytes, Box<dyn Error>>
where
    C: Connect + Clone + Send + Sync + 'static,
{
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
