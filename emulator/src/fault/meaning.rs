//! The status and the headers: other answers than a page, and what they may mean.

use http::StatusCode;
use http::header::{self, HeaderName, RETRY_AFTER};

use crate::calendar::{http_date, unpadded_date};

use super::argument::Argument;
use super::struck::{Struck, fail_at_length};
use super::{Row, fault, harmless};

pub(super) const ROWS: &[Row] = &[
    fault(
        "ok-html",
        "200 with a page for people, as of a network's login",
        |s| s.replace_with_html(StatusCode::OK),
    ),
    fault("ok-empty", "200 without a body", |s| {
        s.replace(StatusCode::OK, []);
        s.set(header::CONTENT_TYPE, "application/json");
    }),
    fault("no-content", "204, so that there is no page", |s| {
        s.replace(StatusCode::NO_CONTENT, []);
    }),
    fault("not-modified", "304, which nobody asked for", |s| {
        s.replace(StatusCode::NOT_MODIFIED, []);
        s.set(header::ETAG, "\"1\"");
    }),
    fault(
        "partial-content",
        "206 with the first half of the page",
        |s| {
            let length = s.response.body().len();
            s.body(|mut body| {
                body.truncate(length / 2);
                body
            });
            *s.response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = (length / 2).saturating_sub(1);
            s.set(header::CONTENT_RANGE, format!("bytes 0-{last}/{length}"));
        },
    ),
    fault(
        "partial-content-whole",
        "206 with the whole page, though no part was asked for",
        |s| {
            let length = s.response.body().len();
            *s.response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = length.saturating_sub(1);
            s.set(header::CONTENT_RANGE, format!("bytes 0-{last}/{length}"));
        },
    ),
    fault(
        "ok-other",
        "this status of success instead of 200, with the whole page (but for 204, which has none)",
        |s| *s.response.status_mut() = s.status(),
    )
    .with(Argument::number(201, 201, 299)),
    fault(
        "error-json",
        "this status, with an error in Atlas's shape",
        |s| {
            let status = s.status();
            s.fail(status);
        },
    )
    .with(Argument::error(500)),
    fault(
        "error-html",
        "this status, with a page for people, as from a balancer",
        |s| {
            let status = s.status();
            s.replace_with_html(status);
        },
    )
    .with(Argument::error(500)),
    fault("error-empty", "this status, without a body", |s| {
        let status = s.status();
        s.replace(status, []);
    })
    .with(Argument::error(502)),
    fault(
        "error-unknown",
        "this status, which is of no known class, with an error in Atlas's shape",
        |s| {
            let status = s.status();
            s.fail(status);
        },
    )
    .with(Argument::number(600, 600, 999)),
    fault(
        "error-large",
        "500 with an error in Atlas's shape that has this many bytes",
        fail_at_length,
    )
    .with(Argument::number(17 << 20, 1000, 256 << 20)),
    fault("not-found-html", "404 with a page for people", |s| {
        s.replace_with_html(StatusCode::NOT_FOUND);
    }),
    fault(
        "proxy-authentication",
        "407 with a challenge, though no proxy is in between",
        |s| {
            s.replace_with_html(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
            s.set(header::PROXY_AUTHENTICATE, "Basic realm=\"proxy\"");
        },
    ),
    fault(
        "request-timeout",
        "408, and the connection is closed",
        |s| {
            s.replace(StatusCode::REQUEST_TIMEOUT, []);
            s.set(header::CONNECTION, "close");
        },
    ),
    fault(
        "too-early",
        "425, as from a server that fears a replay",
        |s| s.replace(StatusCode::TOO_EARLY, []),
    ),
    fault(
        "redirect-own",
        "a redirect (with this status) to the same host",
        |s| {
            let location = format!("{}/elsewhere", s.self_url());
            s.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(302)),
    fault(
        "redirect-loop",
        "a redirect (with this status) to what was asked for",
        |s| {
            let location = s.target();
            s.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(307)),
    fault(
        "redirect-relative",
        "a redirect (with this status) to a path",
        |s| s.replace_with_redirect("../elsewhere"),
    )
    .with(Argument::redirect(308)),
    fault(
        "redirect-other",
        "a redirect (with this status) to another host",
        |s| {
            let location = format!("https://attacker.example{}", s.target());
            s.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(307)),
    fault(
        "redirect-downgrade",
        "a redirect (with this status) to the same host by http://, on port 80",
        |s| {
            let authority = s.authority();
            let host = authority.split(':').next().unwrap_or_default();
            let location = format!("http://{host}{}", s.target());
            s.replace_with_redirect(&location);
        },
    )
    .with(Argument::redirect(301)),
    fault(
        "redirect-nowhere",
        "a redirect (with this status) without a Location",
        |s| {
            let status = s.status();
            s.replace_with_html(status);
        },
    )
    .with(Argument::redirect(303)),
    fault(
        "retry-after-zero",
        "this status, to be tried again at once",
        |s| {
            retry_after(s, Some("0"));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-seconds",
        "this status, to be tried again in 2 seconds",
        |s| retry_after(s, Some("2")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-fraction",
        "this status, to be tried again in 2.5 seconds",
        |s| retry_after(s, Some("2.5")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-date",
        "this status, to be tried again at a date in 2 seconds",
        |s| {
            let date = http_date(s.now.as_secs().saturating_add(2));
            retry_after(s, Some(&date));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-unpadded-date",
        "this status, to be tried again at 6 Nov 2094, the day not padded",
        |s| {
            let date = unpadded_date(3_939_870_000);
            retry_after(s, Some(&date));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-past-date",
        "this status, to be tried again at a date in 1994",
        |s| retry_after(s, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-huge",
        "this status, to be tried again in more seconds than 64 bits hold",
        |s| retry_after(s, Some("99999999999999999999")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-negative",
        "this status, to be tried again in -1 seconds",
        |s| retry_after(s, Some("-1")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-text",
        "this status, to be tried again soon",
        |s| {
            retry_after(s, Some("soon"));
        },
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-empty",
        "this status, with a Retry-After that is empty",
        |s| retry_after(s, Some("")),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-missing",
        "this status, without a Retry-After",
        |s| retry_after(s, None),
    )
    .with(Argument::error(429)),
    fault(
        "retry-after-twice",
        "this status, to be tried again in 1 second, or in 3600",
        |s| {
            retry_after(s, Some("1"));
            s.add(RETRY_AFTER, "3600");
        },
    )
    .with(Argument::error(429)),
    harmless(
        "remaining-zero",
        "RateLimit-Remaining is 0 on every answer, though none is refused",
        |s| {
            s.set(HeaderName::from_static("ratelimit-limit"), "1200");
            s.set(HeaderName::from_static("ratelimit-remaining"), "0");
        },
    ),
    harmless(
        "headers-unknown",
        "header fields that nobody knows, with odd bytes in them",
        |s| {
            s.set(HeaderName::from_static("x-unknown"), b"\xff\xfe \t \"");
            s.set(HeaderName::from_static("x-empty"), "");
            s.add(HeaderName::from_static("x-empty"), "");
        },
    ),
];

fn retry_after(s: &mut Struck<'_>, value: Option<&str>) {
    let status = s.status();
    s.fail(status);
    if let Some(value) = value {
        s.set(RETRY_AFTER, value);
    }
}
