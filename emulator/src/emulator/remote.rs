//! The control interface: HTTP requests below `/_emulator/`, for tests in any language.
//!
//! Its requests are not requests to Atlas: they need no credential, are not counted, and neither faults nor
//! rate limits affect them. A web page must not use it, so requests of browsers from elsewhere are refused.

use std::time::Duration;

use atlas_model_keys_core::UnixTime;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::calendar;
use crate::environment::{EnvironmentFormat, InvalidFormat};
use crate::fault::Injection;
use crate::incoming::Incoming;
use crate::listing;
use crate::query;
use crate::quoted::quoted;
use crate::route::Route;
use crate::seen::Seen;

use super::Emulator;

/// The beginning of all paths of the control interface.
const PREFIX: &str = "/_emulator/";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The maximum number of faults in a request.
const MAX_FAULTS: usize = 1000;

/// The latest time that can be set: the end of the year 9999, because RFC 3339 has no later one.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A resource of the control interface.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resource {
    Requests,
    Reset,
    Faults,
    Time,
    Environment,
}

impl Resource {
    const ALL: [Self; 5] = [
        Self::Requests,
        Self::Reset,
        Self::Faults,
        Self::Time,
        Self::Environment,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Reset => "reset",
            Self::Faults => "faults",
            Self::Time => "time",
            Self::Environment => "environment",
        }
    }

    /// Returns the allowed methods in the format of the header `Allow`.
    fn allowed(self) -> &'static str {
        match self {
            Self::Requests => "GET, HEAD, DELETE",
            Self::Reset => "POST",
            Self::Faults => "GET, HEAD, PUT, DELETE",
            Self::Time => "GET, HEAD, PUT",
            Self::Environment => "GET, HEAD",
        }
    }
}

