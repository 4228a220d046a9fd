//! The loop that drives a session: it sends requests, waits, and wakes the tasks that wait.

use std::pin::pin;
use std::time::Duration;

use atlas_model_keys_core::{Error, Exchange, Failure, Limits, Operation, Reply, Step, Wait};
use atlas_model_keys_transport::{OnWait, Resolved, SharedSession, Trace, Wake};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::deadline::Deadline;
use crate::http::{Destination, Http};

/// The state that the clones of a client share.
pub(crate) struct Driver {
    pub(crate) session: SharedSession<Waiters>,
    http: Http,
    pub(crate) deadline: Duration,
    pub(crate) limits: Limits,
    on_wait: Option<OnWait>,
}

/// The tasks that wait until another exchange of the session ends.
#[derive(Debug)]
pub(crate) struct Waiters(Notify);

impl Wake for Waiters {
    fn wake_all(&self) {
        self.0.notify_waiters();
    }
}

impl Driver {
    pub(crate) fn new(resolved: Resolved, http: Http) -> Self {
        Self {
            session: SharedSession::new(resolved.session, Waiters(Notify::new())),
            limits: resolved.limits,
            http,
            deadline: resolved.timeouts.deadline,
            on_wait: resolved.on_wait,
        }
    }

    /// See [`SharedSession::transport_error`].
    pub(crate) fn transport_error(&self, failure: Failure) -> Error {
        self.session.transport_error(failure, 0)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.deadline)
    }

    /// Drives the session until the page is there. The body is read into `buffer`.
    pub(crate) async fn drive<O: Operation>(
        &self,
        operation: &O,
        mut buffer: Vec<u8>,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let session = &self.session;
        let deadline = self.deadline();
        // Other tasks may wait for the end of this call, whatever its outcome and wherever it is dropped.
        let _wake = session.wake_on_drop();
        let (mut step, mut ended) = session.step(|session, at| session.start(operation, at))?;
        loop {
            (step, ended) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // Other tasks are woken after each exchange, because the next one may be slow.
                    let _wake = session.wake_on_drop();
                    let trace = Trace::of(&request, pending.attempt());
                    let into = match pending.is_for_token() {
                        true => Destination::Erased,
                        false => Destination::Buffer(std::mem::take(&mut buffer)),
                    };
                    let send = self.http.send(request, deadline, into, &self.limits);
                    match trace.instrument(send).await {
                        Ok(response) => session.respond(pending, response)?,
                        // The deadline of this call has passed. That says nothing about Atlas to the tasks that
                        // wait for the same token, so the session is not told of a failure.
                        Err(failure) if deadline.left().is_zero() => {
                            return Err(session.give_up(pending, failure));
                        }
                        Err(failure) => session.step(|s, at| s.fail(pending, failure, at))?,
                    }
                }
                Step::Wait(wait) => {
                    let wait = self.wait(wait, ended, deadline).await?;
                    session.step(|session, at| session.resume(wait, at))?
                }
            };
        }
    }

    /// Revokes the access token of the service account, if there is one.
    pub(crate) async fn revoke_token(&self) -> Result<(), Error> {
        let Some(request) = self.session.with(|s, _| Ok(s.revoke_token()))? else {
            return Ok(());
        };
        let trace = Trace::of(&request, 1);
        let send = self
            .http
            .send(request, self.deadline(), Destination::Erased, &self.limits);
        let response = trace
            .instrument(send)
            .await
            .map_err(|failure| self.session.transport_error(failure, 1))?;
        self.session.with(|s, at| s.revoked(&response, at))
    }

    /// Waits as long as the session says, or ends the exchange if that is beyond the deadline.
    async fn wait(&self, wait: Wait, ended: u64, deadline: Deadline) -> Result<Wait, Error> {
        let left = deadline.left();
        if !wait.on_change() {
            if wait.delay() >= left {
                return Err(wait.give_up());
            }
            if let Some(on_wait) = &self.on_wait {
                on_wait(&wait);
            }
            sleep(wait.delay()).await;
            return Ok(wait);
        }
        let mut changed = pin!(self.session.waiting.0.notified());
        // From here on no notification is missed. The exchanges that ended before are counted.
        changed.as_mut().enable();
        if self.session.lock().ended() == ended {
            // The session decides again, whether it changed or the time is up.
            let _ = timeout(wait.delay().min(left), changed).await;
        }
        if deadline.left().is_zero() {
            return Err(wait.give_up());
        }
        Ok(wait)
    }
}
