//! What a fault gets to work with: the request, and the answer to change.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::Emulator;
use crate::emulator::Incoming;
use crate::errors::error_answer;
use crate::listing::Paging;
use crate::render::View;

use super::delivery::{Delivery, Step};

/// A request that is struck, and its answer so far.
pub(super) struct Struck<'a> {
    /// The fault's argument.
    pub(super) value: u64,
    /// What the fault keeps from one request that it strikes to the next; 0 at first.
    pub(super) memory: &'a mut u64,
    pub(super) emulator: &'a mut Emulator,
    pub(super) request: Incoming<'a>,
    pub(super) now: Duration,
    pub(super) response: &'a mut Response<Vec<u8>>,
}

/// The fields of a page.
pub(super) type Page = Map<String, Value>;

impl Struck<'_> {
    /// The argument, where it counts something in memory.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.value).unwrap_or(usize::MAX)
    }

    /// The argument, where it is a delay.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.value)
    }

    /// The argument, where it is a status.
    pub(super) fn status(&self) -> StatusCode {
        let status = u16::try_from(self.value).ok();
        status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn deliver(&mut self, steps: impl Into<Vec<Step>>) {
        self.response.extensions_mut().insert(Delivery::new(steps));
    }

    pub(super) fn set(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.response.headers_mut().insert(name, value);
        }
    }

    pub(super) fn add(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.response.headers_mut().append(name, value);
        }
    }

    pub(super) fn remove(&mut self, name: HeaderName) {
        self.response.headers_mut().remove(name);
    }

    /// Another answer instead, as from a balancer in front of Atlas.
    pub(super) fn replace(&mut self, status: StatusCode, body: impl Into<Vec<u8>>) {
        *self.response = Response::new(body.into());
        *self.response.status_mut() = status;
    }

    pub(super) fn replace_with_html(&mut self, status: StatusCode) {
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{code} {reason}</title></head>\n\
             <body><h1>{code} {reason}</h1><p>Something in between had a different idea.</p>\
             <script>alert(1)</script></body></html>\n",
            code = status.as_str()
        );
        self.replace(status, body);
        self.set(header::CONTENT_TYPE, "text/html; charset=utf-8");
    }

    /// An error in Atlas's shape.
    pub(super) fn fail(&mut self, status: StatusCode) {
        *self.response = error_answer(status);
    }

    pub(super) fn replace_with_redirect(&mut self, location: &str) {
        let status = self.status();
        self.replace_with_html(status);
        self.set(header::LOCATION, location);
    }

    /// Where the request was sent, without its query.
    pub(super) fn self_url(&self) -> String {
        self.emulator.self_url(self.request)
    }

    /// The host and port that the request was sent to.
    pub(super) fn authority(&self) -> String {
        let url = self.self_url();
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        authority
            .parse::<Authority>()
            .map_or_else(|_| "localhost".to_owned(), |a| a.to_string())
    }

    /// The path of the request, with its query.
    pub(super) fn target(&self) -> String {
        let uri = self.request.uri;
        uri.path_and_query().map_or("/", |p| p.as_str()).to_owned()
    }

    /// Changes the page, where the honest answer is one. It comes out compact, and in the order
    /// that it had, as Atlas's fields are in that of the alphabet.
    pub(super) fn page(&mut self, change: impl FnOnce(&mut Self, &mut Page, &Paging)) {
        let Some(mut page) = self.parsed() else {
            return;
        };
        let Ok(paging) = Paging::asked_for(self.request.uri, View::default()) else {
            return;
        };
        change(self, &mut page, &paging);
        // What was parsed serialises.
        *self.response.body_mut() = serde_json::to_vec(&page).unwrap_or_default();
    }

    fn parsed(&self) -> Option<Page> {
        let page: Page = serde_json::from_slice(self.response.body()).ok()?;
        (self.response.status() == StatusCode::OK && page.contains_key("results")).then_some(page)
    }

    /// Puts this, which need not be JSON, before the page's first field: `"name":value`.
    pub(super) fn insert_field(&mut self, field: &[u8]) {
        self.insert_after(b"{", &[field, b","].concat());
    }

    /// Puts this before the first field of the page's first key.
    pub(super) fn insert_into_key(&mut self, field: &[u8]) {
        self.insert_after(b"\"results\":[{", &[field, b","].concat());
    }

    /// Puts these bytes, which need not be text, in front of the first name of a key.
    pub(super) fn insert_into_name(&mut self, text: &[u8]) {
        self.insert_after(b"\"name\":\"", text);
    }

    /// A page without keys has no place for what belongs into one, and stays as it is.
    fn insert_after(&mut self, place: &[u8], more: &[u8]) {
        let mut is_page = false;
        self.page(|_, _, _| is_page = true);
        let body = self.response.body();
        let place = body
            .windows(place.len())
            .position(|part| part == place)
            .filter(|_| is_page)
            .and_then(|at| body.split_at_checked(at.saturating_add(place.len())));
        if let Some((before, after)) = place {
            *self.response.body_mut() = [before, more, after].concat();
        }
    }

    /// Changes the text of the page, where the honest answer is one.
    pub(super) fn text(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        if self.response.status() == StatusCode::OK {
            self.body(change);
        }
    }

    /// Changes the bytes of the body, whatever they are.
    pub(super) fn body(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let body = std::mem::take(self.response.body_mut());
        *self.response.body_mut() = change(body);
    }
}

/// An error in Atlas's shape, whose detail is so long that the body has as many bytes as the argument
/// says.
pub(super) fn fail_at_length(s: &mut Struck<'_>) {
    s.fail(StatusCode::INTERNAL_SERVER_ERROR);
    let more = vec![b'a'; s.size().saturating_sub(s.response.body().len())];
    let start = b"{\"detail\":\"".as_slice();
    s.body(|body| match body.strip_prefix(start) {
        Some(rest) => [start, &more, rest].concat(),
        None => body,
    });
}
