use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, PoisonError};
use std::time::{Duration, Instant};

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Collected, Credentials, Error, Exchange, FailureKind, Limits, ListRequest,
    Listing, OwnedModelKey, Page, Reply, Secret, Step, Wait,
};
use atlas_model_keys_transport::{
    OnWait, Settings, SharedSession, Trace, Wake, builder_methods, permanent,
};
use ureq::Agent;

use crate::http::{Destination, Http, problem_of};
use crate::listing::{Keys, Pages, Replies};

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
    session: SharedSession<Changed>,
    http: Http,
    deadline: Duration,
    limits: Limits,
    on_wait: Option<OnWait>,
}

/// Those who wait for another exchange of the session to end.
#[derive(Debug, Default)]
struct Changed {
    condvar: Condvar,
    /// How many they are. Counted under the session's lock, before they look whether to wait.
    waiting: AtomicUsize,
}

impl Wake for Changed {
    fn wake_all(&self) {
        // To wake is a system call, and seldom anybody waits.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }
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
            settings: Settings::new(base, credentials, USER_AGENT),
            agent: None,
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
        self.drive(request, Vec::new(), &self.deadline())
    }

    /// All pages from the requested one on, one at a time, as they came.
    ///
    /// After an error there is nothing more.
    pub fn pages(&self, request: &ListRequest) -> Pages {
        Pages::new(self.clone(), self.listing(request))
    }

    /// The same, with the bodies not decoded: for those who keep, forward or decode them their own way.
    pub fn replies(&self, request: &ListRequest) -> Replies {
        Replies::new(self.clone(), self.listing(request))
    }

    /// All keys from the requested page on, fetched a page at a time. A key that a moving list
    /// shows on two neighbouring pages comes once.
    ///
    /// After an error there is nothing more.
    pub fn keys(&self, request: &ListRequest) -> Keys {
        Keys::new(self.clone(), self.listing(request))
    }

    /// All keys from the requested page on, at once.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Limit`] where they take more memory than
    /// [`Limits::collected_bytes`]. For what arrived before an error, use [`keys`](Client::keys).
    pub fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
        let mut collected = Collected::new(&self.0.limits);
        self.keys(request)
            .map(|key| key.and_then(|key| collected.add(&key).map(|()| key)))
            .collect()
    }

    /// The service account's token, for a client of another process to
    /// [restore](Client::restore_token): a service account may hold only 100 live tokens. `None`
    /// where there is none that is good for a while. Keep it as you would keep the client secret.
    #[must_use]
    pub fn export_token(&self) -> Option<Secret> {
        self.0.session.export_token()
    }

    /// Takes a token over that another client has exported.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is none, for one of another base URL or service account, and for
    /// one that has expired. The client is as usable as before.
    pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        self.0.session.restore_token(exported)
    }

    /// Revokes the service account's token, if there is one. The next request fetches another.
    ///
    /// # Errors
    /// See [`Error`]. The token is forgotten all the same, and nothing is repeated.
    pub fn revoke_token(&self) -> Result<(), Error> {
        let shared = &*self.0;
        let request = shared.session.with(|s, _| Ok(s.revoke_token()))?;
        let Some(request) = request else {
            return Ok(());
        };
        let trace = Trace::of(&request, 1);
        let deadline = self.deadline();
        let send = || {
            let nothing = Destination::Buffer(Vec::new());
            shared
                .http
                .send(request, &deadline, nothing, &shared.limits)
        };
        let response = trace
            .in_scope(send)
            .map_err(|failure| shared.session.transport_error(failure, 1))?;
        shared.session.with(|s, at| s.revoked(&response, at))
    }

    /// The version of the resource that the session asks for now: `preview`, until Atlas no
    /// longer has it.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.0.session.version()
    }

    fn listing(&self, request: &ListRequest) -> Listing {
        Listing::new(*request, &self.0.limits)
    }

    /// When a page that is asked for now must be there.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.0.deadline)
    }

    /// Ends exchanges before their deadline; each notices with its next step.
    pub(crate) fn abandon(&self, abandoned: &AtomicBool) {
        abandoned.store(true, Ordering::Relaxed);
        // Those who look at it hold the lock until they wait.
        drop(self.0.session.wake_on_drop());
    }

    /// The loop that drives the core: all that a transport is. The body is read into `buffer`.
    pub(crate) fn drive(
        &self,
        list: &ListRequest,
        mut buffer: Vec<u8>,
        deadline: &Deadline,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let shared = &*self.0;
        let session = &shared.session;
        // Whatever it ends with: others may wait for it.
        let _wake = session.wake_on_drop();
        let (mut step, mut ended) = session.step(|session, at| session.start(list, at))?;
        loop {
            (step, ended) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // Woken after each exchange, too: the one after may take its time.
                    let _wake = session.wake_on_drop();
                    let trace = Trace::of(&request, pending.attempt());
                    let into = match pending.is_for_token() {
                        true => Destination::Erased,
                        false => Destination::Buffer(std::mem::take(&mut buffer)),
                    };
                    let send = || shared.http.send(request, deadline, into, &shared.limits);
                    match trace.in_scope(send) {
                        Ok(response) => session.respond(pending, response)?,
                        // This caller's time is up. That says nothing about Atlas to those who wait for
                        // the same token, so the ticket is dropped and not answered.
                        Err(failure)
                            if deadline.left().is_zero()
                                || failure.kind() == FailureKind::TimedOut =>
                        {
                            return Err(session.give_up(pending, failure));
                        }
                        Err(failure) => session.step(|s, at| s.fail(pending, failure, at))?,
                    }
                }
                Step::Wait(wait) => {
                    let wait = shared.wait(wait, ended, deadline)?;
                    session.step(|session, at| session.resume(wait, at))?
                }
            };
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("session", &self.0.session)
            .field("deadline", &self.0.deadline)
            .finish_non_exhaustive()
    }
}

