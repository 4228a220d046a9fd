//! Moves an exchange from stage to stage: what it sends, what a response means for it, and when it waits.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::auth::Auth;
use super::rate_limiter::{Admission, RateLimiter};
use super::step::{Exchange, Failure, Pending, Step, Wait};
use super::ticket::{ChangeCounter, RequestAuth, RetryCause, Stage, Ticket, wait_timed_out};
use super::token_response::TokenResponse;
use super::verdict::{Preparation, Unauthorized};
use super::versions::Versions;
use crate::api_error::Redaction;
use crate::call::{Call, DEFAULT_USER_AGENT};
use crate::limits::{FOLLOWER_POLL_INTERVAL, MAX_PAUSE, MIN_WAIT};
use crate::redaction::KnownSecrets;
use crate::reply::{check_size, read_envelope, remaining_requests};
use crate::status::is_server_error;
use crate::{
    ApiError, BaseUrl, Body, Credentials, Endpoint, Error, FailureKind, ForeignError, InvalidValue,
    Limits, Moment, Refused, Reply,
};

/// The state that the exchanges of a session share, and the transitions of each exchange.
pub(super) struct Engine {
    pub(super) base: BaseUrl,
    pub(super) auth: Auth,
    pub(super) versions: Versions,
    pub(super) user_agent: HeaderValue,
    pub(super) limits: Limits,
    pub(super) rate_limiter: RateLimiter,
    /// The secrets that must not appear in an error.
    pub(super) secrets: KnownSecrets,
    /// Counts changes, and by its address identifies the tickets of this session.
    pub(super) changes: Arc<ChangeCounter>,
}

pub(super) type StepResult<B> = Result<Step<B>, Error>;

impl Engine {
    pub(super) fn new(base: BaseUrl, credentials: Credentials) -> Self {
        let (auth, secrets) = Auth::new(credentials);
        Self {
            base,
            auth,
            versions: Versions::default(),
            user_agent: DEFAULT_USER_AGENT,
            limits: Limits::default(),
            rate_limiter: RateLimiter::default(),
            secrets,
            changes: Arc::default(),
        }
    }

    #[inline]
    pub(super) fn start<B>(&mut self, call: Call, at: Moment) -> StepResult<B> {
        let ticket = Ticket::new(&self.changes, call, self.versions.current(call.resource));
        self.advance(ticket, at)
    }

