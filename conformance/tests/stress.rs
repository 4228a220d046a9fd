//! Thousands of calls on one client against a server that fails at random. A third of the calls are cancelled at random
//! moments, and streams are polled once and left alone. No call hangs, there is one token request at a time, and the client
//! stays usable.

mod chaos;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_conformance::client::fast_retries;
use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Failure, FailureKind, OwnedModelKey,
};
use atlas_model_keys_transport::{
    AsyncTransport, CancelHandle, ClientSettings, Event, SendContext, Task, asynchronous, blocking,
};
use chaos::{Answer, Chaos, ChaosServer, Rng, group};
use http::{Request, Response};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

const CALLS: usize = 3000;

const WORKERS: u64 = 32;

/// The seed of all random numbers.
const SEED: u64 = 20_260_115;

/// The deadline of a page of a normal call.
const DEADLINE: Duration = Duration::from_secs(8);

/// The time after which a call counts as hanging. It has up to three pages.
const HANGS: Duration = Duration::from_secs(30);

fn service_account() -> Credentials {
    Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap()
}

/// Counts token requests in flight.
#[derive(Default)]
struct InFlight {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl InFlight {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The calls that are in progress, and the outcomes of the others.
struct Calls {
    begun: AtomicUsize,
    /// For each worker, its call and when it began.
    current: Vec<Mutex<Option<(String, Instant)>>>,
    are_done: AtomicBool,
    succeeded: AtomicUsize,
    failed: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Calls {
    /// Starts a watchdog, which ends the process with a message if a call hangs.
    fn watched() -> Arc<Self> {
        let calls = Arc::new(Self {
            begun: AtomicUsize::new(0),
            current: (0..WORKERS).map(|_| Mutex::default()).collect(),
            are_done: AtomicBool::new(false),
            succeeded: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
        });
        let watched = Arc::clone(&calls);
        thread::spawn(move || {
            while !watched.are_done.load(Ordering::SeqCst) {
                watched.check();
                thread::sleep(Duration::from_millis(100));
            }
        });
        calls
    }

    fn check(&self) {
        let current = self.current.iter().map(|call| call.lock().unwrap().clone());
        let current: Vec<_> = current.flatten().collect();
        let hanging = current.iter().find(|(_, begun)| begun.elapsed() > HANGS);
        if let Some((call, begun)) = hanging {
            let elapsed = begun.elapsed();
            eprintln!("hangs since {elapsed:?}: {call}; seed {SEED}; in progress: {current:#?}");
            std::process::exit(101);
        }
    }

    /// Notes the begin of the worker's next call. Returns false if there were enough calls.
    fn begin(&self, worker: u64, call: &str) -> bool {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        self.note(worker, &format!("{number}: {call}"));
        number < CALLS
    }

    fn note(&self, worker: u64, call: &str) {
        let worker = usize::try_from(worker).unwrap();
        *self.current[worker].lock().unwrap() = Some((call.to_owned(), Instant::now()));
    }

    fn end(&self, worker: u64) {
        let worker = usize::try_from(worker).unwrap();
        *self.current[worker].lock().unwrap() = None;
    }

    fn count(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Failed => &self.failed,
            Outcome::Cancelled => &self.cancelled,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }

    /// Checks and prints the numbers.
    fn finish(&self, what: &str, chaos: &Chaos, begun: Instant) {
        self.are_done.store(true, Ordering::SeqCst);
        let get = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        let (succeeded, failed) = (get(&self.succeeded), get(&self.failed));
        let cancelled = get(&self.cancelled);
        let tokens = get(&chaos.token_requests);
        println!(
            "{what}: {succeeded} calls succeeded, {failed} failed, {cancelled} were cancelled; {tokens} token requests, \
             {} list requests, {} responses with 429, {} with 401; {:?}",
            get(&chaos.list_requests),
            get(&chaos.rate_limited),
            get(&chaos.expired),
            begun.elapsed(),
        );
        assert_eq!(succeeded + failed + cancelled, CALLS, "seed {SEED}");
        assert!(succeeded > CALLS / 3, "seed {SEED}: {succeeded}");
        assert!(cancelled > CALLS / 5, "seed {SEED}: {cancelled}");
        assert!(tokens > 2, "seed {SEED}: {tokens}");
    }
}

/// How a call ended.
#[derive(Clone, Copy)]
enum Outcome {
    Succeeded,
    Failed,
    /// It was cancelled before its end.
    Cancelled,
}

impl Outcome {
    fn of(result: &Result<(), Error>) -> Self {
        match result {
            Ok(()) => Self::Succeeded,
            Err(_) => Self::Failed,
        }
    }

