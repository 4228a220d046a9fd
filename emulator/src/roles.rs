//! Roles, with Atlas's names.

use std::collections::HashSet;
use std::fmt;

use atlas_model_keys_core::{GroupId, OrgId};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// A role in a project or in an organization.
///
/// | Role | Keys of the project | Keys of the organization | List of projects |
/// |---|---|---|---|
/// | `GROUP_OWNER`, `GROUP_MODEL_OWNER`, `GROUP_READ_ONLY` | yes | | this project |
/// | `ORG_OWNER` | yes, of all projects | yes | all projects |
/// | `ORG_READ_ONLY` | | yes | all projects |
/// | `ORG_MEMBER` | | | |
///
/// Atlas does not document whether `ORG_READ_ONLY` includes the keys of each project. Here it does not, so
/// that a client meets projects that it can see and cannot read.
///
/// ```
/// use atlas_model_keys_emulator::Role;
/// let role = Role::GroupReadOnly("69681d39c9e8cfd375386316".parse()?);
/// assert_eq!(role.to_string(), "GROUP_READ_ONLY in 69681d39c9e8cfd375386316");
/// # Ok::<(), atlas_model_keys_core::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// `GROUP_OWNER`: Project Owner.
    GroupOwner(GroupId),
    /// `GROUP_MODEL_OWNER`: Project Model Owner.
    GroupModelOwner(GroupId),
    /// `GROUP_READ_ONLY`: Project Read Only.
    GroupReadOnly(GroupId),
    /// `ORG_OWNER`: Organization Owner. It includes every role in the projects of the organization.
    OrgOwner(OrgId),
    /// `ORG_READ_ONLY`: Organization Read Only.
    OrgReadOnly(OrgId),
    /// `ORG_MEMBER`: Organization Member. It allows nothing that the emulator serves.
    OrgMember(OrgId),
}

impl Role {
    /// The roles in a project. Each includes what a client needs to list the keys.
    pub(crate) const IN_GROUP: [fn(GroupId) -> Self; 3] =
        [Self::GroupOwner, Self::GroupModelOwner, Self::GroupReadOnly];

    /// The roles in an organization.
    pub(crate) const IN_ORG: [fn(OrgId) -> Self; 3] =
        [Self::OrgOwner, Self::OrgReadOnly, Self::OrgMember];

    /// Returns Atlas's name of the role, such as `GROUP_READ_ONLY`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GroupOwner(_) => "GROUP_OWNER",
            Self::GroupModelOwner(_) => "GROUP_MODEL_OWNER",
            Self::GroupReadOnly(_) => "GROUP_READ_ONLY",
            Self::OrgOwner(_) => "ORG_OWNER",
            Self::OrgReadOnly(_) => "ORG_READ_ONLY",
            Self::OrgMember(_) => "ORG_MEMBER",
        }
    }
}

/// Writes the name of the role and the id of the project or organization.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::GroupOwner(group) | Self::GroupModelOwner(group) | Self::GroupReadOnly(group) => {
                write!(f, "{name} in {group}")
            }
            Self::OrgOwner(org) | Self::OrgReadOnly(org) | Self::OrgMember(org) => {
                write!(f, "{name} in {org}")
            }
        }
    }
}

/// Writes the form of Atlas: `{"groupId":"…","roleName":"GROUP_READ_ONLY"}`, or with `orgId`.
impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match self {
            Self::GroupOwner(group) | Self::GroupModelOwner(group) | Self::GroupReadOnly(group) => {
                map.serialize_entry("groupId", group.as_str())?;
            }
            Self::OrgOwner(org) | Self::OrgReadOnly(org) | Self::OrgMember(org) => {
                map.serialize_entry("orgId", org.as_str())?;
            }
        }
        map.serialize_entry("roleName", self.name())?;
        map.end()
    }
}

/// The roles of a credential. `None` means the default roles: `ORG_READ_ONLY` in every organization and
/// `GROUP_READ_ONLY` in every group but the forbidden one.
pub(crate) type Roles = Option<HashSet<Role>>;
