//! The rules that must hold, and the facts about exchanges and responses that they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, Body, Error, FailureKind, Moment, Reply, Session, Step, Wait, wire,
};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::operations::{AnyRequest, Scope, StepResult, current_versions, first_versions};
use super::world::World;
use crate::generators::session::{
    BASIC_CREDENTIALS, BEARER, CredentialType, HEADERS, OPERATIONS, percent_encoded, secrets_of,
};
use crate::oracles::shown;
use crate::targets::{challenge, dates};

const MINUTE: Duration = Duration::from_secs(60);
/// The longest pause after a 429.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The reason for a retry: a status or a failure.
type RetryCause = Result<StatusCode, FailureKind>;

/// An exchange in progress.
pub(super) struct TrackedExchange {
    /// A unique number.
    pub(super) id: u32,
    pub(super) request: AnyRequest,
    requests_sent: u32,
    /// The number of responses with status 429.
    rate_limits: u32,
    /// The sum of all retry waits.
    retry_wait: Duration,
    /// The sum of all waits for other exchanges.
    pub(super) follow_wait: Duration,
    /// Whether it counts as one of the scope's remaining requests, and whether it was ever counted.
    is_counted: bool,
    was_counted: bool,
    /// Whether the session may count it, as far as the rules can tell.
    may_be_counted: bool,
    /// Whether it requested another token after a 401.
    has_renewed_token: bool,
    /// Whether it requested another version after a 406 or 410.
    has_changed_version: bool,
    /// Whether one of its token requests may have issued a token that never arrived.
    has_lost_token: bool,
    is_fetching_token: bool,
    pub(super) retry_cause: Option<RetryCause>,
}

impl TrackedExchange {
    pub(super) fn new(id: u32, request: AnyRequest) -> Self {
        Self {
            id,
            request,
            requests_sent: 0,
            rate_limits: 0,
            retry_wait: Duration::ZERO,
            follow_wait: Duration::ZERO,
            is_counted: false,
            was_counted: false,
            may_be_counted: false,
            has_renewed_token: false,
            has_changed_version: false,
            has_lost_token: false,
            is_fetching_token: false,
            retry_cause: None,
        }
    }

    /// Returns the largest number of attempts of a request.
    pub(super) fn most_attempts(&self, world: &World) -> u32 {
        let retry = &world.limits.retry;
        let uncounted = if retry.waits_out_rate_limits {
            self.rate_limits
        } else {
            0
        };
        retry.attempts + uncounted
    }

    /// Records that a token request may have issued a token that never arrived. The session may then repeat the token
    /// request, but only once, because Atlas allows 100 valid tokens at a time.
    pub(super) fn token_may_be_lost(&mut self) {
        assert!(
            !self.has_lost_token,
            "a second token may have been issued and lost"
        );
        self.has_lost_token = true;
    }
}

/// The facts about a response that the rules depend on.
pub(super) struct ResponseFacts {
    is_token: bool,
    status: StatusCode,
    /// The seconds of `Retry-After`.
    retry_after: Option<u64>,
    /// The delay of `Retry-After`, as seconds or as a date together with `Date`.
    delay: Option<Duration>,
    /// Whether there is a `Retry-After`.
    has_retry_after: bool,
    /// The number of `RateLimit-Remaining`.
    remaining: Option<u64>,
    /// The token that the response issues.
    token: Option<String>,
}

impl ResponseFacts {
    pub(super) fn new(response: &Response<Vec<u8>>, is_token: bool) -> Self {
        let text = |name: &str| response.headers().get(name)?.to_str().ok();
        let retry_after = text("retry-after").and_then(|text| dates::parse_seconds(text.trim()));
        let [(_, [.., date]), (_, [sent, ..]), ..] = HEADERS else {
            unreachable!("the first headers are `Retry-After` and `Date`");
        };
        let is_date = text("retry-after") == Some(date) && text("date") == Some(sent);
        let issued_token = || {
            let body = serde_json::from_slice::<serde_json::Value>(response.body()).ok()?;
            Some(body.get("access_token")?.as_str()?.to_owned())
        };
        let issues_token = is_token && response.status() == 200;
        Self {
            is_token,
            status: response.status(),
            retry_after,
            delay: match is_date {
                true => Some(Duration::from_secs(20)),
                false => retry_after.map(Duration::from_secs),
            },
            has_retry_after: response.headers().contains_key("retry-after"),
            remaining: text("ratelimit-remaining").and_then(|text| text.trim().parse().ok()),
            token: issues_token.then(issued_token).flatten(),
        }
    }
}

