//! Replays the dialogues in `transcripts/` with a session. Their README explains the format.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::Duration;

use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Body, Credentials, Error, Failure, FailureKind, GroupId, ListRequest,
    Moment, Reply, Session, Step,
};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};

struct Player<'t> {
    name: &'t str,
    /// The lines with their numbers (from 1), without comments and empty lines.
    lines: VecDeque<(usize, &'t str)>,
    session: Option<Session>,
    step: Option<Result<Step<Vec<u8>>, Error>>,
    now: Duration,
}

#[test]
fn session_follows_every_transcript() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).unwrap();
            Player::new(path.file_name().unwrap().to_str().unwrap(), &text).play();
            played += 1;
        }
    }
    assert!(played >= 8, "{played}");
}

impl<'t> Player<'t> {
    fn new(name: &'t str, text: &'t str) -> Self {
        let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
        Self {
            name,
            lines: lines
                .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
                .collect(),
            session: None,
            step: None,
            now: Duration::from_secs(1_790_000_000),
        }
    }

    fn play(mut self) {
        while let Some((n, line)) = self.lines.pop_front() {
            let at = format!("{} line {n}", self.name);
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "=" => self.control(rest, &at),
                ">" => self.exchange(rest, &at),
                "." => self.wait(rest, &at),
                _ => panic!("{at}: unknown line: {line}"),
            }
        }
        assert!(
            self.step.is_none(),
            "{}: the last exchange has not ended",
            self.name
        );
    }

    fn moment(&self) -> Moment {
        Moment::new(self.now, [0; 16])
    }

    fn control(&mut self, line: &str, at: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let credentials = match words[..] {
            ["bearer", token] => Credentials::bearer(token),
            ["account", id, secret] => Credentials::service_account(id, secret),
            ["key", public, private] => Credentials::api_key(public, private),
            ["version", version] => {
                let session = self.session.take().unwrap();
                self.session = Some(session.with_version(ApiVersion::new(version).unwrap()));
                return;
            }
            ["list"] | ["list", _] => {
                assert!(
                    self.step.is_none(),
                    "{at}: the previous exchange has not ended"
                );
                let request = request(words.get(1).copied().unwrap_or_default());
                let moment = self.moment();
                let session = self.session.as_mut().unwrap();
                self.step = Some(session.start(&request, moment));
                return;
            }
            ["page", count, "version", version] => {
                let Some(Ok(Step::Done(reply))) = self.step.take() else {
                    panic!("{at}: the exchange is not done");
                };
                let page = reply
                    .into_page()
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                assert_eq!(page.len().to_string(), count, "{at}");
                assert_eq!(page.version().unwrap().to_string(), version, "{at}");
                return;
            }
            ["error", ..] => {
                let result = match self.step.take() {
                    Some(Ok(Step::Done(reply))) => Reply::into_page(reply).map(|_| ()),
                    Some(Err(error)) => Err(error),
                    other => panic!("{at}: the exchange has not ended: {other:?}"),
                };
                let error = result.err().map(|error| error.to_string());
                assert_eq!(error.as_deref(), line.strip_prefix("error "), "{at}");
                return;
            }
            _ => panic!("{at}: unknown line: {line}"),
        };
        let base = BaseUrl::new("https://atlas.example").unwrap();
        self.session = Some(Session::new(base, credentials.unwrap()));
    }

    /// Checks the request of an exchange, and passes its response or failure to the session.
    fn exchange(&mut self, line: &str, at: &str) {
        let Some(Ok(Step::Send(exchange))) = self.step.take() else {
            panic!("{at}: the session sends nothing");
        };
        let sent = &exchange.request;
        let target = sent.uri().path_and_query().unwrap().as_str();
        assert_eq!(format!("{} {target}", sent.method()), line, "{at}");
        assert_eq!(sent.uri().authority().unwrap(), "atlas.example", "{at}");
        for line in self.take(">") {
            assert_sent(sent, line, at);
        }
        let moment = self.moment();
        let session = self.session.as_mut().unwrap();
        if let Some((_, "! not-sent" | "! lost" | "! permanent")) = self.lines.front() {
            let (_, line) = self.lines.pop_front().unwrap();
            let kind = match line {
                "! not-sent" => FailureKind::NotSent,
                "! lost" => FailureKind::Lost,
                _ => FailureKind::Permanent,
            };
            let failure = Failure::new(kind, "cable pulled");
            self.step = Some(session.fail(exchange.pending, failure, moment));
            return;
        }
        let mut response_lines = self.take("<").into_iter();
        let status = response_lines
            .next()
            .unwrap_or_else(|| panic!("{at}: there is no response"));
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
        for line in response_lines {
            match header(line) {
                Some((name, value)) if response.body().is_empty() => {
                    let value = HeaderValue::from_str(value).unwrap();
                    response.headers_mut().append(name, value);
                }
                _ => response.body_mut().extend_from_slice(line.as_bytes()),
            }
        }
        let session = self.session.as_mut().unwrap();
        self.step = Some(session.respond(exchange.pending, response, moment));
    }

    fn wait(&mut self, seconds: &str, at: &str) {
        let Some(Ok(Step::Wait(wait))) = self.step.take() else {
            panic!("{at}: the session does not wait");
        };
        assert_eq!(wait.delay().as_secs().to_string(), seconds, "{at}");
        self.now += wait.delay();
        let moment = self.moment();
        self.step = Some(self.session.as_mut().unwrap().resume(wait, moment));
    }

    /// Takes the next lines that begin with this mark.
    fn take(&mut self, kind: &str) -> Vec<&'t str> {
        let mut taken = Vec::new();
        while let Some((_, line)) = self.lines.front() {
            let Some(rest) = line
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix(' '))
            else {
                break;
            };
            taken.push(rest);
            self.lines.pop_front();
        }
        taken
    }
}

fn assert_sent(sent: &Request<Body>, line: &str, at: &str) {
    if let Some((name, value)) = header(line) {
        let found = sent
            .headers()
            .get(&name)
            .map(|found| found.to_str().unwrap());
        assert_eq!(found, Some(value), "{at}: {name}");
    } else if line.contains('=') {
        assert_eq!(sent.body().as_bytes(), line.as_bytes(), "{at}");
    } else {
        assert!(
            !sent.headers().contains_key(line),
            "{at}: the header {line} is sent"
        );
    }
}

/// Parses `name: value`. JSON and HTML give `None`.
fn header(line: &str) -> Option<(HeaderName, &str)> {
    let (name, value) = line.split_once(": ")?;
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

fn request(query: &str) -> ListRequest {
    let mut request = ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap();
        request = match name {
            "itemsPerPage" => request.with_items_per_page(value.parse().unwrap()),
            "pageNum" => request.with_page_num(value.parse().unwrap()),
            "envelope" => request.with_envelope(value.parse().unwrap()),
            "pretty" => request.with_pretty(value.parse().unwrap()),
            _ => panic!("{name}"),
        };
    }
    request
}
