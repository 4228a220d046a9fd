//! A small client with its own digest implementation, for the tests.

// Each test file uses only a part of this module.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use atlas_model_keys_emulator::server::Server;
use atlas_model_keys_emulator::{Emulator, ServiceAccount};
use base64::Engine as _;
use http::{Request, Response};
use md5::{Digest as _, Md5};
use serde_json::Value;

pub(crate) const PREVIEW: &str = "application/vnd.atlas.preview+json";
pub(crate) const DATED: &str = "application/vnd.atlas.2025-03-12+json";

/// A time in 2026.
pub(crate) const NOW: Duration = Duration::from_secs(1_790_000_000);

/// A xorshift generator with a fixed seed, so that every run has the same cases.
pub(crate) struct Cases(pub(crate) u64);

impl Cases {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

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

/// Sends a GET with the access token that exists from the start.
pub(crate) fn fetch(emulator: &mut Emulator, target: &str, accept: &str) -> Response<Vec<u8>> {
    let request = get(target, accept, &bearer(emulator));
    emulator.handle(&request, NOW)
}

pub(crate) fn token_request(emulator: &Emulator, form: &str) -> Request<Vec<u8>> {
    token_request_of(emulator.service_account(), form)
}

pub(crate) fn token_request_of(account: &ServiceAccount, form: &str) -> Request<Vec<u8>> {
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

/// Returns the value of `Authorization` for a GET.
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

/// The time limit of a test. It is far longer than any test needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The number of bytes that are read of a response without an end.
pub(crate) const MAX_READ: usize = 18 << 20;

/// The end of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    /// Over TLS: closed without `close_notify`.
    Truncated,
    Reset,
    /// More than [`MAX_READ`] bytes were received, and the server was still sending.
    StillSending,
    /// The server sent nothing more, and closed the connection only after the client.
    Silence,
}

/// Sends one request on a new connection, and reads until the end of the response.
pub(crate) fn ask(server: &Server, request: &str, silence: Duration) -> (Vec<u8>, End) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let socket = stream.try_clone().unwrap();
    ask_on(&mut stream, &socket, request, silence)
}

/// Sends one request on a stream over this socket, and reads until the end of the response.
pub(crate) fn ask_on(
    stream: &mut (impl Read + Write),
    socket: &TcpStream,
    request: &str,
    silence: Duration,
) -> (Vec<u8>, End) {
    socket.set_read_timeout(Some(silence)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let began = Instant::now();
    let mut was_silent = false;
    loop {
        assert!(
            began.elapsed() < LIMIT,
            "the response has not ended after {} bytes",
            bytes.len()
        );
        if bytes.len() > MAX_READ {
            return (bytes, End::StillSending);
        }
        match stream.read(&mut buffer) {
            Ok(0) if was_silent => return (bytes, End::Silence),
            Ok(0) => return (bytes, End::Closed),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (bytes, End::Reset),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                let end = if was_silent {
                    End::Silence
                } else {
                    End::Truncated
                };
                return (bytes, end);
            }
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                assert!(
                    !was_silent,
                    "the server still stalls after the client has closed the connection"
                );
                was_silent = true;
                // Closing ends the stall. Bytes that were sent before still arrive.
                socket.shutdown(Shutdown::Write).unwrap();
                socket.set_read_timeout(Some(LIMIT)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
