//! The clients of the transport crate list keys over a simulated network, within their deadlines.
//!
//! **Input**: one byte each for the flags (1: blocking, 2: tasks can be spawned, 4: the request at which the call is
//! cancelled has no result, 8: pages have no total count, 16: each stream has a deadline that is a second longer than that
//! of the stream before), the credential, the number of streams, the number of pages to read ahead, the items per page, the
//! deadline in seconds (0 means the default), the step at which the first stream is dropped or the request at which the
//! call is cancelled (0 means never), and the number of outcomes; two bytes for each outcome, its fate (from [`FATES`])
//! and its delay in seconds; then one byte for each choice among woken tasks and simultaneous events.
//!
//! **Properties**
//!
//! - Each stream returns the keys in order, each once. It is complete unless it ends with an error. It returns a page only
//!   if the page before it has announced it, and ends at once after an error.
//! - There is no error without a cause: a few temporary failures without delays are repaired by retries.
//! - A page takes no longer than the deadline, and no request is sent after it. If the deadline ends a request, that is
//!   reported as a timeout, and nothing else is.
//! - Without failures and delays no time passes, so nobody waits for another call longer than it takes, and each stream
//!   requests each page once. No wake-up is lost.
//! - Each request is reported as sent, and, unless its call is dropped, once as answered or failed.
//! - After a stream has ended or is dropped, its requests end at once, and other streams go on.
//! - A stream has at most as many requests at the same time as pages are read ahead, and exactly as many if nothing fails
//!   or is late. It has one if no tasks can be spawned.
//! - A future keeps the last waker that it was polled with. Calls of earlier ones are ignored.
//! - A cancelled call ends at once, even if its request has no result, and sends no other one. The transport has no time
//!   left for that request.
//! - The blocking client sends the requests of a session that is driven by hand, with the same result.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{
    BaseUrl, Credentials, Error, FailureKind, GroupId, ItemsPerPage, ListRequest, Moment,
    Operation, Page, Session, Step,
};
use atlas_model_keys_emulator::Emulator;
use atlas_model_keys_transport::{
    CancelHandle, ClientSettings, Event, SendContext, Task, Transport, asynchronous, blocking,
};

use crate::generators::bytes as input;
use crate::generators::emulator::{NO_TOTAL_COUNT, Setup};
use crate::generators::simulation::{Cancellation, FATES, Fate, Outcome, Simulation};
use crate::generators::world;

/// The deadline unless the input has one.
const DEADLINE: Duration = Duration::from_secs(240);

/// The failures of a request that retries certainly repair: one less than the attempts.
const REPAIRED: usize = 4;

#[derive(Debug)]
struct Input {
    is_blocking: bool,
    spawns: bool,
    /// Whether the request at which the call is cancelled has no result.
    is_endless: bool,
    /// Whether pages have a total count. Without it, pages beyond the end may be read ahead.
    has_total_count: bool,
    has_own_deadlines: bool,
    credential: u8,
    streams: u8,
    read_ahead: u8,
    per_page: u8,
    deadline: u8,
    drop_at: u8,
    outcomes: Vec<Outcome>,
    choices: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let [
            flags,
            credential,
            streams,
            read_ahead,
            per_page,
            deadline,
            drop_at,
            count,
        ]: [u8; 8] = u.arbitrary()?;
        let outcomes = (0..count % 16).map(|_| {
            Ok(Outcome {
                fate: input::pick(u, &FATES)?,
                delay: input::byte(u)?,
            })
        });
        Ok(Self {
            is_blocking: flags & 1 != 0,
            spawns: flags & 2 != 0,
            is_endless: flags & 4 != 0,
            has_total_count: flags & 8 == 0,
            has_own_deadlines: flags & 16 != 0,
            credential: credential % 3,
            streams: 1 + streams % 3,
            read_ahead: read_ahead % 5,
            per_page: 1 + per_page % 4,
            deadline,
            drop_at,
            outcomes: outcomes.collect::<Result<_, _>>()?,
            choices: input::rest(u)?.to_vec(),
        })
    }
}

impl Input {
    /// Returns an emulator without a rate limit.
    fn setup(&self) -> Setup {
        Setup {
            seed: 0,
            groups: 3,
            keys: 8,
            flags: 4,
            more: if self.has_total_count {
                0
            } else {
                NO_TOTAL_COUNT
            },
            is_recorded: false,
        }
    }

    fn deadline(&self) -> Duration {
        match self.deadline {
            0 => DEADLINE,
            seconds => Duration::from_secs(seconds.into()),
        }
    }

