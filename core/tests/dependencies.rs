//! Checks that the crate cannot do I/O: it is `no_std`, and none of its dependencies is a runtime or provides
//! sockets, TLS, a clock or randomness.

use std::collections::BTreeSet;
use std::process::Command;

/// All dependencies of core, with their purpose. A new dependency must be added here.
const KNOWN: &[&str] = &[
    // The types of HTTP.
    "http",
    "httparse",
    "bytes",
    "itoa",
    // JSON.
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "memchr",
    "zmij",
    "proc-macro2",
    "quote",
    "syn",
    "unicode-ident",
    // Digest and Basic authentication.
    "base64",
    "md-5",
    "sha2",
    "digest",
    "block-buffer",
    "crypto-common",
    "hybrid-array",
    "typenum",
    "cfg-if",
    "cpufeatures",
    "libc",
    // Erasing secrets.
    "zeroize",
];

#[test]
fn dependency_tree_has_only_known_crates() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ])
        .args([
            "--package",
            "atlas-model-keys-core",
            "--all-features",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && *name != env!("CARGO_PKG_NAME"))
        .collect();
    assert!(
        names.contains("http") && names.contains("serde_json"),
        "{tree}"
    );
    let unknown: Vec<_> = names.iter().filter(|name| !KNOWN.contains(name)).collect();
    assert!(
        unknown.is_empty(),
        "not known to be free of I/O: {unknown:?}"
    );
}

#[test]
fn crate_is_no_std() {
    let front = include_str!("../src/lib.rs");
    assert!(front.lines().any(|line| line == "#![no_std]"));
    assert!(!front.contains("extern crate std"));
}
