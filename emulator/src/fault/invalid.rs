//! The error about an invalid fault.

use std::fmt;

use crate::quoted::quoted;

use super::row::Fault;

/// The text names no fault, or the argument or the number of requests is not valid.
///
/// The message contains the invalid value and what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFault(pub(super) String);

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidFault {}

impl InvalidFault {
    pub(super) fn unknown(name: &str) -> Self {
        // At most two typing mistakes: a text with more is probably not a misspelt name. A text that is
        // longer than every name is not compared at all.
        let nearest = Fault::all()
            .filter(|_| name.len() < 60)
            .map(|fault| (distance(name, fault.name()), fault.name()))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= 2);
        let shown = quoted(name);
        Self(match nearest {
            Some((_, nearest)) => {
                format!("there is no fault {shown}; did you mean \"{nearest}\"?")
            }
            None => format!("there is no fault {shown}"),
        })
    }
}

/// Returns how many characters must be inserted, removed or changed (Levenshtein distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let Some((first, rest)) = row.split_first_mut() else {
            return 0;
        };
        *first = left;
        for (cell, b) in rest.iter_mut().zip(other.chars()) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = changed.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein_distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("gzip", "gizp", 2),
            ("名", "名前", 1),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
