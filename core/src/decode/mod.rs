//! Decodes a page's JSON in one pass: notes where in the body the documented fields are, and checks everything
//! else. Only strings with escapes are copied.
//!
//! Every documented field may be absent or null. It is an error if a documented field has another type (except
//! `totalCount`, `status` and `error`, which may hold anything), if it occurs twice, or if the nesting exceeds the limit,
//! in unknown fields too.
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

/// The position of a field's value, in the body or in the arena of unescaped strings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The top bit is set for the arena; `u32::MAX` means absent or null.
    start: u32,
    len: u32,
}

const IN_ARENA: u32 = 1 << 31;

impl Span {
    /// Makes a span of the body, or returns `None` if its position does not fit.
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

/// The part of a body that holds all the fields of a key.
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
        if let Some(place) = self.0.get_mut(field as usize) {
            *place = span;
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

    /// Returns the spans relative to `start`, a position in the body that no span begins before.
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
    /// Whether `links` is an array that is empty or has a link with a relation. Without one, it is unknown whether there
    /// is a next page.
    pub(crate) has_links: bool,
    pub(crate) total_count: Option<i64>,
    /// The envelope's `status`.
    pub(crate) status: Option<i64>,
    /// The value of `error`, if it is a number, as in Atlas's error object.
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

/// The unescaped strings of a page, one after the other. It is overwritten when dropped, because a string may be a secret.
#[derive(Default)]
pub(crate) struct Arena(String);

/// The smallest capacity of an arena with strings: few pages need more.
const ARENA_BYTES: usize = 1024;

impl Arena {
    /// The arena of a text without escapes.
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

/// The nesting depth of a page's fields: the page.
const PAGE_DEPTH: u8 = 1;
/// The nesting depth of a key's fields: page, array and key.
const KEY_DEPTH: u8 = 3;
/// The nesting depth of a link's fields: page, array and link.
const LINK_DEPTH: u8 = 3;

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
