//! Tests of the binary as users run it: against the emulator, over HTTP.

mod completions;
mod demo;
#[cfg(target_os = "linux")]
mod document;
mod emulate;
#[cfg(unix)]
mod emulator_readme;
#[cfg(target_os = "linux")]
mod errors;
mod exit_codes;
mod filters;
mod find;
mod formats;
mod help;
mod hostile;
mod hosts;
#[cfg(unix)]
mod interrupts;
mod log;
mod network;
mod output;
mod pasted;
#[cfg(unix)]
mod recipes;
mod requests;
mod scripted;
mod secrets;
mod sources;
mod support;
mod sweeps;
#[cfg(target_os = "linux")]
mod terminal;
mod token;
mod usage;
mod version;
#[cfg(windows)]
mod windows;
