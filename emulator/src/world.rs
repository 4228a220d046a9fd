//! The organizations and groups of an emulator, and who may see them.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::sync::Arc;

use atlas_model_keys_core::{GroupId, OrgId};

use crate::bucket::BucketState;
use crate::calendar::short_timestamp;
use crate::config::Config;
use crate::data::Data;
use crate::errors::AtlasError;
use crate::generate;
use crate::key::Key;
use crate::roles::{Role, Roles};

/// The organizations and their groups.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// There is at least one.
    orgs: Vec<Org>,
    /// There is at least one.
    groups: Vec<Group>,
    org_index: HashMap<OrgId, usize>,
    group_index: HashMap<GroupId, usize>,
    /// The group that the default roles leave out.
    pub(crate) forbidden_group: Option<GroupId>,
}

/// An organization, with the state of its rate limiter.
#[derive(Clone, Debug)]
pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) bucket: BucketState,
    /// The indices of its groups.
    groups: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) org_id: OrgId,
    pub(crate) name: String,
    pub(crate) created: String,
    /// Shared with copies of the emulator, because these are by far the most data.
    pub(crate) keys: Arc<Vec<Key>>,
    pub(crate) bucket: BucketState,
}

impl World {
    /// Creates what the data has, or else what the configuration asks for.
    pub(crate) fn new(config: &Config, data: Option<Data>) -> Self {
        match data {
            Some(data) => Self::from_data(config, data),
            None => Self::generate(config),
        }
    }

    fn generate(config: &Config) -> Self {
        let orgs = generate::org_ids(config);
        // Distributed in turn, so that the first groups belong to different organizations.
        let groups: Vec<Group> = iter::zip(generate::groups(config), orgs.iter().cycle())
            .map(|(group, org)| Group {
                id: group.id,
                org_id: *org,
                name: group.name,
                created: group.created,
                keys: Arc::new(group.keys),
                bucket: BucketState::default(),
            })
            .collect();
        let forbidden_group = match groups.as_slice() {
            [_, .., last] => Some(last.id),
            _ => None,
        };
        Self {
            forbidden_group,
            ..Self::index(orgs, groups)
        }
    }

    /// Creates the groups of the data. Without any, the keys belong to a generated group.
    fn from_data(config: &Config, data: Data) -> Self {
        const AGE: u64 = 600 * 24 * 3600;
        let created = short_timestamp(config.present.as_secs().saturating_sub(AGE));
        let mut orgs = data.orgs;
        if orgs.is_empty() {
            orgs.extend(generate::org_ids(config).into_iter().take(1));
        }
        let first_org = orgs[0];
        if data.groups.is_empty() {
            let group_ids = config.group_ids.iter().copied().take(1);
            let config = config.clone().with_groups(1).with_keys_per_group(0);
            let mut world = Self::generate(
                &config
                    .with_group_ids(group_ids.collect())
                    .with_organizations(orgs.len())
                    .with_org_ids(orgs),
            );
            world.groups[0].keys = Arc::new(data.keys);
            return world;
        }
        let groups = (1..).zip(data.groups).map(|(number, group)| Group {
            id: group.id,
            org_id: group.org_id.unwrap_or(first_org),
            name: group.name.unwrap_or_else(|| format!("Project-{number}")),
            created: group.created.unwrap_or_else(|| created.clone()),
            keys: Arc::new(group.keys),
            bucket: BucketState::default(),
        });
        Self::index(orgs, groups.collect())
    }

    fn index(orgs: Vec<OrgId>, groups: Vec<Group>) -> Self {
        let org_index: HashMap<_, _> = orgs.iter().copied().zip(0..).collect();
        let mut orgs: Vec<Org> = orgs
            .into_iter()
            .map(|id| Org {
                id,
                bucket: BucketState::default(),
                groups: Vec::new(),
            })
            .collect();
        for (index, group) in groups.iter().enumerate() {
            if let Some(org) = org_index
                .get(&group.org_id)
                .and_then(|at| orgs.get_mut(*at))
            {
                org.groups.push(index);
            }
        }
        Self {
            orgs,
            group_index: groups.iter().map(|group| group.id).zip(0..).collect(),
            groups,
            org_index,
            forbidden_group: None,
        }
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the first group. If it was generated, it has [`Config::keys_per_group`] keys.
    pub(crate) fn first_group(&self) -> &Group {
        &self.groups[0]
    }

    pub(crate) fn orgs(&self) -> &[Org] {
        &self.orgs
    }

    pub(crate) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(*self.group_index.get(&id)?)
    }

