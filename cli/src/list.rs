//! `list`: asks for the pages, and hands them to whoever writes them.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Limits, ListRequest, Listing, ModelKey, Wait};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};
use atlas_model_keys_ureq::{Client, Credentials};

use crate::args::{Format, ListArgs};
use crate::credentials;
use crate::environment::{self, Environment};
use crate::failure::{Asked, Failure, Rounded};
use crate::output::{self, Csv, Field, Json, Ndjson, Sink, Table, Terminal};
use crate::progress::Progress;

pub(crate) fn run(args: &ListArgs, environment: &Environment) -> Result<(), Failure> {
    let columns = columns(args)?;
    let service = if args.demo {
        Service::demonstration(args)?
    } else {
        Service::atlas(args, environment)?
    };
    let request = request(args, &service.asked);
    let stdout = Stdout::new(environment);
    let sink: Box<dyn Sink> = match args.output {
        Format::Json => {
            let indented = args.pretty == Some(true) || stdout.is_terminal;
            Box::new(Json::new(io::stdout(), indented, args.show_secrets))
        }
        Format::Ndjson => Box::new(Ndjson::new(io::stdout(), args.show_secrets)),
        Format::Csv => Box::new(Csv::new(io::stdout(), columns, args.show_secrets)),
        Format::Raw => return one_page_raw(args, &service, &request, stdout.is_terminal),
        Format::Table => {
            let terminal = stdout.terminal(args.columns.is_none());
            Box::new(Table::new(
                io::stdout(),
                columns,
                args.show_secrets,
                terminal,
            ))
        }
    };
    let is_streamed = matches!(args.output, Format::Ndjson | Format::Csv);
    let progress = if is_streamed && stdout.is_terminal {
        // The lines themselves are the progress, and a line of ours would stand between them.
        Progress::silent()
    } else {
        Progress::new(environment)
    };
    pages(args, &service, request, sink, progress)
}

/// Fetches one page after the other, or the one that was asked for.
fn pages(
    args: &ListArgs,
    service: &Service,
    request: ListRequest,
    mut sink: Box<dyn Sink>,
    mut progress: Progress,
) -> Result<(), Failure> {
    let failed = |error| Failure::listing(&error, &service.asked);
    let mut listing = Listing::new(request, &Limits::default());
    let (mut count, mut fetched) = (0, 0);
    while let Some(request) = listing.request().map_err(failed)? {
        let page = service.client.list(&request).map_err(failed)?;
        let keys: Vec<_> = listing.accept(&page).map(ModelKey::to_owned).collect();
        count += keys.len();
        fetched += 1;
        progress.erase();
        sink.page(keys, page.total_count())
            .map_err(|error| Failure::stdout(&error))?;
        if args.page_num.is_some() {
            break;
        }
        if matches!(listing.request(), Ok(Some(_))) {
            progress.show(fetched, count, page.total_count());
        }
    }
    progress.erase();
    sink.finish().map_err(|error| Failure::stdout(&error))?;
    if count == 0 && args.output == Format::Table {
        let group = service.asked.group;
        note(&match args.page_num {
            Some(page) => format!("page {page} of the keys of group {group} is empty"),
            None => format!("group {group} has no model API keys"),
        });
    }
    Ok(())
}

fn one_page_raw(
    args: &ListArgs,
    service: &Service,
    request: &ListRequest,
    on_terminal: bool,
) -> Result<(), Failure> {
    // Parsed as well, so that an error object in a 200 is an error here, too.
    let page = service
        .client
        .list(request)
        .map_err(|error| Failure::listing(&error, &service.asked))?;
    let has_next = page.has_next();
    output::write_raw(
        io::stdout(),
        page.into_body(),
        on_terminal,
        args.show_secrets,
    )
    .map_err(|error| Failure::stdout(&error))?;
    if has_next && args.page_num.is_none() {
        note("this is the first page of several; --page-num 2 gives the next, -o json all in one");
    }
    Ok(())
}

/// Which columns a table or CSV has.
fn columns(args: &ListArgs) -> Result<Vec<Field>, Failure> {
    let Some(columns) = &args.columns else {
        return Ok(match args.output {
            Format::Csv => Field::ALL
                .into_iter()
                .filter(|field| args.show_secrets || *field != Field::Secret)
                .collect(),
            _ => {
                let secret = args.show_secrets.then_some(Field::Secret);
                Field::TABLE.into_iter().chain(secret).collect()
            }
        });
    };
    if !matches!(args.output, Format::Table | Format::Csv) {
        return Err(
            Failure::usage("--columns goes with the formats table and csv only")
                .hint("for JSON, choose with jq: … -o ndjson | jq '{name, lastUsedAt}'"),
        );
    }
    if columns.contains(&Field::Secret) && !args.show_secrets {
        return Err(Failure::usage(
            "the column secret is shown only with --show-secrets",
        ));
    }
    Ok(columns.clone())
}

fn request(args: &ListArgs, asked: &Asked) -> ListRequest {
    let mut request = ListRequest::new(asked.group);
    if let Some(items) = args.items_per_page {
        request = request.items_per_page(items);
    }
    if let Some(page) = args.page_num {
        request = request.page_num(page);
    }
    if let Some(envelope) = args.envelope {
        request = request.envelope(envelope);
    }
    if let Some(pretty) = args.pretty {
        request = request.pretty(pretty);
    }
    request
}

