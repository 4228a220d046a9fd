use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use http::Uri;

use crate::InvalidValue;

/// Where Atlas is: scheme, host, optional port, optional path prefix. Credentials go there and
/// nowhere else.
///
/// `https` is required, since every request carries a credential; plain `http` is accepted for a
/// loopback host, and elsewhere only by [`BaseUrl::allowing_plain_http`].
///
/// ```
/// use atlas_model_keys_core::BaseUrl;
/// assert_eq!(BaseUrl::default().as_str(), "https://cloud.mongodb.com");
/// assert!(BaseUrl::new("http://127.0.0.1:8080").is_ok());
/// assert!(BaseUrl::new("http://atlas.example").is_err());
/// assert!(BaseUrl::new("https://user:password@atlas.example").is_err());
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// Without a trailing slash.
    text: String,
    /// Where the path prefix begins in `text`.
    path: usize,
    loopback: bool,
}

const PARAMETER: &str = "base URL";

/// In bytes; with it, every request's URL stays far below what `http::Uri` and servers take.
const LONGEST: usize = 2_000;

impl BaseUrl {
    /// Parses a URL such as `https://cloud.mongodb.com`. A trailing slash is dropped; a path is
    /// kept as a prefix of every request's path.
    ///
    /// # Errors
    /// Another scheme than `https` (`http` for a loopback host), no host, user information, a
    /// query, a fragment, or a text that is not a URL.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let url = Self::parse(text)?;
        if url.is_https() || url.loopback {
            Ok(url)
        } else {
            Err(InvalidValue::new(
                PARAMETER,
                text,
                "plain http would show the credentials to the network: use https, \
                 or allow it explicitly (http is accepted as it is for a loopback host)",
            ))
        }
    }

    /// The same, for callers who accept that an `http` URL shows their credentials to the
    /// network between them and the host.
    ///
    /// # Errors
    /// As [`BaseUrl::new`], but for the scheme `http`.
    pub fn allowing_plain_http(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }

    /// Atlas for government, `https://cloud.mongodbgov.com`.
    #[must_use]
    pub fn government() -> Self {
        Self::from_https_host("https://cloud.mongodbgov.com")
    }

    fn from_https_host(text: &str) -> Self {
        Self {
            text: String::from(text),
            path: text.len(),
            loopback: false,
        }
    }

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |rule| InvalidValue::new(PARAMETER, text, rule);
        // Looked at in the text itself: `Uri` drops a fragment without a word, and an error must
        // not repeat a password.
        let authority_end = text
            .find("://")
            .map_or(0, |at| at + 3)
            .saturating_add(
                text.split_once("://")
                    .map_or(text, |(_, rest)| rest)
                    .find(['/', '?', '#'])
                    .unwrap_or(text.len()),
            )
            .min(text.len());
        if text.get(..authority_end).unwrap_or(text).contains('@') {
            return Err(InvalidValue::secret(
                PARAMETER,
                "user information does not belong in it; credentials are given apart",
            ));
        }
        if text.len() > LONGEST {
            return Err(invalid("it is longer than 2,000 bytes"));
        }
        if text.contains('#') {
            return Err(invalid("it must have no fragment (\"#…\")"));
        }
        if text.contains('?') {
            return Err(invalid("it must have no query (\"?…\")"));
        }
        let uri = Uri::try_from(text)
            .map_err(|_| invalid("it is a URL such as https://cloud.mongodb.com"))?;
        let scheme = match uri.scheme_str() {
            Some("https") => "https://",
            Some("http") => "http://",
            _ => return Err(invalid("it begins with https://")),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(|| invalid("it has a host, as in https://cloud.mongodb.com"))?;
        // `host:` and `host:99999` are let through by `Uri`, without a port to show for it.
        let has_port_text = authority.as_str().len() > authority.host().len();
        if (has_port_text && authority.port_u16().is_none()) || authority.port_u16() == Some(0) {
            return Err(invalid("its port is a number from 1 to 65535"));
        }
        let prefix = uri.path().trim_end_matches('/');
        if prefix
            .split('/')
            .any(|segment| matches!(segment, "." | ".."))
            || prefix.contains("//")
        {
            return Err(invalid("its path has no empty, \".\" or \"..\" segment"));
        }
        let mut normal = String::with_capacity(text.len());
        normal.push_str(scheme);
        normal.push_str(authority.as_str());
        normal.make_ascii_lowercase();
        let path = normal.len();
        normal.push_str(prefix);
        Ok(Self {
            text: normal,
            path,
            loopback: is_loopback(authority.host()),
        })
    }

    /// The URL, without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port: what credentials are bound to.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    /// The path that comes before every request's path; empty where there is none.
    #[must_use]
    pub fn path_prefix(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// By name or address only; nothing is looked up (RFC 6761 §6.3 reserves `localhost`).
fn is_loopback(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<core::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl Default for BaseUrl {
    /// `https://cloud.mongodb.com`.
    fn default() -> Self {
        Self::from_https_host("https://cloud.mongodb.com")
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BaseUrl({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn urls_are_normalised() {
        for (text, normal, origin, prefix) in [
            (
                "https://cloud.mongodb.com",
                "https://cloud.mongodb.com",
                "https://cloud.mongodb.com",
                "",
            ),
            (
                "HTTPS://Cloud.MongoDB.com/",
                "https://cloud.mongodb.com",
                "https://cloud.mongodb.com",
                "",
            ),
            (
                "https://gw.example:8443/Atlas/",
                "https://gw.example:8443/Atlas",
                "https://gw.example:8443",
                "/Atlas",
            ),
            ("http://[::1]:9", "http://[::1]:9", "http://[::1]:9", ""),
            (
                "http://localhost",
                "http://localhost",
                "http://localhost",
                "",
            ),
            (
                "http://127.8.9.1:1",
                "http://127.8.9.1:1",
                "http://127.8.9.1:1",
                "",
            ),
        ] {
            let url = BaseUrl::new(text).unwrap();
            assert_eq!(
                (url.as_str(), url.origin(), url.path_prefix()),
                (normal, origin, prefix)
            );
        }
    }

    #[test]
    fn what_is_not_a_base_url_is_refused_with_the_rule() {
        for (text, rule) in [
            ("", "URL"),
            ("cloud.mongodb.com", "https://"),
            ("/api", "https://"),
            ("ftp://cloud.mongodb.com", "https://"),
            ("http://cloud.mongodb.com", "plain http"),
            ("http://127.0.0.1.evil.example", "plain http"),
            ("http://localhost.evil.example", "plain http"),
            ("https://a.example/?x=1", "query"),
            ("https://a.example/#x", "fragment"),
            ("https://a.example:", "port"),
            ("https://a.example:0", "port"),
            ("https://a.example:99999", "port"),
            ("https://a.example/a/../b", "segment"),
            ("https://a.example//b", "segment"),
            ("https:///b", "URL"),
            ("https://a example", "URL"),
        ] {
            let error = BaseUrl::new(text).unwrap_err().to_string();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for text in [
            "https://me:hunter2@a.example",
            "me:hunter2@a.example/x",
            "https://hunter2@[::1]/",
        ] {
            let error = BaseUrl::new(text).unwrap_err().to_string();
            assert!(error.contains("user information"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn plain_http_elsewhere_must_be_allowed_explicitly() {
        let url = BaseUrl::allowing_plain_http("http://atlas.example").unwrap();
        assert!(!url.is_https() && !url.is_loopback());
        assert!(BaseUrl::allowing_plain_http("ftp://atlas.example").is_err());
    }
}
