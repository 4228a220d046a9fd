//! A body is a page or an error, and it is a page exactly where a plain derived struct says so.
//!
//! **Input**: the body of a 200, as it is.
//!
//! **Properties**
//!
//! - Accepted if and only if a struct derived over the documented shape accepts it (which refuses a documented field
//!   that is given twice), a second reading of all of the JSON finds its numbers, escapes and surrogates
//!   in order, no more than [`Limits::nesting`] arrays and objects are within each other, no list has more
//!   than [`Limits::elements`], and it says of itself no failed status. (A derived struct takes an array
//!   for an object, too: that is excluded here. A number that is too large for the parser is a value of another
//!   type, wherever it stands.)
//! - What is lent and what is owned has the derived struct's values; links, count and status too.
//! - `Debug` of a key shows all of it but its secret.
//! - Between other pages, empty ones and itself, it is followed by what the rules of [`Listing`] say, told from all
//!   answers (`page/paging.rs`), decoded or not: the same request for the next page, whatever a link says, once
//!   more for the same page, the end, or an error. What was on the page before is left out, if it has an id.
//!   Owned keys, made one at a time, are the lent ones.
//! - What is told of a next page without decoding is what the decoded page says; what may be read ahead is
//!   what comes after it, as far as the count suggests.
//! - A space before all of it, which has the parser of record read it, changes nothing.
//! - [`Drift`](atlas_model_keys_core::Drift) counts what a second reading counts.
//! - An error tells a place in the body and a documented path, and nothing of the body; its kind is
//!   the right one.
//! - Memory is bounded by the size of the body, and, for what is lent, by the number of elements.

use std::collections::BTreeMap;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Error, GroupId, InvalidResponse, InvalidResponseKind, ItemsPerPage,
    KeyField, Limits, ListRequest, Listing, ModelKey, OwnedModelKey, Page, PageNum, Reply,
    Timestamp, is_unsafe_to_show,
};
use serde::Deserialize;
use serde_json::Value;

use crate::json::{self, Json};
use crate::shown;

mod paging;

/// The documented page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainPage {
    pub(crate) results: Option<Vec<PlainKey>>,
    links: Option<Vec<Option<PlainLink>>>,
    total_count: Option<Value>,
    status: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct PlainLink {
    rel: Option<String>,
    href: Option<String>,
}

#[derive(Clone, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlainKey {
    api_key_id: Option<String>,
    cloud: Option<String>,
    created_at: Option<String>,
    created_by: Option<String>,
    endpoint: Option<String>,
    geography: Option<String>,
    group_id: Option<String>,
    last_used_at: Option<String>,
    masked_secret: Option<String>,
    name: Option<String>,
    secret: Option<String>,
    status: Option<String>,
}

/// The fields of a key, and whether the preview version has them.
const KEY_FIELDS: [(&str, bool); 12] = [
    ("apiKeyId", true),
    ("cloud", false),
    ("createdAt", true),
    ("createdBy", true),
    ("endpoint", false),
    ("geography", false),
    ("groupId", true),
    ("lastUsedAt", true),
    ("maskedSecret", true),
    ("name", true),
    ("secret", true),
    ("status", true),
];

impl PlainPage {
    /// Reads a body of the documented shape, `results` or not.
    pub(crate) fn read(body: &[u8]) -> Option<(Self, Json)> {
        let limits = Limits::default();
        let json = Json::read(body)?;
        let lists = [json.elements("results"), json.elements("links")];
        let [keys, links] = lists;
        let fits = json.is_object()
            && json.depth() <= usize::from(limits.nesting)
            && lists.iter().all(|list| list.len() <= limits.elements)
            && keys.iter().all(Json::is_object)
            && links.iter().all(|link| link.is_object() || link.is_null());
        let body = json::with_small_numbers(body);
        let plain = fits.then(|| serde_json::from_slice(&body).ok())??;
        Some((plain, json))
    }

