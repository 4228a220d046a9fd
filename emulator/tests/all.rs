//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

mod control;
mod data;
mod digest;
mod environment;
mod fault_bytes;
mod faults;
mod listing;
mod oauth;
mod roles;
mod seen;
mod server;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod unusual_requests;
