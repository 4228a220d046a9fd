//! The emulated part of Atlas: its state, authentication, and the regular response of each route.
//!
//! Scripted responses and faults are not known here; they belong to the emulator around it.

use std::borrow::Cow;
use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, OrgId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http::header::{self, HeaderName, HeaderValue};

use crate::bucket::{BucketState, Decision, TokenBucket};
use crate::calendar::unpadded_date;
use crate::config::Config;
use crate::credentials::{CredentialId, CredentialKind, Credentials};
use crate::digest::{self, Nonces};
use crate::errors::AtlasError;
use crate::incoming::Incoming;
use crate::key::Key;
use crate::listing::{self, GroupEntry, KeyEntry, KeyView, Paging};
use crate::oauth::{self, Tokens};
use crate::redaction::Secrets;
use crate::render::View;
use crate::version;
use crate::world::World;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");

/// The state of the emulated part of Atlas.
#[derive(Clone, Debug)]
pub(crate) struct Atlas {
    pub(crate) config: Config,
    /// There is at least one of each kind.
    pub(crate) credentials: Credentials,
    pub(crate) world: World,
    /// The bucket of all groups, with [`Config::shared_rate_limit`].
    pub(crate) shared_bucket: BucketState,
    /// The bucket of the list of groups.
    pub(crate) groups_bucket: BucketState,
    pub(crate) nonces: Nonces,
    pub(crate) tokens: Tokens,
}

impl Atlas {
    pub(crate) fn new(mut config: Config) -> Self {
        let seed = config.seed;
        let mut credentials = Credentials {
            api_keys: std::mem::take(&mut config.api_keys),
            service_accounts: std::mem::take(&mut config.service_accounts),
            access_tokens: std::mem::take(&mut config.access_tokens),
        };
        let data = config.data.take().and_then(|mut data| {
            let has_more = !data.has_only_credentials();
            credentials.append(std::mem::take(&mut data.credentials));
            has_more.then_some(data)
        });
        let mut tokens = Tokens::new(seed, config.token_ttl);
        credentials.complete(seed, || tokens.text());
        for (index, access_token) in credentials.access_tokens.iter().enumerate() {
            let id = CredentialId::new(CredentialKind::AccessToken, index);
            tokens.add(access_token.token.clone(), id, None);
        }
        Self {
            world: World::new(&config, data),
            credentials,
            shared_bucket: BucketState::default(),
            groups_bucket: BucketState::default(),
            nonces: Nonces::new(seed, config.nonce_ttl),
            tokens,
            config,
        }
    }

    /// Returns the secrets that must not be shown.
    pub(crate) fn secrets(&self) -> Secrets {
        let Credentials {
            api_keys,
            service_accounts,
            access_tokens,
        } = &self.credentials;
        let api_keys = api_keys
            .iter()
            .map(|key| (&key.public_key, &key.private_key));
        let accounts = service_accounts
            .iter()
            .map(|account| (&account.client_id, &account.client_secret));
        let tokens = access_tokens.iter().map(|token| &token.token);
        let keys = self
            .world
            .groups()
            .iter()
            .flat_map(|group| group.keys.iter());
        let of_keys = keys.filter_map(|key| key.secret.as_ref());
        // Passwords also in the form of Basic authentication.
        let of_users = api_keys.chain(accounts).flat_map(|(user, password)| {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            [Cow::Borrowed(password.as_str()), Cow::Owned(pair)]
        });
        let texts = tokens
            .chain(of_keys)
            .map(|text| Cow::Borrowed(text.as_str()));
        Secrets::new(of_users.chain(texts))
    }

    pub(crate) fn issue_token(
        &mut self,
        account: Option<CredentialId>,
        request: Incoming<'_>,
        now: Duration,
    ) -> Response<Vec<u8>> {
        let Incoming { headers, body, .. } = request;
        oauth::token(&mut self.tokens, account, headers, body, now)
    }

    pub(crate) fn revoke_token(
        &mut self,
        account: Option<CredentialId>,
        request: Incoming<'_>,
    ) -> Response<Vec<u8>> {
        let Incoming { headers, body, .. } = request;
        oauth::revoke(&mut self.tokens, account, headers, body)
    }

