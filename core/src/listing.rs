use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::decode::Decoded;
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::{
    Endpoint, Error, ItemsPerPage, Limits, ListRequest, ModelKey, OwnedModelKey, OwnedPageKeys,
    Page, Reply,
};

/// Where a listing over several pages stands: what to ask for next, and which keys were seen.
///
/// It has no I/O, and every transport uses it. It never ends silently short:
///
/// - There is a next page if a link says so. Where a page has no links, or none with a relation (Atlas requires none),
///   there is one if the page is full, or if `totalCount` is more than the keys so far; an empty page is the last.
/// - The next request is the same request with the next page number, never a link's target.
/// - An empty page that has a next page is skipped; the third in a row is an error. An empty page that has none,
///   behind a page whose link announced it, is requested once more: the list may have become shorter, or
///   the answer was another request's.
/// - A page with the ids of the page before, all of them present and in the same order, is an error: such a
///   listing would never end. With one key on a page it is an error at the third repetition, since a new key in
///   front of the list makes a page repeat.
/// - `totalCount` alone neither ends a listing nor makes it fail, because lists change while they are read. See
///   [`keys_read`](Listing::keys_read) and [`total_count`](Listing::total_count).
/// - A list that changes while it is read moves entries over a page's edge: [`accept`] leaves out a key whose id
///   the page before already had. Keys without an id are never left out.
/// - More pages than [`Limits::pages`] are an error.
///
/// [`accept`]: Listing::accept
///
/// ```
/// # use atlas_model_keys_core::{Error, GroupId, Limits, ListRequest, Listing, Reply};
/// # let fetch = |request: &ListRequest| -> Result<_, Error> {
/// #     let links = if request.page_num().get() < 3 { r#"[{"rel":"next"}]"# } else { "[]" };
/// #     let body = format!(r#"{{"links":{links},"results":[{{"apiKeyId":"{}"}}]}}"#, request.page_num());
/// #     Reply::from_response(http::Response::new(body.into_bytes()))?.into_page()
/// # };
/// let request = ListRequest::new(GroupId::new("69681d39c9e8cfd375386316")?);
/// let mut listing = Listing::new(request, &Limits::default());
/// let mut ids = Vec::new();
/// while let Some(request) = listing.request()? {
///     let page = fetch(&request)?; // however you do that
///     ids.extend(listing.accept(&page).filter_map(|key| key.api_key_id().map(str::to_owned)));
/// }
/// assert_eq!(ids, ["1", "2", "3"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Listing {
    next: Option<ListRequest>,
    /// Why it cannot go on.
    failed: Option<Box<Error>>,
    pages_left: u32,
    limit: u32,
    last_page: LastPage,
    /// Keys before the first page, as far as its number tells, and keys on the pages so far.
    skipped: u64,
    keys_read: u64,
    total_count: Option<u64>,
    /// Whether a link of the last page announced the next one.
    is_announced: bool,
    /// Whether the next request repeats the last one.
    is_repeated: bool,
    /// Empty pages in a row, and pages in a row that had the one key of the page before.
    empty_pages: u8,
    same_pages: u8,
    /// The ids of the last page with keys, and of the one before it.
    last: Ids,
    before: Ids,
    /// Of the last page with keys, where its ids are not known.
    sample: Option<u64>,
    /// Which of the last page's keys the one before it had, too.
    repeated: Vec<usize>,
}

/// So many empty pages in a row with a next page are an error.
const EMPTY_PAGES: u8 = 3;

/// So many repetitions of a page with a single key are an error.
const SAME_PAGES: u8 = 3;

impl Listing {
    /// A listing that begins with `first`.
    pub fn new(first: ListRequest, limits: &Limits) -> Self {
        let pages = u64::from(first.page_num().get()).saturating_sub(1);
        Self {
            next: Some(first),
            failed: None,
            pages_left: limits.pages,
            limit: limits.pages,
            last_page: LastPage::This,
            skipped: pages.saturating_mul(u64::from(items(&first))),
            keys_read: 0,
            total_count: None,
            is_announced: false,
            is_repeated: false,
            empty_pages: 0,
            same_pages: 0,
            last: Ids::default(),
            before: Ids::default(),
            sample: None,
            repeated: Vec::new(),
        }
    }

