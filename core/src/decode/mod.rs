//! A page's JSON, read once: documented fields as places in the body, everything else checked, nothing
//! copied but strings with escapes.
//!
//! Every documented field may be absent or null. A documented field of another type (but for
//! `totalCount` and `status`, which nothing depends on), or given twice, is an error; so is nesting
//! beyond the limit, in unknown fields too.
//!
//! There are two ways to read, and [`plain`] is the one that decides what is a page. [`expected`] is for what
//! Atlas writes day by day; it gives the same, sooner, or leaves it to the other.

mod expected;
pub(crate) mod numbers;
mod plain;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroize as _;

use crate::limits::BodyLimits;
use crate::{Error, KeyField};

/// A field's value: a place in the body, or in the arena of unescaped strings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The top bit tells the arena from the body; `u32::MAX` is absent or null.
    start: u32,
    len: u32,
}

const IN_ARENA: u32 = 1 << 31;

impl Span {
    /// `None` where the place cannot be written down.
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

    pub(crate) fn get<'a>(self, text: &'a str, arena: &'a Arena) -> Option<&'a str> {
        if self == Self::ABSENT {
            return None;
        }
        match self.in_arena() {
            Some(range) => arena.0.get(range),
            None => text.get(self.range()),
        }
    }

    /// Its bytes, in a body that need not have been checked for being text.
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

/// One key: where each documented field is.
#[derive(Clone)]
pub(crate) struct KeySpans([Span; KEY_FIELDS]);

/// The part of a body that holds all the fields of a key.
pub(crate) struct Block {
    pub(crate) range: Range<usize>,
    /// Bytes of the fields in it.
    pub(crate) bytes: usize,
}

impl KeySpans {
    pub(crate) fn new(spans: [Span; KEY_FIELDS]) -> Self {
        Self(spans)
    }

    #[inline]
    pub(crate) fn get(&self, field: KeyField) -> Span {
        self.0.get(field as usize).copied().unwrap_or(Span::ABSENT)
    }

    /// The smallest part of the body that holds all fields; `None` where one of them is in the arena.
    pub(crate) fn block(&self) -> Option<Block> {
        let (mut start, mut end, mut bytes) = (u32::MAX, 0, 0);
        for span in self.0.iter().filter(|span| **span != Span::ABSENT) {
            if span.start & IN_ARENA != 0 {
                return None;
            }
            start = start.min(span.start);
            end = end.max(span.start.saturating_add(span.len));
            bytes += span.len as usize;
        }
        Some(Block {
            range: (start.min(end) as usize)..end as usize,
            bytes,
        })
    }

    /// The spans in the part of the body that begins at `start`, which is not behind any of them.
    pub(crate) fn moved_back(&self, start: usize) -> Self {
        // Every span that is there begins at `start` or later, which is a `u32` then.
        let start = u32::try_from(start).unwrap_or(0);
        Self(self.0.map(|span| {
            if span == Span::ABSENT {
                return span;
            }
            Span {
                start: span.start.saturating_sub(start),
                ..span
            }
        }))
    }
}

/// One link: `rel` and `href`.
pub(crate) struct LinkSpans {
    pub(crate) rel: Span,
    pub(crate) href: Span,
}

/// What a page's JSON says, as places in it.
#[derive(Default)]
pub(crate) struct Decoded {
    /// `None` where `results` is absent or null.
    pub(crate) keys: Option<Vec<KeySpans>>,
    pub(crate) links: Vec<LinkSpans>,
    /// Whether there is an array of links, empty or with a relation in it. Without one, nothing is said about a next
    /// page.
    pub(crate) has_links: bool,
    pub(crate) total_count: Option<i64>,
    /// The envelope's `status`.
    pub(crate) status: Option<i64>,
    /// `error`, where it is a number, as in Atlas's error object.
    pub(crate) error: Option<i64>,
    /// Whether a link's `rel` is `next`.
    pub(crate) says_next: bool,
    pub(crate) arena: Arena,
}

impl Decoded {
    /// Reads a page, and checks all of `body`.
    pub(crate) fn read(body: &[u8], limits: BodyLimits) -> Result<Self, Error> {
        let mut decoded = match expected::read(body, limits) {
            Some(decoded) => decoded,
            None => plain::read(body, limits)?,
        };
        let Self { links, arena, .. } = &decoded;
        let is_next = |link: &LinkSpans| link.rel.bytes(body, arena) == Some(b"next");
        let says_next = links.iter().any(is_next);
        // Links without a relation, such as null, say nothing.
        let says_anything = links.is_empty() || links.iter().any(|link| link.rel != Span::ABSENT);
        decoded.says_next = says_next;
        decoded.has_links &= says_anything;
        Ok(decoded)
    }
}

impl Decoded {
    /// Of each key its id, which is text that need not be checked again to be compared.
    pub(crate) fn ids<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> {
        let keys = self.keys.as_deref().unwrap_or_default();
        keys.iter()
            .map(|key| key.get(KeyField::ApiKeyId).bytes(body, &self.arena))
    }

    /// `totalCount`, where it is a sensible one.
    pub(crate) fn total_count(&self) -> Option<u64> {
        u64::try_from(self.total_count?).ok()
    }
}

/// Unescaped strings, end to end. One of them may be a secret: overwritten when dropped.
#[derive(Default)]
pub(crate) struct Arena(String);

impl Arena {
    /// Of what has no escapes.
    pub(crate) const EMPTY: &'static Self = &Self(String::new());

    /// Takes a copy. `None` where its place could not be written down.
    fn push(&mut self, unescaped: &str) -> Option<Span> {
        let span = self.span(unescaped.len())?;
        self.reserve(unescaped.len());
        self.0.push_str(unescaped);
        Some(span)
    }

    /// The place of what is pushed next.
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
            // Growing would leave the old buffer behind as it is.
            let mut grown = String::with_capacity(needed.saturating_mul(2));
            grown.push_str(&self.0);
            *self = Self(grown);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // Most have never had anything, and overwriting nothing is dearer than it looks.
        if self.0.capacity() > 0 {
            self.0.zeroize();
        }
    }
}

/// The parser itself refuses 128 levels.
const MOST_NESTING: u8 = 100;

/// In how many arrays and objects the fields of a page stand, and those of a key and of a link: page, array,
/// and the key or link itself.
const IN_PAGE: u8 = 1;
const IN_KEY: u8 = 3;
const IN_LINK: u8 = 3;

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
