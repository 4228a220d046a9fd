//! A page as Atlas writes it: compact, with documented fields, and a string, null or count where one belongs.
//!
//! At the first thing that is different this gives up, and the parser of record begins from the start; nothing
//! here refuses a page. What it does take, the parser of record would take as well, with the same result.

use alloc::vec::Vec;

use super::{Arena, Decoded, KEY_FIELDS, KeyField, KeySpans, LinkSpans, PageField, Span};
use crate::ItemsPerPage;
use crate::limits::BodyLimits;

/// Reads a page; `None` leaves it to the parser of record.
pub(super) fn read(body: &[u8], limits: BodyLimits) -> Option<Decoded> {
    let mut cursor = Cursor {
        len: body.len(),
        rest: body,
        arena: Arena::default(),
        elements: limits.elements,
    };
    let mut page = cursor.page()?;
    page.arena = cursor.arena;
    cursor.rest.is_empty().then_some(page)
}

struct Cursor<'b> {
    /// Of the whole body.
    len: usize,
    rest: &'b [u8],
    arena: Arena,
    elements: usize,
}

impl Cursor<'_> {
    fn page(&mut self) -> Option<Decoded> {
        let mut page = Decoded::default();
        let mut seen = Seen::default();
        self.object(|cursor, name| {
            let field = PageField::from_name(name)?;
            seen.first(field as u8)?;
            match field {
                PageField::Links => page.links = cursor.array(Self::link)?,
                PageField::Results => page.keys = Some(cursor.array(Self::key)?),
                PageField::TotalCount => page.total_count = Some(cursor.count()?),
                // Of an error or an envelope.
                PageField::Error | PageField::Status => return None,
            }
            Some(())
        })?;
        Some(page)
    }

    fn key(&mut self) -> Option<KeySpans> {
        let mut spans = [Span::ABSENT; KEY_FIELDS];
        let mut seen = Seen::default();
        self.object(|cursor, name| {
            let field = KeyField::from_name(name)?;
            seen.first(field as u8)?;
            *spans.get_mut(field as usize)? = cursor.text()?;
            Some(())
        })?;
        Some(KeySpans(spans))
    }

    fn link(&mut self) -> Option<LinkSpans> {
        let mut link = LinkSpans {
            rel: Span::ABSENT,
            href: Span::ABSENT,
        };
        let mut seen = Seen::default();
        self.object(|cursor, name| {
            let (number, place) = match name {
                b"rel" => (0, &mut link.rel),
                b"href" => (1, &mut link.href),
                _ => return None,
            };
            seen.first(number)?;
            *place = cursor.text()?;
            Some(())
        })?;
        Some(link)
    }

    /// An object, whose fields' values `value` takes by their names.
    #[inline]
    fn object(&mut self, mut value: impl FnMut(&mut Self, &[u8]) -> Option<()>) -> Option<()> {
        self.eat(b"{")?;
        if self.eat(b"}").is_some() {
            return Some(());
        }
        loop {
            self.eat(b"\"")?;
            let (name, rest) = self.rest.split_at_checked(plain(self.rest).0)?;
            self.rest = rest;
            self.eat(b"\":")?;
            value(self, name)?;
            if self.eat(b",").is_none() {
                return self.eat(b"}");
            }
        }
    }

    #[inline]
    fn array<T>(&mut self, element: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        self.eat(b"[")?;
        if self.eat(b"]").is_some() {
            return Some(list);
        }
        loop {
            let before = self.rest.len();
            let element = element(self)?;
            if list.len() >= self.elements {
                return None;
            }
            if list.is_empty() {
                // As many as there may be of this size, but no more than Atlas sends.
                let alike = self.rest.len() / (before - self.rest.len()) + 1;
                list.reserve_exact(alike.min(usize::from(ItemsPerPage::MAX.get())));
            }
            list.push(element);
            if self.eat(b",").is_none() {
                self.eat(b"]")?;
                return Some(list);
            }
        }
    }

    /// A string or null.
    #[inline]
    fn text(&mut self) -> Option<Span> {
        if self.eat(b"\"").is_none() {
            return self.eat(b"null").map(|()| Span::ABSENT);
        }
        let start = self.len - self.rest.len();
        let (len, is_ascii) = plain(self.rest);
        let (text, rest) = self.rest.split_at_checked(len)?;
        match rest {
            [b'"', rest @ ..] => {
                self.rest = rest;
                if !is_ascii {
                    core::str::from_utf8(text).ok()?;
                }
                Span::in_body(start, len)
            }
            [b'\\', ..] => self.unescaped(len),
            _ => None,
        }
    }

    /// A string that has an escape at `len`, into the arena.
    #[cold]
    fn unescaped(&mut self, mut len: usize) -> Option<Span> {
        while let [b'\\', _, rest @ ..] = self.rest.get(len..)? {
            len += 2 + plain(rest).0;
        }
        let (text, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.strip_prefix(b"\"")?;
        let mut text = core::str::from_utf8(text).ok()?;
        // Nothing is longer than its escape.
        self.arena.reserve(text.len());
        let (before, at) = (self.arena.0.len(), self.arena.span(0)?);
        while let Some((plain, escape)) = text.split_once('\\') {
            let (character, rest) = unescape(escape)?;
            self.arena.0.push_str(plain);
            self.arena.0.push(character);
            text = rest;
        }
        self.arena.0.push_str(text);
        let len = u32::try_from(self.arena.0.len() - before).ok()?;
        Some(Span { len, ..at })
    }

    /// A number without sign, fraction and exponent.
    fn count(&mut self) -> Option<i64> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, rest) = self.rest.split_at_checked(digits)?;
        // Up to 18 digits fit.
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

    #[inline]
    fn eat(&mut self, token: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }
}

