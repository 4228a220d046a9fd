//! A sweep over many groups with one client: one token, and rate limits that are used and waited out.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::{CredentialKind, EmulatedAtlas, HyperClient, Setup, TestClient};
use atlas_model_keys_conformance::{UreqClient, fixtures::ids};
use atlas_model_keys_core::{GroupId, ItemsPerPage, ListRequest};
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, TokenBucket};
use atlas_model_keys_transport::Event;

/// The callers of one group.
const CALLERS: usize = 8;

/// The groups that are listed at a time. Most of them wait for their rate limits.
const WORKERS: usize = 20;

/// Each group has one. Its 429 asks for a wait of one second.
const BUCKET: TokenBucket = TokenBucket::new(3, 3, Duration::from_secs(1));

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The requests for the keys of one group.
#[derive(Clone, Default)]
struct Requests {
    sent: Vec<Instant>,
    admitted: u32,
    /// When each 429 arrived.
    rate_limited: Vec<Instant>,
}

impl Requests {
    /// Returns the largest number of requests that were sent between a 429 and the end of its wait.
    fn most_within_a_wait(&self) -> usize {
        let within = |begin: &Instant| -> Range<Instant> { *begin..*begin + RETRY_AFTER };
        let sent = |wait: Range<Instant>| self.sent.iter().filter(|at| wait.contains(*at)).count();
        let waits = self.rate_limited.iter().map(within);
        waits.map(sent).max().unwrap_or(0)
    }
}

/// The requests of a client, by path.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<HashMap<String, Requests>>>);

impl Log {
    fn setup(&self) -> Setup {
        let log = self.clone();
        Setup {
            on_event: Some(Box::new(move |event| log.record(event))),
            ..Setup::with_fast_retries()
        }
    }

    fn record(&self, event: &Event<'_>) {
        let mut log = self.0.lock().unwrap();
        match event {
            Event::Sent(request) => {
                let requests = log.entry(request.path.to_owned()).or_default();
                requests.sent.push(Instant::now());
            }
            Event::Answered {
                request, status, ..
            } => {
                let requests = log.entry(request.path.to_owned()).or_default();
                match status.as_u16() {
                    200 => requests.admitted += 1,
                    429 => requests.rate_limited.push(Instant::now()),
                    other => panic!("{other}"),
                }
            }
            _ => {}
        }
    }

    /// Returns the requests for keys.
    fn lists(&self) -> Vec<Requests> {
        let log = self.0.lock().unwrap();
        let lists = log
            .iter()
            .filter(|(path, _)| path.ends_with("aiModelApiKeys"));
        lists.map(|(_, requests)| requests.clone()).collect()
    }
}

fn atlas(groups: usize, keys_per_group: usize) -> EmulatedAtlas {
    let config = Config::default()
        // No credential may list the keys of the last group.
        .with_groups(groups + 1)
        .with_keys_per_group(keys_per_group)
        .with_rate_limit(BUCKET);
    EmulatedAtlas::start(config, Options::default())
}

/// Returns the groups whose keys may be listed, each with the ids of its keys.
fn groups(atlas: &EmulatedAtlas) -> Vec<(GroupId, Vec<String>)> {
    atlas.server.with(|emulator| {
        let forbidden = emulator.forbidden_group();
        let groups = emulator.groups().filter(|group| Some(*group) != forbidden);
        let ids = |group| {
            let keys = emulator.keys(group).iter();
            keys.map(|key| key.api_key_id.clone().unwrap()).collect()
        };
        groups.map(|group| (group, ids(group))).collect()
    })
}

fn request(group: GroupId, per_page: u32) -> ListRequest {
    let per_page = ItemsPerPage::new(per_page).unwrap();
    ListRequest::new(group).with_items_per_page(per_page)
}

fn sweep<C: TestClient>(what: &str) {
    let begun = Instant::now();
    let atlas = atlas(40, 25);
    let groups = groups(&atlas);
    assert_eq!(groups.len(), 40);
    let log = Log::default();
    let client: C = atlas.client(CredentialKind::ServiceAccount, log.setup());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((group, keys)) = groups.get(next.fetch_add(1, Ordering::SeqCst)) {
                    assert_eq!(ids(&client, &request(*group, 10), 1), *keys);
                }
            });
        }
    });
    assert_eq!(atlas.requests().1, 1);
    let lists = log.lists();
    let (mut admitted, mut refused) = (0, 0);
    for requests in &lists {
        // Each group has one caller, which waits.
        assert_eq!(requests.most_within_a_wait(), 0);
        // After each wait, the bucket has enough for as many requests as it refills in the time.
        let beyond = requests.admitted.saturating_sub(BUCKET.capacity);
        let most = usize::try_from(beyond.div_ceil(BUCKET.refill)).unwrap();
        assert!(requests.rate_limited.len() <= most);
        admitted += requests.admitted;
        refused += requests.rate_limited.len();
    }
    let elapsed = begun.elapsed();
    println!("{what}: 40 groups, {admitted} pages, {refused} responses with 429, {elapsed:?}");
    assert!(refused > 0, "the sweep has not reached the rate limit");
}

#[test]
fn sweep_over_forty_groups_waits_out_each_rate_limit_with_ureq() {
    sweep::<UreqClient>("ureq");
}

#[test]
fn sweep_over_forty_groups_waits_out_each_rate_limit_with_hyper() {
    sweep::<HyperClient>("hyper");
}

/// Several callers list the same group, so they share its rate limit.
fn shared<C: TestClient>(what: &str) {
    let begun = Instant::now();
    let atlas = atlas(1, 16);
    let (group, keys) = groups(&atlas).remove(0);
    let log = Log::default();
    let client: C = atlas.client(CredentialKind::ServiceAccount, log.setup());
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| assert_eq!(ids(&client, &request(group, 10), 1), keys));
        }
    });
    assert_eq!(atlas.requests().1, 1);
    let requests = log.lists().remove(0);
    let refused = requests.rate_limited.len();
    let elapsed = begun.elapsed();
    println!(
        "{what}: {CALLERS} callers, {} pages, {refused} responses with 429, {elapsed:?}",
        requests.admitted
    );
    assert!(refused > 0, "the callers have not reached the rate limit");
    // A request that was decided on before the 429 arrived is still sent, and each of the other callers can have one.
    assert!(requests.most_within_a_wait() < CALLERS);
    // The first round has no limit yet. After that, the requests go one by one until some are left.
    let beyond = requests.admitted.saturating_sub(BUCKET.capacity);
    let waits = usize::try_from(beyond.div_ceil(BUCKET.refill)).unwrap();
    assert!(refused <= CALLERS + 2 * waits, "{refused}");
}

#[test]
fn callers_of_one_group_wait_together_with_ureq() {
    shared::<UreqClient>("ureq");
}

#[test]
fn callers_of_one_group_wait_together_with_hyper() {
    shared::<HyperClient>("hyper");
}
