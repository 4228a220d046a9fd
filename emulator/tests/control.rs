//! The control interface below `/_emulator/`.

use std::process::Command;
use std::time::Duration;

use crate::support::*;
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, CredentialKind, Emulator, Fault, Role, TokenBucket};
use http::{Request, Response};
use serde_json::Value;

fn emulator() -> Emulator {
    Emulator::new(Config::default().with_control(true))
}

fn control(emulator: &mut Emulator, method: &str, path: &str, body: &str) -> Response<Vec<u8>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/_emulator/{path}"))
        .header("Host", "127.0.0.1:8080");
    emulator.handle(&request.body(body).unwrap(), NOW)
}

fn error(response: &Response<Vec<u8>>) -> String {
    json(response)["error"].as_str().unwrap().to_owned()
}

#[test]
fn without_the_setting_the_paths_are_unknown() {
    let mut emulator = Emulator::new(Config::default());
    for path in ["requests", "reset", "faults", "time", "environment", ""] {
        for method in ["GET", "POST"] {
            let response = control(&mut emulator, method, path, "");
            assert_eq!(response.status(), 404);
            assert_eq!(json(&response)["errorCode"], "RESOURCE_NOT_FOUND");
        }
    }
    assert_eq!(emulator.requests(), 12);
}

#[test]
fn requests_are_listed_filtered_and_forgotten() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    for page in 1..=3 {
        let _ = fetch(&mut emulator, &format!("{path}?pageNum={page}"), PREVIEW);
        let _ = fetch(&mut emulator, "/api/atlas/v2/groups", DATED);
    }
    let orders = |emulator: &mut Emulator, query: &str| {
        let response = control(emulator, "GET", &format!("requests{query}"), "");
        assert_eq!(header(&response, "content-type"), Some("application/json"));
        let requests = json(&response);
        assert_eq!(requests["dropped"], 0);
        let requests = requests["requests"].as_array().unwrap().clone();
        let orders = requests.iter().map(|seen| seen["order"].as_u64().unwrap());
        orders.collect::<Vec<_>>()
    };
    assert_eq!(orders(&mut emulator, ""), [1, 2, 3, 4, 5, 6]);
    assert_eq!(orders(&mut emulator, "?route=listGroupKeys"), [1, 3, 5]);
    assert_eq!(orders(&mut emulator, "?since=4"), [5, 6]);
    assert_eq!(orders(&mut emulator, "?since=4&route=listGroups"), [6]);
    // Control requests are not requests to Atlas.
    assert_eq!(emulator.requests(), 6);

    assert_eq!(
        control(&mut emulator, "DELETE", "requests", "").status(),
        204
    );
    assert!(orders(&mut emulator, "").is_empty());
    let _ = fetch(&mut emulator, &path, PREVIEW);
    assert_eq!(orders(&mut emulator, ""), [7]);

    for (query, expected) in [
        (
            "?route=keys",
            "route is one of token, revoke, listGroupKeys",
        ),
        ("?since=-1", "since is the order of a request, not \"-1\""),
        ("?since=+1", "since is the order of a request, not \" 1\""),
        ("?since=%2B1", "since is the order of a request, not \"+1\""),
        (
            "?limit=1",
            "GET /_emulator/requests takes route and since, not \"limit\"",
        ),
    ] {
        let response = control(&mut emulator, "GET", &format!("requests{query}"), "");
        assert_eq!(response.status(), 400);
        assert!(
            error(&response).starts_with(expected),
            "{}",
            error(&response)
        );
    }
}

