//! Checks every target with random inputs, on any toolchain and without a fuzzing engine: most are seeds with a few
//! changes, the others are random bytes.
//!
//! The inputs are the same on every run. With `PROPTEST_CASES` set, that many new ones are made for each target.

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use atlas_model_keys_properties::{Check, TARGETS, allocations};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// The inputs of a target that `cargo test` makes.
const CASES: u32 = 500;

#[test]
fn properties_hold_for_random_inputs() {
    allocations::count_with(|work| allocation_counter::measure(work).bytes_max);
    thread::scope(|scope| {
        for (name, check) in TARGETS {
            scope.spawn(move || check_random_inputs(name, check));
        }
    });
}

fn check_random_inputs(name: &str, check: Check) {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
        config.rng_seed = RngSeed::Fixed(0);
    }
    let mut runner = TestRunner::new(config);
    let result = runner.run(&inputs(seeds(name)), |input| {
        check(&input);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{name}: {reason}"),
        Err(TestError::Fail(reason, input)) => {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&path, input).expect("the folder for temporary files can be written");
            panic!("{name}: {reason}; the smallest input is {}", path.display());
        }
    }
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../seeds")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("every target has seeds")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed can be read"))
        .collect()
}

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let tails = seeds.clone();
    let change = prop_oneof![
        4 => any::<u8>().prop_map(Change::Replace),
        2 => any::<u8>().prop_map(Change::Insert),
        2 => Just(Change::Remove),
        1 => Just(Change::Truncate),
        1 => (select(tails), any::<Index>()).prop_map(|(seed, at)| Change::Splice(seed, at)),
    ];
    prop_oneof![
        4 => (select(seeds), vec((any::<Index>(), change), 1..6)).prop_map(|(seed, changes)| {
            changes.into_iter().fold(seed, |input, (at, change)| change.apply(input, at))
        }),
        1 => vec(any::<u8>(), 0..512),
    ]
}

/// A change at a place of a seed.
#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Insert(u8),
    Remove,
    Truncate,
    /// The end of another seed follows.
    Splice(Vec<u8>, Index),
}

impl Change {
    fn apply(self, mut input: Vec<u8>, at: Index) -> Vec<u8> {
        if input.is_empty() {
            return input;
        }
        let at = at.index(input.len());
        match self {
            Self::Replace(byte) => input[at] = byte,
            Self::Insert(byte) => input.insert(at, byte),
            Self::Remove => _ = input.remove(at),
            Self::Truncate => input.truncate(at),
            Self::Splice(other, from) => {
                input.truncate(at);
                input.extend(&other[from.index(other.len() + 1)..]);
            }
        }
        input
    }
}
