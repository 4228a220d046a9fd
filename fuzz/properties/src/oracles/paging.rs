//! A second implementation of the paging rules, which decides from all pages so far instead of step by step.

use atlas_model_keys_core::{
    Error, GroupId, InvalidResponseKind, ItemsPerPage, Limits, ListRequest, Listing, Page, PageNum,
    Reply,
};

use crate::oracles::derived::{DerivedPage, borrowed};

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

/// The facts about a page that paging depends on.
struct PageFacts {
    ids: Vec<Option<String>>,
    /// Whether the links announce a next page. `None` if they do not tell.
    announces_next: Option<bool>,
    total: Option<u64>,
}

impl PageFacts {
    fn new(derived: &DerivedPage) -> Self {
        let keys = derived.results.as_deref().expect("a page has results");
        Self {
            ids: keys.iter().map(|key| key.api_key_id.clone()).collect(),
            announces_next: derived.links_tell_next().then(|| derived.has_next()),
            total: derived.total(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn announces_page(&self) -> bool {
        self.announces_next == Some(true)
    }

    /// Returns whether both pages have the same ids, and every key has one.
    fn repeats(&self, other: &Self) -> bool {
        self.ids == other.ids && self.ids.iter().all(Option::is_some)
    }
}

/// The next step of a listing.
#[derive(Debug, PartialEq)]
enum NextStep {
    /// The next request is sent.
    Request(ListRequest),
    /// The listing is complete.
    End,
    /// The listing would never end, which is an error.
    Endless,
    /// The limit of pages is reached.
    TooManyPages,
}

/// A listing's requests and pages so far.
struct PagingModel<'a> {
    first: ListRequest,
    limit: u32,
    seen: Vec<&'a PageFacts>,
}

impl PagingModel<'_> {
    fn items(&self) -> u64 {
        self.first
            .items_per_page()
            .map_or(100, |items| items.get().into())
    }

    /// Returns whether a page is requested again: the page before it announced it, and it is empty.
    fn is_requested_again(&self, n: usize) -> bool {
        let facts = self.seen[n];
        facts.is_empty() && !facts.announces_page() && n > 0 && self.seen[n - 1].announces_page()
    }

    /// Returns the next step after all pages, with `keys` keys read so far.
    fn next(&self, keys: u64) -> NextStep {
        let requested = (0..self.seen.len())
            .filter(|n| !self.is_requested_again(*n))
            .count() as u32;
        let request_next = || {
            let number = self.first.page_num().get().checked_add(requested);
            match number.and_then(|number| PageNum::new(number).ok()) {
                Some(number) if self.seen.len() < self.limit as usize => {
                    NextStep::Request(self.first.with_page_num(number))
                }
                _ => NextStep::TooManyPages,
            }
        };
        let Some(last) = self.seen.last() else {
            return NextStep::Request(self.first);
        };
        let with_keys: Vec<_> = self.seen.iter().filter(|a| !a.is_empty()).collect();
        if last.is_empty() {
            let since = self.seen.iter().rev().take_while(|a| a.is_empty());
            return match last.announces_page() {
                true if since.filter(|a| a.announces_page()).count() >= 3 => NextStep::Endless,
                true => request_next(),
                false if self.is_requested_again(self.seen.len() - 1) => request_next(),
                false => NextStep::End,
            };
        }
        let pairs = with_keys.windows(2).rev();
        let same = pairs.take_while(|pair| pair[1].repeats(pair[0])).count();
        if same >= 3 || (same >= 1 && last.ids.len() > 1) {
            return NextStep::Endless;
        }
        let before = u64::from(self.first.page_num().get() - 1) * self.items();
        let goes_on = match last.announces_next {
            Some(announced) => announced,
            None => {
                last.ids.len() as u64 >= self.items()
                    || last.total.is_some_and(|total| total > before + keys)
            }
        };
        if goes_on {
            request_next()
        } else {
            NextStep::End
        }
    }

    /// Returns the indices of the keys of the last page that were not on the page before it.
    fn new_keys(&self) -> Vec<usize> {
        let [.., before, last] = &self.seen[..] else {
            return (0..self.seen[0].ids.len()).collect();
        };
        let is_new = |id: &Option<String>| id.is_none() || !before.ids.contains(id);
        let ids = last.ids.iter().enumerate();
        ids.filter(|(_, id)| is_new(id)).map(|(n, _)| n).collect()
    }

    /// Returns the requests that may be sent ahead, `size` at most.
    fn window(&self, next: &NextStep, size: usize) -> Vec<ListRequest> {
        let NextStep::Request(request) = next else {
            return Vec::new();
        };
        let from = request.page_num().get();
        let left = (self.limit as usize - self.seen.len()).min(size);
        let last = match self.seen.last() {
            Some(facts) if !self.is_requested_again(self.seen.len() - 1) => facts
                .total
                .and_then(|total| u32::try_from(total.div_ceil(self.items())).ok())
                .filter(|last| *last >= from)
                .unwrap_or(u32::MAX),
            _ => from,
        };
        let numbers = (from..=last).take(left);
        let page = |n| PageNum::new(n).expect("a page number is at least 1");
        numbers.map(|n| self.first.with_page_num(page(n))).collect()
    }
}

/// Asserts that a listing takes the expected step.
fn assert_next_step(listing: &Listing, expected: &NextStep) {
    match (listing.request(), expected) {
        (Ok(Some(request)), NextStep::Request(expected)) => assert_eq!(request, *expected),
        (Ok(None), NextStep::End) => {}
        (Err(Error::Limit { what: "pages", .. }), NextStep::TooManyPages) => {}
        (Err(Error::InvalidResponse(error)), NextStep::Endless) => {
            assert_eq!(error.kind(), InvalidResponseKind::Paging);
            let path = error.path();
            let number = path.strip_prefix("page ").map(str::parse::<u32>);
            assert!(matches!(number, Some(Ok(_))), "{path}");
        }
        (request, expected) => panic!("{request:?} instead of {expected:?}"),
    }
}

/// Asserts that a listing follows the rules with any pages before and after this one, decoded and undecoded.
pub(crate) fn assert_rules_hold(page: &Page<&[u8]>, derived: &DerivedPage, body: &[u8]) {
    let keys_with_ids: Vec<_> = derived.results.iter().flatten().collect();
    let keys_with_ids = keys_with_ids
        .iter()
        .filter_map(|key| key.api_key_id.as_deref());
    let keys_with_ids = keys_with_ids.map(|id| serde_json::json!({ "apiKeyId": id }));
    let keys_with_ids = serde_json::json!({
        "links": [{"rel": "next"}],
        "results": keys_with_ids.collect::<Vec<_>>(),
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
    let reply = |body| Reply::from_response(http::Response::new(body)).expect("the status is 200");
    let others = bodies.map(|(name, body)| {
        let derived = DerivedPage::read(body).expect("a page of the script").0;
        let page = reply(body).into_page().expect("a page of the script");
        (name, page, PageFacts::new(&derived), body)
    });
    // An undecoded repetition is recognised by the text of `results`, so two pages with equal ids but different
    // texts are ambiguous.
    let is_ambiguous = |script: &str| {
        let all_facts = others.iter().filter(|(name, ..)| script.contains(*name));
        let all_facts: Vec<_> = all_facts.map(|(_, _, facts, _)| facts).collect();
        let has_twin = |n: usize| {
            all_facts[..n]
                .iter()
                .any(|other| all_facts[n].repeats(other))
        };
        (0..all_facts.len()).any(|n| !all_facts[n].is_empty() && has_twin(n))
    };
    for (first, limit, script) in SCRIPTS {
        let first = first_requests()[first];
        let mut limits = Limits::default();
        limits.pages = limit;
        let listing = Listing::new(first, &limits);
        let (mut accepting, mut advancing) = (listing.clone(), listing.clone());
        let mut undecoded = Some(listing).filter(|_| !is_ambiguous(script));
        let mut model = PagingModel {
            first,
            limit,
            seen: Vec::new(),
        };
        let (mut keys, mut total) = (0, None);
        for name in script.chars() {
            let (_, other, facts, body) = others
                .iter()
                .find(|(known, ..)| *known == name)
                .expect("the script names known pages");
            let page = if name == 'P' { page } else { other };
            model.seen.push(facts);
            keys += facts.ids.len() as u64;
            total = facts.total.or(total);

            let accepted: Vec<_> = accepting.accept(page).map(borrowed).collect();
            let all: Vec<_> = page.keys().map(borrowed).collect();
            let new = model.new_keys().into_iter().map(|n| all[n].clone());
            assert!(new.eq(accepted), "{script}");
            advancing.advance(page);
            if let Some(listing) = &mut undecoded {
                listing.advance_undecoded(&reply(*body));
                // The keys of an undecoded page are not counted.
                assert!(listing.keys_read() <= keys);
                let next = model.next(listing.keys_read());
                assert_next_step(listing, &next);
                if !matches!(next, NextStep::Request(_)) {
                    undecoded = None;
                }
            }

            let next = model.next(keys);
            for listing in [&accepting, &advancing] {
                assert_next_step(listing, &next);
                assert_eq!(listing.keys_read(), keys);
                assert_eq!(listing.total_count(), total);
                for size in [0, 1, 9] {
                    let window = model.window(&next, size.max(1));
                    assert!(listing.window(size).eq(window), "{script}");
                }
            }
            if !matches!(next, NextStep::Request(_)) {
                break;
            }
        }
    }
}
