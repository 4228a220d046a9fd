//! The loop that drives a session: it sends requests, waits, and wakes those who wait for it.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use atlas_model_keys_core::{
    Body, Error, Exchange, Failure, FailureKind, GroupsRequest, Limits, Operation, Reply, Secret,
    Step, Wait,
};
use http::{Request, Response, StatusCode};
use zeroize::Zeroizing;

use crate::body_size::BodySizeEstimate;
use crate::cancel::CancelHandle;
use crate::deadline::Deadline;
use crate::event::Events;
use crate::io::Io;
use crate::race;
use crate::settings::Resolved;
use crate::shared::SharedSession;
use crate::transport::SendContext;

/// The state that the clones of a client share.
pub(crate) struct Driver<I> {
    pub(crate) session: SharedSession,
    pub(crate) io: I,
    pub(crate) limits: Limits,
    events: Events,
    body_size: Arc<BodySizeEstimate>,
}

/// A driver, and the settings of the calls of one clone of a client.
pub(crate) struct Handle<I> {
    pub(crate) driver: Arc<Driver<I>>,
    pub(crate) deadline: Duration,
    /// Whether the deadline includes all waits, because it was set for this clone.
    pub(crate) has_strict_deadline: bool,
    pub(crate) cancel: Option<CancelHandle>,
}

impl<I: Io> Handle<I> {
    pub(crate) fn new(resolved: Resolved, io: I) -> Self {
        let driver = Driver {
            session: SharedSession::new(resolved.session, resolved.clock),
            io,
            limits: resolved.limits,
            events: resolved.events,
            body_size: Arc::default(),
        };
        Self {
            driver: Arc::new(driver),
            deadline: resolved.deadline,
            has_strict_deadline: false,
            cancel: None,
        }
    }

    /// Returns the deadline of a call that begins now. The call ends early when `abandoned` becomes true.
    fn deadline(&self, abandoned: Option<Arc<AtomicBool>>) -> Deadline {
        let clock = &self.driver.session.clock;
        let deadline = Deadline::after(self.deadline, clock, self.cancel.clone(), abandoned);
        deadline.leaving_out_rate_limits(self.waits_out())
    }

    /// Drives the session until the reply is there. The body is read into `buffer`.
    pub(crate) async fn reply<O: Operation>(
        &self,
        operation: &O,
        buffer: Vec<u8>,
        abandoned: Option<Arc<AtomicBool>>,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let deadline = self.deadline(abandoned);
        self.driver.drive(operation, buffer, deadline).await
    }

    /// Waits until no rate limit pauses any request of the session. It ends earlier if the call is cancelled, and waits no
    /// longer than a call may wait.
    pub(crate) async fn wait_for_pauses(&self) -> Result<(), Error> {
        let driver = &self.driver;
        let clock = &driver.session.clock;
        let longest = match self.waits_out() {
            true => driver.limits.retry.total_wait,
            false => self.deadline.min(driver.limits.retry.total_wait),
        };
        let end = clock.elapsed().saturating_add(longest);
        let is_cancelled = || self.cancel.as_ref().is_some_and(CancelHandle::is_cancelled);
        while let Some(pause) = driver.session.with(|s, at| Ok(s.longest_pause(at)))?
            && !is_cancelled()
        {
            let pause = pause.min(end.saturating_sub(clock.elapsed()));
            if pause.is_zero() {
                break;
            }
            if !clock.jump(pause) {
                driver.pause(pending(), pause, self.cancel.as_ref()).await;
            }
        }
        Ok(())
    }

    /// Returns whether waits for a rate limit do not count towards the deadline.
    fn waits_out(&self) -> bool {
        self.driver.limits.retry.waits_out_rate_limits && !self.has_strict_deadline
    }

    /// Drives the session until it has an access token of the service account.
    pub(crate) async fn access_token(&self) -> Result<Secret, Error> {
        self.driver.fetch_token(self.deadline(None)).await
    }

