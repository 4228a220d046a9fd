//! The real binary, as its users run it: against the emulator, over real HTTP.

mod demo;
mod emulate;
mod exit_codes;
mod formats;
mod hostile;
mod secrets;
mod support;
mod usage;
