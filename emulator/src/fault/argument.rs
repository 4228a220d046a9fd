//! The arguments of faults: their kinds, bounds and text forms.

use std::time::Duration;

use crate::number::{parse_digits, parse_milliseconds};

/// The kind and the bounds of an argument. The argument itself is always a number, so that a fault
/// is a small value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    kind: Kind,
    default: u64,
    min: u64,
    max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Status,
    /// A delay in milliseconds.
    Delay,
}

impl Kind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Status => "a status",
            Self::Delay => "a duration",
        }
    }
}

impl Argument {
    const fn new(kind: Kind, default: u64, min: u64, max: u64) -> Self {
        Self {
            kind,
            default,
            min,
            max,
        }
    }

    pub(super) const fn number(default: u64, min: u64, max: u64) -> Self {
        Self::new(Kind::Number, default, min, max)
    }

    pub(super) const fn status(default: u64, min: u64, max: u64) -> Self {
        Self::new(Kind::Status, default, min, max)
    }

    pub(super) const fn delay(default: u64, min: u64, max: u64) -> Self {
        Self::new(Kind::Delay, default, min, max)
    }

    pub(super) const fn default_value(self) -> u64 {
        self.default
    }

    pub(super) fn kind(self) -> Kind {
        self.kind
    }

    pub(super) fn allows(self, value: u64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    /// Describes the valid arguments. The text fits after the word "takes".
    pub(super) fn rule(self) -> String {
        let range = format!("from {} to {}", self.show(self.min), self.show(self.max));
        let more = match self.kind {
            Kind::Number | Kind::Status => "",
            Kind::Delay => " in whole milliseconds, such as 50ms or 2s",
        };
        format!("{} {range}{more}", self.kind.noun())
    }

    pub(super) fn show(self, value: u64) -> String {
        match self.kind {
            Kind::Number | Kind::Status => value.to_string(),
            Kind::Delay => delay(value),
        }
    }

    /// Parses an argument, which need not be within the bounds.
    pub(super) fn parse(self, text: &str) -> Option<u64> {
        match self.kind {
            Kind::Number | Kind::Status => parse_digits(text),
            Kind::Delay => parse_milliseconds(text),
        }
    }
}

/// Returns the milliseconds, or `None` if the duration has a fraction of one.
pub(super) fn whole_milliseconds(delay: Duration) -> Option<u64> {
    let milliseconds = u64::try_from(delay.as_millis()).ok()?;
    (Duration::from_millis(milliseconds) == delay).then_some(milliseconds)
}

fn delay(milliseconds: u64) -> String {
    match milliseconds {
        0 => "0ms".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_and_delays_without_a_unit_are_refused() {
        let parsed =
            |argument: Argument, text| argument.parse(text).filter(|value| argument.allows(*value));
        let number = Argument::number(5, 1, 9);
        assert_eq!(parsed(number, "9"), Some(9));
        assert_eq!(number.rule(), "a number from 1 to 9");
        for wrong in ["", "0", "10", "+5", "-1", "5 ", "99999999999999999999"] {
            assert_eq!(parsed(number, wrong), None, "{wrong}");
        }
        let delay = Argument::delay(10, 0, 60_000);
        for (text, milliseconds) in [("0ms", 0), ("250ms", 250), ("2s", 2000), ("1m", 60_000)] {
            assert_eq!(parsed(delay, text), Some(milliseconds));
            assert_eq!(delay.show(milliseconds), text);
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
            assert_eq!(parsed(delay, wrong), None, "{wrong}");
        }
    }
}
