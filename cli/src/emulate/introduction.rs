//! The text that is printed at the start.

use std::fmt::Write as _;

use atlas_model_keys_emulator::{Emulator, Environment};

use crate::args::EmulateArgs;
use crate::environment::{ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET};

/// Returns the text that is printed at the start: exports for a shell, and comments for people.
pub(super) fn introduction(base: &str, emulator: &Emulator, args: &EmulateArgs) -> String {
    let group = emulator.first_group();
    let key = emulator.api_key();
    let account = emulator.service_account();
    let ca = args.tls_ca.as_deref().map(|path| {
        // Other terminals may be in another folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match path.to_string_lossy() {
            // A line break would end the comment.
            path if path.contains(char::is_control) => "FILE".to_owned(),
            path => Environment::shell_word(&path),
        }
    });
    let mut out = emulator.environment(base).to_shell();

    let groups = format!("{base}/api/atlas/v2/groups");
    let keys = format!("{groups}/{group}/aiModelApiKeys");
    let curl = match &ca {
        Some(ca) => format!("curl --cacert {ca}"),
        None => "curl".to_owned(),
    };
    let accept = "--header 'Accept: application/vnd.atlas.preview+json'";
    let accept_groups = "--header 'Accept: application/vnd.atlas.2023-01-01+json'";
    let api_key = Environment::shell_word(&format!("{}:{}", key.public_key, key.private_key));
    let client =
        Environment::shell_word(&format!("{}:{}", account.client_id, account.client_secret));
    let token = Environment::shell_word(emulator.access_token());
    if let Some(ca) = &ca {
        let _ = write!(
            out,
            "\
# Programs trust this server with one of these. The first two replace the usual authorities, the third adds to them:
#   export SSL_CERT_FILE={ca} # atlas-model-keys, curl, Go, Python's ssl
#   export REQUESTS_CA_BUNDLE={ca} # Python's requests
#   export NODE_EXTRA_CA_CERTS={ca} # Node
"
        );
    }
    let _ = write!(
        out,
        "\
# With all of these set, `atlas-model-keys list` uses the service account. To use the API key instead:
#   unset {CLIENT_ID} {CLIENT_SECRET}
# The keys of the first project, with the API key (digest):
#   {curl} --digest --user {api_key} {accept} '{keys}?pretty=true'
# The list of projects:
#   {curl} --digest --user {api_key} {accept_groups} '{groups}?pretty=true'
# A new access token for the service account, which can have 100 at a time:
#   {curl} --user {client} --data grant_type=client_credentials '{base}/api/oauth/token'
# The keys of the first project, with an access token that does not expire:
#   {curl} --oauth2-bearer {token} {accept} '{keys}?pretty=true'
# The same token for `atlas-model-keys list`, which prefers it to the other credentials:
#   export {ACCESS_TOKEN}={token}
",
    );
    if let Some(forbidden) = emulator.forbidden_group() {
        let _ = writeln!(
            out,
            "# No credential may list the keys of this project (401 USER_UNAUTHORIZED): {forbidden}"
        );
    }
    for fault in &args.faults {
        let _ = writeln!(out, "# Fault: {fault}: {}", fault.fault().description());
    }
    out
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_emulator::{Config, Fault};
    use clap::Parser as _;

    use crate::args::{Cli, Command};

    use super::*;

    #[test]
    fn every_line_is_an_export_or_a_comment() {
        for ca in ["ca.pem", "a b.pem", "a\nb"] {
            let faults = Fault::all().map(|fault| format!("--fault={fault}"));
            let arguments = ["atlas-model-keys", "emulate", "--tls-ca", ca].map(str::to_owned);
            let cli = Cli::try_parse_from(arguments.into_iter().chain(faults)).unwrap();
            let Command::Emulate(args) = cli.command else {
                panic!("it is emulate");
            };
            let emulator = Emulator::new(Config::default());
            let text = introduction("https://127.0.0.1:1", &emulator, &args);
            assert!(text.ends_with('\n'));
            assert!(
                text.lines()
                    .all(|line| line.starts_with("export ") || line.starts_with("# "))
            );
            assert_eq!(
                text.lines()
                    .filter(|line| line.starts_with("export "))
                    .count(),
                9
            );
        }
    }
}
