//! The demonstration: an emulator with a dozen keys in two projects.

use atlas_model_keys_core::GroupId;
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Config, Emulator, Role};

/// The name of the last key. It shows that control characters and reversed text are escaped.
const HOSTILE_NAME: &str = "\u{1b}[31mred\u{1b}[0m \u{202e}desrever";

/// Returns the emulator of the demonstration. The dates of its keys are relative to the current time, and all
/// credentials may list the keys of both projects.
pub(crate) fn emulator(show_secrets: bool) -> Emulator {
    let mut emulator = Emulator::new(
        Config::default()
            .with_groups(2)
            .with_keys_per_group(9)
            .with_present((Options::default().clock)())
            // Without this there would be no secrets to show.
            .with_include_secrets(show_secrets),
    );
    if let Some(second) = emulator.forbidden_group() {
        for credential in emulator.credentials() {
            emulator.grant_role(credential, Role::GroupReadOnly(second));
        }
        if let Some(keys) = emulator.keys_mut(second) {
            keys.truncate(4);
            if let Some(last) = keys.last_mut() {
                last.name = Some(HOSTILE_NAME.to_owned());
            }
        }
    }
    emulator
}

/// Returns the first project of the demonstration.
pub(crate) fn first_group() -> GroupId {
    emulator(false).first_group()
}

#[cfg(test)]
mod tests {
    use super::*;

    use atlas_model_keys_core::UnixTime;

    #[test]
    fn a_dozen_plausible_keys_and_a_hostile_one_are_in_two_projects() {
        let emulator = emulator(false);
        let groups: Vec<_> = emulator.groups().collect();
        let counts = groups.iter().map(|group| emulator.keys(*group).len());
        assert_eq!(counts.collect::<Vec<_>>(), [9, 4]);
        let keys: Vec<_> = groups
            .iter()
            .flat_map(|group| emulator.keys(*group))
            .collect();
        let hostile = |name: &str| name.contains(['\u{1b}', '\u{202e}']);
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(hostile(key.name.as_deref().unwrap()), index == 12);
        }
        let unused = keys.iter().filter(|key| key.last_used_at.is_none());
        assert!((2..=4).contains(&unused.count()));
        let now = (Options::default().clock)();
        let recent = keys.iter().filter_map(|key| key.last_used_at.as_deref());
        let recent = recent.filter(|used| {
            let used = used.parse::<UnixTime>().unwrap().to_duration().unwrap();
            now.checked_sub(used).expect("the future").as_secs() < 4 * 86_400
        });
        assert!(recent.count() >= 5);
    }
}
