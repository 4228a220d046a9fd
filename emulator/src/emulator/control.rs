//! The control functions: they inspect and change an emulator between requests, for tests and the
//! command.

use atlas_model_keys_core::{ApiVersion, GroupId};
use http::header::HeaderMap;
use http::{Response, StatusCode};

use crate::bucket::{BucketState, TokenBucket};
use crate::credentials::{ApiKey, Credential, ServiceAccount};
use crate::errors::error_response;
use crate::fault::{Faults, Injection};
use crate::key::Key;
use crate::route::Route;
use crate::script::Checkpoint;

use super::Emulator;

impl Emulator {
    /// Returns the groups (projects), including the one whose keys no credential may list.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.atlas.groups.iter().map(|group| group.id)
    }

    /// Returns the first group. If it was generated, it has
    /// [`Config::keys_per_group`](crate::Config::keys_per_group) keys.
    #[must_use]
    pub fn first_group(&self) -> GroupId {
        self.atlas.first_group()
    }

    /// Returns the group whose keys no credential may list: the last one of two or more generated groups.
    /// [`Emulator::set_role`] can grant the role.
    #[must_use]
    pub fn forbidden_group(&self) -> Option<GroupId> {
        self.atlas.forbidden_group
    }

    /// Returns the id of the organization that all groups belong to.
    #[must_use]
    pub fn org_id(&self) -> &str {
        &self.atlas.org.id
    }

    /// Returns the API key that digest authentication accepts.
    #[must_use]
    pub fn api_key(&self) -> &ApiKey {
        &self.atlas.api_key
    }

    /// Returns the service account that can request access tokens.
    #[must_use]
    pub fn service_account(&self) -> &ServiceAccount {
        &self.atlas.service_account
    }

    /// Returns the access token that exists from the start and does not expire.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.atlas.access_token
    }

    /// Returns the keys of a group, in the order of the listing. The slice is empty if the group does
    /// not exist.
    #[must_use]
    pub fn keys(&self, group: GroupId) -> &[Key] {
        self.atlas
            .groups
            .iter()
            .find(|g| g.id == group)
            .map_or(&[], |group| &group.keys)
    }

    /// Returns the keys of a group for changing them, or `None` if the group does not exist.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator, Key};
    /// # let mut emulator = Emulator::new(Config::default());
    /// let group = emulator.first_group();
    /// if let Some(keys) = emulator.keys_mut(group) {
    ///     keys.insert(0, Key { name: Some("New".into()), ..Key::default() });
    /// }
    /// assert_eq!(emulator.keys(group).len(), 43);
    /// ```
    pub fn keys_mut(&mut self, group: GroupId) -> Option<&mut Vec<Key>> {
        self.atlas
            .groups
            .iter_mut()
            .find(|g| g.id == group)
            .map(|group| &mut group.keys)
    }

    /// Grants or removes the role that is needed to list or get a group's keys.
    pub fn set_role(&mut self, credential: Credential, group: GroupId, may_list: bool) {
        if let Some(group) = self.atlas.groups.iter_mut().find(|g| g.id == group) {
            group.denied.retain(|denied| *denied != credential);
            if !may_list {
                group.denied.push(credential);
            }
        }
    }

    /// Revokes all access tokens, including [`Emulator::access_token`].
    pub fn revoke_tokens(&mut self) {
        self.atlas.tokens.revoke_all();
    }

    /// Expires all nonces: the next use of one gets a challenge with `stale=true`.
    pub fn expire_nonces(&mut self) {
        self.atlas.nonces.expire_all();
    }

    /// Withdraws a version of the key routes. From now on it gets 410.
    pub fn withdraw(&mut self, version: ApiVersion) {
        self.atlas.config.withdrawn.push(version);
    }

    /// Replaces the configuration of the token buckets, and fills all buckets.
    pub fn set_rate_limit(&mut self, limit: Option<TokenBucket>) {
        self.atlas.config.rate_limit = limit;
        self.atlas.org.bucket = BucketState::default();
        self.atlas.shared_bucket = BucketState::default();
        self.atlas.groups_bucket = BucketState::default();
        for group in &mut self.atlas.groups {
            group.bucket = BucketState::default();
        }
    }

    /// Queues a response for the next request for `route`. It is sent unchanged and before any
    /// check, also to clients without a credential, as by a load balancer in front of Atlas.
    pub fn respond_next(&mut self, route: Route, response: Response<Vec<u8>>) {
        self.script.push(route, Checkpoint::Arrived, response);
    }

    /// Queues a response for the next *authenticated* request for `route`, as if it came from the
    /// API itself: a digest client gets its challenge first.
    ///
    /// The response waits in the queue of [`Emulator::respond_next`]. Requests for tokens never count
    /// as authenticated here.
    pub fn respond_next_authenticated(&mut self, route: Route, response: Response<Vec<u8>>) {
        self.script.push(route, Checkpoint::Authenticated, response);
    }

    /// Queues an error in Atlas's format, with these additional headers, for the next `times`
    /// requests for `route`.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator, Route};
    /// # use http::{HeaderMap, HeaderValue, StatusCode, header};
    /// # let mut emulator = Emulator::new(Config::default());
    /// let busy = StatusCode::SERVICE_UNAVAILABLE;
    /// let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("2"))]);
    /// emulator.fail_next(3, Route::ListGroupKeys, busy, &wait);
    /// ```
    pub fn fail_next(
        &mut self,
        times: usize,
        route: Route,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        for _ in 0..times {
            let mut response = error_response(status);
            response.headers_mut().extend(headers.clone());
            self.respond_next(route, response);
        }
    }

    /// Applies a fault to every request for the routes of its [`Area`](crate::Area), or only to the
    /// next ones: [`Fault::times`](crate::Fault::times).
    ///
    /// If there are several faults, each changes the result of the one before it: first those of
    /// [`Area::Page`](crate::Area::Page), then `Meaning`, `Coding` and `Socket`. Faults of one area are
    /// applied in the order of these calls. So a page without results can come in chunks. If two
    /// faults replace the response, or both set its delivery, the last one wins. Scripted responses
    /// ([`Emulator::respond_next`] and similar methods) are not changed by faults.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use atlas_model_keys_emulator::{Config, Emulator, Fault, Injection};
    /// # let mut emulator = Emulator::new(Config::default());
    /// emulator.inject(Fault::RESET_IN_BODY.times(2));
    /// emulator.inject(Fault::TOKEN_SLOW.with_delay(Duration::from_secs(2))?);
    /// emulator.inject("retry-after-date=503*2".parse::<Injection>()?);
    /// emulator.heal();
    /// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
    /// ```
    pub fn inject(&mut self, fault: impl Into<Injection>) {
        self.faults.inject(fault.into());
    }

    /// Returns the faults that are switched on, in the order in which they are applied, each with the
    /// number of requests that it still applies to.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator, Fault};
    /// # let mut emulator = Emulator::new(Config::default());
    /// emulator.inject(Fault::TOKEN_RESET.times(1));
    /// let token = http::Request::post("/api/oauth/token").body("")?;
    /// assert_eq!(emulator.faults().next(), Some(Fault::TOKEN_RESET.times(1)));
    /// let _ = emulator.handle(&token, std::time::Duration::ZERO);
    /// assert_eq!(emulator.faults().next(), None);
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn faults(&self) -> impl Iterator<Item = Injection> {
        self.faults.iter()
    }

    /// Removes all faults. Responses that are already being sent are not affected.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
    }

    /// Returns the number of requests so far, including refused ones and those for unknown paths.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.total
    }

    /// Returns the number of requests for one route so far.
    #[must_use]
    pub fn requests_for(&self, route: Route) -> u64 {
        self.counts
            .per_route
            .get(route.index())
            .copied()
            .unwrap_or_default()
    }

    /// Returns the number of requests for a token so far.
    #[must_use]
    pub fn token_requests(&self) -> u64 {
        self.requests_for(Route::Token)
    }
}
