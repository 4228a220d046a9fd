//! With any responses, failures and waits in any order, an exchange ends within its limits, its credentials go only to
//! the base URL, and no secret is shown.
//!
//! **Input**: a byte for the credential (a bearer token, a service account or an API key), one for the base URL (from
//! [`BASES`]), one for the flags [`PINNED_VERSION`], [`SMALL_LIMITS`], [`SINGLE_ATTEMPT`], [`NO_RETRY_STATUSES`] and
//! [`WAITS_OUT_RATE_LIMITS`]; then actions until the end of the input, each a byte (see [`ActionCode`]) and its
//! arguments. Up to four exchanges are in progress at the same time, each in a slot, and each for any of the five
//! operations. A response is
//!
//! - a byte for the status (from [`STATUSES`]);
//! - a byte for the number of headers; for each a byte for its name (from [`HEADERS`]), and one for its value (from those
//!   of the name), where a byte beyond the values is followed by a short text;
//! - a byte for the type of the body (see [`BodyType`]) and its arguments.
//!
//! **Properties**
//!
//! - An exchange ends within a number of requests that follows from its attempts. Each retry wait is within
//!   [`RetryPolicy::wait`](atlas_model_keys_core::RetryPolicy) and their sum within `total_wait`; so is the sum of
//!   the waits for other exchanges.
//! - Only a 200 is a result. With any other status, the status counts, even if the body is too long.
//! - A policy that waits out rate limits gives up after a 429 only if the wait would be too long.
//! - After a 406 or 410, an exchange changes the version at most once, to the next one of its operation, and never if a
//!   version is pinned. No other operation changes its version. A token request that may have issued a token (it is lost,
//!   or its response has a status of 500 or more, but not 503) is repeated at most once. A permanent failure and the
//!   caller's deadline are not retried.
//! - After a 401, an exchange requests another token at most once; with a bearer token it ends.
//! - Every request goes to the base URL, and is that of the exchange's operation, a token request or a revocation. It has
//!   the right credential, marked sensitive: the bearer token, an issued token, or a digest whose nonce and count were
//!   never sent before. One exchange at a time fetches a token; another takes over when it is silent for a minute.
//! - After `RateLimit-Remaining`, no more requests of the scope (a group, an organization, or neither) are in flight than
//!   remain; a request that takes longer than a minute is no longer counted.
//! - No retry is sent before `Retry-After` has passed, and no request of a scope before the delay of a 429 has passed.
//!   Requests of other scopes are not delayed. The session's longest pause covers that of every scope, and is at most
//!   five minutes.
//! - An exchange that is given up returns the error that caused its last retry, or otherwise the transport's error.
//! - No error (`Display`, `Debug`, sources) and no `Debug` of a session, step, ticket, request or reply shows a secret,
//!   even if a server repeats it: as a whole or its beginning, plain or percent-encoded.
//! - Another session rejects a ticket, and also an exported token, unless it has the same base URL and client id.
//! - At the end, after all exchanges have ended and time has passed, an ordinary exchange of each operation succeeds.
//!
//! The files import each other in one direction: `input` ← `operations` ← `world` ← `rules` ← this one, which drives
//! the session.

use std::time::Duration;

use atlas_model_keys_core::{
    BaseUrl, Credentials, Endpoint, Error, Exchange, FailureKind, ListRequest, Moment, Pending,
    Secret, Session, Step, Wait,
};
use http::header::AUTHORIZATION;
use http::{Method, Response};

mod operations;
mod rules;
mod world;

pub use crate::generators::session::{
    ACTION_CODES, ActionCode, BASES, BODY_TYPES, BodyType, ENVELOPE, HEADERS, NO_RETRY_STATUSES,
    OPERATION_SHIFT, OPERATIONS, OTHER_GROUP, PINNED_VERSION, SINGLE_ATTEMPT, SMALL_LIMITS,
    STATUSES, TOKEN_LIFETIMES, UNITS, WAITS_OUT_RATE_LIMITS,
};

