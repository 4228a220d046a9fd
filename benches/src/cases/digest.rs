//! The next digest `Authorization` for a challenge that was used before. Randomness is not measured: each
//! library gets a client nonce.

use atlas_model_keys_core::Limits;
use atlas_model_keys_core::digest::{Answerer, Challenge};
use digest_auth::AuthContext;
use http::HeaderValue;
use http_auth::{ChallengeParser, DigestClient, PasswordParams};

use super::Case;

/// A challenge as Atlas sends it.
const CHALLENGE: &str = r#"Digest realm="MMS Public API", domain="", nonce="4rJ8w2aUHxWE5k0Vr0hLj3cB7mJ1u2sQ", algorithm=MD5, qop="auth", stale=false"#;
const USER: &str = "abcdefgh";
const PASSWORD: &str = "01234567-89ab-cdef-0123-456789abcdef";
const CNONCE: &str = "0a4f113b0a4f113b0a4f113b0a4f113b";
const TARGET: &str =
    "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys?itemsPerPage=500&pageNum=17";

pub(super) fn cases() -> Vec<Case> {
    let mut challenges = ChallengeParser::new(CHALLENGE);
    let challenge = challenges.next().expect("one").expect("a challenge");
    let mut http_auth = DigestClient::try_from(&challenge).expect("a challenge");
    let mut digest_auth = digest_auth::parse(CHALLENGE).expect("a challenge");
    let header = HeaderValue::from_static(CHALLENGE);
    let challenge = Challenge::strongest([&header], &Limits::default()).expect("a challenge");
    let mut answerer = Answerer::new(challenge, USER, PASSWORD, [0; 16]);
    let mut count = 0u128;
    vec![
        Case::new("digest", "http-auth", move || {
            let parameters = PasswordParams {
                username: USER,
                password: PASSWORD,
                uri: TARGET,
                method: "GET",
                body: None,
            };
            let credentials = http_auth.respond_with_testing_cnonce(&parameters, CNONCE);
            HeaderValue::try_from(credentials.expect("a digest response"))
        }),
        Case::new("digest", "digest_auth", move || {
            let mut context = AuthContext::new(USER, PASSWORD, TARGET);
            context.set_custom_cnonce(CNONCE);
            let credentials = digest_auth.respond(&context);
            HeaderValue::try_from(credentials.expect("a digest response").to_string())
        }),
        Case::new("digest", "ours", move || {
            count += 1;
            answerer.authorization("GET", TARGET, count.to_be_bytes())
        }),
    ]
}
