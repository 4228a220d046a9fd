//! The emulator responds to every request as its documentation says, and the core can parse its responses.
//!
//! **Input**: a configuration and requests, see [`generators::emulator`](crate::generators::emulator).
//!
//! **Properties**
//!
//! - Status, error, challenges, rate limit, `Retry-After` and body of each response are those of a model of the documentation
//!   (`oracles/atlas_model.rs`): a credential is accepted exactly if it is right, a page has exactly its items, in order,
//!   and its links, a token bucket is empty exactly when it must be.
//! - Equal emulators give equal responses to equal requests, byte for byte (in an eighth of the inputs).
//! - A response that is written as HTTP/1.1 is decoded completely, and unchanged, by [`Decoder`].
//! - A response that claims to be JSON is JSON; an error object contains the status; a page of keys or groups is one for
//!   the core and has at most 500 entries; a key is a key for the core and has the requested id; each of them is as
//!   documented, but for the names, times of use and secrets that the emulator leaves out; a compressed body is gzip and
//!   says so, and it is compressed exactly if it is long and the request allows it.
//! - A success needs a credential.
//! - The core can answer every challenge.
//! - No response contains the private key or the client secret.
//! - The record of a request has the status and the credential of the model. It contains none of the secrets of the
//!   emulator, even if the request does.
//!
//! One bit of the configuration switches the control interface on. Its requests set faults and the time; after that, the
//! model says no more, and while there are faults, only the properties about equal responses, decoding and secrets of the
//! record hold.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use atlas_model_keys_core::digest::{Answerer, Challenge};
use atlas_model_keys_core::wire::{Decoder, Progress};
use atlas_model_keys_core::{
    Error, GroupsRequest, KeyRequest, Limits, ListRequest, Operation, OrgKeyRequest,
    OrgListRequest, Reply,
};
use atlas_model_keys_emulator::{Config, DigestAlgorithm, Emulator, Fault, Injection};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};

use crate::generators::bytes as input;
use crate::generators::emulator::{
    Credential, FORGERIES, Forgery, Input, PAIRS, Pair, RequestPlan, Setup,
};
use crate::generators::world::{self, Account, Facts};
use crate::oracles::atlas_model::{self, Content, Expected, Model};
use crate::oracles::digest_answer::Answer;
use crate::oracles::redaction::Pairs;

/// The most repetitions of requests in an input.
const MAX_REPETITIONS: u32 = 240;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let mut client = Client::new(input.setup);
    let mut second_emulator = input.is_repeated.then(|| client.emulator.clone());
    let mut repetitions = MAX_REPETITIONS;
    for plan in &input.requests {
        client.move_clock(plan.clock_move);
        let count = u32::from(plan.repetitions).min(repetitions);
        repetitions -= count;
        for number in 0..=count {
            let Some(request) = client.request(plan) else {
                break;
            };
            let expected = client.expect(&request);
            let is_faulty = client.emulator.faults().next().is_some();
            let response = client.emulator.handle(&request, client.now);
            if let Some(second) = &mut second_emulator {
                let second_response = second.handle(&request, client.now);
                assert_eq!(response.status(), second_response.status());
                assert_eq!(response.headers(), second_response.headers());
                assert_eq!(response.body(), second_response.body());
            }
            if client.emulator.faults().any(is_expensive) {
                client.emulator.heal();
                if let Some(second) = &mut second_emulator {
                    second.heal();
                }
            }
            if client.is_control(&request) {
                client.check_control(&request, &response);
                continue;
            }
            if is_faulty {
                continue;
            }
            let body = &*decompressed(&response);
            let has_model = expected.is_some();
            if let Some(expected) = expected {
                client.check_seen(&expected);
                check_expected(&response, body, expected, input.setup);
            }
            if number == 0 {
                client.check_response(&request, &response, body, plan, has_model);
            }
            client.learn(&response, body);
        }
    }
    client.check_records();
}

/// Returns whether a fault makes responses so large that they would slow a campaign down.
fn is_expensive(injection: Injection) -> bool {
    let fault = injection.fault();
    let number = fault.argument().and_then(|text| text.parse::<u64>().ok());
    fault.name() == Fault::GZIP_BOMB.name() || number.is_some_and(|number| number > 1 << 16)
}

