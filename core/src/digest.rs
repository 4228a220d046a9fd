//! The client side of HTTP Digest authentication (RFC 7616), without I/O or randomness.
//!
//! ```
//! use atlas_model_keys_core::digest::{Answerer, Challenge};
//! use atlas_model_keys_core::Limits;
//! use http::HeaderValue;
//!
//! let header = HeaderValue::from_static(
//!     r#"Digest realm="MMS Public API", domain="", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", algorithm=MD5, qop="auth", stale=false"#);
//! let challenge = Challenge::strongest([&header], &Limits::default()).unwrap();
//! let mut answerer = Answerer::new(challenge, "public-key", "private-key", [7; 16]);
//! let authorization = answerer.authorization("GET", "/api/atlas/v2/groups?pageNum=2", [8; 16]);
//! assert!(authorization.unwrap().to_str().unwrap().starts_with(r#"Digest username="public-key", realm="#));
//! ```
//!
//! A server that requires Digest responds with 401 and a [`Challenge`], which holds the server's *nonce*: a value that
//! the server chose. The [`Answerer`] hashes the credential together with this nonce, a count (`nc`), a random
//! client nonce (`cnonce`) and the request's method and target, so the password itself is never sent.
//!
//! Supported are MD5, SHA-256 and SHA-512-256, also as `-sess`; `qop=auth` (required: without it an
//! answer would not be bound to the client's nonce); `userhash`; and several challenges in one or
//! several headers, of which the strongest known one is used. Unknown algorithms and schemes are
//! skipped. Basic is never answered.
//!
//! The grammar (RFC 9110 §11.6.1) is not always clear, and servers deviate from it:
//!
//! - Spaces and tabs around `=` and commas, and empty list elements, are accepted.
//! - `algorithm`, `stale`, `qop` and `userhash` may be quoted or not, in any letter case.
//! - A quoted string is unescaped before it is hashed, and escaped again when it is sent back.
//! - If a parameter that this module uses, such as `realm`, occurs twice, its challenge is unusable, because it is
//!   unclear which value is meant. Other parameters are ignored, also if they occur twice.
//! - After the first syntax error, the rest of that header is ignored.

use alloc::vec::Vec;
use core::fmt;

use http::HeaderValue;
use md5::Md5;
use memchr::memchr2;
use sha2::{Digest as _, Sha256, Sha512_256};
use zeroize::Zeroizing;

use crate::Limits;
use crate::secret::percent_encoded;

/// A Digest challenge that can be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Algorithm,
    /// Whether the challenge names its algorithm. The answer names it only in that case.
    names_algorithm: bool,
    stale: bool,
    userhash: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Algorithm {
    hash: Hash,
    /// Whether the name ends in `-sess`: then the hash of the credential includes both nonces.
    session: bool,
}

/// The hash functions, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
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
            let mut parser = Parser(header.as_bytes());
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
    fn name(self) -> &'static str {
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

/// Computes the answers to one challenge. An answer is a value of `Authorization`.
///
/// Each answer raises the count `nc` by one. If several answerers may have the same nonce, because the server issues it
/// more than once, the caller keeps the count and calls [`count_from`](Answerer::count_from) before each answer.
///
/// It keeps the hash of the credential and the nonce (never the credential itself), so that later answers are cheap.
pub struct Answerer {
    challenge: Challenge,
    /// The beginning of each answer, up to the target.
    beginning: Vec<u8>,
    /// The state of the answer's hash after `H(A1)` and the nonce, which are its first parts. `H(A1)` is a secret: for
    /// this realm it is equivalent to the password.
    hash_prefix: Hashing,
    /// The client nonce in `H(A1)` of a `-sess` algorithm, which each answer must repeat.
    session_cnonce: Option<[u8; 16]>,
    /// The `nc` of the last answer.
    count: u32,
}

