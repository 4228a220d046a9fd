//! A reference model of a session: it says which step must come after each input.
//!
//! It is written from the rules in `docs/design.md` and in the documentation of `Session`, `RetryPolicy` and `Limits`, with
//! types of its own (`types.rs`). It reads no bytes: the facts about a response are in [`Response`]. An exchange has a number.
//! This file moves exchanges from step to step; `tokens.rs` and `rate_limits.rs` have what they share.

mod rate_limits;
mod tokens;
mod types;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rate_limits::RateLimits;
use tokens::Token;
pub(crate) use types::{
    At, Authorization, Cause, Credential, Failure, Kind, Refused, Request, Response, Settings, Step,
};

const MINUTE: Duration = Duration::from_secs(60);
/// An exchange that waits for another one checks by itself after this time.
const POLL: Duration = Duration::from_secs(30);
/// The least that a wait for another exchange, or for the end of a pause, counts, even if the clock stands still.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// The challenges that an attempt answers. All but the first must be stale.
const CHALLENGES: u32 = 3;
const IDLE_NONCES: usize = 64;

/// A span of time that also ends when the clock is set back.
#[derive(Clone, Copy, Debug)]
struct Period {
    since: Duration,
    until: Duration,
}

impl Period {
    fn new(since: Duration, length: Duration) -> Self {
        let until = since.saturating_add(length);
        Self { since, until }
    }

    fn left(self, now: Duration) -> Option<Duration> {
        (self.since <= now && now < self.until).then(|| self.until - now)
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
pub(crate) struct Model {
    credential: Credential,
    settings: Settings,
    exchanges: BTreeMap<u32, Exchange>,
    /// The current version of each operation.
    versions: BTreeMap<usize, usize>,
    rate_limits: RateLimits,
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
            rate_limits: RateLimits::default(),
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
        self.rate_limits.longest_pause(now)
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
        let scope = exchange.request.scope;
        if let Some(left) = self.rate_limits.pause_left(scope, at.now) {
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
        if exchange.slot.is_none()
            && let Some((window, most)) = self.rate_limits.window(scope, at.now)
        {
            let others = self.exchanges.values();
            let in_flight = others.filter(|other| other.slot == Some(window)).count();
            if in_flight as u64 >= most {
                return self.follow(exchange, at);
            }
            exchange.slot = Some(window);
        }
        self.send(exchange)
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

    fn own_response(&mut self, exchange: &mut Exchange, response: &Response, at: At) -> Step {
        let status = response.status;
        let asked = response.retry_after.unwrap_or_default();
        if let Some(remaining) = response.remaining {
            self.rate_limits
                .set_remaining(exchange.request.scope, remaining, at.now);
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

    fn return_nonce(&mut self, exchange: &mut Exchange) {
        if let Auth::Digest { nonce, .. } = std::mem::replace(&mut exchange.auth, Auth::None)
            && self.idle.len() < IDLE_NONCES
        {
            self.idle.push(nonce);
        }
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
            self.rate_limits
                .pause(exchange.request.scope, at.now, length);
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
