//! A table for people: no borders, one line per key, never wider than the terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use atlas_model_keys_core::{KeyField, ModelKey, Timestamp};

use super::{Sink, field, text, write_whole};

/// The space between two columns.
const GAP: &str = "  ";
/// The width of a date: `2026-01-15`.
const DATE: usize = 10;
/// The width of a date with a time: `2026-01-15T16:47:49Z`.
const DATE_AND_TIME: usize = 20;
/// The maximum width to which a column is padded in a file or a pipe.
const PADDED: usize = 40;
/// The width of a shortened id. It is enough to distinguish ids.
const SHORT_ID: usize = 7;

/// The terminal that a table has to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) width: usize,
    pub(crate) colour: bool,
    /// Whether columns may be left out if the terminal is too narrow. False if the user chose the columns.
    pub(crate) may_drop: bool,
}

pub(crate) struct Table<W> {
    out: W,
    columns: Vec<KeyField>,
    rows: Vec<Vec<Cell>>,
    show_secrets: bool,
    /// The terminal. `None` is a file or a pipe, where nothing is cut.
    terminal: Option<Terminal>,
}

impl<W> Table<W> {
    pub(crate) fn new(
        out: W,
        columns: Vec<KeyField>,
        show_secrets: bool,
        terminal: Option<Terminal>,
    ) -> Self {
        Self {
            out,
            columns,
            rows: Vec::new(),
            show_secrets,
            terminal,
        }
    }
}

impl<W: Write> Sink for Table<W> {
    fn page(&mut self, keys: &[ModelKey<'_>], _: Option<u64>) -> io::Result<()> {
        let (columns, show_secrets) = (&self.columns, self.show_secrets);
        self.rows.extend(keys.iter().map(|key| {
            let cells = columns
                .iter()
                .map(|field| Cell::new(*field, *key, show_secrets));
            cells.collect()
        }));
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let text = render(&self.columns, &self.rows, self.terminal);
        write_whole(self.out, text.as_bytes())
    }
}

struct Cell {
    text: String,
    /// The number of columns on the terminal.
    width: usize,
    style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Heading,
    /// A value that needs attention.
    Notable,
    /// A missing value.
    Faint,
}

impl Style {
    /// Returns the escape sequence that begins the style.
    fn begin(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("\x1b[1m"),
            Self::Notable => Some("\x1b[33m"),
            Self::Faint => Some("\x1b[2m"),
        }
    }
}

impl Cell {
    fn new(field: KeyField, key: ModelKey<'_>, show_secrets: bool) -> Self {
        let (text, style) = match field::value(field, key, show_secrets) {
            Some(time) if field.is_timestamp() => (short_time(time), Style::Plain),
            Some(status) if field == KeyField::Status && status != "ACTIVE" => {
                (text::visible(status), Style::Notable)
            }
            Some(value) => (text::visible(value), Style::Plain),
            None if field == KeyField::LastUsedAt => (Cow::Borrowed("never"), Style::Faint),
            None => (Cow::Borrowed("-"), Style::Faint),
        };
        Self::styled(text.into_owned(), style)
    }

    fn styled(text: String, style: Style) -> Self {
        Self {
            width: text::width(&text),
            text,
            style,
        }
    }
}

/// Formats a timestamp without fractions of a second: `2026-01-15T16:47:49Z`. A value that is no time, or
/// whose year does not have four digits, is shown unchanged, but escaped.
fn short_time(raw: &str) -> Cow<'_, str> {
    // The end of the year 9999.
    const END: u64 = 253_402_300_800;
    let time = Timestamp::new(raw)
        .parse()
        .ok()
        .and_then(|time| u64::try_from(time.seconds()).ok())
        .filter(|seconds| *seconds < END)
        .map(|seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    match time {
        Some(time) => Cow::Owned(humantime::format_rfc3339_seconds(time).to_string()),
        None => text::visible(raw),
    }
}

