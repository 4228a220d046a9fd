//! `list`: requests the pages, and writes their keys.

use std::io;
use std::time::Instant;

use atlas_model_keys_core::{BaseUrl, InvalidValue, Limits, ListRequest, Listing, Page};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};
use atlas_model_keys_ureq::{Client, Credentials};

use crate::args::{Format, ListArgs};
use crate::credentials::{self, Way};
use crate::environment::{self, Environment};
use crate::failure::{Asked, Attempt, CommandError, Timeout};
use crate::output::{self, Scope, Stdout, Written};
use crate::progress::{Place, Progress};

pub(crate) fn run(args: &ListArgs, environment: &Environment) -> Result<(), CommandError> {
    args.filter.check(args.output)?;
    let columns = output::columns(args, Scope::default())?;
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
    if args.output == Format::Raw {
        let page = service.page(&request, &progress)?;
        return write_raw(args, page, &progress, &stdout.out, stdout.is_terminal);
    }
    let sink = output::sink(args, columns, &stdout);
    let limits = Limits::default();
    let mut written = Written::new(sink, args.output, &args.filter, &limits);
    written.begin(service.asked.group.as_str(), None);
    match pages(args, &service, request, &mut written, &limits, &progress) {
        Ok(()) => written.finish(args.page_num, &progress).map(|_| ()),
        Err(failure) => Err(failure.incomplete(args.output, &written.output())),
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
        let emulator = Emulator::new(Config {
            // Without this there would be no secrets to show.
            include_secrets: args.show_secrets,
            ..Config::default()
        });
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
