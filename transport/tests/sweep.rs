//! Sweeps over many groups, in simulated time: the time moves on only when every future waits.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Failure, GroupId, GroupsRequest, ItemsPerPage, KeyRequest,
    Limits, ListRequest, OrgKeyRequest, OrgListRequest, UnixTime,
};
use atlas_model_keys_emulator::{Config, Data, Emulator, Route, TokenBucket};
use atlas_model_keys_transport::{
    AsyncTransport, ClientSettings, Clock, InMemoryAtlas, SendContext, SweepItem, asynchronous,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

/// An emulated Atlas that takes some time for each response. It is the transport and the clock of its clients.
#[derive(Clone, Debug)]
struct Simulation(Arc<Mutex<State>>);

struct State {
    now: Duration,
    /// Who waits until when. The number tells timers with the same end apart.
    timers: BTreeMap<(Duration, u64), Waker>,
    timer_count: u64,
    emulator: Emulator,
    latency: Duration,
    /// A part of a path whose responses take this long.
    slow: Option<(String, Duration)>,
    in_flight: usize,
    most_in_flight: usize,
    /// The statuses of all responses, and when they were sent.
    statuses: Vec<(u16, Duration)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

const START: Duration = Duration::from_secs(1_790_000_000);

impl Simulation {
    fn new(config: Config, latency: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Duration::ZERO,
            timers: BTreeMap::new(),
            timer_count: 0,
            emulator: Emulator::new(config),
            latency,
            slow: None,
            in_flight: 0,
            most_in_flight: 0,
            statuses: Vec::new(),
        })))
    }

    fn groups(&self) -> Vec<GroupId> {
        self.0.lock().unwrap().emulator.groups().collect()
    }

    fn client(&self, limits: Limits) -> asynchronous::Client {
        let account = self.0.lock().unwrap().emulator.service_account().clone();
        let credentials =
            Credentials::service_account(account.client_id, account.client_secret).unwrap();
        let base = BaseUrl::new("https://atlas.example").unwrap();
        let settings = ClientSettings::new(base, credentials)
            .limits(limits)
            .clock(self.clone());
        asynchronous::Client::new(settings, self.clone()).unwrap()
    }

    fn timer(&self, delay: Duration) -> Sleep {
        let mut state = self.0.lock().unwrap();
        state.timer_count += 1;
        Sleep {
            timer: (state.now + delay, state.timer_count),
            simulation: self.clone(),
        }
    }

    /// Runs the future to its end, and returns the simulated time that it took.
    fn run<T>(&self, future: impl Future<Output = T>) -> (T, Duration) {
        struct Flag(std::sync::atomic::AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let flag = Arc::new(Flag(true.into()));
        let waker = Waker::from(Arc::clone(&flag));
        let begun = self.elapsed();
        let mut future = std::pin::pin!(future);
        loop {
            while flag.0.swap(false, std::sync::atomic::Ordering::SeqCst) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
                {
                    return (output, self.elapsed() - begun);
                }
            }
            let mut state = self.0.lock().unwrap();
            let ((end, _), waker) = state.timers.pop_first().expect("something waits for ever");
            state.now = state.now.max(end);
            drop(state);
            waker.wake();
        }
    }
}

impl Clock for Simulation {
    fn unix_time(&self) -> UnixTime {
        UnixTime::from_duration(START + self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().now
    }
}

impl AsyncTransport for Simulation {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let latency = {
            let mut state = self.0.lock().unwrap();
            state.in_flight += 1;
            state.most_in_flight = state.most_in_flight.max(state.in_flight);
            let path = request.uri().path();
            match &state.slow {
                Some((part, latency)) if path.contains(part.as_str()) => *latency,
                _ => state.latency,
            }
        };
        self.sleep(latency).await;
        let mut state = self.0.lock().unwrap();
        state.in_flight -= 1;
        let now = START + state.now;
        let response = state.emulator.handle(&request, now);
        let at = state.now;
        state.statuses.push((response.status().as_u16(), at));
        Ok(response)
    }

    async fn sleep(&self, delay: Duration) {
        self.timer(delay).await;
    }
}

struct Sleep {
    simulation: Simulation,
    timer: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.simulation.0.lock().unwrap();
        if state.now >= self.timer.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.timer, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.simulation.0.lock().unwrap().timers.remove(&self.timer);
    }
}

