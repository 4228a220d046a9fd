//! What the command writes from a text of Atlas cannot control a terminal, is no formula in a spreadsheet, and keeps its
//! value in JSON and CSV.
//!
//! **Input**: a byte for a width in columns, one for the byte that separates texts, and the texts. Together they are also a
//! body, which may be JSON.
//!
//! **Properties**
//!
//! - Nothing that is shown contains a control character, a bidirectional control or another invisible character, by Unicode's
//!   data; only line ends and tabs between the tokens of a JSON document stay. All other characters stay, and the escapes name
//!   those that are replaced.
//! - A text of several lines keeps its line ends.
//! - No cell of a CSV file begins like a formula, also after a reader has removed the quotes: an apostrophe is before it. A text
//!   that is safe to show and begins otherwise is its own cell. A reader of CSV finds all cells, and each record is one line.
//! - JSON that was made safe has the value that it had, compact, indented, and in fragments of a text. A body that is JSON
//!   keeps its value, too.
//! - A body is written unchanged if secrets are shown in a pipe. Otherwise the members named `secret` have asterisks or ones in
//!   place of their characters and digits, at any depth, and nothing else changes: not even the length, in a pipe.
//! - A text that is cut fits its width and ends in an ellipsis, and one more character would not have fit. A text that fits is
//!   unchanged.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::generators::bytes as input;
use crate::generators::output::Input;
use crate::oracles::json::Json;
use crate::oracles::unicode::is_unsafe;

// The functions of the command that know only texts.
#[path = "../../../../cli/src/output/raw.rs"]
mod raw;
#[path = "../../../../cli/src/output/text.rs"]
mod text;

/// What begins a formula in spreadsheets, as OWASP lists it ("CSV Injection"), with the wide forms.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some(input) = input::read::<Input<'_>>(bytes) else {
        return;
    };
    let texts = input.texts();
    let room = usize::from(input.room);
    for text in &texts {
        check_visible(text);
        check_truncated(text, room);
        check_truncated(&text::visible(text), room);
    }
    check_csv(&texts);
    check_json(&texts, room);
    check_document(&input::text(*input.bytes));
    check_body(*input.bytes);
}

/// Returns the text with the characters escaped that are unsafe and not kept.
fn escaped(text: &str, kept: &[char]) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match is_unsafe(c) && !kept.contains(&c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

fn assert_safe(shown: &str, kept: &[char]) {
    let is_wrong = |c: char| is_unsafe(c) && !kept.contains(&c);
    assert!(!shown.contains(is_wrong), "{shown:?}");
}

fn check_visible(text: &str) {
    let shown = text::visible(text);
    assert_safe(&shown, &[]);
    assert_eq!(shown, escaped(text, &[]));
    // What is safe stays as it is.
    assert_eq!(text::visible(&shown), shown);

    let lines = text::visible_lines(text);
    assert_safe(&lines, &['\n']);
    assert_eq!(lines, escaped(text, &['\n']));
    assert!(
        lines
            .split('\n')
            .eq(text.split('\n').map(|line| escaped(line, &[])))
    );
}

fn check_truncated(text: &str, room: usize) {
    let cut = text::truncated(text, room);
    let width = text::width(&cut);
    assert!(width <= room, "{width} columns of {room}: {cut:?}");
    if text::width(text) <= room {
        return assert_eq!(cut, text);
    }
    let Some(kept) = cut.strip_suffix('…') else {
        return assert!(room == 0 && cut.is_empty(), "{cut:?}");
    };
    let rest = text.strip_prefix(kept).expect("the beginning stays");
    let next: String = rest.chars().take(1).collect();
    assert!(!next.is_empty());
    assert!(
        text::width(kept) + text::width(&next) + text::width("…") > room,
        "{cut:?}"
    );
}

fn check_csv(texts: &[String]) {
    let cells: Vec<_> = texts
        .iter()
        .map(|text| {
            let cell = text::spreadsheet_cell(text);
            let guard = match text.starts_with(FORMULA) {
                true => "'",
                false => "",
            };
            assert_eq!(cell, format!("{guard}{}", escaped(text, &[])));
            cell
        })
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in [cells.clone(), cells.iter().rev().cloned().collect()] {
        let fields = record.iter().map(|cell| cell.as_bytes());
        writer
            .write_record(fields)
            .expect("both records have as many fields");
    }
    let bytes = writer.into_inner().expect("a vector takes all bytes");
    let written = std::str::from_utf8(&bytes).expect("the cells are text");
    assert_safe(written, &['\n']);
    assert_eq!(written.matches('\n').count(), 2, "{written:?}");

    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(bytes.as_slice());
    let records: Result<Vec<csv::StringRecord>, _> = reader.records().collect();
    let records = records.expect("the records are valid");
    assert_eq!(records.len(), 2);
    assert!(records[0].iter().eq(cells.iter()));
    assert!(records[1].iter().eq(cells.iter().rev()));
    for cell in records.iter().flatten() {
        assert!(!cell.starts_with(FORMULA), "{cell:?}");
    }
}

/// Escapes the unsafe characters of the JSON of one text, which has no white space between tokens.
fn escaped_json(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        match is_unsafe(c) {
            true => {
                for unit in c.to_string().encode_utf16() {
                    out += &format!("\\u{unit:04x}");
                }
            }
            false => out.push(c),
        }
    }
    out
}

