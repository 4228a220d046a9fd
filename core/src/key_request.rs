//! The operation that returns one key of a group.

use crate::call::{Call, Path, Query, RateScope, Resource};
use crate::decode::Form;
use crate::operation::sealed::Sealed;
use crate::parameters::one_key;
use crate::{ApiKeyId, ApiVersion, Endpoint, GroupId};

/// A request for one AI model API key of a group (a project): Atlas's operation *getGroupModelKey*.
///
/// It needs the same role as the list of the group's keys. The answer is an [`OwnedModelKey`](crate::OwnedModelKey). A
/// parameter that is not set is not sent, so that Atlas's default applies.
///
/// ```
/// use atlas_model_keys_core::{ApiKeyId, ApiVersion, BaseUrl, GroupId, KeyRequest, Operation, Reply};
///
/// let group: GroupId = "69681d39c9e8cfd375386316".parse()?;
/// let key: ApiKeyId = "a86r5kwrfsk5r5ku5tgvhmpj".parse()?;
/// let request = KeyRequest::new(group, key).to_http(&BaseUrl::default(), &ApiVersion::PREVIEW);
/// assert_eq!(
///     request.uri(),
///     "https://cloud.mongodb.com/api/atlas/v2/groups/69681d39c9e8cfd375386316/aiModelApiKeys/a86r5kwrfsk5r5ku5tgvhmpj"
/// );
///
/// let body = br#"{"apiKeyId":"a86r5kwrfsk5r5ku5tgvhmpj","name":"Production key"}"#.as_slice();
/// let key = KeyRequest::read(Reply::from_response(http::Response::new(body))?)?;
/// assert_eq!(key.name(), Some("Production key"));
/// # Ok::<(), atlas_model_keys_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct KeyRequest {
    group: GroupId,
    key: ApiKeyId,
    query: Query,
}

impl KeyRequest {
    /// Creates a request for the key, with Atlas's defaults.
    pub fn new(group: GroupId, key: ApiKeyId) -> Self {
        Self {
            group,
            key,
            query: Query::default(),
        }
    }

    /// Returns the group of the requested key.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Returns the id of the requested key.
    #[must_use]
    pub fn key(&self) -> ApiKeyId {
        self.key
    }
}

one_key!(KeyRequest);

impl Sealed for KeyRequest {
    const RESOURCE: &'static Resource = &Resource {
        endpoint: Endpoint::ModelKey,
        form: Form::Key,
        versions: &[ApiVersion::PREVIEW, ApiVersion::V2025_03_12],
        can_pin: true,
    };

    fn call(&self) -> Call {
        Call {
            path: Path {
                before: "/api/atlas/v2/groups/",
                id: Some(self.group.0),
                after: "/aiModelApiKeys/",
                key: Some(self.key),
            },
            query: self.query,
            scope: RateScope::Group(self.group.0),
            resource: Self::RESOURCE,
        }
    }
}
