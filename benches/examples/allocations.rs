//! Counts the allocations of each case and their bytes.
//!
//! ```text
//! cargo run --release --example allocations
//! ```

use std::io;

use allocation_counter::measure;
use atlas_model_keys_benches::cases;
use atlas_model_keys_benches::results::{Row, record};

fn main() -> io::Result<()> {
    let mut rows = Vec::new();
    for mut case in cases::all() {
        // Buffers that are kept for later may grow in the first run.
        (case.run)();
        let counted = measure(&mut case.run);
        let (count, bytes) = (counted.count_total, counted.bytes_total);
        println!("{count:>8} {bytes:>10} bytes  {case}");
        rows.push(Row::new(case.group, case.id(), "allocations", count as f64));
    }
    record("allocations", rows)
}
