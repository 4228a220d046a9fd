//! Writes the seeds that come from the core's transcripts and fixtures, and from examples of RFCs and of Atlas: run
//! `cargo run --example seeds` in the folder `fuzz/properties`. A test finds those that are not written yet. The README describes
//! how a campaign adds more.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use atlas_model_keys_properties::TARGETS;
use atlas_model_keys_properties::generators::bytes::Writer;
use atlas_model_keys_properties::generators::session::{
    ACTION_CODES, ActionCode, BODY_TYPES, BodyType, CHOSEN_LIMITS, ENVELOPE, HEADERS, LIMITS,
    NO_RETRY_STATUSES, OPERATION_SHIFT, OPERATIONS, OTHER_GROUP, PINNED_VERSION, SINGLE_ATTEMPT,
    STATUSES, WAITS_OUT_RATE_LIMITS,
};
use atlas_model_keys_properties::generators::{emulator, listing};
use atlas_model_keys_properties::targets::redaction;
use atlas_model_keys_properties::targets::{reply, request, wire};
use http::Method;

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
    for (n, (method, stream)) in EXCHANGES.iter().enumerate() {
        let method = index_of(&wire::METHODS, method);
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
    for (name, bytes) in text_inputs() {
        seeds.add("request", &name, &bytes);
    }
    for (name, bytes) in encoding_inputs() {
        seeds.add("request", &name, &bytes);
    }
    for (name, bytes) in listing_inputs() {
        seeds.add("listing", &name, &bytes);
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

fn action(code: ActionCode) -> u8 {
    index_of(&ACTION_CODES, &code)
}

fn wire_input(stream: &[u8]) -> Vec<u8> {
    Writer::default().byte(0).byte(0).number(7).rest(stream).0
}

fn reply_input(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let known = |name: &str| reply::NAMES.iter().position(|known| *known == name);
    let headers: Vec<_> = headers
        .iter()
        .filter_map(|(name, value)| Some((u8::try_from(known(name)?).ok()?, value)))
        .take(7)
        .collect();
    let count = byte(headers.len());
    let mut writer = Writer::default().number(status).byte(count);
    for (name, value) in headers {
        writer = writer.byte(name).short(value);
    }
    writer.rest(body).0
}

/// A response of a transcript.
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Parses the lines of a response: status, headers, and a body after an empty line.
fn response(lines: &[&str]) -> Response {
    let mut lines = lines
        .iter()
        .filter_map(|line| line.strip_prefix('<'))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    let status = lines.next().and_then(|status| status.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let headers = lines.by_ref().take_while(|line| !line.is_empty());
    Response {
        status: status.expect("a status"),
        headers: headers
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: lines.collect::<Vec<_>>().join("\n"),
    }
}

/// Returns the lines of a transcript. The lines of a response are together.
fn blocks<'l, 't>(lines: &'l [&'t str]) -> impl Iterator<Item = &'l [&'t str]> {
    lines.chunk_by(|a, b| a.starts_with('<') && b.starts_with('<'))
}

fn responses(transcript: &str) -> Vec<Response> {
    let lines: Vec<&str> = transcript.lines().collect();
    blocks(&lines)
        .filter(|block| block[0].starts_with('<'))
        .map(response)
        .collect()
}

fn stream(response: &Response) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} X\r\n", response.status);
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "Transfer-Encoding: chunked\r\n\r\n";
    if !response.body.is_empty() {
        head += &format!("{:x}\r\n{}\r\n", response.body.len(), response.body);
    }
    (head + "0\r\n\r\n").into_bytes()
}

/// Converts a transcript to actions in the first slot.
fn session_input(transcript: &str) -> Vec<u8> {
    let lines: Vec<&str> = transcript.lines().collect();
    let setting = |name| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let kind = match setting("credentials").and_then(|value| value.split(' ').next()) {
        Some("bearer") => 0,
        Some("service") => 1,
        _ => 2,
    };
    let pinned = if setting("version").is_some() {
        PINNED_VERSION
    } else {
        0
    };
    let single = if setting("attempts") == Some("1") {
        SINGLE_ATTEMPT
    } else {
        0
    };
    let mut writer = Writer::default().byte(kind).byte(1).byte(pinned | single);
    for block in blocks(&lines) {
        let (word, rest) = block[0].split_once(' ').unwrap_or((block[0], ""));
        let operation = OPERATIONS.iter().position(|name| *name == word);
        writer = if let Some(operation) = operation {
            let envelope = if rest.contains("envelope=true") {
                ENVELOPE
            } else {
                0
            };
            start(writer, 0, byte(operation) << OPERATION_SHIFT | envelope)
        } else if word == "<" {
            respond(
                writer.byte(action(ActionCode::Respond)).byte(0),
                &response(block),
            )
        } else if let Some(failure) = rest.split_once(": ").filter(|_| word == "!") {
            let failures = ["not sent", "lost", "permanent", "timed out"];
            let kind = index_of(&failures, &failure.0);
            writer.byte(action(ActionCode::Fail)).byte(0).byte(kind)
        } else if word == "wait" {
            let seconds = rest
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            let seconds = Duration::from_secs_f64(seconds.expect("seconds"))
                .as_millis()
                .div_ceil(1000);
            resume(
                clock(writer, u16::try_from(seconds).expect("a short wait"), 1),
                0,
            )
        } else if let Some(unit) = rest.strip_suffix(" later") {
            let (factor, unit) = match unit {
                "s" => (1, 1),
                "min" => (1, 2),
                _ => (60, 2),
            };
            clock(writer, factor * word.parse::<u16>().expect("a time"), unit)
        } else if word == "=" && (rest.starts_with("page") || rest.starts_with("key")) {
            writer
                .byte(action(ActionCode::Export))
                .byte(action(ActionCode::Restore))
                .byte(0)
                .short("x")
        } else {
            writer
        };
    }
    writer
        .byte(action(ActionCode::Revoke))
        .byte(0)
        .byte(0)
        .byte(2)
        .0
}

fn start(writer: Writer, slot: u8, flags: u8) -> Writer {
    writer
        .byte(action(ActionCode::Start))
        .byte(slot)
        .byte(flags)
}

fn resume(writer: Writer, slot: u8) -> Writer {
    writer.byte(action(ActionCode::Resume)).byte(slot)
}

/// Moves the clock by a number of units (see [`UNITS`](atlas_model_keys_properties::generators::session::UNITS)).
fn clock(writer: Writer, number: u16, unit: u8) -> Writer {
    writer
        .byte(action(ActionCode::Clock))
        .number(number)
        .byte(unit)
}

fn respond(writer: Writer, response: &Response) -> Writer {
    let headers: Vec<_> = response
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = HEADERS.iter().position(|(known, _)| known == name)?;
            let known = HEADERS[name].1.iter().position(|known| known == value);
            Some((u8::try_from(name).ok()?, known, value))
        })
        .take(3)
        .collect();
    let mut writer = writer
        .byte(index_of(&STATUSES, &response.status))
        .byte(byte(headers.len()));
    for (name, known, value) in headers {
        writer = match known {
            Some(known) => writer.byte(name).byte(byte(known)),
            None => writer.byte(name).byte(255).short(value),
        };
    }
    let body_type = |body: BodyType| index_of(&BODY_TYPES, &body);
    if response.body.contains("access_token") {
        return writer.byte(body_type(BodyType::Token)).short("a").byte(0);
    }
    writer.byte(body_type(BodyType::Raw)).long(&response.body)
}

