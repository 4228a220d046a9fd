//! Generates groups and keys from a seed, with plausible or hostile names.

use std::collections::HashSet;
use std::hash::Hash;

use atlas_model_keys_core::{GroupId, OrgId};

use crate::calendar;
use crate::config::{Config, Names};
use crate::key::Key;
use crate::plausible::{self, Profile, instant};
use crate::prng::{self, Prng};

const DAY: u64 = 86_400;

/// A generated group with its keys.
pub(crate) struct GeneratedGroup {
    pub(crate) id: GroupId,
    pub(crate) name: String,
    pub(crate) created: String,
    pub(crate) keys: Vec<Key>,
}

/// Returns the ids of the organizations: those of the configuration, and generated ones up to the
/// configured number.
pub(crate) fn org_ids(config: &Config) -> Vec<OrgId> {
    let mut ids = Prng::stream(config.seed, "organization");
    distinct_ids(&config.org_ids, config.organizations, || {
        OrgId::new(&ids.text(prng::HEX, 24)).ok()
    })
}

/// Returns distinct ids: the given ones, and generated ones up to this number, at least one.
fn distinct_ids<T: Copy + Eq + Hash>(
    given: &[T],
    count: usize,
    mut generate: impl FnMut() -> Option<T>,
) -> Vec<T> {
    // 24 hexadecimal digits are always a valid id, and a duplicate is very unlikely.
    let generated = std::iter::from_fn(|| Some(generate())).flatten();
    let mut seen = HashSet::new();
    let mut ids: Vec<T> = given
        .iter()
        .copied()
        .filter(|id| seen.insert(*id))
        .collect();
    let missing = count.max(1).saturating_sub(ids.len());
    ids.extend(generated.filter(|id| seen.insert(*id)).take(missing));
    ids
}

/// Generates groups with distinct ids. The first has [`Config::keys_per_group`] keys; each other
/// group has a different number of keys.
pub(crate) fn groups(config: &Config) -> Vec<GeneratedGroup> {
    let seed = config.seed;
    let first_keys = config.keys_per_group;
    let mut ids = Prng::stream(seed, "groups");
    let ids = distinct_ids(&config.group_ids, config.groups, || {
        GroupId::new(&ids.text(prng::HEX, 24)).ok()
    });
    let count = ids.len();
    let mut groups: Vec<GeneratedGroup> = Vec::with_capacity(count);
    for (index, id) in ids.into_iter().enumerate() {
        let mut prng = Prng::stream(seed, id.as_str());
        let keys = match index {
            0 => first_keys,
            2 if count > 3 => 0,
            _ => match 1 + usize::try_from(prng.below(150)).unwrap_or_default() {
                same if same == first_keys => same + 1,
                other => other,
            },
        };
        let age = DAY * (600 + prng.below(400)) + prng.below(DAY);
        groups.push(GeneratedGroup {
            id,
            name: group_name(config.names, index),
            created: calendar::short_timestamp(config.present.as_secs().saturating_sub(age)),
            keys: (0..keys)
                .map(|number| key(&mut prng, config, index, id, number))
                .collect(),
        });
    }
    groups
}

fn group_name(names: Names, index: usize) -> String {
    let known: &[&str] = match names {
        Names::Plausible => &plausible::PROJECTS,
        Names::Hostile => &["Production", "Staging-Ünïcödé-試験"],
    };
    match known.get(index) {
        Some(name) => (*name).to_owned(),
        None => format!("Project-{}", index + 1),
    }
}

/// Generates the key with this index in the group with this index. Every key was created and last
/// used before [`Config::present`].
pub(crate) fn key(
    prng: &mut Prng,
    config: &Config,
    group_index: usize,
    group: GroupId,
    index: usize,
) -> Key {
    let some = |text: &str| Some(text.to_owned());
    // The first letter is not a hexadecimal digit, so that the id cannot be taken for a number.
    let first = prng.text(b"ghijklmnopqrstuvwxyz", 1);
    let api_key_id = [first, prng.text(prng::LOWER_ALPHANUMERIC, 23)].concat();
    let secret = prng.text(prng::ALPHANUMERIC, 44);
    let last_four = secret.get(40..).unwrap_or_default();
    let present = config.present.as_secs();
    let profile = match config.names {
        Names::Plausible => plausible::profile(prng, present, group_index, index),
        Names::Hostile => hostile_profile(prng, present, index),
    };
    Key {
        api_key_id: Some(api_key_id),
        cloud: some("ANY"),
        created_at: Some(profile.created_at),
        last_used_at: profile.last_used_at,
        created_by: some(profile.created_by),
        endpoint: some("ai.mongodb.com"),
        geography: some("ANY"),
        group_id: some(group.as_str()),
        masked_secret: Some(format!("al-****{last_four}")),
        name: Some(profile.name),
        secret: Some(format!("al-{secret}")),
        status: some(profile.status),
    }
}