impl Answerer {
    /// Prepares answers to `challenge`.
    ///
    /// `cnonce` is a random client nonce. A `-sess` algorithm includes it in the hash of the credential (RFC 7616
    /// §3.4.2), so that every answer uses it. Other algorithms ignore it.
    #[must_use]
    pub fn new(challenge: Challenge, username: &str, password: &str, cnonce: [u8; 16]) -> Self {
        let Algorithm { hash, session } = challenge.algorithm;
        let (name, realm) = (username.as_bytes(), challenge.realm.as_slice());
        let mut ha1 = hash.hex(&[name, realm, password.as_bytes()]);
        if session {
            let cnonce = Hex::of(&cnonce);
            ha1 = hash.hex(&[ha1.as_bytes(), &challenge.nonce, cnonce.as_bytes()]);
        }
        let mut beginning = Vec::from(b"Digest ");
        if challenge.userhash {
            let hashed = hash.hex(&[name, realm]);
            push_quoted(&mut beginning, b"username=", hashed.as_bytes());
        } else if username.is_ascii() {
            push_quoted(&mut beginning, b"username=", name);
        } else {
            // RFC 7616 §3.4 requires the form of RFC 8187 §3.2 for names outside ASCII.
            beginning.extend_from_slice(b"username*=UTF-8''");
            beginning.extend_from_slice(percent_encoded(username, b"").as_bytes());
        }
        push_quoted(&mut beginning, b", realm=", &challenge.realm);
        push_quoted(&mut beginning, b", nonce=", &challenge.nonce);
        if challenge.names_algorithm {
            beginning.extend_from_slice(b", algorithm=");
            beginning.extend_from_slice(challenge.algorithm.name().as_bytes());
        }
        if let Some(opaque) = &challenge.opaque {
            push_quoted(&mut beginning, b", opaque=", opaque);
        }
        if challenge.userhash {
            beginning.extend_from_slice(b", userhash=true");
        }
        beginning.extend_from_slice(b", qop=auth, uri=");
        Self {
            beginning,
            hash_prefix: Hashing::of(hash, &[ha1.as_bytes(), &challenge.nonce]),
            session_cnonce: session.then_some(cnonce),
            challenge,
            count: 0,
        }
    }

    /// Returns the server's nonce.
    #[must_use]
    pub fn nonce(&self) -> &[u8] {
        &self.challenge.nonce
    }

    /// Returns the count: the `nc` of the last answer, or the number that was set after it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Sets the count, because other answerers have used the nonce, too. The next answer has `nc` = `count` + 1.
    pub fn count_from(&mut self, count: u32) {
        self.count = count;
    }

    /// Returns the next value of `Authorization`, marked as sensitive, for a request with this method and
    /// target (path and query exactly as they are sent).
    ///
    /// `cnonce` is a random client nonce for this answer. A `-sess` algorithm ignores it, and uses that of
    /// [`new`](Answerer::new).
    ///
    /// Returns `None` if the count has reached 4,294,967,295, or if the challenge has bytes that a header cannot carry.
    pub fn authorization(
        &mut self,
        method: &str,
        target: &str,
        cnonce: [u8; 16],
    ) -> Option<HeaderValue> {
        self.count = self.count.checked_add(1)?;
        let hash = self.challenge.algorithm.hash;
        let cnonce = Hex::of(&self.session_cnonce.unwrap_or(cnonce));
        let count = Hex::of(&self.count.to_be_bytes());
        let ha2 = hash.hex(&[method.as_bytes(), target.as_bytes()]);
        let mut response = self.hash_prefix.clone();
        let (count_hex, cnonce_hex) = (count.as_bytes(), cnonce.as_bytes());
        for part in [b":", count_hex, b":", cnonce_hex, b":auth:", ha2.as_bytes()] {
            response.update(part);
        }
        let response = response.hex();

        // 160 bytes are enough for the quotes and the longest hash.
        let mut header = Vec::with_capacity(self.beginning.len() + target.len() + 160);
        header.extend_from_slice(&self.beginning);
        push_quoted(&mut header, b"", target.as_bytes());
        header.extend_from_slice(b", nc=");
        header.extend_from_slice(count.as_bytes());
        push_quoted(&mut header, b", cnonce=", cnonce.as_bytes());
        push_quoted(&mut header, b", response=", response.as_bytes());
        let mut value = HeaderValue::try_from(header).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Answerer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer")
            .field("challenge", &self.challenge)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn push_quoted(header: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    header.extend_from_slice(name);
    header.push(b'"');
    let mut rest = value;
    while let Some((plain, [special, after @ ..])) =
        memchr2(b'"', b'\\', rest).and_then(|at| rest.split_at_checked(at))
    {
        header.extend_from_slice(plain);
        header.extend_from_slice(&[b'\\', *special]);
        rest = after;
    }
    header.extend_from_slice(rest);
    header.push(b'"');
}

impl Hash {
    /// Returns `H` (RFC 7616 §3.3) of the parts, joined by `:`.
    fn hex(self, parts: &[&[u8]]) -> Hex {
        Hashing::of(self, parts).hex()
    }
}

/// An unfinished hash, which is overwritten when it is dropped.
#[derive(Clone)]
enum Hashing {
    Md5(Md5),
    Sha256(Sha256),
    Sha512_256(Sha512_256),
}

impl Hashing {
    /// Starts a hash with the parts, joined by `:`.
    fn of(hash: Hash, parts: &[&[u8]]) -> Self {
        let mut hashing = match hash {
            Hash::Md5 => Self::Md5(Md5::new()),
            Hash::Sha256 => Self::Sha256(Sha256::new()),
            Hash::Sha512_256 => Self::Sha512_256(Sha512_256::new()),
        };
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                hashing.update(b":");
            }
            hashing.update(part);
        }
        hashing
    }

    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Md5(md5) => md5.update(data),
            Self::Sha256(sha) => sha.update(data),
            Self::Sha512_256(sha) => sha.update(data),
        }
    }

    fn hex(self) -> Hex {
        match self {
            Self::Md5(md5) => Hex::of(&md5.finalize()),
            Self::Sha256(sha) => Hex::of(&sha.finalize()),
            Self::Sha512_256(sha) => Hex::of(&sha.finalize()),
        }
    }
}

