//! The arguments of faults: their kinds, bounds and text forms.

/// The kind and the bounds of an argument. The argument itself is always a number, so that a fault
/// is a small value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument {
    None,
    Number {
        default: u64,
        min: u64,
        max: u64,
    },
    /// A delay in milliseconds.
    Delay {
        default: u64,
    },
}

/// The longest delay, in milliseconds: a minute, which is longer than any delivery.
const MAX_DELAY: u64 = 60_000;

impl Argument {
    pub(super) const fn number(default: u64, min: u64, max: u64) -> Self {
        Self::Number { default, min, max }
    }

    pub(super) const fn redirect(default: u64) -> Self {
        Self::number(default, 300, 399)
    }

    pub(super) const fn error(default: u64) -> Self {
        Self::number(default, 400, 599)
    }

    pub(super) fn default_value(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Number { default, .. } | Self::Delay { default } => default,
        }
    }

    pub(super) fn show(self, value: u64) -> Option<String> {
        match self {
            Self::None => None,
            Self::Number { .. } => Some(value.to_string()),
            Self::Delay { .. } => Some(delay(value)),
        }
    }

    /// Parses an argument. The error describes the valid arguments and fits after the word "takes".
    pub(super) fn parse(self, text: &str) -> Result<u64, String> {
        match self {
            Self::None => Err("no argument".to_owned()),
            Self::Number { min, max, .. } => parse_digits(text)
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| format!("a number from {min} to {max}")),
            Self::Delay { .. } => milliseconds(text)
                .filter(|delay| *delay <= MAX_DELAY)
                .ok_or_else(|| {
                    let max = delay(MAX_DELAY);
                    format!("a duration from 0ms to {max}, such as 50ms or 2s")
                }),
        }
    }
}

fn delay(milliseconds: u64) -> String {
    match milliseconds {
        0 => "0ms".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

fn milliseconds(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    parse_digits(number)?.checked_mul(factor)
}

/// Parses a number that consists only of digits, without a sign.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_and_delays_without_a_unit_are_refused() {
        let number = Argument::number(5, 1, 9);
        assert_eq!(number.parse("9"), Ok(9));
        for wrong in ["", "0", "10", "+5", "-1", "5 ", "99999999999999999999"] {
            let rule = number.parse(wrong).unwrap_err();
            assert_eq!(rule, "a number from 1 to 9", "{wrong}");
        }
        let delay = Argument::Delay { default: 10 };
        for (text, milliseconds) in [("0ms", 0), ("250ms", 250), ("2s", 2000), ("1m", 60_000)] {
            assert_eq!(delay.parse(text), Ok(milliseconds));
            assert_eq!(delay.show(milliseconds).as_deref(), Some(text));
        }
        for wrong in [
            "",
            "5",
            "s",
            "2m",
            "61s",
            "1h",
            "-1s",
            "1 s",
            "1.5s",
            "99999999999999999999m",
        ] {
            assert!(delay.parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Argument::None.parse(""), Err("no argument".to_owned()));
    }
}
