//! The demonstration, and readers that close the pipe early.

use std::io::Read as _;

use atlas_model_keys_emulator::{Config, Emulator};

use crate::support::{Atlas, FORMATS, Login, command, finish, run};

#[test]
fn demonstration_needs_no_account_and_is_announced() {
    // The environment does not matter.
    let nonsense = [
        "MONGODB_ATLAS_BASE_URL",
        "MONGODB_ATLAS_PROJECT_ID",
        "MONGODB_ATLAS_CLIENT_ID",
        "HTTP_PROXY",
        "ALL_PROXY",
    ]
    .map(|name| (name, "nonsense".to_owned()));
    for format in FORMATS {
        let outcome = run(&["list", "--demo", "-o", format], &nonsense);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        assert!(outcome.stdout.contains("search-prod"), "{}", outcome.stdout);
        assert!(
            outcome.stderr.starts_with("note: a demonstration"),
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
    let outcome = run(
        &["list", "--demo", "--group-id", "0123456789abcdef01234567"],
        &[],
    );
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
}

#[test]
fn demonstration_has_a_dozen_keys_and_escapes_a_hostile_name() {
    // The ids are those of every emulator with the default seed.
    let emulator = Emulator::new(Config::default());
    let mut lines = Vec::new();
    for group in emulator.groups().take(2) {
        let arguments = ["list", "--demo", "--columns", "name,status", "--group-id"];
        let outcome = run(&[&arguments[..], &[group.as_str()]].concat(), &[]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        lines.extend(outcome.stdout.lines().skip(1).map(str::to_owned));
    }
    assert_eq!(lines.len(), 13, "{lines:?}");
    let (last, others) = lines.split_last().unwrap();
    assert!(
        last.starts_with(r"\u{1b}[31mred\u{1b}[0m \u{202e}desrever "),
        "{last}"
    );
    assert!(others.iter().all(|line| !line.contains('\\')), "{others:?}");
}

#[test]
fn reader_that_closes_the_pipe_is_no_error() {
    for format in FORMATS {
        let atlas = Atlas::new(Config::default().with_keys_per_group(5000));
        // One page is larger than the buffer of a pipe.
        let arguments = ["list", "-o", format, "--items-per-page", "500"];
        let mut child = command(&arguments, &atlas.environment(Login::Token))
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 16]).unwrap();
        drop(stdout);
        let outcome = finish(child);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}
