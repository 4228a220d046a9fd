//! Faults of the status and the headers: errors, redirects, `Retry-After` and other responses
//! instead of a page.

use http::StatusCode;
use http::header::{self, HeaderName, RETRY_AFTER};

use crate::calendar::{http_date, unpadded_date};

use super::argument::Argument;
use super::context::{FaultContext, replace_with_long_error};
use super::row::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    fault(
        "ok-html",
        "200 with an HTML page, as from the login page of a network",
        |cx| cx.replace_with_html(StatusCode::OK),
    ),
    fault("ok-empty", "200 without a body", |cx| {
        cx.replace(StatusCode::OK, []);
        cx.set_header(header::CONTENT_TYPE, "application/json");
    }),
    fault("no-content", "204 instead of a page", |cx| {
        cx.replace(StatusCode::NO_CONTENT, []);
    }),
    fault(
        "not-modified",
        "304, although the request was not conditional",
        |cx| {
            cx.replace(StatusCode::NOT_MODIFIED, []);
            cx.set_header(header::ETAG, "\"1\"");
        },
    ),
    fault(
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
        "ok-other",
        "this success status instead of 200, with the whole page (204 has no body)",
        |cx| *cx.response.status_mut() = cx.status(),
    )
    .with(Argument::number(201, 201, 299)),
    fault(
        "error-json",
        "this status, with an error in Atlas's format",
        |cx| {
            let status = cx.status();
            cx.replace_with_error(status);
        },
    )
    .with(Argument::error(500)),
    fault(
        "error-html",
        "this status, with an HTML page, as from a load balancer",
        |cx| {
            let status = cx.status();
            cx.replace_with_html(status);
        },
    )
    .with(Argument::error(500)),
    fault("error-empty", "this status, without a body", |cx| {
        let status = cx.status();
        cx.replace(status, []);
    })
    .with(Argument::error(502)),
    fault(
        "error-unknown",
        "this status of an unknown class, with an error in Atlas's format",
        |cx| {
            let status = cx.status();
            cx.replace_with_error(status);
        },
    )
    .with(Argument::number(600, 600, 999)),
    fault(
        "error-large",
        "500 with an error in Atlas's format that has this many bytes",
        replace_with_long_error,
    )
    .with(Argument::number(17 << 20, 1000, 256 << 20)),
    fault("not-found-html", "404 with an HTML page", |cx| {
        cx.replace_with_html(StatusCode::NOT_FOUND);
    }),
    fault(
        "proxy-authentication",
        "407 with a challenge, although there is no proxy",
        |cx| {
            cx.replace_with_html(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
            cx.set_header(header::PROXY_AUTHENTICATE, "Basic realm=\"proxy\"");
        },
    ),
    fault(
        "request-timeout",
        "408, and the connection is closed",
        |cx| {
            cx.replace(StatusCode::REQUEST_TIMEOUT, []);
            cx.set_header(header::CONNECTION, "close");
        },
    ),
    fault(
        "too-early",
        "425, as from a server that protects itself from replays",
        |cx| cx.replace(StatusCode::TOO_EARLY, []),
    ),
    fault(
        "redirect-own",
        "a redirect with this status to the same host",
        |cx| {
            let location = format!("{}/elsewhere", cx.self_url());
            cx.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(302)),
    fault(
        "redirect-loop",
        "a redirect with this status to the requested URL",
        |cx| {
            let location = cx.target();
            cx.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(307)),
    fault(
        "redirect-relative",
        "a redirect with this status to a relative path",
        |cx| cx.replace_with_redirect("../elsewhere"),
    )
    .with(Argument::redirect(308)),
    fault(
        "redirect-other",
        "a redirect with this status to another host",
        |cx| {
            let location = format!("https://attacker.example{}", cx.target());
            cx.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(307)),
    fault(
        "redirect-downgrade",
        "a redirect with this status to the same host with http://, on port 80",
        |cx| {
            let authority = cx.authority();
            let host = authority.split(':').next().unwrap_or_default();
            let location = format!("http://{host}{}", cx.target());
            cx.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(301)),
    fault(
        "redirect-nowhere",
        "a redirect with this status, without Location",
        |cx| {
            let status = cx.status();
            cx.replace_with_html(status);
        },
    )
    .with(Argument::redirect(303)),
    fault(
        "retry-after-zero",
        "this status, with Retry-After: 0",
        |cx| {
            retry_after(cx, Some("0"));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-seconds",
        "this status, with Retry-After: 2",
        |cx| retry_after(cx, Some("2")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-fraction",
        "this status, with Retry-After: 2.5",
        |cx| retry_after(cx, Some("2.5")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-date",
        "this status, with a date in Retry-After that is 2 seconds ahead",
        |cx| {
            let date = http_date(cx.now.as_secs().saturating_add(2));
            retry_after(cx, Some(&date));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-unpadded-date",
        "this status, with the date 6 Nov 2094 in Retry-After, the day not padded",
        |cx| {
            let date = unpadded_date(3_939_870_000);
            retry_after(cx, Some(&date));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-past-date",
        "this status, with a date in 1994 in Retry-After",
        |cx| retry_after(cx, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-huge",
        "this status, with more seconds in Retry-After than 64 bits can hold",
        |cx| retry_after(cx, Some("99999999999999999999")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-negative",
        "this status, with Retry-After: -1",
        |cx| retry_after(cx, Some("-1")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-text",
        "this status, with Retry-After: soon",
        |cx| {
            retry_after(cx, Some("soon"));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-empty",
        "this status, with an empty Retry-After",
        |cx| retry_after(cx, Some("")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-missing",
        "this status, without Retry-After",
        |cx| retry_after(cx, None),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-twice",
        "this status, with two Retry-After fields: 1 and 3600",
        |cx| {
            retry_after(cx, Some("1"));
            cx.add_header(RETRY_AFTER, "3600");
        },
    )
    .with(Argument::error(429)),
    harmless(
        "remaining-zero",
        "RateLimit-Remaining is 0 in every response, although no request is refused",
        |cx| {
            cx.set_header(HeaderName::from_static("ratelimit-limit"), "1200");
            cx.set_header(HeaderName::from_static("ratelimit-remaining"), "0");
        },
    ),
    harmless(
        "headers-unknown",
        "unknown header fields with unusual bytes",
        |cx| {
            cx.set_header(HeaderName::from_static("x-unknown"), b"\xff\xfe \t \"");
            cx.set_header(HeaderName::from_static("x-empty"), "");
            cx.add_header(HeaderName::from_static("x-empty"), "");
        },
    ),
];

fn retry_after(cx: &mut FaultContext<'_>, value: Option<&str>) {
    let status = cx.status();
    cx.replace_with_error(status);
    if let Some(value) = value {
        cx.set_header(RETRY_AFTER, value);
    }
}
