//! The report's sections about the command: its time and its instructions.

use atlas_model_keys_benches::results::Row;

use crate::Section;
use crate::plot::{self, Bar, BarRole, Group};
use crate::text::{digits, mebibytes, table, time};

pub(crate) fn sections(rows: &[Row]) -> Vec<Section> {
    let of = |group: &str| -> Vec<&Row> { rows.iter().filter(|row| row.group == group).collect() };
    [
        start("start", "One page of 100 keys", &of("start")),
        start(
            "start-tls",
            "One page of 100 keys over TLS",
            &of("start-tls"),
        ),
        instructions(&of("instructions")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn start(name: &str, title: &str, rows: &[&Row]) -> Option<Section> {
    let value = |id: &str, unit: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|row| row.id == id && row.unit == unit);
        row.map_or(0.0, |row| row.value)
    };
    let walls: Vec<&&Row> = rows.iter().filter(|row| row.unit == "wall µs").collect();
    let nothing = walls.first()?.value;
    let lines = walls.iter().map(|row| {
        vec![
            format!("`{}`", row.id),
            time(row.value * 1e3),
            match row.value - nothing {
                0.0 => "0".to_owned(),
                beyond => time(beyond * 1e3),
            },
            time(value(&row.id, "CPU µs") * 1e3),
            mebibytes(value(&row.id, "peak KiB")),
        ]
    });
    let headings = ["", "wall", "beyond `/bin/true`", "CPU", "peak memory"];
    let bars = walls.iter().map(|row| Bar {
        label: row.id.clone(),
        value: row.value,
        text: time(row.value * 1e3),
        role: match row.id.as_str() {
            "/bin/true" => BarRole::Baseline,
            "curl" => BarRole::Other,
            _ => BarRole::Ours,
        },
    });
    let group = Group {
        heading: "from the start of the process to its end".to_owned(),
        bars: bars.collect(),
    };
    Some(Section {
        name: name.to_owned(),
        text: table(&headings, lines),
        plot: Some(plot::bars(title, &[group], true)),
    })
}

fn instructions(rows: &[&Row]) -> Option<Section> {
    let baseline = rows.first()?.value;
    let lines = rows.iter().map(|row| {
        vec![
            row.id.clone(),
            format!("{} million", digits(row.value)),
            digits(row.value / baseline),
        ]
    });
    Some(Section {
        name: "instructions".to_owned(),
        text: table(&["200 pages of 500", "instructions", "ratio"], lines),
        plot: None,
    })
}