fn render(columns: &[KeyField], rows: &[Vec<Cell>], terminal: Option<Terminal>) -> String {
    let headings: Vec<Cell> = columns
        .iter()
        .map(|field| Cell::styled(field::heading(*field).to_owned(), Style::Heading))
        .collect();
    let wanted: Vec<Column> = columns
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let cells = rows
                .iter()
                .chain([&headings])
                .filter_map(|row| row.get(index));
            Column {
                field: *field,
                heading: text::width(field::heading(*field)),
                wanted: cells.map(|cell| cell.width).max().unwrap_or_default(),
            }
        })
        .collect();
    let widths: Vec<usize> = match terminal {
        Some(terminal) => {
            let kept = match terminal.may_drop {
                true => kept(&wanted, terminal.width),
                false => wanted.iter().collect(),
            };
            let mut widths = fitted(&kept, terminal.width).into_iter();
            let is_kept = |column: &Column| kept.iter().any(|kept| kept.field == column.field);
            wanted
                .iter()
                .map(|column| {
                    if is_kept(column) {
                        widths.next().unwrap_or(0)
                    } else {
                        0
                    }
                })
                .collect()
        }
        // Nothing is cut there, but one long name must not widen the column of all rows.
        None => wanted
            .iter()
            .map(|column| column.wanted.min(PADDED))
            .collect(),
    };
    let cuts = terminal.is_some();
    let colour = terminal.is_some_and(|terminal| terminal.colour);
    let mut out = String::new();
    for row in [&headings].into_iter().chain(rows) {
        push_row(&mut out, columns, row, (&widths, cuts), colour);
    }
    out
}

fn push_row(
    out: &mut String,
    columns: &[KeyField],
    row: &[Cell],
    (widths, cuts): (&[usize], bool),
    colour: bool,
) {
    // Spaces are written only before the next text, so that no line ends with spaces.
    let mut owed = 0;
    for ((cell, room), field) in row.iter().zip(widths).zip(columns) {
        if *room == 0 {
            // This column is left out.
            continue;
        }
        let shown = match cuts {
            true => shown(cell, *room, *field),
            false => Cow::Borrowed(cell.text.as_str()),
        };
        if !shown.is_empty() {
            out.extend(std::iter::repeat_n(' ', owed));
            owed = 0;
            match cell.style.begin().filter(|_| colour) {
                Some(begin) => {
                    out.push_str(begin);
                    out.push_str(&shown);
                    out.push_str("\x1b[0m");
                }
                None => out.push_str(&shown),
            }
        }
        owed += room.saturating_sub(text::width(&shown)) + GAP.len();
    }
    out.push('\n');
}

/// Returns the text of a cell, cut to its room. A time is shortened to its date.
fn shown(cell: &Cell, room: usize, field: KeyField) -> Cow<'_, str> {
    let is_time = field.is_timestamp() && cell.text.is_ascii() && cell.width == DATE_AND_TIME;
    match cell.text.get(..DATE) {
        Some(date) if is_time && (DATE..DATE_AND_TIME).contains(&room) => Cow::Borrowed(date),
        _ => text::truncated(&cell.text, room),
    }
}

/// The width that a column needs.
struct Column {
    field: KeyField,
    heading: usize,
    /// The width of its widest cell.
    wanted: usize,
}

/// The column is not reduced.
const WHOLE: usize = usize::MAX;

/// The widths to which columns are reduced, step by step, until all fit: the name, the creator, times and
/// ids. The least important columns are reduced first. A shortened id is of little use, so ids are cut only
/// near the end, and then to [`SHORT_ID`].
const STEPS: [[usize; 4]; 7] = [
    [WHOLE, WHOLE, WHOLE, WHOLE],
    [40, 20, WHOLE, WHOLE],
    [40, 20, DATE, WHOLE],
    [16, 10, DATE, WHOLE],
    [12, 8, DATE, WHOLE],
    [12, 8, DATE, SHORT_ID],
    [6, 8, DATE, SHORT_ID],
];

fn floor(column: &Column, [name, creator, time, id]: [usize; 4]) -> usize {
    let floor = match column.field {
        KeyField::Name => name,
        KeyField::CreatedBy => creator,
        field if field.is_timestamp() => time,
        field if is_id(field) => id,
        _ => WHOLE,
    };
    column.wanted.min(floor.max(column.heading))
}

fn is_id(field: KeyField) -> bool {
    matches!(
        field,
        KeyField::ApiKeyId | KeyField::GroupId | KeyField::Secret
    )
}

