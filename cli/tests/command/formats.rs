//! All keys, once each, in order, in every format and with every credential.

use atlas_model_keys_core::ApiVersion;
use atlas_model_keys_emulator::{Config, Key, Route, TotalCount};
use http::Response;
use serde_json::Value;

use crate::support::{Atlas, Login, csv, json};

fn many() -> Atlas {
    Atlas::new(Config::default().with_keys_per_group(1234))
}

#[test]
fn json_has_all_keys_of_all_pages_once_in_order() {
    let atlas = many();
    let page = json(&atlas.list(&["-o", "json"]).stdout());
    let keys = page["results"].as_array().unwrap();
    let ids: Vec<_> = keys.iter().map(|key| key["apiKeyId"].clone()).collect();
    assert_eq!(ids, atlas.ids());
    assert_eq!(page["count"], 1234);
    let project = serde_json::json!({
        "groupId": atlas.group.as_str(),
        "count": 1234,
        "totalCount": 1234,
    });
    assert_eq!(page["projects"], Value::from(vec![project]));
}

#[test]
fn ndjson_has_all_keys_of_all_pages_once_in_order() {
    let atlas = many();
    let text = atlas.list(&["-o", "ndjson"]).stdout();
    let ids: Vec<_> = text
        .lines()
        .map(|line| json(line)["apiKeyId"].clone())
        .collect();
    assert_eq!(ids, atlas.ids());
}

#[test]
fn csv_has_all_keys_of_all_pages_once_in_order() {
    let atlas = many();
    let text = atlas.list(&["-o", "csv"]).stdout();
    let records = csv(&text);
    assert_eq!(
        records[0].join(","),
        "apiKeyId,cloud,createdAt,createdBy,endpoint,geography,groupId,lastUsedAt,maskedSecret,name,status"
    );
    let ids: Vec<_> = records[1..].iter().map(|record| &record[0]).collect();
    assert_eq!(ids, atlas.ids().iter().collect::<Vec<_>>());
}

#[test]
fn a_table_has_all_keys_of_all_pages_once_in_order() {
    let atlas = many();
    let text = atlas.list(&[]).stdout();
    let (heading, rows) = text.split_once('\n').unwrap();
    assert!(heading.starts_with("ID "), "{heading}");
    let ids: Vec<_> = rows
        .lines()
        .map(|row| row.split(' ').next().unwrap())
        .collect();
    assert_eq!(ids, atlas.ids());
}

#[test]
fn every_credential_gives_the_same_listing() {
    let atlas = many();
    let [token, account, api_key] = Login::ALL.map(|login| {
        let requests = |e: &mut atlas_model_keys_emulator::Emulator| {
            (e.requests_for(Route::ListGroupKeys), e.token_requests())
        };
        let (lists, tokens) = atlas.server.with(requests);
        let text = atlas.run(login, &["list", "-o", "ndjson"]).stdout();
        let (lists_after, tokens_after) = atlas.server.with(requests);
        (text, lists_after - lists, tokens_after - tokens)
    });
    assert_eq!(token.0.lines().count(), 1234);
    assert_eq!((token.1, token.2), (13, 0));
    assert_eq!(account, (token.0.clone(), 13, 1));
    // One challenge is enough for all pages.
    assert_eq!(api_key, (token.0, 14, 0));
}

#[test]
fn page_number_gives_only_that_page() {
    let atlas = many();
    let ids = atlas.ids();
    for format in ["ndjson", "csv"] {
        let arguments = ["-o", format, "--items-per-page", "7", "--page-num", "3"];
        let text = atlas.list(&arguments).stdout();
        let header = usize::from(format == "csv");
        let found = text.lines().skip(header).zip(&ids[14..21]);
        assert_eq!(text.lines().count(), 7 + header);
        assert!(
            found
                .into_iter()
                .all(|(line, id)| line.contains(id.as_str())),
            "{text}"
        );
    }
    assert_eq!(atlas.server.with(|emulator| emulator.requests()), 2);
    let raw = json(&atlas.list(&["-o", "raw", "--page-num", "13"]).stdout());
    assert_eq!(raw["results"].as_array().unwrap().len(), 34);
}

