//! Makes text from outside safe to show: it replaces secrets, even if they are encoded there, escapes control characters,
//! and cuts.
//!
//! Errors call it, by [`KnownSecrets::clean`], for every text that comes from a
//! server or from another library.
//!
//! A server that repeats a credential in an error may encode it in the way of the format around it: in a URL, in JSON
//! (perhaps in a string of JSON within JSON), in HTML, or with line breaks in it. The text is decoded layer by layer, and
//! each layer is searched. Each byte of a layer keeps its position in the original text.
//!
//! What is left of a text is searched again: if a text is replaced or cut in the middle of an escape, the rest of the escape
//! may be that of another character. In the text `&#x2A23`, for example, `23` may be replaced, and `&#x2A` is an asterisk.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::ops::Range;

use zeroize::Zeroizing;

use crate::Secret;
use crate::secret::REDACTED;
use crate::text;

/// The secrets of a session, which are searched for in texts from outside.
#[derive(Clone, Default)]
pub(crate) struct KnownSecrets(Option<Arc<[Secret]>>);

impl KnownSecrets {
    pub(crate) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self(Some(secrets.into_iter().collect()))
    }

    /// Returns the text with every secret replaced, escaped, and cut after about `limit` bytes; see [`cleaned`].
    pub(crate) fn clean(&self, text: &str, limit: usize) -> String {
        match &self.0 {
            Some(secrets) => cleaned(text, secrets, limit),
            None => text::escaped(text, limit),
        }
    }
}

/// The number of consecutive bytes by which a part of a secret is recognised.
///
/// A shorter secret is recognised as a whole only, but wherever its characters occur: if the secret is `a`, every `a` is
/// replaced, with the rest of its word.
const RUN: usize = 12;

/// The number of layers that are decoded: JSON within JSON within a URL, and one more.
const LAYERS: usize = 4;

/// The number of times that a text and what is left of it are searched. Only a text that is made for it needs more than
/// four.
const SEARCHES: usize = 8;

/// Returns the text with every secret replaced, from the first recognised byte to the next space or quote after the last
/// one, and escaped and cut by [`text::push_escaped`].
///
/// Secrets are replaced first, because escaping or cutting could hide them from the search. If the last search finds a
/// secret, too, the whole text is replaced.
fn cleaned(text: &str, secrets: &[Secret], limit: usize) -> String {
    let needles = Needles::new(secrets);
    let mut shown = Shown::of(text);
    for _ in 0..SEARCHES {
        let mut found = Vec::new();
        for part in shown.parts() {
            needles.find_in(shown.text, part, &mut found);
        }
        if !found.is_empty() {
            shown.replace(found);
            continue;
        }
        match shown.write(limit) {
            (out, None) => return out,
            (_, Some(end)) => shown.cut(end),
        }
    }
    String::from(REDACTED)
}

/// What is shown of a text.
struct Shown<'t> {
    text: &'t str,
    is_cut: bool,
    /// The ranges that are replaced, in order. They do not touch each other.
    replaced: Vec<Range<usize>>,
}

