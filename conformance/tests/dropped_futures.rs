//! A future or stream may be dropped after any number of polls: other calls of the client complete, and there is one token
//! request at a time. Time is virtual, and a waker that is lost shows as a wait of 30 seconds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use atlas_model_keys_conformance::CredentialKind;
use atlas_model_keys_conformance::client::fast_retries;
use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Failure, ItemsPerPage, ListRequest, UnixTime,
};
use atlas_model_keys_emulator::{Config, Emulator, Route};
use atlas_model_keys_transport::asynchronous::Client;
use atlas_model_keys_transport::{AsyncTransport, ClientSettings, Clock, SendContext, Task};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

const KEYS: usize = 5;

/// A time within which everything ends, unless somebody waits for a waker that was lost.
const SOON: Duration = Duration::from_secs(20);

/// The emulated Atlas, its time, and the tasks.
#[derive(Default)]
struct World {
    emulator: Mutex<Option<Emulator>>,
    now: Mutex<Duration>,
    /// The ends of the sleeps, and the tasks that sleep.
    timers: Mutex<BTreeMap<(Duration, usize), Waker>>,
    last_timer: Mutex<usize>,
    /// The tasks that have not been polled yet.
    spawned: Mutex<Vec<Task>>,
    token_requests: Mutex<TokenRequests>,
}

#[derive(Default)]
struct TokenRequests {
    now: usize,
    most: usize,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct VirtualClock(Arc<World>);

impl Clock for VirtualClock {
    fn unix_time(&self) -> UnixTime {
        UnixTime::from_duration(START + self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        *self.0.now.lock().unwrap()
    }
}

const START: Duration = Duration::from_secs(1_800_000_000);

struct Sleep<'w> {
    world: &'w World,
    key: (Duration, usize),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if *self.world.now.lock().unwrap() >= self.key.0 {
            return Poll::Ready(());
        }
        let mut timers = self.world.timers.lock().unwrap();
        timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.world.timers.lock().unwrap().remove(&self.key);
    }
}

impl World {
    fn sleep(&self, delay: Duration) -> Sleep<'_> {
        let mut last = self.last_timer.lock().unwrap();
        *last += 1;
        Sleep {
            world: self,
            key: (*self.now.lock().unwrap() + delay, *last),
        }
    }

    fn respond(&self, request: Request<Body>) -> Response<Vec<u8>> {
        let now = START + *self.now.lock().unwrap();
        let request = request.map(|body| body.as_bytes().to_vec());
        let mut emulator = self.emulator.lock().unwrap();
        emulator.as_mut().unwrap().handle(&request, now)
    }

    /// Advances the time to the end of the next sleep, and wakes its task. Returns false if nobody sleeps.
    fn advance(&self) -> bool {
        let Some(((end, _), waker)) = self.timers.lock().unwrap().pop_first() else {
            return false;
        };
        *self.now.lock().unwrap() = end;
        waker.wake();
        true
    }
}

struct Transport {
    world: Arc<World>,
    spawns: bool,
}

/// A token request in flight, until it is dropped.
struct TokenRequest<'w>(&'w World);

impl<'w> TokenRequest<'w> {
    fn new(world: &'w World) -> Self {
        let mut requests = world.token_requests.lock().unwrap();
        requests.now += 1;
        requests.most = requests.most.max(requests.now);
        Self(world)
    }
}

impl Drop for TokenRequest<'_> {
    fn drop(&mut self) {
        self.0.token_requests.lock().unwrap().now -= 1;
    }
}

impl AsyncTransport for Transport {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let world = &*self.world;
        let is_for_token = request.uri().path().ends_with("/token");
        let _token_request = is_for_token.then(|| TokenRequest::new(world));
        let millisecond = Duration::from_millis(1);
        // The request is on its way, and then the response.
        world.sleep(millisecond).await;
        let response = world.respond(request);
        world.sleep(millisecond).await;
        Ok(response)
    }

    async fn sleep(&self, delay: Duration) {
        self.world.sleep(delay).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        if self.spawns {
            self.world.spawned.lock().unwrap().push(task);
            return Ok(());
        }
        Err(task)
    }
}

/// Remembers whether it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A future, and whether it was woken since its last poll.
struct Running<'f, T> {
    future: Pin<Box<dyn Future<Output = T> + Send + 'f>>,
    flag: Arc<Flag>,
}

impl<'f, T> Running<'f, T> {
    fn new(future: impl Future<Output = T> + Send + 'f) -> Self {
        Self {
            future: Box::pin(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
        }
    }

    /// Polls the future if it was woken, and returns whether it was.
    fn poll(&mut self, output: &mut Option<T>) -> bool {
        let is_woken = output.is_none() && self.flag.0.swap(false, Ordering::SeqCst);
        if is_woken {
            let waker = Waker::from(Arc::clone(&self.flag));
            match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => {}
            }
        }
        is_woken
    }
}

/// Runs tasks on this thread.
struct Executor {
    world: Arc<World>,
    tasks: Vec<Running<'static, ()>>,
}

impl Executor {
    /// Polls all tasks that were woken once. Returns whether there was one.
    fn poll_tasks(&mut self) -> bool {
        let spawned = std::mem::take(&mut *self.world.spawned.lock().unwrap());
        self.tasks.extend(spawned.into_iter().map(Running::new));
        let mut any = false;
        self.tasks.retain_mut(|task| {
            let mut output = None;
            any |= task.poll(&mut output);
            output.is_none()
        });
        any
    }

    /// Runs a future to its end.
    fn run<T>(&mut self, future: &mut Running<'_, T>, mut output: Option<T>) -> T {
        loop {
            let any = future.poll(&mut output) | self.poll_tasks();
            if let Some(output) = output {
                return output;
            }
            assert!(any || self.world.advance(), "nobody wakes the future");
        }
    }
}

