//! `atlas-model-keys`: lists the AI model API keys of MongoDB Atlas projects, and emulates Atlas.
//!
//! ```text
//!  args ─▶ list ──▶ client ──▶ Atlas, or with --demo the emulator
//!    │      │  └──▶ output: table · json · csv · raw ──▶ stdout
//!    │      └─────▶ failure: one block on stderr, one exit code
//!    └──▶ emulate ▶ the emulator on 127.0.0.1
//! ```
// The standard library's macros panic where the other end of a pipe is gone, and nothing that
// comes from outside may end in a panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]

#[expect(
    clippy::doc_markdown,
    reason = "its doc comments are what --help prints"
)]
mod args;
mod credentials;
mod emulate;
mod environment;
mod failure;
mod list;
mod output;
mod progress;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::failure::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return help_or_usage(&error),
    };
    let environment = Environment::of_this_process();
    let outcome = match &cli.command {
        Command::List(args) => list::run(args, &environment),
        Command::Emulate(args) => emulate::run(args),
    };
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(failure) => failure.report(),
    }
}

/// What clap has to say. It repeats arguments as they came, so its errors are made fit to be shown.
fn help_or_usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    // There is nowhere left to complain where these fail.
    if error.use_stderr() {
        let _ = io::stderr().write_all(output::text::visible_lines(&text).as_bytes());
        Exit::Usage.into()
    } else {
        let _ = io::stdout().write_all(text.as_bytes());
        Exit::Done.into()
    }
}
