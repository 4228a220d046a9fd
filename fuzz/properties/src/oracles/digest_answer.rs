//! Answers to Digest challenges, written and parsed without the code that is checked.

use std::collections::HashMap;
use std::fmt::Write as _;

use atlas_model_keys_emulator::DigestAlgorithm;

use crate::oracles::digest;

/// The value of `Authorization` after `Digest `, with `qop=auth`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) user: String,
    pub(crate) has_user_hash: bool,
    pub(crate) realm: String,
    pub(crate) nonce: String,
    pub(crate) uri: String,
    pub(crate) algorithm: DigestAlgorithm,
    pub(crate) cnonce: String,
    pub(crate) count: u32,
    /// The count as it was sent.
    pub(crate) nc: String,
    pub(crate) response: String,
}

impl Answer {
    /// Parses parameters, or returns `None` if one is malformed, missing or there twice.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parameters = HashMap::new();
        for parameter in text.split(", ") {
            let (name, value) = parameter.split_once('=')?;
            let unquoted = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'));
            let known = parameters.insert(name.to_ascii_lowercase(), unquoted.unwrap_or(value));
            known.is_none().then_some(())?;
        }
        let mut take = |name| parameters.remove(name).map(str::to_owned);
        let nc = take("nc")?;
        let is_count = nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit());
        let answer = Self {
            user: take("username")?,
            has_user_hash: match take("userhash").as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return None,
            },
            realm: take("realm")?,
            nonce: take("nonce")?,
            uri: take("uri")?,
            algorithm: match take("algorithm") {
                None => DigestAlgorithm::Md5,
                Some(name) => algorithm(&name)?,
            },
            cnonce: take("cnonce").filter(|cnonce| !cnonce.is_empty())?,
            count: u32::from_str_radix(&nc, 16).ok().filter(|_| is_count)?,
            nc,
            response: take("response")?,
        };
        (take("qop")? == "auth").then_some(answer)
    }

    /// Returns whether the answer names this user, in plain text or hashed (RFC 7616 §3.4.4).
    pub(crate) fn is_of(&self, user: &str) -> bool {
        match self.has_user_hash {
            true => self.user.eq_ignore_ascii_case(&self.user_hash(user)),
            false => self.user == user,
        }
    }

    pub(crate) fn user_hash(&self, user: &str) -> String {
        let (strength, _) = self.strength();
        text(digest::hex(
            strength,
            format!("{user}:{}", self.realm).as_bytes(),
        ))
    }

    /// Returns the response of this user.
    pub(crate) fn right_response(&self, user: &str, password: &str, method: &str) -> String {
        text(digest::response(
            self.strength(),
            [user, &self.realm, password].map(str::as_bytes),
            [&self.nonce, &self.nc, &self.cnonce].map(|text| text.as_bytes()),
            [method, &self.uri].map(str::as_bytes),
        ))
    }

    /// Returns the strength of the algorithm's hash, and whether it is a `-sess` variant.
    fn strength(&self) -> (u8, bool) {
        digest::parse_algorithm(Some(&self.algorithm.to_string())).expect("all of them are known")
    }

    /// Returns the value of `Authorization`, with these further parameters.
    pub(crate) fn to_header(&self, has_algorithm: bool, rest: &str) -> String {
        let Self {
            user,
            realm,
            nonce,
            uri,
            cnonce,
            nc,
            response,
            ..
        } = self;
        let mut text = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             cnonce=\"{cnonce}\", nc={nc}, response=\"{response}\""
        );
        if has_algorithm {
            let _ = write!(text, ", algorithm={}", self.algorithm);
        }
        if self.has_user_hash {
            text.push_str(", userhash=true");
        }
        text + rest
    }
}

fn algorithm(name: &str) -> Option<DigestAlgorithm> {
    use DigestAlgorithm as A;
    Some(match name.to_ascii_lowercase().as_str() {
        "md5" => A::Md5,
        "md5-sess" => A::Md5Sess,
        "sha-256" => A::Sha256,
        "sha-256-sess" => A::Sha256Sess,
        "sha-512-256" => A::Sha512_256,
        "sha-512-256-sess" => A::Sha512_256Sess,
        _ => return None,
    })
}

fn text(digits: Vec<u8>) -> String {
    String::from_utf8(digits).expect("hexadecimal digits are ASCII")
}
