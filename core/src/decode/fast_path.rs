//! Fast path for Atlas's usual layout; falls back to the reference parser.
//!
//! It reads compact JSON with a string, null or unsigned integer in each documented field, and skips undocumented fields.
//! At anything else it stops, and the [reference parser](super::reference) reads the page from the start. It never refuses
//! a page, and a page that it reads has the same result as from the reference parser.

use alloc::vec::Vec;

use super::decoded::{Arena, Decoded, Entry as _, KEY_FIELDS, KeySpans, LinkSpans, Span};
use super::layout::{KEY_DEPTH, LINK_DEPTH, MAX_NESTING, PAGE_DEPTH, PageField};
use crate::limits::BodyLimits;
use crate::{ItemsPerPage, KeyField};

/// Decodes a page, or returns `None` to leave it to the reference parser.
pub(super) fn read(body: &[u8], limits: BodyLimits) -> Option<Decoded> {
    let mut cursor = Cursor {
        len: body.len(),
        rest: body,
        arena: Arena::default(),
        elements: limits.elements,
        nesting: limits.nesting.min(MAX_NESTING),
        order: Order([KeyField::ApiKeyId; KEY_FIELDS + 1]),
    };
    let mut page = cursor.page()?;
    page.arena = cursor.arena;
    cursor.rest.is_empty().then_some(page)
}

struct Cursor<'b> {
    /// The length of the whole body.
    len: usize,
    rest: &'b [u8],
    arena: Arena,
    elements: usize,
    nesting: u8,
    order: Order,
}

/// The field at the start of the last keys, and the field that came after each field in them. A key usually has the fields
/// of the key before it in the same order, so one comparison finds most of them.
struct Order([KeyField; KEY_FIELDS + 1]);

impl Order {
    /// The place at the start of a key.
    const START: usize = 0;

    /// Returns the place after a field.
    fn after(field: KeyField) -> usize {
        field as usize + 1
    }

    /// Returns the field to expect at a place.
    fn expected(&self, place: usize) -> KeyField {
        let field = self.0.get(place).copied();
        field.unwrap_or(KeyField::ApiKeyId)
    }

    /// Notes the field at a place.
    fn note(&mut self, place: usize, field: KeyField) {
        if let Some(expected) = self.0.get_mut(place) {
            *expected = field;
        }
    }
}

/// What compact JSON has before the text of a field, such as `"name":"`, so that one comparison of numbers finds it. A call
/// of the C library's `memcmp` for each field took a third of the time.
struct BeforeText {
    text: u128,
    /// Ones for each byte of `text`.
    mask: u128,
    len: usize,
}

/// What is before the text of each field, by the field's number.
const BEFORE_TEXT: [BeforeText; KEY_FIELDS] = {
    let mut all = [const { BeforeText::new(KeyField::ApiKeyId) }; KEY_FIELDS];
    let mut number = 0;
    while number < KEY_FIELDS {
        all[number] = BeforeText::new(KeyField::ALL[number]);
        number += 1;
    }
    all
};

impl BeforeText {
    /// A text of more than 16 bytes would not compile.
    const fn new(field: KeyField) -> Self {
        let bytes = field.before_text();
        let (mut text, mut mask) = ([0; 16], [0; 16]);
        let mut place = 0;
        while place < bytes.len() {
            text[place] = bytes[place];
            mask[place] = u8::MAX;
            place += 1;
        }
        Self {
            text: u128::from_le_bytes(text),
            mask: u128::from_le_bytes(mask),
            len: bytes.len(),
        }
    }
}

/// The length of a short key. Atlas's documented example has 323 bytes.
const KEY_BYTES: usize = 200;

