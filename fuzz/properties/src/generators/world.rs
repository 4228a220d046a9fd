//! What an emulator serves, as facts that its tests know: organizations, groups, keys and credentials.
//!
//! Emulators are made once for each configuration, and copied for each input.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use atlas_model_keys_core::ApiVersion;
use atlas_model_keys_emulator::{Config, Data, Emulator, Key, Names, TokenBucket, TotalCount};
use http::Request;
use serde_json::{Map, Value, json};

use super::emulator::Setup;

/// The number of emulators that are kept.
const MAX_KEPT: usize = 512;

/// The number of keys that the second generated group keeps.
const SECOND_GROUP: usize = 5;

/// Everything that an emulator serves.
pub(crate) struct Facts {
    pub(crate) orgs: Vec<String>,
    pub(crate) groups: Vec<GroupFacts>,
    pub(crate) api_keys: Vec<Account>,
    pub(crate) service_accounts: Vec<Account>,
    pub(crate) access_tokens: Vec<Account>,
    /// The group that credentials without roles cannot list.
    pub(crate) forbidden_group: Option<String>,
}

pub(crate) struct GroupFacts {
    pub(crate) id: String,
    pub(crate) org: String,
    pub(crate) name: String,
    /// `None` if the harness does not know it.
    pub(crate) created: Option<String>,
    /// All fields of each key.
    pub(crate) keys: Vec<Map<String, Value>>,
}

/// A credential. An access token has only a name.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) secret: String,
    /// Names of roles with the id of the group or organization. `None` means the default roles.
    pub(crate) roles: Option<Vec<(&'static str, String)>>,
}

impl Account {
    fn new(name: &str, secret: &str) -> Self {
        Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
            roles: None,
        }
    }

    fn to_json(&self, [name, secret]: [&str; 2]) -> Value {
        let mut value = json!({ name: self.name });
        if !secret.is_empty() {
            value[secret] = json!(self.secret);
        }
        if let Some(roles) = &self.roles {
            let roles = roles.iter().map(|(role, id)| {
                let owner = if role.starts_with("ORG") {
                    "orgId"
                } else {
                    "groupId"
                };
                json!({ owner: id, "roleName": role })
            });
            value["roles"] = roles.collect();
        }
        value
    }
}

/// Something that serves these facts.
type Known<T> = (T, Rc<Facts>);

/// Returns a new emulator with this configuration, and what it serves.
pub(crate) fn emulator(setup: Setup) -> (Emulator, Rc<Facts>) {
    thread_local! {
        static KEPT: RefCell<HashMap<Setup, Known<Emulator>>> = RefCell::default();
    }
    KEPT.with_borrow_mut(|kept| {
        if kept.len() == MAX_KEPT && !kept.contains_key(&setup) {
            kept.clear();
        }
        kept.entry(setup).or_insert_with(|| make(setup)).clone()
    })
}

fn make(setup: Setup) -> (Emulator, Rc<Facts>) {
    let limit = setup.rate_limit().map(|[capacity, refill, seconds]| {
        TokenBucket::new(capacity, refill, Duration::from_secs(seconds.into()))
    });
    let mut config = Config::default()
        .with_seed(setup.seed.into())
        .with_token_ttl(setup.token_ttl())
        .with_nonce_ttl(setup.nonce_ttl())
        .with_rate_limit(limit)
        .with_shared_rate_limit(setup.has_shared_limit())
        .with_include_secrets(setup.has_secrets())
        .with_control(setup.has_control())
        .with_seen_limit(if setup.is_recorded { 10_000 } else { 0 })
        .with_digest(setup.digest().to_vec())
        .with_total_count(match setup.total_count() {
            None => TotalCount::Exact,
            Some(Some(_)) => TotalCount::Zero,
            Some(None) => TotalCount::Absent,
        });
    if setup.is_preview_withdrawn() {
        config = config.with_withdrawn(vec![ApiVersion::PREVIEW]);
    }
    if let Some(base) = setup.link_base() {
        config = config.with_link_base(base);
    }
    let (mut emulator, facts) = if setup.groups > 2 {
        let (data, facts) = data(setup);
        (Emulator::new(config.with_data(data)), facts)
    } else {
        let mut emulator = Emulator::new(
            config
                .with_names(Names::Hostile)
                .with_groups(setup.groups.into())
                .with_keys_per_group(setup.keys.into()),
        );
        let second = emulator.groups().nth(1);
        if let Some(keys) = second.and_then(|group| emulator.keys_mut(group)) {
            keys.truncate(SECOND_GROUP);
        }
        let facts = Rc::new(generated_facts(&emulator));
        (emulator, facts)
    };
    // The first request collects the secrets, which copies share then.
    let request = Request::get("/").body("").expect("a valid request");
    let _ = emulator.handle(&request, Duration::ZERO);
    emulator.forget_seen();
    (emulator, facts)
}

