//! A decoded page: the positions of its fields in the body, and the strings that were unescaped.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use zeroize::Zeroize as _;

use crate::KeyField;
use crate::limits::BodyLimits;

/// The position of a field's value: in the body, or in the [`Arena`] if the value was unescaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The position. The top bit ([`IN_ARENA`]) means that the value is in the arena, and `u32::MAX` that it is absent or
    /// null.
    pub(super) start: u32,
    pub(super) len: u32,
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
pub struct KeySpans(pub(super) [Span; KEY_FIELDS]);

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

    #[inline]
    pub(super) fn set(&mut self, field: KeyField, span: Span) {
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

    /// Returns the spans relative to `start`, which must not be after the start of any span. No span may be in the arena.
    pub(crate) fn moved_back(&self, start: usize) -> Self {
        // If there is a span, it begins at `start` or later, so `start` fits into a `u32`.
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

/// An entry of a list, as the positions of its documented fields. Fields are numbers here, in the order of
/// [`spans_mut`](Entry::spans_mut); there are at most 16.
pub trait Entry: Sized {
    /// An entry without fields.
    const ABSENT: Self;

    /// The problem of a page that has the same entries as the page before.
    const REPEATED: &'static str;

    /// Returns the field with this name, or `None` if the name is not documented.
    fn field(name: &[u8]) -> Option<u8>;

    fn name(field: u8) -> &'static str;

    fn spans_mut(&mut self) -> &mut [Span];

    /// Returns the position of the entry's id.
    fn id(&self) -> Span;

    /// Reads a page of such entries in Atlas's usual layout faster than the reference parser. Returns `None` for any other
    /// body.
    fn read_fast(_body: &[u8], _limits: BodyLimits) -> Option<Decoded<Self>> {
        None
    }

    /// Returns a page of keys as a page of such entries, if they are keys.
    fn from_keys(_page: &Decoded) -> Option<&Decoded<Self>> {
        None
    }
}

/// The positions of a group's documented fields, as far as they are used.
#[derive(Clone, Copy)]
pub struct GroupSpans([Span; 3]);

impl GroupSpans {
    const NAMES: [&'static str; 3] = ["id", "name", "orgId"];

    /// Returns the positions of `id`, `name` and `orgId`.
    pub(crate) fn fields(self) -> [Span; 3] {
        self.0
    }
}

impl Entry for GroupSpans {
    const ABSENT: Self = Self([Span::ABSENT; 3]);
    const REPEATED: &'static str = "a page has the same groups as the previous page";

    fn field(name: &[u8]) -> Option<u8> {
        let known = Self::NAMES.iter().zip(0..);
        let mut found = known.filter(|(known, _)| known.as_bytes() == name);
        found.next().map(|(_, field)| field)
    }

    fn name(field: u8) -> &'static str {
        let name = Self::NAMES.get(usize::from(field));
        name.copied().unwrap_or_default()
    }

    fn spans_mut(&mut self) -> &mut [Span] {
        &mut self.0
    }

    fn id(&self) -> Span {
        let [id, ..] = self.0;
        id
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
    pub(super) const ABSENT: Self = Self {
        rel: Span::ABSENT,
        href: Span::ABSENT,
    };
}

/// A decoded page: the positions of its fields.
pub struct Decoded<E = KeySpans> {
    /// The entries, or `None` if `results` is absent or null. A response that is one key has this key only.
    pub(crate) entries: Option<Vec<E>>,
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

impl<E> Default for Decoded<E> {
    fn default() -> Self {
        Self {
            entries: None,
            links: Vec::new(),
            has_links: false,
            total_count: None,
            status: None,
            error: None,
            says_next: false,
            arena: Arena::default(),
        }
    }
}

impl<E: Entry> Decoded<E> {
    /// Returns the id of each entry, as bytes: comparing ids needs no UTF-8 check.
    pub(crate) fn ids<'a>(&'a self, body: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> {
        let entries = self.entries.as_deref().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry.id().bytes(body, &self.arena))
    }
}

impl<E> Decoded<E> {
    /// Returns the `status` that an envelope adds to the body.
    pub(crate) fn envelope_status(&self) -> Option<u16> {
        self.status.and_then(|n| u16::try_from(n).ok())
    }

    /// Returns `totalCount`, or `None` if it is not a whole number from 0.
    pub(crate) fn total_count(&self) -> Option<u64> {
        u64::try_from(self.total_count?).ok()
    }
}

/// The buffer for the unescaped strings of a page, one after the other. It is overwritten when dropped, because a string
/// may be a secret.
#[derive(Default)]
pub(crate) struct Arena(pub(super) String);

/// The smallest capacity of an arena with strings: few pages need more.
const ARENA_BYTES: usize = 1024;

impl Arena {
    /// An arena without strings.
    pub(crate) const EMPTY: &'static Self = &Self(String::new());

    /// Adds a copy of a string. Returns `None` if the arena would become too large for a [`Span`].
    pub(super) fn push(&mut self, unescaped: &str) -> Option<Span> {
        let span = self.span(unescaped.len())?;
        self.reserve(unescaped.len());
        self.0.push_str(unescaped);
        Some(span)
    }

    /// Returns the span of the next string, which has `len` bytes.
    pub(super) fn span(&self, len: usize) -> Option<Span> {
        let start = u32::try_from(self.0.len()).ok()?;
        Some(Span {
            start: (start < IN_ARENA - 1).then_some(start | IN_ARENA)?,
            len: u32::try_from(len).ok()?,
        })
    }

    pub(super) fn reserve(&mut self, more: usize) {
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
