//! Failures of the command: one exit code, and one block on stderr with the failure, its causes and hints.

#[cfg(test)]
mod document;

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atlas_model_keys_core::{
    ApiError, BaseUrl, Endpoint, Error, FailureKind, GroupId, InvalidResponseKind, OrgId, PageNum,
    Refused, RetryPolicy,
};

use crate::args::Format;
use crate::credentials::Way;
use crate::environment::{ACCESS_TOKEN, ORG_ID};
use crate::output::text;

/// The exit codes. Scripts rely on them, so they do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    BadCredential = 3,
    NoSuchGroup = 4,
    RateLimited = 5,
    Network = 6,
    NotUnderstood = 7,
    Atlas = 8,
    Partial = 9,
    Found = 10,
    NoRole = 11,
    NotFound = 12,
    Interrupted = 130,
}

impl Exit {
    const ALL: [(Self, &'static str); 14] = [
        (Self::Done, "done"),
        (
            Self::Other,
            "something else, such as an output that cannot be written",
        ),
        (
            Self::Usage,
            "wrong usage: arguments, values, missing credentials",
        ),
        (
            Self::BadCredential,
            "the credential is bad: refused for a token, or a 401 before any success",
        ),
        (
            Self::NoSuchGroup,
            "no such project (404), where only one was asked for",
        ),
        (
            Self::RateLimited,
            "rate limited, or given up after several attempts (429, 5xx)",
        ),
        (Self::Network, "network or timeout"),
        (
            Self::NotUnderstood,
            "the response was not understood, or was a redirect",
        ),
        (Self::Atlas, "another error from Atlas"),
        (
            Self::Partial,
            "partial: some or all of several projects failed",
        ),
        (Self::Found, "--fail-if-any, and a key passed the filters"),
        (
            Self::NoRole,
            "no role here: a 403, or a 401 although the credential works",
        ),
        (
            Self::NotFound,
            "find: no entry for at least one of the keys",
        ),
        (
            Self::Interrupted,
            "interrupted (Ctrl-C, SIGTERM, SIGHUP, SIGQUIT)",
        ),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Returns the list of the codes for `--help`.
pub(crate) fn exit_codes() -> String {
    Exit::ALL
        .iter()
        .fold("Exit codes:".to_owned(), |text, (exit, meaning)| {
            format!("{text}\n{:>3}  {meaning}", *exit as u8)
        })
}

/// The failure of a command.
#[derive(Debug)]
pub(crate) struct CommandError {
    exit: Exit,
    /// Whether nothing is reported, because the reader of stdout has closed it.
    quiet: bool,
    what: String,
    /// The error and its causes.
    why: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            quiet: false,
            what: what.into(),
            why: Vec::new(),
            hints: Vec::new(),
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Creates a failure of this machine.
    pub(crate) fn local(what: impl Into<String>, error: &io::Error) -> Self {
        Self {
            why: vec![error.to_string()],
            ..Self::new(Exit::Other, what)
        }
    }

    /// Creates a failure that has been reported.
    pub(crate) fn reported() -> Self {
        Self {
            quiet: true,
            ..Self::new(Exit::Other, "")
        }
    }

    /// Creates the failure of a write to stdout. If the reader has closed the pipe, nothing is reported:
    /// it has read enough.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                quiet: true,
                ..Self::new(Exit::Done, "")
            };
        }
        Self::local("cannot write the output", error)
    }

    /// Creates the failure of a stdout that cannot be written to. It is found before any request is sent.
    pub(crate) fn no_stdout(error: &io::Error) -> Self {
        Self::stdout(error).hint("to throw the output away on purpose: > /dev/null")
    }

