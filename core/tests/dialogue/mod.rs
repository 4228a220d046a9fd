//! Connects a session to the emulator in memory, under a virtual clock that jumps to the end of each
//! wait: no socket, no sleep. A log of all events lets tests read like transcripts.

#![allow(unreachable_pub)]

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Body, Credentials, Error, Exchange, Failure, FailureKind, ListRequest, Listing,
    Moment, OwnedModelKey, Pending, Reply, Session, Step, Wait,
};
use atlas_model_keys_emulator::{Config, Emulator, Names};
use http::{Request, Response};

pub const BASE: &str = "https://atlas.example:8443";

/// The kind of credential that a test uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    Bearer,
    ServiceAccount,
    ApiKey,
}

pub const CREDENTIAL_KINDS: [CredentialKind; 3] = [
    CredentialKind::Bearer,
    CredentialKind::ServiceAccount,
    CredentialKind::ApiKey,
];

impl CredentialKind {
    pub fn credentials(self, emulator: &Emulator) -> Credentials {
        let account = emulator.service_account();
        let key = emulator.api_key();
        match self {
            Self::Bearer => Credentials::bearer(emulator.access_token()),
            Self::ServiceAccount => Credentials::service_account(
                account.client_id.as_str(),
                account.client_secret.as_str(),
            ),
            Self::ApiKey => Credentials::api_key(key.public_key.as_str(), key.private_key.as_str()),
        }
        .unwrap()
    }
}

/// A session with its surroundings: the emulator, the clock and a log.
pub struct World {
    pub emulator: Emulator,
    pub session: Session,
    pub now: Duration,
    /// The requests, statuses, failures and waits so far.
    pub log: Vec<String>,
    /// The state of the random generator for the entropy of moments.
    entropy: u64,
}

impl World {
    pub fn new(config: Config, kind: CredentialKind) -> Self {
        let emulator = Emulator::new(config.with_names(Names::Hostile));
        let session = Session::new(BaseUrl::new(BASE).unwrap(), kind.credentials(&emulator));
        Self::with_session(emulator, session)
    }

    pub fn with_session(emulator: Emulator, session: Session) -> Self {
        Self {
            emulator,
            session,
            now: Duration::from_secs(1_790_000_000),
            log: Vec::new(),
            entropy: 1,
        }
    }

    pub fn moment(&mut self) -> Moment {
        let mut entropy = [0; 16];
        for half in entropy.chunks_exact_mut(8) {
            // The generator is xorshift64*.
            self.entropy ^= self.entropy >> 12;
            self.entropy ^= self.entropy << 25;
            self.entropy ^= self.entropy >> 27;
            let next = self.entropy.wrapping_mul(0x2545_f491_4f6c_dd1d);
            half.copy_from_slice(&next.to_le_bytes());
        }
        Moment::new(self.now, entropy)
    }

    pub fn request(&self) -> ListRequest {
        ListRequest::new(self.emulator.first_group())
    }

    pub fn start(&mut self, request: &ListRequest) -> Result<Step<Vec<u8>>, Error> {
        let at = self.moment();
        self.session.start(request, at)
    }

    /// Sends the request to the emulator, and returns the response.
    pub fn response_to(&mut self, request: &Request<Body>) -> Response<Vec<u8>> {
        let uri = request.uri();
        assert_eq!(uri.scheme_str(), Some("https"));
        assert_eq!(uri.authority().unwrap().as_str(), "atlas.example:8443");
        let credential = request
            .headers()
            .get("authorization")
            .map_or("nothing", |value| {
                assert!(value.is_sensitive());
                value.to_str().unwrap().split(' ').next().unwrap()
            });
        let response = self.emulator.handle(request, self.now);
        let target = uri.path_and_query().unwrap().as_str();
        let path = target.rsplit('/').next().unwrap();
        self.log.push(format!(
            "{} {path} with {credential} -> {}",
            request.method(),
            response.status().as_u16()
        ));
        response
    }

    /// Sends the request of a step, and passes the response to the session.
    pub fn send(&mut self, exchange: Exchange) -> Result<Step<Vec<u8>>, Error> {
        let response = self.response_to(&exchange.request);
        self.respond(exchange.pending, response)
    }

    pub fn respond(
        &mut self,
        pending: Pending,
        response: Response<Vec<u8>>,
    ) -> Result<Step<Vec<u8>>, Error> {
        let at = self.moment();
        self.session.respond(pending, response, at)
    }

    pub fn fail(&mut self, pending: Pending, kind: FailureKind) -> Result<Step<Vec<u8>>, Error> {
        self.log.push(format!("{kind:?}"));
        let at = self.moment();
        self.session
            .fail(pending, Failure::new(kind, "cable pulled"), at)
    }

    /// Moves the clock to the end of the wait, and resumes the exchange.
    pub fn resume(&mut self, wait: Wait) -> Result<Step<Vec<u8>>, Error> {
        self.log
            .push(format!("wait {:.1} s", wait.delay().as_secs_f64()));
        self.now += wait.delay();
        let at = self.moment();
        self.session.resume(wait, at)
    }

    /// Resumes a wait at once, as after a change of another exchange.
    pub fn wake(&mut self, wait: Wait) -> Result<Step<Vec<u8>>, Error> {
        assert!(wait.on_change());
        let at = self.moment();
        self.session.resume(wait, at)
    }

    /// Follows the steps until the exchange ends.
    pub fn finish(&mut self, mut step: Step<Vec<u8>>) -> Result<Reply<Vec<u8>>, Error> {
        loop {
            step = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(exchange) => self.send(exchange)?,
                Step::Wait(wait) => self.resume(wait)?,
            };
        }
    }

    pub fn list(&mut self, request: &ListRequest) -> Result<Reply<Vec<u8>>, Error> {
        let step = self.start(request)?;
        self.finish(step)
    }

    pub fn list_all(&mut self, request: &ListRequest) -> Result<Vec<OwnedModelKey>, Error> {
        let mut listing = Listing::new(*request, self.session.limits());
        let mut keys = Vec::new();
        while let Some(request) = listing.request()? {
            let page = self.list(&request)?.into_page()?;
            keys.extend(
                listing
                    .accept(&page)
                    .map(atlas_model_keys_core::ModelKey::to_owned_key),
            );
        }
        Ok(keys)
    }

    /// Returns and clears the log.
    pub fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

/// Returns the exchange of a `Send` step, and panics for other results.
pub fn expect_send(step: Result<Step<Vec<u8>>, Error>) -> Exchange {
    match step {
        Ok(Step::Send(exchange)) => exchange,
        other => panic!("expected a request, got {other:?}"),
    }
}

/// Returns the wait of a `Wait` step, and panics for other results.
pub fn expect_wait(step: Result<Step<Vec<u8>>, Error>) -> Wait {
    match step {
        Ok(Step::Wait(wait)) => wait,
        other => panic!("expected a wait, got {other:?}"),
    }
}
