//! Filters: which keys of a listing are kept.

use std::time::Duration;

use atlas_model_keys_core::{KeyField, ModelKey, UnixTime};
use clap::Args;

use crate::args::Format;
use crate::failure::CommandError;

// There is no doc comment, because clap would print it as the description of the command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filters (all that are given must match; not for -o raw)")]
pub(crate) struct FilterArgs {
    /// Keys that were not used for this long, such as 90d
    ///
    /// For a key that was never used, the time since its creation counts, so a new key does not match.
    /// A key whose time is missing or unreadable is kept and marked unknown. A duration has units such as
    /// min, h, d, w, months and y (365.25 days).
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub(crate) unused_for: Option<Duration>,

    /// Keys that were never used, new ones too
    #[arg(long)]
    pub(crate) never_used: bool,

    /// Keys that are at least this old, such as 1y
    ///
    /// A key whose time is missing or unreadable is kept and marked unknown.
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub(crate) older_than: Option<Duration>,

    /// Keys with this status, such as ACTIVE
    ///
    /// Letter case does not matter.
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,

    /// Keys of this creator; repeat it for several
    ///
    /// The whole name is compared. Letter case does not matter.
    #[arg(long, value_name = "WHO")]
    pub(crate) created_by: Vec<String>,

    /// Keys with this name; * is any text: 'prod-*'
    ///
    /// The pattern is compared with the whole name. Letter case does not matter.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) name: Option<String>,
}

impl FilterArgs {
    /// Returns whether all keys are kept.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_time()
            && !self.never_used
            && self.status.is_none()
            && self.created_by.is_empty()
            && self.name.is_none()
    }

    /// Returns whether a key may be kept only because a time of it is unknown.
    pub(crate) fn has_time(&self) -> bool {
        self.unused_for.is_some() || self.older_than.is_some()
    }

    /// Checks that the format can be filtered.
    pub(crate) fn check(&self, format: Format) -> Result<(), CommandError> {
        if format == Format::Raw && !self.is_empty() {
            return Err(CommandError::usage(
                "filters do not go with -o raw, which is the body of a page as Atlas sent it",
            )
            .hint("-o json and -o ndjson have the same fields of each key"));
        }
        Ok(())
    }
}

/// Parses a duration. `m` and `M` are refused, because `--unused-for 3m` would be 3 minutes where people mean months.
fn age(text: &str) -> Result<Duration, String> {
    const RULE: &str = "write a number and a unit, such as 90d, 12h, 2w, 6months or 1y";
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if units.any(|unit| unit.eq_ignore_ascii_case("m")) {
        return Err("m may mean minutes or months: write min or months".to_owned());
    }
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err(format!("it must be longer than 0: {RULE}")),
        Ok(duration) => Ok(duration),
        Err(_) => Err(RULE.to_owned()),
    }
}

/// The decision about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// The key is kept because these times of it are missing or unreadable.
    KeepUnknown(&'static [KeyField]),
    Drop,
}

/// The filters, and the time from which ages are counted.
pub(crate) struct Filter {
    now: UnixTime,
    unused_for: Option<Duration>,
    never_used: bool,
    older_than: Option<Duration>,
    status: Option<String>,
    created_by: Vec<String>,
    name: Option<Pattern>,
}

impl Filter {
    pub(crate) fn new(args: &FilterArgs, now: UnixTime) -> Self {
        Self {
            now,
            unused_for: args.unused_for,
            never_used: args.never_used,
            older_than: args.older_than,
            status: args.status.as_deref().map(folded),
            created_by: args.created_by.iter().map(|who| folded(who)).collect(),
            name: args.name.as_deref().map(Pattern::new),
        }
    }

