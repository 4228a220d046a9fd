//! No error shows a run of a secret, in any encoding, and a text without a secret is shown unchanged.
//!
//! **Input**: a byte for the credential (a bearer token, a service account, an API key, or a service
//! account for which the secret is the issued token); one for [`SMALL_TEXT_LIMIT`] and, in its other bits, the
//! status of responses (from [`STATUSES`]); a short text for the secret; then pieces of a text until the end of the
//! input, each a byte (see [`PieceCode`]) and its arguments.
//!
//! The secret has 1 to 64 visible ASCII characters; that of a bearer token only those that a token may have. The text
//! reaches errors in every possible way: as the error of a transport with the pieces in a chain of sources; in each
//! field of an error object from Atlas or the token endpoint, with any status, in an envelope, in a 200 and in a header;
//! as a body that is not JSON; and as the invalid part of a page or a token.
//!
//! **Properties**
//!
//! - A shown text contains no run of 12 characters of any secret that the session knows (no complete secret, if it is
//!   shorter), neither directly nor after up to three of the decodings below. This also holds for everything that an
//!   error shows: `Display`, `Debug`, and those of all its sources (unless the secret has a backslash, which `Debug`
//!   doubles; and without the punctuation of the messages).
//! - A run of a secret is replaced, together with the text after it up to the next space or quote, before the text is
//!   escaped and truncated; nothing else is replaced (if it is clear where a run ends).
//! - Every shown text is what a naive search in each decoded layer leaves of it: all runs are replaced, and nothing else. What
//!   is left is searched again, because what is replaced or truncated may be the end of an escape.
//! - A text without such a run, after up to four decodings, is shown unchanged, except that it is escaped and truncated.
//! - Every shown text is bounded, and has no character that a terminal would interpret.
//!
//! **Decoding** is implemented independently of the core. One decoding replaces each of these, from the beginning of
//! the text to its end:
//!
//! | text | decoded |
//! |---|---|
//! | `%41`, `%6a`, `%6A` | the byte |
//! | `\u0041`, `\ud83d\ude00`, `\u{41}`, `\x41` | the character |
//! | `\"`, `\'`, `\\`, `\/` | the second character |
//! | `\n`, `\r`, `\t`, `\b`, `\f` | the control character |
//! | `&#65;`, `&#x41;`, `&#X41;`, with or without a semicolon | the character |
//! | `&amp;` and [others](NAMED), with or without a semicolon | the character |
//! | a line feed or carriage return, and the white space after it | nothing |

use std::collections::{BTreeMap, BTreeSet};

use atlas_model_keys_core::{Limits, RetryPolicy};

mod errors;

pub use crate::generators::redaction::{
    ENCODINGS, Encoding, PIECE_CODES, PieceCode, SMALL_TEXT_LIMIT, STATUSES,
};
pub use crate::oracles::redaction::NAMED;

