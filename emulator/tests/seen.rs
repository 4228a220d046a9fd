//! What the emulator keeps of the requests that it received, and its time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use atlas_model_keys_core::ApiVersion;
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{
    Config, CredentialKind, Emulator, Fault, Key, Route, TokenBucket, error_response,
};
use base64::Engine as _;
use http::{Request, StatusCode};

fn emulator() -> Emulator {
    Emulator::new(Config::default())
}

#[test]
fn route_credential_version_and_status_are_those_of_the_exchange() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    let groups = "/api/atlas/v2/groups";
    let api_key = emulator.api_key().clone();
    let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    let challenge = header(&challenge, "www-authenticate").unwrap();
    let signed = digest(
        &api_key.public_key,
        &api_key.private_key,
        nonce_of(challenge),
        1,
        &path,
    );
    let token = token_request(&emulator, "grant_type=client_credentials");
    let wrong_token = Request::post("/api/oauth/token")
        .header("Authorization", "Basic eDp5")
        .body(b"grant_type=password".to_vec())
        .unwrap();
    let forbidden = emulator.forbidden_group().unwrap();
    let forbidden = format!("{groups}/{forbidden}/aiModelApiKeys");
    let right = bearer(&emulator);
    for request in [
        get(&path, PREVIEW, &signed),
        token,
        wrong_token,
        get(&path, DATED, &right),
        get(&forbidden, PREVIEW, &right),
        get(groups, PREVIEW, "Bearer x"),
        get("/nothing?a=b", PREVIEW, &right),
    ] {
        let _ = emulator.handle(&request, NOW);
    }
    let kept: Vec<_> = emulator
        .seen()
        .iter()
        .map(|seen| {
            (
                seen.route,
                seen.credential,
                seen.version,
                seen.status.unwrap().as_u16(),
            )
        })
        .collect();
    let keys = Some(Route::ListGroupKeys);
    assert_eq!(
        kept,
        [
            (keys, None, None, 401),
            (
                keys,
                Some(CredentialKind::ApiKey),
                Some(ApiVersion::PREVIEW),
                200
            ),
            (
                Some(Route::Token),
                Some(CredentialKind::ServiceAccount),
                None,
                200
            ),
            (Some(Route::Token), None, None, 401),
            (
                keys,
                Some(CredentialKind::AccessToken),
                Some(ApiVersion::V2025_03_12),
                200
            ),
            (keys, Some(CredentialKind::AccessToken), None, 401),
            (Some(Route::ListGroups), None, None, 401),
            (None, None, None, 404),
        ]
    );
    let grants: Vec<_> = emulator
        .seen()
        .iter()
        .map(|seen| seen.grant_type.as_deref())
        .collect();
    assert_eq!(grants[2..4], [Some("client_credentials"), Some("password")]);
    assert!(grants[4..].iter().all(Option::is_none));
    let principals = emulator.seen().iter().map(|seen| seen.principal.as_deref());
    let (key, account) = (emulator.api_key(), emulator.service_account());
    assert_eq!(
        principals.collect::<Vec<_>>()[..4],
        [
            None,
            Some(&*key.public_key),
            Some(&*account.client_id),
            None
        ]
    );
    let orders: Vec<_> = emulator.seen().iter().map(|seen| seen.order).collect();
    assert_eq!(orders, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(emulator.requests(), 8);
}

#[test]
fn scripted_responses_and_faults_are_named() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    emulator.respond_next(
        Route::ListGroupKeys,
        error_response(StatusCode::BAD_GATEWAY),
    );
    emulator.inject(Fault::PAGES_LOOP.times(1));
    emulator.inject(Fault::GARBAGE.times(1));
    for _ in 0..3 {
        let _ = fetch(&mut emulator, &path, PREVIEW);
    }
    let [scripted, faulty, regular] = emulator.seen() else {
        panic!("{:?}", emulator.seen());
    };
    assert!(scripted.is_scripted && scripted.faults.is_empty());
    assert_eq!(scripted.status, Some(StatusCode::BAD_GATEWAY));
    assert!(!faulty.is_scripted);
    assert_eq!(faulty.faults, [Fault::PAGES_LOOP, Fault::GARBAGE]);
    assert!(
        faulty
            .to_json()
            .contains(r#""faults":["pages-loop","garbage"]"#)
    );
    assert!(!regular.is_scripted && regular.faults.is_empty());
}

