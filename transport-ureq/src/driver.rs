//! The loop that drives a session: it sends requests, waits, and wakes the threads that wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, PoisonError};
use std::time::Duration;

use atlas_model_keys_core::{Error, Exchange, FailureKind, Limits, Operation, Reply, Step, Wait};
use atlas_model_keys_transport::{OnWait, Resolved, SharedSession, Trace, Wake};

use crate::deadline::Deadline;
use crate::http::{Destination, Http};

/// The state that the clones of a client share.
pub(crate) struct Driver {
    pub(crate) session: SharedSession<Waiters>,
    pub(crate) limits: Limits,
    http: Http,
    pub(crate) deadline: Duration,
    on_wait: Option<OnWait>,
}

/// The threads that wait until another exchange of the session ends.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    condvar: Condvar,
    /// The number of waiting threads. A thread adds itself under the session's lock, before it decides whether to wait.
    count: AtomicUsize,
}

impl Wake for Waiters {
    fn wake_all(&self) {
        // Waking is a system call, and threads wait rarely.
        if self.count.load(Ordering::Relaxed) > 0 {
            self.condvar.notify_all();
        }
    }
}

impl Driver {
    pub(crate) fn new(resolved: Resolved, http: Http) -> Self {
        Self {
            session: SharedSession::new(resolved.session, Waiters::default()),
            limits: resolved.limits,
            http,
            deadline: resolved.timeouts.deadline,
            on_wait: resolved.on_wait,
        }
    }

    /// Returns the deadline of a page that is requested now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.deadline)
    }

    /// Ends the exchanges with this flag before their deadline. Each of them notices it before its next step.
    pub(crate) fn abandon(&self, abandoned: &AtomicBool) {
        abandoned.store(true, Ordering::Relaxed);
        // A thread that reads the flag holds the lock until it waits.
        drop(self.session.wake_on_drop());
    }

    /// Drives the session until the page is there. The body is read into `buffer`.
    pub(crate) fn drive<O: Operation>(
        &self,
        operation: &O,
        mut buffer: Vec<u8>,
        deadline: &Deadline,
    ) -> Result<Reply<Vec<u8>>, Error> {
        let session = &self.session;
        // Other threads may wait for the end of this call, whatever its outcome.
        let _wake = session.wake_on_drop();
        let (mut step, mut ended) = session.step(|session, at| session.start(operation, at))?;
        loop {
            (step, ended) = match step {
                Step::Done(reply) => return Ok(reply),
                Step::Send(Exchange { request, pending }) => {
                    // Other threads are woken after each exchange, because the next one may be slow.
                    let _wake = session.wake_on_drop();
                    let trace = Trace::of(&request, pending.attempt());
                    let into = match pending.is_for_token() {
                        true => Destination::Erased,
                        false => Destination::Buffer(std::mem::take(&mut buffer)),
                    };
                    let send = || self.http.send(request, deadline, into, &self.limits);
                    match trace.in_scope(send) {
                        Ok(response) => session.respond(pending, response)?,
                        // The deadline of this call has passed. That says nothing about Atlas to the threads that
                        // wait for the same token, so the session is not told of a failure.
                        Err(failure)
                            if deadline.left().is_zero()
                                || failure.kind() == FailureKind::TimedOut =>
                        {
                            return Err(session.give_up(pending, failure));
                        }
                        Err(failure) => session.step(|s, at| s.fail(pending, failure, at))?,
                    }
                }
                Step::Wait(wait) => {
                    let wait = self.wait(wait, ended, deadline)?;
                    session.step(|session, at| session.resume(wait, at))?
                }
            };
        }
    }

    /// Revokes the access token of the service account, if there is one.
    pub(crate) fn revoke_token(&self) -> Result<(), Error> {
        let Some(request) = self.session.with(|s, _| Ok(s.revoke_token()))? else {
            return Ok(());
        };
        let trace = Trace::of(&request, 1);
        let deadline = self.deadline();
        let into = Destination::Buffer(Vec::new());
        let response = trace
            .in_scope(|| self.http.send(request, &deadline, into, &self.limits))
            .map_err(|failure| self.session.transport_error(failure, 1))?;
        self.session.with(|s, at| s.revoked(&response, at))
    }

    /// Waits as long as the session says, or ends the exchange if that is beyond the deadline.
    fn wait(&self, wait: Wait, ended: u64, deadline: &Deadline) -> Result<Wait, Error> {
        let left = deadline.left();
        if !wait.on_change() {
            if wait.delay() >= left {
                return Err(wait.give_up());
            }
            if let Some(on_wait) = &self.on_wait {
                on_wait(&wait);
            }
        }
        let unchanged = |now: u64| !wait.on_change() || now == ended;
        let waiters = &self.session.waiting;
        let state = self.session.lock();
        waiters.count.fetch_add(1, Ordering::Relaxed);
        let (state, _) = waiters
            .condvar
            .wait_timeout_while(state, wait.delay().min(left), |state| {
                unchanged(state.ended()) && !deadline.is_abandoned()
            })
            .unwrap_or_else(PoisonError::into_inner);
        waiters.count.fetch_sub(1, Ordering::Relaxed);
        drop(state);
        if deadline.left().is_zero() {
            return Err(wait.give_up());
        }
        Ok(wait)
    }
}
