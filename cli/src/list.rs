//! `list`: requests the pages, and writes their keys.

use std::io::{self, IsTerminal as _};

use atlas_model_keys_core::{
    Collected, GroupId, GroupsRequest, ItemsPerPage, KeyField, Limits, ListRequest, Listing,
    ModelKey, OrgListRequest, Page, Paged,
};

use crate::args::{Format, ListArgs};
use crate::credentials;
use crate::environment::Environment;
use crate::failure::{Asked, CommandError, Listed, Subject};
use crate::output::{self, Csv, Json, Ndjson, Sink, Table, Terminal};
use crate::progress::{Place, Progress};
use crate::service::Service;
use crate::signals::Signals;
use crate::sources::Sources;

/// Sets the parameters of a request that the arguments give. It is a macro, because requests have no trait in common that
/// sets them.
macro_rules! parameters {
    ($args:expr, $request:expr) => {{
        let (args, mut request) = ($args, $request);
        if let Some(items) = args.items_per_page {
            request = request.with_items_per_page(items);
        }
        if let Some(page) = args.page_num {
            request = request.with_page_num(page);
        }
        if let Some(envelope) = args.envelope {
            request = request.with_envelope(envelope);
        }
        if let Some(pretty) = args.pretty {
            request = request.with_pretty(pretty);
        }
        request
    }};
}

pub(crate) fn run(args: &ListArgs, environment: &Environment) -> Result<(), CommandError> {
    let columns = columns(args)?;
    let stdout = Stdout::new(environment)?;
    // A table is written at the end, and `raw` writes only one page.
    let is_streamed = matches!(args.output, Format::Json | Format::Ndjson | Format::Csv);
    let shows_keys = is_streamed && stdout.is_terminal;
    let progress = Progress::new(Place::of_stderr(environment, shows_keys));
    let signals = Signals::catch()?;
    let (service, sources) = service(args, environment, &signals, &progress)?;
    let outcome = write(args, columns, &service, &sources, &stdout, &progress);
    service.revoke_token(&progress);
    outcome
}

/// Writes the keys of all sources in the format that the arguments name.
fn write(
    args: &ListArgs,
    columns: Vec<KeyField>,
    service: &Service,
    sources: &Sources,
    stdout: &Stdout,
    progress: &Progress,
) -> Result<(), CommandError> {
    let out = &stdout.out;
    let sink: Box<dyn Sink + '_> = match args.output {
        Format::Json => {
            let indented = args.pretty == Some(true) || stdout.is_terminal;
            Box::new(Json::new(out, indented, args.show_secrets))
        }
        Format::Ndjson => Box::new(Ndjson::new(out, args.show_secrets)),
        Format::Csv => Box::new(Csv::new(out, columns, args.show_secrets)),
        Format::Raw => return raw(args, service, sources, stdout, progress),
        Format::Table => {
            let terminal = stdout.terminal(args.columns.is_none());
            Box::new(Table::new(out, columns, args.show_secrets, terminal))
        }
    };
    let limits = Limits::default();
    let mut written = Written::new(sink, args.output, &limits);
    let asked = &service.asked;
    match list(args, service, sources, &mut written, &limits, progress) {
        Ok(()) => written.finish(args, asked, progress),
        Err(_) if service.is_interrupted() => Err(CommandError::interrupted(
            asked.subject,
            args.output,
            &written.listed,
        )),
        Err(failure) => Err(failure.incomplete(args.output, &written.listed)),
    }
}

/// Returns the service, and what is to be listed.
fn service(
    args: &ListArgs,
    environment: &Environment,
    signals: &Signals,
    progress: &Progress,
) -> Result<(Service, Sources), CommandError> {
    let connection = &args.connection;
    if args.sources.demo {
        let sources = Sources::of_arguments(&args.sources);
        let subject = sources.as_ref().map(Sources::subject);
        let with_secrets = args.show_secrets;
        let service = Service::demonstration(connection, subject, with_secrets, signals, progress)?;
        let sources = sources.unwrap_or(match service.asked.subject {
            Subject::Group(group) => Sources::Groups(vec![group]),
            _ => Sources::AllProjects,
        });
        return Ok((service, sources));
    }
    let sources = Sources::find(&args.sources, environment)?;
    let credentials = credentials::find(environment)?;
    let subject = sources.subject();
    let service = Service::atlas(
        connection,
        subject,
        credentials,
        environment,
        signals,
        progress,
    )?;
    Ok((service, sources))
}

