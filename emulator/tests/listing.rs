//! Listings as a client sees them: pages, versions, errors and rate limits.

use std::collections::HashSet;
use std::io::Read as _;

use crate::support::{
    self, DATED, NOW, PREVIEW, after, bearer, digest, fetch, get, header, json, keys_path, nonce_of,
};
use atlas_model_keys_core::{ApiVersion, UnixTime};
use atlas_model_keys_emulator::{
    Config, CredentialKind, Emulator, Key, Names, Role, Route, TokenBucket, TotalCount,
    error_response,
};
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value};
use std::time::Duration;

fn emulator(keys_per_group: usize) -> Emulator {
    Emulator::new(Config::default().with_keys_per_group(keys_per_group))
}

fn link(page: &Value, rel: &str) -> Option<String> {
    page["links"]
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["rel"] == rel)
        .map(|link| link["href"].as_str().unwrap().to_owned())
}

/// Follows the `next` links, and returns the ids of all keys in their order.
fn all_ids(emulator: &mut Emulator, first: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut target = first.to_owned();
    for _ in 0..1000 {
        let response = fetch(emulator, &target, PREVIEW);
        assert_eq!(response.status(), 200);
        let page = json(&response);
        for key in page["results"].as_array().unwrap() {
            ids.push(key["apiKeyId"].as_str().unwrap().to_owned());
        }
        match link(&page, "next") {
            Some(next) => target = next,
            None => return ids,
        }
    }
    panic!("the listing does not end");
}

#[test]
fn next_links_lead_to_every_key_exactly_once() {
    for (keys, items) in [
        (1234, 100),
        (1234, 500),
        (1234, 7),
        (100, 100),
        (101, 100),
        (0, 1),
    ] {
        let mut emulator = emulator(keys);
        let first = format!("{}?itemsPerPage={items}", keys_path(&emulator));
        let ids = all_ids(&mut emulator, &first);
        let expected: Vec<_> = emulator
            .keys(emulator.first_group())
            .iter()
            .map(|key| key.api_key_id.clone().unwrap())
            .collect();
        assert_eq!(ids, expected);
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), keys);
        let pages = keys.div_ceil(items).max(1) as u64;
        assert_eq!(emulator.requests_for(Route::ListGroupKeys), pages);
    }
}

#[test]
fn links_have_the_requested_host_and_atlas_parameter_order() {
    let mut emulator = emulator(5);
    let path = keys_path(&emulator);
    let target = format!("https://cloud.mongodb.com{path}?pageNum=2&itemsPerPage=2");
    let page = json(&fetch(&mut emulator, &target, PREVIEW));
    let base = format!("https://cloud.mongodb.com{path}");
    assert_eq!(
        link(&page, "self"),
        Some(format!("{base}?pageNum=2&itemsPerPage=2"))
    );
    assert_eq!(
        link(&page, "next"),
        Some(format!("{base}?itemsPerPage=2&pageNum=3"))
    );
    assert_eq!(
        link(&page, "previous"),
        Some(format!("{base}?itemsPerPage=2&pageNum=1"))
    );

    let request = Request::get(&path)
        .header("Host", "localhost:8080")
        .header("Accept", PREVIEW)
        .header("Authorization", bearer(&emulator))
        .body("")
        .unwrap();
    let page = json(&emulator.handle(&request, NOW));
    let expected = format!("http://localhost:8080{path}?pageNum=1&itemsPerPage=100");
    assert_eq!(
        link(&page, "self"),
        Some(expected),
        "defaults are filled in"
    );
}

/// Replaces each value by its type.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().take(1).map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn page_has_the_fields_of_the_published_example() {
    let mut emulator = Emulator::new(Config::default().with_include_secrets(true));
    let target = keys_path(&emulator);
    let page = json(&fetch(&mut emulator, &target, PREVIEW));
    assert_eq!(shape(&page), shape(&fixture("200-list.json")));
}

