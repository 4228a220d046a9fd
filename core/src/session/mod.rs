//! The dialogue with Atlas, one step at a time.

mod nonces;
mod pace;
mod tokens;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use zeroize::Zeroizing;

use self::nonces::Nonces;
use self::pace::{Entry, Pace};
use self::tokens::{Grant, Tokens, Turn};
use crate::api_error::Redaction;
use crate::credentials::Kind;
use crate::digest::{Answerer, Challenge};
use crate::limits::{CHALLENGES_ANSWERED, FOLLOW};
use crate::reply::{check_size, enveloped_status, rate_limit};
use crate::request::{DEFAULT_USER_AGENT, to_uri, user_agent};
use crate::{
    ApiError, ApiVersion, BaseUrl, Body, Credentials, Endpoint, Error, FailureKind, InvalidValue,
    Limits, ListRequest, Refused, Reply, Secret,
};

/// Everything that a step takes from around it, as a value: the time and fresh randomness.
///
/// The same inputs give the same outputs, so a test, a simulation or a fuzzer supplies its own.
#[derive(Clone, Copy)]
pub struct Moment {
    now: Duration,
    entropy: [u8; 16],
}

impl Moment {
    /// `now` is the time since the Unix epoch; it may jump in both directions. `entropy` is 16
    /// bytes from a cryptographic source, fresh for each moment: it makes the client's nonces
    /// and the jitter.
    #[must_use]
    pub fn new(now: Duration, entropy: [u8; 16]) -> Self {
        Self { now, entropy }
    }

    /// The time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// An evenly random part of `whole`, from 0 to all of it. Uses the half of the entropy that
    /// a client nonce shows last, so never both of it in one step.
    pub(crate) fn fraction_of(&self, whole: Duration) -> Duration {
        let random = self
            .entropy
            .iter()
            .rev()
            .take(4)
            .fold(0u32, |n, byte| (n << 8) | u32::from(*byte));
        let nanos = whole.as_nanos().saturating_mul(u128::from(random)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// What is to be done next. There is exactly one answer to each.
#[must_use]
#[allow(clippy::exhaustive_enums)] // A driver must handle exactly these three.
pub enum Step<B> {
    /// Send the request; give what came of it to [`Session::respond`] or [`Session::failed`].
    Send(Exchange),
    /// Wait; then call [`Session::resume`].
    Wait(Wait),
    /// Here is the answer.
    Done(Reply<B>),
}

/// A request that is to be sent, and the ticket that its outcome is answered with.
#[must_use]
#[derive(Debug)]
#[allow(clippy::exhaustive_structs)] // A driver takes it apart.
pub struct Exchange {
    /// Its URI is absolute. An empty body is to be sent as no body.
    pub request: Request<Body>,
    /// To be handed back with the response or the failure. Dropping it is cancelling.
    pub pending: Pending,
}

/// The ticket of a request on its way.
///
/// Not `Clone`, and consumed by the call that answers it: answering twice does not compile.
/// While it lives, other exchanges may wait for its outcome; wake them when it has gone.
#[must_use]
pub struct Pending(Box<Ticket>);

/// The ticket of an exchange that waits.
#[must_use]
pub struct Wait {
    ticket: Box<Ticket>,
    delay: Duration,
    on_change: bool,
    since: Duration,
}

impl Wait {
    /// How long.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Whether the wait may end sooner: when another exchange of this session ends or is dropped.
    #[must_use]
    pub fn on_change(&self) -> bool {
        self.on_change
    }

    /// Ends the exchange instead, with the error that made it wait: for a caller whose deadline
    /// comes before the wait is over.
    #[must_use]
    pub fn give_up(self) -> Error {
        let Self { ticket, delay, .. } = self;
        match ticket.trouble {
            Some(trouble) => trouble.into_error(ticket.failures, delay),
            None => deadline(),
        }
    }
}

/// Why a transport could not deliver a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    kind: FailureKind,
    source: Arc<dyn core::error::Error + Send + Sync>,
}

impl Failure {
    /// What became of the request, and the transport's own error.
    pub fn new(
        kind: FailureKind,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Arc::from(source.into()),
        }
    }
}

/// A long-lived partner in the dialogue with one Atlas: credentials, token, nonces, waits and the
/// version in use, shared by all exchanges.
///
/// It sends nothing itself. [`start`](Session::start) an exchange, do what each [`Step`] says,
/// until it says [`Step::Done`]. Any number of exchanges may be on their way at the same time.
pub struct Session {
    base: BaseUrl,
    auth: Auth,
    version: ApiVersion,
    pinned: bool,
    user_agent: HeaderValue,
    limits: Limits,
    pace: Pace,
}

enum Auth {
    Bearer { header: HeaderValue, token: Secret },
    Tokens(Tokens),
    Nonces(Nonces),
}

/// What an exchange remembers between its steps.
struct Ticket {
    list: ListRequest,
    version: ApiVersion,
    sent: Sent,
    /// How often Atlas or the network did not let it through.
    failures: u32,
    /// Waits so far, planned or (for others) spent.
    waited: Duration,
    /// What made it wait last.
    trouble: Option<Trouble>,
    /// The flight that fetches a token: led by this ticket, or followed.
    lead: Option<Arc<()>>,
    following: Option<u64>,
    /// Held while its request is the only one of the group that may be on its way.
    slot: Option<Arc<()>>,
    /// Whether a token request of it was lost once.
    token_lost: bool,
    /// Whether a 401 made it take a newer token.
    renewed: bool,
}

/// What the ticket's request carries.
enum Sent {
    Nothing,
    /// A request for a token.
    TokenRequest,
    /// The caller's own token.
    Bearer,
    /// A token of this generation.
    Token(u64),
    /// No credential: the server is to send a challenge.
    Unsigned,
    /// A digest, and how many challenges of this exchange were answered.
    Digest {
        answerer: Answerer,
        answered: u32,
    },
}

/// What keeps an exchange from being done.
enum Trouble {
    Answer(Box<ApiError>),
    Failure(Failure),
}

impl Trouble {
    fn into_error(self, attempts: u32, wait: Duration) -> Error {
        match self {
            Self::Answer(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                Error::RateLimited {
                    answer,
                    attempts,
                    wait,
                }
            }
            Self::Answer(answer) => Error::GaveUp {
                answer,
                attempts,
                wait,
            },
            Self::Failure(Failure { kind, source }) => Error::Transport {
                kind,
                attempts,
                source,
            },
        }
    }
}

/// Waits for another exchange.
fn follow<B>(ticket: Box<Ticket>, at: Moment) -> Step<B> {
    Step::Wait(Wait {
        ticket,
        delay: FOLLOW,
        on_change: true,
        since: at.now,
    })
}

/// What an exchange ends with that waited for another one in vain.
fn deadline() -> Error {
    #[derive(Debug)]
    struct NoTurn;
    impl fmt::Display for NoTurn {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("it waited in vain for another request, which it needs the access token or the rate limit of")
        }
    }
    impl core::error::Error for NoTurn {}
    Error::Transport {
        kind: FailureKind::NotSent,
        attempts: 0,
        source: Arc::new(NoTurn),
    }
}

