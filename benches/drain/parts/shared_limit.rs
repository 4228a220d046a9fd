//! Measures the part of a rate limit that sweeps use if all groups share it, in simulated time: the result is always the
//! same.

use std::time::Duration;

use atlas_model_keys_benches::atlas;
use atlas_model_keys_benches::drain::Task;
use atlas_model_keys_benches::naive::PageBody;
use atlas_model_keys_benches::results::Row;
use atlas_model_keys_emulator::TokenBucket;
use atlas_model_keys_hyper::protocol::Limits;
use atlas_model_keys_hyper::{Error, GroupId, ItemsPerPage, ListRequest};
use futures_util::{StreamExt as _, stream};
use http::{Request, StatusCode};

use super::{GROUPS, KEYS_OF_GROUP};
use crate::simulation::Simulation;

/// A burst of 100 requests, and then 50 in ten seconds.
const LIMIT: TokenBucket = TokenBucket::new(100, 50, Duration::from_secs(10));

const LATENCY: Duration = Duration::from_millis(20);

const PAGES: usize = GROUPS * KEYS_OF_GROUP.0.div_ceil(KEYS_OF_GROUP.1);

pub(super) fn measure(_: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for in_flight in [1, 8, 32] {
        for name in ["by hand", "sweep()"] {
            let emulator = atlas::emulator(GROUPS, KEYS_OF_GROUP.0, Some(LIMIT));
            let groups: Vec<GroupId> = emulator.groups().collect();
            let atlas = Simulation::new(emulator, LATENCY);
            let (keys, time) = match name {
                "by hand" => atlas.run(by_hand(&atlas, groups, in_flight)),
                _ => {
                    let (keys, time) = atlas.run(sweep(&atlas, groups, in_flight));
                    (keys.unwrap(), time)
                }
            };
            assert_eq!(keys, GROUPS * KEYS_OF_GROUP.0);
            let (beyond, refill) = (PAGES as f64 - f64::from(LIMIT.capacity), LIMIT.refill);
            let ideal = LIMIT.per.as_secs_f64() * beyond / f64::from(refill);
            let used = 100.0 * ideal / time.as_secs_f64();
            let refused = atlas.refused() as f64;
            let id = format!("{name}, {in_flight} in flight");
            println!(
                "{:22} {id:28} {used:10.1} % {refused:10} × 429",
                "shared-limit"
            );
            let row = |unit, value| Row::new("shared-limit", id.as_str(), unit, value);
            rows.extend([row("% of the rate", used), row("429", refused)]);
        }
    }
    rows
}

async fn sweep(atlas: &Simulation, groups: Vec<GroupId>, in_flight: usize) -> Result<usize, Error> {
    let per_page = ItemsPerPage::new(u32::try_from(KEYS_OF_GROUP.1).unwrap_or(u32::MAX))?;
    let requests = groups
        .into_iter()
        .map(move |group| ListRequest::new(group).with_items_per_page(per_page));
    let client = atlas.client(Limits::default())?;
    let mut sweep = client.sweep(requests).concurrency(in_flight);
    let mut keys = 0;
    while let Some(item) = sweep.next().await {
        keys += item.page?.len();
    }
    Ok(keys)
}

/// Lists several groups at the same time. Each listing waits on its own when it gets a 429.
async fn by_hand(atlas: &Simulation, groups: Vec<GroupId>, in_flight: usize) -> usize {
    let token = atlas.token();
    let list = async |group: GroupId| {
        let mut keys = 0;
        let mut next = Some(format!(
            "https://cloud.mongodb.com/api/atlas/v2/groups/{group}/aiModelApiKeys?itemsPerPage={}",
            KEYS_OF_GROUP.1
        ));
        while let Some(url) = &next {
            let request = Request::get(url)
                .header("accept", Task::ACCEPT)
                .header("authorization", format!("Bearer {token}"))
                .body("")
                .expect("a request");
            let response = atlas.exchange(&request).await;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                let seconds = response.headers().get("retry-after");
                let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
                atlas.timer(Duration::from_secs(seconds.unwrap_or(1))).await;
                continue;
            }
            let page: PageBody = serde_json::from_slice(response.body()).expect("a page");
            keys += page.results.len();
            next = page.next_url();
        }
        keys
    };
    let listings = stream::iter(groups).map(list).buffer_unordered(in_flight);
    listings.fold(0, async |sum, keys| sum + keys).await
}