    /// Returns the number of requests that a stream may have at the same time.
    fn most_requests(&self) -> usize {
        match self.spawns && !self.is_blocking {
            true => usize::from(self.read_ahead).max(1),
            false => 1,
        }
    }

    /// Returns whether every request certainly gets its response.
    fn is_repaired(&self) -> bool {
        let temporary = self
            .outcomes
            .iter()
            .all(|outcome| outcome.fate.is_temporary() && outcome.delay == 0);
        // A token that may have been issued and lost is requested once more only.
        let may_lose_token =
            |outcome: &&Outcome| matches!(outcome.fate, Fate::Lost | Fate::Status(500));
        let lost_tokens = match self.credential {
            1 => self.outcomes.iter().filter(may_lose_token).count(),
            _ => 0,
        };
        self.deadline == 0 && temporary && self.failures() <= REPAIRED && lost_tokens <= 1
    }

    fn failures(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| outcome.fate != FATES[0])
            .count()
    }

    fn is_calm(&self) -> bool {
        self.failures() == 0 && self.outcomes.iter().all(|outcome| outcome.delay == 0)
    }
}

/// The numbers of reported events.
#[derive(Default)]
struct Reported {
    sent: AtomicUsize,
    ended: AtomicUsize,
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes).map(Arc::new) else {
        return;
    };
    let (emulator, facts) = world::emulator(input.setup());
    let group = &facts.groups[0];
    let keys: Vec<String> = group
        .keys
        .iter()
        .filter_map(|key| key["apiKeyId"].as_str().map(str::to_owned))
        .collect();
    let per_page = ItemsPerPage::new(input.per_page.into()).expect("1 to 500");
    let group: GroupId = group.id.parse().expect("a valid id");
    let list = ListRequest::new(group).with_items_per_page(per_page);
    let credentials = credentials(&emulator, input.credential);
    let reported = Arc::new(Reported::default());
    let simulation = Simulation::new(
        emulator.clone(),
        &input.outcomes,
        input.is_blocking,
        input.spawns,
    );
    let settings = ClientSettings::new(BaseUrl::default(), credentials.clone())
        .clock(simulation.clone())
        .deadline(input.deadline())
        .on_event({
            let reported = Arc::clone(&reported);
            move |event| match event {
                Event::Sent(_) => _ = reported.sent.fetch_add(1, Ordering::Relaxed),
                Event::Answered { .. } | Event::Failed { .. } => {
                    _ = reported.ended.fetch_add(1, Ordering::Relaxed)
                }
                _ => {}
            }
        });
    if input.is_blocking {
        check_blocking(&input, &simulation, settings, &list, &keys);
        if input.drop_at == 0
            && input.deadline == 0
            && input.outcomes.iter().all(|outcome| outcome.delay == 0)
        {
            check_by_hand(&input, &emulator, credentials, &list);
        }
    } else {
        check_async(&input, &simulation, settings, &list, &keys);
    }
    let sent = simulation.state().sent.len();
    assert_eq!(
        reported.sent.load(Ordering::Relaxed),
        sent,
        "each request is reported"
    );
    let ended = reported.ended.load(Ordering::Relaxed);
    let is_dropped = !input.is_blocking && (input.drop_at > 0 || input.read_ahead > 1);
    assert!(
        ended == sent || is_dropped && ended < sent,
        "{ended} of {sent} requests have an end"
    );
    if input.is_calm() {
        assert_eq!(
            simulation.state().elapsed(),
            Duration::ZERO,
            "time passes, although nothing takes any"
        );
        check_requests(&input, &simulation);
    }
}

/// Checks that each stream has requested each page once. With a Digest credential, the server may ask for an answer first.
fn check_requests(input: &Input, simulation: &Simulation) {
    let streams = if input.is_blocking { 1 } else { input.streams };
    let attempts = if input.credential == 2 { 2 } else { 1 };
    let state = simulation.state();
    let mut counts = HashMap::new();
    for request in &state.sent {
        let count = counts.entry(request).or_insert(0);
        *count += 1;
        assert!(*count <= streams * attempts, "{request}: {count} times");
    }
}

fn credentials(emulator: &Emulator, kind: u8) -> Credentials {
    let (key, account) = (emulator.api_key(), emulator.service_account());
    let credentials = match kind {
        0 => Credentials::bearer(emulator.access_token()),
        1 => Credentials::service_account(&account.client_id, account.client_secret.as_str()),
        _ => Credentials::api_key(&key.public_key, key.private_key.as_str()),
    };
    credentials.expect("the emulator's credentials are valid")
}

