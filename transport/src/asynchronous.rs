//! The async client, for any [`AsyncTransport`] and any runtime.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, Body, Collected, Error, Failure, Group, Groups, GroupsRequest, ListRequest,
    Operation, OwnedModelKey, Page, Paged, Reply, Secret,
};
use futures_core::{FusedStream, Stream};
use http::{Request, Response};

use crate::client::client_methods;
use crate::driver::{Handle, timed_out};
use crate::io::Io;
use crate::job::Job;
use crate::listing::{EntryFetcher, Fetcher};
use crate::race;
use crate::settings::{ClientSettings, bounded};
use crate::sweep::{SweepFetcher, SweepItem};
use crate::transport::{AsyncTransport, SendContext, Task};

type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// An [`AsyncTransport`] as a trait object, so that clients have no type parameter.
trait ErasedTransport: Send + Sync {
    /// Sends a request, and ends at the deadline.
    fn send<'f>(
        &'f self,
        request: Request<Body>,
        context: SendContext<'f>,
    ) -> BoxFuture<'f, Result<Response<Vec<u8>>, Failure>>;

    fn sleep(&self, delay: Duration) -> BoxFuture<'_, ()>;

    fn spawn(&self, task: Task) -> Result<(), Task>;
}

impl<T: AsyncTransport> ErasedTransport for T {
    fn send<'f>(
        &'f self,
        request: Request<Body>,
        context: SendContext<'f>,
    ) -> BoxFuture<'f, Result<Response<Vec<u8>>, Failure>> {
        let remaining = context.remaining();
        Box::pin(async move {
            let send = AsyncTransport::send(self, request, context);
            let sent = race::first(send, AsyncTransport::sleep(self, remaining)).await;
            sent.unwrap_or_else(|| Err(timed_out()))
        })
    }

    fn sleep(&self, delay: Duration) -> BoxFuture<'_, ()> {
        Box::pin(AsyncTransport::sleep(self, delay))
    }

    fn spawn(&self, task: Task) -> Result<(), Task> {
        AsyncTransport::spawn(self, task)
    }
}

struct AsyncIo(Box<dyn ErasedTransport>);

impl Io for AsyncIo {
    type Spawner = ();

    const SPAWNS_SINGLE: bool = true;

    async fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        self.0.send(request, context).await
    }

    async fn sleep(&self, delay: Duration) {
        self.0.sleep(delay).await;
    }

    fn spawn(&self, (): &mut (), _: usize, task: Task) -> Result<(), Task> {
        self.0.spawn(task)
    }
}

/// The async client: lists the AI model API keys of Atlas projects.
///
/// A client is cheap to clone. Clones share the session (token, nonces, rate limit, version) and the transport with its
/// connections. Any number of tasks may use it at the same time: they share one token, and a 429 slows all requests for
/// the same group.
///
/// Every call is bounded by a [deadline](ClientSettings::deadline) for each page with all its retries, by the timeouts of
/// the transport, and by [limits](ClientSettings::limits). Any future may be dropped at any time: its requests are
/// cancelled, and the client stays usable.
///
/// Each page is fetched by its own task, if the transport can [spawn](AsyncTransport::spawn) one. The task starts when the
/// future or stream is polled for the first time, and continues even if it is not polled again, as can happen in
/// `select!`. So a future that is left alone does not block other calls that wait for a token or a rate limit.
#[derive(Clone, Debug)]
pub struct Client(Handle<AsyncIo>);

impl Client {
    /// Makes a client that sends its requests with this transport. Nothing is sent yet, and no runtime is needed yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid `User-Agent`.
    pub fn new(settings: ClientSettings, transport: impl AsyncTransport) -> Result<Self, Error> {
        let resolved = settings.resolve()?;
        Ok(Self(Handle::new(resolved, AsyncIo(Box::new(transport)))))
    }

