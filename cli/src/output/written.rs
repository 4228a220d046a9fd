//! Filters the keys of a listing, writes them, and writes notes about what the output does not show.

use atlas_model_keys_core::{Collected, KeyField, Limits, PageNum, UnixTime};

use super::{ListedSource, Row, Sink, SourceKind, Summary};
use crate::args::Format;
use crate::failure::{CommandError, Listed, Projects};
use crate::filter::{Filter, FilterArgs, Verdict};
use crate::progress::Progress;
use crate::reader::{KeyPage, Receiver};

/// The output of a listing. It is the [`Receiver`] of the keys.
pub(crate) struct Written<'w> {
    sink: Box<dyn Sink + 'w>,
    format: Format,
    /// The size of the keys that are kept until the end, if the format needs that.
    collected: Option<Collected>,
    filters: &'w FilterArgs,
    /// The time of the run and its filters, from the first page on. There are no filters if all keys are kept.
    run: Option<(UnixTime, Option<Filter>)>,
    summary: Summary,
    /// The number of keys that are kept although a time of theirs is unknown.
    unknown: u64,
    /// What was received, for the progress.
    pub(crate) listed: Listed,
}

impl<'w> Written<'w> {
    pub(crate) fn new(
        sink: Box<dyn Sink + 'w>,
        format: Format,
        filters: &'w FilterArgs,
        limits: &Limits,
    ) -> Self {
        Self {
            sink,
            format,
            collected: (format == Format::Table).then(|| Collected::new(limits)),
            filters,
            run: None,
            summary: Summary::default(),
            unknown: 0,
            listed: Listed::default(),
        }
    }

    /// Returns how many projects or organizations were begun, and how many of them failed.
    pub(crate) fn projects(&self) -> Projects {
        self.summary.projects()
    }

    /// Fixes the time of the run, when the first page has arrived. It is the server's, if the page has it.
    fn begin_run(&mut self, page: &KeyPage<'_>, progress: &Progress) {
        if self.run.is_some() {
            return;
        }
        if page.date.is_none() && self.filters.has_time() {
            progress
                .note("the server sent no valid Date: the filters use the clock of this machine");
        }
        let now = page.time();
        let has_filters = !self.filters.is_empty();
        self.run = Some((now, has_filters.then(|| Filter::new(self.filters, now))));
    }

    /// Returns the number of pages and keys in the output of a failed listing. A table is not written then, so for a table
    /// they are those that had arrived.
    pub(crate) fn output(&self) -> Listed {
        let is_complete = self.format == Format::Table || self.filters.is_empty();
        if is_complete && self.summary.sources.len() <= 1 {
            return self.listed;
        }
        // Atlas's estimate counts keys that the filters drop, and no keys of the projects that were not begun.
        Listed {
            keys: match is_complete {
                true => self.listed.keys,
                false => self.summary.count(),
            },
            total: None,
            ..self.listed
        }
    }

    /// Finishes the output, and returns the number of keys in it.
    pub(crate) fn finish(
        self,
        page: Option<PageNum>,
        progress: &Progress,
    ) -> Result<u64, CommandError> {
        let finished = self.sink.finish(&self.summary);
        finished.map_err(|error| CommandError::stdout(&error))?;
        progress.wrote(true);
        let notes = [
            no_projects(&self.summary),
            differing_counts(&self.summary).filter(|_| page.is_none()),
            empty_table(&self.summary, page).filter(|_| self.format == Format::Table),
            unknown_times(self.unknown),
        ];
        for note in notes.into_iter().flatten() {
            progress.note(&note);
        }
        Ok(self.summary.count())
    }
}