    /// Returns what to ask for next; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Limit`] where there is a page beyond [`Limits::pages`], and [`Error::InvalidResponse`] where the pages
    /// so far would never come to an end: each had the keys of the one before, or one after the other was
    /// empty. What was accepted before is as it should be.
    pub fn request(&self) -> Result<Option<ListRequest>, Error> {
        match (&self.failed, self.next) {
            (Some(error), _) => Err((**error).clone()),
            (None, Some(_)) if self.pages_left == 0 => Err(Error::Limit {
                what: "pages",
                limit: u64::from(self.limit),
            }),
            (None, next) => Ok(next),
        }
    }

    /// Returns how many keys the pages so far had, those that are left out included. Pages that were not
    /// decoded do not count.
    #[must_use]
    pub fn keys_read(&self) -> u64 {
        self.keys_read
    }

    /// Returns how many keys the whole list has, by the last page that gave a sensible `totalCount`.
    #[must_use]
    pub fn total_count(&self) -> Option<u64> {
        self.total_count
    }

    /// What may be asked for at the same time, for those who read ahead: the request that
    /// [`request`](Listing::request) gives, and those after it, `size` in all and one at the least.
    ///
    /// Only the first one before a page has shown that there is a next one, and no more than
    /// `totalCount` suggests or [`Limits::pages`] allows. Answers are taken in this order, each by
    /// [`accept`](Listing::accept) or [`advance`](Listing::advance); after each, what is on its way is the beginning of the
    /// new window. What was asked for beyond the end is to be dropped, errors too.
    ///
    /// ```
    /// # use atlas_model_keys_core::{GroupId, Limits, ListRequest, Listing, Reply};
    /// let request = ListRequest::new(GroupId::new("69681d39c9e8cfd375386316")?);
    /// let mut listing = Listing::new(request, &Limits::default());
    /// assert_eq!(listing.window(8).count(), 1);
    ///
    /// let body = br#"{"links":[{"rel":"next"}],"results":[{}],"totalCount":450}"#;
    /// listing.advance(&Reply::from_response(http::Response::new(body.as_slice()))?.into_page()?);
    /// let pages: Vec<u32> = listing.window(8).map(|request| request.page_num().get()).collect();
    /// assert_eq!(pages, [2, 3, 4, 5]);
    /// # Ok::<(), atlas_model_keys_core::Error>(())
    /// ```
    pub fn window(&self, size: usize) -> impl Iterator<Item = ListRequest> + use<> {
        let first = self.next;
        let last = match self.last_page {
            LastPage::This => first.map_or(0, |first| first.page_num().get()),
            LastPage::Suggested(number) => number,
            LastPage::Unknown => u32::MAX,
        };
        let left = usize::try_from(self.pages_left).unwrap_or(usize::MAX);
        core::iter::successors(first, ListRequest::next_page)
            .take(size.max(1).min(left))
            .take_while(move |request| request.page_num().get() <= last)
    }

