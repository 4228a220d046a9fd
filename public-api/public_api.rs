//! Compares the public items of each published library, with all features, with its `public-api.txt`, so that reviewers see
//! each change. After a change, this writes the files:
//!
//! ```text
//! UPDATE_PUBLIC_API=1 cargo test --manifest-path public-api/Cargo.toml && git diff '*/public-api.txt'
//! ```
//!
//! Implementations that follow from others are left out: those of auto traits, blanket ones, and the methods of derived ones.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use public_api::Builder;

/// The compiler that the files were made with. Others write other JSON, or other texts.
const RUSTC: &str = "rustc 1.95.";

const PACKAGES: [(&str, &str); 5] = [
    ("core", "core"),
    ("transport", "transport"),
    ("transport-ureq", "ureq"),
    ("transport-hyper", "hyper"),
    ("emulator", "emulator"),
];

#[test]
fn public_items_are_those_of_the_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    if !version.starts_with(RUSTC) {
        println!("skipped: the files were made with {RUSTC}x, and this is {version}");
        return;
    }
    let mut differing = Vec::new();
    for (folder, name) in PACKAGES {
        let items = items(root, name);
        let path = root.join(folder).join("public-api.txt");
        if env::var_os("UPDATE_PUBLIC_API").is_some() {
            fs::write(&path, &items).unwrap();
            continue;
        }
        let written = fs::read_to_string(&path).unwrap();
        for (sign, from, to) in [('-', &written, &items), ('+', &items, &written)] {
            let others: HashSet<&str> = to.lines().collect();
            let only = from.lines().filter(|line| !others.contains(line));
            differing.extend(only.map(|line| format!("{folder}/public-api.txt: {sign}{line}")));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nIf this is intended, run the command at the top of public-api/public_api.rs.",
        differing.join("\n")
    );
}

/// Returns the public items of a package, one on each line.
fn items(root: &Path, name: &str) -> String {
    let package = format!("atlas-model-keys-{name}");
    let status = Command::new("cargo")
        .args([
            "rustdoc",
            "--locked",
            "--quiet",
            "--lib",
            "--all-features",
            "--package",
            &package,
        ])
        .args([
            "--",
            "-Zunstable-options",
            "--output-format=json",
            "--document-hidden-items",
            "--cap-lints=allow",
        ])
        .env("RUSTDOC", root.join("public-api/rustdoc"))
        .env("CARGO_TARGET_DIR", root.join("target"))
        .current_dir(root)
        .status()
        .unwrap();
    assert!(status.success(), "no JSON for {package}");
    let json = root.join(format!("target/doc/{}.json", package.replace('-', "_")));
    let all = |derived: bool| {
        Builder::from_rustdoc_json(&json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(!derived)
            .build()
            .unwrap()
            .to_string()
    };
    let underived = all(false);
    let underived: HashSet<&str> = underived.lines().collect();
    let is_kept = |line: &&str| {
        // These two are internal to the standard library.
        let is_internal =
            line.contains("::StructuralPartialEq ") || line.contains("::TrivialClone ");
        let is_derived = line.starts_with("impl") && !is_internal;
        underived.contains(line) || is_derived
    };
    let kept = all(true);
    kept.lines()
        .filter(is_kept)
        .map(|line| format!("{line}\n"))
        .collect()
}
