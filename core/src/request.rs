use alloc::vec::Vec;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};

use crate::{ApiVersion, BaseUrl, GroupId, InvalidValue, ItemsPerPage, PageNum};

/// The `User-Agent` where nobody sets another.
pub(crate) const DEFAULT_USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("atlas-model-keys-core/", env!("CARGO_PKG_VERSION")));

/// One call of Atlas's operation *listGroupModelKeys*: a page of the AI model API keys of a group
/// (a project).
///
/// What is not set is not sent, and Atlas's default holds.
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
    /// The first page of the group's keys, with Atlas's defaults.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            items_per_page: None,
            page_num: None,
            envelope: None,
            pretty: None,
        }
    }

    /// Sets `itemsPerPage`: how many keys a page holds at most.
    pub fn with_items_per_page(mut self, items: ItemsPerPage) -> Self {
        self.items_per_page = Some(items);
        self
    }

    /// Sets `pageNum`: which page is requested.
    pub fn with_page_num(mut self, page: PageNum) -> Self {
        self.page_num = Some(page);
        self
    }

    /// Sets `envelope`: whether Atlas writes the status into the body too, for callers that cannot see the
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

    /// Returns how many keys a page holds at most, or `None` for Atlas's default.
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

    /// The request as HTTP, without credentials: pure, and never refused.
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

    /// Nothing in it needs percent-encoding: the path is fixed text and hexadecimal digits, the
    /// query fixed names with numbers and booleans.
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
        // Exactly as long as it gets: what is left over would have to be copied.
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

/// A number in digits, written at the end of `room`, which is enough for any.
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

/// A `User-Agent` as RFC 9110 §10.1.5 has it, checked for being a header value.
pub(crate) fn user_agent(text: &str) -> Result<HeaderValue, InvalidValue> {
    let visible = !text.is_empty() && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    visible
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
        .ok_or_else(|| {
            InvalidValue::new(
                "User-Agent",
                text,
                "it is visible ASCII text such as my-service/1.0",
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

    fn path_of(request: &ListRequest) -> String {
        let base = BaseUrl::default();
        let http = request.to_http(&base, &ApiVersion::PREVIEW);
        assert_eq!(http.method(), Method::GET);
        http.uri().path_and_query().unwrap().to_string()
    }

    const PATH: &str = "/api/atlas/v2/groups/0123456789abcdef01234567/aiModelApiKeys";

    #[test]
    fn defaults_are_not_sent_unless_set() {
        assert_eq!(path_of(&request()), PATH);
        let all = request()
            .with_items_per_page(ItemsPerPage::DEFAULT)
            .with_page_num(PageNum::FIRST)
            .with_envelope(false)
            .with_pretty(true);
        assert_eq!(
            path_of(&all).strip_prefix(PATH),
            Some("?itemsPerPage=100&pageNum=1&envelope=false&pretty=true")
        );
        assert_eq!(
            path_of(&request().with_pretty(false)).strip_prefix(PATH),
            Some("?pretty=false")
        );
        for page in [1, 9, 10, 100, u32::MAX] {
            assert_eq!(
                path_of(&request().with_page_num(PageNum::new(page).unwrap())),
                alloc::format!("{PATH}?pageNum={page}")
            );
        }
    }

    #[test]
    fn the_base_url_gives_origin_and_prefix() {
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
    fn next_changes_the_page_and_nothing_else() {
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
    fn a_user_agent_is_visible_text() {
        assert!(user_agent("my-service/1.0 (ops@example.com)").is_ok());
        for wrong in ["", "a\r\nX: y", "é", "a\tb"] {
            assert!(user_agent(wrong).is_err(), "{wrong:?}");
        }
    }
}
