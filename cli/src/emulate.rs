//! `emulate`: serves the emulator on this machine until a signal or for a given time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::mpsc;

use atlas_model_keys_core::InvalidValue;
use atlas_model_keys_emulator::server::{self, Options, Server};
use atlas_model_keys_emulator::{Config, Data, Emulator, Fault, Injection, Names};

use crate::args::{EmulateArgs, Rate};
use crate::environment::{
    ACCESS_TOKEN, BASE_URL, CLIENT_ID, CLIENT_SECRET, PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY,
};
use crate::failure::CommandError;
use crate::signals::on_signal;

/// The Atlas CLI's variable for the organization.
const ORG_ID: &str = "MONGODB_ATLAS_ORG_ID";

pub(crate) fn run(args: &EmulateArgs) -> Result<(), CommandError> {
    if args.list_faults {
        return print(&catalogue());
    }
    // Read before the handler is set, so that Ctrl-C ends a read of stdin.
    let data = args.data.as_deref().map(read_data).transpose()?;
    // Set before anything is printed, because the reader of the output may send a signal at once.
    let (stop, stopped) = mpsc::channel();
    on_signal(move || {
        // This fails for a second signal during the shutdown, which is ignored.
        let _ = stop.send(());
    })
    .map_err(|error| CommandError::local("cannot wait for signals", &error))?;

    let clock = match args.now {
        Some(start) => server::clock_from(start),
        None => Options::default().clock,
    };
    let Rate(rate_limit) = args.rate_limit;
    let mut emulator = Emulator::new(Config {
        seed: args.seed,
        groups: to_usize(args.groups),
        keys_per_group: to_usize(args.keys),
        names: match args.hostile_names {
            true => Names::Hostile,
            false => Names::Plausible,
        },
        // The argument, and not the clock that already runs: equal arguments give equal keys.
        present: args.now.unwrap_or_else(|| clock()),
        data,
        token_ttl: args.token_ttl,
        nonce_ttl: args.nonce_ttl,
        rate_limit,
        shared_rate_limit: args.shared_rate_limit,
        include_secrets: args.with_secrets,
        ..Config::default()
    });
    for fault in &args.faults {
        emulator.inject(*fault);
    }
    let options = Options {
        port: args.port.unwrap_or(0),
        latency: args.latency.unwrap_or_default(),
        clock,
        ..Options::default()
    };
    let server = Server::start(emulator, options).map_err(|error| {
        let failure = CommandError::local("cannot serve on 127.0.0.1", &error);
        match args.port {
            Some(_) => failure.hint("without --port, a free one is taken"),
            None => failure,
        }
    })?;

    let base = server.base_url();
    print(&server.with(|emulator| introduction(&base, emulator, &args.faults)))?;

    // The result does not matter: a signal or the end of the time stops the server.
    match args.duration {
        Some(duration) => drop(stopped.recv_timeout(duration)),
        None => drop(stopped.recv()),
    }
    server.shutdown();
    Ok(())
}

/// Reads the keys and projects of a file, or of stdin if the path is `-`.
fn read_data(path: &Path) -> Result<Data, CommandError> {
    let shown = path.to_string_lossy();
    let shown = match InvalidValue::looks_like_credential(&shown) {
        true => "[redacted]".into(),
        false => shown,
    };
    let failure = |error| CommandError::local(format!("cannot read {shown}"), &error);
    // One byte too many shows that there are more.
    let limit = u64::try_from(Data::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut json = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(limit).read_to_end(&mut json),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut json)),
    };
    read.map_err(failure)?;
    Data::from_json(&json).map_err(|invalid| {
        failure(io::Error::new(io::ErrorKind::InvalidData, invalid))
            .hint("the output of `atlas-model-keys list -o ndjson` is valid data")
    })
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::stdout(&error))
}

/// Returns a table of all faults, area by area.
fn catalogue() -> String {
    let rows: Vec<_> = Fault::all()
        .map(|fault| {
            let name = match fault.argument() {
                Some(argument) => format!("{}[={argument}]", fault.name()),
                None => fault.name().to_owned(),
            };
            (fault, name)
        })
        .collect();
    let width = rows.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    let mut out = "\
Faults for --fault NAME[=ARG][*N]. The ARG that is shown is the default.
A fault applies to every response, or with *N only to the next N: --fault 'reset-in-body*2'
With a fault that is marked +, a robust client still gets all keys.
"
    .to_owned();
    let mut area = None;
    for (fault, name) in rows {
        // Writing to a `String` cannot fail.
        if area.replace(fault.area()) != Some(fault.area()) {
            let _ = writeln!(out, "\nIn {}:", fault.area().description());
        }
        let mark = if fault.is_harmless() { '+' } else { ' ' };
        let _ = writeln!(out, "{mark} {name:width$}  {}", fault.description());
    }
    out
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns the text that is printed at the start: exports for a shell, and comments for people.
fn introduction(base: &str, emulator: &Emulator, faults: &[Injection]) -> String {
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
        let _ = writeln!(out, "# Fault: {fault}: {}", fault.fault().description());
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
            &Fault::all().map(Injection::from).collect::<Vec<_>>(),
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
