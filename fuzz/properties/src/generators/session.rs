//! The input: how bytes become a scenario, and the credentials and secrets that every scenario uses.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::FailureKind;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::generators::bytes as input;
pub(crate) use crate::oracles::session_model::Credential as CredentialType;

/// The base URLs of the session.
pub const BASES: [&str; 3] = [
    "https://cloud.mongodb.com",
    "https://gw.example:8443/some/prefix",
    "http://[::1]:8080",
];

/// The flag for a pinned API version.
pub const PINNED_VERSION: u8 = 1;
/// The flag for small limits.
pub const SMALL_LIMITS: u8 = 2;
/// The flag for a single attempt.
pub const SINGLE_ATTEMPT: u8 = 4;
/// The flag for no retry after any status.
pub const NO_RETRY_STATUSES: u8 = 8;

/// The flag for a policy that waits out rate limits.
pub const WAITS_OUT_RATE_LIMITS: u8 = 16;

/// The flag for a recording, which another session replays at the end.
pub const RECORDED: u8 = 32;

/// The flag for limits that follow: after the flags, a byte for their number, and for each a byte for its name (from
/// [`LIMITS`]) and one for its value.
pub const CHOSEN_LIMITS: u8 = 128;

/// The limits that an input can choose.
pub const LIMITS: [&str; 13] = [
    "attempts",
    "base",
    "cap",
    "wait",
    "total_wait",
    "challenges",
    "challenge_bytes",
    "token_bytes",
    "body_bytes",
    "error_body_bytes",
    "headers",
    "head_bytes",
    "detail_bytes",
];

/// The flag of a request for an envelope.
pub const ENVELOPE: u8 = 1;
/// The flag of a request for the other group or organization.
pub const OTHER_GROUP: u8 = 2;
/// The flags from this bit on select the operation of a request (from [`OPERATIONS`]).
pub const OPERATION_SHIFT: u32 = 2;

/// The operations, by the upper flags of a request. Transcripts have the same names.
pub const OPERATIONS: [&str; 5] = [
    "list",
    "organization-list",
    "key",
    "organization-key",
    "groups",
];

/// The types of credentials, by their byte in the input.
pub(crate) const CREDENTIAL_TYPES: [CredentialType; 3] = [
    CredentialType::Bearer,
    CredentialType::ServiceAccount,
    CredentialType::ApiKey,
];

pub(crate) const BEARER: &str = "bearer-hunter2.abc/def+ghi==";
pub(crate) const CLIENT_ID: &str = "mdb_sa_id_1";
pub(crate) const CLIENT_SECRET: &str = "mdb_sa_sk_hunter3/+%x\"tail";
pub(crate) const PUBLIC_KEY: &str = "abcdefgh";
pub(crate) const PRIVATE_KEY: &str = "private-hunter4 \u{e9}%/tail";

/// The types of actions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionCode {
    /// Starts an exchange: slot, and flags ([`ENVELOPE`], [`OTHER_GROUP`] and an operation).
    Start,
    /// Responds to a request: slot, response.
    Respond,
    /// Fails to deliver a request: slot, failure.
    Fail,
    /// Ends a wait: slot.
    Resume,
    /// Cancels an exchange by dropping its ticket: slot.
    Drop,
    /// Gives up an exchange: slot.
    GiveUp,
    /// Moves the clock: a signed number of two bytes, and a byte for its unit (from [`UNITS`]).
    Clock,
    /// Exports the token.
    Export,
    /// Restores a token: a byte for the exported token and its changed line, and a short text.
    Restore,
    /// Revokes the token: the response to the revocation.
    Revoke,
    /// Passes a ticket to another session: slot.
    Foreign,
    /// Responds to a request as Atlas does: slot.
    Friendly,
}

/// The types of actions, by their byte in the input.
pub const ACTION_CODES: [ActionCode; 12] = [
    ActionCode::Start,
    ActionCode::Respond,
    ActionCode::Fail,
    ActionCode::Resume,
    ActionCode::Drop,
    ActionCode::GiveUp,
    ActionCode::Clock,
    ActionCode::Export,
    ActionCode::Restore,
    ActionCode::Revoke,
    ActionCode::Foreign,
    ActionCode::Friendly,
];

/// The failures of a transport, by their byte in the input.
const FAILURES: [FailureKind; 4] = [
    FailureKind::NotSent,
    FailureKind::Lost,
    FailureKind::Permanent,
    FailureKind::TimedOut,
];

