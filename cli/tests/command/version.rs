//! Tests of `--version`: it shows the version, and the commit of these sources alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::run;

#[path = "../../build.rs"]
#[expect(dead_code, reason = "Cargo runs the program; the tests look at a part")]
mod build;

/// The name and the version alone.
const SHORT: &str = concat!("atlas-model-keys ", env!("CARGO_PKG_VERSION"));

#[test]
fn short_version_is_name_and_version() {
    assert_eq!(run(&["-V"], &[]).stdout(), format!("{SHORT}\n"));
    let page = run(&["man"], &[]).stdout();
    assert!(page.contains(&format!("\"{SHORT}\"")), "{page}");
}

#[test]
fn long_version_has_commit_target_and_compiler() {
    let text = run(&["--version"], &[]).stdout();
    let (first, facts) = text.split_once('\n').unwrap();
    assert_eq!(first, SHORT);
    let given = option_env!("ATLAS_MODEL_KEYS_COMMIT").map(str::to_owned);
    let commit = given.or_else(|| build::commit(Path::new(env!("CARGO_MANIFEST_DIR"))));
    let commit = commit.filter(|commit| !commit.is_empty());
    let expected = commit.map(|commit| ("commit", commit));
    let mut facts = facts.lines().map(|line| line.split_once(": ").unwrap());
    if let Some((name, commit)) = expected {
        assert_eq!(facts.next(), Some((name, commit.as_str())));
    }
    let (name, target) = facts.next().unwrap();
    assert!(
        name == "target" && target.matches('-').count() > 1,
        "{text}"
    );
    let (name, compiler) = facts.next().unwrap();
    assert!(
        name == "compiler" && compiler.starts_with("rustc 1."),
        "{text}"
    );
    assert_eq!(facts.next(), None);
}

#[test]
fn commit_of_package_is_that_of_its_record() {
    let package = Repository::new("package", "files");
    let record = |text: &str| fs::write(package.cli().join(".cargo_vcs_info.json"), text).unwrap();
    record("{\n  \"git\": {\n    \"sha1\": \"52a81936\"\n  },\n  \"path_in_vcs\": \"cli\"\n}");
    assert_eq!(build::commit(&package.cli()).as_deref(), Some("52a81936"));
    record("{\"git\":{\"sha1\":\"52a81936\",\"dirty\":true}}");
    assert_eq!(build::commit(&package.cli()), None);
    record("{}");
    assert_eq!(build::commit(&package.cli()), None);
}

#[test]
fn commit_of_checkout_is_that_of_head() {
    for format in ["files", "reftable"] {
        let checkout = Repository::new(format, format);
        assert_eq!(build::commit(&checkout.cli()), None, "no repository");
        if checkout.git(&["init", "--quiet"]).is_none() {
            println!("skipped: there is no git");
            return;
        }
        assert_eq!(build::commit(&checkout.cli()), None, "no commit");
        checkout.commit("--allow-empty");
        assert_eq!(
            build::commit(&checkout.cli()),
            None,
            "the sources are not in it"
        );
        checkout.git(&["add", "cli"]).unwrap();
        checkout.commit("--quiet");
        let head = checkout.git(&["rev-parse", "HEAD"]);
        assert_eq!(build::commit(&checkout.cli()), head);
        checkout.git(&["gc", "--quiet"]).unwrap();
        assert_eq!(build::commit(&checkout.cli()), head);
        checkout.git(&["checkout", "--quiet", "--detach"]).unwrap();
        assert_eq!(build::commit(&checkout.cli()), head);
        checkout
            .git(&["worktree", "add", "--quiet", "tree"])
            .unwrap();
        assert_eq!(build::commit(&checkout.0.join("tree/cli")), head);
    }
}

#[test]
fn commit_of_another_repository_is_not_shown() {
    let outer = Repository::new("outer", "files");
    let inner = outer.0.join("vendor");
    fs::create_dir(&inner).unwrap();
    fs::rename(outer.cli(), inner.join("cli")).unwrap();
    if outer.git(&["init", "--quiet"]).is_none() {
        println!("skipped: there is no git");
        return;
    }
    outer.git(&["add", "vendor"]).unwrap();
    outer.commit("--quiet");
    assert_eq!(build::commit(&inner.join("cli")), None);
}

/// A folder with sources like this project's, which is deleted at the end, and the format of git's references.
struct Repository(PathBuf, &'static str);

impl Repository {
    fn new(name: &str, format: &'static str) -> Self {
        let folder = format!("atlas-model-keys-version-{name}-{}", std::process::id());
        let repository = Self(std::env::temp_dir().join(folder), format);
        fs::create_dir_all(repository.cli()).unwrap();
        fs::write(repository.cli().join("build.rs"), "").unwrap();
        repository
    }

    fn cli(&self) -> PathBuf {
        self.0.join("cli")
    }

    /// Returns what git prints, or `None` if it is not installed.
    fn git(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(&self.0)
            // An older git has only the format `files`.
            .env("GIT_DEFAULT_REF_FORMAT", self.1)
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .ok()?;
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.trim().to_owned())
    }

    fn commit(&self, option: &str) {
        let arguments = ["commit", "--quiet", "--no-gpg-sign", "--message=a", option];
        self.git(&arguments).unwrap();
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