type Next<B> = Result<Step<B>, Error>;

impl Session {
    /// A session with the Atlas at `base`. Credentials go there and nowhere else.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Credentials) -> Self {
        let auth = match credentials.0 {
            Kind::Bearer(token) => {
                // Checked to be of a token's characters when it became a credential.
                let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                    .unwrap_or_else(|_| HeaderValue::from_static("invalid"));
                header.set_sensitive(true);
                Auth::Bearer { header, token }
            }
            Kind::ServiceAccount { id, secret } => Auth::Tokens(Tokens::new(&id, secret)),
            Kind::ApiKey { public, private } => Auth::Nonces(Nonces::new(public, private)),
        };
        Self {
            base,
            auth,
            version: ApiVersion::PREVIEW,
            pinned: false,
            user_agent: DEFAULT_USER_AGENT,
            limits: Limits::default(),
            pace: Pace::default(),
        }
    }

    /// Asks for this version and no other. Without it, `preview` is asked for, and the session
    /// moves to `2025-03-12` when Atlas no longer has it.
    #[must_use]
    pub fn with_version(mut self, version: ApiVersion) -> Self {
        self.version = version;
        self.pinned = true;
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the `User-Agent`.
    ///
    /// # Errors
    /// A text that is not visible ASCII.
    pub fn with_user_agent(mut self, text: &str) -> Result<Self, InvalidValue> {
        self.user_agent = user_agent(text)?;
        Ok(self)
    }

    /// The bounds in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where the requests go.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// The version that is asked for now.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// Begins an exchange: one page.
    ///
    /// # Errors
    /// Those of the exchange, where it cannot even begin; see [`Error`].
    pub fn start<B>(&mut self, list: &ListRequest, at: Moment) -> Next<B> {
        let ticket = Box::new(Ticket {
            list: *list,
            version: self.version,
            sent: Sent::Nothing,
            failures: 0,
            waited: Duration::ZERO,
            trouble: None,
            lead: None,
            following: None,
            slot: None,
            token_lost: false,
            renewed: false,
        });
        self.go_on(ticket, at)
    }

    /// Takes the response to the request of this ticket.
    ///
    /// The body is whole and decompressed. A transport that stops reading at
    /// [`Limits::body_bytes`] + 1 bytes hands over what it has: it is refused here.
    ///
    /// # Errors
    /// See [`Error`]: the exchange has ended.
    pub fn respond<B: AsRef<[u8]>>(
        &mut self,
        pending: Pending,
        response: Response<B>,
        at: Moment,
    ) -> Next<B> {
        let ticket = pending.0;
        match (check_size(&response, &self.limits), &ticket.sent) {
            (Err(error), Sent::TokenRequest) => self.no_token(error),
            (Err(error), _) => Err(error),
            (Ok(()), Sent::TokenRequest) => self.on_token(ticket, &response, at),
            (Ok(()), _) => self.on_list(ticket, response, at),
        }
    }

    /// Takes the failure to deliver the request of this ticket.
    ///
    /// # Errors
    /// See [`Error`]: the exchange has ended.
    pub fn failed<B>(&mut self, pending: Pending, failure: Failure, at: Moment) -> Next<B> {
        let mut ticket = pending.0;
        let fetches_token = matches!(ticket.sent, Sent::TokenRequest);
        let again = match failure.kind {
            // The token may have been issued, and only so many may live: once is a risk, twice
            // a habit.
            FailureKind::Lost if fetches_token => !core::mem::replace(&mut ticket.token_lost, true),
            FailureKind::NotSent | FailureKind::Lost => true,
            FailureKind::Permanent => false,
        };
        if again {
            return self.wait_to_retry(ticket, Trouble::Failure(failure), at);
        }
        let error = Trouble::Failure(failure).into_error(ticket.failures + 1, Duration::ZERO);
        if fetches_token {
            self.no_token(error)
        } else {
            Err(error)
        }
    }

    /// Goes on after a wait.
    ///
    /// # Errors
    /// See [`Error`]: the exchange has ended.
    pub fn resume<B>(&mut self, wait: Wait, at: Moment) -> Next<B> {
        let Wait {
            mut ticket,
            delay,
            on_change,
            since,
        } = wait;
        if on_change {
            // A wait for others counts as long as it took; the others' own waits are planned.
            let spent = at.now.saturating_sub(since).min(delay);
            ticket.waited = ticket.waited.saturating_add(spent);
            if ticket.waited > self.limits.retry.total_wait {
                return Err(deadline());
            }
        }
        self.go_on(ticket, at)
    }

    /// The service account's token as a secret text, for a session of another process to
    /// [restore](Session::restore_token): a service account may hold only 100 live tokens. `None` where
    /// there is none, or it is about to expire. Keep it as you would keep the client secret.
    #[must_use]
    pub fn export_token(&self, at: Moment) -> Option<Secret> {
        match &self.auth {
            Auth::Tokens(tokens) => tokens.export(&self.base, at.now),
            _ => None,
        }
    }

    /// Takes a token over that another session has exported.
    ///
    /// # Errors
    /// A text that is none, that is of another base URL or service account, or that has expired; and
    /// a session that has no service account. A session without a token fetches one as usual.
    pub fn restore_token(&mut self, exported: &Secret, at: Moment) -> Result<(), InvalidValue> {
        let restored = match &mut self.auth {
            Auth::Tokens(tokens) => tokens.restore(exported, &self.base, at.now, &self.limits),
            _ => Err("only a session with a service account can use it"),
        };
        restored.map_err(|rule| InvalidValue::secret("exported token", rule))
    }

    /// Forgets the service account's token, and gives the request that revokes it (RFC 7009); `None`
    /// where there is none. Give the response to [`revoked`](Session::revoked).
    pub fn revoke_token(&mut self) -> Option<Request<Body>> {
        let Auth::Tokens(tokens) = &mut self.auth else {
            return None;
        };
        let token = tokens.take()?;
        let mut form = Zeroizing::new(String::with_capacity(64 + 3 * token.expose().len()));
        form.push_str("token=");
        for byte in token.expose().bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                form.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(form, "%{byte:02X}");
            }
        }
        form.push_str("&token_type_hint=access_token");
        Some(self.oauth_request("revoke", &form))
    }

    /// Takes the response to the request that revokes a token.
    ///
    /// # Errors
    /// [`Error::Api`] where Atlas did not revoke it, [`Error::Limit`] where the response is too
    /// large.
    pub fn revoked<B: AsRef<[u8]>>(&self, response: &Response<B>, at: Moment) -> Result<(), Error> {
        check_size(response, &self.limits)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Error::Api(self.read_error(
            status,
            Endpoint::Revocation,
            response,
            at,
        )))
    }

    /// Sends what the ticket is at, unless something says to wait.
    fn go_on<B>(&mut self, mut ticket: Box<Ticket>, at: Moment) -> Next<B> {
        if ticket.lead.is_some() {
            return Ok(self.send_token_request(ticket));
        }
        if let Some((left, answer)) = self.pace.left(ticket.list.group(), at.now) {
            let base = self.limits.retry.base;
            // All who were held would come back at once.
            let delay = left.saturating_add(at.fraction_of(base)).max(SHORTEST_HOLD);
            let trouble = Trouble::Answer(Box::new(answer.clone()));
            return self.wait(ticket, trouble, delay, at);
        }
        let authorization = match &mut self.auth {
            Auth::Bearer { header, .. } => {
                ticket.sent = Sent::Bearer;
                Some(header.clone())
            }
            Auth::Tokens(tokens) => match tokens.turn(ticket.following, at.now) {
                Turn::Use { header, generation } => {
                    ticket.sent = Sent::Token(generation);
                    Some(header)
                }
                Turn::Lead(lead) => {
                    ticket.lead = Some(lead);
                    return Ok(self.send_token_request(ticket));
                }
                Turn::Follow { flight } => {
                    ticket.following = Some(flight);
                    return Ok(follow(ticket, at));
                }
                Turn::Failed(error) => return Err(error),
            },
            Auth::Nonces(_) => None,
        };
        if ticket.slot.is_none() {
            match self.pace.enter(ticket.list.group(), at.now) {
                Entry::Free => {}
                Entry::Slot(slot) => ticket.slot = Some(slot),
                Entry::Busy => return Ok(follow(ticket, at)),
            }
        }
        if let Auth::Nonces(nonces) = &mut self.auth
            && !matches!(ticket.sent, Sent::Digest { .. })
        {
            ticket.sent = nonces
                .check_out()
                .map_or(Sent::Unsigned, |answerer| Sent::Digest {
                    answerer,
                    answered: 0,
                });
        }
        Ok(self.send_list(ticket, authorization, at))
    }

    fn send_list<B>(
        &self,
        mut ticket: Box<Ticket>,
        authorization: Option<HeaderValue>,
        at: Moment,
    ) -> Step<B> {
        let mut request = ticket
            .list
            .to_http(&self.base, &ticket.version)
            .map(|()| Body::empty());
        let mut authorization = authorization;
        if let Sent::Digest { answerer, .. } = &mut ticket.sent {
            let target = request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str());
            authorization = answerer.authorization(Method::GET.as_str(), target, at.entropy);
            if authorization.is_none() {
                // Its numbers are used up: as if it had expired.
                ticket.sent = Sent::Unsigned;
            }
        }
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        Step::Send(Exchange {
            request,
            pending: Pending(ticket),
        })
    }

    fn send_token_request<B>(&self, mut ticket: Box<Ticket>) -> Step<B> {
        ticket.sent = Sent::TokenRequest;
        Step::Send(Exchange {
            request: self.oauth_request("token", "grant_type=client_credentials"),
            pending: Pending(ticket),
        })
    }

    /// A request to one of the OAuth endpoints, as the service account.
    fn oauth_request(&self, endpoint: &str, form: &str) -> Request<Body> {
        let mut request = Request::new(Body::form(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to_uri(format!("{}/api/oauth/{endpoint}", self.base));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Auth::Tokens(tokens) = &self.auth {
            headers.insert(AUTHORIZATION, tokens.basic());
        }
        request
    }

    fn on_token<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: &Response<B>,
        at: Moment,
    ) -> Next<B> {
        let status = response.status();
        if status.is_success() {
            let grant = match Grant::read(response.body().as_ref(), &self.limits) {
                Ok(grant) => grant,
                Err(error) => return self.no_token(error),
            };
            if let Auth::Tokens(tokens) = &mut self.auth {
                tokens.arrived(grant, at.now);
            }
            ticket.lead = None;
            return self.go_on(ticket, at);
        }
        let answer = self.read_error(status, Endpoint::Token, response, at);
        if matches!(status.as_u16(), 429 | 503) && self.limits.retry.repeats(status) {
            return self.wait_to_retry(ticket, Trouble::Answer(answer), at);
        }
        let refused = answer.error_code.as_deref() == Some("invalid_client");
        self.no_token(if refused || status == StatusCode::UNAUTHORIZED {
            Error::Authentication {
                refused: Refused::ServiceAccount,
                answer,
            }
        } else {
            Error::Api(answer)
        })
    }

    /// The fetch of a token failed for good, for this exchange and for those that follow it.
    fn no_token<B>(&mut self, error: Error) -> Next<B> {
        if let Auth::Tokens(tokens) = &mut self.auth {
            tokens.failed(&error);
        }
        Err(error)
    }

    fn on_list<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: Response<B>,
        at: Moment,
    ) -> Next<B> {
        let mut status = response.status();
        if status.is_success() && ticket.list.is_enveloped() {
            // What was asked for is looked into: the status in the body rules.
            status = enveloped_status(response.body().as_ref(), &self.limits).unwrap_or(status);
        }
        if let Some(remaining) = rate_limit(response.headers()).remaining {
            self.pace.remaining(ticket.list.group(), at.now, remaining);
        }
        if status == StatusCode::UNAUTHORIZED {
            return self.on_unauthorized(ticket, &response, at);
        }
        if status.is_success() {
            self.give_back(&mut ticket);
            let version = Some(ticket.version);
            return Ok(Step::Done(Reply::new(
                response,
                version,
                self.limits.clone(),
            )));
        }
        let answer = self.read_error(status, Endpoint::ModelKeys, &response, at);
        match status.as_u16() {
            406 | 410 if self.moves_on(&mut ticket) => self.go_on(ticket, at),
            _ if self.limits.retry.repeats(status) => {
                self.wait_to_retry(ticket, Trouble::Answer(answer), at)
            }
            429 | 500..=599 => {
                // Worth repeating, but the caller does not want it.
                self.give_back(&mut ticket);
                let wait = answer.retry_after.unwrap_or_default();
                Err(Trouble::Answer(answer).into_error(ticket.failures + 1, wait))
            }
            _ => {
                self.give_back(&mut ticket);
                Err(Error::Api(answer))
            }
        }
    }

    /// Whether there is another version to try: the one after `preview`, or the one that another
    /// exchange has moved the session to.
    fn moves_on(&mut self, ticket: &mut Ticket) -> bool {
        if !self.pinned && self.version == ApiVersion::PREVIEW {
            self.version = ApiVersion::V2025_03_12;
        }
        core::mem::replace(&mut ticket.version, self.version) != self.version
    }

    fn on_unauthorized<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: &Response<B>,
        at: Moment,
    ) -> Next<B> {
        let status = StatusCode::UNAUTHORIZED;
        let answer = self.read_error(status, Endpoint::ModelKeys, response, at);
        if answer.is_not_allowed() && !matches!(ticket.sent, Sent::Unsigned) {
            // Who asks is known: neither a newer token nor another nonce would change it.
            self.give_back(&mut ticket);
            return Err(Error::Authentication {
                refused: Refused::NotAllowed,
                answer,
            });
        }
        let refused = match (
            &mut self.auth,
            core::mem::replace(&mut ticket.sent, Sent::Nothing),
        ) {
            (Auth::Tokens(tokens), Sent::Token(generation)) => {
                if !core::mem::replace(&mut ticket.renewed, true)
                    && tokens.refused(generation, at.now)
                {
                    ticket.following = None;
                    return self.go_on(ticket, at);
                }
                Refused::Token
            }
            (Auth::Nonces(nonces), sent) => {
                let challenges = response.headers().get_all(WWW_AUTHENTICATE);
                let challenge = Challenge::strongest(challenges, &self.limits);
                let answered = match &sent {
                    Sent::Digest { answered, .. } => *answered,
                    _ => 0,
                };
                match challenge {
                    // Only a nonce that was issued to this very exchange can be refused for good,
                    // unless the server calls it stale.
                    Some(challenge)
                        if answered == 0
                            || (challenge.is_stale() && answered < CHALLENGES_ANSWERED) =>
                    {
                        ticket.sent = Sent::Digest {
                            answerer: nonces.answer(challenge, at.entropy),
                            answered: answered + 1,
                        };
                        return Ok(self.send_list(ticket, None, at));
                    }
                    None if answered == 0 => Refused::Challenge,
                    Some(challenge) if challenge.is_stale() => Refused::Nonce,
                    _ => Refused::ApiKey,
                }
            }
            _ => Refused::Token,
        };
        Err(Error::Authentication { refused, answer })
    }

    /// A nonce that was accepted serves the next exchange.
    fn give_back(&mut self, ticket: &mut Ticket) {
        let sent = core::mem::replace(&mut ticket.sent, Sent::Nothing);
        if let (Auth::Nonces(nonces), Sent::Digest { answerer, .. }) = (&mut self.auth, sent) {
            nonces.give_back(answerer);
        }
    }

    fn wait_to_retry<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        trouble: Trouble,
        at: Moment,
    ) -> Next<B> {
        ticket.failures = ticket.failures.saturating_add(1);
        let fetches_token = matches!(ticket.sent, Sent::TokenRequest);
        let asked = match &trouble {
            Trouble::Answer(answer) => answer.retry_after,
            Trouble::Failure(_) => None,
        };
        let delay = self.limits.retry.delay(ticket.failures, asked, &at);
        if let Trouble::Answer(answer) = &trouble
            && answer.status == StatusCode::TOO_MANY_REQUESTS
            && !fetches_token
        {
            self.pace.hold(ticket.list.group(), at.now, delay, answer);
        }
        if let Sent::Digest { answered, .. } = &mut ticket.sent {
            // By the next attempt the nonce may well have expired.
            *answered = 0;
        }
        if ticket.failures >= self.limits.retry.attempts {
            let error = trouble.into_error(ticket.failures, delay);
            return if fetches_token {
                self.no_token(error)
            } else {
                Err(error)
            };
        }
        self.wait(ticket, trouble, delay, at)
    }

    /// Waits, or says at once that it would be too long.
    fn wait<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        trouble: Trouble,
        delay: Duration,
        at: Moment,
    ) -> Next<B> {
        let retry = &self.limits.retry;
        let waited = ticket.waited.saturating_add(delay);
        if delay > retry.wait || waited > retry.total_wait {
            let error = trouble.into_error(ticket.failures, delay);
            return if ticket.lead.is_some() {
                self.no_token(error)
            } else {
                Err(error)
            };
        }
        ticket.waited = waited;
        ticket.trouble = Some(trouble);
        // Meanwhile another one of the group may go.
        ticket.slot = None;
        Ok(Step::Wait(Wait {
            ticket,
            delay,
            on_change: false,
            since: at.now,
        }))
    }

    fn read_error<B: AsRef<[u8]>>(
        &self,
        status: StatusCode,
        endpoint: Endpoint,
        response: &Response<B>,
        at: Moment,
    ) -> Box<ApiError> {
        Box::new(ApiError::read(
            status,
            endpoint,
            response.headers(),
            response.body().as_ref(),
            Some(at.now),
            &Redaction {
                secrets: self.secrets(),
                limits: &self.limits,
            },
        ))
    }

    fn secrets(&self) -> Vec<&str> {
        match &self.auth {
            Auth::Bearer { token, .. } => Vec::from([token.expose()]),
            Auth::Tokens(tokens) => tokens.secrets().collect(),
            Auth::Nonces(nonces) => Vec::from([nonces.private_key()]),
        }
    }
}

/// A hold that is as good as over is waited for this long: the clock may not move between steps.
const SHORTEST_HOLD: Duration = Duration::from_millis(10);

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base", &self.base)
            .field("version", &self.version)
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("list", &self.0.list)
            .field("failures", &self.0.failures)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("delay", &self.delay)
            .field("on_change", &self.on_change)
            .finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for Step<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(exchange) => f.debug_tuple("Send").field(exchange).finish(),
            Self::Wait(wait) => f.debug_tuple("Wait").field(wait).finish(),
            Self::Done(reply) => f.debug_tuple("Done").field(reply).finish(),
        }
    }
}