/// Returns the data of the harness, as the emulator reads it and as facts.
fn data(setup: Setup) -> (Data, Rc<Facts>) {
    thread_local! {
        // There are eight sets of roles, two numbers of groups and nine of keys.
        static KEPT: RefCell<HashMap<[u8; 3], Known<Data>>> = RefCell::default();
    }
    let make = || {
        let facts = facts(setup);
        let data = Data::from_json(to_json(&facts).as_bytes()).expect("the data is valid");
        (data, Rc::new(facts))
    };
    let key = [setup.seed / 4, setup.groups, setup.keys];
    KEPT.with_borrow_mut(|kept| kept.entry(key).or_insert_with(make).clone())
}

/// Returns what an emulator has generated.
fn generated_facts(emulator: &Emulator) -> Facts {
    let environment = emulator.environment("http://localhost");
    let groups = environment.projects.iter().map(|project| GroupFacts {
        id: project.id.clone(),
        org: project.org_id.clone(),
        name: project.name.clone(),
        created: None,
        keys: project.id.parse().map_or(Vec::new(), |group| {
            emulator.keys(group).iter().map(fields).collect()
        }),
    });
    let (key, account) = (emulator.api_key(), emulator.service_account());
    Facts {
        orgs: emulator.org_ids().map(|org| org.to_string()).collect(),
        groups: groups.collect(),
        api_keys: vec![Account::new(&key.public_key, &key.private_key)],
        service_accounts: vec![Account::new(&account.client_id, &account.client_secret)],
        access_tokens: vec![Account::new(emulator.access_token(), "")],
        forbidden_group: emulator.forbidden_group().map(|group| group.to_string()),
    }
}

fn fields(key: &Key) -> Map<String, Value> {
    let fields = [
        ("apiKeyId", &key.api_key_id),
        ("cloud", &key.cloud),
        ("createdAt", &key.created_at),
        ("createdBy", &key.created_by),
        ("endpoint", &key.endpoint),
        ("geography", &key.geography),
        ("groupId", &key.group_id),
        ("lastUsedAt", &key.last_used_at),
        ("maskedSecret", &key.masked_secret),
        ("name", &key.name),
        ("secret", &key.secret),
        ("status", &key.status),
    ];
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))))
        .collect()
}

