//! Messages on stderr during a listing: its progress, retries, and long waits for Atlas.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{Endpoint, FailureKind, ForeignError};
use atlas_model_keys_ureq::{Event, WaitReason};

use crate::environment::Environment;
use crate::failure::{Grouped, Rounded, status};
use crate::log;
use crate::output::text;

/// The time without a response after which a message is shown.
const PATIENCE: Duration = Duration::from_secs(5);

/// The shortest retry wait that is shown. A shorter one is over before its message is read.
const TOLD_WAIT: Duration = Duration::from_secs(1);

/// The place where notes appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file or a pipe. Each note is a line.
    File,
    /// A terminal. The progress is in one line that is overwritten, and erased at the end.
    Terminal,
    /// The terminal that shows the keys as they arrive. The keys show the progress, and notes are lines
    /// between them.
    BesideKeys,
}

impl Place {
    /// Returns the place for this process. `shows_keys` is whether the keys appear on a terminal as they
    /// arrive.
    pub(crate) fn of_stderr(environment: &Environment, shows_keys: bool) -> Self {
        if !io::stderr().is_terminal() || environment.has_dumb_terminal() {
            Self::File
        } else if shows_keys {
            Self::BesideKeys
        } else {
            Self::Terminal
        }
    }
}

/// Shows the progress of a listing. Dropping it erases the progress line.
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Signals the watcher that the state has changed.
    changed: Condvar,
    place: Place,
    patience: Duration,
}

struct State {
    out: Box<dyn Write + Send>,
    /// Whether a progress line is on the terminal.
    is_shown: bool,
    /// Whether the keys written last do not end with a line end.
    is_mid_line: bool,
    /// What is awaited, and the time without a response.
    waiting: Option<(String, Silence)>,
    /// The cause of the last wait that was shown, and its end.
    told: Option<(String, Instant)>,
    has_ended: bool,
}

impl Progress {
    pub(crate) fn new(place: Place) -> Self {
        Self::with(place, PATIENCE, Box::new(io::stderr()))
    }

    fn with(place: Place, patience: Duration, out: Box<dyn Write + Send>) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                out,
                is_shown: false,
                is_mid_line: false,
                waiting: None,
                told: None,
                has_ended: false,
            }),
            changed: Condvar::new(),
            place,
            patience,
        });
        let watcher = Arc::clone(&shared);
        // If no thread can be started, only the messages about silence are missing.
        let _ = thread::Builder::new()
            .name("silence".to_owned())
            .spawn(move || watcher.watch());
        Self(shared)
    }

    /// Returns the function that the client calls with each event. It shows the waits, except those for another call,
    /// and with `logs` a line for each event.
    pub(crate) fn on_event(&self, logs: bool) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move |event| {
            if logs && let Some(line) = log::line(event) {
                shared.lock().line("log", &line);
            }
            if let Event::Waiting { delay, reason, .. } = event
                && let Some(cause) = cause(reason)
            {
                shared.tell_of(*delay, &cause);
            }
        }
    }

    /// Records that something was requested, such as `page 2`.
    pub(crate) fn begin(&self, awaited: &str) {
        let silence = Silence::since(Instant::now(), self.0.patience);
        self.0.lock().waiting = Some((awaited.to_owned(), silence));
        self.0.changed.notify_all();
    }

    /// Records that the awaited response, or an error, has arrived.
    pub(crate) fn arrived(&self) {
        let mut state = self.0.lock();
        state.waiting = None;
        state.erase();
    }

    /// Records that keys were written, and whether they end with a line end.
    pub(crate) fn wrote(&self, ends_line: bool) {
        self.0.lock().is_mid_line = self.0.place == Place::BesideKeys && !ends_line;
    }

    /// Shows the progress. `total` is Atlas's estimate; it is shown only while it is higher than `keys`.
    pub(crate) fn show(&self, pages: usize, keys: u64, total: Option<u64>) {
        if self.0.place != Place::Terminal {
            return;
        }
        let of = match total {
            Some(total) if total > keys => format!(" of about {}", Grouped(total)),
            _ => String::new(),
        };
        let page = if pages == 1 { "page" } else { "pages" };
        self.0
            .lock()
            .show(&format!("{} keys{of} ({pages} {page}) …", Grouped(keys)));
    }

    /// Shows the progress of a listing of several projects.
    pub(crate) fn projects(&self, done: usize, total: usize, keys: u64) {
        if self.0.place != Place::Terminal {
            return;
        }
        let (done, total) = (Grouped(to_u64(done)), Grouped(to_u64(total)));
        let line = format!("{done} of {total} projects, {} keys …", Grouped(keys));
        self.0.lock().show(&line);
    }

    /// Shows an error after which the command goes on.
    pub(crate) fn error(&self, text: &str) {
        self.0.lock().line("error", text);
    }

    /// Shows a note: information that is no error.
    pub(crate) fn note(&self, text: &str) {
        self.0.lock().note(text);
    }
}

