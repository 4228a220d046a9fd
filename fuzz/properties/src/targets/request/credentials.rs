//! Checks credentials.

use atlas_model_keys_core::{Credentials, InvalidValue};

use super::{assert_no_value, assert_rejection};
use crate::oracles::credentials::{Part, looks_like_credential, refusal};

/// Checks a text as each part of a credential: it is accepted exactly by the rules, an error has the right reason, and no
/// error shows a possible secret.
pub(super) fn check(text: &str) {
    assert_eq!(
        InvalidValue::looks_like_credential(text),
        looks_like_credential(text),
        "{text:?}"
    );
    let cases = [
        (Part::AccessToken, Credentials::bearer(text)),
        (
            Part::ClientSecret,
            Credentials::service_account("mdb_sa_id_1", text),
        ),
        (Part::PrivateKey, Credentials::api_key("abcdefgh", text)),
        (Part::ClientId, Credentials::service_account(text, "x")),
        (Part::PublicKey, Credentials::api_key(text, "x")),
    ];
    // An API key's private key, next to its public key or in its place, is not shown. The rule contains this example.
    let example = "01234567-89ab-cdef-0123-456789abcdef";
    let mut words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let private =
        words.find(|word| word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && *word != example);
    // Nor is a service account's secret, in the wrong place or pasted with the id.
    let client_secret = text.find("mdb_sa_sk_").map(|at| &text[at..]);
    let client_secret = client_secret.filter(|secret| *secret != "mdb_sa_sk_");
    for (part, credentials) in cases {
        match (&credentials, refusal(part, text)) {
            (Ok(_), None) => {}
            (Err(error), Some(reason)) => {
                assert_rejection(error, part.name());
                assert!(error.rule().contains(reason), "{error}, not {reason}");
                // Only a client id and the name of a variable are repeated.
                if !text.starts_with("mdb_sa_id_") && !text.starts_with(['$', '%']) {
                    assert_no_value(error);
                }
            }
            (_, refusal) => panic!("{credentials:?} of {part:?} {text:?}, not {refusal:?}"),
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
