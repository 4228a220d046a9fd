//! A client of few words, with a digest of its own.

// Each test file uses some of it.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::Emulator;
use atlas_model_keys_emulator::server::Server;
use base64::Engine as _;
use http::{Request, Response};
use md5::{Digest as _, Md5};
use serde_json::Value;

pub(crate) const PREVIEW: &str = "application/vnd.atlas.preview+json";
pub(crate) const DATED: &str = "application/vnd.atlas.2025-03-12+json";

/// Some moment in 2026.
pub(crate) const NOW: Duration = Duration::from_secs(1_790_000_000);

pub(crate) fn after(seconds: u64) -> Duration {
    NOW + Duration::from_secs(seconds)
}

pub(crate) fn keys_path(emulator: &Emulator) -> String {
    format!(
        "/api/atlas/v2/groups/{}/aiModelApiKeys",
        emulator.first_group()
    )
}

pub(crate) fn get(target: &str, accept: &str, authorization: &str) -> Request<Vec<u8>> {
    let mut request = Request::get(target).header("Accept", accept);
    if !authorization.is_empty() {
        request = request.header("Authorization", authorization);
    }
    request.body(Vec::new()).unwrap()
}

pub(crate) fn bearer(emulator: &Emulator) -> String {
    format!("Bearer {}", emulator.access_token())
}

/// With the token that was handed out beforehand.
pub(crate) fn fetch(emulator: &mut Emulator, target: &str, accept: &str) -> Response<Vec<u8>> {
    let request = get(target, accept, &bearer(emulator));
    emulator.handle(&request, NOW)
}

pub(crate) fn token_request(emulator: &Emulator, form: &str) -> Request<Vec<u8>> {
    let account = emulator.service_account();
    let pair = format!("{}:{}", account.client_id, account.client_secret);
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    Request::post("/api/oauth/token")
        .header("Authorization", format!("Basic {pair}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form.as_bytes().to_vec())
        .unwrap()
}

pub(crate) fn json(response: &Response<Vec<u8>>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

pub(crate) fn header<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|v| v.to_str().unwrap())
}

pub(crate) fn nonce_of(challenge: &str) -> &str {
    let (_, rest) = challenge.split_once("nonce=\"").unwrap();
    rest.split_once('"').unwrap().0
}

/// The value of `Authorization` for a GET.
pub(crate) fn digest(public: &str, private: &str, nonce: &str, nc: u32, uri: &str) -> String {
    let realm = "MMS Public API";
    let h = |text: String| {
        Md5::digest(text).iter().fold(String::new(), |mut hex, b| {
            write!(hex, "{b:02x}").unwrap();
            hex
        })
    };
    let a1 = h(format!("{public}:{realm}:{private}"));
    let a2 = h(format!("GET:{uri}"));
    let response = h(format!("{a1}:{nonce}:{nc:08x}:c0ffee:auth:{a2}"));
    format!(
        "Digest username=\"{public}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         cnonce=\"c0ffee\", nc={nc:08x}, qop=auth, response=\"{response}\", algorithm=MD5"
    )
}

/// As long as no test should last: far beyond what any of this takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What is read of an answer that has no end.
pub(crate) const PLENTY: usize = 18 << 20;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    /// There was more than anybody wants.
    Plenty,
    /// Nothing came any more, and the connection was not closed before the client left.
    Silence,
}

/// Sends one request on a connection of its own, and reads until its end.
pub(crate) fn ask(server: &Server, request: &str, silence: Duration) -> (Vec<u8>, End) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(silence)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let began = Instant::now();
    let mut was_silent = false;
    loop {
        assert!(
            began.elapsed() < LIMIT,
            "no end after {} bytes",
            bytes.len()
        );
        if bytes.len() > PLENTY {
            return (bytes, End::Plenty);
        }
        match stream.read(&mut buffer) {
            Ok(0) if was_silent => return (bytes, End::Silence),
            Ok(0) => return (bytes, End::Closed),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, End::Reset),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                assert!(!was_silent, "it stalls though the client left");
                was_silent = true;
                // Leaving ends the stall; what was sent before, however late, still comes.
                stream.shutdown(Shutdown::Write).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
