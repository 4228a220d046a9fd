//! The answers to a challenge.

use alloc::vec::Vec;
use core::fmt;

use http::HeaderValue;
use memchr::memchr2;
use zeroize::Zeroizing;

use super::challenge::{Algorithm, Challenge};
use super::hash::{HashState, Hex};
use crate::secret::percent_encoded;

/// Computes the answers to one challenge. An answer is a value of `Authorization`.
///
/// Each answer raises the count `nc` by one. If several answerers may have the same nonce, because the server issues it
/// more than once, the caller keeps the count and calls [`set_count`](Answerer::set_count) before each answer.
///
/// It keeps only the state of a hash that includes the credential, and never the credential itself.
pub struct Answerer {
    challenge: Challenge,
    /// The beginning of each answer, up to the target.
    beginning: Vec<u8>,
    /// The state of the response's hash after `H(A1)`, which is the hash of the credential, and the nonce. It is a secret, because
    /// it suffices to sign requests with this nonce.
    keyed: HashState,
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
        let mut ha1 = Zeroizing::new(hash.hex(&[name, realm, password.as_bytes()]));
        if session {
            let cnonce = Hex::of(&cnonce);
            ha1 = Zeroizing::new(hash.hex(&[ha1.as_bytes(), &challenge.nonce, cnonce.as_bytes()]));
        }
        let start = [ha1.as_bytes(), b":", &challenge.nonce, b":"].concat();
        let keyed = hash.begin(&Zeroizing::new(start));
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
            keyed,
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
    pub fn set_count(&mut self, count: u32) {
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
        let (count_hex, cnonce_hex) = (count.as_bytes(), cnonce.as_bytes());
        let parts = [count_hex, cnonce_hex, b"auth", ha2.as_bytes()];
        let response = self.keyed.hex(&parts);

        // Usually this is the exact size: a full buffer becomes a header value without another allocation.
        let hex = count_hex.len() + cnonce_hex.len() + response.as_bytes().len();
        let size = self.beginning.len() + target.len() + AROUND_VALUES.len() + hex;
        let mut header = Vec::with_capacity(size);
        header.extend_from_slice(&self.beginning);
        push_quoted(&mut header, b"", target.as_bytes());
        header.extend_from_slice(b", nc=");
        header.extend_from_slice(count_hex);
        header.extend_from_slice(b", cnonce=\"");
        header.extend_from_slice(cnonce_hex);
        header.extend_from_slice(b"\", response=\"");
        header.extend_from_slice(response.as_bytes());
        header.push(b'"');
        let mut value = HeaderValue::try_from(header).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What is written around the target, the count, the client nonce and the response.
const AROUND_VALUES: &str = r#""", nc=, cnonce="", response="""#;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::challenge::tests::strongest;
    use alloc::format;
    use alloc::string::String;

    fn text(hex: &Hex) -> String {
        String::from_utf8(hex.as_bytes().into()).unwrap()
    }

    /// Returns the response and the hashed name of an answer with a fixed `cnonce`, as in the examples of the RFCs.
    fn response(
        challenge: &str,
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
            let challenge = format!(
                r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#
            );
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let (response, _) = response(
                &challenge,
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
    fn response_is_the_hash_of_all_parts_for_nonces_of_any_length() {
        for name in ["MD5", "SHA-256", "SHA-512-256", "MD5-sess", "SHA-256-sess"] {
            for len in 1..140 {
                let nonce = "n".repeat(len);
                let text = format!("Digest realm=r, nonce={nonce}, algorithm={name}, qop=auth");
                let mut answerer =
                    Answerer::new(strongest(&[&text]).unwrap(), "u", "p", [0xcd; 16]);
                let header = answerer.authorization("GET", "/", [0xab; 16]).unwrap();
                let Algorithm { hash, session } = strongest(&[&text]).unwrap().algorithm;
                let of = |parts: String| self::text(&hash.hex(&[parts.as_bytes()]));
                let (mut ha1, ha2) = (of("u:r:p".into()), of("GET:/".into()));
                let cnonce = if session { "cd" } else { "ab" }.repeat(16);
                if session {
                    ha1 = of(format!("{ha1}:{nonce}:{cnonce}"));
                }
                let response = of(format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
                let end = format!(", response=\"{response}\"");
                assert!(header.to_str().unwrap().ends_with(&end), "{name} {len}");
            }
        }
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
}
