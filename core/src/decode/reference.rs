//! The reference parser: reads any page, or one key, with serde. It notes the positions of documented fields, and checks
//! everything else.
//!
//! Unknown values are read with [`Walk`] instead of serde's `IgnoredAny`, which does not check depth, numbers or
//! surrogates.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::decoded::{Arena, Decoded, Entry, LinkSpans, Span};
use super::layout::{KEY_DEPTH, LINK_DEPTH, MAX_NESTING, PAGE_DEPTH, PageField};
use crate::error::{InvalidResponse, InvalidResponseKind};
use crate::json::PRIVATE_NUMBER;
use crate::limits::BodyLimits;
use crate::numbers;
use crate::{Endpoint, Error};

/// The form of a body: what its object holds.
pub(super) trait Document {
    type Entry: Entry;

    /// Reads the object at the top of the body.
    fn read_map<'de, A: MapAccess<'de>>(
        reader: &Reader<'_>,
        map: A,
    ) -> Result<Decoded<Self::Entry>, A::Error>;
}

/// Decodes a body, and checks all of it.
pub(super) fn read<D: Document>(
    body: &[u8],
    limits: BodyLimits,
) -> Result<Decoded<D::Entry>, Error> {
    let text = text(body)?;
    // `serde_json` refuses numbers that are too large. Such numbers are replaced by values of the same length, and the page
    // is read again: all positions stay valid.
    match read_text::<D>(text, limits) {
        Err(error) if is_syntax(&error) => match numbers::replaced(text) {
            Some(text) => read_text::<D>(&text, limits),
            None => Err(error),
        },
        read => read,
    }
}

fn is_syntax(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidResponse(InvalidResponse {
            kind: InvalidResponseKind::Json,
            ..
        })
    )
}

fn read_text<D: Document>(text: &str, limits: BodyLimits) -> Result<Decoded<D::Entry>, Error> {
    let reader = Reader {
        text,
        arena: RefCell::default(),
        at: Cell::new(JsonPath::Top),
        problem: Cell::new(None),
        nesting: limits.nesting.min(MAX_NESTING),
        elements: limits.elements,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let decoded = DocumentSeed::<D>(&reader, PhantomData)
        .deserialize(&mut json)
        .and_then(|decoded| json.end().map(|()| decoded));
    match decoded {
        Ok(mut decoded) => {
            decoded.arena = reader.arena.into_inner();
            Ok(decoded)
        }
        Err(error) => Err(reader.explain(&error, D::Entry::name)),
    }
}

/// Checks that the body is UTF-8. One check of the whole body is a quarter faster than the parser's own check of each
/// string.
fn text(body: &[u8]) -> Result<&str, Error> {
    core::str::from_utf8(body).map_err(|error| {
        let before = body.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |n| n + 1);
        Error::InvalidResponse(InvalidResponse {
            endpoint: Endpoint::ModelKeys,
            kind: InvalidResponseKind::Utf8,
            place: Some((line, before.len() - line_start + 1)),
            path: String::new(),
            problem: "it is not UTF-8",
        })
    })
}

/// The state that all parts of the parser share.
pub(super) struct Reader<'t> {
    text: &'t str,
    arena: RefCell<Arena>,
    /// The current field, for error messages.
    pub(super) at: Cell<JsonPath>,
    /// The reason why this parser refused a value, if it did. serde's own messages are never shown, because they repeat the
    /// value.
    problem: Cell<Option<&'static str>>,
    pub(super) nesting: u8,
    elements: usize,
}

/// A field or an element of the page. Entries and links have their index, and the fields of an entry the number of
/// [`Entry::field`].
#[derive(Clone, Copy)]
pub(super) enum JsonPath {
    Top,
    Field(&'static str),
    /// The entity in an envelope, or its field.
    Content(Option<&'static str>),
    Entry(usize),
    EntryField(usize, u8),
    Link(usize),
}

impl Reader<'_> {
    /// Records the reason, and returns an error that stops the parser.
    pub(super) fn refuse<E: serde::de::Error>(&self, problem: &'static str) -> E {
        self.problem.set(Some(problem));
        E::custom("refused")
    }

    /// Returns the span of `part`, if it lies in the body.
    fn span_of(&self, part: &str) -> Option<Span> {
        let start = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        (end <= self.text.len()).then_some(())?;
        Span::in_body(start, part.len())
    }

    /// Copies an unescaped string into the arena.
    fn copy<E: serde::de::Error>(&self, unescaped: &str) -> Result<Span, E> {
        let span = self.arena.borrow_mut().push(unescaped);
        span.ok_or_else(|| self.refuse("it is too large"))
    }

    /// Converts an error of the JSON parser. The text of the result does not repeat a value.
    fn explain(&self, error: &serde_json::Error, name: fn(u8) -> &'static str) -> Error {
        use serde_json::error::Category;
        let (kind, problem) = match error.classify() {
            Category::Eof => (InvalidResponseKind::Json, "it ends too early"),
            Category::Syntax | Category::Io => (InvalidResponseKind::Json, "it is not valid JSON"),
            Category::Data => (
                InvalidResponseKind::Shape,
                self.problem
                    .get()
                    .unwrap_or("a value is not of the documented type"),
            ),
        };
        let path = match self.at.get() {
            JsonPath::Top => String::new(),
            JsonPath::Field(name) => name.into(),
            JsonPath::Content(None) => "content".into(),
            JsonPath::Content(Some(name)) => format!("content.{name}"),
            JsonPath::Entry(n) => format!("results[{n}]"),
            JsonPath::EntryField(n, field) => format!("results[{n}].{}", name(field)),
            JsonPath::Link(n) => format!("links[{n}]"),
        };
        Error::InvalidResponse(InvalidResponse {
            endpoint: Endpoint::ModelKeys,
            kind,
            place: Some((error.line(), error.column())),
            path,
            problem,
        })
    }
}

/// Reads a field's name, and converts it by calling `F`.
pub(super) struct Named<F>(pub(super) F);

impl<'de, T, F: Fn(&str) -> T> DeserializeSeed<'de> for Named<F> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<T, D::Error> {
        input.deserialize_str(self)
    }
}