impl<'t> Shown<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            text,
            is_cut: false,
            replaced: Vec::new(),
        }
    }

    /// Returns the ranges that are not replaced: one before each replaced range, and one at the end.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = self.replaced.iter().map(|range| range.end);
        let ends = self.replaced.iter().map(|range| range.start);
        let starts = iter::once(0).chain(starts);
        let ends = ends.chain(iter::once(self.text.len()));
        starts.zip(ends).map(|(start, end)| start..end)
    }

    /// Replaces more ranges. Those that overlap or touch become one.
    fn replace(&mut self, ranges: Vec<Range<usize>>) {
        self.replaced.extend(ranges);
        self.replaced.sort_unstable_by_key(|range| range.start);
        self.replaced.dedup_by(|next, last| {
            let is_joined = next.start <= last.end;
            if is_joined {
                last.end = last.end.max(next.end);
            }
            is_joined
        });
    }

    /// Cuts the text at a position that is not in a replaced range.
    fn cut(&mut self, end: usize) {
        self.text = self.text.get(..end).unwrap_or_default();
        self.is_cut = true;
        self.replaced.retain(|range| range.start < end);
    }

    /// Returns what is shown, and the position at which it must be cut, if that is in the text.
    fn write(&self, limit: usize) -> (String, Option<usize>) {
        let mut out = String::with_capacity(self.text.len().min(limit));
        for (n, part) in self.parts().enumerate() {
            let left = limit.saturating_sub(out.len());
            if n > 0 && !text::push_escaped(&mut out, REDACTED, left).is_empty() {
                return (out, None);
            }
            let left = limit.saturating_sub(out.len());
            let visible = self.text.get(part.clone()).unwrap_or_default();
            let cut = text::push_escaped(&mut out, visible, left);
            if !cut.is_empty() {
                return (out, Some(part.end - cut.len()));
            }
        }
        if self.is_cut {
            out.push(text::ELLIPSIS);
        }
        (out, None)
    }
}

/// The secrets to search for.
struct Needles<'s> {
    plain: Vec<&'s [u8]>,
    /// The decoded forms of secrets that look encoded. A parser may already have decoded the text.
    decoded: Vec<Zeroizing<Vec<u8>>>,
    /// Whether a secret is shorter than a [`RUN`].
    has_short: bool,
    /// A bit set of the hashes of all quads in the secrets. It rules out most positions quickly.
    quads: Vec<u64>,
}

/// The number of consecutive bytes that are called a quad here.
const QUAD: usize = 4;

impl<'s> Needles<'s> {
    fn new(secrets: &'s [Secret]) -> Self {
        let secrets = secrets.iter().map(Secret::expose);
        let texts: Vec<&str> = secrets.filter(|secret| !secret.is_empty()).collect();
        let mut decoded = Vec::new();
        for text in texts.iter().filter(|text| may_be_encoded(text.as_bytes())) {
            let layers = iter::successors(Layer::of(text, 0..text.len()).decoded(), Layer::decoded);
            decoded.extend(layers.take(LAYERS).map(|layer| layer.bytes));
        }
        let mut needles = Self {
            plain: texts.into_iter().map(str::as_bytes).collect(),
            decoded,
            has_short: false,
            quads: Vec::new(),
        };
        let has_short = needles.all().any(|needle| needle.len() < RUN);
        needles.has_short = has_short;
        needles.quads = needles.quads();
        needles
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        let decoded = self.decoded.iter().map(|needle| needle.as_slice());
        self.plain.iter().copied().chain(decoded)
    }

    fn quads(&self) -> Vec<u64> {
        // Few bits are set if there are sixteen for each byte, and most secrets are short: a large set takes longer to
        // clear than a short text takes to search.
        let bytes: usize = self.all().map(<[u8]>::len).sum();
        let mut quads = alloc::vec![0; (bytes / 4 + 1).next_power_of_two()];
        for quad in self.all().flat_map(|needle| needle.windows(QUAD)) {
            let (word, bit) = bit_of(quad, quads.len());
            if let Some(word) = quads.get_mut(word) {
                *word |= bit;
            }
        }
        quads
    }

    /// Adds the ranges of `text` in which a part of it, by itself, holds a secret in any layer.
    fn find_in(&self, text: &str, part: Range<usize>, found: &mut Vec<Range<usize>>) {
        let mut layer = Layer::of(text, part);
        for _ in 0..=LAYERS {
            self.find_in_layer(&layer, text, found);
            match layer.decoded() {
                Some(decoded) => layer = decoded,
                None => break,
            }
        }
    }

