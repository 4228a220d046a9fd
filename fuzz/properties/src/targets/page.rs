//! A body is a page exactly if a derived struct accepts it, and an error otherwise.
//!
//! **Input**: the body of a response with status 200.
//!
//! **Properties**
//!
//! - A body is accepted if and only if a struct derived from the documented fields accepts it (which rejects a
//!   documented field that occurs twice), a complete JSON parser finds all numbers, escapes and surrogates
//!   valid, arrays and objects are nested at most [`Limits::nesting`] deep, no list has more than
//!   [`Limits::elements`] elements, and the body contains no failed status. (A derived struct also accepts an array
//!   in place of an object; this is excluded here. A number that is too large for the parser counts as a value of
//!   another type.)
//! - This also holds with each limit set to exactly what a page needs, and to one less; the error then names the limit.
//! - Borrowed and owned keys, links, count and status have the values of the derived struct.
//! - `Debug` of a key shows every field but its secret.
//! - A key, its owned copy, and one that is made from its fields are equal and have equal hashes, `Debug` and JSON, which is read
//!   back without the secret. Two keys are equal exactly if all their fields but the secret are.
//! - A key is unused for a duration exactly if its last use, or else its creation, is as long ago, by `chrono`.
//! - Collected keys are counted exactly up to the limit of their memory.
//! - A [`Listing`] that reads the page, also before and after other or empty pages, follows a second
//!   implementation of the paging rules (see [`listing`](super::listing)), with decoded and undecoded pages: it requests the next
//!   page (independent of the link's target), repeats the request, ends, or fails. A key with an id that was on
//!   the previous page is omitted. Owned keys, created one at a time, equal the borrowed ones.
//! - `has_next` of an undecoded page equals that of the decoded page; reading ahead requests the pages after it, up to
//!   the last one by `totalCount`.
//! - A space before the body, which disables the fast path, changes nothing.
//! - [`Drift`](atlas_model_keys_core::Drift) equals a second count (`drift.rs`).
//! - An error has the right kind, names a position and a documented path, and contains nothing of the body.
//! - Memory is bounded by the size of the body and by the number of elements.

mod keys;
mod paging;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Error, GroupId, InvalidResponse, InvalidResponseKind, ItemsPerPage,
    Limits, ListRequest, Listing, ModelKey, Page, PageNum, Reply,
};

use crate::allocations;
use crate::oracles::derived::{
    DerivedKey, DerivedPage, KEY_FIELDS, borrowed, expected_debug, is_within, longest_list, owned,
};
use crate::oracles::json::Json;
use crate::oracles::{drift, shown};

/// Checks one input.
pub fn check(body: &[u8]) {
    let reply = Reply::from_response(http::Response::new(body)).expect("the status is 200");
    let expected = DerivedPage::<DerivedKey>::read(body);
    let has_next = reply.has_next();
    let (result, memory) = allocations::measure(|| reply.into_page());
    let elements = (body.len() / 2).min(2 * Limits::default().elements);
    assert_same_with_a_space(body, &result);
    assert_limits_are_exact(body);
    match result {
        Ok(page) => {
            // A growing list is held twice for a moment, and a key takes a hundred bytes.
            let most = 1024 + 4 * body.len() + 3 * 100 * elements;
            assert!(memory <= most as u64, "{memory} bytes");
            let (derived, json) = expected.expect("the core accepted it");
            assert_eq!(derived.failed_status(), None);
            assert_same_page(&page, &derived, &json);
            keys::check(&page, derived.results.as_deref().unwrap_or_default());
            assert_owned_keys_equal_borrowed(body, &page);
            assert_eq!(has_next, page.has_next());
            paging::assert_rules_hold(&derived, body);
            assert_eq!(page.into_body(), body);
        }
        Err(error) => {
            // An error object is parsed as a JSON value of any shape.
            let decoded = body.len().min(Limits::default().error_body_bytes);
            let most = 4096 + 4 * body.len() + 3 * 100 * elements + 400 * decoded;
            assert!(memory <= most as u64, "{memory} bytes");
            shown::assert_one_line(&error);
            if let Some((derived, _)) = &expected {
                let is_page = derived.results.is_some() && derived.failed_status().is_none();
                assert!(!is_page, "a page was rejected: {error}");
            }
            if let Error::InvalidResponse(error) = &error {
                assert_invalid_response(error, body);
            }
        }
    }
}

