//! Benchmarks of whole listings over loopback, each in a separate process.
//!
//! They measure the cost of a page with both clients and with loops that people would write by hand with
//! the same libraries, the effect of a listing's size, and the gain of reading ahead if the latency is
//! high.
//!
//! ```text
//! cargo bench --bench drain              # minutes
//! cargo bench --bench drain -- --quick   # fewer rounds, no million keys
//! cargo bench --bench drain -- sizes     # one part: loops, sizes or read-ahead
//! ```

mod over_hyper;
mod over_reqwest;
mod over_ureq;

use std::env;
use std::time::Duration;

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas::{self, Atlas, BodyEncoding};
use atlas_model_keys_benches::drain::{self, Loop, Measurement, PER_PAGE};
use atlas_model_keys_benches::results::{self, Row};
use atlas_model_keys_benches::usage::median;

/// The loops over each library. A listing process gets the name of the library and that of the loop.
const LIBRARIES: [(&str, &[Loop]); 3] = [
    (UREQ, over_ureq::LOOPS),
    (HYPER, over_hyper::LOOPS),
    (REQWEST, over_reqwest::LOOPS),
];
const UREQ: &str = "ureq";
const HYPER: &str = "hyper";
const REQWEST: &str = "reqwest";

/// The number of keys of a listing: 200 pages.
const KEYS: usize = 100_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", rest @ ..] => return atlas::serve(rest),
        ["list", library, rest @ ..] => {
            let mut libraries = LIBRARIES.into_iter();
            let (_, loops) = libraries.find(|(name, _)| name == library).unwrap();
            return drain::list(loops, rest).unwrap();
        }
        _ => {}
    }
    let Some(arguments) = Arguments::from_env() else {
        return;
    };
    for (name, measure) in PARTS {
        if arguments.includes(name) {
            results::record("drain", measure(arguments.is_quick())).unwrap();
        }
    }
}

/// The name of a part of the benchmark, which can be selected, and its function.
type Part = (&'static str, fn(quick: bool) -> Vec<Row>);

const PARTS: &[Part] = &[
    ("loops", loops),
    ("sizes", sizes),
    ("read-ahead", read_ahead),
];

/// One of the compared loops, and its measurements.
struct Subject<'a> {
    group: String,
    id: &'static str,
    /// The library that lists, which is not that of the group in every row.
    library: &'static str,
    how: &'static str,
    ahead: usize,
    atlas: &'a Atlas,
    keys: usize,
    rounds: Vec<Measurement>,
}

impl Subject<'_> {
    fn median(&self, value: impl Fn(&Measurement) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    fn rows(&self) -> Vec<Row> {
        let pages = self.keys.div_ceil(PER_PAGE) as f64;
        let cpu = self.median(|measurement| measurement.cpu.as_secs_f64());
        let wall = self.median(|measurement| measurement.wall.as_secs_f64());
        let peak = self.median(|measurement| measurement.peak as f64);
        let row = |unit, value| Row::new(&self.group, self.id, unit, value);
        vec![
            row("CPU µs/page", cpu * 1e6 / pages),
            row("CPU ns/key", cpu * 1e9 / self.keys as f64),
            row("wall ms", wall * 1e3),
            row("peak KiB", peak / 1024.0),
        ]
    }
}

/// Measures all subjects alternately, so that all of them are affected when the machine is busy for a moment.
fn measure(rounds: usize, mut all: Vec<Subject<'_>>) -> Vec<Row> {
    for round in 0..=rounds {
        for subject in &mut all {
            let measurement = drain::run(
                subject.library,
                subject.how,
                subject.ahead,
                subject.atlas,
                subject.keys,
            );
            // In the first round the server renders its pages, so it does not count.
            if round > 0 {
                subject.rounds.push(measurement);
            }
        }
    }
    let mut rows = Vec::new();
    for subject in &all {
        let measured = subject.rows();
        let shown: Vec<String> = measured
            .iter()
            .map(|row| format!("{:10.1} {}", row.value, row.unit))
            .collect();
        println!("{:22} {:18} {}", subject.group, subject.id, shown.join(" "));
        rows.extend(measured);
    }
    rows
}

/// Measures 200 pages with every loop, in every encoding.
fn loops(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut rows = Vec::new();
    for encoding in BodyEncoding::ALL {
        let atlas = Atlas::start(KEYS, Duration::ZERO, encoding);
        let subject = |group: &str, id, library, how| Subject {
            group: format!("{group}/{encoding}"),
            id,
            library,
            how,
            ahead: 1,
            atlas: &atlas,
            keys: KEYS,
            rounds: Vec::new(),
        };
        let all = vec![
            subject(UREQ, "bare", UREQ, "bare"),
            subject(UREQ, "replies()", UREQ, "replies"),
            subject(UREQ, "by hand", UREQ, "owned"),
            subject(UREQ, "by hand, read_json", UREQ, "read_json"),
            subject(UREQ, "pages()", UREQ, "pages"),
            subject(UREQ, "keys()", UREQ, "keys"),
            subject(HYPER, "bare", HYPER, "bare"),
            subject(HYPER, "replies()", HYPER, "replies"),
            subject(HYPER, "by hand", HYPER, "owned"),
            subject(HYPER, "by hand, reqwest", REQWEST, "owned"),
            subject(HYPER, "pages()", HYPER, "pages"),
            subject(HYPER, "keys()", HYPER, "keys"),
        ];
        rows.extend(measure(rounds, all));
    }
    rows
}

/// Measures listings of a thousand to a million keys.
fn sizes(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut sizes = vec![("10^3", 1000, 1), ("10^4", 10_000, 1), ("10^5", 100_000, 1)];
    if !quick {
        sizes.push(("10^6", 1_000_000, 1));
    }
    let atlases: Vec<Atlas> = sizes
        .iter()
        .map(|(_, keys, _)| Atlas::start(*keys, Duration::ZERO, BodyEncoding::Length))
        .collect();
    if !quick {
        sizes.push(("10^6, 8 in flight", 1_000_000, 8));
    }
    let mut all = Vec::new();
    for library in [UREQ, HYPER] {
        for (index, (id, keys, ahead)) in sizes.iter().enumerate() {
            all.push(Subject {
                group: format!("{library}/sizes"),
                id,
                library,
                how: "keys",
                ahead: *ahead,
                atlas: atlases.get(index).or(atlases.last()).unwrap(),
                keys: *keys,
                rounds: Vec::new(),
            });
        }
    }
    measure(rounds, all)
}

/// Measures 200 pages with 20 ms latency and with none, with several pages in flight.
fn read_ahead(quick: bool) -> Vec<Row> {
    let rounds = if quick { 1 } else { 5 };
    let mut rows = Vec::new();
    for (distance, latency) in [("20 ms latency", 20), ("no latency", 0)] {
        let atlas = Atlas::start(KEYS, Duration::from_millis(latency), BodyEncoding::Length);
        let mut all = Vec::new();
        for library in [UREQ, HYPER] {
            for (id, how, ahead) in [
                ("by hand", "owned", 1),
                ("1 in flight", "keys", 1),
                ("4 in flight", "keys", 4),
                ("8 in flight", "keys", 8),
                ("16 in flight", "keys", 16),
            ] {
                all.push(Subject {
                    group: format!("{library}/{distance}"),
                    id,
                    library,
                    how,
                    ahead,
                    atlas: &atlas,
                    keys: KEYS,
                    rounds: Vec::new(),
                });
            }
        }
        rows.extend(measure(rounds, all));
    }
    rows
}
