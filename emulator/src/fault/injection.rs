//! Faults that are switched on, for all requests or for the next ones.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use http::{Response, StatusCode};

use crate::atlas::Atlas;
use crate::incoming::Incoming;
use crate::number::parse_digits;
use crate::quoted::quoted;
use crate::route::MatchedRoute;

use super::area::Phase;
use super::context::FaultContext;
use super::delivery::Delivery;
use super::invalid::InvalidFault;
use super::row::Fault;

/// A fault and the number of requests that it applies to.
///
/// Only requests whose response the fault changes are counted. So `page-empty=2*1` waits for a request for the second
/// page, and is not used up by an error.
///
/// [`Fault::times`] returns one, and a [`Fault`] alone becomes one for every request. The text form is
/// that of the fault, and for a number of requests `*` and the number, from 1 on: `slow-body`,
/// `slow-body=50ms`, `reset-in-body*2`, `slow-body=50ms*3`.
///
/// ```
/// use atlas_model_keys_emulator::{Fault, Injection};
/// let injection: Injection = "error-json=503*2".parse()?;
/// assert_eq!(injection.fault().name(), "error-json");
/// assert_eq!(injection.times(), Some(2));
/// assert_eq!(Injection::from(Fault::GZIP).times(), None);
///
/// let error = "gzip*0".parse::<Injection>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"the fault "gzip" applies to a number of requests from 1 to 4294967295, not "0""#
/// );
/// # Ok::<(), atlas_model_keys_emulator::InvalidFault>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    fault: Fault,
    times: Option<u32>,
}

impl Injection {
    pub(super) fn new(fault: Fault, times: Option<u32>) -> Self {
        Self { fault, times }
    }

    /// Returns the fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Returns the number of requests that the fault applies to, or `None` for every request.
    ///
    /// [`Emulator::faults`](crate::Emulator::faults) returns injections with the number that remains.
    #[must_use]
    pub fn times(&self) -> Option<u32> {
        self.times
    }
}

/// Applies the fault to every request.
impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self::new(fault, None)
    }
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Injection({self})")
    }
}

/// Writes the text that [`Injection::from_str`] reads.
impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            Some(times) => f.pad(&format!("{}*{times}", self.fault)),
            None => self.fault.fmt(f),
        }
    }
}

impl FromStr for Injection {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let Some((fault, times)) = text.rsplit_once('*') else {
            return text.parse().map(|fault: Fault| fault.into());
        };
        let fault: Fault = fault.parse()?;
        match parse_digits(times) {
            Some(times @ 1..) => Ok(fault.times(times)),
            _ => Err(InvalidFault(format!(
                "the fault \"{}\" applies to a number of requests from 1 to {}, not {}",
                fault.name(),
                u32::MAX,
                quoted(times)
            ))),
        }
    }
}

/// The faults that are switched on, in the order in which they are applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Injected>);

#[derive(Clone, Debug)]
struct Injected {
    /// The fault, and the number of requests that remains.
    injection: Injection,
    memory: u64,
}

impl Faults {
    pub(crate) fn inject(&mut self, injection: Injection) {
        if injection.times != Some(0) {
            self.0.push(Injected {
                injection,
                memory: 0,
            });
            // Faults are applied in the order in which a server builds a response, not in the order of
            // injection: first the page, then compression, then the bytes. The sort is stable, so faults
            // of one area stay in the order of injection.
            self.0
                .sort_by_key(|injected| Reverse(injected.injection.fault.area() as u8));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Injection> {
        self.0.iter().map(|injected| injected.injection)
    }

    /// Applies all faults of this phase to the response, one after the other. Those that changed nothing are neither
    /// counted nor added to `applied`.
    pub(crate) fn apply(
        &mut self,
        phase: Phase,
        atlas: &mut Atlas,
        request: Incoming<'_>,
        now: Duration,
        response: &mut Response<Vec<u8>>,
        applied: &mut Vec<Fault>,
    ) {
        if self.0.is_empty() {
            return;
        }
        let Some(route) = MatchedRoute::from_path(request.path).map(MatchedRoute::route) else {
            return;
        };
        // Only the 401 for a refused credential has a challenge: see `AtlasError::unauthenticated`.
        let challenged = response.headers().contains_key(WWW_AUTHENTICATE);
        for injected in &mut self.0 {
            let Fault { row, value } = injected.injection.fault;
            if row.area.phase() != phase || !row.area.applies_to(route, request, challenged) {
                continue;
            }
            let before = response.clone();
            let mut cx = FaultContext {
                value,
                memory: &mut injected.memory,
                atlas: &mut *atlas,
                request,
                now,
                response: &mut *response,
                has_effect: false,
            };
            (row.apply)(&mut cx);
            if !cx.has_effect && parts(response) == parts(&before) {
                continue;
            }
            applied.push(injected.injection.fault);
            if let Some(remaining) = &mut injected.injection.times {
                *remaining -= 1;
            }
        }
        self.0
            .retain(|injected| injected.injection.times != Some(0));
    }
}

/// Returns what a fault can change in a response.
fn parts(response: &Response<Vec<u8>>) -> (StatusCode, &HeaderMap, &[u8], Option<&Delivery>) {
    (
        response.status(),
        response.headers(),
        response.body(),
        response.extensions().get(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_injection_survives_a_round_trip_through_its_text() {
        for fault in Fault::all() {
            for injection in [fault.into(), fault.times(1), fault.times(u32::MAX)] {
                assert_eq!(injection.to_string().parse(), Ok(injection));
            }
        }
    }

    #[test]
    fn error_names_the_part_that_is_invalid() {
        let error = |text: &str| text.parse::<Injection>().unwrap_err().to_string();
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "two",
            " 2",
            "4294967296",
            "99999999999999999999",
        ] {
            assert_eq!(
                error(&format!("slow-body=50ms*{wrong}")),
                format!(
                    "the fault \"slow-body\" applies to a number of requests from 1 to 4294967295, \
                     not \"{wrong}\""
                )
            );
        }
        assert_eq!(
            error("rest-in-body*2"),
            "there is no fault \"rest-in-body\"; did you mean \"reset-in-body\"?"
        );
        assert_eq!(
            error("garbage=1*2"),
            "the fault \"garbage\" takes no argument, not \"1\""
        );
        assert_eq!(error("*2"), "there is no fault \"\"");
        assert!(error("slow-body*2=50ms").contains("not \"2=50ms\""));
        assert!(error(&format!("gzip*{}", "9".repeat(1000))).len() < 160);
    }
}