/// The fields that an object has had.
#[derive(Default)]
struct Seen(u16);

impl Seen {
    /// `None` the second time.
    fn first(&mut self, field: u8) -> Option<()> {
        let before = self.0;
        self.0 |= 1 << field;
        (self.0 != before).then_some(())
    }
}

/// How many bytes come before the first that ends a string, begins an escape, or must not be in one; and
/// whether they are all ASCII.
#[inline]
fn plain(text: &[u8]) -> (usize, bool) {
    let (words, tail) = text.as_chunks::<8>();
    let (mut len, mut seen) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        let stops = stops(word);
        if stops != 0 {
            // One bit for each byte, the first one lowest.
            let first = stops.trailing_zeros() / 8;
            seen |= word & !(u64::MAX << (8 * first));
            return (len + first as usize, seen & HIGHS == 0);
        }
        seen |= word;
        len += 8;
    }
    let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let (tail, _) = tail.split_at(tail.iter().position(is_stop).unwrap_or(tail.len()));
    (len + tail.len(), seen & HIGHS == 0 && tail.is_ascii())
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Which of eight bytes are `"`, `\` or below a space, as their highest bits. Those above the first one
/// may be wrong, since the subtractions borrow from them.
#[inline]
fn stops(word: u64) -> u64 {
    let is_below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word;
    let is = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
    (is_below(word, b' ') | is(b'"') | is(b'\\')) & HIGHS
}

/// What follows a backslash: the character that is meant, and the rest (RFC 8259 §7).
fn unescape(escape: &str) -> Option<(char, &str)> {
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

/// `uXXXX`, or two of them where one is not enough.
fn unescape_utf16(escape: &str) -> Option<(char, &str)> {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix('u')?.get(..4)?;
        // What is parsed may have a sign.
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
    use super::super::plain;
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
            page.keys
                .as_ref()
                .map(|keys| keys.iter().map(key).collect()),
            page.links
                .iter()
                .map(|link| [text(link.rel), text(link.href)])
                .collect(),
            page.total_count,
        )
    }

    /// Whether it was taken. If so, the parser of record gives the same.
    fn is_taken(body: &[u8]) -> bool {
        is_taken_within(3, body)
    }

    fn is_taken_within(elements: usize, body: &[u8]) -> bool {
        let limits = Limits {
            elements,
            ..Limits::default()
        };
        let Some(page) = read(body, limits.of_body()) else {
            return false;
        };
        let Ok(record) = plain::read(body, limits.of_body()) else {
            panic!("only the parser of record refuses {}", body.escape_ascii());
        };
        assert_eq!(shown(&page, body), shown(&record, body));
        assert_eq!((page.status, page.error), (record.status, record.error));
        assert_eq!(page.arena.0.as_str(), record.arena.0.as_str());
        true
    }

    #[test]
    fn what_atlas_writes_is_taken() {
        for body in [
            r#"{"links":[{"href":"https://cloud.mongodb.com/x?pageNum=1","rel":"self"},{"href":"h","rel":"next"}],"results":[{"apiKeyId":"69a5","createdAt":"2026-03-02T10:11:12Z","createdBy":"a@example.com","groupId":"g","lastUsedAt":null,"maskedSecret":"al-****odu2","name":"a \"b\" \u00e4\ud83d\ude00 ä鍵😀","status":"ACTIVE"},{}],"totalCount":1201}"#,
            r#"{"totalCount":0,"results":[],"links":[]}"#,
            r#"{"results":[{"secret":"s","cloud":"ANY","geography":"ANY","endpoint":"e"}]}"#,
            r#"{"results":[{"name":"\b\f\n\r\t\"\\\/","status":"\u0000\u00e4"},{"name":"a\nb"}]}"#,
            r#"{"totalCount":123456789012345678}"#,
            "{}",
        ] {
            assert!(is_taken(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_parser_of_record() {
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
            r#"{"links":[{"rel":"a","title":"a"}]}"#,
            r#"{"results":[{"name":"a","name":"a"}]}"#,
            r#"{"results":[{"name":"a","new":"a"}]}"#,
            r#"{"results":[{"n\u0061me":"a"}]}"#,
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
            r#"{"new":1}"#,
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
        assert!(!is_taken(b"{\"results\":[{\"name\":\"\\n\xc3\"}]}"));
    }

    #[test]
    fn a_string_ends_where_it_does_wherever_that_is() {
        // Eight bytes are looked at together.
        for byte in 0..=u8::MAX {
            for len in 0..20 {
                for at in 0..=len {
                    let mut text = alloc::vec![b'x'; len];
                    text.insert(at, byte);
                    let ends = matches!(byte, b'"' | b'\\' | ..b' ');
                    let expected = if ends {
                        (at, true)
                    } else {
                        (len + 1, byte.is_ascii())
                    };
                    assert_eq!(super::plain(&text), expected, "{byte:#x} at {at} of {len}");
                }
            }
        }
        // What comes behind its end does not count.
        for end in 0..20 {
            for other in 0..20 {
                let mut text = [b'x'; 20];
                text[other] = 0xff;
                text[end] = b'"';
                assert_eq!(super::plain(&text), (end, other >= end), "{other} {end}");
            }
        }
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

    fn object(names: &'static [&'static str]) -> impl Strategy<Value = String> {
        let value = prop_oneof![9 => string(), 1 => Just(String::from("null"))];
        let field = (select(names), value).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    fn page() -> impl Strategy<Value = Vec<u8>> {
        const KEY: &[&str] = &[
            "apiKeyId",
            "cloud",
            "createdAt",
            "createdBy",
            "endpoint",
            "geography",
            "groupId",
            "lastUsedAt",
            "maskedSecret",
            "name",
            "secret",
            "status",
        ];
        let list = |element| vec(element, 0..5).prop_map(|list| format!("[{}]", list.join(",")));
        let field = prop_oneof![
            list(object(&["rel", "href"]).boxed()).prop_map(|list| format!("\"links\":{list}")),
            list(object(KEY).boxed()).prop_map(|list| format!("\"results\":{list}")),
            any::<u32>().prop_map(|count| format!("\"totalCount\":{count}")),
        ];
        vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(",")).into_bytes())
    }

    proptest! {
        /// Whatever is taken is what the parser of record makes of it, near what Atlas writes...
        #[test]
        fn what_is_taken_is_the_same(
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
            is_taken_within(0, &body);
        }

        /// ... and far from it.
        #[test]
        fn what_is_taken_is_the_same_for_any_bytes(body in vec(any::<u8>(), 0..64)) {
            is_taken(&body);
        }
    }
}
