//! Faults on demand: the catalogue of all faults, and their text form.
//!
//! A fault is a row in one of the tables of `challenges`, `coding`, `echo`, `meaning`, `pages`,
//! `socket` and `tokens`. A row has a name, a description, sometimes an argument, and a function
//! that changes the regular response, which is the one that the emulator gives without faults. The
//! row is also a constant of [`Fault`].
//!
//! `injection` has the faults that are switched on.
//!
//! A response cannot express some faults, such as a reset of the connection. Such a fault attaches a
//! [`Delivery`] to the response; the server follows it, and other callers may ignore it.

mod area;
mod argument;
mod challenges;
mod coding;
mod context;
mod delivery;
mod echo;
mod injection;
mod invalid;
mod meaning;
mod pages;
mod row;
mod socket;
mod tokens;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use serde::{Serialize, Serializer};

use crate::quoted::quoted;

use argument::{Kind, whole_milliseconds};

pub use area::Area;
pub(crate) use area::Phase;
pub use delivery::{Delivery, DeliveryStep};
pub(crate) use injection::Faults;
pub use injection::Injection;
pub use invalid::InvalidFault;
pub use row::Fault;

/// All faults.
static CATALOGUE: [&[Fault]; 8] = [
    socket::FAULTS,
    coding::FAULTS,
    meaning::FAULTS,
    echo::FAULTS,
    pages::FAULTS,
    tokens::FAULTS,
    echo::TOKEN_FAULTS,
    challenges::FAULTS,
];

impl Fault {
    /// Returns every fault, area by area, with its default argument if it takes one.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().copied().flatten().copied()
    }

    /// Replaces the argument of a fault that takes a number. Its documentation says what the number
    /// means.
    ///
    /// ```
    /// use atlas_model_keys_emulator::Fault;
    /// assert_eq!(Fault::PAGE_EMPTY.with_number(3)?.to_string(), "page-empty=3");
    ///
    /// let error = Fault::PAGE_EMPTY.with_number(0).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     r#"the fault "page-empty" takes a number from 1 to 1000000, not "0""#
    /// );
    /// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The fault takes no number, or not this one.
    pub fn with_number(self, number: u64) -> Result<Self, InvalidFault> {
        self.with_argument(Kind::Number, Some(number), &number.to_string())
    }

    /// Replaces the argument of a fault that takes a status.
    ///
    /// ```
    /// use atlas_model_keys_emulator::Fault;
    /// use http::StatusCode;
    /// let unavailable = Fault::ERROR_JSON.with_status(StatusCode::SERVICE_UNAVAILABLE)?;
    /// assert_eq!(unavailable.to_string(), "error-json=503");
    /// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The fault takes no status, or not this one.
    pub fn with_status(self, status: StatusCode) -> Result<Self, InvalidFault> {
        let value = u64::from(status.as_u16());
        self.with_argument(Kind::Status, Some(value), status.as_str())
    }

    /// Replaces the argument of a fault that takes a delay: at most a minute, in whole milliseconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use atlas_model_keys_emulator::Fault;
    /// let slow = Fault::TOKEN_SLOW.with_delay(Duration::from_secs(2))?;
    /// assert_eq!(slow.to_string(), "token-slow=2s");
    /// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The fault takes no delay, or not this one.
    pub fn with_delay(self, delay: Duration) -> Result<Self, InvalidFault> {
        let milliseconds = whole_milliseconds(delay);
        self.with_argument(Kind::Delay, milliseconds, &format!("{delay:?}"))
    }

    fn with_argument(
        self,
        kind: Kind,
        value: Option<u64>,
        shown: &str,
    ) -> Result<Self, InvalidFault> {
        match (self.row.argument, value) {
            (Some(argument), _) if argument.kind() != kind => Err(self.refused(kind.noun())),
            (Some(argument), Some(value)) if argument.allows(value) => Ok(Self { value, ..self }),
            _ => Err(self.refused(&quoted(shown))),
        }
    }

    fn refused(&self, shown: &str) -> InvalidFault {
        let rule = match self.row.argument {
            Some(argument) => argument.rule(),
            None => "no argument".to_owned(),
        };
        InvalidFault(format!(
            "the fault \"{}\" takes {rule}, not {shown}",
            self.name()
        ))
    }

    /// Applies the fault to the next `times` requests whose response it changes, and to no more.
    ///
    /// The text form of the result is that of the fault, followed by `*` and the number. Zero times is
    /// never; [`Emulator::inject`](crate::Emulator::inject) then does nothing.
    ///
    /// ```
    /// use atlas_model_keys_emulator::Fault;
    /// assert_eq!("reset-in-body*2".parse(), Ok(Fault::RESET_IN_BODY.times(2)));
    /// ```
    #[must_use]
    pub fn times(self, times: u32) -> Injection {
        Injection::new(self, Some(times))
    }

    /// Returns the name, in lower case and with hyphens.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Returns a description in one line.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.row.description
    }

    /// Returns the argument, such as `10ms`, or `None` if the fault takes none.
    #[must_use]
    pub fn argument(&self) -> Option<String> {
        let argument = self.row.argument?;
        Some(argument.show(self.value))
    }

    /// Returns the route whose response the fault changes, and the part of the response.
    #[must_use]
    pub fn area(&self) -> Area {
        self.row.area
    }

    /// Returns whether a robust client still gets all keys, at least with the default argument.
    ///
    /// A client may fail because of any other fault. It must then report the reason, stay within its
    /// limits and remain usable.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        self.row.harmless
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.value) == (other.name(), other.value)
    }
}

