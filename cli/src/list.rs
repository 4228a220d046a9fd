//! `list`: requests the pages, and writes their keys.

use std::io::{self, IsTerminal as _};
use std::time::Instant;

use atlas_model_keys_core::{
    BaseUrl, Collected, InvalidValue, KeyField, Limits, ListRequest, Listing, ModelKey, Page,
};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_ureq::{Client, Credentials};

use crate::args::{Format, ListArgs};
use crate::credentials::{self, Way};
use crate::demo;
use crate::environment::{self, Environment};
use crate::failure::{Asked, Attempt, CommandError, Listed, Timeout};
use crate::output::{self, Csv, Json, Ndjson, Sink, Table, Terminal};
use crate::progress::{Place, Progress};

pub(crate) fn run(args: &ListArgs, environment: &Environment) -> Result<(), CommandError> {
    let columns = columns(args)?;
    let stdout = Stdout::new(environment)?;
    // A table is written at the end, and `raw` writes only one page.
    let is_streamed = matches!(args.output, Format::Json | Format::Ndjson | Format::Csv);
    let shows_keys = is_streamed && stdout.is_terminal;
    let progress = Progress::new(Place::of_stderr(environment, shows_keys));
    let service = if args.demo {
        Service::demonstration(args, &progress)?
    } else {
        Service::atlas(args, environment, &progress)?
    };
    let request = request(args, &service.asked);
    let out = &stdout.out;
    let sink: Box<dyn Sink + '_> = match args.output {
        Format::Json => {
            let indented = args.pretty == Some(true) || stdout.is_terminal;
            Box::new(Json::new(out, indented, args.show_secrets))
        }
        Format::Ndjson => Box::new(Ndjson::new(out, args.show_secrets)),
        Format::Csv => Box::new(Csv::new(out, columns, args.show_secrets)),
        Format::Raw => {
            let page = service.page(&request, &progress)?;
            return write_raw(args, page, &progress, out, stdout.is_terminal);
        }
        Format::Table => {
            let terminal = stdout.terminal(args.columns.is_none());
            Box::new(Table::new(out, columns, args.show_secrets, terminal))
        }
    };
    let limits = Limits::default();
    let mut written = Written::new(sink, args.output, &limits);
    match pages(args, &service, request, &mut written, &limits, &progress) {
        Ok(()) => written.finish(args, &service.asked, &progress),
        Err(failure) => Err(failure.incomplete(args.output, &written.listed)),
    }
}

