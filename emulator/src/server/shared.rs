//! The settings of a server, and the state that its threads share.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::emulator::Emulator;
use crate::seen::Seen;
use crate::setters::setters;

#[cfg(feature = "tls")]
use super::tls::Tls;

/// The maximum time from the first byte of a request to its last.
///
/// A normal request needs milliseconds. Half a minute is also the maximum time of a slow response, so
/// a slow client keeps a connection no longer than a slow response does. Without this limit, one
/// byte a minute would keep the connection for ever.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum time for which a client may read nothing of a response. A normal client reads at once;
/// ten seconds allow for a busy machine or a person with a debugger.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for which a connection may wait for its request before a new one takes its place. A normal client
/// sends its request at once.
const EVICT_AFTER: Duration = Duration::from_millis(100);

/// A function that returns the time since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A function that is called with the record of a request.
pub type Log = Arc<dyn Fn(&Seen) + Send + Sync>;

/// Returns a clock that shows `start`, a time since the Unix epoch, and continues from there.
///
/// With an equal [`Config::present`](crate::Config::present), the dates of the keys and the `Date` of
/// responses belong together.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_emulator::server;
/// let clock = server::clock_from(Duration::from_secs(1_790_000_000));
/// assert_eq!(clock().as_secs() / 60, 1_790_000_000 / 60);
/// ```
#[must_use]
pub fn clock_from(start: Duration) -> Clock {
    let began = Instant::now();
    Arc::new(move || start.saturating_add(began.elapsed()))
}

/// The settings of a [`Server`](super::Server); those of the emulator are in [`Config`](crate::Config).
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The address to listen on. The default is 127.0.0.1. With an address that is not loopback, anyone who
    /// can reach it can list the emulator's keys.
    pub address: IpAddr,
    /// The port. 0 means any free port.
    pub port: u16,
    /// The names that a request may have in `Host`, in addition to `localhost`, names that end with
    /// `.localhost`, and all IP addresses. A request with another name gets 421, so that a web page
    /// cannot use the emulator by DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// The certificate for HTTPS. Without it, the server speaks plain HTTP.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
    /// The delay before each response.
    pub latency: Duration,
    /// The maximum number of open connections, each with a thread. For a further connection, the one that has
    /// waited longest for its request is closed. If none has waited for 100 ms, the new one gets 503 after its
    /// request.
    pub max_connections: usize,
    /// The time after which a silent connection is closed. In addition, a request must be complete
    /// 30 seconds after its first byte, or it gets 408.
    pub idle_timeout: Duration,
    /// The clock of the emulator. In a test it may stand still or jump.
    pub clock: Clock,
    /// The function that is called for each request, in their order; see [`Options::with_log`].
    pub log: Option<Log>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            allowed_hosts: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
            latency: Duration::ZERO,
            max_connections: 1024,
            idle_timeout: Duration::from_secs(60),
            clock: Arc::new(|| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
            }),
            log: None,
        }
    }
}

impl Options {
    setters!(
        with_address address IpAddr,
        with_port port u16,
        with_latency latency Duration,
        with_max_connections max_connections usize,
        with_idle_timeout idle_timeout Duration,
        with_clock clock Clock
    );

    /// Sets a function that is called once for each request, in their order, before its response is sent. All other
    /// requests wait until it returns, and it must not call [`Server::with`](super::Server::with).
    ///
    /// A request that is refused because of its host (421), or because it is HTTP on a port of HTTPS (400), is passed
    /// to it, too. These are not: requests that are not valid HTTP or not complete in time (400, 408, 413, 431 …), those
    /// on connections beyond [`max_connections`](Self::max_connections) (503), and those for the control interface.
    ///
    /// ```
    /// use atlas_model_keys_emulator::server::Options;
    /// let options = Options::default().with_log(|seen| eprintln!("{}", seen.to_json()));
    /// ```
    #[must_use]
    pub fn with_log(mut self, log: impl Fn(&Seen) + Send + Sync + 'static) -> Self {
        self.log = Some(Arc::new(log));
        self
    }

    /// Allows one more name in `Host`, without a port. Upper and lower case do not matter.
    #[must_use]
    pub fn with_allowed_host(mut self, name: impl Into<String>) -> Self {
        self.allowed_hosts.push(name.into());
        self
    }

    /// Serves HTTPS with this certificate, instead of plain HTTP.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub(super) fn scheme(&self) -> &'static str {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return "https";
        }
        "http"
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("port", &self.port)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("latency", &self.latency)
            .field("max_connections", &self.max_connections)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

/// The time limits for slow clients. Tests use shorter ones.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) request: Duration,
    pub(super) write: Duration,
    /// The time for which a connection may wait for its request before a new one takes its place.
    pub(super) evict: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: REQUEST_TIMEOUT,
            write: WRITE_TIMEOUT,
            evict: EVICT_AFTER,
        }
    }
}

/// The state that all threads share.
pub(super) struct Shared {
    emulator: Mutex<Emulator>,
    pub(super) options: Options,
    pub(super) timeouts: Timeouts,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

impl Shared {
    pub(super) fn new(emulator: Emulator, options: Options, timeouts: Timeouts) -> Self {
        Self {
            emulator: Mutex::new(emulator),
            options,
            timeouts,
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    /// Locks the emulator. It stays usable after a panic in the closure of
    /// [`Server::with`](super::Server::with).
    pub(super) fn emulator(&self) -> MutexGuard<'_, Emulator> {
        self.emulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        *self.stopping() = true;
        self.stopped.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping()
    }

    /// Sleeps for this time, or until the server stops.
    pub(super) fn pause(&self, time: Duration) {
        if !time.is_zero() {
            drop(
                self.stopped
                    .wait_timeout_while(self.stopping(), time, |stopping| !*stopping),
            );
        }
    }
}