async fn items(mut sweep: asynchronous::Sweep) -> Vec<SweepItem> {
    let mut items = Vec::new();
    while let Some(item) = sweep.next().await {
        items.push(item);
    }
    items
}

const LATENCY: Duration = Duration::from_millis(20);

/// 300 groups, so that the first has 40 keys. The last one is not forbidden in a simulation that does not ask for it.
fn config(groups: usize) -> Config {
    Config::default()
        .with_groups(groups)
        .with_keys_per_group(40)
        .with_rate_limit(None)
}

#[test]
fn groups_come_in_order_and_a_failed_group_is_an_item() {
    let atlas = Simulation::new(config(30), LATENCY);
    let mut groups = atlas.groups();
    let forbidden = *groups.last().unwrap();
    let unknown: GroupId = "0123456789abcdef01234567".parse().unwrap();
    groups.insert(7, unknown);
    let client = atlas.client(Limits::default());
    let requests: Vec<_> = groups
        .iter()
        .map(|group| ListRequest::new(*group).with_items_per_page(ItemsPerPage::new(50).unwrap()))
        .collect();
    let (items, _) = atlas.run(items(client.sweep(requests)));

    let mut ended: Vec<_> = items
        .iter()
        .filter(|item| item.is_last)
        .map(|item| item.group)
        .collect();
    assert_eq!(ended, groups);
    ended.clear();
    for group in &groups {
        let of_group: Vec<_> = items.iter().filter(|item| item.group == *group).collect();
        let keys: usize = of_group
            .iter()
            .map(|item| match &item.page {
                Ok(page) => page.len(),
                Err(error) => {
                    assert_eq!(
                        error.status().map(|s| s.as_u16()),
                        match *group {
                            group if group == unknown => Some(404),
                            group if group == forbidden => Some(401),
                            _ => None,
                        },
                        "{error}"
                    );
                    0
                }
            })
            .sum();
        let state = atlas.0.lock().unwrap();
        let expected = match *group {
            group if group == forbidden || group == unknown => 0,
            group => state.emulator.keys(group).len(),
        };
        assert_eq!(keys, expected, "{group}");
    }
    // One token serves all groups.
    assert_eq!(atlas.0.lock().unwrap().emulator.token_requests(), 1);
}

/// Returns the time of a sweep over all groups, and checks that it fetches this number of pages.
fn time_of_sweep(
    config: Config,
    items_per_page: u32,
    pages: usize,
    concurrency: usize,
) -> Duration {
    let atlas = Simulation::new(config, LATENCY);
    let client = atlas.client(Limits::default());
    let items_per_page = ItemsPerPage::new(items_per_page).unwrap();
    let list = |group| ListRequest::new(group).with_items_per_page(items_per_page);
    let groups: Vec<_> = atlas.groups().into_iter().map(list).collect();
    let sweep = client.sweep(groups).concurrency(concurrency);
    let (items, time) = atlas.run(items(sweep));
    let fetched = items.iter().filter(|item| item.page.is_ok()).count();
    assert_eq!(fetched, pages);
    assert_eq!(atlas.0.lock().unwrap().most_in_flight, concurrency);
    time
}

#[test]
fn eight_groups_at_a_time_are_at_least_seven_times_as_fast_as_one() {
    let time = |concurrency| time_of_sweep(config(300), 500, 299, concurrency);
    let (one, eight) = (time(1), time(8));
    assert!(one >= 7 * eight, "{one:?} {eight:?}");
}

#[test]
fn groups_with_several_pages_are_listed_as_fast_as_those_with_one() {
    let groups = (0..300).map(|n| format!("{{\"id\":\"{n:024x}\"}}\n"));
    let keys = (0..3 * 300).map(|n| format!("{{\"groupId\":\"{:024x}\",\"name\":\"k\"}}\n", n / 3));
    let data: String = groups.chain(keys).collect();
    let data = Data::from_json(data.as_bytes()).unwrap();
    let config = Config::default().with_data(data).with_rate_limit(None);
    let time = |concurrency| time_of_sweep(config.clone(), 1, 3 * 300, concurrency);
    let (one, eight) = (time(1), time(8));
    assert!(one >= 7 * eight, "{one:?} {eight:?}");
}

