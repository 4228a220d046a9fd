//! Listings of many projects.

use std::time::Duration;

use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Config, Data, Emulator, Role, Route, TokenBucket};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::{Atlas, Login, Outcome, csv, run};
#[cfg(unix)]
use crate::support::{command, finish, send};

/// The keys of each project.
const KEYS: usize = 4;

fn id(project: usize) -> String {
    format!("{:024x}", 0x66f0_0000 + project)
}

/// Starts an emulator with this number of projects.
fn atlas(projects: usize, config: Config, options: Options) -> Atlas {
    let project = |n: usize| json!({"id": id(n), "name": format!("Project {n}")});
    let key = |n: usize, key: usize| {
        json!({
            "apiKeyId": format!("g{n}k{key}"),
            "groupId": id(n),
            "name": format!("key {key}"),
            "createdBy": "Jana Novák",
            "createdAt": "2026-01-15T16:47:49Z",
            "maskedSecret": "al-****odu2",
            "status": "ACTIVE",
        })
    };
    let keys = (0..projects).flat_map(|n| (0..KEYS).map(move |k| key(n, k)));
    let data = json!({
        "projects": (0..projects).map(project).collect::<Vec<_>>(),
        "results": keys.collect::<Vec<_>>(),
    });
    let data = Data::from_json(data.to_string().as_bytes());
    let emulator = Emulator::new(config.with_data(data.unwrap()));
    let group = emulator.first_group();
    let server = Server::start(emulator, options).unwrap();
    Atlas { server, group }
}

fn plain(projects: usize) -> Atlas {
    atlas(projects, Config::default(), Options::default())
}

/// Takes the role for the keys of a project from all credentials.
fn forbid(atlas: &Atlas, project: usize) {
    let group = id(project).parse().unwrap();
    atlas.server.with(|emulator| {
        for credential in emulator.credentials() {
            emulator.remove_role(credential, Role::GroupReadOnly(group));
        }
    });
}

fn all(atlas: &Atlas, arguments: &[&str]) -> Outcome {
    let arguments = [&["list", "--all-projects"], arguments].concat();
    atlas.run(Login::ServiceAccount, &arguments)
}

/// Returns the line that stderr ends with.
fn last_line(outcome: &Outcome) -> &str {
    outcome.stderr.lines().last().unwrap_or_default()
}

#[test]
fn all_projects_are_listed_in_order_with_their_names_and_one_token() {
    let atlas = plain(30);
    let text = all(&atlas, &["-o", "ndjson"]).stdout();
    let keys: Vec<Value> = text.lines().map(crate::support::json).collect();
    let expected = (0..30).flat_map(|n| (0..KEYS).map(move |key| format!("g{n}k{key}")));
    let ids = keys
        .iter()
        .map(|key| key["apiKeyId"].as_str().unwrap().to_owned());
    assert!(ids.eq(expected));
    assert_eq!(keys[4]["groupName"], "Project 1");
    assert_eq!(keys[4]["groupId"], id(1));
    assert_eq!(atlas.server.with(|emulator| emulator.token_requests()), 1);

    let table = all(&atlas, &[]).stdout();
    let header = table.lines().next().unwrap();
    assert!(
        header.contains("PROJECT") && table.contains("Project 29"),
        "{table}"
    );
    let rows = csv(&all(&atlas, &["-o", "csv"]).stdout());
    assert!(rows[0].contains(&"groupName".to_owned()), "{:?}", rows[0]);
    assert_eq!(rows.len(), 1 + 30 * KEYS);
    let document = crate::support::json(&all(&atlas, &["-o", "json"]).stdout());
    assert_eq!(document["count"], 30 * KEYS);
    assert!(document.get("totalCount").is_none());
    assert_eq!(
        document["projects"][7],
        json!({"groupId": id(7), "groupName": "Project 7", "count": KEYS, "totalCount": KEYS})
    );
}

#[test]
fn names_are_known_for_named_projects_and_organizations_if_the_credential_may_list_them() {
    let atlas = plain(3);
    let (first, second) = (id(0), id(2));
    let several = [
        "list",
        "--group-id",
        &first,
        "--group-id",
        &second,
        "-o",
        "ndjson",
    ];
    let text = atlas.run(Login::Token, &several).stdout();
    assert!(text.contains("Project 2"), "{text}");
    let organization = atlas
        .server
        .with(|emulator| emulator.first_org().to_string());
    let organization = ["list", "--org-id", &organization, "-o", "ndjson"];
    let text = atlas.run(Login::Token, &organization).stdout();
    assert!(text.contains("Project 1"), "{text}");

    let refused = |emulator: &mut Emulator| {
        let status = StatusCode::FORBIDDEN;
        emulator.fail_next(2, Route::ListGroups, status, &HeaderMap::new());
    };
    atlas.server.with(refused);
    for arguments in [&several[..], &organization] {
        let text = atlas.run(Login::Token, arguments).stdout();
        assert!(
            text.contains("g2k3") && !text.contains("Project 2"),
            "{text}"
        );
    }
}

