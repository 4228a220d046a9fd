//! Faults that repeat the credential of the request in an error, in forms that servers and proxies
//! may produce. A client must not show any part of the credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{self, AUTHORIZATION, HeaderName};

use crate::digest::{self, Authorization};

use super::context::FaultContext;
use super::row::faults;

// Faults that repeat the credential of a listing: the access token, or the private key that the
// digest was computed with. It is in every text of the error, and in the header `X-Error-Code` if a
// header can contain it.
faults![
    FAULTS,
    Meaning,
    fault(
        ECHO_PLAIN,
        "echo-plain",
        "this status, with an error that repeats the credential unchanged",
        |cx| echo_listing(cx, plain),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_PERCENT,
        "echo-percent",
        "this status, with the credential repeated in upper-case percent-encoding",
        |cx| echo_listing(cx, percent_upper),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_PERCENT_LOWER,
        "echo-percent-lower",
        "this status, with the credential repeated in lower-case percent-encoding",
        |cx| echo_listing(cx, percent_lower),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_JSON_ESCAPED,
        "echo-json-escaped",
        "this status, with the credential repeated, every second character escaped as \\u00XX",
        |cx| echo_listing(cx, json_escaped),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_JSON_TWICE,
        "echo-json-twice",
        "this status, with the credential repeated, escaped like JSON within JSON",
        |cx| echo_listing(cx, json_twice),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_HTML,
        "echo-html",
        "this status, with the credential repeated as HTML entities",
        |cx| echo_listing(cx, html),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_SPLIT,
        "echo-split",
        "this status, with the credential repeated in lines of 8 characters",
        |cx| echo_listing(cx, split),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_PART,
        "echo-part",
        "this status, with the 6th to 25th character of the credential repeated",
        |cx| echo_listing(cx, part),
    )
    .with(status(400, 400, 599)),
    fault(
        ECHO_REENCODED,
        "echo-reencoded",
        "this status, with the credential repeated, percent-encoded from the 13th character on",
        |cx| echo_listing(cx, reencoded),
    )
    .with(status(400, 400, 599)),
];

// Faults that repeat the credential of a token request: the client secret.
faults![
    TOKEN_FAULTS,
    Token,
    fault(
        TOKEN_ECHO_PLAIN,
        "token-echo-plain",
        "this status, with an error that repeats the client secret unchanged",
        |cx| echo_token(cx, plain),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_PERCENT,
        "token-echo-percent",
        "this status, with the client secret repeated in upper-case percent-encoding",
        |cx| echo_token(cx, percent_upper),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_PERCENT_LOWER,
        "token-echo-percent-lower",
        "this status, with the client secret repeated in lower-case percent-encoding",
        |cx| echo_token(cx, percent_lower),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_JSON_ESCAPED,
        "token-echo-json-escaped",
        "this status, with the client secret repeated, every second character escaped as \\u00XX",
        |cx| echo_token(cx, json_escaped),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_JSON_TWICE,
        "token-echo-json-twice",
        "this status, with the client secret repeated, escaped like JSON within JSON",
        |cx| echo_token(cx, json_twice),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_HTML,
        "token-echo-html",
        "this status, with the client secret repeated as HTML entities",
        |cx| echo_token(cx, html),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_SPLIT,
        "token-echo-split",
        "this status, with the client secret repeated in lines of 8 characters",
        |cx| echo_token(cx, split),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_PART,
        "token-echo-part",
        "this status, with the 6th to 25th character of the client secret repeated",
        |cx| echo_token(cx, part),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_REENCODED,
        "token-echo-reencoded",
        "this status, with the client secret repeated, percent-encoded from the 13th character on",
        |cx| echo_token(cx, reencoded),
    )
    .with(status(400, 400, 599)),
    fault(
        TOKEN_ECHO_BASIC,
        "token-echo-basic",
        "this status, with an error that repeats the value sent with the Basic scheme",
        |cx| {
            if let Some(value) = authorization(cx, "Basic").filter(|value| is_plain(value)) {
                replace_with_oauth_error(cx, &value);
            }
        },
    )
    .with(status(400, 400, 599)),
];

/// A function that writes a credential in another form, for use between the quotes of a JSON string.
type Form = fn(&str) -> String;

fn echo_listing(cx: &mut FaultContext<'_>, form: Form) {
    let secret = match authorization(cx, "Bearer") {
        Some(token) => Some(token),
        // A right digest response was computed with the private key.
        None => authorization(cx, "Digest").and_then(|parameters| {
            let keys = &cx.atlas.credentials.api_keys;
            let parsed = Authorization::parse(parameters.as_bytes())?;
            digest::named_key(&parsed, keys).map(|(_, key)| key.private_key.clone())
        }),
    };
    let Some(secret) = secret.filter(|secret| is_plain(secret)) else {
        return;
    };
    let secret = form(&secret);
    let text = format!("The credential {secret} is not accepted.");
    let status = cx.status();
    let body = format!(
        r#"{{"badRequestDetail":{{"fields":[{{"description":"{text}","field":"{secret}"}}]}},"detail":"{text}","error":{},"parameters":["{secret}"],"reason":"{text}"}}"#,
        status.as_u16()
    );
    replace(cx, status, body, &secret);
}

