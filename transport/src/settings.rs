//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, InvalidValue, Limits, Session,
};

use crate::clock::{Clock, SystemClock};
use crate::event::{Event, Events, OnEvent};
use crate::failure::permanent;

/// The settings of a client, apart from those of its transport. Invalid values are kept until the client is made, which
/// reports them.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_core::{BaseUrl, Credentials};
/// use atlas_model_keys_transport::ClientSettings;
///
/// let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1")?;
/// let settings = ClientSettings::new(BaseUrl::default(), credentials)
///     .user_agent("key-audit/1.0")
///     .deadline(Duration::from_secs(60));
/// # let _ = settings;
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[must_use]
pub struct ClientSettings {
    session: Result<Session, InvalidValue>,
    product: &'static str,
    pub(crate) limits: Limits,
    deadline: Duration,
    on_event: Option<OnEvent>,
    clock: Arc<dyn Clock>,
}

/// Checked settings.
pub(crate) struct Resolved {
    pub(crate) session: Session,
    pub(crate) limits: Limits,
    pub(crate) deadline: Duration,
    pub(crate) events: Events,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The default deadline: more than all waits that the default [`RetryPolicy`](atlas_model_keys_core::RetryPolicy) allows.
const DEADLINE: Duration = Duration::from_secs(240);

const USER_AGENT: &str = concat!("atlas-model-keys-transport/", env!("CARGO_PKG_VERSION"));

impl ClientSettings {
    /// Makes the default settings for the Atlas at `base`.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Self {
        Self {
            session: Session::new(base, credentials).with_user_agent(USER_AGENT),
            product: USER_AGENT,
            limits: Limits::default(),
            deadline: DEADLINE,
            on_event: None,
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// Sets the name and the version of the client in the `User-Agent`, as in `my-transport/1.0`. A transport crate sets
    /// its own.
    pub fn product(mut self, product: &'static str) -> Self {
        self.product = product;
        self.session = self
            .session
            .and_then(|session| session.with_user_agent(product));
        self
    }

    /// Sets the time for one page with all retries and waits. Default: 240 s. See also
    /// [`with_deadline`](crate::blocking::Client::with_deadline), which changes it for some calls.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the limits of responses, retries and waits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Pins the API version of [`ListRequest`](atlas_model_keys_core::ListRequest). Other operations are not affected.
    pub fn version(mut self, version: ApiVersion) -> Self {
        self.session = self.session.map(|session| session.with_version(version));
        self
    }

    /// Puts the name of your program before the client's name in the `User-Agent`, as in `my-service/1.0`.
    pub fn user_agent(mut self, product: &str) -> Self {
        let text = format!("{product} {}", self.product);
        self.session = self
            .session
            .and_then(|session| session.with_user_agent(&text));
        self
    }

    /// Sets a function that is called with each [`Event`]: for logs, for metrics, or to tell a user why a call waits.
    ///
    /// The function should return quickly: this call, and others that wait for the same token, continue only afterwards.
    /// It may be called by several threads at the same time.
    pub fn on_event(mut self, on_event: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(on_event));
        self
    }

    /// Sets the clock, for tests. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the error for a problem of this machine that was found before a request and that no retry can solve.
    #[must_use]
    pub fn permanent(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        match self.session() {
            Ok(session) => permanent(session, source),
            Err(error) => error,
        }
    }

    pub(crate) fn session(&self) -> Result<&Session, Error> {
        self.session.as_ref().map_err(|error| error.clone().into())
    }

    /// Checks all settings.
    pub(crate) fn resolve(self) -> Result<Resolved, Error> {
        Ok(Resolved {
            session: self.session?.with_limits(self.limits.clone()),
            limits: self.limits,
            deadline: bounded(self.deadline),
            events: Events::new(self.on_event),
            clock: self.clock,
        })
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings")
            .field("session", &self.session)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Limits a duration to a year, because other crates add it to the current time without a check for overflow.
pub(crate) fn bounded(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(365 * 24 * 60 * 60))
}
