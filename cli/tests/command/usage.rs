//! Arguments and variables.

use crate::support::{Atlas, Login, run};
use atlas_model_keys_emulator::Config;

#[test]
fn wrong_arguments_are_2_and_name_the_rule() {
    let atlas = Atlas::new(Config::default());
    for (arguments, rule) in [
        (&["--group-id", "69681D39"][..], "24 lower-case"),
        (&["--items-per-page", "501"], "1 to 500"),
        (&["--itemsPerPage", "0"], "1 to 500"),
        (&["--page-num", "0"], "a whole number from 1"),
        (&["--api-version", "yesterday"], "2025-03-12"),
        (
            &["--columns", "name,colour"],
            "'colour' for '--columns <NAMES>': there is no such column; the columns are apiKeyId, ",
        ),
        (&["--columns", "name", "-o", "json"], "table and csv"),
        (&["-o", "xml"], "ndjson"),
        (
            &["--base-url", "http://atlas.example"],
            "--allow-plain-http",
        ),
        (
            &["--base-url", "https://me:hunter2@atlas.example"],
            "user information",
        ),
        (&["--demo", "--base-url", "https://atlas.example"], "--demo"),
        (&["--frobnicate"], "--frobnicate"),
    ] {
        let error = atlas.list(arguments).failure(2);
        assert!(error.contains(rule), "{arguments:?}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn wrong_value_is_mentioned_once() {
    for (option, value) in [
        ("--group-id", "69681D39"),
        ("--org-id", "69681D39"),
        ("--items-per-page", "501"),
        ("--page-num", "no"),
        ("--api-version", "yesterday"),
        ("--timeout", "5parsecs"),
    ] {
        let error = run(&["list", option, value], &[]).failure(2);
        assert_eq!(error.matches(value).count(), 1, "{error}");
        assert!(error.contains(option), "{error}");
    }
}

#[test]
fn wrong_variables_are_2_and_named() {
    let atlas = Atlas::new(Config::default());
    for (name, value) in [
        ("MONGODB_ATLAS_PROJECT_ID", "69681D39"),
        ("MONGODB_ATLAS_BASE_URL", "ftp://atlas.example"),
        ("MONGODB_ATLAS_ACCESS_TOKEN", "Bearer x"),
        ("MONGODB_ATLAS_PROJECT_ID", ""),
    ] {
        let mut environment = atlas.environment(Login::Token);
        environment.retain(|(other, _)| *other != name);
        environment.push((name, value.to_owned()));
        let error = run(&["list"], &environment).failure(2);
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn half_a_pair_is_2_and_names_the_other_half() {
    let atlas = Atlas::new(Config::default());
    for (login, missing) in [
        (Login::ServiceAccount, "MONGODB_ATLAS_CLIENT_SECRET"),
        (Login::ServiceAccount, "MONGODB_ATLAS_CLIENT_ID"),
        (Login::ApiKey, "MONGODB_ATLAS_PRIVATE_API_KEY"),
        (Login::ApiKey, "MONGODB_ATLAS_PUBLIC_API_KEY"),
    ] {
        let mut environment = atlas.environment(login);
        environment.retain(|(name, _)| *name != missing);
        let error = run(&["list"], &environment).failure(2);
        assert!(
            error.starts_with(&format!("error: {missing} is missing")),
            "{error}"
        );
    }
}

#[test]
fn arguments_precede_variables_and_alternative_names_work() {
    let atlas = Atlas::new(Config::default());
    let mut environment = atlas.environment(Login::ApiKey);
    for (name, value) in &mut environment {
        match *name {
            "MONGODB_ATLAS_PUBLIC_API_KEY" => *name = "MONGODB_ATLAS_PUBLIC_KEY",
            "MONGODB_ATLAS_PRIVATE_API_KEY" => *name = "MONGODB_ATLAS_PRIVATE_KEY",
            _ => *value = "nonsense".to_owned(),
        }
    }
    let base = atlas.server.base_url();
    let arguments = [
        "list",
        "--base-url",
        &base,
        "--projectId",
        atlas.group.as_str(),
        "-o",
        "ndjson",
    ];
    assert_eq!(run(&arguments, &environment).stdout().lines().count(), 42);
}

#[test]
fn help_and_version_have_the_expected_content() {
    let help = run(&["list", "--help"], &[]).stdout();
    for word in [
        "Examples:",
        "--demo",
        "MONGODB_ATLAS_CLIENT_SECRET",
        "Exit codes:",
        "  5  rate limited",
    ] {
        assert!(help.contains(word), "{word}");
    }
    for arguments in [&["help", "list"][..], &["help", "list", "--help"]] {
        let text = run(arguments, &[]).stdout();
        assert!(
            text.contains("Exit codes:") && text.contains("--group-id"),
            "{text}"
        );
    }
    for arguments in [&["help"][..], &["help", "--help"]] {
        let text = run(arguments, &[]).stdout();
        assert!(
            text.contains("Exit codes:") && text.contains("emulate"),
            "{text}"
        );
    }
    let help = run(&["--help"], &[]).stdout();
    assert!(
        help.contains("Exit codes:") && help.contains("emulate"),
        "{help}"
    );
    assert_eq!(run(&[], &[]).code, Some(2));
}
