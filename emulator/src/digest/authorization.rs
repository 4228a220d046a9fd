//! The parser of the `Authorization` header of digest authentication. The check of the values is in `digest`.

use std::collections::HashMap;

use super::algorithm::DigestAlgorithm;

/// The maximum number of parameters in an `Authorization` header. RFC 7616 defines eleven.
const MAX_PARAMS: usize = 32;

/// The parameters of a digest `Authorization` header.
#[derive(Debug)]
pub(crate) struct Authorization {
    username: String,
    /// Whether `username` is a hash (RFC 7616 §3.4.4).
    userhash: bool,
    /// The realm, as bytes, because a challenge may have it in any encoding.
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) uri: String,
    pub(crate) algorithm: DigestAlgorithm,
    pub(super) cnonce: String,
    pub(super) nc: String,
    pub(super) response: String,
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
            userhash: match take("userhash") {
                Some(text) => text.to_ascii_lowercase().parse().ok()?,
                None => false,
            },
        };
        // The challenges offer only `qop=auth`.
        (take("qop")? == "auth" && authorization.nc().is_some()).then_some(authorization)
    }

    /// Returns whether the header names this user, in plain text or as a hash.
    pub(super) fn is_of(&self, user: &str) -> bool {
        if self.userhash {
            let name = [user.as_bytes(), &self.realm].join(&b':');
            self.algorithm
                .hash(&name)
                .eq_ignore_ascii_case(&self.username)
        } else {
            self.username == user
        }
    }

    /// Returns the nonce count, or `None` if it is not exactly eight hexadecimal digits.
    pub(crate) fn nc(&self) -> Option<u32> {
        let digits = self.nc.len() == 8 && self.nc.bytes().all(|b| b.is_ascii_hexdigit());
        digits
            .then(|| u32::from_str_radix(&self.nc, 16).ok())
            .flatten()
    }
}

/// Returns those parameters of the part after `Digest ` that do not depend on the password or a nonce, if they
/// have their usual form. There are none if the part is malformed.
pub(crate) fn harmless_parameters(
    credentials: &str,
) -> impl Iterator<Item = (&'static str, String)> {
    let mut params = params(credentials).unwrap_or_default();
    ["username", "realm", "uri", "algorithm", "qop", "nc"]
        .into_iter()
        .filter_map(move |name| Some((name, params.remove(name)?)))
        .filter(|(name, value)| match *name {
            "nc" => value.len() == 8 && value.bytes().all(|b| b.is_ascii_hexdigit()),
            "qop" => ["auth", "auth-int"].contains(&value.as_str()),
            "algorithm" => value.len() <= 16,
            _ => true,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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
            ("userhash=false", "userhash=yes"),
            ("userhash=false", "algorithm=SHA-1"),
        ] {
            let wrong = right.replace(from, to);
            assert!(
                wrong != right && Authorization::parse(wrong.as_bytes()).is_none(),
                "{wrong}"
            );
        }
    }
}