    /// Returns the outcome of a call with the normal deadline, which it can reach only if a waker is lost.
    fn in_time(result: &Result<(), Error>) -> Self {
        if let Err(Error::Transport { kind, .. }) = result {
            assert_ne!(*kind, FailureKind::TimedOut, "seed {SEED}");
        }
        Self::of(result)
    }
}

/// Checks the keys of a group. A server that fails must not shorten a listing.
fn check(keys: &[OwnedModelKey], expected: &[String]) {
    let ids: Vec<_> = keys.iter().map(|key| key.api_key_id().unwrap()).collect();
    assert_eq!(ids, expected, "seed {SEED}");
}

/// Makes a call of a random kind. A listing that is dropped while a cancellable request was read ahead reports no end of it, so
/// only calls without a cancel handle read ahead.
fn blocking_call(client: &blocking::Client, reads_ahead: bool, rng: &mut Rng) -> Result<(), Error> {
    let (request, ids) = group(rng);
    let ahead = if reads_ahead { 3 } else { 1 };
    match rng.below(8) {
        0 => check(&client.list_all(&request)?, &ids),
        1 => {
            let keys = client.keys(&request).read_ahead(ahead);
            check(&keys.collect::<Result<Vec<_>, _>>()?, &ids);
        }
        // The rest is dropped.
        2 => drop(client.keys(&request).next().unwrap()?),
        3 => drop(client.pages(&request).read_ahead(ahead).next().unwrap()?),
        4 => drop(client.replies(&request).collect::<Result<Vec<_>, _>>()?),
        5 if rng.below(20) == 0 => client.revoke_token()?,
        _ => drop(client.list(&request)?),
    }
    Ok(())
}

#[test]
fn blocking_calls_end_and_fetch_one_token_at_a_time() {
    let begun = Instant::now();
    let server = ChaosServer::start(SEED, false);
    let tokens: Arc<InFlight> = Arc::default();
    let counted = Arc::clone(&tokens);
    let base = BaseUrl::new(&server.base()).unwrap();
    let client = atlas_model_keys_ureq::Client::builder(base, service_account())
        .limits(fast_retries())
        .deadline(DEADLINE)
        // A cancelled call ends with an event, and then the next one may fetch the token. The server cannot know: the
        // thread that has sent the request of a cancelled call still waits for its response.
        .on_event(move |event| match event {
            Event::Sent(request) if request.path.ends_with("/token") => counted.begin(),
            Event::Answered { request, .. } | Event::Failed { request, .. }
                if request.path.ends_with("/token") =>
            {
                counted.end();
            }
            _ => {}
        })
        .build()
        .unwrap();
    let calls = Calls::watched();
    let work = |worker| {
        let mut rng = Rng::new(SEED, worker);
        loop {
            let which = rng.below(12);
            let name = match which {
                0..6 => "with a cancel handle",
                6 => "with a short deadline",
                _ => "",
            };
            if !calls.begin(worker, name) {
                return calls.end(worker);
            }
            calls.count(match which {
                0..6 => {
                    let handle = CancelHandle::new();
                    let delay = rng.micros(4_000);
                    let canceller = handle.clone();
                    let canceller = thread::spawn(move || {
                        thread::sleep(delay);
                        canceller.cancel();
                    });
                    let client = client.with_cancel_handle(&handle);
                    let outcome = match blocking_call(&client, false, &mut rng) {
                        Ok(()) => Outcome::Succeeded,
                        Err(_) if handle.is_cancelled() => Outcome::Cancelled,
                        Err(_) => Outcome::Failed,
                    };
                    canceller.join().unwrap();
                    outcome
                }
                6 => {
                    let client = client.with_deadline(rng.micros(5_000));
                    Outcome::of(&blocking_call(&client, true, &mut rng))
                }
                _ => Outcome::in_time(&blocking_call(&client, true, &mut rng)),
            });
        }
    };
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            scope.spawn(move || work(worker));
        }
    });
    server.chaos.calm();
    for worker in 0..WORKERS {
        calls.note(worker, "after the storm");
        let (request, ids) = group(&mut Rng::new(SEED, worker));
        check(&client.list_all(&request).unwrap(), &ids);
    }
    calls.finish("ureq", &server.chaos, begun);
    assert_eq!(tokens.most.load(Ordering::SeqCst), 1, "seed {SEED}");
    assert_eq!(tokens.now.load(Ordering::SeqCst), 0, "seed {SEED}");
}