    /// Creates the failure of a listing.
    pub(crate) fn listing(error: &Error, asked: &Asked) -> Self {
        let (exit, hint) = advice(error, asked);
        let mut why = vec![error.to_string()];
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some libraries repeat the source in the error's own text.
            if why.last().is_none_or(|last| !last.contains(&text)) {
                why.push(format!("caused by: {text}"));
            }
            source = error.source();
        }
        let clouds = [BaseUrl::default(), BaseUrl::government()];
        if exit == Exit::BadCredential && !clouds.contains(&asked.base) {
            // Variables of an emulator, for example, may still be set.
            why.push(format!("the credential was sent to {}", asked.base));
        }
        let step = match error.api_error().map(|error| error.endpoint) {
            Some(Endpoint::Token) if asked.subject != Subject::Token => "get an access token to ",
            _ => "",
        };
        let failure = Self {
            why,
            ..Self::new(exit, format!("cannot {step}{}", asked.subject.task()))
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Creates the failure of a listing whose page did not arrive.
    pub(crate) fn page(error: &Error, asked: &Asked, attempt: &Attempt) -> Self {
        let mut failure = Self::listing(error, asked);
        let timeout = asked.timeout;
        if attempt.has_timed_out(error, timeout) {
            failure.why.push(format!(
                "{} did not arrive within {timeout}",
                attempt.awaited(asked)
            ));
        }
        if attempt.would_be_repeated(error, timeout) {
            return failure.hint(format!(
                "{timeout} ended the attempts; more time allows more of them"
            ));
        }
        failure
    }

    /// Adds how much of the output was written before the listing failed.
    pub(crate) fn incomplete(
        mut self,
        format: Format,
        listed: &Listed,
        projects: Projects,
        is_cut: bool,
    ) -> Self {
        if projects.total > 1 {
            self.why.push(projects.begun());
        }
        if listed.pages == 0 {
            return self;
        }
        if is_cut {
            // The write failed halfway, so it is unknown how much of the last page was written.
            self.why
                .push("the output is incomplete, and its last key may be cut off".to_owned());
            return self;
        }
        let keys = listed.keys();
        self.why.push(if format == Format::Table {
            format!("nothing was written: a table is written when it is complete, and {keys} had arrived")
        } else {
            format!("the output is incomplete: it has {keys}")
        });
        self
    }

    /// Creates the failure of a listing that a signal ended. The rows that were written are whole.
    pub(crate) fn interrupted(
        subject: Subject,
        format: Format,
        listed: &Listed,
        projects: Projects,
    ) -> Self {
        let keys = listed.keys();
        let why = (projects.total > 1).then(|| projects.begun());
        let mut failure = Self::new(
            Exit::Interrupted,
            match format {
                Format::Table if listed.pages > 0 => format!(
                    "interrupted: nothing was written: a table is written when it is complete, and {keys} of \
                     {subject} had arrived"
                ),
                _ => format!("interrupted: {keys} of {subject} were written"),
            },
        );
        failure.why.extend(why);
        failure
    }

    /// Creates the failure of a listing in which single projects failed.
    pub(crate) fn partial(projects: Projects) -> Self {
        Self::new(Exit::Partial, projects.listed())
    }

    /// Creates the failure of `--fail-if-any`.
    pub(crate) fn found(keys: u64) -> Self {
        let keys = Listed {
            keys,
            ..Listed::default()
        };
        let verb = if keys.keys == 1 { "passes" } else { "pass" };
        Self::new(
            Exit::Found,
            format!("{} {verb} the filters (--fail-if-any)", keys.keys()),
        )
    }

    /// Creates the failure of `find` if some of the leaked keys have no candidate.
    pub(crate) fn not_found(missing: usize, total: usize) -> Self {
        let noun = if total == 1 { "key" } else { "keys" };
        Self::new(
            Exit::NotFound,
            format!("no entry found for {missing} of {total} {noun}"),
        )
    }

    /// Returns whether the credential was refused, so that no other project can be listed.
    pub(crate) fn is_about_credential(&self) -> bool {
        self.exit == Exit::BadCredential
    }

    /// Returns the error and its causes in one line.
    pub(crate) fn reason(&self) -> String {
        self.why.join("; ")
    }

    /// Returns the failure in one line. `name` is the name of the project, if it is known.
    pub(crate) fn in_one_line(&self, name: Option<&str>) -> String {
        let name = name.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{}{name}: {}", self.what, self.reason())
    }

    /// Creates the failure of a command that a signal ended before it had any output.
    pub(crate) fn interrupted_before(subject: Subject) -> Self {
        let task = subject.task();
        Self::new(Exit::Interrupted, format!("interrupted: cannot {task}"))
    }

    /// Adds a hint: the next step for the user.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn report(&self) -> ExitCode {
        if !self.quiet {
            // If this fails, there is no other place to report it.
            let _ = io::stderr().write_all(self.to_string().as_bytes());
        }
        self.exit.into()
    }
}

/// Writes the block for stderr. Unsafe characters are escaped.
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", text::visible(&self.what))?;
        for why in &self.why {
            writeln!(f, "  {}", text::visible(why))?;
        }
        for hint in &self.hints {
            let mut label = "hint: ";
            for line in hint.lines() {
                writeln!(f, "  {label}{}", text::visible(line))?;
                label = "      ";
            }
        }
        Ok(())
    }
}

/// What a request asks Atlas for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Group(GroupId),
    Organization(OrgId),
    /// The list of the projects.
    Groups,
    Token,
    Revocation,
}

impl Subject {
    /// Returns the task as a phrase that can follow "cannot", such as "list the projects".
    fn task(self) -> String {
        match self {
            Self::Group(_) | Self::Organization(_) => format!("list the model API keys of {self}"),
            Self::Groups => format!("list {self}"),
            Self::Token => format!("get {self}"),
            Self::Revocation => format!("revoke {self}"),
        }
    }

    /// Returns the role that a credential needs, and where.
    fn role(self) -> String {
        match self {
            Self::Group(group) => format!("{ROLES} in project {group}"),
            Self::Organization(organization) => {
                format!("the role Organization Read Only in organization {organization}")
            }
            Self::Groups | Self::Token | Self::Revocation => "a role in a project".to_owned(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "project {group}"),
            Self::Organization(organization) => write!(f, "organization {organization}"),
            Self::Groups => f.write_str("the projects"),
            Self::Token => f.write_str("an access token"),
            Self::Revocation => f.write_str("the access token"),
        }
    }
}

/// Whether the credential has worked in this run: a token was issued, or a request succeeded. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Worked(Arc<AtomicBool>);