use crate::generators::session::{
    Action, CLIENT_ID, CLIENT_SECRET, CredentialType, Input, PAGE_BODY, ServerResponse,
};
use crate::oracles::shown;
use operations::{AnyRequest, StepResult, group};
use rules::{ResponseFacts, Rules, TrackedExchange};
use world::{World, credentials};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = crate::generators::bytes::read::<Input>(bytes) else {
        return;
    };
    let mut driver = Driver::new(World::new(input.credential, input.base, input.flags));
    for action in input.actions {
        driver.apply(action);
    }
    driver.drain();
    driver.recover();
}

/// A ticket of the session.
enum Ticket {
    Pending {
        pending: Pending,
        is_token: bool,
        is_signed: bool,
    },
    /// A wait, and when it began.
    Wait(Wait, Duration),
}

type Slots = [Option<(TrackedExchange, Ticket)>; 4];

/// Returns the exchanges in the slots.
fn exchanges(slots: &Slots) -> impl Iterator<Item = &TrackedExchange> {
    slots.iter().flatten().map(|(exchange, _)| exchange)
}

/// The session under test and everything that it is checked against.
struct Driver {
    session: Session,
    world: World,
    rules: Rules,
    slots: Slots,
    exchanges_started: u32,
    exports: Vec<Secret>,
}

impl Driver {
    fn new(world: World) -> Self {
        Self {
            session: world.session(),
            rules: Rules::new(&world),
            world,
            slots: [const { None }; 4],
            exchanges_started: 0,
            exports: Vec::new(),
        }
    }

    fn apply(&mut self, action: Action) {
        let at = self.world.moment();
        match action {
            Action::Start { slot, flags } => self.start(slot, flags, at),
            Action::Respond { slot, response } => self.respond(slot, response),
            Action::Friendly { slot } => self.respond_like_atlas(slot),
            Action::Fail { slot, kind } => self.fail(slot, kind, at),
            Action::Resume { slot } => self.resume(slot),
            Action::Drop { slot } => drop(self.take(slot)),
            Action::GiveUp { slot } => self.give_up(slot),
            Action::Clock { by, unit } => {
                self.world.move_clock(by, unit);
                self.rules.clock_moved(self.world.now);
            }
            Action::Export => self.export(at),
            Action::Restore { how, text } => self.restore(how, &text, at),
            Action::Revoke { response } => self.revoke(&response, at),
            Action::Foreign { slot } => self.pass_to_another_session(slot, at),
        }
        self.rules.check_session(&self.world, &self.session);
    }

    /// Takes the exchange in a slot, which ends it.
    fn take(&mut self, slot: usize) -> Option<(TrackedExchange, Ticket)> {
        let taken = self.slots[slot].take();
        if let Some((exchange, _)) = &taken {
            self.rules.exchange_ended(exchange.id);
        }
        taken
    }

    /// Takes the exchange in a slot if its request is in flight. Returns also whether that is a token request.
    fn take_pending(&mut self, slot: usize) -> Option<(TrackedExchange, Pending, bool)> {
        let place = &mut self.slots[slot];
        match place.take_if(|(_, ticket)| matches!(ticket, Ticket::Pending { .. }))? {
            (
                exchange,
                Ticket::Pending {
                    pending, is_token, ..
                },
            ) => Some((exchange, pending, is_token)),
            (_, Ticket::Wait(..)) => None,
        }
    }

    fn start(&mut self, slot: usize, flags: u8, at: Moment) {
        let request = AnyRequest::new(flags);
        // The exchange that was in the slot is cancelled.
        drop(self.take(slot));
        let next = request.start(&mut self.session, at);
        self.rules.check_start(&request, &next);
        self.exchanges_started += 1;
        let exchange = TrackedExchange::new(self.exchanges_started, request);
        self.proceed(slot, exchange, next, true);
    }

