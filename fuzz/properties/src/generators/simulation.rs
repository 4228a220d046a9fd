//! A simulated network and clock for clients: an emulator that fails, and answers late, as a script says.
//!
//! Nothing takes real time. [`Simulation`] implements both transports. For the async one, `run` is the runtime: it polls
//! only tasks that were woken, and moves the clock only when there are none.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{Body, Failure, FailureKind, UnixTime};
use atlas_model_keys_emulator::{Emulator, error_response};
use atlas_model_keys_transport::{
    AsyncTransport, CancelHandle, Clock, SendContext, Task, Transport,
};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};

/// The time of day at the start, in seconds.
const START: u64 = 1_790_000_000;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// The emulator responds.
    Answered,
    /// It is not sent.
    NotSent,
    /// The emulator gets it, but its response is lost.
    Lost,
    /// An error with this status comes back; a 429 asks for a second.
    Status(u16),
    /// The transport fails for good.
    Permanent,
}

/// The fates, by their byte in the input.
pub const FATES: [Fate; 8] = [
    Fate::Answered,
    Fate::NotSent,
    Fate::Lost,
    Fate::Status(503),
    Fate::Status(429),
    Fate::Status(500),
    Fate::Status(404),
    Fate::Permanent,
];

impl Fate {
    /// Returns whether the request is repeated, if it was not repeated too often.
    pub(crate) fn is_temporary(self) -> bool {
        !matches!(self, Self::Status(404) | Self::Permanent)
    }
}

/// The fate of a request, and the seconds until its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) fate: Fate,
    pub(crate) delay: u8,
}

/// Clones share the state.
#[derive(Clone)]
pub(crate) struct Simulation(Arc<Mutex<State>>);

pub(crate) struct State {
    emulator: Emulator,
    elapsed: Duration,
    outcomes: VecDeque<Outcome>,
    /// The requests that were sent, by method and URI.
    pub(crate) sent: Vec<String>,
    pub(crate) cancellation: Option<Cancellation>,
    /// What a cancelled call did wrong. A thread that panics would not end the check.
    pub(crate) mistake: Option<&'static str>,
    /// Whether the clock moves by a wait at once, because a blocking client would really wait.
    jumps: bool,
    /// Whether tasks can be spawned.
    spawns: bool,
    events: BTreeMap<u64, Event>,
    last_id: u64,
    /// Tasks that were spawned just now, each with its owner.
    spawned: Vec<(usize, Task)>,
    /// The owner of the task that is polled now.
    owner: usize,
    /// The largest number of requests that one owner has had at the same time.
    pub(crate) most_requests: usize,
}

/// A blocking call is cancelled while it sends a request.
pub(crate) struct Cancellation {
    /// The number of that request, from 1.
    pub(crate) at: usize,
    pub(crate) handle: CancelHandle,
    /// If it is there, the request has no result until the sender is dropped.
    pub(crate) endless: Option<Receiver<()>>,
}

/// The longest wait for threads that must end at once, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The end of a request or of a sleep.
struct Event {
    /// The first task that it belongs to, perhaps through tasks that were spawned.
    owner: usize,
    at: Duration,
    is_request: bool,
    request: Option<(Request<Body>, Fate)>,
    result: Option<Result<Response<Vec<u8>>, Failure>>,
    is_over: bool,
    waker: Option<Waker>,
}

impl Simulation {
    pub(crate) fn new(emulator: Emulator, outcomes: &[Outcome], jumps: bool, spawns: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            emulator,
            elapsed: Duration::ZERO,
            outcomes: outcomes.iter().copied().collect(),
            sent: Vec::new(),
            cancellation: None,
            mistake: None,
            jumps,
            spawns,
            events: BTreeMap::new(),
            last_id: 0,
            spawned: Vec::new(),
            owner: 0,
            most_requests: 0,
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while it was locked")
    }

