//! Chooses a Digest challenge, and computes what an answer must contain (RFC 7616).

use http::HeaderValue;
use http_auth::parser::ChallengeParser;
use http_auth::{ChallengeRef, ParamValue};
use sha2::Digest;

/// The values of a challenge that an answer depends on.
#[derive(Debug, PartialEq)]
pub(crate) struct ChallengeValues {
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) opaque: Option<Vec<u8>>,
    pub(crate) algorithm: Option<String>,
    pub(crate) userhash: bool,
    pub(crate) stale: bool,
}

/// A challenge of any scheme.
#[derive(Debug, PartialEq)]
pub(crate) struct AnyChallenge {
    scheme: Vec<u8>,
    /// The parameters, with their values unescaped.
    parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Parses every challenge of every header with `http-auth`. Returns `None` if it rejects one of them.
pub(crate) fn parse_with_http_auth(headers: &[HeaderValue]) -> Option<Vec<AnyChallenge>> {
    let mut challenges = Vec::new();
    for header in headers {
        let text = std::str::from_utf8(header.as_bytes()).ok()?;
        for challenge in ChallengeParser::new(text) {
            let ChallengeRef { scheme, params } = challenge.ok()?;
            let parameter = |(name, value): &(&str, ParamValue<'_>)| {
                ((*name).into(), value.to_unescaped().into_bytes())
            };
            challenges.push(AnyChallenge {
                scheme: scheme.into(),
                parameters: params.iter().map(parameter).collect(),
            });
        }
    }
    Some(challenges)
}

/// Returns the headers before the one that exceeds a limit of bytes in total.
pub(crate) fn within(headers: &[HeaderValue], most: usize) -> &[HeaderValue] {
    let mut bytes = 0;
    let is_within = |header: &&HeaderValue| {
        bytes += header.len();
        bytes <= most
    };
    &headers[..headers.iter().take_while(is_within).count()]
}

/// Returns the challenges of each header before the first syntax error (RFC 9110 §11.6.1). If the error is in the value of a
/// parameter, its challenge is lost, too.
pub(crate) fn parse(headers: &[HeaderValue]) -> Vec<AnyChallenge> {
    let headers = headers.iter().map(HeaderValue::as_bytes);
    headers.flat_map(parse_header).collect()
}

fn parse_header(header: &[u8]) -> Vec<AnyChallenge> {
    let mut challenges: Vec<AnyChallenge> = Vec::new();
    // Whether parameters may follow. None follow a `token68`.
    let mut is_open = false;
    for element in elements(header) {
        let mut rest = element.trim_ascii();
        while !rest.is_empty() {
            let length = rest.iter().take_while(|byte| is_token_byte(byte)).count();
            let (name, after) = rest.split_at(length);
            let value = after.trim_ascii().strip_prefix(b"=");
            match (value, challenges.last_mut().filter(|_| is_open)) {
                _ if name.is_empty() => return challenges,
                (Some(value), Some(challenge)) => {
                    let Some(value) = parse_value(value.trim_ascii()) else {
                        challenges.pop();
                        return challenges;
                    };
                    challenge.parameters.push((name.to_vec(), value));
                    rest = b"";
                }
                _ if !after.is_empty() && !after.starts_with(b" ") && !after.starts_with(b"\t") => {
                    return challenges;
                }
                _ => {
                    challenges.push(AnyChallenge {
                        scheme: name.to_vec(),
                        parameters: Vec::new(),
                    });
                    rest = after.trim_ascii();
                    is_open = !is_token68(rest);
                    if !is_open {
                        rest = b"";
                    }
                }
            }
        }
    }
    challenges
}

/// Splits a list at the commas that are not in a quoted string.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |byte| {
        let is_comma = *byte == b',' && !is_quoted;
        is_quoted ^= *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && is_quoted && !is_escaped;
        is_comma
    })
}

fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte)
}

/// Returns whether a text is a `token68` (RFC 9110 §11.2).
fn is_token68(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let is_character = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    text.starts_with(is_character)
        && text
            .trim_start_matches(is_character)
            .chars()
            .all(|c| c == '=')
}

