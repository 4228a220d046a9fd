//! A challenge of a server, and the choice of the strongest one.

use alloc::vec::Vec;
use core::fmt;

use http::HeaderValue;

use super::hash::Hash;
use super::parser::{Parameter, Parser};
use crate::Limits;

/// A Digest challenge that can be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    pub(super) opaque: Option<Vec<u8>>,
    pub(super) algorithm: Algorithm,
    /// Whether the challenge names its algorithm. The answer names it only in that case.
    pub(super) names_algorithm: bool,
    stale: bool,
    pub(super) userhash: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithm {
    pub(super) hash: Hash,
    /// Whether the name ends in `-sess`: then the hash of the credential includes both nonces.
    pub(super) session: bool,
}

impl Challenge {
    /// Returns the challenge with the strongest hash function in these `WWW-Authenticate` headers, or `None`. If several
    /// are equally strong, it returns the first.
    ///
    /// Challenges without `qop=auth`, `realm` or `nonce`, with an unknown algorithm, or of another scheme than Digest
    /// are skipped.
    ///
    /// It reads at most [`Limits::challenges`] challenges of any scheme. It stops at the header that would exceed
    /// [`Limits::challenge_bytes`] in total.
    pub fn strongest<'a>(
        headers: impl IntoIterator<Item = &'a HeaderValue>,
        limits: &Limits,
    ) -> Option<Self> {
        let mut bytes_left = limits.challenge_bytes;
        let mut best: Option<Self> = None;
        let mut count = 0;
        for header in headers {
            let Some(left) = bytes_left.checked_sub(header.len()) else {
                return best;
            };
            bytes_left = left;
            let mut parser = Parser::new(header.as_bytes());
            while let Some((scheme, parameters)) = parser.challenge() {
                count += 1;
                if count > limits.challenges {
                    return best;
                }
                if !scheme.eq_ignore_ascii_case(b"Digest") {
                    continue;
                }
                if let Some(challenge) = parameters.and_then(Self::from_parameters)
                    && best
                        .as_ref()
                        .is_none_or(|best| best.algorithm.hash < challenge.algorithm.hash)
                {
                    best = Some(challenge);
                }
            }
        }
        best
    }

    /// Returns whether the server says that only the nonce was too old (RFC 7616 §3.3).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    fn from_parameters(parameters: Vec<Parameter<'_>>) -> Option<Self> {
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop, mut stale, mut userhash) = (None, None, None, None);
        for (name, value) in parameters {
            let known = match name.to_ascii_lowercase().as_slice() {
                b"realm" => &mut realm,
                b"nonce" => &mut nonce,
                b"opaque" => &mut opaque,
                b"algorithm" => &mut algorithm,
                b"qop" => &mut qop,
                b"stale" => &mut stale,
                b"userhash" => &mut userhash,
                _ => continue,
            };
            if known.replace(value).is_some() {
                return None;
            }
        }
        let is_true =
            |value: Option<Vec<u8>>| value.is_some_and(|v| v.eq_ignore_ascii_case(b"true"));
        let has_auth = qop?
            .split(|b| matches!(b, b',' | b' ' | b'\t'))
            .any(|option| option.eq_ignore_ascii_case(b"auth"));
        has_auth.then_some(())?;
        Some(Self {
            realm: realm?,
            nonce: nonce?,
            opaque,
            names_algorithm: algorithm.is_some(),
            algorithm: match algorithm {
                Some(name) => Algorithm::from_name(&name)?,
                None => Algorithm {
                    hash: Hash::Md5,
                    session: false,
                },
            },
            stale: is_true(stale),
            userhash: is_true(userhash),
        })
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenge")
            .field("realm", &alloc::format!("{}", self.realm.escape_ascii()))
            .field("algorithm", &self.algorithm.name())
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl Algorithm {
    fn from_name(name: &[u8]) -> Option<Self> {
        let known = [Hash::Md5, Hash::Sha256, Hash::Sha512_256];
        known
            .into_iter()
            .flat_map(|hash| [false, true].map(|session| Self { hash, session }))
            .find(|algorithm| algorithm.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Returns the name that RFC 7616 §6.1 registers.
    pub(super) fn name(self) -> &'static str {
        match (self.hash, self.session) {
            (Hash::Md5, false) => "MD5",
            (Hash::Md5, true) => "MD5-sess",
            (Hash::Sha256, false) => "SHA-256",
            (Hash::Sha256, true) => "SHA-256-sess",
            (Hash::Sha512_256, false) => "SHA-512-256",
            (Hash::Sha512_256, true) => "SHA-512-256-sess",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use alloc::format;

    pub(in crate::digest) fn strongest(headers: &[&str]) -> Option<Challenge> {
        let headers: Vec<_> = headers
            .iter()
            .map(|h| HeaderValue::from_str(h).unwrap())
            .collect();
        Challenge::strongest(&headers, &Limits::default())
    }

    #[test]
    fn challenges_of_other_schemes_are_skipped() {
        for other in [
            "Negotiate",
            "Negotiate YII==",
            "NTLM TlRM, Basic realm=\"b\"",
            "Bearer",
        ] {
            let all = format!(r#"{other}, Digest realm="r", nonce="n", qop="auth", {other}"#);
            let header = HeaderValue::from_str(&all).unwrap();
            let challenge = Challenge::strongest(&[header], &Limits::default());
            assert_eq!(challenge.unwrap().nonce, b"n", "{all}");
        }
    }

    #[test]
    fn first_of_equally_strong_challenges_is_used() {
        let both = r#"Digest realm="r", nonce="first", qop="auth", Digest realm="r", nonce="second", qop="auth", algorithm=MD5-sess"#;
        let challenge = strongest(&[both]).unwrap();
        assert_eq!(challenge.nonce, b"first");
        assert_eq!(
            format!("{challenge:?}"),
            r#"Challenge { realm: "r", algorithm: "MD5", stale: false, .. }"#
        );
    }

    #[test]
    fn strongest_known_challenge_is_used_in_any_position() {
        let name = |headers: &[&'static str]| strongest(headers).map(|c| c.algorithm.name());
        let md5 = r#"Digest realm="r", nonce="n", algorithm=MD5, qop="auth""#;
        let sha = r#"dIgEsT ReAlM="r" , NONCE = "n",, algorithm="sha-256",qop=AUTH ,"#;
        let both = r#"Basic realm="a, Digest b", Digest realm="r", nonce="n", algorithm=MD5, qop="auth", Digest realm="r", nonce="m", algorithm=SHA-512-256, qop="auth""#;
        let unknown = r#"Digest realm="r", nonce="n", algorithm=SHA-3, qop="auth""#;
        assert_eq!(name(&[md5, sha]), Some("SHA-256"));
        assert_eq!(name(&[sha, md5]), Some("SHA-256"));
        assert_eq!(name(&[both]), Some("SHA-512-256"));
        assert_eq!(name(&[unknown, md5]), Some("MD5"));
        assert_eq!(name(&["Negotiate abc123==, NTLM", md5]), Some("MD5"));
        assert_eq!(name(&["Negotiate", md5]), Some("MD5"));
    }

    #[test]
    fn challenge_that_cannot_be_answered_safely_is_ignored() {
        for header in [
            "",
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"r\"",
            "Digest abc==",
            r#"Digest realm="r", nonce="n", algorithm=MD5"#,
            r#"Digest realm="r", nonce="n", qop="auth-int""#,
            r#"Digest realm="r", nonce="n", qop="authx""#,
            r#"Digest realm="r", qop="auth""#,
            r#"Digest nonce="n", qop="auth""#,
            r#"Digest realm="r", nonce="n", nonce="m", qop="auth""#,
            r#"Digest realm="r, nonce="n", qop="auth""#,
            r#"Digest realm="r", nonce="n", qop="auth"#,
            r#"Digest realm="r" nonce="n", qop="auth""#,
            r#"Digest realm=, nonce="n", qop="auth""#,
            r#"Digest/1 realm="r", nonce="n", qop="auth""#,
        ] {
            assert_eq!(strongest(&[header]), None, "{header}");
        }
    }

    #[test]
    fn number_and_size_of_challenges_are_bounded() {
        let good = HeaderValue::from_static(r#"Digest realm="r", nonce="n", qop="auth""#);
        let other = HeaderValue::from_static("Basic realm=\"x\"");
        let few = Limits {
            challenges: 2,
            ..Limits::default()
        };
        assert!(Challenge::strongest([&other, &good], &few).is_some());
        assert!(Challenge::strongest([&other, &other, &good], &few).is_none());
        let small = Limits {
            challenge_bytes: good.len(),
            ..Limits::default()
        };
        assert!(Challenge::strongest([&good], &small).is_some());
        assert!(Challenge::strongest([&other, &good], &small).is_none());
    }
}
