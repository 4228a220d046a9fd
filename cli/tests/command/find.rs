//! `find`: leaked keys from standard input, and the entries that may be theirs.

use std::io::Write as _;
use std::process::Stdio;
use std::thread;

use atlas_model_keys_emulator::{Config, Key};

use crate::scripted::{Scripted, page};
use crate::support::{Atlas, Login, Outcome, command, csv, finish, json, run};

/// Runs `find` with this input.
fn find_in(
    environment: &[(&'static str, String)],
    arguments: &[&str],
    input: impl Into<Vec<u8>>,
) -> Outcome {
    let mut child = command(&[&["find"], arguments].concat(), environment)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.into());
    // The command may end before it has read everything.
    let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
    let outcome = finish(child);
    writer.join().unwrap();
    outcome
}

fn find(atlas: &Atlas, arguments: &[&str], input: impl Into<Vec<u8>>) -> Outcome {
    find_in(&atlas.environment(Login::Token), arguments, input)
}

fn secret(key: &Key) -> &str {
    key.secret.as_deref().unwrap()
}

fn id(key: &Key) -> &str {
    key.api_key_id.as_deref().unwrap()
}

/// Returns a key with this mask. Atlas does not send its secret.
fn masked(id: &str, mask: Option<&str>) -> Key {
    let mut key = Key::default().with_api_key_id(id);
    key.masked_secret = mask.map(str::to_owned);
    key
}

/// Returns the lines and ids of the candidates in ndjson.
fn candidates(ndjson: &str) -> Vec<(u64, String)> {
    let candidate = |line| {
        let value = json(line);
        let id = value["apiKeyId"].as_str().unwrap();
        (value["line"].as_u64().unwrap(), id.to_owned())
    };
    ndjson.lines().map(candidate).collect()
}

#[test]
fn key_is_found_and_described() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    let key = &keys[3];
    let outcome = find(&atlas, &[], secret(key));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[0]
            .split("  ")
            .filter(|word| !word.is_empty())
            .map(str::trim)
            .collect::<Vec<_>>(),
        [
            "LINE",
            "ID",
            "NAME",
            "CREATOR",
            "CREATED",
            "LAST USED",
            "STATUS"
        ]
    );
    assert!(
        lines[1].starts_with("1     ") && lines[1].contains(id(key)),
        "{lines:?}"
    );
    assert_eq!(
        (lines.len(), outcome.stderr.as_str()),
        (
            2,
            "note: 1 candidate for 1 of 1 key: the ends that Atlas shows are equal, but several keys can have the \
             same ends\n"
        )
    );
}

#[test]
fn every_format_names_the_line_of_the_input() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    // Candidates are in the order of the input, and empty lines count.
    let input = format!("{}\n\n{}\n", secret(&keys[5]), secret(&keys[2]));
    let expected = [(1, id(&keys[5]).to_owned()), (3, id(&keys[2]).to_owned())];
    let of = |format| find(&atlas, &["-o", format], input.as_str()).stdout;
    assert_eq!(candidates(&of("ndjson")), expected);
    assert_eq!(candidates(&of("jsonl")), expected);
    let document = json(&of("json"));
    assert_eq!(
        (&document["count"], &document["projects"][0]["count"]),
        (&2.into(), &2.into())
    );
    let results = document["results"].as_array().unwrap();
    let results = results.iter().map(|key| format!("{key}\n"));
    assert_eq!(candidates(&results.collect::<String>()), expected);
    let records = csv(&of("csv"));
    assert_eq!(records[0][..2], ["line", "apiKeyId"]);
    let rows = records
        .iter()
        .skip(1)
        .map(|row| (row[0].parse().unwrap(), row[1].clone()));
    assert_eq!(rows.collect::<Vec<_>>(), expected);
    let table = of("table");
    let rows = table.lines().skip(1).map(|row| {
        let mut words = row.split_whitespace();
        (
            words.next().unwrap().parse().unwrap(),
            words.next().unwrap().to_owned(),
        )
    });
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn key_without_an_entry_is_12_and_the_others_are_shown() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    let input = format!(
        "al-0123456789abcdef\n{}\nal-fedcba9876543210\n",
        secret(&keys[0])
    );
    let outcome = find(&atlas, &["-o", "ndjson"], input);
    assert_eq!(outcome.code, Some(12), "{}", outcome.stderr);
    assert_eq!(candidates(&outcome.stdout), [(2, id(&keys[0]).to_owned())]);
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(
        lines[..2],
        ["note: line 1: no key found", "note: line 3: no key found"]
    );
    assert!(
        lines[2].starts_with("note: 1 candidate for 1 of 3 keys: "),
        "{lines:?}"
    );
    assert_eq!(lines[3], "error: no entry found for 2 of 3 keys");
}

