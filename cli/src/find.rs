//! `find`: finds the entries of leaked keys by the ends of the keys that Atlas shows.

use std::io;

use atlas_model_keys_core::{Collected, ItemsPerPage, KeyField, Limits, OwnedModelKey, UnixTime};
use atlas_model_keys_ureq::SystemTimeExt as _;

use crate::args::{FindArgs, Format};
use crate::environment::Environment;
use crate::failure::CommandError;
use crate::leaked::{Input, LeakedKey, Shown};
use crate::output::{Column, Csv, Json, Ndjson, Row, Scope, Sink, Stdout, Summary, Table};
use crate::progress::{Place, Progress};
use crate::reader::{KeyPage, Parameters, Reader, Receiver};
use crate::service::Service;
use crate::signals::Signals;
use crate::sources::Sources;

pub(crate) fn run(args: &FindArgs, environment: &Environment) -> Result<(), CommandError> {
    let sources = Sources::find(&args.sources, environment)?;
    let stdout = Stdout::new(environment)?;
    let progress = Progress::new(Place::of_stderr(environment, false));
    let signals = Signals::catch()?;
    let service = Service::for_sources(
        &args.sources,
        &args.connection,
        &sources,
        false,
        environment,
        &signals,
        &progress,
    )?;
    let outcome = Input::of_stdin(&signals, &progress).and_then(|input| match input {
        Some(input) => search(args, &input, &sources, &service, &stdout, &progress),
        None => Err(CommandError::interrupted_before(service.asked.subject)),
    });
    service.revoke_token(&progress);
    outcome
}

/// Creates the failure of a key that was given as an argument. It does not repeat the argument.
pub(crate) fn refused_argument() -> CommandError {
    CommandError::usage(
        "find takes no key as an argument, because every user of this machine can see arguments",
    )
    .hint("give the keys on standard input, one per line: atlas-model-keys find < leaked.txt")
}

/// Compares the keys of the input with the entries of all sources, and writes the candidates.
fn search(
    args: &FindArgs,
    input: &Input,
    sources: &Sources,
    service: &Service,
    stdout: &Stdout,
    progress: &Progress,
) -> Result<(), CommandError> {
    let limits = Limits::default();
    let mut search = Search::new(input.keys()?, &limits);
    let reader = Reader {
        service,
        parameters: Parameters {
            items_per_page: args.items_per_page.or(Some(ItemsPerPage::MAX)),
            ..Parameters::default()
        },
        limits: &limits,
        progress,
    };
    let outcome = reader.read(sources, &mut search);
    let sink = sink(args.output, Scope::new(sources), stdout);
    match outcome {
        Ok(()) => {
            let written = search.write(sink, true);
            // A reader that has read enough does not change the exit code.
            if let Err(error) = written
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                return Err(CommandError::stdout(&error));
            }
            search.conclude(progress)
        }
        Err(failure) => {
            let failure = match service.is_interrupted() {
                true => CommandError::interrupted_before(service.asked.subject),
                false => failure,
            };
            if search.candidates.is_empty() {
                return Err(failure);
            }
            let written = search.write(sink, args.output == Format::Table);
            Err(failure.hint(match written {
                Ok(()) => "the output has the candidates that were found before",
                Err(_) => "the candidates that were found before could not be written",
            }))
        }
    }
}

/// Creates the sink for the candidates.
fn sink(format: Format, scope: Scope, stdout: &Stdout) -> Box<dyn Sink + '_> {
    let out = stdout;
    let project = scope.has_projects.then_some(Column::GroupName);
    match format {
        Format::Json => Box::new(Json::new(out, stdout.is_terminal, false)),
        Format::Ndjson => Box::new(Ndjson::new(out, false)),
        Format::Csv => {
            let is_shown = |column: &Column| match column {
                Column::GroupName => project.is_some(),
                column => *column != Column::Field(KeyField::Secret),
            };
            let columns = Column::all().filter(is_shown);
            let columns = [Column::Line].into_iter().chain(columns).collect();
            Box::new(Csv::new(out, columns, false))
        }
        Format::Table | Format::Raw => {
            let columns = [Column::Line, Column::ID].into_iter().chain(project);
            let columns = columns.chain([
                Column::NAME,
                Column::CREATOR,
                Column::CREATED,
                Column::LAST_USED,
                Column::STATUS,
            ]);
            Box::new(Table::new(
                out,
                columns.collect(),
                false,
                stdout.terminal(true),
            ))
        }
    }
}

/// An entry that may be that of a leaked key.
struct Candidate {
    /// The line of the leaked key.
    line: usize,
    entry: OwnedModelKey,
    group_name: Option<String>,
    /// Whether Atlas sent the whole key, and it is equal.
    is_certain: bool,
}

