//! The loops that are compared, and their measurements.

use atlas_model_keys_benches::atlas::Atlas;
use atlas_model_keys_benches::drain::{self, Measurement, PER_PAGE, Task};
use atlas_model_keys_benches::results::Row;
use atlas_model_keys_benches::usage::median;

/// One of the compared loops, and its measurements.
pub(crate) struct Subject {
    group: String,
    id: String,
    task: Task,
    /// The number of keys in all listings.
    keys: usize,
    /// The number of pages of all listings.
    pages: usize,
    rounds: Vec<Measurement>,
}

impl Subject {
    /// Creates a subject that lists `keys` keys of the first group, in pages of 500. The library that lists is
    /// not that of the group in every row.
    pub(crate) fn new(
        group: impl Into<String>,
        id: impl Into<String>,
        (library, how): (&str, &str),
        atlas: &Atlas,
        keys: usize,
    ) -> Self {
        let pages = keys.div_ceil(PER_PAGE);
        Self {
            group: group.into(),
            id: id.into(),
            task: Task::new(library, how, atlas, PER_PAGE, pages),
            keys,
            pages,
            rounds: Vec::new(),
        }
    }

    /// Creates a subject that lists the keys of all groups in pages of `per_page`, `repeat` times.
    pub(crate) fn of_groups(
        group: impl Into<String>,
        id: impl Into<String>,
        (library, how): (&str, &str),
        atlas: &Atlas,
        (keys, per_page): (usize, usize),
        repeat: usize,
    ) -> Self {
        let (listings, pages) = (atlas.groups.len() * repeat, keys.div_ceil(per_page));
        Self {
            group: group.into(),
            id: id.into(),
            task: Task::new(library, how, atlas, per_page, pages).with_repeat(repeat),
            keys: listings * keys,
            pages: listings * pages,
            rounds: Vec::new(),
        }
    }

    /// Sets the maximum number of requests in flight.
    pub(crate) fn with_in_flight(mut self, in_flight: usize) -> Self {
        self.task = self.task.with_in_flight(in_flight);
        self
    }

    fn run(&self) -> Measurement {
        let measurement = drain::run(&self.task);
        let expected = match self.task.how.as_str() {
            "replies" | "bare" => self.pages,
            _ => self.keys,
        };
        assert_eq!(measurement.items, expected, "{} {}", self.group, self.id);
        measurement
    }

    fn median(&self, value: impl Fn(&Measurement) -> f64) -> f64 {
        median(self.rounds.iter().map(value))
    }

    fn rows(&self) -> Vec<Row> {
        let cpu = self.median(|measurement| measurement.cpu.as_secs_f64());
        let wall = self.median(|measurement| measurement.wall.as_secs_f64());
        let peak = self.median(|measurement| measurement.peak as f64);
        let row = |unit, value| Row::new(&self.group, &self.id, unit, value);
        vec![
            row("CPU µs/page", cpu * 1e6 / self.pages as f64),
            row("CPU ns/key", cpu * 1e9 / self.keys as f64),
            row("wall ms", wall * 1e3),
            row("peak KiB", peak / 1024.0),
        ]
    }
}

/// Measures all subjects alternately, so that all of them are affected when the machine is busy for a moment.
pub(crate) fn measure(rounds: usize, mut all: Vec<Subject>) -> Vec<Row> {
    for round in 0..=rounds {
        for subject in &mut all {
            let measurement = subject.run();
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
        println!("{:22} {:28} {}", subject.group, subject.id, shown.join(" "));
        rows.extend(measured);
    }
    rows
}
