//! Paging: which page a listing requests next, where it ends, and which keys it has already returned.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use crate::decode::Entry as _;
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::list_page::PageSummary;
use crate::{Error, ItemsPerPage, Limits, ListPage, ListRequest, OwnedModelKey, Paged, Reply};

/// The state of a listing over several pages: the next request, and the ids that the next page is compared with.
///
/// It does no I/O, and every transport uses it. It does not end before the last announced page without an error:
///
/// - There is a next page if a link announces it: its relation (`rel`) is `next`. If `links` has only other relations,
///   or is an empty array, there is none.
/// - If `links` is missing, or has links but none with a relation (Atlas does not require them), there is a next page if the
///   page is full, or if `totalCount` is higher than the number of keys up to this page. An empty page is then the
///   last one.
/// - The next request is the current request with the next page number. The target of a link is never used.
/// - An empty page that announces a next page is skipped; the third in a row is an error. An empty page that announces
///   none, although a link of the page before announced it, is requested once more: the list may have become shorter,
///   or the response may belong to another request.
/// - A page repeats the last page that had keys if it has the same ids, all present and in the same order. That is an
///   error, because such a listing would never end. If the page has a single key, only the third repetition is an
///   error, because a new key at the front of the list also makes a page repeat.
/// - `totalCount` alone neither ends a listing nor makes it fail, because lists change while they are read. See
///   [`keys_read`](Listing::keys_read) and [`total_count`](Listing::total_count).
/// - If a list changes while it is read, keys move from one page to the next. [`accept`] omits a key whose id
///   is also on the page directly before. Keys without an id and keys after an empty page are never omitted.
/// - More pages than [`Limits::pages`] are an error.
///
/// A listing of groups ([`GroupsRequest`](crate::GroupsRequest)) follows the same rules, with groups instead of keys.
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
///     let page = fetch(&request)?; // with any HTTP client
///     ids.extend(listing.accept(&page).filter_map(|key| key.api_key_id().map(str::to_owned)));
/// }
/// assert_eq!(ids, ["1", "2", "3"]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Listing<R: Paged = ListRequest> {
    next: Option<R>,
    /// The error that ended the listing.
    failed: Option<Box<Error>>,
    /// The number of pages that may still be requested.
    pages_left: u32,
    /// [`Limits::pages`], for the error.
    page_limit: u32,
    read_ahead_end: ReadAheadEnd,
    /// The number of keys before the first page that was requested, calculated from its page number.
    keys_before: u64,
    /// The number of keys on the pages so far.
    keys_read: u64,
    total_count: Option<u64>,
    /// Whether a link of the last page announced the next one.
    is_announced: bool,
    /// Whether the next request is for the last page once more, which was empty although it was announced.
    is_retry: bool,
    /// The number of consecutive empty pages that announced a next page.
    empty_pages: u8,
    /// The number of consecutive pages that repeat the page with keys before them.
    repetitions: u8,
    /// The ids of the last page with keys.
    last_ids: Ids,
    /// The ids of the page with keys before that one.
    previous_ids: Ids,
    /// The [sample](crate::skim::Skimmed::sample) of the last page with keys, for pages that are not decoded.
    sample: Option<u64>,
    /// The indices of the last page's keys whose ids are also on the page directly before.
    duplicate_indices: Vec<usize>,
}

/// This many consecutive empty pages that announce a next page are an error.
const MAX_EMPTY_PAGES: u8 = 3;

/// This many consecutive repetitions of a page with a single key are an error.
const MAX_REPETITIONS: u8 = 3;

impl<R: Paged> Listing<R> {
    /// Creates a listing that begins with the request `first`.
    pub fn new(first: R, limits: &Limits) -> Self {
        let pages = u64::from(first.page_num().get()).saturating_sub(1);
        Self {
            next: Some(first),
            failed: None,
            pages_left: limits.pages,
            page_limit: limits.pages,
            read_ahead_end: ReadAheadEnd::Current,
            keys_before: pages.saturating_mul(u64::from(max_keys(&first))),
            keys_read: 0,
            total_count: None,
            is_announced: false,
            is_retry: false,
            empty_pages: 0,
            repetitions: 0,
            last_ids: Ids::default(),
            previous_ids: Ids::default(),
            sample: None,
            duplicate_indices: Vec::new(),
        }
    }

