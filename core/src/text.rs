//! Makes text from outside safe to show: bounds it, and escapes characters that move a cursor,
//! forge a log line or reorder text.

use alloc::string::String;
use core::fmt::Write as _;

/// Appends `text` to `out`, with control and reordering characters escaped. Cuts it after about
/// `limit` bytes, and marks that with an ellipsis.
pub(crate) fn push_escaped(out: &mut String, text: &str, limit: usize) {
    let end = out.len().saturating_add(limit);
    for c in text.chars() {
        if out.len() >= end {
            out.push('…');
            return;
        }
        if is_unsafe_to_show(c) {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

/// Returns the text escaped and cut as by [`push_escaped`].
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    push_escaped(&mut out, text, limit);
    out
}

/// Returns whether a character must be escaped before it is written to a terminal or a log.
///
/// These are control characters (C0, DEL, C1), the line and paragraph separators, and invisible characters, some of
/// which change the direction of the text around them (Unicode's `Bidi_Control`). The two joiners (U+200C, U+200D)
/// are safe: several scripts and many emoji need them.
#[must_use]
#[inline]
pub fn is_unsafe_to_show(c: char) -> bool {
    // Most characters are ASCII.
    if c < '\u{7f}' {
        return c < ' ';
    }
    c.is_control()
        || matches!(c,
            '\u{061c}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_reordering_characters_are_escaped_and_scripts_are_kept() {
        assert_eq!(
            escaped("a\x1b[31m\nb\u{202e}", 100),
            "a\\u{1b}[31m\\u{a}b\\u{202e}"
        );
        assert_eq!(
            escaped("ключ 鍵 مفتاح می\u{200c}شود 👩\u{200d}💻", 100),
            "ключ 鍵 مفتاح می\u{200c}شود 👩\u{200d}💻"
        );
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(escaped("abcdef", 3), "abc…");
        assert_eq!(escaped("abc", 3), "abc");
    }
}