/// Erases the progress line, so that an error begins a new line.
impl Drop for Progress {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        state.end_line();
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state stays usable after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_of(&self, delay: Duration, cause: &str) {
        if delay < TOLD_WAIT {
            return;
        }
        let mut state = self.lock();
        let now = Instant::now();
        let end = now.checked_add(delay).unwrap_or(now);
        // Requests that run at the same time often wait for the same reason, which is shown once.
        let is_told = |told: &(String, Instant)| told.0 == cause && now < told.1;
        if !state.told.as_ref().is_some_and(is_told) {
            state.note(&format!("{cause}; trying again in {}", Rounded(delay)));
            state.told = Some((cause.to_owned(), end));
        }
        // No response is expected before the retry.
        if let Some((_, silence)) = &mut state.waiting {
            *silence = Silence::since(end, self.patience);
        }
    }

    /// Shows messages about silence until the listing ends.
    fn watch(&self) {
        let mut state = self.lock();
        while !state.has_ended {
            let now = Instant::now();
            if let Some((awaited, silence)) = &mut state.waiting
                && let Some(length) = silence.told(now, self.place == Place::Terminal)
            {
                let text = format!("still waiting for Atlas ({awaited}, {})", Whole(length));
                if self.place == Place::Terminal {
                    state.show(&format!("{text} …"));
                } else {
                    state.note(&text);
                }
            }
            let until = state.waiting.as_ref().map(|(_, silence)| silence.next);
            state = match until {
                Some(until) => {
                    let left = until.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}

// Errors of stderr are ignored, because there is no other place to report them.
impl State {
    fn show(&mut self, line: &str) {
        self.is_shown = true;
        let _ = self.out.write_all(format!("\r\x1b[K{line}").as_bytes());
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = self.out.write_all(b"\r\x1b[K");
        }
    }

    /// Ends the current line, so that the next text begins a line.
    fn end_line(&mut self) {
        self.erase();
        if std::mem::take(&mut self.is_mid_line) {
            let _ = self.out.write_all(b"\n");
        }
    }

    fn note(&mut self, text: &str) {
        self.line("note", text);
    }

    fn line(&mut self, label: &str, text: &str) {
        self.end_line();
        let line = format!("{label}: {}\n", text::visible(text));
        let _ = self.out.write_all(line.as_bytes());
    }
}

/// A time without a response, and the time of the next message about it.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    next: Instant,
}

impl Silence {
    fn since(since: Instant, patience: Duration) -> Self {
        Self {
            since,
            next: since.checked_add(patience).unwrap_or(since),
        }
    }

    /// Returns the length of the silence if a message is due. A line that is overwritten is updated every
    /// second. Other messages become rarer: the intervals double.
    fn told(&mut self, now: Instant, is_written_over: bool) -> Option<Duration> {
        if now < self.next {
            return None;
        }
        let length = now.saturating_duration_since(self.since);
        let pause = if is_written_over {
            Duration::from_secs(1)
        } else {
            length
        };
        self.next = now.checked_add(pause)?;
        Some(length)
    }
}

/// A duration in whole seconds, rounded down.
struct Whole(Duration);

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(Duration::from_secs(self.0.as_secs())).fmt(f)
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Returns the cause of a wait, unless it is another call.
fn cause(reason: &WaitReason<'_>) -> Option<String> {
    Some(match reason {
        WaitReason::Response(api_error) => {
            let code = match &api_error.error_code {
                Some(code) => format!(" ({code})"),
                None => String::new(),
            };
            let status = status(api_error);
            match api_error.endpoint {
                Endpoint::Token => {
                    format!("Atlas answered the request for an access token with {status}{code}")
                }
                _ => format!("Atlas answered {status}{code}"),
            }
        }
        WaitReason::Failure { kind, source, .. } => cause_of_failure(*kind, source),
        _ => return None,
    })
}

fn cause_of_failure(kind: FailureKind, source: &ForeignError) -> String {
    match kind {
        FailureKind::NotSent => format!("the request could not be sent: {source}"),
        _ => format!("no complete response came back: {source}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use atlas_model_keys_core::{BaseUrl, Credentials, Error, Failure, Reply, Session};
    use http::Response;

    use super::*;

    /// A writer that sends each write through a channel.
    struct Written(Sender<String>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn progress(place: Place, patience: Duration) -> (Progress, Receiver<String>) {
        let (send, receive) = mpsc::channel();
        let progress = Progress::with(place, patience, Box::new(Written(send)));
        (progress, receive)
    }

    const LONG: Duration = Duration::from_secs(1000);
    /// The time limit of a test. It is far longer than any test needs.
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn silence_is_reported_while_a_page_is_awaited() {
        for (place, told) in [
            (Place::File, "note: still waiting for Atlas (page 3, 0s)\n"),
            (
                Place::BesideKeys,
                "note: still waiting for Atlas (page 3, 0s)\n",
            ),
            (
                Place::Terminal,
                "\r\x1b[Kstill waiting for Atlas (page 3, 0s) …",
            ),
        ] {
            let (progress, written) = progress(place, Duration::from_millis(1));
            progress.begin("page 3");
            assert_eq!(written.recv_timeout(LIMIT).unwrap(), told);
            progress.arrived();
            if place == Place::Terminal {
                assert_eq!(written.recv_timeout(LIMIT).unwrap(), "\r\x1b[K");
            }
        }
    }

    #[test]
    fn silence_is_reported_after_five_seconds_and_then_more_rarely() {
        let start = Instant::now();
        let seconds = |s| start + Duration::from_secs(s);
        let told_at = |is_written_over| {
            let mut silence = Silence::since(start, PATIENCE);
            let told = |s: &u64| silence.told(seconds(*s), is_written_over).is_some();
            (0..100).filter(told).collect::<Vec<_>>()
        };
        assert_eq!(told_at(false), [5, 10, 20, 40, 80]);
        assert_eq!(told_at(true), (5..100).collect::<Vec<_>>());
        // Silence begins only after an announced retry wait.
        let mut silence = Silence::since(seconds(90), PATIENCE);
        assert_eq!(silence.told(seconds(94), false), None);
        assert_eq!(silence.told(seconds(95), false), Some(PATIENCE));
    }

    #[test]
    fn retry_wait_is_reported_with_its_cause_and_is_no_silence() {
        let (progress, written) = progress(Place::File, Duration::from_millis(1));
        progress.0.tell_of(TOLD_WAIT / 2, "not told");
        progress.0.tell_of(LONG, "why");
        assert_eq!(
            written.recv_timeout(LIMIT).unwrap(),
            "note: why; trying again in 16m 40s\n"
        );
        progress.begin("page 1");
        // Another request waits for the same reason, and one for another reason.
        progress.0.tell_of(LONG, "why");
        progress.0.tell_of(TOLD_WAIT, "because");
        drop(progress);
        let rest: Vec<_> = written.try_iter().collect();
        let count = |start| rest.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!(
            (count("note: why"), count("note: because")),
            (0, 1),
            "{rest:?}"
        );
    }

    #[test]
    fn note_begins_a_line_after_unfinished_keys() {
        let (progress, written) = progress(Place::BesideKeys, LONG);
        progress.wrote(false);
        progress.note("a\nb");
        progress.note("c");
        progress.wrote(true);
        progress.note("d");
        progress.wrote(false);
        drop(progress);
        assert_eq!(
            written.try_iter().collect::<Vec<_>>(),
            ["\n", "note: a\\u{a}b\n", "note: c\n", "note: d\n", "\n"]
        );
    }

    #[test]
    fn progress_line_is_erased_before_other_output() {
        let (progress, written) = progress(Place::Terminal, LONG);
        progress.show(1, 100, Some(250));
        progress.note("a");
        progress.show(2, 200, Some(150));
        drop(progress);
        assert_eq!(
            written.try_iter().collect::<Vec<_>>(),
            [
                "\r\x1b[K100 keys of about 250 (1 page) …",
                "\r\x1b[K",
                "note: a\n",
                "\r\x1b[K200 keys (2 pages) …",
                "\r\x1b[K"
            ]
        );
    }

    #[test]
    fn projects_are_counted_in_one_line_and_a_log_line_erases_it() {
        let (progress, written) = progress(Place::Terminal, LONG);
        progress.projects(12, 1300, 1234);
        progress.0.lock().line("log", "GET /");
        drop(progress);
        assert_eq!(
            written.try_iter().collect::<Vec<_>>(),
            [
                "\r\x1b[K12 of 1,300 projects, 1,234 keys …",
                "\r\x1b[K",
                "log: GET /\n"
            ]
        );
    }

    #[test]
    fn file_gets_no_progress() {
        let (progress, written) = progress(Place::File, LONG);
        progress.show(1, 100, None);
        progress.projects(1, 2, 100);
        progress.wrote(false);
        drop(progress);
        assert_eq!(written.try_iter().count(), 0);
    }

    #[test]
    fn cause_is_the_response_with_its_code_or_the_failure() {
        let response = Response::builder()
            .status(503)
            .header("x-error-code", "BUSY");
        let error = Reply::from_response(response.body("").unwrap()).unwrap_err();
        let Error::Api(mut api_error) = error else {
            panic!("{error}")
        };
        assert_eq!(
            cause(&WaitReason::Response(&api_error)).unwrap(),
            "Atlas answered 503 Service Unavailable (BUSY)"
        );
        api_error.endpoint = Endpoint::Token;
        api_error.error_code = None;
        assert_eq!(
            cause(&WaitReason::Response(&api_error)).unwrap(),
            "Atlas answered the request for an access token with 503 Service Unavailable"
        );
        let session = Session::new(BaseUrl::default(), Credentials::bearer("token").unwrap());
        for (kind, text) in [
            (
                FailureKind::NotSent,
                "the request could not be sent: refused",
            ),
            (FailureKind::Lost, "no complete response came back: refused"),
        ] {
            let error = session.transport_error(Failure::new(kind, "refused"), 1);
            let Error::Transport { kind, source, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(cause_of_failure(kind, &source), text);
        }
        assert_eq!(cause(&WaitReason::OtherExchange), None);
    }
}
