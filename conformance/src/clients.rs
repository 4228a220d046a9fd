//! The clients that the scenarios run with: blocking and async, over several HTTP libraries.

#[path = "../../transport/examples/over_reqwest/transport.rs"]
mod reqwest_transport;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Group, GroupsRequest, ListRequest, Operation,
    OwnedModelKey, Page, Paged, Reply, Secret,
};
use atlas_model_keys_transport::{
    ClientSettings, ConnectionSettings, SweepItem, asynchronous, blocking, builder_methods,
};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Runtime;

use crate::client::{Capabilities, Items, Setup, TestClient};
use reqwest_transport::ReqwestTransport;

/// An HTTP library below a client.
pub trait Library: Clone + Debug + Send + Sync + 'static {
    /// The client: blocking or async.
    type Client;

    /// See [`TestClient::PRODUCT`].
    const PRODUCT: &'static str;

    /// See [`TestClient::CAPABILITIES`].
    const CAPABILITIES: Capabilities = Capabilities::ALL;

    /// Builds a client.
    ///
    /// # Errors
    /// The errors of the client's builder.
    fn client(base: BaseUrl, credentials: Credentials, setup: Setup)
    -> Result<Self::Client, Error>;
}

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

/// The library ureq.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ureq;

impl Library for Ureq {
    type Client = blocking::Client;

    const PRODUCT: &'static str = "atlas-model-keys-ureq/";

    fn client(
        base: BaseUrl,
        credentials: Credentials,
        setup: Setup,
    ) -> Result<Self::Client, Error> {
        let builder = atlas_model_keys_ureq::Client::builder(base, credentials);
        build!(builder, setup).map(|client| blocking::Client::clone(&client))
    }
}

/// The library hyper.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hyper;

impl Library for Hyper {
    type Client = asynchronous::Client;

    const PRODUCT: &'static str = "atlas-model-keys-hyper/";

    fn client(
        base: BaseUrl,
        credentials: Credentials,
        setup: Setup,
    ) -> Result<Self::Client, Error> {
        let builder = atlas_model_keys_hyper::Client::builder(base, credentials);
        build!(builder, setup).map(|client| asynchronous::Client::clone(&client))
    }
}

/// The library reqwest, with the transport of an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reqwest;

impl Library for Reqwest {
    type Client = asynchronous::Client;

    const PRODUCT: &'static str = "over-reqwest/";

    const CAPABILITIES: Capabilities = Capabilities {
        limits_heads: false,
        refuses_early_responses: false,
    };

    fn client(
        base: BaseUrl,
        credentials: Credentials,
        setup: Setup,
    ) -> Result<Self::Client, Error> {
        let builder = ReqwestBuilder {
            settings: ClientSettings::new(base, credentials).product("over-reqwest/1.0"),
            connections: ConnectionSettings::default(),
        };
        build!(builder, setup)
    }
}

struct ReqwestBuilder {
    settings: ClientSettings,
    connections: ConnectionSettings,
}

impl ReqwestBuilder {
    builder_methods!();

    fn build(self) -> Result<asynchronous::Client, Error> {
        let connections = self.connections.resolve(&self.settings, false)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(connections.roots);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connections.connect_timeout)
            .read_timeout(connections.read_timeout)
            .pool_max_idle_per_host(connections.max_idle)
            .pool_idle_timeout(connections.idle_timeout)
            .no_proxy();
        if let Some(proxy) = connections.proxy {
            let authorization = proxy.authorization();
            let mut through = reqwest::Proxy::all(proxy.uri().to_string()).unwrap();
            if let Some(authorization) = authorization {
                through = through.custom_http_auth(authorization);
            }
            builder = builder.proxy(through);
        }
        let transport =
            ReqwestTransport::new(builder).map_err(|e| self.settings.permanent_error(e))?;
        asynchronous::Client::new(self.settings, transport)
    }
}

/// A blocking client.
#[derive(Clone, Debug)]
pub struct BlockingTestClient<L> {
    client: blocking::Client,
    library: PhantomData<L>,
}

