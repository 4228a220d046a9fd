//! The output of listings that fail or differ from the expected count, and the messages about it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::thread;
use std::time::Duration;

use atlas_model_keys_emulator::{Config, Route};
use http::{Response, StatusCode};

use crate::scripted::{Scripted, page};
#[cfg(unix)]
use crate::support::Login;
use crate::support::{Atlas, FORMATS, command, csv, finish, json};

const LIST: Route = Route::ListGroupKeys;

/// Returns an emulator that sends four pages of 100 keys, with a count of 1234, then a 503 that asks for a
/// wait beyond the limit of the client.
fn interrupted() -> Atlas {
    let atlas = Atlas::new(Config::default());
    let names: Vec<_> = (0..400).map(|n| format!("key {n}")).collect();
    atlas.server.with(|emulator| {
        for names in names.chunks(100) {
            emulator.respond_next(LIST, Response::new(page(names, true, 1234).into_bytes()));
        }
        let answer = Response::builder()
            .status(StatusCode::SERVICE_UNAVAILABLE)
            .header("retry-after", "100000");
        emulator.respond_next(LIST, answer.body(Vec::new()).unwrap());
    });
    atlas
}

#[test]
fn interrupted_listing_reports_the_number_of_written_keys() {
    for format in ["csv", "ndjson", "json"] {
        let outcome = interrupted().list(&["-o", format]);
        assert_eq!(outcome.code, Some(5), "{}", outcome.stderr);
        assert!(
            outcome
                .stderr
                .contains("\n  the output is incomplete: it has 400 of about 1,234 keys\n"),
            "{}",
            outcome.stderr
        );
        match format {
            "csv" => assert_eq!(csv(&outcome.stdout).len(), 401),
            "ndjson" => assert_eq!(outcome.stdout.lines().map(json).count(), 400),
            _ => {
                assert_eq!(outcome.stdout.matches("\"key ").count(), 400);
                let error = serde_json::from_str::<serde_json::Value>(&outcome.stdout).unwrap_err();
                assert!(error.is_eof(), "{error}");
            }
        }
    }
}

#[test]
fn interrupted_table_is_not_written_and_the_error_says_so() {
    let error = interrupted().list(&[]).failure(5);
    assert!(
        error.contains(
            "nothing was written: a table is written when it is complete, \
             and 400 of about 1,234 keys had arrived"
        ),
        "{error}"
    );
}

#[test]
fn listing_that_fails_at_once_has_no_output_and_no_message_about_it() {
    for format in FORMATS {
        let atlas = Atlas::new(Config::default());
        let unknown = "0123456789abcdef01234567";
        let error = atlas
            .list(&["-o", format, "--group-id", unknown])
            .failure(4);
        assert!(
            !error.contains("incomplete") && !error.contains("written"),
            "{error}"
        );
    }
}

