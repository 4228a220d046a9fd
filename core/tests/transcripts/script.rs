//! Parses a transcript. The README explains the format.

use std::time::Duration;

use atlas_model_keys_core::{
    ApiKeyId, ApiVersion, BaseUrl, Credentials, FailureKind, GroupId, GroupsRequest, KeyRequest,
    Limits, ListRequest, OrgId, OrgKeyRequest, RetryPolicy, Session, UnixTime,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

pub(crate) const BASE: &str = "https://atlas.example";

/// A parsed transcript.
pub(crate) struct Script {
    pub session: Session,
    pub start: Duration,
    /// The entropy of every moment.
    pub entropy: [u8; 16],
    pub blocks: Vec<Block>,
}

/// Lines of a transcript that belong together.
pub(crate) struct Block {
    /// The number of the first line, from 1.
    pub line: usize,
    pub text: String,
    pub follows_empty_line: bool,
    pub kind: LineKind,
}

pub(crate) enum LineKind {
    /// A comment or a setting.
    Remark,
    Start(Request),
    Response(Response<Vec<u8>>),
    Failure(FailureKind, String),
    TimePasses(Duration),
    /// What the session does.
    Output,
}

/// The request of a new exchange.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    List(ListRequest),
    Key(KeyRequest),
    OrgKey(OrgKeyRequest),
    Groups(GroupsRequest),
}

/// A mistake in a transcript: the number of its line, and a text.
pub(crate) type Mistake = (usize, String);

pub(crate) fn parse(text: &str) -> Result<Script, Mistake> {
    let lines: Vec<&str> = text.lines().collect();
    let mut settings = Settings::default();
    let mut blocks: Vec<Block> = Vec::new();
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let first = next;
        next += 1;
        if line.is_empty() {
            continue;
        }
        if line.starts_with('<') {
            let more = lines[next..].iter();
            next += more.take_while(|line| line.starts_with('<')).count();
        }
        let mistake = |what: &str| (first + 1, format!("{what}: {line}"));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let kind = match word {
            "#" => LineKind::Remark,
            ">" | "=" | "wait" => LineKind::Output,
            "list" | "key" | "organization-key" | "groups" => {
                LineKind::Start(request(word, rest).ok_or_else(|| mistake("unknown parameter"))?)
            }
            "<" => LineKind::Response(
                response(&lines[first..next]).ok_or_else(|| mistake("not a response"))?,
            ),
            "!" => failure(rest).ok_or_else(|| mistake("unknown failure"))?,
            _ if line.ends_with(" later") => {
                let time = duration(line.trim_end_matches(" later"));
                LineKind::TimePasses(time.ok_or_else(|| mistake("not a time"))?)
            }
            _ => {
                let is_started = blocks.iter().any(|b| matches!(b.kind, LineKind::Start(_)));
                let (name, value) = line
                    .split_once(": ")
                    .filter(|_| !is_started)
                    .ok_or_else(|| mistake("unknown line"))?;
                settings
                    .set(name, value)
                    .ok_or_else(|| mistake("unknown setting"))?;
                LineKind::Remark
            }
        };
        blocks.push(Block {
            line: first + 1,
            text: lines[first..next].join("\n"),
            follows_empty_line: first > 0 && lines[first - 1].is_empty(),
            kind,
        });
    }
    if !blocks.iter().any(|b| matches!(b.kind, LineKind::Start(_))) {
        return Err((
            lines.len(),
            "there is no `list` or another request".to_owned(),
        ));
    }
    Ok(Script {
        start: settings.start,
        entropy: settings.entropy,
        session: settings
            .into_session()
            .ok_or((1, "there are no `credentials`".to_owned()))?,
        blocks,
    })
}

struct Settings {
    credentials: Option<Credentials>,
    version: Option<ApiVersion>,
    start: Duration,
    entropy: [u8; 16],
    attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: None,
            version: None,
            // 2026-09-21T14:13:20Z
            start: Duration::from_secs(1_790_000_000),
            entropy: [0; 16],
            attempts: RetryPolicy::default().attempts,
        }
    }
}

