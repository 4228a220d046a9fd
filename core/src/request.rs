//! The list request and its HTTP form.

use alloc::vec::Vec;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};

use crate::{ApiVersion, BaseUrl, GroupId, InvalidValue, ItemsPerPage, PageNum};

/// The default `User-Agent`.
pub(crate) const DEFAULT_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("atlas-model-keys-core/", env!("CARGO_PKG_VERSION")));

/// A request for one page of the AI model API keys of a group (a project): Atlas's operation
/// *listGroupModelKeys*.
///
/// A parameter that is not set is not sent, so that Atlas's default holds.
///
/// ```
/// use atlas_model_keys_core::{ApiVersion, BaseUrl, GroupId, ItemsPerPage, ListRequest};
///
/// let group: GroupId = "69681d39c9e8cfd375386316".parse()?;
/// let request = ListRequest::new(group)
///     .with_items_per_page(ItemsPerPage::MAX)
///     .to_http(&BaseUrl::default(), &ApiVersion::PREVIEW);
///
/// assert_eq!(
///     request.uri(),
///     "https://cloud.mongodb.com/api/atlas/v2/groups/69681d39c9e8cfd375386316/aiModelApiKeys?itemsPerPage=500"
/// );
/// assert_eq!(request.headers()["accept"], "application/vnd.atlas.preview+json");
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ListRequest {
    group: GroupId,
    items_per_page: Option<ItemsPerPage>,
    page_num: Option<PageNum>,
    envelope: Option<bool>,
    pretty: Option<bool>,
}

impl ListRequest {
    /// Creates a request for the first page of the group's keys, with Atlas's defaults.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            items_per_page: None,
            page_num: None,
            envelope: None,
            pretty: None,
        }
    }

    /// Sets `itemsPerPage`, the maximum number of keys of a page.
    pub fn with_items_per_page(mut self, items: ItemsPerPage) -> Self {
        self.items_per_page = Some(items);
        self
    }

    /// Sets `pageNum`, the number of the requested page.
    pub fn with_page_num(mut self, page: PageNum) -> Self {
        self.page_num = Some(page);
        self
    }

    /// Sets `envelope`: whether Atlas also writes the status into the body, for callers that cannot see the
    /// status of the response.
    pub fn with_envelope(mut self, envelope: bool) -> Self {
        self.envelope = Some(envelope);
        self
    }

    /// Sets `pretty`: whether Atlas indents the JSON.
    pub fn with_pretty(mut self, pretty: bool) -> Self {
        self.pretty = Some(pretty);
        self
    }

    /// Returns the group whose keys are requested.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Returns the number of the requested page; 1 if it is not set.
    #[must_use]
    pub fn page_num(&self) -> PageNum {
        self.page_num.unwrap_or_default()
    }

    /// Returns the maximum number of keys of a page, or `None` for Atlas's default.
    #[must_use]
    pub fn items_per_page(&self) -> Option<ItemsPerPage> {
        self.items_per_page
    }

    /// Returns whether an envelope is requested.
    #[must_use]
    pub fn is_enveloped(&self) -> bool {
        self.envelope == Some(true)
    }

    /// Returns whether indented JSON is requested.
    #[must_use]
    pub fn is_pretty(&self) -> bool {
        self.pretty == Some(true)
    }

    /// Returns the request for the next page, or `None` after the largest page number.
    #[must_use]
    pub fn next_page(&self) -> Option<Self> {
        Some(self.with_page_num(self.page_num().next()?))
    }

    /// Returns the request as HTTP, without credentials. It cannot fail.
    #[must_use]
    pub fn to_http(&self, base: &BaseUrl, version: &ApiVersion) -> Request<()> {
        self.with(base, version, DEFAULT_USER_AGENT, ())
    }

    /// Returns the request as HTTP, with this user agent and this body.
    #[inline]
    pub(crate) fn with<T>(
        &self,
        base: &BaseUrl,
        version: &ApiVersion,
        user_agent: HeaderValue,
        body: T,
    ) -> Request<T> {
        let mut request = Request::new(body);
        *request.uri_mut() = base.uri(self.path_and_query(base.path_prefix()));
        let headers = request.headers_mut();
        headers.insert(ACCEPT, version.accept());
        headers.insert(USER_AGENT, user_agent);
        request
    }

    /// Returns the path and query. They need no percent-encoding: the path is fixed text and hexadecimal digits, and
    /// the query is fixed names with numbers and booleans.
    fn path_and_query(&self, prefix: &str) -> Vec<u8> {
        let (mut items, mut page) = ([0; 10], [0; 10]);
        let parameters = [
            (
                "itemsPerPage=",
                self.items_per_page
                    .map(|n| decimal(n.get().into(), &mut items)),
            ),
            (
                "pageNum=",
                self.page_num.map(|n| decimal(n.get(), &mut page)),
            ),
            ("envelope=", self.envelope.map(boolean)),
            ("pretty=", self.pretty.map(boolean)),
        ];
        let path = [
            prefix.as_bytes(),
            BEFORE_GROUP,
            self.group.as_bytes(),
            AFTER_GROUP,
        ];
        // The exact capacity: otherwise the conversion into a URI would have to copy the text.
        let mut len = path.iter().map(|part| part.len()).sum();
        for (name, value) in parameters {
            len += value.map_or(0, |value| 1 + name.len() + value.len());
        }
        let mut target = Vec::with_capacity(len);
        for part in path {
            target.extend_from_slice(part);
        }
        let mut separator = b'?';
        for (name, value) in parameters {
            if let Some(value) = value {
                target.push(separator);
                target.extend_from_slice(name.as_bytes());
                target.extend_from_slice(value);
                separator = b'&';
            }
        }
        target
    }
}

