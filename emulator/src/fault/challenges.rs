//! Faults of digest challenges: nonces that expire too early, and malformed or unusual challenges.

use http::header::{HeaderValue, WWW_AUTHENTICATE};

use crate::digest::{Authorization, DigestAlgorithm, REALM};
use crate::render::View;

use super::context::FaultContext;
use super::delivery::DeliveryStep::{Body, FoldedHead};
use super::row::faults;

faults![
    FAULTS,
    Digest,
    harmless(
        DIGEST_NONCE_ONCE,
        "digest-nonce-once",
        "every nonce is accepted once; its next use gets a challenge with stale=true",
        |cx| {
            if let Some(authorization) = authorization(cx) {
                cx.atlas.nonces.expire(&authorization.nonce);
                cx.has_effect = true;
            }
        },
    ),
    fault(
        DIGEST_NEVER,
        "digest-never",
        "every right digest response gets another challenge with stale=true",
        |cx| {
            if authorization(cx).is_some() && !cx.response.headers().contains_key(WWW_AUTHENTICATE)
            {
                let refusal = cx.atlas.challenge(true, cx.now);
                *cx.response = refusal.into_response(View::default());
            }
        },
    ),
    fault(
        DIGEST_NO_QOP,
        "digest-no-qop",
        "the challenge has no qop, as in RFC 2069",
        |cx| {
            replace_challenges(cx, |regular| vec![regular.replace(", qop=\"auth\"", "")]);
        },
    ),
    fault(
        DIGEST_QOP_INT,
        "digest-qop-int",
        "the challenge offers qop=auth-int only",
        |cx| {
            replace_challenges(cx, |regular| {
                vec![regular.replace("qop=\"auth\"", "qop=\"auth-int\"")]
            });
        },
    ),
    fault(
        DIGEST_NO_NONCE,
        "digest-no-nonce",
        "the challenge has no nonce",
        |cx| {
            replace_challenges(cx, |_| {
                vec!["Digest realm=\"MMS Public API\", qop=\"auth\"".to_owned()]
            });
        }
    ),
    fault(
        DIGEST_UNKNOWN_ALGORITHM,
        "digest-unknown-algorithm",
        "the challenge offers only an unknown algorithm",
        |cx| replace_challenges(cx, |regular| vec![with_algorithm(regular, "SHA-1024")]),
    ),
    fault(
        DIGEST_BASIC_ONLY,
        "digest-basic-only",
        "the challenge asks for Basic, which would reveal the password",
        |cx| replace_challenges(cx, |_| vec!["Basic realm=\"MMS Public API\"".to_owned()]),
    ),
    fault(
        DIGEST_GARBAGE,
        "digest-garbage",
        "the challenge is malformed",
        |cx| {
            replace_challenges(cx, |_| {
                vec!["Digest =\"\", nonce=\"open, =,, \\\" realm='".to_owned()]
            });
        }
    ),
    fault(
        DIGEST_NO_CHALLENGE,
        "digest-no-challenge",
        "401 without a challenge",
        |cx| {
            replace_challenges(cx, |_| Vec::<String>::new());
        }
    ),
    fault(
        DIGEST_LONG,
        "digest-long",
        "the challenge's parameter opaque has this many bytes",
        |cx| {
            let opaque = "a".repeat(cx.size());
            replace_challenges(cx, |regular| {
                vec![format!("{regular}, opaque=\"{opaque}\"")]
            });
        },
    )
    .with(number(1 << 16, 1, 16 << 20)),
    harmless(
        DIGEST_MANY,
        "digest-many",
        "this many challenges with unknown algorithms precede the usual one",
        |cx| {
            let count = cx.value;
            replace_challenges(cx, |regular| {
                (0..count)
                    .map(|number| with_algorithm(regular, &format!("SHA-{number}")))
                    .chain([regular.to_owned()])
                    .collect()
            });
        },
    )
    .with(number(10, 1, 10_000)),
    fault(
        DIGEST_REALM_UTF8,
        "digest-realm-utf8",
        "the realm is Área, encoded in UTF-8",
        |cx| {
            with_realm(cx, UTF_8);
        },
    ),
    fault(
        DIGEST_REALM_LATIN1,
        "digest-realm-latin1",
        "the realm is Área, encoded in Latin-1",
        |cx| {
            with_realm(cx, LATIN_1);
        },
    ),
    fault(
        DIGEST_FOLDED,
        "digest-folded",
        "the challenge is folded over two lines, as HTTP/1.1 once allowed",
        |cx| {
            if regular_challenge(cx).is_some() {
                cx.set_delivery([FoldedHead, Body]);
            }
        },
    ),
    harmless(
        DIGEST_IN_ONE_HEADER,
        "digest-in-one-header",
        "challenges for Basic, SHA-256 and MD5, all in one header field",
        |cx| {
            // A client may choose SHA-256, because it is offered.
            if let Some(nonce) = regular_challenge(cx).as_deref().and_then(nonce_of) {
                cx.atlas
                    .nonces
                    .allow_algorithm(nonce, DigestAlgorithm::Sha256);
            }
            replace_challenges(cx, |regular| {
                let sha256 = with_algorithm(regular, "SHA-256");
                vec![format!("Basic realm=\"a, b\", {sha256}, {regular}")]
            });
        },
    ),
];

