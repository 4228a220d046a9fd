//! Requests that are unusual: other spellings of a path, several values, other methods.

use crate::support::{DATED, NOW, PREVIEW, bearer, fetch, get, header, json, keys_path};
use atlas_model_keys_core::ApiVersion;
use atlas_model_keys_emulator::{Config, Emulator, Route};
use http::{Method, Request, Response};
use serde_json::Value;

fn emulator() -> Emulator {
    Emulator::new(Config::default())
}

fn status(emulator: &mut Emulator, target: &str) -> u16 {
    fetch(emulator, target, DATED).status().as_u16()
}

#[test]
fn percent_encoded_letters_in_a_path_are_those_letters() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let encoded: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' => "/".to_owned(),
            byte => format!("%{byte:02x}"),
        })
        .collect();
    let response = fetch(&mut emulator, &encoded, PREVIEW);
    assert_eq!(response.status(), 200);
    // Links repeat the path as it was sent.
    let href = json(&response)["links"][0]["href"].clone();
    assert!(href.as_str().unwrap().contains(&encoded), "{href}");
    assert_eq!(emulator.requests_for(Route::ListGroupKeys), 1);
    for wrong in [
        "%2F", "%25", "%zz", "%", "%00", "%ff", "/", "//", "/%2e", ";a=b",
    ] {
        assert_eq!(
            status(&mut emulator, &(path.clone() + wrong)),
            404,
            "{wrong}"
        );
    }
}

#[test]
fn ids_with_capital_letters_are_not_found() {
    let mut emulator = emulator();
    let group = emulator.first_group().to_string().to_uppercase();
    let org = emulator.first_org().as_str().to_uppercase();
    for target in [
        format!("/api/atlas/v2/groups/{group}/aiModelApiKeys"),
        format!("/api/atlas/v2/orgs/{org}/aiModelApiKeys"),
        "/API/atlas/v2/groups".to_owned(),
    ] {
        assert_eq!(status(&mut emulator, &target), 404, "{target}");
    }
}

#[test]
fn first_of_several_values_counts_and_an_empty_value_is_invalid() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let mut count = |query: &str| {
        let page = json(&fetch(&mut emulator, &format!("{path}?{query}"), DATED));
        page["results"].as_array().map(Vec::len)
    };
    assert_eq!(count("itemsPerPage=2&itemsPerPage=3"), Some(2));
    assert_eq!(count("itemsPerPage=002&pageNum=02"), Some(2));
    assert_eq!(count("items%50erPage=%33&&x"), Some(3));
    // Names are case-sensitive, and unknown ones are ignored.
    assert_eq!(count("itemsperpage=3"), Some(42));
    for wrong in [
        "itemsPerPage",
        "pageNum=",
        "envelope=",
        "pretty",
        "itemsPerPage=0&itemsPerPage=3",
    ] {
        assert_eq!(
            status(&mut emulator, &format!("{path}?{wrong}")),
            400,
            "{wrong}"
        );
    }
}

#[test]
fn groups_are_not_counted_on_request() {
    let mut emulator = emulator();
    for (query, total) in [
        ("", Some(3)),
        ("?includeCount=true", Some(3)),
        ("?includeCount=false", None),
        ("?includeCount=FALSE&pageNum=2", None),
    ] {
        let page = json(&fetch(
            &mut emulator,
            &format!("/api/atlas/v2/groups{query}"),
            DATED,
        ));
        assert_eq!(
            page.get("totalCount").and_then(Value::as_u64),
            total,
            "{query}"
        );
    }
    assert_eq!(
        status(&mut emulator, "/api/atlas/v2/groups?includeCount=0"),
        400
    );
    // The lists of keys do not have this parameter.
    let path = keys_path(&emulator) + "?includeCount=false";
    assert_eq!(json(&fetch(&mut emulator, &path, DATED))["totalCount"], 42);
}

#[test]
fn only_get_and_head_are_allowed() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let mut ask = |method: &str| {
        let mut request = get(&path, PREVIEW, &bearer(&emulator));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        emulator.handle(&request, NOW)
    };
    let page = ask("GET");
    let head = ask("HEAD");
    assert_eq!((head.status(), head.body()), (page.status(), page.body()));
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get",
    ] {
        let response = ask(method);
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(header(&response, "allow"), Some("GET, HEAD"));
        assert_eq!(json(&response)["errorCode"], "METHOD_NOT_ALLOWED");
    }
}

#[test]
fn vary_names_the_headers_that_the_response_depends_on() {
    let mut emulator = emulator();
    emulator.withdraw(ApiVersion::PREVIEW);
    let path = keys_path(&emulator);
    let unknown = path.clone() + "/x";
    let vary = |response: &Response<Vec<u8>>| {
        assert!(response.headers().get_all("vary").iter().count() <= 1);
        let status = response.status().as_u16();
        (
            status,
            header(response, "vary").unwrap_or_default().to_owned(),
        )
    };
    for (target, accept, status, expected) in [
        (&path, DATED, 200, "Accept, Accept-Encoding"),
        (&unknown, DATED, 404, "Accept"),
        (&path, PREVIEW, 410, "Accept"),
        (&path, "*/*", 406, "Accept"),
    ] {
        let response = fetch(&mut emulator, target, accept);
        assert_eq!(vary(&response), (status, expected.to_owned()));
    }
    // A small page is not compressed.
    let group = emulator.first_group();
    emulator.keys_mut(group).unwrap().clear();
    let small = fetch(&mut emulator, &path, DATED);
    assert_eq!(vary(&small), (200, "Accept".to_owned()));
    // A challenge and an unknown path do not depend on the version.
    let challenge = emulator.handle(&get(&path, DATED, ""), NOW);
    assert_eq!(vary(&challenge), (401, String::new()));
    let unknown = Request::get("/").body("").unwrap();
    assert_eq!(vary(&emulator.handle(&unknown, NOW)), (404, String::new()));
}
