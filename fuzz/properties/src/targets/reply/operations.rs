//! The body of a 200, read as the reply to each other operation: one key, and a page of groups.

use std::collections::BTreeMap;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Credentials, Endpoint, Error, Group, GroupId, GroupsRequest,
    KeyField, KeyRequest, Limits, ListRequest, Listing, Moment, Operation, OrgKeyRequest,
    OrgListRequest, Reply, Session, Step,
};
use http::Response;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::oracles::derived::{DerivedKey, DerivedPage, KEY_FIELDS};
use crate::oracles::json::{self, Json};
use crate::oracles::{drift, shown};

/// The expected result of a 200.
#[derive(Debug)]
enum Expected<T> {
    Answer(T),
    Failed(u16),
    Neither,
}

/// A group with the fields that are used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DerivedGroup {
    id: Option<String>,
    name: Option<String>,
    org_id: Option<String>,
}

/// The documented fields of a group, in all versions.
const GROUP_FIELDS: [(&str, bool); 5] = [
    ("clusterCount", true),
    ("created", true),
    ("id", true),
    ("name", true),
    ("orgId", true),
];

/// The documented fields of a group that may be absent.
const OPTIONAL_GROUP_FIELDS: &[&str] = &[
    "links",
    "regionUsageRestrictions",
    "tags",
    "withDefaultAlertsSettings",
];

type Fields = BTreeMap<&'static str, String>;

/// Checks a body as the reply to each operation. `error` is the failed status if it is an error object.
pub(super) fn check(body: &[u8], error: Option<u16>) {
    check_key(body, error);
    check_groups(body, error);
    check_drift(body);
}

/// Compares the drift reports of all operations with a second count, if the body has the form of the operation's replies.
fn check_drift(body: &[u8]) {
    let keys = DerivedPage::<DerivedKey>::read(body).map(|(_, json)| json);
    let key = derived_key(body).and_then(|_| Json::read(body));
    let groups = DerivedPage::<DerivedGroup>::read(body).map(|(_, json)| json);
    for version in [ApiVersion::PREVIEW, ApiVersion::V2025_03_12] {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, version.accept());
        let reply = Reply::from_response(response).expect("the status is 200");
        let version = Some(version);
        for report in [ListRequest::drift(&reply), OrgListRequest::drift(&reply)] {
            drift::assert_safe(&report);
            if let Some(json) = &keys {
                drift::assert_page(&report, json, &KEY_FIELDS, &[], version);
            }
        }
        for report in [KeyRequest::drift(&reply), OrgKeyRequest::drift(&reply)] {
            drift::assert_safe(&report);
            if let Some(json) = &key {
                drift::assert_key(&report, json, &KEY_FIELDS, version);
            }
        }
        let report = GroupsRequest::drift(&reply);
        drift::assert_safe(&report);
        if let Some(json) = &groups {
            drift::assert_page(&report, json, &GROUP_FIELDS, OPTIONAL_GROUP_FIELDS, version);
        }
    }
}

fn reply(body: &[u8]) -> Reply<&[u8]> {
    Reply::from_response(Response::new(body)).expect("the status is 200")
}

fn check_key(body: &[u8], error: Option<u16>) {
    let group = GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits");
    let id = ApiKeyId::new("a86r5kwrfsk5r5ku5tgvhmpj").expect("letters and digits");
    let request = KeyRequest::new(group, id).with_envelope(true);
    let expected = expected_key(body, error);
    assert_session_agrees(&request, body, matches!(expected, Expected::Failed(_)));
    match (expected, KeyRequest::read(reply(body))) {
        (Expected::Answer(fields), Ok(key)) => {
            for field in KeyField::ALL.iter().filter(|field| !field.is_secret()) {
                let expected = fields.get(field.name()).map(String::as_str);
                assert_eq!(key.field(*field), expected);
            }
            let secret = fields.get("secret").map(String::as_str);
            assert_eq!(key.secret().map(|secret| secret.expose()), secret);
        }
        (Expected::Failed(status), Err(error)) => assert_failed(&error, status, Endpoint::ModelKey),
        (Expected::Neither, Err(Error::InvalidResponse(error))) => {
            shown::assert_safe(&error);
            assert!(error.to_string().starts_with("the response is not a key: "));
        }
        (expected, result) => panic!("expected {expected:?}, got {result:?}"),
    }
}

/// Determines the key in a body without the core.
fn expected_key(body: &[u8], error: Option<u16>) -> Expected<Fields> {
    if let Some((fields, failed)) = derived_key(body) {
        if let Some(status) = failed {
            return Expected::Failed(status);
        }
        // An error object has a `status`, too.
        if fields.keys().any(|name| *name != "status") {
            return Expected::Answer(fields);
        }
    }
    error.map_or(Expected::Neither, Expected::Failed)
}

/// Returns the fields of the key at the top or in an envelope, and the failed status in the body.
fn derived_key(body: &[u8]) -> Option<(Fields, Option<u16>)> {
    let json = Json::read(body)?;
    if !json.is_object() || json.depth() > usize::from(Limits::default().nesting) {
        return None;
    }
    let top: Map<String, Value> = serde_json::from_slice(&json::with_small_numbers(body)).ok()?;
    let mut fields = fields_of(&json, &top)?;
    let mut objects = vec![&top];
    let mut contents = json.entries().iter().filter(|(name, _)| name == "content");
    match (contents.next(), contents.next(), top.get("content")) {
        (None, ..) | (Some((_, Json::Null)), None, _) => {}
        (Some((_, content)), None, Some(Value::Object(object))) => {
            fields = fields_of(content, object)?;
            objects.push(object);
        }
        _ => return None,
    }
    let number = |name| objects.iter().find_map(|object| object.get(name)?.as_i64());
    let failed = [number("status"), number("error")]
        .into_iter()
        .flatten()
        .find(|status| (400..1000).contains(status));
    Some((fields, failed.and_then(|status| u16::try_from(status).ok())))
}