#[test]
fn json_is_one_line_with_all_names() {
    let mut emulator = emulator();
    let request = Request::get("/nothing?pageNum=2")
        .header("Accept", "a")
        .header("Accept", "b")
        .header("User-Agent", "caf\u{e9}\"")
        .body("")
        .unwrap();
    let _ = emulator.handle(&request, NOW + Duration::from_micros(1_500));
    assert_eq!(
        emulator.seen()[0].to_json(),
        concat!(
            r#"{"order":1,"time":"2026-09-21T14:13:20.001500Z","method":"GET","path":"/nothing","query":"pageNum=2","#,
            r#""headers":{"accept":"a, b","user-agent":"café\""},"route":null,"credential":null,"principal":null,"version":null,"#,
            r#""grantType":null,"status":404,"isScripted":false,"faults":[],"isCut":false}"#
        )
    );
    let _ = fetch(
        &mut emulator,
        "/api/atlas/v2/groups",
        "application/vnd.atlas.2023-01-01+json",
    );
    let json: serde_json::Value = serde_json::from_str(&emulator.seen()[1].to_json()).unwrap();
    assert_eq!(json["route"], "listGroups");
    assert_eq!(json["credential"], "accessToken");
    assert_eq!(json["principal"], serde_json::Value::Null);
    assert_eq!(json["version"], "2023-01-01");
    assert_eq!(json["query"], serde_json::Value::Null);
}

/// Encodes every character.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn no_credential_is_kept_wherever_it_appears() {
    let mut emulator = emulator();
    let group = emulator.first_group();
    let path = keys_path(&emulator);
    let odd = Key::default().with_secret("odd/pass word");
    emulator.keys_mut(group).unwrap().push(odd);
    let issued = emulator.handle(
        &token_request(&emulator, "grant_type=client_credentials"),
        NOW,
    );
    let issued = json(&issued)["access_token"].as_str().unwrap().to_owned();
    let (api_key, account) = (
        emulator.api_key().clone(),
        emulator.service_account().clone(),
    );
    let pair = format!("{}:{}", api_key.public_key, api_key.private_key);
    let secrets = [
        api_key.private_key.clone(),
        account.client_secret.clone(),
        emulator.access_token().to_owned(),
        issued,
        emulator.keys(group)[0].secret.clone().unwrap(),
        "odd/pass word".to_owned(),
        base64::engine::general_purpose::STANDARD.encode(pair),
        "mdb_sa_sk_unknown".to_owned(),
        "al-unknownunknown".to_owned(),
        "eyJunknown.unknown".to_owned(),
    ];
    for secret in &secrets {
        let forms = [
            secret.clone(),
            format!("before{secret}after"),
            encoded(secret),
            encoded(&encoded(secret)),
            encoded(&encoded(&encoded(&encoded(secret)))),
        ];
        for (form, text) in forms.iter().enumerate() {
            // A word that only begins like a credential is none.
            if form == 1 && secret.contains("unknown") && !secret.starts_with("mdb") {
                continue;
            }
            let raw = text.replace(' ', "%20");
            for target in [
                format!("/{raw}"),
                format!("{path}/{raw}/x"),
                format!("{path}?a={raw}&b=2"),
                format!("{path}?{raw}"),
                format!("{path}?a=1,{raw};b"),
            ] {
                let _ = emulator.handle(&get(&target, PREVIEW, ""), NOW);
            }
            for (name, value) in [
                ("user-agent", text.clone()),
                ("user-agent", format!("x/1 ({text}; y)")),
                ("x-api-key", text.clone()),
                ("cookie", format!("a=b; c={text}")),
                ("accept", format!("{PREVIEW}, {text}")),
                ("referer", format!("http://h/?q={text}")),
                ("authorization", text.clone()),
                ("authorization", format!("Bearer {text}")),
                ("authorization", format!("Basic {text}")),
                ("authorization", format!("{text} {text}")),
                ("authorization", format!("Digest {text}")),
                ("authorization", digest(text, text, text, 1, text)),
                ("proxy-authorization", format!("Basic {text}")),
            ] {
                let request = Request::get(path.as_str()).header(name, value).body("");
                let _ = emulator.handle(&request.unwrap(), NOW);
            }
            let method = http::Method::from_bytes(secret.as_bytes());
            let name = http::HeaderName::from_bytes(secret.as_bytes());
            if let (Ok(method), Ok(name)) = (method, name) {
                let request = Request::builder().method(method).header(name, "x").body("");
                let _ = emulator.handle(&request.unwrap(), NOW);
            }
            for seen in emulator.seen() {
                let lower = secret.to_ascii_lowercase();
                for shown in [seen.to_json(), seen.to_string(), format!("{seen:?}")] {
                    let found = shown.to_ascii_lowercase().contains(&lower)
                        || shown.contains(text.as_str());
                    assert!(!found, "{text}: {shown}");
                }
            }
            assert!(emulator.seen().len() >= 18);
            emulator.forget_seen();
        }
    }
}

