//! The properties, a module for each target.

pub mod challenge;
pub mod dates;
pub mod driver;
pub mod emulator;
pub mod listing;
pub mod output;
pub mod page;
pub mod redaction;
pub mod reply;
pub mod request;
pub mod server;
pub mod session;
pub mod wire;