    /// Returns the next request, or `None` at the end.
    ///
    /// # Errors
    /// Returns [`Error::Limit`] if there is a page beyond [`Limits::pages`], and [`Error::InvalidResponse`] if the
    /// listing would never end because pages repeat or too many are empty. The keys that were accepted before
    /// remain valid. After [`advance_undecoded`](Listing::advance_undecoded) with a body that is not a page, it returns
    /// the error of that body.
    pub fn request(&self) -> Result<Option<R>, Error> {
        match (&self.failed, self.next) {
            (Some(error), _) => Err((**error).clone()),
            (None, Some(_)) if self.pages_left == 0 => Err(Error::Limit {
                what: "pages",
                limit: u64::from(self.page_limit),
            }),
            (None, next) => Ok(next),
        }
    }

    /// Returns the number of keys on the pages so far, including those that [`accept`](Listing::accept) omitted.
    ///
    /// With [`advance_undecoded`](Listing::advance_undecoded) the number is too low: it includes only the pages that had
    /// to be decoded.
    #[must_use]
    pub fn keys_read(&self) -> u64 {
        self.keys_read
    }

    /// Returns the last valid `totalCount` of a decoded page: Atlas's estimate of the number of keys in the whole list.
    #[must_use]
    pub fn total_count(&self) -> Option<u64> {
        self.total_count
    }

    /// Returns the requests that may be sent at the same time to read ahead: [`request`](Listing::request) and the
    /// following ones, up to `size` and at least one, or none at the end.
    ///
    /// It is only the first request until a page shows that there is a next one, and never more than `totalCount`
    /// suggests or [`Limits::pages`] allows.
    ///
    /// Pass the responses in this order to [`accept`](Listing::accept) or [`advance`](Listing::advance), and get the
    /// new window after each. Usually the requests in flight are its beginning. They are not if the listing has ended, or
    /// requests an empty page once more. Drop the responses and errors of all requests in flight that are not in the new
    /// window.
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
    pub fn window(&self, size: usize) -> impl Iterator<Item = R> + use<R> {
        let first = self.next;
        let last = match self.read_ahead_end {
            ReadAheadEnd::Current => first.map_or(0, |first| first.page_num().get()),
            ReadAheadEnd::Suggested(number) => number,
            ReadAheadEnd::Unknown => u32::MAX,
        };
        let left = usize::try_from(self.pages_left).unwrap_or(usize::MAX);
        core::iter::successors(first, R::next_page)
            .take(size.max(1).min(left))
            .take_while(move |request| request.page_num().get() <= last)
    }

