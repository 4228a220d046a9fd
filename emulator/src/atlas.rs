//! The emulated part of Atlas: its state, authentication, and the regular response of each route.
//!
//! Scripted responses and faults are not known here; they belong to the emulator around it.

use std::borrow::Cow;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http::header::{self, HeaderName, HeaderValue};

use crate::bucket::{BucketState, Decision, TokenBucket};
use crate::calendar::{short_timestamp, unpadded_date};
use crate::config::Config;
use crate::credentials::{ApiKey, Credential, ServiceAccount};
use crate::data::Data;
use crate::digest::{self, Nonces};
use crate::errors::AtlasError;
use crate::generate;
use crate::incoming::Incoming;
use crate::key::Key;
use crate::listing::{self, GroupEntry, KeyEntry, KeyView, Paging};
use crate::oauth::{self, Tokens};
use crate::prng::{self, Prng};
use crate::redaction::Secrets;
use crate::render::View;
use crate::version;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// The state of the emulated part of Atlas.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    pub(crate) config: Config,
    pub(crate) api_key: ApiKey,
    pub(crate) service_account: ServiceAccount,
    /// The access token that exists from the start.
    pub(crate) access_token: String,
    pub(crate) org: Org,
    /// There is at least one.
    pub(crate) groups: Vec<Group>,
    /// The group whose keys no credential may list at first.
    pub(crate) forbidden_group: Option<GroupId>,
    /// The bucket of all groups, with [`Config::shared_rate_limit`].
    pub(crate) shared_bucket: BucketState,
    /// The bucket of the list of groups.
    pub(crate) groups_bucket: BucketState,
    pub(crate) nonces: Nonces,
    pub(crate) tokens: Tokens,
}

/// The organization, with the state of its rate limiter.
#[derive(Clone, Debug)]
pub(crate) struct Org {
    pub(crate) id: String,
    pub(crate) bucket: BucketState,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) name: String,
    pub(crate) created: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) bucket: BucketState,
    /// The credentials that may not list or get the keys. The group itself is visible to all credentials,
    /// so it is in the list of groups.
    pub(crate) denied: Vec<Credential>,
}

impl Group {
    fn new(id: GroupId, name: String, created: String, keys: Vec<Key>) -> Self {
        Self {
            id,
            name,
            created,
            keys,
            bucket: BucketState::default(),
            denied: Vec::new(),
        }
    }
}

/// Returns the groups of the data. Without any, the keys belong to a generated group.
fn data_groups(data: Data, config: &Config) -> Vec<Group> {
    const AGE: u64 = 600 * 24 * 3600;
    let created = short_timestamp(config.present.as_secs().saturating_sub(AGE));
    let mut groups: Vec<Group> = (1..)
        .zip(data.groups)
        .map(|(number, group)| {
            let name = group.name.unwrap_or(format!("Project {number}"));
            let created = group.created.unwrap_or_else(|| created.clone());
            Group::new(group.id, name, created, group.keys)
        })
        .collect();
    if groups.is_empty() {
        let generated = generate::groups(&config.clone().with_groups(1).with_keys_per_group(0));
        let keys = std::iter::once(data.keys);
        groups.extend(
            generated
                .into_iter()
                .zip(keys)
                .map(|(group, keys)| Group::new(group.id, group.name, group.created, keys)),
        );
    }
    groups
}

impl Atlas {
    pub(crate) fn new(mut config: Config) -> Self {
        let seed = config.seed;
        let (tokens, access_token) = Tokens::new(seed, config.token_ttl);
        let data = config.data.take();
        let org_id = data.as_ref().and_then(|data| data.org_id);
        let mut forbidden_group = None;
        let groups = match data {
            Some(data) => data_groups(data, &config),
            None => {
                let mut groups: Vec<Group> = generate::groups(&config)
                    .into_iter()
                    .map(|group| Group::new(group.id, group.name, group.created, group.keys))
                    .collect();
                if let [_, .., last] = groups.as_mut_slice() {
                    last.denied = Credential::ALL.to_vec();
                    forbidden_group = Some(last.id);
                }
                groups
            }
        };
        Self {
            api_key: ApiKey::generate(seed),
            service_account: ServiceAccount::generate(seed),
            access_token,
            org: Org {
                id: match org_id {
                    Some(id) => id.to_string(),
                    None => Prng::stream(seed, "organization").text(prng::HEX, 24),
                },
                bucket: BucketState::default(),
            },
            groups,
            forbidden_group,
            shared_bucket: BucketState::default(),
            groups_bucket: BucketState::default(),
            nonces: Nonces::new(seed, config.nonce_ttl),
            tokens,
            config,
        }
    }

    /// Returns the secrets that must not be shown.
    pub(crate) fn secrets(&self) -> Secrets {
        let pair = |user: &str, password: &str| STANDARD.encode(format!("{user}:{password}"));
        let (api_key, account) = (&self.api_key, &self.service_account);
        let pairs = [
            pair(&api_key.public_key, &api_key.private_key),
            pair(&account.client_id, &account.client_secret),
        ];
        let secrets = [
            &api_key.private_key,
            &account.client_secret,
            &self.access_token,
        ];
        let keys = self.groups.iter().flat_map(|group| &group.keys);
        let of_keys = keys.filter_map(|key| key.secret.as_ref());
        let texts = secrets.into_iter().chain(of_keys);
        let texts = texts.map(|text| Cow::Borrowed(text.as_str()));
        Secrets::new(texts.chain(pairs.map(Cow::Owned)))
    }

    /// Returns the first group. If it was generated, it has [`Config::keys_per_group`] keys.
    pub(crate) fn first_group(&self) -> GroupId {
        self.groups[0].id
    }

