//! The examples in `emulator/examples/`: tests in other languages, which start the command as a user would.
//!
//! If a language is not installed, its test says so and checks nothing. With `REQUIRE_EXAMPLES=1` in the
//! environment, as in CI, it fails instead.

use std::env;
use std::path::Path;
use std::process::Command;

/// Runs a program with the command in its `PATH`. Returns whether it succeeded, and its output.
fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let command = Path::new(env!("CARGO_BIN_EXE_atlas-model-keys"));
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders = command.parent().map(Path::to_owned).into_iter();
    let path = env::join_paths(folders.chain(env::split_paths(&inherited))).unwrap();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../emulator/examples"))
        .env("PATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    match output {
        Ok(output) => {
            let texts =
                [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned());
            (output.status.success(), texts.concat())
        }
        Err(error) => (false, error.to_string()),
    }
}

/// Runs an example, if the language is installed: then `probe` succeeds.
fn check(package: &str, probe: &[&str], example: &[&str]) {
    let (program, arguments) = probe.split_first().unwrap();
    if !run(program, arguments).0 {
        let reason = format!("{} fails (apt-get install {package})", probe.join(" "));
        assert!(env::var_os("REQUIRE_EXAMPLES").is_none(), "{reason}");
        eprintln!("skipped: {reason}");
        return;
    }
    let (program, arguments) = example.split_first().unwrap();
    let (is_success, output) = run(program, arguments);
    assert!(is_success, "{}: {output}", example.join(" "));
}

#[test]
fn example_in_python_succeeds() {
    let example = ["pytest", "-p", "no:cacheprovider", "test_keys.py"];
    check("python3-pytest", &["pytest", "--version"], &example);
}

#[test]
fn example_in_node_succeeds() {
    // 18 is the first version with `node:test` and `fetch`.
    let is_recent = "process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)";
    let example = ["node", "--test", "keys.test.mjs"];
    check("nodejs", &["node", "--eval", is_recent], &example);
}

#[test]
fn example_in_go_succeeds() {
    let example = ["go", "test", "-count=1", "keys_test.go"];
    check("golang-go", &["go", "version"], &example);
}
