//! The documented fields of a key as columns and as JSON members. The core has the list of the fields.

use std::str::FromStr;

use atlas_model_keys_core::{KeyField, ModelKey, SecretStr};

/// The text that replaces a secret that is not shown.
pub(crate) const MASK: &str = "[redacted]";

/// The columns of a table if none are chosen.
pub(crate) const TABLE: [KeyField; 7] = [
    KeyField::ApiKeyId,
    KeyField::Name,
    KeyField::Status,
    KeyField::CreatedBy,
    KeyField::CreatedAt,
    KeyField::LastUsedAt,
    KeyField::MaskedSecret,
];

/// Returns the heading of a column in a table.
pub(crate) fn heading(field: KeyField) -> &'static str {
    match field {
        KeyField::ApiKeyId => "ID",
        KeyField::Cloud => "CLOUD",
        KeyField::CreatedAt => "CREATED",
        KeyField::CreatedBy => "CREATOR",
        KeyField::Endpoint => "ENDPOINT",
        KeyField::Geography => "GEOGRAPHY",
        KeyField::GroupId => "GROUP ID",
        KeyField::LastUsedAt => "LAST USED",
        KeyField::MaskedSecret => "MASKED",
        KeyField::Name => "NAME",
        KeyField::Secret => "SECRET",
        KeyField::Status => "STATUS",
        other => other.name(),
    }
}

/// Returns whether a key in JSON has the field even if Atlas sent nothing; it is `null` then.
pub(crate) fn is_always_in_json(field: KeyField) -> bool {
    field.is_in_preview() && !field.is_secret()
}

/// Returns the value of a field; a secret is masked unless secrets are shown.
pub(crate) fn value(field: KeyField, key: ModelKey<'_>, show_secrets: bool) -> Option<&str> {
    match key.secret().filter(|_| field.is_secret()) {
        Some(secret) if show_secrets => Some(SecretStr::expose(secret)),
        Some(_) => Some(MASK),
        None => key.field(field),
    }
}

/// A column. Its text form is the name of the field, in any letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column(pub(crate) KeyField);

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let mut all = KeyField::ALL.iter().copied();
        all.find(|field| field.name().eq_ignore_ascii_case(text))
            .map(Self)
            .ok_or_else(|| {
                let known: Vec<_> = KeyField::ALL.iter().map(|field| field.name()).collect();
                let known = known.join(", ");
                format!("there is no column \"{text}\"; the columns are {known}")
            })
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::*;

    #[test]
    fn column_names_are_case_insensitive_and_an_unknown_one_is_named() {
        for field in KeyField::ALL {
            assert_eq!(field.name().to_uppercase().parse(), Ok(Column(*field)));
        }
        let error = "id".parse::<Column>().unwrap_err();
        assert!(
            error.contains("\"id\"") && error.contains("apiKeyId, cloud, "),
            "{error}"
        );
    }

    #[test]
    fn every_field_has_its_own_heading() {
        for field in KeyField::ALL {
            let heading = heading(*field);
            assert!(heading != field.name() && heading == heading.to_uppercase());
        }
    }

    #[test]
    fn secret_is_shown_only_on_demand() {
        let key = OwnedModelKey::default();
        assert_eq!(value(KeyField::Secret, key.as_key(), false), None);
        let key = OwnedModelKey::from_fields([(KeyField::Secret, "hunter2")]);
        let key = key.as_key();
        assert_eq!(value(KeyField::Secret, key, false), Some(MASK));
        assert_eq!(value(KeyField::Secret, key, true), Some("hunter2"));
    }
}