    /// Adds the ranges of `text` in which the layer holds a secret.
    fn find_in_layer(&self, layer: &Layer, text: &str, found: &mut Vec<Range<usize>>) {
        let (mut at, mut end_of_last) = (0, 0);
        while let Some(rest) = layer.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(length) = self.longest_at(rest) else {
                at += 1;
                continue;
            };
            let start = layer.sources.get(at).map_or(0, |source| source.start);
            let last = layer.sources.get(at + length - 1);
            let end = last.map_or(text.len(), |source| source.end);
            // A match in the same word as the previous one has the same end. Searching for the end again would take
            // quadratic time.
            if end > end_of_last {
                end_of_last = end_of_word(text, end);
            }
            found.push(start..end_of_last);
            // Search the rest of the word, too: a match that begins there may continue after a line break.
            at += length;
        }
    }

    /// Returns the length of the longest part of a secret at the start of the text, if it is long enough: a [`RUN`], or
    /// a whole shorter secret.
    fn longest_at(&self, text: &[u8]) -> Option<usize> {
        let may_be_run = text
            .get(..RUN)
            .is_some_and(|run| run.chunks_exact(QUAD).all(|quad| self.may_have(quad)));
        if !may_be_run && !self.has_short {
            return None;
        }
        let lengths = self.all().filter_map(|needle| {
            if needle.len() < RUN {
                return text.starts_with(needle).then_some(needle.len());
            }
            let run = text.get(..RUN).filter(|_| may_be_run)?;
            let ends = needle
                .windows(RUN)
                .enumerate()
                .filter(|(_, window)| *window == run);
            let lengths =
                ends.map(|(start, _)| common_prefix(text, needle.get(start..).unwrap_or_default()));
            lengths.max()
        });
        lengths.filter(|length| *length > 0).max()
    }

    /// Returns `false` if no secret has the quad. Another quad may have the same hash, so `true` is only a hint.
    fn may_have(&self, quad: &[u8]) -> bool {
        let (word, bit) = bit_of(quad, self.quads.len());
        self.quads.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Returns the position of a quad's bit in a bit set of so many words, a power of two: the index of the word, and a word
/// with this bit only.
fn bit_of(quad: &[u8], words: usize) -> (usize, u64) {
    let number = quad
        .iter()
        .fold(0u32, |number, byte| (number << 8) | u32::from(*byte));
    // The upper bits of the product are mixed best.
    let hash = number.wrapping_mul(0x9e37_79b1);
    ((hash >> 10) as usize & (words - 1), 1 << (hash >> 26))
}

/// Returns the length in bytes of the longest common beginning of two texts.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Returns the position of the first space or quote at or after `from`, or of the end of the text. The rest of the word
/// may be the rest of a secret in another encoding.
fn end_of_word(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
    rest.find(is_end).map_or(text.len(), |length| from + length)
}

/// A text that is partly decoded. It may hold a secret, so it is overwritten when dropped. Its buffer never grows, because
/// a copy would be left in memory.
struct Layer {
    bytes: Zeroizing<Vec<u8>>,
    /// The range of the original text that each byte was decoded from.
    sources: Vec<Range<usize>>,
}

impl Layer {
    /// Returns a part of a text, undecoded.
    fn of(text: &str, part: Range<usize>) -> Self {
        let first = part.start;
        let text = text.get(part).unwrap_or_default();
        let mut sources = Vec::with_capacity(text.len());
        for (start, c) in text.char_indices() {
            let (start, end) = (first + start, first + start + c.len_utf8());
            sources.extend((start..end).map(|_| start..end));
        }
        Self {
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            sources,
        }
    }

    /// Adds a character that was decoded from the range `source` of the original text.
    fn push(&mut self, c: char, source: Range<usize>) {
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            self.push_byte(byte, source.clone());
        }
    }

    fn push_byte(&mut self, byte: u8, source: Range<usize>) {
        self.bytes.push(byte);
        self.sources.push(source);
    }

    /// Decodes one layer, and removes line breaks with the spaces after them. Returns `None` if nothing changes.
    fn decoded(&self) -> Option<Self> {
        if !may_be_encoded(&self.bytes) {
            return None;
        }
        let mut decoded = Self {
            bytes: Zeroizing::new(Vec::with_capacity(self.bytes.len())),
            sources: Vec::with_capacity(self.bytes.len()),
        };
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.iter().take_while(|byte| !may_be_escape(**byte));
            let plain = plain.count();
            if plain > 0 {
                decoded.bytes.extend_from_slice(rest.get(..plain)?);
                let sources = self.sources.get(at..at + plain)?;
                decoded.sources.extend_from_slice(sources);
                at += plain;
                continue;
            }
            let (decoding, length) = decode(rest);
            let start = self.sources.get(at)?.start;
            let end = self.sources.get(at + length - 1)?.end;
            match decoding {
                Decoding::LineBreak => {}
                Decoding::Byte(byte) => decoded.push_byte(byte, start..end),
                Decoding::Char(c) => decoded.push(c, start..end),
            }
            at += length;
        }
        (decoded.bytes != self.bytes).then_some(decoded)
    }
}

