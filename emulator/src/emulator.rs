//! The emulator itself: what it knows, and the way of a request through it.

use std::collections::VecDeque;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use crate::bucket::{Bucket, RateLimit, Verdict};
use crate::calendar::unpadded_date;
use crate::config::Config;
use crate::credentials::{ApiKey, Credential, ServiceAccount};
use crate::digest::{self, Nonces};
use crate::errors::{Failure, error_answer};
use crate::fault::{Fault, Faults, Layer};
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

/// Atlas's side of the dialogue, in memory: a request and the time go in, a response comes out.
///
/// It does no I/O and asks no clock. The same [`Config`] and the same calls give the same
/// answers, byte for byte.
#[derive(Clone, Debug)]
pub struct Emulator {
    config: Config,
    api_key: ApiKey,
    service_account: ServiceAccount,
    access_token: String,
    org: Scope,
    groups: Vec<Group>,
    nonces: Nonces,
    tokens: Tokens,
    script: VecDeque<Scripted>,
    faults: Faults,
    counts: Counts,
}

/// What a rate limit applies to.
#[derive(Clone, Debug)]
struct Scope {
    id: String,
    bucket: Bucket,
}

#[derive(Clone, Debug)]
struct Group {
    id: GroupId,
    name: String,
    created: String,
    keys: Vec<Key>,
    bucket: Bucket,
    /// Who may not list the keys. The rest of the group is open to everyone, so that it is in the
    /// list of groups.
    denied: Vec<Credential>,
}

#[derive(Clone, Debug)]
struct Scripted {
    operation: Operation,
    stage: Stage,
    answer: Response<Vec<u8>>,
}

/// How far a request comes before a scripted answer meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arrived,
    Authenticated,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    all: u64,
    of: [u64; Operation::ALL.len()],
}

