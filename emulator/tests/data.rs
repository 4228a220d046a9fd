//! Keys and groups from JSON, and the errors of input that is not valid.

use crate::support::{self, Cases, DATED, PREVIEW, fetch, keys_path};
use atlas_model_keys_core::OrgId;
use atlas_model_keys_emulator::{Config, Data, Emulator, InvalidData};
use serde_json::{Value, json};

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
        assert_eq!(emulator.first_org().as_str(), ORG);
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
            "{\"id\":\"x\",\"orgId\":\"acme\"}".to_owned(),
            1,
            &["orgId", "acme"],
        ),
        (
            "{\"publicKey\":\"abc\",\n\"privateKey\":4242}".to_owned(),
            2,
            &["privateKey is of another type"],
        ),
        (
            "{\"clientId\":17}".to_owned(),
            1,
            &["clientId is 17", "a text or null"],
        ),
        (
            "{\"clientSecret\":[\"hunter2\"]}".to_owned(),
            1,
            &["clientSecret is of another type"],
        ),
        (
            "{\"accessToken\":{\"hunter2\":1}}".to_owned(),
            1,
            &["accessToken is of another type"],
        ),
        (
            "\n{\"privateKey\":\"hunter2\"}".to_owned(),
            2,
            &[
                "publicKey and privateKey",
                "clientId and clientSecret",
                "accessToken",
            ],
        ),
        (
            "{\"publicKey\":\"abc\",\"clientId\":\"abc\",\"clientSecret\":\"hunter2\"}".to_owned(),
            1,
            &["an object of its own"],
        ),
        (
            "{\"accessToken\":\"\"}".to_owned(),
            1,
            &["accessToken must be", "not empty"],
        ),
        (
            "{\"accessToken\":\"hunter2 é\"}".to_owned(),
            1,
            &["accessToken must be visible ASCII"],
        ),
        (
            "{\"clientId\":\"a:hunter2\",\"clientSecret\":\"b\"}".to_owned(),
            1,
            &["clientId must be", "without a colon"],
        ),
        (
            "{\"publicKey\":\"a\",\"privateKey\":\"hunter2\\n\"}".to_owned(),
            1,
            &["privateKey must be", "control characters"],
        ),
        (
            "{\"publicKey\":\"abc\",\"privateKey\":\"hunter2\"}\n".repeat(2),
            2,
            &["the publicKey \"abc\"", "twice"],
        ),
        (
            "{\"publicKey\":\"mdb_sa_sk_hunter2\",\"privateKey\":\"a\"}\n".repeat(2),
            2,
            &["the publicKey [redacted]", "twice"],
        ),
        (
            "{\"clientId\":\"mdb_sa_id_1\",\"clientSecret\":\"hunter2\"}\n".repeat(2),
            2,
            &["the clientId \"mdb_sa_id_1\"", "twice"],
        ),
        (
            "{\"accessToken\":\"hunter2\"}\n".repeat(2),
            2,
            &["the accessToken [redacted]", "twice"],
        ),
        (
            "{\"accessToken\":\"a\",\"role\":[]}".to_owned(),
            1,
            &["no field \"role\"", "it is \"roles\""],
        ),
        (
            "{\"accessToken\":\"a\",\n\"roles\":\"ORG_OWNER\"}".to_owned(),
            2,
            &["roles must be", "an array of objects"],
        ),
        (
            "{\"accessToken\":\"a\",\"roles\":[\n\"ORG_OWNER\"]}".to_owned(),
            2,
            &["roles must be", "roleName", "groupId or orgId"],
        ),
        (
            "{\"roles\":[{\"groupId\":42}]}".to_owned(),
            1,
            &["groupId is 42", "a text or null"],
        ),
        (
            format!("{{\"roles\":[\n{{\"groupId\":\"{FIRST}\",\"roleName\":\"ORG_OWNER\"}},\n5]}}"),
            2,
            &[
                "roleName is \"ORG_OWNER\"",
                "GROUP_READ_ONLY with a groupId",
                "orgId",
            ],
        ),
        (
            format!("{{\"roles\":[{{\"orgId\":\"{ORG}\"}}]}}"),
            1,
            &["roleName is missing"],
        ),
        (
            "{\"roles\":[{\"roleName\":\"GROUP_OWNER\"}]}".to_owned(),
            1,
            &["roleName is \"GROUP_OWNER\"", "with a groupId"],
        ),
        (
            "{\"roles\":[{\"orgId\":\"acme\",\"roleName\":\"ORG_OWNER\"}]}".to_owned(),
            1,
            &["orgId", "acme", "24"],
        ),
        (
            "{\"accessToken\":\"a\",\"roles\":[hunter2".to_owned(),
            1,
            &["not JSON"],
        ),
        (
            format!("{{\"roles\":[{{\"orgId\":\"{ORG}\","),
            1,
            &["not JSON", "EOF"],
        ),
        ("{\"roles\":[]}".to_owned(), 1, &["no field of a key"]),
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
fn project_belongs_to_its_organization_or_to_the_first_one() {
    const OTHER: &str = "5f0000000000000000000002";
    let emulator = emulator(
        json!([
            {"id": FIRST, "name": "Production"},
            {"id": SECOND, "orgId": OTHER},
            {"name": "a", "groupId": "69681d39c9e8cfd375386318"},
            {"accessToken": "t", "roles": [{"orgId": ORG, "roleName": "ORG_OWNER"}]},
        ])
        .to_string(),
    );
    let ids = |ids: &[OrgId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ids(&emulator.org_ids().collect::<Vec<_>>()), [OTHER, ORG]);
    let orgs: Vec<_> = emulator
        .groups()
        .map(|group| emulator.org_of(group).unwrap())
        .collect();
    assert_eq!(ids(&orgs), [OTHER, OTHER, OTHER]);
}

