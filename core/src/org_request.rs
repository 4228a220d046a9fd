//! The operation that lists the keys of an organization.

use crate::call::{Call, Path, Query, RateScope, Resource};
use crate::decode::Form;
use crate::operation::sealed::Sealed;
use crate::parameters::list_of_keys;
use crate::{ApiVersion, Endpoint, OrgId};

/// A request for one page of the AI model API keys of all groups of an organization: Atlas's operation
/// *listOrgModelKeys*.
///
/// It needs the role Organization Read Only, and exists since the version `2025-03-12`. A parameter that is not set is not
/// sent, so that Atlas's default applies. Each key names its group ([`ModelKey::group_id`](crate::ModelKey::group_id)).
///
/// ```
/// use atlas_model_keys_core::{ApiVersion, BaseUrl, OrgId, OrgListRequest};
///
/// let org: OrgId = "65f0a1b2c3d4e5f60718293a".parse()?;
/// let request = OrgListRequest::new(org).to_http(&BaseUrl::default(), &ApiVersion::V2025_03_12);
///
/// assert_eq!(
///     request.uri(),
///     "https://cloud.mongodb.com/api/atlas/v2/orgs/65f0a1b2c3d4e5f60718293a/aiModelApiKeys"
/// );
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct OrgListRequest {
    org: OrgId,
    query: Query,
}

impl OrgListRequest {
    /// Creates a request for the first page of the organization's keys, with Atlas's defaults.
    pub fn new(org: OrgId) -> Self {
        Self {
            org,
            query: Query::default(),
        }
    }

    /// Returns the organization whose keys are requested.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.org
    }
}

list_of_keys!(OrgListRequest);

impl Sealed for OrgListRequest {
    const RESOURCE: &'static Resource = &Resource {
        endpoint: Endpoint::OrgModelKeys,
        form: Form::Keys,
        versions: &[ApiVersion::V2025_03_12],
        can_pin: false,
    };

    fn call(&self) -> Call {
        Call {
            path: Path {
                before: "/api/atlas/v2/orgs/",
                id: Some(self.org.0),
                after: "/aiModelApiKeys",
                key: None,
            },
            query: self.query,
            scope: RateScope::Org(self.org.0),
            resource: Self::RESOURCE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BaseUrl, Credentials, ItemsPerPage, Moment, PageNum, Session, Step};
    use alloc::string::ToString;
    use core::time::Duration;

    fn request() -> OrgListRequest {
        OrgListRequest::new(OrgId::new("0123456789abcdef01234567").unwrap())
    }

    #[test]
    fn parameters_are_those_of_a_list_of_keys() {
        let request = request()
            .with_items_per_page(ItemsPerPage::MAX)
            .with_page_num(PageNum::new(2).unwrap());
        let http = request.to_http(&BaseUrl::default(), &ApiVersion::V2025_03_12);
        assert_eq!(
            http.uri().to_string(),
            "https://cloud.mongodb.com/api/atlas/v2/orgs/0123456789abcdef01234567/aiModelApiKeys?itemsPerPage=500&pageNum=2"
        );
        assert_eq!(
            http.headers()["accept"],
            "application/vnd.atlas.2025-03-12+json"
        );
    }

    #[test]
    fn pinned_version_of_the_list_of_a_group_does_not_pin_that_of_an_organization() {
        let credentials = Credentials::bearer("token").unwrap();
        let session = Session::new(BaseUrl::default(), credentials);
        let mut session = session.with_version(ApiVersion::PREVIEW);
        assert_eq!(session.version::<crate::ListRequest>(), ApiVersion::PREVIEW);
        let at = Moment::new(Duration::ZERO, [7; 16]);
        let Ok(Step::<&[u8]>::Send(exchange)) = session.start(&request(), at) else {
            panic!("nothing to wait for")
        };
        let accept = &exchange.request.headers()["accept"];
        assert_eq!(accept, "application/vnd.atlas.2025-03-12+json");
    }
}
