//! `completions`: prints the completions of a shell.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::environment::Environment;
use crate::failure::CommandError;
use crate::output::{self, Stdout};

pub(crate) fn run(args: &CompletionsArgs, environment: &Environment) -> Result<(), CommandError> {
    let stdout = Stdout::new(environment)?;
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    // The generator panics if a write fails, so it does not write to stdout.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, &name, &mut script);
    // For bash, clap_complete 4.6.11 spells the hyphens of the name in two ways, so that no options of commands would be
    // completed (https://github.com/clap-rs/clap/issues/6421).
    let [wrong, right] = ["__subcmd__", "__"].map(|hyphen| name.replace('-', hyphen));
    let script = String::from_utf8_lossy(&script).replace(&wrong, &right);
    output::write_whole(&stdout, script.as_bytes()).map_err(|error| CommandError::stdout(&error))
}
