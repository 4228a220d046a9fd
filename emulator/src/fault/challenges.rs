//! Digest challenges: nonces that never last, and challenges that are none.

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use crate::digest::{Answer, DigestAlgorithm};
use crate::render::View;

use super::argument::Argument;
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
        challenge(s, |_| Vec::new());
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

/// The digest answer that the request brings.
fn answer(s: &Struck<'_>) -> Option<Answer> {
    let text = s.request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("Digest")
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
fn challenge(s: &mut Struck<'_>, change: impl FnOnce(&str) -> Vec<String>) {
    let Some(honest) = honest_challenge(s) else {
        return;
    };
    let headers = s.response.headers_mut();
    headers.remove(WWW_AUTHENTICATE);
    for challenge in change(&honest) {
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
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
