//! Bodies of pages.

/// Values in a page of Atlas's usual layout, which the core's fast path reads: escapes, valid and invalid ones, and texts that
/// end next to the borders of words.
pub(crate) const NAMES_IN_ATLAS_LAYOUT: [&str; 16] = [
    "Production key",
    r"\ud83d\ude00 and \u00e9\u0000\n\/",
    r"\ud800\u0041",
    r"\ud800",
    r"\ud800 \udc00",
    r"\udc00\ud800",
    r"\ud800\ud800\udc00",
    r"\udbff\udfff\ue000\ud7ff",
    r"\u+041",
    r"\u00e",
    r"\x41",
    "\u{e9}\u{9375}\u{1f600}",
    "1234567\\\"9",
    "12345678\\\\",
    "a tab\tor\u{7f}",
    "ends in a backslash\\",
];

/// Returns a page of three keys with distinct values in Atlas's usual layout. The second has this name.
pub(crate) fn atlas_page(name: &str) -> String {
    let key = |n: u32, name: &str| {
        format!(
            r#"{{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmp{n}","cloud":"C{n}","createdAt":"2026-01-1{n}T16:47:49Z","createdBy":"user-{n}","endpoint":"ai{n}.mongodb.com","geography":"G{n}","groupId":"69681d39c9e8cfd37538631{n}","lastUsedAt":null,"maskedSecret":"al-****odu{n}","name":"{name}","secret":"al-{n}","status":"S{n}"}}"#
        )
    };
    format!(
        r#"{{"links":[{{"href":"https://cloud.mongodb.com/x?pageNum=1","rel":"self"}},{{"href":"https://cloud.mongodb.com/x?pageNum=2","rel":"next"}}],"results":[{},{},{}],"totalCount":42}}"#,
        key(1, "first"),
        key(2, name),
        key(3, "third \\u00e9"),
    )
}

