//! The help of all commands, and its examples, run by bash and against `emulate`.

use crate::support::{command, finish, run};

/// Returns the commands that the help lists, beginning with none.
fn commands() -> Vec<String> {
    let help = run(&["--help"], &[]).stdout();
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let list = list.split("\n\n").next().unwrap();
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help");
    [""].into_iter().chain(names).map(str::to_owned).collect()
}

fn help(command_name: &str, option: &str, width: usize) -> String {
    let arguments: Vec<_> = command_name.split_whitespace().chain([option]).collect();
    let columns = [("COLUMNS", width.to_string())];
    finish(command(&arguments, &columns).spawn().unwrap()).stdout()
}

#[test]
fn help_is_as_before() {
    for name in commands() {
        let mut texts = String::new();
        for (option, width) in [("-h", 80), ("--help", 80), ("-h", 200), ("--help", 200)] {
            let text = help(&name, option, width);
            let line = text.lines().find(|line| line.chars().count() > width);
            assert_eq!(line, None, "{name} {option}");
            texts += &format!("$ COLUMNS={width} atlas-model-keys {name} {option}\n{text}\n");
        }
        let snapshot = match name.as_str() {
            "" => "help".to_owned(),
            name => format!("help_{name}"),
        };
        insta::assert_snapshot!(snapshot, texts);
    }
}

#[test]
fn short_help_fits_a_screen() {
    for name in commands() {
        let lines = help(&name, "-h", 80).lines().count();
        assert!(lines <= 40, "{name} has {lines} lines");
    }
}

/// Returns the examples of the help of a command, without indentation.
fn examples(name: &str) -> Option<String> {
    let texts = [80, 200].map(|width| {
        let help = help(name, "--help", width);
        let (_, examples) = help.split_once("\nExamples:\n")?;
        let lines = examples
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with("  "))
            .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)));
        Some(lines.collect::<String>())
    });
    let [narrow, wide] = texts;
    assert_eq!(narrow, wide, "{name}: a line is wrapped");
    narrow
}

#[test]
fn examples_can_be_pasted() {
    for name in commands() {
        let Some(examples) = examples(&name) else {
            continue;
        };
        for line in examples.lines() {
            assert!(line.chars().count() + 2 < 80, "{line}");
            assert!(line.is_ascii(), "{line}");
        }
    }
}

#[cfg(unix)]
mod scripts {
    use super::{commands, examples};
    use crate::recipes::{Folder, has};

    /// The project of the examples.
    const DATA: &str = r#"
{"id": "69681d39c9e8cfd375386316", "name": "Production"}
{"apiKeyId": "a", "name": "old", "createdBy": "Tom", "createdAt": "2020-01-15T16:47:49Z", "lastUsedAt": null, "maskedSecret": "al-****odu2"}
{"apiKeyId": "b", "name": "new", "createdBy": "Jana", "createdAt": "2020-01-15T16:47:49Z", "lastUsedAt": "2126-11-27T12:00:00Z"}
"#;

    /// Starts an emulator with the project, and gives the examples its credentials.
    const BEFORE: &str = "\
atlas-model-keys emulate --data data.json --for 1m > setup.env &
until [ -s setup.env ]; do sleep 0.02; done
. ./setup.env
# What a user pastes.
exec < leaked.txt
";

    #[test]
    fn examples_work_in_their_order() {
        if !has("bash") || !has("jq") {
            return;
        }
        for name in commands() {
            let Some(examples) = examples(&name) else {
                continue;
            };
            let code = match name.as_str() {
                // The last example of `list` finds an unused key.
                "list" => 10,
                _ => 0,
            };
            let folder = Folder::new(&format!("help-{name}"));
            folder.write("data.json", DATA);
            folder.write("leaked.txt", "al-0123456789abcdefodu2\n");
            folder.write("report.json", r#"[{"Secret": "al-0123456789abcdefodu2"}]"#);
            // An emulator without an end is tested for a moment.
            let script: String = examples
                .lines()
                .map(|line| match line {
                    line if line.starts_with("atlas-model-keys emulate") => {
                        format!("{line} --for 100ms\n")
                    }
                    line => format!("{line}\n"),
                })
                .collect();
            let script = script
                .replace(
                    "--for 5m > emulator.env & --for 100ms",
                    "--for 5m > emulator.env &",
                )
                .replace("mdb_sa_id_YOUR_ID", "$MONGODB_ATLAS_CLIENT_ID")
                .replace("mdb_sa_sk_YOUR_SECRET", "$MONGODB_ATLAS_CLIENT_SECRET");
            let outcome = folder.run(&format!("{BEFORE}{script}"));
            assert_eq!(outcome.code, Some(code), "{name}: {outcome:?}\n{script}");
        }
    }
}