impl<'b> Cursor<'b> {
    fn page(&mut self) -> Option<Decoded> {
        let mut page = Decoded::default();
        let mut seen = Seen::default();
        self.object(|cursor, name| {
            let Some(field) = PageField::from_name(name) else {
                return cursor.skip(PAGE_DEPTH);
            };
            seen.first(field as u8)?;
            match field {
                PageField::Links => {
                    cursor.array(&mut page.links, LinkSpans::ABSENT, Self::link)?;
                    page.has_links = true;
                }
                PageField::Results => {
                    // Room for all keys, but not for more than Atlas sends.
                    let keys = 1 + cursor.rest.len() / KEY_BYTES;
                    let keys = keys.min(usize::from(ItemsPerPage::MAX.get()));
                    let keys = page.entries.insert(Vec::with_capacity(keys));
                    cursor.array(keys, KeySpans::ABSENT, Self::key)?;
                }
                PageField::TotalCount => page.total_count = Some(cursor.unsigned_integer()?),
                // Only error objects and envelopes have these.
                PageField::Error | PageField::Status => return None,
            }
            Some(())
        })?;
        Some(page)
    }

    fn key(&mut self, key: &mut KeySpans) -> Option<()> {
        let mut seen = Seen::default();
        let mut place = Order::START;
        self.members(|cursor| {
            let expected = cursor.order.expected(place);
            let (field, text) = if cursor.eat_before_text(expected).is_some() {
                (expected, cursor.rest_of_text()?)
            } else {
                let name = cursor.name()?;
                let Some(field) = KeyField::from_bytes(name) else {
                    return cursor.skip(KEY_DEPTH);
                };
                cursor.order.note(place, field);
                (field, cursor.text()?)
            };
            seen.first(field as u8)?;
            key.set(field, text);
            place = Order::after(field);
            Some(())
        })
    }

    fn link(&mut self, link: &mut LinkSpans) -> Option<()> {
        let mut seen = Seen::default();
        self.object(|cursor, name| {
            let (number, span) = match name {
                b"rel" => (0, &mut link.rel),
                b"href" => (1, &mut link.href),
                _ => return cursor.skip(LINK_DEPTH),
            };
            seen.first(number)?;
            *span = cursor.text()?;
            Some(())
        })
    }

    /// Reads an object. `value` gets each field's name and reads its value.
    #[inline]
    fn object(&mut self, mut value: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.members(|cursor| {
            let name = cursor.name()?;
            value(cursor, name)
        })
    }

