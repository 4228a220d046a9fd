//! A Digest challenge is parsed as another parser does it, and its answer is correct.
//!
//! **Input**: a byte that selects the user (from [`USERS`]) and one that selects the limits; the rest is text,
//! in which each line is a `WWW-Authenticate` header.
//!
//! **Properties**
//!
//! - If `http-auth` parses every header within the limits (also with each of them set to exactly what the headers need, and
//!   to one less), the core uses the challenge that RFC 7616 requires: the first of the
//!   strongest known ones with `qop=auth`, a realm and a nonce, in which no parameter occurs twice.
//! - Every answer is one line in the form of RFC 7616 §3.4, repeats realm, nonce and opaque, counts up, and
//!   contains the response that an independent computation gives; it is marked sensitive.
//! - No part of the password is shown.
//!
//! **Known differences** from `http-auth`, which rejects all of these texts (so only the second and third
//! property are checked for them):
//!
//! | case | the core | `http-auth` |
//! |---|---|---|
//! | `token68` (RFC 9110 §11.2) | skips the challenge | rejects |
//! | bytes beyond ASCII in a quoted string (RFC 9110 §5.6.4: `obs-text`) | accepts them | rejects |
//! | more than one space after a scheme, or a tab (RFC 9110 §11.3) | accepts it | rejects |
//! | after the first syntax error | keeps the challenges before it | rejects |

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::Limits;
use atlas_model_keys_core::digest::{Answerer, Challenge};
use http::HeaderValue;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use sha2::Digest;

use crate::generators::bytes as input;
use crate::oracles::shown;

/// The users: names and passwords.
pub const USERS: [(&str, &str); 4] = [
    ("abcdefgh", "01234567-89ab-cdef-0123-456789abcdef"),
    ("Mufasa", "Circle of Life"),
    // RFC 7616 §3.9.2.
    ("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
    ("quoted \"name\\", "p\u{e4}ss:word"),
];

const METHOD: &str = "GET";
const TARGET: &str = "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys?pageNum=2";

#[derive(Debug)]
struct Input {
    user: (&'static str, &'static str),
    limits: Limits,
    headers: Vec<HeaderValue>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let user = input::pick(u, &USERS)?;
        let mut limits = Limits::default();
        if input::byte(u)? % 4 == 1 {
            (limits.challenges, limits.challenge_bytes) = (2, 150);
        }
        let lines = input::rest(u)?.split(|byte| *byte == b'\n');
        Ok(Self {
            user,
            limits,
            headers: lines
                .filter_map(|line| HeaderValue::from_bytes(line).ok())
                .collect(),
        })
    }
}

/// The values of a challenge that an answer depends on.
#[derive(Debug, PartialEq)]
struct ChallengeValues {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    opaque: Option<Vec<u8>>,
    algorithm: Option<String>,
    userhash: bool,
    stale: bool,
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let headers = &input.headers;
    let challenge = assert_strongest(headers, &input.limits, input.user);
    // Each limit is exactly what the headers need, and one less.
    let count = parse_with_http_auth(headers).map_or(0, |challenges| challenges.len());
    let bytes: usize = headers.iter().map(HeaderValue::len).sum();
    for less in [0, 1] {
        let mut limits = input.limits.clone();
        limits.challenges = count.saturating_sub(less);
        assert_strongest(headers, &limits, input.user);
        limits = input.limits.clone();
        limits.challenge_bytes = bytes.saturating_sub(less);
        assert_strongest(headers, &limits, input.user);
    }
    // With a user whose parts have other characters, too.
    if let Some(challenge) = challenge {
        answer(&challenge, USERS[3]);
    }
}

/// Asserts that the core chooses the challenge that it must within the limits, and answers it correctly.
fn assert_strongest(
    headers: &[HeaderValue],
    limits: &Limits,
    user: (&str, &str),
) -> Option<Challenge> {
    let challenge = Challenge::strongest(headers, limits);
    let answered = challenge.as_ref().map(|challenge| answer(challenge, user));
    if let Some(mut challenges) = parse_with_http_auth(within(headers, limits.challenge_bytes)) {
        challenges.truncate(limits.challenges);
        assert_eq!(answered, strongest(&challenges));
    }
    challenge
}

/// Returns the headers before the one that exceeds a limit of bytes in total.
fn within(headers: &[HeaderValue], most: usize) -> &[HeaderValue] {
    let mut bytes = 0;
    let is_within = |header: &&HeaderValue| {
        bytes += header.len();
        bytes <= most
    };
    &headers[..headers.iter().take_while(is_within).count()]
}

/// Parses every challenge of every header with `http-auth`. Returns `None` if it rejects one of them.
fn parse_with_http_auth(headers: &[HeaderValue]) -> Option<Vec<ChallengeRef<'_>>> {
    let mut challenges = Vec::new();
    for header in headers {
        let text = std::str::from_utf8(header.as_bytes()).ok()?;
        for challenge in ChallengeParser::new(text) {
            challenges.push(challenge.ok()?);
        }
    }
    Some(challenges)
}

