//! What a client needs for using an emulator: base URL, ids and credentials, as JSON or as variables.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::credentials::CredentialKind;

/// The maximum number of ids in `MONGODB_ATLAS_PROJECT_IDS`. Linux starts no program with a variable
/// of more than 128 KiB, and a thousand ids have 25 KiB.
const MAX_LISTED: usize = 1000;

/// What a client needs for using an emulator: the base URL, ids and credentials.
/// [`Emulator::environment`](crate::Emulator::environment) returns it.
///
/// ```
/// use atlas_model_keys_emulator::{Config, Emulator};
/// let environment = Emulator::new(Config::default()).environment("http://127.0.0.1:8080");
/// assert!(environment.to_shell().starts_with("export MONGODB_ATLAS_BASE_URL=http://127.0.0.1:8080\n"));
/// assert!(environment.to_dotenv().starts_with("MONGODB_ATLAS_BASE_URL=http://127.0.0.1:8080\n"));
/// assert!(environment.to_json().starts_with(r#"{"baseUrl":"http://127.0.0.1:8080","#));
/// ```
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Environment {
    /// The base URL, without a trailing slash.
    pub base_url: String,
    /// The id of the first project.
    pub project_id: String,
    /// The id of the organization that the first project belongs to.
    pub org_id: String,
    /// All projects, in the order of the list of groups.
    pub projects: Vec<Project>,
    /// The public key of the API key (the user name of digest authentication).
    pub public_api_key: String,
    /// The private key of the API key (the password of digest authentication).
    pub private_api_key: String,
    /// The client id of the service account.
    pub client_id: String,
    /// The client secret of the service account.
    pub client_secret: String,
    /// The access token that exists from the start.
    pub access_token: String,
}

/// A project (group) of an [`Environment`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Project {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The id of its organization.
    pub org_id: String,
    /// The credentials of the [`Environment`] that may list its keys.
    pub listable_by: Vec<CredentialKind>,
}

impl Environment {
    /// Returns the variables that `atlas-model-keys` and other tools for Atlas read, and two more:
    /// `MONGODB_ATLAS_PROJECT_IDS` contains the ids of all projects, but at most 1000, with commas
    /// between them; `MONGODB_ATLAS_FORBIDDEN_PROJECT_ID` is the first project whose keys no credential
    /// may list, if there is one.
    ///
    /// The access token is not among them, because `atlas-model-keys` prefers it to the other credentials.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let ids = self.projects.iter().take(MAX_LISTED);
        let ids: Vec<&str> = ids.map(|project| project.id.as_str()).collect();
        let mut variables = vec![
            ("MONGODB_ATLAS_BASE_URL", self.base_url.clone()),
            ("MONGODB_ATLAS_PROJECT_ID", self.project_id.clone()),
            ("MONGODB_ATLAS_PROJECT_IDS", ids.join(",")),
            ("MONGODB_ATLAS_ORG_ID", self.org_id.clone()),
            ("MONGODB_ATLAS_PUBLIC_API_KEY", self.public_api_key.clone()),
            (
                "MONGODB_ATLAS_PRIVATE_API_KEY",
                self.private_api_key.clone(),
            ),
            ("MONGODB_ATLAS_CLIENT_ID", self.client_id.clone()),
            ("MONGODB_ATLAS_CLIENT_SECRET", self.client_secret.clone()),
        ];
        let is_forbidden = |project: &&Project| project.listable_by.is_empty();
        if let Some(forbidden) = self.projects.iter().find(is_forbidden) {
            let id = forbidden.id.clone();
            variables.push(("MONGODB_ATLAS_FORBIDDEN_PROJECT_ID", id));
        }
        variables
    }

    /// Returns one JSON document in one line, without a line break at the end. It also has the access token, and
    /// the credentials that may list each project.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serializing texts and lists cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns lines of `NAME=value` for `docker --env-file`, `$GITHUB_ENV` and libraries that read `.env`
    /// files. These do not agree on quotes, so there are none; control characters are left out.
    #[must_use]
    pub fn to_dotenv(&self) -> String {
        let line = |(name, value): (&str, String)| {
            let value = value.replace(|c: char| c.is_control(), "");
            format!("{name}={value}\n")
        };
        self.variables().into_iter().map(line).collect()
    }

    /// Returns lines of `export NAME=value` for a POSIX shell.
    #[must_use]
    pub fn to_shell(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.variables() {
            // Writing to a `String` cannot fail.
            let _ = writeln!(out, "export {name}={}", Self::shell_word(&value));
        }
        out
    }

    /// Returns a word for a POSIX shell. It is quoted if it contains a character that a shell might
    /// interpret.
    #[must_use]
    pub fn shell_word(text: &str) -> String {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/:,".contains(&b);
        if !text.is_empty() && text.bytes().all(is_plain) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    }
}

/// Shows no credential.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("base_url", &self.base_url)
            .field("org_id", &self.org_id)
            .field("projects", &self.projects)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_if_necessary() {
        let word = Environment::shell_word;
        assert_eq!(word("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(word("mdb_sa_sk_a-B_9"), "mdb_sa_sk_a-B_9");
        assert_eq!(word("a,b"), "a,b");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b$c"), "'a b$c'");
        assert_eq!(word("it's"), r"'it'\''s'");
    }
}
