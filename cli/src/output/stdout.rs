//! The standard output: a check that it can be written to, and writes that leave whole rows.

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write};

use super::Terminal;
use crate::environment::Environment;
use crate::failure::CommandError;

/// The standard output and its properties.
///
/// Each text is written whole: if the disk is full halfway, what was written of it is removed again.
pub(crate) struct Stdout {
    out: Out,
    pub(crate) is_terminal: bool,
    colour: bool,
    /// Whether a text was written halfway, and could not be removed.
    is_cut: Cell<bool>,
}

/// The file behind the standard output, without a buffer.
#[cfg(unix)]
type Out = std::fs::File;

#[cfg(not(unix))]
type Out = io::Stdout;

impl Stdout {
    pub(crate) fn new(environment: &Environment) -> Result<Self, CommandError> {
        let out = stdout().map_err(|error| CommandError::no_stdout(&error))?;
        Ok(Self {
            is_terminal: out.is_terminal(),
            out,
            colour: environment.allows_colour(),
            is_cut: Cell::new(false),
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

    /// Returns whether the last row of the output may be cut off.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }
}

impl Write for &Stdout {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.write_all(text).map(|()| text.len())
    }

    fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        let mut out = &self.out;
        let begin = end_of_file(out);
        let mut rest = text;
        while !rest.is_empty() {
            let failed = match out.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(length) => {
                    rest = rest.get(length..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = u64::try_from(text.len() - rest.len()).unwrap_or(u64::MAX);
            let removed = || begin.is_some_and(|begin| truncate(out, begin, written));
            if written > 0 && !removed() {
                self.is_cut.set(true);
            }
            return Err(failed);
        }
        out.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the length of the file, if the next write is at its end.
#[cfg(unix)]
fn end_of_file(mut out: &Out) -> Option<u64> {
    use rustix::fs::OFlags;
    use std::io::Seek as _;

    let metadata = out.metadata().ok()?;
    let position = out.stream_position().ok()?;
    let appends = || rustix::fs::fcntl_getfl(out).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    (metadata.is_file() && (position == metadata.len() || appends())).then_some(metadata.len())
}

#[cfg(not(unix))]
fn end_of_file(_: &Out) -> Option<u64> {
    None
}

/// Truncates the file to the length before `written` bytes, and returns whether it has that length then. A file to which
/// another process has written meanwhile is left alone.
#[cfg(unix)]
fn truncate(mut out: &Out, length: u64, written: u64) -> bool {
    use std::io::{Seek as _, SeekFrom};
    let is_ours = |now: std::fs::Metadata| now.len() == length.saturating_add(written);
    out.metadata().is_ok_and(is_ours)
        && out.set_len(length).is_ok()
        && out.seek(SeekFrom::Start(length)).is_ok()
}

#[cfg(not(unix))]
fn truncate(_: &Out, _: u64, _: u64) -> bool {
    false
}

/// Returns the standard output.
///
/// # Errors
/// Returns an error if output would be lost silently.
fn stdout() -> io::Result<Out> {
    let stdout = io::stdout();
    if let Some(problem) = lost(&stdout) {
        return Err(io::Error::other(problem));
    }
    #[cfg(unix)]
    let stdout = std::os::fd::AsFd::as_fd(&stdout)
        .try_clone_to_owned()?
        .into();
    Ok(stdout)
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

/// Returns the reason why output would be lost silently, or `None`. On Windows, the standard library treats a write
/// to a stdout without a handle as success.
#[cfg(windows)]
fn lost(stdout: &io::Stdout) -> Option<&'static str> {
    use std::os::windows::io::AsRawHandle as _;

    stdout
        .as_raw_handle()
        .is_null()
        .then_some("stdout is closed")
}

#[cfg(not(any(unix, windows)))]
fn lost(_: &io::Stdout) -> Option<&'static str> {
    None
}
