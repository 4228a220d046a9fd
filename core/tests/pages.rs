//! Tests which bodies are accepted as pages, and how others are refused.

use atlas_model_keys_core::{Error, InvalidResponseKind, Page, Reply};

fn parse(body: impl AsRef<[u8]>) -> Result<Page<Vec<u8>>, Error> {
    Reply::from_response(http::Response::new(body.as_ref().to_vec()))?.into_page()
}

/// Returns the kind, path, position and text of the error for a body.
fn refused(
    body: impl AsRef<[u8]>,
) -> (InvalidResponseKind, String, Option<(usize, usize)>, String) {
    match parse(body) {
        Err(Error::InvalidResponse(error)) => (
            error.kind(),
            error.path().to_owned(),
            error.line_and_column(),
            error.to_string(),
        ),
        other => panic!("not refused as an invalid response: {other:?}"),
    }
}

#[test]
fn strings_with_escapes_are_unescaped_and_the_rest_is_borrowed() {
    let page = parse(
        r#"{"results":[{"name":"a\"\\\/\b\f\n\r\t\u0041\ud83d\ude00z","status":"plain"},
            {"name":"","createdBy":"\u00e4","secret":"\u0061l-x"},{"apiKeyId":"ä鍵😀"}]}"#,
    )
    .unwrap();
    let names: Vec<_> = page
        .keys()
        .map(atlas_model_keys_core::ModelKey::name)
        .collect();
    assert_eq!(
        names,
        [Some("a\"\\/\u{8}\u{c}\n\r\tA\u{1f600}z"), Some(""), None]
    );
    let second = page.keys().nth(1).unwrap();
    assert_eq!(second.created_by(), Some("ä"));
    assert_eq!(second.secret().unwrap().expose(), "al-x");
    assert_eq!(page.keys().nth(2).unwrap().api_key_id(), Some("ä鍵😀"));

    // The text is borrowed: it lies in the body itself.
    let status = page.keys().next().unwrap().status().unwrap().as_ptr();
    let body = page.into_body();
    assert!(body.as_ptr_range().contains(&status));
}

