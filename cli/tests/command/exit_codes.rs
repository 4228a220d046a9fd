//! At least one test for each exit code, except 0, which the other tests cover.

use atlas_model_keys_emulator::{Config, CredentialKind, Role, Route, error_response};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::support::{Atlas, FORMATS, Login, run};

const LIST: Route = Route::ListGroupKeys;

fn atlas() -> Atlas {
    Atlas::new(Config::default())
}

/// Returns an emulator that responds to the next ten listings with this status and body.
fn responding_with(status: u16, body: &str) -> Atlas {
    let atlas = atlas();
    let answer = Response::builder()
        .status(status)
        .body(body.as_bytes().to_vec())
        .unwrap();
    atlas.server.with(|emulator| {
        for _ in 0..10 {
            emulator.respond_next(LIST, answer.clone());
        }
    });
    atlas
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_1() {
    use crate::support::{command, finish};
    for format in FORMATS {
        let atlas = atlas();
        let full = std::fs::File::options().write(true).open("/dev/full");
        let child = command(&["list", "-o", format], &atlas.environment(Login::Token))
            .stdout(full.unwrap())
            .spawn();
        let error = finish(child.unwrap()).failure(1);
        assert!(
            error.contains("cannot write the output\n  No space"),
            "{error}"
        );
    }
}

#[test]
fn missing_credentials_are_2() {
    let id = ["--group-id", "69681d39c9e8cfd375386316"];
    let error = run(&["list", id[0], id[1]], &[]).failure(2);
    for word in [
        "ACCESS_TOKEN",
        "CLIENT_SECRET",
        "PRIVATE_API_KEY",
        "list --demo",
    ] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn refused_credentials_are_3() {
    for login in Login::ALL {
        let atlas = atlas();
        let mut environment = atlas.environment(login);
        for (name, value) in &mut environment {
            if ["TOKEN", "CLIENT_SECRET", "PRIVATE_API_KEY"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                *value = "wrong".to_owned();
            }
        }
        let error = run(&["list"], &environment).failure(3);
        assert!(error.contains("401") && error.contains("hint: "), "{error}");
        assert!(error.contains(atlas.group.as_str()), "{error}");
    }
}

#[test]
fn missing_role_is_11_and_named() {
    for (login, credential) in Login::ALL.into_iter().zip([
        CredentialKind::AccessToken,
        CredentialKind::ServiceAccount,
        CredentialKind::ApiKey,
    ]) {
        let atlas = atlas();
        atlas
            .server
            .with(|emulator| emulator.remove_role(credential, Role::GroupReadOnly(atlas.group)));
        let error = atlas.run(login, &["list"]).failure(11);
        assert!(error.contains("USER_UNAUTHORIZED"), "{error}");
        assert!(error.contains("Project Read Only"), "{error}");
    }
}

#[test]
fn address_outside_the_access_list_is_11() {
    let atlas = atlas();
    atlas.server.with(|emulator| {
        emulator.respond_next(LIST, error_response(StatusCode::FORBIDDEN));
    });
    let error = atlas.list(&[]).failure(11);
    assert!(
        error.contains("hint: add this machine's address"),
        "{error}"
    );
}

/// Returns an emulator that answers the next requests of the route with this status and body.
fn scripted(route: Route, answers: &[(u16, &str)]) -> Atlas {
    let atlas = atlas();
    for (status, body) in answers {
        let answer = Response::builder()
            .status(*status)
            .body(body.as_bytes().to_vec())
            .unwrap();
        atlas
            .server
            .with(|emulator| emulator.respond_next(route, answer.clone()));
    }
    atlas
}

#[test]
fn service_account_that_the_token_endpoint_refuses_is_3() {
    for (status, body) in [
        (400, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":"invalid_request"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (403, r#"{"error":"access_denied"}"#),
    ] {
        let atlas = scripted(Route::Token, &[(status, body)]);
        let error = atlas.run(Login::ServiceAccount, &["list"]).failure(3);
        assert!(
            error.contains(&status.to_string()) && error.contains("hint: "),
            "{error}"
        );
    }
}

#[test]
fn limit_of_live_tokens_is_3_with_the_ways_out() {
    let atlas = scripted(Route::Token, &[(403, r#"{"error":"access_denied"}"#)]);
    let error = atlas.run(Login::ServiceAccount, &["list"]).failure(3);
    for words in [
        "100 access tokens",
        "MONGODB_ATLAS_ACCESS_TOKEN=$(atlas-model-keys token)",
        "atlas-model-keys token --revoke",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn address_that_the_token_endpoint_refuses_is_11() {
    let body = r#"{"errorCode":"IP_ADDRESS_NOT_ON_ACCESS_LIST"}"#;
    let atlas = scripted(Route::Token, &[(403, body)]);
    let error = atlas.run(Login::ServiceAccount, &["list"]).failure(11);
    assert!(
        error.contains("hint: add this machine's address"),
        "{error}"
    );
}

#[test]
fn refusal_after_a_token_or_a_page_is_11() {
    // The token was issued, so the service account is not bad: it may be of another organization.
    let atlas = scripted(LIST, &[(401, "{}"); 4]);
    let error = atlas.run(Login::ServiceAccount, &["list"]).failure(11);
    assert!(error.contains("of the same organization"), "{error}");

    let page = r#"{"links":[{"rel":"next"}],"results":[{}]}"#;
    let atlas = scripted(LIST, &[(200, page), (401, "{}")]);
    let outcome = atlas.list(&["-o", "ndjson"]);
    assert_eq!(outcome.code, Some(11), "{}", outcome.stderr);
    let atlas = scripted(LIST, &[(401, "{}")]);
    atlas.list(&["-o", "ndjson"]).failure(3);
}

#[test]
fn unknown_organization_is_4() {
    let unknown = "0123456789abcdef01234567";
    let atlas = atlas();
    let answer = Response::builder().status(404).body(Vec::new()).unwrap();
    atlas
        .server
        .with(|emulator| emulator.respond_next(Route::ListOrgKeys, answer));
    let error = atlas.list(&["--org-id", unknown]).failure(4);
    assert!(
        error.contains("MONGODB_ATLAS_ORG_ID") && error.contains(unknown),
        "{error}"
    );
}

#[test]
fn help_and_readme_list_the_same_codes() {
    let help = run(&["list", "--help"], &[]).stdout();
    let (_, table) = help.split_once("Exit codes:\n").unwrap();
    let in_help: Vec<_> = table
        .lines()
        .map_while(|line| line.split_whitespace().next())
        .collect();
    let readme = include_str!("../../../README.md");
    let (_, table) = readme
        .split_once("| code | meaning |\n|---|---|\n")
        .unwrap();
    let in_readme: Vec<_> = table
        .lines()
        .map_while(|line| line.strip_prefix("| ")?.split(' ').next())
        .collect();
    assert_eq!(in_help, in_readme);
    assert_eq!(in_help.len(), 14);
}

#[test]
fn unknown_group_is_4() {
    let unknown = "0123456789abcdef01234567";
    let error = atlas().list(&["--projectId", unknown]).failure(4);
    assert!(
        error.contains("GROUP_NOT_FOUND") && error.contains(unknown),
        "{error}"
    );
}

#[test]
fn rate_limit_beyond_the_maximum_wait_is_5_with_the_time() {
    let atlas = atlas();
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("100000"))]);
    atlas.server.with(|emulator| {
        emulator.fail_next(1, LIST, StatusCode::TOO_MANY_REQUESTS, &wait);
    });
    let error = atlas.list(&[]).failure(5);
    assert!(error.contains("try again in 1day 3h 46m 4"), "{error}");
}

#[test]
fn failing_service_is_5() {
    let atlas = atlas();
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("100000"))]);
    atlas.server.with(|emulator| {
        emulator.fail_next(1, LIST, StatusCode::SERVICE_UNAVAILABLE, &wait);
    });
    let error = atlas.list(&["-o", "csv"]).failure(5);
    assert!(
        error.contains("503") && error.contains("status.mongodb.com"),
        "{error}"
    );
}

#[test]
fn retry_wait_is_reported_and_ended_by_the_timeout() {
    let atlas = atlas();
    let wait = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("1"))]);
    atlas.server.with(|emulator| {
        emulator.fail_next(1, LIST, StatusCode::TOO_MANY_REQUESTS, &wait);
    });
    let error = atlas.list(&["--timeout", "900ms"]).failure(5);
    assert!(
        error.contains("429") && !error.contains("trying again"),
        "{error}"
    );

    atlas.server.with(|emulator| {
        emulator.fail_next(1, LIST, StatusCode::TOO_MANY_REQUESTS, &wait);
    });
    let outcome = atlas.list(&["-o", "ndjson"]);
    let told = "note: Atlas answered 429 Too Many Requests (RATE_LIMITED); trying again in 2s\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}

