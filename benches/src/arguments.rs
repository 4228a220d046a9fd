//! The command line of benchmarks that do not use criterion.

use std::env;

/// The arguments of `cargo bench`: the parts to measure, and whether fewer rounds are enough.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Reads the arguments of this process. Prints the reason and returns `None` if nothing can be measured.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let arguments = Self(env::args().skip(1).collect());
        if !arguments.has("--bench") {
            println!("skipped: run it with `cargo bench`");
            None
        } else if !cfg!(target_os = "linux") {
            println!("skipped: time and memory of a process can be measured only on Linux");
            None
        } else {
            Some(arguments)
        }
    }

    /// Returns whether fewer rounds are enough.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.has("--quick")
    }

    /// Returns whether to measure this part: its name is an argument, or no part is named.
    #[must_use]
    pub fn includes(&self, part: &str) -> bool {
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
    fn parts_that_are_not_named_are_excluded() {
        let arguments = |list: &[&str]| Arguments(list.iter().map(ToString::to_string).collect());
        assert!(arguments(&["--bench", "--quick"]).includes("sizes"));
        assert!(arguments(&["sizes", "--bench"]).includes("sizes"));
        assert!(!arguments(&["page/", "--bench"]).includes("sizes"));
    }
}
