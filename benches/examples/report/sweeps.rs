//! The report's sections about many groups and many callers.

use crate::Section;
use crate::plot::{self, Bar, BarRole, Group};
use crate::rows::{CPU, PEAK, Rows, WALL};
use crate::text::{digits, mebibytes, table, time};

pub(crate) fn sections(rows: &Rows<'_>) -> Vec<Section> {
    [sweep(rows), shared_limit(rows), callers(rows)]
        .into_iter()
        .flatten()
        .collect()
}

pub(crate) const FAR: &str = "sweep/20 ms latency";
const NEAR: &str = "sweep/no latency";

fn sweep(rows: &Rows<'_>) -> Option<Section> {
    let mut lines = Vec::new();
    let mut bars = Vec::new();
    for id in rows.ids(FAR) {
        let (name, _) = id.rsplit_once(", ")?;
        let one = format!("{name}, 1 in flight");
        let times = |group| rows.ratio((group, &one), (group, id), WALL).map(digits);
        let wall = |group| rows.value(group, id, WALL).map(|wall| time(wall * 1e6));
        lines.push(vec![
            id.to_owned(),
            wall(FAR)?,
            times(FAR)?,
            time(rows.value(FAR, id, CPU)? * 1e3),
            mebibytes(rows.value(FAR, id, PEAK)?),
            wall(NEAR)?,
            times(NEAR)?,
            time(rows.value(NEAR, id, CPU)? * 1e3),
        ]);
        bars.push(Bar {
            label: id.to_owned(),
            value: rows.value(FAR, id, WALL)?,
            text: format!("{} ({} times as fast)", wall(FAR)?, times(FAR)?),
            role: match name.ends_with("sweep()") {
                true => BarRole::Ours,
                false => BarRole::Other,
            },
        });
    }
    let headings = [
        "300 groups of two pages",
        "20 ms latency",
        "times as fast",
        "CPU per page",
        "peak memory",
        "no latency",
        "times as fast",
        "CPU per page",
    ];
    let group = Group {
        heading: String::new(),
        bars,
    };
    (!lines.is_empty()).then(|| Section {
        name: "sweep".to_owned(),
        text: table(&headings, lines),
        plot: Some(plot::bars("300 groups with 20 ms latency", &[group], false)),
    })
}

pub(crate) const SHARED_LIMIT: &str = "shared-limit";
pub(crate) const USED: &str = "% of the rate";

fn shared_limit(rows: &Rows<'_>) -> Option<Section> {
    let used = rows.0.iter().filter(|row| row.group == SHARED_LIMIT);
    let mut lines = Vec::new();
    for row in used.filter(|row| row.unit == USED) {
        let refused = rows.value(SHARED_LIMIT, &row.id, "429")?;
        lines.push(vec![
            row.id.clone(),
            format!("{:.1} %", row.value),
            format!("{refused}"),
        ]);
    }
    (!lines.is_empty()).then(|| Section {
        name: "shared-limit".to_owned(),
        text: table(
            &[
                "300 groups of two pages",
                "of the rate",
                "responses with 429",
            ],
            lines,
        ),
        plot: None,
    })
}

pub(crate) const CALLERS: &str = "callers";

fn callers(rows: &Rows<'_>) -> Option<Section> {
    let mut lines = Vec::new();
    for one in rows.ids(CALLERS) {
        let Some(name) = one.strip_suffix(", 1 caller") else {
            continue;
        };
        let many = format!("{name}, 100 callers");
        let value = |id, unit| rows.value(CALLERS, id, unit);
        lines.push(vec![
            name.to_owned(),
            time(value(one, CPU)? * 1e3),
            time(value(&many, CPU)? * 1e3),
            digits(rows.ratio((CALLERS, &many), (CALLERS, one), CPU)?),
            time(value(one, WALL)? * 1e6),
            time(value(&many, WALL)? * 1e6),
            mebibytes(value(&many, PEAK)?),
        ]);
    }
    let headings = [
        "3000 pages",
        "CPU per page, one caller",
        "100 callers",
        "ratio",
        "wall, one caller",
        "100 callers",
        "peak memory",
    ];
    (!lines.is_empty()).then(|| Section {
        name: "callers".to_owned(),
        text: table(&headings, lines),
        plot: None,
    })
}
