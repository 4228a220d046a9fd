//! The token endpoint: down, slow, unwilling, and tokens that are none.

use http::StatusCode;
use http::header::{self, RETRY_AFTER};
use serde_json::{Value, json};

use super::argument::Argument;
use super::delivery::Step;
use super::struck::{Struck, fail_at_length};
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    fault(
        "token-close",
        "closes the connection instead of answering",
        |s| {
            s.deliver([Step::Close]);
        },
    ),
    fault(
        "token-reset",
        "resets the connection (RST) instead of answering",
        |s| {
            s.deliver([Step::Reset]);
        },
    ),
    fault(
        "token-stall",
        "says nothing for 30 seconds, then closes the connection",
        |s| {
            s.deliver([Step::Stall]);
        },
    ),
    harmless("token-slow", "answers after this long", |s| {
        let pause = Step::Pause(s.delay());
        s.deliver([pause, Step::Head, Step::Body]);
    })
    .with(Argument::Delay { default: 100 }),
    fault(
        "token-invalid-client",
        "401 invalid_client, as for a wrong secret",
        |s| {
            refuse(s, StatusCode::UNAUTHORIZED, "invalid_client");
        },
    ),
    fault(
        "token-access-denied",
        "403 access_denied, as for the 101st token",
        |s| {
            refuse(s, StatusCode::FORBIDDEN, "access_denied");
        },
    ),
    fault(
        "token-too-many",
        "429, to be tried again in 1 second",
        |s| {
            s.fail(StatusCode::TOO_MANY_REQUESTS);
            s.set(RETRY_AFTER, "1");
        },
    ),
    fault(
        "token-error",
        "this status, with an error in Atlas's shape",
        |s| {
            let status = s.status();
            s.fail(status);
        },
    )
    .with(Argument::error(500)),
    harmless(
        "token-error-once",
        "this status the first time, with an error in Atlas's shape; then tokens as usual",
        |s| {
            if *s.memory == 0 {
                *s.memory = 1;
                let status = s.status();
                s.fail(status);
            }
        },
    )
    .with(Argument::error(500)),
    fault(
        "token-unavailable",
        "503, to be tried again in 1 second",
        |s| {
            s.fail(StatusCode::SERVICE_UNAVAILABLE);
            s.set(RETRY_AFTER, "1");
        },
    ),
    fault(
        "token-error-large",
        "500 with an error in Atlas's shape that has this many bytes",
        fail_at_length,
    )
    .with(Argument::number(17 << 20, 1000, 256 << 20)),
    fault(
        "token-html",
        "200 with a page for people, as of a network's login",
        |s| {
            s.replace_with_html(StatusCode::OK);
        },
    ),
    fault(
        "token-redirect",
        "a redirect (with this status) to another host",
        |s| {
            s.replace_with_redirect("https://attacker.example/api/oauth/token");
        },
    )
    .with(Argument::redirect(307)),
    fault("token-missing", "access_token is not there", |s| {
        grant(s, "access_token", None);
    }),
    fault("token-empty", "access_token is empty", |s| {
        grant(s, "access_token", Some(json!("")));
    }),
    fault("token-null", "access_token is null", |s| {
        grant(s, "access_token", Some(Value::Null));
    }),
    fault(
        "token-control",
        "access_token holds a line break, and a header after it",
        |s| {
            grant(s, "access_token", Some(json!("abc\r\nx-injected: 1")));
        },
    ),
    fault("token-spaces", "access_token holds spaces", |s| {
        grant(s, "access_token", Some(json!(" abc def ")));
    }),
    fault("token-long", "access_token has this many characters", |s| {
        let token = "a".repeat(s.size());
        grant(s, "access_token", Some(token.into()));
    })
    .with(Argument::number(1 << 20, 1, 64 << 20)),
    fault(
        "token-unknown",
        "access_token is one that no listing accepts",
        |s| {
            grant(s, "access_token", Some(json!("eyJhbm90aGVy.eyJvcmc.c2ln")));
        },
    ),
    fault("token-type", "token_type is mac", |s| {
        grant(s, "token_type", Some(json!("mac")));
    }),
    fault("token-type-missing", "token_type is not there", |s| {
        grant(s, "token_type", None);
    }),
    fault("expires-zero", "expires_in is 0", |s| {
        grant(s, "expires_in", Some(json!(0)));
    }),
    fault("expires-negative", "expires_in is -1", |s| {
        grant(s, "expires_in", Some(json!(-1)));
    }),
    harmless("expires-huge", "expires_in is 2^64 - 1", |s| {
        grant(s, "expires_in", Some(json!(u64::MAX)));
    }),
    fault("expires-text", "expires_in is a text", |s| {
        grant(s, "expires_in", Some(json!("3600")));
    }),
    fault("expires-float", "expires_in is 3599.5", |s| {
        grant(s, "expires_in", Some(json!(3599.5)));
    }),
    fault("expires-missing", "expires_in is not there", |s| {
        grant(s, "expires_in", None);
    }),
];

/// An error of RFC 6749 §5.2.
fn refuse(s: &mut Struck<'_>, status: StatusCode, error: &str) {
    let body = json!({"error": error, "error_description": "(This is a fault on demand.)"});
    s.replace(status, body.to_string());
    s.set(header::CONTENT_TYPE, "application/json");
}

/// Changes a field of what was granted, where a token was.
fn grant(s: &mut Struck<'_>, field: &str, value: Option<Value>) {
    let parsed = serde_json::from_slice::<super::struck::Page>(s.response.body());
    let Some(mut granted) = parsed
        .ok()
        .filter(|_| s.response.status() == StatusCode::OK)
    else {
        return;
    };
    match value {
        Some(value) => granted.insert(field.to_owned(), value),
        None => granted.remove(field),
    };
    // What was parsed serialises.
    *s.response.body_mut() = serde_json::to_vec(&granted).unwrap_or_default();
}
