//! The credentials of a session, and the checks that find values pasted in the wrong place.

use alloc::string::String;
use core::fmt;

use crate::invalid::{
    CLIENT_ID, holds_client_secret, holds_private_key, is_json_web_token, is_model_key,
};
use crate::{InvalidValue, Secret, is_unsafe_to_show};

/// The credentials for Atlas: an access token, a service account, or an API key.
///
/// `Debug` shows only the public part (a client id or a public key).
///
/// # Slips
///
/// Some values can only lead to a misleading 401. They are refused at once, by an error that says what was
/// found and does not repeat it:
///
/// - a value with quotation marks, spaces, line ends or invisible characters around it;
/// - a variable that was not expanded (`$NAME`, `${NAME}`, `%NAME%`);
/// - a credential of another kind, such as an API key's public key instead of a client id.
///
/// ```
/// use atlas_model_keys_core::Credentials;
/// let error = Credentials::service_account("abcdefgh", "mdb_sa_sk_hunter2").unwrap_err();
/// assert!(error.to_string().starts_with("client id is not valid: this is an API key's public key"));
/// ```
#[derive(Clone)]
pub struct Credentials(pub(crate) CredentialKind);

#[derive(Clone)]
pub(crate) enum CredentialKind {
    Bearer(Secret),
    ServiceAccount { id: String, secret: Secret },
    ApiKey { public: String, private: Secret },
}

impl Credentials {
    /// Creates credentials from an OAuth access token. It is used unchanged, and never renewed.
    ///
    /// # Errors
    /// Fails if the token is empty, has characters that RFC 6750 §2.1 does not allow, or is a
    /// [slip](Credentials#slips).
    pub fn bearer(token: impl Into<Secret>) -> Result<Self, InvalidValue> {
        const PARAMETER: &str = "access token";
        let token = token.into();
        check(PARAMETER, token.expose(), &[MisplacedKind::Account])?;
        let unpadded = token.expose().trim_end_matches('=');
        let is_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if unpadded.is_empty() || !unpadded.bytes().all(is_char) {
            return Err(InvalidValue::without_value(
                PARAMETER,
                "it must be the bare token: letters, digits and -._~+/ (no \"Bearer \", \
                 quotes, spaces or line end)",
            ));
        }
        Ok(Self(CredentialKind::Bearer(token)))
    }

    /// Creates credentials from a service account's client id (`mdb_sa_id_…`) and client secret
    /// (`mdb_sa_sk_…`).
    ///
    /// # Errors
    /// Fails if a part is empty or is not visible ASCII, or if the id has a colon: a token request cannot carry
    /// those (RFC 6749 §2.3.1, RFC 7617 §2). Fails also for a [slip](Credentials#slips).
    pub fn service_account(
        id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Result<Self, InvalidValue> {
        const ID: &str = "client id";
        const SECRET: &str = "client secret";
        let (id, secret) = (id.into(), secret.into());
        if holds_a_secret(&id) {
            return Err(InvalidValue::without_value(
                ID,
                "it is, or holds, a secret: give the id (mdb_sa_id_…) and the secret (mdb_sa_sk_…) \
                 separately, each in its place",
            ));
        }
        check(ID, &id, &[MisplacedKind::PublicKey, MisplacedKind::Token])?;
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic()) {
            // Here and below, the value is not repeated: it may be the secret in the wrong place.
            return Err(InvalidValue::without_value(
                ID,
                "a service account's client id must be visible ASCII such as mdb_sa_id_0123456789abcdef \
                 (no spaces, no line end)",
            ));
        }
        check(
            SECRET,
            secret.expose(),
            &[
                MisplacedKind::ClientId,
                MisplacedKind::PrivateKey,
                MisplacedKind::Token,
            ],
        )?;
        if !is_visible(secret.expose()) {
            return Err(InvalidValue::without_value(
                SECRET,
                "a service account's client secret must be visible ASCII such as mdb_sa_sk_… \
                 (no spaces, no line end)",
            ));
        }
        Ok(Self(CredentialKind::ServiceAccount { id, secret }))
    }