fn echo_token(cx: &mut FaultContext<'_>, form: Form) {
    let pair = authorization(cx, "Basic").and_then(|value| STANDARD.decode(value).ok());
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let secret = pair.as_deref().and_then(|pair| pair.split_once(':'));
    if let Some((_, secret)) = secret.filter(|(_, secret)| is_plain(secret)) {
        replace_with_oauth_error(cx, &form(secret));
    }
}

/// Replaces the response with an error of RFC 6749 §5.2.
fn replace_with_oauth_error(cx: &mut FaultContext<'_>, secret: &str) {
    let body = format!(
        r#"{{"error":"{secret}","error_description":"The credential {secret} is not accepted."}}"#
    );
    let status = cx.status();
    replace(cx, status, body, secret);
}

fn replace(cx: &mut FaultContext<'_>, status: StatusCode, body: String, secret: &str) {
    cx.replace(status, body);
    cx.set_header(header::CONTENT_TYPE, "application/json");
    // Omitted if the secret contains line breaks, which a header cannot contain.
    if let Ok(code) = serde_json::from_str::<String>(&format!("\"{secret}\"")) {
        cx.set_header(HeaderName::from_static("x-error-code"), code);
    }
}

/// Returns the value of the request's `Authorization` header, if it has this scheme.
fn authorization(cx: &FaultContext<'_>, scheme: &str) -> Option<String> {
    let value = cx.request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim().to_owned())
}

/// Returns whether the secret needs no escapes in JSON. This is true for the emulator's own secrets.
fn is_plain(secret: &str) -> bool {
    secret
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

fn plain(secret: &str) -> String {
    secret.to_owned()
}

fn percent_upper(secret: &str) -> String {
    secret.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn percent_lower(secret: &str) -> String {
    secret.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Changes every second character, beginning with the first.
fn every_other(secret: &str, form: impl Fn(u8) -> String) -> String {
    let mut is_turn = false;
    secret
        .bytes()
        .map(|byte| {
            is_turn = !is_turn;
            if is_turn {
                form(byte)
            } else {
                char::from(byte).to_string()
            }
        })
        .collect()
}

fn json_escaped(secret: &str) -> String {
    every_other(secret, |byte| format!("\\u{byte:04x}"))
}

fn json_twice(secret: &str) -> String {
    every_other(secret, |byte| format!("\\\\u{byte:04x}"))
}

/// Writes characters as HTML entities: named ones if possible, otherwise alternately decimal and
/// hexadecimal ones.
fn html(secret: &str) -> String {
    let entity = |(index, byte): (usize, u8)| match byte {
        b'.' => "&period;".to_owned(),
        b'_' => "&lowbar;".to_owned(),
        _ if index % 2 == 0 => format!("&#{byte};"),
        _ => format!("&#x{byte:X};"),
    };
    secret.bytes().enumerate().map(entity).collect()
}

/// Inserts line breaks: alternately a line feed, and CR LF with a space as in a folded header.
fn split(secret: &str) -> String {
    let mut lines = String::new();
    for (index, byte) in secret.bytes().enumerate() {
        match index % 16 {
            0 if index > 0 => lines.push_str("\\r\\n "),
            8 => lines.push_str("\\n"),
            _ => {}
        }
        lines.push(char::from(byte));
    }
    lines
}

fn part(secret: &str) -> String {
    secret.chars().skip(5).take(20).collect()
}

fn reencoded(secret: &str) -> String {
    let (start, rest) = secret.split_at_checked(12).unwrap_or((secret, ""));
    let rest = every_other(rest, |byte| format!("%{byte:02x}"));
    format!("{start}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_the_expected_texts() {
        let secret = "mdb_sa_sk_0.2-456789abcdefghi";
        for (form, expected) in [
            (plain as Form, secret),
            (
                json_escaped,
                r"\u006dd\u0062_\u0073a\u005fs\u006b_\u0030.\u0032-\u00345\u00367\u00389\u0061b\u0063d\u0065f\u0067h\u0069",
            ),
            (
                json_twice,
                r"\\u006dd\\u0062_\\u0073a\\u005fs\\u006b_\\u0030.\\u0032-\\u00345\\u00367\\u00389\\u0061b\\u0063d\\u0065f\\u0067h\\u0069",
            ),
            (split, r"mdb_sa_s\nk_0.2-45\r\n 6789abcd\nefghi"),
            (part, "a_sk_0.2-456789abcde"),
            (reencoded, "mdb_sa_sk_0.%32-%345%367%389%61b%63d%65f%67h%69"),
        ] {
            assert_eq!(form(secret), expected);
        }
        assert_eq!(percent_upper("k_.-Z"), "%6B%5F%2E%2D%5A");
        assert_eq!(percent_lower("k_.-Z"), "%6b%5f%2e%2d%5a");
        assert_eq!(html("ab_c.d"), "&#97;&#x62;&lowbar;&#x63;&period;&#x64;");
    }

    #[test]
    fn forms_of_short_secrets_do_not_panic() {
        for form in [
            plain,
            percent_upper,
            json_escaped,
            html,
            split,
            part,
            reencoded,
        ] {
            assert!(form("").is_empty());
            let _ = form("short");
        }
    }
}
