//! The emulator has an answer to everything, and it is one that the core understands.
//!
//! **Input**: a byte each for the seed, the number of groups and of keys, and for what is configured; then requests
//! until the end of the input: two bytes for how the clock moves, in seconds; a byte each for the method, of
//! [`METHODS`], the path, of [`PATHS`], the query, of [`QUERIES`], `Accept`, of [`ACCEPTS`], the credential, of
//! [`CREDENTIALS`], other headers, and the body, of [`BODIES`]. Beyond the choices of each comes a short text.
//!
//! **Properties**
//!
//! - The same requests to the same emulator get the same answers, byte for byte.
//! - Written to a wire, an answer is read by [`Decoder`] as it was, to its last byte.
//! - An answer that says it is JSON is JSON; the error object says the status; a page is a page for the core, and has no
//!   more keys than were asked for; what is gzip says so.
//! - A challenge is one that the core can answer, and the answer is accepted while its nonce lives.
//! - Neither the private key nor the client's secret is in any answer.

use std::io::Read;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::digest::{Answerer, Challenge};
use atlas_model_keys_core::wire::{Decoder, Progress};
use atlas_model_keys_core::{Error, Limits, Reply};
use atlas_model_keys_emulator::{Config, Emulator};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use crate::input;

/// Methods of requests.
pub const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::DELETE,
    Method::PATCH,
];

/// Paths of requests; `{group}` is the first group.
pub const PATHS: [&str; 7] = [
    "/api/atlas/v2/groups/{group}/aiModelApiKeys",
    "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys",
    "/api/atlas/v2/groups",
    "/api/oauth/token",
    "/api/oauth/revoke",
    "https://cloud.mongodb.com/api/atlas/v2/groups/{group}/aiModelApiKeys",
    "/api/atlas/v2/orgs/0123456789abcdef01234567/aiModelApiKeys",
];

/// Queries of requests.
pub const QUERIES: [&str; 6] = [
    "",
    "?itemsPerPage=2&pageNum=2",
    "?envelope=true",
    "?pretty=true&itemsPerPage=500",
    "?pageNum=0",
    "?pageNum=4294967295&envelope=true",
];

/// What is accepted.
pub const ACCEPTS: [&str; 4] = [
    "application/vnd.atlas.preview+json",
    "application/vnd.atlas.2025-03-12+json",
    "application/vnd.atlas.2023-01-01+json",
    "*/*",
];

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Credential {
    /// Nobody.
    None,
    /// The token that was handed out beforehand.
    Known,
    /// The token that the last token request got.
    Issued,
    /// The service account, by its secret.
    Basic,
    /// The API key, by the last challenge.
    Digest,
    /// A short text for `Authorization`.
    Text,
}

/// The credentials in their order.
pub const CREDENTIALS: [Credential; 6] = [
    Credential::None,
    Credential::Known,
    Credential::Issued,
    Credential::Basic,
    Credential::Digest,
    Credential::Text,
];

/// Bodies of requests.
pub const BODIES: [&str; 4] = [
    "",
    "grant_type=client_credentials",
    "token=eyJhbGciOiJFUzI1NiJ9&token_type_hint=access_token",
    "grant_type=password",
];

#[derive(Debug)]
struct Input {
    seed: u8,
    groups: u8,
    keys: u8,
    flags: u8,
    requests: Vec<Asked>,
}