    /// Takes the page for [`request`](Listing::request), and returns its keys without those whose id is also on the page
    /// directly before. The listing moves to the next page.
    pub fn accept<'p, P: ListPage>(
        &mut self,
        page: &'p P,
    ) -> impl Iterator<Item = <&'p P as IntoIterator>::Item> + use<'_, 'p, P, R>
    where
        &'p P: IntoIterator,
    {
        self.advance_and_compare(page);
        let mut duplicates = self.duplicate_indices.iter().peekable();
        page.into_iter()
            .enumerate()
            .filter(move |(n, _)| duplicates.next_if_eq(&n).is_none())
            .map(|(_, key)| key)
    }

    /// Takes the page like [`accept`](Listing::accept), and returns owned keys. Those of a [`Page`](crate::Page)
    /// are made one at a time, and at the end the caller gets the page's buffer back.
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
    pub fn accept_owned<P: ListPage>(&mut self, page: P) -> P::IntoIter {
        self.accept_page(page).into_iter()
    }

    /// Takes the page like [`accept`](Listing::accept), and returns the page without the keys whose id is also on the page
    /// directly before.
    #[must_use]
    pub fn accept_page<P: ListPage>(&mut self, mut page: P) -> P {
        self.advance_and_compare(&page);
        page.omit(&self.duplicate_indices);
        page
    }

    /// Moves to the next page, and records which keys are also on the page directly before.
    fn advance_and_compare<P: ListPage>(&mut self, page: &P) {
        self.duplicate_indices.clear();
        let is_after_empty = self.empty_pages > 0 || self.is_retry;
        if !is_after_empty && !self.last_ids.is_empty() {
            self.last_ids.prepare_search();
            for (n, id) in page.ids().enumerate() {
                if id.is_some_and(|id| self.last_ids.contains(id)) {
                    self.duplicate_indices.push(n);
                }
            }
        }
        self.advance(page);
    }

    /// Takes the page for [`request`](Listing::request), and moves to the next page. It is for callers who want every
    /// key, also those that are on two pages.
    pub fn advance<P: ListPage>(&mut self, page: &P) {
        let is_repetition = self.record_ids(page.ids());
        self.move_on(&page.summary(is_repetition));
    }

    /// Takes the reply to [`request`](Listing::request), and moves to the next page. It is for callers who do not
    /// decode the body.
    ///
    /// Usually it reads only the links and the beginning of the results. It decodes the body if `links` is missing or has
    /// no relation, or if the page may repeat the last page with keys: both bodies begin and end alike, from `results`
    /// on. If all keys of such a page have an id, it is treated as a repetition.
    ///
    /// A body that is not a page makes the next [`request`](Listing::request) an error, so that the
    /// listing does not end as if it were the last page.
    pub fn advance_undecoded<B: AsRef<[u8]>>(&mut self, reply: &Reply<B>) {
        let skimmed = reply.skim();
        let sample = skimmed.filter(|s| s.has_keys).map(|s| s.sample);
        let has_same_sample = sample.is_some() && sample == self.sample;
        if let Some(skimmed) = skimmed
            && !has_same_sample
        {
            self.sample = sample.or(self.sample);
            if skimmed.has_keys {
                // The ids of this page are not known.
                self.last_ids.clear();
            }
            return self.move_on(&PageSummary {
                entries: 0,
                is_empty: !skimmed.has_keys,
                says_next: Some(skimmed.says_next),
                total_count: None,
                is_repetition: false,
            });
        }
        let summary = reply.with_page::<R::Entry, _>(|decoded| {
            let body = reply.body().as_ref();
            let has_same_ids = self.record_ids(decoded.ids(body));
            let has_ids = decoded.ids(body).all(|id| id.is_some());
            PageSummary::of(decoded, has_same_ids || (has_same_sample && has_ids))
        });
        match summary {
            Ok(summary) => {
                if !summary.is_empty {
                    self.sample = sample;
                }
                self.move_on(&summary);
            }
            Err(error) => {
                self.next = None;
                self.failed = Some(Box::new(error));
            }
        }
    }

    /// Stores the ids of a page, unless it is empty. Returns whether they are the ids of the last page with keys: all
    /// present and in the same order.
    fn record_ids<'a>(&mut self, ids: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        let mut ids = ids.peekable();
        if ids.peek().is_none() {
            return false;
        }
        core::mem::swap(&mut self.previous_ids, &mut self.last_ids);
        self.last_ids.clear();
        // The sample is of an earlier page.
        self.sample = None;
        let mut has_all = true;
        for id in ids {
            match id {
                Some(id) => self.last_ids.push(id),
                None => {
                    has_all = false;
                    self.last_ids.push_absent();
                }
            }
        }
        has_all && self.last_ids.bytes == self.previous_ids.bytes
    }

    /// Decides what follows the page of the current request: another request, the end or an error.
    fn move_on(&mut self, seen: &PageSummary) {
        self.pages_left = self.pages_left.saturating_sub(1);
        let keys = u64::try_from(seen.entries).unwrap_or(u64::MAX);
        self.keys_read = self.keys_read.saturating_add(keys);
        self.total_count = seen.total_count.or(self.total_count);
        let Some(current) = self.next.take() else {
            return;
        };
        self.read_ahead_end = ReadAheadEnd::Current;
        let was_announced =
            core::mem::replace(&mut self.is_announced, seen.says_next == Some(true));
        let was_retry = core::mem::take(&mut self.is_retry);
        if seen.is_empty {
            if self.is_announced {
                self.empty_pages += 1;
                if self.empty_pages >= MAX_EMPTY_PAGES {
                    return self.fail(
                        current,
                        "too many empty pages in a row announce a next page",
                    );
                }
            } else {
                if was_announced && !was_retry {
                    self.is_announced = true;
                    self.is_retry = true;
                    self.next = Some(current);
                }
                return;
            }
        } else {
            self.empty_pages = 0;
            self.repetitions = if seen.is_repetition {
                self.repetitions + 1
            } else {
                0
            };
            if seen.is_repetition && (seen.entries != 1 || self.repetitions >= MAX_REPETITIONS) {
                return self.fail(current, R::Entry::REPEATED);
            }
            let full = usize::from(max_keys(&current));
            let so_far = self.keys_before.saturating_add(self.keys_read);
            let has_next = seen.says_next.unwrap_or_else(|| {
                seen.entries >= full || seen.total_count.is_some_and(|n| n > so_far)
            });
            if !has_next {
                return;
            }
        }
        self.next = current.next_page();
        let Some(next) = self.next else {
            // There is no number after page 4,294,967,295, which is beyond any limit.
            self.next = Some(current);
            self.pages_left = 0;
            return;
        };
        self.read_ahead_end = seen
            .total_count
            .and_then(|keys| u32::try_from(keys.div_ceil(u64::from(max_keys(&current)))).ok())
            .filter(|last| *last >= next.page_num().get())
            .map_or(ReadAheadEnd::Unknown, ReadAheadEnd::Suggested);
    }

    fn fail(&mut self, current: R, problem: &'static str) {
        self.failed = Some(Box::new(Error::InvalidResponse(InvalidResponse {
            endpoint: R::RESOURCE.endpoint,
            kind: InvalidResponseKind::Paging,
            place: None,
            path: format!("page {}", current.page_num()),
            problem,
        })));
    }
}

