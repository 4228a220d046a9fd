//! A session that many threads or tasks use at the same time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use atlas_model_keys_core::{
    ApiVersion, Error, Failure, ListRequest, Moment, Pending, Secret, Session, Step,
};

use http::Response;
use zeroize::Zeroizing;

use crate::failure::permanent;
use crate::time::SystemTimeExt as _;

/// Wakes the threads or tasks that wait for another exchange of the session to end.
pub trait Wake {
    /// Wakes all of them.
    fn wake_all(&self);
}

/// A [`Session`] behind a lock, with the threads or tasks that wait for it to change. The lock is held during a call of
/// the session and never during I/O.
#[derive(Debug)]
pub struct SharedSession<W> {
    state: Mutex<State>,
    /// The threads or tasks that wait.
    pub waiting: W,
}

/// The session and its change count, as protected by the lock.
#[derive(Debug)]
pub struct State {
    session: Session,
    /// The number of exchanges that ended, so that no end is missed between two locks.
    ended: u64,
    entropy: Entropy,
}

impl State {
    /// Returns the number of exchanges that have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Returns the current time and fresh randomness.
    fn moment(&mut self) -> Result<Moment, Error> {
        let now = SystemTime::now().to_unix_time().to_duration();
        let entropy = self.entropy.take();
        let entropy = entropy.map_err(|error| permanent(&self.session, error.to_string()))?;
        // A clock that is set to a time before 1970 counts as 1970.
        Ok(Moment::new(now.unwrap_or_default(), entropy))
    }
}

/// Random bytes for several steps, because each request for them is a system call.
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
        // No portion is used twice.
        Ok(std::mem::take(&mut self.portions[self.left]))
    }
}

/// Shows nothing of the unused bytes.
impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

impl<W: Wake> SharedSession<W> {
    /// Wraps a session.
    pub fn new(session: Session, waiting: W) -> Self {
        let state = Mutex::new(State {
            session,
            ended: 0,
            entropy: Entropy::default(),
        });
        Self { state, waiting }
    }

    /// Locks the session. A panic of another thread does not matter, because every call leaves the session consistent.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the session with the current moment.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub fn with<R>(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut state = self.lock();
        let at = state.moment()?;
        call(&mut state.session, at)
    }

    /// Calls the session with the current moment, and returns the next step with the number of exchanges that had ended.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub fn step(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<(Step<Vec<u8>>, u64), Error> {
        let mut state = self.lock();
        let at = state.moment()?;
        let step = call(&mut state.session, at)?;
        Ok((step, state.ended))
    }

    /// Gives a response to the session. A body that may hold a token is overwritten afterwards.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub fn respond(
        &self,
        pending: Pending,
        response: Response<Vec<u8>>,
    ) -> Result<(Step<Vec<u8>>, u64), Error> {
        if !pending.is_for_token() {
            return self.step(|session, at| session.respond(pending, response, at));
        }
        let response = response.map(Zeroizing::new);
        self.step(|session, at| {
            let step = session.respond(pending, response, at)?;
            Ok(step.map_body(|mut body| std::mem::take(&mut *body)))
        })
    }

    /// Returns a guard that wakes all waiters when it is dropped: after a step, a wait that was given up, a cancellation
    /// or a panic. Declare the guard of an exchange before its tickets, so that it is dropped after them.
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
    /// [`Error::Invalid`] for a token of another session, or one that has expired.
    pub fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        self.with(|session, at| Ok(session.restore_token(exported, at)?))
    }

    /// Returns the version of the list of a group's keys that the session requests now.
    pub fn version(&self) -> ApiVersion {
        self.lock().session.version::<ListRequest>()
    }
}

/// Wakes all waiters of the session when it is dropped; see [`SharedSession::wake_on_drop`].
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

    use atlas_model_keys_core::{BaseUrl, Credentials, Exchange};

    struct NoWaiters;

    impl Wake for NoWaiters {
        fn wake_all(&self) {}
    }

    /// Tells whether the memory of this process holds a text. It is given as its characters at odd and at even places,
    /// because the whole text would find itself.
    #[cfg(target_os = "linux")]
    fn memory_holds(odd: &str, even: &str) -> bool {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let holds = |bytes: &[u8]| {
            bytes.windows(2 * odd.len()).any(|window| {
                let (pairs, _) = window.as_chunks::<2>();
                let mut pairs = pairs.iter().zip(odd.bytes().zip(even.bytes()));
                pairs.all(|(pair, (odd, even))| *pair == [odd, even])
            })
        };
        maps.lines()
            .filter(|line| line.contains(" rw"))
            .any(|line| {
                let (range, _) = line.split_once(' ').unwrap();
                let (start, end) = range.split_once('-').unwrap();
                let [start, end] = [start, end].map(|n| u64::from_str_radix(n, 16).unwrap());
                let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
                memory.seek(SeekFrom::Start(start)).unwrap();
                // Some of it cannot be read.
                memory.read_exact(&mut bytes).is_ok() && holds(&bytes)
            })
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn body_of_a_token_response_is_overwritten() {
        let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap();
        let session = SharedSession::new(Session::new(BaseUrl::default(), credentials), NoWaiters);
        let group = "0123456789abcdef01234567".parse().unwrap();
        let list = ListRequest::new(group);
        let (odd, even) = ("Ks7Qp2Zt9Xw4", "mB3vN8cR1yF6");
        let is_held = || {
            // The body is never reallocated.
            let mut body = Vec::with_capacity(256);
            body.extend_from_slice(br#"{"access_token":"t","unknown":""#);
            body.extend(odd.bytes().zip(even.bytes()).flat_map(|(a, b)| [a, b]));
            body.extend_from_slice(br#""}"#);
            let (step, _) = session
                .step(|session, at| session.start(&list, at))
                .unwrap();
            let Step::Send(Exchange { pending, .. }) = step else {
                panic!("{step:?}")
            };
            let is_for_token = pending.is_for_token();
            let response = Response::new(body);
            let step = session.respond(pending, response);
            drop(step);
            (is_for_token, memory_holds(odd, even))
        };
        assert_eq!(is_held(), (true, false));
        // A body without a token is found, so the search works.
        assert_eq!(is_held(), (false, true));
    }

    #[test]
    fn no_randomness_is_given_twice() {
        let mut entropy = Entropy::default();
        let taken: HashSet<_> = (0..100).map(|_| entropy.take().unwrap()).collect();
        assert_eq!(taken.len(), 100);
        assert!(!taken.contains(&[0; 16]));
    }
}
