//! A table for people: no borders, one line per key, never wider than the terminal.

use std::borrow::Cow;
use std::io::{self, Write};
use std::rc::Rc;

use atlas_model_keys_core::{KeyField, UnixTime};

use super::{Column, Row, Sink, Summary, age, field, text, write_whole};

/// The space between two columns.
const GAP: &str = "  ";
/// The maximum width to which a column is padded in a file or a pipe.
const PADDED: usize = 40;
/// The width of Atlas's ids of keys and projects.
const ID: usize = 24;
/// The width of an id that is cut. It is enough to distinguish ids.
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
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// The last name of a project, and its cell. The rows of a project share it, because Atlas does not bound the length
    /// of a name.
    project: Option<(String, Cell)>,
    /// The times that a filter could not read. Their columns show it, so they are not left out.
    unknown: Vec<KeyField>,
    show_secrets: bool,
    /// The terminal. `None` is a file or a pipe, where nothing is cut.
    terminal: Option<Terminal>,
}

impl<W> Table<W> {
    pub(crate) fn new(
        out: W,
        columns: Vec<Column>,
        show_secrets: bool,
        terminal: Option<Terminal>,
    ) -> Self {
        Self {
            out,
            columns,
            rows: Vec::new(),
            project: None,
            unknown: Vec::new(),
            show_secrets,
            terminal,
        }
    }

    /// Returns the cell for the project of a key: its name, or its id if the name is not known.
    fn project(&mut self, row: &Row<'_>) -> Cell {
        let Some(name) = row.group_name else {
            return match row.key.group_id() {
                Some(id) => Cell::plain(&text::visible(id)),
                None => Cell::missing("-"),
            };
        };
        match &self.project {
            Some((known, cell)) if known == name => cell.clone(),
            _ => {
                let cell = Cell::plain(&text::visible(name));
                self.project = Some((name.to_owned(), cell.clone()));
                cell
            }
        }
    }
}

