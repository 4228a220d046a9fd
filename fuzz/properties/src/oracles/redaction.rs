//! Decodes texts, and finds and replaces secrets in them, independently of the core.

use std::ops::Range;

use crate::oracles::unicode::is_unsafe;

/// The length of the shortest run that is recognised. A shorter secret is recognised as a whole.
pub(crate) const RUN: usize = 12;

/// The names of visible characters in HTML: the first name of each, and other common ones.
pub const NAMED: [(&str, char); 36] = [
    ("excl", '!'),
    ("quot", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("hyphen", '-'),
    ("dash", '-'),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("rcub", '}'),
    ("Tilde", '~'),
];

/// Returns whether [`decode_escape`] may decode a text that begins with this byte.
fn may_begin_escape(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'%' | b'\\' | b'&')
}

/// Decodes the escape at the front of a text. Returns the decoded bytes and the length of the escape.
fn decode_escape(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let number = |digits: &[u8], radix: u32| -> Option<u32> {
        let is_number =
            !digits.is_empty() && digits.iter().all(|byte| char::from(*byte).is_digit(radix));
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
        u32::from_str_radix(digits, radix).ok()
    };
    let character = |code: u32| Some(char::from_u32(code)?.to_string().into_bytes());
    match text[0] {
        b'\n' | b'\r' => {
            let rest = text[1..].iter();
            let spaces = rest.take_while(|byte| byte.is_ascii_whitespace()).count();
            Some((Vec::new(), 1 + spaces))
        }
        b'%' => {
            let byte = number(text.get(1..3)?, 16)?;
            Some((vec![u8::try_from(byte).ok()?], 3))
        }
        b'\\' => match *text.get(1)? {
            b'u' if text.get(2) == Some(&b'{') => {
                let end = text.iter().position(|byte| *byte == b'}')?;
                let code = number(text.get(3..end)?, 16).filter(|_| end <= 9)?;
                Some((character(code)?, end + 1))
            }
            b'u' => {
                let unit = |at: usize| number(text.get(at..at + 4)?, 16);
                let first = unit(2)?;
                let second = match text.get(6..8) {
                    Some(b"\\u") => unit(8),
                    _ => None,
                };
                let pair = [Some(first), second].into_iter().flatten();
                let pair: Vec<u16> = pair.map(|unit| unit as u16).collect();
                match char::decode_utf16(pair).next()? {
                    Ok(c) => Some((c.to_string().into_bytes(), 6 * c.len_utf16())),
                    Err(_) => None,
                }
            }
            b'x' => Some((character(number(text.get(2..4)?, 16)?)?, 4)),
            b'n' => Some((b"\n".into(), 2)),
            b'r' => Some((b"\r".into(), 2)),
            b't' => Some((b"\t".into(), 2)),
            b'b' => Some((b"\x08".into(), 2)),
            b'f' => Some((b"\x0c".into(), 2)),
            c @ (b'"' | b'\'' | b'\\' | b'/') => Some((vec![c], 2)),
            _ => None,
        },
        b'&' => {
            let (value, length) = if text.get(1) == Some(&b'#') {
                let (radix, from) = match text.get(2)? {
                    b'x' | b'X' => (16, 3),
                    _ => (10, 2),
                };
                let digits = text[from..].iter();
                let digits = digits.take_while(|byte| char::from(**byte).is_digit(radix));
                let end = from + digits.count();
                (character(number(&text[from..end], radix)?)?, end)
            } else {
                let is_named = |(name, _): &&(&str, char)| text[1..].starts_with(name.as_bytes());
                // One name may be the beginning of another; the longest one counts.
                let named = NAMED.iter().filter(is_named);
                let (name, c) = named.max_by_key(|(name, _)| name.len())?;
                (c.to_string().into_bytes(), 1 + name.len())
            };
            Some((value, length + usize::from(text.get(length) == Some(&b';'))))
        }
        _ => None,
    }
}

/// Returns a text, and the result of each of up to `decodings` decodings.
pub(crate) fn layers(text: &[u8], decodings: usize) -> Vec<Vec<u8>> {
    let mut layers = vec![text.to_vec()];
    for n in 0..decodings {
        let (mut next, mut rest) = (Vec::new(), layers[n].as_slice());
        while let Some(at) = rest.iter().position(may_begin_escape) {
            next.extend(&rest[..at]);
            rest = &rest[at..];
            let length = match decode_escape(rest) {
                Some((bytes, length)) => {
                    next.extend(bytes);
                    length
                }
                None => {
                    next.push(rest[0]);
                    1
                }
            };
            rest = &rest[length..];
        }
        next.extend(rest);
        if next == layers[n] {
            // Further decodings change nothing.
            break;
        }
        layers.push(next);
    }
    layers
}

/// A decoded text, with the range of the original text that each of its bytes comes from.
type Layer = Vec<(u8, Range<usize>)>;

