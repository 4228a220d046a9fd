//! Filters, in every format that has them.

use std::time::Duration;

use atlas_model_keys_emulator::server::{Options, Server, clock_from};
use atlas_model_keys_emulator::{Config, Emulator, Key};
use serde_json::Value;

use crate::scripted::{Scripted, page};
use crate::support::{Atlas, Login, csv, json, run};

/// Keys whose times are far from any boundary, whenever the tests run.
fn atlas() -> Atlas {
    let key = |name: &str, created: Option<&str>, used: Option<&str>| {
        let mut key = Key::default()
            .with_name(name)
            .with_status("ACTIVE")
            .with_created_by("Jana Nováková");
        key.created_at = created.map(str::to_owned);
        key.last_used_at = used.map(str::to_owned);
        key
    };
    let old = Some("2020-01-01T00:00:00Z");
    let future = Some("9999-01-01T00:00:00Z");
    let mut keys = vec![
        key("prod-search", old, future),
        key("prod-rerank", old, old),
        key("stage-old", old, None),
        key("stage-new", future, None),
        key("no time", None, None),
        key("odd time", old, Some("soon")),
    ];
    keys[1].status = Some("SUSPENDED".to_owned());
    keys[2].created_by = Some("mdb_sa_id_1".to_owned());
    Atlas::with_keys(keys)
}

fn names(arguments: &[&str]) -> (Vec<String>, String) {
    let outcome = atlas().list(&[&["-o", "ndjson"], arguments].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let name = |line| json(line)["name"].as_str().unwrap().to_owned();
    (outcome.stdout.lines().map(name).collect(), outcome.stderr)
}

#[test]
fn each_filter_keeps_the_keys_that_match() {
    for (arguments, expected) in [
        (
            &["--never-used"][..],
            &["stage-old", "stage-new", "no time"][..],
        ),
        (&["--status", "suspended"], &["prod-rerank"]),
        (&["--created-by", "MDB_SA_ID_1"], &["stage-old"]),
        (&["--created-by", "jana"], &[]),
        (
            &[
                "--created-by",
                "mdb_sa_id_1",
                "--created-by",
                "JANA NOVÁKOVÁ",
                "--never-used",
            ],
            &["stage-old", "stage-new", "no time"],
        ),
        (&["--name", "PROD-*"], &["prod-search", "prod-rerank"]),
        (&["--name", "*-re*k"], &["prod-rerank"]),
        (&["--name", "prod"], &[]),
        (
            &["--name", "*old", "--status", "active", "--never-used"],
            &["stage-old"],
        ),
    ] {
        let (kept, stderr) = names(arguments);
        assert_eq!(kept, expected, "{arguments:?}");
        assert_eq!(stderr, "");
    }
}

#[test]
fn keys_without_a_readable_time_are_kept_and_counted_in_a_note() {
    let note =
        |keys| format!("note: {keys} have no readable time; they are kept and marked unknown\n");
    assert_eq!(
        names(&["--unused-for", "90d"]),
        (
            ["prod-rerank", "stage-old", "no time", "odd time"]
                .map(str::to_owned)
                .to_vec(),
            note("2 keys")
        )
    );
    let (kept, note) = names(&["--older-than", "1y"]);
    assert_eq!(
        kept,
        [
            "prod-search",
            "prod-rerank",
            "stage-old",
            "no time",
            "odd time"
        ]
    );
    assert_eq!(
        note,
        "note: 1 key has no readable time; it is kept and marked unknown\n"
    );
    // Another filter drops them.
    assert_eq!(names(&["--unused-for", "90d", "--name", "stage*"]).1, "");
}

#[test]
fn unknown_times_are_marked_in_every_format() {
    let list = |format: &[&str]| {
        let filter = ["--unused-for", "90d", "--created-by", "Jana Nováková"];
        let outcome = atlas().list(&[&filter, format].concat());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome.stdout
    };
    let page = json(&list(&["-o", "json"]));
    let marks: Vec<_> = page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["unknown"].clone())
        .collect();
    assert_eq!(
        marks,
        [
            Value::Null,
            Value::from(["createdAt"].to_vec()),
            Value::from(["lastUsedAt"].to_vec())
        ]
    );
    assert_eq!(
        (&page["count"], &page["projects"][0]["totalCount"]),
        (&Value::from(3), &Value::from(6))
    );

    let columns = ["--columns", "name,created,last used"];
    assert_eq!(
        csv(&list(&[&["-o", "csv"], &columns[..]].concat())),
        [
            ["name", "createdAt", "lastUsedAt", "unknown"],
            [
                "prod-rerank",
                "2020-01-01 00:00:00",
                "2020-01-01 00:00:00",
                ""
            ],
            ["no time", "", "", "createdAt"],
            ["odd time", "2020-01-01 00:00:00", "soon", "lastUsedAt"],
        ]
    );
    let table = list(&columns);
    let unknown: Vec<_> = table
        .lines()
        .filter(|line| line.contains("unknown"))
        .collect();
    assert_eq!(unknown.len(), 2, "{table}");
    assert!(unknown[0].ends_with("unknown      never"), "{table}");
    assert!(unknown[1].ends_with("unknown (soon)"), "{table}");
}

