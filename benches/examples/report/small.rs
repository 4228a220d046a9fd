//! The report's sections about small operations: time, instructions and allocations of each group.

use atlas_model_keys_benches::results::Row;

use crate::Section;
use crate::criterion::TIME;
use crate::plot::{self, Bar, BarRole, Group, Plot};
use crate::text::{digits, table, time};

/// The values of one size. The first name is the baseline of the others.
struct Size<'a> {
    size: Option<&'a str>,
    names: Vec<&'a str>,
    rows: Vec<&'a Row>,
}

/// Returns a section for each group.
pub(crate) fn sections(rows: &[Row]) -> Vec<Section> {
    let groups = distinct(rows.iter().map(|row| row.group.as_str()));
    groups
        .into_iter()
        .map(|group| {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.group == group).collect();
            let sizes = by_size(&rows);
            let tables: Vec<String> = sizes.iter().map(|size| describe(group, size)).collect();
            Section {
                name: group.to_owned(),
                text: tables.join("\n"),
                plot: plot(group, &sizes),
            }
        })
        .collect()
}

fn by_size<'a>(rows: &[&'a Row]) -> Vec<Size<'a>> {
    let mut sizes = distinct(rows.iter().map(|row| split(&row.id).1));
    sizes.sort_by_key(|size| size.and_then(|size| size.parse::<u64>().ok()));
    sizes
        .into_iter()
        .map(|size| {
            let rows: Vec<&Row> = rows
                .iter()
                .filter(|row| split(&row.id).1 == size)
                .copied()
                .collect();
            let names = distinct(rows.iter().map(|row| split(&row.id).0));
            Size { size, names, rows }
        })
        .collect()
}

impl Size<'_> {
    fn value(&self, name: &str, unit: &str) -> Option<f64> {
        let is_it = |row: &&&Row| split(&row.id).0 == name && row.unit == unit;
        self.rows.iter().find(is_it).map(|row| row.value)
    }

    /// Formats a value, and its ratio to the baseline.
    fn show(&self, name: &str, unit: &str) -> Option<String> {
        let value = self.value(name, unit)?;
        let shown = if unit == TIME {
            time(value)
        } else {
            format!("{value}")
        };
        let baseline = self.value(self.names.first()?, unit);
        Some(match baseline.filter(|baseline| *baseline > 0.0) {
            Some(baseline) => format!("{shown} ({})", digits(value / baseline)),
            None => shown,
        })
    }
}

fn describe(group: &str, size: &Size<'_>) -> String {
    let units = distinct(size.rows.iter().map(|row| row.unit.as_str()));
    let title = match size.size {
        Some(size) => format!("{group}, {size}"),
        None => group.to_owned(),
    };
    let mut headings = vec![title.as_str()];
    headings.extend(units.iter().map(|unit| match *unit {
        TIME => "time",
        other => other,
    }));
    let lines = size.names.iter().map(|name| {
        let cells = units.iter().map(|unit| size.show(name, unit));
        let mut line = vec![(*name).to_owned()];
        line.extend(cells.map(Option::unwrap_or_default));
        line
    });
    table(&headings, lines)
}

/// Plots the times, if there are any.
fn plot(group: &str, sizes: &[Size<'_>]) -> Option<Plot> {
    let groups: Vec<Group> = sizes
        .iter()
        .map(|size| Group {
            heading: size.size.unwrap_or_default().to_owned(),
            bars: size
                .names
                .iter()
                .enumerate()
                .filter_map(|(index, name)| {
                    Some(Bar {
                        label: (*name).to_owned(),
                        value: size.value(name, TIME)?,
                        text: size.show(name, TIME)?,
                        role: match index {
                            _ if name.starts_with("ours") => BarRole::Ours,
                            0 => BarRole::Baseline,
                            _ => BarRole::Other,
                        },
                    })
                })
                .collect(),
        })
        .filter(|group| !group.bars.is_empty())
        .collect();
    (!groups.is_empty()).then(|| plot::bars(&format!("{group}: time"), &groups, true))
}

/// Splits `name/size`, or `name`.
fn split(id: &str) -> (&str, Option<&str>) {
    match id.rsplit_once('/') {
        Some((name, size)) if size.bytes().all(|b| b.is_ascii_digit()) => (name, Some(size)),
        _ => (id, None),
    }
}

/// Returns the distinct values, in the order of their first occurrence.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_several_units_are_in_one_row() {
        let row = |id, unit, value| Row::new("page", id, unit, value);
        let rows = [
            row("serde_json/500", TIME, 200_000.0),
            row("ours/500", TIME, 100_000.0),
            row("ours/1", TIME, 500.0),
            row("serde_json/500", "allocations", 4000.0),
            row("ours/500", "allocations", 0.0),
        ];
        let [section] = sections(&rows).try_into().ok().unwrap();
        let text = section.text;
        assert!(text.starts_with("| page, 1 | time |\n"), "{text}");
        assert!(text.contains("| page, 500 | time | allocations |\n"));
        assert!(text.contains("| serde_json | 200 µs (1.00) | 4000 (1.00) |\n"));
        assert!(text.contains("| ours | 100 µs (0.50) | 0 (0.00) |\n"));
        assert!(section.plot.unwrap().svg.contains("100 µs (0.50)"));
    }
}
