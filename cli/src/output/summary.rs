//! What was listed, source by source.

use crate::failure::Projects;

/// The sources of a listing, in the order in which they were listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) kind: SourceKind,
    pub(crate) sources: Vec<ListedSource>,
    /// The number of sources that are going to be listed, if it is known.
    pub(crate) expected: usize,
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
