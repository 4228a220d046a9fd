//! `--log`: a line of JSON for each request that the emulator received.
//!
//! A thread writes the lines, so that a reader that stops reading a pipe stops neither the requests nor the end of
//! the command.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use atlas_model_keys_emulator::Seen;

use crate::failure::CommandError;

use super::{cannot_write, say};

/// The time that a request waits until its line is written, so that a client finds the line in the file after the
/// response. If a wait reaches this time, later requests do not wait, until all lines are written.
const LINE_WAIT: Duration = Duration::from_secs(1);

/// The time that the end of the command waits until all lines are written.
const END_WAIT: Duration = Duration::from_secs(2);

/// The maximum size of the lines that are not written yet, in bytes.
const MAX_UNWRITTEN: usize = 64 << 20;

/// The log of the requests, shared by the server and the command.
#[derive(Clone)]
pub(super) struct RequestLog(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Notified whenever the lines change.
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    /// The lines that the thread has not taken yet.
    unwritten: Vec<u8>,
    /// Whether the thread runs: stdout has the variables first.
    has_begun: bool,
    is_writing: bool,
    /// Whether a wait has timed out since all lines were last written.
    is_stuck: bool,
    has_failed: bool,
}

/// What the lines are written to: a file, or stdout.
pub(super) struct Output(Option<File>);

impl Output {
    /// Creates or opens the file, or takes stdout if the path is `-`. The content of the file is kept, because the
    /// command may still fail.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        if path.as_os_str() == "-" {
            return Ok(Self(None));
        }
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(path);
        file.map(|file| Self(Some(file)))
            .map_err(|error| cannot_write(path, &error))
    }

    /// Removes the content of the file.
    pub(super) fn clear(&self) {
        if let Some(file) = &self.0 {
            // This fails for a pipe or a terminal, which has no content.
            let _ = file.set_len(0);
        }
    }
}

impl RequestLog {
    /// Creates a log that keeps its lines until [`RequestLog::begin`].
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            lines: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Writes the lines to this output from now on, also those that were logged so far.
    pub(super) fn begin(&self, output: Output) -> Result<(), CommandError> {
        let writer = self.clone();
        thread::Builder::new()
            .name("request-log".to_owned())
            .spawn(move || match output.0 {
                Some(file) => writer.write_lines(file),
                None => writer.write_lines(io::stdout()),
            })
            .map_err(|error| CommandError::local("cannot write the log", &error))?;
        self.lines().has_begun = true;
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all lines, until a write fails.
    fn write_lines(&self, mut out: impl Write) {
        loop {
            let is_idle = |lines: &mut Lines| lines.unwritten.is_empty();
            let mut lines = self
                .0
                .changed
                .wait_while(self.lines(), is_idle)
                .unwrap_or_else(PoisonError::into_inner);
            let bytes = std::mem::take(&mut lines.unwritten);
            lines.is_writing = true;
            drop(lines);
            let result = out.write_all(&bytes).and_then(|()| out.flush());
            let mut lines = self.lines();
            lines.is_writing = false;
            if lines.is_written() {
                lines.is_stuck = false;
            }
            if let Err(error) = &result {
                lines.fail(&error.to_string());
            }
            self.0.changed.notify_all();
            if result.is_err() {
                return;
            }
        }
    }

    /// Waits until all lines are written, but no longer than this time. Returns whether they are.
    fn wait(&self, lines: MutexGuard<'_, Lines>, limit: Duration) -> bool {
        let (mut lines, wait) = self
            .0
            .changed
            .wait_timeout_while(lines, limit, |lines| !lines.is_written())
            .unwrap_or_else(PoisonError::into_inner);
        lines.is_stuck |= wait.timed_out();
        !wait.timed_out()
    }

    pub(super) fn add(&self, seen: &Seen) {
        let mut lines = self.lines();
        if lines.has_failed {
            return;
        }
        let line = seen.to_json() + "\n";
        if lines.unwritten.len().saturating_add(line.len()) > MAX_UNWRITTEN {
            lines.fail("nothing reads it");
            return;
        }
        lines.unwritten.extend_from_slice(line.as_bytes());
        self.0.changed.notify_all();
        if lines.has_begun && !lines.is_stuck {
            self.wait(lines, LINE_WAIT);
        }
    }

    /// Waits for the last lines. Returns the exit code: an error if a line could not be written, which has been
    /// reported.
    pub(super) fn end(&self) -> Result<(), CommandError> {
        if !self.wait(self.lines(), END_WAIT) {
            self.lines().fail("nothing reads it");
        }
        match self.lines().has_failed {
            true => Err(CommandError::reported()),
            false => Ok(()),
        }
    }
}

impl Lines {
    fn is_written(&self) -> bool {
        self.unwritten.is_empty() && !self.is_writing
    }

    /// Reports the first failure. Nothing is logged after it.
    fn fail(&mut self, why: &str) {
        self.unwritten = Vec::new();
        if !std::mem::replace(&mut self.has_failed, true) {
            say(&format!(
                "note: cannot write the log: {why}; requests are served, but no longer logged"
            ));
        }
    }
}
