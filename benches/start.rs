//! The command, from its start to its end: one page of 100 keys beside `/bin/true` and curl, and the
//! instructions of 200 pages, by the way in which they come.
//!
//! ```text
//! cargo bench -p atlas-model-keys-benches --bench start              # builds the command, too
//! cargo bench -p atlas-model-keys-benches --bench start -- --quick   # fewer rounds
//! cargo bench -p atlas-model-keys-benches --bench start -- start     # one part: start or instructions
//! ```

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas::{self, Atlas, Delivery};
use atlas_model_keys_benches::drain::{PER_PAGE, Task};
use atlas_model_keys_benches::results::{self, Row};
use atlas_model_keys_benches::usage::{self, Whose, median};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", rest @ ..] => return atlas::serve(rest),
        ["peak", program, rest @ ..] => return peak(program, rest),
        _ => {}
    }
    let Some(arguments) = Arguments::of_bench() else {
        return;
    };
    let mut rows = Vec::new();
    if arguments.wants("start") {
        let rounds = if arguments.is_quick() { 21 } else { 201 };
        rows.extend(one_page(&built(), rounds));
    }
    if arguments.wants("instructions") {
        rows.extend(instructions(&built()));
    }
    results::record("start", rows).unwrap();
}

/// The command as it is shipped.
fn built() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "atlas-model-keys",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    results::target().join("release/atlas-model-keys")
}

/// A command that is run again and again, and what it took each time.
struct Measured {
    id: &'static str,
    command: Command,
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Measured {
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
        let before = usage::of(Whose::Children).cpu;
        let begun = Instant::now();
        let status = self.command.status().unwrap();
        self.wall.push(begun.elapsed());
        assert!(status.success(), "{:?}", self.command);
        self.cpu.push(usage::of(Whose::Children).cpu - before);
    }

    /// The same command, started by a process that is small and starts nothing else.
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

/// What a process of its own does for [`Measured::peak`].
fn peak(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
    println!("{}", usage::of(Whose::Children).peak / 1024);
}

/// 100 keys, one after the other: nothing, the command without a request, the command, and curl if it is
/// here.
fn one_page(command: &Path, rounds: usize) -> Vec<Row> {
    let atlas = Atlas::start(100, Duration::ZERO, Delivery::Length);
    let mut version = Command::new(command);
    version.arg("--version");
    let mut all = vec![
        Measured::new("/bin/true", Command::new("/bin/true")),
        Measured::new("atlas-model-keys --version", version),
        Measured::new("atlas-model-keys list", list(command, &atlas)),
    ];
    if is_there("curl") {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--oauth2-bearer", &atlas.token]);
        curl.args(["--header", &format!("Accept: {}", Task::ACCEPT)]);
        let Atlas { base, group, .. } = &atlas;
        curl.arg(format!("{base}/api/atlas/v2/groups/{group}/aiModelApiKeys"));
        all.push(Measured::new("curl", curl));
    } else {
        println!("skipped: curl is not here");
    }
    for _ in 0..rounds {
        all.iter_mut().for_each(Measured::run);
    }
    all.iter().flat_map(Measured::rows).collect()
}

/// 200 pages, counted and not timed.
fn instructions(command: &Path) -> Vec<Row> {
    if !is_there("valgrind") {
        println!("skipped: valgrind is not here to count instructions");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for delivery in Delivery::ALL {
        let atlas = Atlas::start(200 * PER_PAGE, Duration::ZERO, delivery);
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
        println!("{delivery:32} {millions:12.1} million instructions");
        rows.push(Row::new(
            "instructions",
            delivery.to_string(),
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

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    let output = command.arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}
