//! An HTTP client that sends requests to the emulator in this process, for examples that need no network.

use std::cell::RefCell;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atlas_model_keys_core::{Credentials, GroupId};
use atlas_model_keys_emulator::{Config, Emulator};
use http::{Request, Response};

/// The emulator as an HTTP client.
pub(crate) struct InMemory(RefCell<Emulator>);

#[allow(dead_code)] // Each example uses only a part.
impl InMemory {
    /// Starts an emulator with 250 keys.
    pub(crate) fn new() -> Self {
        let config = Config::default().with_keys_per_group(250);
        Self(RefCell::new(Emulator::new(config)))
    }

    /// Returns a service account that the emulator accepts.
    pub(crate) fn service_account(&self) -> Result<Credentials, Box<dyn std::error::Error>> {
        let account = self.0.borrow().service_account().clone();
        Ok(Credentials::service_account(
            account.client_id,
            account.client_secret,
        )?)
    }

    /// Returns a group with keys.
    pub(crate) fn group(&self) -> GroupId {
        self.0.borrow().first_group()
    }

    /// Sends a request and returns the response, as any HTTP client does.
    pub(crate) fn send<B: AsRef<[u8]>>(
        &self,
        request: &Request<B>,
    ) -> io::Result<Response<Vec<u8>>> {
        Ok(self.0.borrow_mut().handle(request, now()))
    }

    /// Returns an access token that the emulator accepts.
    pub(crate) fn access_token(&self) -> String {
        self.0.borrow().access_token().to_owned()
    }
}

/// Returns the time since the Unix epoch.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
