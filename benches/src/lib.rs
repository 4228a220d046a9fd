//! Benchmarks of atlas-model-keys and of the alternatives that people would use instead.
//!
//! `cargo bench` runs the benchmarks; their files are beside the manifest. Small operations
//! ([`cases`]) are measured in three ways: their time (`cases.rs`), their allocations and their
//! instructions (programs in `examples`).
//!
//! Whole listings ([`drain`]) run in separate processes, against a server in a separate process
//! ([`atlas`]); [`usage`] measures the time and the memory of a process. [`naive`] has the structs for
//! the loops that people would write by hand.
//!
//! [`results`] stores measurements for the report, and [`arguments`] parses the command line.

pub mod arguments;
pub mod atlas;
pub mod cases;
pub mod drain;
pub mod naive;
pub mod results;
pub mod usage;