/// Makes a call of a random kind.
async fn async_call(client: asynchronous::Client, mut rng: Rng) -> Result<(), Error> {
    let (request, ids) = group(&mut rng);
    match rng.below(8) {
        0 => check(&client.list_all(&request).await?, &ids),
        1 => {
            let keys = client.keys(&request).read_ahead(2);
            check(&rest_of(keys).await?, &ids);
        }
        // The rest is dropped.
        2 => drop(client.keys(&request).next().await.unwrap()?),
        3 => drop(client.pages(&request).read_ahead(3).next().await.unwrap()?),
        4 => {
            let mut replies = client.replies(&request);
            while let Some(reply) = replies.next().await {
                drop(reply?);
            }
        }
        5 if rng.below(20) == 0 => client.revoke_token().await?,
        _ => drop(client.list(&request).await?),
    }
    Ok(())
}

async fn rest_of(mut keys: asynchronous::Keys) -> Result<Vec<OwnedModelKey>, Error> {
    let mut all = Vec::new();
    while let Some(key) = keys.next().await {
        all.push(key?);
    }
    Ok(all)
}

/// Polls a future this often, and then drops it.
async fn polled<T>(future: impl Future<Output = T>, most: u64) -> Option<T> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls >= most => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Makes calls until there were enough. With `keeps`, streams are polled once and kept while other calls go on. Without
/// spawned tasks, those would wait for such a stream, as documented.
async fn work(client: asynchronous::Client, calls: Arc<Calls>, worker: u64, keeps: bool) {
    let mut rng = Rng::new(SEED, worker);
    let mut kept = VecDeque::new();
    let cancelled_or = |result: Option<Result<(), Error>>| match result {
        Some(result) => Outcome::of(&result),
        None => Outcome::Cancelled,
    };
    loop {
        let which = rng.below(9);
        let name = match which {
            0 => "aborted",
            1 => "with a timeout",
            2 => "polled a few times",
            3 => "with a short deadline",
            4 => "a stream that is polled once",
            _ => "",
        };
        if !calls.begin(worker, name) {
            break;
        }
        let call = async_call(client.clone(), Rng::new(SEED, rng.below(u64::MAX)));
        calls.count(match which {
            0 => {
                let task = tokio::spawn(call);
                sleep(rng.micros(5_000)).await;
                task.abort();
                cancelled_or(task.await.ok())
            }
            1 => cancelled_or(timeout(rng.micros(5_000), call).await.ok()),
            2 => cancelled_or(polled(call, 1 + rng.below(6)).await),
            3 => {
                let client = client.with_deadline(rng.micros(5_000));
                Outcome::of(&async_call(client, Rng::new(SEED, rng.below(u64::MAX))).await)
            }
            4 => {
                let (request, ids) = group(&mut rng);
                let ahead = usize::try_from(rng.below(4)).unwrap();
                let mut keys = client.keys(&request).read_ahead(ahead);
                match polled(keys.next(), 1).await {
                    None if keeps => {
                        kept.push_back((keys, ids));
                        Outcome::Cancelled
                    }
                    None => Outcome::Cancelled,
                    Some(key) => Outcome::of(&key.unwrap().map(drop)),
                }
            }
            _ => Outcome::in_time(&call.await),
        });
        if kept.len() > 4
            && let Some((keys, ids)) = kept.pop_front()
            && rng.below(2) == 0
        {
            calls.note(worker, "a stream that was kept");
            if let Ok(keys) = rest_of(keys).await {
                check(&keys, &ids);
            }
        }
    }
    calls.end(worker);
}