use crate::generators::redaction::{Input, planted, texts};
use crate::oracles::redaction::{
    MARKER, RUN, contains_run, escaped, has_run, layers, may_have_run, may_show_run, redacted,
};
use crate::oracles::unicode::has_unsafe;
use errors::{ErrorOutput, credentials, error_outputs, secrets};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(mut input) = crate::generators::bytes::read::<Input>(bytes) else {
        return;
    };
    if credentials(input.kind, &input.secret).is_err() {
        // Credentials that look like a mistake are rejected, but a server may issue such a token.
        input.kind = 3;
    }
    let mut limits = Limits::default();
    limits.retry = RetryPolicy::default();
    if input.flags & SMALL_TEXT_LIMIT != 0 {
        limits.detail_bytes = 40;
    }
    let secrets = secrets(input.kind, &input.secret);
    let texts = texts(&input.pieces, &secrets);
    let text = texts.concat();
    let planted = planted(&input.pieces, &secrets);
    // Most texts occur more than once.
    let mut distinct = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
    for output in error_outputs(&input, &limits, &texts) {
        let (all, texts) = distinct.entry(output.secrets).or_default();
        all.extend(output.all);
        texts.extend(output.texts);
    }
    for (secrets, (all, texts)) in distinct {
        for (shown, raw) in texts {
            // An escape that crosses the limit is completed, and an ellipsis follows.
            let most = limits.detail_bytes + 10 + '…'.len_utf8();
            assert!(shown.len() <= most, "{shown}");
            assert!(!has_unsafe(&shown), "{shown:?}");
            for secret in &secrets {
                let is_shown = contains_run(&shown, secret);
                assert!(
                    !is_shown,
                    "the secret {secret:?} is in {shown:?} for {raw:?}"
                );
            }
            let check_replaced = |text: &str| {
                let expected = escaped(text, limits.detail_bytes);
                // What is replaced or truncated may be the end of an escape, and the rest of it complete a run.
                let is_changed = may_show_run(&expected, &secrets);
                assert!(is_changed || shown == expected, "{shown:?} for {raw:?}");
            };
            // The session does not know a token before it is issued.
            let is_known = secrets.contains(&input.secret);
            let is_text = is_known && raw == text;
            if let Some(planted) = planted.as_ref().filter(|_| is_text)
                && !may_have_run(&planted.others, &secrets)
            {
                check_replaced(&planted.shown);
            }
            let expected = redacted(&raw, &secrets, limits.detail_bytes);
            assert_eq!(shown, expected, "{raw:?}");
            if !may_have_run(&raw, &secrets) {
                check_replaced(&raw);
            }
        }
        for shown in all {
            assert!(shown.len() < 40 * (1024 + 16), "{} bytes", shown.len());
            assert!(!has_unsafe(&shown), "{shown:?}");
            let layers = layers(shown.replace(MARKER, "\0").as_bytes(), 1);
            // Any text may contain a short secret, and the backslashes and quotation marks that `Debug` adds may look like a
            // part of a secret.
            let is_like_debug = |secret: &str| secret.contains(['\\', '"']);
            let is_searched = |secret: &&String| secret.len() >= RUN && !is_like_debug(secret);
            for secret in secrets.iter().filter(is_searched) {
                // A message writes punctuation next to a text, escapes have braces, and both together with the text may look
                // like a part of a secret.
                let parts = || {
                    let parts = secret.split(['(', ')', ':', ';', ',', '{', '}']);
                    parts.filter(|part| part.len() >= RUN)
                };
                let is_part_shown =
                    |layer: &Vec<u8>| parts().any(|part| has_run(layer, part.as_bytes()));
                let is_shown = layers.iter().any(is_part_shown);
                let is_leak = is_shown && !is_in_messages(&input, &limits, secret);
                assert!(!is_leak, "the secret {secret:?} is in {shown}");
            }
        }
    }
}

/// Returns whether the secret is a part of the error messages themselves.
fn is_in_messages(input: &Input, limits: &Limits, secret: &str) -> bool {
    let mut outputs = error_outputs(input, limits, &["-".to_owned()]).into_iter();
    outputs.any(|ErrorOutput { all, .. }| {
        all.iter()
            .any(|shown| has_run(shown.as_bytes(), secret.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::redaction::unescaped;

    #[test]
    fn each_encoding_of_a_secret_is_decoded() {
        let secret: String = ('!'..='~').collect();
        for encoding in ENCODINGS {
            let text: String = secret.chars().map(|c| encoding.encode(c)).collect();
            let layers = layers(text.as_bytes(), 3);
            let is_found = layers.iter().any(|layer| has_run(layer, secret.as_bytes()));
            assert!(is_found, "{encoding:?}: {text}");
        }
    }

    #[test]
    fn decoding_matches_the_table() {
        for (text, expected) in [
            (r"%41%6a%6A%zz%4", "Ajj%zz%4"),
            (
                r"\u0041\ud83d\ude00\u{41}\x41\ud800\u{}",
                r"A😀AA\ud800\u{}",
            ),
            (r#"\"\'\\\/\q"#, r#""'\/\q"#),
            ("\\n\\r\\t\\b\\f", "\n\r\t\u{8}\u{c}"),
            ("&#65;&#x41;&#X41&#65&#;&#x;", "AAAA&#;&#x;"),
            ("&amp;&ampx&unknown;", "&&x&unknown;"),
            ("a\r\n \tb\nc d", "abc d"),
            ("%2541", "%41"),
        ] {
            assert_eq!(
                String::from_utf8(layers(text.as_bytes(), 1).remove(1)),
                Ok(expected.into())
            );
        }
        assert_eq!(unescaped(r"a\u{1b}b\u{41}c\u{"), "a\u{1b}b\\u{41}c\\u{");
    }
}
