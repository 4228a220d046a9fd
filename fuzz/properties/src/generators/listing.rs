//! Sequences of pages of a list, with ids that are easily confused.

use arbitrary::{Arbitrary, Unstructured};

use crate::generators::bytes as input;
use crate::oracles::paging::PageFacts;

/// The numbers of the first page.
pub const FIRST_PAGES: [u32; 5] = [1, 2, 7, u32::MAX - 1, u32::MAX];

/// The values of `itemsPerPage`; 0 stands for Atlas's default.
pub const ITEMS: [u32; 4] = [0, 1, 2, 3];

/// The links of a page, and whether they announce a next page.
pub const LINKS: [(&str, Option<bool>); 8] = [
    (
        r#""links":[{"href":"https://a.example/?pageNum=99","rel":"next"}]"#,
        Some(true),
    ),
    (r#""links":[]"#, Some(false)),
    ("", None),
    (
        r#""links":[{"href":"h","rel":"self"},{"rel":"previous"}]"#,
        Some(false),
    ),
    (r#""links":[null,{"href":"next"},{"rel":null}]"#, None),
    (r#""links":null"#, None),
    (
        r#""links":[{"rel":"previous"},null,{"rel":"\u006eext"}]"#,
        Some(true),
    ),
    (r#""links":[{"rel":"Next"},{"rel":"next "}]"#, Some(false)),
];

/// Values of `totalCount` that are unusual, with the count that each is.
const TOTALS: [(&str, Option<u64>); 6] = [
    ("-1", None),
    ("1.5", None),
    ("\"7\"", None),
    ("null", None),
    ("9223372036854775807", Some(i64::MAX as u64)),
    ("4294967296", Some(1 << 32)),
];

/// The number of keys that stands for a full page, whose ids follow each other.
pub const FULL: u8 = 15;

/// The bit of a page's first byte that puts the links after the keys.
pub const LINKS_LAST: u8 = 1 << 5;

/// The bit of a page's first byte that writes an escape in the name `results`.
pub const ESCAPED_NAME: u8 = 1 << 6;

/// A listing and its pages.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) is_of_groups: bool,
    pub(crate) first: u32,
    /// The number of items of a page, or 0 for Atlas's default.
    pub(crate) items: u32,
    /// The largest number of pages.
    pub(crate) limit: u32,
    /// The body of each page, and its facts.
    pub(crate) pages: Vec<(Vec<u8>, PageFacts)>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let flags = input::byte(u)?;
        let items = ITEMS[usize::from(flags >> 1) % ITEMS.len()];
        let mut listing = Self {
            is_of_groups: flags & 1 != 0,
            items,
            first: input::pick(u, &FIRST_PAGES)?,
            limit: match input::byte(u)? {
                0 => 10_000,
                n => u32::from(n % 16),
            },
            pages: Vec::new(),
        };
        while !u.is_empty() && listing.pages.len() < 40 {
            listing.pages.push(page(u, &listing)?);
        }
        Ok(listing)
    }
}

/// Reads a page: a byte for its links (three bits), `totalCount` (two) and layout; one for the number of its keys; one for
/// `totalCount`, if there is one; then a byte for each key.
fn page(u: &mut Unstructured<'_>, listing: &Input) -> arbitrary::Result<(Vec<u8>, PageFacts)> {
    let (code, keys) = (input::byte(u)?, input::byte(u)? % 16);
    let (links, announces_next) = LINKS[usize::from(code % 8)];
    let (total_text, total) = match code >> 3 & 3 {
        0 => (String::new(), None),
        1 => {
            let total = input::byte(u)?;
            (format!(r#","totalCount":{total}"#), Some(total.into()))
        }
        2 => {
            // Nearly the number of keys that a list with this page as its last may have.
            let number = u32::from(input::byte(u)?) + listing.first.min(7) * listing.items;
            (format!(r#","totalCount":{number}"#), Some(number.into()))
        }
        _ => {
            let (text, total) = input::pick(u, &TOTALS)?;
            (format!(r#","totalCount":{text}"#), total)
        }
    };
    let mut entries = Vec::new();
    let mut ids = Vec::new();
    if keys == FULL {
        let from = u32::from(input::byte(u)?);
        let count = if listing.items == 0 {
            100
        } else {
            listing.items
        };
        for n in from..from + count {
            let id = format!("run-{n:03}");
            entries.push(entry(listing, &format!("\"{id}\""), entries.len(), false));
            ids.push(Some(id));
        }
    } else {
        for n in 0..usize::from(keys) {
            let code = input::byte(u)?;
            let (text, id) = id(code);
            entries.push(entry(listing, &text, n, code & 0x80 != 0));
            ids.push(id);
        }
    }
    let name = match code & ESCAPED_NAME {
        0 => "results",
        _ => r"r\u0065sults",
    };
    let results = format!(r#""{name}":[{}]"#, entries.join(","));
    let is_last = code & LINKS_LAST != 0;
    let (before, after) = match links {
        "" => (String::new(), String::new()),
        _ if is_last => (String::new(), format!(",{links}")),
        _ => (format!("{links},"), String::new()),
    };
    let body = format!("{{{before}{results}{after}{total_text}}}").into_bytes();
    // The position of a name with an escape is not known, so the whole body counts.
    let text = match code & ESCAPED_NAME {
        0 => body[before.len() + 2..].to_vec(),
        _ => body.clone(),
    };
    let facts = PageFacts {
        ids,
        announces_next,
        total,
        text,
    };
    Ok((body, facts))
}

/// Returns an entry with this id, if it is not empty, and its index as its name.
fn entry(listing: &Input, id: &str, n: usize, has_status: bool) -> String {
    let field = if listing.is_of_groups {
        "id"
    } else {
        "apiKeyId"
    };
    let id = match id {
        "" => String::new(),
        id => format!(r#""{field}":{id},"#),
    };
    let status = if has_status {
        r#","status":"ACTIVE""#
    } else {
        ""
    };
    format!(r#"{{{id}"name":"{n}"{status}}}"#)
}

/// Returns an id as it is written, and its value. Many ids have equal beginnings or ends, or equal values with other texts.
fn id(code: u8) -> (String, Option<String>) {
    match code & 0x7f {
        0 => return (String::new(), None),
        1 => return ("null".to_owned(), None),
        _ => {}
    }
    let pick = |shift: u8, parts: [&'static str; 4]| parts[usize::from(code >> shift & 3)];
    let tail = pick(0, ["", "b", "aaaaaaaa", "baaaaaaa"]);
    let head = pick(2, ["", "a", "aaaaaaaa", "caaaaaaa"]);
    let middle = pick(4, ["", "\u{e9}", "x", "\u{0}"]);
    let value = format!("{head}{middle}{tail}");
    let is_escaped = code & 0x40 != 0;
    let character = |c: char| match c {
        '\0' => r"\u0000".to_owned(),
        'a' if is_escaped => r"\u0061".to_owned(),
        c => c.to_string(),
    };
    let text: String = value.chars().map(character).collect();
    (format!("\"{text}\""), Some(value))
}
