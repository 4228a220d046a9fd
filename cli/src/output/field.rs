//! The documented fields of a key, as columns and as JSON.

use std::str::FromStr;

use atlas_model_keys_core::{OwnedModelKey, Secret};

/// What is written for a secret that is not to be seen.
pub(crate) const MASK: &str = "[redacted]";

/// A documented field of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    ApiKeyId,
    Cloud,
    CreatedAt,
    CreatedBy,
    Endpoint,
    Geography,
    GroupId,
    LastUsedAt,
    MaskedSecret,
    Name,
    Secret,
    Status,
}

impl Field {
    /// In alphabetical order, as Atlas writes them.
    pub(crate) const ALL: [Self; 12] = [
        Self::ApiKeyId,
        Self::Cloud,
        Self::CreatedAt,
        Self::CreatedBy,
        Self::Endpoint,
        Self::Geography,
        Self::GroupId,
        Self::LastUsedAt,
        Self::MaskedSecret,
        Self::Name,
        Self::Secret,
        Self::Status,
    ];

    /// The columns of a table where nobody chose any.
    pub(crate) const TABLE: [Self; 7] = [
        Self::ApiKeyId,
        Self::Name,
        Self::Status,
        Self::CreatedBy,
        Self::CreatedAt,
        Self::LastUsedAt,
        Self::MaskedSecret,
    ];

    /// Atlas's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiKeyId => "apiKeyId",
            Self::Cloud => "cloud",
            Self::CreatedAt => "createdAt",
            Self::CreatedBy => "createdBy",
            Self::Endpoint => "endpoint",
            Self::Geography => "geography",
            Self::GroupId => "groupId",
            Self::LastUsedAt => "lastUsedAt",
            Self::MaskedSecret => "maskedSecret",
            Self::Name => "name",
            Self::Secret => "secret",
            Self::Status => "status",
        }
    }

    /// What stands above it in a table.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::ApiKeyId => "ID",
            Self::Cloud => "CLOUD",
            Self::CreatedAt => "CREATED",
            Self::CreatedBy => "CREATOR",
            Self::Endpoint => "ENDPOINT",
            Self::Geography => "GEOGRAPHY",
            Self::GroupId => "GROUP ID",
            Self::LastUsedAt => "LAST USED",
            Self::MaskedSecret => "MASKED",
            Self::Name => "NAME",
            Self::Secret => "SECRET",
            Self::Status => "STATUS",
        }
    }

    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::CreatedAt | Self::LastUsedAt)
    }

    /// Whether a JSON key has it even where Atlas sent nothing: then it is `null`.
    pub(crate) fn is_always_in_json(self) -> bool {
        !matches!(
            self,
            Self::Cloud | Self::Endpoint | Self::Geography | Self::Secret
        )
    }

    /// The value; a secret as it is only where it is to be seen.
    pub(crate) fn of(self, key: &OwnedModelKey, show_secrets: bool) -> Option<&str> {
        match self {
            Self::ApiKeyId => key.api_key_id.as_deref(),
            Self::Cloud => key.cloud.as_deref(),
            Self::CreatedAt => key.created_at.as_deref(),
            Self::CreatedBy => key.created_by.as_deref(),
            Self::Endpoint => key.endpoint.as_deref(),
            Self::Geography => key.geography.as_deref(),
            Self::GroupId => key.group_id.as_deref(),
            Self::LastUsedAt => key.last_used_at.as_deref(),
            Self::MaskedSecret => key.masked_secret.as_deref(),
            Self::Name => key.name.as_deref(),
            Self::Secret if show_secrets => key.secret.as_ref().map(Secret::expose),
            Self::Secret => key.secret.as_ref().map(|_| MASK),
            Self::Status => key.status.as_deref(),
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Self::ALL
            .into_iter()
            .find(|field| field.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                format!("there is no column \"{text}\"; the columns are {known}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_insensitive_and_unknown_ones_are_named() {
        for field in Field::ALL {
            assert_eq!(field.name().to_uppercase().parse(), Ok(field));
        }
        let error = "id".parse::<Field>().unwrap_err();
        assert!(
            error.contains("\"id\"") && error.contains("apiKeyId, cloud, "),
            "{error}"
        );
    }

    #[test]
    fn json_order_is_alphabetical() {
        assert!(Field::ALL.map(Field::name).is_sorted());
    }

    #[test]
    fn a_secret_comes_out_only_on_demand() {
        let mut key = OwnedModelKey::default();
        assert_eq!(Field::Secret.of(&key, false), None);
        key.secret = Some(Secret::new("hunter2"));
        assert_eq!(Field::Secret.of(&key, false), Some(MASK));
        assert_eq!(Field::Secret.of(&key, true), Some("hunter2"));
    }
}
