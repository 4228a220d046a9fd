//! Where the output goes, and whether it can go there at all.

use std::io;

/// Standard output; an error where what is written to it would be lost without one.
pub(crate) fn stdout() -> io::Result<io::Stdout> {
    let stdout = io::stdout();
    match lost(&stdout) {
        Some(problem) => Err(io::Error::other(problem)),
        None => Ok(stdout),
    }
}

/// Why what is written would be lost. The standard library takes the error of a stdout that cannot be
/// written to for success. And where stdout is closed (`>&-`), it opens `/dev/null` for reading and writing in
/// its place before `main`: nothing is left of the difference to a `/dev/null` that somebody has opened in
/// this way. Shells open it for writing only.
#[cfg(unix)]
fn lost(stdout: &io::Stdout) -> Option<&'static str> {
    use rustix::fs::OFlags;

    // A stdout that says nothing about itself is used as it is.
    let mode = rustix::fs::fcntl_getfl(stdout).ok()? & OFlags::RWMODE;
    if mode == OFlags::RDONLY {
        return Some("stdout is open for reading only");
    }
    let is_null = || {
        let [own, null] =
            [rustix::fs::fstat(stdout), rustix::fs::stat("/dev/null")].map(Result::ok);
        // Of a file that is no device, it is 0.
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