/// Returns scenarios that no transcript has: refused credentials, several exchanges at the same time, and limits.
fn session_inputs() -> Vec<(&'static str, Vec<u8>)> {
    let start_of = start;
    let start = |writer, slot| start(writer, slot, 0);
    let friendly = |writer: Writer, slot| writer.byte(action(ActionCode::Friendly)).byte(slot);
    let with = |writer: Writer, slot, status, header: (&str, usize)| {
        let (name, value) = header;
        let response = Response {
            status,
            headers: HEADERS
                .iter()
                .filter(|(known, _)| *known == name)
                .map(|(known, values)| ((*known).to_owned(), values[value].to_owned()))
                .collect(),
            body: r#"{"results":[]}"#.to_owned(),
        };
        respond(
            writer.byte(action(ActionCode::Respond)).byte(slot),
            &response,
        )
    };
    let session = |kind: u8, flags: u8| Writer::default().byte(kind).byte(0).byte(flags);

    let mut refused = start(session(2, 0), 0);
    for _ in 0..2 {
        refused = with(refused, 0, 401, ("www-authenticate", 0));
    }
    // Exchanges in every slot, with each type of credential, which receive only refusals at the end.
    let under_way = |kind| (0..4).fold(session(kind, 0), start);
    let mut stale = start(session(2, 0), 0);
    for _ in 0..4 {
        stale = with(stale, 0, 401, ("www-authenticate", 1));
    }
    let left = with(start(session(0, 0), 0), 0, 200, ("ratelimit-remaining", 0));
    let left = friendly(resume(start(start(left, 0), 1), 1), 0);
    let held = with(
        start(start(session(0, 0), 0), 1),
        0,
        429,
        ("retry-after", 3),
    );
    let held = start(with(held, 1, 503, ("retry-after", 2)), 2)
        .byte(action(ActionCode::GiveUp))
        .byte(2);
    let set_back = with(start(session(0, 0), 0), 0, 429, ("retry-after", 3));
    let set_back = start(
        set_back
            .byte(action(ActionCode::Clock))
            .number((-3_i16).cast_unsigned())
            .byte(1),
        1,
    );
    let set_back = with(set_back, 1, 429, ("x-other", 0))
        .byte(action(ActionCode::Clock))
        .number(5)
        .byte(1);
    let set_back = start(set_back, 2);
    let followed = start(start(start(session(1, 0), 0), 1), 2);
    let followed = resume(
        friendly(friendly(followed, 0), 0)
            .byte(action(ActionCode::Drop))
            .byte(1),
        2,
    );
    let renewed = friendly(start(session(1, 0), 0), 0);
    let renewed = with(
        friendly(with(renewed, 0, 401, ("x-other", 0)), 0),
        0,
        401,
        ("x-other", 0),
    );
    // A response to a request with the first token repeats that token after a second one was issued.
    let echo = |writer: Writer, slot| {
        writer
            .byte(action(ActionCode::Respond))
            .byte(slot)
            .byte(index_of(&STATUSES, &400))
            .byte(0)
            .byte(index_of(&BODY_TYPES, &BodyType::AllSecrets))
    };
    let late = friendly(start(friendly(start(session(1, 0), 0), 0), 1), 2);
    let late = friendly(with(start(late, 2), 0, 401, ("x-other", 0)), 0);
    let late = echo(echo(late, 1), 2);
    let once = with(start(session(0, 4), 0), 0, 503, ("retry-after", 1));
    let unrepeated = with(start(session(0, 8), 0), 0, 429, ("retry-after", 1));
    let lost = |writer: Writer| writer.byte(action(ActionCode::Fail)).byte(0).byte(1);
    let lost = lost(resume(lost(start(session(1, 0), 0)), 0));
    let clock = |writer, seconds| clock(writer, seconds, 1);
    // An exchange that fetches a token is silent for more than a minute, then fails, resumes, or receives a token.
    let abandoned = start(clock(start(session(1, 0), 0), 61), 1);
    let late_failure = with(abandoned.clone(), 0, 503, ("x-other", 0));
    let late_failure = resume(clock(late_failure, 9), 0);
    let late_token = friendly(start(friendly(abandoned.clone(), 0), 2), 1);
    let late_wait = with(start(session(1, 0), 0), 0, 429, ("retry-after", 2));
    let late_wait = resume(friendly(start(clock(late_wait, 90), 1), 1), 0);
    // Two token requests may have issued a token.
    let issued = with(start(session(1, 0), 0), 0, 500, ("x-other", 0));
    let issued = with(resume(issued, 0), 0, 600, ("x-other", 0));
    // A request that is counted as in flight is silent for more than a minute.
    let place = with(start(session(0, 0), 0), 0, 200, ("ratelimit-remaining", 0));
    let place = start(clock(start(place, 0), 61), 1);
    let place = with(place, 1, 200, ("ratelimit-remaining", 0));
    let place = start(start(place, 2), 3);
    let fraction = with(start(session(0, 0), 0), 0, 503, ("retry-after", 8));
    let partial_page = with(start(session(0, 0), 0), 0, 206, ("x-other", 0));
    // A token in another success than 200 is not accepted.
    let partial_token = with(start(session(1, 0), 0), 0, 206, ("x-other", 0));
    let partial_token = start(partial_token, 1)
        .byte(action(ActionCode::Respond))
        .byte(1);
    let partial_token = partial_token
        .byte(index_of(&STATUSES, &206))
        .byte(0)
        .byte(index_of(&BODY_TYPES, &BodyType::Token))
        .short("a")
        .byte(0);
    // A body beyond the limit for errors, and one beyond the limit for pages.
    let raw = Response {
        status: 404,
        headers: Vec::new(),
        body: format!(r#"{{"detail":"{}"}}"#, "x".repeat(500)),
    };
    let large = respond(
        start(session(0, 2), 0)
            .byte(action(ActionCode::Respond))
            .byte(0),
        &raw,
    );
    let raw = Response { status: 200, ..raw };
    let large = respond(
        start(large, 0).byte(action(ActionCode::Respond)).byte(0),
        &raw,
    );
    let cable = start(session(2, 0), 0)
        .byte(action(ActionCode::Fail))
        .byte(0)
        .byte(0);
    let cable = resume(cable, 0).byte(action(ActionCode::GiveUp)).byte(0);
    let gone = with(start(session(0, 0), 0), 0, 406, ("x-other", 0));
    let gone = with(gone, 0, 410, ("x-other", 0));
    let token = index_of(&BODY_TYPES, &BodyType::Token);
    let long = start(session(1, 2), 0)
        .byte(action(ActionCode::Respond))
        .byte(0)
        .byte(0)
        .byte(0);
    let long = long.byte(token).short("x".repeat(70)).byte(0);
    let foreign = start(session(1, 2), 0)
        .byte(action(ActionCode::Foreign))
        .byte(0);
    let moved = with(start(session(0, 0), 0), 0, 410, ("x-other", 0));
    let moved = friendly(with(moved, 0, 429, ("retry-after", 1)), 0);
    let longer = with(start(session(0, 2), 0), 0, 429, ("retry-after", 2));
    let longer = with(
        resume(longer.byte(action(ActionCode::Clock)).number(9).byte(1), 0),
        0,
        429,
        ("retry-after", 2),
    );
    // The operations share a session, but their scopes and versions are their own.
    let every = |writer: Writer, slots: [u8; 4]| {
        (0..).zip(slots).fold(writer, |writer, (slot, operation)| {
            start_of(writer, slot, operation << OPERATION_SHIFT)
        })
    };
    let to_each = |writer, status, header| {
        (0..4).fold(writer, |writer, slot| with(writer, slot, status, header))
    };
    let scopes = to_each(every(session(0, 0), [0, 1, 3, 4]), 429, ("retry-after", 3));
    let scopes = every(scopes, [2, 3, 1, 4]);
    // Only one scope is paused, and then another one for longer.
    let paused = with(
        every(session(0, 0), [3, 0, 4, 2]),
        0,
        429,
        ("retry-after", 3),
    );
    let paused = every(with(paused, 2, 429, ("retry-after", 4)), [0, 2, 1, 3]);
    let unlike = to_each(
        every(session(1, 0), [2, 0, 4, 1]),
        200,
        ("ratelimit-remaining", 0),
    );
    let unlike = every(friendly(unlike, 0), [1, 3, 0, 4]);
    let versions = to_each(
        every(session(0, PINNED_VERSION), [0, 1, 2, 4]),
        410,
        ("x-other", 0),
    );
    let versions = to_each(versions, 406, ("x-other", 0));
    let moved_key = to_each(every(session(2, 0), [2, 3, 4, 0]), 406, ("x-other", 0));
    // More rate limits than attempts, before and after another token.
    let waited_out = |writer| {
        (0..6).fold(writer, |writer, _| {
            resume(clock(with(writer, 0, 429, ("retry-after", 0)), 41), 0)
        })
    };
    let waited = waited_out(start(session(0, WAITS_OUT_RATE_LIMITS), 0));
    let renewed_late = friendly(start(session(1, WAITS_OUT_RATE_LIMITS), 0), 0);
    let renewed_late = with(waited_out(renewed_late), 0, 401, ("x-other", 0));
    let renewed_late = waited_out(friendly(waited_out(renewed_late), 0));
    [
        ("scopes", scopes),
        ("paused", paused),
        ("unlike", unlike),
        ("versions", versions),
        ("moved-key", moved_key),
        ("waited-out", waited),
        ("renewed-late", renewed_late),
        ("cable", cable),
        ("fraction", fraction),
        ("issued", issued),
        ("late", late),
        ("late-failure", late_failure),
        ("late-token", late_token),
        ("late-wait", late_wait),
        ("long-token", long),
        ("longer", longer),
        ("lost", lost),
        ("partial", partial_page),
        ("partial-token", partial_token),
        ("large", large),
        ("place", place),
        ("refused", refused),
        ("set-back", set_back),
        ("stale", stale),
        ("under-way-0", under_way(0)),
        ("under-way-1", under_way(1)),
        ("under-way-2", under_way(2)),
        ("left", left),
        ("gone", gone),
        ("held", held),
        ("followed", followed),
        ("renewed", renewed),
        ("once", once),
        ("unrepeated", unrepeated),
        ("foreign", foreign),
        ("moved", moved),
    ]
    .map(|(name, writer)| (name, writer.0))
    .into()
}

/// Returns an input with these texts and a request to encode.
fn request_input(base: &str, text: &str, n: usize) -> Vec<u8> {
    let number = byte(n);
    let body = if n.is_multiple_of(2) { "" } else { "a=b" };
    Writer::default()
        .rest([number.wrapping_mul(37); 12])
        .byte(number.wrapping_mul(29))
        .number(u16::from(number) * 20)
        .rest(u32::from(number).to_le_bytes())
        .short(base)
        .short(text)
        .byte(byte(n % request::METHODS.len()))
        .short(
            [
                "http://a.example/x?y=z",
                "https://u:p@a.example:8443",
                "/only/a/path",
                "*",
                "a.example:443",
            ][n % 5],
        )
        .byte(2)
        .short("x-one")
        .short(" a\tb ")
        .short(["host", "content-length", "transfer-encoding", "x-two"][n % 4])
        .short(["b.example", "3", "chunked", "\u{e9}"][n % 4])
        .rest(body)
        .0
}

/// Returns runs of a secret for each type of credential, in each encoding, and in several encodings.
/// Returns texts at the limits of what base URLs, ids and exceptions of `NO_PROXY` may be.
fn text_inputs() -> Vec<(String, Vec<u8>)> {
    let label = |n| format!("https://{}.example", "a".repeat(n));
    let bases = [
        label(63),
        label(64),
        "https://a.example:080".to_owned(),
        "https://a.example:0".to_owned(),
        "https://a.example:65535/".to_owned(),
        "https://a.example:65536".to_owned(),
        "https://a.example/./b".to_owned(),
        "https://a.example/a//b".to_owned(),
        "https://a.example/-._~!$&'()*+,;=://".to_owned(),
        "http://127.255.255.255".to_owned(),
        "http://128.0.0.1".to_owned(),
    ];
    // The selector is the index of the target: cloud.mongodb.com, 10.1.2.3:8443, fd00::1.
    let texts = [
        (0, "a".repeat(64)),
        (0, "a".repeat(65)),
        (0, "ongodb.com".to_owned()),
        (0, "mongodb.com. x".to_owned()),
        (1, "10.1.2.3/32".to_owned()),
        (1, "10.1.2.2/31,10.1.3.0/24".to_owned()),
        (1, "10.1.2.4/32,10.1.2.3/33".to_owned()),
        (2, "fd00::1/128".to_owned()),
        (2, "fd00::/127".to_owned()),
        (2, "fd00::2/127,fd00::1/129".to_owned()),
    ];
    let bases = bases.into_iter().map(|base| (0, base, String::new()));
    let texts = texts.map(|(n, text)| (n, "proxy.example".to_owned(), text));
    let input = |(n, (selector, base, text)): (usize, (u8, String, String))| {
        let writer = Writer::default().byte(selector).rest([0; 18]);
        (format!("limit-{n}"), writer.short(base).short(text).0)
    };
    bases.chain(texts).enumerate().map(input).collect()
}

/// Returns requests to encode: fields that occur twice or contradict the request, and unusual targets.
fn encoding_inputs() -> Vec<(String, Vec<u8>)> {
    type Fields = &'static [(&'static str, &'static str)];
    let requests: [(&str, Method, &str, Fields, &str); 12] = [
        (
            "two-hosts",
            Method::GET,
            "http://a.example/",
            &[("host", "a.example"), ("host", "b.example")],
            "",
        ),
        (
            "equal-hosts",
            Method::GET,
            "/x",
            &[("host", "a.example"), ("Host", "a.example")],
            "",
        ),
        (
            "other-host",
            Method::GET,
            "http://u@b@a.example:80/x",
            &[("host", "b.example")],
            "",
        ),
        (
            "user-with-at",
            Method::GET,
            "http://u%40x:p@a.example:80/x?y@z",
            &[("x", "a"), ("x", "b"), ("X", "a")],
            "",
        ),
        ("no-host", Method::GET, "/x", &[("x", " ")], ""),
        (
            "two-lengths",
            Method::POST,
            "http://a.example",
            &[("content-length", "3"), ("content-length", "3")],
            "a=b",
        ),
        (
            "wrong-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "4")],
            "a=b",
        ),
        (
            "right-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "3")],
            "a=b",
        ),
        (
            "zero-length",
            Method::POST,
            "http://a.example",
            &[("content-length", "0")],
            "",
        ),
        (
            "chunked",
            Method::PUT,
            "http://a.example",
            &[("transfer-encoding", "chunked")],
            "a=b",
        ),
        ("trace", Method::TRACE, "http://a.example", &[], "a=b"),
        ("star", Method::OPTIONS, "*", &[("host", "a.example")], ""),
    ];
    let bytes = requests.map(|(name, method, uri, fields, body)| {
        let writer = Writer::default().rest([0; 19]).short("").short("");
        let method = index_of(&request::METHODS, &method);
        let writer = writer.byte(method).short(uri).byte(byte(fields.len()));
        let fields = fields.iter();
        let writer = fields.fold(writer, |writer, (name, value)| {
            writer.short(name).short(value)
        });
        (format!("encode-{name}"), writer.rest(body).0)
    });
    bytes.into()
}

/// Returns listings of keys and of groups with each of these sequences of pages.
fn listing_inputs() -> Vec<(String, Vec<u8>)> {
    // The codes of links are indices of `LINKS`: next, none, no `links`, previous, ...
    let [full, last, escaped] = [listing::FULL, listing::LINKS_LAST, listing::ESCAPED_NAME];
    let next = |keys: &[u8]| [&[0, byte(keys.len())], keys].concat();
    let end = |keys: &[u8]| [&[3, byte(keys.len())], keys].concat();
    let untold = |keys: &[u8]| [&[2, byte(keys.len())], keys].concat();
    // `totalCount` is written in the next byte.
    let counted = |links: u8, total: u8, keys: &[u8]| {
        [&[links | 1 << 3, byte(keys.len()), total], keys].concat()
    };
    let wrong = |links: u8, index: u8, keys: &[u8]| {
        [&[links | 3 << 3, byte(keys.len()), index], keys].concat()
    };
    type Sequence = (&'static str, u8, u8, u8, Vec<Vec<u8>>);
    let sequences: [Sequence; 21] = [
        (
            "distinct",
            0,
            0,
            0,
            vec![next(&[2, 3]), next(&[4, 5]), end(&[6])],
        ),
        (
            "shifted",
            0,
            0,
            0,
            vec![next(&[2, 3, 7]), next(&[7, 8, 9]), next(&[9, 2]), end(&[2])],
        ),
        (
            "equal-ends",
            0,
            0,
            0,
            vec![
                next(&[2, 6, 10, 14]),
                next(&[18, 22, 26, 30]),
                end(&[3, 7, 11, 15]),
            ],
        ),
        (
            "equal-beginnings",
            0,
            0,
            0,
            vec![next(&[4, 8, 12]), next(&[5, 9, 13]), end(&[36, 40])],
        ),
        (
            "prefix-of-the-other",
            0,
            0,
            0,
            vec![next(&[8]), next(&[9]), next(&[10]), end(&[4])],
        ),
        (
            "without-ids",
            0,
            0,
            0,
            vec![next(&[0, 1]), next(&[0, 1]), next(&[0, 2]), end(&[0, 2])],
        ),
        ("repeated", 0, 1, 0, vec![next(&[2, 3]), next(&[2, 3])]),
        (
            "repeated-in-another-order",
            0,
            1,
            0,
            vec![next(&[2, 3]), next(&[3, 2]), end(&[2])],
        ),
        (
            "repeated-with-other-texts",
            0,
            1,
            0,
            vec![next(&[6, 7]), next(&[70, 135]), next(&[2])],
        ),
        (
            "one-key-again",
            0,
            2,
            0,
            vec![next(&[2]), next(&[2]), next(&[2]), next(&[2]), next(&[3])],
        ),
        (
            "one-key-again-twice",
            0,
            2,
            0,
            vec![next(&[2]), next(&[2]), next(&[2]), end(&[3])],
        ),
        (
            "one-key-again-after-empty",
            0,
            2,
            0,
            vec![
                next(&[2]),
                next(&[]),
                next(&[2]),
                next(&[]),
                next(&[2]),
                end(&[2]),
            ],
        ),
        (
            "empty",
            0,
            0,
            0,
            vec![
                next(&[]),
                next(&[]),
                next(&[2]),
                next(&[]),
                next(&[]),
                next(&[]),
            ],
        ),
        (
            "empty-after-announced",
            0,
            0,
            0,
            vec![next(&[2]), end(&[]), end(&[3]), end(&[])],
        ),
        (
            "empty-after-announced-twice",
            0,
            0,
            0,
            vec![next(&[2]), end(&[]), end(&[])],
        ),
        (
            "without-links",
            2,
            2,
            0,
            vec![
                untold(&[2, 3]),
                counted(2, 30, &[4]),
                wrong(2, 2, &[5, 6]),
                untold(&[]),
            ],
        ),
        (
            "without-one-id-again",
            0,
            1,
            0,
            vec![next(&[2, 3, 0]), next(&[2, 3]), next(&[0, 2, 3]), end(&[2])],
        ),
        (
            "total-reached",
            0,
            0,
            0,
            vec![counted(0, 2, &[2, 3]), counted(0, 2, &[4, 5]), end(&[6])],
        ),
        (
            "counts",
            4,
            1,
            0,
            vec![
                counted(0, 5, &[2, 3]),
                counted(0, 0, &[4, 5]),
                wrong(0, 4, &[6, 7]),
                counted(4, 11, &[8]),
                counted(5, 10, &[9]),
            ],
        ),
        ("limit", 2, 0, 2, vec![next(&[2]), next(&[3]), next(&[4])]),
        (
            "last-number",
            2,
            3,
            0,
            vec![next(&[2]), next(&[3]), next(&[4])],
        ),
    ];
    let layouts = vec![
        vec![last, 2, 2, 3],
        vec![last, 2, 2, 3],
        vec![escaped, 1, 4],
        vec![escaped, 1, 4],
    ];
    let pages = vec![
        vec![2, full, 10],
        vec![2, full, 60],
        vec![2, full, 160],
        vec![2, 1, 2],
    ];
    let more = [
        ("layouts", 0, 0, 0, layouts),
        ("full", 0, 0, 0, pages.clone()),
        ("full-pages-of-three", 6, 0, 0, pages),
    ];
    // Each kind of links, on a page whose `totalCount` says that there are more keys, and on an empty one.
    let with_links = (0..byte(listing::LINKS.len())).map(|links| {
        let pages = [
            next(&[2]),
            counted(links, 9, &[3]),
            next(&[4]),
            counted(links, 9, &[]),
            end(&[5]),
        ];
        let head = Writer::default().byte(0).byte(0).byte(0);
        (format!("links-{links}"), head.rest(pages.concat()).0)
    });
    let all = sequences.into_iter().chain(more);
    all.flat_map(|(name, flags, first, limit, pages)| {
        ["", "-groups"]
            .into_iter()
            .zip(0..)
            .map(move |(kind, groups)| {
                let head = Writer::default()
                    .byte(flags | groups)
                    .byte(first)
                    .byte(limit);
                (format!("{name}{kind}"), head.rest(pages.concat()).0)
            })
    })
    .chain(with_links)
    .collect()
}

fn redaction_inputs() -> Vec<(String, Vec<u8>)> {
    let code = |code| index_of(&redaction::PIECE_CODES, &code);
    let text =
        |writer: Writer, text: &str| writer.byte(code(redaction::PieceCode::Text)).short(text);
    // The parts are the secret, the start, the additional length, and whether a text follows.
    let run = |writer: Writer, parts: [u8; 4], encodings: &[u8]| {
        let writer = writer.byte(code(redaction::PieceCode::Run));
        parts
            .into_iter()
            .fold(writer, Writer::byte)
            .short(encodings)
    };
    let secrets = [
        "eyJhbGci.Zr8Xq2/Lm9Vb+Kt4W~1",
        "mdb_sa_sk_hunter3/+%x\"tail",
        "01234567-89ab-cdef-0123-456789abcdef",
        "zq7-!#$&'()*,:;<=>?@[\\]^_`{|}",
        "short",
    ];
    let mut seeds = Vec::new();
    for (n, secret) in secrets.into_iter().enumerate() {
        let begin = |flags: u8| Writer::default().byte(byte(n)).byte(flags).short(secret);
        for encoding in 0..redaction::ENCODINGS.len() {
            let status = byte(2 * (encoding % redaction::STATUSES.len()));
            let begun = text(begin(status), "token <");
            let whole = run(begun, [0, 0, 255, 1], &[byte(encoding)]);
            let whole = text(whole, "> is \u{e9} bad, not ");
            let part = run(whole, [0, 3, 2, 0], &[0, byte(encoding), 1, 0, 4]);
            seeds.push((format!("secret-{n}-{encoding}"), part.0));
        }
        let chain = text(begin(0), "cable pulled").byte(code(redaction::PieceCode::Source));
        let chain = run(text(chain, "GOAWAY "), [1, 0, 0, 1], &[0])
            .byte(code(redaction::PieceCode::Source));
        seeds.push((format!("chain-{n}"), text(chain, "\x1b[31mon port 443").0));
        // The limit is within the secret or within its escapes.
        for before in [20, 30, 39, 42] {
            let cut = text(
                begin(redaction::SMALL_TEXT_LIMIT),
                &format!("\u{1}{}", "x".repeat(before - 5)),
            );
            let cut = run(cut, [0, 0, 255, 1], &[0]);
            seeds.push((format!("cut-{n}-{before}"), cut.0));
        }
        // Encoded in unusual ways, and next to each character that ends a word.
        let encoded = |encode: fn(u32) -> String| -> String {
            secret
                .chars()
                .take(16)
                .map(|c| encode(u32::from(c)))
                .collect()
        };
        for (name, shown) in [
            ("capital", encoded(|c| format!("&#X{c:X}"))),
            ("four-times", encoded(|c| format!("%252525{c:02x}"))),
            ("five-times", encoded(|c| format!("%25252525{c:02x}"))),
            ("backtick", format!("<{secret}`a` {secret}")),
            ("apostrophe", format!("'{secret}'a {secret}\u{3000}b")),
            (
                "unsafe",
                format!("\u{7f}{secret}\u{85}\u{202e} \u{ad}\u{7f}\u{80}\u{feff}"),
            ),
        ] {
            seeds.push((format!("{name}-{n}"), text(begin(0), &shown).0));
        }
        // Each source contains less than a run of the secret.
        let (beginning, end) = (&secret[..secret.len().min(11)], &secret[secret.len() / 2..]);
        let none = text(
            begin(0),
            &format!("%41&lt;\\u0041 {} no secret", &beginning[1..]),
        );
        let none = none.byte(code(redaction::PieceCode::Source));
        let none = text(
            none,
            &format!("\"only\" a text{}", &end[..end.len().min(11)]),
        );
        seeds.push((format!("none-{n}"), none.0));
    }
    seeds
}

fn emulator_inputs() -> Vec<(String, Vec<u8>)> {
    use emulator::Credential as C;
    let [none, known, issued, basic, digest] = [C::None, C::Known, C::Issued, C::Basic, C::Digest]
        .map(|credential| index_of(&emulator::CREDENTIALS, &credential));
    // The parts are the clock's move, method, path, query, version, credential, other headers, and body.
    let ask = |writer: Writer, parts: [u8; 8]| {
        parts[1..]
            .iter()
            .fold(writer.number(u16::from(parts[0])), |writer, part| {
                writer.byte(*part)
            })
    };
    let world = |flags: u8| Writer::default().byte(7).byte(3).byte(5).byte(flags);
    let dialogues: [(&str, Writer, &[[u8; 8]]); 10] = [
        (
            "operations",
            world(8),
            &[
                [0, 0, 7, 0, 1, known, 0, 0],
                [0, 0, 8, 0, 0, known, 0, 0],
                [0, 0, 9, 2, 1, known, 1, 0],
                [0, 0, 8, 2, 1, known, 0, 0],
                [0, 0, 2, 1, 2, known, 1, 0],
                [0, 0, 7, 2, 1, none, 0, 0],
                [0, 0, 7, 2, 1, digest, 0, 0],
            ],
        ),
        (
            "unknown-keys",
            world(0),
            &[
                [0, 0, 10, 0, 0, known, 0, 0],
                [0, 0, 11, 0, 1, known, 0, 0],
                [0, 0, 12, 2, 1, known, 0, 0],
                [0, 0, 13, 3, 1, known, 0, 0],
                [0, 2, 8, 0, 0, known, 0, 0],
                [0, 0, 9, 0, 1, none, 0, 0],
                [0, 0, 9, 0, 1, digest, 0, 0],
            ],
        ),
        (
            "control",
            world(16),
            &[
                [0, 0, 0, 0, 0, none, 0, 0],
                [0, 0, 14, 6, 0, none, 0, 0],
                [0, 5, 17, 0, 0, none, 0, 5],
                [0, 0, 0, 0, 0, digest, 0, 0],
                [0, 5, 17, 0, 0, none, 0, 6],
                [0, 0, 18, 7, 0, none, 0, 0],
                [0, 4, 14, 0, 0, none, 0, 0],
            ],
        ),
        (
            "faults",
            world(24),
            &[
                [0, 5, 16, 0, 0, none, 0, 4],
                [0, 0, 0, 0, 0, known, 0, 0],
                [0, 0, 16, 0, 0, none, 0, 0],
                [0, 0, 0, 0, 0, digest, 1, 0],
                [0, 4, 16, 0, 0, none, 0, 0],
                [0, 1, 15, 0, 0, none, 0, 0],
                [0, 0, 0, 0, 1, known, 0, 0],
            ],
        ),
        (
            "digest",
            world(0),
            &[
                [0, 0, 0, 0, 0, none, 0, 0],
                [1, 0, 0, 0, 0, digest, 1, 0],
                [1, 0, 0, 1, 1, digest, 0, 0],
            ],
        ),
        (
            "account",
            world(8),
            &[
                [0, 1, 3, 0, 0, basic, 0, 1],
                [1, 0, 0, 3, 1, issued, 1, 0],
                [1, 1, 4, 0, 0, basic, 0, 2],
            ],
        ),
        (
            "queries",
            world(0),
            &[
                [0, 0, 0, 4, 0, known, 0, 0],
                [0, 0, 0, 2, 0, known, 0, 0],
                [0, 0, 5, 5, 1, known, 0, 0],
            ],
        ),
        (
            "others",
            world(4),
            &[
                [0, 0, 1, 0, 0, known, 0, 0],
                [0, 0, 2, 0, 2, known, 1, 0],
                [0, 0, 6, 0, 0, known, 0, 0],
                [0, 2, 0, 0, 3, known, 0, 0],
            ],
        ),
        (
            "refused",
            world(1),
            &[
                [0, 4, 0, 0, 0, none, 0, 0],
                [0, 1, 3, 0, 0, none, 0, 3],
                [9, 0, 0, 0, 0, issued, 0, 0],
            ],
        ),
        (
            "expired",
            world(3),
            &[[0, 0, 0, 0, 0, none, 0, 0], [200, 0, 0, 0, 0, digest, 0, 0]],
        ),
    ];
    dialogues
        .into_iter()
        .map(|(name, writer, requests)| {
            (
                name.to_owned(),
                requests.iter().fold(writer, |w, parts| ask(w, *parts)).0,
            )
        })
        .collect()
}

const STREAMS: [&str; 21] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhelloHTTP/1.1 200",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\nA \t; c\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\nuntil the end",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 304\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 200 \r\nX-Folded: a\r\n b\r\n\tc\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nName : x\r\nContent-Length: +1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 x;a\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\x7f\r\nx\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: a, close\r\n\r\n",
    "HTTP/1.1 500 X\r\nContent-Length: 99999999999\r\n\r\nhello, this is an error with a long body",
    "HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello,\r\n2a\r\nthis is a part of a page with a long body, and so on\r\n0\r\n\r\n",
    "HTTP/1.1 999 X\r\n\r\nhello, this is an error with a long body",
    "HTTP/1.1 404 X\r\nContent-Length: 6\r\n\r\nhello,HTTP/1.1 200",
];

/// The method of a request, and its response: what makes a connection persist, and how values are folded.
const EXCHANGES: [(Method, &str); 31] = [
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nContent-Length: 2, 02\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA b: c\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\x01\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close,\r\n a\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, Close , b\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a\r\nConnection: close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: closed, not-close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close keep-alive\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: a, Keep-Alive\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nConnection: close\r\n\r\nok",
    ),
    (
        Method::GET,
        "HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    (
        Method::HEAD,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
    (
        Method::HEAD,
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
    ),
    (Method::HEAD, "HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n"),
    (Method::HEAD, "HTTP/1.0 304 X\r\n\r\n"),
    (Method::GET, "HTTP/1.1 304 X\r\n\r\n"),
    (
        Method::GET,
        "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 304 X\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (Method::GET, "HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n"),
    (Method::CONNECT, "HTTP/1.1 204 X\r\n\r\ntunnel"),
    (
        Method::CONNECT,
        "HTTP/1.1 407 X\r\nContent-Length: 1\r\n\r\nx",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nA: \r\n  b \r\n\t\r\n \tc\td \r\nA: e\r\nB: \r\n \r\na: f\r\nContent-Length:\r\n 0\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000f \t;a\r\n0123456789abcde\r\n00\r\nA: b\r\nC:\r\n\r\n",
    ),
    (
        Method::GET,
        "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
    ),
];

/// Values in a page of Atlas's usual layout, which the core's fast path reads: escapes, valid and invalid ones, and texts that
/// end next to the borders of words.
const NAMES_IN_ATLAS_LAYOUT: [&str; 16] = [
    "Production key",
    r"\ud83d\ude00 and \u00e9\u0000\n\/",
    r"\ud800\u0041",
    r"\ud800",
    r"\ud800 \udc00",
    r"\udc00\ud800",
    r"\ud800\ud800\udc00",
    r"\udbff\udfff\ue000\ud7ff",
    r"\u+041",
    r"\u00e",
    r"\x41",
    "\u{e9}\u{9375}\u{1f600}",
    "1234567\\\"9",
    "12345678\\\\",
    "a tab\tor\u{7f}",
    "ends in a backslash\\",
];

/// Returns a page of three keys with distinct values in Atlas's usual layout. The second has this name.
fn atlas_page(name: &str) -> String {
    let key = |n: u32, name: &str| {
        format!(
            r#"{{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmp{n}","cloud":"C{n}","createdAt":"2026-01-1{n}T16:47:49Z","createdBy":"user-{n}","endpoint":"ai{n}.mongodb.com","geography":"G{n}","groupId":"69681d39c9e8cfd37538631{n}","lastUsedAt":null,"maskedSecret":"al-****odu{n}","name":"{name}","secret":"al-{n}","status":"S{n}"}}"#
        )
    };
    format!(
        r#"{{"links":[{{"href":"https://cloud.mongodb.com/x?pageNum=1","rel":"self"}},{{"href":"https://cloud.mongodb.com/x?pageNum=2","rel":"next"}}],"results":[{},{},{}],"totalCount":42}}"#,
        key(1, "first"),
        key(2, name),
        key(3, "third \\u00e9"),
    )
}

const BODIES: [&str; 42] = [
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":5}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":3}"#,
    r#"{"links":[{"href":"https://x/?pageNum=1","rel":"self"},{"href":"//evil","rel":"next"}],"results":[{"apiKeyId":"k","cloud":"ANY","createdAt":"2026-01-15T16:47:49Z","createdBy":"\u00e4\"\\","endpoint":"ai.mongodb.com","geography":"ANY","groupId":null,"lastUsedAt":null,"maskedSecret":"al-****odu2","name":"ключ 鍵 \ud83d\ude00","secret":"al-live","status":"ACTIVE","new":{"a":[1,-2.5e3,true,null,"\n"]}}],"status":200,"totalCount":12}"#,
    r#"{"status":404,"content":{"detail":"No group","error":404,"errorCode":"GROUP_NOT_FOUND","parameters":["x",1],"reason":"Not Found"}}"#,
    r#"{"error":"invalid_client","error_description":"Invalid credentials provided.","status":"401"}"#,
    r#"{"error":400,"errorCode":"VALIDATION_ERROR","badRequestDetail":{"fields":[{"field":"itemsPerPage","description":"\u001b[31mtoo many"},{"field":null}]},"parameters":null}"#,
    r#"{"errorCode":"X","results":null}"#,
    r#"{"results":[{"name":1}]}"#,
    r#"{"results":[{"name":"a","name":"b"}]}"#,
    r#"{"results":[],"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
    r#"{"results":[],"x":"\ud800"}"#,
    r#"{"results":[],"x":1e999}"#,
    "{\"results\":[],\n\"x\":\"\u{202e}\"",
    r#"[{"results":[]}]"#,
    r#"{"results":[{},[]],"links":null,"totalCount":-1.5}"#,
    "<html>502 Bad Gateway</html>",
    r#"{"results":[{"x":"\ud800"}]}"#,
    r#"{"results":[{"x":-1e999}],"links":[]}"#,
    r#"{"results":[{"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]}"#,
    r#"{"results":[],"links":[{"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}]}"#,
    r#"{"links":[{"rel":"a","rel":null}],"results":[]}"#,
    r#"{"links":[{"rel":"next"}],"results":[]}"#,
    r#"{"results":[{}],"links":[{"rel":"previous"},{"rel":"\u006eext"}],"totalCount":9}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"}],"totalCount":250}"#,
    r#"{"results":[{"apiKeyId":"a"},{"apiKeyId":"b"},{"apiKeyId":"c"}],"links":null,"totalCount":5}"#,
    r#"{"results":[{"apiKeyId":"a"},{},{"apiKeyId":"b"}],"links":[null,{"rel":"next","href":null}],"totalCount":1e400}"#,
    r#"{"results":[{"x":-1e400}],"totalCount":{"$serde_json::private::Number":"7"},"status":1e999}"#,
    r#"{"results":[{"name":1e400}],"links":[]}"#,
    r#"{"error":599,"errorCode":"E","detail":"Why.","parameters":[1e400,7,"1e400"]}"#,
    r#"{"status":600,"content":{"detail":"Why.","x":1e400}}"#,
    r#"{"results":[{"apiKeyId":"q"}],"links":[{"rel":"next"}],"totalCount":179769313486231570000e288}"#,
    r#"{"results":[],"error":1,"status":299,"links":[],"totalCount":0}"#,
    r#"{"results":[],"results":[]}"#,
    r#"{"links":[],"results":[],"links":[]}"#,
    r#"{"results":[],"totalCount":1,"totalCount":1}"#,
    r#"{"results":[],"status":200,"status":200}"#,
    r#"{"results":[{"apiKeyId":"a","name":"b","status":"S","name":"c"}],"totalCount":1}"#,
    r#"{"results":[{"apiKeyId":"a","status":"S","secret":"c","secret":"c"}],"totalCount":1}"#,
    "{\"results\":[{\"name\":\"\u{1f}\"}]}",
    "{\"results\":[{\"name\":\"12345678\u{7f}\u{1f}\"}]}",
    r#"{"error":400,"errorCode":"\u007f\u0080\u009f\u00a0\u00ad\u061c","detail":"\u200b\u200c\u200e\u2028\u2029\u202a\u202e\u2060\u2065\u2066\u206f\ufeff","reason":"\ufff9\ufffb\udb40\udc01\udb40\udc7f"}"#,
    r#"{"error":400,"errorCode":"E","parameters":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}"#,
];

const HEADER_SETS: [&[(&str, &str)]; 6] = [
    &[("retry-after", "2.5"), ("content-length", "16777217")],
    &[("retry-after", "0.000"), ("content-length", "+5")],
    &[
        (
            "content-type",
            "application/vnd.atlas.2025-03-12+json;charset=utf-8",
        ),
        ("x-mongodb-service-version", "gitHash=0"),
    ],
    &[
        ("ratelimit-limit", "1200"),
        ("ratelimit-remaining", "0"),
        ("retry-after", "17"),
    ],
    &[
        ("deprecation", "@1722816000"),
        ("sunset", "Mon, 5 Aug 2024 00:00:00 GMT"),
        ("date", "Mon, 05 Aug 2024 00:00:00 GMT"),
    ],
    &[
        ("x-error-code", "RATE_LIMITED"),
        ("content-encoding", "gzip"),
        ("location", "https://evil.example/"),
    ],
];

const CHALLENGES: [&str; 15] = [
    r#"Digest realm="MMS Public API", domain="", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", algorithm=MD5, qop="auth", stale=false"#,
    r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#,
    r#"Digest realm="r", nonce="n", qop=auth, algorithm=md5-SESS"#,
    r#"Basic realm="x", Digest realm="a\"b\\c", nonce="n", qop="auth", Digest realm="r", nonce="m", qop="auth", algorithm=SHA-256-sess, stale=TRUE"#,
    "Negotiate YII=\nDigest realm=\"r\", nonce=\"n\", qop=\"auth\"\nDigest realm=\"r\", nonce=\"m\", qop=\"auth\", algorithm=SHA-256",
    r#",, Digest realm = "r" ,nonce= n,, qop="x,auth" , unknown="y","#,
    r#"Digest realm="r", nonce="n""#,
    r#"Digest realm="r", nonce="n", qop="auth-int""#,
    r#"Digest realm="r", nonce="n", qop="auth", qop="auth""#,
    r#"Digest realm="r", nonce="n", qop="auth", algorithm=SHA3"#,
    r#"Digest realm="r, nonce="n", qop="auth""#,
    "Digest realm=\"\u{e9}\", nonce=\"\", qop=\"auth\"",
    r#"Digest realm="r", nonce="first", qop="auth", algorithm=SHA-256, Digest realm="r", nonce="second", qop="auth", algorithm=SHA-256"#,
    r#"Digest realm="r", nonce="n", qop="auth", Nonce="m", Digest realm="q\"\\", nonce="\"", qop="auth""#,
];

const DATES: [&str; 44] = [
    "2.5",
    "0.0000",
    "18446744073709551615.1",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Mon, 5 Aug 2024 00:00:00 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Sat, 29 Feb 2020 23:59:60 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "@1722816000",
    "17",
    "0",
    "99999999999999999999",
    "2026-01-15T16:47:49Z",
    "2026-01-15T16:47:49.855000+00:00",
    "2026-01-15t16:47:49.1234567891-23:59",
    "0000-01-01 00:00:00z",
    "2016-12-31T23:59:60Z",
    "2025-03-12",
    "2024-02-29",
    "2025-02-29",
    "preview",
    "2016-12-31T23:59:61Z",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Wednesday, 06-Nov-69 08:49:37 GMT",
    "Friday, 06-Nov-70 08:49:37 GMT",
    "2026-01-15T16:47:49+23:59",
    "2026-01-15T16:47:49+00:60",
    "2026-01-15T16:47:49-24:00",
    "2026-01-15T24:00:00Z",
    "2026-01-15T16:60:49Z",
    "2.05",
    "2025-03-00",
    "2025-13-01",
    "2025-04-31",
    "2025-12-31",
    "2004-02-29",
    "1900-02-29",
    "2000-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z",
    "Fri, 30 Feb 2024 00:00:00 GMT",
    "Fri, 00 Mar 2024 00:00:00 GMT",
    "Wed, 31 Apr 2024 00:00:00 GMT",
];

/// The bodies of operations that do not list keys.
const OTHER_BODIES: [(&str, &str); 8] = [
    (
        "key",
        r#"{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmpj","cloud":"ANY","lastUsedAt":null,"name":"\u0041","secret":"al-hunter2hunter2","status":"ACTIVE"}"#,
    ),
    (
        "key-envelope",
        r#"{"content":{"name":"a","status":"ACTIVE","content":1},"status":200}"#,
    ),
    (
        "key-envelope-error",
        r#"{"content":{"name":"a","error":404},"status":true}"#,
    ),
    (
        "key-twice",
        r#"{"name":"a","content":{"name":"b","n\u0061me":"c"}}"#,
    ),
    ("key-status", r#"{"status":"404","errorCode":"C"}"#),
    ("key-content", r#"{"name":"a","content":[],"error":1e400}"#),
    (
        "groups",
        r#"{"links":[{"rel":"next"}],"results":[{"clusterCount":1,"created":"","id":"0123456789abcdef01234567","links":[],"name":"a","orgId":"b","tags":[{}]},{"id":null,"endpoint":7},{}],"totalCount":9}"#,
    ),
    (
        "groups-twice",
        r#"{"results":[{"id":"a","id":"b"}],"status":200}"#,
    ),
];

/// Base URLs or proxies, each with a parameter or exceptions of `NO_PROXY`.
const TEXTS: [(&str, &str); 26] = [
    ("https://cloud.mongodb.com", "0123456789abcdef01234567"),
    ("HTTPS://Cloud.MongoDB.com:443/", "500"),
    ("https://gw.example:8443/some/prefix/", "4294967295"),
    ("http://[::1]:8080", "501"),
    ("http://127.8.9.1:1", "mdb_sa_id_1"),
    ("http://localhost", "mdb_sa_id_1 mdb_sa_sk_2"),
    ("http://atlas.example", "mdb_sa_sk_2"),
    (
        "https://user:password@atlas.example",
        "01234567-89ab-cdef-0123-456789abcdef",
    ),
    ("https://atlas.example/?x=1", "abcdefgh"),
    (
        "https://atlas.example/#x",
        "my-service/1.0 (ops@example.com)",
    ),
    ("https://a.example/%2e%2e/x", "a\r\nX: y"),
    ("https://a.example/a/../b", "eyJhbGciOiJI.abc/def+ghi=="),
    ("https://[fd00::1]:8443", "fd00::/8, 10.0.0.0/8"),
    ("https://10.1.2.3", "10.1.2.3:443 [fd00::1]:8443"),
    ("http://me:p%40ss%3a@proxy.example:3128", "*.mongodb.com"),
    ("proxy.example", "MONGODB.com:443"),
    ("socks5://127.0.0.1:1", "*"),
    ("https://a_b.example.", ".example."),
    ("https://127.1", "0.0.0.0/0"),
    ("https://xn--a.example", "::/0"),
    ("", ""),
    ("ftp://x", "+1"),
    ("https://cloud.mongodb.com", "a86r5kwrfsk5r5ku5tgvhmpj"),
    ("https://gw.example/prefix", "..~-_A"),
    ("https://gw.example/prefix", ".."),
    ("https://gw.example/prefix", "al-hunter2hunter2"),
];

/// The bytes of a dialogue with a session, for [`session_rules`].
#[derive(Clone)]
struct Scenario(Writer);

const BEARER: u8 = 0;
const SERVICE_ACCOUNT: u8 = 1;
const API_KEY: u8 = 2;

impl Scenario {
    fn new(credential: u8, flags: u8) -> Self {
        Self(Writer::default().byte(credential).byte(0).byte(flags))
    }

    /// A session with these limits. The units of their values are in `targets/session/world.rs`.
    fn limited(credential: u8, limits: &[(&str, usize)]) -> Self {
        let new = Self::new(credential, CHOSEN_LIMITS).bytes([byte(limits.len())]);
        limits.iter().fold(new, |scenario, (name, value)| {
            scenario.bytes([index_of(&LIMITS, name), byte(*value)])
        })
    }

    fn bytes<const N: usize>(self, bytes: [u8; N]) -> Self {
        Self(self.0.rest(bytes))
    }

    fn start(self, slot: u8) -> Self {
        self.start_with(slot, 0)
    }

    fn start_with(self, slot: u8, flags: u8) -> Self {
        self.bytes([action(ActionCode::Start), slot, flags])
    }

    fn friendly(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Friendly), slot])
    }

    fn resume(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Resume), slot])
    }

    fn fail(self, slot: u8, kind: u8) -> Self {
        self.bytes([action(ActionCode::Fail), slot, kind])
    }

    /// Ends the exchange in a slot.
    fn cancel(self, slot: u8) -> Self {
        self.bytes([action(ActionCode::Drop), slot])
    }

    fn clock(self, seconds: i16) -> Self {
        let by = seconds.cast_unsigned();
        Self(self.0.byte(action(ActionCode::Clock)).number(by).byte(1))
    }

    fn milliseconds(self, by: u16) -> Self {
        Self(self.0.byte(action(ActionCode::Clock)).number(by).byte(0))
    }

    fn export(self) -> Self {
        self.bytes([action(ActionCode::Export)])
    }

    /// Restores the first exported token.
    fn restore(self) -> Self {
        Self(self.0.byte(action(ActionCode::Restore)).byte(0).short(""))
    }

    fn revoke(self) -> Self {
        let status = index_of(&STATUSES, &200);
        self.bytes([action(ActionCode::Revoke), status, 0, 2])
    }

    /// Responds with a status, headers and an empty page.
    fn respond(self, slot: u8, status: u16, headers: &[(&str, &str)]) -> Self {
        let body = index_of(&BODY_TYPES, &BodyType::Empty);
        self.head(slot, status, headers).bytes([body])
    }

    fn head(self, slot: u8, status: u16, headers: &[(&str, &str)]) -> Self {
        let status = index_of(&STATUSES, &status);
        let head = [
            action(ActionCode::Respond),
            slot,
            status,
            byte(headers.len()),
        ];
        headers
            .iter()
            .fold(self.bytes(head), |scenario, (name, value)| {
                let known = HEADERS.iter().position(|(known, _)| known == name);
                let name = byte(known.expect("a known header"));
                Self(scenario.0.byte(name).byte(255).short(value))
            })
    }

    fn raw(self, slot: u8, status: u16, body: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Raw);
        Self(self.head(slot, status, &[]).0.byte(kind).long(body))
    }

    /// Responds with an error object that has a code.
    fn error(self, slot: u8, status: u16, code: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Error);
        Self(self.head(slot, status, &[]).0.byte(kind).short(code))
    }

    fn enveloped(self, slot: u8, status: u16) -> Self {
        let body = index_of(&BODY_TYPES, &BodyType::Envelope);
        self.head(slot, 200, &[])
            .bytes([body, index_of(&STATUSES, &status)])
    }

    /// Responds with a token of an hour.
    fn token(self, slot: u8, end: &str) -> Self {
        let kind = index_of(&BODY_TYPES, &BodyType::Token);
        Self(self.head(slot, 200, &[]).0.byte(kind).short(end).byte(0))
    }
}