impl Worked {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The request of the user, for hints: subject, base URL, credential, proxy and timeout.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    pub(crate) base: BaseUrl,
    /// The kind of the credential. `None` is the demonstration's own API key.
    pub(crate) way: Option<Way>,
    /// The variable that names the proxy, if one is used.
    pub(crate) proxy: Option<&'static str>,
    pub(crate) timeout: Timeout,
    pub(crate) worked: Worked,
}

/// The maximum time for a page, with its retries and waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    pub(crate) limit: Duration,
    pub(crate) is_default: bool,
}

impl Timeout {
    pub(crate) fn new(given: Option<Duration>) -> Self {
        Self {
            limit: given.unwrap_or(Self::DEFAULT),
            is_default: given.is_none(),
        }
    }

    const DEFAULT: Duration = Duration::from_secs(240);

    /// Returns the rules for retries. A rate limit is waited out if Atlas asks for at most an hour. A timeout that was given
    /// also limits the sum of these waits.
    pub(crate) fn retry_policy(self) -> RetryPolicy {
        let total = match self.is_default {
            true => Duration::from_secs(24 * 60 * 60),
            false => self.limit,
        };
        RetryPolicy::default()
            .with_waits_out_rate_limits(true)
            .with_wait(Duration::from_secs(60 * 60))
            .with_total_wait(total)
    }
}

/// Writes the option with its value.
impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--timeout {}", humantime::format_duration(self.limit))?;
        if self.is_default {
            f.write_str(" (the default)")?;
        }
        Ok(())
    }
}

/// The attempt to get a page that did not arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) page: PageNum,
    /// The time from the request to the failure.
    pub(crate) elapsed: Duration,
    /// Whether an access token is needed, and there was none yet.
    pub(crate) lacks_token: bool,
}

impl Attempt {
    fn awaited(&self, asked: &Asked) -> String {
        let page = self.page;
        match asked.way {
            _ if asked.subject == Subject::Token => "the access token".to_owned(),
            _ if asked.subject == Subject::Revocation => "the response".to_owned(),
            Some(Way::ServiceAccount) if self.lacks_token => {
                format!("the access token for page {page}")
            }
            _ => format!("page {page}"),
        }
    }

    fn has_timed_out(&self, error: &Error, timeout: Timeout) -> bool {
        match error {
            Error::Transport { kind, .. } => {
                *kind == FailureKind::TimedOut || self.elapsed >= timeout.limit
            }
            _ => false,
        }
    }

    /// Returns whether the timeout ended the attempts. A wait does not begin if it is longer than the
    /// remaining time.
    fn would_be_repeated(&self, error: &Error, timeout: Timeout) -> bool {
        let policy = timeout.retry_policy();
        let is_wait_too_long = |wait: Duration| {
            wait <= policy.wait && self.elapsed.saturating_add(wait) >= timeout.limit
        };
        match error {
            Error::RateLimited { wait, .. } => !timeout.is_default && is_wait_too_long(*wait),
            Error::GaveUp { wait, attempts, .. } => {
                *attempts < policy.attempts && is_wait_too_long(*wait)
            }
            // A lost token request is retried only once, because it may have issued a token.
            Error::Transport { kind, attempts, .. } => match kind {
                FailureKind::NotSent => (1..policy.attempts).contains(attempts),
                FailureKind::Lost => !self.lacks_token && (1..policy.attempts).contains(attempts),
                FailureKind::TimedOut | FailureKind::Permanent => false,
            },
            _ => false,
        }
    }
}

/// The projects of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Projects {
    pub(crate) failed: usize,
    /// The number of projects that were begun.
    pub(crate) total: usize,
    /// The number of projects that were to be listed.
    pub(crate) expected: usize,
}

impl Projects {
    fn listed(self) -> String {
        let listed = self.total.saturating_sub(self.failed);
        format!("{listed} of {} projects listed", self.total)
    }

    /// Returns the number of projects that were listed before a listing failed, as a sentence.
    fn begun(self) -> String {
        // The last project that was begun is the one that failed.
        let listed = self.total.saturating_sub(self.failed.max(1));
        format!("{listed} of {} projects were listed before", self.expected)
    }
}

/// The pages and keys of a listing so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) pages: usize,
    /// The number of keys that were written or kept.
    pub(crate) keys: u64,
    /// The last `totalCount` from Atlas.
    pub(crate) total: Option<u64>,
}

impl Listed {
    fn keys(&self) -> String {
        let noun = if self.keys == 1 { "key" } else { "keys" };
        let keys = Grouped(self.keys);
        match self.total {
            Some(total) if total > self.keys => {
                format!("{keys} of about {} keys", Grouped(total))
            }
            _ => format!("{keys} {noun}"),
        }
    }
}

impl Asked {
    /// Returns a copy with another subject.
    pub(crate) fn about(&self, subject: Subject) -> Self {
        Self {
            subject,
            ..self.clone()
        }
    }

    fn credential(&self) -> String {
        self.way
            .map_or_else(|| "the demonstration's API key".to_owned(), Way::describe)
    }
}

