//! A page of groups.

use alloc::string::String;
use alloc::vec::{self, Vec};
use core::fmt;

use crate::decode::{Decoded, GroupSpans};
use crate::list_page::{self, PageSummary, sealed};
use crate::{ApiVersion, ListPage};

/// A group in a list of groups. *Group* is the API's name for a project.
///
/// Atlas guarantees none of the fields: each is `None` if it is absent or null. Other fields of a group are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Group {
    id: Option<String>,
    name: Option<String>,
    org_id: Option<String>,
}

impl Group {
    /// Returns the field `id`, as received. [`GroupId::new`](crate::GroupId::new) parses it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the field `name`. It may hold control characters; see [`is_unsafe_to_show`](crate::is_unsafe_to_show).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the field `orgId`, as received. [`OrgId::new`](crate::OrgId::new) parses it.
    #[must_use]
    pub fn org_id(&self) -> Option<&str> {
        self.org_id.as_deref()
    }
}

/// A page of groups, as [`GroupsRequest`](crate::GroupsRequest) returns it. It owns its texts.
pub struct Groups {
    groups: Vec<Group>,
    /// Whether a link announces a next page, or `None` if the links do not tell.
    says_next: Option<bool>,
    total_count: Option<u64>,
    envelope_status: Option<u16>,
    version: Option<ApiVersion>,
}

impl Groups {
    /// Copies the groups of a body.
    pub(crate) fn new(
        body: &[u8],
        decoded: &Decoded<GroupSpans>,
        version: Option<ApiVersion>,
    ) -> Self {
        // The body was UTF-8 when it was decoded. If its `as_ref` returns other bytes now, the fields are missing.
        let text = core::str::from_utf8(body).unwrap_or_default();
        let group = |spans: &GroupSpans| {
            let fields = spans.fields().map(|span| span.get(text, &decoded.arena));
            let [id, name, org_id] = fields.map(|field| field.map(String::from));
            Group { id, name, org_id }
        };
        let summary = PageSummary::of(decoded, false);
        Self {
            groups: decoded.entries.iter().flatten().map(group).collect(),
            says_next: summary.says_next,
            total_count: summary.total_count,
            envelope_status: decoded.envelope_status(),
            version,
        }
    }

    /// Returns the groups, in Atlas's order.
    #[must_use]
    pub fn as_slice(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the number of groups on this page.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Returns whether the page has no groups.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Returns `totalCount`, Atlas's estimate of the number of groups in the whole list, or `None` if it is absent or not a
    /// whole number from 0.
    #[must_use]
    pub fn total_count(&self) -> Option<u64> {
        self.total_count
    }

    /// Returns whether a link announces a next page (its `rel` is `next`).
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.says_next == Some(true)
    }

    /// Returns the `status` that an envelope adds to the body.
    #[must_use]
    pub fn envelope_status(&self) -> Option<u16> {
        self.envelope_status
    }

    /// Returns the version of the resource that responded.
    #[must_use]
    pub fn version(&self) -> Option<ApiVersion> {
        self.version
    }
}

impl ListPage for Groups {}

impl sealed::ListPage for Groups {
    fn ids(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.groups
            .iter()
            .map(|group| group.id.as_deref().map(str::as_bytes))
    }

    fn summary(&self, is_repetition: bool) -> PageSummary {
        PageSummary {
            entries: self.len(),
            is_empty: self.is_empty(),
            says_next: self.says_next,
            total_count: self.total_count,
            is_repetition,
        }
    }

    fn omit(&mut self, positions: &[usize]) {
        list_page::omit(&mut self.groups, positions);
    }
}

impl<'a> IntoIterator for &'a Groups {
    type Item = &'a Group;
    type IntoIter = core::slice::Iter<'a, Group>;
    fn into_iter(self) -> Self::IntoIter {
        self.groups.iter()
    }
}

impl IntoIterator for Groups {
    type Item = Group;
    type IntoIter = vec::IntoIter<Group>;
    fn into_iter(self) -> Self::IntoIter {
        self.groups.into_iter()
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("groups", &self.len())
            .field("total_count", &self.total_count)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
