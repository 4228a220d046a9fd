//! The blocking client, for any [`Transport`].

mod park;
mod threads;

use std::future::poll_fn;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, Body, Collected, Error, Failure, Group, Groups, GroupsRequest, ListRequest,
    Operation, OwnedModelKey, Page, Paged, Reply, Secret,
};
use http::{Request, Response};
use zeroize::Zeroizing;

use crate::cancel::CancelHandle;
use crate::client::client_methods;
use crate::driver::{Handle, cancelled};
use crate::io::Io;
use crate::job::Job;
use crate::listing::{EntryFetcher, Fetcher};
use crate::race;
use crate::settings::{ClientSettings, bounded};
use crate::sweep::{SweepFetcher, SweepItem};
use crate::transport::{SendContext, Task, Transport};
use park::{Sleep, block_on};
use threads::Threads;

/// A blocking transport.
struct BlockingIo(Arc<dyn Transport>);

impl Io for BlockingIo {
    type Spawner = Threads;

    const SPAWNS_SINGLE: bool = false;

    async fn send(
        &self,
        request: Request<Body>,
        context: SendContext<'_>,
    ) -> Result<Response<Vec<u8>>, Failure> {
        let Some(cancel) = context.deadline().cancel.clone() else {
            return self.0.send(request, context);
        };
        // Nothing can interrupt a transport that waits for the network. So it waits in a thread of its own, which a
        // cancelled call leaves alone.
        let transport = Arc::clone(&self.0);
        let mut context = context.into_owned();
        let work = async move {
            // It may hold a token, and nobody takes it after a cancellation.
            let sent = transport.send(request, context.borrow());
            sent.map(|response| response.map(Zeroizing::new))
        };
        let sent = Job::spawn(work, |task| Threads::default().spawn(0, task));
        let sent = race::first(sent, cancel.cancelled()).await;
        let response = sent.unwrap_or_else(|| Err(cancelled()))??;
        Ok(response.map(|mut body| std::mem::take(&mut *body)))
    }

    async fn sleep(&self, delay: Duration) {
        Sleep::new(delay).await;
    }

    fn spawn(&self, threads: &mut Threads, running: usize, task: Task) -> Result<(), Task> {
        threads.spawn(running, task)
    }
}

/// The blocking client: lists the AI model API keys of Atlas projects.
///
/// A client is cheap to clone. Clones share the session (token, nonces, rate limit, version) and the transport with its
/// connections. Any number of threads may use it at the same time: they share one token, and a 429 slows all requests for
/// the same group.
///
/// Every call is bounded by a [deadline](ClientSettings::deadline) for each page with all its retries, by the timeouts of
/// the transport, and by [limits](ClientSettings::limits).
#[derive(Clone, Debug)]
pub struct Client(Handle<BlockingIo>);

impl Client {
    /// Makes a client that sends its requests with this transport. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an invalid `User-Agent`.
    pub fn new(settings: ClientSettings, transport: impl Transport) -> Result<Self, Error> {
        let resolved = settings.resolve()?;
        Ok(Self(Handle::new(resolved, BlockingIo(Arc::new(transport)))))
    }

