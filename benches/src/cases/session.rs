//! Whole dialogues for a page of one key, in memory. The dialogue by hand only creates a request and
//! checks the status.

use std::hint::black_box;
use std::rc::Rc;

use atlas_model_keys_core::{BaseUrl, Credentials, ListRequest, Reply, Session, Step};
use http::{Request, Response};

use super::request::{at, bearer, list, naive};
use super::{Case, page};

const BODY: &[u8] = br#"{"access_token":"eyJhbGciOiJFUzUxMiJ9.eyJpc3MiOiJhdGxhcyJ9.c2lnbmF0dXJl","token_type":"Bearer","expires_in":3600}"#;
const CHALLENGE: &str = r#"Digest realm="MMS Public API", domain="", nonce="4rJ8w2aUHxWE5k0Vr0hLj3cB7mJ1u2sQ", algorithm=MD5, qop="auth", stale=false"#;

/// Returns the response to a request, like a minimal Atlas.
fn respond<'a, T>(request: &Request<T>, page: &'a [u8]) -> Response<&'a [u8]> {
    let path = request.uri().path();
    let headers = request.headers();
    let authorized = |scheme: &[u8]| {
        headers
            .get("authorization")
            .is_some_and(|value| value.as_bytes().starts_with(scheme))
    };
    let response = Response::builder()
        .header("date", "Mon, 02 Mar 2026 10:11:12 GMT")
        .header("ratelimit-remaining", "1187");
    let response = if path == "/api/oauth/token" {
        response
            .header("content-type", "application/json")
            .body(BODY)
    } else if authorized(b"Bearer ") || authorized(b"Digest ") {
        response
            .header("content-type", "application/vnd.atlas.preview+json")
            .body(page)
    } else {
        response
            .status(401)
            .header("www-authenticate", CHALLENGE)
            .body(&b""[..])
    };
    response.expect("a response")
}

fn dialogue<'p>(session: &mut Session, list: &ListRequest, page: &'p [u8]) -> Reply<&'p [u8]> {
    let mut step = session.start(list, at());
    loop {
        step = match step.expect("a step") {
            Step::Done(reply) => return reply,
            Step::Send(exchange) => {
                let response = respond(&exchange.request, page);
                session.respond(exchange.pending, response, at())
            }
            Step::Wait(_) => panic!("nothing to wait for"),
        }
    }
}

fn service_account() -> Session {
    let credentials = Credentials::service_account(
        "mdb_sa_id_0123456789abcdef01234567",
        "mdb_sa_sk_0123456789abcdefghij",
    );
    Session::new(BaseUrl::default(), credentials.expect("credentials"))
}

fn api_key() -> Session {
    let credentials = Credentials::api_key("abcdefgh", "01234567-89ab-cdef-0123-456789abcdef");
    Session::new(BaseUrl::default(), credentials.expect("credentials"))
}

pub(super) fn cases() -> Vec<Case> {
    let page: Rc<[u8]> = page::body(1).into();
    let list = list();
    let again = |name, mut session: Session| {
        let page = Rc::clone(&page);
        // After this the session has a token or a nonce.
        drop(dialogue(&mut session, &list, &page));
        Case::new("session", name, move || {
            drop(dialogue(&mut session, &list, &page));
        })
    };
    let first = |name, session: fn() -> Session| {
        let page = Rc::clone(&page);
        Case::new("session", name, move || {
            drop(dialogue(&mut session(), &list, &page));
        })
    };
    let by_hand = Rc::clone(&page);
    vec![
        Case::new("session", "by hand, bearer token", move || {
            let request = naive();
            let response = respond(&request, &by_hand);
            assert!(response.status().is_success());
            black_box(response.into_body());
        }),
        again("ours, bearer token", bearer()),
        first("ours, service account, token first", service_account),
        again("ours, service account, token there", service_account()),
        first("ours, API key, challenge first", api_key),
        again("ours, API key, nonce there", api_key()),
    ]
}
