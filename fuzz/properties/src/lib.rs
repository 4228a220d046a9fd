//! The properties that the fuzz targets check, as plain functions: each [`Check`] panics if a property does not hold.
//!
//! Nothing here knows a fuzzing engine. The programs in `fuzz_targets/` pass the inputs of an engine to these functions;
//! `cargo test` replays the seeds and the regressions, on any toolchain.
//!
//! - [`generators`] read structured inputs from bytes.
//! - `oracles` compute what must come, without the code that is checked.
//! - [`targets`] run the code and compare. Each module documents its properties, the layout of its input, and the known
//!   differences between the core and the implementation that it is compared with.

pub mod allocations;
pub mod generators;
mod oracles;
pub mod targets;

// The server's parser of requests, which a target includes, writes dates.
#[expect(dead_code, reason = "only dates are written")]
#[path = "../../../emulator/src/calendar.rs"]
mod calendar;

use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use generators::bytes::print_parsed;
use targets::{
    challenge, dates, driver, emulator, listing, output, page, redaction, reply, request, server,
    session, wire,
};

/// Checks one input, and panics if a property does not hold.
pub type Check = fn(&[u8]);

/// All targets, each with the name that its files share.
pub const TARGETS: [(&str, Check); 13] = [
    ("challenge", challenge::check),
    ("dates", dates::check),
    ("driver", driver::check),
    ("emulator", emulator::check),
    ("listing", listing::check),
    ("output", output::check),
    ("page", page::check),
    ("redaction", redaction::check),
    ("reply", reply::check),
    ("request", request::check),
    ("server", server::check),
    ("session", session::check),
    ("wire", wire::check),
];

/// Checks a file, or all files below a folder in order of their names, and returns how many there were.
///
/// # Errors
/// Fails if a file or folder cannot be read.
pub fn replay(path: &Path, check: Check) -> io::Result<usize> {
    if !path.is_dir() {
        let input = fs::read(path)?;
        if let Err(panic) = catch_unwind(|| check(&input)) {
            eprintln!("the failing input is {}", path.display());
            resume_unwind(panic);
        }
        return Ok(1);
    }
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    entries
        .iter()
        .map(|entry| replay(&entry.path(), check))
        .sum()
}

/// Runs a target without libFuzzer: checks the files named on the command line and prints the parsed inputs.
/// This allows a finding to be debugged with a stable toolchain.
#[must_use]
pub fn main(check: Check) -> ExitCode {
    print_parsed();
    for path in std::env::args_os().skip(1) {
        match replay(Path::new(&path), check) {
            Ok(files) => println!("{}: {files} checked", path.display()),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
