//! Faults of the status and the headers: errors, redirects, `Retry-After` and other responses
//! instead of a page.

use http::StatusCode;
use http::header::{self, HeaderName, RETRY_AFTER};
use serde_json::{Value, json};

use crate::calendar::{http_date, unpadded_date};

use super::context::{FaultContext, JsonObject, json_bytes, replace_with_long_error};
use super::row::faults;

faults![
    FAULTS,
    Meaning,
    fault(
        OK_HTML,
        "ok-html",
        "200 with an HTML page, as from the login page of a network",
        |cx| cx.replace_with_html(StatusCode::OK),
    ),
    fault(OK_EMPTY, "ok-empty", "200 without a body", |cx| {
        cx.replace(StatusCode::OK, []);
        cx.set_header(header::CONTENT_TYPE, "application/json");
    }),
    fault(NO_CONTENT, "no-content", "204 instead of a page", |cx| {
        cx.replace(StatusCode::NO_CONTENT, []);
    }),
    fault(
        NOT_MODIFIED,
        "not-modified",
        "304, although the request was not conditional",
        |cx| {
            cx.replace(StatusCode::NOT_MODIFIED, []);
            cx.set_header(header::ETAG, "\"1\"");
        },
    ),
    fault(
        PARTIAL_CONTENT,
        "partial-content",
        "206 with the first half of the page",
        |cx| {
            let length = cx.response.body().len();
            cx.edit_body(|mut body| {
                body.truncate(length / 2);
                body
            });
            *cx.response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = (length / 2).saturating_sub(1);
            cx.set_header(header::CONTENT_RANGE, format!("bytes 0-{last}/{length}"));
        },
    ),
    fault(
        PARTIAL_CONTENT_WHOLE,
        "partial-content-whole",
        "206 with the whole page, although no range was requested",
        |cx| {
            let length = cx.response.body().len();
            *cx.response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = length.saturating_sub(1);
            cx.set_header(header::CONTENT_RANGE, format!("bytes 0-{last}/{length}"));
        },
    ),
    fault(
        OK_OTHER,
        "ok-other",
        "this success status instead of 200, with the whole page (204 has no body)",
        |cx| *cx.response.status_mut() = cx.status(),
    )
    .with(status(201, 201, 299)),
    fault(
        ERROR_JSON,
        "error-json",
        "this status, with an error in Atlas's format",
        |cx| {
            let status = cx.status();
            cx.replace_with_error(status);
        },
    )
    .with(status(500, 400, 599)),
    fault(
        ERROR_HTML,
        "error-html",
        "this status, with an HTML page, as from a load balancer",
        |cx| {
            let status = cx.status();
            cx.replace_with_html(status);
        },
    )
    .with(status(500, 400, 599)),
    fault(
        ERROR_EMPTY,
        "error-empty",
        "this status, without a body",
        |cx| {
            let status = cx.status();
            cx.replace(status, []);
        }
    )
    .with(status(502, 400, 599)),
    fault(
        ERROR_UNKNOWN,
        "error-unknown",
        "this status of an unknown class, with an error in Atlas's format",
        |cx| {
            let status = cx.status();
            cx.replace_with_error(status);
        },
    )
    .with(status(600, 600, 999)),
    fault(
        ERROR_LARGE,
        "error-large",
        "500 with an error in Atlas's format that has this many bytes",
        replace_with_long_error,
    )
    .with(number(17 << 20, 1000, 256 << 20)),
    fault(
        ENVELOPE_ERROR_TOP,
        "envelope-error-top",
        "200 with an error in an envelope that has this status; the error's fields are at the top",
        |cx| {
            replace_with_envelope(cx, |mut error, status| {
                error.insert("status".to_owned(), status);
                error.into()
            });
        },
    )
    .with(status(500, 400, 599)),
    fault(
        ENVELOPE_ERROR_CONTENT,
        "envelope-error-content",
        "200 with an error in an envelope that has this status; the error is under content",
        |cx| {
            replace_with_envelope(
                cx,
                |error, status| json!({"content": error, "status": status}),
            );
        },
    )
    .with(status(500, 400, 599)),
    fault(
        NOT_FOUND_HTML,
        "not-found-html",
        "404 with an HTML page",
        |cx| {
            cx.replace_with_html(StatusCode::NOT_FOUND);
        }
    ),
    fault(
        PROXY_AUTHENTICATION,
        "proxy-authentication",
        "407 with a challenge, although there is no proxy",
        |cx| {
            cx.replace_with_html(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
            cx.set_header(header::PROXY_AUTHENTICATE, "Basic realm=\"proxy\"");
        },
    ),
    fault(
        REQUEST_TIMEOUT,
        "request-timeout",
        "408, and the connection is closed",
        |cx| {
            cx.replace(StatusCode::REQUEST_TIMEOUT, []);
            cx.set_header(header::CONNECTION, "close");
        },
    ),
    fault(
        TOO_EARLY,
        "too-early",
        "425, as from a server that protects itself from replays",
        |cx| cx.replace(StatusCode::TOO_EARLY, []),
    ),
    fault(
        REDIRECT_OWN,
        "redirect-own",
        "a redirect with this status to the same host",
        |cx| {
            let location = format!("{}/elsewhere", cx.self_url());
            cx.replace_with_redirect(&location);
        },
    )
    .with(status(302, 300, 399)),
    fault(
        REDIRECT_LOOP,
        "redirect-loop",
        "a redirect with this status to the requested URL",
        |cx| {
            let location = cx.target();
            cx.replace_with_redirect(&location);
        },
    )
    .with(status(307, 300, 399)),
    fault(
        REDIRECT_RELATIVE,
        "redirect-relative",
        "a redirect with this status to a relative path",
        |cx| cx.replace_with_redirect("../elsewhere"),
    )
    .with(status(308, 300, 399)),
    fault(
        REDIRECT_OTHER,
        "redirect-other",
        "a redirect with this status to another host",
        |cx| {
            let location = format!("https://attacker.example{}", cx.target());
            cx.replace_with_redirect(&location);
        },
    )
    .with(status(307, 300, 399)),
    fault(
        REDIRECT_DOWNGRADE,
        "redirect-downgrade",
        "a redirect with this status to the same host with http://, on port 80",
        |cx| {
            let authority = cx.authority();
            let host = authority.split(':').next().unwrap_or_default();
            let location = format!("http://{host}{}", cx.target());
            cx.replace_with_redirect(&location);
        },
    )
    .with(status(301, 300, 399)),
    fault(
        REDIRECT_NOWHERE,
        "redirect-nowhere",
        "a redirect with this status, without Location",
        |cx| {
            let status = cx.status();
            cx.replace_with_html(status);
        },
    )
    .with(status(303, 300, 399)),
    fault(
        RETRY_AFTER_ZERO,
        "retry-after-zero",
        "this status, with Retry-After: 0",
        |cx| {
            retry_after(cx, Some("0"));
        },
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_SECONDS,
        "retry-after-seconds",
        "this status, with Retry-After: 2",
        |cx| retry_after(cx, Some("2")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_FRACTION,
        "retry-after-fraction",
        "this status, with Retry-After: 2.5",
        |cx| retry_after(cx, Some("2.5")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_DATE,
        "retry-after-date",
        "this status, with a date in Retry-After that is 2 seconds ahead",
        |cx| {
            let date = http_date(cx.now.as_secs().saturating_add(2));
            retry_after(cx, Some(&date));
        },
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_UNPADDED_DATE,
        "retry-after-unpadded-date",
        "this status, with the date 6 Nov 2094 in Retry-After, the day not padded",
        |cx| {
            let date = unpadded_date(3_939_870_000);
            retry_after(cx, Some(&date));
        },
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_PAST_DATE,
        "retry-after-past-date",
        "this status, with a date in 1994 in Retry-After",
        |cx| retry_after(cx, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_HUGE,
        "retry-after-huge",
        "this status, with more seconds in Retry-After than 64 bits can hold",
        |cx| retry_after(cx, Some("99999999999999999999")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_NEGATIVE,
        "retry-after-negative",
        "this status, with Retry-After: -1",
        |cx| retry_after(cx, Some("-1")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_TEXT,
        "retry-after-text",
        "this status, with Retry-After: soon",
        |cx| {
            retry_after(cx, Some("soon"));
        },
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_EMPTY,
        "retry-after-empty",
        "this status, with an empty Retry-After",
        |cx| retry_after(cx, Some("")),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_MISSING,
        "retry-after-missing",
        "this status, without Retry-After",
        |cx| retry_after(cx, None),
    )
    .with(status(429, 400, 599)),
    fault(
        RETRY_AFTER_TWICE,
        "retry-after-twice",
        "this status, with two Retry-After fields: 1 and 3600",
        |cx| {
            retry_after(cx, Some("1"));
            cx.add_header(RETRY_AFTER, "3600");
        },
    )
    .with(status(429, 400, 599)),
    harmless(
        REMAINING_ZERO,
        "remaining-zero",
        "RateLimit-Remaining is 0 in every response, although no request is refused",
        |cx| {
            cx.set_header(HeaderName::from_static("ratelimit-limit"), "1200");
            cx.set_header(HeaderName::from_static("ratelimit-remaining"), "0");
        },
    ),
    harmless(
        HEADERS_UNKNOWN,
        "headers-unknown",
        "unknown header fields with unusual bytes",
        |cx| {
            cx.set_header(HeaderName::from_static("x-unknown"), b"\xff\xfe \t \"");
            cx.set_header(HeaderName::from_static("x-empty"), "");
            cx.add_header(HeaderName::from_static("x-empty"), "");
        },
    ),
];

/// Replaces the response with a 200 that has an error in an envelope, whether or not the request asked
/// for an envelope.
fn replace_with_envelope(
    cx: &mut FaultContext<'_>,
    envelope: impl FnOnce(JsonObject, Value) -> Value,
) {
    let status = cx.status();
    cx.replace_with_error(status);
    *cx.response.status_mut() = StatusCode::OK;
    cx.edit_body(|body| {
        let error = serde_json::from_slice(&body).unwrap_or_default();
        json_bytes(envelope(error, status.as_u16().into()))
    });
}

fn retry_after(cx: &mut FaultContext<'_>, value: Option<&str>) {
    let status = cx.status();
    cx.replace_with_error(status);
    if let Some(value) = value {
        cx.set_header(RETRY_AFTER, value);
    }
}
