//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

mod client;
mod run_examples;
