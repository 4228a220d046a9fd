//! Benches of atlas-model-keys, side by side with what people would use instead: `cargo bench`.
//!
//! The benches are the files beside the manifest. Small pieces of work ([`cases`]) are measured in three ways: their
//! time (`cases.rs`), and their allocations and their instructions (programs in `src/bin`).
//!
//! For whole listings there are a server that a bench can start in a process of its own ([`atlas`]), what a
//! process cost ([`usage`]), and listings in processes of their own ([`drain`]), written by hand as people
//! would ([`naive`]) among them.
//!
//! How results are kept for the report is in [`results`], what a bench is told in [`arguments`].

pub mod arguments;
pub mod atlas;
pub mod cases;
pub mod drain;
pub mod naive;
pub mod results;
pub mod usage;
