//! A page among others in a listing.

use atlas_model_keys_core::{GroupId, ItemsPerPage, Limits, ListRequest, Page, PageNum, Reply};

use crate::oracles::derived::{DerivedPage, borrowed};
use crate::oracles::paging::PageFacts;
use crate::targets::listing::{List, assert_listing};

/// The index of the first request, the limit of pages, and the sequence of pages that arrive.
const SCRIPTS: [(usize, u32, &str); 11] = [
    (0, 9, "PPPPP"),
    (1, 9, "PPPPP"),
    (2, 9, "QPPQP"),
    (1, 2, "PQP"),
    (3, 9, "PP"),
    // Empty pages, with a next page and without one, with links and without them.
    (1, 9, "PxxPxPxx"),
    (1, 9, "PxxxP"),
    (2, 9, "PePeeP"),
    (2, 9, "xPneP"),
    (0, 9, "QxeQeQ"),
    // The page again, with only those of its keys that have an id.
    (1, 9, "PtPt"),
];

/// Returns the first requests of the listings.
fn first_requests() -> [ListRequest; 4] {
    let group = GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits");
    let list = ListRequest::new(group);
    let page = |n| PageNum::new(n).expect("a page number is at least 1");
    let items = |n| ItemsPerPage::new(n).expect("1 to 500 items");
    [
        list.with_items_per_page(items(1))
            .with_page_num(page(7))
            .with_pretty(true),
        list,
        list.with_items_per_page(items(3)).with_page_num(page(2)),
        list.with_items_per_page(items(2))
            .with_page_num(page(u32::MAX - 1)),
    ]
}

/// Returns the facts about a page. The whole body stands for the text of its keys.
fn facts(derived: &DerivedPage, body: &[u8]) -> PageFacts {
    let keys = derived.results.as_deref().expect("a page has results");
    PageFacts {
        ids: keys.iter().map(|key| key.api_key_id.clone()).collect(),
        announces_next: derived.links_tell_next().then(|| derived.has_next()),
        total: derived.total(),
        text: body.to_vec(),
    }
}

/// Asserts that a listing follows the rules with any pages before and after this one, decoded and undecoded.
pub(super) fn assert_rules_hold(derived: &DerivedPage, body: &[u8]) {
    let keys = derived.results.iter().flatten();
    let ids = keys.filter_map(|key| key.api_key_id.as_deref());
    let keys_with_ids = serde_json::json!({
        "links": [{"rel": "next"}],
        "results": ids.map(|id| serde_json::json!({ "apiKeyId": id })).collect::<Vec<_>>(),
    })
    .to_string();
    let bodies: [(char, &[u8]); 6] = [
        ('P', body),
        ('t', keys_with_ids.as_bytes()),
        (
            'Q',
            br#"{"links":[{"rel":"next"}],"results":[{"apiKeyId":"q"}],"totalCount":9}"#,
        ),
        (
            'x',
            br#"{"links":[null,{"rel":"next"}],"results":[],"totalCount":20}"#,
        ),
        ('e', br#"{"links":[],"results":[]}"#),
        ('n', br#"{"results":[],"totalCount":1000}"#),
    ];
    let known = bodies.map(|(name, body)| {
        let derived = DerivedPage::read(body).expect("a page of the script").0;
        (name, facts(&derived, body))
    });
    // An undecoded repetition is recognised by its text from `results` on, which is not known here: two pages with equal ids
    // but different bodies are ambiguous.
    let is_ambiguous = |script: &str| {
        let facts = known.iter().filter(|(name, _)| script.contains(*name));
        let facts: Vec<_> = facts.map(|(_, facts)| facts).collect();
        let has_twin = |n: usize| {
            let ids = &facts[n].ids;
            !ids.is_empty() && facts[..n].iter().any(|other| other.ids == *ids)
        };
        (0..facts.len()).any(has_twin)
    };
    let page = |body| {
        let reply = Reply::from_response(http::Response::new(body)).expect("the status is 200");
        reply.into_page().expect("a page of the script")
    };
    let list = List {
        entries: |page: &Page<&[u8]>| page.keys().map(borrowed).collect(),
        accept: |listing, page, _| listing.accept(page).map(borrowed).collect(),
        with_page_num: ListRequest::with_page_num,
    };
    for (first, limit, script) in SCRIPTS {
        let mut limits = Limits::default();
        limits.pages = limit;
        let pages = script.chars().map(|name| {
            let index = bodies.iter().position(|(known, _)| *known == name);
            let index = index.expect("the script names known pages");
            (page(bodies[index].1), &known[index].1, bodies[index].1)
        });
        let pages: Vec<_> = pages.collect();
        let first = first_requests()[first];
        assert_listing(first, &limits, &pages, &list, !is_ambiguous(script));
    }
}
