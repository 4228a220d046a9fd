//! How many instructions each case takes, by callgrind: the same on a busy machine. Compares with what is
//! written down in `benches/instructions.txt`, and fails where a case of ours takes more.
//!
//! ```text
//! cargo run --release -p atlas-model-keys-benches --bin instructions              # compares
//! cargo run --release -p atlas-model-keys-benches --bin instructions -- --write   # writes it down
//! ```
//!
//! With the same compiler, C library, valgrind and architecture a case may take [`TOLERANCE`] more. With
//! others, what is compared is its ratio to the first case of its group, and may be [`RATIO_TOLERANCE`] more.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use atlas_model_keys_benches::cases;
use atlas_model_keys_benches::results::{Row, first_line, record};

/// What may come of hash seeds and of where memory happens to be.
const TOLERANCE: f64 = 0.03;

/// Others' code may have changed, too.
const RATIO_TOLERANCE: f64 = 0.10;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["run", case, times] => {
            run(case, times.parse()?);
            Ok(ExitCode::SUCCESS)
        }
        _ if Command::new("valgrind").arg("--version").output().is_err() => {
            println!("skipped: there is no valgrind");
            Ok(ExitCode::SUCCESS)
        }
        ["--write"] => {
            Counts::measure()?.write()?;
            Ok(ExitCode::SUCCESS)
        }
        [] => compare(&Counts::read()?, &Counts::measure()?),
        other => Err(format!("{other:?}: there is nothing to say but --write").into()),
    }
}

/// Instructions by case, and with what they were counted.
struct Counts {
    with: String,
    of: BTreeMap<String, u64>,
}

impl Counts {
    fn measure() -> Result<Self, Box<dyn Error>> {
        let mut of = BTreeMap::new();
        let mut rows = Vec::new();
        for case in cases::all() {
            let count = instructions(&case.to_string())?;
            println!("{count:>10}  {case}");
            rows.push(Row::new(
                case.group,
                case.id(),
                "instructions",
                count as f64,
            ));
            of.insert(case.to_string(), count);
        }
        record("instructions", rows)?;
        let with = [
            first_line("rustc", "--version"),
            first_line("ldd", "--version"),
            first_line("valgrind", "--version"),
            std::env::consts::ARCH.to_owned(),
        ];
        Ok(Self {
            with: with.join("; "),
            of,
        })
    }

    fn read() -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path())?;
        let mut lines = text.lines();
        let with = lines.next().and_then(|line| line.strip_prefix("# "));
        let counts = lines.map(|line| {
            let (count, case) = line.trim_start().split_once("  ")?;
            Some((case.to_owned(), count.parse().ok()?))
        });
        let of = counts.collect::<Option<_>>();
        let (Some(with), Some(of)) = (with.map(str::to_owned), of) else {
            return Err("instructions.txt cannot be read: write it anew with --write".into());
        };
        Ok(Self { with, of })
    }

    fn write(&self) -> Result<(), Box<dyn Error>> {
        let mut text = format!("# {}\n", self.with);
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
        self.of.get(case).copied()
    }

    /// The case by the first one of its group and size.
    fn ratio(&self, case: &cases::Case) -> Option<f64> {
        let is_alike = |other: &&cases::Case| other.group == case.group && other.size == case.size;
        let all = cases::all();
        let first = all.iter().find(is_alike)?.to_string();
        Some(self.count(&case.to_string())? as f64 / self.count(&first)? as f64)
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

fn compare(known: &Counts, now: &Counts) -> Result<ExitCode, Box<dyn Error>> {
    let is_alike = known.with == now.with;
    println!("\nbefore: {}\nnow:    {}", known.with, now.with);
    let mut slower = false;
    for case in cases::all().iter().filter(|case| case.is_ours()) {
        let name = case.to_string();
        let (before, after, tolerance) = if is_alike {
            let count = |counts: &Counts| counts.count(&name).map(|count| count as f64);
            (count(known), count(now), TOLERANCE)
        } else {
            (known.ratio(case), now.ratio(case), RATIO_TOLERANCE)
        };
        let before = before.ok_or(format!("{name} is not written down: use --write"))?;
        let change = after.ok_or("it was counted")? / before - 1.0;
        let verdict = match change {
            _ if change > tolerance => "SLOWER",
            _ if change < -tolerance => "faster: write it down",
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

fn run(name: &str, times: usize) {
    let mut cases = cases::all();
    let case = cases.iter_mut().find(|case| case.to_string() == name);
    let case = case.expect("a case of this name");
    for _ in 0..times {
        (case.run)();
    }
}

/// Of one run, without the way there: what some more of them take.
fn instructions(case: &str) -> Result<u64, Box<dyn Error>> {
    let warm = collected(case, 2)?;
    let few = (collected(case, 12)? - warm) / 10;
    // A small one is seen only in many.
    Ok(match few {
        0..100_000 => (collected(case, 502)? - warm) / 500,
        _ => few,
    })
}

fn collected(case: &str, times: u32) -> Result<u64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", case, &times.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = |line: &str| line.split_once("Collected :")?.1.trim().parse().ok();
    let count = text.lines().find_map(count);
    count.ok_or_else(|| format!("valgrind counted nothing: {text}").into())
}
