//! Keys, groups and credentials from JSON: what the command writes, what Atlas sends, or a file written by hand.

use std::collections::{HashMap, HashSet};
use std::fmt;

use atlas_model_keys_core::{GroupId, OrgId};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::credentials::{AccessToken, ApiKey, Credentials, ServiceAccount};
use crate::key::Key;
use crate::quoted::quoted;
use crate::roles::{Role, Roles};

/// Keys, groups and credentials for an emulator to serve, with Atlas's field names.
///
/// [`Data::from_json`] reads JSON values one after the other. Line breaks do not matter. Each value is
///
/// - a key (`apiKeyId`, `name`, `groupId` …) or a group (`id`, `name`, `orgId`, `created`);
/// - a credential: `publicKey` and `privateKey`, `clientId` and `clientSecret`, or `accessToken`; and `roles`;
/// - an array of these;
/// - an object with `results` or `credentials` (any of these), `projects` (groups), `organizations` (with `id` or
///   `orgId`) or several of them. In `projects`, an id may be called `groupId` and a name `groupName`. Other fields
///   of such an object are ignored.
///
/// So it reads the output of `atlas-model-keys list` with `-o ndjson`, `-o json` and `-o raw`, pages of
/// Atlas, an [`Environment`](crate::Environment) in JSON, and this:
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
///
/// A group without `orgId` belongs to the first organization that is mentioned, or to a generated one. So the list
/// `organizations` is necessary only for those without groups, and for their order.
///
/// The `roles` of a credential have Atlas's names ([`Role`]). A group or organization that a role names need not
/// be declared, like the group of a key. A credential without `roles` may list everything:
///
/// ```
/// use atlas_model_keys_emulator::{Config, Data, Emulator};
/// let data = Data::from_json(br#"
///     {"publicKey": "abcdefgh", "privateKey": "01234567-89ab-cdef-0123-456789abcdef"}
///     {"clientId": "mdb_sa_id_1", "clientSecret": "mdb_sa_sk_1", "roles": [
///         {"orgId": "5f0000000000000000000001", "roleName": "ORG_READ_ONLY"},
///         {"groupId": "69681d39c9e8cfd375386316", "roleName": "GROUP_READ_ONLY"}
///     ]}
/// "#)?;
/// let emulator = Emulator::new(Config::default().with_data(data));
/// assert_eq!(emulator.api_key().public_key, "abcdefgh");
/// assert_eq!(emulator.first_org().as_str(), "5f0000000000000000000001");
/// # Ok::<(), atlas_model_keys_emulator::InvalidData>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// In the order in which they are first mentioned.
    pub(crate) orgs: Vec<OrgId>,
    pub(crate) groups: Vec<DataGroup>,
    pub(crate) credentials: Credentials,
    /// The keys without a group, if there is no group at all.
    pub(crate) keys: Vec<Key>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DataGroup {
    pub(crate) id: GroupId,
    /// `None` means the first organization.
    pub(crate) org_id: Option<OrgId>,
    pub(crate) name: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) keys: Vec<Key>,
}

impl Data {
    /// The largest input that [`Data::from_json`] reads: 64 MiB.
    pub const MAX_BYTES: usize = 64 << 20;
    /// The largest number of keys. It bounds the memory for an input of many tiny keys.
    pub const MAX_KEYS: usize = 1_000_000;
    /// The largest number of groups, and that of organizations. Atlas allows fewer groups in one organization.
    pub const MAX_GROUPS: usize = 10_000;
    /// The largest number of credentials. It bounds the time for the look-up of a credential.
    pub const MAX_CREDENTIALS: usize = 1_000;

    /// Reads keys, groups and credentials.
    ///
    /// # Errors
    /// Returns an error if the input is larger than the limits above, is not UTF-8 or not JSON, if a
    /// known field is neither a text nor null, if an id of a group or organization is not valid, if two keys
    /// have the same id, if a group is declared twice, or if a credential is incomplete, cannot be sent, has
    /// an unknown role or appears twice.
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

