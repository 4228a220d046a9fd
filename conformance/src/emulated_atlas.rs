//! An emulated Atlas on loopback, and clients for it.

use std::time::Duration;

use atlas_model_keys_core::{BaseUrl, Credentials, GroupId, ListRequest};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Emulator, Names, Route};
use http::Response;

use crate::client::{Setup, TestClient};

/// A kind of credentials.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums)] // Atlas accepts no others.
pub enum CredentialKind {
    /// An access token.
    Bearer,
    /// The id and the secret of a service account (OAuth 2.0).
    ServiceAccount,
    /// An API key's public and private part (HTTP Digest).
    ApiKey,
}

impl CredentialKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Bearer, Self::ServiceAccount, Self::ApiKey];
}

/// An emulator that serves on loopback, and the first of its groups.
#[derive(Debug)]
#[non_exhaustive]
pub struct EmulatedAtlas {
    /// The server.
    pub server: Server,
    /// The first group.
    pub group: GroupId,
}

impl EmulatedAtlas {
    /// Starts an emulator with this configuration and these options. Its keys have hostile names.
    ///
    /// # Panics
    /// If there is no free port or no thread.
    #[must_use]
    pub fn start(config: Config, options: Options) -> Self {
        let emulator = Emulator::new(config.with_names(Names::Hostile));
        let group = emulator.first_group();
        let server = Server::start(emulator, options).unwrap();
        Self { server, group }
    }

    /// Starts an emulator with this number of keys in each group, without a rate limit.
    #[must_use]
    pub fn with_keys(keys_per_group: usize) -> Self {
        Self::with_latency(keys_per_group, Duration::ZERO)
    }

    /// Starts an emulator that waits before each response.
    #[must_use]
    pub fn with_latency(keys_per_group: usize, latency: Duration) -> Self {
        let config = Config::default()
            .with_keys_per_group(keys_per_group)
            .with_rate_limit(None);
        let options = Options::default().with_latency(latency);
        Self::start(config, options)
    }

    /// Returns the base URL.
    ///
    /// # Panics
    /// Never: plain HTTP is allowed on loopback.
    #[must_use]
    pub fn base(&self) -> BaseUrl {
        BaseUrl::new(&self.server.base_url()).unwrap()
    }

    /// Returns credentials that the emulator accepts.
    ///
    /// # Panics
    /// Never: the emulator's credentials are valid.
    #[must_use]
    pub fn credentials(&self, kind: CredentialKind) -> Credentials {
        self.server.with(|emulator| {
            let account = emulator.service_account().clone();
            let key = emulator.api_key().clone();
            match kind {
                CredentialKind::Bearer => Credentials::bearer(emulator.access_token()),
                CredentialKind::ServiceAccount => {
                    Credentials::service_account(account.client_id, account.client_secret)
                }
                CredentialKind::ApiKey => Credentials::api_key(key.public_key, key.private_key),
            }
            .unwrap()
        })
    }

    /// Returns a client for the emulator.
    ///
    /// # Panics
    /// If the setup is invalid.
    #[must_use]
    pub fn client<C: TestClient>(&self, kind: CredentialKind, setup: Setup) -> C {
        C::new(self.base(), self.credentials(kind), setup).unwrap()
    }

    /// Returns a request for the first page of the first group.
    pub fn request(&self) -> ListRequest {
        ListRequest::new(self.group)
    }

    /// Returns the ids of all keys of the first group, in order.
    ///
    /// # Panics
    /// Never: each of the emulator's keys has an id.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.server.with(|emulator| {
            let keys = emulator.keys(self.group).iter();
            keys.map(|key| key.api_key_id.clone().unwrap()).collect()
        })
    }

    /// Sets the response to the next request for a page.
    pub fn respond_to_next_list(&self, response: Response<Vec<u8>>) {
        self.server
            .with(|emulator| emulator.respond_next(Route::ListGroupKeys, response));
    }

    /// Returns the number of requests for pages and for tokens.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        self.server.with(|emulator| {
            let lists = emulator.requests_for(Route::ListGroupKeys);
            (lists, emulator.token_requests())
        })
    }
}