    /// Runs tasks until all are complete. `next` chooses one of this many woken tasks or simultaneous events, and says
    /// whether to drop the first task now.
    ///
    /// A first task owns the tasks and requests that it begins. They must end when it is complete or dropped.
    pub(crate) fn run(&self, first: Vec<Task>, mut next: impl FnMut(usize) -> (usize, bool)) {
        let wakes = Arc::new(Mutex::new(Wakes::default()));
        let mut tasks: Vec<(usize, Option<Task>)> =
            first.into_iter().map(Some).enumerate().collect();
        wakes.lock().expect("no panic").woken.extend(0..tasks.len());
        for _ in 0..100_000 {
            let mut locked = wakes.lock().expect("no panic");
            locked.woken.retain(|task| tasks[*task].1.is_some());
            let choices = locked.woken.len().max(1);
            let (choice, drops_first) = next(choices);
            let chosen = (!locked.woken.is_empty()).then(|| {
                let id = locked.woken.remove(choice % choices);
                (id, TaskWaker::new(id, &mut locked, &wakes))
            });
            drop(locked);
            if drops_first {
                drop(tasks[0].1.take());
                // That may have woken another task, which comes before the clock.
                if chosen.is_none() {
                    continue;
                }
            }
            match chosen {
                Some((id, waker)) => {
                    let (owner, task) = &mut tasks[id];
                    self.state().owner = *owner;
                    let polled = task
                        .as_mut()
                        .map(|task| task.as_mut().poll(&mut Context::from_waker(&waker.into())));
                    if polled.is_some_and(|polled| polled.is_ready()) {
                        *task = None;
                    }
                    for (owner, task) in std::mem::take(&mut self.state().spawned) {
                        wakes.lock().expect("no panic").woken.push(tasks.len());
                        tasks.push((owner, Some(task)));
                    }
                }
                None => {
                    self.check_owners(&tasks);
                    if tasks.iter().all(|(_, task)| task.is_none()) {
                        return;
                    }
                    let advanced = self.advance(choice);
                    assert!(advanced, "a task waits for nothing: a wake-up is lost");
                }
            }
        }
        panic!("the tasks do not end");
    }

    /// Checks, when no task is woken, that tasks, requests and waits have ended with their owners. Counts the requests.
    fn check_owners(&self, tasks: &[(usize, Option<Task>)]) {
        let is_complete = |owner: usize| tasks[owner].1.is_none();
        for (owner, task) in tasks {
            let goes_on = task.is_some() && is_complete(*owner);
            assert!(!goes_on, "a task goes on although nobody waits for it");
        }
        let mut state = self.state();
        let mut requests = BTreeMap::<usize, usize>::new();
        for event in state.events.values() {
            let goes_on = is_complete(event.owner);
            assert!(!goes_on, "a request goes on although nobody waits for it");
            *requests.entry(event.owner).or_default() += usize::from(event.is_request);
        }
        let most = requests.into_values().max().unwrap_or_default();
        state.most_requests = state.most_requests.max(most);
    }

    /// Waits until the threads that have sent requests for a client have ended. The client must have been dropped.
    pub(crate) fn join_threads(&self) {
        let begun = Instant::now();
        while Arc::strong_count(&self.0) > 1 {
            assert!(begun.elapsed() < PATIENCE, "a thread does not end");
            thread::yield_now();
        }
    }

    /// Moves the clock to the next event. Returns `false` if there is none.
    fn advance(&self, choice: usize) -> bool {
        let mut state = self.state();
        let pending = state.events.iter().filter(|(_, event)| !event.is_over);
        let Some(at) = pending.clone().map(|(_, event)| event.at).min() else {
            return false;
        };
        let ids: Vec<u64> = pending
            .filter(|(_, event)| event.at == at)
            .map(|(id, _)| *id)
            .collect();
        state.elapsed = state.elapsed.max(at);
        let id = ids[choice % ids.len()];
        let request = state
            .events
            .get_mut(&id)
            .and_then(|event| event.request.take());
        let result = request.map(|(request, fate)| state.answer(&request, fate));
        let event = state.events.get_mut(&id).expect("it is there");
        event.is_over = true;
        event.result = result;
        let waker = event.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn event(&self, delay: Duration, request: Option<(Request<Body>, Fate)>) -> Pending {
        let mut state = self.state();
        let event = Event {
            owner: state.owner,
            is_request: request.is_some(),
            at: state.elapsed.saturating_add(delay),
            request,
            result: None,
            is_over: false,
            waker: None,
        };
        state.last_id += 1;
        let id = state.last_id;
        state.events.insert(id, event);
        Pending(self.clone(), id)
    }
}

impl State {
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn next_outcome(&mut self, request: &Request<Body>) -> Outcome {
        self.sent
            .push(format!("{} {}", request.method(), request.uri()));
        let calm = Outcome {
            fate: Fate::Answered,
            delay: 0,
        };
        self.outcomes.pop_front().unwrap_or(calm)
    }

