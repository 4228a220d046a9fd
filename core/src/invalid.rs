//! The error for invalid values, and the test for texts that look like credentials.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::secret::REDACTED;
use crate::text;

/// The error for a value that breaks a rule of the protocol. Nothing was sent.
///
/// The text names the parameter, the value (shortened, with control characters escaped), and the rule with the
/// way out. It omits the value if the parameter is a secret, and shows `[redacted]` if the value
/// [looks like a credential](InvalidValue::looks_like_credential), because credentials are often pasted
/// into the wrong place.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidValue {
    parameter: &'static str,
    value: Option<String>,
    rule: &'static str,
}

/// The number of bytes of a refused value that an error repeats, enough to recognise it.
const SHOWN_BYTES: usize = 80;

impl InvalidValue {
    pub(crate) fn new(parameter: &'static str, value: &str, rule: &'static str) -> Self {
        let value = if Self::looks_like_credential(value) {
            String::from(REDACTED)
        } else {
            text::escaped(value, SHOWN_BYTES)
        };
        Self {
            parameter,
            value: Some(value),
            rule,
        }
    }

    /// Creates an error that does not repeat the value, because it may be a secret or because the rule says enough.
    pub(crate) fn without_value(parameter: &'static str, rule: &'static str) -> Self {
        Self {
            parameter,
            value: None,
            rule,
        }
    }

    /// Returns whether a text looks like a credential or contains one. Errors and logs should not repeat
    /// such a text.
    ///
    /// These forms are recognised anywhere in the text:
    ///
    /// - a service account's client secret (`mdb_sa_sk_…`), and a client id (`mdb_sa_id_…`) with other text
    ///   before or after it;
    /// - an API key's private key (in the form of a UUID);
    /// - a JSON Web Token (`eyJ…`), and any text with `Bearer` or `Basic`;
    /// - the secret of a model API key (`al-…`, unless it is masked);
    /// - a user and a password before a host (`https://user:password@host`);
    /// - any word of 32 characters or more with lower-case letters, capitals and digits.
    ///
    /// Passwords of other forms are not recognised.
    ///
    /// ```
    /// use atlas_model_keys_core::InvalidValue;
    /// assert!(InvalidValue::looks_like_credential("https://me:hunter2@proxy.example"));
    /// assert!(!InvalidValue::looks_like_credential("69681d39c9e8cfd375386316"));
    /// ```
    #[must_use]
    pub fn looks_like_credential(text: &str) -> bool {
        holds_client_secret(text)
            || holds_private_key(text)
            || (text.contains(CLIENT_ID) && !is_client_id(text))
            || text.split(|c| !is_word(c)).any(is_secret_word)
            || has_scheme(text, "bearer ")
            || has_scheme(text, "basic ")
            || text
                .rsplit_once('@')
                .is_some_and(|(before, _)| before.contains(':'))
    }

    /// Returns the name of the parameter, as Atlas spells it.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        self.parameter
    }

    /// Returns the rule that the value breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// The beginning of a service account's client id.
pub(crate) const CLIENT_ID: &str = "mdb_sa_id_";
/// The beginning of a service account's client secret.
const CLIENT_SECRET: &str = "mdb_sa_sk_";

/// The digits of a client id after [`CLIENT_ID`]. A longer text has something appended.
const CLIENT_ID_DIGITS: usize = 24;

/// The minimum number of characters after `al-` in a model API key's secret. Real ones are longer.
const MODEL_KEY_MIN_LENGTH: usize = 12;

/// The minimum length of a word with lower-case letters, capitals and digits that is taken for a secret.
const SECRET_WORD_LENGTH: usize = 32;

/// The length of a UUID, which is the form of an API key's private key.
const UUID_LENGTH: usize = 36;

pub(crate) fn holds_client_secret(text: &str) -> bool {
    text.contains(CLIENT_SECRET)
}

