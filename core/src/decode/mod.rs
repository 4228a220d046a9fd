//! Decodes a page's JSON in one pass: notes where in the body the documented fields are, and checks that the rest is valid
//! JSON within the limits. Only strings with escapes are copied.
//!
//! The documented fields are here those of `PageField`, those of [`KeyField`](crate::KeyField), and `href` and `rel` of a
//! link. Each of them may be absent or null here, but [`Reply::into_page`](crate::Reply::into_page) then refuses a page without
//! `results`. It is an error if a documented field has another type than documented (except `totalCount`, `status` and
//! `error`, which may hold anything), if it occurs twice, or if the nesting exceeds the limit, in unknown fields too.
//!
//! There are two parsers. The `reference` parser decides what is a page. `fast_path` handles Atlas's usual layout
//! faster, with the same result, and leaves everything else to the reference parser.

mod decoded;
mod fast_path;
mod layout;
mod reference;

use crate::Error;
use crate::limits::BodyLimits;

pub(crate) use decoded::{Arena, Decoded, KEY_FIELDS, KeySpans, LinkSpans, Span};

/// Decodes a page, and checks all of `body`.
pub(crate) fn read(body: &[u8], limits: BodyLimits) -> Result<Decoded, Error> {
    let mut decoded = match fast_path::read(body, limits) {
        Some(decoded) => decoded,
        None => reference::read(body, limits)?,
    };
    let Decoded { links, arena, .. } = &decoded;
    let is_next = |link: &LinkSpans| link.rel.bytes(body, arena) == Some(b"next");
    let says_next = links.iter().any(is_next);
    // Links without a relation, such as null, tell nothing about a next page.
    let says_anything = links.is_empty() || links.iter().any(|link| link.rel != Span::ABSENT);
    decoded.says_next = says_next;
    decoded.has_links &= says_anything;
    Ok(decoded)
}
