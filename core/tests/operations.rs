//! The operations beside the lists of keys: one key, and the list of groups.

use std::time::Duration;

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Credentials, Endpoint, Error, Group, GroupId, Groups,
    GroupsRequest, InvalidResponseKind, ItemsPerPage, KeyRequest, Limits, ListPage, Listing,
    Moment, Operation, OrgId, OrgKeyRequest, OwnedModelKey, PageNum, Reply, Session, Step,
};
use http::{Response, Uri};
use proptest::prelude::*;

const KEY: &str = "a86r5kwrfsk5r5ku5tgvhmpj";

fn group() -> GroupId {
    GroupId::new("0123456789abcdef01234567").unwrap()
}

fn key_request() -> KeyRequest {
    KeyRequest::new(group(), ApiKeyId::new(KEY).unwrap())
}

fn reply(body: &str) -> Reply<Vec<u8>> {
    Reply::from_response(Response::new(body.as_bytes().to_vec())).unwrap()
}

fn read_key(body: &str) -> Result<OwnedModelKey, Error> {
    KeyRequest::read(reply(body))
}

fn read_groups(body: &str) -> Result<Groups, Error> {
    GroupsRequest::read(reply(body))
}

/// Passes a response to a session, and reads the reply.
fn through_session<O: Operation>(operation: &O, body: &str) -> Result<O::Answer<Vec<u8>>, Error> {
    let at = Moment::new(Duration::ZERO, [7; 16]);
    let credentials = Credentials::bearer("token").unwrap();
    let mut session = Session::new(BaseUrl::default(), credentials);
    let Step::<Vec<u8>>::Send(exchange) = session.start(operation, at)? else {
        panic!("there is nothing to wait for")
    };
    let response = Response::new(body.as_bytes().to_vec());
    match session.respond(exchange.pending, response, at)? {
        Step::Done(reply) => O::read(reply),
        other => panic!("{other:?}"),
    }
}

fn uri(operation: &impl Operation) -> Uri {
    let base = BaseUrl::new("https://gw.example:8443/atlas/").unwrap();
    operation
        .to_http(&base, &ApiVersion::V2025_03_12)
        .uri()
        .clone()
}

#[test]
fn requests_have_the_documented_paths_and_only_the_parameters_that_are_set() {
    let root = "https://gw.example:8443/atlas/api/atlas/v2";
    let keys = format!("{root}/groups/{}/aiModelApiKeys/{KEY}", group());
    assert_eq!(uri(&key_request()), keys.as_str());
    let all = key_request().with_envelope(true).with_pretty(false);
    assert_eq!(
        uri(&all),
        format!("{keys}?envelope=true&pretty=false").as_str()
    );
    assert!(all.is_enveloped() && !all.is_pretty());
    assert_eq!((all.group(), all.key().as_str()), (group(), KEY));

    let org = OrgId::new("65f0a1b2c3d4e5f60718293a").unwrap();
    let request = OrgKeyRequest::new(org, ApiKeyId::new(KEY).unwrap()).with_pretty(true);
    assert_eq!(
        uri(&request),
        format!("{root}/orgs/{org}/aiModelApiKeys/{KEY}?pretty=true").as_str()
    );
    assert_eq!((request.org(), request.key().as_str()), (org, KEY));

    assert_eq!(
        uri(&GroupsRequest::new()),
        format!("{root}/groups").as_str()
    );
    let request = GroupsRequest::new()
        .with_items_per_page(ItemsPerPage::MAX)
        .with_page_num(PageNum::new(2).unwrap())
        .with_envelope(true);
    let third = request.next_page().unwrap();
    assert_eq!(
        uri(&third),
        format!("{root}/groups?itemsPerPage=500&pageNum=3&envelope=true").as_str()
    );
}

