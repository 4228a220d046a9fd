//! The memory that a piece of work takes, as the program counts it.
//!
//! An allocator that counts makes every target a tenth slower, and two of them need it. So it is the programs of these two
//! that link one.

use std::sync::OnceLock;

/// Does the work, and returns the most bytes that were allocated for it at one time.
pub type Count = fn(&mut dyn FnMut()) -> u64;

static COUNT: OnceLock<Count> = OnceLock::new();

/// Sets how this program counts. The first call decides.
pub fn count_with(count: Count) {
    let _ = COUNT.set(count);
}

/// Does the work, and returns its result and the most bytes that were allocated for it at one time.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let count = COUNT
        .get()
        .expect("a program for this target counts allocations");
    let (mut work, mut result) = (Some(work), None);
    let bytes = count(&mut || result = work.take().map(|work| work()));
    (result.expect("the work is done"), bytes)
}
