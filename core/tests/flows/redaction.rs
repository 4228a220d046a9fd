//! No secret appears in a `Debug` text or an error.

use atlas_model_keys_core::Step;
use atlas_model_keys_emulator::Route;

use super::{response, world};
use crate::dialogue::{CREDENTIAL_KINDS, CredentialKind, expect_send};

#[test]
fn no_debug_or_error_text_shows_a_secret() {
    for kind in CREDENTIAL_KINDS {
        let mut world = world(kind);
        let secrets = [
            world.emulator.access_token().to_owned(),
            world.emulator.service_account().client_secret.clone(),
            world.emulator.api_key().private_key.clone(),
        ];
        let mut shown = format!("{:?}", kind.credentials(&world.emulator));
        let mut step = world.start(&world.request()).unwrap();
        let mut tokens = Vec::new();
        let reply = loop {
            shown += &format!("{step:?} {:?}", world.session);
            step = match step {
                Step::Done(reply) => break reply,
                Step::Wait(wait) => panic!("{wait:?}"),
                Step::Send(exchange) => {
                    if let Some(value) = exchange.request.headers().get("authorization") {
                        tokens.push(value.to_str().unwrap().to_owned());
                    }
                    world.send(exchange).unwrap()
                }
            };
        };
        shown += &format!("{reply:?}");
        shown += &format!("{:?}", reply.into_page().unwrap());

        // The response repeats every secret.
        let echo = format!(
            r#"{{"errorCode":"{0}","detail":"{0} {1} {2}","reason":"{3}","parameters":["{0}"]}}"#,
            secrets[0],
            secrets[1],
            secrets[2],
            tokens
                .last()
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .replace('"', ""),
        );
        let operation = Route::ListGroupKeys;
        world
            .emulator
            .respond_next_authenticated(operation, response(400, &[], &echo));
        let error = world.list(&world.request()).unwrap_err();
        let of_kind = match kind {
            CredentialKind::Bearer => &secrets[0],
            CredentialKind::ServiceAccount => &secrets[1],
            CredentialKind::ApiKey => &secrets[2],
        };
        let error = format!("{error} {error:?}");
        assert!(
            error.contains("[redacted]") && !error.contains(of_kind.as_str()),
            "{error}"
        );
        for secret in &secrets {
            assert!(!shown.contains(secret.as_str()), "{kind:?}: {shown}");
        }
        for token in tokens.iter().filter(|token| !token.starts_with("Digest")) {
            let bare = token.split(' ').nth(1).unwrap();
            assert!(!shown.contains(bare), "{kind:?}: {shown}");
            assert!(!error.contains(bare), "{kind:?}: {error}");
        }
    }
}

#[test]
fn late_errors_of_a_reply_show_no_secret() {
    for kind in [CredentialKind::Bearer, CredentialKind::ServiceAccount] {
        let mut world = world(kind);
        let exchange = expect_send(world.start(&world.request()));
        let (exchange, token) = match kind {
            CredentialKind::ServiceAccount => {
                let token_body = r#"{"access_token":"tok1-hunter2","expires_in":3600}"#;
                (
                    expect_send(world.respond(exchange.pending, response(200, &[], token_body))),
                    "tok1-hunter2".to_owned(),
                )
            }
            _ => (exchange, world.emulator.access_token().to_owned()),
        };
        let echo = format!(r#"{{"errorCode":"X","detail":"bad token {token}"}}"#);
        let late = expect_send(world.start(&world.request()));
        let Ok(Step::Done(reply)) = world.respond(exchange.pending, response(200, &[], &echo))
        else {
            panic!("not done");
        };
        let error = reply.into_page().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(&token) && shown.contains("bad token [redacted]"),
            "{shown}"
        );

        // A response that arrives after the token was replaced does not show it, either.
        if kind == CredentialKind::ServiceAccount {
            let other = expect_send(world.start(&world.request()));
            let fetch = expect_send(world.respond(other.pending, response(401, &[], "")));
            let token_body = r#"{"access_token":"tok2","expires_in":3600}"#;
            let _ = expect_send(world.respond(fetch.pending, response(200, &[], token_body)));
            let error = world
                .respond(late.pending, response(404, &[], &echo))
                .unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
