//! Access tokens: issue, expiry, revocation and the limit of 100.

use crate::support::{NOW, PREVIEW, after, get, json, keys_path, token_request};
use atlas_model_keys_emulator::{Config, Emulator, Route};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use std::time::Duration;

const FORM: &str = "grant_type=client_credentials";

fn ask(emulator: &mut Emulator, form: &str, now: Duration) -> Response<Vec<u8>> {
    let request = token_request(emulator, form);
    emulator.handle(&request, now)
}

fn token(emulator: &mut Emulator, now: Duration) -> String {
    let response = ask(emulator, FORM, now);
    assert_eq!(response.status(), 200);
    json(&response)["access_token"].as_str().unwrap().to_owned()
}

fn list(emulator: &mut Emulator, token: &str, now: Duration) -> u16 {
    let request = get(&keys_path(emulator), PREVIEW, &format!("Bearer {token}"));
    emulator.handle(&request, now).status().as_u16()
}

#[test]
fn token_response_has_the_documented_format_and_the_token_expires() {
    let mut emulator = Emulator::new(Config::default());
    let response = ask(&mut emulator, FORM, NOW);
    let body = json(&response);
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(
        String::from_utf8_lossy(response.body()),
        format!(r#"{{"access_token":"{token}","expires_in":3600,"token_type":"Bearer"}}"#)
    );
    // RFC 6749 §5.1.
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["pragma"], "no-cache");
    assert_eq!(list(&mut emulator, token, NOW), 200);
    assert_eq!(list(&mut emulator, token, after(3599)), 200);
    assert_eq!(list(&mut emulator, token, after(3600)), 401);
    assert_eq!(list(&mut emulator, "another", NOW), 401);
    assert_eq!(emulator.token_requests(), 1);
    // The token that exists from the start does not expire.
    let long_lived = emulator.access_token().to_owned();
    assert_eq!(list(&mut emulator, &long_lived, Duration::MAX), 200);
}

#[test]
fn request_for_more_than_100_live_tokens_is_refused() {
    let mut emulator = Emulator::new(Config::default());
    let tokens: Vec<_> = (0..100).map(|n| token(&mut emulator, after(n))).collect();
    let refused = ask(&mut emulator, FORM, after(100));
    assert_eq!(refused.status(), 403);
    assert_eq!(json(&refused)["error"], "access_denied");
    // When the first has expired, one more can be issued.
    token(&mut emulator, after(3600));
    assert_eq!(ask(&mut emulator, FORM, after(3600)).status(), 403);
    // After a revocation one more can be issued too.
    let mut revoke = token_request(&emulator, "");
    *revoke.uri_mut() = "/api/oauth/revoke".parse().unwrap();
    *revoke.body_mut() = format!("token={}&token_type_hint=access_token", tokens[50]).into_bytes();
    assert_eq!(emulator.handle(&revoke, after(3600)).status(), 200);
    assert_eq!(list(&mut emulator, &tokens[50], after(3600)), 401);
    assert_eq!(list(&mut emulator, &tokens[51], after(3600)), 200);
    token(&mut emulator, after(3600));
    // Revoking an unknown token is no error and changes nothing.
    assert_eq!(emulator.handle(&revoke, after(3600)).status(), 200);
}

#[test]
fn invalid_token_requests_get_oauth_errors() {
    let mut emulator = Emulator::new(Config::default());
    let right = token_request(&emulator, FORM);
    let with = |name: header::HeaderName, value: &'static str| {
        let mut request = right.clone();
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
        request
    };
    let invalid_client =
        r#"{"error":"invalid_client","error_description":"Invalid credentials provided."}"#;
    for authorization in [
        "Basic bWRiX3NhX2lkXzE6bWRiX3NhX3NrXzE=",
        "Basic !",
        "Basic",
        "Bearer x",
    ] {
        let request = with(header::AUTHORIZATION, authorization);
        let response = emulator.handle(&request, NOW);
        assert_eq!(response.status(), 401);
        assert_eq!(String::from_utf8_lossy(response.body()), invalid_client);
        // RFC 6749 §5.2.
        let challenge = &response.headers()["www-authenticate"];
        assert_eq!(challenge, "Basic realm=\"MMS Public API\"");
        let mut revoke = request;
        *revoke.uri_mut() = "/api/oauth/revoke".parse().unwrap();
        let response = emulator.handle(&revoke, NOW);
        assert_eq!(response.status(), 401);
        assert_eq!(&response.headers()["www-authenticate"], challenge);
    }
    for (form, error) in [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        (
            "grant_type=client_credentials&grant_type=client_credentials",
            "invalid_request",
        ),
        ("grant_type=refresh_token", "unsupported_grant_type"),
    ] {
        let response = ask(&mut emulator, form, NOW);
        assert_eq!(response.status(), 400, "{form}");
        assert_eq!(json(&response)["error"], error);
        assert!(!response.headers().contains_key("www-authenticate"));
    }
    let request = with(header::CONTENT_TYPE, "application/json");
    let response = emulator.handle(&request, NOW);
    assert_eq!(response.status(), 400);
    assert_eq!(json(&response)["error"], "invalid_request");
    let request = Request::get("/api/oauth/token").body("").unwrap();
    let response = emulator.handle(&request, NOW);
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
}

#[test]
fn revoked_tokens_are_refused_and_queued_errors_are_sent_once_each() {
    let mut emulator = Emulator::new(Config::default());
    let first = token(&mut emulator, NOW);
    emulator.revoke_tokens();
    assert_eq!(list(&mut emulator, &first, NOW), 401);

    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("0"))]);
    let busy = StatusCode::TOO_MANY_REQUESTS;
    emulator.fail_next(2, Route::Token, busy, &headers);
    for _ in 0..2 {
        let response = ask(&mut emulator, FORM, NOW);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "0");
        // `fail_next` sends Atlas's own error format, not that of OAuth.
        assert_eq!(json(&response)["error"], 429);
    }
    token(&mut emulator, NOW);
    assert_eq!(emulator.token_requests(), 4);
}
