//! A whole listing in a process of its own: what the processes (`src/bin/drain-….rs`) are told, and what
//! they tell.

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::atlas::Atlas;
use crate::usage::{self, Whose};

/// How many keys are on a page: as many as Atlas allows.
pub const PER_PAGE: usize = 500;

/// What a draining process is told.
#[derive(Debug)]
#[non_exhaustive]
pub struct Task {
    /// Which of its loops.
    pub how: String,
    /// Where Atlas is.
    pub base: String,
    /// Whose keys.
    pub group: String,
    /// The access token.
    pub token: String,
    /// How many pages there are, for loops that do not look.
    pub pages: usize,
    /// How many pages may be on their way at a time.
    pub ahead: usize,
}

/// What a draining process tells.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Drained {
    /// How many keys, or pages where they are not decoded.
    pub items: usize,
    /// In all threads.
    pub cpu: Duration,
    /// From the first line of the loop to the last.
    pub wall: Duration,
    /// The most memory of the whole process, in bytes.
    pub peak: u64,
}

/// What a loop of a draining process comes to.
pub type Outcome = Result<usize, Box<dyn Error>>;

/// A loop and its name.
pub type Loop = (&'static str, fn(&Task) -> Outcome);

/// What a draining process is: reads its task, does it with one of `loops`, and tells what it took.
///
/// # Errors
/// The loop's.
///
/// # Panics
/// With arguments that are no task.
pub fn main(loops: &[Loop]) -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, base, group, token, pages, ahead] = arguments.try_into().unwrap();
    let (pages, ahead) = (pages.parse()?, ahead.parse()?);
    let task = Task {
        how,
        base,
        group,
        token,
        pages,
        ahead,
    };
    let mut loops = loops.iter();
    let (_, run) = loops.find(|(how, _)| *how == task.how).unwrap();
    let before = usage::of(Whose::Own).cpu;
    let begun = Instant::now();
    let items = run(&task)?;
    let wall = begun.elapsed().as_micros();
    let cpu = usage::of(Whose::Own).cpu.saturating_sub(before).as_micros();
    println!("{items} {cpu} {wall} {}", usage::peak());
    Ok(())
}

impl Task {
    /// The URL of a page, as somebody would write it who knows Atlas's documentation.
    #[must_use]
    pub fn url(&self, page: usize) -> String {
        let Self { base, group, .. } = self;
        format!(
            "{base}/api/atlas/v2/groups/{group}/aiModelApiKeys?itemsPerPage={PER_PAGE}&pageNum={page}"
        )
    }

    /// What names the version.
    pub const ACCEPT: &'static str = "application/vnd.atlas.preview+json";

    /// The credential.
    #[must_use]
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

/// Lets `program` list all of the `keys` of `atlas` in its loop `how`.
///
/// # Panics
/// Where it fails.
#[must_use]
pub fn run(program: &str, how: &str, ahead: usize, atlas: &Atlas, keys: usize) -> Drained {
    let pages = keys.div_ceil(PER_PAGE);
    let output = Command::new(program)
        .args([how, &atlas.base, &atlas.group, &atlas.token])
        .args([pages.to_string(), ahead.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {how}");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let [items, cpu, wall, peak] = numbers.try_into().unwrap();
    let drained = Drained {
        items: usize::try_from(items).unwrap(),
        cpu: Duration::from_micros(cpu),
        wall: Duration::from_micros(wall),
        peak,
    };
    let undecoded = ["replies", "bare"].contains(&how);
    assert_eq!(drained.items, if undecoded { pages } else { keys }, "{how}");
    drained
}
