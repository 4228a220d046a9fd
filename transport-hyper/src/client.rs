//! The client and its builder.

use std::fmt;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Collected, Credentials, Error, Listing, Operation, OwnedModelKey, Page,
    Paged, Reply, Secret,
};
use atlas_model_keys_transport::{Resolved, Settings, builder_methods};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use crate::connect::Connector;
use crate::driver::Driver;
use crate::failure::BoxError;
use crate::http::Http;
use crate::listing::{Keys, Pages, Replies};
use crate::task::{self, Task};

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
#[derive(Clone)]
pub struct Client(Arc<Driver>);

impl Client {
    /// Makes a client for the Atlas at `base`, with default settings.
    ///
    /// # Errors
    /// [`Error::Transport`] if the platform has no usable root certificates, and [`Error::Invalid`] for a
    /// proxy in the environment that cannot be used.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Result<Self, Error> {
        Self::builder(base, credentials).build()
    }

    /// Returns a builder with default settings.
    pub fn builder(base: BaseUrl, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            settings: Settings::new(base, credentials, USER_AGENT),
            connector: None,
            http1_only: false,
        }
    }

    /// Returns the answer to an operation: for a [`ListRequest`](crate::ListRequest), the requested page.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list<O: Operation>(&self, operation: &O) -> Result<O::Answer<Vec<u8>>, Error> {
        O::read(self.reply(operation).await?)
    }

    /// Returns the response to an operation, with an undecoded body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reply<O: Operation>(&self, operation: &O) -> Result<Reply<Vec<u8>>, Error> {
        let (driver, operation) = (Arc::clone(&self.0), *operation);
        let task = Task::spawn(async move { driver.drive(&operation, Vec::new()).await });
        task.await
            .unwrap_or_else(|error| Err(self.0.transport_error(task::resume(error))))
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
    pub async fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        let mut keys = self.keys(request);
        let mut collected = Collected::new(&self.0.limits);
        let mut all = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key?;
            collected.add(&key)?;
            all.push(key);
        }
        Ok(all)
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
    pub async fn revoke_token(&self) -> Result<(), Error> {
        self.0.revoke_token().await
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

/// Makes the [`Connector`] for a caller's connector, when the settings are known.
type MakeConnector = Box<dyn FnOnce(&Resolved) -> Connector + Send + Sync>;

/// Sets up a [`Client`].
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
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
        self.connector = Some(Box::new(|resolved| {
            Connector::new(connector, resolved.timeouts.connect, &resolved.limits)
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
        let resolved = self.settings.resolve(self.connector.is_some())?;
        // The protocol is negotiated by TLS only.
        let may_fall_back = resolved.session.base().is_https();
        let (connector, fallback) = match self.connector {
            Some(connector) if self.http1_only => (connector(&resolved).http1_only(), None),
            Some(connector) => (connector(&resolved), None),
            None => {
                let [either, http1] = Connector::by_tcp(&resolved)?;
                match may_fall_back && !self.http1_only {
                    true => (either, Some(http1)),
                    false => (http1, None),
                }
            }
        };
        let http = Http::new(&resolved, connector, fallback);
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

const USER_AGENT: &str = concat!("atlas-model-keys-hyper/", env!("CARGO_PKG_VERSION"));
