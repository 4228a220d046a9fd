//! The dialogue with Atlas, one step at a time.

mod nonces;
mod pace;
mod step;
mod ticket;
mod tokens;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use zeroize::Zeroizing;

pub use self::step::{Exchange, Failure, Moment, Pending, Step, Wait};

use self::nonces::Nonces;
use self::pace::{Entry, Pace};
use self::ticket::{Changes, Sent, Ticket, Trouble, in_vain};
use self::tokens::{Grant, Tokens, Turn};
use crate::api_error::Redaction;
use crate::credentials::Kind;
use crate::digest::Challenge;
use crate::error::is_server_error;
use crate::limits::{CHALLENGES_ANSWERED, FOLLOW, LONGEST_HOLD, SHORTEST_WAIT};
use crate::reply::{check_size, enveloped_status, rate_limit};
use crate::request::{DEFAULT_USER_AGENT, user_agent};
use crate::secret::{KnownSecrets, UNRESERVED, percent_encoded};
use crate::{
    ApiError, ApiVersion, BaseUrl, Body, Credentials, Endpoint, Error, FailureKind, ForeignError,
    InvalidValue, Limits, ListRequest, Refused, Reply, Secret,
};

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
    /// What must not turn up in an error.
    secrets: KnownSecrets,
    /// Tells its tickets from those of other sessions.
    identity: Arc<Changes>,
}

enum Auth {
    Bearer(HeaderValue),
    Tokens(Tokens),
    Nonces(Nonces),
}

type Next<B> = Result<Step<B>, Error>;

impl Session {
    /// A session with the Atlas at `base`. Credentials go there and nowhere else.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Credentials) -> Self {
        let (auth, secrets) = match credentials.0 {
            Kind::Bearer(token) => (
                Auth::Bearer(tokens::bearer(&token)),
                KnownSecrets::new([token]),
            ),
            Kind::ServiceAccount { id, secret } => {
                let tokens = Tokens::new(&id, secret);
                let secrets = tokens.secrets();
                (Auth::Tokens(tokens), secrets)
            }
            Kind::ApiKey { public, private } => {
                let secrets = KnownSecrets::new([private.clone()]);
                (Auth::Nonces(Nonces::new(public, private)), secrets)
            }
        };
        Self {
            base,
            auth,
            version: ApiVersion::PREVIEW,
            pinned: false,
            user_agent: DEFAULT_USER_AGENT,
            limits: Limits::default(),
            pace: Pace::default(),
            secrets,
            identity: Arc::default(),
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

    /// Returns how many times something has happened for which a [`Wait`] with
    /// [`on_change`](Wait::on_change) may end: an exchange ended, was dropped, or got the response or the failure of a
    /// request. It wraps around.
    #[must_use]
    pub fn change_count(&self) -> usize {
        self.identity.count()
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
        let ticket = Ticket::new(&self.identity, list, self.version);
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
        let ticket = self.own(pending.0)?;
        self.identity.note();
        match check_size(&response, &self.limits) {
            Err(error) => self.end(&ticket, error),
            Ok(()) if ticket.fetches_token() => self.on_token(ticket, &response, at),
            Ok(()) => self.on_list(ticket, response, at),
        }
    }

    /// Takes the failure to deliver the request of this ticket.
    ///
    /// # Errors
    /// See [`Error`]: the exchange has ended.
    pub fn fail<B>(&mut self, pending: Pending, failure: Failure, at: Moment) -> Next<B> {
        let mut ticket = self.own(pending.0)?;
        self.identity.note();
        let again = match failure.kind {
            // The token may have been issued, and only so many may live: once is a risk, twice
            // a habit.
            FailureKind::Lost if ticket.fetches_token() => {
                !core::mem::replace(&mut ticket.token_lost, true)
            }
            FailureKind::NotSent | FailureKind::Lost => true,
            FailureKind::TimedOut | FailureKind::Permanent => false,
        };
        let trouble = self.trouble(failure);
        if again {
            return self.wait_to_retry(ticket, trouble, at);
        }
        ticket.count_failure();
        let error = trouble.into_error(ticket.attempts(), Duration::ZERO);
        self.end(&ticket, error)
    }

    /// Ends the exchange of this ticket, for a caller whose own deadline is over: that is no verdict for
    /// others who wait for the same token. The error is what made it try again, where something did,
    /// else this failure. Others may have waited for it; see [`Wait::on_change`].
    #[must_use]
    pub fn give_up(&self, mut pending: Pending, failure: Failure) -> Error {
        let attempts = pending.attempt();
        let trouble = pending.0.trouble.take();
        trouble
            .unwrap_or_else(|| self.trouble(failure))
            .into_error(attempts, Duration::ZERO)
    }

    /// Turns the failure of something that is no exchange, such as a revocation, into an error without
    /// the session's secrets. `attempts` is how often it was tried; 0 where it did not come to a request.
    #[must_use]
    pub fn transport_error(&self, failure: Failure, attempts: u32) -> Error {
        self.trouble(failure).into_error(attempts, Duration::ZERO)
    }

    /// The failure without secrets.
    fn trouble(&self, failure: Failure) -> Trouble {
        let Failure { kind, source } = failure;
        Trouble::Failure {
            kind,
            source: ForeignError::new(source, &self.redaction()),
        }
    }

    fn redaction(&self) -> Redaction<'_> {
        Redaction {
            secrets: &self.secrets,
            limits: self.limits.of_body(),
        }
    }

