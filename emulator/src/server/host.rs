//! Checks the `Host` of requests.
//!
//! A web page can let its own name resolve to 127.0.0.1 (DNS rebinding), and then read the responses of
//! this server with the browser of the person who visits it. Its requests have that name in `Host`.

use std::net::IpAddr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request};

/// Returns the host of a request if it is not allowed.
pub(super) fn misdirected<B>(request: &Request<B>, allowed: &[String]) -> Option<String> {
    let host = match request.uri().authority() {
        // RFC 9112 §3.2.2: it counts instead of `Host`.
        Some(authority) => authority.as_str().to_owned(),
        None => {
            let host = request.headers().get(HOST).map(HeaderValue::as_bytes)?;
            String::from_utf8_lossy(host).into_owned()
        }
    };
    (!is_allowed(&host, allowed)).then_some(host)
}

fn is_allowed(host: &str, allowed: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    // RFC 9110 §4.2.4: user information may be there to mislead.
    if host.contains('@') {
        return false;
    }
    let name = authority.host();
    // Something else may follow an address in brackets.
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    if !host
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    {
        return false;
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let unbracketed = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    unbracketed.unwrap_or(&name).parse::<IpAddr>().is_ok()
        || name == "localhost"
        // RFC 6761 §6.3: it always resolves to loopback.
        || name.ends_with(".localhost")
        || allowed.iter().any(|a| a.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_allowed_names_are_served() {
        let allowed = ["Atlas".to_owned(), "atlas.test".to_owned()];
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[2001:db8::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "a.localhost:80",
            "atlas:8080",
            "ATLAS.test.",
        ] {
            assert!(is_allowed(host, &allowed), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "a.atlas",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "127.0.0.1, evil.example",
            "[::1",
            "[::1]evil.example",
            "[::1]:80.evil.example",
            "localhost:abc",
            "localhost:99999",
            "127.0.0.1/evil",
        ] {
            assert!(!is_allowed(host, &allowed), "{host}");
        }
    }

    #[test]
    fn authority_of_an_absolute_uri_counts_instead_of_host() {
        let asks = |uri: &str, host: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            misdirected(&request.body(()).unwrap(), &[])
        };
        assert_eq!(asks("/", Some("localhost")), None);
        assert_eq!(asks("/", Some("a.example:1")), Some("a.example:1".into()));
        assert_eq!(asks("http://localhost/", Some("a.example")), None);
        let absolute = asks("http://a.example/", Some("localhost"));
        assert_eq!(absolute, Some("a.example".into()));
        // HTTP/1.0.
        assert_eq!(asks("/", None), None);
    }
}
