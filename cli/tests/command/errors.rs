//! Writes and checks the sections of `docs/errors.md` about usage and about this machine. `src/failure/document.rs` has the
//! other ones.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;

use crate::document;
use crate::scripted::GROUP;
use crate::support::{Outcome, command, finish, run};

const TOKEN: (&str, &str) = ("MONGODB_ATLAS_ACCESS_TOKEN", "a.token");
const PROJECT: (&str, &str) = ("MONGODB_ATLAS_PROJECT_ID", GROUP);

/// A cause, the arguments, and the variables of the environment.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

/// Wrong sources and values of the environment.
const VARIABLES: &[Case] = &[
    ("No project is given", &["list"], &[]),
    ("No credential is set", &["list", "--all-projects"], &[]),
    (
        "Only the id of a service account is set",
        &["list"],
        &[PROJECT, ("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_1")],
    ),
    (
        "Only the private key of an API key is set",
        &["list"],
        &[PROJECT, ("MONGODB_ATLAS_PRIVATE_API_KEY", "1")],
    ),
    (
        "The id of a project is not valid",
        &["list"],
        &[TOKEN, ("MONGODB_ATLAS_PROJECT_ID", "my project")],
    ),
    (
        "The credential was pasted with something around it",
        &["list"],
        &[PROJECT, ("MONGODB_ATLAS_ACCESS_TOKEN", "\"a.token\"")],
    ),
    (
        "The credential is in the wrong variable",
        &["list"],
        &[PROJECT, ("MONGODB_ATLAS_ACCESS_TOKEN", "mdb_sa_sk_1")],
    ),
    (
        "The name of a variable was not replaced by its value",
        &["list"],
        &[PROJECT, ("MONGODB_ATLAS_ACCESS_TOKEN", "$TOKEN")],
    ),
    (
        "The base URL is not encrypted",
        &["list", "--base-url", "http://atlas.example"],
        &[PROJECT, TOKEN],
    ),
    (
        "The variables name both clouds",
        &["list"],
        &[
            PROJECT,
            TOKEN,
            ("MONGODB_ATLAS_BASE_URL", "https://cloud.mongodb.com"),
            ("MONGODB_ATLAS_SERVICE", "cloudgov"),
        ],
    ),
    (
        "The name of the cloud is not known",
        &["list"],
        &[PROJECT, TOKEN, ("MONGODB_ATLAS_SERVICE", "gov")],
    ),
    (
        "The proxy cannot be used",
        &["list"],
        &[PROJECT, TOKEN, ("HTTPS_PROXY", "socks5://proxy.example")],
    ),
    ("`token` without a service account", &["token"], &[]),
    (
        "`token --revoke` without a token",
        &["token", "--revoke"],
        &[],
    ),
];

/// Wrong arguments.
const ARGUMENTS: &[Case] = &[
    ("There is no such option", &["list", "--project"], &[]),
    ("There is no such command", &["lst"], &[]),
    (
        "Two kinds of sources are given",
        &["list", "--org-id", GROUP, "--all-projects"],
        &[],
    ),
    (
        "A value is out of range",
        &["list", "--items-per-page", "501"],
        &[],
    ),
    ("There is no such format", &["list", "-o", "yaml"], &[]),
    (
        "There is no such column",
        &["list", "--columns", "lastuse"],
        &[],
    ),
    (
        "Columns are for `table` and `csv`",
        &["list", "--demo", "-o", "json", "--columns", "name"],
        &[],
    ),
    (
        "The byte order mark is for `csv`",
        &["list", "--demo", "--bom"],
        &[],
    ),
    (
        "A duration has no unit",
        &["list", "--unused-for", "90"],
        &[],
    ),
    (
        "The unit of a duration has two meanings",
        &["list", "--unused-for", "3m"],
        &[],
    ),
    (
        "Filters do not go with `raw`",
        &["list", "--demo", "--never-used", "-o", "raw"],
        &[],
    ),
    (
        "`raw` and `--page-num` are for one project",
        &["list", "--all-projects", "-o", "raw"],
        &[],
    ),
    (
        "An argument looks like a credential",
        &["list", "mdb_sa_sk_1"],
        &[],
    ),
    (
        "`find` got a key as an argument",
        &["find", "--demo", "al-0123456789abcdefodu2"],
        &[],
    ),
    ("`find` got no key", &["find", "--demo"], &[]),
    (
        "There is no such fault",
        &["emulate", "--fault", "reset"],
        &[],
    ),
];

