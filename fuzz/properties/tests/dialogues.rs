//! Many random dialogues between a session and the emulator, which are optimized here. The tests of core run the same module with
//! few.

#[allow(dead_code, reason = "other tests of core use the rest")]
#[path = "../../../core/tests/dialogue/mod.rs"]
mod dialogue;
#[path = "../../../core/tests/random_dialogues.rs"]
mod random_dialogues;

/// The number of random dialogues.
const RANDOM_DIALOGUES: u64 = 20_000;
