//! Writes what `--version` prints: the version, the commit, the target and the compiler. Without dates and paths,
//! so that a build can be repeated.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

/// A packager can give the commit; if it is empty, none is shown.
const VARIABLE: &str = "ATLAS_MODEL_KEYS_COMMIT";

fn main() -> io::Result<()> {
    // Without a line such as this, Cargo runs this program again after each change of a file.
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = env::var(VARIABLE).ok();
    let commit = given.or_else(|| commit(Path::new(&variable("CARGO_MANIFEST_DIR"))));
    let compiler = output(Command::new(variable("RUSTC")).arg("--version"));
    let facts = [
        ("commit", commit),
        ("target", Some(variable("TARGET"))),
        ("compiler", compiler),
    ];
    let mut text = variable("CARGO_PKG_VERSION");
    for (name, fact) in facts {
        if let Some(fact) = fact.filter(|fact| !fact.is_empty()) {
            text.push_str(&format!("\n{name}: {fact}"));
        }
    }
    fs::write(Path::new(&variable("OUT_DIR")).join("version.txt"), text)
}

/// Returns the commit of the sources in this folder, if it is known.
pub(crate) fn commit(folder: &Path) -> Option<String> {
    match fs::read_to_string(folder.join(".cargo_vcs_info.json")) {
        Ok(info) => commit_of_package(&info),
        Err(_) => commit_of_checkout(folder),
    }
}

/// Returns the commit that a published package was made from. Cargo writes it into the package.
fn commit_of_package(info: &str) -> Option<String> {
    // A package with changes that were not committed is not that commit.
    if info.contains("\"dirty\"") {
        return None;
    }
    let (_, rest) = info.split_once("\"sha1\"")?;
    Some(rest.split('"').nth(1)?.to_owned())
}

/// Returns the commit that is checked out, if this is a checkout of the project. Changes that were not committed are not
/// marked: each change of a file would have to run this program.
fn commit_of_checkout(folder: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder).args(arguments);
        // A hook of git sets these, perhaps a hook of another repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(name);
        }
        output(&mut git)
    };
    // The sources may be in a folder of another project's repository, or in a repository that does not know them.
    if git(&["rev-parse", "--show-prefix"])? != "cli/" {
        return None;
    }
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    // In a worktree, `.git` is a file, and some of these are elsewhere. Git logs each change of HEAD; the others serve
    // repositories without that log. Cargo would run this program each time for a file that does not exist.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs", "reftable/tables.list"];
    for name in names.into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]).map(|path| folder.join(path));
        if let Some(path) = path.filter(|path| path.is_file()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Some(commit)
}

/// Returns what a program prints, unless it fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}

/// Returns a variable that Cargo sets.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