/// The units of clock moves, in milliseconds.
pub const UNITS: [u64; 4] = [1, 1_000, 60_000, 86_400_000_000];

/// Statuses of responses.
pub const STATUSES: [u16; 22] = [
    200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 406, 407, 410, 429, 500, 501, 502, 503, 599,
    999, 206, 600,
];

/// Headers of responses, each with its values.
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

/// The types of bodies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyType {
    /// Any bytes: a long text.
    Raw,
    /// A page with a key and a link to another host.
    Page,
    /// A page without keys.
    Empty,
    /// An envelope: a byte for its status (from [`STATUSES`]).
    Envelope,
    /// A token: a short text for its end, and a byte for its lifetime (from [`TOKEN_LIFETIMES`]).
    Token,
    /// An error object: a short text for the error code.
    Error,
    /// An error object that repeats every secret.
    AllSecrets,
}

/// The types of bodies, by their byte in the input.
pub const BODY_TYPES: [BodyType; 7] = [
    BodyType::Raw,
    BodyType::Page,
    BodyType::Empty,
    BodyType::Envelope,
    BodyType::Token,
    BodyType::Error,
    BodyType::AllSecrets,
];

/// The values of `expires_in`.
pub const TOKEN_LIFETIMES: [&str; 6] = ["3600", "1", "0", "-5", "1e30", "\"soon\""];

/// An action on the session.
#[derive(Debug)]
pub(crate) enum Action {
    Start {
        slot: usize,
        flags: u8,
    },
    Respond {
        slot: usize,
        response: ServerResponse,
    },
    Fail {
        slot: usize,
        kind: FailureKind,
    },
    Resume {
        slot: usize,
    },
    Drop {
        slot: usize,
    },
    GiveUp {
        slot: usize,
    },
    Clock {
        by: i16,
        unit: u64,
    },
    Export,
    Restore {
        how: u8,
        text: String,
    },
    Revoke {
        response: ServerResponse,
    },
    Foreign {
        slot: usize,
    },
    Friendly {
        slot: usize,
    },
}

/// A response of the server, and whether it repeats every secret.
#[derive(Debug)]
pub(crate) struct ServerResponse {
    pub(crate) response: Response<Vec<u8>>,
    pub(crate) repeats_secrets: bool,
}

impl ServerResponse {
    /// Wraps a response that repeats no secret.
    pub(crate) fn new(response: Response<Vec<u8>>) -> Self {
        Self {
            response,
            repeats_secrets: false,
        }
    }

    fn read(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let status = input::pick(u, &STATUSES)?;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status from 200 to 999");
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
        let kind = input::pick(u, &BODY_TYPES)?;
        *response.body_mut() = match kind {
            BodyType::Raw => input::long(u)?.to_vec(),
            BodyType::Page => PAGE_BODY.into(),
            BodyType::Empty => br#"{"results":[]}"#.to_vec(),
            BodyType::Envelope => {
                let status = input::pick(u, &STATUSES)?;
                format!(r#"{{"status":{status},"results":[]}}"#).into()
            }
            BodyType::Token => {
                let token = format!("zq7-{}", input::text(input::short(u)?));
                let token = serde_json::to_string(&token).expect("a text can be serialized");
                let lifetime = input::pick(u, &TOKEN_LIFETIMES)?;
                format!(
                    r#"{{"access_token":{token},"expires_in":{lifetime},"token_type":"Bearer"}}"#
                )
                .into()
            }
            BodyType::Error => {
                let code = input::text(input::short(u)?);
                json!({"error": status, "errorCode": code, "detail": "No."})
                    .to_string()
                    .into()
            }
            BodyType::AllSecrets => ERROR_WITH_ALL_SECRETS.as_bytes().into(),
        };
        Ok(Self {
            response,
            repeats_secrets: matches!(kind, BodyType::AllSecrets),
        })
    }
}

pub(crate) const PAGE_BODY: &[u8] = br#"{"results":[{"apiKeyId":"k","secret":"al-live"}],
    "links":[{"rel":"next","href":"https://evil.example/"}],"totalCount":2}"#;

/// The placeholder for the issued tokens in a body that repeats every secret.
pub(crate) const TOKENS_PLACEHOLDER: &str = "@tokens@";

