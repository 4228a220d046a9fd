//! `--log`: a line of JSON for each request that the emulator received.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use atlas_model_keys_emulator::Seen;

use crate::failure::CommandError;

use super::{data, note};

/// The log of the requests, shared by the server and the command.
#[derive(Clone)]
pub(super) struct RequestLog(Arc<Mutex<Lines>>);

struct Lines {
    out: Box<dyn Write + Send>,
    /// The lines before [`RequestLog::begin`]: stdout has the variables first.
    early: Option<Vec<u8>>,
    has_failed: bool,
}

impl RequestLog {
    /// Creates the file, or takes stdout if the path is `-`.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        let out: Box<dyn Write + Send> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(File::create(path).map_err(|error| {
                CommandError::local(format!("cannot write {}", data::shown_path(path)), &error)
            })?),
        };
        Ok(Self(Arc::new(Mutex::new(Lines {
            out,
            early: Some(Vec::new()),
            has_failed: false,
        }))))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was logged so far. From now on, each line is written at once.
    pub(super) fn begin(&self) {
        let mut lines = self.lines();
        let early = lines.early.take().unwrap_or_default();
        lines.write(&early);
    }

    pub(super) fn add(&self, seen: &Seen) {
        self.lines().write((seen.to_json() + "\n").as_bytes());
    }

    /// Returns the exit code: an error if a line could not be written, which has been reported.
    pub(super) fn end(&self) -> Result<(), CommandError> {
        match self.lines().has_failed {
            true => Err(CommandError::reported()),
            false => Ok(()),
        }
    }
}

impl Lines {
    /// Writes lines. The first failure is reported, and nothing is written after it.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(early) = &mut self.early {
            early.extend_from_slice(bytes);
        } else if !self.has_failed
            && let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush())
        {
            self.has_failed = true;
            note(&format!(
                "cannot write the log: {error}; requests are served, but no longer logged"
            ));
        }
    }
}
