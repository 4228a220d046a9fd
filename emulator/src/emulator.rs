//! The emulator: handles a request. A scripted response comes first, then the regular response of
//! `atlas`, which the faults may change.
//!
//! The functions that configure and inspect an emulator between requests are in `methods`, and those that do so
//! over HTTP in `control`.

mod control;
mod methods;

use std::time::Duration;

use http::header::HeaderValue;
use http::{HeaderName, Request, Response, StatusCode};

use crate::atlas::Atlas;
use crate::config::Config;
use crate::credentials::CredentialId;
use crate::errors::AtlasError;
use crate::fault::{Delivery, Faults, Phase};
use crate::incoming::Incoming;
use crate::redaction::Secrets;
use crate::render::{self, View};
use crate::route::{self, MatchedRoute, Route};
use crate::script::{Checkpoint, Script};
use crate::seen::{History, Outcome, Seen};

const SERVICE_VERSION: HeaderName = HeaderName::from_static("x-mongodb-service-version");

/// An Atlas emulator in memory: a request and the time go in, a response comes out.
///
/// It does no I/O and reads no clock. An equal [`Config`] and equal calls give equal responses,
/// byte for byte.
#[derive(Clone, Debug)]
pub struct Emulator {
    atlas: Atlas,
    script: Script,
    faults: Faults,
    counts: Counts,
    history: History,
    /// The secrets that [`Seen`] must not contain, or `None` if they must be collected again.
    secrets: Option<Secrets>,
    shift: TimeShift,
    /// The state before the first request, for resets. It shares the keys.
    start: Option<Box<Self>>,
}

/// The difference between the time of an emulator and that of its caller.
#[derive(Clone, Copy, Debug, Default)]
struct TimeShift {
    forward: Duration,
    backward: Duration,
}

/// The numbers of requests so far.
#[derive(Clone, Debug, Default)]
struct Counts {
    total: u64,
    per_route: [u64; Route::ALL.len()],
}

/// A response that ends the checks of a request early.
enum EarlyResponse {
    Error(AtlasError),
    /// This response is sent unchanged.
    Scripted(Box<Response<Vec<u8>>>),
}

impl From<AtlasError> for EarlyResponse {
    fn from(error: AtlasError) -> Self {
        Self::Error(error)
    }
}

