//! Reads the times that criterion has stored in its folder.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use atlas_model_keys_benches::results::Row;
use serde::Deserialize;

/// The unit of times.
pub(crate) const TIME: &str = "ns";

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// The maximum duration of a run: a value that is older than the newest of its group by more than this
/// belongs to an earlier run.
const ONE_RUN: Duration = Duration::from_secs(3600);

/// Returns the medians of the last run of each group, in the order in which they were measured.
pub(crate) fn read(folder: &Path) -> Vec<Row> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort_by_key(|(measured, _)| *measured);
    let last_of = |row: &Row| {
        let mut newest_first = found.iter().rev();
        newest_first.find(|(_, other)| other.group == row.group)
    };
    let is_of_last_run = |(measured, row): &&(SystemTime, Row)| {
        last_of(row).is_some_and(|(last, _)| *measured + ONE_RUN >= *last)
    };
    let fresh = found.iter().filter(is_of_last_run);
    fresh.map(|(_, row)| row.clone()).collect()
}

fn collect(folder: &Path, found: &mut Vec<(SystemTime, Row)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name == "new") {
            found.extend(median(&path));
        } else if path.is_dir() {
            collect(&path, found);
        }
    }
}

fn median(folder: &Path) -> Option<(SystemTime, Row)> {
    let benchmark = fs::read(folder.join("benchmark.json")).ok()?;
    let benchmark: Benchmark = serde_json::from_slice(&benchmark).ok()?;
    let id: Vec<String> = [benchmark.function_id, benchmark.value_str]
        .into_iter()
        .flatten()
        .collect();
    let path = folder.join("estimates.json");
    let measured = fs::metadata(&path).ok()?.modified().ok()?;
    let estimates: Estimates = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let median = estimates.median.point_estimate;
    Some((
        measured,
        Row::new(benchmark.group_id, id.join("/"), TIME, median),
    ))
}
