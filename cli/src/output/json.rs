//! One JSON document, or one key per line.

use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, UnixTime};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::ser::Formatter;

use super::{Column, ListedSource, Row, Sink, SourceKind, Summary, field, text, write_whole};

/// Writes `{"results": […], "count": n, "projects": […]}`, each page as it arrives. If the listing is aborted, the
/// object stays open, so that a parser of the output fails too.
pub(crate) struct Json<W> {
    out: W,
    /// The text of a page. The buffer serves for all pages.
    text: Vec<u8>,
    indented: bool,
    show_secrets: bool,
    has_begun: bool,
    has_keys: bool,
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
    fn page(&mut self, rows: &[Row<'_>], _: UnixTime) -> io::Result<()> {
        self.text.clear();
        let begin = self.begin();
        self.text.extend_from_slice(begin.as_bytes());
        for row in rows {
            if std::mem::replace(&mut self.has_keys, true) {
                self.text.push(b',');
            }
            if self.indented {
                self.text.extend_from_slice(b"\n    ");
            }
            push_key(&mut self.text, *row, self.indented, self.show_secrets)?;
        }
        write_whole(&mut self.out, &self.text)
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> io::Result<()> {
        let begin = self.begin();
        let (end, tail) = match (self.indented, self.has_keys) {
            (false, _) => ("]", serde_json::to_string(summary)?),
            (true, true) => ("\n  ]", serde_json::to_string_pretty(summary)?),
            (true, false) => ("]", serde_json::to_string_pretty(summary)?),
        };
        // The members of the summary's object continue that of the results.
        let tail = tail.strip_prefix('{').unwrap_or(&tail);
        let text = format!("{begin}{end},{}\n", text::visible_json(tail));
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
    fn page(&mut self, rows: &[Row<'_>], _: UnixTime) -> io::Result<()> {
        self.lines.clear();
        for row in rows {
            push_key(&mut self.lines, *row, false, self.show_secrets)?;
            self.lines.push(b'\n');
        }
        write_whole(&mut self.out, &self.lines)
    }

    fn finish(self: Box<Self>, _: &Summary) -> io::Result<()> {
        Ok(())
    }
}

/// Appends a key as JSON that is safe to show. Its values are copied straight from the page.
fn push_key(out: &mut Vec<u8>, row: Row<'_>, indented: bool, show_secrets: bool) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, KeyFormatter { indented });
    Ok(Key { row, show_secrets }.serialize(&mut serializer)?)
}

/// The format of a key, which is an object of strings, nulls, one number and one array of strings. With indentation it is
/// that of a key in [`Json`].
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
        out.write_all(text::visible_json(fragment).as_bytes())
    }
}

/// A key as JSON: `line` for a candidate, Atlas's fields in alphabetical order with `groupName` after `groupId`, and
/// `unknown`. Members without a value are left out, unless [`field::is_always_in_json`].
struct Key<'a> {
    row: Row<'a>,
    show_secrets: bool,
}

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row {
            key,
            group_name,
            unknown,
            line,
        } = self.row;
        let mut map = serializer.serialize_map(None)?;
        if let Some(line) = line {
            map.serialize_entry(Column::Line.name(), &line)?;
        }
        for field in KeyField::ALL {
            let value = field::value(*field, key, self.show_secrets);
            if value.is_some() || field::is_always_in_json(*field) {
                map.serialize_entry(field.name(), &value)?;
            }
            if let Some(name) = group_name.filter(|_| *field == KeyField::GroupId) {
                map.serialize_entry(Column::GroupName.name(), name)?;
            }
        }
        if !unknown.is_empty() {
            let names: Vec<_> = unknown.iter().map(|field| field.name()).collect();
            map.serialize_entry("unknown", &names)?;
        }
        map.end()
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (member, id, name) = match self.kind {
            SourceKind::Project => ("projects", "groupId", "groupName"),
            SourceKind::Organization => ("organizations", "orgId", "orgName"),
        };
        let sources = self.sources.iter();
        let sources: Vec<_> = sources.map(|source| Source { source, id, name }).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &self.count())?;
        map.serialize_entry(member, &sources)?;
        map.end()
    }
}

/// A source, and the names of its members.
struct Source<'a> {
    source: &'a ListedSource,
    id: &'static str,
    name: &'static str,
}

impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.id, &self.source.id)?;
        if let Some(name) = &self.source.name {
            map.serialize_entry(self.name, name)?;
        }
        map.serialize_entry("count", &self.source.count)?;
        match &self.source.error {
            Some(error) => map.serialize_entry("error", error)?,
            None => map.serialize_entry("totalCount", &self.source.total)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::{OwnedModelKey, is_unsafe_to_show};

    use super::super::tests::{NOW, full_key, key, row, written, written_of};
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
                r#""lastUsedAt":null,"maskedSecret":null,"name":null,"status":null}],"count":1,"#,
                r#""projects":[{"groupId":"69681d39c9e8cfd375386316","count":1,"totalCount":null}]}"#,
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
                r#""secret":"[redacted]","status":"ACTIVE"}],"count":1,"#,
                r#""projects":[{"groupId":"69681d39c9e8cfd375386316","count":1,"totalCount":7}]}"#,
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
    fn summary_has_every_project_with_its_count_or_its_error() {
        let project = |id: &str, name: Option<&str>| ListedSource::new(id, name.map(str::to_owned));
        let failed = ListedSource {
            error: Some("no such project\u{1b}".to_owned()),
            ..project("3", None)
        };
        let counted = ListedSource {
            total: Some(9),
            ..project("1", Some("Production \u{202e}"))
        };
        let projects = vec![
            (counted, vec![vec![full_key()], vec![key("a")]]),
            (project("2", None), vec![vec![]]),
            (failed, vec![]),
        ];
        let text = written_of(projects, |out| Box::new(Json::new(out, false, false)));
        let (_, tail) = text.split_once("],").unwrap();
        assert_eq!(
            tail,
            concat!(
                r#""count":2,"projects":[{"groupId":"1","groupName":"Production \u202e","count":2,"totalCount":9},"#,
                r#"{"groupId":"2","count":0,"totalCount":null},"#,
                r#"{"groupId":"3","count":0,"error":"no such project\u001b"}]}"#,
                "\n"
            )
        );
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in value["results"].as_array().unwrap() {
            assert_eq!(key["groupName"], "Production \u{202e}");
        }
        let members: Vec<_> = text
            .match_indices("\"group")
            .map(|(at, _)| &text[at..at + 10])
            .collect();
        assert_eq!(members[..2], ["\"groupId\":", "\"groupName"]);
    }

    #[test]
    fn organizations_are_called_so() {
        let mut out = Vec::new();
        let summary = Summary {
            kind: SourceKind::Organization,
            sources: vec![ListedSource::new("5", None)],
            ..Summary::default()
        };
        Box::new(Json::new(&mut out, false, false))
            .finish(&summary)
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"results":[],"count":0,"organizations":[{"orgId":"5","count":0,"totalCount":null}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn unknown_times_are_the_last_member_of_their_key() {
        let key = key("a");
        let row = Row {
            unknown: &[KeyField::CreatedAt, KeyField::LastUsedAt],
            ..row(&key, None)
        };
        for indented in [false, true] {
            let mut text = Vec::new();
            push_key(&mut text, row, indented, false).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(
                value["unknown"],
                serde_json::json!(["createdAt", "lastUsedAt"])
            );
            let text = String::from_utf8(text).unwrap();
            let end = text.split_whitespace().collect::<String>();
            assert!(
                end.ends_with(r#","unknown":["createdAt","lastUsedAt"]}"#),
                "{text}"
            );
        }
    }

    #[test]
    fn each_page_is_written_as_it_arrives_and_the_object_is_closed_only_at_the_end() {
        for indented in [false, true] {
            let mut out = Vec::new();
            Json::new(&mut out, indented, false)
                .page(&[row(&key("a"), None), row(&key("b"), None)], NOW)
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
            assert!(compact.ends_with(",\"totalCount\":7}]}\n"), "{compact}");
            let value: serde_json::Value = serde_json::from_str(&compact).unwrap();
            let results = value["results"].as_array().unwrap();
            assert_eq!(results.len(), sizes.iter().sum::<usize>());
            let indented = written(pages, Some(7), |out| Box::new(Json::new(out, true, false)));
            let whole = serde_json::json!({ "results": results });
            let whole = serde_json::to_string_pretty(&whole).unwrap();
            let begin = text::visible_json(whole.strip_suffix("\n}").unwrap());
            let count = results.len();
            assert_eq!(
                indented,
                format!(
                    "{begin},\n  \"count\": {count},\n  \"projects\": [\n    {{\n      \
                     \"groupId\": \"69681d39c9e8cfd375386316\",\n      \"count\": {count},\n      \
                     \"totalCount\": 7\n    }}\n  ]\n}}\n"
                )
            );
            let again: serde_json::Value = serde_json::from_str(&indented).unwrap();
            assert_eq!(again, value);
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