/// A call that is dropped.
#[derive(Clone, Copy, Debug)]
enum Victim {
    List,
    Pages,
    Keys,
    KeysAhead,
    Replies,
}

impl Victim {
    const ALL: [Self; 5] = [
        Self::List,
        Self::Pages,
        Self::Keys,
        Self::KeysAhead,
        Self::Replies,
    ];

    async fn run(self, client: Client, request: ListRequest) {
        match self {
            Self::List => drop(client.list(&request).await.unwrap()),
            Self::Pages => {
                let mut pages = client.pages(&request);
                while let Some(page) = pages.next().await {
                    page.unwrap();
                }
            }
            Self::Keys => assert_eq!(keys(client, request, 1).await, KEYS),
            Self::KeysAhead => assert_eq!(keys(client, request, 3).await, KEYS),
            Self::Replies => {
                let mut replies = client.replies(&request).read_ahead(2);
                while let Some(reply) = replies.next().await {
                    reply.unwrap();
                }
            }
        }
    }
}

async fn keys(client: Client, request: ListRequest, ahead: usize) -> usize {
    let mut keys = client.keys(&request).read_ahead(ahead);
    let mut count = 0;
    while let Some(key) = keys.next().await {
        key.unwrap();
        count += 1;
    }
    count
}

/// Drops the call after this number of rounds of polls. Returns false if it ended before.
fn drop_after(
    rounds: usize,
    victim: Victim,
    kind: CredentialKind,
    spawns: bool,
    mut emulator: Emulator,
) -> bool {
    let (group, account) = (emulator.first_group(), emulator.service_account().clone());
    let credentials = match kind {
        CredentialKind::Bearer => Credentials::bearer(emulator.access_token()),
        CredentialKind::ServiceAccount => {
            Credentials::service_account(account.client_id, account.client_secret)
        }
        CredentialKind::ApiKey => {
            let key = emulator.api_key().clone();
            Credentials::api_key(key.public_key, key.private_key)
        }
    };
    // Each kind of request is retried once.
    let wait = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from_static("1"))]);
    emulator.fail_next(1, Route::Token, StatusCode::SERVICE_UNAVAILABLE, &wait);
    emulator.fail_next(
        1,
        Route::ListGroupKeys,
        StatusCode::TOO_MANY_REQUESTS,
        &wait,
    );
    let world = Arc::new(World {
        emulator: Mutex::new(Some(emulator)),
        ..World::default()
    });
    let transport = Transport {
        world: Arc::clone(&world),
        spawns,
    };
    let settings = ClientSettings::new(BaseUrl::default(), credentials.unwrap());
    let settings = settings.limits(fast_retries());
    let settings = settings.clock(VirtualClock(Arc::clone(&world)));
    let client = Client::new(settings, transport).unwrap();
    let per_page = ItemsPerPage::new(2).unwrap();
    let request = ListRequest::new(group).with_items_per_page(per_page);

    let mut executor = Executor {
        world: Arc::clone(&world),
        tasks: Vec::new(),
    };
    // Polled first: it gets the token for the other one.
    let mut dropped = Running::new(victim.run(client.clone(), request));
    let mut other = Running::new(keys(client.clone(), request, 2));
    let (mut ended, mut count) = (None, None);
    for _ in 0..rounds {
        let polled = dropped.poll(&mut ended) | other.poll(&mut count);
        if !(polled | executor.poll_tasks()) {
            world.advance();
        }
    }
    let is_dropped = ended.is_none();
    drop(dropped);
    assert_eq!(executor.run(&mut other, count), KEYS);
    let mut last = Running::new(keys(client, request, 1));
    assert_eq!(executor.run(&mut last, None), KEYS);
    // The tasks of the dropped call have ended.
    while executor.poll_tasks() {}
    assert!(executor.tasks.is_empty());
    let now = *world.now.lock().unwrap();
    assert!(now < SOON, "{now:?}");
    let requests = world.token_requests.lock().unwrap();
    assert!(requests.most <= 1, "{}", requests.most);
    assert_eq!(requests.now, 0);
    is_dropped
}

#[test]
fn call_may_be_dropped_after_any_poll() {
    let config = Config::default()
        .with_keys_per_group(KEYS)
        .with_seen_limit(0);
    // Its clones share the keys, which take longer to generate than to list.
    let emulator = Emulator::new(config);
    for kind in CredentialKind::ALL {
        for spawns in [true, false] {
            for victim in Victim::ALL {
                let at = Cell::new(0);
                let case = Case((&at, format!("{victim:?}, {kind:?}, spawns: {spawns}")));
                while drop_after(at.get(), victim, kind, spawns, emulator.clone()) {
                    at.set(at.get() + 1);
                }
                assert!(at.get() > 5, "{} rounds", at.get());
                drop(case);
            }
        }
    }
}

/// Prints the case if the test fails.
struct Case<'c>((&'c Cell<usize>, String));

impl Drop for Case<'_> {
    fn drop(&mut self) {
        let (at, case) = &self.0;
        if std::thread::panicking() {
            eprintln!("dropped after {} rounds: {case}", at.get());
        }
    }
}

#[test]
fn executor_finds_a_future_that_nobody_wakes() {
    let mut executor = Executor {
        world: Arc::default(),
        tasks: Vec::new(),
    };
    let mut never = Running::new(std::future::pending::<()>());
    let run = std::panic::AssertUnwindSafe(|| executor.run(&mut never, None));
    assert!(std::panic::catch_unwind(run).is_err());
}
