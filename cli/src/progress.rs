//! What is told on stderr while a listing runs: how far it is, what was repeated, and that Atlas is silent.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use atlas_model_keys_core::{ApiError, Endpoint, FailureKind, ForeignError, PageNum, Wait};

use crate::environment::Environment;
use crate::failure::{Rounded, status};
use crate::output::text;

/// Silence of this length is told of: a person would wonder.
const PATIENCE: Duration = Duration::from_secs(5);

/// A wait that is shorter than this is not told of: it is over before it is read.
const TOLD_WAIT: Duration = Duration::from_secs(1);

/// Where notes appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file or a pipe: each is a line that stays.
    File,
    /// On a terminal: how far the listing is stands in a line that is written over and erased at the end.
    Terminal,
    /// On the terminal that shows the keys as they arrive. Those are the progress, and notes are lines
    /// between them.
    BesideKeys,
}

impl Place {
    /// `shows_keys` where the keys appear on a terminal as they arrive.
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

/// Tells how far a listing is. Dropping it erases what would not stay.
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The state has changed in a way that matters to the watcher.
    changed: Condvar,
    place: Place,
    patience: Duration,
}

struct State {
    out: Box<dyn Write + Send>,
    /// A line stands on the terminal that is to be erased.
    is_shown: bool,
    /// The keys that were written last do not end with a line end.
    is_mid_line: bool,
    /// The page that is waited for, and since when there is silence.
    waiting: Option<(PageNum, Silence)>,
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
                has_ended: false,
            }),
            changed: Condvar::new(),
            place,
            patience,
        });
        let watcher = Arc::clone(&shared);
        // Without a thread to spare, silence is not told of, and that is all.
        let _ = thread::Builder::new()
            .name("silence".to_owned())
            .spawn(move || watcher.watch());
        Self(shared)
    }

    /// What tells of waits, for the client.
    pub(crate) fn on_wait(&self) -> impl Fn(&Wait) + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move |wait| shared.tell_of(wait.delay(), &cause(wait.api_error(), wait.failure()))
    }

    /// A page is asked for.
    pub(crate) fn begin(&self, page: PageNum) {
        let silence = Silence::since(Instant::now(), self.0.patience);
        self.0.lock().waiting = Some((page, silence));
        self.0.changed.notify_all();
    }

    /// The page, or an error, has arrived.
    pub(crate) fn arrived(&self) {
        let mut state = self.0.lock();
        state.waiting = None;
        state.erase();
    }

    /// Keys were written to where notes may appear, too.
    pub(crate) fn wrote(&self, ends_line: bool) {
        self.0.lock().is_mid_line = self.0.place == Place::BesideKeys && !ends_line;
    }

    /// `total` is Atlas's estimate: worth showing only while it is ahead.
    pub(crate) fn show(&self, pages: usize, keys: u64, total: Option<u64>) {
        if self.0.place != Place::Terminal {
            return;
        }
        let of = match total {
            Some(total) if total > keys => format!(" of about {total}"),
            _ => String::new(),
        };
        let page = if pages == 1 { "page" } else { "pages" };
        self.0
            .lock()
            .show(&format!("{keys} keys{of} ({pages} {page}) …"));
    }

    /// Something to know that is no error.
    pub(crate) fn note(&self, text: &str) {
        self.0.lock().note(text);
    }
}

/// Errors erase the line, too, and begin with a line of their own.
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
        // What a panic leaves behind is still good for telling.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_of(&self, delay: Duration, cause: &str) {
        if delay < TOLD_WAIT {
            return;
        }
        let mut state = self.lock();
        state.note(&format!("{cause}; trying again in {}", Rounded(delay)));
        // Nothing is expected until then.
        if let Some((_, silence)) = &mut state.waiting {
            let now = Instant::now();
            *silence = Silence::since(now.checked_add(delay).unwrap_or(now), self.patience);
        }
    }

    /// Tells of silence, until the end.
    fn watch(&self) {
        let mut state = self.lock();
        while !state.has_ended {
            let now = Instant::now();
            if let Some((page, silence)) = &mut state.waiting
                && let Some(length) = silence.told(now, self.place == Place::Terminal)
            {
                let text = format!("still waiting for Atlas (page {page}, {})", Whole(length));
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

// What cannot be told is no reason to stop: there is nowhere else to tell it.
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

    /// What comes next begins a line.
    fn end_line(&mut self) {
        self.erase();
        if std::mem::take(&mut self.is_mid_line) {
            let _ = self.out.write_all(b"\n");
        }
    }

    fn note(&mut self, text: &str) {
        self.end_line();
        let line = format!("note: {}\n", text::visible(text));
        let _ = self.out.write_all(line.as_bytes());
    }
}

/// Since when nothing has happened, and when that is told of next.
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

    /// How long it is, if that is to be told of now. A line that is written over is kept up to date;
    /// lines that stay become fewer and fewer.
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

/// Whole seconds.
struct Whole(Duration);

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(Duration::from_secs(self.0.as_secs())).fmt(f)
    }
}

