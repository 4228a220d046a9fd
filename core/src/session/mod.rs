//! The session: authentication, retries, rate limits and versions of the dialogue with Atlas, one step at a time.

mod nonces;
mod rate_limiter;
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
use self::rate_limiter::{Admission, RateLimiter};
use self::ticket::{ChangeCounter, RequestAuth, RetryCause, Ticket, wait_timed_out};
use self::tokens::{TokenAction, TokenResponse, Tokens};
use crate::api_error::Redaction;
use crate::credentials::CredentialKind;
use crate::digest::Challenge;
use crate::error::is_server_error;
use crate::limits::{FOLLOWER_POLL_INTERVAL, MAX_CHALLENGES_ANSWERED, MAX_PAUSE, MIN_WAIT};
use crate::reply::{check_size, rate_limit, read_envelope};
use crate::request::{DEFAULT_USER_AGENT, user_agent};
use crate::secret::{KnownSecrets, UNRESERVED, percent_encoded};
use crate::{
    ApiError, ApiVersion, BaseUrl, Body, Credentials, Endpoint, Error, FailureKind, ForeignError,
    InvalidValue, Limits, ListRequest, Refused, Reply, Secret,
};

/// The long-lived state of the dialogue with one Atlas: credentials, token, nonces, rate limits and the
/// version in use, shared by all exchanges.
///
/// It does no I/O. [`start`](Session::start) an exchange, then do what each [`Step`] says until
/// [`Step::Done`]. Any number of exchanges may be in progress at the same time.
pub struct Session {
    base: BaseUrl,
    auth: Auth,
    version: ApiVersion,
    pinned: bool,
    user_agent: HeaderValue,
    limits: Limits,
    rate_limiter: RateLimiter,
    /// The secrets that must not appear in an error.
    secrets: KnownSecrets,
    /// Counts changes, and by its address identifies the tickets of this session.
    changes: Arc<ChangeCounter>,
}

enum Auth {
    Bearer(HeaderValue),
    Tokens(Tokens),
    Nonces(Nonces),
}

type StepResult<B> = Result<Step<B>, Error>;

impl Session {
    /// Creates a session with the Atlas at `base`. Credentials are sent there and nowhere else.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Credentials) -> Self {
        let (auth, secrets) = match credentials.0 {
            CredentialKind::Bearer(token) => (
                Auth::Bearer(tokens::bearer(&token)),
                KnownSecrets::new([token]),
            ),
            CredentialKind::ServiceAccount { id, secret } => {
                let tokens = Tokens::new(&id, secret);
                let secrets = tokens.secrets();
                (Auth::Tokens(tokens), secrets)
            }
            CredentialKind::ApiKey { public, private } => {
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
            rate_limiter: RateLimiter::default(),
            secrets,
            changes: Arc::default(),
        }
    }

