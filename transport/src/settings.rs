//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, BaseUrl, Credentials, Error, Limits, Session};

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
    session: Session,
    /// The name and the version of the client, for the `User-Agent`.
    product: &'static str,
    /// The name of the program, before the product.
    program: Option<String>,
    pub(crate) limits: Limits,
    deadline: Duration,
    rate_limits_extend_deadline: bool,
    on_event: Option<OnEvent>,
    clock: Arc<dyn Clock>,
}

/// Checked settings.
pub(crate) struct Resolved {
    pub(crate) session: Session,
    pub(crate) limits: Limits,
    pub(crate) deadline: Duration,
    pub(crate) rate_limits_extend_deadline: bool,
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
            session: Session::new(base, credentials),
            product: USER_AGENT,
            program: None,
            limits: Limits::default(),
            deadline: DEADLINE,
            rate_limits_extend_deadline: false,
            on_event: None,
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// Sets the name and the version of the client in the `User-Agent`, as in `my-transport/1.0`, instead of those of this
    /// crate. It is for crates that offer a transport.
    pub fn product(mut self, product: &'static str) -> Self {
        self.product = product;
        self
    }

    /// Sets the time for one page with all retries and waits. Default: 240 s; maximum: one year. A whole listing (`keys`,
    /// `list_all`) has no deadline. See also [`with_deadline`](crate::blocking::Client::with_deadline), which changes it for
    /// some calls.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets whether the deadline does not include the waits after a 429 response, and those for another request of the client.
    /// Default: it includes them. [`RetryPolicy::total_wait`](atlas_model_keys_core::RetryPolicy::total_wait) limits them in
    /// any case.
    pub fn rate_limits_extend_deadline(mut self, extend: bool) -> Self {
        self.rate_limits_extend_deadline = extend;
        self
    }

    /// Sets the limits of responses, retries and waits. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Pins the API version of [`ListRequest`](atlas_model_keys_core::ListRequest). Other operations are not affected.
    pub fn version(mut self, version: ApiVersion) -> Self {
        self.session = self.session.with_version(version);
        self
    }

    /// Puts the name of your program before the client's name in the `User-Agent`, as in `my-service/1.0`.
    pub fn user_agent(mut self, program: &str) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Sets a function that is called with each [`Event`]: for logs, for metrics, or to tell a user why a call waits.
    ///
    /// The function should return quickly: this call, and others that wait for the same token, continue only afterwards.
    /// It may be called by several threads at the same time. A second call of this method replaces the function.
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
    #[doc(hidden)] // For transport crates of this workspace.
    #[must_use]
    pub fn permanent_error(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        permanent(&self.session, source)
    }

    #[cfg(feature = "rustls")]
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Checks all settings.
    pub(crate) fn resolve(self) -> Result<Resolved, Error> {
        let user_agent = match self.program {
            Some(program) => format!("{program} {}", self.product),
            None => self.product.to_owned(),
        };
        let session = self.session.with_user_agent(&user_agent)?;
        Ok(Resolved {
            session: session.with_limits(self.limits.clone()),
            limits: self.limits,
            deadline: bounded(self.deadline),
            rate_limits_extend_deadline: self.rate_limits_extend_deadline,
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