#[test]
fn credentials_of_the_data_are_accepted_in_every_form() {
    let lines = json!([
        {"publicKey": "abc", "privateKey": "p", "roles": null, "desc": "ignored", "id": FIRST},
        {"clientId": "mdb_sa_id_1", "clientSecret": "s", "name": "ignored"},
        {"accessToken": "t1", "roles": []},
        {"accessToken": "t2", "roles": [
            {"groupId": FIRST, "roleName": "GROUP_OWNER", "later": 1},
            {"orgId": ORG, "groupId": null, "roleName": "ORG_MEMBER"},
        ]},
    ]);
    let expected = data(lines.to_string());
    assert_eq!(data(json!({"credentials": lines}).to_string()), expected);
    assert_eq!(data(json!({"results": lines}).to_string()), expected);
    assert!(format!("{expected:?}").contains("credentials: 4"));
    let mut emulator = Emulator::new(Config::default().with_data(expected));
    assert_eq!(emulator.api_key().public_key, "abc");
    assert_eq!(emulator.service_account().client_id, "mdb_sa_id_1");
    assert_eq!(emulator.credentials().len(), 4);
    for (token, status) in [("t1", 401), ("t2", 200), ("t3", 401)] {
        let request = support::get(&keys_path(&emulator), PREVIEW, &format!("Bearer {token}"));
        let response = emulator.handle(&request, support::NOW);
        assert_eq!(response.status(), status, "{token}");
    }
}

#[test]
fn organizations_have_an_id_and_credentials_of_an_object_with_lists_are_in_a_list() {
    let form = |name: &str| json!({"organizations": [{name: ORG}]}).to_string();
    assert_eq!(data(form("id")), data(form("orgId")));
    assert_eq!(emulator(form("id")).first_org().as_str(), ORG);

    let own = json!({"publicKey": "abc", "privateKey": "p"});
    let mut document = json!({"projects": [{"id": FIRST}], "publicKey": "abc", "privateKey": "p"});
    let message = error(document.to_string()).to_string();
    assert!(message.contains("an array \"credentials\""), "{message}");
    document["credentials"] = json!([own]);
    let emulator = emulator(document.to_string());
    assert_eq!(emulator.api_key().public_key, "abc");
}

#[test]
fn examples_of_the_readme_are_valid() {
    let blocks = include_str!("../README.md").split("```json\n").skip(1);
    let blocks: Vec<_> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let emulator = emulator(blocks.concat());
    assert_eq!(emulator.credentials().len(), 3);
    assert_eq!(emulator.first_org().as_str(), ORG);
    assert_eq!(
        names(&emulator),
        [(FIRST.to_owned(), vec!["search-prod".to_owned()])]
    );
}