    fn respond_like_atlas(&mut self, slot: usize) {
        if let Some((
            exchange,
            Ticket::Pending {
                is_token,
                is_signed,
                ..
            },
        )) = &self.slots[slot]
        {
            let request = &exchange.request;
            let response = self.world.atlas_response(request, *is_token, *is_signed);
            self.respond(slot, ServerResponse::new(response));
        }
    }

    fn respond(&mut self, slot: usize, response: ServerResponse) {
        let at = self.world.moment();
        let Some((mut exchange, pending, is_token)) = self.take_pending(slot) else {
            return;
        };
        let repeats_secrets = response.repeats_secrets;
        let response = self.world.response(response);
        let facts = ResponseFacts::new(&response, is_token);
        let next = self.session.respond(pending, response, at);
        self.rules
            .check_versions(&self.world, &self.session, &exchange.request, &facts, &next);
        let others = self.slots.iter_mut().flatten().map(|(other, _)| other);
        self.rules
            .check_response(&mut self.world, &mut exchange, others, facts, &next);
        if let Err(error) = &next {
            rules::assert_error(&self.world, error, repeats_secrets);
        }
        // A challenge is answered at once, even if the scope is held back.
        let is_rate_limited = self.world.credential != CredentialType::ApiKey;
        self.proceed(slot, exchange, next, is_rate_limited);
    }

    fn fail(&mut self, slot: usize, kind: FailureKind, at: Moment) {
        let Some((mut exchange, pending, is_token)) = self.take_pending(slot) else {
            return;
        };
        let failure = self.world.failure(kind);
        let next = self.session.fail(pending, failure, at);
        let is_final = matches!(kind, FailureKind::TimedOut | FailureKind::Permanent);
        assert!(next.is_err() || !is_final);
        if next.is_ok() && is_token && kind == FailureKind::Lost {
            exchange.token_may_be_lost();
        }
        self.proceed(slot, exchange, next, true);
    }

    fn resume(&mut self, slot: usize) {
        let at = self.world.moment();
        let place = &mut self.slots[slot];
        match place.take() {
            Some((mut exchange, Ticket::Wait(wait, since))) => {
                if wait.on_change() {
                    let least = Duration::from_millis(1);
                    let waited = self.world.now.saturating_sub(since);
                    exchange.follow_wait += waited.clamp(least, wait.delay());
                }
                let next = self.session.resume(wait, at);
                self.proceed(slot, exchange, next, true);
            }
            other => *place = other,
        }
    }

    fn give_up(&mut self, slot: usize) {
        let assert_error = rules::assert_give_up_error;
        match self.take(slot) {
            Some((exchange, Ticket::Wait(wait, _))) => {
                let error = wait.give_up();
                let cause = exchange.retry_cause;
                assert_error(&self.world, &error, cause, FailureKind::TimedOut);
            }
            Some((exchange, Ticket::Pending { pending, .. })) => {
                let lost = || self.world.failure(FailureKind::Lost);
                let error = self.session.give_up(pending, lost());
                let cause = exchange.retry_cause;
                assert_error(&self.world, &error, cause, FailureKind::Lost);
                let error = self.session.transport_error(lost(), 1);
                assert_error(&self.world, &error, None, FailureKind::Lost);
            }
            None => {}
        }
    }

