//! Benchmarks of whole listings over loopback, each in a separate process.
//!
//! They measure the cost of a page with both clients and with loops that people would write by hand with
//! the same libraries, in many conditions: `parts/` has a file for each.
//!
//! ```text
//! cargo bench --bench drain              # minutes
//! cargo bench --bench drain -- --quick   # fewer rounds, no million keys
//! cargo bench --bench drain -- sizes     # one part, see `parts/mod.rs`
//! ```

mod concurrent;
mod over_hyper;
mod over_reqwest;
mod over_ureq;
mod parts;
mod simulation;
mod subject;
mod tls;

use std::env;

use atlas_model_keys_benches::arguments::Arguments;
use atlas_model_keys_benches::atlas;
use atlas_model_keys_benches::drain::{self, Loop};
use atlas_model_keys_benches::results;

/// The loops over each library. A listing process gets the name of the library and that of the loop. A further peer is a
/// file with its loops and an entry here, and a subject in some of the parts.
const LIBRARIES: [(&str, &[Loop]); 3] = [
    (UREQ, over_ureq::LOOPS),
    (HYPER, over_hyper::LOOPS),
    (REQWEST, over_reqwest::LOOPS),
];
const UREQ: &str = "ureq";
const HYPER: &str = "hyper";
const REQWEST: &str = "reqwest";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", rest @ ..] => return atlas::serve(rest),
        ["list", task] => {
            let find = |task: &drain::Task| {
                let mut libraries = LIBRARIES.into_iter();
                let (_, loops) = libraries.find(|(name, _)| *name == task.library)?;
                let (_, run) = loops.iter().find(|(how, _)| *how == task.how)?;
                Some(*run)
            };
            return drain::list(task, find).unwrap();
        }
        _ => {}
    }
    let Some(arguments) = Arguments::from_env() else {
        return;
    };
    for (name, measure) in parts::ALL {
        if arguments.includes(name) {
            results::record("drain", measure(arguments.is_quick())).unwrap();
        }
    }
}