const ROLES: &str = "the role Project Owner, Project Model Owner or Project Read Only";

/// Returns the exit code and the hint for an error.
fn advice(error: &Error, asked: &Asked) -> (Exit, Option<String>) {
    let credential = asked.credential();
    let base = &asked.base;
    let (exit, hint) = match error {
        Error::Invalid(_) => return (Exit::Usage, None),
        Error::Authentication {
            refused,
            response: api_error,
        } => match refused {
            Refused::NotAllowed => (Exit::NoRole, not_allowed(api_error, asked)),
            // The token endpoint refused it, although an earlier token may have worked.
            Refused::ServiceAccount => (
                Exit::BadCredential,
                format!(
                    "check {credential} and its secret: it may be deleted, and its secret expired \
                     (Atlas shows a secret only when it is made)"
                ),
            ),
            _ if asked.worked.get() => (Exit::NoRole, not_allowed(api_error, asked)),
            refused => (
                Exit::BadCredential,
                match refused {
                Refused::Token => format!(
                    "{credential} is expired, revoked, or of another organization than the \
                     project; get a new one, or a credential of the right organization"
                ),
                Refused::ApiKey => format!(
                    "check {credential} and its private key: it may be deleted, or of another \
                     organization than the project"
                ),
                Refused::Nonce => format!(
                    "the key is right, but {base} lets no nonce live long enough: is a proxy in \
                     between, or the clock of a server wrong? A service account needs no nonce"
                ),
                Refused::Challenge => {
                    format!("is {base} really Atlas? A proxy in between may ask for its own login")
                }
                _ => format!("check {credential}"),
                },
            ),
        },
        Error::Api(api_error) => match (api_error.status.as_u16(), api_error.endpoint) {
            (200..=299, _) => (
                Exit::NotUnderstood,
                format!(
                    "Atlas answers with 200 or an error: is {base} really Atlas, and is a cache or a \
                     gateway in between?"
                ),
            ),
            (300..=399, _) => (
                Exit::NotUnderstood,
                format!(
                    "check the base URL {base}: credentials are never taken to where a redirect \
                     leads; a network's login page answers so, too"
                ),
            ),
            (403, Endpoint::Token) if !is_about_address(api_error) => (
                Exit::BadCredential,
                format!(
                    "{credential} may hold 100 access tokens at a time: share one token between many runs \
                     ({ACCESS_TOKEN}=$(atlas-model-keys token)), revoke those that are not needed \
                     (atlas-model-keys token --revoke), or wait until some expire, after an hour at most; or this \
                     machine's address is not on its access list"
                ),
            ),
            (400 | 401, Endpoint::Token | Endpoint::Revocation) => (
                Exit::BadCredential,
                format!("check {credential} and its secret"),
            ),
            (401, _) if !asked.worked.get() && !is_about_role(api_error) => (
                Exit::BadCredential,
                format!("check {credential}"),
            ),
            (401 | 403, _) => (Exit::NoRole, not_allowed(api_error, asked)),
            (404, Endpoint::ModelKeys) if api_error.error_code.is_some() => (
                Exit::NoSuchGroup,
                "check the project's id (--group-id or MONGODB_ATLAS_PROJECT_ID): Atlas shows it in \
                 the project's settings"
                    .to_owned(),
            ),
            (404, Endpoint::ModelKeys) => (
                Exit::NoSuchGroup,
                format!("this may not be Atlas: check the base URL {base}, and the project's id"),
            ),
            (404, Endpoint::OrgModelKeys) => (
                Exit::NoSuchGroup,
                format!(
                    "check the organization's id (--org-id or {ORG_ID}), and the base URL {base}"
                ),
            ),
            (404 | 405, _) => (
                Exit::Atlas,
                format!("this may not be Atlas: check the base URL {base}"),
            ),
            (406 | 410, _) => (
                Exit::Atlas,
                "Atlas does not have this version (any more): leave --api-version out, or give \
                 another"
                    .to_owned(),
            ),
            (407, _) => (Exit::Atlas, wants_login(asked)),
            (429, _) => (Exit::RateLimited, "try again in a minute".to_owned()),
            // The request may have issued a token, so it is retried only once.
            (500.., Endpoint::Token) => (Exit::RateLimited, outage(Duration::ZERO)),
            (500.., _) => (Exit::Atlas, "try again later".to_owned()),
            _ => return (Exit::Atlas, None),
        },
        Error::RateLimited { wait, .. } => (
            Exit::RateLimited,
            format!(
                "try again in {}; larger pages need fewer requests (--items-per-page 500)",
                Rounded(*wait)
            ),
        ),
        Error::GaveUp { wait, .. } => (Exit::RateLimited, outage(*wait)),
        // No request was sent. The text names the problem on this machine and the way out.
        Error::Transport {
            kind: FailureKind::Permanent,
            attempts: 0,
            ..
        } => return (Exit::Network, None),
        Error::Transport { kind, source, .. } => {
            (Exit::Network, network(*kind, &source.to_string(), asked))
        }
        Error::InvalidResponse(error) => (
            Exit::NotUnderstood,
            match error.kind() {
                InvalidResponseKind::Utf8
                | InvalidResponseKind::Json
                | InvalidResponseKind::Shape
                | InvalidResponseKind::Encoding => no_atlas(base),
                // A listing that does not end.
                _ => format!(
                    "is a cache or a gateway between here and {base}? A larger --items-per-page needs \
                     fewer pages, and --page-num gives one of them"
                ),
            },
        ),
        Error::Limit { what, .. } => (Exit::NotUnderstood, beyond(what, base)),
        // `Error` is non-exhaustive.
        _ => return (Exit::Other, None),
    };
    (exit, Some(hint))
}