impl Emulator {
    /// Creates an emulator. Everything in it is derived from the configuration.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            history: History::new(config.seen_limit),
            secrets: None,
            shift: TimeShift::default(),
            start: None,
            atlas: Atlas::new(config),
            script: Script::default(),
            faults: Faults::default(),
            counts: Counts::default(),
        }
    }

    /// Returns the response to one request. `now` is the time since the Unix epoch; it may stand
    /// still or jump.
    ///
    /// The URI may be a path, as on the wire, or absolute. A `HEAD` gets the response to the
    /// corresponding `GET`, with its body; the code that writes it to a socket must omit the body.
    #[must_use]
    pub fn handle<B: AsRef<[u8]>>(
        &mut self,
        request: &Request<B>,
        now: Duration,
    ) -> Response<Vec<u8>> {
        self.handle_and_log(request, now, None, None)
    }

    /// Handles a request, and passes its record to `log`. A request that the server refuses with an error is only
    /// recorded.
    pub(crate) fn handle_and_log<B: AsRef<[u8]>>(
        &mut self,
        request: &Request<B>,
        now: Duration,
        refusal: Option<AtlasError>,
        log: Option<&dyn Fn(&Seen)>,
    ) -> Response<Vec<u8>> {
        let path = route::normalized(request.uri().path());
        let request = Incoming {
            method: request.method(),
            uri: request.uri(),
            path: &path,
            headers: request.headers(),
            body: request.body().as_ref(),
        };
        if self.start.is_none() {
            self.start = Some(Box::new(self.clone()));
        }
        let refused = refusal.map(|error| error.into_response(View::default()));
        if self.is_control(request.uri) {
            return refused.unwrap_or_else(|| self.control(request, now));
        }
        let now = self.time(now);
        let mut outcome = Outcome::default();
        let response = refused.unwrap_or_else(|| self.response_to(request, now, &mut outcome));
        let order = self.history.count();
        if log.is_some() || self.history.is_kept() {
            let secrets = self.secrets.get_or_insert_with(|| self.atlas.secrets());
            let principal = outcome
                .credential
                .and_then(|id| self.atlas.credentials.principal(id));
            let seen = Seen::new(
                order,
                now,
                request,
                outcome,
                principal,
                sent_status(&response),
                secrets,
            );
            if let Some(log) = log {
                log(&seen);
            }
            self.history.push(seen);
        }
        response
    }

    /// Returns the response of the script or of the emulated Atlas. The faults may have changed the latter.
    fn response_to(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Response<Vec<u8>> {
        let mut response = match self.respond(request, now, outcome) {
            Ok(response) => response,
            Err(EarlyResponse::Error(error)) => error.into_response(View::from_query(request.uri)),
            Err(EarlyResponse::Scripted(response)) => {
                outcome.is_scripted = true;
                return *response;
            }
        };
        outcome.note(&response);
        response.headers_mut().insert(
            SERVICE_VERSION,
            HeaderValue::from_static(concat!(
                "gitHash=0000000000000000000000000000000000000000; versionString=emulator-",
                env!("CARGO_PKG_VERSION")
            )),
        );
        let Self { atlas, faults, .. } = self;
        let mut apply = |phase, response: &mut _| {
            faults.apply(phase, atlas, request, now, response, &mut outcome.faults);
        };
        apply(Phase::BeforeCompression, &mut response);
        render::compress(request.headers, &mut response);
        apply(Phase::AfterCompression, &mut response);
        response
    }

    /// Counts the request, and returns the script's response or that of the emulated Atlas.
    fn respond(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<Response<Vec<u8>>, EarlyResponse> {
        self.counts.total += 1;
        let matched = MatchedRoute::from_path(request.path)
            .ok_or_else(|| AtlasError::resource_not_found(request.path))?;
        let route = matched.route();
        outcome.route = Some(route);
        if let Some(count) = self.counts.per_route.get_mut(route.index()) {
            *count += 1;
        }
        self.scripted(route, Checkpoint::Arrived)?;
        if !matched.allows(request.method) {
            return Err(AtlasError::method_not_allowed(matched.allowed()).into());
        }
        let mut caller = || self.authenticate(route, request, now, outcome);
        let result = match matched {
            MatchedRoute::Token => {
                outcome.credential = self.atlas.account_of(request);
                return Ok(self.atlas.issue_token(outcome.credential, request, now));
            }
            MatchedRoute::Revoke => {
                outcome.credential = self.atlas.account_of(request);
                return Ok(self.atlas.revoke_token(outcome.credential, request));
            }
            MatchedRoute::GroupKeys { group_id } => {
                let caller = caller()?;
                self.atlas.list_group_keys(group_id, caller, request, now)
            }
            MatchedRoute::OrgKeys { org_id } => {
                let caller = caller()?;
                self.atlas.list_org_keys(org_id, caller, request, now)
            }
            MatchedRoute::GroupKey { group_id, key_id } => {
                let caller = caller()?;
                let atlas = &mut self.atlas;
                atlas.get_group_key(group_id, key_id, caller, request, now)
            }
            MatchedRoute::OrgKey { org_id, key_id } => {
                let caller = caller()?;
                let atlas = &mut self.atlas;
                atlas.get_org_key(org_id, key_id, caller, request, now)
            }
            MatchedRoute::Groups => {
                let caller = caller()?;
                self.atlas.list_groups(caller, request, now)
            }
        };
        let mut response =
            result.unwrap_or_else(|error| error.into_response(View::from_query(request.uri)));
        // The version is negotiated before any other check, so it decides about errors, too.
        render::add_vary(&mut response, "Accept");
        Ok(response)
    }

    fn authenticate(
        &mut self,
        route: Route,
        request: Incoming<'_>,
        now: Duration,
        outcome: &mut Outcome,
    ) -> Result<CredentialId, EarlyResponse> {
        let caller = self.atlas.authenticate(request, now)?;
        outcome.credential = Some(caller);
        self.scripted(route, Checkpoint::Authenticated)?;
        Ok(caller)
    }

    fn scripted(&mut self, route: Route, checkpoint: Checkpoint) -> Result<(), EarlyResponse> {
        match self.script.take(route, checkpoint) {
            Some(response) => Err(EarlyResponse::Scripted(Box::new(response))),
            None => Ok(()),
        }
    }
}

/// Returns the status of a response, unless a fault lets the server send no complete head.
fn sent_status(response: &Response<Vec<u8>>) -> Option<StatusCode> {
    let delivery = response.extensions().get::<Delivery>();
    delivery
        .is_none_or(Delivery::sends_head)
        .then(|| response.status())
}
