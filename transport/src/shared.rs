//! A session that many threads or tasks use at the same time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use atlas_model_keys_core::{ApiVersion, Error, Failure, Moment, Pending, Secret, Session, Step};

use crate::permanent;

/// Those who wait for another exchange of the session to end.
pub trait Wake {
    /// Wakes all of them.
    fn wake_all(&self);
}

/// A [`Session`] behind a lock that is held for a call and never while anything is sent, and those
/// who wait for it to change.
#[derive(Debug)]
pub struct SharedSession<W> {
    state: Mutex<State>,
    /// Those who wait.
    pub waiting: W,
}

/// What the lock protects.
#[derive(Debug)]
pub struct State {
    session: Session,
    /// Counts the exchanges that ended, so that no end is missed between two locks.
    ended: u64,
    entropy: Entropy,
}

impl State {
    /// How many exchanges have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// The clock and the randomness of this machine, for one step.
    fn moment(&mut self) -> Result<Moment, Error> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let entropy = self.entropy.take();
        let entropy = entropy.map_err(|error| permanent(&self.session, error.to_string()))?;
        Ok(Moment::new(now, entropy))
    }
}

/// Randomness for several steps: to ask for it is a system call.
#[derive(Default)]
struct Entropy {
    portions: [[u8; 16]; 16],
    left: usize,
}

impl Entropy {
    fn take(&mut self) -> Result<[u8; 16], getrandom::Error> {
        if self.left == 0 {
            getrandom::fill(self.portions.as_flattened_mut())?;
            self.left = self.portions.len();
        }
        self.left -= 1;
        // Each is given once.
        Ok(std::mem::take(&mut self.portions[self.left]))
    }
}

/// What is yet to be used is not to be seen.
impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

impl<W: Wake> SharedSession<W> {
    /// Nobody waits yet.
    pub fn new(session: Session, waiting: W) -> Self {
        let state = Mutex::new(State {
            session,
            ended: 0,
            entropy: Entropy::default(),
        });
        Self { state, waiting }
    }

    /// The session is left in order by every call, so a panic of another thread spoils nothing.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of the session, at this moment.
    ///
    /// # Errors
    /// Those of the call, and where this machine has no randomness.
    pub fn with<R>(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut state = self.lock();
        let at = state.moment()?;
        call(&mut state.session, at)
    }

    /// One step, and how many exchanges had ended by then.
    ///
    /// # Errors
    /// Those of the step, and where this machine has no randomness.
    pub fn step(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<(Step<Vec<u8>>, u64), Error> {
        let mut state = self.lock();
        let at = state.moment()?;
        let step = call(&mut state.session, at)?;
        Ok((step, state.ended))
    }

    /// Wakes those who wait when it is dropped: an exchange has ended in whatever way, a step, a wait that
    /// is given up, a cancellation, or a panic. The one around a whole exchange is declared before any
    /// of its tickets, and so dropped after them.
    pub fn wake_on_drop(&self) -> Guard<'_, W> {
        Guard(self)
    }

    /// See [`Session::give_up`].
    pub fn give_up(&self, pending: Pending, failure: Failure) -> Error {
        self.lock().session.give_up(pending, failure)
    }

    /// See [`Session::transport_error`].
    pub fn transport_error(&self, failure: Failure, attempts: u32) -> Error {
        self.lock().session.transport_error(failure, attempts)
    }

    /// See [`Session::export_token`].
    #[must_use]
    pub fn export_token(&self) -> Option<Secret> {
        self.with(|session, at| Ok(session.export_token(at))).ok()?
    }

    /// See [`Session::restore_token`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a token that is not of this session, or of no more use.
    pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        self.with(|session, at| Ok(session.restore_token(exported, at)?))
    }

    /// The version that is asked for now.
    pub fn version(&self) -> ApiVersion {
        self.lock().session.version()
    }
}

/// Wakes all who wait for the session when it is dropped; see [`SharedSession::wake_on_drop`].
#[derive(Debug)]
pub struct Guard<'s, W: Wake>(&'s SharedSession<W>);

impl<W: Wake> Drop for Guard<'_, W> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = state.ended.wrapping_add(1);
        drop(state);
        self.0.waiting.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_randomness_is_given_twice() {
        let mut entropy = Entropy::default();
        let taken: HashSet<_> = (0..100).map(|_| entropy.take().unwrap()).collect();
        assert_eq!(taken.len(), 100);
        assert!(!taken.contains(&[0; 16]));
    }
}