/// Returns the strength of an algorithm's hash, and whether it is a `-sess` variant.
fn parse_algorithm(algorithm: Option<&str>) -> Option<(u8, bool)> {
    let Some(name) = algorithm else {
        return Some((0, false));
    };
    let name = name.to_ascii_lowercase();
    let (hash, session) = match name.strip_suffix("-sess") {
        Some(hash) => (hash, true),
        None => (name.as_str(), false),
    };
    let strength = ["md5", "sha-256", "sha-512-256"]
        .iter()
        .position(|known| *known == hash)?;
    Some((
        u8::try_from(strength).expect("an index below three"),
        session,
    ))
}

/// Returns the values of a challenge, or `None` if it is not usable (RFC 7616 §3.3).
fn usable(challenge: &ChallengeRef<'_>) -> Option<ChallengeValues> {
    if !challenge.scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let values = |name: &str| {
        let named = challenge
            .params
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named
            .map(|(_, value)| value.to_unescaped())
            .collect::<Vec<_>>()
    };
    let names = [
        "realm",
        "nonce",
        "opaque",
        "algorithm",
        "qop",
        "stale",
        "userhash",
    ];
    if names.iter().any(|name| values(name).len() > 1) {
        return None;
    }
    let value = |name: &str| values(name).pop();
    let is_true = |name: &str| value(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let qop = value("qop")?;
    let mut options = qop.split([',', ' ', '\t']);
    options.find(|option| option.eq_ignore_ascii_case("auth"))?;
    let algorithm = value("algorithm");
    parse_algorithm(algorithm.as_deref())?;
    Some(ChallengeValues {
        realm: value("realm")?.into(),
        nonce: value("nonce")?.into(),
        opaque: value("opaque").map(Vec::from),
        algorithm: algorithm.map(|name| name.to_ascii_lowercase()),
        userhash: is_true("userhash"),
        stale: is_true("stale"),
    })
}

/// Returns the first of the strongest usable challenges.
fn strongest(challenges: &[ChallengeRef<'_>]) -> Option<ChallengeValues> {
    let strength = |usable: &ChallengeValues| {
        parse_algorithm(usable.algorithm.as_deref()).map(|(hash, _)| hash)
    };
    let usable = challenges.iter().filter_map(usable);
    usable.reduce(|best, next| {
        if strength(&next) > strength(&best) {
            next
        } else {
            best
        }
    })
}

/// Answers a challenge three times, checks the answers, and returns the values that they repeat.
fn answer(challenge: &Challenge, (user, password): (&str, &str)) -> ChallengeValues {
    let mut answerer = Answerer::new(challenge.clone(), user, password, [0xa5; 16]);
    let first = check_answer(&mut answerer, user, password, 1);
    let second = check_answer(&mut answerer, user, password, 2);
    assert_eq!(first, second);
    answerer.set_count(0xfffe);
    check_answer(&mut answerer, user, password, 0xffff);
    answerer.set_count(u32::MAX);
    assert!(answerer.authorization(METHOD, TARGET, [0; 16]).is_none());
    assert_eq!(answerer.nonce(), first.nonce);
    let shown = format!("{challenge:?} {answerer:?}");
    shown::assert_no_secret(&shown, &[password]);
    ChallengeValues {
        stale: challenge.is_stale(),
        ..first
    }
}

/// Checks the next answer by an independent computation, and returns its values (of which `stale` is not one).
fn check_answer(
    answerer: &mut Answerer,
    user: &str,
    password: &str,
    count: u32,
) -> ChallengeValues {
    let fresh = [u8::try_from(count & 0xff).expect("the value is masked to a byte"); 16];
    let value = answerer
        .authorization(METHOD, TARGET, fresh)
        .expect("the answer is a valid header value");
    assert!(value.is_sensitive());
    assert_eq!(answerer.count(), count);
    let parameters = parameters(value.as_bytes());
    let get = |name: &str| {
        let mut named = parameters.iter().filter(|(known, _)| known == name);
        let value = named.next().map(|(_, value)| value.clone());
        assert!(named.next().is_none(), "{name} occurs twice");
        value
    };
    let need = |name: &str| get(name).unwrap_or_else(|| panic!("{name} is missing"));

    let text = |name: &str| {
        get(name).map(|value| String::from_utf8(value).expect("the parameter is ASCII"))
    };
    let algorithm = text("algorithm");
    let (strength, session) =
        parse_algorithm(algorithm.as_deref()).expect("the algorithm is known");
    let hash = |parts: &[&[u8]]| hex(strength, &parts.join(&b':'));
    let (realm, nonce, cnonce) = (need("realm"), need("nonce"), need("cnonce"));
    let userhash = get("userhash").is_some_and(|value| value == b"true");
    let name = user.as_bytes();
    match (userhash, user.is_ascii()) {
        (true, _) => assert_eq!(need("username"), hash(&[name, &realm])),
        (false, true) => assert_eq!(need("username"), name),
        (false, false) => assert_eq!(decode_extended(&need("username*")), name),
    }
    // A `-sess` algorithm keeps the first client nonce.
    let seed = if session { [0xa5; 16] } else { fresh };
    let digits: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(cnonce, digits.as_bytes());
    assert_eq!(need("uri"), TARGET.as_bytes());
    assert_eq!(need("qop"), b"auth");
    let nc = format!("{count:08x}");
    assert_eq!(need("nc"), nc.as_bytes());

    let mut ha1 = hash(&[name, &realm, password.as_bytes()]);
    if session {
        ha1 = hash(&[&ha1, &nonce, &cnonce]);
    }
    let ha2 = hash(&[METHOD.as_bytes(), TARGET.as_bytes()]);
    let response = hash(&[&ha1, &nonce, nc.as_bytes(), &cnonce, b"auth", &ha2]);
    assert_eq!(need("response"), response);
    let shown = value.as_bytes().escape_ascii().to_string();
    shown::assert_no_secret(&shown, &[password.escape_default().to_string()]);
    ChallengeValues {
        realm,
        nonce,
        opaque: get("opaque"),
        algorithm: algorithm.map(|name| name.to_ascii_lowercase()),
        userhash,
        stale: false,
    }
}

fn hex(strength: u8, bytes: &[u8]) -> Vec<u8> {
    let digest = match strength {
        0 => md5::Md5::digest(bytes).to_vec(),
        1 => sha2::Sha256::digest(bytes).to_vec(),
        _ => sha2::Sha512_256::digest(bytes).to_vec(),
    };
    digest
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes())
        .collect()
}

/// Parses the parameters of an answer, strictly in the form that the core writes: `name=token` or `name="…"`,
/// separated by a comma and a space.
pub(crate) fn parameters(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = value
        .strip_prefix(b"Digest ")
        .expect("an answer starts with the scheme Digest");
    let mut parameters = Vec::new();
    loop {
        let equals = rest
            .iter()
            .position(|b| *b == b'=')
            .expect("a name ends at an equals sign");
        let (name, after) = rest.split_at(equals);
        rest = &after[1..];
        let mut value = Vec::new();
        if let Some(mut quoted) = rest.strip_prefix(b"\"") {
            loop {
                match quoted {
                    [b'"', after @ ..] => {
                        rest = after;
                        break;
                    }
                    [b'\\', escaped, after @ ..] => {
                        value.push(*escaped);
                        quoted = after;
                    }
                    [byte, after @ ..] => {
                        value.push(*byte);
                        quoted = after;
                    }
                    [] => panic!("a quoted string has no end"),
                }
            }
        } else {
            let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            value.extend(token);
            rest = after;
        }
        parameters.push((
            String::from_utf8(name.into()).expect("a name is UTF-8"),
            value,
        ));
        match rest {
            [] => return parameters,
            [b',', b' ', after @ ..] => rest = after,
            _ => panic!("a value is not followed by a comma and a space"),
        }
    }
}

/// Decodes an extended value in UTF-8 (RFC 8187 §3.2).
fn decode_extended(value: &[u8]) -> Vec<u8> {
    let mut rest = value
        .strip_prefix(b"UTF-8''")
        .expect("an extended value names UTF-8");
    let mut bytes = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            assert!(first.is_ascii_alphanumeric(), "{first:#x} is not encoded");
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at(2);
        let digits = std::str::from_utf8(digits).expect("hexadecimal digits are ASCII");
        bytes.push(
            u8::from_str_radix(digits, 16)
                .expect("a percent sign is followed by two hexadecimal digits"),
        );
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The core answers every row of the table at the top, and `http-auth` rejects it.
    #[test]
    fn known_differences_match_the_table() {
        let plain = r#"Digest realm="r", nonce="n", qop="auth""#;
        let rows = [
            format!("Negotiate YII=, {plain}").into_bytes(),
            b"Digest realm=\"\xe9\", nonce=\"n\", qop=\"auth\"".to_vec(),
            plain.replacen(' ', "  ", 1).into_bytes(),
            plain.replacen(' ', "\t", 1).into_bytes(),
            format!("{plain}, Basic realm=").into_bytes(),
        ];
        for row in rows {
            let header = HeaderValue::from_bytes(&row).expect("a valid header value");
            let headers = [header];
            assert!(
                Challenge::strongest(&headers, &Limits::default()).is_some(),
                "{headers:?}"
            );
            assert!(parse_with_http_auth(&headers).is_none(), "{headers:?}");
        }
        // Both parse this one.
        let headers = [HeaderValue::from_static(plain)];
        assert_eq!(parse_with_http_auth(&headers).map(|all| all.len()), Some(1));
    }
}
