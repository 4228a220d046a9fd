//! The session: authentication, retries, rate limits and versions of the exchanges with Atlas, one step at a time.
//!
//! An *exchange* sends one request of an operation until it has a reply or an error. Between its steps, a *ticket*
//! ([`Pending`] or [`Wait`]) holds its state. The stages of an exchange:
//!
//! ```text
//!       start                           reply
//!         ▼                               ▲
//!     ┌───┴───────────────────────────────┴───┐
//!     │              Requesting               ├─┐ 0
//!     └──┬─────────▲────────────┬─────────▲───┘◄┘
//!      1 │       2 │          3 │       4 │
//!     ┌──▼─────────┴──┐  5  ┌───▼─────────┴───┐
//!  0 ┌┤ FetchingToken │◄────┤ FollowingFetch  ├─┐ 0
//!    └►               │     │                 │◄┘
//!     └───────────────┘     └─────────────────┘
//! ```
//!
//! - 0: after a wait (a retry, a pause, no free slot, a token request that is still in flight)
//! - 1: there is no valid token, and no exchange fetches one
//! - 2: the token has arrived, or another exchange has taken over because the token request took too long
//! - 3: another exchange fetches a token
//! - 4: there is a token
//! - 5: there is none, and no exchange fetches it any more
//!
//! Each stage can end with an error. Exchanges with a bearer token or an API key have only the first stage.
//!
//! Exchanges whose requests Atlas counts together have the same *scope*. A *slot* is a place under the limit on the requests
//! in flight of a scope. A *generation* is the number of a token.
//!
//! | file | content |
//! |---|---|
//! | `mod.rs` | the public methods |
//! | `step.rs` | the public types of a step |
//! | `exchange.rs` | moves an exchange from stage to stage |
//! | `ticket.rs` | the state of an exchange |
//! | `auth.rs` | the choice between `bearer.rs`, `service_account.rs` and `digest.rs`, which decide (`verdict.rs`) |
//! | `token_response.rs` | the parser of a token response |
//! | `rate_limiter.rs` | pauses and concurrency limits |
//! | `period.rs` | spans of time that end when the clock is set back |
//! | `versions.rs` | the API version of each operation |

mod auth;
mod bearer;
mod digest;
mod exchange;
mod period;
mod rate_limiter;
mod service_account;
mod step;
mod ticket;
mod token_response;
mod verdict;
mod versions;

use alloc::format;
use core::fmt;
use core::time::Duration;

use http::{Request, Response};
use zeroize::Zeroizing;

pub use self::step::{Exchange, Failure, Pending, Step, Wait};

use self::exchange::{Engine, StepResult};
use crate::call::user_agent;
use crate::reply::check_size;
use crate::secret::{UNRESERVED, percent_encoded};
use crate::{
    ApiVersion, BaseUrl, Body, Credentials, Endpoint, Error, InvalidValue, Limits, Moment,
    Operation, Secret,
};

/// The long-lived state of the dialogue with one Atlas: credentials, token, nonces, rate limits and the
/// versions in use, shared by all exchanges.
///
/// It does no I/O. [`start`](Session::start) an exchange, then do what each [`Step`] says until
/// [`Step::Done`]. Any number of exchanges may be in progress at the same time.
pub struct Session {
    engine: Engine,
}

impl Session {
    /// Creates a session with the Atlas at `base`. Credentials are sent there and nowhere else.
    #[must_use]
    pub fn new(base: BaseUrl, credentials: Credentials) -> Self {
        Self {
            engine: Engine::new(base, credentials),
        }
    }

    /// Pins the API version of [`ListRequest`](crate::ListRequest) and [`KeyRequest`](crate::KeyRequest), the two operations that
    /// exist in `preview` too. Other operations are not affected.
    ///
    /// Without this setting the session requests `preview`, and moves on to `2025-03-12` when Atlas no longer has it.
    #[must_use]
    pub fn with_version(mut self, version: ApiVersion) -> Self {
        self.engine.versions.pin(version);
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.engine.limits = limits;
        self
    }

    /// Sets the `User-Agent`.
    ///
    /// # Errors
    /// Fails if the text is empty or not printable ASCII.
    pub fn with_user_agent(mut self, text: &str) -> Result<Self, InvalidValue> {
        self.engine.user_agent = user_agent(text)?;
        Ok(self)
    }