    /// Returns whether the data has credentials, and neither keys nor groups nor organizations. Then the groups of an
    /// emulator with this data are generated.
    #[must_use]
    pub fn has_only_credentials(&self) -> bool {
        let is_empty = self.orgs.is_empty() && self.groups.is_empty() && self.keys.is_empty();
        is_empty && self.credentials.len() > 0
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
            .field("credentials", &self.credentials.len())
            .finish_non_exhaustive()
    }
}

/// The input is not data that an emulator can serve.
///
/// The message has the line, the value and the rule. It never has the value of a secret.
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
    org_index: HashSet<OrgId>,
    declared_groups: HashSet<GroupId>,
    /// The names of credentials, with the names of their fields.
    credential_names: HashSet<(&'static str, String)>,
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
            (Some(problem), Category::Data) => problem,
            (None, Category::Data) => "this must be an object, or an array of objects".to_owned(),
            (_, _) => {
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
            Place::Organization => self.optional_org(entry.id.or(entry.org_id)).map(drop),
            Place::Group => self.declare_group(entry),
            _ if entry.credential.is_some() => self.add_credential(entry.credential, entry.roles),
            _ if is_group(&entry) => self.declare_group(entry),
            _ => self.add_key(entry.key, entry.group_name),
        }
    }

    fn optional_org(&mut self, id: Option<String>) -> Result<Option<OrgId>, String> {
        id.map(|id| self.org(&id)).transpose()
    }

    /// Returns the organization with this id, which is added if it is new.
    fn org(&mut self, id: &str) -> Result<OrgId, String> {
        let id = OrgId::new(id).map_err(|error| format!("orgId: {error}"))?;
        if self.org_index.insert(id) {
            if self.data.orgs.len() == Data::MAX_GROUPS {
                return Err(format!(
                    "there are more than {} organizations",
                    Data::MAX_GROUPS
                ));
            }
            self.data.orgs.push(id);
        }
        Ok(id)
    }

    fn declare_group(&mut self, entry: Entry) -> Result<(), String> {
        let Some(id) = entry.id.or(entry.key.group_id) else {
            return Err("this project has no id".to_owned());
        };
        let org_id = self.optional_org(entry.org_id)?;
        let group = self.group(&id)?;
        let id = group.id;
        if let Some(name) = entry.key.name.or(entry.group_name) {
            group.name = Some(name);
        }
        group.created = entry.created;
        group.org_id = org_id;
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
                org_id: None,
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

    fn add_credential(&mut self, fields: CredentialFields, roles: Roles) -> Result<(), String> {
        let credentials = &mut self.data.credentials;
        if credentials.len() == Data::MAX_CREDENTIALS {
            let most = Data::MAX_CREDENTIALS;
            return Err(format!("there are more than {most} credentials"));
        }
        let CredentialFields {
            public_key,
            private_key,
            client_id,
            client_secret,
            access_token,
        } = fields;
        let key = (public_key, private_key);
        let account = (client_id, client_secret);
        let (field, name) = match (key, account, access_token) {
            ((Some(public), Some(private)), (None, None), None) => {
                let is_valid = |text: &str| !text.contains(char::is_control);
                let rule = "a text without control characters";
                check("publicKey", &public, is_valid, rule)?;
                check("privateKey", &private, is_valid, rule)?;
                let mut key = ApiKey::new(&*public, private);
                key.roles = roles;
                credentials.api_keys.push(key);
                ("publicKey", public)
            }
            ((None, None), (Some(id), Some(secret)), None) => {
                let is_id = |text: &str| is_visible(text) && !text.contains(':');
                check("clientId", &id, is_id, "visible ASCII without a colon")?;
                check("clientSecret", &secret, is_visible, "visible ASCII")?;
                let mut account = ServiceAccount::new(&*id, secret);
                account.roles = roles;
                credentials.service_accounts.push(account);
                ("clientId", id)
            }
            ((None, None), (None, None), Some(token)) => {
                check("accessToken", &token, is_visible, "visible ASCII")?;
                let mut access_token = AccessToken::new(&*token);
                access_token.roles = roles;
                credentials.access_tokens.push(access_token);
                ("accessToken", token)
            }
            _ => {
                return Err(
                    "a credential has publicKey and privateKey, or clientId and clientSecret, or \
                     accessToken; give each one an object of its own"
                        .to_owned(),
                );
            }
        };
        if self.credential_names.contains(&(field, name.clone())) {
            let name = match field {
                "accessToken" => "[redacted]".to_owned(),
                _ => quoted(&name),
            };
            return Err(format!("the {field} {name} is here twice; each is unique"));
        }
        self.credential_names.insert((field, name));
        Ok(())
    }

    fn role(
        &mut self,
        group_id: Option<String>,
        org_id: Option<String>,
        name: Option<&str>,
    ) -> Result<Role, String> {
        let group = match group_id {
            Some(id) => Some(self.group(&id)?.id),
            None => None,
        };
        let org = self.optional_org(org_id)?;
        let in_group = group.map(|id| Role::IN_GROUP.map(|role| role(id)));
        let in_org = org.map(|id| Role::IN_ORG.map(|role| role(id)));
        let mut roles = in_group.into_iter().chain(in_org).flatten();
        roles.find(|role| Some(role.name()) == name).ok_or_else(|| {
            let name = name.map_or_else(|| "missing".to_owned(), quoted);
            format!(
                "roleName is {name}; it must be GROUP_OWNER, GROUP_MODEL_OWNER or GROUP_READ_ONLY with a \
                 groupId, or ORG_OWNER, ORG_READ_ONLY or ORG_MEMBER with an orgId"
            )
        })
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

/// Checks the value of a credential. An error does not repeat it: a secret may be in the wrong place.
fn check(
    field: &str,
    value: &str,
    is_valid: impl Fn(&str) -> bool,
    rule: &str,
) -> Result<(), String> {
    match !value.is_empty() && is_valid(value) {
        true => Ok(()),
        false => Err(format!("{field} must be {rule}, and not empty")),
    }
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The place of a value in the input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A value that is not part of another one.
    Document,
    /// The array in `results` or `credentials`, and an entry of it.
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
        let mut has_credentials = false;
        let mut is_known = false;
        let mut misspelt = None;
        while let Some(name) = fields.next_key::<String>()? {
            let list = match name.as_str() {
                "results" | "credentials" => Some(Place::Entries),
                "projects" => Some(Place::Groups),
                "organizations" => Some(Place::Organizations),
                _ => None,
            };
            if let Some(place) = list.filter(|_| place == Place::Document) {
                is_container = true;
                has_credentials |= name == "credentials";
                fields.next_value_seed(Item { reader, place })?;
            } else if let Some(field) = entry.field(&name) {
                is_known = true;
                *field = fields.next_value_seed(Text {
                    reader,
                    name: &name,
                })?;
            } else if name == "roles" {
                entry.roles = fields.next_value_seed(RoleList { reader })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
                // A misspelt `roles` would allow everything. Atlas's credentials have other fields, too.
                let is_misspelt = name.to_ascii_lowercase().starts_with("role");
                misspelt = misspelt.or(Some(name).filter(|_| is_misspelt));
            }
        }
        let added = match is_known {
            _ if entry.credential.is_some() && misspelt.is_some() => Err(format!(
                "a credential has no field {}; it is \"roles\"",
                quoted(misspelt.as_deref().unwrap_or_default())
            )),
            _ if is_container && entry.credential.is_some() && !has_credentials => Err(
                "this object has lists, so its credentials belong into an array \"credentials\"".to_owned(),
            ),
            _ if is_container => Ok(()),
            true => reader.add(entry, place),
            false => Err(
                "this object has no field of a key (such as name), of a project (such as id) or of a \
                 credential (such as publicKey)"
                    .to_owned(),
            ),
        };
        added.map_err(|problem| reader.fail(problem))
    }
}

/// The fields of a key, a group and a credential.
#[derive(Default)]
struct Entry {
    key: Key,
    credential: CredentialFields,
    roles: Roles,
    id: Option<String>,
    org_id: Option<String>,
    group_name: Option<String>,
    created: Option<String>,
}

#[derive(Default)]
struct CredentialFields {
    public_key: Option<String>,
    private_key: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    access_token: Option<String>,
}

impl CredentialFields {
    fn is_some(&self) -> bool {
        let key = self.public_key.is_some() || self.private_key.is_some();
        let account = self.client_id.is_some() || self.client_secret.is_some();
        key || account || self.access_token.is_some()
    }
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
            "publicKey" => &mut self.credential.public_key,
            "privateKey" => &mut self.credential.private_key,
            "clientId" => &mut self.credential.client_id,
            "clientSecret" => &mut self.credential.client_secret,
            "accessToken" => &mut self.credential.access_token,
            _ => return None,
        })
    }
}