    /// Returns the service account whose credential a request for a token has.
    pub(crate) fn account_of(&self, request: Incoming<'_>) -> Option<CredentialId> {
        oauth::account_of(&self.credentials.service_accounts, request.headers)
    }

    /// Returns the credential that the request was authenticated with.
    pub(crate) fn authenticate(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<CredentialId, AtlasError> {
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
                credentials,
                nonces,
                ..
            } = self;
            let keys = &credentials.api_keys;
            return digest::check(rest, request, keys, &config.digest, nonces, now)
                .map(|index| CredentialId::new(CredentialKind::ApiKey, index))
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
        caller: CredentialId,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            credentials,
            world,
            shared_bucket,
            ..
        } = self;
        let group = world.readable_group(group_id, credentials.roles(caller))?;
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
        caller: CredentialId,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            credentials,
            world,
            ..
        } = self;
        let org = world.readable_org(org_id, credentials.roles(caller))?;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let limit_status = take_org_token(config.rate_limit, world, org, now)?;
        let view = key_view(version, config);
        let body = paging.render_page(
            // `skip` jumps over whole groups here, not over one key after the other.
            world.groups_of(org).flat_map(|group| group.keys.iter()),
            world.groups_of(org).map(|group| group.keys.len()).sum(),
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
        caller: CredentialId,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            credentials,
            world,
            shared_bucket,
            ..
        } = self;
        let group = world.readable_group(group_id, credentials.roles(caller))?;
        let key = find_key(group.keys.iter(), key_id)?;
        let body = listing::render_key(request.uri, KeyEntry::new(key, key_view(version, config)))?;
        let bucket = group_bucket(config, &mut group.bucket, shared_bucket);
        let limit_status = take_token(config.rate_limit, bucket, now)?;
        Ok(page_response(version, limit_status, config, body))
    }

    pub(crate) fn get_org_key(
        &mut self,
        org_id: &str,
        key_id: &str,
        caller: CredentialId,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let version = self.key_version(request)?;
        let Self {
            config,
            credentials,
            world,
            ..
        } = self;
        let org = world.readable_org(org_id, credentials.roles(caller))?;
        let key = find_key(
            world.groups_of(org).flat_map(|group| group.keys.iter()),
            key_id,
        )?;
        let body = listing::render_key(request.uri, KeyEntry::new(key, key_view(version, config)))?;
        let limit_status = take_org_token(config.rate_limit, world, org, now)?;
        Ok(page_response(version, limit_status, config, body))
    }

    pub(crate) fn list_groups(
        &mut self,
        caller: CredentialId,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, AtlasError> {
        let first = ApiVersion::new("2023-01-01").map_err(|_| AtlasError::invalid_version())?;
        // Any date from the first version on means that version, because there is no other.
        let is_served = |version| version >= first && version != ApiVersion::PREVIEW;
        version::negotiate(request.headers, is_served, &[])?;
        let paging = Paging::from_query(request.uri, View::from_query(request.uri))?;
        let total_count = listing::group_count(request.uri, self.config.total_count)?;
        let limit_status = take_token(self.config.rate_limit, &mut self.groups_bucket, now)?;
        let groups = self.world.visible_groups(self.credentials.roles(caller));
        let body = paging.render_page(
            groups.iter(),
            groups.len(),
            |group| GroupEntry {
                cluster_count: 1,
                created: &group.created,
                id: group.id.as_str(),
                name: &group.name,
                org_id: group.org_id.as_str(),
            },
            total_count,
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

fn take_org_token(
    limit: Option<TokenBucket>,
    world: &mut World,
    org: OrgId,
    now: Duration,
) -> Result<Option<RateLimitStatus>, AtlasError> {
    match world.org_bucket(org) {
        Some(bucket) => take_token(limit, bucket, now),
        None => Ok(None),
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
        None => listing::base_of(request.uri, request.headers)
            .unwrap_or_else(|| "https://cloud.mongodb.com".to_owned()),
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
        if let Ok(date) = HeaderValue::try_from(unpadded_date(date.as_secs())) {
            headers.insert(name, date);
        }
    }
    response
}
