//! Replays the transcripts in the folders beside this file. Their README explains the format.
//!
//! After a change that is meant, write what the session does now, and look at what changed:
//!
//! ```text
//! WRITE_TRANSCRIPTS=1 cargo test -p atlas-model-keys-core transcript && git diff core/tests/transcripts
//! ```

mod replay;
mod script;

use std::path::{Path, PathBuf};
use std::{env, fs};

use replay::{check, replay};

/// Returns the transcripts of a folder: each folder in it is a flow, and each file of a flow is a transcript.
fn transcripts(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let flows: Vec<_> = entries(folder)
        .into_iter()
        .filter(|path| path.is_dir())
        .collect();
    assert!(!flows.is_empty(), "{} has no folders", folder.display());
    let files = flows.iter().flat_map(|flow| {
        let files = entries(flow);
        assert!(!files.is_empty(), "{} is empty", flow.display());
        files
    });
    let files: Vec<_> = files.collect();
    for file in &files {
        let is_text = file.extension().is_some_and(|extension| extension == "txt");
        assert!(is_text, "{} is no transcript", file.display());
    }
    files
}

#[test]
fn session_follows_every_transcript() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut report = String::new();
    for file in transcripts(&folder) {
        let text = fs::read_to_string(&file).unwrap();
        let mut result = check(&text);
        if result.is_err() && env::var_os("WRITE_TRANSCRIPTS").is_some() {
            result = replay(&text).and_then(|(replayed, end)| {
                end?;
                fs::write(&file, replayed).unwrap();
                Ok(())
            });
        }
        if let Err((line, what)) = result {
            let name = file.strip_prefix(&folder).unwrap().display();
            report += &format!("\n\ncore/tests/transcripts/{name}:{line}: {what}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

const RIGHT: &str = "\
# The session waits as long as it is asked to.
credentials: service account mdb_sa_id_1 mdb_sa_sk_2

list

> POST /api/oauth/token
> accept: application/json
> authorization: Basic bWRiX3NhX2lkXzE6bWRiX3NhX3NrXzI=
> content-type: application/x-www-form-urlencoded
>
> grant_type=client_credentials

< 200 OK
<
< {\"access_token\": \"first\", \"expires_in\": 3600}

> GET /api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys
> accept: application/vnd.atlas.preview+json
> authorization: Bearer first

< 503 Service Unavailable
< retry-after: 2

wait 2 s

> (the same request again)

! permanent: the certificate is not trusted

= error, final: the request failed permanently (after 2 attempts)
= cause: the certificate is not trusted
";

#[test]
fn wrong_transcript_is_reported_with_its_line() {
    check(RIGHT).unwrap();
    for (right, wrong, line, report) in [
        // The request has another method, path, query, header or body, or one header more or less.
        (
            "> POST /api",
            "> GET /api",
            6,
            "\n- > GET /api/oauth/token\n+ > POST /api/oauth/token",
        ),
        (
            "oauth/token",
            "oauth/tokens",
            6,
            "\n+ > POST /api/oauth/token",
        ),
        (
            "aiModelApiKeys",
            "aiModelApiKeys?pretty=true",
            17,
            "/aiModelApiKeys",
        ),
        (
            "Bearer first",
            "Bearer second",
            19,
            "\n- > authorization: Bearer second",
        ),
        (
            "=client_credentials",
            "=password",
            11,
            "\n+ > grant_type=client_credentials",
        ),
        (
            "> accept: application/json\n",
            "",
            7,
            "\n+ > accept: application/json",
        ),
        (
            "> accept: application/vnd",
            "> pragma: x\n> accept: application/vnd",
            18,
            "\n- > pragma: x",
        ),
        // The session does something else, or something more or less.
        ("wait 2 s\n\n", "", 24, "\n+ wait 2 s"),
        ("wait 2 s", "wait 2.1 s", 24, "\n- wait 2.1 s\n+ wait 2 s"),
        ("wait 2 s", "wait 2 s\n\nwait 1 s", 26, "\n- wait 1 s"),
        (
            "retry-after: 2",
            "retry-after: 3",
            24,
            "\n- wait 2 s\n+ wait 3 s",
        ),
        (
            "> (the same request again)",
            "= page of 0 keys, version preview",
            26,
            "\n- = page of 0 keys",
        ),
        (
            "after 2 attempts",
            "after 3 attempts",
            30,
            "(after 2 attempts)",
        ),
        ("error, final", "error, retryable", 30, "\n+ = error, final"),
        (
            "\n= cause: the certificate is not trusted",
            "",
            31,
            "\n+ = cause",
        ),
        (
            "(after 2 attempts)\n",
            "(after 2 attempts)\n= cause: another\n",
            31,
            "\n- = cause: another",
        ),
        (
            "account mdb_sa_id_1",
            "account mdb_sa_id_2",
            8,
            "\n- > authorization: Basic",
        ),
        // The dialogue is cut short, or goes on after the end of an exchange.
        (
            "! permanent: the certificate is not trusted\n\n",
            "",
            29,
            "expects a response",
        ),
        ("trusted\n", "trusted\n\n< 200 OK\n", 30, "\n- < 200 OK"),
    ] {
        let text = RIGHT.replacen(right, wrong, 1);
        assert_ne!(text, RIGHT, "{right}");
        let (at, what) = check(&text).expect_err(wrong);
        assert_eq!(at, line, "{wrong}: {what}");
        assert!(what.contains(report), "{wrong}: {what}");
    }
    for (more, line, report) in [
        ("< 200 OK\n", 33, "the session expects no response"),
        ("! lost: reset\n", 33, "the session expects no response"),
        ("list\n", 34, "\n+ > GET /api"),
    ] {
        let (at, what) = check(&format!("{RIGHT}\n{more}")).unwrap_err();
        assert_eq!(at, line, "{more}: {what}");
        assert!(what.contains(report), "{more}: {what}");
    }
    let (before, _) = RIGHT.split_once("\n! ").unwrap();
    for (more, report) in [
        ("", "the session expects a response"),
        ("\nlist\n", "the session still expects a response"),
    ] {
        let (_, what) = check(&format!("{before}{more}")).unwrap_err();
        assert!(what.contains(report), "{more}: {what}");
    }
}

#[test]
fn unknown_lines_and_settings_are_errors() {
    for (right, wrong, line, report) in [
        (
            "# The",
            "The",
            1,
            "unknown line: The session waits as long as it is asked to.",
        ),
        ("wait 2 s", "waits 2 s", 24, "unknown line: waits 2 s"),
        ("list", "list page=1", 4, "unknown parameter: list page=1"),
        ("list", "list pageNum=0", 4, "unknown parameter"),
        ("list", "2 d later", 4, "not a time"),
        ("\nlist\n", "", 29, "there is no `list`"),
        (
            "credentials: service account mdb_sa_id_1 mdb_sa_sk_2",
            "version: preview",
            1,
            "no `credentials`",
        ),
        (
            "service account",
            "account",
            2,
            "unknown setting: credentials: account mdb_sa_id_1",
        ),
        (
            "\nlist",
            "retries: 5\n\nlist",
            3,
            "unknown setting: retries: 5",
        ),
        (
            "\nlist",
            "attempts: many\n\nlist",
            3,
            "unknown setting: attempts: many",
        ),
        (
            "\nlist",
            "jitter: half\n\nlist",
            3,
            "unknown setting: jitter: half",
        ),
        (
            "\nlist",
            "start: today\n\nlist",
            3,
            "unknown setting: start: today",
        ),
        (
            "wait 2 s",
            "version: preview",
            24,
            "unknown line: version: preview",
        ),
        ("200 OK", "200 Okay", 13, "not a response: < 200 Okay"),
        (
            "retry-after: 2",
            "retry-after 2",
            21,
            "not a response: < 503 Service Unavailable",
        ),
        ("! permanent", "! gone", 28, "unknown failure: ! gone"),
        ("permanent: the", "permanent the", 28, "unknown failure"),
    ] {
        let text = RIGHT.replacen(right, wrong, 1);
        assert_ne!(text, RIGHT, "{right}");
        let (at, what) = check(&text).expect_err(wrong);
        assert!(what.contains(report), "{wrong}: {what}");
        assert_eq!(at, line, "{wrong}: {what}");
    }
}

#[test]
fn missing_or_empty_folder_is_an_error() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transcripts");
    let fails = || std::panic::catch_unwind(|| transcripts(&folder)).is_err();
    let _ = fs::remove_dir_all(&folder);
    assert!(fails());
    fs::create_dir_all(&folder).unwrap();
    assert!(fails());
    let flow = folder.join("flow");
    fs::create_dir(&flow).unwrap();
    assert!(fails());
    fs::write(flow.join("case.txt"), "").unwrap();
    assert_eq!(transcripts(&folder), [flow.join("case.txt")]);
    fs::write(flow.join("case.text"), "").unwrap();
    assert!(fails());
}

#[test]
fn example_of_the_readme_is_right() {
    let example = include_str!("README.md").split("```\n").nth(1).unwrap();
    if let Err((line, what)) = check(example) {
        panic!("line {line} of the example: {what}");
    }
}
