use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

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
    /// Host and port, ready for the URI of every request.
    authority: Authority,
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
        Self::from_https_host("cloud.mongodbgov.com")
    }

    fn from_https_host(host: &'static str) -> Self {
        let text = format!("https://{host}");
        Self {
            path: text.len(),
            text,
            authority: Authority::from_static(host),
            loopback: false,
        }
    }

    fn parse(text: &str) -> Result<Self, InvalidValue> {
        // What may hold a password or a token is not repeated.
        let has_secret = text.contains(['@', '?', '#', '%']);
        let invalid = |rule| match has_secret {
            true => InvalidValue::secret(PARAMETER, rule),
            false => InvalidValue::new(PARAMETER, text, rule),
        };
        if text.len() > LONGEST {
            return Err(invalid("it is longer than 2,000 bytes"));
        }
        // Looked at in the text itself: `Uri` drops a fragment without a word.
        for (mark, rule) in [
            (
                "@",
                "user information does not belong in it; credentials are given apart",
            ),
            ("#", "it must have no fragment (\"#…\")"),
            ("?", "it must have no query (\"?…\")"),
            ("%", "nothing in it is percent-encoded"),
        ] {
            if text.contains(mark) {
                return Err(invalid(rule));
            }
        }
        let uri = Uri::try_from(text)
            .map_err(|_| invalid("it is a URL such as https://cloud.mongodb.com"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => ("https://", ":443"),
            Some("http") => ("http://", ":80"),
            _ => {
                return Err(invalid(
                    "it begins with https:// (or http://, for this machine)",
                ));
            }
        };
        let authority = uri.authority().map(Authority::as_str).unwrap_or_default();
        let (host, port) = match authority.rfind(':') {
            // The last colon of an address without a port is inside its brackets.
            Some(colon) if !authority.ends_with(']') => authority.split_at(colon),
            _ => (authority, ""),
        };
        if !is_host(host) {
            return Err(invalid("it has a host, as in https://cloud.mongodb.com"));
        }
        if !port.is_empty() && !is_port(port) {
            return Err(invalid("its port is a number from 1 to 65535"));
        }
        let prefix = uri.path().trim_end_matches('/');
        if !is_path(prefix) {
            return Err(invalid(
                "its path is of letters, digits and -._~!$&'()*+,;=: without an empty, \".\" or \"..\" \
                 segment",
            ));
        }
        let port = if port == default_port { "" } else { port };
        let mut normal = String::with_capacity(text.len());
        normal.push_str(scheme);
        normal.push_str(host);
        normal.push_str(port);
        normal.make_ascii_lowercase();
        let path = normal.len();
        let authority = normal.get(scheme.len()..).unwrap_or_default();
        let authority = Authority::try_from(authority)
            .map_err(|_| invalid("it has a host, as in https://cloud.mongodb.com"))?;
        normal.push_str(prefix);
        Ok(Self {
            text: normal,
            path,
            authority,
            loopback: is_loopback(host),
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

    /// The URI of a path and query, which follow the prefix.
    #[inline]
    pub(crate) fn uri(&self, path_and_query: Vec<u8>) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(match self.is_https() {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        });
        parts.authority = Some(self.authority.clone());
        // The prefix was checked, and what follows it is fixed text with digits: it is always one.
        parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Whether the host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// A name of letters, digits, hyphens and underscores, an IPv4 address, or an IPv6 address in brackets.
/// Names in other scripts are given in their ASCII form (`xn--…`).
fn is_host(host: &str) -> bool {
    if let Some(address) = bracketed(host) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let is_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_char)
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A colon, and a number as people write it: no sign, no zeros before it.
fn is_port(port: &str) -> bool {
    port.strip_prefix(':').is_some_and(|digits| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
            && digits.parse::<u16>().is_ok()
    })
}

/// Nothing that would have to be encoded, or that another server may read another way.
fn is_path(prefix: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:/".contains(&b);
    let mut segments = prefix.strip_prefix('/').unwrap_or(prefix).split('/');
    prefix.is_empty()
        || (prefix.bytes().all(is_char) && !segments.any(|s| matches!(s, "" | "." | "..")))
}

fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// By name or address only; nothing is looked up (RFC 6761 §6.3 reserves `localhost`).
fn is_loopback(host: &str) -> bool {
    let address = match bracketed(host) {
        Some(address) => address.parse().map(IpAddr::V6),
        None => host.parse().map(IpAddr::V4),
    };
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Default for BaseUrl {
    /// `https://cloud.mongodb.com`.
    fn default() -> Self {
        Self::from_https_host("cloud.mongodb.com")
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
            ("https://[]", "host"),
            ("https://[zz]", "host"),
            ("https://[127.0.0.1]", "host"),
            ("https://a..b", "host"),
            ("https://.", "host"),
            ("https://*", "host"),
            ("https://a.example:+443", "port"),
            ("https://a.example:0443", "port"),
            ("https://a.example/%2e%2e/x", "percent"),
            ("https://a.example/é", "path"),
            ("https://a.example/\\x", "path"),
            ("http://localhost.", "plain http"),
            ("http://0.0.0.0", "plain http"),
            ("http://127.1", "plain http"),
            ("http://[::ffff:127.0.0.1]", "plain http"),
        ] {
            let error = BaseUrl::new(text).unwrap_err().to_string();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        for text in [
            "https://me:hunter2/x@a.example",
            "https:/me:hunter2@a.example",
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
    fn what_may_hold_a_secret_is_not_repeated() {
        for text in [
            "https://me:hun#hunter2",
            "https://me:?hunter2",
            "https://me%40hunter2",
            "https://a.example?token=hunter2",
        ] {
            let error = BaseUrl::new(text).unwrap_err();
            assert!(
                !alloc::format!("{error} {error:?}").contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn plain_http_elsewhere_must_be_allowed_explicitly() {
        let url = BaseUrl::allowing_plain_http("http://atlas.example").unwrap();
        assert!(!url.is_https() && !url.is_loopback());
        assert!(BaseUrl::allowing_plain_http("ftp://atlas.example").is_err());
    }
}
