//! The report's sections about whole listings: loops, sizes and reading ahead.

use crate::Section;
use crate::plot::{self, Bar, BarRole, Group};
use crate::rows::{CPU, PEAK, Rows, WALL};
use crate::text::{digits, mebibytes, table, time};

const LIBRARIES: [&str; 2] = ["ureq", "hyper"];

/// The baselines. Loops that do not decode are compared with `bare`, and the others with the loop that
/// decodes into owned structs.
const BASELINES: [(&str, &[&str]); 2] = [
    ("bare", &["bare", "replies()"]),
    (
        "by hand",
        &[
            "by hand",
            "by hand, read_json",
            "by hand, reqwest",
            "pages()",
            "keys()",
        ],
    ),
];

pub(crate) fn sections(rows: &Rows<'_>) -> Vec<Section> {
    [loops(rows), sizes(rows), read_ahead(rows)]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns the CPU time of a page and that of its baseline, which may be the same.
fn compared(rows: &Rows<'_>, group: &str, id: &str) -> Option<(f64, f64)> {
    let (baseline, _) = BASELINES.iter().find(|(_, all)| all.contains(&id))?;
    let value = rows.value(group, id, CPU)?;
    Some((value, rows.value(group, baseline, CPU)?))
}

fn loops(rows: &Rows<'_>) -> Option<Section> {
    const ENCODINGS: [&str; 4] = ["content-length", "chunked", "small chunks", "gzip"];
    let mut text = String::new();
    let mut groups = Vec::new();
    for library in LIBRARIES {
        let first = format!("{library}/{}", ENCODINGS[0]);
        let ids = rows.ids(&first);
        let lines = ids.iter().map(|id| {
            let mut line = vec![(*id).to_owned()];
            line.extend(ENCODINGS.map(|encoding| {
                let compared = compared(rows, &format!("{library}/{encoding}"), id);
                compared.map_or(String::new(), |(value, baseline)| show(value, baseline))
            }));
            let wall = rows.value(&first, id, WALL);
            line.push(wall.map_or(String::new(), |wall| time(wall * 1e6)));
            let peak = rows.value(&first, id, PEAK);
            line.push(peak.map_or(String::new(), mebibytes));
            line
        });
        let mut headings = vec![library];
        headings.extend(ENCODINGS);
        headings.extend(["wall of 200 pages", "peak memory"]);
        if !text.is_empty() {
            text.push('\n');
        }
        text += &table(&headings, lines);
        let bars = ids.iter().filter_map(|id| {
            let (value, baseline) = compared(rows, &first, id)?;
            Some(Bar {
                label: (*id).to_owned(),
                value,
                text: show(value, baseline),
                role: match *id {
                    "bare" | "by hand" => BarRole::Baseline,
                    ours if ours.ends_with("()") => BarRole::Ours,
                    _ => BarRole::Other,
                },
            })
        });
        groups.push(Group {
            heading: format!("over {library}"),
            bars: bars.collect(),
        });
    }
    let is_measured = groups.iter().any(|group| !group.bars.is_empty());
    let title = "CPU time of a page of 500 keys, with Content-Length";
    is_measured.then(|| Section {
        name: "loops".to_owned(),
        text,
        plot: Some(plot::bars(title, &groups, false)),
    })
}

fn sizes(rows: &Rows<'_>) -> Option<Section> {
    let mut lines = Vec::new();
    let mut groups = Vec::new();
    for library in LIBRARIES {
        let group = format!("{library}/sizes");
        let value = |id, unit| rows.value(&group, id, unit);
        let baseline = value("10^5", "CPU ns/key");
        let mut bars = Vec::new();
        for id in rows.ids(&group) {
            let cpu = value(id, "CPU ns/key")?;
            let peak = mebibytes(value(id, PEAK)?);
            lines.push(vec![
                format!("{library}, {id}"),
                time(cpu),
                digits(cpu / baseline?),
                time(value(id, WALL)? * 1e6),
                peak.clone(),
            ]);
            bars.push(Bar {
                label: id.to_owned(),
                value: value(id, PEAK)?,
                text: peak,
                role: BarRole::Ours,
            });
        }
        groups.push(Group {
            heading: format!("over {library}"),
            bars,
        });
    }
    let headings = [
        "keys",
        "CPU per key",
        "relative to 10^5",
        "wall",
        "peak memory",
    ];
    let title = "Peak memory by number of keys";
    (!lines.is_empty()).then(|| Section {
        name: "sizes".to_owned(),
        text: table(&headings, lines),
        plot: Some(plot::bars(title, &groups, false)),
    })
}

fn read_ahead(rows: &Rows<'_>) -> Option<Section> {
    let mut lines = Vec::new();
    let mut groups = Vec::new();
    for library in LIBRARIES {
        let far = format!("{library}/20 ms latency");
        let near = format!("{library}/no latency");
        let mut bars = Vec::new();
        for id in rows.ids(&far) {
            let value = |unit| rows.value(&far, id, unit);
            let wall = |group| {
                let wall = rows.value(group, id, WALL)?;
                let one = rows.value(group, "1 in flight", WALL)?;
                Some((time(wall * 1e6), digits(one / wall)))
            };
            let ((far_wall, far_times), (near_wall, near_times)) = (wall(&far)?, wall(&near)?);
            lines.push(vec![
                format!("{library}, {id}"),
                far_wall.clone(),
                far_times.clone(),
                time(value(CPU)? * 1e3),
                mebibytes(value(PEAK)?),
                near_wall,
                near_times,
            ]);
            bars.push(Bar {
                label: id.to_owned(),
                value: value(WALL)?,
                text: format!("{far_wall} ({far_times} times as fast)"),
                role: match id {
                    "by hand" => BarRole::Other,
                    "1 in flight" => BarRole::Baseline,
                    _ => BarRole::Ours,
                },
            });
        }
        groups.push(Group {
            heading: format!("over {library}"),
            bars,
        });
    }
    let headings = [
        "200 pages",
        "20 ms latency",
        "times as fast",
        "CPU per page",
        "peak memory",
        "no latency",
        "times as fast",
    ];
    (!lines.is_empty()).then(|| Section {
        name: "read-ahead".to_owned(),
        text: table(&headings, lines),
        plot: Some(plot::bars("200 pages with 20 ms latency", &groups, false)),
    })
}

/// Formats microseconds, and their ratio to the baseline.
fn show(value: f64, baseline: f64) -> String {
    format!("{} ({})", time(value * 1e3), digits(value / baseline))
}
