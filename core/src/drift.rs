//! Compares a response with Atlas's documentation: which fields are unknown, and which are missing.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::Form;
use crate::{ApiVersion, KeyField, text};

/// The differences between a response and Atlas's documentation. They show that Atlas has changed the API, which may happen at
/// any time in the API version `preview`.
///
/// [`Page::drift`](crate::Page::drift) returns it, and [`Operation::drift`](crate::Operation::drift) for a reply to any
/// operation. A field that is `null` is present. The `status` of a page is never unknown, because an
/// [envelope](crate::ListRequest::with_envelope) adds it.
///
/// `Display` writes one line: `unknown: cursor (1), results[].region (100); missing: totalCount (1)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// Undocumented fields by path (`results[].region`, `links[].title`, `cursor`), with the number of
    /// occurrences. There are at most 64; names are bounded, with control characters escaped.
    pub unknown: BTreeMap<String, u32>,
    /// Whether there were more than 64 different unknown fields.
    pub more_unknown: bool,
    /// Documented fields that were absent, by path, with the number of absences. Which fields are documented
    /// depends on the version that responded.
    pub missing: BTreeMap<String, u32>,
}

/// The largest number of unknown fields that are recorded.
const MAX_UNKNOWN: usize = 64;

/// The largest length of a recorded name, in bytes.
const MAX_NAME_BYTES: usize = 80;

impl Drift {
    /// Returns whether the response is as documented.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.missing.is_empty()
    }

    /// Compares a body with the documentation of a version. The body was parsed before, so no error is expected; if one
    /// occurs, the result covers the part before it.
    pub(crate) fn read(body: &str, form: Form, version: Option<ApiVersion>) -> Self {
        let mut drift = Self::default();
        let level = Level {
            drift: &mut drift,
            object: match form {
                Form::Keys => Object::Page(&Object::Key("results[].")),
                Form::Key => Object::Key(""),
                Form::Groups => Object::Page(&Object::Group),
            },
            has_dated_fields: version.is_some_and(|version| {
                version != ApiVersion::PREVIEW && version >= ApiVersion::V2025_03_12
            }),
        };
        let _ = level.deserialize(&mut serde_json::Deserializer::from_str(body));
        drift
    }

    /// Counts an unknown field.
    fn add_unknown(&mut self, prefix: &str, name: &str) {
        let mut path = String::from(prefix);
        text::push_escaped(&mut path, name, MAX_NAME_BYTES);
        if let Some(count) = self.unknown.get_mut(&path) {
            *count = count.saturating_add(1);
        } else if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.insert(path, 1);
        } else {
            self.more_unknown = true;
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("as documented");
        }
        let mut separator = "unknown: ";
        for (path, count) in &self.unknown {
            write!(f, "{separator}{path} ({count})")?;
            separator = ", ";
        }
        if self.more_unknown {
            f.write_str(", …")?;
        }
        separator = if self.unknown.is_empty() {
            "missing: "
        } else {
            "; missing: "
        };
        for (path, count) in &self.missing {
            write!(f, "{separator}{path} ({count})")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Object {
    /// A page of such entries.
    Page(&'static Object),
    /// A key, with the path to its fields.
    Key(&'static str),
    Group,
    Link,
}

/// The documented fields of a group that Atlas may omit. The values of objects are not compared.
const OPTIONAL_GROUP_FIELDS: &[&str] = &[
    "links",
    "regionUsageRestrictions",
    "tags",
    "withDefaultAlertsSettings",
];

impl Object {
    fn prefix(self) -> &'static str {
        match self {
            Self::Page(_) => "",
            Self::Key(prefix) => prefix,
            Self::Group => "results[].",
            Self::Link => "links[].",
        }
    }

    /// Returns whether the field is documented, but may be absent.
    fn is_optional(self, name: &str) -> bool {
        match self {
            // An envelope adds it. Whether the caller asked for an envelope is not known here.
            Self::Page(_) => name == "status",
            Self::Group => OPTIONAL_GROUP_FIELDS.contains(&name),
            Self::Key(_) | Self::Link => false,
        }
    }

    /// Returns the object or array that a field of this object holds, if it is compared with the documentation.
    fn child(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Page(entry), "results") => Some(*entry),
            (Self::Page(_), "links") => Some(Self::Link),
            // An envelope has the key under this name.
            (Self::Key(""), "content") => Some(Self::Key("content.")),
            _ => None,
        }
    }

    /// Returns the documented fields of a version; see [`Level::has_dated_fields`].
    fn fields(self, has_dated_fields: bool) -> impl Iterator<Item = &'static str> {
        let (names, has_keys): (&[_], _) = match self {
            Self::Page(_) => (&["links", "results", "totalCount"], false),
            Self::Link => (&["href", "rel"], false),
            Self::Group => (&["clusterCount", "created", "id", "name", "orgId"], false),
            Self::Key(_) => (&[], true),
        };
        let keys = KeyField::ALL
            .iter()
            .copied()
            .filter(move |field| has_keys && (has_dated_fields || field.is_in_preview()));
        names.iter().copied().chain(keys.map(KeyField::name))
    }
}

