//! Structured inputs: how bytes become what a target runs.

pub mod bytes;
pub mod challenge;
pub mod dates;
pub mod emulator;
pub mod listing;
pub mod output;
pub mod redaction;
pub mod reply;
pub mod request;
pub mod session;
pub mod session_mutator;
pub mod simulation;
pub mod wire;
pub(crate) mod world;
