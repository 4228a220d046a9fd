//! The challenge in a 401.

use super::algorithm::DigestAlgorithm;

/// The realm of every challenge that was recorded from Atlas.
pub(crate) const REALM: &str = "MMS Public API";

/// Returns the value of a `WWW-Authenticate` header, exactly as recorded from Atlas.
pub(crate) fn challenge(algorithm: DigestAlgorithm, nonce: &str, stale: bool) -> String {
    format!(
        "Digest realm=\"{REALM}\", domain=\"\", nonce=\"{nonce}\", algorithm={algorithm}, \
         qop=\"auth\", stale={stale}"
    )
}