/// Reads an object of the response, or an array of such objects.
struct Level<'d> {
    drift: &'d mut Drift,
    object: Object,
    /// Whether the version is 2025-03-12 or a later date, which have fields that `preview` does not have. If the
    /// version is not known, it is treated as `preview`.
    has_dated_fields: bool,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of a response")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self {
            drift,
            object,
            has_dated_fields,
        } = self;
        loop {
            let element = Level {
                drift: &mut *drift,
                object,
                has_dated_fields,
            };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self {
            drift,
            object,
            has_dated_fields,
        } = self;
        let prefix = object.prefix();
        // One bit per field known in any version, so a field of another version is not reported as unknown.
        let mut seen = 0u16;
        // An envelope has only `status` and `content`.
        let mut has_content = false;
        while let Some(Name(name)) = map.next_key()? {
            let child = object.child(&name);
            let is_content = matches!(child, Some(Object::Key("content.")));
            has_content |= is_content;
            match object.fields(true).position(|known| known == name) {
                Some(index) => seen |= 1 << index,
                None if is_content || object.is_optional(&name) => {}
                None => drift.add_unknown(prefix, &name),
            }
            let Some(object) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Level {
                drift: &mut *drift,
                object,
                has_dated_fields,
            })?;
        }
        if has_content {
            return Ok(());
        }
        for name in object.fields(has_dated_fields) {
            let index = object.fields(true).position(|known| known == name);
            if index.is_some_and(|index| seen & (1 << index) == 0) {
                *drift.missing.entry(format!("{prefix}{name}")).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// The name of a field.
#[derive(serde::Deserialize)]
struct Name(String);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;
    use alloc::string::ToString;

    fn drift(version: &str, body: &str) -> Drift {
        let response = http::Response::builder()
            .header("content-type", version)
            .body(body.as_bytes().to_vec());
        let reply = Reply::from_response(response.unwrap()).unwrap();
        reply.into_page().unwrap().drift()
    }

    const PREVIEW: &str = "application/vnd.atlas.preview+json";
    const DATED: &str = "application/vnd.atlas.2025-03-12+json";

    #[test]
    fn documented_example_has_no_drift() {
        let body = include_str!("../tests/fixtures/200-list.json");
        let drift = drift(PREVIEW, body);
        assert!(drift.is_empty());
        assert_eq!(drift.to_string(), "as documented");
    }

    #[test]
    fn unknown_and_missing_fields_are_counted_by_path() {
        let body = r#"{"links":[{"rel":"self","title":"x"}],"cursor":{"results":1},"status":200,
            "results":[{"region":1,"name":null,"cloud":"ANY"},{"region":[{"name":1}],"\u001b":0}]}"#;
        let seen = drift(PREVIEW, body);
        assert_eq!(
            seen.to_string(),
            "unknown: cursor (1), links[].title (1), results[].\\u{1b} (1), results[].region (2); \
             missing: links[].href (1), results[].apiKeyId (2), results[].createdAt (2), \
             results[].createdBy (2), results[].groupId (2), results[].lastUsedAt (2), \
             results[].maskedSecret (2), results[].name (1), results[].secret (2), \
             results[].status (2), totalCount (1)"
        );
        // Fields that only the dated version has are missing there only.
        assert_eq!(seen.missing.get("results[].geography"), None);
        let seen = drift(DATED, body);
        assert_eq!(seen.missing.get("results[].geography"), Some(&2));
        assert_eq!(seen.missing.get("results[].cloud"), Some(&1));
    }

    #[test]
    fn drift_is_complete_despite_a_number_that_is_too_large() {
        let body = r#"{"totalCount":1e400,"cursor":-1e400,"links":[null],
            "results":[{"region":[1e999],"name":null},{"region":2}]}"#;
        let seen = drift(PREVIEW, body);
        assert_eq!(seen.unknown.get("cursor"), Some(&1));
        assert_eq!(seen.unknown.get("results[].region"), Some(&2));
        assert_eq!(seen.missing.get("results[].name"), Some(&1));
        assert_eq!(seen.missing.get("totalCount"), None);
        assert_eq!(seen.missing.get("links[].rel"), None);
    }

    #[test]
    fn unknown_names_are_bounded_in_number_and_length() {
        let names: alloc::vec::Vec<_> = (0..100)
            .map(|n| alloc::format!(r#""{n}{}":0"#, "x".repeat(500)))
            .collect();
        let body = alloc::format!(r#"{{"results":[],{}}}"#, names.join(","));
        let drift = drift(PREVIEW, &body);
        assert_eq!(drift.unknown.len(), 64);
        assert!(drift.more_unknown && drift.to_string().contains(", …"));
        assert!(drift.unknown.keys().all(|name| name.len() < 100));
    }
}
