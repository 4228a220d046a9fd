//! Runs each client against every fault of the emulator. A listing must end with all keys or with the right error, in
//! time, within bounded memory, and without a secret in an error or in the log. Afterwards the client must still work.
//!
//! The outcomes are in the table `docs/faults.md`, which this test compares. After a change of an outcome, write the
//! table again and look at the difference:
//!
//! ```text
//! cargo test -p atlas-model-keys-conformance --test faults -- --write && git diff docs
//! ```
//!
//! A fault is tested with every kind of credentials that it affects. The table has the outcome for one of them. The checks
//! for secrets cover all of them.
//!
//! Each client runs in processes of its own, so that its memory can be measured. Such a process reads a command from each
//! line of its input and writes a line of output. The processes wait most of the time, so each client has several.

mod log;

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use atlas_model_keys_conformance::client::fast_retries;
use atlas_model_keys_conformance::fixtures::peak_memory;
use atlas_model_keys_conformance::{
    CredentialKind, EmulatedAtlas, HyperClient, Setup, TestClient, UreqClient,
};
use atlas_model_keys_core::{BaseUrl, Credentials, Error, GroupId, ItemsPerPage, ListRequest};
use atlas_model_keys_emulator::server::Options;
use atlas_model_keys_emulator::{Area, Config, Emulator, Fault};
use log::Log;
use tracing_subscriber::fmt::format::FmtSpan;

/// The number of keys of a listing, which has three pages.
const KEYS: usize = 5;
const ITEMS_PER_PAGE: u32 = 2;

/// The deadline of a page, and how much later a process may report the result, because the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(20);

/// The memory that a client may use, in bytes.
const MAX_MEMORY: u64 = 64 << 20;

/// The distance in the list of two cases that run one after the other. It is prime, and no divisor of their number.
const STRIDE: usize = 101;

/// The number of processes of each client.
const PROCESSES: usize = 8;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["client", "ureq"] => client::<UreqClient>(),
        ["client", "hyper"] => client::<HyperClient>(),
        // For tools that list tests as the standard harness does.
        _ if arguments.contains(&"--list") => {
            println!("every_fault_ends_with_all_keys_or_the_right_error: test");
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
                "\n## Faults in {title}\n\n| fault | what the server does | outcome |\n|---|---|---|\n"
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
    assert!(
        harmful.is_empty(),
        "these faults must be harmless: {harmful:?}"
    );
    let written = fs::read_to_string(path).unwrap_or_default();
    for (actual, expected) in table.lines().zip(written.lines()) {
        assert_eq!(actual, expected, "docs/faults.md has another outcome");
    }
    assert_eq!(table.lines().count(), written.lines().count());
}

const INTRODUCTION: &str = "# Faults and their outcomes

Each row is a listing of three pages from the emulator with one fault (`atlas-model-keys emulate --fault NAME`). Both clients,
`atlas-model-keys-ureq` and `atlas-model-keys-hyper`, run it with two attempts, at most 100 pages, a read timeout of 800 ms, a
deadline of 5 s for a page, and defaults otherwise. If the outcomes of the two clients differ, the row has both. After each
fault, both clients still work. `conformance/tests/faults.rs` writes and checks this file.
";

/// Returns the outcome of each fault with this client.
fn outcomes(name: &str) -> Vec<String> {
    let cases: Vec<(Fault, CredentialKind, bool)> = Fault::all()
        .flat_map(|fault| {
            let kinds = affected_credentials(fault).iter().enumerate();
            kinds.map(move |(n, kind)| (fault, *kind, n == 0))
        })
        .collect();
    assert_ne!(cases.len() % STRIDE, 0, "choose another prime");
    let next = AtomicUsize::new(0);
    let share = || {
        let mut process = Process::start(name);
        let mut outcomes = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= cases.len() {
                break;
            }
            // Faults that only wait are next to each other in the list.
            let n = n * STRIDE % cases.len();
            let (fault, kind, is_in_table) = cases[n];
            let outcome = outcome(&mut process, fault, kind);
            if is_in_table {
                outcomes.push((n, outcome));
            }
        }
        let peak: u64 = process.request("peak").parse().unwrap();
        assert!(peak < MAX_MEMORY, "{name} used {peak} bytes");
        (outcomes, peak)
    };
    let shares = thread::scope(|scope| {
        let shares: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(share)).collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap())
            .collect::<Vec<_>>()
    });
    let peak = shares.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
    println!("{name}: peak memory {peak} bytes");
    let mut outcomes: Vec<_> = shares
        .into_iter()
        .flat_map(|(outcomes, _)| outcomes)
        .collect();
    outcomes.sort();
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Returns the kinds of credentials that a fault affects. The first is the one whose outcome is in the table.
fn affected_credentials(fault: Fault) -> &'static [CredentialKind] {
    use CredentialKind::{ApiKey, Bearer, ServiceAccount};
    match fault.area() {
        Area::Token => &[ServiceAccount],
        Area::Digest => &[ApiKey],
        _ => &[Bearer, ServiceAccount, ApiKey],
    }
}