    /// Returns the requested page of a list.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list<R: Paged>(&self, request: &R) -> Result<R::Answer<Vec<u8>>, Error> {
        R::read(self.reply(request).await?)
    }

    /// Returns one key: a [`KeyRequest`](atlas_model_keys_core::KeyRequest) names a key of a group, and an
    /// [`OrgKeyRequest`](atlas_model_keys_core::OrgKeyRequest) a key of an organization.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Api`] with the status 404 if there is no such key.
    pub async fn get<O>(&self, request: &O) -> Result<OwnedModelKey, Error>
    where
        O: Operation<Answer<Vec<u8>> = OwnedModelKey>,
    {
        O::read(self.reply(request).await?)
    }

    /// Returns the response to an operation, with an undecoded body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reply<O: Operation>(&self, operation: &O) -> Result<Reply<Vec<u8>>, Error> {
        let (handle, operation) = (self.0.clone(), *operation);
        self.spawned(async move { handle.reply(&operation, Vec::new(), None).await })
            .await
    }

    /// Awaits the result of a task.
    async fn spawned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let driver = &self.0.driver;
        let job = Job::spawn(work, |task| driver.io.spawn(&mut (), 0, task));
        job.await
            .unwrap_or_else(|failure| Err(driver.session.transport_error(failure, 0)))
    }

    /// Returns all keys from the requested page on.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Limit`] if the keys take more memory than
    /// [`Limits::collected_bytes`](atlas_model_keys_core::Limits::collected_bytes). To get the keys before an error, use
    /// [`keys`](Client::keys).
    pub async fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        let mut keys = self.keys(request);
        let mut collected = Collected::new(&self.0.driver.limits);
        let mut all = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key?;
            collected.add(&key)?;
            all.push(key);
        }
        Ok(all)
    }

    /// Returns the access token of the service account, and fetches one if there is none. It is for other programs, which
    /// send it as [their own](atlas_model_keys_core::Credentials::bearer): a service account may have only 100 live tokens.
    /// Protect it like the client secret. See also [`export_token`](Client::export_token), for another client with the same
    /// service account.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Transport`] if the client has no service account.
    pub async fn access_token(&self) -> Result<Secret, Error> {
        let handle = self.0.clone();
        self.spawned(async move { handle.access_token().await })
            .await
    }

    /// Revokes the access token of the service account, if there is one, and tokens that the client replaced after a 401. The
    /// next request fetches a new token.
    ///
    /// # Errors
    /// The first [`Error`]. The client forgets the tokens in any case, and does not retry.
    pub async fn revoke_token(&self) -> Result<(), Error> {
        self.0.revoke_token().await
    }

    /// Revokes this access token of the service account, which another client or program may have fetched.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Invalid`] if the client has no service account. It does not retry.
    pub async fn revoke(&self, token: &Secret) -> Result<(), Error> {
        self.0.revoke(token).await
    }

    client_methods!();
}

/// Defines a public stream over a fetcher.
macro_rules! stream {
    ($(#[$docs:meta])* $name:ident<R = $first:ty>, $fetcher:ty, $item:ty) => {
        $(#[$docs])*
        #[derive(Debug)]
        #[must_use = "streams do nothing unless polled"]
        pub struct $name<R: Paged = $first>($fetcher);

        impl<R: Paged> $name<R> {
            /// Fetches up to this many pages at the same time, each by its own task, and keeps their order. 0 counts as
            /// 1, and more than 64 counts as 64.
            ///
            /// Reading ahead begins when a link has announced a next page. Pages that were requested beyond the end are
            /// dropped. Without [spawned tasks](AsyncTransport::spawn), pages are fetched one at a time.
            pub fn read_ahead(mut self, pages: usize) -> Self {
                self.0.read_ahead(pages);
                self
            }

            /// Returns the next item, or `None` at the end and after an error.
            pub async fn next(&mut self) -> Option<Result<$item, Error>> {
                poll_fn(|cx| self.0.poll_next(cx)).await
            }
        }

        impl<R: Paged> Stream for $name<R> {
            type Item = Result<$item, Error>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.0.poll_next(cx)
            }
        }

        impl<R: Paged> FusedStream for $name<R> {
            fn is_terminated(&self) -> bool {
                self.0.has_ended()
            }
        }
    };
}

stream!(
    /// A stream of the responses of a listing with undecoded bodies; made by [`Client::replies`].
    Replies<R = ListRequest>,
    Fetcher<AsyncIo, R, Reply<Vec<u8>>>,
    Reply<Vec<u8>>
);

stream!(
    /// A stream of the pages of a listing; made by [`Client::pages`].
    Pages<R = ListRequest>,
    Fetcher<AsyncIo, R, R::Answer<Vec<u8>>>,
    R::Answer<Vec<u8>>
);

stream!(
    /// A stream of the keys of a listing; made by [`Client::keys`].
    Keys<R = ListRequest>,
    EntryFetcher<AsyncIo, R, Page<Vec<u8>>>,
    OwnedModelKey
);

stream!(
    /// A stream of groups; made by [`Client::groups`].
    GroupList<R = GroupsRequest>,
    EntryFetcher<AsyncIo, R, Groups>,
    Group
);

/// A stream of the keys of many groups; made by [`Client::sweep`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Sweep(SweepFetcher<AsyncIo>);

impl Sweep {
    /// Lists up to this many groups at the same time, each by its own task. 0 counts as 1, and more than 64 counts as 64.
    /// Default: 8.
    pub fn concurrency(mut self, groups: usize) -> Self {
        self.0.set_concurrency(groups);
        self
    }

    /// Returns the next item, or `None` at the end.
    pub async fn next(&mut self) -> Option<SweepItem> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }
}

impl Stream for Sweep {
    type Item = SweepItem;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SweepItem>> {
        self.0.poll_next(cx)
    }
}

impl FusedStream for Sweep {
    fn is_terminated(&self) -> bool {
        self.0.has_ended()
    }
}
