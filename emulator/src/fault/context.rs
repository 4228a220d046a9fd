//! The request and the response that a fault is applied to, with methods for changing the response.

use std::time::Duration;

use atlas_model_keys_core::{ApiVersion, GroupId, OrgId};
use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::atlas::{self, Atlas};
use crate::errors::error_response;
use crate::generate;
use crate::incoming::Incoming;
use crate::key::Key;
use crate::listing::{KeyEntry, KeyView, Paging};
use crate::prng::Prng;
use crate::render::View;
use crate::route::MatchedRoute;

use super::delivery::{Delivery, DeliveryStep};

/// A request that a fault is applied to, and its response so far.
pub(super) struct FaultContext<'a> {
    /// The fault's argument.
    pub(super) value: u64,
    /// A value that the fault keeps between the requests that it is applied to; 0 at first.
    pub(super) memory: &'a mut u64,
    pub(super) atlas: &'a mut Atlas,
    pub(super) request: Incoming<'a>,
    pub(super) now: Duration,
    pub(super) response: &'a mut Response<Vec<u8>>,
    /// Whether the fault had an effect that does not show in the response.
    pub(super) has_effect: bool,
}

/// A JSON object, such as a page or a key.
pub(super) type JsonObject = Map<String, Value>;

impl FaultContext<'_> {
    /// Returns the argument, if it counts bytes or values in memory.
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.value).unwrap_or(usize::MAX)
    }

    /// Returns the argument, if it is a delay.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.value)
    }

    /// Returns the argument, if it is a status.
    pub(super) fn status(&self) -> StatusCode {
        let status = u16::try_from(self.value).ok();
        status
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(super) fn set_delivery(&mut self, steps: impl Into<Vec<DeliveryStep>>) {
        self.response.extensions_mut().insert(Delivery::new(steps));
    }

    pub(super) fn set_header(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.response.headers_mut().insert(name, value);
        }
    }

    pub(super) fn add_header(&mut self, name: HeaderName, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.response.headers_mut().append(name, value);
        }
    }

    pub(super) fn remove_header(&mut self, name: HeaderName) {
        self.response.headers_mut().remove(name);
    }

    /// Replaces the whole response, as a load balancer in front of Atlas could do.
    pub(super) fn replace(&mut self, status: StatusCode, body: impl Into<Vec<u8>>) {
        *self.response = Response::new(body.into());
        *self.response.status_mut() = status;
    }

    pub(super) fn replace_with_html(&mut self, status: StatusCode) {
        let reason = status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<!DOCTYPE html>\n<html><head><title>{code} {reason}</title></head>\n\
             <body><h1>{code} {reason}</h1><p>A server in front of Atlas sent this page.</p>\
             <script>alert(1)</script></body></html>\n",
            code = status.as_str()
        );
        self.replace(status, body);
        self.set_header(header::CONTENT_TYPE, "text/html; charset=utf-8");
    }

    /// Replaces the response with an error in Atlas's format.
    pub(super) fn replace_with_error(&mut self, status: StatusCode) {
        *self.response = error_response(status);
    }

    pub(super) fn replace_with_redirect(&mut self, location: &str) {
        let status = self.status();
        self.replace_with_html(status);
        self.set_header(header::LOCATION, location);
    }

    /// Returns the URL that the request was sent to, without the query.
    pub(super) fn self_url(&self) -> String {
        atlas::self_url(&self.atlas.config, self.request)
    }

    /// Returns the host and port that the request was sent to.
    pub(super) fn authority(&self) -> String {
        let url = self.self_url();
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        authority
            .parse::<Authority>()
            .map_or_else(|_| "localhost".to_owned(), |a| a.to_string())
    }

    /// Returns the path of the request, with its query.
    pub(super) fn target(&self) -> String {
        let uri = self.request.uri;
        uri.path_and_query().map_or("/", |p| p.as_str()).to_owned()
    }

    /// Changes the page, if the response is one.
    ///
    /// A changed page becomes compact. Its fields keep their order, because a [`Map`] and Atlas's objects are
    /// both in alphabetical order.
    pub(super) fn edit_page(&mut self, change: impl FnOnce(&mut Self, &mut JsonObject, &Paging)) {
        let Some(mut page) = self.parse_page() else {
            return;
        };
        let Ok(paging) = Paging::from_query(self.request.uri, View::default()) else {
            return;
        };
        let before = page.clone();
        change(self, &mut page, &paging);
        if page == before {
            return;
        }
        *self.response.body_mut() = json_bytes(page);
    }

    fn parse_page(&self) -> Option<JsonObject> {
        let page: JsonObject = serde_json::from_slice(self.response.body()).ok()?;
        (self.response.status() == StatusCode::OK && page.contains_key("results")).then_some(page)
    }

    /// Inserts `"name":value` before the page's first field. It need not be valid JSON.
    pub(super) fn insert_field(&mut self, field: &[u8]) {
        self.insert_after(b"{", &[field, b","].concat());
    }

    /// Inserts `"name":value` before the first field of the page's first key.
    pub(super) fn insert_into_key(&mut self, field: &[u8]) {
        self.insert_after(b"\"results\":[{", &[field, b","].concat());
    }

    /// Inserts these bytes at the start of the first name of a key. They need not be valid text.
    pub(super) fn insert_into_name(&mut self, text: &[u8]) {
        self.insert_after(b"\"name\":\"", text);
    }

    /// Inserts bytes after the first occurrence of `place` in a page. Without an occurrence, as in a
    /// page without keys, the page does not change.
    fn insert_after(&mut self, place: &[u8], more: &[u8]) {
        let Some(page) = self.parse_page() else {
            return;
        };
        // Compact, so that the place is found.
        let body = json_bytes(page);
        let place = body
            .windows(place.len())
            .position(|part| part == place)
            .and_then(|at| body.split_at_checked(at.saturating_add(place.len())));
        if let Some((before, after)) = place {
            *self.response.body_mut() = [before, more, after].concat();
        }
    }

    /// Returns `count` entries, from `offset` on, of the keys that this request lists. The page
    /// parameters of the request are ignored.
    pub(super) fn key_entries(&self, offset: u64, count: u64) -> Vec<Value> {
        self.entries(offset, count, self.key_view())
    }

    /// Returns these entries with the secrets of the keys, even if the configuration omits them.
    pub(super) fn key_entries_with_secrets(&self, offset: u64, count: u64) -> Vec<Value> {
        let view = KeyView {
            secret: true,
            ..self.key_view()
        };
        self.entries(offset, count, view)
    }

    fn entries(&self, offset: u64, count: u64, view: KeyView) -> Vec<Value> {
        let world = &self.atlas.world;
        let group = |id: &str| GroupId::new(id).ok().and_then(|id| world.group(id));
        let (group, org) = match MatchedRoute::from_path(self.request.path) {
            Some(MatchedRoute::GroupKeys { group_id }) => (group(group_id), None),
            Some(MatchedRoute::OrgKeys { org_id }) => (None, OrgId::new(org_id).ok()),
            _ => (None, None),
        };
        let of_org = org.into_iter().flat_map(|org| world.groups_of(org));
        group
            .into_iter()
            .chain(of_org)
            .flat_map(|group| group.keys.iter())
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .map(|key| entry(key, view))
            .collect()
    }

    /// Returns entries of keys that no group has. Every page has different ones.
    pub(super) fn unknown_keys(&self, page: u64, count: u64) -> Vec<Value> {
        let view = self.key_view();
        let group = match MatchedRoute::from_path(self.request.path) {
            Some(MatchedRoute::GroupKeys { group_id }) => GroupId::new(group_id).ok(),
            _ => None,
        };
        let group = group.unwrap_or(self.atlas.world.first_group().id);
        let config = &self.atlas.config;
        let mut prng = Prng::stream(config.seed, &format!("strangers of page {page}"));
        (0..usize::try_from(count).unwrap_or_default())
            .map(|index| entry(&generate::key(&mut prng, config, 0, group, index), view))
            .collect()
    }

    fn key_view(&self) -> KeyView {
        let version = self.atlas.key_version(self.request);
        let version = version.unwrap_or(ApiVersion::PREVIEW);
        atlas::key_view(version, &self.atlas.config)
    }

    /// Changes the bytes of the page, if the status of the response is 200.
    pub(super) fn edit_page_bytes(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        if self.response.status() == StatusCode::OK {
            self.edit_body(change);
        }
    }

    /// Changes the bytes of the body.
    pub(super) fn edit_body(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let body = std::mem::take(self.response.body_mut());
        *self.response.body_mut() = change(body);
    }
}

/// Serializes a value with sorted names, because they have another order if any crate enables `preserve_order` of `serde_json`.
pub(super) fn json_bytes(value: impl Into<Value>) -> Vec<u8> {
    let mut value = value.into();
    value.sort_all_objects();
    // Serializing a value cannot fail.
    serde_json::to_vec(&value).unwrap_or_default()
}

fn entry(key: &Key, view: KeyView) -> Value {
    // Serializing a struct of strings cannot fail.
    serde_json::to_value(KeyEntry::new(key, view)).unwrap_or_default()
}

/// Replaces the response with an error in Atlas's format. The argument is the size of its body in
/// bytes, which a long `detail` fills up.
pub(super) fn replace_with_long_error(cx: &mut FaultContext<'_>) {
    cx.replace_with_error(StatusCode::INTERNAL_SERVER_ERROR);
    let more = vec![b'a'; cx.size().saturating_sub(cx.response.body().len())];
    let start = b"{\"detail\":\"".as_slice();
    cx.edit_body(|body| match body.strip_prefix(start) {
        Some(rest) => [start, &more, rest].concat(),
        None => body,
    });
}
