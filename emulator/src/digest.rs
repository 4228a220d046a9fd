//! Digest authentication (RFC 7616), the server's side: challenges, nonces, verification.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::prng::{self, Prng};

/// The realm of every challenge that Atlas was recorded to send.
pub(crate) const REALM: &str = "MMS Public API";

/// How many nonces are remembered. One more, and the oldest is forgotten: whoever uses that one
/// gets a fresh challenge with `stale=true`.
const MAX_NONCES: usize = 10_000;

/// How many parameters an `Authorization` header may have; RFC 7616 knows eleven.
const MAX_PARAMS: usize = 32;

/// An algorithm of RFC 7616 §3.3. Atlas offers MD5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestAlgorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
}

impl DigestAlgorithm {
    const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    fn hash(self, bytes: &[u8]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(bytes)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(bytes)),
            Self::Sha512_256 | Self::Sha512_256Sess => hex(&Sha512_256::digest(bytes)),
        }
    }

    fn is_session(self) -> bool {
        matches!(
            self,
            Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess
        )
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The value of a `WWW-Authenticate` header, to the letter as recorded from Atlas.
pub(crate) fn challenge(algorithm: DigestAlgorithm, nonce: &str, stale: bool) -> String {
    format!(
        "Digest realm=\"{REALM}\", domain=\"\", nonce=\"{nonce}\", algorithm={algorithm}, \
         qop=\"auth\", stale={stale}"
    )
}

/// What a client answered to a challenge.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) username: String,
    /// In whatever encoding the challenge had it: its bytes are what counts.
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) uri: String,
    pub(crate) algorithm: DigestAlgorithm,
    cnonce: String,
    nc: String,
    response: String,
}

impl Answer {
    /// Reads what stands after `Digest ` in an `Authorization` header. `None` where it is not
    /// well-formed, or lacks anything that `qop=auth` requires.
    pub(crate) fn parse(credentials: &[u8]) -> Option<Self> {
        // A character for each byte: one parser for all encodings.
        let characters: String = credentials.iter().copied().map(char::from).collect();
        let mut params = params(&characters)?;
        let bytes = |text: String| text.chars().map(|c| u8::try_from(c).ok()).collect();
        let realm: Option<Vec<u8>> = params.remove("realm").and_then(bytes);
        let mut take = |name| String::from_utf8(params.remove(name).and_then(bytes)?).ok();
        let answer = Self {
            username: take("username")?,
            realm: realm?,
            nonce: take("nonce")?,
            uri: take("uri")?,
            // RFC 7616 §3.4: absent means MD5.
            algorithm: match take("algorithm") {
                Some(name) => DigestAlgorithm::parse(&name)?,
                None => DigestAlgorithm::Md5,
            },
            cnonce: take("cnonce").filter(|cnonce| !cnonce.is_empty())?,
            nc: take("nc")?,
            response: take("response")?,
        };
        // The one quality that is offered. User names are not hashed here, as no challenge
        // offers that.
        let plain = take("userhash").is_none_or(|hashed| hashed.eq_ignore_ascii_case("false"));
        (take("qop")? == "auth" && plain && answer.nc().is_some()).then_some(answer)
    }

    /// How often the client has used the nonce: exactly eight hexadecimal digits.
    pub(crate) fn nc(&self) -> Option<u32> {
        let digits = self.nc.len() == 8 && self.nc.bytes().all(|b| b.is_ascii_hexdigit());
        digits
            .then(|| u32::from_str_radix(&self.nc, 16).ok())
            .flatten()
    }

    /// Whether whoever made it knows the password (RFC 7616 §3.4.1).
    pub(crate) fn is_made_with(&self, password: &str, method: &str) -> bool {
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

/// `name=token` and `name="quoted string"`, separated by commas (RFC 9110 §11.2). `None` where
/// it is anything else, or names a parameter twice. Names are turned to lower case.
fn params(text: &str) -> Option<HashMap<String, String>> {
    let mut params = HashMap::new();
    let mut rest = text;
    loop {
        // A list may have empty elements (RFC 9110 §5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(params);
        }
        let (name, after) = token(rest)?;
        let after = blank(after).strip_prefix('=').map(blank)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => token(after).map(|(value, after)| (value.to_owned(), after))?,
        };
        rest = blank(after);
        let separated = rest.is_empty() || rest.starts_with(',');
        let is_new = params.insert(name.to_ascii_lowercase(), value).is_none();
        (separated && is_new && params.len() <= MAX_PARAMS).then_some(())?;
    }
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// A token (RFC 9110 §5.6.2) and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What stands before the closing quote, with escapes undone, and what follows that quote.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// The nonces that were issued and may still be used.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    ttl: Duration,
    prng: Prng,
    known: HashMap<String, Nonce>,
    /// Oldest first.
    order: VecDeque<String>,
}

#[derive(Clone, Debug)]
struct Nonce {
    issued: Duration,
    last_nc: u32,
    /// What a fault offered with it, beside the configured algorithms.
    also: Option<DigestAlgorithm>,
    /// What a fault gave it instead of [`REALM`].
    realm: Option<&'static [u8]>,
}