#[test]
fn usage_errors_are_those_of_the_documentation() {
    let mut failures = Vec::new();
    for (cause, arguments, variables) in [VARIABLES, ARGUMENTS].concat() {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let outcome = run(arguments, &variables);
        assert_eq!(outcome.code, Some(2), "{cause}: {}", outcome.stderr);
        let error = without_notes(&outcome.stderr);
        let project = format!("project {GROUP}");
        failures.push((cause, error.replace(&project, "project PROJECT_ID")));
    }
    let mut not_utf8 = command(&["list"], &[]);
    not_utf8
        .env(TOKEN.0, OsStr::from_bytes(b"\xff"))
        .env(PROJECT.0, PROJECT.1);
    let error = finish(not_utf8.spawn().unwrap()).failure(2);
    failures.push(("A variable is not UTF-8", error));
    for (cause, line) in [
        ("`find` got a key as Atlas shows it", "al-****odu2"),
        (
            "`find` got a credential of another kind",
            "mdb_sa_sk_0123456789",
        ),
        (
            "`find` got something that cannot be a key",
            "al 0123456789abcdef",
        ),
        ("`find` got a key that is too short", "al-odu2"),
    ] {
        let outcome = with_input(&["find", "--demo"], line);
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        failures.push((cause, without_notes(&outcome.stderr)));
    }
    let key = r#"{"apiKeyId": "a1"}"#;
    let outcome = with_input(&["emulate", "--data", "-", "--keys", "5"], key);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    failures.push((
        "`emulate --data` with an option about generated keys",
        outcome.stderr,
    ));
    document::check(2, &meaning(2), &failures);
}

#[test]
fn failures_of_this_machine_are_those_of_the_documentation() {
    let open = |path| std::fs::File::options().write(true).open(path).unwrap();
    let writing_to = |stdout: Stdio| {
        let child = command(&["list", "--demo"], &[]).stdout(stdout).spawn();
        let outcome = finish(child.unwrap());
        assert_eq!(outcome.code, Some(1));
        without_notes(&outcome.stderr)
    };
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failures = [
        ("The disk is full", writing_to(open("/dev/full").into())),
        (
            "The standard output is closed",
            writing_to(null.unwrap().into()),
        ),
        (
            "The port of `emulate` is in use",
            run(&["emulate", "--port", &port], &[])
                .failure(1)
                .replace(&port, "PORT"),
        ),
        (
            "The file of `emulate --data` cannot be read",
            run(&["emulate", "--data", "keys.ndjson"], &[]).failure(1),
        ),
        (
            "The input of `emulate --data -` is not valid",
            with_input(&["emulate", "--data", "-"], "{\"id\": 1}").failure(1),
        ),
    ];
    document::check(1, &meaning(1), &failures);
}

fn with_input(arguments: &[&str], input: &str) -> Outcome {
    let child = command(arguments, &[]).stdin(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    finish(child)
}

fn without_notes(stderr: &str) -> String {
    let lines = stderr.split_inclusive('\n');
    lines.filter(|line| !line.starts_with("note: ")).collect()
}

/// Returns the meaning of an exit code, as the help says it.
fn meaning(code: u8) -> String {
    let help = run(&["list", "--help"], &[]).stdout();
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let number = code.to_string();
    let mut lines = codes
        .lines()
        .filter_map(|line| line.trim().split_once("  "));
    let (_, meaning) = lines.find(|(code, _)| *code == number).unwrap();
    meaning.to_owned()
}