/// Checks the keys of one stream, and its error.
fn check_keys(input: &Input, listed: &Listed, keys: &[String]) {
    let found = &listed.keys;
    assert!(
        keys.starts_with(found),
        "{found:?} is not the beginning of {keys:?}"
    );
    match &listed.error {
        None => assert_eq!(found.len(), keys.len(), "keys are missing"),
        Some(error) => assert!(!input.is_repaired(), "an error without a cause: {error}"),
    }
}

/// What a stream has returned.
struct Listed {
    keys: Vec<String>,
    error: Option<Error>,
    /// Whether the last page has announced another one.
    is_announced: bool,
}

impl Listed {
    fn new() -> Self {
        Self {
            keys: Vec::new(),
            error: None,
            is_announced: true,
        }
    }

    /// Adds what the stream has returned next. Returns `false` at its end.
    fn add(&mut self, page: Option<Result<Page<Vec<u8>>, Error>>) -> bool {
        let is_expected = self.is_announced || page.is_none();
        assert!(is_expected, "{page:?} was not announced");
        match page {
            Some(Ok(page)) => {
                self.keys.extend(ids(&page));
                self.is_announced = page.has_next();
                true
            }
            Some(Err(error)) => {
                self.error = Some(error);
                true
            }
            None => false,
        }
    }
}

/// Checks the time that a page took.
fn check_time<T>(
    input: &Input,
    time: Duration,
    deadline: Duration,
    page: &Option<Result<T, Error>>,
) {
    assert!(time <= deadline, "a page took {time:?}");
    if let Some(Err(Error::Transport { kind, attempts, .. })) = page {
        // The deadline of a page that is read ahead may have begun earlier, and a wait for another request ends at once if it
        // is known to be too long.
        let may_be_early = input.most_requests() > 1 || *attempts == 0;
        // An exchange that was repeated ends with the cause of its last repetition. It may have repeated the request for a
        // token, too.
        let may_be_repeated = *attempts > 1 || input.credential == 1;
        match kind {
            FailureKind::TimedOut => assert!(
                time == deadline || may_be_early,
                "a timeout after {time:?}, before the deadline"
            ),
            FailureKind::Permanent => {}
            _ => assert!(
                time != deadline || may_be_repeated,
                "{kind:?} at the deadline"
            ),
        }
    }
}

/// Lists keys with several streams at the same time.
fn check_async(
    input: &Arc<Input>,
    simulation: &Simulation,
    settings: ClientSettings,
    list: &ListRequest,
    keys: &[String],
) {
    let client = asynchronous::Client::new(settings, simulation.clone()).expect("valid settings");
    let results: Arc<Mutex<Vec<_>>> = Arc::default();
    let streams = (0..input.streams).map(|number| {
        let (mut client, mut deadline) = (client.clone(), input.deadline());
        if input.has_own_deadlines {
            deadline += Duration::from_secs(number.into());
            client = client.with_deadline(deadline);
        }
        let mut pages = client.pages(list).read_ahead(input.read_ahead.into());
        let (simulation, results) = (simulation.clone(), Arc::clone(&results));
        let input = Arc::clone(input);
        let stream: Task = Box::pin(async move {
            let mut listed = Listed::new();
            loop {
                let begun = simulation.state().elapsed();
                let page = pages.next().await;
                let time = simulation.state().elapsed() - begun;
                check_time(&input, time, deadline, &page);
                if !listed.add(page) {
                    break;
                }
                if listed.error.is_some() {
                    let mut next = pin!(pages.next());
                    let next = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
                    assert!(matches!(next, Poll::Ready(None)), "{next:?} after an error");
                }
            }
            // The stream is kept, but its requests must have ended.
            results
                .lock()
                .expect("no panic")
                .push((number, listed, pages));
        });
        stream
    });
    let mut choices = input.choices.iter().copied();
    let mut steps = 0;
    simulation.run(streams.collect(), |_| {
        steps += 1;
        let is_dropped = input.drop_at > 0 && steps == u32::from(input.drop_at);
        (choices.next().unwrap_or_default().into(), is_dropped)
    });
    let results = results.lock().expect("no panic");
    for (_, listed, _) in results.iter() {
        check_keys(input, listed, keys);
    }
    let requests = simulation.state().most_requests;
    let most = input.most_requests();
    assert!(requests <= most, "{requests} requests, more than {most}");
    if input.is_calm() && input.drop_at == 0 {
        // The first page is fetched alone.
        let others = keys.len().div_ceil(input.per_page.into()) - 1;
        assert!(requests >= most.min(others), "only {requests} requests");
    }
    let missing = usize::from(input.streams) - results.len();
    let dropped =
        usize::from(input.drop_at > 0 && !results.iter().any(|(number, ..)| *number == 0));
    assert_eq!(missing, dropped, "a stream did not end");
}

