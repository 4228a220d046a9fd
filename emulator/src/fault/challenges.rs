//! Digest challenges: nonces that never last, and challenges that are none.

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use crate::digest::{Answer, DigestAlgorithm, REALM};
use crate::emulator::scheme_of;
use crate::render::View;

use super::argument::Argument;
use super::delivery::Step;
use super::struck::Struck;
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    harmless(
        "digest-nonce-once",
        "a nonce is good for one request: the next one gets a challenge with stale=true",
        |s| {
            if let Some(answer) = answer(s) {
                s.emulator.nonces().forget(&answer.nonce);
            }
        },
    ),
    fault(
        "digest-never",
        "every right answer gets another challenge with stale=true",
        |s| {
            if answer(s).is_some() && !s.response.headers().contains_key(WWW_AUTHENTICATE) {
                let refusal = s.emulator.challenge(true, s.now);
                *s.response = refusal.into_response(View::default());
            }
        },
    ),
    fault(
        "digest-no-qop",
        "the challenge has no qop, as in RFC 2069",
        |s| {
            challenge(s, |honest| vec![honest.replace(", qop=\"auth\"", "")]);
        },
    ),
    fault(
        "digest-qop-int",
        "the challenge offers qop=auth-int only",
        |s| {
            challenge(s, |honest| {
                vec![honest.replace("qop=\"auth\"", "qop=\"auth-int\"")]
            });
        },
    ),
    fault("digest-no-nonce", "the challenge has no nonce", |s| {
        challenge(s, |_| {
            vec!["Digest realm=\"MMS Public API\", qop=\"auth\"".to_owned()]
        });
    }),
    fault(
        "digest-unknown-algorithm",
        "the challenge offers an algorithm that nobody knows, and no other",
        |s| challenge(s, |honest| vec![with_algorithm(honest, "SHA-1024")]),
    ),
    fault(
        "digest-basic-only",
        "the challenge is for Basic: who answers gives the password away",
        |s| challenge(s, |_| vec!["Basic realm=\"MMS Public API\"".to_owned()]),
    ),
    fault("digest-garbage", "the challenge is none", |s| {
        challenge(s, |_| {
            vec!["Digest =\"\", nonce=\"open, =,, \\\" realm='".to_owned()]
        });
    }),
    fault("digest-no-challenge", "401 without a challenge", |s| {
        challenge(s, |_| Vec::<String>::new());
    }),
    fault(
        "digest-long",
        "the challenge has an opaque of this many bytes",
        |s| {
            let opaque = "a".repeat(s.size());
            challenge(s, |honest| vec![format!("{honest}, opaque=\"{opaque}\"")]);
        },
    )
    .with(Argument::number(1 << 16, 1, 16 << 20)),
    harmless(
        "digest-many",
        "before the challenge come this many for algorithms that nobody knows",
        |s| {
            let count = s.value;
            challenge(s, |honest| {
                (0..count)
                    .map(|number| with_algorithm(honest, &format!("SHA-{number}")))
                    .chain([honest.to_owned()])
                    .collect()
            });
        },
    )
    .with(Argument::number(10, 1, 10_000)),
    fault("digest-realm-utf8", "the realm is Área, in UTF-8", |s| {
        with_realm(s, UTF_8);
    }),
    fault(
        "digest-realm-latin1",
        "the realm is Área, in Latin-1",
        |s| {
            with_realm(s, LATIN_1);
        },
    ),
    fault(
        "digest-folded",
        "the challenge is folded over two lines, as HTTP/1.1 allowed once",
        |s| {
            if honest_challenge(s).is_some() {
                s.deliver([Step::FoldedHead, Step::Body]);
            }
        },
    ),
    harmless(
        "digest-in-one-header",
        "challenges for Basic, SHA-256 and MD5, all in one header field",
        |s| {
            // What is offered is accepted.
            if let Some(nonce) = honest_challenge(s).as_deref().and_then(nonce_of) {
                s.emulator.nonces().offer(nonce, DigestAlgorithm::Sha256);
            }
            challenge(s, |honest| {
                let sha256 = with_algorithm(honest, "SHA-256");
                vec![format!("Basic realm=\"a, b\", {sha256}, {honest}")]
            });
        },
    ),
];

/// `Área`, with the letter that is not ASCII in either encoding.
const UTF_8: &[u8] = b"\xc3\x81rea";
const LATIN_1: &[u8] = b"\xc1rea";

/// Another realm in the challenge. An answer that is made with its bytes is right.
fn with_realm(s: &mut Struck<'_>, realm: &'static [u8]) {
    let Some(honest) = honest_challenge(s) else {
        return;
    };
    if let Some(nonce) = nonce_of(&honest) {
        s.emulator.nonces().set_realm(nonce, realm);
    }
    challenge(s, |honest| {
        let (before, after) = honest.split_once(REALM).unwrap_or_default();
        vec![[before.as_bytes(), realm, after.as_bytes()].concat()]
    });
}

/// The digest answer that the request brings.
fn answer(s: &Struck<'_>) -> Option<Answer> {
    let (scheme, rest) = scheme_of(s.request.headers.get(AUTHORIZATION)?.as_bytes())?;
    scheme
        .eq_ignore_ascii_case(b"Digest")
        .then(|| Answer::parse(rest))
        .flatten()
}

/// The first challenge of an honest 401.
fn honest_challenge(s: &Struck<'_>) -> Option<String> {
    let challenge = s.response.headers().get(WWW_AUTHENTICATE)?.to_str().ok()?;
    challenge
        .starts_with("Digest ")
        .then(|| challenge.to_owned())
}

/// Other challenges instead of the honest ones.
fn challenge<T: Into<Vec<u8>>>(s: &mut Struck<'_>, change: impl FnOnce(&str) -> Vec<T>) {
    let Some(honest) = honest_challenge(s) else {
        return;
    };
    let headers = s.response.headers_mut();
    headers.remove(WWW_AUTHENTICATE);
    for challenge in change(&honest) {
        if let Ok(challenge) = HeaderValue::try_from(challenge.into()) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
    }
}

/// The emulator's own challenges have the algorithm right before the quality.
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