/// The columns that are left out if not all fit, in this order. The name and the last use always stay.
const DROPPED: [KeyField; 5] = [
    KeyField::MaskedSecret,
    KeyField::CreatedAt,
    KeyField::CreatedBy,
    KeyField::Status,
    KeyField::ApiKeyId,
];

/// Returns the columns that are kept: all that fit.
fn kept(columns: &[Column], width: usize) -> Vec<&Column> {
    let mut kept: Vec<&Column> = columns.iter().collect();
    for field in DROPPED {
        if reduced(&kept, width).is_some() {
            break;
        }
        kept.retain(|column| column.field != field);
    }
    kept
}

fn room(columns: &[&Column], width: usize) -> usize {
    width.saturating_sub(GAP.len() * columns.len().saturating_sub(1))
}

/// Returns the widths of the first step with which all columns fit.
fn reduced(columns: &[&Column], width: usize) -> Option<Vec<usize>> {
    let room = room(columns, width);
    STEPS
        .into_iter()
        .map(|step| columns.iter().map(|column| floor(column, step)).collect())
        .find(|widths: &Vec<usize>| widths.iter().sum::<usize>() <= room)
}

/// Returns widths that fit, gaps included: those of the first step with which all columns fit. The remaining
/// room goes to the columns of free text, one cell at a time. On a very narrow terminal, all columns get
/// equal widths, but at least one cell.
fn fitted(columns: &[&Column], width: usize) -> Vec<usize> {
    let room = room(columns, width);
    let reduced = reduced(columns, width);
    let is_squeezed = reduced.is_none();
    let mut widths =
        reduced.unwrap_or_else(|| columns.iter().map(|column| column.wanted.min(1)).collect());

    let mut left = room.saturating_sub(widths.iter().sum());
    let may_grow = |field: KeyField| is_squeezed || !is_id(field) && !field.is_timestamp();
    loop {
        let before = left;
        for (column, width) in columns.iter().zip(&mut widths) {
            if left > 0 && *width < column.wanted && may_grow(column.field) {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            return widths;
        }
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::super::tests::{full_key, key, written};
    use super::*;

    fn table(keys: Vec<OwnedModelKey>, columns: &[KeyField], width: Option<usize>) -> String {
        let columns = columns.to_vec();
        let terminal = width.map(|width| Terminal {
            width,
            colour: false,
            may_drop: false,
        });
        written(vec![keys], None, |out| {
            Box::new(Table::new(out, columns, false, terminal))
        })
    }

    #[test]
    fn narrow_terminal_gets_fewer_columns_unless_they_were_chosen() {
        let headings = |width, may_drop| {
            let terminal = Terminal {
                width,
                colour: false,
                may_drop,
            };
            let text = written(vec![vec![full_key()]], None, |out| {
                let columns = field::TABLE.to_vec();
                Box::new(Table::new(out, columns, false, Some(terminal)))
            });
            assert!(
                text.lines().all(|line| text::width(line) <= width),
                "{text}"
            );
            let first = text.lines().next().unwrap_or_default().to_owned();
            first
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(headings(80, true), headings(80, false));
        assert_eq!(
            headings(45, true),
            ["ID", "NAME", "STATUS", "CREATOR", "LAST", "USED"]
        );
        assert_eq!(headings(20, true), ["NAME", "LAST", "USED"]);
        assert_eq!(headings(20, false).len(), 7);
    }

    #[test]
    fn pipe_gets_everything_uncut() {
        let name = "長".repeat(250);
        let fields = [(KeyField::Name, &*name), (KeyField::CreatedAt, "soon")];
        let second = OwnedModelKey::from_fields(fields);
        let text = table(vec![full_key(), second], &field::TABLE, None);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with("ID                        NAME   "),
            "{text}"
        );
        assert!(
            lines[1].starts_with("a86r5kwrfsk5r5ku5tgvhmpj  Production key   "),
            "{text}"
        );
        assert!(
            lines[1].ends_with("  ACTIVE  John Doe  2026-01-15T16:47:49Z  never      al-****odu2"),
            "{text}"
        );
        assert!(lines[2].contains(&"長".repeat(250)), "{text}");
        assert!(
            lines[2].ends_with("  -       -         soon                  never      -"),
            "{text}"
        );
        // A long name does not widen the other rows.
        assert!(lines[1].len() < 160, "{text}");
    }

    #[test]
    fn eighty_columns_show_every_column() {
        let text = table(vec![full_key()], &field::TABLE, Some(80));
        assert_eq!(
            text,
            "ID       NAME            STATUS  CREATOR   CREATED     LAST USED  MASKED\n\
             a86r5k…  Production key  ACTIVE  John Doe  2026-01-15  never      al-****odu2\n"
        );
    }

    #[test]
    fn wide_terminal_shows_times_and_whole_ids() {
        let keys = vec![full_key(), key(&"n".repeat(250))];
        let text = table(keys, &field::TABLE, Some(160));
        let row = text.lines().nth(1).unwrap();
        assert!(
            row.starts_with("a86r5kwrfsk5r5ku5tgvhmpj  Production key  "),
            "{text}"
        );
        assert!(
            row.ends_with("  2026-01-15T16:47:49Z  never      al-****odu2"),
            "{text}"
        );
    }

    #[test]
    fn no_width_is_exceeded() {
        let mut keys = vec![full_key()];
        keys.push(key(&"長い名前".repeat(60)));
        keys.push(key("e\u{301}\u{1b}[31m\u{202e}\n"));
        keys.push(key(&"🔑".repeat(100)));
        for columns in [&field::TABLE[..], KeyField::ALL, &[KeyField::Name]] {
            for width in 3 * KeyField::ALL.len()..300 {
                let text = table(keys.clone(), columns, Some(width));
                assert_eq!(text.lines().count(), keys.len() + 1);
                for line in text.lines() {
                    assert!(text::width(line) <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "{width}");
                }
            }
        }
        // There is no panic if nothing fits.
        for width in 0..12 {
            table(keys.clone(), KeyField::ALL, Some(width));
        }
    }

    #[test]
    fn whole_width_of_a_terminal_is_used() {
        let keys = vec![key(&"n".repeat(250)), full_key()];
        for width in [60, 80, 100, 120, 200] {
            let text = table(keys.clone(), &field::TABLE, Some(width));
            let widest = text.lines().map(text::width).max();
            assert_eq!(widest, Some(width), "{text}");
        }
    }

    #[test]
    fn hostile_names_stay_in_their_cell() {
        let text = table(
            vec![key("a\x1b[2J\nb\u{202e}")],
            &[KeyField::Name, KeyField::Status],
            None,
        );
        assert_eq!(
            text,
            "NAME                      STATUS\na\\u{1b}[2J\\u{a}b\\u{202e}  -\n"
        );
    }

    #[test]
    fn colours_do_not_change_widths() {
        let active = full_key();
        let fields = KeyField::ALL.iter().map(|field| match field {
            KeyField::Status => (*field, "SUSPENDED"),
            field => (*field, active.field(*field).unwrap_or_default()),
        });
        let suspended = OwnedModelKey::from_fields(fields);
        let render = |colour| {
            let terminal = Terminal {
                width: 80,
                colour,
                may_drop: true,
            };
            let keys = vec![vec![suspended.clone(), full_key()]];
            written(keys, None, |out| {
                Box::new(Table::new(
                    out,
                    field::TABLE.to_vec(),
                    false,
                    Some(terminal),
                ))
            })
        };
        let coloured = render(true);
        assert!(coloured.contains("\x1b[33mSUSPENDED\x1b[0m"), "{coloured}");
        let mut plain = coloured;
        for sequence in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m"] {
            plain = plain.replace(sequence, "");
        }
        assert_eq!(plain, render(false));
    }

    #[test]
    fn only_valid_times_are_shortened() {
        assert_eq!(
            short_time("2026-01-15T17:47:49.855+01:00"),
            "2026-01-15T16:47:49Z"
        );
        assert_eq!(short_time("9999-12-31T23:59:59Z"), "9999-12-31T23:59:59Z");
        for other in ["1969-12-31T23:59:59Z", "9999-12-31T23:59:60Z", "yesterday"] {
            assert_eq!(short_time(other), other);
        }
        assert_eq!(short_time("\x1b"), "\\u{1b}");
    }
}