/// A period of time.
#[derive(Clone, Copy)]
struct Period {
    since: Duration,
    until: Duration,
}

impl Period {
    fn new(since: Duration, length: Duration) -> Self {
        let until = since.saturating_add(length);
        Self { since, until }
    }

    fn contains(self, time: Duration) -> bool {
        self.since <= time && time < self.until
    }
}

/// The state that exchanges share.
pub(super) struct Rules {
    /// When a scope must not be called after a 429.
    held_back: BTreeMap<Scope, Period>,
    /// The scopes that may have received a 429, also in an envelope.
    rate_limited: BTreeSet<Scope>,
    /// The number of remaining requests of a scope, and the minute for which it is valid.
    remaining: BTreeMap<Scope, (Period, u64)>,
    /// The version that the session requests for each operation.
    versions: [ApiVersion; OPERATIONS.len()],
    /// The exchange that fetches a token, and how long the others wait for it.
    leader: Option<(u32, Period)>,
    /// Whether a token was restored or revoked. Then two exchanges may fetch a token at the same time.
    pub(super) token_was_replaced: bool,
}

impl Rules {
    pub(super) fn new(world: &World) -> Self {
        Self {
            held_back: BTreeMap::new(),
            rate_limited: BTreeSet::new(),
            remaining: BTreeMap::new(),
            versions: first_versions(world.pinned_version),
            leader: None,
            token_was_replaced: false,
        }
    }

    /// Checks what the session tells about itself.
    pub(super) fn check_session(&self, world: &World, session: &Session) {
        shown::assert_debug_has_no_secret(session, world.secrets());
        assert_eq!(*session.base(), world.base);
        assert_eq!(current_versions(session), self.versions);
        let pause = session.longest_pause(Moment::new(world.now, [0; 16]));
        assert!(pause.is_none_or(|pause| !pause.is_zero() && pause <= LONGEST_PAUSE));
        if !world.clock_was_set_back {
            let held_back = self.held_back.values();
            let until = held_back.filter(|p| p.contains(world.now)).map(|p| p.until);
            let known = until.max().map(|until| until - world.now);
            assert!(pause >= known, "{pause:?} is shorter than {known:?}");
        }
    }

    /// Checks that only the refused operation requests another version after a response, and records it.
    pub(super) fn check_versions(
        &mut self,
        world: &World,
        session: &Session,
        request: &AnyRequest,
        response: &ResponseFacts,
        next: &StepResult,
    ) {
        let versions = request.versions(world.pinned_version);
        let (first, last) = (versions[0], versions[versions.len() - 1]);
        let own = &mut self.versions[request.operation()];
        let current = current_versions(session)[request.operation()];
        let is_read = !response.is_token && !matches!(next, Err(Error::Limit { .. }));
        let is_refused = is_read && matches!(response.status.as_u16(), 406 | 410);
        // An envelope has a status of its own.
        let may_be_refused = is_read && response.status == 200 && request.is_enveloped();
        if is_refused || may_be_refused && current != *own {
            assert!(current == last && (*own == first || *own == last));
            *own = last;
        }
    }

    /// Forgets what was said after the current time: a clock that is set back ends it. A period that is over may have
    /// been replaced by a shorter one in the meantime, so it does not return with the clock.
    pub(super) fn clock_moved(&mut self, now: Duration) {
        self.held_back.retain(|_, period| period.contains(now));
        self.remaining.retain(|_, (period, _)| period.since <= now);
    }

    /// Checks the first step of an exchange: only a 429 of its scope makes it wait for a period.
    pub(super) fn check_start(&self, request: &AnyRequest, next: &StepResult) {
        if let Ok(Step::Wait(wait)) = next {
            assert!(wait.on_change() || self.rate_limited.contains(&request.scope()));
        }
    }

    /// Records the end of an exchange. If it was fetching a token, another one may fetch it.
    pub(super) fn exchange_ended(&mut self, id: u32) {
        self.leader = self.leader.filter(|(leader, _)| *leader != id);
    }

    /// Records that a token arrived, so that no exchange fetches one.
    pub(super) fn token_fetched(&mut self) {
        self.leader = None;
    }