impl<T, F: Fn(&str) -> T> Visitor<'_> for Named<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}

/// Reads a string or null.
pub(super) struct Text<'r>(pub(super) &'r Reader<'r>);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Span;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Span, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = Span;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Span, E> {
        match self.0.span_of(text) {
            Some(span) => Ok(span),
            None => self.0.copy(text),
        }
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        self.0.copy(text)
    }
    fn visit_unit<E>(self) -> Result<Span, E> {
        Ok(Span::ABSENT)
    }
}

/// Reads any value to its end and bounds its depth. Returns it if it is an integer.
#[derive(Clone, Copy)]
pub(super) struct Walk<'r> {
    reader: &'r Reader<'r>,
    /// The number of arrays and objects around the value.
    depth: u8,
    /// Whether the value is the text of a number; see [`NUMBER`].
    is_number: bool,
}

impl<'r> Walk<'r> {
    pub(super) fn new(reader: &'r Reader<'r>, depth: u8) -> Self {
        Self {
            reader,
            depth,
            is_number: false,
        }
    }
}

impl Walk<'_> {
    /// Returns the depth inside this array or object, or an error beyond the limit.
    pub(super) fn inner_depth<E: serde::de::Error>(&self) -> Result<u8, E> {
        if self.depth >= self.reader.nesting {
            return Err(self.reader.refuse("it is nested deeper than the limit"));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<i64>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Option<i64>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<i64>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, n: i64) -> Result<Option<i64>, E> {
        Ok(Some(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Option<i64>, E> {
        Ok(i64::try_from(n).ok())
    }
    fn visit_f64<E>(self, _: f64) -> Result<Option<i64>, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Option<i64>, E> {
        Ok(None)
    }
    fn visit_str<E>(self, text: &str) -> Result<Option<i64>, E> {
        Ok(text.parse().ok().filter(|_| self.is_number))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<i64>, A::Error> {
        let depth = self.inner_depth()?;
        let reader = self.reader;
        while seq.next_element_seed(Walk::new(reader, depth))?.is_some() {}
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<i64>, A::Error> {
        let depth = self.inner_depth()?;
        let reader = self.reader;
        let mut entries = 0usize;
        let mut number = None;
        while let Some(is_number) = map.next_key_seed(IsNumber(reader))? {
            number = map.next_value_seed(Walk {
                reader,
                depth,
                is_number,
            })?;
            number = number.filter(|_| is_number && entries == 0);
            entries += 1;
        }
        Ok(number.filter(|_| entries == 1))
    }
}

/// Reads a map key, and returns whether it is `serde_json`'s own marker [`PRIVATE_NUMBER`]. A key with the same text in the body
/// is not.
struct IsNumber<'r>(&'r Reader<'r>);

impl<'de> DeserializeSeed<'de> for IsNumber<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<bool, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for IsNumber<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<bool, E> {
        Ok(name == PRIVATE_NUMBER && self.0.span_of(name).is_none())
    }
    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}

pub(super) const TWICE: &str = "a documented field occurs twice";

struct EntrySeed<'r, E> {
    reader: &'r Reader<'r>,
    n: usize,
    entry: PhantomData<E>,
}

impl<'de, E: Entry> DeserializeSeed<'de> for EntrySeed<'_, E> {
    type Value = E;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<E, D::Error> {
        self.reader.at.set(JsonPath::Entry(self.n));
        input.deserialize_map(self)
    }
}

impl<'de, E: Entry> Visitor<'de> for EntrySeed<'_, E> {
    type Value = E;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the list")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<E, A::Error> {
        let Self { reader, n, .. } = self;
        let mut entry = E::ABSENT;
        let mut seen = 0u16;
        while let Some(field) = map.next_key_seed(Named(|name: &str| E::field(name.as_bytes())))? {
            let Some(field) = field else {
                map.next_value_seed(Walk::new(reader, KEY_DEPTH))?;
                continue;
            };
            reader.at.set(JsonPath::EntryField(n, field));
            if seen & (1 << field) != 0 {
                return Err(reader.refuse(TWICE));
            }
            seen |= 1 << field;
            let span = map.next_value_seed(Text(reader))?;
            if let Some(known) = entry.spans_mut().get_mut(usize::from(field)) {
                *known = span;
            }
            reader.at.set(JsonPath::Entry(n));
        }
        Ok(entry)
    }
}

