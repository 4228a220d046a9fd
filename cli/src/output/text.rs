//! Escapes text from outside for terminals and spreadsheets, and measures its width on a terminal.
//!
//! A fuzz target includes this file, so it imports nothing of the command.

use std::borrow::Cow;
use std::fmt::Write as _;

use atlas_model_keys_core::is_unsafe_to_show;
use unicode_width::UnicodeWidthChar as _;

/// Escapes characters that would control the terminal or reorder the line: `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe_to_show)
}

/// Escapes a text of several lines like [`visible`], but keeps its line ends.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe_to_show(c))
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Escapes every character of the JSON that is unsafe to show. The value of the JSON does not change.
///
/// In JSON such characters occur only within strings, where `\uXXXX` means the same, or as whitespace between
/// the tokens. There, line ends and tabs are kept, and carriage returns, which could overwrite a line, are
/// removed.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    let is_fine = |c: char| matches!(c, '\n' | '\t') || !is_unsafe_to_show(c);
    let is_plain = |byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    if json.bytes().all(is_plain) || json.chars().all(is_fine) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if is_fine(c) {
            out.push(c);
        } else if c != '\r' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// Escapes a text like [`visible`], and puts an apostrophe before one that a spreadsheet would treat as a formula, as
/// OWASP advises ("CSV Injection").
pub(crate) fn spreadsheet_cell(text: &str) -> Cow<'_, str> {
    let shown = visible(text);
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => {
            Cow::Owned(format!("'{shown}"))
        }
        _ => shown,
    }
}

/// Returns the number of columns on a terminal. It is counted by character, because terminals disagree about
/// the width of clusters of characters, such as flags and families of emoji.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Cuts the text to at most `room` columns. An ellipsis replaces the removed end.
pub(crate) fn truncated(text: &str, room: usize) -> Cow<'_, str> {
    if width(text) <= room {
        return Cow::Borrowed(text);
    }
    let Some(room) = room.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let mut used = 0;
    let mut out: String = text
        .chars()
        .take_while(|c| {
            used += char_width(*c);
            used <= room
        })
        .collect();
    out.push('…');
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        assert_eq!(
            visible("a\x1b[31m\n\u{202e}b\u{7f}"),
            "a\\u{1b}[31m\\u{a}\\u{202e}b\\u{7f}"
        );
        assert_eq!(visible_lines("a\n\tb"), "a\n\\u{9}b");
        assert!(matches!(visible("ключ 鍵 مفتاح"), Cow::Borrowed(_)));
    }

    #[test]
    fn line_ends_between_tokens_stay_and_carriage_returns_go() {
        let body = "{\r\n\t\"a\": \"\u{202e}\"\r\n}";
        assert_eq!(visible_json(body), "{\n\t\"a\": \"\\u202e\"\n}");
    }

    #[test]
    fn formulas_get_an_apostrophe() {
        for (value, shown) in [
            ("=SUM(A1)", "'=SUM(A1)"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\tx", "'\\u{9}x"),
            ("\rx", "'\\u{d}x"),
            ("＝x", "'＝x"),
            ("a=b", "a=b"),
            ("'=x", "'=x"),
            ("", ""),
            ("al-****odu2", "al-****odu2"),
        ] {
            assert_eq!(spreadsheet_cell(value), shown);
        }
    }

    #[test]
    fn widths_are_those_of_a_terminal() {
        for (text, columns) in [
            ("", 0),
            ("abc", 3),
            ("鍵", 2),
            ("🔑", 2),
            ("e\u{301}", 1),
            ("ключ", 4),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn truncation_never_exceeds_its_room() {
        assert_eq!(truncated("abcdef", 6), "abcdef");
        assert_eq!(truncated("abcdef", 5), "abcd…");
        assert_eq!(truncated("検索用キー", 10), "検索用キー");
        // One column stays free, because half of a wide character does not fit.
        assert_eq!(truncated("検索用キー", 6), "検索…");
        assert_eq!(truncated("検索用キー", 5), "検索…");
        // Combining marks stay with their letter.
        assert_eq!(truncated("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        for room in 0..12 {
            for text in ["abcdef", "検索用キー", "🔑 rocket", "e\u{301}\u{301}abc"] {
                assert!(width(&truncated(text, room)) <= room, "{text} in {room}");
            }
        }
    }
}