    /// Decides about a key. A key without the field of a filter does not match. But if the missing field is a time, the
    /// key is kept if all other filters match.
    pub(crate) fn keep(&self, key: ModelKey<'_>) -> Verdict {
        let status = key.status().map(folded);
        let creator = || key.created_by().map(folded);
        let matches = (!self.never_used || key.last_used_at().is_none())
            && (self.status.is_none() || self.status == status)
            && (self.created_by.is_empty()
                || creator().is_some_and(|who| self.created_by.contains(&who)))
            && (self.name.as_ref())
                .is_none_or(|pattern| key.name().is_some_and(|name| pattern.matches(name)));
        let unused = self
            .unused_for
            .map(|duration| key.is_unused_for(duration, self.now));
        let older = self.older_than.map(|duration| {
            let age = key.created_at()?.age(self.now).ok()?;
            Some(age >= duration)
        });
        if !matches || unused == Some(Some(false)) || older == Some(Some(false)) {
            return Verdict::Drop;
        }
        let is_used = key.last_used_at().is_some();
        let is_use_unknown = unused == Some(None) && is_used;
        let is_creation_unknown = older == Some(None) || unused == Some(None) && !is_used;
        match (is_creation_unknown, is_use_unknown) {
            (false, false) => Verdict::Keep,
            (true, false) => Verdict::KeepUnknown(&[KeyField::CreatedAt]),
            (false, true) => Verdict::KeepUnknown(&[KeyField::LastUsedAt]),
            (true, true) => Verdict::KeepUnknown(&[KeyField::CreatedAt, KeyField::LastUsedAt]),
        }
    }
}