#[test]
fn fields_are_in_alphabetical_order() {
    // Checked in the text, because serde_json's map sorts the fields.
    let mut emulator = emulator(1);
    let target = keys_path(&emulator);
    for (accept, expected) in [
        (
            PREVIEW,
            "links href rel results apiKeyId createdAt createdBy groupId lastUsedAt \
             maskedSecret name status totalCount",
        ),
        (
            DATED,
            "links href rel results apiKeyId cloud createdAt createdBy endpoint geography \
             groupId lastUsedAt maskedSecret name secret status totalCount",
        ),
    ] {
        let response = fetch(&mut emulator, &target, accept);
        let body = String::from_utf8(response.into_body()).unwrap();
        let names: Vec<_> = body
            .split('"')
            .zip(body.split('"').skip(1))
            .filter(|(_, after)| after.starts_with(':'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names.join(" "), expected);
    }
}

#[test]
fn missing_values_are_absent_and_in_the_dated_version_two_fields_are_null() {
    let mut emulator = emulator(1);
    let group = emulator.first_group();
    *emulator.keys_mut(group).unwrap() = vec![
        Key::default()
            .with_cloud("ANY")
            .with_endpoint("ai.mongodb.com")
            .with_geography("ANY")
            .with_secret("al-secret"),
    ];
    let target = keys_path(&emulator);
    let preview = fetch(&mut emulator, &target, PREVIEW);
    assert_eq!(json(&preview)["results"][0], serde_json::json!({}));
    assert_eq!(
        header(&preview, "content-type"),
        Some("application/vnd.atlas.preview+json;charset=utf-8")
    );
    let dated = fetch(&mut emulator, &target, DATED);
    assert_eq!(
        json(&dated)["results"][0],
        serde_json::json!({
            "cloud": "ANY", "endpoint": "ai.mongodb.com", "geography": "ANY",
            "lastUsedAt": null, "secret": null
        })
    );
    assert_eq!(
        header(&dated, "content-type"),
        Some("application/vnd.atlas.2025-03-12+json;charset=utf-8")
    );
}

#[test]
fn total_count_is_exact_zero_or_absent_as_configured() {
    for (total_count, expected) in [
        (TotalCount::Exact, Some(Value::from(42))),
        (TotalCount::Zero, Some(Value::from(0))),
        (TotalCount::Absent, None),
    ] {
        let mut emulator = Emulator::new(Config::default().with_total_count(total_count));
        let target = keys_path(&emulator);
        let page = json(&fetch(&mut emulator, &target, PREVIEW));
        assert_eq!(page.get("totalCount").cloned(), expected);
    }
}

#[test]
fn envelope_adds_the_status_and_pretty_adds_line_breaks() {
    let mut emulator = emulator(1);
    let path = keys_path(&emulator);
    let page = fetch(&mut emulator, &format!("{path}?envelope=true"), PREVIEW);
    assert_eq!(json(&page)["status"], 200);
    let text = String::from_utf8(page.into_body()).unwrap();
    assert!(text.ends_with(r#""status":200,"totalCount":1}"#), "{text}");
    let page = fetch(&mut emulator, &format!("{path}?pretty=true"), PREVIEW);
    assert!(page.body().starts_with(b"{\n  \"links\": [\n"));

    let unknown = "/api/atlas/v2/groups/000000000000000000000000/aiModelApiKeys?envelope=true";
    let error = fetch(&mut emulator, unknown, PREVIEW);
    assert_eq!(error.status(), 404);
    assert_eq!(json(&error)["status"], 404);
    assert_eq!(json(&error)["errorCode"], "GROUP_NOT_FOUND");
}

/// Checks that a response has the headers, fields and types of Atlas's published error examples, and
/// the fields that real responses add.
fn assert_is_atlas_error(response: &Response<Vec<u8>>, status: u16, code: Option<&str>) {
    let body = json(response);
    assert_eq!(response.status(), status);
    assert_eq!(header(response, "content-type"), Some("application/json"));
    assert_eq!(header(response, "x-error-code"), code);
    // There are published examples for 401, 403, 404 and 500.
    let example = [401, 403, 500]
        .into_iter()
        .find(|example| *example == status);
    let mut expected = shape(&fixture(&format!("{}.json", example.unwrap_or(404))));
    let fields = expected.as_object_mut().unwrap();
    if code.is_none() {
        fields.remove("errorCode");
    }
    let mut actual = shape(&body);
    let extras = ["parameters", "badRequestDetail"].map(|name| {
        let fields = actual.as_object_mut().unwrap();
        fields.remove(name)
    });
    assert_eq!(actual, expected);
    assert_eq!(extras[0].is_some(), code.is_some());
    assert_eq!(extras[1].is_some(), status == 400);
    assert_eq!(body["error"], status);
    assert_eq!(body.get("errorCode").and_then(Value::as_str), code);
}

#[test]
fn every_invalid_request_gets_its_error() {
    let mut emulator = emulator(42);
    let path = keys_path(&emulator);
    let keys_of = |id: &str| format!("/api/atlas/v2/groups/{id}/aiModelApiKeys");
    let forbidden = keys_of(emulator.forbidden_group().unwrap().as_str());
    for (target, accept, status, code) in [
        (
            path.clone() + "?itemsPerPage=501",
            PREVIEW,
            400,
            "VALIDATION_ERROR",
        ),
        (
            path.clone() + "?pageNum=0",
            PREVIEW,
            400,
            "VALIDATION_ERROR",
        ),
        (path.clone() + "?pretty=1", PREVIEW, 400, "VALIDATION_ERROR"),
        (forbidden, PREVIEW, 401, "USER_UNAUTHORIZED"),
        (
            keys_of("000000000000000000000000"),
            PREVIEW,
            404,
            "GROUP_NOT_FOUND",
        ),
        (keys_of("X"), PREVIEW, 404, "RESOURCE_NOT_FOUND"),
        (
            "/api/atlas/v2/orgs/0/aiModelApiKeys".into(),
            PREVIEW,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (
            "/api/atlas/v2/clusters".into(),
            PREVIEW,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (path.clone(), "*/*", 406, "INVALID_VERSION_DATE"),
        (
            path.clone(),
            "application/json",
            406,
            "INVALID_VERSION_DATE",
        ),
        (
            "/api/atlas/v2/groups".into(),
            PREVIEW,
            406,
            "INVALID_VERSION_DATE",
        ),
    ] {
        let response = fetch(&mut emulator, &target, accept);
        assert_is_atlas_error(&response, status, Some(code));
    }
    let unauthenticated = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    assert_is_atlas_error(&unauthenticated, 401, None);
    let unknown_token = emulator.handle(&get(&path, PREVIEW, "Bearer x"), NOW);
    assert_is_atlas_error(&unknown_token, 401, None);
    let wrong_method = Request::delete(&path).body("").unwrap();
    let wrong_method = emulator.handle(&wrong_method, NOW);
    assert_is_atlas_error(&wrong_method, 405, Some("METHOD_NOT_ALLOWED"));
    emulator.withdraw(ApiVersion::PREVIEW);
    let gone = fetch(&mut emulator, &path, PREVIEW);
    assert_is_atlas_error(&gone, 410, Some("VERSION_GONE"));
    assert_eq!(fetch(&mut emulator, &path, DATED).status(), 200);
    for (status, code) in [
        (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST"),
        (500, "UNEXPECTED_ERROR"),
    ] {
        let response = error_response(StatusCode::from_u16(status).unwrap());
        assert_is_atlas_error(&response, status, Some(code));
    }
    // A validation error names the field, as in Atlas.
    let bad = json(&fetch(&mut emulator, &(path + "?itemsPerPage=x"), DATED));
    assert_eq!(
        bad["badRequestDetail"]["fields"][0]["field"],
        "itemsPerPage"
    );
}

#[test]
fn role_applies_to_one_group_and_one_credential() {
    let mut emulator = emulator(1);
    let group = emulator.first_group();
    let path = keys_path(&emulator);
    emulator.remove_role(CredentialKind::AccessToken, Role::GroupReadOnly(group));
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 401);
    let challenged = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    let nonce = nonce_of(header(&challenged, "www-authenticate").unwrap());
    let key = emulator.api_key();
    let signed = digest(&key.public_key, &key.private_key, nonce, 1, &path);
    assert_eq!(
        emulator.handle(&get(&path, PREVIEW, &signed), NOW).status(),
        200
    );
    emulator.grant_role(CredentialKind::AccessToken, Role::GroupReadOnly(group));
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
}

#[test]
fn groups_and_organization_keys_are_paged_like_group_keys() {
    let mut emulator = Emulator::new(Config::default().with_groups(5));
    let accept = "application/vnd.atlas.2023-01-01+json";
    let page = fetch(&mut emulator, "/api/atlas/v2/groups?itemsPerPage=3", accept);
    assert_eq!(
        header(&page, "content-type"),
        Some("application/vnd.atlas.2023-01-01+json;charset=utf-8")
    );
    let page = json(&page);
    let next = link(&page, "next").unwrap();
    let next = json(&fetch(&mut emulator, &next, DATED));
    let ids: Vec<_> = [&page, &next]
        .iter()
        .flat_map(|page| page["results"].as_array().unwrap())
        .map(|group| group["id"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<_> = emulator.groups().map(|id| id.to_string()).collect();
    assert_eq!(ids, expected);
    assert_eq!(page["results"][0]["orgId"], emulator.first_org().as_str());

    let target = format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org());
    let ids = all_ids(&mut emulator, &target);
    let groups: Vec<_> = emulator.groups().collect();
    let total: usize = groups.iter().map(|group| emulator.keys(*group).len()).sum();
    assert_eq!(ids.len(), total);
}

#[test]
fn each_group_has_its_own_token_bucket() {
    let mut emulator = Emulator::new(Config::default().with_rate_limit(TokenBucket::new(
        2,
        1,
        Duration::from_secs(30),
    )));
    let first = keys_path(&emulator);
    let second = emulator.groups().nth(1).unwrap();
    let second = format!("/api/atlas/v2/groups/{second}/aiModelApiKeys");
    let authorization = bearer(&emulator);
    let mut ask = |target: &str, at| {
        let response = emulator.handle(&get(target, PREVIEW, &authorization), at);
        let number = |name| header(&response, name).map(|v| v.parse::<u64>().unwrap());
        (
            response.status().as_u16(),
            number("ratelimit-limit"),
            number("ratelimit-remaining"),
            number("retry-after"),
        )
    };
    assert_eq!(ask(&first, NOW), (200, Some(2), Some(1), None));
    assert_eq!(ask(&first, NOW), (200, Some(2), Some(0), None));
    assert_eq!(ask(&first, NOW), (429, Some(2), Some(0), Some(30)));
    assert_eq!(ask(&second, NOW), (200, Some(2), Some(1), None));
    assert_eq!(ask(&first, after(29)), (429, Some(2), Some(0), Some(1)));
    assert_eq!(ask(&first, after(30)), (200, Some(2), Some(0), None));
    let limited = emulator.handle(&get(&first, PREVIEW, &authorization), after(30));
    assert_is_atlas_error(&limited, 429, Some("RATE_LIMITED"));
    emulator.set_rate_limit(None);
    let unlimited = emulator.handle(&get(&first, PREVIEW, &authorization), after(30));
    assert_eq!(header(&unlimited, "ratelimit-limit"), None);
}

#[test]
fn groups_share_a_token_bucket_if_configured() {
    let mut emulator = Emulator::new(
        Config::default()
            .with_rate_limit(TokenBucket::new(2, 1, Duration::from_secs(30)))
            .with_shared_rate_limit(true),
    );
    let second = emulator.groups().nth(1).unwrap();
    let second = format!("/api/atlas/v2/groups/{second}/aiModelApiKeys");
    let first = keys_path(&emulator);
    let org = format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org());
    let first_key = first_key_path(&emulator, &first);
    let statuses = |emulator: &mut Emulator, targets: [&str; 4]| {
        targets.map(|target| fetch(emulator, target, DATED).status().as_u16())
    };
    assert_eq!(
        statuses(&mut emulator, [&first_key, &second, &first, &org]),
        [200, 200, 429, 200]
    );
    emulator.set_rate_limit(Some(TokenBucket::new(1, 500, Duration::from_secs(60))));
    assert_eq!(
        statuses(&mut emulator, [&second, &first, &first_key, &org]),
        [200, 429, 429, 200]
    );
}

#[test]
fn list_of_groups_has_its_own_token_bucket() {
    for shared_rate_limit in [false, true] {
        let mut emulator = Emulator::new(
            Config::default()
                .with_rate_limit(TokenBucket::new(2, 1, Duration::from_secs(30)))
                .with_shared_rate_limit(shared_rate_limit),
        );
        let groups = get("/api/atlas/v2/groups", DATED, &bearer(&emulator));
        let mut ask = |at| {
            let response = emulator.handle(&groups, at);
            let number = |name| header(&response, name).map(|v| v.parse::<u64>().unwrap());
            (
                response.status().as_u16(),
                number("ratelimit-limit"),
                number("ratelimit-remaining"),
                number("retry-after"),
            )
        };
        assert_eq!(ask(NOW), (200, Some(2), Some(1), None));
        assert_eq!(ask(NOW), (200, Some(2), Some(0), None));
        assert_eq!(ask(NOW), (429, Some(2), Some(0), Some(30)));
        assert_eq!(ask(after(30)), (200, Some(2), Some(0), None));
        let limited = emulator.handle(&groups, after(30));
        assert_is_atlas_error(&limited, 429, Some("RATE_LIMITED"));
        let keys = keys_path(&emulator);
        assert_eq!(fetch(&mut emulator, &keys, PREVIEW).status(), 200);
        emulator.set_rate_limit(Some(TokenBucket::default()));
        assert_eq!(emulator.handle(&groups, after(30)).status(), 200);
        emulator.set_rate_limit(None);
        let unlimited = emulator.handle(&groups, after(30));
        assert_eq!(header(&unlimited, "ratelimit-limit"), None);
    }
}

#[test]
fn dates_are_relative_to_the_configured_present() {
    let days = |text: &Option<String>, present: Duration| {
        let text = text.as_deref()?;
        let time = text.parse::<UnixTime>().unwrap().to_duration().unwrap();
        let age = present.checked_sub(time).expect("the future");
        Some(age.as_secs() / 86_400)
    };
    let ages = |present: Duration, names| {
        let emulator = Emulator::new(Config::default().with_present(present).with_names(names));
        let keys = emulator.groups().flat_map(|group| emulator.keys(group));
        keys.map(|key| {
            (
                days(&key.created_at, present),
                days(&key.last_used_at, present),
            )
        })
        .collect::<Vec<_>>()
    };
    for names in [Names::Plausible, Names::Hostile] {
        let now = ages(NOW, names);
        assert!(
            now.iter()
                .all(|(created, _)| created.is_some_and(|days| days < 600))
        );
        assert!(
            now.iter()
                .any(|(_, used)| used.is_some_and(|days| days == 0))
        );
        // Only microseconds may differ.
        let later = Duration::from_secs(4_000_000_000);
        assert_eq!(now, ages(later, names));
    }
}

#[test]
fn default_names_are_plausible() {
    let mut emulator = emulator(1000);
    for group in emulator.groups() {
        let keys = emulator.keys(group);
        let names: HashSet<_> = keys
            .iter()
            .map(|key| key.name.as_deref().unwrap())
            .collect();
        assert_eq!(names.len(), keys.len());
        for name in names {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || " '-".contains(c);
            assert!(name.len() < 40 && name.chars().all(is_plain), "{name:?}");
        }
        let unused = keys.iter().filter(|key| key.last_used_at.is_none()).count();
        assert!(
            (keys.len() / 10..=keys.len() / 2).contains(&unused),
            "{unused}"
        );
    }
    let groups = json(&fetch(&mut emulator, "/api/atlas/v2/groups", DATED));
    let names: Vec<_> = (0..3)
        .map(|n| groups["results"][n]["name"].clone())
        .collect();
    assert_eq!(names, ["Production", "Staging", "Data-Science"]);
}

/// Returns the path of the first key of the first group, below the path of a list.
fn first_key_path(emulator: &Emulator, list: &str) -> String {
    let key = &emulator.keys(emulator.first_group())[0];
    format!("{list}/{}", key.api_key_id.as_deref().unwrap())
}

#[test]
fn one_key_is_the_entry_of_its_list() {
    let mut emulator = emulator(42);
    let of_group = keys_path(&emulator);
    let of_org = format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org());
    for list in [&of_group, &of_org] {
        for accept in [PREVIEW, DATED] {
            let entry = json(&fetch(&mut emulator, list, accept))["results"][0].clone();
            let path = first_key_path(&emulator, list);
            let response = fetch(&mut emulator, &path, accept);
            assert_eq!(
                header(&response, "content-type"),
                Some(format!("{accept};charset=utf-8").as_str())
            );
            assert!(header(&response, "ratelimit-remaining").is_some());
            assert_eq!(json(&response), entry);
            let target = format!("{path}?pretty=true");
            let pretty = fetch(&mut emulator, &target, accept);
            assert!(pretty.body().starts_with(b"{\n  \"apiKeyId\": "));
            let target = format!("{path}?envelope=true");
            let enveloped = fetch(&mut emulator, &target, accept);
            assert_eq!(
                json(&enveloped),
                serde_json::json!({"content": entry, "status": 200})
            );
        }
    }
    assert_eq!(emulator.requests_for(Route::GetGroupKey), 6);
    assert_eq!(emulator.requests_for(Route::GetOrgKey), 6);
    assert_eq!(emulator.requests_for(Route::ListGroupKeys), 2);
}

#[test]
fn invalid_request_for_one_key_gets_its_error() {
    let mut emulator = emulator(42);
    let path = first_key_path(&emulator, &keys_path(&emulator));
    let (_, id) = path.rsplit_once('/').unwrap();
    let forbidden = emulator.forbidden_group().unwrap();
    let org = emulator.first_org().to_string();
    let group =
        |group: &str, key: &str| format!("/api/atlas/v2/groups/{group}/aiModelApiKeys/{key}");
    let second = emulator.groups().nth(1).unwrap();
    for (target, accept, status, code) in [
        (
            group(forbidden.as_str(), id),
            PREVIEW,
            401,
            "USER_UNAUTHORIZED",
        ),
        // The key exists, but in another group.
        (
            group(second.as_str(), id),
            PREVIEW,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (
            keys_path(&emulator) + "/x",
            PREVIEW,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (group(&"0".repeat(24), id), PREVIEW, 404, "GROUP_NOT_FOUND"),
        (
            format!("/api/atlas/v2/orgs/{org}/aiModelApiKeys/x"),
            DATED,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (
            format!("/api/atlas/v2/orgs/0/aiModelApiKeys/{id}"),
            DATED,
            404,
            "RESOURCE_NOT_FOUND",
        ),
        (
            path.clone() + "?envelope=1",
            PREVIEW,
            400,
            "VALIDATION_ERROR",
        ),
        (path.clone(), "*/*", 406, "INVALID_VERSION_DATE"),
    ] {
        let response = fetch(&mut emulator, &target, accept);
        assert_is_atlas_error(&response, status, Some(code));
    }
    let unknown = keys_path(&emulator) + "/x?envelope=true";
    let enveloped = fetch(&mut emulator, &unknown, PREVIEW);
    assert_eq!(
        (enveloped.status().as_u16(), &json(&enveloped)["status"]),
        (404, &404.into())
    );
    let unauthenticated = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    assert_is_atlas_error(&unauthenticated, 401, None);
    emulator.withdraw(ApiVersion::PREVIEW);
    let gone = fetch(&mut emulator, &path, PREVIEW);
    assert_is_atlas_error(&gone, 410, Some("VERSION_GONE"));
    assert_eq!(fetch(&mut emulator, &path, DATED).status(), 200);
}

#[test]
fn scripted_responses_are_sent_in_order_and_unchanged() {
    let mut emulator = emulator(1);
    let path = keys_path(&emulator);
    let html = Response::builder()
        .status(502)
        .body(b"<html>".to_vec())
        .unwrap();
    emulator.respond_next(Route::ListGroupKeys, html);
    let late = error_response(StatusCode::INTERNAL_SERVER_ERROR);
    emulator.respond_next_authenticated(Route::ListGroupKeys, late);
    // The script does not apply to another route.
    assert_eq!(
        fetch(&mut emulator, "/api/atlas/v2/groups", DATED).status(),
        200
    );
    let response = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    assert_eq!(
        (response.status().as_u16(), response.body().as_slice()),
        (502, &b"<html>"[..])
    );
    assert!(response.headers().is_empty());
    assert_eq!(emulator.handle(&get(&path, PREVIEW, ""), NOW).status(), 401);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 500);
    assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
}

#[test]
fn gzip_contains_the_same_page() {
    let mut emulator = emulator(42);
    let mut request = get(&keys_path(&emulator), PREVIEW, &bearer(&emulator));
    let plain = emulator.handle(&request, NOW);
    assert_eq!(header(&plain, "content-encoding"), None);
    request
        .headers_mut()
        .insert("accept-encoding", "gzip".parse().unwrap());
    let compressed = emulator.handle(&request, NOW);
    assert_eq!(header(&compressed, "content-encoding"), Some("gzip"));
    assert_eq!(header(&compressed, "vary"), Some("Accept, Accept-Encoding"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(compressed.body().as_slice())
        .read_to_end(&mut body)
        .unwrap();
    assert_eq!(&body, plain.body());
}

#[test]
fn equal_seeds_give_equal_responses() {
    let transcript = |seed| {
        let mut emulator = Emulator::new(Config::default().with_seed(seed));
        let path = keys_path(&emulator);
        let token = support::token_request(&emulator, "grant_type=client_credentials");
        let responses = [
            emulator.handle(&get(&path, PREVIEW, ""), NOW),
            emulator.handle(&token, NOW),
            fetch(&mut emulator, &path, DATED),
            fetch(&mut emulator, "/api/atlas/v2/groups", DATED),
        ];
        let key = emulator.api_key();
        format!("{responses:?} {key:?} {}", key.private_key)
    };
    assert_eq!(transcript(5), transcript(5));
    assert_ne!(transcript(5), transcript(6));
}
