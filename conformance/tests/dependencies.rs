//! Checks the dependencies of the command and of the clients: permissive licences, no crate in two versions without a
//! reason, and none that needs a newer Rust.

use std::collections::BTreeSet;
use std::process::Command;

/// The accepted licences, and the crates that may have two versions, are what cargo-deny reads.
const DENY: &str = include_str!("../../deny.toml");

/// Returns the quoted texts of a list in `deny.toml`. Each is the first one of its line.
fn list(begin: &str) -> Vec<&'static str> {
    let lines = DENY.lines().skip_while(|line| *line != begin).skip(1);
    let lines = lines.take_while(|line| *line != "]");
    let texts: Vec<_> = lines.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(!texts.is_empty(), "{begin}");
    texts
}

/// Runs Cargo in this package, and returns what it prints.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the lines of `cargo tree` for the published packages, without duplicates.
fn tree(arguments: &[&str]) -> Vec<String> {
    let published = [
        "tree",
        "--offline",
        "--all-features",
        "--package",
        "atlas-model-keys",
        "--package",
        "atlas-model-keys-ureq",
        "--package",
        "atlas-model-keys-hyper",
        "--prefix",
        "none",
    ];
    let text = cargo(&[&published, arguments].concat());
    let lines: BTreeSet<String> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.into_iter().collect()
}

/// Tells whether a licence expression needs no licence that is not accepted: all terms of `AND`, and one of the
/// alternatives of `OR` (in old manifests `/`), must be accepted.
fn is_accepted(licence: &str) -> bool {
    let accepted = list("allow = [");
    let is_term_accepted = |term: &str| {
        let term = term.trim_matches(['(', ')', ' ']);
        term.split(" OR ")
            .flat_map(|term| term.split('/'))
            .any(|one| accepted.contains(&one.trim()))
    };
    licence.split(" AND ").all(is_term_accepted)
}

#[test]
fn licences_are_permissive() {
    assert!(is_accepted("(MIT OR Apache-2.0) AND Unicode-3.0") && is_accepted("GPL-3.0 OR MIT"));
    assert!(
        !is_accepted("MIT AND GPL-3.0") && !is_accepted("") && !is_accepted("LGPL-2.1-or-later")
    );

    let crates = tree(&["--edges", "normal,build", "--format", "{p}: {l}"]);
    assert!(crates.len() > 30, "{crates:?}");
    let refused: Vec<_> = crates
        .iter()
        .filter(|line| {
            !line
                .split_once(": ")
                .is_some_and(|(_, licence)| is_accepted(licence))
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_crate_has_two_versions_without_a_reason() {
    let reasons = list("skip = [");
    let crates = tree(&["--edges", "normal", "--format", "{p}"]);
    let names: Vec<&str> = crates
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let duplicates: BTreeSet<&str> = names
        .iter()
        .filter(|name| names.iter().filter(|other| other == name).count() > 1)
        .copied()
        .filter(|name| !reasons.contains(name))
        .collect();
    assert!(duplicates.is_empty(), "{duplicates:?}");
}

#[test]
fn no_dependency_needs_a_newer_rust_than_the_workspace() {
    // Cargo has downloaded what this system needs, and perhaps nothing else.
    let about = cargo(&["--version", "--verbose"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--offline",
        "--locked",
        "--filter-platform",
        host.unwrap(),
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    let ours = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().unwrap();
    let needs = packages.iter().filter_map(|package| {
        let needed = version(package["rust_version"].as_str()?);
        Some((package["name"].as_str()?, needed))
    });
    // 1.88.0 is not newer than 1.88.
    let newer: Vec<_> = needs
        .filter(|(_, needed)| needed.iter().take(2).gt(&ours))
        .collect();
    assert!(newer.is_empty(), "newer than {ours:?}: {newer:?}");
    assert!(packages.len() > 100);
}
