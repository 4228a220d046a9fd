//! `atlas-model-keys`: lists the AI model API keys of MongoDB Atlas projects, finds the entries of leaked keys,
//! hands out access tokens, and emulates Atlas.
//!
//! ```text
//!  args ─▶ list ──▶ reader ──▶ service: the client ──▶ Atlas, or with --demo the emulator
//!    │      │  └──▶ output: table · json · csv · raw ──▶ stdout
//!    │      └─────▶ failure: one block on stderr, one exit code
//!    ├──▶ find ───▶ reader and output, as for list; leaked: the keys from stdin
//!    ├──▶ token ──▶ service ──▶ an access token on stdout
//!    ├──▶ emulate ▶ the emulator, on 127.0.0.1 unless --bind says otherwise
//!    └──▶ completions, man ▶ texts made of args
//! ```
// The standard library's print macros panic if the reader has closed the pipe, and no outside event may
// cause a panic.
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
mod completions;
mod credentials;
mod demo;
mod emulate;
mod environment;
mod failure;
mod filter;
mod find;
mod leaked;
mod list;
mod log;
mod man;
mod output;
mod progress;
mod reader;
mod service;
mod signals;
mod sources;
mod summary;
mod token;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use atlas_model_keys_core::InvalidValue;
use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::failure::{CommandError, Exit};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|command| command == "help") {
        // Clap takes the option for the name of a command.
        arguments.retain(|argument| argument != "--help" && argument != "-h");
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return help_or_usage(&error, &arguments),
    };
    leave_no_core_file();
    let environment = Environment::of_this_process();
    let outcome = match &cli.command {
        Command::List(args) => list::run(args, &environment),
        Command::Find(args) => find::run(args, &environment),
        Command::Token(args) => token::run(args, &environment),
        Command::Emulate(args) => emulate::run(args),
        Command::Completions(args) => completions::run(args, &environment),
        Command::Man => man::run(&environment),
    };
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(failure) => failure.report(),
    }
}

/// Makes sure that a crash leaves no core file, which would have the credentials.
#[cfg(unix)]
fn leave_no_core_file() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A limit can always be lowered.
    let _ = setrlimit(Resource::Core, none);
}

#[cfg(not(unix))]
fn leave_no_core_file() {}

/// Prints the help, or clap's error. Clap repeats arguments unchanged, so the error is that of the same arguments
/// after everything that looks like a credential was replaced; unsafe characters are escaped.
fn help_or_usage(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let text = error.render().to_string();
        let mut stdout = io::stdout();
        let written = stdout.write_all(text.as_bytes());
        return match written.and_then(|()| stdout.flush()) {
            Ok(()) => Exit::Done.into(),
            Err(error) => CommandError::stdout(&error).report(),
        };
    }
    if arguments.get(1).is_some_and(|command| command == "find") && is_positional(error, arguments)
    {
        return find::refused_argument().report();
    }
    let text = match arguments
        .iter()
        .any(|argument| shown(argument) != *argument)
    {
        false => error.render().to_string(),
        true => match Cli::try_parse_from(arguments.iter().map(shown)) {
            Err(error) => error.render().to_string(),
            // Unlikely: the arguments are valid after the replacement.
            Ok(_) => format!("error: {}\n", error.kind()),
        },
    };
    // If this fails, there is no other place to report it.
    let _ = io::stderr().write_all(output::text::visible_lines(&text).as_bytes());
    Exit::Usage.into()
}

/// Returns whether the error is about an argument that is not an option.
fn is_positional(error: &clap::Error, arguments: &[OsString]) -> bool {
    let has_escape = || arguments.iter().any(|argument| argument == "--");
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if error.kind() == ErrorKind::UnknownArgument => {
            !argument.starts_with('-') || argument == "-" || has_escape()
        }
        _ => false,
    }
}

/// Returns the argument as it may be shown. If it looks like a credential, only its option remains.
fn shown(argument: &OsString) -> OsString {
    const REDACTED: &str = "[redacted]";
    let text = argument.to_string_lossy();
    // The value may follow a short option at once.
    let value = text.strip_prefix('-').map_or("", |rest| {
        let mut chars = rest.chars();
        chars.next();
        chars.as_str()
    });
    if ![&text, value]
        .into_iter()
        .any(InvalidValue::looks_like_credential)
    {
        return argument.clone();
    }
    match text.split_once('=') {
        Some((option, _))
            if option.starts_with("--") && !InvalidValue::looks_like_credential(option) =>
        {
            format!("{option}={REDACTED}").into()
        }
        _ => REDACTED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_look_like_a_credential_are_not_shown() {
        for (argument, as_shown) in [
            ("list", "list"),
            ("--group-id", "--group-id"),
            ("69681d39c9e8cfd375386316", "69681d39c9e8cfd375386316"),
            ("mdb_sa_sk_hunter2", "[redacted]"),
            ("-omdb_sa_sk_hunter2", "[redacted]"),
            ("-oeyJhunter2", "[redacted]"),
            ("--group-id=mdb_sa_sk_hunter2", "--group-id=[redacted]"),
            ("--mdb_sa_sk_hunter2=x", "[redacted]"),
            ("x=mdb_sa_sk_hunter2", "[redacted]"),
            ("https://me:hun ter2@a.example", "[redacted]"),
        ] {
            assert_eq!(shown(&argument.into()), as_shown);
        }
    }
}
