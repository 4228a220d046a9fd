//! The columns of a table or CSV: their names, headings and other spellings, and which ones are shown.

use std::fmt::Write as _;
use std::str::FromStr;

use atlas_model_keys_core::KeyField;

use crate::args::{Format, ListArgs};
use crate::failure::CommandError;
use crate::sources::Sources;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Field(KeyField),
    /// The name of the project, which is no field of a key.
    GroupName,
    /// The line of the input whose key this may be. Only `find` has it, so it cannot be chosen.
    Line,
}

impl Column {
    pub(crate) const ID: Self = Self::Field(KeyField::ApiKeyId);
    pub(crate) const NAME: Self = Self::Field(KeyField::Name);
    pub(crate) const STATUS: Self = Self::Field(KeyField::Status);
    pub(crate) const CREATOR: Self = Self::Field(KeyField::CreatedBy);
    pub(crate) const CREATED: Self = Self::Field(KeyField::CreatedAt);
    pub(crate) const LAST_USED: Self = Self::Field(KeyField::LastUsedAt);
    pub(crate) const MASKED: Self = Self::Field(KeyField::MaskedSecret);

    /// Returns all columns that can be chosen, in the alphabetical order of their names.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        KeyField::ALL.iter().flat_map(|field| {
            let follower = (*field == KeyField::GroupId).then_some(Self::GroupName);
            std::iter::once(Self::Field(*field)).chain(follower)
        })
    }

    /// Returns the name in a CSV, which is Atlas's name of the field.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name(),
            Self::GroupName => "groupName",
            Self::Line => "line",
        }
    }

    /// Returns the heading in a table.
    pub(crate) fn heading(self) -> &'static str {
        self.spellings().0
    }

    /// Returns the heading, and further spellings.
    fn spellings(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::GroupName => ("PROJECT", &["project name"]),
            Self::Line => ("LINE", &[]),
            Self::Field(field) => match field {
                KeyField::ApiKeyId => ("ID", &["key id"]),
                KeyField::Cloud => ("CLOUD", &[]),
                KeyField::CreatedAt => ("CREATED", &[]),
                KeyField::CreatedBy => ("CREATOR", &[]),
                KeyField::Endpoint => ("ENDPOINT", &[]),
                KeyField::Geography => ("GEOGRAPHY", &[]),
                KeyField::GroupId => ("GROUP ID", &["project id"]),
                KeyField::LastUsedAt => ("LAST USED", &[]),
                KeyField::MaskedSecret => ("MASKED", &[]),
                KeyField::Name => ("NAME", &[]),
                KeyField::Secret => ("SECRET", &[]),
                KeyField::Status => ("STATUS", &[]),
                other => (other.name(), &[]),
            },
        }
    }

    /// Returns every spelling that selects the column, reduced.
    fn selectors(self) -> impl Iterator<Item = String> {
        let (heading, others) = self.spellings();
        let all = [self.name(), heading]
            .into_iter()
            .chain(others.iter().copied());
        all.map(reduced)
    }

    /// Returns the text of `--help`, with all columns.
    pub(crate) fn help() -> String {
        let mut help = "Which columns, in this order (for table and csv). Letter case, spaces, - and _ do not \
                        matter. The columns, their headings in a table, and other names:"
            .to_owned();
        for column in Self::all() {
            let (heading, others) = column.spellings();
            // Writing to a `String` cannot fail.
            let _ = write!(
                help,
                "\n  {:<13} {heading:<10} {}",
                column.name(),
                others.join(", ")
            );
            help.truncate(help.trim_end().len());
        }
        help
    }
}

/// Removes what does not matter in the name of a column.
fn reduced(text: &str) -> String {
    let matters = |c: &char| !matches!(c, ' ' | '-' | '_');
    text.to_lowercase().chars().filter(matters).collect()
}

/// The text form is the name, the heading or another spelling.
impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wanted = reduced(text);
        let selectors =
            || Self::all().flat_map(|column| column.selectors().map(move |s| (column, s)));
        if let Some((column, _)) = selectors().find(|(_, selector)| *selector == wanted) {
            return Ok(column);
        }
        let names: Vec<_> = Self::all().map(Self::name).collect();
        let nearest = selectors()
            .map(|(column, selector)| (distance(&selector, &wanted), column))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= 3 && *distance < wanted.len())
            .map_or_else(String::new, |(_, column)| {
                format!("; did you mean {}?", column.name())
            });
        Err(format!(
            "there is no such column; the columns are {}{nearest}",
            names.join(", ")
        ))
    }
}

/// Returns the number of characters to insert, remove or replace (Levenshtein's distance). Only the first characters
/// of a long text count.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(32).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, from) in from.chars().enumerate() {
        let mut left = above + 1;
        let mut next = vec![left];
        for (pair, to) in row.windows(2).zip(&to) {
            let [diagonal, up] = pair else { continue };
            left = (diagonal + usize::from(from != *to))
                .min(up + 1)
                .min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// What is known about the sources before the first key arrives.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    /// Whether the keys may belong to several projects.
    pub(crate) has_projects: bool,
    /// Whether the names of the projects are known.
    pub(crate) has_names: bool,
}

