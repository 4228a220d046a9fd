//! A JSON value that keeps the order and the duplicate names that a map drops, and accepts numbers of any size.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Replaces every number that `serde_json` rejects for its size with `false`.
///
/// Like such a number, `false` is neither a text nor a count nor null. Anything else that `serde_json` rejects
/// is kept, so that it is still rejected.
pub(crate) fn with_small_numbers(body: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < body.len() {
        match body[at] {
            b'"' => at = string_end(body, at),
            b'-' | b'0'..=b'9' => {
                let end = at + number_length(&body[at..]).max(1);
                let text = std::str::from_utf8(&body[at..end]).expect("digits are ASCII");
                let is_alone =
                    |byte: Option<&u8>| byte.is_none_or(|byte| b"[]{},: \t\r\n".contains(byte));
                let is_number = text.ends_with(|c: char| c.is_ascii_digit())
                    && is_alone(body.get(end))
                    && is_alone(at.checked_sub(1).map(|before| &body[before]));
                if is_number && serde_json::from_str::<serde_json::Value>(text).is_err() {
                    out.extend_from_slice(&body[copied..at]);
                    out.extend_from_slice(b"false");
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(&body[copied..]);
    Cow::Owned(out)
}

/// Returns the index after the closing quote of the string that begins at `quote`.
fn string_end(body: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    loop {
        match body.get(at) {
            None => return body.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// Returns the length of the number (RFC 8259 §6), or of the beginning of one, at the front of a text.
fn number_length(text: &[u8]) -> usize {
    let digits = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut end = usize::from(text.first() == Some(&b'-'));
    // Only a fraction or an exponent may follow a leading zero.
    let whole = digits(end).min(match text.get(end) {
        Some(b'0') => 1,
        _ => usize::MAX,
    });
    if whole == 0 {
        return end;
    }
    end += whole;
    // A point or an exponent without digits is not part of the number.
    if text.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        end += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    end
}

/// A JSON value. It was parsed completely, so its numbers, escapes and surrogates are valid.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    /// A boolean, a number or a text.
    Leaf,
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a body. Returns `None` if it is not valid JSON.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(&with_small_numbers(body)).ok()
    }

    /// Returns the nesting depth of arrays and objects.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Null | Self::Leaf => 0,
            Self::Array(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(entries) => 1 + entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }

    /// Returns the entries of an object, or nothing for another value.
    pub(crate) fn entries(&self) -> &[(String, Json)] {
        match self {
            Self::Object(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the elements of the array with this name, or nothing if there is no such array.
    pub(crate) fn elements(&self, name: &str) -> &[Json] {
        let entry = self.entries().iter().rfind(|(known, _)| known == name);
        match entry {
            Some((_, Self::Array(items))) => items,
            _ => &[],
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Leaf)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Leaf)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Leaf)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Leaf)
    }
    fn visit_str<E>(self, _: &str) -> Result<Json, E> {
        Ok(Json::Leaf)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_numbers_become_false_and_invalid_ones_are_kept() {
        let small = |text: &str| String::from_utf8(with_small_numbers(text.as_bytes()).into());
        for number in ["1e400", "-1E+400", "12.5e999", "9e308", &"9".repeat(400)] {
            let text = |number: &str| format!(r#"{{"1e400":"\"1e400\\","x":[{number}, 1e308]}}"#);
            assert_eq!(small(&text(number)), Ok(text("false")));
            assert_eq!(small(number), Ok("false".into()));
        }
        for text in [
            "01e400", "1e", "+1e400", "-.1e400", ".1e400", "1.e400", "x1e400", "1e400x", "1e400\"",
            "-",
        ] {
            assert_eq!(small(text), Ok(text.into()));
            assert!(Json::read(text.as_bytes()).is_none());
        }
    }
}