/// Up to 32 bytes in lower-case hexadecimal, without a heap allocation. It is overwritten when it is dropped.
struct Hex(Zeroizing<[u8; 64]>, usize);

impl Hex {
    fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new([0; 64]);
        let mut len = 0;
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            for (character, digit) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                *character = DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0');
                len += 1;
            }
        }
        Self(text, len)
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }
}

/// The name of a parameter, and its value without quotes and escapes.
type Parameter<'a> = (&'a [u8], Vec<u8>);

/// A parser of a header's value. It holds the rest of the value.
struct Parser<'a>(&'a [u8]);

impl<'a> Parser<'a> {
    /// Returns the scheme and the parameters of the next challenge (`None` as parameters for a `token68`). Returns
    /// `None` at the end, and after a syntax error.
    fn challenge(&mut self) -> Option<(&'a [u8], Option<Vec<Parameter<'a>>>)> {
        self.skip(b", \t");
        let scheme = self.token()?;
        if !self
            .0
            .first()
            .is_none_or(|b| matches!(b, b' ' | b'\t' | b','))
        {
            self.0 = &[];
            return None;
        }
        self.skip_spaces();
        if self.token68() {
            return Some((scheme, None));
        }
        let mut parameters = Vec::new();
        loop {
            let before = self.0;
            self.skip(b", \t");
            let Some(name) = self.token() else { break };
            self.skip_spaces();
            if !self.eat(b'=') {
                // This is not a parameter, but the scheme of the next challenge.
                self.0 = before;
                break;
            }
            self.skip_spaces();
            let Some(value) = self.value() else {
                self.0 = &[];
                return None;
            };
            parameters.push((name, value));
            self.skip_spaces();
            if self.0.first().is_some_and(|b| *b != b',') {
                self.0 = &[];
                return None;
            }
        }
        Some((scheme, Some(parameters)))
    }

    fn skip(&mut self, set: &[u8]) {
        while let Some((first, rest)) = self.0.split_first() {
            if !set.contains(first) {
                break;
            }
            self.0 = rest;
        }
    }