impl Eq for Fault {}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}

/// Serializes the text that [`Fault::from_str`] reads.
impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes the text that [`Fault::from_str`] reads.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument() {
            Some(argument) => f.pad(&format!("{}={argument}", self.name())),
            None => f.pad(self.name()),
        }
    }
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let fault = Self::all()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| InvalidFault::unknown(name))?;
        match (argument, fault.row.argument) {
            (None, _) => Ok(fault),
            (Some(text), Some(takes)) => fault.with_argument(takes.kind(), takes.parse(text), text),
            (Some(text), None) => Err(fault.refused(&quoted(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_fault_is_described() {
        let mut names = HashSet::new();
        for fault in Fault::all() {
            let name = fault.name();
            assert!(names.insert(name), "{name} is defined twice");
            let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.bytes().all(is_kebab), "{name}");
            let description = fault.description();
            assert!(
                (10..=100).contains(&description.len())
                    && !description.contains('\n')
                    && !description.ends_with('.'),
                "{name}: {description}"
            );
        }
    }

    #[test]
    fn typed_arguments_have_the_rules_of_their_texts() {
        let milliseconds = Duration::from_millis;
        let slow = Fault::SLOW_BODY;
        assert_eq!(slow.with_delay(milliseconds(50)), "slow-body=50ms".parse());
        assert_eq!(
            slow.with_delay(milliseconds(60_000)),
            "slow-body=1m".parse()
        );
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let error_json = Fault::ERROR_JSON.with_status(unavailable);
        assert_eq!(error_json, "error-json=503".parse());
        let large = Fault::LENGTH_HUGE.with_number(u64::MAX);
        assert_eq!(large, format!("length-huge={}", u64::MAX).parse());

        let delay = "a duration from 0ms to 1m in whole milliseconds, such as 50ms or 2s";
        let status = "a status from 400 to 599";
        for (result, rule, shown) in [
            (slow.with_delay(milliseconds(60_001)), delay, "\"60.001s\""),
            (
                slow.with_delay(Duration::from_micros(1500)),
                delay,
                "\"1.5ms\"",
            ),
            (slow.with_number(5), delay, "a number"),
            (slow.with_status(unavailable), delay, "a status"),
            (
                Fault::ERROR_JSON.with_status(StatusCode::OK),
                status,
                "\"200\"",
            ),
            (Fault::ERROR_JSON.with_number(503), status, "a number"),
            (
                Fault::PAGES_OVERLAP.with_number(501),
                "a number from 1 to 500",
                "\"501\"",
            ),
            (Fault::GARBAGE.with_number(1), "no argument", "\"1\""),
        ] {
            let error = result.unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("\" takes {rule}, not {shown}")),
                "{error}"
            );
        }
        assert!(slow.with_delay(Duration::MAX).is_err());
    }

    #[test]
    fn every_default_argument_is_valid() {
        for fault in Fault::all() {
            let argument = fault.row.argument;
            assert!(
                argument.is_none_or(|argument| argument.allows(fault.value)),
                "{fault}"
            );
        }
    }

    #[test]
    fn every_fault_survives_a_round_trip_through_its_text() {
        for fault in Fault::all() {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(fault.name().parse(), Ok(fault));
        }
    }

    #[test]
    fn error_names_the_text_and_a_valid_one() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(
            error("rest-in-body"),
            "there is no fault \"rest-in-body\"; did you mean \"reset-in-body\"?"
        );
        assert_eq!(error("\u{1b}"), "there is no fault \"\\u{1b}\"");
        assert_eq!(error(""), "there is no fault \"\"");
        assert_eq!(
            error("garbage=1"),
            "the fault \"garbage\" takes no argument, not \"1\""
        );
        assert!(error("slow-body=1h").contains("from 0ms to 1m"));
        assert!(error("error-html=200").contains("from 400 to 599"));
        assert!(error(&"long".repeat(1000)).len() < 120);
    }
}