    /// Revokes the access token of the service account, if there is one, and those that were replaced after a 401. All of them
    /// share the deadline. Returns the first error.
    pub(crate) async fn revoke_token(&self) -> Result<(), Error> {
        let (session, deadline) = (&self.driver.session, self.deadline(None));
        let mut outcome = Ok(());
        while let Some(request) = session.with(|s, _| Ok(s.revoke_token()))? {
            let revoked = self.send_revocation(request, &deadline).await;
            outcome = outcome.and(revoked);
        }
        outcome
    }

    /// Revokes this access token of the service account.
    pub(crate) async fn revoke(&self, token: &Secret) -> Result<(), Error> {
        let request = self.driver.session.with(|s, _| Ok(s.revoke(token)?))?;
        self.send_revocation(request, &self.deadline(None)).await
    }

    async fn send_revocation(
        &self,
        request: Request<Body>,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let driver = &self.driver;
        let context = SendContext::for_call(deadline, &driver.limits, true);
        let response = driver.send(request, 1, context, deadline).await;
        let response = response
            .map_err(|failure| driver.session.transport_error(failure, 1))?
            .map(Zeroizing::new);
        driver.session.with(|s, at| s.revoked(&response, at))
    }
}

impl<I> Clone for Handle<I> {
    fn clone(&self) -> Self {
        Self {
            driver: Arc::clone(&self.driver),
            deadline: self.deadline,
            has_strict_deadline: self.has_strict_deadline,
            cancel: self.cancel.clone(),
        }
    }
}

