//! Errors that repeat the credential of the request, in the forms that a server, a proxy or whatever
//! renders the error may give it. What a client shows of them must hold none of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{self, AUTHORIZATION, HeaderName};

use super::argument::Argument;
use super::struck::Struck;
use super::{Row, fault};

/// What a listing is asked for with: the access token, or the private key that the digest was made
/// with. Every text of the error repeats it, and the header `X-Error-Code` where it can.
pub(super) const ROWS: &[Row] = &[
    echo(
        "echo-plain",
        "this status, with an error that repeats the credential as it is",
        |s| listing(s, plain),
    ),
    echo(
        "echo-percent",
        "this status, with the credential repeated in percent-encoding, in upper case",
        |s| listing(s, percent_upper),
    ),
    echo(
        "echo-percent-lower",
        "this status, with the credential repeated in percent-encoding, in lower case",
        |s| listing(s, percent_lower),
    ),
    echo(
        "echo-json-escaped",
        "this status, with the credential repeated, every other character as \\u00XX",
        |s| listing(s, json_escaped),
    ),
    echo(
        "echo-json-twice",
        "this status, with the credential repeated and escaped as JSON within JSON",
        |s| listing(s, json_twice),
    ),
    echo(
        "echo-html",
        "this status, with the credential repeated in HTML entities",
        |s| listing(s, html),
    ),
    echo(
        "echo-split",
        "this status, with the credential repeated, broken into lines of 8 characters",
        |s| listing(s, split),
    ),
    echo(
        "echo-part",
        "this status, with the credential repeated from its 6th to its 25th character",
        |s| listing(s, part),
    ),
    echo(
        "echo-reencoded",
        "this status, with the credential repeated, percent-encoded from the 13th character on",
        |s| listing(s, reencoded),
    ),
];

/// What a token is asked for with: the client secret.
pub(super) const TOKEN_ROWS: &[Row] = &[
    echo(
        "token-echo-plain",
        "this status, with an error that repeats the client secret as it is",
        |s| token(s, plain),
    ),
    echo(
        "token-echo-percent",
        "this status, with the client secret repeated in percent-encoding, in upper case",
        |s| token(s, percent_upper),
    ),
    echo(
        "token-echo-percent-lower",
        "this status, with the client secret repeated in percent-encoding, in lower case",
        |s| token(s, percent_lower),
    ),
    echo(
        "token-echo-json-escaped",
        "this status, with the client secret repeated, every other character as \\u00XX",
        |s| token(s, json_escaped),
    ),
    echo(
        "token-echo-json-twice",
        "this status, with the client secret repeated and escaped as JSON within JSON",
        |s| token(s, json_twice),
    ),
    echo(
        "token-echo-html",
        "this status, with the client secret repeated in HTML entities",
        |s| token(s, html),
    ),
    echo(
        "token-echo-split",
        "this status, with the client secret repeated, broken into lines of 8 characters",
        |s| token(s, split),
    ),
    echo(
        "token-echo-part",
        "this status, with the client secret repeated from its 6th to its 25th character",
        |s| token(s, part),
    ),
    echo(
        "token-echo-reencoded",
        "this status, with the client secret percent-encoded from the 13th character on",
        |s| token(s, reencoded),
    ),
    echo(
        "token-echo-basic",
        "this status, with an error that repeats the value of the Basic scheme as it was sent",
        |s| {
            if let Some(value) = authorization(s, "Basic").filter(|value| is_plain(value)) {
                refuse(s, &value);
            }
        },
    ),
];

const fn echo(name: &'static str, does: &'static str, strike: fn(&mut Struck<'_>)) -> Row {
    fault(name, does, strike).with(Argument::error(400))
}

/// What the request's credential is in this form, as it stands between the quotes of a JSON string.
type Form = fn(&str) -> String;

fn listing(s: &mut Struck<'_>, form: Form) {
    let secret = match authorization(s, "Bearer") {
        Some(token) => Some(token),
        // A right answer to a challenge was made with this one.
        None => authorization(s, "Digest").map(|_| s.emulator.api_key().private_key.clone()),
    };
    let Some(secret) = secret.filter(|secret| is_plain(secret)) else {
        return;
    };
    let secret = form(&secret);
    let text = format!("The credential {secret} is not accepted.");
    let status = s.status();
    let body = format!(
        r#"{{"badRequestDetail":{{"fields":[{{"description":"{text}","field":"{secret}"}}]}},"detail":"{text}","error":{},"parameters":["{secret}"],"reason":"{text}"}}"#,
        status.as_u16()
    );
    replace(s, status, body, &secret);
}

fn token(s: &mut Struck<'_>, form: Form) {
    let pair = authorization(s, "Basic").and_then(|value| STANDARD.decode(value).ok());
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let secret = pair.as_deref().and_then(|pair| pair.split_once(':'));
    if let Some((_, secret)) = secret.filter(|(_, secret)| is_plain(secret)) {
        refuse(s, &form(secret));
    }
}

/// An error of RFC 6749 §5.2.
fn refuse(s: &mut Struck<'_>, secret: &str) {
    let body = format!(
        r#"{{"error":"{secret}","error_description":"The credential {secret} is not accepted."}}"#
    );
    let status = s.status();
    replace(s, status, body, secret);
}

fn replace(s: &mut Struck<'_>, status: StatusCode, body: String, secret: &str) {
    s.replace(status, body);
    s.set(header::CONTENT_TYPE, "application/json");
    // A header holds no line breaks, and then there is none.
    if let Ok(code) = serde_json::from_str::<String>(&format!("\"{secret}\"")) {
        s.set(HeaderName::from_static("x-error-code"), code);
    }
}

/// What the request brings for this scheme.
fn authorization(s: &Struck<'_>, scheme: &str) -> Option<String> {
    let value = s.request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim().to_owned())
}

/// Whether it can stand in JSON as it is, as all secrets of the emulator can.
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

/// Every other character in another form, beginning with the first.
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

/// Named where there is a name, else by number, in decimal and in hexadecimal by turns.
fn html(secret: &str) -> String {
    let entity = |(index, byte): (usize, u8)| match byte {
        b'.' => "&period;".to_owned(),
        b'_' => "&lowbar;".to_owned(),
        _ if index % 2 == 0 => format!("&#{byte};"),
        _ => format!("&#x{byte:X};"),
    };
    secret.bytes().enumerate().map(entity).collect()
}

/// A line feed, and CR LF with a space as in a folded header, by turns.
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
    fn each_form_is_what_its_name_says() {
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
    fn a_short_secret_makes_no_form_fail() {
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