    /// The status of the error that the page is in spite of everything.
    pub(crate) fn failed_status(&self) -> Option<u16> {
        let said = [&self.status, &self.error];
        said.into_iter()
            .flatten()
            .filter_map(|value| u16::try_from(value.as_i64()?).ok())
            .find(|status| (400..1000).contains(status))
    }

    fn has_next(&self) -> bool {
        let mut links = self.links.iter().flatten().flatten();
        links.any(|link| link.rel.as_deref() == Some("next"))
    }

    /// Whether there are links that could say so: none at all, or one with a relation.
    fn says_anything(&self) -> bool {
        let has_relation =
            |link: &Option<PlainLink>| link.as_ref().is_some_and(|link| link.rel.is_some());
        let links = self.links.as_ref();
        links.is_some_and(|links| links.is_empty() || links.iter().any(has_relation))
    }

    /// `totalCount`. Nothing depends on its type, so that anything but a sensible number is as good as absent.
    fn total(&self) -> Option<u64> {
        sensible(self.total_count.as_ref())
    }
}

fn sensible(value: Option<&Value>) -> Option<u64> {
    u64::try_from(value?.as_i64()?).ok()
}

fn borrowed(key: ModelKey<'_>) -> PlainKey {
    let text = |value: Option<&str>| value.map(str::to_owned);
    PlainKey {
        api_key_id: text(key.api_key_id()),
        cloud: text(key.cloud()),
        created_at: text(key.created_at().map(Timestamp::as_str)),
        created_by: text(key.created_by()),
        endpoint: text(key.endpoint()),
        geography: text(key.geography()),
        group_id: text(key.group_id()),
        last_used_at: text(key.last_used_at().map(Timestamp::as_str)),
        masked_secret: text(key.masked_secret()),
        name: text(key.name()),
        secret: text(key.secret().map(|secret| secret.expose())),
        status: text(key.status()),
    }
}

fn owned(key: OwnedModelKey) -> PlainKey {
    let lent = borrowed(key.as_key());
    // Each way to a field gives the same, but for the secret.
    for field in KeyField::ALL {
        assert_eq!(key.field(*field), key.as_key().field(*field));
    }
    assert_eq!(key.name(), lent.name.as_deref());
    assert!(key.field(KeyField::Secret).is_none());
    lent
}

/// What `Debug` of a key is to be: all of it, and a word in the place of the secret.
fn debug_of(key: &PlainKey) -> String {
    fn timestamp(text: &Option<String>) -> Option<Timestamp<'_>> {
        text.as_deref().map(Timestamp::new)
    }
    let secret = match key.secret {
        Some(_) => "Some([redacted])",
        None => "None",
    };
    format!(
        "ModelKey {{ api_key_id: {:?}, cloud: {:?}, created_at: {:?}, created_by: {:?}, endpoint: {:?}, \
         geography: {:?}, group_id: {:?}, last_used_at: {:?}, masked_secret: {:?}, name: {:?}, \
         secret: {secret}, status: {:?} }}",
        key.api_key_id,
        key.cloud,
        timestamp(&key.created_at),
        key.created_by,
        key.endpoint,
        key.geography,
        key.group_id,
        timestamp(&key.last_used_at),
        key.masked_secret,
        key.name,
        key.status,
    )
}

