//! A session that many tasks or threads use at the same time.

use std::fmt;
use std::sync::Arc;

use atlas_model_keys_core::{
    ApiVersion, Error, Failure, ListRequest, Moment, Pending, Secret, Session, Step,
};

use http::Response;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::failure::permanent;
use crate::watched::Watched;

/// A [`Session`] behind a lock, with the tasks and threads that wait for it to change. The lock is held during a call of the
/// session and never during I/O.
#[derive(Debug)]
pub(crate) struct SharedSession {
    state: Watched<State>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The session and randomness for it, as protected by the lock.
#[derive(Debug)]
struct State {
    session: Session,
    entropy: Entropy,
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

impl SharedSession {
    pub(crate) fn new(session: Session, clock: Arc<dyn Clock>) -> Self {
        let state = Watched::new(State {
            session,
            entropy: Entropy::default(),
        });
        Self { state, clock }
    }

    /// Calls the session with the current moment.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub(crate) fn with<R>(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut state = self.state.lock();
        let State { session, entropy } = &mut *state;
        let entropy = entropy.take();
        let entropy = entropy.map_err(|error| permanent(session, error.to_string()))?;
        // Read under the lock: a session that sees the time go back ends its periods, and fetches a second token. A time before
        // 1970 counts as 1970.
        let now = self.clock.unix_time().to_duration().unwrap_or_default();
        call(session, Moment::new(now, entropy))
    }

    /// Calls the session with the current moment, and returns the next step with the number of changes before it.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub(crate) fn step(
        &self,
        call: impl FnOnce(&mut Session, Moment) -> Result<Step<Vec<u8>>, Error>,
    ) -> Result<(Step<Vec<u8>>, usize), Error> {
        self.with(|session, at| {
            let step = call(session, at)?;
            Ok((step, session.change_count()))
        })
    }

    /// Gives a response to the session. A body that may hold a token is overwritten afterwards.
    ///
    /// # Errors
    /// The error of the call, or [`Error::Transport`] if the system has no randomness.
    pub(crate) fn respond(
        &self,
        pending: Pending,
        response: Response<Vec<u8>>,
    ) -> Result<(Step<Vec<u8>>, usize), Error> {
        if !pending.is_for_token() {
            return self.step(|session, at| session.respond(pending, response, at));
        }
        let response = response.map(Zeroizing::new);
        self.step(|session, at| {
            let step = session.respond(pending, response, at)?;
            Ok(step.map_body(|mut body| std::mem::take(&mut *body)))
        })
    }

    /// Returns a guard that wakes all who wait for the session when it is dropped: after a step, a wait that was given up, a
    /// cancellation or a panic. Declare the guard of an exchange before its tickets, so that it is dropped after them.
    pub(crate) fn wake_on_drop(&self) -> WakeGuard<'_> {
        WakeGuard(self)
    }

    /// Waits until the session has changed since its number of changes was `seen`. No change is missed: a guard wakes all who
    /// wait after each change.
    pub(crate) async fn changed(&self, seen: usize) {
        self.state
            .until(|state| state.session.change_count() != seen)
            .await;
    }

    /// See [`Session::give_up`].
    pub(crate) fn give_up(&self, pending: Pending, failure: Failure) -> Error {
        self.state.lock().session.give_up(pending, failure)
    }

    /// See [`Session::transport_error`].
    pub(crate) fn transport_error(&self, failure: Failure, attempts: u32) -> Error {
        self.state.lock().session.transport_error(failure, attempts)
    }

    /// See [`Session::access_token`].
    ///
    /// # Errors
    /// [`Error::Transport`] if there is no service account.
    pub(crate) fn access_token(&self) -> Result<Secret, Error> {
        let session = &self.state.lock().session;
        session.access_token().ok_or_else(|| {
            permanent(
                session,
                "only a client with a service account has an access token to return",
            )
        })
    }

    /// See [`Session::export_token`].
    pub(crate) fn export_token(&self) -> Option<Secret> {
        self.with(|session, at| Ok(session.export_token(at))).ok()?
    }

    /// See [`Session::restore_token`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a token of another session, or one that has expired.
    pub(crate) fn restore_token(&self, exported: &Secret) -> Result<(), Error> {
        self.with(|session, at| Ok(session.restore_token(exported, at)?))
    }

    /// Returns the version of the list of a group's keys that the session requests now.
    pub(crate) fn version(&self) -> ApiVersion {
        self.state.lock().session.version::<ListRequest>()
    }
}

/// Wakes all who wait for the session when it is dropped; see [`SharedSession::wake_on_drop`].
#[derive(Debug)]
pub(crate) struct WakeGuard<'s>(&'s SharedSession);

impl Drop for WakeGuard<'_> {
    fn drop(&mut self) {
        self.0.state.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use crate::clock::SystemClock;
    use atlas_model_keys_core::{BaseUrl, Credentials, Exchange};

    /// Tells whether the memory of this process holds a text. It is given as its characters at odd and at even places,
    /// because the whole text would find itself.
    #[cfg(target_os = "linux")]
    fn memory_holds(odd: &str, even: &str) -> bool {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let holds = |bytes: &[u8]| {
            memchr::memchr_iter(odd.as_bytes()[0], bytes).any(|start| {
                let (pairs, _) = bytes[start..].as_chunks::<2>();
                let text = odd.bytes().zip(even.bytes()).map(|(odd, even)| [odd, even]);
                pairs.iter().copied().take(odd.len()).eq(text)
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
                // Some of it cannot be read, or is given back by another thread meanwhile.
                let mut filled = 0;
                while let Ok(read @ 1..) = memory.read(&mut bytes[filled..]) {
                    filled += read;
                }
                holds(&bytes)
            })
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn body_of_a_token_response_is_overwritten() {
        let credentials = Credentials::service_account("mdb_sa_id_1", "mdb_sa_sk_1").unwrap();
        let session = Session::new(BaseUrl::default(), credentials);
        let session = SharedSession::new(session, Arc::new(SystemClock::default()));
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