/// Asserts that the fast path and the reference parser agree: a space before the body disables the fast path.
fn assert_same_with_a_space(body: &[u8], result: &Result<Page<&[u8]>, Error>) {
    let spaced = [b" ", body].concat();
    let response = http::Response::new(spaced.as_slice());
    let reply = Reply::from_response(response).expect("the status is 200");
    match (result, reply.into_page()) {
        (Ok(page), Ok(other)) => {
            assert!(page.keys().map(borrowed).eq(other.keys().map(borrowed)));
            assert!(page.links().eq(other.links()));
            let rest =
                |page: &Page<&[u8]>| (page.total_count(), page.has_next(), page.envelope_status());
            assert_eq!(rest(page), rest(&other));
        }
        (Err(Error::InvalidResponse(error)), Err(Error::InvalidResponse(other))) => {
            assert_eq!((error.kind(), error.path()), (other.kind(), other.path()));
        }
        (Err(error), Err(other)) => assert_eq!(error.status(), other.status()),
        (result, other) => panic!("{result:?}, but {other:?} with a space"),
    }
}

/// Asserts that a page is accepted exactly within its limits, each set to what the page needs and to one less, and that an
/// error names the limit.
fn assert_limits_are_exact(body: &[u8]) {
    let Some((derived, json)) = DerivedPage::<DerivedKey>::read_unlimited(body) else {
        return;
    };
    if derived.results.is_none() || derived.failed_status().is_some() {
        return;
    }
    let (depth, elements) = (
        u8::try_from(json.depth()).unwrap_or(u8::MAX),
        longest_list(&json),
    );
    // A documented page is nested three levels deep, so smaller limits make no sense and are not enforced.
    let changes = [
        (depth.max(3), elements),
        ((depth - 1).max(3), elements),
        (u8::MAX, elements),
        (depth.max(3), elements.saturating_sub(1)),
    ];
    for (nesting, elements) in changes {
        let mut limits = Limits::default();
        (limits.nesting, limits.elements) = (nesting, elements);
        let set = Limits::default().with_nesting(nesting);
        assert_eq!(set.with_elements(elements), limits);
        let is_accepted = is_within(&json, &limits);
        match read_within(body, &limits) {
            Ok(page) => {
                assert!(is_accepted, "{limits:?}");
                assert_eq!(page.len(), derived.results.iter().flatten().count());
            }
            Err(Error::InvalidResponse(error)) => {
                assert!(!is_accepted, "{error} with {limits:?}");
                assert_eq!(error.kind(), InvalidResponseKind::Shape);
                let is_too_deep = json.depth() > usize::from(nesting.min(100));
                let is_named = match error.to_string() {
                    line if line.contains("it is nested deeper than the limit") => is_too_deep,
                    line if line.contains("it has more elements than the limit") => {
                        longest_list(&json) > elements
                    }
                    _ => false,
                };
                assert!(is_named, "{error}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    for body_bytes in [body.len(), body.len() - 1] {
        let mut limits = Limits::default();
        (limits.nesting, limits.body_bytes) = (u8::MAX, body_bytes);
        match read_within(body, &limits) {
            Err(Error::Limit { what, limit }) => {
                assert_eq!((what, limit), ("bytes of body", body_bytes as u64));
                assert!(body_bytes < body.len());
            }
            _ => assert_eq!(body_bytes, body.len()),
        }
    }
}

fn read_within<'b>(body: &'b [u8], limits: &Limits) -> Result<Page<&'b [u8]>, Error> {
    Reply::from_response_with(http::Response::new(body), limits)?.into_page()
}

/// Asserts that a page has the values of the derived struct.
pub(crate) fn assert_same_page(page: &Page<&[u8]>, derived: &DerivedPage, json: &Json) {
    let keys = derived.results.as_deref().expect("a page has results");
    assert_eq!(page.keys().map(borrowed).collect::<Vec<_>>(), keys);
    assert_eq!(
        page.keys()
            .map(ModelKey::to_owned_key)
            .map(owned)
            .collect::<Vec<_>>(),
        keys
    );
    assert!(page.len() == keys.len() && page.is_empty() == keys.is_empty());
    assert!(page.into_iter().len() == keys.len());
    for (key, derived) in page.into_iter().zip(keys) {
        let shown = format!("{key:?}");
        assert_eq!(shown, expected_debug(derived));
        if let Some(secret) = key.secret() {
            assert_eq!(secret.to_secret().expose(), secret.expose());
            assert_eq!(
                format!("{secret:?}{:?}", secret.to_secret()),
                "[redacted][redacted]"
            );
        }
    }
    let shown: Vec<_> = keys.iter().map(expected_debug).collect();
    assert_eq!(
        format!("{:?}", page.keys()),
        format!("[{}]", shown.join(", "))
    );
    assert!(format!("{page:?}").starts_with(&format!("Page {{ keys: {}, ", keys.len())));

    let links = derived.links.iter().flatten();
    let links = links.map(|link| match link {
        Some(link) => (link.rel.as_deref(), link.href.as_deref()),
        None => (None, None),
    });
    assert!(page.links().map(|link| (link.rel, link.href)).eq(links));
    assert_eq!(page.has_next(), derived.has_next());
    assert_eq!(page.total_count(), derived.total());
    assert_eq!(page.envelope_status(), derived.envelope_status());

    drift::assert_page(&page.drift(), json, &KEY_FIELDS, &[], page.version());
    assert_next_request(page);
}

fn page_num(n: u32) -> PageNum {
    PageNum::new(n).expect("a page number is at least 1")
}

/// Returns the request for the seventh page of a listing.
fn first_request() -> ListRequest {
    let group = GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits");
    ListRequest::new(group)
        .with_items_per_page(ItemsPerPage::MIN)
        .with_page_num(page_num(7))
        .with_pretty(true)
}

/// Asserts that the next request differs from the first one only in the page number.
fn assert_next_request(page: &Page<&[u8]>) {
    let first = first_request();
    let mut listing = Listing::new(first, &Limits::default());
    assert_eq!(
        listing.request().expect("the first request is allowed"),
        Some(first)
    );
    // Reading ahead starts only after a page has announced a next one.
    assert!(listing.window(9).eq([first]));
    listing.advance(page);
    if let Some(next) = listing
        .request()
        .expect("the limit allows more than one page")
    {
        let uri = |request: &ListRequest| {
            let http = request.to_http(&BaseUrl::default(), &ApiVersion::PREVIEW);
            http.uri().to_string()
        };
        assert_eq!(uri(&next), uri(&first).replace("pageNum=7", "pageNum=8"));
    }
}

/// Asserts that owned keys equal borrowed ones, for a first and for a repeated page, and that the body is returned.
fn assert_owned_keys_equal_borrowed(body: &[u8], page: &Page<&[u8]>) {
    let copy = || {
        let response = http::Response::new(body.to_vec());
        let reply = Reply::from_response(response).expect("the status is 200");
        reply.into_page().expect("the core accepted it")
    };
    let mut listing = Listing::new(first_request(), &Limits::default());
    for _ in 0..2 {
        let mut keys = listing.clone().accept_owned(copy());
        let shown = format!("{keys:?}");
        let left = shown.strip_prefix("OwnedPageKeys { left: ");
        let left = left.and_then(|left| left.strip_suffix(", .. }"));
        let expected: Vec<DerivedKey> = listing.accept(page).map(borrowed).collect();
        assert_eq!(keys.len(), expected.len());
        assert!(
            left.is_some_and(|left| left.parse::<usize>().is_ok()),
            "{shown}"
        );
        assert!((&mut keys).map(owned).eq(expected));
        assert_eq!(keys.into_body(), body);
    }
}

/// Asserts that an error names a position and a documented path, and has the right kind.
pub(crate) fn assert_invalid_response(error: &InvalidResponse, body: &[u8]) {
    let path = error.path();
    let is_documented = |name: &str| KEY_FIELDS.iter().any(|(known, _)| *known == name);
    let inside = |list: &str| {
        let (index, field) = path
            .strip_prefix(list)?
            .strip_prefix('[')?
            .split_once(']')?;
        index.bytes().all(|b| b.is_ascii_digit()).then_some(field)
    };
    let is_documented_path = matches!(
        path,
        "" | "error" | "links" | "results" | "status" | "totalCount"
    ) || inside("links") == Some("")
        || inside("results").is_some_and(|field| {
            field.is_empty() || field.strip_prefix('.').is_some_and(is_documented)
        });
    assert!(is_documented_path, "{path}");
    let line = error.to_string();
    assert!(
        line.starts_with("the response is not a page of keys: ") && line.len() < 200,
        "{line}"
    );
    assert_eq!(
        format!("{error:?}"),
        format!("InvalidResponse({:?}: {line})", error.kind())
    );

    if let Some((line, column)) = error.line_and_column() {
        let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        // The parser counts a line end as column 0 of the next line.
        let length = lines.get(line.saturating_sub(1)).map(|line| line.len());
        assert!(
            length.is_some_and(|length| column <= length + 1),
            "{line}:{column}"
        );
    }
    match error.kind() {
        InvalidResponseKind::Utf8 => assert!(std::str::from_utf8(body).is_err()),
        InvalidResponseKind::Json => assert!(Json::read(body).is_none()),
        InvalidResponseKind::Encoding => {
            assert!(Json::read(body).is_none());
            assert!(path.is_empty() && error.line_and_column().is_none());
        }
        _ => assert!(std::str::from_utf8(body).is_ok()),
    }
}
