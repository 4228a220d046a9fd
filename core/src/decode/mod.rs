//! Decodes a page's JSON in one pass: notes where in the body the documented fields are, and checks that the rest is valid
//! JSON within the limits. Only strings with escapes are copied.
//!
//! The documented fields are here those of [`PageField`], those of [`KeyField`], and `href` and `rel` of a link. Each of
//! them may be absent or null here, but [`Reply::into_page`](crate::Reply::into_page) then refuses a page without
//! `results`. It is an error if a documented field has another type than documented (except `totalCount`, `status` and
//! `error`, which may hold anything), if it occurs twice, or if the nesting exceeds the limit, in unknown fields too.
//!
//! There are two parsers. The `reference` parser decides what is a page. `fast_path` handles Atlas's usual layout
//! faster, with the same result, and leaves everything else to the reference parser.

mod fast_path;
mod reference;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroize as _;

use crate::limits::BodyLimits;
use crate::{Error, KeyField};

/// The position of a field's value: in the body, or in the [`Arena`] if the value was unescaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The position. The top bit ([`IN_ARENA`]) means that the value is in the arena, and `u32::MAX` that it is absent or
    /// null.
    start: u32,
    len: u32,
}

/// The bit of [`Span::start`] that means a position in the arena.
const IN_ARENA: u32 = 1 << 31;

impl Span {
    /// Returns a span of the body, or `None` if its position does not fit.
    pub(crate) fn in_body(start: usize, len: usize) -> Option<Self> {
        Some(Self {
            start: u32::try_from(start).ok().filter(|n| n & IN_ARENA == 0)?,
            len: u32::try_from(len).ok()?,
        })
    }

    pub(crate) const ABSENT: Self = Self {
        start: u32::MAX,
        len: 0,
    };

    /// Returns the value, or `None` if it is absent or null.
    pub(crate) fn get<'a>(self, text: &'a str, arena: &'a Arena) -> Option<&'a str> {
        if self == Self::ABSENT {
            return None;
        }
        match self.in_arena() {
            Some(range) => arena.0.get(range),
            None => text.get(self.range()),
        }
    }

    /// Returns the value's bytes. The body need not be valid UTF-8.
    pub(crate) fn bytes<'a>(self, body: &'a [u8], arena: &'a Arena) -> Option<&'a [u8]> {
        if self == Self::ABSENT {
            return None;
        }
        match self.in_arena() {
            Some(range) => arena.0.as_bytes().get(range),
            None => body.get(self.range()),
        }
    }

    /// Returns the range in the arena, or `None` if the value is in the body.
    fn in_arena(self) -> Option<Range<usize>> {
        let start = self.start & !IN_ARENA;
        (start != self.start).then(|| Self { start, ..self }.range())
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start.saturating_add(self.len as usize)
    }
}

pub(crate) const KEY_FIELDS: usize = KeyField::ALL.len();

/// The positions of a key's documented fields.
#[derive(Clone, Copy)]
pub(crate) struct KeySpans([Span; KEY_FIELDS]);

/// The part of a body that holds all the fields of a key. It is used to copy one key out of its page.
pub(crate) struct Block {
    pub(crate) range: Range<usize>,
    /// The sum of the lengths of these fields.
    pub(crate) bytes: usize,
}

impl KeySpans {
    pub(crate) fn new(spans: [Span; KEY_FIELDS]) -> Self {
        Self(spans)
    }

    /// A key without fields.
    pub(crate) const ABSENT: Self = Self([Span::ABSENT; KEY_FIELDS]);

    #[inline]
    fn set(&mut self, field: KeyField, span: Span) {
        if let Some(known) = self.0.get_mut(field as usize) {
            *known = span;
        }
    }

    #[inline]
    pub(crate) fn get(&self, field: KeyField) -> Span {
        self.0.get(field as usize).copied().unwrap_or(Span::ABSENT)
    }

    /// Returns the smallest part of the body that holds all fields, or `None` if one of them is in the arena.
    pub(crate) fn block(&self) -> Option<Block> {
        let (mut start, mut end, mut bytes, mut bits) = (u32::MAX, 0, 0, 0);
        // Without branches, because the processor cannot predict which fields are absent.
        for span in &self.0 {
            let is_absent = *span == Span::ABSENT;
            start = start.min(span.start);
            end = end.max(if is_absent {
                0
            } else {
                span.start.wrapping_add(span.len)
            });
            bytes += span.len as usize;
            bits |= if is_absent { 0 } else { span.start };
        }
        (bits & IN_ARENA == 0).then_some(Block {
            range: (start.min(end) as usize)..end as usize,
            bytes,
        })
    }

    /// Returns the spans relative to `start`, which must not be after the start of any span. No span may be in the arena.
    pub(crate) fn moved_back(&self, start: usize) -> Self {
        // If there is a span, it begins at `start` or later, so `start` fits into a `u32`.
        let start = u32::try_from(start).unwrap_or(0);
        Self(self.0.map(|span| {
            let start = if span == Span::ABSENT { 0 } else { start };
            Span {
                start: span.start.saturating_sub(start),
                ..span
            }
        }))
    }
}

