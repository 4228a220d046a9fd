//! The service that is asked: Atlas, or the emulator of a demonstration, with the client and the settings of its
//! connection.

use std::time::Instant;

use atlas_model_keys_core::{BaseUrl, GroupId, InvalidValue, ListRequest, Page};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};
use atlas_model_keys_ureq::{Client, Credentials};

use crate::args::ConnectionArgs;
use crate::credentials::{self, Way};
use crate::environment::{self, Environment};
use crate::failure::{Asked, Attempt, CommandError, Timeout};
use crate::progress::Progress;

/// The service that is asked: Atlas, or the emulator of a demonstration.
pub(crate) struct Service {
    pub(crate) client: Client,
    pub(crate) asked: Asked,
    /// The emulator, which serves until it is dropped.
    _emulator: Option<Server>,
}

impl Service {
    pub(crate) fn atlas(
        args: &ConnectionArgs,
        group: GroupId,
        environment: &Environment,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
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
    pub(crate) fn demonstration(
        args: &ConnectionArgs,
        group: Option<GroupId>,
        with_secrets: bool,
        progress: &Progress,
    ) -> Result<Self, CommandError> {
        let emulator = Emulator::new(Config {
            // Without this there would be no secrets to show.
            include_secrets: with_secrets,
            ..Config::default()
        });
        let group = group.unwrap_or_else(|| emulator.first_group());
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
        args: &ConnectionArgs,
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
    pub(crate) fn page(
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
