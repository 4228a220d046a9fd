//! What an emulator is made from.

use std::time::Duration;

use atlas_model_keys_core::ApiVersion;

use crate::bucket::RateLimit;
use crate::digest::DigestAlgorithm;

/// What an emulator is made from. Every default is what Atlas documents, where it documents it.
///
/// ```
/// use atlas_model_keys_emulator::{Config, Emulator};
/// let emulator = Emulator::new(Config { seed: 7, keys_per_group: 1234, ..Config::default() });
/// assert_eq!(emulator.keys(emulator.first_group()).len(), 1234);
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that looks random comes from here: ids, credentials, names, nonces, tokens.
    pub seed: u64,
    /// How many groups (projects) there are; at least one.
    pub groups: usize,
    /// How many keys the first group has. The others have another number of their own, and of
    /// four groups or more the third is empty.
    pub keys_per_group: usize,
    /// How long an access token lives.
    pub token_ttl: Duration,
    /// How long a digest nonce is accepted after it was issued.
    pub nonce_ttl: Duration,
    /// The token bucket of each group, and of the organization; `None`: no limit and no
    /// `RateLimit-…` headers.
    pub rate_limit: Option<RateLimit>,
    /// The versions of the two key listings that exist; any other is answered with 406.
    pub versions: Vec<ApiVersion>,
    /// The versions that were withdrawn: answered with 410, also where listed in `versions`.
    pub withdrawn: Vec<ApiVersion>,
    /// The versions that are deprecated: their pages say so in `Deprecation` and `Sunset`.
    pub deprecated: Vec<Deprecated>,
    /// The digest algorithms offered, one challenge each, in this order.
    pub digest: Vec<DigestAlgorithm>,
    /// Whether listings carry each key's `secret`, as the published example does.
    pub include_secrets: bool,
    /// What `totalCount` says.
    pub total_count: TotalCount,
    /// What the `href`s of links begin with, before `/api`; `None`: where the request was sent.
    /// Atlas has been seen to name internal hosts here.
    pub link_base: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            groups: 3,
            keys_per_group: 42,
            token_ttl: Duration::from_secs(3600),
            // Atlas says no more than "short": long enough for a page or two, short enough that
            // a long listing sees a nonce expire.
            nonce_ttl: Duration::from_secs(60),
            rate_limit: Some(RateLimit::default()),
            versions: vec![ApiVersion::PREVIEW, ApiVersion::V2025_03_12],
            withdrawn: Vec::new(),
            deprecated: Vec::new(),
            digest: vec![DigestAlgorithm::Md5],
            include_secrets: false,
            total_count: TotalCount::Exact,
            link_base: None,
        }
    }
}

/// What the `totalCount` of a page says. Atlas calls it an estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TotalCount {
    /// The number of items.
    #[default]
    Exact,
    /// `0` beside a full page, as where counting is off.
    Zero,
    /// Not there.
    Absent,
}

/// A version that is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// Which.
    pub version: ApiVersion,
    /// Since when it should not be used any more, in seconds since the Unix epoch.
    pub since: u64,
    /// When it ends, in seconds since the Unix epoch.
    pub sunset: u64,
}