/// Checks one input.
pub fn check(body: &[u8]) {
    let reply = Reply::from_response(http::Response::new(body)).expect("the status is 200");
    let expected = PlainPage::read(body);
    let has_next = reply.has_next();
    let mut result = None;
    let memory = allocation_counter::measure(|| result = Some(reply.into_page()));
    let elements = (body.len() / 2).min(2 * Limits::default().elements);
    let result = result.expect("it ran");
    same_with_a_space(body, &result);
    match result {
        Ok(page) => {
            // A list that grows is there twice, and a key takes a hundred bytes.
            let most = 1024 + 4 * body.len() + 3 * 100 * elements;
            assert!(memory.bytes_max <= most as u64, "{memory:?}");
            let (plain, json) = expected.expect("the core accepted it");
            assert_eq!(plain.failed_status(), None);
            same(&page, &plain, &json);
            owned_is_lent(body, &page);
            // Told without decoding, it is the same.
            assert_eq!(has_next, page.has_next());
            paging::follows_the_rules(&page, &plain, body);
            assert_eq!(page.into_body(), body);
        }
        Err(error) => {
            // An error object is read as a value of any shape.
            let decoded = body.len().min(Limits::default().error_body_bytes);
            let most = 4096 + 4 * body.len() + 3 * 100 * elements + 400 * decoded;
            assert!(memory.bytes_max <= most as u64, "{memory:?}");
            shown::assert_one_line(&error);
            if let Some((plain, _)) = &expected {
                let is_page = plain.results.is_some() && plain.failed_status().is_none();
                assert!(!is_page, "refused: {error}");
            }
            if let Error::InvalidResponse(error) = &error {
                answer(error, body);
            }
        }
    }
}

/// A page as Atlas writes it is not read by the parser that reads all the others; with a space before
/// it, it is.
fn same_with_a_space(body: &[u8], result: &Result<Page<&[u8]>, Error>) {
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
        (result, other) => panic!("{result:?}, and with a space {other:?}"),
    }
}

/// The page is what the plain struct is.
pub(crate) fn same(page: &Page<&[u8]>, plain: &PlainPage, json: &Json) {
    let keys = plain.results.as_deref().expect("a page has results");
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
    for (key, plain) in page.into_iter().zip(keys) {
        let shown = format!("{key:?}");
        assert_eq!(shown, debug_of(plain));
        if let Some(secret) = key.secret() {
            assert_eq!(secret.to_secret().expose(), secret.expose());
            assert_eq!(
                format!("{secret:?}{:?}", secret.to_secret()),
                "[redacted][redacted]"
            );
        }
    }
    let shown: Vec<_> = keys.iter().map(debug_of).collect();
    assert_eq!(
        format!("{:?}", page.keys()),
        format!("[{}]", shown.join(", "))
    );
    assert!(format!("{page:?}").starts_with(&format!("Page {{ keys: {}, ", keys.len())));

    let links = plain.links.iter().flatten();
    let links = links.map(|link| match link {
        Some(link) => (link.rel.as_deref(), link.href.as_deref()),
        None => (None, None),
    });
    assert!(page.links().map(|link| (link.rel, link.href)).eq(links));
    assert_eq!(page.has_next(), plain.has_next());
    assert_eq!(page.total_count(), plain.total());
    let status = sensible(plain.status.as_ref()).and_then(|status| u16::try_from(status).ok());
    assert_eq!(page.envelope_status(), status);

    drifts(page, json);
    goes_on(page);
}

fn number(n: u32) -> PageNum {
    PageNum::new(n).expect("it is one")
}

/// The seventh page of a list.
fn first() -> ListRequest {
    let group = GroupId::new("0123456789abcdef01234567").expect("it is one");
    ListRequest::new(group)
        .with_items_per_page(ItemsPerPage::MIN)
        .with_page_num(number(7))
        .with_pretty(true)
}

/// What is asked for next is the same, but for the number of the page.
fn goes_on(page: &Page<&[u8]>) {
    let first = first();
    let mut listing = Listing::new(first, &Limits::default());
    assert_eq!(listing.request().expect("the first"), Some(first));
    // Nothing is read ahead before a page has shown that there is more.
    assert!(listing.window(9).eq([first]));
    listing.advance(page);
    if let Some(next) = listing.request().expect("the second of many") {
        let uri = |request: &ListRequest| {
            let http = request.to_http(&BaseUrl::default(), &ApiVersion::PREVIEW);
            http.uri().to_string()
        };
        assert_eq!(uri(&next), uri(&first).replace("pageNum=7", "pageNum=8"));
    }
}

