//! A listing over any sequence of pages requests, returns and ends as the paging rules say.
//!
//! **Input**: a byte of flags (groups instead of keys, and two bits for an index of
//! [`ITEMS`](crate::generators::listing::ITEMS)), one for the number of the first page (from
//! [`FIRST_PAGES`](crate::generators::listing::FIRST_PAGES)), one for the limit of pages (0 stands for the default); then
//! pages until the end of the input, see [`generators::listing`](crate::generators::listing).
//!
//! **Properties**, each by a second implementation of the rules (`oracles/paging.rs`):
//!
//! - After each page the listing requests the next page (never the target of a link), requests an empty page once more,
//!   ends, or fails with the right error at the right page.
//! - A key is returned unless its id is on the page directly before, and in the page's order; borrowed and owned keys
//!   and the page without the omitted ones are the same.
//! - The numbers of keys and `totalCount` that the listing reports are those of the pages so far.
//! - The requests that may be sent ahead are the next one and those after it, within the limit and `totalCount`.
//! - With undecoded pages all of this holds as far as such a listing knows the pages; a body that is not a page makes it
//!   fail.

use std::fmt::Debug;

use atlas_model_keys_core::{
    Error, Group, GroupId, Groups, GroupsRequest, InvalidResponseKind, ItemsPerPage, Limits,
    ListPage, ListRequest, Listing, Operation, Page, PageNum, Paged, Reply,
};

use crate::generators::bytes as input;
use crate::generators::listing::Input;
use crate::oracles::derived::{DerivedKey, borrowed, owned};
use crate::oracles::paging::{NextStep, PageFacts, PagingModel};

/// The calls that differ between lists of keys and of groups. `E` is an entry with its values.
pub(crate) struct List<R: Paged, P: ListPage, E> {
    pub(crate) entries: fn(&P) -> Vec<E>,
    /// Accepts a page, which has this body.
    pub(crate) accept: fn(&mut Listing<R>, &P, &[u8]) -> Vec<E>,
    pub(crate) with_page_num: fn(R, PageNum) -> R,
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let items = ItemsPerPage::new(input.items).ok();
    let first = page_num(input.first);
    let mut limits = Limits::default();
    limits.pages = input.limit;
    if input.is_of_groups {
        let mut request = GroupsRequest::new().with_page_num(first);
        request = items.map_or(request, |items| request.with_items_per_page(items));
        let pages = input.pages.iter().map(|(body, facts)| {
            let page = GroupsRequest::read(reply(body)).expect("a page of groups");
            (page, facts, body.as_slice())
        });
        assert_listing(request, &limits, &pages.collect::<Vec<_>>(), &GROUPS, true);
    } else {
        let group = GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits");
        let mut request = ListRequest::new(group).with_page_num(first);
        request = items.map_or(request, |items| request.with_items_per_page(items));
        let pages = input.pages.iter().map(|(body, facts)| {
            let page = reply(body).into_page().expect("a page of keys");
            (page, facts, body.as_slice())
        });
        assert_listing(request, &limits, &pages.collect::<Vec<_>>(), &keys(), true);
    }
}

fn keys<'b>() -> List<ListRequest, Page<&'b [u8]>, DerivedKey> {
    List {
        entries: |page| page.keys().map(borrowed).collect(),
        accept: |listing, page, body| {
            let copy = || reply(body).into_page().expect("a page of keys");
            let owned: Vec<_> = listing.clone().accept_owned(copy()).map(owned).collect();
            let shorter = listing.clone().accept_page(copy());
            let accepted: Vec<_> = listing.accept(page).map(borrowed).collect();
            assert_eq!(owned, accepted);
            assert!(shorter.keys().map(borrowed).eq(accepted.iter().cloned()));
            accepted
        },
        with_page_num: |request, n| request.with_page_num(n),
    }
}

const GROUPS: List<GroupsRequest, Groups, [Option<String>; 2]> = List {
    entries: |page| page.as_slice().iter().map(group).collect(),
    accept: |listing, page, body| {
        let copy = || GroupsRequest::read(reply(body)).expect("a page of groups");
        let owned = listing.clone().accept_owned(copy());
        let owned: Vec<_> = owned.map(|owned| group(&owned)).collect();
        let shorter = listing.clone().accept_page(copy());
        let accepted: Vec<_> = listing.accept(page).map(group).collect();
        assert_eq!(owned, accepted);
        assert!(
            shorter
                .as_slice()
                .iter()
                .map(group)
                .eq(accepted.iter().cloned())
        );
        accepted
    },
    with_page_num: |request, n| request.with_page_num(n),
};

