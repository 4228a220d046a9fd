//! A second implementation of the rules of a base URL.

use std::net::Ipv6Addr;

/// Returns whether a text is a base URL if plain HTTP is allowed.
pub(crate) fn is_base_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let colon = authority.rfind(':').filter(|_| !authority.ends_with(']'));
    let (host, port) = match colon {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    };
    text.len() <= 2000
        && !text.contains(['@', '#', '?', '%'])
        && ["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        && is_host(host)
        && port.is_none_or(is_port)
        && is_path(path.trim_end_matches('/'))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_character = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_label =
        |label: &str| !label.is_empty() && label.len() < 64 && label.chars().all(is_character);
    name.len() < 254 && name.split('.').all(is_label)
}

fn is_port(port: &str) -> bool {
    let number: Option<u16> = port.parse().ok();
    number.is_some_and(|number| number > 0 && number.to_string() == port)
}

fn is_path(path: &str) -> bool {
    let is_character = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:".contains(c);
    let is_segment =
        |segment: &str| !["", ".", ".."].contains(&segment) && segment.chars().all(is_character);
    let mut segments = path.split('/');
    segments.next() == Some("") && segments.all(is_segment)
}