    /// Takes the page that answers [`request`](Listing::request), moves on, and gives the keys
    /// that the page before did not have.
    pub fn accept<'p, B: AsRef<[u8]>>(
        &mut self,
        page: &'p Page<B>,
    ) -> impl Iterator<Item = ModelKey<'p>> + use<'_, 'p, B> {
        self.take(page);
        let mut repeated = self.repeated.iter().peekable();
        page.keys()
            .enumerate()
            .filter(move |(n, _)| repeated.next_if_eq(&n).is_none())
            .map(|(_, key)| key)
    }

    /// Takes the page like [`accept`](Listing::accept), and gives keys that do not need the page: made one at a
    /// time, and the page's buffer is the caller's again at the end.
    ///
    /// ```
    /// # use atlas_model_keys_core::{GroupId, Limits, ListRequest, Listing, Reply};
    /// # let mut listing = Listing::new(ListRequest::new(GroupId::new("69681d39c9e8cfd375386316")?), &Limits::default());
    /// # let body = br#"{"results":[{"name":"a"},{"name":"b"}]}"#.to_vec();
    /// # let page = Reply::from_response(http::Response::new(body))?.into_page()?;
    /// let mut keys = listing.accept_owned(page);
    /// for key in &mut keys {
    ///     println!("{:?}", key.name());
    /// }
    /// let buffer = keys.into_body();
    /// # assert_eq!(buffer.len(), 39);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept_owned<B: AsRef<[u8]>>(&mut self, page: Page<B>) -> OwnedPageKeys<B> {
        self.take(&page);
        OwnedPageKeys::new(page, &self.repeated)
    }

    /// Moves on, and notes which keys the page before had, too.
    fn take<B: AsRef<[u8]>>(&mut self, page: &Page<B>) {
        self.repeated.clear();
        let is_behind_empty = self.empty_pages > 0 || self.is_repeated;
        if !is_behind_empty {
            for (n, id) in page.ids().enumerate() {
                if id.is_some_and(|id| self.last.contains(id)) {
                    self.repeated.push(n);
                }
            }
        }
        self.advance(page);
        self.last.sort();
    }

    /// Takes the page that answers [`request`](Listing::request), and moves on: for callers who want every
    /// key as it came.
    pub fn advance<B: AsRef<[u8]>>(&mut self, page: &Page<B>) {
        let repeats = self.repeats(page.ids());
        self.move_on(&Seen::of(page.decoded(), repeats));
    }

    /// Takes the reply to [`request`](Listing::request), and moves on: for callers who do not decode the body.
    ///
    /// A body that is not a page makes the next [`request`](Listing::request) an error, so that a
    /// listing does not end with it as if it were the last. Whether a page repeats the one before is told by
    /// both ends of its results.
    pub fn advance_undecoded<B: AsRef<[u8]>>(&mut self, reply: &Reply<B>) {
        let skimmed = reply.skim();
        let sample = skimmed.filter(|s| s.has_keys).map(|s| s.sample);
        let has_same_sample = sample.is_some() && sample == self.sample;
        if let Some(skimmed) = skimmed
            && !has_same_sample
        {
            self.sample = sample.or(self.sample);
            return self.move_on(&Seen {
                keys: 0,
                is_empty: !skimmed.has_keys,
                says_next: Some(skimmed.says_next),
                total_count: None,
                repeats: false,
            });
        }
        match reply.decode() {
            Ok(decoded) => {
                let repeats = self.repeats(decoded.ids(reply.body().as_ref()));
                let has_ids = decoded.ids(reply.body().as_ref()).all(|id| id.is_some());
                self.move_on(&Seen::of(&decoded, repeats || (has_same_sample && has_ids)));
            }
            Err(error) => {
                self.next = None;
                self.failed = Some(Box::new(error));
            }
        }
    }

    /// Keeps the ids of a page with keys. Whether they are those of the page before, in the same order.
    fn repeats<'a>(&mut self, ids: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        let mut ids = ids.peekable();
        if ids.peek().is_none() {
            return false;
        }
        core::mem::swap(&mut self.before, &mut self.last);
        self.last.clear();
        let mut has_all = true;
        for id in ids {
            match id {
                Some(id) => self.last.push(id),
                None => {
                    has_all = false;
                    self.last.push_absent();
                }
            }
        }
        has_all && self.last.bytes == self.before.bytes
    }

    fn move_on(&mut self, seen: &Seen) {
        self.pages_left = self.pages_left.saturating_sub(1);
        let keys = u64::try_from(seen.keys).unwrap_or(u64::MAX);
        self.keys_read = self.keys_read.saturating_add(keys);
        self.total_count = seen.total_count.or(self.total_count);
        let Some(current) = self.next.take() else {
            return;
        };
        self.last_page = LastPage::This;
        let was_announced =
            core::mem::replace(&mut self.is_announced, seen.says_next == Some(true));
        let was_repeated = core::mem::take(&mut self.is_repeated);
        if seen.is_empty {
            if self.is_announced {
                self.empty_pages += 1;
                if self.empty_pages >= EMPTY_PAGES {
                    return self.fail(
                        current,
                        "one empty page after the other announces a next one",
                    );
                }
            } else {
                if was_announced && !was_repeated {
                    self.is_announced = true;
                    self.is_repeated = true;
                    self.next = Some(current);
                }
                return;
            }
        } else {
            self.empty_pages = 0;
            self.same_pages = if seen.repeats { self.same_pages + 1 } else { 0 };
            if seen.repeats && (seen.keys != 1 || self.same_pages >= SAME_PAGES) {
                return self.fail(current, "a page has the same keys as the page before");
            }
            let items = items(&current);
            let so_far = self.skipped.saturating_add(self.keys_read);
            let has_next = seen.says_next.unwrap_or_else(|| {
                seen.keys >= usize::from(items) || seen.total_count.is_some_and(|n| n > so_far)
            });
            if !has_next {
                return;
            }
        }
        self.next = current.next_page();
        let Some(next) = self.next else {
            // Page 4,294,967,295 has no number after it; that is beyond any limit.
            self.next = Some(current);
            self.pages_left = 0;
            return;
        };
        self.last_page = seen
            .total_count
            .and_then(|keys| u32::try_from(keys.div_ceil(u64::from(items(&current)))).ok())
            .filter(|last| *last >= next.page_num().get())
            .map_or(LastPage::Unknown, LastPage::Suggested);
    }

    fn fail(&mut self, at: ListRequest, problem: &'static str) {
        self.failed = Some(Box::new(Error::InvalidResponse(InvalidResponse {
            endpoint: Endpoint::ModelKeys,
            kind: InvalidResponseKind::Paging,
            place: None,
            path: format!("page {}", at.page_num()),
            problem,
        })));
    }
}

