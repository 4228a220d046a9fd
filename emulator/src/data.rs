//! Keys and groups from JSON: what the command writes, what Atlas sends, or a file written by hand.

use std::collections::{HashMap, HashSet};
use std::fmt;

use atlas_model_keys_core::{GroupId, OrgId};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::key::Key;
use crate::quoted::quoted;

/// Keys and groups for an emulator to serve, with Atlas's field names.
///
/// [`Data::from_json`] reads JSON values one after the other. Line breaks do not matter. Each value is
///
/// - a key (`apiKeyId`, `name`, `groupId` …) or a group (`id`, `name`, `orgId`, `created`);
/// - an array of keys and groups;
/// - an object with `results` (keys and groups), `projects` (groups) or both. In `projects`, an id may
///   be called `groupId` and a name `groupName`.
///
/// So it reads the output of `atlas-model-keys list` with `-o ndjson`, `-o json` and `-o raw`, pages of
/// Atlas, and this:
///
/// ```
/// use atlas_model_keys_emulator::{Config, Data, Emulator};
/// let data = Data::from_json(br#"
///     {"id": "69681d39c9e8cfd375386316", "name": "Production"}
///     {"apiKeyId": "a1", "name": "search", "groupId": "69681d39c9e8cfd375386316"}
///     {"apiKeyId": "a2", "name": "rerank", "groupId": "69681d39c9e8cfd375386317", "lastUsedAt": null}
/// "#)?;
/// let emulator = Emulator::new(Config::default().with_data(data));
/// assert_eq!(emulator.groups().count(), 2);
/// assert_eq!(emulator.keys(emulator.first_group())[0].name.as_deref(), Some("search"));
/// # Ok::<(), atlas_model_keys_emulator::InvalidData>(())
/// ```
///
/// A key belongs to the group that its `groupId` names. That group need not be declared: then its name is
/// the key's `groupName`, if there is one. A key without `groupId` belongs to the first group. The groups
/// are in the order in which they are first mentioned. Keys are served with the fields that they have
/// here; fields that Atlas does not document are ignored. A `secret` is listed only with
/// [`Config::include_secrets`](crate::Config::include_secrets).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data {
    pub(crate) org_id: Option<OrgId>,
    pub(crate) groups: Vec<DataGroup>,
    /// The keys without a group, if there is no group at all.
    pub(crate) keys: Vec<Key>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DataGroup {
    pub(crate) id: GroupId,
    pub(crate) name: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) keys: Vec<Key>,
}

impl Data {
    /// The largest input that [`Data::from_json`] reads: 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;
    /// The largest number of keys. It bounds the memory for an input of many tiny keys.
    pub const MAX_KEYS: usize = 1_000_000;
    /// The largest number of groups. Atlas allows fewer in one organization.
    pub const MAX_GROUPS: usize = 10_000;

    /// Reads keys and groups.
    ///
    /// # Errors
    /// Returns an error if the input is larger than the limits above, is not UTF-8 or not JSON, if a
    /// known field is neither a text nor null, if an id of a group or organization is not valid, if two keys
    /// have the same id, if a group is declared twice, or if the groups belong to several organizations.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidData> {
        if json.len() > Self::MAX_BYTES {
            return Err(InvalidData {
                line: None,
                problem: "more than 64 MiB; the emulator reads no more".to_owned(),
            });
        }
        let text = std::str::from_utf8(json).map_err(|error| {
            let valid = json.get(..error.valid_up_to()).unwrap_or_default();
            let breaks = valid.iter().filter(|byte| **byte == b'\n').count();
            InvalidData {
                line: Some(breaks + 1),
                problem: "this is not UTF-8".to_owned(),
            }
        })?;
        // Some editors and shells write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::default();
        // A reader, because it counts lines while it reads. With a slice, each `end()` in the middle would
        // count the lines from the start.
        let mut json = serde_json::Deserializer::from_reader(text.as_bytes());
        while json.end().is_err() {
            Item {
                reader: &mut reader,
                place: Place::Document,
            }
            .deserialize(&mut json)
            .map_err(|error| reader.explain(&error))?;
        }
        Ok(reader.data)
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn key_count(&self) -> usize {
        let of_groups = self.groups.iter().map(|group| group.keys.len());
        self.keys.len() + of_groups.sum::<usize>()
    }
}

