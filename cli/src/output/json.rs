//! One JSON document, or one key per line.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use atlas_model_keys_core::{OwnedModelKey, is_unsafe_to_show};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Field, Sink, write_whole};

/// `{"results": […], "totalCount": n}`
pub(crate) struct Json<W> {
    out: W,
    indented: bool,
    show_secrets: bool,
    keys: Vec<OwnedModelKey>,
    total_count: Option<u64>,
}

impl<W> Json<W> {
    pub(crate) fn new(out: W, indented: bool, show_secrets: bool) -> Self {
        Self {
            out,
            indented,
            show_secrets,
            keys: Vec::new(),
            total_count: None,
        }
    }
}

impl<W: Write> Sink for Json<W> {
    fn page(&mut self, keys: Vec<OwnedModelKey>, total_count: Option<u64>) -> io::Result<()> {
        self.keys.extend(keys);
        // What Atlas said last; it need not say it on every page.
        self.total_count = total_count.or(self.total_count);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let document = Document(&self);
        let mut text = if self.indented {
            serde_json::to_string_pretty(&document)?
        } else {
            serde_json::to_string(&document)?
        };
        text.push('\n');
        write_whole(self.out, &terminal_safe(&text))
    }
}

/// One key per line, each page flushed as it comes.
pub(crate) struct Ndjson<W> {
    out: W,
    show_secrets: bool,
}

impl<W> Ndjson<W> {
    pub(crate) fn new(out: W, show_secrets: bool) -> Self {
        Self { out, show_secrets }
    }
}

impl<W: Write> Sink for Ndjson<W> {
    fn page(&mut self, keys: Vec<OwnedModelKey>, _: Option<u64>) -> io::Result<()> {
        let mut lines = String::new();
        for key in &keys {
            let line = serde_json::to_string(&Key {
                key,
                show_secrets: self.show_secrets,
            })?;
            lines.push_str(&terminal_safe(&line));
            lines.push('\n');
        }
        write_whole(&mut self.out, &lines)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// The same JSON, with every character that is unsafe to show written as an escape.
///
/// In JSON such characters stand only within strings, where `\uXXXX` means the same, or are
/// whitespace between the tokens: line ends and tabs are left alone, and carriage returns, which could
/// write over what stands in a line, are left out.
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

struct Document<'a, W>(&'a Json<W>);

impl<W> Serialize for Document<'_, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("results", &Results(self.0))?;
        map.serialize_entry("totalCount", &self.0.total_count)?;
        map.end()
    }
}

struct Results<'a, W>(&'a Json<W>);

impl<W> Serialize for Results<'_, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let show_secrets = self.0.show_secrets;
        serializer.collect_seq(self.0.keys.iter().map(|key| Key { key, show_secrets }))
    }
}

struct Key<'a> {
    key: &'a OwnedModelKey,
    show_secrets: bool,
}

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in Field::ALL {
            let value = field.of(self.key, self.show_secrets);
            if value.is_some() || field.is_always_in_json() {
                map.serialize_entry(field.name(), &value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{full_key, key, written};
    use super::*;

    fn json(keys: Vec<OwnedModelKey>, total: Option<u64>, show_secrets: bool) -> String {
        written(vec![keys], total, |out| {
            Box::new(Json::new(out, false, show_secrets))
        })
    }

    #[test]
    fn keys_are_as_documented_with_null_for_what_is_absent() {
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
    fn the_count_is_what_was_said_last() {
        let mut out = Vec::new();
        let mut sink = Json::new(&mut out, false, false);
        sink.page(Vec::new(), Some(3)).unwrap();
        sink.page(Vec::new(), Some(5)).unwrap();
        sink.page(Vec::new(), None).unwrap();
        Box::new(sink).finish().unwrap();
        assert_eq!(out, b"{\"results\":[],\"totalCount\":5}\n");
    }

    #[test]
    fn nothing_is_written_before_the_end() {
        let mut out = Vec::new();
        let mut sink = Json::new(&mut out, true, false);
        sink.page(vec![full_key()], None).unwrap();
        drop(sink);
        assert!(out.is_empty());
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
