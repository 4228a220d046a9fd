use alloc::vec::Vec;

use crate::{
    Error, ItemsPerPage, Limits, ListRequest, ModelKey, OwnedKeys, OwnedModelKey, Page, Reply,
};

/// Where a listing over several pages stands: what to ask for next, and which keys were seen.
///
/// Pure, and the same for every transport:
///
/// - there is a next page if and only if a link says so and the page is not empty; it is the
///   same request with the next page number, never a link's target;
/// - `totalCount` ends nothing; it only bounds what a [`window`](Listing::window) reads ahead;
/// - a list that moves while it is read shifts entries over a page's edge: [`accept`] leaves
///   out a key whose id the page before already had. Keys without an id are never left out;
/// - more pages than [`Limits::pages`] are an error, not a silent end.
///
/// [`accept`]: Listing::accept
///
/// ```
/// # use atlas_model_keys_core::{Error, GroupId, Limits, ListRequest, Listing, Reply};
/// # let fetch = |request: &ListRequest| -> Result<_, Error> {
/// #     let links = if request.page().get() < 3 { r#"[{"rel":"next"}]"# } else { "[]" };
/// #     let body = format!(r#"{{"links":{links},"results":[{{"apiKeyId":"{}"}}]}}"#, request.page());
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
    pages_left: u32,
    limit: u32,
    last_page: LastPage,
    /// The ids of the last page, and of the one before it.
    last: Ids,
    before: Ids,
    /// Which of the last page's keys the one before it had, too.
    repeated: Vec<usize>,
}

impl Listing {
    /// A listing that begins with `first`.
    pub fn new(first: ListRequest, limits: &Limits) -> Self {
        Self {
            next: Some(first),
            pages_left: limits.pages,
            limit: limits.pages,
            last_page: LastPage::This,
            last: Ids::default(),
            before: Ids::default(),
            repeated: Vec::new(),
        }
    }

    /// What to ask for next; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Limit`] where there is a page beyond [`Limits::pages`].
    pub fn request(&self) -> Result<Option<ListRequest>, Error> {
        match self.next {
            Some(_) if self.pages_left == 0 => Err(Error::Limit {
                what: "pages",
                limit: u64::from(self.limit),
            }),
            next => Ok(next),
        }
    }

    /// What may be asked for at the same time, for those who read ahead: the request that
    /// [`request`](Listing::request) gives, and those after it, `size` in all and one at the least.
    ///
    /// Only the first one before a link has said that there is a next page, and no more than
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
    /// let pages: Vec<u32> = listing.window(8).map(|request| request.page().get()).collect();
    /// assert_eq!(pages, [2, 3, 4, 5]);
    /// # Ok::<(), atlas_model_keys_core::Error>(())
    /// ```
    pub fn window(&self, size: usize) -> impl Iterator<Item = ListRequest> + use<> {
        let first = self.next;
        let last = match self.last_page {
            LastPage::This => first.map_or(0, |first| first.page().get()),
            LastPage::Suggested(number) => number,
            LastPage::Unknown => u32::MAX,
        };
        let left = usize::try_from(self.pages_left).unwrap_or(usize::MAX);
        core::iter::successors(first, ListRequest::next)
            .take(size.max(1).min(left))
            .take_while(move |request| request.page().get() <= last)
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

    /// The same, for callers who want keys that do not need the page: made one at a time, and the page's buffer
    /// is theirs again at the end.
    ///
    /// ```
    /// # use atlas_model_keys_core::{GroupId, Limits, ListRequest, Listing, Reply};
    /// # let mut listing = Listing::new(ListRequest::new(GroupId::new("69681d39c9e8cfd375386316")?), &Limits::default());
    /// # let body = br#"{"results":[{"name":"a"},{"name":"b"}]}"#.to_vec();
    /// # let page = Reply::from_response(http::Response::new(body))?.into_page()?;
    /// let mut keys = listing.accept_owned(page);
    /// for key in &mut keys {
    ///     println!("{:?}", key.name);
    /// }
    /// let buffer = keys.into_body();
    /// # assert_eq!(buffer.len(), 39);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accept_owned(&mut self, page: Page<Vec<u8>>) -> OwnedKeys {
        self.take(&page);
        OwnedKeys::new(page, &self.repeated)
    }

    /// Moves on, and notes which keys the page before had, too.
    fn take<B: AsRef<[u8]>>(&mut self, page: &Page<B>) {
        self.advance(page);
        core::mem::swap(&mut self.before, &mut self.last);
        self.last.clear();
        self.repeated.clear();
        for (n, id) in page.ids().enumerate() {
            let Some(id) = id else { continue };
            if self.before.contains(id) {
                self.repeated.push(n);
            }
            self.last.push(id);
        }
        self.last.sort();
    }

    /// The same, for callers who want every key as it came.
    pub fn advance<B: AsRef<[u8]>>(&mut self, page: &Page<B>) {
        let has_next = page.has_next() && !page.is_empty();
        self.move_on(has_next, page.total_count());
    }

    /// The same, for callers who do not decode the body; see [`Reply::has_next`].
    pub fn advance_undecoded<B: AsRef<[u8]>>(&mut self, reply: &Reply<B>) {
        self.move_on(reply.has_next(), None);
    }

    fn move_on(&mut self, has_next: bool, total_count: Option<u64>) {
        self.pages_left = self.pages_left.saturating_sub(1);
        let Some(current) = self.next.take() else {
            return;
        };
        if !has_next {
            return;
        }
        self.next = current.next();
        let Some(next) = self.next else {
            // Page 4,294,967,295 has no number after it; that is beyond any limit.
            self.next = Some(current);
            self.pages_left = 0;
            return;
        };
        let items = current.items().unwrap_or(ItemsPerPage::DEFAULT).get();
        self.last_page = total_count
            .and_then(|keys| u32::try_from(keys.div_ceil(u64::from(items))).ok())
            .filter(|last| *last >= next.page().get())
            .map_or(LastPage::Unknown, LastPage::Suggested);
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
    /// End to end.
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
    use crate::{GroupId, PageNum, Reply};
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::string::String;
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
        assert_eq!(listing.request().unwrap().unwrap().page().get(), 2);
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
            let owned = (&mut keys).map(|key| key.api_key_id.unwrap_or("-".into()));
            assert_eq!(owned.collect::<Vec<_>>(), lent);
            assert!(keys.next().is_none());
            assert_eq!(format!("{keys:?}"), "OwnedKeys { left: 0, .. }");
            assert_eq!(keys.into_body(), page(ids, "next").into_body());
            assert_eq!(gives.request().unwrap(), lends.request().unwrap());
        }
    }

    #[test]
    fn an_empty_page_ends_it() {
        let mut listing = listing(&Limits::default());
        assert!(accept(&mut listing, &page(&[], "next")).is_empty());
        assert_eq!(listing.request().unwrap(), None);
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
        let key = OwnedModelKey {
            name: Some("a".repeat(1000)),
            ..OwnedModelKey::default()
        };
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
        listing.window(size).map(|r| r.page().get()).collect()
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
        let request = ListRequest::new(group).page_num(last);
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
