//! A second count of unknown and missing fields.

use std::collections::BTreeMap;

use atlas_model_keys_core::{ApiVersion, Drift};

use crate::oracles::json::Json;
use crate::oracles::shown;
use crate::oracles::unicode::is_unsafe;

/// The documented fields of an object, and whether each also exists in versions without the dated fields.
type Fields<'f> = &'f [(&'f str, bool)];

#[derive(Default)]
struct Count {
    unknown: BTreeMap<String, u32>,
    missing: BTreeMap<String, u32>,
    names_are_changed: bool,
    /// Whether the version has the dated fields.
    is_dated: bool,
}

impl Count {
    fn new(version: Option<ApiVersion>) -> Self {
        // 2025-03-12 is the first dated version with keys.
        let is_dated = version.is_some_and(|version| {
            version >= ApiVersion::V2025_03_12 && version != ApiVersion::PREVIEW
        });
        Self {
            is_dated,
            ..Self::default()
        }
    }

    /// Counts the fields of an object. The optional ones are neither unknown nor missing.
    fn add(&mut self, object: &Json, prefix: &str, known: Fields<'_>, optional: &[&str]) {
        self.add_unknown(object, prefix, known, optional);
        for (name, _) in known.iter().filter(|(_, old)| self.is_dated || *old) {
            if !object.entries().iter().any(|(there, _)| there == name) {
                *self.missing.entry(format!("{prefix}{name}")).or_default() += 1;
            }
        }
    }

    fn add_unknown(&mut self, object: &Json, prefix: &str, known: Fields<'_>, optional: &[&str]) {
        for (name, _) in object.entries() {
            let is_known = known.iter().any(|(known, _)| known == name);
            if !is_known && !optional.contains(&name.as_str()) {
                self.names_are_changed |= name.len() > 80 || name.chars().any(is_unsafe);
                *self.unknown.entry(format!("{prefix}{name}")).or_default() += 1;
            }
        }
    }

    fn assert_equals(&self, drift: &Drift) {
        assert_safe(drift);
        let unknown = &self.unknown;
        assert_eq!(drift.missing, self.missing);
        // Names that are truncated or escaped may become equal.
        if !self.names_are_changed {
            assert_eq!(drift.more_unknown, unknown.len() > 64);
            match unknown.len() {
                0..=64 => assert_eq!(drift.unknown, *unknown),
                _ => assert!(
                    drift
                        .unknown
                        .iter()
                        .all(|(name, n)| unknown.get(name) == Some(n))
                ),
            }
        }
    }
}

/// Asserts what holds for any body.
pub(crate) fn assert_safe(drift: &Drift) {
    shown::assert_safe(drift);
    assert!(drift.unknown.len() <= 64);
    assert_eq!(drift.is_empty(), drift.to_string() == "as documented");
}

/// Compares the drift of a page whose entries have these fields.
pub(crate) fn assert_page(
    drift: &Drift,
    json: &Json,
    entry: Fields<'_>,
    optional: &[&str],
    version: Option<ApiVersion>,
) {
    let mut count = Count::new(version);
    let page = [("links", true), ("results", true), ("totalCount", true)];
    // An envelope has a `status`.
    count.add(json, "", &page, &["status"]);
    // A link that is null does not count as missing fields.
    for link in json.elements("links").iter().filter(|l| !l.is_null()) {
        count.add(link, "links[].", &[("href", true), ("rel", true)], &[]);
    }
    for object in json.elements("results") {
        count.add(object, "results[].", entry, optional);
    }
    count.assert_equals(drift);
}

/// Compares the drift of a key, which may be in an envelope.
pub(crate) fn assert_key(drift: &Drift, json: &Json, key: Fields<'_>, version: Option<ApiVersion>) {
    let mut count = Count::new(version);
    match json.entries().iter().find(|(name, _)| name == "content") {
        None => count.add(json, "", key, &[]),
        Some((_, content)) => {
            count.add_unknown(json, "", key, &["content"]);
            if content.is_object() {
                count.add(content, "content.", key, &[]);
            }
        }
    }
    count.assert_equals(drift);
}
