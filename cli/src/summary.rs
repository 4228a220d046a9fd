//! What was listed, source by source.

use std::collections::BTreeMap;

use atlas_model_keys_core::ModelKey;

use crate::failure::Projects;

/// The sources of a listing, in the order in which they were listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) kind: SourceKind,
    pub(crate) sources: Vec<ListedSource>,
    /// The number of sources that are going to be listed, if it is known.
    pub(crate) expected: usize,
    /// The names of the projects of an organization, by their ids.
    pub(crate) names: BTreeMap<String, String>,
}

impl Summary {
    /// Returns how many projects or organizations were begun, and how many of them failed.
    pub(crate) fn projects(&self) -> Projects {
        let failed = self.sources.iter().filter(|source| source.error.is_some());
        Projects {
            failed: failed.count(),
            total: self.sources.len(),
            expected: self.expected.max(self.sources.len()),
        }
    }

    /// Takes the names of projects, by their ids. The sources are organizations then.
    pub(crate) fn set_names(&mut self, names: BTreeMap<String, String>) {
        self.names = names;
        self.kind = SourceKind::Organization;
    }

    /// Begins the next project or organization.
    pub(crate) fn begin(&mut self, id: String, name: Option<String>) {
        self.sources.push(ListedSource::new(id, name));
    }

    /// Records why some or all keys of the current project or organization cannot be read.
    pub(crate) fn fail(&mut self, error: String) {
        if let Some(source) = self.sources.last_mut() {
            source.error = Some(error);
        }
    }

    /// Returns the name of the project of a key that the current source has, if it is known.
    pub(crate) fn group_name(&self, key: ModelKey<'_>) -> Option<&str> {
        let name = self
            .sources
            .last()
            .and_then(|source| source.name.as_deref());
        name.or_else(|| self.names.get(key.group_id()?).map(String::as_str))
    }

    /// Returns the number of keys that Atlas sent.
    pub(crate) fn received(&self) -> u64 {
        let received = self.sources.iter().map(|source| source.received);
        received.fold(0, u64::saturating_add)
    }

    /// Takes the number of projects that are going to be listed, in addition to those that have failed already.
    pub(crate) fn expect(&mut self, projects: usize) {
        self.expected = self.sources.len().saturating_add(projects);
    }

    /// Returns the number of keys in the output.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.sources.iter().map(|source| source.count);
        counts.fold(0, u64::saturating_add)
    }
}

/// The kind of all sources of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SourceKind {
    #[default]
    Project,
    Organization,
}

/// A project or an organization whose keys were listed, or failed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedSource {
    /// The id of the project (group) or organization.
    pub(crate) id: String,
    /// The name, if it is known.
    pub(crate) name: Option<String>,
    /// The number of keys in the output, so those that a filter dropped do not count.
    pub(crate) count: u64,
    /// The number of keys that Atlas sent.
    pub(crate) received: u64,
    /// Atlas's last estimate of the number of keys, if it sent one.
    pub(crate) total: Option<u64>,
    /// Why the listing of this source failed. Keys that came before the failure are in the output.
    pub(crate) error: Option<String>,
}

impl ListedSource {
    /// Records a page with this number of keys, of which `kept` are in the output.
    pub(crate) fn record(&mut self, received: usize, kept: u64) {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        self.received = self.received.saturating_add(received);
        self.count = self.count.saturating_add(kept);
    }

    /// Creates a source from which nothing was received yet.
    pub(crate) fn new(id: impl Into<String>, name: Option<String>) -> Self {
        Self {
            id: id.into(),
            name,
            count: 0,
            received: 0,
            total: None,
            error: None,
        }
    }
}
