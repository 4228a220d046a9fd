//! Whole listings, each in a process of its own, over loopback: what a page costs both clients, beside
//! loops that people would write by hand with the same libraries; what a listing's size changes; and
//! what reading ahead gains where Atlas is far away.
//!
//! ```text
//! cargo bench -p atlas-model-keys-benches --bench drain              # minutes
//! cargo bench -p atlas-model-keys-benches --bench drain -- --quick   # fewer rounds, no million keys
//! cargo bench -p atlas-model-keys-benches --bench drain -- sizes     # one part: loops, sizes or read-ahead
//! ```

use std::env;
use std::time::Duration;

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas::{self, Atlas, Delivery};
use atlas_model_keys_benches::drain::{self, Drained, PER_PAGE};
use atlas_model_keys_benches::results::{self, Row};
use atlas_model_keys_benches::usage::median;

const UREQ: &str = env!("CARGO_BIN_EXE_drain-ureq");
const HYPER: &str = env!("CARGO_BIN_EXE_drain-hyper");
const REQWEST: &str = env!("CARGO_BIN_EXE_drain-reqwest");

/// 200 pages.
const KEYS: usize = 100_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["serve", rest @ ..] = arguments.as_slice() {
        return atlas::serve(rest);
    }
    let Some(arguments) = Arguments::of_bench() else {
        return;
    };
    for (name, measure) in PARTS {
        if arguments.wants(name) {
            results::record("drain", measure(arguments.is_quick())).unwrap();
        }
    }
}

/// What is measured together, and may be chosen by name.
type Part = (&'static str, fn(quick: bool) -> Vec<Row>);

const PARTS: &[Part] = &[
    ("loops", loops),
    ("sizes", sizes),
    ("read-ahead", read_ahead),
];

/// One of the things that are compared, and what came of it.
struct Measured<'a> {
    group: String,
    id: &'static str,
    program: &'static str,
    how: &'static str,
    ahead: usize,
    atlas: &'a Atlas,
    keys: usize,
    rounds: Vec<Drained>,
}

impl Measured<'_> {
    fn median(&self, value: impl Fn(&Drained) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    fn rows(&self) -> Vec<Row> {
        let pages = self.keys.div_ceil(PER_PAGE) as f64;
        let cpu = self.median(|drained| drained.cpu.as_secs_f64());
        let wall = self.median(|drained| drained.wall.as_secs_f64());
        let peak = self.median(|drained| drained.peak as f64);
        let row = |unit, value| Row::new(&self.group, self.id, unit, value);
        vec![
            row("CPU µs/page", cpu * 1e6 / pages),
            row("CPU ns/key", cpu * 1e9 / self.keys as f64),
            row("wall ms", wall * 1e3),
            row("peak KiB", peak / 1024.0),
        ]
    }
}

/// One round of each after the other, so that a busy moment of the machine strikes all of them.
fn measure(rounds: usize, mut all: Vec<Measured<'_>>) -> Vec<Row> {
    for round in 0..=rounds {
        for one in &mut all {
            let drained = drain::run(one.program, one.how, one.ahead, one.atlas, one.keys);
            // The first is for the server, which renders its pages then.
            if round > 0 {
                one.rounds.push(drained);
            }
        }
    }
    let mut rows = Vec::new();
    for one in &all {
        let measured = one.rows();
        let shown: Vec<String> = measured
            .iter()
            .map(|row| format!("{:10.1} {}", row.value, row.unit))
            .collect();
        println!("{:22} {:18} {}", one.group, one.id, shown.join(" "));
        rows.extend(measured);
    }
    rows
}

/// 200 pages with every loop, in every delivery.
fn loops(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut rows = Vec::new();
    for delivery in Delivery::ALL {
        let atlas = Atlas::start(KEYS, Duration::ZERO, delivery);
        let one = |library: &str, id, program, how| Measured {
            group: format!("{library}/{delivery}"),
            id,
            program,
            how,
            ahead: 1,
            atlas: &atlas,
            keys: KEYS,
            rounds: Vec::new(),
        };
        let all = vec![
            one("ureq", "bare", UREQ, "bare"),
            one("ureq", "replies()", UREQ, "replies"),
            one("ureq", "by hand", UREQ, "owned"),
            one("ureq", "by hand, read_json", UREQ, "read_json"),
            one("ureq", "pages()", UREQ, "pages"),
            one("ureq", "keys()", UREQ, "keys"),
            one("hyper", "bare", HYPER, "bare"),
            one("hyper", "replies()", HYPER, "replies"),
            one("hyper", "by hand", HYPER, "owned"),
            one("hyper", "by hand, reqwest", REQWEST, "owned"),
            one("hyper", "pages()", HYPER, "pages"),
            one("hyper", "keys()", HYPER, "keys"),
        ];
        rows.extend(measure(rounds, all));
    }
    rows
}

/// From a thousand keys to a million.
fn sizes(quick: bool) -> Vec<Row> {
    let rounds = if quick { 3 } else { 15 };
    let mut sizes = vec![("10^3", 1000, 1), ("10^4", 10_000, 1), ("10^5", 100_000, 1)];
    if !quick {
        sizes.push(("10^6", 1_000_000, 1));
    }
    let atlases: Vec<Atlas> = sizes
        .iter()
        .map(|(_, keys, _)| Atlas::start(*keys, Duration::ZERO, Delivery::Length))
        .collect();
    if !quick {
        sizes.push(("10^6, 8 in flight", 1_000_000, 8));
    }
    let mut all = Vec::new();
    for (library, program) in [("ureq", UREQ), ("hyper", HYPER)] {
        for (index, (id, keys, ahead)) in sizes.iter().enumerate() {
            all.push(Measured {
                group: format!("{library}/sizes"),
                id,
                program,
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

/// 200 pages from 20 ms away and from next door, several at a time.
fn read_ahead(quick: bool) -> Vec<Row> {
    let rounds = if quick { 1 } else { 5 };
    let mut rows = Vec::new();
    for (distance, latency) in [("20 ms away", 20), ("next door", 0)] {
        let atlas = Atlas::start(KEYS, Duration::from_millis(latency), Delivery::Length);
        let mut all = Vec::new();
        for (library, program) in [("ureq", UREQ), ("hyper", HYPER)] {
            for (id, how, ahead) in [
                ("by hand", "owned", 1),
                ("1 in flight", "keys", 1),
                ("4 in flight", "keys", 4),
                ("8 in flight", "keys", 8),
                ("16 in flight", "keys", 16),
            ] {
                all.push(Measured {
                    group: format!("{library}/{distance}"),
                    id,
                    program,
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
