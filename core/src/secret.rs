//! Values that must not be seen, and the request body that may hold one.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::redaction::{REDACTED, redacted};

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

/// The secrets of a session, to be looked for in texts from outside.
#[derive(Clone, Default)]
pub(crate) struct KnownSecrets(Option<Arc<[Secret]>>);

impl KnownSecrets {
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(Some(secrets.into_iter().collect()))
    }

    /// The text with each of them replaced; see [`redacted`].
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.0 {
            Some(secrets) => redacted(text, secrets),
            None => Cow::Borrowed(text),
        }
    }
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

/// Takes the body over without a copy. It is overwritten when the last clone of the `Bytes` is dropped.
impl From<Body> for Bytes {
    fn from(body: Body) -> Self {
        body.0.map_or_else(Self::new, Self::from_owner)
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
    fn bytes_of_a_body_are_its_own() {
        let form = Body::form("token=hunter2");
        let place = form.as_bytes().as_ptr();
        let bytes = Bytes::from(form);
        assert_eq!((&*bytes, bytes.as_ptr()), (&b"token=hunter2"[..], place));
        assert!(Bytes::from(Body::empty()).is_empty());
    }

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
}