/// Why a request is repeated.
fn cause(answer: Option<&ApiError>, failure: Option<(FailureKind, &ForeignError)>) -> String {
    match (answer, failure) {
        (Some(answer), _) => {
            let code = match &answer.error_code {
                Some(code) => format!(" ({code})"),
                None => String::new(),
            };
            let status = status(answer);
            match answer.endpoint {
                Endpoint::Token => {
                    format!("Atlas answered the request for an access token with {status}{code}")
                }
                _ => format!("Atlas answered {status}{code}"),
            }
        }
        (None, Some((FailureKind::NotSent, error))) => {
            format!("the request could not be sent: {error}")
        }
        (None, Some((_, error))) => format!("no complete response came back: {error}"),
        (None, None) => "the network failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, Sender};

    use atlas_model_keys_core::{BaseUrl, Credentials, Error, Failure, Reply, Session};
    use http::Response;

    use super::*;

    /// Hands each write on.
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
    /// Far beyond what anything here takes.
    const LIMIT: Duration = Duration::from_secs(30);

    fn page(number: u32) -> PageNum {
        PageNum::new(number).unwrap()
    }

    #[test]
    fn silence_is_told_of_while_a_page_is_waited_for() {
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
            progress.begin(page(3));
            assert_eq!(written.recv_timeout(LIMIT).unwrap(), told);
            progress.arrived();
            if place == Place::Terminal {
                assert_eq!(written.recv_timeout(LIMIT).unwrap(), "\r\x1b[K");
            }
        }
    }

    #[test]
    fn silence_is_told_of_after_a_while_and_then_ever_less_often() {
        let start = Instant::now();
        let seconds = |s| start + Duration::from_secs(s);
        let told_at = |is_written_over| {
            let mut silence = Silence::since(start, PATIENCE);
            let told = |s: &u64| silence.told(seconds(*s), is_written_over).is_some();
            (0..100).filter(told).collect::<Vec<_>>()
        };
        assert_eq!(told_at(false), [5, 10, 20, 40, 80]);
        assert_eq!(told_at(true), (5..100).collect::<Vec<_>>());
        // Not while a wait is planned that was told of.
        let mut silence = Silence::since(seconds(90), PATIENCE);
        assert_eq!(silence.told(seconds(94), false), None);
        assert_eq!(silence.told(seconds(95), false), Some(PATIENCE));
    }

    #[test]
    fn a_planned_wait_is_told_of_with_its_cause_and_is_no_silence() {
        let (progress, written) = progress(Place::File, Duration::from_millis(1));
        progress.0.tell_of(TOLD_WAIT / 2, "not told");
        progress.0.tell_of(LONG, "why");
        assert_eq!(
            written.recv_timeout(LIMIT).unwrap(),
            "note: why; trying again in 16m 40s\n"
        );
        progress.begin(page(1));
        progress.0.tell_of(LONG, "why");
        drop(progress);
        let rest: Vec<_> = written.try_iter().collect();
        assert!(
            rest.iter().any(|line| line.starts_with("note: why")),
            "{rest:?}"
        );
    }

    #[test]
    fn a_note_begins_a_line_wherever_the_last_one_ended() {
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
    fn a_line_of_progress_is_erased_before_anything_else() {
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
    fn a_file_gets_no_progress() {
        let (progress, written) = progress(Place::File, LONG);
        progress.show(1, 100, None);
        progress.wrote(false);
        drop(progress);
        assert_eq!(written.try_iter().count(), 0);
    }

    #[test]
    fn the_cause_is_the_answer_with_its_code_or_the_failure() {
        let response = Response::builder()
            .status(503)
            .header("x-error-code", "BUSY");
        let error = Reply::from_response(response.body("").unwrap()).unwrap_err();
        let Error::Api(mut answer) = error else {
            panic!("{error}")
        };
        assert_eq!(
            cause(Some(&answer), None),
            "Atlas answered 503 Service Unavailable (BUSY)"
        );
        answer.endpoint = Endpoint::Token;
        answer.error_code = None;
        assert_eq!(
            cause(Some(&answer), None),
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
            assert_eq!(cause(None, Some((kind, &source))), text);
        }
        assert_eq!(cause(None, None), "the network failed");
    }
}