/// Returns a page in which every second key has its fields' names with one letter, the nth, in the wrong case. Those fields are
/// undocumented.
pub(crate) fn names_in_wrong_case() -> String {
    let names = [
        "apiKeyId",
        "cloud",
        "createdBy",
        "maskedSecret",
        "name",
        "secret",
        "status",
    ];
    let field = |name: &str, wrong: Option<usize>| {
        let mut name = name.to_owned();
        if let Some(letter) = wrong.and_then(|n| name.get_mut(n..=n)) {
            match letter.chars().all(|c| c.is_ascii_lowercase()) {
                true => letter.make_ascii_uppercase(),
                false => letter.make_ascii_lowercase(),
            }
        }
        format!(r#""{name}":"a text""#)
    };
    let key = |wrong| format!("{{{}}}", names.map(|name| field(name, wrong)).join(","));
    let keys: Vec<_> = (0..12).flat_map(|n| [key(None), key(Some(n))]).collect();
    format!(r#"{{"results":[{}]}}"#, keys.join(","))
}

pub(crate) const BODIES: [&str; 46] = [
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":5}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":3}"#,
    r#"{"links":[{"href":"https://x/?pageNum=1","rel":"self"},{"href":"//evil","rel":"next"}],"results":[{"apiKeyId":"k","cloud":"ANY","createdAt":"2026-01-15T16:47:49Z","createdBy":"\u00e4\"\\","endpoint":"ai.mongodb.com","geography":"ANY","groupId":null,"lastUsedAt":null,"maskedSecret":"al-****odu2","name":"ключ 鍵 \ud83d\ude00","secret":"al-live","status":"ACTIVE","new":{"a":[1,-2.5e3,true,null,"\n"]}}],"status":200,"totalCount":12}"#,
    r#"{"status":404,"content":{"detail":"No group","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["x",1],"reason":"Not Found"}}"#,
    r#"{"error":"invalid_client","error_description":"Invalid credentials provided.","status":"401"}"#,
    r#"{"error":400,"errorCode":"VALIDATION_ERROR","badRequestDetail":{"fields":[{"field":"itemsPerPage","description":"\u001b[31mtoo many"},{"field":null}]},"parameters":null}"#,
    r#"{"errorCode":"X","results":null}"#,
    r#"{"results":[{"name":1}]}"#,
    r#"{"results":[{"name":"a","name":"b"}]}"#,
    r#"{"results":[],"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
    r#"{"results":[],"x":"\ud800"}"#,
    r#"{"results":[],"x":1e999}"#,
    "{\"results\":[],\n\"x\":\"\u{202e}\"",
    r#"[{"results":[]}]"#,
    r#"{"results":[{},[]],"links":null,"totalCount":-1.5}"#,
    "<html>502 Bad Gateway</html>",
    r#"{"results":[{"x":"\ud800"}]}"#,
    r#"{"results":[{"x":-1e999}],"links":[]}"#,
    r#"{"results":[{"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]}"#,
    r#"{"results":[],"links":[{"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]}"#,
    r#"{"links":[{"rel":"a","rel":null}],"results":[]}"#,
    r#"{"links":[{"rel":"next"}],"results":[]}"#,
    r#"{"results":[{}],"links":[{"rel":"previous"},{"rel":"\u006eext"}],"totalCount":9}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":250}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"},{"apiKeyId":"c"}],"links":null,"totalCount":5}"#,
    r#"{"results":[{"apiKeyId":"a"},{},{"apiKeyId":"b"}],"links":[null,{"rel":"next","href":null}],"totalCount":1e400}"#,
    r#"{"results":[{"x":-1e400}],"totalCount":{"$serde_json::private::Number":"7"},"status":1e999}"#,
    r#"{"results":[{"name":1e400}],"links":[]}"#,
    r#"{"error":599,"errorCode":"E","detail":"Why.","parameters":[1e400,7,"1e400"]}"#,
    r#"{"status":600,"content":{"detail":"Why.","x":1e400}}"#,
    r#"{"results":[{"apiKeyId":"q"}],"links":[{"rel":"next"}],"totalCount":179769313486231570000e288}"#,
    r#"{"results":[],"error":1,"status":299,"links":[],"totalCount":0}"#,
    r#"{"results":[],"results":[]}"#,
    r#"{"links":[],"results":[],"links":[]}"#,
    r#"{"results":[],"totalCount":1,"totalCount":1}"#,
    r#"{"results":[],"status":200,"status":200}"#,
    r#"{"results":[{"apiKeyId":"a","name":"b","status":"S","name":"c"}],"totalCount":1}"#,
    r#"{"results":[{"apiKeyId":"a","status":"S","secret":"c","secret":"c"}],"totalCount":1}"#,
    "{\"results\":[{\"name\":\"\u{1f}\"}]}",
    "{\"results\":[{\"name\":\"12345678\u{7f}\u{1f}\"}]}",
    r#"{"error":400,"errorCode":"\u007f\u0080\u009f\u00a0\u00ad\u061c","detail":"\u200b\u200c\u200e\u2028\u2029\u202a\u202e\u2060\u2065\u2066\u206f\ufeff","reason":"\ufff9\ufffb\udb40\udc01\udb40\udc7f"}"#,
    r#"{"error":400,"errorCode":"E","parameters":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}"#,
    r#"{"results":[{"status":"S","name":"n","apiKeyId":"a"},{"name":"\u00e9","apiKeyId":"b"}]}"#,
    r#"{"results":[],"status":65736,"totalCount":-5}"#,
    r#"{"error":400,"errorCode":"E","detail":"D","parameters":[-0,-0.0,-1,18446744073709551615,18446744073709551616,1.50]}"#,
    r#"{"error":400,"errorCode":"A","detail":"x","errorCode":"B","detail":"y"}"#,
];

/// The bodies of operations that do not list keys.
pub(crate) const OTHER_BODIES: [(&str, &str); 19] = [
    (
        "key",
        r#"{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmpj","cloud":"ANY","lastUsedAt":null,"name":"\u0041","secret":"al-hunter2hunter2","status":"ACTIVE"}"#,
    ),
    (
        "key-envelope",
        r#"{"content":{"name":"a","status":"ACTIVE","content":1},"status":200}"#,
    ),
    (
        "key-envelope-error",
        r#"{"content":{"name":"a","error":404},"status":true}"#,
    ),
    (
        "key-twice",
        r#"{"name":"a","content":{"name":"b","n\u0061me":"c"}}"#,
    ),
    ("key-status", r#"{"status":"404","errorCode":"C"}"#),
    ("key-content", r#"{"name":"a","content":[],"error":1e400}"#),
    ("key-status-escaped", r#"{"status":"\u0041CTIVE"}"#),
    ("key-status-null", r#"{"name":"a","status":null}"#),
    ("key-status-negative", r#"{"name":"a","status":-404}"#),
    ("key-status-fraction", r#"{"name":"a","status":404.5}"#),
    ("key-status-list", r#"{"name":"a","status":[404]}"#),
    (
        "key-status-object",
        r#"{"name":"a","status":{"status":404}}"#,
    ),
    (
        "key-status-exponent",
        r#"{"content":{"name":null},"status":4.04e2}"#,
    ),
    (
        "key-two-statuses",
        r#"{"status":200,"content":{"name":"a","status":404}}"#,
    ),
    (
        "key-outer-error",
        r#"{"error":404,"content":{"name":"a"},"status":200}"#,
    ),
    (
        "key-content-twice",
        r#"{"content":{"name":"a","content":{"name":"b"}},"status":200}"#,
    ),
    ("key-name-number", r#"{"content":{"name":1},"status":200}"#),
    (
        "groups",
        r#"{"links":[{"rel":"next"}],"results":[{"clusterCount":1,"created":"","id":"0123456789abcdef01234567","links":[],"name":"a","orgId":"b","tags":[{}]},{"id":null,"endpoint":7},{}],"totalCount":9}"#,
    ),
    (
        "groups-twice",
        r#"{"results":[{"id":"a","id":"b"}],"status":200}"#,
    ),
];
