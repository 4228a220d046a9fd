//! The properties that the fuzz targets check, as plain functions: [`check`](TARGETS) panics where one
//! does not hold.
//!
//! libFuzzer calls them by way of `fuzz_targets/`; `cargo test` replays the seeds and the regressions
//! through the same functions, on any toolchain. Each module says which property it states, how
//! its input is laid out, and where the core is known to disagree with what it is compared with.

#[macro_use]
mod macros;

pub mod challenge;
pub mod dates;
pub mod emulator;
pub mod input;
mod json;
pub mod page;
pub mod redaction;
pub mod reply;
pub mod request;
pub mod session;
mod shown;
pub mod wire;

use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

/// Checks one input. Panics where the property does not hold.
pub type Check = fn(&[u8]);

/// Every target, by the name that its files have.
pub const TARGETS: [(&str, Check); 9] = [
    ("challenge", challenge::check),
    ("dates", dates::check),
    ("emulator", emulator::check),
    ("page", page::check),
    ("redaction", redaction::check),
    ("reply", reply::check),
    ("request", request::check),
    ("session", session::check),
    ("wire", wire::check),
];

/// Checks files, and the files of folders. Tells how many, in order of their names.
///
/// # Errors
/// A file or folder cannot be read.
pub fn replay(path: &Path, check: Check) -> io::Result<usize> {
    if !path.is_dir() {
        let input = fs::read(path)?;
        if let Err(panic) = catch_unwind(|| check(&input)) {
            eprintln!("the input is {}", path.display());
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

/// What a target's program does without libFuzzer: checks the files that it is given, and shows how their
/// inputs are read. For looking into a finding with a stable toolchain and a debugger.
#[must_use]
pub fn main(check: Check) -> ExitCode {
    input::show();
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