    pub(super) fn respond<B: AsRef<[u8]>>(
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
            Ok(()) => self.on_response(ticket, response, at),
        }
    }

    pub(super) fn fail<B>(
        &mut self,
        pending: Pending,
        failure: Failure,
        at: Moment,
    ) -> StepResult<B> {
        let mut ticket = self.check_ticket(pending.0)?;
        self.changes.increment();
        let may_retry = match failure.kind {
            // Retried once: the lost request may have issued a token, and a service account may hold only
            // 100 live tokens.
            FailureKind::Lost if ticket.is_fetching_token() => {
                !core::mem::replace(&mut ticket.history.token_lost, true)
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

    pub(super) fn resume<B>(&mut self, wait: Wait, at: Moment) -> StepResult<B> {
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

    /// Removes the session's secrets from the failure.
    pub(super) fn failure_cause(&self, failure: Failure) -> RetryCause {
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

    /// Sends the next request, or returns a [`Wait`].
    fn advance<B>(&mut self, mut ticket: Box<Ticket>, at: Moment) -> StepResult<B> {
        if let Stage::FetchingToken { fetch } = &ticket.stage {
            let account = self.auth.service_account();
            if account.is_some_and(|account| account.is_current_fetch(fetch)) {
                return Ok(self.send_token_request(ticket, at));
            }
            // This token request took too long, so another exchange fetches a token or has fetched one. A second
            // token would count towards the 100 that a service account may hold.
            ticket.stage = Stage::START;
        }
        if let Some((left, response)) = self.rate_limiter.pause_left(ticket.call.scope, at.now) {
            let cause = RetryCause::Response(Box::new(response.clone()));
            // Without jitter, all paused exchanges would send at the same moment.
            let jitter = at.fraction_of(self.limits.retry.base);
            return self.wait(ticket, cause, left.max(MIN_WAIT), jitter, at);
        }
        let authorization = match self.auth.prepare(&mut ticket, at.now) {
            Preparation::Header(authorization) => {
                if let Stage::FollowingFetch { .. } = ticket.stage {
                    ticket.stage = Stage::START;
                }
                Some(authorization)
            }
            Preparation::Sign => None,
            Preparation::FetchToken(fetch) => {
                ticket.stage = Stage::FetchingToken { fetch };
                return Ok(self.send_token_request(ticket, at));
            }
            Preparation::Follow(number) => {
                ticket.stage = Stage::FollowingFetch { number };
                return self.wait_for_change(ticket, at);
            }
            Preparation::Failed(error) => return Err(error),
        };
        if ticket.slot.is_none() {
            match self.rate_limiter.admit(ticket.call.scope, at.now) {
                Admission::Unlimited => {}
                Admission::Slot(slot) => ticket.slot = Some(slot),
                Admission::Full => return self.wait_for_change(ticket, at),
            }
        }
        Ok(self.send_request(ticket, authorization, at))
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

    /// Sends the exchange's own request. Without an `authorization` it is signed, if there is a nonce.
    #[inline]
    fn send_request<B>(
        &mut self,
        mut ticket: Box<Ticket>,
        authorization: Option<HeaderValue>,
        at: Moment,
    ) -> Step<B> {
        let user_agent = self.user_agent.clone();
        let version = ticket.version;
        let mut request = ticket
            .call
            .http_request(&self.base, version, user_agent, Body::empty());
        let authorization = authorization.or_else(|| {
            let target = request.uri().path_and_query();
            let target = target.map_or("/", |target| target.as_str());
            self.auth.sign(&mut ticket, target, at)
        });
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
    pub(super) fn oauth_request(&self, endpoint: &str, form: &str) -> Request<Body> {
        let mut request = Request::new(Body::form(form));
        *request.method_mut() = Method::POST;
        let target = format!("{}/api/oauth/{endpoint}", self.base.path_prefix());
        *request.uri_mut() = self.base.uri(target);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(account) = self.auth.service_account() {
            headers.insert(AUTHORIZATION, account.basic());
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
            ticket.stage = Stage::START;
            if let Some(account) = self.auth.service_account_mut() {
                let fetched = Some(account.fetch_succeeded(token, at.now));
                ticket.stage = Stage::Requesting { fetched };
                self.secrets = account.secrets();
            }
            ticket.history.token_failures = 0;
            ticket.history.token_rate_limits = 0;
            return self.advance(ticket, at);
        }
        let error = self.read_error(status, Endpoint::Token, response, at);
        if status == StatusCode::TOO_MANY_REQUESTS || is_server_error(status) {
            // After a status other than these two, a token may have been issued: retried once, as a lost request.
            let may_retry = matches!(status.as_u16(), 429 | 503)
                || !core::mem::replace(&mut ticket.history.token_lost, true);
            let cause = RetryCause::Response(error);
            if may_retry && self.limits.retry.retries(status) {
                return self.wait_to_retry(ticket, cause, at);
            }
            ticket.count_failure();
            let wait = cause.requested_wait();
            return self.fail_exchange(&ticket, cause.into_error(ticket.attempts(), wait));
        }
        let refused = error.error_code.as_deref() == Some("invalid_client");
        let error = if refused || status == StatusCode::UNAUTHORIZED {
            Error::Authentication {
                refused: Refused::ServiceAccount,
                response: error,
            }
        } else {
            Error::Api(error)
        };
        self.fail_exchange(&ticket, error)
    }

    /// Extends the time of the ticket's token request, if it has one: the exchange continues after `delay`, and
    /// others keep waiting for it.
    fn extend_fetch(&mut self, ticket: &Ticket, at: Moment, delay: Duration) {
        if let Stage::FetchingToken { fetch } = &ticket.stage
            && let Some(account) = self.auth.service_account_mut()
        {
            account.extend_fetch(fetch, at.now, delay);
        }
    }

    /// Ends the exchange with an error. If it was fetching a token, the exchanges that wait for it fail, too.
    fn fail_exchange<B>(&mut self, ticket: &Ticket, error: Error) -> StepResult<B> {
        if let Stage::FetchingToken { fetch } = &ticket.stage
            && let Some(account) = self.auth.service_account_mut()
        {
            account.fetch_failed(fetch, &error);
        }
        Err(error)
    }

    /// Checks that this session issued the ticket. Otherwise a session could sign the challenge of another
    /// host with its own credentials.
    fn check_ticket(&self, ticket: Box<Ticket>) -> Result<Box<Ticket>, Error> {
        if Arc::ptr_eq(&ticket.session, &self.changes) {
            return Ok(ticket);
        }
        Err(Error::Invalid(InvalidValue::without_value(
            "ticket",
            "it belongs to another session: pass it to the session that returned it",
        )))
    }

    fn on_response<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: Response<B>,
        at: Moment,
    ) -> StepResult<B> {
        let mut status = response.status();
        let mut decoded = None;
        if status == StatusCode::OK && ticket.call.query.is_enveloped() {
            // The caller requested the envelope, so the status in the body is the status of the response.
            let form = ticket.call.resource.form;
            match read_envelope(response.body().as_ref(), form, self.limits.of_body()) {
                Ok(page) => decoded = page,
                Err(error_status) => status = error_status,
            }
        }
        if let Some(remaining) = remaining_requests(response.headers()) {
            self.rate_limiter
                .set_remaining(ticket.call.scope, at.now, remaining);
        }
        if status == StatusCode::UNAUTHORIZED {
            return self.on_unauthorized(ticket, &response, at);
        }
        if status == StatusCode::OK {
            self.return_nonce(&mut ticket);
            let (limits, secrets) = (self.limits.of_body(), self.secrets.clone());
            let (endpoint, version) = (ticket.call.resource.endpoint, Some(ticket.version));
            let reply = Reply::new(response, endpoint, version, limits, secrets);
            let attempts = ticket.history.failures.saturating_add(1);
            let reply = reply.with_decoded(decoded).with_attempts(attempts);
            return Ok(Step::Done(reply));
        }
        let error = self.read_error(status, ticket.call.resource.endpoint, &response, at);
        match status.as_u16() {
            406 | 410 if self.move_version(&mut ticket) => {
                ticket.auth.reset_challenges();
                self.advance(ticket, at)
            }
            _ if self.limits.retry.retries(status) => {
                self.wait_to_retry(ticket, RetryCause::Response(error), at)
            }
            429 | 500.. => {
                // Retryable, but the caller's policy excludes the status.
                self.return_nonce(&mut ticket);
                let wait = error.retry_after.unwrap_or_default();
                Err(RetryCause::Response(error).into_error(ticket.history.failures + 1, wait))
            }
            _ => {
                self.return_nonce(&mut ticket);
                Err(Error::Api(error))
            }
        }
    }

    /// Moves the ticket to the version that replaces the refused one. Returns `false` if there is none.
    fn move_version(&mut self, ticket: &mut Ticket) -> bool {
        let next = self
            .versions
            .after_refusal(ticket.call.resource, ticket.version);
        ticket.version = next.unwrap_or(ticket.version);
        next.is_some()
    }

    fn on_unauthorized<B: AsRef<[u8]>>(
        &mut self,
        mut ticket: Box<Ticket>,
        response: &Response<B>,
        at: Moment,
    ) -> StepResult<B> {
        let status = StatusCode::UNAUTHORIZED;
        let error = self.read_error(status, ticket.call.resource.endpoint, response, at);
        if error.is_not_allowed() && !matches!(ticket.auth, RequestAuth::Unsigned) {
            // The credential was recognised: a newer token or another nonce would change nothing.
            self.return_nonce(&mut ticket);
            return Err(Error::Authentication {
                refused: Refused::NotAllowed,
                response: error,
            });
        }
        let headers = response.headers();
        match self
            .auth
            .on_unauthorized(&mut ticket, headers, &self.limits, at)
        {
            Unauthorized::Answer => Ok(self.send_request(ticket, None, at)),
            Unauthorized::Renew => {
                ticket.auth = RequestAuth::Unset;
                ticket.stage = Stage::START;
                self.advance(ticket, at)
            }
            Unauthorized::Final(refused) => Err(Error::Authentication {
                refused,
                response: error,
            }),
        }
    }

    /// Returns an accepted nonce to the idle ones, for the next exchange.
    fn return_nonce(&mut self, ticket: &mut Ticket) {
        let auth = core::mem::replace(&mut ticket.auth, RequestAuth::Unset);
        self.auth.take_back(auth);
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
        if cause.is_rate_limit() && self.limits.retry.waits_out_rate_limits {
            ticket.count_rate_limit();
        }
        if let RetryCause::Response(response) = &cause
            && cause.is_rate_limit()
            && !ticket.is_fetching_token()
        {
            // The scope pauses for as long as this exchange waits. The pause is bounded, so that a server cannot
            // stop all requests for ever.
            let total = requested.saturating_add(jitter).min(self.limits.retry.wait);
            let delay = total.max(requested).min(MAX_PAUSE);
            self.rate_limiter
                .pause(ticket.call.scope, at.now, delay, response);
        }
        ticket.auth.reset_challenges();
        if ticket.counted_attempts() >= self.limits.retry.attempts {
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
        // In the meantime, another exchange of the scope may send.
        ticket.slot = None;
        Ok(Step::Wait(Wait {
            ticket,
            delay,
            on_change: false,
            since: at.now,
        }))
    }

    pub(super) fn read_error<B: AsRef<[u8]>>(
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
