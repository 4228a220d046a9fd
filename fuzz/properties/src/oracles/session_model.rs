//! A reference model of a session: it says which step must come after each input.
//!
//! It is written from the rules in `docs/design.md` and in the documentation of `Session`, `RetryPolicy` and `Limits`, with
//! types of its own. It reads no bytes: the facts about a response are in [`Response`]. An exchange has a number.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An exchange that waits for another one checks by itself after this time.
const POLL: Duration = Duration::from_secs(30);
/// The least that a wait for another exchange, or for the end of a pause, counts, even if the clock stands still.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// The longest pause after a 429.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A token is renewed this long before its end, or a quarter of its life before it if that is less.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// A `RateLimit-Remaining` from this number on does not begin to limit a scope.
const AMPLE: u64 = 128;
/// The challenges that an attempt answers. All but the first must be stale.
const CHALLENGES: u32 = 3;
const IDLE_NONCES: usize = 64;
const REPLACED_TOKENS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Credential {
    Bearer,
    ServiceAccount,
    ApiKey,
}

/// The limits of the session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) attempts: u32,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
    pub(crate) wait: Duration,
    pub(crate) total_wait: Duration,
    pub(crate) statuses: Vec<RangeInclusive<u16>>,
    pub(crate) waits_out_rate_limits: bool,
    pub(crate) headers: usize,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) error_body_bytes: usize,
    pub(crate) token_bytes: usize,
    pub(crate) challenges: usize,
    pub(crate) challenge_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(40),
            wait: Duration::from_secs(90),
            total_wait: Duration::from_secs(180),
            statuses: vec![429..=429, 500..=999],
            waits_out_rate_limits: false,
            headers: 128,
            head_bytes: 64 << 10,
            body_bytes: 16 << 20,
            error_body_bytes: 64 << 10,
            token_bytes: 8 << 10,
            challenges: 16,
            challenge_bytes: 8 << 10,
        }
    }
}

/// The time, and a random number that stands for a part of a duration: of all of it, times `random` / 2³².
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) now: Duration,
    pub(crate) random: u32,
}

/// What an exchange asks for. Requests with an equal `scope` share a rate limit. Versions are numbered from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) operation: usize,
    pub(crate) scope: u8,
    pub(crate) versions: usize,
}

/// The facts about a response. `status` is that of the envelope if one was requested.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) http_status: u16,
    pub(crate) status: u16,
    pub(crate) headers: usize,
    pub(crate) head_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) remaining: Option<u64>,
    /// The code says that the credential is known but not allowed.
    pub(crate) is_not_allowed: bool,
    /// The code is `invalid_client`.
    pub(crate) is_invalid_client: bool,
    /// The nonce of the strongest challenge, and whether it replaces a stale one.
    pub(crate) challenge: Option<(Vec<u8>, bool)>,
    /// The token and its life, if the body is a valid token response, however long the token.
    pub(crate) token: Option<(String, Duration)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    NotSent,
    Lost,
    TimedOut,
    Permanent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refused {
    ServiceAccount,
    Token,
    ApiKey,
    Challenge,
    Nonce,
    NotAllowed,
}

/// Why an exchange waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Status(u16),
    Failure(Kind),
}

#[rustfmt::skip]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    Api { status: u16, is_token: bool },
    Authentication { refused: Refused, status: u16 },
    RateLimited { attempts: u32, wait: Duration },
    GaveUp { status: u16, attempts: u32, wait: Duration },
    Transport { kind: Kind, attempts: u32 },
    InvalidResponse,
    Limit(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Authorization {
    Unsigned,
    Caller,
    Token(String),
    Digest { nonce: Vec<u8>, count: u32 },
}

#[rustfmt::skip]
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    FetchToken { attempt: u32 },
    Send { version: usize, authorization: Authorization, attempt: u32 },
    /// Waits for another exchange.
    Follow { delay: Duration },
    Wait { delay: Duration, cause: Cause },
    Done { attempts: u32 },
    Fail(Failure),
}

/// A span of time that also ends when the clock is set back.
#[derive(Clone, Copy, Debug)]
struct Period(Duration, Duration);