#[test]
fn keys_that_do_not_match_are_neither_an_error_nor_a_difference_of_counts() {
    let outcome = atlas().list(&["--name", "nothing"]);
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (Some(0), 1));
    let note = outcome.stderr;
    assert!(
        note.starts_with("note: no key of project ") && note.ends_with(" matches the filters\n"),
        "{note}"
    );
    for format in ["json", "ndjson", "csv"] {
        assert_eq!(
            atlas().list(&["-o", format, "--name", "nothing"]).stderr,
            ""
        );
    }
}

#[test]
fn filters_apply_to_every_page() {
    let keys = (0..500).map(|n| {
        Key::default().with_name(format!("{}-{n}", if n % 2 == 0 { "even" } else { "odd" }))
    });
    let atlas = Atlas::with_keys(keys.collect());
    for format in ["ndjson", "csv", "table"] {
        let arguments = ["-o", format, "--name", "odd*", "--items-per-page", "7"];
        let text = atlas.list(&arguments).stdout();
        assert_eq!(text.matches("odd-").count(), 250);
        assert_eq!(text.matches("even-").count(), 0);
    }
}

#[test]
fn wrong_filters_are_2_and_name_the_value_the_rule_and_the_way_out() {
    let atlas = atlas();
    let mut texts = String::new();
    for (arguments, words) in [
        (
            &["--unused-for", "90"][..],
            &["'90'", "a number and a unit, such as 90d"][..],
        ),
        (
            &["--older-than", "soon"],
            &["'soon'", "a number and a unit"],
        ),
        (
            &["--unused-for", "3m"],
            &["'3m'", "minutes or months", "write min or months"],
        ),
        (
            &["--unused-for", "0d"],
            &["'0d'", "longer than 0", "such as 90d"],
        ),
        (&["--never-used", "-o", "raw"], &["-o raw", "-o json"]),
        (
            &["--unused-for", "90d", "-o", "raw"],
            &["-o raw", "-o json"],
        ),
        (&["--bom"], &["--bom", "-o csv"]),
        (&["--bom", "-o", "json"], &["--bom", "-o csv"]),
        (
            &["--columns", "lastuse"],
            &[
                "'lastuse'",
                "the columns are apiKeyId, ",
                "did you mean lastUsedAt?",
            ],
        ),
    ] {
        let error = atlas.list(arguments).failure(2);
        texts += &format!("$ list {}\n{error}\n", arguments.join(" "));
        for word in words {
            assert!(error.contains(word), "{arguments:?}: {error}");
        }
    }
    insta::assert_snapshot!("errors", texts);
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
}

#[test]
fn help_lists_the_filters_and_the_columns() {
    let help = run(&["list", "--help"], &[]).stdout();
    let (options, filters) = help.split_once("\nFilters (").unwrap();
    for option in [
        "--unused-for <DURATION>",
        "--never-used",
        "--older-than",
        "--status",
        "--created-by",
        "--name",
    ] {
        assert!(
            filters.contains(option) && !options.contains(option),
            "{option}"
        );
    }
    for line in [
        "  apiKeyId      ID         key id",
        "  groupName     PROJECT",
        "  lastUsedAt    LAST USED",
    ] {
        assert!(options.contains(line), "{line}");
    }
    // The description is that of the command.
    assert!(help.starts_with("List the AI model API keys"), "{help}");
}

#[test]
fn every_credential_gives_the_same_filtered_listing() {
    let atlas = atlas();
    let [token, account, api_key] = Login::ALL.map(|login| {
        let arguments = ["list", "-o", "csv", "--never-used", "--columns", "name"];
        atlas.run(login, &arguments).stdout()
    });
    assert_eq!(token, "name\nstage-old\nstage-new\nno time\n");
    assert_eq!((&account, &api_key), (&token, &token));
}

#[test]
fn ages_are_measured_with_the_clock_of_the_server() {
    // 2030-01-02T00:00:00Z.
    let now = Duration::from_secs(1_893_542_400);
    let emulator = Emulator::new(Config::default().with_keys_per_group(2));
    let group = emulator.first_group();
    let options = Options::default().with_clock(clock_from(now));
    let server = Server::start(emulator, options).unwrap();
    let atlas = Atlas { server, group };
    atlas.server.with(|emulator| {
        let keys = emulator.keys_mut(group).unwrap();
        keys[0].created_at = Some("2029-12-25T00:00:00Z".to_owned());
        keys[1].created_at = Some("2029-12-31T00:00:00Z".to_owned());
    });
    let text = atlas.list(&["--older-than", "7d", "-o", "ndjson"]).stdout();
    let ids: Vec<_> = text
        .lines()
        .map(|line| json(line)["apiKeyId"].clone())
        .collect();
    assert_eq!(ids, [atlas.ids().remove(0)]);
}

#[test]
fn clock_of_this_machine_is_used_with_a_note_if_the_server_sends_no_date() {
    let (scripted, answers) = Scripted::new();
    answers.send(page(&["a"], false, 1)).unwrap();
    let arguments = ["list", "--older-than", "7d", "-o", "ndjson"];
    let outcome = run(&arguments, &scripted.environment());
    assert_eq!(outcome.code, Some(0));
    let note = "note: the server sent no valid Date: the filters use the clock of this machine\n";
    assert!(outcome.stderr.starts_with(note), "{}", outcome.stderr);
}