/// Returns the maximum number of keys of a page of the request.
fn max_keys(request: &impl Paged) -> u16 {
    request
        .items_per_page()
        .unwrap_or(ItemsPerPage::DEFAULT)
        .get()
}

/// Counts the memory of the keys that a caller collects before using them, up to
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
    /// Creates a counter at zero.
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
    /// Returns [`Error::Limit`] if the keys together take more than [`Limits::collected_bytes`].
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

/// The ids of a page, in a form that can be searched.
#[derive(Clone, Default)]
struct Ids {
    /// All ids in the order of the page, each with an end mark.
    bytes: Vec<u8>,
    /// The position of each id in `bytes`. They are in the order of the page until a search sorts them.
    spans: Vec<IdSpan>,
    /// A Bloom filter with one bit for each id, see [`filter_bit`]. Nearly all ids are on one page only, and this shows it.
    filter: Vec<u64>,
    /// The number of searches that the filter did not answer.
    searches: usize,
}

/// The position of an id in [`Ids::bytes`].
#[derive(Clone, Copy)]
struct IdSpan {
    /// The last eight bytes, which differ between ids that were created one after the other.
    tail: u64,
    start: usize,
    len: usize,
}

/// The number of words of [`Ids::filter`]. It has 65,536 bits, so that it answers for all but four ids of two pages of 500.
const FILTER_WORDS: usize = 1024;

/// This many searches look at all ids, because sorting takes more time. Later ones need sorted ids.
const UNSORTED_SEARCHES: usize = 16;

impl Ids {
    fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    fn push(&mut self, id: &[u8]) {
        self.spans.push(IdSpan {
            tail: tail(id),
            start: self.bytes.len(),
            len: id.len(),
        });
        self.bytes.extend_from_slice(id);
        // No UTF-8 text has this byte, so that equal bytes mean equal ids.
        self.bytes.push(0xff);
    }

    /// Adds a key without an id, so that a page without this key is not equal.
    fn push_absent(&mut self) {
        // No UTF-8 text has this byte, either.
        self.bytes.push(0xfe);
    }

    /// Prepares calls of [`contains`](Ids::contains). Call it after the last id was added.
    fn prepare_search(&mut self) {
        self.searches = 0;
        self.filter.clear();
        self.filter.resize(FILTER_WORDS, 0);
        for span in &self.spans {
            let (word, bit) = filter_bit(span.tail);
            if let Some(word) = self.filter.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Returns whether the page has the id.
    fn contains(&mut self, id: &[u8]) -> bool {
        let tail = tail(id);
        let (word, bit) = filter_bit(tail);
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return false;
        }
        let Self { bytes, spans, .. } = self;
        let order = |span: &IdSpan, tail: u64, id: &[u8]| {
            let by_tail = span.tail.cmp(&tail);
            by_tail.then_with(|| span.of(bytes).cmp(id))
        };
        self.searches += 1;
        if self.searches < UNSORTED_SEARCHES {
            return spans.iter().any(|span| order(span, tail, id).is_eq());
        }
        if self.searches == UNSORTED_SEARCHES {
            spans.sort_unstable_by(|a, b| order(a, b.tail, b.of(bytes)));
        }
        let found = spans.binary_search_by(|span| order(span, tail, id));
        found.is_ok()
    }
}

/// Returns the word and the bit of an id in [`Ids::filter`], by its tail.
fn filter_bit(tail: u64) -> (usize, u64) {
    // The highest bits of the product depend on all bits of the tail. The factor is 2^64 divided by the golden ratio.
    let hash = tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    ((hash / 64) as usize, 1 << (hash % 64))
}

/// Shows the number of ids only.
impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids")
            .field("len", &self.spans.len())
            .finish_non_exhaustive()
    }
}