#[test]
fn reset_returns_to_the_state_before_the_first_request() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let group = emulator.first_group();
    emulator.remove_role(CredentialKind::ServiceAccount, Role::GroupReadOnly(group));
    emulator.inject(Fault::TOTAL_ZERO);
    let mut fresh = emulator.clone();

    let token = token_request(&emulator, "grant_type=client_credentials");
    let first_token = emulator.handle(&token, NOW).into_body();
    let _ = fetch(&mut emulator, &path, PREVIEW);
    emulator.keys_mut(group).unwrap().clear();
    emulator.remove_role(CredentialKind::AccessToken, Role::GroupReadOnly(group));
    emulator.revoke_tokens();
    emulator.advance(Duration::from_secs(5));
    emulator.set_rate_limit(None);
    emulator.inject(Fault::RESET_IN_BODY);
    assert_eq!(control(&mut emulator, "POST", "reset", "").status(), 204);

    assert!(emulator.seen().is_empty());
    assert_eq!(emulator.requests(), 0);
    assert_eq!(emulator.keys(group), fresh.keys(group));
    assert_eq!(emulator.time(NOW), NOW);
    let faults = control(&mut emulator, "GET", "faults", "");
    assert_eq!(json(&faults).to_string(), r#"["total-zero"]"#);
    // A client may still have the first token, which must not become valid again.
    assert_ne!(emulator.handle(&token, NOW).body(), &first_token);
    let _ = fresh.handle(&token, NOW);
    let response = fetch(&mut emulator, &path, PREVIEW);
    let expected = fetch(&mut fresh, &path, PREVIEW);
    assert_eq!(response.headers(), expected.headers());
    assert_eq!(response.body(), expected.body());
    // It can be reset again.
    assert_eq!(control(&mut emulator, "POST", "reset", "").status(), 204);
    assert_eq!(emulator.requests(), 0);
}

