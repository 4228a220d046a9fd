//! Digest dialogues, as transcripts.

mod support;

use atlas_model_keys_emulator::{Config, DigestAlgorithm, Emulator};
use http::{Request, Response};
use std::time::Duration;
use support::{NOW, PREVIEW, after, digest, get, header, keys_path, nonce_of};

fn ask(emulator: &mut Emulator, authorization: &str, now: Duration) -> Response<Vec<u8>> {
    let request = get(&keys_path(emulator), PREVIEW, authorization);
    emulator.handle(&request, now)
}

fn answer(emulator: &Emulator, nonce: &str, nc: u32) -> String {
    let key = emulator.api_key();
    digest(
        &key.public_key,
        &key.private_key,
        nonce,
        nc,
        &keys_path(emulator),
    )
}

/// The nonce of the one challenge, and whether it says `stale`.
fn challenge(response: &Response<Vec<u8>>) -> (String, bool) {
    assert_eq!(response.status(), 401);
    let text = header(response, "www-authenticate").unwrap();
    let nonce = nonce_of(text).to_owned();
    let stale = text.ends_with(", stale=true");
    let recorded = format!(
        "Digest realm=\"MMS Public API\", domain=\"\", nonce=\"{nonce}\", algorithm=MD5, \
         qop=\"auth\", stale={stale}"
    );
    assert_eq!(text, recorded);
    (nonce, stale)
}

#[test]
fn a_nonce_lasts_for_several_requests_with_a_rising_count() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, stale) = challenge(&ask(&mut emulator, "", NOW));
    assert!(!stale);
    assert_eq!(nonce.len(), 32);
    for nc in [1, 2, 9] {
        let authorization = answer(&emulator, &nonce, nc);
        assert_eq!(ask(&mut emulator, &authorization, NOW).status(), 200);
    }
    // Once more, and one that was skipped: replays.
    for nc in [9, 5] {
        let authorization = answer(&emulator, &nonce, nc);
        let (fresh, stale) = challenge(&ask(&mut emulator, &authorization, NOW));
        assert!(stale);
        assert_ne!(fresh, nonce);
    }
}

#[test]
fn an_expired_nonce_is_stale_and_its_successor_works() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let authorization = answer(&emulator, &nonce, 1);
    assert_eq!(ask(&mut emulator, &authorization, after(59)).status(), 200);
    let authorization = answer(&emulator, &nonce, 2);
    let (fresh, stale) = challenge(&ask(&mut emulator, &authorization, after(60)));
    assert!(stale);
    let authorization = answer(&emulator, &fresh, 1);
    assert_eq!(ask(&mut emulator, &authorization, after(60)).status(), 200);

    emulator.expire_nonces();
    let authorization = answer(&emulator, &fresh, 2);
    let (_, stale) = challenge(&ask(&mut emulator, &authorization, after(60)));
    assert!(stale);
}

#[test]
fn whoever_does_not_know_the_password_is_not_told_that_a_nonce_is_stale() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let right = answer(&emulator, &nonce, 1);
    let uri = keys_path(&emulator);
    let key = emulator.api_key().clone();
    for wrong in [
        right.replace("response=\"", "response=\"0"),
        right.replace("MMS Public API", "another"),
        right.replace("qop=auth", "qop=auth-int"),
        right.replace("algorithm=MD5", "algorithm=SHA-256"),
        right.replace("nc=00000001", "nc=1"),
        right.replace("Digest ", "Basic "),
        right.replace("Digest ", ""),
        digest(&key.public_key, "wrong", &nonce, 1, &uri),
        digest("another", &key.private_key, &nonce, 1, &uri),
        // Signed without the query's place, or for another target.
        digest(
            &key.public_key,
            &key.private_key,
            &nonce,
            1,
            &format!("{uri}?pageNum=2"),
        ),
        digest(&key.public_key, "wrong", "unknown nonce", 1, &uri),
    ] {
        let (_, stale) = challenge(&ask(&mut emulator, &wrong, NOW));
        assert!(!stale, "{wrong}");
    }
    // None of these used it up.
    assert_eq!(ask(&mut emulator, &right, NOW).status(), 200);
}

#[test]
fn the_query_is_part_of_what_is_signed() {
    let mut emulator = Emulator::new(Config::default());
    let target = format!("{}?itemsPerPage=5&pageNum=2", keys_path(&emulator));
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let key = emulator.api_key().clone();
    let sign = |uri: &str, nc| digest(&key.public_key, &key.private_key, &nonce, nc, uri);

    // Absolute, as in memory: the target is its path and query.
    let absolute = format!("https://cloud.mongodb.com{target}");
    let request = get(&absolute, PREVIEW, &sign(&target, 1));
    assert_eq!(emulator.handle(&request, NOW).status(), 200);
    let request = get(&target, PREVIEW, &sign(&keys_path(&emulator), 2));
    assert_eq!(emulator.handle(&request, NOW).status(), 401);
}

#[test]
fn several_algorithms_are_several_challenges_with_one_nonce() {
    let mut emulator = Emulator::new(Config {
        digest: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
        ..Config::default()
    });
    let response = ask(&mut emulator, "", NOW);
    let challenges: Vec<_> = response
        .headers()
        .get_all("www-authenticate")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    let [sha, md5] = challenges.as_slice() else {
        panic!("{challenges:?}");
    };
    assert!(sha.contains("algorithm=SHA-256,") && md5.contains("algorithm=MD5,"));
    assert_eq!(nonce_of(sha), nonce_of(md5));
    let authorization = answer(&emulator, nonce_of(md5), 1);
    assert_eq!(ask(&mut emulator, &authorization, NOW).status(), 200);
}

#[test]
fn two_authorization_headers_are_none() {
    let mut emulator = Emulator::new(Config::default());
    let token = support::bearer(&emulator);
    let request = Request::get(keys_path(&emulator))
        .header("Authorization", &token)
        .header("Authorization", &token)
        .body("")
        .unwrap();
    assert_eq!(emulator.handle(&request, NOW).status(), 401);
}