    /// Reads an object. `member` reads each field's name and value.
    #[inline]
    fn members(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b"{")?;
        if self.eat(b"}").is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            if self.eat(b",").is_none() {
                return self.eat(b"}");
            }
        }
    }

    /// Reads the name of a field and the colon after it. A name with other characters than ASCII is left to the reference
    /// parser.
    #[inline]
    fn name(&mut self) -> Option<&'b [u8]> {
        self.eat(b"\"")?;
        let (name, rest) = self.rest.split_at_checked(ascii_prefix(self.rest))?;
        self.rest = rest;
        self.eat(b"\":")?;
        Some(name)
    }

    /// Reads an array into `list`. `read` reads each element into a copy of `absent` that is already in the list, because
    /// moving it there afterwards would cost time.
    #[inline]
    fn array<T: Copy>(
        &mut self,
        list: &mut Vec<T>,
        absent: T,
        read: impl Fn(&mut Self, &mut T) -> Option<()>,
    ) -> Option<()> {
        self.eat(b"[")?;
        while self.has_element(list.is_empty())? {
            if list.len() >= self.elements {
                return None;
            }
            list.push(absent);
            read(self, list.last_mut()?)?;
        }
        Some(())
    }

    /// Reads the separator before an element. Returns `false` at the end of the array.
    #[inline]
    fn has_element(&mut self, is_first: bool) -> Option<bool> {
        if self.eat(b"]").is_some() {
            return Some(false);
        }
        if !is_first {
            self.eat(b",")?;
        }
        Some(true)
    }

    /// Skips the value of an undocumented field that has `depth` arrays and objects around it.
    #[cold]
    fn skip(&mut self, depth: u8) -> Option<()> {
        match self.rest.first()? {
            b'"' => {
                self.eat(b"\"")?;
                match self.string(0)? {
                    RawString::Plain(_) => Some(()),
                    RawString::Escaped(text) => unescape(text, |_, _| {}),
                }
            }
            b'n' => self.eat(b"null"),
            b't' => self.eat(b"true"),
            b'f' => self.eat(b"false"),
            b'[' | b'{' if depth >= self.nesting => None,
            b'[' => {
                self.eat(b"[")?;
                let mut is_first = true;
                while self.has_element(is_first)? {
                    self.skip(depth + 1)?;
                    is_first = false;
                }
                Some(())
            }
            b'{' => self.object(|cursor, _| cursor.skip(depth + 1)),
            _ => self.unsigned_integer().map(|_| ()),
        }
    }

    /// Reads a string or null.
    #[inline(never)] // Most texts follow an expected name.
    fn text(&mut self) -> Option<Span> {
        if self.eat(b"\"").is_none() {
            return self.eat(b"null").map(|()| Span::ABSENT);
        }
        self.rest_of_text()
    }

    /// Reads a string whose first quote has been read.
    #[inline(always)] // It is called for nearly every field, and a call would cost a third of the time.
    fn rest_of_text(&mut self) -> Option<Span> {
        let start = self.len - self.rest.len();
        let len = ascii_prefix(self.rest);
        if let [b'"', rest @ ..] = self.rest.get(len..)? {
            self.rest = rest;
            return Span::in_body(start, len);
        }
        match self.string(len)? {
            RawString::Plain(len) => Span::in_body(start, len),
            RawString::Escaped(text) => self.unescaped(text),
        }
    }

    /// Reads a string whose first quote has been read, with any characters. Its first `ascii` bytes are known to be
    /// ordinary ASCII characters.
    #[inline(never)]
    fn string(&mut self, ascii: usize) -> Option<RawString<'b>> {
        let len = ascii + plain_prefix(self.rest.get(ascii..)?);
        let (text, rest) = self.rest.split_at_checked(len)?;
        match rest {
            [b'"', rest @ ..] => {
                self.rest = rest;
                core::str::from_utf8(text).ok()?;
                Some(RawString::Plain(len))
            }
            [b'\\', ..] => self.escaped(len).map(RawString::Escaped),
            _ => None,
        }
    }

    /// Reads a string whose first escape is at `len`.
    #[cold]
    fn escaped(&mut self, mut len: usize) -> Option<&'b str> {
        while let [b'\\', _, rest @ ..] = self.rest.get(len..)? {
            len += 2 + plain_prefix(rest);
        }
        let (text, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.strip_prefix(b"\"")?;
        core::str::from_utf8(text).ok()
    }

    /// Unescapes a string into the arena.
    #[cold]
    fn unescaped(&mut self, text: &str) -> Option<Span> {
        let (before, at) = (self.arena.0.len(), self.arena.span(0)?);
        unescape(text, |part, character| {
            self.arena
                .reserve(part.len() + character.map_or(0, char::len_utf8));
            self.arena.0.push_str(part);
            self.arena.0.extend(character);
        })?;
        let len = u32::try_from(self.arena.0.len() - before).ok()?;
        Some(Span { len, ..at })
    }

    /// Reads a number without sign, fraction and exponent.
    fn unsigned_integer(&mut self) -> Option<i64> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = self.rest.split_at_checked(digits)?;
        // Up to 18 digits fit into an `i64`.
        match number {
            [] | [b'0', _, ..] => return None,
            _ if digits > 18 => return None,
            _ => self.rest = rest,
        }
        Some(
            number
                .iter()
                .fold(0, |n, digit| n * 10 + i64::from(digit - b'0')),
        )
    }

    /// Eats what is before the text of a field. Near the end of the body it may return `None` although the field is there.
    #[inline]
    fn eat_before_text(&mut self, field: KeyField) -> Option<()> {
        let before = BEFORE_TEXT.get(field as usize)?;
        let next = u128::from_le_bytes(*self.rest.first_chunk()?);
        if next & before.mask != before.text {
            return None;
        }
        self.rest = self.rest.get(before.len..)?;
        Some(())
    }

    #[inline]
    fn eat(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }
}

