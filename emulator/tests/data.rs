//! Keys and groups from JSON, and the errors of input that is not valid.

mod support;

use atlas_model_keys_emulator::{Config, Data, Emulator, InvalidData};
use serde_json::json;
use support::{DATED, PREVIEW, fetch, keys_path};

const FIRST: &str = "69681d39c9e8cfd375386316";
const SECOND: &str = "69681d39c9e8cfd375386317";
const ORG: &str = "5f0000000000000000000001";

fn data(json: impl AsRef<[u8]>) -> Data {
    Data::from_json(json.as_ref()).unwrap()
}

fn error(json: impl AsRef<[u8]>) -> InvalidData {
    Data::from_json(json.as_ref()).unwrap_err()
}

fn emulator(json: impl AsRef<[u8]>) -> Emulator {
    Emulator::new(Config::default().with_data(data(json)))
}

fn names(emulator: &Emulator) -> Vec<(String, Vec<String>)> {
    let keys = |group| emulator.keys(group).iter();
    emulator
        .groups()
        .map(|group| {
            let names = keys(group).map(|key| key.name.clone().unwrap_or_default());
            (group.to_string(), names.collect())
        })
        .collect()
}

#[test]
fn every_form_gives_equal_data() {
    let first = json!({"apiKeyId": "a1", "groupId": FIRST, "name": "search", "lastUsedAt": null});
    let second = json!({"apiKeyId": "a2", "groupId": SECOND, "name": "rerank", "lastUsedAt": null});
    let expected = data(format!("{first}\n{second}\n"));
    assert_eq!(expected.key_count(), 2);
    let page = |keys: &[&serde_json::Value]| json!({"links": [], "results": keys, "totalCount": 2});
    let both = [&first, &second];
    for form in [
        format!("{first}{second}"),
        format!("\u{feff}{first}\r\n\r\n{second}"),
        json!(both).to_string(),
        format!("{:#}", json!(both)),
        page(&both).to_string(),
        format!("{:#}", page(&both)),
        // The bodies of two pages, one after the other.
        format!("{}\n{}", page(&[&first]), page(&[&second])),
        json!({"results": both, "count": 2, "projects": [
            {"groupId": FIRST, "count": 1, "totalCount": 1},
            {"groupId": SECOND, "error": "forbidden"},
        ]})
        .to_string(),
    ] {
        assert_eq!(data(&form), expected, "{form}");
    }
}

#[test]
fn projects_are_served_with_their_names_and_their_organization() {
    for form in [
        json!([
            {"id": FIRST, "name": "Production", "orgId": ORG, "created": "2024-02-29T00:00:00Z", "clusterCount": 3},
            {"id": SECOND, "name": "Staging", "orgId": ORG},
        ]),
        json!({"results": [
            {"id": FIRST, "name": "Production", "orgId": ORG, "created": "2024-02-29T00:00:00Z"},
            {"id": SECOND, "name": "Staging", "orgId": ORG},
        ]}),
        json!([
            {"groupId": FIRST, "groupName": "Production", "name": "a"},
            {"groupId": SECOND, "groupName": "Staging", "name": "b"},
            {"groupId": FIRST, "groupName": "ignored, because the project has a name", "name": "c"},
            {"id": FIRST, "orgId": ORG, "created": "2024-02-29T00:00:00Z"},
        ]),
        json!({
            "projects": [
                {"groupId": FIRST, "groupName": "Production", "created": "2024-02-29T00:00:00Z"},
                {"id": SECOND, "name": "Staging"},
            ],
            "organizations": [{"orgId": ORG, "count": 0}],
        }),
    ] {
        let mut emulator = emulator(form.to_string());
        assert_eq!(emulator.org_id(), ORG);
        let response = fetch(&mut emulator, "/api/atlas/v2/groups", DATED);
        let results = support::json(&response)["results"].clone();
        let fields =
            |index: usize| ["id", "name", "orgId"].map(|name| results[index][name].clone());
        assert_eq!(fields(0), [FIRST, "Production", ORG]);
        assert_eq!(fields(1), [SECOND, "Staging", ORG]);
        assert_eq!(results[0]["created"], "2024-02-29T00:00:00Z");
        assert_eq!(results[1]["created"], "2024-12-09T00:00:00Z");
        assert_eq!(results.as_array().unwrap().len(), 2);
    }
}

