//! Operations that take microseconds, ours and those of other libraries.

mod digest;
mod page;
#[cfg(feature = "benches")]
mod page_peers;
mod request;
mod session;
mod wire;
#[cfg(feature = "benches")]
mod wire_peers;

use std::fmt;
use std::hint::black_box;

/// An operation that a benchmark repeats.
pub struct Case {
    /// The group of cases that are compared.
    pub group: &'static str,
    /// The implementation.
    pub name: &'static str,
    /// The size of the input, if the group has several sizes.
    pub size: Option<usize>,
    /// The number of bytes of the input, if throughput is measured.
    pub bytes: Option<usize>,
    /// Runs the operation once, and drops its result.
    pub run: Box<dyn FnMut()>,
}

impl Case {
    fn new<R>(
        group: &'static str,
        name: &'static str,
        mut run: impl FnMut() -> R + 'static,
    ) -> Self {
        Self {
            group,
            name,
            size: None,
            bytes: None,
            run: Box::new(move || drop(black_box(run()))),
        }
    }

    fn with_size(mut self, size: usize, bytes: usize) -> Self {
        (self.size, self.bytes) = (Some(size), Some(bytes));
        self
    }

    fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes);
        self
    }
}

impl Case {
    /// Returns whether the implementation is part of this project.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("ours")
    }

    /// Returns the name within the group: `ours, borrowed/500`.
    #[must_use]
    pub fn id(&self) -> String {
        match self.size {
            Some(size) => format!("{}/{size}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// Writes the path that criterion uses: `page/ours, borrowed/500`.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.id())
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns all cases. The first of a group is the baseline of the others.
///
/// Some peers need libraries that nothing else needs. The gate for instructions does without them.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        page::cases(),
        #[cfg(feature = "benches")]
        page_peers::cases(),
        request::cases(),
        digest::cases(),
        wire::cases(),
        #[cfg(feature = "benches")]
        wire_peers::cases(),
        session::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