/// Fetches one page after the other, or only the page that was requested.
fn pages(
    args: &ListArgs,
    service: &Service,
    request: ListRequest,
    written: &mut Written<'_>,
    limits: &Limits,
    progress: &Progress,
) -> Result<(), CommandError> {
    let failed = |error| CommandError::listing(&error, &service.asked);
    let mut listing = Listing::new(request, limits);
    while let Some(request) = listing.request().map_err(failed)? {
        let page = service.page(&request, progress)?;
        let keys: Vec<_> = listing.accept(&page).collect();
        written.page(&keys, page.total_count(), &service.asked, progress)?;
        if args.page_num.is_some() {
            break;
        }
        if matches!(listing.request(), Ok(Some(_))) {
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

fn request(args: &ListArgs, asked: &Asked) -> ListRequest {
    let mut request = ListRequest::new(asked.group);
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
}

/// The service that is asked: Atlas, or the emulator of a demonstration.
struct Service {
    client: Client,
    asked: Asked,
    /// The emulator, which serves until it is dropped.
    _emulator: Option<Server>,
}

impl Service {
    fn atlas(
        args: &ListArgs,
        environment: &Environment,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let group = match (args.group_id, environment.get(environment::PROJECT_ID)?) {
            (Some(group), _) => group,
            (None, Some(text)) => text.parse().map_err(|invalid| {
                CommandError::usage(format!("{invalid}"))
                    .hint(format!("look at {}", environment::PROJECT_ID))
            })?,
            (None, None) => {
                return Err(CommandError::usage("which project? There is no --group-id")
                    .hint(format!(
                        "give --group-id, or set {}; Atlas shows the id in the project's settings",
                        environment::PROJECT_ID
                    ))
                    .hint("to try it without an account: atlas-model-keys list --demo"));
            }
        };
        let base = base_of(args, environment)?;
        let (credentials, way) = credentials::find(environment)?;
        if base.is_https() {
            for name in environment::CERTIFICATES {
                environment.get(name)?;
            }
        }
        let asked = Asked {
            group,
            proxy: environment.proxy(&base)?,
            base,
            way: Some(way),
            timeout: Timeout::new(args.timeout),
        };
        Self::new(args, credentials, asked, None, progress)
    }

    /// Starts the emulator. It is used over real HTTP, with digest authentication, like Atlas with an API key.
    fn demonstration(args: &ListArgs, progress: &Progress) -> Result<Self, CommandError> {
        let emulator = demo::emulator(args.show_secrets);
        let group = args.group_id.unwrap_or_else(|| emulator.first_group());
        let key = emulator.api_key();
        let credentials = Credentials::api_key(key.public_key.as_str(), key.private_key.as_str())
            .map_err(|invalid| CommandError::usage(invalid.to_string()))?;
        let server = Server::start(emulator, Options::default()).map_err(|error| {
            CommandError::local("cannot start the emulator on 127.0.0.1", &error)
        })?;
        let base = base_url(&server.base_url(), "--demo", false)?;
        progress.note("a demonstration: these keys come from a built-in emulator, not from Atlas");
        let asked = Asked {
            group,
            base,
            way: None,
            proxy: None,
            timeout: Timeout::new(args.timeout),
        };
        Self::new(args, credentials, asked, Some(server), progress)
    }

    fn new(
        args: &ListArgs,
        credentials: Credentials,
        asked: Asked,
        emulator: Option<Server>,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let mut builder = Client::builder(asked.base.clone(), credentials)
            .user_agent(concat!("atlas-model-keys/", env!("CARGO_PKG_VERSION")))
            .deadline(asked.timeout.limit)
            .on_event(progress.on_event());
        if let Some(version) = args.api_version {
            builder = builder.version(version);
        }
        let client = builder
            .build()
            .map_err(|error| CommandError::listing(&error, &asked))?;
        Ok(Self {
            client,
            asked,
            _emulator: emulator,
        })
    }

    /// Requests a page, and shows the progress during the wait.
    fn page(
        &self,
        request: &ListRequest,
        progress: &Progress,
    ) -> Result<Page<Vec<u8>>, CommandError> {
        let page = request.page_num();
        let begun = Instant::now();
        progress.begin(page);
        // The page is parsed for every format, so that an error object in a 200 is an error.
        let listed = self.client.list(request);
        progress.arrived();
        listed.map_err(|error| {
            let attempt = Attempt {
                page,
                elapsed: begun.elapsed(),
                lacks_token: self.asked.way == Some(Way::ServiceAccount)
                    && self.client.export_token().is_none(),
            };
            CommandError::page(&error, &self.asked, &attempt)
        })
    }
}

/// Returns the base URL, to which the credential is sent. An argument precedes the environment.
fn base_of(args: &ListArgs, environment: &Environment) -> Result<BaseUrl, CommandError> {
    if let Some(text) = &args.base_url {
        return base_url(text, "--base-url", args.allow_plain_http);
    }
    // All variables are checked, because a credential for one cloud must not be sent to the other.
    let mut given = Vec::new();
    for name in [environment::BASE_URL, environment::OPS_MANAGER_URL] {
        if let Some(text) = environment.get(name)? {
            given.push((name, base_url(text, name, args.allow_plain_http)?));
        }
    }
    if let Some(text) = environment.get(environment::SERVICE)? {
        given.push((environment::SERVICE, service(text)?));
    }
    let Some((name, base)) = given.first() else {
        return Ok(BaseUrl::default());
    };
    let clouds = [BaseUrl::default(), BaseUrl::government()];
    let is_cloud = |base: &BaseUrl| clouds.iter().any(|cloud| cloud.origin() == base.origin());
    let differs = |other: &BaseUrl| is_cloud(other) && other.origin() != base.origin();
    match given
        .iter()
        .find(|(_, other)| is_cloud(base) && differs(other))
    {
        Some((other_name, other)) => Err(CommandError::usage(format!(
            "{name} says {}, and {other_name} says {}",
            base.origin(),
            other.origin()
        ))
        .hint("a credential is good for one of the two: unset the other, or give --base-url")),
        None => Ok(base.clone()),
    }
}

/// Returns the base URL for the Atlas CLI's name of a cloud.
fn service(text: &str) -> Result<BaseUrl, CommandError> {
    match text {
        "cloud" => Ok(BaseUrl::default()),
        "cloudgov" => Ok(BaseUrl::government()),
        _ => {
            let shown = if InvalidValue::looks_like_credential(text) {
                "[redacted]"
            } else {
                text
            };
            Err(CommandError::usage(format!(
                "{} \"{shown}\" is not valid: it is cloud or cloudgov",
                environment::SERVICE
            ))
            .hint("for another place, give its URL with --base-url"))
        }
    }
}

fn base_url(text: &str, from: &str, allow_plain_http: bool) -> Result<BaseUrl, CommandError> {
    let url = if allow_plain_http {
        BaseUrl::allowing_plain_http(text)
    } else {
        BaseUrl::new(text)
    };
    url.map_err(|invalid| {
        let failure = CommandError::usage(invalid.to_string()).hint(format!("look at {from}"));
        if !allow_plain_http && BaseUrl::allowing_plain_http(text).is_ok() {
            failure.hint("--allow-plain-http allows it, in a network that you trust")
        } else {
            failure
        }
    })
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
    use atlas_model_keys_core::{GroupId, OwnedModelKey};

    use super::*;

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