#[test]
fn absent_null_and_unknown_fields_are_accepted_everywhere() {
    for body in [
        r#"{"results":[]}"#,
        r#" { "results" : [ ] , "totalCount" : null , "links" : null , "status" : null } "#,
        r#"{"results":[],"links":[null]}"#,
        r#"{"results":[],"new":[1e999,-9e99999,{"$serde_json::private::Number":"x"}]}"#,
        r#"{"results":[{"name":"1e999","new":1e999}],"links":[{},null,{"rel":null,"href":null,"title":"x"}],"new":[[[]]],"":0}"#,
    ] {
        assert!(parse(body).is_ok(), "{body}");
    }
    let page = parse(r#"{"results":[{"status":"BRAND_NEW","apiKeyId":null}]}"#).unwrap();
    assert_eq!(page.keys().next().unwrap().status(), Some("BRAND_NEW"));
}

#[test]
fn total_count_may_hold_anything_and_only_a_count_is_returned() {
    let count = |text: &str| {
        parse(format!(r#"{{"results":[],"totalCount":{text}}}"#)).map(|page| page.total_count())
    };
    assert_eq!(count("0").unwrap(), Some(0));
    assert_eq!(count("9223372036854775807").unwrap(), Some(i64::MAX as u64));
    assert_eq!(count("-5").unwrap(), None);
    // It is only an estimate: whatever it holds, the page is valid.
    for odd in [
        "1.5",
        "42.0",
        "\"42\"",
        "[1]",
        "{}",
        "true",
        "9223372036854775808",
        "1e999",
        r#"{"$serde_json::private::Number":"42"}"#,
        r#"{"\u0024serde_json::private::Number":"\u0034"}"#,
    ] {
        assert_eq!(count(odd).unwrap(), None, "{odd}");
    }
    assert!(count("01").is_err());
}

#[test]
fn more_elements_than_the_limit_are_refused() {
    let of = |n: usize| format!(r#"{{"results":[{}]}}"#, vec!["{}"; n].join(","));
    assert_eq!(parse(of(10_000)).unwrap().len(), 10_000);
    let (kind, path, _, shown) = refused(of(10_001));
    assert_eq!(
        (kind, &*path),
        (InvalidResponseKind::Shape, "results[10000]")
    );
    assert!(shown.contains("more elements than the limit"), "{shown}");
}

#[test]
fn error_names_the_path_and_not_the_value() {
    let cases = [
        (
            r#"{"results":[{"name":"a"},{"name":{"x":"hunter2"}}]}"#,
            InvalidResponseKind::Shape,
            "results[1].name",
        ),
        (
            r#"{"results":[{"name":"hunter2","name":"b"}]}"#,
            InvalidResponseKind::Shape,
            "results[0].name",
        ),
        (
            r#"{"results":[{"secret":42}]}"#,
            InvalidResponseKind::Shape,
            "results[0].secret",
        ),
        (
            r#"{"results":["hunter2"]}"#,
            InvalidResponseKind::Shape,
            "results[0]",
        ),
        (
            r#"{"results":{"hunter2":1}}"#,
            InvalidResponseKind::Shape,
            "results",
        ),
        (
            r#"{"results":[],"results":[]}"#,
            InvalidResponseKind::Shape,
            "results",
        ),
        (
            r#"{"links":[{"rel":"a","rel":"b"}],"results":[]}"#,
            InvalidResponseKind::Shape,
            "links[0]",
        ),
        (
            r#"{"results":[],"status":1,"status":2}"#,
            InvalidResponseKind::Shape,
            "status",
        ),
        (
            r#"{"results":[{},7]}"#,
            InvalidResponseKind::Shape,
            "results[1]",
        ),
        (
            r#"{"links":[{},{},"hunter2"]}"#,
            InvalidResponseKind::Shape,
            "links[2]",
        ),
        (r#"["hunter2"]"#, InvalidResponseKind::Shape, ""),
        (r#""hunter2""#, InvalidResponseKind::Shape, ""),
        (r#"{}"#, InvalidResponseKind::Shape, "results"),
        (r#"{"results":null}"#, InvalidResponseKind::Shape, "results"),
        (
            r#"{"totalCount":5,"links":[]}"#,
            InvalidResponseKind::Shape,
            "results",
        ),
        ("", InvalidResponseKind::Json, ""),
        ("<html>hunter2</html>", InvalidResponseKind::Json, ""),
        ("\u{feff}{\"results\":[]}", InvalidResponseKind::Json, ""),
        (r#"{"results":[]} hunter2"#, InvalidResponseKind::Json, ""),
        (
            r#"{"results":[{"name":"hunter2"#,
            InvalidResponseKind::Json,
            "results[0].name",
        ),
        (
            r#"{"results":[{"name":"\ud800 hunter2"}]}"#,
            InvalidResponseKind::Json,
            "results[0].name",
        ),
        (
            "{\"results\":[{\"name\":\"a\nhunter2\"}]}",
            InvalidResponseKind::Json,
            "results[0].name",
        ),
        (
            r#"{"results":[{"new":"\ud800"}]}"#,
            InvalidResponseKind::Json,
            "results[0]",
        ),
        (
            r#"{"results":[{"name":1e999}],"new":1e999}"#,
            InvalidResponseKind::Shape,
            "results[0].name",
        ),
        (r#"{"results":[],"new":01}"#, InvalidResponseKind::Json, ""),
    ];
    for (body, kind, path) in cases {
        let (got_kind, got_path, _, shown) = refused(body);
        assert_eq!((got_kind, &*got_path), (kind, path), "{body}: {shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains('\n'), "{shown}");
    }
}

#[test]
fn error_names_line_and_column() {
    let (_, _, place, shown) = refused("{\n \"results\": [\n  {\"name\": 5}\n ]\n}");
    assert_eq!(place, Some((3, 12)), "{shown}");
    assert_eq!(
        shown,
        "the response is not a page of keys: a value is not of the documented type, \
         at results[0].name (line 3, column 12)"
    );
    let (kind, _, place, _) = refused(b"{\n\"results\": \xff}");
    assert_eq!((kind, place), (InvalidResponseKind::Utf8, Some((2, 12))));
}

#[test]
fn nesting_is_bounded_in_unknown_fields_too() {
    let nested = |levels: usize, prefix: &str, suffix: &str| {
        format!(
            "{prefix}{}{}{suffix}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let top = |levels| nested(levels, r#"{"results":[],"new":"#, "}");
    let in_key = |levels| nested(levels, r#"{"results":[{"new":"#, "}]}");
    // The limit is 32 levels: the page is one, and results and key are two more.
    assert!(parse(top(31)).is_ok());
    assert!(parse(in_key(29)).is_ok());
    for body in [top(32), in_key(30), top(100_000)] {
        let (kind, _, _, shown) = refused(&body);
        assert_eq!(kind, InvalidResponseKind::Shape);
        assert!(shown.contains("nested deeper"), "{shown}");
    }
    let objects = format!("{}1{}", r#"{"a":"#.repeat(50), "}".repeat(50));
    assert!(parse(format!(r#"{{"results":[],"new":{objects}}}"#)).is_err());
}

#[test]
fn error_object_with_status_200_is_an_error_and_not_an_empty_page() {
    for (body, status) in [
        (
            r#"{"status":404,"error":404,"errorCode":"GROUP_NOT_FOUND"}"#,
            404,
        ),
        (
            r#"{"status":404,"content":{"error":404,"errorCode":"GROUP_NOT_FOUND"}}"#,
            404,
        ),
        (r#"{"status":503,"results":[]}"#, 503),
        (r#"{"error":403,"errorCode":"X","results":[]}"#, 403),
        (r#"{"error":401,"reason":"Unauthorized"}"#, 401),
        (r#"{"errorCode":"UNEXPECTED_ERROR"}"#, 500),
        // The envelope may have another shape.
        (
            r#"{"status":200,"content":{"error":404,"errorCode":"GROUP_NOT_FOUND"}}"#,
            404,
        ),
        (r#"{"content":{"errorCode":"GROUP_NOT_FOUND"}}"#, 500),
        (r#"{"status":"429","errorCode":"RATE_LIMITED"}"#, 429),
        (r#"{"status":429,"links":{},"results":"none"}"#, 429),
    ] {
        let error = parse(body).unwrap_err();
        assert!(matches!(error, Error::Api(_)), "{body}: {error:?}");
        assert_eq!(error.status().unwrap(), status, "{body}");
    }
    // These fields do not make a page with results an error.
    for body in [
        r#"{"status":200,"results":[]}"#,
        r#"{"error":null,"errorCode":null,"results":[]}"#,
        r#"{"error":"no","errorCode":"X","results":[]}"#,
        r#"{"error":0,"results":[]}"#,
        r#"{"status":"OK","errorCode":"X","results":[]}"#,
    ] {
        assert!(parse(body).is_ok(), "{body}");
    }
}

#[test]
fn body_that_changes_between_calls_does_not_panic() {
    /// A body that is valid for the size check and the parser, then is another text, and then is not UTF-8.
    struct ChangingBody(std::cell::Cell<usize>);
    impl AsRef<[u8]> for ChangingBody {
        fn as_ref(&self) -> &[u8] {
            let calls = self.0.replace(self.0.get() + 1);
            match calls {
                0..=1 => r#"{"results":[{"name":"a","status":"ACTIVE"}]}"#.as_bytes(),
                2 => "ääääääääääää".as_bytes(),
                _ => b"\xff",
            }
        }
    }
    let reply = Reply::from_response(http::Response::new(ChangingBody(0.into()))).unwrap();
    let page = reply.into_page().unwrap();
    for _ in 0..2 {
        let key = page.keys().next().unwrap();
        assert!(key.name().is_none() && key.status().is_none());
    }
}

#[test]
fn error_says_that_a_body_was_not_decompressed() {
    for (encoding, body, kind) in [
        ("br", &b"\x8b\x02\x80"[..], InvalidResponseKind::Encoding),
        ("gzip", b"\x1f\x8b\x08", InvalidResponseKind::Encoding),
        ("deflate", b"xyz", InvalidResponseKind::Encoding),
        ("identity", b"xyz", InvalidResponseKind::Json),
        ("br", b"[]", InvalidResponseKind::Shape),
    ] {
        let response = http::Response::builder().header("content-encoding", encoding);
        let reply = Reply::from_response(response.body(body).unwrap()).unwrap();
        let Err(Error::InvalidResponse(error)) = reply.into_page() else {
            panic!("{encoding}");
        };
        assert_eq!(error.kind(), kind, "{encoding}: {error}");
    }
    // A wrong Content-Encoding alone is not an error.
    let response = http::Response::builder().header("content-encoding", "br");
    let reply = Reply::from_response(response.body(br#"{"results":[]}"#).unwrap()).unwrap();
    assert!(reply.into_page().is_ok());
}
