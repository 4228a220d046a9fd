//! Every fault that the emulator knows, against both clients: each listing ends with all keys or with the right
//! error, in time, within bounded memory, without a secret in what it says; and the client is as usable
//! as before.
//!
//! What comes of each is the table `docs/faults.md`, which this test compares. After a change that is
//! meant, look at what changed:
//!
//! ```text
//! cargo test -p atlas-model-keys-conformance --test faults -- --write && git diff docs
//! ```
//!
//! Each fault is listed with every kind of credential that meets it. What comes of it is told for one of them; with
//! each of them no error, and nothing that the client logs, may hold a secret.
//!
//! Each client runs in processes of its own, so that its memory can be measured; they are told what to do
//! line by line, and answer line by line. Most of the time they wait, so there are several of each.

mod log;

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use atlas_model_keys_conformance::{
    CredentialKind, EmulatedAtlas, HyperClient, Setup, TestClient, UreqClient, atlas,
};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, GroupId, ItemsPerPage, ListRequest};
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Area, Config, Emulator, Fault};
use log::Log;
use tracing_subscriber::fmt::format::FmtSpan;

/// The keys of a listing, three pages of them.
const KEYS: usize = 5;
const ITEMS: u32 = 2;

/// When a page must be there, and how much later a process may say so: machines are busy.
const DEADLINE: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(20);

/// What a client may take, in bytes.
const MEMORY: u64 = 64 << 20;

/// How many processes of each client share the faults.
const PROCESSES: usize = 8;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["client", "ureq"] => client::<UreqClient>(),
        ["client", "hyper"] => client::<HyperClient>(),
        // What the harness of other tests understands.
        _ if arguments.contains(&"--list") => {
            println!("every_fault_ends_with_all_keys_or_the_right_error: test")
        }
        _ => every_fault_ends_with_all_keys_or_the_right_error(arguments.contains(&"--write")),
    }
}

fn every_fault_ends_with_all_keys_or_the_right_error(write: bool) {
    let [ureq, hyper] = thread::scope(|scope| {
        ["ureq", "hyper"]
            .map(|name| scope.spawn(move || outcomes(name)))
            .map(|run| run.join().unwrap())
    });
    let mut rows = String::new();
    let mut area = None;
    let mut harmful = Vec::new();
    for ((fault, ureq), hyper) in Fault::all().zip(&ureq).zip(&hyper) {
        if area.replace(fault.area()) != Some(fault.area()) {
            let title = fault.area().description();
            let _ = write!(
                rows,
                "\n## Of {title}\n\n| fault | what it does | what comes of it |\n|---|---|---|\n"
            );
        }
        let outcome = if ureq == hyper {
            ureq.clone()
        } else {
            format!("ureq: {ureq}; hyper: {hyper}")
        };
        let _ = writeln!(
            rows,
            "| `{fault}` | {} | {} |",
            fault.description(),
            outcome.replace('|', "\\|")
        );
        if fault.is_harmless() && [ureq, hyper].into_iter().any(|o| o != "all keys") {
            harmful.push(fault);
        }
    }
    let table = format!("{INTRODUCTION}{rows}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    if write {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &table).unwrap();
    }
    assert!(harmful.is_empty(), "no harm should have come: {harmful:?}");
    let written = fs::read_to_string(path).unwrap_or_default();
    for (now, then) in table.lines().zip(written.lines()) {
        assert_eq!(now, then, "docs/faults.md says something else");
    }
    assert_eq!(table.lines().count(), written.lines().count());
}

const INTRODUCTION: &str = "# What comes of faults

A listing of three pages from the emulator with each of its faults (`atlas-model-keys emulate --fault NAME`), by both
clients: `atlas-model-keys-ureq` and `atlas-model-keys-hyper`. Two attempts, a read timeout of 300 ms and a deadline of 5 s
for a page, the rest by default. Where the two differ, both outcomes are given; the clients are as usable afterwards as before.
Made and checked by `conformance/tests/faults.rs`.
";