    /// Creates credentials from a programmatic API key's public and private key, for HTTP Digest.
    ///
    /// # Errors
    /// Fails if a key is empty, has control characters, or is a [slip](Credentials#slips).
    pub fn api_key(
        public: impl Into<String>,
        private: impl Into<Secret>,
    ) -> Result<Self, InvalidValue> {
        const PUBLIC: &str = "public key";
        const PRIVATE: &str = "private key";
        let (public, private) = (public.into(), private.into());
        if holds_a_secret(&public) {
            return Err(InvalidValue::without_value(
                PUBLIC,
                "it is, or holds, a secret: give the public key (such as abcdefgh) and the private key \
                 (such as 01234567-89ab-…) separately, each in its place",
            ));
        }
        if public.starts_with(CLIENT_ID) {
            return Err(InvalidValue::new(
                PUBLIC,
                &public,
                "this is a service account's client id: give it and its secret as a service \
                 account, not as an API key",
            ));
        }
        check(PUBLIC, &public, &[MisplacedKind::Token])?;
        if public.is_empty() || public.chars().any(char::is_control) {
            return Err(InvalidValue::without_value(
                PUBLIC,
                "an API key's public key must be a short text such as abcdefgh (no line end)",
            ));
        }
        check(
            PRIVATE,
            private.expose(),
            &[MisplacedKind::Account, MisplacedKind::Token],
        )?;
        if private.expose().is_empty() || private.expose().chars().any(char::is_control) {
            return Err(InvalidValue::without_value(
                PRIVATE,
                "an API key's private key must be a text such as 01234567-89ab-cdef-0123-456789abcdef \
                 (no line end)",
            ));
        }
        if private.expose() == public && MisplacedKind::PublicKey.matches(&public) {
            return Err(InvalidValue::without_value(
                PRIVATE,
                "it is the public key again: give the private key, which Atlas shows only when the API key is created",
            ));
        }
        Ok(Self(CredentialKind::ApiKey { public, private }))
    }
}

/// The kinds of credentials that may be given in the wrong place.
#[derive(Clone, Copy)]
enum MisplacedKind {
    ClientId,
    /// A service account's client id or client secret.
    Account,
    PublicKey,
    PrivateKey,
    Token,
}

impl MisplacedKind {
    fn matches(self, text: &str) -> bool {
        match self {
            Self::ClientId => text.starts_with(CLIENT_ID),
            Self::Account => text.starts_with(CLIENT_ID) || holds_client_secret(text),
            // All public keys that Atlas creates have this form.
            Self::PublicKey => text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase()),
            Self::PrivateKey => holds_private_key(text),
            Self::Token => is_json_web_token(text),
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::ClientId => {
                "this is a client id (mdb_sa_id_…): give the client secret (mdb_sa_sk_…), which Atlas \
                 shows only when it is created"
            }
            Self::Account => {
                "this is a service account's client id or client secret (mdb_sa_…): give both of them \
                 as a service account"
            }
            Self::PublicKey => {
                "this is an API key's public key: give it and its private key as an API key, not as a \
                 service account"
            }
            Self::PrivateKey => {
                "this is an API key's private key: give it and its public key as an API key"
            }
            Self::Token => "this is an access token (eyJ…): give it alone, as an access token",
        }
    }
}

/// Refuses slips. The errors say what was found, and do not repeat the value.
fn check(
    parameter: &'static str,
    text: &str,
    others: &[MisplacedKind],
) -> Result<(), InvalidValue> {
    if is_unexpanded(text) {
        const RULE: &str = "it is the name of a variable, not its value: use double quotes in a shell (single quotes \
                            prevent expansion), or write the value itself into a file";
        // Names of variables are usually capitals. Anything else may be a part of a secret.
        let name = text.trim_matches(['$', '{', '}', '%']);
        let is_usual = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        return Err(if name.chars().all(is_usual) {
            InvalidValue::new(parameter, text, RULE)
        } else {
            InvalidValue::without_value(parameter, RULE)
        });
    }
    let other = || {
        if is_model_key(text) {
            return Some("this is the secret of a model API key (al-…), which cannot list keys");
        }
        let other = others.iter().find(|form| form.matches(text))?;
        Some(other.rule())
    };
    match stray_at_edge(text).or_else(other) {
        Some(rule) => Err(InvalidValue::without_value(parameter, rule)),
        None => Ok(()),
    }
}

/// Returns whether the text is `$NAME` or `%NAME%` (Windows), or begins with `${` or `$(`.
fn is_unexpanded(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match text.strip_prefix('$') {
        Some(rest) => rest.starts_with(['{', '(']) || is_name(rest),
        None => text
            .strip_prefix('%')
            .and_then(|rest| rest.strip_suffix('%'))
            .is_some_and(is_name),
    }
}

/// Returns the rule about a stray character at the beginning or end of a value.
fn stray_at_edge(text: &str) -> Option<&'static str> {
    let begins = text
        .chars()
        .next()
        .and_then(stray)
        .map(|(begins, _)| begins);
    begins.or_else(|| {
        let (_, ends) = text.chars().next_back().and_then(stray)?;
        Some(ends)
    })
}

macro_rules! begins_or_ends_with {
    ($what:literal) => {
        Some((
            concat!("it begins with ", $what, ": give the value without it"),
            concat!("it ends with ", $what, ": give the value without it"),
        ))
    };
}