impl Period {
    fn new(now: Duration, length: Duration) -> Self {
        Self(now, now.saturating_add(length))
    }

    fn left(self, now: Duration) -> Option<Duration> {
        (self.0 <= now && now < self.1).then(|| self.1 - now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    /// The own request comes next. The number is that of the token that this exchange fetched: it uses it once, even if
    /// it expires at once.
    Requesting(Option<u64>),
    Fetching(u64),
    Following(u64),
}

#[derive(Clone, Debug)]
enum Auth {
    None,
    Token(u64),
    Unsigned,
    Digest { nonce: Vec<u8>, answered: u32 },
}

/// The failed attempts of a request, and those that do not count because rate limits are waited out.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    failed: u32,
    rate_limited: u32,
}

#[derive(Debug)]
struct Exchange {
    request: Request,
    version: usize,
    stage: Stage,
    auth: Auth,
    own: Attempts,
    token: Attempts,
    /// Whether a token may have been issued that did not arrive.
    may_have_lost_token: bool,
    has_renewed_token: bool,
    waited: Duration,
    cause: Option<Cause>,
    /// The window of a rate limit in which its request counts as in flight.
    slot: Option<u64>,
    /// When it began to wait for another exchange.
    follows_since: Option<Duration>,
}

impl Exchange {
    fn attempts(&mut self) -> &mut Attempts {
        match self.stage {
            Stage::Fetching(_) => &mut self.token,
            _ => &mut self.own,
        }
    }