impl<W: Write> Sink for Table<W> {
    fn page(&mut self, rows: &[Row<'_>], now: UnixTime) -> io::Result<()> {
        for row in rows {
            let mut cells = Vec::with_capacity(self.columns.len());
            for at in 0..self.columns.len() {
                cells.push(match self.columns.get(at) {
                    Some(Column::Field(field)) => {
                        Cell::of_field(*field, row, now, self.show_secrets)
                    }
                    Some(Column::Line) => {
                        Cell::plain(&row.line.map_or_else(String::new, |line| line.to_string()))
                    }
                    _ => self.project(row),
                });
            }
            self.rows.push(cells);
            for field in row.unknown {
                if !self.unknown.contains(field) {
                    self.unknown.push(*field);
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Summary) -> io::Result<()> {
        let text = render(&self.columns, &self.rows, &self.unknown, self.terminal);
        write_whole(self.out, text.as_bytes())
    }
}

#[derive(Clone)]
struct Cell {
    text: Rc<str>,
    /// The number of columns on the terminal.
    width: usize,
    style: Style,
}

/// The style of a cell on a terminal with colours. The text has the same information without it.
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
    fn of_field(field: KeyField, row: &Row<'_>, now: UnixTime, show_secrets: bool) -> Self {
        match field::value(field, row.key, show_secrets) {
            Some(time) if field.is_timestamp() => Self::plain(&age::of_timestamp(time, now)),
            Some(status) if field == KeyField::Status && status != "ACTIVE" => {
                Self::styled(&text::visible(status), Style::Notable)
            }
            Some(value) => Self::plain(&text::visible(value)),
            None if field == KeyField::LastUsedAt => Self::missing("never"),
            None if field.is_timestamp() => Self::missing(age::UNKNOWN),
            None => Self::missing("-"),
        }
    }

    fn plain(text: &str) -> Self {
        Self::styled(text, Style::Plain)
    }

    fn missing(text: &str) -> Self {
        Self::styled(text, Style::Faint)
    }

    fn styled(text: &str, style: Style) -> Self {
        Self {
            text: text.into(),
            width: text::width(text),
            style,
        }
    }
}

fn render(
    columns: &[Column],
    rows: &[Vec<Cell>],
    unknown: &[KeyField],
    terminal: Option<Terminal>,
) -> String {
    let headings: Vec<Cell> = columns
        .iter()
        .map(|column| Cell::styled(column.heading(), Style::Heading))
        .collect();
    let mut layout: Vec<Place> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = || rows.iter().filter_map(|row| row.get(index));
            let heading = text::width(column.heading());
            let widest = |widths: &mut dyn Iterator<Item = usize>| widths.fold(heading, usize::max);
            let wanted = widest(&mut cells().map(|cell| cell.width));
            Place {
                column: *column,
                heading,
                wanted,
                short: match is_time(*column) {
                    true => {
                        widest(&mut cells().map(|cell| text::width(age::shortened(&cell.text))))
                    }
                    false => wanted,
                },
                room: 0,
            }
        })
        .collect();
    match terminal {
        Some(terminal) => fit(&mut layout, unknown, terminal),
        // Nothing is cut there, but one long name must not widen the column of all rows.
        None => {
            for place in &mut layout {
                place.room = place.wanted.min(PADDED);
            }
        }
    }
    let colour = terminal.is_some_and(|terminal| terminal.colour);
    let mut out = String::new();
    for row in [&headings].into_iter().chain(rows) {
        push_row(&mut out, row, &layout, terminal.is_some(), colour);
    }
    out
}

fn push_row(out: &mut String, row: &[Cell], layout: &[Place], cuts: bool, colour: bool) {
    // Spaces are written only before the next text, so that no line ends with spaces.
    let mut owed = 0;
    for (cell, place) in row.iter().zip(layout) {
        if place.room == 0 {
            // This column is left out.
            continue;
        }
        let shown = match cuts {
            true => place.shown(cell),
            false => Cow::Borrowed(&*cell.text),
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
        owed += place.room.saturating_sub(text::width(&shown)) + GAP.len();
    }
    out.push('\n');
}

/// A column in a layout.
struct Place {
    column: Column,
    /// The width of the heading.
    heading: usize,
    /// The width of the widest cell.
    wanted: usize,
    /// The width of the widest cell if ages are shortened.
    short: usize,
    /// The width that the column gets; 0 if it is left out.
    room: usize,
}

impl Place {
    /// Returns the text of a cell, cut to the room. All ages of a column lose the word "ago", or none does.
    fn shown<'c>(&self, cell: &'c Cell) -> Cow<'c, str> {
        let text = match is_time(self.column) && self.room < self.wanted {
            true => age::shortened(&cell.text),
            false => &cell.text,
        };
        text::truncated(text, self.room)
    }

    /// Returns the width to which the column is reduced in a step.
    fn reduced(&self, floors: &Floors) -> usize {
        let wanted = match floors.time {
            WHOLE => self.wanted,
            _ => self.short,
        };
        wanted.min(floors.of(self.column).max(self.heading))
    }

    /// Returns the width that is reserved for the column when it is decided which columns are shown. It does not depend
    /// on the values, unless they are unusually long, so that the same terminal always gets the same columns.
    fn reserved(&self) -> usize {
        match self.column {
            column if is_id(column) => self.wanted.clamp(ID, PADDED),
            Column::MASKED => self.wanted.max("al-****odu2".len()),
            column => match LEAST.of(column) {
                WHOLE => self.wanted,
                floor => floor.max(self.heading),
            },
        }
    }
}

/// The widths to which columns are reduced, but not below their headings.
struct Floors {
    name: usize,
    creator: usize,
    project: usize,
    status: usize,
    time: usize,
    id: usize,
}

/// The column is not reduced.
const WHOLE: usize = usize::MAX;

const fn floors(name: usize, creator: usize, project: usize, status: usize, time: usize) -> Floors {
    Floors {
        name,
        creator,
        project,
        status,
        time,
        id: PADDED,
    }
}

