//! The generated sections of `docs/errors.md`. The unit tests of the command have this file, too.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

/// Held during a change of the file, because tests run at the same time.
static FILE: Mutex<()> = Mutex::new(());

/// Compares the section of this exit code with the failures, each a cause and what the command prints. After a change, this
/// writes the section:
///
/// ```text
/// INSTA_UPDATE=always cargo test -p atlas-model-keys && git diff docs
/// ```
#[track_caller]
pub(crate) fn check(code: u8, meaning: &str, failures: &[(&str, String)]) {
    let failures: String = failures
        .iter()
        .map(|(cause, block)| format!("\n### {cause}\n\n```text\n{}\n```\n", block.trim_end()))
        .collect();
    let section = format!("\nMeaning: {meaning}.\n{failures}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if !path.with_file_name("").exists() {
        // The published package has no `docs/`.
        return;
    }
    let _lock = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(&path).unwrap();
    let heading = format!("\n## Exit code {code}\n");
    let (before, rest) = text.split_once(&heading).expect("the section exists");
    let end = rest.find("\n## ").unwrap_or(rest.len());
    let (written, after) = rest.split_at(end);
    if env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        fs::write(&path, format!("{before}{heading}{section}{after}")).unwrap();
    } else {
        assert_eq!(
            written, section,
            "docs/errors.md differs in exit code {code}"
        );
    }
}