/// Writes only counts, because keys may have secrets.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data")
            .field("groups", &self.groups.len())
            .field("keys", &self.key_count())
            .finish_non_exhaustive()
    }
}

/// The input is not data that an emulator can serve.
///
/// The message has the line, the value and the rule. It never has the value of a `secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidData {
    line: Option<usize>,
    problem: String,
}

impl InvalidData {
    /// Returns the line, counted from 1, or `None` if the input as a whole is not valid. An object that
    /// extends over several lines is reported where it ends.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for InvalidData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for InvalidData {}

/// The data that was read so far.
#[derive(Default)]
struct Reader {
    data: Data,
    group_index: HashMap<GroupId, usize>,
    declared_groups: HashSet<GroupId>,
    key_ids: HashSet<String>,
    key_count: usize,
    /// The reason of the error that a visitor returned. It is kept here, because serde's own messages
    /// can contain values, and a value may be a secret.
    problem: Option<String>,
}

impl Reader {
    fn fail<E: Error>(&mut self, problem: String) -> E {
        self.problem = Some(problem);
        E::custom("")
    }

    fn explain(&mut self, error: &serde_json::Error) -> InvalidData {
        let problem = match (self.problem.take(), error.classify()) {
            (Some(problem), _) => problem,
            (None, Category::Data) => "this must be an object, or an array of objects".to_owned(),
            (None, _) => {
                // The line is named once.
                let position = format!(" at line {} column {}", error.line(), error.column());
                format!(
                    "this is not JSON: {}",
                    error.to_string().replace(&position, "")
                )
            }
        };
        InvalidData {
            line: Some(error.line()),
            problem,
        }
    }

    fn add(&mut self, entry: Entry, place: Place) -> Result<(), String> {
        let is_group = |entry: &Entry| entry.id.is_some() && entry.key.api_key_id.is_none();
        match place {
            Place::Organization => self.set_org(entry.org_id.as_deref()),
            Place::Group => self.declare_group(entry),
            _ if is_group(&entry) => self.declare_group(entry),
            _ => self.add_key(entry.key, entry.group_name),
        }
    }

    fn set_org(&mut self, id: Option<&str>) -> Result<(), String> {
        let Some(id) = id else {
            return Ok(());
        };
        let id = OrgId::new(id).map_err(|error| format!("orgId: {error}"))?;
        match &self.data.org_id {
            Some(other) if *other != id => Err(format!(
                "the organization is {id}, and an earlier one is {other}: an emulator has one \
                 organization, so leave out the groups of the other"
            )),
            _ => {
                self.data.org_id = Some(id);
                Ok(())
            }
        }
    }

    fn declare_group(&mut self, entry: Entry) -> Result<(), String> {
        let Some(id) = entry.id.or(entry.key.group_id) else {
            return Err("this project has no id".to_owned());
        };
        self.set_org(entry.org_id.as_deref())?;
        let group = self.group(&id)?;
        let id = group.id;
        if let Some(name) = entry.key.name.or(entry.group_name) {
            group.name = Some(name);
        }
        group.created = entry.created;
        match self.declared_groups.insert(id) {
            true => Ok(()),
            false => Err(format!("the project {id} is here twice; ids are unique")),
        }
    }

    /// Returns the group with this id, which is created if it does not exist.
    fn group(&mut self, id: &str) -> Result<&mut DataGroup, String> {
        let id = GroupId::new(id).map_err(|error| format!("the id of a project: {error}"))?;
        let groups = &mut self.data.groups;
        let index = *self.group_index.entry(id).or_insert(groups.len());
        if index == groups.len() {
            if index == Data::MAX_GROUPS {
                return Err(format!("there are more than {index} projects"));
            }
            groups.push(DataGroup {
                id,
                name: None,
                created: None,
                // Keys without a group that came before the first group.
                keys: std::mem::take(&mut self.data.keys),
            });
        }
        groups
            .get_mut(index)
            .ok_or_else(|| format!("there is no project {id}"))
    }

