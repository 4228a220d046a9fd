//! Benchmarks of the command from start to end: the time of one page of 100 keys, compared with
//! `/bin/true` and curl, and the instructions of 200 pages in each body encoding.
//!
//! ```text
//! cargo bench --bench start              # also builds the command
//! cargo bench --bench start -- --quick   # fewer rounds
//! cargo bench --bench start -- start     # one part: start or instructions
//! ```

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas::{self, Atlas, BodyEncoding};
use atlas_model_keys_benches::drain::{PER_PAGE, Task};
use atlas_model_keys_benches::results::{self, Row};
use atlas_model_keys_benches::usage::{self, Process, median};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", rest @ ..] => return atlas::serve(rest),
        ["peak", program, rest @ ..] => return peak(program, rest),
        _ => {}
    }
    let Some(arguments) = Arguments::from_env() else {
        return;
    };
    let mut rows = Vec::new();
    if arguments.includes("start") {
        let rounds = if arguments.is_quick() { 21 } else { 201 };
        rows.extend(one_page(&build_command(), rounds));
    }
    if arguments.includes("instructions") {
        rows.extend(instructions(&build_command()));
    }
    results::record("start", rows).unwrap();
}

/// Builds the command in release mode, which needs its own workspace, and returns its path.
fn build_command() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "atlas-model-keys",
            "--target-dir",
        ])
        .arg(results::target())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .unwrap();
    assert!(status.success());
    results::target().join("release/atlas-model-keys")
}

/// A command that is run repeatedly, and the time of each run.
struct Subject {
    id: &'static str,
    command: Command,
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Subject {
    fn new(id: &'static str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self {
            id,
            command,
            wall: Vec::new(),
            cpu: Vec::new(),
        }
    }

    fn run(&mut self) {
        let before = usage::measure(Process::Children).cpu;
        let begun = Instant::now();
        let status = self.command.status().unwrap();
        self.wall.push(begun.elapsed());
        assert!(status.success(), "{:?}", self.command);
        self.cpu
            .push(usage::measure(Process::Children).cpu - before);
    }

    /// Returns the peak memory of the command in KiB. A small process that starts nothing else runs it.
    fn peak(&self) -> f64 {
        let mut launcher = Command::new(env::current_exe().unwrap());
        launcher.arg("peak").arg(self.command.get_program());
        launcher.args(self.command.get_args());
        launcher.envs(
            self.command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let output = launcher.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().parse().unwrap()
    }

    fn rows(&self) -> Vec<Row> {
        let micros = |times: &[Duration]| median(times.iter().map(|t| t.as_secs_f64() * 1e6));
        let rows = [
            ("wall µs", micros(&self.wall)),
            ("CPU µs", micros(&self.cpu)),
            ("peak KiB", self.peak()),
        ];
        for (unit, value) in rows {
            println!("{:32} {value:12.1} {unit}", self.id);
        }
        let row = |(unit, value)| Row::new("start", self.id, unit, value);
        rows.into_iter().map(row).collect()
    }
}

/// Runs the process that [`Subject::peak`] starts.
fn peak(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
    println!("{}", usage::measure(Process::Children).peak / 1024);
}

/// Measures 100 keys, alternately: `/bin/true`, the command without a request, the command with one, and
/// curl if it is installed.
fn one_page(command: &Path, rounds: usize) -> Vec<Row> {
    let atlas = Atlas::start(100, Duration::ZERO, BodyEncoding::Length);
    let mut version = Command::new(command);
    version.arg("--version");
    let mut all = vec![
        Subject::new("/bin/true", Command::new("/bin/true")),
        Subject::new("atlas-model-keys --version", version),
        Subject::new("atlas-model-keys list", list(command, &atlas)),
    ];
    if is_installed("curl") {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--oauth2-bearer", &atlas.token]);
        curl.args(["--header", &format!("Accept: {}", Task::ACCEPT)]);
        let Atlas { base, group, .. } = &atlas;
        curl.arg(format!("{base}/api/atlas/v2/groups/{group}/aiModelApiKeys"));
        all.push(Subject::new("curl", curl));
    } else {
        println!("skipped: curl is not installed");
    }
    for _ in 0..rounds {
        all.iter_mut().for_each(Subject::run);
    }
    all.iter().flat_map(Subject::rows).collect()
}

/// Counts the instructions for 200 pages.
fn instructions(command: &Path) -> Vec<Row> {
    if !is_installed("valgrind") {
        println!("skipped: valgrind, which counts instructions, is not installed");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for encoding in BodyEncoding::ALL {
        let atlas = Atlas::start(200 * PER_PAGE, Duration::ZERO, encoding);
        let list = list(command, &atlas);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg(list.get_program()).args(list.get_args());
        valgrind.args(["--items-per-page", &PER_PAGE.to_string()]);
        valgrind.envs(
            list.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let output = valgrind.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let lines = output.stdout.iter().filter(|b| **b == b'\n').count();
        assert_eq!(lines, 200 * PER_PAGE);
        let mut lines = text.lines();
        let count = lines
            .find_map(|line| line.split_once("Collected : "))
            .unwrap();
        let millions = count.1.trim().parse::<f64>().unwrap() / 1e6;
        println!("{encoding:32} {millions:12.1} million instructions");
        rows.push(Row::new(
            "instructions",
            encoding.to_string(),
            "M",
            millions,
        ));
    }
    rows
}

fn list(command: &Path, atlas: &Atlas) -> Command {
    let mut list = Command::new(command);
    list.args(["list", "--output", "ndjson"])
        .env("MONGODB_ATLAS_BASE_URL", &atlas.base)
        .env("MONGODB_ATLAS_PROJECT_ID", &atlas.group)
        .env("MONGODB_ATLAS_ACCESS_TOKEN", &atlas.token);
    list
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let output = command.arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}
