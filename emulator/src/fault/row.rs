//! The rows of the tables of faults.

use super::argument::Argument;
use super::context::FaultContext;

/// The definition of a fault.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) argument: Argument,
    pub(super) harmless: bool,
    pub(super) apply: fn(&mut FaultContext<'_>),
}

/// Defines a fault that may make a listing fail. The client must report an error and stay usable.
pub(super) const fn fault(
    name: &'static str,
    description: &'static str,
    apply: fn(&mut FaultContext<'_>),
) -> Row {
    Row {
        name,
        description,
        argument: Argument::None,
        harmless: false,
        apply,
    }
}

/// Defines unusual behaviour that must not make a listing fail.
pub(super) const fn harmless(
    name: &'static str,
    description: &'static str,
    apply: fn(&mut FaultContext<'_>),
) -> Row {
    Row {
        harmless: true,
        ..fault(name, description, apply)
    }
}

impl Row {
    pub(super) const fn with(self, argument: Argument) -> Self {
        Self { argument, ..self }
    }
}
