//! A second implementation of `NO_PROXY`.

use std::net::IpAddr;

use atlas_model_keys_core::BaseUrl;

/// Returns whether `NO_PROXY` excludes a host: it lists names (with their subdomains), addresses and networks, each
/// with an optional port, or `*`.
pub(crate) fn is_excluded(base: &BaseUrl, exceptions: &str) -> bool {
    let origin = base.origin();
    let (_, host) = origin.split_once("://").expect("an origin has a scheme");
    let default = if base.is_https() { "443" } else { "80" };
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, default),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port: u16 = port.parse().expect("a port is a number");
    exceptions
        .split([',', ' ', '\t'])
        .any(|entry| entry == "*" || (!entry.is_empty() && matches_entry(entry, host, port)))
}

/// Returns whether an entry of `NO_PROXY` matches a host and port.
fn matches_entry(entry: &str, host: &str, port: u16) -> bool {
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
        // The address as the highest bits of one number.
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let Some(address) = address else { return false };
        let ((a, width), (b, other)) = (number(address), number(network));
        let differ = (a ^ b).leading_zeros();
        return width == other && bits <= width && differ >= bits;
    }
    // An IPv6 address contains colons, which do not separate a port.
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
