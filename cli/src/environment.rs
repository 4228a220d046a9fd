//! The environment variables, which are read once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;

use atlas_model_keys_core::{BaseUrl, Proxy};

use crate::failure::CommandError;

pub(crate) const ACCESS_TOKEN: &str = "MONGODB_ATLAS_ACCESS_TOKEN";
pub(crate) const CLIENT_ID: &str = "MONGODB_ATLAS_CLIENT_ID";
pub(crate) const CLIENT_SECRET: &str = "MONGODB_ATLAS_CLIENT_SECRET";
pub(crate) const PUBLIC_KEY: &str = "MONGODB_ATLAS_PUBLIC_API_KEY";
pub(crate) const PRIVATE_KEY: &str = "MONGODB_ATLAS_PRIVATE_API_KEY";
/// The name in the Terraform provider and the Kubernetes operator.
pub(crate) const PUBLIC_KEY_SHORT: &str = "MONGODB_ATLAS_PUBLIC_KEY";
/// The name in the Terraform provider and the Kubernetes operator.
pub(crate) const PRIVATE_KEY_SHORT: &str = "MONGODB_ATLAS_PRIVATE_KEY";
pub(crate) const PROJECT_ID: &str = "MONGODB_ATLAS_PROJECT_ID";
pub(crate) const ORG_ID: &str = "MONGODB_ATLAS_ORG_ID";
pub(crate) const BASE_URL: &str = "MONGODB_ATLAS_BASE_URL";
/// The Atlas CLI's variable for the base URL.
pub(crate) const OPS_MANAGER_URL: &str = "MONGODB_ATLAS_OPS_MANAGER_URL";
/// The Atlas CLI's variable for the cloud.
pub(crate) const SERVICE: &str = "MONGODB_ATLAS_SERVICE";
/// The variables that the transport reads as paths of certificates.
pub(crate) const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The variables of a process, or of a test. There is no `Debug`, because they contain secrets.
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub(crate) fn of_this_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Returns the value of a variable. An empty variable counts as unset, because scripts unset variables
    /// this way.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, CommandError> {
        match self.0.get(&OsString::from(name)) {
            Some(value) if !value.is_empty() => match value.to_str() {
                Some(text) => Ok(Some(text)),
                // Its value may be a secret.
                None => Err(CommandError::usage(format!(
                    "the variable {name} of the environment is not UTF-8"
                ))
                .hint("set it anew, or unset it to do without")),
            },
            _ => Ok(None),
        }
    }

    /// Returns the variable from which the transport takes the proxy for this base URL, if there is one.
    pub(crate) fn proxy(&self, base: &BaseUrl) -> Result<Option<&'static str>, CommandError> {
        let unreadable = Cell::new(None);
        let value_of = |name: &str| match self.get(name) {
            Ok(value) => value.map(str::to_owned),
            Err(failure) => {
                unreadable.set(Some(failure));
                None
            }
        };
        let proxy = Proxy::from_variables(base, value_of);
        match (unreadable.take(), proxy) {
            (Some(failure), _) => Err(failure),
            (None, Ok(None)) => Ok(None),
            // An invalid proxy is refused by the client.
            (None, _) => Ok(Proxy::variables(base).iter().copied().find(|name| {
                let value = self.get(name).ok().flatten();
                value.is_some_and(|value| !value.trim().is_empty())
            })),
        }
    }

    /// Returns whether the environment allows colours and cursor movements
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
    fn empty_variable_is_not_set() {
        let environment = Environment::from([(PROJECT_ID, ""), (BASE_URL, "x"), ("NO_COLOR", "")]);
        assert_eq!(environment.get(PROJECT_ID).unwrap(), None);
        assert_eq!(environment.get(BASE_URL).unwrap(), Some("x"));
        assert_eq!(environment.get(CLIENT_ID).unwrap(), None);
        assert!(environment.allows_colour());
        assert!(!Environment::from([("NO_COLOR", "1")]).allows_colour());
        assert!(!Environment::from([("TERM", "dumb")]).allows_colour());
    }

    #[test]
    fn proxy_variable_is_that_of_the_base_url() {
        let environment = Environment::from([
            ("http_proxy", "proxy.example"),
            ("HTTPS_PROXY", "proxy.example"),
            ("https_proxy", " "),
            ("ALL_PROXY", "proxy.example"),
            ("NO_PROXY", "exempt.example"),
        ]);
        for (base, variable) in [
            ("https://atlas.example", Some("HTTPS_PROXY")),
            ("http://atlas.example", Some("http_proxy")),
            ("https://exempt.example", None),
            ("http://127.0.0.1:1", None),
        ] {
            let base = BaseUrl::allowing_plain_http(base).unwrap();
            assert_eq!(environment.proxy(&base).unwrap(), variable, "{base}");
        }
        let broken = Environment::from([("ALL_PROXY", "socks5://x")]);
        let variable = broken.proxy(&BaseUrl::default()).unwrap();
        assert_eq!(variable, Some("ALL_PROXY"));
    }
}
