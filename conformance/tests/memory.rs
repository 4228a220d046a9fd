//! The memory that a client needs to stream 120,000 keys, which are 33 MB of pages. The client and the emulator are
//! separate processes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::{env, io, thread};

use atlas_model_keys_conformance::fixtures::peak_memory;
use atlas_model_keys_conformance::{EmulatedAtlas, HyperClient, Setup, TestClient, UreqClient};
use atlas_model_keys_core::{BaseUrl, Credentials, GroupId, ItemsPerPage, ListRequest};

/// The number of keys of the listing.
const KEYS: usize = 120_000;

const MEBIBYTE: u64 = 1 << 20;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", keys] => serve(keys.parse().unwrap()),
        ["list_keys", "ureq", rest @ ..] => list_keys::<UreqClient>(rest),
        ["list_keys", "hyper", rest @ ..] => list_keys::<HyperClient>(rest),
        // For tools that list tests as the standard harness does.
        _ if arguments.contains(&"--list") => println!("many_keys_need_less_than_24_mib: test"),
        _ => many_keys_need_less_than_24_mib(),
    }
}

fn many_keys_need_less_than_24_mib() {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux reports the peak memory in /proc");
        return;
    }
    let emulator = Emulator::start(KEYS);
    let list = |client: &str, ahead: usize| {
        let listing = emulator.list_with(client, ahead);
        println!("{client}, {ahead} in flight: {listing:?}");
        assert_eq!(listing.keys, KEYS as u64);
        assert!(listing.peak < 24 * MEBIBYTE, "{client}: {}", listing.peak);
    };
    // Each client has a process of its own.
    thread::scope(|scope| {
        let list = &list;
        for client in ["ureq", "hyper"] {
            scope.spawn(move || [1, 8].map(|ahead| list(client, ahead)));
        }
    });
}

/// An emulator in a process of its own.
struct Emulator {
    process: Child,
    base: String,
    group: String,
    token: String,
}

/// The result of a listing in a process of its own.
#[derive(Debug)]
struct Listing {
    keys: u64,
    /// The peak memory in bytes.
    peak: u64,
}

impl Emulator {
    fn start(keys: usize) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["serve", &keys.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (base, group, token) = (line(), line(), line());
        Self {
            process,
            base,
            group,
            token,
        }
    }

    fn list_with(&self, client: &str, ahead: usize) -> Listing {
        let output = Command::new(env::current_exe().unwrap())
            .args(["list_keys", client, &ahead.to_string()])
            .args([&self.base, &self.group, &self.token])
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().unwrap());
        let mut number = || numbers.next().unwrap();
        Listing {
            keys: number(),
            peak: number(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The process ends when its input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn serve(keys: usize) {
    let atlas = EmulatedAtlas::with_keys(keys);
    println!("{}", atlas.server.base_url());
    println!("{}", atlas.group);
    println!("{}", atlas.server.with(|e| e.access_token().to_owned()));
    // Serves until the process that started this one ends.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

fn list_keys<C: TestClient>(arguments: &[&str]) {
    let [ahead, base, group, token] = arguments else {
        panic!("{arguments:?}");
    };
    let base = BaseUrl::new(base).unwrap();
    let client = C::new(base, Credentials::bearer(*token).unwrap(), Setup::default()).unwrap();
    let group: GroupId = group.parse().unwrap();
    let request = ListRequest::new(group).with_items_per_page(ItemsPerPage::MAX);
    let keys = client.keys(&request, ahead.parse().unwrap());
    let keys = keys.map(Result::unwrap).count();
    println!("{keys} {}", peak_memory());
}