#[test]
fn password_in_a_parameter_or_header_with_a_telling_name_is_not_kept() {
    let mut emulator = emulator();
    let request = Request::get("/x?client_secret=hunter2&page=1&access%5Ftoken=hunter2")
        .header("X-Auth-Token", "hunter2")
        .header("Cookie", "hunter2")
        .body("")
        .unwrap();
    let _ = emulator.handle(&request, NOW);
    let seen = &emulator.seen()[0];
    assert_eq!(
        seen.query.as_deref(),
        Some("client_secret=[redacted]&page=1&access%5Ftoken=[redacted]")
    );
    assert_eq!(seen.headers["x-auth-token"], "[redacted]");
    assert_eq!(seen.headers["cookie"], "[redacted]");
}

#[test]
fn harmless_parameters_of_digest_are_kept() {
    let mut emulator = emulator();
    let request = get(
        "/x?a=1",
        PREVIEW,
        &digest("user", "password", "nonce", 7, "/x?a=1"),
    );
    let _ = emulator.handle(&request, NOW);
    assert_eq!(
        emulator.seen()[0].headers["authorization"],
        "Digest username=\"user\", realm=\"MMS Public API\", uri=\"/x?a=1\", algorithm=\"MD5\", qop=\"auth\", \
         nc=\"00000007\", [redacted]"
    );
}

#[test]
fn only_the_last_requests_are_kept() {
    let mut emulator = Emulator::new(Config::default().with_seen_limit(10));
    for number in 1..=1000 {
        let _ = emulator.handle(&get("/x", PREVIEW, ""), NOW);
        let seen = emulator.seen();
        assert_eq!(seen.len(), number.min(10));
        assert_eq!(seen.last().unwrap().order, number as u64);
        assert_eq!(emulator.seen_dropped(), number.saturating_sub(10) as u64);
    }
    assert_eq!(emulator.seen()[0].order, 991);
    emulator.forget_seen();
    assert_eq!((emulator.seen().len(), emulator.seen_dropped()), (0, 0));
    let _ = emulator.handle(&get("/x", PREVIEW, ""), NOW);
    assert_eq!(emulator.seen()[0].order, 1001);

    let mut none = Emulator::new(Config::default().with_seen_limit(0));
    let _ = none.handle(&get("/x", PREVIEW, ""), NOW);
    assert_eq!((none.seen().len(), none.requests()), (0, 1));
    assert_eq!(none.seen_dropped(), 1);
}

#[test]
fn long_heads_are_cut() {
    let mut emulator = emulator();
    let long = "é".repeat(30_000);
    let mut request = Request::get(format!("/{}?{}", "p".repeat(30_000), "q".repeat(30_000)))
        .header("User-Agent", &long)
        .header(format!("x-{}", "n".repeat(30_000)), "x");
    for number in 0..50 {
        request = request.header(format!("x-{number}"), "v".repeat(500));
    }
    let _ = emulator.handle(&request.body("").unwrap(), NOW);
    let seen = &emulator.seen()[0];
    assert!(seen.is_cut);
    assert_eq!(
        (seen.path.len(), seen.query.as_deref().unwrap().len()),
        (1024, 1024)
    );
    let length: usize = seen
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    assert!(length <= 4096);
    assert!(seen.to_json().len() < 8192);
    let mut request = Request::get("/x");
    for _ in 0..101 {
        request = request.header("a", "");
    }
    let _ = emulator.handle(&request.body("").unwrap(), NOW);
    assert!(emulator.seen()[1].is_cut);
    assert_eq!(emulator.seen()[1].headers.len(), 100);
    let _ = emulator.handle(&get("/x", PREVIEW, ""), NOW);
    assert!(!emulator.seen()[2].is_cut);
}

#[test]
fn tokens_nonces_and_rate_limits_follow_the_time() {
    let minute = Duration::from_secs(60);
    let limit = TokenBucket::new(1, 1, minute);
    let mut emulator = Emulator::new(Config::default().with_rate_limit(limit));
    let path = keys_path(&emulator);
    let issued = emulator.handle(
        &token_request(&emulator, "grant_type=client_credentials"),
        NOW,
    );
    let issued = format!("Bearer {}", json(&issued)["access_token"].as_str().unwrap());
    let status = |emulator: &mut Emulator| {
        emulator
            .handle(&get(&path, PREVIEW, &issued), NOW)
            .status()
            .as_u16()
    };
    assert_eq!(status(&mut emulator), 200);
    assert_eq!(status(&mut emulator), 429);
    emulator.advance(minute);
    assert_eq!(status(&mut emulator), 200);
    emulator.advance(minute * 59);
    assert_eq!(status(&mut emulator), 401);
    assert_eq!(emulator.time(NOW), NOW + minute * 60);
    assert_eq!(emulator.seen().last().unwrap().time, NOW + minute * 60);
    // Back in time, the token is valid again.
    emulator.set_time(NOW, NOW);
    assert_ne!(status(&mut emulator), 401);
    emulator.set_time(NOW, Duration::from_secs(5));
    assert_eq!(emulator.time(NOW + minute), Duration::from_secs(65));
    emulator.advance(Duration::MAX);
    emulator.advance(Duration::MAX);
    assert!(emulator.time(Duration::MAX) > NOW);
    let _ = status(&mut emulator);

    let mut emulator = Emulator::new(Config::default());
    let api_key = emulator.api_key().clone();
    let challenge = emulator.handle(&get(&path, PREVIEW, ""), NOW);
    let nonce = nonce_of(header(&challenge, "www-authenticate").unwrap()).to_owned();
    emulator.advance(minute);
    let signed = digest(&api_key.public_key, &api_key.private_key, &nonce, 1, &path);
    let response = emulator.handle(&get(&path, PREVIEW, &signed), NOW);
    assert!(
        header(&response, "www-authenticate")
            .unwrap()
            .contains("stale=true")
    );
}

