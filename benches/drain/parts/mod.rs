//! The parts of the benchmark, each of which can be selected by its name.

mod callers;
mod http2;
mod loops;
mod read_ahead;
mod shared_limit;
mod sizes;
mod sweep;
mod tls;

use atlas_model_keys_benches::results::Row;

/// The name of a part, and its function.
pub(crate) type Part = (&'static str, fn(quick: bool) -> Vec<Row>);

pub(crate) const ALL: &[Part] = &[
    ("loops", loops::measure),
    ("sizes", sizes::measure),
    ("read-ahead", read_ahead::measure),
    ("tls", tls::measure),
    ("http2", http2::measure),
    ("sweep", sweep::measure),
    ("callers", callers::measure),
    ("shared-limit", shared_limit::measure),
];

/// The number of keys of a listing: 200 pages.
const KEYS: usize = 100_000;

/// The groups of a sweep.
const GROUPS: usize = 300;

/// The keys of each group of a sweep, and those on a page: two pages for each group.
const KEYS_OF_GROUP: (usize, usize) = (150, 100);
