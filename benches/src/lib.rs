//! What the benches measure, side by side with what people would use instead.
//!
//! [`cases`] are small pieces of work; each is measured in three ways: its time (`cargo bench`), its
//! allocations and its instructions (the programs in `src/bin`).

pub mod cases;