/// Returns the profile of a key with a hostile name. One key in five was never used, and one in five was
/// last used within five days after its creation.
fn hostile_profile(prng: &mut Prng, present: u64, index: usize) -> Profile {
    let age = DAY + prng.below(500 * DAY);
    let created = present.saturating_sub(age);
    let last_used = match index % 5 {
        3 => None,
        4 => Some(created + prng.below(age.min(5 * DAY))),
        _ => Some(present.saturating_sub(1 + prng.below(age.min(14 * DAY)))),
    };
    let creators = [
        "John Doe",
        "Zoë O'Connor",
        "佐藤 花子",
        "Олена Шевченко",
        plausible::SERVICE_ACCOUNT,
    ];
    Profile {
        created_at: instant(prng, created),
        last_used_at: last_used.map(|seconds| instant(prng, seconds)),
        created_by: prng.pick(&creators).copied().unwrap_or_default(),
        name: hostile_name(prng, index),
        // `SUSPENDED` is invented: only `ACTIVE` was ever seen, but the field is a free string.
        status: if index % 19 == 13 {
            "SUSPENDED"
        } else {
            "ACTIVE"
        },
    }
}

/// Returns a hostile name, one that clients must be able to handle. Twenty consecutive keys have names of
/// all kinds.
fn hostile_name(prng: &mut Prng, index: usize) -> String {
    let number = index + 1;
    match index % 20 {
        0 if index == 0 => "Production key".to_owned(),
        0 => format!("Production key {number}"),
        1 => format!("Ключ для поиска {number}"),
        2 => format!("検索用キー {number}"),
        3 => format!("مفتاح البحث {number}"),
        4 => format!("🔑 rocket 🚀 👩‍💻 {number}"),
        5 => format!("the \"quoted\" one, {number}"),
        6 => format!("C:\\keys\\{number}"),
        7 => format!("red \u{1b}[31mescape\u{1b}[0m {number}"),
        8 => format!("two\nlines\tand a tab {number}"),
        9 => {
            // 250 characters, the most that Atlas accepts.
            let number = number.to_string();
            let filling = 250usize.saturating_sub(number.chars().count() + 1);
            let filler: String = "long name ".chars().cycle().take(filling).collect();
            format!("{filler} {number}")
        }
        10 => {
            let number = number.to_string();
            let filling = 250usize.saturating_sub(number.chars().count() + 1);
            let filler: String = "長い名前".chars().cycle().take(filling).collect();
            format!("{filler} {number}")
        }
        // A text, not a missing value.
        11 if index == 11 => "null".to_owned(),
        // On a terminal this character reverses the order of the text that follows it.
        12 => format!("\u{202e}desrever {number}"),
        13 => format!("  spaces around {number}  "),
        14 => format!("=SUM(A1:A{number})"),
        15 => format!("a,b;c|d {number}"),
        16 => format!("e\u{301}le\u{300}ve {number}"),
        17 => format!("</script>&amp;{number}"),
        18 => number.to_string(),
        _ => format!("{}-{number}", prng.text(prng::LOWER, 8)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hostile(seed: u64, groups: usize, keys_per_group: usize) -> Config {
        Config::default()
            .with_seed(seed)
            .with_groups(groups)
            .with_keys_per_group(keys_per_group)
            .with_names(Names::Hostile)
    }

    #[test]
    fn only_the_first_group_has_the_configured_number_of_keys() {
        let counts = |groups_wanted, keys| {
            groups(&hostile(1, groups_wanted, keys))
                .iter()
                .map(|group| group.keys.len())
                .collect::<Vec<_>>()
        };
        for keys in 0..200 {
            let counts = counts(5, keys);
            assert_eq!(counts.len(), 5);
            assert_eq!(counts[0], keys);
            assert_eq!(counts[2], 0);
            assert!(counts[1] != keys && counts[3] != keys && counts[4] != keys);
        }
        assert_eq!(counts(0, 1), [1], "there is always one group");
    }

    #[test]
    fn generated_keys_have_the_documented_formats() {
        let group = groups(&hostile(3, 1, 500)).remove(0);
        let ids: HashSet<_> = group.keys.iter().map(|key| &key.api_key_id).collect();
        assert_eq!(ids.len(), 500);
        for key in &group.keys {
            let id = key.api_key_id.as_deref().unwrap();
            assert_eq!(id.len(), 24);
            assert!(id.bytes().all(|b| prng::LOWER_ALPHANUMERIC.contains(&b)));
            assert!(GroupId::new(id).is_err());
            let name = key.name.as_deref().unwrap();
            assert!((1..=250).contains(&name.chars().count()));
            let created = key.created_at.as_deref().unwrap();
            assert_eq!(created.len(), "2026-01-15T16:47:49.855000+00:00".len());
            assert!(created < "2026-08-01");
            if let Some(used) = key.last_used_at.as_deref() {
                // Compared by day, because microseconds within one second are random.
                assert!(used[..10] >= created[..10] && used < "2026-08-01", "{used}");
            }
            let secret = key.secret.as_deref().unwrap();
            let masked = key.masked_secret.as_deref().unwrap();
            assert_eq!(masked, format!("al-****{}", &secret[secret.len() - 4..]));
        }
        let count = |test: fn(&Key) -> bool| group.keys.iter().filter(|key| test(key)).count();
        assert_eq!(count(|key| key.name.as_deref() == Some("null")), 1);
        assert_eq!(count(|key| key.last_used_at.is_none()), 100);
        assert!(count(|key| key.status.as_deref() != Some("ACTIVE")) > 0);
        assert!(count(|key| key.name.as_deref().is_some_and(|n| n.contains('\u{1b}'))) > 0);
        assert!(
            count(|key| key
                .name
                .as_deref()
                .is_some_and(|n| n.chars().count() == 250))
                > 0
        );
    }
}
