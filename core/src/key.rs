//! An AI model API key, borrowed from a page or owned.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use zeroize::Zeroize as _;

use crate::decode::{Arena, KEY_FIELDS, KeySpans, Span};
use crate::key_field::with_key_fields;
use crate::{KeyField, SecretStr, Timestamp, UnixTime};

/// An AI model API key that a [`Page`](crate::Page) or an [`OwnedModelKey`] lends.
///
/// It is `Copy`, and its texts point into the page or owned key. Atlas guarantees none of the fields: each is `None`
/// if it is absent or null. `status` and other fields that look like enumerations are free text, because Atlas may
/// add values.
///
/// Two keys are equal if all their fields but `secret` are equal.
#[derive(Clone, Copy)]
pub struct ModelKey<'a> {
    pub(crate) text: &'a str,
    pub(crate) arena: &'a Arena,
    pub(crate) spans: &'a KeySpans,
}

/// Gives the type of an accessor's value, and makes that value from the text.
macro_rules! value {
    (type text $lifetime:lifetime) => { &$lifetime str };
    (type time $lifetime:lifetime) => { Timestamp<$lifetime> };
    (type secret $lifetime:lifetime) => { SecretStr<$lifetime> };
    (of text $text:expr) => { $text };
    (of time $text:expr) => { $text.map(Timestamp::new) };
    (of secret $text:expr) => { $text.map(SecretStr::new) };
}

macro_rules! define_accessors {
    ($($(#[$doc:meta])* $field:ident $name:literal $accessor:ident $value:ident $since:ident,)*) => {
        impl<'a> ModelKey<'a> {
            $(
                #[doc = concat!("Returns the field `", $name, "`, or `None` if it is absent or null.\n")]
                $(#[$doc])*
                #[must_use]
                pub fn $accessor(self) -> Option<value!(type $value 'a)> {
                    value!(of $value self.text_of(KeyField::$field))
                }
            )*
        }

        impl OwnedModelKey {
            $(
                #[doc = concat!("Returns the field `", $name, "`, or `None` if it is absent or null.\n")]
                $(#[$doc])*
                #[must_use]
                pub fn $accessor(&self) -> Option<value!(type $value '_)> {
                    value!(of $value self.text_of(KeyField::$field))
                }
            )*
        }

        impl fmt::Debug for ModelKey<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("ModelKey")
                    $(.field(stringify!($accessor), &self.$accessor()))*
                    .finish()
            }
        }
    };
}

with_key_fields!(define_accessors);

impl<'a> ModelKey<'a> {
    fn text_of(self, field: KeyField) -> Option<&'a str> {
        self.spans.get(field).get(self.text, self.arena)
    }

    /// Returns the text of a field, or `None` if it is absent or null.
    ///
    /// Returns `None` for [`KeyField::Secret`], too: only [`secret`](ModelKey::secret) returns the secret.
    #[must_use]
    pub fn field(self, field: KeyField) -> Option<&'a str> {
        if field.is_secret() {
            return None;
        }
        self.text_of(field)
    }

    /// Returns whether the key has not been used for `duration` at the time `now`.
    ///
    /// For a key that was never used, the time since its creation counts, so a new key is not unused.
    ///
    /// Returns `None` if the field that it would count from is malformed, or if both are absent.
    #[must_use]
    pub fn is_unused_for(self, duration: Duration, now: UnixTime) -> Option<bool> {
        is_unused_for(self.last_used_at(), self.created_at(), duration, now)
    }

    /// Makes an owned copy in one allocation. A copy with a `secret` overwrites its texts when it is dropped.
    #[must_use]
    pub fn to_owned_key(self) -> OwnedModelKey {
        OwnedModelKey::copy(self.text.as_bytes(), self.arena, self.spans)
    }

    fn texts(self) -> impl Iterator<Item = Option<&'a str>> {
        KeyField::ALL.iter().map(move |field| self.field(*field))
    }
}

fn is_unused_for(
    last_used_at: Option<Timestamp<'_>>,
    created_at: Option<Timestamp<'_>>,
    duration: Duration,
    now: UnixTime,
) -> Option<bool> {
    let since = last_used_at.or(created_at)?;
    Some(since.age(now).ok()? >= duration)
}

impl PartialEq for ModelKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.texts().eq(other.texts())
    }
}

impl Eq for ModelKey<'_> {}

impl Hash for ModelKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts().for_each(|text| text.hash(state));
    }
}

/// An AI model API key that owns its texts, in one allocation.
///
/// It has the accessors of [`ModelKey`], and [`as_key`](OwnedModelKey::as_key) lends it as one.
///
/// ```
/// use atlas_model_keys_core::{KeyField, OwnedModelKey};
///
/// let key = OwnedModelKey::from_fields([
///     (KeyField::Name, "Production key"),
///     (KeyField::CreatedAt, "2026-01-15T16:47:49Z"),
/// ]);
/// assert_eq!(key.name(), Some("Production key"));
/// assert_eq!(key.last_used_at(), None);
/// ```
#[derive(Clone)]
pub struct OwnedModelKey {
    text: Box<[u8]>,
    spans: KeySpans,
}

