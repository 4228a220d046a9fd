//! Writes the seeds that come from the core's transcripts and fixtures, and from examples of RFCs and of Atlas: run
//! `cargo run --example seeds` in the folder `fuzz/properties`. A test finds those that are not written yet. The README describes
//! how a campaign adds more.

mod challenge;
mod dates;
mod driver;
mod emulator;
mod listing;
mod output;
mod page;
mod redaction;
mod reply;
mod request;
mod server;
mod session;
mod transcripts;
mod wire;

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

use atlas_model_keys_core::wire::CHUNK_EXTENSION_BYTES;
use atlas_model_keys_properties::TARGETS;
use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::targets::wire as wire_target;

use crate::challenge::CHALLENGES;
use crate::dates::DATES;
use crate::driver::driver_inputs;
use crate::emulator::{emulator_inputs, emulator_refusals};
use crate::listing::listing_inputs;
use crate::output::output_inputs;
use crate::page::{BODIES, NAMES_IN_ATLAS_LAYOUT, OTHER_BODIES, atlas_page, names_in_wrong_case};
use crate::redaction::redaction_inputs;
use crate::reply::{HEADER_SETS, reply_input};
use crate::request::{
    CREDENTIAL_TEXTS, EXCHANGES, TEXTS, encoding_inputs, request_input, text_inputs,
};
use crate::server::SERVER;
use crate::session::{Scenario, session_input, session_inputs, session_rules};
use crate::transcripts::{responses, stream};
use crate::wire::{STREAMS, wire_input};

