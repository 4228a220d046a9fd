//! The command line.

use std::ffi::OsString;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;

use crate::Error;
use crate::report::Format;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
Fuzzes the targets, minimizes the corpora, and reports executions, coverage and findings.

Usage: cargo run --release --manifest-path fuzz/campaign/Cargo.toml -- [OPTIONS] [TARGET ...]

Without a target, all of them run, one after another.

Options:
  --time TIME       for each target, such as 90s, 30m or 2h [default: 60s]
  --workers N       processes at a time [default: the number of cores]
  --sanitizer NAME  none, or address: it needs a nightly toolchain, and takes twice as long [default: none]
  --json            write the report as JSON
  --coverage        do not fuzz, but report which regions of the core the corpora reach
  -h, --help        print this text

Exit codes: 0 without findings, 1 with findings, 2 for wrong arguments or a failed build, 130 after Ctrl-C.
";

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Run(Arguments),
}

/// A tool of the compiler that finds errors in memory accesses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sanitizer {
    None,
    Address,
}

/// The options of a campaign.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// The chosen targets. None means all.
    pub(crate) targets: Vec<String>,
    /// The time for each target.
    pub(crate) time: Duration,
    pub(crate) workers: usize,
    pub(crate) sanitizer: Sanitizer,
    pub(crate) format: Format,
    pub(crate) coverage: bool,
}

/// Parses the command line. The first argument is the program.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut parsed = Arguments {
        targets: Vec::new(),
        time: Duration::from_secs(60),
        workers: available_parallelism().map_or(1, NonZero::get),
        sanitizer: Sanitizer::None,
        format: Format::Table,
        coverage: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("time") => parsed.time = time(&parser.value()?.string()?)?,
            Long("workers") => {
                let workers = parser.value()?.string()?;
                let number = workers.parse::<NonZero<usize>>();
                let rule = || format!("--workers is a number from 1, not {workers:?}");
                parsed.workers = number.map_err(|_| rule())?.get();
            }
            Long("sanitizer") => {
                parsed.sanitizer = match parser.value()?.string()?.as_str() {
                    "none" => Sanitizer::None,
                    "address" => Sanitizer::Address,
                    other => {
                        return Err(format!("--sanitizer is none or address, not {other:?}").into());
                    }
                };
            }
            Long("json") => parsed.format = Format::Json,
            Long("coverage") => parsed.coverage = true,
            Value(target) => parsed.targets.push(target.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Run(parsed))
}

/// Parses a time of at least one second: a number and a unit.
fn time(text: &str) -> Result<Duration, Error> {
    let parsed = text.char_indices().next_back().and_then(|(at, unit)| {
        let number: u64 = text.get(..at)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return None,
        };
        number.checked_mul(seconds).filter(|seconds| *seconds > 0)
    });
    let rule = "--time is a whole number with the unit s, m or h, such as 90s or 30m, not";
    Ok(Duration::from_secs(
        parsed.ok_or_else(|| format!("{rule} {text:?}"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, Error> {
        parse(["campaign"].iter().chain(arguments).map(OsString::from))
    }

    #[test]
    fn options_and_targets_are_read_in_any_order() {
        let arguments = [
            "wire",
            "--time",
            "2h",
            "--workers=3",
            "--json",
            "page",
            "--sanitizer",
            "address",
        ];
        let Ok(Command::Run(run)) = parsed(&arguments) else {
            panic!("the arguments are valid");
        };
        let expected = Arguments {
            targets: vec!["wire".into(), "page".into()],
            time: Duration::from_secs(7200),
            workers: 3,
            sanitizer: Sanitizer::Address,
            format: Format::Json,
            coverage: false,
        };
        assert_eq!(run, expected);
        assert!(matches!(parsed(&["--time", "1s", "-h"]), Ok(Command::Help)));
    }

    #[test]
    fn wrong_values_are_refused_with_the_rule() {
        for (arguments, rule) in [
            (&["--time", "5"][..], "not \"5\""),
            (&["--time", "0s"], "whole number"),
            (&["--time", "99999999999999999999h"], "whole number"),
            (&["--time", "5é"], "whole number"),
            (&["--time"], "missing argument"),
            (&["--workers", "0"], "--workers"),
            (&["--sanitizer", "memory"], "none or address"),
            (&["--unknown"], "--unknown"),
        ] {
            let error = parsed(arguments)
                .expect_err("the arguments are wrong")
                .to_string();
            assert!(error.contains(rule), "{arguments:?}: {error}");
        }
    }
}
