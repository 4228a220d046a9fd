//! Brings a text into errors in every possible way, and records their output.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiError, BaseUrl, Credentials, Error, Exchange, Failure, FailureKind, GroupId, InvalidValue,
    Limits, ListRequest, Moment, Pending, Reply, Session, Step,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::generators::redaction::{Input, STATUSES};

/// An error of another library with a chain of sources.
#[derive(Debug)]
struct LibraryError {
    text: String,
    source: Option<Box<LibraryError>>,
}

impl LibraryError {
    fn new(texts: &[String]) -> Self {
        let (text, rest) = texts.split_first().expect("the list is never empty");
        Self {
            text: text.clone(),
            source: (!rest.is_empty()).then(|| Box::new(Self::new(rest))),
        }
    }
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for LibraryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.source.as_deref()?)
    }
}

/// The output of an error, and those of its texts that come from outside, each with the original.
pub(super) struct ErrorOutput {
    /// The secrets that the session knew.
    pub(super) secrets: Vec<String>,
    pub(super) all: Vec<String>,
    pub(super) texts: Vec<(String, String)>,
}

/// Returns credentials with the secret. With kind 3, the secret is an access token that a server issues.
pub(super) fn credentials(kind: u8, secret: &str) -> Result<Credentials, InvalidValue> {
    match kind {
        0 => Credentials::bearer(secret),
        1 => Credentials::service_account(CLIENT_ID, secret),
        2 => Credentials::api_key("abcdefgh", secret),
        _ => Credentials::service_account(CLIENT_ID, CLIENT_SECRET),
    }
}

/// The errors of sessions that receive the texts.
struct ErrorCollector<'a> {
    kind: u8,
    secret: &'a str,
    status: u16,
    limits: Limits,
    texts: &'a [String],
    outputs: Vec<ErrorOutput>,
}

const CLIENT_ID: &str = "mdb_sa_id_1";
const CLIENT_SECRET: &str = "mdb_sa_sk_0123456789abcdef";
const ISSUED: &str = "an-issued-token-0123456789";

/// Returns the secrets that a session knows.
pub(super) fn secrets(kind: u8, secret: &str) -> Vec<String> {
    let account = |client_secret: &str| {
        let pair = BASE64_STANDARD.encode(format!("{CLIENT_ID}:{client_secret}"));
        vec![client_secret.to_owned(), pair]
    };
    match kind {
        0 | 2 => vec![secret.into()],
        1 => account(secret),
        _ => [vec![secret.into()], account(CLIENT_SECRET)].concat(),
    }
}

fn moment() -> Moment {
    Moment::new(Duration::from_secs(1_790_000_000), [7; 16])
}

fn response(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status from 100 to 999");
    response
}

