//! The HTTP proxy, and the environment variables that name it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use zeroize::Zeroizing;

use crate::{BaseUrl, InvalidValue, Secret};

/// An HTTP proxy that opens a tunnel to Atlas (`CONNECT`, RFC 9110 §9.3.6). A base URL with plain `http` is reached through
/// a tunnel, too.
///
/// The login, if any, is sent only to the proxy, as `Proxy-Authorization` of the `CONNECT` request. That request never has
/// Atlas's credentials. `Display` and `Debug` show the URL without the login.
///
/// ```
/// use atlas_model_keys_core::Proxy;
/// let proxy = Proxy::new("http://me:hunter2@proxy.example:3128")?;
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// assert!(Proxy::new("socks5://proxy.example:1080").is_err());
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone)]
pub struct Proxy {
    /// Scheme, host and port.
    uri: Uri,
    login: Option<(String, Secret)>,
}

const PARAMETER: &str = "proxy";

impl Proxy {
    /// The environment variables that name the proxy for an `https` base URL. The first that is set and not blank is used.
    ///
    /// For a plain `http` base URL, `http_proxy` replaces the first two. `HTTP_PROXY` in capitals is ignored, as in
    /// curl, because the client of a CGI program can set it.
    pub const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

    /// Returns the environment variables that may name a proxy for this base URL. The first that is set and not blank is
    /// used. A loopback base URL has none.
    ///
    /// Error messages can name the variable that is used.
    #[must_use]
    pub fn variables(base: &BaseUrl) -> &'static [&'static str] {
        const PLAIN: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
        match base {
            _ if base.is_loopback() => &[],
            _ if base.is_https() => &Self::VARIABLES,
            _ => &PLAIN,
        }
    }

    /// Parses `http://host:port` or `https://host:port`, where the scheme is that of the connection to the *proxy*.
    ///
    /// `user:password@` before the host is the login, percent-encoded if necessary. The default scheme is `http`, and
    /// the default port is the scheme's.
    ///
    /// # Errors
    /// Fails if the text is not a URL, has another scheme (SOCKS is not supported) or has no host. The error does not
    /// repeat the text, which may hold a password.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        Self::parse(PARAMETER, text)
    }

    /// Returns the proxy that the environment variables give for this base URL, or `None`.
    ///
    /// It is the first of [`variables`](Proxy::variables) that is set and not blank, unless `no_proxy` or `NO_PROXY`
    /// (the first that is set and not blank) exempts the host. That is a list of names (which include their subdomains),
    /// addresses and networks (`10.0.0.0/8`), or `*` for every host. Names and addresses may have a port. A loopback base
    /// URL never has a proxy.
    ///
    /// `variable` returns the value of an environment variable.
    ///
    /// # Errors
    /// Fails like [`Proxy::new`], and the error names the variable. An invalid value is an error, because a connection
    /// without the proxy is not what the user wants. If the host is exempt, the value is not checked.
    pub fn from_variables(
        base: &BaseUrl,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, InvalidValue> {
        let first_of = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.trim().is_empty())?;
                Some((*name, value))
            })
        };
        let Some((name, value)) = first_of(Self::variables(base)) else {
            return Ok(None);
        };
        let exempt = first_of(&["no_proxy", "NO_PROXY"])
            .is_some_and(|(_, exceptions)| is_exempt(base, &exceptions));
        if exempt {
            return Ok(None);
        }
        Self::parse(name, value.trim()).map(Some)
    }

    fn parse(parameter: &'static str, text: &str) -> Result<Self, InvalidValue> {
        let invalid = |rule| InvalidValue::without_value(parameter, rule);
        let (scheme, rest) = match text.split_once("://") {
            None => (Scheme::HTTP, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::HTTP, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::HTTPS, rest),
            Some(_) => {
                return Err(invalid(
                    "it must begin with http:// or https:// (SOCKS is not supported)",
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, rest),
        };
        // A proxy's host and port follow the rules of a base URL.
        BaseUrl::allowing_plain_http(&format!("http://{host}"))
            .ok()
            .filter(|url| url.path_prefix().is_empty())
            .ok_or_else(|| {
                invalid("it must have the form http://host:port or https://host:port")
            })?;
        let uri = Authority::from_str(host).ok().and_then(|host| {
            Uri::builder()
                .scheme(scheme)
                .authority(host)
                .path_and_query("/")
                .build()
                .ok()
        });
        let uri = uri.ok_or_else(|| invalid("it must have the form http://host:port"))?;
        let login = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let pair = percent_decoded(user).zip(percent_decoded(password));
                let rule = "its user and password must be text, percent-encoded if necessary";
                let (user, password) = pair.ok_or_else(|| invalid(rule))?;
                if user.contains(':')
                    || [&user, &password]
                        .iter()
                        .any(|s| s.contains(char::is_control))
                {
                    // RFC 7617 §2.
                    return Err(invalid(
                        "its user must have no colon, and the login no control characters",
                    ));
                }
                Some((user, Secret::new(password)))
            }
        };
        Ok(Self { uri, login })
    }

    /// Returns the scheme, host and port of the proxy, without the login.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the user and the password for the proxy, if there are any.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &Secret)> {
        self.login
            .as_ref()
            .map(|(user, password)| (user.as_str(), password))
    }

    /// Returns the login as the value of `Proxy-Authorization` (Basic, RFC 7617), marked as sensitive.
    #[must_use]
    pub fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.login()?;
        let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
        let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&encoded).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl FromStr for Proxy {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::new(text)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.to_string().trim_end_matches('/'))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Returns whether the exceptions name the host of the base URL.
