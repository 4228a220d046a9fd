//! Whatever arrives, in whichever order: an exchange ends within its attempts and waits, its credentials go to
//! the base URL, and nothing that is shown shows a secret.
//!
//! **Input**: a byte for the kind of credential, one for the base URL (of [`BASES`]), one of [`PINNED`],
//! [`SMALL`], [`ONCE`] and [`UNREPEATED`]; then operations until the end of the input, each a byte (see [`Code`]) and what it needs.
//! Up to four exchanges are under way at the same time, each in its slot; a response is
//!
//! - a byte for the status, of [`STATUSES`];
//! - a byte for the number of headers; for each a byte for its name, of [`HEADERS`], and one for its value, of those
//!   that the name has; beyond them comes a short text;
//! - a byte for the kind of body, of [`Kind`], and what that needs.
//!
//! **Properties**
//!
//! - An exchange ends within a number of requests that follows from its attempts; what it plans to wait is within
//!   [`RetryPolicy::wait`](atlas_model_keys_core::RetryPolicy) each time and `total_wait` in all, and what it waits for others, too.
//! - Only a 200 is an answer. The status of anything else counts, however long its body is.
//! - A 406 or 410 makes an exchange ask for another version once at most, and never where one is pinned; a token
//!   request that may have issued a token (it is lost, or answered 5xx or more but not 503) is sent again once at
//!   most; what fails for good, or because of the caller's deadline, is not sent again.
//! - A 401 makes an exchange take another token once at most, and ends one whose token was handed in.
//! - Every request goes to the base URL, is a listing as it was asked for, a token request or a revocation, and carries
//!   the credential that it has to, marked sensitive: the token that was handed in, one that was issued, or a digest
//!   whose nonce and count were never sent before. One exchange fetches a token at a time, and others take over
//!   when nothing is heard of it for a minute.
//! - A group that is told how many requests are left has no more of them on their way at a time; one that takes
//!   longer than a minute does not count any more.
//! - Nobody comes back sooner than `Retry-After` says.
//! - A group that a 429 has held back is not asked before its time.
//! - Who gives up gets the error that made it try again, if there is one, else the transport's.
//! - No error (`Display`, `Debug`, sources), no `Debug` of a session, a step, a ticket, a request or a reply shows a
//!   secret, also where a server repeats one, whole or its beginning, plain or percent-encoded.
//! - A ticket is of no use to another session; neither is an exported token, unless it has the same base URL and client.
//! - Whatever has happened, once everything is dropped and time has passed, an ordinary exchange succeeds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::{
    ApiVersion, BaseUrl, Body, Credentials, Endpoint, Error, Exchange, Failure, FailureKind,
    GroupId, Limits, ListRequest, Listing, Moment, Pending, RetryPolicy, Secret, Session, Step,
    Wait, wire,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;

use crate::{challenge, dates, input, shown};

const MINUTE: Duration = Duration::from_secs(60);

/// Where requests go.
pub const BASES: [&str; 3] = [
    "https://cloud.mongodb.com",
    "https://gw.example:8443/some/prefix",
    "http://[::1]:8080",
];

/// The session asks for one version only.
pub const PINNED: u8 = 1;
/// Its limits are small.
pub const SMALL: u8 = 2;
/// It tries once.
pub const ONCE: u8 = 4;
/// No status is worth repeating.
pub const UNREPEATED: u8 = 8;

/// A request for an envelope.
pub const ENVELOPE: u8 = 1;
/// A request for the other group.
pub const OTHER_GROUP: u8 = 2;

const BEARER: &str = "bearer-hunter2.abc/def+ghi==";
const CLIENT_ID: &str = "mdb_sa_id_1";
const CLIENT_SECRET: &str = "mdb_sa_sk_hunter3/+%x\"tail";
const PUBLIC: &str = "abcdefgh";
const PRIVATE: &str = "private-hunter4 \u{e9}%/tail";

/// What an operation's byte means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Code {
    /// Begins an exchange: slot, [`ENVELOPE`] and [`OTHER_GROUP`].
    Start,
    /// Answers a request: slot, response.
    Respond,
    /// Fails to deliver a request: slot, kind of failure.
    Fail,
    /// Ends a wait: slot.
    Resume,
    /// Cancels: slot.
    Drop,
    /// Gives up waiting, or delivering: slot.
    GiveUp,
    /// Moves the clock: a signed number of two bytes, and a byte for its unit, of [`UNITS`].
    Clock,
    /// Exports the token.
    Export,
    /// Restores one: a byte for what is done to it, and a short text.
    Restore,
    /// Revokes it: the response to that.
    Revoke,
    /// Gives a ticket to another session: slot.
    Foreign,
    /// Answers a request as Atlas would: slot.
    Friendly,
}

/// The codes in their order.
pub const CODES: [Code; 12] = [
    Code::Start,
    Code::Respond,
    Code::Fail,
    Code::Resume,
    Code::Drop,
    Code::GiveUp,
    Code::Clock,
    Code::Export,
    Code::Restore,
    Code::Revoke,
    Code::Foreign,
    Code::Friendly,
];

/// Units of the clock's moves, in milliseconds.
pub const UNITS: [u64; 4] = [1, 1_000, 60_000, 86_400_000_000];

/// Statuses of responses.
pub const STATUSES: [u16; 22] = [
    200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 406, 407, 410, 429, 500, 501, 502, 503, 599,
    999, 206, 600,
];

