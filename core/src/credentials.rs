use alloc::string::String;
use core::fmt;

use crate::{InvalidValue, Secret};

/// Who asks: an access token, a service account, or an API key.
///
/// `Debug` shows what is public of it (a client id, a public key) and nothing else.
#[derive(Clone)]
pub struct Credentials(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Bearer(Secret),
    ServiceAccount { id: String, secret: Secret },
    ApiKey { public: String, private: Secret },
}

impl Credentials {
    /// An OAuth access token that the caller has. It is used as it is, and never renewed.
    ///
    /// # Errors
    /// A token that is empty or not of the characters of RFC 6750 §2.1.
    pub fn bearer(token: impl Into<Secret>) -> Result<Self, InvalidValue> {
        let token = token.into();
        let unpadded = token.expose().trim_end_matches('=');
        let is_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if unpadded.is_empty() || !unpadded.bytes().all(is_char) {
            return Err(InvalidValue::secret(
                "access token",
                "it is the bare token: letters, digits and -._~+/ (no \"Bearer \", \
                 quotes, spaces or line end)",
            ));
        }
        Ok(Self(Kind::Bearer(token)))
    }

    /// A service account: its client id (`mdb_sa_id_…`) and client secret (`mdb_sa_sk_…`).
    ///
    /// # Errors
    /// A part that is empty or has characters that cannot stand in the token request (RFC 6749
    /// §2.3.1, RFC 7617 §2): a colon in the id, or anything but visible ASCII.
    pub fn service_account(
        id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Result<Self, InvalidValue> {
        let (id, secret) = (id.into(), secret.into());
        if holds_a_secret(&id) {
            return Err(InvalidValue::secret(
                "client id",
                "it is, or holds, a secret: the id (mdb_sa_id_…) and the secret (mdb_sa_sk_…) are given \
                 apart, each in its place",
            ));
        }
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic()) {
            // Not repeated, here and below: it may be the secret, in the wrong place.
            return Err(InvalidValue::secret(
                "client id",
                "a service account's client id is visible ASCII such as mdb_sa_id_0123456789abcdef \
                 (no spaces, no line end)",
            ));
        }
        if !is_visible(secret.expose()) {
            return Err(InvalidValue::secret(
                "client secret",
                "a service account's client secret is visible ASCII such as mdb_sa_sk_… \
                 (no spaces, no line end)",
            ));
        }
        Ok(Self(Kind::ServiceAccount { id, secret }))
    }

    /// A programmatic API key, used by HTTP Digest: its public and its private key.
    ///
    /// # Errors
    /// A key that is empty or has control characters, and a service account's client id given
    /// for a public key.
    pub fn api_key(
        public: impl Into<String>,
        private: impl Into<Secret>,
    ) -> Result<Self, InvalidValue> {
        let (public, private) = (public.into(), private.into());
        if holds_a_secret(&public) {
            return Err(InvalidValue::secret(
                "public key",
                "it is, or holds, a secret: the public key (such as abcdefgh) and the private key \
                 (such as 01234567-89ab-…) are given apart, each in its place",
            ));
        }
        if public.starts_with("mdb_sa_id_") {
            return Err(InvalidValue::new(
                "public key",
                &public,
                "this is a service account's client id: give it and its secret as a service \
                 account, not as an API key",
            ));
        }
        if public.is_empty() || public.chars().any(char::is_control) {
            return Err(InvalidValue::secret(
                "public key",
                "an API key's public key is short text such as abcdefgh (no line end)",
            ));
        }
        if private.expose().is_empty() || private.expose().chars().any(char::is_control) {
            return Err(InvalidValue::secret(
                "private key",
                "an API key's private key is text such as 01234567-89ab-cdef-0123-456789abcdef \
                 (no line end)",
            ));
        }
        Ok(Self(Kind::ApiKey { public, private }))
    }
}

/// The slips of those who are used to `curl --user id:secret`, of those who mix the two up, and of those who
/// paste both at once: what is taken for public is sent and shown.
fn holds_a_secret(public: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_hexdigit() || c == '-';
    public.contains(':')
        || public.contains("mdb_sa_sk_")
        || public.split(|c| !is_digit(c)).any(is_private_key)
}

/// The form of an API key's private key: that of a UUID.
fn is_private_key(digits: &str) -> bool {
    digits.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bearer(_) => f.write_str("Credentials::bearer([redacted])"),
            Kind::ServiceAccount { id, .. } => {
                write!(f, "Credentials::service_account({id:?}, [redacted])")
            }
            Kind::ApiKey { public, .. } => {
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
    fn usual_slips_are_named_and_secrets_are_not_repeated() {
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

    #[test]
    fn debug_shows_what_is_public() {
        for credentials in [
            Credentials::bearer("hunter2==").unwrap(),
            Credentials::service_account("mdb_sa_id_a", "hunter2").unwrap(),
            Credentials::api_key("abcdefgh", "hunter2").unwrap(),
        ] {
            assert!(!format!("{credentials:?}").contains("hunter2"));
        }
    }
}
