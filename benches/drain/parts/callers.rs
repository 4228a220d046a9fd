//! Measures 3000 pages of 300 groups with one caller, and with 100 callers that share a client.

use atlas_model_keys_benches::atlas::{Atlas, Settings};
use atlas_model_keys_benches::results::Row;

use super::{GROUPS, KEYS_OF_GROUP};
use crate::subject::{self, Subject};
use crate::{HYPER, UREQ};

/// How often each group is listed: each of 100 callers requests 30 pages.
const REPEAT: usize = 5;

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let atlas = Atlas::start(&Settings::new(KEYS_OF_GROUP.0).with_groups(GROUPS));
    let mut all = Vec::new();
    for library in [UREQ, HYPER] {
        for (name, how) in [("by hand", "owned groups"), ("pages()", "callers")] {
            for (count, callers) in [("1 caller", 1), ("100 callers", 100)] {
                let id = format!("{library}, {name}, {count}");
                let how = (library, how);
                let subject = Subject::of_groups("callers", id, how, &atlas, KEYS_OF_GROUP, REPEAT);
                all.push(subject.with_in_flight(callers));
            }
        }
    }
    subject::measure(rounds, all)
}
