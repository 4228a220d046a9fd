//! Counts the instructions of each case with callgrind. The counts do not depend on how busy the machine
//! is.
//!
//! Compares them with the counts in `benches/instructions.txt`, and fails if one of our cases takes more.
//!
//! ```text
//! cargo run --release --no-default-features --example instructions              # compares
//! cargo run --release --no-default-features --example instructions -- --write   # writes the counts
//! ```
//!
//! If compiler, C library, valgrind and architecture are equal, a case may take [`TOLERANCE`] more.
//! Otherwise its ratio to the first case of its group is compared, and may be [`RATIO_TOLERANCE`] higher.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use atlas_model_keys_benches::cases::{self, Case};
use atlas_model_keys_benches::results::{Row, first_line, record};

/// Hash seeds and memory addresses may cause this difference.
const TOLERANCE: f64 = 0.03;

/// The code of other libraries may have changed too.
const RATIO_TOLERANCE: f64 = 0.10;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["run", case] => {
            run(case);
            Ok(ExitCode::SUCCESS)
        }
        _ if Command::new("valgrind").arg("--version").output().is_err() => {
            println!("skipped: valgrind is not installed");
            Ok(ExitCode::SUCCESS)
        }
        ["--write"] => {
            Counts::measure()?.write()?;
            Ok(ExitCode::SUCCESS)
        }
        [] => compare(&Counts::read()?, &Counts::measure()?),
        other => Err(format!("unknown arguments {other:?}; the only one is --write").into()),
    }
}

/// Instructions by case, and the tools that they were counted with.
struct Counts {
    toolchain: String,
    by_case: BTreeMap<String, u64>,
}

impl Counts {
    fn measure() -> Result<Self, Box<dyn Error>> {
        let mut by_case = BTreeMap::new();
        let mut rows = Vec::new();
        let cases = cases::all();
        let names: Vec<String> = cases.iter().map(ToString::to_string).collect();
        for (case, count) in cases.iter().zip(count_all(&names)?) {
            println!("{count:>10}  {case}");
            rows.push(Row::new(
                case.group,
                case.id(),
                "instructions",
                count as f64,
            ));
            by_case.insert(case.to_string(), count);
        }
        record("instructions", rows)?;
        let toolchain = [
            first_line("rustc", "--version"),
            first_line("ldd", "--version"),
            first_line("valgrind", "--version"),
            std::env::consts::ARCH.to_owned(),
        ];
        Ok(Self {
            toolchain: toolchain.join("; "),
            by_case,
        })
    }

    fn read() -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path())?;
        let mut lines = text.lines();
        let toolchain = lines.next().and_then(|line| line.strip_prefix("# "));
        let counts = lines.map(|line| {
            let (count, case) = line.trim_start().split_once("  ")?;
            Some((case.to_owned(), count.parse().ok()?))
        });
        let by_case = counts.collect::<Option<_>>();
        let (Some(toolchain), Some(by_case)) = (toolchain.map(str::to_owned), by_case) else {
            return Err("instructions.txt cannot be read: rewrite it with --write".into());
        };
        Ok(Self { toolchain, by_case })
    }

    fn write(&self) -> Result<(), Box<dyn Error>> {
        let mut text = format!("# {}\n", self.toolchain);
        for case in cases::all() {
            let case = case.to_string();
            writeln!(
                text,
                "{:>10}  {case}",
                self.count(&case).unwrap_or_default()
            )?;
        }
        Ok(fs::write(path(), text)?)
    }

    fn count(&self, case: &str) -> Option<u64> {
        self.by_case.get(case).copied()
    }

    /// Returns the ratio of a case to the first one of its group and size.
    fn ratio(&self, case: &Case) -> Option<f64> {
        let is_alike = |other: &&Case| other.group == case.group && other.size == case.size;
        let all = cases::all();
        let first = all.iter().find(is_alike)?.to_string();
        Some(self.count(&case.to_string())? as f64 / self.count(&first)? as f64)
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

fn compare(known: &Counts, now: &Counts) -> Result<ExitCode, Box<dyn Error>> {
    let is_alike = known.toolchain == now.toolchain;
    println!("\nbefore: {}\nnow:    {}", known.toolchain, now.toolchain);
    let mut slower = false;
    for case in cases::all().iter().filter(|case| case.is_ours()) {
        let name = case.to_string();
        let (before, after, tolerance) = if is_alike {
            let count = |counts: &Counts| counts.count(&name).map(|count| count as f64);
            (count(known), count(now), TOLERANCE)
        } else {
            (known.ratio(case), now.ratio(case), RATIO_TOLERANCE)
        };
        let before = before.ok_or(format!(
            "{name} is not in instructions.txt: add it with --write"
        ))?;
        let change = after.ok_or("the case was not counted")? / before - 1.0;
        let verdict = match change {
            _ if change > tolerance => "SLOWER",
            _ if change < -tolerance => "faster: record it with --write",
            _ => "",
        };
        slower |= change > tolerance;
        println!("{:>+7.1} %  {name}  {verdict}", 100.0 * change);
    }
    Ok(if slower {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs a case. The first runs are not counted, because they may fill buffers.
fn run(name: &str) {
    let mut cases = cases::all();
    let case = cases.iter_mut().find(|case| case.to_string() == name);
    let case = case.expect("a case of this name");
    for _ in 0..2 {
        (case.run)();
    }
    let times = times(case);
    counted(case, times);
    println!("{times}");
}

/// Returns how often a case is run. A small case needs more runs for an exact count.
fn times(case: &Case) -> u32 {
    match case.bytes {
        Some(10_000..) => 10,
        _ => 500,
    }
}

/// The function whose instructions valgrind counts, by its name.
#[inline(never)]
fn counted(case: &mut Case, times: u32) {
    for _ in 0..times {
        (case.run)();
    }
}

/// Returns the instructions of each case, counted on all cores.
fn count_all(names: &[String]) -> Result<Vec<u64>, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let counts: Vec<OnceLock<Result<u64, String>>> =
        names.iter().map(|_| OnceLock::new()).collect();
    let count = || {
        let next = || next.fetch_add(1, Ordering::Relaxed);
        while let Some((name, place)) = names.iter().zip(&counts).nth(next()) {
            let count = count_instructions(name).map_err(|error| format!("{name}: {error}"));
            place.get_or_init(|| count);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(count);
        }
    });
    let counts = counts.into_iter().map(OnceLock::into_inner);
    let counts = counts.map(|count| count.expect("a thread has counted it"));
    counts.collect::<Result<_, _>>().map_err(Into::into)
}

/// Returns the instructions of one run.
fn count_instructions(case: &str) -> Result<u64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*instructions::counted*")
        .arg(std::env::current_exe()?)
        .args(["run", case])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("it failed: {text}").into());
    }
    let count = |line: &str| line.split_once("Collected :")?.1.trim().parse().ok();
    let count: Option<u64> = text.lines().find_map(count);
    let times = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<u32>();
    match (count, times) {
        (Some(count @ 1..), Ok(times)) => Ok(count / u64::from(times)),
        _ => Err(format!("valgrind printed no count: {text}").into()),
    }
}
