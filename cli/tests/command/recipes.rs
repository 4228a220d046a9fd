//! The commands of the README, run exactly as they are written there, by bash and against `emulate`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs, process};

use crate::support::{Outcome, finish, json, run};

const README: &str = include_str!("../../../README.md");

/// A folder whose `bin` has the command under its name. It is removed at the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("atlas-model-keys-{name}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("bin")).unwrap();
        let command = path.join("bin/atlas-model-keys");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_atlas-model-keys"), command).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Runs a script by bash. What it leaves in the background ends with it.
    pub(crate) fn run(&self, script: &str) -> Outcome {
        let path = format!(
            "{}:{}",
            self.0.join("bin").display(),
            env::var("PATH").unwrap()
        );
        let script = format!("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
        let child = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(&self.0)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        finish(child.unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns whether the program is installed, and says so if it is not.
pub(crate) fn has(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let has = version.is_ok_and(|status| status.success());
    if !has {
        println!("skipped, because there is no {program}");
    }
    has
}

/// Returns the section of the README with this heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n{heading}\n")).expect(heading);
    let level = heading.split(' ').next().unwrap();
    rest.split(&format!("\n{level} ")).next().unwrap()
}

/// Returns the blocks of a section that are commands for a shell.
fn blocks(section: &'static str) -> impl Iterator<Item = &'static str> {
    let after = section.split("\n```sh\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap())
}

/// An emulator that the README starts, and a folder with the files that the recipes need.
struct Shell {
    folder: Folder,
    setup: &'static str,
}

impl Shell {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let setup = blocks(section("## First run, without an account")).next();
        Self {
            folder,
            setup: setup.unwrap(),
        }
    }

    /// Runs a recipe after the commands that start the emulator, whose output is not that of the recipe.
    fn run(&self, recipe: &str) -> Outcome {
        let setup = &self.setup;
        // A recipe may set a trap, which must not replace that of the folder.
        self.folder
            .run(&format!("{{\n{setup}\n}} > setup.txt 2>&1\n(\n{recipe}\n)"))
    }
}

/// Returns the only recipe under this heading.
fn recipe(heading: &str) -> &'static str {
    let mut all = blocks(section(&format!("### {heading}")));
    let recipe = all.next().unwrap();
    assert_eq!(all.next(), None, "{heading} has several recipes");
    recipe
}

/// Checks that no character can steer a terminal.
#[track_caller]
fn assert_harmless(text: &str) {
    let harmful = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(harmful), "{text:?}");
}

#[test]
fn every_recipe_has_a_test() {
    let recipes = section("## Recipes");
    let headings: Vec<_> = recipes
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let tested = [
        "Keys that nobody uses",
        "Keys of people who left",
        "A key that leaked",
        "All keys in a spreadsheet",
        "CI: fail if a key is not used",
        "A certificate authority of your own",
    ];
    assert_eq!(headings, tested);
    assert_eq!(blocks(recipes).count(), 8);
}

#[test]
fn first_run_shows_the_keys_of_the_demonstration() {
    let (_, shown) = section("## First run, without an account")
        .split_once("$ atlas-model-keys list --demo\n")
        .unwrap();
    let mut shown = shown.split("```").next().unwrap().lines();
    let real = run(&["list", "--demo"], &[]).stdout;
    let columns = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        columns(shown.next().unwrap()),
        ["ID", "PROJECT", "NAME", "STATUS", "CREATOR", "LAST", "USED"]
    );
    let mut real = real.lines().skip(1);
    for line in shown {
        let (shown, real) = (columns(line), columns(real.next().unwrap()));
        assert!(line.chars().count() <= 80 && shown[0] == real[0], "{line}");
        // A cell that is cut keeps its beginning.
        let name = shown[2].trim_end_matches('…');
        assert!(real[2].starts_with(name), "{line}");
    }
    if !has("bash") {
        return;
    }
    let shell = Shell::new("first");
    shell.run("true").stdout();
    let setup = shell.folder.read("setup.txt");
    assert!(
        setup.contains("search-prod") && setup.contains("Staging"),
        "{setup}"
    );
}

