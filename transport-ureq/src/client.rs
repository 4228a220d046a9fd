//! The client and its builder.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Credentials, Error};
use atlas_model_keys_transport::{
    CancelHandle, ClientSettings, ConnectionSettings, blocking, builder_methods,
};
use ureq::Agent;

use crate::connect::USER_AGENT;
use crate::send::{UreqTransport, agent_problem};

/// The blocking client: lists the AI model API keys of Atlas projects.
///
/// Its calls are the methods of [`blocking::Client`], which it dereferences to. A client is cheap to clone. Clones share
/// the session (token, nonces, rate limit, version) and the connections. Any number of threads may use it at the same
/// time: they share one token, and a 429 slows all requests for the same group.
///
/// Every call is bounded by a [deadline](ClientBuilder::deadline) for each page with all its retries, by timeouts, and by
/// [limits](ClientBuilder::limits).
#[derive(Clone, Debug)]
pub struct Client(blocking::Client);

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
            settings: ClientSettings::new(base, credentials).product(USER_AGENT),
            connections: ConnectionSettings::default(),
            agent: None,
        }
    }

    /// Returns a clone whose calls have another deadline; see [`blocking::Client::with_deadline`].
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self(self.0.with_deadline(deadline))
    }

    /// Returns a clone whose calls can be cancelled; see [`blocking::Client::with_cancel_handle`].
    #[must_use]
    pub fn with_cancel_handle(&self, handle: &CancelHandle) -> Self {
        Self(self.0.with_cancel_handle(handle))
    }
}

/// Wraps a client that uses another transport, for example the emulator in memory, to test code that takes a [`Client`].
impl From<blocking::Client> for Client {
    fn from(client: blocking::Client) -> Self {
        Self(client)
    }
}

impl Deref for Client {
    type Target = blocking::Client;

    fn deref(&self) -> &blocking::Client {
        &self.0
    }
}

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    settings: ClientSettings,
    connections: ConnectionSettings,
    agent: Option<Agent>,
}

impl ClientBuilder {
    builder_methods!();

    /// Uses the caller's agent: its connections, TLS, proxy and middleware. The client still configures each request:
    /// redirects are not followed, statuses do not become errors of ureq, requests to a loopback base URL use no proxy,
    /// and the timeouts are those of this client.
    ///
    /// For `https`, the agent needs a TLS configuration (`TlsConfig`) with a crypto provider (unless the process has a
    /// default one) and root certificates (`RootCerts::Specific`). With other configurations ureq could panic, depending
    /// on the features that it was built with, so [`build`](ClientBuilder::build) refuses them.
    ///
    /// An agent's connections lack some checks that the client's own connections have:
    ///
    /// - a body without a length that ends by a reset, or without `close_notify` of TLS, counts as complete;
    /// - data that arrives over TLS before the next request is not always noticed;
    /// - interim responses and trailers are bounded by the deadline only;
    /// - a proxy must open a tunnel with status 200 exactly;
    /// - a head with folded fields is an error, and so are zeros after a body in gzip; a body in gzip with two lengths is
    ///   not an error;
    /// - ureq's buffers are freed without being overwritten, even if they held a token.
    pub fn agent(mut self, agent: Agent) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Makes the client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid `User-Agent` or proxy, also one in the environment. [`Error::Transport`] for invalid
    /// root certificates, if no root certificates are found (they are loaded only if TLS is needed), if root certificates
    /// or a proxy are set in addition to an agent, and for [an agent](ClientBuilder::agent) that cannot be used.
    pub fn build(self) -> Result<Client, Error> {
        let caller_connects = self.agent.is_some();
        let connections = self.connections.resolve(&self.settings, caller_connects)?;
        if let Some(agent) = &self.agent
            && let Some(problem) = agent_problem(agent, &connections.base)
        {
            return Err(self.settings.permanent_error(problem));
        }
        let transport = UreqTransport::new(&connections, self.agent);
        blocking::Client::new(self.settings, transport).map(Client)
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
