//! The emulator as a service.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::Child;

use atlas_model_keys_emulator::Fault;

use crate::support::{command, finish, run};

/// Returns the variables that the exports set. All other lines must be comments.
fn exports<'t>(lines: impl IntoIterator<Item = &'t str>) -> BTreeMap<String, String> {
    lines
        .into_iter()
        .filter(|line| !line.starts_with("# "))
        .map(|line| {
            let (name, value) = line
                .strip_prefix("export ")
                .unwrap()
                .split_once('=')
                .unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

const NAMES: [&str; 6] = [
    "MONGODB_ATLAS_BASE_URL",
    "MONGODB_ATLAS_CLIENT_ID",
    "MONGODB_ATLAS_CLIENT_SECRET",
    "MONGODB_ATLAS_PRIVATE_API_KEY",
    "MONGODB_ATLAS_PROJECT_ID",
    "MONGODB_ATLAS_PUBLIC_API_KEY",
];

#[test]
fn emulate_prints_exports_and_ends_in_time() {
    let text = run(&["emulate", "--for", "1s"], &[]).stdout();
    let variables = exports(text.lines());
    assert_eq!(variables.keys().collect::<Vec<_>>(), NAMES);
    assert!(variables["MONGODB_ATLAS_BASE_URL"].starts_with("http://127.0.0.1:"));
    assert!(
        text.contains("# ") && text.contains("curl --digest"),
        "{text}"
    );
    // Equal seeds give equal credentials, and different seeds different ones.
    let again = exports(run(&["emulate", "--for", "1ms"], &[]).stdout().lines());
    let other = exports(
        run(&["emulate", "--for", "1ms", "--seed", "7"], &[])
            .stdout()
            .lines(),
    );
    for name in &NAMES[1..] {
        assert_eq!(variables[*name], again[*name]);
        assert_ne!(variables[*name], other[*name]);
    }
}

#[test]
fn emulate_serves_list() {
    let arguments = [
        "emulate",
        "--for",
        "30s",
        "--keys",
        "321",
        "--rate-limit",
        "none",
        "--nonce-ttl",
        "50ms",
        "--latency",
        "1ms",
        "--groups",
        "1",
        "--with-secrets",
    ];
    let (child, lines) = started(&arguments);
    let variables = exports(lines.iter().map(String::as_str));
    let with = |names: &[&'static str]| {
        let pairs: Vec<_> = names
            .iter()
            .map(|name| (*name, variables[*name].clone()))
            .collect();
        run(&["list", "-o", "ndjson", "--items-per-page", "50"], &pairs).stdout()
    };
    let account = with(&NAMES);
    let api_key = with(&[NAMES[0], NAMES[3], NAMES[4], NAMES[5]]);
    assert_eq!(account.lines().count(), 321);
    assert_eq!(account.matches("[redacted]").count(), 321);
    assert_eq!(account, api_key);
    stop(child);
}

#[cfg(unix)]
#[test]
fn signals_end_emulate_with_0() {
    for signal in ["INT", "TERM"] {
        let (child, _) = started(&["emulate"]);
        let id = child.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &id])
            .status();
        assert!(kill.unwrap().success());
        let outcome = finish(child);
        assert_eq!(
            (outcome.code, outcome.stderr.as_str()),
            (Some(0), ""),
            "{signal}"
        );
    }
}

#[test]
fn port_in_use_is_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = run(&["emulate", "--port", &port, "--for", "1ms"], &[]).failure(1);
    assert!(
        error.contains("127.0.0.1") && error.contains("--port"),
        "{error}"
    );
}

#[test]
fn values_out_of_range_are_2() {
    for arguments in [
        ["--port", "0"],
        ["--port", "65536"],
        ["--keys", "1000001"],
        ["--groups", "0"],
        ["--seed", "-1"],
        ["--token-ttl", "0s"],
        ["--token-ttl", "500ms"],
        ["--nonce-ttl", "0s"],
        ["--latency", "1h"],
        ["--for", "0ms"],
        ["--for", "5"],
        ["--for", "100y"],
        ["--rate-limit", "0/0/0"],
        ["--rate-limit", "fast"],
    ] {
        run(&[&["emulate"], &arguments[..]].concat(), &[]).failure(2);
    }
}

#[test]
fn every_fault_is_listed_with_its_argument() {
    let text = run(&["emulate", "--list-faults"], &[]).stdout();
    let mut names = HashSet::new();
    for fault in Fault::all() {
        let start = match fault.argument() {
            Some(argument) => format!("{}[={argument}] ", fault.name()),
            None => format!("{} ", fault.name()),
        };
        let mark = if fault.is_harmless() { "+ " } else { "  " };
        let line = format!("{mark}{start}");
        let found: Vec<_> = text.lines().filter(|l| l.starts_with(&line)).collect();
        assert!(
            found.len() == 1 && found[0].ends_with(fault.description()),
            "{fault}: {found:?}"
        );
        names.insert(fault.name());
    }
    // Nothing else is listed.
    let listed = text.lines().filter(|line| line.starts_with(['+', ' ']));
    assert_eq!(listed.count(), names.len());
}

#[test]
fn each_fault_applies_to_its_route() {
    let arguments = ["--fault", "results-null", "--fault=token-slow=1ms"];
    let (child, lines) = started(&[&["emulate", "--for", "30s"], &arguments[..]].concat());
    let variables: Vec<_> = exports(lines.iter().map(String::as_str))
        .into_iter()
        .filter_map(|(name, value)| Some((*NAMES.iter().find(|known| **known == name)?, value)))
        .collect();
    let error = run(&["list"], &variables).failure(7);
    assert!(error.contains("results"), "{error}");
    stop(child);
    let text = run(&["emulate", "--for", "1ms", "--fault", "slow-body"], &[]).stdout();
    assert!(text.contains("\n# On demand: slow-body=10ms: "), "{text}");
}

#[test]
fn invalid_fault_is_2_and_names_the_way_out() {
    for (fault, rule) in [
        ("rest-in-body", "did you mean \"reset-in-body\"?"),
        ("", "there is no fault \"\""),
        ("garbage=1", "takes no argument"),
        ("slow-body=fast", "a duration from 0ms to 1m"),
        ("error-json=200", "a number from 400 to 599"),
        ("\u{1b}[2J", "there is no fault"),
    ] {
        let error = run(&["emulate", "--fault", fault], &[]).failure(2);
        assert!(
            error.contains(rule) && error.contains("--list-faults"),
            "{error}"
        );
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}

/// Starts the emulator, and reads its output up to the line about tokens.
fn started(arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = command(arguments, &[]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    // The output is written at once, so the rest of it does not block the command.
    while !lines
        .iter()
        .any(|line: &String| line.contains("--oauth2-bearer"))
    {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended");
        lines.push(line.trim_end().to_owned());
    }
    (child, lines)
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
