//! SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT.
//!
//! The first signal ends the calls of the client, so that the command can finish: whole rows are written, and the access token
//! that it got is revoked. The second signal ends the process at once.

use std::io::{self, Write as _};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_ureq::http::StatusCode;
use atlas_model_keys_ureq::{CancelHandle, Client, Event};

use crate::failure::{CommandError, Exit};

/// The time for the end of a token request, and for the revocation of the token.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// The time within which a second signal counts as a copy of the first one.
const REPETITION: Duration = Duration::from_millis(200);

/// The time that the command has to end after its calls were cancelled. It may hang because its output is not read; then the
/// process ends.
const LIMIT: Duration = Duration::from_secs(3);

/// The signals of this process.
#[derive(Clone, Default)]
pub(crate) struct Signals(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    cancel: CancelHandle,
}

#[derive(Default)]
struct State {
    /// When the first signal arrived.
    interrupted: Option<Instant>,
    /// The number of token requests in flight.
    token_requests: usize,
    /// The client whose token is revoked if the command cannot do it.
    client: Option<Client>,
}

impl Signals {
    /// Handles the signals of this process from now on.
    pub(crate) fn catch() -> Result<Self, CommandError> {
        let signals = Self::default();
        let shared = Arc::clone(&signals.0);
        let handler = on_first_signal(move || {
            shared.lock().interrupted = Some(Instant::now());
            shared.changed.notify_all();
        });
        let failed = |error| CommandError::local("cannot wait for signals", &error);
        handler.map_err(failed)?;
        let shared = Arc::clone(&signals.0);
        let watcher = thread::Builder::new().name("interrupt".to_owned());
        watcher.spawn(move || shared.watch()).map_err(failed)?;
        Ok(signals)
    }

    /// Returns a clone of the client whose calls end with the first signal.
    pub(crate) fn cancelling(&self, client: &Client) -> Client {
        self.0.lock().client = Some(client.clone());
        client.with_cancel_handle(&self.0.cancel)
    }

    /// Returns whether there was a signal.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.0.lock().interrupted.is_some()
    }

    /// Returns the rest of [`GRACE`], but at least half of it, because the wait for a token request may have used it up.
    pub(crate) fn grace(&self) -> Duration {
        let since = self.0.lock().interrupted;
        let gone = since.map_or(Duration::ZERO, |since| since.elapsed());
        GRACE.saturating_sub(gone).max(GRACE / 2)
    }

    /// Counts the token requests in flight. A request to revoke one does not count.
    pub(crate) fn record(&self, event: &Event<'_>) {
        let is_token = |path: &str| path.ends_with("/api/oauth/token");
        let mut state = self.0.lock();
        match event {
            Event::Sent(request) if is_token(request.path) => state.token_requests += 1,
            // After a 200, the request ends with the event `TokenFetched`.
            Event::Answered {
                request, status, ..
            } if is_token(request.path) && *status != StatusCode::OK => {
                state.token_requests = state.token_requests.saturating_sub(1);
            }
            Event::Failed { request, .. } if is_token(request.path) => {
                state.token_requests = state.token_requests.saturating_sub(1);
            }
            Event::TokenFetched => state.token_requests = state.token_requests.saturating_sub(1),
            _ => return,
        }
        // At once, so that the request that needs the token is not sent any more.
        let ends = state.interrupted.is_some() && state.token_requests == 0;
        drop(state);
        if ends {
            self.0.cancel.cancel();
        }
        self.0.changed.notify_all();
    }
}

/// Calls the function for the first signal from now on. The second one ends the process at once, because what the
/// function began may hang, for example if a pipe is not read.
pub(crate) fn on_first_signal(mut handle: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut first: Option<Instant> = None;
    on_signal(move || match first {
        // Some programs send a signal to a process and to its group, so that it arrives twice.
        Some(first) if first.elapsed() < REPETITION => {}
        Some(_) => process::exit(Exit::Interrupted as i32),
        None => {
            first = Some(Instant::now());
            handle();
        }
    })
}

/// Calls the function for each SIGINT (Ctrl-C), SIGTERM, SIGHUP and SIGQUIT from now on. Signals that the parent process has set to be
/// ignored stay ignored, such as SIGHUP under `nohup`.
#[cfg(unix)]
fn on_signal(mut handle: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator;

    let ignored = ignored_signals();
    let is_caught = |signal: &i32| ignored >> (signal - 1) & 1 == 0;
    let caught = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]
        .into_iter()
        .filter(is_caught);
    let mut signals = iterator::Signals::new(caught)?;
    let receiver = thread::Builder::new().name("signals".to_owned());
    receiver.spawn(move || signals.forever().for_each(|_| handle()))?;
    Ok(())
}

#[cfg(not(unix))]
fn on_signal(handle: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(handle).map_err(io::Error::other)
}

/// Returns the ignored signals of this process, where the system tells: signal 1 is the lowest bit.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state stays usable after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first signal, then ends the calls of the client, and at last the process.
    fn watch(&self) {
        let waiting = self
            .changed
            .wait_while(self.lock(), |state| state.interrupted.is_none());
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
        // A token that is being issued is lost if its request is cancelled: nobody could revoke it.
        let waiting = self
            .changed
            .wait_timeout_while(self.lock(), GRACE, |state| state.token_requests > 0);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let client = state.client.clone();
        drop(state);
        self.cancel.cancel();
        thread::sleep(LIMIT);
        if let Some(client) = client {
            // There is no time left to report a failure.
            let _ = client.with_deadline(GRACE).revoke_token();
        }
        let _ = io::stderr().write_all(b"error: interrupted, while the output was not read\n");
        process::exit(Exit::Interrupted as i32);
    }
}