    /// A nonce that may have expired in the meantime can be replaced again.
    fn forgive_challenges(&mut self) {
        if let Auth::Digest { answered, .. } = &mut self.auth {
            *answered = 0;
        }
    }
}

#[derive(Debug)]
enum Token {
    None,
    /// The token request with this number is in flight, and nobody else requests a token within the period.
    Fetching(u64, Period),
    Present {
        text: String,
        fresh_until: Duration,
        is_fetched: bool,
    },
}

#[derive(Debug, Default)]
struct Scope {
    pause: Option<Period>,
    /// The requests that remain, in a window with a number.
    window: Option<(u64, Period, u64)>,
}

#[derive(Debug)]
pub(crate) struct Model {
    credential: Credential,
    settings: Settings,
    exchanges: BTreeMap<u32, Exchange>,
    /// The current version of each operation.
    versions: BTreeMap<usize, usize>,
    scopes: BTreeMap<u8, Scope>,
    windows: u64,
    longest_pause: Option<Period>,
    token: Token,
    /// The number of the newest token, and that of the newest token request.
    tokens: u64,
    fetches: u64,
    failed_fetch: Option<(u64, Failure)>,
    renewed: Option<Period>,
    /// Fetched tokens that a 401 replaced, newest first.
    replaced: VecDeque<String>,
    /// Nonces that no exchange uses, and how often each was used.
    idle: Vec<Vec<u8>>,
    counts: BTreeMap<Vec<u8>, u32>,
}

impl Model {
    pub(crate) fn new(credential: Credential, settings: Settings) -> Self {
        Self {
            credential,
            settings,
            exchanges: BTreeMap::new(),
            versions: BTreeMap::new(),
            scopes: BTreeMap::new(),
            windows: 0,
            longest_pause: None,
            token: Token::None,
            tokens: 0,
            fetches: 0,
            failed_fetch: None,
            renewed: None,
            replaced: VecDeque::new(),
            idle: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Returns the version that the next exchange of an operation requests.
    pub(crate) fn version(&self, operation: usize) -> usize {
        self.versions.get(&operation).copied().unwrap_or(0)
    }

    pub(crate) fn longest_pause(&self, now: Duration) -> Option<Duration> {
        self.longest_pause?.left(now)
    }

    /// Begins an exchange with this number.
    pub(crate) fn start(&mut self, id: u32, request: Request, at: At) -> Step {
        let exchange = Exchange {
            request,
            version: self.version(request.operation),
            stage: Stage::Requesting(None),
            auth: Auth::None,
            own: Attempts::default(),
            token: Attempts::default(),
            may_have_lost_token: false,
            has_renewed_token: false,
            waited: Duration::ZERO,
            cause: None,
            slot: None,
            follows_since: None,
        };
        self.keep(id, exchange, |model, exchange| model.advance(exchange, at))
    }

    /// Ends an exchange.
    pub(crate) fn end(&mut self, id: u32) {
        self.exchanges.remove(&id);
    }

    pub(crate) fn resume(&mut self, id: u32, at: At) -> Step {
        self.change(id, |model, exchange| {
            if let Some(since) = exchange.follows_since.take() {
                let spent = at.now.saturating_sub(since).clamp(LEAST_WAIT, POLL);
                exchange.waited = exchange.waited.saturating_add(spent);
            }
            model.advance(exchange, at)
        })
    }

    pub(crate) fn fail(&mut self, id: u32, kind: Kind, at: At) -> Step {
        self.change(id, |model, exchange| {
            let may_retry = match kind {
                Kind::NotSent => true,
                // The server may have issued a token, of which there may be only 100.
                Kind::Lost if matches!(exchange.stage, Stage::Fetching(_)) => {
                    !std::mem::replace(&mut exchange.may_have_lost_token, true)
                }
                Kind::Lost => true,
                Kind::TimedOut | Kind::Permanent => false,
            };
            match may_retry {
                true => model.retry(exchange, Cause::Failure(kind), Duration::ZERO, at),
                false => {
                    exchange.attempts().failed += 1;
                    model.end_with(exchange, Cause::Failure(kind), Duration::ZERO)
                }
            }
        })
    }

    pub(crate) fn respond(&mut self, id: u32, response: &Response, at: At) -> Step {
        self.change(id, |model, exchange| {
            let is_token = matches!(exchange.stage, Stage::Fetching(_));
            if let Some(failure) = model.limit_exceeded(response) {
                return model.fail_for_all(exchange, failure);
            }
            match is_token {
                true => model.token_response(exchange, response, at),
                false => model.own_response(exchange, response, at),
            }
        })
    }

    /// Returns the error of an exchange that is given up while its request is in flight (then the transport's failure is of
    /// this kind), or during a wait.
    pub(crate) fn give_up(&mut self, id: u32, in_flight: Result<Kind, Duration>) -> Failure {
        let mut exchange = self.exchanges.remove(&id).expect("it was started");
        let failed = exchange.attempts().failed;
        let (attempts, wait) = match in_flight {
            Ok(_) => (failed + 1, Duration::ZERO),
            Err(wait) => (failed, wait),
        };
        match (exchange.cause, in_flight) {
            (Some(cause), _) => failure(cause, attempts, wait),
            (None, Ok(kind)) => Failure::Transport { kind, attempts },
            (None, Err(_)) => Failure::Transport {
                kind: Kind::TimedOut,
                attempts: 0,
            },
        }
    }

    /// Returns the number of tokens that were issued or restored.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the text of the token, and until when it is fresh.
    pub(crate) fn token(&self) -> Option<(&str, Duration)> {
        match &self.token {
            Token::Present {
                text, fresh_until, ..
            } => Some((text, *fresh_until)),
            _ => None,
        }
    }

    /// Takes over a token of another session.
    pub(crate) fn restore(&mut self, text: String, until: Duration, now: Duration) {
        let life = until.saturating_sub(now).min(DAY);
        self.store(text, now.saturating_add(life), false);
    }

    /// Takes the token that is revoked next: the current one, or else one that was replaced.
    pub(crate) fn revoke(&mut self) -> Option<String> {
        if let Token::Present { text, .. } = &self.token {
            let text = text.clone();
            self.token = Token::None;
            return Some(text);
        }
        self.replaced.pop_front()
    }

    fn change(&mut self, id: u32, step: impl FnOnce(&mut Self, &mut Exchange) -> Step) -> Step {
        let exchange = self.exchanges.remove(&id).expect("it was started");
        self.keep(id, exchange, step)
    }

    fn keep(
        &mut self,
        id: u32,
        mut exchange: Exchange,
        step: impl FnOnce(&mut Self, &mut Exchange) -> Step,
    ) -> Step {
        let step = step(self, &mut exchange);
        if !matches!(step, Step::Done { .. } | Step::Fail(_)) {
            self.exchanges.insert(id, exchange);
        }
        step
    }

    /// Returns the limit that a response exceeds. Only a 200 fails because of its body.
    fn limit_exceeded(&self, response: &Response) -> Option<Failure> {
        let Settings {
            headers,
            head_bytes,
            body_bytes,
            ..
        } = self.settings;
        let is_page = response.http_status == 200;
        [
            (true, response.headers, headers),
            (true, response.head_bytes, head_bytes),
            (is_page, response.body_bytes, body_bytes),
        ]
        .into_iter()
        .find_map(|(counts, size, limit)| (counts && size > limit).then_some(Failure::Limit(limit)))
    }

    /// Sends the next request of an exchange, unless it has to wait.
    fn advance(&mut self, exchange: &mut Exchange, at: At) -> Step {
        if let Stage::Fetching(own) = exchange.stage {
            if self.is_current_fetch(own) {
                return self.fetch_token(exchange, at);
            }
            // It took too long, and another exchange has taken over.
            exchange.stage = Stage::Requesting(None);
        }
        let scope = self.scopes.get(&exchange.request.scope);
        if let Some(left) = scope.and_then(|scope| scope.pause?.left(at.now)) {
            let jitter = part_of(self.settings.base, at);
            return self.wait(
                exchange,
                Cause::Status(429),
                left.max(LEAST_WAIT),
                jitter,
                at,
            );
        }
        if self.credential == Credential::ServiceAccount
            && let Some(step) = self.need_token(exchange, at)
        {
            return step;
        }
        if exchange.slot.is_none() {
            match self.window(exchange.request.scope, at.now) {
                Some((window, remaining)) => {
                    let others = self.exchanges.values();
                    let in_flight = others.filter(|other| other.slot == Some(window)).count();
                    if in_flight as u64 >= remaining.max(1) {
                        return self.follow(exchange, at);
                    }
                    exchange.slot = Some(window);
                }
                None => {}
            }
        }
        self.send(exchange)
    }

    fn window(&self, scope: u8, now: Duration) -> Option<(u64, u64)> {
        let (window, period, remaining) = self.scopes.get(&scope)?.window?;
        period.left(now).map(|_| (window, remaining))
    }

    /// Returns the step of an exchange that has no token yet. Otherwise it notes the token that the exchange uses.
    fn need_token(&mut self, exchange: &mut Exchange, at: At) -> Option<Step> {
        match &self.token {
            Token::Present { fresh_until, .. } => {
                let own = exchange.stage == Stage::Requesting(Some(self.tokens));
                if own || at.now < *fresh_until {
                    exchange.auth = Auth::Token(self.tokens);
                    if let Stage::Following(_) = exchange.stage {
                        exchange.stage = Stage::Requesting(None);
                    }
                    return None;
                }
            }
            Token::Fetching(number, period) => {
                let number = *number;
                let mut others = self.exchanges.values();
                let is_alive = others.any(|other| other.stage == Stage::Fetching(number));
                if is_alive && period.left(at.now).is_some() {
                    exchange.stage = Stage::Following(number);
                    return Some(self.follow(exchange, at));
                }
            }
            Token::None => {}
        }
        if let Some((failed, failure)) = &self.failed_fetch
            && exchange.stage == Stage::Following(*failed)
        {
            return Some(Step::Fail(failure.clone()));
        }
        self.fetches += 1;
        self.failed_fetch = None;
        self.token = Token::Fetching(self.fetches, Period::new(at.now, MINUTE));
        exchange.stage = Stage::Fetching(self.fetches);
        Some(self.fetch_token(exchange, at))
    }

    fn fetch_token(&mut self, exchange: &mut Exchange, at: At) -> Step {
        exchange.auth = Auth::None;
        self.extend_fetch(exchange, at, Duration::ZERO);
        let attempt = exchange.token.failed + 1;
        Step::FetchToken { attempt }
    }

    fn send(&mut self, exchange: &mut Exchange) -> Step {
        let authorization = match self.credential {
            Credential::Bearer => Authorization::Caller,
            Credential::ServiceAccount => {
                let text = self.token().expect("there is a token").0;
                Authorization::Token(text.to_owned())
            }
            Credential::ApiKey => {
                if !matches!(exchange.auth, Auth::Digest { .. }) {
                    let idle = self.idle.pop();
                    exchange.auth =
                        idle.map_or(Auth::Unsigned, |nonce| Auth::Digest { nonce, answered: 0 });
                }
                match &exchange.auth {
                    Auth::Digest { nonce, .. } => {
                        let count = self.counts.entry(nonce.clone()).or_insert(0);
                        *count += 1;
                        Authorization::Digest {
                            nonce: nonce.clone(),
                            count: *count,
                        }
                    }
                    _ => Authorization::Unsigned,
                }
            }
        };
        Step::Send {
            version: exchange.version,
            authorization,
            attempt: exchange.own.failed + 1,
        }
    }

    /// Waits for another exchange.
    fn follow(&self, exchange: &mut Exchange, at: At) -> Step {
        if exchange.waited > self.settings.total_wait {
            let (kind, attempts) = (Kind::NotSent, 0);
            return Step::Fail(Failure::Transport { kind, attempts });
        }
        exchange.follows_since = Some(at.now);
        Step::Follow { delay: POLL }
    }

    fn token_response(&mut self, exchange: &mut Exchange, response: &Response, at: At) -> Step {
        let status = response.status;
        let retry = &self.settings;
        if status == 200 {
            let failure = match &response.token {
                _ if response.body_bytes > retry.error_body_bytes => {
                    Failure::Limit(retry.error_body_bytes)
                }
                Some((text, _)) if text.len() > retry.token_bytes => {
                    Failure::Limit(retry.token_bytes)
                }
                Some((text, life))
                    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) =>
                {
                    let life = (*life).min(DAY);
                    let fresh = life - TOKEN_MARGIN.min(life / 4);
                    self.store(text.clone(), at.now.saturating_add(fresh), true);
                    exchange.stage = Stage::Requesting(Some(self.tokens));
                    exchange.token = Attempts::default();
                    return self.advance(exchange, at);
                }
                _ => Failure::InvalidResponse,
            };
            return self.fail_for_all(exchange, failure);
        }
        if status == 429 || status >= 500 {
            let cause = Cause::Status(status);
            let asked = response.retry_after.unwrap_or_default();
            // A token may have been issued after any status but these two.
            let may_retry = matches!(status, 429 | 503)
                || !std::mem::replace(&mut exchange.may_have_lost_token, true);
            if may_retry && self.is_retried(status) {
                return self.retry(exchange, cause, asked, at);
            }
            exchange.token.failed += 1;
            return self.end_with(exchange, cause, asked);
        }
        let failure = match status == 401 || response.is_invalid_client {
            true => Failure::Authentication {
                refused: Refused::ServiceAccount,
                status,
            },
            false => Failure::Api {
                status,
                is_token: true,
            },
        };
        self.fail_for_all(exchange, failure)
    }

    fn own_response(&mut self, exchange: &mut Exchange, response: &Response, at: At) -> Step {
        let status = response.status;
        let asked = response.retry_after.unwrap_or_default();
        if let Some(remaining) = response.remaining {
            self.set_remaining(exchange.request.scope, remaining, at.now);
        }
        match status {
            200 => {
                self.return_nonce(exchange);
                Step::Done {
                    attempts: exchange.own.failed + 1,
                }
            }
            401 => self.unauthorized(exchange, response, at),
            406 | 410 if self.next_version(exchange) => {
                exchange.forgive_challenges();
                self.advance(exchange, at)
            }
            _ if self.is_retried(status) => self.retry(exchange, Cause::Status(status), asked, at),
            _ => {
                self.return_nonce(exchange);
                Step::Fail(match status {
                    429 | 500.. => failure(Cause::Status(status), exchange.own.failed + 1, asked),
                    _ => Failure::Api {
                        status,
                        is_token: false,
                    },
                })
            }
        }
    }

    /// Moves an exchange to the version after the refused one, or to that to which its operation has moved already.
    fn next_version(&mut self, exchange: &mut Exchange) -> bool {
        let Request {
            operation,
            versions,
            ..
        } = exchange.request;
        if self.version(operation) == exchange.version {
            if exchange.version + 1 == versions {
                return false;
            }
            self.versions.insert(operation, exchange.version + 1);
        }
        exchange.version = self.version(operation);
        true
    }

    fn unauthorized(&mut self, exchange: &mut Exchange, response: &Response, at: At) -> Step {
        let refuse = |refused| {
            Step::Fail(Failure::Authentication {
                refused,
                status: 401,
            })
        };
        if response.is_not_allowed && !matches!(exchange.auth, Auth::Unsigned) {
            self.return_nonce(exchange);
            return refuse(Refused::NotAllowed);
        }
        let answered = match (
            self.credential,
            std::mem::replace(&mut exchange.auth, Auth::None),
        ) {
            (Credential::ApiKey, Auth::Digest { answered, .. }) => answered,
            (Credential::ApiKey, _) => 0,
            (_, Auth::Token(number))
                if !std::mem::replace(&mut exchange.has_renewed_token, true)
                    && self.token_refused(number, at.now) =>
            {
                exchange.stage = Stage::Requesting(None);
                return self.advance(exchange, at);
            }
            _ => return refuse(Refused::Token),
        };
        // A refused nonce may only have been old, unless it was issued to this exchange. A challenge is answered at once.
        match &response.challenge {
            Some((nonce, is_stale)) if answered == 0 || *is_stale && answered < CHALLENGES => {
                let (nonce, answered) = (nonce.clone(), answered + 1);
                exchange.auth = Auth::Digest { nonce, answered };
                self.send(exchange)
            }
            None if answered == 0 => refuse(Refused::Challenge),
            Some((_, true)) => refuse(Refused::Nonce),
            _ => refuse(Refused::ApiKey),
        }
    }

    /// Returns whether there is a newer token than the refused one, or may be one. Only the current token is removed.
    fn token_refused(&mut self, number: u64, now: Duration) -> bool {
        if number != self.tokens {
            return true;
        }
        let is_fresh = match &self.token {
            Token::Fetching(..) => return true,
            Token::Present { fresh_until, .. } => now < *fresh_until,
            Token::None => true,
        };
        if is_fresh {
            if self
                .renewed
                .is_some_and(|period| period.left(now).is_some())
            {
                return false;
            }
            self.renewed = Some(Period::new(now, MINUTE));
        }
        if let Token::Present {
            text,
            is_fetched: true,
            ..
        } = &self.token
            && is_fresh
        {
            // It may still be valid, so it has to be revoked.
            self.replaced.truncate(REPLACED_TOKENS - 1);
            self.replaced.push_front(text.clone());
        }
        self.token = Token::None;
        true
    }

    fn return_nonce(&mut self, exchange: &mut Exchange) {
        if let Auth::Digest { nonce, .. } = std::mem::replace(&mut exchange.auth, Auth::None)
            && self.idle.len() < IDLE_NONCES
        {
            self.idle.push(nonce);
        }
    }

    fn store(&mut self, text: String, fresh_until: Duration, is_fetched: bool) {
        self.tokens += 1;
        self.token = Token::Present {
            text,
            fresh_until,
            is_fetched,
        };
    }

    fn set_remaining(&mut self, scope: u8, remaining: u64, now: Duration) {
        if remaining >= AMPLE && !self.scopes.contains_key(&scope) {
            return;
        }
        // A request that takes longer than the window is no longer counted.
        let window = self.window(scope, now).map_or_else(
            || {
                self.windows += 1;
                self.windows
            },
            |(window, _)| window,
        );
        let period = Period::new(now, MINUTE);
        self.scopes.entry(scope).or_default().window = Some((window, period, remaining));
    }

    fn pause(&mut self, scope: u8, now: Duration, length: Duration) {
        let longer = |known: &mut Option<Period>| {
            let new = Period::new(now, length);
            if known.is_none_or(|known| known.left(now).is_none() || known.1 < new.1) {
                *known = Some(new);
            }
        };
        longer(&mut self.longest_pause);
        longer(&mut self.scopes.entry(scope).or_default().pause);
    }

    fn is_retried(&self, status: u16) -> bool {
        self.settings
            .statuses
            .iter()
            .any(|range| range.contains(&status))
    }

    /// Plans another attempt. A 429 pauses all exchanges of the scope for as long as this one waits.
    fn retry(&mut self, exchange: &mut Exchange, cause: Cause, asked: Duration, at: At) -> Step {
        let is_rate_limit = cause == Cause::Status(429);
        let is_uncounted = is_rate_limit && self.settings.waits_out_rate_limits;
        let attempts = exchange.attempts();
        attempts.failed += 1;
        attempts.rate_limited += u32::from(is_uncounted);
        let Attempts {
            failed,
            rate_limited,
        } = *attempts;
        let backoff = self.settings.base.saturating_mul(1 << (failed - 1).min(31));
        let jitter = part_of(backoff.min(self.settings.cap), at);
        if is_rate_limit && !matches!(exchange.stage, Stage::Fetching(_)) {
            let length = asked
                .saturating_add(jitter)
                .min(self.settings.wait)
                .max(asked);
            self.pause(exchange.request.scope, at.now, length.min(LONGEST_PAUSE));
        }
        exchange.forgive_challenges();
        if failed - rate_limited >= self.settings.attempts {
            return self.end_with(exchange, cause, asked.saturating_add(jitter));
        }
        self.wait(exchange, cause, asked, jitter, at)
    }

    /// Waits as long as asked, plus as much of the jitter as the limits allow.
    fn wait(
        &mut self,
        exchange: &mut Exchange,
        cause: Cause,
        asked: Duration,
        jitter: Duration,
        at: At,
    ) -> Step {
        let Settings {
            wait, total_wait, ..
        } = self.settings;
        let longest = total_wait.saturating_sub(exchange.waited).min(wait);
        let wanted = asked.saturating_add(jitter);
        if asked > longest || longest.is_zero() {
            let failure = failure(cause, exchange.attempts().failed, wanted);
            // The others fail only if the wait is too long for each of them.
            return match asked > wait {
                true => self.fail_for_all(exchange, failure),
                false => Step::Fail(failure),
            };
        }
        let delay = wanted.min(longest);
        self.extend_fetch(exchange, at, delay);
        exchange.waited = exchange.waited.saturating_add(delay);
        exchange.cause = Some(cause);
        exchange.slot = None;
        Step::Wait { delay, cause }
    }

    fn end_with(&mut self, exchange: &mut Exchange, cause: Cause, wait: Duration) -> Step {
        let failure = failure(cause, exchange.attempts().failed, wait);
        self.fail_for_all(exchange, failure)
    }

    fn is_current_fetch(&self, own: u64) -> bool {
        matches!(self.token, Token::Fetching(number, _) if number == own)
    }

    /// The others keep waiting for a token request whose exchange continues after a delay.
    fn extend_fetch(&mut self, exchange: &Exchange, at: At, delay: Duration) {
        if let (Stage::Fetching(own), Token::Fetching(number, period)) =
            (exchange.stage, &mut self.token)
            && own == *number
        {
            *period = Period::new(at.now, delay.saturating_add(MINUTE));
        }
    }

    /// Ends an exchange with an error. If it was fetching the token, those that wait for it get the same error.
    fn fail_for_all(&mut self, exchange: &Exchange, failure: Failure) -> Step {
        if let Stage::Fetching(own) = exchange.stage
            && self.is_current_fetch(own)
        {
            self.token = Token::None;
            self.failed_fetch = Some((own, failure.clone()));
        }
        Step::Fail(failure)
    }
}

fn part_of(whole: Duration, at: At) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(at.random)) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn failure(cause: Cause, attempts: u32, wait: Duration) -> Failure {
    match cause {
        Cause::Status(429) => Failure::RateLimited { attempts, wait },
        Cause::Status(status) => Failure::GaveUp {
            status,
            attempts,
            wait,
        },
        Cause::Failure(kind) => Failure::Transport { kind, attempts },
    }
}