#[test]
fn shared_rate_limit_of_all_groups_is_used_and_no_429_becomes_an_error() {
    let limit = TokenBucket::new(100, 50, Duration::from_secs(10));
    for waits_out in [false, true] {
        let atlas = Simulation::new(
            config(300)
                .with_rate_limit(limit)
                .with_shared_rate_limit(true),
            LATENCY,
        );
        let mut limits = Limits::default();
        limits.retry.waits_out_rate_limits = waits_out;
        let client = atlas.client(limits);
        let list = |group| ListRequest::new(group).with_items_per_page(ItemsPerPage::MAX);
        let groups: Vec<_> = atlas.groups().into_iter().map(list).collect();
        let (items, time) = atlas.run(items(client.sweep(groups)));
        let errors: Vec<_> = items
            .iter()
            .filter_map(|item| item.page.as_ref().err())
            .collect();
        // The role for the last group is missing. Only a request that passes all checks takes a token from the bucket.
        assert!(
            matches!(errors[..], [Error::Authentication { .. }]),
            "{errors:?}"
        );
        let ideal = Duration::from_secs(10) * (299 - 100) / 50;
        let used = ideal.as_secs_f64() / time.as_secs_f64();
        let state = atlas.0.lock().unwrap();
        let refused = state
            .statuses
            .iter()
            .filter(|(status, _)| *status == 429)
            .count();
        println!("{:.1} % of the rate, {refused} × 429", used * 100.0);
        assert!(used >= 0.95, "{used}: {time:?} instead of {ideal:?}");
    }
}

#[test]
fn no_new_group_starts_during_a_pause() {
    let atlas = Simulation::new(config(40), LATENCY);
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("30"));
    let status = StatusCode::TOO_MANY_REQUESTS;
    let route = Route::ListGroupKeys;
    let refuse = |state: &mut State| state.emulator.fail_next(1, route, status, &headers);
    refuse(&mut atlas.0.lock().unwrap());
    let client = atlas.client(Limits::default());
    // With one page for each group, each request is for a new group.
    let list = |group| ListRequest::new(group).with_items_per_page(ItemsPerPage::MAX);
    let groups: Vec<_> = atlas.groups().into_iter().map(list).collect();
    let (items, _) = atlas.run(items(client.sweep(groups)));
    assert_eq!(items.iter().filter(|item| item.is_last).count(), 40);
    let state = atlas.0.lock().unwrap();
    let (_, refused) = state
        .statuses
        .iter()
        .find(|(status, _)| *status == 429)
        .unwrap();
    let answered = |from: Duration, to: Duration| {
        let times = state.statuses.iter().map(|(_, at)| *at);
        times.filter(|at| *at > from && *at < to).count()
    };
    // The requests that were in flight with it were answered at the same time.
    assert_eq!(answered(*refused, *refused + Duration::from_secs(30)), 0);
    assert_eq!(
        answered(Duration::ZERO, *refused + Duration::from_millis(1)),
        1 + 8
    );
}

#[test]
fn blocking_sweep_equals_the_async_one() {
    let atlas = InMemoryAtlas::new(config(20));
    let credential = atlas_model_keys_emulator::CredentialKind::ServiceAccount;
    let (blocking, concurrent) = (
        atlas.blocking_client(credential).unwrap(),
        atlas.async_client(credential).unwrap(),
    );
    let groups: Vec<_> = atlas.with(|emulator| emulator.groups().collect());
    let shown = |items: Vec<SweepItem>| -> Vec<_> {
        items
            .into_iter()
            .map(|item| {
                let keys = item.page.map(|page| page.into_iter().collect::<Vec<_>>());
                (
                    item.group,
                    keys.map_err(|error| error.to_string()),
                    item.is_last,
                )
            })
            .collect()
    };
    let by_threads = shown(blocking.sweep(groups.clone()).concurrency(5).collect());
    let by_tasks = shown(smol::block_on(items(concurrent.sweep(groups))));
    assert_eq!(by_threads, by_tasks);
    assert!(by_threads.len() > 20);
}

#[test]
fn slow_group_does_not_stop_the_others() {
    let atlas = Simulation::new(config(32), LATENCY);
    let slow = atlas.groups()[0];
    atlas.0.lock().unwrap().slow = Some((slow.to_string(), Duration::from_secs(1)));
    let client = atlas.client(Limits::default());
    let list = |group| ListRequest::new(group).with_items_per_page(ItemsPerPage::MAX);
    let groups: Vec<_> = atlas.groups().into_iter().map(list).collect();
    let (items, time) = atlas.run(items(client.sweep(groups)));
    assert_eq!(items.len(), 32);
    // All others were listed meanwhile.
    assert!(time < Duration::from_millis(1100), "{time:?}");
}

