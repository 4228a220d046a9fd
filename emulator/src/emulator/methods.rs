//! The functions that inspect and change an emulator between requests, for tests and the command.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId, OrgId};
use http::header::HeaderMap;
use http::{Response, StatusCode};

use crate::atlas::Atlas;
use crate::bucket::{BucketState, TokenBucket};
use crate::credentials::{ApiKey, CredentialId, CredentialKind, ServiceAccount};
use crate::environment::{Environment, EnvironmentCredential, Organization, Project};
use crate::errors::error_response;
use crate::fault::{Faults, Injection};
use crate::key::Key;
use crate::roles::Role;
use crate::route::Route;
use crate::script::Checkpoint;
use crate::seen::Seen;

use super::{Emulator, TimeShift};

impl Emulator {
    /// Returns the groups (projects) of all organizations.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.atlas.world.groups().iter().map(|group| group.id)
    }

    /// Returns the first group. If it was generated, it has
    /// [`Config::keys_per_group`](crate::Config::keys_per_group) keys.
    #[must_use]
    pub fn first_group(&self) -> GroupId {
        self.atlas.world.first_group().id
    }

    /// Returns the group that the default roles leave out: the last one of two or more generated groups.
    /// A credential needs an explicit role to list its keys, for example from [`Emulator::grant_role`].
    #[must_use]
    pub fn forbidden_group(&self) -> Option<GroupId> {
        self.atlas.world.forbidden_group
    }

    /// Returns the organization of the first group.
    #[must_use]
    pub fn first_org(&self) -> OrgId {
        self.atlas.world.first_group().org_id
    }

    /// Returns the ids of the organizations. There is at least one.
    pub fn org_ids(&self) -> impl Iterator<Item = OrgId> {
        self.atlas.world.orgs().iter().map(|org| org.id)
    }

    /// Returns the organization that a group belongs to, or `None` if the group does not exist.
    #[must_use]
    pub fn org_of(&self, group: GroupId) -> Option<OrgId> {
        self.atlas.world.group(group).map(|group| group.org_id)
    }

    /// Returns the first API key.
    #[must_use]
    pub fn api_key(&self) -> &ApiKey {
        &self.atlas.credentials.api_keys[0]
    }

    /// Returns the first service account.
    #[must_use]
    pub fn service_account(&self) -> &ServiceAccount {
        &self.atlas.credentials.service_accounts[0]
    }

    /// Returns the first access token that exists from the start. It does not expire.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.atlas.credentials.access_tokens[0].token
    }

    /// Returns the ids of all credentials: API keys, service accounts, and access tokens that exist from
    /// the start.
    #[must_use]
    pub fn credentials(&self) -> Vec<CredentialId> {
        self.atlas.credentials.ids()
    }

    /// Returns the id of the credential with this public key, client id or access token, or `None` if
    /// there is none.
    #[must_use]
    pub fn find_credential(&self, name: &str) -> Option<CredentialId> {
        self.atlas.credentials.find(name)
    }

    /// Returns what a client needs for using this emulator at this base URL: ids, credentials and their roles, and
    /// which credential may list which project.
    #[must_use]
    pub fn environment(&self, base_url: &str) -> Environment {
        let Atlas {
            credentials, world, ..
        } = &self.atlas;
        let (key, account) = (self.api_key(), self.service_account());
        let organizations = world.orgs().iter().map(|org| Organization {
            id: org.id.to_string(),
        });
        let projects = world.groups().iter().map(|group| Project {
            id: group.id.to_string(),
            name: group.name.clone(),
            org_id: group.org_id.to_string(),
            listable_by: CredentialKind::ALL
                .into_iter()
                .filter(|kind| world.can_read_group(credentials.roles((*kind).into()), group))
                .collect(),
        });
        let sorted = |roles: &HashSet<Role>| -> Arc<[Role]> {
            let mut roles: Vec<Role> = roles.iter().copied().collect();
            roles.sort_unstable();
            roles.into()
        };
        let default_roles = sorted(&world.default_roles());
        let all = credentials.ids().into_iter().filter_map(|id| {
            Some(EnvironmentCredential {
                kind: id.kind(),
                name: credentials.principal(id).map(str::to_owned),
                secret: credentials.secret(id)?.to_owned(),
                roles: match credentials.roles(id) {
                    Some(roles) => sorted(roles),
                    None => Arc::clone(&default_roles),
                },
            })
        });
        Environment {
            base_url: base_url.trim_end_matches('/').to_owned(),
            ca_file: None,
            project_id: self.first_group().to_string(),
            org_id: world.first_group().org_id.to_string(),
            public_key: key.public_key.clone(),
            private_key: key.private_key.clone(),
            client_id: account.client_id.clone(),
            client_secret: account.client_secret.clone(),
            access_token: self.access_token().to_owned(),
            organizations: organizations.collect(),
            projects: projects.collect(),
            credentials: all.collect(),
        }
    }

    /// Returns the keys of a group, in the order of the listing. The slice is empty if the group does
    /// not exist.
    #[must_use]
    pub fn keys(&self, group: GroupId) -> &[Key] {
        let group = self.atlas.world.group(group);
        group.map_or(&[], |group| group.keys.as_slice())
    }

    /// Returns the keys of a group for changing them, or `None` if the group does not exist.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator, Key};
    /// # let mut emulator = Emulator::new(Config::default());
    /// let group = emulator.first_group();
    /// if let Some(keys) = emulator.keys_mut(group) {
    ///     keys.insert(0, Key::default().with_name("New"));
    /// }
    /// assert_eq!(emulator.keys(group).len(), 43);
    /// ```
    pub fn keys_mut(&mut self, group: GroupId) -> Option<&mut Vec<Key>> {
        // The caller may change the secrets of keys.
        self.secrets = None;
        let group = self.atlas.world.group_mut(group);
        group.map(|group| Arc::make_mut(&mut group.keys))
    }

    /// Returns the roles of a credential. A credential for which none were set has the default roles.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, CredentialKind, Emulator, Role};
    /// # let emulator = Emulator::new(Config::default());
    /// let roles = emulator.roles(CredentialKind::ApiKey);
    /// assert!(roles.contains(&Role::OrgReadOnly(emulator.first_org())));
    /// ```
    #[must_use]
    pub fn roles(&self, credential: impl Into<CredentialId>) -> HashSet<Role> {
        let Atlas {
            credentials, world, ..
        } = &self.atlas;
        match credentials.roles(credential.into()) {
            Some(roles) => roles.clone(),
            None => world.default_roles(),
        }
    }

    /// Grants a role to a credential, beside the roles that it has.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, CredentialKind, Emulator, Role};
    /// # let mut emulator = Emulator::new(Config::default());
    /// if let Some(group) = emulator.forbidden_group() {
    ///     emulator.grant_role(CredentialKind::ServiceAccount, Role::GroupReadOnly(group));
    /// }
    /// ```
    pub fn grant_role(&mut self, credential: impl Into<CredentialId>, role: Role) {
        self.change_roles(credential.into(), |roles| roles.insert(role));
    }

    /// Removes a role from a credential. Other roles that include it stay: an `ORG_OWNER` can read every
    /// group.
    pub fn remove_role(&mut self, credential: impl Into<CredentialId>, role: Role) {
        self.change_roles(credential.into(), |roles| roles.remove(&role));
    }

    fn change_roles(
        &mut self,
        credential: CredentialId,
        change: impl FnOnce(&mut HashSet<Role>) -> bool,
    ) {
        let Atlas {
            credentials, world, ..
        } = &mut self.atlas;
        if let Some(roles) = credentials.roles_mut(credential) {
            change(roles.get_or_insert_with(|| world.default_roles()));
        }
    }

    /// Revokes all access tokens, including those that exist from the start.
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
        self.atlas.world.reset_buckets();
        self.atlas.shared_bucket = BucketState::default();
        self.atlas.groups_bucket = BucketState::default();
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
    /// next ones whose response it changes: [`Fault::times`](crate::Fault::times).
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

    /// Returns the records of the last requests, from the oldest to the newest: at most
    /// [`Config::seen_limit`](crate::Config::seen_limit).
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        self.history.as_slice()
    }

    /// Returns the number of requests that [`Emulator::seen`] does not have, because of
    /// [`Config::seen_limit`](crate::Config::seen_limit).
    #[must_use]
    pub fn seen_dropped(&self) -> u64 {
        self.history.dropped()
    }

    /// Removes all requests from [`Emulator::seen`]. The count of [`Seen::order`] continues.
    pub fn forget_seen(&mut self) {
        self.history.forget();
    }

    /// Returns to the state before the first request: keys, roles, tokens, faults, time and counts are as they were
    /// then. The record is empty, but the count of [`Seen::order`] continues, so that no log has a number twice.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use atlas_model_keys_emulator::{Config, Emulator, Fault};
    /// # let mut emulator = Emulator::new(Config::default());
    /// # let request = http::Request::get("/").body("")?;
    /// emulator.inject(Fault::GZIP);
    /// emulator.handle(&request, Duration::ZERO);
    /// emulator.heal();
    /// emulator.reset();
    /// assert_eq!(emulator.faults().next(), Some(Fault::GZIP.into()));
    /// emulator.handle(&request, Duration::ZERO);
    /// assert_eq!((emulator.requests(), emulator.seen()[0].order), (1, 2));
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn reset(&mut self) {
        // Without a start, there was no request yet.
        if let Some(start) = self.start.take() {
            let mut history = std::mem::take(&mut self.history);
            history.forget();
            *self = Self::clone(&start);
            self.start = Some(start);
            self.history = history;
        }
    }

    /// Returns the time of the emulator at the caller's time `now`, both since the Unix epoch.
    #[must_use]
    pub fn time(&self, now: Duration) -> Duration {
        let TimeShift { forward, backward } = self.shift;
        now.saturating_add(forward).saturating_sub(backward)
    }

    /// Moves the time of the emulator forward. Nonces and tokens get older, and buckets refill; dates of keys do not
    /// change. From now on, the emulator adds this difference to the `now` of each request.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use atlas_model_keys_emulator::{Config, Emulator};
    /// # let mut emulator = Emulator::new(Config::default());
    /// emulator.advance(Duration::from_secs(3600));
    /// assert_eq!(emulator.time(Duration::from_secs(7)), Duration::from_secs(3607));
    /// ```
    pub fn advance(&mut self, by: Duration) {
        self.shift.forward = self.shift.forward.saturating_add(by);
    }

    /// Sets the time of the emulator. At the caller's time `now` it is `to`, both since the Unix epoch, and it
    /// continues from there. `to` may be earlier than the time before.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use atlas_model_keys_emulator::{Config, Emulator};
    /// # let mut emulator = Emulator::new(Config::default());
    /// emulator.set_time(Duration::from_secs(7), Duration::from_secs(1000));
    /// assert_eq!(emulator.time(Duration::from_secs(8)), Duration::from_secs(1001));
    /// ```
    pub fn set_time(&mut self, now: Duration, to: Duration) {
        self.shift = TimeShift {
            forward: to.saturating_sub(now),
            backward: now.saturating_sub(to),
        };
    }

    /// Returns the number of requests so far, including refused ones and those for unknown paths. Requests that a
    /// [`server`](crate::server) refuses because of their host are not counted.
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