fn outcome(process: &mut Process, fault: Fault, kind: CredentialKind) -> String {
    let config = Config::default()
        .with_keys_per_group(KEYS)
        .with_groups(3)
        .with_rate_limit(None)
        // So that a secret that leaks is found.
        .with_include_secrets(true);
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
    // A token that the emulator issues is a secret, too.
    let token = atlas
        .server
        .with(|emulator| emulator.access_token().to_owned());
    let base = atlas.server.base_url();
    assert_eq!(
        process.request(&format!("new {base} {token} {credentials}")),
        "ok"
    );
    let list = |process: &mut Process, group| {
        let begun = Instant::now();
        let outcome = process.request(&format!("list {group}"));
        let took = begun.elapsed();
        assert!(took < 3 * DEADLINE + SLACK, "{fault}: {took:?}");
        outcome
    };
    atlas.server.with(|emulator| emulator.inject(fault));
    let outcome = list(process, atlas.group);
    atlas.server.with(Emulator::heal);
    // The client must still work. A 429 delays its group, so another group is listed after one.
    let group = if outcome.contains("rate limited") {
        atlas
            .server
            .with(|emulator| emulator.groups().nth(1).unwrap())
    } else {
        atlas.group
    };
    let again = list(process, group);
    // A token is renewed at most once a minute, because a service account may have only 100 tokens.
    let renewed = outcome.starts_with("Atlas refused the access token");
    assert!(
        again == "all keys"
            || (renewed && again == outcome)
            || (group != atlas.group && again.ends_with(" keys")),
        "{} does not work after {fault} ({outcome}): {again}",
        process.name
    );
    outcome
}

/// A process with a client.
struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(name: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["client", name])
            // glibc then returns freed memory to the system and keeps no arena for each thread, so that the peak is the memory
            // in use.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "262144")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            name: name.to_owned(),
            child,
            input,
            output,
        }
    }

    /// Sends a line to the process and returns the line that it sends back.
    fn request(&mut self, line: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        let mut reply = String::new();
        self.output.read_line(&mut reply).unwrap();
        assert!(reply.ends_with('\n'), "the client's process ended: {line}");
        reply.trim_end().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Runs the process of a client.
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
        let reply = match words.as_slice() {
            ["new", base, token, kind, parts @ ..] => {
                // The last part of the credentials is the secret one.
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
                let mut limits = fast_retries();
                limits.retry.attempts = 2;
                // So that an endless listing ends sooner than with the default of 10,000 pages.
                limits.pages = 100;
                let setup = Setup {
                    limits: Some(limits),
                    deadline: Some(DEADLINE),
                    read_timeout: Some(Duration::from_millis(800)),
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
                assert_no_secret(&logged, &secrets);
                outcome
            }
            ["peak"] => peak_memory().to_string(),
            _ => panic!("{line}"),
        };
        println!("{reply}");
    }
}

fn list<C: TestClient>(client: &C, group: &str, secrets: &[String]) -> String {
    let group: GroupId = group.parse().unwrap();
    let items = ItemsPerPage::new(ITEMS_PER_PAGE).unwrap();
    let request = ListRequest::new(group).with_items_per_page(items);
    let mut ids = Vec::new();
    // An endless listing must not run forever.
    for key in client.keys(&request, 1).take(100_000) {
        match key {
            Ok(key) => ids.push(key.api_key_id().map(str::to_owned)),
            Err(error) => {
                assert_no_secret_in_error(&error, secrets);
                let error = without_varying_numbers(&error.to_string());
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

fn assert_no_secret_in_error(error: &Error, secrets: &[String]) {
    let mut text = format!("{error:?} {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let _ = write!(text, " {inner:?} {inner}");
        cause = inner.source();
    }
    assert_no_secret(&text, secrets);
    // Secrets of listed keys start with these characters.
    assert!(!text.contains("al-"), "{text}");
}

/// Checks that the text contains no twelve consecutive characters of a secret.
fn assert_no_secret(text: &str, secrets: &[String]) {
    for secret in secrets {
        let mut runs = secret.as_bytes().windows(12);
        // In a build for tests, it is ten times as fast as `str::contains`.
        let shown = runs.find(|run| memchr::memmem::find(text.as_bytes(), run).is_some());
        let shown = shown.map(String::from_utf8_lossy);
        assert!(shown.is_none(), "{shown:?} in {text}");
    }
}

/// Replaces the length of a long wait, which depends on the time of day.
fn without_varying_numbers(text: &str) -> String {
    match text.split_once("would have to wait ") {
        Some((before, wait)) if wait.len() > "9 s".len() => {
            format!("{before}would have to wait long")
        }
        _ => text.to_owned(),
    }
}
