//! A Digest challenge is understood as another parser understands it, and its answer verifies.
//!
//! **Input**: a byte that chooses the user (of [`USERS`]) and one that chooses the limits; the rest is text, each
//! line of it a `WWW-Authenticate` header.
//!
//! **Properties**
//!
//! - Where `http-auth` parses every header, the core takes the challenge that the rules of RFC 7616 make of its
//!   parameters: the first of the strongest known ones, with `qop=auth`, a realm and a nonce, no parameter twice.
//! - Whatever is answered: the answer is one line in the form of RFC 7616 §3.4, repeats realm, nonce and opaque,
//!   counts up, and has the response that an independent computation gives; it is marked sensitive.
//! - Nothing of the password is shown.
//!
//! **Known disagreements** with `http-auth`, all of them texts that it refuses altogether (so that only the
//! second property is checked of them):
//!
//! | where | the core | `http-auth` |
//! |---|---|---|
//! | `token68` (RFC 9110 §11.2) | skips the challenge | refuses |
//! | bytes beyond ASCII in a quoted string (RFC 9110 §5.6.4: `obs-text`) | reads them | refuses |
//! | more than one space behind a scheme, or a tab (RFC 9110 §11.3) | reads it | refuses |
//! | after the first thing that is not of the grammar | what came before it counts | refuses |

use arbitrary::{Arbitrary, Unstructured};
use atlas_model_keys_core::Limits;
use atlas_model_keys_core::digest::{Answerer, Challenge};
use http::HeaderValue;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use sha2::Digest;

use crate::{input, shown};

/// Names and passwords.
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

/// What is known of a challenge.
#[derive(Debug, PartialEq)]
struct Known {
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
    let challenge = Challenge::strongest(&input.headers, &input.limits);
    let expected = second_reading(&input.headers);
    let is_all = input.limits == Limits::default() && fits(&input.headers, &input.limits);
    if let Some(challenges) = &expected
        && is_all
        && challenges.len() <= input.limits.challenges
    {
        let best = strongest(challenges);
        assert_eq!(
            challenge.is_some(),
            best.is_some(),
            "{challenge:?}, but {best:?}"
        );
    }
    let Some(challenge) = challenge else { return };
    let answered = answer(&challenge, input.user);
    assert_eq!(answered.stale, challenge.is_stale());
    if let Some(challenges) = expected {
        let known: Vec<Known> = challenges.iter().filter_map(known).collect();
        match strongest(&challenges) {
            Some(best) if is_all && challenges.len() <= input.limits.challenges => {
                assert_eq!(answered, best);
            }
            // Within smaller limits, one of them at least.
            _ => assert!(known.contains(&answered), "{answered:?} of {known:?}"),
        }
    }
}

fn fits(headers: &[HeaderValue], limits: &Limits) -> bool {
    headers.iter().map(HeaderValue::len).sum::<usize>() <= limits.challenge_bytes
}

/// Every challenge of every header; `None` where `http-auth` refuses one of them.
fn second_reading(headers: &[HeaderValue]) -> Option<Vec<ChallengeRef<'_>>> {
    let mut challenges = Vec::new();
    for header in headers {
        let text = std::str::from_utf8(header.as_bytes()).ok()?;
        for challenge in ChallengeParser::new(text) {
            challenges.push(challenge.ok()?);
        }
    }
    Some(challenges)
}

/// The hash of an algorithm, and whether it is bound to the session.
fn hash_of(algorithm: Option<&str>) -> Option<(u8, bool)> {
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
    Some((u8::try_from(strength).expect("there are three"), session))
}

/// RFC 7616 §3.3.
fn known(challenge: &ChallengeRef<'_>) -> Option<Known> {
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
    hash_of(algorithm.as_deref())?;
    Some(Known {
        realm: value("realm")?.into(),
        nonce: value("nonce")?.into(),
        opaque: value("opaque").map(Vec::from),
        algorithm: algorithm.map(|name| name.to_ascii_lowercase()),
        userhash: is_true("userhash"),
        stale: is_true("stale"),
    })
}