/// Lists keys one page after the other.
fn check_blocking(
    input: &Input,
    simulation: &Simulation,
    settings: ClientSettings,
    list: &ListRequest,
    keys: &[String],
) {
    let cancel = CancelHandle::new();
    let (end, endless) = mpsc::channel();
    let mut client = blocking::Client::new(settings, simulation.clone()).expect("valid settings");
    if input.drop_at > 0 {
        simulation.state().cancellation = Some(Cancellation {
            at: input.drop_at.into(),
            handle: cancel.clone(),
            endless: input.is_endless.then_some(endless),
        });
        client = client.with_cancel_handle(&cancel);
    }
    let mut pages = client.pages(list);
    let mut listed = Listed::new();
    loop {
        let begun = simulation.state().elapsed();
        let page = pages.next();
        let time = simulation.state().elapsed() - begun;
        if !cancel.is_cancelled() {
            check_time(input, time, input.deadline(), &page);
        }
        if !listed.add(page) {
            break;
        }
    }
    if cancel.is_cancelled() {
        assert!(keys.starts_with(&listed.keys));
        let sent = simulation.state().sent.len();
        assert!(client.list(list).is_err(), "a cancelled client lists keys");
        drop((client, pages, end));
        simulation.join_threads();
        assert_eq!(
            simulation.state().mistake,
            None,
            "what a cancelled call does"
        );
        assert_eq!(
            simulation.state().sent.len(),
            sent,
            "a cancelled call sends a request"
        );
    } else {
        check_keys(input, &listed, keys);
    }
}

/// Lists one page with a session that is driven by hand and with a client, and compares requests and results.
fn check_by_hand(input: &Input, emulator: &Emulator, credentials: Credentials, list: &ListRequest) {
    let simulate = || Simulation::new(emulator.clone(), &input.outcomes, true, false);
    let by_client = simulate();
    let settings =
        ClientSettings::new(BaseUrl::default(), credentials.clone()).clock(by_client.clone());
    let client = blocking::Client::new(settings, by_client.clone()).expect("valid settings");
    let listed = client.list(list);

    let by_hand = simulate();
    let limits = atlas_model_keys_core::Limits::default();
    let mut session = Session::new(BaseUrl::default(), credentials);
    let at = |simulation: &Simulation| {
        let now = atlas_model_keys_transport::Clock::unix_time(simulation).to_duration();
        Moment::new(now.unwrap_or_default(), [7; 16])
    };
    let mut step = session.start(list, at(&by_hand));
    let result = loop {
        step = match step {
            Ok(Step::Send(exchange)) => {
                let context = SendContext::new(&limits, DEADLINE, exchange.pending.is_for_token());
                match Transport::send(&by_hand, exchange.request, context) {
                    Ok(response) => session.respond(exchange.pending, response, at(&by_hand)),
                    Err(failure) => session.fail(exchange.pending, failure, at(&by_hand)),
                }
            }
            Ok(Step::Wait(wait)) => {
                atlas_model_keys_transport::Clock::jump(&by_hand, wait.delay());
                session.resume(wait, at(&by_hand))
            }
            Ok(Step::Done(reply)) => break ListRequest::read(reply),
            Err(error) => break Err(error),
        };
    };
    assert_eq!(by_client.state().sent, by_hand.state().sent);
    match (listed, result) {
        (Ok(listed), Ok(due)) => assert_eq!(ids(&listed), ids(&due)),
        (Err(error), Err(due)) => assert_eq!(kind(&error), kind(&due)),
        (listed, due) => panic!("{listed:?}, not {due:?}"),
    }
}

fn ids(page: &Page<Vec<u8>>) -> Vec<String> {
    let ids = page
        .keys()
        .filter_map(|key| key.api_key_id().map(str::to_owned));
    ids.collect()
}

fn kind(error: &Error) -> (Option<FailureKind>, Option<http::StatusCode>) {
    let kind = match error {
        Error::Transport { kind, .. } => Some(*kind),
        _ => None,
    };
    (kind, error.status())
}
