//! The API versions in use, for each operation.

use alloc::vec::Vec;

use crate::call::Resource;
use crate::{ApiVersion, Endpoint};

/// The versions that the session requests. An operation begins with its first version, and moves on to the next one when
/// Atlas no longer has it.
#[derive(Debug, Default)]
pub(super) struct Versions {
    pinned: Option<ApiVersion>,
    /// The operations that have moved on, and the version that they use.
    moved: Vec<(Endpoint, ApiVersion)>,
}

impl Versions {
    /// Requests this version and no other, for the operations that can be pinned.
    pub(super) fn pin(&mut self, version: ApiVersion) {
        self.pinned = Some(version);
    }

    fn pinned_for(&self, resource: &Resource) -> Option<ApiVersion> {
        self.pinned.filter(|_| resource.can_pin)
    }

    /// Returns the version that the next exchange of the operation requests.
    #[inline]
    pub(super) fn current(&self, resource: &Resource) -> ApiVersion {
        if let Some(pinned) = self.pinned_for(resource) {
            return pinned;
        }
        let moved = self.moved.iter().find(|moved| moved.0 == resource.endpoint);
        let version = moved.map(|moved| moved.1);
        version
            .or(resource.versions.first().copied())
            .unwrap_or(ApiVersion::PREVIEW)
    }

    /// Returns the version to request after Atlas has refused `refused`, or `None` if there is no other.
    pub(super) fn after_refusal(
        &mut self,
        resource: &Resource,
        refused: ApiVersion,
    ) -> Option<ApiVersion> {
        if self.current(resource) == refused {
            if self.pinned_for(resource).is_some() {
                return None;
            }
            let position = resource
                .versions
                .iter()
                .position(|known| *known == refused)?;
            let next = *resource.versions.get(position + 1)?;
            self.moved.retain(|moved| moved.0 != resource.endpoint);
            self.moved.push((resource.endpoint, next));
        }
        let now = self.current(resource);
        (now != refused).then_some(now)
    }
}
