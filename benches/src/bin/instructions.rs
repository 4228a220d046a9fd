//! How many instructions each case takes, by callgrind: the same on a busy machine.
//!
//! ```text
//! cargo run --release -p atlas-model-keys-benches --bin instructions [-- FILTER]
//! ```

use std::env;
use std::process::{Command, ExitCode};

use atlas_model_keys_benches::cases;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["run", case, times] = arguments.as_slice() {
        run(case, times.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    let filter = arguments.first().copied().unwrap_or_default();
    for case in cases::all() {
        let name = case.to_string();
        if name.contains(filter) {
            println!("{:>10}  {name}", instructions(&name));
        }
    }
    ExitCode::SUCCESS
}

fn run(name: &str, times: usize) {
    let mut cases = cases::all();
    let case = cases.iter_mut().find(|case| case.to_string() == name);
    let case = case.expect("a case of this name");
    for _ in 0..times {
        (case.run)();
    }
}

/// Of one run, without the way there: what ten more of them take, by ten.
fn instructions(case: &str) -> u64 {
    (collected(case, 12) - collected(case, 2)) / 10
}

fn collected(case: &str, times: u32) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().expect("this program"))
        .args(["run", case, &times.to_string()])
        .output()
        .expect("valgrind");
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .expect("what callgrind counted")
}