#[test]
fn key_belongs_to_the_project_of_its_group_id_or_to_the_first_one() {
    let emulator = emulator(
        json!([
            {"name": "a"},
            {"name": "b", "groupId": SECOND},
            {"name": "c"},
            {"id": FIRST, "name": "Production"},
            {"name": "d", "groupId": FIRST},
        ])
        .to_string(),
    );
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        names(&emulator),
        [
            (SECOND.to_owned(), text(&["a", "b", "c"])),
            (FIRST.to_owned(), text(&["d"])),
        ]
    );
    assert_eq!(emulator.forbidden_group(), None);
}

#[test]
fn data_without_a_project_gets_one() {
    for (form, keys) in [
        ("", 0),
        (" \n\n", 0),
        ("[]", 0),
        (r#"{"results":[]}"#, 0),
        (r#"{"name":"a"} {"name":"b"}"#, 2),
    ] {
        let emulator = emulator(form);
        assert_eq!(emulator.groups().count(), 1, "{form}");
        assert_eq!(emulator.keys(emulator.first_group()).len(), keys, "{form}");
        let generated = Emulator::new(Config::default());
        assert_eq!(emulator.first_group(), generated.first_group());
    }
}

#[test]
fn documented_fields_are_served_unchanged_and_others_are_ignored() {
    let name = "\u{1b}[2J\u{202e} \"é\" \u{0}";
    let key = json!({
        "apiKeyId": "a1", "createdAt": "yesterday", "createdBy": "", "groupId": FIRST,
        "maskedSecret": "al-****abcd", "name": name, "status": "PAUSED",
    });
    let mut more = key.clone();
    more["id"] = "no project, because it has an apiKeyId".into();
    more["later"] = json!({"results": [{"name": "no key"}], "n": 1});
    more["lastUsedAt"] = json!(null);
    let mut emulator = emulator(more.to_string());
    let path = keys_path(&emulator);
    let page = support::json(&fetch(&mut emulator, &path, PREVIEW));
    assert_eq!(page["results"], json!([key]));
    assert_eq!(page["totalCount"], 1);
}

#[test]
fn secret_is_listed_only_if_configured() {
    let data = data(r#"{"name":"a","secret":"al-hunter2"}"#);
    assert!(!format!("{data:?}").contains("hunter2"));
    for include_secrets in [false, true] {
        let mut emulator = Emulator::new(
            Config::default()
                .with_data(data.clone())
                .with_include_secrets(include_secrets),
        );
        let path = keys_path(&emulator);
        let page = fetch(&mut emulator, &path, DATED).into_body();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.contains("al-hunter2"), include_secrets);
    }
}

#[test]
fn page_of_the_emulator_is_data() {
    let mut generated = Emulator::new(
        Config::default()
            .with_groups(1)
            .with_names(atlas_model_keys_emulator::Names::Hostile)
            .with_include_secrets(true),
    );
    let path = keys_path(&generated);
    let page = fetch(&mut generated, &path, DATED);
    let mut loaded = Emulator::new(
        Config::default()
            .with_data(data(page.body()))
            .with_include_secrets(true),
    );
    assert_eq!(
        generated.keys(generated.first_group()),
        loaded.keys(loaded.first_group())
    );
    assert_eq!(fetch(&mut loaded, &path, DATED).body(), page.body());
}

#[test]
fn error_names_line_value_and_rule_and_never_a_secret() {
    let key = json!({"apiKeyId": "a1", "groupId": FIRST}).to_string();
    let bad_id = json!({"groupId": "production"}).to_string();
    for (json, line, parts) in [
        (
            "{\"name\":\"a\"}\n{\"name\":5}\n".to_owned(),
            2,
            &["name is 5", "a text or null"][..],
        ),
        ("{\"status\":true}".to_owned(), 1, &["status is true"]),
        ("{\"createdAt\":-1.5}".to_owned(), 1, &["createdAt is -1.5"]),
        (
            "{\"name\":[\"al-hunter2\"]}".to_owned(),
            1,
            &["name is an array"],
        ),
        (
            "{\"name\":{\"secret\":\"al-hunter2\"}}".to_owned(),
            1,
            &["name is an object"],
        ),
        (
            "\n\n{\"secret\":4242}".to_owned(),
            3,
            &["secret is of another type"],
        ),
        (
            "{\"secret\":{\"al-hunter2\":1}}".to_owned(),
            1,
            &["secret is of another type"],
        ),
        (
            "\"al-hunter2\"".to_owned(),
            1,
            &["an object, or an array of objects"],
        ),
        (
            "[\n\"al-hunter2\"]".to_owned(),
            2,
            &["an object, or an array of objects"],
        ),
        (
            "[[{\"name\":\"a\"}]]".to_owned(),
            1,
            &["an object, or an array of objects"],
        ),
        (
            "{\"results\":\"al-hunter2\"}".to_owned(),
            1,
            &["an object, or an array of objects"],
        ),
        ("null".to_owned(), 1, &["an object, or an array of objects"]),
        ("{}".to_owned(), 1, &["no field of a key"]),
        (
            "{\"error\":404,\"detail\":\"al-hunter2\"}".to_owned(),
            1,
            &["no field of a key"],
        ),
        (format!("{key}\n{key}\n"), 2, &["\"a1\"", "twice"]),
        (bad_id, 1, &["production", "24"]),
        (
            format!("{{\"id\":\"{FIRST}\"}}\n{{\"id\":\"{FIRST}\"}}"),
            2,
            &[FIRST, "twice"],
        ),
        (
            "{\"projects\":[{\"name\":\"a\"}]}".to_owned(),
            1,
            &["no id"],
        ),
        (
            format!(
                "{{\"id\":\"{FIRST}\",\"orgId\":\"{ORG}\"}}\n{{\"id\":\"{SECOND}\",\"orgId\":\"{FIRST}\"}}"
            ),
            2,
            &[ORG, FIRST, "one organization"],
        ),
        (
            "{\"id\":\"x\",\"orgId\":\"acme\"}".to_owned(),
            1,
            &["orgId", "acme"],
        ),
        ("{\"name\":\"a\"}\nal-hunter2".to_owned(), 2, &["not JSON"]),
        ("[{\"name\":\"a\"},".to_owned(), 1, &["not JSON", "EOF"]),
        ("{\"secret\":\"al-hunter2".to_owned(), 1, &["not JSON"]),
        ("[{\"name\":\"a\"}]]".to_owned(), 1, &["not JSON"]),
    ] {
        let error = error(&json);
        let text = error.to_string();
        assert_eq!(error.line(), Some(line), "{json}: {text}");
        assert!(text.starts_with(&format!("line {line}: ")), "{text}");
        for part in parts {
            assert!(text.contains(part), "{json}: {text}");
        }
        assert!(
            !text.contains("hunter2") && !text.contains("4242"),
            "{text}"
        );
        assert_eq!(text.matches("line").count(), 1, "{text}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_with_their_line() {
    let error = error(b"{\"name\":\"a\"}\n{\"name\":\"\xff\"}");
    assert_eq!(error.to_string(), "line 2: this is not UTF-8");
    // UTF-16, as some shells write it.
    assert!(Data::from_json(b"\xff\xfe{\0}\0").is_err());
}

#[test]
fn deep_nesting_is_refused_or_ignored() {
    let deep = |start: &str| start.repeat(100_000);
    for json in [
        deep("["),
        deep("{\"results\":["),
        format!("{{\"name\":{}", deep("[")),
    ] {
        error(json);
    }
    // The value of an unknown field is skipped without a stack.
    let unknown = format!(
        "{{\"name\":\"a\",\"x\":{}{}}}",
        deep("["),
        "]".repeat(100_000)
    );
    assert_eq!(data(unknown).key_count(), 1);
}

#[test]
fn long_values_are_cut_in_errors() {
    let long = "a".repeat(100_000);
    let key = json!({"apiKeyId": long}).to_string();
    assert!(error(format!("{key}\n{key}")).to_string().len() < 200);
    let group = json!({"groupId": long}).to_string();
    assert!(error(group).to_string().len() < 400);
}

#[test]
fn a_million_keys_are_read_and_one_more_is_refused() {
    let mut lines = "{\"name\":null}\n".repeat(Data::MAX_KEYS);
    assert_eq!(data(&lines).key_count(), Data::MAX_KEYS);
    lines.push_str("{\"name\":null}\n");
    let error = error(&lines);
    assert_eq!(error.line(), Some(Data::MAX_KEYS + 1));
    assert!(
        error.to_string().contains("more than 1000000 keys"),
        "{error}"
    );
}

#[test]
fn too_many_projects_are_refused() {
    let lines: String = (0..=Data::MAX_GROUPS)
        .map(|number| format!("{{\"groupId\":\"{number:024x}\"}}\n"))
        .collect();
    let error = error(lines);
    assert!(
        error.to_string().contains("more than 10000 projects"),
        "{error}"
    );
}

#[test]
fn input_above_64_mib_is_refused() {
    let blanks = vec![b' '; Data::MAX_BYTES + 1];
    let error = error(&blanks);
    assert_eq!(error.line(), None);
    assert!(error.to_string().contains("64 MiB"), "{error}");
    assert_eq!(data(&blanks[1..]).key_count(), 0);
}
