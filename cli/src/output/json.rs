//! One JSON document, or one key per line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, ModelKey, is_unsafe_to_show};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::ser::Formatter;

use super::{Sink, field, write_whole};

/// Writes `{"results": […], "totalCount": n}`, each page as it arrives. If the listing fails, the object stays
/// open, so that a parser of the output fails too.
pub(crate) struct Json<W> {
    out: W,
    /// The text of a page. The buffer serves for all pages.
    text: Vec<u8>,
    indented: bool,
    show_secrets: bool,
    has_begun: bool,
    has_keys: bool,
    total_count: Option<u64>,
}

impl<W> Json<W> {
    pub(crate) fn new(out: W, indented: bool, show_secrets: bool) -> Self {
        Self {
            out,
            text: Vec::new(),
            indented,
            show_secrets,
            has_begun: false,
            has_keys: false,
            total_count: None,
        }
    }

    /// Returns the text before the results, or nothing if it was already written.
    fn begin(&mut self) -> &'static str {
        match (std::mem::replace(&mut self.has_begun, true), self.indented) {
            (true, _) => "",
            (false, true) => "{\n  \"results\": [",
            (false, false) => "{\"results\":[",
        }
    }
}

impl<W: Write> Sink for Json<W> {
    fn page(&mut self, keys: &[ModelKey<'_>], total_count: Option<u64>) -> io::Result<()> {
        // The last count is kept, because a page may have none.
        self.total_count = total_count.or(self.total_count);
        self.text.clear();
        let begin = self.begin();
        self.text.extend_from_slice(begin.as_bytes());
        for key in keys {
            if std::mem::replace(&mut self.has_keys, true) {
                self.text.push(b',');
            }
            if self.indented {
                self.text.extend_from_slice(b"\n    ");
            }
            push_key(&mut self.text, *key, self.indented, self.show_secrets)?;
        }
        write_whole(&mut self.out, &self.text)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let begin = self.begin();
        let count = serde_json::to_string(&self.total_count)?;
        let text = match (self.indented, self.has_keys) {
            (false, _) => format!("{begin}],\"totalCount\":{count}}}\n"),
            (true, true) => format!("{begin}\n  ],\n  \"totalCount\": {count}\n}}\n"),
            (true, false) => format!("{begin}],\n  \"totalCount\": {count}\n}}\n"),
        };
        write_whole(self.out, text.as_bytes())
    }

    fn ends_line(&self) -> bool {
        false
    }
}

/// Writes one key per line, and flushes each page as it arrives.
pub(crate) struct Ndjson<W> {
    out: W,
    /// The lines of a page. The buffer serves for all pages.
    lines: Vec<u8>,
    show_secrets: bool,
}

impl<W> Ndjson<W> {
    pub(crate) fn new(out: W, show_secrets: bool) -> Self {
        Self {
            out,
            lines: Vec::new(),
            show_secrets,
        }
    }
}

impl<W: Write> Sink for Ndjson<W> {
    fn page(&mut self, keys: &[ModelKey<'_>], _: Option<u64>) -> io::Result<()> {
        self.lines.clear();
        for key in keys {
            push_key(&mut self.lines, *key, false, self.show_secrets)?;
            self.lines.push(b'\n');
        }
        write_whole(&mut self.out, &self.lines)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes every character of the JSON that is unsafe to show. The value of the JSON does not change.
///
/// In JSON such characters occur only within strings, where `\uXXXX` means the same, or as whitespace between
/// the tokens. There, line ends and tabs are kept, and carriage returns, which could overwrite a line, are
/// removed.
pub(crate) fn terminal_safe(json: &str) -> Cow<'_, str> {
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

/// Appends a key as JSON that is safe to show. Its values are copied straight from the page.
fn push_key(
    out: &mut Vec<u8>,
    key: ModelKey<'_>,
    indented: bool,
    show_secrets: bool,
) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, KeyFormatter { indented });
    Ok(Key { key, show_secrets }.serialize(&mut serializer)?)
}

/// The format of a key, which is an object of strings and nulls. With indentation it is that of a key in [`Json`].
struct KeyFormatter {
    indented: bool,
}

impl Formatter for KeyFormatter {
    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { "" } else { "," }.as_bytes())?;
        out.write_all(if self.indented { "\n      " } else { "" }.as_bytes())
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.indented { ": " } else { ":" }.as_bytes())
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(if self.indented { "\n    }" } else { "}" }.as_bytes())
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        out.write_all(terminal_safe(fragment).as_bytes())
    }
}

