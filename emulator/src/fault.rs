//! Faults on demand: the catalogue of all faults, and the injected faults that change responses.
//!
//! A fault is a row in one of the tables of `challenges`, `coding`, `echo`, `meaning`, `pages`,
//! `socket` and `tokens`. A row has a name, a description, sometimes an argument, and a function
//! that changes the regular response, which is the one that the emulator gives without faults. A
//! response cannot express some faults, such as a reset of the connection. Such a fault attaches a
//! [`Delivery`] to the response; the server follows it, and other callers may ignore it.

mod argument;
mod challenges;
mod coding;
mod context;
mod delivery;
mod echo;
mod meaning;
mod pages;
mod row;
mod socket;
mod tokens;

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::atlas::Atlas;
use crate::incoming::Incoming;
use crate::quoted::quoted;
use crate::route::{MatchedRoute, Route};

use context::FaultContext;
use row::Row;

pub use delivery::{Delivery, DeliveryStep};

/// A fault, or merely unusual behaviour, that can be switched on by name.
///
/// [`Fault::all`] lists all faults, and [`Emulator::inject`](crate::Emulator::inject) switches one
/// on. The text form is a name, or a name and an argument: `slow-body`, `slow-body=50ms`.
///
/// ```
/// use atlas_model_keys_emulator::{Area, Fault};
/// let fault: Fault = "slow-body=50ms".parse()?;
/// assert_eq!(fault.name(), "slow-body");
/// assert_eq!(fault.area(), Area::Socket);
/// assert!(fault.is_harmless());
/// assert_eq!("slow-body".parse::<Fault>()?.to_string(), "slow-body=10ms");
///
/// let error = "slow-boy".parse::<Fault>().unwrap_err();
/// assert_eq!(error.to_string(), r#"there is no fault "slow-boy"; did you mean "slow-body"?"#);
/// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
/// ```
#[derive(Clone, Copy)]
pub struct Fault {
    area: Area,
    row: &'static Row,
    value: u64,
}

/// The route whose response a fault changes, and the part of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Area {
    /// The bytes of a listing's response.
    ///
    /// Faults of this area, of `Coding` and of `Meaning` apply to the two listings of keys and to the
    /// list of groups, and only if the credential of the request is right. A refused credential gets
    /// the regular 401, so that a digest client gets its challenge.
    Socket,
    /// The content coding of a listing's response.
    Coding,
    /// The status and the headers of a listing's response.
    Meaning,
    /// The content of a page of keys. These faults apply to the two listings of keys, and only if the
    /// credential of the request is right.
    Page,
    /// The response to a request for an access token.
    Token,
    /// The digest challenge of the two listings of keys and of the list of groups. These faults apply
    /// to requests without an access token.
    Digest,
}

impl Area {
    /// Returns a few words that describe the area, for a heading.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Socket => "the bytes of a listing's response",
            Self::Coding => "the content coding of a listing's response",
            Self::Meaning => "the status and the headers of a listing's response",
            Self::Page => "the content of a page of a listing",
            Self::Token => "the response to a request for an access token",
            Self::Digest => "the digest challenge of a listing",
        }
    }

    fn phase(self) -> Phase {
        match self {
            Self::Socket => Phase::AfterCompression,
            _ => Phase::BeforeCompression,
        }
    }

    fn applies_to(self, route: Route, request: Incoming<'_>, challenged: bool) -> bool {
        let lists_keys = matches!(route, Route::ListGroupKeys | Route::ListOrgKeys);
        let is_listing = lists_keys || route == Route::ListGroups;
        match self {
            Self::Token => route == Route::Token,
            Self::Digest => is_listing && !has_token(request),
            Self::Page => lists_keys && !challenged,
            Self::Socket | Self::Coding | Self::Meaning => is_listing && !challenged,
        }
    }
}

/// The time at which a fault is applied: before or after the response is compressed for clients that
/// accept gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    BeforeCompression,
    AfterCompression,
}

/// All faults.
static CATALOGUE: [(Area, &[Row]); 8] = [
    (Area::Socket, socket::ROWS),
    (Area::Coding, coding::ROWS),
    (Area::Meaning, meaning::ROWS),
    (Area::Meaning, echo::ROWS),
    (Area::Page, pages::ROWS),
    (Area::Token, tokens::ROWS),
    (Area::Token, echo::TOKEN_ROWS),
    (Area::Digest, challenges::ROWS),
];

impl Fault {
    /// Returns every fault, area by area, with its default argument if it takes one.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().flat_map(|(area, rows)| {
            rows.iter().map(|row| Self {
                area: *area,
                row,
                value: row.argument.default_value(),
            })
        })
    }

    /// Returns the name, in lower case and with hyphens.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Returns a description in one line.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.row.description
    }

    /// Returns the argument, such as `10ms`, or `None` if the fault takes none.
    #[must_use]
    pub fn argument(&self) -> Option<String> {
        self.row.argument.show(self.value)
    }

    /// Returns the route whose response the fault changes, and the part of the response.
    #[must_use]
    pub fn area(&self) -> Area {
        self.area
    }

    /// Returns whether a robust client still gets all keys, at least with the default argument.
    ///
    /// A client may fail because of any other fault. It must then report the reason, stay within its
    /// limits and remain usable.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        self.row.harmless
    }
}

impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (self.name(), self.value) == (other.name(), other.value)
    }
}

impl Eq for Fault {}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({self})")
    }
}

/// Writes the text that [`Fault::from_str`] reads.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.argument() {
            Some(argument) => f.pad(&format!("{}={argument}", self.name())),
            None => f.pad(self.name()),
        }
    }
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (name, argument) = match text.split_once('=') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let fault = Self::all()
            .find(|fault| fault.name() == name)
            .ok_or_else(|| InvalidFault(unknown_fault(name)))?;
        let Some(argument) = argument else {
            return Ok(fault);
        };
        match fault.row.argument.parse(argument) {
            Ok(value) => Ok(Self { value, ..fault }),
            Err(rule) => Err(InvalidFault(format!(
                "the fault \"{name}\" takes {rule}, not {}",
                quoted(argument)
            ))),
        }
    }
}

/// The text names no fault, or its argument is not valid for the fault.
///
/// The message contains the text and what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFault(String);

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidFault {}

fn unknown_fault(name: &str) -> String {
    // At most two typing mistakes: a text with more is probably not a misspelt name. A text that is
    // longer than every name is not compared at all.
    let nearest = Fault::all()
        .filter(|_| name.len() < 60)
        .map(|fault| (distance(name, fault.name()), fault.name()))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2);
    let shown = quoted(name);
    match nearest {
        Some((_, nearest)) => {
            format!("there is no fault {shown}; did you mean \"{nearest}\"?")
        }
        None => format!("there is no fault {shown}"),
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

/// The injected faults, in the order in which they are applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Injected>);

#[derive(Clone, Debug)]
struct Injected {
    fault: Fault,
    /// The number of requests that the fault still applies to, or `None` for all.
    remaining: Option<u32>,
    memory: u64,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault, times: Option<u32>) {
        if times != Some(0) {
            self.0.push(Injected {
                fault,
                remaining: times,
                memory: 0,
            });
            // Faults are applied in the order in which a server builds a response, not in the order of
            // injection: first the page, then compression, then the bytes. The sort is stable, so faults
            // of one area stay in the order of injection.
            self.0
                .sort_by_key(|injected| Reverse(injected.fault.area as u8));
        }
    }

    /// Returns the faults, and the numbers of requests that they still apply to.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fault, Option<u32>)> {
        self.0
            .iter()
            .map(|injected| (injected.fault, injected.remaining))
    }

    /// Applies all faults of this phase to the response, one after the other.
    pub(crate) fn apply(
        &mut self,
        phase: Phase,
        atlas: &mut Atlas,
        request: Incoming<'_>,
        now: Duration,
        response: &mut Response<Vec<u8>>,
        applied: &mut Vec<&'static str>,
    ) {
        if self.0.is_empty() {
            return;
        }
        let Some(route) = MatchedRoute::from_path(request.uri.path()).map(MatchedRoute::route)
        else {
            return;
        };
        // Only the 401 for a refused credential has a challenge: see `AtlasError::unauthenticated`.
        let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
        for injected in &mut self.0 {
            let Fault { area, row, value } = injected.fault;
            if area.phase() != phase || !area.applies_to(route, request, challenged) {
                continue;
            }
            (row.apply)(&mut FaultContext {
                value,
                memory: &mut injected.memory,
                atlas: &mut *atlas,
                request,
                now,
                response: &mut *response,
            });
            applied.push(row.name);
            if let Some(remaining) = &mut injected.remaining {
                *remaining -= 1;
            }
        }
        self.0.retain(|injected| injected.remaining != Some(0));
    }
}

/// Returns whether the request has an access token; then digest does not apply to it.
fn has_token(request: Incoming<'_>) -> bool {
    request
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().get(..7))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer "))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_fault_is_described() {
        let mut names = HashSet::new();
        for fault in Fault::all() {
            let name = fault.name();
            assert!(names.insert(name), "{name} is defined twice");
            let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.bytes().all(is_kebab), "{name}");
            let description = fault.description();
            assert!(
                (10..=100).contains(&description.len())
                    && !description.contains('\n')
                    && !description.ends_with('.'),
                "{name}: {description}"
            );
        }
    }

    #[test]
    fn every_fault_survives_a_round_trip_through_its_text() {
        for fault in Fault::all() {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(fault.name().parse(), Ok(fault));
        }
    }

    #[test]
    fn error_names_the_text_and_a_valid_one() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(
            error("rest-in-body"),
            "there is no fault \"rest-in-body\"; did you mean \"reset-in-body\"?"
        );
        assert_eq!(error("\u{1b}"), "there is no fault \"\\u{1b}\"");
        assert_eq!(error(""), "there is no fault \"\"");
        assert_eq!(
            error("garbage=1"),
            "the fault \"garbage\" takes no argument, not \"1\""
        );
        assert!(error("slow-body=1h").contains("from 0ms to 1m"));
        assert!(error("error-html=200").contains("from 400 to 599"));
        assert!(error(&"long".repeat(1000)).len() < 120);
    }

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