#[test]
fn pages_behind_a_slow_group_are_held_only_up_to_the_limit() {
    let atlas = Simulation::new(config(3).with_keys_per_group(1000), LATENCY);
    let groups = atlas.groups();
    let (long, slow) = (groups[0], groups[1]);
    atlas.0.lock().unwrap().slow = Some((slow.to_string(), Duration::from_secs(60)));
    let client = atlas.client(Limits::default());
    let list = |group| ListRequest::new(group).with_items_per_page(ItemsPerPage::new(10).unwrap());
    let mut sweep = client.sweep([slow, long].map(list)).concurrency(2);
    let (first, time) = atlas.run(sweep.next());
    assert_eq!(first.unwrap().group, slow);
    assert!(time > Duration::from_secs(60), "{time:?}");
    // The token, the page of the slow group, and the others.
    assert_eq!(atlas.0.lock().unwrap().emulator.requests(), 1 + 4 * 2);
    // The first group goes on although the others leave no room.
    let (items, _) = atlas.run(items(sweep));
    assert_eq!(items.iter().filter(|item| item.group == long).count(), 100);
}

#[test]
fn endless_iterator_of_groups_is_read_only_as_far_as_needed() {
    let atlas = InMemoryAtlas::new(config(3));
    let client = atlas
        .blocking_client(atlas_model_keys_emulator::CredentialKind::AccessToken)
        .unwrap();
    let group = atlas.list_request().group();
    let mut sweep = client.sweep(std::iter::repeat(group)).concurrency(4);
    for _ in 0..3 {
        assert_eq!(sweep.next().unwrap().page.unwrap().len(), 40);
    }
    drop(sweep);
    // No more than four pages for each that may be in flight were requested.
    assert!(atlas.with(|emulator| emulator.requests()) <= 3 + 4 * 4);
}

#[test]
fn groups_and_one_key_are_read_by_both_clients() {
    let atlas = InMemoryAtlas::new(config(30));
    let credential = atlas_model_keys_emulator::CredentialKind::ApiKey;
    let (blocking, concurrent) = (
        atlas.blocking_client(credential).unwrap(),
        atlas.async_client(credential).unwrap(),
    );
    let few = GroupsRequest::new().with_items_per_page(ItemsPerPage::new(7).unwrap());
    let ids: Vec<_> = atlas.with(|emulator| emulator.groups().map(|id| id.to_string()).collect());
    let listed: Vec<_> = blocking
        .groups(&few)
        .read_ahead(3)
        .map(|g| g.unwrap())
        .collect();
    assert!(
        listed
            .iter()
            .map(|group| group.id().unwrap())
            .eq(ids.iter())
    );
    assert_eq!(listed[0].name(), Some("Production"));
    let pages: Vec<_> = blocking
        .pages(&few)
        .map(|page| page.unwrap().len())
        .collect();
    assert_eq!(pages, [7, 7, 7, 7, 2]);

    let list = atlas.list_request();
    let first = blocking.keys(&list).next().unwrap().unwrap();
    let id = first.api_key_id().unwrap().parse().unwrap();
    assert_eq!(
        blocking.get(&KeyRequest::new(list.group(), id)).unwrap(),
        first
    );
    let org = atlas.with(|emulator| emulator.first_org());
    let all = blocking.list_all(&OrgListRequest::new(org)).unwrap();
    assert_eq!(blocking.get(&OrgKeyRequest::new(org, id)).unwrap(), all[0]);
    let unknown = KeyRequest::new(list.group(), "g".parse().unwrap());
    let error = blocking.get(&unknown).unwrap_err();
    assert_eq!(error.error_code(), Some("RESOURCE_NOT_FOUND"), "{error}");

    smol::block_on(async {
        let mut groups = concurrent.groups(&few);
        let mut names = Vec::new();
        while let Some(group) = groups.next().await {
            names.push(group.unwrap().name().map(str::to_owned));
        }
        assert_eq!(names.len(), 30);
        assert_eq!(
            concurrent
                .get(&KeyRequest::new(list.group(), id))
                .await
                .unwrap(),
            first
        );
    });
}
