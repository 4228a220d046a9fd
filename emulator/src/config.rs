//! The configuration of an emulator.

use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId, OrgId};

use crate::bucket::TokenBucket;
use crate::credentials::{AccessToken, ApiKey, ServiceAccount};
use crate::data::Data;
use crate::digest::DigestAlgorithm;
use crate::setters::setters;

/// The configuration of an emulator. The defaults are Atlas's documented values, where there are
/// any.
///
/// ```
/// use atlas_model_keys_emulator::{Config, Emulator};
/// let emulator = Emulator::new(Config::default().with_seed(7).with_keys_per_group(1234));
/// assert_eq!(emulator.keys(emulator.first_group()).len(), 1234);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The seed of everything that looks random: ids, credentials, dates, nonces, tokens.
    pub seed: u64,
    /// The number of groups (projects). 0 means 1.
    pub groups: usize,
    /// The ids of the first groups. The others have generated ids. If there are more ids than
    /// [`groups`](Self::groups), there are as many groups as ids.
    pub group_ids: Vec<GroupId>,
    /// The number of organizations. 0 means 1. The groups are distributed over the organizations in turn.
    pub organizations: usize,
    /// The ids of the first organizations. The others have generated ids. If there are more ids than
    /// [`organizations`](Self::organizations), there are as many organizations as ids.
    pub org_ids: Vec<OrgId>,
    /// The API keys that digest authentication accepts. If this and the data have none, one is generated.
    pub api_keys: Vec<ApiKey>,
    /// The service accounts that can request access tokens. If this and the data have none, one is generated.
    pub service_accounts: Vec<ServiceAccount>,
    /// The access tokens that exist from the start. If this and the data have none, one is generated.
    pub access_tokens: Vec<AccessToken>,
    /// The number of keys in the first group. Each other group has a different number; if there are
    /// four groups or more, the third is empty.
    pub keys_per_group: usize,
    /// The names of the generated keys and groups.
    pub names: Names,
    /// The present of the generated data, as the time since the Unix epoch: every key was created and
    /// last used before this time. The default is a constant (2026-08-01T00:00:00Z), so that a seed
    /// always gives the same keys. For dates that look recent, set it to the current time; the command
    /// `atlas-model-keys` does so.
    pub present: Duration,
    /// The keys and groups to serve instead of generated ones. Then [`groups`](Self::groups),
    /// [`organizations`](Self::organizations), [`keys_per_group`](Self::keys_per_group) and
    /// [`names`](Self::names) are ignored, and no group is forbidden. Credentials of the data are added to
    /// those above. Data that consists of credentials only leaves the groups generated.
    pub data: Option<Data>,
    /// The time from the issue of an access token to its expiry.
    pub token_ttl: Duration,
    /// The time for which a digest nonce is accepted after it was issued.
    pub nonce_ttl: Duration,
    /// The token bucket of each group, of each organization and of the list of groups. `None` means no
    /// rate limit and no `RateLimit-…` headers.
    pub rate_limit: Option<TokenBucket>,
    /// Whether all groups share one token bucket, instead of one for each group. Each organization and the list of
    /// groups have buckets of their own in both cases. Atlas does not document which groups share a rate limit.
    pub shared_rate_limit: bool,
    /// The versions of the key routes that exist. Any other version gets 406.
    pub versions: Vec<ApiVersion>,
    /// The versions that were withdrawn. They get 410, even if `versions` contains them.
    pub withdrawn: Vec<ApiVersion>,
    /// The deprecated versions. Their pages have the headers `Deprecation` and `Sunset`.
    pub deprecated: Vec<Deprecated>,
    /// The digest algorithms that are offered, with one challenge each, in this order.
    pub digest: Vec<DigestAlgorithm>,
    /// Whether listings contain each key's `secret`, as in Atlas's published example.
    pub include_secrets: bool,
    /// The value of `totalCount` in pages.
    pub total_count: TotalCount,
    /// The start of the `href`s of links, before `/api`. `None` means the host that the request was
    /// sent to. Atlas was observed to name internal hosts here.
    pub link_base: Option<String>,
    /// The number of requests that [`Emulator::seen`](crate::Emulator::seen) keeps, each with at most 10 KiB of text.
    /// The default is 10,000. With 0 none is kept.
    pub seen_limit: usize,
    /// Whether requests for paths below `/_emulator/` control the emulator. They need no credential. See the
    /// README.
    pub control: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            groups: 3,
            group_ids: Vec::new(),
            organizations: 1,
            org_ids: Vec::new(),
            api_keys: Vec::new(),
            service_accounts: Vec::new(),
            access_tokens: Vec::new(),
            keys_per_group: 42,
            names: Names::Plausible,
            present: Duration::from_secs(1_785_542_400),
            data: None,
            token_ttl: Duration::from_secs(3600),
            // Atlas documents only "short". One minute is enough for a page or two, and short
            // enough for a nonce to expire during a long listing.
            nonce_ttl: Duration::from_secs(60),
            rate_limit: Some(TokenBucket::default()),
            shared_rate_limit: false,
            versions: vec![ApiVersion::PREVIEW, ApiVersion::V2025_03_12],
            withdrawn: Vec::new(),
            deprecated: Vec::new(),
            digest: vec![DigestAlgorithm::Md5],
            include_secrets: false,
            total_count: TotalCount::Exact,
            link_base: None,
            seen_limit: 10_000,
            control: false,
        }
    }
}

