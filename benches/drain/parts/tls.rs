//! Measures 200 pages over TLS: on one connection, and with a new connection for each page.

use atlas_model_keys_benches::atlas::{Atlas, Settings, Tls};
use atlas_model_keys_benches::results::Row;

use super::KEYS;
use crate::subject::{self, Subject};
use crate::{HYPER, REQWEST, UREQ};

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 11 };
    let connections = [
        ("kept", Tls::Http1),
        ("resumed", Tls::Resumed),
        ("new", Tls::NotResumed),
    ];
    // Their ratios matter, too, so they are measured alternately.
    let atlases = connections.map(|(_, tls)| Atlas::start(&Settings::new(KEYS).with_tls(tls)));
    let mut all = Vec::new();
    for ((connection, _), atlas) in connections.iter().zip(&atlases) {
        for (id, how) in [
            ("ureq, by hand", (UREQ, "owned")),
            ("ureq, pages()", (UREQ, "pages")),
            ("hyper, by hand", (HYPER, "owned over TLS")),
            ("reqwest, by hand", (REQWEST, "owned")),
            ("hyper, pages()", (HYPER, "pages")),
        ] {
            all.push(Subject::new(
                format!("tls/{connection}"),
                id,
                how,
                atlas,
                KEYS,
            ));
        }
    }
    subject::measure(rounds, all)
}