#[test]
fn unusable_proxy_is_2_and_not_bypassed() {
    let atlas = atlas();
    let mut environment = atlas.environment(Login::Token);
    environment.retain(|(name, _)| *name != "MONGODB_ATLAS_BASE_URL");
    environment.push(("HTTPS_PROXY", "socks5://me:hunter2@127.0.0.1:1".to_owned()));
    let error = run(&["list"], &environment).failure(2);
    // Windows ignores the case of names, so the variable is found under the name that is looked up first.
    let name = if cfg!(windows) {
        "https_proxy"
    } else {
        "HTTPS_PROXY"
    };
    assert!(error.contains(&format!("{name} is not valid")), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    // No proxy is used for loopback.
    environment.push(("MONGODB_ATLAS_BASE_URL", atlas.server.base_url()));
    run(&["list"], &environment).stdout();
}

#[test]
fn failing_network_is_6() {
    // A server without TLS is a permanent failure, so it is not retried.
    let atlas = atlas();
    let base = atlas.server.base_url().replace("http:", "https:");
    let error = atlas.list(&["--base-url", &base]).failure(6);
    assert!(error.contains("caused by: "), "{error}");
    assert!(
        error.contains("check the scheme and the port") && error.contains(&base),
        "{error}"
    );
    assert!(!error.contains("SSL_CERT_FILE"), "{error}");
}

#[test]
fn response_that_is_no_page_is_7_in_every_format() {
    for body in [
        "<html>Welcome to our hotel</html>",
        "",
        "{}",
        "[]",
        "{\"results\":[{\"name\":5}]}",
    ] {
        for format in FORMATS {
            let error = responding_with(200, body).list(&["-o", format]).failure(7);
            assert!(
                error.contains("really Atlas?") && !error.contains("hotel"),
                "{error}"
            );
        }
    }
}

#[test]
fn redirect_is_7_and_not_followed() {
    let atlas = atlas();
    let elsewhere = Response::builder()
        .status(302)
        .header(header::LOCATION, "https://login.example/")
        .body(Vec::new());
    atlas
        .server
        .with(|emulator| emulator.respond_next(LIST, elsewhere.unwrap()));
    let error = atlas.list(&[]).failure(7);
    assert!(error.contains("never followed"), "{error}");
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 1);
}

