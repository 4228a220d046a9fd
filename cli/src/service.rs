//! The service that is asked: Atlas, or the emulator of a demonstration, with the client and the settings of its
//! connection.

use std::time::Instant;

use atlas_model_keys_core::{BaseUrl, Error, InvalidValue, Limits, Operation, PageNum, Paged};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_ureq::http::StatusCode;
use atlas_model_keys_ureq::{Client, Credentials, Event};

use crate::args::{ConnectionArgs, SourceArgs};
use crate::credentials::{self, Way};
use crate::demo;
use crate::environment::{self, Environment};
use crate::failure::{Asked, Attempt, CommandError, Subject, Timeout, Worked};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::sources::Sources;

/// The service that is asked: Atlas, or the emulator of a demonstration.
pub(crate) struct Service {
    /// The client. Its calls end with the first signal.
    pub(crate) client: Client,
    /// The first request of the command, for hints.
    pub(crate) asked: Asked,
    signals: Signals,
    /// The client whose calls a signal does not end. It revokes the token.
    uncancelled: Client,
    /// The emulator, which serves until it is dropped.
    _emulator: Option<Server>,
}

impl Service {
    pub(crate) fn atlas(
        args: &ConnectionArgs,
        subject: Subject,
        (credentials, way): (Credentials, Way),
        environment: &Environment,
        signals: &Signals,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let base = base_of(args, environment)?;
        if base.is_https() {
            for name in environment::CERTIFICATES {
                environment.get(name)?;
            }
        }
        let asked = Asked {
            subject,
            proxy: environment.proxy(&base)?,
            base,
            way: Some(way),
            timeout: Timeout::new(args.timeout),
            worked: Worked::default(),
        };
        Self::new(args, credentials, asked, None, signals, progress)
    }

    /// Creates the service that has the keys of these sources.
    pub(crate) fn for_sources(
        args: &SourceArgs,
        connection: &ConnectionArgs,
        sources: &Sources,
        with_secrets: bool,
        environment: &Environment,
        signals: &Signals,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let subject = sources.subject();
        if args.demo {
            return Self::demonstration(connection, subject, with_secrets, signals, progress);
        }
        let credentials = credentials::find(environment)?;
        Self::atlas(
            connection,
            subject,
            credentials,
            environment,
            signals,
            progress,
        )
    }

    /// Starts the emulator. It is used over real HTTP, with digest authentication, like Atlas with an API key.
    fn demonstration(
        args: &ConnectionArgs,
        subject: Subject,
        with_secrets: bool,
        signals: &Signals,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let emulator = demo::emulator(with_secrets);
        let key = emulator.api_key();
        let credentials = Credentials::api_key(key.public_key.as_str(), key.private_key.as_str())
            .map_err(|invalid| CommandError::usage(invalid.to_string()))?;
        let server = Server::start(emulator, Options::default()).map_err(|error| {
            CommandError::local("cannot start the emulator on 127.0.0.1", &error)
        })?;
        let base = base_url(&server.base_url(), "--demo", false)?;
        progress.note("a demonstration: these keys come from a built-in emulator, not from Atlas");
        let asked = Asked {
            subject,
            base,
            way: None,
            proxy: None,
            timeout: Timeout::new(args.timeout),
            worked: Worked::default(),
        };
        Self::new(args, credentials, asked, Some(server), signals, progress)
    }

    fn new(
        args: &ConnectionArgs,
        credentials: Credentials,
        asked: Asked,
        emulator: Option<Server>,
        signals: &Signals,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let (show, counted, worked) = (
            progress.on_event(args.log),
            signals.clone(),
            asked.worked.clone(),
        );
        let mut builder = Client::builder(asked.base.clone(), credentials)
            .user_agent(concat!("atlas-model-keys/", env!("CARGO_PKG_VERSION")))
            .deadline(asked.timeout.limit)
            .limits(Limits::default().with_retry(asked.timeout.retry_policy()))
            .on_event(move |event| {
                counted.record(event);
                if has_worked(event) {
                    worked.set();
                }
                show(event);
            });
        if let Some(version) = args.api_version {
            builder = builder.version(version);
        }
        let client = builder
            .build()
            .map_err(|error| CommandError::listing(&error, &asked))?;
        Ok(Self {
            client: signals.cancelling(&client),
            asked,
            signals: signals.clone(),
            uncancelled: client,
            _emulator: emulator,
        })
    }

    /// Requests a page about this subject, and shows the progress during the wait.
    pub(crate) fn page<R: Paged>(
        &self,
        request: &R,
        asked: &Asked,
        progress: &Progress,
    ) -> Result<<R as Operation>::Answer<Vec<u8>>, CommandError> {
        // The page is parsed for every format, so that an error object in a 200 is an error.
        self.timed(request.page_num(), asked, progress, |client| {
            client.list(request)
        })
    }

    /// Makes the only call of a command, and shows the progress during the wait.
    pub(crate) fn call<T>(
        &self,
        page: PageNum,
        progress: &Progress,
        call: impl FnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, CommandError> {
        self.timed(page, &self.asked, progress, call)
            .map_err(|failure| match self.is_interrupted() {
                true => CommandError::interrupted_before(self.asked.subject),
                false => failure,
            })
    }

    fn timed<T>(
        &self,
        page: PageNum,
        asked: &Asked,
        progress: &Progress,
        call: impl FnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, CommandError> {
        let begun = Instant::now();
        progress.begin(&format!("page {page}"));
        let outcome = call(&self.client);
        progress.arrived();
        outcome.map_err(|error| {
            let attempt = Attempt {
                page,
                elapsed: begun.elapsed(),
                lacks_token: asked.way == Some(Way::ServiceAccount)
                    && self.client.export_token().is_none(),
            };
            CommandError::page(&error, asked, &attempt)
        })
    }

    /// Returns whether a signal has ended the calls of the client.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.signals.is_interrupted()
    }

    /// Revokes the access tokens that the client got, because a service account may hold only 100 at a time. A token from the
    /// environment stays valid, because other commands may use it.
    pub(crate) fn revoke_token(&self, progress: &Progress) {
        let client = self.uncancelled.with_deadline(self.signals.grace());
        if let Err(error) = client.revoke_token() {
            progress.note(&format!(
                "the access token was not revoked, and expires by itself: {error}"
            ));
        }
    }
}

/// Returns whether the credential has worked: a token was issued, or a request succeeded.
fn has_worked(event: &Event<'_>) -> bool {
    match event {
        Event::TokenFetched => true,
        Event::Answered {
            request, status, ..
        } => *status == StatusCode::OK && !request.path.contains("/api/oauth/"),
        _ => false,
    }
}

/// Returns the base URL, to which the credential is sent. An argument precedes the environment.
fn base_of(args: &ConnectionArgs, environment: &Environment) -> Result<BaseUrl, CommandError> {
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