/// The search for leaked keys. It is the [`Receiver`] of the entries.
struct Search<'i> {
    keys: Vec<LeakedKey<'i>>,
    candidates: Vec<Candidate>,
    /// The size of the candidates.
    collected: Collected,
    summary: Summary,
    /// The server's time, or the local time if the server sends none.
    now: Option<UnixTime>,
    /// The number of entries that show too little of their keys.
    not_compared: u64,
}

impl<'i> Search<'i> {
    fn new(keys: Vec<LeakedKey<'i>>, limits: &Limits) -> Self {
        Self {
            keys,
            candidates: Vec::new(),
            collected: Collected::new(limits),
            summary: Summary::default(),
            now: None,
            not_compared: 0,
        }
    }

    /// Writes the candidates in the order of the lines. `with_end` is false if the search was aborted.
    fn write(&mut self, mut sink: Box<dyn Sink + '_>, with_end: bool) -> io::Result<()> {
        self.candidates.sort_by_key(|candidate| candidate.line);
        let rows: Vec<_> = self
            .candidates
            .iter()
            .map(|candidate| Row {
                key: candidate.entry.as_key(),
                group_name: candidate.group_name.as_deref(),
                unknown: &[],
                line: Some(candidate.line),
            })
            .collect();
        sink.page(&rows, self.now.unwrap_or_else(local_time))?;
        match with_end {
            true => sink.finish(&self.summary),
            false => Ok(()),
        }
    }

    /// Writes notes about what the output does not show, and returns the result. All sources were read as far as possible.
    fn conclude(&self, progress: &Progress) -> Result<(), CommandError> {
        match self.not_compared {
            0 => {}
            1 => progress.note("1 entry shows too little of its key, and was not compared"),
            more => progress.note(&format!(
                "{more} entries show too little of their keys, and were not compared"
            )),
        }
        let is_missing = |key: &&LeakedKey<'_>| {
            let mut lines = self.candidates.iter().map(|candidate| candidate.line);
            !lines.any(|line| line == key.line)
        };
        let mut missing = 0;
        for key in self.keys.iter().filter(is_missing) {
            missing += 1;
            progress.note(&format!("line {}: no key found", key.line));
        }
        let total = self.keys.len();
        if !self.candidates.is_empty() {
            progress.note(&self.found(total - missing));
        }
        let projects = self.summary.projects();
        match (projects.failed, missing) {
            (0, 0) => Ok(()),
            (0, _) => Err(CommandError::not_found(missing, total)
                .hint("it may belong to another project, or be deleted, or have lost a character")),
            (_, 0) => Err(CommandError::partial(projects)),
            _ => {
                progress.note("a project that was not listed may have a key that was not found");
                Err(CommandError::partial(projects))
            }
        }
    }

    /// Returns the summary of the candidates.
    fn found(&self, keys: usize) -> String {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let count = self.candidates.len();
        let is_certain = |candidate: &&Candidate| candidate.is_certain;
        let certain = self.candidates.iter().filter(is_certain).count();
        let found = format!(
            "{count} candidate{} for {keys} of {} key{}",
            plural(count),
            self.keys.len(),
            plural(self.keys.len()),
        );
        match certain {
            0 => format!(
                "{found}: the ends that Atlas shows are equal, but several keys can have the same ends"
            ),
            _ if certain == count => format!("{found}: certain, because Atlas sent the whole keys"),
            _ => format!(
                "{found}: {certain} certain, because Atlas sent the whole key; of the others, only the ends are equal"
            ),
        }
    }
}

impl Receiver for Search<'_> {
    fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    fn page(&mut self, page: &KeyPage<'_>, _: &Progress) -> Result<(), CommandError> {
        self.now.get_or_insert_with(|| page.time());
        let mut found = 0u64;
        for entry in page.keys {
            let shown = Shown::new(*entry);
            if matches!(shown, Shown::Nothing) {
                self.not_compared = self.not_compared.saturating_add(1);
                continue;
            }
            for key in self.keys.iter().filter(|key| shown.matches(**key)) {
                found = found.saturating_add(1);
                let candidate = Candidate {
                    line: key.line,
                    entry: entry.to_owned_key(),
                    group_name: self.summary.group_name(*entry).map(str::to_owned),
                    is_certain: matches!(shown, Shown::Whole(_)),
                };
                let added = self.collected.add(&candidate.entry);
                added.map_err(|error| CommandError::listing(&error, page.asked))?;
                self.candidates.push(candidate);
            }
        }
        if let Some(source) = self.summary.sources.last_mut() {
            source.record(page.keys.len(), found);
            source.total = page.total.or(source.total);
        }
        Ok(())
    }
}

fn local_time() -> UnixTime {
    std::time::SystemTime::now().to_unix_time()
}