/// A string as it is written in the body.
enum RawString<'b> {
    /// A string without escapes, by its length in bytes.
    Plain(usize),
    /// A string with escapes.
    Escaped(&'b str),
}

/// The fields that an object has had so far.
#[derive(Default)]
struct Seen(u16);

impl Seen {
    /// Notes a field. Returns `None` if the object has had it before.
    fn first(&mut self, field: u8) -> Option<()> {
        let before = self.0;
        self.0 |= 1 << field;
        (self.0 != before).then_some(())
    }
}

/// Returns the number of bytes before the first one that ends a string, begins an escape or is not allowed in a string.
fn plain_prefix(text: &[u8]) -> usize {
    prefix(
        text,
        |word| special_bytes(word) & !word,
        |byte| byte.is_ascii() && is_special(byte),
    )
}

/// Returns the number of bytes before the first one that is not an ordinary ASCII character of a string.
#[inline]
fn ascii_prefix(text: &[u8]) -> usize {
    prefix(text, special_bytes, is_special)
}

/// Returns the number of bytes before the first one for which `is_end` holds. `ends_of` returns a word with the highest bit
/// of each such byte. Of these bits only the lowest needs to be reliable.
#[inline(always)]
fn prefix(text: &[u8], ends_of: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = text.as_chunks::<8>();
    let mut len = 0;
    for word in words {
        let ends = ends_of(u64::from_le_bytes(*word));
        if ends != 0 {
            // One bit for each byte, with the first byte lowest.
            return len + (ends.trailing_zeros() / 8) as usize;
        }
        len += 8;
    }
    len + tail.iter().take_while(|byte| !is_end(**byte)).count()
}

/// Returns whether a byte ends a string, begins an escape, is not allowed in a string or is not ASCII.
#[inline]
fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ' | 0x80..)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Returns a word with the highest bit of each byte that [is special](is_special). The bits of the bytes after a special ASCII
/// character are not reliable, because the subtractions borrow from them.
#[inline]
fn special_bytes(word: u64) -> u64 {
    // The quote becomes 0x20 and the space 0x22, and bytes below the space stay below it.
    let is_quote_or_below = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let is_backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (is_quote_or_below | is_backslash | word) & HIGHS
}

/// Passes the parts of a string to `take`, each with the character of the escape after it (RFC 8259 §7). Returns `None`
/// at an invalid escape.
fn unescape(mut text: &str, mut take: impl FnMut(&str, Option<char>)) -> Option<()> {
    while let Some((part, escape)) = text.split_once('\\') {
        let (character, rest) = unescape_one(escape)?;
        take(part, Some(character));
        text = rest;
    }
    take(text, None);
    Some(())
}

/// Returns the character of an escape, whose backslash has been read, and the text after it.
fn unescape_one(escape: &str) -> Option<(char, &str)> {
    let character = match escape.as_bytes().first()? {
        b'u' => return unescape_utf16(escape),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        _ => return None,
    };
    Some((character, escape.get(1..)?))
}

