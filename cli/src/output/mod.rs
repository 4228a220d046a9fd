//! Writes keys in every format.

mod columns;
mod csv;
pub(crate) mod field;
mod json;
mod raw;
mod stdout;
mod table;
pub(crate) mod text;
mod written;

use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, ModelKey};

pub(crate) use self::columns::columns;
pub(crate) use self::csv::Csv;
pub(crate) use self::json::{Json, Ndjson};
pub(crate) use self::raw::write_raw;
pub(crate) use self::stdout::Stdout;
pub(crate) use self::table::{Table, Terminal};
pub(crate) use self::written::Written;
use crate::args::{Format, ListArgs};

/// A destination for the pages of a listing.
///
/// A table writes nothing before [`Sink::finish`], because its widths depend on all keys. The others write
/// each page as it arrives, and the header with the first one, so a listing that fails at once writes nothing.
/// A listing that fails later has written whole keys, but not a whole JSON document.
pub(crate) trait Sink {
    /// Takes the keys of a page, and Atlas's count of all keys.
    fn page(&mut self, keys: &[ModelKey<'_>], total_count: Option<u64>) -> io::Result<()>;

    /// Finishes the output, because the listing is complete.
    fn finish(self: Box<Self>) -> io::Result<()>;

    /// Returns whether the output of a page ends with a line end.
    fn ends_line(&self) -> bool {
        true
    }
}

/// Creates the sink for the chosen format, which is not `raw`.
pub(crate) fn sink<'o>(
    args: &ListArgs,
    columns: Vec<KeyField>,
    stdout: &'o Stdout,
) -> Box<dyn Sink + 'o> {
    let out = &stdout.out;
    match args.output {
        Format::Json => {
            let indented = args.pretty == Some(true) || stdout.is_terminal;
            Box::new(Json::new(out, indented, args.show_secrets))
        }
        Format::Ndjson => Box::new(Ndjson::new(out, args.show_secrets)),
        Format::Csv => Box::new(Csv::new(out, columns, args.show_secrets)),
        Format::Table | Format::Raw => {
            let terminal = stdout.terminal(args.columns.is_none());
            Box::new(Table::new(out, columns, args.show_secrets, terminal))
        }
    }
}

/// Writes the whole text at once, and flushes it.
fn write_whole(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(text)?;
    out.flush()
}

#[cfg(test)]
pub(crate) mod tests {
    use atlas_model_keys_core::{KeyField, OwnedModelKey};

    use super::Sink;

    /// Returns the output of a sink for these pages.
    pub(crate) fn written(
        pages: Vec<Vec<OwnedModelKey>>,
        total_count: Option<u64>,
        sink: impl FnOnce(&mut Vec<u8>) -> Box<dyn Sink + '_>,
    ) -> String {
        let mut out = Vec::new();
        let mut sink = sink(&mut out);
        for page in pages {
            let keys: Vec<_> = page.iter().map(OwnedModelKey::as_key).collect();
            sink.page(&keys, total_count).unwrap();
        }
        sink.finish().unwrap();
        String::from_utf8(out).unwrap()
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