/// Checks a document whose names and values are the texts.
fn check_json(texts: &[String], room: usize) {
    let members: Map<String, Value> = texts
        .iter()
        .map(|text| (text.clone(), json!({ "name": text })))
        .collect();
    let value = json!({ "results": [members], "names": texts });
    let compact = value.to_string();
    let shown = text::visible_json(&compact);
    assert_safe(&shown, &[]);
    assert_eq!(shown, escaped_json(&compact));
    assert_eq!(parsed(&shown), Some(value.clone()));
    // The parts of a document are made safe one by one.
    let part = compact.char_indices().nth(room).map_or(0, |(at, _)| at);
    let (first, second) = compact.split_at(part);
    let parts = [text::visible_json(first), text::visible_json(second)];
    assert_eq!(parts.concat(), shown);

    let indented = serde_json::to_string_pretty(&value).expect("the value is JSON");
    let shown = text::visible_json(&indented);
    assert_safe(&shown, &['\n']);
    assert_eq!(parsed(&shown), Some(value));
}

fn parsed(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

/// Checks a text that may be JSON of any form.
fn check_document(document: &str) {
    let shown = text::visible_json(document);
    assert_safe(&shown, &['\n', '\t']);
    if let Some(value) = parsed(document) {
        assert_eq!(parsed(&shown), Some(value), "{shown}");
    }
    if !document.contains(|c| is_unsafe(c) && !matches!(c, '\n' | '\t')) {
        assert_eq!(shown, document);
    }
}

fn written(body: &[u8], on_terminal: bool, show_secrets: bool) -> Vec<u8> {
    let mut out = Vec::new();
    raw::write_raw(&mut out, body.to_vec(), on_terminal, show_secrets)
        .expect("a vector takes all bytes");
    out
}

fn check_body(body: &[u8]) {
    assert_eq!(written(body, false, true), body);
    let masked = written(body, false, false);
    assert_eq!(masked.len(), body.len());
    if let Some(json) = Json::read(body) {
        // Each name and value that is no secret is in the same place.
        let masked_json = Json::read(&masked).expect("masked JSON is JSON");
        assert_same_shape(&json, &masked_json);
        if let (Ok(value), Ok(masked)) = (
            serde_json::from_slice(body),
            serde_json::from_slice(&masked),
        ) {
            assert_masked(&value, &masked, false);
        }
        if !has_secret(&json) {
            assert_eq!(masked, body);
        }
    }
    for (show_secrets, piped) in [
        (true, Cow::Borrowed(body)),
        (false, Cow::Borrowed(&*masked)),
    ] {
        let shown = written(body, true, show_secrets);
        let shown = String::from_utf8(shown).expect("a terminal gets text");
        assert_safe(&shown, &['\n', '\t']);
        assert!(shown.ends_with('\n'));
        if let Ok(value) = serde_json::from_slice::<Value>(&piped) {
            assert_eq!(parsed(&shown), Some(value));
        }
    }
}

/// Asserts that both values have the same names and types in the same order.
fn assert_same_shape(one: &Json, other: &Json) {
    match (one, other) {
        (Json::Null, Json::Null) | (Json::Leaf, Json::Leaf) => {}
        (Json::Array(one), Json::Array(other)) => {
            assert_eq!(one.len(), other.len());
            for (one, other) in one.iter().zip(other) {
                assert_same_shape(one, other);
            }
        }
        (Json::Object(one), Json::Object(other)) => {
            assert_eq!(one.len(), other.len());
            for ((name, one), (other_name, other)) in one.iter().zip(other) {
                assert_eq!(name, other_name);
                assert_same_shape(one, other);
            }
        }
        both => panic!("{both:?}"),
    }
}

/// Returns whether a member is named `secret`.
fn has_secret(json: &Json) -> bool {
    match json {
        Json::Null | Json::Leaf => false,
        Json::Array(items) => items.iter().any(has_secret),
        Json::Object(entries) => entries
            .iter()
            .any(|(name, value)| name == "secret" || has_secret(value)),
    }
}

/// Asserts that a value is masked if it is a secret or a part of one, and is unchanged otherwise.
fn assert_masked(value: &Value, masked: &Value, is_secret: bool) {
    match (value, masked) {
        (Value::Array(items), Value::Array(masked)) => {
            for (item, masked) in items.iter().zip(masked) {
                assert_masked(item, masked, is_secret);
            }
        }
        (Value::Object(members), Value::Object(masked)) => {
            for (name, value) in members {
                assert_masked(value, &masked[name], is_secret || name == "secret");
            }
        }
        (Value::String(text), Value::String(masked)) if is_secret => {
            assert!(masked.bytes().all(|byte| byte == b'*'), "{masked}");
            assert!(masked.len() >= text.len(), "{masked}");
        }
        (Value::Number(number), Value::Number(masked)) if is_secret => {
            // Other numbers are shown in another form than they were written in.
            if number.is_u64() && masked.is_u64() {
                let digits = masked.to_string();
                assert!(digits.bytes().all(|digit| digit == b'1'), "{masked}");
            }
        }
        _ => assert_eq!(value, masked),
    }
}