    /// Checks the step after a response, and records what the response said.
    pub(super) fn check_response<'a>(
        &mut self,
        world: &mut World,
        exchange: &mut TrackedExchange,
        others: impl Iterator<Item = &'a mut TrackedExchange>,
        response: ResponseFacts,
        next: &StepResult,
    ) {
        let (status, is_token) = (response.status, response.is_token);
        exchange.rate_limits += u32::from(status == 429);
        // A body that is too large or not a token has no effect.
        let is_limit = matches!(next, Err(Error::Limit { .. }));
        let is_read = !is_limit && !matches!(next, Err(Error::InvalidResponse(_)));
        if let Some(token) = response.token.filter(|_| is_read) {
            assert!(token.len() <= world.limits.token_bytes);
            assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
            world.token_arrived(token);
            self.token_fetched();
        }
        if !is_token {
            let request = &exchange.request;
            if status == 429 || request.is_enveloped() {
                self.rate_limited.insert(request.scope());
            }
            // A status that is not retried holds nothing back.
            let is_retried = status == 429 && !world.limits.retry.statuses.is_empty();
            let is_held_back = is_read && is_retried && !exchange.request.is_enveloped();
            if let Some(seconds) = response.retry_after.filter(|_| is_held_back) {
                self.hold_back(exchange.request.scope(), world.now, seconds);
            }
            if let Some(remaining) = response.remaining.filter(|_| !is_limit) {
                self.set_remaining(world.now, remaining, exchange, others);
            }
        }
        let retry = &world.limits.retry;
        if let Err(error) = next
            && !is_limit
            && status == 429
            && retry.waits_out_rate_limits
            && !retry.statuses.is_empty()
        {
            assert!(matches!(error, Error::RateLimited { .. }), "{error:?}");
            let waited = exchange.retry_wait + exchange.follow_wait;
            let longest = retry.total_wait.saturating_sub(waited).min(retry.wait);
            let is_too_long = match response.delay {
                Some(delay) => delay > longest,
                // The rules do not know every date.
                None => response.has_retry_after,
            };
            assert!(
                is_too_long || longest.is_zero(),
                "a rate limit was not waited out: {error:?}"
            );
        }
        if let Err(Error::Limit { what, .. }) = next {
            // Only a 200 fails because its body is too long.
            assert!(status == 200 || what.contains("head"), "{status}: {what}");
        }
        let Ok(step) = next else { return };
        if is_token && status.as_u16() >= 500 && status != 503 {
            exchange.token_may_be_lost();
        }
        if status == 401 && !is_token && world.credential != CredentialType::ApiKey {
            // A bearer token cannot be renewed, and another token is renewed once.
            assert!(
                world.credential == CredentialType::ServiceAccount && !exchange.has_renewed_token,
                "a second token after a 401"
            );
            exchange.has_renewed_token = true;
        }
        if let (Some(delay), Step::Wait(wait)) = (response.delay, step)
            && matches!(status.as_u16(), 429 | 503)
        {
            assert!(
                wait.on_change() || wait.delay() >= delay,
                "the wait is shorter than Retry-After"
            );
        }
        if matches!(status.as_u16(), 406 | 410) && !is_token {
            assert!(
                exchange.request.versions(world.pinned_version).len() > 1
                    && !exchange.has_changed_version,
                "a second change of the version"
            );
            exchange.has_changed_version = true;
        }
    }

    fn hold_back(&mut self, scope: Scope, now: Duration, seconds: u64) {
        let mut period = Period::new(now, Duration::from_secs(seconds).min(LONGEST_PAUSE));
        if let Some(known) = self.held_back.get(&scope)
            && known.since <= now
        {
            period.until = period.until.max(known.until);
        }
        self.held_back.insert(scope, period);
    }

    fn set_remaining<'a>(
        &mut self,
        now: Duration,
        remaining: u64,
        exchange: &mut TrackedExchange,
        others: impl Iterator<Item = &'a mut TrackedExchange>,
    ) {
        let scope = exchange.request.scope();
        let period = Period::new(now, MINUTE);
        let known = self.remaining.insert(scope, (period, remaining));
        if !known.is_some_and(|(period, _)| period.contains(now)) {
            // Requests that are still in flight from before took too long to be counted.
            let stop_counting = |other: &mut TrackedExchange| {
                other.is_counted &= other.request.scope() != scope;
                other.may_be_counted &= other.request.scope() != scope;
            };
            stop_counting(exchange);
            others.for_each(stop_counting);
        }
    }

    /// Checks that an exchange may send a request, and records the request.
    pub(super) fn request_sent<'a>(
        &mut self,
        world: &World,
        exchange: &mut TrackedExchange,
        others: impl Iterator<Item = &'a TrackedExchange>,
        is_token: bool,
        is_rate_limited: bool,
    ) {
        exchange.is_fetching_token = is_token;
        exchange.may_be_counted |= !is_token;
        if is_token {
            self.check_leader(world.now, exchange.id);
        } else if is_rate_limited {
            let held_back = self.held_back.get(&exchange.request.scope());
            let is_held_back = held_back.is_some_and(|period| period.contains(world.now));
            assert!(!is_held_back, "a request of a scope that is held back");
            self.count(world.now, exchange, others);
        }
        exchange.requests_sent += 1;
        // Each attempt may need a token with attempts of its own, or a challenge and three answers.
        let attempts = exchange.most_attempts(world);
        let most = attempts * (attempts + 5) + 20;
        assert!(exchange.requests_sent <= most, "too many requests");
    }

    /// Checks that no other exchange is fetching a token, or has been silent for a minute.
    fn check_leader(&mut self, now: Duration, id: u32) {
        if let Some((leader, period)) = self.leader {
            let has_other = leader != id && period.contains(now);
            assert!(
                !has_other || self.token_was_replaced,
                "two exchanges fetch a token at the same time"
            );
        }
        self.leader = Some((id, Period::new(now, MINUTE)));
    }

    /// Checks that no more requests of a scope are in flight than remain for the current minute. One is always allowed.
    fn count<'a>(
        &self,
        now: Duration,
        exchange: &mut TrackedExchange,
        others: impl Iterator<Item = &'a TrackedExchange>,
    ) {
        let scope = exchange.request.scope();
        let Some((period, remaining)) = self.remaining.get(&scope) else {
            return;
        };
        // A large number is no limit. An exchange that was counted before is not counted again.
        if period.contains(now) && *remaining < 128 && !exchange.was_counted {
            let counted = others.filter(|other| other.is_counted && other.request.scope() == scope);
            assert!(
                (counted.count() as u64) < (*remaining).max(1),
                "more requests in flight than remain"
            );
            (exchange.is_counted, exchange.was_counted) = (true, true);
        }
    }

    /// Checks a wait, and records its cause.
    pub(super) fn check_wait<'a>(
        &mut self,
        world: &World,
        exchange: &mut TrackedExchange,
        others: impl Iterator<Item = &'a TrackedExchange>,
        wait: &Wait,
    ) {
        let retry = &world.limits.retry;
        let (api_error, failure) = (wait.api_error(), wait.failure());
        if let Some((kind, source)) = failure {
            assert!(matches!(kind, FailureKind::NotSent | FailureKind::Lost));
            shown::assert_no_secret(&shown::error_text(source), world.secrets());
        }
        if wait.on_change() {
            assert!(api_error.is_none() && failure.is_none());
            assert!(
                self.may_follow(world, exchange, others),
                "there is no other exchange to wait for"
            );
        } else {
            assert!(api_error.is_some() != failure.is_some());
            assert!(api_error.is_none_or(|api_error| api_error.status != 200));
            if let Some((leader, period)) = &mut self.leader
                && *leader == exchange.id
                && exchange.is_fetching_token
            {
                // The others expect it back after the wait, and then give it another minute.
                *period = Period::new(world.now, wait.delay() + MINUTE);
            }
            let status = api_error.map(|api_error| Ok(api_error.status));
            exchange.retry_cause = status.or(failure.map(|(kind, _)| Err(kind)));
            exchange.retry_wait += wait.delay();
            assert!(wait.delay() <= retry.wait);
            assert!(exchange.retry_wait <= retry.total_wait);
            (exchange.is_counted, exchange.was_counted) = (false, false);
            exchange.may_be_counted = false;
        }
        // After the last wait it looks once more.
        assert!(exchange.follow_wait <= retry.total_wait + Duration::from_secs(30));
    }

    /// Returns whether there is another exchange that this one may have to wait for.
    fn may_follow<'a>(
        &self,
        world: &World,
        exchange: &TrackedExchange,
        mut others: impl Iterator<Item = &'a TrackedExchange>,
    ) -> bool {
        let scope = exchange.request.scope();
        let has_leader = self
            .leader
            .is_some_and(|(leader, period)| leader != exchange.id && period.contains(world.now));
        let is_in_flight =
            |other: &TrackedExchange| other.may_be_counted && other.request.scope() == scope;
        let is_limited = self.remaining.contains_key(&scope) && others.any(is_in_flight);
        has_leader || is_limited || self.token_was_replaced || world.clock_was_set_back
    }
}