fn is_exempt(base: &BaseUrl, exceptions: &str) -> bool {
    let Some(uri) = Uri::from_str(base.origin()).ok() else {
        return false;
    };
    let host = without_brackets(uri.host().unwrap_or_default());
    let port = uri
        .port_u16()
        .unwrap_or(if base.is_https() { 443 } else { 80 });
    exceptions
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || matches_entry(entry, host, port))
}

fn matches_entry(entry: &str, host: &str, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return is_within(host, network, bits);
    }
    // An IPv6 address without brackets has no port: all its colons belong to it.
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            (name, digits.parse::<u16>().ok())
        }
        _ => (entry, Some(port)),
    };
    if wanted != Some(port) {
        return false;
    }
    let name = without_brackets(name)
        .trim_start_matches("*.")
        .trim_start_matches('.');
    if let Ok(host) = host.parse::<IpAddr>() {
        return name.parse() == Ok(host);
    }
    let name = name.trim_end_matches('.');
    let host = host.trim_end_matches('.');
    let Some(start) = host.len().checked_sub(name.len()) else {
        return false;
    };
    let ends_with_it = host
        .get(start..)
        .is_some_and(|end| end.eq_ignore_ascii_case(name));
    !name.is_empty()
        && ends_with_it
        && (start == 0
            || host
                .get(..start)
                .is_some_and(|before| before.ends_with('.')))
}

