//! What every client must do: one set of [scenarios], run against each of them over the emulator on
//! loopback. A client is seen through [`Front`]; what is particular to one is tested beside it.

pub mod atlas;
pub mod front;
pub mod scenarios;

pub use atlas::{Atlas, Kind};
pub use front::{Blocking, Front, NonBlocking, Setup};

/// The examples of the project's README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
