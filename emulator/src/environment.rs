//! What a client needs for using an emulator: base URL, ids and credentials, as JSON or as variables.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::credentials::CredentialKind;
use crate::quoted::quoted;
use crate::roles::Role;

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
    /// The path of a file with the certificate of the authority that clients must trust, if the server speaks
    /// HTTPS. An emulator does not know it, so it is `None` until it is set.
    pub ca_file: Option<String>,
    /// The id of the first project.
    pub project_id: String,
    /// The id of the organization that the first project belongs to.
    pub org_id: String,
    /// The public key of the first API key (the user name of digest authentication).
    pub public_key: String,
    /// The private key of the first API key (the password of digest authentication).
    pub private_key: String,
    /// The client id of the first service account.
    pub client_id: String,
    /// The client secret of the first service account.
    pub client_secret: String,
    /// The first access token that exists from the start.
    pub access_token: String,
    /// All organizations, also those without projects.
    pub organizations: Vec<Organization>,
    /// All projects, in the order of the list of groups.
    pub projects: Vec<Project>,
    /// All credentials: API keys, service accounts, and access tokens that exist from the start.
    pub credentials: Vec<EnvironmentCredential>,
}

/// An organization of an [`Environment`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Organization {
    /// The id.
    pub id: String,
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
    /// The kinds of credentials of which the first one may list its keys. For further credentials, see their
    /// roles.
    pub listable_by: Vec<CredentialKind>,
}

/// A credential of an [`Environment`].
///
/// In JSON it has the form that [`Data::from_json`](crate::Data::from_json) reads, and its `kind`.
#[derive(Clone)]
#[non_exhaustive]
pub struct EnvironmentCredential {
    /// The kind.
    pub kind: CredentialKind,
    /// The public key or the client id. An access token has no name.
    pub name: Option<String>,
    /// The private key, the client secret or the access token.
    pub secret: String,
    /// The roles, in a constant order. They are shared, because many credentials may have the default roles.
    pub roles: Arc<[Role]>,
}

impl Serialize for EnvironmentCredential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, secret) = match self.kind {
            CredentialKind::ApiKey => ("publicKey", "privateKey"),
            CredentialKind::ServiceAccount => ("clientId", "clientSecret"),
            CredentialKind::AccessToken => ("", "accessToken"),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind)?;
        if let Some(value) = &self.name {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(secret, &self.secret)?;
        map.serialize_entry("roles", &*self.roles)?;
        map.end()
    }
}

/// Does not show the secret.
impl fmt::Debug for EnvironmentCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvironmentCredential")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

/// A format of an [`Environment`].
///
/// ```
/// use atlas_model_keys_emulator::EnvironmentFormat;
/// assert_eq!("dotenv".parse(), Ok(EnvironmentFormat::Dotenv));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnvironmentFormat {
    /// [`Environment::to_shell`].
    Shell,
    /// [`Environment::to_dotenv`].
    Dotenv,
    /// [`Environment::to_json`], with a line break at the end.
    Json,
}

impl EnvironmentFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Shell, Self::Dotenv, Self::Json];

    /// Returns the name: `shell`, `dotenv` or `json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "shell",
            Self::Dotenv => "dotenv",
            Self::Json => "json",
        }
    }
}

impl FromStr for EnvironmentFormat {
    type Err = InvalidFormat;

    fn from_str(text: &str) -> Result<Self, InvalidFormat> {
        let mut formats = Self::ALL.into_iter();
        let found = formats.find(|format| format.as_str() == text);
        found.ok_or_else(|| InvalidFormat(quoted(text)))
    }
}

/// The text is not the name of an [`EnvironmentFormat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFormat(String);

impl fmt::Display for InvalidFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format is json, dotenv or shell, not {}", self.0)
    }
}

impl std::error::Error for InvalidFormat {}

