//! With any responses, failures and waits in any order, an exchange ends within its limits, its credentials go only to
//! the base URL, and no secret is shown.
//!
//! **Input**: a byte for the credential (a bearer token, a service account or an API key), one for the base URL (from
//! [`BASES`]), one for the flags [`PINNED_VERSION`], [`SMALL_LIMITS`], [`SINGLE_ATTEMPT`], [`NO_RETRY_STATUSES`],
//! [`WAITS_OUT_RATE_LIMITS`], [`RECORDED`] and [`CHOSEN_LIMITS`]; then actions until the end of the input, each a byte
//! (see [`ActionCode`]) and its arguments. Up to four exchanges are in progress at the same time, each in a slot, and each
//! for any of the five operations. A response is
//!
//! - a byte for the status (from [`STATUSES`]);
//! - a byte for the number of headers; for each a byte for its name (from [`HEADERS`]), and one for its value (from those
//!   of the name), where a byte beyond the values is followed by a short text;
//! - a byte for the type of the body (see [`BodyType`]) and its arguments.
//!
//! If the flags have [`CHOSEN_LIMITS`], limits follow them.
//!
//! **Properties**
//!
//! - Each step is the one that a reference model (`oracles/session_model/`) requires: the request (for a token, or the own
//!   one with this version, token, or nonce and count), the exact wait, the result, or the error with its attempts. So what
//!   must be retried is retried, a 401 renews the token, a refused version moves on, every limit is exact on both sides,
//!   and no nonce, token or place under a rate limit is lost or used twice.
//! - The session's versions, longest pause and token are those of the model after each action.
//! - Every request goes to the base URL, and is that of the exchange's operation, a token request or a revocation. Its
//!   credential is marked sensitive.
//! - No error (`Display`, `Debug`, sources) and no `Debug` of a session, step, ticket, request or reply shows a secret,
//!   even if a server repeats it: as a whole or its beginning, plain or percent-encoded. Of steps of the same kind, the
//!   first one of an input is formatted.
//! - Another session rejects a ticket, and also an exported token, unless it has the same base URL and client id.
//! - A service account's session revokes any token that it is given, and then has it no more; another token stays. A session
//!   with another credential revokes none.
//! - With [`RECORDED`], all calls are stored as JSON, and another session that repeats them returns the same steps, requests
//!   and errors. `Debug` of what is recorded shows no secret.
//! - At the end, exchanges that receive nothing but refusals end. After an hour, an ordinary exchange succeeds without a
//!   wait, whose operation is that of the number of actions. Only if the clock was set back, and now shows a time that is
//!   less than five minutes after a 429 of its scope, may it wait or fail; then it succeeds when they are over.
//!
//! The files import each other in one direction: `operations` ← `world` ← `facts`, `seen`, `requests` ← this one, which
//! drives the session.

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, Endpoint, Error, Exchange, FailureKind, ListRequest, Moment, Pending,
    RecordedResponse, RequestOutline, Secret, Session, Step, Wait, wire,
};
use http::Response;
use http::header::AUTHORIZATION;

mod facts;
mod operations;
mod recording;
mod requests;
mod seen;
mod world;

pub use crate::generators::session::{
    ACTION_CODES, ActionCode, BASES, BODY_TYPES, BodyType, CHOSEN_LIMITS, ENVELOPE, HEADERS,
    LIMITS, NO_RETRY_STATUSES, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP, PINNED_VERSION, RECORDED,
    SINGLE_ATTEMPT, SMALL_LIMITS, STATUSES, TOKEN_LIFETIMES, UNITS, WAITS_OUT_RATE_LIMITS,
};

use crate::generators::session::{
    Action, CLIENT_ID, CLIENT_SECRET, CredentialType, Input, PAGE_BODY, ServerResponse,
};
use crate::oracles::session_model::{self as model, Model};
use crate::oracles::shown::ErrorText;
use facts::Reading;
use operations::{AnyRequest, StepResult, current_versions, group};
use recording::{Call, Outcome, Recording};
use world::{World, credentials};

