//! Inputs of the target `emulator`: a configuration and requests.
//!
//! The input begins with one byte each for the seed, the number of groups, the number of keys and the configuration.
//! Requests follow until the end of the input: two bytes for the clock's move in seconds; one byte each for the method (from
//! [`METHODS`]), the path (from [`PATHS`]), the query (from [`QUERIES`]), `Accept` (from [`ACCEPTS`]), the credential
//! (from [`CREDENTIALS`]), other headers, and the body (from [`BODIES`]). For a text, a byte beyond the choices is
//! followed by a short text. If `1` is set in the byte of other headers, the request asks for gzip, which only the first such
//! request of an input gets. If `4` is set, a byte with the number of repetitions comes after the other headers.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_emulator::DigestAlgorithm;
use http::Method;

use super::bytes as input;

/// Methods of requests.
pub const METHODS: [Method; 6] = [
    Method::GET,
    Method::POST,
    Method::HEAD,
    Method::OPTIONS,
    Method::DELETE,
    Method::PUT,
];

/// Paths of requests; `{group}` stands for the first group, `{key}` for the last of its keys, `{org}` for its
/// organization, and `{other}`, `{other-key}` and `{other-org}` for the last group and what belongs to it.
pub const PATHS: [&str; 24] = [
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
    "/api/atlas/v2/groups/{other}/aiModelApiKeys",
    "/api/atlas/v2/orgs/{other-org}/aiModelApiKeys",
    "/api/atlas/v2/groups/{group}/aiModelApiKeys/{other-key}",
    "/api/atlas/v2/orgs/{org}/aiModelApiKeys/{other-key}",
    "/api/atlas/v2/groups/{group}/aiModelApi%4Beys",
];

/// Queries of requests.
pub const QUERIES: [&str; 17] = [
    "",
    "?itemsPerPage=2&pageNum=2",
    "?envelope=true",
    "?pretty=true&itemsPerPage=500",
    "?pageNum=0",
    "?pageNum=2147483647&envelope=true",
    "?since=1&route=listGroupKeys",
    "?format=dotenv",
    "?itemsPerPage=1&pageNum=3&unknown=%41&&x",
    "?itemsPerPage=501",
    "?itemsPerPage=4&pageNum=2&envelope=TRUE",
    "?pageNum=2147483648",
    "?itemsPerPage=0&envelope=true&pretty=true",
    "?pretty=yes",
    "?includeCount=false&pretty=true",
    "?includeCount=",
    "?items%50erPage=3&pageNum=1&pageNum=2",
];

/// Values of `Accept`.
pub const ACCEPTS: [&str; 9] = [
    "application/vnd.atlas.preview+json",
    "application/vnd.atlas.2025-03-12+json",
    "application/vnd.atlas.2023-01-01+json",
    "*/*",
    "application/vnd.atlas.2022-12-31+json",
    "application/vnd.atlas.preview+json;q=0.5, application/vnd.atlas.2025-03-12+json",
    "application/vnd.atlas.2025-03-12+json;q=0, Application/Vnd.Atlas.Preview+JSON;q=0.001",
    "application/vnd.atlas.2026-02-28+json, application/json",
    "application/vnd.atlas.2025-03-12+json, application/vnd.atlas.preview+json",
];

/// The credential of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Credential {
    /// No credential.
    None,
    /// The first of the access tokens that exist from the start.
    Known,
    /// The token of the last token request.
    Issued,
    /// The first service account's id and secret.
    Basic,
    /// The core's answer to the last challenge, with the first API key.
    Digest,
    /// A short text as `Authorization`.
    Text,
    /// An answer of the harness to a challenge, right or forged. A byte for the [`Forgery`] follows, and one for the nonce,
    /// counted back from the last one.
    Forged,
    /// One of the access tokens so far, by the byte that follows. From 128 on, its last character is another one.
    Token,
    /// A pair for Basic authentication: a [`Pair`], by the byte that follows.
    Pair,
}

/// The credentials, by their byte in the input.
pub const CREDENTIALS: [Credential; 9] = [
    Credential::None,
    Credential::Known,
    Credential::Issued,
    Credential::Basic,
    Credential::Digest,
    Credential::Text,
    Credential::Forged,
    Credential::Token,
    Credential::Pair,
];