#[test]
fn key_has_the_fields_of_the_body_at_the_top_or_in_an_envelope() {
    let fields = r#""apiKeyId":"k","createdAt":"2026-01-15T16:47:49.855000+00:00","lastUsedAt":null,"name":"a\"b","region":{"x":[1e400]},"secret":"al-hunter2","status":"ACTIVE""#;
    let enveloped = [
        format!(r#"{{"content":{{{fields}}},"status":200}}"#),
        format!(r#"{{"status":200,"content":{{{fields}}}}}"#),
    ];
    let top = [
        format!("{{{fields}}}"),
        format!("\n {{{fields},\"error\":null,\"content\":null}} "),
    ];
    for body in top.iter().chain(&enveloped) {
        let key = read_key(body).unwrap();
        assert_eq!(key.api_key_id(), Some("k"), "{body}");
        assert_eq!(key.name(), Some("a\"b"));
        assert_eq!(key.status(), Some("ACTIVE"));
        assert!(key.last_used_at().is_none() && key.created_at().is_some());
        assert_eq!(key.secret().unwrap().expose(), "al-hunter2");
        assert!(!format!("{key:?}").contains("hunter2"));
        assert_eq!(through_session(&key_request(), body).unwrap(), key);
        let request = key_request().with_envelope(true);
        assert_eq!(through_session(&request, body).unwrap(), key);
    }
}

#[test]
fn error_object_in_a_200_is_an_error_and_not_a_key() {
    for (body, status) in [
        (r#"{"error":404,"errorCode":"C","detail":"d"}"#, 404),
        (r#"{"status":404,"content":{"errorCode":"C"}}"#, 404),
        (r#"{"status":404,"errorCode":"C","name":"a"}"#, 404),
        (
            r#"{"status":200,"content":{"error":404,"errorCode":"C"}}"#,
            404,
        ),
        (r#"{"status":"404","errorCode":"C"}"#, 404),
        (r#"{"errorCode":"C"}"#, 500),
        (
            r#"{"status":403,"content":{"name":"a"},"errorCode":"C"}"#,
            403,
        ),
    ] {
        let error = read_key(body).unwrap_err();
        let Error::Api(api_error) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(api_error.status, status, "{body}");
        assert_eq!(api_error.endpoint, Endpoint::ModelKey);
        let request = key_request().with_envelope(true);
        let limits = Limits::default();
        assert!(limits.retry.attempts > 1);
        if status != 500 {
            let error = through_session(&request, body).unwrap_err();
            assert_eq!(error.status().unwrap(), status, "{body}");
        }
    }
}

#[test]
fn body_that_is_no_key_is_an_error_that_names_endpoint_and_place() {
    let nested = format!("{{\"name\":\"a\",\"x\":{}}}", "[".repeat(40));
    for (body, kind, shown) in [
        (
            "{}",
            InvalidResponseKind::Shape,
            "the response is not a key: there is no field of a key",
        ),
        // An envelope and an error object have a status, too.
        (
            r#"{"status":"ACTIVE"}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: there is no field of a key",
        ),
        (
            r#"{"status":200,"content":{}}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: there is no field of a key",
        ),
        (
            r#"{"results":[{"name":"a"}]}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: there is no field of a key",
        ),
        (
            r#"{"name":7}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: a value is not of the documented type, at name (line 1, column 9)",
        ),
        (
            r#"{"status":200,"content":{"name":[]}}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: a value is not of the documented type, at content.name (line 1, column 34)",
        ),
        (
            r#"{"content":[]}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: a value is not of the documented type, at content (line 1, column 13)",
        ),
        (
            r#"{"name":"a","n\u0061me":"b"}"#,
            InvalidResponseKind::Shape,
            "the response is not a key: a documented field occurs twice, at name (line 1, column 23)",
        ),
        (
            nested.as_str(),
            InvalidResponseKind::Shape,
            "the response is not a key: it is nested deeper than the limit (line 1, column 48)",
        ),
        (
            r#"{"name":"a""#,
            InvalidResponseKind::Json,
            "the response is not a key: it ends too early (line 1, column 11)",
        ),
        (
            r#"{"name":"a"}}"#,
            InvalidResponseKind::Json,
            "the response is not a key: it is not valid JSON (line 1, column 13)",
        ),
        (
            "[]",
            InvalidResponseKind::Shape,
            "the response is not a key: a value is not of the documented type (line 1, column 0)",
        ),
    ] {
        let Err(Error::InvalidResponse(error)) = read_key(body) else {
            panic!("{body}")
        };
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (kind, shown),
            "{body}"
        );
    }
}

#[test]
fn groups_have_the_documented_fields_and_others_are_ignored() {
    let body = r#"{"links":[{"rel":"self"},{"rel":"next"}],"totalCount":3,"cursor":1e999,"results":[
        {"clusterCount":1,"created":"2024-01-01T00:00:00Z","id":"0123456789abcdef01234567","links":[{}],
         "name":"\u0041 \"project\"","orgId":"65f0a1b2c3d4e5f60718293a","tags":[{"key":"k"}]},
        {"id":null},{}]}"#;
    for groups in [
        read_groups(body).unwrap(),
        through_session(&GroupsRequest::new(), body).unwrap(),
        through_session(&GroupsRequest::new().with_envelope(true), body).unwrap(),
    ] {
        let first = &groups.as_slice()[0];
        assert_eq!(first.id().map(GroupId::new), Some(Ok(group())));
        assert_eq!(first.name(), Some("A \"project\""));
        assert_eq!(first.org_id(), Some("65f0a1b2c3d4e5f60718293a"));
        assert_eq!(groups.as_slice()[1..], [Group::default(), Group::default()]);
        assert_eq!((groups.len(), groups.total_count()), (3, Some(3)));
        assert!(groups.has_next() && !groups.is_empty());
    }
    let empty = read_groups(r#"{"results":[],"status":200}"#).unwrap();
    assert!(empty.is_empty() && !empty.has_next());
    assert_eq!(empty.envelope_status(), Some(200));
}

#[test]
fn body_that_is_no_page_of_groups_is_an_error() {
    for (body, shown) in [
        (
            r#"{"links":[]}"#,
            "the response is not a page of groups: there is no array of results, at results",
        ),
        (
            r#"{"results":[{},{"orgId":7}]}"#,
            "the response is not a page of groups: a value is not of the documented type, at results[1].orgId (line 1, column 25)",
        ),
        (
            r#"{"results":[{"id":"a","id":"b"}]}"#,
            "the response is not a page of groups: a documented field occurs twice, at results[0].id (line 1, column 26)",
        ),
        (
            r#"{"error":404,"errorCode":"C"}"#,
            "Atlas answered 404 Not Found (C)",
        ),
        (
            r#"{"results":[],"status":403}"#,
            "Atlas answered 403 Forbidden",
        ),
    ] {
        let error = read_groups(body).unwrap_err();
        assert_eq!(error.to_string(), shown);
        if let Some(api_error) = error.api_error() {
            assert_eq!(api_error.endpoint, Endpoint::Groups);
        }
    }
    let many = format!(r#"{{"results":[{}{{}}]}}"#, "{},".repeat(10_000));
    let error = read_groups(&many).unwrap_err().to_string();
    assert!(error.contains("more elements than the limit"), "{error}");
}

fn page(ids: &[&str], has_next: bool) -> String {
    let entries: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let rel = if has_next { "next" } else { "self" };
    format!(
        r#"{{"links":[{{"rel":"{rel}"}}],"results":[{}],"totalCount":0}}"#,
        entries.join(",")
    )
}

#[test]
fn listing_of_groups_omits_a_group_that_is_also_on_the_page_before() {
    let pages = [
        page(&["a", "b"], true),
        page(&["b", "c"], true),
        page(&["d"], false),
    ];
    let mut borrowed = Listing::new(GroupsRequest::new(), &Limits::default());
    let mut owned = borrowed.clone();
    let mut seen = [Vec::new(), Vec::new()];
    for body in &pages {
        assert!(owned.request().unwrap().is_some());
        let groups = read_groups(body).unwrap();
        let new = borrowed.accept(&groups).filter_map(Group::id);
        seen[0].extend(new.map(str::to_owned));
        let new = owned.accept_owned(groups);
        seen[1].extend(new.filter_map(|group| group.id().map(str::to_owned)));
    }
    assert_eq!(seen, [["a", "b", "c", "d"], ["a", "b", "c", "d"]]);
    assert_eq!(owned.request().unwrap(), None);
    assert_eq!(owned.keys_read(), 5);
}

#[test]
fn listing_of_groups_ends_with_an_error_if_a_page_repeats() {
    fn advance(listing: &mut Listing<GroupsRequest>, page: &impl ListPage) {
        listing.advance(page);
    }
    let body = page(&["a", "b"], true);
    let mut decoded = Listing::new(GroupsRequest::new(), &Limits::default());
    let mut undecoded = decoded.clone();
    for _ in 0..2 {
        advance(&mut decoded, &read_groups(&body).unwrap());
        undecoded.advance_undecoded(&reply(&body));
    }
    for listing in [decoded, undecoded] {
        assert_eq!(
            listing.request().unwrap_err().to_string(),
            "the listing would never end: a page has the same groups as the previous page, at page 2"
        );
    }
}

#[test]
fn undecoded_groups_without_links_are_decoded_as_groups() {
    // A key could not have this `name`-less shape: `endpoint` must be a text there.
    let body = r#"{"results":[{"id":"a","endpoint":7}],"totalCount":101}"#;
    let mut listing = Listing::new(GroupsRequest::new(), &Limits::default());
    listing.advance_undecoded(&reply(body));
    let next = listing.request().unwrap().unwrap();
    assert_eq!(next.page_num().get(), 2);
}

#[test]
fn drift_of_each_operation_names_unknown_and_missing_fields() {
    let drift = |body| KeyRequest::drift(&reply(body)).to_string();
    assert_eq!(
        drift(
            r#"{"apiKeyId":"k","createdAt":"","createdBy":"","groupId":"","lastUsedAt":null,"maskedSecret":"","region":{},"secret":null,"status":"ACTIVE"}"#
        ),
        "unknown: region (1); missing: name (1)"
    );
    assert_eq!(
        drift(
            r#"{"status":200,"content":{"apiKeyId":"k","createdAt":"","createdBy":"","groupId":"","lastUsedAt":null,"maskedSecret":"","content":1,"secret":null,"status":"ACTIVE"}}"#
        ),
        "unknown: content.content (1); missing: content.name (1)"
    );
    let drift = |body| GroupsRequest::drift(&reply(body)).to_string();
    assert_eq!(
        drift(
            r#"{"links":[],"results":[{"clusterCount":1,"created":"","id":"","links":[],"name":"","orgId":"","tags":[]}],"status":200,"totalCount":1}"#
        ),
        "as documented"
    );
    assert_eq!(
        drift(
            r#"{"links":[],"results":[{"clusterCount":1,"created":"","id":"","region":"","orgId":""}],"totalCount":1}"#
        ),
        "unknown: results[].region (1); missing: results[].name (1)"
    );
}

proptest! {
    #[test]
    fn no_key_id_changes_the_path_or_the_query(text in ".{0,70}|[-A-Za-z0-9._~/?#%]{0,70}|\\.{0,3}") {
        if let Ok(id) = text.parse::<ApiKeyId>() {
            prop_assert_eq!(id.as_str(), text.as_str());
            let prefix = format!("/atlas/api/atlas/v2/groups/{}/aiModelApiKeys/", group());
            let uri = uri(&KeyRequest::new(group(), id).with_pretty(true));
            prop_assert_eq!(uri.path().strip_prefix(prefix.as_str()), Some(text.as_str()));
            prop_assert_eq!(uri.query(), Some("pretty=true"));
            prop_assert!(text != "." && text != "..");
        }
    }

    #[test]
    fn any_body_is_read_without_a_panic(body in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        let _ = read_key(&body);
        let _ = read_groups(&body);
    }
}
