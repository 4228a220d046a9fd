//! A fault, the row that defines it, and the macro that defines a table of faults.

use super::area::Area;
use super::argument::Argument;
use super::context::FaultContext;

/// A fault, or merely unusual behaviour, that can be switched on.
///
/// Each fault is a constant, such as [`Fault::RESET_IN_BODY`], and [`Fault::all`] returns them all.
/// [`Emulator::inject`](crate::Emulator::inject) switches one on. Some faults take an argument:
/// [`with_number`](Fault::with_number), [`with_status`](Fault::with_status) and
/// [`with_delay`](Fault::with_delay) replace the default one.
///
/// The text form is a name, or a name and an argument: `slow-body`, `slow-body=50ms`. The name is that
/// of the constant, in lower case and with hyphens.
///
/// ```
/// use std::time::Duration;
/// use atlas_model_keys_emulator::{Area, Fault};
///
/// assert_eq!(Fault::SLOW_BODY.to_string(), "slow-body=10ms");
/// assert_eq!(Fault::SLOW_BODY.area(), Area::Socket);
/// assert!(Fault::SLOW_BODY.is_harmless());
/// let slower = Fault::SLOW_BODY.with_delay(Duration::from_millis(50))?;
/// assert_eq!("slow-body=50ms".parse(), Ok(slower));
///
/// let error = "slow-boy".parse::<Fault>().unwrap_err();
/// assert_eq!(error.to_string(), r#"there is no fault "slow-boy"; did you mean "slow-body"?"#);
/// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fault {
    pub(super) row: &'static Row,
    /// The argument, or 0 if the fault takes none.
    pub(super) value: u64,
}

/// The definition of a fault.
pub(super) struct Row {
    pub(super) area: Area,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) argument: Option<Argument>,
    pub(super) harmless: bool,
    pub(super) apply: fn(&mut FaultContext<'_>),
}

impl Fault {
    /// Returns the fault with its default argument.
    pub(super) const fn from_row(row: &'static Row) -> Self {
        let value = match row.argument {
            Some(argument) => argument.default_value(),
            None => 0,
        };
        Self { row, value }
    }
}

impl Row {
    /// Defines a fault that may make a listing fail. The client must report an error and stay usable.
    pub(super) const fn fault(
        area: Area,
        name: &'static str,
        description: &'static str,
        apply: fn(&mut FaultContext<'_>),
    ) -> Self {
        Self {
            area,
            name,
            description,
            argument: None,
            harmless: false,
            apply,
        }
    }

    /// Defines unusual behaviour that must not make a listing fail.
    pub(super) const fn harmless(
        area: Area,
        name: &'static str,
        description: &'static str,
        apply: fn(&mut FaultContext<'_>),
    ) -> Self {
        Self {
            harmless: true,
            ..Self::fault(area, name, description, apply)
        }
    }

    pub(super) const fn with(self, argument: Argument) -> Self {
        Self {
            argument: Some(argument),
            ..self
        }
    }
}

/// Defines a table of faults of one area, and for each of them a row and a documented constant.
///
/// A constant whose name does not agree with the text name does not compile. The names of the rows are those of
/// functions: [`Row::fault`] or [`Row::harmless`], then one of [`Argument`] with the default, the minimum and the maximum.
macro_rules! faults {
    ($table:ident, $area:ident, $(
        $kind:ident($constant:ident, $name:literal, $description:literal, $apply:expr $(,)?)
        $(.with($argument:ident($default:expr, $min:expr, $max:expr)))?
    ),+ $(,)?) => {
        pub(super) const $table: &[$crate::Fault] = &[$($crate::Fault::$constant),+];

        #[doc = concat!("Faults of [`Area::", stringify!($area), "`](crate::Area::", stringify!($area), ").")]
        impl $crate::Fault {
            $(
                #[doc = concat!("`", $name, "`: ", $description, ".", super::row::words!($kind))]
                $(
                    #[doc = concat!(
                        "\n\n[`with_", stringify!($argument), "`](crate::Fault::with_", stringify!($argument),
                        ") takes `", stringify!($min), "` to `", stringify!($max), "`",
                        super::row::words!($argument), "; the default is `", stringify!($default), "`."
                    )]
                )?
                pub const $constant: Self = {
                    const ROW: &super::row::Row = &super::row::Row::$kind(
                        $crate::Area::$area,
                        $name,
                        $description,
                        $apply,
                    )$(.with(super::argument::Argument::$argument($default, $min, $max)))?;
                    const {
                        assert!(super::row::is_text_name($name, stringify!($constant)));
                    }
                    Self::from_row(ROW)
                };
            )+
        }
    };
}

/// Returns what the documentation of a constant says about the kind of a fault or an argument.
macro_rules! words {
    (harmless) => {
        "\n\nA robust client still gets all keys."
    };
    (delay) => {
        " milliseconds"
    };
    ($other:ident) => {
        ""
    };
}

pub(super) use {faults, words};

/// Returns whether `name` is the name of the constant in lower case, with hyphens.
pub(super) const fn is_text_name(name: &str, constant: &str) -> bool {
    let (name, constant) = (name.as_bytes(), constant.as_bytes());
    let mut at = 0;
    while at < name.len() && at < constant.len() {
        let expected = match constant[at] {
            b'_' => b'-',
            letter => letter.to_ascii_lowercase(),
        };
        if name[at] != expected {
            return false;
        }
        at += 1;
    }
    name.len() == constant.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_name_agrees_with_the_constant() {
        assert!(is_text_name("http-1-0", "HTTP_1_0"));
        for wrong in [
            "",
            "http-1",
            "http-1-1",
            "http_1_0",
            "HTTP-1-0",
            "http-1-0-",
        ] {
            assert!(!is_text_name(wrong, "HTTP_1_0"), "{wrong}");
        }
    }
}