fn outage(wait: Duration) -> String {
    format!(
        "try again in {}; https://status.mongodb.com tells about outages",
        Rounded(wait.max(Duration::from_secs(60)))
    )
}

fn no_atlas(base: &BaseUrl) -> String {
    format!("is {base} really Atlas? A network's login page and a wrong proxy answer like this")
}

/// Returns the hint for an exceeded limit of the client.
fn beyond(what: &str, base: &BaseUrl) -> String {
    match what {
        "pages" => "a larger --items-per-page (500 at most) needs fewer pages, and --page-num gives one of \
                    them"
            .to_owned(),
        "bytes of collected keys" => "a table is kept in memory until it is complete: -o ndjson, -o csv and \
                                      -o json write each page as it arrives"
            .to_owned(),
        "bytes of body" => format!(
            "a smaller --items-per-page gives shorter answers; or is {base} not Atlas?"
        ),
        _ => no_atlas(base),
    }
}

/// Returns the variable that sets the proxy for this base URL.
fn proxy_variable(base: &BaseUrl) -> &'static str {
    if base.is_https() {
        "HTTPS_PROXY"
    } else {
        "http_proxy"
    }
}

fn wants_login(asked: &Asked) -> String {
    let variable = asked.proxy.unwrap_or_else(|| proxy_variable(&asked.base));
    format!("the proxy asks for a login: put it into {variable} (http://user:password@host)")
}

/// Returns the hint for a failure of the network, by its kind and the text of the transport.
fn network(kind: FailureKind, text: &str, asked: &Asked) -> String {
    let base = &asked.base;
    let variable = proxy_variable(base);
    match (kind, asked.proxy) {
        (FailureKind::TimedOut, _) => format!(
            "give it more time than {}; a smaller --items-per-page gives shorter answers",
            asked.timeout
        ),
        (FailureKind::NotSent, _) if base.is_loopback() => {
            format!("nothing answers at {base}: is it running, and is the port right?")
        }
        // The text names the proxy if the connection to it failed.
        (_, Some(_)) if text.contains("(407)") => wants_login(asked),
        (_, Some(proxy)) if text.contains("the proxy ") => format!(
            "check {proxy}: is it an HTTP proxy that opens tunnels to {base}? Hosts in NO_PROXY \
             do not use the proxy"
        ),
        (FailureKind::NotSent, Some(proxy)) => {
            format!("is the proxy in {proxy} right, and reachable from here? And is {base} right?")
        }
        (FailureKind::NotSent, None) => format!(
            "is {base} right, and reachable from here? Behind a proxy, set {variable} (and NO_PROXY)"
        ),
        (FailureKind::Permanent, proxy) if text.contains("certificate") => {
            let by = match proxy {
                Some(proxy) => format!(" (the proxy in {proxy} may have one of its own)"),
                None => String::new(),
            };
            format!(
                "if the certificate of {base} is not trusted, give its authority{by} in SSL_CERT_FILE"
            )
        }
        (FailureKind::Permanent, _)
            if text.contains("speak TLS") || text.contains("corrupt message") =>
        {
            format!(
                "check the scheme and the port of {base}: https:// needs a server that speaks TLS"
            )
        }
        (FailureKind::Permanent, Some(proxy)) => {
            format!("check the base URL {base}, and the proxy in {proxy}")
        }
        (FailureKind::Permanent, None) if base.is_loopback() => {
            format!("check the base URL {base}")
        }
        (FailureKind::Permanent, None) => {
            format!("check the base URL {base}; behind a proxy, set {variable}")
        }
        (FailureKind::Lost, proxy) => {
            let check = match proxy {
                Some(proxy) => format!(", and check the proxy in {proxy}"),
                None if base.is_loopback() => String::new(),
                None => format!("; behind a proxy, set {variable}"),
            };
            format!("try again{check}; a smaller --items-per-page gives shorter answers")
        }
    }
}