/// Writes the keys of all sources.
fn list(
    args: &ListArgs,
    service: &Service,
    sources: &Sources,
    written: &mut Written<'_>,
    limits: &Limits,
    progress: &Progress,
) -> Result<(), CommandError> {
    let groups = match sources {
        Sources::Organization(organization) => {
            let request = parameters!(args, OrgListRequest::new(*organization));
            return pages(
                args,
                service,
                &service.asked,
                request,
                written,
                limits,
                progress,
            );
        }
        Sources::Groups(groups) => groups.clone(),
        Sources::AllProjects => all_groups(service, limits, progress)?,
    };
    for (done, group) in groups.iter().enumerate() {
        if groups.len() > 1 {
            progress.projects(done, groups.len(), written.listed.keys);
        }
        let asked = service.asked.about(Subject::Group(*group));
        let request = parameters!(args, ListRequest::new(*group));
        pages(args, service, &asked, request, written, limits, progress)?;
    }
    Ok(())
}

/// Returns the groups that the credential may see.
fn all_groups(
    service: &Service,
    limits: &Limits,
    progress: &Progress,
) -> Result<Vec<GroupId>, CommandError> {
    let failed = |error| CommandError::listing(&error, &service.asked);
    let mut groups = Vec::new();
    let request = GroupsRequest::new().with_items_per_page(ItemsPerPage::MAX);
    let mut listing = Listing::new(request, limits);
    while let Some(request) = listing.request().map_err(failed)? {
        let page = service.page(&request, &service.asked, progress)?;
        groups.extend(
            listing
                .accept(&page)
                .filter_map(|group| group.id()?.parse::<GroupId>().ok()),
        );
    }
    Ok(groups)
}

/// Writes the first page as Atlas sent it, or the page that was requested.
fn raw(
    args: &ListArgs,
    service: &Service,
    sources: &Sources,
    stdout: &Stdout,
    progress: &Progress,
) -> Result<(), CommandError> {
    // Several groups, and the list of the projects, are no single page.
    let page = match (sources, service.asked.subject) {
        (Sources::Groups(_), Subject::Group(group)) => {
            let request = parameters!(args, ListRequest::new(group));
            service.call(request.page_num(), progress, |client| client.list(&request))
        }
        (Sources::Organization(organization), _) => {
            let request = parameters!(args, OrgListRequest::new(*organization));
            service.call(request.page_num(), progress, |client| client.list(&request))
        }
        _ => Err(CommandError::usage(
            "-o raw goes with one project or organization only",
        )),
    }?;
    write_raw(args, page, progress, &stdout.out, stdout.is_terminal)
}

/// Fetches one page after the other, or only the page that was requested.
fn pages<R: Paged<Answer<Vec<u8>> = Page<Vec<u8>>>>(
    args: &ListArgs,
    service: &Service,
    asked: &Asked,
    request: R,
    written: &mut Written<'_>,
    limits: &Limits,
    progress: &Progress,
) -> Result<(), CommandError> {
    let failed = |error| CommandError::listing(&error, asked);
    let mut listing = Listing::new(request, limits);
    while let Some(request) = listing.request().map_err(failed)? {
        let page = service.page(&request, asked, progress)?;
        // Atlas counts the keys of each project, and `written` those of all.
        let is_only_source = asked.subject == service.asked.subject;
        let total = page.total_count().filter(|_| is_only_source);
        let keys: Vec<_> = listing.accept(&page).collect();
        written.page(&keys, total, asked, progress)?;
        if args.page_num.is_some() {
            break;
        }
        if is_only_source && matches!(listing.request(), Ok(Some(_))) {
            let listed = &written.listed;
            progress.show(listed.pages, listed.keys, listed.total);
        }
    }
    Ok(())
}

