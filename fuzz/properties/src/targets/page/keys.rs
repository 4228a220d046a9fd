//! The keys of a page in all their forms.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use atlas_model_keys_core::{
    Collected, Error, KeyField, Limits, ModelKey, OwnedModelKey, Page, UnixTime,
};
use serde_json::{Map, Value};

use crate::oracles::derived::{DerivedKey, expected_debug, owned};
use crate::oracles::timestamp;

/// The number of keys of a page that are checked in all forms. Their code does not depend on the number.
const CHECKED: usize = 3;

/// Checks the first keys of a page, whose fields are those of the derived structs.
pub(super) fn check(page: &Page<&[u8]>, derived: &[DerivedKey]) {
    let made: Vec<OwnedModelKey> = page
        .keys()
        .zip(derived)
        .take(CHECKED)
        .map(|(key, derived)| {
            let made = made_of_fields(key);
            assert_forms_agree(key, &made, derived);
            assert_unused(key, derived);
            made
        })
        .collect();
    for (one, derived_one) in page.keys().zip(derived).take(CHECKED) {
        for (other, derived_other) in page.keys().zip(derived).take(CHECKED) {
            let is_equal = without_secret(derived_one) == without_secret(derived_other);
            assert_eq!(one == other, is_equal);
            assert!(!is_equal || hash(&one) == hash(&other));
        }
    }
    assert_counted(&made);
}

fn made_of_fields(key: ModelKey<'_>) -> OwnedModelKey {
    let fields = KeyField::ALL.iter();
    let fields = fields.filter_map(|field| Some((*field, key.field(*field)?)));
    let secret = key
        .secret()
        .map(|secret| (KeyField::Secret, secret.expose()));
    OwnedModelKey::from_fields(fields.chain(secret))
}

fn without_secret(key: &DerivedKey) -> DerivedKey {
    let mut key = key.clone();
    key.secret = None;
    key
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn assert_forms_agree(key: ModelKey<'_>, made: &OwnedModelKey, derived: &DerivedKey) {
    let json = serde_json::to_string(&key).expect("a key can be serialized");
    for form in [made, &OwnedModelKey::from(key)] {
        assert_eq!(owned(form.clone()), *derived);
        assert!(form.as_key() == key && *form == key.to_owned_key());
        assert_eq!(hash(form), hash(&key));
        assert_eq!(format!("{form:?}"), expected_debug(derived));
        assert_eq!(serde_json::to_string(form).ok().as_ref(), Some(&json));
    }
    let read: DerivedKey = serde_json::from_str(&json).expect("a key is read back");
    assert_eq!(read, without_secret(derived));
    // Absent fields are left out.
    let members: Map<String, Value> = serde_json::from_str(&json).expect("a key is an object");
    assert!(members.values().all(Value::is_string) && !members.contains_key("secret"));
    assert_eq!(*made == OwnedModelKey::default(), members.is_empty());
}

/// Asserts since when a key counts as unused.
fn assert_unused(key: ModelKey<'_>, derived: &DerivedKey) {
    let since = derived
        .last_used_at
        .as_ref()
        .or(derived.created_at.as_ref());
    let since = since.and_then(|text| timestamp::instant(text));
    for now in [0, 1_790_000_000].map(UnixTime::from_seconds) {
        let unused = since.map(|since| timestamp::between(since, now));
        let exact = unused.unwrap_or(Duration::ZERO);
        for duration in [
            exact,
            exact.saturating_add(Duration::from_nanos(1)),
            Duration::ZERO,
        ] {
            let expected = unused.map(|unused| unused >= duration);
            assert_eq!(key.is_unused_for(duration, now), expected);
            assert_eq!(key.to_owned_key().is_unused_for(duration, now), expected);
        }
    }
}

/// Asserts that keys that were made of their fields count with these and no more.
fn assert_counted(made: &[OwnedModelKey]) {
    let texts = |key: &OwnedModelKey| {
        let secret = key.secret().map(|secret| secret.expose().len());
        let fields = KeyField::ALL.iter();
        let fields = fields.filter_map(|field| Some(key.field(*field)?.len()));
        fields.chain(secret).sum::<usize>()
    };
    let sizes = made
        .iter()
        .map(|key| size_of::<OwnedModelKey>() + texts(key));
    let total: usize = sizes.sum();
    for limit in [total, total.saturating_sub(1)] {
        let mut limits = Limits::default();
        limits.collected_bytes = limit;
        let mut collected = Collected::new(&limits);
        let counted = made.iter().try_for_each(|key| collected.add(key));
        assert_eq!(counted.is_ok(), total <= limit);
        if let Err(error) = counted {
            let Error::Limit { what, limit: named } = error else {
                panic!("{error:?}");
            };
            assert_eq!((what, named), ("bytes of collected keys", limit as u64));
        }
    }
}