impl Scope {
    /// Returns what is known about these sources. Names may be known for all but a single project.
    pub(crate) fn new(sources: &Sources) -> Self {
        let has_projects = match sources {
            Sources::Groups(groups) => groups.len() > 1,
            Sources::Organization(_) | Sources::AllProjects => true,
        };
        Self {
            has_projects,
            has_names: has_projects,
        }
    }
}

/// Returns the columns of a table or CSV: the chosen ones, or those that suit the scope.
pub(crate) fn columns(args: &ListArgs, scope: Scope) -> Result<Vec<Column>, CommandError> {
    if args.bom && args.output != Format::Csv {
        return Err(CommandError::usage("--bom goes with -o csv only"));
    }
    let secret = Column::Field(KeyField::Secret);
    let Some(columns) = &args.columns else {
        return Ok(match args.output {
            Format::Csv => Column::all()
                .filter(|column| args.show_secrets || *column != secret)
                .filter(|column| scope.has_names || *column != Column::GroupName)
                .collect(),
            _ => table(scope.has_projects, args.show_secrets),
        });
    };
    if !matches!(args.output, Format::Table | Format::Csv) {
        return Err(
            CommandError::usage("--columns goes with the formats table and csv only")
                .hint("for JSON, choose with jq: list -o ndjson | jq -ac '{name, lastUsedAt}'"),
        );
    }
    if columns.contains(&secret) && !args.show_secrets {
        return Err(CommandError::usage(
            "the column secret is shown only with --show-secrets",
        ));
    }
    Ok(columns.clone())
}

/// Returns the columns of a table if none are chosen.
pub(super) fn table(has_projects: bool, show_secrets: bool) -> Vec<Column> {
    let project = has_projects.then_some(Column::GroupName);
    let secret = show_secrets.then_some(Column::Field(KeyField::Secret));
    [Column::ID]
        .into_iter()
        .chain(project)
        .chain([
            Column::NAME,
            Column::STATUS,
            Column::CREATOR,
            Column::CREATED,
            Column::LAST_USED,
            Column::MASKED,
        ])
        .chain(secret)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_and_headings_select_a_column_in_any_spelling() {
        for column in Column::all() {
            for spelling in [
                column.name().to_uppercase(),
                column.heading().to_lowercase(),
            ] {
                assert_eq!(spelling.parse(), Ok(column));
            }
        }
        for (spelling, column) in [
            ("last used", Column::LAST_USED),
            ("LASTUSED", Column::LAST_USED),
            ("last-used", Column::LAST_USED),
            ("last_used_at", Column::LAST_USED),
            (" id ", Column::ID),
            ("creator", Column::CREATOR),
            ("Created-By", Column::CREATOR),
            ("masked", Column::MASKED),
            ("project", Column::GroupName),
            ("group name", Column::GroupName),
            ("projectId", Column::Field(KeyField::GroupId)),
        ] {
            assert_eq!(spelling.parse(), Ok(column), "{spelling}");
        }
    }

    #[test]
    fn no_spelling_selects_two_columns() {
        let mut seen = BTreeMap::new();
        for column in Column::all() {
            for selector in column.selectors() {
                let other = seen.insert(selector.clone(), column);
                assert!(other.is_none_or(|other| other == column), "{selector}");
            }
        }
    }

    #[test]
    fn error_of_an_unknown_column_has_all_columns_and_the_nearest() {
        let error = "identity".parse::<Column>().unwrap_err();
        // Clap puts the value before it.
        let begin = "there is no such column; the columns are apiKeyId, cloud, ";
        assert!(error.starts_with(begin), "{error}");
        for (wrong, nearest) in [
            ("lastuse", "lastUsedAt"),
            ("crated", "createdAt"),
            ("proyect", "groupName"),
            ("state", "status"),
        ] {
            let error = wrong.parse::<Column>().unwrap_err();
            assert!(
                error.ends_with(&format!("; did you mean {nearest}?")),
                "{error}"
            );
        }
        for wrong in ["", "frobnicate", "x", &"x".repeat(100_000)] {
            let error = wrong.parse::<Column>().unwrap_err();
            assert!(error.ends_with(", status"), "{error}");
        }
    }

    #[test]
    fn every_column_has_its_own_heading() {
        for column in Column::all() {
            let heading = column.heading();
            assert!(heading != column.name() && heading == heading.to_uppercase());
        }
    }

    #[test]
    fn columns_are_sorted_by_name() {
        assert!(Column::all().is_sorted_by_key(Column::name));
        assert_eq!(Column::all().count(), KeyField::ALL.len() + 1);
    }

    #[test]
    fn help_has_every_column_and_heading() {
        let help = Column::help();
        for column in Column::all() {
            let line = help
                .lines()
                .find(|line| line.trim().starts_with(column.name()));
            assert!(line.unwrap().contains(column.heading()), "{help}");
        }
    }

    #[test]
    fn distance_is_the_number_of_edits() {
        for (from, to, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("name", "naem", 2),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }
}
