//! Sorts inputs that failed by the place of the failure, and keeps the smallest of each place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine::Engine;
use crate::{Error, STEP, scratch_folder};

/// The place of a failure, with the smallest known input.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// Where the program panicked, or how else it failed.
    pub(crate) place: String,
    /// The first line of the message.
    pub(crate) message: String,
    pub(crate) input: PathBuf,
    /// How many inputs failed at this place.
    pub(crate) inputs: usize,
}

/// A failure that the output of a program describes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Failure {
    place: String,
    message: String,
}

/// Runs each input again, and returns a finding for each place. It removes all inputs but the smallest of each place, and
/// keeps those that do not fail again apart.
pub(crate) fn collect(engine: &Engine, inputs: Vec<PathBuf>) -> Result<Vec<Finding>, Error> {
    let mut by_place: BTreeMap<String, (Failure, Vec<(u64, PathBuf)>)> = BTreeMap::new();
    for input in inputs {
        let (fails, output) = engine.run_input(&input)?;
        if !fails {
            // It was too slow, or took too much memory, on a busy machine only.
            let kept = engine
                .artifacts()
                .join(file_name("not reproduced", &fs::read(&input)?));
            eprintln!(
                "an input did not fail again, and is no finding: {}",
                kept.display()
            );
            fs::rename(&input, kept)?;
            continue;
        }
        let failure = failure(&output);
        let size = fs::metadata(&input)?.len();
        let (_, known) = by_place
            .entry(failure.place.clone())
            .or_insert((failure, Vec::new()));
        known.push((size, input));
    }
    let mut findings = Vec::new();
    for (place, (failure, mut inputs)) in by_place {
        inputs.sort();
        let mut kept = Vec::new();
        if let Some((_, smallest)) = inputs.first() {
            kept = fs::read(smallest)?;
            if let Some(smaller) = minimize(engine, smallest, &place)? {
                kept = smaller;
            }
        }
        let input = engine.artifacts().join(file_name(&place, &kept));
        fs::write(&input, kept)?;
        for (_, sorted) in &inputs {
            fs::remove_file(sorted)?;
        }
        findings.push(Finding {
            place,
            message: failure.message,
            input,
            inputs: inputs.len(),
        });
    }
    Ok(findings)
}

/// Returns a smaller input that fails at the same place.
fn minimize(engine: &Engine, input: &Path, place: &str) -> Result<Option<Vec<u8>>, Error> {
    let scratch = scratch_folder("smaller")?;
    let smaller = scratch.0.join("input");
    engine.minimize_input(input, &smaller, STEP)?;
    if !smaller.is_file() {
        return Ok(None);
    }
    let (fails, output) = engine.run_input(&smaller)?;
    let is_same = fails && failure(&output).place == place;
    Ok(if is_same {
        Some(fs::read(&smaller)?)
    } else {
        None
    })
}

/// Reads the place and the message from what a program wrote: a panic, an error of AddressSanitizer or one of libFuzzer.
fn failure(output: &str) -> Failure {
    let lines: Vec<&str> = output.lines().collect();
    let panic = lines.iter().enumerate().find_map(|(number, line)| {
        let (_, place) = line.split_once(" panicked at ")?;
        let message = lines.get(number + 1).copied().unwrap_or_default();
        Some(Failure {
            place: place.trim_end_matches(':').to_owned(),
            message: message.to_owned(),
        })
    });
    let summary = || {
        let text = lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("SUMMARY: "))?;
        // `AddressSanitizer: heap-use-after-free /path/file.rs:1:2 in name`, `libFuzzer: timeout`
        Some(Failure {
            place: text.to_owned(),
            message: text.to_owned(),
        })
    };
    panic.or_else(summary).unwrap_or_else(|| Failure {
        place: "unknown place".into(),
        message: lines.last().copied().unwrap_or_default().to_owned(),
    })
}

/// Returns the name of a finding's file: the place without what a file name cannot have, and a hash of the input.
fn file_name(place: &str, input: &[u8]) -> String {
    let place = place.rsplit_once("src/").map_or(place, |(_, end)| end);
    let mut name: String = place
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .take(80)
        .collect();
    // FNV-1a: names only have to differ.
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    name += &format!("-{hash:016x}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_that_of_the_panic_or_of_the_summary() {
        let panic = "INFO: Seed: 1\n\nthread '<unnamed>' (70) panicked at properties/src/targets/wire.rs:38:13:\n\
             a request\nmore\n==70== ERROR: libFuzzer: deadly signal\nSUMMARY: libFuzzer: deadly signal\n";
        let expected = |place: &str, message: &str| Failure {
            place: place.into(),
            message: message.into(),
        };
        assert_eq!(
            failure(panic),
            expected("properties/src/targets/wire.rs:38:13", "a request")
        );
        let slow = "==5== ERROR: libFuzzer: timeout after 5 seconds\nSUMMARY: libFuzzer: timeout\n";
        assert_eq!(failure(slow).place, "libFuzzer: timeout");
        assert_eq!(failure("killed").place, "unknown place");
        assert_eq!(failure("").message, "");
    }

    #[test]
    fn file_name_has_only_harmless_characters() {
        assert_eq!(
            file_name("/a b/src/targets/wire.rs:38:13", b""),
            "targets-wire.rs-38-13-cbf29ce484222325"
        );
        assert_ne!(file_name("a", b"x"), file_name("a", b"y"));
    }
}
