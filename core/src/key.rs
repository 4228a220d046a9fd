//! One AI model API key, borrowed from a page or owned.

use alloc::string::String;
use core::fmt;

use crate::decode::{Arena, KeyField, KeySpans};
use crate::{Secret, SecretStr, Timestamp};

/// An AI model API key, as a [`Page`](crate::Page) lends it. `Copy`; texts point into the page.
///
/// No field is promised by Atlas: each is `None` where it is absent or null. `status` and what
/// else looks like an enumeration is free text, since unknown values will come.
#[derive(Clone, Copy)]
pub struct ModelKey<'a> {
    pub(crate) text: &'a str,
    pub(crate) arena: &'a Arena,
    pub(crate) spans: &'a KeySpans,
}

impl<'a> ModelKey<'a> {
    fn get(self, field: KeyField) -> Option<&'a str> {
        self.spans.get(field).get(self.text, self.arena)
    }

    /// `apiKeyId`: what names the key. Not of a group id's form.
    #[must_use]
    pub fn api_key_id(self) -> Option<&'a str> {
        self.get(KeyField::ApiKeyId)
    }

    /// `name`: 1 to 250 characters in any script, chosen by a person. May hold control
    /// characters; see [`is_unsafe_to_show`](crate::is_unsafe_to_show).
    #[must_use]
    pub fn name(self) -> Option<&'a str> {
        self.get(KeyField::Name)
    }

    /// `status`: `ACTIVE` is the only value ever seen.
    #[must_use]
    pub fn status(self) -> Option<&'a str> {
        self.get(KeyField::Status)
    }

    /// `createdAt`.
    #[must_use]
    pub fn created_at(self) -> Option<Timestamp<'a>> {
        self.get(KeyField::CreatedAt).map(Timestamp::new)
    }

    /// `createdBy`: a person's or service account's name.
    #[must_use]
    pub fn created_by(self) -> Option<&'a str> {
        self.get(KeyField::CreatedBy)
    }

    /// `lastUsedAt`: `None` until the key is first used.
    #[must_use]
    pub fn last_used_at(self) -> Option<Timestamp<'a>> {
        self.get(KeyField::LastUsedAt).map(Timestamp::new)
    }

    /// `groupId`, as received: compare it with [`GroupId::as_str`](crate::GroupId::as_str).
    #[must_use]
    pub fn group_id(self) -> Option<&'a str> {
        self.get(KeyField::GroupId)
    }

    /// `maskedSecret`, such as `al-****odu2`.
    #[must_use]
    pub fn masked_secret(self) -> Option<&'a str> {
        self.get(KeyField::MaskedSecret)
    }

    /// `secret`: a live credential. A listing should not carry it, yet may.
    #[must_use]
    pub fn secret(self) -> Option<SecretStr<'a>> {
        self.get(KeyField::Secret).map(SecretStr::new)
    }

    /// `cloud` (since 2025-03-12), such as `ANY`.
    #[must_use]
    pub fn cloud(self) -> Option<&'a str> {
        self.get(KeyField::Cloud)
    }

    /// `geography` (since 2025-03-12), such as `ANY`.
    #[must_use]
    pub fn geography(self) -> Option<&'a str> {
        self.get(KeyField::Geography)
    }

    /// `endpoint` (since 2025-03-12), such as `ai.mongodb.com`.
    #[must_use]
    pub fn endpoint(self) -> Option<&'a str> {
        self.get(KeyField::Endpoint)
    }

    /// A copy that does not need the page.
    #[must_use]
    pub fn to_owned(self) -> OwnedModelKey {
        OwnedModelKey {
            api_key_id: self.api_key_id().map(String::from),
            name: self.name().map(String::from),
            status: self.status().map(String::from),
            created_at: self.get(KeyField::CreatedAt).map(String::from),
            created_by: self.created_by().map(String::from),
            last_used_at: self.get(KeyField::LastUsedAt).map(String::from),
            group_id: self.group_id().map(String::from),
            masked_secret: self.masked_secret().map(String::from),
            secret: self.secret().map(SecretStr::to_secret),
            cloud: self.cloud().map(String::from),
            geography: self.geography().map(String::from),
            endpoint: self.endpoint().map(String::from),
        }
    }
}

impl fmt::Debug for ModelKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelKey")
            .field("api_key_id", &self.api_key_id())
            .field("name", &self.name())
            .field("status", &self.status())
            .field("created_at", &self.created_at())
            .field("created_by", &self.created_by())
            .field("last_used_at", &self.last_used_at())
            .field("group_id", &self.group_id())
            .field("masked_secret", &self.masked_secret())
            .field("secret", &self.secret())
            .field("cloud", &self.cloud())
            .field("geography", &self.geography())
            .field("endpoint", &self.endpoint())
            .finish()
    }
}

/// A [`ModelKey`] that owns its texts. The fields have the meaning of the methods there.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OwnedModelKey {
    /// `apiKeyId`.
    pub api_key_id: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `status`.
    pub status: Option<String>,
    /// `createdAt`, as received; see [`Timestamp`].
    pub created_at: Option<String>,
    /// `createdBy`.
    pub created_by: Option<String>,
    /// `lastUsedAt`, as received; see [`Timestamp`].
    pub last_used_at: Option<String>,
    /// `groupId`.
    pub group_id: Option<String>,
    /// `maskedSecret`.
    pub masked_secret: Option<String>,
    /// `secret`.
    pub secret: Option<Secret>,
    /// `cloud`.
    pub cloud: Option<String>,
    /// `geography`.
    pub geography: Option<String>,
    /// `endpoint`.
    pub endpoint: Option<String>,
}

impl OwnedModelKey {
    /// Bytes of memory that it takes, as far as it is known here.
    pub(crate) fn memory(&self) -> usize {
        let texts = [
            &self.api_key_id,
            &self.name,
            &self.status,
            &self.created_at,
            &self.created_by,
            &self.last_used_at,
            &self.group_id,
            &self.masked_secret,
            &self.cloud,
            &self.geography,
            &self.endpoint,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        let secret = self.secret.as_ref().map(|secret| secret.expose().len());
        texts
            .chain(secret)
            .fold(size_of::<Self>(), usize::saturating_add)
    }
}