struct Key<'a> {
    key: ModelKey<'a>,
    show_secrets: bool,
}

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in KeyField::ALL {
            let value = field::value(*field, self.key, self.show_secrets);
            if value.is_some() || field::is_always_in_json(*field) {
                map.serialize_entry(field.name(), &value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::super::tests::{full_key, key, written};
    use super::*;

    fn json(keys: Vec<OwnedModelKey>, total: Option<u64>, show_secrets: bool) -> String {
        written(vec![keys], total, |out| {
            Box::new(Json::new(out, false, show_secrets))
        })
    }

    #[test]
    fn keys_have_the_documented_fields_with_null_if_absent() {
        assert_eq!(
            json(vec![OwnedModelKey::default()], None, false),
            concat!(
                r#"{"results":[{"apiKeyId":null,"createdAt":null,"createdBy":null,"groupId":null,"#,
                r#""lastUsedAt":null,"maskedSecret":null,"name":null,"status":null}],"totalCount":null}"#,
                "\n"
            )
        );
        assert_eq!(
            json(vec![full_key()], Some(7), false),
            concat!(
                r#"{"results":[{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmpj","cloud":"ANY","#,
                r#""createdAt":"2026-01-15T16:47:49.855000+00:00","createdBy":"John Doe","#,
                r#""endpoint":"ai.mongodb.com","geography":"ANY","groupId":"69681d39c9e8cfd375386316","#,
                r#""lastUsedAt":null,"maskedSecret":"al-****odu2","name":"Production key","#,
                r#""secret":"[redacted]","status":"ACTIVE"}],"totalCount":7}"#,
                "\n"
            )
        );
        assert!(json(vec![full_key()], None, true).contains(r#""secret":"al-hunter2""#));
    }

    #[test]
    fn unsafe_characters_are_escaped_without_loss() {
        let hostile =
            "\x00\x1b[2J\r\n\t\"\\\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{e0041}鍵🔑\u{10ffff}";
        let text = json(vec![key(hostile)], None, false);
        assert!(!text.trim_end().chars().any(is_unsafe_to_show), "{text}");
        assert!(
            text.contains(r"\u202e") && text.contains(r"\udb40\udc41"),
            "{text}"
        );
        assert!(text.contains("鍵🔑"), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["results"][0]["name"], hostile);
    }

    #[test]
    fn line_ends_between_tokens_stay_and_carriage_returns_go() {
        let body = "{\r\n\t\"a\": \"\u{202e}\"\r\n}";
        assert_eq!(terminal_safe(body), "{\n\t\"a\": \"\\u202e\"\n}");
    }

    #[test]
    fn count_is_the_last_one_received() {
        let mut out = Vec::new();
        let mut sink = Json::new(&mut out, false, false);
        sink.page(&[], Some(3)).unwrap();
        sink.page(&[], Some(5)).unwrap();
        sink.page(&[], None).unwrap();
        Box::new(sink).finish().unwrap();
        assert_eq!(out, b"{\"results\":[],\"totalCount\":5}\n");
    }

    #[test]
    fn each_page_is_written_as_it_arrives_and_the_object_is_closed_only_at_the_end() {
        for indented in [false, true] {
            let mut out = Vec::new();
            Json::new(&mut out, indented, false)
                .page(&[key("a").as_key(), key("b").as_key()], Some(3))
                .unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("\"a\"") && text.contains("\"b\""), "{text}");
            let error = serde_json::from_str::<serde_json::Value>(&text).unwrap_err();
            assert!(error.is_eof(), "{text}: {error}");
        }
    }

    #[test]
    fn several_pages_give_the_same_document_as_one() {
        for sizes in [&[][..], &[0], &[1], &[2, 0, 1], &[0, 3], &[1, 1, 1, 0]] {
            let mut names = 0..;
            let pages: Vec<Vec<_>> = sizes
                .iter()
                .map(|size| {
                    let names = names.by_ref().take(*size);
                    names.map(|n| key(&format!("{n}\n,\u{202e}"))).collect()
                })
                .collect();
            let compact = written(pages.clone(), Some(7), |out| {
                Box::new(Json::new(out, false, false))
            });
            let count = if sizes.is_empty() { "null" } else { "7" };
            assert!(
                compact.ends_with(&format!("],\"totalCount\":{count}}}\n")),
                "{compact}"
            );
            let value: serde_json::Value = serde_json::from_str(&compact).unwrap();
            let results = value["results"].as_array().unwrap();
            assert_eq!(results.len(), sizes.iter().sum::<usize>());
            let indented = written(pages, Some(7), |out| Box::new(Json::new(out, true, false)));
            let whole = serde_json::to_string_pretty(&value).unwrap() + "\n";
            assert_eq!(indented, terminal_safe(&whole));
        }
    }

    #[test]
    fn ndjson_has_a_key_on_each_line() {
        let pages = vec![vec![key("a\nb"), key("c")], Vec::new(), vec![full_key()]];
        let text = written(pages, None, |out| Box::new(Ndjson::new(out, false)));
        let names: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].clone())
            .collect();
        assert_eq!(names, ["a\nb", "c", "Production key"]);
        assert!(!text.contains("hunter2"));
    }
}
