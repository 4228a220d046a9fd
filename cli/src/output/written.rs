//! Writes a listing, and the notes about it.

use atlas_model_keys_core::{Collected, Limits, ModelKey};

use super::Sink;
use crate::args::{Format, ListArgs};
use crate::failure::{Asked, CommandError, Listed};
use crate::progress::Progress;

/// The output of a listing.
pub(crate) struct Written<'w> {
    sink: Box<dyn Sink + 'w>,
    /// The size of the keys that are kept until the end, if the format needs that.
    collected: Option<Collected>,
    pub(crate) listed: Listed,
}

impl<'w> Written<'w> {
    pub(crate) fn new(sink: Box<dyn Sink + 'w>, format: Format, limits: &Limits) -> Self {
        Self {
            sink,
            collected: (format == Format::Table).then(|| Collected::new(limits)),
            listed: Listed::default(),
        }
    }

    pub(crate) fn page(
        &mut self,
        keys: &[ModelKey<'_>],
        total: Option<u64>,
        asked: &Asked,
        progress: &Progress,
    ) -> Result<(), CommandError> {
        if let Some(collected) = &mut self.collected {
            for key in keys {
                let added = collected.add(&key.to_owned_key());
                added.map_err(|error| CommandError::listing(&error, asked))?;
            }
        }
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let written = self.sink.page(keys, total);
        written.map_err(|error| CommandError::stdout(&error))?;
        progress.wrote(self.sink.ends_line());
        self.listed.pages += 1;
        self.listed.keys = self.listed.keys.saturating_add(count);
        self.listed.total = total.or(self.listed.total);
        Ok(())
    }

    pub(crate) fn finish(
        self,
        args: &ListArgs,
        asked: &Asked,
        progress: &Progress,
    ) -> Result<(), CommandError> {
        let finished = self.sink.finish();
        finished.map_err(|error| CommandError::stdout(&error))?;
        progress.wrote(true);
        let (group, Listed { keys, total, .. }) = (asked.group, self.listed);
        let is_empty_table = keys == 0 && args.output == Format::Table;
        match (args.page_num, total) {
            (Some(page), _) if is_empty_table => {
                progress.note(&format!("page {page} of the keys of group {group} is empty"));
            }
            // There may be no count, or 0 if counting is disabled.
            (None, Some(total)) if total != 0 && total != keys => progress.note(&format!(
                "Atlas counts {total} keys in group {group}, and {keys} were listed: keys may have been \
                 made or deleted meanwhile"
            )),
            (None, _) if is_empty_table => {
                progress.note(&format!("group {group} has no model API keys"));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{BaseUrl, GroupId, KeyField, OwnedModelKey};

    use super::*;
    use crate::credentials::Way;
    use crate::failure::Timeout;
    use crate::output::{Ndjson, Table};
    use crate::progress::Place;

    fn asked() -> Asked {
        Asked {
            group: GroupId::new("69681d39c9e8cfd375386316").unwrap(),
            base: BaseUrl::default(),
            way: Some(Way::ApiKey),
            proxy: None,
            timeout: Timeout::new(None),
        }
    }

    #[test]
    fn table_that_needs_too_much_memory_is_an_error_with_a_hint() {
        let mut limits = Limits::default();
        limits.collected_bytes = 1 << 20;
        let progress = Progress::new(Place::File);
        let written = |format, out: &mut Vec<u8>| {
            let sink: Box<dyn Sink + '_> = match format {
                Format::Table => Box::new(Table::new(out, vec![KeyField::Name], false, None)),
                _ => Box::new(Ndjson::new(out, false)),
            };
            let mut written = Written::new(sink, format, &limits);
            let key = OwnedModelKey::default();
            let keys = vec![key.as_key(); 1000];
            let outcome = (0..1000).try_for_each(|_| {
                let total = Some(1_000_000);
                written.page(&keys, total, &asked(), &progress)
            });
            outcome.map_err(|failure| failure.incomplete(format, &written.listed).to_string())
        };
        let mut out = Vec::new();
        let error = written(Format::Table, &mut out).unwrap_err();
        for words in [
            "beyond the limit of 1048576 bytes of collected keys",
            "nothing was written",
            " of about 1000000 keys had arrived",
            "-o ndjson, -o csv and -o json write each page as it arrives",
        ] {
            assert!(error.contains(words), "{error}");
        }
        assert!(!error.contains("login page"), "{error}");
        assert!(out.is_empty());
        // Formats that are written page by page have no such limit.
        assert_eq!(written(Format::Ndjson, &mut out), Ok(()));
    }
}
