//! Runs a whole listing in a separate process (`drain/`): its task and its measurement.

use std::env;
use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::atlas::Atlas;
use crate::usage::{self, Process};

/// The number of keys on a page, which is the maximum that Atlas allows.
pub const PER_PAGE: usize = 500;

/// The task of a process that lists all keys.
#[derive(Debug)]
#[non_exhaustive]
pub struct Task {
    /// The name of the loop.
    pub how: String,
    /// Atlas's base URL.
    pub base: String,
    /// The id of the group whose keys are listed.
    pub group: String,
    /// The access token.
    pub token: String,
    /// The number of pages, for loops that do not decode pages.
    pub pages: usize,
    /// The maximum number of pages in flight.
    pub ahead: usize,
}

/// The measurement of a process that has listed all keys.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Measurement {
    /// The number of keys, or of pages if they are not decoded.
    pub items: usize,
    /// The CPU time of all threads.
    pub cpu: Duration,
    /// The wall time of the loop.
    pub wall: Duration,
    /// The peak memory of the process, in bytes.
    pub peak: u64,
}

/// The number of keys or pages that a loop has read.
pub type Outcome = Result<usize, Box<dyn Error>>;

/// The name of a loop, and the loop.
pub type Loop = (&'static str, fn(&Task) -> Outcome);

/// Runs the process that [`run`] starts: reads the task, runs one of `loops`, and prints the measurement.
///
/// # Errors
/// Returns the error of the loop.
///
/// # Panics
/// Panics if the arguments are not a task.
pub fn list(loops: &[Loop], arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let &[how, base, group, token, pages, ahead] = arguments else {
        panic!("{arguments:?}");
    };
    let task = Task {
        how: how.to_owned(),
        base: base.to_owned(),
        group: group.to_owned(),
        token: token.to_owned(),
        pages: pages.parse()?,
        ahead: ahead.parse()?,
    };
    let mut loops = loops.iter();
    let (_, run) = loops.find(|(how, _)| *how == task.how).unwrap();
    let before = usage::measure(Process::Own).cpu;
    let begun = Instant::now();
    let items = run(&task)?;
    let wall = begun.elapsed().as_micros();
    let cpu = usage::measure(Process::Own)
        .cpu
        .saturating_sub(before)
        .as_micros();
    println!("{items} {cpu} {wall} {}", usage::peak());
    Ok(())
}

impl Task {
    /// Returns the URL of a page, as a reader of Atlas's documentation would write it.
    #[must_use]
    pub fn url(&self, page: usize) -> String {
        let Self { base, group, .. } = self;
        format!(
            "{base}/api/atlas/v2/groups/{group}/aiModelApiKeys?itemsPerPage={PER_PAGE}&pageNum={page}"
        )
    }

    /// The value of `Accept`, which names the version.
    pub const ACCEPT: &'static str = "application/vnd.atlas.preview+json";

    /// Returns the value of `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// Starts this executable again with the argument `list`. It lists the `keys` of `atlas` with the loop `how` over
/// `library`. Its `main` must pass the arguments after the library to [`list`].
///
/// # Panics
/// Panics if the process fails or reads a wrong number of keys.
#[must_use]
pub fn run(library: &str, how: &str, ahead: usize, atlas: &Atlas, keys: usize) -> Measurement {
    let pages = keys.div_ceil(PER_PAGE);
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "list",
            library,
            how,
            &atlas.base,
            &atlas.group,
            &atlas.token,
        ])
        .args([pages.to_string(), ahead.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{library} {how}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let [items, cpu, wall, peak] = numbers.try_into().unwrap();
    let measurement = Measurement {
        items: usize::try_from(items).unwrap(),
        cpu: Duration::from_micros(cpu),
        wall: Duration::from_micros(wall),
        peak,
    };
    let undecoded = ["replies", "bare"].contains(&how);
    assert_eq!(
        measurement.items,
        if undecoded { pages } else { keys },
        "{how}"
    );
    measurement
}
