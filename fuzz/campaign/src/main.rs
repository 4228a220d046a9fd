//! Fuzzes the targets on one machine: builds them, runs them on all cores for a given time, minimizes the corpora, and
//! reports executions, coverage and findings. The next campaign continues from the corpora.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/campaign/Cargo.toml -- --time 10m session wire
//! ```
//!
//! The engine is libFuzzer, through cargo-fuzz. `build` compiles the programs, `engine` runs one of them, `findings`
//! sorts and minimizes what failed, `report` writes the table, and `coverage` measures which regions of the core the corpora reach.

mod arguments;
mod build;
mod coverage;
mod engine;
mod findings;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs};

use arguments::{Arguments, Command};
use engine::Engine;
use report::Row;

/// An error that ends the program. The text says what to do.
type Error = Box<dyn std::error::Error>;

/// The exit code for findings.
const FINDINGS: u8 = 1;
/// The exit code for wrong arguments, a failed build and the like.
const FAILED: u8 = 2;
/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    if let Some(code) = build::run_as_compiler_wrapper() {
        return code;
    }
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn run() -> Result<u8, Error> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in the folder fuzz");
    let arguments = match arguments::parse(env::args_os())? {
        Command::Help => {
            print!("{}", arguments::HELP);
            return Ok(0);
        }
        Command::Run(arguments) => arguments,
    };
    let targets = targets(fuzz, &arguments.targets)?;
    if arguments.coverage {
        coverage::report(fuzz, &targets)?;
        return Ok(0);
    }
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_interrupted);
    // The processes of the engine get the signal of a terminal, too, and end by themselves.
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;

    let programs = build::targets(fuzz, arguments.sanitizer, &targets)?;
    let mut rows = Vec::new();
    for target in &targets {
        let engine = Engine::new(fuzz, target, programs.join(target))?;
        rows.push(fuzz_target(&engine, &arguments, &is_interrupted)?);
        if is_interrupted.load(Ordering::SeqCst) {
            eprintln!("interrupted; the next campaign continues from the corpora");
            break;
        }
    }
    print!("{}", report::write(&rows, arguments.format));
    if rows.iter().any(|row| !row.findings.is_empty()) {
        Ok(FINDINGS)
    } else if is_interrupted.load(Ordering::SeqCst) {
        Ok(INTERRUPTED)
    } else {
        Ok(0)
    }
}

/// Returns the chosen targets, or all.
fn targets(fuzz: &Path, chosen: &[String]) -> Result<Vec<String>, Error> {
    let mut all: Vec<String> = fs::read_dir(fuzz.join("fuzz_targets"))?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_target = path.extension().is_some_and(|extension| extension == "rs");
            Some(path.file_stem()?.to_str()?.to_owned()).filter(|_| is_target)
        })
        .collect();
    all.sort();
    if let Some(unknown) = chosen.iter().find(|name| !all.contains(name)) {
        let known = all.join(", ");
        return Err(format!("there is no target {unknown:?}; the targets are {known}").into());
    }
    Ok(if chosen.is_empty() {
        all
    } else {
        chosen.to_vec()
    })
}

/// Runs one target, and then minimizes its corpus and its findings.
fn fuzz_target(
    engine: &Engine,
    arguments: &Arguments,
    is_interrupted: &AtomicBool,
) -> Result<Row, Error> {
    let target = engine.target();
    eprintln!("{target}: fuzzing for {} s", arguments.time.as_secs());
    let run = engine.fuzz(arguments.time, arguments.workers)?;
    let mut row = Row::new(target, &run);
    let failed = engine.failed_inputs()?;
    if !failed.is_empty() {
        eprintln!(
            "{target}: {} inputs failed; they are sorted and minimized",
            failed.len()
        );
        row.findings = findings::collect(engine, failed)?;
    } else if run.exit_code != Some(0) && !is_interrupted.load(Ordering::SeqCst) {
        return Err(format!("{target} failed without an input:\n{}", run.last_lines).into());
    }
    if !is_interrupted.load(Ordering::SeqCst) {
        eprintln!("{target}: minimizing the corpus");
        engine.minimize_corpus()?;
    }
    (row.corpus_files, row.corpus_bytes) = engine.corpus_size()?;
    Ok(row)
}

/// Creates a folder below the system's folder for temporary files. It is removed with the returned value.
fn scratch_folder(name: &str) -> Result<Scratch, Error> {
    let folder = env::temp_dir().join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(Scratch(folder))
}

/// A folder that is removed when the value is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The time for which a single step may run that has no budget of its own.
const STEP: Duration = Duration::from_secs(60);