/// The meaning of one or more bytes of an encoded text.
enum Decoding {
    /// A line break and the spaces after it, which are removed.
    LineBreak,
    Byte(u8),
    Char(char),
}

/// Returns `false` if nothing in the text can be decoded.
fn may_be_encoded(text: &[u8]) -> bool {
    text.iter().any(|byte| may_be_escape(*byte))
}

/// Returns whether a text that begins with this byte may have to be decoded; see [`decode`].
fn may_be_escape(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'%' | b'\\' | b'&')
}

/// Decodes the beginning of the text. Returns its meaning, and the number of bytes that it takes.
fn decode(text: &[u8]) -> (Decoding, usize) {
    let decoded = match text {
        [b'\r' | b'\n', rest @ ..] => {
            let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
            Some((Decoding::LineBreak, 1 + spaces.count()))
        }
        [b'%', high, low, ..] => hex(&[*high, *low])
            .and_then(|byte| u8::try_from(byte).ok())
            .map(|byte| (Decoding::Byte(byte), 3)),
        [b'\\', rest @ ..] => backslash(rest).map(|(c, length)| (Decoding::Char(c), 1 + length)),
        [b'&', rest @ ..] => entity(rest).map(|(c, length)| (Decoding::Char(c), 1 + length)),
        _ => None,
    };
    let itself = || (Decoding::Byte(text.first().copied().unwrap_or_default()), 1);
    decoded.unwrap_or_else(itself)
}

/// Decodes an escape of JSON (RFC 8259 §7), C or Rust, whose backslash has been read. Returns the character, and the
/// length of the escape without the backslash.
fn backslash(text: &[u8]) -> Option<(char, usize)> {
    Some(match text {
        [b'u', b'{', rest @ ..] => {
            let digits = rest.iter().position(|byte| *byte == b'}')?;
            let code = hex(rest.get(..digits).filter(|digits| digits.len() <= 6)?)?;
            (char::from_u32(code)?, digits + 3)
        }
        [b'u', digits @ ..] => {
            let high = hex(digits.get(..4)?)?;
            match (high, digits.get(4..)) {
                (0xd800..=0xdbff, Some([b'\\', b'u', low @ ..])) => {
                    let low = hex(low.get(..4)?)?.checked_sub(0xdc00)?;
                    (char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?, 11)
                }
                _ => (char::from_u32(high)?, 5),
            }
        }
        [b'x', digits @ ..] => (char::from_u32(hex(digits.get(..2)?)?)?, 3),
        [b'n', ..] => ('\n', 1),
        [b'r', ..] => ('\r', 1),
        [b't', ..] => ('\t', 1),
        [b'b', ..] => ('\u{8}', 1),
        [b'f', ..] => ('\u{c}', 1),
        [c @ (b'"' | b'\'' | b'\\' | b'/'), ..] => (char::from(*c), 1),
        _ => return None,
    })
}