#[test]
fn server_logs_each_request_once_in_order_and_its_date_follows_the_time() {
    let logged = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&logged);
    let options = Options::default()
        .with_clock(Arc::new(|| NOW))
        .with_log(move |seen| log.lock().unwrap().push(seen.clone()));
    let config = Config::default().with_seen_limit(0).with_control(true);
    let server = Server::start(Emulator::new(config), options).unwrap();
    server.with(|emulator| emulator.advance(Duration::from_secs(86_400)));
    std::thread::scope(|scope| {
        for client in 0..4 {
            let server = &server;
            scope.spawn(move || {
                for number in 0..10 {
                    let request = format!("GET /{client}/{number} HTTP/1.0\r\n\r\n");
                    let (response, _) = ask(server, &request, LIMIT);
                    let response = String::from_utf8(response).unwrap();
                    assert!(
                        response.contains("date: Tue, 22 Sep 2026 14:13:20 GMT\r\n"),
                        "{response}"
                    );
                }
            });
        }
    });
    ask(&server, "GET /_emulator/time HTTP/1.0\r\n\r\n", LIMIT);
    let logged = logged.lock().unwrap();
    let orders: Vec<u64> = logged.iter().map(|seen| seen.order).collect();
    assert_eq!(orders, (1..=40).collect::<Vec<u64>>());
    for client in 0..4 {
        let begin = format!("/{client}/");
        let paths = logged.iter().map(|seen| seen.path.as_str());
        let paths: Vec<_> = paths.filter(|path| path.starts_with(&begin)).collect();
        let expected: Vec<_> = (0..10).map(|number| format!("{begin}{number}")).collect();
        assert_eq!(paths, expected);
    }
    assert!(server.with(|emulator| emulator.seen().is_empty()));
    assert_eq!(server.with(|emulator| emulator.seen_dropped()), 40);
}

#[test]
fn order_continues_after_a_reset() {
    let mut emulator = emulator();
    let path = keys_path(&emulator);
    emulator.inject(Fault::GZIP);
    emulator.reset();
    assert_eq!(emulator.faults().count(), 1);
    for order in 1..=3 {
        assert_eq!(fetch(&mut emulator, &path, PREVIEW).status(), 200);
        let orders: Vec<_> = emulator.seen().iter().map(|seen| seen.order).collect();
        assert_eq!((orders, emulator.requests()), (vec![order], 1));
        let group = emulator.first_group();
        emulator.keys_mut(group).unwrap().clear();
        emulator.heal();
        emulator.revoke_tokens();
        emulator.reset();
        assert_eq!(emulator.keys(group).len(), 42);
        assert_eq!(emulator.faults().count(), 1);
        assert_eq!((emulator.seen().len(), emulator.requests()), (0, 0));
    }
}

#[test]
fn requests_that_the_server_refuses_are_recorded() {
    let logged = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&logged);
    let options = Options::default().with_log(move |seen| log.lock().unwrap().push(seen.clone()));
    let config = Config::default().with_control(true);
    let server = Server::start(Emulator::new(config), options).unwrap();
    for (host, path) in [
        ("localhost", "/x"),
        ("evil.example", "/api/atlas/v2/groups?a=mdb_sa_sk_secret"),
        // As all requests to the control interface, this one is not recorded.
        ("evil.example", "/_emulator/reset"),
        ("localhost", "/y"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        ask(&server, &request, LIMIT);
    }
    let seen = server.with(|emulator| emulator.seen().to_vec());
    assert_eq!(*logged.lock().unwrap(), seen);
    let shown: Vec<_> = seen.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "1 GET /x 404",
            "2 GET /api/atlas/v2/groups?a=[redacted] 421",
            "3 GET /y 404"
        ]
    );
    assert_eq!(
        (seen[1].route, seen[1].headers["host"].as_bytes()),
        (None, &b"evil.example"[..])
    );
}
