//! Checks credentials.

use atlas_model_keys_core::Credentials;

use super::{assert_no_value, assert_rejection};
use crate::oracles::unicode::is_unsafe;

/// Checks a text as each part of a credential: it is accepted exactly if it can be sent and is not a likely mistake,
/// and no error shows a possible secret.
pub(super) fn check(text: &str) {
    let is_graphic = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let is_printable = !text.is_empty() && !text.contains(char::is_control);
    let is_token = {
        let bare = text.trim_end_matches('=');
        !bare.is_empty()
            && bare
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
    };
    // The core rejects likely mistakes: the name of a variable, quotes or spaces around a value, and another
    // credential. Whether such a text is accepted is not checked here.
    let is_stray = |c: char| {
        c.is_whitespace()
            || is_unsafe(c)
            || "\"'`´«»\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}".contains(c)
    };
    let is_paste_error = text.starts_with(['$', '%'])
        || text.starts_with(is_stray)
        || text.ends_with(is_stray)
        || ["eyJ", "al-", "mdb_sa_id_"]
            .iter()
            .any(|form| text.starts_with(form))
        || text.contains("mdb_sa_sk_")
        || text.len() == 8 && text.bytes().all(|b| b.is_ascii_lowercase());
    let is_likely_mistake =
        is_paste_error || text.contains(':') || text.contains("mdb_sa_") || text.contains('-');
    let cases = [
        (
            "access token",
            Credentials::bearer(text),
            (!is_paste_error).then_some(is_token),
        ),
        (
            "client secret",
            Credentials::service_account("mdb_sa_id_1", text),
            (!is_paste_error && !text.contains('-')).then_some(is_graphic),
        ),
        (
            "private key",
            Credentials::api_key("abcdefgh", text),
            (!is_paste_error).then_some(is_printable),
        ),
        (
            "client id",
            Credentials::service_account(text, "x"),
            (!is_likely_mistake).then_some(is_graphic),
        ),
        (
            "public key",
            Credentials::api_key(text, "x"),
            (!is_likely_mistake).then_some(is_printable),
        ),
    ];
    // An API key's private key, next to its public key or in its place, is not shown. The rule contains this example.
    let example = "01234567-89ab-cdef-0123-456789abcdef";
    let mut words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let private =
        words.find(|word| word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && *word != example);
    // Nor is a service account's secret, in the wrong place or pasted with the id.
    let client_secret = text.find("mdb_sa_sk_").map(|at| &text[at..]);
    let client_secret = client_secret.filter(|secret| *secret != "mdb_sa_sk_");
    for (parameter, credentials, expected) in cases {
        if let Some(expected) = expected {
            assert_eq!(credentials.is_ok(), expected, "{parameter}");
        }
        if let Err(error) = &credentials {
            assert_rejection(error, parameter);
            // Only a client id and the name of a variable are repeated.
            if !text.starts_with("mdb_sa_id_") && !text.starts_with(['$', '%']) {
                assert_no_value(error);
            }
        }
        if private.is_some() || client_secret.is_some() {
            let shown = match credentials {
                Ok(credentials) => format!("{credentials:?}"),
                Err(error) => error.to_string(),
            };
            for secret in [private, client_secret].into_iter().flatten() {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
