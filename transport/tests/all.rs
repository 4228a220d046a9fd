//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

mod contract;
mod deadlines;
#[cfg(feature = "emulator")]
mod events;
#[cfg(feature = "emulator")]
mod in_memory;
mod listing;
mod run_examples;
#[cfg(feature = "emulator")]
mod sweep;