fn group(group: &Group) -> [Option<String>; 2] {
    [group.id(), group.name()].map(|text| text.map(str::to_owned))
}

fn reply(body: &[u8]) -> Reply<&[u8]> {
    Reply::from_response(http::Response::new(body)).expect("the status is 200")
}

fn page_num(n: u32) -> PageNum {
    PageNum::new(n).expect("a page number is at least 1")
}

/// Asserts that a listing follows the rules with pages in this order: decoded, and undecoded if wanted. Each page has its
/// facts and its body.
pub(crate) fn assert_listing<R: Paged, P: ListPage, E: Clone + PartialEq + Debug>(
    first: R,
    limits: &Limits,
    pages: &[(P, &PageFacts, &[u8])],
    list: &List<R, P, E>,
    with_undecoded: bool,
) {
    let listing = Listing::new(first, limits);
    let mut decoded = PagingModel {
        first: first.page_num().get(),
        items: first
            .items_per_page()
            .map_or(100, |items| items.get().into()),
        limit: limits.pages,
        decodes_all: true,
        seen: Vec::new(),
    };
    let mut undecoded = PagingModel {
        decodes_all: false,
        ..decoded.clone()
    };
    let (mut accepting, mut advancing) = (listing.clone(), listing.clone());
    let mut skimming = Some(listing).filter(|_| with_undecoded);
    assert_state(&accepting, &decoded, first, list.with_page_num);
    for (page, facts, body) in pages {
        if let Some(listing) = &mut skimming {
            undecoded.seen.push(facts);
            listing.advance_undecoded(&reply(body));
            assert_state(listing, &undecoded, first, list.with_page_num);
            let mut failing = listing.clone();
            if matches!(undecoded.next(), NextStep::Request(_)) {
                failing.advance_undecoded(&reply(b"<html>"));
                let kind = match failing.request() {
                    Err(Error::InvalidResponse(error)) => error.kind(),
                    other => panic!("{other:?} after a body that is not a page"),
                };
                assert_eq!(kind, InvalidResponseKind::Json);
            } else {
                skimming = None;
            }
        }
        if !matches!(decoded.next(), NextStep::Request(_)) {
            // Without texts that repeat, an undecoded listing may go on for longer.
            continue;
        }
        decoded.seen.push(facts);
        let all = (list.entries)(page);
        let new = decoded.new_keys().into_iter().map(|n| all[n].clone());
        assert_eq!(
            (list.accept)(&mut accepting, page, body),
            new.collect::<Vec<_>>()
        );
        advancing.advance(page);
        for listing in [&accepting, &advancing] {
            assert_state(listing, &decoded, first, list.with_page_num);
        }
    }
}

/// Asserts that a listing is in the state of the model.
fn assert_state<R: Paged>(
    listing: &Listing<R>,
    model: &PagingModel<'_>,
    first: R,
    with_page_num: fn(R, PageNum) -> R,
) {
    // The number of the first page may be absent.
    let request = |n: u32| match n == model.first {
        true => first,
        false => with_page_num(first, page_num(n)),
    };
    let expected = model.next();
    let endless = |error: &Error, page: u32, why: &str| {
        let Error::InvalidResponse(error) = error else {
            panic!("{error:?} instead of {expected:?}");
        };
        assert_eq!(error.kind(), InvalidResponseKind::Paging);
        assert_eq!(error.path(), format!("page {page}"));
        let line = error.to_string();
        assert!(
            line.starts_with("the listing would never end: ") && line.contains(why),
            "{line}"
        );
    };
    match (listing.request(), expected) {
        (Ok(Some(next)), NextStep::Request(number)) => assert_eq!(next, request(number)),
        (Ok(None), NextStep::End) => {}
        (Err(Error::Limit { what, limit }), NextStep::TooManyPages) => {
            assert_eq!((what, limit), ("pages", u64::from(model.limit)));
        }
        (Err(error), NextStep::TooManyEmpty(page)) => endless(&error, page, "empty pages"),
        (Err(error), NextStep::Repeated(page)) => endless(&error, page, "as the previous page"),
        (next, expected) => panic!("{next:?} instead of {expected:?}"),
    }
    assert_eq!(listing.keys_read(), model.keys_read());
    assert_eq!(listing.total_count(), model.total_count());
    for size in [0, 1, 2, 9] {
        let window = model.window(size).into_iter().map(request);
        assert!(listing.window(size).eq(window), "{size}");
    }
}
