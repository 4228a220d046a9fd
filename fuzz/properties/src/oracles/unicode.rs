//! What may be shown on a terminal, by Unicode's data.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Format characters (general category Cf) that are kept: the joiners, which several scripts and emoji need; the soft
/// hyphen; and those that belong to the texts of one script or notation (Arabic, Syriac, Kaithi, Mongolian, hieroglyphs,
/// shorthand and music).
const KEPT_FORMATS: [(char, char); 13] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200c}', '\u{200d}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
];

/// Unassigned characters that Unicode reserves for more format characters of these kinds (`Default_Ignorable_Code_Point`).
const RESERVED_FORMATS: [(char, char); 3] = [
    ('\u{2065}', '\u{2065}'),
    ('\u{e0000}', '\u{e0000}'),
    ('\u{e0002}', '\u{e001f}'),
];

/// Returns whether a character must be escaped: control characters, line and paragraph separators, and format characters,
/// which are invisible and may change the direction of the text around them.
pub(crate) fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let is_in =
        |ranges: &[(char, char)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&c));
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => true,
        GeneralCategory::Format => !is_in(&KEPT_FORMATS),
        GeneralCategory::Unassigned => is_in(&RESERVED_FORMATS),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_escapes_exactly_the_unsafe_characters() {
        for c in '\0'..=char::MAX {
            let is_escaped = atlas_model_keys_core::is_unsafe_to_show(c);
            assert_eq!(is_escaped, is_unsafe(c), "U+{:04X}", u32::from(c));
        }
    }
}
