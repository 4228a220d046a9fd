//! Tests of the binary as users run it: against the emulator, over HTTP.

mod completions;
mod demo;
mod emulate;
mod exit_codes;
mod filters;
mod find;
mod formats;
mod hostile;
mod hosts;
#[cfg(unix)]
mod interrupts;
mod log;
mod network;
mod output;
mod pasted;
mod scripted;
mod secrets;
mod sources;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
mod token;
mod usage;
