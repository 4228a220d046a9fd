//! The facts about an operation that a session needs: path and query, rate-limit scope, versions and endpoint.

use alloc::string::String;
use core::fmt::{self, Write as _};

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};

use crate::decode::Form;
use crate::params::ObjectId;
use crate::{ApiKeyId, ApiVersion, BaseUrl, Endpoint, InvalidValue, ItemsPerPage, PageNum};

/// A request of an operation, without the base URL, the version and the credentials.
///
/// A session sends it without knowing the operation. It is `Copy`, so that a ticket can hold it without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub(crate) path: Path,
    pub(crate) query: Query,
    pub(crate) scope: RateScope,
    pub(crate) resource: &'static Resource,
}

/// The facts that all requests of an operation have in common.
#[derive(Debug)]
pub struct Resource {
    pub(crate) endpoint: Endpoint,
    /// The form of a successful response.
    pub(crate) form: Form,
    /// The versions that have the operation. A session begins with the first one, and moves on to the next one if Atlas
    /// no longer has it.
    pub(crate) versions: &'static [ApiVersion],
    /// Whether [`Session::with_version`](crate::Session::with_version) pins the version of this operation.
    pub(crate) can_pin: bool,
}

/// The path of a request: fixed text and ids, in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) before: &'static str,
    pub(crate) id: Option<ObjectId>,
    pub(crate) after: &'static str,
    pub(crate) key: Option<ApiKeyId>,
}

/// The query of a request. A parameter that is `None` is not sent, so that Atlas's default applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) items_per_page: Option<ItemsPerPage>,
    pub(crate) page_num: Option<PageNum>,
    pub(crate) envelope: Option<bool>,
    pub(crate) pretty: Option<bool>,
}

/// The scope of a rate limit: the requests that Atlas counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RateScope {
    /// The requests for a group.
    Group(ObjectId),
    /// The requests for an organization.
    Org(ObjectId),
    /// The requests that belong to no group or organization.
    General,
}

/// The default `User-Agent`.
pub(crate) const DEFAULT_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("atlas-model-keys-core/", env!("CARGO_PKG_VERSION")));

impl Query {
    /// Returns whether the response has an envelope, so that the status is in its body.
    pub(crate) fn is_enveloped(self) -> bool {
        self.envelope == Some(true)
    }
}

impl Call {
    /// Returns the request as HTTP, without credentials.
    #[inline]
    pub(crate) fn http_request<T>(
        &self,
        base: &BaseUrl,
        version: ApiVersion,
        user_agent: HeaderValue,
        body: T,
    ) -> Request<T> {
        let mut request = Request::new(body);
        *request.uri_mut() = base.uri(self.target(base.path_prefix()));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, version.accept());
        headers.insert(USER_AGENT, user_agent);
        request
    }

    /// Returns the path and query. They need no percent-encoding: the path is fixed text and unreserved characters
    /// (RFC 3986 §2.3), and the query is fixed names with numbers and booleans.
    fn target(&self, prefix: &str) -> String {
        let Path {
            before,
            id,
            after,
            key,
        } = &self.path;
        let Query {
            items_per_page,
            page_num,
            envelope,
            pretty,
        } = self.query;
        let mut target = String::with_capacity(TARGET_BYTES);
        let id = id.as_ref().map_or("", ObjectId::as_str);
        target.extend([prefix, before, id, after]);
        if let Some(key) = key {
            target.push_str(key.as_str());
        }
        let mut separator = "?";
        let mut add = |name, value: Option<&dyn fmt::Display>| {
            if let Some(value) = value {
                target.extend([separator, name]);
                // Writing to a `String` cannot fail.
                let _ = write!(target, "{value}");
                separator = "&";
            }
        };
        add("itemsPerPage=", items_per_page.as_ref().map(|n| n as _));
        add("pageNum=", page_num.as_ref().map(|n| n as _));
        add("envelope=", envelope.as_ref().map(|b| b as _));
        add("pretty=", pretty.as_ref().map(|b| b as _));
        target
    }
}

/// The initial capacity for a path and query, in bytes. It is enough for the usual ones.
const TARGET_BYTES: usize = 128;

/// Returns the text as a `User-Agent` value (RFC 9110 §10.1.5), if it is a valid header value.
pub(crate) fn user_agent(text: &str) -> Result<HeaderValue, InvalidValue> {
    let is_visible = !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    is_visible
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
        .ok_or_else(|| {
            InvalidValue::new(
                "User-Agent",
                text,
                "it must be visible ASCII text such as my-service/1.0",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agent_must_be_visible_ascii() {
        assert!(user_agent("my-service/1.0 (ops@example.com)").is_ok());
        for wrong in ["", "a\r\nX: y", "é", "a\tb"] {
            assert!(user_agent(wrong).is_err(), "{wrong:?}");
        }
    }
}
