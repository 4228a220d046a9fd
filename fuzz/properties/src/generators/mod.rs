//! Structured inputs: how bytes become what a target runs.

pub mod bytes;
pub mod emulator;
pub mod redaction;
pub mod session;
pub mod simulation;
pub(crate) mod world;
