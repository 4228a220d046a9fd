//! The scenarios, one file for each theme. A scenario is generic over the client, starts its own server, and panics if
//! the client does not behave as it must.
//!
//! `scenarios!` defines the functions of a theme and a macro that makes a test of each. `themes!` combines the themes to
//! [`test_scenarios`](crate::test_scenarios). A theme that is missing there is reported as unused code.
// A scenario's name says what it checks, and a scenario panics on purpose.
#![allow(clippy::missing_panics_doc, missing_docs)]

/// Defines the scenarios of a theme, and a macro of its name that makes a test of each for the type `Client`. The block
/// is in parentheses because rustfmt skips braces.
macro_rules! scenarios {
    ($theme:ident, {
        $(fn $scenario:ident<$client:ident: $bound:ident>() $body:block)*
    }) => {
        $(pub fn $scenario<$client: $bound>() $body)*

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $theme {
            () => {
                $(#[test]
                fn $scenario() {
                    $crate::scenarios::$scenario::<super::Client>();
                })*
            };
        }
    };
}

/// Exports the scenarios of the themes, and a macro that makes tests of them.
macro_rules! themes {
    ($($theme:ident,)*) => {
        $(pub use $theme::*;)*

        /// Makes a test of each scenario, in one module for each theme, for the type that is called `Client` in the
        /// calling module.
        #[macro_export]
        macro_rules! test_scenarios {
            () => {
                $(mod $theme {
                    $crate::$theme!();
                })*
            };
        }
    };
}

mod connections;
mod deadlines;
mod digest;
mod limits;
mod one_key;
mod organizations;
mod paging;
mod rate_limits;
mod read_ahead;
mod retries;
mod settings;
mod statuses;
mod sweeps;
mod tokens;

themes! {
    connections,
    deadlines,
    digest,
    limits,
    one_key,
    organizations,
    paging,
    rate_limits,
    read_ahead,
    retries,
    settings,
    statuses,
    sweeps,
    tokens,
}
