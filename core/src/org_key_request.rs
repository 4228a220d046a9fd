//! The operation that returns one key of an organization.

use crate::call::{Call, Path, Query, RateScope, Resource};
use crate::decode::Form;
use crate::operation::sealed::Sealed;
use crate::parameters::one_key;
use crate::{ApiKeyId, ApiVersion, Endpoint, OrgId};

/// A request for one AI model API key of any group of an organization: Atlas's operation *getOrgModelKey*.
///
/// It needs the role Organization Read Only, and exists since the version `2025-03-12`. The answer is an
/// [`OwnedModelKey`](crate::OwnedModelKey), which names its group. A parameter that is not set is not sent, so that Atlas's
/// default applies.
///
/// ```
/// use atlas_model_keys_core::{ApiKeyId, ApiVersion, BaseUrl, OrgId, OrgKeyRequest};
///
/// let org: OrgId = "65f0a1b2c3d4e5f60718293a".parse()?;
/// let key: ApiKeyId = "a86r5kwrfsk5r5ku5tgvhmpj".parse()?;
/// let request = OrgKeyRequest::new(org, key).to_http(&BaseUrl::default(), &ApiVersion::V2025_03_12);
/// assert_eq!(
///     request.uri(),
///     "https://cloud.mongodb.com/api/atlas/v2/orgs/65f0a1b2c3d4e5f60718293a/aiModelApiKeys/a86r5kwrfsk5r5ku5tgvhmpj"
/// );
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct OrgKeyRequest {
    org: OrgId,
    key: ApiKeyId,
    query: Query,
}

impl OrgKeyRequest {
    /// Creates a request for the key, with Atlas's defaults.
    pub fn new(org: OrgId, key: ApiKeyId) -> Self {
        Self {
            org,
            key,
            query: Query::default(),
        }
    }

    /// Returns the organization of the requested key.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.org
    }

    /// Returns the id of the requested key.
    #[must_use]
    pub fn key(&self) -> ApiKeyId {
        self.key
    }
}

one_key!(OrgKeyRequest);

impl Sealed for OrgKeyRequest {
    const RESOURCE: &'static Resource = &Resource {
        endpoint: Endpoint::OrgModelKey,
        form: Form::Key,
        versions: &[ApiVersion::V2025_03_12],
        can_pin: false,
    };

    fn call(&self) -> Call {
        Call {
            path: Path {
                before: "/api/atlas/v2/orgs/",
                id: Some(self.org.0),
                after: "/aiModelApiKeys/",
                key: Some(self.key),
            },
            query: self.query,
            scope: RateScope::Org(self.org.0),
            resource: Self::RESOURCE,
        }
    }
}
