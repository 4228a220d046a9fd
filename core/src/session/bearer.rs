//! The caller's own access token. It is sent unchanged and never renewed.

use alloc::format;

use http::HeaderValue;
use zeroize::Zeroizing;

use crate::Secret;

/// An access token as the value of `Authorization` (RFC 6750 §2.1).
pub(super) struct Bearer(HeaderValue);

impl Bearer {
    pub(super) fn new(token: &Secret) -> Self {
        Self(sensitive(&Zeroizing::new(format!(
            "Bearer {}",
            token.expose()
        ))))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Returns a header value that is marked as sensitive. The text is always visible ASCII, because ids, secrets and
/// tokens are checked when they are received.
pub(super) fn sensitive(text: &str) -> HeaderValue {
    let mut value =
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("invalid"));
    value.set_sensitive(true);
    value
}