    /// Returns the requested page of a list.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn list<R: Paged>(&self, request: &R) -> Result<R::Answer<Vec<u8>>, Error> {
        R::read(self.reply(request)?)
    }

    /// Returns one key: a [`KeyRequest`](atlas_model_keys_core::KeyRequest) names a key of a group, and an
    /// [`OrgKeyRequest`](atlas_model_keys_core::OrgKeyRequest) a key of an organization.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Api`] with the status 404 if there is no such key.
    pub fn get<O>(&self, request: &O) -> Result<OwnedModelKey, Error>
    where
        O: Operation<Answer<Vec<u8>> = OwnedModelKey>,
    {
        O::read(self.reply(request)?)
    }

    /// Returns the response to an operation, with an undecoded body.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reply<O: Operation>(&self, operation: &O) -> Result<Reply<Vec<u8>>, Error> {
        block_on(self.0.reply(operation, Vec::new(), None))
    }

    /// Returns all keys from the requested page on.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Limit`] if the keys take more memory than
    /// [`Limits::collected_bytes`](atlas_model_keys_core::Limits::collected_bytes). To get the keys before an error, use
    /// [`keys`](Client::keys).
    pub fn list_all<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
        &self,
        request: &R,
    ) -> Result<Vec<OwnedModelKey>, Error> {
        let mut collected = Collected::new(&self.0.driver.limits);
        self.keys(request)
            .map(|key| key.and_then(|key| collected.add(&key).map(|()| key)))
            .collect()
    }

    /// Returns the access token of the service account, and fetches one if there is none. It is for other programs, which
    /// send it as [their own](atlas_model_keys_core::Credentials::bearer): a service account may have only 100 live tokens.
    /// Protect it like the client secret. See also [`export_token`](Client::export_token), for another client with the same
    /// service account.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Transport`] if the client has no service account.
    pub fn access_token(&self) -> Result<Secret, Error> {
        block_on(self.0.access_token())
    }

    /// Revokes the access token of the service account, if there is one, and tokens that the client replaced after a 401. The
    /// next request fetches a new token.
    ///
    /// # Errors
    /// The first [`Error`]. The client forgets the tokens in any case, and does not retry.
    pub fn revoke_token(&self) -> Result<(), Error> {
        block_on(self.0.revoke_token())
    }

    /// Revokes this access token of the service account, which another client or program may have fetched.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Invalid`] if the client has no service account. It does not retry.
    pub fn revoke(&self, token: &Secret) -> Result<(), Error> {
        block_on(self.0.revoke(token))
    }

    /// Returns a clone whose calls can be cancelled with the handle. It shares the session and the connections.
    ///
    /// A cancelled call ends at once, whether it waits or reads: the transport then runs in a thread of its own for each
    /// request, and such a thread may continue until its timeout, although nobody waits for it. If no thread can be started,
    /// the call sends the request itself, and ends when the transport returns.
    #[must_use]
    pub fn with_cancel_handle(&self, handle: &CancelHandle) -> Self {
        let mut clone = self.clone();
        clone.0.cancel = Some(handle.clone());
        clone
    }

    client_methods!();
}

/// Defines a public iterator over a fetcher.
macro_rules! iterator {
    ($(#[$docs:meta])* $name:ident<R = $first:ty>, $fetcher:ty, $item:ty) => {
        $(#[$docs])*
        #[derive(Debug)]
        #[must_use]
        pub struct $name<R: Paged = $first>($fetcher);

        impl<R: Paged> $name<R> {
            /// Fetches up to this many pages at the same time, each by its own thread, and keeps their order. 0 counts as
            /// 1, and more than 64 counts as 64. The threads serve later pages, too, and end with the listing or when it
            /// is dropped.
            ///
            /// Reading ahead begins when a link has announced a next page. Pages that were requested beyond the end are
            /// dropped.
            pub fn read_ahead(mut self, pages: usize) -> Self {
                self.0.read_ahead(pages);
                self
            }
        }

        impl<R: Paged> Iterator for $name<R> {
            type Item = Result<$item, Error>;

            fn next(&mut self) -> Option<Self::Item> {
                block_on(poll_fn(|cx| self.0.poll_next(cx)))
            }
        }

        impl<R: Paged> FusedIterator for $name<R> {}
    };
}

iterator!(
    /// Iterates over the responses of a listing with undecoded bodies; made by [`Client::replies`].
    Replies<R = ListRequest>,
    Fetcher<BlockingIo, R, Reply<Vec<u8>>>,
    Reply<Vec<u8>>
);

iterator!(
    /// Iterates over the pages of a listing; made by [`Client::pages`].
    Pages<R = ListRequest>,
    Fetcher<BlockingIo, R, R::Answer<Vec<u8>>>,
    R::Answer<Vec<u8>>
);

iterator!(
    /// Iterates over the keys of a listing; made by [`Client::keys`].
    Keys<R = ListRequest>,
    EntryFetcher<BlockingIo, R, Page<Vec<u8>>>,
    OwnedModelKey
);

iterator!(
    /// Iterates over groups; made by [`Client::groups`].
    GroupList<R = GroupsRequest>,
    EntryFetcher<BlockingIo, R, Groups>,
    Group
);

/// Iterates over the keys of many groups; made by [`Client::sweep`].
#[derive(Debug)]
#[must_use]
pub struct Sweep(SweepFetcher<BlockingIo>);

impl Sweep {
    /// Lists up to this many groups at the same time, each by its own thread. 0 counts as 1, and more than 64 counts as
    /// 64. Default: 8.
    pub fn concurrency(mut self, groups: usize) -> Self {
        self.0.set_concurrency(groups);
        self
    }
}

impl Iterator for Sweep {
    type Item = SweepItem;

    fn next(&mut self) -> Option<SweepItem> {
        block_on(poll_fn(|cx| self.0.poll_next(cx)))
    }
}

impl FusedIterator for Sweep {}