/// Whom to ask.
struct Service {
    client: Client,
    asked: Asked,
    /// Serves as long as it lives.
    _emulator: Option<Server>,
}

impl Service {
    fn atlas(args: &ListArgs, environment: &Environment) -> Result<Self, Failure> {
        let group = match (args.group_id, environment.get(environment::PROJECT_ID)?) {
            (Some(group), _) => group,
            (None, Some(text)) => text.parse().map_err(|invalid| {
                Failure::usage(format!("{invalid}"))
                    .hint(format!("look at {}", environment::PROJECT_ID))
            })?,
            (None, None) => {
                return Err(Failure::usage("which project? There is no --group-id")
                    .hint(format!(
                        "give --group-id, or set {}; Atlas shows the id in the project's settings",
                        environment::PROJECT_ID
                    ))
                    .hint("to try it without an account: atlas-model-keys list --demo"));
            }
        };
        let base = match (&args.base_url, environment.get(environment::BASE_URL)?) {
            (Some(text), _) => base_url(text, "--base-url", args.allow_plain_http)?,
            (None, Some(text)) => base_url(text, environment::BASE_URL, args.allow_plain_http)?,
            (None, None) => BaseUrl::default(),
        };
        let (credentials, way) = credentials::find(environment)?;
        let asked = Asked {
            group,
            base,
            way: Some(way),
            proxy: environment.proxy(),
        };
        Self::new(args, credentials, asked, None)
    }

    /// The emulator, over real HTTP, with a digest as for any API key.
    fn demonstration(args: &ListArgs) -> Result<Self, Failure> {
        let emulator = Emulator::new(Config {
            // Else there would be nothing to show.
            include_secrets: args.show_secrets,
            ..Config::default()
        });
        let group = args.group_id.unwrap_or_else(|| emulator.first_group());
        let key = emulator.api_key();
        let credentials = Credentials::api_key(key.public_key.as_str(), key.private_key.as_str())
            .map_err(|invalid| Failure::usage(invalid.to_string()))?;
        let server = Server::start(emulator, Options::default())
            .map_err(|error| Failure::local("cannot start the emulator on 127.0.0.1", &error))?;
        let base = base_url(&server.base_url(), "--demo", false)?;
        note("a demonstration: these keys come from a built-in emulator, not from Atlas");
        let asked = Asked {
            group,
            base,
            way: None,
            proxy: None,
        };
        Self::new(args, credentials, asked, Some(server))
    }

    fn new(
        args: &ListArgs,
        credentials: Credentials,
        asked: Asked,
        emulator: Option<Server>,
    ) -> Result<Self, Failure> {
        let mut builder = Client::builder(asked.base.clone(), credentials)
            .user_agent(concat!("atlas-model-keys/", env!("CARGO_PKG_VERSION")))
            .on_wait(tell_of);
        if let Some(version) = args.api_version {
            builder = builder.version(version);
        }
        if let Some(timeout) = args.timeout {
            builder = builder.deadline(timeout);
        }
        let client = builder
            .build()
            .map_err(|error| Failure::listing(&error, &asked))?;
        Ok(Self {
            client,
            asked,
            _emulator: emulator,
        })
    }
}

fn base_url(text: &str, from: &str, allow_plain_http: bool) -> Result<BaseUrl, Failure> {
    let url = if allow_plain_http {
        BaseUrl::allowing_plain_http(text)
    } else {
        BaseUrl::new(text)
    };
    url.map_err(|invalid| {
        let failure = Failure::usage(invalid.to_string()).hint(format!("look at {from}"));
        if !allow_plain_http && BaseUrl::allowing_plain_http(text).is_ok() {
            failure.hint("--allow-plain-http allows it, in a network that you trust")
        } else {
            failure
        }
    })
}

/// Where the output goes.
struct Stdout {
    is_terminal: bool,
    colour: bool,
}

impl Stdout {
    fn new(environment: &Environment) -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            colour: environment.allows_colour(),
        }
    }

    fn terminal(&self, may_drop: bool) -> Option<Terminal> {
        self.is_terminal.then(|| Terminal {
            // A terminal that does not tell (a serial line) is taken for the classic one.
            width: terminal_size::terminal_size_of(io::stdout())
                .map_or(80, |(terminal_size::Width(width), _)| usize::from(width)),
            colour: self.colour,
            may_drop,
        })
    }
}

/// Tells of a wait that a person would wonder about.
fn tell_of(wait: &Wait) {
    if wait.delay() < Duration::from_secs(1) {
        return;
    }
    let why = match wait.answer() {
        Some(answer) => format!("Atlas answered {}", answer.status),
        None => "the network failed".to_owned(),
    };
    if io::stderr().is_terminal() {
        // There may be a line of progress; it comes again with the next page.
        let _ = io::stderr().write_all(b"\r\x1b[K");
    }
    note(&format!("{why}; trying again in {}", Rounded(wait.delay())));
}

/// Something to know that is no error.
fn note(text: &str) {
    // There is nowhere left to say it where this fails.
    let _ = writeln!(io::stderr(), "note: {text}");
}
