//! CSV for spreadsheets and scripts: a header line, quoting as in RFC 4180, lines that end with `\n`.

use std::borrow::Cow;
use std::io::{self, Write};

use atlas_model_keys_core::UnixTime;
use csv::Writer;

use super::{Column, Row, Sink, Summary, age, field, text, write_whole};

/// The byte order mark in UTF-8. Excel for Windows takes a file without it for one in the system's old code page.
const BOM: &[u8] = "\u{feff}".as_bytes();

pub(crate) struct Csv<W> {
    out: W,
    /// The text of a page, so that whole rows are written. The buffer serves for all pages.
    text: Vec<u8>,
    columns: Vec<Column>,
    show_secrets: bool,
    has_bom: bool,
    /// Whether a last column names the times that a filter could not read.
    has_unknown: bool,
    has_header: bool,
}

impl<W> Csv<W> {
    pub(crate) fn new(out: W, columns: Vec<Column>, show_secrets: bool) -> Self {
        Self {
            out,
            text: Vec::new(),
            columns,
            show_secrets,
            has_bom: false,
            has_unknown: false,
            has_header: false,
        }
    }

    /// Begins the output with a byte order mark, if it is wanted.
    pub(crate) fn with_bom(mut self, has_bom: bool) -> Self {
        self.has_bom = has_bom;
        self
    }

    /// Adds the column `unknown`, if it is wanted.
    pub(crate) fn with_unknown(mut self, has_unknown: bool) -> Self {
        self.has_unknown = has_unknown;
        self
    }
}

impl<W: Write> Sink for Csv<W> {
    fn page(&mut self, rows: &[Row<'_>], _: UnixTime) -> io::Result<()> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        // The header comes with the first page, so a listing that fails at once writes nothing.
        let is_first = !std::mem::replace(&mut self.has_header, true);
        if is_first && self.has_bom {
            text.extend_from_slice(BOM);
        }
        let mut csv = Writer::from_writer(text);
        let unknown = self.has_unknown.then_some("unknown");
        if is_first {
            let names = self.columns.iter().map(|column| column.name());
            csv.write_record(names.chain(unknown)).map_err(of_io)?;
        }
        for row in rows {
            for column in &self.columns {
                let value = value(*column, row, self.show_secrets).unwrap_or_default();
                csv.write_field(text::spreadsheet_cell(&value).as_bytes())
                    .map_err(of_io)?;
            }
            if self.has_unknown {
                let names: Vec<_> = row.unknown.iter().map(|field| field.name()).collect();
                csv.write_field(names.join(" ")).map_err(of_io)?;
            }
            // No further field: this ends the record.
            csv.write_record(None::<&[u8]>).map_err(of_io)?;
        }
        self.text = csv
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))?;
        write_whole(&mut self.out, &self.text)
    }

    fn finish(mut self: Box<Self>, _: &Summary) -> io::Result<()> {
        match self.has_header {
            true => Ok(()),
            // There were no projects, or all of them failed.
            false => self.page(&[], UnixTime::from_seconds(0)),
        }
    }
}

fn value<'a>(column: Column, row: &Row<'a>, show_secrets: bool) -> Option<Cow<'a, str>> {
    match column {
        Column::Line => row.line.map(|line| Cow::Owned(line.to_string())),
        Column::GroupName => row.group_name.map(Cow::Borrowed),
        Column::Field(field) => {
            let value = field::value(field, row.key, show_secrets)?;
            Some(match field.is_timestamp() {
                true => age::for_spreadsheet(value),
                false => Cow::Borrowed(value),
            })
        }
    }
}

/// Returns the underlying I/O error with its kind. The conversion in the crate `csv` hides a closed pipe.
fn of_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{KeyField, OwnedModelKey};

    use super::super::ListedSource;
    use super::super::tests::{NOW, full_key, key, written, written_of};
    use super::*;

    fn csv(pages: Vec<Vec<OwnedModelKey>>, columns: &[KeyField]) -> String {
        let columns = columns.iter().copied().map(Column::Field).collect();
        written(pages, None, |out| Box::new(Csv::new(out, columns, false)))
    }

    #[test]
    fn quotes_commas_and_line_ends_survive() {
        let keys = vec![
            key("the \"quoted\" one, 1"),
            key("two\nlines\x1b[2J"),
            key("plain"),
        ];
        assert_eq!(
            csv(vec![keys], &[KeyField::Name, KeyField::Status]),
            "name,status\n\"the \"\"quoted\"\" one, 1\",\ntwo\\u{a}lines\\u{1b}[2J,\nplain,\n"
        );
    }

    #[test]
    fn header_comes_once_even_for_an_empty_list() {
        let columns = [KeyField::Name];
        assert_eq!(csv(vec![Vec::new()], &columns), "name\n");
        assert_eq!(
            csv(vec![vec![key("a")], vec![key("b")]], &columns),
            "name\na\nb\n"
        );
        assert_eq!(csv(Vec::new(), &columns), "name\n");
    }

    #[test]
    fn secret_is_masked() {
        assert_eq!(
            csv(vec![vec![full_key()]], &[KeyField::Secret]),
            "secret\n[redacted]\n"
        );
    }

    #[test]
    fn times_have_the_form_that_spreadsheets_read_and_other_texts_stay() {
        let fields = [
            (KeyField::CreatedAt, "2026-01-15T16:47:49.855000+00:00"),
            (KeyField::LastUsedAt, "=soon"),
        ];
        assert_eq!(
            csv(
                vec![vec![OwnedModelKey::from_fields(fields)]],
                &[KeyField::CreatedAt, KeyField::LastUsedAt]
            ),
            "createdAt,lastUsedAt\n2026-01-15 16:47:49,'=soon\n"
        );
    }

    #[test]
    fn byte_order_mark_comes_once_and_only_if_wanted() {
        let pages = vec![vec![key("Zoë")], vec![key("b")]];
        let text = |has_bom| {
            written(pages.clone(), None, |out| {
                Box::new(Csv::new(out, vec![Column::NAME], false).with_bom(has_bom))
            })
        };
        assert_eq!(text(false), "name\nZoë\nb\n");
        assert_eq!(text(true), "\u{feff}name\nZoë\nb\n");
    }

    #[test]
    fn group_names_are_cells_like_any_other() {
        let project = |id: &str, name: Option<&str>| ListedSource::new(id, name.map(str::to_owned));
        let projects = vec![
            (project("1", Some("=evil, \u{202e}")), vec![vec![key("a")]]),
            (project("2", None), vec![vec![key("b")]]),
        ];
        let text = written_of(projects, |out| {
            Box::new(Csv::new(out, vec![Column::GroupName, Column::NAME], false))
        });
        assert_eq!(text, "groupName,name\n\"'=evil, \\u{202e}\",a\n,b\n");
    }

    #[test]
    fn unknown_times_are_named_in_the_last_column() {
        let mut out = Vec::new();
        let mut csv = Csv::new(&mut out, vec![Column::NAME], false).with_unknown(true);
        let (a, b) = (key("a"), key("b"));
        let row = |key, unknown| Row {
            key,
            group_name: None,
            unknown,
            line: None,
        };
        let rows = [
            row(a.as_key(), &[KeyField::CreatedAt, KeyField::LastUsedAt][..]),
            row(b.as_key(), &[]),
        ];
        csv.page(&rows, NOW).unwrap();
        assert_eq!(out, b"name,unknown\na,createdAt lastUsedAt\nb,\n");
    }
}
