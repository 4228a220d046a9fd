//! The clients as the tests see them: each of them blocks.

use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Limits, ListRequest, OwnedModelKey, Page, Paged,
    Reply, RetryPolicy, Secret,
};
use atlas_model_keys_transport::Event;
use tokio::runtime::Runtime;

/// A function that is called with each event.
pub type OnEvent = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// The settings of a client. `None` means the client's default.
#[derive(Default)]
#[allow(missing_debug_implementations)] // It holds a closure.
#[allow(clippy::exhaustive_structs)] // The tests construct it.
pub struct Setup {
    /// The limits.
    pub limits: Option<Limits>,
    /// The time within which a page must arrive, with all retries.
    pub deadline: Option<Duration>,
    /// The time within which a connection must be open.
    pub connect_timeout: Option<Duration>,
    /// The longest time without a byte from the server.
    pub read_timeout: Option<Duration>,
    /// The largest number of idle connections, and how long each is kept.
    pub idle: Option<(usize, Duration)>,
    /// The only API version to use.
    pub version: Option<ApiVersion>,
    /// The product that `User-Agent` names before the client's own.
    pub user_agent: Option<String>,
    /// Additional root certificates, in PEM.
    pub root_certificates: Option<String>,
    /// The proxy's URL. An empty text means no proxy, whatever the environment says.
    pub proxy: Option<String>,
    /// Called with each event.
    pub on_event: Option<OnEvent>,
}

impl Setup {
    /// Returns the default settings with these limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits: Some(limits),
            ..Self::default()
        }
    }

    /// Returns the default settings with [`no_retries`].
    #[must_use]
    pub fn without_retries() -> Self {
        Self::with_limits(no_retries())
    }

    /// Returns the default settings with [`fast_retries`].
    #[must_use]
    pub fn with_fast_retries() -> Self {
        Self::with_limits(fast_retries())
    }
}

/// Returns limits that allow one attempt only, so that failures show at once.
#[must_use]
pub fn no_retries() -> Limits {
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::never();
    limits
}

/// Returns limits that allow the default number of attempts, with short waits in between.
#[must_use]
pub fn fast_retries() -> Limits {
    let mut limits = Limits::default();
    limits.retry.base = Duration::from_millis(1);
    limits
}

/// What the clients have in common. Asynchronous calls block until they are done.
pub trait TestClient: Clone + Send + Sync + 'static {
    /// The start of the client's own product in `User-Agent`.
    const PRODUCT: &'static str;

    /// Builds a client.
    ///
    /// # Errors
    /// The errors of the client's builder.
    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error>;

    /// Returns one page.
    ///
    /// # Errors
    /// The client's errors.
    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error>;

    /// Returns all keys in one list.
    ///
    /// # Errors
    /// The client's errors.
    fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error>;

    /// Returns one page, undecoded.
    ///
    /// # Errors
    /// The client's errors.
    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error>;

    /// Returns all pages, undecoded, with up to `ahead` requests in flight.
    fn replies<R: Paged>(&self, request: &R, ahead: usize) -> Items<Reply<Vec<u8>>>;

    /// Returns all pages, with up to `ahead` requests in flight.
    fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<Page<Vec<u8>>>;

    /// Returns all keys, with up to `ahead` requests in flight.
    fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<OwnedModelKey>;

    /// Returns the API version in use.
    fn version(&self) -> ApiVersion;

    /// Returns the access token, if there is one, for use by another client.
    fn export_token(&self) -> Option<Secret>;

    /// Restores an exported token.
    ///
    /// # Errors
    /// The client's errors.
    fn restore_token(&self, token: &Secret) -> Result<(), Error>;

    /// Revokes the access token, if there is one.
    ///
    /// # Errors
    /// The client's errors.
    fn revoke_token(&self) -> Result<(), Error>;
}

/// The items of an iterator or a stream.
pub type Items<T> = Box<dyn Iterator<Item = Result<T, Error>> + Send>;

