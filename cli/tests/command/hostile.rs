//! Names that try to control the terminal or the spreadsheet, or to deceive the reader.

use atlas_model_keys_core::is_unsafe_to_show;
use atlas_model_keys_emulator::Key;
use http::Response;

use atlas_model_keys_emulator::Route;

use crate::support::{Atlas, csv, json};

fn names() -> Vec<String> {
    vec![
        "red \u{1b}[31malert\u{1b}[0m\u{9b}2J".to_owned(),
        "two\nlines\r\tand a tab".to_owned(),
        "\"quoted\", 'quoted' and \\back\\".to_owned(),
        "\u{202e}desrever\u{2066}\u{200b}".to_owned(),
        "長".repeat(250),
        "=HYPERLINK(\"https://evil.example\")".to_owned(),
        "+1".to_owned(),
        "-1".to_owned(),
        "@SUM(A1)".to_owned(),
        "\t=1".to_owned(),
        "\u{7f}\u{0}\u{2028}\u{e0041}".to_owned(),
        String::new(),
    ]
}

fn atlas() -> Atlas {
    let keys = names().into_iter().map(|name| {
        Key::default()
            .with_created_by(name.clone())
            .with_status(name.clone())
            .with_created_at(name.clone())
            .with_name(name)
    });
    Atlas::with_keys(keys.collect())
}

#[track_caller]
fn assert_harmless(text: &str) {
    let unsafe_ones: Vec<_> = text
        .chars()
        .filter(|c| *c != '\n' && is_unsafe_to_show(*c))
        .collect();
    assert!(unsafe_ones.is_empty(), "{unsafe_ones:?} in {text}");
}

#[test]
fn table_escapes_hostile_names_and_has_one_line_per_key() {
    let text = atlas().list(&[]).stdout();
    assert_harmless(&text);
    assert_eq!(text.lines().count(), names().len() + 1);
    assert!(
        text.contains(r"red \u{1b}[31malert\u{1b}[0m\u{9b}2J"),
        "{text}"
    );
    assert!(text.contains(&"長".repeat(250)), "{text}");
}

#[test]
fn json_keeps_hostile_names_unchanged() {
    let text = atlas().list(&["-o", "json"]).stdout();
    assert_harmless(&text);
    let page = json(&text);
    let found: Vec<_> = page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, names());
}

#[test]
fn ndjson_keeps_hostile_names_unchanged() {
    let text = atlas().list(&["-o", "ndjson"]).stdout();
    assert_harmless(&text);
    let found: Vec<_> = text
        .lines()
        .map(|line| json(line)["createdBy"].clone())
        .collect();
    assert_eq!(found, names());
}

#[test]
fn csv_disarms_formulas_and_escapes_control_characters() {
    let text = atlas()
        .list(&["-o", "csv", "--columns", "name,status"])
        .stdout();
    assert_harmless(&text);
    let records = csv(&text);
    assert_eq!(records.len(), names().len() + 1);
    for record in &records {
        assert_eq!(record[0], record[1].replace("status", "name"));
        assert!(
            !record[0].starts_with(['=', '+', '-', '@', '\t']),
            "{}",
            record[0]
        );
    }
    assert_eq!(records[6], ["'=HYPERLINK(\"https://evil.example\")"; 2]);
}

#[test]
fn raw_keeps_hostile_names_unchanged() {
    let page = json(&atlas().list(&["-o", "raw"]).stdout());
    let found: Vec<_> = page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(found, names());
}

#[test]
fn errors_escape_hostile_text() {
    let atlas = atlas();
    let body = "{\"detail\":\"\\u001b[2J\\nerror: all is well\\u202e\",\"errorCode\":\"\\u001b\"}";
    let answer = Response::builder()
        .status(400)
        .body(body.as_bytes().to_vec());
    atlas
        .server
        .with(|emulator| emulator.respond_next(Route::ListGroupKeys, answer.unwrap()));
    assert_harmless(&atlas.list(&[]).failure(8));
    assert_harmless(&atlas.list(&["--group-id", "\u{1b}[2J\u{202e}"]).failure(2));
    assert_harmless(&atlas.list(&["\u{1b}[2J\u{202e}"]).failure(2));
    assert_harmless(&atlas.list(&["--columns", "\u{1b}[2J"]).failure(2));
}

#[test]
fn filters_find_hostile_names_and_their_errors_are_harmless() {
    let atlas = atlas();
    for (pattern, expected) in [
        ("*\u{202e}*", 1),
        ("=*", 1),
        ("", 1),
        ("*\n*", 1),
        ("*長*長", 1),
        ("*", names().len()),
    ] {
        let text = atlas.list(&["-o", "ndjson", "--name", pattern]).stdout();
        assert_harmless(&text);
        assert_eq!(text.lines().count(), expected, "{pattern:?}");
    }
    let hostile = "\u{1b}[2J\u{202e}";
    for option in ["--unused-for", "--older-than"] {
        assert_harmless(&atlas.list(&[option, hostile]).failure(2));
    }
    // The times of these keys are hostile texts, too.
    for format in ["table", "json", "ndjson", "csv"] {
        let outcome = atlas.list(&["-o", format, "--older-than", "1d"]);
        assert_harmless(&outcome.stdout);
        let count = names().len();
        assert_eq!(
            outcome.stderr,
            format!("note: {count} keys have no readable time; they are kept and marked unknown\n")
        );
    }
}
