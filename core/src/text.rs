//! Text from outside, made fit to be shown: bounded, and without characters that move a cursor,
//! forge a log line or reorder what is read.

use alloc::string::String;
use core::fmt::Write as _;

/// Appends `text` to `out`, with control and reordering characters escaped, and cut after about
/// `limit` bytes (an ellipsis says so).
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

/// [`push_escaped`] into a new `String`.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    push_escaped(&mut out, text, limit);
    out
}

/// Whether a character must not reach a terminal or a log line as it is: controls (C0, DEL, C1),
/// the line and paragraph separators, and the invisible characters that change the direction of
/// the text around them (Unicode's `Bidi_Control`) or hide in it. The two joiners (U+200C, U+200D)
/// are let through: several scripts and many emoji are not written right without them.
#[must_use]
#[inline]
pub fn is_unsafe_to_show(c: char) -> bool {
    // Most are ASCII.
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
    fn controls_and_reordering_are_escaped_and_scripts_are_kept() {
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
