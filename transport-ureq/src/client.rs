//! The client and its builder.

use std::fmt;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Collected, Credentials, Error, Listing, Operation, OwnedModelKey, Page,
    Paged, Reply, Secret,
};
use atlas_model_keys_transport::{Settings, builder_methods, permanent};
use ureq::Agent;

use crate::connect::USER_AGENT;
use crate::driver::Driver;
use crate::http::{Http, agent_problem};
use crate::listing::{Keys, Pages, Replies};

/// The blocking client: lists the AI model API keys of Atlas projects.
///
/// A client is cheap to clone. Clones share the session (token, nonces, rate limit, version) and the connections. Any
/// number of threads may use it at the same time: they share one token, and a 429 slows all requests for the same group.
///
/// Every call is bounded by a [deadline](ClientBuilder::deadline) for each page with all its retries, by timeouts, and by
/// [limits](ClientBuilder::limits).
#[derive(Clone)]
pub struct Client(Arc<Driver>);

impl Client {
    /// Makes a client for the Atlas at `base`, with default settings.
    ///
    /// # Errors
    /// [`Error::Transport`] if the platform has no usable root certificates, and [`Error::Invalid`] for a proxy in the
    /// environment that cannot be used.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Result<Self, Error> {
        Self::builder(base, credentials).build()
    }

    /// Returns a builder with default settings.
    pub fn builder(base: BaseUrl, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            settings: Settings::new(base, credentials, USER_AGENT),
            agent: None,
        }
    }

    /// Returns the answer to an operation: for a [`ListRequest`](crate::ListRequest), the requested page.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list<O: Operation>(&self, operation: &O) -> Result<O::Answer<Vec<u8>>, Error> {
        O::read(self.reply(operation)?)
    }

    /// Returns the response to an operation, with an undecoded body.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reply(&self, operation: &impl Operation) -> Result<Reply<Vec<u8>>, Error> {
        self.0.drive(operation, Vec::new(), &self.0.deadline())
    }

    /// Lists all pages from the requested one on, one at a time. The listing ends after an error.
    pub fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(&self, request: &R) -> Pages<R> {
        Pages::new(Arc::clone(&self.0), self.listing(request))
    }

    /// Lists the responses with undecoded bodies, for callers that store, forward or decode them themselves.
    pub fn replies<R: Paged>(&self, request: &R) -> Replies<R> {
        Replies::new(Arc::clone(&self.0), self.listing(request))
    }

    /// Lists all keys from the requested page on, and fetches the pages as needed. If the list changes meanwhile, a key
    /// can be on two consecutive pages: it is returned once. The listing ends after an error.
    pub fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(&self, request: &R) -> Keys<R> {
        Keys::new(Arc::clone(&self.0), self.listing(request))
    }

    /// Returns all keys from the requested page on.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Limit`] if the keys take more memory than
    /// [`Limits::collected_bytes`](crate::Limits::collected_bytes). To get the keys before an error, use
    /// [`keys`](Client::keys).
    pub fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        let mut collected = Collected::new(&self.0.limits);
        self.keys(request)
            .map(|key| key.and_then(|key| collected.add(&key).map(|()| key)))
            .collect()
    }

    /// Exports the access token of the service account, so that a client in another process can
    /// [restore](Client::restore_token) it: a service account may have only 100 live tokens. Returns `None` if there is no
    /// token or it expires soon. Protect the exported token like the client secret.
    #[must_use]
    pub fn export_token(&self) -> Option<Secret> {
        self.0.session.export_token()
    }

    /// Uses a token that another client has exported.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is no exported token, for a token of another base URL or service account, and
    /// for an expired one. The client stays usable.
    pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        self.0.session.restore_token(exported)
    }

    /// Revokes the access token of the service account, if there is one. The next request fetches a new token.
    ///
    /// # Errors
    /// See [`Error`]. The client forgets the token in any case, and does not retry.
    pub fn revoke_token(&self) -> Result<(), Error> {
        self.0.revoke_token()
    }

    /// Returns the API version that the session requests now for a [`ListRequest`](crate::ListRequest): `preview`, until
    /// Atlas no longer has it.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.0.session.version()
    }

    fn listing<R: Paged>(&self, request: &R) -> Listing<R> {
        Listing::new(*request, &self.0.limits)
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

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
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
        let resolved = self.settings.resolve(self.agent.is_some())?;
        if let Some(agent) = &self.agent
            && let Some(problem) = agent_problem(agent, resolved.session.base())
        {
            return Err(permanent(&resolved.session, problem));
        }
        let http = Http::new(&resolved, self.agent);
        Ok(Client(Arc::new(Driver::new(resolved, http))))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
