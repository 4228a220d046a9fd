//! The methods that the blocking and the async client have in common.

/// Defines these methods in the `impl` of a client with a [`Handle`](crate::driver::Handle) in its field `0`, and implements `Debug`.
macro_rules! client_methods {
    () => {
        /// Lists all pages from the requested one on, one at a time. The listing ends after an error.
        pub fn pages<R: Paged>(&self, request: &R) -> Pages<R> {
            Pages(Fetcher::pages(self.0.clone(), *request))
        }

        /// Lists the responses with undecoded bodies, for callers that store, forward or decode them themselves.
        pub fn replies<R: Paged>(&self, request: &R) -> Replies<R> {
            Replies(Fetcher::replies(self.0.clone(), *request))
        }

        /// Lists all keys from the requested page on, and fetches the pages as needed. If the list changes meanwhile, a
        /// key can be on two consecutive pages: it is returned once. The listing ends after an error.
        pub fn keys<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(&self, request: &R) -> Keys<R> {
            Keys(EntryFetcher::new(self.0.clone(), *request))
        }

        /// Lists all groups (projects) that the credential may see, from the requested page on, and fetches the pages as
        /// needed. The listing ends after an error. Their keys are listed by [`sweep`](Client::sweep).
        pub fn groups(&self, request: &GroupsRequest) -> GroupList {
            GroupList(EntryFetcher::new(self.0.clone(), *request))
        }

        /// Lists the keys of many groups, eight groups at the same time. An element is a [`ListRequest`] or a
        /// [`GroupId`](atlas_model_keys_core::GroupId).
        ///
        /// The items come group by group, in the order of `groups`, and page by page. If a group fails, its last
        /// item has the error, and the sweep goes on with the next group. All groups share the session and its token. After a
        /// 429, only the group whose items come next goes on before the pause is over, because Atlas does not document which
        /// groups share a rate limit. Memory is bounded: at most four pages for each that may be in flight, and one more.
        ///
        /// To wait out every 429 instead of failing after several, set
        /// [`waits_out_rate_limits`](atlas_model_keys_core::RetryPolicy::waits_out_rate_limits).
        pub fn sweep<G>(&self, groups: G) -> Sweep
        where
            G: IntoIterator<Item: Into<ListRequest>, IntoIter: Send + 'static>,
        {
            let mut groups = groups.into_iter();
            let requests = std::iter::from_fn(move || groups.next().map(Into::into));
            Sweep(SweepFetcher::new(self.0.clone(), Box::new(requests)))
        }

        /// Returns a clone whose calls have another deadline: the time for one page with all retries and waits, including
        /// waits for a rate limit. It shares the session and the connections.
        #[must_use]
        pub fn with_deadline(&self, deadline: Duration) -> Self {
            let mut clone = self.clone();
            clone.0.deadline = bounded(deadline);
            clone.0.has_strict_deadline = true;
            clone
        }

        /// Exports the access token of the service account, so that a client in another process can
        /// [restore](Client::restore_token) it: a service account may have only 100 live tokens. Returns `None` if there
        /// is no token or it expires soon. Protect the exported token like the client secret.
        #[must_use]
        pub fn export_token(&self) -> Option<Secret> {
            self.0.driver.session.export_token()
        }

        /// Uses a token that another client has exported.
        ///
        /// # Errors
        /// [`Error::Invalid`] for a text that is no exported token, for a token of another base URL or service account,
        /// and for an expired one. The client stays usable.
        pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
            self.0.driver.session.restore_token(exported)
        }

        /// Returns the API version that the session requests now for a [`ListRequest`]: `preview`, until Atlas no longer
        /// has it.
        #[must_use]
        pub fn version(&self) -> ApiVersion {
            self.0.driver.session.version()
        }
    };
}

pub(crate) use client_methods;
