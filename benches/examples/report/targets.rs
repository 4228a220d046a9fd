//! The report's first section: the ratios that matter most, what they must be, and the aim.

use crate::Section;
use crate::criterion::TIME;
use crate::rows::{CPU, Rows, WALL};
use crate::sweeps::{CALLERS, FAR, SHARED_LIMIT, USED};
use crate::text::{digits, table};

/// The measurements that the ratios are computed from.
pub(crate) struct Measured<'a> {
    /// The small operations.
    pub(crate) small: Rows<'a>,
    pub(crate) drain: Rows<'a>,
    pub(crate) start: Rows<'a>,
}

/// Returns the ratio as it was measured, or `None` if it was not.
type Now = fn(&Measured<'_>) -> Option<String>;

/// A row: what is measured, the measured ratio, what it must be, and the aim.
type Target = (&'static str, Now, &'static str, &'static str);

const TARGETS: &[Target] = &[
    (
        "page of 500, borrowed and visited / serde_json, owned: time",
        |all| all.page("ours, borrowed/500"),
        "0.26",
        "0.23",
    ),
    (
        "page of 500, owned / serde_json, owned: time",
        |all| all.page("ours, owned/500"),
        "0.38",
        "0.35",
    ),
    (
        "`pages()` / loop by hand over ureq, hyper: CPU",
        |all| all.listing("content-length", "pages()"),
        "0.40, 0.32",
        "0.36, 0.28",
    ),
    (
        "`keys()` / loop by hand over ureq, hyper: CPU",
        |all| all.listing("content-length", "keys()"),
        "0.45",
        "0.38",
    ),
    (
        "`pages()` / loop by hand over hyper, chunks of 1 to 1,024 bytes: CPU",
        |all| {
            let group = "hyper/small chunks";
            let ratio = all.drain.ratio((group, "pages()"), (group, "by hand"), CPU);
            ratio.map(digits)
        },
        "0.70",
        "0.60",
    ),
    (
        "4 pages in flight without latency, ureq, hyper: times as fast as one",
        |all| {
            all.of_both(|library| {
                let group = format!("{library}/no latency");
                let (one, four) = ((&*group, "1 in flight"), (&*group, "4 in flight"));
                all.drain.ratio(one, four, WALL)
            })
        },
        "2.2, 1.9",
        "2.4, 2.2",
    ),
    (
        "connection for each page over TLS, ureq, hyper: resumed / not resumed, CPU",
        |all| {
            all.of_both(|library| {
                let id = format!("{library}, pages()");
                all.drain.ratio(("tls/resumed", &id), ("tls/new", &id), CPU)
            })
        },
        "0.6",
        "0.5",
    ),
    (
        "command over TLS / curl: wall",
        |all| {
            let (ours, curl) = ("atlas-model-keys list", "curl");
            let group = "start-tls";
            let ratio = all.start.ratio((group, ours), (group, curl), "wall µs");
            ratio.map(digits)
        },
        "0.20",
        "0.15",
    ),
    (
        "sweep with 20 ms latency, 8 in flight, ureq, hyper: times as fast as one",
        |all| {
            all.of_both(|library| {
                let [one, eight] = [1, 8].map(|n| format!("{library}, sweep(), {n} in flight"));
                all.drain.ratio((FAR, &one), (FAR, &eight), WALL)
            })
        },
        "7.0",
        "7.5",
    ),
    (
        "sweep under a shared rate limit, 8 in flight: part of the rate that is used",
        |all| {
            let used = all.drain.value(SHARED_LIMIT, "sweep(), 8 in flight", USED);
            used.map(|used| format!("{used:.1} %"))
        },
        "95 %",
        "99 %",
    ),
    (
        "100 callers of a client / one caller, ureq, hyper: CPU per page",
        |all| {
            all.of_both(|library| {
                let one = format!("{library}, pages(), 1 caller");
                let many = format!("{library}, pages(), 100 callers");
                all.drain.ratio((CALLERS, &many), (CALLERS, &one), CPU)
            })
        },
        "1.15",
        "1.05",
    ),
    (
        "dialogue of a session with a known nonce / dialogue by hand: instructions",
        |all| {
            let (ours, by_hand) = ("ours, API key, nonce there", "by hand, bearer token");
            let (ours, by_hand) = (("session", ours), ("session", by_hand));
            all.small.ratio(ours, by_hand, "instructions").map(digits)
        },
        "1.4",
        "1.2",
    ),
];

impl Measured<'_> {
    /// Returns the section, if anything was measured.
    pub(crate) fn section(&self) -> Option<Section> {
        let all = [&self.small, &self.drain, &self.start];
        let lines = TARGETS.iter().map(|(what, now, must, aim)| {
            let now = now(self).unwrap_or_default();
            vec![(*what).to_owned(), now, (*must).into(), (*aim).into()]
        });
        all.iter().any(|rows| !rows.0.is_empty()).then(|| Section {
            name: "targets".to_owned(),
            text: table(&["what", "now", "must", "aim"], lines),
            plot: None,
        })
    }

    fn page(&self, id: &str) -> Option<String> {
        let baseline = ("page", "serde_json, owned structs/500");
        self.small.ratio(("page", id), baseline, TIME).map(digits)
    }

    fn listing(&self, encoding: &str, id: &str) -> Option<String> {
        self.of_both(|library| {
            let group = format!("{library}/{encoding}");
            self.drain.ratio((&group, id), (&group, "by hand"), CPU)
        })
    }

    /// Formats the ratio of each library.
    fn of_both(&self, ratio: impl Fn(&str) -> Option<f64>) -> Option<String> {
        let [ureq, hyper] = ["ureq", "hyper"].map(ratio);
        Some(format!("{}, {}", digits(ureq?), digits(hyper?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_model_keys_benches::results::Row;

    #[test]
    fn measured_ratio_is_shown_and_others_are_empty() {
        let group = "hyper/small chunks";
        let drain = [
            Row::new(group, "pages()", CPU, 600.0),
            Row::new(group, "by hand", CPU, 1000.0),
        ];
        let measured = |drain| Measured {
            small: Rows(&[]),
            drain: Rows(drain),
            start: Rows(&[]),
        };
        assert!(measured(&[]).section().is_none());
        let text = measured(&drain).section().unwrap().text;
        assert!(
            text.contains("1,024 bytes: CPU | 0.60 | 0.70 | 0.60 |\n"),
            "{text}"
        );
        assert!(text.contains("command over TLS / curl: wall |  | 0.20 | 0.15 |\n"));
    }
}