/// What comes of each fault with this client.
fn outcomes(name: &str) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut process = Process::start(name);
        let mut outcomes = Vec::new();
        while let Some((n, fault)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            Fault::all().nth(n).map(|fault| (n, fault))
        } {
            let (of_table, rest) = kinds(fault);
            outcomes.push((n, outcome(&mut process, fault, of_table)));
            for kind in rest {
                outcome(&mut process, fault, *kind);
            }
        }
        let peak: u64 = process.ask("peak").parse().unwrap();
        assert!(peak < MEMORY, "{name} took {peak} bytes");
        (outcomes, peak)
    };
    let shares = thread::scope(|scope| {
        let shares: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(share)).collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap())
            .collect::<Vec<_>>()
    });
    let peak = shares.iter().map(|(_, peak)| peak).max();
    println!("{name}: peak memory {peak:?} bytes");
    let mut outcomes: Vec<_> = shares
        .into_iter()
        .flat_map(|(outcomes, _)| outcomes)
        .collect();
    outcomes.sort();
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The kinds of credentials that meet a fault, first the one whose outcome the table tells.
fn kinds(fault: Fault) -> (CredentialKind, &'static [CredentialKind]) {
    match fault.area() {
        Area::Token => (CredentialKind::ServiceAccount, &[]),
        Area::Digest => (CredentialKind::ApiKey, &[]),
        _ => (
            CredentialKind::Bearer,
            &[CredentialKind::ServiceAccount, CredentialKind::ApiKey],
        ),
    }
}

fn outcome(process: &mut Process, fault: Fault, kind: CredentialKind) -> String {
    let config = Config {
        keys_per_group: KEYS,
        groups: 3,
        rate_limit: None,
        // Found again if it leaks.
        include_secrets: true,
        ..Config::default()
    };
    let atlas = EmulatedAtlas::start(config, Options::default());
    let credentials = atlas.server.with(|emulator| {
        let (account, key) = (emulator.service_account(), emulator.api_key());
        match kind {
            CredentialKind::ServiceAccount => {
                format!("account {} {}", account.client_id, account.client_secret)
            }
            CredentialKind::ApiKey => format!("key {} {}", key.public_key, key.private_key),
            CredentialKind::Bearer => format!("bearer {}", emulator.access_token()),
        }
    });
    // What the emulator issues is a secret, too.
    let token = atlas
        .server
        .with(|emulator| emulator.access_token().to_owned());
    let base = atlas.server.base_url();
    assert_eq!(
        process.ask(&format!("new {base} {token} {credentials}")),
        "ok"
    );
    let list = |process: &mut Process, group| {
        let begun = Instant::now();
        let answer = process.ask(&format!("list {group}"));
        let took = begun.elapsed();
        assert!(took < 3 * DEADLINE + SLACK, "{fault}: {took:?}");
        answer
    };
    atlas.server.with(|emulator| emulator.inject(fault, None));
    let outcome = list(process, atlas.group);
    atlas.server.with(Emulator::heal);
    // As usable as before, where the other group is not held back.
    let group = if outcome.contains("rate limited") {
        atlas
            .server
            .with(|emulator| emulator.groups().nth(1).unwrap())
    } else {
        atlas.group
    };
    let again = list(process, group);
    // A token is renewed once a minute at most: a service account may hold only so many.
    let renewed = outcome.starts_with("Atlas refused the access token");
    assert!(
        again == "all keys"
            || (renewed && again == outcome)
            || (group != atlas.group && again.ends_with(" keys")),
        "{}, after {fault} ({outcome}): {again}",
        process.name
    );
    outcome
}