/// No pause after a 429 is longer. The model has a number of its own, so that a mistake in it shows.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = crate::generators::bytes::read::<Input>(bytes) else {
        return;
    };
    let mut driver = Driver::new(World::new(&input.head), !input.head.limits.is_empty());
    if input.head.flags & RECORDED != 0 {
        driver.recording = Some(Recording::default());
    }
    let operation = input.actions.len() % OPERATIONS.len();
    for action in input.actions {
        driver.apply(action);
    }
    driver.drain();
    driver.recover(operation);
    let (at, _) = driver.world.moment();
    let text = driver
        .world
        .texts
        .add(format_args!("{at:?} {:?}", driver.session));
    // Nonces are made from the entropy, so it is not shown.
    assert!(text.starts_with("Moment { now: ") && text.contains("s, .. } Session {"));
    driver.world.texts.assert_no_secret();
    if let Some(recording) = driver.recording {
        recording.replay(driver.world.session());
    }
}

/// A ticket of the session.
enum Ticket {
    Pending {
        pending: Pending,
        is_token: bool,
        is_signed: bool,
    },
    Wait(Wait),
}

/// An exchange in progress, and its number in the model.
struct InProgress {
    id: u32,
    request: AnyRequest,
    ticket: Ticket,
}

/// The session under test and everything that it is checked against.
struct Driver {
    session: Session,
    world: World,
    model: Model,
    slots: [Option<InProgress>; 4],
    exchanges_started: u32,
    results: u32,
    /// The scopes and the times of the 429 responses to requests other than token requests.
    rate_limited: Vec<(u8, Duration)>,
    exports: Vec<Secret>,
    has_chosen_limits: bool,
    recording: Option<Recording>,
    /// The kinds of steps that were formatted, and the error of a failure outside an exchange.
    formatted: [bool; 7],
}

impl Driver {
    fn new(world: World, has_chosen_limits: bool) -> Self {
        Self {
            session: world.session(),
            model: Model::new(world.credential, world.settings.clone()),
            world,
            slots: [const { None }; 4],
            exchanges_started: 0,
            results: 0,
            rate_limited: Vec::new(),
            exports: Vec::new(),
            has_chosen_limits,
            recording: None,
            formatted: [false; 7],
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Start { slot, flags } => self.start(slot, flags),
            Action::Respond { slot, response } => self.respond(slot, response),
            Action::Friendly { slot } => self.respond_like_atlas(slot),
            Action::Fail { slot, kind } => self.fail(slot, kind),
            Action::Resume { slot } => self.resume(slot),
            Action::Drop { slot } => drop(self.take(slot)),
            Action::GiveUp { slot } => self.give_up(slot),
            Action::Clock { by, unit } => self.world.move_clock(by, unit),
            Action::Export => self.export(),
            Action::Restore { how, text } => self.restore(how, &text),
            Action::Revoke { response } => self.revoke(&response),
            Action::Foreign { slot } => self.pass_to_another_session(slot),
        }
        self.check_session();
    }

    /// Records a call, if calls are recorded.
    fn record(&mut self, call: impl FnOnce() -> Call) {
        if let Some(recording) = &mut self.recording {
            recording.call(call());
        }
    }

    /// Records the outcome of a call, if calls are recorded.
    fn record_outcome(&mut self, outcome: impl FnOnce() -> Outcome) {
        if let Some(recording) = &mut self.recording {
            recording.outcome(outcome());
        }
    }

    /// Checks what the session tells about itself.
    fn check_session(&mut self) {
        let pinned = self.world.pinned_version;
        for (operation, version) in current_versions(&self.session).into_iter().enumerate() {
            let expected = operations::versions(operation, &pinned)[self.model.version(operation)];
            assert_eq!(version, expected);
        }
        let (at, model_at) = self.world.moment();
        assert_eq!(
            self.session.longest_pause(at),
            self.model.longest_pause(model_at.now)
        );
    }

    /// Takes the exchange in a slot, which ends it.
    fn take(&mut self, slot: usize) -> Option<InProgress> {
        let taken = self.slots[slot].take()?;
        self.record(|| Call::Drop { slot });
        self.model.end(taken.id);
        Some(taken)
    }

    /// Takes the ticket in a slot if its request is in flight. Returns also whether that is a token request.
    fn take_pending(&mut self, slot: usize) -> Option<(u32, AnyRequest, Pending, bool)> {
        let is_pending = |taken: &mut InProgress| matches!(taken.ticket, Ticket::Pending { .. });
        let InProgress {
            id,
            request,
            ticket,
        } = self.slots[slot].take_if(is_pending)?;
        match ticket {
            Ticket::Pending {
                pending, is_token, ..
            } => Some((id, request, pending, is_token)),
            Ticket::Wait(_) => None,
        }
    }