    /// Returns the limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.engine.limits
    }

    /// Returns the base URL that requests are sent to.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        &self.engine.base
    }

    /// Returns the number of changes that a [`Wait`] with [`on_change`](Wait::on_change) waits for. A change is the
    /// response or the failure of a request, or the end of an exchange, dropped or not. The number wraps around.
    #[must_use]
    pub fn change_count(&self) -> usize {
        self.engine.changes.get()
    }

    /// Returns the rest of the longest pause after a 429 response, or `None` if there is no pause.
    ///
    /// A session pauses only the requests for the same group or organization, but Atlas does not tell which requests share a
    /// rate limit. A caller that lists many groups can use this to start no new one until the pause ends.
    #[must_use]
    pub fn longest_pause(&self, at: Moment) -> Option<Duration> {
        self.engine.rate_limiter.longest_pause_left(at.now)
    }

    /// Returns the API version that the next exchange of this operation requests.
    #[must_use]
    pub fn version<O: Operation>(&self) -> ApiVersion {
        self.engine.versions.current(O::RESOURCE)
    }

    /// Starts an exchange, which sends one request of the operation, such as a [`ListRequest`](crate::ListRequest) for one
    /// page.
    ///
    /// # Errors
    /// Returns the [`Error`] of an exchange that ends at once, for example because a rate limit lasts longer than
    /// [`Limits::retry`] allows.
    pub fn start<B>(&mut self, operation: &impl Operation, at: Moment) -> StepResult<B> {
        self.engine.start(operation.call(), at)
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
        self.engine.respond(pending, response, at)
    }

    /// Takes the transport failure of the request of this ticket.
    ///
    /// If the failure ends a token request, the exchanges that wait for its token fail, too. After the caller's own deadline
    /// call [`give_up`](Session::give_up) instead, which does not affect them.
    ///
    /// # Errors
    /// Returns the [`Error`] that ends the exchange.
    pub fn fail<B>(&mut self, pending: Pending, failure: Failure, at: Moment) -> StepResult<B> {
        self.engine.fail(pending, failure, at)
    }

    /// Continues an exchange after its wait.
    ///
    /// # Errors
    /// Returns the [`Error`] that ends the exchange.
    pub fn resume<B>(&mut self, wait: Wait, at: Moment) -> StepResult<B> {
        self.engine.resume(wait, at)
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
            .unwrap_or_else(|| self.engine.failure_cause(failure))
            .into_error(attempts, Duration::ZERO)
    }

    /// Converts the failure of a request outside an exchange, such as a revocation, into an error without
    /// the session's secrets. `attempts` is the number of attempts, or 0 if no request was made.
    #[must_use]
    pub fn transport_error(&self, failure: Failure, attempts: u32) -> Error {
        self.engine
            .failure_cause(failure)
            .into_error(attempts, Duration::ZERO)
    }

    /// Returns the service account's access token, or `None` if the session has none. It may be about to expire.
    ///
    /// It is for a program that hands it to others, which send it as [their own](Credentials::bearer). Protect it like the
    /// client secret.
    #[must_use]
    pub fn access_token(&self) -> Option<Secret> {
        self.engine.auth.service_account()?.token()
    }

    /// Returns the service account's token as a secret text, or `None` if there is none or it is about to expire.
    ///
    /// A session in another process can [restore](Session::restore_token) it, because a service account may hold
    /// only 100 live tokens. Protect the text like the client secret.
    #[must_use]
    pub fn export_token(&self, at: Moment) -> Option<Secret> {
        let account = self.engine.auth.service_account()?;
        account.export(&self.engine.base, at.now)
    }

    /// Takes over a token that another session has exported.
    ///
    /// # Errors
    /// Fails if the text is not an exported token, if the token belongs to another base URL or service account or has
    /// expired, or if this session has no service account. The session then fetches a token as usual.
    pub fn restore_token(&mut self, exported: &Secret, at: Moment) -> Result<(), InvalidValue> {
        let Engine {
            auth,
            base,
            limits,
            secrets,
            ..
        } = &mut self.engine;
        let restored = match auth.service_account_mut() {
            Some(account) => account
                .restore(exported, base, at.now, limits)
                .map(|()| *secrets = account.secrets()),
            None => Err("only a session with a service account can use one"),
        };
        restored.map_err(|rule| InvalidValue::without_value("exported token", rule))
    }

    /// Removes a token of the service account, and returns the request that revokes it (RFC 7009), or `None` if there is
    /// no token. Pass the response to [`revoked`](Session::revoked).
    ///
    /// A session can have several tokens: after a 401 it replaces its token, although the old one may still be valid. Call
    /// this until it returns `None`.
    pub fn revoke_token(&mut self) -> Option<Request<Body>> {
        let Engine { auth, secrets, .. } = &mut self.engine;
        let account = auth.service_account_mut()?;
        let token = account.take()?;
        *secrets = account.secrets();
        Some(self.revocation(&token))
    }

    /// Returns the request that revokes this access token of the service account (RFC 7009). It may come from another session.
    /// Pass the response to [`revoked`](Session::revoked).
    ///
    /// # Errors
    /// Fails if this session has no service account: only the account that got a token may revoke it.
    pub fn revoke(&mut self, token: &Secret) -> Result<Request<Body>, InvalidValue> {
        let Engine { auth, secrets, .. } = &mut self.engine;
        let account = auth.service_account_mut().ok_or_else(|| {
            let rule = "only a session with a service account can revoke one";
            InvalidValue::without_value("access token", rule)
        })?;
        account.forget(token);
        *secrets = account.secrets();
        Ok(self.revocation(token))
    }

    fn revocation(&self, token: &Secret) -> Request<Body> {
        let token = percent_encoded(token.expose(), UNRESERVED);
        let form = Zeroizing::new(format!("token={}&token_type_hint=access_token", *token));
        self.engine.oauth_request("revoke", &form)
    }

    /// Takes the response to the request that revokes a token.
    ///
    /// # Errors
    /// Returns [`Error::Api`] if Atlas did not revoke the token, and [`Error::Limit`] if the response is too large.
    pub fn revoked<B: AsRef<[u8]>>(&self, response: &Response<B>, at: Moment) -> Result<(), Error> {
        check_size(response, &self.engine.limits)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Error::Api(self.engine.read_error(
            status,
            Endpoint::Revocation,
            response,
            at,
        )))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base", &self.engine.base)
            .field("versions", &self.engine.versions)
            .finish_non_exhaustive()
    }
}
