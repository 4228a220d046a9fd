//! Values that must not be seen, and the request body that may hold one.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use zeroize::Zeroizing;

/// A text that must not be seen: a token, a client secret, a private key, a key's `secret`.
///
/// Redacted in `Debug` in every build profile and overwritten when dropped. There is no
/// `Display`, no serialization and no comparison; the text comes out only by
/// [`expose`](Secret::expose).
///
/// ```
/// # use atlas_model_keys_core::Secret;
/// let secret = Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over. Copies that the caller made before stay the caller's to erase.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// A [`Secret`] that is borrowed from a body.
#[derive(Clone, Copy)]
pub struct SecretStr<'a>(&'a str);

impl<'a> SecretStr<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text itself.
    #[must_use]
    pub fn expose(self) -> &'a str {
        self.0
    }

    /// A copy that is overwritten when dropped.
    #[must_use]
    pub fn to_secret(self) -> Secret {
        Secret::new(self.0)
    }
}

impl fmt::Debug for SecretStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The secrets of a session, to be looked for in what a server says in its errors.
#[derive(Clone, Default)]
pub(crate) struct KnownSecrets(Option<Arc<[Secret]>>);

/// A server may repeat the beginning of a secret only; so much of it is recognised, in characters.
const RECOGNISED: usize = 12;

impl KnownSecrets {
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut all = Vec::new();
        for secret in secrets {
            let encoded = percent_encoded(secret.expose(), UNRESERVED);
            if *encoded != secret.expose() {
                all.push(Secret(encoded));
            }
            all.push(secret);
        }
        Self(Some(all.into()))
    }

    /// The text with each of them replaced: the whole of it, or as much as is there of its beginning.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.0.as_deref().unwrap_or_default();
        let mut text = Cow::Borrowed(text);
        for secret in secrets {
            if let Some(redacted) = without(&text, secret.expose(), secrets) {
                text = Cow::Owned(redacted);
            }
        }
        text
    }
}

/// The text without what begins as `secret` does; `None` where nothing does. It is replaced as far as
/// it is like any of the secrets, since one may begin as another does.
fn without(text: &str, secret: &str, secrets: &[Secret]) -> Option<String> {
    let end = secret
        .char_indices()
        .nth(RECOGNISED)
        .map_or(secret.len(), |(end, _)| end);
    let beginning = secret
        .get(..end)
        .filter(|beginning| !beginning.is_empty())?;
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, found)) = rest
        .find(beginning)
        .and_then(|at| rest.split_at_checked(at))
    {
        let like = secrets.iter().map(|secret| shared(found, secret.expose()));
        out.push_str(before);
        out.push_str(REDACTED);
        rest = found.get(like.max()?..)?;
    }
    if rest.len() == text.len() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

/// In how many bytes two texts begin alike.
fn shared(a: &str, b: &str) -> usize {
    a.chars()
        .zip(b.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum()
}

/// What stays as it is in a form beside letters and digits (RFC 3986 §2.3).
pub(crate) const UNRESERVED: &[u8] = b"-._~";

/// Everything encoded but ASCII letters, digits and `kept`.
pub(crate) fn percent_encoded(text: &str, kept: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The body of a request: empty, or a form that holds a credential.
///
/// Redacted in `Debug` and overwritten when dropped. An empty one is to be sent as *no* body,
/// without `Content-Length`.
#[derive(Default)]
pub struct Body(
    /// `None` where it is empty: every request for a page has such a one, and overwriting nothing is
    /// dearer than it looks.
    Option<Zeroizing<Vec<u8>>>,
);

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn form(text: &str) -> Self {
        Self(Some(Zeroizing::new(Vec::from(text))))
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes)
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.as_bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn nothing_shows_what_it_holds() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
        let borrowed = SecretStr::new("hunter2");
        assert_eq!(format!("{borrowed:?}"), "[redacted]");
        assert_eq!(format!("{:?}", borrowed.to_secret()), "[redacted]");
        assert_eq!(
            (borrowed.expose(), borrowed.to_secret().expose()),
            ("hunter2", "hunter2")
        );
        let form = Body::form("token=hunter2");
        assert_eq!(format!("{form:?}"), "Body(13 bytes)");
        assert_eq!(form.as_bytes(), b"token=hunter2");
        assert!(!form.is_empty() && Body::empty().is_empty());
        assert!(Body::empty().as_bytes().is_empty());
    }

    #[test]
    fn known_secrets_are_replaced_whole_truncated_and_encoded() {
        let known = KnownSecrets::new(["short", "eyJhbGciOiJI.abc/def+ghi=="].map(Secret::new));
        for (text, redacted) in [
            (
                "nothing here, shor or eyJhbGciOiJ",
                "nothing here, shor or eyJhbGciOiJ",
            ),
            ("a short b short", "a [redacted] b [redacted]"),
            ("<eyJhbGciOiJI.abc/def+ghi==>", "<[redacted]>"),
            ("token eyJhbGciOiJI.abc… is bad", "token [redacted]… is bad"),
            ("?t=eyJhbGciOiJI.abc%2Fdef%2Bghi%3D%3D&x", "?t=[redacted]&x"),
            ("eyJhbGciOiJIeyJhbGciOiJI.a", "[redacted][redacted]"),
            ("", ""),
        ] {
            assert_eq!(known.redact(text), redacted);
        }
        assert_eq!(KnownSecrets::default().redact("a"), "a");
        assert_eq!(KnownSecrets::new([Secret::new("")]).redact("a"), "a");
    }
}