/// The difference of an answer to a challenge from the right one with the next count.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Forgery {
    Right,
    CountReused,
    CountZero,
    CountFarAhead,
    LastDigitOfResponse,
    SecondHalfOfResponse,
    OtherPassword,
    ResponseCut,
    ResponseLonger,
    ResponseInCapitals,
    OtherCnonce,
    OtherUri,
    OtherRealm,
    UnknownUser,
    SecondUser,
    SecondUserWithFirstPassword,
    Algorithm(DigestAlgorithm),
    NoAlgorithm,
    UnknownNonce,
    NonceOfAnotherEmulator,
    HashedUser,
    UserhashOfPlainUser,
    QopAuthInt,
    NoQop,
    CountOfSevenDigits,
    CountWithSign,
    NoCnonce,
    OtherMethod,
    OtherScheme,
    ParameterTwice,
    ResponseEmpty,
}

/// The forgeries, by their byte in the input.
pub const FORGERIES: [Forgery; 35] = [
    Forgery::Right,
    Forgery::CountReused,
    Forgery::CountZero,
    Forgery::CountFarAhead,
    Forgery::LastDigitOfResponse,
    Forgery::SecondHalfOfResponse,
    Forgery::OtherPassword,
    Forgery::ResponseCut,
    Forgery::ResponseLonger,
    Forgery::ResponseInCapitals,
    Forgery::OtherCnonce,
    Forgery::OtherUri,
    Forgery::OtherRealm,
    Forgery::UnknownUser,
    Forgery::SecondUser,
    Forgery::SecondUserWithFirstPassword,
    Forgery::Algorithm(DigestAlgorithm::Md5Sess),
    Forgery::Algorithm(DigestAlgorithm::Sha256),
    Forgery::Algorithm(DigestAlgorithm::Sha256Sess),
    Forgery::Algorithm(DigestAlgorithm::Sha512_256),
    Forgery::Algorithm(DigestAlgorithm::Sha512_256Sess),
    Forgery::NoAlgorithm,
    Forgery::UnknownNonce,
    Forgery::NonceOfAnotherEmulator,
    Forgery::HashedUser,
    Forgery::UserhashOfPlainUser,
    Forgery::QopAuthInt,
    Forgery::NoQop,
    Forgery::CountOfSevenDigits,
    Forgery::CountWithSign,
    Forgery::NoCnonce,
    Forgery::OtherMethod,
    Forgery::OtherScheme,
    Forgery::ParameterTwice,
    Forgery::ResponseEmpty,
];

/// A pair of client id and client secret.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Pair {
    First,
    Second,
    FirstWithSecretOfSecond,
    SecretCut,
    SecretLonger,
    SecretEmpty,
    IdCut,
    WithoutColon,
    PercentEncoded,
    SchemeInCapitals,
}

/// The pairs, by their byte in the input.
pub const PAIRS: [Pair; 10] = [
    Pair::First,
    Pair::Second,
    Pair::FirstWithSecretOfSecond,
    Pair::SecretCut,
    Pair::SecretLonger,
    Pair::SecretEmpty,
    Pair::IdCut,
    Pair::WithoutColon,
    Pair::PercentEncoded,
    Pair::SchemeInCapitals,
];

/// Bodies of requests; `{known}` stands for the first access token that exists from the start, `{issued}` for the last
/// issued token and `{first}` for the first one.
pub const BODIES: [&str; 17] = [
    "",
    "grant_type=client_credentials",
    "token=eyJhbGciOiJFUzI1NiJ9&token_type_hint=access_token",
    "grant_type=password",
    r#"["results-missing*1","echo-plain","digest-never*2"]"#,
    r#"{"advance":"2h"}"#,
    r#"{"now":"2027-01-01T00:00:00Z"}"#,
    "token={issued}",
    "token={first}&token_type_hint=access_token",
    "token={known}",
    "grant_type=client_credentials&grant_type=client_credentials",
    "grant_type=&grant_type=client%5fcredentials&scope=",
    "token={issued}&token={issued}",
    "token=",
    "token={issued}x",
    "Grant_type=client_credentials",
    "grant_type=client_credentials+",
];

/// The bit of [`Setup::more`] for pages without a total count.
pub(crate) const NO_TOTAL_COUNT: u8 = 8;

/// What is special about the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// The seed of the emulator.
    pub seed: u8,
    /// Up to four groups. One and two are generated by the emulator, which leaves out the second one from the default roles;
    /// more are data of the harness, with two organizations and roles.
    pub groups: u8,
    /// The number of keys of the first group.
    pub keys: u8,
    /// The flags of the input.
    pub flags: u8,
    /// More flags: the number of groups in the input, divided by five.
    pub more: u8,
    /// Whether requests are recorded, in a quarter of the inputs, because it takes half of the time.
    pub is_recorded: bool,
}

impl Setup {
    pub(crate) fn token_ttl(self) -> Duration {
        Duration::from_secs(if self.flags & 1 != 0 { 3 } else { 3600 })
    }

