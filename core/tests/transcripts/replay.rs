//! Replays a transcript with a session.

use std::error::Error as _;
use std::time::Duration;

use atlas_model_keys_core::{
    Body, Error, Failure, GroupsRequest, KeyRequest, Moment, Operation, OrgKeyRequest,
    OwnedModelKey, Pending, Reply, Session, Step, Wait,
};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue};

use super::script::{BASE, LineKind, Mistake, Request, Script, parse};

const AGENT: &str = concat!("atlas-model-keys-core/", env!("CARGO_PKG_VERSION"));

/// Replays a transcript, and describes the first difference if the session does something else.
pub(crate) fn check(text: &str) -> Result<(), Mistake> {
    let (replayed, end) = replay(text)?;
    let (expected, found): (Vec<_>, Vec<_>) = (text.lines().collect(), replayed.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(a, b)| a == b);
    let first = same.count();
    // If the replay has ended early and the session did nothing else until then, the transcript has a mistake.
    if first == found.len() {
        end?;
    }
    if text == replayed {
        return Ok(());
    }
    let same_at_end = expected[first..]
        .iter()
        .rev()
        .zip(found[first..].iter().rev());
    let same_at_end = same_at_end.take_while(|(a, b)| a == b).count();
    let changed = |lines: &[&str], mark: char| {
        let lines = lines[first..lines.len() - same_at_end].iter().take(20);
        lines
            .map(|line| format!("\n{mark} {line}"))
            .collect::<String>()
    };
    let before = &expected[first.saturating_sub(3)..first];
    let before: String = before.iter().map(|line| format!("\n  {line}")).collect();
    Err((
        first + 1,
        format!(
            "the session did something else (-: transcript, +: session){before}{}{}",
            changed(&expected, '-'),
            changed(&found, '+')
        ),
    ))
}

/// Replays the inputs of a transcript. Returns the transcript with what the session really did, and whether it could be
/// replayed to its end.
pub(crate) fn replay(text: &str) -> Result<(String, Result<(), Mistake>), Mistake> {
    let Script {
        session,
        start,
        entropy,
        blocks,
    } = parse(text)?;
    let mut player = Player {
        session,
        now: start,
        entropy,
        pending: None,
        asked: None,
        last_request: String::new(),
        outputs: Vec::new(),
    };
    let mut written = String::new();
    let mut write = |block: &str, empty_line: bool| {
        if empty_line && !written.is_empty() {
            written.push('\n');
        }
        written.push_str(block);
        written.push('\n');
    };
    let mut end = Ok(());
    let mut blocks = blocks.into_iter().peekable();
    while let Some(block) = blocks.next() {
        // A comment may stand between an input and what the session does then.
        let is_remark = matches!(block.kind, LineKind::Remark);
        let is_before_output = blocks
            .peek()
            .is_some_and(|next| matches!(next.kind, LineKind::Output));
        if !(is_remark && is_before_output) {
            let mut empty_line = block.follows_empty_line;
            for output in player.outputs.drain(..) {
                write(&output, empty_line);
                empty_line = true;
            }
        }
        if matches!(block.kind, LineKind::Output) {
            continue;
        }
        if let Err(what) = player.play(block.kind) {
            end = Err((block.line, what.to_owned()));
            break;
        }
        write(&block.text, block.follows_empty_line);
    }
    for output in player.outputs {
        write(&output, true);
    }
    if player.pending.is_some() && end.is_ok() {
        let line = text.lines().count();
        end = Err((
            line,
            "the transcript ends, but the session expects a response".to_owned(),
        ));
    }
    Ok((written, end))
}

struct Player {
    session: Session,
    now: Duration,
    entropy: [u8; 16],
    /// The ticket of the request that has no response yet.
    pending: Option<Pending>,
    /// The request of the current exchange.
    asked: Option<Request>,
    /// The lines of the exchange's last request.
    last_request: String,
    /// What the session did after the last input.
    outputs: Vec<String>,
}