impl Environment {
    /// Returns the variables that `atlas-model-keys` and other tools for Atlas read, and up to three more:
    ///
    /// - `MONGODB_ATLAS_PROJECT_IDS` contains the ids of all projects, but at most 1000, with commas between them;
    /// - `MONGODB_ATLAS_FORBIDDEN_PROJECT_ID` is the first project whose keys none of these credentials may list,
    ///   if there is one;
    /// - `MONGODB_ATLAS_CA_FILE` is [`ca_file`](Self::ca_file), if it is set. It is not `SSL_CERT_FILE`, because
    ///   with that variable a program would no longer trust any other server.
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
            ("MONGODB_ATLAS_PUBLIC_API_KEY", self.public_key.clone()),
            ("MONGODB_ATLAS_PRIVATE_API_KEY", self.private_key.clone()),
            ("MONGODB_ATLAS_CLIENT_ID", self.client_id.clone()),
            ("MONGODB_ATLAS_CLIENT_SECRET", self.client_secret.clone()),
        ];
        if let Some(forbidden) = self.forbidden_project() {
            let id = forbidden.id.clone();
            variables.push(("MONGODB_ATLAS_FORBIDDEN_PROJECT_ID", id));
        }
        if let Some(file) = &self.ca_file {
            variables.push(("MONGODB_ATLAS_CA_FILE", file.clone()));
        }
        variables
    }

    /// Returns the first project whose keys none of the exported credentials may list.
    fn forbidden_project(&self) -> Option<&Project> {
        let mut projects = self.projects.iter();
        projects.find(|project| project.listable_by.is_empty())
    }

    /// Returns the text in this format. It ends with a line break.
    #[must_use]
    pub fn to_text(&self, format: EnvironmentFormat) -> String {
        match format {
            EnvironmentFormat::Shell => self.to_shell(),
            EnvironmentFormat::Dotenv => self.to_dotenv(),
            EnvironmentFormat::Json => self.to_json() + "\n",
        }
    }

    /// Returns one JSON document in one line, without a line break at the end. It also has all organizations,
    /// projects and credentials with their roles.
    ///
    /// [`Data::from_json`](crate::Data::from_json) reads it. An emulator with that data has these organizations,
    /// projects, credentials and roles, and no keys.
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

    /// Returns lines of `export NAME=value` for a POSIX shell, and then curl commands in comments.
    #[must_use]
    pub fn to_shell(&self) -> String {
        let mut out = String::new();
        // Writing to a `String` cannot fail.
        for (name, value) in self.variables() {
            let _ = writeln!(out, "export {name}={}", shell_word(&value));
        }
        // Line by line, because a line break in a value would end the comment.
        for line in self.commands().lines() {
            let _ = writeln!(out, "# {line}");
        }
        out
    }

    /// Returns commands to copy, which are indented, and their descriptions.
    fn commands(&self) -> String {
        let mut out = String::new();
        let mut add = |about: &str, commands: &[String]| {
            let _ = writeln!(out, "{about}");
            for command in commands {
                let _ = writeln!(out, "  {command}");
            }
        };
        let mut curl = "curl".to_owned();
        if let Some(file) = &self.ca_file {
            let file = shell_word(file);
            curl = format!("curl --cacert {file}");
            add(
                "To make a program trust this server, set one of these variables. The first two replace the usual \
                 authorities, the third adds to them:",
                &[
                    format!(
                        "export SSL_CERT_FILE={file} # atlas-model-keys, curl, Go, Python's ssl"
                    ),
                    format!("export REQUESTS_CA_BUNDLE={file} # Python's requests"),
                    format!("export NODE_EXTRA_CA_CERTS={file} # Node"),
                ],
            );
        }
        let groups = format!("{}/api/atlas/v2/groups", self.base_url);
        // With the header `Accept` and the URL.
        let keys = |kind| {
            let mut projects = self.projects.iter();
            let project = projects.find(|project| project.listable_by.contains(&kind))?;
            let url = format!("{groups}/{}/aiModelApiKeys?pretty=true", project.id);
            Some(format!(
                "--header 'Accept: application/vnd.atlas.preview+json' {}",
                shell_word(&url)
            ))
        };
        let api_key = shell_word(&format!("{}:{}", self.public_key, self.private_key));
        let client = shell_word(&format!("{}:{}", self.client_id, self.client_secret));
        let token = shell_word(&self.access_token);

        add(
            "With all of these set, `atlas-model-keys list` uses the service account. To use the API key instead:",
            &["unset MONGODB_ATLAS_CLIENT_ID MONGODB_ATLAS_CLIENT_SECRET".to_owned()],
        );
        if let Some(keys) = keys(CredentialKind::ApiKey) {
            add(
                "The keys of the first project that the API key may list (digest):",
                &[format!("{curl} --digest --user {api_key} {keys}")],
            );
        }
        add(
            "The list of projects:",
            &[format!(
                "{curl} --digest --user {api_key} --header 'Accept: application/vnd.atlas.2023-01-01+json' {}",
                shell_word(&format!("{groups}?pretty=true"))
            )],
        );
        add(
            "A new access token for the service account, which can have 100 at a time:",
            &[format!(
                "{curl} --user {client} --data grant_type=client_credentials {}",
                shell_word(&format!("{}/api/oauth/token", self.base_url))
            )],
        );
        if let Some(keys) = keys(CredentialKind::AccessToken) {
            add(
                "The keys of the first project that the access token may list. This token does not expire:",
                &[format!("{curl} --oauth2-bearer {token} {keys}")],
            );
        }
        add(
            "The access token for `atlas-model-keys list`, which prefers it to the other credentials:",
            &[format!("export MONGODB_ATLAS_ACCESS_TOKEN={token}")],
        );
        if let Some(forbidden) = self.forbidden_project() {
            let _ = writeln!(
                out,
                "None of these credentials may list the keys of this project (401 USER_UNAUTHORIZED): {}",
                forbidden.id
            );
        }
        out
    }
}

/// Returns a word for a POSIX shell. It is quoted if it contains a character that a shell might interpret.
fn shell_word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/:,".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
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
        let word = shell_word;
        assert_eq!(word("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(word("mdb_sa_sk_a-B_9"), "mdb_sa_sk_a-B_9");
        assert_eq!(word("a,b"), "a,b");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b$c"), "'a b$c'");
        assert_eq!(word("it's"), r"'it'\''s'");
    }
}
