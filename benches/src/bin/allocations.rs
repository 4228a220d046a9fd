//! How many allocations each case makes, and of how many bytes in all.
//!
//! ```text
//! cargo run --release -p atlas-model-keys-benches --bin allocations
//! ```

use allocation_counter::measure;
use atlas_model_keys_benches::cases;

fn main() {
    for mut case in cases::all() {
        // The first time, what is kept for later may grow.
        (case.run)();
        let counted = measure(&mut case.run);
        println!(
            "{:>8} {:>10} bytes  {case}",
            counted.count_total, counted.bytes_total
        );
    }
}
