//! A page's body as Atlas sent it, but for secrets.

use std::io::{self, Write};

use super::json::terminal_safe;

/// Writes the body of a page: one that was parsed, so it is known to be JSON.
///
/// Byte for byte, except that the bytes of secrets become asterisks, and that on a terminal the
/// characters that are unsafe to show become JSON escapes.
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
        out.write_all(terminal_safe(&text).as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
    } else {
        out.write_all(&body)?;
    }
    out.flush()
}

/// An object or array that is open.
struct Open {
    is_object: bool,
    /// In an object: whether a string that comes now is a member's name.
    wants_name: bool,
    /// Whether the value that comes now is a secret, or within one.
    is_secret: bool,
    /// Whether all of it is within a secret.
    within_secret: bool,
}

/// Overwrites the values of all members named `secret`, at any depth, in place: strings become as
/// many asterisks, the digits of numbers ones, also within an object or array. The JSON stays
/// valid and as long as it was. Anything but JSON gets some other bytes overwritten, no more.
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
                // Not 0: a number may not begin with it.
                if let Some(digit) = body.get_mut(at) {
                    *digit = b'1';
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where the closing quote of the string is whose first byte is at `start`.
fn end_of_string(body: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        match body.get(at) {
            // What is escaped is no end; of `\uXXXX` the digits are none, either.
            Some(b'\\') => at += 2,
            Some(b'"') => return at,
            None => return body.len(),
            Some(_) => at += 1,
        }
    }
}

/// Whether a member's name, with its quotes, is `secret`: also where it is spelled with escapes.
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
    fn secrets_become_asterisks_and_all_else_stays() {
        for (body, shown) in [
            (r#"{"secret":"al-x"}"#, r#"{"secret":"****"}"#),
            (
                r#"{"secret" :  "" , "a":"b"}"#,
                r#"{"secret" :  "" , "a":"b"}"#,
            ),
            (r#"{"secret":null,"a":"b"}"#, r#"{"secret":null,"a":"b"}"#),
            // The name in escapes.
            (r#"{"s\u0065cret":"abc"}"#, r#"{"s\u0065cret":"***"}"#),
            (
                r#"{"\u0073\u0065\u0063\u0072\u0065\u0074":"abc"}"#,
                r#"{"\u0073\u0065\u0063\u0072\u0065\u0074":"***"}"#,
            ),
            // Quotes and backslashes in the secret.
            (
                r#"{"secret":"a\"b\\","name":"c"}"#,
                r#"{"secret":"******","name":"c"}"#,
            ),
            (
                r#"{"secret":"\u0022\\\"","name":"c"}"#,
                r#"{"secret":"**********","name":"c"}"#,
            ),
            // Braces and commas in strings open nothing.
            (
                r#"{"a":"{\"secret\":","secret":"}]x,","b":"y"}"#,
                r#"{"a":"{\"secret\":","secret":"****","b":"y"}"#,
            ),
            // Several bytes to a character.
            (
                r#"{"secret":"鍵","b":"鍵"}"#,
                r#"{"secret":"***","b":"鍵"}"#,
            ),
            // Any depth, and what is within.
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
            // Only that name, and only as a name.
            (
                r#"{"maskedSecret":"al-****odu2","Secret":"a","a":"secret","b":"c"}"#,
                r#"{"maskedSecret":"al-****odu2","Secret":"a","a":"secret","b":"c"}"#,
            ),
            // Twice.
            (
                r#"{"secret":"a","secret":"b"}"#,
                r#"{"secret":"*","secret":"*"}"#,
            ),
        ] {
            assert_eq!(masked(body), shown);
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
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
    fn only_a_terminal_changes_what_is_written() {
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