    pub(crate) fn nonce_ttl(self) -> Duration {
        Duration::from_secs(if self.flags & 2 != 0 { 2 } else { 60 })
    }

    /// Returns the capacity, the refill and its time in seconds of the token buckets.
    pub(crate) fn rate_limit(self) -> Option<[u32; 3]> {
        let usual = [1200, 500, 60];
        let tight = [3, 2, 7];
        (self.flags & 4 == 0).then_some(if self.flags & 32 != 0 { tight } else { usual })
    }

    pub(crate) fn has_secrets(self) -> bool {
        self.flags & 8 != 0
    }

    pub(crate) fn has_control(self) -> bool {
        self.flags & 16 != 0
    }

    pub(crate) fn digest(self) -> &'static [DigestAlgorithm] {
        use DigestAlgorithm as A;
        match self.flags & 64 {
            0 => &[A::Md5],
            _ => &[A::Sha256, A::Md5Sess, A::Sha512_256],
        }
    }

    pub(crate) fn link_base(self) -> Option<&'static str> {
        (self.flags & 128 != 0).then_some("http://internal.example:8080")
    }

    /// Returns whether all groups share one token bucket.
    pub(crate) fn has_shared_limit(self) -> bool {
        self.more & 1 != 0
    }

    /// Returns whether `preview` was withdrawn.
    pub(crate) fn is_preview_withdrawn(self) -> bool {
        self.more & 2 != 0
    }

    /// Returns the value of `totalCount` instead of the number of items: `Some(None)` means that it is missing.
    pub(crate) fn total_count(self) -> Option<Option<u64>> {
        match self.more & 12 {
            4 => Some(Some(0)),
            NO_TOTAL_COUNT => Some(None),
            _ => None,
        }
    }
}

/// An input.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) setup: Setup,
    /// Whether each request is handled twice, to compare the responses: in an eighth of the inputs.
    pub(crate) is_repeated: bool,
    pub(crate) requests: Vec<RequestPlan>,
}

/// The description of a request, before it is built.
#[derive(Debug)]
pub(crate) struct RequestPlan {
    pub(crate) clock_move: i16,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) accept: String,
    pub(crate) credential: Credential,
    /// The bytes that select among the credentials of a kind.
    pub(crate) selection: [u8; 2],
    pub(crate) authorization: input::Bytes<Vec<u8>>,
    pub(crate) gzip: bool,
    pub(crate) header: Option<[input::Bytes<Vec<u8>>; 2]>,
    /// How often the request is sent once more.
    pub(crate) repetitions: u8,
    pub(crate) body: String,
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
        let checksum = u.peek_bytes(u.len()).unwrap_or_default();
        let checksum = checksum
            .iter()
            .fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let mut may_compress = true;
        let [seed, groups, keys, flags]: [u8; 4] = u.arbitrary()?;
        let mut input = Self {
            setup: Setup {
                seed: seed % 32,
                groups: (groups % 5).max(1),
                keys: keys % 9,
                flags,
                more: groups / 5 % 16,
                is_recorded: checksum % 4 == 1,
            },
            is_repeated: checksum % 8 == 0,
            requests: Vec::new(),
        };
        while !u.is_empty() && input.requests.len() < 16 {
            let clock_move = u.arbitrary()?;
            let method = METHODS[usize::from(input::byte(u)?) % METHODS.len()].clone();
            let path = choice(u, &PATHS)?;
            let query = choice(u, &QUERIES)?;
            let accept = choice(u, &ACCEPTS)?;
            let credential = input::pick(u, &CREDENTIALS)?;
            let mut selection = [0; 2];
            let mut authorization = Vec::new();
            match credential {
                Credential::Text => authorization = input::short(u)?.to_vec(),
                Credential::Forged => selection = u.arbitrary()?,
                Credential::Token | Credential::Pair => selection[0] = input::byte(u)?,
                _ => {}
            }
            let other = input::byte(u)?;
            let header = match other & 2 {
                0 => None,
                _ => Some(
                    [input::short(u)?, input::short(u)?].map(|part| input::Bytes(part.to_vec())),
                ),
            };
            let repetitions = match other & 4 {
                0 => 0,
                _ => input::byte(u)? % 128,
            };
            let body = choice(u, &BODIES)?;
            let gzip = other & 1 != 0 && std::mem::take(&mut may_compress);
            input.requests.push(RequestPlan {
                clock_move,
                method,
                path,
                query,
                accept,
                credential,
                selection,
                authorization: input::Bytes(authorization),
                gzip,
                header,
                repetitions,
                body,
            });
        }
        Ok(input)
    }
}