/// The largest ratio of the text of an owned key to its documented fields. It keeps a large unknown field between them
/// from being copied along.
const BLOCK_FACTOR: usize = 4;

impl OwnedModelKey {
    /// Makes a key with these fields, for tests and examples. If a field is given twice, its last value counts.
    #[must_use]
    pub fn from_fields<'f>(fields: impl IntoIterator<Item = (KeyField, &'f str)>) -> Self {
        let mut texts = [None; KEY_FIELDS];
        for (field, text) in fields {
            if let Some(place) = texts.get_mut(field as usize) {
                *place = Some(text.as_bytes());
            }
        }
        Self::of_texts(&texts)
    }

    /// Checks UTF-8 on each call, although the page was checked when it was parsed: a check of every key when it is made
    /// would cost a quarter of the time for an owned page.
    fn text_of(&self, field: KeyField) -> Option<&str> {
        let bytes = self.spans.get(field).bytes(&self.text, Arena::EMPTY)?;
        core::str::from_utf8(bytes).ok()
    }

    /// Lends the key as a [`ModelKey`].
    #[must_use]
    pub fn as_key(&self) -> ModelKey<'_> {
        ModelKey {
            text: core::str::from_utf8(&self.text).unwrap_or_default(),
            arena: Arena::EMPTY,
            spans: &self.spans,
        }
    }

    /// Returns the text of a field, or `None` if it is absent or null; see [`ModelKey::field`].
    #[must_use]
    pub fn field(&self, field: KeyField) -> Option<&str> {
        if field.is_secret() {
            return None;
        }
        self.text_of(field)
    }

    /// Returns whether the key has not been used for `duration` at the time `now`; see [`ModelKey::is_unused_for`].
    #[must_use]
    pub fn is_unused_for(&self, duration: Duration, now: UnixTime) -> Option<bool> {
        is_unused_for(self.last_used_at(), self.created_at(), duration, now)
    }

    /// Returns how many bytes of memory the key takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>().saturating_add(self.text.len())
    }

    /// Copies a key of a body.
    pub(crate) fn copy(body: &[u8], arena: &Arena, spans: &KeySpans) -> Self {
        Self::copy_block(body, spans).unwrap_or_else(|| {
            let mut texts = [None; KEY_FIELDS];
            for (text, field) in texts.iter_mut().zip(KeyField::ALL) {
                *text = spans.get(*field).bytes(body, arena);
            }
            Self::of_texts(&texts)
        })
    }

    /// Copies the part of the body that holds all fields, as one block. Returns `None` if a field is not in the body, or
    /// if the fields are too far apart.
    fn copy_block(body: &[u8], spans: &KeySpans) -> Option<Self> {
        let block = spans.block()?;
        let text = body.get(block.range.clone())?;
        if text.len() / BLOCK_FACTOR > block.bytes {
            return None;
        }
        Some(Self {
            text: Box::from(text),
            spans: spans.moved_back(block.range.start),
        })
    }

    fn of_texts(texts: &[Option<&[u8]>; KEY_FIELDS]) -> Self {
        let bytes = texts.iter().flatten().map(|text| text.len()).sum();
        let mut text = Vec::with_capacity(bytes);
        let mut spans = [Span::ABSENT; KEY_FIELDS];
        for (span, field) in spans.iter_mut().zip(texts) {
            if let Some(field) = field {
                // A key whose texts do not fit into 31 bits is larger than any body that is parsed.
                *span = Span::in_body(text.len(), field.len()).unwrap_or(Span::ABSENT);
                text.extend_from_slice(field);
            }
        }
        Self {
            text: text.into(),
            spans: KeySpans::new(spans),
        }
    }
}

impl Drop for OwnedModelKey {
    fn drop(&mut self) {
        if self.spans.get(KeyField::Secret) != Span::ABSENT {
            self.text.zeroize();
        }
    }
}

impl Default for OwnedModelKey {
    fn default() -> Self {
        Self::from_fields([])
    }
}

impl PartialEq for OwnedModelKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_key() == other.as_key()
    }
}

impl Eq for OwnedModelKey {}

impl Hash for OwnedModelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_key().hash(state);
    }
}

impl fmt::Debug for OwnedModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_key().fmt(f)
    }
}

impl From<ModelKey<'_>> for OwnedModelKey {
    fn from(key: ModelKey<'_>) -> Self {
        key.to_owned_key()
    }
}

#[cfg(feature = "serde")]
mod serialize {
    use serde::ser::{Serialize, SerializeMap as _, Serializer};

    use super::{KeyField, ModelKey, OwnedModelKey};

    /// Writes the present fields with Atlas's names, and never the secret.
    impl Serialize for ModelKey<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for field in KeyField::ALL {
                if let Some(text) = self.field(*field) {
                    map.serialize_entry(field.name(), text)?;
                }
            }
            map.end()
        }
    }

    /// Writes the present fields with Atlas's names, and never the secret.
    impl Serialize for OwnedModelKey {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.as_key().serialize(serializer)
        }
    }
}