/// A refused control request.
struct Refusal {
    status: StatusCode,
    why: String,
    allow: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
            allow: None,
        }
    }

    fn bad_request(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    fn into_response(self) -> Response<Vec<u8>> {
        let mut response = document(self.status, &json!({ "error": self.why }));
        if let Some(allow) = self.allow {
            let headers = response.headers_mut();
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The requests that were seen.
#[derive(Serialize)]
struct Requests<'a> {
    /// The number of older requests that are no longer kept.
    dropped: u64,
    requests: Vec<&'a Seen>,
}

/// A change of the time. Exactly one field is set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeChange {
    now: Option<String>,
    advance: Option<String>,
}

impl Emulator {
    /// Returns whether the request is for the control interface.
    pub(crate) fn is_control(&self, path: &str) -> bool {
        self.atlas.config.control && path.starts_with(PREFIX)
    }

    /// Handles a request for the control interface. `now` is the time of the caller.
    pub(super) fn control(&mut self, request: Incoming<'_>, now: Duration) -> Response<Vec<u8>> {
        self.try_control(request, now)
            .unwrap_or_else(Refusal::into_response)
    }

    fn try_control(
        &mut self,
        request: Incoming<'_>,
        now: Duration,
    ) -> Result<Response<Vec<u8>>, Refusal> {
        refuse_web_pages(request)?;
        let name = request.path.strip_prefix(PREFIX).unwrap_or_default();
        let resource = Resource::ALL
            .into_iter()
            .find(|resource| resource.name() == name)
            .ok_or_else(|| {
                let names = Resource::ALL.map(|resource| format!("{PREFIX}{}", resource.name()));
                let names = names.join(", ");
                let why = format!("{} is none of {names}", quoted(request.path));
                Refusal::new(StatusCode::NOT_FOUND, why)
            })?;
        let method = match *request.method {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        match (resource, method.as_str()) {
            (Resource::Requests, "GET") => self.control_requests(request),
            (Resource::Requests, "DELETE") => {
                self.forget_seen();
                Ok(no_content())
            }
            (Resource::Reset, "POST") => {
                self.reset();
                Ok(no_content())
            }
            (Resource::Faults, "GET") => Ok(self.control_faults()),
            (Resource::Faults, "PUT") => self.replace_faults(request.body),
            (Resource::Faults, "DELETE") => {
                self.heal();
                Ok(no_content())
            }
            (Resource::Time, "GET") => Ok(self.control_time(now)),
            (Resource::Time, "PUT") => self.change_time(request.body, now),
            (Resource::Environment, "GET") => self.control_environment(request),
            _ => {
                let allowed = resource.allowed();
                let why = format!("{PREFIX}{} allows {allowed}", resource.name());
                Err(Refusal {
                    allow: Some(allowed),
                    ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, why)
                })
            }
        }
    }

    fn control_requests(&self, request: Incoming<'_>) -> Result<Response<Vec<u8>>, Refusal> {
        let mut route = None;
        let mut since = 0;
        for (name, value) in query::pairs(request.uri.query().unwrap_or_default()) {
            match name.as_str() {
                "route" => {
                    let mut routes = Route::ALL.into_iter();
                    let found = routes.find(|route| route.as_str() == value);
                    route = Some(found.ok_or_else(|| {
                        let names = Route::ALL.map(Route::as_str).join(", ");
                        let why = format!("route is one of {names}, not {}", quoted(&value));
                        Refusal::bad_request(why)
                    })?);
                }
                "since" => {
                    since = value.parse().map_err(|_| {
                        let value = quoted(&value);
                        let why = format!("since is the order of a request, not {value}");
                        Refusal::bad_request(why)
                    })?;
                }
                _ => {
                    let why = format!("the filters are route and since, not {}", quoted(&name));
                    return Err(Refusal::bad_request(why));
                }
            }
        }
        let is_wanted =
            |seen: &&Seen| seen.order > since && (route.is_none() || seen.route == route);
        let requests = Requests {
            dropped: self.seen_dropped(),
            requests: self.seen().iter().filter(is_wanted).collect(),
        };
        Ok(document(StatusCode::OK, &requests))
    }

    /// Returns to the state before the first request.
    fn reset(&mut self) {
        if let Some(start) = self.start.take() {
            *self = Self::clone(&start);
            self.start = Some(start);
        }
    }

    fn control_faults(&self) -> Response<Vec<u8>> {
        let texts: Vec<String> = self.faults().map(|fault| fault.to_string()).collect();
        document(StatusCode::OK, &texts)
    }

    fn replace_faults(&mut self, body: &[u8]) -> Result<Response<Vec<u8>>, Refusal> {
        const FORM: &str = "the body is a JSON array of faults, such as [\"slow-body=50ms*2\"]";
        let texts: Vec<String> = parse(body, FORM)?;
        if texts.len() > MAX_FAULTS {
            let why = format!(
                "at most {MAX_FAULTS} faults are possible, not {}",
                texts.len()
            );
            return Err(Refusal::bad_request(why));
        }
        // All are parsed first, so that an error changes nothing.
        let faults: Result<Vec<Injection>, _> = texts.iter().map(|text| text.parse()).collect();
        let faults = faults.map_err(|error| Refusal::bad_request(error.to_string()))?;
        self.heal();
        for fault in faults {
            self.inject(fault);
        }
        Ok(self.control_faults())
    }

    fn control_time(&self, now: Duration) -> Response<Vec<u8>> {
        let time = calendar::utc(self.time(now));
        document(StatusCode::OK, &json!({ "now": time }))
    }

    fn change_time(&mut self, body: &[u8], now: Duration) -> Result<Response<Vec<u8>>, Refusal> {
        const FORM: &str = r#"the body is {"now":"2026-11-27T12:00:00Z"} or {"advance":"1h"}, with one of the two"#;
        let time = match parse(body, FORM)? {
            TimeChange {
                now: Some(time),
                advance: None,
            } => time
                .parse::<UnixTime>()
                .ok()
                .and_then(UnixTime::to_duration)
                .ok_or_else(|| {
                    let time = quoted(&time);
                    let why = format!("now is a time such as 2026-11-27T12:00:00Z, not {time}");
                    Refusal::bad_request(why)
                })?,
            TimeChange {
                now: None,
                advance: Some(by),
            } => {
                let by = parse_duration(&by).ok_or_else(|| {
                    let by = quoted(&by);
                    let why = format!(
                        "advance is a number with ms, s, m, h or d, such as 90s or 1h, not {by}"
                    );
                    Refusal::bad_request(why)
                })?;
                self.time(now).saturating_add(by)
            }
            _ => return Err(Refusal::bad_request(FORM)),
        };
        if time > LATEST {
            return Err(Refusal::bad_request("the year 9999 is the last one"));
        }
        self.set_time(time, now);
        Ok(self.control_time(now))
    }

    fn control_environment(&self, request: Incoming<'_>) -> Result<Response<Vec<u8>>, Refusal> {
        let host = request.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()?.parse().ok());
        let is_valid = |host: &Authority| !host.as_str().contains('@');
        if !request
            .uri
            .authority()
            .or(host.as_ref())
            .is_some_and(is_valid)
        {
            let why = "the header Host, from which the base URL is taken, is missing or not valid";
            return Err(Refusal::bad_request(why));
        }
        let base = listing::base_of(request.uri, request.headers);
        let environment = self.environment(&base);
        let asked = request
            .uri
            .query()
            .and_then(|query| query::value(query, "format"));
        let accepts = |media_type: &str| {
            let accept = request.headers.get(header::ACCEPT);
            accept.is_some_and(|accept| accept.as_bytes().starts_with(media_type.as_bytes()))
        };
        let format = match asked {
            None if accepts("text/plain") => EnvironmentFormat::Dotenv,
            None => EnvironmentFormat::Json,
            Some(name) => name
                .parse()
                .map_err(|error: InvalidFormat| Refusal::bad_request(error.to_string()))?,
        };
        let media_type = match format {
            EnvironmentFormat::Json => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        let text = environment.to_text(format);
        Ok(body(StatusCode::OK, text.into_bytes(), media_type))
    }
}

/// Refuses requests that a page of another site sends from a browser. Only browsers set these headers, and pages
/// cannot change them.
fn refuse_web_pages(request: Incoming<'_>) -> Result<(), Refusal> {
    let sites = request.headers.get_all(SEC_FETCH_SITE);
    let is_foreign = |site: &HeaderValue| site != "none" && site != "same-origin";
    if request.headers.contains_key(header::ORIGIN) || sites.iter().any(is_foreign) {
        let why = "a web page must not control the emulator: send no Origin, and no Sec-Fetch-Site other than \
                   none and same-origin";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why));
    }
    Ok(())
}

fn parse<'b, T: Deserialize<'b>>(body: &'b [u8], form: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::bad_request(form))
}

/// Parses a whole number with a unit: `250ms`, `90s`, `10m`, `1h`, `7d`.
fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn document(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    // Serializing texts and lists cannot fail.
    let mut json = serde_json::to_vec(value).unwrap_or_default();
    json.push(b'\n');
    body(status, json, "application/json")
}

fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn body(status: StatusCode, body: Vec<u8>, media_type: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
