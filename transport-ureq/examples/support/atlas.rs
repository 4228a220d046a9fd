//! The Atlas that the examples of both clients use.

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use atlas_model_keys_core::{BaseUrl, Credentials, GroupId};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator};

/// An Atlas to list from.
pub(crate) struct Atlas {
    pub(crate) base: BaseUrl,
    pub(crate) credentials: Credentials,
    pub(crate) group: GroupId,
    /// Stops when it is dropped.
    emulator: Option<Server>,
}

impl Atlas {
    /// Returns Atlas itself if the environment has credentials and the first argument is the id of a group, or the emulator
    /// if there is neither.
    pub(crate) fn of_environment() -> Result<Self, Box<dyn Error>> {
        let group = env::args()
            .skip(1)
            .find(|argument| !argument.starts_with("--"));
        let (credentials, group) = match (credentials()?, group) {
            (None, None) => return Self::emulated(),
            (Some(credentials), Some(group)) => (credentials, group.parse()?),
            (None, Some(_)) => return Err("there are no credentials in the environment".into()),
            (Some(_), None) => return Err("the first argument is the id of a group".into()),
        };
        let base = variable("MONGODB_ATLAS_BASE_URL").map(|url| BaseUrl::new(&url));
        Ok(Self {
            base: base.transpose()?.unwrap_or_default(),
            credentials,
            group,
            emulator: None,
        })
    }

    /// Starts the emulator on loopback, with its service account as credentials.
    pub(crate) fn emulated() -> Result<Self, Box<dyn Error>> {
        let emulator = Emulator::new(Config::default().with_keys_per_group(250));
        let account = emulator.service_account().clone();
        let group = emulator.first_group();
        let server = Server::start(emulator, Options::default())?;
        Ok(Self {
            base: BaseUrl::new(&server.base_url())?,
            credentials: Credentials::service_account(account.client_id, account.client_secret)?,
            group,
            emulator: Some(server),
        })
    }

    /// Returns the address of the emulator.
    pub(crate) fn address(&self) -> Result<SocketAddr, Box<dyn Error>> {
        let emulator = self.emulator.as_ref().ok_or("Atlas is no emulator")?;
        Ok(emulator.address())
    }
}

/// Returns the first credentials of the environment. They are never in arguments, which `ps` shows.
fn credentials() -> Result<Option<Credentials>, Box<dyn Error>> {
    if let Some(token) = variable("MONGODB_ATLAS_ACCESS_TOKEN") {
        return Ok(Some(Credentials::bearer(token)?));
    }
    let both = |first, second| variable(first).zip(variable(second));
    if let Some((id, secret)) = both("MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET") {
        return Ok(Some(Credentials::service_account(id, secret)?));
    }
    let key = both(
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "MONGODB_ATLAS_PRIVATE_API_KEY",
    )
    .or_else(|| both("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY"));
    Ok(match key {
        Some((public, private)) => Some(Credentials::api_key(public, private)?),
        None => None,
    })
}

/// Returns a variable of the environment. An empty one counts as unset, because scripts unset variables so.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
