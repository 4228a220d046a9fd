//! The client and its builder.

use std::fmt;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Collected, Credentials, Error, ListRequest, Listing, OwnedModelKey, Page,
    Reply, Secret,
};
use atlas_model_keys_transport::{Settings, builder_methods, permanent};
use ureq::Agent;

use crate::connect::USER_AGENT;
use crate::driver::Driver;
use crate::http::{Http, agent_problem};
use crate::listing::{Keys, Pages, Replies};

/// The blocking client: lists the AI model API keys of Atlas projects.
///
/// Cheap to clone; clones share the session (token, nonces, rate limit, version) and the
/// connections. Any number of threads may call it at the same time: one token is fetched for all
/// of them, and a 429 slows all that ask for the same group.
///
/// Every call is bounded: by a [deadline](ClientBuilder::deadline) for each page with all its
/// retries, by timeouts, and by [limits](ClientBuilder::limits).
#[derive(Clone)]
pub struct Client(Arc<Driver>);

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
        self.0.drive(request, Vec::new(), &self.0.deadline())
    }

    /// All pages from the requested one on, one at a time, as they came.
    ///
    /// After an error there is nothing more.
    pub fn pages(&self, request: &ListRequest) -> Pages {
        Pages::new(Arc::clone(&self.0), self.listing(request))
    }

    /// The same, with the bodies not decoded: for those who keep, forward or decode them their own way.
    pub fn replies(&self, request: &ListRequest) -> Replies {
        Replies::new(Arc::clone(&self.0), self.listing(request))
    }

    /// All keys from the requested page on, fetched a page at a time. A key that a moving list
    /// shows on two neighbouring pages comes once.
    ///
    /// After an error there is nothing more.
    pub fn keys(&self, request: &ListRequest) -> Keys {
        Keys::new(Arc::clone(&self.0), self.listing(request))
    }

    /// All keys from the requested page on, at once.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Limit`] where they take more memory than
    /// [`Limits::collected_bytes`](crate::Limits::collected_bytes). For what arrived before an error, use [`keys`](Client::keys).
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
        self.0.revoke_token()
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