/// Why a request got no regular answer.
enum Refusal {
    Failure(Failure),
    /// Goes out as it is.
    Scripted(Box<Response<Vec<u8>>>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A request, without the type of its body.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Emulator {
    /// Makes one out of the configuration alone.
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
                bucket: Bucket::default(),
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
            org: Scope {
                id: Prng::stream(seed, "organization").text(prng::HEX, 24),
                bucket: Bucket::default(),
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

    /// Answers one request. `now` is counted from the Unix epoch; it may stand still or jump.
    ///
    /// The URI may be a path, as on the wire, or absolute. A `HEAD` gets the answer to the same
    /// `GET`; leaving the body out is for whoever writes it to a wire.
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
        let mut response = match self.answer(request, now) {
            Ok(response) => response,
            Err(Refusal::Failure(failure)) => failure.into_response(View::wanted(request.uri)),
            Err(Refusal::Scripted(response)) => return *response,
        };
        response.headers_mut().insert(
            SERVICE_VERSION,
            HeaderValue::from_static(concat!(
                "gitHash=0000000000000000000000000000000000000000; versionString=emulator-",
                env!("CARGO_PKG_VERSION")
            )),
        );
        if self.faults.are_none() {
            render::compress(request.headers, &mut response);
            return response;
        }
        // Taken out for the while, as they may look into all the rest.
        let mut faults = std::mem::take(&mut self.faults);
        faults.strike(Layer::Meaning, self, request, now, &mut response);
        render::compress(request.headers, &mut response);
        faults.strike(Layer::Bytes, self, request, now, &mut response);
        self.faults = faults;
        response
    }

    /// The way of a request: route, script, method, credential, version, resource, role,
    /// parameters, rate limit, page. Each step may end it.
    fn answer(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        self.counts.all += 1;
        let path = request.uri.path();
        let route = Route::of(path).ok_or_else(|| Failure::resource_not_found(path))?;
        let operation = route.operation();
        if let Some(count) = self.counts.of.get_mut(operation.index()) {
            *count += 1;
        }
        self.scripted(operation, Stage::Arrived)?;
        if !route.allows(request.method) {
            return Err(Failure::method_not_allowed(route.allowed()).into());
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

    fn scripted(&mut self, operation: Operation, stage: Stage) -> Result<(), Refusal> {
        let next = self
            .script
            .iter()
            .position(|scripted| scripted.operation == operation)
            // Strictly in order: what waits for an authenticated request holds up what follows.
            .filter(|index| self.script.get(*index).is_some_and(|s| s.stage == stage))
            .and_then(|index| self.script.remove(index));
        match next {
            Some(scripted) => Err(Refusal::Scripted(Box::new(scripted.answer))),
            None => Ok(()),
        }
    }

    fn authenticated(
        &mut self,
        operation: Operation,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Credential, Refusal> {
        let credential = self.credential(request, now)?;
        self.scripted(operation, Stage::Authenticated)?;
        Ok(credential)
    }

    fn credential(&mut self, request: Incoming<'_>, now: Duration) -> Result<Credential, Failure> {
        let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
        let only = values.next().filter(|_| values.next().is_none());
        let Some((scheme, rest)) = only.and_then(|value| scheme_of(value.as_bytes())) else {
            return Err(self.challenge(false, now));
        };
        if scheme.eq_ignore_ascii_case(b"Bearer") {
            let token = std::str::from_utf8(rest).unwrap_or_default();
            return self.tokens.holder(token.trim(), now).ok_or_else(|| {
                // No digest challenge: whoever has a token has no password. RFC 6750 §3.1.
                Failure::unauthenticated()
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
    ) -> Result<Credential, Failure> {
        let target = request
            .uri
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let answer = digest::Answer::parse(credentials).filter(|answer| {
            answer.username == self.api_key.public_key
                && answer.realm == self.nonces.realm(&answer.nonce)
                && answer.uri == target
                && (self.config.digest.contains(&answer.algorithm)
                    || self.nonces.offered(&answer.nonce, answer.algorithm))
                && answer.is_made_with(&self.api_key.private_key, request.method.as_str())
        });
        let Some((answer, nc)) = answer.and_then(|answer| answer.nc().map(|nc| (answer, nc)))
        else {
            return Err(self.challenge(false, now));
        };
        if self.nonces.admit(&answer.nonce, nc, now) {
            Ok(Credential::ApiKey)
        } else {
            // RFC 7616 §3.3: the password was right, only the nonce was not.
            Err(self.challenge(true, now))
        }
    }

    /// 401 with a challenge for each algorithm, all with the same fresh nonce.
    pub(crate) fn challenge(&mut self, stale: bool, now: Duration) -> Failure {
        let nonce = self.nonces.issue(now);
        let algorithms = self.config.digest.iter();
        algorithms.fold(Failure::unauthenticated(), |failure, algorithm| {
            let challenge = digest::challenge(*algorithm, &nonce, stale);
            failure.with_header(header::WWW_AUTHENTICATE, &challenge)
        })
    }

    fn group_keys(
        &mut self,
        group_id: &str,
        caller: Credential,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        let version = self.key_version(request)?;
        let id = GroupId::new(group_id).map_err(|_| Failure::resource_not_found(group_id))?;
        let config = &self.config;
        let group = self
            .groups
            .iter_mut()
            .find(|group| group.id == id)
            .ok_or_else(|| Failure::group_not_found(group_id))?;
        if group.denied.contains(&caller) {
            return Err(Failure::unauthorized().into());
        }
        let paging = Paging::asked_for(request.uri, View::wanted(request.uri))?;
        let allowance = admit(config.rate_limit, &mut group.bucket, now)?;
        let view = key_view(version, config);
        let body = paging.page(
            group.keys.iter(),
            group.keys.len(),
            |key| KeyEntry::new(key, view),
            config.total_count,
            &self_url(config, request),
        );
        Ok(page_response(version, allowance, &self.config, body))
    }

    fn org_keys(
        &mut self,
        org_id: &str,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        let version = self.key_version(request)?;
        if org_id != self.org.id {
            return Err(Failure::resource_not_found(org_id).into());
        }
        let config = &self.config;
        let paging = Paging::asked_for(request.uri, View::wanted(request.uri))?;
        let allowance = admit(config.rate_limit, &mut self.org.bucket, now)?;
        let view = key_view(version, config);
        let body = paging.page(
            // Whole groups are skipped at a time, not key by key.
            self.groups.iter().flat_map(|group| &group.keys),
            self.groups.iter().map(|group| group.keys.len()).sum(),
            |key| KeyEntry::new(key, view),
            config.total_count,
            &self_url(config, request),
        );
        Ok(page_response(version, allowance, &self.config, body))
    }

    fn list_groups(&mut self, request: Incoming<'_>) -> Result<Response<Vec<u8>>, Refusal> {
        let first = ApiVersion::new("2023-01-01").map_err(|_| Failure::invalid_version())?;
        // Any date since the resource's first version leads to that version, as there is no other.
        let is_served = |version| version >= first && version != ApiVersion::PREVIEW;
        version::negotiate(request.headers, is_served, &[])?;
        let paging = Paging::asked_for(request.uri, View::wanted(request.uri))?;
        let body = paging.page(
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

    fn key_version(&self, request: Incoming<'_>) -> Result<ApiVersion, Failure> {
        let is_served = |version| self.config.versions.contains(&version);
        version::negotiate(request.headers, is_served, &self.config.withdrawn)
    }
}

/// What faults need of it.
impl Emulator {
    pub(crate) fn nonces(&mut self) -> &mut Nonces {
        &mut self.nonces
    }

    /// What links of the answer to this request begin with.
    pub(crate) fn self_url(&self, request: Incoming<'_>) -> String {
        self_url(&self.config, request)
    }

    /// Some of the keys that this request lists, whatever page it asks for, as it would see them.
    pub(crate) fn entries(
        &self,
        request: Incoming<'_>,
        before: u64,
        count: u64,
        secrets: bool,
    ) -> Vec<Value> {
        let wanted = |group: &&Group| match Route::of(request.uri.path()) {
            Some(Route::GroupKeys { group_id }) => group.id.as_str() == group_id,
            route => matches!(route, Some(Route::OrgKeys { .. })),
        };
        let view = self.entry_view(request, secrets);
        self.groups
            .iter()
            .filter(wanted)
            .flat_map(|group| &group.keys)
            .skip(usize::try_from(before).unwrap_or(usize::MAX))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(|key| entry(key, view))
            .collect()
    }

    /// Keys that no group has, other ones on every page.
    pub(crate) fn strangers(&self, request: Incoming<'_>, page: u64, count: u64) -> Vec<Value> {
        let view = self.entry_view(request, false);
        let group = match Route::of(request.uri.path()) {
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
    // A struct of texts always serialises.
    serde_json::to_value(KeyEntry::new(key, view)).unwrap_or_default()
}

/// What there is, and changing it between requests.
impl Emulator {
    /// The groups (projects), the one without a role for anyone among them.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.groups.iter().map(|group| group.id)
    }

    /// The group with [`Config::keys_per_group`] keys.
    #[must_use]
    pub fn first_group(&self) -> GroupId {
        // There is always one.
        self.groups[0].id
    }

    /// The group whose keys no credential may list: the last, where there are two or more.
    #[must_use]
    pub fn forbidden_group(&self) -> Option<GroupId> {
        self.groups
            .last()
            .map(|group| group.id)
            .filter(|_| self.groups.len() > 1)
    }

    /// The organization that all groups are in.
    #[must_use]
    pub fn org_id(&self) -> &str {
        &self.org.id
    }

    /// The API key that digest authentication accepts.
    #[must_use]
    pub fn api_key(&self) -> &ApiKey {
        &self.api_key
    }

    /// The service account that gets access tokens.
    #[must_use]
    pub fn service_account(&self) -> &ServiceAccount {
        &self.service_account
    }

    /// An access token handed out beforehand, which does not expire.
    #[must_use]
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// The keys of a group, in the order of the listing; empty for a group that does not exist.
    #[must_use]
    pub fn keys(&self, group: GroupId) -> &[Key] {
        self.groups
            .iter()
            .find(|g| g.id == group)
            .map_or(&[], |group| &group.keys)
    }

    /// The keys of a group, to change; `None` for a group that does not exist.
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

    /// Gives or takes the role that lists a group's keys.
    pub fn set_role(&mut self, credential: Credential, group: GroupId, may_list: bool) {
        if let Some(group) = self.groups.iter_mut().find(|g| g.id == group) {
            group.denied.retain(|denied| *denied != credential);
            if !may_list {
                group.denied.push(credential);
            }
        }
    }

    /// Makes every access token invalid, the one handed out beforehand too.
    pub fn revoke_tokens(&mut self) {
        self.tokens.revoke_all();
    }

    /// Makes every nonce expire: the next use of one gets a challenge with `stale=true`.
    pub fn expire_nonces(&mut self) {
        self.nonces.forget_all();
    }

    /// Withdraws a version of the key listings: 410 from now on.
    pub fn withdraw(&mut self, version: ApiVersion) {
        self.config.withdrawn.push(version);
    }

    /// Changes the limit, and begins with full buckets.
    pub fn set_rate_limit(&mut self, limit: Option<RateLimit>) {
        self.config.rate_limit = limit;
        self.org.bucket = Bucket::default();
        for group in &mut self.groups {
            group.bucket = Bucket::default();
        }
    }

    /// Answers the next request for `operation` with this and nothing else, whoever sends it, as a
    /// balancer in front of Atlas would. Answers queue up.
    pub fn answer_next(&mut self, operation: Operation, answer: Response<Vec<u8>>) {
        self.script.push_back(Scripted {
            operation,
            stage: Stage::Arrived,
            answer,
        });
    }

    /// Answers the next *authenticated* request for `operation` with this, as the API behind the
    /// gate would: a digest client gets its challenge first. In one queue with
    /// [`Emulator::answer_next`]. Requests for tokens are never authenticated in this sense.
    pub fn answer_next_authenticated(&mut self, operation: Operation, answer: Response<Vec<u8>>) {
        self.script.push_back(Scripted {
            operation,
            stage: Stage::Authenticated,
            answer,
        });
    }

    /// Answers the next `times` requests for `operation` with an error in Atlas's shape, with
    /// these headers on top.
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
            let mut answer = error_answer(status);
            answer.headers_mut().extend(headers.clone());
            self.answer_next(operation, answer);
        }
    }

    /// Lets a fault strike every request of the operation that it is for, or only the next
    /// `times` of them.
    ///
    /// Several strike one after the other, each what the one before has left: first those of
    /// [`Area::Page`](crate::Area::Page), then `Meaning`, `Coding` and `Socket`; in the same area in
    /// the order they came in here. So a page without results can come in chunks; but of two that
    /// replace the answer, or say how it is delivered, the last one wins. Scripted answers
    /// ([`Emulator::answer_next`] and the like) are not struck.
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

    /// Takes every fault away. What is under way already goes on.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
    }

    /// How many requests there were, whatever came of them, those for unknown paths too.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.all
    }

    /// How many requests there were for one operation.
    #[must_use]
    pub fn requests_for(&self, operation: Operation) -> u64 {
        self.counts
            .of
            .get(operation.index())
            .copied()
            .unwrap_or_default()
    }

    /// How many requests for a token there were.
    #[must_use]
    pub fn token_requests(&self) -> u64 {
        self.requests_for(Operation::Token)
    }
}

/// The scheme of an `Authorization` header, and what follows it. Digest may hold bytes of any encoding.
pub(crate) fn scheme_of(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    Some((scheme, rest.get(1..)?))
}

/// What is left in a bucket, for the headers.
#[derive(Clone, Copy)]
struct Allowance {
    limit: u32,
    remaining: u64,
}

fn admit(
    limit: Option<RateLimit>,
    bucket: &mut Bucket,
    now: Duration,
) -> Result<Option<Allowance>, Failure> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    match bucket.take(&limit, now) {
        Verdict::Admitted { remaining } => Ok(Some(Allowance {
            limit: limit.capacity,
            remaining,
        })),
        Verdict::Refused {
            retry_after_seconds,
        } => Err(Failure::rate_limited(retry_after_seconds)
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
    allowance: Option<Allowance>,
    config: &Config,
    body: Vec<u8>,
) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, version::content_type(version));
    if let Some(Allowance { limit, remaining }) = allowance {
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