impl Settings {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "credentials" => self.credentials = Some(credentials(value)?),
            "version" => self.version = Some(value.parse().ok()?),
            "start" => self.start = value.parse::<UnixTime>().ok()?.to_duration()?,
            "jitter" if value == "full" => self.entropy = [0xff; 16],
            "attempts" => self.attempts = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }

    fn into_session(self) -> Option<Session> {
        let limits =
            Limits::default().with_retry(RetryPolicy::default().with_attempts(self.attempts));
        let session =
            Session::new(BaseUrl::new(BASE).unwrap(), self.credentials?).with_limits(limits);
        Some(match self.version {
            Some(version) => session.with_version(version),
            None => session,
        })
    }
}

fn credentials(text: &str) -> Option<Credentials> {
    let words: Vec<&str> = text.split(' ').collect();
    match *words.as_slice() {
        ["bearer", token] => Credentials::bearer(token),
        ["service", "account", id, secret] => Credentials::service_account(id, secret),
        ["API", "key", public, private] => Credentials::api_key(public, private),
        _ => return None,
    }
    .ok()
}

fn request(operation: &str, query: &str) -> Option<Request> {
    let id = "0123456789abcdef01234567";
    let (group, org) = (GroupId::new(id).ok()?, OrgId::new(id).ok()?);
    let key = ApiKeyId::new("a86r5kwrfsk5r5ku5tgvhmpj").ok()?;
    let mut request = match operation {
        "list" => Request::List(ListRequest::new(group)),
        "key" => Request::Key(KeyRequest::new(group, key)),
        "organization-key" => Request::OrgKey(OrgKeyRequest::new(org, key)),
        "groups" => Request::Groups(GroupsRequest::new()),
        _ => return None,
    };
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=')?;
        request = request.with(name, value)?;
    }
    Some(request)
}

impl Request {
    fn with(self, name: &str, value: &str) -> Option<Self> {
        macro_rules! with_one_of {
            ($request:ident: $($name:literal $setter:ident),*) => {
                match name {
                    $($name => $request.$setter(value.parse().ok()?),)*
                    _ => return None,
                }
            };
        }
        Some(match self {
            Self::List(request) => Self::List(with_one_of!(request:
                "itemsPerPage" with_items_per_page, "pageNum" with_page_num,
                "envelope" with_envelope, "pretty" with_pretty)),
            Self::Groups(request) => Self::Groups(with_one_of!(request:
                "itemsPerPage" with_items_per_page, "pageNum" with_page_num,
                "envelope" with_envelope, "pretty" with_pretty)),
            Self::Key(request) => Self::Key(with_one_of!(request:
                "envelope" with_envelope, "pretty" with_pretty)),
            Self::OrgKey(request) => Self::OrgKey(with_one_of!(request:
                "envelope" with_envelope, "pretty" with_pretty)),
        })
    }
}

/// Parses the lines of a response: status, headers, and a body after an empty line.
fn response(lines: &[&str]) -> Option<Response<Vec<u8>>> {
    let mut lines = lines
        .iter()
        .map(|line| line.strip_prefix("< ").or((*line == "<").then_some("")));
    let status = lines.next()??;
    let code = StatusCode::from_bytes(status.split(' ').next()?.as_bytes()).ok()?;
    if status != status_line(code) {
        return None;
    }
    let mut response = Response::new(Vec::new());
    *response.status_mut() = code;
    for line in lines.by_ref() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(value).ok()?);
    }
    *response.body_mut() = lines.collect::<Option<Vec<_>>>()?.join("\n").into_bytes();
    Some(response)
}

/// Returns the code and the name of a status, such as `404 Not Found`.
fn status_line(code: StatusCode) -> String {
    match code.canonical_reason() {
        Some(reason) => format!("{} {reason}", code.as_u16()),
        None => code.as_u16().to_string(),
    }
}

fn failure(text: &str) -> Option<LineKind> {
    let (kind, cause) = text.split_once(": ")?;
    let kind = match kind {
        "not sent" => FailureKind::NotSent,
        "lost" => FailureKind::Lost,
        "timed out" => FailureKind::TimedOut,
        "permanent" => FailureKind::Permanent,
        _ => return None,
    };
    Some(LineKind::Failure(kind, cause.to_owned()))
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once(' ')?;
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}
