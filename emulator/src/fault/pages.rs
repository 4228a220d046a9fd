//! Faults of a page's content: misleading links, invalid counts, unusual and invalid JSON.

use http::StatusCode;
use serde_json::{Value, json};

use crate::listing::Paging;

use super::context::{FaultContext, JsonObject};
use super::row::faults;

faults![
    FAULTS,
    Page,
    harmless(
        NEXT_OTHER_HOST,
        "next-other-host",
        "every page with keys has a next link to another host",
        |cx| {
            with_next_link(cx, |cx, paging| {
                let path = cx.request.uri.path();
                let resource = format!("https://attacker.example{path}");
                paging.href(&resource, paging.page_num() + 1)
            });
        },
    ),
    harmless(
        NEXT_CREDENTIALS,
        "next-credentials",
        "every page with keys has a next link that contains a user and a password",
        |cx| {
            with_next_link(cx, |cx, paging| {
                let url = cx.self_url().replacen("://", "://user:password@", 1);
                paging.href(&url, paging.page_num() + 1)
            });
        },
    ),
    harmless(
        NEXT_JAVASCRIPT,
        "next-javascript",
        "every page with keys has a next link that is a script",
        |cx| with_next_link(cx, |_, _| "javascript:alert(1)".to_owned()),
    ),
    harmless(
        NEXT_RELATIVE,
        "next-relative",
        "every page with keys has a next link without a host",
        |cx| {
            with_next_link(cx, |cx, paging| {
                paging.href(cx.request.uri.path(), paging.page_num() + 1)
            });
        },
    ),
    harmless(
        NEXT_ITSELF,
        "next-itself",
        "every page with keys has a next link to itself",
        |cx| {
            with_next_link(cx, |cx, paging| {
                paging.href(&cx.self_url(), paging.page_num())
            });
        },
    ),
    harmless(
        NEXT_LOWER,
        "next-lower",
        "every page with keys has a next link to the first page",
        |cx| with_next_link(cx, |cx, paging| paging.href(&cx.self_url(), 1)),
    ),
    harmless(
        NEXT_HUGE,
        "next-huge",
        "every page with keys has a next link to page 10^20 - 1",
        |cx| {
            with_next_link(cx, |cx, paging| {
                paging.href(&cx.self_url(), "99999999999999999999")
            });
        },
    ),
    fault(
        PAGES_LOOP,
        "pages-loop",
        "every page has the keys of the first page and a next link",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                let keys = cx.key_entries(0, paging.items_per_page());
                page.insert("results".to_owned(), keys.into());
                add_next_link(cx, page, paging);
            });
        },
    ),
    fault(
        PAGES_ENDLESS,
        "pages-endless",
        "every page has new keys and a next link",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                let keys = cx.unknown_keys(paging.page_num(), paging.items_per_page());
                page.insert("results".to_owned(), keys.into());
                add_next_link(cx, page, paging);
            });
        },
    ),
    fault(
        PAGES_LOOP_ONE,
        "pages-loop-one",
        "every page has only the first key, and a next link",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                page.insert("results".to_owned(), cx.key_entries(0, 1).into());
                add_next_link(cx, page, paging);
            });
        },
    ),
    harmless(
        PAGE_EMPTY,
        "page-empty",
        "this page is empty and has a next link; its keys are on the next page",
        |cx| empty_pages(cx, 1),
    )
    .with(number(2, 1, 1_000_000)),
    harmless(
        PAGES_EMPTY,
        "pages-empty",
        "this page and the next one are empty and have a next link; their keys follow later",
        |cx| empty_pages(cx, 2),
    )
    .with(number(2, 1, 1_000_000)),
    fault(
        PAGES_EMPTY_ENDLESS,
        "pages-empty-endless",
        "every page after the first is empty and has a next link",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                if paging.page_num() > 1 {
                    page.insert("results".to_owned(), Value::Array(Vec::new()));
                    add_next_link(cx, page, paging);
                }
            });
        },
    ),
    harmless(
        PAGE_EMPTY_ONCE,
        "page-empty-once",
        "this page is empty and has no next link, but only when it is first requested",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                if paging.page_num() == cx.value && *cx.memory == 0 {
                    *cx.memory = 1;
                    page.insert("results".to_owned(), Value::Array(Vec::new()));
                    set_next_link(page, None);
                }
            });
        },
    )
    .with(number(2, 1, 1_000_000)),
    harmless(
        PAGES_OVERLAP,
        "pages-overlap",
        "every page repeats this many keys of the page before, as if keys were added in front",
        |cx| {
            cx.edit_page(|cx, page, paging| {
                let items = paging.items_per_page();
                // Less than a whole page, or the listing would never end.
                let back = cx.value.min(items - 1) * (paging.page_num() - 1);
                let before = paging.offset().saturating_sub(back);
                let keys = cx.key_entries(before, items);
                let has_next = !cx.key_entries(before + items, 1).is_empty();
                page.insert("results".to_owned(), keys.into());
                if has_next {
                    add_next_link(cx, page, paging);
                } else {
                    set_next_link(page, None);
                }
            });
        },
    )
    .with(number(1, 1, 500)),
    harmless(
        TOTAL_ZERO,
        "total-zero",
        "totalCount is 0, although there are keys",
        |cx| {
            set_field(cx, "totalCount", json!(0));
        },
    ),
    harmless(TOTAL_HUGE, "total-huge", "totalCount is 2^64 - 1", |cx| {
        set_field(cx, "totalCount", json!(u64::MAX));
    }),
    harmless(
        TOTAL_MISSING,
        "total-missing",
        "totalCount is missing",
        |cx| {
            remove_field(cx, "totalCount");
        }
    ),
    fault(TOTAL_NEGATIVE, "total-negative", "totalCount is -1", |cx| {
        set_field(cx, "totalCount", json!(-1));
    }),
    fault(TOTAL_TEXT, "total-text", "totalCount is a string", |cx| {
        set_field(cx, "totalCount", json!("42"));
    }),
    fault(TOTAL_FLOAT, "total-float", "totalCount is 42.5", |cx| {
        set_field(cx, "totalCount", json!(42.5));
    }),
    fault(TOTAL_NULL, "total-null", "totalCount is null", |cx| {
        set_field(cx, "totalCount", Value::Null);
    }),
    harmless(
        TOTAL_EXPONENT,
        "total-exponent",
        "totalCount is 1e400",
        |cx| {
            set_field_json(cx, "totalCount", "1e400");
        }
    ),
    harmless(
        TOTAL_LONG,
        "total-long",
        "totalCount is a number with this many digits",
        |cx| {
            let digits = "7".repeat(cx.size());
            set_field_json(cx, "totalCount", &digits);
        },
    )
    .with(number(10_000, 1, 10_000_000)),
    harmless(
        TOTAL_PRIVATE_NUMBER,
        "total-private-number",
        "totalCount is the object that serde_json uses internally for long numbers",
        |cx| set_field_json(cx, "totalCount", PRIVATE_NUMBER),
    ),
    harmless(
        TOTAL_PRIVATE_RAW,
        "total-private-raw",
        "totalCount is the object that serde_json uses internally for raw values",
        |cx| set_field_json(cx, "totalCount", PRIVATE_RAW),
    ),
    fault(RESULTS_NULL, "results-null", "results is null", |cx| {
        set_field(cx, "results", Value::Null);
    }),
    fault(
        RESULTS_MISSING,
        "results-missing",
        "results is missing",
        |cx| {
            remove_field(cx, "results");
        }
    ),
    fault(
        RESULTS_OBJECT,
        "results-object",
        "results is an object",
        |cx| {
            set_field(cx, "results", json!({"0": {"apiKeyId": "zero"}}));
        }
    ),
    fault(
        RESULTS_WITH_NULL,
        "results-with-null",
        "the last element of results is null",
        |cx| {
            cx.edit_page(|_, page, _| {
                if let Some(results) = page.get_mut("results").and_then(Value::as_array_mut) {
                    results.push(Value::Null);
                }
            });
        },
    ),
    harmless(LINKS_MISSING, "links-missing", "links is missing", |cx| {
        remove_field(cx, "links");
    }),
    harmless(
        LINKS_TOTAL_MISSING,
        "links-total-missing",
        "links and totalCount are missing",
        |cx| {
            remove_field(cx, "links");
            remove_field(cx, "totalCount");
        },
    ),
    fault(LINKS_NULL, "links-null", "links is null", |cx| {
        set_field(cx, "links", Value::Null);
    }),
    fault(
        LINKS_ONLY_NULL,
        "links-only-null",
        "links is an array that contains only a null",
        |cx| {
            set_field(cx, "links", json!([null]));
        },
    ),
    harmless(
        LINKS_WITH_NULL,
        "links-with-null",
        "the last element of links is null",
        |cx| {
            cx.edit_page(|_, page, _| {
                if let Some(links) = page.get_mut("links").and_then(Value::as_array_mut) {
                    links.push(Value::Null);
                }
            });
        },
    ),
    fault(
        EMPTY_KEYS,
        "empty-keys",
        "this many keys, each an empty object",
        |cx| {
            cx.edit_page(|cx, page, _| {
                let keys = vec![json!({}); cx.size()];
                page.insert("results".to_owned(), keys.into());
                set_next_link(page, None);
            });
        }
    )
    .with(number(100_000, 1, 10_000_000)),
    harmless(
        FIELDS_UNKNOWN,
        "fields-unknown",
        "the page and its keys have unknown fields of every type",
        |cx| {
            let unknown = json!({"a": [1, -2.5e-3, true, null, "\u{1f511}", {}]});
            cx.edit_page(|_, page, _| {
                let keys = page.get_mut("results").and_then(Value::as_array_mut);
                for key in keys.into_iter().flatten() {
                    if let Some(key) = key.as_object_mut() {
                        key.insert("aNewField".to_owned(), unknown.clone());
                    }
                }
                page.insert("aNewField".to_owned(), unknown.clone());
            });
        },
    ),
    harmless(
        STATUS_UNKNOWN,
        "status-unknown",
        "every key has an unknown status",
        |cx| {
            each_key(cx, |key| {
                key.insert("status".to_owned(), "HIBERNATING".into());
            });
        }
    ),
    fault(
        FIELDS_MISTYPED,
        "fields-mistyped",
        "the name of every key is a number",
        |cx| {
            each_key(cx, |key| {
                key.insert("name".to_owned(), 42.into());
            });
        },
    ),
    harmless(
        NAME_NULL,
        "name-null",
        "the name of every key is null",
        |cx| {
            each_key(cx, |key| {
                key.insert("name".to_owned(), Value::Null);
            });
        }
    ),
    harmless(SECRETS, "secrets", "every key contains its secret", |cx| {
        cx.edit_page(|cx, page, paging| {
            let count = page
                .get("results")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let keys = cx.key_entries_with_secrets(paging.offset(), count as u64);
            page.insert("results".to_owned(), keys.into());
        });
    }),
    fault(
        FIELD_TWICE,
        "field-twice",
        "the first key has two ids",
        |cx| {
            cx.insert_into_key(b"\"apiKeyId\":\"theOtherOne\"");
        }
    ),
    harmless(
        FIELD_TWICE_UNKNOWN,
        "field-twice-unknown",
        "the page and its first key have an unknown field twice",
        |cx| {
            let twice = b"\"aNewField\":1,\"aNewField\":{\"a\":1,\"a\":2},".as_slice();
            cx.insert_into_key(b"\"aNewField\":1,\"aNewField\":2");
            // Not with `insert_field`: it would parse the page and so remove the key's duplicate field.
            cx.edit_page_bytes(|body| match body.split_first() {
                Some((b'{', rest)) => [b"{", twice, rest].concat(),
                _ => body,
            });
        },
    ),
    fault(
        UTF8_INVALID,
        "utf8-invalid",
        "the first name contains bytes that are not UTF-8",
        |cx| {
            cx.insert_into_name(b"\xff\xc0\x80\xed\xa0\x80");
        },
    ),
    fault(
        UTF8_BOM,
        "utf8-bom",
        "the page begins with a byte order mark",
        |cx| {
            cx.edit_page_bytes(|body| [b"\xef\xbb\xbf".as_slice(), &body].concat());
        }
    ),
    fault(UTF16, "utf16", "the page is encoded in UTF-16", |cx| {
        cx.edit_page_bytes(|body| {
            let text = String::from_utf8_lossy(&body).into_owned();
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        });
    }),
    fault(
        SURROGATE_UNKNOWN,
        "surrogate-unknown",
        "an unknown field contains half of a surrogate pair, escaped",
        |cx| cx.insert_field(br#""aNewField":"\ud800""#),
    ),
    fault(
        SURROGATE_NAME,
        "surrogate-name",
        "the first name contains half of a surrogate pair, escaped",
        |cx| cx.insert_into_name(br"\ud800"),
    ),
    fault(
        NUL_NAME,
        "nul-name",
        "the first name contains an unescaped NUL",
        |cx| {
            cx.insert_into_name(b"\0");
        },
    ),
    fault(
        NESTED,
        "nested",
        "an unknown field contains arrays that are nested this deep",
        |cx| {
            let depth = cx.size();
            let arrays = ["[".repeat(depth), "]".repeat(depth)].concat();
            cx.insert_field(format!("\"aNewField\":{arrays}").as_bytes());
        },
    )
    .with(number(10_000, 1, 10_000_000)),
    harmless(
        NUMBER_LONG,
        "number-long",
        "an unknown field is a number with this many digits",
        |cx| {
            let digits = "7".repeat(cx.size());
            cx.insert_field(format!("\"aNewField\":{digits}").as_bytes());
        },
    )
    .with(number(10_000, 1, 10_000_000)),
    harmless(
        NUMBER_HUGE,
        "number-huge",
        "an unknown field is 1e400",
        |cx| {
            cx.insert_field(b"\"aNewField\":1e400");
        }
    ),
    harmless(
        UNKNOWN_PRIVATE_NUMBER,
        "unknown-private-number",
        "an unknown field is the object that serde_json uses internally for long numbers",
        |cx| cx.insert_field(format!("\"aNewField\":{PRIVATE_NUMBER}").as_bytes()),
    ),
    harmless(
        UNKNOWN_PRIVATE_RAW,
        "unknown-private-raw",
        "an unknown field is the object that serde_json uses internally for raw values",
        |cx| cx.insert_field(format!("\"aNewField\":{PRIVATE_RAW}").as_bytes()),
    ),
    fault(
        JSON_TRUNCATED,
        "json-truncated",
        "only the first half of the page is sent",
        |cx| {
            cx.edit_page_bytes(|mut body| {
                body.truncate(body.len() / 2);
                body
            });
        },
    ),
    fault(
        JSON_TRAILING,
        "json-trailing",
        "another JSON value follows the page",
        |cx| {
            cx.edit_page_bytes(|body| [body, b"\n{}".to_vec()].concat());
        },
    ),
    harmless(
        JSON_SPACES,
        "json-spaces",
        "this many whitespace characters surround the page",
        |cx| {
            let mut before: Vec<u8> = b" \t\r\n".iter().copied().cycle().take(cx.size()).collect();
            let after = before.split_off(cx.size() / 2);
            cx.edit_page_bytes(|body| [before, body, after].concat());
        },
    )
    .with(number(100_000, 1, 64 << 20)),
    fault(JSON_NUMBER, "json-number", "the page is a number", |cx| {
        cx.edit_page_bytes(|_| b"42".to_vec());
    }),
    fault(
        ERROR_IN_200,
        "error-in-200",
        "200 with an error in Atlas's format",
        |cx| {
            if cx.response.status() == StatusCode::OK {
                cx.replace_with_error(StatusCode::INTERNAL_SERVER_ERROR);
                *cx.response.status_mut() = StatusCode::OK;
            }
        },
    ),
];

