//! The tests of this package, a module for each subject. They are one program, because linking many takes minutes.

mod dependencies;
mod dialogue;
mod examples;
mod flows;
mod listings;
mod operations;
mod pages;
mod properties;
mod random_dialogues;
mod run_examples;
mod runner;
mod transcripts;
mod wire;

/// The number of random dialogues here. The fuzz targets' tests, in which core is optimized, run 20,000 of them.
const RANDOM_DIALOGUES: u64 = 1_000;
