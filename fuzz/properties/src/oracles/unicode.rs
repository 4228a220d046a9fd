//! What may be shown on a terminal, by Unicode's data.

use icu_properties::CodePointSetData;
use icu_properties::props::{DefaultIgnorableCodePoint, VariationSelector};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Format characters (general category Cf) that are kept: the joiners, which several scripts and emoji need, and those that
/// have a shape or arrange the signs of one script (Arabic, Syriac, Kaithi and hieroglyphs).
const KEPT_FORMATS: [(char, char); 9] = [
    ('\u{600}', '\u{605}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{200c}', '\u{200d}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
];

/// Returns whether a character must be escaped: control characters, line and paragraph separators, format characters, and
/// others that are invisible. Some of these change the direction of the text around them.
pub(crate) fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    if KEPT_FORMATS
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&c))
    {
        return false;
    }
    match c.general_category() {
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::Format => true,
        _ => {
            CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
                && !CodePointSetData::new::<VariationSelector>().contains(c)
        }
    }
}

/// Returns whether a text has a character that must be escaped.
pub(crate) fn has_unsafe(text: &str) -> bool {
    if text.is_ascii() {
        // Without an early return, the compiler checks many bytes at a time.
        return text
            .bytes()
            .fold(false, |found, byte| found | byte.is_ascii_control());
    }
    text.contains(is_unsafe)
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
