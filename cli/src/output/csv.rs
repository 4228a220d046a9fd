//! CSV for spreadsheets: a header line, quoting as in RFC 4180, lines that end with `\n`.

use std::borrow::Cow;
use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, ModelKey};
use csv::Writer;

use super::{Sink, field, text};

pub(crate) struct Csv<W: Write> {
    out: Writer<W>,
    columns: Vec<KeyField>,
    show_secrets: bool,
    has_header: bool,
}

impl<W: Write> Csv<W> {
    pub(crate) fn new(out: W, columns: Vec<KeyField>, show_secrets: bool) -> Self {
        Self {
            out: Writer::from_writer(out),
            columns,
            show_secrets,
            has_header: false,
        }
    }
}

impl<W: Write> Sink for Csv<W> {
    fn page(&mut self, keys: &[ModelKey<'_>], _: Option<u64>) -> io::Result<()> {
        // The header comes with the first page, so a listing that fails at once writes nothing.
        if !self.has_header {
            self.has_header = true;
            let names = self.columns.iter().map(|field| field.name());
            self.out.write_record(names).map_err(of_io)?;
        }
        for key in keys {
            for field in &self.columns {
                let value = field::value(*field, *key, self.show_secrets).unwrap_or_default();
                let cell = cell(value);
                self.out.write_field(cell.as_bytes()).map_err(of_io)?;
            }
            // No further field: this ends the record.
            self.out.write_record(None::<&[u8]>).map_err(of_io)?;
        }
        self.out.flush()
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the underlying I/O error with its kind. The conversion in the crate `csv` hides a closed pipe.
fn of_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Escapes control characters, and puts an apostrophe before a value that a spreadsheet would treat as a
/// formula, as OWASP advises ("CSV Injection").
fn cell(value: &str) -> Cow<'_, str> {
    let shown = text::visible(value);
    match value.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            Cow::Owned(format!("'{shown}"))
        }
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::super::tests::{full_key, key, written};
    use super::*;

    fn csv(pages: Vec<Vec<OwnedModelKey>>, columns: &[KeyField]) -> String {
        let columns = columns.to_vec();
        written(pages, None, |out| Box::new(Csv::new(out, columns, false)))
    }

    #[test]
    fn formulas_get_an_apostrophe() {
        for (value, shown) in [
            ("=SUM(A1)", "'=SUM(A1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\\u{9}x"),
            ("\rx", "'\\u{d}x"),
            ("＝x", "'＝x"),
            ("a=b", "a=b"),
            ("'=x", "'=x"),
            ("", ""),
            ("al-****odu2", "al-****odu2"),
        ] {
            assert_eq!(cell(value), shown);
        }
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
        assert_eq!(csv(Vec::new(), &columns), "");
    }

    #[test]
    fn secret_is_masked() {
        assert_eq!(
            csv(vec![vec![full_key()]], &[KeyField::Secret]),
            "secret\n[redacted]\n"
        );
    }
}