    /// Checks the next step of an exchange, and keeps its ticket.
    fn proceed(
        &mut self,
        slot: usize,
        mut exchange: TrackedExchange,
        next: StepResult,
        is_rate_limited: bool,
    ) {
        let step = match next {
            Ok(step) => step,
            Err(error) => {
                self.rules.exchange_ended(exchange.id);
                return rules::assert_error(&self.world, &error, false);
            }
        };
        shown::assert_debug_has_no_secret(&step, self.world.secrets());
        let others = exchanges(&self.slots);
        let ticket = match step {
            Step::Send(Exchange { request, pending }) => {
                let expected = &exchange.request;
                let is_token = rules::check_request(&mut self.world, &request, expected);
                assert_eq!(pending.is_for_token(), is_token);
                let attempts = exchange.most_attempts(&self.world);
                assert!((1..=attempts).contains(&pending.attempt()));
                self.rules.request_sent(
                    &self.world,
                    &mut exchange,
                    others,
                    is_token,
                    is_rate_limited,
                );
                Ticket::Pending {
                    pending,
                    is_token,
                    is_signed: request.headers().contains_key(AUTHORIZATION),
                }
            }
            Step::Wait(wait) => {
                self.rules
                    .check_wait(&self.world, &mut exchange, others, &wait);
                Ticket::Wait(wait, self.world.now)
            }
            Step::Done(reply) => {
                self.rules.exchange_ended(exchange.id);
                return rules::check_reply(&self.world, &exchange.request, reply);
            }
        };
        self.slots[slot] = Some((exchange, ticket));
    }

    /// Exports the token, and checks which sessions accept it.
    fn export(&mut self, at: Moment) {
        let Some(exported) = self.session.export_token(at) else {
            return;
        };
        assert_eq!(format!("{exported:?}"), "[redacted]");
        let session = |base: &str, credentials| {
            let base = BaseUrl::new(base).expect("a valid base URL");
            Session::new(base, credentials).with_limits(self.world.limits.clone())
        };
        let base = self.world.base.as_str();
        let mut same = session(base, credentials(CredentialType::ServiceAccount));
        same.restore_token(&exported, at)
            .expect("an equal session accepts the token");
        let list = ListRequest::new(group(0));
        let Ok(Step::Send(exchange)) = same.start::<Vec<u8>>(&list, at) else {
            panic!("a session with a token sends at once");
        };
        let bearer = exchange.request.headers()[AUTHORIZATION]
            .to_str()
            .expect("a token is ASCII");
        assert_eq!(
            Some(bearer.strip_prefix("Bearer ").expect("a bearer token")),
            self.world.newest_token()
        );
        let other = Credentials::service_account("mdb_sa_id_2", CLIENT_SECRET);
        let others = [
            session(
                "https://evil.example",
                credentials(CredentialType::ServiceAccount),
            ),
            session(base, other.expect("the credentials are valid")),
            session(base, credentials(CredentialType::Bearer)),
        ];
        for mut session in others {
            let error = session
                .restore_token(&exported, at)
                .expect_err("another session rejects the token");
            shown::assert_no_secret(&format!("{error} {error:?}"), self.world.secrets());
        }
        if self.exports.len() < 4 {
            self.exports.push(exported);
        }
    }

    /// Restores an exported token, which `how` selects and may change in one line, or the text.
    fn restore(&mut self, how: u8, text: &str, at: Moment) {
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
        match self.session.restore_token(&Secret::new(token.as_str()), at) {
            Ok(()) => {
                let lines: Vec<&str> = token.lines().collect();
                assert_eq!(self.world.credential, CredentialType::ServiceAccount);
                assert_eq!(lines[1..3], [self.world.base.as_str(), CLIENT_ID]);
                let until: u64 = lines[3].parse().expect("the end of the lifetime");
                assert!(Duration::from_secs(until) > self.world.now);
                let token = lines[4];
                assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
                self.world.token_arrived(token.to_owned());
                self.rules.token_was_replaced = true;
            }
            Err(error) => {
                shown::assert_no_secret(&format!("{error} {error:?}"), self.world.secrets());
            }
        }
    }

