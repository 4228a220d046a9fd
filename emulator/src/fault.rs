//! Faults on demand, by name: the catalogue, and how what was injected strikes.
//!
//! A fault is a row in one of the tables of `challenges`, `coding`, `echo`, `meaning`, `pages`,
//! `socket` and `tokens`: a name, what it does, an argument perhaps, and a function that changes the honest
//! answer. What no answer can say, such as a connection that is reset, it attaches as a
//! [`Delivery`], which the server obeys and everyone else may ignore.

mod argument;
mod challenges;
mod coding;
mod delivery;
mod echo;
mod meaning;
mod pages;
mod socket;
mod struck;
mod tokens;

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Response;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::Emulator;
use crate::emulator::Incoming;
use crate::route::{Operation, Route};

use argument::Argument;
pub use delivery::{Delivery, Step};
use struck::Struck;

/// Something that goes wrong, or is merely unusual, on demand: see [`Fault::all`] and
/// [`Emulator::inject`].
///
/// As a text it is a name, or a name and an argument: `slow-body`, `slow-body=50ms`.
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

/// On which level, and of which operation, a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Area {
    /// The bytes of a listing's answer. Strikes, as the next three do, what the two listings of
    /// keys answer to a request whose credential is right: the gate in front stays honest, so
    /// that a digest client gets its challenge.
    Socket,
    /// The content coding of a listing's answer.
    Coding,
    /// The status and the headers of a listing's answer.
    Meaning,
    /// What a page of a listing holds.
    Page,
    /// Requests for an access token.
    Token,
    /// The digest challenge of the two listings of keys. Strikes requests without an access token.
    Digest,
}

impl Area {
    /// A few words for a heading.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Socket => "the bytes of a listing's answer",
            Self::Coding => "the content coding of a listing's answer",
            Self::Meaning => "the status and the headers of a listing's answer",
            Self::Page => "what a page of a listing holds",
            Self::Token => "the answer to a request for an access token",
            Self::Digest => "the digest challenge of a listing",
        }
    }

    fn layer(self) -> Layer {
        match self {
            Self::Socket => Layer::Bytes,
            _ => Layer::Meaning,
        }
    }

    fn is_struck_by(self, operation: Operation, request: Incoming<'_>, gate_refused: bool) -> bool {
        let is_listing = matches!(operation, Operation::ListGroupKeys | Operation::ListOrgKeys);
        match self {
            Self::Token => operation == Operation::Token,
            Self::Digest => is_listing && !has_token(request),
            Self::Socket | Self::Coding | Self::Meaning | Self::Page => is_listing && !gate_refused,
        }
    }
}

/// When faults strike: before the answer is compressed for whoever takes that, or after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Meaning,
    Bytes,
}

/// What is known of a fault.
struct Row {
    name: &'static str,
    does: &'static str,
    argument: Argument,
    harmless: bool,
    strike: fn(&mut Struck<'_>),
}

/// A fault that a client need not survive with the right keys, only in good order.
const fn fault(name: &'static str, does: &'static str, strike: fn(&mut Struck<'_>)) -> Row {
    Row {
        name,
        does,
        argument: Argument::None,
        harmless: false,
        strike,
    }
}

/// One that is merely unusual.
const fn harmless(name: &'static str, does: &'static str, strike: fn(&mut Struck<'_>)) -> Row {
    Row {
        harmless: true,
        ..fault(name, does, strike)
    }
}

impl Row {
    const fn with(self, argument: Argument) -> Self {
        Self { argument, ..self }
    }
}

/// All that there is.
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
    /// The catalogue: every fault, with its default argument where it takes one, area by area.
    pub fn all() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().flat_map(|(area, rows)| {
            rows.iter().map(|row| Self {
                area: *area,
                row,
                value: row.argument.default(),
            })
        })
    }

    /// Its name, in lower case and with hyphens.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// What it does, in one line.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.row.does
    }

    /// Its argument, such as `10ms`; `None` where it takes none.
    #[must_use]
    pub fn argument(&self) -> Option<String> {
        self.row.argument.show(self.value)
    }

    /// On which level, and of which operation, it is.
    #[must_use]
    pub fn area(&self) -> Area {
        self.area
    }

    /// Whether a robust client gets all keys all the same, with the default argument at least. What
    /// is not harmless a client may fail from; but in good order, within bounds, and saying why.
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

/// What [`Fault::from_str`] reads.
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
            .ok_or_else(|| InvalidFault(unknown(name)))?;
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

/// A text that names no fault, or gives one an argument that it cannot take. Says which, and what
/// would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFault(String);

impl fmt::Display for InvalidFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidFault {}

/// Whatever was given, an error stays short, and fit to be shown.
fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

fn unknown(name: &str) -> String {
    // Of two slips at most: what is further off is no slip. A name too long to be one of them is
    // not compared at all.
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

/// How many characters have to be put in, taken out or changed (Levenshtein).
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

/// What was injected, in the order in which it strikes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Injected>);

#[derive(Clone, Debug)]
struct Injected {
    fault: Fault,
    /// How many more requests it strikes; `None`: every one.
    left: Option<u32>,
    memory: u64,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault, times: Option<u32>) {
        if times != Some(0) {
            self.0.push(Injected {
                fault,
                left: times,
                memory: 0,
            });
            // From the inside out, whatever the order they came in: an answer is written before it
            // is packed, and packed before it is sent. Stable, so that within an area the order
            // stays.
            self.0
                .sort_by_key(|injected| Reverse(injected.fault.area as u8));
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets all faults of this layer change the answer, one after the other.
    pub(crate) fn strike(
        &mut self,
        layer: Layer,
        emulator: &mut Emulator,
        request: Incoming<'_>,
        now: Duration,
        response: &mut Response<Vec<u8>>,
    ) {
        let Some(operation) = Route::of(request.uri.path()).map(Route::operation) else {
            return;
        };
        // The gate's 401 is the one with a challenge: see `Failure::unauthenticated`.
        let gate_refused = response.headers().contains_key(WWW_AUTHENTICATE);
        for injected in &mut self.0 {
            let Fault { area, row, value } = injected.fault;
            if area.layer() != layer || !area.is_struck_by(operation, request, gate_refused) {
                continue;
            }
            (row.strike)(&mut Struck {
                value,
                memory: &mut injected.memory,
                emulator: &mut *emulator,
                request,
                now,
                response: &mut *response,
            });
            if let Some(left) = &mut injected.left {
                *left -= 1;
            }
        }
        self.0.retain(|injected| injected.left != Some(0));
    }
}

/// Whether the request brings an access token, and so has no business with digest.
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
            assert!(names.insert(name), "{name} is there twice");
            let is_kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.bytes().all(is_kebab), "{name}");
            let does = fault.description();
            assert!(
                (10..=100).contains(&does.len()) && !does.contains('\n') && !does.ends_with('.'),
                "{name}: {does}"
            );
        }
    }

    #[test]
    fn texts_are_read_as_they_are_written() {
        for fault in Fault::all() {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(fault.name().parse(), Ok(fault));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
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
    fn distances_are_levenshtein_s() {
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
