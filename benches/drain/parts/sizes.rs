//! Measures listings of a thousand to a million keys.

use atlas_model_keys_benches::atlas::{Atlas, Settings};
use atlas_model_keys_benches::results::Row;

use crate::subject::{self, Subject};
use crate::{HYPER, UREQ};

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut sizes = vec![("10^3", 1000, 1), ("10^4", 10_000, 1), ("10^5", 100_000, 1)];
    if !quick {
        sizes.push(("10^6", 1_000_000, 1));
    }
    let atlases: Vec<Atlas> = sizes
        .iter()
        .map(|(_, keys, _)| Atlas::start(&Settings::new(*keys)))
        .collect();
    if !quick {
        sizes.push(("10^6, 8 in flight", 1_000_000, 8));
    }
    let mut all = Vec::new();
    for library in [UREQ, HYPER] {
        for (index, (id, keys, in_flight)) in sizes.iter().enumerate() {
            let atlas = atlases.get(index).or(atlases.last()).unwrap();
            let group = format!("{library}/sizes");
            let subject = Subject::new(group, *id, (library, "keys"), atlas, *keys);
            all.push(subject.with_in_flight(*in_flight));
        }
    }
    subject::measure(rounds, all)
}
