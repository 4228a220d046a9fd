//! Checks base URLs.

use std::net::Ipv6Addr;

use atlas_model_keys_core::BaseUrl;
use url::Url;

use crate::oracles::base_url::is_base_url;
use crate::oracles::shown;

use super::{assert_no_value, assert_rejection};

/// Parses a base URL, and compares it with `url`. `plain` is the base URL if plain HTTP is allowed.
pub(super) fn parse(text: &str, plain: Option<&BaseUrl>) -> Option<BaseUrl> {
    assert_eq!(plain.is_some(), is_base_url(text), "{text:?}");
    let base = match BaseUrl::new(text) {
        Ok(base) => base,
        Err(error) => {
            assert_rejection(&error, "base URL");
            if text.contains(['@', '?', '#', '%']) {
                assert_no_value(&error);
            }
            if let Some(plain) = plain {
                assert!(!plain.is_https() && !plain.is_loopback());
            }
            return None;
        }
    };
    assert_eq!(plain, Some(&base));
    assert_eq!(text.parse().as_ref(), Ok(&base));
    assert_eq!(BaseUrl::new(base.as_str()).as_ref(), Ok(&base));
    assert!(shown::is(&base, base.as_str()));
    assert_eq!(format!("{base:?}"), format!("BaseUrl({})", base.as_str()));
    assert_eq!([base.origin(), base.path_prefix()].concat(), base.as_str());
    assert!(base.is_https() || base.is_loopback());
    assert!(!base.as_str().ends_with('/') && base.as_str().is_ascii());

    let host = base
        .origin()
        .split_once("//")
        .map(|(_, host)| host)
        .expect("an origin has a scheme");
    // The known differences are described above.
    let name = host
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches(':');
    let name = if name.is_empty() || !host[name.len()..].starts_with(':') {
        host
    } else {
        name
    };
    let last = name
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    let is_encoded = name.split('.').any(|label| label.starts_with("xn--"));
    if is_number || is_encoded {
        return Some(base);
    }
    let url = Url::parse(base.as_str()).unwrap_or_else(|error| panic!("{base}: {error}"));
    assert_eq!(url.scheme() == "https", base.is_https());
    assert!(url.username().is_empty() && url.password().is_none());
    assert!(url.query().is_none() && url.fragment().is_none());
    assert_eq!(url.path().trim_end_matches('/'), base.path_prefix());
    match url.host().expect("a base URL has a host") {
        url::Host::Domain(domain) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), domain == "localhost");
        }
        url::Host::Ipv4(address) => {
            assert_eq!(url.origin().ascii_serialization(), base.origin());
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
        url::Host::Ipv6(address) => {
            let (inside, _) = name
                .split_once(']')
                .expect("an IPv6 address is in brackets");
            assert_eq!(
                inside.trim_start_matches('[').parse::<Ipv6Addr>(),
                Ok(address)
            );
            assert_eq!(base.is_loopback(), address.is_loopback());
        }
    }
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The core accepts these base URLs unchanged, and `url` behaves as described at the top.
    #[test]
    fn known_differences_match_the_description() {
        for (text, theirs) in [
            ("https://127.1", Some("https://127.0.0.1/")),
            ("https://0x7f", Some("https://0.0.0.127/")),
            ("https://1.2.3.256", None),
            ("https://xn--a.example", None),
            ("https://[fd00:0::1]", Some("https://[fd00::1]/")),
        ] {
            assert_eq!(
                BaseUrl::new(text).map(|url| url.to_string()).as_deref(),
                Ok(text)
            );
            assert_eq!(
                Url::parse(text).ok().as_ref().map(Url::as_str),
                theirs,
                "{text}"
            );
        }
    }
}
