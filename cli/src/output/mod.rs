//! Writing keys, in whichever format.

mod csv;
mod field;
mod json;
mod raw;
mod stdout;
mod table;
pub(crate) mod text;

use std::io::{self, Write};

use atlas_model_keys_core::OwnedModelKey;

pub(crate) use self::csv::Csv;
pub(crate) use self::field::Field;
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
    use atlas_model_keys_core::{OwnedModelKey, Secret};

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
        let mut key = OwnedModelKey::default();
        key.name = Some(name.to_owned());
        key
    }

    pub(crate) fn full_key() -> OwnedModelKey {
        let some = |text: &str| Some(text.to_owned());
        let mut key = key("Production key");
        key.api_key_id = some("a86r5kwrfsk5r5ku5tgvhmpj");
        key.cloud = some("ANY");
        key.created_at = some("2026-01-15T16:47:49.855000+00:00");
        key.created_by = some("John Doe");
        key.endpoint = some("ai.mongodb.com");
        key.geography = some("ANY");
        key.group_id = some("69681d39c9e8cfd375386316");
        key.masked_secret = some("al-****odu2");
        key.secret = Some(Secret::new("al-hunter2"));
        key.status = some("ACTIVE");
        key
    }
}
