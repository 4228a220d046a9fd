//! Digest authentication: challenges, nonces and their counts.

use crate::support::{self, NOW, PREVIEW, after, digest, get, header, keys_path, nonce_of};
use atlas_model_keys_emulator::{Config, DigestAlgorithm, Emulator};
use http::{Request, Response};
use std::time::Duration;

fn ask(emulator: &mut Emulator, credentials: &str, now: Duration) -> Response<Vec<u8>> {
    let request = get(&keys_path(emulator), PREVIEW, credentials);
    emulator.handle(&request, now)
}

fn authorization(emulator: &Emulator, nonce: &str, nc: u32) -> String {
    let key = emulator.api_key();
    digest(
        &key.public_key,
        &key.private_key,
        nonce,
        nc,
        &keys_path(emulator),
    )
}

/// Returns the nonce of the only challenge, and whether it says `stale`.
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
fn nonce_is_accepted_several_times_if_its_count_rises() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, stale) = challenge(&ask(&mut emulator, "", NOW));
    assert!(!stale);
    assert_eq!(nonce.len(), 32);
    for nc in [1, 2, 9] {
        let credentials = authorization(&emulator, &nonce, nc);
        assert_eq!(ask(&mut emulator, &credentials, NOW).status(), 200);
    }
    // A repeated count and a skipped one are replays.
    for nc in [9, 5] {
        let credentials = authorization(&emulator, &nonce, nc);
        let (fresh, stale) = challenge(&ask(&mut emulator, &credentials, NOW));
        assert!(stale);
        assert_ne!(fresh, nonce);
    }
}

#[test]
fn expired_nonce_is_stale_and_the_next_one_is_accepted() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let credentials = authorization(&emulator, &nonce, 1);
    assert_eq!(ask(&mut emulator, &credentials, after(59)).status(), 200);
    let credentials = authorization(&emulator, &nonce, 2);
    let (fresh, stale) = challenge(&ask(&mut emulator, &credentials, after(60)));
    assert!(stale);
    let credentials = authorization(&emulator, &fresh, 1);
    assert_eq!(ask(&mut emulator, &credentials, after(60)).status(), 200);

    emulator.expire_nonces();
    let credentials = authorization(&emulator, &fresh, 2);
    let (_, stale) = challenge(&ask(&mut emulator, &credentials, after(60)));
    assert!(stale);
}

#[test]
fn stale_is_false_if_the_digest_response_is_wrong() {
    let mut emulator = Emulator::new(Config::default());
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let right = authorization(&emulator, &nonce, 1);
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
        // Computed for another target.
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
    // None of these requests has used the nonce.
    assert_eq!(ask(&mut emulator, &right, NOW).status(), 200);
}

#[test]
fn digest_uri_must_include_the_query() {
    let mut emulator = Emulator::new(Config::default());
    let target = format!("{}?itemsPerPage=5&pageNum=2", keys_path(&emulator));
    let (nonce, _) = challenge(&ask(&mut emulator, "", NOW));
    let key = emulator.api_key().clone();
    let sign = |uri: &str, nc| digest(&key.public_key, &key.private_key, &nonce, nc, uri);

    // The digest URI is path and query, even if the request's URI is absolute.
    let absolute = format!("https://cloud.mongodb.com{target}");
    let request = get(&absolute, PREVIEW, &sign(&target, 1));
    assert_eq!(emulator.handle(&request, NOW).status(), 200);
    let request = get(&target, PREVIEW, &sign(&keys_path(&emulator), 2));
    assert_eq!(emulator.handle(&request, NOW).status(), 401);
}

#[test]
fn several_algorithms_give_several_challenges_with_one_nonce() {
    let mut emulator = Emulator::new(
        Config::default().with_digest(vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5]),
    );
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
    let credentials = authorization(&emulator, nonce_of(md5), 1);
    assert_eq!(ask(&mut emulator, &credentials, NOW).status(), 200);
}

#[test]
fn two_authorization_headers_are_refused() {
    let mut emulator = Emulator::new(Config::default());
    let token = support::bearer(&emulator);
    let request = Request::get(keys_path(&emulator))
        .header("Authorization", &token)
        .header("Authorization", &token)
        .body("")
        .unwrap();
    assert_eq!(emulator.handle(&request, NOW).status(), 401);
}
