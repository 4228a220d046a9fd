//! What may be shown: of errors, and of everything that has `Debug`.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};

use atlas_model_keys_core::{Error, is_unsafe_to_show};

/// Everything that an error shows of itself and of what is behind it.
pub(crate) fn of_error(error: &(dyn StdError + 'static)) -> String {
    let mut shown = format!("{error}\n{error:?}");
    let mut next = error.source();
    while let Some(source) = next {
        shown += &format!("\n{source}\n{source:?}");
        next = source.source();
    }
    shown
}

/// An error's line is one line, fit for a terminal, bounded, and does not repeat its source.
pub(crate) fn is_one_line(error: &Error) {
    let line = error.to_string();
    assert!(
        !line.is_empty() && !line.chars().any(is_unsafe_to_show),
        "{line:?}"
    );
    // At most: three texts, and 16 fields of two texts each, of 1 KiB (which the escape that crosses the
    // limit may exceed), and what is said around them.
    assert!(line.len() < 40 * (1024 + 16), "{} bytes", line.len());
    if let Some(source) = error.source() {
        assert!(!line.contains(&source.to_string()), "{line:?}");
    }
    // What else an error can be asked never panics, and never contradicts.
    let answer = error.api_error();
    assert_eq!(error.status(), answer.map(|answer| answer.status));
    assert_eq!(
        error.error_code(),
        answer.and_then(|answer| answer.error_code.as_deref())
    );
    if error.is_retryable() {
        assert!(!matches!(error, Error::Invalid(_) | Error::Limit { .. }));
    }
    let _ = error.retry_after();
}

/// So much of a secret is recognised where a server repeats a part.
pub(crate) fn beginning(secret: &str) -> String {
    secret.chars().take(12).collect()
}

/// Nothing that is shown of it has any of the secrets, nor the beginning of one.
pub(crate) fn no_secret<S: AsRef<str>>(shown: &str, secrets: &[S]) {
    for secret in secrets {
        let secret = secret.as_ref();
        let beginning = beginning(secret);
        assert!(!shown.contains(&beginning), "{secret:?} is in {shown}");
    }
}

/// The same for a value.
pub(crate) fn debug_has_no_secret<S: AsRef<str>>(value: &dyn Debug, secrets: &[S]) {
    no_secret(&format!("{value:?}"), secrets);
}

/// A value's own line has nothing that a terminal would act on.
pub(crate) fn is_safe(value: &dyn Display) {
    let line = value.to_string();
    assert!(!line.chars().any(is_unsafe_to_show), "{line:?}");
}