/// Returns the documented texts of an object, or `None` if a documented field occurs twice or has another type.
fn fields_of(json: &Json, object: &Map<String, Value>) -> Option<Fields> {
    let times = |name: &str| json.entries().iter().filter(|(n, _)| n == name).count();
    if times("error") > 1 {
        return None;
    }
    let mut fields = Fields::new();
    for name in KeyField::ALL.iter().map(|field| field.name()) {
        if times(name) > 1 {
            return None;
        }
        match object.get(name) {
            Some(Value::String(text)) => {
                fields.insert(name, text.clone());
            }
            None | Some(Value::Null) => {}
            // An envelope has another `status`.
            Some(_) if name == "status" => {}
            Some(_) => return None,
        }
    }
    Some(fields)
}

fn check_groups(body: &[u8], error: Option<u16>) {
    let expected = expected_groups(body, error);
    let request = GroupsRequest::new();
    let enveloped = request.with_envelope(true);
    assert_session_agrees(&enveloped, body, matches!(expected, Expected::Failed(_)));
    match (expected, GroupsRequest::read(reply(body))) {
        (Expected::Answer(page), Ok(groups)) => {
            let expected = page.results.iter().flatten();
            let expected =
                expected.map(|g| (g.id.as_deref(), g.name.as_deref(), g.org_id.as_deref()));
            let (count, total) = (page.results.iter().flatten().count(), page.total());
            let start = format!("Groups {{ groups: {count}, total_count: {total:?}, version: ");
            assert!(format!("{groups:?}").starts_with(&start), "{groups:?}");
            let fields = |group: &Group| {
                let text = |text: Option<&str>| text.map(str::to_owned);
                (text(group.id()), text(group.name()), text(group.org_id()))
            };
            let found: Vec<_> = groups.into_iter().map(|group| fields(&group)).collect();
            let found = found
                .iter()
                .map(|(id, name, org)| (id.as_deref(), name.as_deref(), org.as_deref()));
            assert!(found.eq(expected));
            assert_paging_agrees(body, &page);
        }
        (Expected::Failed(status), Err(error)) => assert_failed(&error, status, Endpoint::Groups),
        (Expected::Neither, Err(Error::InvalidResponse(error))) => {
            shown::assert_safe(&error);
            let line = error.to_string();
            assert!(
                line.starts_with("the response is not a page of groups: "),
                "{line}"
            );
        }
        (expected, result) => panic!(
            "expected {}, got {result:?}",
            match expected {
                Expected::Answer(_) => "groups".to_owned(),
                Expected::Failed(status) => status.to_string(),
                Expected::Neither => "neither".to_owned(),
            }
        ),
    }
}

/// Determines the groups in a body without the core.
fn expected_groups(body: &[u8], error: Option<u16>) -> Expected<DerivedPage<DerivedGroup>> {
    if let Some((page, _)) = DerivedPage::read(body) {
        if let Some(status) = page.failed_status() {
            return Expected::Failed(status);
        }
        if page.results.is_some() {
            return Expected::Answer(page);
        }
    }
    error.map_or(Expected::Neither, Expected::Failed)
}

/// Asserts that the facts about paging are those of the derived struct, and that a listing requests the same page after the
/// decoded and after the undecoded body.
fn assert_paging_agrees(body: &[u8], page: &DerivedPage<DerivedGroup>) {
    let groups = GroupsRequest::read(reply(body)).expect("it was read before");
    assert_eq!(groups.len(), page.results.iter().flatten().count());
    assert_eq!(groups.has_next(), page.has_next());
    assert_eq!(groups.total_count(), page.total());
    assert_eq!(groups.envelope_status(), page.envelope_status());
    assert_eq!(groups.version(), reply(body).version());
    let mut decoded = Listing::new(GroupsRequest::new(), &Limits::default());
    let mut undecoded = decoded.clone();
    decoded.advance(&groups);
    undecoded.advance_undecoded(&reply(body));
    let next = |listing: &Listing<GroupsRequest>| listing.request().ok().flatten();
    assert_eq!(next(&decoded), next(&undecoded));
    // The page repeats: all of its groups were on the page before, and are omitted if they have an id.
    let expected = groups
        .as_slice()
        .iter()
        .filter(|group| group.id().is_none());
    assert_eq!(decoded.clone().accept(&groups).count(), expected.count());
}

/// Asserts that a session takes an enveloped body for an error exactly if it holds one.
fn assert_session_agrees<O: Operation>(request: &O, body: &[u8], is_error: bool) {
    let at = Moment::new(Duration::ZERO, [0; 16]);
    let token = Credentials::bearer("t").expect("a valid token");
    let mut session = Session::new(BaseUrl::default(), token);
    let Ok(Step::Send(exchange)) = session.start::<&[u8]>(request, at) else {
        panic!("a session with a bearer token sends at once");
    };
    let step = session.respond(exchange.pending, Response::new(body), at);
    assert_eq!(matches!(step, Ok(Step::Done(_))), !is_error, "{step:?}");
}

fn assert_failed(error: &Error, status: u16, endpoint: Endpoint) {
    shown::assert_one_line(error);
    let Error::Api(api_error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (api_error.status.as_u16(), api_error.endpoint),
        (status, endpoint)
    );
}
