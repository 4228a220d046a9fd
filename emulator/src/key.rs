//! A key of the emulated Atlas.

use std::fmt;

use crate::setters::setters;

/// A key, with the fields that Atlas documents. A response omits a field that is `None`, except that
/// `2025-03-12` writes `lastUsedAt` and `secret` as `null` then.
///
/// ```
/// use atlas_model_keys_emulator::Key;
/// let key = Key::default().with_name("Staging");
/// assert_eq!(key.api_key_id, None);
/// assert!(!format!("{:?}", key.with_secret("al-hunter2")).contains("hunter2"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Key {
    /// `apiKeyId`: 24 lower-case letters and digits, not a hexadecimal number.
    pub api_key_id: Option<String>,
    /// `cloud`, only in `2025-03-12`.
    pub cloud: Option<String>,
    /// `createdAt`
    pub created_at: Option<String>,
    /// `createdBy`
    pub created_by: Option<String>,
    /// `endpoint`, only in `2025-03-12`.
    pub endpoint: Option<String>,
    /// `geography`, only in `2025-03-12`.
    pub geography: Option<String>,
    /// `groupId`
    pub group_id: Option<String>,
    /// `lastUsedAt`; `None` for a key that was never used.
    pub last_used_at: Option<String>,
    /// `maskedSecret`
    pub masked_secret: Option<String>,
    /// `name`
    pub name: Option<String>,
    /// `secret`, listed only with [`Config::include_secrets`](crate::Config::include_secrets).
    pub secret: Option<String>,
    /// `status`
    pub status: Option<String>,
}

impl Key {
    setters!(;
        some
        with_api_key_id api_key_id String,
        with_cloud cloud String,
        with_created_at created_at String,
        with_created_by created_by String,
        with_endpoint endpoint String,
        with_geography geography String,
        with_group_id group_id String,
        with_last_used_at last_used_at String,
        with_masked_secret masked_secret String,
        with_name name String,
        with_secret secret String,
        with_status status String
    );
}

/// Does not show the secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.secret.as_ref().map(|_| "[redacted]");
        f.debug_struct("Key")
            .field("api_key_id", &self.api_key_id)
            .field("cloud", &self.cloud)
            .field("created_at", &self.created_at)
            .field("created_by", &self.created_by)
            .field("endpoint", &self.endpoint)
            .field("geography", &self.geography)
            .field("group_id", &self.group_id)
            .field("last_used_at", &self.last_used_at)
            .field("masked_secret", &self.masked_secret)
            .field("name", &self.name)
            .field("secret", &secret)
            .field("status", &self.status)
            .finish()
    }
}
