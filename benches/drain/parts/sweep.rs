//! Measures sweeps over 300 groups with two pages each, with 20 ms latency and with none.

use std::time::Duration;

use atlas_model_keys_benches::atlas::{Atlas, Settings};
use atlas_model_keys_benches::results::Row;

use super::{GROUPS, KEYS_OF_GROUP};
use crate::subject::{self, Subject};
use crate::{HYPER, UREQ};

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    // One request after the other, a sweep takes 12 s with latency.
    for (distance, latency, rounds) in [("20 ms latency", 20, 3), ("no latency", 0, 11)] {
        let settings = Settings::new(KEYS_OF_GROUP.0)
            .with_groups(GROUPS)
            .with_latency(Duration::from_millis(latency));
        let atlas = Atlas::start(&settings);
        let mut all = Vec::new();
        for library in [UREQ, HYPER] {
            for (name, how) in [("by hand", "owned groups"), ("sweep()", "sweep")] {
                for in_flight in [1, 8, 32] {
                    let id = format!("{library}, {name}, {in_flight} in flight");
                    let group = format!("sweep/{distance}");
                    let how = (library, how);
                    let subject = Subject::of_groups(group, id, how, &atlas, KEYS_OF_GROUP, 1);
                    all.push(subject.with_in_flight(in_flight));
                }
            }
        }
        rows.extend(subject::measure(if quick { 1 } else { rounds }, all));
    }
    rows
}
