//! Benchmarks of the command from start to end: the time of one page of 100 keys without and with TLS, compared
//! with `/bin/true` and curl, and the instructions of 200 pages in each body encoding.
//!
//! ```text
//! cargo bench --bench start              # also builds the command
//! cargo bench --bench start -- --quick   # fewer rounds
//! cargo bench --bench start -- start     # one part: start, start-tls or instructions
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas::{self, Atlas, BodyEncoding, Settings, Tls};
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
    let rounds = if arguments.is_quick() { 21 } else { 201 };
    if arguments.includes("start") {
        let atlas = Atlas::start(&Settings::new(100));
        rows.extend(one_page("start", &build_command(), &atlas, None, rounds));
    }
    if arguments.includes("start-tls") {
        rows.extend(one_page_over_tls(&build_command(), rounds));
    }
    if arguments.includes("instructions") {
        rows.extend(instructions(&build_command()));
    }
    results::record("start", rows).unwrap();
}

/// Builds the command as it is released, which needs its own workspace, and returns its path.
fn build_command() -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--profile",
            "dist",
            "--package",
            "atlas-model-keys",
            "--target-dir",
        ])
        .arg(results::target())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status()
        .unwrap();
    assert!(status.success());
    results::target().join("dist/atlas-model-keys")
}

/// A command that is run repeatedly, and the time of each run.
struct Subject {
    group: &'static str,
    id: &'static str,
    command: Command,
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

impl Subject {
    fn new(group: &'static str, id: &'static str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self {
            group,
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
            println!("{:10} {:32} {value:12.1} {unit}", self.group, self.id);
        }
        let row = |(unit, value)| Row::new(self.group, self.id, unit, value);
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
/// curl if it is installed. `roots` is the file of the trusted certificates.
fn one_page(
    group: &'static str,
    command: &Path,
    atlas: &Atlas,
    roots: Option<&Path>,
    rounds: usize,
) -> Vec<Row> {
    let mut version = Command::new(command);
    version.arg("--version");
    let mut list = list(command, atlas);
    if let Some(roots) = roots {
        list.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    }
    let mut all = vec![
        Subject::new(group, "/bin/true", Command::new("/bin/true")),
        Subject::new(group, "atlas-model-keys --version", version),
        Subject::new(group, "atlas-model-keys list", list),
    ];
    if is_installed("curl") {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--oauth2-bearer", &atlas.token]);
        curl.args(["--header", &format!("Accept: {}", Task::ACCEPT)]);
        if let Some(roots) = roots {
            curl.arg("--cacert").arg(roots);
        }
        let Atlas { base, groups, .. } = atlas;
        curl.arg(format!(
            "{base}/api/atlas/v2/groups/{}/aiModelApiKeys",
            groups[0]
        ));
        all.push(Subject::new(group, "curl", curl));
    } else {
        println!("skipped: curl is not installed");
    }
    for _ in 0..rounds {
        all.iter_mut().for_each(Subject::run);
    }
    all.iter().flat_map(Subject::rows).collect()
}

/// The files of common systems that have their root certificates.
const ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Measures 100 keys over TLS. The command and curl read one file, with the system's roots and the server's authority. The
/// server offers HTTP/2, which curl speaks, and HTTP/1.1, which the command speaks.
fn one_page_over_tls(command: &Path, rounds: usize) -> Vec<Row> {
    let Some(system) = ROOTS.iter().find_map(|file| fs::read(file).ok()) else {
        println!("skipped: the root certificates of this system were not found");
        return Vec::new();
    };
    let atlas = Atlas::start(&Settings::new(100).with_tls(Tls::Http2));
    let authority = fs::read(atlas.authority.as_ref().unwrap()).unwrap();
    let roots = results::target().join("measured/roots.pem");
    fs::write(&roots, [system, authority].concat()).unwrap();
    let rows = one_page("start-tls", command, &atlas, Some(&roots), rounds);
    fs::remove_file(&roots).unwrap();
    rows
}

/// Counts the instructions for 200 pages.
fn instructions(command: &Path) -> Vec<Row> {
    if !is_installed("valgrind") {
        println!("skipped: valgrind, which counts instructions, is not installed");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for encoding in BodyEncoding::ALL {
        let atlas = Atlas::start(&Settings::new(200 * PER_PAGE).with_encoding(encoding));
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
        .env("MONGODB_ATLAS_PROJECT_ID", &atlas.groups[0])
        .env("MONGODB_ATLAS_ACCESS_TOKEN", &atlas.token);
    list
}

fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    let output = command.arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}