    fn add_key(&mut self, key: Key, group_name: Option<String>) -> Result<(), String> {
        if let Some(id) = &key.api_key_id
            && !self.key_ids.insert(id.clone())
        {
            return Err(format!(
                "the apiKeyId {} is here twice; ids are unique",
                quoted(id)
            ));
        }
        self.key_count += 1;
        if self.key_count > Data::MAX_KEYS {
            return Err(format!("there are more than {} keys", Data::MAX_KEYS));
        }
        let keys = match &key.group_id {
            Some(group_id) => {
                let group = self.group(group_id)?;
                group.name = group.name.take().or(group_name);
                &mut group.keys
            }
            None => match self.data.groups.first_mut() {
                Some(first) => &mut first.keys,
                None => &mut self.data.keys,
            },
        };
        keys.push(key);
        Ok(())
    }
}

/// The place of a value in the input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A value that is not part of another one.
    Document,
    /// The array in `results`, and an entry of it.
    Entries,
    Entry,
    /// The array in `projects`, and an entry of it.
    Groups,
    Group,
    /// The array in `organizations`, and an entry of it.
    Organizations,
    Organization,
}

/// Reads one value, and adds what is in it to the reader.
struct Item<'r> {
    reader: &'r mut Reader,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, or an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let place = match self.place {
            Place::Document | Place::Entries => Place::Entry,
            Place::Groups => Place::Group,
            Place::Organizations => Place::Organization,
            Place::Entry | Place::Group | Place::Organization => {
                return Err(A::Error::custom(""));
            }
        };
        let reader = self.reader;
        while items.next_element_seed(Item { reader, place })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { reader, place } = self;
        let mut entry = Entry::default();
        let mut is_container = false;
        let mut is_known = false;
        while let Some(name) = fields.next_key::<String>()? {
            let list = match name.as_str() {
                "results" => Some(Place::Entries),
                "projects" => Some(Place::Groups),
                "organizations" => Some(Place::Organizations),
                _ => None,
            };
            if let Some(place) = list.filter(|_| place == Place::Document) {
                is_container = true;
                fields.next_value_seed(Item { reader, place })?;
            } else if let Some(field) = entry.field(&name) {
                is_known = true;
                *field = fields.next_value_seed(Text {
                    reader,
                    name: &name,
                })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        if is_container {
            return Ok(());
        }
        let added = match is_known {
            true => reader.add(entry, place),
            false => Err(
                "this object has no field of a key (such as name) or of a project (such as id)"
                    .to_owned(),
            ),
        };
        added.map_err(|problem| reader.fail(problem))
    }
}

/// The fields of a key and those of a group.
#[derive(Default)]
struct Entry {
    key: Key,
    id: Option<String>,
    org_id: Option<String>,
    group_name: Option<String>,
    created: Option<String>,
}

impl Entry {
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "apiKeyId" => &mut self.key.api_key_id,
            "cloud" => &mut self.key.cloud,
            "createdAt" => &mut self.key.created_at,
            "createdBy" => &mut self.key.created_by,
            "endpoint" => &mut self.key.endpoint,
            "geography" => &mut self.key.geography,
            "groupId" => &mut self.key.group_id,
            "lastUsedAt" => &mut self.key.last_used_at,
            "maskedSecret" => &mut self.key.masked_secret,
            "name" => &mut self.key.name,
            "secret" => &mut self.key.secret,
            "status" => &mut self.key.status,
            "id" => &mut self.id,
            "orgId" => &mut self.org_id,
            "groupName" => &mut self.group_name,
            "created" => &mut self.created,
            _ => return None,
        })
    }
}

/// Reads the value of a known field: a text or null.
struct Text<'r> {
    reader: &'r mut Reader,
    name: &'r str,
}

impl Text<'_> {
    fn wrong<E: Error>(self, value: &str) -> E {
        let value = match self.name {
            "secret" => "of another type",
            _ => value,
        };
        self.reader.fail(format!(
            "{} is {value}; it must be a text or null",
            self.name
        ))
    }
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or null")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Err(self.wrong(&value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Err(self.wrong(&value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Err(self.wrong(&value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Err(self.wrong(&value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.wrong("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.wrong("an object"))
    }
}