    fn start(&mut self, slot: usize, flags: u8) {
        let (at, model_at) = self.world.moment();
        let request = AnyRequest::new(flags);
        // The exchange that was in the slot is cancelled.
        drop(self.take(slot));
        self.exchanges_started += 1;
        let id = self.exchanges_started;
        let facts = model::Request {
            operation: request.operation(),
            scope: request.scope(),
            versions: operations::versions(request.operation(), &self.world.pinned_version).len(),
        };
        let expected = self.model.start(id, facts, model_at);
        self.record(|| Call::Start { slot, flags, at });
        let next = request.start(&mut self.session, at);
        self.proceed(slot, (id, request), next, &expected, false);
    }

    fn respond_like_atlas(&mut self, slot: usize) {
        if let Some(InProgress {
            request, ticket, ..
        }) = &self.slots[slot]
            && let Ticket::Pending {
                is_token,
                is_signed,
                ..
            } = ticket
        {
            let response = self.world.atlas_response(request, *is_token, *is_signed);
            self.respond(slot, ServerResponse::new(response));
        }
    }

    fn respond(&mut self, slot: usize, response: ServerResponse) {
        let (at, model_at) = self.world.moment();
        let Some((id, request, pending, is_token)) = self.take_pending(slot) else {
            return;
        };
        let repeats_secrets = response.repeats_secrets;
        let mut response = self.world.response(response);
        let reading = Reading {
            is_token,
            is_enveloped: request.is_enveloped(),
            limits: &self.world.settings,
            now: self.world.now,
            odd_tokens: &self.world.odd_tokens,
        };
        let facts = reading.facts(&mut response);
        if facts.status == 429 && !is_token {
            self.rate_limited.push((request.scope(), model_at.now));
        }
        if let Some(recording) = &mut self.recording {
            let response = RecordedResponse::from(&response);
            self.world.texts.add(format_args!("{response:?}"));
            recording.call(Call::Respond { slot, response, at });
        }
        let tokens = self.model.tokens();
        let expected = self.model.respond(id, &facts, model_at);
        if self.model.tokens() > tokens
            && let Some((token, _)) = &facts.token
        {
            self.world.token_arrived(token);
        }
        let next = self.session.respond(pending, response, at);
        self.proceed(slot, (id, request), next, &expected, repeats_secrets);
    }

    fn fail(&mut self, slot: usize, kind: FailureKind) {
        let (at, model_at) = self.world.moment();
        let Some((id, request, pending, _)) = self.take_pending(slot) else {
            return;
        };
        let failure = self.world.failure(kind);
        let expected = self.model.fail(id, seen::kind(kind), model_at);
        self.record(|| Call::Fail { slot, kind, at });
        let next = self.session.fail(pending, failure, at);
        self.proceed(slot, (id, request), next, &expected, false);
    }

    fn resume(&mut self, slot: usize) {
        let (at, model_at) = self.world.moment();
        let is_wait = |taken: &mut InProgress| matches!(taken.ticket, Ticket::Wait(_));
        if let Some(InProgress {
            id,
            request,
            ticket,
        }) = self.slots[slot].take_if(is_wait)
            && let Ticket::Wait(wait) = ticket
        {
            let expected = self.model.resume(id, model_at);
            self.record(|| Call::Resume { slot, at });
            let next = self.session.resume(wait, at);
            self.proceed(slot, (id, request), next, &expected, false);
        }
    }

    fn give_up(&mut self, slot: usize) {
        let Some(InProgress { id, ticket, .. }) = self.slots[slot].take() else {
            return;
        };
        self.record(|| Call::GiveUp { slot });
        let lost = self.world.failure(FailureKind::Lost);
        let (error, in_flight) = match ticket {
            Ticket::Wait(wait) => {
                let delay = wait.delay();
                (wait.give_up(), Err(delay))
            }
            Ticket::Pending { pending, .. } => {
                let error = self.session.give_up(pending, lost);
                (error, Ok(model::Kind::Lost))
            }
        };
        assert_eq!(seen::failure(&error), self.model.give_up(id, in_flight));
        self.record_outcome(|| Outcome::of_error(&error));
        self.world.assert_error(&error, false);
        if std::mem::replace(&mut self.formatted[6], true) {
            return;
        }
        let lost = self.world.failure(FailureKind::Lost);
        let error = self.session.transport_error(lost, 1);
        let (kind, attempts) = (model::Kind::Lost, 1);
        let expected = model::Failure::Transport { kind, attempts };
        assert_eq!(seen::failure(&error), expected);
        self.world.assert_error(&error, false);
    }