#[test]
fn unused_keys_are_listed_by_two_filters_and_as_json() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new("unused");
    let mut recipes = blocks(section("### Keys that nobody uses"));
    let text = shell.run(recipes.next().unwrap()).stdout();
    let (unused, never) = text[1..].split_once("\nID ").unwrap();
    assert!(unused.contains("recommendations") && !unused.contains("search-prod"));
    assert!(
        never.contains("catalog-backfill") && !never.contains("recommendations"),
        "{never}"
    );
    assert_harmless(&text);
    let as_json = recipes.next().unwrap();
    assert_eq!(recipes.next(), None);
    if !has("jq") {
        return;
    }
    let text = shell.run(as_json).stdout();
    assert!(
        text.contains(r#"["Production","catalog-backfill","#),
        "{text}"
    );
    assert!(
        text.contains(r#"["Staging","\u001b[31mred\u001b[0m \u202edesrever","#),
        "{text}"
    );
    assert_harmless(&text);
}

#[test]
fn keys_of_people_who_left_are_those_of_the_names_in_a_file() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new("left");
    let recipe = recipe("Keys of people who left");
    shell.folder.write(
        "leavers.txt",
        "Tom Becker\n\n$(touch run) `touch run` \"'\n-o\nAisha Khan",
    );
    let text = shell.run(recipe).stdout();
    for line in text.lines().skip(1) {
        assert!(
            line.contains("Tom Becker") || line.contains("Aisha Khan"),
            "{line}"
        );
    }
    assert_eq!(text.lines().count(), 5);
    assert!(!shell.folder.0.join("run").exists());
    // Without names, nothing is listed.
    shell.folder.write("leavers.txt", "\n");
    let outcome = shell.run(recipe);
    assert_eq!((outcome.code, &*outcome.stdout), (Some(1), ""));
}

#[test]
fn leaked_keys_are_found_from_a_file_and_from_a_report() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new("leaked");
    let mut recipes = blocks(section("### A key that leaked"));
    let (from_file, from_report) = (recipes.next().unwrap(), recipes.next().unwrap());
    assert_eq!(recipes.next(), None);
    let demo = run(&["list", "--demo", "--show-secrets", "-o", "json"], &[]);
    let demo = json(&demo.stdout);
    let leaked = &demo["results"][1];
    let (id, secret) = (leaked["apiKeyId"].as_str(), leaked["secret"].as_str());
    let (id, secret) = (id.unwrap(), secret.unwrap());
    let check = |recipe: &str| {
        let outcome = shell.run(recipe);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains(id), "{outcome:?}");
        for shown in [&outcome.stdout, &outcome.stderr] {
            assert!(!shown.contains(&secret[3..11]), "{outcome:?}");
        }
        assert_harmless(&outcome.stdout);
    };
    shell.folder.write("leaked.txt", &format!("{secret}\n"));
    check(from_file);
    if has("jq") {
        let report = format!(r#"[{{"File": "a.py", "Secret": "{secret}"}}]"#);
        shell.folder.write("report.json", &report);
        check(from_report);
    }
}

#[test]
fn spreadsheet_has_all_keys() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new("spreadsheet");
    shell.run(recipe("All keys in a spreadsheet")).stdout();
    let csv = shell.folder.read("keys.csv");
    assert!(
        csv.starts_with('\u{feff}') && csv.contains("Production"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 14);
}

#[test]
fn ci_fails_with_10_and_its_token_is_revoked() {
    if !has("bash") {
        return;
    }
    let shell = Shell::new("ci");
    const FOUND: &str = "error: 1 key passes the filters (--fail-if-any)\n";
    let recipe = recipe("CI: fail if a key is not used");
    // Each call is noted.
    let note = "atlas-model-keys() { echo \"$*\" >> calls.txt; command atlas-model-keys \"$@\"; }";
    let outcome = shell.run(&format!("{note}\n{recipe}"));
    assert_eq!(
        (outcome.code, &*outcome.stderr),
        (Some(10), FOUND),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("catalog-backfill"), "{outcome:?}");
    let calls = shell.folder.read("calls.txt");
    let calls: Vec<_> = calls.lines().collect();
    let [token, lists @ .., revocation] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!((*token, *revocation), ("token", "token --revoke"));
    assert_eq!(lists.len(), 2);
    assert!(shell.folder.read("unused.txt").contains("catalog-backfill"));
    assert_eq!(shell.folder.read("keys.csv").lines().count(), 14);
}

#[test]
fn own_authority_is_added_to_those_of_the_system() {
    let Ok(system) = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt") else {
        println!("skipped, because this system has its root certificates elsewhere");
        return;
    };
    if !has("bash") {
        return;
    }
    let shell = Shell::new("authority");
    const END: &str = "-----END CERTIFICATE-----\n";
    let (first, _) = system.split_once(END).unwrap();
    let own = format!("{first}{END}");
    shell.folder.write("company-ca.pem", &own);
    // This emulator speaks plain HTTP, so certificates are read, but not used.
    let outcome = shell.run(&format!(
        "{}\natlas-model-keys list --base-url \"https${{MONGODB_ATLAS_BASE_URL#http}}\"",
        recipe("A certificate authority of your own")
    ));
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    assert!(outcome.stderr.contains("speak TLS"), "{outcome:?}");
    assert!(outcome.stdout.contains("search-prod"), "{outcome:?}");
    assert_eq!(shell.folder.read("roots.pem"), format!("{system}{own}"));
}
