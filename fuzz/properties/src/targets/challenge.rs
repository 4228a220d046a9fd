//! A Digest challenge is parsed as another parser does it, and its answer is correct.
//!
//! **Input**: a byte that selects the user (from [`USERS`]) and one that selects the limits; the rest is text,
//! in which each line is a `WWW-Authenticate` header.
//!
//! **Properties**
//!
//! - The core uses the challenge that RFC 7616 requires: the first of the strongest known ones with `qop=auth`, a realm and a
//!   nonce, in which no parameter occurs twice. A second parser finds the challenges within the limits, also with each limit
//!   set to exactly what the headers need, and to one less. If `http-auth` parses every header, it finds the same ones.
//! - Every answer is one line in the form of RFC 7616 §3.4, repeats realm, nonce and opaque, counts up, and
//!   contains the response that an independent computation gives; it is marked sensitive.
//! - No part of the password is shown.
//!
//! **Known differences** from `http-auth`, which rejects all of these texts:
//!
//! | case | the core | `http-auth` |
//! |---|---|---|
//! | `token68` (RFC 9110 §11.2) | skips the challenge | rejects |
//! | bytes beyond ASCII in a quoted string (RFC 9110 §5.6.4: `obs-text`) | accepts them | rejects |
//! | more than one space after a scheme, or a tab (RFC 9110 §11.3) | accepts it | rejects |
//! | after the first syntax error | keeps the challenges before it | rejects |

use atlas_model_keys_core::Limits;
use atlas_model_keys_core::digest::{Answerer, Challenge};
use http::HeaderValue;

pub use crate::generators::challenge::USERS;
pub(crate) use crate::oracles::digest::parameters;

use crate::generators::bytes as input;
use crate::generators::challenge::Input;
use crate::oracles::digest::{
    ChallengeValues, decode_extended, hex, parse, parse_algorithm, parse_with_http_auth, response,
    strongest, within,
};
use crate::oracles::shown;

const METHOD: &str = "GET";
const TARGET: &str = "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys?pageNum=2";

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input>(bytes) else {
        return;
    };
    let headers = &input.headers;
    let challenge = assert_strongest(headers, &input.limits, input.user);
    // Each limit is exactly what the headers need, and one less.
    let count = parse(headers).len();
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
    let headers = within(headers, limits.challenge_bytes);
    let mut challenges = parse(headers);
    if let Some(others) = parse_with_http_auth(headers) {
        assert_eq!(challenges, others);
    }
    challenges.truncate(limits.challenges);
    assert_eq!(answered, strongest(&challenges));
    challenge
}

/// Answers a challenge three times, checks the answers, and returns the values that they repeat.
fn answer(challenge: &Challenge, (user, password): (&str, &str)) -> ChallengeValues {
    let mut answerer = Answerer::new(challenge.clone(), user, password, [0xa5; 16]);
    let first = check_answer(&mut answerer, user, password, 1);
    let second = check_answer(&mut answerer, user, password, 2);
    assert_eq!(first, second);
    answerer.set_count(0xfedc_ba97);
    check_answer(&mut answerer, user, password, 0xfedc_ba98);
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

    let due = response(
        (strength, session),
        [name, &realm, password.as_bytes()],
        [&nonce, nc.as_bytes(), &cnonce],
        [METHOD.as_bytes(), TARGET.as_bytes()],
    );
    assert_eq!(need("response"), due);
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