/// Checks a request of an exchange, and returns whether it is a token request.
pub(super) fn check_request(
    world: &mut World,
    request: &Request<Body>,
    expected: &AnyRequest,
) -> bool {
    shown::assert_debug_has_no_secret(request, world.secrets());
    let uri = request.uri().to_string();
    let headers = request.headers();
    let authorization = headers.get(AUTHORIZATION);
    assert!(authorization.is_none_or(HeaderValue::is_sensitive));
    assert_eq!(headers["user-agent"], "fuzz/1.0");
    let bytes = wire::encode(request).expect("the request can be encoded");
    assert!(format!("{bytes:?}").starts_with("Encoded("));
    let text = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if request.method() == Method::POST {
        assert_eq!(world.credential, CredentialType::ServiceAccount);
        assert_eq!(uri, format!("{}/api/oauth/token", world.base));
        assert_eq!(request.body().as_bytes(), b"grant_type=client_credentials");
        assert_basic(text.as_deref());
        return true;
    }
    assert_eq!(request.method(), Method::GET);
    assert!(request.body().is_empty());
    assert_eq!(uri, expected.uri(&world.base));
    let versions = expected.versions(world.pinned_version);
    let accept = &headers["accept"];
    assert!(versions.iter().any(|version| version.accept() == *accept));
    let names = ["accept", "user-agent", "authorization"];
    assert!(headers.keys().all(|name| names.contains(&name.as_str())));
    match (world.credential, text, authorization) {
        (CredentialType::Bearer, text, _) => assert_eq!(text, Some(format!("Bearer {BEARER}"))),
        (CredentialType::ServiceAccount, text, _) => {
            let text = text.expect("a service account's request has a token");
            let token = text.strip_prefix("Bearer ").expect("a bearer token");
            assert!(world.has_issued(token), "the token {token} was not issued");
        }
        (CredentialType::ApiKey, _, None) => {}
        (CredentialType::ApiKey, _, Some(digest)) => check_digest(world, digest),
    }
    false
}

