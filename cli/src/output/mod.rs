//! Writing keys, in whichever format.

mod csv;
pub(crate) mod field;
mod json;
mod raw;
mod stdout;
mod table;
pub(crate) mod text;

use std::io::{self, Write};

use atlas_model_keys_core::OwnedModelKey;

pub(crate) use self::csv::Csv;
pub(crate) use self::json::{Json, Ndjson};
pub(crate) use self::raw::write_raw;
pub(crate) use self::stdout::stdout;
pub(crate) use self::table::{Table, Terminal};

/// Where the pages of a listing go.
///
/// A table, whose widths depend on all keys, writes nothing before [`Sink::finish`]; the others write each page
/// as it comes, with the header in the first: a listing that fails at once writes nothing. What is written
/// of a listing that fails later is whole keys, and no whole JSON document.
pub(crate) trait Sink {
    /// Takes a page's keys, and what Atlas said about the number of all.
    fn page(&mut self, keys: Vec<OwnedModelKey>, total_count: Option<u64>) -> io::Result<()>;

    /// The listing is complete.
    fn finish(self: Box<Self>) -> io::Result<()>;

    /// Whether what is written of a page ends with a line end.
    fn ends_line(&self) -> bool {
        true
    }
}

/// All at once, and out.
fn write_whole(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
pub(crate) mod tests {
    use atlas_model_keys_core::{KeyField, OwnedModelKey};

    use super::Sink;

    /// What a sink writes for these pages.
    pub(crate) fn written(
        pages: Vec<Vec<OwnedModelKey>>,
        total_count: Option<u64>,
        sink: impl FnOnce(&mut Vec<u8>) -> Box<dyn Sink + '_>,
    ) -> String {
        let mut out = Vec::new();
        let mut sink = sink(&mut out);
        for page in pages {
            sink.page(page, total_count).unwrap();
        }
        sink.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    pub(crate) fn key(name: &str) -> OwnedModelKey {
        OwnedModelKey::from_fields([(KeyField::Name, name)])
    }

    /// A key with a secret and without a last use.
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