/// Returns whether the host is an address of the network.
fn is_within(host: &str, network: &str, bits: &str) -> bool {
    let octets = |text: &str| -> Option<Vec<u8>> {
        Some(match without_brackets(text).parse().ok()? {
            IpAddr::V4(address) => Vec::from(address.octets()),
            IpAddr::V6(address) => Vec::from(address.octets()),
        })
    };
    let (Some(host), Some(network), Ok(bits)) =
        (octets(host), octets(network), bits.parse::<usize>())
    else {
        return false;
    };
    if host.len() != network.len() || bits > 8 * network.len() {
        return false;
    }
    let is_equal = |(n, (a, b)): (usize, (&u8, &u8))| {
        let left = bits.saturating_sub(8 * n).min(8);
        let mask = if left == 0 { 0 } else { 0xff_u8 << (8 - left) };
        a & mask == b & mask
    };
    host.iter().zip(&network).enumerate().all(is_equal)
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// Returns the decoded text, or `None` if it is not UTF-8 or a `%` is not followed by two hexadecimal digits.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(16 * high + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(base: &str, variables: &[(&str, &str)]) -> Result<Option<String>, InvalidValue> {
        let base = BaseUrl::allowing_plain_http(base).unwrap();
        let proxy = Proxy::from_variables(&base, |name| {
            let mut all = variables.iter();
            all.find(|(n, _)| *n == name).map(|(_, v)| (*v).to_string())
        });
        Ok(proxy?.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn proxy_url_is_parsed_into_host_and_login() {
        for (text, shown, authorization) in [
            (
                "http://proxy.example:3128",
                "http://proxy.example:3128",
                None,
            ),
            ("proxy.example:3128/", "http://proxy.example:3128", None),
            ("HTTPS://[::1]:3128", "https://[::1]:3128", None),
            (
                "http://me:p%40ss%3a@proxy.example",
                "http://proxy.example",
                Some("Basic bWU6cEBzczo="),
            ),
            (
                "http://me@127.0.0.1:1",
                "http://127.0.0.1:1",
                Some("Basic bWU6"),
            ),
        ] {
            let proxy = Proxy::new(text).unwrap();
            assert_eq!(proxy.to_string(), shown, "{text}");
            let header = proxy.authorization();
            assert_eq!(header.as_ref().map(|h| h.to_str().unwrap()), authorization);
            assert!(header.is_none_or(|header| header.is_sensitive()));
            assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
        }
    }

    #[test]
    fn invalid_proxy_is_refused_without_repeating_it() {
        for text in [
            "",
            "http://",
            "socks5://me:hunter2@127.0.0.1:1",
            "ftp://hunter2",
            "nonsense:::///hunter2",
            "http://me:hunter2@proxy.example/path",
            "http://proxy.example?hunter2",
            "http://me:hunter2%0d%0a@proxy.example",
            "http://me%3ayou:hunter2@proxy.example",
            "http://me:hunter2%zz@proxy.example",
            "http://me:hunter2@proxy.example:99999",
        ] {
            let error = Proxy::new(text).unwrap_err().to_string();
            assert!(error.starts_with("proxy is not valid: "), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn environment_names_the_proxy_by_scheme_and_never_for_loopback() {
        const ATLAS: &str = "https://cloud.mongodb.com";
        let p = |n: u8| format!("http://p{n}");
        let some = |n: u8| Ok(Some(p(n)));
        let all = [
            ("ALL_PROXY", "p1"),
            ("all_proxy", "p2"),
            ("HTTPS_PROXY", "p3"),
            ("https_proxy", "p4"),
            ("HTTP_PROXY", "p5"),
            ("http_proxy", "p6"),
        ];
        for (count, n) in [
            (0, None),
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(3)),
            (6, Some(4)),
        ] {
            assert_eq!(found(ATLAS, &all[..count]), Ok(n.map(p)));
        }
        assert_eq!(found("http://plain.example", &all[..5]), some(2));
        assert_eq!(found("http://plain.example", &all), some(6));
        assert_eq!(
            found(ATLAS, &[("HTTPS_PROXY", " "), ("ALL_PROXY", "p1")]),
            some(1)
        );
        for base in [
            "http://127.0.0.1:8080",
            "https://localhost",
            "https://[::1]:1",
        ] {
            assert_eq!(found(base, &all), Ok(None), "{base}");
            assert_eq!(found(base, &[("HTTPS_PROXY", "socks5://x")]), Ok(None));
        }
        for (base, names) in [
            (ATLAS, &Proxy::VARIABLES[..]),
            (
                "http://plain.example",
                &["http_proxy", "all_proxy", "ALL_PROXY"],
            ),
            ("https://127.0.0.1", &[]),
        ] {
            let base = BaseUrl::allowing_plain_http(base).unwrap();
            assert_eq!(Proxy::variables(&base), names);
        }
        let error = found(ATLAS, &[("HTTPS_PROXY", "socks5://me:hunter2@x")]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("HTTPS_PROXY is not valid: ") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn no_proxy_matches_names_addresses_and_networks() {
        let is_direct = |base: &str, exceptions: &str| {
            found(base, &[("HTTPS_PROXY", "p"), ("NO_PROXY", exceptions)]) == Ok(None)
        };
        for (base, exceptions) in [
            ("https://cloud.mongodb.com", "*"),
            ("https://cloud.mongodb.com", "a.example, cloud.mongodb.com"),
            ("https://cloud.mongodb.com", "MONGODB.com"),
            ("https://cloud.mongodb.com", ".mongodb.com"),
            ("https://cloud.mongodb.com", "*.mongodb.com"),
            ("https://cloud.mongodb.com", "mongodb.com:443"),
            ("https://atlas.example:8443", "atlas.example:8443"),
            ("https://10.1.2.3", "10.1.2.3"),
            ("https://10.1.2.3", "10.0.0.0/8"),
            ("https://10.1.2.3", "0.0.0.0/0"),
            ("https://[fd00::1]:8443", "fd00::1"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("https://[fd00::1]:8443", "fd00::/8"),
        ] {
            assert!(is_direct(base, exceptions), "{base} {exceptions}");
        }
        for (base, exceptions) in [
            ("https://cloud.mongodb.com", ""),
            ("https://cloud.mongodb.com", "oud.mongodb.com"),
            ("https://cloud.mongodb.com", "x.cloud.mongodb.com"),
            ("https://cloud.mongodb.com", "mongodb.com:80"),
            ("https://cloud.mongodb.com", "mongodb.com:"),
            ("https://cloud.mongodb.com", ".,*.,:443"),
            ("https://10.1.2.3", "1.2.3"),
            ("https://10.1.2.3", "10.1.2.0/25x"),
            ("https://10.1.2.131", "10.1.2.0/25"),
            ("https://10.1.2.3", "10.1.2.3/33"),
            ("https://10.1.2.3", "::/0"),
            ("https://[fd00::1]", "fd00::2"),
        ] {
            assert!(!is_direct(base, exceptions), "{base} {exceptions}");
        }
    }
}
