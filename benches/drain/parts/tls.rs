//! Measures 200 pages over TLS: on one connection, and with a new connection for each page.

use atlas_model_keys_benches::atlas::{Atlas, Settings, Tls, TlsConnections};
use atlas_model_keys_benches::drain::PER_PAGE;
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
    // One round more, in which the server renders its pages.
    let processes = all.len() / connections.len() * (rounds + 1);
    let rows = subject::measure(rounds, all);
    for ((_, tls), atlas) in connections.iter().zip(atlases) {
        check(*tls, atlas.end(), processes);
    }
    rows
}

/// Checks that every listing process had the connections that it is measured with.
fn check(tls: Tls, connections: TlsConnections, processes: usize) {
    let pages = KEYS.div_ceil(PER_PAGE);
    let (all, resumed) = match tls {
        Tls::Resumed => (processes * pages, processes * (pages - 1)),
        Tls::NotResumed => (processes * pages, 0),
        _ => (processes, 0),
    };
    assert_eq!(
        (connections.all, connections.resumed, connections.http2),
        (all, resumed, 0),
        "{tls:?}"
    );
}
