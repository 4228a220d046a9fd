//! The credentials that the emulator accepts.

use std::collections::HashSet;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::prng::{self, Prng};
use crate::roles::{Role, Roles};

/// One of the three kinds of credentials that the emulator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// An [`ApiKey`], with digest authentication.
    ApiKey,
    /// A [`ServiceAccount`], with access tokens that it requests with its secret.
    ServiceAccount,
    /// An [`AccessToken`], which exists from the start.
    AccessToken,
}

/// Identifies one credential of an emulator. It holds no secret.
///
/// A [`CredentialKind`] becomes the id of the first credential of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CredentialId {
    kind: CredentialKind,
    /// The index among the credentials of this kind.
    index: usize,
}

impl CredentialId {
    pub(crate) fn new(kind: CredentialKind, index: usize) -> Self {
        Self { kind, index }
    }

    /// Returns the kind of the credential.
    #[must_use]
    pub fn kind(self) -> CredentialKind {
        self.kind
    }
}

impl CredentialKind {
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

impl Serialize for CredentialKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<CredentialKind> for CredentialId {
    fn from(kind: CredentialKind) -> Self {
        Self::new(kind, 0)
    }
}

/// An API key, for digest authentication. `Debug` does not show its private key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    /// The user name.
    pub public_key: String,
    /// The password.
    pub private_key: String,
    pub(crate) roles: Roles,
}

/// A service account, for OAuth 2.0. `Debug` does not show its client secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceAccount {
    /// The client id: `mdb_sa_id_…`.
    pub client_id: String,
    /// The client secret: `mdb_sa_sk_…`.
    pub client_secret: String,
    pub(crate) roles: Roles,
}

/// An access token that exists from the start and does not expire. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token.
    pub token: String,
    pub(crate) roles: Roles,
}

/// Implements `with_roles` and a `Debug` that shows only these public fields.
macro_rules! credential {
    ($name:ident $(, $public:ident)?) => {
        impl $name {
            /// Sets the roles. Without this call, the credential has the default roles: `ORG_READ_ONLY` in
            /// every organization, and `GROUP_READ_ONLY` in every group but
            /// [`Emulator::forbidden_group`](crate::Emulator::forbidden_group).
            #[must_use]
            pub fn with_roles(mut self, roles: impl IntoIterator<Item = Role>) -> Self {
                self.roles = Some(roles.into_iter().collect::<HashSet<_>>());
                self
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($public), &self.$public))?
                    .finish_non_exhaustive()
            }
        }
    };
}

credential!(ApiKey, public_key);
credential!(ServiceAccount, client_id);
credential!(AccessToken);

impl ApiKey {
    /// Creates an API key from its public and its private key.
    #[must_use]
    pub fn new(public_key: impl Into<String>, private_key: impl Into<String>) -> Self {
        Self {
            public_key: public_key.into(),
            private_key: private_key.into(),
            roles: None,
        }
    }

    fn generate(seed: u64) -> Self {
        let mut prng = Prng::stream(seed, "api key");
        let mut hex = |length| prng.text(prng::HEX, length);
        let private_key = format!("{}-{}-{}-{}-{}", hex(8), hex(4), hex(4), hex(4), hex(12));
        Self::new(prng.text(prng::LOWER, 8), private_key)
    }
}

impl ServiceAccount {
    /// Creates a service account from its client id and its client secret. An id with a colon cannot be
    /// sent (RFC 7617 §2).
    #[must_use]
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: client_secret.into(),
            roles: None,
        }
    }

    fn generate(seed: u64) -> Self {
        let mut prng = Prng::stream(seed, "service account");
        Self::new(
            format!("mdb_sa_id_{}", prng.text(prng::HEX, 24)),
            format!("mdb_sa_sk_{}", prng.text(prng::BASE64_URL, 40)),
        )
    }
}

impl AccessToken {
    /// Creates an access token.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            token: token.into(),
            roles: None,
        }
    }
}

