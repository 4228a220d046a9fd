//! The rules of paging a second time, told from all answers so far instead of step by step.

use atlas_model_keys_core::{
    Error, GroupId, InvalidResponseKind, ItemsPerPage, Limits, ListRequest, Listing, Page, PageNum,
    Reply,
};

use super::{PlainPage, borrowed};

/// Which answers come one after the other, and with which request and limit of pages it begins.
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
    // The keys that have an id, without those that have none.
    (1, 9, "PtPt"),
];

/// What a listing begins with.
fn firsts() -> [ListRequest; 4] {
    let group = GroupId::new("0123456789abcdef01234567").expect("it is one");
    let list = ListRequest::new(group);
    let page = |n| PageNum::new(n).expect("it is one");
    let items = |n| ItemsPerPage::new(n).expect("it is one");
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

/// An answer, as far as paging depends on it.
struct Answer {
    ids: Vec<Option<String>>,
    /// What the links say, where there are links.
    says_next: Option<bool>,
    total: Option<u64>,
}

impl Answer {
    fn of(plain: &PlainPage) -> Self {
        let keys = plain.results.as_deref().expect("a page has results");
        Self {
            ids: keys.iter().map(|key| key.api_key_id.clone()).collect(),
            says_next: plain.says_anything().then(|| plain.has_next()),
            total: plain.total(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn announces(&self) -> bool {
        self.says_next == Some(true)
    }

    /// Whether it has the ids of another one, all of them there.
    fn repeats(&self, other: &Self) -> bool {
        self.ids == other.ids && self.ids.iter().all(Option::is_some)
    }
}

/// What comes next.
#[derive(Debug, PartialEq)]
enum Next {
    Ask(ListRequest),
    End,
    /// It would never end.
    Endless,
    TooMany,
}

struct Model<'a> {
    first: ListRequest,
    limit: u32,
    seen: Vec<&'a Answer>,
}

impl Model<'_> {
    fn items(&self) -> u64 {
        self.first
            .items_per_page()
            .map_or(100, |items| items.get().into())
    }

    /// Whether the request of an answer is asked again: a link announced a page, and it is empty.
    fn asks_again(&self, n: usize) -> bool {
        let answer = self.seen[n];
        answer.is_empty() && !answer.announces() && n > 0 && self.seen[n - 1].announces()
    }

    /// What comes after all answers, of which so many keys count.
    fn next(&self, keys: u64) -> Next {
        let asked = (0..self.seen.len())
            .filter(|n| !self.asks_again(*n))
            .count() as u32;
        let ask = || {
            let number = self.first.page_num().get().checked_add(asked);
            match number.and_then(|number| PageNum::new(number).ok()) {
                Some(number) if self.seen.len() < self.limit as usize => {
                    Next::Ask(self.first.with_page_num(number))
                }
                _ => Next::TooMany,
            }
        };
        let Some(last) = self.seen.last() else {
            return Next::Ask(self.first);
        };
        let with_keys: Vec<_> = self.seen.iter().filter(|a| !a.is_empty()).collect();
        if last.is_empty() {
            let since = self.seen.iter().rev().take_while(|a| a.is_empty());
            return match last.announces() {
                true if since.filter(|a| a.announces()).count() >= 3 => Next::Endless,
                true => ask(),
                false if self.asks_again(self.seen.len() - 1) => ask(),
                false => Next::End,
            };
        }
        let pairs = with_keys.windows(2).rev();
        let same = pairs.take_while(|pair| pair[1].repeats(pair[0])).count();
        if same >= 3 || (same >= 1 && last.ids.len() > 1) {
            return Next::Endless;
        }
        let before = u64::from(self.first.page_num().get() - 1) * self.items();
        let goes_on = match last.says_next {
            Some(says) => says,
            None => {
                last.ids.len() as u64 >= self.items()
                    || last.total.is_some_and(|total| total > before + keys)
            }
        };
        if goes_on { ask() } else { Next::End }
    }

    /// Which keys of the last answer the page before it did not have.
    fn new_keys(&self) -> Vec<usize> {
        let [.., before, last] = &self.seen[..] else {
            return (0..self.seen[0].ids.len()).collect();
        };
        let is_new = |id: &Option<String>| id.is_none() || !before.ids.contains(id);
        let ids = last.ids.iter().enumerate();
        ids.filter(|(_, id)| is_new(id)).map(|(n, _)| n).collect()
    }

    /// How far may be read ahead from a request.
    fn window(&self, next: &Next, size: usize) -> Vec<ListRequest> {
        let Next::Ask(request) = next else {
            return Vec::new();
        };
        let from = request.page_num().get();
        let left = (self.limit as usize - self.seen.len()).min(size);
        let last = match self.seen.last() {
            Some(answer) if !self.asks_again(self.seen.len() - 1) => answer
                .total
                .and_then(|total| u32::try_from(total.div_ceil(self.items())).ok())
                .filter(|last| *last >= from)
                .unwrap_or(u32::MAX),
            _ => from,
        };
        let numbers = (from..=last).take(left);
        let page = |n| PageNum::new(n).expect("it is one");
        numbers.map(|n| self.first.with_page_num(page(n))).collect()
    }
}

/// What a listing says next is what the rules say.
fn says(listing: &Listing, expected: &Next) {
    match (listing.request(), expected) {
        (Ok(Some(request)), Next::Ask(expected)) => assert_eq!(request, *expected),
        (Ok(None), Next::End) => {}
        (Err(Error::Limit { what: "pages", .. }), Next::TooMany) => {}
        (Err(Error::InvalidResponse(error)), Next::Endless) => {
            assert_eq!(error.kind(), InvalidResponseKind::Paging);
            let path = error.path();
            let number = path.strip_prefix("page ").map(str::parse::<u32>);
            assert!(matches!(number, Some(Ok(_))), "{path}");
        }
        (request, expected) => panic!("{request:?} instead of {expected:?}"),
    }
}

/// Whatever comes before or behind the page, the listing goes on as the rules say, read in each way.
pub(super) fn follows_the_rules(page: &Page<&[u8]>, plain: &PlainPage, body: &[u8]) {
    let with_ids: Vec<_> = plain.results.iter().flatten().collect();
    let with_ids = with_ids.iter().filter_map(|key| key.api_key_id.as_deref());
    let with_ids = with_ids.map(|id| serde_json::json!({ "apiKeyId": id }));
    let with_ids = serde_json::json!({
        "links": [{"rel": "next"}],
        "results": with_ids.collect::<Vec<_>>(),
    })
    .to_string();
    let bodies: [(char, &[u8]); 6] = [
        ('P', body),
        ('t', with_ids.as_bytes()),
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
        let plain = PlainPage::read(body).expect("it is a page").0;
        let page = reply(body).into_page().expect("it is a page");
        (name, page, Answer::of(&plain), body)
    });
    // Undecoded, a repetition is told by the text of the results, which two of these pages must not differ in alone.
    let is_ambiguous = |script: &str| {
        let answers = others.iter().filter(|(name, ..)| script.contains(*name));
        let answers: Vec<_> = answers.map(|(_, _, answer, _)| answer).collect();
        let has_twin = |n: usize| answers[..n].iter().any(|other| answers[n].repeats(other));
        (0..answers.len()).any(|n| !answers[n].is_empty() && has_twin(n))
    };
    for (first, limit, script) in SCRIPTS {
        let first = firsts()[first];
        let mut limits = Limits::default();
        limits.pages = limit;
        let listing = Listing::new(first, &limits);
        let (mut accepts, mut advances) = (listing.clone(), listing.clone());
        let mut skims = Some(listing).filter(|_| !is_ambiguous(script));
        let mut model = Model {
            first,
            limit,
            seen: Vec::new(),
        };
        let (mut keys, mut total) = (0, None);
        for name in script.chars() {
            let (_, other, answer, body) = others
                .iter()
                .find(|(known, ..)| *known == name)
                .expect("it is there");
            let page = if name == 'P' { page } else { other };
            model.seen.push(answer);
            keys += answer.ids.len() as u64;
            total = answer.total.or(total);

            let mut lent = Vec::new();
            lent.extend(accepts.accept(page).map(borrowed));
            let all: Vec<_> = page.keys().map(borrowed).collect();
            let new = model.new_keys().into_iter().map(|n| all[n].clone());
            assert!(new.eq(lent), "{script}");
            advances.advance(page);
            if let Some(listing) = &mut skims {
                listing.advance_undecoded(&reply(*body));
                // A page that was not decoded does not count.
                assert!(listing.keys_read() <= keys);
                let next = model.next(listing.keys_read());
                says(listing, &next);
                if !matches!(next, Next::Ask(_)) {
                    skims = None;
                }
            }

            let next = model.next(keys);
            for listing in [&accepts, &advances] {
                says(listing, &next);
                assert_eq!(listing.keys_read(), keys);
                assert_eq!(listing.total_count(), total);
                for size in [0, 1, 9] {
                    let window = model.window(&next, size.max(1));
                    assert!(listing.window(size).eq(window), "{script}");
                }
            }
            if !matches!(next, Next::Ask(_)) {
                break;
            }
        }
    }
}