/// Returns the value of a whole token or quoted string, unescaped.
fn parse_value(text: &[u8]) -> Option<Vec<u8>> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let is_token = !text.is_empty() && text.iter().all(is_token_byte);
        return is_token.then(|| text.to_vec());
    };
    let mut value = Vec::new();
    loop {
        rest = match rest {
            b"\"" => return Some(value),
            [b'"', ..] => return None,
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                value.push(*byte);
                rest
            }
            [] => return None,
        };
    }
}

/// Returns the strength of an algorithm's hash, and whether it is a `-sess` variant.
pub(crate) fn parse_algorithm(algorithm: Option<&str>) -> Option<(u8, bool)> {
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

/// Returns the strength of a challenge and its values, or `None` if it cannot be answered (RFC 7616 §3.3).
fn usable(challenge: &AnyChallenge) -> Option<(u8, ChallengeValues)> {
    if !challenge.scheme.eq_ignore_ascii_case(b"digest") {
        return None;
    }
    let names = [
        "realm",
        "nonce",
        "opaque",
        "algorithm",
        "qop",
        "stale",
        "userhash",
    ];
    let mut values: [Option<&[u8]>; 7] = [None; 7];
    for (name, value) in &challenge.parameters {
        let known = names
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if known.is_some_and(|known| values[known].replace(value).is_some()) {
            return None;
        }
    }
    let [realm, nonce, opaque, algorithm, qop, stale, userhash] = values;
    let is_true = |value: Option<&[u8]>| value.is_some_and(|v| v.eq_ignore_ascii_case(b"true"));
    let mut options = qop?.split(|byte| b", \t".contains(byte));
    options.find(|option| option.eq_ignore_ascii_case(b"auth"))?;
    let algorithm = algorithm.map(String::from_utf8_lossy);
    let (strength, _) = parse_algorithm(algorithm.as_deref())?;
    let values = ChallengeValues {
        realm: realm?.into(),
        nonce: nonce?.into(),
        opaque: opaque.map(Vec::from),
        algorithm: algorithm.map(|name| name.to_ascii_lowercase()),
        userhash: is_true(userhash),
        stale: is_true(stale),
    };
    Some((strength, values))
}

/// Returns the first of the strongest usable challenges.
pub(crate) fn strongest(challenges: &[AnyChallenge]) -> Option<ChallengeValues> {
    let usable = challenges.iter().filter_map(usable);
    let stronger = |best: (u8, _), next: (u8, _)| if next.0 > best.0 { next } else { best };
    usable.reduce(stronger).map(|(_, values)| values)
}

/// Returns the hexadecimal digits of a hash of this strength.
pub(crate) fn hex(strength: u8, bytes: &[u8]) -> Vec<u8> {
    let digest = match strength {
        0 => md5::Md5::digest(bytes).to_vec(),
        1 => sha2::Sha256::digest(bytes).to_vec(),
        _ => sha2::Sha512_256::digest(bytes).to_vec(),
    };
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    digest
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Returns the response to a challenge with `qop=auth` (RFC 7616 §3.4.1). The parts are those of `A1` (user, realm and password),
/// the nonce with its count and the client's nonce, and those of `A2` (method and target).
pub(crate) fn response(
    (strength, is_session): (u8, bool),
    a1: [&[u8]; 3],
    [nonce, count, cnonce]: [&[u8]; 3],
    a2: [&[u8]; 2],
) -> Vec<u8> {
    let hash = |parts: &[&[u8]]| hex(strength, &parts.join(&b':'));
    let mut a1 = hash(&a1);
    if is_session {
        a1 = hash(&[&a1, nonce, cnonce]);
    }
    hash(&[&a1, nonce, count, cnonce, b"auth", &hash(&a2)])
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
                    [_, ..] => {
                        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
                        let plain = quoted.iter().position(is_special);
                        let (plain, after) = quoted.split_at(plain.unwrap_or(quoted.len()));
                        value.extend(plain);
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
pub(crate) fn decode_extended(value: &[u8]) -> Vec<u8> {
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
