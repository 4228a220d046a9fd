//! The documented fields of a page as derived structs.

use atlas_model_keys_core::{KeyField, Limits, ModelKey, OwnedModelKey, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::oracles::json::{self, Json};

/// A page with the documented fields, and these entries.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DerivedPage<E = DerivedKey> {
    pub(crate) results: Option<Vec<E>>,
    pub(crate) links: Option<Vec<Option<DerivedLink>>>,
    total_count: Option<Value>,
    status: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct DerivedLink {
    pub(crate) rel: Option<String>,
    pub(crate) href: Option<String>,
}

#[derive(Clone, Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DerivedKey {
    pub(crate) api_key_id: Option<String>,
    cloud: Option<String>,
    pub(crate) created_at: Option<String>,
    created_by: Option<String>,
    endpoint: Option<String>,
    geography: Option<String>,
    group_id: Option<String>,
    pub(crate) last_used_at: Option<String>,
    masked_secret: Option<String>,
    name: Option<String>,
    pub(crate) secret: Option<String>,
    status: Option<String>,
}

/// The fields of a key, and whether the preview version has each of them.
pub(crate) const KEY_FIELDS: [(&str, bool); 12] = [
    ("apiKeyId", true),
    ("cloud", false),
    ("createdAt", true),
    ("createdBy", true),
    ("endpoint", false),
    ("geography", false),
    ("groupId", true),
    ("lastUsedAt", true),
    ("maskedSecret", true),
    ("name", true),
    ("secret", true),
    ("status", true),
];

impl<E: DeserializeOwned> DerivedPage<E> {
    /// Parses a body with the documented fields, with or without `results`, within the default limits.
    pub(crate) fn read(body: &[u8]) -> Option<(Self, Json)> {
        let read = Self::read_unlimited(body)?;
        is_within(&read.1, &Limits::default()).then_some(read)
    }

    /// Parses a body with the documented fields, nested as deep as the parser allows.
    pub(crate) fn read_unlimited(body: &[u8]) -> Option<(Self, Json)> {
        let json = Json::read(body)?;
        let lists = [json.elements("results"), json.elements("links")];
        let [keys, links] = lists;
        let has_page_shape = json.is_object()
            && keys.iter().all(Json::is_object)
            && links.iter().all(|link| link.is_object() || link.is_null());
        let body = json::with_small_numbers(body);
        let derived = has_page_shape.then(|| serde_json::from_slice(&body).ok())??;
        Some((derived, json))
    }

    /// Returns the failed status in the body, which makes it an error instead of a page.
    pub(crate) fn failed_status(&self) -> Option<u16> {
        [&self.status, &self.error]
            .into_iter()
            .flatten()
            .filter_map(|value| u16::try_from(value.as_i64()?).ok())
            .find(|status| (400..1000).contains(status))
    }

    pub(crate) fn has_next(&self) -> bool {
        let mut links = self.links.iter().flatten().flatten();
        links.any(|link| link.rel.as_deref() == Some("next"))
    }

    /// Returns whether the links tell if there is a next page: the list is empty, or a link has a relation.
    pub(crate) fn links_tell_next(&self) -> bool {
        let has_relation =
            |link: &Option<DerivedLink>| link.as_ref().is_some_and(|link| link.rel.is_some());
        let links = self.links.as_ref();
        links.is_some_and(|links| links.is_empty() || links.iter().any(has_relation))
    }

    /// Returns `totalCount`, or `None` if it is not a valid count, which is not an error.
    pub(crate) fn total(&self) -> Option<u64> {
        count(self.total_count.as_ref())
    }

    /// Returns the `status` of an envelope.
    pub(crate) fn envelope_status(&self) -> Option<u16> {
        count(self.status.as_ref()).and_then(|status| u16::try_from(status).ok())
    }
}

/// Returns the number of elements of the longest list.
pub(crate) fn longest_list(json: &Json) -> usize {
    let lists = ["results", "links"].map(|name| json.elements(name).len());
    lists.into_iter().max().unwrap_or(0)
}

/// Returns whether a page is within the limits. A limit of nesting above 100 counts as 100.
pub(crate) fn is_within(json: &Json, limits: &Limits) -> bool {
    json.depth() <= usize::from(limits.nesting.min(100)) && longest_list(json) <= limits.elements
}

fn count(value: Option<&Value>) -> Option<u64> {
    u64::try_from(value?.as_i64()?).ok()
}

pub(crate) fn borrowed(key: ModelKey<'_>) -> DerivedKey {
    let text = |value: Option<&str>| value.map(str::to_owned);
    DerivedKey {
        api_key_id: text(key.api_key_id()),
        cloud: text(key.cloud()),
        created_at: text(key.created_at().map(Timestamp::as_str)),
        created_by: text(key.created_by()),
        endpoint: text(key.endpoint()),
        geography: text(key.geography()),
        group_id: text(key.group_id()),
        last_used_at: text(key.last_used_at().map(Timestamp::as_str)),
        masked_secret: text(key.masked_secret()),
        name: text(key.name()),
        secret: text(key.secret().map(|secret| secret.expose())),
        status: text(key.status()),
    }
}

pub(crate) fn owned(key: OwnedModelKey) -> DerivedKey {
    let fields = borrowed(key.as_key());
    // All accessors of a field agree, and `field` never returns the secret.
    for field in KeyField::ALL {
        assert_eq!(key.field(*field), key.as_key().field(*field));
        assert_eq!(field.to_string(), field.name());
    }
    let times = KeyField::ALL.iter().filter(|field| field.is_timestamp());
    assert!(times.eq(&[KeyField::CreatedAt, KeyField::LastUsedAt]));
    assert_eq!(key.name(), fields.name.as_deref());
    assert!(key.field(KeyField::Secret).is_none());
    fields
}

/// Returns the expected `Debug` of a key: all fields, with the secret replaced.
pub(crate) fn expected_debug(key: &DerivedKey) -> String {
    fn timestamp(text: &Option<String>) -> Option<Timestamp<'_>> {
        text.as_deref().map(Timestamp::new)
    }
    let secret = match key.secret {
        Some(_) => "Some([redacted])",
        None => "None",
    };
    format!(
        "ModelKey {{ api_key_id: {:?}, cloud: {:?}, created_at: {:?}, created_by: {:?}, endpoint: {:?}, \
         geography: {:?}, group_id: {:?}, last_used_at: {:?}, masked_secret: {:?}, name: {:?}, \
         secret: {secret}, status: {:?} }}",
        key.api_key_id,
        key.cloud,
        timestamp(&key.created_at),
        key.created_by,
        key.endpoint,
        key.geography,
        key.group_id,
        timestamp(&key.last_used_at),
        key.masked_secret,
        key.name,
        key.status,
    )
}