    pub(crate) fn issue_token(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Response<Vec<u8>> {
        let Incoming { headers, body, .. } = request;
        oauth::token(&mut self.tokens, &self.service_account, headers, body, now)
    }

    pub(crate) fn revoke_token(&mut self, request: Incoming<'_>) -> Response<Vec<u8>> {
        let Incoming { headers, body, .. } = request;
        oauth::revoke(&mut self.tokens, &self.service_account, headers, body)
    }

    /// Returns the credential that the request was authenticated with.
    pub(crate) fn authenticate(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Credential, AtlasError> {
        let Some((scheme, rest)) = request.authorization() else {
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
            let Self {
                config,
                api_key,
                nonces,
                ..
            } = self;
            return digest::check(rest, request, api_key, &config.digest, nonces, now)
                .map(|()| Credential::ApiKey)
                .map_err(|refusal| self.challenge(refusal.stale, now));
        }
        Err(self.challenge(false, now))
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

    pub(crate) fn list_group_keys(
        &mut self,
        group_id: &str,
        caller: Credential,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            groups,
            shared_bucket,
            ..
        } = self;
        let group = find_group(groups, group_id, caller)?;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let bucket = group_bucket(config, &mut group.bucket, shared_bucket);
        let limit_status = take_token(config.rate_limit, bucket, now)?;
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

    pub(crate) fn list_org_keys(
        &mut self,
        org_id: &str,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        if org_id != self.org.id {
            return Err(AtlasError::resource_not_found(org_id));
        }
        let config = &self.config;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let limit_status = take_token(config.rate_limit, &mut self.org.bucket, now)?;
        let view = key_view(version, config);
        let body = paging.render_page(
            // `skip` jumps over whole groups here, not over one key after the other.
            self.groups.iter().flat_map(|group| &group.keys),
            self.groups.iter().map(|group| group.keys.len()).sum(),
            |key| KeyEntry::new(key, view),
            config.total_count,
            &self_url(config, request),
        );
        Ok(page_response(version, limit_status, &self.config, body))
    }

    pub(crate) fn get_group_key(
        &mut self,
        group_id: &str,
        key_id: &str,
        caller: Credential,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            groups,
            shared_bucket,
            ..
        } = self;
        let group = find_group(groups, group_id, caller)?;
        let key = find_key(&group.keys, key_id)?;
        let body = listing::render_key(request.uri, KeyEntry::new(key, key_view(version, config)))?;
        let bucket = group_bucket(config, &mut group.bucket, shared_bucket);
        let limit_status = take_token(config.rate_limit, bucket, now)?;
        Ok(page_response(version, limit_status, config, body))
    }

    pub(crate) fn get_org_key(
        &mut self,
        org_id: &str,
        key_id: &str,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        if org_id != self.org.id {
            return Err(AtlasError::resource_not_found(org_id));
        }
        let config = &self.config;
        let key = find_key(self.groups.iter().flat_map(|group| &group.keys), key_id)?;
        let body = listing::render_key(request.uri, KeyEntry::new(key, key_view(version, config)))?;
        let limit_status = take_token(config.rate_limit, &mut self.org.bucket, now)?;
        Ok(page_response(version, limit_status, config, body))
    }

    pub(crate) fn list_groups(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let first = ApiVersion::new("2023-01-01").map_err(|_| AtlasError::invalid_version())?;
        // Any date from the first version on means that version, because there is no other.
        let is_served = |version| version >= first && version != ApiVersion::PREVIEW;
        version::negotiate(request.headers, is_served, &[])?;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let limit_status = take_token(self.config.rate_limit, &mut self.groups_bucket, now)?;
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
        Ok(page_response(first, limit_status, &self.config, body))
    }

    /// Returns the version in which the request gets its keys.
    pub(crate) fn key_version(&self, request: Incoming<'_>) -> Result<ApiVersion, AtlasError> {
        let is_served = |version| self.config.versions.contains(&version);
        version::negotiate(request.headers, is_served, &self.config.withdrawn)
    }
}

/// Returns the group, if the caller may list its keys.
fn find_group<'g>(
    groups: &'g mut [Group],
    group_id: &str,
    caller: Credential,
) -> Result<&'g mut Group, AtlasError> {
    let id = GroupId::new(group_id).map_err(|_| AtlasError::resource_not_found(group_id))?;
    let group = groups
        .iter_mut()
        .find(|group| group.id == id)
        .ok_or_else(|| AtlasError::group_not_found(group_id))?;
    if group.denied.contains(&caller) {
        return Err(AtlasError::unauthorized());
    }
    Ok(group)
}

fn find_key<'k>(
    keys: impl IntoIterator<Item = &'k Key>,
    key_id: &str,
) -> Result<&'k Key, AtlasError> {
    let mut keys = keys.into_iter();
    keys.find(|key| key.api_key_id.as_deref() == Some(key_id))
        .ok_or_else(|| AtlasError::resource_not_found(key_id))
}

/// Returns the bucket that limits the requests for a group.
fn group_bucket<'b>(
    config: &Config,
    own: &'b mut BucketState,
    shared: &'b mut BucketState,
) -> &'b mut BucketState {
    if config.shared_rate_limit {
        shared
    } else {
        own
    }
}

/// The values of the `TokenBucket-…` headers.
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

/// Returns the form of keys in this version.
pub(crate) fn key_view(version: ApiVersion, config: &Config) -> KeyView {
    KeyView {
        dated: version != ApiVersion::PREVIEW,
        secret: config.include_secrets,
    }
}

/// Returns the URL that the links in the response to this request begin with.
pub(crate) fn self_url(config: &Config, request: Incoming<'_>) -> String {
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
