//! The demonstration, and readers that close the pipe early.

use std::io::Read as _;

use atlas_model_keys_emulator::Config;

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
        assert!(
            outcome.stdout.contains("Production key"),
            "{}",
            outcome.stdout
        );
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
fn reader_that_closes_the_pipe_is_no_error() {
    for format in FORMATS {
        let atlas = Atlas::new(Config {
            keys_per_group: 5000,
            ..Config::default()
        });
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
