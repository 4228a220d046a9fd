//! Parses numbers and durations.

use std::str::FromStr;

/// Parses a number that consists only of digits, without a sign.
pub(crate) fn parse_digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Parses a whole number with a unit, such as `250ms`, `90s`, `10m`, `1h` or `7d`. Returns milliseconds.
pub(crate) fn parse_milliseconds(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    parse_digits::<u64>(number)?.checked_mul(factor)
}