#[test]
fn faults_are_replaced_listed_and_removed() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let put = |emulator: &mut Emulator, body: &str| control(emulator, "PUT", "faults", body);
    let list = |emulator: &mut Emulator| json(&control(emulator, "GET", "faults", "")).to_string();
    assert_eq!(list(&mut emulator), "[]");
    let response = put(&mut emulator, r#"["slow-body=50ms*2", "total-zero"]"#);
    assert_eq!(response.status(), 200);
    let both = r#"["total-zero","slow-body=50ms*2"]"#;
    assert_eq!(json(&response).to_string(), both);
    // Control requests are not affected, and do not count.
    assert_eq!(list(&mut emulator), both);
    let _ = fetch(&mut emulator, &path, PREVIEW);
    let slow = Fault::SLOW_BODY
        .with_delay(Duration::from_millis(50))
        .unwrap();
    assert_eq!(emulator.seen()[0].faults, [Fault::TOTAL_ZERO, slow]);
    let requests = control(&mut emulator, "GET", "requests", "");
    let shown = &json(&requests)["requests"][0]["faults"];
    assert_eq!(shown.to_string(), r#"["total-zero","slow-body=50ms"]"#);
    assert_eq!(list(&mut emulator), r#"["total-zero","slow-body=50ms*1"]"#);

    for (body, expected) in [
        (r#"["slow-boy"]"#, "did you mean \"slow-body\"?"),
        (r#"["garbage", "slow-body=1h"]"#, "from 0ms to 1m"),
        (r#"["garbage*0"]"#, "\"0\""),
        (r#"["garbage*-1"]"#, "\"-1\""),
        (r#"["garbage*x"]"#, "\"x\""),
        (r#"["garbage*99999999999"]"#, "\"99999999999\""),
        (r#""garbage""#, "a JSON array of faults"),
        ("garbage", "a JSON array of faults"),
        ("[1]", "a JSON array of faults"),
        ("", "a JSON array of faults"),
    ] {
        let response = put(&mut emulator, body);
        assert_eq!(response.status(), 400, "{body}");
        assert!(error(&response).contains(expected), "{}", error(&response));
    }
    let many = format!("[{}\"garbage\"]", "\"garbage\",".repeat(1000));
    assert!(error(&put(&mut emulator, &many)).contains("at most 1000"));
    // An error changes nothing.
    assert_eq!(list(&mut emulator), r#"["total-zero","slow-body=50ms*1"]"#);

    assert_eq!(control(&mut emulator, "DELETE", "faults", "").status(), 204);
    assert_eq!(list(&mut emulator), "[]");
}

#[test]
fn time_is_set_and_advanced() {
    let mut emulator = emulator();
    let put = |emulator: &mut Emulator, body: &str| control(emulator, "PUT", "time", body);
    let get = |emulator: &mut Emulator| json(&control(emulator, "GET", "time", "")).to_string();
    assert_eq!(
        get(&mut emulator),
        r#"{"now":"2026-09-21T14:13:20.000000Z"}"#
    );
    let response = put(&mut emulator, r#"{"advance":"1h"}"#);
    let expected = r#"{"now":"2026-09-21T15:13:20.000000Z"}"#;
    assert_eq!(
        (
            response.status().as_u16(),
            json(&response).to_string().as_str()
        ),
        (200, expected)
    );
    put(&mut emulator, r#"{"advance":"2d"}"#);
    put(&mut emulator, r#"{"advance":"3m"}"#);
    put(&mut emulator, r#"{"advance":"4s"}"#);
    put(&mut emulator, r#"{"advance":"5ms"}"#);
    assert_eq!(
        get(&mut emulator),
        r#"{"now":"2026-09-23T15:16:24.005000Z"}"#
    );
    put(&mut emulator, r#"{"now":"2026-01-02T03:04:05Z"}"#);
    assert_eq!(
        get(&mut emulator),
        r#"{"now":"2026-01-02T03:04:05.000000Z"}"#
    );
    let path = keys_path(&emulator);
    let _ = fetch(&mut emulator, &path, PREVIEW);
    assert!(
        emulator.seen()[0]
            .to_json()
            .contains(r#""time":"2026-01-02T03:04:05.000000Z""#)
    );
    for (body, expected) in [
        ("{}", "with one of the two"),
        (
            r#"{"now":"2026-01-02T03:04:05Z","advance":"1h"}"#,
            "with one of the two",
        ),
        (r#"{"later":"1h"}"#, "with one of the two"),
        (r#"{"advance":1}"#, "with one of the two"),
        (r#"{"advance":"1"}"#, "such as 90s or 1h, not \"1\""),
        (r#"{"advance":"-1h"}"#, "not \"-1h\""),
        (r#"{"advance":"h"}"#, "not \"h\""),
        (
            r#"{"advance":"99999999999999999999d"}"#,
            "not \"99999999999999999999d\"",
        ),
        (r#"{"advance":"99999999999d"}"#, "the year 9999"),
        (r#"{"now":"yesterday"}"#, "not \"yesterday\""),
        (
            r#"{"now":"1969-01-02T03:04:05Z"}"#,
            "not \"1969-01-02T03:04:05Z\"",
        ),
    ] {
        let response = put(&mut emulator, body);
        assert_eq!(response.status(), 400, "{body}");
        assert!(
            error(&response).contains(expected),
            "{body}: {}",
            error(&response)
        );
    }
    assert_eq!(
        get(&mut emulator),
        r#"{"now":"2026-01-02T03:04:05.000000Z"}"#
    );
}

#[test]
fn environment_has_three_formats() {
    let mut emulator = emulator();
    let text = |emulator: &mut Emulator, path: &str, accept: &str| {
        let request = Request::get(format!("/_emulator/{path}"))
            .header("Host", "atlas.test:8080")
            .header("Accept", accept);
        let response = emulator.handle(&request.body("").unwrap(), NOW);
        assert_eq!(response.status(), 200);
        String::from_utf8(response.into_body()).unwrap()
    };
    let environment = emulator.environment("http://atlas.test:8080");
    let json = environment.to_json() + "\n";
    assert_eq!(text(&mut emulator, "environment", "*/*"), json);
    assert_eq!(text(&mut emulator, "environment", "application/json"), json);
    assert_eq!(
        text(&mut emulator, "environment?format=json", "text/plain"),
        json
    );
    assert_eq!(text(&mut emulator, "environment", "text/plain"), json);
    let dotenv = environment.to_dotenv();
    assert_eq!(
        text(&mut emulator, "environment?format=dotenv", "*/*"),
        dotenv
    );
    assert_eq!(
        text(&mut emulator, "environment?format=shell", "*/*"),
        environment.to_shell()
    );

    let response = control(&mut emulator, "GET", "environment?format=xml", "");
    assert_eq!(
        error(&response),
        "format is json, dotenv or shell, not \"xml\""
    );
    for host in [None, Some("me:hunter2@host"), Some("a b"), Some("")] {
        let mut request = Request::get("/_emulator/environment");
        if let Some(host) = host {
            request = request.header("Host", host);
        }
        let response = emulator.handle(&request.body("").unwrap(), NOW);
        assert_eq!(response.status(), 400, "{host:?}");
        assert!(error(&response).contains("the header Host"));
    }
}

#[test]
fn wrong_methods_and_paths_are_told_what_is_allowed() {
    let mut emulator = emulator();
    for (path, allowed, others) in [
        ("requests", "GET, HEAD, DELETE", ["POST", "PUT", "PATCH"]),
        ("reset", "POST", ["GET", "HEAD", "PUT"]),
        (
            "faults",
            "GET, HEAD, PUT, DELETE",
            ["POST", "PATCH", "OPTIONS"],
        ),
        ("time", "GET, HEAD, PUT", ["POST", "DELETE", "PATCH"]),
        ("environment", "GET, HEAD", ["POST", "PUT", "DELETE"]),
    ] {
        for method in others {
            let response = control(&mut emulator, method, path, "");
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(header(&response, "allow"), Some(allowed));
            assert_eq!(
                error(&response),
                format!("/_emulator/{path} allows {allowed}")
            );
        }
        for method in allowed.split(", ").filter(|method| *method != "PUT") {
            let response = control(&mut emulator, method, path, "");
            assert!(response.status().is_success(), "{method} {path}");
        }
    }
    for path in ["", "x", "requests/", "requests/1", "../reset"] {
        let response = control(&mut emulator, "GET", path, "");
        assert_eq!(response.status(), 404, "{path}");
        assert!(error(&response).contains("/_emulator/requests, /_emulator/reset"));
    }
    // Not below the prefix, so it is a request to Atlas.
    let response = emulator.handle(&get("/_emulator", PREVIEW, ""), NOW);
    assert_eq!(json(&response)["errorCode"], "RESOURCE_NOT_FOUND");
}

#[test]
fn unknown_parameters_get_400_and_change_nothing() {
    let mut emulator = emulator();
    let _ = fetch(&mut emulator, "/x", PREVIEW);
    for (method, path, takes) in [
        (
            "DELETE",
            "requests?route=token",
            "no parameters, not \"route\"",
        ),
        ("POST", "reset?since=1", "no parameters, not \"since\""),
        ("GET", "faults?x", "no parameters, not \"x\""),
        ("PUT", "faults?x", "no parameters, not \"x\""),
        ("DELETE", "faults?x", "no parameters, not \"x\""),
        ("GET", "time?x", "no parameters, not \"x\""),
        ("PUT", "time?advance=1h", "no parameters, not \"advance\""),
        ("GET", "environment?fmt=shell", "format, not \"fmt\""),
    ] {
        let response = control(&mut emulator, method, path, "");
        assert_eq!(response.status(), 400, "{method} {path}");
        let (path, _) = path.split_once('?').unwrap();
        let expected = format!("{method} /_emulator/{path} takes {takes}");
        assert_eq!(error(&response), expected);
    }
    assert_eq!(emulator.seen().len(), 1);
}

#[test]
fn control_requests_do_not_wait_for_the_latency() {
    let options = Options::default().with_latency(Duration::from_secs(3600));
    let server = Server::start(emulator(), options).unwrap();
    for path in [
        "/_emulator/time",
        "/%5Femulator/time",
        "/%5femul%61tor/time",
    ] {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let (response, _) = ask(&server, &request, LIMIT);
        assert!(response.starts_with(b"HTTP/1.1 200 "), "{path}");
    }
}

#[test]
fn web_page_of_another_site_gets_403() {
    let mut emulator = emulator();
    for (name, value, status) in [
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", "http://127.0.0.1:8080", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "", 403),
        ("Sec-Fetch-Site", "none", 200),
        ("Sec-Fetch-Site", "same-origin", 200),
    ] {
        let request = Request::get("/_emulator/environment")
            .header("Host", "127.0.0.1:8080")
            .header(name, value);
        let response = emulator.handle(&request.body("").unwrap(), NOW);
        assert_eq!(response.status(), status, "{name}: {value}");
        let body = String::from_utf8(response.into_body()).unwrap();
        assert_eq!(
            body.contains(&emulator.api_key().private_key),
            status == 200
        );
    }
    let request = Request::post("/_emulator/reset").header("Origin", "null");
    let _ = fetch(&mut emulator, "/x", PREVIEW);
    let response = emulator.handle(&request.body("").unwrap(), NOW);
    assert_eq!((response.status().as_u16(), emulator.requests()), (403, 1));
}

#[test]
fn faults_and_rate_limits_do_not_affect_control_requests() {
    let config = Config::default().with_control(true);
    let none = TokenBucket::new(0, 0, Duration::from_secs(1));
    let mut emulator = Emulator::new(config.with_rate_limit(none));
    for fault in Fault::all() {
        emulator.inject(fault);
    }
    let response = control(&mut emulator, "GET", "time", "");
    assert_eq!(response.status(), 200);
    assert!(response.extensions().is_empty());
}

/// Runs the curl commands of the README, from the first to the last.
#[test]
fn curl_commands_of_the_readme_work() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: curl is not installed");
        return;
    }
    let config = Config::default().with_control(true);
    let server = Server::start(Emulator::new(config), Options::default()).unwrap();
    let path = server.with(|emulator| {
        emulator.inject(Fault::GARBAGE);
        keys_path(emulator)
    });
    let (response, _) = ask(&server, &format!("GET {path} HTTP/1.0\r\n\r\n"), LIMIT);
    assert!(response.starts_with(b"HTTP/1.1 401 "));
    let readme = include_str!("../README.md").replace("\\\n", "");
    let commands: Vec<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| line.starts_with("curl ") && line.contains("/_emulator/"))
        // In a container, the emulator has a name.
        .filter(|line| !line.contains("//atlas:"))
        .collect();
    let outputs: Vec<String> = commands
        .iter()
        .map(|command| {
            let file = std::env::temp_dir().join(format!("emulator-{}", std::process::id()));
            let output = Command::new("sh")
                .args(["-ec", command])
                .env("MONGODB_ATLAS_BASE_URL", server.base_url())
                .env("GITHUB_ENV", &file)
                .output()
                .unwrap();
            assert!(output.status.success(), "{command}: {output:?}");
            let mut text = String::from_utf8(output.stdout).unwrap();
            if let Ok(written) = std::fs::read_to_string(&file) {
                text.push_str(&written);
                std::fs::remove_file(&file).unwrap();
            }
            text
        })
        .collect();
    let shown = |index: usize| serde_json::from_str::<Value>(&outputs[index]).unwrap();
    assert_eq!(commands.len(), 8, "{commands:?}");
    assert_eq!(shown(0)["requests"][0]["route"], "listGroupKeys");
    assert_eq!(shown(1)["requests"][0]["status"], 401);
    assert_eq!(outputs[2], "");
    assert_eq!(shown(3).to_string(), r#"["reset-in-body*2"]"#);
    assert_eq!(outputs[4], "");
    assert!(shown(5)["now"].is_string());
    assert!(
        outputs[6].starts_with("MONGODB_ATLAS_BASE_URL=http://127.0.0.1:"),
        "{}",
        outputs[6]
    );
    assert_eq!(outputs[7], "");
    server.with(|emulator| assert_eq!(emulator.requests(), 0));
}
