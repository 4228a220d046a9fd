//! Names, creators and dates of keys as in the projects of a real team.

use crate::calendar::timestamp;
use crate::prng::Prng;

/// The names of the first projects. Atlas documents which characters they can have; a space is not among them.
pub(crate) const PROJECTS: [&str; 6] = [
    "Production",
    "Staging",
    "Data-Science",
    "Development",
    "Research",
    "Internal-Tools",
];

/// The creator of keys that a program made.
pub(crate) const SERVICE_ACCOUNT: &str = "mdb_sa_id_66f2b1d0c3a4e5f607182930";

const JANA: &str = "Jana Novák";
const MARCO: &str = "Marco Rossi";
const AISHA: &str = "Aisha Khan";
const TOM: &str = "Tom Becker";

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The fields of a key that tell who uses it for what.
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) created_at: String,
    /// `None` for a key that was never used.
    pub(crate) last_used_at: Option<String>,
    pub(crate) created_by: &'static str,
    pub(crate) status: &'static str,
}

#[derive(Clone, Copy)]
enum Usage {
    /// Used within the last three days.
    Busy,
    /// Not used for three months or longer.
    Stale,
    /// A few days old, and never used.
    New,
    /// Four months old or older, and never used.
    NeverUsed,
}

use Usage::{Busy, NeverUsed, New, Stale};

type Row = (&'static str, &'static str, Usage);

/// The keys of the first project.
const PRODUCTION: [Row; 20] = [
    ("search-prod", JANA, Busy),
    ("rerank-prod", JANA, Busy),
    ("nightly-embeddings", SERVICE_ACCOUNT, Busy),
    ("support-chatbot", MARCO, Busy),
    ("Jana's notebook", JANA, Stale),
    ("docs-assistant", AISHA, Busy),
    ("catalog-backfill", SERVICE_ACCOUNT, NeverUsed),
    ("recommendations-v1", TOM, Stale),
    ("invoice-classifier", AISHA, New),
    ("fraud-signals", MARCO, Busy),
    ("helpdesk-triage", TOM, Busy),
    ("image-tagging", MARCO, Stale),
    ("semantic-cache", SERVICE_ACCOUNT, Busy),
    ("Tom's laptop", TOM, NeverUsed),
    ("mobile-app", AISHA, Busy),
    ("product-recommendations", TOM, Busy),
    ("legal-search", JANA, Stale),
    ("analytics-export", SERVICE_ACCOUNT, Busy),
    ("onboarding-demo", MARCO, NeverUsed),
    ("contract-summaries", AISHA, New),
];

/// The keys of all other projects.
const OTHERS: [Row; 15] = [
    ("search-staging", JANA, Busy),
    ("rerank-staging", SERVICE_ACCOUNT, Stale),
    ("ci-integration-tests", SERVICE_ACCOUNT, Busy),
    ("hackathon", TOM, NeverUsed),
    ("load-test", MARCO, Stale),
    ("embeddings-evaluation", AISHA, Busy),
    ("chunking-experiment", AISHA, NeverUsed),
    ("Marco's playground", MARCO, Stale),
    ("rag-prototype", TOM, Busy),
    ("multilingual-search", JANA, New),
    ("nightly-regression", SERVICE_ACCOUNT, Busy),
    ("conference-talk", AISHA, Stale),
    ("customer-poc", TOM, NeverUsed),
    ("reranker-comparison", JANA, Busy),
    ("Aisha's notebook", AISHA, Stale),
];

/// Returns the profile of the key with this index. The names repeat with a number.
pub(crate) fn profile(prng: &mut Prng, present: u64, project: usize, index: usize) -> Profile {
    let rows: &[Row] = match project {
        0 => &PRODUCTION,
        _ => &OTHERS,
    };
    let &(name, created_by, usage) = rows.get(index % rows.len()).unwrap_or(&PRODUCTION[0]);
    let mut between = |from: u64, to: u64| from + prng.below(to - from);
    // The projects are at least 600 days old.
    let (age, unused_for) = match usage {
        Busy => (between(100 * DAY, 580 * DAY), Some(between(60, 3 * DAY))),
        Stale => (
            between(260 * DAY, 580 * DAY),
            Some(between(95 * DAY, 240 * DAY)),
        ),
        New => (between(DAY, 6 * DAY), None),
        NeverUsed => (between(120 * DAY, 500 * DAY), None),
    };
    let mut before = |seconds| instant(prng, present.saturating_sub(seconds));
    Profile {
        created_at: before(age),
        last_used_at: unused_for.map(before),
        name: match index / rows.len() {
            0 => name.to_owned(),
            // `search-prod-2`, and `Jana's notebook 2`.
            round => {
                let separator = if name.contains(' ') { ' ' } else { '-' };
                format!("{name}{separator}{}", round + 1)
            }
        },
        created_by,
        // `SUSPENDED` is invented: only `ACTIVE` was ever seen, but the field is a free string.
        status: if index % 19 == 7 {
            "SUSPENDED"
        } else {
            "ACTIVE"
        },
    }
}

/// Formats an instant as Atlas does, in the second that is given.
pub(crate) fn instant(prng: &mut Prng, unix_seconds: u64) -> String {
    // Some have zero microseconds, as real timestamps on a whole second do.
    let microseconds = u32::try_from(prng.below(8) * 124_999).unwrap_or_default();
    timestamp(unix_seconds, microseconds)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use atlas_model_keys_core::UnixTime;

    use super::*;

    const PRESENT: u64 = 1_785_542_400;

    fn profiles(project: usize, count: usize) -> Vec<Profile> {
        let mut prng = Prng::stream(0, "profiles");
        (0..count)
            .map(|index| profile(&mut prng, PRESENT, project, index))
            .collect()
    }

    #[test]
    fn names_are_unique_within_a_project() {
        for project in [0, 1] {
            let profiles = profiles(project, 500);
            let names: HashSet<_> = profiles.iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names.len(), 500);
            assert!(!names.contains(""));
        }
    }

    #[test]
    fn every_kind_of_usage_is_among_the_first_ten_keys() {
        for project in [0, 1] {
            let profiles = profiles(project, 10);
            let seconds = |text: &str| text.parse::<UnixTime>().unwrap().seconds().unsigned_abs();
            let days = |text: &str| PRESENT.checked_sub(seconds(text)).unwrap() / DAY;
            let unused_days = |p: &Profile| p.last_used_at.as_deref().map(days);
            let any = |test: &dyn Fn(&Profile) -> bool| profiles.iter().any(test);
            assert!(any(&|p| unused_days(p).is_some_and(|days| days < 3)));
            assert!(any(&|p| unused_days(p).is_some_and(|days| days >= 90)));
            assert!(any(&|p| unused_days(p).is_none() && days(&p.created_at) < 7));
            assert!(any(
                &|p| unused_days(p).is_none() && days(&p.created_at) >= 120
            ));
            assert!(any(&|p| p.created_by == SERVICE_ACCOUNT));
            let suspended = profiles.iter().filter(|p| p.status != "ACTIVE");
            assert_eq!(suspended.count(), 1);
            for profile in &profiles {
                assert!(days(&profile.created_at) < 600);
                let used = profile.last_used_at.as_deref();
                assert!(used.is_none_or(|used| profile.created_at.as_str() < used));
            }
        }
    }

    #[test]
    fn present_at_the_epoch_does_not_underflow() {
        let mut prng = Prng::stream(0, "");
        for index in 0..100 {
            let profile = profile(&mut prng, 0, index % 2, index);
            assert!(profile.created_at.starts_with("1970-01-01T00:00:00."));
        }
    }
}
