//! Reads a response that is one key. The key is at the top of the body, or under `content` if the body is an envelope.
//!
//! A key has a `status` that is a text, and an envelope one that is a number. So a `status` of any type is accepted at the
//! top, as in a page. A body is a key only if it has a documented field besides `status`, because an error object and an
//! envelope may have a `status` too.

use alloc::boxed::Box;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::decoded::{Decoded, Entry as _, KeySpans, Span};
use super::layout::PAGE_DEPTH;
use super::reference::{Document, JsonPath, Named, Reader, TWICE, Text, Walk};
use crate::KeyField;

/// A response that is one key.
pub(super) struct OneKey;

impl Document for OneKey {
    type Entry = KeySpans;

    fn read_map<'de, A: MapAccess<'de>>(reader: &Reader<'_>, map: A) -> Result<Decoded, A::Error> {
        let Object {
            mut key,
            mut status,
            mut error,
            content,
        } = Object::read(reader, map, PAGE_DEPTH)?;
        if let Some(content) = content {
            let inner = *content;
            key = inner.key;
            // The envelope's status takes precedence.
            status = status.or(inner.status);
            error = error.or(inner.error);
        }
        let is_key = KeyField::ALL
            .iter()
            .any(|field| *field != KeyField::Status && key.get(*field) != Span::ABSENT);
        Ok(Decoded {
            entries: is_key.then(|| [key].into()),
            status,
            error,
            ..Decoded::default()
        })
    }
}

/// The object at the top of the body, or the one under `content`.
struct Object {
    key: KeySpans,
    /// The value of `status`, if it is an integer.
    status: Option<i64>,
    /// The value of `error`, if it is an integer.
    error: Option<i64>,
    /// The entity in an envelope.
    content: Option<Box<Object>>,
}

#[derive(Clone, Copy)]
enum Field {
    Key(KeyField),
    Error,
    Content,
}

impl Field {
    fn from_name(name: &str, has_content: bool) -> Option<Self> {
        match name {
            "error" => Some(Self::Error),
            "content" if has_content => Some(Self::Content),
            _ => KeyField::from_name(name).map(Self::Key),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Key(field) => field.name(),
            Self::Error => "error",
            Self::Content => "content",
        }
    }

    /// Returns the bit of the field in a set.
    fn bit(self) -> u16 {
        match self {
            Self::Key(field) => 1 << field as u8,
            Self::Error => 1 << 14,
            Self::Content => 1 << 15,
        }
    }
}

impl Object {
    /// Reads an object with `depth` objects around its fields.
    fn read<'de, A: MapAccess<'de>>(
        reader: &Reader<'_>,
        mut map: A,
        depth: u8,
    ) -> Result<Self, A::Error> {
        let is_top = depth == PAGE_DEPTH;
        let mut object = Self {
            key: KeySpans::ABSENT,
            status: None,
            error: None,
            content: None,
        };
        let mut seen = 0u16;
        let walk = Walk::new(reader, depth);
        let outside = reader.at.get();
        while let Some(field) =
            map.next_key_seed(Named(|name: &str| Field::from_name(name, is_top)))?
        {
            let Some(field) = field else {
                map.next_value_seed(walk)?;
                continue;
            };
            reader.at.set(if is_top {
                JsonPath::Field(field.name())
            } else {
                JsonPath::Content(Some(field.name()))
            });
            if seen & field.bit() != 0 {
                return Err(reader.refuse(TWICE));
            }
            seen |= field.bit();
            match field {
                Field::Key(KeyField::Status) => {
                    let Status { text, number } = map.next_value_seed(StatusSeed(reader, walk))?;
                    object.key.set(KeyField::Status, text);
                    object.status = number;
                }
                Field::Key(field) => object.key.set(field, map.next_value_seed(Text(reader))?),
                Field::Error => object.error = map.next_value_seed(walk)?,
                Field::Content => {
                    object.content = map.next_value_seed(ContentSeed(reader, walk))?;
                }
            }
            reader.at.set(outside);
        }
        Ok(object)
    }
}

/// A `status`: the text of a key, or the number of an envelope.
struct Status {
    text: Span,
    number: Option<i64>,
}

impl Status {
    fn text(text: Span) -> Self {
        Self { text, number: None }
    }

    fn other(number: Option<i64>) -> Self {
        let text = Span::ABSENT;
        Self { text, number }
    }
}

struct StatusSeed<'r>(&'r Reader<'r>, Walk<'r>);

impl<'de> DeserializeSeed<'de> for StatusSeed<'_> {
    type Value = Status;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Status, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StatusSeed<'_> {
    type Value = Status;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Status, E> {
        Text(self.0).visit_borrowed_str(text).map(Status::text)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Status, E> {
        Text(self.0).visit_str(text).map(Status::text)
    }
    fn visit_unit<E: Error>(self) -> Result<Status, E> {
        self.1.visit_unit().map(Status::other)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Status, E> {
        self.1.visit_i64(n).map(Status::other)
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Status, E> {
        self.1.visit_u64(n).map(Status::other)
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<Status, E> {
        self.1.visit_f64(n).map(Status::other)
    }
    fn visit_bool<E: Error>(self, is: bool) -> Result<Status, E> {
        self.1.visit_bool(is).map(Status::other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Status, A::Error> {
        self.1.visit_seq(seq).map(Status::other)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Status, A::Error> {
        self.1.visit_map(map).map(Status::other)
    }
}

/// Reads the entity in an envelope, or null.
struct ContentSeed<'r>(&'r Reader<'r>, Walk<'r>);

impl<'de> DeserializeSeed<'de> for ContentSeed<'_> {
    type Value = Option<Box<Object>>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ContentSeed<'_> {
    type Value = Option<Box<Object>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key or null")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let depth = self.1.inner_depth()?;
        self.0.at.set(JsonPath::Content(None));
        Object::read(self.0, map, depth).map(|object| Some(Box::new(object)))
    }
}
