//! Checks that every promise of SECURITY.md names existing tests, and that no file with tests is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Appends the texts of all Rust sources in a folder and its subfolders.
fn read_sources(folder: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            read_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// Returns whether core has a transcript with this name.
fn is_transcript(name: &str) -> bool {
    let flows = fs::read_dir(root().join("core/tests/transcripts")).unwrap();
    flows
        .map(|flow| flow.unwrap().path().join(name).with_extension("txt"))
        .any(|file| file.is_file())
}

#[test]
fn every_promise_names_existing_tests() {
    let mut files = Vec::new();
    read_sources(&root(), &mut files);
    let functions: BTreeSet<&str> = files
        .iter()
        .flat_map(|text| text.split("fn ").skip(1))
        .map(|rest| {
            rest.split(|c: char| c != '_' && !c.is_alphanumeric())
                .next()
                .unwrap()
        })
        .collect();
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let (_, promises) = security.split_once("| promise | tests |").unwrap();
    let rows = promises
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut count = 0;
    for row in rows {
        let tests = row.trim_end_matches([' ', '|']).rsplit_once('|').unwrap().1;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "the promise names no test: {row}");
        for name in names {
            assert!(
                functions.contains(name) || is_transcript(name),
                "SECURITY.md names {name}, which does not exist"
            );
        }
        count += 1;
    }
    assert!(count > 10, "{count}");
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    // They are workspaces of their own.
    for folder in ["benches", "fuzz", "public-api"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("unsafe_code = \"forbid\""), "{folder}");
    }
    for folder in [
        "cli",
        "conformance",
        "core",
        "emulator",
        "transport",
        "transport-hyper",
        "transport-ureq",
    ] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{folder}");
    }
}

#[test]
fn every_file_with_tests_is_part_of_a_program() {
    for crate_folder in fs::read_dir(root()).unwrap() {
        let folder = crate_folder.unwrap().path();
        let Ok(programs) = fs::read_to_string(folder.join("tests/all.rs")) else {
            continue;
        };
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for file in fs::read_dir(folder.join("tests")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let is_part = programs.contains(&format!("\nmod {name};"))
                    || manifest.contains(&format!("[[test]]\nname = \"{name}\""));
                assert!(is_part, "{} is in no program", path.display());
            }
        }
    }
}