struct LinkSeed<'r> {
    reader: &'r Reader<'r>,
    n: usize,
}

impl<'de> DeserializeSeed<'de> for LinkSeed<'_> {
    type Value = LinkSpans;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<LinkSpans, D::Error> {
        self.reader.at.set(JsonPath::Link(self.n));
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LinkSeed<'_> {
    type Value = LinkSpans;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a link or null")
    }
    fn visit_unit<E>(self) -> Result<LinkSpans, E> {
        Ok(LinkSpans {
            rel: Span::ABSENT,
            href: Span::ABSENT,
        })
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LinkSpans, A::Error> {
        let reader = self.reader;
        let (mut rel, mut href) = (None, None);
        let field = |name: &str| match name {
            "rel" => Some(true),
            "href" => Some(false),
            _ => None,
        };
        while let Some(field) = map.next_key_seed(Named(field))? {
            let known = match field {
                Some(true) => &mut rel,
                Some(false) => &mut href,
                None => {
                    map.next_value_seed(Walk::new(reader, LINK_DEPTH))?;
                    continue;
                }
            };
            if known.replace(map.next_value_seed(Text(reader))?).is_some() {
                return Err(reader.refuse(TWICE));
            }
        }
        Ok(LinkSpans {
            rel: rel.unwrap_or(Span::ABSENT),
            href: href.unwrap_or(Span::ABSENT),
        })
    }
}

/// Reads an array or null. Null gives `None`.
struct ListSeed<'r, F> {
    reader: &'r Reader<'r>,
    /// Returns the seed that reads the `n`th element.
    element: F,
}

impl<'de, S: DeserializeSeed<'de>, F: Fn(usize) -> S> DeserializeSeed<'de> for ListSeed<'_, F> {
    type Value = Option<Vec<S::Value>>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de>, F: Fn(usize) -> S> Visitor<'de> for ListSeed<'_, F> {
    type Value = Option<Vec<S::Value>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed((self.element)(list.len()))? {
            if list.len() >= self.reader.elements {
                return Err(self.reader.refuse("it has more elements than the limit"));
            }
            list.push(element);
        }
        Ok(Some(list))
    }
}

struct DocumentSeed<'r, D>(&'r Reader<'r>, PhantomData<D>);

impl<'de, D: Document> DeserializeSeed<'de> for DocumentSeed<'_, D> {
    type Value = Decoded<D::Entry>;
    fn deserialize<I: Deserializer<'de>>(self, input: I) -> Result<Self::Value, I::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, D: Document> Visitor<'de> for DocumentSeed<'_, D> {
    type Value = Decoded<D::Entry>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        D::read_map(self.0, map)
    }
}

/// A page of a list.
pub(super) struct PageOf<E>(PhantomData<E>);

impl<E: Entry> Document for PageOf<E> {
    type Entry = E;

    fn read_map<'de, A: MapAccess<'de>>(
        reader: &Reader<'_>,
        mut map: A,
    ) -> Result<Decoded<E>, A::Error> {
        let mut page = Decoded::default();
        let mut seen = 0u8;
        let walk = Walk::new(reader, PAGE_DEPTH);
        while let Some(field) =
            map.next_key_seed(Named(|name: &str| PageField::from_name(name.as_bytes())))?
        {
            let Some(field) = field else {
                map.next_value_seed(walk)?;
                continue;
            };
            reader.at.set(JsonPath::Field(field.name()));
            if seen & (1 << field as u8) != 0 {
                return Err(reader.refuse(TWICE));
            }
            seen |= 1 << field as u8;
            match field {
                PageField::Results => {
                    let element = |n| EntrySeed {
                        reader,
                        n,
                        entry: PhantomData,
                    };
                    page.entries = map.next_value_seed(ListSeed { reader, element })?;
                }
                PageField::Links => {
                    let element = |n| LinkSeed { reader, n };
                    let links = map.next_value_seed(ListSeed { reader, element })?;
                    page.has_links = links.is_some();
                    page.links = links.unwrap_or_default();
                }
                // Any value is accepted: `totalCount` is only an estimate, and `status` and `error` mark envelopes and
                // error objects.
                PageField::TotalCount => page.total_count = map.next_value_seed(walk)?,
                PageField::Status => page.status = map.next_value_seed(walk)?,
                PageField::Error => page.error = map.next_value_seed(walk)?,
            }
            reader.at.set(JsonPath::Top);
        }
        Ok(page)
    }
}
