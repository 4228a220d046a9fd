use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Exchange, Failure, FailureKind, InvalidValue, Limits,
    ListRequest, Listing, Moment, OwnedModelKey, Page, Reply, Secret, Session, Step, Wait,
};
use ureq::Agent;

use crate::http::{self, Http};
use crate::listing::{Keys, Pages};

/// The blocking client: lists the AI model API keys of Atlas projects.
///
/// Cheap to clone; clones share the session (token, nonces, rate limit, version) and the
/// connections. Any number of threads may call it at the same time: one token is fetched for all
/// of them, and a 429 slows all that ask for the same group.
///
/// Every call is bounded: by a [deadline](ClientBuilder::deadline) for each page with all its
/// retries, by timeouts, and by [`Limits`].
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something that others may wait for has changed.
    changed: Condvar,
    http: Http,
    deadline: Duration,
    limits: Limits,
    on_wait: Option<OnWait>,
}

type OnWait = Box<dyn Fn(&Wait) + Send + Sync>;

struct State {
    session: Session,
    /// Counts the exchanges that ended, so that no end is missed between two locks.
    ended: u64,
}

impl Client {
    /// A client for the Atlas at `base`, with the defaults of [`Client::builder`].
    ///
    /// # Errors
    /// [`Error::Transport`] where the platform has no usable root certificates.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Result<Self, Error> {
        Self::builder(base, credentials).build()
    }

    /// A client that is set up.
    pub fn builder(base: BaseUrl, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            session: Ok(Session::new(base, credentials)),
            limits: Limits::default(),
            deadline: Duration::from_secs(240),
            timeouts: http::Timeouts::default(),
            agent: None,
            on_wait: None,
        }
    }

    /// One page: exactly the request, parsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.reply(request)?.into_page()
    }

    /// One page as it came: its headers, and its body not decoded.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.drive(request, Vec::new())
    }

    /// All pages from the requested one on, one at a time, as they came.
    ///
    /// After an error there is nothing more.
    pub fn pages(&self, request: &ListRequest) -> Pages {
        Pages::new(self.clone(), Listing::new(*request, &self.0.limits))
    }

    /// All keys from the requested page on, fetched a page at a time. A key that a moving list
    /// shows on two neighbouring pages comes once.
    ///
    /// After an error there is nothing more.
    pub fn keys(&self, request: &ListRequest) -> Keys {
        Keys::new(self.clone(), Listing::new(*request, &self.0.limits))
    }

    /// All keys from the requested page on, at once.
    ///
    /// # Errors
    /// See [`Error`]. For what arrived before an error, use [`keys`](Client::keys).
    pub fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
        self.keys(request).collect()
    }

    /// The service account's token, for a client of another process to
    /// [restore](Client::restore_token): a service account may hold only 100 live tokens. `None`
    /// where there is none that is good for a while. Keep it as you would keep the client secret.
    #[must_use]
    pub fn export_token(&self) -> Option<Secret> {
        let at = moment().ok()?;
        self.0.lock().session.export_token(at)
    }

    /// Takes a token over that another client has exported.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none, for one of another base URL or service account, and for
    /// one that has expired. The client is as usable as before.
    pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        let at = moment()?;
        self.0.lock().session.restore_token(exported, at)?;
        Ok(())
    }

    /// Revokes the service account's token, if there is one. The next request fetches another.
    ///
    /// # Errors
    /// See [`Error`]. The token is forgotten all the same, and nothing is repeated.
    pub fn revoke_token(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let Some(request) = shared.lock().session.revoke_token() else {
            return Ok(());
        };
        let deadline = Deadline::after(shared.deadline);
        let response = shared
            .http
            .send(request, &deadline, Vec::new(), &shared.limits)
            .map_err(Failure::into_error)?;
        let at = moment()?;
        shared.lock().session.revoked(&response, at)
    }

    /// The version of the resource that the session asks for now: `preview`, until Atlas no
    /// longer has it.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.0.lock().session.version()
    }

    /// The loop that drives the core: all that a transport is. The body is read into `buffer`.
    pub(crate) fn drive(
        &self,
        list: &ListRequest,
        mut buffer: Vec<u8>,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let shared = &*self.0;
        // Whatever it ends with, a step, a wait that is given up, or a panic: others may wait for it.
        let _wake = WakeOthers(shared);
        let deadline = Deadline::after(shared.deadline);
        let (mut step, mut ended) = shared.step(|session, at| session.start(list, at))?;
        loop {
            (step, ended) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // Woken after each exchange, too: the one after may take its time.
                    let _wake = WakeOthers(shared);
                    let buffer = std::mem::take(&mut buffer);
                    match shared.http.send(request, &deadline, buffer, &shared.limits) {
                        Ok(response) => shared.step(|s, at| s.respond(pending, response, at))?,
                        // This caller's time is up. That says nothing about Atlas to those who wait for
                        // the same token, so the ticket is dropped and not answered.
                        Err(failure) if deadline.left().is_zero() => {
                            return Err(failure.into_error());
                        }
                        Err(failure) => shared.step(|s, at| s.failed(pending, failure, at))?,
                    }
                }
                Step::Wait(wait) => {
                    let wait = shared.wait(wait, ended, &deadline)?;
                    shared.step(|session, at| session.resume(wait, at))?
                }
            };
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.0.lock().session)
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}

