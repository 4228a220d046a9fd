//! The real binary, as its users run it: against the emulator, over real HTTP.

mod demo;
mod emulate;
mod exit_codes;
mod formats;
mod hostile;
mod hosts;
mod network;
mod output;
mod pasted;
mod scripted;
mod secrets;
mod support;
mod usage;