fn main() -> io::Result<()> {
    for (target, name, bytes) in seeds()?.missing()? {
        let folder = Path::new(FOLDER).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

#[test]
fn every_seed_is_written() {
    let missing = seeds()
        .and_then(Seeds::missing)
        .expect("the files can be read");
    let missing: Vec<_> = missing
        .iter()
        .map(|(target, name, _)| (target, name))
        .collect();
    assert!(
        missing.is_empty(),
        "write the seeds {missing:?} with `cargo run --example seeds` in the folder fuzz/properties"
    );
}

/// Returns all seeds.
fn seeds() -> io::Result<Seeds> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/tests");
    let fixtures = files(&tests.join("fixtures"), "json")?;
    let transcripts = files(&tests.join("transcripts"), "txt")?;
    let mut seeds = Seeds(Vec::new());

    for (name, body) in &fixtures {
        seeds.add("page", name, body);
        let status = name
            .get(..3)
            .and_then(|status| status.parse().ok())
            .unwrap_or(200);
        seeds.add("reply", name, &reply_input(status, &[], body));
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        seeds.add("wire", name, &wire_input(&[head.as_bytes(), body].concat()));
    }
    for (name, text) in &transcripts {
        let text = String::from_utf8_lossy(text);
        seeds.add("session", name, &session_input(&text));
        for (n, response) in responses(&text).iter().enumerate() {
            let name = format!("{name}-{n}");
            let headers: Vec<_> = response
                .headers
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            seeds.add(
                "reply",
                &name,
                &reply_input(response.status, &headers, response.body.as_bytes()),
            );
            seeds.add("wire", &name, &wire_input(&stream(response)));
            if !response.body.is_empty() {
                seeds.add("page", &name, response.body.as_bytes());
            }
        }
    }
    for (name, body) in OTHER_BODIES {
        seeds.add("reply", name, &reply_input(200, &[], body.as_bytes()));
    }
    for (name, bytes) in session_inputs() {
        seeds.add("session", name, &bytes);
    }
    for (name, Scenario(writer)) in session_rules() {
        seeds.add("session", &name, &writer.0);
    }
    // The deepest value that any limit allows, and one level more.
    for depth in [99, 100] {
        let body = format!(
            r#"{{"results":[],"x":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        seeds.add("page", &format!("depth-{}", depth + 1), body.as_bytes());
    }
    let unknown: String = (0..70).map(|n| format!(r#","{n}":0"#)).collect();
    seeds.add(
        "page",
        "many-unknown",
        format!(r#"{{"results":[]{unknown}}}"#).as_bytes(),
    );
    seeds.add(
        "page",
        "new-fields",
        br#"{"links":[{"href":"h","rel":"next","title":"a \"b\""}],"results":[{"apiKeyId":"a","expiresAt":null,"scopes":["A",["B",{}]],"usage":{"used":true,"tokens":12,"unit":"\u00e4"}}],"totalCount":2,"totalPages":1}"#,
    );
    let interim = "HTTP/1.1 103 X\r\n\r\n".repeat(17);
    seeds.add("wire", "many-interim", &wire_input(interim.as_bytes()));
    let interim = "HTTP/1.1 103 X\r\n\r\n".repeat(16) + "HTTP/1.1 204 X\r\n\r\n";
    seeds.add("wire", "most-interim", &wire_input(interim.as_bytes()));
    for (name, length) in [
        ("chunk-extensions-most", CHUNK_EXTENSION_BYTES),
        ("chunk-extensions-too-many", CHUNK_EXTENSION_BYTES + 1),
    ] {
        let extension = "x".repeat(length - 3);
        let stream = format!(
            "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1 ;\r\nx\r\n0;{extension}\r\n\r\n"
        );
        seeds.add("wire", name, &wire_input(stream.as_bytes()));
    }
    for (n, (method, stream)) in EXCHANGES.iter().enumerate() {
        let method = index_of(&wire_target::METHODS, method);
        let bytes = Writer::default().byte(method).byte(0).number(5);
        seeds.add("wire", &format!("exchange-{n}"), &bytes.rest(stream).0);
    }
    for (n, stream) in STREAMS.iter().enumerate() {
        seeds.add(
            "wire",
            &format!("stream-{n}"),
            &wire_input(stream.as_bytes()),
        );
        // The same stream with small limits.
        for limits in 1..5 {
            let bounded = Writer::default().byte(0).byte(limits).number(3);
            let name = format!("bounded-{n}-{limits}");
            seeds.add("wire", &name, &bounded.rest(stream).0);
        }
    }
    seeds.add(
        "wire",
        "head",
        &Writer::default()
            .byte(1)
            .byte(0)
            .number(1)
            .rest(STREAMS[0])
            .0,
    );
    seeds.add(
        "wire",
        "small",
        &Writer::default()
            .byte(0)
            .byte(1)
            .number(2)
            .rest(STREAMS[1])
            .0,
    );
    for (n, body) in BODIES.iter().enumerate() {
        seeds.add("page", &format!("body-{n}"), body.as_bytes());
        seeds.add(
            "reply",
            &format!("body-{n}"),
            &reply_input(200, &[], body.as_bytes()),
        );
    }
    for (n, name) in NAMES_IN_ATLAS_LAYOUT.iter().enumerate() {
        seeds.add(
            "page",
            &format!("atlas-layout-{n}"),
            atlas_page(name).as_bytes(),
        );
    }
    seeds.add(
        "page",
        "names-in-wrong-case",
        names_in_wrong_case().as_bytes(),
    );
    // Small limits of shown texts.
    let error = r#"{"error":404,"errorCode":"GROUP_NOT_FOUND","detail":"No \u001b[1mgroup \u202e\u00e4","parameters":["123456789"],"reason":"Not Found"}"#;
    for (n, code) in [1, 2, 3].iter().enumerate() {
        let bytes = Writer::default().number(404).byte(code << 3).rest(error).0;
        seeds.add("reply", &format!("short-texts-{n}"), &bytes);
    }
    for (n, headers) in HEADER_SETS.iter().enumerate() {
        seeds.add(
            "reply",
            &format!("headers-{n}"),
            &reply_input(200, headers, b"{\"results\":[]}"),
        );
    }
    seeds.add(
        "reply",
        "long-error",
        &reply_input(404, &[("content-length", "16777217")], b"{}"),
    );
    for (coding, body) in [("gzip", "\u{1f}"), ("identity", "\u{1f}"), ("br", "{}")] {
        let bytes = reply_input(200, &[("content-encoding", coding)], body.as_bytes());
        seeds.add("reply", &format!("coding-{coding}"), &bytes);
    }
    for (n, challenge) in CHALLENGES.iter().enumerate() {
        let user = byte(n % 4);
        let bytes = Writer::default().byte(user).byte(0).rest(challenge).0;
        seeds.add("challenge", &format!("challenge-{n}"), &bytes);
    }
    // As many challenges as are read, the strongest as the last, and one more.
    for others in [15, 16] {
        let others = r#"Basic realm="r", "#.repeat(others);
        let text = format!(r#"{others}Digest realm="r", nonce="n", qop="auth""#);
        let bytes = Writer::default().byte(0).byte(0).rest(text).0;
        seeds.add("challenge", &format!("after-{}", others.len() / 17), &bytes);
    }
    for (n, date) in DATES.iter().enumerate() {
        let bytes = Writer::default().rest([n as u8; 8]).rest(date).0;
        seeds.add("dates", &format!("date-{n}"), &bytes);
    }
    for (n, (base, text)) in TEXTS.iter().enumerate() {
        seeds.add(
            "request",
            &format!("text-{n}"),
            &request_input(base, text, n),
        );
    }
    for (n, text) in CREDENTIAL_TEXTS.iter().enumerate() {
        seeds.add(
            "request",
            &format!("credential-{n}"),
            &request_input("", text, 0),
        );
    }
    for (name, bytes) in text_inputs() {
        seeds.add("request", &name, &bytes);
    }
    for (name, bytes) in encoding_inputs() {
        seeds.add("request", &name, &bytes);
    }
    for (name, bytes) in listing_inputs() {
        seeds.add("listing", &name, &bytes);
    }
    for (name, bytes) in output_inputs() {
        seeds.add("output", name, &bytes);
    }
    for (name, bytes) in redaction_inputs() {
        seeds.add("redaction", &name, &bytes);
    }
    for (name, bytes) in driver_inputs() {
        seeds.add("driver", &name, &bytes);
    }
    for (name, pieces, padding, stream) in SERVER {
        let input = |padding| [&[pieces, padding], stream.as_bytes()].concat();
        seeds.add("server", name, &input(padding));
        if padding > 0 {
            // One more than allowed.
            seeds.add("server", &format!("{name}-and-more"), &input(padding + 1));
        }
    }
    for (name, bytes) in emulator_inputs().into_iter().chain(emulator_refusals()) {
        seeds.add("emulator", &name, &bytes);
    }
    Ok(seeds)
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../seeds");

/// Seeds: the target, the name and the bytes of each.
struct Seeds(Vec<(&'static str, String, Vec<u8>)>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, bytes: &[u8]) {
        self.0.push((target, name.to_owned(), bytes.to_owned()));
    }

    /// Returns the seeds whose bytes no file of their target has, each once.
    fn missing(mut self) -> io::Result<Vec<(&'static str, String, Vec<u8>)>> {
        let mut known = BTreeSet::new();
        for (target, _) in TARGETS {
            let folder = Path::new(FOLDER).join(target);
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder)? {
                known.insert((target, fs::read(entry?.path())?));
            }
        }
        self.0
            .retain(|(target, _, bytes)| known.insert((target, bytes.clone())));
        Ok(self.0)
    }
}

/// Returns the files below a folder with this extension, in order. A name has no extension, and the names of the
/// folders before it.
fn files(folder: &Path, extension: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_dir() {
            let inner = files(&path, extension)?.into_iter();
            found.extend(inner.map(|(inner, bytes)| (format!("{name}-{inner}"), bytes)));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push((name.to_owned(), fs::read(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).expect("a byte")
}

/// Returns the byte that selects a choice.
fn index_of<T: PartialEq>(choices: &[T], choice: &T) -> u8 {
    byte(
        choices
            .iter()
            .position(|known| known == choice)
            .expect("a known choice"),
    )
}
