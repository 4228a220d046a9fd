//! `man`: prints the manual page.

use std::fmt::Write as _;
use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::{self, Cli};
use crate::environment::Environment;
use crate::failure::{self, CommandError};
use crate::output::{self, Stdout};

pub(crate) fn run(environment: &Environment) -> Result<(), CommandError> {
    let stdout = Stdout::new(environment)?;
    let written = page().and_then(|page| output::write_whole(&stdout, page.as_bytes()));
    written.map_err(|error| CommandError::stdout(&error))
}

/// Returns the page. It has all commands, because a reader who knows only the name of the program opens only this page.
/// What several commands have in common comes once, at the end.
fn page() -> io::Result<String> {
    // The renderer would leave out the help of options that only `-h` hides.
    let mut command = Cli::command()
        .mut_subcommands(|command| command.mut_args(|arg| arg.hide_short_help(false)));
    command.build();
    let mut page = Vec::new();
    // The page has no date. An empty one is needed, because roff finds the arguments of the title by their position.
    let man = Man::new(command.clone())
        .date("\"\"")
        .manual("User Commands");
    man.render_title(&mut page)?;
    // Readers copy names of variables, so no line break may divide a name.
    let mut whole_words = Roff::new();
    whole_words.control("nh", []).control("ad", ["l"]);
    whole_words.to_writer(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    examples(&command).to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    for command in command.get_subcommands() {
        if command.get_name() != "help" {
            page.extend(section(command)?);
        }
    }
    for (title, text) in [
        ("ENVIRONMENT", args::CREDENTIALS),
        ("EXIT STATUS", &failure::exit_codes()),
    ] {
        let mut roff = Roff::new();
        roff.control("SH", [title]);
        push_verbatim(&mut roff, text);
        roff.to_writer(&mut page)?;
    }
    Ok(ascii(&String::from_utf8_lossy(&page)))
}

/// Returns the section of a command.
fn section(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut section = Vec::new();
    man.render_description_section(&mut section)?;
    man.render_synopsis_section(&mut section)?;
    man.render_options_section(&mut section)?;
    let text = String::from_utf8_lossy(&section);
    let mut section = Vec::new();
    for line in text.lines() {
        // What would be a section of a separate page is a subsection here.
        let line = match line.strip_prefix(".SH ") {
            Some("DESCRIPTION") => format!(".SH {}", command.get_name().to_uppercase()),
            Some("SYNOPSIS") => ".PP".to_owned(),
            Some(title) => format!(".SS {title}"),
            None => line.to_owned(),
        };
        section.extend(line.bytes().chain(*b"\n"));
    }
    examples(command).to_writer(&mut section)?;
    Ok(section)
}

/// Returns the examples after the options. What follows them in the help is at the end of the page.
fn examples(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let text = command.get_after_long_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let before = |text: &str, common: &str| match text.split_once(common) {
        Some((before, _)) => before.trim_end().to_owned(),
        None => text.to_owned(),
    };
    let text = before(&before(&text, args::CREDENTIALS), &failure::exit_codes());
    if !text.is_empty() {
        push_verbatim(&mut roff, &text);
    }
    roff
}

/// Adds a text whose lines are kept as they are.
fn push_verbatim(roff: &mut Roff, text: &str) {
    roff.control("PP", []).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

/// Writes characters outside of ASCII as escapes, which every version of roff reads.
fn ascii(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    for c in page.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\[u{:04X}]", u32::from(c));
        }
    }
    out
}