/// The first of the strongest.
fn strongest(challenges: &[ChallengeRef<'_>]) -> Option<Known> {
    let strength = |known: &Known| hash_of(known.algorithm.as_deref()).map(|(hash, _)| hash);
    let known = challenges.iter().filter_map(known);
    known.reduce(|best, next| {
        if strength(&next) > strength(&best) {
            next
        } else {
            best
        }
    })
}

/// Answers a challenge, checks the answers, and tells what they say of it.
fn answer(challenge: &Challenge, (user, password): (&str, &str)) -> Known {
    let mut answerer = Answerer::new(challenge.clone(), user, password, [0xa5; 16]);
    let first = verify(&mut answerer, user, password, 1);
    let second = verify(&mut answerer, user, password, 2);
    assert_eq!(first, second);
    answerer.count_from(0xfffe);
    verify(&mut answerer, user, password, 0xffff);
    answerer.count_from(u32::MAX);
    assert!(answerer.authorization(METHOD, TARGET, [0; 16]).is_none());
    assert_eq!(answerer.nonce(), first.nonce);
    let shown = format!("{challenge:?} {answerer:?}");
    shown::no_secret(&shown, &[password]);
    Known {
        stale: challenge.is_stale(),
        ..first
    }
}

/// The next answer, computed again from what it says. (It does not say `stale`.)
fn verify(answerer: &mut Answerer, user: &str, password: &str, count: u32) -> Known {
    let fresh = [u8::try_from(count & 0xff).expect("a byte"); 16];
    let value = answerer
        .authorization(METHOD, TARGET, fresh)
        .expect("its bytes are a header's");
    assert!(value.is_sensitive());
    assert_eq!(answerer.count(), count);
    let parameters = parameters(value.as_bytes());
    let get = |name: &str| {
        let mut named = parameters.iter().filter(|(known, _)| known == name);
        let value = named.next().map(|(_, value)| value.clone());
        assert!(named.next().is_none(), "{name} is there twice");
        value
    };
    let need = |name: &str| get(name).unwrap_or_else(|| panic!("{name} is missing"));

    let text = |name: &str| get(name).map(|value| String::from_utf8(value).expect("it is ASCII"));
    let algorithm = text("algorithm");
    let (strength, session) = hash_of(algorithm.as_deref()).expect("it is a known one");
    let hash = |parts: &[&[u8]]| hex(strength, &parts.join(&b':'));
    let (realm, nonce, cnonce) = (need("realm"), need("nonce"), need("cnonce"));
    let userhash = get("userhash").is_some_and(|value| value == b"true");
    let name = user.as_bytes();
    match (userhash, user.is_ascii()) {
        (true, _) => assert_eq!(need("username"), hash(&[name, &realm])),
        (false, true) => assert_eq!(need("username"), name),
        (false, false) => assert_eq!(extended(&need("username*")), name),
    }
    // The client's nonce is the first one for as long as the session.
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
    shown::no_secret(&shown, &[password.escape_default().to_string()]);
    Known {
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

/// The parameters of an answer, in exactly the form that we write: `name=token` or `name="…"`, and a comma
/// and a space between them.
pub(crate) fn parameters(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = value.strip_prefix(b"Digest ").expect("it is a Digest");
    let mut parameters = Vec::new();
    loop {
        let equals = rest.iter().position(|b| *b == b'=').expect("a name");
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
                    [] => panic!("a quote has no end"),
                }
            }
        } else {
            let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            value.extend(token);
            rest = after;
        }
        parameters.push((String::from_utf8(name.into()).expect("a name"), value));
        match rest {
            [] => return parameters,
            [b',', b' ', after @ ..] => rest = after,
            _ => panic!("something is behind a value"),
        }
    }
}

/// RFC 8187 §3.2, in UTF-8.
fn extended(value: &[u8]) -> Vec<u8> {
    let mut rest = value.strip_prefix(b"UTF-8''").expect("it is in UTF-8");
    let mut bytes = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            assert!(
                first.is_ascii_alphanumeric(),
                "{first:#x} has to be encoded"
            );
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at(2);
        let digits = std::str::from_utf8(digits).expect("ASCII");
        bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the table at the top is answered by the core, and refused by `http-auth`.
    #[test]
    fn the_known_disagreements_are_as_they_say() {
        let plain = r#"Digest realm="r", nonce="n", qop="auth""#;
        let rows = [
            format!("Negotiate YII=, {plain}").into_bytes(),
            b"Digest realm=\"\xe9\", nonce=\"n\", qop=\"auth\"".to_vec(),
            plain.replacen(' ', "  ", 1).into_bytes(),
            plain.replacen(' ', "\t", 1).into_bytes(),
            format!("{plain}, Basic realm=").into_bytes(),
        ];
        for row in rows {
            let header = HeaderValue::from_bytes(&row).expect("it is a value");
            let headers = [header];
            assert!(
                Challenge::strongest(&headers, &Limits::default()).is_some(),
                "{headers:?}"
            );
            assert!(second_reading(&headers).is_none(), "{headers:?}");
        }
        // And what both read.
        let headers = [HeaderValue::from_static(plain)];
        assert_eq!(second_reading(&headers).map(|all| all.len()), Some(1));
    }
}
