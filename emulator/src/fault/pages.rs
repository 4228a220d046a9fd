//! What a page holds: links that lead astray, counts that are none, JSON at its edges and beyond.

use http::StatusCode;
use serde_json::{Value, json};

use crate::listing::Paging;

use super::argument::Argument;
use super::struck::{Page, Struck};
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    harmless(
        "next-other-host",
        "every page with keys has a next one, at another host",
        |s| {
            next(s, |s, paging| {
                let path = s.request.uri.path();
                let resource = format!("https://attacker.example{path}");
                paging.href(&resource, paging.page_num() + 1)
            });
        },
    ),
    harmless(
        "next-credentials",
        "every page with keys has a next one, with a user and a password in the link",
        |s| {
            next(s, |s, paging| {
                let url = s.self_url().replacen("://", "://user:password@", 1);
                paging.href(&url, paging.page_num() + 1)
            });
        },
    ),
    harmless(
        "next-javascript",
        "every page with keys has a next one, in a link that is a script",
        |s| next(s, |_, _| "javascript:alert(1)".to_owned()),
    ),
    harmless(
        "next-relative",
        "every page with keys has a next one, in a link without a host",
        |s| {
            next(s, |s, paging| {
                paging.href(s.request.uri.path(), paging.page_num() + 1)
            });
        },
    ),
    harmless(
        "next-itself",
        "every page with keys has a next one, in a link to the page itself",
        |s| next(s, |s, paging| paging.href(&s.self_url(), paging.page_num())),
    ),
    harmless(
        "next-lower",
        "every page with keys has a next one, in a link to the first page",
        |s| next(s, |s, paging| paging.href(&s.self_url(), 1)),
    ),
    harmless(
        "next-huge",
        "every page with keys has a next one, in a link to page 10^20 - 1",
        |s| {
            next(s, |s, paging| {
                paging.href(&s.self_url(), "99999999999999999999")
            });
        },
    ),
    fault(
        "pages-loop",
        "always a next page, with the keys of the first",
        |s| {
            s.page(|s, page, paging| {
                let keys = s.entries(0, paging.items_per_page());
                page.insert("results".to_owned(), keys.into());
                link_next(s, page, paging);
            });
        },
    ),
    fault(
        "pages-endless",
        "always a next page, with keys that were not there before",
        |s| {
            s.page(|s, page, paging| {
                let keys =
                    s.emulator
                        .strangers(s.request, paging.page_num(), paging.items_per_page());
                page.insert("results".to_owned(), keys.into());
                link_next(s, page, paging);
            });
        },
    ),
    fault(
        "pages-loop-one",
        "always a next page, with the first key and no other",
        |s| {
            s.page(|s, page, paging| {
                page.insert("results".to_owned(), s.entries(0, 1).into());
                link_next(s, page, paging);
            });
        },
    ),
    harmless(
        "page-empty",
        "this page is empty and has a next one, which holds what this one should",
        |s| empty_pages(s, 1),
    )
    .with(Argument::number(2, 1, 1_000_000)),
    harmless(
        "pages-empty",
        "this page and the one after it are empty and have a next one; then come the keys",
        |s| empty_pages(s, 2),
    )
    .with(Argument::number(2, 1, 1_000_000)),
    fault(
        "pages-empty-endless",
        "every page after the first is empty and has a next one",
        |s| {
            s.page(|s, page, paging| {
                if paging.page_num() > 1 {
                    page.insert("results".to_owned(), Value::Array(Vec::new()));
                    link_next(s, page, paging);
                }
            });
        },
    ),
    harmless(
        "page-empty-once",
        "this page is empty and has no next one, but only the first time it is asked for",
        |s| {
            s.page(|s, page, paging| {
                if paging.page_num() == s.value && *s.memory == 0 {
                    *s.memory = 1;
                    page.insert("results".to_owned(), Value::Array(Vec::new()));
                    set_next(page, None);
                }
            });
        },
    )
    .with(Argument::number(2, 1, 1_000_000)),
    harmless(
        "pages-overlap",
        "every page begins with this many keys of the one before: new ones came in front",
        |s| {
            s.page(|s, page, paging| {
                let items = paging.items_per_page();
                // Less than a page, or there would be no end.
                let back = s.value.min(items - 1) * (paging.page_num() - 1);
                let before = paging.before().saturating_sub(back);
                let keys = s.entries(before, items);
                let has_next = !s.entries(before + items, 1).is_empty();
                page.insert("results".to_owned(), keys.into());
                if has_next {
                    link_next(s, page, paging);
                } else {
                    set_next(page, None);
                }
            });
        },
    )
    .with(Argument::number(1, 1, 500)),
    harmless("total-zero", "totalCount is 0 beside keys", |s| {
        set(s, "totalCount", json!(0));
    }),
    harmless("total-huge", "totalCount is 2^64 - 1", |s| {
        set(s, "totalCount", json!(u64::MAX));
    }),
    harmless("total-missing", "totalCount is not there", |s| {
        remove(s, "totalCount");
    }),
    fault("total-negative", "totalCount is -1", |s| {
        set(s, "totalCount", json!(-1));
    }),
    fault("total-text", "totalCount is a text", |s| {
        set(s, "totalCount", json!("42"));
    }),
    fault("total-float", "totalCount is 42.5", |s| {
        set(s, "totalCount", json!(42.5));
    }),
    fault("total-null", "totalCount is null", |s| {
        set(s, "totalCount", Value::Null);
    }),
    harmless("total-exponent", "totalCount is 1e400", |s| {
        set_text(s, "totalCount", "1e400");
    }),
    harmless(
        "total-long",
        "totalCount is a number of this many digits",
        |s| {
            let digits = "7".repeat(s.size());
            set_text(s, "totalCount", &digits);
        },
    )
    .with(Argument::number(10_000, 1, 10_000_000)),
    harmless(
        "total-private-number",
        "totalCount is an object, as serde_json keeps long numbers",
        |s| set_text(s, "totalCount", PRIVATE_NUMBER),
    ),
    harmless(
        "total-private-raw",
        "totalCount is an object, as serde_json keeps raw values",
        |s| set_text(s, "totalCount", PRIVATE_RAW),
    ),
    fault("results-null", "results is null", |s| {
        set(s, "results", Value::Null);
    }),
    fault("results-missing", "results is not there", |s| {
        remove(s, "results");
    }),
    fault("results-object", "results is an object", |s| {
        set(s, "results", json!({"0": {"apiKeyId": "zero"}}));
    }),
    fault("results-with-null", "the last of results is null", |s| {
        s.page(|_, page, _| {
            if let Some(results) = page.get_mut("results").and_then(Value::as_array_mut) {
                results.push(Value::Null);
            }
        });
    }),
    harmless("links-missing", "links is not there", |s| {
        remove(s, "links");
    }),
    harmless(
        "links-total-missing",
        "neither links nor totalCount is there",
        |s| {
            remove(s, "links");
            remove(s, "totalCount");
        },
    ),
    fault("links-null", "links is null", |s| {
        set(s, "links", Value::Null);
    }),
    fault("links-only-null", "links is an array of a null", |s| {
        set(s, "links", json!([null]));
    }),
    harmless("links-with-null", "the last of links is null", |s| {
        s.page(|_, page, _| {
            if let Some(links) = page.get_mut("links").and_then(Value::as_array_mut) {
                links.push(Value::Null);
            }
        });
    }),
    fault("empty-keys", "this many keys, each an empty object", |s| {
        s.page(|s, page, _| {
            let keys = vec![json!({}); s.size()];
            page.insert("results".to_owned(), keys.into());
            set_next(page, None);
        });
    })
    .with(Argument::number(100_000, 1, 10_000_000)),
    harmless(
        "fields-unknown",
        "the page and its keys have fields of every type that nobody knows",
        |s| {
            let unknown = json!({"a": [1, -2.5e-3, true, null, "\u{1f511}", {}]});
            s.page(|_, page, _| {
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
        "status-unknown",
        "every key has a status that nobody knows",
        |s| {
            each_key(s, |key| {
                key.insert("status".to_owned(), "HIBERNATING".into());
            });
        },
    ),
    fault(
        "fields-mistyped",
        "every key has a number for its name",
        |s| {
            each_key(s, |key| {
                key.insert("name".to_owned(), 42.into());
            });
        },
    ),
    harmless("secrets", "every key comes with its secret", |s| {
        s.page(|s, page, paging| {
            let count = page
                .get("results")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            let keys = s
                .emulator
                .entries(s.request, paging.before(), count as u64, true);
            page.insert("results".to_owned(), keys.into());
        });
    }),
    fault("field-twice", "the first key has two ids", |s| {
        s.insert_into_key(b"\"apiKeyId\":\"theOtherOne\"");
    }),
    harmless(
        "field-twice-unknown",
        "the page and its first key have an unknown field twice",
        |s| {
            let twice = b"\"aNewField\":1,\"aNewField\":{\"a\":1,\"a\":2},".as_slice();
            s.insert_into_key(b"\"aNewField\":1,\"aNewField\":2");
            // Not as a field of the page: that would read the page again, and so tidy the key.
            s.text(|body| match body.split_first() {
                Some((b'{', rest)) => [b"{", twice, rest].concat(),
                _ => body,
            });
        },
    ),
    fault(
        "utf8-invalid",
        "the first name holds bytes that are no UTF-8",
        |s| {
            s.insert_into_name(b"\xff\xc0\x80\xed\xa0\x80");
        },
    ),
    fault("utf8-bom", "the page begins with a byte order mark", |s| {
        s.text(|body| [b"\xef\xbb\xbf".as_slice(), &body].concat());
    }),
    fault("utf16", "the page is in UTF-16", |s| {
        s.text(|body| {
            let text = String::from_utf8_lossy(&body).into_owned();
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        });
    }),
    fault(
        "surrogate-unknown",
        "an unknown field holds half of a surrogate pair, escaped",
        |s| s.insert_field(br#""aNewField":"\ud800""#),
    ),
    fault(
        "surrogate-name",
        "the first name holds half of a surrogate pair, escaped",
        |s| s.insert_into_name(br"\ud800"),
    ),
    fault("nul-name", "the first name holds a NUL, not escaped", |s| {
        s.insert_into_name(b"\0");
    }),
    fault(
        "nested",
        "an unknown field holds arrays, nested this deep",
        |s| {
            let depth = s.size();
            let arrays = ["[".repeat(depth), "]".repeat(depth)].concat();
            s.insert_field(format!("\"aNewField\":{arrays}").as_bytes());
        },
    )
    .with(Argument::number(10_000, 1, 10_000_000)),
    harmless(
        "number-long",
        "an unknown field holds a number of this many digits",
        |s| {
            let digits = "7".repeat(s.size());
            s.insert_field(format!("\"aNewField\":{digits}").as_bytes());
        },
    )
    .with(Argument::number(10_000, 1, 10_000_000)),
    harmless("number-huge", "an unknown field holds 1e400", |s| {
        s.insert_field(b"\"aNewField\":1e400");
    }),
    harmless(
        "unknown-private-number",
        "an unknown field holds an object, as serde_json keeps long numbers",
        |s| s.insert_field(format!("\"aNewField\":{PRIVATE_NUMBER}").as_bytes()),
    ),
    harmless(
        "unknown-private-raw",
        "an unknown field holds an object, as serde_json keeps raw values",
        |s| s.insert_field(format!("\"aNewField\":{PRIVATE_RAW}").as_bytes()),
    ),
    fault(
        "json-truncated",
        "the page is only the first half of itself",
        |s| {
            s.text(|mut body| {
                body.truncate(body.len() / 2);
                body
            });
        },
    ),
    fault("json-trailing", "after the page comes another value", |s| {
        s.text(|body| [body, b"\n{}".to_vec()].concat());
    }),
    harmless("json-spaces", "around the page are this many spaces", |s| {
        let mut before: Vec<u8> = b" \t\r\n".iter().copied().cycle().take(s.size()).collect();
        let after = before.split_off(s.size() / 2);
        s.text(|body| [before, body, after].concat());
    })
    .with(Argument::number(100_000, 1, 64 << 20)),
    fault("json-number", "the page is a number", |s| {
        s.text(|_| b"42".to_vec());
    }),
    fault("error-in-200", "200 with an error in Atlas's shape", |s| {
        if s.response.status() == StatusCode::OK {
            s.fail(StatusCode::INTERNAL_SERVER_ERROR);
            *s.response.status_mut() = StatusCode::OK;
        }
    }),
];

/// What `serde_json` uses inside, where a parser that knows it may take an object for something else:
/// a number with `arbitrary_precision`, and any value with `raw_value`.
const PRIVATE_NUMBER: &str = r#"{"$serde_json::private::Number":"12"}"#;
const PRIVATE_RAW: &str = r#"{"$serde_json::private::RawValue":"12"}"#;

impl Struck<'_> {
    /// Some of the keys that the request lists.
    fn entries(&self, before: u64, count: u64) -> Vec<Value> {
        self.emulator.entries(self.request, before, count, false)
    }
}

fn set(s: &mut Struck<'_>, field: &str, value: Value) {
    s.page(|_, page, _| {
        page.insert(field.to_owned(), value);
    });
}

/// As the first field of the page, for what no [`Value`] holds.
fn set_text(s: &mut Struck<'_>, field: &str, json: &str) {
    remove(s, field);
    s.insert_field(format!("\"{field}\":{json}").as_bytes());
}

fn remove(s: &mut Struck<'_>, field: &str) {
    s.page(|_, page, _| {
        page.remove(field);
    });
}

fn each_key(s: &mut Struck<'_>, change: impl Fn(&mut Page)) {
    s.page(|_, page, _| {
        let keys = page.get_mut("results").and_then(Value::as_array_mut);
        keys.into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .for_each(change);
    });
}

/// From the page that is the argument on, `count` pages are empty and have a next one. What they should
/// hold comes after them.
fn empty_pages(s: &mut Struck<'_>, count: u64) {
    s.page(|s, page, paging| {
        let (first, items) = (s.value, paging.items_per_page());
        let Some(pages_since) = paging.page_num().checked_sub(first) else {
            return;
        };
        let full_before = first - 1 + pages_since.saturating_sub(count);
        let (keys, after) = if pages_since < count {
            (Vec::new(), full_before)
        } else {
            (s.entries(full_before * items, items), full_before + 1)
        };
        page.insert("results".to_owned(), keys.into());
        if s.entries(after * items, 1).is_empty() {
            set_next(page, None);
        } else {
            link_next(s, page, paging);
        }
    });
}

/// A link to a next page on every page with keys. One on an empty page would be a listing without an
/// end, which is another fault.
fn next(s: &mut Struck<'_>, href: impl FnOnce(&Struck<'_>, &Paging) -> String) {
    s.page(|s, page, paging| {
        let results = page.get("results").and_then(Value::as_array);
        if results.is_some_and(|results| !results.is_empty()) {
            set_next(page, Some(href(s, paging)));
        }
    });
}

/// The honest link, whether there is such a page or not.
fn link_next(s: &Struck<'_>, page: &mut Page, paging: &Paging) {
    let href = paging.href(&s.self_url(), paging.page_num() + 1);
    set_next(page, Some(href));
}

fn set_next(page: &mut Page, href: Option<String>) {
    if let Some(links) = page.get_mut("links").and_then(Value::as_array_mut) {
        links.retain(|link| link.get("rel").and_then(Value::as_str) != Some("next"));
        links.extend(href.map(|href| json!({"href": href, "rel": "next"})));
    }
}
