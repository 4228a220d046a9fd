//! Prints how many instructions an execution of a target takes, as valgrind counts them: the mean over its seeds, without
//! counting allocations.
//!
//! ```text
//! cargo run --release --manifest-path fuzz/properties/Cargo.toml --example instructions -- session dates
//! ```

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use atlas_model_keys_properties::{Check, TARGETS, allocations};

/// The repetitions of the two runs that are compared, so that the start of the program does not count.
const REPETITIONS: [u64; 2] = [1, 6];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name, repetitions] = arguments.as_slice()
        && flag == "--repeat"
    {
        let repetitions = repetitions.parse().expect("the repetitions are a number");
        repeat(name, repetitions);
        return ExitCode::SUCCESS;
    }
    for (name, _) in TARGETS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            let [few, many] = REPETITIONS.map(|repetitions| count(name, repetitions));
            let executions = (REPETITIONS[1] - REPETITIONS[0]) * seeds(name).len() as u64;
            println!("{:>10}  {name}", (many - few) / executions);
        }
    }
    ExitCode::SUCCESS
}

/// Checks all seeds of a target several times.
fn repeat(name: &str, repetitions: u64) {
    let (_, check): (_, Check) = TARGETS
        .into_iter()
        .find(|(target, _)| *target == name)
        .expect("the target exists");
    allocations::count_with(|work| {
        work();
        0
    });
    let seeds = seeds(name);
    for _ in 0..repetitions {
        seeds.iter().for_each(|seed| check(seed));
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    let entries = fs::read_dir(folder.join(name)).expect("every target has seeds");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed can be read"))
        .collect()
}

/// Returns the number of instructions of this program with this many repetitions.
fn count(name: &str, repetitions: u64) -> u64 {
    let program = env::current_exe().expect("the program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--repeat", name, &repetitions.to_string()])
        .output()
        .expect("valgrind runs");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    let (_, collected) = report.rsplit_once("Collected : ").expect("a count");
    let digits: String = collected.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