/// Returns the status as a number with its reason.
pub(crate) fn status(api_error: &ApiError) -> String {
    let status = api_error.status;
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// Returns the hint for a valid credential that is not allowed to list the keys.
fn not_allowed(api_error: &ApiError, asked: &Asked) -> String {
    let credential = asked.credential();
    let role = asked.subject.role();
    if is_about_address(api_error) {
        let holder = match asked.way {
            Some(Way::AccessToken) => format!("the service account of {credential}"),
            _ => credential,
        };
        format!("add this machine's address to the API access list of {holder}")
    } else if is_about_role(api_error) {
        format!("{credential} needs {role}")
    } else {
        format!(
            "{credential} needs {role}, has to be of the same organization, and this machine's address on \
             its API access list"
        )
    }
}

/// Returns whether Atlas refuses the address of this machine.
fn is_about_address(api_error: &ApiError) -> bool {
    matches!(
        api_error.error_code.as_deref(),
        Some("IP_ADDRESS_NOT_ON_ACCESS_LIST" | "ORG_REQUIRES_ACCESS_LIST")
    )
}

/// Returns whether Atlas accepts the credential, but a role is missing.
fn is_about_role(api_error: &ApiError) -> bool {
    matches!(
        api_error.error_code.as_deref(),
        Some("USER_UNAUTHORIZED" | "NOT_ORG_GROUP_CREATOR")
    )
}

/// A number with a comma between groups of three digits.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number @ 0..1000 => write!(f, "{number}"),
            number => write!(f, "{},{:03}", Self(number / 1000), number % 1000),
        }
    }
}