type StepAndCount = (Step<Vec<u8>>, u64);

impl Shared {
    /// The session is left in order by every call, so a panic of another thread spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of the session, and how many exchanges had ended at that time.
    fn step(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<StepAndCount, Error> {
        let at = moment()?;
        let mut state = self.lock();
        let step = call(&mut state.session, at)?;
        Ok((step, state.ended))
    }

    /// Waits as long as the session says, or ends the exchange if that is beyond the deadline.
    fn wait(&self, wait: Wait, ended: u64, deadline: &Deadline) -> Result<Wait, Error> {
        let left = deadline.left();
        if !wait.on_change() {
            if wait.delay() >= left {
                return Err(wait.give_up());
            }
            if let Some(on_wait) = &self.on_wait {
                on_wait(&wait);
            }
            std::thread::sleep(wait.delay());
            return Ok(wait);
        }
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, wait.delay().min(left), |state| state.ended == ended)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if deadline.left().is_zero() {
            return Err(wait.give_up());
        }
        Ok(wait)
    }
}

/// Wakes those who wait for another exchange, when this one has ended in whatever way. What is
/// declared after it, the ticket, is dropped before it.
struct WakeOthers<'a>(&'a Shared);

impl Drop for WakeOthers<'_> {
    fn drop(&mut self) {
        self.0.lock().ended += 1;
        self.0.changed.notify_all();
    }
}

/// When a call must have ended.
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    pub(crate) fn left(&self) -> Duration {
        match self.0 {
            Some(end) => end.saturating_duration_since(Instant::now()),
            // Farther away than the clock can count.
            None => Duration::MAX,
        }
    }
}

/// The clock and the randomness of this machine, for one step.
fn moment() -> Result<Moment, Error> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy).map_err(|error| permanent(error.to_string()))?;
    Ok(Moment::new(now, entropy))
}

/// Something on this machine that no retry mends.
pub(crate) fn permanent(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Transport {
        kind: FailureKind::Permanent,
        attempts: 0,
        source: Arc::from(source.into()),
    }
}

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    session: Result<Session, InvalidValue>,
    limits: Limits,
    deadline: Duration,
    timeouts: http::Timeouts,
    agent: Option<Agent>,
    on_wait: Option<OnWait>,
}

impl ClientBuilder {
    /// How long one page may take, with all its retries and waits. 240 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a connection may take to come about, name resolution and TLS included. 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// How long the network may be silent while something is expected. 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.read = timeout;
        self
    }

    /// Bounds on what arrives, retries and waits among them.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks for this version of the resource and no other.
    pub fn version(mut self, version: ApiVersion) -> Self {
        self.session = self.session.map(|session| session.with_version(version));
        self
    }

    /// Puts the name of your program before this crate's in the `User-Agent`, as in
    /// `my-service/1.0`. Checked by [`build`](ClientBuilder::build).
    pub fn user_agent(mut self, product: &str) -> Self {
        let text = format!("{product} {USER_AGENT}");
        self.session = self
            .session
            .and_then(|session| session.with_user_agent(&text));
        self
    }

    /// Uses the caller's agent: its connections, TLS, proxy and middleware. Each request is made
    /// safe all the same: no redirect is followed, no status becomes ureq's error, and the
    /// timeouts are those of this client.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Is told of each wait before a request is repeated, so that a person can be told, too: how long
    /// ([`Wait::delay`]), and which answer of Atlas made it necessary ([`Wait::answer`]). Called by the
    /// thread that waits; waits for other threads are not told.
    pub fn on_wait(mut self, tell: impl Fn(&Wait) + Send + Sync + 'static) -> Self {
        self.on_wait = Some(Box::new(tell));
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `User-Agent` that is none, and [`Error::Transport`] where the
    /// platform has no usable root certificates (they are looked for only if the base URL is
    /// `https`).
    pub fn build(self) -> Result<Client, Error> {
        let session = self.session?.with_limits(self.limits.clone());
        let http = Http::new(session.base(), self.agent, self.timeouts)?;
        Ok(Client(Arc::new(Shared {
            state: Mutex::new(State { session, ended: 0 }),
            changed: Condvar::new(),
            http,
            deadline: self.deadline,
            limits: self.limits,
            on_wait: self.on_wait,
        })))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("session", &self.session)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

const USER_AGENT: &str = concat!("atlas-model-keys-ureq/", env!("CARGO_PKG_VERSION"));
