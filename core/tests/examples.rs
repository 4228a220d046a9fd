//! Tests the example bodies of Atlas's documentation, field by field.

use atlas_model_keys_core::{Endpoint, Error, Page, Reply, Timestamp};

fn reply(status: u16, body: &'static str) -> Result<Reply<&'static [u8]>, Error> {
    let response = http::Response::builder()
        .status(status)
        .header("content-type", "application/json");
    Reply::from_response(response.body(body.as_bytes()).unwrap())
}

fn page(body: &'static str) -> Page<&'static [u8]> {
    reply(200, body).unwrap().into_page().unwrap()
}

#[test]
fn documented_page_is_read() {
    let page = page(include_str!("fixtures/200-list.json"));
    assert_eq!(page.len(), 1);
    assert_eq!(page.total_count(), Some(42));
    assert_eq!(page.envelope_status(), None);
    assert_eq!(page.version(), None);
    assert!(!page.has_next());
    let links: Vec<_> = page.links().map(|link| (link.rel, link.href)).collect();
    assert_eq!(
        links,
        [(Some("self"), Some("https://cloud.mongodb.com/api/atlas"))]
    );

    let key = page.keys().next().unwrap();
    assert_eq!(key.api_key_id(), Some("a86r5kwrfsk5r5ku5tgvhmpj"));
    assert_eq!(
        key.created_at().map(Timestamp::as_str),
        Some("2026-01-15T16:47:49.855000+00:00")
    );
    assert_eq!(key.created_by(), Some("Jane Roe"));
    assert_eq!(key.group_id(), Some("69681d39c9e8cfd375386316"));
    let last_used = key.last_used_at().unwrap().parse().unwrap();
    assert_eq!(
        (last_used.seconds(), last_used.nanoseconds()),
        (1_768_495_669, 855_000_000)
    );
    assert_eq!(key.masked_secret(), Some("al-****odu2"));
    assert_eq!(key.name(), Some("Production key"));
    assert_eq!(
        key.secret().unwrap().expose(),
        "al-jZsluhPMzPM9CFXepRWwMwvpZDDra6tZMgoAZKdodu2"
    );
    assert_eq!(key.status(), Some("ACTIVE"));
    assert_eq!(
        (key.cloud(), key.geography(), key.endpoint()),
        (None, None, None)
    );

    let owned = key.to_owned_key();
    assert_eq!(owned.as_key(), key);
    assert_eq!(
        owned.secret().unwrap().expose(),
        key.secret().unwrap().expose()
    );
    let shown = format!("{key:?} {owned:?} {page:?} {:?}", page.keys());
    assert!(!shown.contains("jZsluh"), "{shown}");
}

#[test]
fn page_of_the_dated_version_is_read() {
    let page = page(
        r#"{"links":[],"results":[{"apiKeyId":"k","cloud":"ANY","endpoint":"ai.mongodb.com",
            "geography":"ANY","lastUsedAt":null,"secret":null,"somethingNew":{"a":[1,2.5,"x",null,true]}}]}"#,
    );
    let key = page.keys().next().unwrap();
    assert_eq!(key.cloud(), Some("ANY"));
    assert_eq!(key.geography(), Some("ANY"));
    assert_eq!(key.endpoint(), Some("ai.mongodb.com"));
    assert!(key.last_used_at().is_none() && key.secret().is_none());
    assert_eq!(page.total_count(), None);
}

#[test]
fn documented_errors_are_read() {
    let example = "(An example of an error. Other operations have it, too.)";
    for (status, body, code, reason, detail) in [
        (
            401,
            include_str!("fixtures/401.json"),
            "NOT_ORG_GROUP_CREATOR",
            "Unauthorized",
            "",
        ),
        (
            403,
            include_str!("fixtures/403.json"),
            "CANNOT_CHANGE_GROUP_NAME",
            "Forbidden",
            "",
        ),
        (
            404,
            include_str!("fixtures/404.json"),
            "RESOURCE_NOT_FOUND",
            "Not Found",
            " No resource has this name: AWS.",
        ),
        (
            500,
            include_str!("fixtures/500.json"),
            "UNEXPECTED_ERROR",
            "Internal Server Error",
            "",
        ),
    ] {
        let error = reply(status, body).unwrap_err();
        assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
        assert_eq!(error.error_code(), Some(code));
        let api_error = error.api_error().unwrap();
        assert_eq!(api_error.endpoint, Endpoint::ModelKeys);
        assert_eq!(api_error.reason.as_deref(), Some(reason));
        assert_eq!(
            api_error.detail.as_deref(),
            Some(&*format!("{example}{detail}"))
        );
        assert!(api_error.parameters.is_empty() && api_error.fields.is_empty());
        assert_eq!(api_error.retry_after, None);
        assert_eq!(
            api_error.to_string(),
            format!("{status} {reason} ({code}): {example}{detail}")
        );
    }
}
