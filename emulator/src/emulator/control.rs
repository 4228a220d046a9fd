//! The control interface: HTTP requests below `/_emulator/`, for tests in any language.
//!
//! Its requests are not requests to Atlas: they need no credential, are not counted, and neither faults nor
//! rate limits affect them. A web page must not use it, so requests of browsers from elsewhere are refused.

use std::time::Duration;

use atlas_model_keys_core::UnixTime;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::calendar;
use crate::environment::{EnvironmentFormat, InvalidFormat};
use crate::fault::Injection;
use crate::incoming::Incoming;
use crate::listing;
use crate::number::{parse_digits, parse_milliseconds};
use crate::query;
use crate::quoted::quoted;
use crate::render;
use crate::route::{self, Route};
use crate::seen::Seen;

use super::Emulator;

/// The beginning of all paths of the control interface.
const PREFIX: &str = "/_emulator/";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The maximum number of faults in a request.
const MAX_FAULTS: usize = 1000;

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

    /// Refuses a query with an unknown parameter.
    fn check_query(self, method: &Method, uri: &Uri) -> Result<(), Refusal> {
        let known: &[&str] = match (self, method.as_str()) {
            (Self::Requests, "GET") => &["route", "since"],
            (Self::Environment, "GET") => &["format"],
            _ => &[],
        };
        let mut pairs = query::pairs(uri.query().unwrap_or_default());
        match pairs.find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((unknown, _)) => Err(Refusal::bad_request(format!(
                "{method} {PREFIX}{} takes {}, not {}",
                self.name(),
                if known.is_empty() {
                    "no parameters".to_owned()
                } else {
                    known.join(" and ")
                },
                quoted(&unknown)
            ))),
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
    /// Returns whether a request with this URI is for the control interface.
    pub(crate) fn is_control(&self, uri: &Uri) -> bool {
        self.atlas.config.control && route::normalized(uri.path()).starts_with(PREFIX)
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
        resource.check_query(method, request.uri)?;
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
        let query = request.uri.query().unwrap_or_default();
        let route = query::value(query, "route").map(|name| {
            let found = Route::all().find(|route| route.as_str() == name);
            found.ok_or_else(|| {
                let names: Vec<_> = Route::all().map(Route::as_str).collect();
                let names = names.join(", ");
                Refusal::bad_request(format!("route is one of {names}, not {}", quoted(&name)))
            })
        });
        let route = route.transpose()?;
        let since = query::value(query, "since").map_or(Ok(0), |since| {
            parse_digits(&since).ok_or_else(|| {
                let since = quoted(&since);
                Refusal::bad_request(format!("since is the order of a request, not {since}"))
            })
        })?;
        let is_wanted =
            |seen: &&Seen| seen.order > since && (route.is_none() || seen.route == route);
        let requests = Requests {
            dropped: self.seen_dropped(),
            requests: self.seen().iter().filter(is_wanted).collect(),
        };
        Ok(document(StatusCode::OK, &requests))
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
                let by = parse_milliseconds(&by).ok_or_else(|| {
                    let by = quoted(&by);
                    let why = format!(
                        "advance is a number with ms, s, m, h or d, such as 90s or 1h, not {by}"
                    );
                    Refusal::bad_request(why)
                })?;
                self.time(now).saturating_add(Duration::from_millis(by))
            }
            _ => return Err(Refusal::bad_request(FORM)),
        };
        if time > calendar::LATEST {
            return Err(Refusal::bad_request("the year 9999 is the last one"));
        }
        self.set_time(now, time);
        Ok(self.control_time(now))
    }

    fn control_environment(&self, request: Incoming<'_>) -> Result<Response<Vec<u8>>, Refusal> {
        let base = listing::base_of(request.uri, request.headers);
        let base = base.filter(|base| !base.contains('@')).ok_or_else(|| {
            let why = "the header Host, from which the base URL is taken, is missing or not valid";
            Refusal::bad_request(why)
        })?;
        let environment = self.environment(&base);
        let asked = request
            .uri
            .query()
            .and_then(|query| query::value(query, "format"));
        let format = match asked {
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

fn document(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    // Serializing texts and lists cannot fail.
    let json = render::printable(serde_json::to_string(value).unwrap_or_default());
    body(status, (json + "\n").into_bytes(), "application/json")
}

fn no_content() -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    close_after(response)
}

/// Lets the server close the connection. A client that is tested may share connections with its test, and some
/// clients silently repeat a request that fails on a connection which was in use before.
fn close_after(mut response: Response<Vec<u8>>) -> Response<Vec<u8>> {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn body(status: StatusCode, body: Vec<u8>, media_type: &'static str) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    close_after(response)
}