impl IdSpan {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let rest = bytes.get(self.start..).unwrap_or_default();
        rest.get(..self.len).unwrap_or_default()
    }
}

/// Returns the last eight bytes of an id as a number, or all of them if there are fewer.
fn tail(id: &[u8]) -> u64 {
    match id.last_chunk() {
        Some(last) => u64::from_be_bytes(*last),
        None => id.iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
    }
}

/// The last page that may be requested ahead.
#[derive(Clone, Copy, Debug)]
enum ReadAheadEnd {
    /// The page of the current request: nothing shows that there is a next one.
    Current,
    /// The last page according to `totalCount`, which is an estimate.
    Suggested(u32),
    /// Unknown: `totalCount` is missing, too large, or lower than the next page requires.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, KeyField, Page, PageNum, Reply};
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
    fn next_link_continues_the_listing_whatever_the_count_says() {
        let mut listing = listing(&Limits::default());
        assert_eq!(accept(&mut listing, &page(&["a", "b"], "next")), ["a", "b"]);
        assert_eq!(listing.request().unwrap().unwrap().page_num().get(), 2);
        assert_eq!(accept(&mut listing, &page(&["c"], "previous")), ["c"]);
        assert_eq!(listing.request().unwrap(), None);
    }

    #[test]
    fn accept_after_other_ways_to_advance_omits_only_keys_of_the_previous_page() {
        let mut listing = listing(&Limits::default());
        listing.advance(&page(&["c", "a", "b"], "next"));
        assert_eq!(accept(&mut listing, &page(&["b", "c", "d"], "next")), ["d"]);
        let body = page(&["e"], "next").into_body();
        listing.advance_undecoded(&Reply::from_response(http::Response::new(body)).unwrap());
        assert_eq!(accept(&mut listing, &page(&["d", "f"], "next")), ["d", "f"]);
    }

    #[test]
    fn owned_keys_equal_borrowed_ones_and_the_buffer_is_returned() {
        let (mut borrowing, mut owning) = [(); 2].map(|()| listing(&Limits::default())).into();
        for ids in [&["a", "b", "", "c"][..], &["c", "", "d", "b"], &["b"], &[]] {
            let borrowed = accept(&mut borrowing, &page(ids, "next"));
            let mut keys = owning.accept_owned(page(ids, "next"));
            assert_eq!(keys.len(), borrowed.len());
            let owned = (&mut keys).map(|key| key.api_key_id().unwrap_or("-").to_owned());
            assert_eq!(owned.collect::<Vec<_>>(), borrowed);
            assert!(keys.next().is_none());
            assert_eq!(format!("{keys:?}"), "OwnedPageKeys { left: 0, .. }");
            assert_eq!(keys.into_body(), page(ids, "next").into_body());
            assert_eq!(owning.request().unwrap(), borrowing.request().unwrap());
        }
    }