    /// Checks the next step of an exchange, and keeps its ticket.
    fn proceed(
        &mut self,
        slot: usize,
        (id, request): (u32, AnyRequest),
        next: StepResult,
        expected: &model::Step,
        repeats_secrets: bool,
    ) {
        let step = seen::step(&self.world, &request, &next);
        assert_eq!(step, *expected, "left: the session, right: the model");
        self.record_outcome(|| Outcome::of_step(&next));
        self.format(&step, &next);
        let ticket = match next {
            Err(error) => return self.world.assert_error(&error, repeats_secrets),
            Ok(Step::Send(Exchange {
                request: sent,
                pending,
            })) => {
                requests::check_request(&self.world, &sent, &request);
                if self.recording.is_some() {
                    let outline = RequestOutline::from(&sent);
                    self.world.texts.add(format_args!("{outline:?}"));
                }
                let is_token = matches!(step, model::Step::FetchToken { .. });
                assert_eq!(pending.is_for_token(), is_token);
                Ticket::Pending {
                    pending,
                    is_token,
                    is_signed: sent.headers().contains_key(AUTHORIZATION),
                }
            }
            Ok(Step::Wait(wait)) => Ticket::Wait(wait),
            Ok(Step::Done(reply)) => {
                self.results += 1;
                return requests::check_reply(&mut self.world, &request, reply);
            }
        };
        self.slots[slot] = Some(InProgress {
            id,
            request,
            ticket,
        });
    }

    /// Collects `Debug` of a step, if it is the first one of its kind.
    fn format(&mut self, step: &model::Step, next: &StepResult) {
        let kind = match step {
            model::Step::FetchToken { .. } => 0,
            model::Step::Send {
                authorization: model::Authorization::Unsigned,
                ..
            } => 1,
            model::Step::Send { .. } => 2,
            model::Step::Follow { .. } => 3,
            model::Step::Wait { .. } => 4,
            model::Step::Done { .. } => 5,
            model::Step::Fail(_) => return,
        };
        if std::mem::replace(&mut self.formatted[kind], true) {
            return;
        }
        let texts = &mut self.world.texts;
        texts.add(format_args!("{next:?}"));
        match next {
            Ok(Step::Send(exchange)) => {
                let bytes = wire::encode(&exchange.request).expect("the request can be encoded");
                assert!(format!("{bytes:?}").starts_with("Encoded("));
            }
            Ok(Step::Wait(wait)) => {
                if let Some((_, source)) = wait.failure() {
                    texts.add(format_args!("{}", ErrorText(source)));
                }
            }
            _ => {}
        }
    }

    /// Exports the token. The first time, checks which sessions accept it.
    fn export(&mut self) {
        let (at, _) = self.world.moment();
        let token = self.session.access_token();
        let expected = self.model.token().map(|(text, _)| text);
        assert_eq!(token.as_ref().map(Secret::expose), expected);
        let exported = self.session.export_token(at);
        let base = self.world.base.as_str();
        let expected = self.model.token().and_then(|(text, until)| {
            // In whole seconds, as it is restored.
            let until = Duration::from_secs(until.as_secs());
            let seconds = until.as_secs();
            (self.world.now < until).then(|| {
                format!("atlas-model-keys token 1\n{base}\n{CLIENT_ID}\n{seconds}\n{text}\n")
            })
        });
        assert_eq!(
            exported.as_ref().map(Secret::expose),
            expected.as_deref(),
            "the exported token"
        );
        let Some(exported) = exported else { return };
        if self.exports.is_empty() {
            self.check_export(&exported, at);
        }
        if self.exports.len() < 4 {
            self.exports.push(exported);
        }
    }