#[test]
fn fields_are_those_of_the_used_version() {
    let atlas = Atlas::new(Config::default());
    let first = |arguments: &[&str]| {
        let text = atlas
            .list(&[&["-o", "ndjson"], arguments].concat())
            .stdout();
        let line = json(text.lines().next().unwrap());
        line.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let always = [
        "apiKeyId",
        "createdAt",
        "createdBy",
        "groupId",
        "lastUsedAt",
        "maskedSecret",
        "name",
        "status",
    ];
    assert_eq!(first(&[]), always);
    let dated = first(&["--api-version", "2025-03-12"]);
    assert_eq!(dated.len(), 11, "{dated:?}");
    atlas
        .server
        .with(|emulator| emulator.withdraw(ApiVersion::PREVIEW));
    assert_eq!(first(&[]), dated);
}

#[test]
fn missing_values_are_null() {
    let atlas = Atlas::with_keys(vec![Key::default()]);
    let keys = json(&atlas.list(&["-o", "json"]).stdout());
    assert_eq!(keys["results"][0]["name"], Value::Null);
    assert_eq!(keys["results"][0]["lastUsedAt"], Value::Null);
    let table = atlas
        .list(&["--columns", "name,lastUsedAt,createdAt"])
        .stdout();
    assert_eq!(
        table,
        "NAME  LAST USED  CREATED\n-     never      unknown\n"
    );

    let silent = Atlas::new(Config::default().with_total_count(TotalCount::Absent));
    let text = silent
        .list(&["-o", "json", "--items-per-page", "20"])
        .stdout();
    assert!(text.ends_with(",\"totalCount\":null}]}\n"), "{text}");
}

#[test]
fn columns_are_the_chosen_ones() {
    let atlas = Atlas::new(Config::default().with_keys_per_group(1));
    let table = atlas.list(&["--columns", "Status,NAME"]).stdout();
    assert_eq!(table, "STATUS  NAME\nACTIVE  Production key\n");
    let csv = atlas
        .list(&["-o", "csv", "--columns", "name, status"])
        .stdout();
    assert_eq!(csv, "name,status\nProduction key,ACTIVE\n");
    let headings = ["--columns", "ID,last used,Created-By"];
    let csv = atlas
        .list(&[&["-o", "csv"], &headings[..]].concat())
        .stdout();
    assert!(csv.starts_with("apiKeyId,lastUsedAt,createdBy\n"), "{csv}");
    let table = atlas.list(&headings).stdout();
    assert!(
        table.starts_with("ID                        LAST USED"),
        "{table}"
    );
}

#[test]
fn empty_list_is_a_success() {
    let atlas = Atlas::with_keys(Vec::new());
    let outcome = atlas.list(&[]);
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (Some(0), 1));
    assert!(
        outcome.stderr.starts_with("note: project "),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        atlas.list(&["-o", "json"]).stdout(),
        format!(
            "{{\"results\":[],\"count\":0,\"projects\":[{{\"groupId\":\"{}\",\"count\":0,\"totalCount\":0}}]}}\n",
            atlas.group
        )
    );
    assert_eq!(atlas.list(&["-o", "ndjson"]).stdout(), "");
    assert_eq!(
        atlas.list(&["-o", "csv", "--columns", "name"]).stdout(),
        "name\n"
    );
}

#[test]
fn pretty_json_is_indented() {
    let atlas = Atlas::with_keys(Vec::new());
    let text = atlas.list(&["-o", "json", "--pretty"]).stdout();
    let begin =
        "{\n  \"results\": [],\n  \"count\": 0,\n  \"projects\": [\n    {\n      \"groupId\": ";
    assert!(text.starts_with(begin), "{text}");
    let end = ",\n      \"count\": 0,\n      \"totalCount\": 0\n    }\n  ]\n}\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn raw_is_the_unchanged_body_with_masked_secrets() {
    let atlas = Atlas::new(Config::default());
    let body = " {\r\n\t\"results\" : [ { \"name\":\"\\u00e9 é \u{202e}\", \"later\": [1.50, {\"secret\":\"x\"}] } ] ,\"totalCount\":1}\n\n";
    atlas.server.with(|emulator| {
        let answer = Response::new(body.as_bytes().to_vec());
        emulator.respond_next(Route::ListGroupKeys, answer);
    });
    let text = atlas.list(&["-o", "raw"]).stdout();
    assert_eq!(text, body.replace("\"x\"", "\"*\""));
}

#[test]
fn raw_mentions_further_pages() {
    let atlas = many();
    let outcome = atlas.list(&["-o", "raw", "--envelope", "--pretty"]);
    assert_eq!(outcome.code, Some(0));
    assert!(
        outcome.stderr.contains("--page-num 2"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.contains("\n"), "it is indented");
    let page = json(&outcome.stdout);
    assert_eq!(
        (&page["status"], &page["totalCount"]),
        (&Value::from(200), &Value::from(1234))
    );
}

#[test]
fn csv_begins_with_a_byte_order_mark_only_on_demand() {
    let atlas = Atlas::with_keys(vec![Key::default().with_name("Zoë")]);
    let list = |arguments: &[&str]| {
        let arguments = [&["-o", "csv", "--columns", "name"], arguments].concat();
        atlas.list(&arguments).stdout()
    };
    assert_eq!(list(&[]), "name\nZoë\n");
    assert_eq!(list(&["--bom"]), "\u{feff}name\nZoë\n");
}

#[test]
fn times_are_ages_in_a_table_and_dates_in_the_formats_for_programs() {
    let atlas = Atlas::with_keys(vec![
        Key::default()
            .with_created_at("2020-01-15T17:47:49.855000+01:00")
            .with_last_used_at("soon"),
    ]);
    let columns = ["--columns", "createdAt,lastUsedAt"];
    let table = atlas.list(&columns).stdout();
    assert!(table.contains(" years ago  unknown (soon)\n"), "{table}");
    let csv = atlas
        .list(&[&["-o", "csv"], &columns[..]].concat())
        .stdout();
    assert_eq!(csv, "createdAt,lastUsedAt\n2020-01-15 16:47:49,soon\n");
    let key = json(&atlas.list(&["-o", "ndjson"]).stdout());
    assert_eq!(key["createdAt"], "2020-01-15T17:47:49.855000+01:00");
}