/// Decodes a character reference of HTML, whose ampersand has been read. Returns the character, and the length of the
/// reference without the ampersand. The semicolon may be missing, as in HTML.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    let number = |from: usize, radix: u32| {
        let digits = text.get(from..)?;
        let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
        let length = digits.iter().take_while(is_digit).count();
        let digits = core::str::from_utf8(digits.get(..length)?).ok()?;
        let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
        Some((c, from + length))
    };
    let (c, length) = match text {
        [b'#', b'x' | b'X', ..] => number(2, 16)?,
        [b'#', ..] => number(1, 10)?,
        _ => {
            let is_named = |(name, _): &&(&str, char)| text.starts_with(name.as_bytes());
            let (name, c) = ENTITIES.iter().find(is_named)?;
            (*c, name.len())
        }
    };
    let semicolon = usize::from(text.get(length) == Some(&b';'));
    Some((c, length + semicolon))
}

/// The names that HTML has for visible ASCII characters, and those that are often written for `-` and `~`.
const ENTITIES: [(&str, char); 36] = [
    ("Hat", '^'),
    ("Tilde", '~'),
    ("amp", '&'),
    ("apos", '\''),
    ("ast", '*'),
    ("bsol", '\\'),
    ("colon", ':'),
    // Must come before `comma`, with which it begins.
    ("commat", '@'),
    ("comma", ','),
    ("dash", '-'),
    ("dollar", '$'),
    ("equals", '='),
    ("excl", '!'),
    ("grave", '`'),
    ("gt", '>'),
    ("hyphen", '-'),
    ("lbrack", '['),
    ("lcub", '{'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("lsqb", '['),
    ("lt", '<'),
    ("num", '#'),
    ("percnt", '%'),
    ("period", '.'),
    ("plus", '+'),
    ("quest", '?'),
    ("quot", '"'),
    ("rbrack", ']'),
    ("rcub", '}'),
    ("rpar", ')'),
    ("rsqb", ']'),
    ("semi", ';'),
    ("sol", '/'),
    ("verbar", '|'),
    ("vert", '|'),
];

/// Parses a hexadecimal number without a sign.
fn hex(digits: &[u8]) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let digits = core::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    const TOKEN: &str = "eyJhbGci.Zr8Xq2/Lm9Vb+Kt4W==";

    fn redact(text: &str) -> String {
        redacted(text, &["short", TOKEN].map(Secret::new))
    }

    fn redacted(text: &str, secrets: &[Secret]) -> String {
        cleaned(text, secrets, usize::MAX)
    }

    #[test]
    fn a_secret_is_replaced_whole_or_in_part_to_the_end_of_its_word() {
        for (text, expected) in [
            ("", ""),
            (
                "nothing here, shor or eyJhbGci.Zr",
                "nothing here, shor or eyJhbGci.Zr",
            ),
            ("a short b short", "a [redacted] b [redacted]"),
            (
                r#"{"t":"eyJhbGci.Zr8Xq2/Lm9Vb+Kt4W=="}"#,
                r#"{"t":"[redacted]"}"#,
            ),
            // A beginning, a middle, an end.
            ("token eyJhbGci.Zr8Xq… is bad", "token [redacted] is bad"),
            ("token …Zr8Xq2/Lm9Vb… is bad", "token …[redacted] is bad"),
            ("token Xq2/Lm9Vb+Kt4W== is bad", "token [redacted] is bad"),
            // Encoded after a plain beginning.
            ("eyJhbGci.Zr8Xq2%2fLm9Vb and on", "[redacted] and on"),
            ("eyJhbGci.Zr8 Xq2/Lm9Vb+Kt4W==", "[redacted] [redacted]"),
            ("eyJhbGci.Zr8Xq2/eyJhbGci.Zr8Xq2/", "[redacted]"),
            // Another secret begins in the word and continues after a line break.
            ("short,sho\nrt, and on", "[redacted] and on"),
        ] {
            assert_eq!(redact(text), expected);
        }
        assert_eq!(redacted("a", &[]), "a");
        assert_eq!(redacted("a", &[Secret::new("")]), "a");
    }

    #[test]
    fn a_secret_is_found_in_each_encoding_that_the_format_around_it_may_have() {
        let each = |encode: &dyn Fn(char) -> String| TOKEN.chars().map(encode).collect::<String>();
        let json = each(&|c| format!("\\u{:04x}", u32::from(c)));
        let again = json.replace('\\', "\\\\");
        for encoded in [
            each(&|c| format!("%{:02X}", u32::from(c))),
            each(&|c| format!("%{:02x}", u32::from(c))),
            each(&|c| format!("%25{:02x}", u32::from(c))),
            TOKEN.replace('/', "%2F").replace('=', "%3D"),
            json.clone(),
            json.to_uppercase().replace("\\U", "\\u"),
            TOKEN.replace('/', "\\/"),
            again.clone(),
            again.replace('\\', "\\\\"),
            each(&|c| format!("&#{};", u32::from(c))),
            each(&|c| format!("&#x{:x};", u32::from(c))),
            each(&|c| format!("&#X{:04X};", u32::from(c))),
            TOKEN
                .replace('/', "&sol;")
                .replace('+', "&plus;")
                .replace('=', "&equals;"),
            each(&|c| format!("\\u{{{:x}}}", u32::from(c))),
            each(&|c| format!("\\x{:02x}", u32::from(c))),
            each(&|c| format!("{c}\n")),
            each(&|c| format!("{c}\r\n\t ")),
            each(&|c| format!("{c}\\n")),
            each(&|c| format!("{c}\\r\\n")),
            each(&|c| format!("{c}%0d%0a")),
        ] {
            let shown = redact(&format!("token ({encoded}) is bad"));
            let rest = shown.strip_prefix("token ([redacted]").unwrap_or_default();
            assert!(rest.ends_with(" is bad"), "{encoded}: {shown}");
            // An escaped line break may be left, too.
            assert!(rest.len() <= " is bad".len() + 17, "{encoded}: {shown}");
        }
    }

    #[test]
    fn every_visible_character_with_a_name_is_found_by_it() {
        for c in ('!'..='~').filter(|c| !c.is_ascii_alphanumeric()) {
            let names = ENTITIES.iter().filter(|(_, known)| *known == c);
            assert!(names.clone().count() > 0, "{c}");
            for (name, c) in names {
                let secret = Secret::new(c.to_string().repeat(12));
                let named = format!("&{name};").repeat(12);
                assert_eq!(redacted(&named, &[secret]), REDACTED, "{named}");
            }
        }
    }

    #[test]
    fn a_secret_that_looks_encoded_is_found_as_it_is_and_encoded() {
        let secret = "p%41ss&amp;w\\u0041rd-0123";
        for text in [
            secret.to_string(),
            secret.replace('\\', "\\\\"),
            secret.replace('%', "%25"),
            secret.replace('&', "&amp;"),
            // A parser has decoded it, and nothing in it looks encoded.
            "pAss&w\\u0041rd-0123".to_string(),
            "pAss&wArd-0123".to_string(),
        ] {
            let shown = redacted(&text, &[Secret::new(secret)]);
            assert_eq!(shown, REDACTED, "{text}");
        }
    }

    #[test]
    fn what_is_replaced_or_cut_in_an_escape_completes_no_secret() {
        // The asterisk is encoded without a semicolon, and digits follow, so it is another character.
        let (first, second) = ("abcdefghijk*xyz", "23456789abcd");
        let secrets = [first, second].map(Secret::new);
        for (text, limit, expected) in [
            (
                "is abcdefghijk&#x2A23456789abcd here",
                99,
                "is [redacted] here",
            ),
            (
                "abcdefghijk\\u{2a23456789abcd",
                99,
                "abcdefghijk\\u{2a[redacted]",
            ),
            // Encoded again.
            ("abcdefghijk%26%23x2A23456789abcd", 99, "[redacted]"),
            ("abcdefghijk&#x2A2345", 99, "abcdefghijk&#x2A2345"),
            ("abcdefghijk&#x2A2345", 16, "[redacted]…"),
            ("abcdefghijk&#x2A2345", 15, "abcdefghijk&#x2…"),
            (
                "23456789abcd abcdefghijk&#x2A2345 23456789abcd",
                27,
                "[redacted] [redacted]…",
            ),
        ] {
            assert_eq!(cleaned(text, &secrets, limit), expected, "{text}, {limit}");
        }
    }

    #[test]
    fn a_text_that_always_shows_another_secret_is_replaced_whole() {
        // When the zeros are replaced, the asterisk before them completes the first secret, and so on.
        let secrets = ["aaaaaaaaaaa*", "000000000000"].map(Secret::new);
        for (searches, expected) in [
            (2, "is [redacted]"),
            (SEARCHES, "is [redacted]"),
            (SEARCHES + 1, "[redacted]"),
        ] {
            let text = "aaaaaaaaaaa&#x2A".repeat(searches - 2);
            let shown = redacted(&format!("is {text}000000000000"), &secrets);
            assert_eq!(shown, expected, "{searches} searches");
        }
    }

    /// Returns whether the text holds a run of the secret, by a plain search without layers.
    fn shows(text: &str, secret: &str) -> bool {
        let bytes = secret.as_bytes();
        let mut runs = bytes.windows(RUN.min(bytes.len()));
        runs.any(|run| {
            text.as_bytes()
                .windows(run.len())
                .any(|window| window == run)
        })
    }

    fn encoded(c: char, how: u8) -> String {
        let code = u32::from(c);
        match how {
            0 => format!("%{code:02X}"),
            1 => format!("%{code:02x}"),
            2 => format!("\\u{code:04x}"),
            3 => format!("\\\\u{code:04X}"),
            4 => format!("&#{code};"),
            5 => format!("&#x{code:X};"),
            6 => format!("{c}\n"),
            _ => c.to_string(),
        }
    }

    proptest! {
        /// Any run of twelve characters of a secret, each encoded in its own way, in any text.
        #[test]
        fn no_run_of_a_secret_is_left(
            secret in "[A-Za-z0-9._~+/=-]{12,40}",
            from in 0usize..30,
            hows in proptest::collection::vec(0u8..12, 40),
            before in "[ -~é\\n]{0,20}",
            after in "[ -~é\\n]{0,20}",
        ) {
            // A line break is removed, so an escape that begins before it may take the beginning of the secret: "%", a line
            // break and "00" are a byte of value 0, once an inner layer is decoded.
            let joined = before.trim_end_matches(' ').strip_suffix('\n');
            let begins_escape = |c: char| matches!(c, '%' | '\\' | '&');
            prop_assume!(joined.is_none_or(|joined| !joined.contains(begins_escape)));
            let from = from.min(secret.len() - RUN);
            let part = secret.get(from..).unwrap();
            let part: String = part.chars().zip(hows).map(|(c, how)| encoded(c, how)).collect();
            let text = format!("{before} {part} {after}");
            let shown = redacted(&text, &[Secret::new(&*secret)]);
            prop_assert!(shown.contains(REDACTED), "{text}");
            let part = text::escaped(&part, usize::MAX);
            prop_assert!(!shown.contains(&part), "{text}: {shown}");
            prop_assert!(!shows(&shown, &secret), "{text}: {shown}");
        }

        #[test]
        fn text_without_a_secret_is_left_as_it_is(text in "\\PC{0,60}", secret in "[a-z]{14}") {
            prop_assume!(!shows(&text, &secret));
            let shown = redacted(&text, &[Secret::new(secret)]);
            prop_assert_eq!(shown, text::escaped(&text, usize::MAX));
        }
    }
}