/// `Área` in UTF-8; its first letter is not ASCII.
const UTF_8: &[u8] = b"\xc3\x81rea";
/// `Área` in Latin-1.
const LATIN_1: &[u8] = b"\xc1rea";

/// Changes the realm in the challenge. The digest response must be computed with the same bytes.
fn with_realm(cx: &mut FaultContext<'_>, realm: &'static [u8]) {
    let Some(regular) = regular_challenge(cx) else {
        return;
    };
    if let Some(nonce) = nonce_of(&regular) {
        cx.atlas.nonces.set_realm(nonce, realm);
    }
    replace_challenges(cx, |regular| {
        let (before, after) = regular.split_once(REALM).unwrap_or_default();
        vec![[before.as_bytes(), realm, after.as_bytes()].concat()]
    });
}

/// Returns the digest authorization of the request.
fn authorization(cx: &FaultContext<'_>) -> Option<Authorization> {
    let (scheme, rest) = cx.request.authorization()?;
    scheme
        .eq_ignore_ascii_case(b"Digest")
        .then(|| Authorization::parse(rest))
        .flatten()
}

/// Returns the first challenge of a regular 401.
fn regular_challenge(cx: &FaultContext<'_>) -> Option<String> {
    let challenge = cx.response.headers().get(WWW_AUTHENTICATE)?.to_str().ok()?;
    challenge
        .starts_with("Digest ")
        .then(|| challenge.to_owned())
}

/// Replaces the regular challenges.
fn replace_challenges<T: Into<Vec<u8>>>(
    cx: &mut FaultContext<'_>,
    change: impl FnOnce(&str) -> Vec<T>,
) {
    let Some(regular) = regular_challenge(cx) else {
        return;
    };
    let headers = cx.response.headers_mut();
    headers.remove(WWW_AUTHENTICATE);
    for challenge in change(&regular) {
        if let Ok(challenge) = HeaderValue::try_from(challenge.into()) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
    }
}

/// Replaces the algorithm in one of the emulator's own challenges; `qop` follows the algorithm there.
fn with_algorithm(challenge: &str, name: &str) -> String {
    match challenge.split_once("algorithm=") {
        Some((before, rest)) => {
            let after = rest.split_once(',').map_or("", |(_, after)| after);
            format!("{before}algorithm={name},{after}")
        }
        None => challenge.to_owned(),
    }
}

fn nonce_of(challenge: &str) -> Option<&str> {
    let (_, rest) = challenge.split_once("nonce=\"")?;
    rest.split_once('"').map(|(nonce, _)| nonce)
}