/// Makes all calls with an async client, and checks it afterwards.
fn storm(what: &str, client: &asynchronous::Client, chaos: &Chaos, keeps: bool) {
    let begun = Instant::now();
    let calls = Calls::watched();
    runtime().block_on(async {
        let work = |worker| work(client.clone(), Arc::clone(&calls), worker, keeps);
        let workers: Vec<_> = (0..WORKERS).map(|n| tokio::spawn(work(n))).collect();
        for worker in workers {
            worker.await.unwrap();
        }
        chaos.calm();
        for worker in 0..WORKERS {
            calls.note(worker, "after the storm");
            let (request, ids) = group(&mut Rng::new(SEED, worker));
            check(&client.list_all(&request).await.unwrap(), &ids);
        }
    });
    calls.finish(what, chaos, begun);
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn async_calls_end_and_fetch_one_token_at_a_time() {
    let server = ChaosServer::start(SEED, true);
    let base = BaseUrl::new(&server.base()).unwrap();
    let client = atlas_model_keys_hyper::Client::builder(base, service_account())
        .limits(fast_retries())
        .deadline(DEADLINE)
        .build()
        .unwrap();
    storm("hyper", &client, &server.chaos, true);
    assert_eq!(server.violations(), 0, "seed {SEED}");
}

/// A transport without sockets.
struct InMemory {
    chaos: Arc<Chaos>,
    requests: AtomicU64,
    tokens: Arc<InFlight>,
    spawns: bool,
}

/// A token request in flight, until it is dropped.
struct TokenRequest<'t>(&'t InFlight);

impl Drop for TokenRequest<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl AsyncTransport for InMemory {
    async fn send(
        &self,
        request: Request<Body>,
        _: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let mut rng = Rng::new(SEED, self.requests.fetch_add(1, Ordering::SeqCst));
        let is_for_token = request.uri().path().ends_with("/token");
        let _token_request = is_for_token.then(|| {
            self.tokens.begin();
            TokenRequest(&self.tokens)
        });
        sleep(self.chaos.delay(is_for_token, &mut rng)).await;
        let authorization = request.headers()["authorization"].to_str().unwrap();
        let target = request.uri().path_and_query().unwrap();
        let target = match request.uri().path() {
            path if path.ends_with("/aiModelApiKeys") => target.as_str(),
            path => path,
        };
        match self.chaos.answer(target, authorization, &mut rng) {
            Answer::Response {
                status,
                headers,
                body,
            } => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                Ok(response.body(body.into_bytes()).unwrap())
            }
            Answer::Truncated(_) | Answer::Reset => Err(Failure::new(FailureKind::Lost, "lost")),
        }
    }

    async fn sleep(&self, delay: Duration) {
        sleep(delay).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        if self.spawns {
            tokio::spawn(task);
            return Ok(());
        }
        Err(task)
    }
}

fn storm_in_memory(what: &str, spawns: bool) {
    let chaos: Arc<Chaos> = Arc::default();
    let tokens: Arc<InFlight> = Arc::default();
    let transport = InMemory {
        chaos: Arc::clone(&chaos),
        requests: AtomicU64::new(0),
        tokens: Arc::clone(&tokens),
        spawns,
    };
    let settings = ClientSettings::new(BaseUrl::default(), service_account());
    let settings = settings.limits(fast_retries()).deadline(DEADLINE);
    let client = asynchronous::Client::new(settings, transport).unwrap();
    storm(what, &client, &chaos, spawns);
    assert_eq!(tokens.most.load(Ordering::SeqCst), 1, "seed {SEED}");
}

#[test]
fn async_calls_in_memory_fetch_one_token_at_a_time() {
    storm_in_memory("in memory, spawned", true);
}

#[test]
fn async_calls_without_spawned_tasks_fetch_one_token_at_a_time() {
    storm_in_memory("in memory, not spawned", false);
}
