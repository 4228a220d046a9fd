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

/// Returns the API key of the user that an `Authorization` header names, and its index.
pub(crate) fn named_key<'k>(
    authorization: &Authorization,
    keys: &'k [ApiKey],
) -> Option<(usize, &'k ApiKey)> {
    let mut keys = keys.iter().enumerate();
    keys.find(|(_, key)| authorization.is_of(&key.public_key))
}

/// Checks the part of an `Authorization` header after `Digest `, and records the use of the nonce. Returns
/// the index of the API key.
pub(crate) fn check(
    credentials: &[u8],
    request: Incoming<'_>,
    keys: &[ApiKey],
    offered: &[DigestAlgorithm],
    nonces: &mut Nonces,
    now: Duration,
) -> Result<usize, Refusal> {
    let is_right = |authorization: &Authorization, key: &ApiKey| {
        let Authorization {
            nonce, algorithm, ..
        } = authorization;
        authorization.realm == nonces.realm(nonce)
            && authorization.uri == request.target()
            && (offered.contains(algorithm) || nonces.allows_algorithm(nonce, *algorithm))
            && authorization.matches_password(key, request.method.as_str())
    };
    let (authorization, nc, index) = Authorization::parse(credentials)
        .and_then(|authorization| {
            let (index, key) = named_key(&authorization, keys)?;
            let nc = authorization.nc()?;
            is_right(&authorization, key).then_some((authorization, nc, index))
        })
        .ok_or(Refusal { stale: false })?;
    if nonces.accept(&authorization.nonce, nc, now) {
        Ok(index)
    } else {
        // RFC 7616 §3.3: `stale`, because the password is right and only the nonce is not.
        Err(Refusal { stale: true })
    }
}

impl Authorization {
    /// Returns whether the response was computed with the password of this key (RFC 7616 §3.4.1).
    fn matches_password(&self, key: &ApiKey, method: &str) -> bool {
        let h = |text: &str| self.algorithm.hash(text.as_bytes());
        let Self {
            nonce,
            uri,
            cnonce,
            nc,
            ..
        } = self;
        // The name itself, also if the header has its hash (RFC 7616 §3.4.4).
        let (name, password) = (key.public_key.as_bytes(), key.private_key.as_bytes());
        let mut secret = self
            .algorithm
            .hash(&[name, &self.realm, password].join(&b':'));
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
            let matches = |password: &str, method| {
                authorization.matches_password(&ApiKey::new("Mufasa", password), method)
            };
            assert!(matches("Circle of Life", "GET"), "{algorithm}");
            assert!(!matches("Circle of Life", "HEAD"));
            assert!(!matches("circle of life", "GET"));
        }
    }

    /// The example of RFC 7616 §3.9.2, with the response of erratum 4897.
    #[test]
    fn hashed_user_name_is_found_among_several() {
        let credentials = concat!(
            "username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", ",
            "realm=\"api@example.org\", uri=\"/doe.json\", algorithm=SHA-512-256, ",
            "nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", nc=00000001, ",
            "cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, ",
            "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\", userhash=true"
        );
        let authorization = Authorization::parse(credentials.as_bytes()).unwrap();
        let keys = [
            ApiKey::new("Mufasa", "Circle of Life"),
            ApiKey::new("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
        ];
        let (index, key) = named_key(&authorization, &keys).unwrap();
        assert_eq!(index, 1);
        assert!(authorization.matches_password(key, "GET"));
        assert!(named_key(&authorization, &keys[..1]).is_none());
    }
}
