//! Runs the examples of a package, because `cargo test` builds them, but does not run them. Each crate with examples
//! uses it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{env, fs, thread};

/// The time limit of an example. It needs a second or two, but more on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs each example, and checks that its output contains the expected texts.
pub(crate) fn run_all(examples: &[(&str, &[&str])]) {
    let listed: BTreeSet<String> = examples.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(listed, in_folder(), "examples/ has others than this test");
    for (name, expected) in examples {
        let (success, out, err) = run(name);
        assert!(success, "{name} failed: {out}\n{err}");
        for text in *expected {
            assert!(out.contains(text), "{name}: no {text:?} in {out}\n{err}");
        }
    }
}

fn in_folder() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs")
                || path.join("main.rs").exists()
        })
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Runs an example. Returns whether it succeeded, and what it printed on stdout and stderr.
fn run(name: &str) -> (bool, String, String) {
    let mut command = Command::new(built(name));
    // The environment of the tests may contain a real credential.
    let mut child = without_variables(&mut command, &["MONGODB_ATLAS_"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = read(child.stdout.take().unwrap());
    let err = read(child.stderr.take().unwrap());
    // The output ends when the process ends.
    let Ok(out) = out.recv_timeout(TIMEOUT) else {
        child.kill().unwrap();
        panic!("{name} did not end: {}", err.recv().unwrap());
    };
    (child.wait().unwrap().success(), out, err.recv().unwrap())
}

fn without_variables<'c>(command: &'c mut Command, prefixes: &[&str]) -> &'c mut Command {
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&variable);
        }
    }
    command
}

fn read(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        sender.send(String::from_utf8_lossy(&bytes).into_owned())
    });
    receiver
}

/// Returns the program `<target>/<profile>/examples/<name>`, and builds it if needed. This test is in `deps` beside it.
fn built(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let program = profile
        .join("examples")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !is_up_to_date(&program) {
        // `cargo test` with the name of a test does not build the examples. With the same profile, little
        // is left to build. Cargo has released its lock before it ran this test.
        let same = match profile.file_name().and_then(|name| name.to_str()) {
            None | Some("debug") => "test",
            Some(name) => name,
        };
        let mut cargo = Command::new(env!("CARGO"));
        // Cargo's variables about the tested package would make ring's build script run again, and everything that needs
        // ring would be rebuilt each time, here and in the next build.
        let status = without_variables(&mut cargo, &["CARGO_MANIFEST_", "CARGO_PKG_"])
            .args(["build", "--quiet", "--offline", "--profile", same])
            .args(["--package", env!("CARGO_PKG_NAME"), "--example", name])
            .arg("--target-dir")
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "{name} cannot be built");
    }
    program
}

/// Returns whether the program exists and is newer than all its sources, which cargo lists in a file beside it.
fn is_up_to_date(program: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let sources = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let Some((_, sources)) = sources.split_once(": ") else {
        return false;
    };
    // A path with a space is split, so it is not found and counts as out of date.
    let built = modified(program);
    sources
        .split_whitespace()
        .all(|path| modified(Path::new(path)).is_some_and(|modified| Some(modified) <= built))
}