impl Nonces {
    pub(crate) fn new(seed: u64, ttl: Duration) -> Self {
        Self {
            ttl,
            prng: Prng::stream(seed, "nonces"),
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn issue(&mut self, now: Duration) -> String {
        if self.order.len() >= MAX_NONCES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let text = self.prng.text(prng::BASE64, 32);
        let nonce = Nonce {
            issued: now,
            last_nc: 0,
            also: None,
            realm: None,
        };
        self.known.insert(text.clone(), nonce);
        self.order.push_back(text.clone());
        text
    }

    /// Whether the nonce may be used with this count, which must be higher than every earlier
    /// one: the same request sent twice is refused.
    pub(crate) fn admit(&mut self, nonce: &str, nc: u32, now: Duration) -> bool {
        let Some(nonce) = self.known.get_mut(nonce) else {
            return false;
        };
        if now.saturating_sub(nonce.issued) >= self.ttl || nc <= nonce.last_nc {
            return false;
        }
        nonce.last_nc = nc;
        true
    }

    /// From now on, an answer to this nonce may be made with this algorithm too.
    pub(crate) fn offer(&mut self, nonce: &str, algorithm: DigestAlgorithm) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.also = Some(algorithm);
        }
    }

    pub(crate) fn offered(&self, nonce: &str, algorithm: DigestAlgorithm) -> bool {
        self.known
            .get(nonce)
            .is_some_and(|nonce| nonce.also == Some(algorithm))
    }

    /// From now on, an answer to this nonce must be made with this realm.
    pub(crate) fn set_realm(&mut self, nonce: &str, realm: &'static [u8]) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.realm = Some(realm);
        }
    }

    pub(crate) fn realm(&self, nonce: &str) -> &'static [u8] {
        let realm = self.known.get(nonce).and_then(|nonce| nonce.realm);
        realm.unwrap_or(REALM.as_bytes())
    }

    /// Makes one nonce expire.
    pub(crate) fn forget(&mut self, nonce: &str) {
        // Its place in the order is left to itself: it is passed by when its time comes.
        self.known.remove(nonce);
    }

    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 §3.9.1, but for the algorithm and the response.
    fn rfc_7616(algorithm: &str, response: &str) -> Answer {
        let credentials = format!(
            "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"{response}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        );
        Answer::parse(credentials.as_bytes()).unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_7616() {
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
            let answer = rfc_7616(algorithm, response);
            assert_eq!(answer.algorithm.as_str(), algorithm);
            assert!(answer.is_made_with("Circle of Life", "GET"), "{algorithm}");
            assert!(!answer.is_made_with("Circle of Life", "HEAD"));
            assert!(!answer.is_made_with("circle of life", "GET"));
        }
    }

    #[test]
    fn parameters_are_read_with_their_escapes() {
        let parsed = params(r#" A = "x, \"y\" \\" ,, b=1	, c="" , d=é"#);
        assert_eq!(parsed, None, "a token has no é");
        let parsed = params(r#" A = "x, \"y\" \\é" ,, b=1	, c="" ,"#).unwrap();
        let get = |name: &str| parsed.get(name).map(String::as_str);
        assert_eq!(get("a"), Some(r#"x, "y" \é"#));
        assert_eq!(get("b"), Some("1"));
        assert_eq!(get("c"), Some(""));
        for wrong in [
            "a", "a=", "=1", "a=\"", "a=\"\\", "a=1 b=2", "a=1;b=2", "a=1, A=2", "a=\"1\"x",
        ] {
            assert_eq!(params(wrong), None, "{wrong}");
        }
        let many = (0..=MAX_PARAMS).fold(String::new(), |text, n| format!("{text}p{n}=1,"));
        assert_eq!(params(&many), None);
    }

    #[test]
    fn an_answer_needs_all_that_qop_auth_requires() {
        let right = "username=u, realm=r, nonce=n, uri=\"/\", cnonce=c, nc=0000000f, \
                     response=x, qop=auth, userhash=false";
        let answer = Answer::parse(right.as_bytes()).unwrap();
        assert_eq!(answer.nc(), Some(15));
        assert_eq!(answer.algorithm, DigestAlgorithm::Md5);
        for (from, to) in [
            ("username=u, ", ""),
            ("nonce=n, ", ""),
            ("uri=\"/\", ", ""),
            ("cnonce=c", "cnonce=\"\""),
            ("nc=0000000f", "nc=f"),
            ("nc=0000000f", "nc=+000000f"),
            ("qop=auth", "qop=auth-int"),
            ("qop=auth, ", ""),
            ("userhash=false", "userhash=true"),
            ("userhash=false", "algorithm=SHA-1"),
        ] {
            let wrong = right.replace(from, to);
            assert!(
                wrong != right && Answer::parse(wrong.as_bytes()).is_none(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_nonce_is_used_with_rising_counts_until_it_expires() {
        let second = Duration::from_secs;
        let mut nonces = Nonces::new(0, second(60));
        let nonce = nonces.issue(second(100));
        assert!(nonces.admit(&nonce, 1, second(100)));
        assert!(!nonces.admit(&nonce, 1, second(100)), "replay");
        assert!(nonces.admit(&nonce, 7, second(159)));
        assert!(!nonces.admit(&nonce, 6, second(159)));
        assert!(!nonces.admit(&nonce, 8, second(160)), "expired");
        assert!(!nonces.admit("unknown", 1, second(100)));
    }

    #[test]
    fn nonces_are_bounded() {
        let mut nonces = Nonces::new(0, Duration::MAX);
        let first = nonces.issue(Duration::ZERO);
        let second = nonces.issue(Duration::ZERO);
        for _ in 2..=MAX_NONCES {
            nonces.issue(Duration::ZERO);
        }
        assert_eq!(nonces.known.len(), MAX_NONCES);
        assert!(!nonces.admit(&first, 1, Duration::ZERO));
        assert!(nonces.admit(&second, 1, Duration::ZERO));
    }
}
