//! `--log`.

use atlas_model_keys_emulator::{Config, Route};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::support::{Atlas, Login};

#[test]
fn log_has_a_line_for_each_request_and_wait() {
    let atlas = Atlas::new(Config::default());
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("0"))]);
    atlas.server.with(|emulator| {
        emulator.fail_next(
            1,
            Route::ListGroupKeys,
            StatusCode::TOO_MANY_REQUESTS,
            &wait,
        );
    });
    let arguments = ["list", "--log", "--items-per-page", "40", "-o", "csv"];
    let outcome = atlas.run(Login::ServiceAccount, &arguments);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let keys = format!("GET /api/atlas/v2/groups/{}/aiModelApiKeys", atlas.group);
    let expected = [
        "POST /api/oauth/token 200 attempt=1 ".to_owned(),
        format!("{keys}?itemsPerPage=40 429 attempt=1 "),
        "waiting ".to_owned(),
        format!("{keys}?itemsPerPage=40 200 attempt=2 "),
        format!("{keys}?itemsPerPage=40&pageNum=2 200 attempt=1 "),
        "POST /api/oauth/revoke 200 attempt=1 ".to_owned(),
    ];
    let logged: Vec<_> = outcome
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("log: "))
        .collect();
    assert_eq!(logged.len(), expected.len(), "{}", outcome.stderr);
    for (line, beginning) in logged.iter().zip(&expected) {
        let rest = line.strip_prefix(beginning.as_str());
        let rest = rest.unwrap_or_else(|| panic!("{line}: {beginning}"));
        let number = rest.strip_suffix("ms: 429").or(rest.strip_suffix("ms"));
        assert!(number.unwrap().parse::<u64>().is_ok(), "{line}");
    }
}

#[test]
fn log_tells_a_failure_of_the_network() {
    let atlas = Atlas::new(Config::default());
    let environment = atlas.environment(Login::Token);
    drop(atlas);
    let arguments = ["list", "--log", "--timeout", "300ms"];
    let outcome = crate::support::run(&arguments, &environment);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains(" failed: NotSent attempt=1 "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn without_the_option_there_is_no_log() {
    let atlas = Atlas::new(Config::default());
    atlas.run(Login::ServiceAccount, &["list"]).stdout();
}
