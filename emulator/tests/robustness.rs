//! Random requests: every one gets a response that can be sent, and none causes a panic.

mod support;

use std::time::Duration;

use atlas_model_keys_emulator::{Config, DigestAlgorithm, Emulator, Names};
use http::{HeaderValue, Method, Request};
use support::{DATED, NOW, PREVIEW, bearer, digest, keys_path, token_request};

/// A xorshift generator with a fixed seed, so that every run has the same cases.
struct Cases(u64);

impl Cases {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn mutate(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            let byte = b"\"\\,=% ;&?/\0\x1b\xff09azA+-"[self.below(20)];
            match self.below(4) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    fn pick<'a>(&mut self, items: &'a [String]) -> &'a str {
        &items[self.below(items.len())]
    }
}

#[test]
fn random_requests_never_panic_and_always_get_a_response() {
    let mut emulator = Emulator::new(
        Config::default()
            .with_digest(vec![DigestAlgorithm::Md5, DigestAlgorithm::Sha512_256Sess])
            .with_names(Names::Hostile),
    );
    let mut cases = Cases(0x5eed);
    let path = keys_path(&emulator);
    let token = token_request(&emulator, "");
    let basic = token.headers()["authorization"]
        .to_str()
        .unwrap()
        .to_owned();
    let targets = [
        format!("{path}?itemsPerPage=5&pageNum=2&envelope=true&pretty=true"),
        format!("https://cloud.mongodb.com{path}?pageNum=2147483647&itemsPerPage=500"),
        format!("/api/atlas/v2/orgs/{}/aiModelApiKeys", emulator.first_org()),
        "/api/atlas/v2/groups".to_owned(),
        "/api/oauth/token".to_owned(),
        "/api/oauth/revoke".to_owned(),
        "*".to_owned(),
    ];
    let authorizations = [
        bearer(&emulator),
        basic,
        digest(
            &emulator.api_key().public_key,
            "wrong",
            "n",
            u32::MAX,
            &path,
        ),
        String::new(),
    ];
    let accepts = [PREVIEW, DATED, "application/vnd.atlas.9999-12-31+json;q=0"].map(str::to_owned);
    let encodings = ["gzip;q=1", "br, gzip;q=nan"].map(str::to_owned);
    let forms = ["grant_type=client_credentials", "token=%41"].map(str::to_owned);
    let nows = [NOW, Duration::ZERO, Duration::MAX];
    let mut responses = 0;
    for _ in 0..20_000 {
        let target = cases.pick(&targets);
        let target = cases.mutate(target);
        let Ok(uri) = http::Uri::try_from(target) else {
            continue;
        };
        let mut request = Request::new(Vec::new());
        *request.uri_mut() = uri;
        *request.method_mut() = match cases.below(4) {
            0 => Method::POST,
            1 => Method::HEAD,
            2 => Method::OPTIONS,
            _ => Method::GET,
        };
        for (name, values) in [
            ("authorization", authorizations.as_slice()),
            ("accept", &accepts),
            ("accept-encoding", &encodings),
            ("host", &targets),
            (
                "content-type",
                &["application/x-www-form-urlencoded".to_owned()],
            ),
        ] {
            let value = cases.pick(values);
            if let Ok(value) = HeaderValue::from_bytes(&cases.mutate(value)) {
                request.headers_mut().append(name, value);
            }
        }
        let form = cases.pick(&forms);
        *request.body_mut() = cases.mutate(form);
        let now = nows[cases.below(nows.len())];
        let response = emulator.handle(&request, now);
        assert!(response.status().as_u16() >= 200);
        responses += 1;
    }
    assert!(responses > 10_000, "{responses}");
    assert_eq!(emulator.requests(), responses);
}