    fn revoke(&mut self, response: &ServerResponse, at: Moment) {
        let Some(request) = self.session.revoke_token() else {
            return;
        };
        self.rules.token_was_replaced = true;
        shown::assert_debug_has_no_secret(&request, self.world.secrets());
        assert_eq!(request.method(), Method::POST);
        let uri = format!("{}/api/oauth/revoke", self.world.base);
        assert_eq!(request.uri().to_string(), uri);
        let value = &request.headers()[AUTHORIZATION];
        assert!(value.is_sensitive());
        rules::assert_basic(value.to_str().ok());
        let form: Vec<_> = url::form_urlencoded::parse(request.body().as_bytes()).collect();
        // The current one, or one that was replaced after a 401.
        let (name, token) = &form[0];
        assert_eq!(name, "token");
        assert!(self.world.has_issued(token), "{token}");
        assert_eq!(form[1], ("token_type_hint".into(), "access_token".into()));
        assert_eq!(form.len(), 2);
        assert!(self.session.export_token(at).is_none());
        match self.session.revoked(&response.response, at) {
            Ok(()) => assert!(response.response.status().is_success()),
            Err(error) => {
                rules::assert_error(&self.world, &error, response.repeats_secrets);
                match &error {
                    Error::Api(api_error) => assert_eq!(api_error.endpoint, Endpoint::Revocation),
                    error => assert!(matches!(error, Error::Limit { .. })),
                }
            }
        }
    }

    /// Checks that another session rejects a ticket.
    fn pass_to_another_session(&mut self, slot: usize, at: Moment) {
        let Some((_, ticket)) = self.take(slot) else {
            return;
        };
        let credentials = credentials(self.world.credential);
        let mut other = Session::new(BaseUrl::default(), credentials);
        let next: StepResult = match ticket {
            Ticket::Wait(wait, _) => other.resume(wait, at),
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
        rules::assert_error(&self.world, &error, false);
    }

    /// Ends all exchanges with refusals only: each slot always receives the same status.
    fn drain(&mut self) {
        for (slot, status) in (0..).zip([401, 503, 429, 406]) {
            for steps in 0.. {
                assert!(steps < 500, "the exchange does not end");
                match &self.slots[slot] {
                    None => break,
                    Some((_, Ticket::Wait(wait, _))) => {
                        self.world.now = self.world.now.saturating_add(wait.delay());
                        self.resume(slot);
                    }
                    // In half of the slots, token requests succeed.
                    Some((_, Ticket::Pending { is_token: true, .. })) if slot < 2 => {
                        self.apply(Action::Friendly { slot });
                    }
                    Some(_) => {
                        let stale = r#"Digest realm="r", nonce="s", qop="auth", stale=true"#;
                        let response = world::challenge(status, stale);
                        self.respond(slot, ServerResponse::new(response));
                        self.rules.check_session(&self.world, &self.session);
                    }
                }
            }
        }
    }

    /// Checks that an ordinary exchange of each operation succeeds after an hour.
    fn recover(&mut self) {
        self.world.now = self.world.now.saturating_add(Duration::from_secs(3600));
        for operation in (0..).take(OPERATIONS.len()) {
            self.succeed(operation << OPERATION_SHIFT);
        }
    }

    /// Checks that an exchange with these flags succeeds.
    fn succeed(&mut self, flags: u8) {
        self.apply(Action::Start { slot: 0, flags });
        for _ in 0..10 {
            match &self.slots[0] {
                None => break,
                Some((_, Ticket::Wait(wait, _))) => {
                    panic!("there is nothing to wait for: {wait:?}")
                }
                Some((_, Ticket::Pending { is_signed, .. })) => {
                    let is_signed = *is_signed;
                    let (exchange, pending, is_token) =
                        self.take_pending(0).expect("a request is in flight");
                    let request = &exchange.request;
                    let response = self.world.atlas_response(request, is_token, is_signed);
                    if is_token {
                        let token = self.world.fresh_token();
                        self.world.token_arrived(token);
                        self.rules.token_fetched();
                    }
                    let at = self.world.moment();
                    let next = self.session.respond(pending, response, at);
                    assert!(next.is_ok(), "{next:?}");
                    let is_done = matches!(next, Ok(Step::Done(_)));
                    self.proceed(0, exchange, next, false);
                    if is_done {
                        return;
                    }
                }
            }
        }
        panic!("the exchange does not end");
    }
}