impl Player {
    /// Passes an input to the session.
    fn play(&mut self, input: LineKind) -> Result<(), &'static str> {
        let at = Moment::new(self.now, self.entropy);
        let step = match (input, self.pending.take()) {
            (LineKind::Start(request), None) => {
                self.last_request.clear();
                self.asked = Some(request);
                let session = &mut self.session;
                match request {
                    Request::List(list) => session.start(&list, at),
                    Request::Key(key) => session.start(&key, at),
                    Request::OrgKey(key) => session.start(&key, at),
                    Request::Groups(groups) => session.start(&groups, at),
                }
            }
            (LineKind::Response(response), Some(pending)) => {
                self.session.respond(pending, response, at)
            }
            (LineKind::Failure(kind, cause), Some(pending)) => {
                self.session.fail(pending, Failure::new(kind, cause), at)
            }
            (LineKind::Start(_), Some(_)) => return Err("the session still expects a response"),
            (LineKind::Response(_) | LineKind::Failure(..), None) => {
                return Err("the session expects no response");
            }
            (other, pending) => {
                self.pending = pending;
                if let LineKind::TimePasses(time) = other {
                    self.now += time;
                }
                return Ok(());
            }
        };
        self.follow(step);
        Ok(())
    }

    /// Follows the steps to the next request or the end of the exchange.
    fn follow(&mut self, mut step: Result<Step<Vec<u8>>, Error>) {
        while let Ok(Step::Wait(wait)) = step {
            self.outputs.push(wait_line(&wait));
            self.now += wait.delay();
            let at = Moment::new(self.now, self.entropy);
            step = self.session.resume(wait, at);
        }
        self.outputs.push(match step {
            Ok(Step::Send(exchange)) => {
                self.pending = Some(exchange.pending);
                let lines = request_lines(&exchange.request);
                if lines == self.last_request {
                    "> (the same request again)".to_owned()
                } else {
                    self.last_request.clone_from(&lines);
                    lines
                }
            }
            Ok(Step::Done(reply)) => match self.asked {
                Some(Request::Key(_)) => key_lines::<KeyRequest>(reply),
                Some(Request::OrgKey(_)) => key_lines::<OrgKeyRequest>(reply),
                Some(Request::Groups(_)) => groups_lines(reply),
                Some(Request::List(_)) | None => reply_lines(reply),
            },
            Ok(Step::Wait(_)) => unreachable!("all waits are over"),
            Err(error) => error_lines("error", &error),
        });
    }
}

fn wait_line(wait: &Wait) -> String {
    let until = if wait.on_change() {
        " or for another exchange"
    } else {
        ""
    };
    format!("wait {}{until}", seconds(wait.delay()))
}

fn request_lines(request: &http::Request<Body>) -> String {
    let uri = request.uri().to_string();
    // A request to another server would show its whole address.
    let target = uri.strip_prefix(BASE).unwrap_or(&uri);
    let mut headers: Vec<String> = request
        .headers()
        .iter()
        .filter(|(name, value)| *name != USER_AGENT || *value != AGENT)
        .map(|(name, value)| header_line(name, value))
        .collect();
    headers.sort();
    if !request.headers().contains_key(USER_AGENT) {
        headers.push("\n> (no user-agent)".to_owned());
    }
    let mut body = str::from_utf8(request.body().as_bytes())
        .unwrap()
        .to_owned();
    if !body.is_empty() {
        body = format!("\n>\n> {}", body.replace('\n', "\n> "));
    }
    format!("> {} {target}{}{body}", request.method(), headers.concat())
}

fn header_line(name: &HeaderName, value: &HeaderValue) -> String {
    let is_exposed = *name == AUTHORIZATION && !value.is_sensitive();
    let exposed = if is_exposed {
        " (not marked as sensitive)"
    } else {
        ""
    };
    format!("\n> {name}: {}{exposed}", value.to_str().unwrap())
}

fn reply_lines(reply: Reply<Vec<u8>>) -> String {
    match reply.into_page() {
        Ok(page) => {
            let plural = if page.len() == 1 { "" } else { "s" };
            let version = page.version().map(|version| version.to_string());
            format!(
                "= page of {} key{plural}, version {}",
                page.len(),
                version.as_deref().unwrap_or("unknown")
            )
        }
        Err(error) => error_lines("invalid page", &error),
    }
}

fn key_lines<O: Operation<Answer<Vec<u8>> = OwnedModelKey>>(reply: Reply<Vec<u8>>) -> String {
    let version = reply.version().map(|version| version.to_string());
    match O::read(reply) {
        Ok(key) => format!(
            "= key {:?}, version {}",
            key.name().unwrap_or_default(),
            version.as_deref().unwrap_or("unknown")
        ),
        Err(error) => error_lines("invalid key", &error),
    }
}

fn groups_lines(reply: Reply<Vec<u8>>) -> String {
    match GroupsRequest::read(reply) {
        Ok(groups) => {
            let plural = if groups.len() == 1 { "" } else { "s" };
            let version = groups.version().map(|version| version.to_string());
            format!(
                "= page of {} group{plural}, version {}",
                groups.len(),
                version.as_deref().unwrap_or("unknown")
            )
        }
        Err(error) => error_lines("invalid page", &error),
    }
}

fn error_lines(what: &str, error: &Error) -> String {
    let when = if error.is_retryable() {
        "retryable"
    } else {
        "final"
    };
    let after = error
        .retry_after()
        .map(|wait| format!(" after {}", seconds(wait)));
    let cause = error.source().map(|cause| format!("\n= cause: {cause}"));
    format!(
        "= {what}, {when}{}: {error}{}",
        after.unwrap_or_default(),
        cause.unwrap_or_default()
    )
}

/// Returns the duration in seconds, rounded to milliseconds.
fn seconds(duration: Duration) -> String {
    let text = format!("{:.3}", duration.as_secs_f64());
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}
