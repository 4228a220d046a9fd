//! Writes the body of a page as Atlas sent it, with secrets masked.

use std::io::{self, Write};

use super::text::visible_json;

/// Writes the body of a page. It was parsed before, so it is JSON.
///
/// The bytes do not change, with two exceptions: the bytes of secrets become asterisks, and on a terminal
/// the characters that are unsafe to show become JSON escapes.
pub(crate) fn write_raw(
    mut out: impl Write,
    mut body: Vec<u8>,
    on_terminal: bool,
    show_secrets: bool,
) -> io::Result<()> {
    if !show_secrets {
        mask_secrets(&mut body);
    }
    if on_terminal {
        let text = String::from_utf8_lossy(&body);
        out.write_all(visible_json(&text).as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
    } else {
        out.write_all(&body)?;
    }
    out.flush()
}

/// An object or array whose end was not reached yet.
struct Open {
    is_object: bool,
    /// Whether the next string is the name of a member. False in arrays.
    wants_name: bool,
    /// Whether the next value is a secret or part of one.
    is_secret: bool,
    /// Whether the object or array itself is part of a secret.
    within_secret: bool,
}

/// Overwrites the values of all members named `secret`, at any depth, in place. The bytes of strings become
/// asterisks, and the digits of numbers become ones, also within an object or array. The JSON stays valid and
/// keeps its length. In a text that is not JSON, other bytes may be overwritten too, but nothing worse happens.
fn mask_secrets(body: &mut [u8]) {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(byte) = body.get(at).copied() {
        let is_secret = open.last().is_some_and(|open| open.is_secret);
        match byte {
            b'{' | b'[' => open.push(Open {
                is_object: byte == b'{',
                wants_name: byte == b'{',
                is_secret,
                within_secret: is_secret,
            }),
            b'}' | b']' => {
                open.pop();
            }
            b',' => {
                if let Some(open) = open.last_mut().filter(|open| open.is_object) {
                    open.wants_name = true;
                    open.is_secret = open.within_secret;
                }
            }
            b'"' => {
                let start = at + 1;
                let end = end_of_string(body, start);
                match open.last_mut().filter(|open| open.wants_name) {
                    Some(open) => {
                        open.wants_name = false;
                        open.is_secret |= body.get(at..=end).is_some_and(is_the_name);
                    }
                    None if is_secret => {
                        if let Some(characters) = body.get_mut(start..end) {
                            characters.fill(b'*');
                        }
                    }
                    None => {}
                }
                at = end;
            }
            b'0'..=b'9' if is_secret => {
                // A 1, because a number may not begin with 0.
                if let Some(digit) = body.get_mut(at) {
                    *digit = b'1';
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Returns the position of the closing quote of the string whose first byte is at `start`.
fn end_of_string(body: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match body.get(at) {
            // An escaped character does not end the string. The digits of `\uXXXX` are no quotes.
            Some(b'\\') => at += 2,
            Some(b'"') => return at,
            None => return body.len(),
            Some(_) => at += 1,
        }
    }
}

/// Returns whether the name of a member, given with its quotes, is `secret`, with or without escapes.
fn is_the_name(quoted: &[u8]) -> bool {
    serde_json::from_slice::<String>(quoted).is_ok_and(|name| name == "secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(body: &str) -> String {
        let mut bytes = body.as_bytes().to_vec();
        mask_secrets(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.len(), body.len());
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text
    }

    #[test]
    fn secrets_become_asterisks_and_nothing_else_changes() {
        for (body, shown) in [
            (r#"{"secret":"al-x"}"#, r#"{"secret":"****"}"#),
            (
                r#"{"secret" :  "" , "a":"b"}"#,
                r#"{"secret" :  "" , "a":"b"}"#,
            ),
            (r#"{"secret":null,"a":"b"}"#, r#"{"secret":null,"a":"b"}"#),
            // The name is written with escapes.
            (r#"{"s\u0065cret":"abc"}"#, r#"{"s\u0065cret":"***"}"#),
            (
                r#"{"\u0073\u0065\u0063\u0072\u0065\u0074":"abc"}"#,
                r#"{"\u0073\u0065\u0063\u0072\u0065\u0074":"***"}"#,
            ),
            // The secret contains quotes and backslashes.
            (
                r#"{"secret":"a\"b\\","name":"c"}"#,
                r#"{"secret":"******","name":"c"}"#,
            ),
            (
                r#"{"secret":"\u0022\\\"","name":"c"}"#,
                r#"{"secret":"**********","name":"c"}"#,
            ),
            // Braces and commas in strings have no meaning.
            (
                r#"{"a":"{\"secret\":","secret":"}]x,","b":"y"}"#,
                r#"{"a":"{\"secret\":","secret":"****","b":"y"}"#,
            ),
            // A character has several bytes.
            (
                r#"{"secret":"鍵","b":"鍵"}"#,
                r#"{"secret":"***","b":"鍵"}"#,
            ),
            // Secrets are found at any depth, and masked with everything in them.
            (
                r#"[{"x":[{"secret":"a"}]},"secret","b"]"#,
                r#"[{"x":[{"secret":"*"}]},"secret","b"]"#,
            ),
            (
                r#"{"secret":["a",{"k":"b","l":-10.5e2}],"c":"d"}"#,
                r#"{"secret":["*",{"k":"*","l":-11.1e1}],"c":"d"}"#,
            ),
            (
                r#"{"secret":{"a":{"b":"c"},"d":"e"},"f":7}"#,
                r#"{"secret":{"a":{"b":"*"},"d":"*"},"f":7}"#,
            ),
            // Other names and equal values are not masked.
            (
                r#"{"maskedSecret":"al-****odu2","Secret":"a","a":"secret","b":"c"}"#,
                r#"{"maskedSecret":"al-****odu2","Secret":"a","a":"secret","b":"c"}"#,
            ),
            // The name appears twice.
            (
                r#"{"secret":"a","secret":"b"}"#,
                r#"{"secret":"*","secret":"*"}"#,
            ),
        ] {
            assert_eq!(masked(body), shown);
        }
    }

    #[test]
    fn text_that_is_no_json_causes_no_panic() {
        for body in [
            "",
            "\"",
            "{\"secret\":\"abc",
            "}]}",
            "{\"secret\\",
            "\\\"",
            "{\"secret\":\"a\\",
        ] {
            mask_secrets(&mut body.as_bytes().to_vec());
        }
        let mut cut = b"{\"secret\":\"abc".to_vec();
        mask_secrets(&mut cut);
        assert_eq!(cut, b"{\"secret\":\"***");
    }

    #[test]
    fn only_output_to_a_terminal_is_escaped() {
        let body = "{\r\n\"name\": \"\u{202e}x\", \"secret\": \"y\"}";
        let write = |on_terminal, show_secrets| {
            let mut out = Vec::new();
            write_raw(
                &mut out,
                body.as_bytes().to_vec(),
                on_terminal,
                show_secrets,
            )
            .unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(false, true), body);
        assert_eq!(write(false, false), body.replace("\"y\"", "\"*\""));
        assert_eq!(
            write(true, false),
            "{\n\"name\": \"\\u202ex\", \"secret\": \"*\"}\n"
        );
    }
}
