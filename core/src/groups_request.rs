//! The operation that lists groups.

use crate::call::{Call, Path, Query, RateScope, Resource};
use crate::decode::{Form, GroupSpans};
use crate::operation::sealed::Sealed;
use crate::parameters::{body_parameters, paging_parameters};
use crate::{ApiVersion, Endpoint, Error, Groups, Operation, Reply};

/// A request for one page of the groups (projects) that the credential may see: Atlas's operation *listGroups*.
///
/// It exists since the version `2023-01-01`. The answer is a page of [`Groups`]. A parameter that is not set is not sent,
/// so that Atlas's default applies.
///
/// ```
/// use atlas_model_keys_core::{ApiVersion, BaseUrl, GroupsRequest, ItemsPerPage, Operation, Reply};
///
/// let request = GroupsRequest::new()
///     .with_items_per_page(ItemsPerPage::MAX)
///     .to_http(&BaseUrl::default(), &ApiVersion::V2023_01_01);
/// assert_eq!(request.uri(), "https://cloud.mongodb.com/api/atlas/v2/groups?itemsPerPage=500");
///
/// let body = br#"{"results":[{"id":"69681d39c9e8cfd375386316","name":"Production"}],"totalCount":1}"#;
/// let groups = GroupsRequest::read(Reply::from_response(http::Response::new(body.as_slice()))?)?;
/// for group in &groups {
///     println!("{:?} {:?}", group.id(), group.name());
/// }
/// # Ok::<(), atlas_model_keys_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct GroupsRequest {
    query: Query,
}

impl GroupsRequest {
    /// Creates a request for the first page of the groups, with Atlas's defaults.
    pub fn new() -> Self {
        Self::default()
    }
}

body_parameters!(GroupsRequest);
paging_parameters!(GroupsRequest, GroupSpans, "groups");

impl Operation for GroupsRequest {
    type Answer<B: AsRef<[u8]>> = Groups;

    fn read<B: AsRef<[u8]>>(reply: Reply<B>) -> Result<Groups, Error> {
        reply.into_groups(Self::RESOURCE.endpoint)
    }
}

impl Sealed for GroupsRequest {
    const RESOURCE: &'static Resource = &Resource {
        endpoint: Endpoint::Groups,
        form: Form::Groups,
        versions: &[ApiVersion::V2023_01_01, ApiVersion::V2025_03_12],
        can_pin: false,
    };

    fn call(&self) -> Call {
        Call {
            path: Path {
                before: "/api/atlas/v2/groups",
                id: None,
                after: "",
                key: None,
            },
            query: self.query,
            scope: RateScope::General,
            resource: Self::RESOURCE,
        }
    }
}
