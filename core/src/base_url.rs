//! The base URL of Atlas, which credentials are bound to.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

use crate::InvalidValue;

/// The URL of Atlas: scheme, host, optional port, optional path prefix. Credentials are sent there and
/// nowhere else.
///
/// `https` is required, since every request carries a credential. Plain `http` is accepted for a
/// loopback host; for other hosts use [`BaseUrl::allowing_plain_http`].
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
    /// The URL without a trailing slash.
    text: String,
    /// The start of the path prefix in `text`.
    path: usize,
    /// Host and port, ready for the URI of every request.
    authority: Authority,
    loopback: bool,
}

const PARAMETER: &str = "base URL";

/// The longest base URL in bytes. The URL of every request then stays far below the limits of `http::Uri` and servers.
const MAX_LENGTH: usize = 2_000;

impl BaseUrl {
    /// Parses a URL such as `https://cloud.mongodb.com`. A trailing slash is removed, and a path
    /// becomes the prefix of every request's path.
    ///
    /// # Errors
    /// Fails if the text is not a URL, if the scheme is not `https` (or `http` for a loopback host), if the host is
    /// missing, or if there is user information, a query or a fragment.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let url = Self::parse(text)?;
        if url.is_https() || url.loopback {
            Ok(url)
        } else {
            Err(InvalidValue::new(
                PARAMETER,
                text,
                "plain http would show the credentials to the network: use https, \
                 or allow it explicitly (for a loopback host, http is always accepted)",
            ))
        }
    }

    /// Parses a URL like [`BaseUrl::new`], but accepts `http` for every host. Such a URL shows the credentials to
    /// the network between the caller and the host.
    ///
    /// # Errors
    /// Fails like [`BaseUrl::new`], except for the scheme `http`.
    pub fn allowing_plain_http(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(text)
    }

    /// Returns the URL of Atlas for Government, `https://cloud.mongodbgov.com`.
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
        // A text that may hold a password or a token is not repeated.
        let may_hold_secret = text.contains(['@', '?', '#', '%']);
        let invalid = |rule| match may_hold_secret {
            true => InvalidValue::without_value(PARAMETER, rule),
            false => InvalidValue::new(PARAMETER, text, rule),
        };
        if text.len() > MAX_LENGTH {
            return Err(invalid("it must not be longer than 2,000 bytes"));
        }
        // The text itself is checked, because `Uri` drops a fragment silently.
        for (mark, rule) in [
            (
                "@",
                "it must have no user information (\"user:password@\"): give the credentials separately",
            ),
            ("#", "it must have no fragment (\"#…\")"),
            ("?", "it must have no query (\"?…\")"),
            ("%", "it must have no percent-encoding (\"%…\")"),
        ] {
            if text.contains(mark) {
                return Err(invalid(rule));
            }
        }
        let uri = Uri::try_from(text)
            .map_err(|_| invalid("it must be a URL such as https://cloud.mongodb.com"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => ("https://", ":443"),
            Some("http") => ("http://", ":80"),
            _ => {
                return Err(invalid(
                    "it must begin with https:// (or with http:// for a loopback host)",
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
            return Err(invalid(
                "it must have a host, as in https://cloud.mongodb.com",
            ));
        }
        if !port.is_empty() && !is_port(port) {
            return Err(invalid("its port must be a number from 1 to 65535"));
        }
        let prefix = uri.path().trim_end_matches('/');
        if !is_path(prefix) {
            return Err(invalid(
                "its path must consist of letters, digits and -._~!$&'()*+,;=: and have no empty, \".\" or \"..\" \
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
            .map_err(|_| invalid("it must have a host, as in https://cloud.mongodb.com"))?;
        normal.push_str(prefix);
        Ok(Self {
            text: normal,
            path,
            authority,
            loopback: is_loopback(host),
        })
    }

    /// Returns the URL without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns scheme, host and port, which credentials are bound to.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    /// Returns the prefix of every request's path, or an empty text.
    #[must_use]
    pub fn path_prefix(&self) -> &str {
        self.text.get(self.path..).unwrap_or_default()
    }

    /// Returns whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Returns the URI of this path (which begins with the prefix) and query.
    #[inline]
    pub(crate) fn uri(&self, path_and_query: String) -> Uri {
        let mut parts = Parts::default();
        parts.scheme = Some(match self.is_https() {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        });
        parts.authority = Some(self.authority.clone());
        // This is always valid: the prefix was checked, and the rest is fixed text with digits.
        parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Returns whether the host is a loopback host: `localhost`, 127.0.0.0/8 or `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// Returns whether the text is a host: a name of letters, digits, hyphens and underscores, an IPv4 address, or an IPv6
/// address in brackets. Names in other scripts must have their ASCII form (`xn--…`).
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

/// Returns whether the text is a colon and a number without a sign or leading zeros.
fn is_port(port: &str) -> bool {
    port.strip_prefix(':').is_some_and(|digits| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
            && digits.parse::<u16>().is_ok()
    })
}

/// Returns whether the path needs no encoding and means the same to every server.
fn is_path(prefix: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:/".contains(&b);
    let mut segments = prefix.strip_prefix('/').unwrap_or(prefix).split('/');
    prefix.is_empty()
        || (prefix.bytes().all(is_char) && !segments.any(|s| matches!(s, "" | "." | "..")))
}

fn bracketed(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// Returns whether the host is `localhost` (reserved by RFC 6761 §6.3) or a loopback address. It does not use DNS.
fn is_loopback(host: &str) -> bool {
    let address = match bracketed(host) {
        Some(address) => address.parse().map(IpAddr::V6),
        None => host.parse().map(IpAddr::V4),
    };
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Default for BaseUrl {
    /// Returns `https://cloud.mongodb.com`.
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
    fn valid_urls_are_normalised() {
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
    fn invalid_url_is_refused_with_the_rule() {
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
    fn user_information_is_refused_and_not_repeated() {
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
    fn text_that_may_hold_a_secret_is_not_repeated() {
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
    fn plain_http_for_other_hosts_must_be_allowed_explicitly() {
        let url = BaseUrl::allowing_plain_http("http://atlas.example").unwrap();
        assert!(!url.is_https() && !url.is_loopback());
        assert!(BaseUrl::allowing_plain_http("ftp://atlas.example").is_err());
    }
}