/// A client in a process of its own.
struct Process {
    name: String,
    child: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Process {
    fn start(name: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["client", name])
            // What was freed goes back to the system, so that what is measured is what is in use and not what glibc keeps
            // for each thread.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "262144")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let tell = child.stdin.take();
        let hear = BufReader::new(child.stdout.take().unwrap());
        Self {
            name: name.to_owned(),
            child,
            tell,
            hear,
        }
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.tell.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.hear.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the client's process ended: {line}");
        answer.trim_end().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.tell.take());
        let _ = self.child.wait();
    }
}

/// The process of a client.
fn client<C: TestClient>() {
    let mut client: Option<C> = None;
    let mut secrets: Vec<String> = Vec::new();
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(log.clone())
        .init();
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["new", base, token, kind, parts @ ..] => {
                // The public part may be shown.
                secrets = parts
                    .last()
                    .into_iter()
                    .chain([token])
                    .map(|&s| s.to_owned())
                    .collect();
                let credentials = match (*kind, parts) {
                    ("bearer", [token]) => Credentials::bearer(*token),
                    ("account", [id, secret]) => Credentials::service_account(*id, *secret),
                    ("key", [public, private]) => Credentials::api_key(*public, *private),
                    _ => panic!("{line}"),
                };
                let mut limits = atlas::soon();
                limits.retry.attempts = 2;
                let setup = Setup {
                    limits: Some(limits),
                    deadline: Some(DEADLINE),
                    read_timeout: Some(Duration::from_millis(300)),
                    ..Setup::default()
                };
                let base = BaseUrl::new(base).unwrap();
                client = Some(C::new(base, credentials.unwrap(), setup).unwrap());
                "ok".to_owned()
            }
            ["list", group] => {
                let outcome = list(client.as_ref().unwrap(), group, &secrets);
                let logged = log.take();
                assert!(logged.contains("exchange"), "nothing was logged");
                holds_nothing(&logged, &secrets);
                outcome
            }
            ["peak"] => peak().to_string(),
            _ => panic!("{line}"),
        };
        println!("{answer}");
    }
}

fn list<C: TestClient>(client: &C, group: &str, secrets: &[String]) -> String {
    let group: GroupId = group.parse().unwrap();
    let items = ItemsPerPage::new(ITEMS).unwrap();
    let request = ListRequest::new(group).with_items_per_page(items);
    let mut ids = Vec::new();
    // No more than anybody would believe.
    for key in client.keys(&request, 1).take(100_000) {
        match key {
            Ok(key) => ids.push(key.api_key_id().map(str::to_owned)),
            Err(error) => {
                leaks_nothing(&error, secrets);
                let error = without_numbers_that_vary(&error.to_string());
                return match ids.len() {
                    0 => error,
                    n => format!("{n} keys, then: {error}"),
                };
            }
        }
    }
    ids.sort();
    ids.dedup();
    match ids.len() {
        KEYS => "all keys".to_owned(),
        n => format!("{n} keys"),
    }
}

fn leaks_nothing(error: &Error, secrets: &[String]) {
    let mut text = format!("{error:?} {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(text, " {inner:?} {inner}");
        cause = inner.source();
    }
    holds_nothing(&text, secrets);
    // The keys' own begin so.
    assert!(!text.contains("al-"), "{text}");
}

/// No run of twelve characters of a secret is in the text.
fn holds_nothing(text: &str, secrets: &[String]) {
    for secret in secrets {
        let mut runs = secret
            .as_bytes()
            .windows(12)
            .map(|run| str::from_utf8(run).unwrap());
        let shown = runs.find(|run| text.contains(run));
        assert!(shown.is_none(), "{shown:?} in {text}");
    }
}

/// How long a wait would be depends on the time of day.
fn without_numbers_that_vary(text: &str) -> String {
    match text.split_once("would have to wait ") {
        Some((before, wait)) if wait.len() > "9 s".len() => {
            format!("{before}would have to wait long")
        }
        _ => text.to_owned(),
    }
}

/// The most memory that this process has had, in bytes; 0 where nobody tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kibibytes.map_or(0, |n| n.parse::<u64>().unwrap() * 1024)
}
