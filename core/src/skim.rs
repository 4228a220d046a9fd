//! Reads only what a [`Listing`](crate::Listing) needs of a page: whether it has keys and a next page. It reads as little
//! of the body as possible, for callers that pass the body on without decoding it.

use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The facts that a listing needs about a page that is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skimmed {
    /// Whether a link announces a next page: its `rel` is `next`.
    pub(crate) says_next: bool,
    /// Whether there is at least one key.
    pub(crate) has_keys: bool,
    /// A hash of both ends of the body, from the name `results` on. It is only a hint that two pages have the same keys:
    /// equal keys give another hash if fields after the results differ, and keys that differ only in the middle give the
    /// same hash. If the hash repeats, the listing decodes the page.
    pub(crate) sample: u64,
}

/// Reads the links and looks for a key.
///
/// Returns `None` if the part that was read is not a page, or if the links do not tell whether there is a next page:
/// `links` is missing or null, or it has links and none has a relation. A listing then decodes the body.
pub(crate) fn skim(body: &[u8]) -> Option<Skimmed> {
    let mut skim = Skim {
        body,
        says_next: None,
        has_keys: None,
        results: 0,
    };
    // The deserializer stops with an error on purpose when enough is known. The values found so far are used.
    let _ = skim.deserialize(&mut serde_json::Deserializer::from_slice(body));
    Some(Skimmed {
        says_next: skim.says_next?,
        has_keys: skim.has_keys?,
        sample: sample(body.get(skim.results..).unwrap_or(body)),
    })
}

/// Returns whether a link's `rel` is `next`, or `false` if the part that was read is not a page.
pub(crate) fn says_next(body: &[u8]) -> bool {
    skim(body).is_some_and(|skimmed| skimmed.says_next)
}

/// The number of bytes at each end that a [`sample`] includes: about four keys.
const SAMPLED: usize = 1 << 10;

/// Returns a hash of both ends of a text. It does not resist forgery: a server that forges it only makes its own
/// listing end with an error.
fn sample(text: &[u8]) -> u64 {
    let beginning = text.get(..SAMPLED).unwrap_or(text);
    let end = text.last_chunk::<SAMPLED>().map_or(text, |end| end);
    let words = [beginning, end].into_iter().flat_map(|part| {
        let (words, rest) = part.as_chunks::<8>();
        let rest = rest.iter().map(|byte| u64::from(*byte));
        words
            .iter()
            .map(|word| u64::from_le_bytes(*word))
            .chain(rest)
    });
    // Like FNV-1a, but a word at a time.
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23)
    })
}

/// The reader of a page. It holds the facts that are known so far.
struct Skim<'b> {
    body: &'b [u8],
    says_next: Option<bool>,
    has_keys: Option<bool>,
    /// The position of the name `results` in the body, or 0 if it is not known.
    results: usize,
}

impl Skim<'_> {
    /// Stops with an error when the rest of the body makes no difference.
    fn stop_if_enough<E: Error>(&self) -> Result<(), E> {
        match (self.says_next, self.has_keys) {
            (Some(_), Some(_)) => Err(E::custom("enough")),
            _ => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Skim<'de> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Skim<'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(FieldSeed(self.body))? {
            match field {
                Field::Links => {
                    let links: Option<Vec<Option<Link>>> = map.next_value()?;
                    self.says_next = links.and_then(|links| {
                        let mut relations = links.iter().flatten().filter_map(|link| link.rel.0);
                        let says_next = relations.clone().any(|is_next| is_next);
                        // Links without a relation, such as null, tell nothing about a next page.
                        (links.is_empty() || relations.next().is_some()).then_some(says_next)
                    });
                    self.stop_if_enough()?;
                }
                Field::Results(at) => {
                    self.results = at;
                    map.next_value_seed(Results(self))?;
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

enum Field {
    Links,
    /// The results, with the position of their name in the body.
    Results(usize),
    Other,
}

struct FieldSeed<'b>(&'b [u8]);

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Field;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Field, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = Field;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Field, E> {
        Ok(match name {
            "links" => Field::Links,
            "results" => {
                let at = (name.as_ptr() as usize).wrapping_sub(self.0.as_ptr() as usize);
                Field::Results(at)
            }
            _ => Field::Other,
        })
    }
    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(match name {
            "links" => Field::Links,
            // The name has an escape, so this text is a copy and its position is not known. With 0, the sample is of the
            // whole body.
            "results" => Field::Results(0),
            _ => Field::Other,
        })
    }
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    rel: IsNext,
}

/// Whether a text is `next`, or `None` for null. It does not keep the text.
#[derive(Default)]
struct IsNext(Option<bool>);

impl<'de> Deserialize<'de> for IsNext {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self(None))
    }
}

impl Visitor<'_> for IsNext {
    type Value = Self;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }
    fn visit_str<E>(self, text: &str) -> Result<Self, E> {
        Ok(Self(Some(text == "next")))
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self(None))
    }
}

/// Reads the array of results, and notes whether it has an element.
struct Results<'s, 'b>(&'s mut Skim<'b>);

impl<'de> DeserializeSeed<'de> for Results<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Results<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of keys")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.has_keys = Some(seq.next_element::<IgnoredAny>()?.is_some());
        self.0.stop_if_enough()?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_keys_are_found_in_either_order() {
        for (body, next_and_keys) in [
            (r#"{"links":[{"rel":"next"}],"results":[{}]}"#, (true, true)),
            (
                r#"{"results":[{"links":[]},{}],"x":[[{}]],"links":[{"href":"h","rel":"self"},{"rel":"\u006eext"},{}]}"#,
                (true, true),
            ),
            // The rest of the body is not read.
            (
                r#"{"links":[{"rel":null},null,{"rel":"next"}],"results":[{},"#,
                (true, true),
            ),
            (r#"{"links":[{"rel":"next"}],"results":[]}"#, (true, false)),
            (
                r#"{"links":[{"rel":"previous"},{}],"r\u0065sults":[{}]}"#,
                (false, true),
            ),
            (r#"{"links":[],"results":[]}"#, (false, false)),
        ] {
            let skimmed = skim(body.as_bytes()).unwrap();
            let seen = (skimmed.says_next, skimmed.has_keys);
            assert_eq!(seen, next_and_keys, "{body}");
            assert_eq!(says_next(body.as_bytes()), skimmed.says_next, "{body}");
        }
        for body in [
            r#"{"links":[{"rel":"next"}],"results":null}"#,
            r#"{"links":[{"rel":"next"}]}"#,
            r#"{"links":null,"results":[{}]}"#,
            r#"{"links":[null,{"rel":null},{}],"results":[{}]}"#,
            r#"{"results":[{}],"links":[{"rel":7}]}"#,
            r#"{"results":[{}]}"#,
            r#"[{"links":[{"rel":"next"}],"results":[{}]}]"#,
            "<html>",
            "",
            "\u{ff}",
        ] {
            assert_eq!(skim(body.as_bytes()), None, "{body}");
            assert!(!says_next(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn sample_depends_on_results_and_not_on_links_before_them() {
        let sample = |page: u32, first: u32, last: u32| {
            let middle = "{},".repeat(1000);
            let body = alloc::format!(
                r#"{{"links":[{{"href":"?pageNum={page}","rel":"self"}}],"results":[{first},{middle}{last}],"totalCount":9}}"#
            );
            skim(body.as_bytes()).unwrap().sample
        };
        assert_eq!(sample(9, 1, 2), sample(10, 1, 2));
        assert_ne!(sample(9, 1, 2), sample(9, 3, 2));
        assert_ne!(sample(9, 1, 2), sample(9, 1, 3));
    }
}
