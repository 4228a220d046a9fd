//! What went wrong: one exit code, and one block on stderr that says what, why and what to do.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use atlas_model_keys_core::{ApiError, BaseUrl, Endpoint, Error, FailureKind, GroupId, Refused};

use crate::credentials::Way;
use crate::output::text;

/// The exit codes: a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Other = 1,
    Usage = 2,
    NotAllowed = 3,
    NoSuchGroup = 4,
    RateLimited = 5,
    Network = 6,
    NotUnderstood = 7,
    Atlas = 8,
}

impl Exit {
    const ALL: [(Self, &'static str); 9] = [
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
            Self::NotAllowed,
            "not authenticated, or not allowed (401, 403)",
        ),
        (Self::NoSuchGroup, "no such project (404)"),
        (
            Self::RateLimited,
            "rate limited, or given up after several attempts (429, 5xx)",
        ),
        (Self::Network, "network or timeout"),
        (
            Self::NotUnderstood,
            "the answer was not understood, or was a redirect",
        ),
        (Self::Atlas, "another error from Atlas"),
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The codes as a list, for `--help`.
pub(crate) fn exit_codes() -> String {
    Exit::ALL
        .iter()
        .fold("Exit codes:".to_owned(), |text, (exit, meaning)| {
            format!("{text}\n  {}  {meaning}", *exit as u8)
        })
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Nobody reads stdout any more: no failure of ours, and nothing to say.
    quiet: bool,
    what: String,
    /// The error, and what caused it.
    why: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
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

    /// Something on this machine.
    pub(crate) fn local(what: impl Into<String>, error: &io::Error) -> Self {
        Self {
            why: vec![error.to_string()],
            ..Self::new(Exit::Other, what)
        }
    }

    /// Stdout cannot be written to. A closed pipe is the reader's way to say "enough": that ends
    /// quietly.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                quiet: true,
                ..Self::new(Exit::Done, "")
            };
        }
        Self::local("cannot write the output", error)
    }

    /// A listing that failed.
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
        let failure = Self {
            why,
            ..Self::new(
                exit,
                format!("cannot list the model API keys of group {}", asked.group),
            )
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn report(&self) -> ExitCode {
        if !self.quiet {
            // There is nowhere left to complain where this fails.
            let _ = io::stderr().write_all(self.to_string().as_bytes());
        }
        self.exit.into()
    }
}

/// The block. Whatever it holds from elsewhere is fit to be shown.
impl fmt::Display for Failure {
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

/// What was asked, of whom, as whom: what a hint can refer to.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) group: GroupId,
    pub(crate) base: BaseUrl,
    /// `None`: the demonstration's own.
    pub(crate) way: Option<Way>,
    /// The variable that names the proxy in between, if there is one.
    pub(crate) proxy: Option<&'static str>,
}

impl Asked {
    fn credential(&self) -> String {
        self.way
            .map_or_else(|| "the demonstration's API key".to_owned(), Way::describe)
    }
}

const ROLES: &str = "the role Project Owner, Project Model Owner or Project Read Only";