impl Receiver for Written<'_> {
    fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Writes the keys of a page that pass the filters.
    fn page(&mut self, page: &KeyPage<'_>, progress: &Progress) -> Result<(), CommandError> {
        self.begin_run(page, progress);
        let Some((now, filter)) = &self.run else {
            return Ok(());
        };
        let rows: Vec<_> = page
            .keys
            .iter()
            .filter_map(|key| {
                let unknown: &[KeyField] = match filter.as_ref().map(|filter| filter.keep(*key)) {
                    None | Some(Verdict::Keep) => &[],
                    Some(Verdict::KeepUnknown(fields)) => fields,
                    Some(Verdict::Drop) => return None,
                };
                Some(Row {
                    key: *key,
                    group_name: self.summary.group_name(*key),
                    unknown,
                    line: None,
                })
            })
            .collect();
        if let Some(collected) = &mut self.collected {
            for row in &rows {
                let added = collected.add(&row.key.to_owned_key());
                added.map_err(|error| CommandError::listing(&error, page.asked))?;
            }
        }
        let written = self.sink.page(&rows, *now);
        written.map_err(|error| CommandError::stdout(&error))?;
        progress.wrote(self.sink.ends_line());
        let is_unknown = rows.iter().filter(|row| !row.unknown.is_empty());
        let [received, kept, unknown] = [page.keys.len(), rows.len(), is_unknown.count()]
            .map(|n| u64::try_from(n).unwrap_or(u64::MAX));
        let Some(source) = self.summary.sources.last_mut() else {
            return Ok(());
        };
        source.record(page.keys.len(), kept);
        if let Some(total) = page.total {
            let others = self.listed.total.unwrap_or(0);
            let others = others.saturating_sub(source.total.unwrap_or(0));
            self.listed.total = Some(others.saturating_add(total));
            source.total = Some(total);
        }
        self.unknown = self.unknown.saturating_add(unknown);
        self.listed.pages += 1;
        self.listed.keys = self.listed.keys.saturating_add(received);
        Ok(())
    }
}

/// Returns a note if keys are kept although a filter could not read a time of theirs.
fn unknown_times(keys: u64) -> Option<String> {
    match keys {
        0 => None,
        1 => Some("1 key has no readable time; it is kept and marked unknown".to_owned()),
        _ => Some(format!(
            "{keys} keys have no readable time; they are kept and marked unknown"
        )),
    }
}

/// Returns a note if Atlas's counts are not those of the listing. There may be no count, or 0 if counting is disabled.
fn differing_counts(summary: &Summary) -> Option<String> {
    const WHY: &str = "keys may have been made or deleted meanwhile";
    let differs = |source: &&ListedSource| {
        let is_other = |total: u64| total != 0 && total != source.received;
        source.error.is_none() && source.total.is_some_and(is_other)
    };
    let differing: Vec<_> = summary.sources.iter().filter(differs).collect();
    match (summary.sources.len(), differing.as_slice()) {
        (_, []) => None,
        (1, [source, ..]) => Some(format!(
            "Atlas counts {} keys in {}, and {} were listed: {WHY}",
            source.total.unwrap_or_default(),
            named(summary.kind, source),
            source.received,
        )),
        (several, _) => Some(format!(
            "in {} of {several} {}, Atlas counts other numbers of keys than were listed: {WHY}",
            differing.len(),
            plural(summary.kind),
        )),
    }
}

/// Returns a note if there is nothing to list.
fn no_projects(summary: &Summary) -> Option<String> {
    let is_empty = summary.sources.is_empty();
    is_empty.then(|| "the credential can see no projects".to_owned())
}

/// Returns a note if a table has no rows. The projects that failed have their own errors.
fn empty_table(summary: &Summary, page: Option<PageNum>) -> Option<String> {
    if summary.count() > 0 {
        return None;
    }
    let listed = summary
        .sources
        .iter()
        .filter(|source| source.error.is_none());
    let listed: Vec<_> = listed.collect();
    let (place, have) = match listed.as_slice() {
        [] => return None,
        [source] => (named(summary.kind, source), "has"),
        several => (
            format!("{} {}", several.len(), plural(summary.kind)),
            "have",
        ),
    };
    let is_filtered = listed.iter().any(|source| source.received > 0);
    Some(match (page, is_filtered) {
        (Some(page), false) => format!("page {page} of the keys of {place} is empty"),
        (Some(page), true) => format!("no key on page {page} of {place} matches the filters"),
        (None, false) => format!("{place} {have} no model API keys"),
        (None, true) => format!("no key of {place} matches the filters"),
    })
}