    pub(crate) fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(*self.group_index.get(&id)?)
    }

    /// Returns the groups of an organization, or nothing if there is no such organization.
    pub(crate) fn groups_of(&self, org: OrgId) -> impl Iterator<Item = &Group> {
        let org = self.org_index.get(&org).and_then(|at| self.orgs.get(*at));
        let indices = org.into_iter().flat_map(|org| &org.groups);
        indices.filter_map(|index| self.groups.get(*index))
    }

    /// Returns the bucket of an organization.
    pub(crate) fn org_bucket(&mut self, org: OrgId) -> Option<&mut BucketState> {
        let org = self.orgs.get_mut(*self.org_index.get(&org)?)?;
        Some(&mut org.bucket)
    }

    /// Fills all buckets.
    pub(crate) fn reset_buckets(&mut self) {
        let buckets = self.orgs.iter_mut().map(|org| &mut org.bucket);
        for bucket in buckets.chain(self.groups.iter_mut().map(|group| &mut group.bucket)) {
            *bucket = BucketState::default();
        }
    }

    /// Returns the group with this id, if these roles allow to list its keys.
    pub(crate) fn readable_group(
        &mut self,
        id: &str,
        roles: &Roles,
    ) -> Result<&mut Group, AtlasError> {
        let group_id = GroupId::new(id).map_err(|_| AtlasError::resource_not_found(id))?;
        let group = self
            .group(group_id)
            .ok_or_else(|| AtlasError::group_not_found(id))?;
        if !self.can_read_group(roles, group) {
            return Err(AtlasError::unauthorized());
        }
        self.group_mut(group_id)
            .ok_or_else(|| AtlasError::group_not_found(id))
    }

    /// Returns whether these roles allow to list the keys of a group.
    pub(crate) fn can_read_group(&self, roles: &Roles, group: &Group) -> bool {
        match roles {
            None => self.forbidden_group != Some(group.id),
            Some(roles) => {
                has_role_in_group(roles, group) || roles.contains(&Role::OrgOwner(group.org_id))
            }
        }
    }

    /// Returns the id of the organization, if these roles allow to list its keys.
    pub(crate) fn readable_org(&self, id: &str, roles: &Roles) -> Result<OrgId, AtlasError> {
        OrgId::new(id)
            .ok()
            .filter(|org| self.org_index.contains_key(org))
            .map(|org| can_read_org(roles, org).then_some(org))
            .ok_or_else(|| AtlasError::resource_not_found(id))?
            .ok_or_else(AtlasError::unauthorized)
    }

    /// Returns the groups in the list of groups: those in which there is a role, and all groups of an
    /// organization that may be read.
    pub(crate) fn visible_groups(&self, roles: &Roles) -> Vec<&Group> {
        let is_visible = |group: &&Group| {
            can_read_org(roles, group.org_id)
                || roles
                    .as_ref()
                    .is_some_and(|roles| has_role_in_group(roles, group))
        };
        self.groups.iter().filter(is_visible).collect()
    }

    /// Returns the roles of a credential for which no roles were set.
    pub(crate) fn default_roles(&self) -> HashSet<Role> {
        let groups = self.groups.iter().map(|group| group.id);
        let groups = groups.filter(|id| Some(*id) != self.forbidden_group);
        let orgs = self.orgs.iter().map(|org| org.id);
        orgs.map(Role::OrgReadOnly)
            .chain(groups.map(Role::GroupReadOnly))
            .collect()
    }
}

fn has_role_in_group(roles: &HashSet<Role>, group: &Group) -> bool {
    Role::IN_GROUP
        .iter()
        .any(|role| roles.contains(&role(group.id)))
}

fn can_read_org(roles: &Roles, org: OrgId) -> bool {
    roles.as_ref().is_none_or(|roles| {
        [Role::OrgOwner(org), Role::OrgReadOnly(org)]
            .iter()
            .any(|role| roles.contains(role))
    })
}
