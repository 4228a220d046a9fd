//! The emulator responds to every request, and the core can parse its responses.
//!
//! **Input**: one byte each for the seed, the number of groups, the number of keys and the configuration; then
//! requests until the end of the input: two bytes for the clock's move in seconds; one byte each for the method (from
//! [`METHODS`]), the path (from [`PATHS`]), the query (from [`QUERIES`]), `Accept` (from [`ACCEPTS`]), the credential
//! (from [`CREDENTIALS`]), other headers, and the body (from [`BODIES`]). For a text, a byte beyond the choices is
//! followed by a short text.
//!
//! **Properties**
//!
//! - Equal emulators give equal responses to equal requests, byte for byte.
//! - A response that is written as HTTP/1.1 is decoded completely, and unchanged, by [`Decoder`].
//! - A response that claims to be JSON is JSON; an error object contains the status; a page of keys or groups is one for
//!   the core and has at most 500 entries; a key is a key for the core and has the requested id; each of them is as
//!   documented, but for the names, times of use and secrets that the emulator leaves out; a compressed body is gzip and
//!   says so.
//! - A success needs a credential.
//! - The core can answer every challenge, and the answer is accepted while its nonce is valid.
//! - No response contains the private key or the client secret.
//! - The record of a request contains none of the secrets of the emulator, even if the request does.
//!
//! One bit of the configuration switches the control interface on. Its requests set faults and the time; while there
//! are faults, only the first, the second and the last property hold.

use std::io::Read;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::digest::{Answerer, Challenge};
use atlas_model_keys_core::wire::{Decoder, Progress};
use atlas_model_keys_core::{
    Error, GroupsRequest, KeyRequest, Limits, ListRequest, Operation, OrgKeyRequest,
    OrgListRequest, Reply,
};
use atlas_model_keys_emulator::{Config, Emulator, Fault, Injection, Names, TokenBucket};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde_json::Value;

use crate::generators::bytes as input;

/// Methods of requests.
pub const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::DELETE,
    Method::PUT,
];

/// Paths of requests; `{group}` stands for the first group, `{key}` for the last of its keys, and `{org}` for the
/// organization.
pub const PATHS: [&str; 19] = [
    "/api/atlas/v2/groups/{group}/aiModelApiKeys",
    "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys",
    "/api/atlas/v2/groups",
    "/api/oauth/token",
    "/api/oauth/revoke",
    "https://cloud.mongodb.com/api/atlas/v2/groups/{group}/aiModelApiKeys",
    "/api/atlas/v2/orgs/0123456789abcdef01234567/aiModelApiKeys",
    "/api/atlas/v2/orgs/{org}/aiModelApiKeys",
    "/api/atlas/v2/groups/{group}/aiModelApiKeys/{key}",
    "/api/atlas/v2/orgs/{org}/aiModelApiKeys/{key}",
    "/api/atlas/v2/groups/{group}/aiModelApiKeys/a86r5kwrfsk5r5ku5tgvhmpj",
    "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys/{key}",
    "/api/atlas/v2/orgs/{org}/aiModelApiKeys/a86r5kwrfsk5r5ku5tgvhmpj",
    "/api/atlas/v2/orgs/0123456789abcdef01234567/aiModelApiKeys/{key}",
    "/_emulator/requests",
    "/_emulator/reset",
    "/_emulator/faults",
    "/_emulator/time",
    "/_emulator/environment",
];

/// Queries of requests.
pub const QUERIES: [&str; 8] = [
    "",
    "?itemsPerPage=2&pageNum=2",
    "?envelope=true",
    "?pretty=true&itemsPerPage=500",
    "?pageNum=0",
    "?pageNum=2147483647&envelope=true",
    "?since=1&route=listGroupKeys",
    "?format=dotenv",
];

/// Values of `Accept`.
pub const ACCEPTS: [&str; 4] = [
    "application/vnd.atlas.preview+json",
    "application/vnd.atlas.2025-03-12+json",
    "application/vnd.atlas.2023-01-01+json",
    "*/*",
];