/// The smallest widths with which all columns are readable and ids are whole.
const LEAST: Floors = floors(10, 7, 7, 6, age::WIDTH);

/// The steps of reduction. The first with which all columns fit is taken. Ids are for copying, so they are cut only in
/// the last step, when no further column may be left out.
const STEPS: [Floors; 8] = [
    Floors {
        id: WHOLE,
        ..floors(WHOLE, WHOLE, WHOLE, WHOLE, WHOLE)
    },
    floors(40, 20, 20, WHOLE, WHOLE),
    floors(40, 20, 20, WHOLE, age::WIDTH),
    floors(16, 10, 12, 12, age::WIDTH),
    floors(12, 8, 10, 10, age::WIDTH),
    floors(10, 8, 8, 9, age::WIDTH),
    LEAST,
    Floors {
        id: SHORT_ID,
        ..LEAST
    },
];

impl Floors {
    fn of(&self, column: Column) -> usize {
        match column {
            Column::NAME => self.name,
            Column::CREATOR => self.creator,
            Column::GroupName => self.project,
            Column::STATUS => self.status,
            column if is_time(column) => self.time,
            column if is_id(column) => self.id,
            _ => WHOLE,
        }
    }
}

fn is_time(column: Column) -> bool {
    matches!(column, Column::Field(field) if field.is_timestamp())
}

/// Returns whether the values are useful only if they are whole.
fn is_id(column: Column) -> bool {
    matches!(
        column,
        Column::Field(KeyField::ApiKeyId | KeyField::GroupId | KeyField::Secret)
    )
}

/// The columns that are left out if not all fit, in this order. The name and the last use always stay.
const DROPPED: [Column; 6] = [
    Column::MASKED,
    Column::CREATED,
    Column::CREATOR,
    Column::STATUS,
    Column::GroupName,
    Column::ID,
];

/// Gives each column its room, so that the table fits, gaps included. First, columns are left out, if that is allowed.
/// The others get the widths of the first step with which all fit. The remaining room goes to the columns of free text,
/// one cell at a time. On a very narrow terminal, all columns get equal widths, but at least one cell.
fn fit(layout: &mut [Place], unknown: &[KeyField], terminal: Terminal) {
    let mut kept: Vec<&mut Place> = layout.iter_mut().collect();
    if terminal.may_drop {
        let is_needed = |column| matches!(column, Column::Field(field) if unknown.contains(&field));
        for column in DROPPED.into_iter().filter(|column| !is_needed(*column)) {
            let reserved = kept.iter().map(|place| place.reserved()).sum::<usize>();
            if reserved <= room(kept.len(), terminal.width) {
                break;
            }
            kept.retain(|place| place.column != column);
        }
    }
    let room = room(kept.len(), terminal.width);
    let step = STEPS.iter().find(|floors| {
        let widths = kept.iter().map(|place| place.reduced(floors));
        widths.sum::<usize>() <= room
    });
    for place in &mut kept {
        place.room = match step {
            Some(floors) => place.reduced(floors),
            None => place.wanted.min(1),
        };
    }
    let mut left = room.saturating_sub(kept.iter().map(|place| place.room).sum());
    loop {
        let before = left;
        for place in &mut kept {
            let may_grow = step.is_none() || !is_id(place.column) && !is_time(place.column);
            if left > 0 && place.room < place.wanted && may_grow {
                place.room += 1;
                left -= 1;
            }
        }
        if left == before {
            return;
        }
    }
}