/// The positions of a link's fields.
#[derive(Clone, Copy)]
pub(crate) struct LinkSpans {
    pub(crate) rel: Span,
    pub(crate) href: Span,
}

impl LinkSpans {
    /// A link without fields.
    const ABSENT: Self = Self {
        rel: Span::ABSENT,
        href: Span::ABSENT,
    };
}

/// A decoded page: the positions of its fields.
#[derive(Default)]
pub(crate) struct Decoded {
    /// The keys, or `None` if `results` is absent or null.
    pub(crate) keys: Option<Vec<KeySpans>>,
    pub(crate) links: Vec<LinkSpans>,
    /// Whether the links tell whether there is a next page: `links` is an array that is empty or has a link with a relation
    /// (`rel`).
    pub(crate) has_links: bool,
    /// The value of `totalCount`, if it is an integer.
    pub(crate) total_count: Option<i64>,
    /// The value of `status`, if it is an integer. An envelope has it; see
    /// [`with_envelope`](crate::ListRequest::with_envelope).
    pub(crate) status: Option<i64>,
    /// The value of `error`, if it is an integer, as in Atlas's error object.
    pub(crate) error: Option<i64>,
    /// Whether a link's `rel` is `next`.
    pub(crate) says_next: bool,
    pub(crate) arena: Arena,
}

impl Decoded {
    /// Decodes a page, and checks all of `body`.
    pub(crate) fn read(body: &[u8], limits: BodyLimits) -> Result<Self, Error> {
        let mut decoded = match fast_path::read(body, limits) {
            Some(decoded) => decoded,
            None => reference::read(body, limits)?,
        };
        let Self { links, arena, .. } = &decoded;
        let is_next = |link: &LinkSpans| link.rel.bytes(body, arena) == Some(b"next");
        let says_next = links.iter().any(is_next);
        // Links without a relation, such as null, tell nothing about a next page.
        let says_anything = links.is_empty() || links.iter().any(|link| link.rel != Span::ABSENT);
        decoded.says_next = says_next;
        decoded.has_links &= says_anything;
        Ok(decoded)
    }
}

impl Decoded {
    /// Returns the id of each key, as bytes: comparing ids needs no UTF-8 check.
    pub(crate) fn ids<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> {
        let keys = self.keys.as_deref().unwrap_or_default();
        keys.iter()
            .map(|key| key.get(KeyField::ApiKeyId).bytes(body, &self.arena))
    }

    /// Returns `totalCount`, or `None` if it is not a whole number from 0.
    pub(crate) fn total_count(&self) -> Option<u64> {
        u64::try_from(self.total_count?).ok()
    }
}

/// The buffer for the unescaped strings of a page, one after the other. It is overwritten when dropped, because a string
/// may be a secret.
#[derive(Default)]
pub(crate) struct Arena(String);

/// The smallest capacity of an arena with strings: few pages need more.
const ARENA_BYTES: usize = 1024;

impl Arena {
    /// An arena without strings.
    pub(crate) const EMPTY: &'static Self = &Self(String::new());

    /// Adds a copy of a string. Returns `None` if the arena would become too large for a [`Span`].
    fn push(&mut self, unescaped: &str) -> Option<Span> {
        let span = self.span(unescaped.len())?;
        self.reserve(unescaped.len());
        self.0.push_str(unescaped);
        Some(span)
    }

    /// Returns the span of the next string, which has `len` bytes.
    fn span(&self, len: usize) -> Option<Span> {
        let start = u32::try_from(self.0.len()).ok()?;
        Some(Span {
            start: (start < IN_ARENA - 1).then_some(start | IN_ARENA)?,
            len: u32::try_from(len).ok()?,
        })
    }

    fn reserve(&mut self, more: usize) {
        let needed = self.0.len().saturating_add(more);
        if needed > self.0.capacity() {
            // `String` would grow without overwriting the old buffer.
            let mut grown = String::with_capacity(needed.saturating_mul(2).max(ARENA_BYTES));
            grown.push_str(&self.0);
            *self = Self(grown);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Most arenas are empty, and `zeroize` takes time even for an empty string.
        if self.0.capacity() > 0 {
            self.0.zeroize();
        }
    }
}

/// The highest limit of nesting. `serde_json` itself refuses 128 levels.
const MAX_NESTING: u8 = 100;

/// The number of objects and arrays around a page's fields. It is one: the page.
const PAGE_DEPTH: u8 = 1;
/// The number of objects and arrays around a key's fields: page, array and key.
const KEY_DEPTH: u8 = 3;
/// The number of objects and arrays around a link's fields: page, array and link.
const LINK_DEPTH: u8 = 3;

/// A documented field of a page. `status` marks an envelope, and `error` an error object.
#[derive(Clone, Copy)]
#[repr(u8)]
enum PageField {
    Error,
    Links,
    Results,
    Status,
    TotalCount,
}

impl PageField {
    fn from_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"error" => Self::Error,
            b"links" => Self::Links,
            b"results" => Self::Results,
            b"status" => Self::Status,
            b"totalCount" => Self::TotalCount,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Links => "links",
            Self::Results => "results",
            Self::Status => "status",
            Self::TotalCount => "totalCount",
        }
    }
}