/// Returns the layers of a part of a text: itself, and the result of each of up to four decodings.
fn layers_with_sources(text: &str, part: Range<usize>) -> Vec<Layer> {
    let bytes = |(at, c): (usize, char)| {
        let source = part.start + at..part.start + at + c.len_utf8();
        text[source.clone()]
            .bytes()
            .map(move |byte| (byte, source.clone()))
    };
    let mut layers: Vec<Layer> = vec![text[part.clone()].char_indices().flat_map(bytes).collect()];
    for n in 0..4 {
        let plain: Vec<u8> = layers[n].iter().map(|(byte, _)| *byte).collect();
        if !plain.iter().any(may_begin_escape) {
            break;
        }
        let (mut next, mut at) = (Layer::new(), 0);
        while at < plain.len() {
            let Some((bytes, length)) = decode_escape(&plain[at..]) else {
                next.push(layers[n][at].clone());
                at += 1;
                continue;
            };
            let source = layers[n][at].1.start..layers[n][at + length - 1].1.end;
            next.extend(bytes.into_iter().map(|byte| (byte, source.clone())));
            at += length;
        }
        if next.iter().map(|(byte, _)| byte).eq(&plain) {
            // Further decodings change nothing.
            break;
        }
        layers.push(next);
    }
    layers
}

/// Returns the length of the longest run of a needle at the front of a text, or 0. A needle that is shorter than a run counts
/// as a whole.
fn run_length(text: &[u8], needle: &[u8]) -> usize {
    let least = RUN.min(needle.len());
    let starts = 0..=needle.len() - least;
    let common = |start: usize| {
        let pairs = needle[start..].iter().zip(text);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let lengths = starts.map(common).filter(|length| *length >= least);
    lengths.max().unwrap_or(0)
}

/// The texts that are searched for: the secrets, and what they are if a secret itself looks encoded.
struct Needles {
    needles: Vec<Vec<u8>>,
    /// Whether a run may begin with a byte. Most bytes cannot.
    may_begin: [bool; 256],
}

impl Needles {
    fn new(secrets: &[String]) -> Self {
        let needles = secrets
            .iter()
            .flat_map(|secret| layers(secret.as_bytes(), 4));
        let needles: Vec<Vec<u8>> = needles.filter(|needle| !needle.is_empty()).collect();
        let mut may_begin = [false; 256];
        for needle in &needles {
            let starts = &needle[..=needle.len() - RUN.min(needle.len())];
            starts
                .iter()
                .for_each(|byte| may_begin[usize::from(*byte)] = true);
        }
        Self { needles, may_begin }
    }

    /// Returns the ranges of a text that must be replaced because of a part of it: each from the first byte of a run to the
    /// next space or quote after its last byte. The longest run counts, and the search goes on after it.
    fn ranges_in(&self, text: &str, part: Range<usize>) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        for layer in layers_with_sources(text, part) {
            let bytes: Vec<u8> = layer.iter().map(|(byte, _)| *byte).collect();
            let mut at = 0;
            while at < bytes.len() {
                if !self.may_begin[usize::from(bytes[at])] {
                    at += 1;
                    continue;
                }
                let needles = self.needles.iter();
                let lengths = needles.map(|needle| run_length(&bytes[at..], needle));
                let length = lengths.max().unwrap_or(0);
                if length > 0 {
                    let (start, end) = (layer[at].1.start, layer[at + length - 1].1.end);
                    let is_end = |c: char| c.is_whitespace() || "\"'`".contains(c);
                    let rest = text[end..].find(is_end).unwrap_or(text.len() - end);
                    ranges.push(start..end + rest);
                }
                at += length.max(1);
            }
        }
        ranges
    }
}

/// What is shown in place of a secret.
pub(crate) const MARKER: &str = "[redacted]";

/// The number of times that a text is searched.
const SEARCHES: usize = 8;

/// Returns a text as it must be shown: every secret is replaced, and the rest is escaped and cut.
///
/// What is left between the replaced ranges and before the cut is searched again, each part by itself, until nothing is
/// found. If the last search finds something, too, nothing of the text is shown.
pub(crate) fn redacted(text: &str, secrets: &[String], limit: usize) -> String {
    let needles = Needles::new(secrets);
    let (mut text, mut is_cut) = (text, false);
    let mut hidden = vec![false; text.len()];
    for _ in 0..SEARCHES {
        let mut found = Vec::new();
        let mut start = 0;
        for part in hidden.chunk_by(|a, b| a == b) {
            let end = start + part.len();
            if !part[0] {
                found.extend(needles.ranges_in(text, start..end));
            }
            start = end;
        }
        if !found.is_empty() {
            found.into_iter().for_each(|range| hidden[range].fill(true));
            continue;
        }
        match written(text, &hidden, limit) {
            Ok(shown) if is_cut => return shown + "…",
            Ok(shown) => return shown,
            Err(Cut::Marker(shown)) => return shown + "…",
            Err(Cut::Text(end)) => {
                (text, is_cut) = (&text[..end], true);
                hidden.truncate(end);
            }
        }
    }
    MARKER.to_owned()
}

