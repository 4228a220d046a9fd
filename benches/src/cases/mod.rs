//! Pieces of work that take microseconds, ours beside others'.

mod digest;
mod page;
mod request;
mod session;
mod wire;

use std::fmt;
use std::hint::black_box;

/// A piece of work, done again and again.
pub struct Case {
    /// What it is compared within.
    pub group: &'static str,
    /// Who does it, and how.
    pub name: &'static str,
    /// How much of it there is, where a group has several sizes.
    pub size: Option<usize>,
    /// How many bytes go in, where that is the measure.
    pub bytes: Option<usize>,
    /// Does it once. What comes of it is dropped within.
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

    fn of_size(mut self, size: usize, bytes: usize) -> Self {
        (self.size, self.bytes) = (Some(size), Some(bytes));
        self
    }

    fn of_bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes);
        self
    }
}

impl Case {
    /// Whether it is a piece of this project.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("ours")
    }

    /// What it is within its group: `ours, borrowed/500`.
    #[must_use]
    pub fn id(&self) -> String {
        match self.size {
            Some(size) => format!("{}/{size}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// Its path, as criterion writes it: `page/ours, borrowed/500`.
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

/// All of them, group by group; what the others of a group are compared with comes first.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        page::cases(),
        request::cases(),
        digest::cases(),
        wire::cases(),
        session::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
