use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::{Error, Limits, ListRequest, ModelKey, Page};

/// Where a listing over several pages stands: what to ask for next, and which keys were seen.
///
/// Pure, and the same for every transport:
///
/// - there is a next page if and only if a link says so and the page is not empty; it is the
///   same request with the next page number, never a link's target;
/// - `totalCount` ends nothing;
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
    /// The ids of the last page, and of the one before it.
    last: BTreeSet<Box<str>>,
    before: BTreeSet<Box<str>>,
}

impl Listing {
    /// A listing that begins with `first`.
    pub fn new(first: ListRequest, limits: &Limits) -> Self {
        Self {
            next: Some(first),
            pages_left: limits.pages,
            limit: limits.pages,
            last: BTreeSet::new(),
            before: BTreeSet::new(),
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

    /// Takes the page that answers [`request`](Listing::request), moves on, and gives the keys
    /// that the page before did not have.
    pub fn accept<'p, B: AsRef<[u8]>>(
        &mut self,
        page: &'p Page<B>,
    ) -> impl Iterator<Item = ModelKey<'p>> + use<'_, 'p, B> {
        self.advance(page);
        core::mem::swap(&mut self.before, &mut self.last);
        self.last.clear();
        self.last
            .extend(page.keys().filter_map(ModelKey::api_key_id).map(Box::from));
        let before = &self.before;
        page.keys()
            .filter(move |key| key.api_key_id().is_none_or(|id| !before.contains(id)))
    }

    /// The same, for callers who want every key as it came.
    pub fn advance<B: AsRef<[u8]>>(&mut self, page: &Page<B>) {
        self.pages_left = self.pages_left.saturating_sub(1);
        let Some(current) = self.next.take() else {
            return;
        };
        if page.has_next() && !page.is_empty() {
            self.next = current.next();
            if self.next.is_none() {
                // Page 4,294,967,295 has no number after it; that is beyond any limit.
                self.next = Some(current);
                self.pages_left = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, PageNum, Reply};
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

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
        // Two pages back is not looked at.
        assert_eq!(accept(&mut listing, &page(&["a", "b", "c"], "self")), ["a"]);
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
    fn after_the_last_number_that_a_page_can_have_there_is_an_error_and_no_silent_end() {
        let group = GroupId::new("0123456789abcdef01234567").unwrap();
        let last = PageNum::new(u32::MAX).unwrap();
        let request = ListRequest::new(group).page_num(last);
        let mut listing = Listing::new(request, &Limits::default());
        assert_eq!(accept(&mut listing, &page(&["a"], "next")), ["a"]);
        assert!(matches!(listing.request(), Err(Error::Limit { .. })));
    }
}