impl ErrorCollector<'_> {
    fn session(&self) -> Session {
        let credentials = credentials(self.kind, self.secret).expect("the credentials are valid");
        Session::new(BaseUrl::default(), credentials).with_limits(self.limits.clone())
    }

    fn list(is_enveloped: bool) -> ListRequest {
        let group = GroupId::new("0123456789abcdef01234567").expect("24 hexadecimal digits");
        ListRequest::new(group).with_envelope(is_enveloped)
    }

    /// Returns a session and its first request, which may be a token request.
    fn first_request(&self, is_enveloped: bool) -> (Session, Pending) {
        let mut session = self.session();
        let step = session.start::<Vec<u8>>(&Self::list(is_enveloped), moment());
        (session, sent(step))
    }

    /// Returns a session that has sent an authenticated request for a page.
    fn authenticated(&self, is_enveloped: bool) -> (Session, Pending) {
        let (mut session, mut pending) = self.first_request(is_enveloped);
        if pending.is_for_token() {
            let token = if self.kind == 3 { self.secret } else { ISSUED };
            let body = json!({ "access_token": token }).to_string();
            pending = sent(session.respond(pending, response(200, body), moment()));
        }
        if self.kind == 2 {
            let mut challenge = response(401, "");
            let digest = HeaderValue::from_static(r#"Digest realm="r", nonce="n", qop="auth""#);
            challenge.headers_mut().insert(WWW_AUTHENTICATE, digest);
            pending = sent(session.respond(pending, challenge, moment()));
        }
        (session, pending)
    }

    fn text(&self) -> String {
        self.texts.concat()
    }

    /// Returns the text of an error and its sources, without repetitions.
    fn chain(&self) -> String {
        let (first, rest) = self.texts.split_first().expect("the list is never empty");
        let mut all = first.clone();
        for text in rest.iter().take(16) {
            if !all.contains(text.as_str()) {
                all = format!("{all}: {text}");
            }
        }
        all
    }

    /// Records the output of an error. `is_authenticated` says whether the session had sent a request for a page.
    fn record(&mut self, error: &Error, is_authenticated: bool, texts: Vec<(String, String)>) {
        let mut all = vec![error.to_string(), format!("{error:?}")];
        let mut next = error.source();
        while let Some(source) = next {
            all.extend([source.to_string(), format!("{source:?}")]);
            next = source.source();
        }
        let mut secrets = secrets(self.kind, self.secret);
        match self.kind {
            1 if is_authenticated => secrets.push(ISSUED.into()),
            3 if !is_authenticated => _ = secrets.remove(0),
            _ => {}
        }
        self.outputs.push(ErrorOutput {
            all,
            texts,
            secrets,
        });
    }

    /// Passes the transport's error to every method that accepts one.
    fn check_transport_errors(&mut self) {
        for kind in [
            FailureKind::NotSent,
            FailureKind::Lost,
            FailureKind::TimedOut,
            FailureKind::Permanent,
        ] {
            let failure = || failure(kind, self.texts);
            let (session, pending) = self.first_request(false);
            let error = session.transport_error(failure(), 0);
            self.record_transport_error(&error, false);
            let error = session.give_up(pending, failure());
            self.record_transport_error(&error, false);
            let (mut session, pending) = self.authenticated(false);
            let error = match session.fail::<Vec<u8>>(pending, failure(), moment()) {
                Err(error) => error,
                Ok(Step::Wait(wait)) => {
                    let (_, source) = wait
                        .failure()
                        .expect("the wait has the failure as its cause");
                    let text = source.to_string();
                    let error = wait.give_up();
                    assert_eq!(error.source().map(ToString::to_string), Some(text));
                    error
                }
                Ok(other) => panic!("{other:?}"),
            };
            self.record_transport_error(&error, true);
        }
    }

    fn record_transport_error(&mut self, error: &Error, is_authenticated: bool) {
        let Error::Transport { source, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.expose().to_string(), self.texts[0]);
        let texts = vec![(source.to_string(), self.chain())];
        self.record(error, is_authenticated, texts);
    }

    /// Returns bodies with the text in each field of an error object, each with an optional `X-Error-Code` header.
    fn error_bodies(&self) -> Vec<(String, Option<HeaderValue>)> {
        let text = self.text();
        let object = json!({
            "error": 400, "errorCode": text, "reason": text, "detail": text,
            "parameters": [text, 7, text],
            "badRequestDetail": {"fields": [{"field": text, "description": text}, {"field": text}]},
        });
        let header = HeaderValue::from_str(&text)
            .ok()
            .filter(|value| value.to_str().is_ok());
        vec![
            (object.to_string(), None),
            (json!({"status": 404, "content": object}).to_string(), None),
            (
                json!({"error": text, "error_description": text}).to_string(),
                None,
            ),
            (json!({"status": 404, "detail": text}).to_string(), header),
            // Without escaping, so that the JSON parser decodes the escapes in the text.
            (format!(r#"{{"error":404,"detail":"{text}"}}"#), None),
            (text, None),
        ]
    }

    /// Returns the texts of an error from Atlas, each with its original, or none for another error.
    fn texts_of(
        &self,
        api_error: Option<&ApiError>,
        body: &str,
        header: Option<&HeaderValue>,
    ) -> Vec<(String, String)> {
        let Some(api_error) = api_error else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        let mut add = |shown: &Option<String>, raw: Option<&str>| {
            assert_eq!(shown.is_some(), raw.is_some(), "{shown:?} for {raw:?}");
            texts.extend(shown.clone().zip(raw.map(str::to_owned)));
        };
        let header = header.and_then(|value| value.to_str().ok());
        let top = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
        let is_read = body.len() <= self.limits.error_body_bytes && top.is_object();
        let object = match (is_read, top.get("content")) {
            (false, _) => json!({}),
            (true, Some(content)) if content.is_object() => content.clone(),
            (true, _) => top,
        };
        let text = |name: &str| object[name].as_str();
        add(
            &api_error.error_code,
            text("errorCode").or(text("error")).or(header),
        );
        add(&api_error.reason, text("reason"));
        add(
            &api_error.detail,
            text("detail").or(text("error_description")),
        );
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        for (shown, raw) in api_error.parameters.iter().zip(list(&object["parameters"])) {
            let raw = raw.as_str().map_or(raw.to_string(), str::to_owned);
            add(&Some(shown.clone()), Some(&raw));
        }
        let fields = list(&object["badRequestDetail"]["fields"]);
        for (shown, raw) in api_error.fields.iter().zip(fields) {
            add(&shown.field, raw["field"].as_str());
            add(&shown.description, raw["description"].as_str());
        }
        texts
    }

    /// Records the error, if any, that a response leads to.
    fn record_result(
        &mut self,
        next: Result<Step<Vec<u8>>, Error>,
        is_authenticated: bool,
        body: &str,
        header: Option<&HeaderValue>,
    ) {
        let (error, texts) = match next {
            Err(error) => {
                let texts = self.texts_of(error.api_error(), body, header);
                (error, texts)
            }
            Ok(Step::Wait(wait)) => {
                let texts = self.texts_of(wait.api_error(), body, header);
                (wait.give_up(), texts)
            }
            Ok(Step::Done(reply)) => return self.record_page(reply, body, header),
            // The session tries another version or token.
            Ok(Step::Send(_)) => return,
        };
        self.record(&error, is_authenticated, texts);
    }

    fn record_page(&mut self, reply: Reply<Vec<u8>>, body: &str, header: Option<&HeaderValue>) {
        if let Err(error) = reply.into_page() {
            let texts = self.texts_of(error.api_error(), body, header);
            self.record(&error, true, texts);
        }
    }

    /// Sends responses with the text to every type of request.
    fn check_responses(&mut self) {
        for (body, header) in self.error_bodies() {
            let respond = |status: u16| {
                let mut response = response(status, body.clone());
                if let Some(header) = &header {
                    let name = HeaderName::from_static("x-error-code");
                    response.headers_mut().insert(name, header.clone());
                }
                response
            };
            let status = self.status;
            let (mut session, pending) = self.authenticated(false);
            let next = session.respond(pending, respond(status), moment());
            self.record_result(next, true, &body, header.as_ref());
            let (mut session, pending) = self.first_request(false);
            if pending.is_for_token() {
                let next = session.respond(pending, respond(status), moment());
                self.record_result(next, false, &body, header.as_ref());
            }
            if let Err(error) = session.revoked(&respond(status), moment()) {
                assert!(error.api_error().is_some(), "{error:?}");
                let texts = self.texts_of(error.api_error(), &body, header.as_ref());
                self.record(&error, false, texts);
            }
            for is_enveloped in [false, true] {
                let (mut session, pending) = self.authenticated(is_enveloped);
                let next = session.respond(pending, respond(200), moment());
                self.record_result(next, true, &body, header.as_ref());
            }
            // The body is not a token.
            let (mut session, pending) = self.first_request(false);
            if pending.is_for_token()
                && let Err(error) = session.respond(pending, respond(200), moment())
            {
                self.record(&error, false, Vec::new());
            }
        }
        // Invalid pages and tokens, with the text as a name or a value.
        let text = self.text();
        for body in [
            json!({ "results": [{"name": [text]}] }),
            json!({ "results": text }),
            json!({ &text: 1, "links": [{"rel": {&text: text}}] }),
            json!({ "access_token": {&text: text} }),
            json!({ "access_token": format!("\n{text}") }),
            json!({ "access_token": "t", "token_type": text }),
        ] {
            let body = body.to_string();
            let (mut session, pending) = self.authenticated(false);
            if let Ok(Step::Done(reply)) =
                session.respond(pending, response(200, body.clone()), moment())
                && let Err(error) = reply.into_page()
            {
                self.record(&error, true, Vec::new());
            }
            let (mut session, pending) = self.first_request(false);
            if pending.is_for_token()
                && let Err(error) = session.respond(pending, response(200, body), moment())
            {
                self.record(&error, false, Vec::new());
            }
        }
    }
}

fn failure(kind: FailureKind, texts: &[String]) -> Failure {
    let failure = Failure::new(kind, LibraryError::new(texts));
    let shown = format!("{failure:?}");
    assert_eq!(shown, format!("Failure {{ kind: {kind:?}, .. }}"));
    failure
}

/// Returns the ticket of a step that sends a request.
fn sent(step: Result<Step<Vec<u8>>, Error>) -> Pending {
    match step {
        Ok(Step::Send(Exchange { pending, .. })) => pending,
        other => panic!("{other:?}"),
    }
}

/// Returns the output of all errors that these texts lead to.
pub(super) fn error_outputs(input: &Input, limits: &Limits, texts: &[String]) -> Vec<ErrorOutput> {
    let mut collector = ErrorCollector {
        kind: input.kind,
        secret: &input.secret,
        status: STATUSES[usize::from(input.flags >> 1) % STATUSES.len()],
        limits: limits.clone(),
        texts,
        outputs: Vec::new(),
    };
    collector.check_transport_errors();
    collector.check_responses();
    collector.outputs
}