impl<I> fmt::Debug for Handle<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("session", &self.driver.session)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<I: Io> Driver<I> {
    async fn drive<O: Operation>(
        &self,
        operation: &O,
        mut buffer: Vec<u8>,
        mut deadline: Deadline,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let session = &self.session;
        // Others may wait for the end of this call, whatever its outcome and wherever it is dropped.
        let _wake = session.wake_on_drop();
        let (mut step, mut changes) = session.step(|session, at| session.start(operation, at))?;
        loop {
            (step, changes) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(exchange) => self.exchange(exchange, &mut buffer, &deadline).await?,
                Step::Wait(wait) => self.resume(wait, changes, &mut deadline).await?,
            };
        }
    }

    /// Drives an exchange until its own request comes next, and then drops it. By then the session has a token.
    async fn fetch_token(&self, mut deadline: Deadline) -> Result<Secret, Error> {
        let session = &self.session;
        let _wake = session.wake_on_drop();
        let operation = GroupsRequest::new();
        let (mut step, mut changes) = session.step(|session, at| session.start(&operation, at))?;
        loop {
            (step, changes) = match step {
                Step::Send(exchange) if exchange.pending.is_for_token() => {
                    self.exchange(exchange, &mut Vec::new(), &deadline).await?
                }
                Step::Send(_) | Step::Done(_) => return session.access_token(),
                Step::Wait(wait) => self.resume(wait, changes, &mut deadline).await?,
            };
        }
    }

    /// Sends a request, and gives the outcome to the session.
    async fn exchange(
        &self,
        Exchange { request, pending }: Exchange,
        buffer: &mut Vec<u8>,
        deadline: &Deadline,
    ) -> Result<(Step<Vec<u8>>, usize), Error> {
        let session = &self.session;
        // Others are woken after each exchange, because the next one may be slow.
        let _wake = session.wake_on_drop();
        let is_for_token = pending.is_for_token();
        let mut context = SendContext::for_call(deadline, &self.limits, is_for_token);
        if !is_for_token {
            context = context.with_buffer(std::mem::take(buffer), &self.body_size);
        }
        match self
            .send(request, pending.attempt(), context, deadline)
            .await
        {
            Ok(response) => {
                let has_token = is_for_token && response.status() == StatusCode::OK;
                let next = session.respond(pending, response)?;
                if has_token {
                    self.events.token_fetched();
                }
                Ok(next)
            }
            // The deadline of this call has passed, which says nothing about Atlas. Other exchanges may wait for the
            // same token, so the session gets no failure.
            Err(failure)
                if failure.kind() == FailureKind::TimedOut || deadline.remaining().is_zero() =>
            {
                Err(session.give_up(pending, failure))
            }
            Err(failure) => session.step(|s, at| s.fail(pending, failure, at)),
        }
    }

    /// Waits, and continues the exchange.
    async fn resume(
        &self,
        wait: Wait,
        changes: usize,
        deadline: &mut Deadline,
    ) -> Result<(Step<Vec<u8>>, usize), Error> {
        let wait = self.wait(wait, changes, deadline).await?;
        self.session.step(|session, at| session.resume(wait, at))
    }

    /// Sends a request, unless the deadline has passed or the call was cancelled.
    async fn send(
        &self,
        request: Request<Body>,
        attempt: u32,
        context: SendContext<'_>,
        deadline: &Deadline,
    ) -> Result<Response<Vec<u8>>, Failure> {
        if context.is_cancelled() {
            return Err(cancelled());
        }
        if context.remaining().is_zero() {
            return Err(timed_out());
        }
        let send = async |request| {
            let outcome = self.io.send(request, context).await;
            outcome.map_err(|failure| match failure.kind() {
                // It may be a consequence of the deadline.
                FailureKind::NotSent | FailureKind::Lost if deadline.remaining().is_zero() => {
                    failure.with_kind(FailureKind::TimedOut)
                }
                _ => failure,
            })
        };
        self.events
            .observe(request, attempt, &*self.session.clock, send)
            .await
    }

    /// Waits as long as the session says, or ends the exchange if that is beyond the deadline.
    async fn wait(
        &self,
        wait: Wait,
        changes: usize,
        deadline: &mut Deadline,
    ) -> Result<Wait, Error> {
        let is_rate_limited = || {
            let status = wait.api_error().map(|error| error.status);
            status == Some(StatusCode::TOO_MANY_REQUESTS)
        };
        // A wait for another exchange may be a wait for its rate limit.
        let is_waited_out = deadline.leaves_out_rate_limits
            && (wait.on_change() || is_rate_limited())
            && !deadline.is_cancelled();
        if is_waited_out && !wait.on_change() {
            deadline.extend(wait.delay());
        }
        let begun = self.session.clock.elapsed();
        let remaining = deadline.remaining();
        if !wait.on_change() && wait.delay() >= remaining {
            return Err(wait.give_up());
        }
        self.events.waiting(&wait);
        if wait.on_change() {
            let changed = self.session.changed(changes);
            // The session decides again after a change, and also at the end of the time.
            let delay = wait.delay().min(remaining);
            self.pause(changed, delay, deadline.cancel.as_ref()).await;
            if is_waited_out {
                deadline.extend(self.session.clock.elapsed().saturating_sub(begun));
            }
        } else if !self.session.clock.jump(wait.delay()) {
            self.pause(pending(), wait.delay(), deadline.cancel.as_ref())
                .await;
        }
        if deadline.remaining().is_zero() {
            return Err(wait.give_up());
        }
        Ok(wait)
    }

    /// Waits for the event, this time, or a cancellation.
    async fn pause(
        &self,
        event: impl Future<Output = ()>,
        delay: Duration,
        cancel: Option<&CancelHandle>,
    ) {
        let pause = race::first(event, self.io.sleep(delay));
        match cancel {
            Some(cancel) => drop(race::first(pause, cancel.cancelled()).await),
            None => drop(pause.await),
        }
    }
}

/// Returns the failure of a request that was not answered within the deadline.
pub(crate) fn timed_out() -> Failure {
    Failure::new(FailureKind::TimedOut, "the deadline has passed")
}

/// Returns the failure of a request that was cancelled.
pub(crate) fn cancelled() -> Failure {
    Failure::new(FailureKind::TimedOut, "the call was cancelled")
}