    /// Requests this API version and no other. Without this setting the session requests `preview`, and
    /// switches to `2025-03-12` when Atlas no longer has it.
    #[must_use]
    pub fn with_version(mut self, version: ApiVersion) -> Self {
        self.version = version;
        self.pinned = true;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the `User-Agent`.
    ///
    /// # Errors
    /// Fails if the text is empty or not visible ASCII.
    pub fn with_user_agent(mut self, text: &str) -> Result<Self, InvalidValue> {
        self.user_agent = user_agent(text)?;
        Ok(self)
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the base URL that requests are sent to.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Returns the number of changes that a [`Wait`] with [`on_change`](Wait::on_change) waits for. A change is the
    /// response or the failure of a request, or the end of an exchange, dropped or not. The number wraps around.
    #[must_use]
    pub fn change_count(&self) -> usize {
        self.changes.get()
    }

    /// Returns the API version that the next exchange requests.
    #[must_use]
    pub fn version(&self) -> ApiVersion {
        self.version
    }

    /// Starts an exchange, which fetches one page.
    ///
    /// # Errors
    /// Returns the [`Error`] of an exchange that ends at once, for example because a rate limit lasts longer than
    /// [`Limits::retry`] allows.
    pub fn start<B>(&mut self, list: &ListRequest, at: Moment) -> StepResult<B> {
        let ticket = Ticket::new(&self.changes, list, self.version);
        self.advance(ticket, at)
    }

    /// Takes the response to the request of this ticket.
    ///
    /// The body must be complete and decompressed. A transport that stops reading at
    /// [`Limits::body_bytes`] + 1 bytes passes what it has read, and this method returns the error.
    ///
    /// # Errors
    /// Returns the [`Error`] that ends the exchange.
    pub fn respond<B: AsRef<[u8]>>(
        &mut self,
        pending: Pending,
        response: Response<B>,
        at: Moment,
    ) -> StepResult<B> {
        let ticket = self.check_ticket(pending.0)?;
        self.changes.increment();
        match check_size(&response, &self.limits) {
            Err(error) => self.fail_exchange(&ticket, error),
            Ok(()) if ticket.is_fetching_token() => self.on_token_response(ticket, &response, at),
            Ok(()) => self.on_list_response(ticket, response, at),
        }
    }

    /// Takes the transport failure of the request of this ticket.
    ///
    /// # Errors
    /// Returns the [`Error`] that ends the exchange.
    pub fn fail<B>(&mut self, pending: Pending, failure: Failure, at: Moment) -> StepResult<B> {
        let mut ticket = self.check_ticket(pending.0)?;
        self.changes.increment();
        let may_retry = match failure.kind {
            // Retried once: the lost request may have issued a token, and a service account may hold only
            // 100 live tokens.
            FailureKind::Lost if ticket.is_fetching_token() => {
                !core::mem::replace(&mut ticket.token_lost, true)
            }
            FailureKind::NotSent | FailureKind::Lost => true,
            FailureKind::TimedOut | FailureKind::Permanent => false,
        };
        let cause = self.failure_cause(failure);
        if may_retry {
            return self.wait_to_retry(ticket, cause, at);
        }
        ticket.count_failure();
        let error = cause.into_error(ticket.attempts(), Duration::ZERO);
        self.fail_exchange(&ticket, error)
    }

    /// Ends the exchange of this ticket because the caller's own deadline has passed.
    ///
    /// Returns the error that caused the last retry, or this failure if there was none. Other exchanges that wait for
    /// the same token do not fail; they must be woken (see [`Wait::on_change`]).
    #[must_use]
    pub fn give_up(&self, mut pending: Pending, failure: Failure) -> Error {
        let attempts = pending.attempt();
        let cause = pending.0.retry_cause.take();
        cause
            .unwrap_or_else(|| self.failure_cause(failure))
            .into_error(attempts, Duration::ZERO)
    }

    /// Converts the failure of a request outside an exchange, such as a revocation, into an error without
    /// the session's secrets. `attempts` is the number of attempts, or 0 if no request was made.
    #[must_use]
    pub fn transport_error(&self, failure: Failure, attempts: u32) -> Error {
        self.failure_cause(failure)
            .into_error(attempts, Duration::ZERO)
    }

    /// Removes the session's secrets from the failure.
    fn failure_cause(&self, failure: Failure) -> RetryCause {
        let Failure { kind, source } = failure;
        RetryCause::Failure {
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

    /// Continues an exchange after its wait.
    ///
    /// # Errors
    /// Returns the [`Error`] that ends the exchange.
    pub fn resume<B>(&mut self, wait: Wait, at: Moment) -> StepResult<B> {
        let Wait {
            ticket,
            delay,
            on_change,
            since,
        } = wait;
        let mut ticket = self.check_ticket(ticket)?;
        if on_change {
            // A wait for another exchange counts with the time that it took. Retry waits were counted when planned.
            let spent = at.now.saturating_sub(since).clamp(MIN_WAIT, delay);
            ticket.waited = ticket.waited.saturating_add(spent);
        }
        self.advance(ticket, at)
    }

    /// Returns the service account's token as a secret text, or `None` if there is none or it is about to expire.
    ///
    /// A session in another process can [restore](Session::restore_token) it, because a service account may hold
    /// only 100 live tokens. Protect the text like the client secret.
    #[must_use]
    pub fn export_token(&self, at: Moment) -> Option<Secret> {
        match &self.auth {
            Auth::Tokens(tokens) => tokens.export(&self.base, at.now),
            _ => None,
        }
    }

    /// Takes over a token that another session has exported.
    ///
    /// # Errors
    /// Fails if the text is not an exported token, if the token belongs to another base URL or service account or has
    /// expired, or if this session has no service account. The session then fetches a token as usual.
    pub fn restore_token(&mut self, exported: &Secret, at: Moment) -> Result<(), InvalidValue> {
        let restored = match &mut self.auth {
            Auth::Tokens(tokens) => tokens
                .restore(exported, &self.base, at.now, &self.limits)
                .map(|()| self.secrets = tokens.secrets()),
            _ => Err("only a session with a service account can use one"),
        };
        restored.map_err(|rule| InvalidValue::secret("exported token", rule))
    }

    /// Removes the service account's token, and returns the request that revokes it (RFC 7009), or `None` if there is
    /// no token. Pass the response to [`revoked`](Session::revoked).
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
    /// Returns [`Error::Api`] if Atlas did not revoke the token, and [`Error::Limit`] if the response is too large.
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

    /// Sends the next request, or returns a [`Wait`].
    fn advance<B>(&mut self, mut ticket: Box<Ticket>, at: Moment) -> StepResult<B> {
        if let Some(fetch) = &ticket.fetch {
            if matches!(&self.auth, Auth::Tokens(tokens) if tokens.is_current_fetch(fetch)) {
                return Ok(self.send_token_request(ticket, at));
            }
            // This token request took too long, so another exchange fetches a token or has fetched one. A second
            // token would count towards the 100 that a service account may hold.
            ticket.fetch = None;
        }
        if let Some((left, response)) = self.rate_limiter.pause_left(ticket.list.group(), at.now) {
            let cause = RetryCause::Response(Box::new(response.clone()));
            // Without jitter, all paused exchanges would send at the same moment.
            let jitter = at.fraction_of(self.limits.retry.base);
            return self.wait(ticket, cause, left.max(MIN_WAIT), jitter, at);
        }
        let authorization = match &mut self.auth {
            Auth::Bearer(header) => {
                ticket.auth = RequestAuth::Bearer;
                Some(header.clone())
            }
            Auth::Tokens(tokens) => match tokens.next_action(&ticket, at.now) {
                TokenAction::Use { header, generation } => {
                    ticket.awaited_fetch = None;
                    ticket.auth = RequestAuth::Token(generation);
                    Some(header)
                }
                TokenAction::Fetch(fetch) => {
                    ticket.fetch = Some(fetch);
                    return Ok(self.send_token_request(ticket, at));
                }
                TokenAction::Wait { fetch_number } => {
                    ticket.awaited_fetch = Some(fetch_number);
                    return self.wait_for_change(ticket, at);
                }
                TokenAction::Fail(error) => return Err(error),
            },
            Auth::Nonces(_) => None,
        };
        if ticket.slot.is_none() {
            match self.rate_limiter.admit(ticket.list.group(), at.now) {
                Admission::Unlimited => {}
                Admission::Slot(slot) => ticket.slot = Some(slot),
                Admission::Full => return self.wait_for_change(ticket, at),
            }
        }
        if let Auth::Nonces(nonces) = &mut self.auth
            && !matches!(ticket.auth, RequestAuth::Digest { .. })
        {
            ticket.auth = nonces
                .check_out()
                .map_or(RequestAuth::Unsigned, |answerer| RequestAuth::Digest {
                    answerer,
                    answered: 0,
                });
        }
        Ok(self.send_list(ticket, authorization, at))
    }

    /// Waits for a change of another exchange.
    fn wait_for_change<B>(&self, ticket: Box<Ticket>, at: Moment) -> StepResult<B> {
        if ticket.waited > self.limits.retry.total_wait {
            return Err(wait_timed_out(FailureKind::NotSent));
        }
        Ok(Step::Wait(Wait {
            ticket,
            delay: FOLLOWER_POLL_INTERVAL,
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
        if let (Auth::Nonces(nonces), RequestAuth::Digest { answerer, .. }) =
            (&mut self.auth, &mut ticket.auth)
        {
            let target = request
                .uri()
                .path_and_query()
                .map_or("/", |target| target.as_str());
            authorization = nonces.sign(answerer, Method::GET.as_str(), target, at.entropy);
            if authorization.is_none() {
                // The nonce count is used up, which is handled like an expired nonce.
                ticket.auth = RequestAuth::Unsigned;
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
        ticket.auth = RequestAuth::Unset;
        self.extend_fetch(&ticket, at, Duration::ZERO);
        Step::Send(Exchange {
            request: self.oauth_request("token", "grant_type=client_credentials"),
            pending: Pending(ticket),
        })
    }

    /// Returns a request to an OAuth endpoint, authenticated as the service account.
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

    fn on_token_response<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: &Response<B>,
        at: Moment,
    ) -> StepResult<B> {
        let status = response.status();
        if status == StatusCode::OK {
            let token = match TokenResponse::parse(response.body().as_ref(), &self.limits) {
                Ok(token) => token,
                Err(error) => return self.fail_exchange(&ticket, error),
            };
            if let Auth::Tokens(tokens) = &mut self.auth {
                ticket.fetched_generation = Some(tokens.fetch_succeeded(token, at.now));
                self.secrets = tokens.secrets();
            }
            ticket.fetch = None;
            ticket.token_failures = 0;
            return self.advance(ticket, at);
        }
        let answer = self.read_error(status, Endpoint::Token, response, at);
        if status == StatusCode::TOO_MANY_REQUESTS || is_server_error(status) {
            // With other statuses than these two, a token may have been issued: retried once, as when it is lost.
            let may_retry = matches!(status.as_u16(), 429 | 503)
                || !core::mem::replace(&mut ticket.token_lost, true);
            let cause = RetryCause::Response(answer);
            if may_retry && self.limits.retry.retries(status) {
                return self.wait_to_retry(ticket, cause, at);
            }
            ticket.count_failure();
            let wait = cause.requested_wait();
            return self.fail_exchange(&ticket, cause.into_error(ticket.attempts(), wait));
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
        self.fail_exchange(&ticket, error)
    }

    /// Extends the time of the ticket's token request, if it has one: the exchange continues after `delay`, and
    /// others keep waiting for it.
    fn extend_fetch(&mut self, ticket: &Ticket, at: Moment, delay: Duration) {
        if let (Auth::Tokens(tokens), Some(fetch)) = (&mut self.auth, &ticket.fetch) {
            tokens.extend_fetch(fetch, at.now, delay);
        }
    }

    /// Ends the exchange with an error. If it was fetching a token, the exchanges that wait for it fail, too.
    fn fail_exchange<B>(&mut self, ticket: &Ticket, error: Error) -> StepResult<B> {
        if ticket.is_fetching_token()
            && let Auth::Tokens(tokens) = &mut self.auth
        {
            tokens.fetch_failed(ticket.fetch.as_ref(), &error);
        }
        Err(error)
    }

    /// Checks that this session issued the ticket. Otherwise a session could sign the challenge of another
    /// host with its own credentials.
    fn check_ticket(&self, ticket: Box<Ticket>) -> Result<Box<Ticket>, Error> {
        if Arc::ptr_eq(&ticket.session, &self.changes) {
            return Ok(ticket);
        }
        Err(Error::Invalid(InvalidValue::secret(
            "ticket",
            "it belongs to another session: pass it to the session that returned it",
        )))
    }

    fn on_list_response<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: Response<B>,
        at: Moment,
    ) -> StepResult<B> {
        let mut status = response.status();
        let mut decoded = None;
        if status == StatusCode::OK && ticket.list.is_enveloped() {
            // The caller requested the envelope, so the status in the body counts.
            match read_envelope(response.body().as_ref(), self.limits.of_body()) {
                Ok(page) => decoded = page,
                Err(error_status) => status = error_status,
            }
        }
        if let Some(remaining) = rate_limit(response.headers()).remaining {
            self.rate_limiter
                .set_remaining(ticket.list.group(), at.now, remaining);
        }
        if status == StatusCode::UNAUTHORIZED {
            return self.on_unauthorized(ticket, &response, at);
        }
        if status == StatusCode::OK {
            self.return_nonce(&mut ticket);
            let version = Some(ticket.version);
            let (limits, secrets) = (self.limits.of_body(), self.secrets.clone());
            let reply = Reply::new(response, decoded, version, limits, secrets);
            return Ok(Step::Done(reply));
        }
        let answer = self.read_error(status, Endpoint::ModelKeys, &response, at);
        match status.as_u16() {
            406 | 410 if self.switch_version(&mut ticket) => {
                ticket.auth.reset_challenges();
                self.advance(ticket, at)
            }
            _ if self.limits.retry.retries(status) => {
                self.wait_to_retry(ticket, RetryCause::Response(answer), at)
            }
            429 | 500.. => {
                // Retryable, but the caller's policy excludes the status.
                self.return_nonce(&mut ticket);
                let wait = answer.retry_after.unwrap_or_default();
                Err(RetryCause::Response(answer).into_error(ticket.failures + 1, wait))
            }
            _ => {
                self.return_nonce(&mut ticket);
                Err(Error::Api(answer))
            }
        }
    }

    /// Sets the ticket's version to the session's, after switching the session away from an unpinned `preview`.
    /// Returns whether the ticket's version has changed.
    fn switch_version(&mut self, ticket: &mut Ticket) -> bool {
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
    ) -> StepResult<B> {
        let status = StatusCode::UNAUTHORIZED;
        let answer = self.read_error(status, Endpoint::ModelKeys, response, at);
        if answer.is_not_allowed() && !matches!(ticket.auth, RequestAuth::Unsigned) {
            // The credential was recognised: a newer token or another nonce would change nothing.
            self.return_nonce(&mut ticket);
            return Err(Error::Authentication {
                refused: Refused::NotAllowed,
                answer,
            });
        }
        let refused = match (
            &mut self.auth,
            core::mem::replace(&mut ticket.auth, RequestAuth::Unset),
        ) {
            (Auth::Tokens(tokens), RequestAuth::Token(generation)) => {
                ticket.fetched_generation = None;
                if !core::mem::replace(&mut ticket.renewed, true)
                    && tokens.token_refused(generation, at.now)
                {
                    return self.advance(ticket, at);
                }
                Refused::Token
            }
            (Auth::Nonces(nonces), auth) => {
                let challenges = response.headers().get_all(WWW_AUTHENTICATE);
                let challenge = Challenge::strongest(challenges, &self.limits);
                let answered = match &auth {
                    RequestAuth::Digest { answered, .. } => *answered,
                    _ => 0,
                };
                match challenge {
                    // A refusal is final only if the nonce was issued to this exchange and is not stale.
                    Some(challenge)
                        if answered == 0
                            || (challenge.is_stale() && answered < MAX_CHALLENGES_ANSWERED) =>
                    {
                        ticket.auth = RequestAuth::Digest {
                            answerer: nonces.answerer(challenge, at.entropy),
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

    /// Returns an accepted nonce to the idle ones, for the next exchange.
    fn return_nonce(&mut self, ticket: &mut Ticket) {
        let auth = core::mem::replace(&mut ticket.auth, RequestAuth::Unset);
        if let (Auth::Nonces(nonces), RequestAuth::Digest { answerer, .. }) = (&mut self.auth, auth)
        {
            nonces.check_in(answerer);
        }
    }

    fn wait_to_retry<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        cause: RetryCause,
        at: Moment,
    ) -> StepResult<B> {
        ticket.count_failure();
        let requested = cause.requested_wait();
        let jitter = self.limits.retry.jitter(ticket.attempts(), &at);
        if let RetryCause::Response(response) = &cause
            && response.status == StatusCode::TOO_MANY_REQUESTS
            && !ticket.is_fetching_token()
        {
            // The group pauses for as long as this exchange waits. The pause is bounded, so that a server cannot
            // stop all requests for ever.
            let total = requested.saturating_add(jitter).min(self.limits.retry.wait);
            let delay = total.max(requested).min(MAX_PAUSE);
            self.rate_limiter
                .pause(ticket.list.group(), at.now, delay, response);
        }
        ticket.auth.reset_challenges();
        if ticket.attempts() >= self.limits.retry.attempts {
            let error = cause.into_error(ticket.attempts(), requested.saturating_add(jitter));
            return self.fail_exchange(&ticket, error);
        }
        self.wait(ticket, cause, requested, jitter, at)
    }

    /// Waits for the requested time, plus as much of the jitter as the limits allow. Fails at once if the requested
    /// time is longer than they allow.
    fn wait<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        cause: RetryCause,
        requested: Duration,
        jitter: Duration,
        at: Moment,
    ) -> StepResult<B> {
        let retry = &self.limits.retry;
        let left = retry.total_wait.saturating_sub(ticket.waited);
        let longest = left.min(retry.wait);
        let wanted = requested.saturating_add(jitter);
        if requested > longest || longest.is_zero() {
            let error = cause.into_error(ticket.attempts(), wanted);
            // Exchanges that wait for this one fail only if the server's wait is too long for them, too; the time
            // that this exchange has already waited does not concern them.
            return if requested > retry.wait {
                self.fail_exchange(&ticket, error)
            } else {
                Err(error)
            };
        }
        let delay = wanted.min(longest);
        self.extend_fetch(&ticket, at, delay);
        ticket.waited = ticket.waited.saturating_add(delay);
        ticket.retry_cause = Some(cause);
        // In the meantime, another exchange of the group may send.
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