#[test]
fn projects_that_fail_are_reported_and_the_others_are_listed_with_9() {
    let atlas = plain(12);
    forbid(&atlas, 3);
    forbid(&atlas, 11);
    for format in ["table", "json", "ndjson", "csv"] {
        let outcome = all(&atlas, &["-o", format]);
        assert_eq!(outcome.code, Some(9), "{}", outcome.stderr);
        let of_keys = |n: usize| outcome.stdout.matches(&format!("g{n}k")).count();
        for n in 0..12 {
            let expected = if n == 3 || n == 11 { 0 } else { KEYS };
            assert_eq!(of_keys(n), expected, "{format}: {}", outcome.stdout);
        }
        let lines: Vec<_> = outcome.stderr.lines().collect();
        let [first, second, last] = &*lines else {
            panic!("{lines:?}")
        };
        for (line, n) in [(first, 3), (second, 11)] {
            let start = format!(
                "error: cannot list the model API keys of project {} (Project {n}): ",
                id(n)
            );
            assert!(line.starts_with(&start) && line.contains("401"), "{line}");
        }
        assert_eq!(*last, "error: 10 of 12 projects listed");
        if format == "json" {
            let document = crate::support::json(&outcome.stdout);
            let failed = &document["projects"][3];
            assert_eq!(
                (&failed["groupId"], &failed["count"]),
                (&json!(id(3)), &json!(0))
            );
            assert!(
                failed["error"].as_str().unwrap().contains("401"),
                "{failed}"
            );
            assert_eq!(document["count"], 10 * KEYS);
        }
    }
}