const BEFORE_GROUP: &[u8] = b"/api/atlas/v2/groups/";
const AFTER_GROUP: &[u8] = b"/aiModelApiKeys";

/// Writes a number in digits to the end of `room`, which has space for any `u32`.
fn decimal(mut number: u32, room: &mut [u8; 10]) -> &[u8] {
    let mut start = room.len();
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    room.get(start..).unwrap_or_default()
}

fn boolean(value: bool) -> &'static [u8] {
    match value {
        true => b"true",
        false => b"false",
    }
}

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
    use alloc::string::{String, ToString};
    use http::Method;

    fn request() -> ListRequest {
        ListRequest::new(GroupId::new("0123456789abcdef01234567").unwrap())
    }

    fn target(request: &ListRequest) -> String {
        let base = BaseUrl::default();
        let http = request.to_http(&base, &ApiVersion::PREVIEW);
        assert_eq!(http.method(), Method::GET);
        http.uri().path_and_query().unwrap().to_string()
    }

    const PATH: &str = "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys";

    #[test]
    fn only_parameters_that_are_set_are_sent() {
        assert_eq!(target(&request()), PATH);
        let all = request()
            .with_items_per_page(ItemsPerPage::DEFAULT)
            .with_page_num(PageNum::FIRST)
            .with_envelope(false)
            .with_pretty(true);
        assert_eq!(
            target(&all).strip_prefix(PATH),
            Some("?itemsPerPage=100&pageNum=1&envelope=false&pretty=true")
        );
        assert_eq!(
            target(&request().with_pretty(false)).strip_prefix(PATH),
            Some("?pretty=false")
        );
        for page in [1, 9, 10, 100, u32::MAX] {
            assert_eq!(
                target(&request().with_page_num(PageNum::new(page).unwrap())),
                alloc::format!("{PATH}?pageNum={page}")
            );
        }
    }

    #[test]
    fn request_uri_has_the_origin_and_prefix_of_the_base_url() {
        let base = BaseUrl::new("https://gw.example:8443/atlas/").unwrap();
        let http = request().to_http(&base, &ApiVersion::V2025_03_12);
        assert_eq!(
            http.uri().to_string(),
            alloc::format!("https://gw.example:8443/atlas{PATH}")
        );
        assert_eq!(
            http.headers()[ACCEPT],
            "application/vnd.atlas.2025-03-12+json"
        );
        assert!(
            http.headers()[USER_AGENT]
                .to_str()
                .unwrap()
                .starts_with("atlas-model-keys-core/")
        );
    }

    #[test]
    fn next_page_changes_only_the_page_number() {
        let second = request().with_pretty(true).next_page().unwrap();
        assert_eq!(
            second,
            request()
                .with_pretty(true)
                .with_page_num(PageNum::new(2).unwrap())
        );
        let last = request().with_page_num(PageNum::new(u32::MAX).unwrap());
        assert_eq!(last.next_page(), None);
    }

    #[test]
    fn user_agent_must_be_visible_ascii() {
        assert!(user_agent("my-service/1.0 (ops@example.com)").is_ok());
        for wrong in ["", "a\r\nX: y", "é", "a\tb"] {
            assert!(user_agent(wrong).is_err(), "{wrong:?}");
        }
    }
}
