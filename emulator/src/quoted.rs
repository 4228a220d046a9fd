//! Texts in errors.

use atlas_model_keys_core::InvalidValue;

/// Quotes, escapes and shortens a text, so that it can be shown in an error. A text that looks like a
/// credential is not shown.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if InvalidValue::looks_like_credential(text) {
        return "[redacted]".to_owned();
    }
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}
