//! Measures 200 pages with 20 ms latency and with none, with several pages in flight.

use std::time::Duration;

use atlas_model_keys_benches::atlas::{Atlas, Settings};
use atlas_model_keys_benches::results::Row;

use super::KEYS;
use crate::subject::{self, Subject};
use crate::{HYPER, UREQ};

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 1 } else { 5 };
    let mut rows = Vec::new();
    for (distance, latency) in [("20 ms latency", 20), ("no latency", 0)] {
        let latency = Duration::from_millis(latency);
        let atlas = Atlas::start(&Settings::new(KEYS).with_latency(latency));
        let mut all = Vec::new();
        for (library, by_hand, keys) in [
            (UREQ, "owned", "keys"),
            (HYPER, "owned on all cores", "keys on all cores"),
        ] {
            for (id, how, in_flight) in [
                ("by hand", by_hand, 1),
                ("1 in flight", keys, 1),
                ("4 in flight", keys, 4),
                ("8 in flight", keys, 8),
                ("16 in flight", keys, 16),
            ] {
                let group = format!("{library}/{distance}");
                let subject = Subject::new(group, id, (library, how), &atlas, KEYS);
                all.push(subject.with_in_flight(in_flight));
            }
        }
        rows.extend(subject::measure(rounds, all));
    }
    rows
}