pub(super) fn assert_basic(authorization: Option<&str>) {
    assert_eq!(
        authorization.and_then(|text| text.strip_prefix("Basic ")),
        Some(BASIC_CREDENTIALS.as_str())
    );
}

/// Checks that a nonce is sent with a count only once.
fn check_digest(world: &mut World, authorization: &HeaderValue) {
    let parameters = challenge::parameters(authorization.as_bytes());
    let get = |name: &str| {
        let named = parameters.iter().find(|(known, _)| known == name);
        named
            .map(|(_, value)| value.clone())
            .unwrap_or_else(|| panic!("{name} is missing"))
    };
    let is_new = world.digest_arrived(get("nonce"), get("nc"));
    // The session remembers the counts of 128 nonces.
    assert!(
        is_new || world.nonces_received() > 128,
        "a count was sent twice"
    );
}

/// Checks the reply of an exchange.
pub(super) fn check_reply(world: &World, request: &AnyRequest, reply: Reply<Vec<u8>>) {
    assert_eq!(reply.status(), 200);
    let version = reply.version().expect("a version was requested");
    let versions = request.versions(world.pinned_version);
    assert!(versions.contains(&version) || reply.headers().contains_key("content-type"));
    if let Err(error) = request.read(reply, &world.limits) {
        assert_error(world, &error, false);
    }
}

/// Asserts that an error is one line and shows no secret. If a response repeated all secrets, their ends are not shown
/// either.
pub(super) fn assert_error(world: &World, error: &Error, repeats_secrets: bool) {
    shown::assert_one_line(error);
    let text = shown::error_text(error);
    shown::assert_no_secret(&text, world.secrets());
    if repeats_secrets {
        for secret in secrets_of(world.credential) {
            for form in [percent_encoded(&secret), secret] {
                let end: String = form.chars().skip(form.chars().count() - 6).collect();
                assert!(!text.contains(&end), "the end of a secret is in {text}");
            }
        }
    }
}

/// Asserts that the error of an exchange that was given up is its retry cause, or else a failure of this kind.
pub(super) fn assert_give_up_error(
    world: &World,
    error: &Error,
    retry_cause: Option<RetryCause>,
    otherwise: FailureKind,
) {
    assert_error(world, error, false);
    let is_expected = match (error, retry_cause.unwrap_or(Err(otherwise))) {
        (Error::Transport { kind, .. }, Err(expected)) => *kind == expected,
        (error, Ok(status)) => error.status() == Some(status),
        _ => false,
    };
    assert!(is_expected, "{error:?}, but {retry_cause:?}");
}
