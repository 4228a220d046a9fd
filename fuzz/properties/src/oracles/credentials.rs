//! A second implementation of the rules of credentials, and of what looks like one.

use super::unicode::is_unsafe;

/// The parts of credentials, each with what [`Credentials`](atlas_model_keys_core::Credentials) calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    AccessToken,
    ClientId,
    ClientSecret,
    PublicKey,
    /// The public key of the same API key is `abcdefgh`.
    PrivateKey,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access token",
            Self::ClientId => "client id",
            Self::ClientSecret => "client secret",
            Self::PublicKey => "public key",
            Self::PrivateKey => "private key",
        }
    }
}

/// Returns why a text cannot be this part of a credential, as a piece of the error's text. `None` means that it can.
pub(crate) fn refusal(part: Part, text: &str) -> Option<&'static str> {
    use Part as P;
    let is_id = text.starts_with("mdb_sa_id_");
    let is_public_key = text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase());
    let has_secret = text.contains("mdb_sa_sk_");
    let has_private_key = has_private_key(text);
    // The first that applies counts.
    let reasons = [
        (
            matches!(part, P::ClientId | P::PublicKey)
                && (has_secret || has_private_key || text.contains(':')),
            "it is, or holds, a secret",
        ),
        (
            part == P::PublicKey && is_id,
            "this is a service account's client id",
        ),
        (is_variable(text), "it is the name of a variable"),
        (text.starts_with(is_stray), "it begins with"),
        (text.ends_with(is_stray), "it ends with"),
        (is_model_key(text), "this is the secret of a model API key"),
        (part == P::ClientSecret && is_id, "this is a client id"),
        (
            matches!(part, P::AccessToken | P::PrivateKey) && (is_id || has_secret),
            "this is a service account's client id or client secret",
        ),
        (
            part == P::ClientId && is_public_key,
            "this is an API key's public key",
        ),
        (
            part == P::ClientSecret && has_private_key,
            "this is an API key's private key",
        ),
        (
            part != P::AccessToken && text.starts_with("eyJ"),
            "this is an access token",
        ),
        (
            part == P::PrivateKey && text == "abcdefgh",
            "it is the public key again",
        ),
    ];
    let is_sendable = match part {
        P::AccessToken => is_token(text),
        P::ClientId | P::ClientSecret => !text.contains(|c| !('!'..='~').contains(&c)),
        P::PublicKey | P::PrivateKey => !text.contains(char::is_control),
    };
    let reason = reasons.into_iter().find(|(applies, _)| *applies);
    match reason {
        Some((_, reason)) => Some(reason),
        None => (text.is_empty() || !is_sendable).then_some("must be"),
    }
}

/// Returns whether a text is a token (RFC 6750 §2.1): some of these characters, and then any number of `=`.
fn is_token(text: &str) -> bool {
    let is_character = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    text.starts_with(is_character) && !text.trim_start_matches(is_character).contains(|c| c != '=')
}

/// Returns whether a text is the name of a variable, as shells and Windows write it.
fn is_variable(text: &str) -> bool {
    let is_name = |name: &str| {
        let name = name.replace('_', "a");
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.contains(|c: char| !c.is_ascii_alphanumeric())
    };
    let windows = text
        .strip_prefix('%')
        .and_then(|text| text.strip_suffix('%'));
    text.starts_with("${")
        || text.starts_with("$(")
        || text.strip_prefix('$').is_some_and(is_name)
        || windows.is_some_and(is_name)
}

/// Returns whether a text begins or ends with this character only by mistake.
fn is_stray(c: char) -> bool {
    c.is_whitespace()
        || is_unsafe(c)
        || "\"'`´«»\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}".contains(c)
}

/// Returns whether a text has hexadecimal digits in the form of a UUID, which other groups of digits may precede and follow.
fn has_private_key(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let is_key_at = |start: usize| {
        (start == 0 || !is_digit(start - 1))
            && !is_digit(start + 36)
            && (start..start + 36).all(|at| match at - start {
                8 | 13 | 18 | 23 => bytes.get(at) == Some(&b'-'),
                _ => is_digit(at),
            })
    };
    (0..bytes.len().saturating_sub(35)).any(is_key_at)
}

/// Returns whether a text is the secret of a model API key that is not masked.
fn is_model_key(text: &str) -> bool {
    text.starts_with("al-") && text.len() >= 15 && !text.contains(|c| !is_in_word(c))
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Returns whether a text looks like a credential or contains one.
pub(crate) fn looks_like_credential(text: &str) -> bool {
    let has = |word: &str, is: fn(char) -> bool| word.contains(is);
    let is_secret = |word: &str| {
        word.starts_with("eyJ")
            || is_model_key(word)
            || word.len() > 31
                && has(word, |c| c.is_ascii_lowercase())
                && has(word, |c| c.is_ascii_uppercase())
                && has(word, |c| c.is_ascii_digit())
    };
    let rest_of_id = text.split_once("mdb_sa_id_").map(|(before, rest)| {
        !before.is_empty() || rest.len() > 24 || rest.contains(|c: char| !c.is_ascii_alphanumeric())
    });
    let lower = text.to_ascii_lowercase();
    let login = text.find(':').zip(text.rfind('@'));
    text.contains("mdb_sa_sk_")
        || has_private_key(text)
        || rest_of_id == Some(true)
        || text.split(|c| !is_in_word(c)).any(is_secret)
        || lower.contains("bearer ")
        || lower.contains("basic ")
        || login.is_some_and(|(colon, at)| colon < at)
}