/// Reads `uXXXX`, or `uXXXX\uXXXX` for a surrogate pair.
fn unescape_utf16(escape: &str) -> Option<(char, &str)> {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix('u')?.get(..4)?;
        // `from_str_radix` would accept a sign.
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let (first, rest) = (unit(escape)?, escape.get(5..)?);
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, rest));
    }
    let second = unit(rest.strip_prefix('\\')?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, rest.get(6..)?))
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::Limits;
    use alloc::format;
    use alloc::string::String;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    type Shown<'a> = (
        Option<Vec<Vec<Option<&'a [u8]>>>>,
        Vec<[Option<&'a [u8]>; 2]>,
        Option<i64>,
    );

    fn shown<'a>(page: &'a Decoded, body: &'a [u8]) -> Shown<'a> {
        let text = |span: Span| span.bytes(body, &page.arena);
        let key = |key: &KeySpans| key.0.iter().map(|span| text(*span)).collect();
        (
            page.entries
                .as_ref()
                .map(|keys| keys.iter().map(key).collect()),
            page.links
                .iter()
                .map(|link| [text(link.rel), text(link.href)])
                .collect(),
            page.total_count,
        )
    }

    /// Returns whether the fast path reads the body. If so, checks that the reference parser gives the same result.
    fn is_taken(body: &[u8]) -> bool {
        is_taken_within(3, 5, body)
    }

    fn is_taken_within(elements: usize, nesting: u8, body: &[u8]) -> bool {
        let limits = Limits {
            nesting,
            elements,
            ..Limits::default()
        };
        let Some(page) = read(body, limits.of_body()) else {
            return false;
        };
        let reference = reference::read::<reference::PageOf<KeySpans>>(body, limits.of_body());
        let Ok(reference) = reference else {
            panic!("only the reference parser refuses {}", body.escape_ascii());
        };
        assert_eq!(shown(&page, body), shown(&reference, body));
        assert_eq!(
            (page.status, page.error),
            (reference.status, reference.error)
        );
        assert_eq!(page.arena.0.as_str(), reference.arena.0.as_str());
        true
    }

    #[test]
    fn usual_layout_is_read_by_the_fast_path() {
        for body in [
            r#"{"links":[{"href":"https://cloud.mongodb.com/x?pageNum=1","rel":"self"},{"href":"h","rel":"next"}],"results":[{"apiKeyId":"69a5","createdAt":"2026-03-02T10:11:12Z","createdBy":"a@example.com","groupId":"g","lastUsedAt":null,"maskedSecret":"al-****odu2","name":"a \"b\" \u00e4\ud83d\ude00 ä鍵😀","status":"ACTIVE"},{}],"totalCount":1201}"#,
            r#"{"totalCount":0,"results":[],"links":[]}"#,
            r#"{"results":[{"secret":"s","cloud":"ANY","geography":"ANY","endpoint":"e"}]}"#,
            r#"{"results":[{"name":"\b\f\n\r\t\"\\\/","status":"\u0000\u00e4"},{"name":"a\nb"}]}"#,
            r#"{"totalCount":123456789012345678}"#,
            "{}",
            // Undocumented fields.
            r#"{"new":null,"newer":[],"results":[]}"#,
            r#"{"results":[{"name":"a","new":"a","newer":{"name":"b","c":[1,true]}},{"new":""}]}"#,
            r#"{"results":[{"new":"\u00e4 \ud83d\ude00 ä"},{"name":"\"","new":"\"","status":"\n"}]}"#,
            r#"{"links":[{"rel":"a","title":"a","n":[0,[false]]}]}"#,
        ] {
            assert!(is_taken(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn other_layouts_are_left_to_the_reference_parser() {
        for body in [
            "",
            "[]",
            " {}",
            "{} ",
            "{}}",
            "{\"results\":[]",
            r#"{"results": []}"#,
            r#"{"results":null}"#,
            r#"{"results":[{},{},{},{}]}"#,
            r#"{"results":[{}],"results":[{}]}"#,
            r#"{"links":[],"links":[]}"#,
            r#"{"links":[{"rel":"a","rel":"a"}]}"#,
            r#"{"results":[{"name":"a","name":"a"}]}"#,
            r#"{"results":[{"n\u0061me":"a"}]}"#,
            r#"{"results":[{"näme":"a"}]}"#,
            r#"{"results":[{"new":[[[]]]}]}"#,
            r#"{"results":[{"new":{"a":{"b":{}}}}]}"#,
            r#"{"results":[{"new":[1,]}]}"#,
            r#"{"results":[{"new":{"a":1,}}]}"#,
            r#"{"results":[{"new":[1 ]}]}"#,
            r#"{"results":[{"new":{"ä":1}}]}"#,
            r#"{"results":[{"new":"\ud800"}]}"#,
            r#"{"results":[{"new":-1}]}"#,
            r#"{"results":[{"new":1.5}]}"#,
            r#"{"results":[{"new":nul}]}"#,
            r#"{"results":[{"new":truefalse}]}"#,
            r#"{"results":[{"new":}]}"#,
            r#"{"new":[[[[[]]]]]}"#,
            r#"{"results":[{"name":1}]}"#,
            r#"{"results":[{"name":"a}]}"#,
            r#"{"results":[{"name":"\x"}]}"#,
            r#"{"results":[{"name":"\u+123"}]}"#,
            r#"{"results":[{"name":"\ud83d"}]}"#,
            r#"{"results":[{"name":"\ud83d\u0041"}]}"#,
            r#"{"results":[{"name":"\ude00\ud83d"}]}"#,
            "{\"results\":[{\"name\":\"a\tb\"}]}",
            r#"{"results":[],}"#,
            r#"{"results":[{},]}"#,
            r#"{,"results":[]}"#,
            r#"{"status":200,"results":[]}"#,
            r#"{"error":400}"#,
            r#"{"totalCount":-1}"#,
            r#"{"totalCount":01}"#,
            r#"{"totalCount":1.0}"#,
            r#"{"totalCount":1e3}"#,
            r#"{"totalCount":}"#,
            r#"{"totalCount":1234567890123456789}"#,
        ] {
            assert!(!is_taken(body.as_bytes()), "{body}");
        }
        assert!(!is_taken(b"{\"results\":[{\"name\":\"\xff\"}]}"));
        assert!(!is_taken(b"{\"results\":[{\"new\":\"\xff\"}]}"));
        assert!(!is_taken(b"{\"results\":[{\"n\xff\":0}]}"));
        assert!(!is_taken(b"{\"results\":[{\"name\":\"\\n\xc3\"}]}"));
    }

    #[test]
    fn escapes_take_memory_in_documented_fields_only() {
        let many = r"\u0041".repeat(1000);
        let room = |field| {
            let body = format!(r#"{{"results":[{{"{field}":"{many}"}}]}}"#);
            assert!(is_taken(body.as_bytes()));
            let page = read(body.as_bytes(), Limits::default().of_body()).unwrap();
            page.arena.0.capacity()
        };
        assert_eq!(room("new"), 0);
        assert!((1000..=2000).contains(&room("name")), "{}", room("name"));
    }

    #[test]
    fn end_of_a_string_is_found_at_every_position() {
        // Eight bytes are compared at once.
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                for at in 0..=len {
                    let mut text = alloc::vec![b'x'; len];
                    text.insert(at, byte);
                    let ends = matches!(byte, b'"' | b'\\' | ..b' ');
                    let end = |ends| if ends { at } else { len + 1 };
                    assert_eq!(
                        (plain_prefix(&text), ascii_prefix(&text)),
                        (end(ends), end(ends || !byte.is_ascii())),
                        "{byte:#x} at {at} of {len}"
                    );
                }
            }
        }
        // Bytes after the end do not matter.
        for end in 0..20 {
            for other in 0..20 {
                for byte in [0, b'!', b'"', b'#', b'[', b'\\', 0x7f, 0x80, 0xff] {
                    let mut text = [b'x'; 20];
                    text[other] = byte;
                    text[end] = b'"';
                    let is_special = matches!(byte, 0 | b'"' | b'\\' | 0x80..);
                    let is_before = |is_special| is_special && other < end;
                    let first = |is_special| if is_before(is_special) { other } else { end };
                    assert_eq!(
                        (plain_prefix(&text), ascii_prefix(&text)),
                        (first(is_special && byte.is_ascii()), first(is_special)),
                        "{byte:#x} at {other}, end at {end}"
                    );
                }
            }
        }
    }

    #[test]
    fn fields_in_any_order_are_read_whatever_the_key_before_has() {
        for keys in [
            r#"{"name":"a","status":"b"},{"status":"c","name":"d"},{"name":"e","status":"f"}"#,
            r#"{"name":"a","secret":"s","status":"b"},{"name":"c","status":"d"},{}"#,
            r#"{"name":"a","new":1,"status":"b"},{"new":[],"name":"c"},{"name":null,"status":"d"}"#,
            r#"{"status":"a"},{"name":"b","status":"c"},{"apiKeyId":"d","status":"e","name":"f"}"#,
            // Names that differ in one bit from the expected ones are those of undocumented fields.
            r#"{"name":"a","status":"b"},{"Name":"c","statuS":"d"},{"nAme":"e","status":"f"}"#,
        ] {
            assert!(
                is_taken(format!(r#"{{"results":[{keys}]}}"#).as_bytes()),
                "{keys}"
            );
        }
        // A field twice, as expected after the key before it.
        let keys = r#"{"name":"a"},{"name":"b","name":"c"}"#;
        assert!(!is_taken(format!(r#"{{"results":[{keys}]}}"#).as_bytes()));
        let keys = r#"{"name":"a","status":"b"},{"status":"c","name":"d","status":"e"}"#;
        assert!(!is_taken(format!(r#"{{"results":[{keys}]}}"#).as_bytes()));
    }

    fn string() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            8 => "[ -~&&[^\"\\\\]]{0,12}",
            1 => "[^\"\\\\\\x00-\\x1f]{0,4}",
            1 => select(&[r"\n", r#"\""#, r"\\", r"\/", r"\u00e4", r"\uD83D\ude00", r"\u0000", r"\ud800", r"\q"][..])
                .prop_map(String::from),
        ];
        vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    /// Generates any JSON value, and some text that is almost JSON.
    fn value() -> impl Strategy<Value = String> {
        let simple = select(&["null", "true", "false", "0", "17", "-1", "1.5", "01", "nul"][..]);
        let leaf = prop_oneof![string(), simple.prop_map(String::from)];
        leaf.prop_recursive(4, 8, 3, |value| {
            let list = vec(value.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(",")));
            let name = select(&[r#""name""#, r#""new""#, r#""é""#, r#""\n""#][..]);
            let field = (name, value).prop_map(|(name, value)| format!("{name}:{value}"));
            let object = vec(field, 0..3).prop_map(|list| format!("{{{}}}", list.join(",")));
            prop_oneof![list, object]
        })
    }

    fn field(names: Vec<&'static str>) -> impl Strategy<Value = String> {
        let text = prop_oneof![9 => string(), 1 => Just(String::from("null"))];
        let known = (select(names), text);
        let known = known.prop_map(|(name, text)| format!("\"{name}\":{text}"));
        let new = value().prop_map(|value| format!("\"new\":{value}"));
        prop_oneof![6 => known, 1 => new]
    }

    fn object(names: Vec<&'static str>) -> impl Strategy<Value = String> {
        vec(field(names), 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    fn page() -> impl Strategy<Value = Vec<u8>> {
        let key = KeyField::ALL.iter().map(|field| field.name()).collect();
        let list = |element| vec(element, 0..5).prop_map(|list| format!("[{}]", list.join(",")));
        let field = prop_oneof![
            list(object(Vec::from(["rel", "href"])).boxed())
                .prop_map(|list| format!("\"links\":{list}")),
            list(object(key).boxed()).prop_map(|list| format!("\"results\":{list}")),
            any::<u32>().prop_map(|count| format!("\"totalCount\":{count}")),
            value().prop_map(|value| format!("\"new\":{value}")),
        ];
        vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(",")).into_bytes())
    }

    proptest! {
        /// The fast path and the reference parser give the same result for bodies that are similar to Atlas's.
        #[test]
        fn fast_path_and_reference_agree_on_similar_bodies(
            mut body in page(),
            edits in vec((any::<prop::sample::Index>(), select(&b"\"\\{}[],:0n \n\xc3\xff"[..]), 0..3), 0..3),
        ) {
            for (at, byte, how) in edits {
                let at = at.index(body.len());
                match how {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
                if body.is_empty() {
                    break;
                }
            }
            is_taken(&body);
            is_taken_within(0, 5, &body);
            is_taken_within(3, 2, &body);
        }

        /// The fast path and the reference parser give the same result for any bytes.
        #[test]
        fn fast_path_and_reference_agree_on_any_bytes(body in vec(any::<u8>(), 0..64)) {
            is_taken(&body);
        }
    }
}