#[test]
fn another_error_is_8() {
    let error = responding_with(400, r#"{"errorCode":"ODD","detail":"Odd."}"#)
        .list(&[])
        .failure(8);
    assert!(error.contains("400 Bad Request (ODD): Odd."), "{error}");
    let error = atlas().list(&["--api-version", "2024-01-01"]).failure(8);
    assert!(
        error.contains("406") && error.contains("--api-version"),
        "{error}"
    );
}

#[test]
fn error_object_in_a_200_is_an_error_in_every_format() {
    let body = r#"{"error":404,"errorCode":"GROUP_NOT_FOUND"}"#;
    for format in FORMATS {
        responding_with(200, body).list(&["-o", format]).failure(4);
    }
}

#[test]
fn error_on_the_second_page_leaves_whole_keys_but_no_table() {
    for (format, lines) in [("table", 0), ("json", 1), ("ndjson", 10), ("csv", 11)] {
        let atlas = atlas();
        let page = format!(
            r#"{{"links":[{{"rel":"next"}}],"results":[{}]}}"#,
            ["{}"; 10].join(",")
        );
        atlas.server.with(|emulator| {
            emulator.respond_next(LIST, Response::new(page.into_bytes()));
            emulator.respond_next(LIST, error_response(StatusCode::FORBIDDEN));
        });
        let outcome = atlas.list(&["-o", format]);
        assert_eq!(outcome.code, Some(11), "{}", outcome.stderr);
        assert_eq!(outcome.stdout.lines().count(), lines, "{format}");
        assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
}
