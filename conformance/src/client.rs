//! The clients as the tests see them: each of them blocks.

use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Credentials, Error, Group, GroupsRequest, Limits, ListRequest, Operation,
    OwnedModelKey, Page, Paged, Reply, RetryPolicy, Secret,
};
use atlas_model_keys_transport::{Event, SweepItem};

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

/// What a client can do only if its HTTP library allows it. A scenario that needs one that is missing checks nothing.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // Constants of this crate.
pub struct Capabilities {
    /// The client sets the limits for the head of a response, and an error names the one that was exceeded.
    pub limits_heads: bool,
    /// A response that arrives on an idle connection is never taken for the response to the next request.
    pub refuses_early_responses: bool,
}

impl Capabilities {
    /// All of them, as the clients of this project have.
    pub const ALL: Self = Self {
        limits_heads: true,
        refuses_early_responses: true,
    };
}

/// What the clients have in common. Asynchronous calls block until they are done.
pub trait TestClient: Clone + Send + Sync + 'static {
    /// The start of the client's own product in `User-Agent`.
    const PRODUCT: &'static str;

    /// What it can do.
    const CAPABILITIES: Capabilities;

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

    /// Returns one key.
    ///
    /// # Errors
    /// The client's errors.
    fn get<O: Operation<Answer<Vec<u8>> = OwnedModelKey>>(
        &self,
        request: &O,
    ) -> Result<OwnedModelKey, Error>;

    /// Returns all groups, with up to `ahead` requests in flight.
    fn groups(&self, request: &GroupsRequest, ahead: usize) -> Items<Group>;

    /// Lists the keys of these groups, `concurrency` groups at the same time.
    fn sweep(
        &self,
        groups: Vec<ListRequest>,
        concurrency: usize,
    ) -> Box<dyn Iterator<Item = SweepItem> + Send>;

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
