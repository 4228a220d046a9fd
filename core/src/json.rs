//! A JSON value that is the same with all features of `serde_json`, which any crate of the build may enable.
//!
//! `serde_json::Value` is not: with `arbitrary_precision` it keeps numbers that are too large, shows numbers as they were
//! sent, and takes an object with the name [`PRIVATE_NUMBER`] for a number, or refuses the whole body because of it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// The name in the map that `serde_json` presents for a number with the feature `arbitrary_precision`. Its value is the
/// number's text.
pub(crate) const PRIVATE_NUMBER: &str = "$serde_json::private::Number";

pub(crate) enum Json {
    Text(String),
    /// A number, written in the shortest form.
    Number(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// Null, `true`, `false`, or a number that is too large.
    Other,
    /// The text of a number, between `serde_json` and [`Json::Number`].
    NumberText(String),
}

impl Json {
    fn number(text: &str) -> Self {
        // `-0` is no integer for the parser.
        if !text.starts_with("-0") {
            if let Ok(n) = text.parse::<i64>() {
                return Self::Number(n.to_string());
            }
            if let Ok(n) = text.parse::<u64>() {
                return Self::Number(n.to_string());
            }
        }
        text.parse().map_or(Self::Other, Self::float)
    }

    fn float(n: f64) -> Self {
        serde_json::Number::from_f64(n).map_or(Self::Other, |n| Self::Number(n.to_string()))
    }

    /// Returns the last member with this name, if this is an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        let mut members = members.iter().rev();
        members.find_map(|(known, value)| (known == name).then_some(value))
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }

    /// Returns a number as a Rust number, if it has one of this type.
    pub(crate) fn as_number<N: core::str::FromStr>(&self) -> Option<N> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
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
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }
    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Number(n.to_string()))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
        Ok(Json::Number(n.to_string()))
    }
    fn visit_f64<E>(self, n: f64) -> Result<Json, E> {
        Ok(Json::float(n))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.into()))
    }
    /// Only the text of a number is passed as an owned string; texts of the body are lent.
    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::NumberText(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(match members.as_slice() {
            [(name, Json::NumberText(text))] if name == PRIVATE_NUMBER => Json::number(text),
            _ => Json::Object(members),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<String> {
        match serde_json::from_str(text) {
            Ok(Json::Number(text)) => Some(text),
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, shown) in [
            ("7", "7"),
            ("-7", "-7"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-0", "-0.0"),
            ("-0.50", "-0.5"),
            ("7.0", "7.0"),
            ("1E2", "100.0"),
            ("1e-400", "0.0"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("179769313486231570000e288", "1.7976931348623157e+308"),
        ] {
            assert_eq!(number(text).as_deref(), Some(shown), "{text}");
            // As with `arbitrary_precision`.
            assert!(
                matches!(Json::number(text), Json::Number(form) if form == shown),
                "{text}"
            );
        }
        assert!(matches!(Json::number("1e400"), Json::Other));
    }

    #[test]
    fn object_like_a_private_number_is_an_object() {
        for value in [r#""7""#, "7", "null", r#""x""#] {
            let text = alloc::format!("{{\"{PRIVATE_NUMBER}\":{value}}}");
            let json = serde_json::from_str(&text).unwrap();
            assert!(matches!(json, Json::Object(_)), "{text}");
        }
    }

    #[test]
    fn last_of_equal_names_is_found() {
        let json: Json = serde_json::from_str(r#"{"a":1,"b":[],"a":"x"}"#).unwrap();
        assert_eq!(json.get("a").and_then(Json::as_text), Some("x"));
        assert!(json.get("b").and_then(Json::as_array).unwrap().is_empty());
        assert!(json.get("c").is_none());
    }
}