    fn check_export(&mut self, exported: &Secret, at: Moment) {
        assert_eq!(format!("{exported:?}"), "[redacted]");
        let limits = &self.world.limits;
        let session = |base: &BaseUrl, credentials| {
            Session::new(base.clone(), credentials).with_limits(limits.clone())
        };
        let base = &self.world.base;
        let own = || credentials(CredentialType::ServiceAccount);
        let mut same = session(base, own());
        same.restore_token(exported, at)
            .expect("an equal session accepts the token");
        let list = ListRequest::new(group(0));
        let Ok(Step::Send(exchange)) = same.start::<Vec<u8>>(&list, at) else {
            panic!("a session with a token sends at once");
        };
        let bearer = exchange.request.headers()[AUTHORIZATION].to_str();
        let bearer = bearer.expect("a token is ASCII").strip_prefix("Bearer ");
        let token = self.model.token().map(|(text, _)| text);
        assert_eq!(bearer, token);
        let token = token.expect("it was exported");
        for (revoked, is_own) in [(format!("{token}-2"), false), (token.to_owned(), true)] {
            let request = same.revoke(&Secret::new(revoked.as_str()));
            let request = request.expect("a service account revokes tokens");
            requests::assert_revokes(&self.world, &request, &revoked);
            assert_eq!(same.access_token().is_none(), is_own);
        }
        assert!(same.revoke_token().is_none());
        let evil = BaseUrl::new("https://evil.example").expect("a valid base URL");
        let other = Credentials::service_account("mdb_sa_id_2", CLIENT_SECRET);
        let others = [
            session(&evil, own()),
            session(base, other.expect("the credentials are valid")),
            session(base, credentials(CredentialType::Bearer)),
        ];
        for mut session in others {
            let error = session
                .restore_token(exported, at)
                .expect_err("another session rejects the token");
            self.world.texts.add(format_args!("{error} {error:?}"));
        }
        let mut bearer = session(base, credentials(CredentialType::Bearer));
        let error = bearer.revoke(&Secret::new(token));
        let error = error.expect_err("a bearer token is not revoked");
        self.world.texts.add(format_args!("{error} {error:?}"));
    }

    /// Restores an exported token, which `how` selects and may change in one line, or the text.
    fn restore(&mut self, how: u8, text: &str) {
        let exported = self.exports.get(usize::from(how) % 4);
        let token = match (exported.map(Secret::expose), how >> 2) {
            (None, _) => text.to_owned(),
            (Some(exported), 0) => exported.to_owned(),
            (Some(exported), n) => {
                let mut lines: Vec<&str> = exported.lines().collect();
                let changed = usize::from(n) % lines.len();
                lines[changed] = text;
                lines.join("\n")
            }
        };
        let (at, _) = self.world.moment();
        let expected = self.restored(&token);
        self.record(|| Call::Restore {
            token: token.clone(),
            at,
        });
        self.record_outcome(|| Outcome::Restored(expected.is_some()));
        match self.session.restore_token(&Secret::new(token.as_str()), at) {
            Ok(()) => {
                let (token, until) = expected.expect("this token must be rejected");
                self.model.restore(token.to_owned(), until, self.world.now);
                self.world.token_arrived(token);
            }
            Err(error) => {
                assert!(expected.is_none(), "this token must be accepted: {error}");
                self.world.texts.add(format_args!("{error} {error:?}"));
            }
        }
    }