/// Headers of responses, with values.
pub const HEADERS: [(&str, &[&str]); 8] = [
    (
        "retry-after",
        &[
            "0",
            "1",
            "7",
            "17",
            "91",
            "100000",
            "99999999999999999999",
            "-1",
            "2.5",
            "0.0001",
            "Mon, 5 Aug 2024 00:00:30 GMT",
        ],
    ),
    ("date", &["Mon, 05 Aug 2024 00:00:10 GMT", "never"]),
    (
        "www-authenticate",
        &[
            r#"Digest realm="MMS Public API", domain="", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", algorithm=MD5, qop="auth", stale=false"#,
            r#"Digest realm="MMS Public API", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", qop="auth", stale=true"#,
            r#"Digest realm="r", nonce="a", qop="auth""#,
            r#"Digest realm="r", nonce="b", qop="auth,auth-int", algorithm=SHA-256, Digest realm="r", nonce="c", qop=auth"#,
            r#"Digest realm="r", nonce="d", qop="auth", algorithm=SHA-512-256-sess, userhash=true, opaque="o", stale=true"#,
            r#"Digest realm="r", nonce="e""#,
            r#"Basic realm="r""#,
        ],
    ),
    ("ratelimit-remaining", &["0", "1", "x"]),
    (
        "content-type",
        &[
            "application/vnd.atlas.preview+json",
            "application/vnd.atlas.2025-03-12+json;charset=utf-8",
            "text/html",
        ],
    ),
    (
        "x-error-code",
        &["USER_UNAUTHORIZED", "RATE_LIMITED", "bearer-hunter2.abc"],
    ),
    (
        "location",
        &["https://evil.example/?bearer-hunter2.abc/def+ghi=="],
    ),
    ("x-other", &[""]),
];

/// What a body's byte means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Bytes: a long text.
    Raw,
    /// A page with a key, and a link that leads elsewhere.
    Page,
    /// A page without anything.
    Empty,
    /// An enveloped status: a byte for it, of [`STATUSES`].
    Envelope,
    /// A token: a short text that it ends with, and a byte for its life, of [`LIVES`].
    Token,
    /// An error object: a short text for its code.
    Error,
    /// An error object with every secret in it.
    Echo,
}

/// The kinds in their order.
pub const KINDS: [Kind; 7] = [
    Kind::Raw,
    Kind::Page,
    Kind::Empty,
    Kind::Envelope,
    Kind::Token,
    Kind::Error,
    Kind::Echo,
];

/// What `expires_in` says.
pub const LIVES: [&str; 6] = ["3600", "1", "0", "-5", "1e30", "\"soon\""];

/// What is done to a session.
#[derive(Debug)]
enum Op {
    Start { slot: u8, flags: u8 },
    Respond { slot: u8, response: Answer },
    Fail { slot: u8, kind: FailureKind },
    Resume { slot: u8 },
    Drop { slot: u8 },
    GiveUp { slot: u8 },
    Clock { by: i16, unit: u64 },
    Export,
    Restore { how: u8, text: String },
    Revoke { response: Answer },
    Foreign { slot: u8 },
    Friendly { slot: u8 },
}

/// A response, and whether it has every secret in it.
#[derive(Debug)]
struct Answer {
    response: Response<Vec<u8>>,
    echoes: bool,
}

impl Answer {
    fn read(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let status = input::pick(u, &STATUSES)?;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::from_u16(status).expect("it is one");
        for _ in 0..input::byte(u)? % 4 {
            let (name, values) = input::pick(u, &HEADERS)?;
            let value = match values.get(usize::from(input::byte(u)?)) {
                Some(value) => value.as_bytes(),
                None => input::short(u)?,
            };
            if let Ok(value) = HeaderValue::from_bytes(value) {
                response
                    .headers_mut()
                    .append(HeaderName::from_static(name), value);
            }
        }
        let kind = input::pick(u, &KINDS)?;
        *response.body_mut() = match kind {
            Kind::Raw => input::long(u)?.to_vec(),
            Kind::Page => PAGE.into(),
            Kind::Empty => br#"{"results":[]}"#.to_vec(),
            Kind::Envelope => {
                let status = input::pick(u, &STATUSES)?;
                format!(r#"{{"status":{status},"results":[]}}"#).into()
            }
            Kind::Token => {
                let token = format!("zq7-{}", input::text(input::short(u)?));
                let token = serde_json::to_string(&token).expect("a text");
                let life = input::pick(u, &LIVES)?;
                format!(r#"{{"access_token":{token},"expires_in":{life},"token_type":"Bearer"}}"#)
                    .into()
            }
            Kind::Error => {
                let code = input::text(input::short(u)?);
                json!({"error": status, "errorCode": code, "detail": "No."})
                    .to_string()
                    .into()
            }
            Kind::Echo => echo().into(),
        };
        Ok(Self {
            response,
            echoes: matches!(kind, Kind::Echo),
        })
    }
}

const PAGE: &[u8] = br#"{"results":[{"apiKeyId":"k","secret":"al-live"}],
    "links":[{"rel":"next","href":"https://evil.example/"}],"totalCount":2}"#;

/// How long a response asks to wait, where it says so in seconds, or by a date beside its own.
fn asked(response: &Response<Vec<u8>>) -> Option<Duration> {
    let text = |name: &str| response.headers().get(name)?.to_str().ok();
    let after = text("retry-after")?;
    let [(_, [.., date]), (_, [sent, ..]), ..] = HEADERS else {
        return None;
    };
    if after == *date && text("date") == Some(sent) {
        return Some(Duration::from_secs(20));
    }
    dates::parse_seconds(after.trim()).map(Duration::from_secs)
}

/// Where the tokens come into an echo.
const TOKENS: &str = "@tokens@";

/// An error object that has every secret in it, in every form that is recognised.
fn echo() -> String {
    let mut all = TOKENS.to_owned();
    for secret in statics() {
        all += &format!("<{secret}|{}>", percent_encoded(&secret));
    }
    let beginnings: Vec<String> = statics()
        .iter()
        .map(|s| s.chars().take(14).collect())
        .collect();
    json!({
        "error": "invalid_client", "errorCode": &all, "reason": &all, "detail": &all,
        "parameters": [&all, 1, beginnings],
        "badRequestDetail": {"fields": [{"field": &all, "description": beginnings.join(" ")}]},
    })
    .to_string()
}

/// `base64(id:secret)`.
static PAIR: LazyLock<String> =
    LazyLock::new(|| BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));

/// The secrets that a session is made with, and what is made of them.
fn statics() -> [String; 4] {
    [
        BEARER.into(),
        CLIENT_SECRET.into(),
        PAIR.clone(),
        PRIVATE.into(),
    ]
}

