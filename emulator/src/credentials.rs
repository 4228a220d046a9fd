//! The credentials that the emulator accepts.

use serde::{Serialize, Serializer};

use crate::prng::{self, Prng};

/// One of the three kinds of credentials that the emulator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// The [`ApiKey`], with digest authentication.
    ApiKey,
    /// The [`ServiceAccount`], with access tokens that it requests with its secret.
    ServiceAccount,
    /// The access token that exists from the start.
    AccessToken,
}

impl Credential {
    pub(crate) const ALL: [Self; 3] = [Self::ApiKey, Self::ServiceAccount, Self::AccessToken];

    /// Returns the name in JSON: `apiKey`, `serviceAccount` or `accessToken`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "apiKey",
            Self::ServiceAccount => "serviceAccount",
            Self::AccessToken => "accessToken",
        }
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An API key, for digest authentication.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ApiKey {
    /// The user name.
    pub public_key: String,
    /// The password.
    pub private_key: String,
}

/// A service account, for OAuth 2.0.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceAccount {
    /// The client id: `mdb_sa_id_…`.
    pub client_id: String,
    /// The client secret: `mdb_sa_sk_…`.
    pub client_secret: String,
}

impl ApiKey {
    pub(crate) fn generate(seed: u64) -> Self {
        let mut prng = Prng::stream(seed, "api key");
        let mut hex = |length| prng.text(prng::HEX, length);
        let private_key = format!("{}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12));
        Self {
            public_key: prng.text(prng::LOWER, 8),
            private_key,
        }
    }
}

impl ServiceAccount {
    pub(crate) fn generate(seed: u64) -> Self {
        let mut prng = Prng::stream(seed, "service account");
        Self {
            client_id: format!("mdb_sa_id_{}", prng.text(prng::HEX, 24)),
            client_secret: format!("mdb_sa_sk_{}", prng.text(prng::BASE64_URL, 40)),
        }
    }
}
