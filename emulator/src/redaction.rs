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

/// The secrets of an emulator.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Secrets {
    /// Keeps only secrets that [`InvalidValue::looks_like_credential`] does not recognise inside a word. With
    /// generated keys, these are only a few.
    pub(crate) fn new<'s>(secrets: impl IntoIterator<Item = Cow<'s, str>>) -> Self {
        let mut word = String::new();
        let is_searched = |secret: &Cow<'s, str>| {
            word.clear();
            word.extend(["a", secret, "a"]);
            secret.len() >= MIN_SECRET && !InvalidValue::looks_like_credential(&word)
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
        let parts = replaced.split_inclusive(|c: char| " \t\r\n/?&=;,\"".contains(c));
        let redacted: String = parts
            .flat_map(|part| {
                let end = part.trim_end_matches(|c: char| " \t\r\n/?&=;,\"".contains(c));
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
        if !query.contains('%') && !is_secret_name(query) && !self.are_in(query) {
            return query.to_owned();
        }
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret_name(&percent_decoded(name)) => {
                Cow::Owned(format!("{name}={REDACTED}"))
            }
            _ => Cow::Borrowed(pair),
        });
        self.redact(&pairs.collect::<Vec<_>>().join("&"))
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
        match self.are_in(&unchanged) {
            true => write(&|value| self.redact(value)),
            false => unchanged,
        }
    }
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
    [
        "authorization",
        "cookie",
        "token",
        "secret",
        "passw",
        "apikey",
        "privatekey",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
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
                 uri=\"/a?b=plainsecret\", cnonce=\"c\", nc=00000001, qop=auth, algorithm=MD5, opaque=\"o\"",
                "Digest username=\"u\", realm=\"a \\\"b\\\"\", uri=\"/a?b=[redacted]\", algorithm=\"MD5\", \
                 qop=\"auth\", nc=\"00000001\", [redacted]",
            ),
        ] {
            assert_eq!(secrets().redact_authorization(value), expected, "{value}");
        }
    }
}