fn named(kind: SourceKind, source: &ListedSource) -> String {
    let noun = match kind {
        SourceKind::Project => "project",
        SourceKind::Organization => "organization",
    };
    format!("{noun} {}", source.id)
}

fn plural(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Project => "projects",
        SourceKind::Organization => "organizations",
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use atlas_model_keys_core::{BaseUrl, GroupId, ModelKey, OwnedModelKey};

    use super::*;
    use crate::credentials::Way;
    use crate::failure::{Asked, Subject, Timeout, Worked};
    use crate::output::{Column, Json, Ndjson, Table};
    use crate::progress::Place;

    fn asked() -> Asked {
        Asked {
            subject: Subject::Group(GroupId::new("69681d39c9e8cfd375386316").unwrap()),
            base: BaseUrl::default(),
            way: Some(Way::ApiKey),
            proxy: None,
            timeout: Timeout::new(None),
            worked: Worked::default(),
        }
    }

    fn page(
        written: &mut Written<'_>,
        keys: &[ModelKey<'_>],
        total: Option<u64>,
    ) -> Result<(), CommandError> {
        let page = KeyPage {
            keys,
            total,
            date: None,
            asked: &asked(),
        };
        written.page(&page, &Progress::new(Place::File))
    }

    #[test]
    fn table_that_needs_too_much_memory_is_an_error_with_a_hint() {
        let mut limits = Limits::default();
        limits.collected_bytes = 1 << 20;
        let filters = FilterArgs::default();
        let written = |format, out: &mut Vec<u8>| {
            let sink: Box<dyn Sink + '_> = match format {
                Format::Table => Box::new(Table::new(out, vec![Column::NAME], false, None)),
                _ => Box::new(Ndjson::new(out, false)),
            };
            let mut written = Written::new(sink, format, &filters, &limits);
            let key = OwnedModelKey::default();
            let keys = vec![key.as_key(); 1000];
            written.summary.begin("1".to_owned(), None);
            let outcome = (0..100).try_for_each(|_| page(&mut written, &keys, Some(1_000_000)));
            outcome.map_err(|failure| {
                failure
                    .incomplete(format, &written.listed, written.projects(), false)
                    .to_string()
            })
        };
        let mut out = Vec::new();
        let error = written(Format::Table, &mut out).unwrap_err();
        for words in [
            "beyond the limit of 1048576 bytes of collected keys",
            "nothing was written",
            " of about 1,000,000 keys had arrived",
            "-o ndjson, -o csv and -o json write each page as it arrives",
        ] {
            assert!(error.contains(words), "{error}");
        }
        assert!(!error.contains("login page"), "{error}");
        assert!(out.is_empty());
        // Formats that are written page by page have no such limit.
        assert_eq!(written(Format::Ndjson, &mut out), Ok(()));
        assert!(out.len() > limits.collected_bytes, "{}", out.len());
    }

    #[test]
    fn several_projects_are_filtered_counted_and_summed_up() {
        let filters = FilterArgs {
            name: Some("a*".to_owned()),
            ..FilterArgs::default()
        };
        let progress = Progress::new(Place::File);
        let [a, b] = ["a", "b"].map(|name| OwnedModelKey::from_fields([(KeyField::Name, name)]));
        let (a, b) = (a.as_key(), b.as_key());
        let mut out = Vec::new();
        let sink = Box::new(Json::new(&mut out, false, false));
        let mut written = Written::new(sink, Format::Json, &filters, &Limits::default());
        written
            .summary
            .begin("1".to_owned(), Some("Production".to_owned()));
        // The last count is kept, because a page may have none.
        for (keys, total) in [(&[a, b][..], Some(3)), (&[b], Some(5)), (&[a], None)] {
            page(&mut written, keys, total).unwrap();
        }
        assert_eq!((written.listed.keys, written.listed.total), (4, Some(5)));
        assert_eq!((written.output().keys, written.output().total), (2, None));
        written.summary.begin("2".to_owned(), None);
        page(&mut written, &[a], Some(2)).unwrap();
        written.summary.fail("it broke".to_owned());
        written.summary.begin("3".to_owned(), None);
        written.summary.fail("no such project".to_owned());
        assert_eq!((written.listed.keys, written.listed.total), (5, Some(7)));
        assert_eq!(written.finish(None, &progress).unwrap(), 3);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with(concat!(
                r#"],"count":3,"projects":["#,
                r#"{"groupId":"1","groupName":"Production","count":2,"totalCount":5},"#,
                r#"{"groupId":"2","count":1,"error":"it broke"},"#,
                r#"{"groupId":"3","count":0,"error":"no such project"}]}"#,
                "\n"
            )),
            "{text}"
        );
        assert_eq!(
            text.matches(r#""groupName":"Production","lastUsedAt""#)
                .count(),
            2
        );
    }

    #[test]
    fn notes_name_the_project_or_count_the_projects() {
        let source = |id: &str, received, count, total| ListedSource {
            count,
            received,
            total,
            ..ListedSource::new(id, None)
        };
        let of = |sources: &[ListedSource]| Summary {
            sources: sources.to_vec(),
            ..Summary::default()
        };
        let counts = |sources: &[ListedSource]| differing_counts(&of(sources)).unwrap_or_default();
        let (same, other) = (source("1", 2, 1, Some(2)), source("2", 2, 1, Some(3)));
        for fine in [
            &[same.clone()][..],
            &[source("1", 2, 2, None)],
            &[source("1", 2, 2, Some(0))],
        ] {
            assert_eq!(counts(fine), "");
        }
        assert!(
            counts(slice::from_ref(&other))
                .starts_with("Atlas counts 3 keys in project 2, and 2 were listed: ")
        );
        assert!(
            counts(&[same, other.clone()]).starts_with("in 1 of 2 projects, Atlas counts other ")
        );
        let failed = ListedSource {
            error: Some("it broke".to_owned()),
            ..other
        };
        assert_eq!(counts(slice::from_ref(&failed)), "");

        let page = PageNum::new(7).ok();
        let empty = |sources: &[ListedSource], page| empty_table(&of(sources), page);
        let (none, dropped) = (source("1", 0, 0, None), source("2", 5, 0, None));
        for (sources, page, note) in [
            ([&none].as_slice(), None, "project 1 has no model API keys"),
            (&[&none], page, "page 7 of the keys of project 1 is empty"),
            (&[&dropped], None, "no key of project 2 matches the filters"),
            (
                &[&dropped],
                page,
                "no key on page 7 of project 2 matches the filters",
            ),
            (&[&none, &none], None, "2 projects have no model API keys"),
            (
                &[&none, &dropped],
                None,
                "no key of 2 projects matches the filters",
            ),
        ] {
            let sources: Vec<_> = sources.iter().copied().cloned().collect();
            assert_eq!(empty(&sources, page).as_deref(), Some(note));
        }
        assert_eq!(empty(&[source("1", 1, 1, None)], None), None);
        let failed = ListedSource { count: 0, ..failed };
        assert_eq!(empty(slice::from_ref(&failed), None), None);
        let note = empty(&[failed, source("1", 0, 0, None)], None);
        assert_eq!(note.as_deref(), Some("project 1 has no model API keys"));
    }

    #[test]
    fn unknown_times_are_counted_in_a_note() {
        assert_eq!(unknown_times(0), None);
        let note = |keys| unknown_times(keys).unwrap();
        assert_eq!(
            note(1),
            "1 key has no readable time; it is kept and marked unknown"
        );
        assert_eq!(
            note(2),
            "2 keys have no readable time; they are kept and marked unknown"
        );
    }
}