fn is_client_id(text: &str) -> bool {
    text.strip_prefix(CLIENT_ID).is_some_and(|digits| {
        digits.len() <= CLIENT_ID_DIGITS && digits.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Returns whether the text contains an API key's private key: hexadecimal digits in the form of a UUID.
pub(crate) fn holds_private_key(text: &str) -> bool {
    let is_digit = |b: &u8| b.is_ascii_hexdigit() || *b == b'-';
    // Most texts and most parts of a text are shorter than a UUID, so they need no list.
    if text.len() < UUID_LENGTH {
        return false;
    }
    let parts = text.as_bytes().split(|b| !is_digit(b));
    let mut long = parts.filter(|part| part.len() >= UUID_LENGTH);
    long.any(|digits| {
        let lengths: Vec<usize> = digits.split(|b| *b == b'-').map(<[u8]>::len).collect();
        lengths.windows(5).any(|five| five == [8, 4, 4, 4, 12])
    })
}

/// Returns whether the text begins like a JSON Web Token, such as an access token of Atlas: with the Base64 form
/// of `{"`.
pub(crate) fn is_json_web_token(text: &str) -> bool {
    text.starts_with("eyJ")
}

pub(crate) fn is_model_key(text: &str) -> bool {
    text.strip_prefix("al-")
        .is_some_and(|rest| rest.len() >= MODEL_KEY_MIN_LENGTH && rest.chars().all(is_word))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_secret_word(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    is_json_web_token(word)
        || is_model_key(word)
        || (word.len() >= SECRET_WORD_LENGTH
            && has(u8::is_ascii_lowercase)
            && has(u8::is_ascii_uppercase)
            && has(u8::is_ascii_digit))
}

/// Returns whether the text contains the name of an authentication scheme, in any letter case.
fn has_scheme(text: &str, scheme: &str) -> bool {
    text.as_bytes()
        .windows(scheme.len())
        .any(|window| window.eq_ignore_ascii_case(scheme.as_bytes()))
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parameter)?;
        if let Some(value) = &self.value {
            write!(f, " \"{value}\"")?;
        }
        write!(f, " is not valid: {}", self.rule)
    }
}

impl fmt::Debug for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidValue({self})")
    }
}

impl core::error::Error for InvalidValue {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn value_that_looks_like_a_credential_is_redacted() {
        for value in [
            "mdb_sa_sk_hunter2",
            "MONGODB_ATLAS_CLIENT_SECRET=mdb_sa_sk_hunter2",
            "mdb_sa_id_0123:hunter2",
            "mdb_sa_id_0123 hunter2",
            "mdb_sa_id_0123456789abcdef01234567hunter2",
            "hunter2mdb_sa_id_0123",
            "80fc9fb3-a1f0-e14b-e801-7e68925321cf",
            "hunter2 80fc9fb3-a1f0-e14b-e801-7e68925321cf",
            "--80fc9fb3-a1f0-e14b-e801-7e68925321cf-hunter2",
            "eyJhbGciOiJIUzI1NiJ9.hunter2",
            "token=eyJhunter2",
            "bearer hunter2",
            "Authorization: Basic hunter2",
            "al-hunter2hunter2",
            "https://me:hunter2@atlas.example",
            "me:hunter2@atlas.example",
            "https://hunter2@atlas.example",
            "hunter2Xhunter2Xhunter2Xhunter2X",
        ] {
            let error = InvalidValue::new("groupId", value, "it is short");
            assert_eq!(
                format!("{error}"),
                "groupId \"[redacted]\" is not valid: it is short",
                "{value}"
            );
            assert!(!format!("{error:?}").contains("hunter2"), "{value}");
        }
    }

    #[test]
    fn other_values_are_repeated() {
        for value in [
            "",
            "69681D39C9E8CFD375386316",
            "mdb_sa_id_0123456789abcdef01234567",
            "al-****odu2",
            "al-khobar",
            "https://al-khobar.example:8443/atlas",
            "someone@atlas.example",
            "2025-03-12T00:00:00Z",
            "a-project-with-a-long-and-speaking-name",
            "my-service/1.0 (a User-Agent)",
        ] {
            let error = InvalidValue::new("groupId", value, "it is short");
            assert!(
                format!("{error}").contains(&format!("\"{value}\"")),
                "{error}"
            );
        }
    }
}