    /// Goes on after a wait.
    ///
    /// # Errors
    /// See [`Error`]: the exchange has ended.
    pub fn resume<B>(&mut self, wait: Wait, at: Moment) -> Next<B> {
        let Wait {
            ticket,
            delay,
            on_change,
            since,
        } = wait;
        let mut ticket = self.own(ticket)?;
        if on_change {
            // A wait for others counts as long as it took: theirs are planned, this one is not.
            let spent = at.now.saturating_sub(since).clamp(SHORTEST_WAIT, delay);
            ticket.waited = ticket.waited.saturating_add(spent);
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
            Auth::Tokens(tokens) => tokens
                .restore(exported, &self.base, at.now, &self.limits)
                .map(|()| self.secrets = tokens.secrets()),
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
        let token = percent_encoded(token.expose(), UNRESERVED);
        let form = Zeroizing::new(format!("token={}&token_type_hint=access_token", *token));
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
        if let Some(lead) = &ticket.lead {
            if matches!(&self.auth, Auth::Tokens(tokens) if tokens.leads(lead)) {
                return Ok(self.send_token_request(ticket, at));
            }
            // It was taken for abandoned. Another exchange fetches a token, or has fetched one, and only so many
            // may live.
            ticket.lead = None;
        }
        if let Some((left, answer)) = self.pace.left(ticket.list.group(), at.now) {
            let trouble = Trouble::Answer(Box::new(answer.clone()));
            // All who were held would come back at once, but for the jitter.
            let jitter = at.fraction_of(self.limits.retry.base);
            return self.wait(ticket, trouble, left.max(SHORTEST_WAIT), jitter, at);
        }
        let authorization = match &mut self.auth {
            Auth::Bearer(header) => {
                ticket.sent = Sent::Bearer;
                Some(header.clone())
            }
            Auth::Tokens(tokens) => match tokens.turn(&ticket, at.now) {
                Turn::Use { header, generation } => {
                    ticket.following = None;
                    ticket.sent = Sent::Token(generation);
                    Some(header)
                }
                Turn::Lead(lead) => {
                    ticket.lead = Some(lead);
                    return Ok(self.send_token_request(ticket, at));
                }
                Turn::Follow { flight } => {
                    ticket.following = Some(flight);
                    return self.follow(ticket, at);
                }
                Turn::Failed(error) => return Err(error),
            },
            Auth::Nonces(_) => None,
        };
        if ticket.slot.is_none() {
            match self.pace.enter(ticket.list.group(), at.now) {
                Entry::Free => {}
                Entry::Slot(slot) => ticket.slot = Some(slot),
                Entry::Busy => return self.follow(ticket, at),
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

    /// Waits for another exchange.
    fn follow<B>(&self, ticket: Box<Ticket>, at: Moment) -> Next<B> {
        if ticket.waited > self.limits.retry.total_wait {
            return Err(in_vain(FailureKind::NotSent));
        }
        Ok(Step::Wait(Wait {
            ticket,
            delay: FOLLOW,
            on_change: true,
            since: at.now,
        }))
    }

    #[inline]
    fn send_list<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        authorization: Option<HeaderValue>,
        at: Moment,
    ) -> Step<B> {
        let user_agent = self.user_agent.clone();
        let mut request = ticket
            .list
            .with(&self.base, &ticket.version, user_agent, Body::empty());
        let mut authorization = authorization;
        if let (Auth::Nonces(nonces), Sent::Digest { answerer, .. }) =
            (&mut self.auth, &mut ticket.sent)
        {
            let target = request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str());
            authorization = nonces.sign(answerer, Method::GET.as_str(), target, at.entropy);
            if authorization.is_none() {
                // Its numbers are used up: as if it had expired.
                ticket.sent = Sent::Unsigned;
            }
        }
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        Step::Send(Exchange {
            request,
            pending: Pending(ticket),
        })
    }

    fn send_token_request<B>(&mut self, mut ticket: Box<Ticket>, at: Moment) -> Step<B> {
        ticket.sent = Sent::Nothing;
        self.keep_lead(&ticket, at, Duration::ZERO);
        Step::Send(Exchange {
            request: self.oauth_request("token", "grant_type=client_credentials"),
            pending: Pending(ticket),
        })
    }

    /// A request to one of the OAuth endpoints, as the service account.
    fn oauth_request(&self, endpoint: &str, form: &str) -> Request<Body> {
        let mut request = Request::new(Body::form(form));
        *request.method_mut() = Method::POST;
        let target = format!("{}/api/oauth/{endpoint}", self.base.path_prefix());
        *request.uri_mut() = self.base.uri(target.into_bytes());
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
        if status == StatusCode::OK {
            let grant = match Grant::read(response.body().as_ref(), &self.limits) {
                Ok(grant) => grant,
                Err(error) => return self.end(&ticket, error),
            };
            if let Auth::Tokens(tokens) = &mut self.auth {
                ticket.fetched = Some(tokens.arrived(grant, at.now));
                self.secrets = tokens.secrets();
            }
            ticket.lead = None;
            ticket.token_failures = 0;
            return self.go_on(ticket, at);
        }
        let answer = self.read_error(status, Endpoint::Token, response, at);
        if status == StatusCode::TOO_MANY_REQUESTS || is_server_error(status) {
            // Any other error than these two may come with a token that was issued, and only so many may live.
            let may_repeat = matches!(status.as_u16(), 429 | 503)
                || !core::mem::replace(&mut ticket.token_lost, true);
            let trouble = Trouble::Answer(answer);
            if may_repeat && self.limits.retry.repeats(status) {
                return self.wait_to_retry(ticket, trouble, at);
            }
            ticket.count_failure();
            let wait = trouble.asked();
            return self.end(&ticket, trouble.into_error(ticket.attempts(), wait));
        }
        let refused = answer.error_code.as_deref() == Some("invalid_client");
        let error = if refused || status == StatusCode::UNAUTHORIZED {
            Error::Authentication {
                refused: Refused::ServiceAccount,
                answer,
            }
        } else {
            Error::Api(answer)
        };
        self.end(&ticket, error)
    }

    /// The exchange that fetches a token goes on, after this delay: those who follow it wait for it.
    fn keep_lead(&mut self, ticket: &Ticket, at: Moment, delay: Duration) {
        if let (Auth::Tokens(tokens), Some(lead)) = (&mut self.auth, &ticket.lead) {
            tokens.is_led_by(lead, at.now, delay);
        }
    }

    /// The exchange is over. If it was to fetch a token, that is a verdict for those who follow it, too.
    fn end<B>(&mut self, ticket: &Ticket, error: Error) -> Next<B> {
        if ticket.fetches_token()
            && let Auth::Tokens(tokens) = &mut self.auth
        {
            tokens.failed(ticket.lead.as_ref(), &error);
        }
        Err(error)
    }

    /// A ticket goes to the session that issued it: another one's answers, sent to another host, would
    /// give credentials away.
    fn own(&self, ticket: Box<Ticket>) -> Result<Box<Ticket>, Error> {
        if Arc::ptr_eq(&ticket.session, &self.identity) {
            return Ok(ticket);
        }
        Err(Error::Invalid(InvalidValue::secret(
            "ticket",
            "it is another session's; answer it there",
        )))
    }

    fn on_list<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: Response<B>,
        at: Moment,
    ) -> Next<B> {
        let mut status = response.status();
        if status == StatusCode::OK && ticket.list.is_enveloped() {
            // What was asked for is looked into: the status in the body rules.
            status =
                enveloped_status(response.body().as_ref(), self.limits.of_body()).unwrap_or(status);
        }
        if let Some(remaining) = rate_limit(response.headers()).remaining {
            self.pace.remaining(ticket.list.group(), at.now, remaining);
        }
        if status == StatusCode::UNAUTHORIZED {
            return self.on_unauthorized(ticket, &response, at);
        }
        if status == StatusCode::OK {
            self.give_back(&mut ticket);
            let version = Some(ticket.version);
            let (limits, secrets) = (self.limits.of_body(), self.secrets.clone());
            return Ok(Step::Done(Reply::new(response, version, limits, secrets)));
        }
        let answer = self.read_error(status, Endpoint::ModelKeys, &response, at);
        match status.as_u16() {
            406 | 410 if self.moves_on(&mut ticket) => {
                ticket.sent.begin_again();
                self.go_on(ticket, at)
            }
            _ if self.limits.retry.repeats(status) => {
                self.wait_to_retry(ticket, Trouble::Answer(answer), at)
            }
            429 | 500.. => {
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
                ticket.fetched = None;
                if !core::mem::replace(&mut ticket.renewed, true)
                    && tokens.refused(generation, at.now)
                {
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
        ticket.count_failure();
        let asked = trouble.asked();
        let jitter = self.limits.retry.jitter(ticket.attempts(), &at);
        if let Trouble::Answer(answer) = &trouble
            && answer.status == StatusCode::TOO_MANY_REQUESTS
            && !ticket.fetches_token()
        {
            // As long as this one waits. Bounded: after that the next one asks again, rather than
            // nobody ever.
            let wanted = asked.saturating_add(jitter).min(self.limits.retry.wait);
            let delay = wanted.max(asked).min(LONGEST_HOLD);
            self.pace.hold(ticket.list.group(), at.now, delay, answer);
        }
        ticket.sent.begin_again();
        if ticket.attempts() >= self.limits.retry.attempts {
            let error = trouble.into_error(ticket.attempts(), asked.saturating_add(jitter));
            return self.end(&ticket, error);
        }
        self.wait(ticket, trouble, asked, jitter, at)
    }

    /// Waits for as long as was asked for, and the jitter as far as there is room for it; or says at
    /// once that it would be too long.
    fn wait<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        trouble: Trouble,
        asked: Duration,
        jitter: Duration,
        at: Moment,
    ) -> Next<B> {
        let retry = &self.limits.retry;
        let left = retry.total_wait.saturating_sub(ticket.waited);
        let room = left.min(retry.wait);
        let wanted = asked.saturating_add(jitter);
        if asked > room || room.is_zero() {
            let error = trouble.into_error(ticket.attempts(), wanted);
            // Only what the server asked for is a verdict; this exchange's own waits are not.
            return if asked > retry.wait {
                self.end(&ticket, error)
            } else {
                Err(error)
            };
        }
        let delay = wanted.min(room);
        self.keep_lead(&ticket, at, delay);
        ticket.waited = ticket.waited.saturating_add(delay);
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
            &self.redaction(),
        ))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base", &self.base)
            .field("version", &self.version)
            .field("pinned", &self.pinned)
            .finish_non_exhaustive()
    }
}