/// Returns what an error says about a character that no credential begins or ends with: the texts for the beginning
/// and the end.
fn stray(c: char) -> Option<(&'static str, &'static str)> {
    match c {
        c if is_quote(c) => begins_or_ends_with!("a quotation mark"),
        '\n' | '\r' => begins_or_ends_with!("a line end"),
        '\t' => begins_or_ends_with!("a tab"),
        ' ' => begins_or_ends_with!("a space"),
        '\u{a0}' => begins_or_ends_with!("a no-break space (U+00A0)"),
        '\u{200b}' => begins_or_ends_with!("a zero-width space (U+200B)"),
        '\u{feff}' => begins_or_ends_with!("a byte order mark (U+FEFF)"),
        c if c.is_whitespace() || is_unsafe_to_show(c) => {
            begins_or_ends_with!("an invisible character")
        }
        _ => None,
    }
}

/// Returns whether it is a quotation mark, straight or as word processors and web pages change it.
fn is_quote(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' | '«' | '»' | '´'
    )
}

/// Returns whether a public part holds a secret, which would be sent and shown. It happens when both parts are
/// pasted together (as in `curl --user id:secret`) or confused.
fn holds_a_secret(public: &str) -> bool {
    public.contains(':') || holds_client_secret(public) || holds_private_key(public)
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CredentialKind::Bearer(_) => f.write_str("Credentials::bearer([redacted])"),
            CredentialKind::ServiceAccount { id, .. } => {
                write!(f, "Credentials::service_account({id:?}, [redacted])")
            }
            CredentialKind::ApiKey { public, .. } => {
                write!(f, "Credentials::api_key({public:?}, [redacted])")
            }
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn common_slips_are_named_without_repeating_secrets() {
        let refused = [
            Credentials::bearer("Bearer hunter2").unwrap_err(),
            Credentials::bearer("hunter2\n").unwrap_err(),
            Credentials::bearer("").unwrap_err(),
            Credentials::bearer("==").unwrap_err(),
            Credentials::service_account("", "hunter2").unwrap_err(),
            Credentials::service_account("mdb_sa_id_a:b", "hunter2").unwrap_err(),
            Credentials::service_account("mdb_sa_id_a", "hunter2\r\n").unwrap_err(),
            Credentials::service_account("mdb_sa_id_a:mdb_sa_sk_hunter2", "x").unwrap_err(),
            Credentials::service_account("mdb_sa_sk_hunter2", "x").unwrap_err(),
            Credentials::api_key("abcdefgh:hunter2", "x").unwrap_err(),
            Credentials::api_key("mdb_sa_sk_hunter2", "x").unwrap_err(),
            Credentials::api_key("mdb_sa_id_a mdb_sa_sk_hunter2", "x").unwrap_err(),
            Credentials::service_account("mdb_sa_id_a,mdb_sa_sk_hunter2", "x").unwrap_err(),
            Credentials::api_key("hunter2\n", "x").unwrap_err(),
            Credentials::service_account("hunter2\n", "x").unwrap_err(),
            Credentials::api_key("", "hunter2").unwrap_err(),
            Credentials::api_key("a", "hunter2\n").unwrap_err(),
            Credentials::api_key("a", "").unwrap_err(),
        ];
        for error in refused {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let swapped = "80fc9fb3-a1f0-e14b-e801-7e68925321cf";
        let pasted = "abcdefgh 80fc9fb3-a1f0-e14b-e801-7e68925321cf";
        for private in [swapped, "80fc9fb3-a1f0-e14b-e801-7e68925321cf\n", pasted] {
            let error = format!(
                "{:?}",
                Credentials::api_key(private, "abcdefgh").unwrap_err()
            );
            assert!(
                error.contains("each in its place") && !error.contains("80fc"),
                "{error}"
            );
        }
        let error = Credentials::api_key("mdb_sa_id_0123", "x").unwrap_err();
        assert!(format!("{error}").contains("service account"), "{error}");
    }

    #[track_caller]
    fn refused(credentials: Result<Credentials, InvalidValue>) -> String {
        let error = credentials.unwrap_err();
        let shown = format!("{error}");
        assert_eq!(format!("{error:?}"), format!("InvalidValue({shown})"));
        assert!(!shown.contains("hunter2"), "{shown}");
        shown
    }

    /// Passes the text as each part of each credential, with a valid value for the other part.
    fn each_part(text: &str) -> [(&'static str, Result<Credentials, InvalidValue>); 5] {
        [
            ("access token", Credentials::bearer(text)),
            (
                "client id",
                Credentials::service_account(text, "mdb_sa_sk_1"),
            ),
            (
                "client secret",
                Credentials::service_account("mdb_sa_id_1", text),
            ),
            ("public key", Credentials::api_key(text, "x")),
            ("private key", Credentials::api_key("abcdefgh", text)),
        ]
    }

    #[test]
    fn stray_characters_around_a_value_are_refused_and_named() {
        for (around, what) in [
            ("\"", "a quotation mark"),
            ("'", "a quotation mark"),
            ("\u{201d}", "a quotation mark"),
            (" ", "a space"),
            ("\t", "a tab"),
            ("\r\n", "a line end"),
            ("\u{a0}", "a no-break space (U+00A0)"),
            ("\u{200b}", "a zero-width space (U+200B)"),
            ("\u{feff}", "a byte order mark (U+FEFF)"),
            ("\u{2003}", "an invisible character"),
            ("\u{2060}", "an invisible character"),
        ] {
            let rule = "give the value without it";
            for (parameter, before) in each_part(&format!("{around}hunter2")) {
                let expected = format!("{parameter} is not valid: it begins with {what}: {rule}");
                assert_eq!(refused(before), expected);
            }
            for (parameter, after) in each_part(&format!("hunter2{around}")) {
                let expected = format!("{parameter} is not valid: it ends with {what}: {rule}");
                assert_eq!(refused(after), expected);
            }
        }
    }

    #[test]
    fn unexpanded_variable_is_refused_and_named() {
        for text in ["$ATLAS_SECRET", "${ATLAS_SECRET}", "%ATLAS_SECRET%"] {
            for (parameter, credentials) in each_part(text) {
                let error = refused(credentials);
                let expected =
                    format!("{parameter} \"{text}\" is not valid: it is the name of a variable");
                assert!(error.starts_with(&expected), "{error}");
            }
        }
        // The text is not repeated if it may be something else.
        for text in [
            "$hunter2",
            "${hunter2",
            "${A-hunter2}",
            "$(cat hunter2)",
            "%hunter2%",
        ] {
            for (parameter, credentials) in each_part(text) {
                let error = refused(credentials);
                let expected = format!("{parameter} is not valid: it is the name of a variable");
                assert!(error.starts_with(&expected), "{error}");
            }
        }
        for text in ["$", "$$x", "a$B", "%A", "$1"] {
            assert!(
                Credentials::service_account("mdb_sa_id_1", text).is_ok(),
                "{text}"
            );
        }
    }

    #[test]
    fn misplaced_credential_is_refused_and_named() {
        const UUID: &str = "80fc9fb3-a1f0-e14b-e801-7e68925321cf";
        const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.hunter2";
        const ID: &str = "mdb_sa_id_0123456789abcdef01234567";
        const SECRET: &str = "mdb_sa_sk_hunter2";
        for (credentials, found) in [
            (Credentials::bearer(ID), "service account"),
            (Credentials::bearer(SECRET), "service account"),
            (Credentials::bearer("al-hunter2hunter2"), "model API key"),
            (
                Credentials::service_account("abcdefgh", SECRET),
                "an API key's public key",
            ),
            (Credentials::service_account(UUID, SECRET), "a secret"),
            (Credentials::service_account(SECRET, ID), "a secret"),
            (
                Credentials::service_account(TOKEN, SECRET),
                "an access token",
            ),
            (Credentials::service_account(ID, ID), "a client id"),
            (Credentials::service_account(ID, UUID), "private key"),
            (Credentials::service_account(ID, TOKEN), "an access token"),
            (
                Credentials::service_account(ID, "al-hunter2hunter2"),
                "model API key",
            ),
            (Credentials::api_key(ID, UUID), "client id"),
            (Credentials::api_key(UUID, "abcdefgh"), "a secret"),
            (Credentials::api_key(TOKEN, UUID), "an access token"),
            (Credentials::api_key("abcdefgh", SECRET), "service account"),
            (Credentials::api_key("abcdefgh", ID), "service account"),
            (Credentials::api_key("abcdefgh", TOKEN), "an access token"),
            (
                Credentials::api_key("abcdefgh", "abcdefgh"),
                "public key again",
            ),
            (
                Credentials::api_key("abcdefgh", "al-hunter2hunter2"),
                "model API key",
            ),
        ] {
            let error = refused(credentials);
            assert!(error.contains(found) && !error.contains(UUID), "{error}");
        }
        // Other issuers may have tokens in the form of a UUID.
        assert!(Credentials::bearer(UUID).is_ok());
        assert!(Credentials::bearer(TOKEN).is_ok());
        assert!(Credentials::service_account(ID, SECRET).is_ok());
        assert!(Credentials::api_key("abcdefgh", UUID).is_ok());
    }

    #[test]
    fn debug_shows_only_the_public_part() {
        for credentials in [
            Credentials::bearer("hunter2==").unwrap(),
            Credentials::service_account("mdb_sa_id_a", "hunter2").unwrap(),
            Credentials::api_key("abcdefgh", "hunter2").unwrap(),
        ] {
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
    }
}