/// Returns the width for the cells of so many columns.
fn room(columns: usize, width: usize) -> usize {
    width.saturating_sub(GAP.len() * columns.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_core::OwnedModelKey;

    use super::super::ListedSource;
    use super::super::columns::table as default_columns;
    use super::super::tests::{NOW, full_key, key, row, written, written_of};
    use super::*;

    fn columns() -> Vec<Column> {
        default_columns(false, false)
    }

    fn all() -> Vec<Column> {
        KeyField::ALL.iter().copied().map(Column::Field).collect()
    }

    fn table(keys: Vec<OwnedModelKey>, columns: &[Column], width: Option<usize>) -> String {
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
                Box::new(Table::new(out, columns(), false, Some(terminal)))
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
        assert_eq!(headings(100, true), headings(100, false));
        assert_eq!(
            headings(80, true),
            ["ID", "NAME", "STATUS", "CREATOR", "CREATED", "LAST", "USED"]
        );
        assert_eq!(headings(48, true), ["ID", "NAME", "LAST", "USED"]);
        assert_eq!(headings(20, true), ["NAME", "LAST", "USED"]);
        assert_eq!(headings(20, false).len(), 7);
    }

    #[test]
    fn columns_of_a_terminal_do_not_depend_on_the_values() {
        let long = OwnedModelKey::from_fields([
            (KeyField::ApiKeyId, "a86r5kwrfsk5r5ku5tgvhmpj"),
            (KeyField::CreatedAt, "2026-11-27T11:01:00Z"),
            (KeyField::CreatedBy, &*"c".repeat(250)),
            (KeyField::LastUsedAt, "2026-11-27T11:01:00Z"),
            (KeyField::MaskedSecret, "al-****odu2"),
            (KeyField::Name, &*"n".repeat(250)),
            (KeyField::Status, &*"S".repeat(250)),
        ]);
        for has_projects in [false, true] {
            // A narrower terminal does not have room for two columns.
            for width in 22..200 {
                let headings = |key: &OwnedModelKey| {
                    let terminal = Terminal {
                        width,
                        colour: false,
                        may_drop: true,
                    };
                    let text = written(vec![vec![key.clone()]], None, |out| {
                        let columns = default_columns(has_projects, false);
                        Box::new(Table::new(out, columns, false, Some(terminal)))
                    });
                    let first = text.lines().next().unwrap_or_default();
                    let words: Vec<_> = first.split_whitespace().map(str::to_owned).collect();
                    let is_whole = text.contains("a86r5kwrfsk5r5ku5tgvhmpj");
                    assert!(
                        is_whole || words.first().is_none_or(|word| word != "ID"),
                        "{text}"
                    );
                    words
                };
                assert_eq!(headings(&full_key()), headings(&long), "{width}");
            }
        }
    }

    #[test]
    fn ids_are_whole_at_eighty_columns() {
        for has_projects in [false, true] {
            let mut keys = vec![full_key(), key(&"n".repeat(250))];
            let hostile = "h".repeat(1000);
            keys.push(OwnedModelKey::from_fields(KeyField::ALL.iter().filter_map(
                |field| (!is_id(Column::Field(*field))).then_some((*field, &*hostile)),
            )));
            let project = ListedSource::new("1", Some("p".repeat(64)));
            let text = written_of(vec![(project, vec![keys])], |out| {
                let terminal = Terminal {
                    width: 80,
                    colour: false,
                    may_drop: true,
                };
                let columns = default_columns(has_projects, false);
                Box::new(Table::new(out, columns, false, Some(terminal)))
            });
            assert!(text.lines().all(|line| text::width(line) <= 80), "{text}");
            assert!(text.contains("\na86r5kwrfsk5r5ku5tgvhmpj  "), "{text}");
        }
    }

    #[test]
    fn column_with_an_unknown_time_is_not_left_out() {
        let headings = |unknown: &[KeyField]| {
            let mut out = Vec::new();
            let terminal = Terminal {
                width: 80,
                colour: false,
                may_drop: true,
            };
            let columns = default_columns(true, false);
            let mut table = Box::new(Table::new(&mut out, columns, false, Some(terminal)));
            let key = full_key();
            let row = Row {
                unknown,
                ..row(&key, None)
            };
            table.page(&[row], NOW).unwrap();
            table.finish(&Summary::default()).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.lines().all(|line| text::width(line) <= 80), "{text}");
            text.lines().next().unwrap_or_default().to_owned()
        };
        assert!(!headings(&[]).contains("CREATED"));
        assert!(headings(&[KeyField::CreatedAt]).contains("CREATED"));
    }

    #[test]
    fn several_projects_have_a_column_with_their_name_or_id() {
        let project = |id: &str, name: Option<&str>| ListedSource::new(id, name.map(str::to_owned));
        let projects = vec![
            (
                project("1", Some("Produc\u{1b}tion")),
                vec![vec![full_key(), full_key()]],
            ),
            (project("2", None), vec![vec![full_key(), key("b")]]),
        ];
        let text = written_of(projects, |out| {
            let columns = vec![Column::GroupName, Column::NAME];
            Box::new(Table::new(out, columns, false, None))
        });
        assert_eq!(
            text,
            "PROJECT                   NAME\n\
             Produc\\u{1b}tion          Production key\n\
             Produc\\u{1b}tion          Production key\n\
             69681d39c9e8cfd375386316  Production key\n\
             -                         b\n"
        );
    }

    #[test]
    fn pipe_gets_everything_uncut() {
        let name = "長".repeat(250);
        let fields = [(KeyField::Name, &*name), (KeyField::CreatedAt, "soon")];
        let second = OwnedModelKey::from_fields(fields);
        let text = table(vec![full_key(), second], &columns(), None);
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
            lines[1].ends_with("  ACTIVE  John Doe  10 months ago   never      al-****odu2"),
            "{text}"
        );
        assert!(lines[2].contains(&"長".repeat(250)), "{text}");
        assert!(
            lines[2].ends_with("  -       -         unknown (soon)  never      -"),
            "{text}"
        );
        // A long name does not widen the other rows.
        assert!(lines[1].len() < 160, "{text}");
    }

    #[test]
    fn ages_of_a_column_are_all_whole_or_all_short() {
        let used = |name: &str, at: &str| {
            let fields = [(KeyField::Name, name), (KeyField::LastUsedAt, at)];
            OwnedModelKey::from_fields(fields)
        };
        let keys = vec![
            used("one", "2026-11-22T12:00:00Z"),
            used("another", "2026-01-15T16:47:49Z"),
            key("third"),
        ];
        let columns = [Column::NAME, Column::LAST_USED];
        assert_eq!(
            table(keys.clone(), &columns, Some(22)),
            "NAME     LAST USED\none      5 days ago\nanother  10 months ago\nthird    never\n"
        );
        assert_eq!(
            table(keys, &columns, Some(21)),
            "NAME     LAST USED\none      5 days\nanother  10 months\nthird    never\n"
        );
    }

    #[test]
    fn missing_times_are_never_or_unknown() {
        let columns = [Column::CREATED, Column::LAST_USED, Column::STATUS];
        assert_eq!(
            table(vec![OwnedModelKey::default()], &columns, None),
            "CREATED  LAST USED  STATUS\nunknown  never      -\n"
        );
    }

    #[test]
    fn no_width_is_exceeded() {
        let mut keys = vec![full_key()];
        keys.push(key(&"長い名前".repeat(60)));
        keys.push(key("e\u{301}\u{1b}[31m\u{202e}\n"));
        keys.push(key(&"🔑".repeat(100)));
        for columns in [&columns()[..], &all(), &[Column::NAME]] {
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
            table(keys.clone(), &all(), Some(width));
        }
    }

    #[test]
    fn whole_width_of_a_terminal_is_used() {
        let keys = vec![key(&"n".repeat(250)), full_key()];
        for width in [60, 80, 100, 120, 200] {
            let text = table(keys.clone(), &columns(), Some(width));
            let widest = text.lines().map(text::width).max();
            assert_eq!(widest, Some(width), "{text}");
        }
    }

    #[test]
    fn hostile_names_stay_in_their_cell() {
        let text = table(
            vec![key("a\x1b[2J\nb\u{202e}")],
            &[Column::NAME, Column::STATUS],
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
                Box::new(Table::new(out, columns(), false, Some(terminal)))
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
}
