//! `completions` and `man`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{command, finish, run};

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

/// Returns the names of the commands in the help.
fn commands() -> Vec<String> {
    let help = run(&["--help"], &[]).stdout();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let names = list
        .lines()
        .map_while(|line| line.split_whitespace().next())
        .map(str::to_owned);
    let names: Vec<_> = names.collect();
    assert!(names.len() > 6 && names.iter().any(|name| name == "find"));
    names
}

/// Returns the long help of a command.
fn help(name: &str) -> String {
    run(&[name, "--help"], &[]).stdout()
}

/// Returns the options in a help.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-') && !line.starts_with("- "));
    let words = lines.flat_map(|line| line.split([' ', ',', '[', '=']));
    words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .collect()
}

/// Runs a program with this input. Returns `None` and says so if there is no such program.
fn with_input(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String, String)> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok());
    let outcome = finish(child);
    assert!(writer.join().unwrap());
    Some((outcome.code == Some(0), outcome.stdout, outcome.stderr))
}

#[test]
fn every_shell_has_all_commands_and_options() {
    for shell in SHELLS {
        let script = run(&["completions", shell], &[]).stdout();
        for name in commands() {
            assert!(script.contains(&name), "{shell}: {name}");
            for option in options(&help(&name)) {
                let bare = option.trim_start_matches('-');
                assert!(script.contains(bare), "{shell}: {name} {option}");
            }
        }
        // A key is no argument.
        assert!(!script.contains("KEY"), "{shell}");
    }
}

#[test]
fn unknown_shell_is_2_with_the_known_ones() {
    let error = run(&["completions", "tcsh"], &[]).failure(2);
    for shell in SHELLS {
        assert!(error.contains(shell), "{error}");
    }
    run(&["completions"], &[]).failure(2);
}

#[test]
fn scripts_are_accepted_by_their_shells() {
    for (shell, arguments) in [
        ("bash", &["-n"][..]),
        ("zsh", &["-n"]),
        ("fish", &["--no-execute"]),
    ] {
        let script = run(&["completions", shell], &[]).stdout();
        if let Some((ok, _, stderr)) = with_input(shell, arguments, &script) {
            assert!(ok && stderr.is_empty(), "{shell}: {stderr}");
        }
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = run(&["completions", "bash"], &[]).stdout();
    for (words, completions) in [
        (&["fi"][..], &["find"][..]),
        (&["find", "--al"], &["--all-projects", "--allow-plain-http"]),
        (&["find", "-o", "c"], &["csv"]),
        (&["list", "--unu"], &["--unused-for"]),
        (&["completions", "po"], &["powershell"]),
    ] {
        let typed = words.join(" ");
        let (last, before) = (
            words.len(),
            words.iter().rev().nth(1).unwrap_or(&"atlas-model-keys"),
        );
        let word = words.last().unwrap();
        let input = format!(
            "{script}\nCOMP_WORDS=(atlas-model-keys {typed})\nCOMP_CWORD={last}\n\
             function=$(complete -p atlas-model-keys | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n\
             \"$function\" atlas-model-keys '{word}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        let Some((ok, stdout, stderr)) = with_input("bash", &[], &input) else {
            return;
        };
        assert!(ok && stderr.is_empty(), "{stderr}");
        for completion in completions {
            assert!(
                stdout.lines().any(|line| line == *completion),
                "{typed}: {stdout}"
            );
        }
    }
}

/// Returns a page's text: its escapes and requests are removed, and each run of white space is one space.
fn text_of(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines() {
        match line.strip_prefix('.') {
            Some(request) => {
                let title = request
                    .strip_prefix("SH ")
                    .or_else(|| request.strip_prefix("SS "));
                text.push_str(title.unwrap_or_default());
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    for (escape, meaning) in [
        (r"\-", "-"),
        (r"\*(Aq", "'"),
        (r"\fB", ""),
        (r"\fI", ""),
        (r"\fR", ""),
        (r"\&", ""),
        (r"\\", r"\"),
    ] {
        text = text.replace(escape, meaning);
    }
    while let Some((before, after)) = text.split_once(r"\[u") {
        let (code, after) = after.split_once(']').unwrap();
        let c = u32::from_str_radix(code, 16)
            .ok()
            .and_then(char::from_u32)
            .unwrap();
        text = format!("{before}{c}{after}");
    }
    normal(&text)
}

fn normal(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[test]
fn page_has_every_line_of_every_help() {
    let page = run(&["man"], &[]).stdout();
    assert!(page.is_ascii());
    let text = text_of(&page);
    let mut lines = 0;
    for name in commands().iter().filter(|name| *name != "help") {
        let help = help(name);
        assert!(
            page.contains(&format!("\n.SH {}\n", name.to_uppercase())),
            "{name}"
        );
        for line in help.lines() {
            let line = normal(line.trim().trim_start_matches("- "));
            if line.starts_with("usage: ") {
                continue;
            }
            // The page lists them one by one.
            let values = line
                .strip_prefix("[possible values: ")
                .and_then(|line| line.strip_suffix(']'));
            let parts = values.map_or_else(|| vec![&*line], |values| values.split(", ").collect());
            for part in parts {
                let title = part.strip_suffix(':').unwrap_or(part);
                let is_argument = part.starts_with('<');
                let title = if is_argument {
                    part.trim_matches(['<', '>'])
                } else {
                    title
                };
                assert!(text.contains(title), "{name}: {part}");
                lines += 1;
            }
        }
    }
    assert!(lines > 200, "{lines}");
    for line in run(&["--help"], &[]).stdout().lines() {
        let line = normal(line);
        let about = line.split_once(' ').map_or("", |(_, about)| about);
        let is_known = text.contains(&line) || text.contains(about.trim());
        assert!(
            is_known || line.contains("usage: ") || line.starts_with("help "),
            "{line}"
        );
    }
}

#[test]
fn page_is_rendered_without_warnings() {
    let page = run(&["man"], &[]).stdout();
    for (program, arguments) in [
        ("groff", &["-man", "-Tutf8", "-wall"][..]),
        ("mandoc", &["-Tlint", "-Wwarning"]),
    ] {
        if let Some((ok, stdout, stderr)) = with_input(program, arguments, &page) {
            assert!(ok && stderr.is_empty(), "{program}: {stderr}");
            assert!(
                program == "mandoc" || stdout.contains("al-****odu2"),
                "{stdout}"
            );
        }
    }
}

#[test]
fn reader_that_closes_the_pipe_is_no_error() {
    for arguments in [&["completions", "bash"][..], &["man"]] {
        let mut child = command(arguments, &[]).spawn().unwrap();
        drop(child.stdout.take());
        let outcome = finish(child);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    }
}