impl Config {
    setters!(
        with_seed seed u64,
        with_groups groups usize,
        with_group_ids group_ids Vec<GroupId>,
        with_organizations organizations usize,
        with_org_ids org_ids Vec<OrgId>,
        with_keys_per_group keys_per_group usize,
        with_names names Names,
        with_present present Duration,
        with_token_ttl token_ttl Duration,
        with_nonce_ttl nonce_ttl Duration,
        with_shared_rate_limit shared_rate_limit bool,
        with_versions versions Vec<ApiVersion>,
        with_withdrawn withdrawn Vec<ApiVersion>,
        with_deprecated deprecated Vec<Deprecated>,
        with_digest digest Vec<DigestAlgorithm>,
        with_include_secrets include_secrets bool,
        with_total_count total_count TotalCount,
        with_seen_limit seen_limit usize,
        with_control control bool;
        some with_link_base link_base String
    );

    /// Adds an API key that digest authentication accepts.
    ///
    /// ```
    /// use atlas_model_keys_core::GroupId;
    /// use atlas_model_keys_emulator::{ApiKey, Config, Emulator, Role};
    /// let group: GroupId = "69681d39c9e8cfd375386316".parse()?;
    /// let key = ApiKey::new("abcdefgh", "a-private-key").with_roles([Role::GroupReadOnly(group)]);
    /// let emulator = Emulator::new(Config::default().with_group_ids(vec![group]).with_api_key(key));
    /// assert_eq!(emulator.first_group(), group);
    /// assert_eq!(emulator.api_key().public_key, "abcdefgh");
    /// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn with_api_key(mut self, key: ApiKey) -> Self {
        self.api_keys.push(key);
        self
    }

    /// Adds a service account that can request access tokens.
    #[must_use]
    pub fn with_service_account(mut self, account: ServiceAccount) -> Self {
        self.service_accounts.push(account);
        self
    }

    /// Adds an access token that exists from the start.
    #[must_use]
    pub fn with_access_token(mut self, token: AccessToken) -> Self {
        self.access_tokens.push(token);
        self
    }

    /// Sets [`data`](Self::data).
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Option<Data>>) -> Self {
        self.data = data.into();
        self
    }

    /// Sets [`rate_limit`](Self::rate_limit): a token bucket, or `None`.
    #[must_use]
    pub fn with_rate_limit(mut self, rate_limit: impl Into<Option<TokenBucket>>) -> Self {
        self.rate_limit = rate_limit.into();
        self
    }
}

/// The names of generated keys and groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Names {
    /// Names, creators and dates as in the projects of a real team.
    #[default]
    Plausible,
    /// Names that clients must be able to handle: in many scripts, with control characters and
    /// characters that reverse the text, 250 characters long, or the text `null`.
    Hostile,
}

/// The value of `totalCount` in a page. Atlas calls it an estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TotalCount {
    /// The number of items.
    #[default]
    Exact,
    /// `0`, even beside a full page, as if counting were disabled.
    Zero,
    /// The field is missing.
    Absent,
}

/// A version that will be withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deprecated {
    /// The version.
    pub version: ApiVersion,
    /// The time since which clients should not use it, since the Unix epoch.
    pub since: Duration,
    /// The time at which it will be withdrawn, since the Unix epoch.
    pub sunset: Duration,
}

impl Deprecated {
    /// Returns a version with the two times of its headers `Deprecation` and `Sunset`, which have whole
    /// seconds.
    #[must_use]
    pub fn new(version: ApiVersion, since: Duration, sunset: Duration) -> Self {
        Self {
            version,
            since,
            sunset,
        }
    }
}
