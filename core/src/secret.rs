//! Secrets, which are never shown and are overwritten when dropped, and the request body, which may hold one.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use bytes::Bytes;
use zeroize::Zeroizing;

/// The replacement for a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// A secret text: a token, a client secret, a private key or a key's `secret`.
///
/// It is redacted in `Debug` in every build profile, and overwritten when dropped. There is no
/// `Display`, no serialization and no comparison; only [`expose`](Secret::expose) returns the
/// text.
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
    /// Takes ownership of the text. The caller must erase copies that it made before.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text itself.
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

    /// Returns the text itself.
    #[must_use]
    pub fn expose(self) -> &'a str {
        self.0
    }

    /// Returns a copy that is overwritten when dropped.
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

/// The characters that are not percent-encoded, besides letters and digits (RFC 3986 §2.3).
pub(crate) const UNRESERVED: &[u8] = b"-._~";

/// Percent-encodes everything except ASCII letters, digits and `kept`.
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
/// It is redacted in `Debug`, and overwritten when dropped. Send an empty one as *no* body,
/// without `Content-Length`.
#[derive(Default)]
pub struct Body(
    /// `None` if it is empty, as for every request for a page: `Zeroizing` takes time even for an empty vector.
    Option<Zeroizing<Vec<u8>>>,
);

impl Body {
    /// Returns an empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn form(text: &str) -> Self {
        Self(Some(Zeroizing::new(Vec::from(text))))
    }

    /// Returns whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// Returns the bytes to send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes)
    }
}

/// Converts the body without a copy. It is overwritten when the last clone of the `Bytes` is dropped.
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
    fn bytes_of_a_body_are_not_copied() {
        let form = Body::form("token=hunter2");
        let place = form.as_bytes().as_ptr();
        let bytes = Bytes::from(form);
        assert_eq!((&*bytes, bytes.as_ptr()), (&b"token=hunter2"[..], place));
        assert!(Bytes::from(Body::empty()).is_empty());
    }

    #[test]
    fn debug_shows_no_secret() {
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