/// A wait in whole seconds, rounded up, because "in 0s" would not help. A server can ask for any number of
/// years, so more than a year is not shown exactly.
pub(crate) struct Rounded(pub(crate) Duration);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > YEAR {
            return f.write_str("more than a year");
        }
        let up = u64::from(self.0.subsec_nanos() > 0);
        let seconds = self.0.as_secs().saturating_add(up).max(1);
        humantime::format_duration(Duration::from_secs(seconds)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{
        Collected, Credentials, Limits, ListRequest, Listing, Moment, OwnedModelKey, Reply,
        Session, Step,
    };
    use http::Response;

    use super::*;

    fn asked() -> Asked {
        Asked {
            subject: Subject::Group(group()),
            base: BaseUrl::default(),
            way: Some(Way::ApiKey),
            proxy: None,
            timeout: Timeout::new(None),
            worked: Worked::default(),
        }
    }

    fn group() -> GroupId {
        GroupId::new("69681d39c9e8cfd375386316").unwrap()
    }

    fn api(status: u16, body: &str) -> Error {
        let response = Response::builder()
            .status(status)
            .body(body.to_owned())
            .unwrap();
        Reply::from_response(response).unwrap_err()
    }

    fn listing(error: &Error) -> (Exit, String) {
        let failure = CommandError::listing(error, &asked());
        (failure.exit, failure.to_string())
    }

    #[test]
    fn statuses_have_their_exit_codes_and_hints() {
        for (status, body, exit, hint) in [
            (302, "", Exit::NotUnderstood, "base URL"),
            (400, "{}", Exit::Atlas, ""),
            (
                403,
                r#"{"errorCode":"IP_ADDRESS_NOT_ON_ACCESS_LIST"}"#,
                Exit::NoRole,
                "access list",
            ),
            (
                401,
                r#"{"errorCode":"USER_UNAUTHORIZED"}"#,
                Exit::NoRole,
                "Project Read Only",
            ),
            (
                404,
                r#"{"errorCode":"GROUP_NOT_FOUND"}"#,
                Exit::NoSuchGroup,
                "--group-id",
            ),
            (404, "<html>", Exit::NoSuchGroup, "base URL"),
            (406, "", Exit::Atlas, "--api-version"),
            (407, "", Exit::Atlas, "HTTPS_PROXY"),
            (410, "", Exit::Atlas, "--api-version"),
            (429, "", Exit::RateLimited, "minute"),
            (500, "", Exit::Atlas, "later"),
        ] {
            let (got, block) = listing(&api(status, body));
            assert_eq!(got, exit, "{status}");
            assert!(block.contains(hint), "{status}: {block}");
            assert!(block.contains("69681d39c9e8cfd375386316"), "{block}");
            assert!(block.contains(&status.to_string()), "{block}");
        }
    }

    fn transport_error(
        kind: FailureKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let credentials = Credentials::bearer("token").unwrap();
        let session = Session::new(BaseUrl::default(), credentials);
        session.transport_error(atlas_model_keys_core::Failure::new(kind, source), 5)
    }

    #[test]
    fn transport_errors_show_their_escaped_sources() {
        #[derive(Debug)]
        struct Outer(io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("outer\x1b[2J")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        for kind in [
            FailureKind::NotSent,
            FailureKind::Lost,
            FailureKind::Permanent,
        ] {
            let source = Outer(io::Error::other("inner\nline"));
            let (exit, block) = listing(&transport_error(kind, source));
            assert_eq!(exit, Exit::Network);
            assert!(
                block.contains("caused by: outer\\u{1b}[2J: inner\\u{a}line\n"),
                "{block}"
            );
            assert!(block.contains("HTTPS_PROXY"), "{block}");
        }
    }

    #[test]
    fn success_other_than_200_is_not_understood() {
        let Error::Api(mut api_error) = api(400, "") else {
            panic!("it is a response")
        };
        for status in [204, 206] {
            let response = Response::builder().status(status).body(()).unwrap();
            api_error.status = response.status();
            let (exit, block) = listing(&Error::Api(api_error.clone()));
            assert_eq!(exit, Exit::NotUnderstood);
            assert!(block.contains("200 or an error"), "{block}");
        }
    }

    #[test]
    fn unknown_status_is_a_server_error() {
        let Error::Api(mut api_error) = api(400, "") else {
            panic!("it is a response")
        };
        for status in [599, 600, 999] {
            let response = Response::builder().status(status).body(()).unwrap();
            api_error.status = response.status();
            let (exit, block) = listing(&Error::Api(api_error.clone()));
            assert_eq!(exit, Exit::Atlas);
            assert!(block.contains("try again later"), "{block}");
        }
    }

    #[test]
    fn server_error_of_the_token_endpoint_names_the_endpoint() {
        let Error::Api(mut api_error) = api(500, "") else {
            panic!("it is a response")
        };
        api_error.endpoint = Endpoint::Token;
        let gave_up = Error::GaveUp {
            response: api_error.clone(),
            attempts: 2,
            wait: Duration::ZERO,
        };
        for error in [gave_up, Error::Api(api_error)] {
            let (exit, block) = listing(&error);
            assert_eq!(exit, Exit::RateLimited);
            assert!(
                block.starts_with("error: cannot get an access token to list"),
                "{block}"
            );
            assert!(block.contains("status.mongodb.com"), "{block}");
        }
    }

    #[test]
    fn limits_have_matching_hints() {
        let mut limits = Limits::default();
        limits.pages = 0;
        let pages = Listing::new(ListRequest::new(group()), &limits)
            .request()
            .unwrap_err();
        limits.collected_bytes = 0;
        let collected = Collected::new(&limits)
            .add(&OwnedModelKey::default())
            .unwrap_err();
        limits.body_bytes = 0;
        let credentials = Credentials::bearer("token").unwrap();
        let mut session = Session::new(BaseUrl::default(), credentials).with_limits(limits);
        let at = Moment::new(Duration::ZERO, [0; 16]);
        let Ok(Step::Send(exchange)) = session.start::<&str>(&ListRequest::new(group()), at) else {
            panic!("a token needs no request of its own")
        };
        let body = session
            .respond(exchange.pending, Response::new("{}"), at)
            .unwrap_err();
        for (error, hint) in [
            (pages, "--items-per-page"),
            (collected, "-o ndjson"),
            (body, "a smaller --items-per-page"),
        ] {
            let (exit, block) = listing(&error);
            assert_eq!(exit, Exit::NotUnderstood);
            assert!(
                block.contains(hint) && !block.contains("login page"),
                "{block}"
            );
        }
    }

    #[test]
    fn network_failures_have_matching_hints() {
        let through = |proxy, base: &str, kind, text: &'static str| {
            let asked = Asked {
                proxy,
                base: BaseUrl::allowing_plain_http(base).unwrap(),
                ..asked()
            };
            CommandError::listing(&transport_error(kind, text), &asked).to_string()
        };
        let (https, http) = ("https://atlas.example", "http://atlas.example");
        for (block, words, not) in [
            (
                through(
                    Some("http_proxy"),
                    http,
                    FailureKind::Permanent,
                    "the proxy http://p opened no tunnel: certificate",
                ),
                "check http_proxy: ",
                "SSL_CERT_FILE",
            ),
            (
                through(
                    Some("ALL_PROXY"),
                    https,
                    FailureKind::Permanent,
                    "the proxy http://p wants a login (407)",
                ),
                "put it into ALL_PROXY",
                "HTTPS_PROXY",
            ),
            (
                through(
                    None,
                    https,
                    FailureKind::Permanent,
                    "invalid peer certificate",
                ),
                "in SSL_CERT_FILE",
                "HTTPS_PROXY",
            ),
            (
                through(
                    None,
                    https,
                    FailureKind::Permanent,
                    "what answers on this port does not speak TLS",
                ),
                "the scheme and the port of https://atlas.example",
                "SSL_CERT_FILE",
            ),
            (
                through(None, http, FailureKind::NotSent, "refused"),
                "set http_proxy",
                "HTTPS_PROXY",
            ),
            (
                through(Some("HTTPS_PROXY"), https, FailureKind::Lost, "reset"),
                "check the proxy in HTTPS_PROXY",
                "set HTTPS_PROXY",
            ),
            (
                through(None, "http://127.0.0.1:1", FailureKind::Lost, "reset"),
                "try again; a smaller",
                "proxy",
            ),
            (
                through(None, https, FailureKind::TimedOut, "timeout"),
                "more time than --timeout 4m (the default)",
                "base URL",
            ),
        ] {
            assert!(block.contains(words) && !block.contains(not), "{block}");
        }
    }

    #[test]
    fn problem_of_this_machine_has_no_network_hint() {
        let credentials = Credentials::bearer("token").unwrap();
        let session = Session::new(BaseUrl::default(), credentials);
        let failure = atlas_model_keys_core::Failure::new(
            FailureKind::Permanent,
            "SSL_CERT_FILE names /x, which cannot be read",
        );
        let (exit, block) = listing(&session.transport_error(failure, 0));
        assert_eq!(exit, Exit::Network);
        assert!(
            block.contains("SSL_CERT_FILE names /x") && !block.contains("hint"),
            "{block}"
        );
    }

    #[test]
    fn attempts_ended_by_the_timeout_are_distinguished() {
        let timeout = Timeout::new(Some(Duration::from_secs(3)));
        let ended = |error: &Error, seconds, lacks_token| {
            let attempt = Attempt {
                page: PageNum::FIRST,
                elapsed: Duration::from_secs(seconds),
                lacks_token,
            };
            attempt.would_be_repeated(error, timeout)
        };
        let Error::Api(api_error) = api(503, "") else {
            panic!("it is a response")
        };
        let gave_up = |attempts, seconds| Error::GaveUp {
            response: api_error.clone(),
            attempts,
            wait: Duration::from_secs(seconds),
        };
        assert!(ended(&gave_up(1, 2), 1, false));
        assert!(!ended(&gave_up(1, 1), 1, false), "there was time");
        assert!(!ended(&gave_up(5, 2), 1, false), "it was the last one");
        assert!(
            !ended(&gave_up(1, 100_000), 1, false),
            "nobody waits so long"
        );
        let refused = transport_error(FailureKind::NotSent, "refused");
        assert!(!ended(&refused, 1, false), "it was the last one");
        let session = Session::new(BaseUrl::default(), Credentials::bearer("t").unwrap());
        let lost = atlas_model_keys_core::Failure::new(FailureKind::Lost, "reset");
        let lost = session.transport_error(lost, 2);
        assert!(ended(&lost, 1, false));
        assert!(
            !ended(&lost, 1, true),
            "a token is not asked for a third time"
        );
    }

    #[test]
    fn rate_limits_are_waited_out_within_a_given_timeout() {
        let policy = Timeout::new(None).retry_policy();
        let hour = Duration::from_secs(3600);
        assert!(policy.waits_out_rate_limits && policy.wait == hour && policy.total_wait > hour);
        let given = Duration::from_secs(3);
        let policy = Timeout::new(Some(given)).retry_policy();
        assert!(policy.waits_out_rate_limits && policy.total_wait == given);
    }

    #[test]
    fn used_proxy_is_named() {
        let error = transport_error(FailureKind::NotSent, io::Error::other("refused"));
        let asked = Asked {
            proxy: Some("HTTPS_PROXY"),
            ..asked()
        };
        let block = CommandError::listing(&error, &asked).to_string();
        assert!(block.contains("the proxy in HTTPS_PROXY"), "{block}");
    }

    #[test]
    fn large_numbers_have_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_056, "1,234,056"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }

    #[test]
    fn refusal_is_a_bad_credential_until_it_has_worked() {
        let exit = |error: &Error, worked: bool| {
            let asked = asked();
            if worked {
                asked.worked.set();
            }
            CommandError::listing(error, &asked).exit
        };
        let Error::Api(response) = api(401, "{}") else {
            panic!("it is a response")
        };
        let refusal = |refused| Error::Authentication {
            refused,
            response: response.clone(),
        };
        for refused in [
            Refused::Token,
            Refused::ApiKey,
            Refused::Challenge,
            Refused::Nonce,
        ] {
            assert_eq!(exit(&refusal(refused), false), Exit::BadCredential);
            assert_eq!(exit(&refusal(refused), true), Exit::NoRole);
        }
        assert_eq!(
            exit(&Error::Api(response.clone()), false),
            Exit::BadCredential
        );
        assert_eq!(exit(&Error::Api(response.clone()), true), Exit::NoRole);
        for worked in [false, true] {
            let account = refusal(Refused::ServiceAccount);
            assert_eq!(exit(&account, worked), Exit::BadCredential);
            assert_eq!(exit(&refusal(Refused::NotAllowed), worked), Exit::NoRole);
            assert_eq!(exit(&api(403, "{}"), worked), Exit::NoRole);
        }
    }

    #[test]
    fn waits_are_rounded_up_and_never_zero() {
        for (wait, text) in [
            (Duration::ZERO, "1s"),
            (Duration::from_millis(1), "1s"),
            (Duration::from_millis(61_001), "1m 2s"),
            (Duration::from_secs(100_000), "1day 3h 46m 40s"),
            (YEAR + Duration::from_millis(1), "more than a year"),
            (Duration::MAX, "more than a year"),
        ] {
            assert_eq!(Rounded(wait).to_string(), text);
        }
    }

    #[test]
    fn hints_of_several_lines_are_aligned() {
        let block = CommandError::usage("no")
            .hint("one\ntwo")
            .hint("three")
            .to_string();
        assert_eq!(
            block,
            "error: no\n  hint: one\n        two\n  hint: three\n"
        );
    }

    #[test]
    fn closed_pipe_is_no_failure() {
        let failure = CommandError::stdout(&io::ErrorKind::BrokenPipe.into());
        assert!(failure.quiet && failure.exit == Exit::Done);
        let failure = CommandError::stdout(&io::ErrorKind::StorageFull.into());
        assert!(!failure.quiet && failure.exit == Exit::Other);
    }

    #[test]
    fn every_code_is_listed_once_in_order() {
        let codes: Vec<_> = Exit::ALL.iter().map(|(exit, _)| *exit as u8).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 130]);
    }
}