    fn answer(
        &mut self,
        request: &Request<Body>,
        fate: Fate,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let now = Duration::from_secs(START).saturating_add(self.elapsed);
        match fate {
            Fate::Answered => Ok(self.emulator.handle(request, now)),
            Fate::NotSent => Err(Failure::new(FailureKind::NotSent, "refused")),
            Fate::Lost => {
                let _ = self.emulator.handle(request, now);
                Err(Failure::new(FailureKind::Lost, "reset"))
            }
            Fate::Status(status) => {
                let mut response = error_response(StatusCode::from_u16(status).expect("a status"));
                if status == 429 {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
                Ok(response)
            }
            Fate::Permanent => Err(Failure::new(FailureKind::Permanent, "untrusted")),
        }
    }
}

/// Waits for an event, and removes it when dropped.
struct Pending(Simulation, u64);

impl Future for Pending {
    type Output = Option<Result<Response<Vec<u8>>, Failure>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        let event = state
            .events
            .get_mut(&self.1)
            .expect("it is there until the future is dropped");
        if event.is_over {
            return Poll::Ready(event.result.take());
        }
        event.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.state().events.remove(&self.1);
    }
}

/// The tasks that were woken, and the last waker of each task.
#[derive(Default)]
struct Wakes {
    woken: Vec<usize>,
    polls: BTreeMap<usize, u64>,
}

/// Wakes a task, unless it was polled again with another waker: a future must keep the last one.
struct TaskWaker {
    task: usize,
    poll: u64,
    wakes: Arc<Mutex<Wakes>>,
}

impl TaskWaker {
    fn new(task: usize, locked: &mut Wakes, wakes: &Arc<Mutex<Wakes>>) -> Arc<Self> {
        let poll = locked.polls.entry(task).or_default();
        *poll += 1;
        Arc::new(Self {
            task,
            poll: *poll,
            wakes: Arc::clone(wakes),
        })
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut wakes = self.wakes.lock().expect("no panic");
        let is_last = wakes.polls.get(&self.task) == Some(&self.poll);
        if is_last && !wakes.woken.contains(&self.task) {
            wakes.woken.push(self.task);
        }
    }
}

impl AsyncTransport for Simulation {
    async fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        assert!(
            !context.remaining().is_zero(),
            "a request is sent after the deadline"
        );
        let outcome = self.state().next_outcome(&request);
        let event = self.event(
            Duration::from_secs(outcome.delay.into()),
            Some((request, outcome.fate)),
        );
        event.await.expect("a request has a result")
    }

    async fn sleep(&self, delay: Duration) {
        self.event(delay, None).await;
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        let mut state = self.state();
        match state.spawns {
            true => {
                let owner = state.owner;
                state.spawned.push((owner, task));
            }
            false => return Err(task),
        }
        Ok(())
    }
}

impl Transport for Simulation {
    fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let remaining = context.remaining();
        assert!(!remaining.is_zero(), "a request is sent after the deadline");
        let mut state = self.state();
        let outcome = state.next_outcome(&request);
        let delay = Duration::from_secs(outcome.delay.into());
        state.elapsed += delay.min(remaining);
        if delay >= remaining {
            // A transport may not know why its request has failed.
            let kind = match outcome.fate {
                Fate::NotSent => FailureKind::NotSent,
                Fate::Lost => FailureKind::Lost,
                _ => FailureKind::TimedOut,
            };
            return Err(Failure::new(kind, "the deadline has passed"));
        }
        let number = state.sent.len();
        if let Some(cancellation) = state.cancellation.take_if(|c| c.at == number) {
            // The clock, which may be read here, has the state, too.
            drop(state);
            cancellation.handle.cancel();
            let has_time = !context.remaining().is_zero();
            let endless = cancellation.endless;
            let end = endless.map(|endless| endless.recv_timeout(PATIENCE));
            state = self.state();
            if has_time {
                state.mistake = Some("its request has time left");
            }
            if end == Some(Err(RecvTimeoutError::Timeout)) {
                state.mistake = Some("it waits for its request");
            }
        }
        state.answer(&request, outcome.fate)
    }
}

impl Clock for Simulation {
    fn unix_time(&self) -> UnixTime {
        UnixTime::from_duration(Duration::from_secs(START).saturating_add(self.state().elapsed))
    }

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    fn jump(&self, delay: Duration) -> bool {
        let mut state = self.state();
        if state.jumps {
            state.elapsed = state.elapsed.saturating_add(delay);
        }
        state.jumps
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulation")
    }
}
