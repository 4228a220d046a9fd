//! Measures the time of each case: `cargo bench --bench cases -- page/`.

use std::time::Duration;

use atlas_model_keys_benches::cases;
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for mut case in cases::all() {
        let mut group = criterion.benchmark_group(case.group);
        if let Some(bytes) = case.bytes {
            group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)));
        }
        group.bench_function(case.id(), |bencher| bencher.iter(&mut case.run));
        group.finish();
    }
    criterion.final_summary();
}
