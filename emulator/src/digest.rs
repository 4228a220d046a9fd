//! The server's side of digest authentication (RFC 7616): challenges, nonces, verification.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512_256};

use crate::prng::{self, Prng};

/// The realm of every challenge that was recorded from Atlas.
pub(crate) const REALM: &str = "MMS Public API";

/// The maximum number of nonces in memory. A further nonce replaces the oldest one, whose next use
/// gets a new challenge with `stale=true`.
const MAX_NONCES: usize = 10_000;

/// The maximum number of parameters in an `Authorization` header. RFC 7616 defines eleven.
const MAX_PARAMS: usize = 32;

/// A digest algorithm of RFC 7616 §3.3. Atlas offers MD5.
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

    /// Returns the name on the wire.
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

/// Returns the value of a `WWW-Authenticate` header, exactly as recorded from Atlas.
pub(crate) fn challenge(algorithm: DigestAlgorithm, nonce: &str, stale: bool) -> String {
    format!(
        "Digest realm=\"{REALM}\", domain=\"\", nonce=\"{nonce}\", algorithm={algorithm}, \
         qop=\"auth\", stale={stale}"
    )
}

/// The parameters of a digest `Authorization` header.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) username: String,
    /// As bytes, because a challenge may have it in any encoding.
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) uri: String,
    pub(crate) algorithm: DigestAlgorithm,
    cnonce: String,
    nc: String,
    response: String,
}

impl Authorization {
    /// Parses the part of an `Authorization` header after `Digest `. Returns `None` if it is
    /// malformed, or if a parameter that `qop=auth` requires is missing.
    pub(crate) fn parse(credentials: &[u8]) -> Option<Self> {
        // Each byte becomes one character, so that one parser serves all encodings.
        let characters: String = credentials.iter().copied().map(char::from).collect();
        let mut params = params(&characters)?;
        let bytes = |text: String| text.chars().map(|c| u8::try_from(c).ok()).collect();
        let realm: Option<Vec<u8>> = params.remove("realm").and_then(bytes);
        let mut take = |name| String::from_utf8(params.remove(name).and_then(bytes)?).ok();
        let authorization = Self {
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
        // No challenge offers another `qop` or `userhash`.
        let plain = take("userhash").is_none_or(|hashed| hashed.eq_ignore_ascii_case("false"));
        (take("qop")? == "auth" && plain && authorization.nc().is_some()).then_some(authorization)
    }

    /// Returns the nonce count, or `None` if it is not exactly eight hexadecimal digits.
    pub(crate) fn nc(&self) -> Option<u32> {
        let digits = self.nc.len() == 8 && self.nc.bytes().all(|b| b.is_ascii_hexdigit());
        digits
            .then(|| u32::from_str_radix(&self.nc, 16).ok())
            .flatten()
    }

    /// Returns whether the response was computed with this password (RFC 7616 §3.4.1).
    pub(crate) fn matches_password(&self, password: &str, method: &str) -> bool {
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

/// Parses `name=token` and `name="quoted string"`, separated by commas (RFC 9110 §11.2). Returns
/// `None` for anything else, and if a parameter appears twice. Names become lower case.
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

/// Splits off a token (RFC 9110 §5.6.2), and returns it and the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Returns the unescaped text before the closing quote, and the rest after that quote.
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

/// The nonces that were issued and not yet discarded.
#[derive(Clone, Debug)]
pub(crate) struct Nonces {
    ttl: Duration,
    prng: Prng,
    known: HashMap<String, Nonce>,
    /// From the oldest to the newest.
    order: VecDeque<String>,
}

#[derive(Clone, Debug)]
struct Nonce {
    issued: Duration,
    last_nc: u32,
    /// An algorithm that a fault offered with this nonce, beside the configured ones.
    extra_algorithm: Option<DigestAlgorithm>,
    /// The realm that a fault sent with this nonce instead of [`REALM`].
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
            extra_algorithm: None,
            realm: None,
        };
        self.known.insert(text.clone(), nonce);
        self.order.push_back(text.clone());
        text
    }

    /// Records the use of a nonce, and returns whether it is valid with this count. The count must
    /// be higher than all earlier ones, so a replayed request is refused.
    pub(crate) fn accept(&mut self, nonce: &str, nc: u32, now: Duration) -> bool {
        let Some(nonce) = self.known.get_mut(nonce) else {
            return false;
        };
        if now.saturating_sub(nonce.issued) >= self.ttl || nc <= nonce.last_nc {
            return false;
        }
        nonce.last_nc = nc;
        true
    }

    /// Also accepts this algorithm for this nonce from now on.
    pub(crate) fn allow_algorithm(&mut self, nonce: &str, algorithm: DigestAlgorithm) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.extra_algorithm = Some(algorithm);
        }
    }

    pub(crate) fn allows_algorithm(&self, nonce: &str, algorithm: DigestAlgorithm) -> bool {
        self.known
            .get(nonce)
            .is_some_and(|nonce| nonce.extra_algorithm == Some(algorithm))
    }

    /// Requires this realm for this nonce from now on.
    pub(crate) fn set_realm(&mut self, nonce: &str, realm: &'static [u8]) {
        if let Some(nonce) = self.known.get_mut(nonce) {
            nonce.realm = Some(realm);
        }
    }

    pub(crate) fn realm(&self, nonce: &str) -> &'static [u8] {
        let realm = self.known.get(nonce).and_then(|nonce| nonce.realm);
        realm.unwrap_or(REALM.as_bytes())
    }

    /// Expires one nonce.
    pub(crate) fn expire(&mut self, nonce: &str) {
        // The entry in `order` stays until it is the oldest; removing it then has no effect.
        self.known.remove(nonce);
    }

    pub(crate) fn expire_all(&mut self) {
        self.known.clear();
        self.order.clear();
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

    #[test]
    fn parameters_are_unescaped_and_malformed_ones_are_refused() {
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
    fn authorization_without_a_parameter_of_qop_auth_is_refused() {
        let right = "username=u, realm=r, nonce=n, uri=\"/\", cnonce=c, nc=0000000f, \
                     response=x, qop=auth, userhash=false";
        let authorization = Authorization::parse(right.as_bytes()).unwrap();
        assert_eq!(authorization.nc(), Some(15));
        assert_eq!(authorization.algorithm, DigestAlgorithm::Md5);
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
                wrong != right && Authorization::parse(wrong.as_bytes()).is_none(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn nonce_is_accepted_with_rising_counts_until_it_expires() {
        let second = Duration::from_secs;
        let mut nonces = Nonces::new(0, second(60));
        let nonce = nonces.issue(second(100));
        assert!(nonces.accept(&nonce, 1, second(100)));
        assert!(!nonces.accept(&nonce, 1, second(100)), "replay");
        assert!(nonces.accept(&nonce, 7, second(159)));
        assert!(!nonces.accept(&nonce, 6, second(159)));
        assert!(!nonces.accept(&nonce, 8, second(160)), "expired");
        assert!(!nonces.accept("unknown", 1, second(100)));
    }

    #[test]
    fn oldest_nonce_is_discarded_at_the_maximum() {
        let mut nonces = Nonces::new(0, Duration::MAX);
        let first = nonces.issue(Duration::ZERO);
        let second = nonces.issue(Duration::ZERO);
        for _ in 2..=MAX_NONCES {
            nonces.issue(Duration::ZERO);
        }
        assert_eq!(nonces.known.len(), MAX_NONCES);
        assert!(!nonces.accept(&first, 1, Duration::ZERO));
        assert!(nonces.accept(&second, 1, Duration::ZERO));
    }
}
