//! Stores measurements in files for the report: `measured/<bench>.json` in cargo's target folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs, io, thread};

use serde::{Deserialize, Serialize};

/// A measured value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// The group of values that were measured in one run and may be compared.
    pub group: String,
    /// The name within the group.
    pub id: String,
    /// The unit. One name may have values in several units.
    pub unit: String,
    /// The value, or the median of several rounds.
    pub value: f64,
}

impl Row {
    /// Creates a value.
    pub fn new(
        group: impl Into<String>,
        id: impl Into<String>,
        unit: impl Into<String>,
        value: f64,
    ) -> Self {
        Self {
            group: group.into(),
            id: id.into(),
            unit: unit.into(),
            value,
        }
    }
}

/// All values of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Results {
    /// The machine that they were measured on.
    pub machine: Machine,
    /// The values, in the order in which the report shows them.
    pub rows: Vec<Row>,
}

/// A machine, and the software that was used and compared on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The day of the measurement.
    pub date: String,
    /// The processor.
    pub cpu: String,
    /// The number of cores.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
    /// The compiler.
    pub rustc: String,
    /// The versions of the compared libraries.
    pub peers: BTreeMap<String, String>,
}

/// The libraries that people would use instead, or build on.
const PEERS: &[&str] = &[
    "digest_auth",
    "http-auth",
    "httparse",
    "hyper",
    "hyper-util",
    "io-http",
    "reqwest",
    "rustls",
    "serde_json",
    "simd-json",
    "sonic-rs",
    "tokio",
    "ureq",
    "ureq-proto",
];

impl Machine {
    /// Returns a description of this machine, with today's date.
    #[must_use]
    pub fn current() -> Self {
        let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == "model name").then(|| value.trim().to_owned())
        });
        Self {
            date: date.chars().take("2000-01-01".len()).collect(),
            cpu: cpu.unwrap_or_else(|| env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism().map_or(1, Into::into),
            kernel: first_line("uname", "-sr"),
            rustc: first_line("rustc", "--version"),
            peers: peers(include_str!("../Cargo.lock")),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let date = self.date.clone();
        *self
            == Self {
                date,
                ..other.clone()
            }
    }
}

/// Returns the first line that a program prints with this argument.
#[must_use]
pub fn first_line(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// Returns the version, or the versions, of each of the compared libraries.
fn peers(lock: &str) -> BTreeMap<String, String> {
    fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
        let value = line.strip_prefix(name)?.strip_prefix(" = \"")?;
        value.strip_suffix('"')
    }

    let mut peers: BTreeMap<String, String> = BTreeMap::new();
    for (line, next) in lock.lines().zip(lock.lines().skip(1)) {
        if let (Some(name), Some(version)) = (value(line, "name"), value(next, "version"))
            && PEERS.contains(&name)
        {
            let versions = peers.entry(name.to_owned()).or_default();
            if !versions.is_empty() {
                versions.push_str(" and ");
            }
            versions.push_str(version);
        }
    }
    peers
}

/// Stores the rows of a benchmark. They replace all rows of their groups in its file. The other rows stay
/// if they come from a machine like this one.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn record(bench: &str, rows: impl IntoIterator<Item = Row>) -> io::Result<()> {
    let path = file(bench);
    let new: Vec<Row> = rows.into_iter().collect();
    let machine = Machine::current();
    let old = read(bench).filter(|old| old.machine.is_like(&machine));
    let mut rows = old.map(|old| old.rows).unwrap_or_default();
    rows.retain(|old| new.iter().all(|new| new.group != old.group));
    rows.extend(new);
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, serde_json::to_vec_pretty(&Results { machine, rows })?)
}

/// Returns the stored results of a benchmark.
#[must_use]
pub fn read(bench: &str) -> Option<Results> {
    let bytes = fs::read(file(bench)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn file(bench: &str) -> PathBuf {
    target().join("measured").join(format!("{bench}.json"))
}

/// Returns cargo's target folder. It is the folder around this executable that has cargo's notes about the compiler. Cargo
/// writes its tag file, `CACHEDIR.TAG`, only into a folder that it has created itself.
///
/// # Panics
/// Panics if this executable is not in cargo's target folder.
#[must_use]
pub fn target() -> PathBuf {
    let executable = env::current_exe().unwrap_or_default();
    let mut folders = executable.ancestors().skip(1);
    folders
        .find(|folder| folder.join(".rustc_info.json").exists())
        .expect("this executable is in cargo's target folder")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_from_the_lock_file() {
        let peers = peers(include_str!("../Cargo.lock"));
        assert!(peers["ureq"].starts_with("3."), "{peers:?}");
        assert!(peers["reqwest"].starts_with("0.13"), "{peers:?}");
        assert!(!peers.contains_key("clap"));
    }

    #[test]
    fn machines_are_compared_without_their_dates() {
        let today = Machine::current();
        let mut before = today.clone();
        before.date = "2000-01-01".to_owned();
        assert!(today.is_like(&before));
        before.cores += 1;
        assert!(!today.is_like(&before));
    }
}