/// Returns data of the harness: groups of two organizations in turn, the third without keys, and of each kind of credential one
/// without roles and one with roles.
fn facts(setup: Setup) -> Facts {
    let orgs: Vec<String> = (1..=2).map(|org| format!("5f{org:022x}")).collect();
    let groups: Vec<GroupFacts> = (0..usize::from(setup.groups))
        .map(|number| {
            let keys = match number {
                0 => usize::from(setup.keys),
                2 => 0,
                _ => (usize::from(setup.keys) + 3 * number) % 7,
            };
            let id = format!("6a{number:022x}");
            GroupFacts {
                org: orgs[number % orgs.len()].clone(),
                name: format!("Project \u{202e}{number}\u{1b}[31m"),
                created: Some(format!("2024-01-{:02}T10:00:00Z", number + 1)),
                keys: (0..keys).map(|key| key_fields(number, key, &id)).collect(),
                id,
            }
        })
        .collect();
    let role = |name, of: &str| (name, of.to_owned());
    let [org, other_org] = [&orgs[0], &orgs[1]];
    let [group, other_group] = [&groups[0].id, &groups[1].id];
    let roles = [
        vec![],
        vec![role("GROUP_READ_ONLY", group)],
        vec![role("ORG_READ_ONLY", org)],
        vec![role("ORG_OWNER", other_org)],
        vec![role("ORG_MEMBER", org)],
        vec![role("GROUP_OWNER", other_group), role("ORG_MEMBER", org)],
        vec![role("GROUP_MODEL_OWNER", group)],
        vec![role("ORG_OWNER", org), role("GROUP_READ_ONLY", other_group)],
    ];
    let number = usize::from(setup.seed / 4);
    let with_roles = |name: &str, secret: &str, number: usize| Account {
        roles: Some(roles[number % roles.len()].clone()),
        ..Account::new(name, secret)
    };
    Facts {
        api_keys: vec![
            Account::new("abcdefgh", "01234567-89ab-cdef-0123-456789abcdef"),
            with_roles("zyxwvuts", "fedcba98-7654-3210-fedc-ba9876543210", number),
        ],
        service_accounts: vec![
            Account::new("mdb_sa_id_1", "mdb_sa_sk_first-secret-1"),
            with_roles("mdb_sa_id_12", "mdb_sa_sk_second-secret-2", number + 1),
        ],
        access_tokens: vec![
            Account::new("known-access-token-1", ""),
            with_roles("known-access-token-2", "", number + 2),
        ],
        forbidden_group: None,
        orgs,
        groups,
    }
}

/// Returns the fields of a key. Ids differ only in their last characters.
fn key_fields(group: usize, number: usize, group_id: &str) -> Map<String, Value> {
    const NAMES: [&str; 7] = [
        "production",
        "=SUM(A1:A9)",
        "red \u{1b}[31mescape\u{1b}[0m",
        "\u{202e}desrever",
        "two\nlines, \"quoted\"",
        "検索用キー 🔑",
        "null",
    ];
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    set("apiKeyId", json!(format!("key{group:010}x{number:010}")));
    set("cloud", json!("ANY"));
    set(
        "createdAt",
        json!(format!("2026-03-0{}T08:00:00Z", number + 1)),
    );
    set("createdBy", json!("Zoë O'Connor"));
    set("endpoint", json!("ai.mongodb.com"));
    set("geography", json!("ANY"));
    set("groupId", json!(group_id));
    if number % 3 != 1 {
        set(
            "lastUsedAt",
            json!(format!("2026-07-0{}T08:00:00Z", number + 1)),
        );
    }
    set("maskedSecret", json!(format!("al-****{number:04}")));
    set("name", json!(NAMES[(group + number) % NAMES.len()]));
    set(
        "secret",
        json!(format!("al-secret{group:08}of{number:08}key")),
    );
    set("status", json!("ACTIVE"));
    fields
}

fn to_json(facts: &Facts) -> String {
    let groups = facts.groups.iter().map(|group| {
        json!({
            "id": group.id,
            "orgId": group.org,
            "name": group.name,
            "created": group.created,
        })
    });
    let orgs = facts.orgs.iter().map(|org| json!({ "id": org }));
    let keys = facts.groups.iter().flat_map(|group| &group.keys);
    let of = |accounts: &[Account], names| -> Vec<Value> {
        accounts
            .iter()
            .map(|account| account.to_json(names))
            .collect()
    };
    let credentials = [
        of(&facts.api_keys, ["publicKey", "privateKey"]),
        of(&facts.service_accounts, ["clientId", "clientSecret"]),
        of(&facts.access_tokens, ["accessToken", ""]),
    ];
    // One value after the other: organizations and groups are in the order in which they are mentioned.
    [
        json!({ "organizations": orgs.collect::<Value>() }),
        json!({ "projects": groups.collect::<Value>() }),
        json!({ "results": keys.map(|key| Value::Object(key.clone())).collect::<Value>() }),
        json!({ "credentials": credentials.concat() }),
    ]
    .map(|value| value.to_string())
    .concat()
}
