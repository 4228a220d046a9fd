//! A proxy's URL, and the hosts that are reached without one.

use std::net::IpAddr;

use atlas_model_keys_core::{BaseUrl, Proxy};
use url::Url;

/// One text is a proxy's URL, or a host's to be reached; the other is `NO_PROXY`.
pub(super) fn check(text: &str, exceptions: &str) {
    for base in [
        "https://cloud.mongodb.com",
        "https://10.1.2.3:8443",
        "https://[fd00::1]",
        "https://localhost",
        text,
    ] {
        if let Ok(base) = BaseUrl::allowing_plain_http(base) {
            found(&base, text, exceptions);
            // With a proxy that is in order.
            found(&base, "proxy.example:3128", exceptions);
        }
    }
    let proxy = match Proxy::new(text) {
        Ok(proxy) => proxy,
        Err(error) => {
            // It may hold a password.
            assert_eq!(
                error.to_string(),
                format!("proxy is not valid: {}", error.rule())
            );
            return;
        }
    };
    assert_eq!(
        text.parse::<Proxy>().map(|proxy| proxy.to_string()),
        Ok(proxy.to_string())
    );
    let shown = proxy.to_string();
    assert_eq!(format!("{proxy:?}"), format!("Proxy({shown})"));
    assert!(!shown.contains('@') && proxy.uri().path() == "/");
    assert_eq!(proxy.uri().to_string(), format!("{shown}/"));
    assert_eq!(proxy.login().is_some(), proxy.authorization().is_some());
    assert!(
        proxy
            .authorization()
            .is_none_or(|value| value.is_sensitive())
    );

    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    // Where browsers read a host in another way; see the table of `request`. And they end the host at a slash or
    // a question mark, wherever it is: here a login may have one.
    let login = with_scheme.rsplit_once('@').map_or("", |(login, _)| login);
    let login = login.split_once("://").map_or("", |(_, login)| login);
    let Ok(url) = Url::parse(&with_scheme) else {
        return;
    };
    if login.contains(['/', '?', '#', '\\', '@']) || login.contains(char::is_whitespace) {
        return;
    }
    assert_eq!(url.scheme(), proxy.uri().scheme_str().expect("it has one"));
    assert_eq!(
        url.port_or_known_default(),
        proxy.uri().port_u16().or(match url.scheme() {
            "https" => Some(443),
            _ => Some(80),
        })
    );
    if let Some(url::Host::Domain(host)) = url.host() {
        let ours = proxy.uri().host().expect("it has one");
        assert!(ours.eq_ignore_ascii_case(host), "{ours} is {host}");
    }
    let decoded = |text: &str| {
        // `+` is itself here.
        let pair = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
    };
    if let Some((user, password)) = proxy.login() {
        assert_eq!(decoded(url.username()).as_deref(), Some(user));
        assert_eq!(
            decoded(url.password().unwrap_or_default()).as_deref(),
            Some(password.expose())
        );
        // Nothing of the login is shown: it is as without one.
        let (scheme, rest) = with_scheme.split_once("://").expect("it has one");
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let without = Proxy::new(&format!("{scheme}://{host}")).expect("it is one, too");
        assert_eq!(without.to_string(), shown);
    } else {
        assert!(url.username().is_empty() && url.password().is_none());
    }
}

/// The environment names the proxy, and the exceptions.
fn found(base: &BaseUrl, proxy: &str, exceptions: &str) {
    let result = Proxy::from_variables(base, |name| match name {
        "https_proxy" | "http_proxy" => Some(" ".into()),
        "all_proxy" => Some(proxy.into()),
        "no_proxy" => Some(String::new()),
        "NO_PROXY" => Some(exceptions.into()),
        _ => None,
    });
    let expected = Proxy::new(proxy.trim());
    match result {
        Err(error) => {
            assert!(expected.is_err() && !base.is_loopback());
            // Who goes around it does not need it to be in order.
            assert!(!is_exempt(base, exceptions));
            assert_eq!(error.parameter(), "all_proxy");
            assert_eq!(
                error.to_string(),
                format!("all_proxy is not valid: {}", error.rule())
            );
        }
        Ok(Some(found)) => {
            assert_eq!(
                Some(found.to_string()),
                expected.ok().map(|proxy| proxy.to_string())
            );
            assert!(!base.is_loopback());
            assert!(
                !is_exempt(base, exceptions),
                "{base} is among {exceptions:?}"
            );
        }
        Ok(None) => {
            let unset = proxy.trim().is_empty();
            assert!(
                unset || base.is_loopback() || is_exempt(base, exceptions),
                "{base} is not among {exceptions:?}"
            );
        }
    }
}

/// A list of names (each with all below it), addresses and networks, with a port or without, or `*` for all.
fn is_exempt(base: &BaseUrl, exceptions: &str) -> bool {
    let origin = base.origin();
    let (_, host) = origin.split_once("://").expect("it has a scheme");
    let default = if base.is_https() { "443" } else { "80" };
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().expect("it is a number");
    exceptions
        .split([',', ' ', '\t'])
        .any(|entry| entry == "*" || (!entry.is_empty() && names(entry, host, port)))
}

fn names(entry: &str, host: &str, port: u16) -> bool {
    let address = host.parse::<IpAddr>().ok();
    let bare = |text: &str| -> Option<IpAddr> {
        let inside = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        inside.unwrap_or(text).parse().ok()
    };
    if let Some((network, bits)) = entry.split_once('/') {
        let (Some(network), Ok(bits)) = (bare(network), bits.parse::<u32>()) else {
            return false;
        };
        // As one number, from the top.
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let Some(address) = address else { return false };
        let ((a, width), (b, other)) = (number(address), number(network));
        let differ = (a ^ b).leading_zeros();
        return width == other && bits <= width && differ >= bits;
    }
    // An address has colons of its own.
    if let Some(named) = bare(entry) {
        return Some(named) == address;
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
            match digits.parse::<u16>() {
                Ok(wanted) => (name, wanted),
                Err(_) => return false,
            }
        }
        _ => (entry, port),
    };
    if wanted != port {
        return false;
    }
    if let Some(address) = address {
        let inside = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        return inside
            .trim_start_matches("*.")
            .trim_start_matches('.')
            .parse()
            == Ok(address);
    }
    let labels = |name: &str| -> Vec<String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name.split('.').map(str::to_owned).collect()
    };
    let inside = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let name = inside.trim_start_matches("*.").trim_start_matches('.');
    let (name, host) = (labels(name), labels(host));
    name != [""] && host.ends_with(&name)
}