#[test]
fn all_projects_that_fail_are_9_too() {
    let atlas = plain(2);
    forbid(&atlas, 0);
    forbid(&atlas, 1);
    let outcome = all(&atlas, &[]);
    assert_eq!(outcome.code, Some(9));
    assert_eq!(last_line(&outcome), "error: 0 of 2 projects listed");
    let unknown = ["f".repeat(24), "e".repeat(24)];
    let [one, two] = &unknown;
    let arguments = ["list", "--group-id", one, "--group-id", two];
    let outcome = atlas.run(Login::ApiKey, &arguments);
    assert_eq!(outcome.code, Some(9));
    assert!(
        outcome.stderr.contains("404 Not Found"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn keys_that_are_left_are_10_unless_a_project_failed() {
    let atlas = plain(3);
    let arguments = ["--never-used", "--fail-if-any", "-o", "ndjson"];
    let outcome = all(&atlas, &arguments);
    assert_eq!(outcome.code, Some(10), "{}", outcome.stderr);
    assert_eq!(
        outcome.stderr,
        "error: 12 keys pass the filters (--fail-if-any)\n"
    );
    assert_eq!(outcome.stdout.lines().count(), 12);
    let none = ["--status", "NONE", "--fail-if-any", "-o", "ndjson"];
    assert_eq!(all(&atlas, &none).stdout(), "");
    forbid(&atlas, 1);
    assert_eq!(all(&atlas, &arguments).code, Some(9));
    let single = ["list", "--fail-if-any"];
    assert_eq!(atlas.run(Login::ApiKey, &single).code, Some(10));
}

#[test]
fn credential_that_is_refused_ends_the_listing_with_3() {
    let atlas = plain(5);
    let mut environment = atlas.environment(Login::ServiceAccount);
    for (name, value) in &mut environment {
        if *name == "MONGODB_ATLAS_CLIENT_SECRET" {
            "mdb_sa_sk_wrong".clone_into(value);
        }
    }
    let outcome = run(&["list", "--all-projects"], &environment);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert_eq!(atlas.server.with(|emulator| emulator.token_requests()), 1);
}

#[test]
fn no_429_of_a_shared_rate_limit_becomes_an_error() {
    let config = Config::default()
        .with_rate_limit(TokenBucket::new(20, 30, Duration::from_secs(1)))
        .with_shared_rate_limit(true);
    let atlas = atlas(60, config, Options::default());
    let outcome = all(&atlas, &["-o", "ndjson", "--log"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), 60 * KEYS);
    assert!(
        outcome.stderr.contains(" 429 attempt="),
        "{}",
        outcome.stderr
    );
    // Waits for the same reason at the same time are told once.
    let refused = outcome.stderr.matches(" 429 attempt=").count();
    let notes = outcome.stderr.matches("note: Atlas answered 429").count();
    assert!(notes < refused, "{}", outcome.stderr);
}

#[test]
fn outage_ends_the_attempts_after_three_projects() {
    let atlas = plain(40);
    atlas.server.with(|emulator| {
        let status = StatusCode::BAD_GATEWAY;
        emulator.fail_next(10_000, Route::ListGroupKeys, status, &HeaderMap::new());
    });
    let outcome = all(&atlas, &["--timeout", "500ms", "-o", "json"]);
    assert_eq!(outcome.code, Some(9), "{}", outcome.stderr);
    assert_eq!(last_line(&outcome), "error: 0 of 40 projects listed");
    let document = crate::support::json(&outcome.stdout);
    let projects = document["projects"].as_array().unwrap();
    assert_eq!(projects.len(), 40);
    let not_tried = |project: &&Value| project["error"].as_str().unwrap().starts_with("not tried");
    assert_eq!(projects.iter().filter(not_tried).count(), 37);
    // The requests of the projects in flight were sent, and no others.
    let requests = atlas.server.with(|emulator| emulator.requests());
    assert!(requests < 100, "{requests}");
}

#[cfg(unix)]
#[test]
fn signal_halfway_leaves_whole_rows_and_says_how_far_it_came() {
    let options = Options::default().with_latency(Duration::from_millis(20));
    for format in ["table", "json", "ndjson", "csv"] {
        let atlas = atlas(400, Config::default(), options.clone());
        let arguments = ["list", "--all-projects", "-o", format];
        let environment = atlas.environment(Login::ServiceAccount);
        let child = command(&arguments, &environment).spawn().unwrap();
        while atlas.server.with(|emulator| emulator.requests()) < 60 {
            std::thread::sleep(Duration::from_millis(1));
        }
        send("INT", &child);
        let outcome = finish(child);
        assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
        let rows = match format {
            "csv" => csv(&outcome.stdout).len() - 1,
            "ndjson" => outcome.stdout.lines().map(crate::support::json).count(),
            "json" => {
                let closed = crate::support::json(&format!("{}]}}", outcome.stdout));
                closed["results"].as_array().unwrap().len()
            }
            _ => 0,
        };
        assert!(rows < 400 * KEYS && rows.is_multiple_of(KEYS));
        let told = if format == "table" {
            assert_eq!(outcome.stdout, "");
            "interrupted: nothing was written".to_owned()
        } else {
            assert!(
                outcome.stdout.ends_with(['\n', '}', '[']),
                "{}",
                outcome.stdout
            );
            format!("interrupted: {rows} keys of the projects were written")
        };
        assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .ends_with(" of 400 projects were listed before\n"),
            "{}",
            outcome.stderr
        );
        // The token was revoked.
        assert_eq!(
            atlas
                .server
                .with(|emulator| emulator.requests_for(Route::Revoke)),
            1
        );
    }
}

#[test]
fn project_without_a_valid_id_is_reported() {
    let atlas = plain(2);
    let body = json!({
        "results": [{"id": id(0), "name": "a"}, {"name": "b"}, {"id": "X", "name": "c"}, {"id": id(0)}],
        "totalCount": 4,
    });
    atlas.server.with(|emulator| {
        let response = http::Response::builder()
            .status(200)
            .body(body.to_string().into_bytes());
        emulator.respond_next(Route::ListGroups, response.unwrap());
    });
    let outcome = all(&atlas, &["-o", "ndjson"]);
    assert_eq!(outcome.code, Some(9), "{}", outcome.stderr);
    assert_eq!(outcome.stdout.lines().count(), KEYS);
    for line in [
        "project b: Atlas sent no id",
        "project c: ",
        "1 of 3 projects listed",
    ] {
        assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
    }
}

#[test]
fn no_projects_are_no_error_and_are_mentioned() {
    let atlas = plain(1);
    atlas.server.with(|emulator| {
        let response = http::Response::builder()
            .status(200)
            .body(br#"{"results":[]}"#.to_vec());
        emulator.respond_next(Route::ListGroups, response.unwrap());
    });
    let outcome = all(&atlas, &[]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "note: the credential can see no projects\n");
}
