//! The environment variables, read once.

use std::collections::BTreeMap;
use std::ffi::OsString;

use atlas_model_keys_ureq::Proxy;

use crate::failure::Failure;

pub(crate) const ACCESS_TOKEN: &str = "MONGODB_ATLAS_ACCESS_TOKEN";
pub(crate) const CLIENT_ID: &str = "MONGODB_ATLAS_CLIENT_ID";
pub(crate) const CLIENT_SECRET: &str = "MONGODB_ATLAS_CLIENT_SECRET";
pub(crate) const PUBLIC_KEY: &str = "MONGODB_ATLAS_PUBLIC_API_KEY";
pub(crate) const PRIVATE_KEY: &str = "MONGODB_ATLAS_PRIVATE_API_KEY";
/// What the Terraform provider and the Kubernetes operator call the two.
pub(crate) const PUBLIC_KEY_SHORT: &str = "MONGODB_ATLAS_PUBLIC_KEY";
pub(crate) const PRIVATE_KEY_SHORT: &str = "MONGODB_ATLAS_PRIVATE_KEY";
pub(crate) const PROJECT_ID: &str = "MONGODB_ATLAS_PROJECT_ID";
pub(crate) const BASE_URL: &str = "MONGODB_ATLAS_BASE_URL";

/// The variables of a process, or of a test. No `Debug`: there are secrets in it.
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub(crate) fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// The value of a variable. An empty one is as good as none: that is how a script unsets it.
    pub(crate) fn get(&self, name: &'static str) -> Result<Option<&str>, Failure> {
        match self.0.get(&OsString::from(name)) {
            Some(value) if !value.is_empty() => match value.to_str() {
                Some(text) => Ok(Some(text)),
                None => Err(Failure::usage(format!("{name} is not UTF-8 text"))),
            },
            _ => Ok(None),
        }
    }

    /// The variable that the transport takes a proxy from.
    pub(crate) fn proxy(&self) -> Option<&'static str> {
        Proxy::VARIABLES
            .into_iter()
            .find(|name| !matches!(self.get(name), Ok(None)))
    }

    /// Whether colours and cursor movements are welcome, as far as the environment is concerned
    /// (<https://no-color.org>).
    pub(crate) fn allows_colour(&self) -> bool {
        let is_set = |name: &str| {
            self.0
                .get(&OsString::from(name))
                .is_some_and(|v| !v.is_empty())
        };
        !is_set("NO_COLOR") && !self.has_dumb_terminal()
    }

    pub(crate) fn has_dumb_terminal(&self) -> bool {
        self.0
            .get(&OsString::from("TERM"))
            .is_some_and(|term| term == "dumb")
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_not_set() {
        let environment = Environment::from([(PROJECT_ID, ""), (BASE_URL, "x"), ("NO_COLOR", "")]);
        assert_eq!(environment.get(PROJECT_ID).unwrap(), None);
        assert_eq!(environment.get(BASE_URL).unwrap(), Some("x"));
        assert_eq!(environment.get(CLIENT_ID).unwrap(), None);
        assert!(environment.allows_colour());
        assert!(!Environment::from([("NO_COLOR", "1")]).allows_colour());
        assert!(!Environment::from([("TERM", "dumb")]).allows_colour());
    }
}
