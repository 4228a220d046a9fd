//! Decodes a page's JSON in one pass: notes where in the body the documented fields are, and checks that the rest is valid
//! JSON within the limits. Only strings with escapes are copied.
//!
//! The documented fields are here those of `PageField`, those of [`KeyField`](crate::KeyField), and `href` and `rel` of a
//! link. Each of them may be absent or null here, but [`Reply::into_page`](crate::Reply::into_page) then refuses a page without
//! `results`. It is an error if a documented field has another type than documented (except `totalCount`, `status` and
//! `error`, which may hold anything), if it occurs twice, or if the nesting exceeds the limit, in unknown fields too.
//!
//! A list of groups is read by the same rules, and so is [one key](one_key).
//!
//! There are two parsers. The `reference` parser decides what is a page. `fast_path` handles Atlas's usual layout
//! faster, with the same result, and leaves everything else to the reference parser.

mod decoded;
mod fast_path;
mod layout;
mod one_key;
mod reference;

use crate::limits::BodyLimits;
use crate::{Error, KeyField};

pub(crate) use decoded::{
    Arena, Decoded, Entry, GroupSpans, KEY_FIELDS, KeySpans, LinkSpans, Span,
};
pub(crate) use layout::Form;

impl Entry for KeySpans {
    const ABSENT: Self = Self([Span::ABSENT; KEY_FIELDS]);
    const REPEATED: &'static str = "a page has the same keys as the previous page";

    #[inline]
    fn field(name: &[u8]) -> Option<u8> {
        KeyField::from_bytes(name).map(|field| field as u8)
    }

    fn name(field: u8) -> &'static str {
        let field = KeyField::ALL.get(usize::from(field)).copied();
        field.map_or("", KeyField::name)
    }

    #[inline]
    fn spans_mut(&mut self) -> &mut [Span] {
        &mut self.0
    }

    #[inline]
    fn id(&self) -> Span {
        self.get(KeyField::ApiKeyId)
    }

    #[inline]
    fn read_fast(body: &[u8], limits: BodyLimits) -> Option<Decoded> {
        fast_path::read(body, limits)
    }

    fn from_keys(page: &Decoded) -> Option<&Decoded> {
        Some(page)
    }
}

/// Decodes a response that is one key, and checks all of `body`. There is no entry if no field of a key is in it.
pub(crate) fn read_key(body: &[u8], limits: BodyLimits) -> Result<Decoded, Error> {
    reference::read::<one_key::OneKey>(body, limits)
}

/// Decodes a page, and checks all of `body`.
pub(crate) fn read<E: Entry>(body: &[u8], limits: BodyLimits) -> Result<Decoded<E>, Error> {
    let mut decoded = match E::read_fast(body, limits) {
        Some(decoded) => decoded,
        None => reference::read::<reference::PageOf<E>>(body, limits)?,
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
