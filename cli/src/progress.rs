//! How far a long listing is, on stderr, while it runs.

use std::io::{self, IsTerminal as _, Write as _};

use crate::environment::Environment;

/// A line that is written over and erased at the end. Silent where stderr is no terminal.
pub(crate) struct Progress {
    enabled: bool,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            enabled: io::stderr().is_terminal() && !environment.has_dumb_terminal(),
            shown: false,
        }
    }

    pub(crate) fn silent() -> Self {
        Self {
            enabled: false,
            shown: false,
        }
    }

    /// `total` is Atlas's estimate: worth showing only while it is ahead.
    pub(crate) fn show(&mut self, pages: usize, keys: usize, total: Option<u64>) {
        if !self.enabled {
            return;
        }
        self.shown = true;
        let of = match total {
            Some(total) if total > u64::try_from(keys).unwrap_or(u64::MAX) => {
                format!(" of about {total}")
            }
            _ => String::new(),
        };
        let page = if pages == 1 { "page" } else { "pages" };
        let line = format!("\r\x1b[K{keys} keys{of} ({pages} {page}) …");
        // Progress that cannot be shown is no reason to stop.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    pub(crate) fn erase(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Errors leave the line, too.
impl Drop for Progress {
    fn drop(&mut self) {
        self.erase();
    }
}