    /// Returns a page of `keys` keys, with consecutive ids from `first`.
    fn full(first: u32, keys: u32, links: &str, total: &str) -> Vec<u8> {
        let ids = (first..first + keys).map(|n| format!(r#"{{"apiKeyId":"{n}"}}"#));
        let ids = ids.collect::<Vec<_>>().join(",");
        format!(r#"{{{links}"results":[{ids}]{total}}}"#).into_bytes()
    }

    /// Reads a listing with these response bodies, decoded and undecoded. Returns the requested pages, and the number of
    /// keys or the error at the end.
    fn read_all(
        items_per_page: Option<u32>,
        bodies: &[Vec<u8>],
    ) -> (Vec<u32>, Result<usize, Error>) {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let mut first = ListRequest::new(group);
        if let Some(items) = items_per_page {
            first = first.with_items_per_page(ItemsPerPage::new(items).unwrap());
        }
        let [decoded, undecoded] = [true, false].map(|decodes| {
            let mut listing = Listing::new(first, &Limits::default());
            let mut bodies = bodies.iter();
            let (mut pages, mut keys) = (Vec::new(), 0);
            let end = loop {
                match listing.request() {
                    Ok(Some(request)) => pages.push(request.page_num().get()),
                    Ok(None) => break Ok(keys),
                    Err(error) => break Err(error),
                }
                let body = bodies.next().expect("the listing does not end");
                let reply = Reply::from_response(http::Response::new(body.clone())).unwrap();
                if decodes {
                    keys += listing.accept(&reply.into_page().unwrap()).count();
                } else {
                    listing.advance_undecoded(&reply);
                }
            };
            assert!(bodies.next().is_none(), "it ended early: {pages:?}");
            (pages, end)
        });
        assert_eq!(decoded.0, undecoded.0);
        assert_eq!(decoded.1.is_err(), undecoded.1.is_err());
        decoded
    }

    const NEXT: &str = r#""links":[{"rel":"self"},{"rel":"next"}],"#;
    const LAST: &str = r#""links":[{"rel":"self"}],"#;

    #[test]
    fn full_page_or_higher_count_continues_a_listing_without_links() {
        let total = r#","totalCount":250"#;
        for links in [
            "",
            r#""links":null,"#,
            r#""links":[null],"#,
            r#""links":[{"href":"?"}],"#,
        ] {
            let bodies = [
                full(0, 100, links, total),
                full(100, 100, links, total),
                full(200, 50, links, total),
            ];
            let (pages, end) = read_all(None, &bodies);
            assert_eq!((pages, end.unwrap()), (vec![1, 2, 3], 250));
        }
        // Pages that are smaller than requested.
        let total = r#","totalCount":3"#;
        let bodies = [full(0, 2, "", total), full(2, 1, "", total)];
        assert_eq!(read_all(None, &bodies).1.unwrap(), 3);
        // Full pages without a count: an empty page is the last.
        let bodies = [full(0, 2, "", ""), full(2, 2, "", ""), full(0, 0, "", "")];
        assert_eq!(read_all(Some(2), &bodies).1.unwrap(), 4);
        // A page that is neither full nor counted, or has links without `next`, is the last.
        let total = r#","totalCount":9"#;
        let none = r#""links":[],"#;
        for body in [
            full(0, 1, "", ""),
            full(0, 2, none, total),
            full(0, 2, LAST, total),
        ] {
            assert!(read_all(Some(2), &[body]).1.is_ok());
        }
    }

    #[test]
    fn keys_before_the_first_page_count_in_a_listing_without_links() {
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
    fn empty_pages_with_next_link_are_skipped_and_the_third_in_a_row_is_an_error() {
        let empty = || full(0, 0, NEXT, "");
        let bodies = [
            full(0, 2, NEXT, ""),
            empty(),
            empty(),
            full(2, 1, NEXT, ""),
            empty(),
            full(3, 1, LAST, ""),
        ];
        let (pages, end) = read_all(None, &bodies);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 3, 4, 5, 6], 4));
        let (_, end) = read_all(None, &[full(0, 2, NEXT, ""), empty(), empty(), empty()]);
        let Err(Error::InvalidResponse(error)) = end else {
            panic!("{end:?}")
        };
        assert_eq!(error.kind(), InvalidResponseKind::Paging);
        assert_eq!(error.path(), "page 4");
        assert_eq!(
            format!("{error}"),
            "the listing would never end: too many empty pages in a row announce a next page, at page 4"
        );
    }

    #[test]
    fn announced_page_that_is_empty_is_requested_once_more() {
        let empty = || full(0, 0, LAST, "");
        let bodies = [full(0, 2, NEXT, ""), empty(), full(2, 2, LAST, "")];
        let (pages, end) = read_all(None, &bodies);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2], 4));
        let (pages, end) = read_all(None, &[full(0, 2, NEXT, ""), empty(), empty()]);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2], 2));
        // Each announced page is requested again only once.
        let bodies = [
            full(0, 2, NEXT, ""),
            empty(),
            full(2, 1, NEXT, ""),
            full(0, 0, "", ""),
            full(3, 1, NEXT, ""),
            empty(),
            empty(),
        ];
        let (pages, end) = read_all(None, &bodies);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 2, 3, 3, 4, 4], 4));
        // The empty page was not announced.
        assert_eq!(read_all(None, &[empty()]).1.unwrap(), 0);
        assert_eq!(
            read_all(None, &[full(0, 0, "", r#","totalCount":9"#)])
                .1
                .unwrap(),
            0
        );
    }

    #[test]
    fn page_that_repeats_the_previous_one_is_an_error() {
        let (pages, end) = read_all(None, &[full(0, 2, NEXT, ""), full(0, 2, NEXT, "")]);
        let Err(Error::InvalidResponse(error)) = end else {
            panic!("{end:?}")
        };
        assert_eq!(
            (pages.len(), error.kind()),
            (2, InvalidResponseKind::Paging)
        );
        // The error also occurs after an empty page, without links, and on the last page.
        let empty = || full(0, 0, NEXT, "");
        for bodies in [
            &[full(0, 2, NEXT, ""), empty(), full(0, 2, NEXT, "")][..],
            &[full(0, 2, "", ""), full(0, 2, "", "")],
            &[full(0, 2, NEXT, ""), full(0, 2, LAST, "")],
        ] {
            assert!(read_all(Some(2), bodies).1.is_err());
        }
        // A page with one key repeats when keys are added before it.
        let one = |id| full(id, 1, NEXT, "");
        let bodies = [
            one(1),
            one(1),
            one(1),
            one(2),
            one(2),
            one(2),
            full(3, 1, LAST, ""),
        ];
        assert_eq!(read_all(Some(1), &bodies).1.unwrap(), 3);
        assert!(
            read_all(Some(1), &[one(1), one(1), one(1), one(1)])
                .1
                .is_err()
        );
    }

    #[test]
    fn similar_pages_are_not_a_repetition() {
        let body = |results: &str| format!(r#"{{{NEXT}"results":[{results}]}}"#).into_bytes();
        let last = full(0, 0, LAST, "");
        for (first, second) in [
            // Pages without ids, in another order, with other boundaries between ids.
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
            let (pages, end) = read_all(
                None,
                &[body(first), body(second), last.clone(), last.clone()],
            );
            assert!(end.is_ok(), "{pages:?} {end:?}");
        }
    }

    #[test]
    fn undecoded_body_that_is_not_a_page_is_an_error() {
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
    fn keys_of_the_previous_page_are_omitted_except_those_without_an_id() {
        let mut listing = listing(&Limits::default());
        assert_eq!(
            accept(&mut listing, &page(&["a", "b", ""], "next")),
            ["a", "b", "-"]
        );
        assert_eq!(
            accept(&mut listing, &page(&["b", "", "c", "c"], "next")),
            ["-", "c", "c"]
        );
        // Only the previous page is compared.
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
        // Keys within the limit are returned.
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
    fn undecoded_listing_follows_next_links() {
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
    fn equal_undecoded_pages_with_another_page_between_them_are_no_repetition() {
        let linked = full(1, 2, NEXT, "");
        // Without links, the page is decoded.
        let unlinked = full(3, 1, "", r#","totalCount":9"#);
        let bodies = [linked.clone(), unlinked, linked, full(5, 1, LAST, "")];
        let (pages, end) = read_all(None, &bodies);
        assert_eq!((pages, end.unwrap()), (vec![1, 2, 3, 4], 6));
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
    fn window_opens_with_a_next_link_and_ends_at_the_total_count() {
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
        // There are more pages than the count says, so the count is ignored.
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
    fn window_has_at_most_the_limit_of_pages() {
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
    fn next_link_on_the_largest_page_number_is_an_error() {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let last = PageNum::new(u32::MAX).unwrap();
        let request = ListRequest::new(group).with_page_num(last);
        let mut listing = Listing::new(request, &Limits::default());
        assert_eq!(accept(&mut listing, &page(&["a"], "next")), ["a"]);
        assert!(matches!(listing.request(), Err(Error::Limit { .. })));
    }

    proptest! {
        /// Ids of any length, many with the same end. With many of them, searches sort the ids.
        #[test]
        fn exactly_the_keys_of_the_previous_page_are_omitted(
            pages in prop_oneof![
                vec(vec("[ab]{0,2}(01234567)?", 0..6), 1..4),
                vec(vec("[ab]{0,6}(01234567)?", 3 * UNSORTED_SEARCHES), 2..4),
            ],
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
