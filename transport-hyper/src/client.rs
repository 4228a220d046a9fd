//! The client and its builder.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use atlas_model_keys_core::{BaseUrl, Credentials, Error, UnixTime};
use atlas_model_keys_transport::{
    ClientSettings, Clock, ConnectionSettings, Connections, SystemTimeExt as _, asynchronous,
    builder_methods,
};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tokio::time::Instant;
use tower_service::Service;

use crate::connect::Connector;
use crate::failure::BoxError;
use crate::send::HyperTransport;
use crate::tunnel::USER_AGENT;

/// The async client: lists the AI model API keys of Atlas projects.
///
/// A client is cheap to clone. Clones share the session (token, nonces, rate limit, version) and the connections. Any
/// number of tasks may use it at the same time: they share one token, and a 429 slows all requests for the same group.
///
/// Every call is bounded by a [deadline](ClientBuilder::deadline) for each page with all its retries, by timeouts, and by
/// [limits](ClientBuilder::limits). Any future may be dropped at any time: its requests are cancelled, and the client stays
/// usable.
///
/// Each page is fetched by its own task, which starts when the future or stream is polled for the first time. The task
/// continues even if the future is not polled again, as can happen in `select!`. So a future that is left alone does not
/// block other calls that wait for a token or a rate limit.
///
/// Calls need a tokio runtime of either kind, with time and I/O enabled. A connection is driven by the runtime that made
/// it, so make a client for each runtime. (A request on a connection whose runtime does not run ends with the read
/// timeout.)
#[derive(Clone, Debug)]
pub struct Client(asynchronous::Client);

impl Client {
    /// Makes a client for the Atlas at `base`, with default settings.
    ///
    /// # Errors
    /// See [`ClientBuilder::build`]. With default settings, only the environment can be the reason: its root certificates, or a
    /// proxy that cannot be used.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Result<Self, Error> {
        Self::builder(base, credentials).build()
    }

    /// Returns a builder with default settings.
    pub fn builder(base: BaseUrl, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            settings: ClientSettings::new(base, credentials)
                .product(USER_AGENT)
                .clock(TokioClock {
                    start: Instant::now(),
                }),
            connections: ConnectionSettings::default(),
            connector: None,
            http1_only: false,
        }
    }

    /// Returns a clone whose calls have another deadline; see [`asynchronous::Client::with_deadline`].
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self(self.0.with_deadline(deadline))
    }
}

/// Wraps a client that uses another transport, for example the emulator in memory, to test code that takes a [`Client`].
impl From<asynchronous::Client> for Client {
    fn from(client: asynchronous::Client) -> Self {
        Self(client)
    }
}

impl Deref for Client {
    type Target = asynchronous::Client;

    fn deref(&self) -> &asynchronous::Client {
        &self.0
    }
}

/// Makes the [`Connector`] for a caller's connector, when the settings are known.
type MakeConnector = Box<dyn FnOnce(&Connections) -> Connector + Send + Sync>;

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    settings: ClientSettings,
    connections: ConnectionSettings,
    connector: Option<MakeConnector>,
    http1_only: bool,
}

impl ClientBuilder {
    builder_methods!();

    /// Makes connections with the caller's connector: a tower service that returns a stream for a URI, as hyper-util's
    /// client expects it. The connector is responsible for name resolution, proxy and TLS, also for `https`. If HTTP/2 is
    /// spoken on a stream, it must say so by
    /// [`Connected::negotiated_h2`](hyper_util::client::legacy::connect::Connected::negotiated_h2). It must ask a proxy for a
    /// tunnel: a stream that is [`proxied`](hyper_util::client::legacy::connect::Connected::proxy) without a tunnel would
    /// show the credentials to the proxy, and is refused.
    ///
    /// If a server asks for HTTP/1.1 on a stream of HTTP/2 (`HTTP_1_1_REQUIRED`), the call fails, because only the
    /// connector could make a connection for HTTP/1.1.
    pub fn connector<C>(mut self, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Connection + Read + Write + Send + Unpin + 'static,
        C::Future: Send,
        C::Error: Into<BoxError>,
    {
        self.connector = Some(Box::new(|connections| {
            Connector::new(connector, connections.connect_timeout, &connections.limits)
        }));
        self
    }

    /// Speaks HTTP/1.1 only, for networks that break HTTP/2. By default, the client agrees with an `https` server on HTTP/2
    /// or HTTP/1.1, and continues with HTTP/1.1 if a server asks for it (`HTTP_1_1_REQUIRED`).
    ///
    /// The caller's own [connector](Self::connector) must not agree on HTTP/2 then.
    pub fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// Makes the client. Nothing is sent yet, and no runtime is needed yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid `User-Agent` or proxy, also one in the environment. [`Error::Transport`] for invalid
    /// root certificates, if no root certificates are found (they are loaded only if TLS is needed), and if root
    /// certificates or a proxy are set in addition to a connector.
    pub fn build(self) -> Result<Client, Error> {
        let caller_connects = self.connector.is_some();
        let connections = self.connections.resolve(&self.settings, caller_connects)?;
        // The protocol is negotiated by TLS only.
        let may_fall_back = connections.base.is_https();
        let (connector, fallback) = match self.connector {
            Some(connector) if self.http1_only => (connector(&connections).http1_only(), None),
            Some(connector) => (connector(&connections), None),
            None => {
                let [either, http1] = Connector::by_tcp(&self.settings, &connections)?;
                match may_fall_back && !self.http1_only {
                    true => (either, Some(http1)),
                    false => (http1, None),
                }
            }
        };
        let transport = HyperTransport::new(&connections, connector, fallback);
        asynchronous::Client::new(self.settings, transport).map(Client)
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("settings", &self.settings)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A clock that measures deadlines as tokio's timers do, also when a test has paused them.
#[derive(Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    fn unix_time(&self) -> UnixTime {
        SystemTime::now().to_unix_time()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