/// How many keys a page of the request may hold.
fn items(request: &ListRequest) -> u16 {
    request
        .items_per_page()
        .unwrap_or(ItemsPerPage::DEFAULT)
        .get()
}

/// What is known of a page that the next one depends on.
struct Seen {
    /// How many keys it has; 0 where they were not counted.
    keys: usize,
    is_empty: bool,
    /// Whether a link says `next`; `None` without links.
    says_next: Option<bool>,
    total_count: Option<u64>,
    /// Whether it has the ids of the page before.
    repeats: bool,
}

impl Seen {
    fn of(decoded: &Decoded, repeats: bool) -> Self {
        let keys = decoded.keys.as_ref().map_or(0, Vec::len);
        Self {
            keys,
            is_empty: keys == 0,
            says_next: decoded.has_links.then_some(decoded.says_next),
            total_count: decoded.total_count(),
            repeats,
        }
    }
}

/// How much memory the keys of a listing take that a caller collects before it uses them, bounded by
/// [`Limits::collected_bytes`].
///
/// ```
/// # use atlas_model_keys_core::{Collected, Error, Limits, OwnedModelKey};
/// # fn all(keys: impl Iterator<Item = OwnedModelKey>) -> Result<Vec<OwnedModelKey>, Error> {
/// let mut collected = Collected::new(&Limits::default());
/// keys.map(|key| collected.add(&key).map(|()| key)).collect()
/// # }
/// # assert!(all(std::iter::empty()).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Collected {
    bytes: usize,
    limit: usize,
}

impl Collected {
    /// Nothing is collected yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes: 0,
            limit: limits.collected_bytes,
        }
    }

    /// Counts one more key.
    ///
    /// # Errors
    /// [`Error::Limit`] where all of them together take more than [`Limits::collected_bytes`].
    pub fn add(&mut self, key: &OwnedModelKey) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(key.memory());
        if self.bytes > self.limit {
            return Err(Error::Limit {
                what: "bytes of collected keys",
                limit: u64::try_from(self.limit).unwrap_or(u64::MAX),
            });
        }
        Ok(())
    }
}

/// The ids of a page, for finding them again.
#[derive(Clone, Debug, Default)]
struct Ids {
    /// End to end, in the order of the page.
    bytes: Vec<u8>,
    /// In order, once they are sorted.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The last bytes: where ids that were made one after the other differ.
    tail: u64,
    start: usize,
    len: usize,
}

impl Ids {
    fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    fn push(&mut self, id: &[u8]) {
        self.places.push(Place {
            tail: tail(id),
            start: self.bytes.len(),
            len: id.len(),
        });
        self.bytes.extend_from_slice(id);
        // Which stands in no text, so that the same bytes are the same ids.
        self.bytes.push(0xff);
    }

    /// A key without an id: a page that lacks such a key is another page.
    fn push_absent(&mut self) {
        // Which stands in no text, either.
        self.bytes.push(0xfe);
    }

    fn sort(&mut self) {
        let Self { bytes, places } = self;
        places.sort_unstable_by(|a, b| {
            let by_tail = a.tail.cmp(&b.tail);
            by_tail.then_with(|| a.of(bytes).cmp(b.of(bytes)))
        });
    }

    /// Whether it is there, once they are sorted.
    fn contains(&self, id: &[u8]) -> bool {
        let tail = tail(id);
        let place = self.places.binary_search_by(|place| {
            let by_tail = place.tail.cmp(&tail);
            by_tail.then_with(|| place.of(&self.bytes).cmp(id))
        });
        place.is_ok()
    }
}

impl Place {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let rest = bytes.get(self.start..).unwrap_or_default();
        rest.get(..self.len).unwrap_or_default()
    }
}

fn tail(id: &[u8]) -> u64 {
    match id.last_chunk() {
        Some(last) => u64::from_be_bytes(*last),
        None => id.iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
    }
}

/// How far a listing may be read ahead.
#[derive(Clone, Copy, Debug)]
enum LastPage {
    /// Nothing has said that there is a page after the one that is asked for.
    This,
    /// As `totalCount` has it, which is an estimate.
    Suggested(u32),
    /// There is no count, or it is 0, or there are more pages than it says.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, KeyField, PageNum, Reply};
    use alloc::borrow::ToOwned as _;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn listing(limits: &Limits) -> Listing {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        Listing::new(ListRequest::new(group), limits)
    }