/// What is owned is what is lent, of the first page and of one that came before; and the body is given back.
fn owned_is_lent(body: &[u8], page: &Page<&[u8]>) {
    let copy = || {
        let response = http::Response::new(body.to_vec());
        let reply = Reply::from_response(response).expect("the status is 200");
        reply.into_page().expect("the core accepted it")
    };
    let mut listing = Listing::new(first(), &Limits::default());
    for _ in 0..2 {
        let mut keys = listing.clone().accept_owned(copy());
        let lent: Vec<PlainKey> = listing.accept(page).map(borrowed).collect();
        assert_eq!(keys.len(), lent.len());
        assert!((&mut keys).map(owned).eq(lent));
        assert_eq!(keys.into_body(), body);
    }
}

/// Counts unknown and missing fields a second time.
fn drifts(page: &Page<&[u8]>, json: &Json) {
    let drift = page.drift();
    shown::assert_safe(&drift);
    assert_eq!(drift.is_empty(), drift.to_string() == "as documented");
    // Every dated version that a page can have here is 2025-03-12 or later.
    let dated = page.version().is_some_and(|version| {
        version >= ApiVersion::V2025_03_12 && version != ApiVersion::PREVIEW
    });
    let mut unknown = BTreeMap::<String, u32>::new();
    let mut missing = BTreeMap::<String, u32>::new();
    let mut plain_names = true;
    let mut count = |object: &Json, prefix: &str, known: &[(&str, bool)]| {
        for (name, _) in object.entries() {
            let is_known = known.iter().any(|(known, _)| known == name);
            let is_envelope = prefix.is_empty() && name == "status";
            if !is_known && !is_envelope {
                plain_names &= name.len() <= 80 && !name.chars().any(is_unsafe_to_show);
                *unknown.entry(format!("{prefix}{name}")).or_default() += 1;
            }
        }
        for (name, _) in known.iter().filter(|(_, preview)| dated || *preview) {
            if !object.entries().iter().any(|(there, _)| there == name) {
                *missing.entry(format!("{prefix}{name}")).or_default() += 1;
            }
        }
    };
    count(
        json,
        "",
        &[("links", true), ("results", true), ("totalCount", true)],
    );
    // A link that is null lacks nothing.
    for link in json.elements("links").iter().filter(|l| !l.is_null()) {
        count(link, "links[].", &[("href", true), ("rel", true)]);
    }
    for key in json.elements("results") {
        count(key, "results[].", &KEY_FIELDS);
    }
    assert_eq!(drift.missing, missing);
    assert!(drift.unknown.len() <= 64);
    // Names that are cut or escaped may become one.
    if plain_names {
        assert_eq!(drift.more_unknown, unknown.len() > 64);
        match unknown.len() {
            0..=64 => assert_eq!(drift.unknown, unknown),
            _ => assert!(
                drift
                    .unknown
                    .iter()
                    .all(|(name, n)| unknown.get(name) == Some(n))
            ),
        }
    }
}

/// An error tells where, and in documented words.
pub(crate) fn answer(error: &InvalidResponse, body: &[u8]) {
    let path = error.path();
    let is_documented = |name: &str| KEY_FIELDS.iter().any(|(known, _)| *known == name);
    let inside = |list: &str| {
        let (number, field) = path
            .strip_prefix(list)?
            .strip_prefix('[')?
            .split_once(']')?;
        number.bytes().all(|b| b.is_ascii_digit()).then_some(field)
    };
    let fits = matches!(
        path,
        "" | "error" | "links" | "results" | "status" | "totalCount"
    ) || inside("links") == Some("")
        || inside("results").is_some_and(|field| {
            field.is_empty() || field.strip_prefix('.').is_some_and(is_documented)
        });
    assert!(fits, "{path}");
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
        // The parser counts a line end as column 0 of the line that it begins.
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