/// The output of a listing.
struct Written<'w> {
    sink: Box<dyn Sink + 'w>,
    /// The size of the keys that are kept until the end, if the format needs that.
    collected: Option<Collected>,
    listed: Listed,
}

impl<'w> Written<'w> {
    fn new(sink: Box<dyn Sink + 'w>, format: Format, limits: &Limits) -> Self {
        Self {
            sink,
            collected: (format == Format::Table).then(|| Collected::new(limits)),
            listed: Listed::default(),
        }
    }

    fn page(
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

    fn finish(
        self,
        args: &ListArgs,
        asked: &Asked,
        progress: &Progress,
    ) -> Result<(), CommandError> {
        let finished = self.sink.finish();
        finished.map_err(|error| CommandError::stdout(&error))?;
        progress.wrote(true);
        let (subject, Listed { keys, total, .. }) = (asked.subject, self.listed);
        let is_empty_table = keys == 0 && args.output == Format::Table;
        match (args.page_num, total) {
            (Some(page), _) if is_empty_table => {
                progress.note(&format!("page {page} of the keys of {subject} is empty"));
            }
            // There may be no count, or 0 if counting is disabled.
            (None, Some(total)) if total != 0 && total != keys => progress.note(&format!(
                "Atlas counts {total} keys in {subject}, and {keys} were listed: keys may have been \
                 made or deleted meanwhile"
            )),
            (None, _) if is_empty_table => {
                progress.note(&format!("{subject} has no model API keys"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn write_raw(
    args: &ListArgs,
    page: Page<Vec<u8>>,
    progress: &Progress,
    out: impl io::Write,
    on_terminal: bool,
) -> Result<(), CommandError> {
    let has_next = page.has_next();
    output::write_raw(out, page.into_body(), on_terminal, args.show_secrets)
        .map_err(|error| CommandError::stdout(&error))?;
    if has_next && args.page_num.is_none() {
        progress.note(
            "this is the first page of several; --page-num 2 gives the next, -o json all in one",
        );
    }
    Ok(())
}

/// Returns the columns of a table or CSV.
fn columns(args: &ListArgs) -> Result<Vec<KeyField>, CommandError> {
    let Some(columns) = &args.columns else {
        return Ok(match args.output {
            Format::Csv => KeyField::ALL
                .iter()
                .copied()
                .filter(|field| args.show_secrets || *field != KeyField::Secret)
                .collect(),
            _ => {
                let secret = args.show_secrets.then_some(KeyField::Secret);
                output::field::TABLE.into_iter().chain(secret).collect()
            }
        });
    };
    if !matches!(args.output, Format::Table | Format::Csv) {
        return Err(
            CommandError::usage("--columns goes with the formats table and csv only")
                .hint("for JSON, choose with jq: … -o ndjson | jq '{name, lastUsedAt}'"),
        );
    }
    let columns: Vec<_> = columns.iter().map(|column| column.0).collect();
    if columns.contains(&KeyField::Secret) && !args.show_secrets {
        return Err(CommandError::usage(
            "the column secret is shown only with --show-secrets",
        ));
    }
    Ok(columns)
}

/// The standard output and its properties.
struct Stdout {
    out: io::Stdout,
    is_terminal: bool,
    colour: bool,
}

impl Stdout {
    fn new(environment: &Environment) -> Result<Self, CommandError> {
        let out = output::stdout().map_err(|error| CommandError::no_stdout(&error))?;
        Ok(Self {
            is_terminal: out.is_terminal(),
            out,
            colour: environment.allows_colour(),
        })
    }

    fn terminal(&self, may_drop: bool) -> Option<Terminal> {
        self.is_terminal.then(|| Terminal {
            // A terminal without a known width (a serial line) is assumed to have 80 columns.
            width: terminal_size::terminal_size_of(&self.out)
                .map_or(80, |(terminal_size::Width(width), _)| usize::from(width)),
            colour: self.colour,
            may_drop,
        })
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{BaseUrl, OwnedModelKey};

    use super::*;
    use crate::credentials::Way;
    use crate::failure::{Timeout, Worked};

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
            " of about 1,000,000 keys had arrived",
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