/// Reads the roles of a credential: an array of objects, or null.
struct RoleList<'r> {
    reader: &'r mut Reader,
}

impl RoleList<'_> {
    /// Sets the reason for an error of serde in what is read next.
    fn expect_roles(&mut self) {
        let rule = "roles must be an array of objects with roleName, and groupId or orgId";
        self.reader.problem = Some(rule.to_owned());
    }
}

impl<'de> DeserializeSeed<'de> for RoleList<'_> {
    type Value = Roles;

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<Roles, D::Error> {
        self.expect_roles();
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RoleList<'_> {
    type Value = Roles;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Roles, A::Error> {
        let mut roles = HashSet::new();
        while let Some(role) = items.next_element_seed(RoleItem {
            reader: self.reader,
        })? {
            roles.insert(role);
            self.expect_roles();
        }
        self.reader.problem = None;
        Ok(Some(roles))
    }

    fn visit_unit<E: Error>(self) -> Result<Roles, E> {
        self.reader.problem = None;
        Ok(None)
    }
}

/// Reads one role.
struct RoleItem<'r> {
    reader: &'r mut Reader,
}

impl<'de> DeserializeSeed<'de> for RoleItem<'_> {
    type Value = Role;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Role, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RoleItem<'_> {
    type Value = Role;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Role, A::Error> {
        let reader = self.reader;
        let (mut group_id, mut org_id, mut role_name) = (None, None, None);
        while let Some(name) = fields.next_key::<String>()? {
            let field = match name.as_str() {
                "groupId" => &mut group_id,
                "orgId" => &mut org_id,
                "roleName" => &mut role_name,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let name = &name;
            *field = fields.next_value_seed(Text { reader, name })?;
        }
        let role = reader.role(group_id, org_id, role_name.as_deref());
        role.map_err(|problem| reader.fail(problem))
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
            "secret" | "privateKey" | "clientSecret" | "accessToken" => "of another type",
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

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if map.next_key_seed(IsNumber)? != Some(true) {
            return Err(self.wrong("an object"));
        }
        let text: String = map.next_value()?;
        let is_integer = text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok();
        let float = text.parse::<f64>().ok().filter(|_| !is_integer);
        Err(self.wrong(&float.map_or(text, |n| n.to_string())))
    }
}

/// Reads a name, and returns whether it is that of a number. With the feature `arbitrary_precision`, which any crate may enable,
/// `serde_json` presents a number as a map with this name. Names in the data are copies, because a reader cannot lend them.
struct IsNumber;

impl<'de> DeserializeSeed<'de> for IsNumber {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for IsNumber {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<bool, E> {
        Ok(name == "$serde_json::private::Number")
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }
}