/// A request, before it is known what it says.
#[derive(Debug)]
struct Asked {
    moves: i16,
    method: Method,
    path: String,
    query: String,
    accept: String,
    credential: Credential,
    authorization: Vec<u8>,
    gzip: bool,
    header: Option<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

/// A choice, or a short text beyond the choices.
fn choice(u: &mut Unstructured<'_>, choices: &[&str]) -> arbitrary::Result<String> {
    match choices.get(usize::from(input::byte(u)?)) {
        Some(choice) => Ok((*choice).to_owned()),
        None => Ok(input::text(input::short(u)?)),
    }
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut input = Self {
            seed: input::byte(u)?,
            groups: input::byte(u)?,
            keys: input::byte(u)?,
            flags: input::byte(u)?,
            requests: Vec::new(),
        };
        while !u.is_empty() && input.requests.len() < 16 {
            let moves = u.arbitrary()?;
            let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
            let path = choice(u, &PATHS)?;
            let query = choice(u, &QUERIES)?;
            let accept = choice(u, &ACCEPTS)?;
            let credential = input::pick(u, &CREDENTIALS)?;
            let authorization = match credential {
                Credential::Text => input::short(u)?.to_vec(),
                _ => Vec::new(),
            };
            let other = input::byte(u)?;
            let header = match other & 2 {
                0 => None,
                _ => Some((input::short(u)?.to_vec(), input::short(u)?.to_vec())),
            };
            let body = choice(u, &BODIES)?.into_bytes();
            let gzip = other & 1 != 0;
            input.requests.push(Asked {
                moves,
                method,
                path,
                query,
                accept,
                credential,
                authorization,
                gzip,
                header,
                body,
            });
        }
        Ok(input)
    }
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let config = {
        let default = Config::default();
        Config {
            seed: u64::from(input.seed),
            groups: usize::from(input.groups % 5),
            keys_per_group: usize::from(input.keys % 9),
            token_ttl: Duration::from_secs(if input.flags & 1 == 0 { 3600 } else { 3 }),
            nonce_ttl: Duration::from_secs(if input.flags & 2 == 0 { 60 } else { 2 }),
            rate_limit: default.rate_limit.filter(|_| input.flags & 4 == 0),
            include_secrets: input.flags & 8 != 0,
            ..default
        }
    };
    let mut world = World::new(Emulator::new(config));
    let mut again = world.emulator.clone();
    for asked in &input.requests {
        world.moves(asked.moves);
        let Some(request) = world.request(asked) else {
            continue;
        };
        let response = world.emulator.handle(&request, world.now);
        let second = again.handle(&request, world.now);
        assert_eq!(response.status(), second.status());
        assert_eq!(response.headers(), second.headers());
        assert_eq!(response.body(), second.body());
        world.answered(&request, &response, asked);
    }
}

/// An emulator, and what a client of it remembers.
struct World {
    emulator: Emulator,
    now: Duration,
    group: String,
    secrets: [String; 2],
    issued: Option<String>,
    answerer: Option<Answerer>,
    /// Until when the nonce is surely accepted.
    fresh_until: Duration,
    nonce_ttl: Duration,
}

impl World {
    fn new(emulator: Emulator) -> Self {
        Self {
            now: Duration::from_secs(1_790_000_000),
            group: emulator.first_group().to_string(),
            secrets: [
                emulator.api_key().private_key.clone(),
                emulator.service_account().client_secret.clone(),
            ],
            issued: None,
            answerer: None,
            fresh_until: Duration::ZERO,
            nonce_ttl: Duration::from_secs(2),
            emulator,
        }
    }

    fn moves(&mut self, by: i16) {
        let length = Duration::from_secs(u64::from(by.unsigned_abs()));
        self.now = match by < 0 {
            true => self.now.saturating_sub(length),
            false => self.now.saturating_add(length),
        };
    }