    /// Returns the token in an exported text and its end, if the session must accept it.
    fn restored<'t>(&self, exported: &'t str) -> Option<(&'t str, Duration)> {
        let lines: Vec<&str> = exported.lines().collect();
        let [title, base, id, until, token] = lines[..] else {
            return None;
        };
        let until = Duration::from_secs(until.parse().ok()?);
        let is_accepted = self.world.credential == CredentialType::ServiceAccount
            && title == "atlas-model-keys token 1"
            && base == self.world.base.as_str()
            && id == CLIENT_ID
            && (1..=self.world.settings.token_bytes).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_graphic())
            && until > self.world.now;
        is_accepted.then_some((token, until))
    }

    fn revoke(&mut self, response: &ServerResponse) {
        let (at, _) = self.world.moment();
        let request = self.session.revoke_token();
        let expected = self.model.revoke();
        self.record(|| Call::RevokeToken);
        self.record_outcome(|| Outcome::Revokes(request.is_some()));
        assert_eq!(request.is_some(), expected.is_some(), "a token to revoke");
        let (Some(request), Some(token)) = (request, expected) else {
            return;
        };
        self.world.texts.add(format_args!("{request:?}"));
        requests::assert_revokes(&self.world, &request, &token);
        match self.session.revoked(&response.response, at) {
            Ok(()) => assert!(response.response.status().is_success()),
            Err(error) => {
                self.world.assert_error(&error, response.repeats_secrets);
                match &error {
                    Error::Api(api_error) => assert_eq!(api_error.endpoint, Endpoint::Revocation),
                    error => assert!(matches!(error, Error::Limit { .. })),
                }
            }
        }
    }

    /// Checks that another session rejects a ticket.
    fn pass_to_another_session(&mut self, slot: usize) {
        let (at, _) = self.world.moment();
        let Some(InProgress { ticket, .. }) = self.take(slot) else {
            return;
        };
        let credentials = credentials(self.world.credential);
        let mut other = Session::new(BaseUrl::default(), credentials);
        let next: StepResult = match ticket {
            Ticket::Wait(wait) => other.resume(wait, at),
            Ticket::Pending {
                pending,
                is_token: true,
                ..
            } => other.fail(pending, self.world.failure(FailureKind::NotSent), at),
            Ticket::Pending { pending, .. } => {
                other.respond(pending, Response::new(PAGE_BODY.to_vec()), at)
            }
        };
        let error = next.expect_err("another session rejects the ticket");
        assert!(matches!(error, Error::Invalid(_)));
        self.world.assert_error(&error, false);
    }

    /// Ends all exchanges with refusals only: each slot always receives the same status.
    fn drain(&mut self) {
        for (slot, status) in (0..).zip([401, 503, 429, 406]) {
            for steps in 0.. {
                assert!(
                    steps < 500 || self.has_chosen_limits,
                    "the exchange does not end"
                );
                match &self.slots[slot] {
                    None => break,
                    // Chosen limits may allow any number of attempts.
                    Some(_) if self.has_chosen_limits && steps >= 20 => drop(self.take(slot)),
                    Some(InProgress {
                        ticket: Ticket::Wait(wait),
                        ..
                    }) => {
                        self.world.now = self.world.now.saturating_add(wait.delay());
                        self.resume(slot);
                    }
                    // In half of the slots, token requests succeed.
                    Some(InProgress {
                        ticket: Ticket::Pending { is_token: true, .. },
                        ..
                    }) if slot < 2 => {
                        self.respond_like_atlas(slot);
                    }
                    Some(_) => {
                        let stale = r#"Digest realm="r", nonce="s", qop="auth", stale=true"#;
                        let response = world::challenge(status, stale);
                        self.respond(slot, ServerResponse::new(response));
                    }
                }
                self.check_session();
            }
        }
    }

    /// Checks that an ordinary exchange of an operation succeeds after an hour.
    fn recover(&mut self, operation: usize) {
        self.world.now = self.world.now.saturating_add(Duration::from_secs(3600));
        let flags = u8::try_from(operation).expect("few operations") << OPERATION_SHIFT;
        let scope = AnyRequest::new(flags).scope();
        let results = self.results;
        self.start(0, flags);
        // The session knows the time from the clock only. If that was set back, it can show the time of a pause again, and
        // the pause holds again. Nothing else may keep the exchange from sending.
        while !self.is_in_flight(0)
            && let Some(end) = self.end_of_pause(scope)
        {
            self.world.now = end;
            self.start(0, flags);
        }
        for _ in 0..3 {
            let is_waiting = self.slots[0].is_some() && !self.is_in_flight(0);
            assert!(!is_waiting, "there is nothing to wait for");
            self.respond_like_atlas(0);
        }
        assert!(self.slots[0].is_none(), "the exchange does not end");
        let is_done = self.results > results;
        assert!(is_done || self.has_chosen_limits, "the exchange fails");
    }

    /// Returns whether a request of the exchange in a slot is in flight.
    fn is_in_flight(&self, slot: usize) -> bool {
        let ticket = self.slots[slot].as_ref().map(|taken| &taken.ticket);
        matches!(ticket, Some(Ticket::Pending { .. }))
    }

    /// Returns the latest end of a pause of the scope that may hold, by what the clock shows.
    fn end_of_pause(&self, scope: u8) -> Option<Duration> {
        let limited = self.rate_limited.iter();
        let began = limited.filter(|(of, began)| *of == scope && *began <= self.world.now);
        let latest = began.map(|(_, began)| *began).max()?;
        let end = latest.saturating_add(LONGEST_PAUSE);
        (self.world.now < end).then_some(end)
    }
}
