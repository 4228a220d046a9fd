//! The commands of the emulator's README, run by bash as they are written there. Those of the control interface are
//! in `emulator/tests/control.rs`.

use crate::recipes::{Folder, has};

const README: &str = include_str!("../../../emulator/README.md");

/// Returns the blocks of commands, without the prompts.
fn blocks() -> Vec<String> {
    let after = README.split("\n```console\n").skip(1);
    after
        .map(|rest| rest.split("\n```").next().unwrap())
        .filter(|block| !block.contains("/_emulator/"))
        .map(|block| {
            let lines = block.lines();
            lines.map(|line| runnable(line) + "\n").collect()
        })
        .collect()
}

/// Returns a line without its prompt. The emulators end by themselves, and use loopback and free ports only.
fn runnable(line: &str) -> String {
    let duration = if line.ends_with('&') { "1m" } else { "1s" };
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let emulate = "atlas-model-keys emulate";
    line.replace(emulate, &format!("{emulate} --for {duration}"))
        .replace("--bind 0.0.0.0 --port 8080", "--bind 127.0.0.1 --port 0")
}

#[test]
fn commands_of_the_emulator_readme_work() {
    if !has("bash") || !has("curl") {
        return;
    }
    let folder = Folder::new("emulator-readme");
    let blocks = blocks();
    let (setup, _) = blocks[0].split_once("curl").unwrap();
    let expected: [&[&str]; 6] = [
        &["\"totalCount\": 42", "\"access_token\""],
        &["MONGODB_ATLAS_BASE_URL", "# Fault: reset-in-body*2"],
        &["\"totalCount\":42", "pageNum=2"],
        &["MONGODB_ATLAS_BASE_URL"],
        &["\"totalCount\":3", "LAST USED"],
        &["MONGODB_ATLAS_BASE_URL"],
    ];
    assert_eq!(blocks.len(), expected.len(), "{blocks:?}");
    for (block, texts) in blocks.iter().zip(expected) {
        let outcome = folder.run(&format!(
            "{setup}
            BASE_URL=$MONGODB_ATLAS_BASE_URL PROJECT_ID=$MONGODB_ATLAS_PROJECT_ID
            ACCESS_TOKEN=$(atlas-model-keys token)
            {block}"
        ));
        assert_eq!(outcome.code, Some(0), "{block}: {outcome:?}");
        for text in texts {
            assert!(outcome.stdout.contains(text), "{block}: {outcome:?}");
        }
    }
}
