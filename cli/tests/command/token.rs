//! `token`, and the tokens that `list` gets.

use atlas_model_keys_emulator::{Config, Route};
use http::StatusCode;

use crate::support::{Atlas, Login, run};

const TOKEN: &str = "MONGODB_ATLAS_ACCESS_TOKEN";

fn revocations(atlas: &Atlas) -> u64 {
    atlas
        .server
        .with(|emulator| emulator.requests_for(Route::Revoke))
}

#[test]
fn token_is_printed_without_another_request_and_lives_until_it_is_revoked() {
    let atlas = Atlas::new(Config::default());
    let mut environment = atlas.environment(Login::ServiceAccount);
    let text = run(&["token"], &environment).stdout();
    let token = text.strip_suffix('\n').unwrap();
    assert!(!token.contains(char::is_whitespace) && token.starts_with("eyJ"));
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 1);

    environment.push((TOKEN, token.to_owned()));
    for _ in 0..2 {
        run(&["list"], &environment).stdout();
    }
    assert_eq!(revocations(&atlas), 0, "the token is not that of this run");
    // The token in the environment does not keep the service account from getting another one.
    let other = run(&["token"], &environment).stdout();
    assert_ne!(other, text);

    assert_eq!(run(&["token", "--revoke"], &environment).stdout(), "");
    assert_eq!(revocations(&atlas), 1);
    run(&["list"], &environment).failure(3);
}

#[test]
fn token_of_list_is_revoked_after_success_and_after_an_error() {
    let atlas = Atlas::new(Config::default());
    for format in crate::support::FORMATS {
        atlas
            .run(Login::ServiceAccount, &["list", "-o", format])
            .stdout();
    }
    assert_eq!(revocations(&atlas), 5);
    let unknown = ["list", "--group-id", "0123456789abcdef01234567"];
    atlas.run(Login::ServiceAccount, &unknown).failure(4);
    assert_eq!(revocations(&atlas), 6);
    for login in [Login::Token, Login::ApiKey] {
        atlas.run(login, &["list"]).stdout();
    }
    assert_eq!(revocations(&atlas), 6);
}

#[test]
fn failed_revocation_is_a_note_and_changes_no_exit_code() {
    let atlas = Atlas::new(Config::default());
    atlas.server.with(|emulator| {
        emulator.fail_next(
            1,
            Route::Revoke,
            StatusCode::INTERNAL_SERVER_ERROR,
            &http::HeaderMap::new(),
        );
    });
    let outcome = atlas.run(Login::ServiceAccount, &["list", "-o", "ndjson"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), 42);
    assert!(
        outcome
            .stderr
            .starts_with("note: the access token was not revoked"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn more_runs_than_a_service_account_may_hold_tokens_succeed() {
    let atlas = Atlas::new(Config::default());
    let environment = atlas.environment(Login::ServiceAccount);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..30 {
                    run(&["list", "-o", "ndjson"], &environment).stdout();
                }
            });
        }
    });
    assert_eq!(revocations(&atlas), 120);
}

#[test]
fn without_a_service_account_token_is_2() {
    let atlas = Atlas::new(Config::default());
    for login in [Login::Token, Login::ApiKey] {
        let error = atlas.run(login, &["token"]).failure(2);
        for word in ["service account", "MONGODB_ATLAS_CLIENT_ID"] {
            assert!(error.contains(word), "{error}");
        }
    }
    let error = atlas
        .run(Login::ServiceAccount, &["token", "--revoke"])
        .failure(2);
    assert!(error.contains(TOKEN), "{error}");
    // A token is never an argument.
    let error = atlas
        .run(Login::ServiceAccount, &["token", "--revoke", "hunter2"])
        .failure(2);
    assert!(error.contains("unexpected argument"), "{error}");
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn refused_service_account_gets_no_token_and_exits_with_3() {
    let atlas = Atlas::new(Config::default());
    let mut environment = atlas.environment(Login::ServiceAccount);
    for (name, value) in &mut environment {
        if name.ends_with("CLIENT_SECRET") {
            *value = "mdb_sa_sk_hunter2".to_owned();
        }
    }
    let error = run(&["token"], &environment).failure(3);
    assert!(
        error.starts_with("error: cannot get an access token\n") && !error.contains("hunter2"),
        "{error}"
    );
    environment.push((TOKEN, "a.token".to_owned()));
    let error = run(&["token", "--revoke"], &environment).failure(3);
    assert!(
        error.starts_with("error: cannot revoke the access token\n"),
        "{error}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn token_that_cannot_be_printed_is_revoked() {
    use crate::support::{command, finish};
    let atlas = Atlas::new(Config::default());
    let full = std::fs::File::options().write(true).open("/dev/full");
    let child = command(&["token"], &atlas.environment(Login::ServiceAccount))
        .stdout(full.unwrap())
        .spawn();
    finish(child.unwrap()).failure(1);
    assert_eq!(revocations(&atlas), 1);
}