/// Removes the differences of letter case, character by character. The upper case comes first, because it is the same
/// for both forms of the Greek sigma.
fn folded(text: &str) -> String {
    let upper = text.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

/// A pattern for a whole name, in which `*` stands for any text.
struct Pattern {
    /// The texts between the stars.
    parts: Vec<String>,
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        Self {
            parts: pattern.split('*').map(folded).collect(),
        }
    }

    /// Searches each part once, from left to right, so the time is linear in the lengths of name and pattern.
    fn matches(&self, name: &str) -> bool {
        let name = folded(name);
        match self.parts.as_slice() {
            [first, middle @ .., last] => name
                .strip_prefix(first.as_str())
                .and_then(|rest| rest.strip_suffix(last.as_str()))
                .and_then(|rest| {
                    let mut parts = middle.iter();
                    parts.try_fold(rest, |rest, part| Some(rest.split_once(part.as_str())?.1))
                })
                .is_some(),
            [whole] => name == *whole,
            [] => name.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;
    const NOW: i64 = 1_800_000_000;

    /// Returns a time that is this many seconds before [`NOW`].
    fn ago(seconds: i64) -> String {
        UnixTime::from_seconds(NOW - seconds).to_string()
    }

    fn key(fields: &[(KeyField, &str)]) -> OwnedModelKey {
        OwnedModelKey::from_fields(fields.iter().copied())
    }

    fn verdict(args: &FilterArgs, fields: &[(KeyField, &str)]) -> Verdict {
        Filter::new(args, UnixTime::from_seconds(NOW)).keep(key(fields).as_key())
    }

    fn days(days: u64) -> Option<Duration> {
        Some(Duration::from_secs(days * 86_400))
    }

    #[test]
    fn key_unused_for_exactly_the_duration_is_kept() {
        let args = FilterArgs {
            unused_for: days(90),
            ..FilterArgs::default()
        };
        let created = ago(400 * DAY);
        for (seconds, expected) in [
            (90 * DAY - 1, Verdict::Drop),
            (90 * DAY, Verdict::Keep),
            (90 * DAY + 1, Verdict::Keep),
            (-DAY, Verdict::Drop),
        ] {
            let at = ago(seconds);
            let used = [
                (KeyField::CreatedAt, &*created),
                (KeyField::LastUsedAt, &at),
            ];
            assert_eq!(verdict(&args, &used), expected, "{seconds}");
            // Never used: its age counts.
            assert_eq!(verdict(&args, &[(KeyField::CreatedAt, &at)]), expected);
        }
    }

    #[test]
    fn key_created_exactly_the_duration_ago_is_kept() {
        let args = FilterArgs {
            older_than: days(365),
            ..FilterArgs::default()
        };
        let used = ago(0);
        for (seconds, expected) in [
            (365 * DAY - 1, Verdict::Drop),
            (365 * DAY, Verdict::Keep),
            (-1, Verdict::Drop),
        ] {
            let created = ago(seconds);
            let fields = [
                (KeyField::CreatedAt, &*created),
                (KeyField::LastUsedAt, &used),
            ];
            assert_eq!(verdict(&args, &fields), expected, "{seconds}");
        }
    }

    #[test]
    fn unknown_times_keep_the_key_only_if_all_other_filters_match() {
        let both = FilterArgs {
            unused_for: days(90),
            older_than: days(90),
            ..FilterArgs::default()
        };
        const CREATED: &[KeyField] = &[KeyField::CreatedAt];
        const USED: &[KeyField] = &[KeyField::LastUsedAt];
        const BOTH: &[KeyField] = &[KeyField::CreatedAt, KeyField::LastUsedAt];
        let (old, new) = (ago(91 * DAY), ago(DAY));
        let used = KeyField::LastUsedAt;
        let created = KeyField::CreatedAt;
        for (fields, expected) in [
            (&[][..], Verdict::KeepUnknown(CREATED)),
            (&[(created, "soon")], Verdict::KeepUnknown(CREATED)),
            (&[(used, &*old)], Verdict::KeepUnknown(CREATED)),
            (&[(used, "soon")], Verdict::KeepUnknown(BOTH)),
            (&[(created, &*old), (used, "")], Verdict::KeepUnknown(USED)),
            (&[(created, &*new), (used, "soon")], Verdict::Drop),
            (&[(used, &*new)], Verdict::Drop),
        ] {
            assert_eq!(verdict(&both, fields), expected, "{fields:?}");
        }
        let never = FilterArgs {
            never_used: true,
            ..both
        };
        assert_eq!(verdict(&never, &[(used, "soon")]), Verdict::Drop);
        assert_eq!(verdict(&never, &[]), Verdict::KeepUnknown(CREATED));
    }

    #[test]
    fn texts_are_compared_whole_and_in_any_letter_case() {
        let args = FilterArgs {
            status: Some("active".to_owned()),
            created_by: ["ZOË O'CONNOR", "Στέλιος"].map(str::to_owned).to_vec(),
            name: Some("Prod*".to_owned()),
            ..FilterArgs::default()
        };
        let with = |status, who, name| {
            let fields = [
                (KeyField::Status, status),
                (KeyField::CreatedBy, who),
                (KeyField::Name, name),
            ];
            verdict(&args, &fields) == Verdict::Keep
        };
        assert!(with("ACTIVE", "Zoë O'Connor", "production"));
        assert!(with("Active", "ΣΤΈΛΙΟΣ", "prod"));
        assert!(!with("INACTIVE", "Zoë O'Connor", "production"));
        assert!(!with("ACTIVE", "Zoë", "production"));
        assert!(!with("ACTIVE", "Zoë O'Connor", "my production"));
        // A missing field does not match.
        let all = [
            (KeyField::Status, "ACTIVE"),
            (KeyField::CreatedBy, "Στέλιος"),
            (KeyField::Name, "prod"),
        ];
        assert_eq!(verdict(&args, &all), Verdict::Keep);
        for missing in 0..3 {
            let mut fields = all.to_vec();
            fields.remove(missing);
            assert_eq!(verdict(&args, &fields), Verdict::Drop, "{fields:?}");
        }
    }

    #[test]
    fn hostile_patterns_take_linear_time() {
        let name = "a".repeat(100_000);
        let pattern = Pattern::new(&("*a".repeat(10_000) + "*b"));
        assert!(!pattern.matches(&name));
        assert!(Pattern::new(&"*".repeat(100_000)).matches(&name));
    }

    #[test]
    fn durations_need_a_unit_that_is_clear() {
        assert_eq!(age("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(age("1y"), Ok(Duration::from_secs(31_557_600)));
        assert_eq!(age("1.5d"), Ok(Duration::from_secs(36 * 3600)));
        assert_eq!(age("1w 2days"), Ok(Duration::from_secs(9 * 86_400)));
        for wrong in [
            "",
            "90",
            "d",
            "-1d",
            "90 fortnights",
            "999999999999999999999y",
        ] {
            let error = age(wrong).unwrap_err();
            assert!(
                error.starts_with("write a number and a unit"),
                "{wrong}: {error}"
            );
        }
        for wrong in ["3m", "3 M", "1y3m"] {
            assert!(age(wrong).unwrap_err().contains("min or months"), "{wrong}");
        }
        assert!(age("0d").unwrap_err().contains("longer than 0"));
    }

    /// Matches by trying every length for each star.
    fn naive_match(pattern: &[char], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ['*', rest @ ..] => (0..=name.len()).any(|skip| naive_match(rest, &name[skip..])),
            [first, rest @ ..] => name
                .split_first()
                .is_some_and(|(c, name)| c == first && naive_match(rest, name)),
        }
    }

    /// A time before [`NOW`] in seconds, near the boundaries; or a text that is none.
    #[derive(Clone, Debug)]
    enum Time {
        Absent,
        Unreadable,
        Ago(i64),
    }

    fn time() -> impl Strategy<Value = Time> {
        prop_oneof![
            Just(Time::Absent),
            Just(Time::Unreadable),
            (0i64..4, -1i64..=1).prop_map(|(days, off)| Time::Ago(days * DAY + off)),
        ]
    }

    impl Time {
        fn text(&self) -> Option<String> {
            match self {
                Self::Absent => None,
                Self::Unreadable => Some("soon".to_owned()),
                Self::Ago(seconds) => Some(ago(*seconds)),
            }
        }

        /// Returns whether the time is at least this many days ago; `None` if it is unknown.
        fn is_before(&self, days: i64) -> Option<bool> {
            match self {
                Self::Ago(seconds) => Some(*seconds >= days * DAY),
                _ => None,
            }
        }
    }

    proptest! {
        #[test]
        fn patterns_match_like_a_naive_matcher(pattern in "[ab*]{0,7}", name in "[abAB]{0,9}") {
            let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
            let expected = naive_match(&chars(&pattern), &chars(&name));
            prop_assert_eq!(Pattern::new(&pattern).matches(&name), expected);
        }

        #[test]
        fn verdicts_are_those_of_a_naive_filter(
            (created, used) in (time(), time()),
            (unused_for, older_than) in (prop::option::of(1i64..4), prop::option::of(1i64..4)),
            never_used: bool,
            (status, name, who) in (
                prop::option::of("[aA]"),
                prop::option::of("[abAB]{0,3}"),
                prop::option::of("[ab]"),
            ),
            (with_status, with_name, with_who) in (
                prop::option::of("[aAb]"),
                prop::option::of("[ab*]{0,3}"),
                prop::collection::vec("[abA]", 0..3),
            ),
        ) {
            let mut fields = Vec::new();
            let (created_at, used_at) = (created.text(), used.text());
            for (field, text) in [
                (KeyField::CreatedAt, &created_at),
                (KeyField::LastUsedAt, &used_at),
                (KeyField::Status, &status),
                (KeyField::Name, &name),
                (KeyField::CreatedBy, &who),
            ] {
                fields.extend(text.as_deref().map(|text| (field, text)));
            }
            let duration = |days: i64| Duration::from_secs(u64::try_from(days * DAY).unwrap());
            let args = FilterArgs {
                unused_for: unused_for.map(duration),
                never_used,
                older_than: older_than.map(duration),
                status: with_status.clone(),
                created_by: with_who.clone(),
                name: with_name.clone(),
            };

            let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
            let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
            let mut is_kept = true;
            let mut unknown = Vec::new();
            if let Some(days) = older_than {
                match created.is_before(days) {
                    Some(is_before) => is_kept &= is_before,
                    None => unknown.push(KeyField::CreatedAt),
                }
            }
            if let Some(days) = unused_for {
                let (time, field) = match used {
                    Time::Absent => (&created, KeyField::CreatedAt),
                    _ => (&used, KeyField::LastUsedAt),
                };
                match time.is_before(days) {
                    Some(is_before) => is_kept &= is_before,
                    None => unknown.push(field),
                }
            }
            unknown.dedup();
            is_kept &= !never_used || used_at.is_none();
            is_kept &= with_status.is_none() || lower(&with_status) == lower(&status);
            is_kept &= with_who.is_empty()
                || with_who.iter().any(|with| Some(with.to_lowercase()) == lower(&who));
            is_kept &= match (&with_name, &name) {
                (None, _) => true,
                (Some(pattern), Some(name)) => naive_match(&chars(pattern), &chars(name)),
                (Some(_), None) => false,
            };
            match verdict(&args, &fields) {
                Verdict::Drop => prop_assert!(!is_kept),
                Verdict::Keep => prop_assert!(is_kept && unknown.is_empty()),
                Verdict::KeepUnknown(found) => {
                    prop_assert!(is_kept);
                    prop_assert_eq!(found, unknown);
                }
            }
        }
    }
}
