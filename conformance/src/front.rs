//! A client as the scenarios see it: blocking, whatever it is.

use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Limits, ListRequest, OwnedModelKey, Page, Reply,
    Secret, Wait,
};
use tokio::runtime::Runtime;

/// Is told of waits.
pub type OnWait = Box<dyn Fn(&Wait) + Send + Sync>;

/// How a client is set up, where not by default.
#[derive(Default)]
#[allow(missing_debug_implementations)] // It holds a closure.
#[allow(clippy::exhaustive_structs)] // Made by the scenarios.
pub struct Setup {
    /// Bounds.
    pub limits: Option<Limits>,
    /// For a page.
    pub deadline: Option<Duration>,
    /// For a connection.
    pub connect_timeout: Option<Duration>,
    /// For silence.
    pub read_timeout: Option<Duration>,
    /// For connections at rest.
    pub idle: Option<(usize, Duration)>,
    /// And no other.
    pub version: Option<ApiVersion>,
    /// Before the client's own.
    pub user_agent: Option<String>,
    /// In PEM.
    pub root_certificates: Option<String>,
    /// An empty one is none.
    pub proxy: Option<String>,
    /// Is told of waits.
    pub on_wait: Option<OnWait>,
}

/// Every client, as far as they are alike.
pub trait Front: Clone + Send + Sync + 'static {
    /// What its `User-Agent` says.
    const PRODUCT: &'static str;

    /// A client that is set up.
    ///
    /// # Errors
    /// Its builder's.
    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error>;

    /// A page.
    ///
    /// # Errors
    /// The client's.
    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error>;

    /// All keys, in a list.
    ///
    /// # Errors
    /// The client's.
    fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error>;

    /// A page, undecoded.
    ///
    /// # Errors
    /// The client's.
    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error>;

    /// All pages, undecoded.
    fn replies(&self, request: &ListRequest, ahead: usize) -> Items<Reply<Vec<u8>>>;

    /// All pages.
    fn pages(&self, request: &ListRequest, ahead: usize) -> Items<Page<Vec<u8>>>;

    /// All keys.
    fn keys(&self, request: &ListRequest, ahead: usize) -> Items<OwnedModelKey>;

    /// The version in use.
    fn version(&self) -> ApiVersion;

    /// The token, to be handed on.
    fn export_token(&self) -> Option<Secret>;

    /// The token that was handed on.
    ///
    /// # Errors
    /// The client's.
    fn restore_token(&self, token: &Secret) -> Result<(), Error>;

    /// Ends the token.
    ///
    /// # Errors
    /// The client's.
    fn revoke_token(&self) -> Result<(), Error>;
}

/// What an iterator or a stream gives.
pub type Items<T> = Box<dyn Iterator<Item = Result<T, Error>> + Send>;

/// Both builders have the same methods.
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
        if let Some(tell) = setup.on_wait {
            builder = builder.on_wait(tell);
        }
        builder.build()
    }};
}

/// The client over ureq.
#[derive(Clone, Debug)]
pub struct Blocking(atlas_model_keys_ureq::Client);

impl Front for Blocking {
    const PRODUCT: &'static str = "atlas-model-keys-ureq/";

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        let builder = atlas_model_keys_ureq::Client::builder(base, credentials);
        build!(builder, setup).map(Self)
    }

    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.0.list(request)
    }

    fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
        self.0.list_all(request)
    }

    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.0.reply(request)
    }

    fn replies(&self, request: &ListRequest, ahead: usize) -> Items<Reply<Vec<u8>>> {
        Box::new(self.0.replies(request).read_ahead(ahead))
    }

    fn pages(&self, request: &ListRequest, ahead: usize) -> Items<Page<Vec<u8>>> {
        Box::new(self.0.pages(request).read_ahead(ahead))
    }

    fn keys(&self, request: &ListRequest, ahead: usize) -> Items<OwnedModelKey> {
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

/// The client over hyper, with a runtime of its own.
#[derive(Clone, Debug)]
pub struct NonBlocking {
    client: atlas_model_keys_hyper::Client,
    runtime: Arc<Runtime>,
}

impl NonBlocking {
    /// The items of a stream, as its `next` gives them.
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

impl Front for NonBlocking {
    const PRODUCT: &'static str = "atlas-model-keys-hyper/";

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        let builder = atlas_model_keys_hyper::Client::builder(base, credentials);
        let client = build!(builder, setup)?;
        // Two threads, so that what may race does.
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

    fn list_all(&self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
        self.runtime.block_on(self.client.list_all(request))
    }

    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.runtime.block_on(self.client.reply(request))
    }

    fn replies(&self, request: &ListRequest, ahead: usize) -> Items<Reply<Vec<u8>>> {
        let stream = self.client.replies(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn pages(&self, request: &ListRequest, ahead: usize) -> Items<Page<Vec<u8>>> {
        let stream = self.client.pages(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn keys(&self, request: &ListRequest, ahead: usize) -> Items<OwnedModelKey> {
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
