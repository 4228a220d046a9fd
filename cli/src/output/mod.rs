//! Writes keys in every format.
//!
//! ```text
//!  a page of keys ─▶ Written: filters, counts ─▶ Sink: table · json · ndjson · csv ─▶ stdout
//!                       └──▶ notes on stderr        rows, and at the end a Summary
//! ```

mod age;
mod columns;
mod csv;
mod field;
mod json;
mod raw;
#[cfg(test)]
mod snapshots;
mod stdout;
mod table;
pub(crate) mod text;
mod written;

use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, ModelKey, UnixTime};

pub(crate) use self::columns::{Column, Scope, columns};
pub(crate) use self::csv::Csv;
pub(crate) use self::json::{Json, Ndjson};
pub(crate) use self::raw::write_raw;
pub(crate) use self::stdout::Stdout;
pub(crate) use self::table::{Table, Terminal};
pub(crate) use self::written::Written;
use crate::args::{Format, ListArgs};
pub(crate) use crate::summary::{ListedSource, SourceKind, Summary};

/// A key of the output.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) key: ModelKey<'a>,
    /// The name of the key's project, if it is known.
    pub(crate) group_name: Option<&'a str>,
    /// The times of which a filter could not tell whether they match, because they are missing or unreadable.
    pub(crate) unknown: &'a [KeyField],
    /// The line of the input whose key this may be, for `find`.
    pub(crate) line: Option<usize>,
}

/// A destination for the pages of a listing, which may have keys of several projects or organizations.
///
/// A table writes nothing before [`Sink::finish`], because its widths depend on all keys. The others write
/// each page as it arrives, and the header with the first one, so a listing that fails at once writes nothing.
/// A listing that is aborted later has written whole keys, but not a whole JSON document. A listing in which single
/// projects failed is finished: the summary says which.
pub(crate) trait Sink {
    /// Takes rows of a page. `now` is the same for all pages of a run.
    fn page(&mut self, rows: &[Row<'_>], now: UnixTime) -> io::Result<()>;

    /// Finishes the output, because the listing has ended by itself.
    fn finish(self: Box<Self>, summary: &Summary) -> io::Result<()>;

    /// Returns whether the output of a page ends with a line end.
    fn ends_line(&self) -> bool {
        true
    }
}

/// Creates the sink for the chosen format, which is not `raw`.
pub(crate) fn sink<'o>(
    args: &ListArgs,
    columns: Vec<Column>,
    stdout: &'o Stdout,
) -> Box<dyn Sink + 'o> {
    let out = stdout;
    match args.output {
        Format::Json => {
            let indented = args.pretty == Some(true) || stdout.is_terminal;
            Box::new(Json::new(out, indented, args.show_secrets))
        }
        Format::Ndjson => Box::new(Ndjson::new(out, args.show_secrets)),
        Format::Csv => {
            let csv = Csv::new(out, columns, args.show_secrets);
            Box::new(csv.with_bom(args.bom).with_unknown(args.filter.has_time()))
        }
        Format::Table | Format::Raw => {
            let terminal = stdout.terminal(args.columns.is_none());
            Box::new(Table::new(out, columns, args.show_secrets, terminal))
        }
    }
}

/// Writes the whole text at once, and flushes it.
pub(crate) fn write_whole(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(text)?;
    out.flush()
}

#[cfg(test)]
pub(crate) mod tests {
    use atlas_model_keys_core::{KeyField, OwnedModelKey, UnixTime};

    use super::{ListedSource, Row, Sink, Summary};

    /// 2026-11-27T12:00:00Z.
    pub(crate) const NOW: UnixTime = UnixTime::from_seconds(1_795_780_800);

    /// Returns the output of a sink for these pages of one project, whose name is not known.
    pub(crate) fn written(
        pages: Vec<Vec<OwnedModelKey>>,
        total_count: Option<u64>,
        sink: impl FnOnce(&mut Vec<u8>) -> Box<dyn Sink + '_>,
    ) -> String {
        let mut project = ListedSource::new("69681d39c9e8cfd375386316", None);
        project.total = total_count;
        written_of(vec![(project, pages)], sink)
    }

    /// Returns the output of a sink for these pages of several projects.
    pub(crate) fn written_of(
        projects: Vec<(ListedSource, Vec<Vec<OwnedModelKey>>)>,
        sink: impl FnOnce(&mut Vec<u8>) -> Box<dyn Sink + '_>,
    ) -> String {
        let mut out = Vec::new();
        let mut sink = sink(&mut out);
        let mut summary = Summary::default();
        for (mut project, pages) in projects {
            for page in pages {
                let rows: Vec<_> = page
                    .iter()
                    .map(|key| row(key, project.name.as_deref()))
                    .collect();
                sink.page(&rows, NOW).unwrap();
                project.count += u64::try_from(rows.len()).unwrap();
            }
            summary.sources.push(project);
        }
        sink.finish(&summary).unwrap();
        String::from_utf8(out).unwrap()
    }

    pub(crate) fn row<'a>(key: &'a OwnedModelKey, group_name: Option<&'a str>) -> Row<'a> {
        Row {
            key: key.as_key(),
            group_name,
            unknown: &[],
            line: None,
        }
    }

    pub(crate) fn key(name: &str) -> OwnedModelKey {
        OwnedModelKey::from_fields([(KeyField::Name, name)])
    }

    /// Returns a key with a secret and without a last use.
    pub(crate) fn full_key() -> OwnedModelKey {
        OwnedModelKey::from_fields([
            (KeyField::ApiKeyId, "a86r5kwrfsk5r5ku5tgvhmpj"),
            (KeyField::Cloud, "ANY"),
            (KeyField::CreatedAt, "2026-01-15T16:47:49.855000+00:00"),
            (KeyField::CreatedBy, "John Doe"),
            (KeyField::Endpoint, "ai.mongodb.com"),
            (KeyField::Geography, "ANY"),
            (KeyField::GroupId, "69681d39c9e8cfd375386316"),
            (KeyField::MaskedSecret, "al-****odu2"),
            (KeyField::Name, "Production key"),
            (KeyField::Secret, "al-hunter2"),
            (KeyField::Status, "ACTIVE"),
        ])
    }
}