#[test]
fn data_of_credentials_only_keeps_the_generated_projects() {
    let generated = Emulator::new(Config::default());
    let mut emulator = emulator(r#"{"accessToken":"t"}"#);
    assert_eq!(names(&emulator), names(&generated));
    assert_eq!(emulator.first_org(), generated.first_org());
    assert_eq!(
        emulator.api_key().public_key,
        generated.api_key().public_key
    );
    assert_eq!(emulator.access_token(), "t");
    let path = keys_path(&emulator);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
}

#[test]
fn random_data_is_read_or_refused_without_a_secret() {
    const SECRET: &str = "mdb_sa_sk_hunter2";
    let fields = [
        "apiKeyId",
        "groupId",
        "id",
        "orgId",
        "name",
        "secret",
        "publicKey",
        "privateKey",
        "clientId",
        "clientSecret",
        "accessToken",
        "roles",
        "results",
        "credentials",
        "projects",
        "organizations",
    ];
    let values = [
        json!(FIRST),
        json!(SECOND),
        json!(ORG),
        json!(SECRET),
        json!(null),
        json!(5),
        json!([]),
        json!([{"groupId": FIRST, "roleName": "GROUP_OWNER"}]),
        json!([{"orgId": ORG, "roleName": "ORG_OWNER"}, {"orgId": FIRST, "roleName": "ORG_MEMBER"}]),
        json!([{"groupId": SECRET, "orgId": SECRET, "roleName": SECRET}]),
        json!([{"publicKey": SECRET, "privateKey": SECRET}]),
        json!([{"clientId": "a", "clientSecret": SECRET, "roles": []}, {"accessToken": SECRET}]),
    ];
    let mut cases = Cases(0x5eed);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..5_000 {
        let mut json = String::new();
        for _ in 0..=cases.below(2) {
            let object = (0..=cases.below(2)).map(|_| {
                let field = fields[cases.below(fields.len())];
                (field.to_owned(), values[cases.below(values.len())].clone())
            });
            json += &format!("{}\n", Value::from_iter(object));
        }
        if cases.below(4) == 0 {
            let at = cases.below(json.len());
            match cases.below(3) {
                0 => json.truncate(at),
                1 => json.insert(at, ['{', ']', '"', '\\', '\u{ff}', ','][cases.below(6)]),
                _ => drop(json.remove(at)),
            }
        }
        match Data::from_json(json.as_bytes()) {
            Ok(data) => {
                let mut emulator = Emulator::new(Config::default().with_data(data));
                let path = keys_path(&emulator);
                for target in [path.as_str(), "/api/atlas/v2/groups"] {
                    assert!(fetch(&mut emulator, target, DATED).status().as_u16() >= 200);
                }
                read += 1;
            }
            Err(error) => {
                // A damaged secret in the place of an id is not recognised.
                let is_whole = json
                    .matches("hunter2")
                    .eq(json.matches(SECRET).map(|_| "hunter2"));
                assert!(
                    !is_whole || !error.to_string().contains("hunter2"),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    assert!(read > 250 && refused > 250, "{read} {refused}");
}

#[test]
fn too_many_organizations_and_credentials_are_refused() {
    let lines = (0..=Data::MAX_GROUPS).map(|n| format!("{{\"orgId\":\"{n:024x}\"}},"));
    let lines = format!("{{\"organizations\":[{}{{}}]}}", lines.collect::<String>());
    let message = error(lines).to_string();
    assert!(
        message.contains("more than 10000 organizations"),
        "{message}"
    );
    let lines = (0..=Data::MAX_CREDENTIALS).map(|n| format!("{{\"accessToken\":\"{n}\"}}\n"));
    let invalid = error(lines.collect::<String>());
    assert_eq!(invalid.line(), Some(Data::MAX_CREDENTIALS + 1));
    let message = invalid.to_string();
    assert!(message.contains("more than 1000 credentials"), "{message}");
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
    let input = vec![b'?'; Data::MAX_BYTES + 1];
    let too_large = error(&input);
    assert_eq!(too_large.line(), None);
    assert!(too_large.to_string().contains("64 MiB"), "{too_large}");
    // One byte less is read, up to the first mistake.
    assert_eq!(error(&input[1..]).line(), Some(1));
}