    fn skip_spaces(&mut self) {
        self.skip(b" \t");
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Reads a token (RFC 9110 §5.6.2).
    fn token(&mut self) -> Option<&'a [u8]> {
        let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        let end = self
            .0
            .iter()
            .position(|b| !is_tchar(b))
            .unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Skips a `token68` that extends to a comma or the end (RFC 9110 §11.2), and returns whether there was one.
    fn token68(&mut self) -> bool {
        let end = self
            .0
            .iter()
            .position(|b| *b == b',')
            .unwrap_or(self.0.len());
        let Some((item, rest)) = self.0.split_at_checked(end) else {
            return false;
        };
        let item = item.trim_ascii_end();
        let unpadded = item.iter().rposition(|b| *b != b'=').map_or(0, |n| n + 1);
        let is_char = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
        let is_token68 = unpadded > 0
            && item
                .get(..unpadded)
                .is_some_and(|text| text.iter().all(is_char));
        if is_token68 {
            self.0 = rest;
        }
        is_token68
    }

    /// Reads a token, or a quoted string without its quotes and backslashes.
    fn value(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b'"') {
            return self.token().map(Vec::from);
        }
        let mut value = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(value),
                b'\\' => {
                    let (escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(*escaped);
                }
                byte => value.push(*byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn text(hex: &Hex) -> String {
        String::from_utf8(hex.as_bytes().into()).unwrap()
    }

    fn strongest(headers: &[&'static str]) -> Option<Challenge> {
        let headers: Vec<_> = headers
            .iter()
            .map(|h| HeaderValue::from_static(h))
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
    fn hashes_are_overwritten_when_they_are_dropped() {
        // This compiles only with the `zeroize` feature of the hash crates.
        fn is_overwritten<T: zeroize::ZeroizeOnDrop>() {}
        is_overwritten::<Md5>();
        is_overwritten::<Sha256>();
        is_overwritten::<Sha512_256>();
    }

    #[test]
    fn debug_of_an_answerer_does_not_show_the_key() {
        let challenge = strongest(&[r#"Digest realm="r", nonce="n", qop="auth""#]).unwrap();
        let answerer = Answerer::new(challenge, "public", "hunter2", [7; 16]);
        let shown = format!("{answerer:?}");
        assert!(
            shown.contains("count: 0") && !shown.contains("hunter2"),
            "{shown}"
        );
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

    /// Returns the response and the hashed name of an answer with a fixed `cnonce`, as in the examples of the RFCs.
    fn response(
        challenge: &'static str,
        user: (&str, &str),
        method: &str,
        uri: &str,
        nc: u32,
        cnonce: &str,
    ) -> (String, String) {
        let challenge = strongest(&[challenge]).unwrap();
        let hash = challenge.algorithm.hash;
        let mut ha1 = hash.hex(&[user.0.as_bytes(), &challenge.realm, user.1.as_bytes()]);
        if challenge.algorithm.session {
            ha1 = hash.hex(&[ha1.as_bytes(), &challenge.nonce, cnonce.as_bytes()]);
        }
        let ha2 = hash.hex(&[method.as_bytes(), uri.as_bytes()]);
        let nc = format!("{nc:08x}");
        let parts: [&[u8]; 6] = [
            ha1.as_bytes(),
            &challenge.nonce,
            nc.as_bytes(),
            cnonce.as_bytes(),
            b"auth",
            ha2.as_bytes(),
        ];
        let name = hash.hex(&[user.0.as_bytes(), &challenge.realm]);
        (text(&hash.hex(&parts)), text(&name))
    }

    #[test]
    fn rfc_2617_section_3_5_example_matches() {
        let challenge = r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let (response, _) = response(
            challenge,
            ("Mufasa", "Circle Of Life"),
            "GET",
            "/dir/index.html",
            1,
            "0a4f113b",
        );
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn rfc_7616_section_3_9_1_examples_match() {
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let challenge: &'static str = format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            ).leak();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let (response, _) = response(
                challenge,
                ("Mufasa", "Circle of Life"),
                "GET",
                "/dir/index.html",
                1,
                cnonce,
            );
            assert_eq!(response, expected, "{algorithm}");
        }
    }

    #[test]
    fn rfc_7616_section_3_9_2_example_with_erratum_4897_matches() {
        let challenge = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let (response, name) = response(
            challenge,
            ("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
            "GET",
            "/doe.json",
            1,
            cnonce,
        );
        assert_eq!(
            name,
            "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        );
        assert_eq!(
            response,
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
    }

    #[test]
    fn answer_has_every_field_and_a_rising_count() {
        let challenge = strongest(&[r#"Digest realm="a \"quoted\" \\ realm", nonce="n", algorithm=md5, qop="auth-int, auth", opaque="o\"o""#]).unwrap();
        let mut answerer = Answerer::new(challenge, "us\"er", "pass", [0; 16]);
        let first = answerer.authorization("GET", "/a?b=c", [0xab; 16]).unwrap();
        let second = answerer.authorization("GET", "/a?b=c", [0xab; 16]).unwrap();
        assert!(first.is_sensitive());
        let first = first.to_str().unwrap();
        assert!(first.starts_with(r#"Digest username="us\"er", realm="a \"quoted\" \\ realm", nonce="n", algorithm=MD5, opaque="o\"o", qop=auth, uri="/a?b=c", nc=00000001, cnonce="abababababababababababababababab", response=""#), "{first}");
        assert!(second.to_str().unwrap().contains("nc=00000002"));
        assert!(!format!("{answerer:?}").contains("pass"));
    }

    #[test]
    fn sess_algorithm_repeats_its_cnonce_and_userhash_hides_the_name() {
        let challenge = strongest(&[
            r#"Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop=auth, userhash=true"#,
        ])
        .unwrap();
        let mut answerer = Answerer::new(challenge, "user", "pass", [1; 16]);
        let header = answerer.authorization("GET", "/", [2; 16]).unwrap();
        let header = header.to_str().unwrap();
        assert!(
            header.contains(&format!("cnonce=\"{}\"", "01".repeat(16))),
            "{header}"
        );
        assert!(
            header.contains("userhash=true") && !header.contains("\"user\""),
            "{header}"
        );
        assert!(header.contains("algorithm=SHA-256-sess"));
    }

    #[test]
    fn name_outside_ascii_is_sent_in_extended_form() {
        let challenge = strongest(&[r#"Digest realm="r", nonce="n", qop="auth""#]).unwrap();
        let mut answerer = Answerer::new(challenge, "J\u{e4}n", "pass", [1; 16]);
        let header = answerer.authorization("GET", "/", [2; 16]).unwrap();
        let header = header.to_str().unwrap();
        assert!(
            header.starts_with("Digest username*=UTF-8''J%C3%A4n, "),
            "{header}"
        );
        // The challenge names no algorithm, so the answer does not, either.
        assert!(!header.contains("algorithm"), "{header}");
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