    fn page(ids: &[&str], rel: &str) -> Page<Vec<u8>> {
        let keys: Vec<String> = ids
            .iter()
            .map(|id| match *id {
                "" => String::from("{}"),
                id => format!(r#"{{"apiKeyId":"{id}"}}"#),
            })
            .collect();
        let body = format!(
            r#"{{"links":[{{"rel":"self"}},{{"rel":"{rel}","href":"https://evil.example"}}],"results":[{}],"totalCount":0}}"#,
            keys.join(",")
        );
        let response = http::Response::new(body.into_bytes());
        Reply::from_response(response).unwrap().into_page().unwrap()
    }

    fn accept(listing: &mut Listing, page: &Page<Vec<u8>>) -> Vec<String> {
        let keys = listing.accept(page);
        keys.map(|key| key.api_key_id().unwrap_or("-").into())
            .collect()
    }

    #[test]
    fn a_listing_goes_on_while_a_link_says_next_whatever_the_count_says() {
        let mut listing = listing(&Limits::default());
        assert_eq!(accept(&mut listing, &page(&["a", "b"], "next")), ["a", "b"]);
        assert_eq!(listing.request().unwrap().unwrap().page_num().get(), 2);
        assert_eq!(accept(&mut listing, &page(&["c"], "previous")), ["c"]);
        assert_eq!(listing.request().unwrap(), None);
    }

    #[test]
    fn owned_keys_are_those_that_are_lent_and_the_buffer_comes_back() {
        let (mut lends, mut gives) = [(); 2].map(|()| listing(&Limits::default())).into();
        for ids in [&["a", "b", "", "c"][..], &["c", "", "d", "b"], &["b"], &[]] {
            let lent = accept(&mut lends, &page(ids, "next"));
            let mut keys = gives.accept_owned(page(ids, "next"));
            assert_eq!(keys.len(), lent.len());
            let owned = (&mut keys).map(|key| key.api_key_id().unwrap_or("-").to_owned());
            assert_eq!(owned.collect::<Vec<_>>(), lent);
            assert!(keys.next().is_none());
            assert_eq!(format!("{keys:?}"), "OwnedPageKeys { left: 0, .. }");
            assert_eq!(keys.into_body(), page(ids, "next").into_body());
            assert_eq!(gives.request().unwrap(), lends.request().unwrap());
        }
    }

    /// A page of so many keys, with ids that begin at `first`.
    fn full(first: u32, keys: u32, links: &str, total: &str) -> Vec<u8> {
        let ids = (first..first + keys).map(|n| format!(r#"{{"apiKeyId":"{n}"}}"#));
        let ids = ids.collect::<Vec<_>>().join(",");
        format!(r#"{{{links}"results":[{ids}]{total}}}"#).into_bytes()
    }

    /// The requested pages, and the keys or the error that the listing ends with, where the answers are
    /// these; decoded and not.
    fn ends(limit: Option<u32>, answers: &[Vec<u8>]) -> (Vec<u32>, Result<usize, Error>) {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let mut first = ListRequest::new(group);
        if let Some(items) = limit {
            first = first.with_items_per_page(ItemsPerPage::new(items).unwrap());
        }
        let [decoded, undecoded] = [true, false].map(|decodes| {
            let mut listing = Listing::new(first, &Limits::default());
            let mut answers = answers.iter();
            let (mut pages, mut keys) = (Vec::new(), 0);
            let end = loop {
                match listing.request() {
                    Ok(Some(request)) => pages.push(request.page_num().get()),
                    Ok(None) => break Ok(keys),
                    Err(error) => break Err(error),
                }
                let body = answers.next().expect("it goes on");
                let reply = Reply::from_response(http::Response::new(body.clone())).unwrap();
                if decodes {
                    keys += listing.accept(&reply.into_page().unwrap()).count();
                } else {
                    listing.advance_undecoded(&reply);
                }
            };
            assert!(answers.next().is_none(), "it ended early: {pages:?}");
            (pages, end)
        });
        assert_eq!(decoded.0, undecoded.0);
        assert_eq!(decoded.1.is_err(), undecoded.1.is_err());
        decoded
    }

    const NEXT: &str = r#""links":[{"rel":"self"},{"rel":"next"}],"#;
    const LAST: &str = r#""links":[{"rel":"self"}],"#;

    #[test]
    fn without_links_a_full_page_or_the_count_announces_the_next_page() {
        let total = r#","totalCount":250"#;
        for links in [
            "",
            r#""links":null,"#,
            r#""links":[null],"#,
            r#""links":[{"href":"?"}],"#,
        ] {
            let answers = [
                full(0, 100, links, total),
                full(100, 100, links, total),
                full(200, 50, links, total),
            ];
            let (pages, end) = ends(None, &answers);
            assert_eq!((pages, end.unwrap()), (vec![1, 2, 3], 250));
        }
        // Pages that are smaller than asked for.
        let total = r#","totalCount":3"#;
        let answers = [full(0, 2, "", total), full(2, 1, "", total)];
        assert_eq!(ends(None, &answers).1.unwrap(), 3);
        // Full pages without a count: an empty one is the last.
        let answers = [full(0, 2, "", ""), full(2, 2, "", ""), full(0, 0, "", "")];
        assert_eq!(ends(Some(2), &answers).1.unwrap(), 4);
        // Neither full nor counted, or with links that say nothing: the last.
        let total = r#","totalCount":9"#;
        let none = r#""links":[],"#;
        for answer in [
            full(0, 1, "", ""),
            full(0, 2, none, total),
            full(0, 2, LAST, total),
        ] {
            assert!(ends(Some(2), &[answer]).1.is_ok());
        }
    }

    #[test]
    fn without_links_keys_before_the_first_page_count() {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let page_3 = PageNum::new(3).unwrap();
        let items = ItemsPerPage::new(10).unwrap();
        let request = ListRequest::new(group)
            .with_page_num(page_3)
            .with_items_per_page(items);
        for (total, next) in [(25, None), (26, Some(4))] {
            let mut listing = Listing::new(request, &Limits::default());
            let body = full(20, 5, "", &format!(r#","totalCount":{total}"#));
            let reply = Reply::from_response(http::Response::new(body)).unwrap();
            listing.advance(&reply.into_page().unwrap());
            let request = listing.request().unwrap();
            assert_eq!(request.map(|request| request.page_num().get()), next);
            assert_eq!(
                (listing.keys_read(), listing.total_count()),
                (5, Some(total))
            );
        }
    }

    #[test]
    fn empty_pages_with_a_next_page_are_skipped_and_the_third_is_an_error() {
        let empty = || full(0, 0, NEXT, "");
        let answers = [
            full(0, 2, NEXT, ""),
            empty(),
            empty(),
            full(2, 1, NEXT, ""),
            empty(),
            full(3, 1, LAST, ""),
        ];
        let (pages, end) = ends(None, &answers);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 3, 4, 5, 6], 4));
        let (_, end) = ends(None, &[full(0, 2, NEXT, ""), empty(), empty(), empty()]);
        let Err(Error::InvalidResponse(error)) = end else {
            panic!("{end:?}")
        };
        assert_eq!(error.kind(), InvalidResponseKind::Paging);
        assert_eq!(error.path(), "page 4");
        assert_eq!(
            format!("{error}"),
            "the listing would never end: one empty page after the other announces a next one, at page 4"
        );
    }

    #[test]
    fn an_empty_page_that_was_announced_is_requested_once_more() {
        let empty = || full(0, 0, LAST, "");
        let answers = [full(0, 2, NEXT, ""), empty(), full(2, 2, LAST, "")];
        let (pages, end) = ends(None, &answers);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2], 4));
        let (pages, end) = ends(None, &[full(0, 2, NEXT, ""), empty(), empty()]);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2], 2));
        // Each page that was announced, once.
        let answers = [
            full(0, 2, NEXT, ""),
            empty(),
            full(2, 1, NEXT, ""),
            full(0, 0, "", ""),
            full(3, 1, NEXT, ""),
            empty(),
            empty(),
        ];
        let (pages, end) = ends(None, &answers);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2, 3, 3, 4, 4], 4));
        // Nothing announced it.
        assert_eq!(ends(None, &[empty()]).1.unwrap(), 0);
        assert_eq!(
            ends(None, &[full(0, 0, "", r#","totalCount":9"#)])
                .1
                .unwrap(),
            0
        );
    }

    #[test]
    fn a_page_that_repeats_the_one_before_is_an_error() {
        let (pages, end) = ends(None, &[full(0, 2, NEXT, ""), full(0, 2, NEXT, "")]);
        let Err(Error::InvalidResponse(error)) = end else {
            panic!("{end:?}")
        };
        assert_eq!(
            (pages.len(), error.kind()),
            (2, InvalidResponseKind::Paging)
        );
        // Behind an empty page, or without links, or on the last page, too.
        let empty = || full(0, 0, NEXT, "");
        for answers in [
            &[full(0, 2, NEXT, ""), empty(), full(0, 2, NEXT, "")][..],
            &[full(0, 2, "", ""), full(0, 2, "", "")],
            &[full(0, 2, NEXT, ""), full(0, 2, LAST, "")],
        ] {
            assert!(ends(Some(2), answers).1.is_err());
        }
        // One key: new ones in front of it make its page repeat.
        let one = |id| full(id, 1, NEXT, "");
        let answers = [
            one(1),
            one(1),
            one(1),
            one(2),
            one(2),
            one(2),
            full(3, 1, LAST, ""),
        ];
        assert_eq!(ends(Some(1), &answers).1.unwrap(), 3);
        assert!(ends(Some(1), &[one(1), one(1), one(1), one(1)]).1.is_err());
    }

    #[test]
    fn pages_that_only_look_alike_are_no_repetition() {
        let body = |results: &str| format!(r#"{{{NEXT}"results":[{results}]}}"#).into_bytes();
        let last = full(0, 0, LAST, "");
        for (first, second) in [
            // Without ids, in another order, with other boundaries.
            (r"{},{}", r"{},{}"),
            (r#"{"apiKeyId":"a"},{}"#, r#"{"apiKeyId":"a"},{}"#),
            (
                r#"{"apiKeyId":"a"},{},{"apiKeyId":"b"}"#,
                r#"{"apiKeyId":"a"},{"apiKeyId":"b"}"#,
            ),
            (
                r#"{"apiKeyId":"a"},{"apiKeyId":"b"}"#,
                r#"{"apiKeyId":"b"},{"apiKeyId":"a"}"#,
            ),
            (
                r#"{"apiKeyId":"a"},{"apiKeyId":"aa"}"#,
                r#"{"apiKeyId":"aa"},{"apiKeyId":"a"}"#,
            ),
            (
                r#"{"apiKeyId":"a"}"#,
                r#"{"apiKeyId":"a"},{"apiKeyId":"a"}"#,
            ),
        ] {
            let (pages, end) = ends(
                None,
                &[body(first), body(second), last.clone(), last.clone()],
            );
            assert!(end.is_ok(), "{pages:?} {end:?}");
        }
    }

    #[test]
    fn a_listing_that_is_not_decoded_does_not_end_with_what_is_no_page() {
        let mut listing = listing(&Limits::default());
        for (body, kind) in [
            ("<html>", InvalidResponseKind::Json),
            (r#"{"links":[{"rel":"next"}]}"#, InvalidResponseKind::Shape),
        ] {
            listing.next = Some(ListRequest::new(
                GroupId::new("0123456789abcdef01234567").unwrap(),
            ));
            let reply = Reply::from_response(http::Response::new(body)).unwrap();
            listing.advance_undecoded(&reply);
            let Err(Error::InvalidResponse(error)) = listing.request() else {
                panic!("{listing:?}")
            };
            assert_eq!(error.kind(), kind);
        }
        let body = r#"{"error":500,"errorCode":"UNEXPECTED_ERROR"}"#;
        let reply = Reply::from_response(http::Response::new(body)).unwrap();
        listing.advance_undecoded(&reply);
        assert!(matches!(listing.request(), Err(Error::Api(_))));
    }

    #[test]
    fn what_the_page_before_had_is_left_out_but_never_a_key_without_an_id() {
        let mut listing = listing(&Limits::default());
        assert_eq!(
            accept(&mut listing, &page(&["a", "b", ""], "next")),
            ["a", "b", "-"]
        );
        assert_eq!(
            accept(&mut listing, &page(&["b", "", "c", "c"], "next")),
            ["-", "c", "c"]
        );
        // Two pages back is not looked at, nor is three.
        assert_eq!(
            accept(&mut listing, &page(&["a", "c", "d"], "next")),
            ["a", "d"]
        );
        assert_eq!(accept(&mut listing, &page(&["b", "d"], "self")), ["b"]);
    }

    #[test]
    fn more_pages_than_the_limit_are_an_error() {
        let limits = Limits {
            pages: 2,
            ..Limits::default()
        };
        let mut listing = listing(&limits);
        accept(&mut listing, &page(&["a"], "next"));
        // What was received within the limit is delivered.
        assert_eq!(accept(&mut listing, &page(&["b"], "next")), ["b"]);
        let error = listing.request().unwrap_err();
        assert!(
            matches!(
                error,
                Error::Limit {
                    what: "pages",
                    limit: 2
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn a_listing_goes_on_without_decoding() {
        let reply = |rel: &str| {
            let body = format!(r#"{{"links":[{{"rel":"{rel}"}}],"results":[{{}}]}}"#);
            Reply::from_response(http::Response::new(body.into_bytes())).unwrap()
        };
        let mut listing = listing(&Limits::default());
        listing.advance_undecoded(&reply("next"));
        assert_eq!(window(&listing, 2), [2, 3]);
        listing.advance_undecoded(&reply("self"));
        assert_eq!(listing.request().unwrap(), None);
    }

    #[test]
    fn collected_keys_are_counted_up_to_the_limit() {
        let name = "a".repeat(1000);
        let key = OwnedModelKey::from_fields([(KeyField::Name, &*name)]);
        let limits = Limits {
            collected_bytes: 2 * key.memory(),
            ..Limits::default()
        };
        assert!(key.memory() > 1000);
        let mut collected = Collected::new(&limits);
        assert!(collected.add(&key).is_ok());
        assert!(collected.add(&key).is_ok());
        let error = collected.add(&OwnedModelKey::default()).unwrap_err();
        let text = format!(
            "beyond the limit of {} bytes of collected keys",
            2 * key.memory()
        );
        assert_eq!(format!("{error}"), text);
    }

    fn window(listing: &Listing, size: usize) -> Vec<u32> {
        listing.window(size).map(|r| r.page_num().get()).collect()
    }

    #[test]
    fn the_window_opens_when_a_link_says_next_and_ends_where_the_count_does() {
        let page = |total: &str| {
            let body = format!(r#"{{"links":[{{"rel":"next"}}],"results":[{{}}]{total}}}"#);
            let response = http::Response::new(body.into_bytes());
            Reply::from_response(response).unwrap().into_page().unwrap()
        };
        let mut listing = listing(&Limits::default());
        assert_eq!(window(&listing, 0), [1]);
        assert_eq!(window(&listing, 8), [1]);
        listing.advance(&page(""));
        assert_eq!(window(&listing, 3), [2, 3, 4]);
        assert_eq!(window(&listing, 0), [2]);
        listing.advance(&page(r#","totalCount":401"#));
        assert_eq!(window(&listing, 8), [3, 4, 5]);
        // There is a page more than the count says: it is not believed.
        listing.advance(&page(r#","totalCount":300"#));
        assert_eq!(window(&listing, 2), [4, 5]);
        for absurd in ["0", "-1", "1e300", "18446744073709551615", "\"9\""] {
            listing.advance(&page(&format!(r#","totalCount":{absurd}"#)));
            assert_eq!(window(&listing, 2).len(), 2, "{absurd}");
        }
        listing.next = None;
        assert!(window(&listing, 8).is_empty());
    }

    #[test]
    fn the_window_has_no_more_pages_than_the_limit() {
        let limits = Limits {
            pages: 3,
            ..Limits::default()
        };
        let mut listing = listing(&limits);
        accept(&mut listing, &page(&["a"], "next"));
        assert_eq!(window(&listing, usize::MAX), [2, 3]);
        accept(&mut listing, &page(&["b"], "next"));
        accept(&mut listing, &page(&["c"], "next"));
        assert!(window(&listing, 8).is_empty());
    }

    #[test]
    fn after_the_last_number_that_a_page_can_have_there_is_an_error_and_no_silent_end() {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let last = PageNum::new(u32::MAX).unwrap();
        let request = ListRequest::new(group).with_page_num(last);
        let mut listing = Listing::new(request, &Limits::default());
        assert_eq!(accept(&mut listing, &page(&["a"], "next")), ["a"]);
        assert!(matches!(listing.request(), Err(Error::Limit { .. })));
    }

    proptest! {
        /// Ids of any length, many with the same end.
        #[test]
        fn exactly_what_the_page_before_had_is_left_out(
            pages in vec(vec("[ab]{0,2}(01234567)?", 0..6), 1..4),
        ) {
            let mut listing = listing(&Limits::default());
            let mut before = BTreeSet::new();
            for ids in pages {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                let named: Vec<&str> = ids.iter().copied().filter(|id| !id.is_empty()).collect();
                let new: Vec<&str> = ids.iter().map(|id| if id.is_empty() { "-" } else { id })
                    .filter(|id| !before.contains(*id))
                    .collect();
                prop_assert_eq!(accept(&mut listing, &page(&ids, "next")), new);
                before = named.into_iter().map(String::from).collect();
            }
        }
    }
}