/// The one that a session of this kind knows, and so finds in what a server says.
fn own(kind: u8) -> Vec<String> {
    let [bearer, secret, pair, private] = statics();
    match kind {
        0 => vec![bearer],
        1 => vec![secret, pair],
        _ => vec![private],
    }
}

/// Everything but what RFC 3986 §2.3 leaves as it is.
fn percent_encoded(text: &str) -> String {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| match unreserved(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

#[derive(Debug)]
struct Input {
    kind: u8,
    base: &'static str,
    flags: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut input = Self {
            kind: input::byte(u)? % 3,
            base: input::pick(u, &BASES)?,
            flags: input::byte(u)?,
            ops: Vec::new(),
        };
        while !u.is_empty() && input.ops.len() < 120 {
            let op = match input::pick(u, &CODES)? {
                Code::Start => Op::Start {
                    slot: input::byte(u)?,
                    flags: input::byte(u)?,
                },
                Code::Respond => Op::Respond {
                    slot: input::byte(u)?,
                    response: Answer::read(u)?,
                },
                Code::Fail => Op::Fail {
                    slot: input::byte(u)?,
                    kind: input::pick(
                        u,
                        &[
                            FailureKind::NotSent,
                            FailureKind::Lost,
                            FailureKind::Permanent,
                            FailureKind::TimedOut,
                        ],
                    )?,
                },
                Code::Resume => Op::Resume {
                    slot: input::byte(u)?,
                },
                Code::Drop => Op::Drop {
                    slot: input::byte(u)?,
                },
                Code::GiveUp => Op::GiveUp {
                    slot: input::byte(u)?,
                },
                Code::Clock => Op::Clock {
                    by: u.arbitrary()?,
                    unit: input::pick(u, &UNITS)?,
                },
                Code::Export => Op::Export,
                Code::Restore => Op::Restore {
                    how: input::byte(u)?,
                    text: input::text(input::short(u)?),
                },
                Code::Revoke => Op::Revoke {
                    response: Answer::read(u)?,
                },
                Code::Foreign => Op::Foreign {
                    slot: input::byte(u)?,
                },
                Code::Friendly => Op::Friendly {
                    slot: input::byte(u)?,
                },
            };
            input.ops.push(op);
        }
        Ok(input)
    }
}

/// An exchange under way.
struct Flight {
    /// Unlike any other's.
    name: u32,
    list: ListRequest,
    /// How many requests it has sent.
    sent: u32,
    /// What it was told to wait, and what it waited for others.
    planned: Duration,
    followed: Duration,
    /// Whether it is one of the few that may be on their way, and whether it once was.
    is_counted: bool,
    has_place: bool,
    /// Whether it may be one, as far as it is not known better.
    may_count: bool,
    /// Whether a 401 made it take another token.
    is_renewed: bool,
    /// Whether a 406 or 410 made it ask for another version.
    is_moved: bool,
    /// Whether a token request of it may have issued a token that never came.
    is_lost: bool,
    /// Whether it is at fetching a token, and what has made it try again last.
    fetches: bool,
    trouble: Option<Trouble>,
}

/// What made an exchange try again: a status or a failure.
type Trouble = Result<StatusCode, FailureKind>;

enum Ticket {
    Pending {
        pending: Pending,
        is_token: bool,
        is_signed: bool,
    },
    Wait(Wait, Duration),
}

/// What came of an exchange's ticket.
type Next = Result<Step<Vec<u8>>, Error>;

/// A session and the world around it.
struct World {
    kind: u8,
    base: BaseUrl,
    pinned: bool,
    session: Session,
    limits: Limits,
    slots: [Option<(Flight, Ticket)>; 4],
    now: Duration,
    moments: u8,
    /// Tokens that were issued or restored, all of them and those that are still looked for.
    tokens: BTreeSet<String>,
    recent: VecDeque<String>,
    /// What must not be shown: the beginnings of the secrets.
    secrets: Vec<String>,
    exports: Vec<Secret>,
    /// Whether a token was put in or taken out by hand: another one may then be on its way.
    meddled: bool,
    /// What digests were sent, and with which nonces.
    digests: BTreeSet<(Vec<u8>, Vec<u8>)>,
    nonces: BTreeSet<Vec<u8>>,
    /// Since when and until when a group is left alone.
    holds: BTreeMap<GroupId, (Duration, Duration)>,
    /// How many requests are left to a group, and when that was said.
    left: BTreeMap<GroupId, (Duration, u64)>,
    /// Which exchange fetches a token, since when and until when the others leave it to it.
    leader: Option<(u32, Duration, Duration)>,
    flights: u32,
    /// Whether the clock was ever set back: some things are then over sooner than is known here.
    is_set_back: bool,
}

fn group(other: bool) -> GroupId {
    let text = if other {
        "fedcba9876543210fedcba98"
    } else {
        "0123456789abcdef01234567"
    };
    GroupId::new(text).expect("it is one")
}

fn credentials(kind: u8) -> Credentials {
    let credentials = match kind {
        0 => Credentials::bearer(BEARER),
        1 => Credentials::service_account(CLIENT_ID, CLIENT_SECRET),
        _ => Credentials::api_key(PUBLIC, PRIVATE),
    };
    let credentials = credentials.expect("they are in order");
    shown::assert_debug_has_no_secret(&credentials, &statics());
    credentials
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let mut world = World::new(input.kind, input.base, input.flags);
    for op in input.ops {
        world.apply(op);
    }
    world.drain();
    world.recovers();
}

impl World {
    fn new(kind: u8, base: &str, flags: u8) -> Self {
        let base = BaseUrl::new(base).expect("it is one");
        let mut limits = Limits::default();
        if flags & SMALL != 0 {
            (
                limits.body_bytes,
                limits.error_body_bytes,
                limits.detail_bytes,
            ) = (400, 300, 40);
            (
                limits.token_bytes,
                limits.challenge_bytes,
                limits.challenges,
            ) = (60, 200, 2);
            (limits.headers, limits.head_bytes, limits.nesting) = (2, 300, 4);
            limits.retry.attempts = 3;
            limits.retry.wait = Duration::from_secs(10);
            limits.retry.total_wait = Duration::from_secs(15);
        }
        if flags & ONCE != 0 {
            let retry = RetryPolicy::never();
            limits.retry.attempts = retry.attempts;
        }
        if flags & UNREPEATED != 0 {
            limits.retry.statuses.clear();
        }
        let pinned = flags & PINNED != 0;
        let mut session = Session::new(base.clone(), credentials(kind))
            .with_limits(limits.clone())
            .with_user_agent("fuzz/1.0")
            .expect("it is visible");
        if pinned {
            session = session.with_version(ApiVersion::new("2026-01-01").expect("it is one"));
        }
        assert_eq!(*session.limits(), limits);
        assert_eq!(*session.base(), base);
        let mut world = Self {
            kind,
            base,
            pinned,
            session,
            limits,
            slots: [const { None }; 4],
            now: Duration::from_secs(1_790_000_000),
            moments: 0,
            tokens: BTreeSet::new(),
            recent: VecDeque::new(),
            secrets: Vec::new(),
            exports: Vec::new(),
            meddled: false,
            digests: BTreeSet::new(),
            nonces: BTreeSet::new(),
            holds: BTreeMap::new(),
            left: BTreeMap::new(),
            leader: None,
            flights: 0,
            is_set_back: false,
        };
        world.renew_secrets();
        world
    }

    fn moment(&mut self) -> Moment {
        self.moments = self.moments.wrapping_mul(29).wrapping_add(7);
        let moment = Moment::new(self.now, [self.moments; 16]);
        assert_eq!(moment.now(), self.now);
        // Its entropy makes nonces.
        assert_eq!(
            format!("{moment:?}"),
            format!("Moment {{ now: {:?}, .. }}", self.now)
        );
        moment
    }

    /// What must not be shown.
    fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// A token came, and another one may be forgotten.
    fn renew_secrets(&mut self) {
        // Too short a token is in any text, and so may be one that was put in by hand.
        let is_telling = |token: &&String| token.len() > 8 && token.starts_with("zq7-");
        self.secrets = own(self.kind);
        self.secrets
            .extend(self.recent.iter().filter(is_telling).cloned());
        let encoded: Vec<_> = self
            .secrets
            .iter()
            .map(|secret| percent_encoded(secret))
            .collect();
        self.secrets.extend(encoded);
        // Their beginnings are enough, and many are the same.
        for secret in &mut self.secrets {
            *secret = shown::beginning(secret);
        }
        self.secrets.sort();
        self.secrets.dedup();
    }

    fn apply(&mut self, op: Op) {
        let at = self.moment();
        match op {
            Op::Start { slot, flags } => {
                let request = ListRequest::new(group(flags & OTHER_GROUP != 0));
                let list = match flags & ENVELOPE {
                    0 => request,
                    _ => request.with_envelope(true),
                };
                // What was there is cancelled.
                let _ = self.take(slot);
                let next = self.session.start(&list, at);
                self.flights += 1;
                let flight = Flight {
                    name: self.flights,
                    list,
                    sent: 0,
                    planned: Duration::ZERO,
                    followed: Duration::ZERO,
                    is_counted: false,
                    has_place: false,
                    may_count: false,
                    is_renewed: false,
                    is_moved: false,
                    is_lost: false,
                    fetches: false,
                    trouble: None,
                };
                self.go_on(slot, flight, next, true);
            }
            Op::Respond { slot, response } => self.respond(slot, response),
            Op::Friendly { slot } => {
                let place = &self.slots[usize::from(slot) % 4];
                if let Some((
                    _,
                    Ticket::Pending {
                        is_token,
                        is_signed,
                        ..
                    },
                )) = place
                {
                    let response = self.friendly(*is_token, *is_signed);
                    self.respond(
                        slot,
                        Answer {
                            response,
                            echoes: false,
                        },
                    );
                }
            }
            Op::Fail { slot, kind } => {
                if let Some((mut flight, pending, is_token)) = self.pending(slot) {
                    let next = self.session.fail(pending, self.failure(kind), at);
                    let is_final = matches!(kind, FailureKind::TimedOut | FailureKind::Permanent);
                    assert!(next.is_err() || !is_final);
                    if next.is_ok() && is_token && kind == FailureKind::Lost {
                        // Each may have issued a token, and only so many may live.
                        assert!(!flight.is_lost, "a second token request was lost");
                        flight.is_lost = true;
                    }
                    self.go_on(slot, flight, next, true);
                }
            }
            Op::Resume { slot } => self.resume(slot),
            Op::Drop { slot } => {
                let _ = self.take(slot);
            }
            Op::GiveUp { slot } => match self.take(slot) {
                Some((flight, Ticket::Wait(wait, _))) => {
                    let error = wait.give_up();
                    self.gave_up(&error, flight.trouble, FailureKind::TimedOut);
                }
                Some((flight, Ticket::Pending { pending, .. })) => {
                    let lost = || self.failure(FailureKind::Lost);
                    let error = self.session.give_up(pending, lost());
                    self.gave_up(&error, flight.trouble, FailureKind::Lost);
                    let error = self.session.transport_error(lost(), 1);
                    self.gave_up(&error, None, FailureKind::Lost);
                }
                None => {}
            },
            Op::Clock { by, unit } => {
                let length = Duration::from_millis(u64::from(by.unsigned_abs()) * unit);
                self.now = match by < 0 {
                    true => self.now.saturating_sub(length),
                    false => self.now.saturating_add(length),
                };
                self.is_set_back |= by < 0;
                // A clock that is set back ends what was said later.
                self.holds.retain(|_, (since, _)| *since <= self.now);
                self.left.retain(|_, (since, _)| *since <= self.now);
            }
            Op::Export => self.export(at),
            Op::Restore { how, text } => self.restore(how, &text, at),
            Op::Revoke { response } => self.revoke(&response, at),
            Op::Foreign { slot } => self.foreign(slot, at),
        }
        shown::assert_debug_has_no_secret(&self.session, self.secrets());
        assert_eq!(*self.session.base(), self.base);
    }

    /// Takes what is in a slot, to drop it or to end it.
    fn take(&mut self, slot: u8) -> Option<(Flight, Ticket)> {
        let taken = self.slots[usize::from(slot) % 4].take();
        if let Some((flight, _)) = &taken {
            self.ends(flight.name);
        }
        taken
    }

    /// An exchange is over. If it was fetching a token, another one may.
    fn ends(&mut self, name: u32) {
        self.leader = self.leader.filter(|(leader, ..)| *leader != name);
    }

    /// What a transport says, which repeats what the server knows.
    fn failure(&self, kind: FailureKind) -> Failure {
        let secrets = own(self.kind).join(" ");
        let tokens = self.recent.iter().map(String::as_str);
        let tokens: Vec<_> = tokens.collect();
        failure(
            kind,
            format!("cable pulled by {secrets} {}", tokens.join(" ")),
        )
    }

    /// Takes the ticket of a request on its way, and whether that is for a token.
    fn pending(&mut self, slot: u8) -> Option<(Flight, Pending, bool)> {
        let place = &mut self.slots[usize::from(slot) % 4];
        match place.take()? {
            (
                flight,
                Ticket::Pending {
                    pending, is_token, ..
                },
            ) => Some((flight, pending, is_token)),
            waiting => {
                *place = Some(waiting);
                None
            }
        }
    }

    fn respond(&mut self, slot: u8, Answer { response, echoes }: Answer) {
        let at = self.moment();
        let Some((mut flight, pending, is_token)) = self.pending(slot) else {
            return;
        };
        let mut response = response;
        if echoes {
            // The tokens that are looked for are in it, too.
            let tokens: String = self
                .recent
                .iter()
                .map(|token| format!("<{token}|{}>", percent_encoded(token)))
                .collect();
            let tokens = serde_json::to_string(&tokens).expect("a text");
            let body = input::text(response.body()).replace(TOKENS, tokens.trim_matches('"'));
            *response.body_mut() = body.into();
        }
        let asked = asked(&response);
        let status = response.status();
        let issued = (is_token && status == 200)
            .then(|| serde_json::from_slice::<serde_json::Value>(response.body()).ok())
            .flatten()
            .and_then(|body| Some(body.get("access_token")?.as_str()?.to_owned()));
        // Who does not want it repeated does not have it held back.
        let repeats = !self.limits.retry.statuses.is_empty();
        let held = (!is_token && status == 429 && repeats && !flight.list.is_enveloped())
            .then(|| {
                let after = response.headers().get("retry-after")?;
                dates::parse_seconds(after.to_str().ok()?.trim())
            })
            .flatten();
        let left = (!is_token)
            .then(|| {
                response
                    .headers()
                    .get("ratelimit-remaining")?
                    .to_str()
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            })
            .flatten();
        let next = self.session.respond(pending, response, at);
        // Too large, or not a token: then there is none, and nothing that was said counts.
        let is_read = !matches!(next, Err(Error::InvalidResponse(_) | Error::Limit { .. }));
        if let Some(token) = issued.filter(|_| is_read) {
            assert!(token.len() <= self.limits.token_bytes);
            assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
            self.arrived(token);
            self.leader = None;
        }
        if let Some(seconds) = held.filter(|_| is_read) {
            let until = self
                .now
                .saturating_add(Duration::from_secs(seconds.min(300)));
            let hold = self.holds.entry(flight.list.group()).or_default();
            *hold = match *hold {
                (since, known) if since <= self.now && known > until => (self.now, known),
                _ => (self.now, until),
            };
        }
        if let Some(left) = left.filter(|_| !matches!(next, Err(Error::Limit { .. }))) {
            let group = flight.list.group();
            let known = self.left.insert(group, (self.now, left));
            let is_known = known.is_some_and(|(since, _)| {
                since <= self.now && self.now < since.saturating_add(MINUTE)
            });
            if !is_known {
                // Who is still on the way then took too long.
                let others = self.slots.iter_mut().flatten().map(|(other, _)| other);
                for other in others.chain([&mut flight]) {
                    other.is_counted &= other.list.group() != group;
                    other.may_count &= other.list.group() != group;
                }
            }
        }
        if let Err(Error::Limit { what, .. }) = &next {
            // Of anything else the status counts.
            assert!(status == 200 || what.contains("head"), "{status}: {what}");
        }
        if is_token && status.as_u16() >= 500 && status != 503 && next.is_ok() {
            assert!(!flight.is_lost, "a second token may have been issued");
            flight.is_lost = true;
        }
        if let Err(error) = &next {
            self.error(error, echoes);
        }
        if status == StatusCode::UNAUTHORIZED && !is_token && self.kind != 2 && next.is_ok() {
            // A token that was handed in is all there is; another one is fetched once.
            assert!(
                self.kind == 1 && !flight.is_renewed,
                "a second token after a 401"
            );
            flight.is_renewed = true;
        }
        if let (Some(asked), Ok(Step::Wait(wait))) = (asked, &next)
            && matches!(status.as_u16(), 429 | 503)
        {
            assert!(
                wait.on_change() || wait.delay() >= asked,
                "it comes back sooner than it was asked to"
            );
        }
        let is_gone = matches!(status.as_u16(), 406 | 410) && !is_token;
        if is_gone && next.is_ok() {
            assert!(
                !self.pinned && !flight.is_moved,
                "another version once more"
            );
            flight.is_moved = true;
        }
        // A challenge is answered at once, held back or not.
        self.go_on(slot, flight, next, self.kind != 2);
    }

    fn arrived(&mut self, token: String) {
        self.tokens.insert(token.clone());
        self.recent.truncate(3);
        self.recent.push_front(token);
        self.renew_secrets();
    }

    fn resume(&mut self, slot: u8) {
        let at = self.moment();
        let place = &mut self.slots[usize::from(slot) % 4];
        match place.take() {
            Some((mut flight, Ticket::Wait(wait, since))) => {
                if wait.on_change() {
                    let least = Duration::from_millis(1);
                    flight.followed += self.now.saturating_sub(since).clamp(least, wait.delay());
                }
                let next = self.session.resume(wait, at);
                self.go_on(slot, flight, next, true);
            }
            other => *place = other,
        }
    }

    /// Checks what comes next, and keeps the ticket.
    fn go_on(&mut self, slot: u8, mut flight: Flight, next: Next, is_paced: bool) {
        let retry = self.limits.retry.clone();
        let step = match next {
            Ok(step) => step,
            Err(error) => {
                self.ends(flight.name);
                return self.error(&error, false);
            }
        };
        shown::assert_debug_has_no_secret(&step, self.secrets());
        let ticket = match step {
            Step::Send(Exchange { request, pending }) => {
                let is_token = self.sends(&request, &flight.list);
                assert_eq!(pending.is_for_token(), is_token);
                if is_token {
                    self.leads(flight.name);
                }
                flight.fetches = is_token;
                flight.may_count |= !is_token;
                if !is_token && is_paced {
                    let held = self.holds.get(&flight.list.group());
                    let is_held =
                        held.is_some_and(|(since, until)| *since <= self.now && self.now < *until);
                    assert!(!is_held, "it was to be left alone");
                    self.counts(&mut flight);
                }
                flight.sent += 1;
                // Each attempt may need a token with attempts of its own, or a challenge and three answers.
                let most = retry.attempts * (retry.attempts + 5) + 20;
                assert!(flight.sent <= most, "it goes on and on");
                assert!((1..=retry.attempts).contains(&pending.attempt()));
                let is_signed = request.headers().contains_key(AUTHORIZATION);
                Ticket::Pending {
                    pending,
                    is_token,
                    is_signed,
                }
            }
            Step::Wait(wait) => {
                let (answer, failure) = (wait.api_error(), wait.failure());
                if let Some((kind, source)) = failure {
                    assert!(matches!(kind, FailureKind::NotSent | FailureKind::Lost));
                    shown::assert_no_secret(&shown::error_text(source), self.secrets());
                }
                if wait.on_change() {
                    assert!(answer.is_none() && failure.is_none());
                    assert!(self.has_others(&flight), "there is nobody to wait for");
                } else {
                    assert!(answer.is_some() != failure.is_some());
                    assert!(answer.is_none_or(|answer| answer.status != 200));
                    if let Some((name, since, until)) = &mut self.leader
                        && *name == flight.name
                        && flight.fetches
                    {
                        // It is expected back after that, and then has a minute again.
                        *since = self.now;
                        *until = self.now.saturating_add(wait.delay() + MINUTE);
                    }
                    let status = answer.map(|answer| Ok(answer.status));
                    flight.trouble = status.or(failure.map(|(kind, _)| Err(kind)));
                    flight.planned += wait.delay();
                    assert!(wait.delay() <= retry.wait);
                    assert!(flight.planned <= retry.total_wait);
                    (flight.is_counted, flight.has_place) = (false, false);
                    flight.may_count = false;
                }
                // It looks one more time after the last.
                assert!(flight.followed <= retry.total_wait + Duration::from_secs(30));
                Ticket::Wait(wait, self.now)
            }
            Step::Done(reply) => {
                assert_eq!(reply.status(), 200);
                self.ends(flight.name);
                let version = reply.version().expect("one was asked for");
                let known = [
                    ApiVersion::PREVIEW,
                    ApiVersion::V2025_03_12,
                    self.session.version(),
                ];
                assert!(known.contains(&version) || reply.headers().contains_key("content-type"));
                match reply.into_page() {
                    Ok(page) => {
                        let mut listing = Listing::new(flight.list, &self.limits);
                        listing.advance(&page);
                        let next = listing.request().expect("the second of many");
                        assert!(next.is_none() || next == flight.list.next_page());
                    }
                    Err(error) => self.error(&error, false),
                }
                return;
            }
        };
        self.slots[usize::from(slot) % 4] = Some((flight, ticket));
    }

    /// An exchange sends a token request: no other one is at it, or has been heard of for a minute.
    fn leads(&mut self, name: u32) {
        if let Some((leader, since, until)) = self.leader {
            let is_at_it = since <= self.now && self.now < until && leader != name;
            assert!(
                !is_at_it || self.meddled,
                "two fetch a token at the same time"
            );
        }
        self.leader = Some((name, self.now, self.now.saturating_add(MINUTE)));
    }

    /// Whether there is another exchange that this one may have to wait for.
    fn has_others(&self, flight: &Flight) -> bool {
        let fetches = self.leader.is_some_and(|(leader, since, until)| {
            leader != flight.name && since <= self.now && self.now < until
        });
        let mut others = self.slots.iter().flatten().map(|(other, _)| other);
        let group = flight.list.group();
        let is_narrow = self.left.contains_key(&group);
        let is_on_the_way = |other: &Flight| other.may_count && other.list.group() == group;
        let counts = is_narrow && others.any(is_on_the_way);
        fetches || counts || self.meddled || self.is_set_back
    }

    /// For a minute after a group was told how many requests are left, no more of those that begin then are on
    /// their way; one always may be.
    fn counts(&self, flight: &mut Flight) {
        let group = flight.list.group();
        let Some((since, left)) = self.left.get(&group) else {
            return;
        };
        let is_narrow = *since <= self.now && self.now < since.saturating_add(MINUTE);
        // So many are as good as any number. Who once had a place goes on without another one.
        if is_narrow && *left < 128 && !flight.has_place {
            let others = self.slots.iter().flatten().map(|(other, _)| other);
            let others = others.filter(|other| other.is_counted && other.list.group() == group);
            assert!(
                (others.count() as u64) < (*left).max(1),
                "more than are left"
            );
            (flight.is_counted, flight.has_place) = (true, true);
        }
    }

    /// Checks a request. Whether it is for a token.
    fn sends(&mut self, request: &Request<Body>, list: &ListRequest) -> bool {
        shown::assert_debug_has_no_secret(request, self.secrets());
        let uri = request.uri().to_string();
        let headers = request.headers();
        let is_token = request.method() == Method::POST;
        let authorization = headers.get(AUTHORIZATION);
        assert!(authorization.is_none_or(HeaderValue::is_sensitive));
        assert_eq!(headers["user-agent"], "fuzz/1.0");
        let bytes = wire::encode(request).expect("it can be sent");
        assert!(format!("{bytes:?}").starts_with("Encoded("));
        let text =
            authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if is_token {
            assert_eq!(self.kind, 1);
            assert_eq!(uri, format!("{}/api/oauth/token", self.base));
            assert_eq!(request.body().as_bytes(), b"grant_type=client_credentials");
            self.is_basic(text.as_deref());
            return true;
        }
        assert_eq!(request.method(), Method::GET);
        assert!(request.body().is_empty());
        let version = self.session.version();
        assert_eq!(uri, list.to_http(&self.base, &version).uri().to_string());
        let accept = &headers["accept"];
        match self.pinned {
            true => assert_eq!(accept, "application/vnd.atlas.2026-01-01+json"),
            false => assert!(
                [ApiVersion::PREVIEW, ApiVersion::V2025_03_12]
                    .map(|v| v.accept())
                    .contains(accept)
            ),
        }
        let names = ["accept", "user-agent", "authorization"];
        assert!(headers.keys().all(|name| names.contains(&name.as_str())));
        match (self.kind, text) {
            (0, text) => assert_eq!(text, Some(format!("Bearer {BEARER}"))),
            (1, text) => {
                let text = text.expect("there is a token");
                let token = text.strip_prefix("Bearer ").expect("it is a bearer's");
                assert!(self.tokens.contains(token), "nobody has issued {token}");
            }
            (_, None) => {}
            (_, Some(_)) => self.is_digest(authorization.expect("it is there")),
        }
        false
    }

    fn is_basic(&self, text: Option<&str>) {
        assert_eq!(
            text.and_then(|text| text.strip_prefix("Basic ")),
            Some(PAIR.as_str())
        );
    }

    /// A nonce is sent with a count only once.
    fn is_digest(&mut self, authorization: &HeaderValue) {
        let parameters = challenge::parameters(authorization.as_bytes());
        let get = |name: &str| {
            let named = parameters.iter().find(|(known, _)| known == name);
            named
                .map(|(_, value)| value.clone())
                .unwrap_or_else(|| panic!("{name} is missing"))
        };
        self.nonces.insert(get("nonce"));
        let is_new = self.digests.insert((get("nonce"), get("nc")));
        // So many counts are remembered.
        assert!(is_new || self.nonces.len() > 128, "a count was sent twice");
    }

    /// An error is one line, and shows no secret.
    fn error(&self, error: &Error, echoes: bool) {
        shown::assert_one_line(error);
        let text = shown::error_text(error);
        shown::assert_no_secret(&text, self.secrets());
        if echoes {
            // All of it was recognised, not only its beginning.
            for secret in own(self.kind) {
                for form in [percent_encoded(&secret), secret] {
                    let tail: String = form.chars().skip(form.chars().count() - 6).collect();
                    assert!(!text.contains(&tail), "the end of a secret is in {text}");
                }
            }
        }
    }

    /// The error of an exchange that was given up: what made it try again, or this.
    fn gave_up(&self, error: &Error, trouble: Option<Trouble>, otherwise: FailureKind) {
        self.error(error, false);
        let is_of = match (error, trouble.unwrap_or(Err(otherwise))) {
            (Error::Transport { kind, .. }, Err(expected)) => *kind == expected,
            (error, Ok(status)) => error.status() == Some(status),
            _ => false,
        };
        assert!(is_of, "{error:?}, but {trouble:?}");
    }

    fn export(&mut self, at: Moment) {
        let Some(exported) = self.session.export_token(at) else {
            return;
        };
        assert_eq!(format!("{exported:?}"), "[redacted]");
        // It is of use to a session like this one, and to no other.
        let session = |base: &str, credentials| {
            Session::new(BaseUrl::new(base).expect("it is one"), credentials)
        };
        let mut same = session(self.base.as_str(), credentials(1)).with_limits(self.limits.clone());
        same.restore_token(&exported, at)
            .expect("it was just exported");
        let list = ListRequest::new(group(false));
        let Ok(Step::Send(exchange)) = same.start::<Vec<u8>>(&list, at) else {
            panic!("it has a token");
        };
        let bearer = exchange.request.headers()[AUTHORIZATION]
            .to_str()
            .expect("ASCII");
        assert_eq!(
            Some(bearer.strip_prefix("Bearer ").expect("a bearer's")),
            self.recent.front().map(String::as_str)
        );
        let other = Credentials::service_account("mdb_sa_id_2", CLIENT_SECRET).expect("in order");
        let others = [
            session("https://evil.example", credentials(1)),
            session(self.base.as_str(), other),
            session(self.base.as_str(), credentials(0)),
        ];
        for mut session in others {
            let refused = session
                .restore_token(&exported, at)
                .expect_err("it is not its own");
            shown::assert_no_secret(&format!("{refused} {refused:?}"), self.secrets());
        }
        if self.exports.len() < 4 {
            self.exports.push(exported);
        }
    }

    fn restore(&mut self, how: u8, text: &str, at: Moment) {
        let chosen = self
            .exports
            .get(usize::from(how) % 4)
            .map(|secret| secret.expose().to_owned());
        let exported = match (chosen, how >> 2) {
            (None, _) => text.to_owned(),
            (Some(exported), 0) => exported,
            // One line is another.
            (Some(exported), n) => {
                let mut lines: Vec<&str> = exported.lines().collect();
                let place = usize::from(n) % lines.len();
                lines[place] = text;
                lines.join("\n")
            }
        };
        match self
            .session
            .restore_token(&Secret::new(exported.as_str()), at)
        {
            Ok(()) => {
                let lines: Vec<&str> = exported.lines().collect();
                assert_eq!(self.kind, 1);
                assert_eq!(lines[1..3], [self.base.as_str(), CLIENT_ID]);
                assert!(
                    lines[3]
                        .parse()
                        .is_ok_and(|until: u64| Duration::from_secs(until) > self.now)
                );
                let token = lines[4];
                assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
                self.arrived(token.to_owned());
                self.meddled = true;
            }
            Err(error) => shown::assert_no_secret(&format!("{error} {error:?}"), self.secrets()),
        }
    }

    fn revoke(&mut self, Answer { response, echoes }: &Answer, at: Moment) {
        let Some(request) = self.session.revoke_token() else {
            return;
        };
        self.meddled = true;
        shown::assert_debug_has_no_secret(&request, self.secrets());
        assert_eq!(request.method(), Method::POST);
        assert_eq!(
            request.uri().to_string(),
            format!("{}/api/oauth/revoke", self.base)
        );
        let value = &request.headers()[AUTHORIZATION];
        assert!(value.is_sensitive());
        self.is_basic(value.to_str().ok());
        let form: Vec<_> = url::form_urlencoded::parse(request.body().as_bytes()).collect();
        let token = self.recent.front().expect("it has one");
        assert_eq!(form[0], ("token".into(), token.as_str().into()));
        assert_eq!(form[1], ("token_type_hint".into(), "access_token".into()));
        assert_eq!(form.len(), 2);
        assert!(self.session.export_token(at).is_none());
        match self.session.revoked(response, at) {
            Ok(()) => assert!(response.status().is_success()),
            Err(error) => {
                self.error(&error, *echoes);
                match &error {
                    Error::Api(answer) => assert_eq!(answer.endpoint, Endpoint::Revocation),
                    error => assert!(matches!(error, Error::Limit { .. })),
                }
            }
        }
    }

    /// Another session does not take a ticket, whatever it is.
    fn foreign(&mut self, slot: u8, at: Moment) {
        let Some((_, ticket)) = self.take(slot) else {
            return;
        };
        let mut other = Session::new(BaseUrl::default(), credentials(self.kind));
        let next: Next = match ticket {
            Ticket::Wait(wait, _) => other.resume(wait, at),
            Ticket::Pending {
                pending,
                is_token: true,
                ..
            } => other.fail(pending, self.failure(FailureKind::NotSent), at),
            Ticket::Pending { pending, .. } => {
                other.respond(pending, Response::new(PAGE.to_vec()), at)
            }
        };
        let error = next.expect_err("it is not its own");
        assert!(matches!(error, Error::Invalid(_)));
        self.error(&error, false);
    }

    /// A token that was not issued before.
    fn fresh_token(&self) -> String {
        format!("zq7-{}-of-a-friend", self.tokens.len())
    }

    /// What Atlas would answer.
    fn friendly(&self, is_token: bool, is_signed: bool) -> Response<Vec<u8>> {
        if is_token {
            return Response::new(format!(r#"{{"access_token":"{}"}}"#, self.fresh_token()).into());
        }
        if is_signed {
            return Response::new(br#"{"results":[]}"#.to_vec());
        }
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let nonce = format!(
            r#"Digest realm="r", nonce="n{}", qop="auth""#,
            self.nonces.len()
        );
        let nonce = HeaderValue::try_from(nonce).expect("ASCII");
        response.headers_mut().insert(WWW_AUTHENTICATE, nonce);
        response
    }

    /// Whatever is under way ends, with nothing but refusals: in each slot always the same one.
    fn drain(&mut self) {
        for slot in 0..4 {
            for steps in 0.. {
                assert!(steps < 500, "it goes on and on");
                match &self.slots[usize::from(slot)] {
                    None => break,
                    Some((_, Ticket::Wait(wait, _))) => {
                        self.now = self.now.saturating_add(wait.delay());
                        self.resume(slot);
                    }
                    // Half of them get as far as the listing.
                    Some((_, Ticket::Pending { is_token: true, .. })) if slot < 2 => {
                        self.apply(Op::Friendly { slot });
                    }
                    Some(_) => {
                        let status = [401, 503, 429, 406][usize::from(slot)];
                        let mut response = Response::new(Vec::new());
                        *response.status_mut() = StatusCode::from_u16(status).expect("it is one");
                        let stale = r#"Digest realm="r", nonce="s", qop="auth", stale=true"#;
                        let stale = HeaderValue::from_static(stale);
                        response.headers_mut().insert(WWW_AUTHENTICATE, stale);
                        self.respond(
                            slot,
                            Answer {
                                response,
                                echoes: false,
                            },
                        );
                    }
                }
            }
        }
    }

    /// An ordinary exchange after all of that.
    fn recovers(&mut self) {
        self.now = self.now.saturating_add(Duration::from_secs(3600));
        self.apply(Op::Start { slot: 0, flags: 0 });
        for _ in 0..10 {
            match &self.slots[0] {
                None => break,
                Some((_, Ticket::Wait(wait, _))) => {
                    panic!("there is nothing to wait for: {wait:?}")
                }
                Some((_, Ticket::Pending { is_signed, .. })) => {
                    let is_signed = *is_signed;
                    let (flight, pending, is_token) = self.pending(0).expect("it was there");
                    let response = self.friendly(is_token, is_signed);
                    if is_token {
                        self.arrived(self.fresh_token());
                        self.leader = None;
                    }
                    let at = self.moment();
                    let next = self.session.respond(pending, response, at);
                    assert!(next.is_ok(), "{next:?}");
                    let is_done = matches!(next, Ok(Step::Done(_)));
                    self.go_on(0, flight, next, false);
                    if is_done {
                        return;
                    }
                }
            }
        }
        panic!("it has not come to an end");
    }
}

fn failure(kind: FailureKind, text: String) -> Failure {
    let failure = Failure::new(kind, std::io::Error::other(text));
    assert_eq!(failure.kind(), kind);
    failure
}