/// The credential of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Credential {
    /// No credential.
    None,
    /// The emulator's predefined access token.
    Known,
    /// The token of the last token request.
    Issued,
    /// The service account's id and secret.
    Basic,
    /// An answer to the last challenge, with the API key.
    Digest,
    /// A short text as `Authorization`.
    Text,
}

/// The credentials, by their byte in the input.
pub const CREDENTIALS: [Credential; 6] = [
    Credential::None,
    Credential::Known,
    Credential::Issued,
    Credential::Basic,
    Credential::Digest,
    Credential::Text,
];

/// Bodies of requests.
pub const BODIES: [&str; 7] = [
    "",
    "grant_type=client_credentials",
    "token=eyJhbGciOiJFUzI1NiJ9&token_type_hint=access_token",
    "grant_type=password",
    r#"["results-missing*1","echo-plain","digest-never*2"]"#,
    r#"{"advance":"2h"}"#,
    r#"{"now":"2027-01-01T00:00:00Z"}"#,
];

#[derive(Debug)]
struct Input {
    seed: u8,
    groups: u8,
    keys: u8,
    flags: u8,
    requests: Vec<RequestPlan>,
}

/// The description of a request, before it is built.
#[derive(Debug)]
struct RequestPlan {
    clock_move: i16,
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

/// Reads a byte that selects a choice, or is followed by a short text.
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
            let clock_move = u.arbitrary()?;
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
            input.requests.push(RequestPlan {
                clock_move,
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
    let flag = |bit: u8| input.flags & bit != 0;
    let seconds =
        |short: bool, [usual, low]: [u64; 2]| Duration::from_secs(if short { low } else { usual });
    let config = Config::default()
        .with_seed(u64::from(input.seed))
        .with_groups(usize::from(input.groups % 5))
        .with_keys_per_group(usize::from(input.keys % 9))
        .with_token_ttl(seconds(flag(1), [3600, 3]))
        .with_nonce_ttl(seconds(flag(2), [60, 2]))
        .with_rate_limit((!flag(4)).then(TokenBucket::default))
        .with_include_secrets(flag(8))
        .with_control(flag(16))
        .with_names(Names::Hostile);
    let has_secrets = config.include_secrets;
    let mut client = Client::new(Emulator::new(config), has_secrets);
    let mut second_emulator = client.emulator.clone();
    for plan in &input.requests {
        client.move_clock(plan.clock_move);
        let Some(request) = client.request(plan) else {
            continue;
        };
        let is_faulty = client.emulator.faults().next().is_some();
        let response = client.emulator.handle(&request, client.now);
        let second_response = second_emulator.handle(&request, client.now);
        assert_eq!(response.status(), second_response.status());
        assert_eq!(response.headers(), second_response.headers());
        assert_eq!(response.body(), second_response.body());
        if client.emulator.faults().any(is_expensive) {
            client.emulator.heal();
            second_emulator.heal();
        }
        client.check_record();
        let is_control = flag(16) && request.uri().path().contains("_emulator");
        if is_control {
            client.check_control(&request, &response);
        } else if !is_faulty {
            client.check_response(&request, &response, plan);
        }
    }
}

/// Returns whether a fault makes responses so large that they would slow a campaign down.
fn is_expensive(injection: Injection) -> bool {
    let fault = injection.fault();
    let number = fault.argument().and_then(|text| text.parse::<u64>().ok());
    fault.name() == Fault::GZIP_BOMB.name() || number.is_some_and(|number| number > 1 << 16)
}

/// An emulator and the state of its client.
struct Client {
    emulator: Emulator,
    now: Duration,
    /// The placeholders of paths, and their values.
    ids: [(&'static str, String); 3],
    /// Whether keys have their secrets.
    has_secrets: bool,
    secrets: [String; 2],
    issued: Option<String>,
    answerer: Option<Answerer>,
    /// The time until which the emulator must accept the nonce.
    nonce_valid_until: Duration,
    nonce_ttl: Duration,
}

impl Client {
    fn new(emulator: Emulator, has_secrets: bool) -> Self {
        let group = emulator.first_group();
        let key = emulator.keys(group).last();
        let key = key.and_then(|key| key.api_key_id.clone());
        Self {
            now: Duration::from_secs(1_790_000_000),
            ids: [
                ("{group}", group.to_string()),
                ("{key}", key.unwrap_or_else(|| "none".to_owned())),
                ("{org}", emulator.first_org().to_string()),
            ],
            has_secrets,
            secrets: [
                emulator.api_key().private_key.clone(),
                emulator.service_account().client_secret.clone(),
            ],
            issued: None,
            answerer: None,
            nonce_valid_until: Duration::ZERO,
            nonce_ttl: Duration::from_secs(2),
            emulator,
        }
    }

    fn move_clock(&mut self, by: i16) {
        let length = Duration::from_secs(u64::from(by.unsigned_abs()));
        self.now = match by < 0 {
            true => self.now.saturating_sub(length),
            false => self.now.saturating_add(length),
        };
    }

    /// Builds a request. Returns `None` if its parts are not valid.
    fn request(&mut self, plan: &RequestPlan) -> Option<Request<Vec<u8>>> {
        let target = format!("{}{}", plan.path, plan.query);
        let ids = self.ids.iter();
        let target = ids.fold(target, |target, (name, id)| target.replace(name, id));
        let uri: Uri = target.parse().ok()?;
        let mut request = Request::new(plan.body.clone());
        *request.method_mut() = plan.method.clone();
        let target = uri
            .path_and_query()
            .map_or_else(|| "/".into(), ToString::to_string);
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        if let Ok(accept) = HeaderValue::from_str(&plan.accept) {
            headers.insert(ACCEPT, accept);
        }
        if plan.gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if !plan.body.is_empty() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
        }
        if let Some((name, value)) = &plan.header
            && let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
        let text = |text: String| HeaderValue::try_from(text).ok();
        let account = self.emulator.service_account();
        let authorization = match plan.credential {
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
                answerer.and_then(|a| a.authorization(plan.method.as_str(), &target, [7; 16]))
            }
            Credential::Text => HeaderValue::from_bytes(&plan.authorization).ok(),
        };
        if let Some(authorization) = authorization {
            headers.append(AUTHORIZATION, authorization);
        }
        Some(request)
    }

    /// Checks the record of the last request.
    fn check_record(&self) {
        let Some(seen) = self.emulator.seen().last() else {
            return;
        };
        let record = seen.to_json();
        assert!(serde_json::from_str::<Value>(&record).is_ok(), "{record}");
        assert!(!record.contains('\n'), "{record}");
        let tokens = [self.emulator.access_token()].into_iter();
        let secrets = self.secrets.iter().map(String::as_str);
        for secret in tokens.chain(secrets).chain(self.issued.as_deref()) {
            assert!(!record.contains(secret), "a secret is in {record}");
        }
    }

    /// Checks the response to a request for the control interface, which may have changed the time and the nonces.
    fn check_control(&mut self, request: &Request<Vec<u8>>, response: &Response<Vec<u8>>) {
        assert_decoded_unchanged(request.method(), response);
        self.nonce_valid_until = Duration::ZERO;
        if response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value == "application/json")
        {
            let json: Value = serde_json::from_slice(response.body()).expect("the body is JSON");
            assert_eq!(json.get("error").is_some(), !response.status().is_success());
        }
    }

    fn check_response(
        &mut self,
        request: &Request<Vec<u8>>,
        response: &Response<Vec<u8>>,
        plan: &RequestPlan,
    ) {
        assert_decoded_unchanged(request.method(), response);
        let body = decompressed(response);
        let status = response.status();
        for secret in &self.secrets {
            // The emulator may repeat parts of the request.
            if format!("{plan:?}").contains(secret.as_str()) {
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
        let mut copy = Response::new(body.as_slice());
        *copy.status_mut() = status;
        *copy.headers_mut() = response.headers().clone();
        match Reply::from_response(copy) {
            Ok(reply) => {
                // An error keeps its HTTP status in an envelope, too.
                let checked = self.check_reply(request, reply);
                assert!(checked.is_ok(), "{checked:?}");
            }
            Err(error) => {
                assert_eq!(error.status(), Some(status));
                let error_field = json.as_ref().and_then(|json| json.get("error"));
                // The errors of OAuth are texts.
                assert!(
                    error_field.is_some_and(|value| value.is_string()
                        || value.as_u64() == Some(u64::from(status.as_u16()))),
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
        self.check_challenge(response.headers(), status, plan);
    }

    /// Checks the reply to an operation.
    fn check_reply(&self, request: &Request<Vec<u8>>, reply: Reply<&[u8]>) -> Result<(), Error> {
        let path = request.uri().path();
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        let is_of_org = path.starts_with("/api/atlas/v2/orgs/");
        if path.starts_with("/api/oauth/") {
            return Ok(());
        }
        let drift = match (name, parent.rsplit('/').next(), is_of_org) {
            ("groups", ..) => GroupsRequest::drift(&reply),
            (_, Some("aiModelApiKeys"), false) => KeyRequest::drift(&reply),
            (_, Some("aiModelApiKeys"), true) => OrgKeyRequest::drift(&reply),
            (.., false) => ListRequest::drift(&reply),
            (.., true) => OrgListRequest::drift(&reply),
        };
        if name == "groups" {
            assert!(GroupsRequest::read(reply)?.len() <= 500);
        } else if name == "aiModelApiKeys" {
            assert!(reply.into_page()?.len() <= 500);
        } else {
            assert_eq!(KeyRequest::read(reply)?.api_key_id(), Some(name));
        }
        let has_credential = request.headers().contains_key(AUTHORIZATION);
        assert!(has_credential, "a success without a credential");
        assert!(drift.unknown.is_empty() && !drift.more_unknown, "{drift}");
        // Some keys were never used.
        let is_left_out = |field: &String| {
            field.ends_with("lastUsedAt") || !self.has_secrets && field.ends_with("secret")
        };
        assert!(drift.missing.keys().all(is_left_out), "{drift}");
        Ok(())
    }

    fn check_challenge(&mut self, headers: &HeaderMap, status: StatusCode, plan: &RequestPlan) {
        let challenges = headers.get_all(WWW_AUTHENTICATE);
        // The endpoints of OAuth ask for Basic.
        let asks_for_digest = challenges
            .iter()
            .any(|value| value.as_bytes().starts_with(b"Digest"));
        let has_answer = matches!(plan.credential, Credential::Digest)
            && self.answerer.is_some()
            && plan.header.is_none();
        if has_answer && self.now <= self.nonce_valid_until {
            let is_rejected = status == StatusCode::UNAUTHORIZED && asks_for_digest;
            assert!(!is_rejected, "a correct answer was rejected");
        }
        if asks_for_digest {
            let challenge = Challenge::strongest(challenges, &Limits::default())
                .expect("the challenge can be answered");
            let key = self.emulator.api_key();
            let answerer = Answerer::new(challenge, &key.public_key, &key.private_key, [9; 16]);
            self.answerer = Some(answerer);
            self.nonce_valid_until = self
                .now
                .saturating_add(self.nonce_ttl - Duration::from_secs(1));
        }
    }
}

/// Returns the decompressed body.
fn decompressed(response: &Response<Vec<u8>>) -> Vec<u8> {
    let body = response.body();
    match response.headers().get(CONTENT_ENCODING) {
        None => body.clone(),
        Some(coding) => {
            assert_eq!(coding, "gzip");
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
            decoder.read_to_end(&mut plain).expect("the body is gzip");
            plain
        }
    }
}

/// Asserts that a response written as HTTP/1.1 is decoded unchanged.
fn assert_decoded_unchanged(method: &Method, response: &Response<Vec<u8>>) {
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
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}