#[test]
fn json_is_written_as_each_page_arrives() {
    let (atlas, answers) = Scripted::new();
    let mut child = command(&["list", "-o", "json"], &atlas.environment())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    answers.send(page(&["first"], true, 2)).unwrap();
    // The second page was not sent yet.
    let mut first = Vec::new();
    stdout.read_until(b'}', &mut first).unwrap();
    assert!(String::from_utf8(first).unwrap().contains("\"first\""));
    answers.send(page(&["second"], false, 2)).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(
        rest.ends_with("\"count\":2,\"totalCount\":2}]}\n"),
        "{rest}"
    );
    let outcome = finish(child);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[test]
fn count_that_differs_from_the_number_of_keys_is_mentioned() {
    let listed = |total: u64, arguments: &[&str]| {
        let atlas = Atlas::new(Config::default());
        let body = page(&["a", "b"], false, total);
        atlas
            .server
            .with(|emulator| emulator.respond_next(LIST, Response::new(body.into_bytes())));
        let outcome = atlas.list(arguments);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome.stderr
    };
    for format in ["table", "json", "ndjson", "csv"] {
        for total in [1, 3] {
            let note = listed(total, &["-o", format]);
            assert!(
                note.starts_with(&format!("note: Atlas counts {total} keys in project "))
                    && note.contains(" and 2 were listed: "),
                "{note}"
            );
        }
        // The counts are equal, or counting is disabled.
        assert_eq!(listed(2, &["-o", format]), "");
        assert_eq!(listed(0, &["-o", format]), "");
        // Only one page was requested.
        assert_eq!(listed(9, &["-o", format, "--page-num", "2"]), "");
    }
}

#[cfg(unix)]
#[test]
fn closed_stdout_is_1_and_no_request_is_sent() {
    for (redirection, problem) in [
        (">&-", "stdout is closed"),
        ("1</dev/null", "open for reading only"),
    ] {
        for format in FORMATS {
            let atlas = Atlas::new(Config::default());
            let error = redirected(&atlas, format, redirection).failure(1);
            assert!(
                error.starts_with("error: cannot write the output\n") && error.contains(problem),
                "{error}"
            );
            assert!(error.contains("> /dev/null"), "{error}");
            assert_eq!(atlas.server.with(|emulator| emulator.requests()), 0);
        }
    }
}

#[cfg(unix)]
#[test]
fn output_to_dev_null_is_0() {
    for redirection in [">/dev/null", ">>/dev/null", "| cat >/dev/null"] {
        let atlas = Atlas::new(Config::default());
        let outcome = redirected(&atlas, "csv", redirection);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    }
    let atlas = Atlas::new(Config::default());
    let child = command(&["list"], &atlas.environment(Login::Token))
        .stdout(std::process::Stdio::null())
        .spawn();
    let outcome = finish(child.unwrap());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
fn redirected(atlas: &Atlas, format: &str, redirection: &str) -> crate::support::Outcome {
    use std::process::{Command, Stdio};
    let script = format!("\"$0\" list -o {format} {redirection}");
    let child = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_atlas-model-keys")])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(atlas.environment(Login::Token))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    finish(child.unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_1() {
    for arguments in [&["--help"][..], &["list", "--help"], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let child = command(arguments, &[]).stdout(full.unwrap()).spawn();
        let error = finish(child.unwrap()).failure(1);
        assert!(error.contains("No space"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_1_in_every_format() {
    for format in FORMATS {
        let atlas = Atlas::new(Config::default());
        let full = std::fs::File::options().write(true).open("/dev/full");
        let child = command(&["list", "-o", format], &atlas.environment(Login::Token))
            .stdout(full.unwrap())
            .spawn();
        let error = finish(child.unwrap()).failure(1);
        assert!(
            error.starts_with("error: cannot write the output\n") && error.contains("No space"),
            "{format}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn file_that_cannot_grow_keeps_whole_rows_and_the_error_counts_them() {
    let atlas = Atlas::new(Config::default().with_keys_per_group(400));
    for format in ["csv", "ndjson", "json"] {
        let path =
            std::env::temp_dir().join(format!("atlas-model-keys-{}-{format}", std::process::id()));
        // The limit is in units of 512 bytes or 1 KiB, and the output has more than 100 KiB: a page is written halfway.
        let script = format!(
            "trap '' XFSZ; ulimit -f 100; exec \"$0\" list -o {format} > '{}'",
            path.display()
        );
        let child = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_atlas-model-keys")])
            .env_clear()
            .envs(atlas.environment(Login::Token))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn();
        let error = finish(child.unwrap()).failure(1);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let rows = whole_rows(format, &text);
        assert!(
            rows > 0 && rows.is_multiple_of(100) && rows < 400,
            "{format}: {rows}"
        );
        assert!(
            error.contains(&format!(
                "the output is incomplete: it has {rows} of about 400 keys"
            )),
            "{format}: {error}"
        );
    }
}

/// Returns the rows of an output that may have been cut off between two of them, and checks that each is whole.
fn whole_rows(format: &str, text: &str) -> usize {
    match format {
        "csv" => {
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            csv(text).len().saturating_sub(1)
        }
        "ndjson" => {
            assert!(text.is_empty() || text.ends_with('\n'), "{text}");
            text.lines().map(json).count()
        }
        "json" => {
            let error = serde_json::from_str::<serde_json::Value>(text).unwrap_err();
            assert!(error.is_eof(), "{error}");
            // Closed by hand, it has the rows that were written.
            let closed = json(&format!("{text}]}}"));
            closed["results"].as_array().unwrap().len()
        }
        _ => {
            assert_eq!(text, "");
            0
        }
    }
}

#[test]
fn killed_listing_has_written_whole_rows() {
    // The page is larger than the buffers of the standard library and of a CSV writer.
    let names: Vec<_> = (0..300)
        .map(|n| format!("key {n}, {}", "x".repeat(90)))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (format, requests, rows) in [
        ("csv", 2, 300),
        ("ndjson", 2, 300),
        ("json", 2, 300),
        ("table", 2, 0),
        ("raw", 1, 0),
    ] {
        let (atlas, answers) = Scripted::new();
        let mut child = command(&["list", "-o", format], &atlas.environment())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        if requests == 2 {
            answers.send(page(&names, true, 600)).unwrap();
        }
        // The page is written before the next one is requested, which is never sent.
        while atlas.heads().len() < requests {
            thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        assert_ne!(finish(child).code, Some(0));
        assert_eq!(
            whole_rows(format, &reader.join().unwrap()),
            rows,
            "{format}"
        );
    }
}
