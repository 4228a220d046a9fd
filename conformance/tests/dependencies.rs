//! What the command and the clients are built on: licences that anybody can live with, and nothing twice
//! without a reason.

use std::collections::BTreeSet;
use std::process::Command;

/// What may stand in a licence expression. Of alternatives (`OR`, or `/` as it was once written), one
/// is enough.
const ACCEPTED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "ISC",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "Zlib",
    "Unlicense",
    "Unicode-3.0",
];

/// Crates that are there in two versions, and why.
const TWICE: &[&str] = &[
    // ring has not moved to the newer one yet.
    "getrandom",
];

fn tree(arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
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
        ])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: BTreeSet<String> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.into_iter().collect()
}

/// All of what is joined by `AND`, and one of what is joined by `OR`.
fn is_accepted(licence: &str) -> bool {
    let all = |term: &str| {
        let term = term.trim_matches(['(', ')', ' ']);
        term.split(" OR ")
            .flat_map(|term| term.split('/'))
            .any(|one| ACCEPTED.contains(&one.trim()))
    };
    licence.split(" AND ").all(all)
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
    let crates = tree(&["--edges", "normal", "--format", "{p}"]);
    let names: Vec<&str> = crates
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let twice: BTreeSet<&str> = names
        .iter()
        .filter(|name| names.iter().filter(|other| other == name).count() > 1)
        .copied()
        .filter(|name| !TWICE.contains(name))
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}
