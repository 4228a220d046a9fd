//! The report of a campaign, as a table or as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::engine::Run;
use crate::findings::Finding;

/// The form of the report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Table,
    Json,
}

/// What a campaign did with one target.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    target: String,
    executions: u64,
    executions_per_second: u64,
    edges: u64,
    features: u64,
    pub(crate) corpus_files: u64,
    pub(crate) corpus_bytes: u64,
    cpu_seconds: u64,
    pub(crate) findings: Vec<Finding>,
}

impl Row {
    pub(crate) fn new(target: &str, run: &Run) -> Self {
        let seconds = run.elapsed.as_secs().max(1);
        Self {
            target: target.to_owned(),
            executions: run.progress.executions,
            executions_per_second: run.progress.executions / seconds,
            edges: run.progress.edges,
            features: run.progress.features,
            corpus_files: 0,
            corpus_bytes: 0,
            cpu_seconds: run.cpu.as_secs(),
            findings: Vec::new(),
        }
    }
}

/// Writes the report. After the table, each finding has its place, its message, and the command that shows it.
pub(crate) fn write(rows: &[Row], format: Format) -> String {
    match format {
        Format::Json => serde_json::to_string_pretty(rows).unwrap_or_default() + "\n",
        Format::Table => table(rows),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:12} {:>12} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>9}\n",
        "target", "executions", "per s", "edges", "features", "corpus", "KB", "CPU min", "findings"
    );
    for row in rows {
        let minutes = row.cpu_seconds as f64 / 60.0;
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:12} {:>12} {:>8} {:>8} {:>9} {:>8} {:>8} {minutes:>8.1} {:>9}",
            row.target,
            row.executions,
            row.executions_per_second,
            row.edges,
            row.features,
            row.corpus_files,
            row.corpus_bytes.div_ceil(1024),
            row.findings.len()
        );
    }
    for (row, finding) in rows
        .iter()
        .flat_map(|row| row.findings.iter().map(move |f| (row, f)))
    {
        let input = finding.input.display();
        let _ = write!(
            text,
            "\n{}: {} ({} inputs)\n  {}\n  cargo run --manifest-path fuzz/Cargo.toml --bin {} -- {input}\n",
            row.target, finding.place, finding.inputs, finding.message, row.target
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Progress;

    fn rows() -> Vec<Row> {
        let run = Run {
            progress: Progress {
                executions: 9000,
                edges: 12,
                features: 34,
            },
            elapsed: Duration::from_secs(90),
            cpu: Duration::from_secs(171),
            exit_code: Some(0),
            last_lines: String::new(),
        };
        let mut row = Row::new("wire", &run);
        row.findings.push(Finding {
            place: "targets/wire.rs:38:13".into(),
            message: "lost".into(),
            input: "artifacts/wire/x".into(),
            inputs: 3,
        });
        vec![row]
    }

    #[test]
    fn table_has_a_line_for_each_target_and_how_to_see_each_finding() {
        let text = write(&rows(), Format::Table);
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            words(lines[1]),
            ["wire", "9000", "100", "12", "34", "0", "0", "2.9", "1"]
        );
        assert_eq!(lines[0].len(), lines[1].len());
        assert_eq!(lines[3], "wire: targets/wire.rs:38:13 (3 inputs)");
        assert!(
            lines[5].ends_with("--bin wire -- artifacts/wire/x"),
            "{text}"
        );
    }

    #[test]
    fn json_has_all_fields() {
        let json: serde_json::Value =
            serde_json::from_str(&write(&rows(), Format::Json)).expect("the report is JSON");
        assert_eq!(json[0]["executionsPerSecond"], 100);
        assert_eq!(json[0]["findings"][0]["inputs"], 3);
    }
}