/// Why a text that is partly hidden is not written to its end.
enum Cut {
    /// What is written ends in a marker.
    Marker(String),
    /// The text must be cut at this position.
    Text(usize),
}

/// Writes a text of which some bytes are hidden, until it has reached the limit.
fn written(text: &str, hidden: &[bool], limit: usize) -> Result<String, Cut> {
    let mut shown = String::new();
    for (at, c) in text.char_indices() {
        if !hidden[at] {
            if shown.len() >= limit {
                return Err(Cut::Text(at));
            }
            push_escaped(&mut shown, c);
        } else if at == 0 || !hidden[at - 1] {
            let room = limit.saturating_sub(shown.len());
            if room < MARKER.len() {
                return Err(Cut::Marker(shown + &MARKER[..room]));
            }
            shown += MARKER;
        }
    }
    Ok(shown)
}

/// Returns whether a text contains a run of a secret, or all of a shorter secret.
pub(crate) fn has_run(text: &[u8], secret: &[u8]) -> bool {
    let length = RUN.min(secret.len());
    if length < 2 {
        return length == 1 && text.contains(&secret[0]);
    }
    let mut pairs = Pairs::default();
    pairs.add(secret);
    let is_run = |part: &[u8]| secret.windows(length).any(|run| run == part);
    let mut places = pairs.places_in(text, length);
    places.any(|place| text[place].windows(length).any(is_run))
}

/// The pairs of consecutive bytes of some needles. Another pair may have the place of one of them.
pub(crate) struct Pairs([u64; 64]);

impl Default for Pairs {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Pairs {
    /// Adds all pairs of a needle.
    pub(crate) fn add(&mut self, needle: &[u8]) {
        for pair in needle.windows(2) {
            let (word, bit) = Self::place_of(pair);
            self.0[word] |= bit;
        }
    }

    fn place_of(pair: &[u8]) -> (usize, u64) {
        let number = (usize::from(pair[0]) * 67 + usize::from(pair[1])) % (64 * 64);
        (number / 64, 1 << (number % 64))
    }

    /// Returns the ranges of a text in which a part of a needle may be that is `length` bytes long, at least two. Such a part
    /// contains a pair that begins at a multiple of `length - 1`, so the other pairs are not looked up.
    pub(crate) fn places_in(
        &self,
        text: &[u8],
        length: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let step = length - 1;
        let pairs = text.windows(2).enumerate().step_by(step);
        pairs.filter_map(move |(at, pair)| {
            let (word, bit) = Self::place_of(pair);
            let (from, until) = (at.saturating_sub(step - 1), text.len().min(at + length));
            (self.0[word] & bit != 0).then_some(from..until)
        })
    }
}

/// Returns whether redaction may find a secret in a text. A secret may itself look like an encoded text.
pub(crate) fn may_have_run(text: &str, secrets: &[String]) -> bool {
    let layers = layers(text.as_bytes(), 4);
    let mut needles = secrets
        .iter()
        .flat_map(|secret| self::layers(secret.as_bytes(), 4));
    needles.any(|needle| layers.iter().any(|layer| has_run(layer, &needle)))
}

/// Returns whether redaction may find a secret in an expected text, which is escaped and perhaps truncated.
pub(crate) fn may_show_run(expected: &str, secrets: &[String]) -> bool {
    may_have_run(&unescaped(&expected.replace(MARKER, "\0")), secrets)
}

/// Returns whether a shown text contains a run of a secret, directly or encoded.
pub(crate) fn contains_run(shown: &str, secret: &str) -> bool {
    // A text that is too long may end within the marker.
    let cut = shown.strip_suffix('…').and_then(|shown| {
        let mut beginnings = (1..MARKER.len()).rev().map(|length| &MARKER[..length]);
        beginnings.find_map(|beginning| shown.strip_suffix(beginning))
    });
    let shown = unescaped(&cut.unwrap_or(shown).replace(MARKER, "\0"));
    let mut layers = layers(shown.as_bytes(), 3).into_iter();
    layers.any(|layer| has_run(&layer, secret.as_bytes()))
}

/// Reverses the escaping of unsafe characters.
pub(crate) fn unescaped(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once("\\u{") {
        text.push_str(before);
        let escape = after.split_once('}').and_then(|(digits, after)| {
            let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            is_unsafe(c).then_some((c, after))
        });
        match escape {
            Some((c, after)) => {
                text.push(c);
                rest = after;
            }
            None => {
                text.push_str("\\u{");
                rest = after;
            }
        }
    }
    text + rest
}

/// Returns a text as it is shown if it contains no secret: escaped and truncated.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= limit {
            return shown + "…";
        }
        push_escaped(&mut shown, c);
    }
    shown
}

fn push_escaped(shown: &mut String, c: char) {
    match is_unsafe(c) {
        true => *shown += &format!("\\u{{{:x}}}", u32::from(c)),
        false => shown.push(c),
    }
}
