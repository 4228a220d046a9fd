//! The limits on the size of a response.

use atlas_model_keys_core::{Error, Limits, Step};

use super::{response, world};
use crate::dialogue::{CredentialKind, expect_send};

#[test]
fn response_beyond_a_limit_is_an_error() {
    let limits = || {
        let mut limits = Limits::default();
        limits.body_bytes = 100;
        limits.head_bytes = 50;
        limits.headers = 2;
        limits
    };
    let long: &'static str = "x".repeat(50).leak();
    let cases = [
        (response(200, &[], &" ".repeat(101)), "bytes of body"),
        (
            response(200, &[("content-length", "101")], ""),
            "bytes of body",
        ),
        (
            response(200, &[("a", "1"), ("b", "2"), ("b", "3")], ""),
            "header fields",
        ),
        (response(200, &[("a", long)], ""), "bytes of head"),
    ];
    for (response, expected) in cases {
        for kind in [CredentialKind::Bearer, CredentialKind::ServiceAccount] {
            let mut world = world(kind);
            world.session = world.session.with_limits(limits());
            let exchange = expect_send(world.start(&world.request()));
            let error = world
                .respond(exchange.pending, response.clone())
                .unwrap_err();
            assert!(
                matches!(error, Error::Limit { what, .. } if what == expected),
                "{error}"
            );
            assert!(error.to_string().contains(expected));
            // Another exchange can fetch a token.
            assert!(matches!(world.start(&world.request()), Ok(Step::Send(_))));
        }
    }
}
