//! Timeouts, proxies and `Retry-After`.

use atlas_model_keys_emulator::{Config, Route};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::scripted::{GROUP, Scripted, page};
use crate::support::{Atlas, Login, run};

#[test]
fn timeout_is_6_and_names_the_option_and_the_awaited_page() {
    let (silent, answers) = Scripted::new();
    let error = run(&["list", "--timeout", "600ms"], &silent.environment()).failure(6);
    assert!(
        error.contains("\n  page 1 did not arrive within --timeout 600ms\n"),
        "{error}"
    );
    assert!(!error.contains("base URL"), "{error}");
    drop(answers);

    let (silent, answers) = Scripted::new();
    answers.send(page(&["a"], true, 2)).unwrap();
    let outcome = run(
        &["list", "--timeout", "600ms", "-o", "ndjson"],
        &silent.environment(),
    );
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    let told = "\n  page 2 did not arrive within --timeout 600ms\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("it has 1 of about 2 keys"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn timeout_of_a_token_request_names_the_token() {
    let (silent, _answers) = Scripted::new();
    let mut environment = silent.environment();
    environment.retain(|(name, _)| !name.ends_with("TOKEN"));
    environment.push(("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_1".to_owned()));
    environment.push(("MONGODB_ATLAS_CLIENT_SECRET", "mdb_sa_sk_1".to_owned()));
    let error = run(&["list", "--timeout", "600ms"], &environment).failure(6);
    assert!(
        error.contains("the access token for page 1 did not arrive within --timeout 600ms"),
        "{error}"
    );
}

#[test]
fn timeout_that_ends_the_attempts_is_named() {
    let atlas = Atlas::new(Config::default());
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("1"))]);
    for (status, code) in [
        (StatusCode::TOO_MANY_REQUESTS, 5),
        (StatusCode::SERVICE_UNAVAILABLE, 5),
    ] {
        atlas.server.with(|emulator| {
            emulator.fail_next(1, Route::ListGroupKeys, status, &wait);
        });
        let error = atlas.list(&["--timeout", "900ms"]).failure(code);
        assert!(
            error.contains("hint: --timeout 900ms ended the attempts"),
            "{error}"
        );
    }
}

#[test]
fn server_error_of_the_token_endpoint_is_5_and_names_the_endpoint() {
    for status in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        let atlas = Atlas::new(Config::default());
        let wait =
            HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("100000"))]);
        atlas.server.with(|emulator| {
            emulator.fail_next(10, Route::Token, status, &wait);
        });
        let error = atlas.run(Login::ServiceAccount, &["list"]).failure(5);
        assert!(
            error.starts_with("error: cannot get an access token to list the model API keys"),
            "{error}"
        );
        assert!(error.contains(status.as_str()), "{error}");
    }
}

#[test]
fn wait_of_more_than_a_year_is_shown_without_its_length() {
    for status in [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ] {
        let atlas = Atlas::new(Config::default());
        let ever = HeaderValue::from_static("18446744073709551615");
        let wait = HeaderMap::from_iter([(header::RETRY_AFTER, ever)]);
        atlas.server.with(|emulator| {
            emulator.fail_next(1, Route::ListGroupKeys, status, &wait);
        });
        let error = atlas.list(&[]).failure(5);
        assert!(error.contains("try again in more than a year"), "{error}");
        assert!(!error.contains("584542046090"), "{error}");
    }
}

/// Requests a base URL that is not on loopback through a proxy on loopback, and returns the error.
fn through(variable: &'static str, proxy: &Scripted, base: &str) -> String {
    let environment = [
        ("MONGODB_ATLAS_PROJECT_ID", GROUP.to_owned()),
        ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token".to_owned()),
        (variable, proxy.url()),
    ];
    let arguments = [
        "list",
        "--base-url",
        base,
        "--allow-plain-http",
        "--timeout",
        "600ms",
    ];
    let error = run(&arguments, &environment).failure(6);
    assert!(!proxy.heads().is_empty(), "{error}");
    error
}

#[test]
fn proxy_that_opens_no_tunnel_is_6_and_its_variable_is_named() {
    for (variable, base) in [
        ("HTTPS_PROXY", "https://atlas.example"),
        ("ALL_PROXY", "https://atlas.example"),
        ("http_proxy", "http://atlas.example"),
    ] {
        for answer in [
            &b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
            b"220 mail.example ESMTP\r\n\r\n",
        ] {
            if answer.starts_with(b"220") && variable == "ALL_PROXY" {
                // This is retried until the timeout, so two of the three variables are enough.
                continue;
            }
            let error = through(variable, &Scripted::responding_with(answer), base);
            let hint = error.split_once("hint: ").unwrap().1;
            assert!(hint.contains(variable), "{error}");
            for other in ["SSL_CERT_FILE", "base URL", "login page"] {
                assert!(!hint.contains(other), "{error}");
            }
        }
    }
}

#[test]
fn hint_for_the_login_of_a_proxy_names_its_variable() {
    let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let error = through(
        "http_proxy",
        &Scripted::responding_with(answer),
        "http://atlas.example",
    );
    assert!(
        error.contains("put it into http_proxy (http://user:password@host)"),
        "{error}"
    );
}