/// The blocking client over ureq.
pub type UreqClient = BlockingTestClient<Ureq>;

impl<L: Library<Client = blocking::Client>> TestClient for BlockingTestClient<L> {
    const PRODUCT: &'static str = L::PRODUCT;

    const CAPABILITIES: Capabilities = L::CAPABILITIES;

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        Ok(Self {
            client: L::client(base, credentials, setup)?,
            library: PhantomData,
        })
    }

    fn list(&self, request: &ListRequest) -> Result<Page<Vec<u8>>, Error> {
        self.client.list(request)
    }

    fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        self.client.list_all(request)
    }

    fn reply(&self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        self.client.reply(request)
    }

    fn replies<R: Paged>(&self, request: &R, ahead: usize) -> Items<Reply<Vec<u8>>> {
        Box::new(self.client.replies(request).read_ahead(ahead))
    }

    fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<Page<Vec<u8>>> {
        Box::new(self.client.pages(request).read_ahead(ahead))
    }

    fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
        ahead: usize,
    ) -> Items<OwnedModelKey> {
        Box::new(self.client.keys(request).read_ahead(ahead))
    }

    fn get<O: Operation<Answer<Vec<u8>> = OwnedModelKey>>(
        &self,
        request: &O,
    ) -> Result<OwnedModelKey, Error> {
        self.client.get(request)
    }

    fn groups(&self, request: &GroupsRequest, ahead: usize) -> Items<Group> {
        Box::new(self.client.groups(request).read_ahead(ahead))
    }

    fn sweep(
        &self,
        groups: Vec<ListRequest>,
        concurrency: usize,
    ) -> Box<dyn Iterator<Item = SweepItem> + Send> {
        Box::new(self.client.sweep(groups).concurrency(concurrency))
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
        self.client.revoke_token()
    }
}

/// An async client with a runtime of its own.
#[derive(Clone, Debug)]
pub struct AsyncTestClient<L> {
    client: asynchronous::Client,
    runtime: Arc<Runtime>,
    library: PhantomData<L>,
}

/// The async client over hyper.
pub type HyperClient = AsyncTestClient<Hyper>;

/// The async client over reqwest.
pub type ReqwestClient = AsyncTestClient<Reqwest>;

impl<L> AsyncTestClient<L> {
    /// Turns a stream, whose `next` is given, into an iterator.
    fn items<S, T>(
        &self,
        mut stream: S,
        next: impl for<'s> Fn(&'s Runtime, &mut S) -> Option<T> + Send + 'static,
    ) -> Box<dyn Iterator<Item = T> + Send>
    where
        S: Send + 'static,
    {
        let runtime = Arc::clone(&self.runtime);
        Box::new(std::iter::from_fn(move || next(&runtime, &mut stream)))
    }
}

impl<L: Library<Client = asynchronous::Client>> TestClient for AsyncTestClient<L> {
    const PRODUCT: &'static str = L::PRODUCT;

    const CAPABILITIES: Capabilities = L::CAPABILITIES;

    fn new(base: BaseUrl, credentials: Credentials, setup: Setup) -> Result<Self, Error> {
        // Two threads, so that races can show.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map(Arc::new);
        Ok(Self {
            client: L::client(base, credentials, setup)?,
            runtime: runtime.unwrap(),
            library: PhantomData,
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

    fn get<O: Operation<Answer<Vec<u8>> = OwnedModelKey>>(
        &self,
        request: &O,
    ) -> Result<OwnedModelKey, Error> {
        self.runtime.block_on(self.client.get(request))
    }

    fn groups(&self, request: &GroupsRequest, ahead: usize) -> Items<Group> {
        let stream = self.client.groups(request).read_ahead(ahead);
        self.items(stream, |runtime, stream| runtime.block_on(stream.next()))
    }

    fn sweep(
        &self,
        groups: Vec<ListRequest>,
        concurrency: usize,
    ) -> Box<dyn Iterator<Item = SweepItem> + Send> {
        let stream = self.client.sweep(groups).concurrency(concurrency);
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