/// An error object that repeats every secret, in each form that is recognised.
static ERROR_WITH_ALL_SECRETS: LazyLock<String> = LazyLock::new(|| {
    let mut all = TOKENS_PLACEHOLDER.to_owned();
    for secret in all_secrets() {
        all += &format!("<{secret}|{}>", percent_encoded(&secret));
    }
    let beginnings: Vec<String> = all_secrets()
        .iter()
        .map(|s| s.chars().take(14).collect())
        .collect();
    json!({
        "error": "invalid_client", "errorCode": &all, "reason": &all, "detail": &all,
        "parameters": [&all, 1, beginnings],
        "badRequestDetail": {"fields": [{"field": &all, "description": beginnings.join(" ")}]},
    })
    .to_string()
});

/// The Basic credentials of the service account: `base64(id:secret)`.
pub(crate) static BASIC_CREDENTIALS: LazyLock<String> =
    LazyLock::new(|| BASE64_STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}")));

/// Returns the secrets of all types of credentials.
pub(crate) fn all_secrets() -> [String; 4] {
    [
        BEARER.into(),
        CLIENT_SECRET.into(),
        BASIC_CREDENTIALS.clone(),
        PRIVATE_KEY.into(),
    ]
}

/// Returns the secrets that a session with this type of credentials knows and redacts.
pub(crate) fn secrets_of(credential: CredentialType) -> Vec<String> {
    let [bearer, secret, pair, private] = all_secrets();
    match credential {
        CredentialType::Bearer => vec![bearer],
        CredentialType::ServiceAccount => vec![secret, pair],
        CredentialType::ApiKey => vec![private],
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for b in text.bytes() {
        match b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            true => encoded.push(char::from(b)),
            false => {
                let digit = |n: u8| char::from(b"0123456789ABCDEF"[usize::from(n)]);
                encoded.extend(['%', digit(b >> 4), digit(b & 15)]);
            }
        }
    }
    encoded
}

/// The largest number of actions that are read.
pub(crate) const MOST_ACTIONS: usize = 120;

/// The settings before the actions.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) credential: CredentialType,
    pub(crate) base: &'static str,
    pub(crate) flags: u8,
    /// The chosen limits, each with its value.
    pub(crate) limits: Vec<(&'static str, u8)>,
}

impl Head {
    pub(crate) fn read(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        let mut head = Self {
            credential: input::pick(u, &CREDENTIAL_TYPES)?,
            base: input::pick(u, &BASES)?,
            flags: input::byte(u)?,
            limits: Vec::new(),
        };
        if head.flags & CHOSEN_LIMITS != 0 {
            for _ in 0..input::byte(u)? % 8 {
                let name = input::pick(u, &LIMITS)?;
                head.limits.push((name, input::byte(u)?));
            }
        }
        Ok(head)
    }
}

/// A scenario.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) head: Head,
    pub(crate) actions: Vec<Action>,
}

/// Reads a byte that selects one of the four slots.
fn slot(u: &mut Unstructured<'_>) -> arbitrary::Result<usize> {
    Ok(usize::from(input::byte(u)? % 4))
}

impl Action {
    pub(crate) fn read(u: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Ok(match input::pick(u, &ACTION_CODES)? {
            ActionCode::Start => Action::Start {
                slot: slot(u)?,
                flags: input::byte(u)?,
            },
            ActionCode::Respond => Action::Respond {
                slot: slot(u)?,
                response: ServerResponse::read(u)?,
            },
            ActionCode::Fail => Action::Fail {
                slot: slot(u)?,
                kind: input::pick(u, &FAILURES)?,
            },
            ActionCode::Resume => Action::Resume { slot: slot(u)? },
            ActionCode::Drop => Action::Drop { slot: slot(u)? },
            ActionCode::GiveUp => Action::GiveUp { slot: slot(u)? },
            ActionCode::Clock => Action::Clock {
                by: u.arbitrary()?,
                unit: input::pick(u, &UNITS)?,
            },
            ActionCode::Export => Action::Export,
            ActionCode::Restore => Action::Restore {
                how: input::byte(u)?,
                text: input::text(input::short(u)?),
            },
            ActionCode::Revoke => Action::Revoke {
                response: ServerResponse::read(u)?,
            },
            ActionCode::Foreign => Action::Foreign { slot: slot(u)? },
            ActionCode::Friendly => Action::Friendly { slot: slot(u)? },
        })
    }
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut input = Self {
            head: Head::read(u)?,
            actions: Vec::new(),
        };
        while !u.is_empty() && input.actions.len() < MOST_ACTIONS {
            input.actions.push(Action::read(u)?);
        }
        Ok(input)
    }
}