/// Objects that `serde_json` uses internally. With its features `arbitrary_precision` and `raw_value`
/// it may parse them as a number and as any value.
const PRIVATE_NUMBER: &str = r#"{"$serde_json::private::Number":"12"}"#;
const PRIVATE_RAW: &str = r#"{"$serde_json::private::RawValue":"12"}"#;

fn set_field(cx: &mut FaultContext<'_>, field: &str, value: Value) {
    cx.edit_page(|_, page, _| {
        page.insert(field.to_owned(), value);
    });
}

/// Sets the first field of the page to JSON that a [`Value`] cannot hold.
fn set_field_json(cx: &mut FaultContext<'_>, field: &str, json: &str) {
    remove_field(cx, field);
    cx.insert_field(format!("\"{field}\":{json}").as_bytes());
}

fn remove_field(cx: &mut FaultContext<'_>, field: &str) {
    cx.edit_page(|_, page, _| {
        page.remove(field);
    });
}

fn each_key(cx: &mut FaultContext<'_>, change: impl Fn(&mut JsonObject)) {
    cx.edit_page(|_, page, _| {
        let keys = page.get_mut("results").and_then(Value::as_array_mut);
        keys.into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .for_each(change);
    });
}

/// Empties `count` pages, beginning with the page whose number is the argument. They have a next
/// link, and their keys move to the pages after them.
fn empty_pages(cx: &mut FaultContext<'_>, count: u64) {
    cx.edit_page(|cx, page, paging| {
        let (first, items) = (cx.value, paging.items_per_page());
        let Some(pages_since) = paging.page_num().checked_sub(first) else {
            return;
        };
        let full_before = first - 1 + pages_since.saturating_sub(count);
        let (keys, after) = if pages_since < count {
            (Vec::new(), full_before)
        } else {
            (cx.key_entries(full_before * items, items), full_before + 1)
        };
        page.insert("results".to_owned(), keys.into());
        if cx.key_entries(after * items, 1).is_empty() {
            set_next_link(page, None);
        } else {
            add_next_link(cx, page, paging);
        }
    });
}

/// Sets the next link of a page with keys. An empty page gets none, because then the listing would
/// never end, which is another fault.
fn with_next_link(
    cx: &mut FaultContext<'_>,
    href: impl FnOnce(&FaultContext<'_>, &Paging) -> String,
) {
    cx.edit_page(|cx, page, paging| {
        let results = page.get("results").and_then(Value::as_array);
        if results.is_some_and(|results| !results.is_empty()) {
            set_next_link(page, Some(href(cx, paging)));
        }
    });
}

/// Adds the regular next link, whether there is a next page or not.
fn add_next_link(cx: &FaultContext<'_>, page: &mut JsonObject, paging: &Paging) {
    let href = paging.href(&cx.self_url(), paging.page_num() + 1);
    set_next_link(page, Some(href));
}

fn set_next_link(page: &mut JsonObject, href: Option<String>) {
    if let Some(links) = page.get_mut("links").and_then(Value::as_array_mut) {
        links.retain(|link| link.get("rel").and_then(Value::as_str) != Some("next"));
        links.extend(href.map(|href| json!({"href": href, "rel": "next"})));
    }
}
