//! The properties of requests and replies that do not depend on the steps before them.

use atlas_model_keys_core::{Body, Reply};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};

use super::operations::{AnyRequest, versions};
use super::world::World;
use crate::generators::session::{BASIC_CREDENTIALS, CredentialType};

/// Checks a request of an exchange.
pub(super) fn check_request(world: &World, request: &Request<Body>, expected: &AnyRequest) {
    let headers = request.headers();
    let authorization = headers.get(AUTHORIZATION);
    assert!(authorization.is_none_or(HeaderValue::is_sensitive));
    assert_eq!(headers["user-agent"], "fuzz/1.0");
    if request.method() == Method::POST {
        assert_eq!(world.credential, CredentialType::ServiceAccount);
        let uri = format!("{}/api/oauth/token", world.base);
        assert_eq!(request.uri().to_string(), uri);
        assert_eq!(request.body().as_bytes(), b"grant_type=client_credentials");
        return assert_basic(authorization);
    }
    assert_eq!(request.method(), Method::GET);
    assert!(request.body().is_empty());
    assert_eq!(request.uri(), expected.uri(&world.base));
    let names = ["accept", "user-agent", "authorization"];
    assert!(headers.keys().all(|name| names.contains(&name.as_str())));
}

fn assert_basic(authorization: Option<&HeaderValue>) {
    let text = authorization.and_then(|value| value.to_str().ok());
    assert_eq!(
        text.and_then(|text| text.strip_prefix("Basic ")),
        Some(BASIC_CREDENTIALS.as_str())
    );
}

/// Checks that a request revokes this token.
pub(super) fn assert_revokes(world: &World, request: &Request<Body>, token: &str) {
    assert_eq!(request.method(), Method::POST);
    let uri = format!("{}/api/oauth/revoke", world.base);
    assert_eq!(request.uri().to_string(), uri);
    let value = &request.headers()[AUTHORIZATION];
    assert!(value.is_sensitive());
    assert_basic(Some(value));
    let form: Vec<_> = url::form_urlencoded::parse(request.body().as_bytes()).collect();
    let hint = ("token_type_hint".into(), "access_token".into());
    assert_eq!(form, [("token".into(), token.into()), hint]);
}

/// Checks the reply of an exchange.
pub(super) fn check_reply(world: &mut World, request: &AnyRequest, reply: Reply<Vec<u8>>) {
    assert_eq!(reply.status(), 200);
    let version = reply.version().expect("a version was requested");
    let versions = versions(request.operation(), &world.pinned_version);
    assert!(versions.contains(&version) || reply.headers().contains_key("content-type"));
    if let Err(error) = request.read(reply, &world.limits) {
        world.assert_error(&error, false);
    }
}