/// Applies a `Setup` to a builder. The builders are different types with equal methods.
macro_rules! build {
    ($builder:expr, $setup:expr) => {{
        let mut builder = $builder;
        let setup = $setup;
        if let Some(limits) = setup.limits {
            builder = builder.limits(limits);
        }
        if let Some(deadline) = setup.deadline {
            builder = builder.deadline(deadline);
        }
        if let Some(timeout) = setup.connect_timeout {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(timeout) = setup.read_timeout {
            builder = builder.read_timeout(timeout);
        }
        if let Some((max, timeout)) = setup.idle {
            builder = builder.max_idle_connections(max).idle_timeout(timeout);
        }
        if let Some(version) = setup.version {
            builder = builder.version(version);
        }
        if let Some(product) = setup.user_agent {
            builder = builder.user_agent(&product);
        }
        if let Some(pem) = setup.root_certificates {
            builder = builder.root_certificates(pem);
        }
        match setup.proxy.as_deref() {
            Some("") => builder = builder.no_proxy(),
            Some(proxy) => builder = builder.proxy(proxy),
            None => {}
        }
        if let Some(on_event) = setup.on_event {
            builder = builder.on_event(on_event);
        }
        builder.build()
    }};
}

/// The blocking client, over ureq.
#[derive(Clone, Debug)]
pub struct UreqClient(atlas_model_keys_ureq::Client);

impl TestClient for UreqClient {
    const PRODUCT: &'static str = "atlas-model-keys-ureq/";

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        let builder = atlas_model_keys_ureq::Client::builder(base, credentials);
        build!(builder, setup).map(Self)
    }

    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.0.list(request)
    }

    fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        self.0.list_all(request)
    }

    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.0.reply(request)
    }

    fn replies<R: Paged>(&self, request: &R, ahead: usize) -> Items<Reply<Vec<u8>>> {
        Box::new(self.0.replies(request).read_ahead(ahead))
    }

    fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<Page<Vec<u8>>> {
        Box::new(self.0.pages(request).read_ahead(ahead))
    }

    fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<OwnedModelKey> {
        Box::new(self.0.keys(request).read_ahead(ahead))
    }

    fn version(&self) -> ApiVersion {
        self.0.version()
    }

    fn export_token(&self) -> Option<Secret> {
        self.0.export_token()
    }

    fn restore_token(&self, token: &Secret) -> Result<(), Error> {
        self.0.restore_token(token)
    }

    fn revoke_token(&self) -> Result<(), Error> {
        self.0.revoke_token()
    }
}

/// The asynchronous client, over hyper, with a runtime of its own.
#[derive(Clone, Debug)]
pub struct HyperClient {
    client: atlas_model_keys_hyper::Client,
    runtime: Arc<Runtime>,
}

impl HyperClient {
    /// Turns a stream, whose `next` is given, into an iterator.
    fn items<S, T>(
        &self,
        mut stream: S,
        next: impl for<'s> Fn(&'s Runtime, &mut S) -> Option<Result<T, Error>> + Send + 'static,
    ) -> Items<T>
    where
        S: Send + 'static,
    {
        let runtime = Arc::clone(&self.runtime);
        Box::new(std::iter::from_fn(move || next(&runtime, &mut stream)))
    }
}

impl TestClient for HyperClient {
    const PRODUCT: &'static str = "atlas-model-keys-hyper/";

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        let builder = atlas_model_keys_hyper::Client::builder(base, credentials);
        let client = build!(builder, setup)?;
        // Two threads, so that races can show.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map(Arc::new);
        Ok(Self {
            client,
            runtime: runtime.unwrap(),
        })
    }

    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.runtime.block_on(self.client.list(request))
    }

    fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        self.runtime.block_on(self.client.list_all(request))
    }

    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.runtime.block_on(self.client.reply(request))
    }

    fn replies<R: Paged>(&self, request: &R, ahead: usize) -> Items<Reply<Vec<u8>>> {
        let stream = self.client.replies(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<Page<Vec<u8>>> {
        let stream = self.client.pages(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<OwnedModelKey> {
        let stream = self.client.keys(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn version(&self) -> ApiVersion {
        self.client.version()
    }

    fn export_token(&self) -> Option<Secret> {
        self.client.export_token()
    }

    fn restore_token(&self, token: &Secret) -> Result<(), Error> {
        self.client.restore_token(token)
    }

    fn revoke_token(&self) -> Result<(), Error> {
        self.runtime.block_on(self.client.revoke_token())
    }
}