/// Returns scenarios for the rules of a session, with both sides of each limit.
fn session_rules() -> Vec<(String, Scenario)> {
    let mut all: Vec<(String, Scenario)> = Vec::new();
    let mut add = |name: &str, scenario: Scenario| all.push((name.to_owned(), scenario));
    let account = || Scenario::new(SERVICE_ACCOUNT, 0);
    let fetched = || account().start(0).friendly(0);
    let unavailable = |scenario: Scenario| scenario.respond(0, 503, &[]).resume(0);

    // Tokens. That of `friendly` is fresh for 45 s, that of `token` for 3570 s.
    let plus = account().start(0).token(0, "a+b/c==").friendly(0);
    add("revoked-plus", plus.revoke().start(1));
    for (name, seconds) in [("restored-fresh", 44), ("restored-at-its-end", 45)] {
        let exported = fetched().friendly(0).export().revoke();
        add(name, exported.clock(seconds).restore().start(1));
        add(
            &format!("{name}-used"),
            fetched().friendly(0).clock(seconds).export().start(1),
        );
    }
    let refused = |scenario: Scenario, slot| scenario.respond(slot, 401, &[]);
    let hour = || account().start(0).token(0, "a").start(1).start(2).start(3);
    let late = refused(refused(hour(), 0), 1).friendly(0).resume(1);
    add(
        "late-401-keeps-newer-token",
        refused(late, 2)
            .friendly(0)
            .friendly(1)
            .friendly(2)
            .revoke()
            .revoke()
            .revoke(),
    );
    let second = refused(refused(hour(), 0).friendly(0), 0).start(0);
    add("second-401", refused(second.clone(), 0));
    add(
        "second-401-after-a-minute",
        refused(second.clone().clock(60), 0),
    );
    add("second-401-before-a-minute", refused(second.clock(59), 0));
    let failed = account().start(0).start(1).start(2);
    add(
        "failed-fetch-fails-followers",
        failed
            .clone()
            .error(0, 400, "x")
            .resume(1)
            .resume(2)
            .start(0),
    );
    add(
        "lost-fetch-fails-followers",
        failed.clone().fail(0, 2).resume(1).resume(2),
    );
    add(
        "cancelled-fetch-is-continued",
        failed
            .clone()
            .cancel(0)
            .resume(1)
            .resume(2)
            .friendly(1)
            .resume(2),
    );
    for seconds in [59, 60] {
        let name = format!("silent-fetch-{seconds}");
        add(
            &name,
            failed
                .clone()
                .clock(seconds)
                .resume(1)
                .friendly(0)
                .friendly(1),
        );
        let waiting = account()
            .start(0)
            .respond(0, 429, &[("retry-after", "7")])
            .start(1);
        add(
            &format!("waiting-fetch-{seconds}"),
            waiting.clock(7).clock(seconds).resume(1).resume(0),
        );
    }
    for status in [500, 502, 503, 429] {
        add(
            &format!("token-{status}"),
            unavailable(unavailable(
                account().start(0).respond(0, status, &[]).resume(0),
            )),
        );
    }
    add(
        "token-lost-twice",
        account().start(0).fail(0, 1).resume(0).fail(0, 1).start(0),
    );
    add(
        "token-not-sent",
        account()
            .start(0)
            .fail(0, 0)
            .resume(0)
            .fail(0, 0)
            .resume(0)
            .friendly(0),
    );
    add(
        "token-expires-at-once",
        account()
            .start(0)
            .raw(0, 200, r#"{"access_token":"zq7-once","expires_in":1}"#)
            .start(1),
    );
    for code in ["invalid_client", "other"] {
        let body = format!(r#"{{"error":"{code}"}}"#);
        add(
            &format!("token-refused-{code}"),
            account().start(0).start(1).raw(0, 400, &body).resume(1),
        );
    }
    for flags in [0, NO_RETRY_STATUSES] {
        for credential in [BEARER, SERVICE_ACCOUNT, API_KEY] {
            let name = format!("statuses-{credential}-{flags}");
            let statuses = [500, 599, 999, 501, 404, 301, 206];
            let each =
                statuses
                    .into_iter()
                    .fold(Scenario::new(credential, flags), |scenario, status| {
                        let fetched = match credential {
                            SERVICE_ACCOUNT => scenario.start(0).friendly(0),
                            _ => scenario.start(0),
                        };
                        fetched
                            .respond(0, status, &[])
                            .resume(0)
                            .friendly(0)
                            .friendly(0)
                    });
            add(&name, each);
        }
    }

    // Statuses in envelopes.
    for credential in [BEARER, SERVICE_ACCOUNT, API_KEY] {
        for operation in [0, 2, 4] {
            let flags = operation << OPERATION_SHIFT | ENVELOPE;
            let each =
                STATUSES
                    .into_iter()
                    .fold(Scenario::new(credential, 0), |scenario, status| {
                        let started = scenario.start_with(0, flags).friendly(0);
                        started.start_with(0, flags).enveloped(0, status).clock(100)
                    });
            add(&format!("envelope-{credential}-{operation}"), each);
        }
    }

    // Nonces.
    let digest = |nonce: &str, stale: bool| {
        format!(r#"Digest realm="r", nonce="{nonce}", qop="auth", stale={stale}"#)
    };
    let key = || Scenario::new(API_KEY, 0).start(0);
    let answered = key().respond(0, 401, &[("www-authenticate", &digest("a", false))]);
    let accepted = answered.clone().friendly(0);
    add(
        "nonce-counts",
        accepted
            .clone()
            .start(0)
            .friendly(0)
            .start(1)
            .start(2)
            .friendly(1)
            .friendly(2),
    );
    add(
        "nonce-refused-when-idle",
        accepted
            .start(0)
            .respond(0, 401, &[("www-authenticate", &digest("b", false))])
            .friendly(0)
            .start(0),
    );
    add(
        "nonce-of-an-error",
        answered
            .clone()
            .respond(0, 404, &[])
            .start(0)
            .respond(0, 503, &[])
            .resume(0)
            .friendly(0)
            .start(0),
    );
    let stale =
        |scenario: Scenario| scenario.respond(0, 401, &[("www-authenticate", &digest("s", true))]);
    add("nonce-stale", stale(stale(stale(stale(key())))));
    add(
        "nonce-stale-after-retry",
        stale(unavailable(stale(stale(stale(key()))))),
    );
    add(
        "nonce-twice",
        answered
            .clone()
            .start(1)
            .respond(1, 401, &[("www-authenticate", &digest("a", false))])
            .friendly(0)
            .friendly(1)
            .start(0)
            .start(1),
    );
    add(
        "nonce-not-allowed",
        answered
            .clone()
            .error(0, 401, "USER_UNAUTHORIZED")
            .start(0)
            .error(0, 401, "USER_UNAUTHORIZED"),
    );
    add(
        "not-allowed",
        fetched()
            .error(0, 401, "IP_ADDRESS_NOT_ON_ACCESS_LIST")
            .start(0)
            .respond(0, 401, &[("x-error-code", "ORG_REQUIRES_ACCESS_LIST")]),
    );
    // Two challenges in an even number of bytes, which is the unit of the limit.
    let two = ["z", "zz"]
        .map(|nonce| format!(r#"Basic realm="x", {}"#, digest(nonce, false)))
        .into_iter()
        .find(|two| two.len() % 2 == 0)
        .expect("one of them has an even number of bytes");
    for (limit, exact) in [("challenges", 2), ("challenge_bytes", two.len() / 2)] {
        for value in [exact - 1, exact] {
            let scenario = Scenario::limited(API_KEY, &[(limit, value)]).start(0);
            add(
                &format!("{limit}-{value}"),
                scenario
                    .respond(0, 401, &[("www-authenticate", &two)])
                    .friendly(0),
            );
        }
    }

    // Rate limits.
    for remaining in ["0", "1", "2", "128"] {
        let scenario = Scenario::new(BEARER, 0).start(0).respond(
            0,
            200,
            &[("ratelimit-remaining", remaining)],
        );
        let scenario = (0..4).fold(scenario, |scenario, slot| scenario.start(slot));
        let other = scenario.start_with(3, OTHER_GROUP).friendly(0).resume(2);
        add(
            &format!("remaining-{remaining}"),
            other.clock(60).start(1).start(2),
        );
        let scenario = Scenario::new(BEARER, 0).start(0).start(1).start(2).respond(
            0,
            200,
            &[("ratelimit-remaining", remaining)],
        );
        add(
            &format!("remaining-{remaining}-before-a-minute"),
            scenario.start(0).start(3).clock(59).resume(3).start(1),
        );
    }
    for asked in ["7", "89", "90", "91", "299", "300", "301"] {
        let scenario =
            Scenario::new(BEARER, 0)
                .start(0)
                .start(3)
                .respond(0, 429, &[("retry-after", asked)]);
        let scenario = scenario
            .start(1)
            .start_with(2, OTHER_GROUP)
            .clock(asked.parse().expect("a number"));
        add(
            &format!("pause-{asked}"),
            scenario.clone().milliseconds(1001).resume(1).start(1),
        );
        add(
            &format!("pause-{asked}-set-back"),
            scenario
                .clock(-301)
                .start(1)
                .respond(3, 429, &[("retry-after", "1")])
                .start(1),
        );
    }
    add(
        "pause-of-a-signed-request",
        answered
            .start(1)
            .start(2)
            .respond(0, 429, &[("retry-after", "17")])
            .respond(1, 401, &[("www-authenticate", &digest("b", false))])
            .resume(2)
            .clock(17)
            .resume(2),
    );
    add(
        "pause-and-version",
        Scenario::new(BEARER, 0)
            .start(0)
            .start(1)
            .respond(0, 429, &[("retry-after", "17")])
            .respond(1, 406, &[]),
    );

    let left = Scenario::new(BEARER, 0)
        .start(0)
        .respond(0, 200, &[("ratelimit-remaining", "0")]);
    add(
        "place-is-free-during-a-wait",
        left.start(0)
            .respond(0, 503, &[])
            .start(1)
            .resume(0)
            .friendly(1)
            .resume(0),
    );

    // Versions.
    for flags in [0, PINNED_VERSION] {
        let both = Scenario::new(BEARER, flags)
            .start(0)
            .start(1)
            .respond(0, 406, &[])
            .respond(1, 410, &[]);
        add(
            &format!("version-{flags}"),
            both.friendly(0)
                .respond(1, 406, &[])
                .start(2)
                .start_with(3, 2 << OPERATION_SHIFT),
        );
    }

    // Attempts and waits. The limits of waits are seconds.
    for flags in [0, SINGLE_ATTEMPT, WAITS_OUT_RATE_LIMITS] {
        for status in [429, 503] {
            let failed = Scenario::new(BEARER, flags).start(0);
            let failed = (0..6).fold(failed, |scenario, _| {
                scenario.respond(0, status, &[]).clock(41).resume(0)
            });
            add(&format!("attempts-{flags}-{status}"), failed);
        }
    }
    for attempts in 0..4 {
        let failed = Scenario::limited(BEARER, &[("attempts", attempts)]).start(0);
        add(
            &format!("attempts-{attempts}"),
            (0..4).fold(failed, |scenario, _| unavailable(scenario)),
        );
        let fetch = Scenario::limited(SERVICE_ACCOUNT, &[("attempts", attempts)]).start(0);
        add(
            &format!("attempts-of-fetch-{attempts}"),
            (0..4).fold(fetch, |scenario, _| unavailable(scenario)),
        );
    }
    for (limit, values) in [("wait", [6, 7, 8]), ("total_wait", [13, 14, 15])] {
        for value in values {
            let scenario = Scenario::limited(BEARER, &[(limit, value)]).start(0);
            let seven =
                |scenario: Scenario| scenario.respond(0, 503, &[("retry-after", "7")]).resume(0);
            add(&format!("{limit}-{value}"), seven(seven(scenario)));
            let fetch = Scenario::limited(SERVICE_ACCOUNT, &[(limit, value)])
                .start(0)
                .start(1);
            add(
                &format!("{limit}-of-fetch-{value}"),
                seven(seven(fetch)).resume(1),
            );
        }
    }
    let backoff = Scenario::limited(
        BEARER,
        &[
            ("base", 49),
            ("cap", 29),
            ("attempts", 9),
            ("total_wait", 255),
        ],
    )
    .start(0);
    add(
        "backoff",
        (0..8).fold(backoff, |scenario, _| unavailable(scenario)),
    );
    let follower = Scenario::limited(SERVICE_ACCOUNT, &[("total_wait", 31)])
        .start(0)
        .start(1);
    add(
        "follower-waits-too-long",
        (0..3).fold(follower, |scenario, _| scenario.clock(20).resume(1)),
    );

    let exact = Scenario::limited(SERVICE_ACCOUNT, &[("total_wait", 30)])
        .start(0)
        .start(1);
    add(
        "follower-waits-exactly-as-long",
        exact.clock(30).resume(1).milliseconds(1).resume(1),
    );
    let day = account()
        .start(0)
        .raw(0, 200, r#"{"access_token":"zq7-day","expires_in":999999}"#);
    let minutes = |scenario: Scenario, by| {
        Scenario(
            scenario
                .0
                .byte(action(ActionCode::Clock))
                .number(by)
                .byte(2),
        )
    };
    add(
        "token-of-a-day",
        minutes(minutes(day, 1439).start(1), 1).start(2),
    );

    // Sizes: as large as the limit, and a byte larger.
    for more in [0, 1] {
        let pad = " ".repeat(more);
        let body = format!(r#"{{"results":[],"links":[]}}   {pad}"#);
        let refusal = format!(r#"{{"errorCode":"USER_UNAUTHORIZED"}}   {pad}"#);
        let issued = format!(r#"{{"access_token":"zq7-ab"}}   {pad}"#);
        let limited =
            |credential, name, size| Scenario::limited(credential, &[(name, size)]).start(0);
        let mut size = |name: &str, scenario| add(&format!("{name}-and-{more}"), scenario);
        size(
            "body",
            limited(BEARER, "body_bytes", body.len() / 4)
                .raw(0, 200, &body)
                .start(0)
                .raw(0, 404, &body),
        );
        size(
            "error-body",
            limited(BEARER, "error_body_bytes", refusal.len() / 4).raw(0, 401, &refusal),
        );
        size(
            "token-body",
            limited(SERVICE_ACCOUNT, "error_body_bytes", issued.len() / 4).raw(0, 200, &issued),
        );
        size(
            "token-bytes",
            limited(SERVICE_ACCOUNT, "token_bytes", 6 - more).raw(0, 200, &issued),
        );
        let headers = [("x-other", "1234"), ("location", "123")];
        size(
            "headers",
            limited(BEARER, "headers", 2 - more).respond(0, 200, &headers),
        );
        let longer = format!("1234{}", "5".repeat(more));
        let headers = [("x-other", longer.as_str()), ("location", "123")];
        size(
            "head",
            limited(BEARER, "head_bytes", 11).respond(0, 200, &headers),
        );
    }
    all
}

/// A request of the target `emulator`: two bytes for the clock's move; method, path, query and version; the credential with its
/// selection; other headers with the number of repetitions; and the body.
struct Ask {
    after: u16,
    route: [u8; 4],
    credential: Vec<u8>,
    other: Vec<u8>,
    body: u8,
}

/// Returns inputs about what the emulator refuses, and about each rule from both sides.
fn emulator_refusals() -> Vec<(String, Vec<u8>)> {
    use emulator::{CREDENTIALS, Credential as C, FORGERIES, Forgery as F, PAIRS};
    const GET: u8 = 0;
    const POST: u8 = 1;
    const KEYS: u8 = 0;
    const GROUPS: u8 = 2;
    const TOKEN: u8 = 3;
    const REVOKE: u8 = 4;
    const ORG_KEYS: u8 = 7;
    const DATED: u8 = 1;
    let code = |credential| index_of(&CREDENTIALS, &credential);
    let known = [code(C::Known)];
    let none = [code(C::None)];
    let issued = [code(C::Issued)];
    let forged = |forgery: &F| [code(C::Forged), index_of(&FORGERIES, forgery), 0];
    let pair = |number| [code(C::Pair), number];
    let token = |number| [code(C::Token), number];
    let get = |after, path, credential: &[u8]| Ask {
        after,
        route: [GET, path, 0, if path == GROUPS { 2 } else { DATED }],
        credential: credential.to_vec(),
        other: vec![0],
        body: 0,
    };
    let post = |after, path, credential: &[u8], other: &[u8], body| Ask {
        after,
        route: [POST, path, 0, 0],
        credential: credential.to_vec(),
        other: other.to_vec(),
        body,
    };
    let input = |setup: [u8; 4], requests: &[Ask]| {
        let start = Writer::default().rest(setup);
        let write = |writer: Writer, ask: &Ask| {
            let writer = writer.number(ask.after).rest(ask.route);
            writer.rest(&ask.credential).rest(&ask.other).byte(ask.body)
        };
        requests.iter().fold(start, write).0
    };
    // The seed, the groups, the keys and the flags. The seeds 3, 7, 11 … differ in their roles.
    let world = |flags| [7, 3, 8, flags];
    let mut inputs = Vec::new();
    let mut add = |name: &str, bytes| inputs.push((name.to_owned(), bytes));

    for (number, forgeries) in FORGERIES.chunks(12).enumerate() {
        for flags in [0, 64] {
            let credentials: Vec<_> = forgeries.iter().map(forged).collect();
            let mut requests = vec![get(0, GROUPS, &none)];
            requests.extend(
                credentials
                    .iter()
                    .map(|credential| get(1, GROUPS, credential)),
            );
            add(
                &format!("forgeries-{number}-{flags}"),
                input(world(flags), &requests),
            );
        }
    }
    let [right, reused, zero, ahead] =
        [F::Right, F::CountReused, F::CountZero, F::CountFarAhead].map(|forgery| forged(&forgery));
    let counts = [
        &none[..],
        &right,
        &reused,
        &right,
        &ahead,
        &reused,
        &zero,
        &right,
    ];
    let counts = counts.map(|credential| get(0, KEYS, credential));
    add("nonce-counts", input(world(0), &counts));
    for (flags, ttl) in [(0, 60), (2, 2)] {
        let requests = [
            get(0, KEYS, &none),
            get(ttl - 1, KEYS, &right),
            get(1, KEYS, &right),
            get(0, KEYS, &right),
        ];
        add(
            &format!("nonce-expires-after-{ttl}"),
            input(world(flags), &requests),
        );
    }
    for (flags, ttl) in [(0, 3600), (1, 3)] {
        let requests = [
            post(0, TOKEN, &pair(0), &[0], 1),
            get(ttl - 1, KEYS, &issued),
            get(1, KEYS, &issued),
        ];
        add(
            &format!("token-expires-after-{ttl}"),
            input(world(flags), &requests),
        );
    }
    let limit = [
        post(0, TOKEN, &pair(0), &[4, 98], 1),
        post(0, TOKEN, &pair(0), &[4, 1], 1),
        post(0, TOKEN, &pair(1), &[0], 1),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 8),
        post(0, TOKEN, &pair(0), &[4, 1], 1),
    ];
    add("token-limit", input(world(0), &limit));
    let revocations = [
        post(0, TOKEN, &pair(0), &[0], 1),
        post(0, REVOKE, &pair(1), &[0], 7),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 14),
        post(0, REVOKE, &pair(0), &[0], 12),
        get(0, KEYS, &issued),
        post(0, REVOKE, &pair(0), &[0], 9),
        get(0, KEYS, &known),
        post(0, TOKEN, &pair(0), &[0], 1),
        post(0, REVOKE, &pair(0), &[0], 7),
        get(0, KEYS, &issued),
        get(0, KEYS, &token(2)),
        get(0, KEYS, &token(130)),
        get(0, KEYS, &token(128)),
    ];
    add("revocations", input(world(0), &revocations));
    let pairs: Vec<_> = (0..byte(PAIRS.len())).map(pair).collect();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|pair| post(0, TOKEN, pair, &[0], 1))
        .collect();
    add("pairs", input(world(0), &pairs));
    let forms = [0, 1, 2, 3, 10, 11, 13, 15, 16].map(|body| post(0, TOKEN, &[3], &[0], body));
    add("forms", input(world(0), &forms));

    for (name, groups, path) in [
        ("keys", 3, KEYS),
        ("keys-shared", 8, KEYS),
        ("org-keys", 3, ORG_KEYS),
        ("groups", 3, GROUPS),
        ("key", 3, 8),
        ("org-key", 3, 9),
    ] {
        let again = Ask {
            other: vec![4, 2],
            ..get(0, path, &known)
        };
        let requests = [
            again,
            get(0, path, &known),
            get(3, path, &known),
            get(1, path, &known),
            get(0, 19, &known),
            Ask {
                other: vec![4, 3],
                ..get(60, path, &known)
            },
            get(7, path, &known),
        ];
        add(
            &format!("rate-limit-{name}"),
            input([7, groups, 8, 32], &requests),
        );
    }
    // Bodies of about 220 bytes, the largest that are not compressed: an error contains the path twice.
    let lengths = (43..51).flat_map(|length| [(length, 0), (length, 2)]);
    let near = lengths.fold(
        Writer::default().rest(world(0)),
        |writer, (length, query)| {
            let path = format!("/{}", "a".repeat(length));
            let writer = writer.number(0).rest([GET, 255]).short(path);
            writer.rest([query, 0]).rest(none).rest([0, 0])
        },
    );
    add("bodies-near-the-limit-of-compression", near.0);
    for (name, path) in [
        ("keys", KEYS),
        ("org-keys", ORG_KEYS),
        ("groups", GROUPS),
        ("key", 8),
    ] {
        let version = if path == GROUPS { 2 } else { DATED };
        let queries = (0..byte(emulator::QUERIES.len())).map(|query| Ask {
            route: [GET, path, query, version],
            ..get(0, path, &known)
        });
        let queries: Vec<_> = queries.collect();
        add(&format!("queries-{name}-1"), input(world(8), &queries[..9]));
        add(
            &format!("queries-{name}-2"),
            input(world(128), &queries[9..]),
        );
    }
    for (name, path) in [("keys", KEYS), ("org-keys", ORG_KEYS), ("groups", GROUPS)] {
        for per_page in [1, 2, 3, 4, 8] {
            let mut writer = Writer::default().rest([7, 4, 8, 0]);
            for page in 1..=9 {
                let query = format!("?itemsPerPage={per_page}&pageNum={page}");
                let version = if path == GROUPS { 2 } else { DATED };
                writer = writer.number(0).rest([GET, path, 255]).short(query);
                writer = writer.byte(version).rest(known).rest([0, 0]);
            }
            add(&format!("pages-{name}-{per_page}"), writer.0);
        }
    }
    for seed in (3..32).step_by(4) {
        let paths = [KEYS, 19, GROUPS, ORG_KEYS, 20, 8, 9, 21, 22, 1, 6];
        let second = token(1);
        let requests = paths.map(|path| get(0, path, &second));
        add(&format!("roles-{seed}"), input([seed, 4, 8, 0], &requests));
    }
    let second = [
        get(0, GROUPS, &none),
        get(0, 19, &right),
        get(0, GROUPS, &right),
        get(0, KEYS, &right),
    ];
    add("forbidden-group", input([7, 2, 3, 0], &second));
    for (name, groups) in [
        ("served", 3),
        ("withdrawn", 13),
        ("zero-count", 23),
        ("no-count", 43),
    ] {
        let versions = (0..byte(emulator::ACCEPTS.len())).map(|version| Ask {
            route: [GET, KEYS, 0, version],
            ..get(0, KEYS, &known)
        });
        let of_groups = (0..6).map(|version| Ask {
            route: [GET, GROUPS, 2, version],
            ..get(0, GROUPS, &known)
        });
        let requests: Vec<_> = versions.chain(of_groups).collect();
        add(
            &format!("versions-{name}"),
            input([7, groups, 2, 0], &requests),
        );
    }
    inputs
}

/// Streams of requests: the name, the size of the pieces, the padding and the bytes.
const SERVER: [(&str, u8, u8, &str); 30] = [
    (
        "get",
        1,
        0,
        "GET /api?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost:\r\n\r\n",
    ),
    (
        "http-1.0",
        3,
        0,
        "GET / HTTP/1.0\r\n\r\nGET /ignored HTTP/1.0\r\n\r\n",
    ),
    (
        "http-1.0-kept",
        3,
        0,
        "GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    ),
    (
        "close",
        0,
        0,
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: a, Close\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "head",
        0,
        0,
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "length",
        2,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "length-most",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\nx",
    ),
    (
        "length-too-large",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\nx",
    ),
    (
        "two-lengths",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ),
    (
        "length-list",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello",
    ),
    (
        "length-signed",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
    ),
    (
        "length-empty",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n",
    ),
    (
        "length-and-chunks",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks",
        1,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "chunks-twice",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunks-in-1.0",
        0,
        0,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "other-coding",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunk-without-size",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
    ),
    (
        "chunk-with-only-an-extension",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n\r\n",
    ),
    (
        "line-feed-in-extension",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\nab\r\n0\r\n\r\n",
    ),
    (
        "chunk-too-long",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    ),
    (
        "line-feeds",
        0,
        0,
        "GET / HTTP/1.1\nHost: h\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ),
    (
        "folded",
        0,
        0,
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
    ),
    (
        "space-before-colon",
        0,
        0,
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    ),
    (
        "hosts",
        0,
        0,
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
    ),
    ("no-host", 0, 0, "GET / HTTP/1.1\r\n\r\n"),
    (
        "expect",
        1,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
    ),
    (
        "expect-more",
        0,
        0,
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: more\r\n\r\n",
    ),
    ("longest-head", 0, 64, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("most-fields", 0, 192, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
];

/// Returns inputs of both clients: each credential, each fate, pages that are read ahead, streams that are dropped, and
/// delays beyond the deadline.
fn driver_inputs() -> Vec<(String, Vec<u8>)> {
    const BLOCKING: u8 = 1;
    const ASYNC: u8 = 0;
    const SPAWNS: u8 = 2;
    let mut inputs = Vec::new();
    let mut add = |name: String, start: [u8; 7], outcomes: &[[u8; 2]], choices: &[u8]| {
        let count = [byte(outcomes.len())];
        inputs.push((
            name,
            [&start, &count[..], outcomes.as_flattened(), choices].concat(),
        ));
    };
    for (client, flags) in [
        ("blocking", BLOCKING),
        ("async", ASYNC),
        ("spawned", SPAWNS),
    ] {
        for credential in 0..3 {
            let name = |case: &str| format!("{client}-{credential}-{case}");
            add(name("calm"), [flags, credential, 2, 0, 1, 0, 0], &[], &[]);
            add(
                name("read-ahead"),
                [flags, credential, 0, 3, 0, 0, 0],
                &[],
                &[1, 2, 0, 1, 3, 2, 1, 0, 2, 1],
            );
            add(
                name("late"),
                [flags, credential, 0, 4, 0, 0, 0],
                &[[0, 0], [0, 3], [0, 9], [0, 1], [0, 5]],
                &[2, 1],
            );
            for fate in 1..8 {
                add(
                    name(&format!("fate-{fate}")),
                    [flags, credential, 1, 2, 1, 0, 0],
                    &[[0, 0], [fate, 0], [fate, 0]],
                    &[1],
                );
            }
            add(
                name("failures"),
                [flags, credential, 0, 0, 1, 0, 0],
                &[[1, 0], [3, 0], [2, 0], [4, 0]],
                &[],
            );
            add(
                name("deadline"),
                [flags, credential, 1, 2, 1, 5, 0],
                &[[0, 2], [0, 4], [0, 200]],
                &[1],
            );
            add(
                name("deadline-in-wait"),
                [flags, credential, 0, 0, 1, 2, 0],
                &[[3, 0], [3, 1], [3, 0], [3, 1], [3, 1]],
                &[],
            );
            for drop_at in [1, 3, 6, 12] {
                add(
                    name(&format!("dropped-{drop_at}")),
                    [flags, credential, 2, 2, 0, 0, drop_at],
                    &[[0, 1], [0, 2], [1, 0]],
                    &[0, 1, 2],
                );
            }
        }
    }
    inputs
}
