//! Removes credentials from the record of a request.

use std::borrow::Cow;
use std::fmt;

use atlas_model_keys_core::InvalidValue;
use http::header::{self, HeaderName};

use crate::digest;
use crate::query::percent_decoded;

/// The text that replaces a credential.
pub(crate) const REDACTED: &str = "[redacted]";

/// The minimum length of a secret that is searched for. Shorter texts appear by chance.
const MIN_SECRET: usize = 6;

/// The maximum number of times that a text is percent-decoded.
const MAX_DECODED: usize = 3;

/// The characters between the parts of a text.
const SEPARATORS: &[char] = &[' ', '\t', '\r', '\n', '/', '?', '&', '=', ';', ',', '"'];

/// The secrets of an emulator.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Secrets {
    /// Keeps only secrets that [`InvalidValue::looks_like_credential`] does not recognise alone, inside a word, or as
    /// a whole. With generated keys, these are only a few.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = Cow<'s, str>>) -> Self {
        let mut word = String::new();
        let is_searched = |secret: &Cow<'s, str>| {
            word.clear();
            word.extend(["a", secret, "a"]);
            let is_recognised = !secret.contains(SEPARATORS)
                && InvalidValue::looks_like_credential(secret)
                && InvalidValue::looks_like_credential(&word);
            secret.len() >= MIN_SECRET && !is_recognised
        };
        let secrets = secrets.into_iter().filter(is_searched);
        Self(secrets.map(Cow::into_owned).collect())
    }

    /// Returns whether the text contains a secret, or something that looks like one, also percent-encoded.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let mut text = Cow::Borrowed(text);
        for _ in 0..MAX_DECODED {
            if InvalidValue::looks_like_credential(&text)
                || self.0.iter().any(|secret| text.contains(secret))
            {
                return true;
            }
            if !text.contains('%') {
                return false;
            }
            let decoded = percent_decoded(&text);
            if decoded == *text {
                return false;
            }
            text = Cow::Owned(decoded);
        }
        // It is encoded so often that it cannot be a usual value.
        true
    }

    /// Replaces the parts of a text that contain a secret; parts are words, segments of a path, and names and
    /// values of a query.
    pub(crate) fn redact(&self, text: &str) -> String {
        if !self.are_in(text) {
            return text.to_owned();
        }
        let replaced = self.0.iter().fold(Cow::Borrowed(text), |text, secret| {
            match text.contains(secret) {
                true => Cow::Owned(text.replace(secret, REDACTED)),
                false => text,
            }
        });
        let parts = replaced.split_inclusive(SEPARATORS);
        let redacted: String = parts
            .flat_map(|part| {
                let end = part.trim_end_matches(SEPARATORS);
                let after = part.get(end.len()..).unwrap_or_default();
                [if self.are_in(end) { REDACTED } else { end }, after]
            })
            .collect();
        // A secret may have several parts, such as `Bearer` and a token.
        match self.are_in(&redacted) {
            true => REDACTED.to_owned(),
            false => redacted,
        }
    }

    /// Redacts a query, and also the value of each parameter whose name says that it is a secret.
    pub(crate) fn redact_query(&self, query: &str) -> String {
        let redacted: String = query
            .split_inclusive(['&', ';'])
            .flat_map(|part| {
                let pair = part.trim_end_matches(['&', ';']);
                let after = part.get(pair.len()..).unwrap_or_default();
                [self.redact_pair(pair), Cow::Borrowed(after)]
            })
            .collect();
        self.redact(&redacted)
    }

    fn redact_pair<'p>(&self, pair: &'p str) -> Cow<'p, str> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = fully_decoded(value);
        if is_secret_name(&fully_decoded(name)) && pair.contains('=')
            // In a form, a plus sign is a space.
            || value.contains('+') && self.are_in(&value.replace('+', " "))
            // A value may contain a query of its own.
            || decoded.contains(['=', '&', ';']) && is_secret_name(&decoded)
        {
            return Cow::Owned(format!("{name}={REDACTED}"));
        }
        let decoded = fully_decoded(name);
        match decoded.contains(['=', '&', ';']) && is_secret_name(&decoded) {
            true => Cow::Borrowed(REDACTED),
            false => Cow::Borrowed(pair),
        }
    }

    /// Redacts a text that may be a URL: what follows a question mark is redacted as a query.
    pub(crate) fn redact_url(&self, text: &str) -> String {
        match text.split_once('?') {
            Some((path, query)) => {
                format!("{}?{}", self.redact(path), self.redact_query(query))
            }
            None => self.redact(text),
        }
    }

    /// Redacts the value of `Authorization`. The scheme stays, and those parameters of digest
    /// authentication that are no secret.
    pub(crate) fn redact_authorization(&self, value: &str) -> String {
        let Some((scheme, rest)) = value.split_once(' ') else {
            return REDACTED.to_owned();
        };
        let known = ["Basic", "Bearer", "Digest"];
        if !known.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return REDACTED.to_owned();
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return format!("{scheme} {REDACTED}");
        }
        let parameters: Vec<_> = digest::harmless_parameters(rest).collect();
        let write = |redact: &dyn Fn(&str) -> String| {
            let parameters = parameters.iter().map(|(name, value)| {
                let value = redact(value).replace('\\', r"\\").replace('"', r#"\""#);
                format!("{name}=\"{value}\", ")
            });
            format!("{scheme} {}{REDACTED}", parameters.collect::<String>())
        };
        // One search in all parameters together is faster than one in each.
        let unchanged = write(&str::to_owned);
        match unchanged.contains('?') || self.are_in(&unchanged) {
            true => write(&|value| self.redact_url(value)),
            false => unchanged,
        }
    }
}

