//! Digest authentication on the server's side (RFC 7616): the check of an `Authorization` header.
//!
//! Parsing the header, making challenges and keeping nonces have a file each.

mod algorithm;
mod authorization;
mod challenge;
mod nonces;

use std::time::Duration;

use crate::credentials::ApiKey;
use crate::incoming::Incoming;

pub use algorithm::DigestAlgorithm;
pub(crate) use authorization::{Authorization, harmless_parameters};
pub(crate) use challenge::{REALM, challenge};
pub(crate) use nonces::Nonces;

/// The refusal of a digest response.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Whether only the nonce was wrong. Then the client may use the same password with the new nonce.
    pub(crate) stale: bool,
}

/// Checks the part of an `Authorization` header after `Digest `, and records the use of the nonce.
pub(crate) fn check(
    credentials: &[u8],
    request: Incoming<'_>,
    api_key: &ApiKey,
    offered: &[DigestAlgorithm],
    nonces: &mut Nonces,
    now: Duration,
) -> Result<(), Refusal> {
    let is_right = |authorization: &Authorization| {
        let Authorization {
            nonce, algorithm, ..
        } = authorization;
        authorization.username == api_key.public_key
            && authorization.realm == nonces.realm(nonce)
            && authorization.uri == request.target()
            && (offered.contains(algorithm) || nonces.allows_algorithm(nonce, *algorithm))
            && authorization.matches_password(&api_key.private_key, request.method.as_str())
    };
    let (authorization, nc) = Authorization::parse(credentials)
        .filter(is_right)
        .and_then(|authorization| authorization.nc().map(|nc| (authorization, nc)))
        .ok_or(Refusal { stale: false })?;
    if nonces.accept(&authorization.nonce, nc, now) {
        Ok(())
    } else {
        // RFC 7616 §3.3: `stale`, because the password is right and only the nonce is not.
        Err(Refusal { stale: true })
    }
}

impl Authorization {
    /// Returns whether the response was computed with this password (RFC 7616 §3.4.1).
    fn matches_password(&self, password: &str, method: &str) -> bool {
        let h = |text: &str| self.algorithm.hash(text.as_bytes());
        let Self {
            username,
            nonce,
            uri,
            cnonce,
            nc,
            ..
        } = self;
        let user = [username.as_bytes(), &self.realm, password.as_bytes()].join(&b':');
        let mut secret = self.algorithm.hash(&user);
        if self.algorithm.is_session() {
            secret = h(&format!("{secret}:{nonce}:{cnonce}"));
        }
        let request = h(&format!("{method}:{uri}"));
        let expected = h(&format!("{secret}:{nonce}:{nc}:{cnonce}:auth:{request}"));
        expected == self.response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1, with this algorithm and this response.
    fn rfc_7616(algorithm: &str, response: &str) -> Authorization {
        let credentials = format!(
            "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"{response}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        Authorization::parse(credentials.as_bytes()).unwrap()
    }

    #[test]
    fn rfc_7616_examples_are_verified() {
        // The first two are the RFC's; the others were computed with Python's hashlib.
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            ("MD5-sess", "e783283f46242139c486a698fec7211d"),
            (
                "SHA-256-sess",
                "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
            ),
            (
                "SHA-512-256",
                "430d05014cecc49cab6fbe03176d41a1da86cbfe24a16580e22aaad928d960d0",
            ),
            (
                "SHA-512-256-sess",
                "3f2a34f923c38b0fb26dce2fdfc2ce326c23cecf86fbb1444f3e51fbbc2cb92e",
            ),
        ] {
            let authorization = rfc_7616(algorithm, response);
            assert_eq!(authorization.algorithm.as_str(), algorithm);
            assert!(
                authorization.matches_password("Circle of Life", "GET"),
                "{algorithm}"
            );
            assert!(!authorization.matches_password("Circle of Life", "HEAD"));
            assert!(!authorization.matches_password("circle of life", "GET"));
        }
    }
}
