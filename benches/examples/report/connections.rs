//! The report's sections about TLS and HTTP/2.

use crate::Section;
use crate::plot::{self, Bar, BarRole, Group};
use crate::rows::{CPU, Rows, WALL};
use crate::text::{digits, table, time};

pub(crate) fn sections(rows: &Rows<'_>) -> Vec<Section> {
    [tls(rows), http2(rows)].into_iter().flatten().collect()
}

const KEPT: &str = "tls/kept";
const RESUMED: &str = "tls/resumed";
const NEW: &str = "tls/new";

fn tls(rows: &Rows<'_>) -> Option<Section> {
    let ids = rows.ids(KEPT);
    let mut lines = Vec::new();
    for id in &ids {
        let cpu = |group| rows.value(group, id, CPU).map(|cpu| time(cpu * 1e3));
        lines.push(vec![
            (*id).to_owned(),
            cpu(KEPT)?,
            cpu(RESUMED)?,
            cpu(NEW)?,
            digits(rows.ratio((RESUMED, id), (NEW, id), CPU)?),
            time(rows.value(KEPT, id, WALL)? * 1e6),
            time(rows.value(NEW, id, WALL)? * 1e6),
        ]);
    }
    let headings = [
        "200 pages over TLS",
        "one connection",
        "connection for each, resumed",
        "connection for each",
        "resumed / not resumed",
        "wall, one connection",
        "wall, connection for each",
    ];
    let groups = [
        (KEPT, "one connection"),
        (RESUMED, "a connection for each page, TLS session resumed"),
        (NEW, "a connection for each page"),
    ]
    .map(|(group, heading)| Group {
        heading: heading.to_owned(),
        bars: ids
            .iter()
            .filter_map(|id| bar(id, rows.value(group, id, CPU)?))
            .collect(),
    });
    (!lines.is_empty()).then(|| Section {
        name: "tls".to_owned(),
        text: table(&headings, lines),
        plot: Some(plot::bars("CPU time of a page over TLS", &groups, false)),
    })
}

fn bar(id: &str, cpu: f64) -> Option<Bar> {
    Some(Bar {
        label: id.to_owned(),
        value: cpu,
        text: time(cpu * 1e3),
        role: match id.contains("by hand") {
            true => BarRole::Other,
            false => BarRole::Ours,
        },
    })
}

const HTTP1: &str = "http2/HTTP/1.1";
const HTTP2: &str = "http2/HTTP/2";

fn http2(rows: &Rows<'_>) -> Option<Section> {
    let lines = rows.ids(HTTP1).into_iter().map(|id| {
        let mut line = vec![id.to_owned()];
        for group in [HTTP1, HTTP2] {
            let value = |unit| rows.value(group, id, unit);
            // ureq has no HTTP/2.
            line.push(value(CPU).map_or(String::new(), |cpu| time(cpu * 1e3)));
            line.push(value(WALL).map_or(String::new(), |wall| time(wall * 1e6)));
        }
        line
    });
    let lines: Vec<Vec<String>> = lines.collect();
    let headings = [
        "200 pages over TLS",
        "HTTP/1.1, CPU per page",
        "wall",
        "HTTP/2, CPU per page",
        "wall",
    ];
    (!lines.is_empty()).then(|| Section {
        name: "http2".to_owned(),
        text: table(&headings, lines),
        plot: None,
    })
}