/// An emulator and the state of its client.
struct Client {
    setup: Setup,
    facts: Rc<Facts>,
    emulator: Emulator,
    now: Duration,
    /// The rules, until a request changes more than they know.
    model: Option<Model>,
    /// The placeholders of paths, and their values.
    ids: [(&'static str, String); 6],
    /// The access tokens so far.
    tokens: Vec<String>,
    /// The nonces so far, each with the last count.
    nonces: Vec<(String, u32)>,
    answerer: Option<Answerer>,
}

impl Client {
    fn new(setup: Setup) -> Self {
        let (emulator, facts) = world::emulator(setup);
        let (first, last) = (&facts.groups[0], &facts.groups[facts.groups.len() - 1]);
        let key = |group: &world::GroupFacts| {
            let id = group.keys.last().and_then(|key| key["apiKeyId"].as_str());
            id.unwrap_or("none").to_owned()
        };
        let tokens = facts.access_tokens.iter();
        Self {
            now: Duration::from_secs(1_790_000_000),
            model: Some(Model::new(setup, Rc::clone(&facts))),
            ids: [
                ("{group}", first.id.clone()),
                ("{key}", key(first)),
                ("{org}", first.org.clone()),
                ("{other}", last.id.clone()),
                ("{other-key}", key(last)),
                ("{other-org}", last.org.clone()),
            ],
            tokens: tokens.map(|account| account.name.clone()).collect(),
            nonces: Vec::new(),
            answerer: None,
            setup,
            facts,
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

    /// Returns the issued tokens, without those that exist from the start.
    fn issued(&self) -> &[String] {
        &self.tokens[self.facts.access_tokens.len()..]
    }

    /// Builds a request. Returns `None` if its parts are not valid.
    fn request(&mut self, plan: &RequestPlan) -> Option<Request<Vec<u8>>> {
        let mut target = format!("{}{}", plan.path, plan.query);
        if target.contains('{') {
            let ids = self.ids.iter();
            target = ids.fold(target, |target, (name, id)| match target.contains(name) {
                true => target.replace(name, id),
                false => target,
            });
        }
        let uri: Uri = target.parse().ok()?;
        let mut body = plan.body.clone();
        let known = Some(&self.tokens[0]);
        let tokens = [
            ("{known}", known),
            ("{issued}", self.issued().last()),
            ("{first}", self.issued().first()),
        ];
        for (name, token) in tokens {
            if body.contains('{') && body.contains(name) {
                body = body.replace(name, token.map_or("none", String::as_str));
            }
        }
        let mut request = Request::new(body.into_bytes());
        *request.method_mut() = plan.method.clone();
        let target = uri
            .path_and_query()
            .map_or_else(|| "/".into(), ToString::to_string);
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        headers.insert(ACCEPT, HeaderValue::try_from(&plan.accept).ok()?);
        if plan.gzip {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if plan.method == Method::POST {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(CONTENT_TYPE, form);
        }
        if let Some([name, value]) = &plan.header
            && let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
        let text = |text: String| HeaderValue::try_from(text).ok();
        let [selected, second] = plan.selection;
        let authorization = match plan.credential {
            Credential::None => None,
            Credential::Known => text(format!("Bearer {}", self.tokens[0])),
            Credential::Issued => self
                .issued()
                .last()
                .and_then(|token| text(format!("Bearer {token}"))),
            Credential::Basic => text(self.pair(Pair::First)),
            Credential::Digest => {
                let answerer = self.answerer.as_mut();
                let value =
                    answerer.and_then(|a| a.authorization(plan.method.as_str(), &target, [7; 16]));
                if let Some((_, count)) = self.nonces.last_mut() {
                    *count += u32::from(value.is_some());
                }
                value
            }
            Credential::Text => HeaderValue::from_bytes(&plan.authorization).ok(),
            Credential::Forged => {
                let forgery = FORGERIES[usize::from(selected) % FORGERIES.len()];
                text(self.forged(forgery, second, &plan.method, &target))
            }
            Credential::Token => {
                let mut token =
                    self.tokens[usize::from(selected % 128) % self.tokens.len()].clone();
                if selected >= 128 {
                    let last = token.pop();
                    token.push(if last == Some('A') { 'B' } else { 'A' });
                }
                text(format!("Bearer {token}"))
            }
            Credential::Pair => text(self.pair(PAIRS[usize::from(selected) % PAIRS.len()])),
        };
        if let Some(authorization) = authorization {
            headers.append(AUTHORIZATION, authorization);
        }
        Some(request)
    }

    /// Returns the value of `Authorization` for Basic authentication.
    fn pair(&self, pair: Pair) -> String {
        let accounts = &self.facts.service_accounts;
        let (first, second) = (&accounts[0], &accounts[accounts.len() - 1]);
        let Account { name, secret, .. } = first;
        let text = match pair {
            Pair::First | Pair::SchemeInCapitals => format!("{name}:{secret}"),
            Pair::Second => format!("{}:{}", second.name, second.secret),
            Pair::FirstWithSecretOfSecond => format!("{name}:{}", second.secret),
            Pair::SecretCut => format!("{name}:{}", &secret[..secret.len() - 1]),
            Pair::SecretLonger => format!("{name}:{secret}x"),
            Pair::SecretEmpty => format!("{name}:"),
            Pair::IdCut => format!("{}:{secret}", &name[..name.len() - 1]),
            Pair::WithoutColon => format!("{name}{secret}"),
            Pair::PercentEncoded => format!("{name}:{}", secret.replace('_', "%5F")),
        };
        let scheme = if pair == Pair::SchemeInCapitals {
            "BASIC"
        } else {
            "Basic"
        };
        format!("{scheme} {}", BASE64_STANDARD.encode(text))
    }

    /// Returns an answer to a challenge, with this difference from the right one.
    fn forged(&mut self, forgery: Forgery, nonce: u8, method: &Method, target: &str) -> String {
        use Forgery as F;
        let keys = &self.facts.api_keys;
        let (first, last) = (&keys[0], &keys[keys.len() - 1]);
        let place = usize::from(nonce) % self.nonces.len().max(1);
        let mut unused = 0;
        let (nonce, last_count) = match self.nonces.iter_mut().rev().nth(place) {
            Some((nonce, count)) => (nonce.clone(), count),
            None => ("0123456789abcdef0123456789abcdef".to_owned(), &mut unused),
        };
        let count = match forgery {
            F::CountReused => *last_count,
            F::CountZero => 0,
            F::CountFarAhead => last_count.saturating_add(0xa0),
            _ => last_count.saturating_add(1),
        };
        // A count is used up even if the answer is refused.
        *last_count = count.max(*last_count);
        let user = match forgery {
            F::SecondUser | F::SecondUserWithFirstPassword => last,
            _ => first,
        };
        let mut answer = Answer {
            user: user.name.clone(),
            has_user_hash: forgery == F::HashedUser,
            realm: "MMS Public API".to_owned(),
            nonce,
            uri: target.to_owned(),
            algorithm: match forgery {
                F::Algorithm(algorithm) => algorithm,
                F::NoAlgorithm => DigestAlgorithm::Md5,
                _ => self.setup.digest()[0],
            },
            cnonce: "0a4f113b".to_owned(),
            count,
            nc: format!("{count:08x}"),
            response: String::new(),
        };
        match forgery {
            F::OtherUri => answer.uri.push('x'),
            F::OtherRealm => answer.realm.push('x'),
            F::UnknownUser => answer.user = "nobody".to_owned(),
            F::UnknownNonce => answer.nonce.push('x'),
            F::NonceOfAnotherEmulator => answer.nonce.clone_from(&NONCE_OF_ANOTHER_EMULATOR),
            F::CountOfSevenDigits => answer.nc = format!("{count:07x}"),
            F::CountWithSign => answer.nc = format!("+{count:07x}"),
            F::NoCnonce => answer.cnonce.clear(),
            F::HashedUser => answer.user = answer.user_hash(&user.name),
            _ => {}
        }
        let password = match forgery {
            F::OtherPassword => "01234567-89ab-cdef-0123-456789abcdee",
            F::SecondUserWithFirstPassword => &first.secret,
            _ => &user.secret,
        };
        let method = if forgery == F::OtherMethod {
            "PATCH"
        } else {
            method.as_str()
        };
        let mut response = answer.right_response(&user.name, password, method);
        let flipped = |digit: &str| if digit == "0" { "1" } else { "0" };
        let length = response.len();
        match forgery {
            F::LastDigitOfResponse => {
                let digit = flipped(&response[length - 1..]);
                response.replace_range(length - 1.., digit);
            }
            F::SecondHalfOfResponse => {
                let half: String = response[length / 2..]
                    .chars()
                    .map(|c| if c == '0' { '1' } else { '0' })
                    .collect();
                response.replace_range(length / 2.., &half);
            }
            F::ResponseCut => response.truncate(length - 1),
            F::ResponseLonger => response.push('0'),
            F::ResponseInCapitals => response.make_ascii_uppercase(),
            F::ResponseEmpty => response.clear(),
            _ => {}
        }
        answer.response = response;
        if forgery == F::OtherCnonce {
            answer.cnonce.push('x');
        }
        let rest = match forgery {
            F::UserhashOfPlainUser => ", userhash=true, qop=auth",
            F::QopAuthInt => ", qop=auth-int",
            F::NoQop => "",
            F::ParameterTwice => ", qop=auth, realm=\"MMS Public API\"",
            _ => ", qop=auth",
        };
        let value = answer.to_header(forgery != F::NoAlgorithm, rest);
        match forgery {
            F::OtherScheme => value.replacen("Digest", "Digestive", 1),
            _ => value,
        }
    }

    /// Returns the response that must come, as long as the model knows the state of the emulator.
    fn expect(&mut self, request: &Request<Vec<u8>>) -> Option<Expected> {
        if self.is_control(request) {
            let is_reading = [Method::GET, Method::HEAD].contains(request.method());
            if !is_reading && !request.uri().path().ends_with("/requests") {
                self.model = None;
            }
            return None;
        }
        let expected = self.model.as_mut()?.expect(request, self.now);
        if expected.is_none() {
            self.model = None;
        }
        expected
    }

    fn is_control(&self, request: &Request<Vec<u8>>) -> bool {
        let path = atlas_model::decode_unreserved(request.uri().path());
        self.setup.has_control() && path.starts_with("/_emulator/")
    }

    /// Learns nonces and tokens from a response.
    fn learn(&mut self, response: &Response<Vec<u8>>, body: &[u8]) {
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let nonce = nonce_of(response.headers());
        let json =
            match body.starts_with(b"{\"access_token\"") && response.status() == StatusCode::OK {
                true => serde_json::from_slice::<Value>(body).ok(),
                false => None,
            };
        let token = json.as_ref().and_then(|json| json["access_token"].as_str());
        if let Some(model) = &mut self.model {
            model.observe(nonce.as_deref(), token, self.now);
        }
        self.tokens.extend(token.map(str::to_owned));
        if let Some(nonce) = nonce {
            self.nonces.push((nonce, 0));
            let challenge = Challenge::strongest(challenges, &Limits::default())
                .expect("the challenge can be answered");
            let key = &self.facts.api_keys[0];
            self.answerer = Some(Answerer::new(challenge, &key.name, &key.secret, [9; 16]));
        }
    }

    /// Checks the status and the credential in the record of the last request.
    fn check_seen(&self, expected: &Expected) {
        if !self.setup.is_recorded {
            return;
        }
        let seen = self
            .emulator
            .seen()
            .last()
            .expect("each request is recorded");
        assert_eq!(
            seen.status.map(|status| status.as_u16()),
            Some(expected.status)
        );
        let credential = seen
            .credential
            .map(|kind| (kind.as_str(), seen.principal.clone()));
        assert_eq!(credential, expected.credential);
    }

    /// Checks the records of all requests.
    fn check_records(&self) {
        let mut records = String::new();
        for seen in self.emulator.seen() {
            let start = records.len();
            let _ = write!(records, "{}", seen.to_json());
            let record = &records[start..];
            assert!(!record.contains('\n'), "{record}");
            assert!(
                serde_json::from_str::<serde::de::IgnoredAny>(record).is_ok(),
                "{record}"
            );
            records.push('\n');
        }
        let Facts {
            api_keys,
            service_accounts,
            ..
        } = &*self.facts;
        let accounts = api_keys.iter().chain(service_accounts);
        let secrets = accounts.map(|account| account.secret.as_str());
        for secret in secrets.chain(self.tokens.iter().map(String::as_str)) {
            let is_shown = contains(records.as_bytes(), secret.as_bytes());
            assert!(!is_shown, "a secret is in {records}");
        }
    }

    /// Checks the response to a request for the control interface, which may have changed the time and the nonces.
    fn check_control(&self, request: &Request<Vec<u8>>, response: &Response<Vec<u8>>) {
        assert_decoded_unchanged(request.method(), response);
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
        &self,
        request: &Request<Vec<u8>>,
        response: &Response<Vec<u8>>,
        body: &[u8],
        plan: &RequestPlan,
        has_model: bool,
    ) {
        assert_decoded_unchanged(request.method(), response);
        let status = response.status();
        self.check_secrets(request, response, body);
        check_coding(request, response, body, plan);
        // The body of a success is parsed below, or was compared with the model's.
        let json = match status.is_success() && has_model {
            true => None,
            false => serde_json::from_slice::<Value>(body).ok(),
        };
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        if content_type.is_some_and(|value| value.windows(4).any(|part| part == b"json")) {
            let is_compared = status.is_success() && has_model;
            assert!(is_compared || json.is_some(), "{}", body.escape_ascii());
        }
        let mut copy = Response::new(body);
        *copy.status_mut() = status;
        *copy.headers_mut() = response.headers().clone();
        match Reply::from_response(copy) {
            Ok(reply) => {
                // An error keeps its HTTP status in an envelope, too.
                let checked = self.check_reply(request, reply);
                assert!(checked.is_ok(), "{checked:?}: {}", body.escape_ascii());
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
    }

    /// Checks that no secret of the emulator is in the response, unless the request has it: the emulator may repeat parts of
    /// the request.
    fn check_secrets(&self, request: &Request<Vec<u8>>, response: &Response<Vec<u8>>, body: &[u8]) {
        let secrets = [
            &self.facts.api_keys[0].secret,
            &self.facts.service_accounts[0].secret,
        ];
        for secret in secrets {
            let has = |text: &[u8]| contains(text, secret.as_bytes());
            let mut values = response.headers().values().map(HeaderValue::as_bytes);
            if has(body) || values.any(has) {
                let sent = format!("{:?}", request.uri());
                assert!(
                    sent.contains(secret.as_str()),
                    "a secret is in the response"
                );
            }
        }
    }

    /// Checks the reply to an operation.
    fn check_reply(&self, request: &Request<Vec<u8>>, reply: Reply<&[u8]>) -> Result<(), Error> {
        let path = &*atlas_model::decode_unreserved(request.uri().path());
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
        // A query may leave out the number of groups.
        let is_counted = self.setup.total_count().is_none() && request.uri().query().is_none();
        // Some keys were never used.
        let is_left_out = |field: &String| {
            field == "totalCount" && !is_counted
                || field.ends_with("lastUsedAt")
                || !self.setup.has_secrets() && field.ends_with("secret")
        };
        assert!(drift.missing.keys().all(is_left_out), "{drift}");
        Ok(())
    }
}

/// Returns whether a text contains a secret of at least two bytes.
fn contains(text: &[u8], secret: &[u8]) -> bool {
    let mut pairs = Pairs::default();
    pairs.add(secret);
    let mut places = pairs.places_in(text, secret.len());
    places.any(|place| {
        let mut parts = text[place].windows(secret.len());
        parts.any(|part| part == secret)
    })
}

/// Checks whether the body is compressed exactly if it must be.
fn check_coding(
    request: &Request<Vec<u8>>,
    response: &Response<Vec<u8>>,
    body: &[u8],
    plan: &RequestPlan,
) {
    // The input may have added a value.
    if request.headers().get_all(ACCEPT_ENCODING).iter().count() > usize::from(plan.gzip) {
        return;
    }
    let is_long = body.len() > 220;
    let is_compressed = response.headers().contains_key(CONTENT_ENCODING);
    assert_eq!(is_compressed, plan.gzip && is_long);
    let vary = response
        .headers()
        .get(VARY)
        .map_or(&[][..], HeaderValue::as_bytes);
    assert_eq!(
        vary.ends_with(b"Accept-Encoding"),
        is_long,
        "{}",
        vary.escape_ascii()
    );
}

/// Checks a response against that of the model.
fn check_expected(response: &Response<Vec<u8>>, body: &[u8], mut expected: Expected, setup: Setup) {
    let mut content = std::mem::replace(&mut expected.content, Content::Empty);
    let shown = || format!("{response:?}, not {expected:?}");
    assert_eq!(response.status().as_u16(), expected.status, "{}", shown());
    let headers = response.headers();
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().expect("visible ASCII"))
    };
    let number = |name| text(name).map(|text| text.parse::<u64>().expect("a number"));
    assert_eq!(
        number(RETRY_AFTER.as_str()),
        expected.retry_after,
        "{}",
        shown()
    );
    let rate_limit = [number("ratelimit-limit"), number("ratelimit-remaining")];
    assert_eq!(
        rate_limit,
        expected
            .rate_limit
            .map_or([None; 2], |limit| limit.map(Some)),
        "{}",
        shown()
    );
    check_challenges(headers, &expected.challenge, setup.digest(), &shown);
    let json = || serde_json::from_slice::<Value>(body).expect("the body is JSON");
    match &mut content {
        Content::Error { code, has_envelope } => {
            assert_eq!(text("x-error-code"), *code, "{}", shown());
            let json = json();
            assert_eq!(json["errorCode"].as_str(), *code, "{}", shown());
            assert_eq!(json["error"], expected.status);
            let status = has_envelope.then_some(expected.status);
            assert_eq!(
                json.get("status"),
                status.map(Value::from).as_ref(),
                "{}",
                shown()
            );
        }
        Content::OauthError(error) => assert_eq!(json()["error"], *error, "{}", shown()),
        Content::Token(lifetime) => {
            let mut json = json();
            let token = json["access_token"].take();
            assert!(
                token.as_str().is_some_and(|token| token.len() > 40),
                "{token}"
            );
            let rest =
                json!({ "access_token": null, "expires_in": lifetime, "token_type": "Bearer" });
            assert_eq!(json, rest);
            assert_eq!(text("cache-control"), Some("no-store"));
        }
        Content::Empty => assert!(body.is_empty(), "{}", shown()),
        Content::Json {
            version,
            value,
            is_pretty,
        } => {
            let content_type = format!("application/vnd.atlas.{version}+json;charset=utf-8");
            assert_eq!(text("content-type"), Some(content_type.as_str()));
            // The harness does not know when a generated group was created.
            if let Some(groups) = value.get_mut("results").and_then(Value::as_array_mut)
                && groups
                    .iter()
                    .any(|group| group.get("created") == Some(&Value::Null))
            {
                for (group, sent) in groups
                    .iter_mut()
                    .zip(json()["results"].as_array_mut().expect("a list"))
                {
                    group["created"] = sent["created"].take();
                }
            }
            // All of Atlas's objects have their fields in alphabetical order, as those of `Value`.
            let text = match is_pretty {
                true => serde_json::to_vec_pretty(value),
                false => serde_json::to_vec(value),
            };
            let text = text.expect("JSON can be written");
            assert!(
                body == text,
                "{}, not {}",
                body.escape_ascii(),
                text.escape_ascii()
            );
        }
    }
}

/// Checks that the challenges are the expected ones, in the order of the configured algorithms, with one nonce.
fn check_challenges(
    headers: &HeaderMap,
    expected: &atlas_model::Challenge,
    algorithms: &[DigestAlgorithm],
    shown: &dyn Fn() -> String,
) {
    use atlas_model::Challenge as C;
    let values: Vec<&str> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .map(|value| value.to_str().expect("visible ASCII"))
        .collect();
    match expected {
        C::None => assert!(values.is_empty(), "{}", shown()),
        C::Basic => assert_eq!(values, [r#"Basic realm="MMS Public API""#]),
        C::InvalidToken => assert_eq!(values, [r#"Bearer error="invalid_token""#]),
        C::Digest { stale } => {
            let nonce = nonce_of(headers).unwrap_or_else(|| panic!("{}", shown()));
            let due = algorithms.iter().map(|algorithm| {
                format!(
                    "Digest realm=\"MMS Public API\", domain=\"\", nonce=\"{nonce}\", algorithm={algorithm}, \
                     qop=\"auth\", stale={stale}"
                )
            });
            assert_eq!(values, due.collect::<Vec<_>>(), "{}", shown());
        }
    }
}

/// A nonce that the emulator of the client did not issue.
static NONCE_OF_ANOTHER_EMULATOR: LazyLock<String> = LazyLock::new(|| {
    let config = Config::default()
        .with_seed(1000)
        .with_groups(1)
        .with_keys_per_group(0);
    let request = Request::get("/api/atlas/v2/groups")
        .body("")
        .expect("a valid request");
    let response = Emulator::new(config).handle(&request, Duration::ZERO);
    nonce_of(response.headers()).expect("a challenge has a nonce")
});

/// Returns the nonce of the first challenge.
fn nonce_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (_, rest) = value.split_once("nonce=\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Returns the decompressed body.
fn decompressed(response: &Response<Vec<u8>>) -> Cow<'_, [u8]> {
    let body = response.body();
    match response.headers().get(CONTENT_ENCODING) {
        None => Cow::Borrowed(body),
        Some(coding) => {
            assert_eq!(coding, "gzip");
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(body.as_slice());
            decoder.read_to_end(&mut plain).expect("the body is gzip");
            Cow::Owned(plain)
        }
    }
}

/// Asserts that a response written as HTTP/1.1 is decoded unchanged.
fn assert_decoded_unchanged(method: &Method, response: &Response<Vec<u8>>) {
    let status = response.status();
    // Room for the usual fields, so that the buffer does not grow.
    let mut bytes = Vec::with_capacity(1024 + response.body().len());
    bytes.extend(format!("HTTP/1.1 {} \r\n", status.as_u16()).bytes());
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
