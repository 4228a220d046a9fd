//! Decodes `name=value&…`, the format of queries and forms.

/// Returns the decoded pairs of a query or a form. Invalid percent-encoding stays unchanged;
/// invalid UTF-8 is replaced.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// Returns the first value with this name.
pub(crate) fn value(text: &str, name: &str) -> Option<String> {
    pairs(text).find(|(n, _)| n == name).map(|(_, value)| value)
}

fn decode(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}

/// Decodes a text in which `+` has no meaning. Invalid percent-encoding stays unchanged; invalid UTF-8 is replaced.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (first, after) {
            (b'%', after) => match hex_byte(after) {
                Some(byte) => {
                    rest = after.get(2..).unwrap_or_default();
                    byte
                }
                None => b'%',
            },
            _ => first,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the byte that the two hexadecimal digits at the start mean.
pub(crate) fn hex_byte(text: &[u8]) -> Option<u8> {
    match text {
        [high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_invalid_encoding_is_kept() {
        let of = |text| pairs(text).collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(""), []);
        assert_eq!(of("a=1&&b"), [pair("a", "1"), pair("b", "")]);
        assert_eq!(of("a%3D=%41+%e2%82%ac"), [pair("a=", "A €")]);
        assert_eq!(
            of("a=%&b=%4&c=%zz"),
            [pair("a", "%"), pair("b", "%4"), pair("c", "%zz")]
        );
        assert_eq!(of("a=%ff"), [pair("a", "\u{fffd}")]);
        assert_eq!(value("a=1&a=2", "a").as_deref(), Some("1"));
    }
}