/// The table: for each way to fail, its exit code and what helps.
fn advice(error: &Error, asked: &Asked) -> (Exit, Option<String>) {
    let credential = asked.credential();
    let base = &asked.base;
    let (exit, hint) = match error {
        Error::Invalid(_) => return (Exit::Usage, None),
        Error::Authentication { refused, answer } => (
            Exit::NotAllowed,
            match refused {
                Refused::NotAllowed => not_allowed(answer, asked),
                Refused::ServiceAccount => format!(
                    "check {credential} and its secret: it may be deleted, and its secret expired \
                     (Atlas shows a secret only when it is made)"
                ),
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
        Error::Api(answer) => match (answer.status.as_u16(), answer.endpoint) {
            (300..=399, _) => (
                Exit::NotUnderstood,
                format!(
                    "check the base URL {base}: credentials are never taken to where a redirect \
                     leads; a network's login page answers so, too"
                ),
            ),
            (403, Endpoint::Token) => (
                Exit::NotAllowed,
                format!(
                    "{credential} may hold 100 access tokens at a time: wait until some expire, or \
                     give a token in MONGODB_ATLAS_ACCESS_TOKEN; or this machine's address is not \
                     on its access list"
                ),
            ),
            (401 | 403, _) => (Exit::NotAllowed, not_allowed(answer, asked)),
            (404, Endpoint::ModelKeys) if answer.error_code.is_some() => (
                Exit::NoSuchGroup,
                "check the project's id (--group-id or MONGODB_ATLAS_PROJECT_ID): Atlas shows it in \
                 the project's settings"
                    .to_owned(),
            ),
            (404, Endpoint::ModelKeys) => (
                Exit::NoSuchGroup,
                format!("this may not be Atlas: check the base URL {base}, and the project's id"),
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
            (407, _) => (
                Exit::Atlas,
                "the proxy asks for a login: put it into HTTPS_PROXY (http://user:password@host)"
                    .to_owned(),
            ),
            (429, _) => (Exit::RateLimited, "try again in a minute".to_owned()),
            (500..=599, _) => (Exit::Atlas, "try again later".to_owned()),
            _ => return (Exit::Atlas, None),
        },
        Error::RateLimited { wait, .. } => (
            Exit::RateLimited,
            format!(
                "try again in {}; larger pages need fewer requests (--items-per-page 500)",
                Rounded(*wait)
            ),
        ),
        Error::GaveUp { wait, .. } => (
            Exit::RateLimited,
            format!(
                "try again in {}; https://status.mongodb.com tells about outages",
                Rounded((*wait).max(Duration::from_secs(60)))
            ),
        ),
        Error::Transport { kind, .. } => (
            Exit::Network,
            match kind {
                FailureKind::NotSent if base.is_loopback() => {
                    format!("nothing answers at {base}: is it running, and is the port right?")
                }
                FailureKind::NotSent => match asked.proxy {
                    Some(proxy) => format!(
                        "is the proxy in {proxy} right, and reachable from here? And is {base} right?"
                    ),
                    None => format!(
                        "is {base} right, and reachable from here? Behind a proxy, set HTTPS_PROXY \
                         (and NO_PROXY)"
                    ),
                },
                FailureKind::Permanent if base.is_https() => format!(
                    "if the certificate of {base} is not trusted, give its authority in \
                     SSL_CERT_FILE; behind a proxy, check HTTPS_PROXY"
                ),
                FailureKind::Permanent => format!("check the base URL {base}"),
                FailureKind::TimedOut => "give it more time with --timeout, or try again".to_owned(),
                FailureKind::Lost => "try again; a smaller --items-per-page gives shorter answers, and \
                                      behind a proxy, check HTTPS_PROXY"
                    .to_owned(),
            },
        ),
        Error::Answer(_) | Error::Limit { .. } => (
            Exit::NotUnderstood,
            format!(
                "is {base} really Atlas? A network's login page and a wrong proxy answer like this"
            ),
        ),
        // `Error` may grow.
        _ => return (Exit::Other, None),
    };
    (exit, Some(hint))
}

/// For a credential that is good, but not good enough.
fn not_allowed(answer: &ApiError, asked: &Asked) -> String {
    let credential = asked.credential();
    let group = asked.group;
    match answer.error_code.as_deref() {
        Some("IP_ADDRESS_NOT_ON_ACCESS_LIST" | "ORG_REQUIRES_ACCESS_LIST") => {
            format!("add this machine's address to the API access list of {credential}")
        }
        Some("USER_UNAUTHORIZED" | "NOT_ORG_GROUP_CREATOR") => {
            format!("{credential} needs {ROLES} in project {group}")
        }
        _ => format!(
            "{credential} needs {ROLES} in project {group}, has to be of the same organization, and \
             this machine's address on its API access list"
        ),
    }
}

/// Whole seconds, rounded up: "in 0s" would be no advice.
pub(crate) struct Rounded(pub(crate) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = u64::from(self.0.subsec_nanos() > 0);
        let seconds = self.0.as_secs().saturating_add(up).max(1);
        humantime::format_duration(Duration::from_secs(seconds)).fmt(f)
    }
}

#[cfg(test)]
mod tests {

    use atlas_model_keys_core::{Credentials, Reply, Session};
    use http::Response;

    use super::*;

    fn asked() -> Asked {
        Asked {
            group: GroupId::new("69681d39c9e8cfd375386316").unwrap(),
            base: BaseUrl::default(),
            way: Some(Way::ApiKey),
            proxy: None,
        }
    }

    fn api(status: u16, body: &str) -> Error {
        let response = Response::builder()
            .status(status)
            .body(body.to_owned())
            .unwrap();
        Reply::from_response(response).unwrap_err()
    }

    fn listing(error: &Error) -> (Exit, String) {
        let failure = Failure::listing(error, &asked());
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
                Exit::NotAllowed,
                "access list",
            ),
            (
                401,
                r#"{"errorCode":"USER_UNAUTHORIZED"}"#,
                Exit::NotAllowed,
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
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        let credentials = Credentials::bearer("token").unwrap();
        let session = Session::new(BaseUrl::default(), credentials);
        session.transport_error(atlas_model_keys_core::Failure::new(kind, source), 5)
    }

    #[test]
    fn transport_errors_show_their_sources_made_fit() {
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
    fn a_proxy_in_between_is_named() {
        let error = transport_error(FailureKind::NotSent, io::Error::other("refused"));
        let asked = Asked {
            proxy: Some("HTTPS_PROXY"),
            ..asked()
        };
        let block = Failure::listing(&error, &asked).to_string();
        assert!(block.contains("the proxy in HTTPS_PROXY"), "{block}");
    }

    #[test]
    fn waits_are_rounded_up_and_never_zero() {
        for (wait, text) in [
            (Duration::ZERO, "1s"),
            (Duration::from_millis(1), "1s"),
            (Duration::from_millis(61_001), "1m 2s"),
            (Duration::from_secs(100_000), "1day 3h 46m 40s"),
        ] {
            assert_eq!(Rounded(wait).to_string(), text);
        }
        // Does not overflow.
        let _ = Rounded(Duration::MAX).to_string();
    }

    #[test]
    fn hints_of_several_lines_are_aligned() {
        let block = Failure::usage("no")
            .hint("one\ntwo")
            .hint("three")
            .to_string();
        assert_eq!(
            block,
            "error: no\n  hint: one\n        two\n  hint: three\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::stdout(&io::ErrorKind::BrokenPipe.into());
        assert!(failure.quiet && failure.exit == Exit::Done);
        let failure = Failure::stdout(&io::ErrorKind::StorageFull.into());
        assert!(!failure.quiet && failure.exit == Exit::Other);
    }

    #[test]
    fn every_code_is_listed_once_in_order() {
        for (index, (exit, _)) in Exit::ALL.iter().enumerate() {
            assert_eq!(*exit as usize, index);
        }
    }
}