#[test]
fn several_entries_with_the_same_ends_are_all_candidates() {
    let atlas = Atlas::with_keys(vec![
        masked("a", Some("al-****odu2")),
        masked("b", Some("al-****odu3")),
        masked("c", Some("al-********odu2")),
        masked("d", Some("AL-****odu2")),
        masked("e", Some("****ABCDodu2")),
    ]);
    let outcome = find(
        &atlas,
        &["-o", "ndjson"],
        "al-0123456789ABodu2\nal-01234567ABCDodu2\n",
    );
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let ids =
        [(1, "a"), (1, "c"), (2, "a"), (2, "c"), (2, "e")].map(|(line, id)| (line, id.to_owned()));
    assert_eq!(candidates(&outcome.stdout), ids);
    assert!(
        outcome.stderr.contains("5 candidates for 2 of 2 keys"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn key_is_longer_than_both_ends_together() {
    let ends = masked("a", Some("al-0123456*cdefodu2"));
    let atlas = Atlas::with_keys(vec![ends]);
    for (key, code) in [
        ("al-0123456cdefodu2", 12),
        ("al-0123456xcdefodu2", 0),
        ("al-01234566cdefodu2", 0),
        ("al-0123456defodu2", 12),
    ] {
        assert_eq!(find(&atlas, &[], key).code, Some(code), "{key}");
    }
}

#[test]
fn entries_that_show_too_little_are_counted_and_no_candidates() {
    let atlas = Atlas::with_keys(vec![
        masked("a", None),
        masked("b", Some("")),
        masked("c", Some("al-*****")),
        masked("d", Some("****")),
        masked("e", Some("al-0123456789ABodu2")),
        masked("f", Some("al-*2")),
    ]);
    let outcome = find(&atlas, &["-o", "ndjson"], "al-0123456789ABodu2");
    assert_eq!(candidates(&outcome.stdout), [(1, "f".to_owned())]);
    assert!(
        outcome
            .stderr
            .starts_with("note: 5 entries show too little of their keys, and were not compared\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn entry_with_its_secret_is_certain_or_no_candidate() {
    let config = Config::default().with_include_secrets(true);
    let atlas = Atlas::new(config);
    let keys = atlas.keys();
    let whole = secret(&keys[0]);
    let outcome = find(&atlas, &["-o", "ndjson"], whole);
    assert_eq!(candidates(&outcome.stdout), [(1, id(&keys[0]).to_owned())]);
    assert!(
        outcome.stdout.contains(r#""secret":"[redacted]""#),
        "{}",
        outcome.stdout
    );
    assert_eq!(
        outcome.stderr,
        "note: 1 candidate for 1 of 1 key: certain, because Atlas sent the whole keys\n"
    );
    // The ends are equal, and a character between them is not.
    let other = format!(
        "{}{}{}",
        &whole[..10],
        if &whole[10..11] == "x" { "y" } else { "x" },
        &whole[11..]
    );
    assert_eq!(find(&atlas, &[], other).code, Some(12));
}

#[test]
fn several_projects_and_an_organization_are_searched() {
    let atlas = Atlas::new(Config::default());
    let (groups, organization) = atlas.server.with(|emulator| {
        let groups: Vec<_> = emulator.groups().map(|group| group.to_string()).collect();
        (groups, emulator.first_org().to_string())
    });
    let key = atlas
        .server
        .with(|emulator| emulator.keys(groups[1].parse().unwrap())[0].clone());
    let expected = [(1, id(&key).to_owned())];
    let both = ["--group-id", &groups[0], "--group-id", &groups[1]];
    for (sources, code) in [
        (&both[..], 0),
        (&["--org-id", &organization], 0),
        // The last project may not be listed.
        (&["--all-projects"], 9),
        (&[], 12),
    ] {
        let outcome = find(&atlas, &[sources, &["-o", "ndjson"]].concat(), secret(&key));
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        let found = if code == 12 { &[][..] } else { &expected[..] };
        assert_eq!(candidates(&outcome.stdout), found, "{sources:?}");
        assert!(
            found.is_empty() || outcome.stdout.contains("\"groupName\":"),
            "{}",
            outcome.stdout
        );
    }
    let table = find(&atlas, &both, secret(&key)).stdout;
    assert!(
        table.starts_with("LINE  ID                        PROJECT "),
        "{table}"
    );
}

#[test]
fn project_that_cannot_be_listed_may_have_the_key_so_it_is_9() {
    let atlas = Atlas::new(Config::default());
    let outcome = find(
        &atlas,
        &["--all-projects", "-o", "json"],
        "al-0123456789abcdef",
    );
    assert_eq!(outcome.code, Some(9), "{}", outcome.stderr);
    assert_eq!(json(&outcome.stdout)["count"], 0);
    assert!(
        outcome.stderr.ends_with(
            "note: line 1: no key found\n\
             note: a project that was not listed may have a key that was not found\n\
             error: 2 of 3 projects listed\n"
        ),
        "{}",
        outcome.stderr
    );
}

#[test]
fn failed_search_shows_what_it_found() {
    let entry = r#"{"apiKeyId":"a1","maskedSecret":"al-****odu2"}"#;
    for format in ["table", "json", "ndjson", "csv"] {
        let (server, answers) = Scripted::new();
        let first = page(&["a"], true, 2).replace(r#"{"name":"a"}"#, entry);
        answers.send(first).unwrap();
        answers.send("no JSON".to_owned()).unwrap();
        let outcome = find_in(
            &server.environment(),
            &["-o", format],
            "al-0123456789abodu2",
        );
        assert_eq!(outcome.code, Some(7), "{}", outcome.stderr);
        assert!(outcome.stdout.contains("a1"), "{}", outcome.stdout);
        // The object stays open, so that its reader fails, too.
        let is_json = serde_json::from_str::<serde_json::Value>(&outcome.stdout).is_ok();
        assert_eq!(is_json, format == "ndjson", "{}", outcome.stdout);
        let hint = "hint: the output has the candidates that were found before\n";
        assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
        assert!(
            !outcome.stderr.contains("no key found"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn search_that_fails_at_once_writes_nothing() {
    for format in ["table", "json", "ndjson", "csv"] {
        let (server, answers) = Scripted::new();
        answers.send("no JSON".to_owned()).unwrap();
        find_in(
            &server.environment(),
            &["-o", format],
            "al-0123456789abodu2",
        )
        .failure(7);
    }
}

#[test]
fn credential_that_is_refused_is_3() {
    let atlas = Atlas::new(Config::default());
    let mut environment = atlas.environment(Login::Token);
    environment.push(("MONGODB_ATLAS_ACCESS_TOKEN", "wrong".to_owned()));
    let error = find_in(&environment, &[], "al-0123456789abcdef").failure(3);
    assert!(!error.contains("no key found"), "{error}");
}

#[test]
fn key_of_the_demonstration_is_found() {
    let listed = run(&["list", "--demo", "--show-secrets", "-o", "ndjson"], &[]).stdout;
    let first = json(listed.lines().next().unwrap());
    let outcome = find_in(
        &[],
        &["--demo", "-o", "ndjson"],
        first["secret"].as_str().unwrap(),
    );
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let expected = [(1, first["apiKeyId"].as_str().unwrap().to_owned())];
    assert_eq!(candidates(&outcome.stdout), expected);
}

#[test]
fn white_space_quotes_and_byte_order_marks_are_no_part_of_a_key() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    let key = secret(&keys[0]);
    let input = format!(
        "\u{feff}{key}\r\n\r\n \t\n\"{key}\"\r\n'{key}'\n  {key}\u{a0}\n` {key} `\n\u{feff}\"\"\n{key}"
    );
    let outcome = find(&atlas, &["-o", "ndjson"], input);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let lines = candidates(&outcome.stdout)
        .into_iter()
        .map(|(line, _)| line);
    assert_eq!(lines.collect::<Vec<_>>(), [1, 4, 5, 6, 7, 9]);
}

#[test]
fn line_that_cannot_be_a_key_is_2_with_its_number_and_the_rule() {
    let good = "al-0123456789abcdef\n";
    let long = format!("al-{}", "x".repeat(1_022));
    for (line, rule) in [
        (&b"al-\xff\xfe0123456789"[..], "not UTF-8"),
        (b"al-0123456\x1b[2J789abc", "control characters"),
        (b"a\0l\0-\x000\x001\x002\x003\0", "control characters"),
        (b"al-01234 56789abcdef", "white space"),
        ("al-0123456789ключ".as_bytes(), "ASCII"),
        (b"al-odu2", "at least 12"),
        (b"al-****odu2", "masked"),
        (b"mdb_sa_sk_0123456789abcdef", "another kind"),
        (b"eyJhbGciOiJIUzI1NiJ9.e30.x", "another kind"),
        (b"01234567-89ab-cdef-0123-456789abcdef", "another kind"),
        (b"mongodb+srv://me:hunter2@host", "another kind"),
        (long.as_bytes(), "1,024 bytes"),
    ] {
        let input = [good.as_bytes(), b"\r\n", line, b"\n", good.as_bytes()].concat();
        let error = find_in(&[], &["--demo"], input);
        assert_eq!(
            (error.code, error.stdout.as_str()),
            (Some(2), ""),
            "{}",
            error.stderr
        );
        let block = error.stderr.lines().last().unwrap();
        assert!(
            block.starts_with("error: line 3 of standard input: "),
            "{block}"
        );
        assert!(block.contains(rule), "{block}");
        for part in ["01234", "hunter2", "xxx", "al-o", "{"] {
            assert!(!block.contains(part), "{block}");
        }
    }
    assert_eq!(find_in(&[], &["--demo"], &long[..1_024]).code, Some(12));
}

#[test]
fn input_is_bounded() {
    let thousand = "al-0123456789abcdef\n".repeat(1_000);
    let outcome = find_in(&[], &["--demo"], thousand.trim_end());
    assert_eq!(outcome.code, Some(12), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("line 1000: no key found"),
        "{}",
        outcome.stderr
    );
    for (input, line, rule) in [
        (
            thousand + "al-0123456789abcdef",
            1001,
            "at most 1,000 lines",
        ),
        ("\n".repeat(2_000_000), 1001, "at most 1,000 lines"),
        (
            "\n".repeat(999) + &"x".repeat(2_000_000),
            1000,
            "longer than 1,024 bytes",
        ),
        ("x".repeat(20_000_000), 1, "longer than 1,024 bytes"),
    ] {
        let outcome = find_in(&[], &["--demo"], input);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        let wanted = format!("error: line {line} of standard input: ");
        assert!(
            outcome.stderr.contains(&wanted) && outcome.stderr.contains(rule),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn input_without_a_key_is_2() {
    for input in ["", "\n", "\r\n\r\n \n", "\u{feff}", "''"] {
        let outcome = find_in(&[], &["--demo"], input);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("there is no key on standard input"),
            "{}",
            outcome.stderr
        );
    }
}

#[cfg(unix)]
#[test]
fn closed_stdin_is_2_or_1() {
    use std::process::Command;
    let binary = env!("CARGO_BIN_EXE_atlas-model-keys");
    for (redirection, code) in [("<&-", 2), ("0>/dev/null", 1)] {
        let output = Command::new("sh")
            .args(["-c", &format!("\"$0\" find --demo {redirection}"), binary])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("standard input"), "{stderr}");
    }
}

#[test]
fn argument_is_refused_and_not_shown() {
    for key in ["al-0123456789abcdef", "hunter2hunter2", "x", "-"] {
        for arguments in [
            &["--demo", key][..],
            &[key, "--demo"],
            &["--demo", "--", "--no", key],
            &[key],
        ] {
            let error = find_in(&[], arguments, "").failure(2);
            assert!(
                error.contains("standard input") && error.contains("argument"),
                "{error}"
            );
            assert!(key.len() < 3 || !error.contains(key), "{error}");
        }
    }
}

#[test]
fn reader_that_closes_the_pipe_does_not_change_the_exit_code() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    let child = command(&["find"], &atlas.environment(Login::Token))
        .stdin(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    write!(stdin, "{}\nal-0123456789abcdef", secret(&keys[0])).unwrap();
    drop(stdin);
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(12), "{}", outcome.stderr);
}

/// Returns forms in which a key is often pasted.
fn forms(key: &str) -> Vec<Vec<u8>> {
    let percent: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let escaped: String = key
        .bytes()
        .map(|byte| format!("\\u{:04x}", u32::from(byte)))
        .collect();
    let utf16 = |bytes: fn(u16) -> [u8; 2]| key.encode_utf16().flat_map(bytes).collect::<Vec<_>>();
    let typo = format!("{}_{}", &key[..20], &key[21..]);
    let forms = [
        key.to_owned(),
        format!("{key}\n{key}"),
        format!("{key}{key}"),
        format!("{key} {key}"),
        format!("{key}\u{fffd}"),
        format!("KEY={key}"),
        format!("{{\"key\":\"{key}\"}}"),
        format!("https://me:{key}@host/"),
        key.replace('-', "%2D"),
        percent,
        escaped,
        base64(key),
        typo,
        key[..key.len() - 1].to_owned(),
        key.chars().rev().collect(),
        key.to_uppercase(),
        format!("{key}\u{1b}[31m"),
        key.repeat(40),
    ];
    let forms = forms.into_iter().map(String::into_bytes);
    let damaged = [key.as_bytes(), b"\xff"].concat();
    forms
        .chain([utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), damaged])
        .collect()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.as_bytes().chunks(3).flat_map(|three| {
        let bits = three
            .iter()
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        let shifts = [18, 12, 6, 0].into_iter().take(three.len() + 1);
        shifts.map(move |shift| char::from(DIGITS[bits >> shift & 63]))
    });
    digits.collect()
}

#[test]
fn no_output_shows_a_part_of_the_input() {
    let atlas = Atlas::new(Config::default());
    let keys = atlas.keys();
    let key = secret(&keys[0]);
    let middle = &key[3..key.len() - 4];
    assert!(base64("al-0").starts_with("YWwtM") && middle.len() == 40);
    for form in forms(key) {
        // What was given, the key, and what its characters are in that form.
        let given = String::from_utf8_lossy(&form).into_owned();
        let inner = &form[form.len().min(6)..form.len().saturating_sub(6)];
        for format in ["table", "json", "csv"] {
            let outcome = find(&atlas, &["--log", "-o", format], form.clone());
            assert!(
                [0, 2, 12].contains(&outcome.code.unwrap()),
                "{given}: {}",
                outcome.stderr
            );
            let all = outcome.stdout + &outcome.stderr;
            let parts = middle.as_bytes().windows(8).chain(inner.windows(8));
            for part in parts {
                let shown = all.as_bytes().windows(8).any(|window| window == part);
                assert!(!shown, "{given}: {all}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod on_a_terminal {
    use std::io::{Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::process::{Child, Stdio};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::termios::{LocalModes, tcgetattr};

    use super::{Atlas, Config, Login, command, finish, secret};
    use crate::support::send;
    use crate::terminal::terminal;

    fn shows_input(terminal: &OwnedFd) -> bool {
        let modes = tcgetattr(terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Starts `find` with its input on this terminal, and waits until the terminal does not show it.
    fn start(atlas: &Atlas, theirs: &OwnedFd) -> Child {
        assert!(shows_input(theirs));
        let child = command(&["find"], &atlas.environment(Login::ServiceAccount))
            .stdin(Stdio::from(theirs.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while shows_input(theirs) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(2));
        }
        child
    }

    #[test]
    fn input_is_asked_for_and_not_shown() {
        let atlas = Atlas::new(Config::default());
        let keys = atlas.keys();
        let (mut ours, theirs) = terminal(80);
        let child = start(&atlas, &theirs);
        write!(ours, "{}\n\nal-0123456789abcdef\n\x04", secret(&keys[0])).unwrap();
        let outcome = finish(child);
        assert_eq!(outcome.code, Some(12), "{}", outcome.stderr);
        let prompt =
            "note: paste the keys, one per line, and end with Ctrl-D (they are not shown)\n";
        assert!(outcome.stderr.starts_with(prompt), "{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("line 3: no key found"),
            "{}",
            outcome.stderr
        );
        assert!(shows_input(&theirs));
        // Nothing was written to the terminal that is read here.
        let (send, shown) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 1024];
            let length = ours.read(&mut bytes).unwrap_or(0);
            let _ = send.send(bytes[..length].to_vec());
        });
        drop(theirs);
        let shown = shown.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(String::from_utf8_lossy(&shown), "");
    }

    #[test]
    fn signal_during_the_input_restores_the_terminal() {
        let mut shortest = Duration::MAX;
        for signal in ["INT", "TERM", "HUP"] {
            let atlas = Atlas::new(Config::default());
            let (mut ours, theirs) = terminal(80);
            let child = start(&atlas, &theirs);
            ours.write_all(b"al-0123456789abcdef\nal-01234").unwrap();
            let begun = Instant::now();
            send(signal, &child);
            let outcome = finish(child);
            let elapsed = begun.elapsed();
            assert!(elapsed < Duration::from_secs(20), "{signal}: {elapsed:?}");
            shortest = shortest.min(elapsed);
            assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(130), ""));
            let last = outcome.stderr.lines().last().unwrap();
            assert!(
                last.starts_with("error: interrupted: cannot list "),
                "{last}"
            );
            assert!(shows_input(&theirs), "{signal}");
        }
        // A busy machine may delay some of them.
        assert!(shortest < Duration::from_secs(2), "{shortest:?}");
    }

    #[test]
    fn wrong_line_restores_the_terminal() {
        let atlas = Atlas::new(Config::default());
        let (mut ours, theirs) = terminal(80);
        let child = start(&atlas, &theirs);
        ours.write_all(b"mdb_sa_sk_0123456789\n\x04").unwrap();
        let outcome = finish(child);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(shows_input(&theirs));
    }
}
