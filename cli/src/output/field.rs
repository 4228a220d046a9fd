//! The values of the documented fields of a key. The core has the list of the fields.

use atlas_model_keys_core::{KeyField, ModelKey, SecretStr};

/// The text that replaces a secret that is not shown.
pub(crate) const MASK: &str = "[redacted]";

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

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::*;

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
