//! Measures 200 pages with every loop, in every encoding.

use atlas_model_keys_benches::atlas::{Atlas, BodyEncoding, Settings};
use atlas_model_keys_benches::results::Row;

use super::KEYS;
use crate::subject::{self, Subject};
use crate::{HYPER, REQWEST, UREQ};

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut rows = Vec::new();
    for encoding in BodyEncoding::ALL {
        let atlas = Atlas::start(&Settings::new(KEYS).with_encoding(encoding));
        let subject = |library: &str, id: &str, how| {
            Subject::new(format!("{library}/{encoding}"), id, how, &atlas, KEYS)
        };
        let all = vec![
            subject(UREQ, "bare", (UREQ, "bare")),
            subject(UREQ, "replies()", (UREQ, "replies")),
            subject(UREQ, "by hand", (UREQ, "owned")),
            subject(UREQ, "by hand, read_json", (UREQ, "read_json")),
            subject(UREQ, "pages()", (UREQ, "pages")),
            subject(UREQ, "keys()", (UREQ, "keys")),
            subject(HYPER, "bare", (HYPER, "bare")),
            subject(HYPER, "replies()", (HYPER, "replies")),
            subject(HYPER, "by hand", (HYPER, "owned")),
            subject(HYPER, "by hand, reqwest", (REQWEST, "owned")),
            subject(HYPER, "pages()", (HYPER, "pages")),
            subject(HYPER, "keys()", (HYPER, "keys")),
        ];
        rows.extend(subject::measure(rounds, all));
    }
    rows
}