/// Percent-decodes a text repeatedly.
fn fully_decoded(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_DECODED {
        if !text.contains('%') {
            break;
        }
        text = Cow::Owned(percent_decoded(&text));
    }
    text
}

/// Returns whether the value of a header is a credential in any case.
pub(crate) fn is_secret_header(name: &HeaderName) -> bool {
    // These are in most requests, and a few comparisons are faster than the search.
    let usual = [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::HOST,
        header::USER_AGENT,
    ];
    !usual.contains(name) && is_secret_name(name.as_str())
}

/// Returns whether a name says that its value is a secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    let words = [
        "authorization",
        "authentication",
        "cookie",
        "token",
        "secret",
        "passw",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
        "signature",
        "session",
        "assertion",
        "jwt",
        "xauth",
    ];
    let whole = ["auth", "code", "key", "pass", "pwd", "sig"];
    words.iter().any(|word| name.contains(word)) || whole.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::new(
            [
                "odd/secret=1",
                "plainsecret",
                "short",
                "mdb_sa_sk_recognised_anyway",
            ]
            .map(Cow::Borrowed),
        )
    }

    #[test]
    fn only_secrets_that_are_not_recognised_are_kept() {
        assert_eq!(secrets().0, ["odd/secret=1", "plainsecret"]);
        // Alone, these are not recognised, or only in part.
        for odd in [
            "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            "Abcdefghijklmnopqrstuvwxyz01234",
            "mdb_sa_sk_abc/hunter2tail",
        ] {
            let secrets = Secrets::new([Cow::Borrowed(odd)]);
            assert_eq!(secrets.redact(&format!("/a/{odd}/b")), "/a/[redacted]/b");
        }
    }

    #[test]
    fn part_with_a_secret_is_replaced() {
        for (text, expected) in [
            ("/a/b?c=d", "/a/b?c=d"),
            ("/a/plainsecret/b", "/a/[redacted]/b"),
            ("/a/xplainsecretx/b", "/a/x[redacted]x/b"),
            ("/a/plain%73ecret/b", "/a/[redacted]/b"),
            ("/a/plain%2573ecret/b", "/a/[redacted]/b"),
            ("/a/plain%25252573ecret/b", "/a/[redacted]/b"),
            ("/a/odd/secret=1/b", "/a/[redacted]/b"),
            ("/a/odd%2fsecret%3D1/b", "/a/[redacted]/b"),
            ("q=al-abcdefghijkl&n=1", "q=[redacted]&n=1"),
            ("q=%61l-abcdefghijkl&n=1", "q=[redacted]&n=1"),
            ("curl/8 eyJhbGci", "curl/8 [redacted]"),
            ("x Bearer y", REDACTED),
            ("https://me:hunter2@host/", "https://[redacted]/"),
            ("100%", "100%"),
            ("100%25", "100%25"),
        ] {
            assert_eq!(secrets().redact(text), expected, "{text}");
        }
    }

    #[test]
    fn value_of_a_secret_parameter_is_replaced() {
        assert_eq!(
            secrets().redact_query("a=1&access_token=hunter2&b&clientSecret=x&%74oken=y"),
            "a=1&access_token=[redacted]&b&clientSecret=[redacted]&%74oken=[redacted]"
        );
        for (query, expected) in [
            ("a=1;access_token=hunter2", "a=1;access_token=[redacted]"),
            ("a=1%26access_token=hunter2", "a=[redacted]"),
            ("access_token%3Dhunter2&b=1", "[redacted]&b=1"),
            (
                "%2561ccess_%2574oken=hunter2",
                "%2561ccess_%2574oken=[redacted]",
            ),
            ("a=Bearer+hunter2", "a=[redacted]"),
            ("key=hunter2&author=x", "key=[redacted]&author=x"),
        ] {
            assert_eq!(secrets().redact_query(query), expected);
        }
        assert_eq!(
            secrets().redact_url("http://h/a?b=1&client_secret=hunter2"),
            "http://h/a?b=1&client_secret=[redacted]"
        );
    }

    #[test]
    fn scheme_and_harmless_digest_parameters_stay() {
        for (value, expected) in [
            ("Bearer eyJ.x", "Bearer [redacted]"),
            ("basic aHVudGVyMg==", "basic [redacted]"),
            ("hunter2", REDACTED),
            ("hunter2 x", REDACTED),
            ("Digest hunter2", "Digest [redacted]"),
            (
                "Digest nonce=\"n\", username=\"u\", response=\"r\", realm=\"a \\\"b\\\"\", \
                 uri=\"/a?b=plainsecret&token=x\", cnonce=\"c\", nc=00000001, qop=auth, algorithm=MD5, opaque=\"o\"",
                "Digest username=\"u\", realm=\"a \\\"b\\\"\", uri=\"/a?b=[redacted]&token=[redacted]\", algorithm=\"MD5\", \
                 qop=\"auth\", nc=\"00000001\", [redacted]",
            ),
        ] {
            assert_eq!(secrets().redact_authorization(value), expected, "{value}");
        }
    }
}
