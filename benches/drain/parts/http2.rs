//! Measures 200 pages over TLS with HTTP/1.1 and with HTTP/2, with several requests in flight: on a connection for each of
//! them, or all on one.

use atlas_model_keys_benches::atlas::{Atlas, Settings, Tls};
use atlas_model_keys_benches::results::Row;

use super::KEYS;
use crate::subject::{self, Subject};
use crate::{HYPER, REQWEST, UREQ};

/// The maximum numbers of requests in flight.
const IN_FLIGHT: [usize; 3] = [1, 8, 32];

pub(super) fn measure(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 11 };
    let protocols = [("HTTP/1.1", Tls::Http1), ("HTTP/2", Tls::Http2)];
    let atlases = protocols.map(|(_, tls)| Atlas::start(&Settings::new(KEYS).with_tls(tls)));
    let mut all = Vec::new();
    for ((protocol, tls), atlas) in protocols.iter().zip(&atlases) {
        for (client, how) in [
            ("hyper, by hand", (HYPER, "owned, concurrently, over TLS")),
            ("reqwest, by hand", (REQWEST, "owned, concurrently")),
            ("hyper, pages()", (HYPER, "pages")),
            ("ureq, pages()", (UREQ, "pages")),
        ] {
            // ureq has no HTTP/2.
            if how.0 == UREQ && *tls == Tls::Http2 {
                continue;
            }
            for in_flight in IN_FLIGHT {
                let id = format!("{client}, {in_flight} in flight");
                let subject = Subject::new(format!("http2/{protocol}"), id, how, atlas, KEYS);
                all.push(subject.with_in_flight(in_flight));
            }
        }
    }
    // All but those of ureq, and one round more, in which the server renders its pages.
    let processes = 3 * IN_FLIGHT.len() * (rounds + 1);
    let rows = subject::measure(rounds, all);
    for ((_, tls), atlas) in protocols.iter().zip(atlases) {
        let connections = atlas.end();
        if *tls == Tls::Http2 {
            // Each listing process had one connection.
            assert_eq!((connections.all, connections.http2), (processes, processes));
        } else {
            assert_eq!(connections.http2, 0);
        }
    }
    rows
}
