//! The operation that lists the keys of a group.

use crate::call::{Call, Path, Query, RateScope, Resource};
use crate::decode::Form;
use crate::operation::sealed::Sealed;
use crate::parameters::list_of_keys;
use crate::{ApiVersion, Endpoint, GroupId};

/// A request for one page of the AI model API keys of a group (a project): Atlas's operation
/// *listGroupModelKeys*.
///
/// A parameter that is not set is not sent, so that Atlas's default applies.
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
    query: Query,
}

impl ListRequest {
    /// Creates a request for the first page of the group's keys, with Atlas's defaults.
    pub fn new(group: GroupId) -> Self {
        Self {
            group,
            query: Query::default(),
        }
    }

    /// Returns the group whose keys are requested.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }
}

list_of_keys!(ListRequest);

/// Requests the first page of the keys of the group, with Atlas's defaults.
impl From<GroupId> for ListRequest {
    fn from(group: GroupId) -> Self {
        Self::new(group)
    }
}

impl Sealed for ListRequest {
    const RESOURCE: &'static Resource = &Resource {
        endpoint: Endpoint::ModelKeys,
        form: Form::Keys,
        versions: &[ApiVersion::PREVIEW, ApiVersion::V2025_03_12],
        can_pin: true,
    };

    #[inline]
    fn call(&self) -> Call {
        Call {
            path: Path {
                before: "/api/atlas/v2/groups/",
                id: Some(self.group.0),
                after: "/aiModelApiKeys",
                key: None,
            },
            query: self.query,
            scope: RateScope::Group(self.group.0),
            resource: Self::RESOURCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BaseUrl, ItemsPerPage, PageNum};
    use alloc::string::{String, ToString};
    use http::Method;
    use http::header::{ACCEPT, USER_AGENT};

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
}
