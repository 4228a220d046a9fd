//! The client and its builder.

use std::fmt;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Collected, Credentials, Error, ListRequest, Listing, OwnedModelKey, Page,
    Reply, Secret,
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
/// Cheap to clone; clones share the session (token, nonces, rate limit, version) and the
/// connections. Any number of tasks may call it at the same time: one token is fetched for all
/// of them, and a 429 slows all that ask for the same group.
///
/// Every call is bounded: by a [deadline](ClientBuilder::deadline) for each page with all its
/// retries, by timeouts, and by [limits](ClientBuilder::limits). Any future may be dropped at any time: what it had begun ends
/// with it, and the client is as usable as before.
///
/// Each page is fetched by a task of its own, which a future or a stream begins when it is polled for the
/// first time. It goes on however seldom that is polled again: one that is left alone, as in `select!`, keeps
/// nobody else waiting for a token or for its place in a rate limit.
///
/// Its calls are made within a tokio runtime, of either kind, with time and I/O enabled. Connections
/// are driven by the runtime that made them: with several runtimes, make a client for each. (A request on
/// a connection whose runtime does not run gets no answer before the read timeout.)
#[derive(Clone)]
pub struct Client(Arc<Driver>);

impl Client {
    /// A client for the Atlas at `base`, with the defaults of [`Client::builder`].
    ///
    /// # Errors
    /// [`Error::Transport`] where the platform has no usable root certificates, and [`Error::Invalid`] for a
    /// proxy in the environment that cannot be used.
    pub fn new(base: BaseUrl, credentials: Credentials) -> Result<Self, Error> {
        Self::builder(base, credentials).build()
    }

    /// A client that is set up.
    pub fn builder(base: BaseUrl, credentials: Credentials) -> ClientBuilder {
        ClientBuilder {
            settings: Settings::new(base, credentials, USER_AGENT),
            connector: None,
            http1_only: false,
        }
    }

    /// One page: exactly the request, parsed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.reply(request).await?.into_page()
    }

    /// One page as it came: its headers, and its body not decoded.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        let (driver, request) = (Arc::clone(&self.0), *request);
        let task = Task::spawn(async move { driver.drive(&request, Vec::new()).await });
        task.await
            .unwrap_or_else(|error| Err(self.0.transport_error(task::resume(error))))
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
    pub async fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
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
    pub async fn revoke_token(&self) -> Result<(), Error> {
        self.0.revoke_token().await
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

/// Makes a connector of the caller's own.
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

    /// Makes connections the caller's way: a tower service as hyper-util's client takes it, which gives a
    /// stream for a URI. Name resolution, proxy and TLS are its business (for `https` it must speak TLS
    /// itself: nothing else does), and so is saying (by
    /// [`Connected::negotiated_h2`](hyper_util::client::legacy::connect::Connected::negotiated_h2)) that HTTP/2 is spoken on it.
    /// A proxy is to be asked for a tunnel: a stream that is
    /// [`proxied`](hyper_util::client::legacy::connect::Connected::proxy) otherwise would show it the
    /// credentials, and is refused.
    ///
    /// A server that asks for HTTP/1.1 on a stream of HTTP/2 (`HTTP_1_1_REQUIRED`) is an error: only the
    /// connector could make another connection.
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

    /// Speaks HTTP/1.1 only. Without it, the client agrees with an `https` server on HTTP/2 or HTTP/1.1, and
    /// goes on with HTTP/1.1 after a server has asked for it (`HTTP_1_1_REQUIRED`).
    ///
    /// For networks where something on the way breaks HTTP/2. With a [connector](Self::connector) of the
    /// caller's own, that one must not agree on HTTP/2.
    pub fn http1_only(mut self) -> Self {
        self.http1_only = true;
        self
    }

    /// Makes the client. Nothing is sent yet, and no runtime is needed yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `User-Agent` or a proxy that is none, given or in the environment, and
    /// [`Error::Transport`] for root certificates that are none, where there are none at all (they are
    /// looked for only if the base URL is `https`), and where root certificates or a proxy are given beside
    /// a connector of your own.
    pub fn build(self) -> Result<Client, Error> {
        let resolved = self.settings.resolve(self.connector.is_some())?;
        // Where there is no TLS, there is nothing to agree on.
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
