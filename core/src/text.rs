//! Makes text from outside safe to show: bounds it, and escapes characters that move a cursor,
//! forge a log line or reorder text.

use alloc::string::String;
use core::fmt::Write as _;

/// Shows that a text is cut.
pub(crate) const ELLIPSIS: char = '…';

/// Appends `text` to `out`, with control and reordering characters escaped. Cuts it after about
/// `limit` bytes, and marks that with an ellipsis. Returns what was cut.
pub(crate) fn push_escaped<'t>(out: &mut String, text: &'t str, limit: usize) -> &'t str {
    let end = out.len().saturating_add(limit);
    for (at, c) in text.char_indices() {
        if out.len() >= end {
            out.push(ELLIPSIS);
            return text.get(at..).unwrap_or_default();
        }
        if is_unsafe_to_show(c) {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    ""
}

/// Returns the text escaped and cut as by [`push_escaped`].
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    push_escaped(&mut out, text, limit);
    out
}

/// Returns whether a character must be escaped before it is written to a terminal or a log.
///
/// These are control characters (C0, DEL, C1), the line and paragraph separators, and invisible characters (Unicode's
/// `Default_Ignorable_Code_Point`, and U+FFF9 to U+FFFB), some of which change the direction of the text around them
/// (`Bidi_Control`). The two joiners (U+200C, U+200D) and the variation selectors are safe: several scripts and many
/// emoji need them.
#[must_use]
#[inline]
pub fn is_unsafe_to_show(c: char) -> bool {
    // Most characters are ASCII.
    if c < '\u{7f}' {
        return c < ' ';
    }
    c.is_control()
        || matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            // Tags, and what is reserved around them and around the variation selectors U+E0100 to U+E01EF.
            | '\u{e0000}'..='\u{e00ff}'
            | '\u{e01f0}'..='\u{e0fff}')
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
    fn invisible_characters_are_unsafe_and_those_that_scripts_and_emoji_need_are_safe() {
        // Hyphens, fillers and vowels without a shape, the formats of shorthand and music, tags, and reserved characters.
        for c in [
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{17b5}',
            '\u{180e}',
            '\u{200b}',
            '\u{2060}',
            '\u{2065}',
            '\u{3164}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{fffb}',
            '\u{1bca0}',
            '\u{1d17a}',
            '\u{e0000}',
            '\u{e007f}',
            '\u{e00ff}',
            '\u{e01f0}',
            '\u{e0fff}',
        ] {
            assert!(is_unsafe_to_show(c), "{c:?}");
        }
        // Joiners, variation selectors, and marks with a shape.
        for c in [
            '\u{200c}',
            '\u{200d}',
            '\u{180b}',
            '\u{180f}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{301}',
            '\u{600}',
            '\u{110bd}',
            '\u{fffc}',
            '\u{fffd}',
        ] {
            assert!(!is_unsafe_to_show(c), "{c:?}");
        }
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(escaped("abcdef", 3), "abc…");
        assert_eq!(escaped("abc", 3), "abc");
    }
}
