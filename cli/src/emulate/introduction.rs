//! The text that is printed at the start.

use std::fmt::Write as _;

use atlas_model_keys_emulator::{Emulator, Fault};

use crate::environment::{
    ACCESS_TOKEN, BASE_URL, CLIENT_ID, CLIENT_SECRET, ORG_ID, PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY,
};

/// Returns the text that is printed at the start: exports for a shell, and comments for people.
pub(super) fn introduction(base: &str, emulator: &Emulator, faults: &[Fault]) -> String {
    let group = emulator.first_group();
    let key = emulator.api_key();
    let account = emulator.service_account();
    let mut out = String::new();
    let mut export = |name: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(out, "export {name}={}", shell_word(value));
    };
    export(BASE_URL, base);
    export(PROJECT_ID, group.as_str());
    export(ORG_ID, emulator.org_id());
    export(PUBLIC_KEY, &key.public_key);
    export(PRIVATE_KEY, &key.private_key);
    export(CLIENT_ID, &account.client_id);
    export(CLIENT_SECRET, &account.client_secret);

    let groups = format!("{base}/api/atlas/v2/groups");
    let keys = format!("{groups}/{group}/aiModelApiKeys");
    let accept = "--header 'Accept: application/vnd.atlas.preview+json'";
    let accept_groups = "--header 'Accept: application/vnd.atlas.2023-01-01+json'";
    let api_key = shell_word(&format!("{}:{}", key.public_key, key.private_key));
    let client = shell_word(&format!("{}:{}", account.client_id, account.client_secret));
    let token = shell_word(emulator.access_token());
    let _ = write!(
        out,
        "\
# With all of these set, `atlas-model-keys list` uses the service account. To use the API key instead:
#   unset {CLIENT_ID} {CLIENT_SECRET}
# The keys of the first project, with the API key (digest):
#   curl --digest --user {api_key} {accept} '{keys}?pretty=true'
# The list of projects:
#   curl --digest --user {api_key} {accept_groups} '{groups}?pretty=true'
# A new access token for the service account, which can have 100 at a time:
#   curl --user {client} --data grant_type=client_credentials '{base}/api/oauth/token'
# The keys of the first project, with an access token that does not expire:
#   curl --oauth2-bearer {token} {accept} '{keys}?pretty=true'
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
    for fault in faults {
        let _ = writeln!(out, "# Fault: {fault}: {}", fault.description());
    }
    out
}

/// Returns a word for the shell. It is quoted if it contains a character that a shell might interpret.
fn shell_word(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/:".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use atlas_model_keys_emulator::Config;

    use super::*;

    #[test]
    fn words_are_quoted_if_necessary() {
        assert_eq!(shell_word("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(shell_word("mdb_sa_sk_a-B_9"), "mdb_sa_sk_a-B_9");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("a b$c"), "'a b$c'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    #[test]
    fn every_line_is_an_export_or_a_comment() {
        let text = introduction(
            "http://127.0.0.1:1",
            &Emulator::new(Config::default()),
            &Fault::all().collect::<Vec<_>>(),
        );
        assert!(text.ends_with('\n'));
        assert!(
            text.lines()
                .all(|line| line.starts_with("export ") || line.starts_with("# "))
        );
        assert_eq!(
            text.lines()
                .filter(|line| line.starts_with("export "))
                .count(),
            7
        );
    }
}
