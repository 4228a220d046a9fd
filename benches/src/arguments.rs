//! What `cargo bench` is told, for benches without criterion.

use std::env;

/// What is to be measured, and how long that may take.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// `None` where nothing is to be measured, and says why.
    #[must_use]
    pub fn of_bench() -> Option<Self> {
        let arguments = Self(env::args().skip(1).collect());
        if !arguments.has("--bench") {
            println!("skipped: `cargo bench` runs it");
            None
        } else if !cfg!(target_os = "linux") {
            println!("skipped: what a process cost is read as only Linux tells it");
            None
        } else {
            Some(arguments)
        }
    }

    /// Whether a rough figure is enough.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.has("--quick")
    }

    /// Whether this part is among those that were asked for, if any were.
    #[must_use]
    pub fn wants(&self, part: &str) -> bool {
        let mut names = self.0.iter().filter(|argument| !argument.starts_with("--"));
        names.clone().next().is_none() || names.any(|name| name == part)
    }

    fn has(&self, argument: &str) -> bool {
        self.0.iter().any(|given| given == argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_left_out() {
        let arguments = |list: &[&str]| Arguments(list.iter().map(ToString::to_string).collect());
        assert!(arguments(&["--bench", "--quick"]).wants("sizes"));
        assert!(arguments(&["sizes", "--bench"]).wants("sizes"));
        assert!(!arguments(&["page/", "--bench"]).wants("sizes"));
    }
}