/// The credentials of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) api_keys: Vec<ApiKey>,
    pub(crate) service_accounts: Vec<ServiceAccount>,
    pub(crate) access_tokens: Vec<AccessToken>,
}

impl Credentials {
    pub(crate) fn len(&self) -> usize {
        self.api_keys.len() + self.service_accounts.len() + self.access_tokens.len()
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.api_keys.append(&mut other.api_keys);
        self.service_accounts.append(&mut other.service_accounts);
        self.access_tokens.append(&mut other.access_tokens);
    }

    /// Generates a credential of each kind that is missing.
    pub(crate) fn complete(&mut self, seed: u64, access_token: impl FnOnce() -> String) {
        if self.api_keys.is_empty() {
            self.api_keys.push(ApiKey::generate(seed));
        }
        if self.service_accounts.is_empty() {
            self.service_accounts.push(ServiceAccount::generate(seed));
        }
        if self.access_tokens.is_empty() {
            self.access_tokens.push(AccessToken::new(access_token()));
        }
    }

    pub(crate) fn ids(&self) -> Vec<CredentialId> {
        [
            (CredentialKind::ApiKey, self.api_keys.len()),
            (CredentialKind::ServiceAccount, self.service_accounts.len()),
            (CredentialKind::AccessToken, self.access_tokens.len()),
        ]
        .into_iter()
        .flat_map(|(kind, count)| (0..count).map(move |index| CredentialId::new(kind, index)))
        .collect()
    }

    /// Returns the first credential with this public key, client id or access token.
    pub(crate) fn find(&self, name: &str) -> Option<CredentialId> {
        let names = self.api_keys.iter().map(|key| &key.public_key);
        let names = names.chain(self.service_accounts.iter().map(|a| &a.client_id));
        let names = names.chain(self.access_tokens.iter().map(|token| &token.token));
        let mut named = names.zip(self.ids()).filter(|(known, _)| *known == name);
        named.next().map(|(_, id)| id)
    }

    /// Returns the public key or the client id. An access token has no such name.
    pub(crate) fn principal(&self, id: CredentialId) -> Option<&str> {
        let CredentialId { kind, index } = id;
        match kind {
            CredentialKind::ApiKey => self.api_keys.get(index).map(|key| &*key.public_key),
            CredentialKind::ServiceAccount => {
                self.service_accounts.get(index).map(|a| &*a.client_id)
            }
            CredentialKind::AccessToken => None,
        }
    }

    /// Returns the private key, the client secret or the access token.
    pub(crate) fn secret(&self, id: CredentialId) -> Option<&str> {
        let CredentialId { kind, index } = id;
        match kind {
            CredentialKind::ApiKey => self.api_keys.get(index).map(|key| &*key.private_key),
            CredentialKind::ServiceAccount => self
                .service_accounts
                .get(index)
                .map(|account| &*account.client_secret),
            CredentialKind::AccessToken => self.access_tokens.get(index).map(|token| &*token.token),
        }
    }

    pub(crate) fn roles_mut(&mut self, id: CredentialId) -> Option<&mut Roles> {
        let CredentialId { kind, index } = id;
        Some(match kind {
            CredentialKind::ApiKey => &mut self.api_keys.get_mut(index)?.roles,
            CredentialKind::ServiceAccount => &mut self.service_accounts.get_mut(index)?.roles,
            CredentialKind::AccessToken => &mut self.access_tokens.get_mut(index)?.roles,
        })
    }

    pub(crate) fn roles(&self, id: CredentialId) -> &Roles {
        let CredentialId { kind, index } = id;
        let roles = match kind {
            CredentialKind::ApiKey => self.api_keys.get(index).map(|key| &key.roles),
            CredentialKind::ServiceAccount => self.service_accounts.get(index).map(|a| &a.roles),
            CredentialKind::AccessToken => self.access_tokens.get(index).map(|token| &token.roles),
        };
        // Every caller has a credential.
        roles.unwrap_or(&None)
    }
}
