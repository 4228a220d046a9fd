//! The standard output, and a check that it can be written to.

use std::io::{self, IsTerminal as _};

use super::Terminal;
use crate::environment::Environment;
use crate::failure::CommandError;

/// The standard output and its properties.
pub(crate) struct Stdout {
    pub(crate) out: io::Stdout,
    pub(crate) is_terminal: bool,
    colour: bool,
}

impl Stdout {
    pub(crate) fn new(environment: &Environment) -> Result<Self, CommandError> {
        let out = stdout().map_err(|error| CommandError::no_stdout(&error))?;
        Ok(Self {
            is_terminal: out.is_terminal(),
            out,
            colour: environment.allows_colour(),
        })
    }

    pub(crate) fn terminal(&self, may_drop: bool) -> Option<Terminal> {
        self.is_terminal.then(|| Terminal {
            // A terminal without a known width (a serial line) is assumed to have 80 columns.
            width: terminal_size::terminal_size_of(&self.out)
                .map_or(80, |(terminal_size::Width(width), _)| usize::from(width)),
            colour: self.colour,
            may_drop,
        })
    }
}

/// Returns the standard output.
///
/// # Errors
/// Returns an error if output would be lost silently.
fn stdout() -> io::Result<io::Stdout> {
    let stdout = io::stdout();
    match lost(&stdout) {
        Some(problem) => Err(io::Error::other(problem)),
        None => Ok(stdout),
    }
}

/// Returns the reason why output would be lost silently, or `None`.
///
/// The standard library treats a failed write to a stdout that is not open for writing as success. If stdout
/// is closed (`>&-`), the library opens `/dev/null` for reading and writing in its place before `main`. This
/// cannot be distinguished from a `/dev/null` that was opened for both, but shells open it for writing only.
#[cfg(unix)]
fn lost(stdout: &io::Stdout) -> Option<&'static str> {
    use rustix::fs::OFlags;

    // If the mode is unknown, stdout is used as it is.
    let mode = rustix::fs::fcntl_getfl(stdout).ok()? & OFlags::RWMODE;
    if mode == OFlags::RDONLY {
        return Some("stdout is open for reading only");
    }
    let is_null = || {
        let [own, null] =
            [rustix::fs::fstat(stdout), rustix::fs::stat("/dev/null")].map(Result::ok);
        // `st_rdev` is 0 for a file that is no device.
        matches!((own, null), (Some(own), Some(null)) if own.st_rdev == null.st_rdev && null.st_rdev != 0)
    };
    (mode == OFlags::RDWR && is_null()).then_some(
        "stdout is closed, or it is /dev/null that was opened for reading too, which looks the same",
    )
}

#[cfg(not(unix))]
fn lost(_: &io::Stdout) -> Option<&'static str> {
    None
}
