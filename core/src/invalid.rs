use alloc::string::String;
use core::fmt;

use crate::{ApiVersion, BaseUrl, GroupId, ItemsPerPage, PageNum, Proxy, UnixTime, text};

/// A value that breaks a rule of the protocol, refused before anything is sent.
///
/// Names the parameter, the value (bounded, with control characters escaped; left out where it
/// may be a secret) and the rule with the way out.
#[derive(Clone, PartialEq, Eq)]
pub struct InvalidValue {
    parameter: &'static str,
    value: Option<String>,
    rule: &'static str,
}

/// How much of a refused value an error repeats, in bytes: enough to recognise it.
const SHOWN: usize = 80;

impl InvalidValue {
    pub(crate) fn new(parameter: &'static str, value: &str, rule: &'static str) -> Self {
        let value = Some(text::escaped(value, SHOWN));
        Self {
            parameter,
            value,
            rule,
        }
    }

    /// For values that must not be repeated.
    pub(crate) fn secret(parameter: &'static str, rule: &'static str) -> Self {
        Self {
            parameter,
            value: None,
            rule,
        }
    }

    /// The name of the parameter, as Atlas spells it.
    #[must_use]
    pub fn parameter(&self) -> &'static str {
        self.parameter
    }

    /// The rule that the value breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parameter)?;
        if let Some(value) = &self.value {
            write!(f, " \"{value}\"")?;
        }
        write!(f, " is not valid: {}", self.rule)
    }
}

impl fmt::Debug for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidValue({self})")
    }
}

impl core::error::Error for InvalidValue {}

/// `TryFrom<&str>` for types that parse.
macro_rules! try_from_str {
    ($($type:ty),*) => {
        $(
            impl TryFrom<&str> for $type {
                type Error = InvalidValue;
                fn try_from(text: &str) -> Result<Self, InvalidValue> {
                    text.parse()
                }
            }
        )*
    };
}

try_from_str!(
    ApiVersion,
    BaseUrl,
    GroupId,
    ItemsPerPage,
    PageNum,
    Proxy,
    UnixTime
);
