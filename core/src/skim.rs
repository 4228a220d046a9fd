//! Whether there is a page after this one, told from as little of the body as possible.

use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Whether a link says `next` and the page is not empty. `false` for what is not a page, as far as it
/// is read.
pub(crate) fn has_next(body: &[u8]) -> bool {
    let mut skim = Skim::default();
    // Ends with an error where it has read enough, too; what it saw by then counts.
    let _ = skim.deserialize(&mut serde_json::Deserializer::from_slice(body));
    skim.says_next == Some(true) && skim.has_keys == Some(true)
}

/// What was seen of a page so far.
#[derive(Default)]
struct Skim {
    says_next: Option<bool>,
    has_keys: Option<bool>,
}

impl Skim {
    /// Ends the reading as soon as the rest makes no difference.
    fn unless_enough<E: Error>(&self) -> Result<(), E> {
        match (self.says_next, self.has_keys) {
            (None, None | Some(true)) | (Some(true), None) => Ok(()),
            _ => Err(E::custom("enough")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Skim {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Skim {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key()? {
            match field {
                Field::Links => {
                    let links: Option<Vec<Link>> = map.next_value()?;
                    let says_next = |links: Vec<Link>| links.iter().any(|link| link.rel.0);
                    self.says_next = Some(links.is_some_and(says_next));
                    self.unless_enough()?;
                }
                Field::Results => map.next_value_seed(Results(self))?,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Links,
    Results,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    rel: IsNext,
}

/// Whether a text is `next`, without keeping the text.
#[derive(Default)]
struct IsNext(bool);

impl<'de> Deserialize<'de> for IsNext {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self(false))
    }
}

impl Visitor<'_> for IsNext {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self, E> {
        Ok(Self(text == "next"))
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self(false))
    }
}

/// The keys: that there is one.
struct Results<'s>(&'s mut Skim);

impl<'de> DeserializeSeed<'de> for Results<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Results<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of keys")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.has_keys = Some(seq.next_element::<IgnoredAny>()?.is_some());
        self.0.unless_enough()?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_next_page_if_a_link_says_so_and_there_are_keys() {
        for body in [
            r#"{"links":[{"rel":"next"}],"results":[{}]}"#,
            r#"{"results":[{"links":[]},{}],"x":[[{}]],"links":[{"href":"h","rel":"self"},{"rel":"\u006eext"},{}]}"#,
            // What comes after is not looked at.
            r#"{"links":[{"rel":null},{"rel":"next"}],"results":[{},"#,
        ] {
            assert!(has_next(body.as_bytes()), "{body}");
        }
        for body in [
            r#"{"links":[{"rel":"next"}],"results":[]}"#,
            r#"{"links":[{"rel":"next"}],"results":null}"#,
            r#"{"links":[{"rel":"next"}]}"#,
            r#"{"links":[{"rel":"previous"},{}],"results":[{}]}"#,
            r#"{"links":null,"results":[{}]}"#,
            r#"{"results":[{}],"links":[{"rel":7}]}"#,
            r#"{"results":[{}]}"#,
            r#"[{"links":[{"rel":"next"}],"results":[{}]}]"#,
            "<html>",
            "",
        ] {
            assert!(!has_next(body.as_bytes()), "{body}");
        }
        assert!(!has_next(b"\xff"));
    }
}