    /// The request, if its parts are any.
    fn request(&mut self, asked: &Asked) -> Option<Request<Vec<u8>>> {
        let target = format!("{}{}", asked.path, asked.query).replace("{group}", &self.group);
        let uri: Uri = target.parse().ok()?;
        let mut request = Request::new(asked.body.clone());
        *request.method_mut() = asked.method.clone();
        let target = uri
            .path_and_query()
            .map_or_else(|| "/".into(), ToString::to_string);
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if let Ok(accept) = HeaderValue::from_str(&asked.accept) {
            headers.insert(ACCEPT, accept);
        }
        if asked.gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if !asked.body.is_empty() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
        }
        if let Some((name, value)) = &asked.header
            && let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
        let text = |text: String| HeaderValue::try_from(text).ok();
        let account = self.emulator.service_account();
        let authorization = match asked.credential {
            Credential::None => None,
            Credential::Known => text(format!("Bearer {}", self.emulator.access_token())),
            Credential::Issued => self
                .issued
                .as_ref()
                .and_then(|token| text(format!("Bearer {token}"))),
            Credential::Basic => {
                let pair = format!("{}:{}", account.client_id, account.client_secret);
                text(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
            Credential::Digest => {
                let answerer = self.answerer.as_mut();
                answerer.and_then(|a| a.authorization(asked.method.as_str(), &target, [7; 16]))
            }
            Credential::Text => HeaderValue::from_bytes(&asked.authorization).ok(),
        };
        if let Some(authorization) = authorization {
            headers.append(AUTHORIZATION, authorization);
        }
        Some(request)
    }

    fn answered(
        &mut self,
        request: &Request<Vec<u8>>,
        response: &Response<Vec<u8>>,
        asked: &Asked,
    ) {
        on_the_wire(request.method(), response);
        let body = plain(response);
        let status = response.status();
        for secret in &self.secrets {
            // What was asked for is repeated.
            if format!("{asked:?}").contains(secret.as_str()) {
                continue;
            }
            let has = |text: &[u8]| {
                text.windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            };
            assert!(!has(&body), "a secret is in the body");
            assert!(
                !response
                    .headers()
                    .values()
                    .any(|value| has(value.as_bytes()))
            );
        }
        let json = serde_json::from_slice::<Value>(&body).ok();
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        if content_type.is_some_and(|value| value.windows(4).any(|part| part == b"json")) {
            assert!(json.is_some(), "{}", body.escape_ascii());
        }
        let path = request.uri().path();
        let is_list = path.ends_with("/aiModelApiKeys");
        let mut copy = Response::new(body.as_slice());
        *copy.status_mut() = status;
        *copy.headers_mut() = response.headers().clone();
        match Reply::from_response(copy) {
            Ok(reply) if is_list && status == 200 => match reply.into_page() {
                Ok(page) => assert!(page.len() <= 500),
                // Enveloped.
                Err(error) => assert!(matches!(error, Error::Api(_)), "{error}"),
            },
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.status(), Some(status));
                let said = json.as_ref().and_then(|json| json.get("error"));
                // OAuth's errors are words.
                assert!(
                    said.is_some_and(|said| said.is_string()
                        || said.as_u64() == Some(u64::from(status.as_u16()))),
                    "{status}: {}",
                    body.escape_ascii()
                );
            }
        }
        if path.ends_with("/oauth/token")
            && status == 200
            && let Some(token) = json.as_ref().and_then(|json| json.get("access_token"))
        {
            self.issued = token.as_str().map(str::to_owned);
        }
        self.challenged(response.headers(), status, asked);
    }

    fn challenged(&mut self, headers: &HeaderMap, status: StatusCode, asked: &Asked) {
        let challenges = headers.get_all(WWW_AUTHENTICATE);
        let is_answered = matches!(asked.credential, Credential::Digest)
            && self.answerer.is_some()
            && asked.header.is_none();
        if is_answered && self.now <= self.fresh_until {
            let is_refused =
                status == StatusCode::UNAUTHORIZED && challenges.iter().next().is_some();
            assert!(!is_refused, "a right answer was refused");
        }
        if challenges
            .iter()
            .any(|value| value.as_bytes().starts_with(b"Digest"))
        {
            let challenge =
                Challenge::strongest(challenges, &Limits::default()).expect("it can be answered");
            let key = self.emulator.api_key();
            let answerer = Answerer::new(challenge, &key.public_key, &key.private_key, [9; 16]);
            self.answerer = Some(answerer);
            self.fresh_until = self
                .now
                .saturating_add(self.nonce_ttl - Duration::from_secs(1));
        }
    }
}

/// The body without its coding.
fn plain(response: &Response<Vec<u8>>) -> Vec<u8> {
    let body = response.body();
    match response.headers().get(CONTENT_ENCODING) {
        None => body.clone(),
        Some(coding) => {
            assert_eq!(coding, "gzip");
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
            decoder.read_to_end(&mut plain).expect("it is gzip");
            plain
        }
    }
}

/// Written as HTTP/1.1, it is read as it was.
fn on_the_wire(method: &Method, response: &Response<Vec<u8>>) {
    let status = response.status();
    let mut bytes = format!("HTTP/1.1 {} \r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend(name.as_str().as_bytes());
        bytes.extend(b": ");
        bytes.extend(value.as_bytes());
        bytes.extend(b"\r\n");
    }
    if !response.headers().contains_key(CONTENT_LENGTH) {
        bytes.extend(format!("content-length: {}\r\n", response.body().len()).bytes());
    }
    bytes.extend(b"\r\n");
    let has_body = method != Method::HEAD && !matches!(status.as_u16(), 204 | 304);
    if has_body {
        bytes.extend(response.body());
    }
    match Decoder::new(method, &Limits::default()).push(&bytes) {
        Ok(Progress::Done { message, leftover }) => {
            assert!(leftover.is_empty());
            assert_eq!(message.response.status(), status);
            let mut headers = message.response.headers().clone();
            if !response.headers().contains_key(CONTENT_LENGTH) {
                headers.remove(CONTENT_LENGTH);
            }
            assert_eq!(headers, *response.headers());
            if has_body {
                assert_eq!(message.response.body(), response.body());
            }
        }
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}
