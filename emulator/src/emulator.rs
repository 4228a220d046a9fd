//! The emulator: its state, and the checks that a request passes on the way to its response.

use std::collections::VecDeque;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use crate::bucket::{BucketState, Decision, TokenBucket};
use crate::calendar::unpadded_date;
use crate::config::Config;
use crate::credentials::{ApiKey, Credential, ServiceAccount};
use crate::digest::{self, Nonces};
use crate::errors::{AtlasError, error_answer};
use crate::fault::{Fault, Faults, Phase};
use crate::generate::{self, Key};
use crate::listing::{self, GroupEntry, KeyEntry, KeyView, Paging};
use crate::oauth::{self, Tokens};
use crate::prng::{self, Prng};
use crate::render::{self, View};
use crate::route::{Operation, Route};
use crate::version;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const SERVICE_VERSION: HeaderName = HeaderName::from_static("x-mongodb-service-version");

/// An Atlas emulator in memory: a request and the time go in, a response comes out.
///
/// It does no I/O and reads no clock. An equal [`Config`] and equal calls give equal responses,
/// byte for byte.
#[derive(Clone, Debug)]
pub struct Emulator {
    config: Config,
    api_key: ApiKey,
    service_account: ServiceAccount,
    access_token: String,
    org: Org,
    groups: Vec<Group>,
    nonces: Nonces,
    tokens: Tokens,
    script: VecDeque<Scripted>,
    faults: Faults,
    counts: Counts,
}

/// The organization, with the state of its rate limiter.
#[derive(Clone, Debug)]
struct Org {
    id: String,
    bucket: BucketState,
}

#[derive(Clone, Debug)]
struct Group {
    id: GroupId,
    name: String,
    created: String,
    keys: Vec<Key>,
    bucket: BucketState,
    /// The credentials that may not list the keys. The group itself is visible to all credentials,
    /// so it is in the list of groups.
    denied: Vec<Credential>,
}

#[derive(Clone, Debug)]
struct Scripted {
    operation: Operation,
    stage: Stage,
    response: Response<Vec<u8>>,
}

/// The point at which a request gets a scripted response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arrived,
    Authenticated,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    total: u64,
    per_operation: [u64; Operation::ALL.len()],
}

/// A response that ends the checks of a request early.
enum EarlyResponse {
    Error(AtlasError),
    /// This response is sent unchanged.
    Scripted(Box<Response<Vec<u8>>>),
}

impl From<AtlasError> for EarlyResponse {
    fn from(error: AtlasError) -> Self {
        Self::Error(error)
    }
}

