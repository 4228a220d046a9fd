//! Checks of text that users see: error messages and `Debug` output must be safe and contain no secret.

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display, Write as _};

use atlas_model_keys_core::Error;

use crate::oracles::unicode::has_unsafe;

/// Shows `Display` and `Debug` of an error and of all its sources.
pub(crate) struct ErrorText<'e>(pub(crate) &'e (dyn StdError + 'static));

impl Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:?}", self.0, self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, "\n{source}\n{source:?}")?;
            next = source.source();
        }
        Ok(())
    }
}

/// Asserts that an error's message is one bounded line, safe for a terminal, that does not repeat its source.
pub(crate) fn assert_one_line(error: &Error) {
    let line = error.to_string();
    assert!(!line.is_empty() && !has_unsafe(&line), "{line:?}");
    // At most three texts and 16 fields of two texts each, of 1 KiB (plus the escape that crosses the
    // limit), and the words around them.
    assert!(line.len() < 40 * (1024 + 16), "{} bytes", line.len());
    if let Some(source) = error.source() {
        assert!(!line.contains(&source.to_string()), "{line:?}");
    }
    // The other accessors never panic, and agree with each other.
    let api_error = error.api_error();
    assert_eq!(error.status(), api_error.map(|api_error| api_error.status));
    assert_eq!(
        error.error_code(),
        api_error.and_then(|api_error| api_error.error_code.as_deref())
    );
    if error.is_retryable() {
        assert!(!matches!(error, Error::Invalid(_) | Error::Limit { .. }));
    }
    let _ = error.retry_after();
}

/// Returns the beginning of a secret: redaction recognises a part of at least this length (12 characters).
pub(crate) fn beginning(secret: &str) -> String {
    secret.chars().take(12).collect()
}

/// Asserts that a text contains none of the secrets, nor the beginning of one.
pub(crate) fn assert_no_secret<S: AsRef<str>>(shown: &str, secrets: &[S]) {
    for secret in secrets {
        let secret = secret.as_ref();
        let beginning = beginning(secret);
        assert!(
            !shown.contains(&beginning),
            "the secret {secret:?} is in {shown}"
        );
    }
}

/// Asserts that `Debug` of a value contains none of the secrets, nor the beginning of one.
pub(crate) fn assert_debug_has_no_secret<S: AsRef<str>>(value: &dyn Debug, secrets: &[S]) {
    assert_no_secret(&format!("{value:?}"), secrets);
}

/// Asserts that `Display` of a value contains no character that a terminal would interpret.
pub(crate) fn assert_safe(value: &dyn Display) {
    struct Safe;
    impl fmt::Write for Safe {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            assert!(!has_unsafe(part), "{part:?}");
            Ok(())
        }
    }
    let _ = write!(Safe, "{value}");
}

/// Returns whether a value is shown as a text. Unlike `to_string`, it allocates nothing.
pub(crate) fn is(value: &dyn Display, text: &str) -> bool {
    struct Rest<'t>(&'t str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}
