//! Secrets are shown only on demand.

use atlas_model_keys_emulator::{Config, Route};
use http::Response;

use crate::support::{Atlas, FORMATS, Login};

fn atlas() -> Atlas {
    Atlas::new(Config::default().with_include_secrets(true))
}

fn key_secrets(atlas: &Atlas) -> Vec<String> {
    let keys = atlas.keys().into_iter();
    keys.map(|key| key.secret.unwrap()).collect()
}

fn own_secrets(atlas: &Atlas) -> Vec<String> {
    atlas.server.with(|emulator| {
        vec![
            emulator.api_key().private_key.clone(),
            emulator.service_account().client_secret.clone(),
            emulator.access_token().to_owned(),
        ]
    })
}

#[test]
fn no_output_shows_a_secret() {
    let atlas = atlas();
    let secrets = [key_secrets(&atlas), own_secrets(&atlas)].concat();
    assert_eq!(secrets.len(), 45);
    for login in Login::ALL {
        for format in FORMATS {
            for more in [
                &[][..],
                &["--api-version", "2025-03-12"],
                &["--group-id", "0123456789abcdef01234567"],
            ] {
                let outcome = atlas.run(login, &[&["list", "-o", format], more].concat());
                assert!(!outcome.stdout.is_empty() || outcome.code == Some(4));
                let all = outcome.stdout + &outcome.stderr;
                for secret in &secrets {
                    assert!(!all.contains(secret.as_str()), "{format}: {secret}");
                }
            }
        }
    }
    // The pages do contain secrets.
    let raw = atlas.list(&["-o", "raw"]).stdout();
    assert_eq!(raw.matches("\"secret\"").count(), 42);
    let json = atlas.list(&["-o", "json"]).stdout();
    assert_eq!(json.matches("\"secret\":\"[redacted]\"").count(), 42);
}

#[test]
fn secrets_are_shown_on_demand() {
    let atlas = atlas();
    for format in FORMATS {
        let text = atlas.list(&["-o", format, "--show-secrets"]).stdout();
        for secret in key_secrets(&atlas) {
            assert!(text.contains(&secret), "{format}");
        }
    }
}

#[test]
fn secret_column_is_refused_without_show_secrets() {
    for format in ["table", "csv"] {
        let error = atlas()
            .list(&["-o", format, "--columns", "name,secret"])
            .failure(2);
        assert!(error.contains("--show-secrets"), "{error}");
    }
}

#[test]
fn credential_that_a_response_repeats_is_redacted() {
    for (login, secret) in [
        (Login::ApiKey, 0),
        (Login::ServiceAccount, 1),
        (Login::Token, 2),
    ] {
        let atlas = atlas();
        let secret = own_secrets(&atlas).swap_remove(secret);
        let body = format!(r#"{{"detail":"you sent {secret}","errorCode":"{secret}"}}"#);
        let answer = Response::builder().status(400).body(body.into_bytes());
        atlas.server.with(|emulator| {
            emulator.respond_next_authenticated(Route::ListGroupKeys, answer.unwrap());
        });
        let error = atlas.run(login, &["list"]).failure(8);
        assert!(
            error.contains("you sent [redacted]") && !error.contains(&secret),
            "{error}"
        );
    }
}

#[test]
fn secret_in_an_argument_is_refused_and_not_shown() {
    let atlas = atlas();
    let error = atlas.list(&["--private-key=hunter2"]).failure(2);
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn no_log_and_no_error_shows_a_credential() {
    let atlas = atlas();
    for login in Login::ALL {
        let secrets = own_secrets(&atlas);
        for more in [
            &[][..],
            &["--group-id", "0123456789abcdef01234567"],
            &["--api-version", "2024-01-01"],
        ] {
            let outcome = atlas.run(login, &[&["list", "--log", "-o", "ndjson"], more].concat());
            assert!(outcome.stderr.contains("log: GET "), "{}", outcome.stderr);
            let all = outcome.stdout + &outcome.stderr;
            for secret in &secrets {
                assert!(!all.contains(secret.as_str()), "{all}");
            }
            for word in ["Basic ", "Bearer ", "Digest ", "eyJ"] {
                assert!(!all.contains(word), "{all}");
            }
        }
    }
}

#[test]
fn token_and_its_revocation_show_no_other_secret() {
    let atlas = atlas();
    let mut environment = atlas.environment(Login::ServiceAccount);
    let outcome = crate::support::run(&["token", "--log"], &environment);
    let token = outcome.stdout.trim_end().to_owned();
    let assert_no_secret = |stderr: &str| {
        for secret in own_secrets(&atlas).iter().chain([&token]) {
            assert!(!stderr.contains(secret.as_str()), "{stderr}");
        }
    };
    assert!(
        outcome.stderr.starts_with("log: POST "),
        "{}",
        outcome.stderr
    );
    assert_no_secret(&outcome.stderr);
    environment.push(("MONGODB_ATLAS_ACCESS_TOKEN", token.clone()));
    let secret = own_secrets(&atlas).swap_remove(1);
    // A response that repeats both.
    let body = format!(r#"{{"detail":"you sent {token} and {secret}","errorCode":"{token}"}}"#);
    let answer = Response::builder().status(400).body(body.into_bytes());
    atlas
        .server
        .with(|emulator| emulator.respond_next(Route::Revoke, answer.unwrap()));
    let outcome = crate::support::run(&["token", "--revoke", "--log"], &environment);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("you sent [redacted]"),
        "{}",
        outcome.stderr
    );
    assert_no_secret(&outcome.stderr);
}

#[cfg(target_os = "linux")]
#[test]
fn no_credential_is_in_the_process_list_and_there_are_no_children() {
    for arguments in [&["list"][..], &["find"]] {
        let (silent, answers) = crate::scripted::Scripted::new();
        let environment = silent.environment();
        let mut command = crate::support::command(arguments, &environment);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"al-0123456789abcdef\n").unwrap();
        drop(input);
        while silent.heads().is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let process = format!("/proc/{}", child.id());
        let line = std::fs::read_to_string(format!("{process}/cmdline")).unwrap();
        let words: Vec<_> = line.trim_end_matches('\0').split('\0').skip(1).collect();
        assert_eq!(words, arguments);
        for task in std::fs::read_dir(format!("{process}/task")).unwrap() {
            let children = task.unwrap().path().join("children");
            // Some systems do not have this file.
            let children = std::fs::read_to_string(children).unwrap_or_default();
            assert_eq!(children, "");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(answers);
    }
}
