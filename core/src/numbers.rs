//! Replaces numbers that are too large for `serde_json`, which would refuse the whole page because of one.

use alloc::string::String;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Parses a small JSON body. A number that is too large for the parser is treated as a value of a wrong type.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body).or_else(|error| {
        let text = core::str::from_utf8(body).ok();
        match text.and_then(replaced) {
            Some(text) => serde_json::from_str(&text),
            None => Err(error),
        }
    })
}

/// The replacement for such a number. It is neither a string nor a number, so it has no meaning in a documented field.
const REPLACEMENT: &str = "true";

/// Replaces each number that is too large for the parser by a value of the same length, so that all positions stay valid.
/// Returns `None` if there is no such number.
pub(crate) fn replaced(text: &str) -> Option<Zeroizing<String>> {
    // The text may hold a secret, and a growing `String` would leave copies of it behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    let mut is_in_string = false;
    while let Some(at) = rest.find(|c: char| c == '"' || (!is_in_string && is_of_number(c))) {
        let (before, found) = rest.split_at_checked(at)?;
        out.push_str(before);
        if found.starts_with('"') {
            // A quote after an odd number of backslashes does not end a string.
            let backslashes = before.len() - before.trim_end_matches('\\').len();
            is_in_string = !is_in_string || backslashes % 2 == 1;
            out.push('"');
            rest = found.get(1..)?;
            continue;
        }
        let end = found
            .find(|c: char| !is_of_number(c))
            .unwrap_or(found.len());
        let (number, after) = found.split_at_checked(end)?;
        if is_too_large(number) {
            out.push_str(REPLACEMENT);
            out.extend(core::iter::repeat_n(' ', number.len() - REPLACEMENT.len()));
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out.push_str(rest);
    (*out != text).then_some(out)
}

/// Returns whether a character may be part of a number, or of the words `true` and `false`.
fn is_of_number(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// Returns whether a text is a number (RFC 8259 §6) that is too large for the parser. The shortest one, `9e308`, is
/// longer than the replacement.
fn is_too_large(number: &str) -> bool {
    let unsigned = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_exponent = |text: &str| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_exponent)
        && number.len() >= REPLACEMENT.len()
        && number.parse().is_ok_and(f64::is_infinite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn number_that_is_too_large_for_the_parser_is_replaced_in_place() {
        let digits = "9".repeat(400);
        for number in ["1e400", "-1E+400", "9e308", "12.5e999", &digits] {
            let padding = " ".repeat(number.len() - 4);
            for (before, after) in [
                ("", ""),
                ("[", "]"),
                (r#"{"1e400":"#, r#","s":"\\\" 1e400","n":1e4}"#),
            ] {
                assert_eq!(
                    *replaced(&format!("{before}{number}{after}")).unwrap(),
                    format!("{before}true{padding}{after}")
                );
            }
        }
    }

    #[test]
    fn other_text_is_not_replaced() {
        for text in [
            "",
            "1e308",
            "179769313486231570000e288",
            "01e400",
            "1e",
            "+1e400",
            ".1e400",
            "1.e400",
            "inf",
            "-Infinity",
            "1e-400",
            r#""1e400""#,
            r#""\"1e400""#,
            r#""1e400"#,
            "x1e400",
        ] {
            assert!(replaced(text).is_none(), "{text}");
        }
    }
}
