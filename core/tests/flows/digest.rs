//! Digest nonces of exchanges that run in parallel.

use atlas_model_keys_core::Step;

use super::{response, world};
use crate::dialogue::{CredentialKind, expect_send};

#[test]
fn parallel_exchanges_never_share_a_nonce() {
    let mut world = world(CredentialKind::ApiKey);
    let mut exchanges: Vec<_> = (0..5)
        .map(|_| expect_send(world.start(&world.request())))
        .collect();
    for _ in 0..2 {
        // The responses arrive in another order than the requests were sent.
        exchanges.reverse();
        let mut next = Vec::new();
        for exchange in exchanges {
            match world.send(exchange).unwrap() {
                Step::Send(exchange) => next.push(exchange),
                Step::Done(_) => next.push(expect_send(world.start(&world.request()))),
                Step::Wait(wait) => panic!("{wait:?}"),
            }
        }
        exchanges = next;
    }
    // There were five challenges; from now on every request is signed and accepted.
    for exchange in exchanges {
        assert!(matches!(world.send(exchange), Ok(Step::Done(_))));
    }
    let log = world.take_log();
    assert_eq!(
        log.iter().filter(|l| l.ends_with("401")).count(),
        5,
        "{log:#?}"
    );
    assert_eq!(log.len(), 15);
}

#[test]
fn count_of_a_nonce_that_is_issued_again_continues() {
    let mut world = world(CredentialKind::ApiKey);
    let challenge = [(
        "www-authenticate",
        r#"Digest realm="r", nonce="same", qop="auth""#,
    )];
    let exchanges: Vec<_> = (0..3)
        .map(|_| expect_send(world.start(&world.request())))
        .collect();
    let mut counts: Vec<String> = Vec::new();
    for exchange in exchanges {
        let signed = expect_send(world.respond(exchange.pending, response(401, &challenge, "")));
        let header = signed.request.headers()["authorization"]
            .to_str()
            .unwrap()
            .to_owned();
        counts.extend(
            header
                .split(", ")
                .filter(|p| p.starts_with("nc="))
                .map(str::to_owned),
        );
    }
    assert_eq!(counts, ["nc=00000001", "nc=00000002", "nc=00000003"]);
}