/// A borrowed request, without the type parameter of its body.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Emulator {
    /// Creates an emulator. Everything in it is derived from the configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let seed = config.seed;
        let (tokens, access_token) = Tokens::new(seed, config.token_ttl);
        let mut groups: Vec<Group> = generate::groups(seed, config.groups, config.keys_per_group)
            .into_iter()
            .map(|group| Group {
                id: group.id,
                name: group.name,
                created: group.created,
                keys: group.keys,
                bucket: BucketState::default(),
                denied: Vec::new(),
            })
            .collect();
        if let [_, .., last] = groups.as_mut_slice() {
            last.denied = Credential::ALL.to_vec();
        }
        Self {
            api_key: ApiKey::generate(seed),
            service_account: ServiceAccount::generate(seed),
            access_token,
            org: Org {
                id: Prng::stream(seed, "organization").text(prng::HEX, 24),
                bucket: BucketState::default(),
            },
            groups,
            nonces: Nonces::new(seed, config.nonce_ttl),
            tokens,
            script: VecDeque::new(),
            faults: Faults::default(),
            counts: Counts::default(),
            config,
        }
    }

    /// Returns the response to one request. `now` is the time since the Unix epoch; it may stand
    /// still or jump.
    ///
    /// The URI may be a path, as on the wire, or absolute. A `HEAD` gets the response to the
    /// corresponding `GET`, with its body; the code that writes it to a socket must omit the body.
    #[must_use]
    pub fn handle<B: AsRef<[u8]>>(
        &mut self,
        request: &Request<B>,
        now: Duration,
    ) -> Response<Vec<u8>> {
        let request = Incoming {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            body: request.body().as_ref(),
        };
        let mut response = match self.respond(request, now) {
            Ok(response) => response,
            Err(EarlyResponse::Error(error)) => error.into_response(View::from_query(request.uri)),
            Err(EarlyResponse::Scripted(response)) => return *response,
        };
        response.headers_mut().insert(
            SERVICE_VERSION,
            HeaderValue::from_static(concat!(
                "gitHash=0000000000000000000000000000000000000000; versionString=emulator-",
                env!("CARGO_PKG_VERSION")
            )),
        );
        if self.faults.is_empty() {
            render::compress(request.headers, &mut response);
            return response;
        }
        // Moved out of `self`, because faults borrow the whole emulator mutably.
        let mut faults = std::mem::take(&mut self.faults);
        faults.apply(Phase::BeforeCompression, self, request, now, &mut response);
        render::compress(request.headers, &mut response);
        faults.apply(Phase::AfterCompression, self, request, now, &mut response);
        self.faults = faults;
        response
    }

    /// Checks route, script, method, credential, version, resource, role, parameters and rate limit,
    /// in this order, then returns the page. Each check may end with another response.
    fn respond(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, EarlyResponse> {
        self.counts.total += 1;
        let path = request.uri.path();
        let route = Route::from_path(path).ok_or_else(|| AtlasError::resource_not_found(path))?;
        let operation = route.operation();
        if let Some(count) = self.counts.per_operation.get_mut(operation.index()) {
            *count += 1;
        }
        self.scripted(operation, Stage::Arrived)?;
        if !route.allows(request.method) {
            return Err(AtlasError::method_not_allowed(route.allowed()).into());
        }
        let Incoming { headers, body, .. } = request;
        match route {
            Route::Token => {
                let account = &self.service_account;
                Ok(oauth::token(&mut self.tokens, account, headers, body, now))
            }
            Route::Revoke => {
                let account = &self.service_account;
                Ok(oauth::revoke(&mut self.tokens, account, headers, body))
            }
            Route::GroupKeys { group_id } => {
                let caller = self.authenticated(operation, request, now)?;
                self.group_keys(group_id, caller, request, now)
            }
            Route::OrgKeys { org_id } => {
                self.authenticated(operation, request, now)?;
                self.org_keys(org_id, request, now)
            }
            Route::Groups => {
                self.authenticated(operation, request, now)?;
                self.list_groups(request)
            }
        }
    }

    fn scripted(&mut self, operation: Operation, stage: Stage) -> Result<(), EarlyResponse> {
        let next = self
            .script
            .iter()
            .position(|scripted| scripted.operation == operation)
            // Strictly in order: a response for an authenticated request holds back those behind it.
            .filter(|index| self.script.get(*index).is_some_and(|s| s.stage == stage))
            .and_then(|index| self.script.remove(index));
        match next {
            Some(scripted) => Err(EarlyResponse::Scripted(Box::new(scripted.response))),
            None => Ok(()),
        }
    }

    fn authenticated(
        &mut self,
        operation: Operation,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Credential, EarlyResponse> {
        let credential = self.credential(request, now)?;
        self.scripted(operation, Stage::Authenticated)?;
        Ok(credential)
    }

    fn credential(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Credential, AtlasError> {
        let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
        let only = values.next().filter(|_| values.next().is_none());
        let Some((scheme, rest)) = only.and_then(|value| split_scheme(value.as_bytes())) else {
            return Err(self.challenge(false, now));
        };
        if scheme.eq_ignore_ascii_case(b"Bearer") {
            let token = std::str::from_utf8(rest).unwrap_or_default();
            return self.tokens.holder(token.trim(), now).ok_or_else(|| {
                // RFC 6750 §3.1. No digest challenge: a client with a token has no password.
                AtlasError::unauthenticated()
                    .with_header(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")
            });
        }
        if scheme.eq_ignore_ascii_case(b"Digest") {
            return self.digest(rest, request, now);
        }
        Err(self.challenge(false, now))
    }

    fn digest(
        &mut self,
        credentials: &[u8],
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Credential, AtlasError> {
        let target = request
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let authorization = digest::Authorization::parse(credentials).filter(|authorization| {
            authorization.username == self.api_key.public_key
                && authorization.realm == self.nonces.realm(&authorization.nonce)
                && authorization.uri == target
                && (self.config.digest.contains(&authorization.algorithm)
                    || self
                        .nonces
                        .allows_algorithm(&authorization.nonce, authorization.algorithm))
                && authorization
                    .matches_password(&self.api_key.private_key, request.method.as_str())
        });
        let Some((authorization, nc)) = authorization
            .and_then(|authorization| authorization.nc().map(|nc| (authorization, nc)))
        else {
            return Err(self.challenge(false, now));
        };
        if self.nonces.accept(&authorization.nonce, nc, now) {
            Ok(Credential::ApiKey)
        } else {
            // RFC 7616 §3.3: `stale`, because the password is right and only the nonce is not.
            Err(self.challenge(true, now))
        }
    }

    /// Returns a 401 with a challenge for each algorithm. All have the same new nonce.
    pub(crate) fn challenge(&mut self, stale: bool, now: Duration) -> AtlasError {
        let nonce = self.nonces.issue(now);
        let algorithms = self.config.digest.iter();
        algorithms.fold(AtlasError::unauthenticated(), |error, algorithm| {
            let challenge = digest::challenge(*algorithm, &nonce, stale);
            error.with_header(header::WWW_AUTHENTICATE, &challenge)
        })
    }

    fn group_keys(
        &mut self,
        group_id: &str,
        caller: Credential,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, EarlyResponse> {
        let version = self.key_version(request)?;
        let id = GroupId::new(group_id).map_err(|_| AtlasError::resource_not_found(group_id))?;
        let config = &self.config;
        let group = self
            .groups
            .iter_mut()
            .find(|group| group.id == id)
            .ok_or_else(|| AtlasError::group_not_found(group_id))?;
        if group.denied.contains(&caller) {
            return Err(AtlasError::unauthorized().into());
        }
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let limit_status = take_token(config.rate_limit, &mut group.bucket, now)?;
        let view = key_view(version, config);
        let body = paging.render_page(
            group.keys.iter(),
            group.keys.len(),
            |key| KeyEntry::new(key, view),
            config.total_count,
            &self_url(config, request),
        );
        Ok(page_response(version, limit_status, &self.config, body))
    }

    fn org_keys(
        &mut self,
        org_id: &str,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, EarlyResponse> {
        let version = self.key_version(request)?;
        if org_id != self.org.id {
            return Err(AtlasError::resource_not_found(org_id).into());
        }
        let config = &self.config;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let limit_status = take_token(config.rate_limit, &mut self.org.bucket, now)?;
        let view = key_view(version, config);
        let body = paging.render_page(
            // `skip` then skips whole groups at a time, not single keys.
            self.groups.iter().flat_map(|group| &group.keys),
            self.groups.iter().map(|group| group.keys.len()).sum(),
            |key| KeyEntry::new(key, view),
            config.total_count,
            &self_url(config, request),
        );
        Ok(page_response(version, limit_status, &self.config, body))
    }

    fn list_groups(&mut self, request: Incoming<'_>) -> Result<Response<Vec<u8>>, EarlyResponse> {
        let first = ApiVersion::new("2023-01-01").map_err(|_| AtlasError::invalid_version())?;
        // Any date from the first version on means that version, because there is no other.
        let is_served = |version| version >= first && version != ApiVersion::PREVIEW;
        version::negotiate(request.headers, is_served, &[])?;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let body = paging.render_page(
            self.groups.iter(),
            self.groups.len(),
            |group| GroupEntry {
                cluster_count: 1,
                created: &group.created,
                id: group.id.as_str(),
                name: &group.name,
                org_id: &self.org.id,
            },
            self.config.total_count,
            &self_url(&self.config, request),
        );
        Ok(page_response(first, None, &self.config, body))
    }

    fn key_version(&self, request: Incoming<'_>) -> Result<ApiVersion, AtlasError> {
        let is_served = |version| self.config.versions.contains(&version);
        version::negotiate(request.headers, is_served, &self.config.withdrawn)
    }
}

/// Methods for faults.
impl Emulator {
    pub(crate) fn nonces(&mut self) -> &mut Nonces {
        &mut self.nonces
    }

    /// Returns the URL that the links in the response to this request begin with.
    pub(crate) fn self_url(&self, request: Incoming<'_>) -> String {
        self_url(&self.config, request)
    }

    /// Returns `count` entries, from `offset` on, of the keys that this request lists. The page
    /// parameters of the request are ignored.
    pub(crate) fn key_entries(
        &self,
        request: Incoming<'_>,
        offset: u64,
        count: u64,
        secrets: bool,
    ) -> Vec<Value> {
        let wanted = |group: &&Group| match Route::from_path(request.uri.path()) {
            Some(Route::GroupKeys { group_id }) => group.id.as_str() == group_id,
            route => matches!(route, Some(Route::OrgKeys { .. })),
        };
        let view = self.entry_view(request, secrets);
        self.groups
            .iter()
            .filter(wanted)
            .flat_map(|group| &group.keys)
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(|key| entry(key, view))
            .collect()
    }

    /// Returns entries of keys that no group has. Every page has different ones.
    pub(crate) fn unknown_keys(&self, request: Incoming<'_>, page: u64, count: u64) -> Vec<Value> {
        let view = self.entry_view(request, false);
        let group = match Route::from_path(request.uri.path()) {
            Some(Route::GroupKeys { group_id }) => GroupId::new(group_id).ok(),
            _ => None,
        };
        let group = group.unwrap_or(self.first_group());
        let mut prng = Prng::stream(self.config.seed, &format!("strangers of page {page}"));
        (0..usize::try_from(count).unwrap_or_default())
            .map(|index| entry(&generate::key(&mut prng, group, index), view))
            .collect()
    }

    fn entry_view(&self, request: Incoming<'_>, secrets: bool) -> KeyView {
        let version = self.key_version(request).unwrap_or(ApiVersion::PREVIEW);
        let view = key_view(version, &self.config);
        KeyView {
            secret: view.secret || secrets,
            ..view
        }
    }
}

fn entry(key: &Key, view: KeyView) -> Value {
    // Serializing a struct of strings cannot fail.
    serde_json::to_value(KeyEntry::new(key, view)).unwrap_or_default()
}

/// Methods that read and change the state between requests.
impl Emulator {
    /// Returns the groups (projects), including the one whose keys no credential may list.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.groups.iter().map(|group| group.id)
    }

    /// Returns the group with [`Config::keys_per_group`] keys.
    #[must_use]
    pub fn first_group(&self) -> GroupId {
        // `generate::groups` returns at least one.
        self.groups[0].id
    }

    /// Returns the group whose keys no credential may list: the last one, or `None` if there is only
    /// one group.
    #[must_use]
    pub fn forbidden_group(&self) -> Option<GroupId> {
        self.groups
            .last()
            .map(|group| group.id)
            .filter(|_| self.groups.len() > 1)
    }

    /// Returns the id of the organization that all groups belong to.
    #[must_use]
    pub fn org_id(&self) -> &str {
        &self.org.id
    }

    /// Returns the API key that digest authentication accepts.
    #[must_use]
    pub fn api_key(&self) -> &ApiKey {
        &self.api_key
    }

    /// Returns the service account that can request access tokens.
    #[must_use]
    pub fn service_account(&self) -> &ServiceAccount {
        &self.service_account
    }

    /// Returns the access token that exists from the start and does not expire.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// Returns the keys of a group, in the order of the listing. The slice is empty if the group does
    /// not exist.
    #[must_use]
    pub fn keys(&self, group: GroupId) -> &[Key] {
        self.groups
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
        self.groups
            .iter_mut()
            .find(|g| g.id == group)
            .map(|group| &mut group.keys)
    }

    /// Grants or removes the role that is needed to list a group's keys.
    pub fn set_role(&mut self, credential: Credential, group: GroupId, may_list: bool) {
        if let Some(group) = self.groups.iter_mut().find(|g| g.id == group) {
            group.denied.retain(|denied| *denied != credential);
            if !may_list {
                group.denied.push(credential);
            }
        }
    }

    /// Revokes all access tokens, including [`Emulator::access_token`].
    pub fn revoke_tokens(&mut self) {
        self.tokens.revoke_all();
    }

    /// Expires all nonces: the next use of one gets a challenge with `stale=true`.
    pub fn expire_nonces(&mut self) {
        self.nonces.expire_all();
    }

    /// Withdraws a version of the key listings. From now on it gets 410.
    pub fn withdraw(&mut self, version: ApiVersion) {
        self.config.withdrawn.push(version);
    }

    /// Replaces the configuration of the token buckets, and fills all buckets.
    pub fn set_rate_limit(&mut self, limit: Option<TokenBucket>) {
        self.config.rate_limit = limit;
        self.org.bucket = BucketState::default();
        for group in &mut self.groups {
            group.bucket = BucketState::default();
        }
    }

    /// Queues a response for the next request for `operation`. It is sent unchanged and before any
    /// check, also to clients without a credential, as by a load balancer in front of Atlas.
    pub fn answer_next(&mut self, operation: Operation, response: Response<Vec<u8>>) {
        self.script.push_back(Scripted {
            operation,
            stage: Stage::Arrived,
            response,
        });
    }

    /// Queues a response for the next *authenticated* request for `operation`, as if it came from the
    /// API itself: a digest client gets its challenge first.
    ///
    /// The response waits in the queue of [`Emulator::answer_next`]. Requests for tokens never count
    /// as authenticated here.
    pub fn answer_next_authenticated(&mut self, operation: Operation, response: Response<Vec<u8>>) {
        self.script.push_back(Scripted {
            operation,
            stage: Stage::Authenticated,
            response,
        });
    }

    /// Queues an error in Atlas's format, with these additional headers, for the next `times`
    /// requests for `operation`.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator, Operation};
    /// # use http::{HeaderMap, HeaderValue, StatusCode, header};
    /// # let mut emulator = Emulator::new(Config::default());
    /// let busy = StatusCode::SERVICE_UNAVAILABLE;
    /// let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("2"))]);
    /// emulator.fail_next(3, Operation::ListGroupKeys, busy, &wait);
    /// ```
    pub fn fail_next(
        &mut self,
        times: usize,
        operation: Operation,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        for _ in 0..times {
            let mut response = error_answer(status);
            response.headers_mut().extend(headers.clone());
            self.answer_next(operation, response);
        }
    }

    /// Applies a fault to every request for the operation that it belongs to, or only to the next
    /// `times` requests.
    ///
    /// If there are several faults, each changes the result of the one before it: first those of
    /// [`Area::Page`](crate::Area::Page), then `Meaning`, `Coding` and `Socket`. Faults of one area are
    /// applied in the order of these calls. So a page without results can come in chunks. If two
    /// faults replace the response, or both set its delivery, the last one wins. Scripted responses
    /// ([`Emulator::answer_next`] and similar methods) are not changed by faults.
    ///
    /// ```
    /// # use atlas_model_keys_emulator::{Config, Emulator};
    /// # let mut emulator = Emulator::new(Config::default());
    /// emulator.inject("retry-after-date=503".parse()?, Some(2));
    /// emulator.inject("token-slow=2s".parse()?, None);
    /// emulator.heal();
    /// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
    /// ```
    pub fn inject(&mut self, fault: Fault, times: Option<u32>) {
        self.faults.inject(fault, times);
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

    /// Returns the number of requests for one operation so far.
    #[must_use]
    pub fn requests_for(&self, operation: Operation) -> u64 {
        self.counts
            .per_operation
            .get(operation.index())
            .copied()
            .unwrap_or_default()
    }

    /// Returns the number of requests for a token so far.
    #[must_use]
    pub fn token_requests(&self) -> u64 {
        self.requests_for(Operation::Token)
    }
}

/// Splits the value of an `Authorization` header into the scheme and the rest. The rest is bytes,
/// because a digest realm may be in any encoding.
pub(crate) fn split_scheme(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    Some((scheme, rest.get(1..)?))
}

/// The values of the `RateLimit-…` headers.
#[derive(Clone, Copy)]
struct RateLimitStatus {
    limit: u32,
    remaining: u64,
}

fn take_token(
    limit: Option<TokenBucket>,
    bucket: &mut BucketState,
    now: Duration,
) -> Result<Option<RateLimitStatus>, AtlasError> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    match bucket.take(&limit, now) {
        Decision::Admitted { remaining } => Ok(Some(RateLimitStatus {
            limit: limit.capacity,
            remaining,
        })),
        Decision::Refused {
            retry_after_seconds,
        } => Err(AtlasError::rate_limited(retry_after_seconds)
            .with_header(RATE_LIMIT, &limit.capacity.to_string())
            .with_header(RATE_LIMIT_REMAINING, "0")),
    }
}

fn key_view(version: ApiVersion, config: &Config) -> KeyView {
    KeyView {
        dated: version != ApiVersion::PREVIEW,
        secret: config.include_secrets,
    }
}

fn self_url(config: &Config, request: Incoming<'_>) -> String {
    let base = match &config.link_base {
        Some(base) => base.clone(),
        None => listing::base_of(request.uri, request.headers),
    };
    format!("{base}{}", request.uri.path())
}

fn page_response(
    version: ApiVersion,
    limit_status: Option<RateLimitStatus>,
    config: &Config,
    body: Vec<u8>,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, version::content_type(version));
    if let Some(RateLimitStatus { limit, remaining }) = limit_status {
        headers.insert(RATE_LIMIT, HeaderValue::from(limit));
        headers.insert(RATE_LIMIT_REMAINING, HeaderValue::from(remaining));
    }
    let deprecated = config.deprecated.iter().find(|d| d.version == version);
    for (name, date) in deprecated
        .into_iter()
        .flat_map(|d| [("deprecation", d.since), ("sunset", d.sunset)])
    {
        if let Ok(date) = HeaderValue::try_from(unpadded_date(date)) {
            headers.insert(name, date);
        }
    }
    response
}
