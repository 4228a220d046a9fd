//! Faults of the token endpoint: failed, slow and refused requests, and invalid tokens.

use http::StatusCode;
use http::header::{self, RETRY_AFTER};
use serde_json::{Value, json};

use super::context::{FaultContext, JsonObject, json_bytes, replace_with_long_error};
use super::delivery::DeliveryStep::{Body, Close, Head, Pause, Reset, Stall};
use super::row::faults;

faults![
    FAULTS,
    Token,
    fault(
        TOKEN_CLOSE,
        "token-close",
        "closes the connection instead of sending a response",
        |cx| {
            cx.set_delivery([Close]);
        },
    ),
    fault(
        TOKEN_RESET,
        "token-reset",
        "resets the connection (RST) instead of sending a response",
        |cx| {
            cx.set_delivery([Reset]);
        },
    ),
    fault(
        TOKEN_STALL,
        "token-stall",
        "sends nothing for 30 seconds, then closes the connection",
        |cx| {
            cx.set_delivery([Stall]);
        },
    ),
    harmless(
        TOKEN_SLOW,
        "token-slow",
        "sends the response after this time",
        |cx| {
            let pause = Pause(cx.delay());
            cx.set_delivery([pause, Head, Body]);
        }
    )
    .with(delay(100, 0, 60_000)),
    fault(
        TOKEN_INVALID_CLIENT,
        "token-invalid-client",
        "401 invalid_client, as for a wrong secret",
        |cx| {
            replace_with_oauth_error(cx, StatusCode::UNAUTHORIZED, "invalid_client");
        },
    ),
    fault(
        TOKEN_ACCESS_DENIED,
        "token-access-denied",
        "403 access_denied, as for the 101st token",
        |cx| {
            replace_with_oauth_error(cx, StatusCode::FORBIDDEN, "access_denied");
        },
    ),
    fault(
        TOKEN_TOO_MANY,
        "token-too-many",
        "429 with Retry-After: 1",
        |cx| {
            cx.replace_with_error(StatusCode::TOO_MANY_REQUESTS);
            cx.set_header(RETRY_AFTER, "1");
        }
    ),
    fault(
        TOKEN_ERROR,
        "token-error",
        "this status, with an error in Atlas's format",
        |cx| {
            let status = cx.status();
            cx.replace_with_error(status);
        },
    )
    .with(status(500, 400, 599)),
    harmless(
        TOKEN_ERROR_ONCE,
        "token-error-once",
        "this status for the first request, with an error in Atlas's format; then tokens as usual",
        |cx| {
            if *cx.memory == 0 {
                *cx.memory = 1;
                let status = cx.status();
                cx.replace_with_error(status);
            }
        },
    )
    .with(status(500, 400, 599)),
    fault(
        TOKEN_UNAVAILABLE,
        "token-unavailable",
        "503 with Retry-After: 1",
        |cx| {
            cx.replace_with_error(StatusCode::SERVICE_UNAVAILABLE);
            cx.set_header(RETRY_AFTER, "1");
        }
    ),
    fault(
        TOKEN_ERROR_LARGE,
        "token-error-large",
        "500 with an error in Atlas's format that has this many bytes",
        replace_with_long_error,
    )
    .with(number(17 << 20, 1000, 256 << 20)),
    fault(
        TOKEN_HTML,
        "token-html",
        "200 with an HTML page, as from the login page of a network",
        |cx| {
            cx.replace_with_html(StatusCode::OK);
        },
    ),
    fault(
        TOKEN_REDIRECT,
        "token-redirect",
        "a redirect with this status to another host",
        |cx| {
            cx.replace_with_redirect("https://attacker.example/api/oauth/token");
        },
    )
    .with(status(307, 300, 399)),
    fault(
        TOKEN_MISSING,
        "token-missing",
        "access_token is missing",
        |cx| {
            set_token_field(cx, "access_token", None);
        }
    ),
    fault(TOKEN_EMPTY, "token-empty", "access_token is empty", |cx| {
        set_token_field(cx, "access_token", Some(json!("")));
    }),
    fault(TOKEN_NULL, "token-null", "access_token is null", |cx| {
        set_token_field(cx, "access_token", Some(Value::Null));
    }),
    fault(
        TOKEN_CONTROL,
        "token-control",
        "access_token contains a line break and a header after it",
        |cx| {
            set_token_field(cx, "access_token", Some(json!("abc\r\nx-injected: 1")));
        },
    ),
    fault(
        TOKEN_SPACES,
        "token-spaces",
        "access_token contains spaces",
        |cx| {
            set_token_field(cx, "access_token", Some(json!(" abc def ")));
        }
    ),
    fault(
        TOKEN_LONG,
        "token-long",
        "access_token has this many characters",
        |cx| {
            let token = "a".repeat(cx.size());
            set_token_field(cx, "access_token", Some(token.into()));
        },
    )
    .with(number(1 << 20, 1, 64 << 20)),
    fault(
        TOKEN_UNKNOWN,
        "token-unknown",
        "access_token is a token that no listing accepts",
        |cx| {
            set_token_field(cx, "access_token", Some(json!("eyJhbm90aGVy.eyJvcmc.c2ln")));
        },
    ),
    fault(TOKEN_TYPE, "token-type", "token_type is mac", |cx| {
        set_token_field(cx, "token_type", Some(json!("mac")));
    }),
    fault(
        TOKEN_TYPE_MISSING,
        "token-type-missing",
        "token_type is missing",
        |cx| {
            set_token_field(cx, "token_type", None);
        }
    ),
    fault(EXPIRES_ZERO, "expires-zero", "expires_in is 0", |cx| {
        set_token_field(cx, "expires_in", Some(json!(0)));
    }),
    fault(
        EXPIRES_NEGATIVE,
        "expires-negative",
        "expires_in is -1",
        |cx| {
            set_token_field(cx, "expires_in", Some(json!(-1)));
        }
    ),
    harmless(
        EXPIRES_HUGE,
        "expires-huge",
        "expires_in is 2^64 - 1",
        |cx| {
            set_token_field(cx, "expires_in", Some(json!(u64::MAX)));
        }
    ),
    fault(
        EXPIRES_TEXT,
        "expires-text",
        "expires_in is a string",
        |cx| {
            set_token_field(cx, "expires_in", Some(json!("3600")));
        }
    ),
    fault(
        EXPIRES_FLOAT,
        "expires-float",
        "expires_in is 3599.5",
        |cx| {
            set_token_field(cx, "expires_in", Some(json!(3599.5)));
        }
    ),
    fault(
        EXPIRES_MISSING,
        "expires-missing",
        "expires_in is missing",
        |cx| {
            set_token_field(cx, "expires_in", None);
        }
    ),
];

/// Replaces the response with an error of RFC 6749 §5.2.
fn replace_with_oauth_error(cx: &mut FaultContext<'_>, status: StatusCode, error: &str) {
    let body = json!({"error": error, "error_description": "(This is a fault on demand.)"});
    cx.replace(status, body.to_string());
    cx.set_header(header::CONTENT_TYPE, "application/json");
}

/// Changes or removes a field of the token response, if a token was granted.
fn set_token_field(cx: &mut FaultContext<'_>, field: &str, value: Option<Value>) {
    let parsed = serde_json::from_slice::<JsonObject>(cx.response.body());
    let Some(mut granted) = parsed
        .ok()
        .filter(|_| cx.response.status() == StatusCode::OK)
    else {
        return;
    };
    match value {
        Some(value) => granted.insert(field.to_owned(), value),
        None => granted.remove(field),
    };
    *cx.response.body_mut() = json_bytes(granted);
}