impl Shared {
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
        }
        let unchanged = |now: u64| !wait.on_change() || now == ended;
        let changed = &self.session.waiting;
        let state = self.session.lock();
        changed.waiting.fetch_add(1, Ordering::Relaxed);
        let (state, _) = changed
            .condvar
            .wait_timeout_while(state, wait.delay().min(left), |state| {
                unchanged(state.ended()) && !deadline.is_abandoned()
            })
            .unwrap_or_else(PoisonError::into_inner);
        changed.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(state);
        if deadline.left().is_zero() {
            return Err(wait.give_up());
        }
        Ok(wait)
    }
}

/// When a call must have ended.
pub(crate) struct Deadline {
    end: Option<Instant>,
    /// Nobody wants the answer any more: as if the time were up.
    abandoned: Option<Arc<AtomicBool>>,
}

impl Deadline {
    fn after(duration: Duration) -> Self {
        Self {
            end: Instant::now().checked_add(duration),
            abandoned: None,
        }
    }

    pub(crate) fn or_if(mut self, abandoned: &Arc<AtomicBool>) -> Self {
        self.abandoned = Some(Arc::clone(abandoned));
        self
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned
            .as_ref()
            .is_some_and(|abandoned| abandoned.load(Ordering::Relaxed))
    }

    pub(crate) fn left(&self) -> Duration {
        match self.end {
            _ if self.is_abandoned() => Duration::ZERO,
            Some(end) => end.saturating_duration_since(Instant::now()),
            // Farther away than the clock can count.
            None => Duration::MAX,
        }
    }
}

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    agent: Option<Agent>,
}

impl ClientBuilder {
    builder_methods!();

    /// Uses the caller's agent: its connections, TLS, proxy and middleware. Each request is made
    /// safe all the same: no redirect is followed, no status becomes ureq's error, nothing goes through a
    /// proxy to a loopback base URL, and the timeouts are those of this client.
    ///
    /// For `https`, give it a TLS configuration (`TlsConfig`) with a crypto provider (unless the process has a
    /// default one) and root certificates (`RootCerts::Specific`). ureq panics where it was built without what an
    /// agent is set up for, and cannot be asked, so [`build`](ClientBuilder::build) refuses everything else.
    ///
    /// What this client's own connections see to and an agent's do not:
    ///
    /// - a body without a length that ends without TLS's `close_notify`, or by a reset, is taken for whole;
    /// - of what comes over TLS before it was asked for, not all is noticed before a connection is used again;
    /// - interim responses and trailers are bounded by the deadline only;
    /// - a proxy opens a tunnel by 200 only;
    /// - a head with folded fields, and zeros behind a body in gzip, are errors, and two lengths beside gzip are
    ///   none;
    /// - ureq's buffers are freed without being overwritten, those with a token among them.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `User-Agent` or a proxy that is none, given or in the environment, and
    /// [`Error::Transport`] for root certificates that are none, where there are none at all (they are
    /// looked for only if the base URL is `https`), where root certificates or a proxy are given beside an agent
    /// of your own, and for [an agent](ClientBuilder::agent) that could not be used.
    pub fn build(self) -> Result<Client, Error> {
        let resolved = self.settings.resolve(self.agent.is_some())?;
        if let Some(agent) = &self.agent
            && let Some(problem) = problem_of(agent, resolved.session.base())
        {
            return Err(permanent(&resolved.session, problem));
        }
        let http = Http::new(&resolved, self.agent);
        Ok(Client(Arc::new(Shared {
            session: SharedSession::new(resolved.session, Changed::default()),
            http,
            deadline: resolved.timeouts.deadline,
            limits: resolved.limits,
            on_wait: resolved.on_wait,
        })))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What this client calls itself.
pub(crate) const USER_AGENT: &str = concat!("atlas-model-keys-ureq/", env!("CARGO_PKG_VERSION"));
